"""Cameras at whose address nobody answers, and which are therefore left alone but for one short question a run.

When a breaker opens and closes belongs in `connectors.breaker`; where the table is made in `sql/migrations/0015_breakers.sql`.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, sensor_id, updated_at

CAMERA_BREAKERS = Table(
    name="camera_breakers",
    row="A camera at whose address nobody answered in its newest runs. A camera without a row is asked in full.",
    key=("sensor_id",),
    columns=(
        sensor_id(),
        Column(
            "state",
            Kind.TEXT,
            "`closed`: it is asked in full still; `open`: it is left alone; `half_open`: a run is sending it one short question.",
            nullable=False,
        ),
        Column("failures", Kind.INTEGER, "Runs in a row in which nobody answered at its address.", nullable=False),
        Column("opened_at", Kind.TIMESTAMP, "Since when it is left alone. NULL: it is asked in full still."),
        Column(
            "next_probe_at",
            Kind.TIMESTAMP,
            "It gets no short question before that instant. NULL: it is asked in full still.",
        ),
        Column(
            "last_error_class",
            Kind.TEXT,
            "How the newest question of a run ended: `refused` or `timeout`. What is not asked is logged as this.",
            nullable=False,
        ),
        Column("last_failed_at", Kind.TIMESTAMP, "When that question was asked.", nullable=False),
        Column(
            "run_id",
            Kind.TEXT,
            "The runs that were counted last, that of the newest question first, separated by commas: a run counts once.",
            nullable=False,
        ),
        updated_at(),
    ),
)

BREAKER_TABLES: tuple[Table, ...] = (CAMERA_BREAKERS,)
