"""What an asset shows its reader in the Dagster UI: column schemas and tables; pictures belong in `charts`.

Numbers come from the frames that the assets return; nothing is computed here that a table would not hold.
"""

from __future__ import annotations

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


def text(value: float | None, form: str) -> str:
    """A number in a table; nothing where it is NULL."""
    return "" if value is None or pd.isna(value) else format(value, form)


def numbers(values: pd.Series[Any]) -> list[float | None]:
    """A column as a chart takes it: None where it is NULL."""
    return [None if pd.isna(value) else float(value) for value in values]


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
