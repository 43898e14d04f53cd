"""Where cameras hang, their groups and tags, and what was changed of the fleet.

What the words of a selection make of it belongs in `analytics.selection`; where the tables are made in
`sql/migrations/0016_places.sql`.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, sensor_id, updated_at

CAMERA_LOCATIONS = Table(
    name="camera_locations",
    row="Where one camera hangs and what it watches there; a camera of which nothing is said has no row.",
    key=("sensor_id",),
    columns=(
        sensor_id(),
        Column(
            "location_type",
            Kind.TEXT,
            "`indoor`, `outdoor`, `entrance`, `exit`, `corridor`, `checkout`, `parking`, `storage` or `other`. NULL: not said.",
        ),
        Column("building_name", Kind.TEXT, "The building. NULL: not said."),
        Column("floor_level", Kind.INTEGER, "The floor, 0 at the street and -1 below it. NULL: not said."),
        Column("zone_name", Kind.TEXT, "What people call this part of the floor. NULL: not said."),
        Column("latitude", Kind.DOUBLE, "WGS 84, north positive. NULL: not said.", unit="degrees"),
        Column("longitude", Kind.DOUBLE, "WGS 84, east positive. NULL: not said.", unit="degrees"),
        Column("x_m", Kind.DOUBLE, "On the floor plan, from its own origin. NULL: not said.", unit="m"),
        Column("y_m", Kind.DOUBLE, "On the floor plan, from its own origin. NULL: not said.", unit="m"),
        Column("area_sqm", Kind.DOUBLE, "Area that it watches. NULL: not said.", unit="m2"),
        Column("max_capacity", Kind.INTEGER, "People allowed in that area. NULL: not said.", unit="people"),
        Column("mounting_height_m", Kind.DOUBLE, "Its height above the floor. NULL: not said.", unit="m"),
        updated_at(),
    ),
)
CAMERA_GROUPS = Table(
    name="camera_groups",
    row="A group of cameras of one organization.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity.", nullable=False, is_generated=True),
        Column("organization_id", Kind.UUID, "The retailer, `organizations.id`.", nullable=False),
        Column("group_name", Kind.TEXT, "Name, unique within the organization whatever its case.", nullable=False),
        Column(
            "group_type",
            Kind.TEXT,
            "`zone`, `building`, `floor`, `department`, `role` or `other`. NULL: not said.",
        ),
        Column("description", Kind.TEXT, "What it is for. NULL: not said."),
        updated_at(),
    ),
)
CAMERA_GROUP_ASSIGNMENTS = Table(
    name="camera_group_assignments",
    row="One camera in one group; a camera may be in many.",
    key=("sensor_id", "group_id"),
    columns=(
        sensor_id(),
        Column("group_id", Kind.UUID, "The group, `camera_groups.id`.", nullable=False),
        Column("assigned_at", Kind.TIMESTAMP, "When it was put there.", nullable=False, is_generated=True),
    ),
)
FLEET_CHANGES = Table(
    name="fleet_changes",
    row="One change of the registry, written with it in one transaction; it outlives what it is about.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity.", nullable=False, is_generated=True),
        Column("changed_at", Kind.TIMESTAMP, "When it was changed.", nullable=False, is_generated=True),
        Column("kind", Kind.TEXT, "`organization`, `store`, `camera`, `group` or `location`.", nullable=False),
        Column("organization_name", Kind.TEXT, "The retailer, as it was called then.", nullable=False),
        Column("name", Kind.TEXT, "What was changed, as it was called then; of a location its camera.", nullable=False),
        Column("change", Kind.TEXT, "`added`, `changed` or `removed`.", nullable=False),
        Column("field", Kind.TEXT, "The field, as the fleet file calls it. NULL: the whole was added or removed."),
        Column("old_value", Kind.JSONB, "What it said before. NULL: nothing."),
        Column("new_value", Kind.JSONB, "What it says since. NULL: nothing."),
        Column("changed_by", Kind.TEXT, "The operating system's user.", nullable=False),
        Column("command", Kind.TEXT, "The command of `retail-sensors`, a file with its name.", nullable=False),
    ),
)
PLACE_TABLES: tuple[Table, ...] = (CAMERA_LOCATIONS, CAMERA_GROUPS, CAMERA_GROUP_ASSIGNMENTS, FLEET_CHANGES)
