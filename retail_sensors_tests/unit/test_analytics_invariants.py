"""What holds for every estate and every answer of its cameras: sums, order, doubling, context, slices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from retail_sensors.analytics.daily import sensor_days, store_days
from retail_sensors.analytics.hourly import sensor_hours, store_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables import DAILY_ANALYTICS, HOURLY_ANALYTICS, STORE_DAILY, STORE_HOURLY
from retail_sensors.tables.figures import counts_of
from retail_sensors_tests.unit.analytics_estate import (
    asked,
    assert_contract,
    camera,
    counted,
    heat,
    hours_from,
    people,
    regional,
    roster,
    seen,
    store,
    utc,
    warm,
)

BEGIN = utc("2026-03-27T00:00")  # Berlin's clocks change on the 29th
COUNT = 120
END = BEGIN + timedelta(hours=COUNT)
CONTEXT = timedelta(hours=26)
DATES = (date(2026, 3, 27), date(2026, 4, 1))
COUNTS = ["total_entries", "total_exits", "passersby", "traffic"]


@dataclass(frozen=True)
class World:
    """An estate and what its cameras answered."""

    estate: Roster
    people: pd.DataFrame
    regions: pd.DataFrame
    heat: pd.DataFrame
    asked: pd.DataFrame
    now: datetime

    def hours(self, start: datetime = BEGIN, end: datetime = END, context: timedelta | None = None) -> pd.DataFrame:
        """Hourly rows of the window, from raw rows of the context around it (None: from all)."""

        def near(frame: pd.DataFrame, column: str = "timestamp") -> pd.DataFrame:
            if context is None:
                return frame
            return frame[(frame[column] >= start - context) & (frame[column] < end + context)]

        return sensor_hours(
            near(self.people),
            near(self.regions),
            near(self.heat),
            near(self.asked, "hour_start"),
            self.estate,
            start,
            end,
            self.now,
        )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Up to two stores and three cameras over five days, with holes, growing hours and empty cells."""
    zones = draw(st.lists(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]), min_size=1, max_size=2))
    opening = draw(st.sampled_from([None, {"fri": [["09:30", "20:00"]], "sun": [["12:00", "12:00"]]}]))
    basis = draw(st.sampled_from(["entries", "exits", "mean"]))
    stores = [store(f"s{n}", zone, opening=opening, traffic_basis=basis, capacity=40) for n, zone in enumerate(zones)]
    roles = st.lists(st.sampled_from(["entrance", "-entrance", "passerby", "internal"]), min_size=1, max_size=4)
    cameras, given_roles = [], {}
    for number in range(draw(st.integers(1, 3))):
        of = draw(st.integers(0, len(stores) - 1))
        installed = draw(st.sampled_from([None, None, date(2026, 3, 1), date(2026, 3, 29)]))
        cameras.append(camera(f"c{number}", f"s{of}", installed_on=installed, is_active=draw(st.booleans())))
        given_roles[f"c{number}"] = draw(roles)
    random = Random(draw(st.integers(0, 2**32 - 1)))  # one seed, not thousands of drawn cells
    hole = draw(st.sampled_from([0.0, 0.0, 0.02, 0.5]))
    rows, places, warmth, log = [], [], [], []
    for number, entry in enumerate(cameras):
        name = f"c{number}"
        zone = zones[[row["id"] for row in stores].index(entry["store_id"])]
        half = timedelta(minutes=30 if zone == "Asia/Kolkata" else 0)
        for hour in hours_from(BEGIN + half, COUNT):
            log.append((name, hour, "timeout"))
            if random.random() >= hole:
                cells: list[int | None] = [random.randrange(12) for _ in range(8)]
                if random.random() < hole / 4:
                    cells[random.randrange(8)] = None
                rows.append(counted(name, hour, *cells, final=random.random() >= hole / 2))
                places.append(seen(name, hour, *[random.randrange(9) for _ in range(4)]))
                warmth.append(warm(name, hour, random.choice([0.0, 3600.0, 1234.5])))
    now = BEGIN + timedelta(hours=draw(st.sampled_from([40, 100, 200])))
    return World(roster(stores, cameras, given_roles), people(rows), regional(places), heat(warmth), asked(log), now)


def _parts(estate: Roster) -> list[pd.DataFrame]:
    return [estate.stores, estate.sensors, estate.lines, estate.regions]


@given(worlds())
@settings(max_examples=15, deadline=None)
def test_every_frame_keeps_the_contract_and_explains_every_null(world: World) -> None:
    hours = world.hours()
    assert_contract(hours, counts_of(HOURLY_ANALYTICS))
    assert_contract(store_hours(hours, world.estate, BEGIN, END, world.now), counts_of(STORE_HOURLY))
    assert_contract(sensor_days(hours, world.estate, DATES, pd.DataFrame(), world.now), counts_of(DAILY_ANALYTICS))
    assert_contract(store_days(hours, world.estate, DATES, pd.DataFrame(), world.now), counts_of(STORE_DAILY))


