"""Groups, tags, places, export, removal and the record of changes, as a user types them, on a real Postgres."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retail_sensors.analytics.selection import chosen
from retail_sensors.cli.cameras import app
from retail_sensors.errors import ConfigurationError
from retail_sensors.fleet_export import exported
from retail_sensors.fleet_file import parse_fleet
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors_tests.installations import Site

FLEET = """\
stores:
  - name: Chiado
    organization: Demo
    timezone: Europe/Lisbon
    country: PT
    capacity: 180
    area_sqm: 620.5
    opening_hours: {mon-sat: "10:00-21:00", sun: ["10:00-13:00", "14:00-20:00"]}
    checkout: {lanes: 4, star_target: 12.5}
  - {name: Chiado, organization: Other, timezone: Europe/Lisbon, traffic_basis: mean, occupancy_reset_time: "05:30"}
groups:
  - {name: Doors, organization: Demo, type: role, description: "Where people come in"}
  - {name: Nobody, organization: Other}
cameras:
  - name: chiado-1
    store: Chiado
    organization: Demo
    host: 192.0.2.10
    username: admin
    password: env:RS_TEST_DOOR
    location: {name: "Main: entrance", building: A, floor: -1, type: entrance, latitude: 38.7101, longitude: -9.1421, \
x_m: 0, y_m: 2.25, area_sqm: 12.5, capacity: 20, mounting_height_m: 3.2, zone: Ladies}
    groups: [Tills, Doors]
    tags: [new, entrance]
    lines: {1: entrance, 2: {role: entrance, inverted: true, name: Back door}, 4: passerby}
    regions: {1: {name: Tills, type: queue, role: queue, capacity: 12, adjacent: [2, "chiado-2:1"]}, 2: {name: "007"}}
    heat_scale: 10
    endpoints: [people_counting, heatmap_temporal]
    retention_days: {heatmap_temporal: 7}
    installed_on: 2026-01-05
  - {name: chiado-2, store: Chiado, organization: Demo, host: 192.0.2.10, port: 81, location: "yes", regions: {1: {}}, enabled: false}
  - {name: "[red]é", store: Chiado, organization: Other, host: 2001:db8::1, groups: [Doors]}
  - {name: alone, host: 192.0.2.30, timezone: UTC}
"""
SMALL = """\
cameras:
  - {name: door, host: 192.0.2.10, timezone: UTC}
  - {name: tills, host: 192.0.2.11, timezone: UTC}
"""


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    return Site(database_url, tmp_path / "home")


def said(site: Site, *arguments: str | Path) -> str:
    """Standard output of a command of `retail-sensors cameras`, which must end well."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env=site.environment)
    if result.exception:
        raise result.exception
    return result.stdout


def refused(site: Site, *arguments: str | Path) -> str:
    """The sentence with which such a command is refused."""
    with pytest.raises(ConfigurationError) as refusal:
        said(site, *arguments)
    return str(refusal.value)


def registered(site: Site, tmp_path: Path, text: str) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    said(site, "add", path)
    return path


def names(site: Site, *words: str) -> list[str]:
    return [camera["name"] for camera in json.loads(said(site, "list", *words, "--json"))]


def test_the_exported_fleet_is_the_registered_one_byte_for_byte(site: Site, tmp_path: Path, database: Database) -> None:
    registered(site, tmp_path, FLEET)
    text = said(site, "export")
    copy = tmp_path / "copy.yaml"
    assert said(site, "export", copy) == f"Wrote 3 stores, 4 groups and 4 cameras to {copy}\n"
    assert copy.read_text() == text
    assert refused(site, "export", tmp_path).endswith(
        "cannot be written (Is a directory); check the path and its rights."
    )
    long = tmp_path / ("n" * 300)
    assert refused(site, "export", long).endswith(
        "cannot be written (File name too long); check the path and its rights."
    )
    assert not list(tmp_path.parent.glob("tmp*")), "nothing is left beside it"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "is a device or a pipe, which a file would take the place of" in refused(site, "export", pipe)
    assert pipe.is_fifo()
    assert "password: env:RS_TEST_DOOR" in text
    before = site.fetch("SELECT count(*) FROM retail.fleet_changes")
    assert said(site, "add", copy).splitlines() == [
        "Unchanged: 3 stores",
        "Unchanged: 4 groups",
        "Unchanged: 4 cameras",
    ]
    assert site.fetch("SELECT count(*) FROM retail.fleet_changes") == before
    # An empty registry becomes the same one.
    site.execute("DELETE FROM retail.organizations")
    said(site, "add", copy)
    assert said(site, "export") == text
    assert exported(*FleetRegistry(database).everything()) == text
    entries = {entry.name: entry for entry in parse_fleet(text, "copy.yaml").cameras}
    place = entries["chiado-1"].location
    assert place is not None
    assert (place.floor, place.longitude, place.y_m, place.name) == (-1, -9.1421, 2.25, "Main: entrance")
    assert entries["chiado-1"].regions[1].adjacent == [(None, 2), ("chiado-2", 1)]


