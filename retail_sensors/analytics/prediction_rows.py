"""From forecasts to rows: what is forecast for whom, the rows of predictions and of a model, and how far forecasts were off.

Frames in, frames of the contract out. What a forecast is belongs in `forecast`, the benchmark in `forecast_backtest`,
staffing in `staffing`.

    wape  = sum |predicted - actual| / sum actual            bias = mean (predicted - actual)
    skill = 1 - MAE / MAE of the same hour last week, over the hours where both are known
    coverage = share of hours inside the interval, over those in which the interval or the count was over 0
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from retail_sensors.analytics import forecast, frames
from retail_sensors.analytics.forecast import METHODS, ForecastModel
from retail_sensors.analytics.forecast_backtest import HORIZONS, POOLED, RULES, Backtest, backtest, proven
from retail_sensors.analytics.forecast_grid import NOTHING_KNOWN, WEEK, Regressors
from retail_sensors.analytics.forecast_store import to_bytes
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables import Table
from retail_sensors.tables.predictions import PREDICTION_ACCURACY, STORE_PREDICTIONS

REASONS: dict[str, str] = {
    "no_model": "no model had been trained by the origin, or the stored one cannot be read",
    "new": "counted for less than 6 weeks, or not known to the model",
    "dead": "over half of the busy hours of the last 8 weeks are zero or missing",
    "own_backtest": "the simple rule erred less in the series' own last weeks",
    "no_recent_level": "no counts in the last 4 weeks",
    "not_backtested": "the model had too little history for a back-test of 4 weeks",
    "too_little_history": "fewer than 9 weeks, or 500 hours, were counted",
    "not_measured": "no predicted hour was measured",
    "nobody_came": "nobody was counted in these hours",
    "no_last_week": "the same hour last week was not measured",
    "last_week_exact": "the same hour last week made no error",
    "nobody_expected": "nobody was expected and nobody came in these hours",
}
"""Reasons in `quality` of the tables of forecasts and what they mean."""

SIMPLE_RULE = "simple_rule"
"""Version and name of what answers without a model."""

LEARNT_MODEL = "global_boosted_median"
TEST_WEEKS = 4
"""Weeks of the back-test that a model is stored with."""

CELLS = 8_000_000
"""Hours of all series together that a training reads at most: bounds its memory to about a gigabyte."""

HORIZON_GROUPS: dict[str, tuple[int, int]] = {
    "1": (1, 1),
    "24": (24, 24),
    "72": (72, 72),
    "168": (168, 168),
    "1-6": (1, 6),
    "7-24": (7, 24),
    "25-72": (25, 72),
    "73-168": (73, 168),
}
"""First and last hour ahead of each group that accuracy is told for."""

LEAST_TESTED = timedelta(weeks=TEST_WEEKS + 2, days=2)
"""History that a back-test needs: two days more than it asks for, since clocks differ from UTC."""
_FEATURE_GROUPS = {
    "distance": ("horizon_hours",),
    "calendar": ("hour", "weekday", "day_of_year"),
    "past_weeks": ("week_", "median_4", "median_8", "mean_", "deviation_"),
    "last_days": ("day_0", "day_1", "day_2", "day_level_", "median_7"),
    "recent_level": ("level_", "scale_growth", "irregularity", "last_week_"),
    "last_year": ("last_year_",),
    "holidays": ("holiday", "days_to_holiday"),
    "school_holidays": ("school_",),
    "weather": ("weather_",),
}
"""Groups of features by how their names start: forty names beside each forecast would be most of the table."""


@dataclass(frozen=True, slots=True, eq=False)
class Subjects:
    """Who is forecast: active cameras with an entrance line, and stores.

    `sensors`, `stores`: ids of those with a series of their own. `same_as`: the camera of each store that has one entrance
    camera only, whose forecast is the store's. `places`: `series`, `store_id`, `timezone`, `opening_hours` of every series.
    """

    sensors: tuple[str, ...]
    stores: tuple[str, ...]
    same_as: Mapping[str, str]
    places: pd.DataFrame

    @property
    def count(self) -> int:
        """Number of series."""
        return len(self.sensors) + len(self.stores)


def subjects_of(roster: Roster) -> Subjects:
    """Who is forecast of the roster; a store without an entrance line is not."""
    layout = roster.layout
    doors = layout.per_store(layout.is_entrance)
    sensors = np.flatnonzero(layout.is_entrance & layout.active)
    stores = np.flatnonzero(doors > 1)
    single = np.flatnonzero(layout.is_entrance & (doors[layout.store] == 1))
    by_id = roster.stores.set_index("id") if len(roster.stores) else roster.stores
    store = np.concatenate([layout.store_ids[layout.store[sensors]], layout.store_ids[stores]])
    names = [f"sensor:{one}" for one in layout.sensor_ids[sensors]] + [
        f"store:{one}" for one in layout.store_ids[stores]
    ]
    places = pd.DataFrame(
        {
            "series": pd.array(names, dtype="string"),
            "store_id": pd.array(store, dtype="string"),
            "timezone": by_id.loc[list(store), "timezone"].array if len(store) else [],
            "opening_hours": by_id.loc[list(store), "opening_hours"].array if len(store) else [],
        }
    )
    return Subjects(
        sensors=tuple(layout.sensor_ids[sensors]),
        stores=tuple(layout.store_ids[stores]),
        same_as={str(layout.store_ids[layout.store[camera]]): str(layout.sensor_ids[camera]) for camera in single},
        places=places,
    )


def places_with(places: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The places, and one in UTC of each named series that has none: a camera that was removed after the model was trained."""
    lost = sorted(set(names) - set(places["series"]))
    gone = pd.DataFrame({"series": pd.array(lost, dtype="string"), "timezone": "UTC", "opening_hours": None})
    return pd.concat(
        [places[["series", "timezone", "opening_hours"]].astype(object), gone.astype(object)], ignore_index=True
    )


