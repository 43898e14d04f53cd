"""Views of schema `retail`: names that readers look for, over tables that stand elsewhere. Their SQL stands in `sql/views/`."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, View, sensor_id, store_id

_HOUR = Column("timestamp", Kind.TIMESTAMP, "Start of the hour as an instant.")
_QUALITY = Column(
    "quality", Kind.JSONB, "For each column that is NULL its reason, and `modelled` for each that is modelled."
)
_NO_TRACKS = "NULL: only tracks of persons show it (`no_tracks`)."

UNIFIED_STORE_METRICS = View(
    name="unified_store_metrics",
    row="One store in one hour, over all of its cameras and regions.",
    key=("store_id", "timestamp"),
    columns=(
        store_id(),
        _HOUR,
        Column("total_occupancy", Kind.INTEGER, "Mean number of people inside, rounded.", unit="people"),
        Column("total_entries", Kind.INTEGER, "People coming in, rounded.", unit="people"),
        Column("total_exits", Kind.INTEGER, "People going out, rounded.", unit="people"),
        Column(
            "zone_occupancy",
            Kind.JSONB,
            "Mean number present by region, written camera:region, with its number where two of a camera bear one name; modelled. "
            "NULL: no region's stay is known, or the day has not ended.",
        ),
        Column("active_zones", Kind.INTEGER, "Regions with detections. NULL: no camera reported regions."),
        Column(
            "crowded_zones",
            Kind.JSONB,
            "Regions whose mean number present is over 0.9 of their capacity; modelled. NULL: no region has both.",
        ),
        Column("inter_camera_transitions", Kind.INTEGER, "NULL: modelled by day only, in `camera_flow_matrix`."),
        Column("avg_journey_time_minutes", Kind.DOUBLE, _NO_TRACKS, unit="min"),
        Column("completion_rate", Kind.DOUBLE, _NO_TRACKS, unit="ratio"),
        Column("active_cameras", Kind.INTEGER, "Cameras with valid counts in the hour."),
        Column(
            "camera_sync_delay_ms",
            Kind.BIGINT,
            "Largest distance of a camera's clock from ours when it was last asked for the hour. NULL: none told its time.",
            unit="ms",
        ),
        Column(
            "data_quality_score",
            Kind.DOUBLE,
            "100 x the hour's completeness x (1 - min(1, |in_out_residual| of its day)). NULL without a residual.",
        ),
        _QUALITY,
    ),
)
CAMERA_COORDINATION_STATUS = View(
    name="camera_coordination_status",
    row="How well the cameras of one store told the same hour.",
    key=("store_id", "timestamp"),
    columns=(
        store_id(),
        _HOUR,
        Column(
            "sync_status",
            Kind.TEXT,
            "`synchronized`: clocks within 120 s and completeness at least 0.9; `failed`: completeness under 0.5; else `degraded`. "
            "NULL: complete, and no camera told its time.",
        ),
        Column(
            "max_sync_delay_ms",
            Kind.BIGINT,
            "Largest distance of a camera's clock from ours when it was last asked for the hour. NULL: none told its time.",
            unit="ms",
        ),
        Column("cameras_in_sync", Kind.INTEGER, "Cameras with valid counts and a clock within 120 s."),
        Column("cameras_total", Kind.INTEGER, "Cameras that were expected to count in the hour."),
        Column("data_completeness_score", Kind.DOUBLE, "Mean completeness of these cameras, 0 to 1.", unit="ratio"),
        Column("missing_data_cameras", Kind.JSONB, "Names of those without valid counts."),
        Column("processing_time_ms", Kind.INTEGER, "NULL: only video is processed (`no_video`).", unit="ms"),
        Column("coordination_efficiency", Kind.DOUBLE, "cameras_in_sync over cameras_total.", unit="ratio"),
        _QUALITY,
    ),
)

_NAME = Column("sensor_name", Kind.TEXT, "The camera's name.")
_OF_STORE = Column("store_id", Kind.UUID, "The camera's store, `stores.id`.")
_CAMERA = Column("camera_id", Kind.UUID, "The camera, `sensor_metadata.id`.")

HISTORICAL_ANALYTICS = View(
    name="historical_analytics",
    row="One camera in one hour, day, week (from Monday) or month, by its store's own clock.",
    key=("camera_id", "time_period", "period_start"),
    columns=(
        _CAMERA,
        _OF_STORE,
        Column("time_period", Kind.TEXT, "`hour`, `day`, `week` or `month`."),
        Column("period_start", Kind.TIMESTAMP, "Start of the period as an instant."),
        Column("data_date", Kind.DATE, "Local date on which the period starts."),
        Column(
            "total_count_in",
            Kind.NUMERIC,
            "People coming in, of the days that are known. NULL: none is.",
            unit="people",
        ),
        Column(
            "total_count_out",
            Kind.NUMERIC,
            "People going out, of the days that are known. NULL: none is.",
            unit="people",
        ),
        Column("total_count", Kind.NUMERIC, "In and out together. NULL when one is.", unit="people"),
        Column("visitors", Kind.NUMERIC, "Visitors in the opening hours. NULL: nothing is known.", unit="people"),
        Column("peak_count", Kind.NUMERIC, "Visitors of the busiest hour. NULL: no hour is known.", unit="people"),
        Column(
            "peak_hour", Kind.INTEGER, "Local hour of the day of the busiest hour, 0 to 23. NULL: no hour is known."
        ),
        Column(
            "average_count",
            Kind.DOUBLE,
            "Mean visitors an hour; of a week or month a day, over the days that are known. NULL: none is.",
            unit="people",
        ),
        Column(
            "average_occupancy",
            Kind.DOUBLE,
            "Mean number of people inside; of a week or month over the days that are known. NULL: as in the tables below.",
            unit="people",
        ),
        Column(
            "average_occupancy_percent", Kind.DOUBLE, "The same as a share of the capacity. NULL without one.", unit="%"
        ),
        Column(
            "hourly_distribution",
            Kind.JSONB,
            "Of a day as `daily_analytics.hourly_distribution`. NULL for other periods.",
        ),
        Column(
            "daily_distribution",
            Kind.JSONB,
            "Visitors by day, null where a day is not known: of a week by weekday, of a month by date. NULL for other periods.",
        ),
        Column(
            "periods_counted",
            Kind.INTEGER,
            "Days of a week or month with visitors; of an hour or day 1 when known, else 0.",
        ),
        Column(
            "data_completeness",
            Kind.DOUBLE,
            "Hours with final counts over hours expected; of a week or month the mean over all its days.",
            unit="ratio",
        ),
        Column(
            "is_provisional", Kind.BOOLEAN, "Whether a number may still change; of a week or month also while it runs."
        ),
    ),
)
ANALYTICS_ALERTS = View(
    name="analytics_alerts",
    row="One alert, by the names that a camera's alert has in other systems; the table is `alerts_generated`.",
    key=("id",),
    columns=(
        Column("id", Kind.UUID, "Identity."),
        Column("camera_id", Kind.UUID, "The camera, `sensor_metadata.id`. NULL: the alert is about a store."),
        store_id(),
        Column("alert_timestamp", Kind.TIMESTAMP, "When it was raised."),
        Column("alert_type", Kind.TEXT, "`capacity`, `queue`, `conversion`, `anomaly` or `system`."),
        Column("alert_severity", Kind.TEXT, "`warning` or `critical`."),
        Column("alert_message", Kind.TEXT, "What is the matter, and what to do."),
        Column("alert_data", Kind.JSONB, "Related numbers."),
        Column("threshold_value", Kind.DOUBLE, "The threshold of its severity, in the metric's unit."),
        Column("current_value", Kind.DOUBLE, "The value that was last seen. NULL: beyond any number."),
        Column("is_acknowledged", Kind.BOOLEAN, "Whether a person has taken it up."),
        Column("acknowledged_at", Kind.TIMESTAMP, "When. NULL: not yet."),
        Column("acknowledged_by", Kind.TEXT, "Who. NULL: nobody."),
        Column("is_resolved", Kind.BOOLEAN, "Whether it has ended."),
        Column("resolved_at", Kind.TIMESTAMP, "When it ended. NULL: not yet."),
        Column("resolution_notes", Kind.TEXT, "Why it ended. NULL: it has not."),
        Column("created_at", Kind.TIMESTAMP, "When the row was written first."),
    ),
)
CAMERA_COMPLETENESS = View(
    name="camera_completeness",
    row="One camera on one local day that has ended, and how many of its hours are known.",
    key=("sensor_id", "date"),
    columns=(
        sensor_id(),
        Column("date", Kind.DATE, "The store's local date."),
        _OF_STORE,
        _NAME,
        Column("hours_of_day", Kind.INTEGER, "Hours of the day: 23 to 25.", unit="h"),
        Column("hours_asked", Kind.INTEGER, "Hours that the camera was asked for.", unit="h"),
        Column("hours_final", Kind.INTEGER, "Of these with final counts.", unit="h"),
        Column("hours_provisional", Kind.INTEGER, "With counts that may still grow.", unit="h"),
        Column("hours_estimated", Kind.INTEGER, "With an estimate in place of counts.", unit="h"),
        Column("hours_missing", Kind.INTEGER, "Without any count.", unit="h"),
        Column("data_completeness", Kind.DOUBLE, "Hours with final counts over hours expected, 0 to 1.", unit="ratio"),
    ),
)
REALTIME_DASHBOARD = View(
    name="mv_realtime_dashboard",
    row="One active camera right now, with the people in its store and the queue at its tills.",
    key=("sensor_id",),
    columns=(
        sensor_id(),
        _NAME,
        _OF_STORE,
        Column("store_name", Kind.TEXT, "The store's name."),
        Column(
            "current_occupancy",
            Kind.INTEGER,
            "People inside the store, `retail.calculate_current_occupancy`. NULL with the reason in `quality`: "
            "`part_of_store` where you were granted cameras of it and not the store.",
            unit="people",
        ),
        Column("occupancy_last_update", Kind.TIMESTAMP, "Until when they were counted. NULL as current_occupancy."),
        Column(
            "occupancy_confidence", Kind.TEXT, "By the age of that: `high` to 10 minutes, `medium` to 30, `low` to 120."
        ),
        Column("utilization", Kind.DOUBLE, "People inside over the capacity. NULL without either.", unit="ratio"),
        Column(
            "queue_hour", Kind.TIMESTAMP, "Start of the hour that the queue is of. NULL: none of the last four is in."
        ),
        Column(
            "queue_length",
            Kind.DOUBLE,
            "Mean number waiting at the tills, `retail.estimate_queue_metrics`. NULL with the reason in `quality`.",
            unit="people",
        ),
        Column("estimated_wait_minutes", Kind.DOUBLE, "Mean wait. NULL as queue_length.", unit="min"),
        Column(
            "queue_analysis_type", Kind.TEXT, "`model`: by the queueing formulas; `hybrid`: learnt from counted queues."
        ),
        Column(
            "queue_recommendation",
            Kind.TEXT,
            "What to do about the lanes. NULL: the lanes or the arrivals are not known.",
        ),
        Column(
            "regional_distribution",
            Kind.JSONB,
            "Detections by region in the newest hour of the last three. NULL: the camera reported none.",
        ),
        Column("active_alerts_count", Kind.INTEGER, "Alerts of the camera or its store that have not ended."),
        Column(
            "today_summary",
            Kind.JSONB,
            "Of the local day so far: date, total_visitors, total_entries, total_exits, peak_hour and hours_counted; null: not known.",
        ),
        Column("camera_state", Kind.TEXT, "State as of the last look, `camera_health.state`. NULL: nobody has looked."),
        Column("last_seen_at", Kind.TIMESTAMP, "When it last answered, as of the last look. NULL: never."),
        Column("last_refresh", Kind.TIMESTAMP, "The instant of the question: the view is made anew each time."),
        Column("quality", Kind.JSONB, "For each column that is NULL its reason."),
    ),
)
HISTORICAL_COMPARISON = View(
    name="mv_historical_comparison",
    row="One active camera on each of the last 30 local days and today, beside the days before.",
    key=("sensor_id", "date"),
    columns=(
        sensor_id(),
        _NAME,
        _OF_STORE,
        Column("date", Kind.DATE, "The store's local date."),
        Column(
            "visitors",
            Kind.NUMERIC,
            "Visitors. NULL: not known, or the day has not ended; never 0 for that.",
            unit="people",
        ),
        Column(
            "conversion_rate", Kind.DOUBLE, "As `daily_analytics.overall_conversion_rate`. NULL as there.", unit="%"
        ),
        Column("dwell_time", Kind.DOUBLE, "As `daily_analytics.avg_dwell_time_minutes`. NULL as there.", unit="min"),
        Column(
            "visitors_7d_avg",
            Kind.DOUBLE,
            "Mean visitors of the 7 days up to the date, of those that are known. NULL: none is.",
            unit="people",
        ),
        Column("conversion_7d_avg", Kind.DOUBLE, "The same of conversion_rate.", unit="%"),
        Column("dwell_7d_avg", Kind.DOUBLE, "The same of dwell_time.", unit="min"),
        Column("days_in_7d_avg", Kind.INTEGER, "How many of the 7 days have visitors.", unit="d"),
        Column("visitors_prev_week", Kind.NUMERIC, "Visitors 7 days before. NULL: not known.", unit="people"),
        Column(
            "wow_change_percent",
            Kind.DOUBLE,
            "visitors against visitors_prev_week, holidays as any other day (`daily_analytics` leaves them out). NULL when one is, or "
            "less than 0.9 of its hours are final, or it was 0.",
            unit="%",
        ),
        Column(
            "trend",
            Kind.TEXT,
            "`up`, `down` or `stable`: the 7-day mean is over 10 % above or below the one of a week before, or neither; days that are "
            "not known are left out. NULL: one of the means is not known.",
        ),
    ),
)
TABLE_SIZES = View(
    name="table_sizes",
    row="One table of the schema: how large it is and how old its rows are.",
    key=("table_name",),
    columns=(
        Column("table_name", Kind.TEXT, "The table."),
        Column("estimated_rows", Kind.BIGINT, "Rows, as Postgres estimated them last."),
        Column("total_bytes", Kind.BIGINT, "Bytes on disk with indexes, partitions added up.", unit="B"),
        Column("index_bytes", Kind.BIGINT, "Of these, indexes.", unit="B"),
        Column("partitions", Kind.INTEGER, "Monthly partitions; 0: it has none."),
        Column(
            "oldest_at",
            Kind.TIMESTAMP,
            "Time of the oldest row that you may see: the instant or date in its key, else the first instant that each row has; "
            "a date as its midnight in UTC. NULL: no row, or no time in it.",
        ),
        Column("newest_at", Kind.TIMESTAMP, "The same of the newest row."),
    ),
)

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        UNIFIED_STORE_METRICS,
        CAMERA_COORDINATION_STATUS,
        HISTORICAL_ANALYTICS,
        ANALYTICS_ALERTS,
        CAMERA_COMPLETENESS,
        REALTIME_DASHBOARD,
        HISTORICAL_COMPARISON,
        TABLE_SIZES,
    )
}
"""Every view of schema `retail`, by name."""
