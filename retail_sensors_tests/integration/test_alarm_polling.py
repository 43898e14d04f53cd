"""The alarm status of a real fleet, minute by minute at simulated instants: what is stored, and what each tick asks for.

And the running hour beside it, while only some shops are open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.connectors.base import Endpoint
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.schedules import running_hour
from retail_sensors.sensors.alarms import EVERY_SECONDS, SWEEP_SECONDS, _Tick, alarm_polling
from retail_sensors.simulator.camera import SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, SimulatedStore, running
from retail_sensors.simulator.switches import Fault, FaultKind
from retail_sensors.simulator.traffic import Generated, OpeningHours
from retail_sensors.storage.archive import ArchiveFolder
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.leases import PostgresLeases
from retail_sensors.storage.realtime import minutes_of_stores
from retail_sensors.storage.retention import apply_policies
from retail_sensors_tests.installations import Site, meanwhile
from retail_sensors_tests.integration.stored import utc
from retail_sensors_tests.integration.test_sensors import Frozen, Operator

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# A Thursday in summer time: 13:00 in Lisbon, 17:30 in Kolkata.
NOON = utc("2025-06-12T12:00")


@contextmanager
def shops(clock: list[datetime], **limits: int) -> Iterator[SimulatedFleet]:
    """A shop with one door and one with two, a zone of half hours away; `limits` are of the first door's counters."""
    door = {1: "entrance"}
    open_all_day = OpeningHours.daily("08:00-24:00")
    fleet = SimulatedFleet(
        [
            SimulatedCamera(
                "lisbon",
                "Europe/Lisbon",
                Generated(seed=1, lines=door, visitors_per_day=4000, opening_hours=open_all_day),
                store="Lisbon",
                counter_limits=limits,
            ),
            SimulatedCamera(
                "east", "Asia/Kolkata", Generated(seed=2, lines=door, opening_hours=open_all_day), store="Kolkata"
            ),
            SimulatedCamera(
                "west", "Asia/Kolkata", Generated(seed=3, lines=door, opening_hours=open_all_day), store="Kolkata"
            ),
        ],
        clock=lambda: clock[0],
        stores=[
            SimulatedStore("Lisbon", "Europe/Lisbon", "PT", open_all_day, 400, 620.0),
            SimulatedStore("Kolkata", "Asia/Kolkata", "IN", open_all_day, 150, 480.0),
        ],
    )
    with running(fleet) as started:
        yield started


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    return Operator(Site(database_url, tmp_path / "home"))


def minutes(site: Site, camera: str) -> list[dict[str, Any]]:
    """The camera's minute rows in the order of time."""
    frame = site.frame(
        "SELECT r.*, v.current_in_count, v.current_out_count FROM retail.realtime_analytics AS r"
        " JOIN retail.sensor_metadata AS s ON s.id = r.sensor_id"
        " JOIN retail.vca_alarm_status AS v ON v.sensor_id = r.sensor_id AND v.timestamp = r.period_end"
        " WHERE s.sensor_name = %(camera)s ORDER BY r.period_end",
        {"camera": camera},
    )
    return frame.astype(object).where(frame.notna(), None).to_dict("records")  # type: ignore[return-value]


def evaluated(operator: Operator, now: datetime, seconds: float = SWEEP_SECONDS) -> dg.SensorResult:
    """One tick with all that it says; `seconds` for the sweep."""
    with operator.site.entered():
        database = DatabaseResource()
        try:
            with dg.build_sensor_context(instance=operator.instance, repository_def=operator.repository) as context:
                return _Tick(context, database.database, Frozen(instant=now.isoformat()), seconds).evaluate()
        finally:
            database.database.dispose()


