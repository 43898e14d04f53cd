"""Forecasts, their model, what became of them, and staffing plans: short bodies around `retail_sensors.analytics`.

A partition of forecasts is one origin, its start: only counts of hours that had ended by then are used, and only a model that
looked at nothing later. The model is unpartitioned and trained weekly; its intervals and choices are made anew for each day,
which takes seconds. Weather after an origin is what the table holds now: of hours ahead the forecast, of past ones what it was.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import dagster as dg
import pandas as pd
from pydantic import Field

from retail_sensors.analytics import forecast
from retail_sensors.analytics.forecast import ForecastModel
from retail_sensors.analytics.forecast_grid import Regressors
from retail_sensors.analytics.forecast_store import from_bytes, version_of
from retail_sensors.analytics.holidays import regressors_of
from retail_sensors.analytics.prediction_rows import (
    SIMPLE_RULE,
    Subjects,
    accuracy_rows,
    forecast_rows,
    model_row,
    places_with,
    rows_of_single_doors,
    subjects_of,
    train_and_test,
    training_weeks,
    with_forgotten,
)
from retail_sensors.analytics.roster import Roster
from retail_sensors.analytics.staffing import staffing_plan as plan_of_stores
from retail_sensors.assets.daily import dates_of_run
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.predictions_summary import (
    accuracy_summary,
    forecast_summary,
    model_summary,
    staffing_summary,
)
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.partitions import DAILY, DAYS_POLICY, HOURLY, HOURS_OF_DAY, HOURS_POLICY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.frames import empty_frame
from retail_sensors.storage.predictions import entries, fill_actuals, forecasts_for_plan, judged, model_at
from retail_sensors.tables.inputs import HOLIDAYS, STAFF_HOURS, STORE_SUBDIVISIONS, WEATHER_HOURLY
from retail_sensors.tables.predictions import (
    PREDICTION_ACCURACY,
    PREDICTION_MODEL,
    PREDICTIONS,
    STAFFING_PLAN,
    STORE_PREDICTIONS,
)

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_AHEAD = timedelta(days=8)
"""So far from an origin its last target can lie, with room for clocks on the half hour."""

_ORIGINS_OF_DAY = dg.TimeWindowPartitionMapping(start_offset=-8, end_offset=1)
"""From a date to the origins from which any store's local hours of that date were predicted."""


class TrainingConfig(dg.Config):
    """How one model is trained."""

    seed: int = Field(default=0, description="Seed of the random draws: the same counts and seed give the same model.")
    rows: int = Field(
        default=forecast.ROWS,
        ge=1_000,
        description="Hours that each form of the median learns from at most; fewer learn faster and worse.",
    )
    up_to: str = Field(
        default="",
        description="Instant with its zone, such as 2026-02-01T00:00:00Z, after which nothing is looked at: a model for origins "
        "that are back-filled. Empty: now.",
    )


def _trained_to(config: TrainingConfig, now: datetime) -> datetime:
    try:
        instant = datetime.fromisoformat(config.up_to) if config.up_to else now
    except ValueError as error:
        raise ConfigurationError(
            f"up_to {config.up_to!r} is no instant; write one such as 2026-02-01T00:00:00Z."
        ) from error
    if instant.tzinfo is None or instant > now:
        raise ConfigurationError(
            f"up_to {config.up_to!r} has no zone or lies ahead; write one such as 2026-02-01T00:00:00Z."
        )
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _regressors(database: DatabaseResource, roster: Roster, subjects: Subjects, window: TimeWindow) -> Regressors:
    start, end = window.start, window.end + _AHEAD
    return regressors_of(
        database.read(HOLIDAYS, start, end),
        database.read(WEATHER_HOURLY, start, end),
        roster,
        database.read_all(STORE_SUBDIVISIONS),
        series=subjects.places,
    )


