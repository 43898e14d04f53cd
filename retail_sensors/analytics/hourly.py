"""The hourly figures: one row per camera and hour, and one per store and hour.

Frames in, frames out: raw tables to `hourly_analytics`, and `hourly_analytics` to `store_hourly`. An hour that was asked for
and not answered is a row without counts, or with the estimate that it is given; an hour before a camera's installation or after
`now` is no row. Estimates make sums, never people inside, capture or shares of lines, which are figures of measured hours. Both
functions need the hours of the window and up to 26 hours around it, which is what occupancy looks at: a
wider context changes nothing. Order and doubled rows do not matter.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames, jsontext, occupancy
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.readings import (
    HourRows,
    asked_hours,
    estimates,
    hour_rows,
    raw_readings,
    split_keys,
)
from retail_sensors.analytics.roster import LINES, Layout, Roster
from retail_sensors.analytics.slices import by_stores
from retail_sensors.analytics.traffic import (
    Counts,
    ScopeHours,
    camera_scope,
    capture_rate,
    has_wanted,
    imputed_share,
    line_counts,
    scope_roles,
    store_scope,
    traffic_by_basis,
)
from retail_sensors.tables import HOURLY_ANALYTICS, STORE_HOURLY
from retail_sensors.tables.figures import counts_of

HEAT_CROSSINGS = 5
"""Most crossings beside which a heat value of 0 is believed; with more the camera had forgotten the hour's heat."""

_LINE_CELLS = tuple(f"line{line}_{way}" for line in LINES for way in ("in", "out"))
_REGION_CELLS = tuple(f"region{region}_count" for region in LINES)
_PEOPLE_INSIDE = ("avg_occupancy", "peak_occupancy")
_TRAFFIC = ("total_entries", "total_exits", "net_flow", "traffic", "visitors")


