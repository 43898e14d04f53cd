"""Where a camera hangs and which groups there are, as a fleet file says it.

Here belong the fields of `location` and `groups`; the file around them belongs in `fleet_file`, the tables that they fill in
`storage.places`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from retail_sensors.fleet_fields import Count, Entry, Name, Text, one_of

LOCATION_TYPES = ("indoor", "outdoor", "entrance", "exit", "corridor", "checkout", "parking", "storage", "other")
GROUP_TYPES = ("zone", "building", "floor", "department", "role", "other")

PLACE_COLUMNS = {
    "type": "location_type",
    "building": "building_name",
    "floor": "floor_level",
    "zone": "zone_name",
    "latitude": "latitude",
    "longitude": "longitude",
    "x_m": "x_m",
    "y_m": "y_m",
    "area_sqm": "area_sqm",
    "capacity": "max_capacity",
    "mounting_height_m": "mounting_height_m",
}
"""The fields of a place, in the order of the file, and the columns of `camera_locations` that they fill."""


class LocationEntry(Entry):
    """Where one camera hangs; a bare text is short for its `name`. The place: all fields but the name."""

    name: Text | None = None
    type: Annotated[str, one_of(LOCATION_TYPES)] | None = None
    building: Name | None = None
    floor: Annotated[int, Field(ge=-100, le=200)] | None = None
    zone: Name | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    x_m: Annotated[float, Field(ge=-100_000, le=100_000)] | None = None
    y_m: Annotated[float, Field(ge=-100_000, le=100_000)] | None = None
    area_sqm: Annotated[float, Field(gt=0, lt=10**9)] | None = None
    capacity: Count | None = None
    mounting_height_m: Annotated[float, Field(gt=0, le=100)] | None = None

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        for one, other in (("latitude", "longitude"), ("x_m", "y_m")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} are one point; write both or neither")
        return self

    @property
    def place(self) -> dict[str, Any] | None:
        """The place by its columns; None where only the name is said, or nothing."""
        values = {column: getattr(self, field) for field, column in PLACE_COLUMNS.items()}
        return values if any(value is not None for value in values.values()) else None


class GroupEntry(Entry):
    """One group of cameras of one organization; which cameras are in it, the cameras say."""

    name: Name
    organization: Name | None = None
    type: Annotated[str, one_of(GROUP_TYPES)] | None = None
    description: Text | None = None


def name_alone(value: object) -> object:
    """A location that is a bare text as the mapping that it is short for."""
    return {"name": value} if isinstance(value, str) else value


def otherwise_written(name: str, known: Iterable[str]) -> str | None:
    """The known name that differs from this one only in case; None where there is none."""
    return next((other for other in known if other != name and other.lower() == name.lower()), None)
