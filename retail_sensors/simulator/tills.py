"""What simulated stores know beside their cameras: a till feed and a roster, as the CSV files that `retail-sensors load` reads.

Both follow from the people who were simulated, so that conversion and queues are those of the same day.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from retail_sensors.simulator.fleet import SimulatedFleet

BUYING_SHARE = 0.28
"""Share of those who leave an hour that have bought."""
CUSTOMERS_PER_LANE = 30
"""Customers an hour for whom the roster opens one more lane."""
_UNITS_BEYOND_FIRST, _PRICE, _SPREAD = 1.4, 19.0, 0.5


def leaving(fleet: SimulatedFleet, start: datetime, end: datetime) -> Iterator[tuple[str, datetime, int]]:
    """Store, instant and people who left through an entrance line, for each simulated hour that starts in [start, end)."""
    stores = {store.name for store in fleet.stores}
    total: dict[tuple[str, datetime], int] = defaultdict(int)
    for camera in fleet.cameras.values():
        if camera.store is None or camera.store not in stores:
            continue
        doors = [number for number, role in camera.lines.items() if role == "entrance"]
        for hour in camera.truth(start, end):
            if hour.counts is not None:
                total[camera.store, hour.starts_at] += sum(hour.counts.lines[number - 1][1] for number in doors)
    for (store, instant), people in sorted(total.items()):
        yield store, instant, people


def write_tills(fleet: SimulatedFleet, start: datetime, end: datetime, till: Path, roster: Path, seed: int = 0) -> None:
    """Writes the till feed and the roster of the hours that start in [start, end)."""
    places = {
        store.name: (number, store.currency, ZoneInfo(store.timezone)) for number, store in enumerate(fleet.stores)
    }
    with till.open("w", newline="") as tills, roster.open("w", newline="") as rosters:
        sold, staffed = csv.writer(tills), csv.writer(rosters)
        sold.writerow(["store", "hour", "transactions", "sales", "units", "currency"])
        staffed.writerow(["store", "hour", "staff", "lanes_open"])
        for store, instant, people in leaving(fleet, start, end):
            number, currency, zone = places[store]
            rng = np.random.default_rng([seed, number, int(instant.timestamp())])
            transactions = int(rng.binomial(people, BUYING_SHARE))
            units = transactions + int(rng.poisson(_UNITS_BEYOND_FIRST * transactions))
            sales = float(np.round(rng.lognormal(math.log(_PRICE), _SPREAD, units).sum(), 2))
            hour = instant.astimezone(zone).isoformat(sep=" ", timespec="minutes")
            sold.writerow([store, hour, transactions, sales, units, currency])
            lanes = math.ceil(transactions / CUSTOMERS_PER_LANE)
            staffed.writerow([store, hour, lanes + math.ceil(people / 20), lanes])
