"""Sensors at simulated instants on a real database: what each tick asks for, and what comes of running it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.connectors.base import Endpoint
from retail_sensors.definitions import build_defs
from retail_sensors.partitions import FIRST_DAY, day_key, hour_key, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.resources.notifier import NotifierResource
from retail_sensors.sensors import SENSORS, gap_repair, new_camera, run_failure
from retail_sensors.sensors.failure import why
from retail_sensors.simulator.camera import SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors.storage.database import Database
from retail_sensors.storage.repair import missing_spans
from retail_sensors.tables import COLLECTION_LOG, PEOPLE_COUNTING_RAW, VCA_ALARM_STATUS
from retail_sensors_tests.installations import Site, small_fleet
from retail_sensors_tests.integration.stored import reading, register, store, utc

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
PEOPLE = Endpoint.PEOPLE_COUNTING


class Frozen(ClockResource):
    """A clock that stands still."""

    instant: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.instant)


class Operator:
    """One installation at simulated instants: ticks of its sensors, and the runs that they ask for."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursors: dict[str, str | None] = {}
        self.repository = build_defs().get_repository_def()

    def tick(self, sensor: dg.SensorDefinition, now: datetime) -> list[dg.RunRequest]:
        """What the sensor asks for at the instant; the cursor goes from tick to tick."""
        with self.site.entered():
            database = DatabaseResource()
            context = dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursors.get(sensor.name),
                repository_def=self.repository,
                resources={"database": database, "clock": Frozen(instant=now.isoformat())},
            )
            with context:
                # As the daemon does: jobs and assets of the requests are checked against the definitions.
                result = sensor.evaluate_tick(context)
            database.database.dispose()
        self.cursors[sensor.name] = result.cursor
        requests = list(result.run_requests or ())
        assert bool(requests) != bool(result.skip_message)
        return requests

    def run(
        self,
        job: str,
        tags: dict[str, str],
        now: datetime,
        config: Any = None,
        assets: Sequence[dg.AssetKey] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """The real job in this process at the instant."""
        with self.site.entered():
            return (
                build_defs(clock=Frozen(instant=now.isoformat()))
                .resolve_job_def(job)
                .execute_in_process(
                    instance=self.instance,
                    tags=tags,
                    run_config={**QUIET, **(config or {})},
                    asset_selection=list(assets) if assets else None,
                    raise_on_error=False,
                )
            )

    def launch(self, request: dg.RunRequest, now: datetime) -> dg.ExecuteInProcessResult:
        """The run that a sensor asked for."""
        assert request.job_name is not None
        return self.run(request.job_name, dict(request.tags), now, request.run_config, request.asset_selection)

    def hours(self, first: datetime, end: datetime, now: datetime) -> None:
        """The hours of a half-open span, collected from all cameras as a schedule does."""
        assert self.run("collect_hours", range_tags(hour_key(first), hour_key(end - HOUR)), now).success

    def days(self, first: date, last: date, now: datetime) -> None:
        assert self.run("daily_figures", range_tags(day_key(first), day_key(last)), now).success


@contextmanager
def fleet_at(clock: list[datetime]) -> Iterator[SimulatedFleet]:
    """The small fleet on a clock that the test moves: `clock[0]` is now."""
    plan = small_fleet()
    cameras: list[SimulatedCamera] = list(plan.cameras.values())
    with running(SimulatedFleet(cameras, clock=lambda: clock[0], stores=plan.stores)) as fleet:
        yield fleet


# Hours of one stored camera ---------------------------------------------------------------------------------------------------

NOW = utc("2026-07-18T14:30")


def log(camera: str, at: datetime, outcome: str = "ok", *, after: timedelta = 3 * HOUR) -> dict[str, Any]:
    """A row of collection_log: asked so long after the hour's start."""
    rows = {"row_count": int(outcome == "ok"), "rejected_count": 0, "attempts": 1}
    asked = {"sensor_id": camera, "endpoint": PEOPLE.value, "hour_start": at, "outcome": outcome}
    return {**asked, **rows, "asked_at": at + after}


def change(database: Database, settings: str) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(f"UPDATE retail.sensor_metadata SET {settings}")


def owes(database: Database, now: datetime = NOW, *, is_history: bool = False) -> list[str]:
    """The hours that are owed, as MM-DDTHH."""
    return [
        f"{datetime.fromtimestamp(hour * 3600, UTC):%m-%dT%H}"
        for span in missing_spans(database, now, FIRST_DAY, is_history=is_history)
        for hour in range(span.first, span.last + 1)
    ]


def test_what_became_of_an_hour_decides_whether_it_is_asked_for_again(database: Database) -> None:
    (camera,) = register(database, "a")
    change(database, """created_at = '2026-07-01', retention_days = '{"people_counting": 1}'""")
    first = utc("2026-07-16T20:00")
    special = {
        "07-16T20": log(camera, first, "refused"),  # the camera holds yesterday only
        "07-17T02": log(camera, utc("2026-07-17T02:00"), "refused"),
        "07-17T03": log(camera, utc("2026-07-17T03:00"), "refused"),  # was given before
        "07-17T04": log(camera, utc("2026-07-17T04:00"), "ok", after=30 * MINUTE),  # while it ran
        "07-17T05": log(camera, utc("2026-07-17T05:00"), "beyond_retention"),
        "07-17T06": log(camera, utc("2026-07-17T06:00"), "no_rows"),
        "07-17T07": log(camera, utc("2026-07-17T07:00"), "no_rows", after=26 * HOUR),
        "07-17T09": log(camera, utc("2026-07-17T09:00"), "not_found"),
        "07-17T10": None,
        "07-17T11": log(camera, utc("2026-07-17T11:00"), "unauthorized"),
        "07-18T05": log(camera, utc("2026-07-18T05:00"), "no_rows"),
        "07-18T13": log(camera, utc("2026-07-18T13:00"), "ok", after=85 * MINUTE),
    }
    rows = []
    at = first
    while at < NOW:
        rows.append(special.get(f"{at:%m-%dT%H}", log(camera, at)))
        at += HOUR
    # The running hour was asked for five minutes ago.
    rows[-1] = log(camera, utc("2026-07-18T14:00"), after=25 * MINUTE)
    store(database, COLLECTION_LOG, *(row for row in rows if row))
    store(
        database,
        PEOPLE_COUNTING_RAW,
        reading(camera, "2026-07-17T03:00"),
        reading(camera, "2026-07-17T04:00", is_final=False),
        reading(camera, "2026-07-18T13:00"),
    )
    assert owes(database) == ["07-17T02", "07-17T04", "07-17T06", "07-17T09", "07-17T10", "07-17T11"]
    assert owes(database, is_history=True) == []
    # Half an hour without an answer: it is offline.
    assert owes(database, NOW + 26 * MINUTE) == []
    change(database, "created_at = '2026-07-17 12:00+00'")
    assert owes(database, is_history=True) == ["07-17T10"]
    assert "07-17T10" not in owes(database)
    assert len(owes(database)) == 5
    change(database, "installed_on = '2026-07-18'")
    assert owes(database) == []
    change(database, "installed_on = NULL, is_active = false")
    assert owes(database) == []


@pytest.mark.parametrize(
    ("newest", "read_at", "owed"),
    [
        ("refused", ["11:30", "14:29"], ["07-18T12", "07-18T13"]),
        ("timeout", ["14:29"], ["07-18T12", "07-18T13"]),
        ("refused", [], []),  # nobody is there
        ("refused", ["14:24"], []),  # nor is since it was asked
        ("timeout", ["14:24", "14:29"], []),  # the endpoint alone hangs
        ("unauthorized", ["14:29"], []),  # it was somebody's answer
    ],
)
def test_the_alarm_status_answers_for_what_was_last_asked_while_nobody_was_there(
    database: Database, newest: str, read_at: list[str], owed: list[str]
) -> None:
    (camera,) = register(database, "a")
    change(database, "created_at = '2026-07-01', installed_on = '2026-07-18'")
    hours = [utc("2026-07-18T00:00") + n * HOUR for n in range(12)]
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, at) for at in hours))
    dark = [(utc("2026-07-18T12:00") + n * HOUR) for n in range(3)]
    # The running hour was asked for five minutes ago.
    store(database, COLLECTION_LOG, *(log(camera, at, newest, after=utc("2026-07-18T14:25") - at) for at in dark))
    alarms = [{"sensor_id": camera, "timestamp": utc(f"2026-07-18T{at}"), "extra": "{}"} for at in read_at]
    store(database, VCA_ALARM_STATUS, *alarms)
    assert owes(database) == owed


