"""The 4-5-4 calendar against the published one, and days that are compared with days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.analytics.retail_calendar import (
    calendar_days,
    like_for_like,
    retail_week,
    retail_year_start,
    same_retail_week,
    weeks_of_retail_year,
)
from retail_sensors.errors import ContractError

DAYS = st.dates(date(1990, 1, 1), date(2090, 12, 31))


def test_years_start_where_the_published_calendar_has_them() -> None:
    starts = {year: retail_year_start(year) for year in range(2017, 2027)}
    assert starts == {
        2017: date(2017, 1, 29),
        2018: date(2018, 2, 4),
        2019: date(2019, 2, 3),
        2020: date(2020, 2, 2),
        2021: date(2021, 1, 31),
        2022: date(2022, 1, 30),
        2023: date(2023, 1, 29),
        2024: date(2024, 2, 4),
        2025: date(2025, 2, 2),
        2026: date(2026, 2, 1),
    }


def test_the_years_with_53_weeks_are_the_published_ones() -> None:
    assert [year for year in range(2000, 2024) if weeks_of_retail_year(year) == 53] == [2000, 2006, 2012, 2017, 2023]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2023, 1, 28), (2022, 52, 12, 7)),
        (date(2023, 1, 29), (2023, 1, 1, 1)),
        (date(2023, 2, 26), (2023, 5, 2, 1)),  # period 1 has four weeks
        (date(2023, 4, 1), (2023, 9, 2, 7)),  # period 2 has five
        (date(2023, 4, 2), (2023, 10, 3, 1)),
        (date(2023, 4, 30), (2023, 14, 4, 1)),  # the second quarter
        (date(2023, 11, 24), (2023, 43, 10, 6)),  # Black Friday
        (date(2024, 1, 27), (2023, 52, 12, 7)),
        (date(2024, 1, 28), (2023, 53, 12, 1)),
        (date(2024, 2, 3), (2023, 53, 12, 7)),
        (date(2024, 2, 4), (2024, 1, 1, 1)),
    ],
)
def test_a_date_has_its_retail_week(day: date, expected: tuple[int, int, int, int]) -> None:
    assert retail_week(day) == expected


def test_a_year_before_is_364_days_so_that_feasts_stand_beside_feasts() -> None:
    assert like_for_like(date(2024, 2, 4)) == date(2023, 2, 5)
    assert retail_week(date(2023, 2, 5)).week == 2  # restated: week 1 of 2023 is left out
    assert like_for_like(date(2024, 11, 29)) == date(2023, 12, 1)
    assert like_for_like(date(2024, 2, 29)) == date(2023, 3, 2)


def test_over_years_the_lacking_days_make_a_week() -> None:
    assert like_for_like(date(2024, 6, 15), 2) == date(2022, 6, 18)
    # 2021-06-15 was a Tuesday: the nearest Saturdays are the 12th, 3 days off, and the 19th, 4 days off.
    assert like_for_like(date(2024, 6, 15), 3) == date(2021, 6, 12)
    assert (date(2024, 6, 15) - date(2021, 6, 12)).days == 2 * 364 + 371
    assert like_for_like(date(2024, 6, 15), 6) == date(2018, 6, 16)


def test_weeks_of_one_number_are_371_days_apart_across_a_week_53() -> None:
    assert same_retail_week(date(2024, 2, 4)) == date(2023, 1, 29)
    assert (date(2024, 2, 4) - date(2023, 1, 29)).days == 371
    assert same_retail_week(date(2025, 2, 2)) == date(2024, 2, 4)
    assert same_retail_week(date(2025, 2, 2), 2) == date(2023, 1, 29)


def test_a_week_53_has_no_counterpart_in_a_year_of_52() -> None:
    assert same_retail_week(date(2024, 1, 28)) is None
    assert same_retail_week(date(2024, 1, 28), 6) == date(2018, 1, 28)  # 2017 had one


@pytest.mark.parametrize("compare", [like_for_like, same_retail_week])
def test_no_years_are_refused(compare: object) -> None:
    with pytest.raises(ContractError, match="from 1 on"):
        compare(date(2024, 2, 4), 0)  # type: ignore[operator]


@given(DAYS)
def test_weeks_follow_each_other_without_a_gap(day: date) -> None:
    here, tomorrow = retail_week(day), retail_week(day + timedelta(days=1))
    assert here.weekday == day.isoweekday() % 7 + 1
    if here.weekday < 7:
        assert tomorrow == (here.year, here.week, here.period, here.weekday + 1)
    elif here.week < weeks_of_retail_year(here.year):
        assert (tomorrow.year, tomorrow.week, tomorrow.weekday) == (here.year, here.week + 1, 1)
        assert tomorrow.period - here.period in (0, 1)
    else:
        assert tomorrow == (here.year + 1, 1, 1, 1)
        assert here.period == 12
        assert here.week in (52, 53)


@given(DAYS, st.integers(1, 30))
def test_what_is_compared_is_the_same_weekday_of_the_same_season(day: date, years: int) -> None:
    other = like_for_like(day, years)
    assert other.weekday() == day.weekday()
    assert abs((day - other).days - years * 365.2425) < 5
    numbered = same_retail_week(day, years)
    if numbered is not None:
        assert retail_week(numbered)[1:] == retail_week(day)[1:]
        assert (day - numbered).days % 7 == 0


@given(DAYS)
def test_one_year_is_always_364_days(day: date) -> None:
    assert like_for_like(day) == day - timedelta(days=364)


def test_the_calendar_of_days_around_the_turn_of_a_year_of_53_weeks() -> None:
    frame = calendar_days(date(2024, 1, 28), date(2024, 2, 5)).astype(object)
    # Week 53 of 2023 from January 28, 2024, then week 1 of 2024.
    assert frame["retail_week"].tolist() == [53] * 7 + [1]
    assert frame["retail_year"].tolist() == [2023] * 7 + [2024]
    assert frame["like_for_like_date"].tolist() == [date(2023, 1, 29) + timedelta(days=day) for day in range(8)]
    assert frame["same_week_date"].isna().tolist() == [True] * 7 + [False]
    assert frame["same_week_date"].iloc[-1] == date(2023, 1, 29)
