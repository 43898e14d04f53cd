"""Schedules at given instants: which partitions each tick asks for, and that no store's day is forgotten."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import dagster as dg
import pandas as pd
import pytest

from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.raw import RAW_ASSETS
from retail_sensors.backfill import outlook
from retail_sensors.errors import ConfigurationError
from retail_sensors.partitions import HOURLY
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.schedules import (
    SCHEDULES,
    camera_states,
    ended_day_answers,
    ended_days,
    finished_hours,
    just_ended,
    next_hours,
    nightly_holidays,
    nightly_maintenance,
    recent_accuracy,
    recent_anomalies,
    recent_days,
    recent_hours,
    running_hour,
    staff_for_now,
    watch,
    weekly_training,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Stores(DatabaseResource):
    """An estate of one store in each zone, resetting its occupancy at `reset`."""

    zones: list[str]
    reset: str = "04:00"
    opening: str | None = None
    """Opening hours of the first store; the others have said none."""
    disabled: str = ""
    """Name of a camera that is not active."""

    def roster(self) -> Roster:
        stores = estate(*self.zones, reset=self.reset)
        sensors = pd.DataFrame(
            {
                "sensor_name": [f"camera {zone}" for zone in self.zones],
                "store_id": stores["id"],
                "timezone": self.zones,
                "is_active": True,
            }
        )
        sensors["is_active"] = sensors["sensor_name"] != self.disabled
        if self.opening is not None:
            stores.loc[0, "opening_hours"] = self.opening
        return Roster(
            stores=stores,
            sensors=sensors,
            lines=pd.DataFrame(),
            regions=pd.DataFrame(),
        )


def tick(schedule: dg.ScheduleDefinition, instant: datetime, stores: Stores | None = None) -> dg.RunRequest | None:
    """What the schedule asks for at the instant; None: it gave a reason to skip."""
    resources = {"database": stores} if stores else {}
    with dg.build_schedule_context(scheduled_execution_time=instant, resources=resources) as context:
        answer = schedule(context)
    if isinstance(answer, dg.SkipReason):
        assert answer.skip_message
        return None
    assert isinstance(answer, dg.RunRequest)
    return answer


def keys(request: dg.RunRequest | None) -> tuple[str, str]:
    assert request is not None
    return request.tags[FIRST], request.tags[LAST]


def ticks(schedule: dg.ScheduleDefinition, start: datetime, end: datetime) -> Iterator[datetime]:
    """The schedule's instants in the half-open span; its cron line names minutes of every hour."""
    minutes, *rest = str(schedule.cron_schedule).split()
    assert rest == ["*"] * 4
    instant = start
    while instant < end:
        yield from (instant + int(minute) * timedelta(minutes=1) for minute in minutes.split(","))
        instant += HOUR


# Hours ------------------------------------------------------------------------------------------------------------------


def test_the_finished_hours_are_the_last_eight() -> None:
    request = tick(finished_hours, utc("2026-07-18T14:05"))
    assert keys(request) == ("2026-07-18-06:00", "2026-07-18-13:00")


def test_the_running_hour_comes_with_the_one_before() -> None:
    always = Stores(zones=["Europe/Lisbon"])
    assert keys(tick(running_hour, utc("2026-07-18T14:05"), always)) == ("2026-07-18-13:00", "2026-07-18-14:00")
    assert keys(tick(running_hour, utc("2026-07-18T00:00"), always)) == ("2026-07-17-23:00", "2026-07-18-00:00")


HOURLY_SCHEDULES = pytest.mark.parametrize(
    ("schedule", "stores"),
    [(finished_hours, None), (running_hour, Stores(zones=["Europe/Lisbon"]))],
    ids=["finished_hours", "running_hour"],
)


@HOURLY_SCHEDULES
def test_a_tick_asks_for_hours_that_exist_when_it_runs(schedule: dg.ScheduleDefinition, stores: Stores | None) -> None:
    for instant in (utc("2026-03-29T01:05"), utc("2026-10-25T00:55"), utc("2026-12-31T23:05")):
        first, last = keys(tick(schedule, instant, stores))
        assert {first, last} <= set(HOURLY.get_partition_keys(instant)[-9:])


@HOURLY_SCHEDULES
def test_a_repeated_tick_is_the_same_run_and_goes_before_backfills(
    schedule: dg.ScheduleDefinition, stores: Stores | None
) -> None:
    one, again, later = (tick(schedule, utc(f"2026-07-18T14:{minute}"), stores) for minute in ("05", "05", "10"))
    assert one is not None
    assert again is not None
    assert later is not None
    assert one.run_key == again.run_key != later.run_key
    assert int(one.tags["dagster/priority"]) > 0


