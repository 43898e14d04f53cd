"""Staff for the coming hours of each store: how many are needed for the visitors to come, and what to do about it.

    staff_needed = ceil(expected visitors / STAR target), STAR = visitors that one staff hour is meant for (`kpi.staff_needed`)

A plan is made at one instant: for the running hour (`immediate`), the one after it (`next_hour`) and each hour of the shift,
which is what is left of today's opening hours, else the next open day's, by the store's own clock. Closed hours need nobody.
What visitors are expected belongs in `forecast`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.kpi import staff_needed
from retail_sensors.analytics.roster import Layout, Roster
from retail_sensors.tables.predictions import STAFFING_PLAN

REASONS: dict[str, str] = {
    "no_forecast": "there is no forecast of the last 24 hours for this hour",
    "closed": "the store is closed, which needs no forecast",
    "no_staff_plan": "no staff hours are loaded for this hour",
}
"""Reasons in `quality` of `staffing_plan` and what they mean."""

DEFAULT_STAR_TARGET = 12.0
"""Visitors that one staff hour is meant for in a store that does not say so: labelled `default_target`."""

HORIZONS = ("immediate", "next_hour", "shift")

_HOURS = 168
_TOLD = ("prediction_second", "predicted_value", "lower_80", "upper_80")
_WEEKDAYS = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")  # 1970-01-01 was a Thursday


@dataclass(frozen=True, slots=True)
class Hour:
    """One planned hour: its start by the store's clock in seconds since 1970; NaN where not known."""

    wall: int
    expected: float
    lower: float
    upper: float
    needed: float
    needed_upper: float
    planned: float


@dataclass(frozen=True, slots=True)
class Action:
    """What to do in hours [first, end) of a list: `extra` more than planned (negative: free for other work), or 0: have `needed`."""

    first: int
    end: int
    extra: int


