"""The contract of every table: columns, types, units, keys, and what NULL means.

The IO manager refuses a frame that breaks it, Dagster's column schemas and `docs/tables.md` are made from it, and a
test compares it with the migrated database column by column. DDL belongs in `sql/`, formulas in `analytics`.
"""

from __future__ import annotations

from retail_sensors.tables.access import ACCESS_TABLES
from retail_sensors.tables.alerts import ALERT_TABLES
from retail_sensors.tables.anomalies import ANOMALY_TABLES
from retail_sensors.tables.breakers import BREAKER_TABLES
from retail_sensors.tables.contract import Column, Kind, Table
from retail_sensors.tables.figures import DAILY_ANALYTICS, HOURLY_ANALYTICS, KPI_METRICS, STORE_DAILY, STORE_HOURLY
from retail_sensors.tables.health import HEALTH_TABLES
from retail_sensors.tables.inputs import INPUT_TABLES
from retail_sensors.tables.missing import MISSING_TABLES
from retail_sensors.tables.notifications import NOTIFICATION_TABLES
from retail_sensors.tables.places import PLACE_TABLES
from retail_sensors.tables.predictions import PREDICTION_TABLES
from retail_sensors.tables.queues import QUEUE_TABLES
from retail_sensors.tables.raw import (
    COLLECTION_LOG,
    HEATMAP_TEMPORAL_RAW,
    PEOPLE_COUNTING_RAW,
    RAW_REVISIONS,
    REGIONAL_COUNTING_RAW,
    REJECTED_PAYLOADS,
    VCA_ALARM_STATUS,
)
from retail_sensors.tables.realtime import REALTIME_TABLES
from retail_sensors.tables.regions import REGION_TABLES
from retail_sensors.tables.registry import (
    COUNTING_LINES,
    ORGANIZATIONS,
    REGION_CONFIGURATIONS,
    SENSOR_METADATA,
    STORES,
)
from retail_sensors.tables.retention import RETENTION_TABLES

__all__ = [
    "COLLECTION_LOG",
    "COUNTING_LINES",
    "DAILY_ANALYTICS",
    "HEATMAP_TEMPORAL_RAW",
    "HOURLY_ANALYTICS",
    "KPI_METRICS",
    "ORGANIZATIONS",
    "PEOPLE_COUNTING_RAW",
    "RAW_REVISIONS",
    "REGIONAL_COUNTING_RAW",
    "REGION_CONFIGURATIONS",
    "REJECTED_PAYLOADS",
    "SENSOR_METADATA",
    "STORES",
    "STORE_DAILY",
    "STORE_HOURLY",
    "TABLES",
    "VCA_ALARM_STATUS",
    "Column",
    "Kind",
    "Table",
]

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        ORGANIZATIONS,
        STORES,
        SENSOR_METADATA,
        COUNTING_LINES,
        REGION_CONFIGURATIONS,
        PEOPLE_COUNTING_RAW,
        REGIONAL_COUNTING_RAW,
        HEATMAP_TEMPORAL_RAW,
        VCA_ALARM_STATUS,
        COLLECTION_LOG,
        REJECTED_PAYLOADS,
        RAW_REVISIONS,
        HOURLY_ANALYTICS,
        STORE_HOURLY,
        DAILY_ANALYTICS,
        STORE_DAILY,
        KPI_METRICS,
        *INPUT_TABLES,
        *MISSING_TABLES,
        *REGION_TABLES,
        *QUEUE_TABLES,
        *ANOMALY_TABLES,
        *ALERT_TABLES,
        *PREDICTION_TABLES,
        *HEALTH_TABLES,
        *PLACE_TABLES,
        *NOTIFICATION_TABLES,
        *REALTIME_TABLES,
        *BREAKER_TABLES,
        *RETENTION_TABLES,
        *ACCESS_TABLES,
    )
}
"""Every table of schema `retail`, by name, parents before children."""
