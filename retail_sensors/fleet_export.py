"""The whole registry as one fleet file: what `fleet_file` reads back, and `cameras add` takes again with no change.

Here belongs how a registered value is written down. The order is that of names by their characters' numbers and of the fields in
`fleet_file`, so that the same fleet is the same file, byte for byte. Secrets are references in the registry and so they are here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import yaml

from retail_sensors.fleet_places import PLACE_COLUMNS

Row = Mapping[str, Any]

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""libyaml where PyYAML was built with it: ten times as fast on a fleet of a thousand cameras."""


def exported(stores: Sequence[Row], groups: Sequence[Row], cameras: Sequence[Row]) -> str:
    """The fleet as YAML; the rows are those of the queries `registered_stores`, `registered_groups` and `registered_cameras`.

    One organization is named once, at the top, several by each of their stores, groups and cameras. Empty where nothing is
    registered.
    """
    organizations = {row["organization_name"] for row in (*stores, *groups)}
    is_one = len(organizations) == 1
    listed = {
        "stores": [_said(_store(row, is_one)) for row in _ordered(stores, "store_name")],
        "groups": [_said(_group(row, is_one)) for row in _ordered(groups, "group_name")],
        "cameras": [_said(_camera(row, is_one)) for row in sorted(cameras, key=lambda row: str(row["sensor_name"]))],
    }
    fleet = ({"organization": next(iter(organizations))} if is_one else {}) | {
        name: entries for name, entries in listed.items() if entries
    }
    if not fleet:
        return ""
    text: str = yaml.dump(
        fleet, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False
    )
    return text


def _ordered(rows: Sequence[Row], name: str) -> list[Row]:
    return sorted(rows, key=lambda row: (str(row["organization_name"]), str(row[name])))


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without the fields that say nothing: they are read as left out."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _store(row: Row, is_one: bool) -> Row:
    hours = row["opening_hours"] or {}
    return {
        "name": row["store_name"],
        "organization": None if is_one else row["organization_name"],
        "timezone": row["timezone"],
        "country": row["country"],
        "capacity": row["capacity"],
        "area_sqm": _number(row["area_sqm"]),
        "traffic_basis": row["traffic_basis"],
        "passerby_excludes_entrants": row["passerby_excludes_entrants"],
        "occupancy_reset_time": f"{row['occupancy_reset_time']:%H:%M}",
        "opening_hours": {day: [f"{start}-{end}" for start, end in hours[day]] for day in hours},
        "checkout": _said(row["checkout"] or {}),
    }


def _group(row: Row, is_one: bool) -> Row:
    return {
        "name": row["group_name"],
        "organization": None if is_one else row["organization_name"],
        "type": row["group_type"],
        "description": row["description"],
    }


def _camera(row: Row, is_one: bool) -> Row:
    return {
        "name": row["sensor_name"],
        "store": row["store_name"],
        "host": row["sensor_ip"],
        "port": row["sensor_port"],
        "organization": None if is_one else row["organization_name"],
        "vendor": row["vendor"],
        "timezone": row["timezone"],
        "location": _location(row),
        "groups": list(row["groups"]),
        "tags": list(row["tags"]),
        "username": row["username"],
        "password": row["password_reference"],
        "lines": {int(number): _line(row["lines"][number]) for number in sorted(row["lines"])},
        "regions": {int(number): _region(row, number) for number in sorted(row["regions"])},
        "heat_scale": _number(row["heat_scale"]),
        "endpoints": list(row["endpoints"]),
        "retention_days": {name: row["retention_days"][name] for name in sorted(row["retention_days"])},
        "installed_on": None if row["installed_on"] is None else row["installed_on"].isoformat(),
        "enabled": row["is_active"],
    }


def _location(row: Row) -> str | dict[str, Any] | None:
    if row["place"] is None:
        name: str | None = row["location"]
        return name
    place = {field: _number(row["place"][column]) for field, column in PLACE_COLUMNS.items()}
    return _said({"name": row["location"], **place})


def _line(line: Row) -> str | dict[str, Any]:
    if not line["is_inverted"] and line["line_name"] is None:
        role: str = line["role"]
        return role
    return _said({"role": line["role"], "inverted": line["is_inverted"], "name": line["line_name"]})


def _region(row: Row, number: str) -> dict[str, Any]:
    region = row["regions"][number]
    ways = [(camera, to) for start, camera, to in row["adjacent"] if start == int(number)]
    return _said(
        {
            "name": region["region_name"],
            "type": region["region_type"],
            "role": region["role"],
            "capacity": region["capacity"],
            "business_purpose": region["business_purpose"],
            "adjacent": [to if camera == row["sensor_name"] else f"{camera}:{to}" for camera, to in ways],
        }
    )


def _number(value: Any) -> Any:
    """A number as people write it: 12 for 12.0, and no more digits than it has; what is no number stays as it is."""
    if not isinstance(value, (Decimal, float)):
        return value
    if value == int(value):
        return int(value)
    # A decimal with more digits than a float holds is written as text, which is read alike.
    return float(value) if Decimal(repr(float(value))) == Decimal(str(value)) else str(value)
