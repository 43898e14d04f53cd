"""Rows that came in after their figures: what the sensor asks for at simulated instants, and what comes of running it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.definitions import build_defs
from retail_sensors.partitions import day_key, hour_key, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.sensors.late import AGAIN, late_data
from retail_sensors.storage.database import Database
from retail_sensors.tables import PEOPLE_COUNTING_RAW, Table
from retail_sensors.tables.inputs import POS_TRANSACTIONS
from retail_sensors_tests.installations import Site
from retail_sensors_tests.integration.stored import reading, register, store, utc

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
START, NOW = utc("2026-07-15T00:00"), utc("2026-07-18T14:30")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Frozen(ClockResource):
    """A clock that stands still."""

    instant: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.instant)


class Keeper:
    """A site whose store has two days of one camera with all figures, all written an hour ago; and the sensor's ticks at NOW."""

    def __init__(self, database: Database, url: str, home: Path) -> None:
        self.site = Site(url, home)
        self.database = database
        self.instance = dg.DagsterInstance.ephemeral()
        self.repository = build_defs().get_repository_def()
        self.cursor: str | None = None
        (self.camera,) = register(database, "a")
        self.site.execute("UPDATE retail.sensor_metadata SET created_at = '2026-07-01'")
        store(database, PEOPLE_COUNTING_RAW, *(reading(self.camera, START + n * HOUR) for n in range(48)))
        self.run("hourly_figures", range_tags(hour_key(START), hour_key(START + 47 * HOUR)))
        self.run("daily_figures", range_tags(day_key(START), day_key(START + DAY)))
        for name in ("people_counting_raw", "hourly_analytics", "store_hourly", "store_daily"):
            self.site.execute(f"UPDATE retail.{name} SET updated_at = now() - interval '1 hour'")

    def run(self, job: str, tags: Mapping[str, str]) -> None:
        with self.site.entered():
            definition = build_defs(clock=Frozen(instant=NOW.isoformat())).resolve_job_def(job)
            assert definition.execute_in_process(instance=self.instance, tags=dict(tags), run_config=QUIET).success

    def tick(self) -> list[tuple[str, str, str]]:
        """Job, first and last key of what is asked for, and those runs done."""
        requests = self.ask()
        for request in requests:
            assert request.job_name is not None
            self.run(request.job_name, request.tags)
        return [(str(request.job_name), request.tags[FIRST], request.tags[LAST]) for request in requests]

    def ask(self, now: datetime = NOW) -> list[dg.RunRequest]:
        with self.site.entered():
            database = DatabaseResource()
            context = dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursor,
                repository_def=self.repository,
                resources={"database": database, "clock": Frozen(instant=now.isoformat())},
            )
            with context:
                result = late_data.evaluate_tick(context)
            database.database.dispose()
        self.cursor = result.cursor
        requests = list(result.run_requests or ())
        assert bool(requests) != bool(result.skip_message)
        self.said = result.skip_message or ""
        return requests

    def arrive(self, table: Table, *rows: Mapping[str, Any]) -> None:
        """Rows that are written now and have settled by the next tick."""
        since = json.loads(self.cursor or "{}")["since"]
        store(self.database, table, *rows)
        self.site.execute(
            f"UPDATE retail.{table.name} SET updated_at = '{since}'::timestamptz + interval '1 millisecond'"
            " WHERE updated_at > now() - interval '5 minutes'"
        )


@pytest.fixture
def keeper(database: Database, database_url: str, tmp_path: Path) -> Keeper:
    return Keeper(database, database_url, tmp_path / "home")


def test_a_late_reading_reopens_its_hour_and_its_day_once(keeper: Keeper) -> None:
    assert keeper.tick() == []
    keeper.arrive(
        PEOPLE_COUNTING_RAW,
        reading(keeper.camera, "2026-07-15T10:00", line1_in=500),
        reading(keeper.camera, "2026-07-18T08:00"),  # the next scheduled run covers it
    )
    assert keeper.tick() == [("hourly_figures", "2026-07-15-10:00", "2026-07-15-10:00")]
    assert keeper.tick() == [("daily_figures", "2026-07-15", "2026-07-15")]
    assert keeper.tick() == []
    assert "newer than the figures" in keeper.said
    daily = "SELECT total_entries::integer FROM retail.store_daily ORDER BY date"
    assert keeper.site.fetch(daily) == [(240 - 10 + 500,), (240,)]
    assert "2026-07-18 08:00" not in str(keeper.site.fetch("SELECT hour_start::text FROM retail.hourly_analytics"))


def test_a_till_feed_reopens_the_hours_and_days_that_were_counted(keeper: Keeper) -> None:
    assert keeper.tick() == []
    ((shop,),) = keeper.site.fetch("SELECT id::text FROM retail.stores")

    def sold(at: str) -> dict[str, Any]:
        return {"store_id": shop, "hour_start": utc(at), "transactions": 3}

    keeper.arrive(POS_TRANSACTIONS, sold("2026-07-16T11:00"), sold("2026-07-16T12:00"), sold("2024-03-01T12:00"))
    assert keeper.tick() == [("hourly_figures", "2026-07-16-11:00", "2026-07-16-12:00")]
    assert keeper.tick() == [("daily_figures", "2026-07-16", "2026-07-16")]
    assert keeper.tick() == []


