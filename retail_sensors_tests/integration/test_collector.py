"""What one sweep over simulated cameras brings home: every switch and every fault of the simulator, over real sockets."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from retail_sensors import tables
from retail_sensors.connectors.base import (
    DAY_ENDPOINTS,
    HISTORY_ENDPOINTS,
    Camera,
    Collection,
    Credentials,
    Endpoint,
    LeaseTimeoutError,
    Outcome,
    TimeWindow,
)
from retail_sensors.connectors.collector import CameraAnswer, Collector, CollectorSettings
from retail_sensors.connectors.harvest import VALUE_COLUMNS
from retail_sensors.connectors.http import HttpSettings
from retail_sensors.connectors.leases import LocalLeases
from retail_sensors.connectors.networks import AllowedNetworks
from retail_sensors.connectors.probe import OPTIONAL_CAPABILITIES, probe
from retail_sensors.errors import ConfigurationError
from retail_sensors.simulator.camera import DEFAULT_REGIONS, SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors.simulator.switches import Fault, FaultKind, Switches
from retail_sensors.simulator.traffic import Counts, Generated

# A Wednesday, three days after the clocks of New York went back.
NOW = datetime(2025, 11, 5, 17, 20, tzinfo=UTC)
ZONE = "America/New_York"
TABLES = {
    Endpoint.PEOPLE_COUNTING: tables.PEOPLE_COUNTING_RAW,
    Endpoint.REGIONAL_COUNTING: tables.REGIONAL_COUNTING_RAW,
    Endpoint.HEATMAP_TEMPORAL: tables.HEATMAP_TEMPORAL_RAW,
    Endpoint.ALARM_STATUS: tables.VCA_ALARM_STATUS,
}
SETTINGS = CollectorSettings(
    http=HttpSettings(
        connect_seconds=30.0,
        total_seconds=30.0,
        max_bytes=200_000,
        backoff_seconds=0.01,
        retry_after_max_seconds=0.02,
    ),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(start: str, end: str) -> TimeWindow:
    return TimeWindow(utc(start), utc(end))


MONDAY = window("2025-11-03T05:00", "2025-11-04T05:00")
TUESDAY = window("2025-11-04T05:00", "2025-11-05T05:00")
AUTUMN = window("2025-11-02T04:00", "2025-11-03T05:00")
THIS_HOUR = window("2025-11-05T17:00", "2025-11-05T18:00")


def simulated(name: str = "door", timezone: str = ZONE, **options: object) -> SimulatedCamera:
    return SimulatedCamera(name, timezone, Generated(seed=7, visitors_per_day=300.0), **options)  # type: ignore[arg-type]


@contextmanager
def fleet(*cameras: SimulatedCamera, latency_seconds: float = 0.0) -> Iterator[SimulatedFleet]:
    with running(SimulatedFleet(cameras, clock=lambda: NOW, latency_seconds=latency_seconds)) as served:
        yield served


def registered(served: SimulatedFleet) -> list[Camera]:
    cameras = []
    for number, camera in enumerate(served.cameras.values(), start=1):
        host, port = served.address(camera.name)
        credentials = Credentials(camera.username, camera.password)
        cameras.append(
            Camera(UUID(int=number), camera.name, host, port, ZoneInfo(camera.timezone), credentials=credentials)
        )
    return cameras


def collector(settings: CollectorSettings = SETTINGS, clock: Callable[[], datetime] = lambda: NOW) -> Collector:
    return Collector(settings, clock=clock, rng=random.Random(3))


def collect(cameras: Sequence[Camera], endpoint: Endpoint, span: TimeWindow, by: Collector | None = None) -> Collection:
    return (by or collector()).collect_sync(cameras, endpoint, span, lease=LocalLeases(), run_id="run-1")


def expected(endpoint: Endpoint, counts: Counts) -> tuple[float, ...]:
    if endpoint is Endpoint.PEOPLE_COUNTING:
        return tuple(value for line in counts.lines for value in line)
    return counts.regions if endpoint is Endpoint.REGIONAL_COUNTING else (counts.heat_seconds,)


def truth(served: SimulatedFleet, name: str, endpoint: Endpoint, span: TimeWindow) -> dict[datetime, tuple[float, ...]]:
    hours = served.counts(name, span.start, span.end)
    return {hour.starts_at: expected(endpoint, hour.counts) for hour in hours if hour.counts is not None}


def readings(collection: Collection, camera: Camera | None = None) -> dict[datetime, tuple[float, ...]]:
    rows = collection.rows if camera is None else collection.rows[collection.rows.sensor_id == str(camera.sensor_id)]
    values = rows[list(VALUE_COLUMNS[collection.endpoint])].itertuples(index=False, name=None)
    return dict(zip(rows.timestamp.dt.to_pydatetime(), values, strict=True))


def outcomes(collection: Collection, camera: Camera | None = None) -> set[str]:
    log = collection.log if camera is None else collection.log[collection.log.sensor_id == str(camera.sensor_id)]
    return set(log.outcome)


def check_contract(collection: Collection) -> None:
    """The frames are what the tables' contracts ask for, column by column."""
    frames = (
        (collection.rows, TABLES[collection.endpoint]),
        (collection.log, tables.COLLECTION_LOG),
        (collection.rejected, tables.REJECTED_PAYLOADS),
    )
    for frame, table in frames:
        assert sorted(frame.columns) == sorted(column.name for column in table.written)
        for column in table.written:
            assert str(frame[column.name].dtype) == column.kind.pandas, f"{table.name}.{column.name}"
            assert column.nullable or not frame[column.name].isna().any(), f"{table.name}.{column.name}"
        assert not frame.duplicated(list(table.key)).any()


