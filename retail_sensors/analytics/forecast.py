"""Hourly counts 1 to 168 hours ahead, with intervals that hold what they say: one learner for all sensors, simple rules beside it.

The point is the median of a boosted-tree learner that all series share (direct: the horizon is a feature, lags are those known
at the origin), averaged over two forms of the same question: the difference to the usual count in units of the series' mean,
and relative to the usual count. Additive and multiplicative effects differ, and so do the errors of the two. A series stays
on the simple rule, the median of the last 4 same hours of the week, for one of REASONS.

Intervals come from learnt quantiles, widened by what forecasts of the last weeks, from which those quantiles did not learn,
fell outside (`conformal`): per series and group of horizons where these have enough scores, else over all series. Closed
hours are predicted 0. Features belong in `forecast_features`, clocks and rules in `forecast_grid`, measured accuracy
in `forecast_backtest`, the stored form in `forecast_store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd

from retail_sensors.analytics import conformal, forecast_grid, frames
from retail_sensors.analytics.forecast_features import Features, build
from retail_sensors.analytics.forecast_grid import NOTHING_KNOWN, WEEK, Grid, Regressors
from retail_sensors.analytics.forecast_trees import Settings, Trees, grow
from retail_sensors.analytics.frames import HOUR, Array
from retail_sensors.analytics.localtime import walls
from retail_sensors.errors import ContractError

REASONS = ("", "new", "dead", "own_backtest", "no_recent_level")
"""Why a series, or a row, is answered by the simple rule: no reason; counted for less than 6 weeks, or unknown to the model;
over half of the busy hours of 8 weeks zero or missing; the rule erred less in the last weeks; no counts in the last 4 weeks."""
_LEARNT, _NEW, _DEAD, _OWN_BACKTEST, _NO_LEVEL = range(len(REASONS))

METHODS = ("boosted_median", "median_4", "closed")
"""What gave a value: the learner, the simple rule, or the opening hours."""

COVERAGES = (0.80, 0.95)
LAST_HORIZON = 168

_TAILS = (0.025, 0.10, 0.90, 0.975)
_GROUP_STARTS = (1, 7, 25, 73)
_GROUPS = len(_GROUP_STARTS)
_READ_WEEKS = 62  # what features of one origin look back on: the same date last year and the 4 weeks before it
_TRAIN_WEEKS = 4 * 52 + 8
_WARM_WEEKS = 5
_LEAST_WEEKS = 9
_CALIBRATION_WEEKS = 8
_NEW_WEEKS = 6
_OWN_SCORES = 150
_ROWS, _TAIL_ROWS, _CALIBRATION_ROWS, _CALIBRATION_PER_SERIES = 90_000, 60_000, 90_000, 900
_POINT = Settings(trees=180, learning_rate=0.06, leaves=31, leaf_share=1 / 200)
_TAIL = Settings(trees=100, learning_rate=0.08, leaves=15, leaf_share=1 / 200)
_RELATIVE_FLOOR = 0.05
_UNTESTED_OFFSETS = (0.5, 1.5)
"""Offsets of the simple rule's intervals as long as no series has scores: about 1.3 times what normal errors would need."""


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """Trees that answer in people once scaled back: two forms of the median, the tails, and the median that was tested.

    `tested` and `tails` learnt from hours before the calibration weeks only, `absolute` and `relative` from all hours.
    """

    absolute: Trees
    relative: Trees
    tested: Trees
    tails: tuple[Trees, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ForecastModel:
    """All that a prediction needs but the recent counts.

    `learner` is None when no series has enough history. `series`: names, with `reasons` (positions in REASONS), mean absolute
    errors of the back-test in people (`learnt_errors`, `rule_errors`; NaN: not tested) and `offsets` (series, horizon
    groups, coverages) of the learnt intervals, `rule_offsets` of the simple rule's, in widths; `pooled_...` (horizon groups,
    coverages) are those over all series.
    `trained_from`, `trained_to`: instants between which it learnt; `calibrated_at`: up to where its offsets look;
    `untold_from`: wall-clock hour since 1970 from which on the tested parts of the learner have seen nothing.
    """

    features: tuple[str, ...]
    learner: Learner | None
    series: tuple[str, ...]
    reasons: Array
    learnt_errors: Array
    rule_errors: Array
    offsets: Array
    pooled_offsets: Array
    rule_offsets: Array
    pooled_rule_offsets: Array
    trained_from: datetime
    trained_to: datetime
    calibrated_at: datetime
    untold_from: int
    seed: int


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
        return np.searchsorted(_GROUP_STARTS, self.target - self.origin + 1, side="right") - 1

    def where(self, chosen: Array) -> Rows:
        """The chosen rows."""
        return Rows(self.series[chosen], self.origin[chosen], self.target[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """People in the target hour of each row, NaN where nothing is known. `lower`, `upper`: (coverages, rows)."""

    point: Array
    lower: Array
    upper: Array
    method: Array
    reason: Array


def train(
    history: pd.DataFrame,
    places: pd.DataFrame | None,
    origin: datetime,
    seed: int,
    regressors: Regressors = NOTHING_KNOWN,
) -> ForecastModel:
    """The model of all series from the hours that had ended at the origin.

    `history`: one row per series and hour (`series`, `hour_start` zone-aware, `value` in people, NULL: not counted);
    `places`: one row per series (`series`, `timezone`, optionally `opening_hours` as in `stores`), UTC and always open
    without it. The last four years are used. Raises ContractError as `forecast_grid.read` does.
    """
    grid = forecast_grid.read(history, places, origin, _TRAIN_WEEKS, regressors)
    return fit(grid, grid.hours, origin, seed)


def recalibrate(
    model: ForecastModel,
    history: pd.DataFrame,
    places: pd.DataFrame | None,
    origin: datetime,
    regressors: Regressors = NOTHING_KNOWN,
) -> ForecastModel:
    """The same learner with offsets and choices of the weeks before a later origin; takes seconds.

    Series that the model does not know are left out. ContractError: the origin is before the end of its training.
    """
    if origin < model.trained_to:
        raise ContractError(f"The model learnt up to {model.trained_to.isoformat()}; calibrate it at a later origin.")
    grid = forecast_grid.read(history, places, origin, _READ_WEEKS + _CALIBRATION_WEEKS, regressors, model.series)
    return calibrate(model, grid, grid.hours, origin)


def predict(
    model: ForecastModel,
    history: pd.DataFrame,
    places: pd.DataFrame | None,
    origin: datetime,
    horizons: Sequence[int] = range(1, LAST_HORIZON + 1),
    regressors: Regressors = NOTHING_KNOWN,
) -> pd.DataFrame:
    """One row per series of the history and horizon: people expected in the hour, and between which numbers.

    Horizon 1 is the first hour that had not ended at the origin. Columns `series`, `target_time` (UTC start of the hour),
    `horizon_hours`, `predicted_value`, `lower_80`, `upper_80`, `lower_95`, `upper_95`, `method` (METHODS), `reason`
    (REASONS). No row where nothing is known: a sensor that has never counted at that hour of the day.
    Rows of the history from the origin on are not read.
    """
    wanted = np.array(sorted(set(horizons)), dtype=np.int64)
    if len(wanted) and (wanted[0] < 1 or wanted[-1] > LAST_HORIZON):
        raise ContractError(f"Horizons run from 1 to {LAST_HORIZON} hours; {wanted[0]} to {wanted[-1]} was asked.")
    grid = forecast_grid.read(history, places, origin, _READ_WEEKS, regressors)
    first, wall = grid.clocks.first_targets(frames.instant(origin, "origin"))
    series = np.repeat(np.arange(len(grid.clocks.names)), len(wanted))
    horizon = np.tile(wanted, len(grid.clocks.names))
    second = first[series] + (horizon - 1) * HOUR
    zone_names, zone = np.unique(grid.clocks.zones.astype(str), return_inverse=True)
    target = walls(tuple(zone_names), zone[series], second) // HOUR - grid.first
    rows = Rows(series, wall[series] - grid.first, target)
    reasons = reasons_now(model, grid, grid.hours)
    answers = answer(model, grid, rows, reasons)
    known = ~np.isnan(answers.point)
    name = np.array(grid.clocks.names, dtype=object)
    return pd.DataFrame(
        {
            "series": pd.array(name[series[known]], dtype="string"),
            "target_time": pd.DatetimeIndex(second[known].astype("datetime64[s]").astype("datetime64[us]"), tz="UTC"),
            "horizon_hours": horizon[known],
            "predicted_value": answers.point[known],
            "lower_80": answers.lower[0][known],
            "upper_80": answers.upper[0][known],
            "lower_95": answers.lower[1][known],
            "upper_95": answers.upper[1][known],
            "method": pd.array(np.array(METHODS, dtype=object)[answers.method[known]], dtype="string"),
            "reason": pd.array(np.array(REASONS, dtype=object)[answers.reason[known]], dtype="string"),
        }
    )


def fit(grid: Grid, origin: int, at: datetime, seed: int) -> ForecastModel:
    """The model that learns from the columns before `origin`, which is the instant `at`."""
    weeks = origin // WEEK
    held_out = min(_CALIBRATION_WEEKS, max((weeks - _WARM_WEEKS) // 2, 0))
    boundary = origin - held_out * WEEK
    random = np.random.default_rng(seed)
    count = len(grid.clocks.names)
    learner: Learner | None = None
    names: tuple[str, ...] = ()
    past = _sample(grid, boundary, _TAIL_ROWS, random) if weeks >= _LEAST_WEEKS else None
    if past is not None and len(past) >= _OWN_SCORES:
        tail = _Lesson.of(grid, past, None)
        names = tail.names
        tested = tail.learn(0.5, _TAIL, seed, relative=False)
        tails = tuple(tail.learn(quantile, _TAIL, seed, relative=False) for quantile in _TAILS)
        forms = [
            _Lesson.of(grid, _sample(grid, origin, _ROWS, random), names).learn(0.5, _POINT, seed + form, bool(form))
            for form in (0, 1)
        ]
        learner = Learner(forms[0], forms[1], tested, tails)
    blank = np.full(count, np.nan)
    model = ForecastModel(
        features=names,
        learner=learner,
        series=grid.clocks.names,
        reasons=np.full(count, _NEW),
        learnt_errors=blank,
        rule_errors=blank,
        offsets=np.full((count, _GROUPS, len(COVERAGES)), np.nan),
        pooled_offsets=np.full((_GROUPS, len(COVERAGES)), np.nan),
        rule_offsets=np.tile(_UNTESTED_OFFSETS, (count, _GROUPS, 1)),
        pooled_rule_offsets=np.tile(_UNTESTED_OFFSETS, (_GROUPS, 1)),
        trained_from=at - timedelta(hours=origin),
        trained_to=at,
        calibrated_at=at,
        untold_from=grid.first + boundary,
        seed=seed,
    )
    return calibrate(model, grid, origin, at) if learner is not None else model


def calibrate(model: ForecastModel, grid: Grid, origin: int, at: datetime) -> ForecastModel:
    """The model with offsets and choices from forecasts of the weeks before a column, made by its tested parts."""
    if model.learner is None:
        return model
    start = max(origin - _CALIBRATION_WEEKS * WEEK, model.untold_from - grid.first)
    rows = _calibration_rows(grid, start, origin, np.random.default_rng(model.seed))
    seen = build(grid, rows.series, rows.origin, rows.target)
    guess = forecast_grid.first_guess(grid, rows.series, rows.origin, rows.target)
    # hours that are always empty are always right: left in, they would let the busy ones be wrong more often
    scored = ~np.isnan(guess) & ~idle(grid, rows)
    rows, guess, seen = rows.where(scored), guess[scored], seen.where(scored)
    actual = grid.values[rows.series, rows.target]
    below, above = _rule_interval(grid, rows, guess)
    outside = [conformal.scores(actual, below, above, np.ones(len(rows)))] * len(COVERAGES)
    count = len(grid.clocks.names)
    rule_offsets, rule_pooled = _offsets(outside, rows, count)
    untested = np.isnan(rule_pooled)
    rule_pooled = np.where(untested, np.tile(_UNTESTED_OFFSETS, (_GROUPS, 1)), rule_pooled)

    usable = seen.usable
    rows, guess, seen, actual = rows.where(usable), guess[usable], seen.where(usable), actual[usable]
    table = seen.columns(model.features)
    point = _people(model.learner.tested, table, seen, relative=False)
    tested = np.bincount(rows.series, minlength=count)
    learnt_errors = frames.ratio(_sums(rows.series, np.abs(point - actual), count), tested.astype(float))
    rule_errors = frames.ratio(_sums(rows.series, np.abs(guess - actual), count), tested.astype(float))
    reasons = np.where(learnt_errors < rule_errors, _LEARNT, _OWN_BACKTEST)
    reasons[_is_new(grid, origin) | (tested < _OWN_SCORES)] = _NEW
    width = _least_width(seen.scale)
    ends = zip(*_tails(model.learner, table, seen), strict=True)
    offsets, pooled = _offsets([conformal.scores(actual, low, high, width) for low, high in ends], rows, count)
    return replace(
        model,
        reasons=reasons,
        learnt_errors=learnt_errors,
        rule_errors=rule_errors,
        offsets=np.where(np.isnan(offsets), pooled, offsets),
        pooled_offsets=pooled,
        rule_offsets=np.where(np.isnan(rule_offsets), rule_pooled, rule_offsets),
        pooled_rule_offsets=rule_pooled,
        calibrated_at=at,
    )


def reasons_now(model: ForecastModel, grid: Grid, origin: int) -> Array:
    """Reason of each series of the grid at a column: the model's, unless it has died since or is unknown to it."""
    place = frames.codes(np.array(model.series, dtype=object), np.array(grid.clocks.names, dtype=object))
    reasons = np.where(place >= 0, model.reasons[np.clip(place, 0, None)] if len(model.series) else _NEW, _NEW)
    dead = forecast_grid.is_dead(grid, origin) & ~_is_new(grid, origin)
    return np.where(dead, _DEAD, reasons)


def idle(grid: Grid, rows: Rows) -> Array:
    """Rows of closed hours, and of hours in which nobody came in the last 4 same hours of the week."""
    nobody = forecast_grid.mean_4(grid, rows.series, rows.origin, rows.target) == 0
    return ~grid.is_open(rows.series, rows.target) | nobody


def answer(model: ForecastModel, grid: Grid, rows: Rows, reasons: Array) -> Answers:
    """Point and intervals of each row; `reasons` of each series of the grid as `reasons_now` gives them."""
    guess = forecast_grid.first_guess(grid, rows.series, rows.origin, rows.target)
    reason = reasons[rows.series]
    below, above = _rule_interval(grid, rows, guess)
    names = np.array(grid.clocks.names, dtype=object)
    own = frames.codes(np.array(model.series, dtype=object), names)[rows.series]

    def offsets(by_series: Array, pooled: Array, place: int) -> Array:
        of_all = pooled[rows.group, place]
        return np.where(own >= 0, by_series[own, rows.group, place], of_all) if len(by_series) else of_all

    ends = [
        conformal.widened(
            below, above, offsets(model.rule_offsets, model.pooled_rule_offsets, place), np.ones(len(rows))
        )
        for place in range(len(COVERAGES))
    ]
    lower, upper = np.stack([end[0] for end in ends]), np.stack([end[1] for end in ends])
    point = guess.copy()
    if model.learner is not None and len(rows):
        seen = build(grid, rows.series, rows.origin, rows.target)
        reason = np.where((reason == _LEARNT) & ~seen.usable, _NO_LEVEL, reason)
        table = seen.columns(model.features)
        absolute = _people(model.learner.absolute, table, seen, relative=False)
        relative = _people(model.learner.relative, table, seen, relative=True)
        point = np.where(reason == _LEARNT, (absolute + relative) / 2, point)
        # the rule may be the better point and the learnt spread still the better spread
        spread = seen.usable & np.isin(reason, (_LEARNT, _OWN_BACKTEST))
        low, high = _tails(model.learner, table, seen)
        for place in range(len(COVERAGES)):
            by = offsets(model.offsets, model.pooled_offsets, place)
            ends_learnt = conformal.widened(low[place], high[place], by, _least_width(seen.scale))
            use = spread & ~np.isnan(by)
            lower[place], upper[place] = (
                np.where(use, learnt, simple)
                for learnt, simple in zip(ends_learnt, (lower[place], upper[place]), strict=True)
            )
    point = np.maximum(point, 0.0)
    lower[0], upper[0] = np.minimum(lower[0], point), np.maximum(upper[0], point)
    lower[1], upper[1] = np.minimum(lower[1], lower[0]), np.maximum(upper[1], upper[0])
    lower = np.maximum(lower, 0.0)
    closed = ~grid.is_open(rows.series, rows.target)
    point[closed] = lower[:, closed] = upper[:, closed] = 0.0
    method = np.select([closed, reason == _LEARNT], [2, 0], 1)
    return Answers(point, lower, upper, method, np.where(closed, _LEARNT, reason))


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
        """Trees of a quantile; errors of a series weigh as the square root of its size: neither bar nor door is forgotten."""
        unit = _unit(self.base, self.scale, relative)
        weight = unit / np.sqrt(self.scale)
        wanted = (self.actual - self.base) / unit
        return grow(self.table, wanted, weight / weight.mean(), quantile, settings, seed)


def _unit(base: Array, scale: Array, relative: bool) -> Array:
    return base + _RELATIVE_FLOOR * scale if relative else scale


def _people(trees: Trees, table: Array, seen: Features, relative: bool) -> Array:
    return np.asarray(seen.base + trees.answer(table) * _unit(seen.base, seen.scale, relative))


def _tails(learner: Learner, table: Array, seen: Features) -> tuple[list[Array], list[Array]]:
    """Learnt lower and upper ends of each coverage, in order and not below 0."""
    ends = np.sort(np.stack([_people(trees, table, seen, relative=False) for trees in learner.tails]), axis=0)
    ends = np.where(np.isnan(seen.base), np.nan, np.maximum(ends, 0.0))
    return [ends[1], ends[0]], [ends[2], ends[3]]


def _least_width(scale: Array) -> Array:
    return np.maximum(0.02 * scale, 1.0)


def _rule_interval(grid: Grid, rows: Rows, guess: Array) -> tuple[Array, Array]:
    """The guess less and plus the mean distance of the last 8 same hours to it, at least the root of a Poisson count."""
    lags = forecast_grid.same_hours(grid, rows.series, rows.origin, rows.target, 8)
    known = ~np.isnan(lags)
    distance = frames.ratio(np.where(known, np.abs(lags - guess), 0.0).sum(axis=0), known.sum(axis=0).astype(float))
    spread = np.fmax(distance, np.sqrt(guess))
    return guess - spread, guess + spread


def _sums(groups: Array, values: Array, count: int) -> Array:
    return np.bincount(groups, weights=values, minlength=count)


def _offsets(outside: Sequence[Array], rows: Rows, count: int) -> tuple[Array, Array]:
    """Offsets (series, groups, coverages), NaN where a series has too few scores, and those over all series."""
    by_series = np.full((count, _GROUPS, len(COVERAGES)), np.nan)
    pooled = np.full((_GROUPS, len(COVERAGES)), np.nan)
    for group in range(_GROUPS):
        there = np.flatnonzero(rows.group == group)
        enough = np.flatnonzero(np.bincount(rows.series[there], minlength=count) >= _OWN_SCORES)
        for place, coverage in enumerate(COVERAGES):
            pooled[group, place] = conformal.offset(outside[place][there], coverage)
            for one in enough:
                mine = there[rows.series[there] == one]
                by_series[one, group, place] = conformal.offset(outside[place][mine], coverage)
    return by_series, pooled


def _is_new(grid: Grid, origin: int) -> Array:
    """Series whose first count is less than 6 weeks before a column, or that have none."""
    known = ~np.isnan(grid.values[:, :origin])
    first = np.where(known.any(axis=1), known.argmax(axis=1), origin)
    return np.asarray(origin - first < _NEW_WEEKS * WEEK)


def _sample(grid: Grid, end: int, count: int, random: np.random.Generator) -> Rows:
    """At most `count` random counted, open hours before a column, each with a random origin; six in ten at most a day ahead."""
    start = min(_WARM_WEEKS * WEEK, end)
    series, hour = np.nonzero(~np.isnan(grid.values[:, start:end]))
    open_now = grid.is_open(series, hour + start)
    series, hour = series[open_now], hour[open_now] + start
    chosen = random.choice(len(hour), size=min(count, len(hour)), replace=False)
    series, hour = series[chosen], hour[chosen]
    near = random.random(len(hour)) < 0.6
    horizon = np.where(near, random.integers(1, 25, len(hour)), random.integers(1, LAST_HORIZON + 1, len(hour)))
    return Rows(series, hour - horizon + 1, hour)


def _calibration_rows(grid: Grid, start: int, end: int, random: np.random.Generator) -> Rows:
    """Counted hours of [start, end) of each series, as many for each group of horizons, each with a random horizon of it."""
    each = max(1, min(_CALIBRATION_PER_SERIES, _CALIBRATION_ROWS // max(1, len(grid.values) * _GROUPS)))
    edges = (*_GROUP_STARTS, LAST_HORIZON + 1)
    parts = []
    for series, values in enumerate(grid.values[:, start:end]):
        hours = np.flatnonzero(~np.isnan(values)) + start
        for low, high in pairwise(edges):
            chosen = random.choice(hours, size=min(each, len(hours)), replace=False)
            horizon = random.integers(low, high, len(chosen))
            parts.append(np.stack([np.full(len(chosen), series), chosen - horizon + 1, chosen]))
    table = np.concatenate(parts, axis=1) if parts else np.empty((3, 0), dtype=np.int64)
    return Rows(table[0], table[1], table[2])
