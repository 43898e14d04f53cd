"""Jobs: what is materialized together. When they run belongs in `schedules`.

All jobs run in one process: four small assets cost 3.5 CPU seconds so, and 20 with a process for each step.
"""

from datetime import timedelta
from functools import partial

import dagster as dg

from retail_sensors.assets.alerts import ALERT_ASSETS
from retail_sensors.assets.anomalies import ANOMALY_ASSETS
from retail_sensors.assets.daily import DAILY_ASSETS
from retail_sensors.assets.flows import FLOW_ASSETS
from retail_sensors.assets.health import HEALTH_ASSETS
from retail_sensors.assets.hourly import HOURLY_ASSETS
from retail_sensors.assets.inputs import INPUT_ASSETS
from retail_sensors.assets.kpi import KPI_ASSETS
from retail_sensors.assets.missing import MISSING_ASSETS
from retail_sensors.assets.notifications import NOTIFICATION_ASSETS
from retail_sensors.assets.predictions import ACCURACY_ASSETS, MODEL_ASSETS, PREDICTION_ASSETS
from retail_sensors.assets.queues import QUEUE_DAILY_ASSETS, QUEUE_HOURLY_ASSETS
from retail_sensors.assets.raw import RAW_ASSETS
from retail_sensors.assets.regions import STAY_ASSETS
from retail_sensors.installation import Installation
from retail_sensors.partitions import DAILY, HOURLY
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.settings import load_settings
from retail_sensors.storage.archive import ArchiveFolder
from retail_sensors.storage.dagster_storage import prune, prune_files
from retail_sensors.storage.merge import PARTITIONED
from retail_sensors.storage.retention import RetentionBusyError, apply_policies

HOURLY_FIGURES = (*MISSING_ASSETS, *HOURLY_ASSETS, *QUEUE_HOURLY_ASSETS)
"""What is computed of the hours that cameras gave."""

_job = partial(dg.define_asset_job, executor_def=dg.in_process_executor)

collect_hours = _job(
    "collect_hours",
    selection=dg.AssetSelection.assets(*RAW_ASSETS, *HOURLY_FIGURES),
    partitions_def=HOURLY,
    description="Asks the cameras for the run's hours and computes the hourly figures of cameras and stores. `cameras` in the config "
    "of the four raw assets asks only some: a name, `group:`, `tag:` or `store:`; docs/ui.md shows how.",
)

hourly_figures = _job(
    "hourly_figures",
    selection=dg.AssetSelection.assets(*HOURLY_FIGURES),
    partitions_def=HOURLY,
    description="Computes the hourly figures anew from what is stored, without asking a camera.",
)

daily_figures = _job(
    "daily_figures",
    selection=dg.AssetSelection.assets(*DAILY_ASSETS, *FLOW_ASSETS, *QUEUE_DAILY_ASSETS, *KPI_ASSETS),
    partitions_def=DAILY,
    description="Computes the days of the stores whose local day has ended: figures, regions, queues, key figures.",
)

ended_day_questions = _job(
    "ended_day_questions",
    selection=dg.AssetSelection.assets(*STAY_ASSETS),
    partitions_def=DAILY,
    description="Asks the cameras that have such reports for the stays in their regions and the heat of their view, on days that have "
    "ended.",
)

public_holidays = _job(
    "public_holidays",
    selection=dg.AssetSelection.assets(*INPUT_ASSETS),
    description="Brings the public holidays of the stores' countries and the calendar of retail weeks up to date.",
)

anomalies = _job(
    "anomalies",
    selection=dg.AssetSelection.assets(*ANOMALY_ASSETS),
    partitions_def=DAILY,
    description="Looks for anomalies in the counts of the run's days, and for cameras that seem faulty; those that have ended are "
    "resolved.",
)

alerts = _job(
    "alerts",
    selection=dg.AssetSelection.assets(*ALERT_ASSETS, *NOTIFICATION_ASSETS),
    description="Raises, escalates and resolves alerts by the rules, from fresh figures only, and tells of them.",
)

watch_cameras = _job(
    "watch_cameras",
    selection=dg.AssetSelection.assets(*HEALTH_ASSETS),
    description="Says of each camera whether it is healthy, degraded, offline or unknown, from what became of asking it.",
)

train_model = _job(
    "train_model",
    selection=dg.AssetSelection.assets(*MODEL_ASSETS),
    description="Trains the model of the forecasts on what was measured so far, and tests it on the last weeks.",
)

forecasts = _job(
    "forecasts",
    selection=dg.AssetSelection.assets(*PREDICTION_ASSETS),
    partitions_def=HOURLY,
    description="Predicts the 168 hours after the run's hour for cameras and stores, and plans staff by it.",
)

plan_staff = _job(
    "plan_staff",
    selection=dg.AssetSelection.assets("staffing_plan"),
    partitions_def=HOURLY,
    description="Plans staff for now, the next hour and the rest of the day from the newest forecast.",
)

forecast_accuracy = _job(
    "forecast_accuracy",
    selection=dg.AssetSelection.assets(*ACCURACY_ASSETS),
    partitions_def=DAILY,
    description="Sets what was counted beside what was predicted for the run's days.",
)


@dg.op
def make_partitions_ahead(context: dg.OpExecutionContext, database: DatabaseResource, clock: ClockResource) -> None:
    """Makes the raw tables' native monthly partitions for the next two months."""
    now = clock.now()
    for table in sorted(PARTITIONED):
        # A transaction for each: making a partition locks sensor_metadata until the end, and collection waits.
        with database.database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT retail.ensure_month_partitions(%s, %s, %s)", (table, now, now + timedelta(days=62)))
            (made,) = cursor.fetchone() or (0,)
            context.log.info(f"{table}: {made} monthly partitions made")


@dg.op
def prune_event_log(context: dg.OpExecutionContext, database: DatabaseResource, clock: ClockResource) -> None:
    """Deletes old events, runs and outputs of Dagster's own storage, which itself keeps them for ever.

    The newest materialization of each partition stays: to Dagster it is the partition's status. Deleting whole runs
    by Dagster's own means would turn old partitions back to "missing".
    """
    before = clock.now() - timedelta(days=load_settings().event_log_days)
    deleted = prune(database.database, before)
    files = prune_files(Installation().files, before)
    context.log.info(f"Deleted from before {before:%Y-%m-%d}: {deleted}, {files} files of output")


@dg.op
def apply_retention(context: dg.OpExecutionContext, database: DatabaseResource, clock: ClockResource) -> None:
    """Archives and drops what is older than the tables' retention policies say, and tells of each table in a sentence."""
    folder = ArchiveFolder(load_settings().archive_folder)
    try:
        outcomes = apply_policies(database.database, folder, clock.now())
    except RetentionBusyError as error:
        context.log.warning(str(error))
        return
    for outcome in outcomes:
        (context.log.error if outcome.is_failure else context.log.info)(outcome.sentence)
    if failed := [outcome.sentence for outcome in outcomes if outcome.is_failure]:
        raise dg.Failure(" ".join(failed))


@dg.job(
    description="Makes partitions ahead of need, prunes Dagster's event log and archives or drops rows by the retention policies.",
    executor_def=dg.in_process_executor,
)
def maintenance() -> None:
    make_partitions_ahead()
    prune_event_log()
    apply_retention()


JOBS = (
    collect_hours,
    hourly_figures,
    ended_day_questions,
    daily_figures,
    public_holidays,
    anomalies,
    alerts,
    watch_cameras,
    train_model,
    forecasts,
    plan_staff,
    forecast_accuracy,
    maintenance,
)
