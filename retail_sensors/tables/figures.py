"""The figures of cameras and stores by hour and by day, and the key figures."""

from __future__ import annotations

from dataclasses import replace

from retail_sensors.tables.contract import Column, Kind, Table, hour_start, sensor_id, store_id, updated_at


def _traffic(subject: str) -> tuple[Column, ...]:
    missing = "Estimates of missing hours included. " + (
        "NULL: no camera of the scope answered for this time, nor is there an estimate."
        if subject == "store"
        else "NULL: neither measured nor estimated."
    )
    return (
        Column("total_entries", Kind.NUMERIC, f"People coming in over the entrance lines. {missing}", unit="people"),
        Column("total_exits", Kind.NUMERIC, f"People going out over the entrance lines. {missing}", unit="people"),
        Column("net_flow", Kind.NUMERIC, "total_entries - total_exits. NULL when one is.", unit="people"),
        Column(
            "passersby",
            Kind.NUMERIC,
            "In + Out over the passer-by lines, estimates included. NULL: none is configured, or neither measured nor estimated.",
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
            "running or that was estimated counts as expected and not as final.",
            nullable=False,
            unit="ratio",
        ),
        Column(
            "imputed_share",
            Kind.DOUBLE,
            "Estimated part of entries, exits and passers-by together, 0 to 1; of no people at all 1 where nothing was measured. "
            "NULL: there is no count.",
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
            "`counts`: `measured`, `provisional`, `estimated` from hours around it, `substituted` from other doors or days, "
            "`partial` or `missing`, the weakest of the row; then, for each column that is NULL, its reason.",
            nullable=False,
        ),
        updated_at(),
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
        "100 x entries over passers-by of the same measured open hours; not clipped, above 100 is flagged in `quality`. NULL: no "
        "passers-by, or no hour measured on every line.",
        unit="%",
    )


def _hours_beside(subject: str) -> tuple[Column, ...]:
    only = "" if subject == "store" else " NULL `store_level_only`: the store's doors hang on more than this camera."
    return (
        Column(
            "region_avg_occupancy",
            Kind.JSONB,
            "Mean number present in each region: detections a second x mean stay of the day. NULL without answers about stays.",
        ),
        Column("region_max_occupancy", Kind.JSONB, "NULL: a maximum needs a source at 1 min or finer."),
        Column(
            "region_utilization",
            Kind.JSONB,
            "Share of time with anybody in each region, at most: 1 - exp(-mean number); modelled. NULL as region_avg_occupancy.",
        ),
        Column(
            "entry_to_checkout_rate",
            Kind.DOUBLE,
            "100 x transactions over entries, not clipped. Without a till feed 100 x checkout detections that stay over 30 s over "
            "entries, then `proxy` in `quality`. NULL: a door is silent, or one of the checkouts." + only,
            unit="%",
        ),
        Column(
            "zone_conversion_rates",
            Kind.JSONB,
            "Detections entering each region per entry into the store; re-detections included, unbounded, not a conversion."
            + only,
        ),
        Column("max_heat_value", Kind.DOUBLE, "NULL: one heat value an hour exists.", unit="s"),
        Column("heat_variance", Kind.DOUBLE, "NULL: one heat value an hour exists."),
        Column(
            "traffic_efficiency_score",
            Kind.DOUBLE,
            "0 to 100: percentile rank of entries among the last 8 complete same hours of the week. NULL: fewer than 4 in 12 weeks.",
        ),
        Column(
            "queue_performance_score",
            Kind.DOUBLE,
            "100 x share of customers who wait at most the target, 0 when overloaded."
            if subject == "store"
            else "NULL `store_level_only`: it stands in `store_hourly`.",
        ),
    )