def test_minutes_over_a_day_with_its_reset_and_midnight(operator: Operator) -> None:
    clock = [utc("2025-06-11T22:59")]
    with shops(clock) as fleet:
        operator.site.register(fleet)
        # Midnight in Lisbon, the reset of its occupancy at four, the evening, and midnight again.
        instants = [utc(f"2025-06-{text}") for text in ("11T22:59", "11T23:00", "12T02:59", "12T03:00")]
        instants += [utc("2025-06-12T18:00") + n * MINUTE for n in range(17)]
        instants += [utc("2025-06-12T22:56") + n * MINUTE for n in range(6)]
        for instant in instants:
            clock[0] = instant
            assert operator.tick(alarm_polling, instant) == []
        rows = minutes(operator.site, "lisbon")
        assert [row["period_end"] for row in rows] == instants
        assert [row["period_start"] for row in rows] == [None, *instants[:-1]]

        truth = fleet.counts("lisbon", utc("2025-06-11T23:00"), utc("2025-06-12T23:00"))
        came, left = (
            sum(getattr(hour.counts, total) for hour in truth if hour.counts) for total in ("total_in", "total_out")
        )
        evening, before_midnight, after = rows[20], rows[24], rows[25]
        assert evening["current_count"] == evening["current_in_count"] - evening["current_out_count"] > 3
        assert evening["daily_count"] == evening["current_in_count"]
        assert evening["current_occupancy_percent"] == pytest.approx(evening["current_count"] / 4)
        assert evening["count_trend"] in {"increasing", "decreasing", "stable"}
        assert 0 < before_midnight["daily_count"] <= came
        assert before_midnight["current_count"] >= came - left
        # At midnight the camera begins anew: so does the store's day, but not who is inside.
        assert after["period_end"] == utc("2025-06-12T23:00")
        assert after["current_in_count"] == 0
        assert (after["daily_count"], after["entries"], after["quality"]["entries"]) == (0, 0, "counted_from_zero")
        assert rows[-1]["current_count"] == before_midnight["current_count"]

        # The same tick again asks nobody and writes nothing.
        tables = ("realtime_analytics", "vca_alarm_status", "collection_log")
        stored, asked = operator.site.contents(tables), fleet.requests
        assert operator.tick(alarm_polling, instants[-1] + 20 * MINUTE / 60) == []
        assert (operator.site.contents(tables), fleet.requests) == (stored, asked)
        # What alerts read, and what the nightly maintenance leaves.
        with operator.site.entered() as installation:
            read = minutes_of_stores(installation.database, instants[-1] - 10 * MINUTE, instants[-1])
            nowhere = ArchiveFolder(operator.site.home / "nowhere")
            week_later = instants[-1] + timedelta(days=7)
            for gone in (3 * (len(instants) - 1), 0):
                (outcome,) = apply_policies(installation.database, nowhere, week_later, ["realtime_analytics"])
                assert outcome.rows == gone
        assert list(read["period_end"]) == instants[-6:]
        assert list(read["current_count"]) == [row["current_count"] for row in rows[-6:]]
        assert [row["period_end"] for row in minutes(operator.site, "lisbon")] == instants[-1:]


def test_the_doors_of_a_store_count_together(operator: Operator) -> None:
    # Four o'clock in Kolkata.
    clock = [utc("2025-06-11T22:29")]
    with shops(clock) as fleet:
        operator.site.register(fleet)
        for instant in (clock[0], clock[0] + MINUTE, NOON, NOON + MINUTE):
            clock[0] = instant
            assert operator.tick(alarm_polling, instant) == []
        east, west = minutes(operator.site, "east"), minutes(operator.site, "west")
        assert [row["current_count"] for row in east] == [row["current_count"] for row in west]
        assert east[-1]["current_count"] == max(0, east[-1]["net_count"] + west[-1]["net_count"])
        assert east[-1]["net_count"] == east[-1]["current_in_count"] - east[-1]["current_out_count"]


def test_changed_flags_ask_for_the_running_hour_of_their_cameras_only(operator: Operator) -> None:
    clock = [NOON]
    with shops(clock, sum=1) as fleet:
        operator.site.register(fleet)
        # Before the shop opens nobody has crossed.
        clock[0] = utc("2025-06-12T05:00")
        assert operator.tick(alarm_polling, clock[0]) == []
        clock[0] = NOON + 10 * MINUTE
        (request,) = operator.tick(alarm_polling, clock[0])
        raw = ("people_counting_raw", "regional_counting_raw", "heatmap_temporal_raw")
        assert request.run_config == {"ops": {name: {"config": {"cameras": ["lisbon"]}} for name in raw}}
        assert request.run_key is not None
        assert request.run_key.startswith("alarm 2025-06-12T12:10Z ")
        request = request.with_replaced_attrs(job_name="collect_hours")
        asked = {name: fleet.served(name).requests for name in fleet.cameras}
        assert operator.launch(request, clock[0]).success
        assert {name for name in fleet.cameras if fleet.served(name).requests > asked[name]} == {"lisbon"}
        assert NOON in operator.site.counted("lisbon")
        assert operator.tick(alarm_polling, clock[0] + MINUTE) == []

        # The hours that this run brought stand in for what no reading had told from the start on.
        result = evaluated(operator, clock[0] + 2 * MINUTE)
        (event,) = result.asset_events
        assert isinstance(event, dg.AssetObservation)
        assert event.metadata["cameras answered"].value == 3


