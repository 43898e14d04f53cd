"""What a learner sees of one forecast: a row of features per (series, origin, target hour), in which no future shows.

Every feature is free of the sensor's size: counts are divided by the mean count of the 4 weeks before the origin (the
*scale*), or are ratios of what was counted to what was usual (the median of the same hour of the 4 weeks before). So small doors
and big streets share one model. A feature reads only its own series, so that no store's figures depend on another store.
Which rows are asked for, and what is learnt from them, belongs in `forecast`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics import frames
from retail_sensors.analytics.forecast_grid import WEEK, Grid, median
from retail_sensors.analytics.frames import Array

_LEVELS = (1, 3, 6, 12, 24, 48, 72, 168, 336)
_HOLIDAY_REACH = 7

BASE_FEATURES = (
    "horizon_hours",
    "hour",
    "weekday",
    "hour_of_week",
    "day_of_year",
    *(f"week_{week}" for week in range(1, 5)),
    "median_4_weeks",
    "mean_4_weeks",
    "median_8_weeks",
    "deviation_4_weeks",
    "mean_2_weeks",
    *(f"level_{hours}" for hours in _LEVELS),
    *(f"day_{day}" for day in range(3)),
    *(f"day_level_{day}" for day in range(3)),
    "median_7_days",
    "last_week_hour_level",
    "last_week_day_level",
    "scale_growth",
    "irregularity",
    "last_year_hour_level",
    "last_year_day_level",
    "last_year_week_level",
    "last_year_date_level",
    "holiday",
    "holiday_before",
    "holiday_after",
    "holiday_last_week",
    "days_to_holiday",
    "school_holiday",
    "school_holiday_change",
)
"""Names of the features that every model has; `weather_...` columns follow where weather is given."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of rows, shape (rows, names), and what turns an answer back into people.

    `base`: median of the known same hours of the 4 weeks before the target, `scale`: mean count of the 4 weeks before the
    origin; people per hour, NaN where the history is too short for a learner.
    """

    names: tuple[str, ...]
    table: Array
    base: Array
    scale: Array

    @property
    def usable(self) -> Array:
        """Rows that a learner can answer."""
        return ~np.isnan(self.base) & ~np.isnan(self.scale)

    def where(self, chosen: Array) -> Features:
        """The chosen rows."""
        return Features(self.names, self.table[chosen], self.base[chosen], self.scale[chosen])

    def columns(self, names: tuple[str, ...]) -> Array:
        """The table in the order of another set of names; NaN for what is not known here."""
        place = {name: column for column, name in enumerate(self.names)}
        result = np.full((len(self.table), len(names)), np.nan)
        for column, name in enumerate(names):
            if name in place:
                result[:, column] = self.table[:, place[name]]
        return result


def _date_last_year(day: Array) -> Array:
    """Days since 1970 of the same date a year before; the 1st of March for a 29th of February."""
    dates = day.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    return np.asarray(
        ((months - 12).astype("datetime64[D]") + (dates - months.astype("datetime64[D]"))).astype(np.int64)
    )


def _days_to(flags: Array) -> Array:
    """Days from each day to the next flagged one, at most _HOLIDAY_REACH, shape of flags."""
    result = np.full(flags.shape, float(_HOLIDAY_REACH))
    for ahead in range(_HOLIDAY_REACH - 1, 0, -1):
        result[:, :-ahead][flags[:, ahead:]] = ahead
    result[flags] = 0.0
    return result


def build(grid: Grid, series: Array, origin: Array, target: Array) -> Features:
    """Features of rows; `origin` and `target` are columns of the grid, origin <= target < origin + about a week.

    Nothing at the origin or after it is read, but for holidays and weather.
    """

    def at(hour: Array) -> Array:
        return grid.at(grid.values, series, origin, hour)

    def level(start: Array, end: Array) -> Array:
        return frames.ratio(
            grid.within(grid.actual, series, origin, start, end), grid.within(grid.expected, series, origin, start, end)
        )

    def mean(start: Array) -> Array:
        return frames.ratio(
            grid.within(grid.counts, series, origin, start, origin),
            grid.within(grid.known, series, origin, start, origin),
        )

    scale = mean(origin - 4 * WEEK)
    scale = np.where(scale > 0, scale, np.nan)
    lags = np.stack([at(target - WEEK * week) for week in range(1, 9)])
    day_of = np.clip(target // 24, 0, grid.holiday.shape[1] - 1)
    not_holiday = np.stack([~grid.holiday[series, np.clip(day_of - 7 * week, 0, None)] for week in range(1, 9)])
    donors = np.where(not_holiday, lags, np.nan)
    base = median(donors[:4])
    known = ~np.isnan(lags[:4])
    count = known.sum(axis=0).astype(float)
    average = frames.ratio(np.where(known, lags[:4], 0.0).sum(axis=0), count)
    spread = np.sqrt(frames.ratio(np.where(known, (lags[:4] - average) ** 2, 0.0).sum(axis=0), count))

    wall = target + grid.first
    hour = wall % 24
    date = (wall // 24).astype("datetime64[D]")
    columns: dict[str, Array] = {
        "horizon_hours": target - origin + 1,
        "hour": hour,
        "weekday": grid.hour_of_week(target) // 24,
        "hour_of_week": grid.hour_of_week(target),
        "day_of_year": (date - date.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64),
        "median_4_weeks": base / scale,
        "mean_4_weeks": average / scale,
        "median_8_weeks": median(donors) / scale,
        "deviation_4_weeks": spread / scale,
        "mean_2_weeks": (lags[0] + lags[1]) / 2 / scale,
    }
    columns |= {f"week_{week}": lags[week - 1] / scale for week in range(1, 5)}
    columns |= {f"level_{hours}": level(origin - hours, origin) for hours in _LEVELS}

    same_time = target - 24 * ((target - origin) // 24 + 1)  # the last known hour at this time of the day
    for back in range(3):
        columns[f"day_{back}"] = at(same_time - 24 * back) / scale
        columns[f"day_level_{back}"] = level(same_time - 24 * back - 1, same_time - 24 * back + 2)
    columns["median_7_days"] = median(np.stack([at(same_time - 24 * back) for back in range(7)])) / scale
    week_ago, year_ago = target - WEEK, target - 52 * WEEK
    date_ago = _date_last_year(wall // 24) * 24 - grid.first
    columns |= {
        "last_week_hour_level": level(week_ago - 1, week_ago + 2),
        "last_week_day_level": level(week_ago - hour, week_ago - hour + 24),
        "scale_growth": mean(origin - WEEK) / scale,
        "irregularity": frames.ratio(
            grid.within(grid.misses, series, origin, origin - 4 * WEEK, origin),
            grid.within(grid.expected, series, origin, origin - 4 * WEEK, origin),
        ),
        # 364 days ago the weekday was the same, and so was the distance to most school terms and Sundays of the year
        "last_year_hour_level": level(year_ago - 1, year_ago + 2),
        "last_year_day_level": level(year_ago - hour, year_ago - hour + 24),
        "last_year_week_level": level(year_ago - hour - 72, year_ago - hour + 96),
        "last_year_date_level": level(date_ago, date_ago + 24),
    }
    columns |= _days(grid, series, day_of)
    inside = np.clip(target, 0, grid.weather.shape[1] - 1)
    for column, name in enumerate(grid.weather_names):
        columns[f"weather_{name}"] = grid.weather[series, inside, column]
    names = (*BASE_FEATURES, *(f"weather_{name}" for name in grid.weather_names))
    table = np.empty((len(target), len(names)))
    for column, name in enumerate(names):
        table[:, column] = columns[name]
    return Features(names, table, base, scale)


def _days(grid: Grid, series: Array, day: Array) -> dict[str, Array]:
    """Holidays around each row's day; the change of school holidays is against the share of them in the 4 weeks before."""
    last = grid.holiday.shape[1] - 1

    def flag(flags: Array, offset: int) -> Array:
        return np.asarray(flags[series, np.clip(day + offset, 0, last)], dtype=np.float64)

    school = flag(grid.school, 0) if grid.has_school else np.full(len(day), np.nan)
    before = sum((flag(grid.school, -7 * week) for week in range(1, 5)), np.zeros(len(day))) / 4
    return {
        "holiday": flag(grid.holiday, 0),
        "holiday_before": flag(grid.holiday, -1),
        "holiday_after": flag(grid.holiday, 1),
        "holiday_last_week": flag(grid.holiday, -7),
        "days_to_holiday": _days_to(grid.holiday)[series, np.clip(day, 0, last)],
        "school_holiday": school,
        "school_holiday_change": school - before,
    }
