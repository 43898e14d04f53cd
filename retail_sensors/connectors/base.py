"""What every camera connector speaks: cameras, endpoints, questions, readings and outcomes.

Here belong the types that the vendor modules (`milesight`, ...), the HTTP client and the fleet collector share.
Vendor paths and bodies belong in the vendor's module, HTTP in `http`, concurrency in `collector`.
Nothing here knows Dagster or a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import pandas as pd


class Endpoint(StrEnum):
    """A question that a camera answers. The value is the name in `collection_log.endpoint`."""

    PEOPLE_COUNTING = "people_counting"
    REGIONAL_COUNTING = "regional_counting"
    HEATMAP_TEMPORAL = "heatmap_temporal"
    ALARM_STATUS = "vca_alarm_status"
    REGION_STAYS = "region_stays"
    SPATIAL_HEATMAP = "spatial_heatmap"


HISTORY_ENDPOINTS = (Endpoint.PEOPLE_COUNTING, Endpoint.REGIONAL_COUNTING, Endpoint.HEATMAP_TEMPORAL)
"""Endpoints that can be asked for a past hour; the alarm status is a reading of now."""

DAY_ENDPOINTS = (Endpoint.REGION_STAYS, Endpoint.SPATIAL_HEATMAP)
"""Endpoints that are asked for whole local days that have ended; many cameras lack them."""


class Outcome(StrEnum):
    """What became of one question. The value is the name in `collection_log.outcome`.

    `ok` and `ok_with_rejects` are answers with rows; `no_rows` is an answer without a row for the hour.
    All others are failures, and say nothing about how many people passed.
    """

    OK = "ok"
    OK_WITH_REJECTS = "ok_with_rejects"  # good rows were kept, bad ones are in rejected_payloads
    NO_ROWS = "no_rows"  # answered, but not for this hour
    BEYOND_RETENTION = "beyond_retention"  # the camera no longer holds this hour and answered zeros for it
    REFUSED = "refused"  # connection refused or no route
    TIMEOUT = "timeout"
    RESET = "reset"  # connection closed in the middle of the answer
    TRUNCATED = "truncated"  # fewer bytes than announced, or a cut last row
    TOO_LARGE = "too_large"  # body over the cap
    EMPTY_BODY = "empty_body"  # 200 with nothing in it: "nothing", not "zero"
    NOT_DATA = "not_data"  # an HTML page or garbage under 200
    UNAUTHORIZED = "unauthorized"  # 401, 403: wrong credentials, or an account without this right
    NOT_FOUND = "not_found"  # 404: the endpoint is absent
    RATE_LIMITED = "rate_limited"  # 429
    SERVER_ERROR = "server_error"  # 5xx
    HTTP_ERROR = "http_error"  # any other status, redirects included: they are not followed
    ADDRESS_BLOCKED = "address_blocked"  # outside the networks that the settings allow
    BUSY = "busy"  # another process held the camera for too long
    MISSING_SECRET = "missing_secret"  # the credential reference points nowhere  # noqa: S105

    @property
    def is_answer(self) -> bool:
        """Whether the camera answered the question with data it could mean."""
        return self in (Outcome.OK, Outcome.OK_WITH_REJECTS, Outcome.NO_ROWS, Outcome.BEYOND_RETENTION)


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and password of one camera account; the password never shows in a repr, a log or an error."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera as the collector needs it. Its identity on the network is host:port, not the host alone.

    `zone` is the zone of the camera's own wall clock. `retention_days` maps an endpoint to the number of days that
    the camera holds; only where it is declared are whole days of zeros beyond it taken for "no longer held".
    `credentials_error` is the sentence to report when the credential reference could not be resolved.
    """

    sensor_id: UUID
    name: str
    host: str
    port: int
    zone: ZoneInfo
    vendor: str = "milesight"
    credentials: Credentials | None = None
    credentials_error: str | None = None
    endpoints: frozenset[Endpoint] = frozenset(Endpoint)
    retention_days: dict[Endpoint, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A half-open span of time, `start <= instant < end`; both are zone-aware."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row or body that could not be taken as data: why, and the raw bytes (capped)."""

    reason: str
    raw: bytes


class LocalRow(NamedTuple):
    """One row of a camera's hourly report as the camera labels it: its local wall clock, no zone.

    `local_end` is inclusive, as the camera writes it. `values` are in the order of the endpoint's value columns; None
    is an empty cell, which is missing, never 0. `raw` is the row's text, one character for each byte (latin-1), and
    `label` its StartTime exactly as the camera wrote it.
    """

    local_start: datetime
    local_end: datetime
    values: tuple[int | float | None, ...]
    raw: str
    label: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a parser made of one body: rows in the order of the body, and what it refused with the reason.

    `outcome` is `ok`, `ok_with_rejects`, `truncated` (the last row is cut off), `not_data` or `empty_body`.
    """

    rows: list[LocalRow]
    rejected: list[Rejected]
    outcome: Outcome = Outcome.OK


@dataclass(frozen=True, slots=True)
class Question:
    """One HTTP request to make: a camera, an endpoint, and the camera's local calendar day (None: now)."""

    camera: Camera
    endpoint: Endpoint
    local_day: date | None


class CameraLease(Protocol):
    """Grants one request in flight to a camera (host:port), across everything that shares the lease's keeper.

    Raises `LeaseTimeoutError` when the camera stays taken for longer than the keeper is willing to wait.
    """

    def hold(self, camera: Camera) -> AbstractAsyncContextManager[None]: ...


class LeaseTimeoutError(Exception):
    """Another process kept the camera for too long; recorded as `Outcome.BUSY`."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What one sweep over the fleet brought home for one endpoint and window; stored in one transaction.

    rows: the endpoint's raw table without its generated columns, only hours that start inside the window; of the
    endpoints that are asked by the day, what `collector` says they bring.
    log: `collection_log`, one row for every camera and hour asked for, answered or not; of a day its first hour.
    rejected: `rejected_payloads`, what could not be taken as data. The columns are those of `retail_sensors.tables`.
    left_out: by name, why cameras that were meant are not asked: they were disabled or removed meanwhile; `is_nobody_left`: none of
    those that were meant is asked.
    """

    endpoint: Endpoint
    window: TimeWindow
    rows: pd.DataFrame
    log: pd.DataFrame
    rejected: pd.DataFrame
    left_out: Mapping[str, str] = field(default_factory=dict)
    is_nobody_left: bool = False
