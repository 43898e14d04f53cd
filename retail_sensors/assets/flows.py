"""Figures of regions, and modelled flows between regions and cameras: short bodies around `retail_sensors.analytics`.

Only the stores whose local day has ended get rows. What cameras themselves say about stays belongs in `assets.regions`.
"""

from datetime import timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics.dwell import region_figures
from retail_sensors.analytics.flows import FIT_DAYS, HOUR_COLUMNS, camera_flows, pathways, ways_of
from retail_sensors.assets.daily import dates_of_run
from retail_sensors.assets.flows_summary import matrix_summary, pathways_summary, regions_summary
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.partitions import DAILY, DAYS_POLICY, HOURS_OF_DAY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.tables import HOURLY_ANALYTICS
from retail_sensors.tables.regions import (
    CAMERA_FLOW_MATRIX,
    PATHWAY_ANALYTICS,
    REGION_ADJACENCY,
    REGION_STAYS,
    REGIONAL_ANALYTICS,
)

_DAY = timedelta(days=1)
_COLUMNS = {"columns": list(HOUR_COLUMNS)}


def _hours_of_fit(
    context: dg.AssetExecutionContext, hours: pd.DataFrame, database: DatabaseResource, *, has_ways: bool
) -> pd.DataFrame:
    """The hours of the run's days, and those before them that the flows are fitted to; without ways the first alone."""
    if not has_ways:
        return hours
    first = run_window(context).start
    # The run's own hours begin a day before its first date; the first day of the fit may begin a day before its UTC date.
    history = database.read(HOURLY_ANALYTICS, first - FIT_DAYS * _DAY, first - _DAY, list(HOUR_COLUMNS))
    return pd.concat([history, hours], ignore_index=True)


@dg.asset(
    description=f"{REGIONAL_ANALYTICS.row} Detections are counted; stay, people present and time occupied are modelled from them "
    "where the camera says how long detections stay.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    ins={"hourly_analytics": dg.AssetIn(partition_mapping=HOURS_OF_DAY)},
    deps=["region_stays"],
    metadata=table_metadata(REGIONAL_ANALYTICS, "replace"),
    group_name="daily_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def regional_analytics(
    context: dg.AssetExecutionContext,
    hourly_analytics: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    window = run_window(context)
    roster = database.roster()
    stays = database.read(REGION_STAYS, window.start, window.end)
    figures = region_figures(hourly_analytics, stays, roster, dates_of_run(context), clock.now())
    return dg.MaterializeResult(value=figures, metadata=regions_summary(context, figures, roster))


@dg.asset(
    description=f"{PATHWAY_ANALYTICS.row} Fitted to the counts of {FIT_DAYS} days: an estimate with its residual, not a "
    "count of persons.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    ins={"hourly_analytics": dg.AssetIn(partition_mapping=HOURS_OF_DAY, metadata=_COLUMNS)},
    metadata=table_metadata(PATHWAY_ANALYTICS, "replace"),
    group_name="daily_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def pathway_analytics(
    context: dg.AssetExecutionContext,
    hourly_analytics: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    roster = database.roster()
    ways = ways_of(database.read_all(REGION_ADJACENCY), roster)
    hours = _hours_of_fit(context, hourly_analytics, database, has_ways=bool(ways.within.any()))
    flows = pathways(hours, ways, roster, dates_of_run(context), clock.now())
    return dg.MaterializeResult(value=flows, metadata=pathways_summary(context, flows, roster))


@dg.asset(
    description=f"{CAMERA_FLOW_MATRIX.row} Only where the fleet file says that a region leads to one of another camera; an estimate "
    "with its residual, not a count of persons.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    ins={"hourly_analytics": dg.AssetIn(partition_mapping=HOURS_OF_DAY, metadata=_COLUMNS)},
    metadata=table_metadata(CAMERA_FLOW_MATRIX, "replace"),
    group_name="daily_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def camera_flow_matrix(
    context: dg.AssetExecutionContext,
    hourly_analytics: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    roster = database.roster()
    ways = ways_of(database.read_all(REGION_ADJACENCY), roster)
    hours = _hours_of_fit(context, hourly_analytics, database, has_ways=not ways.within.all())
    flows = camera_flows(hours, ways, roster, dates_of_run(context), clock.now())
    return dg.MaterializeResult(value=flows, metadata=matrix_summary(context, flows, roster))


FLOW_ASSETS = (regional_analytics, pathway_analytics, camera_flow_matrix)
