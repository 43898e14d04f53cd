"""Alert rules, and the alerts that they raised."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, store_id, updated_at

ALERT_RULES = Table(
    name="alert_rules",
    row="When an alert is raised: a limit on one metric, for all stores or in place of that for one store.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity.", nullable=False, is_generated=True),
        Column("rule_name", Kind.TEXT, "Name of the rule; what the command line calls it.", nullable=False),
        Column(
            "store_id",
            Kind.UUID,
            "The store for which this row stands in place of the rule for all, `stores.id`. NULL: all stores.",
        ),
        Column("alert_type", Kind.TEXT, "`capacity`, `queue`, `conversion`, `anomaly` or `system`.", nullable=False),
        Column("scope", Kind.TEXT, "`sensor`: one alert a camera; `store`: one alert a store.", nullable=False),
        Column(
            "metric",
            Kind.TEXT,
            "What is compared, with its unit as suffix: `utilization_percent`, `queue_length`, `queue_wait_minutes`, "
            "`abandonment_risk_percent`, `conversion_drop_percent`, `anomaly_severity`, `minutes_since_answer`, "
            "`clock_offset_seconds`, `hours_set_aside` or `minutes_without_counts`.",
            nullable=False,
        ),
        Column(
            "comparison", Kind.TEXT, "How the metric stands to a threshold: `>`, `>=`, `<` or `<=`.", nullable=False
        ),
        Column("warning_threshold", Kind.DOUBLE, "From where the alert is a warning. NULL: there is no warning."),
        Column("critical_threshold", Kind.DOUBLE, "From where it is critical. NULL: it is never."),
        Column("hold_minutes", Kind.INTEGER, "How long the condition must have lasted.", nullable=False, unit="min"),
        Column(
            "cool_down_minutes",
            Kind.INTEGER,
            "How long after its end the same alert is not raised again.",
            nullable=False,
            unit="min",
        ),
        Column(
            "escalate_after_minutes",
            Kind.INTEGER,
            "How long an alert may stand without acknowledgement before it is escalated. NULL: for ever.",
            unit="min",
        ),
        Column(
            "recency_minutes",
            Kind.INTEGER,
            "How old the time that a figure is about may be: an older one raises nothing, and keeps nothing open.",
            nullable=False,
            unit="min",
        ),
        Column("is_enabled", Kind.BOOLEAN, "Whether the rule raises alerts.", nullable=False),
        Column("description", Kind.TEXT, "The rule in a sentence.", nullable=False),
        updated_at(),
    ),
)

ALERTS_GENERATED = Table(
    name="alerts_generated",
    row="One alert of one rule about one camera or store, from its raising to its end; at most one is open at a time.",
    key=("id",),
    time_column="timestamp",
    columns=(
        Column("id", Kind.UUID, "Identity, made of rule, camera or store, and `timestamp`.", nullable=False),
        Column("rule_name", Kind.TEXT, "The rule that raised it, `alert_rules.rule_name`.", nullable=False),
        Column("scope", Kind.TEXT, "`sensor` or `store`.", nullable=False),
        Column("sensor_id", Kind.UUID, "The camera, `sensor_metadata.id`. NULL: the alert is about a store."),
        store_id(),
        Column("alert_type", Kind.TEXT, "`capacity`, `queue`, `conversion`, `anomaly` or `system`.", nullable=False),
        Column("metric", Kind.TEXT, "What the rule compares, as `alert_rules.metric`.", nullable=False),
        Column(
            "severity",
            Kind.TEXT,
            "`warning` or `critical`, the highest that it has had.",
            nullable=False,
        ),
        Column("timestamp", Kind.TIMESTAMP, "When it was raised.", nullable=False),
        Column("title", Kind.TEXT, "What is the matter, in short.", nullable=False),
        Column("message", Kind.TEXT, "The same with its numbers, and what to do.", nullable=False),
        Column(
            "metrics",
            Kind.JSONB,
            "The figures behind it, by name; `reason` where the value has no number.",
            nullable=False,
        ),
        Column("threshold_value", Kind.DOUBLE, "The threshold of its severity, in the metric's unit.", nullable=False),
        Column(
            "actual_value",
            Kind.DOUBLE,
            "The newest value, in the metric's unit. NULL: beyond any number, with the reason in `metrics`.",
        ),
        Column("first_seen_at", Kind.TIMESTAMP, "Since when the condition has lasted.", nullable=False),
        Column("last_seen_at", Kind.TIMESTAMP, "Until when it was last seen to last.", nullable=False),
        Column(
            "occurrences",
            Kind.INTEGER,
            "How often it was seen: once when raised, and once with each newer figure.",
            nullable=False,
        ),
        Column("acknowledged", Kind.BOOLEAN, "Whether a person has taken it up.", nullable=False),
        Column("acknowledged_by", Kind.TEXT, "Who. NULL: nobody."),
        Column("acknowledged_at", Kind.TIMESTAMP, "When. NULL: not yet."),
        Column("resolved", Kind.BOOLEAN, "Whether it has ended.", nullable=False),
        Column("resolved_at", Kind.TIMESTAMP, "When it ended. NULL: not yet."),
        Column("resolution_notes", Kind.TEXT, "Why it ended. NULL: it has not."),
        Column(
            "actions_taken",
            Kind.JSONB,
            "What was done, oldest first: [{action, timestamp, by, result}].",
            nullable=False,
        ),
        Column("escalated", Kind.BOOLEAN, "Whether it was escalated.", nullable=False),
        Column("escalated_to", Kind.TEXT, "To whom. NULL: not escalated, or by the rule, which names nobody."),
        Column(
            "state",
            Kind.TEXT,
            "`open`, `escalated`, `acknowledged` or `resolved`: the last of them that holds.",
            nullable=False,
            is_generated=True,
        ),
        Column("created_at", Kind.TIMESTAMP, "When the row was written first.", nullable=False, is_generated=True),
        updated_at(),
    ),
)

ALERT_TABLES: tuple[Table, ...] = (ALERT_RULES, ALERTS_GENERATED)
