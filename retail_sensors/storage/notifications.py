"""Routes and messages in the database: an outbox from which every message is sent at least once, and noted.

A message is written before it is sent, taken by one sender at a time, and noted when the other side has taken it. Whoever dies in
between leaves a message that is sent again, with the same identity, when its wait is over. Which messages are due belongs in
`analytics.notifications`, how one is sent in `connectors.messages`.
"""

from __future__ import annotations

import json
import time as clock_of_process
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

import pandas as pd
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import RealDictCursor

from retail_sensors.analytics.notifications import (
    NEWS,
    WAITS,
    deaf_to_failed_runs,
    filters_against_failed_runs,
)
from retail_sensors.connectors.messages import Delivery, Message
from retail_sensors.errors import ConfigurationError
from retail_sensors.storage.alerts import store_of_name
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import read_frame
from retail_sensors.storage.merge import lock_writers, merge_frame
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables.alerts import ALERTS_GENERATED
from retail_sensors.tables.notifications import ALERT_EVENTS, ALERT_ROUTES, EVENTS, NOTIFICATIONS

MEMORY = timedelta(days=30)
"""For how long a message counts for the cool-down; none is longer."""
LANES = 8
"""Routes that are served at once; each holds one of the pool's connections at times."""

_RECENT_MESSAGES = """state IN ('pending', 'held') OR event_at >= {since} OR alert_id IN (
  SELECT id FROM retail.alerts_generated WHERE NOT resolved OR resolved_at >= {news})"""

Change = Callable[[pd.DataFrame, pd.DataFrame, pd.DataFrame], pd.DataFrame]
"""From routes, alerts and messages to the rows of messages that are new or changed."""

Send = Callable[[Message, str, str | None], Delivery]
"""Sends a message to the target behind a reference, signed with the secret behind another."""


@dataclass(frozen=True, slots=True)
class NewRoute:
    """What a person says of a route; `organization` and `store` are names."""

    name: str
    target: str
    secret: str | None = None
    organization: str | None = None
    store: str | None = None
    min_severity: str = "warning"
    rules: Sequence[str] = ()
    alert_types: Sequence[str] = ()
    cameras: Sequence[str] = ()
    events: Sequence[str] = ALERT_EVENTS
    quiet: tuple[time, time] | None = None
    is_critical_held: bool = False
    cool_down_minutes: int = 0


@dataclass(slots=True)
class Sent:
    """What one round of sending came to: messages taken by the other side, and by route the reason of the last that was not, or
    not for all of its recipients."""

    count: int = 0
    errors: dict[str, str] = field(default_factory=dict)


