"""How many people are inside: entries minus exits from reset to reset, corrected for what the doors disagree about.

A reset window runs from the store's reset time (its emptiest) to the same local time of the next day.

* While it is open: `live`, the running sum of entries - exits, not under 0, never scaled.
* Ended, and final on every entrance line: with I, U the sums of entries and exits and r = (I - U) / max(I, U), the deficient
  direction is scaled by max / min, so that the window ends at 0, and small negatives are set to 0. |r| <= 0.10 is `measured`,
  |r| <= 0.30 `estimated`; beyond that, with one direction at zero, or with a corrected minimum under -0.05 max(I, U), there is
  no figure.
* Ended, and not final on every line: no figure.

Between the ends of hours the number runs linearly. Mean dwell by Little's law = integral over the window / max(I, U).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.localtime import SLOTS, Calendar, calendar, day_starts
from retail_sensors.analytics.readings import HourRows
from retail_sensors.analytics.roster import Layout

MEASURED, ESTIMATED, LOWEST = 0.10, 0.30, -0.05

REASONS = (
    "",
    "incomplete_day",
    "nobody_crossed",
    "one_direction_zero",
    "direction_imbalance",
    "not_a_closed_space",
    "reset_window_open",
)
METHODS = ("", "live", "measured", "estimated")
_INCOMPLETE, _NOBODY, _ONE_DIRECTION, _IMBALANCE, _NOT_CLOSED, _OPEN = range(1, len(REASONS))


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Counts of every scope in every hour of its reset windows, shape (scopes, windows, SLOTS).

    `expected`, `counted`, `final`: number of entrance cameras that should have counted, did, and did finally.
    `lengths` in hours and `ended`, shape (scopes, windows).
    """

    entries: Array
    exits: Array
    expected: Array
    counted: Array
    final: Array
    lengths: Array
    ended: Array


@dataclass(frozen=True, slots=True, eq=False)
class Occupancy:
    """People inside. `average`, `peak`, `reason`, `method` by hour (scopes, windows, SLOTS); NaN where there is no figure.

    `window_*` are the same of whole ended windows, with mean dwell in minutes and the residual r, shape (scopes, windows).
    `provisional` windows hold a count that may still grow, or have not ended. Reasons and methods are positions in REASONS
    and METHODS.
    """

    average: Array
    peak: Array
    reason: Array
    method: Array
    window_average: Array
    window_peak: Array
    window_dwell: Array
    window_residual: Array
    window_reason: Array
    residual_reason: Array
    window_method: Array
    provisional: Array


def reset_calendar(layout: Layout, first: int, count: int) -> Calendar:
    """The reset windows of every store that start on `count` days from `first` on."""
    return calendar(layout.zones, layout.zone, layout.reset, first, count)


