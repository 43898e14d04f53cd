"""What cameras said, what became of asking them, and what was set aside."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, hour_start, sensor_id, updated_at

_LINES = (1, 2, 3, 4)
_REGIONS = (1, 2, 3, 4)


def _reading_span() -> tuple[Column, ...]:
    return (
        sensor_id(),
        Column("timestamp", Kind.TIMESTAMP, "Start of the hour as an instant.", nullable=False),
        Column("end_time", Kind.TIMESTAMP, "End of the hour as an instant, exclusive.", nullable=False),
    )


def _reading_origin() -> tuple[Column, ...]:
    return (
        Column(
            "local_label",
            Kind.TEXT,
            "StartTime exactly as the camera wrote it: its local wall clock, without a zone.",
            nullable=False,
            is_bookkeeping=True,
        ),
        Column(
            "label_flag",
            Kind.TEXT,
            "What is uncertain about the label around a change of clocks: `ambiguous_first`, `ambiguous_second`, "
            "`ambiguous_single` (one row for an hour that happened twice) or `nonexistent`. NULL: nothing.",
        ),
        Column(
            "collected_at",
            Kind.TIMESTAMP,
            "When the camera was asked for the answer that gave this row its values.",
            nullable=False,
            is_bookkeeping=True,
        ),
        Column(
            "is_final",
            Kind.BOOLEAN,
            "Whether the hour and a settling time had passed on the camera's clock when it was asked; false: the "
            "values may still grow.",
            nullable=False,
        ),
        updated_at(),
    )


def _count(name: str, what: str) -> Column:
    return Column(name, Kind.INTEGER, f"{what} NULL: the camera left the cell empty.", unit="people", is_count=True)


PEOPLE_COUNTING_RAW = Table(
    name="people_counting_raw",
    row="What one camera counted over its lines in one of its local hours; never estimated.",
    key=("sensor_id", "timestamp"),
    time_column="timestamp",
    columns=(
        *_reading_span(),
        *(
            _count(f"line{line}_{way}", f"Crossings of line {line}, {sense} its arrow.")
            for line in _LINES
            for way, sense in (("in", "along"), ("out", "against"))
        ),
        *_reading_origin(),
        Column(
            "total_in",
            Kind.INTEGER,
            "Sum of the four In counts. NULL: one is missing.",
            unit="people",
            is_generated=True,
        ),
        Column(
            "total_out",
            Kind.INTEGER,
            "Sum of the four Out counts. NULL: one is missing.",
            unit="people",
            is_generated=True,
        ),
        Column(
            "net_flow", Kind.INTEGER, "total_in - total_out. NULL: one is missing.", unit="people", is_generated=True
        ),
    ),
)

REGIONAL_COUNTING_RAW = Table(
    name="regional_counting_raw",
    row="How often one camera saw people enter its regions in one of its local hours; re-detections included.",
    key=("sensor_id", "timestamp"),
    time_column="timestamp",
    columns=(
        *_reading_span(),
        *(_count(f"region{region}_count", f"Detections entering region {region}.") for region in _REGIONS),
        *_reading_origin(),
        Column(
            "total_regional_count",
            Kind.INTEGER,
            "Sum of the regions that the camera reported. NULL: it reported none.",
            unit="detections",
            is_generated=True,
        ),
    ),
)

HEATMAP_TEMPORAL_RAW = Table(
    name="heatmap_temporal_raw",
    row="The heat value of one camera's view in one of its local hours, as the camera said it.",
    key=("sensor_id", "timestamp"),
    time_column="timestamp",
    columns=(
        *_reading_span(),
        Column(
            "heat_value",
            Kind.DOUBLE,
            "Seconds of presence summed over people, times the camera's `heat_scale`. NULL: the cell was empty.",
            unit="s",
            is_count=True,
        ),
        *_reading_origin(),
    ),
)


def _alarm_flag(name: str, what: str) -> Column:
    return Column(name, Kind.INTEGER, f"{what} NULL: the camera did not say.")


VCA_ALARM_STATUS = Table(
    name="vca_alarm_status",
    row="One reading of one camera's alarm flags and running counters; a reading of now, there is no history.",
    key=("sensor_id", "timestamp"),
    time_column="timestamp",
    columns=(
        sensor_id(),
        Column("timestamp", Kind.TIMESTAMP, "The instant of the reading.", nullable=False),
        _alarm_flag("region_entrance_alarm_status", "1 while the region entrance alarm is raised."),
        _alarm_flag("region_exit_alarm_status", "1 while the region exit alarm is raised."),
        _alarm_flag("counter_alarm_status", "1 while the counter alarm is raised."),
        *(
            _alarm_flag(
                f"region{region}_{way}_alarm", f"1 while the alarm on people going {way} of region {region} is raised."
            )
            for region in _REGIONS
            for way in ("in", "out")
        ),
        Column(
            "current_in_count",
            Kind.INTEGER,
            "In over all lines since the counter's reset. NULL: not said.",
            unit="people",
        ),
        Column(
            "current_out_count",
            Kind.INTEGER,
            "Out over all lines since the counter's reset. NULL: not said.",
            unit="people",
        ),
        Column("current_sum_count", Kind.INTEGER, "In + Out since the counter's reset. NULL: not said.", unit="people"),
        Column(
            "current_capacity_count", Kind.INTEGER, "In - Out since the counter's reset. NULL: not said.", unit="people"
        ),
        _alarm_flag("current_counter_alarm", "Bits of the raised counter alarms: 1 in, 2 out, 4 capacity, 8 sum."),
        Column("extra", Kind.JSONB, "Keys that this table has no column for, as the camera wrote them. NULL: none."),
        updated_at(),
    ),
)

COLLECTION_LOG = Table(
    name="collection_log",
    row="What became of asking one camera for one hour of one endpoint (of one that is asked by the day: its first hour), the "
    "last time it was asked.",
    key=("sensor_id", "endpoint", "hour_start"),
    time_column="hour_start",
    columns=(
        sensor_id(),
        Column(
            "endpoint",
            Kind.TEXT,
            "`people_counting`, `regional_counting`, `heatmap_temporal`, `vca_alarm_status`, `region_stays` or `spatial_heatmap`.",
            nullable=False,
        ),
        hour_start(),
        Column(
            "outcome",
            Kind.TEXT,
            "`ok`, `ok_with_rejects`, `no_rows` (answered, but not for this hour), `beyond_retention`, or why there was no "
            "answer (`refused`, `timeout`, ...).",
            nullable=False,
        ),
        Column("http_status", Kind.INTEGER, "Status of the last try. NULL: no HTTP answer came."),
        Column(
            "row_count", Kind.INTEGER, "Rows that the answer gave for this hour: 0 or 1.", nullable=False, unit="rows"
        ),
        Column(
            "rejected_count",
            Kind.INTEGER,
            "Rows of the whole answer that were quarantined.",
            nullable=False,
            unit="rows",
        ),
        Column("latency_ms", Kind.DOUBLE, "Duration of the last try. NULL: nothing was sent.", unit="ms"),
        Column("attempts", Kind.INTEGER, "Tries that this question took.", nullable=False),
        Column("error", Kind.TEXT, "What went wrong, in a sentence. NULL: nothing."),
        Column(
            "clock_offset_seconds",
            Kind.DOUBLE,
            "The camera's clock minus ours, from its Date header. NULL: it sent none.",
            unit="s",
        ),
        Column("asked_at", Kind.TIMESTAMP, "When the question was asked.", nullable=False),
        Column("run_id", Kind.TEXT, "The Dagster run that asked. NULL: asked outside of a run."),
        Column(
            "last_success_at",
            Kind.TIMESTAMP,
            "When the camera last answered for this hour; a later failure leaves it. NULL: never.",
            is_generated=True,
        ),
    ),
)

REJECTED_PAYLOADS = Table(
    name="rejected_payloads",
    row="A row or body of one camera that could not be taken as data, with the reason; kept to be replayed.",
    key=("sensor_id", "endpoint", "payload_hash"),
    columns=(
        sensor_id(),
        Column("endpoint", Kind.TEXT, "The endpoint that was asked.", nullable=False),
        Column("payload_hash", Kind.TEXT, "SHA-256 of the payload and its reason, hexadecimal.", nullable=False),
        Column("local_day", Kind.DATE, "The camera's local day that was asked for. NULL: a reading of now."),
        Column("reason", Kind.TEXT, "Why it was refused, in a sentence.", nullable=False),
        Column("raw", Kind.BYTEA, "The bytes as they came, at most 64 KiB of them.", nullable=False),
        Column("received_at", Kind.TIMESTAMP, "When it first came.", nullable=False, is_bookkeeping=True),
        Column(
            "run_id", Kind.TEXT, "The Dagster run in which it first came. NULL: outside of a run.", is_bookkeeping=True
        ),
    ),
)

RAW_REVISIONS = Table(
    name="raw_revisions",
    row="A reading that disagreed downwards with the one already stored: what was kept and what was set aside.",
    key=("table_name", "sensor_id", "timestamp", "reading_hash"),
    time_column="timestamp",
    columns=(
        Column("table_name", Kind.TEXT, "The raw table.", nullable=False),
        sensor_id(),
        Column("timestamp", Kind.TIMESTAMP, "The hour's start.", nullable=False),
        Column("reading_hash", Kind.TEXT, "MD5 of the reading set aside and of what was done with it.", nullable=False),
        Column(
            "action",
            Kind.TEXT,
            "`refused`: the lower new reading was set aside; `overwritten`: a run with `overwrite: true` stored it and the former "
            "one was set aside.",
            nullable=False,
        ),
        Column("kept", Kind.JSONB, "The values that stand in the table.", nullable=False),
        Column("set_aside", Kind.JSONB, "The values that do not.", nullable=False),
        Column("run_id", Kind.TEXT, "The Dagster run. NULL: outside of a run."),
        Column("recorded_at", Kind.TIMESTAMP, "When this revision was first seen.", nullable=False, is_generated=True),
    ),
)
