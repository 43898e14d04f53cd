"""What may differ between two cameras that both work (`Switches`), and what may go wrong with one (`Fault`).

Here belong names, values and their check. What a switch does to a body is in `camera`, what a fault does to an answer
is in `server` and `damage`, and what it does to a camera's clock and counters is in `camera`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, get_args, get_type_hints

from retail_sensors.connectors.base import Endpoint
from retail_sensors.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Switches:
    """One firmware's habits: a field for everything that the wire format leaves open, the likely value first.

    time_end: whether it shortens the answer (rows that start after it are left out).
    header_spaces: "no" writes `Tolal-In` and joins header cells with a bare comma.
    region_columns: whether a region that is not configured is a column of zeros or no column.
    spatial_heat_map: the status of `dw=spaceheatmap`.
    spatial_size: whether a spatial heat map says how many cells it has.
    region_stays: the status of the regional report with a length of stay.
    stay_length: "ignored" answers a length of stay as if none were asked for.
    repeated_hour: the hour that comes twice in autumn: two rows with one label, one row with the sum, or the second.
    retention_days, heat_retention_days: whole local days before today that are still held; None keeps all.
    beyond_retention: whether an hour no longer held is a row of zeros or no row.
    alarm_form: how the assignments of the alarm status are written.
    """

    time_end: Literal["ignored", "honoured"] = "ignored"
    line_end: Literal["lf", "crlf"] = "lf"
    header_spaces: Literal["yes", "no"] = "yes"
    content_type: Literal["text/csv", "text/plain", "application/octet-stream"] = "text/csv"
    auth: Literal["basic", "digest"] = "basic"
    total_spelling: Literal["Tolal", "Total"] = "Tolal"
    heat_scale: Literal[1, 10] = 1
    region_columns: Literal["always_4", "only_configured"] = "always_4"
    spatial_heat_map: Literal[200, 502, 404] = 200
    spatial_size: Literal["given", "absent"] = "given"
    region_stays: Literal[200, 401, 404, 502] = 200
    stay_length: Literal["heeded", "ignored"] = "heeded"
    repeated_hour: Literal["listed_twice", "merged", "second_only"] = "listed_twice"
    retention_days: int | None = None
    heat_retention_days: int | None = None
    beyond_retention: Literal["zero", "missing"] = "zero"
    alarm_form: Literal["inline", "lines", "crlf_lines", "double_quotes", "key_value"] = "inline"

    def __post_init__(self) -> None:
        for name, allowed in _literals().items():
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"switch {name} cannot be {getattr(self, name)!r}: use one of {', '.join(map(str, allowed))}"
                )
        for name in _DAYS:
            days = getattr(self, name)
            if days is not None and days < 0:
                raise ConfigurationError(f"switch {name} cannot be {days}: use a number of days, 0 or more")

    def with_text(self, text: str) -> Switches:
        """These switches with one more set from `NAME=VALUE`."""
        name, equals, value = text.partition("=")
        names = [field.name for field in fields(Switches)]
        if not equals or name not in names:
            raise ConfigurationError(f"switch {text!r} is not NAME=VALUE with NAME one of {', '.join(names)}")
        if name in _DAYS:
            if not value.isdecimal():
                raise ConfigurationError(f"switch {name} cannot be {value!r}: use a number of days, 0 or more")
            return self._with(name, int(value))
        # A value that no literal is spelled like goes on as text, for __post_init__ to refuse.
        return self._with(name, next((one for one in _literals()[name] if str(one) == value), value))

    def _with(self, name: str, value: Any) -> Switches:
        return replace(self, **{name: value})

    @classmethod
    def variants(cls) -> Iterator[tuple[str, Switches]]:
        """The default, then every other value of every switch, alone: (`NAME=VALUE`, switches).

        Retention, whose values have no list, is left to the caller.
        """
        default = cls()
        yield "default", default
        for name, allowed in _literals().items():
            for value in allowed:
                if value != getattr(default, name):
                    yield f"{name}={value}", default._with(name, value)


_DAYS = ("retention_days", "heat_retention_days")


def _literals() -> dict[str, tuple[Any, ...]]:
    return {name: get_args(hint) for name, hint in get_type_hints(Switches).items() if name not in _DAYS}


class FaultKind(StrEnum):
    """What goes wrong. The first group breaks an answer, the second changes the camera itself."""

    REFUSED = "refused"  # rate 1 and no endpoint: nobody listens; else the question is read and the connection reset
    RESET_MID_BODY = "reset_mid_body"  # half a body, then RST
    TRUNCATED = "truncated"  # half a body, then an orderly end
    SLOW = "slow"  # the right answer, `delay_seconds` late
    ENDLESS = "endless"  # a body without length and without end
    EMPTY = "empty"  # 200 with nothing in it
    HTML_LOGIN = "html_login"  # 200 with a login page
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR_500 = "server_error_500"
    SERVER_ERROR_502 = "server_error_502"
    SERVER_ERROR_503 = "server_error_503"
    GARBAGE = "garbage"  # 200 with random bytes
    DUPLICATE_ROWS = "duplicate_rows"  # every third row twice
    UNORDERED_ROWS = "unordered_rows"
    NEGATIVE_NUMBERS = "negative_numbers"  # in every third row
    HUGE_NUMBERS = "huge_numbers"  # in every third row, beyond 64 bits
    OTHER_DAY = "other_day"  # the day before comes along, in front

    CLOCK_OFFSET = "clock_offset"  # the camera's clock is `offset_seconds` ahead
    CLOCK_DRIFT = "clock_drift"  # ... and gains `drift_seconds_per_day`
    COUNTER_RESET = "counter_reset"  # somebody sets the alarm status's counters to zero at `start`
    FACTORY_RESET = "factory_reset"  # at `start` everything counted before becomes zero

    @property
    def is_state(self) -> bool:
        """Whether it changes the camera's clock or counters rather than one answer."""
        return self in _STATE