def test_two_schedules_of_one_job_never_share_a_run_key() -> None:
    at = utc("2026-07-18T14:05")
    requests = [tick(finished_hours, at), tick(running_hour, at, Stores(zones=["Europe/Lisbon"]))]
    assert len({request.run_key for request in requests if request}) == 2


# Opening hours ----------------------------------------------------------------------------------------------------------

SATURDAYS = '{"sat": [["10:00", "21:00"]]}'


def asked(instant: datetime, stores: Stores) -> str | list[str] | None:
    """`all`, the cameras that a tick of the running hour names, or None: it asks nobody."""
    request = tick(running_hour, instant, stores)
    if request is None:
        return None
    if not request.run_config:
        return "all"
    chosen = [config["config"]["cameras"] for config in request.run_config["ops"].values()]
    assert set(request.run_config["ops"]) == {asset.key.to_user_string() for asset in RAW_ASSETS}
    assert all(cameras == chosen[0] for cameras in chosen)
    return list(chosen[0])


def test_a_shop_is_asked_every_5_minutes_from_a_quarter_before_it_opens_to_a_quarter_after_it_closes() -> None:
    # Lisbon's 10:00 and 21:00 are 09:00 and 20:00 UTC in summer.
    lisbon = Stores(zones=["Europe/Lisbon"], opening=SATURDAYS)
    for when, answer in (
        ("18T08:40", None),
        ("18T08:45", "all"),
        ("18T09:05", "all"),
        ("18T20:15", "all"),
        ("18T20:20", None),
        ("18T20:30", "all"),
        ("18T20:35", None),
        ("17T12:05", None),
        ("17T12:30", "all"),
    ):
        assert asked(utc(f"2026-07-{when}"), lisbon) == answer, when


def test_while_only_some_shops_are_open_only_their_cameras_are_asked() -> None:
    both = Stores(zones=["Europe/Lisbon", "Asia/Kolkata"], opening=SATURDAYS)
    # A store that has not said its hours is always open.
    assert asked(utc("2026-07-18T03:05"), both) == ["camera Asia/Kolkata"]
    assert asked(utc("2026-07-18T03:30"), both) == "all"
    assert asked(utc("2026-07-18T12:05"), both) == "all"
    closed = Stores(zones=["Europe/Lisbon", "Asia/Kolkata"], opening=SATURDAYS, disabled="camera Asia/Kolkata")
    assert asked(utc("2026-07-18T03:05"), closed) is None
    assert asked(utc("2026-07-18T12:05"), closed) == "all"
    assert asked(utc("2026-07-18T12:05"), Stores(zones=[])) is None
    assert asked(utc("2026-07-18T12:00"), Stores(zones=[])) == "all"


def test_opening_hours_go_by_the_shops_clock_when_the_clocks_change() -> None:
    # Lisbon's clock goes from 01:00 to 02:00 at 01:00 UTC of the 29th of March, and back at 01:00 UTC of the 25th of October.
    night = Stores(zones=["Europe/Lisbon"], opening='{"sun": [["02:00", "03:00"]]}')
    for day, first, last in (("2026-03-29", "00:45", "02:15"), ("2026-10-25", "01:45", "03:15")):
        ticks_of_night = [utc(f"{day}T00:00") + n * timedelta(minutes=5) for n in range(48)]
        named = [at for at in ticks_of_night if at.minute % 30 and asked(at, night)]
        assert (f"{named[0]:%H:%M}", f"{named[-1]:%H:%M}") == (first, last)


def test_an_hour_that_ends_beside_the_full_hour_is_asked_for_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, minute in (("Asia/Kolkata", 35), ("Asia/Kathmandu", 20)):
        closed = Stores(zones=[zone], opening="{}")
        named = [at for at in range(0, 60, 5) if asked(utc(f"2026-07-18T21:{at:02}"), closed)]
        assert named == sorted({0, 30, minute})
    among = Stores(zones=["Asia/Kolkata", "Europe/Lisbon"], opening="{}")
    # However seldom the running hour is asked for.
    monkeypatch.setenv("RETAIL_SENSORS_RUNNING_HOUR_MINUTES", "30")
    assert asked(utc("2026-07-18T21:35"), among) == ["camera Asia/Kolkata"]


