"""`retail-sensors alerts routes`: who is told of alerts, by which way and when; and what was sent.

Here belong options and words for the terminal, those too that all of `alerts` shares; what they do belongs in
`storage.notifications`, sending in `connectors.messages`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from retail_sensors.cli.terminal import AsJson, console, print_json
from retail_sensors.errors import ConfigurationError, RetailSensorsError
from retail_sensors.installation import Installation, opened
from retail_sensors.secrets import check_reference
from retail_sensors.tables.notifications import ALERT_EVENTS

if TYPE_CHECKING:
    from retail_sensors.storage.notifications import NotificationStore

app = typer.Typer(help="Who is told of alerts, by which way and when; what was sent.")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_LONGEST_COOL_DOWN = 30 * 24 * 60

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the route.", show_default=False)]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="NAME",
        help="For this store only; a name that stands twice as ORGANIZATION/NAME.",
        show_default=False,
    ),
]
Severity = Literal["warning", "critical"]


class AlertType(StrEnum):
    """One type of alerts; for options that may be repeated typer takes an Enum, and no Literal."""

    CAPACITY = "capacity"
    QUEUE = "queue"
    CONVERSION = "conversion"
    ANOMALY = "anomaly"
    SYSTEM = "system"


class EventName(StrEnum):
    """One of `tables.notifications.EVENTS`."""

    RAISED = "raised"
    SEVERITY_RAISED = "severity_raised"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    RUN_FAILED = "run_failed"


@app.callback(invoke_without_command=True)
def routes(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the routes, and how they stand."""
    if context.invoked_subcommand is not None:
        return
    with _store() as (store, _):
        listed = store.routes()
        states = {state["route_name"]: state for state in store.states(datetime.now(UTC))}
    if as_json:
        print_json([{**route, **states[route["route_name"]]} for route in listed])
    elif listed:
        console().print(_routes_table(listed, states))
    else:
        typer.echo("There is no route: nobody is told of alerts. `retail-sensors alerts routes add` makes one.")


@app.command()
def add(
    name: Name,
    target: Annotated[
        str,
        typer.Option(
            metavar="REFERENCE",
            help="Where the address is kept: env:NAME or file:PATH. The address: one of Apprise, or webhook+https://...",
            show_default=False,
        ),
    ],
    secret: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE",
            help="Where the whsec_... is kept that signs webhooks: env:NAME or file:PATH.",
            show_default=False,
        ),
    ] = None,
    severity: Annotated[Severity, typer.Option(help="The least that is told.")] = "warning",
    organization: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only its stores.", show_default=False)
    ] = None,
    store: Store = None,
    rule: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only alerts of this rule; repeatable.", show_default=False)
    ] = None,
    alert_type: Annotated[
        list[AlertType] | None,
        typer.Option("--type", help="Only alerts of this type; repeatable.", show_default=False),
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD",
            help="Only alerts of these cameras: a name, group:NAME, tag:WORD, store:NAME; repeatable.",
            show_default=False,
        ),
    ] = None,
    event: Annotated[
        list[EventName] | None,
        typer.Option(help="What is told; repeatable. Unsaid: all that happens to alerts.", show_default=False),
    ] = None,
    is_for_escalations: Annotated[
        bool, typer.Option("--escalations-only", help="The same as --event escalated.")
    ] = False,
    quiet: Annotated[
        str | None,
        typer.Option(
            metavar="FROM-UNTIL",
            help="Quiet hours by the store's clock, like 22:00-07:00: what is not critical waits.",
            show_default=False,
        ),
    ] = None,
    is_critical_held: Annotated[
        bool, typer.Option("--hold-critical", help="Critical alerts wait in quiet hours, too.")
    ] = False,
    cool_down: Annotated[
        int,
        typer.Option(
            min=0, max=_LONGEST_COOL_DOWN, help="Minutes for which a new alert of the same rule and subject waits."
        ),
    ] = 0,
) -> None:
    """Make a route."""
    from retail_sensors.storage.notifications import NewRoute

    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name for a route; write up to 63 letters, digits, _, - and ., a letter or digit first."
        )
    if is_for_escalations and event:
        raise ConfigurationError("--escalations-only and --event say two things; write one of them.")
    events = ["escalated"] if is_for_escalations else [one.value for one in event or []] or list(ALERT_EVENTS)
    if set(events) & set(ALERT_EVENTS) == {"resolved"}:
        raise ConfigurationError(
            "--event resolved alone tells nothing: the end of an alert goes to a route that was told of it; add --event raised."
        )
    if is_critical_held and quiet is None:
        raise ConfigurationError("--hold-critical is about quiet hours, and there are none; add --quiet 22:00-07:00.")
    _check_reference("--target", target)
    if secret is not None:
        _check_reference("--secret", secret)
    quiet_hours = None if quiet is None else _quiet(quiet)
    with _store() as (stored, installation):
        _check_cameras(installation, camera or [])
        stored.add(
            NewRoute(
                name=name,
                target=target,
                secret=secret,
                organization=organization,
                store=store,
                min_severity=severity,
                rules=rule or [],
                alert_types=[one.value for one in alert_type or []],
                cameras=camera or [],
                events=events,
                quiet=quiet_hours,
                is_critical_held=is_critical_held,
                cool_down_minutes=cool_down,
            )
        )
    typer.echo(f"Route {name} is made; `retail-sensors alerts routes test {name}` tries it.")


