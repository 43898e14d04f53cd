"""How long two weeks of six cameras take from the wire to daily figures, against the same runs of assets that do nothing.

Both sides go through the function behind `retail-sensors collect`: the same jobs, partitions and ranges, recorded in the
same kind of instance, in this process. The floor's assets have the keys, dependencies, partitions and back-fill policies
of the real ones and return an empty result, so what it takes is Dagster's own time.
"""

import argparse
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import dagster as dg

from benchmarks.cameras import simulated
from benchmarks.figures import Figure, run
from benchmarks.scratch import Scratch, scratch
from retail_sensors.assets.daily import DAILY_ASSETS
from retail_sensors.assets.hourly import HOURLY_ASSETS
from retail_sensors.assets.raw import RAW_ASSETS
from retail_sensors.backfill import collect_range
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.definitions import build_defs
from retail_sensors.fleet_file import read_fleet_file
from retail_sensors.jobs import collect_hours, daily_figures
from retail_sensors.simulator.camera import DEFAULT_PASSWORD
from retail_sensors.storage.fleet import FleetRegistry


def idle_definitions() -> dg.Definitions:
    """The project's partitioned assets and jobs, with bodies that do nothing."""

    def idle(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
        @dg.asset(
            key=asset.key,
            deps=list(asset.get_asset_spec().deps),
            partitions_def=asset.partitions_def,
            backfill_policy=asset.backfill_policy,
            # Takes the run config that the real ones are given.
            config_schema=dg.Permissive(),
        )
        def nothing(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            return dg.MaterializeResult()

        return nothing

    return dg.Definitions(
        assets=[idle(asset) for asset in (*RAW_ASSETS, *HOURLY_ASSETS, *DAILY_ASSETS)],
        jobs=[collect_hours, daily_figures],
        executor=dg.in_process_executor,
    )


def timed_collection(
    server: Scratch, fleet: Path, window: TimeWindow, definitions: dg.Definitions
) -> tuple[float, int]:
    """Seconds to collect the window into fresh databases, and the store-days that stand there afterwards."""
    installation = server.fresh()
    FleetRegistry(installation.database).add(read_fleet_file(fleet))
    begun = perf_counter()
    report = collect_range(installation, window, [], defs=definitions)
    seconds = perf_counter() - begun
    if report.problems:
        raise RuntimeError(f"the collection failed, so its time says nothing: {report.problems[0]}")
    ((days,),) = installation.database.fetch("SELECT count(*) FROM retail.store_daily")
    return seconds, days


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Alternates the two, each time on fresh databases."""
    with simulated() as structure, scratch() as server:
        os.environ["SIMULATED_CAMERA_PASSWORD"] = DEFAULT_PASSWORD
        fleet = server.home / "fleet.json"
        fleet.write_text(json.dumps(structure))
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        window = TimeWindow(end - timedelta(days=arguments.days), end)
        makers: dict[str, Callable[[], dg.Definitions]] = {"nothing": idle_definitions, "real": build_defs}
        seconds: dict[str, list[float]] = {name: [] for name in makers}
        for make in makers.values():
            # Imports and caches of the first run are paid for once, by neither.
            timed_collection(server, fleet, TimeWindow(end - timedelta(hours=2), end), make())
        days = 0
        for _ in range(arguments.rounds):
            for name, make in makers.items():
                spent, stored = timed_collection(server, fleet, window, make())
                seconds[name].append(spent)
                days = max(days, stored)
    if not days:
        raise RuntimeError("no day of any store was stored, so the time says nothing")
    floor, ours = median(seconds["nothing"]), median(seconds["real"])
    return [
        Figure(f"{arguments.days} days, assets that do nothing", floor, "s"),
        Figure(
            f"{arguments.days} days x {len(structure['cameras'])} cameras, raw to daily ({days} store-days)", ours, "s"
        ),
        Figure("collecting / doing nothing", ours / floor, at_most=1.5),
    ]


if __name__ == "__main__":
    run(
        "collect",
        "from the wire to daily figures, through Dagster",
        measure,
        [
            ("--days", {"type": int, "default": 14}),
            ("--rounds", {"type": int, "default": 3, "help": "measurements of each side; the median counts"}),
        ],
    )
