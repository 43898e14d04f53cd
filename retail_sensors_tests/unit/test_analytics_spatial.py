"""Maps of presence: kept in one cell of a table without loss, and what they add up to, worked by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.analytics.spatial import pack, spatial_days, unpack
from retail_sensors.assets.regions import due
from retail_sensors.assets.regions_summary import coarse, map_picture
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ContractError
from retail_sensors.tables.regions import HEATMAP_SPATIAL_RAW
from retail_sensors_tests.unit.analytics_estate import camera, identity, one, roster, store

DAY = date(2026, 2, 2)
ESTATE = roster([store("s")], [camera("a", "s"), camera("b", "s", heat_scale=10.0)], {})


def maps(*rows: tuple[str, date, list[list[int]]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sensor_id": pd.array([identity(name) for name, _, _ in rows], dtype="string"),
            "date": pd.Series([day for _, day, _ in rows], dtype=object),
            "map_w": pd.array([len(cells[0]) for *_, cells in rows], dtype="Int64"),
            "map_h": pd.array([len(cells) for *_, cells in rows], dtype="Int64"),
            "max": pd.array([None] * len(rows), dtype="Int64"),
            "cells": pd.Series([pack(np.array(cells)) for *_, cells in rows], dtype=object),
            "rejected_points": pd.array([0] * len(rows), dtype="Int64"),
            "collected_at": pd.Series([datetime(2026, 2, 3, tzinfo=UTC)] * len(rows), dtype="datetime64[us, UTC]"),
        }
    )


def test_statistics_are_of_all_cells_in_seconds() -> None:
    # 10 and 30 over 8 cells: mean 5, variance (25 + 625 + 6 x 25) / 8 = 100
    cells = [[0, 10, 0, 0], [0, 0, 0, 30]]
    row = one_of(spatial_days(maps(("a", DAY, cells)), ESTATE))
    statistics = ("total_seconds", "mean_seconds", "max_seconds", "variance_seconds_squared")
    assert [row[name] for name in statistics] == [40, 5, 30, 100]
    tenfold = one_of(spatial_days(maps(("b", DAY, cells)), ESTATE))
    assert [tenfold[name] for name in statistics] == pytest.approx([4, 0.5, 3, 1])
    assert unpack(tenfold["cells"], 4, 2).tolist() == cells  # kept as the camera said it


def one_of(frame: pd.DataFrame) -> dict[str, Any]:
    assert len(frame) == 1
    assert list(frame.columns) == [column.name for column in HEATMAP_SPATIAL_RAW.written]
    for column in HEATMAP_SPATIAL_RAW.written:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
    return {str(name): value for name, value in frame.iloc[0].items()}


def test_days_are_ordered_and_cameras_that_nobody_knows_left_out() -> None:
    later = date(2026, 2, 3)
    frame = spatial_days(maps(("b", later, [[1]]), ("z", DAY, [[1]]), ("a", later, [[2]]), ("b", DAY, [[3]])), ESTATE)
    assert list(zip(frame["sensor_id"], frame["date"], strict=True)) == [
        (identity("a"), later),
        (identity("b"), DAY),
        (identity("b"), later),
    ]
    assert spatial_days(maps(), ESTATE).empty


def test_the_same_maps_give_the_same_picture() -> None:
    frame = spatial_days(maps(("a", DAY, [[0, 600], [1200, 0]]), ("b", DAY, [[60, 0]])), ESTATE)
    assert map_picture(frame, ESTATE) == map_picture(frame, ESTATE)


def test_cells_that_are_no_map_of_that_size_are_refused() -> None:
    with pytest.raises(ContractError, match="are 8 bytes, not those of 3 by 1 cells"):
        unpack(pack(np.array([[1, 2]])), 3, 1)
    with pytest.raises(ContractError, match="cannot be unpacked"):
        unpack(b"nonsense", 1, 1)


_MAPS = st.integers(1, 9).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=width, max_size=width), min_size=1, max_size=9)
)


@settings(max_examples=50)
@given(_MAPS, st.integers(1, 10))
def test_packing_keeps_every_cell_and_blocks_keep_the_sum(cells: list[list[int]], side: int) -> None:
    found = unpack(pack(np.array(cells)), len(cells[0]), len(cells))
    assert found.tolist() == cells
    blocks, step = coarse(found, side)
    assert step * max(blocks.shape) >= max(found.shape)
    assert blocks.sum() == found.sum()
    assert max(blocks.shape) <= side
    row = one(
        spatial_days(maps(("a", DAY, cells)), ESTATE)[["total_seconds", "mean_seconds", "max_seconds"]].assign(
            quality="{}"
        )
    )
    assert row["mean_seconds"] * found.size == pytest.approx(row["total_seconds"])
    assert row["total_seconds"] == pytest.approx(sum(map(sum, cells)))


# Which days are due ---------------------------------------------------------------------------------------------------


def window(first: int, last: int) -> TimeWindow:
    return TimeWindow(datetime(2026, 2, first, tzinfo=UTC), datetime(2026, 2, last, tzinfo=UTC))


def test_consecutive_days_on_which_the_same_cameras_are_due_are_one_span() -> None:
    stored = pd.DataFrame(
        {"sensor_id": ["1", "1", "2"], "date": [date(2026, 2, 3), date(2026, 2, 4), date(2026, 2, 4)]}
    )
    asked = {"a": "1", "b": "2", "new": None}
    assert list(due(window(1, 6), asked, stored)) == [
        (window(1, 3), ["a", "b", "new"]),
        (window(3, 4), ["b", "new"]),
        (window(4, 5), ["new"]),
        (window(5, 6), ["a", "b", "new"]),
    ]
    assert list(due(window(3, 5), {"a": "1"}, stored)) == []
    assert list(due(window(1, 6), {"a": "1"}, stored)) == [(window(1, 3), ["a"]), (window(5, 6), ["a"])]
    assert list(due(window(1, 6), {}, stored)) == []
    assert list(due(window(1, 6), {"a": "1"}, stored[:0])) == [(window(1, 6), ["a"])]
