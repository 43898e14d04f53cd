"""Schedules: the clock of the pipeline. What a run does belongs in `jobs`.

All cron lines are UTC. A schedule asks for a range of partitions in one run; its run key is the tick, so a tick that is
evaluated twice after a crash starts one run.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from functools import partial
from zoneinfo import ZoneInfo

import dagster as dg
import pandas as pd

from retail_sensors.analytics.opening import is_open_around
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.raw import RAW_ASSETS
from retail_sensors.jobs import (
    alerts,
    anomalies,
    collect_hours,
    daily_figures,
    ended_day_questions,
    forecast_accuracy,
    forecasts,
    hourly_figures,
    maintenance,
    plan_staff,
    public_holidays,
    train_model,
    watch_cameras,
)
from retail_sensors.partitions import day_key, hour_key, last_hours, range_tags
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.settings import load_settings

FINISHED_HOURS = 8
"""Partitions that the hourly run covers: what a camera could not give for a while is asked again for eight hours."""
RUNNING_HOURS = 2
"""The running hour and the one before: a camera's local hour may start at half past."""

AROUND_MINUTES = 15
"""So long before its opening and after its closing a store counts as open for the running hour."""
QUIET_MINUTES = 30
"""How often all cameras are asked for the running hour, whatever is open."""
ENDED_MINUTES = 5
"""So long after its end a camera is asked for the whole hour."""

RECENT_DAYS = 10
"""Days that are computed anew every six hours: an estimate of a gap reaches back a week from its end."""

HELD_DAYS = 7
"""Days for which cameras hold their heat."""
FOLLOWED_DAYS = 31
"""Days for which a long anomaly is followed."""
_NIGHT_HOUR = 3

# Dagster starts runs of higher priority first; back-fills have 0.
_LIVE = {"dagster/priority": "10"}
_SLOT = timedelta(minutes=30)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def _tick(context: dg.ScheduleEvaluationContext) -> datetime:
    return context.scheduled_execution_time.astimezone(UTC)


_schedule = partial(dg.schedule, execution_timezone="UTC", default_status=dg.DefaultScheduleStatus.RUNNING)


def _once(context: dg.ScheduleEvaluationContext, what: str, tags: Mapping[str, str] | None = None) -> dg.RunRequest:
    return dg.RunRequest(run_key=f"{what} {_tick(context).isoformat()}", tags=tags)


def _run(context: dg.ScheduleEvaluationContext, first: str, last: str, what: str) -> dg.RunRequest:
    return _once(context, what, {**range_tags(first, last), **_LIVE})


def _last_days(context: dg.ScheduleEvaluationContext, days: int, what: str) -> dg.RunRequest:
    """One run of today's date and of so many before it."""
    today = _tick(context).date()
    return _run(context, day_key(today - days * _DAY), day_key(today), what)


