"""Figures that set counts beside something else: regions, tills, queues, and what the same scope counted before.

Frames in, frames out: the hours of `hourly` and the days of `daily` come without these columns and leave with them, each NULL with
its reason added to `quality`.

    score              percentile rank of entries among the last 8 complete ones of the same local hour of week, or weekday
    entry to checkout  100 transactions / entries; without a till feed 100 checkout detections x S(30 s) / entries, `proxy`
    conversion         100 transactions / visitors of a complete day; without a till feed the same proxy
    zone entries       detections entering a region / the store's entries: unbounded, no conversion
    region occupancy   detections a second x mean stay (Little's law); the share of time occupied is at most 1 - exp(-it)
    bounce             1 - S(10 s) of the entrance regions, weighted by detections: the share of short stays
    overall            mean of at least two of: rank of entries, rank of conversion, 100 P(wait <= target)

A camera's row carries what only a store has when that camera holds all of the store's entrance lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retail_sensors.analytics import dwell, frames, jsontext, scores
from retail_sensors.analytics.comparisons import COMPLETE
from retail_sensors.analytics.frames import DAY, Array
from retail_sensors.analytics.opening import minute_of_week
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.readings import day_keys, hour_keys, last_of_each
from retail_sensors.analytics.roster import LINES, Roster
from retail_sensors.analytics.store_days import StoreDays, role_stays
from retail_sensors.tables import HOURLY_ANALYTICS, STORE_HOURLY, Table

PAST_WEEKS = 12
"""Weeks before an hour among which its 8 complete like hours are looked for."""

REASONS: dict[str, str] = {
    "no_minute_data": "one value an hour exists; a maximum needs a source at 1 min or finer",
    "no_hourly_cells": "one heat value an hour exists; maximum and variance need the cells of that hour",
    "no_stay_answers": "the camera does not tell how long people stay in its regions",
    "no_region": "no region was counted",
    "entries_not_measured": "the store's entries are not known, or not those of every door",
    "not_final": "the hour or day is not measured to its end",
    "nobody_entered": "nobody entered the store",
    "nobody_detected": "nobody was detected in the entrance regions",
    "no_transactions": "there is neither a till feed nor a checkout region with stays",
    "too_few_hours": "fewer than 4 complete like hours in the 12 weeks before",
    "too_few_scores": "fewer than two of traffic, conversion and queue have a score",
    "no_queue_figures": "the store has no figures of its tills for this time",
}
"""Reasons for NULL and what they mean."""

PROXY, MODELLED, ABOVE_HEAT = "proxy", "modelled_upper_bound", "above_heat"
"""What `quality` says of a rate from checkout detections, of a share of time from Little's law, and of regions that hold more people
than the heat value says are in view."""

_QUEUE = {
    "avg_queue_length": "avg_queue_length",
    "max_queue_length": "max_queue_length",
    "estimated_avg_wait_minutes": "avg_wait_time",
}


_NO_QUEUE = "no_queue_figures"


@dataclass(frozen=True, slots=True, eq=False)
class _Hours:
    """Rows of hours by scope, with what is known of their regions: item `row` says `value` under `key`, by row."""

    applies: Array
    entries: Array
    transactions: Array
    checkout: Array
    has_entrance: Array
    complete: Array
    detections: tuple[Array, Array, Array]
    present: tuple[Array, Array, Array]
    occupied: tuple[Array, Array, Array]
    above_heat: Array
    keys: Array
    score: Array
    queue: Array
    no_queue: str


def sensor_hours_beside(
    figures: pd.DataFrame, roster: Roster, past: pd.DataFrame, stays: pd.DataFrame, tills: pd.DataFrame
) -> pd.DataFrame:
    """The rows of `hourly.sensor_hours` as rows of `hourly_analytics`.

    `past`: sensor_id, hour_start, total_entries, data_completeness of earlier hours; `stays`: rows of `region_stays` of the hours'
    local days; `tills`: rows of `pos_transactions`.
    """
    layout = roster.layout
    camera = frames.codes(layout.sensor_ids, frames.texts(figures, "sensor_id", "hourly_analytics"))
    second = frames.seconds(figures, "hour_start", "hourly_analytics")
    store, holds = layout.store[camera], layout.holds_entrances[camera]
    detections = jsontext.parsed(frames.texts(figures, "region_counts", "hourly_analytics"), LINES)
    present, occupied, above_heat = _region_cells(figures, stays, roster, camera, second)
    # A store's checkout may be seen by several cameras; one of them alone says nothing of the store.
    at_checkout = np.asarray(_has_role(roster, "checkout").any(axis=1))
    alone = at_checkout[camera] & (layout.per_store(at_checkout)[store] == 1)
    reached = _checkout(detections, stays, roster, camera, second)
    return _complete_hours(
        figures,
        HOURLY_ANALYTICS,
        _Hours(
            applies=holds,
            entries=np.where(holds, frames.numbers(figures, "total_entries", "hourly_analytics"), np.nan),
            transactions=np.where(holds, _transactions(tills, roster, store, second), np.nan),
            checkout=np.where(holds & alone, reached, np.nan),
            has_entrance=layout.is_entrance[camera],
            complete=frames.numbers(figures, "data_completeness", "hourly_analytics") >= 1,
            detections=_items(detections),
            present=_items(present),
            occupied=_items(occupied),
            above_heat=above_heat,
            keys=np.array([jsontext.key_text(region) for region in LINES], dtype=object),
            score=like_hours(figures, HOURLY_ANALYTICS, past, roster),
            queue=np.full(len(figures), np.nan),
            no_queue="store_level_only",
        ),
    )


def store_hours_beside(
    figures: pd.DataFrame,
    hours: pd.DataFrame,
    roster: Roster,
    past: pd.DataFrame,
    stays: pd.DataFrame,
    tills: pd.DataFrame,
    queue: pd.DataFrame,
) -> pd.DataFrame:
    """The rows of `hourly.store_hours` as rows of `store_hourly`.

    `hours`: the rows of `hourly_analytics` that the figures were made of; `past`: store_id, hour_start, total_entries,
    data_completeness of earlier hours; `stays`, `tills` as for `sensor_hours_beside`; `queue`: rows of `queue_analytics`.
    """
    layout = roster.layout
    store = frames.codes(layout.store_ids, frames.texts(figures, "store_id", "store_hourly"))
    second = frames.seconds(figures, "hour_start", "store_hourly")
    count = len(figures)
    camera = frames.codes(layout.sensor_ids, frames.texts(hours, "sensor_id", "hourly_analytics"))
    at = frames.seconds(hours, "hour_start", "hourly_analytics")
    row = _positions(hour_keys(store, second), hour_keys(layout.store[np.maximum(camera, 0)], at))
    kept = np.flatnonzero((camera >= 0) & (row >= 0))
    kept = kept[np.lexsort((camera[kept], row[kept]))]
    row, camera, at = row[kept], camera[kept], at[kept]

    def cells(column: str) -> Array:
        return jsontext.parsed(frames.texts(hours, column, "hourly_analytics")[kept], LINES)

    detections = cells("region_counts")
    # NULL at one camera makes the whole NULL, and so do the entries of a silent door: half of either would be another rate.
    at_checkout = np.asarray(_has_role(roster, "checkout").any(axis=1))[camera]
    reached = _checkout(detections, stays, roster, camera, at)[at_checkout]
    checkout = np.where(
        frames.tally(row, at_checkout, count) > 0,
        np.bincount(row[at_checkout], weights=reached, minlength=count),
        np.nan,
    )
    silent = layout.is_entrance[camera] & np.isnan(frames.numbers(hours, "total_entries", "hourly_analytics")[kept])
    entries = frames.numbers(figures, "total_entries", "store_hourly")
    names = np.array([jsontext.key_text(f"{name}:{region}") for name in layout.names for region in LINES], dtype=object)
    waited = _lookup(queue, ("store_id", "hour_start", "queue_performance_score"), layout.store_ids, store, second)
    return _complete_hours(
        figures,
        STORE_HOURLY,
        _Hours(
            applies=np.full(count, True),
            entries=np.where(frames.tally(row, silent, count) > 0, np.nan, entries),
            transactions=_transactions(tills, roster, store, second),
            checkout=checkout,
            has_entrance=layout.per_store(layout.is_entrance)[store] > 0,
            complete=frames.numbers(figures, "data_completeness", "store_hourly") >= 1,
            detections=_items(detections, row, camera),
            present=_items(cells("region_avg_occupancy"), row, camera),
            occupied=_items(cells("region_utilization"), row, camera),
            above_heat=frames.tally(row, _says(hours, "region_avg_occupancy", ABOVE_HEAT)[kept], count) > 0,
            keys=names,
            score=like_hours(figures, STORE_HOURLY, past, roster),
            queue=waited,
            no_queue=_NO_QUEUE,
        ),
    )


def _items(cells: Array, row: Array | None = None, camera: Array | None = None) -> tuple[Array, Array, Array]:
    """Row, key and value of each known cell of (rows, regions), by row; with cameras the key counts over cameras x regions."""
    at, region = np.nonzero(~np.isnan(cells))
    value = cells[at, region]
    if row is None or camera is None:
        return at, region, value
    return row[at], camera[at] * len(LINES) + region, value


def _complete_hours(figures: pd.DataFrame, table: Table, known: _Hours) -> pd.DataFrame:
    count = len(figures)

    def text(items: tuple[Array, Array, Array]) -> Array:
        row, key, value = items
        return jsontext.objects(row, known.keys[key], value, count)

    row, key, value = known.detections
    of_entries = frames.ratio(value, known.entries[row])
    shown = ~np.isnan(of_entries)
    zones = text((row[shown], key[shown], of_entries[shown]))
    seen, present = np.bincount(row, minlength=count) > 0, text(known.present)
    rate = _rate(known.transactions, known.checkout, known.entries)
    words = Vocabulary()
    no_present = words.first(count, (pd.notna(present), ""), (~seen, "no_region"), (True, "no_stay_answers"))
    occupied = text(known.occupied)
    no_entries = words.first(
        count, (~known.applies, "store_level_only"), (np.isnan(known.entries), "entries_not_measured")
    )
    no_zones = words.first(
        count, (pd.notna(zones), ""), (no_entries > 0, no_entries), (~seen, "no_region"), (True, "nobody_entered")
    )
    no_score = words.first(
        count,
        (~np.isnan(known.score), ""),
        (~known.has_entrance, "no_entrance_line"),
        (~known.complete, "not_final"),
        (True, "too_few_hours"),
    )
    return _with(
        figures,
        table,
        {
            "region_avg_occupancy": present,
            "region_max_occupancy": np.full(count, None, dtype=object),
            "region_utilization": occupied,
            "entry_to_checkout_rate": rate,
            "zone_conversion_rates": zones,
            "max_heat_value": np.full(count, np.nan),
            "heat_variance": np.full(count, np.nan),
            "traffic_efficiency_score": known.score,
            "queue_performance_score": known.queue,
        },
        words,
        [
            (("region_avg_occupancy",), words.first(count, (known.above_heat, ABOVE_HEAT), (True, no_present))),
            (("region_max_occupancy",), words.first(count, (True, "no_minute_data"))),
            (("region_utilization",), words.first(count, (pd.notna(occupied), MODELLED), (True, no_present))),
            (("entry_to_checkout_rate",), _no_rate(words, rate, known.transactions, known.checkout, no_entries)),
            (("zone_conversion_rates",), no_zones),
            (("max_heat_value", "heat_variance"), words.first(count, (True, "no_hourly_cells"))),
            (("traffic_efficiency_score",), no_score),
            (("queue_performance_score",), words.first(count, (np.isnan(known.queue), known.no_queue))),
        ],
    )


def _rate(transactions: Array, checkout: Array, entries: Array) -> Array:
    """Percent of those who entered that bought, or, without a till feed, that were seen at the checkout."""
    return 100 * frames.ratio(np.where(np.isnan(transactions), checkout, transactions), entries)


def _no_rate(words: Vocabulary, rate: Array, transactions: Array, checkout: Array, no_entries: Array) -> Array:
    return words.first(
        len(rate),
        (~np.isnan(rate) & ~np.isnan(transactions), ""),
        (~np.isnan(rate), PROXY),
        (no_entries > 0, no_entries),
        (np.isnan(transactions) & np.isnan(checkout), "no_transactions"),
        (True, "nobody_entered"),
    )


def _with(
    figures: pd.DataFrame,
    table: Table,
    columns: Mapping[str, Array],
    words: Vocabulary,
    notes: list[tuple[tuple[str, ...], Array]],
) -> pd.DataFrame:
    """The figures with more columns, in the order of the table, and what `quality` says of them."""
    said = frames.texts(figures, "quality", table.name)
    quality = quality_texts(words, len(figures), notes, said)
    added = frames.columns(table, {**columns, "quality": quality})
    whole = {name: figures[name] for name in figures.columns if name not in added} | added
    return pd.DataFrame({column.name: whole[column.name] for column in table.written}, copy=False)


def like_hours(figures: pd.DataFrame, table: Table, past: pd.DataFrame, roster: Roster) -> Array:
    """Score of each row's entries among the last complete like hours of `past` and of the frame itself; NaN for under 4."""
    layout = roster.layout
    names = [table.key[0], "hour_start", "total_entries", "data_completeness"]
    both = pd.concat([past[names], figures[names]], ignore_index=True)
    of_camera = table.key[0] == "sensor_id"
    scope = frames.codes(layout.sensor_ids if of_camera else layout.store_ids, frames.texts(both, names[0], table.name))
    second = frames.seconds(both, "hour_start", table.name)
    entries = frames.numbers(both, "total_entries", table.name)
    complete = (frames.numbers(both, "data_completeness", table.name) >= 1) & (scope >= 0) & ~np.isnan(entries)
    wall = layout.wall(layout.store[scope] if of_camera else scope, second)
    group = scope * 168 + minute_of_week(wall) // 60
    day = wall // DAY
    usable = np.flatnonzero(complete)
    usable = usable[last_of_each(day_keys(group[usable], day[usable]), [second[usable], entries[usable]])]
    rows = slice(len(past), None)
    like = scores.last_comparable((group[rows], day[rows]), group[usable], day[usable], entries[usable])
    recent = np.where(like.days >= day[rows, None] - 7 * PAST_WEEKS, like.values, np.nan)
    return np.where(complete[rows], scores.percentile_rank(entries[rows], recent), np.nan)


