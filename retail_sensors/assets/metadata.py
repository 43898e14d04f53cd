"""What an asset shows its reader in the Dagster UI: column schemas, tables, and where to look further; pictures belong in `charts`.

Numbers come from the frames that the assets return; nothing is computed here that a table would not hold.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.storage.sqlfiles import sql_directory
from retail_sensors.tables import Table
from retail_sensors.tables.contract import Kind

OWNERS = ["team:data-engineering"]

# References to files are what the UI opens in an editor. Dagster calls them a beta.
warnings.filterwarnings("ignore", message=".*(CodeReference|with_source_code_references)", category=dg.BetaWarning)

_CREATE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?retail\.(\w+)")
_HEADING = re.compile(r"## (\w+)$")
_NAMES = {"sensor_id": ("sensor_metadata", "sensor_name"), "store_id": ("stores", "store_name")}
_NEWEST = 20


def table_metadata(table: Table, write_mode: str) -> dict[str, Any]:
    """Definition metadata of the asset that writes the table: where it goes, how, and each column's meaning."""
    return {
        **({"partition_expr": table.time_column} if table.time_column else {}),
        "write_mode": write_mode,
        "dagster/table_name": f"retail.{table.name}",
        "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=_references(table.name)),
        "newest rows": newest_rows(table),
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


def newest_rows(table: Table) -> str:
    """The statement that shows the table's newest rows, with the name of camera or store in front; for `retail-sensors db psql`."""
    order = table.time_column or next(
        (name for name in (*table.key, *table.names) if table.column(name).kind in (Kind.TIMESTAMP, Kind.DATE)),
        table.key[0],
    )
    scope = next((name for name in _NAMES if name in table.names), None)
    rows, what = f"retail.{table.name} AS t", "t.*"
    if scope is not None:
        owners, label = _NAMES[scope]
        rows, what = f"{rows} LEFT JOIN retail.{owners} AS n ON n.id = t.{scope}", f"n.{label}, t.*"
    nulls = " NULLS LAST" if table.column(order).nullable else ""
    # Shown to a person and never run from here; its names are the contract's.
    return f'SELECT {what} FROM {rows} ORDER BY t."{order}" DESC{nulls} LIMIT {_NEWEST};'  # noqa: S608


def _references(table: str) -> list[dg.LocalFileCodeReference | dg.UrlCodeReference]:
    """Where the table is made, and where it is described; a wheel brings no pages. The UI cuts longer labels."""
    return [
        dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=what)
        for what, places in (("table's SQL", _tables_made()), ("table's columns", _tables_described()))
        if table in places
        for path, line in (places[table],)
    ]


@cache
def _tables_made() -> dict[str, tuple[Path, int]]:
    """By table, the migration that makes it, and the line."""
    paths = sorted((sql_directory() / "migrations").glob("*.sql"))
    return _lines([path for path in paths if not path.name.endswith(".down.sql")], _CREATE)


@cache
def _tables_described() -> dict[str, tuple[Path, int]]:
    """By table, the page with its columns, and the line."""
    page = sql_directory().parent / "docs" / "tables.md"
    return _lines([page] if page.is_file() else [], _HEADING)


def _lines(paths: list[Path], what: re.Pattern[str]) -> dict[str, tuple[Path, int]]:
    """By the word that `what` finds, the first file and line that begin so."""
    found: dict[str, tuple[Path, int]] = {}
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if match := what.match(line):
                found.setdefault(match.group(1), (path, number))
    return found


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
