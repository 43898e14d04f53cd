"""What a store's hours earned beside how full they were: the layers that are laid over a heat map of hours.

    persons in view          heat seconds / 3600: mean number of people that the cameras saw
    conversion               100 transactions / entries
    sales a square metre     sales / sales area
    visitors a staff hour    visitors / staff on the floor

A layer is NULL where one of its inputs is not known, or where nobody entered or worked. How it is drawn belongs in `assets`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import HOUR
from retail_sensors.analytics.roster import Roster

LAYERS: dict[str, str] = {
    "persons_in_view": "people in view",
    "conversion_percent": "conversion, %",
    "sales_per_sqm": "sales a m2",
    "visitors_per_staff_hour": "visitors a staff hour",
}
"""Columns of the layers and what a reader calls them."""


def business_overlays(hours: pd.DataFrame, tills: pd.DataFrame, staff: pd.DataFrame, roster: Roster) -> pd.DataFrame:
    """store_id, hour_start and LAYERS (NaN for NULL): one row per row of `hours`, in its order.

    `hours`: rows of `store_hourly`; `tills`: of `pos_transactions`; `staff`: of `staff_hours`. Stores that are not in the roster have
    no area.
    """
    key = ["store_id", "hour_start"]
    beside = (
        hours[[*key, "total_entries", "visitors", "avg_heat_value"]]
        .merge(tills[[*key, "transactions", "sales"]].drop_duplicates(key), how="left", on=key)
        .merge(staff[[*key, "staff"]].drop_duplicates(key), how="left", on=key)
        .merge(roster.stores[["id", "area_sqm"]].rename(columns={"id": "store_id"}), how="left", on="store_id")
    )

    def number(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return frames.numbers(beside, name, "store_hourly")

    return beside[key].assign(
        persons_in_view=number("avg_heat_value") / HOUR,
        conversion_percent=100 * frames.ratio(number("transactions"), number("total_entries")),
        sales_per_sqm=frames.ratio(number("sales"), number("area_sqm")),
        visitors_per_staff_hour=frames.ratio(number("visitors"), number("staff")),
    )