def staffing_plan(plan_time: datetime, roster: Roster, forecasts: pd.DataFrame, staff: pd.DataFrame) -> pd.DataFrame:
    """Rows of `staffing_plan` made at one instant, for every store with an entrance line.

    `forecasts`: one row per store and coming hour: `store_id`, `prediction_second`, `target_second` (since 1970),
    `predicted_value`, `lower_80`, `upper_80`. `staff`: `store_id`, `hour_start`, `staff`. A store that does not say its STAR
    target in `store_service` gets DEFAULT_STAR_TARGET.
    """
    layout = roster.layout
    now = frames.instant(plan_time, "plan_time")
    expected = _by_store(layout, forecasts, frames.numbers(forecasts, "target_second", "forecasts"))
    planned = _by_store(layout, staff, frames.seconds(staff, "hour_start", "staff_hours").astype(float))
    rows: list[tuple[object, ...]] = []
    for store in np.flatnonzero(layout.per_store(layout.is_entrance) > 0).tolist():
        ahead = _Ahead.of(layout, store, now)
        told = _values(expected, store, ahead.starts, _TOLD, forecasts)
        told[1:, ~ahead.is_open] = 0.0
        is_set = bool(layout.star_target[store] > 0)
        target = float(layout.star_target[store]) if is_set else DEFAULT_STAR_TARGET
        table = np.stack(
            [
                ahead.wall,
                *told[1:],
                staff_needed(told[1], target),
                staff_needed(told[3], target),
                _values(planned, store, ahead.starts, ("staff",), staff)[0],
            ]
        )
        hours = [Hour(int(wall), *figures) for wall, *figures in table.T.tolist()]
        origin, source = told[0], "store" if is_set else "default_target"
        for horizon, places in zip(HORIZONS, ([0], [1], ahead.shift), strict=True):
            sentences = _sentences([hours[at] for at in places], ahead.is_open[places], hours[0].wall // DAY)
            for at, said in zip(places, sentences, strict=True):
                hour = hours[at]
                reasons = _reasons(hour, bool(ahead.is_open[at]), bool(np.isnan(origin[at])))
                key = (layout.store_ids[store], now, horizon, int(ahead.starts[at]), origin[at])
                visitors = (hour.expected, hour.lower, hour.upper, target, source)
                need = (hour.needed, hour.needed_upper, hour.planned)
                rows.append((*key, *visitors, *need, json.dumps(said, ensure_ascii=False), json.dumps(reasons)))
    return _frame(rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Ahead:
    """A store's hours from the running one on: start in seconds since 1970, the same by its clock, open or not; `shift`: places
    of the open hours of today that are left, else of the next open day.
    """

    starts: Array
    wall: Array
    is_open: Array
    shift: list[int]

    @staticmethod
    def of(layout: Layout, store: int, now: int) -> _Ahead:
        own = np.full(_HOURS, store)
        starts = now - int(layout.wall(own[:1], np.array([now]))[0]) % HOUR + np.arange(_HOURS) * HOUR
        wall = layout.wall(own, starts)
        is_open = layout.is_open(own, wall)
        open_hours = np.flatnonzero(is_open)
        first_day = wall[open_hours[0]] // DAY if len(open_hours) else -1
        return _Ahead(starts, wall, is_open, open_hours[wall[open_hours] // DAY == first_day].tolist())


def actions(hours: Sequence[Hour]) -> Iterator[Action]:
    """What to do in consecutive hours, in runs of equal steps; hours without a forecast have none.

    With a staff plan: how many more than planned are needed, or how many planned ones not even the upper end of the interval
    needs. Without: how many to have, unless nobody. Runs do not overlap; extra times length adds up to the sum over their hours.
    """
    steps = [_step(hour) for hour in hours]
    first = 0
    for at in range(1, len(hours) + 1):
        joins = at < len(hours) and steps[at] == steps[first] and hours[at].wall == hours[at - 1].wall + HOUR
        if not joins:
            step = steps[first]
            if step is not None and step[1] != 0:
                yield Action(first, at, step[1] if step[0] == "change" else 0)
            first = at


def _step(hour: Hour) -> tuple[str, int] | None:
    if np.isnan(hour.needed):
        return None
    if np.isnan(hour.planned):
        return "have", int(hour.needed)
    short = int(np.ceil(hour.needed - hour.planned - 1e-9))
    spare = int(np.floor(hour.planned - hour.needed_upper + 1e-9))
    return "change", short if short > 0 else -max(spare, 0)


def _sentences(hours: Sequence[Hour], is_open: Array, today: int) -> list[list[str]]:
    """The sentences of each hour: those of the actions that begin in it."""
    said: list[list[str]] = [[] for _ in hours]
    if not len(hours) or not is_open.any() or all(np.isnan(hour.needed) for hour in hours):
        return said
    found = list(actions(hours))
    for action in found:
        said[action.first].append(_sentence(hours[action.first : action.end], action, today))
    if not found:
        # Of hours without a forecast nothing is said, nor where nobody is needed and no staff plan says otherwise.
        for first, end in _runs([not np.isnan(hour.needed + hour.planned) for hour in hours]):
            most = max(hours[first:end], key=lambda hour: hour.expected)
            if most.needed == most.planned == 0:
                continue
            said[first].append(
                f"Nothing needed {_span(hours[first:end], today)}: {_visitors(most)}, {_number(most.needed)} staff needed, "
                f"{_number(most.planned)} planned."
            )
    return said


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Half-open runs of positions that are set."""
    edges = np.flatnonzero(np.diff([False, *flags, False]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _sentence(hours: Sequence[Hour], action: Action, today: int) -> str:
    busiest = max(hours, key=lambda hour: hour.expected)
    span, need = _span(hours, today), f"{_number(busiest.needed)} staff needed"
    if action.extra > 0:
        lead = f"Bring in {action.extra} more {span}"
        return f"{lead}: {_visitors(busiest)}, {need}, {_number(busiest.planned)} planned."
    if action.extra < 0:
        fewest = min(hours, key=lambda hour: hour.planned)
        return (
            f"{-action.extra} of {_number(fewest.planned)} planned can do other work {span}: {_visitors(busiest)}, "
            f"{_number(max(hour.needed_upper for hour in hours))} staff suffice up to the upper end."
        )
    return f"Have {_number(busiest.needed)} on the floor {span}: {_visitors(busiest)}; no staff plan is loaded."


def _visitors(hour: Hour) -> str:
    return f"up to {hour.expected:.0f} visitors an hour expected (80 % interval {hour.lower:.0f} to {hour.upper:.0f})"


def _span(hours: Sequence[Hour], today: int) -> str:
    first, last = hours[0].wall, hours[-1].wall + HOUR
    day = "" if first // DAY == today else f"on {_WEEKDAYS[first // DAY % 7]} "
    return f"{day}from {_clock(first)} to {_clock(last)}"


def _clock(wall: int) -> str:
    return f"{wall % DAY // HOUR:02d}:{wall % HOUR // 60:02d}"


def _number(value: float) -> str:
    return f"{value:g}"


def _reasons(hour: Hour, is_open: bool, without_forecast: bool) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if without_forecast:
        reasons["prediction_time"] = "no_forecast" if is_open else "closed"
    if np.isnan(hour.expected):
        unknown = ("expected_visitors", "visitors_lower", "visitors_upper", "staff_needed", "staff_needed_upper")
        reasons |= dict.fromkeys(unknown, "no_forecast")
    if np.isnan(hour.planned):
        reasons["staff_planned"] = "no_staff_plan"
    return reasons


def _by_store(layout: Layout, frame: pd.DataFrame, seconds: Array) -> dict[tuple[int, int], int]:
    """Row of the frame by store and second."""
    store = frames.codes(layout.store_ids, frames.texts(frame, "store_id", "rows"))
    return {
        (int(one), int(second)): row for row, (one, second) in enumerate(zip(store, seconds, strict=True)) if one >= 0
    }


def _values(
    where: dict[tuple[int, int], int], store: int, starts: Array, names: tuple[str, ...], frame: pd.DataFrame
) -> Array:
    """The named numbers of a store at each start, shape (names, starts); NaN without a row."""
    place = np.array([where.get((store, int(start)), -1) for start in starts])
    columns = [frames.numbers(frame, name, "rows") for name in names]
    if not len(frame):
        return np.full((len(names), len(starts)), np.nan)
    return np.stack([np.where(place >= 0, values[place], np.nan) for values in columns])


def _frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    names = [column.name for column in STAFFING_PLAN.written]
    texts = {"store_id", "horizon", "target_source", "actions", "quality"}
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    values: dict[str, Array] = {}
    for name, cells in zip(names, columns, strict=True):
        values[name] = np.array(cells, dtype=object if name in texts else np.float64)
    return frames.build(STAFFING_PLAN, values)
