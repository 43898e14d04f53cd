"""The simulated fleet over real sockets: HTTP, the login, every fault as a client meets it, and the command."""

from __future__ import annotations

import asyncio
import base64
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
import yaml

from retail_sensors.connectors.base import Endpoint
from retail_sensors.errors import ConfigurationError
from retail_sensors.simulator.camera import DEFAULT_PASSWORD, SimulatedCamera
from retail_sensors.simulator.fleet import (
    DEMO_MISBEHAVING,
    SimulatedFleet,
    demo_fleet,
    fleet_file,
    running,
    uniform_cameras,
)
from retail_sensors.simulator.switches import Fault, FaultKind, Switches
from retail_sensors.simulator.traffic import Generated
from retail_sensors_tests.installations import free_ports

NOW = datetime(2026, 3, 6, 15, 30, tzinfo=UTC)
PEOPLE = "/dataloader.cgi?dw=vcalogcsv&report_type=0&linetype=31&statistics_type=3&time_start=2026-03-05-00:00:00"
HEAT = "/dataloader.cgi?dw=heatmapcsv&sub_type=0&time_start=2026-03-05-00:00:00"
ALARM = "/cgi-bin/operator/operator.cgi?action=get.vca.alarmstatus"
BASIC = {"Authorization": "Basic " + base64.b64encode(f"admin:{DEFAULT_PASSWORD}".encode()).decode()}


def camera(name: str = "door", **more: object) -> SimulatedCamera:
    return SimulatedCamera(name, "Europe/Lisbon", Generated(seed=4), **more)  # type: ignore[arg-type]


@contextmanager
def serving(*cameras: SimulatedCamera, latency_seconds: float = 0.0, seed: int = 0) -> Iterator[SimulatedFleet]:
    fleet = SimulatedFleet(cameras, clock=lambda: NOW, latency_seconds=latency_seconds, seed=seed)
    with running(fleet):
        yield fleet


def get(
    fleet: SimulatedFleet, name: str = "door", target: str = PEOPLE, headers: dict[str, str] = BASIC
) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection(*fleet.address(name), timeout=60)) as connection:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


@contextmanager
def asked(fleet: SimulatedFleet, name: str = "door") -> Iterator[socket.socket]:
    """A connection on which a question was sent and nothing read yet."""
    with socket.create_connection(fleet.address(name), timeout=60) as raw:
        head = f"GET {PEOPLE} HTTP/1.1\r\nHost: a\r\nAuthorization: {BASIC['Authorization']}\r\n"
        raw.sendall(f"{head}Connection: close\r\n\r\n".encode())
        yield raw


def test_answers_keep_their_connection_and_are_counted() -> None:
    with serving(camera(), camera("other")) as fleet:
        with closing(http.client.HTTPConnection(*fleet.address("door"), timeout=60)) as connection:
            for target in (PEOPLE, HEAT, ALARM, PEOPLE):
                connection.request("GET", target, headers=BASIC)
                response = connection.getresponse()
                assert response.read() == fleet.cameras["door"].answer(target, NOW).body
                assert response.status == 200
                assert parsedate_to_datetime(response.headers["Date"]) == NOW
        served = fleet.served("door")
        assert (served.requests, served.connections, served.in_flight, served.max_in_flight) == (4, 1, 0, 1)
        assert served.by_kind == {"vcalogcsv": 2, "heatmapcsv": 1, "alarm": 1}
        assert fleet.served("other").requests == 0
        assert fleet.requests == 4


def test_requests_in_pieces_and_requests_in_one_go() -> None:
    request = f"GET {ALARM} HTTP/1.1\r\nHost: a\r\nAuthorization: {BASIC['Authorization']}\r\n"
    with serving(camera()) as fleet, socket.create_connection(fleet.address("door"), timeout=60) as raw:
        for piece in (request[:10], request[10:]):
            raw.sendall(piece.encode())
            time.sleep(0.01)
        raw.sendall(f"\r\n{request}\r\n{request}Connection: close\r\n\r\n".encode())
        received = b""
        while chunk := raw.recv(65536):
            received += chunk
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert received.count(b"var current_in_count=") == 3


def test_basic_login() -> None:
    with serving(camera()) as fleet:
        status, headers, _ = get(fleet, headers={})
        assert status == 401
        assert headers["WWW-Authenticate"].startswith("Basic realm=")
        wrong = base64.b64encode(b"admin:wrong").decode()
        assert get(fleet, headers={"Authorization": f"Basic {wrong}"})[0] == 401
        assert get(fleet)[0] == 200
    with serving(camera(username="")) as fleet:
        assert get(fleet, headers={})[0] == 200


