"""Queues at the tills by hour and by day: short bodies around `retail_sensors.analytics.queueing` and its neighbours.

What the Dagster UI shows of them belongs in `queue_summary`; formulas, and which store gets rows, in `analytics`.
"""

from datetime import datetime, timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics.queue_inputs import LOOK_BACK, queue_inputs
from retail_sensors.analytics.queue_model import HISTORY, LEAST_HOURS, with_corrections
from retail_sensors.analytics.queueing import queue_days, queue_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.daily import dates_of_run
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.queue_summary import DRAWN, SHOWN, queue_day_summary, queue_summary
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.partitions import DAILY, DAYS_POLICY, HOURLY, HOURS_OF_DAY, HOURS_POLICY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.tables.inputs import POS_TRANSACTIONS, QUEUE_GROUND_TRUTH, STAFF_HOURS
from retail_sensors.tables.queues import QUEUE_ANALYTICS, QUEUE_PERFORMANCE_DAILY
from retail_sensors.tables.regions import REGION_STAYS

_SEED = 20260202
"""The same counted hours give the same model."""

_A_DAY = timedelta(days=1)


def _inputs(
    hours: pd.DataFrame, roster: Roster, window: TimeWindow, database: DatabaseResource, now: datetime
) -> pd.DataFrame:
    """The input of `queue_hours`, with what counted queues have taught."""
    counted = database.read(QUEUE_GROUND_TRUTH, window.start - HISTORY, window.end)
    inputs = queue_inputs(
        hours,
        database.read(
            POS_TRANSACTIONS, window.start - LOOK_BACK, window.end, ["store_id", "hour_start", "transactions"]
        ),
        database.read(STAFF_HOURS, window.start, window.end, ["store_id", "hour_start", "lanes_open"]),
        # a local day lies up to a day beside its date in UTC
        database.read(REGION_STAYS, window.start - LOOK_BACK - _A_DAY, window.end + 2 * _A_DAY),
        counted,
        roster,
        (window.start, window.end),
        now,
    )
    if not (counted["store_id"].value_counts() >= LEAST_HOURS).any():
        return inputs
    columns = ["store_id", "hour_start", "arrivals", "lanes"]
    history = database.read(QUEUE_ANALYTICS, counted["hour_start"].min(), window.end, columns)
    return with_corrections(inputs, history, counted, roster, _SEED)


@dg.asset(
    description=f"{QUEUE_ANALYTICS.row} Arrivals are the till feed's transactions, else the stays over 60 s in the queue region; "
    "stores with neither, nor lanes, have no rows, nor has the running hour.",
    partitions_def=HOURLY,
    backfill_policy=HOURS_POLICY,
    metadata=table_metadata(QUEUE_ANALYTICS, "replace"),
    group_name="hourly_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "queues"},
)
def queue_analytics(
    context: dg.AssetExecutionContext,
    hourly_analytics: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    window = run_window(context)
    roster = database.roster()
    figures = queue_hours(_inputs(hourly_analytics, roster, window, database, clock.now()), roster)
    before = database.read(QUEUE_ANALYTICS, window.end - SHOWN, max(window.start, window.end - SHOWN), DRAWN)
    return dg.MaterializeResult(value=figures, metadata=queue_summary(context, figures, before, roster))


@dg.asset(
    description=f"{QUEUE_PERFORMANCE_DAILY.row} Means over customers, with the wait that nine of ten do not exceed.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    ins={"queue_analytics": dg.AssetIn(partition_mapping=HOURS_OF_DAY)},
    metadata=table_metadata(QUEUE_PERFORMANCE_DAILY, "replace"),
    group_name="daily_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "queues"},
)
def queue_performance_daily(
    context: dg.AssetExecutionContext,
    queue_analytics: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    window = run_window(context)
    roster = database.roster()
    counted = database.read(QUEUE_GROUND_TRUTH, window.start - _A_DAY, window.end + _A_DAY)
    figures = queue_days(queue_analytics, counted, roster, dates_of_run(context), clock.now())
    return dg.MaterializeResult(value=figures, metadata=queue_day_summary(context, figures, roster))


QUEUE_HOURLY_ASSETS: tuple[dg.AssetsDefinition, ...] = (queue_analytics,)
QUEUE_DAILY_ASSETS: tuple[dg.AssetsDefinition, ...] = (queue_performance_daily,)
