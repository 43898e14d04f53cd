"""One simulated camera on a socket: HTTP, the login, and answers that break.

Here belong connections and what a fault does to them. What a good answer says is in `camera`, which cameras run
together is in `fleet`. HTTP is spoken by hand because the faults need the bare socket, and because a thousand cameras
share one core.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import secrets
import socket
import struct
from base64 import b64encode
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from retail_sensors.simulator.camera import Answer, SimulatedCamera, page, understand
from retail_sensors.simulator.damage import LOGIN_PAGE, damage
from retail_sensors.simulator.switches import Fault, FaultKind

REALM = "Milesight Network Camera"
_MAX_HEAD_BYTES = 65536
_STATUS_FAULTS = {
    FaultKind.UNAUTHORIZED: 401,
    FaultKind.NOT_FOUND: 404,
    FaultKind.RATE_LIMITED: 429,
    FaultKind.SERVER_ERROR_500: 500,
    FaultKind.SERVER_ERROR_502: 502,
    FaultKind.SERVER_ERROR_503: 503,
}
_DIGEST_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^,\s]+))')
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for no time: closing sends RST
_KEPT_NONCES = 128
_BACKLOG = 128


@dataclass(slots=True)
class Served:
    """What one camera has been asked since its fleet was made.

    requests: questions read, whatever became of them. by_kind: the same by `dw` value or `alarm`. connections: accepted.
    in_flight: questions read and not yet answered; max_in_flight: the most of them at one time.
    """

    requests: int = 0
    connections: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    headers: dict[str, str]
    keep_alive: bool


@lru_cache(maxsize=256)
def _http_date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


class Login:
    """Whether a request carries the camera's credentials: Basic, or Digest (MD5, qop auth) with our own nonces."""

    def __init__(self, camera: SimulatedCamera) -> None:
        self._camera = camera
        pair = f"{camera.username}:{camera.password}"
        self._basic = b64encode(pair.encode("utf-8")).decode("ascii")
        self._ha1 = _md5(f"{camera.username}:{REALM}:{camera.password}")
        self._nonces: OrderedDict[str, int] = OrderedDict()

    def challenge(self) -> str:
        """A value for `WWW-Authenticate`; each Digest challenge has a nonce of its own."""
        if self._camera.switches.auth == "basic":
            return f'Basic realm="{REALM}"'
        nonce = secrets.token_hex(16)
        self._nonces[nonce] = 0
        if len(self._nonces) > _KEPT_NONCES:
            self._nonces.popitem(last=False)
        return f'Digest realm="{REALM}", qop="auth", nonce="{nonce}", algorithm=MD5'

    def accepts(self, method: str, target: str, authorization: str) -> bool:
        """Whether the `Authorization` header opens `target`; a nonce count may not come twice."""
        if not self._camera.username:
            return True
        scheme, _, credentials = authorization.partition(" ")
        if self._camera.switches.auth == "basic":
            return scheme.lower() == "basic" and secrets.compare_digest(credentials.strip(), self._basic)
        return scheme.lower() == "digest" and self._accepts_digest(method, target, credentials)

    def _accepts_digest(self, method: str, target: str, credentials: str) -> bool:
        given = {name: quoted or bare for name, quoted, bare in _DIGEST_FIELD.findall(credentials)}
        nonce, count, uri = given.get("nonce", ""), given.get("nc", ""), given.get("uri", "")
        if given.get("username") != self._camera.username or given.get("qop") != "auth" or uri != target:
            return False
        try:
            number = int(count, 16)
        except ValueError:
            return False
        if self._nonces.get(nonce, number) >= number:
            return False
        expected = _md5(f"{self._ha1}:{nonce}:{count}:{given.get('cnonce', '')}:auth:{_md5(f'{method}:{uri}')}")
        if not secrets.compare_digest(expected, given.get("response", "")):
            return False
        self._nonces[nonce] = number
        return True


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