# Forecasts ------------------------------------------------------------------------------------------------------------


def features_used(features: Sequence[str]) -> list[str]:
    """Groups that the named features belong to."""
    return [
        group for group, starts in _FEATURE_GROUPS.items() if any(feature.startswith(starts) for feature in features)
    ]


def forecast_rows(
    predicted: pd.DataFrame, table: Table, origin: datetime, model: ForecastModel, version: str
) -> pd.DataFrame:
    """Rows of `predictions` or `store_predictions` (the table) from `forecast.predict` of one origin.

    `predicted.series` is `sensor:ID` or `store:ID`; rows of the other scope are left out. `version` is SIMPLE_RULE without
    a stored model.
    """
    key = table.key[0]
    scope = key.removesuffix("_id") + ":"
    rows = predicted[predicted["series"].str.startswith(scope).to_numpy(dtype=bool)]
    count = len(rows)
    series = frames.texts(rows, "series", "forecast")
    horizons = rows["horizon_hours"].to_numpy(dtype=np.int64)
    method = frames.texts(rows, "method", "forecast")
    reason = frames.texts(rows, "reason", "forecast")
    if version == SIMPLE_RULE:
        reason = np.where(reason == "new", "no_model", reason)
    confidence = forecast.confidence(model, series, horizons)
    vocabulary = Vocabulary()
    words, position = np.unique(reason.astype(str), return_inverse=True)
    used = dict(zip(METHODS, (features_used(model.features), ["same_hour_of_week"], ["opening_hours"]), strict=True))
    values: dict[str, Array] = {
        key: np.array([name.removeprefix(scope) for name in series], dtype=object),
        "prediction_type": np.full(count, "traffic", dtype=object),
        "prediction_time": np.full(count, frames.instant(origin, "origin")),
        "target_time": frames.seconds(rows, "target_time", "forecast"),
        "model_version": np.full(count, version, dtype=object),
        "time_horizon_minutes": 60.0 * horizons,
        "predicted_value": frames.numbers(rows, "predicted_value", "forecast"),
        "confidence_interval_lower": frames.numbers(rows, "lower_80", "forecast"),
        "confidence_interval_upper": frames.numbers(rows, "upper_80", "forecast"),
        "lower_95": frames.numbers(rows, "lower_95", "forecast"),
        "upper_95": frames.numbers(rows, "upper_95", "forecast"),
        "confidence_score": confidence,
        "model_name": np.full(count, SIMPLE_RULE if version == SIMPLE_RULE else LEARNT_MODEL, dtype=object),
        "method": method,
        "features_used": np.array([json.dumps(used[name]) for name in METHODS], dtype=object)[
            frames.codes(np.array(METHODS, dtype=object), method)
        ],
        "quality": quality_texts(
            vocabulary,
            count,
            [
                (("method",), vocabulary.translate(list(words), position)),
                (("confidence_score",), vocabulary.first(count, (np.isnan(confidence), "not_backtested"))),
            ],
        ),
    }
    return frames.build(table, values)


