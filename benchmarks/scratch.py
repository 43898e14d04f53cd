"""An installation for one benchmark: an embedded server in a temporary folder, and nothing of the user's.

What is measured on it belongs in the benchmarks.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql

from retail_sensors.installation import Installation
from retail_sensors.storage.database import DAGSTER_DATABASE, DATA_DATABASE
from retail_sensors.storage.embedded import EmbeddedPostgres

_PREFIX = "RETAIL_SENSORS_"


class Scratch:
    """A server of the benchmark's own; `fresh` gives an installation with empty, migrated databases on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._server = EmbeddedPostgres(home)
        self._installation: Installation | None = None

    def fresh(self) -> Installation:
        """An installation with empty databases; the one given before is of no use any more."""
        if self._installation is not None:
            self._installation.database.dispose()
            with closing(psycopg2.connect(self._server.url("postgres", driver="postgresql"))) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    for name in (DATA_DATABASE, DAGSTER_DATABASE):
                        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
                    # What was dropped is not to be written to disk while the next one is measured.
                    cursor.execute("CHECKPOINT")
        self._installation = Installation()
        # Migrates; and Dagster makes its tables.
        self._installation.dagster_instance().dispose()
        return self._installation

    def close(self) -> None:
        """Closes connections, stops the server and deletes its data."""
        if self._installation is not None:
            self._installation.database.dispose()
        self._server.destroy()


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A scratch server until the block ends; the environment names it meanwhile, and nothing of the user's."""
    home = Path(tempfile.mkdtemp(prefix="retail_sensors-bench-"))
    # Where root runs this, the server's own user must reach its folder.
    home.chmod(0o711)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith((_PREFIX, "DAGSTER_"))]:
        del os.environ[name]
    # Empty rather than unset: an unset variable would be read from the user's .env.
    os.environ.update(
        {
            f"{_PREFIX}HOME": str(home),
            f"{_PREFIX}DATABASE_URL": "",
            f"{_PREFIX}DAGSTER_DATABASE_URL": "",
            f"{_PREFIX}ALLOWED_NETWORKS": "127.0.0.0/8",
        }
    )
    made = Scratch(home)
    try:
        yield made
    finally:
        try:
            made.close()
        finally:
            os.environ.clear()
            os.environ.update(before)
            shutil.rmtree(home, ignore_errors=True)