def test_readings_without_figures_come_three_days_at_a_time(keeper: Keeper) -> None:
    assert keeper.tick() == []
    march = utc("2026-03-01T00:00")
    keeper.arrive(PEOPLE_COUNTING_RAW, *(reading(keeper.camera, march + n * HOUR) for n in (0, 1, 70, 71, 75, 200)))
    assert keeper.tick() == [("hourly_figures", "2026-03-01-00:00", "2026-03-03-23:00")]
    # Days are asked for beside the next hours.
    second = keeper.tick()
    assert second[-1] == ("hourly_figures", "2026-03-04-03:00", "2026-03-04-03:00")
    assert {job for job, _, _ in second[:-1]} == {"daily_figures"}
    third = keeper.tick()
    assert third[-1] == ("hourly_figures", "2026-03-09-08:00", "2026-03-09-08:00")
    assert {job for job, _, _ in keeper.tick()} == {"daily_figures"}
    assert keeper.tick() == []
    rows = keeper.site.fetch("SELECT count(*) FROM retail.store_daily WHERE date < '2026-04-01'")
    assert rows == [(4,)]


def test_it_waits_for_a_run_that_works_on_earlier_hours_and_for_its_own(keeper: Keeper) -> None:
    assert keeper.tick() == []
    keeper.arrive(PEOPLE_COUNTING_RAW, reading(keeper.camera, "2026-07-15T10:00", line1_in=500))
    running = dg.DagsterRun(
        job_name="collect_hours",
        status=dg.DagsterRunStatus.STARTED,
        tags=range_tags("2026-07-01-00:00", "2026-07-03-23:00"),
    )
    keeper.instance.add_run(running)
    assert keeper.ask() == []
    assert f"Run {running.run_id} of collect_hours works on earlier hours" in keeper.said
    keeper.instance.delete_run(running.run_id)
    live = range_tags("2026-07-18-07:00", "2026-07-18-14:00")
    keeper.instance.add_run(dg.DagsterRun(job_name="collect_hours", status=dg.DagsterRunStatus.STARTED, tags=live))
    before = keeper.cursor
    (request,) = keeper.ask()
    # The same tick again after a crash asks for the same run.
    after, keeper.cursor = keeper.cursor, before
    (again,) = keeper.ask()
    assert (again.tags[FIRST], again.tags[LAST]) == (request.tags[FIRST], request.tags[LAST])
    keeper.cursor = after
    own = dg.DagsterRun(job_name="hourly_figures", status=dg.DagsterRunStatus.STARTED, tags=dict(request.tags))
    keeper.instance.add_run(own)
    assert keeper.ask() == []
    assert "has not ended: started" in keeper.said


def ended(keeper: Keeper, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    keeper.instance.add_run(dg.DagsterRun(job_name=str(request.job_name), status=status, tags=dict(request.tags)))


def test_hours_whose_run_failed_are_asked_for_again_and_hold_up_no_others(keeper: Keeper) -> None:
    assert keeper.tick() == []
    march = utc("2026-03-01T00:00")
    keeper.arrive(
        PEOPLE_COUNTING_RAW,
        reading(keeper.camera, march),
        reading(keeper.camera, march + 5 * DAY),
        reading(keeper.camera, "2026-07-15T10:00", line1_in=500),
    )
    (first,) = keeper.ask()
    assert (first.tags[FIRST], first.tags[LAST]) == ("2026-03-01-00:00",) * 2
    ended(keeper, first, dg.DagsterRunStatus.FAILURE)
    # What comes after it goes on at once.
    (second,) = keeper.ask()
    assert second.tags[FIRST] == "2026-03-06-00:00"
    ended(keeper, second, dg.DagsterRunStatus.CANCELED)
    # Ten minutes later it comes first; who cancelled the other wants no more of it.
    before = keeper.cursor
    (again,) = keeper.ask(NOW + 10 * MINUTE)
    assert again.tags[FIRST] == "2026-03-01-00:00"
    assert again.run_key not in (first.run_key, None)
    after, keeper.cursor = keeper.cursor, before
    (same,) = keeper.ask(NOW + 10 * MINUTE)
    assert same.run_key == again.run_key
    keeper.cursor = after
    keeper.run(str(again.job_name), again.tags)
    *days, third = keeper.ask(NOW + 20 * MINUTE)
    # Its days are computed as if the first try had succeeded: midnight belongs to the occupancy day before, too.
    days_asked = [(request.job_name, request.tags[FIRST], request.tags[LAST]) for request in days]
    assert days_asked == [("daily_figures", "2026-02-28", "2026-03-01")]
    assert third.tags[FIRST] == "2026-07-15-10:00"
    # That a run was never started counts as a failure, too; after the last try nothing is asked for.
    keys = [third.run_key]
    now = NOW + 30 * MINUTE
    for wait in (*AGAIN, DAY):
        assert keeper.ask(now) == []
        assert keeper.ask(now + wait - MINUTE) == []
        now += wait
        requests = keeper.ask(now)
        keys += [request.run_key for request in requests]
        now += 10 * MINUTE
    assert len(keys) == len(set(keys)) == 1 + len(AGAIN)
    assert json.loads(keeper.cursor or "")["failed"] == []


def test_a_cursor_of_before_failed_runs_were_remembered_is_understood(keeper: Keeper) -> None:
    assert keeper.tick() == []
    keeper.arrive(PEOPLE_COUNTING_RAW, reading(keeper.camera, "2026-07-15T10:00", line1_in=500))
    (request,) = keeper.ask()
    cursor = json.loads(keeper.cursor or "")
    del cursor["failed"]
    cursor["run"] = {name: cursor["run"][name] for name in ("key", "first", "last", "asked_at")}
    keeper.cursor = json.dumps(cursor)
    keeper.run(str(request.job_name), request.tags)
    assert keeper.tick() == [("daily_figures", "2026-07-15", "2026-07-15")]
