"""The single fields of a fleet file: what each may say, and the sentence for what it may not.

Here belongs one value at a time; which fields make a store or a camera, and what must fit together, belongs in `fleet_file`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time
from functools import cache
from ipaddress import ip_address
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from retail_sensors.secrets import check_reference
from retail_sensors.words import did_you_mean

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_MAX_INTEGER = 2**31 - 1
_MINUTES_A_DAY = 24 * 60
_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]?\d|2[0-3]):([0-5]\d)|(24):(00))")
_DAY_OR_RANGE = re.compile(rf"({'|'.join(WEEKDAYS)})(?:-({'|'.join(WEEKDAYS)}))?")
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?"
)


@cache
def _zones() -> frozenset[str]:
    # Two entries of some systems' zone folders are not zones that another system would know.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def shown(value: object) -> str:
    """A value of the file as a sentence quotes it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    return repr(text if len(text) <= 60 else text[:57] + "...")


# Fields -----------------------------------------------------------------------------------------------------------------


def one_of(known: Sequence[str]) -> BeforeValidator:
    """A field that says one of a few words."""

    def check(value: object) -> object:
        if isinstance(value, str) and value in known:
            return value
        suggestion = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ValueError(f"{shown(value)} is not one of {', '.join(known)}{suggestion}")

    return BeforeValidator(check)


def _number_of(kind: str) -> BeforeValidator:
    def check(value: object) -> object:
        if str(value) in ("1", "2", "3", "4"):
            return int(str(value))
        raise ValueError(f"{shown(value)} is not a {kind} of a camera; they are 1 to 4")

    return BeforeValidator(check)


def _check_way(value: object) -> object:
    """The camera, None for the region's own, and the number of a region."""
    camera, _, number = str(value).rpartition(":")
    if isinstance(value, str) and number.strip() in ("1", "2", "3", "4") and (camera.strip() or ":" not in value):
        return camera.strip() or None, int(number)
    raise ValueError(f"{shown(value)} is not a region; write its number, or CAMERA:NUMBER for one of another camera")


def _check_name(value: str) -> str:
    if any(ord(character) < 32 for character in value):
        raise ValueError("must be one line of text")
    return value


def _check_zone(value: str) -> str:
    if value not in _zones():
        raise ValueError(f"{shown(value)} is not an IANA zone{did_you_mean(value, _zones())}")
    return value


def normal_host(value: str) -> str:
    """Address or host name as it is compared and stored: lower case, addresses in their shortest form.

    ValueError for anything else; it does not repeat user names or passwords that were written into the host.
    """
    if "://" in value:
        raise ValueError(f"must be the address alone, without {value.partition('://')[0][:10]}://")
    if "@" in value:
        raise ValueError("must not hold a user or password; write username, and password as env:NAME or file:PATH")
    bare = value.removeprefix("[").removesuffix("]")
    try:
        return ip_address(bare).compressed
    except ValueError:
        pass
    if re.fullmatch(r"[^:/]+:\d+", value):
        raise ValueError("must be the address alone; write the port in the field port")
    lowered = value.lower()
    if not _HOST_NAME.fullmatch(lowered) or re.fullmatch(r"[\d.]+", lowered):
        raise ValueError(f"{shown(value)} is neither an address nor a host name")
    return lowered.removesuffix(".")


def _check_date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    if type(value) is date:
        return value
    raise ValueError(f"{shown(value)} is not a date; write YYYY-MM-DD")


def _check_time(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value):
        return time.fromisoformat(value.zfill(5))
    raise ValueError(f"{shown(value)} is not a time of day; write HH:MM")


_TAG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


def tag_of(value: object) -> str:
    """A tag as it is stored; ValueError for what is none."""
    if isinstance(value, str) and _TAG.fullmatch(value):
        return value
    raise ValueError(
        f"{shown(value)} is not a tag; write one lower-case word of letters, digits, -, _ and ., such as new-door"
    )


def _sorted_once(values: list[str]) -> list[str]:
    return sorted(set(values))


