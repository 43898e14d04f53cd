"""The tills of stores: what they have and promise, and their queues by hour and by day."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, store_id, updated_at

SERVICE_RATE_PER_MINUTE = 0.8
TARGET_MINUTES = 5.0
TARGET_SHARE = 0.8
"""What holds for a store that does not say how fast a lane is, and which share of customers shall wait at most how long."""

STORE_SERVICE = Table(
    name="store_service",
    row="The tills of one store: what it has, how fast a lane is and what is promised. A store without a row has the defaults.",
    key=("store_id",),
    columns=(
        store_id(),
        Column("lanes", Kind.INTEGER, "Lanes that it has, staffed or not. NULL: not said."),
        Column(
            "service_rate_per_minute",
            Kind.DOUBLE,
            f"Customers that one open lane serves; {SERVICE_RATE_PER_MINUTE} where the fleet file does not say.",
            nullable=False,
            unit="1/min",
        ),
        Column(
            "target_minutes",
            Kind.DOUBLE,
            f"Wait that the target share of customers shall not exceed; {TARGET_MINUTES:g} where not said.",
            nullable=False,
            unit="min",
        ),
        Column(
            "target_share",
            Kind.DOUBLE,
            f"Share of customers that shall wait at most target_minutes; {TARGET_SHARE} where not said.",
            nullable=False,
            unit="ratio",
        ),
        Column(
            "star_target",
            Kind.DOUBLE,
            "Visitors that one hour of one member of staff is meant for (shopper to associate ratio). NULL: not said.",
            unit="people/h",
        ),
        updated_at(),
    ),
)

QUEUE_ANALYTICS = Table(
    name="queue_analytics",
    row="What queueing theory says about the tills of one store in one hour that has ended; a mean over it, not an observation.",
    key=("store_id", "hour_start"),
    time_column="hour_start",
    columns=(
        store_id(),
        Column("hour_start", Kind.TIMESTAMP, "Start of the hour as an instant.", nullable=False),
        Column(
            "analysis_type",
            Kind.TEXT,
            "`model`: queueing formulas; `hybrid`: these, corrected by what was learnt from earlier counted queues of the store.",
            nullable=False,
        ),
        Column(
            "arrivals",
            Kind.DOUBLE,
            "Customers who came to the tills. NULL: `no_queue_input`. `stay_from_earlier_day` in `quality`: reckoned with an "
            "earlier day's share of stays over 60 s.",
            unit="people",
        ),
        Column(
            "arrivals_source",
            Kind.TEXT,
            "`transactions` of the till feed, or `detections_over_60_s` in the queue region. NULL: none.",
        ),
        Column("transactions", Kind.DOUBLE, "Transactions of the till feed. NULL: no feed."),
        Column("lanes", Kind.DOUBLE, "Lanes reckoned with, a mean over the hour. NULL: not known."),
        Column(
            "lanes_source",
            Kind.TEXT,
            "`roster`, or `best_case`: all lanes of the store, so that the wait is a lower bound. NULL: not known.",
        ),
        Column("offered_load", Kind.DOUBLE, "arrivals over the service rate of one lane.", unit="lanes"),
        Column(
            "is_overloaded",
            Kind.BOOLEAN,
            "Whether more came than the lanes can serve; false if unknown.",
            nullable=False,
        ),
        Column(
            "measured_queue_length", Kind.DOUBLE, "Counted mean number waiting. NULL: nobody counted.", unit="people"
        ),
        Column("predicted_queue_length", Kind.DOUBLE, "Mean number of customers waiting.", unit="people"),
        Column(
            "confidence_lower",
            Kind.DOUBLE,
            "Lower end of the 80 % interval of predicted_queue_length. NULL: `model` gives none.",
            unit="people",
        ),
        Column(
            "confidence_upper",
            Kind.DOUBLE,
            "Upper end of the 80 % interval of predicted_queue_length. NULL: `model` gives none.",
            unit="people",
        ),
        Column(
            "prediction_confidence",
            Kind.DOUBLE,
            "Share of the held-out counted hours whose queue length lay in its interval. NULL: `model` gives none.",
            unit="ratio",
        ),
        Column("queue_density", Kind.DOUBLE, "How densely people stand. NULL: needs video.", unit="ratio"),
        Column("organization_score", Kind.DOUBLE, "How well the line is formed. NULL: needs video.", unit="ratio"),
        Column("movement_detected", Kind.BOOLEAN, "Whether the line moves. NULL: needs video."),
        Column(
            "queue_velocity", Kind.DOUBLE, "Customers through the tills: min(arrivals, lanes x rate).", unit="1/min"
        ),
        Column("wait_probability", Kind.DOUBLE, "Share of customers who wait at all.", unit="ratio"),
        Column("estimated_wait_time_minutes", Kind.DOUBLE, "Mean wait before service.", unit="min"),
        Column("wait_p90_minutes", Kind.DOUBLE, "Wait that nine of ten customers do not exceed.", unit="min"),
        Column("share_within_target", Kind.DOUBLE, "Share of customers who wait at most the target.", unit="ratio"),
        Column(
            "wait_time_confidence",
            Kind.DOUBLE,
            "Share of the held-out counted hours whose mean wait lay in its interval. NULL: the wait is not a learnt one.",
            unit="ratio",
        ),
        Column(
            "abandonment_risk_score",
            Kind.DOUBLE,
            "Risk step by mean wait: 0.05 up to 5 min, 0.15 up to 10, 0.35 up to 15, else 0.60. Not a measured share.",
            unit="ratio",
        ),
        Column(
            "congestion_level",
            Kind.TEXT,
            "By mean wait: `low` under 2 min, `medium` under 5, `high` under 10, else, or overloaded, `critical`.",
        ),
        Column(
            "recommended_open_lanes",
            Kind.INTEGER,
            "Fewest lanes with which the wanted share waits at most the target; may pass what the store has. 0 in a closed hour in "
            "which nobody came.",
        ),
        Column("recommended_staff", Kind.INTEGER, "One person for each of those lanes.", unit="people"),
        Column(
            "suggested_actions",
            Kind.JSONB,
            'From lanes to recommended lanes, [{"action": "open_lanes" | "close_lanes" | "add_lanes", "lanes": 2}]; `add_lanes`: '
            "beyond what the store has. [] where nothing is to be done. NULL without arrivals or lanes.",
        ),
        Column("queue_performance_score", Kind.DOUBLE, "100 x share_within_target, 0 when overloaded."),
        Column("frame_analyzed", Kind.BOOLEAN, "Whether a video frame was looked at.", nullable=False),
        Column("people_detected", Kind.INTEGER, "People seen in the frame. NULL: needs video.", unit="people"),
        Column("detection_confidence", Kind.DOUBLE, "How sure the detector was. NULL: needs video.", unit="ratio"),
        Column("actual_wait_time", Kind.DOUBLE, "Counted mean wait. NULL: nobody counted.", unit="min"),
        Column(
            "prediction_accuracy",
            Kind.DOUBLE,
            "max(0, 1 - |estimated - actual wait| / max(actual wait, 1 min)); for sorting only. NULL without both.",
            unit="ratio",
        ),
        Column(
            "quality",
            Kind.JSONB,
            "For each column that is NULL, its reason; `arrivals`: `stay_from_earlier_day`.",
            nullable=False,
        ),
        updated_at(),
    ),
)

QUEUE_PERFORMANCE_DAILY = Table(
    name="queue_performance_daily",
    row="The tills of one store over the open hours of one of its local days.",
    key=("store_id", "date"),
    time_column="date",
    columns=(
        store_id(),
        Column("date", Kind.DATE, "The store's local calendar day.", nullable=False),
        Column("avg_queue_length", Kind.DOUBLE, "Mean over the open hours of the number waiting.", unit="people"),
        Column("max_queue_length", Kind.DOUBLE, "Highest hourly mean of the number waiting.", unit="people"),
        Column(
            "queue_peak_time",
            Kind.TIME,
            "Local start of the hour with the longest queue, or with the largest overload; the first on a tie.",
        ),
        Column("total_queue_time_minutes", Kind.DOUBLE, "Sum of arrivals x mean wait.", unit="min"),
        Column("avg_wait_time", Kind.DOUBLE, "Mean wait of a customer of the day.", unit="min"),
        Column("max_wait_time", Kind.DOUBLE, "Highest hourly mean wait.", unit="min"),
        Column(
            "wait_time_90th_percentile",
            Kind.DOUBLE,
            "Wait that nine of ten customers of the day do not exceed: the quantile of the arrival-weighted mixture of the hours.",
            unit="min",
        ),
        Column("avg_service_rate", Kind.DOUBLE, "Mean over the open hours of queue_velocity.", unit="1/min"),
        Column(
            "total_customers_served",
            Kind.DOUBLE,
            "Transactions of the whole local day, else arrivals (`served` in `quality` is then `proxy`).",
            unit="people",
        ),
        Column(
            "abandonment_count",
            Kind.INTEGER,
            "Customers who left the line. NULL unless they were counted in every open hour.",
            unit="people",
        ),
        Column(
            "abandonment_rate",
            Kind.DOUBLE,
            "Customers who left over those who left or were served, of the counted hours. NULL: nobody counted.",
            unit="ratio",
        ),
        Column("queue_efficiency_score", Kind.DOUBLE, "100 x share of customers who waited at most the target."),
        Column("staff_efficiency_score", Kind.DOUBLE, "100 x offered load / open lanes; over 100 when overloaded."),
        Column("recommendations_generated", Kind.INTEGER, "Open hours with a suggested action.", nullable=False),
        Column("recommendations_followed", Kind.INTEGER, "Followed ones. NULL: nobody recorded it."),
        Column("overloaded_hours", Kind.INTEGER, "Open hours in which the lanes could not serve all.", nullable=False),
        Column(
            "data_completeness",
            Kind.DOUBLE,
            "Open hours with a figure, or overloaded, over open hours of the day. NULL: closed all day.",
            unit="ratio",
        ),
        Column("quality", Kind.JSONB, "For each column that is NULL, its reason; `served`.", nullable=False),
        updated_at(),
    ),
)

QUEUE_TABLES: tuple[Table, ...] = (STORE_SERVICE, QUEUE_ANALYTICS, QUEUE_PERFORMANCE_DAILY)
"""Queues at the tills by hour and by day."""