@pytest.mark.parametrize("switches", [pytest.param(value, id=name) for name, value in Switches.variants()])
def test_every_firmware_gives_the_counts_that_were_simulated(switches: Switches) -> None:
    regions = {number: DEFAULT_REGIONS[number] for number in (1, 3)}
    with fleet(simulated(switches=switches, regions=regions)) as served:
        (camera,) = registered(served)
        found = collector()
        history = asyncio.run(found.collect_many([camera], HISTORY_ENDPOINTS, MONDAY, lease=LocalLeases(), run_id=None))
        for endpoint, collection in history.items():
            check_contract(collection)
            assert outcomes(collection) == {"ok"}
            assert len(collection.log) == 24
            assert set(collection.log.attempts) == {1}
            wanted = truth(served, "door", endpoint, MONDAY)
            if endpoint is Endpoint.HEATMAP_TEMPORAL:
                wanted = {hour: (value * switches.heat_scale,) for hour, (value,) in wanted.items()}
            given = readings(collection)
            if endpoint is Endpoint.REGIONAL_COUNTING and switches.region_columns == "only_configured":
                assert collection.rows.region2_count.isna().all()
                given = {hour: (one, 0, three, 0) for hour, (one, _, three, _) in given.items()}
            assert given == wanted
            assert sum(sum(values) for values in wanted.values()) > 100
        alarm = collect([camera], Endpoint.ALARM_STATUS, THIS_HOUR, found)
        check_contract(alarm)
        assert alarm.rows.timestamp.tolist() == [pd.Timestamp(NOW)]
        assert alarm.rows.current_in_count[0] - alarm.rows.current_out_count[0] == alarm.rows.current_capacity_count[0]


