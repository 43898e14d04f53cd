"""Partitions: the only place with partition dates and zones.

Both definitions are UTC, and both hold one key that has not ended: the running hour is re-collected as it grows, and
today's date exists before UTC midnight, because Auckland's day ends twelve hours earlier. A daily key is a calendar
date; for each store it means that store's local day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ConfigurationError

FIRST_DAY = date(2023, 1, 1)
"""First day that can be collected. Dagster's guidance of 100 000 keys is reached eleven years later."""

HOURLY = dg.HourlyPartitionsDefinition(start_date=datetime.combine(FIRST_DAY, time(), UTC), end_offset=1)
DAILY = dg.DailyPartitionsDefinition(start_date=datetime.combine(FIRST_DAY, time(), UTC), end_offset=1)

HOURS_OF_DAY = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=1)
"""From a date to the UTC hours that any store's local day of that date, up to its occupancy reset, can lie in."""

DAYS_OF_HOUR = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=1)
"""From a UTC hour to the dates that it can belong to in some store."""

HOURS_POLICY = dg.BackfillPolicy.multi_run(24)
"""Shared by all hourly assets, so that one run holds raw to hourly."""
DAYS_POLICY = dg.BackfillPolicy.multi_run(31)

_DAY_KEY = "%Y-%m-%d"
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def run_window(context: dg.AssetExecutionContext) -> TimeWindow:
    """The half-open UTC window of the run's partitions, one or a range."""
    window = context.partition_time_window
    return TimeWindow(window.start.astimezone(UTC), window.end.astimezone(UTC))


def hour_key(instant: datetime) -> str:
    """Key of the UTC hour that holds the instant."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d-%H:00")


def day_key(day: date) -> str:
    """Key of the calendar date."""
    return day.strftime(_DAY_KEY)


def range_tags(first: str, last: str) -> dict[str, str]:
    """Run tags that make one run of the keys from `first` to `last`, both included."""
    return dict(zip(_RANGE_TAGS, (first, last), strict=True))


_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def last_hours(now: datetime, count: int, *, with_running: bool) -> tuple[str, str]:
    """First and last key of the newest `count` hours at `now`, with or without the running one."""
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - (timedelta() if with_running else _HOUR)
    return hour_key(last - (count - 1) * _HOUR), hour_key(last)


def hour_ranges(window: TimeWindow, hours_per_run: int) -> Iterator[tuple[str, str]]:
    """First and last keys of the runs that cover the window, none longer than `hours_per_run`, oldest first."""
    start = window.start
    while start < window.end:
        end = min(start + hours_per_run * _HOUR, window.end)
        yield hour_key(start), hour_key(end - _HOUR)
        start = end


def day_ranges(first: date, last: date, days_per_run: int) -> Iterator[tuple[str, str]]:
    """First and last keys of the runs that cover the dates, both included, oldest first."""
    while first <= last:
        end = min(first + (days_per_run - 1) * _DAY, last)
        yield day_key(first), day_key(end)
        first = end + _DAY


def check_window(window: TimeWindow, now: datetime) -> TimeWindow:
    """The window widened to whole UTC hours and cut at the end of the running one.

    Raises ConfigurationError for a window that is empty, in the future or before the first partition.
    """
    if window.end <= window.start:
        raise ConfigurationError(
            f"The range ends ({window.end.isoformat()}) before it starts ({window.start.isoformat()}); "
            "--to is exclusive and must be later than --from."
        )
    first = datetime.combine(FIRST_DAY, time(), UTC)
    if window.start < first:
        raise ConfigurationError(
            f"The range starts at {window.start.isoformat()}; the first hour that can be collected is {first.isoformat()}. "
            f"Choose a later --from."
        )
    running_until = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
    if window.start >= running_until:
        raise ConfigurationError(
            f"The range starts at {window.start.isoformat()}, which is in the future; cameras only know the past."
        )
    start = window.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    end = window.end.astimezone(UTC)
    floor = end.replace(minute=0, second=0, microsecond=0)
    return TimeWindow(start, min(floor if floor == end else floor + _HOUR, running_until))
