"""Imports run only downwards: orchestration, storage, connectors, analytics."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "retail_sensors"

# What a room may not import, by the start of the module's name.
ORCHESTRATION = (
    "assets",
    "backfill",
    "bridge",
    "checks",
    "cli",
    "definitions",
    "installation",
    "jobs",
    "partitions",
    "resources",
    "schedules",
    "sensors",
)
FORBIDDEN = {
    "storage": ORCHESTRATION,
    "connectors": (*ORCHESTRATION, "storage", "io_managers"),
    "analytics": (*ORCHESTRATION, "storage", "io_managers", "connectors"),
    "simulator": (*ORCHESTRATION, "storage", "io_managers", "analytics"),
}
FORBIDDEN_LIBRARIES = {
    "storage": ("dagster", "httpx", "aiohttp"),
    "connectors": ("dagster", "sqlalchemy", "psycopg2"),
    "analytics": ("dagster", "sqlalchemy", "psycopg2", "httpx", "aiohttp"),
    "simulator": ("dagster", "sqlalchemy", "psycopg2"),
}


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_imports_nothing_from_above(room: str) -> None:
    modules = sorted((PACKAGE / room).rglob("*.py"))
    assert modules
    for path in modules:
        for name in _imports(path):
            above = [part for part in FORBIDDEN[room] if name.startswith(f"retail_sensors.{part}")]
            assert not above, f"{path.relative_to(PACKAGE)} imports {name}"
            assert name.split(".")[0] not in FORBIDDEN_LIBRARIES[room], f"{path.relative_to(PACKAGE)} imports {name}"


def test_the_environment_and_the_clock_are_read_in_few_places() -> None:
    allowed = {"settings.py", "secrets.py", "installation.py", "backfill.py"}
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[0] in {"cli", "simulator", "resources"} or relative.name in allowed:
            continue
        text = path.read_text()
        for word in ("os.environ", "os.getenv", "datetime.now(", "utcnow("):
            assert word not in text, f"{relative} reads {word}"