@pytest.mark.parametrize("repeated_hour", ["listed_twice", "merged", "second_only"])
def test_the_hour_that_comes_twice(repeated_hour: str) -> None:
    with fleet(simulated(switches=Switches().with_text(f"repeated_hour={repeated_hour}"))) as served:
        (camera,) = registered(served)
        collection = collect([camera], Endpoint.PEOPLE_COUNTING, AUTUMN)
        check_contract(collection)
        assert len(collection.log) == 25
        flags = collection.rows.set_index("timestamp").label_flag.dropna()
        first, second = pd.Timestamp(utc("2025-11-02T05:00")), pd.Timestamp(utc("2025-11-02T06:00"))
        if repeated_hour == "listed_twice":
            assert readings(collection) == truth(served, "door", Endpoint.PEOPLE_COUNTING, AUTUMN)
            assert flags.to_dict() == {first: "ambiguous_first", second: "ambiguous_second"}
        else:
            assert flags.to_dict() == {first: "ambiguous_single"}
            unanswered = collection.log[collection.log.row_count == 0]
            assert unanswered.hour_start.tolist() == [second]
            assert unanswered.outcome.tolist() == ["no_rows"]


def test_the_label_and_the_end_of_a_row() -> None:
    with fleet(simulated(timezone="Asia/Kolkata")) as served:
        collection = collect(
            registered(served), Endpoint.PEOPLE_COUNTING, window("2025-11-03T04:00", "2025-11-03T05:00")
        )
    assert collection.rows[["timestamp", "end_time", "local_label"]].values.tolist() == [
        [pd.Timestamp(utc("2025-11-03T04:30")), pd.Timestamp(utc("2025-11-03T05:30")), "2025/11/03 10:00:00"]
    ]
    assert collection.rows.is_final.tolist() == [True]


BROKEN = {
    FaultKind.REFUSED: "refused",
    FaultKind.SLOW: "timeout",
    FaultKind.EMPTY: "empty_body",
    FaultKind.HTML_LOGIN: "not_data",
    FaultKind.GARBAGE: "not_data",
    FaultKind.ENDLESS: "too_large",
    FaultKind.UNAUTHORIZED: "unauthorized",
    FaultKind.NOT_FOUND: "not_found",
    FaultKind.RATE_LIMITED: "rate_limited",
    FaultKind.SERVER_ERROR_500: "server_error",
    FaultKind.SERVER_ERROR_502: "server_error",
    FaultKind.SERVER_ERROR_503: "server_error",
}


@pytest.mark.parametrize(("kind", "outcome"), BROKEN.items())
def test_a_broken_camera_is_named_and_its_neighbour_is_unaffected(kind: FaultKind, outcome: str) -> None:
    with fleet(simulated("bad"), simulated("good")) as served:
        bad, good = registered(served)
        served.set_faults("bad", [Fault(kind, delay_seconds=600)])
        settings = SETTINGS
        if kind is FaultKind.SLOW:
            # As long as the neighbour needs on a machine that stands still for a while.
            settings = replace(SETTINGS, http=replace(SETTINGS.http, total_seconds=6.0, tries=1))
        for endpoint in HISTORY_ENDPOINTS:
            collection = collect([bad, good], endpoint, MONDAY, collector(settings))
            check_contract(collection)
            assert outcomes(collection, bad) == {outcome}
            assert readings(collection, bad) == {}
            log = collection.log[collection.log.sensor_id == str(bad.sensor_id)]
            assert len(log) == 24
            assert log.error.str.startswith(f"camera bad ({bad.host}:{bad.port}), {endpoint} of 2025-11-03: ").all()
            assert outcomes(collection, good) == {"ok"}
            assert readings(collection, good) == truth(served, "good", endpoint, MONDAY)
            kept = collection.rejected[collection.rejected.sensor_id == str(bad.sensor_id)]
            assert len(kept) == (1 if outcome in ("not_data", "too_large") else 0)
            assert all(len(raw) <= 65_536 for raw in kept.raw)


