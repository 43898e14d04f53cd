"""A back-fill launched from Dagster's UI, through its web server, daemon and run launcher, gives what `collect` gives."""

from __future__ import annotations

import json
import time
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.simulator.fleet import running
from retail_sensors_tests.installations import (
    COLLECTED,
    Site,
    free_ports,
    fresh_database,
    graphql,
    processes_of,
    simulated,
    small_fleet,
)

START = datetime(2025, 10, 24, tzinfo=UTC)
END = START + timedelta(hours=30)
KEYS = [f"{START + timedelta(hours=hour):%Y-%m-%d-%H:00}" for hour in range(30)]
HOURLY = ("imputed_hours", "hourly_analytics", "queue_analytics", "store_hourly")
LAUNCH = """mutation($params: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $params) {
  ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""
RUNS = """query($id: String!) {partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill {status runs {status assetSelection {path} tags {key value}}}}}"""


def test_a_backfill_from_the_ui_gives_what_collect_gives(
    server_url: str, template_database: str, database_url: str, tmp_path: Path
) -> None:
    site = Site(database_url, tmp_path / "home")
    with running(small_fleet()) as fleet:
        site.register(fleet, by_the_hour=True)
        port = free_ports(1)
        try:
            assert site.process("up", "--detach", "--port", str(port), timeout=600).code == 0
            runs = backfill(f"http://127.0.0.1:{port}")
        finally:
            kill_the_supervisor(site)
            said = site.process("down", timeout=600)
        # The children of a supervisor that was killed are found and ended.
        assert said.out == "Stopped: Dagster\n"
        assert processes_of(site.home) == []

        ranges = {
            (run["tags"]["dagster/asset_partition_range_start"], run["tags"]["dagster/asset_partition_range_end"]): {
                key["path"][0] for key in run["assetSelection"]
            }
            for run in runs
        }
        hourly = {*COLLECTED, "vca_alarm_status", *HOURLY}
        # The policy makes runs of a day, each from the cameras to the figures.
        assert ranges[KEYS[0], KEYS[23]] == ranges[KEYS[24], KEYS[29]] == hourly
        # Dagster puts days of one layer into one run or several, as their hours come in.
        daily = [assets for assets in ranges.values() if "store_daily" in assets]
        assert daily
        assert all(assets <= {"daily_analytics", "store_daily", "queue_performance_daily"} for assets in daily)

        window = TimeWindow(START, END)
        with fresh_database(server_url, template_database) as url:
            collected = Site(url, tmp_path / "collected")
            collected.register(fleet, by_the_hour=True)
            assert collected.collect(window).report.is_complete
            expected = collected.figures()
        for camera in fleet.cameras:
            counted = {hour: counts for hour, counts in site.counted(camera).items() if hour < END}
            assert counted == simulated(fleet, camera, window)
    assert {name: [row for row in rows if _is_of_the_past(row)] for name, rows in site.figures().items()} == expected


def _is_of_the_past(row: dict[Hashable, Any]) -> bool:
    """Whether the row is the back-fill's: the schedules are on, and collect the running hour beside it."""
    return bool(row["hour_start"] < END if "hour_start" in row else row["date"] <= END.date())


def backfill(url: str) -> list[dict[str, Any]]:
    """Launches all assets over the hours and waits until the back-fill has ended."""
    assets = [*COLLECTED, "vca_alarm_status", *HOURLY, "queue_performance_daily", "daily_analytics", "store_daily"]
    parameters = {"partitionNames": KEYS, "assetSelection": [{"path": [name]} for name in assets]}
    launched = graphql(url, LAUNCH, params=parameters)["launchPartitionBackfill"]
    deadline = time.monotonic() + 900
    while True:
        found = graphql(url, RUNS, id=launched["backfillId"])["partitionBackfillOrError"]
        runs = [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found["runs"]]
        states = [run["status"] for run in runs]
        assert "FAILURE" not in states
        if found["status"] == "COMPLETED_SUCCESS":
            return runs
        assert time.monotonic() < deadline, (found["status"], states)
        time.sleep(1)


def kill_the_supervisor(site: Site) -> None:
    state = json.loads((site.home / "up.json").read_text())
    psutil.Process(state["pid"]).kill()
