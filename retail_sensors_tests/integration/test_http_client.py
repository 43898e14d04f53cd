"""What the HTTP client makes of everything that a socket can do to it; each test has a server of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from retail_sensors.connectors.base import Camera, Credentials, Outcome
from retail_sensors.connectors.http import Answer, CameraHttp, DigestMemory, HttpSettings, Judge
from retail_sensors.connectors.networks import AllowedNetworks, GuardedResolver
from retail_sensors.errors import ConfigurationError

NOW = datetime(2025, 7, 22, 12, 0, 0, 400_000, tzinfo=UTC)
PATIENT = HttpSettings(connect_seconds=30.0, total_seconds=30.0, backoff_seconds=0.01, max_bytes=100_000)
"""For whoever answers: on a busy machine nothing of it is used up, on one that stands still seconds are."""
TARGET = "/dataloader.cgi?dw=vcalogcsv&time_start=2025-07-22-00:00:00"

Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def response(body: bytes, status: str = "200 OK", *headers: str, length: int | None = -1) -> bytes:
    """A whole HTTP response; `length` None announces none, any other than -1 a false one."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """A socket server that answers the n-th request with the n-th handler, and the last handler ever after."""

    def __init__(self, *handlers: Handler | bytes) -> None:
        self.handlers = handlers
        self.requests: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                handler = self.handlers[min(len(self.requests), len(self.handlers) - 1)]
                self.requests.append(head.decode("latin-1"))
                if isinstance(handler, bytes):
                    writer.write(handler)
                    await writer.drain()
                    if b"Content-Length" not in handler:
                        return
                else:
                    await handler(head, reader, writer)
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[int]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


def camera(port: int, credentials: Credentials | None = None, host: str = "127.0.0.1") -> Camera:
    return Camera(UUID(int=1), "door", host, port, ZoneInfo("UTC"), credentials=credentials)


@asynccontextmanager
async def client(
    settings: HttpSettings = PATIENT, networks: AllowedNetworks | None = None, digests: DigestMemory | None = None
) -> AsyncIterator[CameraHttp]:
    async with CameraHttp(
        settings, networks or AllowedNetworks(), rng=random.Random(1), clock=lambda: NOW, digests=digests
    ) as http:
        yield http


def ask(
    server: Server,
    settings: HttpSettings = PATIENT,
    *,
    credentials: Credentials | None = None,
    judge: Judge | None = None,
    times: int = 1,
) -> list[Answer]:
    async def run() -> list[Answer]:
        async with listening(server) as port, client(settings) as http:
            return [
                await http.get(camera(port, credentials), TARGET, subject="people_counting", judge=judge)
                for _ in range(times)
            ]

    return asyncio.run(run())


async def hang(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def reset(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def reset_in_mid_body(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"half", length=100))
    await writer.drain()
    await asyncio.sleep(0.05)
    await reset(head, reader, writer)


async def hang_in_mid_body(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"half", length=100))
    await reader.read()


async def close_at_once(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def truncate(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"half", length=100))


async def truncate_chunked(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal")


async def endless(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"", length=None))
    while True:
        writer.write(b"x" * 50_000)
        await writer.drain()


async def endless_header(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x" * 50_000)
        await writer.drain()


GOOD = response(b"data\n")


def test_a_good_answer_the_first_time() -> None:
    server = Server(GOOD)
    began = time.perf_counter()
    (answer,) = ask(server)
    took_ms = (time.perf_counter() - began) * 1000.0
    assert (answer.outcome, answer.http_status, answer.body, answer.attempts) == (Outcome.OK, 200, b"data\n", 1)
    assert answer.error is None
    assert answer.is_framed
    assert answer.asked_at == NOW
    assert answer.latency_ms is not None
    assert 0 < answer.latency_ms < took_ms
    assert server.requests[0].startswith(f"GET {TARGET} HTTP/1.1\r\n")
    assert "authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("handler", "outcome", "attempts"),
    [
        (hang, Outcome.TIMEOUT, 3),
        (hang_in_mid_body, Outcome.TIMEOUT, 3),
        (reset, Outcome.RESET, 3),
        (reset_in_mid_body, Outcome.RESET, 3),
        (close_at_once, Outcome.RESET, 3),
        (truncate, Outcome.TRUNCATED, 3),
        (truncate_chunked, Outcome.TRUNCATED, 3),
        (endless, Outcome.TOO_LARGE, 1),
        (endless_header, Outcome.NOT_DATA, 3),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Outcome.NOT_DATA, 3),
        (response(b""), Outcome.EMPTY_BODY, 3),
        (response(b" \r\n"), Outcome.EMPTY_BODY, 3),
        (response(b"x" * 200_000), Outcome.TOO_LARGE, 1),
        (response(b"", "302 Found", "Location: http://127.0.0.1:1/"), Outcome.HTTP_ERROR, 1),
        (response(b"", "400 Bad Request"), Outcome.HTTP_ERROR, 1),
        (response(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'), Outcome.UNAUTHORIZED, 1),
        (response(b"", "403 Forbidden"), Outcome.UNAUTHORIZED, 1),
        (response(b"", "404 Not Found"), Outcome.NOT_FOUND, 1),
        (response(b"", "429 Too Many Requests"), Outcome.RATE_LIMITED, 3),
        (response(b"", "500 Oops"), Outcome.SERVER_ERROR, 3),
        (response(b"", "502 Bad Gateway"), Outcome.SERVER_ERROR, 3),
        (response(b"", "503 Busy"), Outcome.SERVER_ERROR, 3),
    ],
)
def test_every_fault_has_its_name(handler: Handler | bytes, outcome: Outcome, attempts: int) -> None:
    server = Server(handler)
    (answer,) = ask(server, replace(PATIENT, total_seconds=0.15) if outcome is Outcome.TIMEOUT else PATIENT)
    assert answer.outcome is outcome
    assert answer.attempts == len(server.requests) == attempts
    assert answer.error is not None
    assert answer.error.startswith("camera door (127.0.0.1:")
    assert "people_counting" in answer.error


@pytest.mark.parametrize("handler", [hang_in_mid_body, reset_in_mid_body, truncate])
def test_what_arrived_before_a_break_is_kept(handler: Handler) -> None:
    # One that goes on in silence is given up; the others end by themselves.
    seconds = 1.0 if handler is hang_in_mid_body else PATIENT.total_seconds
    (answer,) = ask(Server(handler), replace(PATIENT, total_seconds=seconds, tries=1))
    assert (answer.http_status, answer.body) == (200, b"half")


def test_refused() -> None:
    async def run(port: int) -> Answer:
        async with client() as http:
            return await http.get(camera(port), TARGET, subject="people_counting")

    # Bound and not listening: nobody else is given the port meanwhile.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        answer = asyncio.run(run(deaf.getsockname()[1]))
    assert (answer.outcome, answer.attempts, answer.http_status) == (Outcome.REFUSED, 3, None)
    assert "check that it is powered" in (answer.error or "")


def test_a_connection_that_nobody_accepts_times_out_early() -> None:
    async def run() -> tuple[Answer, float]:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            address = full.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            for other in waiting:
                other.setblocking(False)
                other.connect_ex(address)
            settings = HttpSettings(connect_seconds=0.2, total_seconds=300.0, tries=1)
            began = asyncio.get_running_loop().time()
            async with client(settings) as http:
                answer = await http.get(camera(address[1]), TARGET, subject="people_counting")
            for other in waiting:
                other.close()
            return answer, asyncio.get_running_loop().time() - began

    answer, seconds = asyncio.run(run())
    assert answer.outcome is Outcome.TIMEOUT
    assert "did not accept a connection within 0.2 s" in (answer.error or "")
    assert seconds < 100


@pytest.mark.parametrize("fault", [reset, truncate, hang, response(b""), response(b"", "503 Busy")])
def test_a_fault_that_passes_is_forgotten(fault: Handler | bytes) -> None:
    # What answers after a silence is given no more time than the silence itself.
    (answer,) = ask(Server(fault, GOOD), replace(PATIENT, total_seconds=6.0) if fault is hang else PATIENT)
    assert (answer.outcome, answer.attempts, answer.error, answer.body) == (Outcome.OK, 2, None, b"data\n")


def test_a_body_that_the_judge_refuses_is_asked_for_again() -> None:
    def judge(body: bytes, is_framed: bool) -> tuple[Outcome, str | None]:
        return (Outcome.OK, None) if body == b"data\n" else (Outcome.NOT_DATA, "the body is a page")

    server = Server(response(b"<html>"), GOOD)
    (answer,) = ask(server, judge=judge)
    assert (answer.outcome, answer.attempts) == (Outcome.OK, 2)
    (answer,) = ask(Server(response(b"<html>")), judge=judge)
    assert (answer.outcome, answer.attempts) == (Outcome.NOT_DATA, 3)
    assert "the body is a page after 3 tries" in (answer.error or "")


def test_the_judge_is_told_whether_the_end_was_announced() -> None:
    framed: list[bool] = []

    def judge(body: bytes, is_framed: bool) -> tuple[Outcome, str | None]:
        framed.append(is_framed)
        return Outcome.OK, None

    ask(Server(response(b"data", length=None)), judge=judge)
    ask(Server(GOOD), judge=judge)
    assert framed == [False, True]


def test_retry_after_is_honoured_within_a_bound() -> None:
    async def run(settings: HttpSettings) -> float:
        server = Server(response(b"", "429 Slow", "Retry-After: 1000"), GOOD)
        async with listening(server) as port, client(settings) as http:
            began = asyncio.get_running_loop().time()
            answer = await http.get(camera(port), TARGET, subject="people_counting")
            assert answer.outcome is Outcome.OK
            return asyncio.get_running_loop().time() - began

    assert 0.3 <= asyncio.run(run(replace(PATIENT, retry_after_max_seconds=0.3))) < 100


def test_the_date_header_tells_the_clock_offset() -> None:
    (answer,) = ask(Server(response(b"data", "200 OK", "Date: Tue, 22 Jul 2025 12:05:00 GMT")))
    assert answer.clock_offset_seconds == 300.0
    for nonsense in ("yesterday", "Tue, 99 Jul 2025 99:00:00 GMT", ""):
        (answer,) = ask(Server(response(b"data", "200 OK", f"Date: {nonsense}")))
        assert (answer.outcome, answer.clock_offset_seconds) == (Outcome.OK, None)


def test_a_connection_is_used_again() -> None:
    server = Server(GOOD)
    ask(server, times=3)
    assert (len(server.requests), server.connections) == (3, 1)


def test_basic_comes_with_the_first_request() -> None:
    server = Server(GOOD)
    ask(server, credentials=Credentials("reader", "pass:wörd"))
    expected = base64.b64encode("reader:pass:wörd".encode()).decode()
    assert f"authorization: basic {expected}".lower() in server.requests[0].lower()


class DigestCamera:
    """A server that takes Digest only, and gives a new nonce after `uses` requests."""

    def __init__(self, password: str, uses: int = 1000, algorithm: str = "MD5") -> None:
        self.password = password
        self.uses = uses
        self.algorithm = algorithm
        self.statuses: list[int] = []
        self.nonce = 0
        self.used = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                accepted = self.accepts(head)
                self.statuses.append(200 if accepted else 401)
                if accepted:
                    self.used += 1
                    writer.write(GOOD)
                else:
                    self.nonce, self.used = self.nonce + 1, 0
                    challenge = f'Digest realm="cam", qop="auth", nonce="n{self.nonce}", algorithm={self.algorithm}'
                    writer.write(response(b"denied", "401 Unauthorized", f"WWW-Authenticate: {challenge}"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def accepts(self, head: str) -> bool:
        header = re.search(r"^authorization: digest (.*)$", head, re.IGNORECASE | re.MULTILINE)
        if header is None or self.used >= self.uses:
            return False
        fields = {
            name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', header[1])
        }

        def digest(text: str) -> str:
            return hashlib.new("sha256" if self.algorithm == "SHA-256" else "md5", text.encode()).hexdigest()

        secret = digest(f"{fields['username']}:cam:{self.password}")
        request = digest(f"GET:{head.split(' ')[1]}")
        expected = digest(f"{secret}:n{self.nonce}:{fields['nc']}:{fields['cnonce']}:auth:{request}")
        return fields["nonce"] == f"n{self.nonce}" and fields["response"] == expected


async def ask_digest(served: DigestCamera, password: str, times: int, digests: DigestMemory) -> list[Answer]:
    listener = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        answers = []
        for _ in range(times):
            # A new client each time: what it learned must outlive it.
            async with client(digests=digests) as http:
                door = camera(port, Credentials("reader", password))
                answers += [await http.get(door, TARGET, subject="people_counting") for _ in range(2)]
        return answers
    finally:
        listener.close()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_digest_costs_one_challenge_for_all_requests(algorithm: str) -> None:
    served = DigestCamera("secret", algorithm=algorithm)
    answers = asyncio.run(ask_digest(served, "secret", 2, {}))
    assert [answer.outcome for answer in answers] == [Outcome.OK] * 4
    assert [answer.attempts for answer in answers] == [1] * 4
    assert served.statuses == [401, 200, 200, 200, 200]


def test_a_digest_nonce_that_ran_out_is_renewed() -> None:
    served = DigestCamera("secret", uses=2)
    answers = asyncio.run(ask_digest(served, "secret", 2, {}))
    assert [answer.outcome for answer in answers] == [Outcome.OK] * 4
    assert served.statuses == [401, 200, 200, 401, 200, 200]


def test_a_wrong_digest_password_is_unauthorized_and_not_tried_again() -> None:
    served = DigestCamera("secret")
    answers = asyncio.run(ask_digest(served, "guess", 1, {}))
    assert {answer.outcome for answer in answers} == {Outcome.UNAUTHORIZED}
    assert "password reference" in (answers[0].error or "")
    assert "guess" not in (answers[0].error or "")


@pytest.mark.parametrize(
    "challenge",
    [
        "Digest nonsense",
        'Digest realm="x", nonce="n", algorithm=ROT13',
        'Digest realm="x", nonce="n", qop="auth-int"',
    ],
)
def test_a_challenge_that_nobody_can_answer_is_unauthorized(challenge: str) -> None:
    server = Server(response(b"", "401 Unauthorized", f"WWW-Authenticate: {challenge}"))
    (answer,) = ask(server, credentials=Credentials("reader", "secret"))
    assert answer.outcome is Outcome.UNAUTHORIZED


def test_a_camera_that_went_back_to_basic_is_answered() -> None:
    digest = response(b"", "401 Unauthorized", 'WWW-Authenticate: Digest realm="x", nonce="n", qop="auth"')
    basic = response(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"')
    server = Server(digest, GOOD, basic, GOOD)
    answers = ask(server, credentials=Credentials("reader", "secret"), times=2)
    assert [answer.outcome for answer in answers] == [Outcome.OK, Outcome.OK]
    assert "authorization: basic" in server.requests[3].lower()


@pytest.mark.parametrize(
    "host",
    [
        "198.51.100.7",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "::ffff:169.254.169.254",
        "[fe80::1]",
        "fd00:ec2::254",
        "127.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1@198.51.100.7",
        "127.0.0.1/path?",
        "a..b",
        "",
    ],
)
def test_hosts_outside_the_allowed_networks_are_never_asked(host: str) -> None:
    async def run() -> Answer:
        async with client() as http:
            return await http.get(camera(80, host=host), TARGET, subject="people_counting")

    answer = asyncio.run(run())
    assert (answer.outcome, answer.attempts, answer.latency_ms) == (Outcome.ADDRESS_BLOCKED, 0, None)
    assert "allowed networks" in (answer.error or "")


def test_a_name_is_judged_by_the_address_that_it_resolves_to() -> None:
    async def run(networks: AllowedNetworks) -> Answer:
        server = Server(GOOD)
        async with listening(server) as port, client(networks=networks) as http:
            return await http.get(camera(port, host="localhost"), TARGET, subject="people_counting")

    assert asyncio.run(run(AllowedNetworks())).outcome is Outcome.OK
    blocked = asyncio.run(run(AllowedNetworks(["192.0.2.0/24"])))
    assert blocked.outcome is Outcome.ADDRESS_BLOCKED
    assert blocked.attempts == 1
    assert "localhost resolves to" in (blocked.error or "")


def test_a_resolver_keeps_only_the_allowed_addresses_of_a_name() -> None:
    async def run() -> list[str]:
        resolver = GuardedResolver(AllowedNetworks(["127.0.0.0/8"]))
        try:
            return [found["host"] for found in await resolver.resolve("localhost", 80, socket.AF_UNSPEC)]
        finally:
            await resolver.close()

    assert set(asyncio.run(run())) == {"127.0.0.1"}


def test_a_name_that_does_not_exist_is_refused() -> None:
    async def run() -> Answer:
        async with client(replace(PATIENT, tries=1)) as http:
            return await http.get(camera(80, host="camera.invalid"), TARGET, subject="people_counting")

    answer = asyncio.run(run())
    assert answer.outcome is Outcome.REFUSED
    assert "does not resolve" in (answer.error or "")


def test_allowed_networks() -> None:
    networks = AllowedNetworks()
    allowed = ["10.1.2.3", "172.31.0.1", "192.168.0.9", "127.0.0.1", "::1", "fd12::1", "::ffff:10.0.0.1"]
    assert all(networks.allows(address) for address in allowed)
    refused = ["172.32.0.1", "8.8.8.8", "100.100.100.200", "::ffff:8.8.8.8", "2001:db8::1", "localhost", "fe80::1%eth0"]
    assert not any(networks.allows(address) for address in refused)
    assert not AllowedNetworks(["169.254.0.0/16"]).allows("169.254.169.254")
    with pytest.raises(ConfigurationError, match=r"'10\.0\.0\.1/8' is not a network"):
        AllowedNetworks(["10.0.0.1/8"])


def test_the_environment_does_not_send_questions_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    (answer,) = ask(Server(GOOD))
    assert answer.outcome is Outcome.OK
