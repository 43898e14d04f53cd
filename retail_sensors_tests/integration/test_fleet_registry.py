"""Stores and cameras in a real Postgres: what registering a file writes, keeps and refuses."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from retail_sensors.connectors.base import Credentials, Endpoint
from retail_sensors.errors import ConfigurationError
from retail_sensors.fleet_file import FleetFile, parse_fleet
from retail_sensors.secrets import Secrets
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.tables import COUNTING_LINES, REGION_CONFIGURATIONS, SENSOR_METADATA, STORES

FLEET = """\
organization: Demo Retail
stores:
  - {name: Chiado, timezone: Europe/Lisbon, country: PT, capacity: 180, area_sqm: 620.5, opening_hours: {mon-sat: 10:00-21:00}}
  - {name: Karol Bagh, timezone: Asia/Kolkata}
cameras:
  - name: chiado-1
    store: Chiado
    host: 192.0.2.10
    username: admin
    password: env:CHIADO_1
    lines: {1: entrance, 2: {role: entrance, inverted: true, name: Back door}, 4: passerby}
    regions: {1: {name: Tills, type: queue, role: queue, capacity: 12}, 3: {}}
    heat_scale: 10
    retention_days: {heatmap_temporal: 7}
    installed_on: 2026-01-05
  - {name: chiado-2, store: Chiado, host: 192.0.2.10, port: 81, timezone: UTC, endpoints: [people_counting]}
  - {name: delhi-1, store: Karol Bagh, host: 192.0.2.20, enabled: false}
