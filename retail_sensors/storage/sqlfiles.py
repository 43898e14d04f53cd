"""SQL in files: where they are and how one is read.

A query file holds statements that each follow a line `-- name: NAME`, and a description below it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def sql_directory() -> Path:
    """The folder `sql/`: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


@cache
def queries(name: str) -> dict[str, str]:
    """The statements of `sql/queries/NAME.sql` by their names."""
    parts = _NAME.split((sql_directory() / "queries" / f"{name}.sql").read_text())
    return {key: statement.strip() for key, statement in zip(parts[1::2], parts[2::2], strict=True)}
