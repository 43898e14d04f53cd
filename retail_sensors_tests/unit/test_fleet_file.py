"""What a fleet file may say, and that everything else is refused with file, line and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from retail_sensors.connectors.base import Endpoint
from retail_sensors.errors import ConfigurationError
from retail_sensors.fleet_file import LineEntry, checked, parse_fleet, read_fleet_file
from retail_sensors.fleet_places import LocationEntry
from retail_sensors.simulator.fleet import demo_fleet, fleet_file, running

GOOD = """\
organization: Demo Retail
stores:
  - name: Oslo Torg
    timezone: Europe/Oslo
    country: NO
    capacity: 180
    area_sqm: 620.5
    traffic_basis: mean
    passerby_excludes_entrants: true
    occupancy_reset_time: 5:30
    opening_hours: {mon-fri: 10:00-21:00, sat: "18:00-02:00", sun: ["14:00-20:00", "9:00-13:00"]}
    checkout: {lanes: 4, target_minutes: 3, star_target: 12}
cameras:
  - name: oslo-1
    store: Oslo Torg
    host: 192.0.2.10
    port: 8080
    username: admin
    password: env:OSLO_1_PASSWORD
    location: Main entrance
    lines: {1: entrance, 2: {role: entrance, inverted: true, name: Back door}, 4: passerby}
    regions: {1: {name: Tills, type: queue, role: queue, capacity: 12, business_purpose: waiting}, 2: {}}
    heat_scale: 10
    endpoints: [heatmap_temporal, people_counting]
    retention_days: {heatmap_temporal: 7}
    installed_on: 2026-01-05
    enabled: false
  - {name: 007, host: Cam.Example.COM, timezone: Asia/Kolkata}
