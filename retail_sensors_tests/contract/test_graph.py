"""The asset graph, the jobs, the schedules and the sensors as they are agreed, in `graph.json`: a renamed asset is a diff in review.

After a wanted change write the file anew, and read the diff:

    python -m retail_sensors_tests.contract.test_graph
"""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dagster as dg
import pytest
import yaml

from retail_sensors.definitions import build_defs
from retail_sensors.resources.clock import ClockResource
from retail_sensors.storage.database import Database
from retail_sensors.tables import TABLES

SNAPSHOT = Path(__file__).with_name("graph.json")
ROOT = Path(__file__).resolve().parents[2]
UI_PAGE = (ROOT / "docs" / "ui.md").read_text()
PUBLIC_JOBS = ("collect_hours", "hourly_figures", "daily_figures", "maintenance")


def graph() -> dict[str, Any]:
    """Assets, jobs, schedules and sensors with all that another part of the project, or a user's bookmark, relies on."""
    defs = build_defs()
    assets = {}
    for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key.to_user_string()):
        definition = defs.resolve_assets_def(spec.key)
        assets[spec.key.to_user_string()] = {
            "deps": sorted(f"{dep.asset_key.to_user_string()}{_mapping(dep.partition_mapping)}" for dep in spec.deps),
            "group": spec.group_name,
            "owners": sorted(map(str, spec.owners)),
            "kinds": sorted(spec.kinds),
            "tags": {key: value for key, value in sorted(spec.tags.items()) if not key.startswith("dagster/kind/")},
            "partitions": _partitions(spec.partitions_def),
            "backfill_policy": _policy(definition.backfill_policy),
            "table": spec.metadata.get("dagster/table_name"),
            "partition_expr": spec.metadata.get("partition_expr"),
            "write_mode": spec.metadata.get("write_mode"),
            "io_manager": definition.get_io_manager_key_for_asset_key(spec.key),
        }
    jobs = {
        name: {
            "assets": sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys),
            "ops": sorted(node.name for node in job.nodes),
            "partitions": _partitions(job.partitions_def),
        }
        for name in PUBLIC_JOBS
        for job in (defs.resolve_job_def(name),)
    }
    schedules = {
        schedule.name: {
            "job": schedule.job_name,
            "cron": schedule.cron_schedule,
            "timezone": schedule.execution_timezone,
            "running": schedule.default_status is dg.DefaultScheduleStatus.RUNNING,
        }
        for schedule in sorted(defs.schedules or [], key=lambda schedule: schedule.name)
        if isinstance(schedule, dg.ScheduleDefinition)
    }
    sensors = {
        sensor.name: {
            "jobs": sorted(target.job_name for target in sensor.targets),
            "seconds": sensor.minimum_interval_seconds,
            "running": sensor.default_status is dg.DefaultSensorStatus.RUNNING,
        }
        for sensor in sorted(defs.sensors or [], key=lambda sensor: sensor.name)
    }
    return {"assets": assets, "jobs": jobs, "schedules": schedules, "sensors": sensors}


def _mapping(mapping: dg.PartitionMapping | None) -> str:
    if isinstance(mapping, dg.TimeWindowPartitionMapping):
        return f" [{mapping.start_offset:+d}, {mapping.end_offset:+d}]"
    return "" if mapping is None else f" {type(mapping).__name__}"


def _partitions(definition: dg.PartitionsDefinition[Any] | None) -> str | None:
    if isinstance(definition, dg.TimeWindowPartitionsDefinition):
        start = f"{definition.start:%Y-%m-%d}"
        return f"{definition.cron_schedule} {definition.timezone} from {start}, end_offset {definition.end_offset}"
    return None if definition is None else type(definition).__name__


def _policy(policy: dg.BackfillPolicy | None) -> str | None:
    return None if policy is None else f"{policy.max_partitions_per_run} partitions a run"


