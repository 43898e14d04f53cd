"""What the queueing formulas ask of a store and hour, from cameras, till feed, staff and stays: one row of `queue_hours`' input.

A frame of each source in, one frame out. Which stores get rows is decided here; the formulas belong in `queueing`, what is
learnt from counted queues in `queue_model`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames, jsontext
from retail_sensors.analytics.frames import DAY, Array
from retail_sensors.analytics.queueing import HYBRID, by_store_hour
from retail_sensors.analytics.readings import day_keys, hour_keys, hour_rows, last_of_each, split_day_keys, split_keys
from retail_sensors.analytics.roster import LINES, Layout, Roster

LOOK_BACK = timedelta(days=7)
"""How old an answer about stays may be that stands for a later day, and how long a till feed may be silent and still be one."""


def queue_inputs(
    hours: pd.DataFrame,
    transactions: pd.DataFrame,
    staff: pd.DataFrame,
    stays: pd.DataFrame,
    counted: pd.DataFrame,
    roster: Roster,
    window: tuple[datetime, datetime],
    now: datetime,
) -> pd.DataFrame:
    """The input of `queue_hours` for each store and hour of the half-open window that has ended at `now`: ordered by both, HYBRID all
    NULL. Of an hour that runs not all arrivals are there: read as those of a whole hour they would make short queues.

    `hours`: rows of `hourly_analytics` of the window. `transactions`: rows of `pos_transactions`, and `stays`: rows of
    `region_stays`, both from LOOK_BACK before the window on. `staff`, `counted`: rows of `staff_hours`, `queue_ground_truth`.

    A store gets rows while it has a region of role `queue`, a till feed (a row in the 7 days up to the hour), or lanes: an hour
    that a camera or the feed knows of. Its entries are NULL when an entrance camera did not count to its end, its detections
    when a queue region did not; their share of stays over 60 s is that of the day, else of the newest of the 7 days before.
    """
    layout = roster.layout
    start, end = (frames.instant(value, "window") for value in window)
    end = min(end, frames.instant(now, "now") - frames.HOUR + 1)
    feed = by_store_hour(transactions, "pos_transactions", ("transactions",), layout)
    roster_hours = by_store_hour(staff, "staff_hours", ("lanes_open",), layout)
    truth = by_store_hour(counted, "queue_ground_truth", ("actual_queue_length", "actual_wait_minutes"), layout)
    queue_regions = _queue_regions(roster)
    seen = hour_rows(hours, layout)
    of_row = hour_keys(layout.store[seen.camera], seen.second)

    keys = np.union1d(of_row, feed.keys)
    store, second = split_keys(keys)
    open_lanes = roster_hours.at(keys)[1][:, 0]
    has_queue = np.zeros(len(layout.store_ids), dtype=bool)
    has_queue[layout.store[queue_regions.any(axis=1)]] = True
    wanted = has_queue[store] | _has_feed(feed.keys, keys) | ~np.isnan(layout.lanes[store]) | ~np.isnan(open_lanes)
    keys = keys[wanted & (second >= start) & (second < end)]
    store, second = split_keys(keys)

    cell = np.searchsorted(keys, of_row)
    used = np.flatnonzero(np.append(keys, -1)[cell] == of_row)
    # what a camera had counted when it was last asked, before the hour's end, is not the count of an hour
    is_partial = seen.counted & ~seen.complete
    doors = used[layout.is_entrance[seen.camera[used]]]
    entries = _all_known(cell[doors], np.where(is_partial, np.nan, seen.entries)[doors], len(keys))

    row, region = np.nonzero(queue_regions[seen.camera[used]])
    row = used[row]
    texts = frames.texts(hours, "region_counts", "hourly_analytics")[seen.position]
    detections = np.where(is_partial[row], np.nan, jsontext.parsed(texts, LINES)[row, region])
    day = layout.wall(layout.store[seen.camera[row]], seen.second[row]) // DAY
    share, is_earlier = _stay_shares(stays, layout, seen.camera[row], region, day)
    # of nobody nobody stays, whatever the share
    longer = np.where(detections == 0, 0.0, detections * share)
    people, longer_people = (_all_known(cell[row], values, len(keys)) for values in (detections, longer))
    lengths, waits = truth.at(keys)[1].T
    return pd.DataFrame(
        {
            "store_id": pd.array(layout.store_ids[store], dtype="string"),
            "hour_start": pd.DatetimeIndex(second.astype("datetime64[s]").astype("datetime64[us]")).tz_localize("UTC"),
            "transactions": feed.at(keys)[1][:, 0],
            "detections": people,
            "stay_over_60_s": np.where(people == 0, 0.0, frames.ratio(longer_people, people)),
            "stay_is_earlier": frames.tally(cell[row], is_earlier & (detections > 0), len(keys)) > 0,
            "entries": entries,
            "open_lanes": roster_hours.at(keys)[1][:, 0],
            "lanes": layout.lanes[store],
            "actual_queue_length": lengths,
            "actual_wait_minutes": waits,
            **dict.fromkeys(HYBRID, np.nan),
        }
    )


def _queue_regions(roster: Roster) -> Array:
    """Which regions of each camera have the role `queue`, shape (cameras, 4)."""
    layout, what = roster.layout, "region_configurations"
    camera = frames.codes(layout.sensor_ids, frames.texts(roster.regions, "sensor_id", what))
    region = frames.numbers(roster.regions, "region_number", what).astype(np.int64) - 1
    known = (camera >= 0) & (frames.texts(roster.regions, "role", what) == "queue")
    result = np.zeros((len(layout.sensor_ids), len(LINES)), dtype=bool)
    result[camera[known], region[known]] = True
    return result


def _has_feed(feed: Array, keys: Array) -> Array:
    """Whether the till feed of each key's store has an hour in the LOOK_BACK up to it; both are ascending."""
    store, second = split_keys(keys)
    before = np.append(feed, -1)[np.searchsorted(feed, keys, side="right") - 1]
    feed_store, feed_second = split_keys(before)
    return np.asarray((before >= 0) & (feed_store == store) & (second - feed_second <= LOOK_BACK.total_seconds()))