def _has_role(roster: Roster, role: str) -> Array:
    """Whether each region has the role, shape (cameras, 4)."""
    what = "region_configurations"
    result = np.zeros((len(roster.layout.sensor_ids), len(LINES)), dtype=bool)
    camera = frames.codes(roster.layout.sensor_ids, frames.texts(roster.regions, "sensor_id", what))
    region = frames.numbers(roster.regions, "region_number", what).astype(np.int64) - 1
    known = (camera >= 0) & (frames.texts(roster.regions, "role", what) == role)
    result[camera[known], region[known]] = True
    return result


def _region_cells(
    figures: pd.DataFrame, stays: pd.DataFrame, roster: Roster, camera: Array, second: Array
) -> tuple[Array, Array, Array]:
    """Mean number present and largest share of time occupied in each region, shape (rows, 4), NaN where it is not known; and
    whether the regions hold more people than are in view.
    """
    result = np.full((2, len(figures), len(LINES)), np.nan)
    above = np.zeros(len(figures), dtype=bool)
    if not len(stays):
        return result[0], result[1], above
    regions = dwell.region_hours(figures, stays, roster)
    of = frames.codes(roster.layout.sensor_ids, frames.texts(regions, "sensor_id", "region_hours"))
    at = _positions(hour_keys(camera, second), hour_keys(of, frames.seconds(regions, "hour_start", "region_hours")))
    region = frames.numbers(regions, "region_number", "region_hours").astype(np.int64) - 1
    for position, column in enumerate(("avg_occupancy", "share_occupied_upper")):
        result[position, at, region] = frames.numbers(regions, column, "region_hours")
    above[at[frames.flags(regions, "is_above_heat", "region_hours")]] = True
    return result[0], result[1], above


