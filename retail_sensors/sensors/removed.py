"""The sensor that has states and alerts looked at when the set of cameras that are asked has changed.

What follows of a camera that was switched off or removed follows by itself: it is not asked and owes nothing, its breaker goes with
the switch, and the evaluation of the alerts ends its alerts with the reason. This sensor only has that done at once. Figures of what
it has counted stay as they are; with a camera, store or organization that is removed from the registry its rows go, alerts included:
who was told of an open alert of a camera is told of its end in the transaction that removes it (`storage.alerts.tell_removed`).

The cursor is JSON: `cameras`, one word for the set of cameras, and `changes`, how often it has changed: a set may come again.
"""

import json

import dagster as dg

from retail_sensors.jobs import alerts, watch_cameras
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.sqlfiles import queries

EVERY_SECONDS = 60


@dg.sensor(
    jobs=[watch_cameras, alerts],
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute sees whether cameras were switched on or off, added or removed, and then looks at their states and ends "
    "the alerts of those that are gone.",
)
def fleet_changes(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult:
    """One run of states and one of alerts for each change; the first tick only remembers."""
    ((cameras,),) = database.database.fetch(queries("removed")["active_cameras"])
    before = json.loads(context.cursor) if context.cursor else {"cameras": cameras, "changes": 0}
    if before["cameras"] == cameras:
        reason = dg.SkipReason("The same cameras are switched on as before.")
        return dg.SensorResult(skip_reason=reason, cursor=json.dumps(before))
    changes = before["changes"] + 1
    requests = [
        dg.RunRequest(
            run_key=f"fleet change {changes} {cameras}, {job.name}", job_name=job.name, tags={"dagster/priority": "10"}
        )
        for job in (watch_cameras, alerts)
    ]
    return dg.SensorResult(run_requests=requests, cursor=json.dumps({"cameras": cameras, "changes": changes}))