@dg.asset(
    description=f"{PREDICTION_MODEL.row} One learner for all, of measured hours only; a series on which the simple rule errs less "
    "stays on the rule.",
    deps=["hourly_analytics", "store_hourly", "holidays"],
    metadata=table_metadata(PREDICTION_MODEL, "merge"),
    group_name="predictions",
    owners=OWNERS,
    kinds={"scikitlearn", "postgres"},
    tags={"domain": "predictions"},
)
def prediction_model(
    context: dg.AssetExecutionContext, config: TrainingConfig, database: DatabaseResource, clock: ClockResource
) -> dg.MaterializeResult[pd.DataFrame]:
    now, roster = clock.now(), database.roster()
    origin, subjects = _trained_to(config, now), subjects_of(roster)
    window = TimeWindow(origin - timedelta(weeks=training_weeks(subjects.count)), origin)
    history = entries(database.database, subjects.sensors, subjects.stores, window.start, window.end)
    known = _regressors(database, roster, subjects, window)
    model, tested = train_and_test(history, subjects.places, origin, config.seed, known, config.rows)
    libraries = {name: version(name) for name in ("scikit-learn", "numpy")}
    row = model_row(model, version_of(model), tested, now, libraries)
    return dg.MaterializeResult(value=row, metadata=model_summary(row, tested))


class _Models:
    """The model of each origin, with intervals and choices of its day; the simple rule where none had been trained."""

    def __init__(
        self, context: dg.AssetExecutionContext, database: DatabaseResource, history: pd.DataFrame, places: pd.DataFrame
    ) -> None:
        self._context, self._database, self._history, self._places = context, database, history, places
        self._of_day: dict[tuple[str, datetime], ForecastModel | None] = {}

    def at(self, origin: datetime, known: Regressors) -> tuple[ForecastModel, str]:
        """The model and its version."""
        stored = model_at(self._database.database, origin)
        if stored is not None:
            name, content = stored
            day = origin.replace(hour=0)
            if (name, day) not in self._of_day:
                self._of_day[name, day] = self._made(name, content, day, known)
            model = self._of_day[name, day]
            if model is not None:
                return model, name
        return forecast.untaught(origin), SIMPLE_RULE

    def _made(self, name: str, content: bytes, day: datetime, known: Regressors) -> ForecastModel | None:
        try:
            model = from_bytes(content)
        except ContractError as error:
            self._context.log.warning(f"Model {name} cannot be used, the simple rule answers: {error}")
            return None
        if model.learner is None or day - model.calibrated_at < _DAY:
            return model
        return forecast.recalibrate(model, self._history, places_with(self._places, model.series), day, known)


def _out(table_metadata_of: dict[str, object], description: str) -> dg.AssetOut:
    return dg.AssetOut(
        description=description,
        metadata=table_metadata_of,
        group_name="predictions",
        owners=OWNERS,
        kinds={"pandas", "postgres"},
        tags={"domain": "predictions"},
    )


@dg.multi_asset(
    name="hours_ahead",
    outs={
        "predictions": _out(
            table_metadata(PREDICTIONS, "replace"),
            f"{PREDICTIONS.row} A partition is one origin: its start; 168 rows a camera.",
        ),
        "store_predictions": _out(
            table_metadata(STORE_PREDICTIONS, "replace"),
            f"{STORE_PREDICTIONS.row} A store with one entrance camera has that camera's forecast.",
        ),
    },
    deps=["prediction_model", "hourly_analytics", "store_hourly", "holidays"],
    partitions_def=HOURLY,
    backfill_policy=HOURS_POLICY,
)
def hours_ahead(
    context: dg.AssetExecutionContext, database: DatabaseResource
) -> Iterator[dg.MaterializeResult[pd.DataFrame]]:
    window, roster = run_window(context), database.roster()
    subjects = subjects_of(roster)
    past = TimeWindow(window.start - timedelta(weeks=forecast.READ_WEEKS + forecast.CALIBRATION_WEEKS), window.end)
    history = entries(database.database, subjects.sensors, subjects.stores, past.start, past.end)
    known = _regressors(database, roster, subjects, past)
    models = _Models(context, database, history, subjects.places)
    cameras, stores = [empty_frame(PREDICTIONS)], [empty_frame(STORE_PREDICTIONS)]
    for origin in pd.date_range(window.start, window.end, freq=_HOUR, inclusive="left").to_pydatetime():
        model, name = models.at(origin, known)
        predicted = forecast.predict(model, history, subjects.places, origin, regressors=known)
        cameras.append(forecast_rows(predicted, PREDICTIONS, origin, model, name))
        stores.append(forecast_rows(predicted, STORE_PREDICTIONS, origin, model, name))
        stores.append(rows_of_single_doors(cameras[-1], subjects.same_as))
    for table, parts in ((PREDICTIONS, cameras), (STORE_PREDICTIONS, stores)):
        rows = pd.concat(parts, ignore_index=True)
        metadata = forecast_summary(context, table, rows, history, subjects, roster)
        yield dg.MaterializeResult(asset_key=table.name, value=rows, metadata=metadata)