"""

GUIDE: dict[str, Any] = {
    "sensor_id": "milesight_001",
    "sensor_name": "Main Entrance Camera",
    "connection": {
        "host": "192.0.2.100",
        "port": 80,
        "auth": {"type": "basic", "username": "admin", "password": "env:DOOR"},
    },
    "data_mapping": {
        "supports_regional_counting": True,
        "supports_real_time_status": True,
        "line_count": 4,
        "region_count": 4,
    },
    "location": "Main Entrance",
    "timezone": "America/New_York",
}


def faults(text: str) -> list[str]:
    """The sentences with which a text is refused."""
    with pytest.raises(ConfigurationError) as refused:
        parse_fleet(text, "fleet.yaml")
    return str(refused.value).splitlines()


def camera(**fields: str) -> str:
    """A file of one camera, the given fields in lines 2, 3, ... in their order."""
    fields = {"name": "door", "host": "192.0.2.1", "timezone": "UTC"} | fields
    return "cameras:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in fields.items())


def store(**fields: str) -> str:
    """A file of one store, its fields from line 2 on."""
    fields = {"name": "shop", "timezone": "UTC"} | fields
    return "stores:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in fields.items())


# What is read ---------------------------------------------------------------------------------------------------------


def test_every_field_of_a_store_and_a_camera_is_read() -> None:
    fleet = parse_fleet(GOOD, "fleet.yaml")
    assert fleet.organization == "Demo Retail"
    [shop] = fleet.stores
    weekday = [["10:00", "21:00"]]
    assert shop.model_dump() == {
        "name": "Oslo Torg",
        "organization": None,
        "timezone": "Europe/Oslo",
        "country": "NO",
        "capacity": 180,
        "area_sqm": Decimal("620.5"),
        "traffic_basis": "mean",
        "passerby_excludes_entrants": True,
        "occupancy_reset_time": time(5, 30),
        "opening_hours": dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), weekday)
        | {"sat": [["18:00", "02:00"]], "sun": [["09:00", "13:00"], ["14:00", "20:00"]]},
        "checkout": {
            "lanes": 4,
            "service_rate_per_minute": 0.8,
            "target_minutes": 3.0,
            "target_share": 0.8,
            "star_target": 12.0,
        },
    }
    door = fleet.cameras[0]
    assert (door.host, door.port, door.username, door.password) == ("192.0.2.10", 8080, "admin", "env:OSLO_1_PASSWORD")
    assert door.lines == {
        1: LineEntry(role="entrance"),
        2: LineEntry(role="entrance", inverted=True, name="Back door"),
        4: LineEntry(role="passerby"),
    }
    assert (door.regions[1].name, door.regions[1].role, door.regions[1].capacity) == ("Tills", "queue", 12)
    assert door.regions[2].role == "zone"
    assert door.endpoints == [Endpoint.HEATMAP_TEMPORAL, Endpoint.PEOPLE_COUNTING]
    assert door.retention_days == {Endpoint.HEATMAP_TEMPORAL: 7}
    assert (door.heat_scale, door.installed_on, door.enabled) == (10.0, date(2026, 1, 5), False)


def test_a_camera_alone_counts_entrances_on_every_line_and_is_asked_everything() -> None:
    plain = parse_fleet(GOOD, "fleet.yaml").cameras[1]
    assert plain.name == "007"
    assert plain.host == "cam.example.com"
    assert plain.lines == {line: LineEntry(role="entrance") for line in (1, 2, 3, 4)}
    assert set(plain.endpoints) == set(Endpoint)
    assert (plain.port, plain.vendor, plain.store, plain.enabled) == (80, "milesight", None, None)


def test_json_with_tabs_is_the_same_file() -> None:
    as_yaml = parse_fleet(GOOD, "fleet.yaml")
    structure = yaml.load(GOOD, Loader=yaml.BaseLoader)  # noqa: S506 -- BaseLoader makes text only
    as_json = parse_fleet(json.dumps(structure, indent="\t"), "fleet.json")
    assert (as_json.stores, as_json.cameras) == (as_yaml.stores, as_yaml.cameras)


def test_json_may_escape_characters_beyond_the_basic_plane() -> None:
    text = json.dumps({"cameras": [{"name": "door 🚪", "host": "192.0.2.1", "timezone": "UTC"}]})
    assert "\\ud83d" in text
    assert parse_fleet(text, "fleet.json").cameras[0].name == "door 🚪"


def test_the_sensor_file_of_the_guide_is_read() -> None:
    [door] = parse_fleet(json.dumps(GUIDE, indent=2), "sensor.json").cameras
    assert (door.name, door.host, door.port) == ("Main Entrance Camera", "192.0.2.100", 80)
    assert (door.username, door.password, door.timezone) == ("admin", "env:DOOR", "America/New_York")
    assert door.location == LocationEntry(name="Main Entrance")
    assert (set(door.lines), set(door.regions)) == ({1, 2, 3, 4}, {1, 2, 3, 4})
    assert set(door.endpoints) == set(Endpoint)


def test_the_guide_says_which_endpoints_lines_and_regions_there_are() -> None:
    smaller = GUIDE | {
        "data_mapping": {
            "supports_regional_counting": False,
            "supports_real_time_status": False,
            "line_count": 2,
            "region_count": 4,
        }
    }
    [door] = parse_fleet(json.dumps([smaller]), "sensors.json").cameras
    assert set(door.endpoints) == {Endpoint.PEOPLE_COUNTING, Endpoint.HEATMAP_TEMPORAL, Endpoint.SPATIAL_HEATMAP}
    assert (set(door.lines), set(door.regions)) == ({1, 2}, set())


def test_a_list_of_sensor_files_is_read_and_its_faults_name_the_place() -> None:
    other = GUIDE | {"sensor_name": "Back door", "connection": GUIDE["connection"] | {"host": "192.0.2.101"}}
    fleet = parse_fleet(json.dumps([GUIDE, other], indent=1), "sensors.json")
    assert [entry.name for entry in fleet.cameras] == ["Main Entrance Camera", "Back door"]
    [doubled_name, doubled_address] = faults(json.dumps([GUIDE, GUIDE], indent=1))
    assert ", [1].sensor_name: 'Main Entrance Camera' is the name of another, in line 4" in doubled_name
    assert ", [1].connection.host: 192.0.2.100:80 is the address of another camera, in line 6" in doubled_address


def test_the_fleet_of_the_simulator_is_a_fleet_file() -> None:
    with running(demo_fleet(lambda: datetime(2026, 2, 2, 12, tzinfo=UTC))) as simulated:
        fleet = parse_fleet(yaml.safe_dump(fleet_file(simulated), sort_keys=False), "demo.yaml")
    assert (len(fleet.stores), len(fleet.cameras)) == (3, 6)
    assert all(shop.opening_hours for shop in fleet.stores)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ('"2001:DB8::0:1"', "2001:db8::1"),
        ('"[2001:db8::1]"', "2001:db8::1"),
        ("Door-1.Example.com.", "door-1.example.com"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_is_stored_in_one_spelling(written: str, read: str) -> None:
    assert parse_fleet(camera(host=written), "fleet.yaml").cameras[0].host == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("{mon: 10:00-21:00}", {"mon": [["10:00", "21:00"]]}),
        ("{sat-mon: 8:00-9:00}", {day: [["08:00", "09:00"]] for day in ("mon", "sat", "sun")}),
        ("{mon: '10:00-13:00, 14:00-20:00'}", {"mon": [["10:00", "13:00"], ["14:00", "20:00"]]}),
        ("{mon: 10:00-13:00, tue: closed, wed: , thu: []}", {"mon": [["10:00", "13:00"]]}),
        ("{sun: 18:00-02:00, mon: 02:00-03:00}", {"mon": [["02:00", "03:00"]], "sun": [["18:00", "02:00"]]}),
        ("{mon-tue: 00:00-24:00}", {day: [["00:00", "24:00"]] for day in ("mon", "tue")}),
        (
            "{mon-sun: 06:00-05:00}",
            {d: [["06:00", "05:00"]] for d in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")},
        ),
    ],
)
def test_opening_hours_are_spans_by_weekday(written: str, read: dict[str, list[list[str]]]) -> None:
    assert parse_fleet(store(opening_hours=written), "fleet.yaml").stores[0].opening_hours == read


def test_an_anchor_repeats_a_value() -> None:
    text = store(opening_hours="&hours {mon: 10:00-21:00}") + "\n  - {name: b, timezone: UTC, opening_hours: *hours}"
    first, second = parse_fleet(text, "fleet.yaml").stores
    assert first.opening_hours == second.opening_hours == {"mon": [["10:00", "21:00"]]}


# What is refused ------------------------------------------------------------------------------------------------------


def test_a_fault_names_file_line_field_and_the_near_miss() -> None:
    text = GOOD.replace("timezone: Europe/Oslo", "timezone: Europe/Oslow")
    assert faults(text) == [
        "fleet.yaml, line 4, stores[0].timezone: 'Europe/Oslow' is not an IANA zone; did you mean 'Europe/Oslo'?"
    ]


def test_all_faults_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
organisation: x
stores:
  - {name: A, timezone: Mars/Base}
cameras:
  - name: door
    host: http://192.0.2.1
    port: 70000
    password: hunter2
    lines:
      1: entrence
      5: entrance
  - name: door
    timezone: UTC
    heat_scale: 0
"""
    assert [sentence.split(": ")[0] for sentence in faults(text)] == [
        "fleet.yaml, line 1, organisation",
        "fleet.yaml, line 3, stores[0].timezone",
        "fleet.yaml, line 5, cameras[0].timezone",
        "fleet.yaml, line 5, cameras[0].username",
        "fleet.yaml, line 6, cameras[0].host",
        "fleet.yaml, line 7, cameras[0].port",
        "fleet.yaml, line 8, cameras[0].password",
        "fleet.yaml, line 10, cameras[0].lines.1.role",
        "fleet.yaml, line 11, cameras[0].lines.5",
        "fleet.yaml, line 12, cameras[1].host",
        "fleet.yaml, line 12, cameras[1].name",
        "fleet.yaml, line 14, cameras[1].heat_scale",
    ]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("timezone", "europe/lisbon", "'europe/lisbon' is not an IANA zone; did you mean 'Europe/Lisbon'?"),
        ("timezone", "localtime", "'localtime' is not an IANA zone"),
        ("host", "http://192.0.2.1", "must be the address alone, without http://"),
        ("host", "admin:hunter2@192.0.2.1", "must not hold a user or password"),
        ("host", "192.0.2.1:8080", "write the port in the field port"),
        ("host", "192.0.2.300", "'192.0.2.300' is neither an address nor a host name"),
        ("host", "door one", "'door one' is neither an address nor a host name"),
        ("port", "0", "'0' is out of range; it must be at least 1"),
        ("port", "65536", "'65536' is out of range; it must be at most 65535"),
        ("port", "http", "'http' is not a whole number"),
        ("vendor", "axis", "'axis' is not one of milesight"),
        ("lines", "{1: entrence}", "'entrence' is not one of entrance, passerby, internal; did you mean 'entrance'?"),
        ("lines", "{0: entrance}", "'0' is not a line of a camera; they are 1 to 4"),
        ("lines", "{1: {rol: entrance}}", "unknown field; did you mean 'role'?"),
        ("lines", "[entrance]", "must be a mapping, not a list"),
        ("lines", "{}", "is empty; name at least one, or leave the field out"),
        ("regions", "{5: {name: x}}", "'5' is not a region of a camera; they are 1 to 4"),
        ("regions", "{1: {role: quue}}", "'quue' is not one of entrance, queue, checkout, zone; did you mean 'queue'?"),
        ("heat_scale", "-1", "'-1' is out of range; it must be more than 0"),
        ("heat_scale", ".nan", "'.nan' is not a number"),
        ("heat_scale", "inf", "'inf' is not a finite number"),
        ("installed_on", "2026-02-30", "'2026-02-30' is not a date; write YYYY-MM-DD"),
        ("installed_on", "20260105", "'20260105' is not a date"),
        ("endpoints", "[people]", "'people' is not one of people_counting, regional_counting"),
        ("endpoints", "[]", "is empty"),
        ("retention_days", "{vca_alarm_status: 3}", "'vca_alarm_status' is not one of people_counting"),
        ("retention_days", "{heatmap_temporal: 0}", "it must be more than 0"),
        ("enabled", "maybe", "'maybe' is neither true nor false"),
        ("name", "[a]", "must be text, not a list"),
        ("name", '""', "is empty"),
        ("name", '"a\\nb"', "must be one line of text"),
        ("location", '"a\\0b"', "holds a control character"),
        ("store", "Shop\n    store: Shop", "is written twice, first in line 5; keep one"),
        ("location", "{latitude: 95, longitude: 0}", "'95' is out of range; it must be at most 90"),
        ("location", "{latitude: 38}", "latitude and longitude are one point; write both or neither"),
        ("location", "{capacity: -1}", "'-1' is out of range; it must be more than 0"),
        ("location", "{area_sqm: 0}", "'0' is out of range; it must be more than 0"),
        ("location", "{type: indor}", "did you mean 'indoor'?"),
        ("location", "{flor: 1}", "unknown field; did you mean 'floor'?"),
        ("tags", "[Front door]", "'Front door' is not a tag; write one lower-case word"),
        ("tags", "new", "must be a list, not 'new'"),
        ("groups", "[Tills, tills]", "group 'tills' is written 'Tills' elsewhere; write it one way"),
        ("colour", "red", "unknown field; known are name, store, host"),
    ],
)
def test_a_field_of_a_camera_that_cannot_be_meant_is_refused(field: str, value: str, said: str) -> None:
    sentences = faults(camera(**{field: value}))
    assert len(sentences) == 1
    assert f"cameras[0].{field}" in sentences[0]
    assert said in sentences[0]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("country", "pt", "'pt' is not a country"),
        ("capacity", "0", "it must be more than 0"),
        ("capacity", "3000000000", "it must be at most 2147483647"),
        ("area_sqm", "big", "'big' is not a number"),
        ("traffic_basis", "entrys", "'entrys' is not one of entries, exits, mean; did you mean 'entries'?"),
        ("occupancy_reset_time", "25:00", "'25:00' is not a time of day; write HH:MM"),
        ("checkout", "{lanes: 0}", "'0' is out of range; it must be more than 0"),
        ("checkout", "{target_share: 1}", "'1' is out of range; it must be less than 1"),
        ("checkout", "{service_rate_per_minute: 0.0001}", "'0.0001' is out of range; it must be at least 0.001"),
        ("checkout", "{target_minutes: 2000}", "'2000' is out of range; it must be at most 1440"),
        ("checkout", "{star_target: 2000000}", "'2000000' is out of range; it must be at most 1000000"),
        ("checkout", "{lane: 3}", "unknown field; did you mean 'lanes'?"),
        ("opening_hours", "{monday: 10:00-21:00}", "'monday' is neither a weekday"),
        ("opening_hours", "{mon: 10-21}", """'10-21' is not a span of opening hours; write it like "10:00-21:00\""""),
        ("opening_hours", "{mon: 10:00-10:00}", "has no length; a day that never closes is 00:00-24:00"),
        ("opening_hours", "{mon: [10:00-13:00, 12:00-20:00]}", "mon 10:00-13:00 and mon 12:00-20:00 overlap"),
        ("opening_hours", "{mon: 18:00-02:00, tue: 01:00-09:00}", "mon 18:00-02:00 and tue 01:00-09:00 overlap"),
        ("opening_hours", "{sun: 18:00-02:00, mon: 01:00-09:00}", "sun 18:00-02:00 and mon 01:00-09:00 overlap"),
        ("opening_hours", "{mon-fri: 9:00-10:00, tue: 9:00-10:00}", "tue is given twice, by mon-fri and by tue"),
        ("opening_hours", "{mon: closed}", "never opens"),
        ("opening_hours", "{mon: {from: 9}}", "must be a span"),
    ],
)
def test_a_field_of_a_store_that_cannot_be_meant_is_refused(field: str, value: str, said: str) -> None:
    sentences = faults(store(**{field: value}))
    assert len(sentences) == 1
    assert f"stores[0].{field}" in sentences[0]
    assert said in sentences[0]


