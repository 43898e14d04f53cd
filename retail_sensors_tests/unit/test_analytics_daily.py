"""Daily figures of cameras and stores against days worked by hand, and what bad input becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

import pandas as pd
import pytest

from retail_sensors.analytics.daily import sensor_days, store_days
from retail_sensors.analytics.hourly import sensor_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.errors import ContractError
from retail_sensors.tables import DAILY_ANALYTICS, HOURLY_ANALYTICS, STORE_DAILY
from retail_sensors.tables.figures import counts_of
from retail_sensors_tests.unit.analytics_estate import (
    asked,
    assert_contract,
    camera,
    counted,
    heat,
    hours_from,
    identity,
    one,
    people,
    regional,
    roster,
    seen,
    store,
    typed,
    utc,
    whole_days,
)

MONDAY = date(2026, 2, 2)
MIDNIGHT = utc("2026-02-02T00:00")
LATER = MIDNIGHT + timedelta(days=9)
OPEN = {"mon": [["10:00", "12:00"]]}


def _hours(estate: Roster, rows: Any, *, log: Any = (), regions: Any = (), now: datetime = LATER) -> pd.DataFrame:
    return sensor_hours(
        people(rows),
        regional(regions),
        heat(),
        asked(log),
        estate,
        MIDNIGHT - timedelta(days=4),
        MIDNIGHT + timedelta(days=9),
        now,
    )


def _both(
    hours: pd.DataFrame, estate: Roster, dates: tuple[date, date] = whole_days(MONDAY, 1), now: datetime = LATER
) -> tuple[pd.DataFrame, pd.DataFrame]:
    by_camera = sensor_days(hours, estate, dates, pd.DataFrame(), now)
    by_store = store_days(hours, estate, dates, pd.DataFrame(), now)
    assert_contract(by_camera, counts_of(DAILY_ANALYTICS))
    assert_contract(by_store, counts_of(STORE_DAILY))
    return by_camera, by_store


def _estate(*roles: str, **changes: Any) -> Roster:
    return roster([store("s", **changes)], [camera("a", "s")], {"a": roles or ("entrance",)})


def _two(**changes: Any) -> Roster:
    return roster(
        [store("s", **changes)],
        [camera("a", "s"), camera("b", "s")],
        {"a": ["entrance", "entrance", "passerby"], "b": ["entrance"]},
    )


def test_a_day_is_the_sum_of_its_hours_and_a_store_of_its_cameras() -> None:
    estate = _two(opening=OPEN)
    rows = [counted("a", hour, 1, 2, 3, 4, 20, 20) for hour in hours_from(MIDNIGHT, 24)]
    rows += [counted("b", hour, hour.hour, 1) for hour in hours_from(MIDNIGHT, 24)]
    by_camera, by_store = _both(_hours(estate, rows), estate)
    a, b, whole = one(by_camera, sensor_id="a"), one(by_camera, sensor_id="b"), one(by_store)
    assert (a["total_entries"], b["total_entries"], whole["total_entries"]) == (96, 276, 372)
    assert (whole["total_exits"], whole["net_flow"], whole["passersby"]) == (24 * 7, 204, 960)
    assert (a["total_visitors"], b["total_visitors"], whole["total_visitors"]) == (8, 21, 29)
    assert whole["capture_rate_percent"] == pytest.approx(100 * 29 / 80)  # of the two open hours
    assert a["quality"]["capture_rate_percent"] == "store_level_only"
    assert (whole["peak_hour"], whole["peak_hour_traffic"]) == (time(11), 15)
    assert (whole["off_peak_hour"], whole["off_peak_traffic"]) == (time(10), 14)
    assert a["peak_hour"] == a["off_peak_hour"] == time(10)  # the first on a tie
    lines = json.loads(whole["line_usage_distribution"])
    crossings = {"a:1": 72, "a:2": 168, "b:1": 276 + 24}
    assert lines == pytest.approx({name: count / 540 for name, count in crossings.items()})
    assert whole["data_completeness"] == 1.0
    assert whole["quality"]["counts"] == "measured"


def test_the_hours_of_a_day_are_named_by_their_start_in_utc() -> None:
    estate = _estate(zone="Asia/Kolkata")
    first = utc("2026-02-01T18:30")
    rows = [counted("a", hour, 5, 0) for hour in hours_from(first - timedelta(hours=3), 6)]
    _, by_store = _both(_hours(estate, rows), estate)
    found = json.loads(one(by_store)["hourly_distribution"])
    assert len(found) == 24
    assert list(found)[:4] == [
        "2026-02-01T18:30:00Z",
        "2026-02-01T19:30:00Z",
        "2026-02-01T20:30:00Z",
        "2026-02-01T21:30:00Z",
    ]
    assert list(found.values())[:4] == [5, 5, 5, None]
    assert one(by_store)["total_entries"] == 15
    assert one(by_store)["data_completeness"] == pytest.approx(3 / 24)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_of_a_changed_clock_expects_its_real_hours(day: date, hours: int) -> None:
    estate = _estate(zone="Europe/Berlin")
    first = utc("2026-03-28T23:00") if hours == 23 else utc("2026-10-24T22:00")
    end = first + timedelta(hours=hours)
    rows = [counted("a", hour, 1, 1) for hour in hours_from(first - timedelta(hours=2), hours + 4)]
    frame = sensor_hours(people(rows), regional(), heat(), asked(), estate, first, end, end)
    _, by_store = _both(frame, estate, whole_days(day, 1), now=end)
    row = one(by_store)
    assert row["total_entries"] == len(json.loads(row["hourly_distribution"])) == hours
    assert row["data_completeness"] == 1.0


def test_only_stores_whose_day_has_ended_are_written() -> None:
    estate = roster(
        [store("east", "Pacific/Auckland"), store("west", "America/New_York")],
        [camera("a", "east"), camera("b", "west")],
        {},
    )
    rows = [counted(name, hour, 1, 1) for name in ("a", "b") for hour in hours_from(MIDNIGHT - timedelta(days=1), 48)]
    now = utc("2026-02-02T12:00")
    by_camera, by_store = _both(_hours(estate, rows, now=now), estate, whole_days(MONDAY - timedelta(days=1), 2), now)
    east, west = by_store[by_store["store_id"] == identity("east")], by_store[by_store["store_id"] == identity("west")]
    assert east["date"].tolist() == [MONDAY - timedelta(days=1), MONDAY]
    assert west["date"].tolist() == [MONDAY - timedelta(days=1)]
    assert len(by_camera) == 3


def test_a_day_with_holes_is_the_sum_of_the_rest() -> None:
    estate = _estate(opening=OPEN)
    rows = [counted("a", hour, 2, 1) for hour in hours_from(MIDNIGHT, 24) if hour.hour != 10]
    _, by_store = _both(_hours(estate, rows, log=[("a", MIDNIGHT + timedelta(hours=10), "timeout")]), estate)
    row = one(by_store)
    assert (row["total_entries"], row["total_visitors"]) == (46, 2)
    assert row["data_completeness"] == pytest.approx(23 / 24)
    assert row["quality"]["counts"] == "partial"
    assert json.loads(row["hourly_distribution"])["2026-02-02T10:00:00Z"] is None
    assert row["peak_hour"] == time(11)


def test_a_day_with_only_closed_hours_measured_has_no_visitors_figure() -> None:
    estate = _estate(opening=OPEN)
    log = [("a", MIDNIGHT + timedelta(hours=hour), "refused") for hour in (10, 11)]
    rows = [counted("a", hour, 2, 1) for hour in hours_from(MIDNIGHT, 24) if hour.hour not in (10, 11)]
    row = one(_both(_hours(estate, rows, log=log), estate)[1])
    assert row["total_entries"] == 44
    assert row["total_visitors"] is None
    assert row["quality"]["total_visitors"] == row["quality"]["peak_hour"] == "no_open_hour_measured"


def test_a_day_on_which_the_store_is_closed_has_zero_visitors_and_no_peak() -> None:
    estate = _estate(opening={"tue": [["10:00", "12:00"]]})
    row = one(_both(_hours(estate, [counted("a", hour, 2, 1) for hour in hours_from(MIDNIGHT, 24)]), estate)[1])
    assert row["total_visitors"] == 0
    assert row["quality"]["peak_hour"] == "no_open_hour"


def test_a_day_on_which_nothing_answered_is_a_row_with_reasons() -> None:
    estate = _estate()
    log = [("a", hour, "timeout") for hour in hours_from(MIDNIGHT, 24)]
    by_camera, by_store = _both(_hours(estate, [], log=log), estate)
    for row in (one(by_camera), one(by_store)):
        assert row["total_entries"] is None
        assert row["data_completeness"] == 0.0
        assert row["quality"]["counts"] == "missing"
        assert row["quality"]["total_entries"] == row["quality"]["total_visitors"] == "no_hour_measured"


def test_an_hour_with_a_silent_door_does_not_pass_for_a_quiet_one() -> None:
    estate = _two()
    rows = [counted("a", hour, 5, 5) for hour in hours_from(MIDNIGHT, 24)]
    rows += [counted("b", hour, 5, 5) for hour in hours_from(MIDNIGHT, 24) if hour.hour != 7]
    hours = _hours(estate, rows, log=[("b", MIDNIGHT + timedelta(hours=7), "reset")])
    assert one(_both(hours, estate)[1])["off_peak_traffic"] == 10


def test_an_hour_that_was_counted_in_part_does_not_pass_for_a_quiet_one() -> None:
    estate = _estate()
    rows = [counted("a", hour, 5, 5) for hour in hours_from(MIDNIGHT, 24) if hour.hour != 7]
    rows.append(counted("a", MIDNIGHT + timedelta(hours=7), 1, 0, final=False))
    row = one(_both(_hours(estate, rows), estate)[1])
    assert (row["off_peak_hour"], row["off_peak_traffic"]) == (time(0), 5)


def test_completeness_counts_declared_cameras_and_those_that_were_asked() -> None:
    estate = roster(
        [store("s")],
        [
            camera("a", "s"),
            camera("declared", "s", installed_on=MONDAY),
            camera("retired", "s", installed_on=date(2020, 1, 1), is_active=False),
            camera("future", "s", installed_on=MONDAY + timedelta(days=1)),
            camera("unasked", "s"),
            camera("mall", "s"),
        ],
        {"mall": ["passerby"]},
    )
    by_camera, by_store = _both(_hours(estate, [counted("a", hour) for hour in hours_from(MIDNIGHT, 24)]), estate)
    assert one(by_store)["data_completeness"] == pytest.approx(24 / 48)
    assert one(by_store)["quality"]["counts"] == "partial"
    assert sorted(by_camera["sensor_id"]) == sorted([identity("a"), identity("declared")])
    row = one(by_camera, sensor_id="declared")
    assert row["quality"]["total_entries"] == "not_asked"
    assert set(json.loads(row["hourly_distribution"]).values()) == {None}


def test_what_an_inactive_camera_counted_still_counts() -> None:
    estate = roster([store("s")], [camera("a", "s", is_active=False)], {"a": ["entrance"]})
    row = one(_both(_hours(estate, [counted("a", hour, 2, 2) for hour in hours_from(MIDNIGHT, 24)]), estate)[1])
    assert (row["total_entries"], row["data_completeness"]) == (48, 1.0)


def test_a_day_with_an_hour_that_may_still_grow_is_provisional() -> None:
    estate = _estate()
    rows = [counted("a", hour, 2, 1, final=hour.hour != 23) for hour in hours_from(MIDNIGHT, 24)]
    row = one(_both(_hours(estate, rows), estate)[1])
    assert row["is_provisional"]
    assert row["quality"]["counts"] == "provisional"
    assert row["total_entries"] == 48


def test_regions_are_ranked_by_detections() -> None:
    estate = _two()
    hours = _hours(
        estate,
        [counted(name, hour, 1, 1) for name in ("a", "b") for hour in hours_from(MIDNIGHT, 2)],
        regions=[seen("a", hour, 5, 9, 5, 0) for hour in hours_from(MIDNIGHT, 2)] + [seen("b", MIDNIGHT, 12, 0, 0, 0)],
    )
    by_camera, by_store = _both(hours, estate)
    assert json.loads(one(by_camera, sensor_id="a")["busiest_regions"]) == [
        {"region": 2, "detections": 18},
        {"region": 1, "detections": 10},
        {"region": 3, "detections": 10},
        {"region": 4, "detections": 0},
    ]
    assert json.loads(one(by_store)["busiest_regions"])[:2] == [
        {"region": "a:2", "detections": 18},
        {"region": "b:1", "detections": 12},
    ]


def test_doubled_hours_count_once_and_the_complete_one_holds() -> None:
    estate = _estate()
    final = _hours(estate, [counted("a", hour, 3, 1) for hour in hours_from(MIDNIGHT, 24)])
    growing = _hours(estate, [counted("a", hour, 9, 9, final=False) for hour in hours_from(MIDNIGHT, 24)])
    for hours in (pd.concat([final, growing]), pd.concat([growing, final, final])):
        row = one(_both(hours, estate)[1])
        assert (row["total_entries"], row["quality"]["counts"]) == (72, "measured")


def test_hours_of_unknown_cameras_are_left_out() -> None:
    estate = _estate()
    wider = roster([store("s")], [camera("a", "s"), camera("x", "s")], {})
    rows = [counted(name, hour, 1, 1) for name in ("a", "x") for hour in hours_from(MIDNIGHT, 24)]
    by_camera, by_store = _both(_hours(wider, rows), estate)
    assert len(by_camera) == 1
    assert one(by_store)["total_entries"] == 24


def test_stored_hours_before_a_later_declared_installation_are_left_out() -> None:
    hours = _hours(_estate(), [counted("a", hour, 1, 1) for hour in hours_from(MIDNIGHT, 48)])
    estate = roster([store("s")], [camera("a", "s", installed_on=MONDAY + timedelta(days=1))], {"a": ["entrance"]})
    by_camera, by_store = _both(hours, estate, whole_days(MONDAY, 2))
    assert by_camera["date"].tolist() == by_store["date"].tolist() == [MONDAY + timedelta(days=1)]


def _history(key: str, name: str, visitors: Mapping[date, float | None], completeness: float = 1.0) -> pd.DataFrame:
    table = STORE_DAILY if key == "store_id" else DAILY_ANALYTICS
    return typed(
        table,
        [
            {key: identity(name), "date": day, "total_visitors": count, "data_completeness": completeness}
            for day, count in visitors.items()
        ],
    )


def _compared(
    history: pd.DataFrame,
    counts: int = 5,
    dates: tuple[date, date] = whole_days(MONDAY, 1),
    holidays: pd.DataFrame | None = None,
    **changes: Any,
) -> pd.DataFrame:
    estate = _estate(**changes)
    span = (dates[1] - dates[0]).days * 24
    first = MIDNIGHT + timedelta(days=(dates[0] - MONDAY).days)
    rows = [counted("a", hour, counts, 0) for hour in hours_from(first, span)]
    now = first + timedelta(hours=span)
    hours = sensor_hours(people(rows), regional(), heat(), asked(), estate, first, now, now)
    frame = store_days(hours, estate, dates, history, now, holidays)
    assert_contract(frame, counts_of(STORE_DAILY))
    return frame


def _holidays(*rows: tuple[date, date | None]) -> pd.DataFrame:
    """Holidays of the store, each with that of the year before."""
    return pd.DataFrame(
        {
            "store_id": pd.array([identity("s")] * len(rows), dtype="string"),
            "date": pd.Series([day for day, _ in rows], dtype=object),
            "reference_date": pd.Series([before for _, before in rows], dtype=object),
        }
    )


def test_a_day_is_compared_with_the_same_weekday_before() -> None:
    history = _history(
        "store_id",
        "s",
        {
            MONDAY - timedelta(days=7): 100,
            MONDAY - timedelta(days=28): 240,
            MONDAY - timedelta(days=364): 60,
            MONDAY - timedelta(days=14): 80,
            MONDAY - timedelta(days=1): 9999,
        },
    )
    row = one(_compared(history))  # 120 visitors
    assert row["wow_change_percent"] == pytest.approx(20)
    assert row["mom_change_percent"] == pytest.approx(-50)
    assert row["yoy_change_percent"] == pytest.approx(100)
    assert row["dow_avg_comparison"] == pytest.approx(0)  # 100, 80, 240, 60 average 120


def test_the_mean_weekday_takes_the_last_eight_complete_ones() -> None:
    weeks = {MONDAY - timedelta(days=7 * week): 100.0 if week <= 8 else 1e6 for week in range(1, 20)}
    assert one(_compared(_history("store_id", "s", weeks)))["dow_avg_comparison"] == pytest.approx(20)
    three = dict(list(weeks.items())[:3])
    row = one(_compared(_history("store_id", "s", three)))
    assert row["dow_avg_comparison"] is None
    assert row["quality"]["dow_avg_comparison"] == "too_few_days"


_YEAR_AGO = {MONDAY - timedelta(days=back): float(back) for back in (7, 28, 364, 357, 385)}


def test_a_holiday_is_compared_with_that_of_its_name_and_with_no_week_or_month() -> None:
    easter = _holidays((MONDAY, MONDAY - timedelta(days=385)), (MONDAY - timedelta(days=385), None))
    row = one(_compared(_history("store_id", "s", _YEAR_AGO), holidays=easter))
    assert row["quality"]["wow_change_percent"] == row["quality"]["mom_change_percent"] == "holiday"
    assert row["yoy_change_percent"] == pytest.approx(100 * (120 / 385 - 1))


def test_a_day_is_not_compared_with_a_holiday() -> None:
    past = _holidays(*((MONDAY - timedelta(days=back), None) for back in (7, 364)))
    row = one(_compared(_history("store_id", "s", _YEAR_AGO), holidays=past))
    assert row["quality"]["wow_change_percent"] == row["quality"]["yoy_change_percent"] == "holiday"
    assert row["mom_change_percent"] == pytest.approx(100 * (120 / 28 - 1))


def test_a_holiday_that_was_none_the_year_before_has_nothing_to_be_compared_with() -> None:
    row = one(_compared(_history("store_id", "s", _YEAR_AGO), holidays=_holidays((MONDAY, None))))
    assert row["quality"]["yoy_change_percent"] == "no_comparable_day"


def test_the_mean_weekday_passes_over_holidays() -> None:
    weeks = {MONDAY - timedelta(days=7 * week): 1e6 if week == 2 else 100.0 for week in range(1, 10)}
    off = _holidays((MONDAY - timedelta(days=14), None))
    assert one(_compared(_history("store_id", "s", weeks), holidays=off))["dow_avg_comparison"] == pytest.approx(20)


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (pd.DataFrame(), "no_comparable_day"),
        (_history("store_id", "s", {MONDAY - timedelta(days=7): 100}, completeness=0.89), "no_comparable_day"),
        (_history("store_id", "s", {MONDAY - timedelta(days=7): None}), "no_comparable_day"),
        (_history("store_id", "t", {MONDAY - timedelta(days=7): 100}), "no_comparable_day"),
        (_history("store_id", "s", {MONDAY - timedelta(days=7): 0}), "reference_zero"),
    ],
    ids=["no history", "incomplete", "missing", "another store", "zero"],
)
def test_a_day_without_a_comparable_one_says_why(history: pd.DataFrame, reason: str) -> None:
    row = one(_compared(history))
    assert row["wow_change_percent"] is None
    assert row["quality"]["wow_change_percent"] == reason


def test_an_incomplete_day_is_not_compared() -> None:
    estate = _estate()
    rows = [counted("a", hour, 5, 0) for hour in hours_from(MIDNIGHT, 21)]
    history = _history("store_id", "s", {MONDAY - timedelta(days=7): 100})
    row = one(store_days(_hours(estate, rows), estate, whole_days(MONDAY, 1), history, LATER))
    assert row["quality"]["wow_change_percent"] == "incomplete_day"


def test_days_computed_now_stand_before_stored_ones() -> None:
    stored = _history("store_id", "s", {MONDAY: 1, MONDAY - timedelta(days=7): 60})
    frame = _compared(stored, dates=whole_days(MONDAY, 8))
    assert one(frame, date=MONDAY)["wow_change_percent"] == pytest.approx(100)
    assert one(frame, date=MONDAY + timedelta(days=7))["wow_change_percent"] == pytest.approx(0)


def test_stored_days_that_are_not_computed_again_still_serve() -> None:
    stored = _history("store_id", "s", {MONDAY: 60})
    estate = _estate()
    rows = [counted("a", hour, 5, 0) for hour in hours_from(MIDNIGHT + timedelta(days=7), 24)]
    frame = store_days(_hours(estate, rows), estate, whole_days(MONDAY, 8), stored, LATER)
    assert one(frame, date=MONDAY + timedelta(days=7))["wow_change_percent"] == pytest.approx(100)


def test_empty_frames_give_empty_frames() -> None:
    estate = _estate()
    for nothing in (pd.DataFrame(), typed(HOURLY_ANALYTICS, [])):
        by_camera, by_store = _both(nothing, estate)
        assert len(by_camera) == len(by_store) == 0
    _both(typed(HOURLY_ANALYTICS, []), Roster(*[pd.DataFrame()] * 4))
    _both(_hours(estate, [counted("a", MIDNIGHT, 1, 1)]), estate, whole_days(MONDAY, 0))


def test_dates_that_run_backwards_are_refused() -> None:
    with pytest.raises(ContractError, match="backwards"):
        store_days(pd.DataFrame(), _estate(), (MONDAY, MONDAY - timedelta(days=1)), pd.DataFrame(), LATER)
