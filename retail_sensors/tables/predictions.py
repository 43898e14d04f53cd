"""Forecasts, the models that made them, what became of them, and staffing plans.

What a forecast means belongs in `analytics.forecast`; where the tables are made in `sql/migrations/0011_predictions.sql`.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, sensor_id, store_id, updated_at


def _reasons(what: str) -> Column:
    return Column("quality", Kind.JSONB, f"For each column that is NULL or noted, its reason. {what}", nullable=False)


def _forecast_columns(key: Column) -> tuple[Column, ...]:
    return (
        key,
        Column("prediction_type", Kind.TEXT, "`traffic`: entries of an hour.", nullable=False),
        Column(
            "prediction_time",
            Kind.TIMESTAMP,
            "The origin: only counts of hours that had ended by then were used.",
            nullable=False,
        ),
        Column("target_time", Kind.TIMESTAMP, "Start of the predicted hour.", nullable=False),
        Column(
            "model_version",
            Kind.TEXT,
            "The model, `prediction_model.model_version`; `simple_rule`: no model had been trained by the origin.",
            nullable=False,
        ),
        Column(
            "time_horizon_minutes",
            Kind.INTEGER,
            "60 for the first hour that had not ended at the origin, 10080 for the last one a week ahead.",
            nullable=False,
            unit="min",
        ),
        Column("predicted_value", Kind.DOUBLE, "Entries expected in the hour.", nullable=False, unit="people"),
        Column(
            "confidence_interval_lower", Kind.DOUBLE, "Lower end of the 80 % interval.", nullable=False, unit="people"
        ),
        Column(
            "confidence_interval_upper", Kind.DOUBLE, "Upper end of the 80 % interval.", nullable=False, unit="people"
        ),
        Column("lower_95", Kind.DOUBLE, "Lower end of the 95 % interval.", nullable=False, unit="people"),
        Column("upper_95", Kind.DOUBLE, "Upper end of the 95 % interval.", nullable=False, unit="people"),
        Column(
            "confidence_score",
            Kind.DOUBLE,
            "Share of hours that the 80 % interval held in the model's back-test at this distance, over hours in which anybody "
            "could be expected: of the series itself, else over all. NULL: not back-tested.",
            unit="ratio",
        ),
        Column("model_name", Kind.TEXT, "`global_boosted_median` or `simple_rule`.", nullable=False),
        Column(
            "method",
            Kind.TEXT,
            "What gave the value: `boosted_median` (the learner), `median_4` (the simple rule: the median of the last 4 same hours "
            "of the week) or `closed` (0 outside of the opening hours).",
            nullable=False,
        ),
        Column(
            "features_used",
            Kind.JSONB,
            "What the value was made from, in groups; the model's row has the list of its features.",
            nullable=False,
        ),
        Column(
            "actual_value",
            Kind.DOUBLE,
            "Entries counted in the hour, filled in by `prediction_accuracy`. NULL: the local day has not ended, or the hour was not "
            "measured.",
            unit="people",
            is_generated=True,
        ),
        Column(
            "accuracy_score",
            Kind.DOUBLE,
            "max(0, 1 - |predicted - actual| / max(actual, 1)): for sorting only. NULL when the actual value is.",
            unit="ratio",
            is_generated=True,
        ),
        Column(
            "error_percentage",
            Kind.DOUBLE,
            "100 x (predicted - actual) / actual. NULL when the actual value is NULL or 0.",
            unit="%",
            is_generated=True,
        ),
        _reasons("`method`: why the simple rule gave the value."),
        updated_at(),
    )


PREDICTION_MODEL = Table(
    name="prediction_model",
    row="One trained forecast model of all cameras and stores, with what it learnt from and how its back-test came out.",
    key=("model_version",),
    time_column="trained_to",
    columns=(
        Column(
            "model_version",
            Kind.TEXT,
            "Date of `trained_to` and a hash of the model's content: the same counts and seed give the same version.",
            nullable=False,
        ),
        Column("trained_at", Kind.TIMESTAMP, "When the training ran.", nullable=False, is_bookkeeping=True),
        Column("trained_from", Kind.TIMESTAMP, "First hour that it could learn from.", nullable=False),
        Column(
            "trained_to",
            Kind.TIMESTAMP,
            "End of the last hour that it could learn from; it serves origins from then on.",
            nullable=False,
        ),
        Column("series_count", Kind.INTEGER, "Cameras and stores that it knows.", nullable=False, unit="series"),
        Column(
            "learnt_series_count",
            Kind.INTEGER,
            "Those that the learner answers; the others stay on the simple rule.",
            nullable=False,
            unit="series",
        ),
        Column(
            "has_learner",
            Kind.BOOLEAN,
            "Whether there is a learner; without one all is answered by the simple rule, and `quality` says why.",
            nullable=False,
        ),
        Column("features", Kind.JSONB, "Names of the learner's features; empty without one.", nullable=False),
        Column("series_reasons", Kind.JSONB, "Number of series by reason for the simple rule.", nullable=False),
        Column(
            "backtest",
            Kind.JSONB,
            "Errors and coverage over the last 4 weeks, of the model and of the simple rules, over all series (`pooled`) and as the "
            "median over series (`median`). NULL: too little history.",
        ),
        Column("library_versions", Kind.JSONB, "Versions of scikit-learn and numpy that trained it.", nullable=False),
        Column("seed", Kind.BIGINT, "Seed of its random draws.", nullable=False),
        Column(
            "model",
            Kind.BYTEA,
            "The model as a numpy archive of numbers and text: reading it runs no code.",
            nullable=False,
        ),
        _reasons("`has_learner`: why there is none."),
        updated_at(),
    ),
)

PREDICTIONS = Table(
    name="predictions",
    row="The entries of one camera expected in one hour, as seen from one origin, and what was counted later.",
    key=("sensor_id", "prediction_type", "prediction_time", "target_time", "model_version"),
    time_column="prediction_time",
    columns=_forecast_columns(sensor_id()),
)

STORE_PREDICTIONS = Table(
    name="store_predictions",
    row="The entries of one store expected in one hour, as seen from one origin, and what was counted later.",
    key=("store_id", "prediction_type", "prediction_time", "target_time", "model_version"),
    time_column="prediction_time",
    columns=_forecast_columns(store_id()),
)

PREDICTION_ACCURACY = Table(
    name="prediction_accuracy",
    row="How far the forecasts of one camera or store, or of all, for the hours of one local day were off, by distance.",
    key=("scope", "subject", "date", "horizons"),
    time_column="date",
    columns=(
        Column(
            "scope",
            Kind.TEXT,
            "`sensor`, `store`; `sensors_pooled`, `stores_pooled`: all hours together, led by the large ones; `sensors_median`, "
            "`stores_median`: the median of each figure over cameras or stores.",
            nullable=False,
        ),
        Column("subject", Kind.TEXT, "The camera or store as text; `all` in rows over all.", nullable=False),
        Column("date", Kind.DATE, "The store's local calendar day of the predicted hours.", nullable=False),
        Column(
            "horizons",
            Kind.TEXT,
            "Hours ahead: `1`, `24`, `72`, `168`, or the groups `1-6`, `7-24`, `25-72`, `73-168`.",
            nullable=False,
        ),
        Column(
            "sensor_id",
            Kind.UUID,
            "The camera, `sensor_metadata.id`. NULL: the row is not that of one camera.",
        ),
        Column("store_id", Kind.UUID, "The store, `stores.id`. NULL: the row is not that of one store."),
        Column("n", Kind.INTEGER, "Forecasts whose hour was measured.", nullable=False),
        Column("mae", Kind.DOUBLE, "Mean of |predicted - actual|. NULL: n is 0.", unit="people"),
        Column("wape", Kind.DOUBLE, "Sum of |predicted - actual| over sum of actual. NULL: nobody came.", unit="ratio"),
        Column("bias", Kind.DOUBLE, "Mean of predicted - actual. NULL: n is 0.", unit="people"),
        Column(
            "skill",
            Kind.DOUBLE,
            "1 - MAE over that of the same hour last week, over the hours where both are known. NULL: it is known for none, or made "
            "no error.",
            unit="ratio",
        ),
        Column(
            "coverage_n",
            Kind.INTEGER,
            "Forecasts that coverage is measured over: those in which the interval or the count was over 0.",
            nullable=False,
        ),
        Column("coverage_80", Kind.DOUBLE, "Share of them within the 80 % interval. NULL: none.", unit="ratio"),
        Column("coverage_95", Kind.DOUBLE, "Share of them within the 95 % interval. NULL: none.", unit="ratio"),
        _reasons(""),
        updated_at(),
    ),
)

STAFFING_PLAN = Table(
    name="staffing_plan",
    row="The staff that one store needs in one coming hour, as planned at one time, and what to do about it.",
    key=("store_id", "plan_time", "horizon", "target_start"),
    time_column="plan_time",
    columns=(
        store_id(),
        Column("plan_time", Kind.TIMESTAMP, "When the plan was made.", nullable=False),
        Column(
            "horizon",
            Kind.TEXT,
            "`immediate`: the running hour; `next_hour`; `shift`: each hour of the rest of today's opening hours, else of the next "
            "open day.",
            nullable=False,
        ),
        Column("target_start", Kind.TIMESTAMP, "Start of the planned hour.", nullable=False),
        Column(
            "prediction_time",
            Kind.TIMESTAMP,
            "Origin of the forecast: the newest by the time of the plan. NULL: none of the last 24 hours.",
        ),
        Column(
            "expected_visitors",
            Kind.DOUBLE,
            "Entries expected in the hour, 0 while closed. NULL: no forecast.",
            unit="people",
        ),
        Column("visitors_lower", Kind.DOUBLE, "Lower end of the 80 % interval. NULL: no forecast.", unit="people"),
        Column("visitors_upper", Kind.DOUBLE, "Upper end of the 80 % interval. NULL: no forecast.", unit="people"),
        Column(
            "star_target", Kind.DOUBLE, "Visitors that one staff hour is meant for.", nullable=False, unit="people/h"
        ),
        Column("target_source", Kind.TEXT, "`store`: set for the store; `default_target`: not set.", nullable=False),
        Column(
            "staff_needed",
            Kind.INTEGER,
            "Expected visitors over the target, rounded up. NULL: no forecast.",
            unit="people",
        ),
        Column(
            "staff_needed_upper",
            Kind.INTEGER,
            "The same for the upper end of the interval. NULL: no forecast.",
            unit="people",
        ),
        Column(
            "staff_planned",
            Kind.DOUBLE,
            "Staff hours planned for the hour. NULL: no plan is loaded.",
            unit="people",
        ),
        Column(
            "actions",
            Kind.JSONB,
            "What to do, in sentences: each stands at the hour in which it begins. Empty: begins none.",
            nullable=False,
        ),
        _reasons(""),
        updated_at(),
    ),
)

PREDICTION_TABLES: tuple[Table, ...] = (
    PREDICTION_MODEL,
    PREDICTIONS,
    STORE_PREDICTIONS,
    PREDICTION_ACCURACY,
    STAFFING_PLAN,
)
