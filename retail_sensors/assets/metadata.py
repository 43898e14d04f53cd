"""What an asset shows its reader in the Dagster UI: column schemas, tables and small charts.

Numbers come from the frames that the assets return; nothing is computed here that a table would not hold.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.tables import Table

OWNERS = ["team:data-engineering"]


def table_metadata(table: Table, write_mode: str) -> dict[str, Any]:
    """Definition metadata of the asset that writes the table: where it goes, how, and each column's meaning."""
    return {
        "partition_expr": table.time_column,
        "write_mode": write_mode,
        "dagster/table_name": f"retail.{table.name}",
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name=column.name,
                    type=column.kind.postgres,
                    description=column.description + (f" Unit: {column.unit}." if column.unit else ""),
                    constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == (column.name,)),
                    tags={"key": ""} if column.name in table.key else {},
                )
                for column in table.columns
            ]
        ),
    }


def markdown_table(frame: pd.DataFrame, *, limit: int = 30) -> dg.MarkdownMetadataValue:
    """The frame's first rows as a table; a NULL is an empty cell."""
    head = frame.head(limit)
    lines = ["| " + " | ".join(map(str, head.columns)) + " |", "|" + " --- |" * len(head.columns)]
    lines += [
        "| " + " | ".join("" if pd.isna(cell) else str(cell).replace("|", "\\|") for cell in row) + " |"
        for row in head.itertuples(index=False, name=None)
    ]
    if len(frame) > limit:
        lines.append(f"\n{len(frame) - limit} more rows")
    return dg.MetadataValue.md("\n".join(lines))


def bar_chart(
    labels: Sequence[str], series: dict[str, Sequence[float | None]], *, title: str
) -> dg.MarkdownMetadataValue:
    """Bars side by side for each label, one colour a series, as a small picture; a missing value is a gap with a dot."""
    width, height, left, bottom, top = 720, 220, 48, 34, 30
    colours = ("#2563eb", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#64748b")
    values = [value for row in series.values() for value in row if value is not None]
    peak = max(values, default=0) or 1
    step = (width - left - 8) / max(len(labels), 1)
    bar = step * 0.8 / max(len(series), 1)
    floor = height - bottom
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="14" font-size="12" font-weight="bold">{escape(title)}</text>',
    ]
    for share in (0, 0.5, 1):
        y = floor - share * (floor - top)
        parts.append(f'<line x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e2e8f0"/>')
        parts.append(
            f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end" fill="#475569">{share * peak:,.0f}</text>'
        )
    every = max(1, len(labels) // 14 + 1)
    for position, label in enumerate(labels):
        x = left + position * step
        if position % every == 0:
            parts.append(
                f'<text x="{x + step / 2:.1f}" y="{floor + 14}" text-anchor="middle" fill="#475569">{escape(label)}</text>'
            )
        for number, row in enumerate(series.values()):
            value = row[position]
            at = x + step * 0.1 + number * bar
            colour = colours[number % len(colours)]
            if value is None:
                parts.append(f'<circle cx="{at + bar / 2:.1f}" cy="{floor - 3}" r="1.5" fill="#94a3b8"/>')
            else:
                tall = value / peak * (floor - top)
                parts.append(
                    f'<rect x="{at:.1f}" y="{floor - tall:.1f}" width="{bar:.1f}" height="{tall:.1f}" fill="{colour}"/>'
                )
    at = float(left)
    for number, name in enumerate(series):
        parts.append(
            f'<rect x="{at:.0f}" y="{height - 12}" width="9" height="9" fill="{colours[number % len(colours)]}"/>'
        )
        parts.append(f'<text x="{at + 13:.0f}" y="{height - 4}" fill="#334155">{escape(name)}</text>')
        at += 24 + 6.5 * len(name)
    parts.append("</svg>")
    picture = base64.b64encode("".join(parts).encode()).decode()
    return dg.MetadataValue.md(f"![{escape(title)}](data:image/svg+xml;base64,{picture})")