@_schedule(
    job=collect_hours,
    cron_schedule="5 * * * *",
    description=f"At :05 asks all cameras for the last {FINISHED_HOURS} finished hours and computes their figures.",
)
def finished_hours(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of the newest finished hours."""
    return _run(context, *last_hours(_tick(context), FINISHED_HOURS, with_running=False), "finished hours")


@_schedule(
    job=collect_hours,
    cron_schedule="*/5 * * * *",
    description="Every 5 minutes (RETAIL_SENSORS_RUNNING_HOUR_MINUTES) asks the cameras of stores that are open, from "
    f"{AROUND_MINUTES} minutes before to {AROUND_MINUTES} after, for the running hour (the last {RUNNING_HOURS} partitions) and their "
    f"alarm status; all cameras every {QUIET_MINUTES} minutes, and those whose hour ends beside the full hour (UTC) when it "
    f"has ended {ENDED_MINUTES} minutes ago.",
)
def running_hour(context: dg.ScheduleEvaluationContext, database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    """One run of the running hour and the one before."""
    tick = _tick(context)
    request = _run(context, *last_hours(tick, RUNNING_HOURS, with_running=True), "running hour")
    if tick.minute % QUIET_MINUTES == 0:
        return request
    every = load_settings().running_hour_minutes
    roster = database.roster()
    names = cameras_with_ended_hours(tick, roster)
    if tick.minute % every == 0:
        names = sorted({*names, *cameras_of_open_stores(tick, roster)})
    elif not names:
        return dg.SkipReason(
            f"The running hour is asked for every {every} minutes (RETAIL_SENSORS_RUNNING_HOUR_MINUTES)."
        )
    if not names:
        return dg.SkipReason(
            f"No store with a camera is open, or was or will be within {AROUND_MINUTES} minutes; all cameras are asked every "
            f"{QUIET_MINUTES} minutes."
        )
    if len(names) == int(roster.sensors["is_active"].sum()):
        return request
    config = {asset.key.to_user_string(): {"config": {"cameras": names}} for asset in RAW_ASSETS}
    return request.with_replaced_attrs(run_config={"ops": config})


def cameras_with_ended_hours(tick: datetime, roster: Roster) -> list[str]:
    """Names of the active cameras whose local hour has ended just before the tick, in order; `finished_hours` asks for those that end
    with an hour of UTC."""
    ended = tick - timedelta(minutes=ENDED_MINUTES)
    cameras = roster.sensors.loc[roster.sensors["is_active"].astype(bool), ["sensor_name", "timezone"]]
    return sorted(
        name
        for name, zone in cameras.itertuples(index=False)
        if ended.minute and ended.astimezone(ZoneInfo(zone)).minute == 0
    )


def cameras_of_open_stores(tick: datetime, roster: Roster) -> list[str]:
    """Names of the active cameras in stores that are open at the tick or nearly so, in order; a store without opening hours is."""
    second = int(tick.timestamp())
    stores = roster.stores[["id", "opening_hours", "store_name", "timezone"]]
    is_open = {
        store: is_open_around(None if pd.isna(hours) else hours, name, zone, second, AROUND_MINUTES)
        for store, hours, name, zone in stores.itertuples(index=False)
    }
    cameras = roster.sensors.loc[roster.sensors["is_active"].astype(bool), ["sensor_name", "store_id"]]
    return sorted(name for name, store in cameras.itertuples(index=False) if is_open[store])


@_schedule(
    job=daily_figures,
    cron_schedule="15,45 * * * *",
    description="At :15 and :45 computes the day of each store whose local day has just ended, and again when its occupancy day has.",
)
def ended_days(context: dg.ScheduleEvaluationContext, database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    """One run of the dates that have ended, or that have been completed, since half an hour before."""
    dates = sorted({day for day, _ in just_ended(_tick(context), database.roster().stores)})
    if not dates:
        return dg.SkipReason("No store's local day or occupancy day ended in the last half hour.")
    return _run(context, day_key(dates[0]), day_key(dates[-1]), "ended days")


@_schedule(
    job=hourly_figures,
    cron_schedule="20 */6 * * *",
    description=f"Every six hours computes the hours of the last {RECENT_DAYS} days anew: estimates of gaps that have ended, stays "
    "that were told later, a till feed that was loaded. What has not changed stays as it is.",
)
def recent_hours(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of the newest hours."""
    return _run(context, *last_hours(_tick(context), RECENT_DAYS * 24, with_running=False), "recent hours")


@_schedule(
    job=daily_figures,
    cron_schedule="25 */6 * * *",
    description=f"Every six hours computes the last {RECENT_DAYS} days anew: hours that a camera gave late, and days that ended while "
    "nothing ran. What has not changed stays as it is.",
)
def recent_days(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of the newest dates."""
    return _last_days(context, RECENT_DAYS, "recent days")


def just_ended(tick: datetime, stores: pd.DataFrame) -> set[tuple[date, bool]]:
    """Dates of local days that ended in the half hour that the tick looks back on, with False; and dates of occupancy
    days, which run from reset to reset, with True."""
    slot = tick - (tick - datetime.min.replace(tzinfo=UTC)) % _SLOT
    ended: set[tuple[date, bool]] = set()
    for zone_name, reset in set(zip(stores["timezone"], stores["occupancy_reset_time"], strict=True)):
        zone = ZoneInfo(zone_name)
        today = slot.astimezone(zone).date()
        # Also the date before: a reset shortly before midnight is noticed when its date has passed.
        for last in (today - _DAY, today):
            for at, is_reset in ((clock_time(), False), (reset, True)):
                if slot - _SLOT < _instant(last, at, zone) <= slot:
                    ended.add((last - _DAY, is_reset))
    return ended


def _instant(day: date, at: clock_time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


@_schedule(
    job=ended_day_questions,
    cron_schedule="10,40 * * * *",
    description="Twice an hour asks the cameras that have such reports for the stays and the heat of days that have just ended, and "
    f"once a night for those of the last {HELD_DAYS} days that are not in yet.",
)
def ended_day_answers(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of the newest dates that may have ended."""
    tick = _tick(context)
    days = HELD_DAYS if (tick.hour, tick.minute) == (_NIGHT_HOUR, 10) else 2
    return _last_days(context, days, "ended day questions")


@_schedule(
    job=anomalies,
    cron_schedule="20 * * * *",
    description=f"At :20 looks for anomalies that began in the last {RECENT_DAYS} days, and once a night for those of the last "
    f"{FOLLOWED_DAYS}; those that have ended are resolved.",
)
def recent_anomalies(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of the newest dates."""
    days = FOLLOWED_DAYS if _tick(context).hour == _NIGHT_HOUR else RECENT_DAYS
    return _last_days(context, days - 1, "anomalies")


@_schedule(
    job=alerts,
    cron_schedule="2-59/5 * * * *",
    description="Every 5 minutes raises, escalates and resolves alerts by the rules that retail-sensors alerts rules lists.",
)
def watch(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of what is known now."""
    return _once(context, "alerts", _LIVE)


@_schedule(
    job=watch_cameras,
    cron_schedule="1-59/5 * * * *",
    description="Every 5 minutes says of each camera whether it is healthy, degraded, offline or unknown.",
)
def camera_states(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of what is known now."""
    return _once(context, "camera health", _LIVE)


@_schedule(
    job=public_holidays,
    cron_schedule="40 1 * * *",
    description="At 01:40 brings the public holidays of the stores' countries up to date.",
)
def nightly_holidays(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run a day: a new store's country is known the day after."""
    return _once(context, "public holidays")


@_schedule(
    job=train_model,
    cron_schedule="0 3 * * 1",
    description="On Mondays at 03:00 trains the model of the forecasts anew and tests it on the last weeks.",
)
def weekly_training(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run a week."""
    return _once(context, "training")


@_schedule(
    job=forecasts,
    cron_schedule="25 */6 * * *",
    description="Every six hours at :25, when the hour before is in, predicts the next 168 hours of cameras and stores.",
)
def next_hours(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of the running hour: its start is the instant from which is predicted."""
    key = hour_key(_tick(context))
    return _run(context, key, key, "forecasts")


@_schedule(
    job=plan_staff,
    cron_schedule="27 * * * *",
    description="At :27 plans staff for now, the next hour and the rest of the day from the newest forecast.",
)
def staff_for_now(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of the running hour."""
    key = hour_key(_tick(context))
    return _run(context, key, key, "staff")


@_schedule(
    job=forecast_accuracy,
    cron_schedule="50 * * * *",
    description="At :50 sets what was counted on days that ended in the last two days beside what was predicted, and once a night on "
    f"those of the last {RECENT_DAYS}: hours that a camera gave late.",
)
def recent_accuracy(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of the newest dates that may have ended."""
    days = RECENT_DAYS if _tick(context).hour == _NIGHT_HOUR else 2
    return _last_days(context, days, "accuracy")


nightly_maintenance = dg.ScheduleDefinition(
    name="nightly_maintenance",
    job=maintenance,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="At 02:00 makes partitions ahead of need, prunes Dagster's event log and archives or drops rows by the retention "
    "policies.",
)

SCHEDULES = (
    finished_hours,
    running_hour,
    recent_hours,
    ended_day_answers,
    ended_days,
    recent_days,
    recent_anomalies,
    watch,
    camera_states,
    weekly_training,
    next_hours,
    staff_for_now,
    recent_accuracy,
    nightly_holidays,
    nightly_maintenance,
)