@app.command()
def test(name: Name) -> None:
    """Send a test message, and tell what the other side said."""
    from retail_sensors.analytics.notifications import trial
    from retail_sensors.resources.notifier import build_messenger

    now = datetime.now(UTC)
    with _store() as (store, installation):
        route = store.route(name)
        messenger = build_messenger(installation.settings, lambda: datetime.now(UTC))
        delivery = store.deliver_one(trial(route["id"], name, now), messenger.send, now)
    if not delivery.is_taken:
        raise RetailSensorsError(f"Route {name} did not take the message: {delivery.said}")
    if not delivery.is_whole:
        raise RetailSensorsError(f"Route {name} took the message, but not for everybody: {delivery.said}")
    typer.echo(f"Route {name} took the message: {delivery.said}.")


@app.command()
def remove(name: Name) -> None:
    """Remove a route, with the log of its messages."""
    with _store() as (store, _):
        store.remove(name)
    typer.echo(f"Route {name} is removed.")


@app.command()
def switch(
    name: Name,
    is_enabled: Annotated[bool, typer.Option("--on/--off", help="Whether anything is sent.", show_default=False)],
) -> None:
    """Switch a route on or off; what waits for a day is not sent any more."""
    with _store() as (store, _):
        store.switch(name, is_enabled=is_enabled)
    typer.echo(f"Route {name} is switched {'on' if is_enabled else 'off'}.")


@app.command()
def log(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this route.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many messages.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Show the newest messages: sent, held back, dropped, failed."""
    with _store() as (store, _):
        listed = store.log(name, limit)
    if as_json:
        print_json(listed)
    elif listed:
        console().print(_log_table(listed))
    else:
        typer.echo("There has been no message.")


@contextmanager
def _store() -> Iterator[tuple[NotificationStore, Installation]]:
    from retail_sensors.storage.notifications import NotificationStore

    with opened() as installation:
        yield NotificationStore(installation.database), installation


def _check_cameras(installation: Installation, words: Sequence[str]) -> None:
    if words:
        from retail_sensors.analytics.selection import chosen
        from retail_sensors.storage.fleet import FleetRegistry

        chosen(FleetRegistry(installation.database).roster().places, words)


def _check_reference(option: str, reference: str) -> None:
    try:
        check_reference(reference)
    except ValueError:
        # What was written may be an address with its secrets: it is not repeated.
        raise ConfigurationError(
            f"{option} is not a reference; write env:NAME or file:PATH, and keep the address or secret in that variable or file."
        ) from None


def _quiet(text: str) -> tuple[time, time]:
    found = _QUIET.fullmatch(text)
    parts = [] if found is None else [int(part) for part in found.groups()]
    if not parts or parts[:2] == parts[2:]:
        raise ConfigurationError(f"--quiet {text} is no span of a day; write two different times like 22:00-07:00.")
    from_hour, from_minute, until_hour, until_minute = parts
    return time(from_hour, from_minute), time(until_hour, until_minute)


def _routes_table(listed: Sequence[Mapping[str, Any]], states: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title=f"{len(listed)} route{'' if len(listed) == 1 else 's'}")
    for heading in (
        "Route",
        "Target",
        "Takes",
        "Events",
        "Quiet",
        "Cool-down",
        "On",
        "Waiting",
        "Last sent",
        "Trouble",
    ):
        table.add_column(heading, overflow="fold")
    for route in listed:
        state = states[route["route_name"]]
        quiet = "" if route["quiet_from"] is None else f"{route['quiet_from']:%H:%M}-{route['quiet_until']:%H:%M}"
        cells = (
            route["route_name"],
            route["target_reference"],
            _takes(route),
            ", ".join(route["events"]),
            f"{quiet}, critical too" if route["is_critical_held"] else quiet,
            f"{route['cool_down_minutes']} min" if route["cool_down_minutes"] else "",
            "yes" if route["is_enabled"] else "no",
            str(state["pending"] + state["held"]),
            _at(state["sent_at"]),
            "; ".join(filter(None, (state["last_error"], route["problem"]))),
        )
        table.add_row(*map(escape, cells))
    return table


def _takes(route: Mapping[str, Any]) -> str:
    said = [
        route["organization_name"],
        route["store_name"],
        "critical" if route["min_severity"] == "critical" else None,
        *route["rules"],
        *route["alert_types"],
        *route["cameras"],
    ]
    return ", ".join(word for word in said if word) or "all"


def _log_table(listed: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"{len(listed)} message{'' if len(listed) == 1 else 's'}")
    for heading in ("Happened", "Route", "Event", "Message", "State", "Sent", "Tries", "Note"):
        table.add_column(heading, overflow="fold")
    for row in listed:
        waits = row["state"] in ("pending", "held") and row["summary_id"] is None
        notes = (
            row["last_error"],
            row["reason"],
            "told in a summary" if row["summary_id"] else None,
            f"from {_at(row['next_try_at'])}" if waits else None,
        )
        cells = (
            _at(row["event_at"]),
            row["route_name"],
            row["event"],
            row["title"],
            row["state"],
            _at(row["sent_at"]),
            str(row["attempts"]),
            "; ".join(note for note in notes if note),
        )
        table.add_row(*map(escape, cells))
    return table


def _at(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
