"""The hybrid queue model: how far the queues of a store that somebody counted lie from what the formulas say of them.

For each store, boosted trees learn the residual (counted minus formula) of the mean queue length and of the mean wait, from hours
before the week of the hour that is answered: an hour gets the same answer however the runs of a back-fill are cut. A model is used
only where it had a smaller mean absolute error than the formula in counted hours that it had not learnt from, the newest fifth.
Intervals are conformal (`conformal`), in units of sqrt(1 + answer), as the spread of a count grows. A few hundred rows are learnt
in less than a second, so that no model is stored. The formulas, and where a correction goes from here, belong in `queueing`.

Where only the wait is learnt the length follows by Little's law, L = arrivals a minute x W, without an interval. Where only the
length is, the wait stays the formula's: a length over few arrivals would make long waits of small errors. An hour for which the
formulas have no number, an overload above all, gets none here either.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor

from retail_sensors.analytics import conformal, frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.queueing import arrivals_of, by_store_hour, open_lanes, services, waits
from retail_sensors.analytics.readings import Readings, split_keys
from retail_sensors.analytics.roster import Layout, Roster

LEAST_HOURS = 200
"""Fewest counted hours of a store that a model is learnt from."""

LEAST_SPAN = timedelta(weeks=4)
"""Shortest time from the first to the last of them."""

HISTORY = timedelta(weeks=27)
"""How far before an hour its counted hours are asked for: half a year before the start of its week."""

COVERAGE = 0.8
"""Share of hours that an interval promises to hold."""

_WEEK = 7 * DAY
_MONDAY = 4 * DAY  # 1970-01-05
_LEARNT, _CALIBRATED = 0.6, 0.8
_TREES, _RATE, _LEAVES, _LEAF_ROWS = 80, 0.06, 8, 15
_LENGTH, _WAIT = 0, 1
_RECKONED = ("transactions", "detections", "stay_over_60_s", "entries", "open_lanes", "lanes")


@dataclass(frozen=True, slots=True, eq=False)
class _Hours:
    """Store-hours with what the formulas say of them: `features` (rows, 4), `formula` (rows, 2) length and wait, NaN: no number."""

    features: Array
    formula: Array


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """A learnt residual. `coverage`: share of the held-out hours in their interval, `margin` half its width in sqrt(1 + answer)."""

    learner: GradientBoostingRegressor
    margin: float
    coverage: float

    def answer(self, features: Array, formula: Array) -> tuple[Array, Array, Array]:
        """Corrected values with the ends of their intervals; none is under 0, since no line is shorter than nobody."""
        value = _corrected(self.learner, features, formula)
        lower, upper = conformal.widened(value, value, np.full(len(value), self.margin), _scale(value))
        return value, np.maximum(lower, 0.0), upper


def _table(features: Array, formula: Array) -> Array:
    return np.column_stack([features, formula])


def _corrected(learner: GradientBoostingRegressor, features: Array, formula: Array) -> Array:
    return np.asarray(np.maximum(formula + learner.predict(_table(features, formula)), 0.0))


def _scale(value: Array) -> Array:
    return np.asarray(np.sqrt(1.0 + value))


def _taught(features: Array, formula: Array, actual: Array, weight: Array, seed: int) -> GradientBoostingRegressor:
    # The histogram learner starts threads for every tree: on a busy machine a few hundred rows then take seconds.
    learner = GradientBoostingRegressor(
        loss="absolute_error",
        n_estimators=_TREES,
        learning_rate=_RATE,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAF_ROWS,
        random_state=seed,
    )
    return learner.fit(_table(features, formula), actual - formula, sample_weight=weight)


def learn(second: Array, features: Array, formula: Array, actual: Array, weight: Array, seed: int) -> Correction | None:
    """The correction of counted hours in order of time, all without NaN; None where they are too few, or it does not help.

    What is tested learns from the first 60 %; the next 20 % say how wide intervals are, the last 20 % whether it beats the formula.
    Then it learns from all, and the last 40 % say how wide.
    """
    count = len(second)
    if count < LEAST_HOURS or second[-1] - second[0] < LEAST_SPAN.total_seconds():
        return None
    first, last = int(_LEARNT * count), int(_CALIBRATED * count)
    tested = _taught(features[:first], formula[:first], actual[:first], weight[:first], seed)
    value = _corrected(tested, features[first:], formula[first:])
    error = np.abs(value - actual[first:])
    held = slice(last - first, None)
    if not np.average(error[held], weights=weight[last:]) < np.average(
        np.abs(formula - actual)[last:], weights=weight[last:]
    ):
        return None
    outside = conformal.scores(actual[first:], value, value, _scale(value))
    before = conformal.offset(outside[: last - first], np.ones(last - first), COVERAGE)
    return Correction(
        learner=_taught(features, formula, actual, weight, seed),
        margin=conformal.offset(outside, np.ones(count - first), COVERAGE),
        coverage=float((outside[held] <= before).mean()),
    )


def with_corrections(
    inputs: pd.DataFrame, history: pd.DataFrame, counted: pd.DataFrame, roster: Roster, seed: int
) -> pd.DataFrame:
    """The input of `queue_hours` with HYBRID filled where a model of the store helps.

    `counted`: rows of `queue_ground_truth` from HISTORY before the first hour of the input on, `history`: rows of `queue_analytics`
    from the first counted hour on. Counted hours weigh by their minutes.
    """
    layout, what = roster.layout, "queue input"
    truth = by_store_hour(
        counted, "queue_ground_truth", ("actual_queue_length", "actual_wait_minutes", "minutes_counted"), layout
    )
    given = {name: frames.numbers(inputs, name, what) for name in _RECKONED}
    arrivals, _ = arrivals_of(*(given[name] for name in _RECKONED[:4]))
    own = inputs[["store_id", "hour_start"]].assign(
        arrivals=arrivals, lanes=open_lanes(*(given[name] for name in _RECKONED[4:]))
    )
    store = frames.codes(layout.store_ids, frames.texts(inputs, "store_id", what))
    second = frames.seconds(inputs, "hour_start", what)
    asked = _hours(store, second, arrivals, own["lanes"].to_numpy(), layout)
    past = _past(own, history, truth, layout)
    week = _monday(second)
    result = inputs.copy()
    for one in np.unique(store[np.isin(store, split_keys(truth.keys)[0])]).tolist():
        for monday in np.unique(week[store == one]).tolist():
            rows = np.flatnonzero((store == one) & (week == monday) & ~np.isnan(asked.formula[:, _WAIT]))
            if not len(rows):
                continue
            models = [_model(past, truth, one, monday, target, seed) for target in (_LENGTH, _WAIT)]
            if any(models):
                for name, values in _answers(models, asked, rows).items():
                    result.loc[result.index[rows], name] = values
    return result


def _monday(second: Array) -> Array:
    """The start of the week, Monday in UTC, that each instant lies in."""
    return np.asarray(second - (second - _MONDAY) % _WEEK)


def _hours(store: Array, second: Array, arrivals: Array, lanes: Array, layout: Layout) -> _Hours:
    load, formula = np.full(len(store), np.nan), np.full((len(store), 2), np.nan)
    for rows, service in services(store, layout):
        found = waits(arrivals[rows], lanes[rows], service)
        load[rows] = found.load
        formula[rows, _LENGTH], formula[rows, _WAIT] = found.length, found.mean
    hour_of_week = (layout.wall(store, second) - _MONDAY) % _WEEK // HOUR
    return _Hours(np.column_stack([load, lanes, hour_of_week, arrivals]), formula)


def _past(own: pd.DataFrame, history: pd.DataFrame, truth: Readings, layout: Layout) -> _Hours:
    """What the formulas say of the counted hours, row by row, NaN where it was not computed; the run's own hours are the newer."""
    store, second = split_keys(truth.keys)
    _, stored, _ = by_store_hour(history, "queue_analytics", ("arrivals", "lanes"), layout).at(truth.keys)
    found, new, _ = by_store_hour(own, "queue input", ("arrivals", "lanes"), layout).at(truth.keys)
    values = np.where(found[:, None], new, stored)
    return _hours(store, second, values[:, 0], values[:, 1], layout)


