"""Who counts where: stores, cameras, the roles of lines and regions, as frames and as arrays to compute with.

Here belongs what the figures must know about the estate. Where it is stored and how a user writes it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.localtime import walls
from retail_sensors.analytics.opening import minute_of_week, open_hours_of_week
from retail_sensors.analytics.selection import COLUMNS
from retail_sensors.errors import ContractError
from retail_sensors.tables.queues import SERVICE_RATE_PER_MINUTE, TARGET_MINUTES, TARGET_SHARE

LINES = ("1", "2", "3", "4")
"""Keys of a camera's lines, and of its regions, in JSON."""

BASES = ("entries", "exits", "mean")
_RESET = 4 * frames.HOUR


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The roster as arrays. Cameras stand in the order of their names, stores in the order of their ids.

    Per camera: `sensor_ids`, `names`, `store` (position of its store), `entrance`, `inverted`, `passerby` and `regions`
    (cameras, 4), `heat_scale`, `installed` (day, NaN if not said), `active`. Per store: `store_ids`, `zone` (position in
    `zones`), `reset` (seconds after midnight), `basis` (position in BASES), `excludes_entrants`, `capacity` (NaN if not
    said), `opening` (position in `open_weeks`), and of its tills `lanes` (NaN if not said), `service_rate` (customers a
    minute and lane), `target_minutes`, `target_share`, `star_target` (visitors a staff hour, NaN if not said).
    """

    sensor_ids: Array
    names: Array
    store: Array
    entrance: Array
    inverted: Array
    passerby: Array
    regions: Array
    heat_scale: Array
    installed: Array
    active: Array
    store_ids: Array
    zones: tuple[str, ...]
    zone: Array
    reset: Array
    basis: Array
    excludes_entrants: Array
    capacity: Array
    open_weeks: Array
    opening: Array
    lanes: Array
    service_rate: Array
    target_minutes: Array
    target_share: Array
    star_target: Array

    @property
    def is_entrance(self) -> Array:
        """Whether each camera has an entrance line."""
        return np.asarray(self.entrance.any(axis=1))

    @property
    def is_passerby(self) -> Array:
        """Whether each camera has a passer-by line."""
        return np.asarray(self.passerby.any(axis=1))

    @property
    def holds_entrances(self) -> Array:
        """Whether each camera holds all of its store's entrance lines, and there are any."""
        return self.is_entrance & (self.per_store(self.is_entrance)[self.store] == 1)

    @property
    def holds_passersby(self) -> Array:
        """Whether no other camera of the store has a passer-by line."""
        return self.per_store(self.is_passerby)[self.store] == self.is_passerby

    @property
    def in_scope(self) -> Array:
        """Whether each camera's hours make its store complete: the entrance cameras, in a store without any all."""
        return self.is_entrance | (self.per_store(self.is_entrance)[self.store] == 0)

    def per_store(self, flagged: Array) -> Array:
        """Number of flagged cameras of each store."""
        return frames.tally(self.store, flagged, len(self.store_ids))

    def wall(self, store: Array, instants: Array) -> Array:
        """Each row's wall clock in its store, as seconds since 1970 by that clock."""
        return walls(self.zones, self.zone[store], instants)

    def is_open(self, store: Array, wall: Array) -> Array:
        """Whether the hour that starts at each row's wall clock overlaps its store's opening hours."""
        return self.open_weeks[self.opening[store], minute_of_week(wall)]


