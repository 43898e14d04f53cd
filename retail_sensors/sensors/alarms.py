"""The sensor that asks the whole fleet for its alarm status each minute, and computes and stores minute rows in the tick itself.

A tick costs no process; a run costs seconds, so one of the running hour is asked for only when alarm flags have changed, and for
their cameras only. What a minute row says is decided in `analytics.realtime`.

There is no cursor: a camera that has a row in the running minute is not asked again, so a tick that is evaluated twice writes
nothing twice.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import dagster as dg
import pandas as pd

from retail_sensors.analytics.realtime import changed_flags, minute_rows
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.raw import every_camera_failed
from retail_sensors.connectors.base import (
    Camera,
    CameraLease,
    Collection,
    Endpoint,
    LeaseTimeoutError,
    Outcome,
    TimeWindow,
)
from retail_sensors.connectors.collector import Collector
from retail_sensors.jobs import HOURLY_FIGURES, collect_hours
from retail_sensors.partitions import last_hours, range_tags
from retail_sensors.resources.cameras import collector_settings
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.schedules import RUNNING_HOURS
from retail_sensors.settings import load_settings
from retail_sensors.storage.breakers import cameras_left_alone
from retail_sensors.storage.collections import CollectedWindow
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.leases import PostgresLeases
from retail_sensors.storage.realtime import counted_hours, polled, rows_before, store_minutes
from retail_sensors.tables import HEATMAP_TEMPORAL_RAW, PEOPLE_COUNTING_RAW, REGIONAL_COUNTING_RAW
from retail_sensors.tables.realtime import REALTIME_ANALYTICS

EVERY_SECONDS = 60
SWEEP_SECONDS = 45.0
"""Dagster's own limit of 60 s for a tick stops only the side that waits for it."""
ANSWER_SECONDS = 20.0
"""For one camera to be free of other runs, and again to answer: as long as it hangs, the others' rows wait to be stored."""

_HOUR = timedelta(hours=1)
_NAMED = 5
_RAW = (PEOPLE_COUNTING_RAW.name, REGIONAL_COUNTING_RAW.name, HEATMAP_TEMPORAL_RAW.name)
_FIGURES = [asset.key for asset in HOURLY_FIGURES]

realtime_analytics = dg.AssetSpec(
    REALTIME_ANALYTICS.name,
    description=f"{REALTIME_ANALYTICS.row} Written each minute by the sensor `alarm_polling`.",
    deps=[
        dg.AssetDep(name, partition_mapping=dg.LastPartitionMapping())
        for name in ("vca_alarm_status", "hourly_analytics")
    ],
    metadata=table_metadata(REALTIME_ANALYTICS, "merge"),
    group_name="live",
    owners=OWNERS,
    kinds={"http", "postgres"},
    tags={"domain": "collection"},
)

REALTIME_ASSETS = (realtime_analytics,)


@dataclass(slots=True)
class _UntilDeadline:
    """Leases that end together: what a camera has not answered by then is broken off, and the camera is remembered."""

    lease: CameraLease
    ends_at: float
    """On the clock of the running event loop."""
    cut: set[UUID] = field(default_factory=set)

    def hold(self, camera: Camera) -> AbstractAsyncContextManager[None]:
        """Holds the camera; raises LeaseTimeoutError where another process keeps it, or when time is up."""
        return self._hold(camera)

    @asynccontextmanager
    async def _hold(self, camera: Camera) -> AsyncIterator[None]:
        is_held = False
        try:
            async with asyncio.timeout_at(self.ends_at) as limit, self.lease.hold(camera):
                is_held = True
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            if is_held:
                self.cut.add(camera.sensor_id)
            raise LeaseTimeoutError(f"{camera.host}:{camera.port} was not free in time") from None


