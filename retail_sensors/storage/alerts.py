"""Alerts in the database: what rules change and what persons do, each in a transaction in which nobody else's word is lost.

A run locks the open alerts before it reads them, so that an acknowledgement comes before or after it, never between. When an
alert is raised or ends belongs in `analytics.alerts`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import RealDictCursor

from retail_sensors.analytics.notifications import removal_due, routes_of
from retail_sensors.analytics.roster import Roster
from retail_sensors.errors import ConfigurationError
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import read_frame
from retail_sensors.storage.merge import MergeResult, lock_writers, merge_frame
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables.alerts import ALERT_RULES, ALERTS_GENERATED
from retail_sensors.tables.notifications import ALERT_ROUTES, NOTIFICATIONS

MEMORY = timedelta(days=30)
"""For how long a resolved alert is remembered when the next is to be raised; no cool-down is longer."""

_IDENTITY = re.compile(r"[0-9a-f-]{1,36}")

Change = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
"""From all rules, and the alerts that are open or were resolved lately, to the whole rows of alerts that are new or changed."""


@dataclass(frozen=True, slots=True)
class AlertUpdate:
    """What a run did: the rows that it wrote, what the writing came to, and how many alerts the table holds."""

    changed: pd.DataFrame
    result: MergeResult
    stored: int


class AlertStore:
    """The alerts and rules of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def update(self, change: Change, now: datetime) -> AlertUpdate:
        """Reads rules and alerts, and writes what `change` makes of them, in one transaction; alerts stay locked meanwhile."""
        with self._database.transaction() as connection:
            lock_writers(connection, ALERTS_GENERATED)
            with connection.cursor() as cursor:
                cursor.execute(_query("lock_open_alerts"))
            recent = sql.SQL("NOT resolved OR resolved_at >= {}").format(sql.Literal(now - MEMORY))
            changed = change(read_frame(connection, ALERT_RULES), read_frame(connection, ALERTS_GENERATED, recent))
            result = merge_frame(connection, ALERTS_GENERATED, changed, asset=ALERTS_GENERATED.name, mode="merge")
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM retail.alerts_generated")
                (stored,) = cursor.fetchone() or (0,)
        return AlertUpdate(changed, result, stored)

    def listing(self, *, resolved_too: bool = False) -> list[dict[str, Any]]:
        """The open alerts with the names of camera and store, the worst and newest first; with the resolved ones if asked for."""
        with self._database.transaction() as connection:
            return _rows(connection, "listed_alerts", {"resolved_too": resolved_too})

    def acknowledge(self, identity: str, by: str, note: str | None, now: datetime) -> str:
        """Notes that a person has taken the alert up, and returns its title.

        Raises ConfigurationError, as do the others, where no open alert is meant; and where somebody else was first.
        """
        with self._database.transaction() as connection:
            alert = _open_alert(connection, identity)
            if alert["acknowledged"]:
                raise ConfigurationError(
                    f"Alert {identity} was acknowledged by {alert['acknowledged_by']} at {_instant(alert['acknowledged_at'])} "
                    "already; `alerts resolve` ends it."
                )
            action = _action("acknowledged", by, note or "Acknowledged.", now)
            _execute(connection, "acknowledge_alert", {"id": alert["id"], "by": by, "now": now, "action": action})
        return str(alert["title"])

    def escalate(self, identity: str, to: str, by: str, now: datetime) -> str:
        """Notes that a person hands the alert on, and returns its title."""
        with self._database.transaction() as connection:
            alert = _open_alert(connection, identity)
            action = _action("escalated", by, f"Escalated to {to}.", now)
            _execute(connection, "escalate_alert", {"id": alert["id"], "to": to, "action": action})
        return str(alert["title"])

    def resolve(self, identity: str, note: str, by: str, now: datetime) -> str:
        """Ends the alert, and returns its title; what it was raised for does not raise it again."""
        with self._database.transaction() as connection:
            alert = _open_alert(connection, identity)
            action = _action("resolved", by, note, now)
            _execute(connection, "resolve_alert", {"id": alert["id"], "note": note, "now": now, "action": action})
        return str(alert["title"])

    def rules(self) -> list[dict[str, Any]]:
        """Every rule by name, that for all stores before those of single stores."""
        with self._database.transaction() as connection:
            return _rows(connection, "listed_rules", {})

    def set_rule(
        self,
        rule: str,
        *,
        store: str | None = None,
        warning: float | None = None,
        critical: float | None = None,
        is_enabled: bool | None = None,
    ) -> None:
        """Changes what is given of a rule; for a store, of its own row, which begins as the rule for all stores is now.

        Raises ConfigurationError for a rule or store that is not there, and for thresholds that cannot be meant.
        """
        with self._database.transaction() as connection:
            store_id = None if store is None else store_of_name(connection, store)
            if store_id is not None:
                _execute(connection, "add_rule_of_store", {"rule": rule, "store_id": store_id})
            found = _rows(connection, "lock_rule", {"rule": rule, "store_id": store_id})
            if not found:
                names = sorted({row["rule_name"] for row in _rows(connection, "listed_rules", {})})
                raise ConfigurationError(f"There is no alert rule {rule!r}; there are {', '.join(names)}.")
            present = found[0]
            wanted = {
                "warning": present["warning_threshold"] if warning is None else warning,
                "critical": present["critical_threshold"] if critical is None else critical,
                "is_enabled": present["is_enabled"] if is_enabled is None else is_enabled,
            }
            _check_thresholds(rule, present["comparison"], wanted["warning"], wanted["critical"])
            _execute(connection, "set_rule", {**wanted, "rule": rule, "store_id": store_id})


