"""Days against earlier days: change of visitors against 7, 28 and 364 days before and against the mean same weekday.

Percent change = 100 (x / reference - 1), only between days that are complete to 0.9. The mean same weekday is that of the last
8 complete ones without a holiday in the 52 weeks before, at least 4. A holiday has no like a week or four weeks before; a year
before it is the holiday of the same name, whatever its date. Which rows the days come from belongs in `daily`, which holidays
are the same in `holidays`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import Array

YEAR = 364
"""Days of a like-for-like year: 52 whole weeks."""

LOOK_BACK = 420
"""Days of history that a comparison may look at: Easter of the year before is up to 13 months ago."""

COMPLETE = 0.9
_WEEKDAYS_MOST, _WEEKDAYS_LEAST = 8, 4

REASONS = ("", "incomplete_day", "no_comparable_day", "reference_zero", "too_few_days", "holiday")
_INCOMPLETE, _NO_DAY, _ZERO, _FEW, _HOLIDAY = range(1, len(REASONS))


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Percent change of each day, NaN where there is none, and why as a position in REASONS."""

    percent: Array
    reason: Array


def _change(value: Array, reference: Array, missing: int, unlike: Array | None = None) -> Change:
    if unlike is not None:
        reference = np.where(unlike, np.nan, reference)
    percent = 100 * (frames.ratio(value, reference) - 1)
    reason = np.select([np.isnan(value), np.isnan(reference), reference == 0], [_INCOMPLETE, missing, _ZERO], 0)
    if unlike is not None:
        reason = np.where(unlike & ~np.isnan(value), _HOLIDAY, reason)
    return Change(percent, reason)


def changes(visitors: Array, completeness: Array, is_holiday: Array, same_holiday: Array) -> dict[str, Change]:
    """Changes of the days after the first LOOK_BACK ones, by column; inputs have shape (scopes, LOOK_BACK + days).

    `same_holiday`: days back to the same-named holiday of the year before, 0 where there is none; shape (scopes, days).
    """
    usable = np.where(completeness >= COMPLETE, visitors, np.nan)
    value, today = usable[:, LOOK_BACK:], is_holiday[:, LOOK_BACK:]
    days = value.shape[1]

    def before(offset: int, values: Array = usable) -> Array:
        return values[:, LOOK_BACK - offset : LOOK_BACK - offset + days]

    def unlike(offset: int) -> Array:
        return np.asarray(today | before(offset, is_holiday))

    plain = np.where(is_holiday, np.nan, usable)
    total, found = np.zeros(value.shape), np.zeros(value.shape, dtype=np.int64)
    for offset in range(7, YEAR + 1, 7):
        earlier = before(offset, plain)
        taken = ~np.isnan(earlier) & (found < _WEEKDAYS_MOST)
        total += np.where(taken, earlier, 0.0)
        found += taken
    mean = np.where(found >= _WEEKDAYS_LEAST, frames.ratio(total, found.astype(float)), np.nan)

    row, column = np.nonzero((same_holiday > 0) & (same_holiday <= LOOK_BACK))
    year = np.where(today, np.nan, before(YEAR))
    year[row, column] = usable[row, LOOK_BACK + column - same_holiday[row, column]]
    return {
        "dow_avg_comparison": _change(value, mean, _FEW),
        "wow_change_percent": _change(value, before(7), _NO_DAY, unlike(7)),
        "mom_change_percent": _change(value, before(28), _NO_DAY, unlike(28)),
        "yoy_change_percent": _change(value, year, _NO_DAY, ~today & before(YEAR, is_holiday)),
    }
