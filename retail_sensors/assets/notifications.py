"""Messages about alerts: a short body around the notifier. Which are due belongs in `analytics.notifications`.

The rows are written by the notifier and not by the IO manager: a message is in the table before it is sent.
"""

import dagster as dg
import pandas as pd

from retail_sensors.assets.metadata import OWNERS, markdown_table, table_metadata
from retail_sensors.resources.notifier import NotifierResource, Told
from retail_sensors.tables.notifications import NOTIFICATIONS

_CHECK = "routes_take_messages"


@dg.asset(
    description=f"{NOTIFICATIONS.row} Sent by the routes of `retail-sensors alerts routes`; a route that fails keeps its messages "
    "and holds up no other.",
    deps=["alerts_generated"],
    check_specs=[
        dg.AssetCheckSpec(
            _CHECK,
            asset="notifications",
            description="No route has messages that could not be sent, words that name no camera, or asks for what it shuts out.",
        )
    ],
    metadata=table_metadata(NOTIFICATIONS, "merge"),
    group_name="alerts",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"domain": "alerts"},
)
def notifications(context: dg.AssetExecutionContext, notifier: NotifierResource) -> dg.MaterializeResult:
    told = notifier.tell_alerts()
    for route, reason in told.troubles.items():
        context.log.warning(f"Route {route}: {reason}")
    return dg.MaterializeResult(
        metadata={
            "sent": told.sent,
            **{state: int((told.changed["state"] == state).sum()) for state in ("held", "dropped", "failed")},
            "routes": markdown_table(_states(told)) if told.states else dg.MetadataValue.md("There is no route."),
        },
        check_results=[_check(told)],
    )


def _check(told: Told) -> dg.AssetCheckResult:
    """Whether every route takes what it is sent; a warning with the reasons where one does not."""
    errors = {
        state["route_name"]: state["last_error"] for state in told.states if state["is_enabled"] and state["last_error"]
    }
    stuck = told.with_problems({**errors, **told.errors})
    return dg.AssetCheckResult(
        check_name=_CHECK,
        passed=not stuck,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{route}: {reason}" for route, reason in sorted(stuck.items())) or "All do.",
    )


def _states(told: Told) -> pd.DataFrame:
    columns = ["route_name", "is_enabled", "pending", "held", "failed", "sent_at", "last_error"]
    return pd.DataFrame(told.states, columns=columns)


NOTIFICATION_ASSETS: tuple[dg.AssetsDefinition, ...] = (notifications,)
