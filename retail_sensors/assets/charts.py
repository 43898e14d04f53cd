"""Pictures for the Dagster UI, as inline SVG: bars, lines with intervals, heat maps. What is drawn belongs in `summaries`.

A missing value is a gap, never a zero. Dagster stores metadata with every event: a picture is 10 to 80 kB, so one a run.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2563eb", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#64748b")
_INCHES = (7.6, 2.6)
_LABELS = 12
_ROW = 110
"""Letters that a row of the legend holds, with _SAMPLE for the line or patch before each name."""
_SAMPLE = 8
_COLUMNS = 6


@dataclass(frozen=True, slots=True)
class Band:
    """An interval around a line: its label in the legend, and both ends at each time."""

    label: str
    lower: Sequence[float | None]
    upper: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Mark:
    """A span of time that is shaded, with its label."""

    start: datetime
    end: datetime
    label: str


def bar_chart(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], *, title: str, unit: str = ""
) -> dg.MarkdownMetadataValue:
    """Bars side by side for each label, one colour a series."""
    figure, axes = _figure(title, unit)
    at = np.arange(len(labels))
    width = 0.8 / max(len(series), 1)
    for number, (name, values) in enumerate(series.items()):
        axes.bar(at + (number + 0.5) * width - 0.4, _known(values), width, label=name, color=_colour(number))
    every = max(1, -(-len(labels) // _LABELS))
    axes.set_xticks(at[::every], list(labels)[::every])
    if len(labels):
        axes.set_xlim(-0.6, len(labels) - 0.4)
    return drawn(figure, title)


def line_chart(
    times: Sequence[datetime],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    unit: str = "",
    bands: Sequence[Band] = (),
    marks: Sequence[Mark] = (),
) -> dg.MarkdownMetadataValue:
    """Lines over time; `bands` lie behind them, the widest first and each next one darker, `marks` shade spans of time."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure, axes = _figure(title, unit)
    for number, band in enumerate(bands):
        axes.fill_between(
            np.asarray(times),
            _known(band.lower),
            _known(band.upper),
            color=COLOURS[0],
            alpha=min(0.16 * (number + 1), 0.64),
            label=band.label,
            lw=0,
        )
    for mark in marks:
        axes.axvspan(mark.start, mark.end, color=COLOURS[3], alpha=0.18, lw=0)  # type: ignore[arg-type] # dates are taken
        axes.annotate(
            mark.label, (mark.start, 1), xycoords=("data", "axes fraction"), fontsize=7, va="top", color=COLOURS[3]
        )
    for number, (name, values) in enumerate(series.items()):
        axes.plot(np.asarray(times), _known(values), color=_colour(number), lw=1.3, label=name)
    locator = AutoDateLocator(maxticks=_LABELS)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_ylim(bottom=0)
    return drawn(figure, title)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    title: str,
    unit: str = "",
) -> dg.MarkdownMetadataValue:
    """A grid of cells, the darker the more; a missing cell stays white."""
    figure, axes = _figure(title, "", height=_tall(rows))
    _grid(figure, axes, rows, columns, values, unit)
    return drawn(figure, title)


def heat_maps(
    rows: Sequence[str],
    columns: Sequence[str],
    layers: Mapping[str, Sequence[Sequence[float | None]]],
    *,
    title: str,
) -> dg.MarkdownMetadataValue:
    """Grids of the same cells side by side, two in a row, each with its own scale and name."""
    from matplotlib.figure import Figure

    lines = -(-len(layers) // 2)
    figure = Figure(figsize=(_INCHES[0], lines * _tall(rows)), layout="constrained")
    figure.suptitle(title, fontsize=9, fontweight="bold")
    places = figure.subplots(lines, min(2, len(layers)), squeeze=False).flat
    for axes, (name, values) in zip(places, layers.items(), strict=False):
        axes.tick_params(labelsize=6)
        _grid(figure, axes, rows, columns, values, name)
    for unused in list(places)[len(layers) :]:
        unused.set_axis_off()
    return drawn(figure, title)


def _tall(rows: Sequence[str]) -> float:
    return max(2.2, 0.28 * len(rows) + 1.0)


def _grid(
    figure: Figure,
    axes: Axes,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    unit: str,
) -> None:
    grid = np.array([_known(row) for row in values], dtype=float).reshape(len(rows), len(columns))
    picture = axes.imshow(np.ma.masked_invalid(grid), aspect="auto", cmap="YlOrRd", interpolation="nearest")
    every = max(1, -(-len(columns) // _LABELS))
    axes.set_xticks(np.arange(len(columns))[::every], list(columns)[::every])
    axes.set_yticks(np.arange(len(rows)), list(rows))
    axes.grid(visible=False)
    scale = figure.colorbar(picture, ax=axes, pad=0.01)
    scale.set_label(unit, fontsize=7)
    scale.ax.tick_params(labelsize=6)


def _figure(title: str, unit: str, *, height: float = _INCHES[1]) -> tuple[Figure, Axes]:
    # Imported here: the code location loads in a third of a second less, and most runs draw nothing.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_INCHES[0], height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=9, fontweight="bold", loc="left")
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(axis="y", color="#e2e8f0", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _known(values: Sequence[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def legend_columns(names: Sequence[str]) -> int:
    """Most columns in which the names, filled in column by column, are not cut off at the right."""
    for columns in range(min(_COLUMNS, len(names)), 1, -1):
        parts = np.array_split(np.array([len(name) for name in names]), columns)
        if sum(int(part.max()) + _SAMPLE for part in parts) <= _ROW:
            return columns
    return 1


def drawn(figure: Figure, title: str) -> dg.MarkdownMetadataValue:
    """A figure as metadata, with a legend of what its first axes name; the same figure gives the same bytes."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    if names:
        columns = legend_columns(names)
        figure.legend(handles, names, loc="outside lower left", ncols=columns, fontsize=7, frameon=False)
        # Each row more takes its own height, not the axes'.
        figure.set_figheight(figure.get_figheight() + 0.15 * (-(-len(names) // columns) - 1))
    import matplotlib

    picture = io.BytesIO()
    # Letters as text take a third of what they take as outlines; a date would make two identical runs differ.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(picture, format="svg", metadata={"Date": None})
    encoded = base64.b64encode(picture.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{encoded})")
