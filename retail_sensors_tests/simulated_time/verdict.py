"""What must be seen of the simulated week while it lasts, and what must hold in the end: a sentence for each thing that does not.

What was seen is recorded by `retail_sensors_tests.week`; here it is judged, and the figures are compared with those of a fleet that
never failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.simulator.fleet import SimulatedFleet
from retail_sensors.storage.status import DUE, Status
from retail_sensors_tests.installations import FIGURES, Site, simulated
from retail_sensors_tests.simulated_time.daemon import Ran
from retail_sensors_tests.simulated_time.plan import DISABLED_CAMERA, HOUR, MINUTE, OTHER_STORE, Episode, Plan

REPORTED_WITHIN = 15 * MINUTE
"""A dead camera is in `status` so long after it died."""
ALERT_THRESHOLD = 8 * MINUTE
"""What the rule `camera_offline` waits for before it alerts anybody."""
LATE_SHOWN_WITHIN = 10 * MINUTE
"""An hour that should be there is told so long after by `status`."""
_ALERTS = """SELECT a.rule_name, s.sensor_name, a."timestamp", a.resolved_at, a.title FROM retail.alerts_generated AS a
LEFT JOIN retail.sensor_metadata AS s ON s.id = a.sensor_id ORDER BY a."timestamp", a.rule_name"""


@dataclass
class Seen:
    """What was recorded: `status` after each look at the cameras, the runs, and the evaluations that broke off."""

    statuses: list[Status] = field(default_factory=list)
    runs: list[Ran] = field(default_factory=list)
    broken: list[tuple[datetime, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """When an episode was seen where; None: never."""

    episode: Episode
    in_status: datetime | None
    well_again: datetime | None
    in_checks: datetime | None
    hour_late: datetime | None
    alert: datetime | None
    resolved: datetime | None


def judge_episodes(plan: Plan, seen: Seen, site: Site) -> tuple[list[Found], list[str]]:
    """When each episode was seen, and what is not as it must be."""
    alerts = site.fetch(_ALERTS)
    found, wrong = [], list[str]()
    for episode in plan.episodes:
        start, end = plan.start + episode.start, plan.start + episode.end
        its = [one for one in alerts if one[0] == episode.alert and one[1] == episode.camera and start <= one[2] <= end]
        for one in its:
            alerts.remove(one)
        told = _found(episode, start, end, seen, its)
        found.append(told)
        wrong += [
            f"{episode.told}, {start:%a %H:%M} to {end:%a %H:%M}: {what}" for what in _faults(told, start, end, its)
        ]
    wrong += [f"An alert that nothing explains: {rule}, {title}, at {at:%a %H:%M}." for rule, _, at, _, title in alerts]
    return found, wrong


def _found(episode: Episode, start: datetime, end: datetime, seen: Seen, alerts: Sequence[tuple[Any, ...]]) -> Found:
    def state(status: Status) -> str:
        return next((one.state for one in status.cameras if one.name == episode.camera), "")

    def hours_late(status: Status) -> bool:
        return any(one.hours_late or one.hours_missing for one in status.cameras if one.name == episode.camera)

    during = [one for one in seen.statuses if start <= one.now < end]
    after = [one for one in seen.statuses if one.now >= end]
    # The hours of a run are checked for as long as they are in a run.
    judged = [
        one.at
        for run in seen.runs
        if start <= run.at < end
        for one in run.judged
        if one.check == episode.check and not one.passed and episode.camera in one.told
    ]
    return Found(
        episode,
        next((one.now for one in during if state(one) == episode.state), None),
        next((one.now for one in after if state(one) != episode.state), None) if episode.state else None,
        min(judged, default=None),
        next((one.now for one in during if hours_late(one)), None),
        alerts[0][2] if alerts else None,
        alerts[0][3] if alerts else None,
    )


def _faults(found: Found, start: datetime, end: datetime, alerts: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """What is not as it must be of one episode."""
    episode = found.episode
    if episode.state is not None and (found.in_status is None or found.in_status - start > REPORTED_WITHIN):
        yield f"status said {episode.state} {_when(found.in_status)}, due by {start + REPORTED_WITHIN:%H:%M}."
    if episode.state is not None and (found.well_again is None or found.well_again - end > REPORTED_WITHIN):
        yield f"status said that it is over {_when(found.well_again)}."
    if episode.check is not None and found.in_checks is None:
        yield f"no check {episode.check} failed and named the camera."
    if episode.alert is not None:
        if len(alerts) != 1:
            yield f"{len(alerts)} alerts of {episode.alert} instead of one."
        # A reset shows when an hour that was counted is asked for again.
        due = ALERT_THRESHOLD + REPORTED_WITHIN if episode.state is not None else end - start + REPORTED_WITHIN
        if found.alert is not None and found.alert - start > due:
            yield f"its alert came at {found.alert:%H:%M}."
        # What happens at one instant is told of for a day.
        if episode.state is not None and alerts and (found.resolved is None or found.resolved - end > REPORTED_WITHIN):
            yield f"its alert was resolved {_when(found.resolved)}."
    # The first hour that it cannot have given whole.
    hour_end = start.replace(minute=0, second=0, microsecond=0) + HOUR
    latest = hour_end + DUE + LATE_SHOWN_WITHIN
    if episode.state == "offline" and latest < end and (found.hour_late is None or found.hour_late > latest):
        yield f"its hour until {hour_end:%H:%M} was late in status {_when(found.hour_late)}, due by {latest:%H:%M}."


def _when(at: datetime | None) -> str:
    return "never" if at is None else f"at {at:%a %H:%M}"


def judge_runs(plan: Plan, seen: Seen) -> list[str]:
    """Runs and evaluations that failed although Postgres was there."""
    broke = set(plan.restarts)
    wrong = [
        f"Run of {run.job} for {run.asked_by} at {run.at:%a %H:%M} failed: {run.why}"
        for run in seen.runs
        if not run.success and run.at not in broke
    ]
    wrong += [f"{name} broke off at {at:%a %H:%M}: {why}" for at, name, why in seen.broken if at not in broke]
    if not all(any(run.at == at and not run.success for run in seen.runs) for at in broke):
        wrong.append("A restart of Postgres hit no run: the week has not shown what becomes of one.")
    return wrong


def judge_quiet(plan: Plan, seen: Seen) -> list[str]:
    """What `status` complained of before the first fault, and at the very end."""
    first = min(plan.start + one.start for one in plan.episodes)
    quiet = [one for one in seen.statuses if one.now < first] + seen.statuses[-1:]
    return [
        f"status at {one.now:%a %H:%M}, when nothing was wrong: {stage.name} {stage.state}, {stage.detail}."
        for one in quiet
        for stage in one.stages
        if not stage.is_well
    ]


def judge_data(plan: Plan, site: Site, reference: Site, fleet: SimulatedFleet) -> list[str]:
    """Hours that are not the simulated ones, and figures that are not those of the fleet that never failed."""
    end = plan.end.replace(minute=0)
    wrong = []
    for camera in plan.cameras:
        # Nobody asks a camera that is switched off for the hour that has just ended.
        until = plan.disabled_at - HOUR if camera == DISABLED_CAMERA and plan.disabled_at else end
        truth = simulated(fleet, camera, TimeWindow(plan.start, until))
        stored = {hour: counts for hour, counts in site.counted(camera).items() if plan.start <= hour < until}
        lacking, other = (
            truth.keys() - stored.keys(),
            [hour for hour in truth if stored.get(hour, truth[hour]) != truth[hour]],
        )
        if lacking:
            wrong.append(f"{camera} lacks {len(lacking)} of {len(truth)} hours, the first {min(lacking):%a %H:%M}.")
        if other:
            wrong.append(
                f"{camera} has other counts than were simulated in {len(other)} hours, the first {min(other):%a %H:%M}."
            )
    expected, found = reference.figures(), site.figures()
    for table in FIGURES:
        wrong += _differences(table, _compared(plan, expected[table]), _compared(plan, found[table]))
    return wrong


def _compared(plan: Plan, rows: Sequence[Any]) -> dict[tuple[Any, Any], dict[str, Any]]:
    """The rows of ended hours and days that both fleets have, by camera or store and time."""
    end = plan.end.replace(minute=0)
    compared = {}
    for row in rows:
        if row["scope"] in (DISABLED_CAMERA, OTHER_STORE):
            continue
        at = row["hour_start"] if "hour_start" in row else row["date"]
        if (plan.start <= at < end) if isinstance(at, datetime) else plan.start.date() <= at < end.date():
            compared[row["scope"], at] = row
    return compared


def _differences(table: str, expected: dict[Any, dict[str, Any]], found: dict[Any, dict[str, Any]]) -> Iterator[str]:
    if not expected:
        yield f"{table}: there is nothing to compare with."
    for key in sorted(expected.keys() ^ found.keys(), key=str)[:5]:
        yield f"{table}: {key[0]} at {key[1]} is only in {'the reference' if key in expected else 'the week'}."
    unlike = [key for key in expected if key in found and found[key] != expected[key]]
    for key in unlike[:5]:
        cells = [
            f"{name} {found[key][name]!r} instead of {value!r}"
            for name, value in expected[key].items()
            if found[key][name] != value
        ]
        yield f"{table}: {key[0]} at {key[1]} ({len(unlike)} rows differ): {', '.join(cells[:4])}."
