"""The sensor that says in a sentence why a run failed: in its log, at the end of the run's, and to the routes that ask for it."""

import dagster as dg

from retail_sensors.errors import RetailSensorsError
from retail_sensors.partitions import range_tags
from retail_sensors.resources.notifier import NotifierResource

_OURS = {error.__name__ for error in RetailSensorsError.__subclasses__()}
"""Errors that are a sentence themselves, whatever caused them."""


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says in one sentence each which run failed and why, in its log and at the end of the run's own, and tells the routes "
    "with the event run_failed.",
)
def run_failure(context: dg.RunFailureSensorContext, notifier: NotifierResource) -> None:
    """One line for each failed run, and one message to each route that asks for it."""
    run = context.dagster_run
    first, last = (run.tags.get(tag) for tag in range_tags("", ""))
    span = f", {first} to {last}," if first else ""
    reason = why(context)
    sentence = f"Run {run.run_id} of {run.job_name}{span} failed: {reason}"
    context.log.error(sentence)
    # The page of a run opens at the end of its log; Dagster's own account of the failure is a traceback of many pages.
    context.instance.report_engine_event(f"Why it failed: {reason}", run)
    try:
        told = notifier.tell_failed_run(run.run_id, run.job_name, sentence)
    except RetailSensorsError as error:
        # The run failed by what keeps us from telling, too.
        context.log.error(f"No route was told of it: {error}")  # noqa: TRY400 -- a sentence, not a traceback
    else:
        for route, reason in told.troubles.items():
            context.log.warning(f"Route {route}: {reason}")


def why(context: dg.RunFailureSensorContext) -> str:
    """The sentence of the first step that failed, else its innermost cause, else that of the run, in one line."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            return failure.user_failure_data.description
        error = failure.error
        while error is not None and error.cause is not None and error.cls_name not in _OURS:
            error = error.cause
        if error is not None:
            said = (error.message.strip().splitlines() or [error.cls_name or ""])[0]
            return said.partition(": ")[2] if error.cls_name in _OURS else said
    return (context.failure_event.message or "it gave no reason").strip().splitlines()[0]
