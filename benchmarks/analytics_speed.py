"""How long the hourly and daily figures of a fleet take, and how much memory: seconds and peak resident megabytes.

Makes a year of hours of 250 cameras in 125 stores and three zones (2.19 million camera hours), in slices of stores as
a back-fill would, with answers about stays and a till feed, and prints the time of the functions alone. `--cameras` and
`--days` make it smaller, to see that both grow in proportion.
"""

from __future__ import annotations

import argparse
import resource
import time as clock
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import numpy as np
import pandas as pd

from retail_sensors.analytics.beside import days_beside, sensor_hours_beside, store_hours_beside
from retail_sensors.analytics.daily import sensor_days, store_days
from retail_sensors.analytics.hourly import sensor_hours, store_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables import DAILY_ANALYTICS, STORE_DAILY
from retail_sensors.tables.queues import QUEUE_ANALYTICS, QUEUE_PERFORMANCE_DAILY
from retail_sensors.tables.regions import STAY_SECONDS

_FIRST = date(2025, 1, 1)
_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata")
_OPENING = '{"mon": [["10:00", "21:00"]], "tue": [["10:00", "21:00"]], "sat": [["09:00", "20:00"]]}'


def _identity(kind: int, number: int) -> str:
    return str(UUID(int=kind << 64 | number))


