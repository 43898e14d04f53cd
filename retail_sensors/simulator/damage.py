"""Bodies that arrive whole and are wrong: what a fault makes of a good body. Pure; broken connections are in `server`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from retail_sensors.simulator.switches import FaultKind

LOGIN_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Login</title></head>\n<body><form action='/login.cgi' method='post'>"
    b"<input name='user'><input name='password' type='password'></form></body></html>\n"
)
HUGE = b"99999999999999999999"
_CELL = re.compile(rb"(?<=,)\d+(?=[,\r\n]|$)")
_ASSIGNED = re.compile(rb"(?<=['\"=])\d+(?=['\"\r\n]|$)")
_JSON_NUMBER = re.compile(rb"(?<=:)\d+(?=[,}])")


def damage(kind: FaultKind, body: bytes, rng: random.Random, day_before: bytes = b"") -> bytes:
    """`body` spoiled by a fault of this kind; `day_before` is the answer that `other_day` puts in front.

    A body without rows (JSON, alarm status) has nothing to double or to shuffle and comes back as it was.
    """
    if kind is FaultKind.EMPTY:
        return b""
    if kind is FaultKind.HTML_LOGIN:
        return LOGIN_PAGE
    if kind is FaultKind.GARBAGE:
        return rng.randbytes(max(len(body), 64))
    if kind in (FaultKind.NEGATIVE_NUMBERS, FaultKind.HUGE_NUMBERS):
        spoil = _negative if kind is FaultKind.NEGATIVE_NUMBERS else _huge
        if body.startswith(b"StartTime"):
            return _some_rows(body, lambda row: [_CELL.sub(spoil, row, count=1)])
        return (_JSON_NUMBER if body.startswith(b"{") else _ASSIGNED).sub(spoil, body)
    if not body.startswith(b"StartTime"):
        return body
    header, *rows = body.splitlines(keepends=True)
    if kind is FaultKind.DUPLICATE_ROWS:
        return _some_rows(body, lambda row: [row, row])
    if kind is FaultKind.UNORDERED_ROWS:
        rng.shuffle(rows)
    elif kind is FaultKind.OTHER_DAY:
        rows = day_before.splitlines(keepends=True)[1:] + rows
    return b"".join([header, *rows])


def _negative(match: re.Match[bytes]) -> bytes:
    return b"-%d" % (int(match[0]) + 1)


def _huge(match: re.Match[bytes]) -> bytes:
    return HUGE


def _some_rows(body: bytes, change: Callable[[bytes], Sequence[bytes]]) -> bytes:
    header, *rows = body.splitlines(keepends=True)
    changed = [header]
    for index, row in enumerate(rows):
        changed += change(row) if index % 3 == 0 else [row]
    return b"".join(changed)
