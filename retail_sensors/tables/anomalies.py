"""What stood out in the counts: the table of anomalies, and the frame of events that it is made of.

How an event is found belongs in `analytics.anomalies`, which series a camera has in `analytics.anomaly_cameras`.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, sensor_id, updated_at

ANOMALY_TYPES = ("traffic_spike", "traffic_drop", "unusual_pattern", "sensor_issue", "data_gap")

_SPAN = (
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
)
_FIGURES = (
    Column(
        "expected_value",
        Kind.DOUBLE,
        "Expected total of the event, in people; of a day's shape hours, of a residual a share. NULL: no baseline yet, or "
        "directions swapped.",
    ),
    Column(
        "actual_value",
        Kind.DOUBLE,
        "Counted total of the event, as expected_value. NULL: nothing was counted, or directions swapped.",
    ),
    Column("deviation_percent", Kind.DOUBLE, "NULL: less than 1 was expected, or a value is NULL.", unit="%"),
    Column(
        "deviation_stddev",
        Kind.DOUBLE,
        "Standard deviations from the expected value. NULL: when a value is, or it is the sum of both directions.",
    ),
    Column("context", Kind.JSONB, "Slots, fault, threshold, holiday and the like, by name.", nullable=False),
    Column("potential_causes", Kind.JSONB, "Array of texts, a holiday first.", nullable=False),
    Column("recommended_actions", Kind.JSONB, "Array of texts.", nullable=False),
    Column(
        "auto_resolved",
        Kind.BOOLEAN,
        "Whether 3 normal slots have followed; after an imbalance or a swap of directions slots of a whole day with enough people.",
        nullable=False,
    ),
    Column(
        "manual_review_required",
        Kind.BOOLEAN,
        "Whether a person has to look: a sensor issue, a gap over 24 h, or a confidence under 0.5.",
        nullable=False,
    ),
)

EVENTS = Table(
    name="events",
    row="One event in the counts of one series: what was expected, what came, how sure, why perhaps and what to do.",
    key=("series", "affected_component", "anomaly_type", "affected_metric", "started_at"),
    time_column="started_at",
    columns=(
        Column("series", Kind.TEXT, "The series as `history` names it.", nullable=False),
        *_SPAN,
        Column(
            "affected_metric",
            Kind.TEXT,
            "`value`, `in_count`, `out_count`, `day_shape_hours`, `in_out_residual`, or `all`: every count of the series.",
            nullable=False,
        ),
        Column("affected_component", Kind.TEXT, "Component of the series, such as `line1`. NULL: the whole of it."),
        *_FIGURES,
    ),
)
"""A frame that no table holds: what `analytics.anomalies.detect` says of any series, cameras or not."""

ANOMALIES_DETECTED = Table(
    name="anomalies_detected",
    row="One event in the counts of one camera: what was expected, what came, how sure, why perhaps and what to do.",
    key=("sensor_id", "anomaly_type", "affected_metric", "started_at"),
    time_column="date",
    columns=(
        sensor_id(),
        Column("date", Kind.DATE, "The store's local calendar day on which the event started.", nullable=False),
        *_SPAN,
        Column(
            "affected_metric",
            Kind.TEXT,
            "`total_entries`, `total_exits`, `passersby` of a camera without entrance lines, `day_shape_hours`, `in_out_residual`, or "
            "`all`: whatever the camera counts. Of one line of several: `line1_in`, `line1_out`, or `line1`: both.",
            nullable=False,
        ),
        Column(
            "affected_component",
            Kind.TEXT,
            "The line, such as `line1`, where the camera has one entrance line or the event lies in one of several. NULL: all "
            "entrance lines together.",
        ),
        *_FIGURES,
        Column(
            "quality",
            Kind.JSONB,
            "For each of expected_value, actual_value, deviation_percent and deviation_stddev that is NULL, its reason.",
            nullable=False,
        ),
        Column(
            "review_notes",
            Kind.TEXT,
            "What a person found out about the event; no run writes it, and an event with notes is never deleted. NULL: "
            "nobody has written yet.",
            is_generated=True,
        ),
        updated_at(),
    ),
)

ANOMALY_TABLES: tuple[Table, ...] = (ANOMALIES_DETECTED,)
