"""The one learner that all series share: rows to learn from, and what its trees answer in people.

The median is asked in two forms, whose answers are averaged: the difference to the usual count in units of the series' mean,
and relative to the usual count. Additive and multiplicative effects differ, and so do the errors of the two, and those of
another draw of rows. Which series the
learner answers, and how wide its intervals must be, belongs in `forecast`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics.forecast_features import Features, build
from retail_sensors.analytics.forecast_grid import WEEK, Grid
from retail_sensors.analytics.forecast_trees import Settings, Trees, grow
from retail_sensors.analytics.frames import Array

LAST_HORIZON = 168
GROUP_STARTS = (1, 7, 25, 73)
"""First horizon of each group of horizons that have offsets of their own."""

WARM_WEEKS = 5
"""Weeks at the start of a grid that features look back on, and nothing is learnt from."""

_TAILS = (0.025, 0.10, 0.90, 0.975)
_POINT = Settings(trees=180, learning_rate=0.06, leaves=31, leaf_share=1 / 200)
_TAIL = Settings(trees=100, learning_rate=0.08, leaves=15, leaf_share=1 / 200)
_RELATIVE_FLOOR = 0.05
_LEAST_ROWS = 500
_TURNS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What is asked: series and columns of the grid. `origin` is the first unknown hour."""

    series: Array
    origin: Array
    target: Array

    def __len__(self) -> int:
        return len(self.target)

    @property
    def group(self) -> Array:
        """Group of horizons: up to 6 hours, a day, three days, a week."""
        return np.searchsorted(GROUP_STARTS, self.target - self.origin + 1, side="right") - 1

    def where(self, chosen: Array) -> Rows:
        """The chosen rows."""
        return Rows(self.series[chosen], self.origin[chosen], self.target[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """Trees that answer in people once scaled back: both forms of the median, twice each, the tails, and the tested median.

    `tested` and `tails` learnt from hours before the calibration weeks only, `absolute` and `relative` from all hours.
    """

    absolute: tuple[Trees, ...]
    relative: tuple[Trees, ...]
    tested: Trees
    tails: tuple[Trees, ...]

    def median(self, table: Array, seen: Features) -> Array:
        """People expected in each row's hour: the mean of all answers."""
        answers = [people(trees, table, seen, relative=False) for trees in self.absolute]
        answers += [people(trees, table, seen, relative=True) for trees in self.relative]
        return np.asarray(np.mean(answers, axis=0))


def teach(grid: Grid, boundary: int, end: int, seed: int, count: int) -> tuple[Learner, tuple[str, ...]] | None:
    """The learner from at most `count` rows before `end`, and the names of its features; None where nothing can be learnt.

    What is to be tested on later hours learns from two thirds as many rows before `boundary`.
    """
    random = np.random.default_rng(seed)
    past = sample(grid, boundary, count * 2 // 3, random)
    first = _Lesson.of(grid, past, None)
    if len(first.actual) < _LEAST_ROWS:
        return None
    tested = first.learn(0.5, _TAIL, seed, relative=False)
    ends = tuple(first.learn(quantile, _TAIL, seed, relative=False) for quantile in _TAILS)
    absolute, relative = [], []
    for turn in range(_TURNS):
        lesson = _Lesson.of(grid, sample(grid, end, count, random), first.names)
        absolute.append(lesson.learn(0.5, _POINT, seed + turn, relative=False))
        relative.append(lesson.learn(0.5, _POINT, seed + turn, relative=True))
    return Learner(tuple(absolute), tuple(relative), tested, ends), first.names


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    """Rows to learn from: features with a column per name, and the people counted in each target hour."""

    names: tuple[str, ...]
    table: Array
    base: Array
    scale: Array
    actual: Array

    @staticmethod
    def of(grid: Grid, rows: Rows, names: tuple[str, ...] | None) -> _Lesson:
        """The usable rows; without names, the features that differ between rows."""
        seen = build(grid, rows.series, rows.origin, rows.target)
        usable = seen.usable
        if names is None:
            table = seen.table[usable]
            differs = np.nanmax(np.nan_to_num(table, nan=-np.inf), axis=0) > np.nanmin(
                np.nan_to_num(table, nan=np.inf), axis=0
            )
            names = tuple(name for name, keep in zip(seen.names, differs, strict=True) if keep)
            if grid.hours < 2 * 52 * WEEK:
                # a date that was seen once cannot be told from the trend
                names = tuple(name for name in names if name != "day_of_year")
        actual = grid.values[rows.series, rows.target][usable]
        return _Lesson(names, seen.columns(names)[usable], seen.base[usable], seen.scale[usable], actual)

    def learn(self, quantile: float, settings: Settings, seed: int, relative: bool) -> Trees:
        """Trees of a quantile; errors of a series weigh as the square root of its size: neither street nor door is forgotten."""
        unit = _unit(self.base, self.scale, relative)
        weight = unit / np.sqrt(self.scale)
        wanted = (self.actual - self.base) / unit
        return grow(self.table, wanted, weight / weight.mean(), quantile, settings, seed)


def _unit(base: Array, scale: Array, relative: bool) -> Array:
    return base + _RELATIVE_FLOOR * scale if relative else scale


def people(trees: Trees, table: Array, seen: Features, relative: bool) -> Array:
    return np.asarray(seen.base + trees.answer(table) * _unit(seen.base, seen.scale, relative))


def tails(learner: Learner, table: Array, seen: Features) -> tuple[list[Array], list[Array]]:
    """Learnt lower and upper ends of each coverage, in order and not below 0."""
    ends = np.sort(np.stack([people(trees, table, seen, relative=False) for trees in learner.tails]), axis=0)
    ends = np.where(np.isnan(seen.base), np.nan, np.maximum(ends, 0.0))
    return [ends[1], ends[0]], [ends[2], ends[3]]


def least_width(scale: Array) -> Array:
    return np.maximum(0.02 * scale, 1.0)


def sample(grid: Grid, end: int, count: int, random: np.random.Generator) -> Rows:
    """At most `count` random counted, open hours before a column, each with a random origin; six in ten at most a day ahead."""
    start = min(WARM_WEEKS * WEEK, end)
    series, hour = np.nonzero(~np.isnan(grid.values[:, start:end]))
    open_now = grid.is_open(series, hour + start)
    series, hour = series[open_now], hour[open_now] + start
    chosen = random.choice(len(hour), size=min(count, len(hour)), replace=False)
    series, hour = series[chosen], hour[chosen]
    near = random.random(len(hour)) < 0.6
    horizon = np.where(near, random.integers(1, 25, len(hour)), random.integers(1, LAST_HORIZON + 1, len(hour)))
    return Rows(series, hour - horizon + 1, hour)