def test_a_change_of_flags_outlives_the_process_that_stored_it(operator: Operator) -> None:
    clock = [utc("2025-06-12T05:00")]
    with shops(clock, sum=1) as fleet:
        operator.site.register(fleet)
        assert operator.tick(alarm_polling, clock[0]) == []
        before = operator.cursors[alarm_polling.name]
        clock[0] = NOON + 10 * MINUTE
        (lost,) = operator.tick(alarm_polling, clock[0])
        # Dead after storing: neither request nor cursor came to anything. It is asked for again, in the same minute or later.
        for instant in (clock[0] + MINUTE / 3, clock[0] + MINUTE):
            operator.cursors[alarm_polling.name] = before
            (again,) = operator.tick(alarm_polling, instant)
            assert (again.run_key, again.run_config) == (lost.run_key, lost.run_config)
            assert again.tags == lost.tags
        assert operator.tick(alarm_polling, clock[0] + 2 * MINUTE) == []
        # After an hour the schedules have brought what it was about.
        operator.cursors[alarm_polling.name] = before
        assert operator.tick(alarm_polling, clock[0] + 2 * HOUR) == []


def test_a_change_of_flags_is_seen_after_the_clock_was_set_back(operator: Operator) -> None:
    clock = [utc("2025-06-12T05:00")]
    with shops(clock, sum=1) as fleet:
        operator.site.register(fleet)
        assert operator.tick(alarm_polling, clock[0]) == []
        clock[0] = NOON + 10 * MINUTE
        operator.cursors[alarm_polling.name] = (clock[0] + 24 * HOUR).isoformat()
        (request,) = operator.tick(alarm_polling, clock[0])
        assert str(request.run_key).startswith("alarm 2025-06-12T12:10Z ")
        assert operator.cursors[alarm_polling.name] == clock[0].isoformat()
        assert operator.tick(alarm_polling, clock[0] + MINUTE) == []


def test_a_camera_that_is_removed_while_it_is_asked_costs_the_others_nothing(operator: Operator) -> None:
    clock = [NOON]
    with shops(clock) as fleet:
        operator.site.register(fleet)
        with (
            operator.site.entered() as installation,
            meanwhile(fleet, "east", lambda: FleetRegistry(installation.database).remove(["east"], now=NOON)),
        ):
            evaluated(operator, NOON)
        assert {name: len(minutes(operator.site, name)) for name in fleet.cameras} == {
            "lisbon": 1,
            "east": 0,
            "west": 1,
        }
        assert operator.site.outcomes("lisbon", Endpoint.ALARM_STATUS) == {"ok": 1}


def test_a_camera_without_alarm_status_that_dies_at_night_is_reported_within_a_quarter_of_an_hour(
    operator: Operator,
) -> None:
    died = utc("2025-06-12T02:00")
    clock = [died]
    with shops(clock) as fleet:
        operator.site.register(
            fleet,
            {"lisbon": {"endpoints": ["people_counting"]}, "east": {"endpoints": ["heatmap_temporal"]}},
            by_the_hour=True,
        )
        operator.site.execute("UPDATE retail.sensor_metadata SET created_at = '2025-06-01Z'")
        asked = {"lisbon": list[int](), "east": list[int]()}
        sent = "SELECT DISTINCT sensor_name FROM retail.collection_log JOIN retail.sensor_metadata ON id = sensor_id"

        def tick(minute: int) -> None:
            clock[0] = died + minute * MINUTE
            operator.tick(alarm_polling, clock[0])
            now = {"now": clock[0]}
            for (name,) in operator.site.fetch(f"{sent} WHERE attempts > 0 AND asked_at = %(now)s", now):
                if name in asked:
                    asked[name].append(minute)

        tick(0)
        assert operator.site.outcomes("lisbon") == {"ok": 2}
        assert operator.site.outcomes("east", Endpoint.HEATMAP_TEMPORAL) == {"ok": 1}
        fleet.set_faults("lisbon", [Fault(FaultKind.REFUSED)])
        for minute in range(1, 13):
            tick(minute)
        # Who answers is looked at every five minutes, who does not each minute.
        assert asked == {"lisbon": [0, 5, 6, 7, 8, 9, 10, 11, 12], "east": [0, 5, 10]}
        assert operator.run("alerts", {}, died + 12 * MINUTE).success
        told = "SELECT s.sensor_name FROM retail.alerts_generated JOIN retail.sensor_metadata AS s ON s.id = sensor_id"
        assert operator.site.fetch(f"{told} WHERE rule_name = 'camera_offline'") == [("lisbon",)]


