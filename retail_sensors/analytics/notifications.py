"""Which messages are due: alerts, routes and the messages so far to the rows of NOTIFICATIONS that are new or changed.

What happened to an alert is told to a route once. It is

    sent       at once, where the route asks for it;
    held       in the route's quiet hours, unless it is critical, and in the cool-down after the last message about the same rule
               and camera or store, where a new alert is concerned: what makes a known one worse, and its end, pass;
    dropped    when the alert has ended before anybody was told, when something later has been told, and with the end of an alert
               of which the route was told nothing.

What quiet hours held back and still matters when they end becomes one message. What is older than a day is told to nobody.
Sending belongs in `connectors.messages`; the words in `notification_texts`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from retail_sensors.analytics.alert_rules import SEVERITIES
from retail_sensors.analytics.frames import from_records, records
from retail_sensors.analytics.localtime import day_starts
from retail_sensors.analytics.notification_texts import (
    Text,
    Where,
    alert_message,
    failed_run_message,
    removal_message,
    summary_message,
    trial_message,
)
from retail_sensors.analytics.roster import Roster
from retail_sensors.analytics.selection import chosen
from retail_sensors.errors import ConfigurationError
from retail_sensors.tables.notifications import ALERT_EVENTS, NOTIFICATIONS

NEWS = timedelta(days=1)
"""What happened longer ago is no news."""
WAITS = tuple(timedelta(minutes=minutes) for minutes in (4, 8, 16, 32, 64, 128, 240, 240, 240, 240))
"""How long after the begin of each try the next one waits; there is none after the last. Runs come every 5 minutes."""

FAILED_RUN_SEVERITY, FAILED_RUN_TYPE = "warning", "system"
"""What the filters of a route take a failed run for."""

REMOVED = "The camera was removed."
"""Why an alert ends that goes with its camera."""

_EPOCH = date(1970, 1, 1)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `sensor_ids`: the cameras whose alerts take it, None: all, and the alerts of stores; `quiet`: from, until;
    `zone`: that of its own store, for what happens in no store."""

    id: str
    name: str
    organization_id: str | None
    store_id: str | None
    min_severity: str
    rules: frozenset[str]
    alert_types: frozenset[str]
    sensor_ids: frozenset[str] | None
    events: frozenset[str]
    quiet: tuple[time, time] | None
    is_critical_held: bool
    cool_down: timedelta
    zone: str

    def takes(self, alert: Row, organization_id: str) -> bool:
        """Whether what happens to the alert goes this way, whatever its severity."""
        return (
            self.organization_id in (None, organization_id)
            and self.store_id in (None, alert["store_id"])
            and (not self.rules or alert["rule_name"] in self.rules)
            and (not self.alert_types or alert["alert_type"] in self.alert_types)
            and (self.sensor_ids is None or alert["sensor_id"] in self.sensor_ids)
        )

    @property
    def takes_failed_runs(self) -> bool:
        """Whether it is told of failed runs: it asks for them, and none of its filters keeps them out."""
        return "run_failed" in self.events and not self.filters_against_failed_runs

    @property
    def filters_against_failed_runs(self) -> list[str]:
        """Those of its filters that no failed run passes."""
        return filters_against_failed_runs(
            self.min_severity,
            self.organization_id,
            self.store_id,
            self.rules,
            self.alert_types,
            is_of_cameras=self.sensor_ids is not None,
        )

    def reaches(self, severity: str) -> bool:
        """Whether the severity is enough."""
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.min_severity)

    def quiet_end(self, severity: str, zone: str, now: datetime) -> datetime | None:
        """When the quiet hours end that hold back a message now; None: it may be sent."""
        if self.quiet is None or (severity == "critical" and not self.is_critical_held):
            return None
        return quiet_until(*self.quiet, zone, now)


def filters_against_failed_runs(
    min_severity: str,
    organization: str | None,
    store: str | None,
    rules: Collection[str],
    alert_types: Collection[str],
    *,
    is_of_cameras: bool,
) -> list[str]:
    """Those of a route's filters that no failed run passes, as `routes add` calls them; none: the route can be told of one.

    A failed run is a warning of type `system`, and of no organization, store, rule or camera: what is bound to one of these does
    not get it, as with every router that matches labels. Organization and store may be names or ids.
    """
    keeps_out = {
        "--severity": SEVERITIES.index(min_severity) > SEVERITIES.index(FAILED_RUN_SEVERITY),
        "--organization": organization is not None,
        "--store": store is not None,
        "--rule": bool(rules),
        "--type": bool(alert_types) and FAILED_RUN_TYPE not in alert_types,
        "--camera": is_of_cameras,
    }
    return [option for option, is_against in keeps_out.items() if is_against]


