"""A camera that goes dark: its hours are estimated in the tables, mended when the gap ends, and gone when the hours come in."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy.engine import make_url

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.definitions import build_defs
from retail_sensors.partitions import day_key, hour_key, range_tags
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors.simulator.switches import Fault, FaultKind
from retail_sensors.storage.database import Database
from retail_sensors.tables import COLLECTION_LOG, PEOPLE_COUNTING_RAW
from retail_sensors.tables.missing import IMPUTED_HOURS
from retail_sensors_tests.installations import FIGURES, RecordedInMemory, Site, fresh_database, small_fleet
from retail_sensors_tests.integration.stored import reading, register, store, stored

START = datetime(2025, 6, 9, tzinfo=UTC)
DARK = datetime(2025, 6, 25, 4, tzinfo=UTC)
"""A Wednesday, 16 days later: half past nine in the morning in Mumbai; no holiday lies between."""
HOUR = timedelta(hours=1)
SOME = ("hourly_analytics", "store_hourly", "daily_analytics", "store_daily")
IMPUTED = """SELECT e.hour_start, e.entries, e.exits, e.quality, e.method, e.donors, h.total_entries, h.imputed_share,
    h.data_completeness, h.quality->>'counts' AS counts, h.quality->>'busiest_line' AS busiest, s.total_entries AS of_store,
    s.imputed_share AS of_store_share, s.data_completeness AS of_store_completeness
  FROM retail.imputed_hours AS e
  JOIN retail.hourly_analytics AS h USING (sensor_id, hour_start)
  JOIN retail.sensor_metadata AS c ON c.id = e.sensor_id
  JOIN retail.store_hourly AS s ON s.store_id = c.store_id AND s.hour_start = e.hour_start
  ORDER BY 1"""
DAYS = """SELECT d.imputed_share, d.data_completeness, d.quality->>'counts' AS counts, d.total_entries
  FROM retail.daily_analytics AS d JOIN retail.sensor_metadata AS c ON c.id = d.sensor_id
  WHERE c.sensor_name = 'mumbai-west' AND d.date = %(date)s"""


def job(site: Site, name: str, first: str, last: str) -> dg.ExecuteInProcessResult:
    """One run of a job over a range of partitions, as a schedule asks for it."""
    with site.entered(RecordedInMemory) as installation:
        return (
            build_defs()
            .resolve_job_def(name)
            .execute_in_process(
                instance=installation.dagster_instance(),
                tags=range_tags(first, last),
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )


def hours(site: Site, first: datetime, count: int) -> dg.ExecuteInProcessResult:
    return job(site, "collect_hours", hour_key(first), hour_key(first + (count - 1) * HOUR))


def imputed(site: Site) -> list[dict[Hashable, Any]]:
    frame = site.frame(IMPUTED)
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def number(result: dg.ExecuteInProcessResult, name: str) -> Any:
    (event, *_) = result.asset_materializations_for_node("imputed_hours")
    return event.metadata[name].value


@pytest.fixture
def fleet() -> Any:
    with running(small_fleet()) as fleet:
        yield fleet


def test_estimates_stand_until_the_hours_come_in(
    server_url: str, database_url: str, tmp_path: Path, fleet: SimulatedFleet
) -> None:
    never_dark = Site(database_url, tmp_path / "never dark")
    never_dark.register(fleet)
    assert never_dark.collect(TimeWindow(START, DARK)).report.is_complete
    assert never_dark.fetch("SELECT count(*) FROM retail.imputed_hours") == [(0,)]
    with fresh_database(server_url, make_url(database_url).database or "") as url:
        goes_dark(Site(url, tmp_path / "home"), never_dark, fleet)


def goes_dark(site: Site, never_dark: Site, fleet: SimulatedFleet) -> None:
    """A camera of the site fails and comes back; the other site never sees it fail."""
    fleet.set_faults("mumbai-west", [Fault(FaultKind.REFUSED)])
    hours(site, DARK, 3)
    first = imputed(site)
    # 10:00, 11:00 and 12:00 in Mumbai, all open; nothing is known behind them yet
    assert [row["hour_start"].to_pydatetime() for row in first] == [DARK + n * HOUR for n in (0.5, 1.5, 2.5)]
    for row in first:
        assert row["method"] in {"day_level", "like_days", "sister_doors"}
        assert float(row["total_entries"]) == float(row["entries"]) > 0
        assert row["imputed_share"] == 1.0
        assert row["counts"] == row["quality"]
        assert row["busiest"] == "imputed"
        assert row["data_completeness"] == 0.0
        assert row["of_store_completeness"] == 0.5
        assert 0 < row["of_store_share"] < 1

    fleet.set_faults("mumbai-west", ())
    assert number(hours(site, DARK + 3 * HOUR, 3), "hours estimated") == 0  # what it mends lies before it
    ended = imputed(site)
    assert len(ended) == len(first)
    assert {row["method"] for row in ended} <= {"ratio_interpolation", "linear_interpolation", "day_level"}
    for row in ended:
        assert float(row["total_entries"]) == float(row["entries"])

    # the same again changes nothing
    contents = site.contents(("imputed_hours", *FIGURES))
    hours(site, DARK + 3 * HOUR, 3)
    assert site.contents(("imputed_hours", *FIGURES)) == contents

    # a longer gap, that ends in a later run further than a day from its first hours
    fleet.set_faults("mumbai-west", [Fault(FaultKind.REFUSED)])
    again = DARK + 6 * HOUR
    hours(site, again, 40)
    fleet.set_faults("mumbai-west", ())
    hours(site, again + 40 * HOUR, 8)
    rows = imputed(site)
    assert len(rows) > 15
    for row in rows:
        assert float(row["total_entries"]) == float(row["entries"])
    mending = "SELECT count(*) FROM retail.store_hourly WHERE imputed_share > 0"
    assert site.fetch(mending) == [(len(rows),)]
    date = (again + 24 * HOUR).date()
    job(site, "daily_figures", day_key(DARK.date()), day_key(date))
    ((share, completeness, counts, entries),) = site.fetch(DAYS, {"date": date})
    assert (counts, entries > 0) == ("partial", True)  # closed hours are not estimated
    assert share > 0.9
    assert completeness < 0.5

    # the camera gives all of it after all
    for one in (site, never_dark):
        hours(one, DARK, 54)
        job(one, "daily_figures", day_key(DARK.date() - timedelta(days=1)), day_key((DARK + 54 * HOUR).date()))
    assert imputed(site) == []
    found, expected = site.figures(SOME), never_dark.figures(SOME)
    for name in SOME:
        assert len(found[name]) == len(expected[name])
        for row, wanted in zip(found[name], expected[name], strict=True):
            assert row == wanted, name


def test_estimates_of_a_gap_that_grows_beyond_seven_days_disappear(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    (camera,) = register(database, "a")
    start, now = DARK - timedelta(days=21), DARK + timedelta(days=8)
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, start + n * HOUR) for n in range(21 * 24)))
    log = {"endpoint": "people_counting", "outcome": "timeout", "row_count": 0, "rejected_count": 0, "attempts": 1}
    dark = [DARK + n * HOUR for n in range(170)]
    asked = [{**log, "sensor_id": camera, "hour_start": hour, "asked_at": now} for hour in dark]
    site = Site(database_url, tmp_path / "home")

    store(database, COLLECTION_LOG, *asked[:168])
    result = job(site, "hourly_figures", hour_key(dark[0]), hour_key(dark[167]))
    assert number(result, "hours substituted") == 168
    assert stored(database, IMPUTED_HOURS, "entries")[100] == (Decimal(10),)
    estimated = "SELECT count(*), min(imputed_share) FROM retail.store_hourly WHERE imputed_share > 0"
    assert site.fetch(estimated) == [(168, 1.0)]

    store(database, COLLECTION_LOG, *asked[168:])
    result = job(site, "hourly_figures", hour_key(dark[168]), hour_key(dark[169]))
    assert number(result, "hours substituted") == 0
    assert stored(database, IMPUTED_HOURS, "entries") == []
    assert site.fetch(estimated) == [(0, None)]
    hours_missing = "SELECT count(*) FROM retail.hourly_analytics WHERE quality->>'total_entries' = 'timeout'"
    assert site.fetch(hours_missing) == [(170,)]