@pytest.mark.parametrize(
    "write",
    [
        lambda secret: camera(username="admin", password=secret),
        lambda secret: camera(username="admin", password=f"{{value: {secret}}}"),
        lambda secret: camera(host=f"admin:{secret}@192.0.2.1"),
        lambda secret: camera(host=f"http://admin:{secret}@192.0.2.1"),
        lambda secret: camera(username="admin", password=f"*{secret}"),
        lambda secret: camera(username="admin", password=f"!{secret}"),
        lambda secret: camera(username="admin", password=f"!{secret}!x y"),
        lambda secret: camera(username="admin", password=f"%{secret}"),
        lambda secret: camera(username="admin", password=f'"{secret}'),
        lambda secret: camera(username="admin", password=f"{secret}: {secret}"),
        lambda secret: json.dumps(
            GUIDE | {"connection": {"host": "192.0.2.1", "auth": {"username": "a", "password": secret}}}
        ),
    ],
)
def test_a_literal_password_is_refused_and_never_repeated(write: Callable[[str], str]) -> None:
    assert not [sentence for sentence in faults(write("hunter2")) if "hunter2" in sentence]


def test_the_advice_for_a_literal_password() -> None:
    [sentence] = faults(camera(username="admin", password="hunter2"))
    assert sentence == (
        "fleet.yaml, line 6, cameras[0].password: must be a reference and not the password itself; "
        "write env:NAME or file:PATH, and keep the password in that variable or file"
    )


