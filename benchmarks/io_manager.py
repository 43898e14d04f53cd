"""How fast a frame gets into `people_counting_raw` through the IO manager, against COPY alone and against pandas.

The IO manager checks the frame against the table's contract, and inserts, updates or leaves alone; the floor is a COPY of
the same frame into the same table, emptied before: same partitions, generated columns, checks and foreign keys. Making
the COPY text from the frame counts on both sides; the floor takes the faster of pandas' `to_csv` and our own writer.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Literal

import dagster as dg
import numpy as np
import pandas as pd
from psycopg2 import sql

from benchmarks.figures import Figure, run
from benchmarks.scratch import scratch
from retail_sensors.assets.metadata import table_metadata
from retail_sensors.fleet_file import read_fleet_file
from retail_sensors.io_managers.postgres import PostgresIOManager
from retail_sensors.partitions import HOURLY, hour_key
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.frames import copy_frame, identifiers, qualified
from retail_sensors.tables import PEOPLE_COUNTING_RAW as TABLE

_FIRST = datetime(2025, 3, 1, tzinfo=UTC)
_DAYS = 90
_FEW_ROWS = 20_000
"""For pandas' own way, which takes as long for each further row; a smaller table only helps it."""
_COUNTS = [column.name for column in TABLE.columns if column.is_count]


def counts_of(sensor_ids: list[str], seed: int = 0) -> pd.DataFrame:
    """A frame of `people_counting_raw`: every hour of `_DAYS` days, camera by camera."""
    hours = _DAYS * 24
    starts = pd.date_range(_FIRST, periods=hours, freq="h", unit="us")
    stamps = pd.Series(starts.append([starts] * (len(sensor_ids) - 1)))
    random = np.random.default_rng(seed)
    level = np.tile(np.clip(np.sin((np.arange(hours) % 24 - 8) / 14 * np.pi), 0, None), len(sensor_ids))
    return pd.DataFrame(
        {
            "sensor_id": pd.array(np.repeat(np.array(sensor_ids, dtype=object), hours), dtype="string"),
            "timestamp": stamps,
            "end_time": stamps + timedelta(hours=1),
            **{name: pd.array(random.poisson(level * 60), dtype="Int64") for name in _COUNTS},
            "local_label": stamps.dt.strftime("%Y/%m/%d %H:%M:%S").astype("string"),
            "label_flag": pd.array([None] * len(stamps), dtype="string"),
            "collected_at": stamps + timedelta(minutes=65),
            "is_final": pd.array(np.ones(len(stamps), dtype=bool), dtype="boolean"),
        }
    )


