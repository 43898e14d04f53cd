"""How long two weeks of six cameras take from the wire to daily figures, against the same runs of assets that do nothing.

All sides go through the function behind `retail-sensors collect`: the same jobs, partitions and ranges, recorded in the
same kind of instance, in this process. The floor's assets have the keys, dependencies, partitions and back-fill policies
of the real ones and return an empty result, so what it takes is Dagster's own time.

The bar is held against assets without checks: how many checks there are, in how many steps, is this project's choice, and must
not make its floor higher. A second floor has the same checks in the same steps, which all pass: what lies between the two is what
Dagster takes for checks, and what lies above it is this project's own work.
"""

import argparse
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import dagster as dg

from benchmarks.cameras import simulated
from benchmarks.figures import Figure, run
from benchmarks.scratch import Scratch, scratch
from retail_sensors.backfill import collect_range
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.definitions import build_defs
from retail_sensors.fleet_file import read_fleet_file
from retail_sensors.jobs import JOBS, maintenance
from retail_sensors.simulator.camera import DEFAULT_PASSWORD
from retail_sensors.storage.fleet import FleetRegistry


def idle_definitions(*, with_checks: bool = False) -> dg.Definitions:
    """The project's assets and jobs, with bodies that do nothing; with checks that do nothing, where it is said."""

    def idle(asset: dg.AssetsDefinition, spec: dg.AssetSpec) -> dg.AssetsDefinition:
        @dg.asset(
            key=spec.key,
            deps=list(spec.deps),
            partitions_def=asset.partitions_def,
            backfill_policy=asset.backfill_policy,
            # Takes the run config that the real ones are given.
            config_schema=dg.Permissive(),
        )
        def nothing(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            return dg.MaterializeResult()

        return nothing

    def unasked(checks: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
        @dg.multi_asset_check(name=checks.node_def.name, specs=list(checks.check_specs), can_subset=checks.can_subset)
        def passed(
            context: dg.AssetCheckExecutionContext,
        ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
            for spec in checks.check_specs:
                if spec.key in context.selected_asset_check_keys:
                    yield dg.Output(None, output_name=spec.get_python_identifier())
                    yield dg.AssetCheckEvaluation(spec.asset_key, spec.name, passed=True, metadata={})

        return passed

    real = build_defs()
    return dg.Definitions(
        assets=[
            idle(asset, spec)
            for asset in real.assets or ()
            if isinstance(asset, dg.AssetsDefinition)
            for spec in asset.specs
        ],
        asset_checks=[unasked(checks) for checks in real.asset_checks or ()] if with_checks else None,
        jobs=[job for job in JOBS if job is not maintenance],
        executor=dg.in_process_executor,
    )


def timed_collection(
    server: Scratch, fleet: Path, window: TimeWindow, definitions: dg.Definitions
) -> tuple[float, list[tuple[str, str, str]], int]:
    """Collects the window into fresh databases: seconds, job and keys of each run, and the store-days that stand there."""
    installation = server.fresh()
    FleetRegistry(installation.database).add(read_fleet_file(fleet))
    begun = perf_counter()
    report = collect_range(installation, window, [], defs=definitions)
    seconds = perf_counter() - begun
    if report.problems:
        raise RuntimeError(f"the collection failed, so its time says nothing: {report.problems[0]}")
    ((days,),) = installation.database.fetch("SELECT count(*) FROM retail.store_daily")
    return seconds, [(run["job"], run["from"], run["to"]) for run in report.runs], days


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Alternates the three, each time on fresh databases."""
    with simulated() as structure, scratch() as server:
        os.environ["SIMULATED_CAMERA_PASSWORD"] = DEFAULT_PASSWORD
        fleet = server.home / "fleet.json"
        fleet.write_text(json.dumps(structure))
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        window = TimeWindow(end - timedelta(days=arguments.days), end)
        # Imports and caches of the first run are paid for here, by neither.
        for make in (idle_definitions, build_defs):
            timed_collection(server, fleet, TimeWindow(end - timedelta(hours=2), end), make())
        idle, checked, real, days = [], [], [], 0
        for _ in range(arguments.rounds):
            floor, floor_runs, _ = timed_collection(server, fleet, window, idle_definitions())
            same_steps, _, _ = timed_collection(server, fleet, window, idle_definitions(with_checks=True))
            ours, our_runs, days = timed_collection(server, fleet, window, build_defs())
            if our_runs != floor_runs:
                raise RuntimeError("the two sides made different runs, so their times cannot be compared")
            if not days:
                raise RuntimeError("no day of any store was stored, so the time says nothing")
            idle.append(floor)
            checked.append(same_steps)
            real.append(ours)
    what = f"{arguments.days} days x {len(structure['cameras'])} cameras, {len(our_runs)} runs"
    return [
        Figure(f"{what}, assets that do nothing", median(idle), "s"),
        Figure(f"{what}, assets and checks that do nothing", median(checked), "s"),
        Figure(f"{what}, {days} store-days", median(real), "s"),
        Figure("collecting / doing nothing", median(real) / median(idle), at_most=1.5),
        Figure("collecting / doing nothing, checks and all", median(real) / median(checked)),
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
