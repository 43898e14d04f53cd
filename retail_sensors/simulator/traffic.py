"""How many people walked past a camera, by true hours: the source of traffic, its types, and a generator.

Here belong counts and calendars. How a camera labels, rounds, forgets or spoils them is in `camera`; recorded counts
are in `replay`. A source is stateless: asked for a day twice, in any order, it gives the same counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import numpy as np

from retail_sensors.errors import ConfigurationError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR = timedelta(hours=1)


class LocalHour(NamedTuple):
    """One hour of a local calendar day: its wall-clock label (no zone), fold, and the instant at which it starts."""

    label: datetime
    fold: int
    starts_at: datetime


@lru_cache(maxsize=4096)
def local_hours(day: date, zone: ZoneInfo) -> tuple[LocalHour, ...]:
    """The hours of `day` in `zone` in the order in which they pass: 24, or 23 or 25 where the clock is moved."""
    hours = []
    for hour in range(24):
        label = datetime.combine(day, time(hour))
        seen = set()
        for fold in (0, 1):
            starts_at = label.replace(tzinfo=zone, fold=fold).astimezone(UTC)
            # A label inside the gap of spring comes back as another one: there is no such hour.
            if starts_at not in seen and starts_at.astimezone(zone).replace(tzinfo=None) == label:
                seen.add(starts_at)
                hours.append(LocalHour(label, fold, starts_at))
    return tuple(sorted(hours, key=lambda one: one.starts_at))


class Counts(NamedTuple):
    """What one camera counted in one span of time.

    lines: (in, out) persons for lines 1 to 4. regions: persons seen entering regions 1 to 4, re-detections included.
    heat_seconds: seconds of presence summed over people.
    """

    lines: tuple[tuple[int, int], ...] = ((0, 0),) * 4
    regions: tuple[int, ...] = (0, 0, 0, 0)
    heat_seconds: int = 0

    @property
    def total_in(self) -> int:
        """Persons in the direction of the arrow, over all lines."""
        return sum(one[0] for one in self.lines)

    @property
    def total_out(self) -> int:
        """Persons against the direction of the arrow, over all lines."""
        return sum(one[1] for one in self.lines)

    def so_far(self, share: float) -> Counts:
        """What has been counted when `share` (0 to 1) of the span has passed: every counter grows evenly."""
        return Counts(
            tuple((int(entered * share), int(left * share)) for entered, left in self.lines),
            tuple(int(value * share) for value in self.regions),
            int(self.heat_seconds * share),
        )

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            tuple((a[0] + b[0], a[1] + b[1]) for a, b in zip(self.lines, other.lines, strict=True)),
            tuple(a + b for a, b in zip(self.regions, other.regions, strict=True)),
            self.heat_seconds + other.heat_seconds,
        )

    def minus(self, other: Counts) -> Counts:
        """This without the other, which is contained in it."""
        return Counts(
            tuple((a[0] - b[0], a[1] - b[1]) for a, b in zip(self.lines, other.lines, strict=True)),
            tuple(a - b for a, b in zip(self.regions, other.regions, strict=True)),
            self.heat_seconds - other.heat_seconds,
        )


NOTHING = Counts()


class TrafficSource(Protocol):
    """Where a camera's people come from."""

    @property
    def lines(self) -> Mapping[int, str]:
        """The role (entrance, passerby, internal) of each line that counts, by line number 1 to 4."""
        ...

    def day(self, day: date, zone: ZoneInfo) -> Mapping[datetime, Counts]:
        """Counts of each hour of a local day, by the UTC instant at which it starts; an absent hour has no data."""
        ...


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """When a store is open: for each weekday from Monday, (opening, closing) in minutes after midnight, or None."""

    weekly: tuple[tuple[int, int] | None, ...]

    @classmethod
    def from_mapping(cls, hours: Mapping[str, str]) -> OpeningHours:
        """Of `{"mon": "10:00-22:00", ...}`; a weekday that is absent is closed, `24:00` is the end of the day."""
        unknown = sorted(set(hours) - set(WEEKDAYS))
        if unknown:
            raise ConfigurationError(f"opening hours name {', '.join(unknown)}: use {', '.join(WEEKDAYS)}")
        return cls(tuple(_span(name, hours[name]) if name in hours else None for name in WEEKDAYS))

    @classmethod
    def daily(cls, text: str) -> OpeningHours:
        """The same hours, such as `10:00-22:00`, on all seven days."""
        return cls.from_mapping(dict.fromkeys(WEEKDAYS, text))

    def as_mapping(self) -> dict[str, str]:
        """The form that `from_mapping` takes."""
        return {
            name: "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in span)
            for name, span in zip(WEEKDAYS, self.weekly, strict=True)
            if span is not None
        }