def test_the_pace_of_the_running_hour_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    always = Stores(zones=["Europe/Lisbon"])
    monkeypatch.setenv("RETAIL_SENSORS_RUNNING_HOUR_MINUTES", "15")
    asked_at = [minute for minute in range(0, 60, 5) if asked(utc(f"2026-07-18T14:{minute:02}"), always)]
    assert asked_at == [0, 15, 30, 45]
    monkeypatch.setenv("RETAIL_SENSORS_RUNNING_HOUR_MINUTES", "7")
    with pytest.raises(ConfigurationError, match="RETAIL_SENSORS_RUNNING_HOUR_MINUTES is not one of 5, 10, 15 and 30"):
        asked(utc("2026-07-18T14:05"), always)


# Days -------------------------------------------------------------------------------------------------------------------


def estate(*zones: str, reset: str = "04:00") -> pd.DataFrame:
    """Stores as the registry gives them, one in each zone."""
    return pd.DataFrame(
        {
            "id": [f"store {zone}" for zone in zones],
            "store_name": zones,
            "timezone": zones,
            "opening_hours": None,
            "occupancy_reset_time": time.fromisoformat(reset),
        }
    )


ZONES = ("Pacific/Auckland", "Europe/Lisbon", "America/New_York", "Asia/Kolkata")
ODD = (
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "America/Santiago",
    "America/Havana",
    "Pacific/Midway",
)
DAYS = {
    "an ordinary day": "2026-07-18",
    "Lisbon forward": "2026-03-29",
    "Lisbon back": "2026-10-25",
    "New York forward": "2026-03-08",
    "New York back": "2026-11-01",
    "Auckland and Santiago back": "2026-04-05",
    "Santiago forward": "2026-09-06",
    "Auckland forward": "2026-09-27",
}


@pytest.mark.parametrize("day", DAYS.values(), ids=DAYS.keys())
@pytest.mark.parametrize("zones", [ZONES, ODD], ids=["estate", "odd zones"])
@pytest.mark.parametrize("reset", ["04:00", "00:00", "23:50", "01:30"])
def test_every_stores_day_is_noticed_within_an_hour_of_its_end_and_of_its_reset(
    day: str, zones: tuple[str, ...], reset: str
) -> None:
    middle = date.fromisoformat(day)
    stores = estate(*zones, reset=reset)
    start = datetime.combine(middle - DAY, time(), UTC)
    noticed = [(at, just_ended(at, stores)) for at in ticks(ended_days, start, start + 4 * DAY)]
    for name in zones:
        zone = ZoneInfo(name)
        ends, resets = (
            datetime.combine(middle + DAY, at, zone).astimezone(UTC) for at in (time(), time.fromisoformat(reset))
        )
        assert any(ends < at <= ends + HOUR for at, ended in noticed if (middle, False) in ended), f"{name} {ends}"
        assert any(resets < at <= resets + HOUR for at, ended in noticed if (middle, True) in ended), f"{name} {resets}"


@pytest.mark.parametrize("day", DAYS.values(), ids=DAYS.keys())
def test_each_end_is_noticed_by_one_tick_and_never_before_it(day: str) -> None:
    middle = date.fromisoformat(day)
    start = datetime.combine(middle - DAY, time(), UTC)
    for name in (*ZONES, *ODD):
        store, zone = estate(name), ZoneInfo(name)
        noticed = [
            (at, ended, is_reset)
            for at in ticks(ended_days, start, start + 4 * DAY)
            for ended, is_reset in just_ended(at, store)
        ]
        for at, ended, is_reset in noticed:
            assert datetime.combine(ended + DAY, time(4 * is_reset), zone).astimezone(UTC) < at
            # Today's UTC date is the newest key.
            assert ended <= at.date()
        about_middle = sorted(is_reset for _, ended, is_reset in noticed if ended == middle)
        assert about_middle == [False, True], name


def test_a_day_is_asked_for_when_it_has_ended_and_when_its_occupancy_is_known() -> None:
    # Midnight in Kolkata is 18:30 UTC of the day before, four o'clock 22:30.
    stores = Stores(zones=["Asia/Kolkata"])
    for instant in ("2026-07-18T18:45", "2026-07-18T22:45"):
        request = tick(ended_days, utc(instant), stores)
        assert keys(request) == ("2026-07-18", "2026-07-18")
        assert request is not None
        assert int(request.tags["dagster/priority"]) > 0