@given(worlds(), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_order_and_doubling_change_nothing(world: World, seed: int) -> None:
    def shaken(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([frame, frame.sample(frac=0.3, random_state=seed)]).sample(frac=1, random_state=seed)

    hours = world.hours()
    estate = Roster(*(part.sample(frac=1, random_state=seed) for part in _parts(world.estate)))
    again = World(
        estate, shaken(world.people), shaken(world.regions), shaken(world.heat), shaken(world.asked), world.now
    ).hours()
    assert_frame_equal(again, hours)
    by_store = store_hours(hours, world.estate, BEGIN, END, world.now)
    assert_frame_equal(store_hours(shaken(hours), estate, BEGIN, END, world.now), by_store)
    for days in (sensor_days, store_days):
        stored = days(hours, world.estate, DATES, pd.DataFrame(), world.now)
        assert_frame_equal(days(shaken(hours), estate, DATES, shaken(stored), world.now), stored)


@given(worlds(), st.integers(26, COUNT - 27), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_a_wider_context_and_another_slicing_change_no_row(world: World, offset: int, length: int) -> None:
    start = BEGIN + timedelta(hours=offset)
    end = start + timedelta(hours=length)
    hours = world.hours()
    wanted = hours[(hours["hour_start"] >= start) & (hours["hour_start"] < end)].reset_index(drop=True)
    assert_frame_equal(world.hours(start, end, CONTEXT), wanted)
    assert_frame_equal(world.hours(start, end), wanted)

    by_store = store_hours(hours, world.estate, BEGIN, END, world.now)
    wanted = by_store[(by_store["hour_start"] >= start) & (by_store["hour_start"] < end)].reset_index(drop=True)
    near = hours[(hours["hour_start"] >= start - CONTEXT) & (hours["hour_start"] < end + CONTEXT)]
    assert_frame_equal(store_hours(near, world.estate, start, end, world.now), wanted)


@given(worlds())
@settings(max_examples=10, deadline=None)
def test_days_computed_one_by_one_are_the_days_computed_together(world: World) -> None:
    hours = world.hours()
    for days in (sensor_days, store_days):
        together = days(hours, world.estate, DATES, pd.DataFrame(), world.now)
        history = pd.DataFrame()
        parts = []
        for offset in range((DATES[1] - DATES[0]).days):
            day = DATES[0] + timedelta(days=offset)
            midnight = datetime.combine(day, BEGIN.timetz())
            near = hours[
                (hours["hour_start"] >= midnight - CONTEXT)
                & (hours["hour_start"] < midnight + timedelta(days=1) + CONTEXT)
            ]
            part = days(near, world.estate, (day, day + timedelta(days=1)), history, world.now)
            parts.append(part)
            history = pd.concat([history, part]) if len(history) else part
        key = [together.columns[0], "date"]
        assert_frame_equal(
            pd.concat(parts).sort_values(key, ignore_index=True), together.sort_values(key, ignore_index=True)
        )


@given(worlds())
@settings(max_examples=15, deadline=None)
def test_hours_add_up_to_the_day_and_cameras_to_the_store(world: World) -> None:
    hours = world.hours()
    by_store = store_hours(hours, world.estate, BEGIN, END, world.now)
    by_camera_day = sensor_days(hours, world.estate, DATES, pd.DataFrame(), world.now)
    by_store_day = store_days(hours, world.estate, DATES, pd.DataFrame(), world.now)

    store_of = world.estate.sensors.set_index("id")["store_id"]
    zone_of = world.estate.stores.set_index("id")["timezone"]

    def total(frame: pd.DataFrame, keys: list[str]) -> dict[tuple[object, ...], list[float | None]]:
        sums = frame.groupby(keys)[COUNTS].sum(min_count=1)
        return {
            key: [None if value is pd.NA else float(value) for value in row]
            for key, row in zip(sums.index, sums.itertuples(index=False), strict=True)
        }

    def dated(frame: pd.DataFrame, stores: pd.Series) -> pd.DataFrame:
        dates = [
            moment.tz_convert(zone_of[owner]).date() for moment, owner in zip(frame["hour_start"], stores, strict=True)
        ]
        return frame.assign(date=dates, store_id=stores.to_numpy())

    hours = dated(hours, hours["sensor_id"].map(store_of))
    by_store = dated(by_store, by_store["store_id"])
    assert total(by_store, ["store_id", "hour_start"]) == total(hours, ["store_id", "hour_start"])

    for frame, source, key in ((by_camera_day, hours, "sensor_id"), (by_store_day, by_store, "store_id")):
        summed = total(source, [key, "date"])
        found = total(frame, [key, "date"])
        nothing: list[float | None] = [None] * len(COUNTS)
        assert found == {place: summed.get(place, nothing) for place in found}
    camera_days = by_camera_day.assign(store_id=by_camera_day["sensor_id"].map(store_of))
    assert total(by_store_day, ["store_id", "date"]) == total(camera_days, ["store_id", "date"])
