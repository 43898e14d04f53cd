"""When a value becomes an alert, and when an alert ends: rules, observations and stored alerts to the alerts that changed.

Of one rule and one camera or store at most one alert is open. It is

    raised     when the newest observation is over a threshold, is about a time not older than the rule's recency, the values have
               been over it for `hold`, and the last such alert ended at least `cool_down` ago;
    kept       while that lasts: the count and the time that it was last seen grow, the severity may rise but does not fall;
    escalated  when nobody has acknowledged it for `escalate_after`;
    resolved   when the newest observation is within the limits, says that the condition has ended, or is too old to tell.

What was ended by a person is not raised again by the same evidence. Acknowledgement, escalation and resolution by a person are
written by `storage.alerts`; what is observed belongs in `alert_observations`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pandas as pd

from retail_sensors.analytics.alert_observations import Observation
from retail_sensors.analytics.alert_rules import SEVERITIES, Rule, Rules
from retail_sensors.analytics.alert_texts import alert_text, local_time, value_text
from retail_sensors.analytics.frames import from_records, records
from retail_sensors.tables.alerts import ALERTS_GENERATED

_Row = dict[str, Any]


def evaluate(
    rules: pd.DataFrame, observations: Sequence[Observation], alerts: pd.DataFrame, now: datetime
) -> pd.DataFrame:
    """The rows of ALERTS_GENERATED that are new or changed at `now`, by rule and camera or store; whole rows.

    `rules`: all rows of ALERT_RULES. `alerts`: rows of ALERTS_GENERATED, all open ones and of each rule and camera or store at
    least the one that was resolved last. The same call again, with its result among the alerts, gives no row.
    """
    book = Rules(rules)
    seen: dict[tuple[str, str], list[Observation]] = {}
    for observation in sorted(observations, key=lambda one: one.seen_until):
        seen.setdefault((observation.metric, observation.key), []).append(observation)
    open_rows: dict[tuple[str, str], _Row] = {}
    ended_at: dict[tuple[str, str], datetime] = {}
    for row in records(alerts.loc[:, [column.name for column in ALERTS_GENERATED.written]]):
        subject = row["rule_name"], row["sensor_id"] or row["store_id"]
        if not row["resolved"]:
            open_rows[subject] = row
        else:
            ended_at[subject] = max(row["resolved_at"], ended_at.get(subject, row["resolved_at"]))

    stores = {listed[0].key: listed[0].store_id for listed in seen.values()}
    stores |= {key: row["store_id"] for (_, key), row in open_rows.items()}
    changed: list[_Row] = []
    for name in sorted({*book.names, *(name for name, _ in open_rows)}):
        for key, store_id in sorted(stores.items()):
            rule, before = book.of(name, store_id), open_rows.get((name, key))
            found = seen.get((rule.metric, key), []) if rule else []
            if before is not None:
                after = _escalated(_kept(before, rule, found, now), rule, now)
                if after != before:
                    changed.append(after)
            elif rule is not None and rule.is_enabled:
                changed += _raised(rule, found, ended_at.get((name, key)), now)
    return from_records(ALERTS_GENERATED, changed)


def _raised(rule: Rule, found: list[Observation], ended_at: datetime | None, now: datetime) -> list[_Row]:
    """The new alert, where there is cause for one."""
    if ended_at is not None:
        if now - ended_at < rule.cool_down:
            return []
        # What lasts is one event: the part of it after its resolution is no new one.
        found = [one for one in found if (one.seen_from if one.is_lasting else one.seen_until) > ended_at]
    current = _current(rule, found)
    if current is None or current.value is None or now - current.seen_until > rule.recency:
        return []
    severity = rule.severity(current.value)
    since = _since(rule, found, current)
    if severity is None or current.seen_until - since < rule.hold:
        return []
    return [
        {
            "id": str(uuid5(NAMESPACE_URL, f"{rule.name} {current.key} {now.isoformat()}")),
            "rule_name": rule.name,
            "scope": rule.scope,
            "sensor_id": current.sensor_id,
            "store_id": current.store_id,
            "alert_type": rule.alert_type,
            "metric": rule.metric,
            "timestamp": now,
            "first_seen_at": since,
            "last_seen_at": current.seen_until,
            "occurrences": 1,
            "acknowledged": False,
            "acknowledged_by": None,
            "acknowledged_at": None,
            "resolved": False,
            "resolved_at": None,
            "resolution_notes": None,
            "actions_taken": "[]",
            "escalated": False,
            "escalated_to": None,
            **_said(rule, current, severity),
        }
    ]


def _kept(row: _Row, rule: Rule | None, found: list[Observation], now: datetime) -> _Row:
    """The alert with what is seen now: as it was, counted on, more severe, or resolved."""
    if rule is None:
        return _resolved(row, "The rule was removed.", now)
    if not rule.is_enabled:
        return _resolved(row, "The rule was switched off.", now)
    current = _current(rule, found)
    if current is None or not (current.is_lasting or _is_news(row, rule, current, now)):
        if now - row["last_seen_at"] <= rule.recency:
            return row
        zone = current.zone if current else "UTC"
        at = f"{local_time(row['last_seen_at'], zone, now)}{'' if current else ' UTC'}"
        return _resolved(row, f"No fresh figure since {at}: it is not known whether this lasts.", now)
    if current.value is None:
        return _resolved(row, current.ended or "The condition has ended.", now)
    severity = rule.severity(current.value)
    if severity is None:
        return _resolved(row, f"Within the limits again: {value_text(rule.metric, current.value)}.", now)
    rises = SEVERITIES.index(severity) > SEVERITIES.index(row["severity"])
    if not rises and rule.threshold(row["severity"]) is not None:
        severity = row["severity"]
    said = _said(rule, current, severity)
    if json.loads(said["metrics"]) == json.loads(row["metrics"]):
        # Postgres orders the keys of a jsonb in its own way.
        said["metrics"] = row["metrics"]
    kept = {**row, **said}
    if current.seen_until > row["last_seen_at"]:
        kept |= {"last_seen_at": current.seen_until, "occurrences": row["occurrences"] + 1}
    return _noted(kept, "severity_raised", f"{severity}: {kept['title']}", now) if rises else kept


def _is_news(row: _Row, rule: Rule, seen: Observation, now: datetime) -> bool:
    """Whether it is recent, and a value not of a time before that which the alert knows: a slow run may come late."""
    return now - seen.seen_until <= rule.recency and (seen.value is None or seen.seen_until >= row["last_seen_at"])


def _escalated(row: _Row, rule: Rule | None, now: datetime) -> _Row:
    """The alert, escalated where nobody has taken it up in time."""
    if rule is None or rule.escalate_after is None or row["resolved"] or row["acknowledged"] or row["escalated"]:
        return row
    if now - row["timestamp"] < rule.escalate_after:
        return row
    waited = rule.escalate_after.total_seconds() / 60
    return _noted({**row, "escalated": True}, "escalated", f"Not acknowledged for {waited:.0f} minutes.", now)


def _resolved(row: _Row, note: str, now: datetime) -> _Row:
    return _noted({**row, "resolved": True, "resolved_at": now, "resolution_notes": note}, "resolved", note, now)


def _noted(row: _Row, action: str, result: str, now: datetime) -> _Row:
    """The alert with one more action, taken by its rule."""
    taken = {"action": action, "timestamp": now.isoformat(), "by": f"rule {row['rule_name']}", "result": result}
    return {**row, "actions_taken": _json([*json.loads(row["actions_taken"]), taken])}


def _current(rule: Rule, found: list[Observation]) -> Observation | None:
    """What counts now: the worst of what lasts, else the newest."""
    lasting = [(one, one.value) for one in found if one.is_lasting and one.value is not None]
    if lasting:
        return lasting[rule.worst([value for _, value in lasting])][0]
    return found[-1] if found else None


def _since(rule: Rule, found: list[Observation], current: Observation) -> datetime:
    """Since when the values before the current one, without a gap between them, have been over a threshold."""
    since = current.seen_from
    if current.is_lasting:
        return since
    for one in reversed(found):
        if one is current:
            continue
        if one.seen_until < since or one.value is None or rule.severity(one.value) is None:
            break
        since = min(since, one.seen_from)
    return since


def _said(rule: Rule, seen: Observation, severity: str) -> _Row:
    """Severity, texts and numbers of what is seen."""
    threshold = rule.threshold(severity)
    if threshold is None or seen.value is None:
        raise AssertionError(f"rule {rule.name} has no threshold for {severity}")
    title, message = alert_text(seen, threshold)
    value = None if math.isinf(seen.value) else seen.value
    return {
        "severity": severity,
        "title": title,
        "message": message,
        "metrics": _json({rule.metric: value, **seen.details}),
        "threshold_value": threshold,
        "actual_value": value,
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
