"""Which instant a camera's local label means, and which local days and hours a span of UTC needs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.connectors.base import LocalRow, TimeWindow
from retail_sensors.connectors.localtime import hours_by_day, local_days, local_hours, place_rows

NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
NUUK = ZoneInfo("America/Nuuk")
SPRING = date(2025, 3, 9)
AUTUMN = date(2025, 11, 2)


def row(label: str, *values: int | None) -> LocalRow:
    start = datetime.fromisoformat(label)
    return LocalRow(start, start + timedelta(minutes=59, seconds=59), values, f"{label},{values}", label)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(start: str, end: str) -> TimeWindow:
    return TimeWindow(utc(start), utc(end))


def placed(
    rows: list[LocalRow], day: date, zone: ZoneInfo
) -> list[tuple[str, tuple[int | float | None, ...], str | None]]:
    good, rejected = place_rows(rows, day, zone)
    assert rejected == []
    return [(f"{start:%dT%H:%M}", local.values, flag) for start, local, flag in good]


def test_ordinary_rows_come_in_order_of_time_whatever_the_order_of_the_body() -> None:
    rows = [row("2025-07-22 11:00", 2), row("2025-07-22 00:00", 1)]
    assert placed(rows, date(2025, 7, 22), NEW_YORK) == [("22T04:00", (1,), None), ("22T15:00", (2,), None)]


def test_an_hour_of_a_half_hour_zone_starts_at_half_past() -> None:
    assert placed([row("2025-07-22 10:00", 1)], date(2025, 7, 22), KOLKATA) == [("22T04:30", (1,), None)]


def test_autumn_two_rows_are_the_first_and_the_second_time() -> None:
    rows = [
        row("2025-11-02 00:00", 1),
        row("2025-11-02 01:00", 2),
        row("2025-11-02 01:00", 3),
        row("2025-11-02 02:00", 4),
    ]
    assert placed(rows, AUTUMN, NEW_YORK) == [
        ("02T04:00", (1,), None),
        ("02T05:00", (2,), "ambiguous_first"),
        ("02T06:00", (3,), "ambiguous_second"),
        ("02T07:00", (4,), None),
    ]


def test_autumn_two_equal_rows_are_both_kept() -> None:
    rows = [row("2025-11-02 01:00", 0), row("2025-11-02 01:00", 0)]
    assert [flag for _, _, flag in placed(rows, AUTUMN, NEW_YORK)] == ["ambiguous_first", "ambiguous_second"]


def test_autumn_copies_of_both_rows_are_taken_once() -> None:
    rows = [row("2025-11-02 01:00", value) for value in (2, 2, 3, 3)]
    assert placed(rows, AUTUMN, NEW_YORK) == [
        ("02T05:00", (2,), "ambiguous_first"),
        ("02T06:00", (3,), "ambiguous_second"),
    ]


def test_autumn_three_different_rows_are_all_refused() -> None:
    good, rejected = place_rows([row("2025-11-02 01:00", value) for value in (1, 2, 3)], AUTUMN, NEW_YORK)
    assert good == []
    assert len(rejected) == 3


def test_autumn_a_single_row_is_the_first_time_and_flagged() -> None:
    assert placed([row("2025-11-02 01:00", 5)], AUTUMN, NEW_YORK) == [("02T05:00", (5,), "ambiguous_single")]


def test_spring_a_row_of_zeros_in_the_gap_gives_way_to_the_real_hour() -> None:
    rows = [row("2025-03-09 02:00", 0), row("2025-03-09 03:00", 7)]
    assert placed(rows, SPRING, NEW_YORK) == [("09T07:00", (7,), None)]


def test_spring_counts_in_the_gap_are_refused_where_the_real_hour_has_its_own_row() -> None:
    good, rejected = place_rows([row("2025-03-09 02:00", 4), row("2025-03-09 03:00", 7)], SPRING, NEW_YORK)
    assert [local.values for _, local, _ in good] == [(7,)]
    assert "never happened in America/New_York" in rejected[0].reason


def test_spring_a_row_in_the_gap_means_the_instant_after_it() -> None:
    assert placed([row("2025-03-09 02:00", 4)], SPRING, NEW_YORK) == [("09T07:00", (4,), "nonexistent")]


def test_a_gap_at_the_end_of_a_day_leaves_the_next_day_alone() -> None:
    # Nuuk goes from Saturday 23:00 straight to Sunday 00:00, whose row another question brings.
    assert placed([row("2025-03-29 23:00", 0)], date(2025, 3, 29), NUUK) == []
    good, rejected = place_rows([row("2025-03-29 23:00", 3)], date(2025, 3, 29), NUUK)
    assert good == []
    assert len(rejected) == 1


def test_equal_copies_are_taken_once_and_different_ones_refused() -> None:
    day = date(2025, 7, 22)
    assert placed([row("2025-07-22 10:00", 1)] * 3, day, NEW_YORK) == [("22T14:00", (1,), None)]
    rows = [row("2025-07-22 10:00", 1), row("2025-07-22 11:00", 2), row("2025-07-22 10:00", 3)]
    good, rejected = place_rows(rows, day, NEW_YORK)
    assert [local.values for _, local, _ in good] == [(2,)]
    assert len(rejected) == 2
    assert "2 rows say different things" in rejected[0].reason


@pytest.mark.parametrize(
    ("label", "reason"),
    [("2025-07-23 10:00", "is of 2025-07-23, asked was 2025-07-22"), ("2025-07-22 10:30", "not on a full hour")],
)
def test_rows_of_another_day_or_between_hours_are_refused(label: str, reason: str) -> None:
    good, rejected = place_rows([row(label, 1)], date(2025, 7, 22), NEW_YORK)
    assert good == []
    assert reason in rejected[0].reason


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2025, 7, 22), NEW_YORK, 24),
        (SPRING, NEW_YORK, 23),
        (AUTUMN, NEW_YORK, 25),
        (date(2025, 3, 29), NUUK, 23),
        (date(2025, 10, 25), NUUK, 25),
        # Half an hour is too little to make an hour appear or vanish.
        (date(2025, 4, 6), LORD_HOWE, 24),
        (date(2025, 10, 5), LORD_HOWE, 24),
    ],
)
def test_hours_of_a_local_day(day: date, zone: ZoneInfo, hours: int) -> None:
    starts = local_hours(day, zone)
    assert len(starts) == hours
    assert {start.astimezone(zone).date() for start in starts} == {day}


def test_the_hour_after_a_half_hour_gap_exists() -> None:
    assert placed([row("2025-10-05 02:00", 3)], date(2025, 10, 5), LORD_HOWE) == [("04T15:30", (3,), "nonexistent")]
    assert utc("2025-10-04 15:30") in local_hours(date(2025, 10, 5), LORD_HOWE)


def test_local_days_of_a_window() -> None:
    assert local_days(window("2025-07-22 14:00", "2025-07-22 15:00"), NEW_YORK) == [date(2025, 7, 22)]
    assert local_days(window("2025-07-22 00:00", "2025-07-23 00:00"), NEW_YORK) == [
        date(2025, 7, 21),
        date(2025, 7, 22),
    ]
    assert local_days(window("2025-07-22 00:00", "2025-07-23 00:00"), ZoneInfo("UTC")) == [date(2025, 7, 22)]
    assert local_days(window("2025-07-22 10:00", "2025-07-22 13:00"), ZoneInfo("Pacific/Auckland")) == [
        date(2025, 7, 22),
        date(2025, 7, 23),
    ]


def test_a_day_without_an_hour_that_starts_inside_is_not_asked() -> None:
    # 18:00 UTC is 23:30 of the day before in Kolkata, whose last hour had begun at 17:30 UTC.
    span = window("2025-07-22 18:00", "2025-07-22 19:00")
    assert hours_by_day(span, KOLKATA) == {date(2025, 7, 23): (utc("2025-07-22 18:30"),)}
    assert local_days(window("2025-07-22 18:00", "2025-07-22 18:10"), KOLKATA) == []


@settings(max_examples=60)
@given(
    zone=st.sampled_from(
        ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Nuuk", "Pacific/Auckland"]
    ),
    first=st.dates(date(2023, 1, 2), date(2026, 12, 1)),
    days=st.integers(1, 5),
)
def test_the_hours_of_days_cover_time_once(zone: str, first: date, days: int) -> None:
    """No instant is in two local hours, and no two hours are further apart than the longest one."""
    starts = [start for offset in range(days) for start in local_hours(first + timedelta(days=offset), ZoneInfo(zone))]
    assert starts == sorted(set(starts))
    assert all(timedelta(minutes=30) <= b - a <= timedelta(minutes=90) for a, b in pairwise(starts))


@settings(max_examples=60)
@given(
    zone=st.sampled_from(["America/New_York", "Asia/Kolkata", "America/Nuuk", "Pacific/Auckland", "UTC"]),
    day=st.dates(date(2023, 1, 2), date(2026, 12, 1)),
)
def test_a_camera_that_lists_each_of_its_hours_fills_each_of_its_hours(zone: str, day: date) -> None:
    """The rows of all hours, written in local labels, come back to the instants that they came from."""
    key = ZoneInfo(zone)
    starts = local_hours(day, key)
    rows = [row(f"{start.astimezone(key):%Y-%m-%d %H:00}", at) for at, start in enumerate(starts)]
    good, rejected = place_rows(rows, day, key)
    assert rejected == []
    assert [(start, local.values[0]) for start, local, _ in good] == [(start, at) for at, start in enumerate(starts)]
