"""Like-for-like days of shops: the same weekday of earlier years, and the 4-5-4 calendar with its week 53.

The 4-5-4 calendar is that of the US National Retail Federation (nrf.com/resources/4-5-4-calendar): weeks run from Sunday to
Saturday, the retail year ends on the Saturday nearest to January 31, and its twelve periods have 4, 5, 4 weeks in each quarter.
52 weeks are 364 days, so every five or six years a week 53 is added to the last period: 2000, 2006, 2012, 2017, 2023.

The year after it is compared in one of two ways. *Restated*, week 1 of the year with 53 weeks is left out and each later week
moves up by one: 364 days before, feasts stand beside the same feasts. *Not restated*, weeks of one number are compared: 371
days before, a week off the season. `like_for_like` is the first, `same_retail_week` the second. Holidays that move belong in
`holidays`.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.errors import ContractError
from retail_sensors.tables.inputs import RETAIL_CALENDAR

_SATURDAY = 5
_WEEKS_OF_PERIODS = (4, 5, 4) * 4


class RetailDay(NamedTuple):
    """One day of the 4-5-4 calendar: retail year, week 1 to 53, period 1 (February) to 12 (January), weekday 1 (Sunday) to 7."""

    year: int
    week: int
    period: int
    weekday: int


def retail_year_start(year: int) -> date:
    """The Sunday on which a retail year starts: the day after the Saturday nearest to January 31."""
    end_of_january = date(year, 1, 31)
    ahead = (_SATURDAY - end_of_january.weekday()) % 7
    return end_of_january + timedelta(days=ahead + 1 if ahead <= 3 else ahead - 6)


def weeks_of_retail_year(year: int) -> int:
    """How many weeks a retail year has: 52 or 53."""
    return (retail_year_start(year + 1) - retail_year_start(year)).days // 7


def retail_week(day: date) -> RetailDay:
    """Where a calendar date lies in the 4-5-4 calendar; week 53 belongs to period 12."""
    year = day.year if day >= retail_year_start(day.year) else day.year - 1
    week, weekday = divmod((day - retail_year_start(year)).days, 7)
    period, end = 0, 0
    while period < 12 and end <= week:
        end += _WEEKS_OF_PERIODS[period]
        period += 1
    return RetailDay(year, week + 1, period, weekday + 1)


def like_for_like(day: date, years: int = 1) -> date:
    """The same weekday nearest to the same calendar date so many years before, as in the restated calendar.

    One year before it is always 364 days; over several years a week more wherever the days that 52 weeks lack, one or two a
    year, have come to more than half a week: 371 days for one of the years. ContractError when `years` is under 1.
    """
    _check(years)
    is_leap_day = (day.month, day.day) == (2, 29)
    anniversary = date(day.year - years, 2, 28) if is_leap_day else day.replace(year=day.year - years)
    return day - timedelta(days=7 * round((day - anniversary).days / 7))


def same_retail_week(day: date, years: int = 1) -> date | None:
    """The same weekday of the same week number so many retail years before, not restated.

    364 days for each year, 371 for each that had 53 weeks. None: the day lies in a week 53 that the other year does not have.
    ContractError when `years` is under 1.
    """
    _check(years)
    here = retail_week(day)
    if here.week > weeks_of_retail_year(here.year - years):
        return None
    return retail_year_start(here.year - years) + timedelta(days=7 * (here.week - 1) + here.weekday - 1)


def calendar_days(first: date, end: date) -> pd.DataFrame:
    """One row of `retail_calendar` per date, first <= date < end."""
    days = [first + timedelta(days=number) for number in range((end - first).days)]
    placed = [retail_week(day) for day in days]

    def part(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([getattr(place, name) for place in placed], dtype=np.float64)

    return frames.build(
        RETAIL_CALENDAR,
        {
            "date": np.array(days, dtype=object),
            "retail_year": part("year"),
            "retail_week": part("week"),
            "retail_period": part("period"),
            "retail_weekday": part("weekday"),
            "like_for_like_date": np.array([like_for_like(day) for day in days], dtype=object),
            "same_week_date": np.array([same_retail_week(day) for day in days], dtype=object),
        },
    )


def _check(years: int) -> None:
    if years < 1:
        raise ContractError(f"A day {years} years before cannot be compared; give a number of years from 1 on.")