def test_words_choose_registered_cameras(site: Site, tmp_path: Path, database: Database) -> None:
    registered(site, tmp_path, FLEET)
    everybody = names(site)
    assert names(site, "org:Demo", "not:tag:new") == ["chiado-2"]
    assert names(site, "group:Doors") == [name for name in everybody if name in ("[red]é", "chiado-1")]
    assert names(site, "floor:-1", "building:A") == ["chiado-1"]
    roster = FleetRegistry(database).roster()
    assert chosen(roster.places, ["store:Chi*", "not:[red]*"]) == ["chiado-1", "chiado-2"]
    # A pattern leaves disabled cameras out, a whole name insists.
    registry = FleetRegistry(database)
    assert [camera.name for camera in registry.cameras(["chiado-*"])] == ["chiado-1"]
    for words, left_out in ((["chiado-*"], []), (["org:Demo", "chiado-2"], ["chiado-2"])):
        to_ask = registry.to_ask(words)
        assert [camera.name for camera in to_ask.cameras] == ["chiado-1"]
        assert list(to_ask.left_out) == left_out
    found = json.loads(site.run("status", "--json", "--camera", "tag:new").out)
    assert [camera["name"] for camera in found["cameras"]] == ["chiado-1"]
    assert [stage["name"] for stage in found["stages"]] == ["cameras", "hourly figures"]
    window = ("--from", "2026-02-01", "--to", "2026-02-02")
    assert "'tag:nwe', did you mean 'tag:new'" in site.run("collect", *window, "--camera", "tag:nwe").sentence
    planned = json.loads(site.run("backfill", *window, "--camera", "org:Demo", "--dry-run", "--json").out)
    assert [camera["camera"] for camera in planned["cameras"]] == ["chiado-1"]
    assert refused(site, "probe", "group:Dors").startswith(
        "No camera is registered as 'group:Dors', did you mean 'group:Doors'?"
    )


def test_groups_and_tags_are_given_and_taken(site: Site, tmp_path: Path) -> None:
    registered(site, tmp_path, SMALL)
    assert said(site, "group", "add", "Front", "door", "--type", "zone") == "Into group Front: door\n"
    assert said(site, "group", "add", "Front", "*") == "Into group Front: tills\n"
    assert said(site, "group", "add", "Front", "*") == "Already in group Front.\n"
    [front] = json.loads(said(site, "group", "list", "--json"))
    assert (front["name"], front["type"], front["cameras"]) == ("Front", "zone", ["door", "tills"])
    assert refused(site, "group", "add", "front", "door") == ("Group 'front' is registered as 'Front'; write it so.")
    assert refused(site, "group", "remove", "Fornt", "door") == (
        "No group is registered as 'Fornt', did you mean 'Front'?"
    )
    assert "did you mean 'zone'" in refused(site, "group", "add", "Back", "door", "--type", "zones")
    assert said(site, "group", "remove", "Front", "door") == "Out of group Front: door\n"
    assert names(site, "group:Front") == ["tills"]
    assert said(site, "group", "remove", "Front") == "Removed group Front of tills\n"
    assert json.loads(said(site, "group", "list", "--json")) == []

    assert said(site, "tag", "add", "entrance", "door") == "Tagged entrance: door\n"
    assert names(site, "tag:entrance") == ["door"]
    assert "'Front door' is not a tag; write one lower-case word" in refused(site, "tag", "add", "Front door", "*")
    assert refused(site, "tag", "remove", "entrnace").startswith("No camera carries the tag 'entrnace'")
    assert said(site, "tag", "remove", "entrance", "tills") == "None of them is tagged entrance.\n"
    assert said(site, "tag", "remove", "entrance", "*") == "No longer tagged entrance: door\n"


