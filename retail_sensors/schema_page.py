"""`python -m retail_sensors.schema_page` prints docs/schema.md, the picture of the tables, made from `retail_sensors.tables`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from retail_sensors.tables import TABLES, Kind, Table
from retail_sensors.tables.keys import references

GROUPS: Mapping[str, Sequence[str]] = {
    "The fleet, and who sees it": (
        "organizations",
        "stores",
        "sensor_metadata",
        "counting_lines",
        "region_configurations",
        "region_adjacency",
        "camera_locations",
        "camera_groups",
        "camera_group_assignments",
        "store_service",
        "user_sensor_access",
    ),
    "What cameras said": (
        "people_counting_raw",
        "regional_counting_raw",
        "heatmap_temporal_raw",
        "heatmap_spatial_raw",
        "region_stays",
        "vca_alarm_status",
        "realtime_analytics",
        "collection_log",
        "raw_revisions",
        "rejected_payloads",
        "camera_breakers",
        "camera_health",
    ),
    "Figures of cameras": (
        "hourly_analytics",
        "daily_analytics",
        "imputed_hours",
        "regional_analytics",
        "pathway_analytics",
        "camera_flow_matrix",
        "anomalies_detected",
    ),
    "Figures of stores": (
        "store_hourly",
        "store_daily",
        "kpi_metrics",
        "queue_analytics",
        "queue_performance_daily",
    ),
    "What stores know themselves": (
        "store_subdivisions",
        "pos_transactions",
        "staff_hours",
        "weather_hourly",
        "queue_ground_truth",
    ),
    "Forecasts": ("predictions", "store_predictions", "prediction_accuracy", "staffing_plan"),
    "Alerts and messages": ("alert_rules", "alerts_generated", "alert_routes", "notifications"),
}
"""The pictures, each with its tables; those that hang on nothing are named below them."""

_HEAD = """# The schema as pictures

Made from `retail_sensors/tables` by `python -m retail_sensors.schema_page`. A table shows its key and what it hangs on; all columns
are in [tables.md](tables.md). Every row goes with the row that it names (`ON DELETE CASCADE`).
"""

_SHORT = {Kind.TIMESTAMP: "timestamptz", Kind.TIME: "time", Kind.DOUBLE: "double"}


def page() -> str:
    """The page in Markdown; the pictures are Mermaid's."""
    sections = [_picture(title, [TABLES[name] for name in names]) for title, names in GROUPS.items()]
    alone = sorted(set(TABLES) - {name for names in GROUPS.values() for name in names})
    rows = [f"| `{name}` | {TABLES[name].row} |" for name in alone]
    return "\n".join(
        [_HEAD, *sections, "## Hanging on nothing\n", "| table | one row is |", "| --- | --- |", *rows, ""]
    )


def _picture(title: str, tables: Sequence[Table]) -> str:
    # Side by side, a dozen tables of one camera would shrink until nobody can read them.
    lines = [f"## {title}", "", "```mermaid", "erDiagram", "  direction LR"]
    for table in tables:
        for column, owner in references(table):
            one = "|o" if column.nullable else "||"
            many = "o|" if table.key == (column.name,) else "o{"
            lines.append(f"  {owner} {one}--{many} {table.name} : {column.name}")
    for table in tables:
        foreign = {column.name for column, _ in references(table)}
        lines.append(f"  {table.name} {{")
        for column in table.columns:
            marks = ["PK"] if column.name in table.key else []
            marks += ["FK"] if column.name in foreign else []
            if marks:
                lines.append(f"    {_SHORT.get(column.kind, column.kind.postgres)} {column.name} {', '.join(marks)}")
        lines.append("  }")
    return "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    sys.stdout.write(page())
