"""Daily figures of cameras and stores: short bodies around `retail_sensors.analytics`.

Only the stores whose local day has ended get a row; the others follow when theirs has.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics.beside import days_beside
from retail_sensors.analytics.comparisons import LOOK_BACK
from retail_sensors.analytics.daily import sensor_days, store_days
from retail_sensors.analytics.holidays import same_named
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.summaries import daily_summary
from retail_sensors.partitions import DAILY, DAYS_POLICY, HOURS_OF_DAY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.tables import DAILY_ANALYTICS, STORE_DAILY, Table
from retail_sensors.tables.inputs import HOLIDAYS, POS_TRANSACTIONS, STORE_SUBDIVISIONS
from retail_sensors.tables.queues import QUEUE_PERFORMANCE_DAILY
from retail_sensors.tables.regions import REGION_STAYS

_COMPARED_DAYS = timedelta(days=LOOK_BACK)
_COMPARED = (
    "date",
    "total_visitors",
    "total_entries",
    "overall_conversion_rate",
    "data_completeness",
    "quality",
)
"""Columns of earlier days that `comparisons` and `beside` look at, with the camera or store."""
_DAY = timedelta(days=1)


def dates_of_run(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """The run's dates, half-open."""
    window = run_window(context)
    return window.start.date(), window.end.date()


def history_of(table: Table, dates: tuple[date, date], database: DatabaseResource, columns: list[str]) -> pd.DataFrame:
    """Columns of stored days before the run's, for comparisons: fourteen months of whole rows would be most of the memory."""
    first = datetime.combine(dates[0], time(), UTC)
    return database.read(table, first - _COMPARED_DAYS, first, columns)


def inputs_of_days(table: Table, dates: tuple[date, date], database: DatabaseResource) -> pd.DataFrame:
    """Rows of a table of hours or days that may belong to the local days of the run."""
    first, last = (datetime.combine(day, time(), UTC) for day in dates)
    return database.read(table, first - _DAY, last + _DAY)


def holidays_of_days(dates: tuple[date, date], roster: Roster, database: DatabaseResource) -> pd.DataFrame:
    """The stores' holidays on the run's dates and in the days that they are compared with, each with that of the year before."""
    holidays = database.read_all(HOLIDAYS)
    subdivisions = database.read_all(STORE_SUBDIVISIONS)
    return same_named(holidays, roster, (dates[0] - _COMPARED_DAYS, dates[1]), subdivisions)


_Days = Callable[[pd.DataFrame, Roster, tuple[date, date], pd.DataFrame, datetime, pd.DataFrame], pd.DataFrame]


def _daily_asset(table: Table, days: _Days, what: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        description=f"{table.row} {what}",
        partitions_def=DAILY,
        backfill_policy=DAYS_POLICY,
        ins={"hourly_analytics": dg.AssetIn(partition_mapping=HOURS_OF_DAY)},
        deps=["queue_performance_daily", "region_stays", "holidays"],
        metadata=table_metadata(table, "replace"),
        group_name="daily_figures",
        owners=OWNERS,
        kinds={"pandas", "postgres"},
        tags={"domain": "figures"},
    )
    def daily(
        context: dg.AssetExecutionContext,
        hourly_analytics: pd.DataFrame,
        database: DatabaseResource,
        clock: ClockResource,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        dates = dates_of_run(context)
        roster = database.roster()
        history = history_of(table, dates, database, [table.key[0], *_COMPARED])
        holidays = holidays_of_days(dates, roster, database)
        figures = days_beside(
            days(hourly_analytics, roster, dates, history, clock.now(), holidays),
            table,
            roster,
            history,
            stays=inputs_of_days(REGION_STAYS, dates, database),
            tills=inputs_of_days(POS_TRANSACTIONS, dates, database),
            queue=inputs_of_days(QUEUE_PERFORMANCE_DAILY, dates, database),
            holidays=holidays,
        )
        return dg.MaterializeResult(value=figures, metadata=daily_summary(context, figures, history, roster))

    return daily


daily_analytics = _daily_asset(
    DAILY_ANALYTICS, sensor_days, "Sums over the local day's hours, with the share of them that was measured."
)
store_daily = _daily_asset(
    STORE_DAILY,
    store_days,
    "What a shop manager acts on: visitors, capture, conversion, peak, stay, queue, and the change against last week.",
)

DAILY_ASSETS = (daily_analytics, store_daily)