@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize("kind", [FaultKind.TRUNCATED, FaultKind.RESET_MID_BODY])
def test_the_rows_that_came_before_a_cut_are_kept(kind: FaultKind, has_length: bool) -> None:
    with fleet(simulated(faults=[Fault(kind, has_length=has_length)])) as served:
        (camera,) = registered(served)
        for endpoint in HISTORY_ENDPOINTS:
            collection = collect([camera], endpoint, MONDAY)
            check_contract(collection)
            wanted = truth(served, "door", endpoint, MONDAY)
            given = readings(collection)
            assert 8 < len(given) < 14
            assert given.items() <= wanted.items()
            broken = "truncated" if kind is FaultKind.TRUNCATED else "reset"
            assert set(collection.log[collection.log.row_count == 0].outcome) == {broken}
            assert set(collection.log[collection.log.row_count == 1].outcome) == {"ok_with_rejects"}
            assert set(collection.log.attempts) == {3}
            assert collection.rejected.reason.str.contains("cut off").all()


@pytest.mark.parametrize(
    ("kind", "good_rows", "rejected"),
    [
        (FaultKind.DUPLICATE_ROWS, 24, 0),
        (FaultKind.UNORDERED_ROWS, 24, 0),
        (FaultKind.NEGATIVE_NUMBERS, 16, 8),
        (FaultKind.HUGE_NUMBERS, 16, 8),
        (FaultKind.OTHER_DAY, 24, 24),
    ],
)
def test_bad_rows_are_set_aside_and_good_ones_land(kind: FaultKind, good_rows: int, rejected: int) -> None:
    with fleet(simulated(faults=[Fault(kind)])) as served:
        (camera,) = registered(served)
        for endpoint in HISTORY_ENDPOINTS:
            collection = collect([camera], endpoint, TUESDAY)
            check_contract(collection)
            wanted = truth(served, "door", endpoint, TUESDAY)
            given = readings(collection)
            assert len(given) == good_rows
            assert given.items() <= wanted.items()
            assert len(collection.rejected) == rejected
            assert set(collection.log.rejected_count) == {rejected}
            assert set(collection.rejected.local_day) == ({date(2025, 11, 4)} if rejected else set())
            log = collection.log.set_index("hour_start")
            assert set(log[log.row_count == 1].outcome) == {"ok_with_rejects" if rejected else "ok"}
            assert set(log[log.row_count == 0].outcome) == ({"no_rows"} if good_rows < 24 else set())
            assert log.error.notna().all() == bool(rejected)


def test_wrong_alarm_numbers_are_refused_as_a_whole() -> None:
    with fleet(simulated(faults=[Fault(FaultKind.HUGE_NUMBERS)])) as served:
        collection = collect(registered(served), Endpoint.ALARM_STATUS, THIS_HOUR)
    check_contract(collection)
    assert collection.rows.empty
    assert outcomes(collection) == {"no_rows"}
    assert len(collection.rejected) == 1
    assert collection.rejected.local_day.isna().all()


def test_the_alarm_status_has_no_past() -> None:
    with fleet(simulated()) as served:
        collection = collect(registered(served), Endpoint.ALARM_STATUS, MONDAY)
        check_contract(collection)
        assert collection.rows.empty
        assert collection.log.empty
        assert served.served("door").requests == 0


def test_the_alarm_keeps_what_it_has_no_column_for() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"var current_in_count='5';var lens='dirty';"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async def run() -> Collection:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        camera = Camera(UUID(int=1), "door", "127.0.0.1", port, ZoneInfo("UTC"))
        try:
            return await collector(clock=lambda: NOW + timedelta(microseconds=123_456)).collect(
                [camera], Endpoint.ALARM_STATUS, THIS_HOUR, lease=LocalLeases(), run_id=None
            )
        finally:
            server.close()

    collection = asyncio.run(run())
    check_contract(collection)
    assert json.loads(collection.rows.extra[0]) == {"lens": "dirty"}
    assert collection.rows.timestamp.tolist() == [pd.Timestamp(NOW)]
    assert collection.log.hour_start.tolist() == [pd.Timestamp(utc("2025-11-05T17:00"))]