class _Bench:
    """The table, and the ways into it; each returns the seconds that it took."""

    def __init__(self, database: Database) -> None:
        self._database = database
        resource = DatabaseResource()
        self._manager = PostgresIOManager(database=resource).create_io_manager(dg.build_init_resource_context())
        self._resource = resource

    def close(self) -> None:
        self._resource.database.dispose()

    def _timed(self, frame: pd.DataFrame, *, empty: bool, write: Callable[[], object]) -> float:
        if empty:
            with self._database.transaction() as connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL("TRUNCATE {}").format(qualified(TABLE)))
        with self._database.engine.connect() as checkpointing:
            # The dirty pages of the run before are not written during this one.
            checkpointing.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("CHECKPOINT")
        begun = perf_counter()
        write()
        seconds = perf_counter() - begun
        ((rows, people),) = self._database.fetch("SELECT count(*), sum(total_in) FROM retail.people_counting_raw")
        expected = sum(int(frame[name].sum()) for name in _COUNTS if name.endswith("_in"))
        if (rows, people) != (len(frame), expected):
            raise RuntimeError(f"{rows} rows with {people} people stand in the table, not {len(frame)} with {expected}")
        return seconds

    def managed(self, frame: pd.DataFrame, *, empty: bool) -> float:
        """Through the IO manager, as an asset of the whole range would."""
        with dg.build_output_context(
            asset_key=TABLE.name,
            asset_partitions_def=HOURLY,
            asset_partition_key_range=dg.PartitionKeyRange(
                hour_key(_FIRST), hour_key(_FIRST + timedelta(days=_DAYS, hours=-1))
            ),
            definition_metadata=table_metadata(TABLE, "merge"),
            run_id="benchmark",
        ) as context:
            return self._timed(frame, empty=empty, write=lambda: self._manager.handle_output(context, frame))

    def copied_as_text(self, frame: pd.DataFrame) -> float:
        """COPY of the text that the IO manager also writes."""

        def write() -> None:
            with self._database.transaction() as connection:
                copy_frame(connection, frame, TABLE, qualified(TABLE))

        return self._timed(frame, empty=True, write=write)

    def copied_as_csv(self, frame: pd.DataFrame) -> float:
        """COPY of what pandas' `to_csv` writes."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv)").format(
            qualified(TABLE), identifiers(list(frame.columns))
        )

        def write() -> None:
            with self._database.transaction() as connection, connection.cursor() as cursor:
                buffer = io.StringIO()
                frame.to_csv(buffer, index=False, header=False)
                buffer.seek(0)
                cursor.copy_expert(statement, buffer)

        return self._timed(frame, empty=True, write=write)

    def to_sql(self, frame: pd.DataFrame, method: Literal["multi"] | None) -> float:
        """pandas' own way into a table."""
        # "multi" makes one statement of a chunk, and a statement has a limited number of parameters.
        chunk = 1000 if method else None

        def write() -> None:
            with self._database.engine.begin() as connection:
                frame.to_sql(
                    TABLE.name,
                    connection,
                    schema="retail",
                    if_exists="append",
                    index=False,
                    method=method,
                    chunksize=chunk,
                )

        return self._timed(frame, empty=True, write=write)


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Alternates the ways; pandas' own run once, they are slow."""
    cameras = max(1, round(arguments.rows / (_DAYS * 24)))
    with scratch() as server:
        database = server.fresh().database
        fleet = server.home / "fleet.json"
        fleet.write_text(
            json.dumps(
                {
                    "cameras": [
                        {"name": f"camera-{number}", "host": "192.0.2.1", "port": 8000 + number, "timezone": "UTC"}
                        for number in range(cameras)
                    ]
                }
            )
        )
        FleetRegistry(database).add(read_fleet_file(fleet))
        frame = counts_of([str(camera.sensor_id) for camera in FleetRegistry(database).cameras()])
        grown = frame.assign(**{name: frame[name] + 1 for name in _COUNTS})
        bench = _Bench(database)
        seconds: dict[str, list[float]] = {}

        def note(name: str, spent: float) -> None:
            seconds.setdefault(name, []).append(spent)

        try:
            # The first write makes the monthly partitions.
            bench.managed(frame, empty=True)
            for _ in range(arguments.rounds):
                note("COPY, our text", bench.copied_as_text(frame))
                note("fresh", bench.managed(frame, empty=True))
                note("unchanged", bench.managed(frame, empty=False))
                note("changed", bench.managed(grown, empty=False))
                note("COPY, to_csv", bench.copied_as_csv(frame))
            few = frame.head(_FEW_ROWS)
            note("to_sql", bench.to_sql(few, None))
            note("to_sql, multi", bench.to_sql(few, "multi"))
        finally:
            bench.close()
    sizes = {name: len(few if name.startswith("to_sql") else frame) for name in seconds}
    speed = {name: sizes[name] / median(times) for name, times in seconds.items()}
    floor = max(speed["COPY, our text"], speed["COPY, to_csv"])
    pandas_best = max(speed["to_sql"], speed["to_sql, multi"])
    return [
        *(Figure(f"{sizes[name]:,} rows, {name}", value, "rows/s") for name, value in speed.items()),
        Figure("IO manager, fresh rows / COPY", speed["fresh"] / floor, at_least=0.7),
        Figure("IO manager, all rows changed / COPY", speed["changed"] / floor, at_least=0.35),
        Figure("IO manager, unchanged re-run / fresh", speed["unchanged"] / speed["fresh"], at_least=1.0),
        Figure("IO manager, fresh rows / faster to_sql", speed["fresh"] / pandas_best, at_least=4.0),
    ]


if __name__ == "__main__":
    run(
        "io_manager",
        "a frame into people_counting_raw",
        measure,
        [
            ("--rows", {"type": int, "default": 100_000}),
            ("--rounds", {"type": int, "default": 3, "help": "measurements of each way; the median counts"}),
        ],
    )