def test_the_same_gap_is_not_asked_for_twice_in_its_cool_down(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    (camera,) = register(database, "a")
    change(database, "created_at = '2026-07-01', installed_on = '2026-07-18'")
    site = Operator(Site(database_url, tmp_path / "home"))
    store(database, COLLECTION_LOG, *(log(camera, utc(f"2026-07-18T{hour:02}:00")) for hour in (0, 1, 4, 5, 6)))
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, utc("2026-07-18T07:00") + n * HOUR) for n in range(12)))
    keys, ticks = [], []
    for minutes in range(0, 600, 10):
        now = utc("2026-07-18T08:05") + minutes * MINUTE
        # It goes on answering for the hours of now, and never gives the two that it owes.
        answers = [utc("2026-07-18T07:00") + n * HOUR for n in range((minutes + 5) // 60 + 2)]
        store(database, COLLECTION_LOG, *(log(camera, at, after=max(now - MINUTE - at, MINUTE)) for at in answers))
        for request in site.tick(gap_repair, now):
            assert request.run_config == {"ops": {"people_counting_raw": {"config": {"cameras": ["a"]}}}}
            assert (request.tags[FIRST], request.tags[LAST]) == ("2026-07-18-02:00", "2026-07-18-03:00")
            keys.append(request.run_key)
            ticks.append(minutes)
    assert ticks == [0, 10, 70, 430]
    assert len(set(keys)) == 4


def test_figures_and_days_follow_a_run_that_broke_off(database: Database, database_url: str, tmp_path: Path) -> None:
    (camera,) = register(database, "a")
    change(database, "created_at = '2026-07-01', installed_on = '2026-07-17'")
    site = Operator(Site(database_url, tmp_path / "home"))
    hours = [utc("2026-07-17T00:00") + n * HOUR for n in range(39)]
    store(database, COLLECTION_LOG, *(log(camera, at, after=NOW - MINUTE - at) for at in hours if at.hour != 2))
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, at) for at in hours if at.hour != 2))
    (request,) = site.tick(gap_repair, NOW)
    assert (request.tags[FIRST], request.tags[LAST]) == ("2026-07-17-02:00",) * 2

    # The worker is lost after the raw rows are in: here the run is broken off by a camera that nobody knows.
    config = {"ops": {name: {"config": {"cameras": ["nobody"]}} for name in request.run_config["ops"]}}
    assert not site.launch(request.with_replaced_attrs(run_config=config), NOW).success
    late = [at for at in hours if at.hour == 2]
    store(database, COLLECTION_LOG, *(log(camera, at, after=NOW - MINUTE - at) for at in late))
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, at) for at in late))
    (figures,) = site.tick(gap_repair, NOW + 10 * MINUTE)
    assert (figures.job_name, figures.tags[FIRST]) == ("hourly_figures", "2026-07-17-02:00")
    assert site.launch(figures, NOW + 10 * MINUTE).success
    (days,) = site.tick(gap_repair, NOW + 20 * MINUTE)
    # 02:00 comes before the reset at 04:00: the occupancy day of the 16th, too.
    assert (days.job_name, days.tags[FIRST], days.tags[LAST]) == ("daily_figures", "2026-07-16", "2026-07-17")
    assert site.tick(gap_repair, NOW + 25 * MINUTE) == []


