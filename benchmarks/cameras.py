"""Simulated cameras in a process of their own, so that their work is not counted as the collector's.

The process serves until its standard input ends, so it cannot outlive the benchmark that started it, however that ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retail_sensors.simulator import fleet as fleets

ROOT = Path(__file__).resolve().parent.parent
"""The project folder, in which benchmarks start their processes."""


@contextmanager
def simulated(
    cameras: int | None = None, *, latency: float = 0.0, at: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Serves that many equal cameras on addresses of their own, or the demo's six without its faults.

    Gives the fleet as `cameras add` reads it. `latency` in seconds; `at` stops the cameras' clock at an instant.
    """
    command = [sys.executable, "-m", "benchmarks.cameras", "--latency", str(latency)]
    if cameras is not None:
        command += ["--cameras", str(cameras)]
    if at is not None:
        command += ["--at", at.isoformat()]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulated cameras did not start; run {' '.join(command[1:])} to see why")
        yield json.loads(line)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _fleet(arguments: argparse.Namespace) -> fleets.SimulatedFleet:
    fixed = None if arguments.at is None else datetime.fromisoformat(arguments.at)

    def clock() -> datetime:
        return fixed or datetime.now(UTC)

    if arguments.cameras is not None:
        return fleets.SimulatedFleet(
            fleets.uniform_cameras(arguments.cameras, "UTC", 0), clock=clock, latency_seconds=arguments.latency
        )
    demo = fleets.demo_cameras()
    for camera in demo:
        # Waiting between the tries at a broken camera is no work that could be sped up.
        camera.faults = ()
    return fleets.SimulatedFleet(
        demo,
        clock=clock,
        latency_seconds=arguments.latency,
        stores=fleets.DEMO_STORES,
        organization=fleets.DEMO_ORGANIZATION,
    )


async def _serve(fleet: fleets.SimulatedFleet) -> None:
    await fleet.start()
    try:
        print(json.dumps(fleets.fleet_file(fleet)), flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await fleet.stop()


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cameras", description=__doc__)
    parser.add_argument("--cameras", type=int, help="equal cameras; without it the demo's six")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--at")
    # Ctrl-C goes to the benchmark, which then closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve(_fleet(parser.parse_args())))


if __name__ == "__main__":
    main()
