"""Regions by hour and day: stays, figures, and modelled flows between them."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, sensor_id, store_id, updated_at

STAY_SECONDS = (5, 10, 30, 60, 100, 300, 600, 1800)
"""Lengths of stay, in seconds, of which a camera says how many detections stayed longer."""

REGION_STAYS = Table(
    name="region_stays",
    row="How long the detections of one region of one camera stayed on one local day.",
    key=("sensor_id", "region_number", "date"),
    time_column="date",
    columns=(
        sensor_id(),
        Column("region_number", Kind.INTEGER, "1 to 4, as on the camera; the region.", nullable=False),
        Column("date", Kind.DATE, "The camera's local calendar day.", nullable=False),
        Column(
            "detections",
            Kind.DOUBLE,
            "Detections that entered the region, re-detections included, over the hours that every answer holds: what the "
            "shares are of.",
            unit="detections",
        ),
        *(
            Column(f"stay_over_{seconds}_s", Kind.DOUBLE, f"Share staying longer than {seconds} s.", unit="ratio")
            for seconds in STAY_SECONDS
        ),
        Column(
            "mean_stay_seconds",
            Kind.DOUBLE,
            "Mean stay of a detection by the day's log-linear curve; a lower bound where `quality` says so.",
            unit="s",
        ),
        Column("short_stay_share", Kind.DOUBLE, "1 - S(10 s).", unit="ratio"),
        Column(
            "quality",
            Kind.JSONB,
            "For each column that is NULL, its reason; `stay`: `lower_bound` or `made_monotone`.",
            nullable=False,
        ),
        updated_at(),
    ),
)

HEATMAP_SPATIAL_RAW = Table(
    name="heatmap_spatial_raw",
    row="Where in its picture one camera saw people on one of its local days: a map of presence, as the camera said it.",
    key=("sensor_id", "date"),
    time_column="date",
    columns=(
        sensor_id(),
        Column("date", Kind.DATE, "The camera's local calendar day.", nullable=False),
        Column("map_w", Kind.INTEGER, "Cells from left to right; 192 where it did not say.", nullable=False),
        Column("map_h", Kind.INTEGER, "Cells from top to bottom; 192 where it did not say.", nullable=False),
        Column("max", Kind.BIGINT, "The largest value as the camera gave it. NULL: it gave none."),
        Column(
            "cells",
            Kind.BYTEA,
            "Every cell's value, row by row from the top left: unsigned 32-bit integers, little-endian, compressed by "
            "zlib. Seconds times the camera's `heat_scale`; a cell without a point is 0.",
            nullable=False,
        ),
        Column(
            "rejected_points",
            Kind.INTEGER,
            "Points that were refused: outside of the map, no whole number, or given twice with different values.",
            nullable=False,
        ),
        Column(
            "total_seconds",
            Kind.DOUBLE,
            "Seconds of presence over all cells, after `heat_scale`.",
            nullable=False,
            unit="s",
        ),
        Column("mean_seconds", Kind.DOUBLE, "Their mean over all cells of the map.", nullable=False, unit="s"),
        Column("max_seconds", Kind.DOUBLE, "The cell with most presence.", nullable=False, unit="s"),
        Column(
            "variance_seconds_squared",
            Kind.DOUBLE,
            "Variance over all cells of the map: the larger, the more people keep to few places.",
            nullable=False,
            unit="s2",
        ),
        Column(
            "collected_at",
            Kind.TIMESTAMP,
            "When the camera was asked for the answer.",
            nullable=False,
            is_bookkeeping=True,
        ),
        updated_at(),
    ),
)

REGION_ADJACENCY = Table(
    name="region_adjacency",
    row="One way that people are declared to take: from one region of a camera on to another region of that or another camera.",
    key=("sensor_id", "from_region", "to_sensor_id", "to_region"),
    columns=(
        Column("sensor_id", Kind.UUID, "Camera of the region that they leave, `sensor_metadata.id`.", nullable=False),
        Column("from_region", Kind.INTEGER, "1 to 4: the region that they leave.", nullable=False),
        Column(
            "to_sensor_id", Kind.UUID, "Camera of the region that they come to, `sensor_metadata.id`.", nullable=False
        ),
        Column("to_region", Kind.INTEGER, "1 to 4: the region that they come to.", nullable=False),
    ),
)
REGIONAL_ANALYTICS = Table(
    name="regional_analytics",
    row="The people present in one region of one camera in one hour, or on one local day of its store that has ended.",
    key=("sensor_id", "region_number", "bucket_size", "time_bucket"),
    time_column="date",
    columns=(
        sensor_id(),
        Column("region_number", Kind.INTEGER, "1 to 4, as on the camera.", nullable=False),
        Column("date", Kind.DATE, "The store's local calendar day that the time lies in.", nullable=False),
        Column("bucket_size", Kind.TEXT, "`1h`: one hour; `1day`: the local day.", nullable=False),
        Column("time_bucket", Kind.TIMESTAMP, "Start of the hour, or of the local day, as an instant.", nullable=False),
        Column(
            "metrics",
            Kind.JSONB,
            "`source`: `measured`, or `virtual`: the crossings of the entrance lines of a camera without regions, as if region 1 lay "
            "around them; `entries`: detections entering, re-detections included; `mean_stay_s`: mean stay of a detection "
            "by the day's curve; `short_stay_share`: 1 - S(10 s) of the day; `avg_occupancy`: mean number present, by Little's law; "
            "`share_occupied_upper`: share of time with anybody present, at most, modelled for groups that arrive at random; "
            "`utilisation`: avg_occupancy over the region's capacity, not clipped; `quality`: for each of them that is null its "
            "reason, `stay`: `lower_bound` or `made_monotone`, `avg_occupancy`: `above_heat` where the regions hold more than is "
            "in view. Of a day: the sum of the known hours' entries, and means over them.",
            nullable=False,
        ),
        Column(
            "data_completeness",
            Kind.DOUBLE,
            "Hours in which the region was counted to the end over the hours of the bucket.",
            nullable=False,
            unit="ratio",
        ),
        updated_at(),
    ),
)


def _flow(noun: str) -> tuple[Column, ...]:
    return (
        Column(
            "residual",
            Kind.DOUBLE,
            "What the model leaves unexplained of the entries of where they come to: root of the sum of squares left over that of "
            "the entries, 0 to 1, over the 56 days of the fit. NULL where the flow is.",
            unit="ratio",
        ),
        Column(
            "data_completeness",
            Kind.DOUBLE,
            f"Hours of the day in which what {noun} leave was counted, over the hours of the day.",
            nullable=False,
            unit="ratio",
        ),
        Column(
            "quality",
            Kind.JSONB,
            "`counts`: `modelled`; then, for each column that is NULL, its reason.",
            nullable=False,
        ),
        updated_at(),
    )


_TRANSITIONS = (
    "modelled: the share of the entries fitted over 56 days by non-negative least squares, times the day's entries; rounded. "
    "NULL with the reason in `quality`."
)
_NO_TIME = "Mean time between the two. NULL: hours cannot show it (`no_minute_data`)."

PATHWAY_ANALYTICS = Table(
    name="pathway_analytics",
    row="The modelled flow from one region of a camera to another of the same on one local day of its store that has ended.",
    key=("sensor_id", "date", "from_region", "to_region"),
    time_column="date",
    columns=(
        sensor_id(),
        Column("date", Kind.DATE, "The store's local calendar day.", nullable=False),
        Column("from_region", Kind.INTEGER, "1 to 4: the region that they leave.", nullable=False),
        Column("to_region", Kind.INTEGER, "1 to 4: the region that they come to.", nullable=False),
        Column("transition_count", Kind.INTEGER, f"Detections going this way, {_TRANSITIONS}", unit="detections"),
        Column("avg_transition_time_seconds", Kind.DOUBLE, _NO_TIME, unit="s"),
        Column(
            "peak_transition_hour",
            Kind.TIME,
            "Local start of the hour with the largest modelled flow, the first on a tie. NULL: no flow.",
        ),
        Column(
            "pathway_efficiency_score",
            Kind.DOUBLE,
            "100 x share of this way in all that leads out of from_region, 0 to 100. NULL: a way out is not known, or nobody leaves.",
        ),
        Column(
            "is_primary_path",
            Kind.BOOLEAN,
            "Whether it is the largest flow out of from_region, the first region on a tie. NULL: a way out is not known.",
        ),
        *_flow("the region"),
    ),
)
CAMERA_FLOW_MATRIX = Table(
    name="camera_flow_matrix",
    row="The modelled flow from the regions of one camera to those of another on one local day of their store that has ended.",
    key=("store_id", "date", "from_camera", "to_camera"),
    time_column="date",
    columns=(
        store_id(),
        Column("date", Kind.DATE, "The store's local calendar day.", nullable=False),
        Column("from_camera", Kind.UUID, "The camera whose regions they leave, `sensor_metadata.id`.", nullable=False),
        Column("to_camera", Kind.UUID, "The camera to whose regions they come, `sensor_metadata.id`.", nullable=False),
        Column(
            "transition_count",
            Kind.INTEGER,
            f"Detections going over the declared ways, {_TRANSITIONS}",
            unit="detections",
        ),
        Column("avg_transition_time_seconds", Kind.DOUBLE, _NO_TIME, unit="s"),
        Column(
            "peak_flow_hour",
            Kind.TIME,
            "Local start of the hour with the largest modelled flow, the first on a tie. NULL: no flow.",
        ),
        Column("flow_type", Kind.TEXT, "`direct`, `browsing` or `returning`. NULL: only tracks show it (`no_tracks`)."),
        Column(
            "conversion_impact",
            Kind.DOUBLE,
            "How the flow changes conversion. NULL: only tracks show it (`no_tracks`).",
        ),
        *_flow("the camera's regions"),
    ),
)

REGION_TABLES: tuple[Table, ...] = (
    REGION_STAYS,
    HEATMAP_SPATIAL_RAW,
    REGION_ADJACENCY,
    REGIONAL_ANALYTICS,
    PATHWAY_ANALYTICS,
    CAMERA_FLOW_MATRIX,
)