@dg.asset(
    description=f"{PREDICTION_ACCURACY.row} Also fills the actual values of `predictions` and `store_predictions`. Rows of days whose "
    "forecasts have been deleted stay.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    deps=[
        dg.AssetDep("predictions", partition_mapping=_ORIGINS_OF_DAY),
        dg.AssetDep("store_predictions", partition_mapping=_ORIGINS_OF_DAY),
        dg.AssetDep("hourly_analytics", partition_mapping=HOURS_OF_DAY),
        dg.AssetDep("store_hourly", partition_mapping=HOURS_OF_DAY),
    ],
    metadata=table_metadata(PREDICTION_ACCURACY, "replace"),
    group_name="predictions",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "predictions"},
)
def prediction_accuracy(
    context: dg.AssetExecutionContext, database: DatabaseResource, clock: ClockResource
) -> dg.MaterializeResult[pd.DataFrame]:
    window, dates, now = run_window(context), dates_of_run(context), clock.now()
    parts = [empty_frame(PREDICTION_ACCURACY)]
    filled = 0
    for scope in ("sensor", "store"):
        filled += fill_actuals(database.database, scope, dates, now)
        parts += [
            accuracy_rows(judged(database.database, scope, day, now), scope, day)
            for day in pd.date_range(*dates, inclusive="left").date
        ]
    stored = database.read(PREDICTION_ACCURACY, window.start, window.end)
    rows = with_forgotten(pd.concat(parts, ignore_index=True), stored)
    return dg.MaterializeResult(value=rows, metadata=accuracy_summary(context, rows, filled))


@dg.asset(
    description=f"{STAFFING_PLAN.row} From the newest forecasts of the store, at most a day old.",
    partitions_def=HOURLY,
    backfill_policy=HOURS_POLICY,
    deps=["store_predictions"],
    metadata=table_metadata(STAFFING_PLAN, "replace"),
    group_name="predictions",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "predictions"},
)
def staffing_plan(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult[pd.DataFrame]:
    window, roster = run_window(context), database.roster()
    staff = database.read(STAFF_HOURS, window.start - _HOUR, window.end + _AHEAD)
    plans = [
        plan_of_stores(plan_time, roster, forecasts_for_plan(database.database, plan_time), staff)
        for plan_time in pd.date_range(window.start, window.end, freq=_HOUR, inclusive="left").to_pydatetime()
    ]
    rows = pd.concat([empty_frame(STAFFING_PLAN), *plans], ignore_index=True)
    return dg.MaterializeResult(value=rows, metadata=staffing_summary(context, rows, roster))


MODEL_ASSETS: tuple[dg.AssetsDefinition, ...] = (prediction_model,)
PREDICTION_ASSETS: tuple[dg.AssetsDefinition, ...] = (hours_ahead, staffing_plan)
ACCURACY_ASSETS: tuple[dg.AssetsDefinition, ...] = (prediction_accuracy,)
