"""Missing hours, their gaps and estimates against examples worked by hand, and what an estimate does to hours, days and stores."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.analytics import slices
from retail_sensors.analytics.daily import sensor_days, store_days
from retail_sensors.analytics.hourly import sensor_hours, store_hours
from retail_sensors.analytics.missing import estimated_hours, gaps_at, missing_hours, within_gaps
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables import DAILY_ANALYTICS, HOURLY_ANALYTICS, STORE_DAILY, STORE_HOURLY
from retail_sensors.tables.figures import counts_of
from retail_sensors.tables.missing import IMPUTED_HOURS
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
    store,
    typed,
    utc,
)

BEGIN = utc("2026-01-05T00:00")  # a Monday
DARK = utc("2026-02-02T09:00")  # four weeks later, with a week behind it
DAYS = 36
LATER = BEGIN + timedelta(days=DAYS)
HOUR = timedelta(hours=1)
DAY = (date(2026, 2, 2), date(2026, 2, 3))


def usual(hour: datetime) -> int:
    """40 people at night, 100 in the day: the same on every day."""
    return 100 if 8 <= hour.hour < 20 else 40


def estate(*names: str, **changes: Any) -> Roster:
    listed = names or ("a",)
    return roster(
        [store("s", **changes)], [camera(name, "s") for name in listed], {name: ["entrance"] for name in listed}
    )


def counts(
    dark: Sequence[datetime] = (),
    name: str = "a",
    start: datetime = BEGIN,
    days: int = DAYS,
    of: Callable[[datetime], int] = usual,
) -> list[dict[str, Any]]:
    """Entries as usual and half as many exits in every hour but the dark ones."""
    hours = hours_from(start, days * 24)
    return [counted(name, hour, of(hour), of(hour) // 2) for hour in hours if hour not in set(dark)]


def estimated(
    of: Roster, rows: Any, dark: Sequence[datetime], name: str = "a", now: datetime = LATER, **more: Any
) -> pd.DataFrame:
    log = [(name, hour, more.get("outcome", "timeout")) for hour in dark]
    frame = estimated_hours(people(rows), asked(log), of, now, more.get("holidays"))
    assert list(frame.columns) == [column.name for column in IMPUTED_HOURS.written]
    assert not frame.duplicated(list(IMPUTED_HOURS.key)).any()
    for text in frame["donors"]:
        json.loads(text)
    return frame


def figures(
    of: Roster, rows: Any, log: Any, imputed: pd.DataFrame, dates: tuple[date, date]
) -> dict[str, pd.DataFrame]:
    """All four tables of some dates, from raw rows and estimates."""
    start = utc(f"{dates[0]}T00:00") - timedelta(days=2)
    end = utc(f"{dates[1]}T00:00") + timedelta(days=2)
    raw = (people(rows), regional(), heat(), asked(log))
    hours = sensor_hours(*raw, of, start, end, LATER, imputed)
    found = {
        "hours": hours,
        "store_hours": store_hours(hours, of, start, end, LATER),
        "days": sensor_days(hours, of, dates, pd.DataFrame(), LATER),
        "store_days": store_days(hours, of, dates, pd.DataFrame(), LATER),
    }
    tables = (HOURLY_ANALYTICS, STORE_HOURLY, DAILY_ANALYTICS, STORE_DAILY)
    for frame, table in zip(found.values(), tables, strict=True):
        assert_contract(frame, counts_of(table))
    return found


def test_three_dark_hours_take_what_is_usual_of_them() -> None:
    dark = hours_from(DARK, 3)
    frame = estimated(estate(), counts(dark), dark)
    assert frame["hour_start"].tolist() == dark
    assert frame["entries"].tolist() == pytest.approx([100.0, 100.0, 100.0])
    assert frame["exits"].tolist() == pytest.approx([50.0, 50.0, 50.0])
    assert frame["passersby"].isna().all()
    assert set(frame["quality"]) == {"estimated"}


def test_a_dark_day_is_substituted_from_like_days() -> None:
    dark = hours_from(utc("2026-02-02T00:00"), 24)
    frame = estimated(estate(), counts(dark), dark)
    assert len(frame) == 24
    assert (set(frame["quality"]), set(frame["method"])) == ({"substituted"}, {"like_days"})
    assert frame["entries"].sum() == pytest.approx(12 * 40 + 12 * 100)


def test_eight_dark_days_stay_missing() -> None:
    dark = hours_from(utc("2026-01-25T00:00"), 8 * 24)
    assert not len(estimated(estate(), counts(dark), dark))
    week = dark[:168]
    assert len(estimated(estate(), counts(week), week)) == 168


def test_a_camera_of_last_week_has_too_few_donors() -> None:
    dark = hours_from(DARK, 8)
    rows = counts(dark, start=DARK - timedelta(days=6), days=9)
    imputed = estimated(estate(), rows, dark)
    assert not len(imputed)
    row = one(
        figures(estate(), rows, [("a", hour, "timeout") for hour in dark], imputed, DAY)["hours"], hour_start=DARK
    )
    assert row["total_entries"] is None
    assert row["imputed_share"] is None
    assert row["quality"]["imputed_share"] == row["quality"]["total_entries"] == "timeout"


def test_an_hour_before_the_first_counted_one_is_not_estimated() -> None:
    dark = hours_from(BEGIN - 3 * HOUR, 3)
    assert not len(estimated(estate(), counts(), dark))


def test_a_dead_counter_at_zero_is_not_missing() -> None:
    dead = hours_from(DARK, 3)
    rows = counts(dead) + [counted("a", hour, 0, 0) for hour in dead]
    log = asked([("a", hour, "ok") for hour in dead])
    assert not len(missing_hours(people(rows), log, estate(), LATER))


def test_what_is_missing() -> None:
    of = estate(opening={"mon": [["10:00", "12:00"]]})
    nine, ten, eleven = hours_from(DARK, 3)
    rows = [counted("a", ten, None, 3)]
    log = asked([("a", nine, "timeout"), ("a", ten, "ok"), ("a", eleven, "no_rows"), ("a", eleven + HOUR, "timeout")])
    found = missing_hours(people(rows), log, of, LATER)
    assert found["hour_start"].tolist() == [ten, eleven]  # the store is closed at nine and at twelve
    assert missing_hours(people(rows), log, of, eleven + timedelta(minutes=59))["hour_start"].tolist() == [ten]


@pytest.mark.parametrize(("outcome", "is_missing"), [("ok", False), ("timeout", True)])
def test_counts_of_a_part_of_the_hour_are_missing_once_the_camera_is_silent(outcome: str, is_missing: bool) -> None:
    rows = people([counted("a", DARK, 7, 3, final=False)])
    assert len(missing_hours(rows, asked([("a", DARK, outcome)]), estate(), LATER)) == is_missing


def test_an_estimate_is_never_below_what_was_counted_in_part_of_the_hour() -> None:
    rows = [*counts([DARK]), counted("a", DARK, 70, 60, final=False)]
    row = estimated(estate(), rows, [DARK]).iloc[0]
    assert (row["entries"], row["exits"]) == (pytest.approx(100.0), 60.0)
    rows = [*counts([DARK]), counted("a", DARK, 170, 160, final=False)]
    assert not len(estimated(estate(), rows, [DARK]))


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_days_of_a_changed_clock_are_estimated_by_the_wall_clock(day: date, hours: int) -> None:
    of = estate(zone="Europe/Berlin")
    first = utc("2026-03-28T23:00") if hours == 23 else utc("2026-10-24T22:00")
    start = first - timedelta(days=28)

    def by_wall(hour: datetime) -> int:
        return int(usual(pd.Timestamp(hour).tz_convert("Europe/Berlin").to_pydatetime()))

    dark = hours_from(first, hours)
    rows = counts(dark, start=start, days=36, of=by_wall)
    frame = estimated(of, rows, dark, now=start + timedelta(days=36))
    assert len(frame) == hours
    assert frame["entries"].tolist() == pytest.approx([by_wall(hour) for hour in dark])
    hours_frame = sensor_hours(
        people(rows),
        regional(),
        heat(),
        asked([("a", hour, "timeout") for hour in dark]),
        of,
        first,
        first + hours * HOUR,
        start + timedelta(days=36),
        frame,
    )
    row = one(sensor_days(hours_frame, of, (day, day + timedelta(days=1)), pd.DataFrame(), start + timedelta(days=36)))
    assert row["total_entries"] == pytest.approx((hours - 12) * 40 + 12 * 100)
    assert row["imputed_share"] == pytest.approx(1.0)
    assert row["quality"]["counts"] == "substituted"


def test_holidays_are_no_donors() -> None:
    off = {date(2026, 1, 26), date(2026, 1, 19)}

    def with_holidays(hour: datetime) -> int:
        return 3 if hour.date() in off else usual(hour)

    holidays = pd.DataFrame({"store_id": identity("s"), "date": sorted(off), "holiday_name": "x"})
    dark = hours_from(utc("2026-02-02T00:00"), 24)
    rows = counts(dark, of=with_holidays)
    frame = estimated(estate(), rows, dark, holidays=holidays)
    assert frame["entries"].sum() == pytest.approx(12 * 40 + 12 * 100)
    holidays = pd.DataFrame({"store_id": identity("s"), "date": [date(2026, 2, 2)], "holiday_name": "x"})
    assert not len(estimated(estate(), rows, dark, holidays=holidays))


def test_a_zone_whose_clock_changes_by_half_an_hour_is_estimated_within_its_hours() -> None:
    of = estate(zone="Australia/Lord_Howe")  # from +11 to +10:30 on 2026-04-05
    turn = utc("2026-04-04T15:00")
    dark = hours_from(turn + timedelta(days=28, minutes=30), 3)
    rows = counts(start=turn - timedelta(days=2), days=2) + counts(dark, start=turn + timedelta(minutes=30), days=36)
    frame = estimated(of, rows, dark, now=turn + timedelta(days=40))
    assert frame["hour_start"].tolist() == dark


def test_gaps_reach_from_one_measured_open_hour_to_the_next() -> None:
    of = estate("a", "b", opening={day: [["09:00", "18:00"]] for day in ("mon", "tue")})
    night = [DARK + 8 * HOUR, DARK + 24 * HOUR]  # 17:00, and 09:00 of the next day
    rows = counts(night) + counts(name="b")
    log = asked([("a", hour, "timeout") for hour in night])
    window = (DARK + 25 * HOUR, DARK + 27 * HOUR)
    gaps = gaps_at(people(rows), log, of, window, LATER)
    assert gaps["sensor_id"].tolist() == [identity("a")]
    assert gaps["after"].tolist() == [DARK + 7 * HOUR]
    assert gaps["before"].tolist() == [window[1]]
    assert not gaps["is_hopeless"].any()
    hours = pd.DataFrame(
        {
            "sensor_id": pd.array([identity("a"), identity("a"), identity("b")], dtype="string"),
            "hour_start": pd.DatetimeIndex([night[0], DARK, night[0]]).as_unit("us"),
        }
    )
    assert within_gaps(hours, gaps).tolist() == [True, False, False]
    # a gap that ended before the window is not looked at again
    assert gaps_at(people(rows), log, of, (window[0] + HOUR, window[1]), LATER).empty
    nothing = gaps_at(people(counts(name="b")), log, of, window, LATER)
    assert nothing["is_hopeless"].tolist() == [True]


def test_an_estimated_hour_makes_sums_and_nothing_that_needs_a_measurement() -> None:
    of = estate("a", "b", capacity=500)
    dark = hours_from(utc("2026-02-02T00:00"), 24)[9:12]
    rows = counts(dark) + counts(name="b")
    log = [("a", hour, "timeout") for hour in dark]
    imputed = estimated(of, rows, dark)
    found = figures(of, rows, log, imputed, DAY)

    row = one(found["hours"], sensor_id="a", hour_start=dark[0])
    assert (row["total_entries"], row["total_exits"], row["net_flow"]) == pytest.approx((100, 50, 50))
    assert (row["imputed_share"], row["data_completeness"], row["is_provisional"]) == (1.0, 0.0, False)
    assert row["quality"]["counts"] == "estimated"
    assert row["quality"]["busiest_line"] == row["quality"]["line_distribution"] == "imputed"
    assert one(found["hours"], sensor_id="b", hour_start=dark[0])["imputed_share"] == 0.0

    row = one(found["store_hours"], hour_start=dark[0])
    assert row["total_entries"] == pytest.approx(200)
    assert row["imputed_share"] == pytest.approx(0.5)
    assert row["data_completeness"] == 0.5
    assert row["quality"]["counts"] == "estimated"
    assert row["quality"]["avg_occupancy"] == "incomplete_day"
    assert row["quality"]["busiest_line"] == "imputed"

    row = one(found["days"], sensor_id="a")
    whole = 12 * 40 + 12 * 100
    assert row["total_entries"] == pytest.approx(whole)
    assert row["imputed_share"] == pytest.approx(450 / (1.5 * whole))
    assert row["data_completeness"] == pytest.approx(21 / 24)
    assert row["quality"]["counts"] == "estimated"
    assert row["peak_hour"].hour == 8  # 9 to 11 are not measured; 8 is the first of the others
    row = one(found["store_days"])
    assert row["imputed_share"] == pytest.approx(450 / (3 * whole))
    assert row["quality"]["avg_dwell_time_minutes"] == "incomplete_day"
    assert json.loads(row["hourly_distribution"])["2026-02-02T09:00:00Z"] == pytest.approx(200)


def test_a_peak_is_never_an_estimated_hour() -> None:
    of = estate()
    dark = [DARK + HOUR]
    rows = [*counts([*dark, DARK, DARK + 2 * HOUR]), counted("a", DARK, 400, 0), counted("a", DARK + 2 * HOUR, 410, 0)]
    imputed = estimated(of, rows, dark)
    imputed["entries"] = imputed["entries"] + 1000
    row = one(figures(of, rows, [("a", dark[0], "reset")], imputed, DAY)["days"])
    assert (row["peak_hour"].hour, row["peak_hour_traffic"]) == (11, 410)


def test_only_the_part_that_was_not_counted_is_a_share() -> None:
    rows = [*counts([DARK]), counted("a", DARK, None, 50)]
    imputed = estimated(estate(), rows, [DARK], outcome="ok")
    row = one(
        figures(estate(), rows, [("a", DARK, "ok")], imputed, DAY)["hours"],
        hour_start=DARK,
    )
    assert (row["total_entries"], row["total_exits"]) == (pytest.approx(100), 50)
    assert row["imputed_share"] == pytest.approx(100 / 150)
    assert row["quality"]["counts"] == "estimated"


def test_an_estimate_of_nobody_is_an_estimate_all_the_same() -> None:
    def quiet(hour: datetime) -> int:
        return 0 if hour.hour == 9 else usual(hour)

    rows = counts([DARK], of=quiet)
    imputed = typed(
        IMPUTED_HOURS,
        [{"sensor_id": identity("a"), "hour_start": DARK, "entries": 0.0, "exits": 0.0, "quality": "substituted"}],
    )
    found = figures(estate(), rows, [("a", DARK, "timeout")], imputed, DAY)
    row = one(found["hours"], hour_start=DARK)
    assert (row["total_entries"], row["imputed_share"], row["quality"]["counts"]) == (0, 1.0, "substituted")
    assert one(found["store_hours"], hour_start=DARK)["imputed_share"] == 1.0
    row = one(found["store_days"])
    assert (row["imputed_share"], row["quality"]["counts"]) == (0.0, "substituted")
    assert row["data_completeness"] == pytest.approx(23 / 24)


def test_a_measured_hour_is_deaf_to_a_stale_estimate() -> None:
    dark = [DARK]
    imputed = estimated(estate(), counts(dark), dark)
    with_estimate = figures(estate(), counts(), [], imputed, DAY)
    without = figures(estate(), counts(), [], typed(IMPUTED_HOURS, []), DAY)
    for name, frame in without.items():
        pd.testing.assert_frame_equal(with_estimate[name], frame)


def test_a_passerby_camera_that_was_estimated_is_flagged_and_makes_no_capture() -> None:
    of = roster([store("s")], [camera("a", "s"), camera("p", "s")], {"a": ["entrance"], "p": ["passerby"]})
    rows = counts() + counts([DARK], name="p")
    imputed = estimated(of, rows, [DARK], name="p")
    found = figures(of, rows, [("p", DARK, "timeout")], imputed, DAY)
    row = one(found["store_hours"], hour_start=DARK)
    assert row["passersby"] == pytest.approx(150)
    assert row["imputed_share"] == pytest.approx(0.5)
    assert (row["quality"]["counts"], row["quality"]["passersby"]) == ("measured", "imputed")
    assert row["quality"]["capture_rate_percent"] == "imputed"


def test_a_big_fleet_is_computed_in_slices_of_stores_with_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    stores = [store(f"s{number}") for number in range(3)]
    # the order of the names is not that of the stores
    cameras = [camera(f"c{number}", f"s{(number * 2) % 3}") for number in range(6)]
    of = roster(stores, cameras, {f"c{number}": ["entrance"] for number in range(6)})
    rows = [row for number in range(6) for row in counts([DARK] if number == 3 else [], name=f"c{number}")]
    imputed = estimated(of, rows, [DARK], name="c3")
    rows.append(counted("stranger", DARK, 1))
    whole = figures(of, rows, [("c3", DARK, "timeout")], imputed, DAY)
    monkeypatch.setattr(slices, "ROWS_AT_A_TIME", len(rows) // 3)
    sliced = figures(of, rows, [("c3", DARK, "timeout")], imputed, DAY)
    for name, frame in whole.items():
        pd.testing.assert_frame_equal(sliced[name], frame)


@given(st.sets(st.integers(0, 47), max_size=30), st.integers(0, 2**20 - 1))
@settings(max_examples=20, deadline=None)
def test_estimated_people_add_up_over_hours_days_and_cameras(dark: set[int], seed: int) -> None:
    of = estate("a", "b", zone="Asia/Kolkata")
    start = BEGIN + timedelta(minutes=30)
    first = utc("2026-02-02T18:30") - timedelta(days=1)
    silent = {
        name: [first + offset * HOUR for offset in sorted(dark) if (seed >> offset % 20) % 2 == (name == "a")]
        for name in ("a", "b")
    }
    rows = [row for name, hours in silent.items() for row in counts(hours, name=name, start=start)]
    log = [(name, hour, "timeout") for name, hours in silent.items() for hour in hours]
    imputed = estimated_hours(people(rows), asked(log), of, LATER)
    assert {*zip(imputed["sensor_id"], imputed["hour_start"], strict=True)} <= {
        (identity(name), hour) for name, hour, _ in log
    }
    found = figures(of, rows, log, imputed, (date(2026, 2, 2), date(2026, 2, 4)))
    inside = (found["hours"]["hour_start"] >= first) & (found["hours"]["hour_start"] < first + 48 * HOUR)

    def estimated_people(frame: pd.DataFrame) -> float:
        total = frame["total_entries"].fillna(0) + frame["total_exits"].fillna(0)
        return float((total * frame["imputed_share"].fillna(0)).sum())

    expected = float((imputed["entries"] + imputed["exits"]).sum())
    of_stores = (found["store_hours"]["hour_start"] >= first) & (found["store_hours"]["hour_start"] < first + 48 * HOUR)
    for frame in (found["hours"][inside], found["store_hours"][of_stores], found["days"], found["store_days"]):
        assert estimated_people(frame) == pytest.approx(expected)
