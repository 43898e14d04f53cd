"""What the Dagster UI shows: tables and sentences as their reader gets them, legends that are not cut off."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, cast

import dagster as dg
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from retail_sensors.assets import charts, missing, predictions_summary, summaries
from retail_sensors.tables import KPI_METRICS
from retail_sensors.tables.missing import IMPUTED_HOURS
from retail_sensors_tests.unit.analytics_estate import camera, identity, roster, store, typed, utc


class Told:
    """A run of one partition that keeps what it is told."""

    partition_keys = ("2026-02-02-10:00",)

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}

    def add_asset_metadata(self, metadata: dict[str, dg.MarkdownMetadataValue], partition_key: str) -> None:
        assert partition_key == self.partition_keys[-1]
        self.shown |= {name: value.value or "" for name, value in metadata.items()}

    @property
    def context(self) -> dg.AssetExecutionContext:
        return cast("dg.AssetExecutionContext", self)


@pytest.mark.parametrize(
    ("lengths", "columns"),
    [([8, 7], 2), ([4] * 6, 6), ([4] * 9, 6), ([30] * 6, 2), ([60, 10, 60], 1), ([50, 5, 5], 3), ([200], 1)],
)
def test_a_legend_has_as_many_columns_as_its_names_allow(lengths: list[int], columns: int) -> None:
    assert charts.legend_columns(["n" * length for length in lengths]) == columns


@pytest.mark.parametrize("names", [["Store"] * 9, ["Oberpollinger Neuhauser Strasse"] * 6, ["A", "W" * 60, "B" * 44]])
def test_no_legend_is_wider_than_its_picture(monkeypatch: pytest.MonkeyPatch, names: Sequence[str]) -> None:
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))[1])
    charts.bar_chart(["Mon", "Tue"], {f"{name}{n}": [1.0, None] for n, name in enumerate(names)}, title="Visitors")
    [figure] = figures
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert figure.axes[0].get_window_extent().height > 1.2 * figure.dpi


def test_bands_are_told_apart() -> None:
    times = [utc("2026-02-02T10:00"), utc("2026-02-02T11:00")]
    bands = [charts.Band("95 %", [0, 0], [9, 9]), charts.Band("80 %", [2, 2], [7, 7])]
    text = charts.line_chart(times, {"expected": [4, 5]}, title="Entries", bands=bands).value or ""
    picture = base64.b64decode(text.partition("base64,")[2].rstrip(")")).decode()
    for alpha in ("0.16", "0.32"):
        assert picture.count(f"fill: {to_hex(charts.COLOURS[0])}; fill-opacity: {alpha}") >= 1


def test_key_figures_have_a_row_each_and_a_column_per_store() -> None:
    names = [f"shop {number}" for number in range(8)]
    rows = [
        {
            "scope": "store",
            "scope_id": identity(name),
            "date": utc("2026-02-02T00:00").date(),
            "metric_name": metric,
            "metric_value": 1000.0 * number + 0.5,
            "metric_unit": "people",
            "category": "traffic",
            "subcategory": "volume",
            "benchmark_value": 900.0 if number == 7 else None,
            "performance_score": 75.0 if number == 7 else None,
            "trend": "stable" if number == 7 else None,
        }
        for number, name in enumerate(names)
        for metric in ("visitors", "entries")
        if (number, metric) != (6, "entries")
    ]
    told = Told()
    estate = roster([store(name) for name in names], [], {})
    assert summaries.kpi_summary(told.context, typed(KPI_METRICS, rows), estate) == {
        "figures": 15,
        "with a benchmark": 2,
    }
    assert told.shown == {
        "figures of 2026-02-02, 6 of 8 stores": (
            "| figure | unit | shop 7 | shop 6 | shop 5 | shop 4 | shop 3 | shop 2 |\n"
            "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
            "| visitors | people | 7,000.50 (usual 900.00, score 75, stable) | 6,000.50 | 5,000.50 | 4,000.50 | 3,000.50 | "
            "2,000.50 |\n"
            "| entries | people | 7,000.50 (usual 900.00, score 75, stable) |  | 5,000.50 | 4,000.50 | 3,000.50 | 2,000.50 |"
        )
    }


def test_the_newest_estimates_are_shown() -> None:
    rows = [
        {
            "sensor_id": identity("door"),
            "hour_start": utc(f"2026-02-02T{hour:02}:00"),
            "entries": 12.25,
            "exits": None,
            "passersby": None,
            "quality": "estimated",
            "method": "day_level",
            "donors": "{}",
        }
        for hour in range(3, 23)
    ]
    estate = roster([store("shop")], [camera("door", "shop")], {"door": ["entrance"]})
    told = Told()
    missing.imputed_summary(told.context, typed(IMPUTED_HOURS, rows), estate)
    head, _, first, second, *_, last = told.shown["newest hours"].splitlines()
    assert head == "| camera | hour (UTC) | entries | exits | method | quality |"
    assert first == "| door | 2026-02-02 22:00 | 12.2 |  | day_level | estimated |"
    assert second.startswith("| door | 2026-02-02 21:00 |")
    assert last == "5 more rows"
    nothing = Told()
    missing.imputed_summary(nothing.context, typed(IMPUTED_HOURS, []), estate)
    assert nothing.shown == {}


@pytest.mark.parametrize(
    ("size", "text"), [(6_234, "6 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (2_350_000, "2.4 MB")]
)
def test_a_model_says_its_size_and_why_it_is_not_tested(size: int, text: str) -> None:
    row = pd.DataFrame(
        {
            "model_version": ["v"],
            "series_count": [2],
            "learnt_series_count": [0],
            "series_reasons": [json.dumps({"new": 2})],
            "model": [b"m" * size],
            "trained_from": [pd.Timestamp("2026-01-01", tz="UTC")],
            "trained_to": [pd.Timestamp("2026-01-22", tz="UTC")],
            "quality": [json.dumps({"backtest": "not_backtested"})],
        }
    )
    shown: dict[str, Any] = predictions_summary.model_summary(row, None)
    assert shown["size"] == text
    assert shown["back-test"] == "None: 3.0 weeks of history up to 2026-01-22; a test over 4 weeks needs 6.3."
