"""Where alerts are sent, and what was sent."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, updated_at

ALERT_EVENTS = ("raised", "severity_raised", "escalated", "resolved")
"""What happens to an alert and may be told."""
EVENTS = (*ALERT_EVENTS, "run_failed")
"""What a route may ask for."""

ALERT_ROUTES = Table(
    name="alert_routes",
    row="One way to somebody who is told of alerts: where it leads, what takes it, and when.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity.", nullable=False, is_generated=True),
        Column("route_name", Kind.TEXT, "Name; what the command line calls it.", nullable=False),
        Column(
            "target_reference",
            Kind.TEXT,
            "Where the address is kept, `env:NAME` or `file:PATH`: an address holds secrets.",
            nullable=False,
        ),
        Column(
            "secret_reference",
            Kind.TEXT,
            "Where the secret is kept that signs webhooks, `env:NAME` or `file:PATH`. NULL: the target needs none.",
        ),
        Column("organization_id", Kind.UUID, "Only this organization's stores, `organizations.id`. NULL: all."),
        Column("store_id", Kind.UUID, "Only this store, `stores.id`. NULL: all."),
        Column("min_severity", Kind.TEXT, "`warning`: all alerts; `critical`: these only.", nullable=False),
        Column("rules", Kind.JSONB, "Names of the rules whose alerts take it; empty: all.", nullable=False),
        Column("alert_types", Kind.JSONB, "Types of the alerts that take it; empty: all.", nullable=False),
        Column(
            "cameras",
            Kind.JSONB,
            "Words that choose the cameras whose alerts take it; empty: all, and the alerts of stores.",
            nullable=False,
        ),
        Column(
            "events",
            Kind.JSONB,
            "What is told: `raised`, `severity_raised`, `escalated`, `resolved`, `run_failed`.",
            nullable=False,
        ),
        Column("quiet_from", Kind.TIME, "From when nothing is sent, by the store's clock. NULL: no quiet hours."),
        Column("quiet_until", Kind.TIME, "Until when nothing is sent, by the store's clock. NULL: no quiet hours."),
        Column(
            "is_critical_held",
            Kind.BOOLEAN,
            "Whether the quiet hours hold back critical alerts, too.",
            nullable=False,
        ),
        Column(
            "cool_down_minutes",
            Kind.INTEGER,
            "For how long after a message about a rule and a camera or store the next alert of both waits.",
            nullable=False,
            unit="min",
        ),
        Column("is_enabled", Kind.BOOLEAN, "Whether anything is sent.", nullable=False),
        updated_at(),
    ),
)

NOTIFICATIONS = Table(
    name="notifications",
    row="One message to one route: written before it is sent, kept as what was sent.",
    key=("id",),
    time_column="event_at",
    columns=(
        Column(
            "id",
            Kind.UUID,
            "Identity, made of route, alert or run, event and time; a receiver knows a repetition by it.",
            nullable=False,
        ),
        Column("route_id", Kind.UUID, "The route, `alert_routes.id`.", nullable=False),
        Column(
            "event",
            Kind.TEXT,
            "What is told: `raised`, `severity_raised`, `escalated`, `resolved`, `run_failed`; `summary`: what quiet hours held "
            "back, or the end of alerts whose camera was removed; `test`.",
            nullable=False,
        ),
        Column("alert_id", Kind.UUID, "The alert, `alerts_generated.id`. NULL: the message is not about one alert."),
        Column("run_id", Kind.TEXT, "The Dagster run that failed. NULL: the message is not about a run."),
        Column("event_at", Kind.TIMESTAMP, "When it happened.", nullable=False),
        Column(
            "topic",
            Kind.TEXT,
            "What the cool-down goes by: the rule with the camera or store, or the job.",
            nullable=False,
        ),
        Column("severity", Kind.TEXT, "`warning` or `critical`, when it happened.", nullable=False),
        Column("title", Kind.TEXT, "The message in short.", nullable=False),
        Column("body", Kind.TEXT, "The message.", nullable=False),
        Column("payload", Kind.JSONB, "The same for machines, as webhooks send it.", nullable=False),
        Column(
            "state",
            Kind.TEXT,
            "`pending`: to be sent; `sent`; `held`: waits, or is part of a summary; `dropped`: was not to be sent after all; "
            "`failed`: could not be sent.",
            nullable=False,
        ),
        Column("held_for", Kind.TEXT, "What held it back: `quiet_hours` or `cool_down`. NULL: nothing did."),
        Column("reason", Kind.TEXT, "Why it was held or dropped. NULL: it was not."),
        Column(
            "summary_id",
            Kind.UUID,
            "The summary that tells it, `notifications.id`. NULL: it is told by itself, if at all.",
        ),
        Column("attempts", Kind.INTEGER, "How often sending was begun.", nullable=False),
        Column("next_try_at", Kind.TIMESTAMP, "From when it is sent, or looked at again. NULL: it waits for nothing."),
        Column("sent_at", Kind.TIMESTAMP, "When the other side took it. NULL: it has not."),
        Column("last_error", Kind.TEXT, "Why the last try failed, or reached not everybody. NULL: it did neither."),
        Column("created_at", Kind.TIMESTAMP, "When the row was written first.", nullable=False, is_generated=True),
        updated_at(),
    ),
)

NOTIFICATION_TABLES: tuple[Table, ...] = (ALERT_ROUTES, NOTIFICATIONS)
