"""What donors say of an hour: its usual count, the level of its day and of like days, and the store's other doors.

By which of them an hour is estimated, and every bound, stands in `imputation`; which hours there are, in `imputation_hours`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.imputation_hours import WEEK, OpenHours

SHORT = 4
"""Hours of the longest gap that is interpolated; trials keep as far away from the tried hour."""
WEEKS = 8
"""How far away the donors of what is usual may be."""
RATIO_BOUNDS = (0.3, 3.0)
"""Between which an hour's own ratio and that of other doors is taken."""
LEVEL_REACH = 28
"""Days within which like days are looked for."""

_OFFSET = 20.0  # a level varies by a fifth: 1 / 0.22^2 people weigh as much as its prior value of 1
_SAME_HOURS, _SAME_HOURS_LEAST = 4, 2
_LEVEL_BOUNDS = (0.5, 2.0)
_DAY_HOURS_LEAST = 3
_LEVEL_DAYS, _LEVEL_DAYS_LEAST = 7, 3
_VALID_DAY = 0.9
_SERIES_AT_A_TIME = 32  # bounds the memory of medians to some tens of megabytes


def level_of(counts: Array, usual: Array) -> Array:
    """Level of counts against what is usual; few people weigh little."""
    return (counts + _OFFSET) / (usual + _OFFSET)


def from_level(ratio: Array, usual: Array) -> Array:
    """The count that has this level, 0 at least."""
    return np.maximum(ratio * (usual + _OFFSET) - _OFFSET, 0.0)


