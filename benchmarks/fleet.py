"""How fast a fleet is collected and parsed, against a bare aiohttp loop over the same URLs.

A thousand simulated cameras on addresses of their own, served by one process; each contender sweeps them once for one
hour and four endpoints, in a process of its own, so that its peak memory is its own. With answers after 300 ms the
waiting is shared and the bound on requests in flight decides; with immediate answers all that is left is the work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from statistics import median
from typing import Any

from benchmarks.cameras import ROOT, simulated
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import Figure, run

_AT = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
"""Where the clocks of cameras and collector stand."""


def _sweep(name: str, cameras: list[dict[str, Any]], in_flight: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.contenders", name, _AT.isoformat(), str(in_flight)],
        cwd=ROOT,
        input=json.dumps(cameras),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def _figures(arguments: argparse.Namespace, latency: float) -> list[Figure]:
    what = f"answers after {latency * 1000:.0f} ms" if latency else "immediate answers"
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    peak = 0.0
    with simulated(arguments.cameras, latency=latency, at=_AT) as fleet:
        cameras = fleet["cameras"]
        for _ in range(arguments.rounds):
            for name in CONTENDERS:
                swept = _sweep(name, cameras, arguments.in_flight)
                speeds[name].append(swept["requests"] / swept["seconds"])
                if name == "collector":
                    peak = max(peak, swept["peak_megabytes"])
    speed = {name: median(values) for name, values in speeds.items()}
    floor = max(value for name, value in speed.items() if name.startswith("aiohttp"))
    return [
        *(Figure(f"{what}, {name}", value, "req/s") for name, value in speed.items()),
        Figure(f"{what}: collector / faster aiohttp", speed["collector"] / floor, at_least=0.8 if latency else None),
        Figure(f"{what}: httpx / faster aiohttp", speed["httpx on aiohttp"] / floor),
        Figure(f"{what}: collector, peak memory", peak, "MB", at_most=512),
    ]


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """The sweeps with slow cameras, then with immediate ones."""
    return [*_figures(arguments, arguments.latency), *_figures(arguments, 0.0)]


if __name__ == "__main__":
    run(
        "fleet",
        "asking a fleet for one hour, four endpoints",
        measure,
        [
            ("--cameras", {"type": int, "default": 1000}),
            ("--in-flight", {"type": int, "default": 256}),
            ("--latency", {"type": float, "default": 0.3, "help": "seconds that each answer of a slow camera takes"}),
            ("--rounds", {"type": int, "default": 2, "help": "sweeps of each contender; the median counts"}),
        ],
    )