def test_stores_that_end_different_dates_at_once_are_one_range() -> None:
    # At 10:00 UTC Kiritimati ends the 18th, and it is midnight of the 18th, an hour after Midway's reset, nowhere else.
    both = Stores(zones=["Pacific/Kiritimati", "Pacific/Honolulu"], reset="00:00")
    assert keys(tick(ended_days, utc("2026-07-18T10:15"), both)) == ("2026-07-17", "2026-07-18")


def test_a_quiet_half_hour_asks_for_nothing() -> None:
    lisbon = Stores(zones=["Europe/Lisbon"])
    assert tick(ended_days, utc("2026-07-18T12:15"), lisbon) is None
    assert tick(ended_days, utc("2026-07-18T23:15"), Stores(zones=[])) is None


def test_every_schedule_says_what_it_does_runs_from_the_start_and_is_in_utc() -> None:
    assert len({schedule.name for schedule in SCHEDULES}) == len(SCHEDULES) == 15
    for schedule in SCHEDULES:
        assert schedule.description, schedule.name
        assert schedule.execution_timezone == "UTC"
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_what_was_loaded_or_told_late_is_taken_up_within_six_hours_the_hours_before_the_days() -> None:
    assert keys(tick(recent_hours, utc("2026-07-18T06:20"))) == ("2026-07-08-06:00", "2026-07-18-05:00")
    assert keys(tick(recent_days, utc("2026-07-18T06:25"))) == ("2026-07-08", "2026-07-18")
    assert (recent_hours.cron_schedule, recent_days.cron_schedule) == ("20 */6 * * *", "25 */6 * * *")


def test_cameras_are_asked_about_their_days_before_the_days_are_computed() -> None:
    assert keys(tick(ended_day_answers, utc("2026-07-18T10:40"))) == ("2026-07-16", "2026-07-18")
    # Once a night all that cameras still hold.
    assert keys(tick(ended_day_answers, utc("2026-07-18T03:10"))) == ("2026-07-11", "2026-07-18")
    asked, computed = (str(schedule.cron_schedule).split()[0] for schedule in (ended_day_answers, ended_days))
    assert (asked, computed) == ("10,40", "15,45")


def test_anomalies_are_looked_for_in_ten_days_and_followed_for_a_month() -> None:
    assert keys(tick(recent_anomalies, utc("2026-07-18T10:20"))) == ("2026-07-09", "2026-07-18")
    assert keys(tick(recent_anomalies, utc("2026-07-18T03:20"))) == ("2026-06-18", "2026-07-18")


def test_a_forecast_starts_from_the_running_hour() -> None:
    assert keys(tick(next_hours, utc("2026-07-18T06:25"))) == ("2026-07-18-06:00", "2026-07-18-06:00")
    assert keys(tick(staff_for_now, utc("2026-07-18T06:27"))) == ("2026-07-18-06:00", "2026-07-18-06:00")
    assert keys(tick(recent_accuracy, utc("2026-07-18T06:50"))) == ("2026-07-16", "2026-07-18")
    # Once a night also what was counted late.
    assert keys(tick(recent_accuracy, utc("2026-07-18T03:50"))) == ("2026-07-08", "2026-07-18")


def test_forecasts_after_a_training_start_from_the_hour_in_which_it_was_done() -> None:
    instants = iter([utc("2026-07-18T23:50"), utc("2026-07-19T00:10")])
    steps = list(outlook(lambda: next(instants)))
    assert [step.job for step in steps] == ["anomalies", "train_model", "forecasts", "watch_cameras", "alerts"]
    assert (steps[0].first, steps[0].last) == ("2026-07-09", "2026-07-18")
    assert (steps[2].first, steps[2].last) == ("2026-07-19-00:00", "2026-07-19-00:00")


@pytest.mark.parametrize(
    "schedule", [watch, camera_states, weekly_training, nightly_holidays], ids=lambda schedule: schedule.name
)
def test_a_job_without_partitions_runs_once_a_tick(schedule: dg.ScheduleDefinition) -> None:
    one, again, later = (tick(schedule, utc(f"2026-07-18T14:{minute}")) for minute in ("02", "02", "07"))
    assert one is not None
    assert again is not None
    assert later is not None
    assert one.run_key == again.run_key != later.run_key
    assert FIRST not in one.tags


def test_maintenance_is_nightly() -> None:
    assert nightly_maintenance.cron_schedule == "0 2 * * *"


def test_ticks_of_the_simulation_are_in_order() -> None:
    instants = list(ticks(ended_days, utc("2026-07-18"), utc("2026-07-19")))
    assert len(instants) == 48
    assert all(two - one == timedelta(minutes=30) for one, two in pairwise(instants))
