"""The database as a Dagster resource; what a connection is belongs in `storage.database`.

Here it is also decided how a server that breaks off shows in a run: as the failure's message, in a sentence, with the driver's own
error as its cause.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache, cached_property

import dagster as dg
import pandas as pd
from psycopg2 import sql

from retail_sensors.analytics.roster import Roster
from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.settings import Settings, load_settings
from retail_sensors.storage.collections import CollectedWindow, record
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.frames import read_frame
from retail_sensors.storage.merge import merge_frame, window_condition
from retail_sensors.tables import COLLECTION_LOG, Table

_WHAT_NEXT = "What was stored until then stays; the next run of the schedule, or the repair, asks for the rest."


class DatabaseBrokeOffError(dg.Failure, DatabaseUnavailableError):
    """Postgres did not answer a run, or broke off: the sentence is what Dagster shows of the failed step."""


class _DatabaseOfRuns(Database):
    """The database as runs, ticks and their sweeps reach it."""

    def unavailable(self, error: Exception) -> DatabaseBrokeOffError:
        """The same sentence, and what comes of the work that it interrupted."""
        return DatabaseBrokeOffError(f"{super().unavailable(error)} {_WHAT_NEXT}", allow_retries=False)


class DatabaseResource(dg.ConfigurableResource):
    """The installation's database, as the settings name it; nothing is opened before it is used."""

    @cached_property
    def database(self) -> Database:
        """The database with its pool of connections; the embedded server is started where it is ours."""
        settings = load_settings()
        _ensure_server(settings)
        return _DatabaseOfRuns(settings)

    def roster(self) -> Roster:
        """Stores, cameras, lines and regions as they were registered when they were first asked for: one truth for a whole run."""
        return self._roster

    @cached_property
    def _roster(self) -> Roster:
        return FleetRegistry(self.database).roster()

    def read(self, table: Table, start: datetime, end: datetime, columns: list[str] | None = None) -> pd.DataFrame:
        """The table's rows in the half-open window: what an asset needs besides its partitions' inputs."""
        return self.read_windows(table, [(start, end)], columns)

    def read_windows(
        self, table: Table, windows: Sequence[tuple[datetime, datetime]], columns: list[str] | None = None
    ) -> pd.DataFrame:
        """The table's rows in any of the half-open windows, each once, by one statement."""
        where = sql.SQL(" OR ").join(sql.SQL("({})").format(window_condition(table, window)) for window in windows)
        with self.database.transaction() as connection:
            return read_frame(connection, table, where, columns=columns)

    def read_all(self, table: Table, columns: list[str] | None = None) -> pd.DataFrame:
        """All rows of a table that stays small."""
        with self.database.transaction() as connection:
            return read_frame(connection, table, None, columns=columns)

    def asked(self, start: datetime, end: datetime) -> pd.DataFrame:
        """sensor_id, hour_start, outcome: the hours of the window for which people counts were asked."""
        with self.database.transaction() as connection:
            return read_frame(
                connection,
                COLLECTION_LOG,
                sql.SQL("{} AND endpoint = 'people_counting'").format(window_condition(COLLECTION_LOG, (start, end))),
                columns=["sensor_id", "hour_start", "outcome"],
            )

    def merge(self, table: Table, rows: pd.DataFrame) -> None:
        """Writes rows outside of the run's partitions, where something differs."""
        with self.database.transaction() as connection:
            merge_frame(connection, table, rows, asset=table.name, mode="merge")

    def record(self, table: Table, collected: CollectedWindow, run_id: str) -> None:
        """Stores a collection outside of the IO manager: that of a step that is about to fail."""
        record(self.database, table, collected, run_id)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Closes the pooled connections: a long-lived code server would keep one pool for each run."""
        if "database" in self.__dict__:
            self.database.dispose()


@cache
def _ensure_server(settings: Settings) -> None:
    """Once for each process: Dagster copies a resource for each resource that uses it, and a look for the server costs 36 ms."""
    Database(settings).ensure_server()