def _positions(keys: Array, wanted: Array) -> Array:
    """Where each wanted key stands among unique keys, -1 where it is not among them."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(keys)
    near = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][near] == wanted, order[near], -1)


def _lookup(frame: pd.DataFrame, names: tuple[str, str, str], ids: Array, scope: Array, second: Array) -> Array:
    """The third column of a frame of hours at each (scope, instant), NaN where it has no row; of two rows the greater."""
    key, hour, column = names
    of = frames.codes(ids, frames.texts(frame, key, column))
    at = frames.seconds(frame, hour, column)
    value = frames.numbers(frame, column, column)
    known = np.flatnonzero(of >= 0)
    keys = hour_keys(of[known], at[known])
    order = last_of_each(keys, [value[known]])
    place = _positions(keys[order], hour_keys(scope, second))
    return np.where(place >= 0, np.append(value[known][order], np.nan)[place], np.nan)


def _transactions(tills: pd.DataFrame, roster: Roster, store: Array, second: Array) -> Array:
    return _lookup(tills, ("store_id", "hour_start", "transactions"), roster.layout.store_ids, store, second)


def _checkout(detections: Array, stays: pd.DataFrame, roster: Roster, camera: Array, second: Array) -> Array:
    """Detections in the checkout regions of each camera's hour that stay over 30 s; NaN where it has none or a stay is not known."""
    layout = roster.layout
    total = np.full(len(camera), np.nan)
    if not len(stays):
        return total
    of = frames.codes(layout.sensor_ids, frames.texts(stays, "sensor_id", "region_stays"))
    region = frames.numbers(stays, "region_number", "region_stays").astype(np.int64) - 1
    day = frames.days(stays, "date", "region_stays").astype(np.int64)
    share = frames.numbers(stays, "stay_over_30_s", "region_stays")
    role = _has_role(roster, "checkout")
    known = np.flatnonzero((of >= 0) & np.asarray(role[of, region]))
    keys = day_keys(of[known] * len(LINES) + region[known], day[known])
    local = layout.wall(layout.store[camera], second) // DAY
    row, column = np.nonzero(role[camera])
    place = _positions(keys, day_keys(camera[row] * len(LINES) + column, local[row]))
    reached = detections[row, column] * np.where(place >= 0, np.append(share[known], np.nan)[place], np.nan)
    # NULL in one of the regions makes the whole NULL: half a checkout would halve the rate.
    plain = np.bincount(row, weights=reached, minlength=len(camera))
    return np.where(np.asarray(role.any(axis=1))[camera], plain, np.nan)


