"""People inside: live and corrected numbers, dwell and residual against days worked by hand.

The worked day: 10 come in at nine; 10 come and 5 go at ten; 15 go at eleven. At the ends of these hours 10, 15 and 0 are inside, so
the hours average 5, 12.5 and 7.5: 25 person-hours, and 20 visitors stay 75 minutes each.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from retail_sensors.analytics.daily import sensor_days, store_days
from retail_sensors.analytics.hourly import sensor_hours, store_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables import DAILY_ANALYTICS, HOURLY_ANALYTICS, STORE_DAILY, STORE_HOURLY
from retail_sensors.tables.figures import counts_of
from retail_sensors_tests.unit.analytics_estate import (
    asked,
    assert_contract,
    camera,
    counted,
    heat,
    hours_from,
    one,
    people,
    regional,
    roster,
    store,
    utc,
)

RESET = utc("2026-02-02T04:00")
DAY = (date(2026, 2, 2), date(2026, 2, 3))
ENDED = RESET + timedelta(hours=24)
WORKED = {9: (10, 0), 10: (10, 5), 11: (0, 15)}


def _estate(**changes: Any) -> Roster:
    return roster([store("s", **changes)], [camera("a", "s")], {"a": ["entrance"]})


def _hours(
    counts: Mapping[int, tuple[int, int]],
    estate: Roster | None = None,
    now: datetime = ENDED,
    left_out: tuple[int, ...] = (),
    **changes: Any,
) -> pd.DataFrame:
    """Hours of one camera from two days around; those not given count nobody."""
    begin = RESET - timedelta(hours=28)
    rows = [
        counted("a", hour, *counts.get(position - 24, (0, 0)))
        for position, hour in enumerate(hours_from(begin, 60))
        if hour < now and position - 24 not in left_out
    ]
    log = asked([("a", RESET + timedelta(hours=hour - 4), "timeout") for hour in left_out])
    frame = sensor_hours(
        people(rows), regional(), heat(), log, estate or _estate(**changes), begin, begin + timedelta(hours=60), now
    )
    assert_contract(frame, counts_of(HOURLY_ANALYTICS))
    return frame


def _at(frame: pd.DataFrame, hour: int) -> dict[str, Any]:
    return one(frame, hour_start=RESET + timedelta(hours=hour - 4))


def _day(hours: pd.DataFrame, estate: Roster | None = None, now: datetime = ENDED) -> dict[str, Any]:
    estate = estate or _estate()
    by_camera = sensor_days(hours, estate, DAY, pd.DataFrame(), now)
    by_store = store_days(hours, estate, DAY, pd.DataFrame(), now)
    assert_contract(by_camera, counts_of(DAILY_ANALYTICS))
    assert_contract(by_store, counts_of(STORE_DAILY))
    camera_row, store_row = one(by_camera), one(by_store)
    for name in ("avg_occupancy", "peak_occupancy", "avg_dwell_time_minutes", "in_out_residual", "data_quality_score"):
        assert camera_row[name] == store_row[name]  # this camera holds the store's only entrance
    return store_row


@pytest.mark.parametrize(
    ("exits", "method", "residual"),
    [((5, 15), "measured", 0.0), ((4, 12), "estimated", 0.2)],
)
def test_the_deficient_direction_is_scaled_so_that_the_day_ends_empty(
    exits: tuple[int, int], method: str, residual: float
) -> None:
    estate = _estate(capacity=50)
    hours = _hours({9: (10, 0), 10: (10, exits[0]), 11: (0, exits[1])}, estate)
    rows = [_at(hours, hour) for hour in (8, 9, 10, 11, 12)]
    assert [row["avg_occupancy"] for row in rows] == pytest.approx([0, 5, 12.5, 7.5, 0])
    assert [row["peak_occupancy"] for row in rows] == pytest.approx([0, 10, 15, 15, 0])
    assert rows[2]["utilization"] == pytest.approx(0.25)
    assert rows[2]["quality"]["occupancy"] == method
    assert not rows[2]["is_provisional"]

    day = _day(hours, estate)
    assert day["avg_occupancy"] == pytest.approx(25 / 24)
    assert day["peak_occupancy"] == pytest.approx(15)
    assert day["avg_dwell_time_minutes"] == pytest.approx(75)
    assert day["in_out_residual"] == pytest.approx(residual)
    assert day["data_quality_score"] == pytest.approx(100 * (1 - residual))
    assert day["utilization"] == pytest.approx(25 / 24 / 50)
    assert day["quality"]["occupancy"] == method


def test_a_residual_of_a_tenth_is_still_measured() -> None:
    assert _at(_hours({9: (20, 0), 12: (0, 18)}), 10)["quality"]["occupancy"] == "measured"
    assert _at(_hours({9: (20, 0), 12: (0, 17)}), 10)["quality"]["occupancy"] == "estimated"


@pytest.mark.parametrize(
    ("counts", "reason", "residual"),
    [
        ({9: (20, 0), 12: (0, 10)}, "direction_imbalance", 0.5),
        ({9: (20, 0)}, "one_direction_zero", 1.0),
        ({12: (0, 20)}, "one_direction_zero", -1.0),
        ({9: (0, 10), 12: (10, 0)}, "not_a_closed_space", 0.0),
        ({}, "nobody_crossed", None),
    ],
    ids=["doors disagree", "exits not counted", "entries not counted", "more leave than came", "dead counter"],
)
def test_counts_that_cannot_be_a_closed_space_give_no_occupancy(
    counts: dict[int, tuple[int, int]], reason: str, residual: float | None
) -> None:
    hours = _hours(counts)
    assert _at(hours, 12)["avg_occupancy"] is None
    assert _at(hours, 12)["quality"]["avg_occupancy"] == reason
    day = _day(hours)
    assert day["avg_dwell_time_minutes"] is None
    assert day["quality"]["avg_dwell_time_minutes"] == reason
    assert day["in_out_residual"] == residual


def test_a_small_negative_is_zero() -> None:
    hours = _hours({8: (0, 4), 9: (100, 0), 10: (0, 96)})
    assert _at(hours, 8)["avg_occupancy"] == 0
    assert _at(hours, 9)["peak_occupancy"] == 96


def test_an_open_window_is_the_running_sum_and_provisional() -> None:
    now = RESET + timedelta(hours=8)
    hours = _hours({9: (80, 0), 10: (0, 43)}, now=now)
    row = _at(hours, 10)
    assert row["peak_occupancy"] == 80
    assert row["avg_occupancy"] == pytest.approx((80 + 37) / 2)
    assert _at(hours, 11)["avg_occupancy"] == 37  # scaled to end at 0 it would be empty at noon
    assert row["is_provisional"]
    assert row["quality"]["occupancy"] == "live"


def test_a_live_number_does_not_go_under_zero_and_forgets_nothing() -> None:
    hours = _hours({9: (0, 5), 10: (8, 0)}, now=RESET + timedelta(hours=8))
    assert _at(hours, 9)["peak_occupancy"] == 0
    assert _at(hours, 10)["peak_occupancy"] == 3


def test_a_live_number_ends_at_a_hole() -> None:
    hours = _hours({9: (10, 0)}, now=RESET + timedelta(hours=9), left_out=(10,))
    assert _at(hours, 9)["avg_occupancy"] == 5
    assert _at(hours, 11)["avg_occupancy"] is None
    assert _at(hours, 11)["quality"]["avg_occupancy"] == "incomplete_day"


def test_a_hole_in_an_ended_window_leaves_no_occupancy() -> None:
    hours = _hours(WORKED, left_out=(20,))
    assert _at(hours, 10)["quality"]["avg_occupancy"] == "incomplete_day"
    day = _day(hours)
    assert day["quality"]["avg_occupancy"] == day["quality"]["in_out_residual"] == "incomplete_day"
    assert day["data_completeness"] == pytest.approx(23 / 24)
    assert not day["is_provisional"]


def test_a_window_that_has_not_ended_is_open_and_the_day_provisional() -> None:
    now = RESET + timedelta(hours=23)
    day = _day(_hours(WORKED, now=now), now=now)
    assert day["quality"]["avg_dwell_time_minutes"] == day["quality"]["in_out_residual"] == "reset_window_open"
    assert day["is_provisional"]
    assert day["total_entries"] == 20


def test_the_night_before_the_reset_belongs_to_the_evening() -> None:
    hours = _hours({22: (10, 0), 26: (0, 10)})  # in at ten in the evening, out at two in the morning
    assert _at(hours, 24)["avg_occupancy"] == 10
    assert _day(hours)["avg_dwell_time_minutes"] == pytest.approx(240)


def test_a_store_resets_at_its_own_time() -> None:
    hours = _hours({9: (10, 0), 13: (0, 10)}, _estate(occupancy_reset_time=RESET.replace(hour=12).time()))
    assert _at(hours, 11)["quality"]["avg_occupancy"] == "one_direction_zero"


def test_two_doors_are_solved_together() -> None:
    estate = roster([store("s")], [camera("a", "s"), camera("b", "s")], {"a": ["entrance"], "b": ["-entrance"]})
    rows = [
        row
        for hour in hours_from(RESET, 24)
        for row in (
            counted("a", hour, 10 if hour.hour == 9 else 0, 0),
            counted("b", hour, 10 if hour.hour == 11 else 0, 0),  # inverted: In goes out
        )
    ]
    hours = sensor_hours(people(rows), regional(), heat(), asked(), estate, RESET, ENDED, ENDED)
    assert _at(store_hours(hours, estate, RESET, ENDED, ENDED), 10)["avg_occupancy"] == 10
    one_door = hours[hours["sensor_id"] == hours["sensor_id"].iloc[0]]
    alone = store_hours(one_door, estate, RESET, ENDED, ENDED)
    assert_contract(alone, counts_of(STORE_HOURLY))
    assert _at(alone, 10)["avg_occupancy"] is None


def test_a_declared_door_that_was_not_asked_leaves_the_window_incomplete() -> None:
    estate = roster(
        [store("s")],
        [camera("a", "s"), camera("b", "s", installed_on=date(2026, 1, 1))],
        {"a": ["entrance"], "b": ["entrance"]},
    )
    stored = store_hours(_hours(WORKED, estate), estate, RESET, ENDED, ENDED)
    assert _at(stored, 10)["quality"]["avg_occupancy"] == "incomplete_day"
    assert _at(stored, 10)["data_completeness"] == 1.0  # of the doors that have a row


def test_a_door_installed_at_midnight_is_expected_from_then_on() -> None:
    estate = roster(
        [store("s")],
        [camera("a", "s"), camera("b", "s", installed_on=date(2026, 2, 3))],
        {"a": ["entrance"], "b": ["entrance"]},
    )
    first = utc("2026-02-03T00:00")
    rows = [counted("a", hour, *WORKED.get(hour.hour, (0, 0))) for hour in hours_from(RESET, 24)]
    rows += [counted("b", hour, 0, 0) for hour in hours_from(first, 4)]
    hours = sensor_hours(people(rows), regional(), heat(), asked(), estate, RESET, ENDED, ENDED)
    assert _at(store_hours(hours, estate, RESET, ENDED, ENDED), 10)["avg_occupancy"] == 12.5


def test_the_night_before_the_first_day_is_not_a_whole_window() -> None:
    estate = roster([store("s")], [camera("a", "s", installed_on=date(2026, 2, 3))], {"a": ["entrance"]})
    rows = [counted("a", hour, 5, 5) for hour in hours_from(RESET, 24)]
    hours = sensor_hours(people(rows), regional(), heat(), asked(), estate, RESET, ENDED, ENDED)
    assert len(hours) == 4
    assert _at(hours, 25)["quality"]["avg_occupancy"] == "incomplete_day"


@pytest.mark.parametrize(
    ("evening", "hours_in_window"), [(date(2026, 3, 28), 23), (date(2026, 10, 24), 25)], ids=["spring", "autumn"]
)
def test_a_window_of_a_changed_clock_is_solved_over_its_real_hours(evening: date, hours_in_window: int) -> None:
    estate = _estate(zone="Europe/Berlin")
    offset = 1 if evening.month == 3 else 2
    begin = datetime.combine(evening, RESET.timetz()) - timedelta(hours=offset)
    stay = hours_in_window - 10  # in in the fifth hour, out near the end: the change lies between
    rows = [
        counted("a", hour, 10 if position == 5 else 0, 10 if position == 5 + stay else 0)
        for position, hour in enumerate(hours_from(begin, hours_in_window))
    ]
    now = begin + timedelta(hours=hours_in_window)
    hours = sensor_hours(people(rows), regional(), heat(), asked(), estate, begin, now, now)
    row = one(store_days(hours, estate, (evening, evening + timedelta(days=1)), pd.DataFrame(), now))
    assert row["avg_dwell_time_minutes"] == pytest.approx(60 * stay)
