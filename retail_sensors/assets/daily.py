"""Daily figures of cameras and stores: short bodies around `retail_sensors.analytics`.

Only the stores whose local day has ended get a row; the others follow when theirs has.
"""

from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics.daily import sensor_days, store_days
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.summaries import daily_summary
from retail_sensors.partitions import DAILY, DAYS_POLICY, HOURS_OF_DAY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.tables import DAILY_ANALYTICS, STORE_DAILY, Table

_COMPARED_DAYS = timedelta(days=366)
"""The furthest comparison is 52 weeks back."""


def dates_of_run(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """The run's dates, half-open."""
    window = run_window(context)
    return window.start.date(), window.end.date()


def history_of(table: Table, dates: tuple[date, date], database: DatabaseResource) -> pd.DataFrame:
    """Stored days before the run's, for comparisons."""
    first = datetime.combine(dates[0], time(), UTC)
    return database.read(table, first - _COMPARED_DAYS, first)


@dg.asset(
    description=f"{DAILY_ANALYTICS.row} Sums over the local day's hours, with the share of them that was measured.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    ins={"hourly_analytics": dg.AssetIn(partition_mapping=HOURS_OF_DAY)},
    metadata=table_metadata(DAILY_ANALYTICS, "replace"),
    group_name="daily_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def daily_analytics(
    context: dg.AssetExecutionContext,
    hourly_analytics: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    dates = dates_of_run(context)
    roster = database.roster()
    history = history_of(DAILY_ANALYTICS, dates, database)
    figures = sensor_days(hourly_analytics, roster, dates, history, clock.now())
    return dg.MaterializeResult(value=figures, metadata=daily_summary(context, figures, roster))


@dg.asset(
    description=f"{STORE_DAILY.row} What a shop manager acts on: visitors, capture, peak, stay, and the change against last week.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    ins={"hourly_analytics": dg.AssetIn(partition_mapping=HOURS_OF_DAY)},
    metadata=table_metadata(STORE_DAILY, "replace"),
    group_name="daily_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def store_daily(
    context: dg.AssetExecutionContext,
    hourly_analytics: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    dates = dates_of_run(context)
    roster = database.roster()
    history = history_of(STORE_DAILY, dates, database)
    figures = store_days(hourly_analytics, roster, dates, history, clock.now())
    return dg.MaterializeResult(value=figures, metadata=daily_summary(context, figures, roster))


DAILY_ASSETS = (daily_analytics, store_daily)
