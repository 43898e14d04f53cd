"""Hourly figures of cameras and stores: short bodies around `retail_sensors.analytics`.

A run computes more than its window: the hours that an occupancy day connects with it, and those whose estimate
`assets.missing` has changed.
"""

from datetime import datetime, timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics.beside import PAST_WEEKS, sensor_hours_beside, store_hours_beside
from retail_sensors.analytics.hourly import sensor_hours
from retail_sensors.analytics.hourly import store_hours as hours_of_stores
from retail_sensors.analytics.missing import REACH_DAYS
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.summaries import hourly_summary
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.partitions import DAYS_OF_HOUR, HOURLY, HOURS_POLICY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.retention import require_raw_rows
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import (
    HEATMAP_TEMPORAL_RAW,
    HOURLY_ANALYTICS,
    PEOPLE_COUNTING_RAW,
    REGIONAL_COUNTING_RAW,
    STORE_HOURLY,
    Table,
)
from retail_sensors.tables.inputs import POS_TRANSACTIONS
from retail_sensors.tables.missing import IMPUTED_HOURS
from retail_sensors.tables.queues import QUEUE_ANALYTICS
from retail_sensors.tables.regions import REGION_STAYS

_HOUR = timedelta(hours=1)
_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)
_SAME_DAY = timedelta(hours=25)
"""Occupancy runs from reset to reset, 23 to 25 hours: so far from the window a stored hour may be of the same day as one in it."""
_REACH = timedelta(days=REACH_DAYS)
"""So far from the window the estimates of a gap that touches it may have changed."""


def _span(window: TimeWindow, query: str, database: DatabaseResource) -> TimeWindow:
    """The hours to compute: a day on either side of the window, and back or on to the furthest one whose figures hold another
    estimate than is stored; `query` of `sql/queries/missing_data.sql` knows them."""
    near = {"start": window.start - _REACH, "end": window.end + _REACH}
    changed = [hour for _, hour in database.database.fetch(queries("missing_data")[query], near)]
    return TimeWindow(
        min([window.start - _SAME_DAY, *changed]), max([window.end + _SAME_DAY, *(hour + _HOUR for hour in changed)])
    )


def _around(span: TimeWindow) -> tuple[datetime, datetime]:
    """What the figures of the hours to compute in turn need."""
    return span.start - _SAME_DAY, span.end + _SAME_DAY


def _with_neighbours(
    frame: pd.DataFrame, table: Table, window: TimeWindow, span: TimeWindow, database: DatabaseResource
) -> pd.DataFrame:
    """The window's rows, and those of the hours around it that the hours to compute need."""
    columns = list(frame.columns)
    first, last = _around(span)
    around = database.read_windows(table, [(first, window.start), (window.end, last)], columns)
    return pd.concat([frame, around], ignore_index=True)


def _like_hours(table: Table, span: TimeWindow, database: DatabaseResource) -> pd.DataFrame:
    """Entries of the hours that stand 1 to 12 weeks before those that are computed; a change of clocks moves them by an hour."""
    columns = [*table.key, "total_entries", "data_completeness"]
    start, end = span.start - _HOUR, span.end + _HOUR
    # Those that are computed themselves are in the frame already, as they now are.
    weeks = [week * _WEEK for week in range(1, PAST_WEEKS + 1)]
    return database.read_windows(table, [(start - week, min(end - week, span.start)) for week in weeks], columns)


def _stays(span: TimeWindow, database: DatabaseResource) -> pd.DataFrame:
    """What is known of the local days that the hours may belong to: the last hour of a UTC day is of the next one in the east."""
    return database.read(REGION_STAYS, span.start - _DAY, span.end + 2 * _DAY)


def _of_the_window(
    figures: pd.DataFrame, table: Table, window: TimeWindow, span: TimeWindow, database: DatabaseResource
) -> pd.DataFrame:
    """The window's rows. Of the others, those that are stored already are written here, where something differs.

    An hour's occupancy is known when its day is complete: the run that brings the last hours of a day also mends the earlier
    ones, whatever the runs of a back-fill are cut into and in which order they come.
    """
    is_inside = (figures["hour_start"] >= window.start) & (figures["hour_start"] < window.end)
    outside = [(span.start, window.start), (window.end, span.end)]
    stored = database.read_windows(table, outside, list(table.key))
    database.merge(table, figures[~is_inside].merge(stored, on=list(table.key)))
    return figures[is_inside].reset_index(drop=True)


@dg.asset(
    description=f"{HOURLY_ANALYTICS.row} Entrance lines make traffic, passer-by lines make capture; what one door cannot know "
    "is NULL with the reason in `quality`.",
    partitions_def=HOURLY,
    backfill_policy=HOURS_POLICY,
    deps=[dg.AssetDep("region_stays", partition_mapping=DAYS_OF_HOUR)],
    metadata=table_metadata(HOURLY_ANALYTICS, "replace"),
    group_name="hourly_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def hourly_analytics(
    context: dg.AssetExecutionContext,
    people_counting_raw: pd.DataFrame,
    regional_counting_raw: pd.DataFrame,
    heatmap_temporal_raw: pd.DataFrame,
    imputed_hours: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    window = run_window(context)
    require_raw_rows(database.database, window.start, window.end)
    span = _span(window, "cameras_to_mend", database)
    roster = database.roster()
    figures = sensor_hours(
        _with_neighbours(people_counting_raw, PEOPLE_COUNTING_RAW, window, span, database),
        _with_neighbours(regional_counting_raw, REGIONAL_COUNTING_RAW, window, span, database),
        _with_neighbours(heatmap_temporal_raw, HEATMAP_TEMPORAL_RAW, window, span, database),
        database.asked(span.start, span.end),
        roster,
        span.start,
        span.end,
        clock.now(),
        _with_neighbours(imputed_hours, IMPUTED_HOURS, window, span, database),
    )
    figures = sensor_hours_beside(
        figures,
        roster,
        _like_hours(HOURLY_ANALYTICS, span, database),
        _stays(span, database),
        database.read(POS_TRANSACTIONS, span.start, span.end),
    )
    figures = _of_the_window(figures, HOURLY_ANALYTICS, window, span, database)
    return dg.MaterializeResult(value=figures, metadata=hourly_summary(context, figures))


@dg.asset(
    description=f"{STORE_HOURLY.row} Sums over the store's entrance cameras, estimates included, with the share that was measured.",
    partitions_def=HOURLY,
    backfill_policy=HOURS_POLICY,
    deps=["queue_analytics", dg.AssetDep("region_stays", partition_mapping=DAYS_OF_HOUR)],
    metadata=table_metadata(STORE_HOURLY, "replace"),
    group_name="hourly_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def store_hourly(
    context: dg.AssetExecutionContext,
    hourly_analytics: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    window = run_window(context)
    span = _span(window, "stores_to_mend", database)
    roster = database.roster()
    hours = _with_neighbours(hourly_analytics, HOURLY_ANALYTICS, window, span, database)
    figures = hours_of_stores(hours, roster, span.start, span.end, clock.now())
    figures = store_hours_beside(
        figures,
        hours,
        roster,
        _like_hours(STORE_HOURLY, span, database),
        _stays(span, database),
        database.read(POS_TRANSACTIONS, span.start, span.end),
        database.read(QUEUE_ANALYTICS, span.start, span.end),
    )
    figures = _of_the_window(figures, STORE_HOURLY, window, span, database)
    return dg.MaterializeResult(value=figures, metadata=hourly_summary(context, figures))


HOURLY_ASSETS = (hourly_analytics, store_hourly)
