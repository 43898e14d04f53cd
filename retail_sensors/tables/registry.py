"""The fleet: retailers, stores, cameras, and what their lines and regions stand for."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, sensor_id, updated_at

ORGANIZATIONS = Table(
    name="organizations",
    row="A retailer.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity.", nullable=False, is_generated=True),
        Column("organization_name", Kind.TEXT, "Name, unique.", nullable=False),
        Column("created_at", Kind.TIMESTAMP, "When it was registered.", nullable=False, is_generated=True),
    ),
)
STORES = Table(
    name="stores",
    row="A shop: the place whose local calendar day, doors and capacity the figures are about.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity.", nullable=False, is_generated=True),
        Column("organization_id", Kind.UUID, "The retailer, `organizations.id`.", nullable=False),
        Column("store_name", Kind.TEXT, "Name, unique within the organization.", nullable=False),
        Column("timezone", Kind.TEXT, "IANA zone that decides the store's calendar day.", nullable=False),
        Column("country", Kind.TEXT, "ISO 3166-1 alpha-2 code. NULL: not said."),
        Column("capacity", Kind.INTEGER, "People allowed inside. NULL: not said.", unit="people"),
        Column("area_sqm", Kind.NUMERIC, "Sales area. NULL: not said.", unit="m2"),
        Column("traffic_basis", Kind.TEXT, "What counts as traffic: `entries`, `exits` or `mean`.", nullable=False),
        Column(
            "passerby_excludes_entrants",
            Kind.BOOLEAN,
            "Whether those who enter do not cross the passer-by line and are added below the capture rate.",
            nullable=False,
        ),
        Column(
            "opening_hours",
            Kind.JSONB,
            'Local opening spans by weekday, {"mon": [["10:00", "21:00"]], ...}; a weekday left out is closed. NULL: not said, '
            "every hour counts as open.",
        ),
        Column(
            "occupancy_reset_time",
            Kind.TIME,
            "Local time at which the store is emptiest and its occupancy starts at 0.",
            nullable=False,
        ),
        Column("created_at", Kind.TIMESTAMP, "When it was registered.", nullable=False, is_generated=True),
        updated_at(),
    ),
)
SENSOR_METADATA = Table(
    name="sensor_metadata",
    row="One camera; on the network its identity is host and port together.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity.", nullable=False, is_generated=True),
        Column("sensor_name", Kind.TEXT, "Name, unique; what the command line calls it.", nullable=False),
        Column("store_id", Kind.UUID, "The store that it hangs in, `stores.id`.", nullable=False),
        Column("vendor", Kind.TEXT, "Whose wire format it speaks: `milesight`.", nullable=False),
        Column("sensor_ip", Kind.TEXT, "Address or host name.", nullable=False),
        Column("sensor_port", Kind.INTEGER, "TCP port.", nullable=False),
        Column("timezone", Kind.TEXT, "IANA zone of the camera's wall clock.", nullable=False),
        Column("location", Kind.TEXT, "Where in the store it hangs. NULL: not said."),
        Column("username", Kind.TEXT, "Account on the camera. NULL: it asks for none."),
        Column(
            "password_reference",
            Kind.TEXT,
            "Where its password is: `env:NAME` or `file:PATH`, never the password. NULL: none.",
        ),
        Column("endpoints", Kind.JSONB, "Names of the endpoints that it is asked for.", nullable=False),
        Column("heat_scale", Kind.DOUBLE, "What its heat values are divided by to give seconds.", nullable=False),
        Column(
            "retention_days",
            Kind.JSONB,
            "Days that it holds, by endpoint; a whole day of zeros beyond them is no longer held. {}: not said.",
            nullable=False,
            unit="d",
        ),
        Column(
            "installed_on",
            Kind.DATE,
            "First local day on which it is expected to count. NULL: not said, expected wherever it was asked.",
        ),
        Column("is_active", Kind.BOOLEAN, "Whether it is asked.", nullable=False),
        Column(
            "tags", Kind.JSONB, "Its tags: lower-case words in the order of the alphabet. []: none.", nullable=False
        ),
        Column("capabilities", Kind.JSONB, "What the last probe found, by capability. NULL: never probed."),
        Column("last_seen_at", Kind.TIMESTAMP, "When it last answered. NULL: never.", is_generated=True),
        Column(
            "clock_offset_seconds",
            Kind.DOUBLE,
            "Its clock minus ours at its newest answer. NULL: that told no time, or it never answered.",
            unit="s",
            is_generated=True,
        ),
        Column("created_at", Kind.TIMESTAMP, "When it was registered.", nullable=False, is_generated=True),
        updated_at(),
    ),
)
COUNTING_LINES = Table(
    name="counting_lines",
    row="What one line of one camera stands for in the store.",
    key=("sensor_id", "line_number"),
    columns=(
        sensor_id(),
        Column("line_number", Kind.INTEGER, "1 to 4, as on the camera.", nullable=False),
        Column("role", Kind.TEXT, "`entrance`, `passerby` or `internal`.", nullable=False),
        Column(
            "is_inverted",
            Kind.BOOLEAN,
            "Whether the arrow points out of the store, so that Out is an entry.",
            nullable=False,
        ),
        Column("line_name", Kind.TEXT, "What people call it. NULL: not said."),
    ),
)
REGION_CONFIGURATIONS = Table(
    name="region_configurations",
    row="What one region of one camera stands for in the store.",
    key=("sensor_id", "region_number"),
    columns=(
        sensor_id(),
        Column("region_number", Kind.INTEGER, "1 to 4, as on the camera.", nullable=False),
        Column("region_name", Kind.TEXT, "What people call it.", nullable=False),
        Column(
            "region_type", Kind.TEXT, "Kind of place: `entrance`, `shopping`, `queue`, `premium`, ... NULL: not said."
        ),
        Column(
            "role", Kind.TEXT, "Part that it plays in figures: `entrance`, `queue`, `checkout`, `zone`.", nullable=False
        ),
        Column("capacity", Kind.INTEGER, "People that it holds. NULL: not said.", unit="people"),
        Column("business_purpose", Kind.TEXT, "Why it is watched. NULL: not said."),
    ),
)