def deaf_to_failed_runs(filters: Sequence[str]) -> str:
    """What is to be said of a route that asks for failed runs, and has these filters against them."""
    return (
        f"It asks for failed runs and is told of none: a failed run is a {FAILED_RUN_SEVERITY} of type {FAILED_RUN_TYPE}, and of no "
        f"organization, store, rule or camera, and it is bound by {', '.join(filters)}; make a route of its own for run_failed."
    )


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an alert; `severity` since then, `before` until then, None: there was no alert."""

    name: str
    at: datetime
    severity: str
    before: str | None
    result: str | None


def quiet_until(start: time, end: time, zone: str, now: datetime) -> datetime | None:
    """The end of the quiet hours that hold at `now` by the zone's clock; None: there are none.

    A time that the clock skips is the first instant after the gap; of a time that comes twice it is the first.
    """
    today = now.astimezone(ZoneInfo(zone)).date()
    for day in (today - timedelta(days=1), today):
        last = day + timedelta(days=int(end <= start))
        until = _instant(last, end, zone)
        if _instant(day, start, zone) <= now < until:
            return until
    return None


def routes_of(rows: pd.DataFrame, roster: Roster) -> tuple[list[Route], dict[str, str]]:
    """The routes that are switched on, by name, and what is wrong with them, by name.

    A route whose words name no camera is not among the routes. One that asks for failed runs and shuts them out is told of alerts
    all the same.
    """
    identities = dict(zip(roster.sensors["sensor_name"], roster.sensors["id"], strict=True))
    zones = dict(zip(roster.stores["id"], roster.stores["timezone"], strict=True))
    routes: list[Route] = []
    problems: dict[str, str] = {}
    for row in sorted(records(rows), key=lambda one: str(one["route_name"])):
        if not row["is_enabled"]:
            continue
        words = json.loads(row["cameras"])
        try:
            cameras = frozenset(identities[name] for name in chosen(roster.places, words)) if words else None
        except ConfigurationError as error:
            problems[row["route_name"]] = str(error)
            continue
        route = Route(
            id=row["id"],
            name=row["route_name"],
            organization_id=row["organization_id"],
            store_id=row["store_id"],
            min_severity=row["min_severity"],
            rules=frozenset(json.loads(row["rules"])),
            alert_types=frozenset(json.loads(row["alert_types"])),
            sensor_ids=cameras,
            events=frozenset(json.loads(row["events"])),
            quiet=None if row["quiet_from"] is None else (row["quiet_from"], row["quiet_until"]),
            is_critical_held=row["is_critical_held"],
            cool_down=timedelta(minutes=row["cool_down_minutes"]),
            zone=zones.get(row["store_id"], "UTC"),
        )
        if "run_failed" in route.events and route.filters_against_failed_runs:
            problems[route.name] = deaf_to_failed_runs(route.filters_against_failed_runs)
        routes.append(route)
    return routes, problems


def alerts_due(
    routes: Sequence[Route], alerts: pd.DataFrame, messages: pd.DataFrame, roster: Roster, now: datetime
) -> pd.DataFrame:
    """The rows of NOTIFICATIONS that are new or changed at `now`; whole rows.

    `alerts`: rows of ALERTS_GENERATED, all open ones and those that ended within a day. `messages`: rows of NOTIFICATIONS, all
    about these alerts, all that wait, and those of the last 30 days. The same call again, with its result among the messages,
    gives no row.
    """
    return from_records(NOTIFICATIONS, _Desk(records(alerts), records(messages), roster, now).opened(routes))


def removal_due(
    routes: Sequence[Route], alerts: pd.DataFrame, messages: pd.DataFrame, roster: Roster, now: datetime
) -> pd.DataFrame:
    """The rows of NOTIFICATIONS about alerts that end since their cameras are removed just now: one to each route that was told
    of some of them and asks for the end of alerts.

    `alerts`: the open rows of ALERTS_GENERATED of these cameras. `messages`: rows of NOTIFICATIONS about them. These go with the
    cameras, so the row is of no alert. In quiet hours it is sent when they end.
    """
    desk = _Desk(records(alerts), records(messages), roster, now)
    return from_records(NOTIFICATIONS, [row for route in routes if (row := desk.removed(route)) is not None])


def failed_run_due(
    routes: Sequence[Route], messages: pd.DataFrame, run_id: str, job: str, sentence: str, now: datetime
) -> pd.DataFrame:
    """The rows of NOTIFICATIONS about a run that failed just now: of each route that takes failed runs and does not know of it."""
    known = records(messages)
    text = failed_run_message(run_id, job, sentence, now)
    topic = f"job {job}"
    rows: list[Row] = []
    for route in routes:
        if not route.takes_failed_runs or any(row["route_id"] == route.id and row["run_id"] == run_id for row in known):
            continue
        row = _row(route, "run_failed", now, FAILED_RUN_SEVERITY, topic, text, run_id=run_id)
        last = _last_told(known).get((route.id, topic))
        if last is not None and now - last < route.cool_down:
            row |= _dropped(f"Another run of {job} failed within the cool-down.")
        else:
            row |= _held_or_pending(route, FAILED_RUN_SEVERITY, route.zone, now)
        rows.append(row)
    return from_records(NOTIFICATIONS, rows)


def trial(route_id: str, route_name: str, now: datetime) -> pd.DataFrame:
    """The row of NOTIFICATIONS by which a person tries a route."""
    text = trial_message(route_name, now)
    row: Row = {
        **_blank("warning", text),
        "id": _identity(route_id, "test", "", now),
        "route_id": route_id,
        "event": "test",
        "event_at": now,
        "topic": "test",
        "state": "pending",
        "next_try_at": now,
    }
    return from_records(NOTIFICATIONS, [row])


class _Desk:
    """One evaluation: what is known, and what has come of it so far."""

    def __init__(self, alerts: list[Row], messages: list[Row], roster: Roster, now: datetime) -> None:
        self._now = now
        self._alerts = {row["id"]: row for row in sorted(alerts, key=lambda row: (row["timestamp"], row["id"]))}
        self._rows = {row["id"]: row for row in messages}
        self._before = dict(self._rows)
        self._told_at = _last_told(messages)
        stores, sensors = roster.stores, roster.sensors
        self._stores = {row["id"]: row for row in records(stores[["id", "organization_id", "store_name", "timezone"]])}
        self._cameras = dict(zip(sensors["id"], sensors["sensor_name"], strict=True))
        self._of_alert: dict[tuple[str, str], list[str]] = {}
        for row in messages:
            if row["alert_id"] is not None:
                self._of_alert.setdefault((row["route_id"], row["alert_id"]), []).append(row["id"])

    def opened(self, routes: Sequence[Route]) -> list[Row]:
        """The rows that change."""
        for row in list(self._rows.values()):
            if row["state"] == "pending" and self._is_hopeless(row):
                self._put({**row, "state": "failed", "next_try_at": None, "last_error": row["last_error"] or _TOO_LATE})
        for route in routes:
            for alert in self._alerts.values():
                place = self._stores.get(alert["store_id"])
                if place is not None and route.takes(alert, place["organization_id"]):
                    self._tell(route, alert, place)
            self._release(route)
        changed = [row for key, row in self._rows.items() if self._before.get(key) != row]
        return sorted(changed, key=lambda row: (row["event_at"], row["id"]))

    def removed(self, route: Route) -> Row | None:
        """The message about all alerts of which the route was told, as their cameras go; None: there is nothing to tell."""
        ended: list[tuple[Row, Row, Text]] = []
        for alert in self._alerts.values():
            place = self._stores.get(alert["store_id"])
            event = Event("resolved", self._now, alert["severity"], None, REMOVED)
            if place is None or not route.takes(alert, place["organization_id"]) or not _is_wanted(route, event):
                continue
            if self._has_heard(route, alert):
                where = Where(place["store_name"], place["timezone"], self._cameras.get(alert["sensor_id"]))
                text = alert_message(event.name, event.at, event.severity, event.result, alert, where)
                ended.append((alert, place, text))
        if not ended:
            return None
        severity = max((alert["severity"] for alert, _, _ in ended), key=SEVERITIES.index)
        text = removal_message([text for _, _, text in ended], self._now)
        quiet = (route.quiet_end(severity, place["timezone"], self._now) for _, place, _ in ended)
        until = max((end for end in quiet if end is not None), default=self._now)
        row = _row(route, "summary", self._now, severity, "summary", text)
        return {**row, "state": "pending", "next_try_at": until}

    def _has_heard(self, route: Route, alert: Row) -> bool:
        """Whether the route was sent a message of the alert, or may have been: one that nobody has begun to send goes with it."""
        rows = [self._rows[key] for key in self._of_alert.get((route.id, alert["id"]), ())]
        return any(
            row["state"] == "sent" or row["summary_id"] is not None or (row["state"] == "pending" and row["attempts"])
            for row in rows
        )

    def _is_hopeless(self, row: Row) -> bool:
        """Whether its last try was broken off, or nobody has tried for a day."""
        late = self._now - row["next_try_at"]
        return late > NEWS or (row["attempts"] >= len(WAITS) and late >= timedelta(0))

    def _tell(self, route: Route, alert: Row, place: Row) -> None:
        """What has happened to the alert and is new to the route."""
        where = Where(place["store_name"], place["timezone"], self._cameras.get(alert["sensor_id"]))
        topic = f"{alert['rule_name']} {alert['sensor_id'] or alert['store_id']}"
        new: list[Row] = []
        for event in _events(alert):
            if not _is_wanted(route, event) or not timedelta(0) <= self._now - event.at <= NEWS:
                continue
            text = alert_message(event.name, event.at, event.severity, event.result, alert, where)
            row = _row(route, event.name, event.at, event.severity, topic, text, alert_id=alert["id"])
            if row["id"] not in self._rows:
                new.append(row)
        if not new:
            return
        if alert["resolved"] and not self._is_told(route, alert):
            return
        for older in new[:-1]:
            self._put(older | _dropped("Overtaken by what happened later."))
        row = new[-1]
        if alert["resolved"] and row["event"] != "resolved":
            row |= _dropped("The alert had ended before this could be told.")
        else:
            row |= self._timed(route, row, place["timezone"])
        self._put(row)

    def _is_told(self, route: Route, alert: Row) -> bool:
        """Whether the route has been, or is about to be, told of the alert."""
        rows = [self._rows[key] for key in self._of_alert.get((route.id, alert["id"]), ())]
        return any(row["state"] in ("pending", "sent") or row["summary_id"] is not None for row in rows)

    def _timed(self, route: Route, row: Row, zone: str) -> Row:
        """When the message is sent: at once, or after quiet hours or cool-down."""
        last = self._told_at.get((route.id, row["topic"]))
        if row["event"] == "raised" and last is not None and self._now - last < route.cool_down:
            return _held("cool_down", last + route.cool_down, "The same was told a short while before.")
        timed = _held_or_pending(route, row["severity"], zone, self._now)
        if timed["state"] == "pending":
            self._told_at[route.id, row["topic"]] = self._now
        return timed

    def _release(self, route: Route) -> None:
        """What was held back until now: told, told with others, or dropped."""
        groups: dict[datetime, list[Row]] = {}
        waiting = [row for row in self._rows.values() if row["route_id"] == route.id and row["state"] == "held"]
        for row in sorted(waiting, key=lambda row: (row["event_at"], row["id"])):
            if row["summary_id"] is not None or row["next_try_at"] > self._now:
                continue
            alert = self._alerts.get(row["alert_id"])
            if row["event"] in ("raised", "severity_raised", "escalated") and (alert is None or alert["resolved"]):
                self._put(row | _dropped("The alert had ended before this could be told."))
            elif self._is_overtaken(row):
                self._put(row | _dropped("Overtaken by what happened later."))
            elif self._now - row["next_try_at"] > NEWS:
                # Its route was switched off, or nothing ran.
                self._put(row | _dropped(_TOO_LATE))
            else:
                place = self._stores.get(alert["store_id"]) if alert else None
                zone = place["timezone"] if place else route.zone
                until = route.quiet_end(row["severity"], zone, self._now)
                if until is not None:
                    self._put(row | _held("quiet_hours", until, _QUIET))
                elif row["held_for"] == "cool_down":
                    self._put(row | self._timed(route, row, zone))
                else:
                    groups.setdefault(row["next_try_at"], []).append(row)
        for until, rows in groups.items():
            severity = max((row["severity"] for row in rows), key=SEVERITIES.index)
            text = summary_message(rows, until)
            summary = _row(route, "summary", until, severity, "summary", text)
            if summary["id"] in self._rows:
                # A slow run held it back after the summary had been made.
                summary = _row(route, "summary", self._now, severity, "summary", text)
            self._put(summary | {"state": "pending", "next_try_at": self._now})
            for row in rows:
                self._put(row | {"summary_id": summary["id"]})

    def _is_overtaken(self, row: Row) -> bool:
        """Whether something later about the same alert was sent or waits itself."""
        others = (self._rows[key] for key in self._of_alert.get((row["route_id"], row["alert_id"] or ""), ()))
        return any(
            other["event_at"] > row["event_at"] and other["state"] in ("pending", "sent", "held") for other in others
        )

    def _put(self, row: Row) -> None:
        if row["id"] not in self._rows and row["alert_id"] is not None:
            self._of_alert.setdefault((row["route_id"], row["alert_id"]), []).append(row["id"])
        self._rows[row["id"]] = row


_TOO_LATE = "It could not be sent within a day."
_QUIET = "It came in the quiet hours."


def _events(alert: Row) -> Iterator[Event]:
    """What happened to the alert, oldest first."""
    actions = json.loads(alert["actions_taken"])
    rises = any(action["action"] == "severity_raised" for action in actions)
    # A severity never falls, and there are two.
    severity = SEVERITIES[0] if rises else alert["severity"]
    yield Event("raised", alert["timestamp"], severity, None, None)
    for action in actions:
        if action["action"] not in ALERT_EVENTS:
            continue
        before, severity = severity, alert["severity"] if action["action"] == "severity_raised" else severity
        yield Event(
            action["action"], datetime.fromisoformat(action["timestamp"]), severity, before, action.get("result")
        )


def _is_wanted(route: Route, event: Event) -> bool:
    """Whether the route asks for it; an alert that rises to the route's severity begins for the route."""
    if not route.reaches(event.severity):
        return False
    if event.name in route.events:
        return True
    begins = event.before is not None and not route.reaches(event.before)
    return event.name == "severity_raised" and begins and "raised" in route.events


