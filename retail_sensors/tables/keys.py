"""What the rows of a table hang on: which column names a row of which other table.

A row goes with the one that it names. The foreign keys themselves are in `sql/migrations`; a test compares both.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Table

_REFERENCES = {
    "organization_id": "organizations",
    "store_id": "stores",
    "scope_id": "stores",
    "sensor_id": "sensor_metadata",
    "to_sensor_id": "sensor_metadata",
    "from_camera": "sensor_metadata",
    "to_camera": "sensor_metadata",
    "group_id": "camera_groups",
    "route_id": "alert_routes",
    "alert_id": "alerts_generated",
    "summary_id": "notifications",
}


def references(table: Table) -> list[tuple[Column, str]]:
    """The columns of a table that are foreign keys, and the table whose `id` each one names, in the order of the columns."""
    return [(column, _REFERENCES[column.name]) for column in table.columns if column.name in _REFERENCES]