class CameraServer:
    """The listening side of one camera, in a running event loop.

    `clock` gives the true instant. Every answer waits for `latency_seconds`. `seed` decides which answers a fault with
    a rate hits.
    """

    def __init__(
        self, camera: SimulatedCamera, clock: Callable[[], datetime], latency_seconds: float, seed: int
    ) -> None:
        self.camera = camera
        self.clock = clock
        self.latency_seconds = latency_seconds
        self.served = Served()
        self.login = Login(camera)
        self.connections: set[_Connection] = set()
        self.address = (camera.host, camera.port)
        self._seed = seed
        self._listener: socket.socket | None = None
        # Bound to the address and not listening: nobody else is given the port of a camera that refuses.
        self._kept: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepted: set[asyncio.Task[Any]] = set()
        self._asked: Counter[str] = Counter()

    @property
    def is_listening(self) -> bool:
        """Whether the camera takes connections."""
        return self._listener is not None

    def open(self) -> None:
        """Listens, if it does not yet; a port once chosen by the system is kept."""
        if self._listener is not None:
            return
        listener = self._kept or self._bound()
        self._kept = None
        try:
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        self.address = listener.getsockname()[:2]
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._accept, listener)

    def _bound(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind(self.address)
        except BaseException:
            bound.close()
            raise
        return bound

    def refuse(self) -> None:
        """Stops listening and cuts every connection; the port stays the camera's own."""
        was_listening = self.is_listening
        # Also where it refuses already: what was accepted just before is a connection only now.
        self._cut()
        if was_listening:
            self._kept = self._bound()

    def close(self) -> None:
        """The same, and gives the port away."""
        self._cut()
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _cut(self) -> None:
        if self._listener is not None:
            assert self._loop is not None  # noqa: S101 - set together
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for connection in list(self.connections):
            connection.reset()

    async def closed(self) -> None:
        """Waits until the last connection is gone after `close`."""
        if self._accepted:
            await asyncio.wait(self._accepted)
        for connection in list(self.connections):
            await connection.gone.wait()

    def _accept(self, listener: socket.socket) -> None:
        # Not asyncio.Server: when it is closed just after it accepted, it leaves that connection open and unattended.
        loop = asyncio.get_running_loop()
        for _ in range(_BACKLOG):
            try:
                accepted, _peer = listener.accept()
            except OSError:
                return
            accepted.setblocking(False)
            task = loop.create_task(loop.connect_accepted_socket(lambda: _Connection(self, loop), accepted))
            self._accepted.add(task)
            task.add_done_callback(self._accepted.discard)

    def follow_schedule(self) -> None:
        """Listens or does not listen, as the faults want it at this instant."""
        now = self.clock()
        if any(fault.closes_listener and fault.is_active(now) for fault in self.camera.faults):
            self.refuse()
        else:
            self.open()

    def fault_for(self, target: str, now: datetime) -> Fault | None:
        """The first fault that hits this answer; None for a good one."""
        for index, fault in enumerate(self.camera.faults):
            if fault.kind.is_state or not fault.is_active(now):
                continue
            question = understand(target)
            if fault.endpoint is not None and fault.endpoint != question.endpoint:
                continue
            if fault.rate >= 1:
                return fault
            if fault.per == "day":
                local_now = self.camera.clock(now).astimezone(self.camera.zone)
                key = f"{question.kind} {(question.start or local_now).date()}"
            else:
                self._asked[target] += 1
                key = f"{target} {self._asked[target]}"
            draw = hashlib.blake2b(f"{self._seed} {self.camera.name} {index} {fault.kind} {key}".encode())
            if int.from_bytes(draw.digest()[:8], "big") / 2**64 < fault.rate:
                return fault
        return None

    def rng(self, target: str) -> random.Random:
        """Randomness that is the same whenever the same question is asked."""
        return random.Random(f"{self._seed} {self.camera.name} {target}")  # noqa: S311 - not for secrets

    def head(self, status: int, content_type: str, length: int | None, keep_alive: bool, now: datetime) -> bytes:
        """Status line and headers; `length` None announces no length. The date is that of the camera's own clock."""
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Date: {_http_date(int(self.camera.clock(now).timestamp()))}",
            f"Content-Type: {content_type}",
        ]
        if status == 401:
            lines.append(f"WWW-Authenticate: {self.login.challenge()}")
        if status == 429:
            lines.append("Retry-After: 1")
        if length is not None:
            lines.append(f"Content-Length: {length}")
        lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n")
        return "\r\n".join(lines).encode("latin-1")