def _all_known(cell: Array, values: Array, count: int) -> Array:
    """Sum of the values of each cell 0..count-1; NaN where one of them is unknown, or there is none."""
    total = np.bincount(cell, weights=values, minlength=count)
    return np.where(np.bincount(cell, minlength=count) > 0, total, np.nan)


def _stay_shares(stays: pd.DataFrame, layout: Layout, camera: Array, region: Array, day: Array) -> tuple[Array, Array]:
    """Share of stays over 60 s of each row's camera, region and day, and whether it is that of an earlier day; NaN: not answered."""
    what = "region_stays"
    answered_by = frames.codes(layout.sensor_ids, frames.texts(stays, "sensor_id", what))
    share = frames.numbers(stays, "stay_over_60_s", what)
    known = np.flatnonzero((answered_by >= 0) & ~np.isnan(share))
    number = frames.numbers(stays, "region_number", what)[known].astype(np.int64) - 1
    date = frames.days(stays, "date", what)[known].astype(np.int64)
    answers = _region_day(answered_by[known], number, date)
    order = last_of_each(answers, [share[known]])
    answers, share = np.append(answers[order], -1), np.append(share[known][order], np.nan)
    wanted = _region_day(camera, region, day)
    at = np.searchsorted(answers[:-1], wanted, side="right") - 1
    (answered, _), (region_asked, _) = split_day_keys(answers[at]), split_day_keys(wanted)
    age = np.where(answered == region_asked, wanted - answers[at], LOOK_BACK.days + 1)
    usable = age <= LOOK_BACK.days
    return np.where(usable, share[at], np.nan), usable & (age > 0)


def _region_day(camera: Array, region: Array, day: Array) -> Array:
    """One integer per camera, region and day that sorts by them."""
    return day_keys(camera * len(LINES) + region, day)