def test_a_thousand_cameras_that_owe_all_they_hold_are_asked_in_one_run(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    cameras = register(database, *(f"store-{number:04}-main-entrance" for number in range(1000)))
    change(database, "created_at = '2026-01-01'")
    store(database, COLLECTION_LOG, *(log(camera, utc("2026-07-18T13:00"), after=85 * MINUTE) for camera in cameras))
    site = Operator(Site(database_url, tmp_path / "home"))
    sizes = []
    for tick in range(2):
        (request,) = site.tick(gap_repair, NOW + tick * MINUTE)
        assert len(request.run_config["ops"]["people_counting_raw"]["config"]["cameras"]) == 1000
        assert request.tags[FIRST] == hour_key(utc("2026-06-17T00:00") + tick * 72 * HOUR)
        sizes.append(len(site.cursors[gap_repair.name] or ""))
    assert max(sizes) < 64 * 1024
    assert max(sizes) - min(sizes) < 2048


# A new camera ---------------------------------------------------------------------------------------------------------------


def test_the_history_of_a_new_camera_comes_newest_first(database: Database, database_url: str, tmp_path: Path) -> None:
    (camera,) = register(database, "a")
    change(database, "created_at = '2026-07-18 14:10+00', installed_on = '2026-07-12'")
    scheduled = [utc("2026-07-18T06:00") + n * HOUR for n in range(9)]
    store(database, COLLECTION_LOG, *(log(camera, at, after=NOW - at) for at in scheduled))
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, at) for at in scheduled))
    site = Operator(Site(database_url, tmp_path / "home"))
    assert site.tick(gap_repair, NOW) == []
    ranges = []
    for tick in range(4):
        for request in site.tick(new_camera, NOW + tick * MINUTE):
            first, last = (
                datetime.strptime(request.tags[tag], "%Y-%m-%d-%H:%M").replace(tzinfo=UTC) for tag in (FIRST, LAST)
            )
            ranges.append((first, last))
            # What it did not give is the affair of the repair; it is history no longer.
            hours = [first + n * HOUR for n in range((last - first) // HOUR + 1)]
            store(database, COLLECTION_LOG, *(log(camera, at, "beyond_retention", after=NOW - at) for at in hours))
    assert ranges == [
        (utc("2026-07-15T06:00"), utc("2026-07-18T05:00")),
        (utc("2026-07-12T06:00"), utc("2026-07-15T05:00")),
        (utc("2026-07-12T00:00"), utc("2026-07-12T05:00")),
    ]
    assert site.tick(new_camera, NOW + 13 * MINUTE) == []
    assert json.loads(site.cursors[new_camera.name] or "")["asked"] == {}


# Failures -------------------------------------------------------------------------------------------------------------------


def test_the_reason_of_a_failed_run_is_one_sentence(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    @dg.op
    def breaks() -> None:
        try:
            raise ValueError("the disk is full\nand more")
        except ValueError as error:
            raise RuntimeError("could not write") from error

    @dg.job
    def breaking() -> None:
        breaks()

    with dg.DagsterInstance.ephemeral() as instance, Site(database_url, tmp_path / "home").entered():
        result = breaking.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failure",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
            resources={"notifier": NotifierResource(database=DatabaseResource(), clock=ClockResource())},
        ).for_run_failure()
        assert why(context) == "ValueError: the disk is full"
        capfd.readouterr()
        with context:
            run_failure(context)
        (line,) = capfd.readouterr().err.strip().splitlines()
        assert line.endswith(f"Run {result.run_id} of breaking failed: ValueError: the disk is full")
        assert instance.all_logs(result.run_id)[-1].message == "Why it failed: ValueError: the disk is full"


def test_the_sensors_run_by_themselves() -> None:
    assert {sensor.name for sensor in build_defs().sensors or ()} == {sensor.name for sensor in SENSORS}
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in SENSORS)
    assert {gap_repair.minimum_interval_seconds, new_camera.minimum_interval_seconds} == {600}