def test_an_hour_is_final_when_it_has_settled() -> None:
    today = window("2025-11-05T15:00", "2025-11-05T20:00")
    with fleet(simulated()) as served:
        cameras = registered(served)
        collection = collect(cameras, Endpoint.PEOPLE_COUNTING, today)
        # The hours from 18:00 on are listed as zeros; they are not zeros, they have not been.
        assert [stamp.hour for stamp in collection.rows.timestamp] == [15, 16, 17]
        assert collection.rows.is_final.tolist() == [True, True, False]
        assert len(collection.log) == 3
        settling = collector(replace(SETTINGS, settle_seconds=1201.0))
        assert collect(cameras, Endpoint.PEOPLE_COUNTING, today, settling).rows.is_final.tolist() == [
            True,
            False,
            False,
        ]


def test_a_window_that_has_not_begun_asks_nothing() -> None:
    with fleet(simulated()) as served:
        collection = collect(
            registered(served), Endpoint.PEOPLE_COUNTING, window("2025-11-05T18:00", "2025-11-05T20:00")
        )
        check_contract(collection)
        assert collection.log.empty
        assert served.served("door").requests == 0


@pytest.mark.parametrize(("offset", "hours", "final"), [(-1500.0, [15, 16], 1), (3000.0, [15, 16, 17, 18], 3)])
def test_the_cameras_own_clock_says_which_hours_have_been(offset: float, hours: list[int], final: int) -> None:
    with fleet(simulated(clock_offset_seconds=offset)) as served:
        collection = collect(
            registered(served), Endpoint.PEOPLE_COUNTING, window("2025-11-05T15:00", "2025-11-05T20:00")
        )
    check_contract(collection)
    assert [stamp.hour for stamp in collection.rows.timestamp] == hours
    assert collection.rows.is_final.sum() == final
    assert set(collection.log.clock_offset_seconds) == {offset}
    assert set(collection.log[collection.log.row_count == 1].hour_start) == set(collection.rows.timestamp)


def test_a_date_header_that_the_counts_disprove_is_not_believed() -> None:
    header = "StartTime,EndTime,Value(s)"
    rows = [f"2025-11-05 {hour:02}:00:00,2025-11-05 {hour:02}:59:59,{hour}" for hour in range(18)]
    body = "".join(line + "\n" for line in [header, *rows]).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nDate: Wed, 05 Nov 2025 12:20:00 GMT\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    async def run() -> Collection:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        camera = Camera(UUID(int=1), "door", "127.0.0.1", port, ZoneInfo("UTC"))
        try:
            span = window("2025-11-05T15:00", "2025-11-05T20:00")
            return await collector().collect(
                [camera], Endpoint.HEATMAP_TEMPORAL, span, lease=LocalLeases(), run_id=None
            )
        finally:
            server.close()

    collection = asyncio.run(run())
    assert collection.rows.heat_value.tolist() == [15.0, 16.0, 17.0]
    assert collection.rows.is_final.tolist() == [True, True, False]
    assert set(collection.log.clock_offset_seconds) == {-18_000.0}


@pytest.mark.parametrize("beyond", ["zero", "missing"])
def test_days_that_the_camera_no_longer_holds_are_not_zeros(beyond: str) -> None:
    switches = replace(Switches(), retention_days=1).with_text(f"beyond_retention={beyond}")
    span = window("2025-11-03T05:00", "2025-11-05T05:00")
    with fleet(simulated(switches=switches)) as served:
        (camera,) = registered(served)
        declared = replace(camera, retention_days={Endpoint.PEOPLE_COUNTING: 1})
        collection = collect([declared], Endpoint.PEOPLE_COUNTING, span)
        check_contract(collection)
        assert readings(collection) == truth(served, "door", Endpoint.PEOPLE_COUNTING, TUESDAY)
        log = collection.log.set_index("hour_start").outcome
        assert set(log[: pd.Timestamp("2025-11-04T04:59Z")]) == {"beyond_retention"}
        assert set(log[pd.Timestamp("2025-11-04T05:00Z") :]) == {"ok"}
        if beyond == "zero":
            # Nobody declared that the camera forgets: a day of zeros is then what it says.
            assert len(collect([camera], Endpoint.PEOPLE_COUNTING, span).rows) == 48


