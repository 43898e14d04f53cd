"""Local days, reset windows and opening hours against calendars worked by hand."""

from __future__ import annotations

from datetime import date, time

import numpy as np
import pytest

from retail_sensors.analytics.frames import day_number, instant
from retail_sensors.analytics.localtime import calendar, day_starts, walls
from retail_sensors.analytics.opening import minute_of_week, open_hours_of_week
from retail_sensors.errors import ContractError
from retail_sensors_tests.unit.analytics_estate import camera, roster, store, utc


def _lengths(zone: str, day: date, at: int = 0) -> int:
    return int(calendar((zone,), np.array([0]), np.array([at]), day_number(day), 1).lengths[0, 0])


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 7, 1), 24),
        ("America/Santiago", date(2025, 9, 7), 23),  # midnight itself is skipped
        ("Asia/Kolkata", date(2026, 3, 29), 24),
    ],
)
def test_a_local_day_has_the_hours_that_its_zone_gives_it(zone: str, day: date, hours: int) -> None:
    assert _lengths(zone, day) == hours


def test_a_change_of_clocks_falls_into_the_reset_window_of_the_evening_before() -> None:
    assert _lengths("Europe/Berlin", date(2026, 3, 28), at=4 * 3600) == 23
    assert _lengths("Europe/Berlin", date(2026, 3, 29), at=4 * 3600) == 24


def test_a_half_hour_zone_starts_its_day_at_half_past() -> None:
    start = day_starts(np.array([day_number(date(2026, 2, 2))]), 0, "Asia/Kolkata")
    assert start[0] == instant(utc("2026-02-01T18:30"), "start")


@pytest.mark.parametrize(
    ("zone", "day", "at", "start"),
    [
        ("Australia/Lord_Howe", date(2025, 10, 5), 7200, "2025-10-04T15:30"),  # 02:00 to 02:30 is skipped
        ("Australia/Lord_Howe", date(2025, 10, 5), 7200 + 900, "2025-10-04T15:30"),
        ("Australia/Lord_Howe", date(2025, 10, 5), 7200 + 1800, "2025-10-04T15:30"),
        ("Africa/Cairo", date(2025, 4, 25), 0, "2025-04-24T22:00"),  # 00:00 to 01:00
        ("America/Sao_Paulo", date(2017, 10, 15), 0, "2017-10-15T03:00"),
        ("Asia/Beirut", date(2025, 3, 30), 0, "2025-03-29T22:00"),
        ("America/Caracas", date(2016, 5, 1), 9000 + 600, "2016-05-01T07:00"),  # 02:30 to 03:00
        ("Pacific/Apia", date(2011, 12, 30), 4 * 3600, "2011-12-30T10:00"),  # the whole day
        ("Australia/Lord_Howe", date(2025, 4, 6), 5400, "2025-04-05T14:30"),  # 01:30 comes twice
    ],
)
def test_a_time_that_the_clock_skips_is_the_first_instant_after_the_gap_and_of_two_the_first(
    zone: str, day: date, at: int, start: str
) -> None:
    assert day_starts(np.array([day_number(day)]), at, zone)[0] == instant(utc(start), "start")


def test_an_hour_is_located_in_its_day_and_slot() -> None:
    zones = ("Europe/Berlin",)
    days = calendar(zones, np.array([0]), np.array([0]), day_number(date(2026, 10, 25)), 1)
    moments = np.array(
        [instant(utc(text), "t") for text in ("2026-10-24T21:00", "2026-10-24T22:00", "2026-10-25T22:00")]
    )
    nobody = np.zeros(3, dtype=np.int64)
    day, slot = days.locate(nobody, moments, walls(zones, nobody, moments))
    assert day.tolist() == [-1, 0, 0]
    assert slot[1:].tolist() == [0, 24]


def test_the_hour_before_the_reset_time_belongs_to_the_window_of_the_day_before() -> None:
    windows = calendar(("UTC",), np.array([0]), np.array([4 * 3600]), day_number(date(2026, 2, 1)), 2)
    moments = np.array([instant(utc(text), "t") for text in ("2026-02-02T03:00", "2026-02-02T04:00")])
    day, slot = windows.locate(np.array([0, 0]), moments, moments)
    assert day.tolist() == [0, 1]
    assert slot.tolist() == [23, 0]


def test_an_hour_is_open_when_it_overlaps_the_opening_hours() -> None:
    week = open_hours_of_week('{"mon": [["09:30", "18:00"]], "sat": [["22:00", "02:00"]]}', "s")
    monday, sunday = 0, 6 * 1440
    assert [week[monday + hour * 60] for hour in (8, 9, 17, 18)] == [False, True, True, False]
    assert [week[sunday + hour * 60] for hour in (0, 1, 2)] == [True, True, False]  # Saturday night runs past midnight
    assert not week[1440 : 2 * 1440].any()
    assert week[monday + 8 * 60 + 31]  # an hour that starts at 08:31 overlaps by a minute


def test_a_store_without_opening_hours_is_always_open() -> None:
    assert open_hours_of_week(None, "s").all()


def test_a_span_up_to_midnight_ends_there() -> None:
    week = open_hours_of_week('{"sun": [["20:00", "24:00"]]}', "s")
    assert week[6 * 1440 + 23 * 60]
    assert not week[0]


@pytest.mark.parametrize(
    "text", ["[]", "nonsense", '{"monday": []}', '{"mon": ["10:00"]}', '{"mon": [["10", "12:00"]]}']
)
def test_opening_hours_that_cannot_be_meant_name_the_store(text: str) -> None:
    with pytest.raises(ContractError, match="Bakery"):
        open_hours_of_week(text, "Bakery")


def test_the_week_starts_on_monday() -> None:
    monday = instant(utc("2026-02-02T00:30"), "t")
    assert minute_of_week(np.array([monday])).tolist() == [30]


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(ContractError, match="no time zone"):
        instant(utc("2026-02-02T00:30").replace(tzinfo=None), "window_start")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"traffic_basis": "guesses"}, "traffic_basis"),
    ],
)
def test_a_roster_that_cannot_be_used_names_the_store(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        _ = roster([store("Bakery", **changes)], [camera("a", "Bakery")], {}).layout


def test_a_camera_of_an_unknown_store_is_named() -> None:
    with pytest.raises(ContractError, match="Camera lost"):
        _ = roster([store("s")], [camera("lost", "elsewhere")], {}).layout


def test_a_camera_without_line_roles_counts_entrances_on_all_lines() -> None:
    layout = roster([store("s")], [camera("a", "s"), camera("b", "s")], {"b": ["passerby"]}).layout
    assert layout.entrance.tolist() == [[True] * 4, [False] * 4]
    assert layout.in_scope.tolist() == [True, False]


def test_a_reset_time_that_is_not_said_is_four_in_the_morning() -> None:
    layout = roster([store("s", occupancy_reset_time=None), store("t", occupancy_reset_time=time(3))], [], {}).layout
    assert sorted(layout.reset.tolist()) == [3 * 3600, 4 * 3600]
