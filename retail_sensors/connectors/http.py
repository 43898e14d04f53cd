"""One HTTP question to one camera: credentials, retries, limits, and a name for everything that can go wrong.

`CameraHttp.get` never raises for what a camera or the network does; it returns an `Answer` with an `Outcome`.
Which questions are asked, and in which order, belongs in `collector`; what a body says, in the vendor's module;
which addresses may be connected to, in `networks`.
"""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp
import httpx
from aiohttp import http_exceptions
from httpx_aiohttp import AiohttpTransport

from retail_sensors.connectors.base import Camera, Credentials, Outcome
from retail_sensors.connectors.networks import AddressBlockedError, AllowedNetworks, GuardedResolver

PASSING = frozenset(
    {
        Outcome.REFUSED,
        Outcome.TIMEOUT,
        Outcome.RESET,
        Outcome.TRUNCATED,
        Outcome.EMPTY_BODY,
        Outcome.NOT_DATA,
        Outcome.RATE_LIMITED,
        Outcome.SERVER_ERROR,
    }
)
"""Outcomes that may pass by themselves, so that another try makes sense."""

_REMEDIES = {
    Outcome.REFUSED: "check that it is powered, and its address and port",
    Outcome.TIMEOUT: "check its network link, or allow it more time",
    Outcome.RESET: "check its network link and whether it restarts",
    Outcome.TRUNCATED: "check its network link and whether it restarts",
    Outcome.TOO_LARGE: "check that the address is a camera's",
    Outcome.EMPTY_BODY: "it will be asked again; restart it if this stays so",
    Outcome.NOT_DATA: "check that the address is a camera's and that its account may read reports",
    Outcome.UNAUTHORIZED: "check its user name and password reference, and the account's rights on the camera",
    Outcome.NOT_FOUND: "its firmware may lack this report: take the endpoint off the camera's list",
    Outcome.RATE_LIMITED: "set a pause between calls",
    Outcome.SERVER_ERROR: "restart it, or update its firmware, if this stays so",
    Outcome.HTTP_ERROR: "check its address and port; redirects are not followed",
    Outcome.ADDRESS_BLOCKED: "correct the address, or add its network to the allowed networks",
}

Judge = Callable[[bytes, bool], tuple[Outcome, str | None]]
"""Says whether a body under 200 is data: outcome, and a reason if it is not. The flag: its length was announced."""

DigestMemory = dict[tuple[str, int, Credentials], httpx.DigestAuth]
"""Cameras that want Digest, with their last challenge, so that the next request is signed at once."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Limits of one question. `total_seconds` is the deadline of one try, from connecting to the last byte."""

    connect_seconds: float = 5.0
    total_seconds: float = 60.0
    tries: int = 3
    max_bytes: int = 4 * 1024 * 1024
    backoff_seconds: float = 0.5
    backoff_max_seconds: float = 8.0
    retry_after_max_seconds: float = 30.0


@dataclass(slots=True)
class Answer:
    """What one question brought home; `body` holds what was read even if it was cut off.

    `asked_at`, `latency_ms` and `http_status` are of the last try. `clock_offset_seconds` is the camera's clock minus
    ours to the second, from its Date header. `is_framed`: the end of the body was announced, not only the end of the
    connection. `error` is a sentence that names the camera, None for a good answer.
    """

    outcome: Outcome
    asked_at: datetime
    attempts: int = 0
    http_status: int | None = None
    body: bytes = b""
    is_framed: bool = True
    latency_ms: float | None = None
    clock_offset_seconds: float | None = None
    error: str | None = None


@dataclass(slots=True)
class _Try:
    outcome: Outcome
    reason: str = ""
    http_status: int | None = None
    body: bytes = b""
    is_framed: bool = True
    clock_offset_seconds: float | None = None
    retry_after_seconds: float | None = None