def test_a_look_on_the_hour_counts_each_camera_once(operator: Operator) -> None:
    with shops([NOON]) as fleet:
        operator.site.register(fleet, {"lisbon": {"endpoints": ["people_counting"]}})
        fleet.set_faults("lisbon", [Fault(FaultKind.REFUSED)])
        told = str(evaluated(operator, NOON).skip_reason)
        assert operator.site.outcomes("lisbon") == {"refused": 2}
        assert (
            "2 of 2 cameras answered. Looked at, without the alarm status: 0 of 1 cameras answered. Not: camera "
            in told
        )
        assert told.count("camera lisbon") == 1


def test_a_camera_whose_password_is_not_set_is_named_with_the_remedy(operator: Operator) -> None:
    with shops([NOON]) as fleet:
        operator.site.register(fleet, {"west": {"password": "env:NOT_SET"}})
        told = str(evaluated(operator, NOON).skip_reason)
        assert told.count("camera west") == told.count("2 of 3 cameras answered.") == 1
        remedy = (
            "vca_alarm_status: The variable NOT_SET is not set; set it in the environment or in .env. No alarm flag"
        )
        assert remedy in told


def test_a_hanging_camera_is_recorded_in_time_and_keeps_nobody_waiting(operator: Operator) -> None:
    clock = [NOON]
    with shops(clock) as fleet:
        operator.site.register(fleet)
        fleet.set_faults("west", [Fault(FaultKind.SLOW, delay_seconds=600)])
        began = time.monotonic()
        result = evaluated(operator, NOON, seconds=6.0)
        assert time.monotonic() - began < 60
        assert result.skip_reason is not None
        assert str(result.skip_reason.skip_message).startswith("2 of 3 cameras answered. Not: camera west ")
        assert [operator.site.outcomes(name, Endpoint.ALARM_STATUS) for name in ("east", "west")] == [
            {"ok": 1},
            {"timeout": 1},
        ]
        assert minutes(operator.site, "west") == []
        # Another run keeps it: nothing is said of the camera.
        fleet.set_faults("west", ())
        with (
            operator.site.entered() as installation,
            PostgresLeases(installation.database, timeout_seconds=60) as leases,
        ):
            (west,) = FleetRegistry(installation.database).cameras(["west"])

            async def kept() -> None:
                async with leases.hold(west):
                    await asyncio.to_thread(evaluated, operator, NOON + MINUTE / 3, 3.0)

            asyncio.run(kept())
        assert operator.site.outcomes("west", Endpoint.ALARM_STATUS) == {"busy": 1}
        # It answers again: only it is asked, still within the minute.
        asked = {name: fleet.served(name).requests for name in fleet.cameras}
        evaluated(operator, NOON + MINUTE / 2)
        assert {name for name in fleet.cameras if fleet.served(name).requests > asked[name]} == {"west"}


def test_while_one_shop_is_open_the_running_hour_is_that_of_its_cameras(operator: Operator) -> None:
    # Seven in the morning in Lisbon is half past eleven in Kolkata.
    clock = [utc("2025-06-12T06:05")]
    with shops(clock) as fleet:
        operator.site.register(fleet, by_the_hour=True)
        with operator.site.entered():
            resources = {"database": DatabaseResource()}
            with dg.build_schedule_context(scheduled_execution_time=clock[0], resources=resources) as context:
                request = running_hour(context)
        assert isinstance(request, dg.RunRequest)
        assert operator.run("collect_hours", dict(request.tags), clock[0], request.run_config).success
        asked = {name: fleet.served(name).requests for name in fleet.cameras}
        assert asked == {"lisbon": 0, "east": 4, "west": 4}


def test_no_camera_is_a_reason_and_no_answer_is_a_failure(operator: Operator) -> None:
    assert operator.tick(alarm_polling, NOON) == []
    operator.hours(NOON - HOUR, NOON + HOUR, NOON)
    with shops([NOON]) as fleet:
        operator.site.register(fleet)
        for name in fleet.cameras:
            fleet.set_faults(name, [Fault(FaultKind.REFUSED)])
        with pytest.raises(dg.Failure, match=r"0 of 3 cameras answered\. Not: camera east "):
            evaluated(operator, NOON)
        assert operator.site.outcomes("lisbon", Endpoint.ALARM_STATUS) == {"refused": 1}


def test_the_sweep_ends_before_dagster_gives_the_tick_up() -> None:
    assert alarm_polling.minimum_interval_seconds == EVERY_SECONDS == 60
    assert SWEEP_SECONDS < 50
