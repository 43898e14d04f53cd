"""What the cameras count by the minute.

The documents' `realtime_analytics` and `counting_results` are this one table. What a counter cannot give is left out: density
needs the area of what is in view, and accuracies need somebody who counted beside the camera. How a value is made belongs in
`analytics.realtime`.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, sensor_id, updated_at

REALTIME_ANALYTICS = Table(
    name="realtime_analytics",
    row="What one camera counted between two readings of its running counters, a minute as a rule, and how full its store was then.",
    key=("sensor_id", "period_end"),
    time_column="period_end",
    columns=(
        sensor_id(),
        Column(
            "period_end", Kind.TIMESTAMP, "The instant of the reading, `vca_alarm_status.timestamp`.", nullable=False
        ),
        Column(
            "period_start",
            Kind.TIMESTAMP,
            "The instant of the reading before: after a gap the period is longer than a minute. NULL: there is none.",
        ),
        Column(
            "entries",
            Kind.INTEGER,
            "People who came in through the camera's entrance lines. NULL with the reason in `quality`.",
            unit="people",
        ),
        Column(
            "exits",
            Kind.INTEGER,
            "People who left through the camera's entrance lines. NULL with the reason in `quality`.",
            unit="people",
        ),
        Column(
            "net_count",
            Kind.INTEGER,
            "Entries - exits of this camera since the store's occupancy reset; under 0 at a door that is mostly left by. NULL with "
            "the reason in `quality`.",
            unit="people",
        ),
        Column(
            "current_count",
            Kind.INTEGER,
            "People inside the camera's store: `net_count` of all its entrance cameras together, not under 0. NULL with the reason "
            "in `quality`.",
            unit="people",
        ),
        Column(
            "current_occupancy_percent",
            Kind.DOUBLE,
            "`current_count` in percent of the store's capacity. NULL with the reason in `quality`.",
            unit="%",
        ),
        Column(
            "count_trend",
            Kind.TEXT,
            "`increasing` or `decreasing` where `current_count` differs from a quarter of an hour before by three people and a "
            "tenth, else `stable`. NULL with the reason in `quality`.",
        ),
        Column(
            "peak_count",
            Kind.INTEGER,
            "Highest `current_count` since the store's occupancy reset. NULL: none is known.",
            unit="people",
        ),
        Column("peak_timestamp", Kind.TIMESTAMP, "When that was first reached. NULL: no peak is known."),
        Column(
            "average_count",
            Kind.DOUBLE,
            "Mean of `current_count` over `observed_minutes`. NULL: they are 0.",
            unit="people",
        ),
        Column(
            "observed_minutes",
            Kind.DOUBLE,
            "Minutes since the store's occupancy reset between readings at most 15 minutes apart that both have a `current_count`.",
            nullable=False,
            unit="min",
        ),
        Column(
            "hourly_count",
            Kind.INTEGER,
            "Entries in the camera's local hour so far. NULL with the reason in `quality`.",
            unit="people",
        ),
        Column(
            "daily_count",
            Kind.INTEGER,
            "Entries on the store's local day so far. NULL with the reason in `quality`.",
            unit="people",
        ),
        Column("latency_ms", Kind.DOUBLE, "How long the camera took to answer. NULL: not measured.", unit="ms"),
        Column(
            "quality",
            Kind.JSONB,
            "For each column that is NULL or noted, its reason; `running_hour`: as of the hour's last collection, up to 10 minutes "
            "before; `counted_from_zero`: the counter was reset in the period.",
            nullable=False,
        ),
        updated_at(),
    ),
)

REALTIME_TABLES: tuple[Table, ...] = (REALTIME_ANALYTICS,)
