"""Estimates of hours that no camera gave."""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, hour_start, sensor_id, updated_at


def _used(name: str, what: str, line: str) -> Column:
    return Column(
        name,
        Kind.NUMERIC,
        f"{what}: what was counted where that is known, else the estimate. NULL: the camera has no {line} line.",
        unit="people",
    )


IMPUTED_HOURS = Table(
    name="imputed_hours",
    row="The counts used for one camera in one ended hour that was asked for and not measured; no row without an honest estimate.",
    key=("sensor_id", "hour_start"),
    time_column="hour_start",
    columns=(
        sensor_id(),
        hour_start(),
        _used("entries", "People coming in", "entrance"),
        _used("exits", "People going out", "entrance"),
        _used("passersby", "People passing by", "passer-by"),
        Column(
            "quality",
            Kind.TEXT,
            "`estimated`: from the camera's own hours around it; `substituted`: from other doors or other days.",
            nullable=False,
        ),
        Column(
            "method",
            Kind.TEXT,
            "`ratio_interpolation`, `linear_interpolation`, `day_level`, `sister_doors` or `like_days`.",
            nullable=False,
        ),
        Column(
            "donors",
            Kind.JSONB,
            "What the estimate comes from: `ends_hours` both ends of the gap and `weeks` same hours of the week, as offsets, earlier "
            "ones negative; `day_hours` number of counted hours of its day; `days` like days as offsets; `sisters` other cameras.",
            nullable=False,
        ),
        updated_at(),
    ),
)

MISSING_TABLES: tuple[Table, ...] = (IMPUTED_HOURS,)
