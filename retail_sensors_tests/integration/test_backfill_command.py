"""`retail-sensors backfill` and its dry run as a user types them: simulated cameras, real Postgres, real runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retail_sensors.backfill_plan import NO_PASSWORD, NOT_MEASURED
from retail_sensors.cli.backfill import duration
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors_tests.installations import PASSWORD_VARIABLE, Site, small_fleet

# The last two days before clocks changed in Lisbon; Mumbai's hours start at half past.
START = datetime(2025, 10, 23, tzinfo=UTC)
RANGE = ("--from", "2025-10-23", "--to", "2025-10-25")
CAMERAS = ("lisbon", "mumbai-east", "mumbai-west")


@pytest.fixture(scope="module")
def fleet() -> Iterator[SimulatedFleet]:
    with running(small_fleet()) as served:
        yield served


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    return Site(database_url, tmp_path / "home")


def register(site: Site, fleet: SimulatedFleet, *, by_the_hour: bool = True) -> None:
    """Registers the fleet; Lisbon holds its heat for a week."""
    site.register(fleet, {"lisbon": {"retention_days": {"heatmap_temporal": 7}}}, by_the_hour=by_the_hour)


def planned(site: Site, *arguments: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The dry run's JSON, and its cameras by name."""
    said = site.run("backfill", *RANGE, *arguments, "--dry-run", "--json")
    assert (said.code, said.err) == (0, "")
    plan = json.loads(said.out)
    return plan, {camera["camera"]: camera for camera in plan["cameras"]}


def requests(fleet: SimulatedFleet) -> dict[str, int]:
    return {name: fleet.served(name).requests for name in CAMERAS}


def test_a_dry_run_tells_what_would_be_asked_asks_nothing_and_writes_nothing(site: Site, fleet: SimulatedFleet) -> None:
    register(site, fleet)
    before = requests(fleet)
    plan, cameras = planned(site)
    assert (plan["from"], plan["to"]) == ("2025-10-23T00:00:00+00:00", "2025-10-25T00:00:00+00:00")
    # 00:00 UTC is 01:00 in Lisbon: the 48 hours touch the 23rd, 24th and the first hour of the 25th. In Mumbai it is 05:30.
    endpoints = ("people_counting", "regional_counting", "heatmap_temporal")
    for name in CAMERAS:
        assert cameras[name]["questions"] == dict.fromkeys(endpoints, 3)
        assert (cameras[name]["hours"], cameras[name]["hours_in"]) == (3 * 48, 0)
        assert (cameras[name]["latency_ms"], cameras[name]["seconds"]) == (None, None)
        assert cameras[name]["note"] == NOT_MEASURED
    assert (cameras["lisbon"]["hours_beyond_retention"], cameras["lisbon"]["hours_missing"]) == (48, 96)
    assert (cameras["mumbai-east"]["hours_beyond_retention"], cameras["mumbai-east"]["hours_missing"]) == (0, 144)
    assert [(run["what"], run["from"], run["to"]) for run in plan["runs"]] == [
        ("public holidays", None, None),
        ("asking cameras", "2025-10-23-00:00", "2025-10-24-23:00"),
        ("hourly figures", "2025-10-23-00:00", "2025-10-24-23:00"),
        ("daily figures", "2025-10-23", "2025-10-25"),
    ]
    assert plan["asking_seconds"] == 0
    # Four runs of a second; 48 hours of four tables asked and four computed make 384 records, each of 20 ms.
    assert plan["recording_seconds"] > 4 + 384 * 0.02
    assert requests(fleet) == before
    assert site.fetch("SELECT count(*) FROM retail.collection_log") == [(0,)]
    assert site.fetch("SELECT count(*) FROM pg_tables WHERE schemaname = 'dagster'") == [(0,)]

    said = site.run("collect", *RANGE, "--dry-run")
    assert (said.code, said.err) == (0, "")
    for words in (
        "2025-10-23 00:00 to 2025-10-25 00:00 UTC",
        "4 runs: 1 public holidays, 1 asking cameras, 1 hourly figures, 1 daily figures.",
        f"lisbon, mumbai-east, mumbai-west: {NOT_MEASURED}",
        "Asking takes a time that is not known (",
    ):
        assert words in said.out
    assert said.out.endswith("Nothing was asked and nothing was written.\n")

    # The same range in truth: exactly as many questions.
    assert site.collect(TimeWindow(START, START + timedelta(days=2))).report.is_complete
    for name in CAMERAS:
        assert requests(fleet)[name] - before[name] == sum(cameras[name]["questions"].values()) == 9


def test_what_is_in_does_not_count_as_missing_and_latency_gives_the_time(site: Site, fleet: SimulatedFleet) -> None:
    register(site, fleet)
    assert site.collect(TimeWindow(START, START + timedelta(hours=12))).report.is_complete
    site.execute("UPDATE retail.people_counting_raw SET is_final = false WHERE timestamp < '2025-10-23T02:00Z'")
    site.execute(
        "UPDATE retail.collection_log AS l SET latency_ms = CASE s.sensor_name WHEN 'lisbon' THEN 500 ELSE 200 END"
        " FROM retail.sensor_metadata AS s WHERE s.id = l.sensor_id"
    )
    plan, cameras = planned(site)
    # 12 hours of three endpoints are in, but for two hours of people that were asked while they ran. Of the heat, which Lisbon
    # holds for a week, 36 hours are out of reach.
    lisbon = cameras["lisbon"]
    assert (lisbon["hours_in"], lisbon["hours_beyond_retention"], lisbon["hours_missing"]) == (34, 36, 74)
    assert (lisbon["latency_ms"], lisbon["seconds"], lisbon["note"]) == (500, 4.5, None)
    assert (cameras["mumbai-east"]["hours_in"], cameras["mumbai-east"]["seconds"]) == (34, 1.8)
    # Each of three endpoints takes the slowest camera's three questions: 1.5 s.
    assert plan["asking_seconds"] == pytest.approx(4.5)
    one = Site(site.url, site.home, {"RETAIL_SENSORS_IN_FLIGHT": "1"})
    assert planned(one)[0]["asking_seconds"] == pytest.approx(4.5 + 1.8 + 1.8)

    only, named = planned(site, "--camera", "mumbai-west")
    assert list(named) == ["mumbai-west"]
    assert only["asking_seconds"] == pytest.approx(1.8)

    secretless = Site(site.url, site.home, {PASSWORD_VARIABLE: ""})
    assert {(tuple(camera["questions"]), camera["note"]) for camera in planned(secretless)[1].values()} == {
        ((), NO_PASSWORD)
    }


def test_a_day_that_is_stored_is_not_asked_about_again(site: Site, fleet: SimulatedFleet) -> None:
    register(site, fleet, by_the_hour=False)
    # The window's last hour lies on the 25th in Lisbon: three dates, nine questions about stays and one about heat each.
    before = planned(site, "--camera", "mumbai-east")[1]["mumbai-east"]["questions"]
    assert (before["region_stays"], before["spatial_heatmap"]) == (27, 3)
    asked_before = requests(fleet)["mumbai-east"]
    assert site.collect(TimeWindow(START, START + timedelta(days=2)), "mumbai-east").report.is_complete
    assert requests(fleet)["mumbai-east"] - asked_before == sum(before.values())
    after = planned(site, "--camera", "mumbai-east")[1]["mumbai-east"]["questions"]
    assert (after["region_stays"], after["spatial_heatmap"]) == (0, 0)
    site.execute("""UPDATE retail.sensor_metadata SET capabilities = '{"region_stays": {"status": "absent"}}'""")
    assert "region_stays" not in planned(site)[1]["mumbai-west"]["questions"], "a probe found it lacking"
    assert planned(site, "--camera", "mumbai-west")[1]["mumbai-west"]["questions"]["region_stays"] == 27


def test_a_backfill_is_a_collection(site: Site, fleet: SimulatedFleet) -> None:
    register(site, fleet)
    said = site.run("backfill", "--from", "2025-10-23", "--to", "2025-10-23T02:00Z", "--camera", "lisbon", "--json")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["cameras"][0]["hours_in"] == 6
    assert len(site.counted("lisbon")) == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "under 1 s"),
        (59.6, "about 60 s"),
        (150, "about 2 min"),
        (5_970, "about 1 h 40 min"),
        (90_000, "about 25 h 0 min"),
    ],
)
def test_a_span_of_time_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