def _instant(day: date, at: time, zone: str) -> datetime:
    seconds = at.hour * 3600 + at.minute * 60 + at.second
    return datetime.fromtimestamp(int(day_starts(np.array([(day - _EPOCH).days]), seconds, zone)[0]), UTC)


def _last_told(messages: Iterable[Row]) -> dict[tuple[str, str], datetime]:
    """When each route was last told, or is about to be, of each topic."""
    told: dict[tuple[str, str], datetime] = {}
    for row in messages:
        if row["state"] in ("pending", "sent"):
            at = row["sent_at"] or row["event_at"]
            key = row["route_id"], row["topic"]
            told[key] = max(at, told.get(key, at))
    return told


def _held_or_pending(route: Route, severity: str, zone: str, now: datetime) -> Row:
    until = route.quiet_end(severity, zone, now)
    if until is not None:
        return _held("quiet_hours", until, _QUIET)
    return {"state": "pending", "next_try_at": now}


def _held(held_for: str, until: datetime, reason: str) -> Row:
    return {"state": "held", "held_for": held_for, "next_try_at": until, "reason": reason}


def _dropped(reason: str) -> Row:
    return {"state": "dropped", "reason": reason, "next_try_at": None}


def _identity(route_id: str, event: str, subject: str, at: datetime) -> str:
    return str(uuid5(NAMESPACE_URL, f"{route_id} {event} {subject} {at.astimezone(UTC).isoformat()}"))


def _blank(severity: str, text: Text) -> Row:
    return {
        "alert_id": None,
        "run_id": None,
        "severity": severity,
        "title": text.title,
        "body": text.body,
        "payload": text.payload,
        "held_for": None,
        "reason": None,
        "summary_id": None,
        "attempts": 0,
        "sent_at": None,
        "last_error": None,
    }


def _row(
    route: Route,
    event: str,
    at: datetime,
    severity: str,
    topic: str,
    text: Text,
    *,
    alert_id: str | None = None,
    run_id: str | None = None,
) -> Row:
    """A message that is new; its state is still to be said."""
    return {
        **_blank(severity, text),
        "id": _identity(route.id, event, alert_id or run_id or "", at),
        "route_id": route.id,
        "event": event,
        "alert_id": alert_id,
        "run_id": run_id,
        "event_at": at,
        "topic": topic,
    }
