"""All benchmarks, one after another, each in a process of its own, so that none inherits another's memory or caches."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.util import find_spec
from os import cpu_count

from benchmarks.cameras import ROOT
from benchmarks.figures import Figure

_OF_FIGURES = ("imports", "fleet", "io_manager", "collect", "database", "access", "alerts")
_OF_TEXT = {"analytics_speed": ("--cameras", "50", "--slice", "50")}
"""Benchmarks without ratios, which print by themselves, with a size that keeps the whole run short."""


def main() -> None:
    """Prints each benchmark's figures; ends with 1 when one did not work, whatever the figures are."""
    print(
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cpu_count()} cores\n",
        flush=True,
    )
    failed = []
    for name in _OF_FIGURES:
        done = _run(name, "--json", stdout=subprocess.PIPE)
        if done.returncode:
            failed.append(name)
            continue
        result = json.loads(done.stdout)
        print(f"{name}: {result['title']}")
        for entry in result["figures"]:
            del entry["keeps_bar"]
            print(Figure(**entry).as_line())
        print(flush=True)
    for name, arguments in _OF_TEXT.items():
        if find_spec(f"benchmarks.{name}") is None:
            continue
        print(f"{name}: {' '.join(arguments)}", flush=True)
        if _run(name, *arguments).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"did not work: {', '.join(failed)}")


def _run(name: str, *arguments: str, stdout: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=stdout, text=True, check=False)


if __name__ == "__main__":
    main()