_STATE = frozenset(
    (FaultKind.CLOCK_OFFSET, FaultKind.CLOCK_DRIFT, FaultKind.COUNTER_RESET, FaultKind.FACTORY_RESET),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with a camera: what, how often, when, and at which endpoint.

    rate: the share of answers that it hits, 0 to 1. `per` says what is drawn: "request" draws for each request, so
        that another try may succeed; "day" draws once for an endpoint and the local day asked for, so that the same
        question has the same answer however often, and in whichever run, it is asked.
    start, end: zone-aware, half-open, on the fleet's clock; None is open. For resets, `start` is the instant of the
        reset, and None is the start of the fleet; likewise for the drift, which is zero at that instant.
    endpoint: hits questions to this endpoint alone; None hits every request.
    has_length: whether a truncated body was announced with its full length; without, only its cut last row tells.
    """

    kind: FaultKind
    rate: float = 1.0
    per: Literal["request", "day"] = "request"
    start: datetime | None = None
    end: datetime | None = None
    endpoint: Endpoint | None = None
    delay_seconds: float = 5.0
    offset_seconds: float = 300.0
    drift_seconds_per_day: float = 60.0
    has_length: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ConfigurationError(f"fault {self.kind} has rate {self.rate}: use a share between 0 and 1")
        if self.kind.is_state and (self.rate != 1 or self.endpoint is not None):
            raise ConfigurationError(
                f"fault {self.kind} changes the whole camera: leave its rate at 1 and name no endpoint"
            )
        for name in ("start", "end"):
            instant = getattr(self, name)
            if instant is not None and instant.tzinfo is None:
                raise ConfigurationError(f"fault {self.kind} has a {name} without a zone: add one, such as +00:00")

    @classmethod
    def from_text(cls, text: str) -> Fault:
        """The fault written `KIND` or `KIND:RATE`."""
        kind, colon, rate = text.partition(":")
        try:
            return cls(FaultKind(kind), float(rate) if colon else 1.0)
        except ValueError:
            raise ConfigurationError(
                f"fault {text!r} is not KIND or KIND:RATE with KIND one of {', '.join(FaultKind)}, RATE from 0 to 1"
            ) from None

    def is_active(self, now: datetime) -> bool:
        """Whether `now` lies within the fault's schedule."""
        return (self.start is None or self.start <= now) and (self.end is None or now < self.end)

    @property
    def closes_listener(self) -> bool:
        """Whether the camera does not listen at all while this fault is active."""
        return self.kind is FaultKind.REFUSED and self.rate == 1 and self.endpoint is None
