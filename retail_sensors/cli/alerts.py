"""`retail-sensors alerts`: what is the matter in the stores, who has taken it up, and the rules that say so.

Here belong options and words for the terminal; what they do belongs in `storage.alerts`, what they share with routes in `routes`.
"""

from __future__ import annotations

import getpass
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from retail_sensors.cli import routes
from retail_sensors.cli.terminal import AsJson, console, print_json
from retail_sensors.errors import ConfigurationError
from retail_sensors.installation import opened

if TYPE_CHECKING:
    from retail_sensors.storage.alerts import AlertStore

app = typer.Typer(help="Open alerts; acknowledge, escalate and resolve them; their rules.")
app.add_typer(routes.app, name="routes")

_SHOWN_IDENTITY = 8

Identity = Annotated[
    str, typer.Argument(metavar="ID", help="The alert's ID, or enough of its beginning.", show_default=False)
]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who does it; the user of this machine by default.", show_default=False),
]


@app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Show resolved alerts too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the open alerts, the worst and newest first."""
    if context.invoked_subcommand is not None:
        return
    with _store() as store:
        listed = store.listing(resolved_too=everything)
    if as_json:
        print_json(listed)
    elif listed:
        console().print(_alerts_table(listed))
    else:
        typer.echo("There has been no alert." if everything else "No alert is open.")


@app.command()
def acknowledge(
    identity: Identity,
    by: By = None,
    note: Annotated[str | None, typer.Option(help="What you are going to do.", show_default=False)] = None,
) -> None:
    """Take an alert up: it is not escalated any more."""
    with _store() as store:
        title = store.acknowledge(identity, _who(by), note, datetime.now(UTC))
    typer.echo(f"Acknowledged: {title}")


@app.command()
def escalate(
    identity: Identity,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="Who shall take it up.", show_default=False)],
    by: By = None,
) -> None:
    """Hand an alert on."""
    if not to.strip():
        raise ConfigurationError("--to names nobody; give a name.")
    with _store() as store:
        title = store.escalate(identity, to, _who(by), datetime.now(UTC))
    typer.echo(f"Escalated to {to}: {title}")


@app.command()
def resolve(
    identity: Identity,
    note: Annotated[str, typer.Option(help="What it was, or what was done.", show_default=False)],
    by: By = None,
) -> None:
    """End an alert; what it was raised for does not raise it again."""
    if not note.strip():
        raise ConfigurationError("--note says nothing; write what it was, or what was done.")
    with _store() as store:
        title = store.resolve(identity, note, _who(by), datetime.now(UTC))
    typer.echo(f"Resolved: {title}")


@app.command("rules")
def show_rules(as_json: AsJson = False) -> None:
    """Show the rules by which alerts are raised."""
    with _store() as store:
        rules = store.rules()
    if as_json:
        print_json(rules)
    else:
        console().print(_rules_table(rules))


@app.command("set")
def set_rule(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Name of the rule.", show_default=False)],
    warning: Annotated[float | None, typer.Option(help="From where it is a warning.", show_default=False)] = None,
    critical: Annotated[float | None, typer.Option(help="From where it is critical.", show_default=False)] = None,
    is_enabled: Annotated[
        bool | None, typer.Option("--on/--off", help="Switch the rule on or off.", show_default=False)
    ] = None,
    store: routes.Store = None,
) -> None:
    """Change a rule, for all stores or for one."""
    if warning is None and critical is None and is_enabled is None:
        raise ConfigurationError(f"Say what to change of rule {rule}: --warning, --critical, --on or --off.")
    for option, value in (("--warning", warning), ("--critical", critical)):
        if value is not None and value < 0:
            raise ConfigurationError(f"{option} {value:g} is below 0, where no rule measures; give a number from 0 on.")
    with _store() as alert_store:
        alert_store.set_rule(rule, store=store, warning=warning, critical=critical, is_enabled=is_enabled)
    typer.echo(f"Rule {rule} is set{'' if store is None else f' for {store}'}.")


@contextmanager
def _store() -> Iterator[AlertStore]:
    from retail_sensors.storage.alerts import AlertStore

    with opened() as installation:
        yield AlertStore(installation.database)


def _who(by: str | None) -> str:
    """Who acts: the name given, else that of the machine's user; not every container has one."""
    if by is not None and not by.strip():
        raise ConfigurationError("--by names nobody; give a name.")
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def _alerts_table(alerts: Sequence[Mapping[str, Any]]) -> Table:
    from retail_sensors.analytics.alert_texts import local_time, value_text

    now = datetime.now(UTC)
    count = sum(alert["state"] != "resolved" for alert in alerts)
    ended = f", {len(alerts) - count} resolved" if count < len(alerts) else ""
    table = Table(title=f"{count} open alert{'' if count == 1 else 's'}{ended}")
    for heading in ("ID", "Severity", "Where", "What", "Since", "Value", "Threshold", "State"):
        table.add_column(heading, overflow="fold")
    for alert in alerts:
        value = math.inf if alert["actual_value"] is None else alert["actual_value"]
        cells = (
            alert["id"][:_SHOWN_IDENTITY],
            alert["severity"],
            alert["sensor_name"] or alert["store_name"],
            alert["title"],
            local_time(alert["first_seen_at"], alert["timezone"], now),
            value_text(alert["metric"], value),
            value_text(alert["metric"], alert["threshold_value"]),
            _state(alert),
        )
        table.add_row(*map(escape, cells))
    return table


def _state(alert: Mapping[str, Any]) -> str:
    named = {"acknowledged": alert["acknowledged_by"], "escalated": alert["escalated_to"]}.get(alert["state"])
    return f"{alert['state']}{'' if named is None else f' ({named})'}"


def _rules_table(rules: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"{len(rules)} alert rule{'' if len(rules) == 1 else 's'}")
    for heading in ("Rule", "Store", "Metric", "Warning", "Critical", "Held", "Cool-down", "Escalated after", "On"):
        table.add_column(heading, overflow="fold")
    for rule in rules:
        cells = (
            rule["rule_name"],
            rule["store_name"] or "all",
            rule["metric"],
            _limit(rule["comparison"], rule["warning_threshold"]),
            _limit(rule["comparison"], rule["critical_threshold"]),
            f"{rule['hold_minutes']} min",
            f"{rule['cool_down_minutes']} min",
            "" if rule["escalate_after_minutes"] is None else f"{rule['escalate_after_minutes']} min",
            "yes" if rule["is_enabled"] else "no",
        )
        table.add_row(*map(escape, cells))
    return table


def _limit(comparison: str, threshold: float | None) -> str:
    return "" if threshold is None else f"{comparison} {threshold:g}"
