"""Hourly counts 1 to 168 hours ahead, with intervals that hold what they say: one learner for all sensors, and a simple rule.

The point is the median of a boosted-tree learner that all series share (direct: the horizon is a feature, lags are those known
at the origin). A series stays on the simple rule, the median of the last 4 same hours of the week, for one of REASONS.

Intervals come from learnt quantiles, widened by what forecasts of the last 8 weeks, from which those quantiles did not learn,
fell outside (`conformal`), newer weeks weighing more: per series and group of horizons where these have enough scores, leaning
on those of all series, else over all series. Closed hours are predicted 0.

Features belong in `forecast_features`, clocks and rules in `forecast_grid`, learning in `forecast_learner`, measured accuracy
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
from retail_sensors.analytics.forecast_features import build
from retail_sensors.analytics.forecast_grid import NOTHING_KNOWN, WEEK, Grid, Regressors
from retail_sensors.analytics.forecast_learner import (
    GROUP_STARTS,
    LAST_HORIZON,
    WARM_WEEKS,
    Learner,
    Rows,
    least_width,
    people,
    tails,
    teach,
)
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
ROWS = 90_000
"""Rows that each form of the median learns from at most; the tails learn from two thirds of them."""

TRAIN_WEEKS = 5 * 52 + 8
"""Weeks that a model learns from at most: five years, so that a school holiday has been seen four times."""

READ_WEEKS = 62
"""Weeks that a prediction reads: the same date last year and the 4 weeks before it, with room for the calendar."""

CALIBRATION_WEEKS = 8
"""Weeks before an origin whose forecasts set the width of intervals and the choice between learner and rule."""

_GROUPS = len(GROUP_STARTS)
_LEAST_WEEKS = 9
_NEW_WEEKS = 6
_HALF_LIFE_DAYS = 7
_LEANING = 0.3
_OWN_SCORES = 100
_TRIAL_ROWS, _TRIAL_PER_SERIES = 120_000, 900
_UNTESTED_OFFSETS = (0.5, 1.5)
"""Offsets of the simple rule's intervals as long as no series has scores: 1.25 and 1.6 times what normal errors would need."""


@dataclass(frozen=True, slots=True, eq=False)
class ForecastModel:
    """All that a prediction needs but the recent counts.

    `learner` is None when no series has enough history. `series`: names, with `reasons` (positions in REASONS), mean absolute
    errors of the back-test in people (`learnt_errors`, `rule_errors`; NaN: not tested) and `offsets` (series, horizon
    groups, coverages) of the learnt intervals, `rule_offsets` of the simple rule's, in widths; `pooled_...` (horizon groups,
    coverages) are those over all series.
    `coverage` (series, horizon groups) and `pooled_coverage` (horizon groups): share of hours that the 80 % interval held in a
    back-test, NaN where there was none (`forecast_backtest.proven`).
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
    coverage: Array
    pooled_coverage: Array
    trained_from: datetime
    trained_to: datetime
    calibrated_at: datetime
    untold_from: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """People in the target hour of each row, NaN where nothing is known. `lower`, `upper`: (coverages, rows)."""

    point: Array
    lower: Array
    upper: Array
    method: Array
    reason: Array


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What forecasts of counted hours came to, a value per row: absolute errors in people (NaN: not to be learnt), and how far
    the count lay outside the learnt interval of each coverage and outside the simple rule's, in widths.
    """

    rows: Rows
    learnt_error: Array
    rule_error: Array
    outside: tuple[Array, ...]
    rule_outside: Array


def train(
    history: pd.DataFrame,
    places: pd.DataFrame | None,
    origin: datetime,
    seed: int,
    regressors: Regressors = NOTHING_KNOWN,
    rows: int = ROWS,
) -> ForecastModel:
    """The model of all series from the hours that had ended at the origin.

    `history`: one row per series and hour (`series`, `hour_start` zone-aware, `value` in people, NULL: not counted);
    `places`: one row per series (`series`, `timezone`, optionally `opening_hours` as in `stores`), UTC and always open
    without it. The last five years are used; fewer `rows` learn faster and worse. Raises ContractError as `forecast_grid.read` does.
    """
    grid = forecast_grid.read(history, places, origin, TRAIN_WEEKS, regressors)
    return fit(grid, grid.hours, origin, seed, rows)


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
    grid = forecast_grid.read(history, places, origin, READ_WEEKS + CALIBRATION_WEEKS, regressors, model.series)
    return calibrate(model, grid, grid.hours, origin)


def untaught(origin: datetime) -> ForecastModel:
    """The model that knows no series: it answers everything by the simple rule, as long as none has been trained."""
    return fit(forecast_grid.unread(origin), 0, origin, 0, 0)


