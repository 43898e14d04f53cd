"""Opening hours: which hours of the local week a store is open in.

The text is that of `stores.opening_hours`. Days and zones belong in `localtime`.
"""

from __future__ import annotations

import json

import numpy as np

from retail_sensors.analytics.frames import DAY, Array
from retail_sensors.analytics.localtime import wall_seconds
from retail_sensors.errors import ContractError

WEEK_MINUTES = 7 * 24 * 60
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _minute(text: object, span: object, store: str) -> int:
    parts = text.split(":") if isinstance(text, str) else []
    if len(parts) == 2 and all(part.isdecimal() for part in parts):
        minute = int(parts[0]) * 60 + int(parts[1])
        if int(parts[1]) < 60 and minute <= 24 * 60:
            return minute
    raise ContractError(
        f'Opening hours of store {store}: {span!r} is not a span such as ["10:00", "21:00"]; correct it.'
    )


def open_minutes_of_week(text: str | None, store: str) -> Array:
    """Whether the store is open in each minute of the local week (0: Monday 00:00).

    NULL: always. A span that ends at or before its start runs past midnight. ContractError names the store.
    """
    if text is None:
        return np.ones(WEEK_MINUTES, dtype=bool)
    try:
        spans_of_day = json.loads(text)
    except ValueError:
        spans_of_day = None
    if not isinstance(spans_of_day, dict) or not set(spans_of_day) <= set(_WEEKDAYS):
        raise ContractError(
            f"Opening hours of store {store} are not spans by weekday ({', '.join(_WEEKDAYS)}); correct them."
        )
    minutes = np.zeros(WEEK_MINUTES, dtype=bool)
    for weekday, spans in spans_of_day.items():
        midnight = _WEEKDAYS.index(weekday) * 24 * 60
        for span in spans or ():
            if not isinstance(span, list | tuple) or len(span) != 2:
                raise ContractError(
                    f'Opening hours of store {store}: {span!r} is not a span such as ["10:00", "21:00"]; correct it.'
                )
            start, end = _minute(span[0], span, store), _minute(span[1], span, store)
            length = end - start if end > start else end - start + 24 * 60
            minutes[(midnight + start + np.arange(length)) % WEEK_MINUTES] = True
    return minutes


def open_hours_of_week(text: str | None, store: str) -> Array:
    """Whether an hour that starts at each minute of the local week overlaps the opening hours; as `open_minutes_of_week`."""
    minutes = open_minutes_of_week(text, store)
    running = np.concatenate([[0], np.cumsum(np.concatenate([minutes, minutes[:60]]))])
    return running[60 : WEEK_MINUTES + 60] > running[:WEEK_MINUTES]


def is_open_around(text: str | None, store: str, zone: str, instant: int, minutes: int) -> bool:
    """Whether the store is open at some moment of so many minutes before and after the instant, by its zone's wall clock.

    The moments of its opening and of its closing belong to it. The instant is in seconds since 1970.
    """
    # A minute stands for its start and its end: the last open one ends when the store closes.
    around = instant - instant % 60 + 60 * np.arange(-minutes - 1, minutes + 1)
    return bool(open_minutes_of_week(text, store)[minute_of_week(wall_seconds(around, zone))].any())


def minute_of_week(wall: Array) -> Array:
    """Minute of the local week (0: Monday 00:00) of wall-clock seconds since 1970."""
    weekday = (wall // DAY + 3) % 7  # 1970-01-01 was a Thursday
    return weekday * 24 * 60 + wall % DAY // 60
