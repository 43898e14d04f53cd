"""Messages about alerts and failed runs as a Dagster resource: what is due is written down, then sent.

Which messages are due belongs in `analytics.notifications`, how one is sent in `connectors.messages`, that each is sent at least
once and noted in `storage.notifications`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from retail_sensors.analytics.notifications import alerts_due, failed_run_due, routes_of
from retail_sensors.connectors.messages import Limits, Messenger
from retail_sensors.connectors.networks import AllowedNetworks
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.secrets import Secrets
from retail_sensors.settings import Settings, load_settings
from retail_sensors.storage.notifications import NotificationStore

SECONDS = 20.0
"""In this time messages are begun; the last may take as long as its target is given."""


@dataclass(slots=True)
class Told:
    """What one round came to: the messages that are new or changed, those sent, how routes stand, and by route why the last message
    that was not taken by all was not (`errors`), and what is wrong with the route itself (`problems`)."""

    changed: pd.DataFrame
    sent: int
    states: list[dict[str, Any]]
    errors: dict[str, str]
    problems: dict[str, str]

    @property
    def troubles(self) -> dict[str, str]:
        """Both, by route."""
        return self.with_problems(self.errors)

    def with_problems(self, errors: Mapping[str, str]) -> dict[str, str]:
        """Errors and what is wrong with routes, by route, as one text each."""
        return {
            route: "; ".join(filter(None, (errors.get(route), self.problems.get(route))))
            for route in {**errors, **self.problems}
        }


class NotifierResource(dg.ConfigurableResource):
    """The routes of this installation."""

    database: dg.ResourceDependency[DatabaseResource]
    clock: dg.ResourceDependency[ClockResource]
    webhook_seconds: float = Field(default=10.0, gt=0, description="Time that a webhook is given for one message.")
    apprise_seconds: float = Field(
        default=20.0,
        gt=0,
        description="Time that any other target is given for one message, start of a process included.",
    )

    def tell_alerts(self) -> Told:
        """Tells what has happened to alerts, and what is still to be told."""
        return self._tell(alerts_due)

    def tell_failed_run(self, run_id: str, job: str, sentence: str) -> Told:
        """Tells the routes that ask for it that a run failed."""
        return self._tell(
            lambda routes, _alerts, messages, _roster, now: failed_run_due(routes, messages, run_id, job, sentence, now)
        )

    def _tell(self, due: Callable[..., pd.DataFrame]) -> Told:
        now = self.clock.now()
        roster, problems = self.database.roster(), {}
        store = NotificationStore(self.database.database)

        def change(routes: pd.DataFrame, alerts: pd.DataFrame, messages: pd.DataFrame) -> pd.DataFrame:
            usable, wrong = routes_of(routes, roster)
            problems.update(wrong)
            return due(usable, alerts, messages, roster, now)

        changed = store.decide(change, now)
        limits = Limits(self.webhook_seconds, self.apprise_seconds)
        messenger = build_messenger(load_settings(), self.clock.now, limits)
        sent = store.deliver(messenger.send, self.clock.now, SECONDS)
        return Told(changed, sent.count, store.states(now), sent.errors, problems)


def build_messenger(settings: Settings, clock: Callable[[], datetime], limits: Limits | None = None) -> Messenger:
    """A messenger that sends where this installation allows it."""
    return Messenger(Secrets(), AllowedNetworks(settings.notify_networks, with_public=True), clock, limits)
