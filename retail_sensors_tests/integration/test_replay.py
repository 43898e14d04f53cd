"""Real counts through simulator, wire, Dagster and Postgres: every hour comes back exactly.

`RETAIL_SENSORS_REAL_DATA` names the folder with `dublin` and `calit2`. The files are read here by other means than the
simulator's, so that a fault in reading them would show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import dagster as dg
import pandas as pd
import pytest

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.definitions import build_defs
from retail_sensors.partitions import day_ranges, hour_ranges, range_tags
from retail_sensors.simulator.camera import SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, SimulatedStore, running
from retail_sensors.simulator.replay import read_replay
from retail_sensors.simulator.traffic import OpeningHours
from retail_sensors_tests.installations import Counted, RecordedInMemory, Site, fresh_database

DUBLIN = ZoneInfo("Europe/Dublin")
IRVINE = ZoneInfo("America/Los_Angeles")
HOUR = timedelta(hours=1)
# Eight weeks in which both zones lose an hour. Dublin's are played when they were recorded, CalIt2's 918 weeks later.
DUBLIN_DAYS = pd.date_range("2023-02-27", "2023-04-23")
IRVINE_DAYS = pd.date_range("2023-02-26", "2023-04-22")
LATER = timedelta(weeks=918)
WEEKS = TimeWindow(datetime(2023, 2, 26, 8, tzinfo=UTC), datetime(2023, 4, 23, 23, tzinfo=UTC))
# The source has a count for each of them, a copy of the hour before: the clocks of the place never showed these.
NEVER_SHOWN = {DUBLIN: datetime(2023, 3, 26, 1), IRVINE: datetime(2023, 3, 12, 2)}  # noqa: DTZ001 -- wall clocks
# Two of the series as the doors of one store; every other series is a store of its own.
DOORS = ("Grafton Street/CompuB", "Grafton st/Monsoon")
STORE = SimulatedStore("Grafton", "Europe/Dublin", "IE", OpeningHours.daily("10:00-20:00"), 500, 900.0)


class Replayed(NamedTuple):
    """The installation that collected all series, and the source: local_time, site, in_count, out_count."""

    site: Site
    source: pd.DataFrame


@pytest.fixture(scope="module")
def replayed(
    server_url: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
    real_counts: Callable[[str], Path],
) -> Iterator[Replayed]:
    dublin_path = real_counts("dublin/dublin_2023_in_out.csv.gz")
    calit2_path = real_counts("calit2/calit2_counts.csv")
    source = read_source(dublin_path, calit2_path)
    played = {
        **read_replay(dublin_path, "Europe/Dublin", datetime(2024, 1, 1, tzinfo=DUBLIN)),
        **read_replay(calit2_path, "America/Los_Angeles", datetime(2023, 4, 17, tzinfo=IRVINE)),
    }
    assert played["calit2_counts"].shift == LATER
    cameras = [
        SimulatedCamera(
            name,
            "America/Los_Angeles" if name == "calit2_counts" else "Europe/Dublin",
            series,
            store=STORE.name if name in DOORS else None,
            regions={},
        )
        for name, series in played.items()
        if name in set(source["site"])
    ]
    with (
        fresh_database(server_url, template_database) as url,
        running(SimulatedFleet(cameras, clock=lambda: datetime.now(UTC), stores=[STORE])) as fleet,
    ):
        site = Site(url, tmp_path_factory.mktemp("replay") / "home")
        site.register(fleet, {camera.name: {"endpoints": ["people_counting"]} for camera in cameras})
        materialize(site)
        yield Replayed(site, source)


def materialize(site: Site) -> None:
    """The jobs of `collect` over the weeks, without the endpoints of which a recording knows nothing.

    Dagster records one event for each partition and asset: the three assets left out are half of the time.
    """
    steps = [
        *(("collect_hours", span, ["people_counting_raw"]) for span in hour_ranges(WEEKS, 200)),
        *(("collect_hours", span, ["hourly_analytics", "store_hourly"]) for span in hour_ranges(WEEKS, 2000)),
        *(("daily_figures", span, []) for span in day_ranges(date(2023, 2, 26), date(2023, 4, 23), 31)),
    ]
    with site.entered(RecordedInMemory) as installation:
        defs = build_defs()
        for job, span, assets in steps:
            result = defs.resolve_job_def(job).execute_in_process(
                instance=installation.dagster_instance(),
                tags=range_tags(*span),
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            assert result.success


def read_source(dublin: Path, calit2: Path) -> pd.DataFrame:
    """The files' own counts of the eight weeks, one row for each site and hour of the wall clock."""
    hourly = pd.read_csv(dublin, parse_dates=["local_time"]).dropna(subset=["in_count", "out_count"])
    hourly = hourly[hourly["local_time"].dt.normalize().isin(DUBLIN_DAYS)]
    slots = pd.read_csv(calit2, parse_dates=["slot"])
    halves = slots.groupby(slots["slot"].dt.floor("h"))[["in_count", "out_count"]].sum()
    moved = (
        halves.set_index(pd.DatetimeIndex(halves.index) + pd.Timedelta(LATER)).rename_axis("local_time").reset_index()
    )
    assert moved["local_time"].dt.normalize().isin(IRVINE_DAYS).all()
    source = pd.concat([hourly, moved.assign(site="calit2_counts")], ignore_index=True)
    zones = source["site"].map(lambda site: IRVINE if site == "calit2_counts" else DUBLIN)
    never = pd.Series([NEVER_SHOWN[zone] for zone in zones])
    source = source[source["local_time"] != never]
    return source[["local_time", "site", "in_count", "out_count"]].astype({"in_count": int, "out_count": int})