"""


def fleet(text: str = FLEET) -> FleetFile:
    return parse_fleet(text, "fleet.yaml")


def with_cameras(*cameras: str, organization: str = "Demo Retail") -> FleetFile:
    listed = "".join(f"  - {{{camera}}}\n" for camera in cameras)
    return fleet(f"organization: {organization}\ncameras:\n{listed}")


@pytest.fixture
def registry(database: Database) -> FleetRegistry:
    return FleetRegistry(database, Secrets({"CHIADO_1": "s3cret"}))


def snapshot(database: Database) -> list[Any]:
    """Every row of the registry, with the instants at which it changed."""
    tables = ("organizations", "stores", "sensor_metadata", "counting_lines", "region_configurations")
    return [sorted(database.fetch(f"SELECT t::text FROM retail.{table} AS t")) for table in tables]


def refusal(registry: FleetRegistry, file: FleetFile) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        registry.add(file)
    return str(refused.value).splitlines()


# Registering ----------------------------------------------------------------------------------------------------------


def test_a_registered_camera_is_what_the_file_says(registry: FleetRegistry) -> None:
    changes = registry.add(fleet())
    assert changes.stores.added == ("Chiado", "Karol Bagh")
    assert changes.cameras.added == ("chiado-1", "chiado-2", "delhi-1")
    first, second = registry.cameras()
    assert (first.name, first.host, first.port, first.vendor) == ("chiado-1", "192.0.2.10", 80, "milesight")
    assert first.zone == ZoneInfo("Europe/Lisbon")
    assert first.credentials == Credentials("admin", "s3cret")
    assert first.endpoints == frozenset(Endpoint)
    assert first.retention_days == {Endpoint.HEATMAP_TEMPORAL: 7}
    assert (second.name, second.port, second.zone) == ("chiado-2", 81, ZoneInfo("UTC"))
    assert second.endpoints == {Endpoint.PEOPLE_COUNTING}
    assert second.credentials is None


def test_the_roster_holds_all_four_tables_with_their_types(registry: FleetRegistry) -> None:
    registry.add(fleet())
    roster = registry.roster()
    for frame, table in (
        (roster.stores, STORES),
        (roster.sensors, SENSOR_METADATA),
        (roster.lines, COUNTING_LINES),
        (roster.regions, REGION_CONFIGURATIONS),
    ):
        assert list(frame.columns) == list(table.names)
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
            column.name: column.kind.pandas for column in table.columns
        }
    shop = roster.stores.set_index("store_name").loc["Chiado"]
    assert shop["opening_hours"].startswith('{"fri": [["10:00", "21:00"]]')
    assert (shop["occupancy_reset_time"], shop["area_sqm"]) == (time(4), 620.5)
    sensors = roster.sensors.set_index("sensor_name")
    assert sensors.loc["chiado-1", "installed_on"] == date(2026, 1, 5)
    assert not sensors.loc["delhi-1", "is_active"]
    lines = roster.lines[roster.lines["sensor_id"] == sensors.loc["chiado-1", "id"]]
    assert lines[["line_number", "role", "is_inverted"]].to_numpy().tolist() == [
        [1, "entrance", False],
        [2, "entrance", True],
        [4, "passerby", False],
    ]
    assert (roster.lines["sensor_id"] == sensors.loc["delhi-1", "id"]).sum() == 4
    assert roster.regions["region_name"].tolist() == ["Tills", "Region 3"]
    assert len(roster.layout.names) == 3


def test_the_same_file_again_changes_nothing(registry: FleetRegistry, database: Database) -> None:
    registry.add(fleet())
    before = snapshot(database)
    changes = registry.add(fleet())
    assert changes.cameras.unchanged == ("chiado-1", "chiado-2", "delhi-1")
    assert changes.stores.unchanged == ("Chiado", "Karol Bagh")
    touched = [*changes.stores.added, *changes.stores.changed, *changes.cameras.added, *changes.cameras.changed]
    assert touched == []
    assert snapshot(database) == before


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("host: 192.0.2.20", "host: 192.0.2.21", "host"),
        ("port: 81", "port: 82", "port"),
        ("password: env:CHIADO_1", "password: file:/run/secrets/chiado", "password"),
        ("2: {role: entrance, inverted: true, name: Back door}", "2: internal", "lines"),
        (", 4: passerby", "", "lines"),
        ("capacity: 12", "capacity: 13", "regions"),
        ("timezone: UTC,", "timezone: Europe/Madrid,", "timezone"),
        ("heat_scale: 10", "heat_scale: 1", "heat_scale"),
        ("installed_on: 2026-01-05", "location: Door", "location, installed_on"),
        ("endpoints: [people_counting]", "endpoints: [heatmap_temporal]", "endpoints"),
        ("{heatmap_temporal: 7}", "{people_counting: 21}", "retention_days"),
        ("enabled: false", "enabled: true", "enabled"),
        ("store: Karol Bagh", "store: Chiado, timezone: Asia/Kolkata", "store"),
    ],
)
def test_a_changed_field_changes_its_camera_only(registry: FleetRegistry, old: str, new: str, field: str) -> None:
    registry.add(fleet())
    ids = {camera.name: camera.sensor_id for camera in registry.cameras(include_inactive=True)}
    assert old in FLEET
    changed_file = fleet(FLEET.replace(old, new))
    changes = registry.add(changed_file)
    assert [", ".join(fields) for fields in changes.cameras.changed.values()] == [field]
    assert {camera.name: camera.sensor_id for camera in registry.cameras(include_inactive=True)} == ids
    assert not registry.add(changed_file).cameras.changed


def test_a_zone_follows_the_store(registry: FleetRegistry) -> None:
    registry.add(fleet())
    changes = registry.add(fleet(FLEET.replace("Europe/Lisbon", "Atlantic/Azores")))
    assert changes.stores.changed == {"Chiado": ("timezone",)}
    assert changes.cameras.changed == {"chiado-1": ("timezone",)}


def test_two_cameras_may_exchange_their_addresses(registry: FleetRegistry) -> None:
    registry.add(fleet())
    swapped = FLEET.replace("192.0.2.10, port: 81", "192.0.2.99").replace(
        "host: 192.0.2.20", "host: 192.0.2.10, port: 81"
    )
    registry.add(fleet(swapped.replace("192.0.2.99", "192.0.2.20")))
    addresses = {camera.name: (camera.host, camera.port) for camera in registry.cameras(include_inactive=True)}
    assert addresses["chiado-2"] == ("192.0.2.20", 80)
    assert addresses["delhi-1"] == ("192.0.2.10", 81)


def test_a_disabled_camera_stays_disabled_when_its_file_does_not_say(registry: FleetRegistry) -> None:
    registry.add(fleet())
    registry.set_active(["chiado-1"], False)
    assert registry.add(fleet()).cameras.unchanged == ("chiado-1", "chiado-2", "delhi-1")
    assert [camera.name for camera in registry.cameras()] == ["chiado-2"]


def test_a_camera_that_the_file_leaves_out_stays(registry: FleetRegistry) -> None:
    registry.add(fleet())
    registry.add(with_cameras("name: door, host: 192.0.2.30, timezone: UTC"))
    assert len(registry.listing()) == 4


# Stores of one's own --------------------------------------------------------------------------------------------------


def test_a_camera_without_a_store_gets_one_of_its_own_name_and_zone(
    registry: FleetRegistry, database: Database
) -> None:
    changes = registry.add(fleet("cameras: [{name: door, host: 192.0.2.1, timezone: Asia/Kolkata}]"))
    assert (changes.stores.added, changes.cameras.added) == (("door",), ("door",))
    assert database.fetch(
        "SELECT organization_name, store_name, timezone FROM retail.stores"
        " JOIN retail.organizations AS o ON o.id = organization_id"
    ) == [("Default", "door", "Asia/Kolkata")]
    # A mended zone is the zone of the store that was made for the camera, and its calendar days.
    changes = registry.add(fleet("cameras: [{name: door, host: 192.0.2.1, timezone: Asia/Colombo}]"))
    assert changes.stores.changed == {"door": ("timezone",)}
    assert changes.cameras.changed == {"door": ("timezone",)}


def test_a_file_that_names_no_store_leaves_the_camera_in_its_store(registry: FleetRegistry) -> None:
    registry.add(fleet())
    changes = registry.add(with_cameras("name: delhi-1, host: 192.0.2.20, timezone: UTC", organization="Other"))
    assert changes.cameras.changed == {"delhi-1": ("timezone",)}
    assert [*changes.stores.added, *changes.stores.changed] == []
    assert {camera.name: camera.store for camera in registry.listing()}["delhi-1"] == "Karol Bagh"


def test_a_registered_store_needs_not_be_in_the_file(registry: FleetRegistry) -> None:
    registry.add(fleet())
    registry.add(with_cameras("name: chiado-3, store: Chiado, host: 192.0.2.11"))
    registry.add(fleet("cameras: [{name: chiado-4, store: Chiado, host: 192.0.2.12}]"))
    listed = {camera.name: (camera.store, camera.timezone) for camera in registry.listing()}
    assert listed["chiado-3"] == listed["chiado-4"] == ("Chiado", "Europe/Lisbon")


def test_a_store_of_several_organizations_must_be_told_apart(registry: FleetRegistry) -> None:
    registry.add(fleet())
    registry.add(fleet("organization: Other\nstores: [{name: Chiado, timezone: UTC}]"))
    [sentence] = refusal(registry, fleet("cameras: [{name: x, store: Chiado, host: 192.0.2.12}]"))
    assert sentence.endswith("'Chiado' is a store of several organizations; name one in the field organization")


# Refusals -------------------------------------------------------------------------------------------------------------


def test_all_conflicts_are_reported_and_nothing_is_written(registry: FleetRegistry, database: Database) -> None:
    registry.add(fleet())
    before = snapshot(database)
    sentences = refusal(
        registry,
        fleet("""\
