"""Days against earlier days: change of visitors against 7, 28 and 364 days before and against the mean same weekday.

Percent change = 100 (x / reference - 1), only between days that are complete to 0.9. The mean same weekday is that of the last
8 complete ones in the 52 weeks before, at least 4. Which rows the days come from belongs in `daily`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import Array

LOOK_BACK = 364
"""Days of history that a comparison may look at."""

COMPLETE = 0.9
_WEEKDAYS_MOST, _WEEKDAYS_LEAST = 8, 4

REASONS = ("", "incomplete_day", "no_comparable_day", "reference_zero", "too_few_days")
_INCOMPLETE, _NO_DAY, _ZERO, _FEW = range(1, len(REASONS))


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Percent change of each day, NaN where there is none, and why as a position in REASONS."""

    percent: Array
    reason: Array


def _change(value: Array, reference: Array, missing: int) -> Change:
    percent = 100 * (frames.ratio(value, reference) - 1)
    reason = np.select([np.isnan(value), np.isnan(reference), reference == 0], [_INCOMPLETE, missing, _ZERO], 0)
    return Change(percent, reason)


def changes(visitors: Array, completeness: Array) -> dict[str, Change]:
    """Changes of the days after the first LOOK_BACK ones, by column; inputs have shape (scopes, LOOK_BACK + days)."""
    usable = np.where(completeness >= COMPLETE, visitors, np.nan)
    value = usable[:, LOOK_BACK:]
    days = value.shape[1]

    def before(offset: int) -> Array:
        return usable[:, LOOK_BACK - offset : LOOK_BACK - offset + days]

    total, found = np.zeros(value.shape), np.zeros(value.shape, dtype=np.int64)
    for offset in range(7, LOOK_BACK + 1, 7):
        earlier = before(offset)
        taken = ~np.isnan(earlier) & (found < _WEEKDAYS_MOST)
        total += np.where(taken, earlier, 0.0)
        found += taken
    mean = np.where(found >= _WEEKDAYS_LEAST, frames.ratio(total, found.astype(float)), np.nan)
    return {
        "dow_avg_comparison": _change(value, mean, _FEW),
        "wow_change_percent": _change(value, before(7), _NO_DAY),
        "mom_change_percent": _change(value, before(28), _NO_DAY),
        "yoy_change_percent": _change(value, before(364), _NO_DAY),
    }