def test_a_place_is_said_mended_and_forgotten(site: Site, tmp_path: Path) -> None:
    path = registered(site, tmp_path, SMALL)
    place = ("--building", "A", "--floor", "-1", "--lat", "38.7", "--lon", "-9.1", "--area", "12.5", "--capacity", "20")
    assert said(site, "locate", "door", *place) == "Located: door\n"
    assert said(site, "locate", "door", *place) == "They were known to hang there.\n"
    assert said(site, "locate", "door", "--floor", "2", "--unset", "building") == "Located: door\n"
    assert site.fetch("SELECT building_name, floor_level, latitude, max_capacity FROM retail.camera_locations") == [
        (None, 2, 38.7, 20)
    ]
    # A file that says nothing of places, groups and tags leaves them alone.
    said(site, "tag", "add", "new", "door")
    assert said(site, "add", path).splitlines()[-1] == "Unchanged: 2 cameras"
    assert refused(site, "locate", "door", "--lat", "95") == ("--lat: '95' is out of range; it must be at most 90.0.")
    # A half of a point is completed by what is known.
    assert said(site, "locate", "door", "--lat", "39") == "Located: door\n"
    assert refused(site, "locate", "tills", "--lat", "39") == (
        "latitude and longitude are one point; write both or neither."
    )
    assert refused(site, "locate", "door", "--unset", "flor") == (
        "--unset 'flor': unknown field; did you mean 'floor'?"
    )
    unset = [word for name in ("floor", "lat", "lon", "area", "capacity") for word in ("--unset", name)]
    assert said(site, "locate", "door", *unset) == "Located: door\n"
    assert site.fetch("SELECT * FROM retail.camera_locations") == []


def test_a_camera_with_data_is_removed_only_when_that_is_asked_for(site: Site, tmp_path: Path) -> None:
    registered(site, tmp_path, SMALL)
    site.execute(
        "INSERT INTO retail.camera_health (sensor_id, state, uptime_hours, checked_at, quality)"
        " SELECT id, 'unknown', 0, now(), '{}' FROM retail.sensor_metadata"
    )
    site.execute(
        "INSERT INTO retail.user_sensor_access (user_id, sensor_id, can_write, granted_by)"
        " SELECT 'ana', id, false, 'test' FROM retail.sensor_metadata"
    )
    site.execute("SELECT retail.ensure_month_partitions('collection_log', '2026-02-01T00:00Z', '2026-02-02T00:00Z')")
    site.execute(
        "INSERT INTO retail.collection_log (sensor_id, endpoint, hour_start, outcome, row_count, rejected_count, attempts, asked_at)"
        " SELECT id, 'people_counting', '2026-02-01T10:00Z', 'refused', 0, 0, 1, '2026-02-01T10:00Z'"
        " FROM retail.sensor_metadata WHERE sensor_name = 'door'"
    )
    assert "Something is stored of door, and would be lost; `retail-sensors cameras disable`" in (
        refused(site, "remove", "tills", "door")
    )
    assert "cameras are removed by their whole names" in refused(site, "remove", "til*")
    assert names(site) == ["door", "tills"]
    assert said(site, "remove", "tills") == "Removed: tills\n"
    assert said(site, "remove", "door", "--with-data") == "Removed: door\n"
    assert names(site) == []
    assert site.fetch("SELECT * FROM retail.collection_log") == []


def test_every_change_is_recorded_with_its_command(site: Site, tmp_path: Path) -> None:
    path = registered(site, tmp_path, SMALL)
    said(site, "disable", "door")
    path.write_text(SMALL.replace("192.0.2.11", "192.0.2.12"))
    said(site, "add", path)
    said(site, "group", "add", "Front", "door")
    said(site, "locate", "door", "--floor", "1")
    said(site, "locate", "door", "--floor", "2")
    found = [
        (change["kind"], change["change"], change["field"], change["old_value"], change["new_value"], change["command"])
        for change in json.loads(said(site, "history", "door", "--json"))
    ]
    assert found[:4] == [
        ("location", "changed", "floor_level", 1, 2, "cameras locate"),
        ("location", "added", None, None, found[1][4], "cameras locate"),
        ("camera", "changed", "groups", [], ["Front"], "cameras group add Front"),
        ("camera", "changed", "enabled", True, False, "cameras disable"),
    ]
    assert {row[:2] for row in found[4:]} == {("camera", "added"), ("store", "added")}
    [moved] = [row for row in json.loads(said(site, "history", "tills", "--json")) if row["change"] == "changed"]
    assert (moved["field"], moved["old_value"], moved["new_value"]) == ("host", "192.0.2.11", "192.0.2.12")
    assert moved["command"] == f"cameras add {path}"
    assert moved["changed_by"]
    assert said(site, "history", "nobody") == "No change of nobody is recorded.\n"
    assert "Front" in said(site, "history", "--limit", "3")
