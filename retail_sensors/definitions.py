"""The code location: assets, jobs, schedules and resources, and nothing else."""

from __future__ import annotations

from typing import Any

import dagster as dg

from retail_sensors.assets.alerts import ALERT_ASSETS
from retail_sensors.assets.anomalies import ANOMALY_ASSETS
from retail_sensors.assets.daily import DAILY_ASSETS
from retail_sensors.assets.flows import FLOW_ASSETS
from retail_sensors.assets.health import HEALTH_ASSETS
from retail_sensors.assets.hourly import HOURLY_ASSETS
from retail_sensors.assets.inputs import INPUT_ASSETS
from retail_sensors.assets.kpi import KPI_ASSETS
from retail_sensors.assets.missing import MISSING_ASSETS
from retail_sensors.assets.notifications import NOTIFICATION_ASSETS
from retail_sensors.assets.predictions import ACCURACY_ASSETS, MODEL_ASSETS, PREDICTION_ASSETS
from retail_sensors.assets.queues import QUEUE_DAILY_ASSETS, QUEUE_HOURLY_ASSETS
from retail_sensors.assets.raw import RAW_ASSETS
from retail_sensors.assets.regions import STAY_ASSETS
from retail_sensors.checks import ASSET_CHECKS
from retail_sensors.io_managers.postgres import PostgresIOManager
from retail_sensors.jobs import JOBS
from retail_sensors.resources.cameras import CamerasResource
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.resources.notifier import NotifierResource
from retail_sensors.schedules import SCHEDULES
from retail_sensors.sensors import SENSORS
from retail_sensors.sensors.alarms import REALTIME_ASSETS


def build_defs(**overrides: Any) -> dg.Definitions:
    """Fresh definitions; `overrides` replace resources by their key (`clock`, `database`, `cameras`, `io_manager`, `notifier`).

    Cameras, IO manager and notifier use the clock and the database that are given.
    """
    clock = overrides.get("clock") or ClockResource()
    database = overrides.get("database") or DatabaseResource()
    resources: dict[str, Any] = {
        "clock": clock,
        "database": database,
        "cameras": CamerasResource(database=database, clock=clock),
        "io_manager": PostgresIOManager(database=database),
        "notifier": NotifierResource(database=database, clock=clock),
    }
    if unknown := overrides.keys() - resources.keys():
        raise TypeError(f"build_defs has no resource {', '.join(sorted(unknown))}; it has {', '.join(resources)}.")
    return dg.Definitions(
        # With a reference to each asset's own lines of code.
        assets=dg.with_source_code_references(
            [
                *RAW_ASSETS,
                *REALTIME_ASSETS,
                *MISSING_ASSETS,
                *HOURLY_ASSETS,
                *QUEUE_HOURLY_ASSETS,
                *INPUT_ASSETS,
                *STAY_ASSETS,
                *DAILY_ASSETS,
                *FLOW_ASSETS,
                *QUEUE_DAILY_ASSETS,
                *KPI_ASSETS,
                *ANOMALY_ASSETS,
                *ALERT_ASSETS,
                *NOTIFICATION_ASSETS,
                *HEALTH_ASSETS,
                *MODEL_ASSETS,
                *PREDICTION_ASSETS,
                *ACCURACY_ASSETS,
            ]
        ),
        asset_checks=list(ASSET_CHECKS),
        jobs=list(JOBS),
        schedules=list(SCHEDULES),
        sensors=list(SENSORS),
        resources={**resources, **overrides},
        # Also for launches from the UI: four small assets cost 3.5 CPU seconds in one process, 20 with one for each.
        executor=dg.in_process_executor,
    )


defs = build_defs()