class CameraHttp:
    """An HTTP client for a fleet of cameras; use it as an async context manager, inside one event loop.

    `digests` may outlive the client, so that a later sweep knows which cameras want Digest.
    """

    def __init__(
        self,
        settings: HttpSettings,
        networks: AllowedNetworks,
        *,
        rng: random.Random,
        clock: Callable[[], datetime],
        digests: DigestMemory | None = None,
    ) -> None:
        self._settings = settings
        self._networks = networks
        self._rng = rng
        self._clock = clock
        self._digests: DigestMemory = {} if digests is None else digests
        self._timeouts = {"timeout": {"connect": settings.connect_seconds}}
        self._basic: dict[Credentials, str] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            # The collector bounds what is in flight; a second bound here could only deadlock with it.
            limit=0,
            # A lane asks its camera a few questions in a row, then leaves it alone until the next sweep.
            keepalive_timeout=5.0,
            resolver=GuardedResolver(self._networks),
        )
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        # aiohttp asks once more by itself after a reset, which would make six requests of three tries; there is no
        # public switch.
        session._retry_connection = False
        # Without httpx's client around it: no redirect is followed, no cookie goes from one camera to another, and a
        # request takes a fifth less work.
        self._transport = AiohttpTransport(
            client=session,
            trust_env=False,
            # Cameras speak plain HTTP; a context without any authority is made at once and would refuse every peer.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def get(
        self,
        camera: Camera,
        target: str,
        *,
        subject: str,
        tries: int | None = None,
        judge: Judge | None = None,
        is_last: bool = False,
    ) -> Answer:
        """Ask a camera for a path and query, again where that may help.

        `subject` says in an error what was asked for. `judge` may find that a body under 200 is no data. `is_last`
        says that no further question to this camera follows soon, so that the connection need not be kept.
        """
        host = camera.host.strip("[]")
        refusal = self._networks.refuses_host(host)
        if refusal is None and not 0 < camera.port < 65_536:
            refusal = f"{camera.port} is not a TCP port"
        if refusal is not None:
            answer = Answer(Outcome.ADDRESS_BLOCKED, self._clock())
            answer.error = self._sentence(camera, subject, Outcome.ADDRESS_BLOCKED, refusal, 0)
            return answer
        url = f"http://[{host}]:{camera.port}{target}" if ":" in host else f"http://{host}:{camera.port}{target}"
        allowed = self._settings.tries if tries is None else tries
        attempt = 0
        while True:
            attempt += 1
            asked_at = self._clock()
            began = time.perf_counter()
            result = await self._try(camera, url, is_last)
            latency_ms = (time.perf_counter() - began) * 1000.0
            if result.outcome is Outcome.OK and judge is not None:
                result.outcome, reason = judge(result.body, result.is_framed)
                result.reason = reason or ""
            if result.outcome not in PASSING or attempt >= allowed:
                break
            await asyncio.sleep(self._delay(attempt, result.retry_after_seconds))
        return Answer(
            outcome=result.outcome,
            asked_at=asked_at,
            attempts=attempt,
            http_status=result.http_status,
            body=result.body,
            is_framed=result.is_framed,
            latency_ms=latency_ms,
            clock_offset_seconds=result.clock_offset_seconds,
            error=None
            if result.outcome.is_answer
            else self._sentence(camera, subject, result.outcome, result.reason, attempt),
        )

    def _delay(self, attempt: int, retry_after: float | None) -> float:
        """Seconds before the next try: full jitter, but not before the camera said it may be asked again."""
        highest = min(self._settings.backoff_max_seconds, self._settings.backoff_seconds * 2 ** (attempt - 1))
        delay = self._rng.uniform(0.0, highest)
        if retry_after is None:
            return delay
        return max(delay, min(retry_after, self._settings.retry_after_max_seconds))

    def _sentence(self, camera: Camera, subject: str, outcome: Outcome, reason: str, attempts: int) -> str:
        after = f" after {attempts} tries" if attempts > 1 else ""
        remedy = _REMEDIES.get(outcome)
        return (
            f"camera {camera.name} ({camera.host}:{camera.port}), {subject}: {reason or outcome.value}{after}"
            f"{'; ' + remedy if remedy else ''}"
        )

    async def _try(self, camera: Camera, url: str, is_last: bool) -> _Try:
        result = _Try(Outcome.OK)
        try:
            async with asyncio.timeout(self._settings.total_seconds):
                response = await self._send(camera, url, is_last)
                try:
                    await self._read(response, result)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError) as error:
            result.outcome, result.reason = _classify(error, self._settings)
            return result
        if result.outcome is Outcome.OK:
            result.outcome, result.reason = _classify_status(result)
        return result

    async def _send(self, camera: Camera, url: str, is_last: bool) -> httpx.Response:
        """The response to a request with the credentials that the camera is known to want, its body unread."""
        headers = {
            "Accept": "*/*",
            # A compressed body could be any size once it is unpacked.
            "Accept-Encoding": "identity",
            "User-Agent": "retail-sensors",
            "Connection": "close" if is_last else "keep-alive",
        }
        credentials = camera.credentials
        if credentials is None:
            return await self._transport.handle_async_request(self._request(url, headers))
        key = (camera.host, camera.port, credentials)
        digest = self._digests.get(key)
        if digest is None:
            digest = httpx.DigestAuth(credentials.username, credentials.password)
            headers["Authorization"] = self._basic_header(credentials)
        request = self._request(url, headers)
        signing = digest.auth_flow(request)
        # Signs the request if the camera has challenged this account before, and leaves it alone otherwise.
        next(signing)
        response = await self._transport.handle_async_request(request)
        if response.status_code != 401:
            return response
        try:
            signed = signing.send(response)
        except StopIteration:
            if self._digests.pop(key, None) is None:
                return response
            # It wanted Digest before and now offers none: its settings were changed to Basic.
            headers["Authorization"] = self._basic_header(credentials)
            signed = self._request(url, headers)
        except (httpx.HTTPError, KeyError, ValueError, NotImplementedError):
            # A challenge that nobody can answer leaves the 401 as it is.
            return response
        else:
            self._digests[key] = digest
        await response.aclose()
        return await self._transport.handle_async_request(signed)

    def _request(self, url: str, headers: dict[str, str]) -> httpx.Request:
        return httpx.Request("GET", url, headers=headers, extensions=self._timeouts)

    def _basic_header(self, credentials: Credentials) -> str:
        header = self._basic.get(credentials)
        if header is None:
            pair = f"{credentials.username}:{credentials.password}".encode()
            header = self._basic[credentials] = f"Basic {base64.b64encode(pair).decode('ascii')}"
        return header

    async def _read(self, response: httpx.Response, result: _Try) -> None:
        headers = response.headers
        result.http_status = response.status_code
        result.is_framed = "content-length" in headers or "transfer-encoding" in headers
        result.clock_offset_seconds = self._clock_offset(headers.get("date"))
        if response.status_code != 200:
            # The body of an error page is of no use, and reading it gives the camera more time to waste.
            if response.status_code in (429, 503):
                result.retry_after_seconds = self._retry_after(headers.get("retry-after"))
            return
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in response.aiter_raw():
                chunks.append(chunk)
                size += len(chunk)
                if size > self._settings.max_bytes:
                    result.outcome = Outcome.TOO_LARGE
                    result.reason = f"the answer is longer than {self._settings.max_bytes} bytes"
                    return
        finally:
            result.body = b"".join(chunks)

    def _clock_offset(self, header: str | None) -> float | None:
        said = _http_date(header)
        # The header is cut to the second, so ours is too.
        return None if said is None else (said - self._clock().replace(microsecond=0)).total_seconds()

    def _retry_after(self, header: str | None) -> float | None:
        if header is None:
            return None
        if header.strip().isdecimal():
            return float(header)
        until = _http_date(header)
        return None if until is None else max(0.0, (until - self._clock()).total_seconds())


