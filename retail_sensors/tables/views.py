"""Views of schema `retail`: names that readers look for, over tables that stand elsewhere. Their SQL stands in `sql/views/`."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, View, store_id

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

VIEWS: dict[str, View] = {view.name: view for view in (UNIFIED_STORE_METRICS, CAMERA_COORDINATION_STATUS)}
"""Every view of schema `retail`, by name."""
