"""The contract of every table: columns, types, units, keys, and what NULL means.

The IO manager refuses a frame that breaks it, Dagster's column schemas and `docs/tables.md` are made from it, and a
test compares it with the migrated database column by column. DDL belongs in `sql/`, formulas in `analytics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """A column's type: its Postgres name, and the dtype that it has in a frame, nullable throughout.

    In frames a UUID and a JSON value are text, a date is `datetime.date`, a time `datetime.time`, bytes are `bytes`.
    """

    UUID = ("uuid", "string")
    TEXT = ("text", "string")
    INTEGER = ("integer", "Int64")
    BIGINT = ("bigint", "Int64")
    NUMERIC = ("numeric", "Float64")
    DOUBLE = ("double precision", "Float64")
    BOOLEAN = ("boolean", "boolean")
    TIMESTAMP = ("timestamp with time zone", "datetime64[us, UTC]")
    DATE = ("date", "object")
    TIME = ("time without time zone", "object")
    JSONB = ("jsonb", "string")
    BYTEA = ("bytea", "object")

    def __init__(self, postgres: str, pandas: str) -> None:
        self.postgres = postgres
        self.pandas = pandas


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `description` says what the value is, its unit, and what NULL means where NULL is allowed.

    `is_count` marks a value that only grows while its hour runs: automatic collection never lowers it.
    `is_bookkeeping` marks a column that does not make a row different: a row that differs only there is left alone.
    `is_generated` marks a column that Postgres computes: it is loaded, never written.
    """

    name: str
    kind: Kind
    description: str
    nullable: bool = True
    unit: str | None = None
    is_count: bool = False
    is_bookkeeping: bool = False
    is_generated: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table of schema `retail`. `row` says what one row is; `key` is the natural primary key.

    `time_column` is the column that Dagster partitions and native partitions go by.
    """

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    time_column: str | None = None

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if the table has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}")

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in the order of the table."""
        return tuple(column.name for column in self.columns)

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns that a frame must bring: all but the generated ones."""
        return tuple(column for column in self.columns if not column.is_generated)


_LINES = (1, 2, 3, 4)
_REGIONS = (1, 2, 3, 4)


def _sensor_id() -> Column:
    return Column("sensor_id", Kind.UUID, "The camera, `sensor_metadata.id`.", nullable=False)


def _updated_at() -> Column:
    return Column(
        "updated_at",
        Kind.TIMESTAMP,
        "When a value of this row last changed; an identical re-run leaves it alone.",
        nullable=False,
        is_bookkeeping=True,
        is_generated=True,
    )


def _hour_start() -> Column:
    return Column(
        "hour_start",
        Kind.TIMESTAMP,
        "Start of the camera's local hour as an instant; half past in zones with a half-hour offset.",
        nullable=False,
    )


def _reading_span() -> tuple[Column, ...]:
    return (
        _sensor_id(),
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
        _updated_at(),
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
        _sensor_id(),
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
        _updated_at(),
    ),
)

COLLECTION_LOG = Table(
    name="collection_log",
    row="What became of asking one camera for one hour of one endpoint, the last time it was asked.",
    key=("sensor_id", "endpoint", "hour_start"),
    time_column="hour_start",
    columns=(
        _sensor_id(),
        Column(
            "endpoint",
            Kind.TEXT,
            "`people_counting`, `regional_counting`, `heatmap_temporal` or `vca_alarm_status`.",
            nullable=False,
        ),
        _hour_start(),
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
        _sensor_id(),
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
    columns=(
        Column("table_name", Kind.TEXT, "The raw table.", nullable=False),
        _sensor_id(),
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


def _traffic(subject: str) -> tuple[Column, ...]:
    missing = "NULL: no camera of the scope answered for this time." if subject == "store" else "NULL: not measured."
    return (
        Column("total_entries", Kind.NUMERIC, f"People coming in over the entrance lines. {missing}", unit="people"),
        Column("total_exits", Kind.NUMERIC, f"People going out over the entrance lines. {missing}", unit="people"),
        Column("net_flow", Kind.NUMERIC, "total_entries - total_exits. NULL when one is.", unit="people"),
        Column(
            "passersby",
            Kind.NUMERIC,
            "In + Out over the passer-by lines. NULL: none is configured, or not measured.",
            unit="people",
        ),
        Column(
            "traffic",
            Kind.NUMERIC,
            "Entries, exits or their mean, as the store's `traffic_basis` says. NULL when an input is.",
            unit="people",
        ),
    )


def _quality() -> tuple[Column, ...]:
    return (
        Column(
            "data_completeness",
            Kind.DOUBLE,
            "Hours with final counts over hours expected, over all entrance cameras of the scope, 0 to 1. An hour that is still "
            "running counts as expected and not yet as final.",
            nullable=False,
            unit="ratio",
        ),
        Column(
            "is_provisional",
            Kind.BOOLEAN,
            "Whether a counted hour may still grow, or an occupancy figure will be corrected at the end of its day.",
            nullable=False,
        ),
        Column(
            "quality",
            Kind.JSONB,
            "`counts`: `measured`, `partial`, `provisional` or `missing`; then, for each column that is NULL, its reason.",
            nullable=False,
        ),
        _updated_at(),
    )


def _occupancy() -> tuple[Column, ...]:
    return (
        Column(
            "avg_occupancy",
            Kind.DOUBLE,
            "Time mean of the drift-corrected number of people inside. NULL with the reason in `quality`.",
            unit="people",
        ),
        Column(
            "peak_occupancy",
            Kind.DOUBLE,
            "Highest drift-corrected number of people inside at an hour's end, a lower bound. NULL with the reason in `quality`.",
            unit="people",
        ),
        Column(
            "utilization",
            Kind.DOUBLE,
            "avg_occupancy over the store's capacity. NULL without a capacity or an occupancy.",
            unit="ratio",
        ),
    )


def _capture() -> Column:
    return Column(
        "capture_rate_percent",
        Kind.DOUBLE,
        "100 x entries over passers-by of the same open hours; not clipped, above 100 is flagged in `quality`. NULL: no passers-by.",
        unit="%",
    )


def _hourly_columns(key: Column, subject: str) -> tuple[Column, ...]:
    return (
        key,
        _hour_start(),
        *_traffic(subject),
        Column(
            "is_open",
            Kind.BOOLEAN,
            "Whether the hour overlaps the opening hours; true where none are configured.",
            nullable=False,
        ),
        Column(
            "visitors", Kind.NUMERIC, "Traffic of an open hour, 0 in a closed one. NULL when traffic is.", unit="people"
        ),
        _capture(),
        *_occupancy(),
        Column(
            "busiest_line",
            Kind.INTEGER if subject == "sensor" else Kind.TEXT,
            "Entrance line with most In + Out, the first on a tie. NULL: nobody crossed, or not measured."
            + ("" if subject == "sensor" else " Written camera:line."),
        ),
        Column(
            "line_distribution",
            Kind.JSONB,
            "Share of each entrance line in the crossings, summing to 1. NULL: nobody crossed, or not measured.",
        ),
        Column(
            "region_counts", Kind.JSONB, "Detections entering each region, re-detections included. NULL: not measured."
        ),
        Column(
            "avg_heat_value",
            Kind.DOUBLE,
            "Seconds of presence in view summed over people, after `heat_scale`. NULL: not measured.",
            unit="s",
        ),
        Column(
            "heat_seconds_per_passage",
            Kind.DOUBLE,
            "Heat over all crossings. NULL: nobody crossed, or not measured.",
            unit="s",
        ),
        *_quality(),
    )


def _daily_columns(key: Column, subject: str) -> tuple[Column, ...]:
    return (
        key,
        Column("date", Kind.DATE, "The store's local calendar day.", nullable=False),
        Column("total_visitors", Kind.NUMERIC, "Traffic of the open hours. NULL: no hour was measured.", unit="people"),
        *_traffic(subject),
        _capture(),
        Column(
            "peak_hour",
            Kind.TIME,
            "Local start of the open hour with most traffic, the first on a tie. NULL: none measured.",
        ),
        Column("peak_hour_traffic", Kind.NUMERIC, "Traffic of that hour.", unit="people"),
        Column(
            "off_peak_hour",
            Kind.TIME,
            "Local start of the open hour with least traffic, the first on a tie. NULL: none measured.",
        ),
        Column("off_peak_traffic", Kind.NUMERIC, "Traffic of that hour.", unit="people"),
        Column(
            "hourly_distribution",
            Kind.JSONB,
            "Traffic by UTC hour start, 23 to 25 entries; null for an hour that was not measured.",
            nullable=False,
        ),
        Column(
            "busiest_regions", Kind.JSONB, "Regions ranked by detections, with their detections. NULL: not measured."
        ),
        Column(
            "line_usage_distribution",
            Kind.JSONB,
            "Share of each entrance line in the day's crossings. NULL: nobody crossed.",
        ),
        *_occupancy(),
        Column(
            "avg_dwell_time_minutes",
            Kind.DOUBLE,
            "Mean stay by Little's law: person-minutes inside over the larger of entries and exits of the day that runs from reset "
            "to reset. NULL with the reason in `quality`.",
            unit="min",
        ),
        Column(
            "in_out_residual",
            Kind.DOUBLE,
            "(entries - exits) / max(entries, exits) from reset to reset, -1 to 1: how far the doors disagree. NULL: incomplete day.",
            unit="ratio",
        ),
        Column(
            "dow_avg_comparison",
            Kind.DOUBLE,
            "Change of visitors against the mean of the last 8 complete same weekdays, at least 4.",
            unit="%",
        ),
        Column("wow_change_percent", Kind.DOUBLE, "Change of visitors against 7 days before.", unit="%"),
        Column("mom_change_percent", Kind.DOUBLE, "Change of visitors against 4 weeks (28 days) before.", unit="%"),
        Column("yoy_change_percent", Kind.DOUBLE, "Change of visitors against 52 weeks (364 days) before.", unit="%"),
        Column(
            "data_quality_score",
            Kind.DOUBLE,
            "100 x completeness x (1 - min(1, |in_out_residual|)). NULL without a residual.",
        ),
        *_quality(),
    )


_STORE_ID = Column("store_id", Kind.UUID, "The store, `stores.id`.", nullable=False)

HOURLY_ANALYTICS = Table(
    name="hourly_analytics",
    row="The figures of one camera in one hour; a missing hour is a row without counts.",
    key=("sensor_id", "hour_start"),
    time_column="hour_start",
    columns=_hourly_columns(_sensor_id(), "sensor"),
)
STORE_HOURLY = Table(
    name="store_hourly",
    row="The figures of one store in one hour; a missing hour is a row without counts.",
    key=("store_id", "hour_start"),
    time_column="hour_start",
    columns=_hourly_columns(_STORE_ID, "store"),
)
DAILY_ANALYTICS = Table(
    name="daily_analytics",
    row="The figures of one camera on one local day of its store, written when that day has ended.",
    key=("sensor_id", "date"),
    time_column="date",
    columns=_daily_columns(_sensor_id(), "sensor"),
)
STORE_DAILY = Table(
    name="store_daily",
    row="The figures of one store on one of its local days, written when that day has ended.",
    key=("store_id", "date"),
    time_column="date",
    columns=_daily_columns(_STORE_ID, "store"),
)

KPI_METRICS = Table(
    name="kpi_metrics",
    row="One key figure of one store on one of its local days, beside what is usual; no row without a value.",
    key=("scope", "scope_id", "date", "metric_name"),
    time_column="date",
    columns=(
        Column("scope", Kind.TEXT, "`store`.", nullable=False),
        Column("scope_id", Kind.UUID, "The store, `stores.id`.", nullable=False),
        Column("date", Kind.DATE, "The store's local calendar day.", nullable=False),
        Column("metric_name", Kind.TEXT, "Name of the figure.", nullable=False),
        Column("metric_value", Kind.DOUBLE, "The figure.", nullable=False),
        Column(
            "metric_unit", Kind.TEXT, "Its unit; `currency` is that of the till feed, `1`: a number.", nullable=False
        ),
        Column("category", Kind.TEXT, "`traffic`, `conversion`, `efficiency`, `queue` or `revenue`.", nullable=False),
        Column("subcategory", Kind.TEXT, "What of it.", nullable=False),
        Column(
            "benchmark_value",
            Kind.DOUBLE,
            "What is usual, in the figure's unit. NULL: fewer than 4 comparable days and than 5 stores, or an incomplete day.",
        ),
        Column(
            "benchmark_source",
            Kind.TEXT,
            "`own_history`: median of the last 8 comparable days; `peer_stores`: median of the organization's stores that day.",
        ),
        Column(
            "performance_score",
            Kind.DOUBLE,
            "0 to 100: percentile rank among the last 8 comparable days, 100 the best; the sign turned for wait, queue and short "
            "stays. NULL: fewer than 4, or the day is itself incomplete or a holiday.",
        ),
        Column(
            "trend",
            Kind.TEXT,
            "`improving`, `stable` or `declining`: whether the last 8 comparable days, this one included, change by more than 1 % a "
            "day. NULL: fewer than 4.",
        ),
        _updated_at(),
    ),
)

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
        _updated_at(),
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
        Column("capabilities", Kind.JSONB, "What the last probe found, by capability. NULL: never probed."),
        Column("last_seen_at", Kind.TIMESTAMP, "When it last answered. NULL: never.", is_generated=True),
        Column(
            "clock_offset_seconds",
            Kind.DOUBLE,
            "Its clock minus ours as last seen. NULL: never said.",
            unit="s",
            is_generated=True,
        ),
        Column("created_at", Kind.TIMESTAMP, "When it was registered.", nullable=False, is_generated=True),
        _updated_at(),
    ),
)
COUNTING_LINES = Table(
    name="counting_lines",
    row="What one line of one camera stands for in the store.",
    key=("sensor_id", "line_number"),
    columns=(
        _sensor_id(),
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
        _sensor_id(),
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

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        ORGANIZATIONS,
        STORES,
        SENSOR_METADATA,
        COUNTING_LINES,
        REGION_CONFIGURATIONS,
        PEOPLE_COUNTING_RAW,
        REGIONAL_COUNTING_RAW,
        HEATMAP_TEMPORAL_RAW,
        VCA_ALARM_STATUS,
        COLLECTION_LOG,
        REJECTED_PAYLOADS,
        RAW_REVISIONS,
        HOURLY_ANALYTICS,
        STORE_HOURLY,
        DAILY_ANALYTICS,
        STORE_DAILY,
        KPI_METRICS,
    )
}
"""Every table of schema `retail`, by name, parents before children."""
