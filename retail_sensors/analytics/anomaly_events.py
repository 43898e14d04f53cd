"""One row per anomaly: the columns of what `anomalies.detect` gives, their units, and what NULL means. No rules."""

from __future__ import annotations

from retail_sensors.tables import Column, Kind, Table

EVENTS = Table(
    name="anomalies_detected",
    row="One event in the counts of one series: what was expected, what came, how sure, why perhaps and what to do.",
    key=("series", "anomaly_type", "affected_metric", "started_at"),
    time_column="started_at",
    columns=(
        Column("series", Kind.TEXT, "The series as `history` names it.", nullable=False),
        Column("detected_at", Kind.TIMESTAMP, "End of the slot or day whose evidence sufficed.", nullable=False),
        Column("started_at", Kind.TIMESTAMP, "Start of the first slot of the event.", nullable=False),
        Column("ended_at", Kind.TIMESTAMP, "End of the last slot of the event so far, exclusive.", nullable=False),
        Column(
            "anomaly_type",
            Kind.TEXT,
            "`traffic_spike`, `traffic_drop`, `unusual_pattern`, `sensor_issue` or `data_gap`.",
            nullable=False,
        ),
        Column("severity", Kind.DOUBLE, "0 to 1, from the tail of the event or the length of a gap.", nullable=False),
        Column("confidence", Kind.DOUBLE, "1 - p x slots per week, 0 to 1.", nullable=False),
        Column(
            "affected_metric",
            Kind.TEXT,
            "`value`, `in_count`, `out_count`, `day_shape_hours`, `in_out_residual`, or `all`: every count of the series.",
            nullable=False,
        ),
        Column("affected_component", Kind.TEXT, "Component of the series, such as `line1`. NULL: the whole of it."),
        Column(
            "expected_value", Kind.DOUBLE, "Expected total of the event. NULL: no baseline yet, or directions swapped."
        ),
        Column(
            "actual_value", Kind.DOUBLE, "Counted total of the event. NULL: nothing was counted, or directions swapped."
        ),
        Column("deviation_percent", Kind.DOUBLE, "NULL: less than 1 was expected, or a value is NULL.", unit="%"),
        Column("deviation_stddev", Kind.DOUBLE, "Standard deviations from the expected value. NULL: when a value is."),
        Column("context", Kind.JSONB, "Slots, fault, threshold, holiday and the like, by name.", nullable=False),
        Column("potential_causes", Kind.JSONB, "Array of texts, a holiday first.", nullable=False),
        Column("recommended_actions", Kind.JSONB, "Array of texts.", nullable=False),
        Column("auto_resolved", Kind.BOOLEAN, "Whether 3 normal slots have followed.", nullable=False),
        Column(
            "manual_review_required",
            Kind.BOOLEAN,
            "Whether a person has to look: a sensor issue, a gap over 24 h, or a confidence under 0.5.",
            nullable=False,
        ),
    ),
)
"""What `detect` gives: the documents' columns, with the series and the span of the event."""
