"""How the cameras answer: a short body around `retail_sensors.analytics.health`."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.analytics.health import MEMORY
from retail_sensors.analytics.health import camera_health as health_of_cameras
from retail_sensors.assets.metadata import OWNERS, markdown_table, table_metadata
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.tables import COLLECTION_LOG
from retail_sensors.tables.breakers import CAMERA_BREAKERS
from retail_sensors.tables.health import CAMERA_HEALTH

_SPAN = MEMORY + timedelta(days=1)
"""An hour of the log is asked until eight hours after it: what was asked in a week is about a little more."""
_AHEAD = timedelta(hours=2)
"""The running hour, also of a camera whose clock is ahead."""
_LOG = ["sensor_id", "endpoint", "outcome", "error", "latency_ms", "asked_at", "last_success_at"]


@dg.asset(
    description=f"{CAMERA_HEALTH.row} From `collection_log` of the last 7 days: state, latency, errors, uptime and clock.",
    # Mapped to the newest partition: without it Dagster lists every hour since 2023 for each of them, 0.8 s of CPU a run.
    deps=[
        dg.AssetDep(name, partition_mapping=dg.LastPartitionMapping())
        for name in ("people_counting_raw", "regional_counting_raw", "heatmap_temporal_raw", "vca_alarm_status")
    ],
    metadata=table_metadata(CAMERA_HEALTH, "merge"),
    group_name="cameras",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "collection"},
)
def camera_health(
    context: dg.AssetExecutionContext, database: DatabaseResource, clock: ClockResource
) -> dg.MaterializeResult[pd.DataFrame]:
    now = clock.now()
    sensors = database.roster().sensors
    breakers = database.read_all(CAMERA_BREAKERS, ["sensor_id", "state", "opened_at"])
    health = health_of_cameras(database.read(COLLECTION_LOG, now - _SPAN, now + _AHEAD, _LOG), sensors, now, breakers)
    names = health["sensor_id"].map(sensors.set_index("id")["sensor_name"])
    for name, row in zip(names, health.itertuples(), strict=True):
        if row.state == "offline":
            context.log.warning(
                f"{name} is offline: last seen {row.last_seen_at}, {row.last_error_class}: {row.last_error}"
            )
    return dg.MaterializeResult(value=health, metadata=_summary(health.assign(camera=names)))


def _summary(health: pd.DataFrame) -> dict[str, Any]:
    """How many cameras are in which state, and a table of those that are not healthy."""
    states = health["state"].value_counts()
    ill = health[health["state"] != "healthy"].sort_values(["state", "camera"])
    shown = ill[
        [
            "camera",
            "state",
            "last_seen_at",
            "last_error_class",
            "left_alone_since",
            "error_rate",
            "uptime_share",
            "quality",
        ]
    ]
    return {
        **{state: int(states.get(state, 0)) for state in ("healthy", "degraded", "offline", "unknown")},
        "not healthy": markdown_table(shown),
    }


HEALTH_ASSETS: tuple[dg.AssetsDefinition, ...] = (camera_health,)