def calendar_around(layout: Layout, wall: Array) -> Calendar:
    """The reset windows that cover every one of the wall-clock times."""
    if not len(wall):
        return reset_calendar(layout, 0, 1)
    first = int(wall.min()) // DAY - 1
    return reset_calendar(layout, first, int(wall.max()) // DAY - first + 1)


def camera_windows(rows: HourRows, wall: Array, windows: Calendar, layout: Layout, now: int) -> Windows:
    """The reset windows of each entrance camera by itself.

    An hour is expected of a camera that has any row in its window, or that is active and declared as installed by then;
    never before the day of its installation.
    """
    cameras, days = len(layout.store), windows.count
    day, slot = windows.locate(layout.store[rows.camera], rows.second, wall)
    inside = (day >= 0) & (day < days) & layout.is_entrance[rows.camera]
    cell = (rows.camera[inside] * days + day[inside]) * SLOTS + slot[inside]
    size = cameras * days * SLOTS
    shape = (cameras, days, SLOTS)
    counted = rows.counted[inside]

    def grid(values: Array) -> Array:
        return np.bincount(cell, weights=np.where(counted, values[inside], 0.0), minlength=size).reshape(shape)

    asked = frames.tally(cell // SLOTS, np.ones(len(cell), dtype=bool), cameras * days).reshape(cameras, days) > 0
    lengths = windows.lengths[layout.store]
    installed = np.full(cameras, -np.inf)
    zone = layout.zone[layout.store]
    declared = np.isfinite(layout.installed)
    for code in np.unique(zone[declared]):
        there = declared & (zone == code)
        installed[there] = day_starts(layout.installed[there].astype(np.int64), 0, layout.zones[code])
    slots = windows.slots[layout.store]
    reached = (slots >= installed[:, None, None]) & (np.arange(SLOTS) < lengths[:, :, None])
    expected = reached & (asked | (declared & layout.active)[:, None])[:, :, None] & layout.is_entrance[:, None, None]
    return Windows(
        entries=grid(rows.entries),
        exits=grid(rows.exits),
        expected=expected.astype(np.int16),
        counted=frames.tally(cell, counted, size).reshape(shape).astype(np.int16),
        final=frames.tally(cell, rows.complete[inside], size).reshape(shape).astype(np.int16),
        lengths=lengths,
        ended=windows.starts[layout.store, 1:] <= now,
    )


def store_windows(cameras: Windows, windows: Calendar, layout: Layout, now: int) -> Windows:
    """The reset windows of each store: sums over its entrance cameras."""

    def total(values: Array) -> Array:
        result = np.zeros((len(layout.store_ids), *values.shape[1:]), dtype=values.dtype)
        for camera, store in enumerate(layout.store):
            result[store] += values[camera]
        return result

    return Windows(
        entries=total(cameras.entries),
        exits=total(cameras.exits),
        expected=total(cameras.expected),
        counted=total(cameras.counted),
        final=total(cameras.final),
        lengths=windows.lengths,
        ended=windows.starts[:, 1:] <= now,
    )


def solve(windows: Windows) -> Occupancy:
    """The number of people inside in every hour and window."""
    present = np.arange(SLOTS) < windows.lengths[:, :, None]
    whole = (windows.counted == windows.expected) & (windows.expected > 0)
    complete = (~present | (whole & (windows.final == windows.expected))).all(axis=2) & windows.ended
    running_in, running_out = windows.entries.cumsum(axis=2), windows.exits.cumsum(axis=2)
    total_in, total_out = running_in[:, :, -1], running_out[:, :, -1]
    larger, smaller = np.maximum(total_in, total_out), np.minimum(total_in, total_out)
    residual = frames.ratio(total_in - total_out, larger)

    factor_in, factor_out = (np.where(side > 0, larger / np.maximum(side, 1), 1.0) for side in (total_in, total_out))
    corrected = running_in * factor_in[:, :, None] - running_out * factor_out[:, :, None]
    lowest = np.where(present, corrected, 0.0).min(axis=2)
    window_reason = np.select(
        [~windows.ended, ~complete, larger == 0, smaller == 0, np.abs(residual) > ESTIMATED, lowest < LOWEST * larger],
        [_OPEN, _INCOMPLETE, _NOBODY, _ONE_DIRECTION, _IMBALANCE, _NOT_CLOSED],
        0,
    )
    residual_reason = np.where(window_reason <= _NOBODY, window_reason, np.where(window_reason == _OPEN, _OPEN, 0))
    solved = window_reason == 0
    window_method = np.where(solved, np.where(np.abs(np.nan_to_num(residual)) <= MEASURED, 2, 3), 0)

    known_so_far = np.logical_and.accumulate(whole, axis=2)
    live = ~windows.ended[:, :, None] & known_so_far
    inside = np.where(live, running_in - running_out, corrected)
    inside = np.where(live | solved[:, :, None], np.maximum(inside, 0.0), np.nan)
    before = np.concatenate([np.zeros_like(inside[:, :, :1]), inside[:, :, :-1]], axis=2)
    average = (before + inside) / 2
    reason = np.where(windows.ended[:, :, None], window_reason[:, :, None], np.where(live, 0, _INCOMPLETE))

    usable = present & solved[:, :, None]
    area = np.where(usable, average, 0.0).sum(axis=2)  # person-hours: every hour is one hour long
    return Occupancy(
        average=average,
        peak=np.maximum(before, inside),
        reason=reason,
        method=np.where(live, 1, window_method[:, :, None]),
        window_average=np.where(solved, frames.ratio(area, windows.lengths.astype(float)), np.nan),
        window_peak=np.where(solved, np.where(usable, inside, 0.0).max(axis=2), np.nan),
        window_dwell=np.where(solved, frames.ratio(area * (HOUR / 60), larger), np.nan),
        window_residual=np.where(residual_reason == 0, residual, np.nan),
        window_reason=window_reason,
        residual_reason=residual_reason,
        window_method=window_method,
        provisional=~windows.ended | (windows.final < windows.counted).any(axis=2),
    )
