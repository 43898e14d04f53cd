"""The fleet of the simulated week, and what befalls it when.

All times are offsets from the week's start, 03:00 UTC, at which the occupancy day of the stores begins. The shop is short of hours, so
that a day is soon gone through, and what would leave a trace in the figures (a wrong clock, a factory reset) happens when it is
closed: then the figures must be those of a fleet that never failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from retail_sensors.simulator.camera import SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, SimulatedStore
from retail_sensors.simulator.switches import Fault, FaultKind
from retail_sensors.simulator.traffic import Generated, OpeningHours

START = datetime(2025, 10, 6, 3, tzinfo=UTC)
"""A Monday in Lisbon, 04:00 local: the reset of the occupancy day."""
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
_BEGINNING, _RETURN = 70 * MINUTE, 25 * MINUTE
"""So long after a fault began, and after it was over, every tick counts."""
ZONE = "Europe/Lisbon"
STORE, OTHER_STORE = "Lisbon", "Porto"
NEW_CAMERA, DISABLED_CAMERA = "annex", "spare"
_OPEN = OpeningHours.daily("10:00-16:00")
_CAMERAS = tuple((STORE, name) for name in ("north", "east", "south", "west", "side"))
_CAMERAS_OF_A_WEEK = ((STORE, NEW_CAMERA), (OTHER_STORE, DISABLED_CAMERA))


def _at(day: int, clock: str) -> timedelta:
    hour, minute = map(int, clock.split(":"))
    return day * DAY + timedelta(hours=hour, minutes=minute) - timedelta(hours=START.hour)


@dataclass(frozen=True, slots=True)
class Episode:
    """One thing that befalls a camera, and what must be seen of it: the state in `status`, the failed asset check, the rule of
    its one alert; None: nothing of that kind."""

    camera: str
    kind: FaultKind
    start: timedelta
    end: timedelta
    state: str | None
    check: str | None
    alert: str | None

    @property
    def told(self) -> str:
        """The episode in words."""
        return f"{self.camera}: {self.kind}"

    def fault(self, start: datetime) -> Fault:
        """The simulator's fault of a week that starts then."""
        return Fault(
            self.kind, start=start + self.start, end=start + self.end, delay_seconds=600.0, offset_seconds=300.0
        )


def _outage(camera: str, kind: FaultKind, start: timedelta, end: timedelta) -> Episode:
    return Episode(camera, kind, start, end, "offline", "complete", "camera_offline")


def _first_day() -> list[Episode]:
    # The outages of a day begin together: around their edges each tick counts, and takes its time.
    return [
        _outage("east", FaultKind.REFUSED, _at(0, "10:11"), _at(0, "12:23")),
        _outage("south", FaultKind.REFUSED, _at(0, "10:13"), _at(0, "23:00")),
        _outage("west", FaultKind.SLOW, _at(0, "10:16"), _at(0, "10:48")),
        _outage("side", FaultKind.GARBAGE, _at(0, "10:18"), _at(0, "11:06")),
        Episode("north", FaultKind.COUNTER_RESET, _at(0, "13:32"), _at(0, "13:33"), None, None, None),
        Episode(
            "north", FaultKind.FACTORY_RESET, _at(0, "17:30"), _at(0, "18:30"), None, "not_lowered", "counts_lowered"
        ),
        Episode("north", FaultKind.CLOCK_OFFSET, _at(0, "18:38"), _at(0, "18:58"), "degraded", None, "camera_clock"),
    ]


def _other_days() -> list[Episode]:
    return [
        _outage("east", FaultKind.REFUSED, _at(1, "11:20"), _at(4, "09:40")),
        _outage("west", FaultKind.SLOW, _at(2, "13:05"), _at(2, "14:20")),
        _outage("south", FaultKind.HTML_LOGIN, _at(3, "09:35"), _at(3, "12:50")),
        _outage("west", FaultKind.REFUSED, _at(5, "12:00"), _at(5, "23:00")),
        _outage("east", FaultKind.GARBAGE, _at(6, "10:05"), _at(6, "11:40")),
    ]


@dataclass(frozen=True, slots=True)
class Plan:
    """A week, or the first day of it: days, episodes, and the instants at which people and the machine do something."""

    days: int
    start: datetime = START

    @property
    def end(self) -> datetime:
        """When all is over: the last day's figures have had time to be completed."""
        return self.start + self.days * DAY + timedelta(minutes=95)

    @property
    def episodes(self) -> list[Episode]:
        """What befalls the cameras, of days that are gone through."""
        return [one for one in (*_first_day(), *_other_days()) if one.end <= self.days * DAY]

    @property
    def restarts(self) -> list[datetime]:
        """When Postgres is restarted, in the middle of a run."""
        return [self.start + day * DAY + _at(0, "13:20") for day in range(0, self.days, 3)]

    @property
    def registered_at(self) -> datetime | None:
        """When the new camera is registered; None: not in these days."""
        return self.start + _at(3, "10:40") if self.days > 4 else None

    @property
    def disabled_at(self) -> datetime | None:
        """When a camera is switched off; None: not in these days."""
        return self.start + _at(4, "12:00") if self.days > 4 else None

    @property
    def cameras(self) -> list[str]:
        """Names of all cameras that the week comes to have."""
        return [name for _, name in self._listed]

    @property
    def _listed(self) -> tuple[tuple[str, str], ...]:
        return (*_CAMERAS, *_CAMERAS_OF_A_WEEK) if self.days > 4 else _CAMERAS

    def fleet(self, clock: Callable[[], datetime], *, with_faults: bool) -> SimulatedFleet:
        """The cameras, with what befalls them or without."""
        cameras = [
            SimulatedCamera(
                name,
                ZONE,
                Generated(seed=number, opening_hours=_OPEN, lines={1: "entrance"}),
                store=store,
                regions={},
                faults=self.faults(name) if with_faults else (),
            )
            for number, (store, name) in enumerate(self._listed)
        ]
        used = {store for store, _ in self._listed}
        stores = [SimulatedStore(name, ZONE, "PT", _OPEN, 180, 620.0) for name in (STORE, OTHER_STORE) if name in used]
        return SimulatedFleet(cameras, clock=clock, stores=stores)

    def faults(self, camera: str) -> list[Fault]:
        """What befalls one camera."""
        return [one.fault(self.start) for one in self.episodes if one.camera == camera]

    def is_watched(self, now: datetime) -> bool:
        """Whether something begins or ends about now, so that every tick counts."""
        return any(
            -5 * MINUTE <= now - (self.start + edge) <= span
            for one in self.episodes
            if one.state is not None
            for edge, span in ((one.start, min(one.end - one.start, _BEGINNING)), (one.end, _RETURN))
        )

    def is_hourly(self, now: datetime) -> bool:
        """Whether what is due about once an hour must not be left out: the last hours of the plan, those before
        a camera is switched off, and what only checks tell of."""
        off = self.disabled_at
        return (
            now >= self.end - 95 * MINUTE
            or (off is not None and off - 3 * HOUR <= now < off)
            or any(self.start + one.start <= now < self.start + one.end for one in self.episodes if one.state is None)
        )
