"""What the pipeline promises of bad days, at simulated instants with real runs, sockets and Postgres.

A camera that was dark for days and left alone meanwhile; a thousand cameras of which three hundred fail; a back-fill of last March;
a camera that dies. What becomes of processes that are killed is in `test_killed`, what a day of faults looks like in
`test_simulated_day`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from retail_sensors.connectors.base import Endpoint
from retail_sensors.partitions import day_key, hour_key, range_tags
from retail_sensors.sensors.alarms import SWEEP_SECONDS, alarm_polling
from retail_sensors.sensors.repair import gap_repair
from retail_sensors.settings import load_settings
from retail_sensors.simulator.camera import SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, running, uniform_cameras
from retail_sensors.simulator.switches import Fault, FaultKind
from retail_sensors.storage.status import Status, fleet_status
from retail_sensors_tests.installations import COLLECTED, FIGURES, Site, free_ports, fresh_database, small_fleet
from retail_sensors_tests.integration.stored import utc
from retail_sensors_tests.integration.test_killed import assert_same, everything
from retail_sensors_tests.integration.test_notifications import SECRET, Receiver
from retail_sensors_tests.integration.test_sensors import FIRST, LAST, Operator, fleet_at

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OF_ASKING = ("collection_log", "camera_breakers")
"""Tables that say how often was asked, which a fleet that never failed need not be."""


def two_hours(operator: Operator, now: datetime) -> None:
    """The running hour as the schedule asks for it."""
    result = operator.run("collect_hours", range_tags(hour_key(now - HOUR), hour_key(now)), now)
    assert result.success, [event.step_failure_data.error for event in result.get_step_failure_events()][:1]


def status(site: Site, now: datetime) -> Status:
    with site.entered() as installation:
        return fleet_status(installation.database, now)


# A camera that was dark and left alone ------------------------------------------------------------------------------------

START = utc("2025-06-12T00:00")
DARK = utc("2025-06-12T12:00")
BACK = DARK + 3 * DAY
DARK_CAMERA = "mumbai-west"
"""Its hours start at half past, and its store has another door."""


def test_a_camera_that_was_left_alone_for_three_days_gives_all_within_two_ticks(
    server_url: str, database_url: str, tmp_path: Path
) -> None:
    clock = [DARK + 5 * MINUTE]
    with fleet_at(clock) as fleet:
        site = Operator(Site(database_url, tmp_path / "home"))
        site.site.register(fleet, by_the_hour=True)
        site.site.execute(f"UPDATE retail.sensor_metadata SET created_at = '{START}', installed_on = '{START:%F}'")
        with fresh_database(server_url, make_url(database_url).database or "") as url:
            never = Operator(Site(url, tmp_path / "never"))

            site.hours(START, DARK, clock[0])
            fleet.set_faults(DARK_CAMERA, [Fault(FaultKind.REFUSED)])
            for _ in range(3):
                clock[0] += 5 * MINUTE
                two_hours(site, clock[0])
            assert site.site.fetch("SELECT state FROM retail.camera_breakers") == [("open",)]
            clock[0] = BACK + 5 * MINUTE
            site.hours(DARK - HOUR, BACK + HOUR, clock[0])
            site.days(START.date(), BACK.date(), clock[0])
            assert site.tick(gap_repair, clock[0]) == [], "it does not answer, and the others owe nothing"
            fleet.set_faults(DARK_CAMERA, ())
            clock[0] += 5 * MINUTE
            two_hours(site, clock[0])
            assert site.site.fetch("SELECT state FROM retail.camera_breakers") == []
            before = everything(site.site, stamps=("updated_at",))

            clock[0] += MINUTE
            (hours,) = site.tick(gap_repair, clock[0])
            assert hours.job_name == "collect_hours"
            assert (hours.tags[FIRST], hours.tags[LAST]) == ("2025-06-12-11:00", "2025-06-15-10:00")
            assert hours.run_config == {"ops": {name: {"config": {"cameras": [DARK_CAMERA]}} for name in COLLECTED}}
            requests = {name: fleet.served(name).requests for name in fleet.cameras}
            assert site.launch(hours, clock[0]).success
            assert {name for name in fleet.cameras if fleet.served(name).requests > requests[name]} == {DARK_CAMERA}
            clock[0] += 10 * MINUTE
            (days,) = site.tick(gap_repair, clock[0])
            assert (days.job_name, days.tags[FIRST], days.tags[LAST]) == ("daily_figures", "2025-06-12", "2025-06-14")
            assert site.launch(days, clock[0]).success
            assert site.tick(gap_repair, clock[0] + 10 * MINUTE) == []
            unchanged(site.site, before)

            never.hours(START, BACK + HOUR, clock[0])
            never.days(START.date(), BACK.date(), clock[0])
            # The running hour has grown meanwhile, and readings of now were asked for more often.
            two_hours(site, clock[0])
            for one in (site, never):
                one.site.execute("DELETE FROM retail.vca_alarm_status")
            found, expected = (
                {table: rows for table, rows in everything(one.site).items() if table not in OF_ASKING}
                for one in (site, never)
            )
            assert all(expected[table] for table in (*COLLECTED, *FIGURES))
            assert_same(found, expected)


def unchanged(site: Site, before: dict[str, list[str]]) -> None:
    """No row of another store or of another camera's own changed, `updated_at` included."""
    [(camera, store)] = site.fetch(
        "SELECT id::text, store_id::text FROM retail.sensor_metadata WHERE sensor_name = %(name)s",
        {"name": DARK_CAMERA},
    )
    now = everything(site, stamps=("updated_at",))
    for table in set(before) - {*OF_ASKING, "sensor_metadata"}:
        stored = set(now[table])
        for row in before[table]:
            assert row in stored or camera in row or store in row, (table, row)