def confidence(model: ForecastModel, series: Array, horizons: Array) -> Array:
    """Share of hours that the 80 % interval of each row held in the model's back-test at that distance.

    Of the series by that name itself, else over all; NaN: not back-tested.
    """
    group = np.searchsorted(GROUP_STARTS, horizons, side="right") - 1
    own = frames.codes(np.array(model.series, dtype=object), series)
    found = np.where(own >= 0, model.coverage[own, group], np.nan) if len(model.series) else np.full(len(own), np.nan)
    return np.asarray(np.where(np.isnan(found), model.pooled_coverage[group], found))


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
    Rows of the history from the origin on are not read. ContractError: the model looked at hours after the origin.
    """
    if origin < model.calibrated_at:
        raise ContractError(
            f"The model looked at hours up to {model.calibrated_at.isoformat()}, after the origin {origin.isoformat()}; "
            "train one at the origin."
        )
    wanted = np.array(sorted(set(horizons)), dtype=np.int64)
    if len(wanted) and (wanted[0] < 1 or wanted[-1] > LAST_HORIZON):
        raise ContractError(f"Horizons run from 1 to {LAST_HORIZON} hours; {wanted[0]} to {wanted[-1]} was asked.")
    grid = forecast_grid.read(history, places, origin, READ_WEEKS, regressors)
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


def fit(grid: Grid, origin: int, at: datetime, seed: int, rows: int) -> ForecastModel:
    """The model that learns from the columns before `origin`, which is the instant `at`."""
    weeks = origin // WEEK
    held_out = min(CALIBRATION_WEEKS, max((weeks - WARM_WEEKS) // 2, 0))
    boundary = origin - held_out * WEEK
    count = len(grid.clocks.names)
    taught = teach(grid, boundary, origin, seed, rows) if weeks >= _LEAST_WEEKS else None
    learner, names = taught if taught is not None else (None, ())
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
        coverage=np.full((count, _GROUPS), np.nan),
        pooled_coverage=np.full(_GROUPS, np.nan),
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
    return settle(model, grid, trial(model, model.learner, grid, origin - CALIBRATION_WEEKS * WEEK, origin), origin, at)


def trial(model: ForecastModel, learner: Learner, grid: Grid, start: int, end: int) -> Trial:
    """Forecasts of hours of [start, end) by the parts of the model that did not learn from them, and how they came out."""
    rows = _trial_rows(grid, max(start, model.untold_from - grid.first), end, np.random.default_rng(model.seed))
    guess = forecast_grid.first_guess(grid, rows.series, rows.origin, rows.target)
    # hours that are always empty are always right: left in, they would let the busy ones be wrong more often
    scored = ~np.isnan(guess) & ~idle(grid, rows)
    rows, guess = rows.where(scored), guess[scored]
    actual = grid.values[rows.series, rows.target]
    seen = build(grid, rows.series, rows.origin, rows.target)
    table = seen.columns(model.features)
    point = people(learner.tested, table, seen, relative=False)
    width = least_width(seen.scale)
    ends = zip(*tails(learner, table, seen), strict=True)
    below, above = _rule_interval(grid, rows, guess)
    return Trial(
        rows=rows,
        learnt_error=np.where(seen.usable, np.abs(point - actual), np.nan),
        rule_error=np.where(seen.usable, np.abs(guess - actual), np.nan),
        outside=tuple(conformal.scores(actual, low, high, width) for low, high in ends),
        rule_outside=conformal.scores(actual, below, above, np.ones(len(rows))),
    )


def settle(model: ForecastModel, grid: Grid, tried: Trial, origin: int, at: datetime) -> ForecastModel:
    """The model with offsets and choices from those forecasts of a trial whose hours ended in the 8 weeks before a column."""
    target = tried.rows.target
    recent = np.flatnonzero((target < origin) & (target >= origin - CALIBRATION_WEEKS * WEEK))
    series, group = tried.rows.series[recent], tried.rows.group[recent]
    weight = np.exp2((target[recent] - origin) / (24 * _HALF_LIFE_DAYS))
    count = len(grid.clocks.names)
    usable = ~np.isnan(tried.learnt_error[recent])
    tested = np.bincount(series[usable], minlength=count)
    learnt_errors, rule_errors = (
        frames.ratio(frames.summed(series, errors[recent], count), tested.astype(float))
        for errors in (tried.learnt_error, tried.rule_error)
    )
    reasons = np.where(learnt_errors < rule_errors, _LEARNT, _OWN_BACKTEST)
    reasons[_is_new(grid, origin) | (tested < _OWN_SCORES)] = _NEW
    offsets, pooled = _offsets(
        [outside[recent][usable] for outside in tried.outside], series[usable], group[usable], weight[usable], count
    )
    rule_outside = [tried.rule_outside[recent]] * len(COVERAGES)
    rule_offsets, pooled_rule = _offsets(rule_outside, series, group, weight, count)
    untested = np.tile(_UNTESTED_OFFSETS, (_GROUPS, 1))
    pooled_rule = np.where(np.isnan(pooled_rule), untested, pooled_rule)
    return replace(
        model,
        reasons=reasons,
        learnt_errors=learnt_errors,
        rule_errors=rule_errors,
        offsets=np.where(np.isnan(offsets), pooled, offsets),
        pooled_offsets=pooled,
        rule_offsets=np.where(np.isnan(rule_offsets), pooled_rule, rule_offsets),
        pooled_rule_offsets=pooled_rule,
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
        point = np.where(reason == _LEARNT, model.learner.median(table, seen), point)
        # the rule may be the better point and the learnt spread still the better spread
        spread = seen.usable & np.isin(reason, (_LEARNT, _OWN_BACKTEST))
        low, high = tails(model.learner, table, seen)
        for place in range(len(COVERAGES)):
            by = offsets(model.offsets, model.pooled_offsets, place)
            ends_learnt = conformal.widened(low[place], high[place], by, least_width(seen.scale))
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


def _rule_interval(grid: Grid, rows: Rows, guess: Array) -> tuple[Array, Array]:
    """The guess less and plus the mean distance of the last 8 same hours to it, at least the root of a Poisson count."""
    lags = forecast_grid.same_hours(grid, rows.series, rows.origin, rows.target, 8)
    known = ~np.isnan(lags)
    distance = frames.ratio(np.where(known, np.abs(lags - guess), 0.0).sum(axis=0), known.sum(axis=0).astype(float))
    spread = np.fmax(distance, np.sqrt(guess))
    return guess - spread, guess + spread


def _offsets(outside: Sequence[Array], series: Array, group: Array, weight: Array, count: int) -> tuple[Array, Array]:
    """Offsets (series, groups, coverages), NaN where a series has too few scores, and those over all series.

    A series' own offset leans on that of all series: eight weeks are few independent days.
    """
    by_series = np.full((count, _GROUPS, len(COVERAGES)), np.nan)
    pooled = np.full((_GROUPS, len(COVERAGES)), np.nan)
    order = np.argsort(group * count + series, kind="stable")
    edges = np.searchsorted((group * count + series)[order], np.arange(_GROUPS * count + 1))
    for place, coverage in enumerate(COVERAGES):
        for horizons in range(_GROUPS):
            there = order[edges[horizons * count] : edges[(horizons + 1) * count]]
            of_all = pooled[horizons, place] = conformal.offset(outside[place][there], weight[there], coverage)
            for one in range(count):
                mine = order[edges[horizons * count + one] : edges[horizons * count + one + 1]]
                if len(mine) >= _OWN_SCORES:
                    own = conformal.offset(outside[place][mine], weight[mine], coverage)
                    by_series[one, horizons, place] = _LEANING * of_all + (1 - _LEANING) * own
    return by_series, pooled


def _is_new(grid: Grid, origin: int) -> Array:
    """Series whose first count is less than 6 weeks before a column, or that have none."""
    known = ~np.isnan(grid.values[:, :origin])
    first = np.where(known.any(axis=1), known.argmax(axis=1), origin)
    return np.asarray(origin - first < _NEW_WEEKS * WEEK)


def _trial_rows(grid: Grid, start: int, end: int, random: np.random.Generator) -> Rows:
    """Counted hours of [start, end) of each series, as many for each group of horizons, each with a random horizon of it."""
    share = (end - start) / (CALIBRATION_WEEKS * WEEK)
    each = max(1, int(share * min(_TRIAL_PER_SERIES, _TRIAL_ROWS // max(1, len(grid.values) * _GROUPS))))
    edges = (*GROUP_STARTS, LAST_HORIZON + 1)
    parts = [np.empty((3, 0), dtype=np.int64)]
    for series, values in enumerate(grid.values[:, start:end]):
        hours = np.flatnonzero(~np.isnan(values)) + start
        for low, high in pairwise(edges):
            chosen = random.choice(hours, size=min(each, len(hours)), replace=False)
            horizon = random.integers(low, high, len(chosen))
            parts.append(np.stack([np.full(len(chosen), series), chosen - horizon + 1, chosen]))
    table = np.concatenate(parts, axis=1)
    return Rows(table[0], table[1], table[2])
