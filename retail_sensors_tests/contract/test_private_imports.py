"""Dagster's private parts: one import, in one module, of names that must keep their meaning."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import retail_sensors

PACKAGE = Path(retail_sensors.__file__).parent
PRIVATE = "dagster._core.storage.db_io_manager"
ALLOWED = {("io_managers/postgres.py", PRIVATE)}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def is_private(module: str) -> bool:
    top, *rest = module.split(".")
    return top == "dagster_shared" or (top.startswith("dagster") and any(part.startswith("_") for part in rest))


def test_only_the_io_manager_reaches_into_dagster() -> None:
    reached = {
        (path.relative_to(PACKAGE).as_posix(), module)
        for path in PACKAGE.rglob("*.py")
        for module in imports(path)
        if is_private(module)
    }
    assert reached == ALLOWED


def test_the_private_module_is_still_where_it_was_and_means_the_same() -> None:
    advice = (
        f"Dagster has moved {PRIVATE}: look for DbIOManager in the new release, mend the import in "
        "retail_sensors/io_managers/postgres.py and this test, and run the IO manager's tests."
    )
    try:
        module = importlib.import_module(PRIVATE)
    except ImportError as error:
        raise AssertionError(advice) from error
    missing = {"DbClient", "DbIOManager", "DbTypeHandler", "TableSlice"} - set(dir(module))
    assert not missing, advice
    assert module.DbTypeHandler.__abstractmethods__ == {"handle_output", "load_input", "supported_types"}, advice
    overridden = {"connect", "delete_table_slice", "ensure_schema_exists", "get_select_statement", "get_table_name"}
    assert overridden <= set(dir(module.DbClient)), advice
    assert set(module.TableSlice._fields) == {"table", "schema", "database", "columns", "partition_dimensions"}, advice
    parameters = set(inspect.signature(module.DbIOManager.__init__).parameters)
    assert {"type_handlers", "db_client", "database", "schema", "io_manager_name", "default_load_type"} <= parameters, (
        advice
    )
