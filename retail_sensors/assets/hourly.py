"""Hourly figures of cameras and stores: short bodies around `retail_sensors.analytics`."""

from datetime import timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics.hourly import sensor_hours
from retail_sensors.analytics.hourly import store_hours as hours_of_stores
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.summaries import hourly_summary
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.partitions import HOURLY, HOURS_POLICY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.tables import (
    HEATMAP_TEMPORAL_RAW,
    HOURLY_ANALYTICS,
    PEOPLE_COUNTING_RAW,
    REGIONAL_COUNTING_RAW,
    STORE_HOURLY,
    Table,
)

_SAME_DAY = timedelta(hours=25)
"""Occupancy runs from reset to reset, 23 to 25 hours: so far from the window a stored hour may be of the same day as one in it."""
_CONTEXT = 2 * _SAME_DAY
"""What the figures of those hours in turn need."""


def _with_neighbours(frame: pd.DataFrame, table: Table, window: TimeWindow, database: DatabaseResource) -> pd.DataFrame:
    """The window's rows, and those of the hours around it that occupancy needs."""
    columns = list(frame.columns)
    before = database.read(table, window.start - _CONTEXT, window.start, columns)
    after = database.read(table, window.end, window.end + _CONTEXT, columns)
    return pd.concat([before, frame, after], ignore_index=True)


def _of_the_window(figures: pd.DataFrame, table: Table, window: TimeWindow, database: DatabaseResource) -> pd.DataFrame:
    """The window's rows. Of the others, those that are stored already are written here, where something differs.

    An hour's occupancy is known when its day is complete: the run that brings the last hours of a day also mends the earlier
    ones, whatever the runs of a back-fill are cut into and in which order they come.
    """
    is_inside = (figures["hour_start"] >= window.start) & (figures["hour_start"] < window.end)
    stored = pd.concat(
        [
            database.read(table, window.start - _SAME_DAY, window.start, list(table.key)),
            database.read(table, window.end, window.end + _SAME_DAY, list(table.key)),
        ]
    )
    database.merge(table, figures[~is_inside].merge(stored, on=list(table.key)))
    return figures[is_inside].reset_index(drop=True)


@dg.asset(
    description=f"{HOURLY_ANALYTICS.row} Entrance lines make traffic, passer-by lines make capture; what one door cannot know "
    "is NULL with the reason in `quality`.",
    partitions_def=HOURLY,
    backfill_policy=HOURS_POLICY,
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
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    window = run_window(context)
    figures = sensor_hours(
        _with_neighbours(people_counting_raw, PEOPLE_COUNTING_RAW, window, database),
        _with_neighbours(regional_counting_raw, REGIONAL_COUNTING_RAW, window, database),
        _with_neighbours(heatmap_temporal_raw, HEATMAP_TEMPORAL_RAW, window, database),
        database.asked(window.start - _SAME_DAY, window.end + _SAME_DAY),
        database.roster(),
        window.start - _SAME_DAY,
        window.end + _SAME_DAY,
        clock.now(),
    )
    figures = _of_the_window(figures, HOURLY_ANALYTICS, window, database)
    return dg.MaterializeResult(value=figures, metadata=hourly_summary(context, figures))


@dg.asset(
    description=f"{STORE_HOURLY.row} Sums over the store's entrance cameras, with the share of them that was measured.",
    partitions_def=HOURLY,
    backfill_policy=HOURS_POLICY,
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
    figures = hours_of_stores(
        _with_neighbours(hourly_analytics, HOURLY_ANALYTICS, window, database),
        database.roster(),
        window.start - _SAME_DAY,
        window.end + _SAME_DAY,
        clock.now(),
    )
    figures = _of_the_window(figures, STORE_HOURLY, window, database)
    return dg.MaterializeResult(value=figures, metadata=hourly_summary(context, figures))


HOURLY_ASSETS = (hourly_analytics, store_hourly)
