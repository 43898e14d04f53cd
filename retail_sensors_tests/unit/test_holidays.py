"""Which days are holidays of a store, the same feast a year before, and what a forecast gets of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.analytics import forecast_grid
from retail_sensors.analytics.holidays import (
    public_holidays,
    regressors_of,
    same_named,
    store_holidays,
    without_files,
)
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables.inputs import HOLIDAYS, STORE_SUBDIVISIONS, WEATHER_HOURLY
from retail_sensors_tests.unit.analytics_estate import camera, identity, roster, store, typed, utc


def estate(**countries: str | None) -> Roster:
    """Stores by country, a camera in each."""
    return roster(
        [store(name, country=country) for name, country in countries.items()],
        [camera(f"{name}-door", name) for name in countries],
        {},
    )


def row(country: str, day: str, name: str, **changes: Any) -> dict[str, Any]:
    return {
        "country": country,
        "subdivision": "",
        "date": date.fromisoformat(day),
        "holiday_name": name,
        "kind": "public",
        "source": "library",
        "updated_at": utc("2025-01-01T00:00"),
        **changes,
    }


def stored(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return typed(HOLIDAYS, rows)


def parts(**subdivisions: str) -> pd.DataFrame:
    return typed(
        STORE_SUBDIVISIONS,
        [{"store_id": identity(name), "subdivision": part} for name, part in subdivisions.items()],
    )


def days(frame: pd.DataFrame, name: str) -> list[tuple[str, str]]:
    mine = frame[frame["store_id"] == identity(name)]
    return [(str(day), str(what)) for day, what in zip(mine["date"], mine["holiday_name"], strict=True)]


YEAR = (date(2025, 1, 1), date(2026, 1, 1))


# The library ------------------------------------------------------------------------------------------------------------


def test_the_library_gives_the_years_asked_for_in_one_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    found, unknown = public_holidays([("DE", ""), ("DE", "BY")], range(2025, 2026))
    assert not unknown
    names = found.set_index(["subdivision", "date"])["holiday_name"]
    assert names[("", date(2025, 10, 3))] == "German Unity Day"
    assert ("", date(2025, 1, 6)) not in names.index
    assert names[("BY", date(2025, 1, 6))] == "Epiphany"
    assert {day.year for day in found["date"]} == {2025}
    assert (found["kind"] == "public").all()
    assert (found["source"] == "library").all()
    assert list(found.columns) == [column.name for column in HOLIDAYS.written]


def test_two_holidays_on_one_date_are_two_rows() -> None:
    # Easter Monday of 2011 fell on Italy's Liberation Day, 25 April
    found, _ = public_holidays([("IT", "")], range(2011, 2012))
    assert sorted(found.loc[found["date"] == date(2011, 4, 25), "holiday_name"]) == ["Easter Monday", "Liberation Day"]


def test_an_estimated_feast_has_the_name_of_the_certain_one() -> None:
    found, _ = public_holidays([("TR", "")], range(2024, 2031))
    assert not found["holiday_name"].str.contains("estimated").any()
    assert set(found.loc[found["holiday_name"] == "Eid al-Fitr", "date"].map(lambda day: day.year)) == set(
        range(2024, 2031)
    )


def test_unknown_countries_and_parts_are_named_and_give_no_rows() -> None:
    found, unknown = public_holidays([("XX", ""), ("DE", "ZZ"), ("XX", "")], range(2025, 2026))
    assert unknown == (("DE", "ZZ"), ("XX", ""))
    assert found.empty
    assert list(found.columns) == [column.name for column in HOLIDAYS.written]


def test_what_a_file_says_of_a_holiday_stands() -> None:
    given_now = stored([row("PT", "2025-04-25", "Freedom Day"), row("PT", "2025-05-01", "Labor Day")])
    loaded = stored([row("PT", "2025-05-01", "Labor Day", source="file"), row("PT", "2025-04-25", "Freedom Day")])
    assert without_files(given_now, loaded)["holiday_name"].tolist() == ["Freedom Day"]
    assert len(without_files(given_now, stored([]))) == 2
    assert without_files(stored([]), loaded).empty


# Stores -----------------------------------------------------------------------------------------------------------------


def test_a_store_has_the_public_holidays_of_its_country() -> None:
    table = stored(
        [
            row("PT", "2025-04-25", "Freedom Day"),
            row("DE", "2025-10-03", "German Unity Day"),
            row("PT", "2025-07-01", "Summer", kind="school", source="file"),
            row("PT", "2024-12-25", "Christmas Day"),
            row("PT", "2026-01-01", "New Year's Day"),
        ]
    )
    found = store_holidays(table, estate(lisbon="PT", berlin="DE", nowhere=None), YEAR)
    assert days(found, "lisbon") == [("2025-04-25", "Freedom Day")]
    assert days(found, "berlin") == [("2025-10-03", "German Unity Day")]
    assert days(found, "nowhere") == []
    assert list(found.columns) == ["store_id", "date", "holiday_name"]


def test_two_holidays_on_one_date_are_one_day_of_a_store() -> None:
    table = stored([row("IT", "2025-04-25", "Liberation Day"), row("IT", "2025-04-25", "Easter Monday")])
    assert days(store_holidays(table, estate(rome="IT"), YEAR), "rome") == [
        ("2025-04-25", "Easter Monday; Liberation Day")
    ]


def test_a_part_that_the_library_knows_has_its_own_days_and_those_of_files() -> None:
    table = stored(
        [
            row("US", "2025-10-13", "Columbus Day"),
            row("US", "2025-12-25", "Christmas Day"),
            row("US", "2025-03-31", "Cesar Chavez Day", subdivision="CA"),
            row("US", "2025-12-25", "Christmas Day", subdivision="CA"),
            row("US", "2025-06-07", "Day of the country", source="file"),
            row("US", "2025-06-08", "Day of the part", source="file", subdivision="CA"),
        ]
    )
    found = store_holidays(table, estate(fresno="US", elsewhere="US", lost="US"), YEAR, parts(fresno="CA", lost="ZZ"))
    assert days(found, "fresno") == [
        ("2025-03-31", "Cesar Chavez Day"),
        ("2025-06-07", "Day of the country"),
        ("2025-06-08", "Day of the part"),
        ("2025-12-25", "Christmas Day"),
    ]
    of_the_country = [
        ("2025-06-07", "Day of the country"),
        ("2025-10-13", "Columbus Day"),
        ("2025-12-25", "Christmas Day"),
    ]
    assert days(found, "elsewhere") == of_the_country
    assert days(found, "lost") == of_the_country


def test_without_rows_no_day_is_a_holiday() -> None:
    for function in (store_holidays, same_named):
        found = function(stored([]), estate(lisbon="PT"), YEAR)
        assert found.empty
        assert {"store_id", "date", "holiday_name"} <= set(found.columns)


# A year before ----------------------------------------------------------------------------------------------------------


def references(rows: Sequence[Mapping[str, Any]], dates: tuple[date, date] = YEAR) -> dict[str, str | None]:
    found = same_named(stored(rows), estate(shop=rows[0]["country"]), dates)
    return {
        str(day): None if before is None else str(before)
        for day, before in zip(found["date"], found["reference_date"], strict=True)
    }


def test_easter_and_fixed_days_are_compared_with_themselves() -> None:
    # Easter Monday: 1 April 2024 and 21 April 2025, 385 days; Christmas 365 days
    assert references(
        [
            row("PT", "2024-04-01", "Easter Monday"),
            row("PT", "2025-04-21", "Easter Monday"),
            row("PT", "2024-12-25", "Christmas Day"),
            row("PT", "2025-12-25", "Christmas Day"),
            row("PT", "2025-04-25", "Freedom Day"),
        ]
    ) == {"2025-04-21": "2024-04-01", "2025-12-25": "2024-12-25", "2025-04-25": None}


def test_a_feast_of_several_days_is_compared_day_by_day() -> None:
    # Chinese New Year began on 10 February 2024 and on 29 January 2025, 354 days
    rows = [row("CN", f"2024-02-{day:02}", "Chinese New Year") for day in (10, 11, 12)]
    rows += [row("CN", day, "Chinese New Year") for day in ("2025-01-29", "2025-01-30", "2025-01-31", "2025-02-01")]
    assert references(rows) == {
        "2025-01-29": "2024-02-10",
        "2025-01-30": "2024-02-11",
        "2025-01-31": "2024-02-12",
        "2025-02-01": None,
    }


def test_a_feast_by_the_moon_may_come_twice_in_a_calendar_year() -> None:
    # Eid al-Fitr: 14 January 2032, 2 January and 23 December 2033
    rows = [row("TR", day, "Eid al-Fitr") for day in ("2032-01-14", "2033-01-02", "2033-12-23")]
    assert references(rows, (date(2033, 1, 1), date(2034, 1, 1))) == {
        "2033-01-02": "2032-01-14",
        "2033-12-23": "2033-01-02",
    }


def test_of_two_names_on_a_date_the_one_with_a_reference_counts() -> None:
    rows = [
        row("IT", "2025-04-25", "Bridge Day"),
        row("IT", "2025-04-25", "Liberation Day"),
        row("IT", "2024-04-25", "Liberation Day"),
    ]
    found = same_named(stored(rows), estate(rome="IT"), YEAR)
    assert found[["holiday_name", "reference_date"]].to_numpy().tolist() == [["Liberation Day", date(2024, 4, 25)]]


@given(st.lists(st.dates(date(2023, 1, 1), date(2026, 12, 31)), max_size=30), st.randoms())
def test_days_and_references_do_not_depend_on_the_order_of_rows(listed: list[date], random: Any) -> None:
    rows = [row("PT", str(day), f"Feast {number % 3}") for number, day in enumerate(sorted(set(listed)))]
    shuffled = random.sample(rows, len(rows))
    here = estate(lisbon="PT", porto="PT")
    found = same_named(stored(shuffled), here, YEAR)
    assert found.equals(same_named(stored(rows), here, YEAR))
    named = store_holidays(stored(shuffled), here, YEAR)
    assert list(zip(found["store_id"], found["date"], strict=True)) == list(
        zip(named["store_id"], named["date"], strict=True)
    )
    for day, before in zip(found["date"], found["reference_date"], strict=True):
        assert before is None or timedelta(days=300) < day - before < timedelta(days=430)


# Forecasts --------------------------------------------------------------------------------------------------------------


def test_a_forecast_gets_days_and_weather_of_each_camera() -> None:
    here = estate(lisbon="PT", berlin="DE")
    table = stored(
        [
            row("PT", "2025-04-25", "Freedom Day"),
            row("PT", "2025-04-25", "Another"),
            row("DE", "2025-07-01", "Summer", kind="school", source="file", subdivision="BE"),
        ]
    )
    weather = typed(
        WEATHER_HOURLY,
        [
            {"store_id": identity("lisbon"), "hour_start": utc("2025-04-25T10:00"), "temperature_c": 21.5},
            {"store_id": identity("lisbon"), "hour_start": utc("2025-04-25T11:00"), "temperature_c": None},
        ],
    )
    found = regressors_of(table, weather, here, parts(berlin="BE"))
    assert found.holidays is not None
    assert found.holidays.to_numpy().tolist() == [[identity("lisbon-door"), date(2025, 4, 25)]]
    assert found.school_holidays is not None
    assert found.school_holidays.to_numpy().tolist() == [[identity("berlin-door"), date(2025, 7, 1)]]
    assert found.weather is not None
    assert list(found.weather.columns) == ["series", "hour_start", "temperature_c"]

    history = pd.DataFrame(
        {
            "series": [identity("lisbon-door"), identity("berlin-door")],
            "hour_start": pd.to_datetime(["2025-04-25T10:00Z"] * 2),
            "value": [5.0, 7.0],
        }
    )
    grid = forecast_grid.read(history, None, utc("2025-04-26T00:00"), 4, found)
    lisbon = grid.clocks.names.index(identity("lisbon-door"))
    assert grid.holiday[lisbon, 0]
    assert not grid.holiday[1 - lisbon].any()
    assert grid.school[1 - lisbon].sum() == 1
    assert grid.weather[lisbon, 10, 0] == 21.5


def test_series_of_stores_are_those_that_are_asked_for() -> None:
    here = estate(lisbon="PT")
    asked = pd.DataFrame({"series": ["the shop"], "store_id": [identity("lisbon")]})
    found = regressors_of(stored([row("PT", "2025-04-25", "Freedom Day")]), None, here, series=asked)
    assert found.holidays is not None
    assert found.holidays["series"].tolist() == ["the shop"]


def test_what_nobody_loaded_is_absent() -> None:
    here = estate(lisbon="PT")
    for found in (regressors_of(stored([]), typed(WEATHER_HOURLY, []), here), regressors_of(None, None, here)):
        assert (found.holidays, found.school_holidays, found.weather) == (None, None, None)
