"""What stood out in the counts: a short body around `retail_sensors.analytics.anomaly_cameras`.

Days that have not ended are looked at too: an event is worth most while it lasts.
"""

from datetime import timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics.anomaly_cameras import (
    HOUR_COLUMNS,
    LINE_COLUMNS,
    camera_anomalies,
    hours_needed,
    lines_needed,
    with_reviewed,
)
from retail_sensors.analytics.holidays import store_holidays
from retail_sensors.assets.anomalies_summary import anomalies_summary
from retail_sensors.assets.daily import dates_of_run
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.partitions import DAILY, DAYS_POLICY, HOURS_OF_DAY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.tables import HOURLY_ANALYTICS, PEOPLE_COUNTING_RAW
from retail_sensors.tables.anomalies import ANOMALIES_DETECTED
from retail_sensors.tables.inputs import HOLIDAYS, STORE_SUBDIVISIONS

_DAY = timedelta(days=1)


@dg.asset(
    description=f"{ANOMALIES_DETECTED.row} Dates of the same four weeks learn from the 26 weeks before them; what was estimated is no "
    "evidence. Review notes are kept, and so is an event that has some.",
    partitions_def=DAILY,
    backfill_policy=DAYS_POLICY,
    deps=[
        dg.AssetDep("hourly_analytics", partition_mapping=HOURS_OF_DAY),
        dg.AssetDep("people_counting_raw", partition_mapping=HOURS_OF_DAY),
        "holidays",
    ],
    metadata=table_metadata(ANOMALIES_DETECTED, "replace"),
    group_name="anomalies",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "anomalies"},
)
def anomalies_detected(
    context: dg.AssetExecutionContext, database: DatabaseResource, clock: ClockResource
) -> dg.MaterializeResult[pd.DataFrame]:
    window, now, roster = run_window(context), clock.now(), database.roster()
    first, end = dates_of_run(context)
    # East of Greenwich tomorrow begins before its partition exists.
    dates = (first, end + _DAY if window.end > now else end)
    hours = database.read(HOURLY_ANALYTICS, *hours_needed(dates, now), HOUR_COLUMNS)
    lines = database.read(PEOPLE_COUNTING_RAW, *lines_needed(dates, now, roster), LINE_COLUMNS)
    spanned = (hours_needed(dates, now)[0], window.end + 2 * _DAY)
    named = store_holidays(
        database.read(HOLIDAYS, *spanned),
        roster,
        (spanned[0].date(), spanned[1].date()),
        database.read_all(STORE_SUBDIVISIONS),
    )
    found = camera_anomalies(hours, lines, roster, dates, now, named)
    is_ahead = found["date"] >= end
    database.merge(ANOMALIES_DETECTED, found[is_ahead])
    events = with_reviewed(found[~is_ahead], database.read(ANOMALIES_DETECTED, window.start, window.end))
    return dg.MaterializeResult(value=events, metadata=anomalies_summary(context, events, hours, roster, now))


ANOMALY_ASSETS = (anomalies_detected,)