organization: Demo Retail
stores:
  - {name: New store, timezone: UTC}
cameras:
  - {name: good, store: New store, host: 192.0.2.40}
  - {name: lost, store: Chiada, host: 192.0.2.41}
  - {name: taken, store: New store, host: 192.0.2.10, port: 81}
  - {name: delhi-1, store: New store, host: 192.0.2.42}
"""),
    )
    assert sentences == [
        "fleet.yaml, line 6, cameras[1].store: no store 'Chiada' is in this file or registered; did you mean 'Chiado'?",
        "fleet.yaml, line 7, cameras[2].host: 192.0.2.10:81 is registered as camera 'chiado-2' and cannot be 'taken' too; "
        "use that name, or give 'chiado-2' its new address in the same file",
        "fleet.yaml, line 8, cameras[3].name: 'delhi-1' is the name of the camera 192.0.2.20:80 in store 'Karol Bagh', and "
        "this one is 192.0.2.42:80 in store 'New store'; use another name, or move the camera in two steps",
    ]
    assert snapshot(database) == before


def test_a_conflict_of_a_sensor_file_names_its_own_field(registry: FleetRegistry) -> None:
    registry.add(fleet())
    [sentence] = refusal(
        registry,
        parse_fleet('{"sensor_name": "x",\n"connection": {\n"host": "192.0.2.10"},\n"timezone": "UTC"}', "door.json"),
    )
    assert sentence.startswith("door.json, line 3, connection.host: 192.0.2.10:80 is registered as camera 'chiado-1'")


def test_two_registrations_at_once_end_as_one(registry: FleetRegistry, database: Database) -> None:
    results: list[int] = []

    def register() -> None:
        results.append(len(registry.add(fleet()).cameras.added))

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 0, 0, 3]
    assert database.fetch("SELECT count(*) FROM retail.organizations") == [(1,)]


# Reading --------------------------------------------------------------------------------------------------------------


def test_a_missing_secret_is_said_of_the_camera_and_stops_nobody(database: Database) -> None:
    registry = FleetRegistry(database, Secrets({}))
    registry.add(fleet())
    first, second = registry.cameras()
    assert first.credentials is None
    assert first.credentials_error == "The variable CHIADO_1 is not set; set it in the environment or in .env."
    assert second.credentials_error is None


def test_a_name_that_is_not_registered_is_refused_with_the_near_miss(registry: FleetRegistry) -> None:
    registry.add(fleet())
    with pytest.raises(ConfigurationError, match=r"No camera is registered as 'chiado-', did you mean 'chiado-[12]'"):
        registry.cameras(["chiado-1", "chiado-"])
    with pytest.raises(ConfigurationError, match="'nothing like it'; nor as 'zzz'"):
        registry.set_active(["nothing like it", "chiado-1", "zzz"], False)
    assert [camera.name for camera in registry.cameras()] == ["chiado-1", "chiado-2"]


def test_a_disabled_camera_is_asked_only_when_that_is_meant(registry: FleetRegistry) -> None:
    registry.add(fleet())
    with pytest.raises(ConfigurationError, match="Disabled, and so not asked: delhi-1"):
        registry.cameras(["chiado-1", "delhi-1"])
    assert [camera.name for camera in registry.cameras(["delhi-1"], include_inactive=True)] == ["delhi-1"]
    assert registry.set_active(["delhi-1", "chiado-1"], True) == ["delhi-1"]
    assert [camera.name for camera in registry.cameras(["delhi-1", "delhi-1"])] == ["delhi-1"]


def test_an_empty_registry_has_no_cameras_and_an_empty_roster(registry: FleetRegistry) -> None:
    assert registry.cameras() == []
    assert registry.listing() == []
    assert len(registry.roster().sensors) == 0


def test_capabilities_are_kept_through_the_next_registration(registry: FleetRegistry) -> None:
    registry.add(fleet())
    found = {"snapshot": {"status": "supported", "http_status": 200}}
    registry.record_capabilities("chiado-1", found)
    registry.add(fleet(FLEET.replace("heat_scale: 10", "heat_scale: 1")))
    assert registry.listing()[0].capabilities == found
    with pytest.raises(ConfigurationError, match="did you mean 'chiado-1'"):
        registry.record_capabilities("chiado-11", found)


def test_the_listing_shows_what_the_collector_last_saw(registry: FleetRegistry, database: Database) -> None:
    registry.add(fleet())
    seen = datetime(2026, 2, 2, 10, 5, tzinfo=UTC)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE retail.sensor_metadata SET last_seen_at = %s, clock_offset_seconds = -3 WHERE sensor_name = 'chiado-1'",
            (seen,),
        )
    first = registry.listing()[0]
    assert (first.last_seen_at, first.clock_offset_seconds) == (seen, -3.0)
    assert first.lines == {1: "entrance", 2: "entrance, inverted", 4: "passerby"}
