"""The sensor that asks the whole fleet for its alarm status each minute, and computes and stores minute rows in the tick itself.

A tick costs no process; a run costs seconds, so one of the running hour is asked for only when alarm flags have changed, and for
their cameras only. What a minute row says is decided in `analytics.realtime`.

A camera that has a row in the running minute is not asked again, so a tick that is evaluated twice writes nothing twice. The cursor is
the instant of the newest stored reading whose flags were looked at: which have changed is read from what is stored, so that a tick
which dies after storing leaves the change to the next one, with the same run key.

A camera without the alarm status is looked at every LOOK_EVERY, and each minute while it does not answer, by the history of its
running hour: outside of opening hours runs ask it every half hour only, and that it is dead would be known late.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import dagster as dg
import pandas as pd

from retail_sensors.analytics.realtime import changed_flags, minute_rows
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.raw import HISTORY_TABLES, every_camera_failed
from retail_sensors.connectors.base import (
    Camera,
    CameraLease,
    Collection,
    Endpoint,
    LeaseTimeoutError,
    Outcome,
    TimeWindow,
)
from retail_sensors.connectors.breaker import DEAD
from retail_sensors.connectors.collector import Collector
from retail_sensors.jobs import HOURLY_FIGURES, collect_hours
from retail_sensors.partitions import last_hours, range_tags
from retail_sensors.resources.cameras import collector_settings
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.schedules import RUNNING_HOURS
from retail_sensors.settings import load_settings
from retail_sensors.storage.breakers import cameras_left_alone
from retail_sensors.storage.collections import CollectedWindow, record
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.leases import PostgresLeases
from retail_sensors.storage.realtime import (
    changes_since,
    counted_hours,
    last_asked,
    polled,
    rows_before,
    store_minutes,
)
from retail_sensors.tables.realtime import REALTIME_ANALYTICS

EVERY_SECONDS = 60
SWEEP_SECONDS = 45.0
"""Dagster's own limit of 60 s for a tick stops only the side that waits for it."""
ANSWER_SECONDS = 20.0
"""For one camera to be free of other runs, and again to answer: as long as it hangs, the others' rows wait to be stored."""

LOOK_EVERY = timedelta(minutes=5)
"""As often as the running hour is asked for in opening hours, so that then no look is due."""
REMEMBERED = timedelta(hours=1)
"""A change of flags that is older is in the runs of the schedules by now."""