def test_a_quiet_day_within_retention_is_a_day_of_zeros() -> None:
    quiet = SimulatedCamera("door", ZONE, Generated(visitors_per_day=0.0, passersby_per_day=0.0))
    with fleet(quiet) as served:
        (camera,) = registered(served)
        declared = replace(camera, retention_days={Endpoint.PEOPLE_COUNTING: 2})
        assert outcomes(collect([declared], Endpoint.PEOPLE_COUNTING, MONDAY)) == {"ok"}


def test_one_request_in_flight_for_each_address() -> None:
    with fleet(simulated("a"), simulated("b"), latency_seconds=0.01) as served:
        a, b = registered(served)
        twin = replace(a, sensor_id=UUID(int=9), name="twin")
        collections = asyncio.run(
            collector().collect_many(
                [a, b, twin],
                list(TABLES),
                window("2025-11-01T00:00", "2025-11-05T18:00"),
                lease=LocalLeases(),
                run_id=None,
            )
        )
        assert served.served("a").max_in_flight == served.served("b").max_in_flight == 1
        assert served.served("a").requests == 2 * served.served("b").requests
        assert served.served("a").connections == 1
        for collection in collections.values():
            check_contract(collection)
            assert readings(collection, a) == readings(collection, twin)


def test_sweeps_in_other_threads_take_turns() -> None:
    with fleet(simulated(), latency_seconds=0.01) as served:
        cameras = registered(served)
        leases = LocalLeases(poll_seconds=0.001)
        found: list[Collection] = []

        def sweep() -> None:
            found.append(
                collector(replace(SETTINGS, lease_seconds=0.02)).collect_sync(
                    cameras,
                    Endpoint.PEOPLE_COUNTING,
                    window("2025-11-01T00:00", "2025-11-05T00:00"),
                    lease=leases,
                    run_id=None,
                )
            )

        threads = [threading.Thread(target=sweep) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert [outcomes(collection) for collection in found] == [{"ok"}] * 3
        assert served.served("door").max_in_flight == 1


def test_a_camera_that_another_run_keeps_is_busy() -> None:
    with fleet(simulated()) as served:
        (camera,) = registered(served)
        leases = LocalLeases(wait_seconds=0.05)

        async def run() -> dict[Endpoint, Collection]:
            async with leases.hold(camera):
                return await collector().collect_many([camera], HISTORY_ENDPOINTS, MONDAY, lease=leases, run_id=None)

        for collection in asyncio.run(run()).values():
            check_contract(collection)
            assert outcomes(collection) == {"busy"}
            assert set(collection.log.attempts) == {0}
            assert collection.log.latency_ms.isna().all()
            assert collection.log.error.str.contains("another run keeps the camera").all()
        assert served.served("door").requests == 0


class Ledger:
    """A lease keeper that notes who holds what, and refuses one camera after it was granted once."""

    def __init__(self, refuse_after: int) -> None:
        self.granted = 0
        self.refuse_after = refuse_after

    def hold(self, camera: Camera) -> AbstractAsyncContextManager[None]:
        return self._hold()

    @asynccontextmanager
    async def _hold(self) -> AsyncIterator[None]:
        if self.granted == self.refuse_after:
            raise LeaseTimeoutError("192.0.2.10:80 stayed taken for 1 s")
        self.granted += 1
        yield


def test_others_get_a_turn_between_two_questions() -> None:
    with fleet(simulated()) as served:
        cameras = registered(served)
        span = window("2025-11-01T04:00", "2025-11-05T05:00")
        impatient = collector(replace(SETTINGS, lease_seconds=0.0))
        ledger = Ledger(refuse_after=2)
        collection = impatient.collect_sync(cameras, Endpoint.PEOPLE_COUNTING, span, lease=ledger, run_id=None)
        assert ledger.granted == 2
        assert served.served("door").requests == 2
        assert collection.log.outcome.value_counts().to_dict() == {"ok": 24 + 25, "busy": 48}


@pytest.mark.parametrize(("kind", "outcome"), [(FaultKind.REFUSED, "refused"), (FaultKind.SLOW, "timeout")])
def test_a_dead_camera_costs_few_questions(kind: FaultKind, outcome: str) -> None:
    with fleet(simulated()) as served:
        cameras = registered(served)
        served.set_faults("door", [Fault(kind, delay_seconds=600)])
        settings = replace(SETTINGS, http=replace(SETTINGS.http, total_seconds=0.05))
        collection = collect(
            cameras,
            Endpoint.PEOPLE_COUNTING,
            window("2025-10-25T04:00", "2025-11-01T04:00"),
            collector(settings),
        )
    check_contract(collection)
    assert outcomes(collection) == {outcome}
    by_day = collection.log.iloc[::24]
    assert by_day.attempts.tolist() == [3, 1, 1, 0, 0, 0, 0]
    assert by_day.latency_ms.isna().tolist() == [False] * 3 + [True] * 4
    assert "not asked, since the 3 questions before it" in by_day.error.iloc[3]


def test_a_fault_that_passes_costs_a_try_and_nothing_else() -> None:
    with fleet(simulated(faults=[Fault(FaultKind.HTML_LOGIN, rate=0.5)])) as served:
        cameras = registered(served)
        span = window("2025-10-25T04:00", "2025-11-01T04:00")
        patient = collector(replace(SETTINGS, http=replace(SETTINGS.http, tries=30)))
        collection = collect(cameras, Endpoint.PEOPLE_COUNTING, span, patient)
        assert outcomes(collection) == {"ok"}
        assert collection.log.attempts.max() > 1
        assert collection.rejected.empty
        assert readings(collection) == truth(served, "door", Endpoint.PEOPLE_COUNTING, span)


def test_a_camera_without_its_secret_is_not_asked() -> None:
    with fleet(simulated("a"), simulated("b")) as served:
        a, b = registered(served)
        unknown = replace(a, credentials=None, credentials_error="env:DOOR_PASSWORD is not set; set it")
        collection = collect([unknown, b], Endpoint.PEOPLE_COUNTING, MONDAY)
        check_contract(collection)
        assert outcomes(collection, unknown) == {"missing_secret"}
        assert collection.log.error.dropna().str.contains("env:DOOR_PASSWORD is not set").all()
        assert outcomes(collection, b) == {"ok"}
        assert served.served("a").requests == 0


def test_wrong_credentials_and_blocked_addresses() -> None:
    with fleet(simulated()) as served:
        (camera,) = registered(served)
        wrong = replace(camera, credentials=Credentials("admin", "guess"))
        assert outcomes(collect([wrong], Endpoint.PEOPLE_COUNTING, MONDAY)) == {"unauthorized"}
        assert served.served("door").requests == 1
        narrow = collector(replace(SETTINGS, networks=AllowedNetworks(["192.0.2.0/24"])))
        assert outcomes(collect([camera], Endpoint.PEOPLE_COUNTING, MONDAY, narrow)) == {"address_blocked"}
        assert served.served("door").requests == 1


def test_an_unknown_vendor_is_refused() -> None:
    camera = Camera(UUID(int=1), "door", "127.0.0.1", 1, ZoneInfo("UTC"), vendor="acme")
    with pytest.raises(ConfigurationError, match="camera door: no connector speaks 'acme'"):
        collect([camera], Endpoint.PEOPLE_COUNTING, MONDAY)


def test_a_camera_is_asked_only_for_its_own_endpoints() -> None:
    with fleet(simulated()) as served:
        (camera,) = registered(served)
        without = replace(camera, endpoints=frozenset({Endpoint.HEATMAP_TEMPORAL}))
        collection = collect([without], Endpoint.PEOPLE_COUNTING, MONDAY)
        check_contract(collection)
        assert collection.log.empty
        assert served.served("door").requests == 0


def test_no_cameras_give_empty_frames() -> None:
    for endpoint in TABLES:
        check_contract(collect([], endpoint, THIS_HOUR))


def test_progress_is_told_for_each_camera() -> None:
    told: dict[str, Sequence[CameraAnswer]] = {}
    with fleet(simulated("good"), simulated("bad", faults=[Fault(FaultKind.NOT_FOUND)])) as served:
        collector().collect_sync(
            registered(served),
            Endpoint.PEOPLE_COUNTING,
            MONDAY,
            lease=LocalLeases(),
            run_id=None,
            on_camera=lambda camera, answers: told.update({camera.name: answers}),
        )
    assert [(answer.local_day, answer.outcome) for answer in told["good"]] == [(date(2025, 11, 3), Outcome.OK)]
    assert told["bad"][0].outcome is Outcome.NOT_FOUND
    assert "its firmware may lack this report" in (told["bad"][0].error or "")


def test_the_fleet_bound_holds() -> None:
    running_now = most = 0
    full = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running_now, most
        await reader.readuntil(b"\r\n\r\n")
        running_now += 1
        most = max(most, running_now)
        if running_now == 5:
            full.set()
        # The bound is reached before anybody is answered, and then there is time for one more.
        await full.wait()
        await asyncio.sleep(0.02)
        running_now -= 1
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def run() -> None:
        servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range(20)]
        cameras = [
            Camera(UUID(int=number), f"c{number}", "127.0.0.1", server.sockets[0].getsockname()[1], ZoneInfo("UTC"))
            for number, server in enumerate(servers, start=1)
        ]
        try:
            bounded = collector(replace(SETTINGS, in_flight=5))
            await bounded.collect(cameras, Endpoint.PEOPLE_COUNTING, MONDAY, lease=LocalLeases(), run_id=None)
        finally:
            for server in servers:
                server.close()

    asyncio.run(run())
    assert most == 5