def in_weeks(site: str, moment: date | datetime) -> bool:
    """Whether an instant or a local date belongs to the weeks that a site is played in."""
    day = moment.astimezone(zone_of(site)).date() if isinstance(moment, datetime) else moment
    days = IRVINE_DAYS if site == "calit2_counts" else DUBLIN_DAYS
    return days[0].date() <= day <= days[-1].date()


def zone_of(site: str) -> ZoneInfo:
    return IRVINE if site == "calit2_counts" else DUBLIN


def test_the_source_is_what_it_is_taken_for(replayed: Replayed) -> None:
    hours = replayed.source.groupby("site").size()
    assert len(hours) == 31
    assert hours["calit2_counts"] == 56 * 24 - 1
    assert hours["Grafton st/Monsoon"] == 56 * 24 - 1
    assert hours["O'Connell St/Pennys Pedestrian"] == 86, "a series that ends early"


def test_every_hour_comes_back_exactly(replayed: Replayed) -> None:
    for name, hours in replayed.source.groupby("site"):
        zone = zone_of(str(name))
        expected: Counted = {
            local.to_pydatetime().replace(tzinfo=zone).astimezone(UTC): (entered, left, 0, 0, 0, 0, 0, 0)
            for local, entered, left in zip(hours["local_time"], hours["in_count"], hours["out_count"], strict=True)
        }
        counted = replayed.site.counted(str(name))
        assert {start: values for start, values in counted.items() if in_weeks(str(name), start)} == expected


def test_days_are_the_sums_of_their_hours(replayed: Replayed) -> None:
    source = replayed.source.assign(date=replayed.source["local_time"].dt.date)
    expected = source.groupby(["site", "date"])[["in_count", "out_count"]].sum()
    hours = source.groupby(["site", "date"]).size()
    rows = replayed.site.fetch(
        "SELECT s.sensor_name, d.date, d.total_entries, d.total_exits, d.data_completeness"
        " FROM retail.daily_analytics AS d JOIN retail.sensor_metadata AS s ON s.id = d.sensor_id"
    )
    found = {(name, day): (entries, exits, completeness) for name, day, entries, exits, completeness in rows}
    for key, (entered, left) in zip(expected.index, expected.itertuples(index=False, name=None), strict=True):
        name, day = key
        length = 23 if NEVER_SHOWN[zone_of(name)].date() == day else 24
        assert found[key] == (entered, left, pytest.approx(hours[key] / length)), key
    # A day on which a counter was dead is a day without a figure, not one with nobody in it.
    dead = [values for key, values in found.items() if key not in expected.index and in_weeks(*key)]
    assert dead
    assert set(dead) == {(None, None, 0.0)}


def test_a_store_is_the_sum_of_its_doors(replayed: Replayed) -> None:
    doors = replayed.source[replayed.source["site"].isin(DOORS)]
    by_hour = doors.groupby("local_time")[["in_count", "out_count"]].sum()
    rows = replayed.site.fetch(
        "SELECT d.date, d.total_entries, d.total_exits, d.total_visitors, d.peak_hour, d.peak_hour_traffic"
        " FROM retail.store_daily AS d JOIN retail.stores AS s ON s.id = d.store_id WHERE s.store_name = 'Grafton'"
    )
    days = {row[0]: row[1:] for row in rows}
    assert len(by_hour) == 56 * 24 - 1
    for day, hours in by_hour.groupby(pd.DatetimeIndex(by_hour.index).date):
        opened = hours.between_time("10:00", "19:59")["in_count"]
        entries, exits, visitors, peak_hour, peak = days[day]
        sums = int(hours["in_count"].sum()), int(hours["out_count"].sum()), int(opened.sum())
        assert (entries, exits, visitors) == sums, day
        assert (f"{peak_hour:%H}", peak) == (f"{opened.idxmax():%H}", int(opened.max())), day