def _check_country(value: str) -> str:
    if not re.fullmatch("[A-Z]{2}", value):
        raise ValueError(f"{shown(value)} is not a country; write its two letters of ISO 3166, such as PT")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_name)]
Text = Annotated[str, Field(max_length=2000)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Host = Annotated[str, AfterValidator(normal_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(gt=0, le=_MAX_INTEGER)]
Reference = Annotated[str, AfterValidator(check_reference)]
Day = Annotated[date, BeforeValidator(_check_date)]
TimeOfDay = Annotated[time, BeforeValidator(_check_time)]
Country = Annotated[str, AfterValidator(_check_country)]
Tags = Annotated[list[Annotated[str, BeforeValidator(tag_of)]], AfterValidator(_sorted_once)]
Names = Annotated[list[Name], AfterValidator(_sorted_once)]
LineNumber = Annotated[int, _number_of("line")]
RegionNumber = Annotated[int, _number_of("region")]
Way = Annotated[tuple[str | None, int], BeforeValidator(_check_way)]


# Opening hours ----------------------------------------------------------------------------------------------------------


def _check_weekdays(value: object) -> object:
    if isinstance(value, str) and _DAY_OR_RANGE.fullmatch(value):
        return value
    suggestion = did_you_mean(value, WEEKDAYS) if isinstance(value, str) else ""
    raise ValueError(
        f"{shown(value)} is neither a weekday ({', '.join(WEEKDAYS)}) nor a range such as mon-sat{suggestion}"
    )


def _check_spans(value: object) -> object:
    """The spans of one day as pairs of HH:MM; nothing and `closed` are no span at all."""
    if value is None or value == "closed":
        return []
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise ValueError('must be a span such as "10:00-21:00", or a list of them')  # noqa: TRY004 -- pydantic's contract
    return [_span(text) for text in texts]


def _span(text: object) -> list[str]:
    found = _SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f'{shown(text)} is not a span of opening hours; write it like "10:00-21:00"')
    start = f"{found[1]:0>2}:{found[2]}"
    end = f"{found[3] or found[5]:0>2}:{found[4] or found[6]}"
    if start == end:
        raise ValueError(f"{shown(text)} has no length; a day that never closes is 00:00-24:00")
    return [start, end]


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _check_week(spans: dict[str, list[list[str]]]) -> dict[str, list[list[str]]]:
    """The spans by single weekday, in the order of the week and of the day; a closed day is left out."""
    week: dict[str, list[list[str]]] = {}
    given_by: dict[str, str] = {}
    for key, value in spans.items():
        for day in _days(key):
            if given_by.setdefault(day, key) != key:
                raise ValueError(f"{day} is given twice, by {given_by[day]} and by {key}")
            week[day] = sorted(value)
    intervals = sorted(
        (
            number * _MINUTES_A_DAY + _minutes(start),
            number * _MINUTES_A_DAY + _minutes(end) + (_MINUTES_A_DAY if _minutes(end) <= _minutes(start) else 0),
            f"{day} {start}-{end}",
        )
        for number, day in enumerate(WEEKDAYS)
        for start, end in week.get(day, [])
    )
    if not intervals:
        raise ValueError("never opens; leave opening_hours out where they are not known")
    first_start, _, first = intervals[0]
    for (_, end, earlier), (start, _, later) in zip(
        intervals, [*intervals[1:], (first_start + 7 * _MINUTES_A_DAY, 0, first)], strict=True
    ):
        if end > start:
            raise ValueError(f"{earlier} and {later} overlap")
    return {day: week[day] for day in WEEKDAYS if week.get(day)}


def _days(key: str) -> list[str]:
    first, _, last = key.partition("-")
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    return [WEEKDAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)]


OpeningHours = Annotated[
    dict[Annotated[str, BeforeValidator(_check_weekdays)], Annotated[list[list[str]], BeforeValidator(_check_spans)]],
    AfterValidator(_check_week),
]


# Entries ----------------------------------------------------------------------------------------------------------------


class Entry(BaseModel):
    """One mapping of the file; a field that is written without a value counts as left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nothing(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data