class NotificationStore:
    """The routes and messages of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Messages -------------------------------------------------------------------------------------------------------

    def decide(self, change: Change, now: datetime) -> pd.DataFrame:
        """Reads routes, alerts and messages, and writes what `change` makes of them, in one transaction; returns it."""
        with self._database.transaction() as connection:
            lock_writers(connection, NOTIFICATIONS)
            news = sql.Literal(now - NEWS)
            alerts = sql.SQL("NOT resolved OR resolved_at >= {}").format(news)
            messages = sql.SQL(_RECENT_MESSAGES).format(since=sql.Literal(now - MEMORY), news=news)
            changed = change(
                read_frame(connection, ALERT_ROUTES),
                read_frame(connection, ALERTS_GENERATED, alerts),
                read_frame(connection, NOTIFICATIONS, messages),
            )
            is_told_by_another = changed["summary_id"].notna()
            # A summary before what it tells, whose rows refer to it.
            for part in (changed[~is_told_by_another], changed[is_told_by_another]):
                merge_frame(connection, NOTIFICATIONS, part, asset=NOTIFICATIONS.name, mode="merge")
        return changed

    def deliver(self, send: Send, clock: Callable[[], datetime], seconds: float) -> Sent:
        """Sends what is due, each route's messages in order and the routes beside each other; begins none after `seconds`.

        A route whose message is not taken is left alone until the next round.
        """
        deadline = clock_of_process.monotonic() + seconds
        due = {"now": clock(), "waits": list(WAITS)}
        with self._database.transaction() as connection:
            routes = [row["route_id"] for row in _rows(connection, "routes_with_messages", due)]
        sent = Sent()
        with ThreadPoolExecutor(max_workers=LANES, thread_name_prefix="route") as lanes:
            for one in lanes.map(lambda route: self._lane(route, send, clock, deadline), routes):
                sent.count += one.count
                sent.errors |= one.errors
        return sent

    def deliver_one(self, row: pd.DataFrame, send: Send, now: datetime) -> Delivery:
        """Writes a new message and sends it once, whatever becomes of it."""
        with self._database.transaction() as connection:
            lock_writers(connection, NOTIFICATIONS)
            merge_frame(connection, NOTIFICATIONS, row, asset=NOTIFICATIONS.name, mode="merge")
        message = self._claim(row["route_id"].iloc[0], now, row["id"].iloc[0])
        if message is None:
            return Delivery(False, "somebody else is sending it")
        return self._send(message, send, now, is_last=True)

    def _lane(self, route_id: str, send: Send, clock: Callable[[], datetime], deadline: float) -> Sent:
        sent = Sent()
        while clock_of_process.monotonic() < deadline:
            message = self._claim(route_id, clock())
            if message is None:
                break
            delivery = self._send(message, send, clock(), is_last=message["attempts"] >= len(WAITS))
            if not (delivery.is_taken and delivery.is_whole):
                sent.errors[message["route_name"]] = delivery.said
            if not delivery.is_taken:
                break
            sent.count += 1
        return sent

    def _claim(self, route_id: str, now: datetime, message_id: str | None = None) -> dict[str, Any] | None:
        """The next message of the route, which is nobody else's until its wait is over."""
        parameters = {"route_id": route_id, "now": now, "waits": list(WAITS), "id": message_id}
        with self._database.transaction() as connection:
            found = _rows(connection, "claim_message", parameters)
        return found[0] if found else None

    def _send(self, row: Mapping[str, Any], send: Send, now: datetime, *, is_last: bool) -> Delivery:
        message = Message(
            id=row["id"],
            title=row["title"],
            body=row["body"],
            payload=row["payload"],
            event=row["event"],
            severity=row["severity"],
        )
        delivery = send(message, row["target_reference"], row["secret_reference"])
        with self._database.transaction() as connection:
            if delivery.is_taken:
                error = None if delivery.is_whole else delivery.said
                _execute(connection, "note_sent", {"id": row["id"], "now": now, "error": error})
            else:
                _execute(connection, "note_failed_try", {"id": row["id"], "error": delivery.said, "is_last": is_last})
        return delivery

    def states(self, now: datetime) -> list[dict[str, Any]]:
        """How each route stands, by name: pending, held and failed messages (of a day), the last sent, the last error."""
        with self._database.transaction() as connection:
            return _rows(connection, "route_states", {"since": now - NEWS})

    def log(self, route: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest messages, of all routes or of one. Raises ConfigurationError for a route that is not there."""
        with self._database.transaction() as connection:
            if route is not None:
                _known_route(connection, route)
            return _rows(connection, "message_log", {"name": route, "limit": limit})

    # Routes ---------------------------------------------------------------------------------------------------------

    def routes(self) -> list[dict[str, Any]]:
        """Every route by name; `problem`: why it is not told of what it asks for, None where nothing is wrong with it."""
        with self._database.transaction() as connection:
            return [{**row, "problem": _problem(row)} for row in _rows(connection, "listed_routes", {})]

    def route(self, name: str) -> dict[str, Any]:
        """One route. Raises ConfigurationError where there is none of that name."""
        with self._database.transaction() as connection:
            return _known_route(connection, name)

    def add(self, route: NewRoute) -> None:
        """Stores a new route. Raises ConfigurationError for what cannot be meant, and for a name that is taken."""
        filters = filters_against_failed_runs(
            route.min_severity,
            route.organization,
            route.store,
            route.rules,
            route.alert_types,
            is_of_cameras=bool(route.cameras),
        )
        if "run_failed" in route.events and filters:
            raise ConfigurationError(f"Route {route.name} cannot be meant. {deaf_to_failed_runs(filters)}")
        with self._database.transaction() as connection:
            rules = [row["rule_name"] for row in _rows(connection, "names_of_rules", {})]
            for rule in route.rules:
                if rule not in rules:
                    raise ConfigurationError(f"There is no alert rule {rule!r}; there are {', '.join(rules)}.")
            for event in route.events:
                if event not in EVENTS:
                    raise ConfigurationError(f"There is no event {event!r}; there are {', '.join(EVENTS)}.")
            added = _rows(
                connection,
                "add_route",
                {
                    "route_name": route.name,
                    "target_reference": route.target,
                    "secret_reference": route.secret,
                    "organization_id": _organization(connection, route.organization),
                    "store_id": None if route.store is None else store_of_name(connection, route.store),
                    "min_severity": route.min_severity,
                    "rules": json.dumps(list(route.rules)),
                    "alert_types": json.dumps(list(route.alert_types)),
                    "cameras": json.dumps(list(route.cameras), ensure_ascii=False),
                    "events": json.dumps(list(route.events)),
                    "quiet_from": route.quiet[0] if route.quiet else None,
                    "quiet_until": route.quiet[1] if route.quiet else None,
                    "is_critical_held": route.is_critical_held,
                    "cool_down_minutes": route.cool_down_minutes,
                },
            )
            if not added:
                raise ConfigurationError(
                    f"There is a route {route.name!r} already; `retail-sensors alerts routes remove {route.name}` makes room."
                )

    def remove(self, name: str) -> None:
        """Removes a route with its messages. Raises ConfigurationError where there is none of that name."""
        with self._database.transaction() as connection:
            _known_route(connection, name)
            _execute(connection, "remove_route", {"name": name})

    def switch(self, name: str, *, is_enabled: bool) -> None:
        """Switches a route on or off. Raises ConfigurationError where there is none of that name."""
        with self._database.transaction() as connection:
            _known_route(connection, name)
            _execute(connection, "switch_route", {"name": name, "is_enabled": is_enabled})


def _problem(route: Mapping[str, Any]) -> str | None:
    """What is wrong with a stored route, which may be older than the refusal of such routes."""
    filters = filters_against_failed_runs(
        route["min_severity"],
        route["organization_name"],
        route["store_name"],
        route["rules"],
        route["alert_types"],
        is_of_cameras=bool(route["cameras"]),
    )
    return deaf_to_failed_runs(filters) if "run_failed" in route["events"] and filters else None


def _known_route(connection: PgConnection, name: str) -> dict[str, Any]:
    routes = {row["route_name"]: row for row in _rows(connection, "listed_routes", {})}
    if name not in routes:
        there = f"there are {', '.join(routes)}" if routes else "there is none yet, `alerts routes add` makes one"
        raise ConfigurationError(f"There is no route {name!r}; {there}.")
    return routes[name]


def _organization(connection: PgConnection, name: str | None) -> str | None:
    if name is None:
        return None
    found = _rows(connection, "organization_of_name", {"name": name})
    if not found:
        raise ConfigurationError(f"There is no organization {name!r}; the fleet file names those that there are.")
    return str(found[0]["id"])


def _rows(connection: PgConnection, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(queries("notifications")[name], parameters)
        return [dict(row) for row in cursor.fetchall()]


def _execute(connection: PgConnection, name: str, parameters: Mapping[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(queries("notifications")[name], parameters)
