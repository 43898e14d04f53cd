"""Minute rows from running counters: differences, resets, gaps, sums that go on, and what stays unknown, worked by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from retail_sensors.analytics.realtime import FLAGS, REASONS, changed_flags, minute_rows
from retail_sensors.analytics.roster import Roster
from retail_sensors.storage.frames import check_frame
from retail_sensors.tables import VCA_ALARM_STATUS
from retail_sensors.tables.realtime import REALTIME_ANALYTICS
from retail_sensors_tests.unit.analytics_estate import camera, identity, roster, store, typed, utc

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ROW_BEFORE = ["sensor_id", "period_end", "net_count", "current_count", "peak_count", "peak_second", "average_count"]
ROW_BEFORE += [
    "observed_minutes",
    "hourly_count",
    "daily_count",
    "earlier_count",
    "current_in_count",
    "current_out_count",
]
HOURS = ["sensor_id", "hour_start", "entries", "exits", "counted_until"]
Reading = tuple[int | None, int | None]


def one_door(*roles: str, zone: str = "UTC", **changes: Any) -> Roster:
    """A store for 100 people with one camera."""
    return roster(
        [store("shop", zone, capacity=100, **changes)],
        [camera("door", "shop", timezone=zone)],
        {"door": roles or ["entrance"]},
    )


def two_doors(**changes: Any) -> Roster:
    cameras = [camera("door", "shop"), camera("back", "shop", **changes)]
    return roster([store("shop", capacity=100)], cameras, {"door": ["entrance"], "back": ["entrance"]})


class Book:
    """The table through time: each sweep finds what the one before has left, as `storage.realtime` reads it."""

    def __init__(self, places: Roster) -> None:
        self.places = places
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.said: dict[str, Reading] = {}

    def at(self, now: datetime, hours: pd.DataFrame | None = None, **said: Reading) -> dict[str, Any]:
        """The row of the first camera that said (in, out) at `now`; NULL is None."""
        readings = typed(
            VCA_ALARM_STATUS,
            [
                {"sensor_id": identity(name), "timestamp": now, "current_in_count": came, "current_out_count": left}
                for name, (came, left) in said.items()
            ],
        )
        latencies = pd.DataFrame({"sensor_id": [identity(name) for name in said], "latency_ms": 12.5})
        hours = pd.DataFrame(columns=HOURS) if hours is None else hours
        frame = minute_rows(readings, latencies, self._before(now), hours, self.places, now)
        check_frame(frame, REALTIME_ANALYTICS, "realtime_analytics")
        for row in frame.to_dict("records"):
            plain: dict[str, Any] = {str(name): None if pd.isna(value) else value for name, value in row.items()}
            plain["quality"] = json.loads(str(plain["quality"]))
            assert set(plain["quality"].values()) <= set(REASONS)
            silent = {"period_start", "peak_timestamp", "average_count"}
            assert {name for name, value in plain.items() if value is None} <= silent | set(plain["quality"])
            name = next(name for name in said if identity(name) == plain["sensor_id"])
            self.rows.setdefault(name, []).append(plain)
        self.said |= said
        return self.rows[next(iter(said))][-1]

    def _before(self, now: datetime) -> pd.DataFrame:
        found = []
        for name, rows in self.rows.items():
            row = rows[-1]
            early = [one["current_count"] for one in rows if one["period_end"] <= now - 14 * MINUTE]
            found.append(
                {
                    **{column: row.get(column) for column in ROW_BEFORE},
                    # A sum with a note is no link.
                    **{
                        column: row[column]
                        for column in ("net_count", "hourly_count", "daily_count")
                        if column not in row["quality"]
                    },
                    **{
                        column: None
                        for column in ("net_count", "hourly_count", "daily_count")
                        if column in row["quality"]
                    },
                    "period_end": row["period_end"].timestamp(),
                    "peak_second": row["peak_timestamp"] and row["peak_timestamp"].timestamp(),
                    "earlier_count": early[-1] if early else None,
                    "current_in_count": self.said[name][0],
                    "current_out_count": self.said[name][1],
                }
            )
        return pd.DataFrame(found, columns=ROW_BEFORE)


def hours(*rows: tuple[str, str, float, float, str]) -> pd.DataFrame:
    """(camera, hour, entries, exits, counted until)."""
    return pd.DataFrame(
        [
            (identity(name), utc(hour).timestamp(), come, gone, utc(until).timestamp())
            for name, hour, come, gone, until in rows
        ],
        columns=HOURS,
    )


def test_counter_differences_are_entries_and_exits_and_add_up_from_the_reset_on() -> None:
    book = Book(one_door())
    first = book.at(utc("2026-02-03T03:59"), door=(500, 490))
    assert (first["period_start"], first["entries"], first["net_count"]) == (None, None, None)
    assert first["quality"]["entries"] == "first_reading"
    # The store's occupancy day begins at four; a minute that straddles it counts for the new one.
    row = book.at(utc("2026-02-03T04:00"), door=(500, 490))
    assert (row["entries"], row["exits"], row["net_count"], row["current_count"]) == (0, 0, 0, 0)
    assert row["period_start"] == utc("2026-02-03T03:59")
    row = book.at(utc("2026-02-03T04:01"), door=(510, 492))
    assert (row["entries"], row["exits"], row["current_count"]) == (10, 2, 8)
    assert (row["peak_count"], row["peak_timestamp"]) == (8, utc("2026-02-03T04:01"))
    row = book.at(utc("2026-02-03T04:02"), door=(511, 497))
    assert (row["current_count"], row["current_occupancy_percent"], row["latency_ms"]) == (4, 4.0, 12.5)
    assert (row["peak_count"], row["peak_timestamp"]) == (8, utc("2026-02-03T04:01"))
    # (0 + 8) / 2 for a minute and (8 + 4) / 2 for another.
    assert (row["average_count"], row["observed_minutes"]) == (5.0, 2.0)
    assert (row["hourly_count"], row["daily_count"]) == (11, None)
    assert row["quality"]["daily_count"] == "not_from_start"


def test_a_gap_is_one_row_that_says_its_span_and_loses_nobody() -> None:
    book = Book(one_door())
    book.at(utc("2026-02-03T03:59"), door=(0, 0))
    book.at(utc("2026-02-03T04:00"), door=(0, 0))
    row = book.at(utc("2026-02-03T10:30"), door=(90, 40))
    assert (row["period_start"], row["entries"], row["current_count"]) == (utc("2026-02-03T04:00"), 90, 50)
    # Of the hour that began in the gap nothing is known; an average does not go over it.
    assert (row["hourly_count"], row["quality"]["hourly_count"]) == (None, "not_from_start")
    assert row["observed_minutes"] == 0
    row = book.at(utc("2026-02-03T10:31"), door=(92, 40))
    assert (row["hourly_count"], row["current_count"], row["observed_minutes"]) == (None, 52, 1.0)
    row = book.at(utc("2026-02-03T11:00"), door=(92, 41))
    assert row["hourly_count"] is None
    row = book.at(utc("2026-02-03T11:01"), door=(95, 41))
    assert (row["hourly_count"], row["quality"].get("hourly_count")) == (None, "not_from_start")


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("UTC", "2026-02-04T00:00"),
        ("Asia/Kolkata", "2026-02-03T18:30"),
        ("Europe/Lisbon", "2026-03-29T00:00"),
        # The clock goes back at 01:00 UTC of the day that begins here.
        ("Europe/Lisbon", "2026-10-24T23:00"),
    ],
)
def test_a_reset_at_the_cameras_own_midnight_counts_from_zero(zone: str, midnight: str) -> None:
    book = Book(one_door(zone=zone))
    at = utc(midnight)
    book.at(at - 5 * MINUTE, door=(5000, 4000))
    # More than a minute's worth of people, but the day is new.
    row = book.at(at + 5 * MINUTE, door=(900, 100))
    assert (row["entries"], row["exits"], row["quality"]["entries"]) == (900, 100, "counted_from_zero")
    row = book.at(at + 6 * MINUTE, door=(901, 100))
    assert (row["entries"], "entries" in row["quality"]) == (1, False)


def test_the_occupancy_goes_on_over_midnight_and_over_a_day_of_25_hours() -> None:
    book = Book(one_door(zone="Europe/Lisbon"))
    reset = utc("2026-10-24T03:00")
    book.at(reset - MINUTE, door=(7, 7))
    book.at(reset, door=(7, 7))
    book.at(reset + MINUTE, door=(27, 7))
    # Midnight at 23:00 UTC, the hour from one to two twice, and four o'clock after 25 hours.
    row = book.at(utc("2026-10-24T22:59"), door=(27, 17))
    assert row["current_count"] == 10
    row = book.at(utc("2026-10-24T23:00"), door=(0, 0))
    assert (row["current_count"], row["daily_count"]) == (10, 0)
    row = book.at(utc("2026-10-25T03:59"), door=(1, 0))
    assert (row["current_count"], row["daily_count"], row["entries"]) == (11, 1, 1)
    row = book.at(utc("2026-10-25T04:00"), door=(1, 0))
    assert (row["current_count"], row["peak_count"], row["observed_minutes"]) == (0, 0, 0)


def test_a_reboot_counts_from_zero_where_that_is_plausible_and_is_unknown_where_it_is_not() -> None:
    book = Book(one_door())
    book.at(utc("2026-02-03T10:00"), door=(300, 200))
    row = book.at(utc("2026-02-03T10:01"), door=(12, 3))
    assert (row["entries"], row["exits"]) == (12, 3)
    # 61 in a minute are not what came in it.
    row = book.at(utc("2026-02-03T10:02"), door=(61, 2))
    assert (row["entries"], row["exits"], row["quality"]["exits"]) == (None, None, "counter_reset")
    # The next difference is known again.
    assert book.at(utc("2026-02-03T10:03"), door=(62, 2))["entries"] == 1


def test_a_long_gap_over_midnight_tells_nothing_even_where_the_counter_is_higher_again() -> None:
    book = Book(one_door())
    book.at(utc("2026-02-03T20:00"), door=(100, 90))
    row = book.at(utc("2026-02-04T10:00"), door=(150, 100))
    assert (row["entries"], row["quality"]["entries"]) == (None, "gap_over_midnight")


def test_an_inverted_door_swaps_its_counters_and_mixed_lines_tell_nothing() -> None:
    inverted = Book(one_door("-entrance"))
    inverted.at(utc("2026-02-03T10:00"), door=(0, 0))
    row = inverted.at(utc("2026-02-03T10:01"), door=(2, 9))
    assert (row["entries"], row["exits"]) == (9, 2)
    for roles in (("entrance", "passerby"), ("entrance", "-entrance")):
        mixed = Book(one_door(*roles))
        mixed.at(utc("2026-02-03T10:00"), door=(0, 0))
        row = mixed.at(utc("2026-02-03T10:01"), door=(2, 9))
        assert (row["entries"], row["quality"]["entries"]) == (None, "lines_mixed")
    corridor = Book(one_door("passerby"))
    row = corridor.at(utc("2026-02-03T10:01"), door=(2, 9))
    assert (row["current_count"], row["quality"]["current_count"]) == (None, "no_entrance_line")


def test_a_counter_that_is_not_said_is_no_zero() -> None:
    book = Book(one_door())
    book.at(utc("2026-02-03T10:00"), door=(5, 5))
    assert book.at(utc("2026-02-03T10:01"), door=(6, None))["quality"]["entries"] == "not_said"
    assert book.at(utc("2026-02-03T10:02"), door=(7, 5))["entries"] is None


def test_without_a_link_from_the_start_the_hours_stand_in_while_they_are_fresh() -> None:
    book = Book(one_door("entrance", "passerby"))
    counted = [("door", "2026-02-03T04:00", 0.0, 0.0, "2026-02-03T05:00")]
    counted += [("door", "2026-02-03T05:00", 30.0, 10.0, "2026-02-03T06:00")]
    counted += [("door", "2026-02-03T06:00", 5.0, 1.0, "2026-02-03T06:10")]
    row = book.at(utc("2026-02-03T06:15"), hours(*counted), door=(700, 600))
    assert (row["net_count"], row["current_count"], row["hourly_count"]) == (24, 24, 5)
    assert {row["quality"][name] for name in ("net_count", "current_count", "hourly_count")} == {"running_hour"}
    # The local day began before the first of these hours.
    assert row["quality"]["daily_count"] == "lines_mixed"
    old = book.at(utc("2026-02-03T06:21"), hours(*counted), door=(700, 600))
    assert (old["current_count"], old["quality"]["current_count"]) == (None, "lines_mixed")
    holed = book.at(utc("2026-02-03T06:15"), hours(counted[0], counted[2]), door=(700, 600))
    assert holed["net_count"] is None


def test_a_sum_that_rests_on_the_hours_is_not_counted_on() -> None:
    book = Book(one_door())
    counted = [("door", f"2026-02-03T{hour:02}:00", 10.0, 5.0, f"2026-02-03T{hour + 1:02}:00") for hour in range(4, 6)]
    running = ("door", "2026-02-03T06:00", 4.0, 0.0, "2026-02-03T06:10")
    first = book.at(utc("2026-02-03T06:10"), hours(*counted, running), door=(100, 100))
    assert (first["current_count"], first["quality"]["net_count"]) == (14, "running_hour")
    # What came since then is in the next collection; added to what stands for now it would be counted twice.
    row = book.at(utc("2026-02-03T06:11"), hours(*counted, running), door=(103, 100))
    assert (row["entries"], row["current_count"]) == (3, 14)


def test_a_store_is_known_when_all_its_doors_are() -> None:
    book = Book(two_doors())
    reset = utc("2026-02-03T04:00")
    book.at(reset - MINUTE, door=(0, 0), back=(0, 0))
    book.at(reset, door=(0, 0), back=(0, 0))
    row = book.at(reset + MINUTE, door=(10, 0), back=(2, 6))
    assert (row["net_count"], row["current_count"]) == (10, 6)
    assert book.rows["back"][-1]["net_count"] == -4
    assert book.rows["back"][-1]["current_count"] == 6
    # The other door is silent: what it counted stands for five minutes.
    assert book.at(reset + 6 * MINUTE, door=(11, 0))["current_count"] == 7
    row = book.at(reset + 7 * MINUTE, door=(11, 0))
    assert (row["net_count"], row["current_count"], row["quality"]["current_count"]) == (11, None, "other_door_unknown")
    disabled = Book(two_doors(is_active=False))
    disabled.at(reset, door=(0, 0))
    assert disabled.at(reset + MINUTE, door=(3, 0))["current_count"] is None
    assert disabled.at(reset + 24 * HOUR, door=(3, 0))["current_count"] is None


def test_a_trend_needs_three_people_and_a_tenth() -> None:
    start = utc("2026-02-03T04:00")
    for inside, then, trend in (
        (10, 12, "stable"),
        (10, 13, "increasing"),
        (13, 10, "decreasing"),
        (100, 109, "stable"),
        (100, 112, "increasing"),
        (0, 0, "stable"),
    ):
        book = Book(one_door())
        book.at(start - MINUTE, door=(0, 0))
        book.at(start, door=(inside, 0))
        row = book.at(start + 10 * MINUTE, door=(inside, 0))
        assert (row["count_trend"], row["quality"]["count_trend"]) == (None, "no_earlier_count")
        row = book.at(start + 15 * MINUTE, door=(inside + max(0, then - inside), max(0, inside - then)))
        assert row["count_trend"] == trend, (inside, then)


def test_more_exits_than_entries_leave_nobody_and_not_fewer() -> None:
    book = Book(one_door())
    book.at(utc("2026-02-03T03:59"), door=(0, 0))
    row = book.at(utc("2026-02-03T04:01"), door=(0, 3))
    assert (row["net_count"], row["current_count"]) == (-3, 0)


def flagged(name: str, **flags: int) -> Mapping[str, Any]:
    return {"sensor_id": identity(name), "timestamp": utc("2026-02-03T10:00"), **flags}


def test_flags_are_news_where_they_differ_from_those_before() -> None:
    readings = typed(
        VCA_ALARM_STATUS,
        [flagged("a", counter_alarm_status=1), flagged("b", region1_in_alarm=0), flagged("new", region1_in_alarm=1)],
    )
    before = typed(VCA_ALARM_STATUS, [flagged("a", counter_alarm_status=0), flagged("b", region1_in_alarm=0)])
    ((sensor, flags),) = changed_flags(readings, before.assign(period_end=1.0))
    assert sensor == identity("a")
    assert flags[FLAGS.index("counter_alarm_status")] == 1
    assert changed_flags(readings[:0], before.assign(period_end=1.0)) == []
