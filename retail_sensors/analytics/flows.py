"""Modelled flows: how many go from one region on to another, from counts that know nobody.

Frames in, frames out: hours of `hourly_analytics` (region_counts) and the declared ways to `pathway_analytics`, within a camera,
and `camera_flow_matrix`, between cameras. For each region j that ways lead to, over the hours t of the 56 days that end with the day:

    entries_j(t) = sum_i P_ij entries_i(t) + rest,  P_ij >= 0     least squares over the regions i with a way to j
    flow_ij(day) = P_ij x entries_i(day)                          residual_j = |rest| / |entries_j|, 0 to 1

Counts that rise and fall together cannot be told apart: with the columns scaled to length 1 (so that a busy and a quiet region do
not count as alike), a condition number over MAX_CONDITION leaves all flows into j unknown (Belsley, Kuh and Welsch, Regression
Diagnostics, 1980, sec. 3.2). A flow is of detections, and a model: who takes the way is seen only by tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time

import numpy as np
import pandas as pd
from scipy.optimize import nnls  # type: ignore[import-untyped]

from retail_sensors.analytics import frames, jsontext
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.localtime import Calendar, calendar, walls
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.readings import hour_keys, last_of_each
from retail_sensors.analytics.roster import LINES, Layout, Roster
from retail_sensors.errors import ContractError
from retail_sensors.tables.regions import CAMERA_FLOW_MATRIX, PATHWAY_ANALYTICS

HOUR_COLUMNS = ("sensor_id", "hour_start", "region_counts", "data_completeness")
"""Columns of `hourly_analytics` that the flows are made of."""

FIT_DAYS = 56
"""Days of the fit: the day itself and those before it."""
MIN_HOURS = 200
"""Fewest hours of the fit in which all regions concerned were counted."""
MAX_CONDITION = 100.0
"""Largest condition number of the scaled counts with which the shares are told apart."""

REASONS: dict[str, str] = {
    "not_collected": "no hour of the day was counted in the region that they leave",
    "too_few_hours": "fewer than 200 hours of the 56 days were counted in all regions concerned",
    "not_separable": "the regions that lead there rise and fall together: the condition number passes 100",
    "another_way_unknown": "the flow of another way out of the region is not known",
    "no_flow": "nobody leaves the region, by the model",
    "no_minute_data": "counts by the hour cannot show how long it takes",
    "no_tracks": "only tracks of persons show it",
}
"""Reasons for NULL in `quality` of both frames, and what they mean."""

_REGIONS = len(LINES)


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Ways that people can take, ordered: regions as nodes, camera x 4 + number - 1, cameras in the order of the roster's layout."""

    source: Array
    target: Array

    @property
    def within(self) -> Array:
        """Whether each way stays within one camera."""
        return self.source // _REGIONS == self.target // _REGIONS


