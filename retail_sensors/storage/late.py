"""Rows that came in after the figures that are made of them: which hours they reopen, and which days.

The statements stand in `sql/queries/late.sql`; when it is looked for late rows, and the runs that follow, belong in
`retail_sensors.sensors`. Instants named `since` and `until` are of the database's clock, which dates what is written.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.storage.database import Database
from retail_sensors.storage.repair import touched_days
from retail_sensors.storage.sqlfiles import queries

_DAY = timedelta(days=1)


def late_hours(database: Database, since: datetime, until: datetime, hours: TimeWindow, most: int) -> list[int]:
    """The first `most` late UTC hours of the window, in order: with a row that was written in (`since`, `until`] and is newer than
    the hour's figures. Raises DatabaseUnavailableError."""
    parameters = {"since": since, "until": until, "after": hours.start, "before": hours.end, "most": most}
    return [hour for (hour,) in database.fetch(queries("late")["late_hours"], parameters)]


def reopened_days(
    database: Database,
    hours: TimeWindow,
    reach: timedelta,
    written: TimeWindow,
    computed_since: datetime,
    now: datetime,
) -> list[tuple[date, date]]:
    """First and last dates, in order, of the ended days that the late hours of a window reopen once their figures are computed.

    `written`: between which instants the late rows were; `computed_since`: before the figures were; `reach`: so far from the hours
    other figures may have changed with them.
    """
    around = TimeWindow(hours.start - reach, hours.end + reach)
    days: set[date] = set()
    for first, last in touched_days(database, around, computed_since, now):
        days.update(first + n * _DAY for n in range((last - first).days + 1))
    parameters = {"since": written.start, "until": written.end, "start": hours.start, "end": hours.end, "now": now}
    days.update(day for (day,) in database.fetch(queries("late")["days_of_feeds"], parameters))
    ranges: list[tuple[date, date]] = []
    for day in sorted(days):
        if ranges and ranges[-1][1] + _DAY == day:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges
