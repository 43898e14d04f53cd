"""Regions and flows in a real Postgres: declared ways, figures and modelled flows from stored hours, and the views of a store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from retail_sensors.definitions import build_defs
from retail_sensors.errors import ConfigurationError
from retail_sensors.fleet_file import FleetFile, parse_fleet
from retail_sensors.installation import Installation
from retail_sensors.partitions import day_key, range_tags
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.tables import COLLECTION_LOG, HOURLY_ANALYTICS, STORE_HOURLY
from retail_sensors.tables.regions import REGION_STAYS
from retail_sensors_tests.installations import RecordedInMemory, Site
from retail_sensors_tests.integration.stored import hour, store

FLEET = """\
stores:
  - {name: Chiado, timezone: Europe/Lisbon}
  - {name: Kiosk, timezone: Europe/Lisbon}
cameras:
  - name: door
    store: Chiado
    host: 192.0.2.10
    regions: {1: {name: Entrance, adjacent: [2, "tills:1"]}, 2: {name: Shelves, capacity: 2}}
  - {name: tills, store: Chiado, host: 192.0.2.11, regions: {1: {name: Queue, role: queue}}}
  - {name: kiosk, store: Kiosk, host: 192.0.2.12, regions: {1: {}}}
"""
HOUR = timedelta(hours=1)
LAST = date(2025, 11, 12)  # Lisbon stands at UTC
START = datetime(2025, 11, 1, tzinfo=UTC)
COUNTS = np.random.default_rng(7).poisson(60, 24 * 12) * 4.0
NOON = datetime(2025, 11, 12, 12, tzinfo=UTC)
ASSETS = ("regional_analytics", "pathway_analytics", "camera_flow_matrix")


def fleet(old: str = "", new: str = "") -> FleetFile:
    assert old in FLEET
    return parse_fleet(FLEET.replace(old, new), "fleet.yaml")


# The fleet file -------------------------------------------------------------------------------------------------------


def ways(database: Database) -> list[tuple[str, int, str, int]]:
    return database.fetch(
        "SELECT f.sensor_name, a.from_region, t.sensor_name, a.to_region FROM retail.region_adjacency AS a"
        " JOIN retail.sensor_metadata AS f ON f.id = a.sensor_id JOIN retail.sensor_metadata AS t ON t.id = a.to_sensor_id"
        " ORDER BY 1, 2, 3, 4"
    )


def test_the_ways_are_what_the_file_says(database: Database) -> None:
    registry = FleetRegistry(database)
    registry.add(fleet())
    assert ways(database) == [("door", 1, "door", 2), ("door", 1, "tills", 1)]
    written = database.fetch("SELECT xmin::text, * FROM retail.region_adjacency")
    assert registry.add(fleet()).cameras.changed == {}
    assert registry.add(fleet('[2, "tills:1"]', '["tills:1", "door:2"]')).cameras.changed == {}
    assert database.fetch("SELECT xmin::text, * FROM retail.region_adjacency") == written
    # the camera that a way leads to is registered anew: the way stays
    assert registry.add(fleet("name: Queue,", "name: Tills,")).cameras.changed == {"tills": ("regions",)}
    assert len(ways(database)) == 2
    assert registry.add(fleet('[2, "tills:1"]', "[2]")).cameras.changed["door"] == ("adjacent",)
    assert ways(database) == [("door", 1, "door", 2)]
    registry.add(fleet(', adjacent: [2, "tills:1"]', ""))
    assert ways(database) == []


@pytest.mark.parametrize(
    ("adjacent", "sentence"),
    [
        ("[5]", "'5' is not a region; write its number, or CAMERA:NUMBER for one of another camera"),
        ('[":1"]', "':1' is not a region; write its number, or CAMERA:NUMBER for one of another camera"),
        ("[1]", "1 is not another region of this camera; those are 2"),
        ("[3]", "3 is not another region of this camera; those are 2"),
        ('["door:1"]', "1 is not another region of this camera; those are 2"),
        ("[]", "is empty; name at least one, or leave the field out"),
        ('["tils:1"]', "no camera 'tils' is in this file or registered; did you mean 'tills'?"),
        ('["tills:2"]', "camera 'tills' has no region 2; it has 1"),
        ('["kiosk:1"]', "camera 'kiosk' hangs in store 'Kiosk'; ways lead through one store"),
    ],
)
def test_a_way_to_nowhere_is_refused_with_its_line(database: Database, adjacent: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        FleetRegistry(database).add(fleet('[2, "tills:1"]', adjacent))
    said = str(refused.value)
    assert said.startswith("fleet.yaml, line 8, cameras[0].regions.1.adjacent")
    assert said.endswith(sentence)
    assert ways(database) == []


# The assets -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    return Site(database_url, tmp_path / "home")


def _log(camera: str, at: datetime, offset: float | None) -> dict[str, Any]:
    return {
        "sensor_id": camera,
        "endpoint": "people_counting",
        "hour_start": at,
        "outcome": "ok",
        "row_count": 1,
        "rejected_count": 0,
        "attempts": 1,
        "clock_offset_seconds": offset,
        "asked_at": at + HOUR,
    }


@pytest.fixture
def installation(site: Site) -> Iterator[Installation]:
    """Twelve days: the shelves see half, the tills a quarter of the detections at the entrance, without any noise."""
    with site.entered(RecordedInMemory) as installation:
        database = installation.database
        FleetRegistry(database).add(fleet())
        cameras = dict(database.fetch("SELECT sensor_name, id::text FROM retail.sensor_metadata"))
        stores = dict(database.fetch("SELECT store_name, id::text FROM retail.stores"))
        hours = [START + n * HOUR for n in range(len(COUNTS))]
        seen = [
            hour(cameras[name], at, region_counts=json.dumps(regions))
            for at, count in zip(hours, COUNTS.tolist(), strict=True)
            for name, regions in (("door", {"1": count, "2": count / 2}), ("tills", {"1": count / 4}))
        ]
        # the tills did not answer at 13:00, nobody did at 14:00
        silent = {(cameras["tills"], NOON + HOUR), *((camera, NOON + 2 * HOUR) for camera in cameras.values())}
        for row in seen:
            if (row["sensor_id"], row["hour_start"]) in silent:
                row |= {"region_counts": None, "total_entries": None, "data_completeness": 0.0}
        store(database, HOURLY_ANALYTICS, *seen)
        shop = stores["Chiado"]
        store(database, STORE_HOURLY, *({**hour(shop, NOON + n * HOUR, 41.5), "store_id": shop} for n in range(5)))
        stay = {"date": LAST, "stay_over_1800_s": 0.0, "short_stay_share": 0.25, "quality": "{}"}
        store(
            database,
            REGION_STAYS,
            {**stay, "sensor_id": cameras["door"], "region_number": 1, "mean_stay_seconds": 30.0},
            {**stay, "sensor_id": cameras["door"], "region_number": 2, "mean_stay_seconds": 240.0},
        )
        logged = [("door", 0, 1.5), ("tills", 0, -119.0), ("door", 1, 0.0), ("door", 3, 0.0), ("tills", 3, 121.0)]
        store(
            database,
            COLLECTION_LOG,
            *(_log(cameras[name], NOON + after * HOUR, offset) for name, after, offset in logged),
        )
        yield installation


def materialize(installation: Installation, first: date, last: date) -> dict[str, dict[str, Any]]:
    """One run of the three assets; what each shows of its last partition."""
    result = (
        build_defs()
        .resolve_job_def("daily_figures")
        .execute_in_process(
            instance=installation.dagster_instance(),
            tags=range_tags(day_key(first), day_key(last)),
            asset_selection=[dg.AssetKey(name) for name in ASSETS],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    )
    events = [event.materialization for event in result.get_asset_materialization_events()]
    return {
        event.asset_key.to_user_string(): dict(event.metadata) for event in events if event.partition == day_key(last)
    }


def test_from_stored_hours_to_regions_flows_and_pictures(site: Site, installation: Installation) -> None:
    shown = materialize(installation, LAST - timedelta(days=4), LAST)
    today = np.delete(COUNTS[-24:], 14)

    rows = {
        tuple(key): {"metrics": metrics, "data_completeness": completeness}
        for *key, metrics, completeness in site.fetch(
            "SELECT s.sensor_name, a.region_number, a.bucket_size, a.time_bucket, a.metrics, a.data_completeness"
            " FROM retail.regional_analytics AS a JOIN retail.sensor_metadata AS s ON s.id = a.sensor_id"
        )
    }
    assert len(rows) == 5 * 3 * 25
    noon = rows["door", 2, "1h", NOON]["metrics"]
    assert noon["source"] == "measured"
    assert noon["avg_occupancy"] == pytest.approx(COUNTS[-12] / 2 / 3600 * 240)
    assert noon["utilisation"] == pytest.approx(COUNTS[-12] / 2 / 3600 * 240 / 2)
    day = rows["door", 1, "1day", datetime(2025, 11, 12, tzinfo=UTC)]
    assert (day["metrics"]["entries"], day["data_completeness"]) == (today.sum(), pytest.approx(23 / 24))
    before = rows["door", 1, "1day", datetime(2025, 11, 11, tzinfo=UTC)]["metrics"]
    assert before["quality"]["mean_stay_s"] == "not_collected"

    paths = site.frame(
        "SELECT * FROM retail.pathway_analytics WHERE date = %(day)s ORDER BY from_region", {"day": LAST}
    ).to_dict("records")
    assert [(path["from_region"], path["to_region"]) for path in paths] == [(1, 2), (2, 1)]
    assert paths[0]["transition_count"] == round(today.sum() / 2)
    assert paths[0]["pathway_efficiency_score"] == pytest.approx(100 * 0.5 / 0.75)
    assert paths[0]["is_primary_path"]
    assert paths[0]["peak_transition_hour"] == clock_time(int(np.argmax(COUNTS[-24:])))
    # ten days are fewer than 200 hours on the first of the five days
    few = site.fetch(
        "SELECT DISTINCT quality ->> 'transition_count' FROM retail.pathway_analytics WHERE date = '2025-11-08'"
    )
    assert few == [("too_few_hours",)]

    (flow,) = site.frame(
        "SELECT f.sensor_name, m.* FROM retail.camera_flow_matrix AS m JOIN retail.sensor_metadata AS f ON f.id = m.from_camera"
        " WHERE date = %(day)s",
        {"day": LAST},
    ).to_dict("records")
    assert (flow["sensor_name"], flow["transition_count"]) == ("door", round(today.sum() / 4))
    assert flow["residual"] == pytest.approx(0, abs=1e-6)

    assert shown["pathway_analytics"]["modelled flows"].value.startswith("![modelled flows at door, 2025-11-12")
    assert shown["camera_flow_matrix"]["modelled flows"].value.startswith("![modelled flows between cameras")
    table = shown["regional_analytics"]["regions of 2025-11-12"].value
    assert "| door | Shelves |" in table

    stored = site.contents(ASSETS)
    materialize(installation, LAST - timedelta(days=4), LAST)
    assert site.contents(ASSETS) == stored


def test_the_views_tell_what_a_store_and_its_cameras_did(site: Site, installation: Installation) -> None:
    materialize(installation, LAST, LAST)
    unified = site.frame("SELECT * FROM retail.unified_store_metrics ORDER BY timestamp").to_dict("records")
    noon = unified[0]
    assert (noon["total_entries"], noon["active_zones"], noon["active_cameras"]) == (42, 3, 2)
    assert noon["camera_sync_delay_ms"] == 119_000
    assert noon["zone_occupancy"] == {
        "door:Entrance": pytest.approx(COUNTS[-12] / 120),
        "door:Shelves": pytest.approx(COUNTS[-12] / 30),
    }
    assert noon["crowded_zones"] == ["door:Shelves"]
    assert noon["quality"]["zone_occupancy"] == noon["quality"]["crowded_zones"] == "modelled"
    assert noon["quality"]["completion_rate"] == "no_tracks"
    assert (unified[1]["active_cameras"], unified[1]["active_zones"]) == (1, 2)
    assert unified[2]["quality"]["active_zones"] == "not_collected"

    status = site.frame("SELECT * FROM retail.camera_coordination_status ORDER BY timestamp").to_dict("records")
    told = site.fetch("SELECT sync_status FROM retail.camera_coordination_status ORDER BY timestamp")
    assert told == [("synchronized",), ("degraded",), ("failed",), ("degraded",), (None,)]
    assert [row["cameras_in_sync"] for row in status] == [2, 1, 0, 1, 0]
    assert [row["missing_data_cameras"] for row in status] == [[], ["tills"], ["door", "tills"], [], []]
    assert (status[0]["cameras_total"], status[1]["data_completeness_score"]) == (2, 0.5)
    assert status[4]["quality"]["sync_status"] == "no_clock_seen"

    # two regions of one name stay two
    FleetRegistry(installation.database).add(fleet("name: Shelves", "name: Entrance"))
    ((zones, crowded),) = site.fetch(
        "SELECT zone_occupancy, crowded_zones FROM retail.unified_store_metrics ORDER BY timestamp LIMIT 1"
    )
    assert zones == {
        "door:Entrance 1": pytest.approx(COUNTS[-12] / 120),
        "door:Entrance 2": pytest.approx(COUNTS[-12] / 30),
    }
    assert crowded == ["door:Entrance 2"]