def _span(name: str, text: str) -> tuple[int, int]:
    try:
        opens, closes = (
            int(hour) * 60 + int(minute) for hour, minute in (one.split(":") for one in text.strip().split("-"))
        )
    except ValueError:
        opens, closes = 0, -1
    if not 0 <= opens < closes <= 24 * 60:
        raise ConfigurationError(f"opening hours of {name} are {text!r}: write them like 10:00-22:00, within one day")
    return opens, closes


@dataclass(frozen=True, slots=True)
class RegionHabit:
    """How often a region sees people: per person inside the store in an hour, and per passer-by."""

    per_person_inside: float
    per_passerby: float


# Persons over the corridor line in the twelve opening hours of one real day, and in the two hours after closing,
# in a shopping centre that opens at 10:00 and closes at 22:00.
_OPEN_SHAPE = (341, 406, 351, 382, 522, 585, 610, 508, 490, 385, 425, 321)
_AFTER_CLOSING = (242, 14)
_SHAPE_AT = tuple((hour + 0.5) / len(_OPEN_SHAPE) for hour in range(len(_OPEN_SHAPE)))

_REAL_REGIONS = (
    RegionHabit(0.0, 0.447),
    RegionHabit(2.0, 1.92),
    RegionHabit(1.0, 2.10),
    RegionHabit(0.5, 0.043),
)