def days_beside(
    figures: pd.DataFrame,
    table: Table,
    roster: Roster,
    history: pd.DataFrame,
    stays: pd.DataFrame,
    tills: pd.DataFrame,
    queue: pd.DataFrame,
    holidays: pd.DataFrame,
) -> pd.DataFrame:
    """The rows of `daily.sensor_days` or `daily.store_days` as rows of their table.

    `history`: rows of the table of the 364 days before; `stays`: rows of `region_stays` of the dates; `tills`: rows of
    `pos_transactions` of the hours of the dates; `queue`: rows of `queue_performance_daily`; `holidays`: store_id, date.
    """
    layout = roster.layout
    count = len(figures)
    of_camera = table.key[0] == "sensor_id"
    ids = layout.sensor_ids if of_camera else layout.store_ids
    scope = frames.codes(ids, frames.texts(figures, table.key[0], table.name))
    day = frames.days(figures, "date", table.name).astype(np.int64)
    store = layout.store[scope] if of_camera else scope
    applies = layout.holds_entrances[scope] if of_camera else np.full(count, True)
    first, last = (int(day.min()), int(day.max())) if count else (0, -1)
    grid = StoreDays(layout, first, last - first + 1)

    def of_store(values: Array) -> Array:
        return np.where(applies, values[store, day - first], np.nan) if count else np.empty(0)

    visitors, entries, completeness = (
        frames.numbers(figures, name, table.name) for name in ("total_visitors", "total_entries", "data_completeness")
    )
    whole = completeness >= COMPLETE
    transactions = of_store(grid.summed_hours(tills, ("transactions",), "pos_transactions")[0])
    reach = role_stays(stays, roster, "checkout", "stay_over_30_s")
    seen, share = grid.daily(reach, ("detections", "stay_over_30_s"), "region_stays")
    proxy = 100 * frames.ratio(of_store(seen * share), entries)
    rate = np.where(np.isnan(transactions), proxy, 100 * frames.ratio(transactions, visitors))
    rate = np.where(whole, rate, np.nan)
    short = role_stays(stays, roster, "entrance", "short_stay_share")
    at_entrance, bounce = map(of_store, grid.daily(short, ("detections", "short_stay_share"), "region_stays"))
    names = (*_QUEUE.values(), "queue_efficiency_score")
    of_queue = dict(zip(names, grid.daily(queue, names, "queue_performance_daily"), strict=True))
    peak, why, why_words = _queue_words(queue, layout.store_ids, store, day)
    peak[~applies] = None

    traffic, conversion = _day_scores(
        figures,
        table,
        history,
        (scope, day),
        (entries, np.where(np.isnan(transactions), np.nan, rate)),
        holidays,
        roster,
    )
    overall = scores.overall_performance(traffic, conversion, of_store(of_queue["queue_efficiency_score"]))
    words = Vocabulary()
    outside = words.first(count, (~applies, "store_level_only"))
    no_rate = words.first(
        count,
        (~np.isnan(rate) & ~np.isnan(transactions), ""),
        (~np.isnan(rate), PROXY),
        (outside > 0, outside),
        (np.isnan(transactions) & np.isnan(of_store(seen * share)), "no_transactions"),
        (~whole, "incomplete_day"),
        (np.isnan(np.where(np.isnan(transactions), entries, visitors)), "entries_not_measured"),
        (True, "nobody_entered"),
    )
    queued = {name: of_store(of_queue[column]) for name, column in _QUEUE.items()}
    why_queue = words.translate(why_words, why)
    notes: list[tuple[tuple[str, ...], Array]] = [
        (("overall_conversion_rate",), no_rate),
        (
            ("bounce_rate",),
            words.first(
                count,
                (~np.isnan(bounce), ""),
                (outside > 0, outside),
                (at_entrance == 0, "nobody_detected"),
                (True, "no_stay_answers"),
            ),
        ),
        *(
            ((name,), words.first(count, (~np.isnan(values), ""), (outside > 0, outside), (True, why_queue)))
            for name, values in queued.items()
        ),
        (
            ("queue_peak_time",),
            words.first(count, (pd.notna(peak), ""), (outside > 0, outside), (True, why_queue)),
        ),
        (("overall_performance_score",), words.first(count, (np.isnan(overall), "too_few_scores"))),
    ]
    return _with(
        figures,
        table,
        {
            "overall_conversion_rate": rate,
            "bounce_rate": bounce,
            **queued,
            "queue_peak_time": peak,
            "overall_performance_score": overall,
        },
        words,
        notes,
    )


