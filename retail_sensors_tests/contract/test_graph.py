"""The asset graph, the jobs and the schedules as they are agreed, in `graph.json`: a renamed asset is a diff in review.

After a wanted change write the file anew, and read the diff:

    python -m retail_sensors_tests.contract.test_graph
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.definitions import build_defs
from retail_sensors.resources.clock import ClockResource
from retail_sensors.tables import TABLES

SNAPSHOT = Path(__file__).with_name("graph.json")
PUBLIC_JOBS = ("collect_hours", "hourly_figures", "daily_figures", "maintenance")


def graph() -> dict[str, Any]:
    """Assets, jobs and schedules with all that another part of the project, or a user's bookmark, relies on."""
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
    return {"assets": assets, "jobs": jobs, "schedules": schedules}


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


def test_every_job_and_every_schedule_says_what_it_does(defs: dg.Definitions) -> None:
    described = [*(defs.jobs or []), *(defs.schedules or [])]
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