def test_digest_login_as_an_independent_client_speaks_it() -> None:
    with serving(camera(switches=Switches(auth="digest"))) as fleet:
        host, port = fleet.address("door")
        assert get(fleet)[0] == 401
        with httpx.Client(base_url=f"http://{host}:{port}", auth=httpx.DigestAuth("admin", DEFAULT_PASSWORD)) as client:
            answers = [client.get(PEOPLE) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200] * 3
            used = answers[-1].request.headers["Authorization"]
            # A recorded authorization is worth nothing: its nonce count has been used.
            assert get(fleet, headers={"Authorization": used})[0] == 401
        bad = httpx.get(f"http://{host}:{port}{PEOPLE}", auth=httpx.DigestAuth("admin", "wrong"))
        assert bad.status_code == 401
        assert 'qop="auth"' in bad.headers["WWW-Authenticate"]


def test_latency_and_concurrency_are_seen() -> None:
    with serving(camera(), latency_seconds=0.5) as fleet:
        started = time.monotonic()
        with asked(fleet) as one, asked(fleet) as two, asked(fleet) as three:
            for raw in (one, two, three):
                assert raw.recv(12) == b"HTTP/1.1 200"
        assert time.monotonic() - started >= 0.5
        assert fleet.served("door").max_in_flight == 3
        assert fleet.served("door").in_flight == 0


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FaultKind.UNAUTHORIZED, 401),
        (FaultKind.NOT_FOUND, 404),
        (FaultKind.RATE_LIMITED, 429),
        (FaultKind.SERVER_ERROR_500, 500),
        (FaultKind.SERVER_ERROR_502, 502),
        (FaultKind.SERVER_ERROR_503, 503),
    ],
)
def test_faults_that_are_a_status(kind: FaultKind, status: int) -> None:
    with serving(camera(faults=[Fault(kind)])) as fleet:
        assert get(fleet)[0] == status


def test_faults_that_spoil_the_body() -> None:
    with serving(camera()) as fleet:
        good = get(fleet)[2]
        seen = {}
        for kind in (
            FaultKind.EMPTY,
            FaultKind.HTML_LOGIN,
            FaultKind.GARBAGE,
            FaultKind.DUPLICATE_ROWS,
            FaultKind.UNORDERED_ROWS,
            FaultKind.NEGATIVE_NUMBERS,
            FaultKind.HUGE_NUMBERS,
            FaultKind.OTHER_DAY,
        ):
            fleet.set_faults("door", [Fault(kind)])
            status, headers, body = get(fleet)
            assert (status, int(headers["Content-Length"])) == (200, len(body))
            assert get(fleet)[2] == body
            seen[kind] = body
        assert seen[FaultKind.EMPTY] == b""
        assert seen[FaultKind.HTML_LOGIN].startswith(b"<!DOCTYPE html>")
        assert b"2026/03/04 23:00:00" in seen[FaultKind.OTHER_DAY]
        assert seen[FaultKind.OTHER_DAY].endswith(good.split(b"\n", 1)[1])
        assert len({good, *seen.values()}) == 9
        fleet.set_faults("door", [])
        assert get(fleet)[2] == good