@dataclass(frozen=True, eq=False)
class Roster:
    """The estate: frames with the columns of `stores`, `sensor_metadata`, `counting_lines`, `region_configurations`.

    A camera without any row in `lines` counts entrances on all four, one without any in `regions` shows what it reports.
    `service` has the columns of `store_service`; a store without a row in it has the defaults. `places` are the cameras with what
    the words of `analytics.selection` may name.
    Inactive cameras belong here too: what they counted still counts.
    """

    stores: pd.DataFrame
    sensors: pd.DataFrame
    lines: pd.DataFrame
    regions: pd.DataFrame
    service: pd.DataFrame | None = None
    places: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))

    @cached_property
    def layout(self) -> Layout:
        """The roster as arrays; ContractError when a camera's store, a zone or an opening span is not usable."""
        stores = self.stores.sort_values("id") if len(self.stores) else self.stores
        sensors = self.sensors.sort_values("sensor_name") if len(self.sensors) else self.sensors
        store_ids = frames.texts(stores, "id", "stores")
        sensor_ids = frames.texts(sensors, "id", "sensor_metadata")
        names = frames.texts(sensors, "sensor_name", "sensor_metadata")
        store = frames.codes(store_ids, frames.texts(sensors, "store_id", "sensor_metadata"))
        for name in names[store < 0]:
            raise ContractError(f"Camera {name} hangs in a store that is not in the roster; add the store.")

        store_names = frames.texts(stores, "store_name", "stores")
        zone_of_store = frames.texts(stores, "timezone", "stores")
        for name, zone in zip(store_names, zone_of_store, strict=True):
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, TypeError) as error:
                raise ContractError(f"Store {name} has zone {zone!r}; name one such as Europe/Berlin.") from error
        zones, zone = np.unique(zone_of_store.astype(str), return_inverse=True)

        reset_times = frames.texts(stores, "occupancy_reset_time", "stores")
        reset = np.array(
            [_RESET if t is None else t.hour * 3600 + t.minute * 60 + t.second for t in reset_times], np.int64
        )
        basis = frames.codes(np.array(BASES, dtype=object), frames.texts(stores, "traffic_basis", "stores"))
        for name in store_names[basis < 0]:
            raise ContractError(f"Store {name} has an unknown traffic_basis; use one of {', '.join(BASES)}.")

        capacity = frames.numbers(stores, "capacity", "stores")
        heat_scale = frames.numbers(sensors, "heat_scale", "sensor_metadata")
        for name in names[~(heat_scale > 0)]:
            raise ContractError(
                f"Camera {name} has a heat_scale that is not over 0; use 1 where its heat is in seconds."
            )

        weeks: dict[str | None, int] = {}
        masks: list[Array] = []
        opening = np.empty(len(stores), dtype=np.int64)
        for position, text in enumerate(frames.texts(stores, "opening_hours", "stores")):
            if text not in weeks:
                weeks[text] = len(masks)
                masks.append(open_hours_of_week(text, store_names[position]))
            opening[position] = weeks[text]

        entrance = np.zeros((len(sensors), 4), dtype=bool)
        inverted, passerby = np.zeros_like(entrance), np.zeros_like(entrance)
        camera = frames.codes(sensor_ids, frames.texts(self.lines, "sensor_id", "counting_lines"))
        line = frames.numbers(self.lines, "line_number", "counting_lines").astype(np.int64) - 1
        role = frames.texts(self.lines, "role", "counting_lines")
        known = camera >= 0
        entrance[camera[known], line[known]] = role[known] == "entrance"
        passerby[camera[known], line[known]] = role[known] == "passerby"
        inverted[camera[known], line[known]] = frames.flags(self.lines, "is_inverted", "counting_lines")[known]
        entrance[~np.isin(np.arange(len(sensors)), camera)] = True

        regions = np.zeros((len(sensors), 4), dtype=bool)
        camera = frames.codes(sensor_ids, frames.texts(self.regions, "sensor_id", "region_configurations"))
        region = frames.numbers(self.regions, "region_number", "region_configurations").astype(np.int64) - 1
        regions[camera[camera >= 0], region[camera >= 0]] = True
        regions[~regions.any(axis=1)] = True

        service = pd.DataFrame() if self.service is None else self.service
        served = frames.codes(store_ids, frames.texts(service, "store_id", "store_service"))

        def of_tills(name: str, default: float) -> Array:
            values = np.full(len(stores), default)
            values[served[served >= 0]] = frames.numbers(service, name, "store_service")[served >= 0]
            return values

        return Layout(
            sensor_ids=sensor_ids,
            names=names,
            store=store,
            entrance=entrance,
            inverted=inverted,
            passerby=passerby,
            regions=regions,
            heat_scale=heat_scale,
            installed=frames.days(sensors, "installed_on", "sensor_metadata"),
            active=frames.flags(sensors, "is_active", "sensor_metadata"),
            store_ids=store_ids,
            zones=tuple(zones.tolist()),
            zone=np.asarray(zone, dtype=np.int64),
            reset=reset,
            basis=basis,
            excludes_entrants=frames.flags(stores, "passerby_excludes_entrants", "stores"),
            capacity=np.where(capacity > 0, capacity, np.nan),
            open_weeks=np.array(masks, dtype=bool).reshape(len(masks), 7 * 24 * 60),
            opening=opening,
            lanes=of_tills("lanes", np.nan),
            service_rate=of_tills("service_rate_per_minute", SERVICE_RATE_PER_MINUTE),
            target_minutes=of_tills("target_minutes", TARGET_MINUTES),
            target_share=of_tills("target_share", TARGET_SHARE),
            star_target=of_tills("star_target", np.nan),
        )
