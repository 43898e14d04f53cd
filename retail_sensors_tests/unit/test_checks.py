"""What checks say of rows: each sentence and number from a worked example."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.analytics import checks
from retail_sensors_tests.unit.analytics_estate import camera, identity, roster, store, utc

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 2, 2, 8, tzinfo=UTC)


def asked(name: str, *hours: str, seen: datetime | None = None, zone: str = "UTC") -> list[dict[str, Any]]:
    """Rows of a camera from 08:00 on: `in`, an outcome, or `late`, an hour that is in although the last question failed."""
    row = {"camera": name, "timezone": zone, "last_seen_at": seen}
    listed = [
        {
            **row,
            "hour_start": START + n * HOUR,
            "outcome": {"in": "ok", "late": "timeout"}.get(word, word),
            "is_in": word in ("in", "late"),
        }
        for n, word in enumerate(hours)
    ]
    return listed or [{**row, "hour_start": None, "outcome": None, "is_in": False}]


def said(*cameras: list[dict[str, Any]], has_past: bool = True) -> checks.Verdict:
    frame = pd.DataFrame([row for rows in cameras for row in rows])
    if len(frame):
        frame["hour_start"] = pd.to_datetime(frame["hour_start"], utc=True)
    return checks.completeness(frame, has_past=has_past)


def test_a_camera_that_fell_silent_is_named_with_its_last_hour_by_its_own_clock() -> None:
    whole = [asked(f"c{n}", *["in"] * 4) for n in range(5)]
    verdict = said(*whole, asked("lisbon-2", "in", "late", "refused", "refused", zone="Asia/Kolkata"))
    assert (verdict.passed, verdict.is_severe) == (False, False)
    # 10:00 in UTC
    assert verdict.told == "5 of 6 cameras complete; lisbon-2 refused since 2026-02-02 15:30"
    assert verdict.numbers == {
        "cameras": 6,
        "cameras complete": 5,
        "cameras not asked": 0,
        "hours asked": 24,
        "hours missing": 2,
    }
    assert verdict.rows["camera"].tolist() == ["lisbon-2"]


def test_a_gap_a_dead_camera_and_one_that_was_not_asked_are_told_apart() -> None:
    verdict = said(
        asked("a", "in", "timeout", "in"),
        asked("b", "reset", "reset", "timeout", seen=utc("2026-02-01T21:07")),
        asked("c", "timeout"),
        asked("d"),
    )
    assert verdict.is_severe
    assert verdict.told == (
        "0 of 4 cameras complete; a lacks 1 of 3 hours, the first 2026-02-02 09:00 (timeout); "
        "b timeout in all of 3 hours asked, last seen 2026-02-01 21:07; c timeout in all of 1 hour asked, never seen; and 1 more"
    )
    assert verdict.rows["told"].tolist()[-1] == "was not asked"
    assert verdict.numbers["cameras not asked"] == 1


def test_complete_cameras_pass_and_so_does_an_endpoint_that_has_no_past() -> None:
    assert said(asked("a", "in"), asked("b", "late")).told == "2 of 2 cameras complete"
    assert said(asked("a"), asked("b"), has_past=False).passed
    assert not said(asked("a"), asked("b")).passed
    assert not said(asked("a", "in"), asked("b", "timeout"), has_past=False).passed
    assert said().passed


@given(
    st.lists(st.lists(st.sampled_from(["in", "late", "timeout", "no_rows"]), max_size=5), min_size=1, max_size=6),
    st.randoms(),
)
def test_no_camera_and_no_hour_is_lost_in_whatever_order_rows_come(words: list[list[str]], order: Any) -> None:
    rows = [row for n, hours in enumerate(words) for row in asked(f"c{n}", *hours)]
    verdict = said(rows)
    assert verdict.numbers["cameras complete"] + len(verdict.rows) == verdict.numbers["cameras"] == len(words)
    inside = sum(word in ("in", "late") for hours in words for word in hours)
    assert verdict.numbers["hours asked"] - verdict.numbers["hours missing"] == inside
    assert verdict.passed == all(hours and set(hours) <= {"in", "late"} for hours in words)
    order.shuffle(rows)
    assert said(rows).told == verdict.told


def test_lower_readings_are_told_by_camera_and_those_that_were_asked_for_are_not() -> None:
    row = {"camera": "a", "timezone": "Europe/Lisbon", "action": "refused", "kept": 120.0, "set_aside": 0.0}
    revisions = pd.DataFrame(
        [
            {**row, "timestamp": START, "run_id": "old"},
            {**row, "timestamp": START + HOUR, "run_id": "now"},
            {**row, "timestamp": START + HOUR, "run_id": "now", "set_aside": 3.0},
            {**row, "camera": "b", "timestamp": START, "run_id": "now", "action": "overwritten"},
        ]
    )
    verdict = checks.lowered(revisions, "now")
    assert verdict.told == "lower readings were set aside: a in 2 hours"
    assert verdict.numbers == {
        "readings set aside": 3,
        "of them new in this run": 2,
        "readings overwritten as asked": 1,
    }
    assert verdict.rows["now said"].tolist() == [0.0, 0.0, 3.0]
    assert not verdict.passed
    assert checks.lowered(revisions[revisions["action"] == "overwritten"], "now").passed
    assert checks.lowered(revisions.iloc[:0], "now").passed


def counted(n: int, came: int | None, left: int | None, usual: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "camera": "a",
        "timezone": "UTC",
        "timestamp": START + n * HOUR,
        "local_day": date(2026, 2, 2),
        "has_ended": False,
        "is_inside": True,
        "total_in": came,
        "total_out": left,
        "weeks": 8 if usual is not None else 0,
        "usual": usual,
        "usual_in": 40,
        "usual_out": 40,
        **changes,
    }


def test_an_hour_is_a_spike_over_twenty_times_what_is_usual_and_never_under_a_hundred() -> None:
    counts = pd.DataFrame(
        [
            counted(0, 300, 301, 30.0),  # over 600
            counted(1, 300, 300, 30.0),  # 600: not over
            counted(2, 50, 50, 0.0),  # 100 where nobody is usual: not over the floor
            counted(3, 50, 51, 0.0),
            counted(4, 9000, 9000, 10.0, weeks=3),  # too few weeks to be usual
            counted(5, 9000, 9000, 10.0, is_inside=False),  # another run's hour
            counted(6, None, 10, None),
        ]
    )
    verdict = checks.plausibility(counts)
    assert verdict.told == ("a 2026-02-02 08:00: 601 people, 30 are usual; a 2026-02-02 11:00: 101 people, 0 are usual")
    assert verdict.numbers == {
        "hours looked at": 6,
        "hours without a usual count": 2,
        "hours far above usual": 2,
        "days one way only": 0,
    }
    assert checks.plausibility(counts.iloc[1:2]).passed
    assert checks.plausibility(counts.iloc[:0]).passed


@pytest.mark.parametrize(
    ("came", "changes", "is_found"),
    [
        (10, {}, True),
        (9, {}, False),  # 18 people prove nothing
        (10, {"usual_out": 0}, False),  # the door has no way out
        (10, {"has_ended": False}, False),  # they may still leave
    ],
)
def test_a_day_on_which_nobody_leaves(came: int, changes: dict[str, Any], is_found: bool) -> None:
    day = [counted(n, came, 0, 30.0, is_inside=False, **{"has_ended": True, **changes}) for n in (0, 1)]
    verdict = checks.plausibility(pd.DataFrame(day))
    assert verdict.passed != is_found
    if is_found:
        assert verdict.told == "a 2026-02-02: 20 people in and nobody out all day"


def summed(subject: str, at: str, *figures: tuple[str, float | None, float | None]) -> list[dict[str, Any]]:
    return [
        {"subject": subject, "at": at, "figure": name, "whole": whole, "parts": parts} for name, whole, parts in figures
    ]


def test_a_store_that_is_not_the_sum_of_its_cameras_is_an_error() -> None:
    good = summed("Lisbon", "2026-02-02", ("entries", 10.0, 10.0), ("exits", 9.0, 9.0005), ("passersby", None, None))
    verdict = checks.sums(
        pd.DataFrame(
            [
                *good,
                *summed("Lisbon", "2026-02-03", ("entries", 10.0, 12.0), ("exits", 7.0, 9.0)),
                *summed("Lisbon", "2026-02-04", ("entries", None, 1.0), ("exits", 9.0, 9.0)),
                *summed("Porto", "2026-02-04", ("entries", 1.0, None)),
            ]
        ),
        "store",
        "cameras",
    )
    assert (verdict.passed, verdict.is_severe) == (False, True)
    assert verdict.told == "does not agree with its cameras: Lisbon in 2 rows; Porto in 1 row"
    assert verdict.rows["figure"].tolist() == ["entries", "exits", "entries", "entries"]
    assert list(verdict.rows) == ["where", "at", "figure", "of the store", "of its cameras"]
    assert verdict.numbers == {"rows compared": 4, "rows that differ": 3}
    passed = checks.sums(pd.DataFrame(good), "store", "cameras")
    assert (passed.passed, passed.told) == (True, "Each store agrees with its cameras in 1 row.")
    assert checks.sums(pd.DataFrame(good).iloc[:0], "store", "cameras").passed


def test_an_estimate_far_above_what_was_ever_counted_is_named_and_a_busier_day_is_not() -> None:
    row = {"camera": "east", "timezone": "Europe/Berlin", "hour_start": START, "most": 40.0}
    rows = pd.DataFrame(
        [
            {**row, "people": 60.0},
            {**row, "people": 61.0},
            {**row, "camera": "new", "people": 9.0, "most": None},
        ]
    )
    verdict = checks.estimates_within(rows)
    assert verdict.told == "east 2026-02-02 09:00: 61 people estimated, 40 are the most that it counted"
    assert verdict.numbers == {"estimated hours": 3, "hours far above any count": 1}
    assert (verdict.passed, verdict.is_severe) == (False, False)
    assert checks.estimates_within(rows.iloc[[0, 2]]).passed
    assert checks.estimates_within(rows.iloc[:0]).passed


def test_nobody_waits_for_over_an_hour_and_no_more_wait_than_the_store_holds() -> None:
    row = {"store": "Lisbon", "timezone": "UTC", "hour_start": START, "capacity": 100.0}
    rows = pd.DataFrame(
        [
            {**row, "minutes": 60.0, "waiting": 100.0},
            {**row, "minutes": 61.0, "waiting": 3.0},
            {**row, "minutes": 1.0, "waiting": 101.0},
            {**row, "minutes": None, "waiting": 900.0, "capacity": None},
        ]
    )
    verdict = checks.waits(rows)
    assert verdict.rows["minutes"].tolist() == [61.0, 1.0]
    assert verdict.told.startswith("Lisbon 2026-02-02 08:00: 61 minutes of waiting, 3 people; check lanes")
    assert verdict.numbers == {"hours with a wait": 4, "hours that cannot be": 2}
    assert checks.waits(rows.iloc[[0, 3]]).passed
    (unknown,) = rows.iloc[3:].assign(capacity=100.0, minutes=float("nan")).to_dict("records")
    assert checks.waits(pd.DataFrame([unknown])).told == (
        "Lisbon 2026-02-02 08:00: minutes unknown of waiting, 900 people; check lanes and service rate"
    )


@pytest.mark.parametrize(
    ("known", "counted", "was_known", "entries", "is_found"),
    [
        (0.5, 1.0, False, 200.0, True),
        (0.0, 1.0, True, 20.0, True),  # the feed did not come at all
        (0.0, 1.0, True, None, True),  # no door tells how many came
        (0.0, 1.0, True, 19.0, False),  # a holiday: hardly anybody came
        (0.0, 1.0, False, 200.0, False),  # there is none
        (0.5, 0.5, True, 200.0, False),  # the day itself was not counted whole
        (0.9, 1.0, True, 200.0, False),
    ],
)
def test_a_till_feed_that_lacks_hours_is_told_and_a_store_without_one_is_not(
    known: float, counted: float, was_known: bool, entries: float | None, is_found: bool
) -> None:
    row = {"store": "Lisbon", "date": "2026-02-02", "known": known, "counted": counted, "was_known": was_known}
    verdict = checks.tills(pd.DataFrame([{**row, "entries": entries, "usual_entries": 200.0}]))
    assert verdict.passed != is_found
    if is_found:
        assert verdict.told == f"Lisbon 2026-02-02: tills known in {known:.0%} of the open hours"


def test_a_flow_is_judged_by_its_worst_day() -> None:
    rows = pd.DataFrame(
        {
            "flow": ["a to b", "a to b", "b to a"],
            "date": ["2026-02-02", "2026-02-03", "2026-02-02"],
            "residual": [0.1, 0.51, 0.5],
        }
    )
    verdict = checks.fits(rows)
    assert verdict.told == "a to b: 51% of the entries are unexplained on 2026-02-03"
    assert verdict.numbers == {"flows": 2, "flows that explain little": 1}
    assert checks.fits(rows.iloc[[0, 2]]).passed
    assert checks.fits(rows.iloc[:0]).passed


def test_days_that_a_camera_did_not_give_are_called_days() -> None:
    frame = pd.DataFrame(asked("a", "in", "refused", "in"))
    verdict = checks.completeness(frame, unit="day")
    assert verdict.told == "0 of 1 cameras complete; a lacks 1 of 3 days, the first 2026-02-02 (refused)"
    assert verdict.numbers["days missing"] == 1
    silent = checks.completeness(pd.DataFrame(asked("a", "in", "refused")), unit="day")
    assert silent.told == "0 of 1 cameras complete; a refused since 2026-02-02"


def test_the_share_of_estimates_is_that_of_people_not_of_hours() -> None:
    def shares(*guessed: float) -> pd.DataFrame:
        rows = [{"store": f"s{n}", "people": 200.0, "estimated": one} for n, one in enumerate(guessed)]
        return pd.DataFrame([*rows, {"store": "empty", "people": 0.0, "estimated": 0.0}]).assign(hours_without_count=1)

    verdict = checks.estimated(shares(20.0, 0.0))
    assert verdict.passed
    assert verdict.told == "5% of the people are estimates."
    assert verdict.numbers == {"estimated percent": 5.0, "hours without a count": 3}
    verdict = checks.estimated(shares(21.0, 100.0))
    assert verdict.told == "s0: 10% of the people are estimates; s1: 50% of the people are estimates"
    assert (verdict.passed, verdict.is_severe) == (False, False)
    assert checks.estimated(shares(101.0)).is_severe


ESTATE = roster(
    [
        store(
            "Berlin",
            "Europe/Berlin",
            created_at=utc("2026-01-01T00:00"),
            opening={day: [["09:00", "20:00"]] for day in ("mon", "tue")},
        )
    ],
    [camera("east", "Berlin", created_at=START), camera("west", "Berlin", created_at=START)],
    {"east": ["entrance"], "west": ["entrance"]},
)
LAST = date(2026, 2, 8)


def residuals(*values: float | None) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"store_id": identity("Berlin"), "date": LAST - n * DAY, "in_out_residual": value}
            for n, value in enumerate(values)
        ]
    )


def door(name: str, day: date, came: float | None, left: float | None) -> dict[str, Any]:
    return {"sensor_id": identity(name), "date": day, "total_entries": came, "total_exits": left}


# People come in east and leave west, as ever: 100 and 60 here, 60 and 100 there. Now west loses half of those who leave.
DOORS = pd.DataFrame(
    [door("east", LAST - n * DAY, 100.0, 60.0) for n in range(30)]
    + [door("west", LAST - n * DAY, 60.0, 50.0 if n < 7 else 100.0) for n in range(30)]
    + [door("west", LAST - 31 * DAY, None, 5.0)]
)


def test_a_lasting_difference_names_the_door_that_has_moved_and_not_the_one_that_is_always_uneven() -> None:
    # (160 - 110) / 160
    verdict = checks.drift(residuals(None, *[0.3125] * 6), DOORS, ESTATE, LAST)
    assert verdict.told == "Berlin: entries too many by 31% on 6 days, door west"
    assert (verdict.passed, verdict.is_severe) == (False, True)
    (row,) = verdict.rows.to_dict("records")
    assert row["residual of the door"] == pytest.approx(10 / 60)
    assert row["of the door before"] == pytest.approx(-40 / 100)


def test_a_difference_that_does_not_last_or_that_turns_is_none() -> None:
    assert checks.drift(residuals(0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1), DOORS, ESTATE, LAST).passed
    assert checks.drift(residuals(0.2, -0.2, 0.2, -0.2, 0.2, -0.2, 0.2), DOORS, ESTATE, LAST).passed
    verdict = checks.drift(residuals(*[-0.2] * 5, 0.0), DOORS, ESTATE, LAST)
    assert (verdict.passed, verdict.is_severe) == (False, False)
    assert verdict.told.startswith("Berlin: exits too many by 20% on 5 days")
    assert checks.drift(residuals(*[0.2] * 9).assign(date=LAST - 9 * DAY), DOORS, ESTATE, LAST).passed
    assert checks.drift(residuals(0.2).iloc[:0], DOORS.iloc[:0], ESTATE, LAST).passed


def newest(hour: datetime | None, updated: datetime | None = None, created: str = "2026-01-01T00:00") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "store_id": [identity("Berlin")],
            "created_at": [utc(created)],
            "hour_start": pd.Series([hour], dtype="datetime64[us, UTC]"),
            "updated_at": pd.Series([updated], dtype="datetime64[us, UTC]"),
        }
    )


@pytest.mark.parametrize(
    ("hour", "now", "minutes"),
    [
        # Mondays and Tuesdays 9 to 20 in Berlin, an hour ahead of UTC
        ("2026-02-02T09:00", "2026-02-02T11:30", 90.0),
        ("2026-02-02T09:00", "2026-02-02T12:00", 120.0),
        ("2026-02-02T18:00", "2026-02-03T07:59", 0.0),  # closed since the last count
        ("2026-02-02T18:00", "2026-02-03T16:00", 480.0),
        ("2025-03-10T10:00", "2026-02-02T07:00", None),  # what a back-fill of March brings is not today's
    ],
)
def test_a_store_is_late_by_its_opening_hours(hour: str, now: str, minutes: float | None) -> None:
    verdict = checks.fresh_hours(newest(utc(hour), utc(hour) + HOUR), ESTATE, utc(now))
    if minutes is not None:
        assert verdict.numbers["most open minutes without counts"] == minutes
    assert verdict.passed == (minutes is not None and minutes < 120)
    assert verdict.is_severe == (minutes is None or minutes >= 480)


def test_a_store_that_has_never_counted_is_as_late_as_it_is_old() -> None:
    verdict = checks.fresh_hours(newest(None, created="2026-02-02T09:00"), ESTATE, utc("2026-02-02T12:00"))
    assert verdict.told == "Berlin has been open for 180 minutes without a count and has never counted"
    assert verdict.numbers == {"stores": 1, "stores late": 1, "most open minutes without counts": 180.0}


def test_a_store_whose_cameras_are_switched_off_is_not_to_count() -> None:
    off = replace(ESTATE, sensors=ESTATE.sensors.assign(is_active=False))
    for hour in (None, utc("2026-01-02T07:00")):
        verdict = checks.fresh_hours(newest(hour, hour and hour + HOUR), off, utc("2026-02-02T12:00"))
        assert verdict.passed
        assert verdict.numbers["stores"] == 0


def test_the_running_hour_counts_up_to_its_last_change() -> None:
    found = checks.fresh_hours(
        newest(utc("2026-02-02T11:00"), utc("2026-02-02T11:20")), ESTATE, utc("2026-02-02T11:30")
    )
    assert found.numbers["most open minutes without counts"] == 10.0


@pytest.mark.parametrize(
    ("day", "created", "late"),
    [
        (date(2026, 2, 3), "2026-01-01T00:00", 0),
        (date(2026, 2, 2), "2026-01-01T00:00", 1),
        (date(2025, 3, 9), "2025-01-01T00:00", 331),
        (None, "2026-02-04T05:00", 0),  # opened today
        (None, "2026-02-01T05:00", 3),
    ],
)
def test_a_day_is_late_when_the_last_one_that_ended_at_the_store_is_not_there(
    day: date | None, created: str, late: int
) -> None:
    # 01:30 on the 5th in Berlin: the 4th ended too short a while ago to be missed
    now = utc("2026-02-05T00:30")
    rows = pd.DataFrame({"store": ["a"], "timezone": ["Europe/Berlin"], "created_at": [utc(created)], "date": [day]})
    verdict = checks.fresh_days(rows, now)
    assert verdict.numbers["most days late"] == late
    assert verdict.passed == (late == 0)
    assert verdict.is_severe == (late >= 3)


def test_forecasts_grow_old_by_camera_and_are_an_error_when_all_are() -> None:
    now = utc("2026-02-02T12:00")

    def verdict(*hours: float) -> checks.Verdict:
        origins = [now - hour * HOUR for hour in hours]
        return checks.fresh_forecasts(pd.DataFrame({"camera": [*"abc"][: len(hours)], "prediction_time": origins}), now)

    assert verdict(6, 8).passed
    assert verdict(6, 9).told == "b was last predicted 2026-02-02 03:00 UTC"
    assert not verdict(6, 25).is_severe
    assert verdict(25, 26).is_severe
    # Without doors there is nothing to forecast; a door that has just been registered waits for its first origin.
    assert verdict().passed
    now_and_never = pd.DataFrame(
        {"camera": ["a", "b"], "prediction_time": pd.Series([now, None], dtype="datetime64[us, UTC]")}
    )
    assert checks.fresh_forecasts(now_and_never, now).passed
    never = checks.fresh_forecasts(now_and_never.iloc[1:], now)
    assert (never.told, never.is_severe) == ("No active camera has a forecast.", True)


def test_a_search_is_fresh_when_both_it_and_its_counts_are() -> None:
    now = utc("2026-02-02T12:00")
    good = checks.Verdict(True, "Counts are fresh.")
    bad = checks.Verdict(False, "Counts are old.")
    assert checks.fresh_search(good, now - 3 * HOUR, now).passed
    assert checks.fresh_search(bad, now, now).told == "Counts are old."
    late = checks.fresh_search(bad, now - 4 * HOUR, now)
    assert (late.told, late.is_severe) == ("Today was last searched 2026-02-02 08:00 UTC. Counts are old.", False)
    never = checks.fresh_search(good, None, now)
    assert (never.told, never.is_severe) == ("Today was never searched.", True)
