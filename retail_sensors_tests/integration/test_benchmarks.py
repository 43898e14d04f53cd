"""Each benchmark works and cleans up after itself, at a size that says nothing about speed."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The folder that the benchmark takes for temporary files; nothing of it may stay."""
    # Not below pytest's own, which is closed to the user that the server of a benchmark of root runs as.
    folder = Path(tempfile.mkdtemp(prefix="retail_sensors_benchmark-"))
    folder.chmod(0o711)
    yield folder
    left = [path.name for path in folder.iterdir()]
    shutil.rmtree(folder)
    assert not left, "the benchmark left files behind"


def _start(temporary: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _processes_of(session: int) -> list[psutil.Process]:
    """What still runs of the session; the embedded server leaves it, and is found by its folder instead."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def _servers_below(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in argument for argument in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.parametrize(
    ("name", "arguments", "ratios"),
    [
        ("imports", ["--rounds", "1"], 1),
        ("fleet", ["--cameras", "9", "--in-flight", "4", "--latency", "0.01", "--rounds", "1"], 2),
        ("io_manager", ["--rows", "1", "--rounds", "1"], 4),
        ("collect", ["--days", "1", "--rounds", "1"], 1),
        ("alerts", ["--rows", "50", "--crowded", "2", "--rounds", "1"], 4),
        ("database", ["--cameras", "5", "--days", "2", "--rounds", "1"], 6),
        ("access", ["--days", "2", "--repeat", "1"], 7),
        ("partitions", ["--cameras", "5", "--days", "800"], 4),
    ],
)
def test_a_benchmark_gives_its_ratios_and_leaves_nothing_running(
    temporary: Path, name: str, arguments: list[str], ratios: int
) -> None:
    benchmark = _start(temporary, name, *arguments)
    output, errors = benchmark.communicate(timeout=900)

    assert benchmark.returncode == 0, errors
    result = json.loads(output)
    assert result["benchmark"] == name
    # A number of reads may be none; what was measured is never nothing.
    assert all(math.isfinite(figure["value"]) and figure["value"] >= 0 for figure in result["figures"])
    assert all(figure["value"] > 0 for figure in result["figures"] if figure["unit"])
    assert sum(figure["keeps_bar"] is not None for figure in result["figures"]) >= ratios
    assert not _processes_of(benchmark.pid)
    assert not _servers_below(temporary)


def test_an_interrupted_benchmark_stops_what_it_started(temporary: Path) -> None:
    benchmark = _start(temporary, "io_manager", "--rows", "400000")
    try:
        # The server takes connections: while it is being made, initdb takes the signal for itself.
        while not any("ready" in path.read_text() for path in temporary.rglob("postmaster.pid")):
            assert benchmark.poll() is None, "the benchmark ended by itself"
            time.sleep(0.05)
        time.sleep(1)
    finally:
        benchmark.send_signal(signal.SIGTERM)
        # A server that is just being started on a busy machine is stopped once it answers.
        benchmark.communicate(timeout=600)

    assert benchmark.returncode == 128 + signal.SIGTERM
    assert not _processes_of(benchmark.pid)
    assert not _servers_below(temporary)