def _roster(cameras: int) -> Roster:
    stores = (cameras + 1) // 2
    return Roster(
        stores=pd.DataFrame(
            {
                "id": [_identity(1, store) for store in range(stores)],
                "store_name": [f"store {store}" for store in range(stores)],
                "timezone": [_ZONES[store % 3] for store in range(stores)],
                "capacity": 200.0,
                "traffic_basis": "entries",
                "passerby_excludes_entrants": False,
                "opening_hours": _OPENING,
                "occupancy_reset_time": time(4),
            }
        ),
        sensors=pd.DataFrame(
            {
                "id": [_identity(2, camera) for camera in range(cameras)],
                "sensor_name": [f"camera {camera}" for camera in range(cameras)],
                "store_id": [_identity(1, camera // 2) for camera in range(cameras)],
                "heat_scale": 1.0,
                "installed_on": None,
                "is_active": True,
            }
        ),
        lines=pd.DataFrame(
            [
                {
                    "sensor_id": _identity(2, camera),
                    "line_number": line,
                    "role": "passerby" if line == 4 else "entrance",
                    "is_inverted": line == 3,
                }
                for camera in range(cameras)
                for line in (1, 2, 3, 4)
            ]
        ),
        regions=pd.DataFrame(
            [
                {"sensor_id": _identity(2, camera), "region_number": region, "role": role, "capacity": 10}
                for camera in range(cameras)
                for region, role in enumerate(("entrance", "zone", "queue", "checkout"), start=1)
            ]
        ),
    )


def _stays(cameras: int, days: int) -> pd.DataFrame:
    """Answers about stays of every region and day."""
    count = cameras * 4 * days
    dates = np.array([_FIRST + timedelta(days=day) for day in range(days)], dtype=object)
    shares = {f"stay_over_{seconds}_s": np.full(count, np.exp(-seconds / 40)) for seconds in STAY_SECONDS}
    return pd.DataFrame(
        {
            "sensor_id": pd.array(
                np.repeat(np.array([_identity(2, camera) for camera in range(cameras)], dtype=object), 4 * days),
                dtype="string",
            ),
            "region_number": np.tile(np.repeat((1, 2, 3, 4), days), cameras),
            "date": np.tile(dates, cameras * 4),
            "detections": np.full(count, 2000.0),
            **shares,
            "mean_stay_seconds": np.full(count, 40.0),
            "short_stay_share": np.full(count, 0.2),
            "quality": "{}",
        }
    )


def _tills(hours: pd.DataFrame) -> pd.DataFrame:
    """A till feed for every row of `store_hourly`."""
    return hours[["store_id", "hour_start"]].assign(transactions=pd.array(np.full(len(hours), 12.0), dtype="Float64"))


def _none(*columns: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns))


def _raw(cameras: int, days: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """People, regions, heat and the log of asked hours of the cameras over the days."""
    random = np.random.default_rng(seed)
    hours = days * 24
    ids = np.array([_identity(2, camera) for camera in range(cameras)], dtype=object)
    start = np.datetime64(_FIRST, "us") + np.arange(hours) * np.timedelta64(1, "h")
    half_past = np.where(np.arange(cameras) // 2 % 3 == 2, 30, 0).astype("timedelta64[m]")
    stamp = pd.DatetimeIndex((start + half_past[:, None]).reshape(-1)).tz_localize("UTC")
    level = np.tile(np.clip(np.sin((np.arange(hours) % 24 - 8) / 14 * np.pi), 0, None), cameras)
    origin = {
        "sensor_id": pd.array(np.repeat(ids, hours), dtype="string"),
        "timestamp": stamp,
        "collected_at": stamp + timedelta(minutes=65),
        "is_final": pd.array(np.ones(len(stamp), dtype=bool), dtype="boolean"),
    }
    cells = {
        f"line{line}_{way}": pd.array(random.poisson(level * (300 if line == 4 else 25)), dtype="Int64")
        for line in (1, 2, 3, 4)
        for way in ("in", "out")
    }
    regions = {f"region{number}_count": pd.array(random.poisson(level * 200), dtype="Int64") for number in (1, 2, 3, 4)}
    heat = {"heat_value": pd.array(np.rint(level * 9000), dtype="Float64")}
    asked = pd.DataFrame(
        {
            "sensor_id": origin["sensor_id"],
            "hour_start": stamp,
            "outcome": pd.array(["ok"] * len(stamp), dtype="string"),
        }
    )
    return (
        pd.DataFrame({**origin, **cells}),
        pd.DataFrame({**origin, **regions}),
        pd.DataFrame({**origin, **heat}),
        asked,
    )


def main() -> None:
    """Print the seconds of each function and the peak memory of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=250)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--slice", type=int, default=50, help="cameras computed at a time (even: two to a store)")
    options = parser.parse_args()
    spent: dict[str, float] = {}

    def timed(work: Callable[..., pd.DataFrame], *inputs: object) -> pd.DataFrame:
        begun = clock.perf_counter()
        frame = work(*inputs)
        spent[work.__name__] = spent.get(work.__name__, 0.0) + clock.perf_counter() - begun
        return frame

    first = datetime.combine(_FIRST, time(), UTC)
    last = first + timedelta(days=options.days)
    now = last + timedelta(days=2)
    dates = (_FIRST, _FIRST + timedelta(days=options.days))
    rows = 0
    for base in range(0, options.cameras, options.slice):
        cameras = min(options.slice, options.cameras - base)
        roster = _roster(cameras)
        holidays = _none("store_id", "date")
        stays = _stays(cameras, options.days)
        hours = timed(sensor_hours, *_raw(cameras, options.days, base), roster, first, last, now)
        of_stores = timed(store_hours, hours, roster, first, last, now)
        tills = _tills(of_stores)
        hours = timed(sensor_hours_beside, hours, roster, hours[:0], stays, tills)
        rows += len(hours)
        queue = _none(*QUEUE_ANALYTICS.names)
        timed(store_hours_beside, of_stores, hours, roster, of_stores[:0], stays, tills, queue)
        del of_stores
        for work, table in ((sensor_days, DAILY_ANALYTICS), (store_days, STORE_DAILY)):
            days = timed(work, hours, roster, dates, pd.DataFrame(), now)
            queue = _none(*QUEUE_PERFORMANCE_DAILY.names)
            timed(days_beside, days, table, roster, _none(*table.names), stays, tills, queue, holidays)
        del hours
    for name, seconds in spent.items():
        print(f"{name:<20}{seconds:8.1f} s")
    total = sum(spent.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'all':<20}{total:8.1f} s for {rows:,} camera hours, peak memory {peak:,.0f} MB")


if __name__ == "__main__":
    main()