_HOUR, _SECOND = timedelta(hours=1), timedelta(seconds=1)
_NAMED = 5
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
        active = registry.cameras()
        fleet = [camera for camera in active if Endpoint.ALARM_STATUS in camera.endpoints]
        done = polled(self.database, [str(camera.sensor_id) for camera in fleet], minute)
        cameras = [camera for camera in fleet if str(camera.sensor_id) not in done]
        looks = self._looks_due(active, minute)
        told, events = self._nothing(fleet), []
        if cameras or looks:
            collection, *looked = asyncio.run(self._sweep(cameras, looks, now))
            told = self._looked(looked, looks)
            if cameras:
                observed = self._stored(collection, cameras, registry, now)
                told = " ".join(filter(None, (_told(cameras, collection), told)))
                observed |= {"seconds": round(time.monotonic() - began, 2), "told": told}
                events.append(dg.AssetObservation(REALTIME_ANALYTICS.name, metadata=observed))
                if not done and every_camera_failed(collection):
                    raise dg.Failure(
                        description=f"{told} `retail-sensors cameras probe` tries each camera.", allow_retries=False
                    )
            self.context.log.info(told)
        since = datetime.fromisoformat(self.context.cursor) if self.context.cursor else None
        if since is None or since > now:
            # There is none yet, or it is of a clock that was set back.
            since = minute - _SECOND
        everybody = [str(camera.sensor_id) for camera in fleet]
        changes = changes_since(self.database, everybody, max(since, now - REMEMBERED), self.clock.now())
        names = {str(camera.sensor_id): camera.name for camera in fleet}
        cursor = max(since, changes.until).isoformat()
        if not changes.by_minute:
            return dg.SensorResult(skip_reason=f"{told} No alarm flag changed.", asset_events=events, cursor=cursor)
        requests = [
            _run([names[sensor] for sensor, _ in changed], changed, at) for at, changed in changes.by_minute.items()
        ]
        return dg.SensorResult(run_requests=requests, asset_events=events, cursor=cursor)

    def _nothing(self, fleet: Sequence[Camera]) -> str:
        """Why nobody is asked."""
        if not fleet:
            return "No active camera is asked for its alarm status."
        return f"All {len(fleet)} cameras have been asked in this minute already."

    def _stored(
        self, collection: Collection, cameras: Sequence[Camera], registry: FleetRegistry, now: datetime
    ) -> dict[str, Any]:
        """Makes the minute rows of the readings and stores both; what the UI shows of it."""
        roster = registry.roster()
        everyone = [str(sensor) for sensor in roster.sensors["id"]]
        before = rows_before(self.database, everyone, now.replace(second=0, microsecond=0))
        latencies = collection.log[["sensor_id", "latency_ms"]]
        rows = minute_rows(collection.rows, latencies, before, counted_hours(self.database, everyone, now), roster, now)
        stored = store_minutes(self.database, CollectedWindow(collection), rows)
        return {
            "cameras asked": len(cameras),
            "cameras answered": len(rows),
            "rows written": stored.inserted + stored.changed,
            "cameras whose flags changed": len(changed_flags(collection.rows, before)),
            "people counted in": int(rows["entries"].sum()),
            "cameras without a count": int(rows["entries"].isna().sum()),
        }

    def _looks_due(self, active: Sequence[Camera], minute: datetime) -> dict[Endpoint, list[Camera]]:
        """Cameras without the alarm status that are to be looked at now, by the endpoint that they are asked for."""
        without = [camera for camera in active if Endpoint.ALARM_STATUS not in camera.endpoints]
        if not without:
            return {}
        asked = last_asked(self.database, [str(camera.sensor_id) for camera in without], minute)
        due: dict[Endpoint, list[Camera]] = {}
        for camera in without:
            at, outcome = asked.get(str(camera.sensor_id), (None, None))
            if at is not None and at > minute - (timedelta() if outcome in DEAD else LOOK_EVERY):
                continue
            endpoint = next((one for one in HISTORY_TABLES if one in camera.endpoints), None)
            if endpoint is not None:
                due.setdefault(endpoint, []).append(camera)
        return due

    def _looked(self, looked: Sequence[Collection], looks: Mapping[Endpoint, Sequence[Camera]]) -> str:
        """Stores what the looks brought; how many cameras answered them, in one line, empty: there was none."""
        for collection in looked:
            record(self.database, HISTORY_TABLES[collection.endpoint], CollectedWindow(collection), run_id=None)
        told = [_told(looks[collection.endpoint], collection) for collection in looked]
        return f"Looked at, without the alarm status: {' '.join(told)}" if told else ""

    async def _sweep(
        self, cameras: Sequence[Camera], looks: Mapping[Endpoint, Sequence[Camera]], now: datetime
    ) -> list[Collection]:
        """The readings of the cameras, then what the looks brought; what is not answered in time is in the log as such."""
        settings = load_settings()
        bounds = collector_settings(settings)
        limits = replace(bounds.http, total_seconds=min(bounds.http.total_seconds, ANSWER_SECONDS), tries=1)
        collector = Collector(replace(bounds, http=limits), clock=self.clock.now)
        asked: dict[Endpoint, Sequence[Camera]] = {Endpoint.ALARM_STATUS: cameras, **looks}
        everybody = [camera.sensor_id for some in asked.values() for camera in some]
        alone = cameras_left_alone(self.database, everybody, now, None)
        with PostgresLeases(self.database, timeout_seconds=ANSWER_SECONDS) as leases:
            until = _UntilDeadline(leases, asyncio.get_running_loop().time() + self.seconds)
            collections = await asyncio.gather(
                *(
                    collector.collect(
                        some, endpoint, TimeWindow(now - _HOUR, now + _HOUR), lease=until, run_id=None, left_alone=alone
                    )
                    for endpoint, some in asked.items()
                )
            )
        return [
            _with_cut(collection, asked[collection.endpoint], until.cut, now, self.seconds)
            for collection in collections
        ]