def _check_thresholds(rule: str, comparison: str, warning: float | None, critical: float | None) -> None:
    for name, value in (("warning", warning), ("critical", critical)):
        if value is not None and not math.isfinite(value):
            raise ConfigurationError(f"{value} as {name} threshold of rule {rule} cannot be meant; give a number.")
    if warning is None or critical is None:
        return
    if (critical < warning) if comparison.startswith(">") else (critical > warning):
        raise ConfigurationError(
            f"Rule {rule} would be critical from {critical:g} and a warning from {warning:g}, and holds for values {comparison} "
            "these: critical must be the worse of both."
        )


def _open_alert(connection: PgConnection, identity: str) -> dict[str, Any]:
    wanted = identity.lower()
    found = _rows(connection, "lock_alert", {"id": wanted}) if _IDENTITY.fullmatch(wanted) else []
    if not found:
        raise ConfigurationError(f"There is no alert {identity!r}; `retail-sensors alerts` shows those that are open.")
    if len(found) > 1:
        raise ConfigurationError(
            f"More than one alert starts with {identity!r}; give more of it, as `alerts --json` does."
        )
    alert = found[0]
    if alert["resolved"]:
        raise ConfigurationError(
            f"Alert {identity} ({alert['title']}) was resolved at {_instant(alert['resolved_at'])}; nothing was changed."
        )
    return alert


def tell_removed(connection: PgConnection, sensor_ids: Sequence[str], roster: Roster, now: datetime) -> None:
    """Tells the routes, within the caller's transaction, that the open alerts of cameras end which it is about to remove.

    The alerts go with their cameras, and what was said of them with the alerts: the message is written in their place.
    """
    lock_writers(connection, ALERTS_GENERATED)
    lock_writers(connection, NOTIFICATIONS)
    _execute(connection, "lock_open_alerts", {})
    cameras = sql.Literal(list(sensor_ids))
    is_open = sql.SQL("NOT resolved AND sensor_id = ANY ({}::uuid[])").format(cameras)
    alerts = read_frame(connection, ALERTS_GENERATED, is_open)
    if alerts.empty:
        return
    about = sql.SQL("alert_id = ANY ({}::uuid[])").format(sql.Literal(list(alerts["id"])))
    routes, _ = routes_of(read_frame(connection, ALERT_ROUTES), roster)
    due = removal_due(routes, alerts, read_frame(connection, NOTIFICATIONS, about), roster, now)
    merge_frame(connection, NOTIFICATIONS, due, asset=NOTIFICATIONS.name, mode="merge")


def store_of_name(connection: PgConnection, name: str) -> str:
    """The identity of a store, named alone or as ORGANIZATION/NAME. Raises ConfigurationError for none and for several."""
    found = _rows(connection, "stores_of_name", {"name": name})
    if not found:
        raise ConfigurationError(f"There is no store {name!r}; `retail-sensors cameras list` shows the stores.")
    if len(found) > 1:
        full = " or ".join(f"{row['organization_name']}/{row['store_name']}" for row in found)
        raise ConfigurationError(f"More than one store is called {name!r}; write {full}.")
    return str(found[0]["id"])


def _query(name: str) -> str:
    return queries("alerts")[name]


def _rows(connection: PgConnection, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(_query(name), parameters)
        return [dict(row) for row in cursor.fetchall()]


def _execute(connection: PgConnection, name: str, parameters: Mapping[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_query(name), parameters)


def _action(action: str, by: str, result: str, now: datetime) -> str:
    taken = {"action": action, "timestamp": now.isoformat(), "by": by, "result": result}
    return json.dumps([taken], ensure_ascii=False)


def _instant(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="minutes")
