"""Who reads and writes which rows: what users are granted, and which role writes which table.

The database's own side of it, grants and policies, is made by `sql/functions/guard_tables.sql`; a test compares both.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table

USER_SENSOR_ACCESS = Table(
    name="user_sensor_access",
    row="What one user may see: all of an organization, of a store, or one camera.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity.", nullable=False, is_generated=True),
        Column(
            "user_id",
            Kind.TEXT,
            "The user: the name of a login, or what `sub` of a token or `app.user_id` says.",
            nullable=False,
        ),
        Column("organization_id", Kind.UUID, "All of this retailer, `organizations.id`. NULL: a store or a camera."),
        Column("store_id", Kind.UUID, "All of this store, `stores.id`. NULL: an organization or a camera."),
        Column("sensor_id", Kind.UUID, "This camera, `sensor_metadata.id`. NULL: an organization or a store."),
        Column(
            "can_write",
            Kind.BOOLEAN,
            "Whether the user may also write what stores know themselves; takes the role `retail_writer`.",
            nullable=False,
        ),
        Column("granted_by", Kind.TEXT, "Who granted it.", nullable=False),
        Column(
            "granted_at", Kind.TIMESTAMP, "When it was granted, or last altered.", nullable=False, is_generated=True
        ),
    ),
)
ACCESS_TABLES: tuple[Table, ...] = (USER_SENSOR_ACCESS,)

ROLES = ("retail_owner", "retail_ingest", "retail_transform", "retail_reader", "retail_writer", "retail_gateway")
"""The roles, none of which logs in; logins are made members. On the embedded server `retail_owner` is its superuser."""

REGISTRY_TABLES = frozenset(
    {
        "organizations",
        "stores",
        "sensor_metadata",
        "counting_lines",
        "region_configurations",
        "region_adjacency",
        "camera_locations",
        "camera_groups",
        "camera_group_assignments",
        "fleet_changes",
        "alert_rules",
        "alert_routes",
        "user_sensor_access",
        "retention_policies",
    }
)
"""Fleet, rules, users and retention: only the owner writes them."""

RAW_TABLES = frozenset(
    {
        "people_counting_raw",
        "regional_counting_raw",
        "heatmap_temporal_raw",
        "vca_alarm_status",
        "collection_log",
        "rejected_payloads",
        "raw_revisions",
        "region_stays",
        "heatmap_spatial_raw",
        "camera_breakers",
        "realtime_analytics",
    }
)
"""What cameras said and what became of asking them: `retail_ingest` writes them. All others are written by `retail_transform`."""

CONTRIBUTED_TABLES = frozenset(
    {
        "store_subdivisions",
        "pos_transactions",
        "staff_hours",
        "weather_hourly",
        "queue_ground_truth",
        "store_service",
    }
)
"""What people of a store know themselves: `retail_writer` writes them too, in the rows that a user may write."""

SHARED_TABLES = frozenset({"holidays", "retail_calendar", "prediction_model", "retention_policies"})
"""The same for every user: rows that are about no tenant."""

HIDDEN_COLUMNS: dict[str, frozenset[str]] = {
    "sensor_metadata": frozenset({"username", "password_reference"}),
    "alert_routes": frozenset({"target_reference", "secret_reference"}),
    "fleet_changes": frozenset({"old_value", "new_value"}),
    "prediction_model": frozenset(
        {"series_count", "learnt_series_count", "series_reasons", "backtest", "model", "quality"}
    ),
}
"""What readers never see: references to secrets, and what is made of many tenants' rows at once."""