def _model(past: _Hours, truth: Readings, store: int, monday: int, target: int, seed: int) -> Correction | None:
    """The correction of one store's length or wait that was to be had at the start of a week."""
    start = monday - (HISTORY - timedelta(weeks=1)).total_seconds()
    of, second = split_keys(truth.keys)
    actual, formula = truth.values[:, target], past.formula[:, target]
    usable = (of == store) & (second >= start) & (second < monday) & ~np.isnan(actual) & ~np.isnan(formula)
    rows = np.flatnonzero(usable)
    return learn(second[rows], past.features[rows], formula[rows], actual[rows], truth.values[rows, 2], seed)


def _answers(models: list[Correction | None], asked: _Hours, rows: Array) -> dict[str, Array]:
    """HYBRID of the rows, of which the formulas have numbers; at least one model is there."""
    features, formula = asked.features[rows], asked.formula[rows]
    a_minute = features[:, 3] / 60
    nothing = np.full(len(rows), np.nan)
    of_length, of_wait = models
    length, lower, upper = of_length.answer(features, formula[:, _LENGTH]) if of_length else (nothing,) * 3
    wait = of_wait.answer(features, formula[:, _WAIT])[0] if of_wait else nothing
    if of_length is None:
        length = a_minute * wait
    return {
        "learnt_length": length,
        "learnt_lower": lower,
        "learnt_upper": upper,
        "length_coverage": nothing if of_length is None else np.full(len(rows), of_length.coverage),
        "learnt_wait": wait,
        "wait_coverage": nothing if of_wait is None else np.full(len(rows), of_wait.coverage),
    }
