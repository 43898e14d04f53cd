"""What a message about an alert or a failed run says: a title, a body for people, a payload for machines. Words only.

Which messages are due belongs in `notifications`; what an alert itself says in `alert_texts`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retail_sensors.analytics.alert_texts import duration, local_time

_SHOWN_IDENTITY = 8
_EVENTS = {
    "raised": "alert.raised",
    "severity_raised": "alert.severity_raised",
    "escalated": "alert.escalated",
    "resolved": "alert.resolved",
    "run_failed": "run.failed",
    "summary": "alerts.summary",
    "test": "route.test",
}
"""The name that a webhook gives to each event."""


@dataclass(frozen=True, slots=True)
class Where:
    """The store of an alert with its zone, and the camera; None: the alert is about the store."""

    store: str
    zone: str
    camera: str | None


@dataclass(frozen=True, slots=True)
class Text:
    """One message; `payload` is the JSON text of a webhook's body."""

    title: str
    body: str
    payload: str


def alert_message(
    event: str, at: datetime, severity: str, result: str | None, alert: Mapping[str, Any], where: Where
) -> Text:
    """The message of what happened to an alert at `at`; `result` is what the alert itself notes of it, None when it was raised."""
    since = local_time(alert["first_seen_at"], where.zone, at)
    place = where.store if where.camera is None else f"{where.store}, camera {where.camera}"
    lines = [] if result is None or event == "severity_raised" else [result]
    if event == "resolved":
        lasted = duration(max(0.0, (at - alert["first_seen_at"]).total_seconds() / 60))
        lines.append(f"It lasted {lasted}, since {since}.")
    else:
        lines += [alert["message"], f"Since {since}."]
    lines.append(f"Where: {place}. Times are those of {where.zone}.")
    if event != "resolved":
        lines.append(f"Take it up: retail-sensors alerts acknowledge {alert['id'][:_SHOWN_IDENTITY]}")
    data = {
        "alert_id": alert["id"],
        "rule": alert["rule_name"],
        "alert_type": alert["alert_type"],
        "severity": severity,
        "store": where.store,
        "camera": where.camera,
        "title": alert["title"],
        "message": alert["message"],
        "metric": alert["metric"],
        "value": alert["actual_value"],
        "threshold": alert["threshold_value"],
        "since": alert["first_seen_at"].isoformat(),
        "note": result,
    }
    return Text(f"{_opening(event, severity)}: {alert['title']}", "\n".join(lines), payload(event, at, data))


def summary_message(held: Sequence[Mapping[str, Any]], at: datetime) -> Text:
    """One message in place of those that quiet hours held back, in their order."""
    count = len(held)
    title = f"{count} message{'' if count == 1 else 's'} from the quiet hours"
    lines = [f"- {row['title']}" for row in held]
    data = {"messages": [json.loads(row["payload"]) for row in held]}
    return Text(title, "\n".join(lines), payload("summary", at, data))


def removal_message(ended: Sequence[Text], at: datetime) -> Text:
    """One message of the ends of alerts that go with their cameras: a summary, since no alert is left for it to refer to."""
    title = ended[0].title if len(ended) == 1 else f"Ended: {len(ended)} alerts of cameras that were removed"
    lines = [ended[0].body] if len(ended) == 1 else [f"- {text.title}" for text in ended]
    data = {"messages": [json.loads(text.payload) for text in ended]}
    return Text(title, "\n".join(lines), payload("summary", at, data))


def failed_run_message(run_id: str, job: str, sentence: str, at: datetime) -> Text:
    """The message of a Dagster run that failed."""
    body = f"{sentence}\nLook at run {run_id} in the Dagster UI; `retail-sensors status` tells what is missing by it."
    return Text(
        f"Run of {job} failed", body, payload("run_failed", at, {"run_id": run_id, "job": job, "why": sentence})
    )


def trial_message(route: str, at: datetime) -> Text:
    """The message by which a person tries a route."""
    body = f"Route {route} of retail_sensors reaches you. Nothing is the matter."
    return Text("Test message", body, payload("test", at, {"route": route}))


def payload(event: str, at: datetime, data: Mapping[str, Any]) -> str:
    """The body of a webhook as Standard Webhooks lays it out; a number that JSON lacks is null."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in data.items()
    }
    return json.dumps({"type": _EVENTS[event], "timestamp": at.isoformat(), "data": finite}, ensure_ascii=False)


def _opening(event: str, severity: str) -> str:
    return {
        "raised": severity.capitalize(),
        "severity_raised": f"Now {severity}",
        "escalated": f"Escalated, {severity}",
        "resolved": "Ended",
    }[event]