def test_the_graph_is_the_one_that_was_agreed() -> None:
    agreed = json.loads(SNAPSHOT.read_text())
    advice = "if the change is wanted: python -m retail_sensors_tests.contract.test_graph"
    assert json.loads(json.dumps(graph())) == agreed, advice


def test_the_snapshot_is_as_its_command_writes_it() -> None:
    text = SNAPSHOT.read_text()
    assert text == rendered(json.loads(text))


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs()


def test_every_asset_tells_a_reader_what_it_is(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        name = spec.key.to_user_string()
        table = TABLES[name]
        assert spec.description, name
        assert spec.description.startswith(table.row), name
        assert len(spec.description) > len(table.row), f"{name} says nothing beyond its row"
        assert spec.owners, name
        assert spec.group_name, name
        assert spec.group_name != "default", name
        assert spec.kinds, name
        assert spec.tags.get("domain"), name
        schema = spec.metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == list(table.names), name
        for shown, column in zip(schema.columns, table.columns, strict=True):
            assert shown.type == column.kind.postgres, f"{name}.{column.name}"
            assert shown.description, f"{name}.{column.name}"
            assert shown.constraints.nullable == column.nullable, f"{name}.{column.name}"


def test_every_asset_leads_to_its_table_its_page_and_its_code(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        name = spec.key.to_user_string()
        lines = {
            reference.label or "code": Path(reference.file_path)
            .read_text()
            .splitlines()[(reference.line_number or 0) - 1]
            for reference in spec.metadata["dagster/code_references"].code_references
            if isinstance(reference, dg.LocalFileCodeReference)
        }
        assert lines["table's SQL"].startswith(f"CREATE TABLE retail.{name} ("), name
        assert lines["table's columns"] == f"## {name}", name
        # What is written in the tick of a sensor has no function of its own.
        assert name == "realtime_analytics" or "@dg." in lines["code"], name


def test_the_statement_that_an_asset_shows_can_be_pasted(defs: dg.Definitions, database: Database) -> None:
    for spec in defs.resolve_all_asset_specs():
        table = TABLES[spec.key.to_user_string()]
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(spec.metadata["newest rows"])
            columns = [column.name for column in cursor.description or ()]
        assert sorted(columns[-len(table.names) :]) == sorted(table.names), table.name
        scoped = {"sensor_id": "sensor_name", "store_id": "store_name"}
        named = next((label for scope, label in scoped.items() if scope in table.names), None)
        assert columns[: -len(table.names)] == ([named] if named else []), table.name


def test_groups_are_steps_in_one_direction(defs: dg.Definitions) -> None:
    group = {spec.key: spec.group_name for spec in defs.resolve_all_asset_specs()}
    after = {
        name: {
            group[dep.asset_key]
            for spec in defs.resolve_all_asset_specs()
            if spec.group_name == name
            for dep in spec.deps
        }
        - {name}
        for name in set(group.values())
    }
    while after:
        free = {name for name, before in after.items() if not before & after.keys()}
        assert free, f"the lineage page draws a circle of groups: {after}"
        after = {name: before for name, before in after.items() if name not in free}


SELECTIONS = {
    'group:"alerts"': {"alerts_generated", "notifications"},
    'group:"live"': {"realtime_analytics"},
    'group:"cameras" and kind:"http"': {
        "people_counting_raw",
        "regional_counting_raw",
        "heatmap_temporal_raw",
        "vca_alarm_status",
        "region_stays",
        "heatmap_spatial_raw",
    },
    'tag:"domain"="queues"': {"queue_analytics", "queue_performance_daily"},
    'key:"people_counting_raw"+1': {
        "people_counting_raw",
        "imputed_hours",
        "hourly_analytics",
        "camera_health",
        "anomalies_detected",
    },
    'key:"*_raw"': {
        "people_counting_raw",
        "regional_counting_raw",
        "heatmap_temporal_raw",
        "heatmap_spatial_raw",
    },
}
"""What the selections of docs/ui.md choose, where few words say it."""


def _selections() -> list[str]:
    """The selections of docs/ui.md: those that its links carry."""
    return [unquote(part) for part in re.findall(r"/asset-groups~([^)\s]+)\)", UI_PAGE)]


@pytest.mark.filterwarnings("ignore:.*include_sources")
def test_the_page_s_selections_choose_what_it_says(defs: dg.Definitions) -> None:
    shown = _selections()
    graph = defs.resolve_asset_graph()
    # The UI shows what no run materializes, too.
    chosen = {
        text: {key.to_user_string() for key in dg.AssetSelection.from_string(text, include_sources=True).resolve(graph)}
        for text in shown
    }
    assert len(shown) > len(SELECTIONS)
    assert {text: chosen.get(text) for text in SELECTIONS} == SELECTIONS
    for text, keys in chosen.items():
        assert keys, text
        assert f"`{text}`" in UI_PAGE, f"the link of {text} is not written beside it"
    for name in {spec.group_name for spec in defs.resolve_all_asset_specs()}:
        assert any(f'group:"{name}"' in text for text in shown), f"docs/ui.md has no view of group {name}"


def test_the_page_s_run_config_is_one_that_a_run_takes(defs: dg.Definitions) -> None:
    (written,) = re.findall(r"```yaml\n(.*?)```", UI_PAGE, re.DOTALL)
    config = yaml.safe_load(written)
    job = defs.resolve_job_def("collect_hours")
    asked = {
        key.to_user_string()
        for key in job.asset_layer.executable_asset_keys
        if defs.resolve_assets_def(key).group_names_by_key[key] == "cameras"
    }
    assert set(config["ops"]) == asked
    validated = dg.validate_run_config(job, config)
    assert all(validated["ops"][name]["config"]["cameras"] == ["group:Doors"] for name in asked)


def test_every_job_schedule_and_sensor_says_what_it_does(defs: dg.Definitions) -> None:
    described = [*(defs.jobs or []), *(defs.schedules or []), *(defs.sensors or [])]
    assert len(described) >= len(PUBLIC_JOBS) + 5
    for definition in described:
        description = getattr(definition, "description", None)
        assert description, definition
        assert description.endswith("."), description


def test_every_op_of_a_job_without_assets_says_what_it_does(defs: dg.Definitions) -> None:
    for node in defs.resolve_job_def("maintenance").nodes:
        assert node.definition.description, node.name


def test_jobs_and_launches_from_the_ui_run_in_one_process(defs: dg.Definitions) -> None:
    for name in PUBLIC_JOBS:
        assert defs.resolve_job_def(name).executor_def.name == "in_process", name
    assert defs.executor is dg.in_process_executor


def test_assets_of_a_job_share_their_partitions_and_their_policy(defs: dg.Definitions) -> None:
    for name in ("collect_hours", "hourly_figures", "daily_figures"):
        keys = defs.resolve_job_def(name).asset_layer.executable_asset_keys
        definitions = [defs.resolve_assets_def(key) for key in keys]
        assert len({definition.partitions_def for definition in definitions}) == 1, name
        assert len({definition.backfill_policy for definition in definitions}) == 1, name


def test_definitions_are_fresh_and_resources_are_replaced_by_their_key() -> None:
    one, two = build_defs(), build_defs()
    assert one is not two
    assert one.resources is not two.resources

    class Late(ClockResource):
        """A clock of a test."""

    late = Late()
    defs = build_defs(clock=late)
    assert defs.resources is not None
    assert defs.resources["clock"] is late
    assert isinstance(defs.resources["cameras"].clock, Late)
    assert not isinstance((one.resources or {})["clock"], Late)


def test_an_unknown_resource_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match="no resource weather; it has clock, database, cameras, io_manager"):
        build_defs(weather=ClockResource())


def test_the_definitions_hold_together(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def rendered(snapshot: dict[str, Any]) -> str:
    return json.dumps(snapshot, indent=2) + "\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(rendered(graph()))
