"""Holidays of stores: which days are one, and on which day the same feast was a year before.

The rows of table `holidays` belong to a country or to a part of it; here they become days of stores. The public holidays come
from the Python package holidays (a calculation, nothing is fetched), school holidays only from files. A store of a part that the
library knows has the library's days of that part alone, since a part may lack what the country has (Columbus Day in California);
days from files are those of the country and of the part together. Comparisons by weekday belong in `retail_calendar`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby

import holidays as library
import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.forecast_grid import Regressors
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables.inputs import HOLIDAYS, WEATHER_HOURLY

Dates = tuple[date, date]
"""First date and the one after the last."""

_LANGUAGE = "en_US"
"""Without a language the names would be in that of the process's environment, and change with it."""

_ONE_FEAST = timedelta(days=30)
"""Days of one name that are nearer than this are one feast: Chinese New Year has four days or more."""
_YEAR = timedelta(days=365)
_NEAREST, _FURTHEST = timedelta(days=340), timedelta(days=400)
"""A year between two feasts: 353 days at least by the moon, 385 at most from one Easter to the next."""


def places(roster: Roster, subdivisions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Where each store lies: store_id, country, subdivision (empty: not said); stores without a country are left out.

    `subdivisions`: rows of `store_subdivisions`.
    """
    stores = roster.stores[["id", "country"]].rename(columns={"id": "store_id"})
    stores = stores[stores["country"].notna()].reset_index(drop=True)
    if subdivisions is None or not len(subdivisions):
        return stores.assign(subdivision=pd.array([""] * len(stores), dtype="string"))
    parts = subdivisions.set_index("store_id")["subdivision"]
    return stores.assign(subdivision=stores["store_id"].map(parts).astype("string").fillna(""))


def public_holidays(
    wanted: Iterable[tuple[str, str]], years: range
) -> tuple[pd.DataFrame, tuple[tuple[str, str], ...]]:
    """The library's public holidays as rows of `holidays`, and the places that it does not know.

    `wanted`: pairs of country and subdivision (empty: the whole country). A name is the same every year: that a date is
    estimated is not part of it. Days observed in place of another carry a name of their own, as the library gives it.
    """
    rows: set[tuple[str, str, date, str]] = set()
    unknown = []
    for country, subdivision in sorted(set(wanted)):
        try:
            found = library.country_holidays(country, subdiv=subdivision or None, years=years, language=_LANGUAGE)
        except NotImplementedError:
            unknown.append((country, subdivision))
            continue
        for day in found:
            if day.year in years:
                rows |= {(country, subdivision, day, _plain(name)) for name in found.get_list(day)}
    columns = np.array(sorted(rows), dtype=object).reshape(len(rows), 4).T
    kinds = {name: np.full(len(rows), word, dtype=object) for name, word in (("kind", "public"), ("source", "library"))}
    values = dict(zip(("country", "subdivision", "date", "holiday_name"), columns, strict=True))
    return frames.build(HOLIDAYS, {**values, **kinds}), tuple(unknown)


def _plain(name: str) -> str:
    return name.replace(" (estimated)", "").replace(", estimated)", ")")


def without_files(rows: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """The library's rows that no user has loaded: what a file says of a holiday stands.

    `rows`, `stored`: rows of `holidays`.
    """
    key = list(HOLIDAYS.key)
    files = pd.MultiIndex.from_frame(stored.loc[stored["source"] == "file", key])
    return rows[~pd.MultiIndex.from_frame(rows[key]).isin(files)].reset_index(drop=True)


def store_holidays(
    holidays: pd.DataFrame, roster: Roster, dates: Dates, subdivisions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per store and date that is a public holiday there: store_id, date, holiday_name (several joined by `; `).

    `holidays`: rows of the table; `subdivisions`: those of `store_subdivisions`. A store without a country has none.
    """
    named = _days_of_stores(holidays, places(roster, subdivisions), "public")
    inside = np.array([dates[0] <= day < dates[1] for day in named["date"]], dtype=bool)
    named = named[inside]
    joined = named.groupby(["store_id", "date"], sort=True)["holiday_name"].agg("; ".join)
    return joined.astype("string").reset_index() if len(named) else named


def same_named(
    holidays: pd.DataFrame, roster: Roster, dates: Dates, subdivisions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per store and date that is a public holiday there: store_id, date, holiday_name, reference_date.

    `reference_date` is the day of the same-named holiday a year before: the feast of that name that began 340 to 400 days
    before, nearest to 365, and of a feast of several days the one of the same place in it. None: it was not a holiday then, it was
    shorter, or the table does not reach back so far. Of several holidays on one date the first in the alphabet that has a
    reference names the row.
    """
    named = _days_of_stores(holidays, places(roster, subdivisions), "public")
    found: dict[tuple[str, date], tuple[str, date | None]] = {}
    for (store, name), group in named.groupby(["store_id", "holiday_name"], sort=True):
        feasts = _feasts(sorted(group["date"]))
        for feast in feasts:
            earlier = [other for other in feasts if _NEAREST <= feast[0] - other[0] <= _FURTHEST]
            before = min(earlier, key=lambda other: abs(feast[0] - other[0] - _YEAR), default=[])
            for place, day in enumerate(feast):
                if not dates[0] <= day < dates[1]:
                    continue
                reference = before[place] if place < len(before) else None
                present = found.get((str(store), day))
                if present is None or (present[1] is None and reference is not None):
                    found[str(store), day] = (str(name), reference)
    rows = sorted(found.items())
    return pd.DataFrame(
        {
            "store_id": pd.array([store for (store, _), _ in rows], dtype="string"),
            "date": pd.Series([day for (_, day), _ in rows], dtype="object"),
            "holiday_name": pd.array([name for _, (name, _) in rows], dtype="string"),
            "reference_date": pd.Series([reference for _, (_, reference) in rows], dtype="object"),
        }
    )


def regressors_of(
    holidays: pd.DataFrame | None,
    weather: pd.DataFrame | None,
    roster: Roster,
    subdivisions: pd.DataFrame | None = None,
    *,
    series: pd.DataFrame | None = None,
) -> Regressors:
    """What the stored tables know beforehand of the days and hours of series, for a forecast.

    `holidays`, `weather`, `subdivisions`: rows of `holidays`, `weather_hourly`, `store_subdivisions`. `series`: `series` and the
    `store_id` that it counts in; without it every camera by its id. What nobody loaded is absent, not empty.
    """
    if series is None:
        series = roster.sensors[["id", "store_id"]].rename(columns={"id": "series"})
    counted = series[["series", "store_id"]]
    days: dict[str, pd.DataFrame | None] = {"public": None, "school": None}
    if holidays is not None:
        where = places(roster, subdivisions)
        for kind in days:
            of_stores = _days_of_stores(holidays, where, kind)[["store_id", "date"]].drop_duplicates()
            of_series = counted.merge(of_stores, on="store_id")[["series", "date"]]
            days[kind] = of_series if len(of_series) else None
    hours = None
    if weather is not None and len(weather):
        measured = [column.name for column in WEATHER_HOURLY.written if column.name not in WEATHER_HOURLY.key]
        known = [name for name in measured if weather[name].notna().any()]
        hours = counted.merge(weather[["store_id", "hour_start", *known]], on="store_id").drop(columns="store_id")
    return Regressors(days["public"], days["school"], hours if hours is not None and len(hours) else None)


def _days_of_stores(holidays: pd.DataFrame, where: pd.DataFrame, kind: str) -> pd.DataFrame:
    """store_id, date, holiday_name: the holidays of a kind that hold at each store, each once, in the order of these columns."""
    listed = holidays.loc[holidays["kind"] == kind, ["country", "subdivision", "date", "holiday_name", "source"]]
    is_library = listed["source"] == "library"
    known = set(listed.loc[is_library, ["country", "subdivision"]].itertuples(index=False, name=None))
    pairs = where[["country", "subdivision"]].itertuples(index=False, name=None)
    library_part = pd.array([part if (country, part) in known else "" for country, part in pairs], dtype="string")
    joined = where.assign(library_part=library_part).merge(listed, on="country", suffixes=("", "_of_row"))
    row, is_library = joined["subdivision_of_row"], joined["source"] == "library"
    holds = (is_library & (row == joined["library_part"])) | (
        ~is_library & ((row == "") | (row == joined["subdivision"]))
    )
    columns = ["store_id", "date", "holiday_name"]
    return joined.loc[holds.to_numpy(dtype=bool), columns].drop_duplicates().sort_values(columns, ignore_index=True)


def _feasts(days: list[date]) -> list[list[date]]:
    """Ascending days cut where the next one is a feast of its own."""
    starts = [number for number, day in enumerate(days) if number == 0 or day - days[number - 1] >= _ONE_FEAST]
    feast_of = np.searchsorted(starts, np.arange(len(days)), side="right")
    return [
        [day for _, day in group] for _, group in groupby(zip(feast_of, days, strict=True), key=lambda pair: pair[0])
    ]
