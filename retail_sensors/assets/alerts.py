"""Alerts: rules over the newest figures. What is an alert belongs in `retail_sensors.analytics.alerts`.

The rows are written here and not by the IO manager: between its reading and its writing a person's acknowledgement could be lost.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.analytics.alert_observations import Sources, observations
from retail_sensors.analytics.alert_texts import local_time, value_text
from retail_sensors.analytics.alerts import evaluate
from retail_sensors.assets.metadata import OWNERS, markdown_table, table_metadata
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.alerts import AlertStore
from retail_sensors.storage.realtime import minutes_of_stores
from retail_sensors.tables import COLLECTION_LOG, KPI_METRICS, RAW_REVISIONS, STORE_HOURLY
from retail_sensors.tables.alerts import ALERTS_GENERATED
from retail_sensors.tables.anomalies import ANOMALIES_DETECTED
from retail_sensors.tables.queues import QUEUE_ANALYTICS

_AHEAD = timedelta(days=1)
"""The running hour starts before now; a store's running day may be tomorrow's date in UTC."""
_HOURS = timedelta(hours=48)
"""How far back the newest count of a store is looked for."""
_QUEUE = timedelta(hours=6)
_MINUTES = timedelta(hours=1)
"""How long a store is looked at by the minute: what lasts for longer is told by the hours before."""
_ASKED = timedelta(hours=4)
_LOWERED = timedelta(days=1)
_DAYS = timedelta(days=4)
"""A day's key figures come when it has ended in the last zone, and are news for two days."""
_ANOMALIES = timedelta(days=8)
"""How long an anomaly that goes on keeps its alert open."""


@dg.asset(
    description=f"{ALERTS_GENERATED.row} Raised by the rules in `alert_rules` from figures of now, never from back-filled history; "
    "acknowledged by people; resolved by itself when the condition ends.",
    # Mapped to the newest partition: without it Dagster lists every hour since 2023 for each of them, 0.8 s of CPU a run.
    deps=[
        "realtime_analytics",
        *(
            dg.AssetDep(name, partition_mapping=dg.LastPartitionMapping())
            for name in ("store_hourly", "queue_analytics", "kpi_metrics", "anomalies_detected")
        ),
    ],
    metadata=table_metadata(ALERTS_GENERATED, "merge"),
    group_name="alerts",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "alerts"},
)
def alerts_generated(
    context: dg.AssetExecutionContext, database: DatabaseResource, clock: ClockResource
) -> dg.MaterializeResult:
    now = clock.now()
    seen = observations(_sources(database, now), database.roster(), now)
    store = AlertStore(database.database)
    update = store.update(lambda rules, alerts: evaluate(rules, seen, alerts, now), now)
    for alert in update.changed[update.changed["timestamp"] == now].itertuples():
        context.log.warning(f"{alert.severity}: {alert.title}")
    open_now = store.listing()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": update.stored,
            "open alerts": len(open_now),
            "critical": sum(alert["severity"] == "critical" for alert in open_now),
            "raised": update.result.inserted,
            "changed": update.result.changed,
            "resolved": int(update.changed["resolved"].sum()),
            "now": markdown_table(_open_table(open_now, now)) if open_now else dg.MetadataValue.md("Nothing is open."),
        }
    )


def _sources(database: DatabaseResource, now: datetime) -> Sources:
    """The newest rows of every table that alerts look at."""
    end = now + _AHEAD
    return Sources(
        store_hours=database.read(
            STORE_HOURLY,
            now - _HOURS,
            end,
            ["store_id", "hour_start", "is_open", "avg_occupancy", "utilization", "quality", "updated_at"],
        ),
        queue_hours=database.read(
            QUEUE_ANALYTICS,
            now - _QUEUE,
            end,
            [
                "store_id",
                "hour_start",
                "estimated_wait_time_minutes",
                "predicted_queue_length",
                "abandonment_risk_score",
                "is_overloaded",
                "recommended_open_lanes",
            ],
        ),
        key_figures=database.read(
            KPI_METRICS,
            now - _DAYS,
            end,
            ["scope_id", "date", "metric_name", "metric_value", "benchmark_value"],
        ),
        anomalies=database.read(
            ANOMALIES_DETECTED,
            now - _ANOMALIES,
            end,
            [
                "sensor_id",
                "anomaly_type",
                "detected_at",
                "started_at",
                "ended_at",
                "severity",
                "expected_value",
                "actual_value",
                "potential_causes",
                "recommended_actions",
                "auto_resolved",
            ],
        ),
        revisions=database.read(
            RAW_REVISIONS, now - _LOWERED, end, ["table_name", "sensor_id", "timestamp", "action", "recorded_at"]
        ),
        log=database.read(COLLECTION_LOG, now - _ASKED, end, ["sensor_id", "outcome", "asked_at", "last_success_at"]),
        minutes=minutes_of_stores(database.database, now - _MINUTES, now),
    )


def _open_table(alerts: Sequence[Mapping[str, Any]], now: datetime) -> pd.DataFrame:
    """The open alerts as their reader wants them: where, what, since when, how far over which limit."""
    return pd.DataFrame(
        [
            {
                "severity": alert["severity"],
                "where": alert["sensor_name"] or alert["store_name"],
                "what": alert["title"],
                "since": local_time(alert["first_seen_at"], alert["timezone"], now),
                "value": value_text(alert["metric"], _number(alert["actual_value"])),
                "threshold": value_text(alert["metric"], alert["threshold_value"]),
                "state": alert["state"],
            }
            for alert in alerts
        ],
        columns=["severity", "where", "what", "since", "value", "threshold", "state"],
    )


def _number(value: float | None) -> float:
    """An alert's value; without a number it is beyond any."""
    return math.inf if value is None else value


ALERT_ASSETS: tuple[dg.AssetsDefinition, ...] = (alerts_generated,)