def _days_beside(subject: str) -> tuple[Column, ...]:
    only = "" if subject == "store" else " NULL `store_level_only`: the store's doors hang on more than this camera."
    return (
        Column(
            "overall_conversion_rate",
            Kind.DOUBLE,
            "100 x transactions over visitors of a complete day, not clipped. Without a till feed 100 x checkout detections that stay "
            "over 30 s over entries, then `proxy` in `quality`." + only,
            unit="%",
        ),
        Column(
            "bounce_rate",
            Kind.DOUBLE,
            "Short-stay share: 1 - S(10 s) of the entrance regions, weighted by detections. Not the share of people who visit no "
            "zone. NULL: one of these regions has no answer." + only,
            unit="ratio",
        ),
        Column(
            "avg_queue_length",
            Kind.DOUBLE,
            "Mean over the open hours of the modelled number waiting." + only,
            unit="people",
        ),
        Column(
            "max_queue_length", Kind.DOUBLE, "Highest hourly mean of the modelled number waiting." + only, unit="people"
        ),
        Column("queue_peak_time", Kind.TIME, "Local start of the hour with the longest modelled queue." + only),
        Column(
            "estimated_avg_wait_minutes", Kind.DOUBLE, "Mean modelled wait of a customer of the day." + only, unit="min"
        ),
        Column(
            "overall_performance_score",
            Kind.DOUBLE,
            "0 to 100: mean of at least two of: rank of entries and rank of conversion among the last 8 complete same weekdays "
            "without holiday, and 100 x share of customers who wait at most the target.",
        ),
    )


def _hourly_columns(key: Column, subject: str) -> tuple[Column, ...]:
    return (
        key,
        hour_start(),
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
            "Entrance line with most In + Out, the first on a tie. NULL: nobody crossed, or not measured on every line."
            + ("" if subject == "sensor" else " Written camera:line."),
        ),
        Column(
            "line_distribution",
            Kind.JSONB,
            "Share of each entrance line in the crossings, summing to 1. NULL: nobody crossed, not measured on every line, or some "
            "of it estimated.",
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
        *_hours_beside(subject),
        *_quality(),
    )


def _daily_columns(key: Column, subject: str) -> tuple[Column, ...]:
    return (
        key,
        Column("date", Kind.DATE, "The store's local calendar day.", nullable=False),
        Column(
            "total_visitors",
            Kind.NUMERIC,
            "Traffic of the open hours, estimates included. NULL: there is none.",
            unit="people",
        ),
        *_traffic(subject),
        _capture(),
        Column(
            "peak_hour",
            Kind.TIME,
            "Local start of the open hour with most traffic, the first on a tie; only measured hours, no estimates. NULL: none.",
        ),
        Column("peak_hour_traffic", Kind.NUMERIC, "Traffic of that hour.", unit="people"),
        Column(
            "off_peak_hour",
            Kind.TIME,
            "Local start of the open hour with least traffic, the first on a tie; only measured hours, no estimates. NULL: none.",
        ),
        Column("off_peak_traffic", Kind.NUMERIC, "Traffic of that hour.", unit="people"),
        Column(
            "hourly_distribution",
            Kind.JSONB,
            "Traffic by UTC hour start, 23 to 25 entries; null for an hour that was neither measured nor estimated.",
            nullable=False,
        ),
        Column(
            "busiest_regions", Kind.JSONB, "Regions ranked by detections, with their detections. NULL: not measured."
        ),
        Column(
            "line_usage_distribution",
            Kind.JSONB,
            "Share of each entrance line in the crossings of the day's measured hours. NULL: nobody crossed.",
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
        *_days_beside(subject),
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


HOURLY_ANALYTICS = Table(
    name="hourly_analytics",
    row="The figures of one camera in one hour; a missing hour is a row without counts.",
    key=("sensor_id", "hour_start"),
    time_column="hour_start",
    columns=_hourly_columns(sensor_id(), "sensor"),
)
STORE_HOURLY = Table(
    name="store_hourly",
    row="The figures of one store in one hour; a missing hour is a row without counts.",
    key=("store_id", "hour_start"),
    time_column="hour_start",
    columns=_hourly_columns(store_id(), "store"),
)
DAILY_ANALYTICS = Table(
    name="daily_analytics",
    row="The figures of one camera on one local day of its store, written when that day has ended.",
    key=("sensor_id", "date"),
    time_column="date",
    columns=_daily_columns(sensor_id(), "sensor"),
)
STORE_DAILY = Table(
    name="store_daily",
    row="The figures of one store on one of its local days, written when that day has ended.",
    key=("store_id", "date"),
    time_column="date",
    columns=_daily_columns(store_id(), "store"),
)

_BESIDE = frozenset(column.name for part in (_hours_beside, _days_beside) for column in part("store"))


def counts_of(table: Table) -> Table:
    """A table of hours or days without the columns that set counts beside something else: what counts alone give."""
    return replace(table, columns=tuple(column for column in table.columns if column.name not in _BESIDE))


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
            "What is usual, in the figure's unit. NULL: fewer than 4 comparable days, or a holiday, and fewer than 5 stores; or an "
            "incomplete day.",
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
        updated_at(),
    ),
)
