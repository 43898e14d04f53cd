"""Postgres that breaks off in the middle of a run: what the run's log says of it, and what the next run does."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from retail_sensors.partitions import hour_key, range_tags
from retail_sensors.sensors.failure import why
from retail_sensors_tests.installations import Site
from retail_sensors_tests.integration.test_sensors import NOW, Operator, fleet_at

BREAK_OFF = """
CREATE FUNCTION retail.break_off() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_terminate_backend(pg_backend_pid());
  RETURN NULL;
END $$;
CREATE TRIGGER break_off AFTER INSERT ON retail.collection_log EXECUTE FUNCTION retail.break_off();
"""
NEXT = "What was stored until then stays; the next run of the schedule, or the repair, asks for the rest."


def failure(operator: Operator, result: dg.ExecuteInProcessResult) -> str:
    """What the sensor `run_failure` makes of the run."""
    with dg.build_run_status_sensor_context(
        sensor_name="run_failure",
        dagster_instance=operator.instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    ) as context:
        return why(context.for_run_failure())


def test_the_log_says_in_a_sentence_that_postgres_broke_off_and_keeps_the_cause(
    database_url: str, tmp_path: Path
) -> None:
    operator = Operator(Site(database_url, tmp_path / "home"))
    with fleet_at([NOW]) as fleet:
        operator.site.register(fleet, by_the_hour=True)
        operator.site.execute(BREAK_OFF)
        hour = range_tags(hour_key(NOW), hour_key(NOW))
        result = operator.run("collect_hours", hour, NOW)
        assert not result.success
        (data, *others) = [
            event.step_failure_data
            for event in result.get_step_failure_events()
            if event.step_failure_data.user_failure_data
        ]
        assert len(others) == 3
        told = data.user_failure_data.description if data.user_failure_data else None
        assert told is not None
        assert told.startswith("The database at ")
        assert "does not answer (server closed the connection unexpectedly); check that the server runs" in told
        assert told.endswith(NEXT)
        assert told.count("\n") == 0
        assert failure(operator, result) == told
        # The driver's own error is below it.
        assert data.error is not None
        assert data.error.cause is not None
        assert data.error.cause.cls_name == "OperationalError"

        operator.site.execute("DROP TRIGGER break_off ON retail.collection_log")
        again = operator.run("collect_hours", hour, NOW)
        assert again.success
        assert operator.site.outcomes("lisbon") == {"ok": 1}