class _Connection(asyncio.Protocol):
    """One connection of a client; requests on it are answered one after another."""

    def __init__(self, server: CameraServer, loop: asyncio.AbstractEventLoop) -> None:
        self.gone = asyncio.Event()
        self._server = server
        self._loop = loop
        self._buffer = bytearray()
        self._is_busy = False
        self._is_paused = False
        self._endless: bytes | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        self._server.connections.add(self)
        self._server.served.connections += 1
        # Accepted in the same turn of the loop in which the camera stopped listening.
        if not self._server.is_listening:
            self.reset()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._endless = None
        self._leave()
        self.gone.set()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._pump()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _MAX_HEAD_BYTES:
            self.reset()
        elif not self._is_busy:
            self._next()

    def reset(self) -> None:
        """Ends the connection with RST, whatever is still on its way."""
        sock = self._transport.get_extra_info("socket")
        # The socket may be closed already, by the client or by an orderly end.
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def _next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)}
        try:
            method, target, version = first.split(" ")
            length = int(headers.get("content-length", "0"))
        except ValueError:
            self.reset()
            return
        if len(self._buffer) < end + 4 + length:
            return
        del self._buffer[: end + 4 + length]
        connection = headers.get("connection", "").lower()
        keep_alive = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
        self._enter(target)
        request = _Request(method, target, headers, keep_alive)
        if self._server.latency_seconds > 0:
            self._loop.call_later(self._server.latency_seconds, self._respond, request)
        else:
            self._respond(request)

    def _enter(self, target: str) -> None:
        served = self._server.served
        self._is_busy = True
        served.requests += 1
        served.by_kind[understand(target).kind] += 1
        served.in_flight += 1
        served.max_in_flight = max(served.max_in_flight, served.in_flight)

    def _leave(self) -> None:
        if self._is_busy:
            self._is_busy = False
            self._server.served.in_flight -= 1

    def _respond(self, request: _Request) -> None:
        if self._transport.is_closing():
            return
        now = self._server.clock()
        fault = self._server.fault_for(request.target, now)
        if fault is None:
            self._send(self._answer(request, now), request.keep_alive, now)
        elif fault.kind is FaultKind.REFUSED:
            self.reset()
        elif fault.kind is FaultKind.SLOW:
            self._loop.call_later(fault.delay_seconds, self._respond_late, request)
        else:
            self._break(fault, request, now)

    def _respond_late(self, request: _Request) -> None:
        now = self._server.clock()
        self._send(self._answer(request, now), request.keep_alive, now)

    def _answer(self, request: _Request, now: datetime) -> Answer:
        if not self._server.login.accepts(request.method, request.target, request.headers.get("authorization", "")):
            return page(401)
        if request.method != "GET":
            return page(405)
        return self._server.camera.answer(request.target, now)

    def _send(self, answer: Answer, keep_alive: bool, now: datetime) -> None:
        if self._transport.is_closing():
            return
        head = self._server.head(answer.status, answer.content_type, len(answer.body), keep_alive, now)
        # Counted as answered before the client can read it and ask again.
        self._leave()
        self._transport.write(head + answer.body)
        if not keep_alive:
            self._transport.close()
        elif self._buffer:
            self._next()

    def _break(self, fault: Fault, request: _Request, now: datetime) -> None:
        kind = fault.kind
        if kind in _STATUS_FAULTS:
            self._send(page(_STATUS_FAULTS[kind]), request.keep_alive, now)
            return
        answer = self._answer(request, now)
        if answer.status != 200:
            self._send(answer, request.keep_alive, now)
            return
        length: int | None = len(answer.body)
        half = answer.body[: len(answer.body) // 2]
        if kind is FaultKind.RESET_MID_BODY:
            self._transport.write(self._server.head(200, answer.content_type, length, True, now) + half)
            # A moment apart, so that the client reads the first half before the reset overtakes it.
            self._loop.call_later(0.02, self.reset)
        elif kind is FaultKind.TRUNCATED:
            length = length if fault.has_length else None
            self._transport.write(self._server.head(200, answer.content_type, length, False, now) + half)
            self._transport.close()
        elif kind is FaultKind.ENDLESS:
            self._transport.write(self._server.head(200, answer.content_type, None, False, now) + answer.body)
            rows = answer.body.split(b"\n", 1)[-1] or answer.body or b"\n"
            self._endless = rows * (65536 // len(rows) + 1)
            self._pump()
        else:
            before = b""
            question = understand(request.target)
            if kind is FaultKind.OTHER_DAY and question.start is not None:
                asked = f"{question.start:%Y-%m-%d}"
                earlier = f"{question.start - timedelta(days=1):%Y-%m-%d}"
                before = self._server.camera.answer(request.target.replace(asked, earlier), now).body
            body = damage(kind, answer.body, self._server.rng(request.target), before)
            content_type = "text/html" if body is LOGIN_PAGE else answer.content_type
            self._send(Answer(200, content_type, body), request.keep_alive, now)

    def _pump(self) -> None:
        # Bounded by what the client reads, and by a pause, so that one endless camera leaves time for the others.
        if self._endless is not None and not self._is_paused and not self._transport.is_closing():
            self._transport.write(self._endless)
            if not self._is_paused:
                self._loop.call_later(0.001, self._pump)


def listening_faults(faults: Sequence[Fault]) -> bool:
    """Whether a schedule has to be followed for these faults: they open and close the listener."""
    return any(fault.closes_listener for fault in faults)