def _queue_words(queue: pd.DataFrame, ids: Array, store: Array, day: Array) -> tuple[Array, Array, list[str]]:
    """For each row the peak time of its store's queue, and why a figure of the queue is NULL, as a position in words."""
    what = "queue_performance_daily"
    of = frames.codes(ids, frames.texts(queue, "store_id", what))
    keys = day_keys(of, frames.days(queue, "date", what))
    place = _positions(keys, day_keys(store, day))  # -1, the last, where the store has no row
    peak = np.array([*frames.texts(queue, "queue_peak_time", what), None], dtype=object)
    said = [json.loads(text).get("avg_queue_length", _NO_QUEUE) for text in frames.texts(queue, "quality", what)]
    words = [_NO_QUEUE, *sorted({*said} - {_NO_QUEUE})]
    code = np.array([*(words.index(word) for word in said), 0], dtype=np.int64)
    return peak[place], code[place], words


def _day_scores(
    figures: pd.DataFrame,
    table: Table,
    history: pd.DataFrame,
    rows: tuple[Array, Array],
    values: tuple[Array, Array],
    holidays: pd.DataFrame,
    roster: Roster,
) -> tuple[Array, Array]:
    """Ranks of entries and of conversion among the last complete same weekdays without a holiday."""
    layout = roster.layout
    of_camera = table.key[0] == "sensor_id"
    ids = layout.sensor_ids if of_camera else layout.store_ids
    past = frames.codes(ids, frames.texts(history, table.key[0], table.name))
    then = frames.days(history, "date", table.name)
    known = np.flatnonzero((past >= 0) & ~np.isnan(then))
    keys = day_keys(past[known], then[known])
    whole, entered = (frames.numbers(history, name, table.name) for name in ("data_completeness", "total_entries"))
    latest = last_of_each(keys, [whole[known], entered[known]])
    known = known[latest[~np.isin(keys[latest], day_keys(*rows))]]
    scope = np.concatenate([past[known], rows[0]])
    day = np.concatenate([then[known].astype(np.int64), rows[1]])
    whole = np.concatenate([whole[known], frames.numbers(figures, "data_completeness", table.name)])
    off_store = frames.codes(layout.store_ids, frames.texts(holidays, "store_id", "holidays"))
    off = day_keys(off_store, frames.days(holidays, "date", "holidays"))
    comparable = (whole >= COMPLETE) & ~np.isin(day_keys(layout.store[scope] if of_camera else scope, day), off)
    real = ~_says(history, "overall_conversion_rate", PROXY)[known]
    before = (
        entered[known],
        np.where(real, frames.numbers(history, "overall_conversion_rate", table.name)[known], np.nan),
    )
    group, row = scope * 7 + (day + 3) % 7, slice(len(known), None)
    ranks = []
    for earlier, value in zip(before, values, strict=True):
        series = np.where(comparable, np.concatenate([earlier, value]), np.nan)
        like = scores.last_comparable((group[row], day[row]), group, day, series)
        ranks.append(np.where(comparable[row], scores.percentile_rank(value, like.values), np.nan))
    return ranks[0], ranks[1]


def _says(frame: pd.DataFrame, column: str, word: str) -> Array:
    """Whether the `quality` of each row says the word of the column."""
    code, distinct = pd.factorize(frames.texts(frame, "quality", column))
    said = [json.loads(text).get(column) == word for text in distinct]
    return np.array([*said, False], dtype=bool)[code]
