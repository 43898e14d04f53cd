"""The cameras as a Dagster resource: the registry says which, the collector asks them.

How a question is asked belongs in `connectors`, what is registered in `storage.fleet`.
"""

from dataclasses import replace

import dagster as dg

from retail_sensors.connectors.base import Collection, Endpoint, TimeWindow
from retail_sensors.connectors.collector import Collector, CollectorSettings
from retail_sensors.connectors.http import HttpSettings
from retail_sensors.connectors.networks import AllowedNetworks
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.settings import Settings, load_settings
from retail_sensors.storage.breakers import cameras_left_alone
from retail_sensors.storage.fleet import FleetRegistry, ToAsk
from retail_sensors.storage.leases import PostgresLeases


class CamerasResource(dg.ConfigurableResource):
    """The registered cameras, asked through one collector."""

    database: dg.ResourceDependency[DatabaseResource]
    clock: dg.ResourceDependency[ClockResource]

    def collect(
        self,
        endpoint: Endpoint,
        window: TimeWindow,
        names: list[str],
        run_id: str,
        *,
        in_full: bool = False,
    ) -> Collection:
        """Asks the cameras that the words mean, as `analytics.selection` reads them (none: all active ones), for the window.

        `in_full`: also those that are left alone, since nobody has answered at their address. What was disabled or removed after
        the run was asked for is in `left_out`. Raises ConfigurationError for an unknown name, DatabaseUnavailableError; a
        camera's failure is data in the log.
        """
        settings = load_settings()
        database = self.database.database
        to_ask = self.to_ask(names)
        cameras = [camera for camera in to_ask.cameras if endpoint in camera.endpoints]
        alone = (
            {}
            if in_full
            else cameras_left_alone(database, [camera.sensor_id for camera in cameras], self.clock.now(), run_id)
        )
        with PostgresLeases(database, timeout_seconds=settings.lease_timeout_seconds) as leases:
            collection = build_collector(settings, self.clock).collect_sync(
                cameras,
                endpoint,
                window,
                lease=leases,
                run_id=run_id,
                left_alone=alone,
            )
        return replace(collection, left_out=to_ask.left_out, is_nobody_left=bool(to_ask.left_out) and not cameras)

    def to_ask(self, names: list[str]) -> ToAsk:
        """The cameras that the words mean now, and those that would be left out; raises as `collect`."""
        return FleetRegistry(self.database.database).to_ask(names)


def build_collector(settings: Settings, clock: ClockResource) -> Collector:
    """A collector with this installation's bounds."""
    return Collector(collector_settings(settings), clock=clock.now)


def collector_settings(settings: Settings) -> CollectorSettings:
    """The collector's bounds as this installation's settings give them."""
    return CollectorSettings(
        in_flight=settings.in_flight,
        http=HttpSettings(
            connect_seconds=settings.connect_timeout_seconds,
            total_seconds=settings.request_timeout_seconds,
            tries=settings.tries,
            max_bytes=settings.max_body_bytes,
        ),
        networks=AllowedNetworks(settings.allowed_networks),
        settle_seconds=settings.settle_seconds,
        pause_seconds=settings.pause_seconds,
    )