def _http_date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        said = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    try:
        return said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)
    except OverflowError:
        return None


def _classify_status(result: _Try) -> tuple[Outcome, str]:
    status = result.http_status
    if status == 200:
        if result.body.strip():
            return Outcome.OK, ""
        return Outcome.EMPTY_BODY, "it answered with an empty body"
    reason = f"it answered with status {status}"
    if status in (401, 403):
        return Outcome.UNAUTHORIZED, reason
    if status == 404:
        return Outcome.NOT_FOUND, reason
    if status == 429:
        return Outcome.RATE_LIMITED, reason
    if status is not None and 500 <= status <= 599:
        return Outcome.SERVER_ERROR, reason
    return Outcome.HTTP_ERROR, reason


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from; httpx's names for aiohttp's errors are coarse, so the origin decides."""
    while error is not None:
        yield error
        error = getattr(error, "os_error", None) or error.__cause__


def _classify(error: BaseException, settings: HttpSettings) -> tuple[Outcome, str]:
    causes = list(_causes(error))

    def find(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    if (blocked := find(AddressBlockedError)) is not None:
        return Outcome.ADDRESS_BLOCKED, str(blocked)
    if find(aiohttp.ConnectionTimeoutError) is not None:
        return Outcome.TIMEOUT, f"it did not accept a connection within {settings.connect_seconds:g} s"
    if find(aiohttp.ClientConnectorDNSError) is not None:
        return Outcome.REFUSED, "its host name does not resolve"
    if (connecting := find(aiohttp.ClientConnectorError)) is not None:
        system = getattr(connecting, "os_error", None)
        if isinstance(system, TimeoutError):
            return Outcome.TIMEOUT, "it did not accept a connection"
        return Outcome.REFUSED, f"it refused the connection ({getattr(system, 'strerror', None) or system})"
    if isinstance(error, TimeoutError):
        return Outcome.TIMEOUT, f"it did not answer completely within {settings.total_seconds:g} s"
    if find(http_exceptions.PayloadEncodingError) is not None:
        # aiohttp reports a reset in mid-body as a body that is too short, and says the difference in words only.
        if not any("ConnectionResetError" in str(cause) for cause in causes):
            return Outcome.TRUNCATED, "it closed the connection before the announced end of the answer"
    elif find(aiohttp.ClientResponseError, http_exceptions.HttpProcessingError) is not None:
        return Outcome.NOT_DATA, "what answered does not speak HTTP"
    return Outcome.RESET, "it broke off the connection"
