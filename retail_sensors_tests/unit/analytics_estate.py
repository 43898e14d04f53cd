"""Small estates and frames for the tests of the analytics: typed as the tables declare, filled from short rows.

Times are given as UTC text; cameras and stores by short names that become their identities.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pandas as pd

from retail_sensors.analytics import beside, missing, queueing
from retail_sensors.analytics.quality import REASONS
from retail_sensors.analytics.roster import Roster
from retail_sensors.connectors.base import Outcome
from retail_sensors.tables import (
    COUNTING_LINES,
    HEATMAP_TEMPORAL_RAW,
    PEOPLE_COUNTING_RAW,
    REGION_CONFIGURATIONS,
    REGIONAL_COUNTING_RAW,
    SENSOR_METADATA,
    STORES,
    Table,
)

_REASONS = {*REASONS, *missing.REASONS, *Outcome, *beside.REASONS, *queueing.REASONS}
_COUNTS = {"measured", "partial", "provisional", "missing", "estimated", "substituted"}
_FLAGS = {("capture_rate_percent", "above_100"), ("passersby", "partial"), ("passersby", "imputed")}
_FLAGS |= {(name, beside.PROXY) for name in ("entry_to_checkout_rate", "overall_conversion_rate")}
_FLAGS |= {("region_utilization", beside.MODELLED), ("region_avg_occupancy", beside.ABOVE_HEAT)}


def identity(name: str) -> str:
    """The UUID text of a short name."""
    return str(uuid5(NAMESPACE_URL, name))


def utc(text: str) -> datetime:
    """An instant from text such as 2026-02-02T09:00, meant in UTC."""
    return datetime.fromisoformat(text + "+00:00")


def typed(table: Table, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame with all columns of a table, generated ones included, in the declared dtypes."""
    listed = list(rows)
    return pd.DataFrame(
        {
            column.name: pd.Series([row.get(column.name) for row in listed], dtype="object").astype(
                pd.api.types.pandas_dtype(column.kind.pandas)
            )
            for column in table.columns
        }
    )


def store(name: str, zone: str = "UTC", **changes: Any) -> dict[str, Any]:
    opening = changes.pop("opening", None)
    return {
        "id": identity(name),
        "organization_id": identity("organization"),
        "store_name": name,
        "timezone": zone,
        "traffic_basis": "entries",
        "passerby_excludes_entrants": False,
        "opening_hours": None if opening is None else json.dumps(opening),
        "occupancy_reset_time": time(4),
        **changes,
    }


def camera(name: str, of: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": identity(name),
        "sensor_name": name,
        "store_id": identity(of),
        "vendor": "milesight",
        "sensor_ip": "192.0.2.7",
        "sensor_port": 80,
        "timezone": "UTC",
        "endpoints": "[]",
        "heat_scale": 1.0,
        "retention_days": "{}",
        "installed_on": None,
        "is_active": True,
        **changes,
    }


def lines(name: str, *roles: str) -> list[dict[str, Any]]:
    """Lines 1, 2, ... of a camera; a role with a leading minus is inverted."""
    return [
        {
            "sensor_id": identity(name),
            "line_number": number,
            "role": role.removeprefix("-"),
            "is_inverted": role.startswith("-"),
        }
        for number, role in enumerate(roles, start=1)
    ]


def roster(
    stores: Sequence[Mapping[str, Any]],
    cameras: Sequence[Mapping[str, Any]],
    roles: Mapping[str, Sequence[str]],
    regions: Mapping[str, Sequence[int] | Mapping[int, str]] | None = None,
) -> Roster:
    """An estate; the regions of a camera are numbers, or roles by number."""
    return Roster(
        stores=typed(STORES, stores),
        sensors=typed(SENSOR_METADATA, cameras),
        lines=typed(COUNTING_LINES, [row for name, given in roles.items() for row in lines(name, *given)]),
        regions=typed(
            REGION_CONFIGURATIONS,
            [
                {"sensor_id": identity(name), "region_number": number, "region_name": f"r{number}", "role": role}
                for name, numbers in (regions or {}).items()
                for number, role in (
                    numbers.items() if isinstance(numbers, Mapping) else [(number, "zone") for number in numbers]
                )
            ],
        ),
    )


