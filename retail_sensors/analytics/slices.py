"""Large computations in slices of stores: the same rows, with the memory of some cameras at a time.

No figure of a camera or a store looks at another store, so that a year of a big fleet need not be in the arrays of one
computation. What is computed belongs in the modules that call this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.roster import Roster

ROWS_AT_A_TIME = 200_000
"""Rows of the largest frame that are computed at once: a year of 23 cameras, some 150 MB of arrays."""


def by_stores(
    work: Callable[..., pd.DataFrame], sources: Sequence[pd.DataFrame], roster: Roster, scope: str, *others: object
) -> pd.DataFrame:
    """work(*sources, roster, *others), computed for some stores at a time where a source has many rows.

    `sources` are frames with `sensor_id`; rows of unknown cameras are left out. `work` gives rows ordered by `scope`
    (`sensor_id` or `store_id`, in the order of the roster's layout), then by something that does not change with the slice.
    """
    count = -(-max(map(len, sources)) // ROWS_AT_A_TIME)
    if count <= 1:
        return work(*sources, roster, *others)
    parts = [work(*part, some, *others) for some, part in _slices(sources, roster, count)]
    ids = roster.layout.sensor_ids if scope == "sensor_id" else roster.layout.store_ids
    place = frames.codes(ids, np.concatenate([part[scope].to_numpy(dtype=object) for part in parts]))
    order = np.argsort(place, kind="stable")
    # column by column: a second copy of the whole frame would be the peak of memory
    return pd.DataFrame(
        {
            name: pd.concat([part.pop(name) for part in parts], ignore_index=True).take(order).array
            for name in list(parts[0].columns)
        },
        copy=False,
    )


def _slices(sources: Sequence[pd.DataFrame], roster: Roster, count: int) -> Iterator[tuple[Roster, list[pd.DataFrame]]]:
    layout = roster.layout
    group_of_store = np.arange(len(layout.store_ids)) * count // max(len(layout.store_ids), 1)
    groups = [_group_of_rows(source, group_of_store[layout.store], layout.sensor_ids) for source in sources]
    for group in np.unique(group_of_store):
        stores = layout.store_ids[group_of_store == group]
        some = replace(
            roster,
            stores=roster.stores[roster.stores["id"].isin(stores)],
            sensors=roster.sensors[roster.sensors["store_id"].isin(stores)],
        )
        yield some, [source[of == group] if len(source) else source for source, of in zip(sources, groups, strict=True)]


def _group_of_rows(source: pd.DataFrame, group_of_camera: Array, sensor_ids: Array) -> Array:
    camera = frames.codes(sensor_ids, frames.texts(source, "sensor_id", "the frame"))
    return np.where(camera < 0, -1, group_of_camera[camera]).astype(np.int16) if len(camera) else camera
