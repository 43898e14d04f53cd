"""Estimates of missing hours: a short body around `retail_sensors.analytics.missing`, and what it reads and writes.

Asking a camera again comes first and belongs to collection; an estimate stands only until the hour comes in. A run without a
missing hour reads one small table and no history. A run whose hours end or lengthen a gap also writes that gap's hours before
and after its window; `assets.hourly` then mends the figures that hold them.
"""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
from psycopg2 import sql

from retail_sensors.analytics.holidays import store_holidays
from retail_sensors.analytics.imputation import CONTEXT_DAYS
from retail_sensors.analytics.missing import COUNTED, REACH_DAYS, estimated_hours, gaps_at, missing_hours, within_gaps
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.charts import bar_chart
from retail_sensors.assets.metadata import OWNERS, markdown_table, table_metadata
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.partitions import HOURLY, HOURS_POLICY, run_window
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.frames import empty_frame, read_frame
from retail_sensors.storage.merge import lock_writers, merge_frame, window_condition
from retail_sensors.storage.retention import require_raw_rows
from retail_sensors.tables import COLLECTION_LOG, PEOPLE_COUNTING_RAW, Table
from retail_sensors.tables.inputs import HOLIDAYS, STORE_SUBDIVISIONS
from retail_sensors.tables.missing import IMPUTED_HOURS

_REACH = timedelta(days=REACH_DAYS)
_CONTEXT = timedelta(days=CONTEXT_DAYS)
_STORES_AT_A_TIME = 20
"""Bounds the history in memory: five months of twenty stores with four cameras are 300 000 rows."""

_COLUMNS = ["sensor_id", "timestamp", "collected_at", "is_final", *COUNTED]
_KEY = list(IMPUTED_HOURS.key)


def _of_cameras(
    database: DatabaseResource,
    table: Table,
    columns: list[str],
    cameras: list[str],
    span: tuple[datetime, datetime],
    condition: str = "true",
) -> pd.DataFrame:
    """The rows of some cameras in a half-open span of time."""
    where = sql.SQL("{} AND sensor_id = ANY (%(cameras)s::uuid[]) AND {}").format(
        window_condition(table, span), sql.SQL(condition)
    )
    with database.database.transaction() as connection:
        return read_frame(connection, table, where, {"cameras": cameras}, columns=columns)


def _asked(database: DatabaseResource, cameras: list[str], span: tuple[datetime, datetime]) -> pd.DataFrame:
    columns = ["sensor_id", "hour_start", "outcome"]
    return _of_cameras(database, COLLECTION_LOG, columns, cameras, span, "endpoint = 'people_counting'")


def _gaps(
    people: pd.DataFrame, window: TimeWindow, roster: Roster, now: datetime, database: DatabaseResource
) -> pd.DataFrame:
    """The gaps that touch the window, as `gaps_at` gives them; empty where nothing is missing in it or was shortly before."""
    near = (window.start - _REACH, window.end + _REACH)
    missing = missing_hours(people, database.asked(window.start, window.end), roster, now)
    stored = database.read(IMPUTED_HOURS, *near, _KEY)
    cameras = sorted({*missing["sensor_id"], *stored["sensor_id"]})
    if not cameras:
        return pd.DataFrame()
    readings = _of_cameras(database, PEOPLE_COUNTING_RAW, _COLUMNS, cameras, near)
    return gaps_at(readings, _asked(database, cameras, near), roster, (window.start, window.end), now)


def _estimates(
    gaps: pd.DataFrame, window: TimeWindow, roster: Roster, now: datetime, database: DatabaseResource
) -> pd.DataFrame:
    """The estimates of the gaps, from all that their stores counted around them."""
    near = (window.start - _REACH, window.end + _REACH)
    around = (near[0] - _CONTEXT, near[1] + _CONTEXT)
    hopeful = gaps.loc[~gaps["is_hopeless"], "sensor_id"]
    store_of = roster.sensors.set_index("id")["store_id"]
    stores = sorted(set(store_of[hopeful]))
    dates = (around[0].date(), around[1].date())
    holidays = store_holidays(database.read(HOLIDAYS, *around), roster, dates, database.read_all(STORE_SUBDIVISIONS))
    parts = [empty_frame(IMPUTED_HOURS)]
    for first in range(0, len(stores), _STORES_AT_A_TIME):
        doors = store_of[store_of.isin(stores[first : first + _STORES_AT_A_TIME])].index
        readings = _of_cameras(database, PEOPLE_COUNTING_RAW, _COLUMNS, doors.tolist(), around)
        asked = _asked(database, sorted({*doors} & {*hopeful}), near)
        parts.append(estimated_hours(readings, asked, roster, now, holidays))
    found = pd.concat(parts, ignore_index=True)
    return found[within_gaps(found, gaps)]


