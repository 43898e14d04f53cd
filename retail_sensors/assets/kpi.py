"""Key figures of stores: short bodies around `retail_sensors.analytics.kpi`."""

from datetime import timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics.kpi import kpi_days
from retail_sensors.analytics.overlays import business_overlays
from retail_sensors.analytics.store_days import role_stays
from retail_sensors.assets.daily import dates_of_run, history_of, holidays_of_days, inputs_of_days
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.summaries import kpi_summary, week_of_hours
from retail_sensors.partitions import DAILY, DAYS_POLICY, run_window
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.tables import KPI_METRICS, STORE_HOURLY
from retail_sensors.tables.inputs import POS_TRANSACTIONS, STAFF_HOURS
from retail_sensors.tables.queues import QUEUE_PERFORMANCE_DAILY
from retail_sensors.tables.regions import REGION_STAYS


@dg.asset(
    description=f"{KPI_METRICS.row} What is usual is the store's own last eight comparable days, or the organization's stores of "
    "that day.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    metadata=table_metadata(KPI_METRICS, "replace"),
    group_name="daily_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def kpi_metrics(
    context: dg.AssetExecutionContext, store_daily: pd.DataFrame, database: DatabaseResource
) -> dg.MaterializeResult[pd.DataFrame]:
    dates = dates_of_run(context)
    roster = database.roster()
    stays = inputs_of_days(REGION_STAYS, dates, database)
    end = run_window(context).end
    week = end - timedelta(days=8)
    # The week of the pictures holds the days of the figures, or the run is longer than a week.
    wide = (min(dates[0], week.date()), dates[1])
    tills, staff = (inputs_of_days(table, wide, database) for table in (POS_TRANSACTIONS, STAFF_HOURS))
    figures = kpi_days(
        store_daily,
        roster,
        dates,
        history_of(KPI_METRICS, dates, database, [*KPI_METRICS.key, "metric_value"]),
        holidays=holidays_of_days(dates, roster, database),
        pos=tills,
        staff=staff,
        queue=inputs_of_days(QUEUE_PERFORMANCE_DAILY, dates, database),
        stays=role_stays(stays, roster, "entrance", "short_stay_share"),
        checkout=role_stays(stays, roster, "checkout", "stay_over_30_s"),
    )
    hours = database.read(STORE_HOURLY, week, end)
    week_of_hours(context, hours, business_overlays(hours, tills, staff, roster), roster)
    return dg.MaterializeResult(value=figures, metadata=kpi_summary(context, figures, roster))


KPI_ASSETS = (kpi_metrics,)