def test_faults_that_cut_the_answer() -> None:
    with serving(camera()) as fleet:
        good = get(fleet)[2]
        fleet.set_faults("door", [Fault(FaultKind.TRUNCATED)])
        with pytest.raises(http.client.IncompleteRead) as cut:
            get(fleet)
        assert cut.value.partial == good[: len(good) // 2]
        fleet.set_faults("door", [Fault(FaultKind.TRUNCATED, has_length=False)])
        assert get(fleet)[2] == good[: len(good) // 2]
        fleet.set_faults("door", [Fault(FaultKind.RESET_MID_BODY)])
        with closing(http.client.HTTPConnection(*fleet.address("door"), timeout=60)) as connection:
            connection.request("GET", PEOPLE, headers=BASIC)
            response = connection.getresponse()
            assert response.read(100) == good[:100]
            with pytest.raises(ConnectionResetError):
                response.read()


def test_an_endless_body_ends_with_its_reader_and_leaves_time_for_others() -> None:
    with serving(camera(faults=[Fault(FaultKind.ENDLESS)]), camera("other")) as fleet:
        with closing(http.client.HTTPConnection(*fleet.address("door"), timeout=60)) as connection:
            connection.request("GET", PEOPLE, headers=BASIC)
            response = connection.getresponse()
            assert response.headers["Content-Length"] is None
            assert len(response.read(3_000_000)) == 3_000_000
            assert get(fleet, "other")[0] == 200
            response.close()
        wait_until(lambda: fleet.served("door").in_flight == 0)


def test_a_slow_answer_is_the_right_one_and_holds_up_nobody_else() -> None:
    with serving(camera(faults=[Fault(FaultKind.SLOW, delay_seconds=600)]), camera("other")) as fleet:
        with asked(fleet) as waits:
            wait_until(lambda: fleet.served("door").in_flight == 1)
            assert get(fleet, "other")[0] == 200
            waits.setblocking(False)
            with pytest.raises(BlockingIOError):
                waits.recv(1)
        fleet.set_faults("door", [Fault(FaultKind.SLOW, delay_seconds=0.3)])
        started = time.monotonic()
        assert get(fleet)[2] == fleet.cameras["door"].answer(PEOPLE, NOW).body
        assert time.monotonic() - started >= 0.3


def test_a_refusing_camera_does_not_listen_and_comes_back_on_its_port() -> None:
    now = [NOW]
    fleet = SimulatedFleet([camera()], clock=lambda: now[0])
    with running(fleet):
        address = fleet.address("door")
        keeper = socket.create_connection(address, timeout=60)
        with keeper:
            fleet.set_faults("door", [Fault(FaultKind.REFUSED)])
            with pytest.raises(ConnectionRefusedError):
                get(fleet)
            with pytest.raises(ConnectionResetError):
                keeper.recv(1)
        hour = timedelta(hours=1)
        fleet.set_faults("door", [Fault(FaultKind.REFUSED, start=NOW + hour, end=NOW + 2 * hour)])
        assert fleet.address("door") == address
        assert get(fleet)[0] == 200
        now[0] = NOW + hour
        wait_until(lambda: is_refused(fleet))
        now[0] = NOW + 2 * hour
        wait_until(lambda: not is_refused(fleet))
        assert get(fleet)[0] == 200
        assert fleet.address("door") == address


def test_the_port_of_a_refusing_camera_is_given_to_nobody() -> None:
    with serving(camera()) as fleet:
        address = fleet.address("door")
        fleet.set_faults("door", [Fault(FaultKind.REFUSED)])
        with closing(socket.socket()) as other, pytest.raises(OSError, match="already in use"):
            other.bind(address)
        with pytest.raises(ConnectionRefusedError):
            get(fleet)
    with closing(socket.socket()) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(address)


def test_faults_start_refused_and_hit_only_their_endpoint() -> None:
    with serving(camera(faults=[Fault(FaultKind.REFUSED)])) as fleet:
        with pytest.raises(ConnectionRefusedError):
            get(fleet)
        fleet.set_faults("door", [Fault(FaultKind.REFUSED, endpoint=Endpoint.HEATMAP_TEMPORAL)])
        assert get(fleet)[0] == 200
        with pytest.raises(ConnectionResetError):
            get(fleet, target=HEAT)


def test_rates_are_met_and_drawn_anew_for_each_try_or_once_for_a_day() -> None:
    def outcomes(fault: Fault, seed: int, targets: list[str]) -> list[int]:
        with serving(camera(faults=[fault]), seed=seed) as fleet:
            return [get(fleet, target=target)[0] for target in targets]

    often = Fault(FaultKind.SERVER_ERROR_503, 0.5)
    tries = outcomes(often, 1, [PEOPLE] * 60)
    assert 15 < tries.count(503) < 45
    assert outcomes(often, 1, [PEOPLE] * 60) == tries
    assert outcomes(often, 2, [PEOPLE] * 60) != tries
    by_day = Fault(FaultKind.SERVER_ERROR_503, 0.5, per="day")
    days = [PEOPLE.replace("-03-05", f"-02-{day:02}") for day in range(1, 21)]
    found = outcomes(by_day, 1, days)
    assert 3 < found.count(503) < 17
    # Other parameters, another order, another run: a day that fails goes on failing.
    assert outcomes(by_day, 1, [f"{target}&time_end=2026-03-06-00:00:00" for target in reversed(days)]) == found[::-1]


def test_a_crooked_clock_shows_in_the_date_header() -> None:
    with serving(camera(faults=[Fault(FaultKind.CLOCK_OFFSET, offset_seconds=600)])) as fleet:
        assert parsedate_to_datetime(get(fleet)[1]["Date"]) == NOW + timedelta(minutes=10)


def test_the_demo_has_the_same_bad_days_every_time() -> None:
    def day_by_day(seed: int) -> dict[str, bytes | str]:
        fleet = demo_fleet(lambda: NOW, seed)
        found: dict[str, bytes | str] = {}
        with running(fleet):
            for day in range(1, 29):
                target = PEOPLE.replace("-03-05", f"-02-{day:02}")
                try:
                    found[target] = get(fleet, DEMO_MISBEHAVING, target)[2]
                except (http.client.HTTPException, ConnectionError) as error:
                    found[target] = type(error).__name__
            return found

    first = day_by_day(1)
    assert day_by_day(1) == first
    failed = [value for value in first.values() if isinstance(value, str)]
    assert {"ConnectionResetError", "IncompleteRead"} >= set(failed)
    assert 2 <= len(failed) <= 14


def test_the_fleet_file_says_what_the_registry_reads() -> None:
    fleet = demo_fleet(lambda: NOW)
    with running(fleet):
        structure = fleet_file(fleet, password="env:DEMO_PASSWORD")
    assert yaml.safe_load(yaml.safe_dump(structure)) == structure
    assert structure["organization"] == "Demo Retail"
    assert [store["timezone"] for store in structure["stores"]] == ["Europe/Lisbon", "America/New_York", "Asia/Kolkata"]
    assert len(structure["cameras"]) == 6
    assert {entry["store"] for entry in structure["cameras"]} == {store["name"] for store in structure["stores"]}
    first = structure["cameras"][0]
    assert (first["host"], first["port"]) == fleet.address("lisbon-main-door")
    assert first["lines"] == {1: "entrance", 2: "entrance", 4: "passerby"}
    assert first["regions"][3] == {"name": "Queue", "type": "queue", "role": "queue", "capacity": 15}
    assert first["password"] == "env:DEMO_PASSWORD"
    assert structure["stores"][0]["opening_hours"]["mon"] == "10:00-22:00"


def test_many_cameras_on_addresses_of_their_own() -> None:
    cameras = uniform_cameras(300, "Europe/Lisbon", free_ports(1))
    assert (cameras[253].host, cameras[254].host) == ("127.1.0.254", "127.1.1.1")
    fleet = SimulatedFleet(cameras[200:], clock=lambda: NOW)
    with running(fleet):
        for name in ("camera-0201", "camera-0255", "camera-0300"):
            assert get(fleet, name)[2] == fleet.cameras[name].answer(PEOPLE, NOW).body
        assert get(fleet, "camera-0201")[2] != get(fleet, "camera-0202")[2]


def test_a_fleet_serves_in_the_callers_own_loop() -> None:
    async def ask() -> list[int]:
        fleet = SimulatedFleet([camera()], clock=lambda: NOW)
        await fleet.start()
        try:
            seen = [await asyncio.to_thread(lambda: get(fleet)[0])]
            fleet.set_faults("door", [Fault(FaultKind.SERVER_ERROR_500)])
            return [*seen, await asyncio.to_thread(lambda: get(fleet)[0])]
        finally:
            await fleet.stop()

    assert asyncio.run(ask()) == [200, 500]


def test_what_cannot_be_served_is_said() -> None:
    with pytest.raises(ConfigurationError, match="door comes twice"):
        SimulatedFleet([camera(), camera()], clock=lambda: NOW)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        fleet = SimulatedFleet([camera(port=taken.getsockname()[1])], clock=lambda: NOW)
        with pytest.raises(ConfigurationError, match="camera door cannot listen"), running(fleet):
            pass
    with pytest.raises(ConfigurationError, match="no camera 'gate'"):
        fleet.address("gate")


def test_the_command_serves_a_recording_until_it_is_told_to_stop(tmp_path: Path) -> None:
    recording = tmp_path / "streets.csv"
    start = datetime.fromisoformat("2024-01-01T00:00")
    rows = [f"{start + timedelta(hours=hour):%Y-%m-%dT%H:%M},{hour},{2 * hour}" for hour in range(24 * 7)]
    recording.write_text("local_time,North,South\n" + "\n".join(rows) + "\n")
    file = tmp_path / "fleet.yaml"
    options = ["--replay", str(recording), "--timezone", "Europe/Dublin", "--site", "South", "--port", "0"]
    options += ["--fleet-file", str(file), "--replay-until", "2026-03-02T12:00:00", "--switch", "total_spelling=Total"]
    program = "import typer; from retail_sensors.simulator.cli import simulate; typer.run(simulate)"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Serving"):
                break
        address = re.search(r"South +http://([\d.]+):(\d+)", "".join(lines))
        assert address is not None, lines
        entry = yaml.safe_load(file.read_text())["cameras"][0]
        assert (entry["name"], entry["host"], str(entry["port"])) == ("South", *address.groups())
        question = PEOPLE.replace("2026-03-05", "2026-03-01")
        answer = httpx.get(f"http://{address[1]}:{address[2]}{question}", auth=("admin", DEFAULT_PASSWORD), timeout=60)
        # The recorded Sunday, the last of its week, is played on Sunday 2026-03-01.
        assert answer.text.splitlines()[1].startswith("2026/03/01 00:00:00,2026/03/01 00:59:59,288,0,288,288,0,288,")
        assert "Total - In" in answer.text
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "Stopped after 1 requests." in process.stdout.read()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def is_refused(fleet: SimulatedFleet) -> bool:
    """Whether nobody listens; between the instant and the closing of the listener connections are reset."""
    try:
        get(fleet)
    except ConnectionError as error:
        return isinstance(error, ConnectionRefusedError)
    return False


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