def sensor_hours(
    people: pd.DataFrame,
    regions: pd.DataFrame,
    heat: pd.DataFrame,
    asked: pd.DataFrame,
    roster: Roster,
    window_start: datetime,
    window_end: datetime,
    now: datetime,
    imputed: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row of `hourly_analytics` per camera and hour that was asked for or read, window_start <= hour < window_end.

    `people`, `regions`, `heat`: rows of the raw tables; `asked`: sensor_id, hour_start, outcome of `collection_log` for
    people_counting; `imputed`: rows of `imputed_hours`, of which those of hours that have since been measured are not looked at.
    Cameras that are not in the roster are left out. Raises ContractError for a missing column, an instant without zone or an
    unusable roster.
    """
    sources = (people, regions, heat, asked, pd.DataFrame() if imputed is None else imputed)
    return by_stores(_sensor_hours, sources, roster, "sensor_id", window_start, window_end, now)


def _sensor_hours(
    people: pd.DataFrame,
    regions: pd.DataFrame,
    heat: pd.DataFrame,
    asked: pd.DataFrame,
    imputed: pd.DataFrame,
    roster: Roster,
    window_start: datetime,
    window_end: datetime,
    now: datetime,
) -> pd.DataFrame:
    layout = roster.layout
    start, end, current = _span(window_start, window_end, now)
    words = Vocabulary()
    counted = raw_readings(people, "people_counting_raw", _LINE_CELLS, layout)
    log = asked_hours(asked, layout)
    keys = np.union1d(counted.keys, log.keys)
    camera, second = split_keys(keys)
    wall = layout.wall(layout.store[camera], second)
    kept = (second < current) & ~(wall // frames.DAY < layout.installed[camera])
    keys, camera, second, wall = keys[kept], camera[kept], second[kept], wall[kept]
    store = layout.store[camera]

    found, values, final = counted.at(keys)
    counts = line_counts(values, camera, layout)
    is_open = layout.is_open(store, wall)
    has_counts = has_wanted(counts, camera, layout)
    given = np.stack([counts.entries, counts.exits, counts.passersby], axis=1)
    estimate, substituted = estimates(imputed, layout).at(keys)
    estimate[has_counts & final] = np.nan
    used = np.fmax(given, estimate)  # what was counted in part of an hour is the least that it can have been
    estimated = (np.nan_to_num(used) - np.nan_to_num(given)).sum(axis=1)
    is_imputed = ~np.isnan(estimate).all(axis=1) & ((estimated > 0) | ~has_counts)
    used = np.where(is_imputed[:, None], used, given)
    entries, exits, passersby = used.T
    traffic = traffic_by_basis(entries, exits, layout.basis[store])
    rows = HourRows(
        position=np.arange(len(keys)),
        camera=camera,
        second=second,
        entries=entries,
        exits=exits,
        passersby=passersby,
        traffic=traffic,
        visitors=np.where(is_open, traffic, traffic * 0),
        is_open=is_open,
        counted=has_counts & ~is_imputed,
        complete=has_counts & final,
        imputed=is_imputed,
        substituted=is_imputed & substituted,
        estimated=np.where(is_imputed, estimated, 0.0),
    )
    inside = _camera_occupancy(rows, wall, layout, current)

    logged, outcome = log.at(keys)
    # an `ok` beside a missing row: the camera answered, yet not for this hour
    outcomes = ["no_rows" if outcome == "ok" else outcome for outcome in log.outcomes] or ["not_asked"]
    why = words.first(
        len(keys), (found, "empty_cell"), (logged, words.translate(outcomes, outcome)), (True, "not_asked")
    )

    chosen = np.flatnonzero((second >= start) & (second < end))
    answered = ~np.isnan(counts.crossings[chosen])
    code = words.first(
        len(chosen),
        (rows.complete[chosen], "measured"),
        (rows.substituted[chosen], "substituted"),
        (rows.imputed[chosen], "estimated"),
        (rows.counted[chosen], "provisional"),
        (answered, "partial"),
        (True, "missing"),
    )
    scope = camera_scope(_taken(rows, chosen), layout)
    extra = _camera_extras(counts, chosen, keys[chosen], is_imputed[chosen], regions, heat, layout, words, why[chosen])
    return _hour_frame("sensor", scope, layout, code, why[chosen], words, _Inside.taken(inside, chosen), extra)


def store_hours(
    hours: pd.DataFrame, roster: Roster, window_start: datetime, window_end: datetime, now: datetime
) -> pd.DataFrame:
    """One row of `store_hourly` per store and hour in which a camera of the store has a row, window_start <= hour < window_end.

    `hours`: rows of `hourly_analytics`. Counts are sums over the cameras that were measured or estimated, NULL when none was;
    completeness is the share of the store's entrance cameras with a row whose counts are final.
    """
    return by_stores(_store_hours, (hours,), roster, "store_id", window_start, window_end, now)


def _store_hours(
    hours: pd.DataFrame, roster: Roster, window_start: datetime, window_end: datetime, now: datetime
) -> pd.DataFrame:
    layout = roster.layout
    start, end, current = _span(window_start, window_end, now)
    words = Vocabulary()
    rows = hour_rows(hours, layout)
    wall = layout.wall(layout.store[rows.camera], rows.second)
    scope, group = store_scope(rows, layout)
    windows = occupancy.calendar_around(layout, wall)
    cameras = occupancy.camera_windows(rows, wall, windows, layout, current)
    solved = occupancy.solve(occupancy.store_windows(cameras, windows, layout, current))
    day, slot = windows.locate(scope.scope, scope.second, layout.wall(scope.scope, scope.second))
    place = (scope.scope, np.clip(day, 0, windows.count - 1), slot)
    inside = _Inside.at(solved, place, layout.per_store(layout.is_entrance)[scope.scope] > 0)

    chosen = np.flatnonzero((scope.second >= start) & (scope.second < end))
    taken = _taken_scope(scope, chosen)
    code = words.first(
        len(chosen),
        (taken.counted + taken.imputed == 0, "missing"),
        (taken.counted + taken.imputed < taken.expected, "partial"),
        (taken.substituted > 0, "substituted"),
        (taken.imputed > 0, "estimated"),
        (taken.final < taken.expected, "provisional"),
        (True, "measured"),
    )
    why = words.first(
        len(chosen),
        (taken.expected == 0, "not_asked"),
        (taken.counted + taken.imputed == 0, "no_camera_measured"),
        (True, "empty_cell"),
    )
    renumbered = np.full(len(scope.scope), -1, dtype=np.int64)
    renumbered[chosen] = np.arange(len(chosen))
    extra = _store_extras(hours, rows, renumbered[group], len(chosen), layout, words, why)
    return _hour_frame("store", taken, layout, code, why, words, _Inside.taken(inside, chosen), extra)


def _span(window_start: datetime, window_end: datetime, now: datetime) -> tuple[int, int, int]:
    return (
        frames.instant(window_start, "window_start"),
        frames.instant(window_end, "window_end"),
        frames.instant(now, "now"),
    )


def _taken(rows: HourRows, chosen: Array) -> HourRows:
    return HourRows(*(getattr(rows, name)[chosen] for name in HourRows.__slots__))


def _taken_scope(scope: ScopeHours, chosen: Array) -> ScopeHours:
    return ScopeHours(*(getattr(scope, name)[chosen] for name in ScopeHours.__slots__))


class _Inside:
    """People inside by row: average, peak, and the words for reason and method."""

    def __init__(self, average: Array, peak: Array, reason: Array, method: Array) -> None:
        self.average, self.peak, self.reason, self.method = average, peak, reason, method

    @classmethod
    def at(cls, solved: occupancy.Occupancy, place: tuple[Array, Array, Array], applies: Array) -> _Inside:
        """What was solved for each row's place; nothing where the scope has no entrance line."""
        return cls(
            np.where(applies, solved.average[place], np.nan),
            np.where(applies, solved.peak[place], np.nan),
            np.where(applies, solved.reason[place], 0),
            np.where(applies, solved.method[place], 0),
        )

    @classmethod
    def taken(cls, inside: _Inside, chosen: Array) -> _Inside:
        """The chosen rows."""
        return cls(inside.average[chosen], inside.peak[chosen], inside.reason[chosen], inside.method[chosen])


def _camera_occupancy(rows: HourRows, wall: Array, layout: Layout, now: int) -> _Inside:
    windows = occupancy.calendar_around(layout, wall)
    solved = occupancy.solve(occupancy.camera_windows(rows, wall, windows, layout, now))
    day, slot = windows.locate(layout.store[rows.camera], rows.second, wall)
    place = (rows.camera, np.clip(day, 0, windows.count - 1), slot)
    return _Inside.at(solved, place, layout.holds_entrances[rows.camera])


class _Extras:
    """What each row says beside the counts, with the reasons for NULL."""

    def __init__(
        self,
        busiest: tuple[Array, Array],
        distribution: Array,
        regions: tuple[Array, Array],
        heat: tuple[Array, Array],
        heat_per_passage: tuple[Array, Array],
    ) -> None:
        self.busiest, self.distribution, self.regions = busiest, distribution, regions
        self.heat, self.heat_per_passage = heat, heat_per_passage


def _camera_extras(
    counts: Counts,
    chosen: Array,
    keys: Array,
    is_imputed: Array,
    regions: pd.DataFrame,
    heat: pd.DataFrame,
    layout: Layout,
    words: Vocabulary,
    why: Array,
) -> _Extras:
    count = len(chosen)
    camera, _ = split_keys(keys)
    by_line = counts.by_line[chosen]
    entrance = layout.entrance[camera]
    crossed = np.where(np.isnan(counts.entries[chosen] + counts.exits[chosen]), np.nan, np.nansum(by_line, axis=1))
    some = (crossed > 0) & ~is_imputed
    busiest = np.where(some, np.argmax(np.nan_to_num(by_line, nan=-1.0), axis=1) + 1.0, np.nan)
    item_row, item_line = np.nonzero(entrance & some[:, None])
    distribution = jsontext.objects(
        item_row,
        np.array([jsontext.key_text(line) for line in LINES], dtype=object)[item_line],
        by_line[item_row, item_line] / crossed[item_row],
        count,
    )
    no_line = words.first(
        count,
        (some, ""),
        (~layout.is_entrance[camera], "no_entrance_line"),
        (is_imputed, "imputed"),
        (crossed == 0, "nobody_crossed"),
        (True, why),
    )

    seen = raw_readings(regions, "regional_counting_raw", _REGION_CELLS, layout)
    found, cells, _ = seen.at(keys)
    item_row, item_region = np.nonzero(layout.regions[camera] & ~np.isnan(cells))
    region_text = jsontext.objects(
        item_row,
        np.array([jsontext.key_text(region) for region in LINES], dtype=object)[item_region],
        cells[item_row, item_region],
        count,
    )
    has_regions = np.bincount(item_row, minlength=count) > 0
    no_region = words.first(count, (has_regions, ""), (found, "empty_cell"), (True, "not_collected"))

    warm = raw_readings(heat, "heatmap_temporal_raw", ("heat_value",), layout)
    found, values, _ = warm.at(keys)
    value = values[:, 0] / layout.heat_scale[camera]
    crossings = counts.crossings[chosen]
    forgotten = (value == 0) & (crossings > HEAT_CROSSINGS)
    value = np.where(forgotten, np.nan, value)
    no_heat = words.first(
        count,
        (~np.isnan(value), ""),
        (forgotten, "heat_not_held"),
        (found, "empty_cell"),
        (True, "not_collected"),
    )
    per_passage = frames.ratio(value, crossings)
    no_passage = words.first(
        count, (~np.isnan(per_passage), ""), (np.isnan(value), no_heat), (crossings == 0, "nobody_crossed"), (True, why)
    )
    return _Extras(
        (busiest, no_line), distribution, (region_text, no_region), (value, no_heat), (per_passage, no_passage)
    )


def _store_extras(
    hours: pd.DataFrame,
    rows: HourRows,
    group: Array,
    count: int,
    layout: Layout,
    words: Vocabulary,
    why: Array,
) -> _Extras:
    """What a store's cameras say together; `group` is each camera row's row in the result, -1 outside of it."""
    chosen = np.flatnonzero(group >= 0)
    chosen = chosen[
        np.argsort(group[chosen], kind="stable")
    ]  # rows are in the order of the cameras' names, and stay so
    row, camera, position = group[chosen], rows.camera[chosen], rows.position[chosen]
    names = np.array([jsontext.key_text(f"{name}:{line}") for name in layout.names for line in LINES], dtype=object)

    shares = jsontext.parsed(frames.texts(hours, "line_distribution", "hourly_analytics")[position], LINES)
    crossed = np.nan_to_num(rows.entries[chosen] + rows.exits[chosen])
    line_total = np.where(layout.entrance[camera], np.rint(np.nan_to_num(shares) * crossed[:, None]), np.nan)
    line_total[np.isnan(rows.entries[chosen] + rows.exits[chosen])] = np.nan
    # the shares of the other doors would pass for those of the store
    is_imputed = np.bincount(row, weights=rows.imputed[chosen] & layout.is_entrance[camera], minlength=count) > 0
    unknown = layout.is_entrance[camera] & np.isnan(rows.entries[chosen] + rows.exits[chosen])
    is_partial = np.bincount(row, weights=unknown, minlength=count) > 0
    line_total[(is_imputed | is_partial)[row]] = np.nan
    item, line = np.nonzero(~np.isnan(line_total))
    item_row, item_value = row[item], line_total[item, line]
    total = np.bincount(item_row, weights=item_value, minlength=count)
    some = total > 0
    shown = some[item_row]
    item_row, item_value, item_name = item_row[shown], item_value[shown], (camera[item] * 4 + line)[shown]
    distribution = jsontext.objects(item_row, names[item_name], item_value / total[item_row], count)
    most = np.zeros(count)
    np.maximum.at(most, item_row, item_value)
    leader = np.flatnonzero(item_value == most[item_row])
    led, first = np.unique(item_row[leader], return_index=True)
    plain = np.array([f"{name}:{line}" for name in layout.names for line in LINES], dtype=object)
    busiest = np.full(count, None, dtype=object)
    busiest[led] = plain[item_name[leader[first]]]
    has_entrance = np.zeros(count, dtype=bool)
    has_entrance[row] = layout.per_store(layout.is_entrance)[layout.store[camera]] > 0
    measured = np.bincount(row, weights=~np.isnan(rows.entries[chosen] + rows.exits[chosen]), minlength=count) > 0
    no_line = words.first(
        count,
        (some, ""),
        (~has_entrance, "no_entrance_line"),
        (is_imputed, "imputed"),
        (measured & is_partial, "partial_counts"),
        (measured, "nobody_crossed"),
        (True, why),
    )

    detections = jsontext.parsed(frames.texts(hours, "region_counts", "hourly_analytics")[position], LINES)
    item, region = np.nonzero(~np.isnan(detections))
    region_text = jsontext.objects(row[item], names[camera[item] * 4 + region], detections[item, region], count)
    has_regions = np.bincount(row[item], minlength=count) > 0
    no_region = words.first(count, (has_regions, ""), (True, "not_collected"))

    heat = frames.numbers(hours, "avg_heat_value", "hourly_analytics")[position]
    per_passage = frames.numbers(hours, "heat_seconds_per_passage", "hourly_analytics")[position]
    # a camera's row does not carry its crossings of internal lines: heat over heat per crossing gives all of them back
    counted = np.nan_to_num(rows.entries[chosen]) + np.nan_to_num(rows.exits[chosen])
    crossings = np.where(
        heat > 0, np.rint(frames.ratio(heat, per_passage)), counted + np.nan_to_num(rows.passersby[chosen])
    )
    crossings = np.where(np.isnan(heat) | (rows.imputed[chosen] & (heat == 0)), np.nan, crossings)
    warm = frames.summed(row, heat, count)
    passages = frames.summed(row, np.where(np.isnan(crossings), np.nan, crossings), count)
    related = frames.summed(row, np.where(np.isnan(crossings), np.nan, heat), count)
    rate = frames.ratio(related, passages)
    no_heat = words.first(count, (~np.isnan(warm), ""), (True, "not_collected"))
    no_rate = words.first(count, (~np.isnan(rate), ""), (np.isnan(warm), no_heat), (True, "nobody_crossed"))
    return _Extras((busiest, no_line), distribution, (region_text, no_region), (warm, no_heat), (rate, no_rate))


def _hour_frame(
    subject: str,
    scope: ScopeHours,
    layout: Layout,
    code: Array,
    why: Array,
    words: Vocabulary,
    inside: _Inside,
    extra: _Extras,
) -> pd.DataFrame:
    """The frame of a scope's hours, with every NULL explained in `quality`."""
    count = len(scope.scope)
    of_camera = subject == "sensor"
    store = layout.store[scope.scope] if of_camera else scope.scope
    roles = scope_roles(scope.scope, of_camera, layout)
    has_entrance, has_passerby = roles.has_entrance, roles.has_passerby
    capture_applies, inside_applies = roles.capture_applies, roles.inside_applies

    rate = capture_rate(scope.entries, scope.passersby, layout.excludes_entrants[store])
    rate = np.where(capture_applies & scope.can_capture, rate, np.nan)
    no_entries = words.first(count, (~has_entrance, "no_entrance_line"), (np.isnan(scope.entries), why))
    no_exits = words.first(count, (~has_entrance, "no_entrance_line"), (np.isnan(scope.exits), why))
    no_both = np.where(no_entries > 0, no_entries, no_exits)
    no_traffic = np.where(np.isnan(scope.traffic), np.where(no_both > 0, no_both, why), 0)
    no_passersby = words.first(
        count,
        (~np.isnan(scope.passersby), ""),
        (~has_passerby, "no_passerby_line"),
        (scope.passerby_expected == 0, "not_asked"),
        (True, why),
    )
    no_rate = words.first(
        count,
        (rate > 100, "above_100"),
        (~np.isnan(rate), ""),
        (~has_entrance, "no_entrance_line"),
        (~capture_applies, "store_level_only"),
        (~has_passerby, "no_passerby_line"),
        (~scope.is_open, "closed"),
        (np.isnan(scope.entries), no_entries),
        (np.isnan(scope.passersby), no_passersby),
        (scope.imputed + scope.passerby_imputed > 0, "imputed"),
        (~scope.can_capture, "partial_counts"),
        (True, "no_passersby"),
    )
    solved_reason = words.translate(occupancy.REASONS, inside.reason)
    no_inside = words.first(
        count,
        (~np.isnan(inside.average), ""),
        (~has_entrance, "no_entrance_line"),
        (~inside_applies, "store_level_only"),
        (True, solved_reason),
    )
    utilization = frames.ratio(inside.average, layout.capacity[store])
    no_utilization = words.first(
        count, (no_inside > 0, no_inside), (np.isnan(layout.capacity[store]), "no_capacity"), (True, "")
    )
    live = ~np.isnan(inside.average) & (inside.method == occupancy.METHODS.index("live"))
    method = np.where(np.isnan(inside.average), 0, words.translate(occupancy.METHODS, inside.method))
    basis = words.first(
        count,
        (np.isnan(rate), ""),
        (layout.excludes_entrants[store], "passersby_and_entries"),
        (True, "passersby"),
    )
    answered = scope.passerby_counted + scope.passerby_imputed
    no_passersby = words.first(
        count,
        (np.isnan(scope.passersby), no_passersby),
        (answered < scope.passerby_expected, "partial"),
        # where a door was estimated too, `counts` says so
        ((scope.passerby_imputed > 0) & (scope.imputed == 0), "imputed"),
    )
    share = imputed_share(
        scope.estimated, scope.people, scope.imputed + scope.passerby_imputed, scope.counted + scope.passerby_counted
    )
    no_share = words.first(count, (~np.isnan(share), ""), (has_entrance, no_entries), (True, no_passersby))
    quality = quality_texts(
        words,
        count,
        [
            (("counts",), code),
            (("total_entries",), no_entries),
            (("total_exits",), no_exits),
            (("net_flow",), no_both),
            (("traffic", "visitors"), no_traffic),
            (("passersby",), no_passersby),
            (("capture_rate_percent",), no_rate),
            (("capture_rate_basis",), basis),
            (_PEOPLE_INSIDE, no_inside),
            (("utilization",), no_utilization),
            (("occupancy",), method),
            (("busiest_line", "line_distribution"), extra.busiest[1]),
            (("region_counts",), extra.regions[1]),
            (("avg_heat_value",), extra.heat[1]),
            (("heat_seconds_per_passage",), extra.heat_per_passage[1]),
            (("imputed_share",), no_share),
        ],
    )
    key = {"sensor_id": layout.sensor_ids[scope.scope]} if of_camera else {"store_id": layout.store_ids[scope.scope]}
    return frames.build(
        counts_of(HOURLY_ANALYTICS if of_camera else STORE_HOURLY),
        {
            **key,
            "hour_start": scope.second,
            "total_entries": scope.entries,
            "total_exits": scope.exits,
            "net_flow": scope.entries - scope.exits,
            "passersby": scope.passersby,
            "traffic": scope.traffic,
            "is_open": scope.is_open,
            "visitors": scope.visitors,
            "capture_rate_percent": rate,
            "avg_occupancy": inside.average,
            "peak_occupancy": inside.peak,
            "utilization": utilization,
            "busiest_line": extra.busiest[0],
            "line_distribution": extra.distribution,
            "region_counts": extra.regions[0],
            "avg_heat_value": extra.heat[0],
            "heat_seconds_per_passage": extra.heat_per_passage[0],
            "data_completeness": np.where(scope.expected > 0, scope.final / np.maximum(scope.expected, 1), 0.0),
            "imputed_share": share,
            "is_provisional": ((scope.counted > scope.final) | live),
            "quality": quality,
        },
    )