def _raw(name: str, hour: datetime, final: bool, collected: datetime | None) -> dict[str, Any]:
    return {
        "sensor_id": identity(name),
        "timestamp": hour,
        "end_time": hour + timedelta(hours=1),
        "local_label": "",
        "collected_at": collected or hour + timedelta(hours=1, minutes=5),
        "is_final": final,
        "updated_at": hour,
    }


def counted(
    name: str, hour: datetime, *cells: int | None, final: bool = True, collected: datetime | None = None
) -> dict[str, Any]:
    """A row of people_counting_raw from line1_in, line1_out, line2_in, ...; cells that are not given are 0."""
    filled = [*cells, *([0] * (8 - len(cells)))]
    names = [f"line{line}_{way}" for line in (1, 2, 3, 4) for way in ("in", "out")]
    return {**_raw(name, hour, final, collected), **dict(zip(names, filled, strict=True))}


def seen(name: str, hour: datetime, *cells: int | None) -> dict[str, Any]:
    return {**_raw(name, hour, True, None), **{f"region{n}_count": cell for n, cell in enumerate(cells, start=1)}}


def warm(name: str, hour: datetime, value: float | None) -> dict[str, Any]:
    return {**_raw(name, hour, True, None), "heat_value": value}


def people(rows: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    return typed(PEOPLE_COUNTING_RAW, rows)


def regional(rows: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    return typed(REGIONAL_COUNTING_RAW, rows)


def heat(rows: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    return typed(HEATMAP_TEMPORAL_RAW, rows)


def asked(rows: Iterable[tuple[str, datetime, str]] = ()) -> pd.DataFrame:
    """Rows (camera, hour, outcome) of the collection log."""
    listed = list(rows)
    return pd.DataFrame(
        {
            "sensor_id": pd.array([identity(name) for name, _, _ in listed], dtype="string"),
            "hour_start": pd.Series([hour for _, hour, _ in listed], dtype="datetime64[us, UTC]"),
            "outcome": pd.array([outcome for _, _, outcome in listed], dtype="string"),
        }
    )


def hours_from(start: datetime, count: int) -> list[datetime]:
    return [start + timedelta(hours=offset) for offset in range(count)]


def one(frame: pd.DataFrame, **where: Any) -> dict[str, Any]:
    """The one row with these values, NULL as None and quality decoded."""
    mask = np.ones(len(frame), dtype=bool)
    for name, value in where.items():
        column = frame[name]
        mask &= (column == (identity(value) if name in ("sensor_id", "store_id") else value)).to_numpy(dtype=bool)
    found = frame[mask]
    assert len(found) == 1, f"{len(found)} rows for {where}"
    row = {str(name): (None if value is None or value is pd.NA else value) for name, value in found.iloc[0].items()}
    return {**row, "quality": json.loads(str(row["quality"]))}


def assert_contract(frame: pd.DataFrame, table: Table) -> None:
    """The frame has the columns, dtypes, keys and NULLs that the table declares, and every NULL has its reason."""
    assert list(frame.columns) == [column.name for column in table.written]
    for column in table.written:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
        assert column.nullable or not frame[column.name].isna().any(), column.name
        if column.kind.pandas == "Float64":
            values = frame[column.name].dropna().to_numpy(dtype=float)
            assert np.isfinite(values).all(), column.name
    assert not frame.duplicated(list(table.key)).any()
    for row in frame.to_dict("records"):
        quality = json.loads(row["quality"])
        assert quality["counts"] in _COUNTS
        for name, value in row.items():
            if value is None or value is pd.NA:
                assert quality.get(name) in _REASONS, (name, row)
            elif name in quality:
                assert (name, quality[name]) in _FLAGS, row


def whole_days(first: date, count: int) -> tuple[date, date]:
    return first, first + timedelta(days=count)
