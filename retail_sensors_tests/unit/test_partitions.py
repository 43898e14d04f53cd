"""Keys, windows and ranges of partitions: which UTC hours and dates a run is about."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ConfigurationError
from retail_sensors.partitions import (
    DAILY,
    DAYS_POLICY,
    FIRST_DAY,
    HOURLY,
    HOURS_OF_DAY,
    HOURS_POLICY,
    check_window,
    day_key,
    day_ranges,
    hour_key,
    hour_ranges,
    last_hours,
    range_tags,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOW = datetime(2026, 7, 18, 14, 37, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


hours = st.integers(0, 8 * 366 * 24).map(lambda count: datetime.combine(FIRST_DAY, time(), UTC) + count * HOUR)
days = st.dates(FIRST_DAY, date(2032, 1, 1))


def test_the_running_hour_and_todays_date_are_partitions() -> None:
    for now, hour in ((NOW, "2026-07-18-14:00"), (at("2026-07-18T00:00"), "2026-07-18-00:00")):
        assert HOURLY.get_partition_keys(now)[-1] == hour
        assert DAILY.get_partition_keys(now)[-1] == "2026-07-18"


def test_ten_years_stay_below_dagsters_guidance_of_100_000_keys() -> None:
    assert len(HOURLY.get_partition_keys(at("2033-01-01T00:00"))) < 100_000


def test_both_are_utc_and_keys_name_the_hour_and_the_date() -> None:
    assert (HOURLY.timezone, DAILY.timezone) == ("UTC", "UTC")
    assert hour_key(NOW) == "2026-07-18-14:00"
    assert hour_key(datetime(2026, 7, 18, 14, 37, tzinfo=timezone(HOUR * 5.5))) == "2026-07-18-09:00"
    assert day_key(date(2026, 7, 18)) == "2026-07-18"


@given(hours)
def test_an_hours_key_is_the_key_of_its_window(instant: datetime) -> None:
    window = HOURLY.time_window_for_partition_key(hour_key(instant + timedelta(minutes=59)))
    assert (window.start, window.end) == (instant, instant + HOUR)


@given(days)
def test_a_days_key_is_the_key_of_its_date(day: date) -> None:
    assert DAILY.time_window_for_partition_key(day_key(day)).start.date() == day


def test_a_range_is_named_by_dagsters_tags() -> None:
    assert range_tags("a", "b") == {
        "dagster/asset_partition_range_start": "a",
        "dagster/asset_partition_range_end": "b",
    }


def test_backfills_take_a_day_of_hours_or_a_month_of_days_in_one_run() -> None:
    assert (dg.BackfillPolicy.multi_run(24), dg.BackfillPolicy.multi_run(31)) == (HOURS_POLICY, DAYS_POLICY)


@pytest.mark.parametrize(
    ("count", "with_running", "expected"),
    [
        (2, True, ("2026-07-18-13:00", "2026-07-18-14:00")),
        (2, False, ("2026-07-18-12:00", "2026-07-18-13:00")),
        (1, True, ("2026-07-18-14:00", "2026-07-18-14:00")),
        (24, False, ("2026-07-17-14:00", "2026-07-18-13:00")),
    ],
)
def test_last_hours(count: int, with_running: bool, expected: tuple[str, str]) -> None:
    assert last_hours(NOW, count, with_running=with_running) == expected


def test_last_hours_are_utc_hours_wherever_the_clock_stands() -> None:
    assert last_hours(NOW.astimezone(ZoneInfo("Asia/Kolkata")), 1, with_running=True) == ("2026-07-18-14:00",) * 2


@given(hours, st.integers(1, 200), st.integers(1, 72))
def test_ranges_of_hours_cover_the_window_once_in_order(start: datetime, length: int, per_run: int) -> None:
    window = TimeWindow(start, start + length * HOUR)
    covered = []
    for first, last in hour_ranges(window, per_run):
        opening = HOURLY.time_window_for_partition_key(first).start
        closing = HOURLY.time_window_for_partition_key(last).end
        assert HOUR <= closing - opening <= per_run * HOUR
        covered.append((opening, closing))
    assert covered[0][0] == window.start
    assert covered[-1][1] == window.end
    assert all(one[1] == two[0] for one, two in pairwise(covered))


@given(days, st.integers(0, 100), st.integers(1, 31))
def test_ranges_of_days_cover_the_dates_once_in_order(first: date, more: int, per_run: int) -> None:
    last = first + more * DAY
    covered = []
    for opening, closing in day_ranges(first, last, per_run):
        span = [date.fromisoformat(opening) + number * DAY for number in range(per_run)]
        covered += [day for day in span if day <= date.fromisoformat(closing)]
    assert covered == [first + number * DAY for number in range(more + 1)]


def test_no_dates_give_no_ranges() -> None:
    assert list(day_ranges(date(2026, 2, 2), date(2026, 2, 1), 31)) == []


@given(
    days,
    st.sampled_from(["Pacific/Auckland", "Europe/Lisbon", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"]),
    st.integers(0, 8),
)
def test_the_hours_of_a_day_hold_every_stores_local_day_up_to_its_reset(day: date, zone: str, reset: int) -> None:
    with dg.partition_loading_context(effective_dt=datetime.combine(day, time(), UTC) + 9 * DAY):
        upstream = HOURS_OF_DAY.get_upstream_mapped_partitions_result_for_partitions(
            DAILY.subset_with_partition_keys([day_key(day)]), DAILY, HOURLY
        )
    keys = sorted(upstream.partitions_subset.get_partition_keys())
    opening = HOURLY.time_window_for_partition_key(keys[0]).start
    closing = HOURLY.time_window_for_partition_key(keys[-1]).end
    local = ZoneInfo(zone)
    # The first day of all has no hours before it.
    assert opening <= datetime.combine(day, time(), local) or day == FIRST_DAY
    assert datetime.combine(day + DAY, time(reset), local) <= closing


def window(first: str, last: str) -> TimeWindow:
    return TimeWindow(at(first), at(last))


def test_a_window_is_widened_to_hours_and_cut_at_the_end_of_the_running_one() -> None:
    assert check_window(window("2026-07-01T09:20", "2026-07-01T10:00"), NOW) == window(
        "2026-07-01T09:00", "2026-07-01T10:00"
    )
    assert check_window(window("2026-07-01T09:00", "2026-07-01T10:01"), NOW) == window(
        "2026-07-01T09:00", "2026-07-01T11:00"
    )
    assert check_window(window("2026-07-18T14:59", "2026-08-01T00:00"), NOW) == window(
        "2026-07-18T14:00", "2026-07-18T15:00"
    )
    kolkata = ZoneInfo("Asia/Kolkata")
    local = TimeWindow(datetime(2026, 7, 1, tzinfo=kolkata), datetime(2026, 7, 2, tzinfo=kolkata))
    assert check_window(local, NOW) == window("2026-06-30T18:00", "2026-07-01T19:00")


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("2026-07-02T00:00", "2026-07-01T00:00", "before it starts"),
        ("2026-07-01T00:00", "2026-07-01T00:00", "--to is exclusive and must be later than --from"),
        ("2022-12-31T23:59", "2026-07-01T00:00", "the first hour that can be collected is 2023-01-01T00:00:00+00:00"),
        ("2026-07-18T15:00", "2026-07-19T00:00", "which is in the future; cameras only know the past"),
    ],
)
def test_a_window_that_cannot_be_meant_is_refused(first: str, last: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_window(window(first, last), NOW)
    assert said in str(caught.value)