def _write_around(found: pd.DataFrame, gaps: pd.DataFrame, window: TimeWindow, database: DatabaseResource) -> None:
    """Puts the gaps' hours outside of the window in the place of what is stored of them."""
    with database.database.transaction() as connection:
        # Before reading: what another run writes in between would be lost.
        lock_writers(connection, IMPUTED_HOURS)
        for start, end in ((window.start - _REACH, window.start), (window.end, window.end + _REACH)):
            columns = [column.name for column in IMPUTED_HOURS.written]
            stored = read_frame(
                connection, IMPUTED_HOURS, window_condition(IMPUTED_HOURS, (start, end)), columns=columns
            )
            here = found[(found["hour_start"] >= start) & (found["hour_start"] < end)]
            rows = pd.concat([stored[~within_gaps(stored, gaps)], here], ignore_index=True)
            merge_frame(connection, IMPUTED_HOURS, rows, asset=IMPUTED_HOURS.name, mode="replace", window=(start, end))


def imputed_summary(context: dg.AssetExecutionContext, rows: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's estimates; the last partition also gets their people by hour, a table by camera and the newest."""
    counts = rows[["entries", "exits", "passersby"]].astype("float64")
    if len(rows):
        by_hour = counts.groupby(rows["hour_start"]).sum().tail(24)
        names = roster.sensors.set_index("id")["sensor_name"]
        named = rows.assign(camera=rows["sensor_id"].map(names), people=counts.sum(axis=1).round(1))
        by_camera = named.groupby(["camera", "method"], as_index=False).agg(
            hours=("people", "size"), people=("people", "sum")
        )
        context.add_asset_metadata(
            {
                "estimated people by hour": bar_chart(
                    [f"{hour:%d %H:%M}" for hour in by_hour.index],
                    {str(name): by_hour[name].tolist() for name in by_hour.columns},
                    title="Counts used for hours that were not measured (UTC)",
                    unit="people",
                ),
                "cameras": markdown_table(by_camera, limit=30),
                "newest hours": markdown_table(_newest(named), limit=15),
            },
            partition_key=context.partition_keys[-1],
        )
    return {
        "hours estimated": int((rows["quality"] == "estimated").sum()),
        "hours substituted": int((rows["quality"] == "substituted").sum()),
        "people": float(counts.sum().sum()),
    }


def _newest(named: pd.DataFrame) -> pd.DataFrame:
    """The estimates, newest first; `named`: rows of `imputed_hours` with `camera`."""
    shown = named.sort_values(["hour_start", "camera"], ascending=[False, True])
    return pd.DataFrame(
        {
            "camera": shown["camera"].array,
            "hour (UTC)": [f"{hour:%Y-%m-%d %H:%M}" for hour in shown["hour_start"]],
            **{
                name: ["" if pd.isna(value) else f"{float(value):.1f}" for value in shown[name]]
                for name in ("entries", "exits")
            },
            "method": shown["method"].array,
            "quality": shown["quality"].array,
        }
    )


@dg.asset(
    description=f"{IMPUTED_HOURS.row} Asking the camera again comes first: an estimate disappears when the hour comes in.",
    partitions_def=HOURLY,
    backfill_policy=HOURS_POLICY,
    deps=["holidays"],
    metadata=table_metadata(IMPUTED_HOURS, "replace"),
    group_name="hourly_figures",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "figures"},
)
def imputed_hours(
    context: dg.AssetExecutionContext,
    people_counting_raw: pd.DataFrame,
    database: DatabaseResource,
    clock: ClockResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    window, roster, now = run_window(context), database.roster(), clock.now()
    require_raw_rows(database.database, window.start, window.end)
    rows = empty_frame(IMPUTED_HOURS)
    gaps = _gaps(people_counting_raw, window, roster, now, database)
    if len(gaps):
        found = _estimates(gaps, window, roster, now, database)
        _write_around(found, gaps, window, database)
        rows = found[(found["hour_start"] >= window.start) & (found["hour_start"] < window.end)]
    return dg.MaterializeResult(value=rows, metadata=imputed_summary(context, rows, roster))


MISSING_ASSETS: tuple[dg.AssetsDefinition, ...] = (imputed_hours,)
