"""`python -m retail_sensors.tables_page` prints docs/tables.md, made from the contract in `retail_sensors.tables`."""

from __future__ import annotations

import sys

from retail_sensors.tables import TABLES, Table

_HEAD = """# Tables

Schema `retail`. Made from `retail_sensors/tables` by `python -m retail_sensors.tables_page`; the same words stand in
the database as comments (`\\d+ retail.store_daily` in psql) and in the Dagster UI as column schemas.
"""


def page() -> str:
    """The page in Markdown."""
    return "\n".join([_HEAD, *(_section(table) for table in TABLES.values())])


def _section(table: Table) -> str:
    lines = [f"## {table.name}", "", table.row, "", f"Key: {', '.join(f'`{name}`' for name in table.key)}.", ""]
    lines += ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    for column in table.columns:
        notes = [] if column.nullable else ["never NULL"]
        notes += ["computed by Postgres"] if column.is_generated else []
        note = f" ({', '.join(notes)})" if notes else ""
        meaning = column.description.replace("|", "\\|") + note
        lines.append(f"| `{column.name}` | {column.kind.postgres} | {column.unit or ''} | {meaning} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