def rows_of_single_doors(predictions: pd.DataFrame, same_as: Mapping[str, str]) -> pd.DataFrame:
    """The rows of `store_predictions` of the stores whose one entrance camera has rows of `predictions`."""
    stores = pd.DataFrame({"store_id": list(same_as), "sensor_id": list(same_as.values())}, dtype="string")
    names = [column.name for column in STORE_PREDICTIONS.written]
    joined = predictions.assign(sensor_id=predictions["sensor_id"].astype("string")).merge(stores, on="sensor_id")
    return joined.sort_values(list(STORE_PREDICTIONS.key), ignore_index=True)[names]


# Models ---------------------------------------------------------------------------------------------------------------


def training_weeks(series: int) -> int:
    """Weeks that a training of so many series reads: five years, less where CELLS would be passed, never under 62 weeks."""
    return min(forecast.TRAIN_WEEKS, max(forecast.READ_WEEKS, CELLS // (WEEK * max(series, 1))))


def train_and_test(
    history: pd.DataFrame,
    places: pd.DataFrame,
    origin: datetime,
    seed: int,
    regressors: Regressors = NOTHING_KNOWN,
    rows: int = forecast.ROWS,
) -> tuple[ForecastModel, Backtest | None]:
    """The model of the hours before the origin with the coverage of its back-test, and that test over the last 4 weeks.

    No test (None) where the history holds less than LEAST_TESTED.
    """
    model = forecast.train(history, places, origin, seed, regressors, rows)
    last_day = (origin - timedelta(days=1)).date()
    counted = history.loc[history["hour_start"] < origin, "hour_start"]
    if counted.empty or origin - counted.min() < LEAST_TESTED:
        return model, None
    tested = backtest(history, places, last_day, TEST_WEEKS, seed, regressors, rows)
    return proven(model, tested), tested


def model_row(
    model: ForecastModel,
    version: str,
    tested: Backtest | None,
    trained_at: datetime,
    library_versions: Mapping[str, str],
) -> pd.DataFrame:
    """The row of `prediction_model`."""
    words, counts = np.unique(np.array(forecast.REASONS, dtype=object)[model.reasons].astype(str), return_counts=True)
    learnt = int((model.reasons == 0).sum()) if model.learner is not None else 0
    quality = {} if model.learner is not None else {"has_learner": "too_little_history"}
    if tested is None:
        quality["backtest"] = "not_backtested"
    return pd.DataFrame(
        {
            "model_version": pd.array([version], dtype="string"),
            "trained_at": pd.DatetimeIndex([trained_at]).as_unit("us"),
            "trained_from": pd.DatetimeIndex([model.trained_from]).as_unit("us"),
            "trained_to": pd.DatetimeIndex([model.trained_to]).as_unit("us"),
            "series_count": pd.array([len(model.series)], dtype="Int64"),
            "learnt_series_count": pd.array([learnt], dtype="Int64"),
            "has_learner": pd.array([model.learner is not None], dtype="boolean"),
            "features": _json(list(model.features)),
            "series_reasons": _json({w: int(n) for w, n in zip(words, counts, strict=True) if w}),
            "backtest": _json(None if tested is None else backtest_figures(tested)),
            "library_versions": _json(dict(library_versions)),
            "seed": pd.array([model.seed], dtype="Int64"),
            "model": pd.Series([to_bytes(model)], dtype=object),
            "quality": _json(quality),
        }
    )


def _json(value: object) -> pd.arrays.StringArray:
    text = None if value is None else json.dumps(value)
    return pd.array([text], dtype="string")  # type: ignore[return-value] # the stubs know no string array


def backtest_figures(tested: Backtest) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Figures by way (`model` and the simple rules), `pooled` over all series and as the `median` over series; None: NaN."""
    metrics = tested.metrics
    own = metrics[metrics["series"] != POOLED]
    held = [f"{what}_{horizon}" for what in ("wape", "held") for horizon in HORIZONS]
    figures = ["n", "mae", "wape", "mase", "bias"]
    result: dict[str, dict[str, dict[str, float | int | None]]] = {"pooled": {}, "median": {}}
    for way in ("model", *RULES):
        names = [*figures, "coverage_80", "coverage_95", "width_80", *held] if way == "model" else figures
        pooled = metrics[(metrics["series"] == POOLED) & (metrics["way"] == way)].iloc[0]
        result["pooled"][way] = {name: _plain(pooled[name]) for name in names}
        medians = own.loc[own["way"] == way, names].median()
        result["median"][way] = {name: _plain(medians[name]) for name in names}
    return result


def _plain(value: float) -> float | int | None:
    return None if pd.isna(value) else round(float(value), 6)


# Accuracy -------------------------------------------------------------------------------------------------------------


def accuracy_rows(judged: pd.DataFrame, scope: str, day: date) -> pd.DataFrame:
    """Rows of `prediction_accuracy` of one local day: of each camera or store (`scope`), pooled, and the median over them.

    `judged`: one row per forecast: `subject`, `horizon_hours`, `predicted_value`, `lower_80`, `upper_80`, `lower_95`,
    `upper_95`, `actual_value` and `same_hour_last_week` (NaN: not measured). A forecast whose hour was not measured counts
    in nothing.
    """
    names, subject = np.unique(frames.texts(judged, "subject", "judged").astype(str), return_inverse=True)
    column = {
        name: frames.numbers(judged, name, "judged")
        for name in ("horizon_hours", "predicted_value", "actual_value", "same_hour_last_week")
    }
    ends = {name: frames.numbers(judged, name, "judged") for name in ("lower_80", "upper_80", "lower_95", "upper_95")}
    parts = []
    for label, (first, last) in HORIZON_GROUPS.items():
        asked = (column["horizon_hours"] >= first) & (column["horizon_hours"] <= last)
        if not asked.any():
            continue
        present = np.unique(subject[asked])
        chosen = asked & ~np.isnan(column["actual_value"])
        place = np.searchsorted(present, subject[chosen])
        tallied = _Tally.of({name: values[chosen] for name, values in (column | ends).items()}, place, len(present))
        own, pooled = tallied.figures(), tallied.pooled().figures()
        median = {name: np.array([_median(values)]) for name, values in own.items()}
        median |= {name: pooled[name] for name in ("n", "coverage_n")}
        kinds = (
            (scope, names[present], own),
            (f"{scope}s_pooled", ["all"], pooled),
            (f"{scope}s_median", ["all"], median),
        )
        for kind, subjects, figures in kinds:
            parts.append(_accuracy_frame(kind, np.array(subjects, dtype=object), day, label, figures))
    if not parts:
        return frames.build(PREDICTION_ACCURACY, {name: np.empty(0) for name in _ACCURACY_NAMES})
    return pd.concat(parts, ignore_index=True)


def with_forgotten(rows: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """The rows of `prediction_accuracy`, and the stored ones of days and scopes that have none: their forecasts were deleted."""
    key = ["scope", "date"]
    lost = stored[~pd.MultiIndex.from_frame(stored[key]).isin(pd.MultiIndex.from_frame(rows[key]))]
    return pd.concat([rows, lost[list(rows.columns)]], ignore_index=True) if len(lost) else rows


_ACCURACY_NAMES = tuple(column.name for column in PREDICTION_ACCURACY.written)


def _median(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class _Tally:
    """Sums over measured forecasts of each subject: adding them up gives those of all subjects."""

    n: Array
    miss: Array
    difference: Array
    actual: Array
    compared_miss: Array
    last_week_miss: Array
    compared: Array
    busy: Array
    held_80: Array
    held_95: Array

    @staticmethod
    def of(column: Mapping[str, Array], place: Array, count: int) -> _Tally:
        def total(values: Array) -> Array:
            return np.bincount(place, weights=values, minlength=count)

        actual, error = column["actual_value"], column["predicted_value"] - column["actual_value"]
        last_week = column["same_hour_last_week"]
        known = ~np.isnan(last_week)
        busy = (column["upper_95"] > 0) | (actual > 0)

        def held(coverage: int) -> Array:
            inside = (actual >= column[f"lower_{coverage}"]) & (actual <= column[f"upper_{coverage}"])
            return total(busy & inside)

        return _Tally(
            n=total(np.ones(len(actual))),
            miss=total(np.abs(error)),
            difference=total(error),
            actual=total(actual),
            compared_miss=total(np.where(known, np.abs(error), 0.0)),
            last_week_miss=total(np.where(known, np.abs(last_week - actual), 0.0)),
            compared=total(known),
            busy=total(busy),
            held_80=held(80),
            held_95=held(95),
        )

    def pooled(self) -> _Tally:
        """The sums over all subjects."""
        return _Tally(*(np.array([getattr(self, name).sum()]) for name in self.__slots__))

    def figures(self) -> dict[str, Array]:
        """The figures of each subject, NaN where nothing is to be said."""
        return {
            "n": self.n,
            "mae": frames.ratio(self.miss, self.n),
            "wape": frames.ratio(self.miss, self.actual),
            "bias": frames.ratio(self.difference, self.n),
            "skill": 1 - frames.ratio(self.compared_miss, self.last_week_miss),
            "coverage_n": self.busy,
            "coverage_80": frames.ratio(self.held_80, self.busy),
            "coverage_95": frames.ratio(self.held_95, self.busy),
            "compared": self.compared,
        }


def _accuracy_frame(
    scope: str, subjects: Array, day: date, horizons: str, figures: Mapping[str, Array]
) -> pd.DataFrame:
    count = len(subjects)
    nobody = np.full(count, None, dtype=object)
    unmeasured = figures["n"] == 0
    vocabulary = Vocabulary()

    def reason(name: str, *cases: tuple[Array | bool, str]) -> tuple[tuple[str, ...], Array]:
        cases = ((unmeasured, "not_measured"), *cases)
        return (name,), np.where(np.isnan(figures[name]), vocabulary.first(count, *cases), 0).astype(np.int16)

    no_last_week = ~(figures["compared"] > 0)
    notes = [
        reason("mae"),
        reason("wape", (True, "nobody_came")),
        reason("bias"),
        reason("skill", (no_last_week, "no_last_week"), (True, "last_week_exact")),
        reason("coverage_80", (True, "nobody_expected")),
        reason("coverage_95", (True, "nobody_expected")),
    ]
    values: dict[str, Array] = {
        "scope": np.full(count, scope, dtype=object),
        "subject": subjects,
        "date": np.full(count, day, dtype=object),
        "horizons": np.full(count, horizons, dtype=object),
        "sensor_id": subjects if scope == "sensor" else nobody,
        "store_id": subjects if scope == "store" else nobody,
        "quality": quality_texts(vocabulary, count, notes),
        **{name: figures[name] for name in figures if name != "compared"},
    }
    return frames.build(PREDICTION_ACCURACY, values)
