"""Cameras that are disabled or removed while others still speak of them: runs that name them, alerts that are open."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.partitions import day_key, hour_key, range_tags
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors_tests.installations import Site, meanwhile
from retail_sensors_tests.integration.stored import utc
from retail_sensors_tests.integration.test_sensors import Operator, fleet_at

HOUR = timedelta(hours=1)
NOW = utc("2025-06-12T12:10")
PEOPLE = dg.AssetKey("people_counting_raw")


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    return Operator(Site(database_url, tmp_path / "home"))


def asking(*words: str, asset: str = "people_counting_raw") -> dict[str, Any]:
    return {"ops": {asset: {"config": {"cameras": list(words)}}}}


def told(result: dg.ExecuteInProcessResult, asset: dg.AssetKey = PEOPLE) -> dict[str, Any]:
    """The metadata of the run's first materialization of the asset."""
    (event, *_) = [one for one in result.get_asset_materialization_events() if one.asset_key == asset]
    return {key: value.value for key, value in event.materialization.metadata.items()}


def test_a_run_leaves_out_what_was_disabled_or_removed_since_it_was_asked_for(
    operator: Operator, database: Database
) -> None:
    clock: list[datetime] = [NOW]
    with fleet_at(clock) as fleet:
        operator.site.register(fleet, by_the_hour=True)
        registry = FleetRegistry(database)
        registry.set_active(["lisbon"], is_active=False)
        registry.remove(["mumbai-east"], now=NOW)
        hours = range_tags(hour_key(NOW - 2 * HOUR), hour_key(NOW))

        def run(*words: str) -> dg.ExecuteInProcessResult:
            return operator.run("collect_hours", hours, NOW, asking(*words), [PEOPLE])

        part = run("lisbon", "mumbai-east", "mumbai-west")
        assert part.success
        assert operator.site.outcomes("mumbai-west") == {"ok": 2}
        table = told(part)["cameras left out"]
        assert "| lisbon | it is disabled; `retail-sensors cameras enable` enables it |" in table
        assert "| mumbai-east | it was removed from the registry |" in table
        lines = [entry.user_message for entry in operator.instance.all_logs(part.run_id) if not entry.is_dagster_event]
        assert "lisbon: left out, it is disabled; `retail-sensors cameras enable` enables it" in lines
        assert "note" not in told(part)

        # All that a run names is gone: none of the others is asked in their place.
        asked = fleet.requests
        for words in (("mumbai-east",), ("lisbon", "mumbai-east"), ("mumbai-east", "not:lisbon"), ("lis*",)):
            none = run(*words)
            assert none.success
            assert told(none)["note"].startswith("No camera is left to ask for people_counting; left out: ")
        assert fleet.requests == asked
        # What was never a camera's name is a slip.
        slip = run("mumbai-wets")
        assert not slip.success
        # What a run takes away and is gone already changes nothing.
        assert run("not:mumbai-east").success
        assert fleet.requests > asked

        stays = dg.AssetKey("region_stays")
        days = range_tags(day_key(NOW.date()), day_key(NOW.date()))
        gone = asking("lisbon", "mumbai-east", asset="region_stays")
        day = operator.run("ended_day_questions", days, NOW, gone, [stays])
        assert day.success
        assert "mumbai-east" in told(day, stays)["cameras left out"]


def test_a_camera_that_is_removed_while_a_run_asks_it_costs_the_others_nothing(
    operator: Operator, database: Database
) -> None:
    clock: list[datetime] = [NOW]
    with fleet_at(clock) as fleet:
        operator.site.register(fleet, by_the_hour=True)
        with meanwhile(fleet, "lisbon", lambda: FleetRegistry(database).remove(["lisbon"], now=NOW)):
            assert operator.run("collect_hours", range_tags(hour_key(NOW - 2 * HOUR), hour_key(NOW)), NOW).success
        assert operator.site.outcomes("mumbai-east") == {"ok": 2}
        assert [camera.name for camera in FleetRegistry(database).cameras()] == ["mumbai-east", "mumbai-west"]