def _with_cut(
    collection: Collection, cameras: Sequence[Camera], cut: set[UUID], now: datetime, seconds: float
) -> Collection:
    """The collection with a line of its log for each camera that was broken off: `timeout`.

    A camera that was being asked when time was up has none yet, one that still waited has one that calls it busy.
    """
    broken_off = [camera for camera in cameras if camera.sensor_id in cut]
    if not broken_off:
        return collection
    log = collection.log[~collection.log["sensor_id"].isin([str(camera.sensor_id) for camera in broken_off])]
    endpoint = collection.endpoint.value
    lines = pd.DataFrame(
        [
            {
                "sensor_id": str(camera.sensor_id),
                "endpoint": endpoint,
                "hour_start": _running_hour(camera, collection.endpoint, now),
                "outcome": Outcome.TIMEOUT.value,
                "row_count": 0,
                "rejected_count": 0,
                "attempts": 0,
                "error": f"camera {camera.name} ({camera.host}:{camera.port}), {endpoint}: not answered within the {seconds:g} s of "
                "the sweep",
                "asked_at": now,
            }
            for camera in broken_off
        ],
        columns=log.columns,
    ).astype(log.dtypes.to_dict())
    return replace(collection, log=lines if log.empty else pd.concat([log, lines], ignore_index=True))


def _running_hour(camera: Camera, endpoint: Endpoint, now: datetime) -> datetime:
    """The hour that the log names: of a reading of now the UTC hour, else the camera's own, half past in some zones."""
    zone = UTC if endpoint is Endpoint.ALARM_STATUS else camera.zone
    return now.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def _told(cameras: Sequence[Camera], collection: Collection) -> str:
    """How many cameras answered, and why the first of the others did not, in one line."""
    log = collection.log
    answered = log.loc[log["row_count"] > 0, "sensor_id"]
    # A look on the hour has a line for the hour before, too.
    failed = log[~log["sensor_id"].isin(answered)].drop_duplicates("sensor_id").sort_values("error")
    told = f"{len(cameras) - len(failed)} of {len(cameras)} cameras answered."
    if len(failed):
        reasons = failed["error"].fillna(failed["outcome"]).head(_NAMED)
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        told += f" Not: {'; '.join(reason.rstrip('.') for reason in reasons)}{more}."
    return told


def _run(
    names: Sequence[str], changed: Sequence[tuple[str, tuple[int | None, ...]]], minute: datetime
) -> dg.RunRequest:
    """The run of the running hour of the cameras whose flags changed."""
    digest = hashlib.sha256(json.dumps(changed).encode()).hexdigest()[:16]
    config: dict[str, Any] = {table.name: {"config": {"cameras": sorted(names)}} for table in HISTORY_TABLES.values()}
    return dg.RunRequest(
        run_key=f"alarm {minute:%Y-%m-%dT%H:%MZ} {digest}",
        run_config={"ops": config},
        tags={**range_tags(*last_hours(minute, RUNNING_HOURS, with_running=True)), "dagster/priority": "10"},
        # The alarm status has just been asked for.
        asset_selection=[*(dg.AssetKey(name) for name in config), *_FIGURES],
    )


@dg.sensor(
    job=collect_hours,
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Each minute asks all cameras for their alarm status, stores what they counted since the minute before, and has the "
    "running hour of those collected whose alarm flags have changed. Cameras without it are looked at every 5 minutes.",
)
def alarm_polling(
    context: dg.SensorEvaluationContext, database: DatabaseResource, clock: ClockResource
) -> dg.SensorResult:
    """One run for each minute in which flags have changed, of their cameras: one at most, unless a tick before was lost."""
    return _Tick(context, database.database, clock, SWEEP_SECONDS).evaluate()
