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
from retail_sensors.tables import HOURLY_ANALYTICS, PEOPLE_COUNTING_RAW, STORE_HOURLY, Table

_CONTEXT = timedelta(hours=26)
"""Occupancy runs from reset to reset, so an hour's figure needs up to 25 hours on either side."""


def _with_neighbours(frame: pd.DataFrame, table: Table, window: TimeWindow, database: DatabaseResource) -> pd.DataFrame:
    """The window's rows, and those of the hours around it that occupancy needs."""
    columns = list(frame.columns)
    before = database.read(table, window.start - _CONTEXT, window.start, columns)
    after = database.read(table, window.end, window.end + _CONTEXT, columns)
    return pd.concat([before, frame, after], ignore_index=True)


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
        regional_counting_raw,
        heatmap_temporal_raw,
        database.asked(window.start, window.end),
        database.roster(),
        window.start,
        window.end,
        clock.now(),
    )
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
        window.start,
        window.end,
        clock.now(),
    )
    return dg.MaterializeResult(value=figures, metadata=hourly_summary(context, figures))


HOURLY_ASSETS = (hourly_analytics, store_hourly)
