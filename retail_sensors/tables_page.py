"""`python -m retail_sensors.tables_page` prints docs/tables.md, made from the contract in `retail_sensors.tables`."""

from __future__ import annotations

import sys

from retail_sensors.tables import TABLES, Table
from retail_sensors.tables.contract import View
from retail_sensors.tables.views import VIEWS

_HEAD = """# Tables

Schema `retail`. Made from `retail_sensors/tables` by `python -m retail_sensors.tables_page`; the same words stand in
the database as comments (`\\d+ retail.store_daily` in psql) and in the Dagster UI as column schemas.
"""


def page() -> str:
    """The page in Markdown."""
    relations: list[Table | View] = [*TABLES.values(), *VIEWS.values()]
    return "\n".join([_HEAD, *(_section(relation) for relation in relations)])


def _section(table: Table | View) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    head = f"Key: {key}." if isinstance(table, Table) else f"A view; unique by {key}."
    lines = [f"## {table.name}", "", table.row, "", head, ""]
    lines += ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    for column in table.columns:
        notes = [] if column.nullable else ["never NULL"]
        notes += ["not written by runs"] if column.is_generated else []
        note = f" ({', '.join(notes)})" if notes else ""
        meaning = column.description.replace("|", "\\|") + note
        lines.append(f"| `{column.name}` | {column.kind.postgres} | {column.unit or ''} | {meaning} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