# A thousand cameras ---------------------------------------------------------------------------------------------------------

FLEET_SIZE = 1000
ANSWER_SECONDS = 10.0
"""What a camera is given in this test; a healthy one of the simulator takes a fraction of it even on a busy machine."""
ILL = {
    "refused": Fault(FaultKind.REFUSED),
    "timeout": Fault(FaultKind.SLOW, delay_seconds=600.0),
    "garbage": Fault(FaultKind.GARBAGE),
}


def test_a_thousand_cameras_of_which_a_third_fails_are_asked_in_time(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = utc("2025-06-12T12:20")
    cameras = uniform_cameras(FLEET_SIZE, "UTC", free_ports(1))
    of_kind = {kind: [camera.name for camera in cameras[number::10]] for number, kind in enumerate(ILL)}
    ill = {name for names in of_kind.values() for name in names}
    healthy = {camera.name for camera in cameras} - ill
    assert len(healthy) == FLEET_SIZE * 7 // 10
    limits = {
        "RETAIL_SENSORS_CONNECT_TIMEOUT_SECONDS": f"{ANSWER_SECONDS}",
        "RETAIL_SENSORS_REQUEST_TIMEOUT_SECONDS": f"{ANSWER_SECONDS}",
    }
    with running(SimulatedFleet(cameras, clock=lambda: now)) as fleet:
        operator = Operator(Site(database_url, tmp_path / "home", limits))
        operator.site.register(
            fleet, {camera.name: {"endpoints": ["people_counting", "vca_alarm_status"]} for camera in cameras}
        )
        for kind, names in of_kind.items():
            for name in names:
                fleet.set_faults(name, [ILL[kind]])
        with operator.site.entered():
            settings = load_settings()
        waves = math.ceil(FLEET_SIZE / settings.in_flight)
        limit = waves * settings.tries * settings.request_timeout_seconds
        assert limit < SWEEP_SECONDS

        began = time.monotonic()
        operator.tick(alarm_polling, now)
        polled = time.monotonic() - began
        began = time.monotonic()
        two_hours(operator, now)
        collected = time.monotonic() - began
    with capsys.disabled():
        sys.stdout.write(
            f"\n{FLEET_SIZE} cameras, {len(ill)} of them ill: polled in {polled:.1f} s, two hours collected in {collected:.1f} s;"
            f" {waves} waves of {settings.in_flight} may take {limit:.0f} s\n"
        )
    outcomes = operator.site.fetch(
        "SELECT endpoint, outcome, array_agg(DISTINCT sensor_name), max(attempts) FROM retail.collection_log"
        " JOIN retail.sensor_metadata ON id = sensor_id GROUP BY 1, 2"
    )
    for endpoint in (Endpoint.PEOPLE_COUNTING, Endpoint.ALARM_STATUS):
        by_outcome = {outcome: (set(names), most) for of, outcome, names, most in outcomes if of == endpoint.value}
        assert by_outcome["ok"][0] == healthy
        for kind in ("refused", "timeout"):
            assert by_outcome[kind] == (set(of_kind[kind]), settings.tries)
        others = set().union(*(names for outcome, (names, _) in by_outcome.items() if outcome not in ("ok", *ILL)))
        assert others | by_outcome.get("garbage", (set(), 0))[0] == set(of_kind["garbage"])
    in_hours = operator.site.fetch("SELECT count(*), count(DISTINCT sensor_id) FROM retail.people_counting_raw")
    assert in_hours == [(2 * len(healthy), len(healthy))]
    assert operator.site.fetch(
        "SELECT count(*), count(DISTINCT sensor_id) FROM retail.hourly_analytics WHERE quality ->> 'counts' <> 'missing'"
    ) == [(2 * len(healthy), len(healthy))]
    # Dagster gives a tick up after a minute; the next run of the running hour is due in five.
    assert polled < 60
    assert collected < 300


# A back-fill of last March ---------------------------------------------------------------------------------------------------

NOVEMBER = utc("2025-11-11T14:32")
MARCH = utc("2025-03-11T00:00")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_a_back_fill_of_last_march_raises_nothing_tells_nobody_and_makes_nothing_fresh(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    environment = {
        "TO_WEBHOOK": f"webhook+http://{receiver.address}/webhook",
        "TO_BOSS": f"webhook+http://{receiver.address}/boss",
        "TO_ENGINEERS": f"webhook+http://{receiver.address}/engineers",
        "TO_APPRISE": f"json://{receiver.address}/apprise",
        "SIGNING": SECRET,
        "RETAIL_SENSORS_NOTIFY_NETWORKS": "127.0.0.0/8",
    }
    with fleet_at([NOVEMBER]) as fleet:
        operator = Operator(Site(database_url, tmp_path / "home", environment))
        site = operator.site
        site.register(fleet, by_the_hour=True)
        # So small that each open hour of these shops is an alert while it is new.
        site.execute("UPDATE retail.stores SET capacity = 1")
        site.execute("UPDATE retail.sensor_metadata SET created_at = '2025-01-01Z'")
        for name, target, *options in (
            ("webhook", "TO_WEBHOOK"),
            ("apprise", "TO_APPRISE"),
            ("boss", "TO_BOSS", "--escalations-only"),
            ("engineers", "TO_ENGINEERS", "--event", "run_failed"),
        ):
            said = site.run(
                "alerts", "routes", "add", name, "--target", f"env:{target}", "--secret", "env:SIGNING", *options
            )
            assert said.code == 0, said

        def look(now: datetime) -> list[tuple[Any, ...]]:
            """States and alerts as the schedules have them looked at; the alerts."""
            for job in ("watch_cameras", "alerts"):
                assert operator.run(job, {}, now).success
            return site.fetch(
                # The cameras' own clock is another one.
                "SELECT id, rule_name, severity, resolved, escalated FROM retail.alerts_generated"
                " WHERE rule_name <> 'camera_clock' ORDER BY 1"
            )

        # The day before was collected, and then nothing.
        operator.hours(NOVEMBER.replace(minute=0) - DAY, NOVEMBER.replace(minute=0) - 14 * HOUR, NOVEMBER - 14 * HOUR)
        alerts = look(NOVEMBER)
        assert {rule for _, rule, *_ in alerts} == {"data_stale"}
        told = list(receiver.got)
        assert {path for path, *_ in told} == {"webhook", "apprise"}
        stale = stages(site, NOVEMBER)
        assert stale["hourly figures"] == "missing"

        later = NOVEMBER + 10 * MINUTE
        hours = operator.run("collect_hours", range_tags(hour_key(MARCH), hour_key(MARCH + 47 * HOUR)), later)
        dates = range_tags(day_key(MARCH.date()), day_key((MARCH + DAY).date()))
        runs = [hours, *(operator.run(job, dates, later) for job in ("daily_figures", "anomalies"))]
        assert all(run.success for run in runs)
        assert (
            site.fetch("SELECT count(*) FROM retail.store_hourly WHERE hour_start < '2025-04-01' AND utilization > 1")[
                0
            ][0]
            > 10
        )
        fresh = {
            (one.asset_key.to_user_string(), one.passed)
            for run in runs
            for one in run.get_asset_check_evaluations()
            if one.check_name == "fresh"
        }
        assert fresh == {("store_hourly", False), ("store_daily", False), ("anomalies_detected", False)}
        assert [alert[:4] for alert in look(later)] == [alert[:4] for alert in alerts]
        assert receiver.got == told
        after = stages(site, later)
        assert {name for name in after if after[name] != stale[name]} <= {"cameras"}, "they have just answered"

        # While it was new, the same hours were alerts, and were told.
        look(MARCH + DAY + 14 * HOUR + 32 * MINUTE)
        assert site.fetch("SELECT count(*) FROM retail.alerts_generated WHERE rule_name = 'overcrowding'")[0][0] > 0
        assert len(receiver.got) > len(told)


def stages(site: Site, now: datetime) -> dict[str, str]:
    return {stage.name: stage.state for stage in status(site, now).stages}


# A camera that dies -----------------------------------------------------------------------------------------------------------

REPORTED_WITHIN = 15 * MINUTE
LATE_WITHIN = 10 * MINUTE
DEATHS = {
    "refusing": (utc("2025-06-12T11:48:20"), ILL["refused"]),
    "hanging": (utc("2025-06-12T11:49:40"), ILL["timeout"]),
}
"""When they are offline, `watch_cameras` (the first) and `alerts` (the second) have just looked."""


def test_a_dead_camera_is_reported_within_a_quarter_of_an_hour_and_its_hour_ten_minutes_after_it_is_due(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [utc("2025-06-12T11:44")]
    end = utc("2025-06-12T12:12")
    plan = small_fleet()
    cameras = [
        SimulatedCamera(name, "Europe/Lisbon", camera.traffic, store="Lisbon", regions={})
        for name, camera in zip(("healthy", *DEATHS), plan.cameras.values(), strict=True)
    ]
    seen: dict[tuple[str, str], datetime] = {}
    with running(SimulatedFleet(cameras, clock=lambda: clock[0], stores=plan.stores[:1])) as fleet:
        limits = {"RETAIL_SENSORS_REQUEST_TIMEOUT_SECONDS": "3"}
        operator = Operator(Site(database_url, tmp_path / "home", limits))
        site = operator.site
        site.register(
            fleet, {camera.name: {"endpoints": ["people_counting", "vca_alarm_status"]} for camera in cameras}
        )
        site.execute("UPDATE retail.sensor_metadata SET created_at = '2025-06-12T09:00Z'")
        operator.hours(utc("2025-06-12T09:00"), utc("2025-06-12T12:00"), clock[0])
        while clock[0] < end:
            clock[0] += MINUTE
            now = clock[0]
            for name, (died, fault) in DEATHS.items():
                if died <= now < died + MINUTE:
                    fleet.set_faults(name, [fault])
            # By the minutes of the schedules of the same names, each as if it began before the tick of its minute.
            if now.minute % 5 == 0:
                two_hours(operator, now)
            if now.minute % 5 == 1:
                assert operator.run("watch_cameras", {}, now).success
            if now.minute % 5 == 2:
                assert operator.run("alerts", {}, now).success
            operator.tick(alarm_polling, now)
            for what, name in told(site, now):
                seen.setdefault((what, name), now)
    with capsys.disabled():
        for name, (died, _) in DEATHS.items():
            when = {what: f"{at:%H:%M}" for (what, of), at in seen.items() if of == name}
            sys.stdout.write(f"\n{name} camera died at {died:%H:%M:%S}: {when}\n")
    assert not any(name == "healthy" for _, name in seen)
    due = utc("2025-06-12T12:00") + 10 * MINUTE
    for name, (died, _) in DEATHS.items():
        for what in ("status", "camera_health", "alert"):
            assert died < seen[what, name] <= died + REPORTED_WITHIN, (what, name)
        assert due <= seen["late hour", name] <= due + LATE_WITHIN


def told(site: Site, now: datetime) -> Iterator[tuple[str, str]]:
    """What is said of which camera, and where."""
    for camera in status(site, now).cameras:
        if camera.state == "offline":
            yield "status", camera.name
        if camera.hours_late or camera.hours_missing:
            yield "late hour", camera.name
    for what, rows in (
        ("camera_health", "retail.camera_health AS t WHERE t.state = 'offline'"),
        ("alert", "retail.alerts_generated AS t WHERE t.rule_name = 'camera_offline' AND NOT t.resolved"),
    ):
        table, _, condition = rows.partition(" WHERE ")
        found = site.fetch(
            f"SELECT s.sensor_name FROM {table} JOIN retail.sensor_metadata AS s ON s.id = t.sensor_id WHERE {condition}"
        )
        yield from ((what, name) for (name,) in found)