def ways_of(adjacency: pd.DataFrame, roster: Roster) -> Ways:
    """The ways between configured regions of one store.

    `adjacency`: rows of `region_adjacency`. A region of which none is declared leads to all other regions of its camera. What is
    declared to or from a region that is not configured, or to another store, is left out; no region leads to itself.
    """
    layout = roster.layout
    configured = _nodes(roster.regions, ("sensor_id", "region_number"), "region_configurations", layout.sensor_ids)
    what = "region_adjacency"
    source = _nodes(adjacency, ("sensor_id", "from_region"), what, layout.sensor_ids)
    target = _nodes(adjacency, ("to_sensor_id", "to_region"), what, layout.sensor_ids)
    configured = configured[configured >= 0]
    usable = np.isin(source, configured) & np.isin(target, configured) & (source != target)
    declared = np.stack([source[usable], target[usable]], axis=1)
    store = layout.store[declared // _REGIONS]
    declared = declared[store[:, 0] == store[:, 1]]
    free = np.setdiff1d(configured, declared[:, 0])
    near = (free // _REGIONS)[:, None] * _REGIONS + np.arange(_REGIONS)
    is_way = np.isin(near, configured) & (near != free[:, None])
    default = np.stack([np.broadcast_to(free[:, None], near.shape)[is_way], near[is_way]], axis=1)
    found = np.unique(np.concatenate([declared, default]), axis=0)
    return Ways(found[:, 0], found[:, 1])


def _nodes(frame: pd.DataFrame, names: tuple[str, str], what: str, ids: Array) -> Array:
    """The node of each row, negative where its camera is not in the roster."""
    camera = frames.codes(ids, frames.texts(frame, names[0], what))
    region = frames.numbers(frame, names[1], what).astype(np.int64) - 1
    return np.where(camera >= 0, camera * _REGIONS + region, -1)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Shares of one target's sources and how far they explain it; `reason` says why the shares are NaN."""

    shares: Array
    rest: float
    total: float
    reason: str


def fit(sources: Array, target: Array) -> Fit:
    """Shares P >= 0 with target = sources @ P, by least squares; `sources` has shape (hours, sources), NaN: not counted.

    `rest` and `total` are the lengths of what is left over and of the target. The share of a source that counted nobody is 0.
    """
    unknown = np.full(sources.shape[1], np.nan)
    known = ~np.isnan(target) & ~np.isnan(sources).any(axis=1)
    if known.sum() < MIN_HOURS:
        return Fit(unknown, np.nan, np.nan, "too_few_hours")
    counted, wanted = sources[known], target[known]
    length = np.sqrt((counted**2).sum(axis=0))
    active = length > 0
    shares = np.zeros(len(length))
    total = float(np.sqrt((wanted**2).sum()))
    if not active.any():
        return Fit(shares, total, total, "")
    scaled = counted[:, active] / length[active]
    smallest, largest = np.linalg.eigvalsh(scaled.T @ scaled)[[0, -1]]
    if smallest * MAX_CONDITION**2 < largest:
        return Fit(unknown, np.nan, np.nan, "not_separable")
    found, rest = nnls(scaled, wanted)
    shares[active] = found / length[active]
    # without any share the rest is the target itself, up to the last digit
    return Fit(shares, min(float(rest), total), total, "")


def pathways(hours: pd.DataFrame, ways: Ways, roster: Roster, dates: tuple[date, date], now: datetime) -> pd.DataFrame:
    """Rows of `pathway_analytics`: each way within a camera on each ended local day, dates[0] <= date < dates[1].

    `hours`: HOUR_COLUMNS of the FIT_DAYS that end with each day; a camera has rows for the days of which it has hours.
    """
    model = _model(hours, ways, roster, dates, now)
    share = model.share
    flow = share * model.entries[ways.source]
    out = np.zeros((int(ways.source.max(initial=0)) + 1, model.days.count))
    np.add.at(out, ways.source, share)
    leaving = out[ways.source]
    efficiency = np.where(model.entries[ways.source] > 0, 100 * frames.ratio(share, leaving), np.nan)
    first = np.full(out.shape, -1)
    best = np.zeros(out.shape)
    for way, source in enumerate(ways.source.tolist()):
        greater = flow[way] > best[source]
        first[source] = np.where(greater, way, first[source])
        best[source] = np.where(greater, flow[way], best[source])
    is_primary = first[ways.source] == np.arange(len(share))[:, None]

    row, day = np.nonzero(ways.within[:, None] & model.is_told[ways.source // _REGIONS])
    source, target = ways.source[row], ways.target[row]
    count = len(row)
    words = Vocabulary()
    no_flow = words.first(
        count,
        (~np.isnan(flow[row, day]), ""),
        (np.isnan(share[row, day]), words.translate(model.reasons, model.reason[row, day])),
        (True, "not_collected"),
    )
    no_rest = words.first(count, (np.isnan(leaving[row, day]), "another_way_unknown"), (True, ""))
    no_share = words.first(count, (no_flow > 0, no_flow), (no_rest > 0, no_rest), (True, "no_flow"))
    no_peak = words.first(count, (no_flow > 0, no_flow), (flow[row, day] > 0, ""), (True, "no_flow"))
    no_primary = np.where(no_flow > 0, no_flow, no_rest)
    # Where the day was not counted the model may still hold: its residual is told only beside a flow.
    residual = np.where(no_flow > 0, np.nan, model.residual[row, day])
    peak = _clock(model, source, model.peak[source, day], no_peak == 0)
    frame = frames.build(
        PATHWAY_ANALYTICS,
        {
            "sensor_id": roster.layout.sensor_ids[source // _REGIONS],
            "date": _dates(model.days, day),
            "from_region": (source % _REGIONS + 1).astype(np.float64),
            "to_region": (target % _REGIONS + 1).astype(np.float64),
            "transition_count": np.rint(flow[row, day]),
            "avg_transition_time_seconds": np.full(count, np.nan),
            "peak_transition_hour": peak,
            "pathway_efficiency_score": efficiency[row, day],
            "is_primary_path": is_primary[row, day],
            "residual": residual,
            "data_completeness": model.completeness[source, day],
            "quality": _quality(
                words,
                count,
                [
                    (("transition_count", "residual"), no_flow),
                    (("avg_transition_time_seconds",), words.first(count, (True, "no_minute_data"))),
                    (("peak_transition_hour",), no_peak),
                    (("pathway_efficiency_score",), np.where(np.isnan(efficiency[row, day]), no_share, 0)),
                    (("is_primary_path",), no_primary),
                ],
            ),
        },
    )
    frame["is_primary_path"] = pd.arrays.BooleanArray(np.asarray(is_primary[row, day]), no_primary > 0)
    return frame


def camera_flows(
    hours: pd.DataFrame, ways: Ways, roster: Roster, dates: tuple[date, date], now: datetime
) -> pd.DataFrame:
    """Rows of `camera_flow_matrix`: each pair of cameras with a declared way on each ended local day of their store.

    Arguments as for `pathways`. A flow is the sum over the ways of the pair, in the hours in which all of them are known.
    """
    model = _model(hours, ways, roster, dates, now)
    layout = roster.layout
    between = np.flatnonzero(~ways.within)
    cameras = np.stack([ways.source[between], ways.target[between]], axis=1) // _REGIONS
    pairs, pair_of_way = np.unique(cameras, axis=0, return_inverse=True)
    shape = (len(pairs), model.days.count)
    flow, residual, completeness = (np.full(shape, np.nan) for _ in range(3))
    peak = np.zeros(shape, dtype=np.int64)
    peak_flow = np.full(shape, np.nan)
    reason = np.zeros(shape, dtype=np.int64)
    for pair, from_camera in enumerate(pairs[:, 0]):
        of_pair = between[pair_of_way.reshape(-1) == pair]
        reason[pair] = model.reason[of_pair].max(axis=0)
        targets = np.unique(ways.target[of_pair], return_index=True)[1]
        rest, total = (np.sqrt((values[of_pair][targets] ** 2).sum(axis=0)) for values in (model.rest, model.total))
        residual[pair] = np.where(total == 0, 0.0, frames.ratio(rest, total))
        store = int(layout.store[from_camera])
        leaving = model.counts[ways.source[of_pair]]
        completeness[pair] = model.by_day(leaving.sum(axis=0), store).completeness
        day_of_hour = model.day_of_hour[store]
        inside = (day_of_hour >= 0) & (day_of_hour < model.days.count)
        share = np.full(leaving.shape, np.nan)
        share[:, inside] = model.share[np.ix_(of_pair, day_of_hour[inside])]
        sums = model.by_day((share * leaving).sum(axis=0), store)
        flow[pair], peak[pair], peak_flow[pair] = sums.total, sums.peak, sums.peak_value

    row, day = np.nonzero(model.is_told[pairs[:, 0]])
    count = len(row)
    words = Vocabulary()
    no_flow = words.first(
        count,
        (~np.isnan(flow[row, day]), ""),
        (reason[row, day] > 0, words.translate(model.reasons, reason[row, day])),
        (True, "not_collected"),
    )
    no_peak = words.first(count, (no_flow > 0, no_flow), (peak_flow[row, day] > 0, ""), (True, "no_flow"))
    from_camera = pairs[row, 0]
    return frames.build(
        CAMERA_FLOW_MATRIX,
        {
            "store_id": layout.store_ids[layout.store[from_camera]],
            "date": _dates(model.days, day),
            "from_camera": layout.sensor_ids[from_camera],
            "to_camera": layout.sensor_ids[pairs[row, 1]],
            "transition_count": np.rint(flow[row, day]),
            "avg_transition_time_seconds": np.full(count, np.nan),
            "peak_flow_hour": _clock(model, from_camera * _REGIONS, peak[row, day], no_peak == 0),
            "flow_type": np.full(count, None, dtype=object),
            "conversion_impact": np.full(count, np.nan),
            "residual": np.where(no_flow > 0, np.nan, residual[row, day]),
            "data_completeness": completeness[row, day],
            "quality": _quality(
                words,
                count,
                [
                    (("transition_count", "residual"), no_flow),
                    (("avg_transition_time_seconds",), words.first(count, (True, "no_minute_data"))),
                    (("peak_flow_hour",), no_peak),
                    (("flow_type", "conversion_impact"), words.first(count, (True, "no_tracks"))),
                ],
            ),
        },
    )


# The model of all ways ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """One series by day: its sum (NaN: no hour known), the first hour of its largest value, and the share of hours known."""

    total: Array
    peak: Array
    peak_value: Array
    completeness: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """What is fitted for every way and day, and the counts that it is fitted to.

    Per way and day: `share`, `rest`, `total`, `residual` (NaN where unknown) and `reason` (position in `reasons`). Per node and
    day: `entries`, `peak` (position in `times`), `completeness`. Per camera and day `is_told`: the day has ended and its
    camera has hours. `counts` has shape (nodes, times), `day_of_hour` (stores, times).
    """

    days: Calendar
    times: Array
    wall: Array
    store_of_camera: Array
    counts: Array
    day_of_hour: Array
    share: Array
    rest: Array
    total: Array
    residual: Array
    reason: Array
    reasons: list[str]
    entries: Array
    peak: Array
    completeness: Array
    is_told: Array
    by_day: Callable[[Array, int], _Sums]


def _model(hours: pd.DataFrame, ways: Ways, roster: Roster, dates: tuple[date, date], now: datetime) -> _Model:
    layout = roster.layout
    first, last = frames.day_number(dates[0]), frames.day_number(dates[1])
    if last < first:
        raise ContractError(
            f"The dates {dates[0]} to {dates[1]} run backwards; give the first, then the day after the last."
        )
    days = calendar(layout.zones, layout.zone, np.zeros(len(layout.store_ids), dtype=np.int64), first, last - first)
    camera, second, counted = _counted(hours, layout)
    times, at = np.unique(second, return_inverse=True)
    cells = np.full((len(layout.sensor_ids), _REGIONS, len(times)), np.nan)
    cells[camera, :, at] = counted
    counts = cells.reshape(len(layout.sensor_ids) * _REGIONS, len(times))
    zones = [walls(layout.zones, np.full(len(times), zone), times) for zone in range(len(layout.zones))]
    wall = np.array(zones, dtype=np.int64).reshape(len(zones), len(times))[layout.zone]
    day_of_hour = wall // DAY - first

    def by_day(series: Array, store: int) -> _Sums:
        day = day_of_hour[store]
        known = np.flatnonzero((day >= 0) & (day < days.count) & ~np.isnan(series))
        day = day[known]
        order = np.lexsort((known, -series[known], day))
        top = order[np.unique(day[order], return_index=True)[1]]
        peak = np.zeros(days.count, dtype=np.int64)
        peak_value = np.full(days.count, np.nan)
        peak[day[top]], peak_value[day[top]] = known[top], series[known][top]
        share = np.bincount(day, minlength=days.count) / np.maximum(days.lengths[store], 1)
        return _Sums(frames.summed(day, series[known], days.count), peak, peak_value, np.minimum(share, 1.0))

    is_told = np.zeros((len(layout.sensor_ids), days.count), dtype=bool)
    day = day_of_hour[layout.store[camera], at]
    inside = (day >= 0) & (day < days.count)
    is_told[camera[inside], day[inside]] = True
    is_told &= (days.starts[:, 1:] <= frames.instant(now, "now"))[layout.store]

    shape = (len(ways.source), days.count)
    share, rest, total = (np.full(shape, np.nan) for _ in range(3))
    reason = np.zeros(shape, dtype=np.int64)
    reasons = ["", "too_few_hours", "not_separable"]
    for target in np.unique(ways.target):
        into = np.flatnonzero(ways.target == target)
        store = layout.store[target // _REGIONS]
        for offset in np.flatnonzero(is_told[ways.source[into] // _REGIONS].any(axis=0)):
            of_fit = (day_of_hour[store] > offset - FIT_DAYS) & (day_of_hour[store] <= offset)
            found = fit(counts[np.ix_(ways.source[into], of_fit)].T, counts[target, of_fit])
            share[into, offset], rest[into, offset], total[into, offset] = found.shares, found.rest, found.total
            reason[into, offset] = reasons.index(found.reason)

    nodes = (len(counts), days.count)
    entries, completeness = np.full(nodes, np.nan), np.zeros(nodes)
    peak = np.zeros(nodes, dtype=np.int64)
    for node in np.unique(ways.source):
        sums = by_day(counts[node], int(layout.store[node // _REGIONS]))
        entries[node], peak[node], completeness[node] = sums.total, sums.peak, sums.completeness
    return _Model(
        days=days,
        times=times,
        wall=wall,
        store_of_camera=layout.store,
        counts=counts,
        day_of_hour=day_of_hour,
        share=share,
        rest=rest,
        total=total,
        residual=np.where(total == 0, 0.0, frames.ratio(rest, total)),
        reason=reason,
        reasons=reasons,
        entries=entries,
        peak=peak,
        completeness=completeness,
        is_told=is_told,
        by_day=by_day,
    )


def _counted(hours: pd.DataFrame, layout: Layout) -> tuple[Array, Array, Array]:
    """Camera, instant and counts (rows, 4) of each hour, one row each, from the cameras' first expected days on.

    Of two rows for one camera and hour the more complete one holds, then the one with more counted.
    """
    what = "hourly_analytics"
    camera = frames.codes(layout.sensor_ids, frames.texts(hours, "sensor_id", what))
    second = frames.seconds(hours, "hour_start", what)
    known = np.flatnonzero(camera >= 0)
    # before its first day a camera looked at another place, or at nothing
    day = layout.wall(layout.store[camera[known]], second[known]) // DAY
    known = known[~(day < layout.installed[camera[known]])]
    counted = jsontext.parsed(frames.texts(hours, "region_counts", what)[known], LINES)
    complete = frames.numbers(hours, "data_completeness", what)[known]
    rows = last_of_each(hour_keys(camera[known], second[known]), [complete, *counted.T])
    return camera[known][rows], second[known][rows], counted[rows]


def _dates(days: Calendar, offset: Array) -> Array:
    return np.asarray((days.first + offset).astype("datetime64[D]").astype(object))


def _clock(model: _Model, node: Array, hour: Array, is_known: Array) -> Array:
    """Local time of day at which each row's hour starts, None where it is not known."""
    result = np.full(len(node), None, dtype=object)
    store = model.store_of_camera[node // _REGIONS]
    for row in np.flatnonzero(is_known):
        second = int(model.wall[store[row], hour[row]]) % DAY
        result[row] = time(second // HOUR, second % HOUR // 60)
    return result


def _quality(words: Vocabulary, count: int, notes: list[tuple[tuple[str, ...], Array]]) -> Array:
    return quality_texts(words, count, [(("counts",), words.first(count, (True, "modelled"))), *notes])
