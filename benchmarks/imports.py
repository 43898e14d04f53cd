"""How long the code location takes to load, against `import dagster, pandas` in a fresh interpreter.

Every process that Dagster starts (a code server, a run) pays for it first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from statistics import median
from time import perf_counter

from benchmarks.cameras import ROOT
from benchmarks.figures import Figure, run

_CODE_LOCATION = "import retail_sensors.definitions"
_FLOOR = "import dagster, pandas"


def _seconds(statement: str) -> float:
    begun = perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", statement], cwd=ROOT, check=True)
    return perf_counter() - begun


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Alternates the two; the first pair only warms the disk's cache."""
    pairs = [(_seconds(_FLOOR), _seconds(_CODE_LOCATION)) for _ in range(arguments.rounds + 1)][1:]
    floor, ours = (median(column) for column in zip(*pairs, strict=True))
    return [
        Figure(_FLOOR, floor, "s"),
        Figure(_CODE_LOCATION, ours, "s"),
        Figure("code location / dagster and pandas", ours / floor, at_most=2.0),
    ]


if __name__ == "__main__":
    run(
        "imports",
        "loading the code location in a fresh interpreter",
        measure,
        [("--rounds", {"type": int, "default": 5, "help": "processes of each kind"})],
    )