@dataclass(frozen=True)
class Generated:
    """A shop's made-up days, calibrated on one real day of a store in a shopping centre (the defaults).

    Visitors enter over the entrance lines in the opening hours, stay for a while and leave over an entrance line by
    closing time, so that entries and exits balance exactly within each day. Passers-by walk along the passer-by
    lines. Regions and heat follow from who is inside and who walks by: an hour without anybody is all zeros, region 1
    (at the door) sees at least everyone who crosses an entrance line.

    visitors_per_day, passersby_per_day: means over an average week. lines: line number -> entrance, passerby or
    internal. in_share: share of passers-by in the direction of the arrow. mean_stay_minutes: of a visitor.
    view_share: share of a visit that is spent in the camera's view. weekday_factors: from Monday.
    """

    seed: int = 0
    opening_hours: OpeningHours = field(default_factory=lambda: OpeningHours.daily("10:00-22:00"))
    lines: Mapping[int, str] = field(default_factory=lambda: {1: "entrance", 4: "passerby"})
    visitors_per_day: float = 80.0
    passersby_per_day: float = 5582.0
    in_share: float = 0.734
    mean_stay_minutes: float = 15.0
    view_share: float = 0.3
    passerby_view_seconds: float = 25.0
    weekday_factors: tuple[float, ...] = (0.88, 0.88, 0.92, 0.97, 1.08, 1.22, 1.05)
    regions: tuple[RegionHabit, ...] = _REAL_REGIONS

    def day(self, day: date, zone: ZoneInfo) -> Mapping[datetime, Counts]:
        """See `TrafficSource.day`; every hour of the day has counts."""
        hours = local_hours(day, zone)
        span = self.opening_hours.weekly[day.weekday()]
        if span is None:
            return {hour.starts_at: NOTHING for hour in hours}
        rng = np.random.default_rng([self.seed % 2**32, day.toordinal()])
        factor = self.weekday_factors[day.weekday()] * math.exp(rng.normal(0.0, 0.1))
        size = len(hours)
        opens, closes = span
        label = np.array([hour.label.hour * 60.0 for hour in hours])
        # Minutes that truly pass, which are not those of the labels on a day with 23 or 25 hours.
        begins = np.array([(hour.starts_at - hours[0].starts_at).total_seconds() / 60 for hour in hours])
        open_from = np.maximum(label, opens)
        open_minutes = np.clip(np.minimum(label + 60, closes) - open_from, 0, None)
        shape = np.interp((label + 30 - opens) / (closes - opens), _SHAPE_AT, _OPEN_SHAPE)
        weight = shape * open_minutes / 60

        number = {
            role: [line for line, its_role in sorted(self.lines.items()) if its_role == role]
            for role in ("entrance", "passerby", "internal")
        }
        lines = np.zeros((2, 4, size), dtype=np.int64)
        inside = np.zeros(size, dtype=np.int64)
        presence_minutes = np.zeros(size)
        if number["entrance"] and weight.sum() > 0:
            visitors = int(rng.poisson(self.visitors_per_day * factor))
            hour = rng.choice(size, visitors, p=weight / weight.sum())
            enters = begins[hour] + (open_from - label)[hour] + rng.random(visitors) * open_minutes[hour]
            last = int(np.flatnonzero(open_minutes)[-1])
            closing = begins[last] + (open_from - label)[last] + open_minutes[last]
            leaves = np.minimum(enters + rng.gamma(2.0, self.mean_stay_minutes / 2, visitors), closing - 1e-6)
            share = 0.6 ** np.arange(len(number["entrance"]))
            for direction, minute in enumerate((enters, leaves)):
                at = np.searchsorted(begins, minute, side="right") - 1
                door = rng.choice(np.array(number["entrance"]) - 1, visitors, p=share / share.sum())
                np.add.at(lines[direction], (door, at), 1)
            overlap = np.minimum(leaves[:, None], begins + 60) - np.maximum(enters[:, None], begins)
            inside = (overlap > 0).sum(axis=0)
            presence_minutes = np.clip(overlap, 0, None).sum(axis=0)
        movement = lines.sum(axis=(0, 1))

        walkers = np.zeros(size, dtype=np.int64)
        if number["passerby"]:
            # A shopping centre empties over the two hours after its shops close.
            late = (label - math.ceil(closes / 60) * 60) / 60
            flow = weight + np.select([late == 0, late == 1], _AFTER_CLOSING, 0.0)
            each_line = self.passersby_per_day * factor / len(number["passerby"])
            expected = each_line * flow / max(flow.sum(), 1.0)
            for line in number["passerby"]:
                both = rng.poisson(expected)
                lines[0, line - 1] = rng.binomial(both, self.in_share)
                lines[1, line - 1] = both - lines[0, line - 1]
                walkers += both
        for line in number["internal"]:
            lines[:, line - 1] = rng.poisson(inside * 0.6, (2, size))

        regions = np.array(
            [rng.poisson(one.per_person_inside * inside + one.per_passerby * walkers) for one in self.regions]
            + [np.zeros(size, dtype=np.int64)] * (4 - len(self.regions))
        )
        regions[0] += movement
        heat = presence_minutes * 60 * self.view_share
        heat += walkers * self.passerby_view_seconds * np.exp(rng.normal(0.0, 0.2, size))

        cells = lines.transpose(2, 1, 0).tolist()
        seen = regions.T.tolist()
        seconds = np.rint(heat).astype(np.int64).tolist()
        return {
            one.starts_at: Counts(tuple((a, b) for a, b in cells[index]), tuple(seen[index]), seconds[index])
            for index, one in enumerate(hours)
        }