def _times_level(usual: Array, level: Array, bounds: tuple[float, float], holiday: Array) -> Array:
    """usual x level within its bounds; a holiday may be as quiet as it likes."""
    return usual * np.clip(level, np.where(holiday, 0.0, bounds[0]), bounds[1])


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What each open hour usually counts: `counts` (values, hours), NaN with too few donors; `weeks`: a bit per donor.

    Bit n - 1 stands for n weeks before, bit WEEKS + n - 1 for n weeks after. `known`: there is a value.
    """

    counts: Array
    weeks: Array
    known: Array


def usual_of(grid: OpenHours) -> Usual:
    """The median of the nearest same hours of the week."""
    number, weeks, _ = grid.cells
    counts, bits = np.empty(grid.counts.shape), np.empty(len(grid.cell), dtype=np.int32)
    bounds = np.searchsorted(grid.series, np.arange(0, number + _SERIES_AT_A_TIME, _SERIES_AT_A_TIME))
    for part, (begin, end) in enumerate(pairwise(bounds)):
        lines = min(_SERIES_AT_A_TIME, number - part * _SERIES_AT_A_TIME)
        shape = (lines, weeks, WEEK)
        cell = grid.cell[begin:end] - part * _SERIES_AT_A_TIME * weeks * WEEK
        donor = grid.valid[begin:end] & ~grid.holiday[begin:end]
        # an hour that the wall clock shows twice is one donor: its mean
        times = np.bincount(cell[donor], minlength=lines * weeks * WEEK).reshape(shape)
        chosen, weeks_taken = _nearest_weeks(times > 0)
        bits[begin:end] = weeks_taken.reshape(-1)[cell]
        for value in range(len(grid.counts)):
            line = grid.counts[value, begin:end]
            total = np.bincount(cell[donor], weights=line[donor], minlength=lines * weeks * WEEK).reshape(shape)
            counts[value, begin:end] = _median(frames.ratio(total, times.astype(float)), chosen).reshape(-1)[cell]
    return Usual(counts, bits, np.asarray(~np.isnan(counts).any(axis=0)))


def _nearest_weeks(known: Array) -> tuple[list[tuple[int, Array]], Array]:
    """The lags in weeks (positive: earlier), each with the slot (series, weeks, hours) it fills, and the donors as bits.

    The slot of a cell that does not take the donor is the last one, which is thrown away.
    """
    chosen: list[tuple[int, Array]] = []
    bits = np.zeros(known.shape, dtype=np.int32)
    for side, first_slot in ((1, 0), (-1, _SAME_HOURS)):
        found = np.zeros(known.shape, dtype=np.int8)
        for away in range(1, min(WEEKS, known.shape[1] - 1) + 1):
            of, to = _shifted(side * away)
            taken = known[:, of] & (found[:, to] < _SAME_HOURS)
            chosen.append((side * away, np.where(taken, found[:, to] + first_slot, 2 * _SAME_HOURS)))
            found[:, to] += taken
            bits[:, to] |= taken.astype(np.int32) << (away - 1 + (0 if side > 0 else WEEKS))
    return chosen, bits


def _shifted(lag: int) -> tuple[slice, slice]:
    """Where values come from and go to along an axis that is shifted by `lag` places (positive: from earlier)."""
    return (slice(None, -lag), slice(lag, None)) if lag > 0 else (slice(-lag, None), slice(None, lag))


def _median(grid: Array, chosen: list[tuple[int, Array]]) -> Array:
    slots = np.full((2 * _SAME_HOURS + 1, *grid.shape), np.nan)
    for lag, slot in chosen:
        of, to = _shifted(lag)
        np.put_along_axis(slots[:, :, to], slot[None].astype(np.int64), grid[None, :, of], axis=0)
    slots = np.sort(slots[:-1], axis=0)  # NaN last
    found = (~np.isnan(slots)).sum(axis=0)
    low, high = (
        np.take_along_axis(slots, np.maximum(middle, 0)[None], axis=0)[0] for middle in ((found - 1) // 2, found // 2)
    )
    return np.where(found >= _SAME_HOURS_LEAST, (low + high) / 2, np.nan)


class Days:
    """What the valid hours of each (series, day) say about its level; shapes (values, series * days) and (series * days,)."""

    def __init__(self, grid: OpenHours, usual: Usual) -> None:
        self._grid, self._usual = grid, usual
        self._usable = grid.valid & usual.known
        size = grid.days[0] * grid.days[1]
        self._pairs = [
            (np.where(self._usable, counts, 0.0), np.where(self._usable, typical, 0.0))
            for counts, typical in zip(grid.counts, usual.counts, strict=True)
        ]
        self._sums = [
            tuple(np.bincount(grid.day, weights=part, minlength=size) for part in pair) for pair in self._pairs
        ]
        self.hours = frames.tally(grid.day, self._usable, size)
        expected = np.bincount(grid.day, minlength=size)
        self._ordinary = (
            (expected > 0) & (self.hours >= _VALID_DAY * expected) & (frames.tally(grid.day, grid.holiday, size) == 0)
        )

    def own(self, at: Array) -> Array:
        """Estimates (values, hours) from the other valid hours of the same day, which the hours `at` themselves are not."""
        day = self._grid.day[at]
        level = np.stack([level_of(counts[day], typical[day]) for counts, typical in self._sums])
        estimates = _times_level(self._usual.counts[:, at], level, _LEVEL_BOUNDS, self._grid.holiday[at])
        return np.where(self.hours[day] >= _DAY_HOURS_LEAST, estimates, np.nan)

    def tried(self) -> Array:
        """Estimates (values, hours) of every hour as if it and the SHORT hours on both sides of it were missing."""
        day, size = self._grid.day, len(self._grid.day)
        # a clock that is turned back at midnight shows the evening before once more
        ascending = np.maximum.accumulate(day)
        first, last = np.searchsorted(ascending, ascending), np.searchsorted(ascending, ascending, side="right")
        begin, end = np.maximum(np.arange(size) - SHORT, first), np.minimum(np.arange(size) + SHORT + 1, last)

        def without(total: Array, part: Array) -> Array:
            running = np.append(0.0, np.cumsum(part))
            return np.maximum(total[day] - (running[end] - running[begin]), 0.0)

        level = np.stack(
            [
                level_of(without(sums[0], pair[0]), without(sums[1], pair[1]))
                for sums, pair in zip(self._sums, self._pairs, strict=True)
            ]
        )
        hours = without(self.hours, self._usable.astype(float))
        estimates = _times_level(self._usual.counts, level, _LEVEL_BOUNDS, self._grid.holiday)
        return np.where(hours >= _DAY_HOURS_LEAST, estimates, np.nan)

    def like(self) -> tuple[Array, Array]:
        """Factor (values, series * days) for a day by the level of its nearest ordinary days, NaN with too few; the days as bits.

        Bit n - 1 stands for n days before, bit LEVEL_REACH + n - 1 for n days after.
        """
        shape = self._grid.days
        ordinary = self._ordinary.reshape(shape)
        sums = [tuple(part.reshape(shape) for part in pair) for pair in self._sums]
        found, bits = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        total = np.zeros((len(sums), 2, *shape))
        for away in range(1, min(LEVEL_REACH, shape[1] - 1) + 1):
            for side, first_bit in ((1, 0), (-1, LEVEL_REACH)):
                of, to = _shifted(side * away)
                taken = ordinary[:, of] & (found[:, to] < _LEVEL_DAYS)
                found[:, to] += taken
                bits[:, to] |= taken.astype(np.int64) << (first_bit + away - 1)
                for value, pair in enumerate(sums):
                    for part in (0, 1):
                        total[value, part][:, to] += np.where(taken, pair[part][:, of], 0.0)
        level = np.sqrt(np.clip(level_of(total[:, 0], total[:, 1]), *_LEVEL_BOUNDS))
        level[:, found < _LEVEL_DAYS_LEAST] = np.nan
        return level.reshape(len(sums), -1), bits.reshape(-1)


class Sisters:
    """What the other series of the same store say about an hour."""

    def __init__(self, grid: OpenHours, usual: Usual, names: Array) -> None:
        self._grid, self._usual, self._names = grid, usual, names
        usable = grid.valid & usual.known
        doors = np.bincount(grid.store[np.append(True, grid.series[1:] != grid.series[:-1]) & (grid.store >= 0)])
        self.exist = bool((doors > 1).any())
        if not self.exist:
            return
        several = (grid.store >= 0) & (doors[np.maximum(grid.store, 0)] > 1)
        hour, distinct = pd.factorize((grid.store << 40) + grid.second)
        self._hour, size = hour, len(distinct)
        self._usable = usable & several
        self._counting = self._usable & grid.counted[:, grid.series]
        self._doors = [frames.tally(hour, counting, size) for counting in self._counting]
        self._pairs = [
            (np.where(self._usable, counts, 0.0), np.where(self._usable, typical, 0.0))
            for counts, typical in zip(grid.counts, usual.counts, strict=True)
        ]
        self._sums = [tuple(np.bincount(hour, weights=part, minlength=size) for part in pair) for pair in self._pairs]
        self._sorted = np.flatnonzero(self._usable)
        self._sorted = self._sorted[np.argsort(hour[self._sorted], kind="stable")]

    def estimates(self, at: Array) -> Array:
        """Estimates (values, hours), NaN where no other door of the store has a valid hour."""
        if not self.exist:
            return np.full((len(self._grid.counts), len(at)), np.nan)
        hour = self._hour[at]
        level = np.stack(
            [
                level_of(*(np.maximum(total[hour] - own[at], 0.0) for total, own in zip(sums, pair, strict=True)))
                for sums, pair in zip(self._sums, self._pairs, strict=True)
            ]
        )
        others = np.stack([doors[hour] for doors in self._doors]) - self._counting[:, at]
        answered = (others > 0) | ~self._grid.counted[:, self._grid.series[at]]
        estimates = _times_level(self._usual.counts[:, at], level, RATIO_BOUNDS, self._grid.holiday[at])
        return np.where(answered, estimates, np.nan)

    def named(self, at: Array) -> list[tuple[str, ...]]:
        """The doors that the estimates of the hours `at`, which are missing, come from."""
        hours = self._hour[self._sorted]
        begin, end = np.searchsorted(hours, self._hour[at]), np.searchsorted(hours, self._hour[at], side="right")
        result = []
        for own, low, high in zip(self._grid.series[at], begin, end, strict=True):
            others = self._grid.series[self._sorted[low:high]]
            alike = (self._grid.counted[:, others] & self._grid.counted[:, [own]]).any(axis=0)
            result.append(tuple(self._names[others[alike]].tolist()))
        return result