@dataclass(frozen=True, slots=True)
class _Tick:
    """One evaluation of the sensor."""

    context: dg.SensorEvaluationContext
    database: Database
    clock: ClockResource
    seconds: float

    def evaluate(self) -> dg.SensorResult:
        """Asks, computes, stores; and asks for a run where flags have changed."""
        began, now = time.monotonic(), self.clock.now()
        minute = now.replace(second=0, microsecond=0)
        registry = FleetRegistry(self.database)
        fleet = [camera for camera in registry.cameras() if Endpoint.ALARM_STATUS in camera.endpoints]
        if not fleet:
            return _skip("No active camera is asked for its alarm status.")
        done = polled(self.database, [str(camera.sensor_id) for camera in fleet], minute)
        cameras = [camera for camera in fleet if str(camera.sensor_id) not in done]
        if not cameras:
            return _skip(f"All {len(fleet)} cameras have been asked in this minute already.")
        collection = asyncio.run(self._sweep(cameras, now))
        roster = registry.roster()
        everyone = [str(sensor) for sensor in roster.sensors["id"]]
        before = rows_before(self.database, everyone, minute)
        latencies = collection.log[["sensor_id", "latency_ms"]]
        hours = counted_hours(self.database, everyone, now)
        rows = minute_rows(collection.rows, latencies, before, hours, roster, now)
        stored = store_minutes(self.database, CollectedWindow(collection), rows)
        told = _told(cameras, collection)
        if not done and every_camera_failed(collection):
            raise dg.Failure(
                description=f"{told} `retail-sensors cameras probe` tries each camera.", allow_retries=False
            )
        self.context.log.info(told)
        changed = changed_flags(collection.rows, before)
        names = {str(camera.sensor_id): camera.name for camera in cameras}
        event = dg.AssetObservation(
            REALTIME_ANALYTICS.name,
            metadata={
                "cameras asked": len(cameras),
                "cameras answered": len(rows),
                "rows written": stored.inserted + stored.changed,
                "cameras whose flags changed": len(changed),
                "people counted in": int(rows["entries"].sum()),
                "cameras without a count": int(rows["entries"].isna().sum()),
                "seconds": round(time.monotonic() - began, 2),
                "told": told,
            },
        )
        if not changed:
            return dg.SensorResult(skip_reason=f"{told} No alarm flag changed.", asset_events=[event])
        return dg.SensorResult(
            run_requests=[_run([names[sensor] for sensor, _ in changed], changed, minute)], asset_events=[event]
        )

    async def _sweep(self, cameras: Sequence[Camera], now: datetime) -> Collection:
        """The readings of the cameras; what is not answered in time is in the log as such."""
        settings = load_settings()
        bounds = collector_settings(settings)
        limits = replace(bounds.http, total_seconds=min(bounds.http.total_seconds, ANSWER_SECONDS), tries=1)
        collector = Collector(replace(bounds, http=limits), clock=self.clock.now)
        alone = cameras_left_alone(self.database, [camera.sensor_id for camera in cameras], now, None)
        with PostgresLeases(self.database, timeout_seconds=ANSWER_SECONDS) as leases:
            until = _UntilDeadline(leases, asyncio.get_running_loop().time() + self.seconds)
            collection = await collector.collect(
                cameras,
                Endpoint.ALARM_STATUS,
                TimeWindow(now - _HOUR, now + _HOUR),
                lease=until,
                run_id=None,
                left_alone=alone,
            )
        return _with_cut(collection, cameras, until.cut, now, self.seconds)


def _with_cut(
    collection: Collection, cameras: Sequence[Camera], cut: set[UUID], now: datetime, seconds: float
) -> Collection:
    """The collection with a line of its log for each camera that was broken off: `timeout`.

    A camera that was being asked when time was up has none yet, one that still waited has one that calls it busy.
    """
    if not cut:
        return collection
    log = collection.log[~collection.log["sensor_id"].isin([str(sensor) for sensor in cut])]
    lines = pd.DataFrame(
        [
            {
                "sensor_id": str(camera.sensor_id),
                "endpoint": Endpoint.ALARM_STATUS.value,
                "hour_start": now.replace(minute=0, second=0, microsecond=0),
                "outcome": Outcome.TIMEOUT.value,
                "row_count": 0,
                "rejected_count": 0,
                "attempts": 0,
                "error": f"camera {camera.name} ({camera.host}:{camera.port}), {Endpoint.ALARM_STATUS.value}: not answered within "
                f"the {seconds:g} s of the sweep",
                "asked_at": now,
            }
            for camera in cameras
            if camera.sensor_id in cut
        ],
        columns=log.columns,
    ).astype(log.dtypes.to_dict())
    return replace(collection, log=lines if log.empty else pd.concat([log, lines], ignore_index=True))


def _told(cameras: Sequence[Camera], collection: Collection) -> str:
    """How many cameras answered, and why the first of the others did not, in one line."""
    failed = collection.log[collection.log["row_count"] == 0].sort_values("error")
    told = f"{len(cameras) - len(failed)} of {len(cameras)} cameras answered."
    if len(failed):
        reasons = failed["error"].fillna(failed["outcome"]).head(_NAMED)
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        told += f" Not: {'; '.join(reasons)}{more}."
    return told


def _run(
    names: Sequence[str], changed: Sequence[tuple[str, tuple[int | None, ...]]], minute: datetime
) -> dg.RunRequest:
    """The run of the running hour of the cameras whose flags changed."""
    digest = hashlib.sha256(json.dumps(changed).encode()).hexdigest()[:16]
    config: dict[str, Any] = {name: {"config": {"cameras": sorted(names)}} for name in _RAW}
    return dg.RunRequest(
        run_key=f"alarm {minute:%Y-%m-%dT%H:%MZ} {digest}",
        run_config={"ops": config},
        tags={**range_tags(*last_hours(minute, RUNNING_HOURS, with_running=True)), "dagster/priority": "10"},
        # The alarm status has just been asked for.
        asset_selection=[*(dg.AssetKey(name) for name in _RAW), *_FIGURES],
    )


def _skip(reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason)


@dg.sensor(
    job=collect_hours,
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Each minute asks all cameras for their alarm status, stores what they counted since the minute before, and has the "
    "running hour of those collected whose alarm flags have changed.",
)
def alarm_polling(
    context: dg.SensorEvaluationContext, database: DatabaseResource, clock: ClockResource
) -> dg.SensorResult:
    """One run at most, of the cameras whose flags have changed."""
    return _Tick(context, database.database, clock, SWEEP_SECONDS).evaluate()