def test_a_probe_records_what_each_capability_answered() -> None:
    lacking = Switches().with_text("spatial_heat_map=502").with_text("region_stays=404")
    with fleet(simulated(switches=lacking)) as served:
        (camera,) = registered(served)
        found = asyncio.run(probe(camera, SETTINGS, lease=LocalLeases(), clock=lambda: NOW, rng=random.Random(1)))
        assert {name: found[name].status for name in TABLES} == dict.fromkeys(TABLES, "supported")
        assert set(found) == {*Endpoint, *OPTIONAL_CAPABILITIES}
        spatial, stays = found[Endpoint.SPATIAL_HEATMAP], found[Endpoint.REGION_STAYS]
        assert (spatial.status, spatial.http_status) == ("broken", 502)
        assert (stays.status, stays.http_status) == ("absent", 404)
        assert (found["system_info"].status, found["system_info"].http_status) == ("unauthorized", 401)
        assert (found["stream"].status, found["stream"].http_status) == ("absent", 404)
        assert served.served("door").max_in_flight == 1
        assert json.loads(json.dumps(found["stream"].as_json()))["status"] == "absent"


def test_a_probe_finds_what_many_cameras_lack() -> None:
    with fleet(simulated()) as served:
        (camera,) = registered(served)
        found = asyncio.run(probe(camera, SETTINGS, lease=LocalLeases(), clock=lambda: NOW, rng=random.Random(1)))
        assert {found[endpoint].status for endpoint in DAY_ENDPOINTS} == {"supported"}


def test_a_probe_of_a_dead_camera_says_so() -> None:
    with fleet(simulated()) as served:
        (camera,) = registered(served)
        served.set_faults("door", [Fault(FaultKind.REFUSED)])
        found = asyncio.run(probe(camera, SETTINGS, lease=LocalLeases(), clock=lambda: NOW, rng=random.Random(1)))
    assert {result.status for result in found.values()} == {"unreachable"}
