"""How the cameras answer.

What makes a camera healthy belongs in `analytics.health`; where the table is made in `sql/migrations/0012_camera_health.sql`.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, sensor_id, updated_at

CAMERA_HEALTH = Table(
    name="camera_health",
    row="How one camera answers, as of the last look at what became of asking it.",
    key=("sensor_id",),
    columns=(
        sensor_id(),
        Column(
            "state",
            Kind.TEXT,
            "`healthy`, `degraded`, `offline` or `unknown`; why stands in `quality`.",
            nullable=False,
        ),
        Column("last_asked_at", Kind.TIMESTAMP, "When it was last asked. NULL: not in the last 7 days."),
        Column("last_seen_at", Kind.TIMESTAMP, "When it last answered. NULL: never."),
        Column(
            "last_error",
            Kind.TEXT,
            "What the newest failure was, in a sentence. NULL: none of the last 7 days is known.",
        ),
        Column(
            "last_error_class",
            Kind.TEXT,
            "The outcome of that question: `refused`, `timeout`, `unauthorized`, ... NULL: none of the last 7 days is known.",
        ),
        Column("last_error_at", Kind.TIMESTAMP, "When that was asked. NULL: none of the last 7 days is known."),
        Column(
            "latency_ms",
            Kind.DOUBLE,
            "Median duration of the answers of the last 24 hours. NULL with the reason in `quality`.",
            unit="ms",
        ),
        Column(
            "error_rate",
            Kind.DOUBLE,
            "Share of the questions of the last 24 hours that the log still knows that got no answer. NULL with the reason in "
            "`quality`.",
        ),
        Column(
            "uptime_share",
            Kind.DOUBLE,
            "Share of `uptime_hours` in which it answered at least once. NULL with the reason in `quality`.",
        ),
        Column(
            "uptime_hours",
            Kind.INTEGER,
            "Hours of the last 7 days of which the log knows whether the camera answered.",
            nullable=False,
            unit="h",
        ),
        Column(
            "clock_offset_seconds",
            Kind.DOUBLE,
            "Its clock minus ours, as last seen. NULL with the reason in `quality`.",
            unit="s",
        ),
        Column(
            "breaker_state",
            Kind.TEXT,
            "`open`: it is left alone but for one short question a run; `half_open`: that question is on its way; `closed`: nobody "
            "answered in its newest runs, and it is asked in full still. NULL: neither, it is asked in full.",
        ),
        Column("left_alone_since", Kind.TIMESTAMP, "Since when it is left alone. NULL: it is asked in full."),
        Column("checked_at", Kind.TIMESTAMP, "The instant that all of this is about.", nullable=False),
        Column(
            "quality",
            Kind.JSONB,
            "Why the camera is not `healthy`, under `state`; for each column that is NULL or noted, its reason.",
            nullable=False,
        ),
        updated_at(),
    ),
)

HEALTH_TABLES: tuple[Table, ...] = (CAMERA_HEALTH,)