def test_two_cameras_share_neither_name_nor_address() -> None:
    text = (
        camera()
        + "\n  - {name: door, host: 192.0.2.2, timezone: UTC}\n  - {name: b, host: 192.0.2.1, port: 80, timezone: UTC}"
    )
    assert faults(text) == [
        "fleet.yaml, line 5, cameras[1].name: 'door' is the name of another, in line 2; names are unique",
        "fleet.yaml, line 6, cameras[2].host: 192.0.2.1:80 is the address of another camera, in line 3; "
        "it can be only one",
    ]
    other_port = "\n  - {name: b, host: 192.0.2.1, port: 81, timezone: UTC}"
    assert len(parse_fleet(camera() + other_port, "fleet.yaml").cameras) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fleet.yaml, line 1: is empty"),
        ("# nothing\n", "fleet.yaml, line 1: is empty"),
        ("{}", "is empty"),
        ("cameras: []", "holds neither cameras nor stores"),
        ("doors", "is not a mapping"),
        ("- door\n", "[0]: must be a mapping of fields"),
        ("cameras:\n  - door\n", "line 2, cameras[0]: must be a mapping of fields, not 'door'"),
        ("cameras: {a: b}", "cameras: must be a list, not a mapping"),
        ("cameras:\n  - a: b: c\n", "line 2: is not YAML"),
        ('{"cameras": [', "is not YAML"),
        ("cameras: []\n---\nstores: []\n", "line 2: a second YAML document begins"),
        ("? [a]\n: b\n", "a field's name must be plain text"),
        ("cameras: &a [*a]\n", "must be quoted"),
        ("cameras:\n  - <<: {name: a}\n", "merge keys are not read"),
        ("[" * 100_000, "is nested more than 32 levels deep"),
        ("a: \x01\n", "line 1"),
    ],
)
def test_a_text_that_is_no_fleet_is_refused(text: str, said: str) -> None:
    assert any(said in sentence for sentence in faults(text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no file .*absent\.yaml; check the path"):
        read_fleet_file(tmp_path / "absent.yaml")
    with pytest.raises(ConfigurationError, match="is a folder"):
        read_fleet_file(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"cameras:\n  - name: \xff\n")
    with pytest.raises(ConfigurationError, match=r"binary\.yaml, line 2: is not UTF-8 text"):
        read_fleet_file(binary)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert len(read_fleet_file(path).cameras) == 2


# Several organizations, groups and places -------------------------------------------------------------------------------


def test_stores_groups_and_cameras_may_say_their_own_organization() -> None:
    fleet = parse_fleet(
        "organization: Mine\n"
        "stores:\n  - {name: Shop, timezone: UTC}\n  - {name: Shop, timezone: UTC, organization: Other}\n"
        "groups:\n  - {name: Doors}\n  - {name: doors, organization: Other, type: zone}\n"
        "cameras:\n"
        "  - {name: a, store: Shop, host: 192.0.2.1, groups: [Doors], tags: [b, a, b]}\n"
        "  - {name: b, store: Shop, host: 192.0.2.2, organization: Other, location: {building: A, floor: -1}}\n",
        "fleet.yaml",
    )
    for entries in (fleet.stores, fleet.groups, fleet.cameras):
        assert [fleet.organization_of(entry) for entry in entries] == ["Mine", "Other"]
    first, second = fleet.cameras
    assert (first.groups, first.tags, first.location) == (["Doors"], ["a", "b"], None)
    assert (second.groups, second.tags) == (None, None)
    assert second.location is not None
    assert second.location.place is not None
    assert {name: value for name, value in second.location.place.items() if value is not None} == {
        "building_name": "A",
        "floor_level": -1,
    }


def test_a_bare_location_is_its_name_and_no_place() -> None:
    [door] = parse_fleet(camera(location="Main entrance"), "fleet.yaml").cameras
    assert door.location == LocationEntry(name="Main entrance")
    assert door.location.place is None


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            "[{name: Doors}, {name: Doors}]",
            "fleet.yaml, line 1, groups[1].name: 'Doors' is the name of another, in line 1",
        ),
        ("[{name: Doors}, {name: DOORS}]", "group 'DOORS' is written 'Doors' elsewhere; write it one way"),
        ("[{name: Doors, typ: zone}]", "groups[0].typ: unknown field; did you mean 'type'?"),
        ("[{name: Doors, type: zones}]", "groups[0].type: 'zones' is not one of zone, building"),
        ("[{type: zone}]", "groups[0].name: is missing"),
    ],
)
def test_a_group_that_cannot_be_meant_is_refused(groups: str, said: str) -> None:
    [sentence] = faults(f"groups: {groups}\n")
    assert said in sentence


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"capacity": "-1"}, "--capacity: '-1' is out of range; it must be more than 0."),
        ({"area_sqm": "0"}, "area_sqm: '0' is out of range; it must be more than 0.0."),
        ({"floor": "ground"}, "floor: 'ground' is not a whole number."),
        ({"type": "indor"}, "did you mean 'indoor'?"),
        ({"x_m": "3"}, "x_m and y_m are one point; write both or neither."),
    ],
)
def test_a_field_that_no_file_holds_is_refused_by_the_name_that_it_was_given(fields: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        checked(LocationEntry, fields, {"capacity": "--capacity"})
    assert str(refused.value).endswith(told)
