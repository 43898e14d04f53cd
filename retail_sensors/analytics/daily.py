"""The daily figures: one row per camera and local day of its store, and one per store and local day.

Frames in, frames out: `hourly_analytics` to `daily_analytics` and to `store_daily`, with earlier rows of the same table as history
for comparisons. Only days that have ended at `now` are written. Sums hold the estimates of missing hours; a peak, capture and the
shares of lines are those of measured hours. Totals belong to the local day (23 to 25 hours);
people inside, dwell and residual of a date belong to the day from reset to reset that starts on it, so `hours` must
reach to its end: 26 hours on either side of the dates are enough, and more changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time

import numpy as np
import pandas as pd

from retail_sensors.analytics import comparisons, frames, jsontext, occupancy
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.localtime import SLOTS, Calendar, calendar
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.readings import HourRows, hour_rows, people_of
from retail_sensors.analytics.roster import LINES, Layout, Roster
from retail_sensors.analytics.traffic import (
    ScopeHours,
    camera_scope,
    capture_rate,
    imputed_share,
    scope_roles,
    store_scope,
)
from retail_sensors.errors import ContractError
from retail_sensors.tables import DAILY_ANALYTICS, STORE_DAILY
from retail_sensors.tables.figures import counts_of

_INSIDE = ("avg_occupancy", "peak_occupancy", "avg_dwell_time_minutes")


def sensor_days(
    hours: pd.DataFrame,
    roster: Roster,
    dates: tuple[date, date],
    history: pd.DataFrame,
    now: datetime,
    holidays: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row of `daily_analytics` per camera and ended local day, dates[0] <= date < dates[1].

    `hours`: rows of `hourly_analytics`; `history`: rows of `daily_analytics` of the 420 days before;
    `holidays`: rows of `holidays.same_named` of the dates and the history. A camera has a row for each day that it was asked on,
    or that it was declared as installed and active for. Days computed here stand before stored ones as history of the later days.
    """
    return _days(True, hours, roster.layout, dates, history, now, holidays)


def store_days(
    hours: pd.DataFrame,
    roster: Roster,
    dates: tuple[date, date],
    history: pd.DataFrame,
    now: datetime,
    holidays: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row of `store_daily` per store and ended local day, dates[0] <= date < dates[1].

    `hours`: rows of `hourly_analytics` (of cameras, not of stores); `history`: rows of `store_daily`. Otherwise as `sensor_days`.
    """
    return _days(False, hours, roster.layout, dates, history, now, holidays)


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """A grid of scopes and days, and where in it each camera row and each scope row lies.

    `camera_cell` counts over (cameras, days), `scope_cell` over (scopes, days); both only for the rows that `camera_rows`
    and `scope_rows` choose, which lie inside the dates.
    """

    of_camera: bool
    scopes: int
    calendar: Calendar
    store_of_scope: Array
    camera_rows: Array
    camera_cell: Array
    scope_rows: Array
    scope_cell: Array
    scope_slot: Array

    @property
    def count(self) -> int:
        return self.scopes * self.calendar.count


def _days(
    of_camera: bool,
    hours: pd.DataFrame,
    layout: Layout,
    dates: tuple[date, date],
    history: pd.DataFrame,
    now: datetime,
    holidays: pd.DataFrame | None,
) -> pd.DataFrame:
    first, last = frames.day_number(dates[0]), frames.day_number(dates[1])
    if last < first:
        raise ContractError(
            f"The dates {dates[0]} to {dates[1]} run backwards; give the first, then the day after the last."
        )
    current = frames.instant(now, "now")
    words = Vocabulary()
    rows = hour_rows(hours, layout)
    wall = layout.wall(layout.store[rows.camera], rows.second)
    scope = camera_scope(rows, layout) if of_camera else store_scope(rows, layout)[0]
    cells = _cells(of_camera, rows, wall, scope, layout, first, last - first)
    count = cells.count
    store = np.repeat(cells.store_of_scope, cells.calendar.count)
    scope_id = np.repeat(np.arange(cells.scopes), cells.calendar.count)

    expected, final, present = _expectations(cells, rows, layout)
    ended = (cells.calendar.starts[:, 1:] <= current) & (cells.calendar.lengths > 0)
    written = np.flatnonzero(present & ended[cells.store_of_scope].reshape(-1))

    hour = _Sums(cells, scope)
    roles = scope_roles(scope_id, of_camera, layout)
    rate = capture_rate(hour.capture_entries, hour.capture_passersby, layout.excludes_entrants[store])
    rate = np.where(roles.capture_applies, rate, np.nan)
    completeness = np.where(expected > 0, np.minimum(final / np.maximum(expected, 1), 1.0), 0.0)

    inside = _inside(cells, rows, wall, layout, current)
    inside_applies = roles.inside_applies & roles.has_entrance
    average, peak, dwell, residual = (
        np.where(inside_applies, values.reshape(-1), np.nan)
        for values in (inside.window_average, inside.window_peak, inside.window_dwell, inside.window_residual)
    )
    window_open = inside_applies & inside.provisional.reshape(-1)
    utilization = frames.ratio(average, layout.capacity[store])
    score = 100 * completeness * (1 - np.minimum(1, np.abs(residual)))

    peaks = _peaks(cells, scope, layout)
    distribution = _hourly_distribution(cells, scope, written)
    lines, regions = _shares(cells, hours, rows, layout, written)
    compared = _comparisons(cells, hour.visitors, completeness, written, history, holidays, layout, first)

    none = words.first(
        count,
        (hour.rows == 0, "not_asked"),
        (hour.counted + hour.imputed == 0, "no_hour_measured"),
        (True, "empty_cell"),
    )
    no_entries = words.first(count, (~roles.has_entrance, "no_entrance_line"), (np.isnan(hour.entries), none))
    no_exits = words.first(count, (~roles.has_entrance, "no_entrance_line"), (np.isnan(hour.exits), none))
    no_both = np.where(no_entries > 0, no_entries, no_exits)
    no_traffic = np.where(np.isnan(hour.traffic), np.where(no_both > 0, no_both, none), 0)
    no_visitors = words.first(
        count, (~np.isnan(hour.visitors), ""), (no_traffic > 0, no_traffic), (True, "no_open_hour_measured")
    )
    no_passersby = words.first(
        count, (~np.isnan(hour.passersby), ""), (~roles.has_passerby, "no_passerby_line"), (True, none)
    )
    no_rate = words.first(
        count,
        (rate > 100, "above_100"),
        (~np.isnan(rate), ""),
        (~roles.has_entrance, "no_entrance_line"),
        (~roles.capture_applies, "store_level_only"),
        (~roles.has_passerby, "no_passerby_line"),
        (np.isnan(hour.entries), no_entries),
        (np.isnan(hour.passersby), no_passersby),
        (hour.open_rows == 0, "no_open_hour"),
        (hour.capture_hours == 0, "no_open_hour_measured"),
        (True, "no_passersby"),
    )
    no_peak = words.first(
        count,
        (peaks.found, ""),
        (no_traffic > 0, no_traffic),
        (hour.open_rows == 0, "no_open_hour"),
        (True, "no_open_hour_measured"),
    )
    outside = words.first(count, (~roles.has_entrance, "no_entrance_line"), (~roles.inside_applies, "store_level_only"))
    no_inside = np.where(outside > 0, outside, words.translate(occupancy.REASONS, inside.window_reason.reshape(-1)))
    no_residual = np.where(outside > 0, outside, words.translate(occupancy.REASONS, inside.residual_reason.reshape(-1)))
    no_utilization = words.first(
        count, (no_inside > 0, no_inside), (np.isnan(layout.capacity[store]), "no_capacity"), (True, "")
    )
    method = np.where(no_inside > 0, 0, words.translate(occupancy.METHODS, inside.window_method.reshape(-1)))
    basis = words.first(
        count, (np.isnan(rate), ""), (layout.excludes_entrants[store], "passersby_and_entries"), (True, "passersby")
    )
    code = words.first(
        count,
        (hour.counted + hour.imputed == 0, "missing"),
        (hour.counted + hour.imputed < expected, "partial"),
        (hour.substituted > 0, "substituted"),
        (hour.imputed > 0, "estimated"),
        (final < expected, "provisional"),
        (True, "measured"),
    )
    has_lines = np.zeros(count, dtype=bool)
    has_lines[written] = pd.notna(lines)
    no_lines = words.first(
        count, (has_lines, ""), (no_entries > 0, no_entries), (no_exits > 0, no_exits), (True, "nobody_crossed")
    )
    nothing = np.isnan(hour.entries) & np.isnan(hour.exits) & np.isnan(hour.passersby)
    people = np.where(nothing, np.nan, people_of(hour.entries, hour.exits, hour.passersby))
    share = imputed_share(
        hour.estimated, people, hour.imputed + hour.passerby_imputed, hour.counted + hour.passerby_counted
    )
    no_share = words.first(count, (~nothing, ""), (roles.has_entrance, no_entries), (True, no_passersby))
    has_regions = np.zeros(count, dtype=bool)
    has_regions[written] = pd.notna(regions)
    no_regions = words.first(count, (has_regions, ""), (True, "not_collected"))

    notes = [
        (("counts",), code),
        (("total_entries",), no_entries),
        (("total_exits",), no_exits),
        (("net_flow",), no_both),
        (("traffic",), no_traffic),
        (("total_visitors",), no_visitors),
        (("passersby",), no_passersby),
        (("capture_rate_percent",), no_rate),
        (("capture_rate_basis",), basis),
        (("peak_hour", "peak_hour_traffic", "off_peak_hour", "off_peak_traffic"), no_peak),
        (("busiest_regions",), no_regions),
        (("line_usage_distribution",), no_lines),
        (_INSIDE, no_inside),
        (("utilization",), no_utilization),
        (("occupancy",), method),
        (("in_out_residual", "data_quality_score"), no_residual),
        (("imputed_share",), no_share),
        *(
            (
                (name,),
                np.where(no_visitors > 0, no_visitors, words.translate(comparisons.REASONS, change.reason.reshape(-1))),
            )
            for name, change in compared.items()
        ),
    ]
    day = first + written % max(cells.calendar.count, 1)
    ids = layout.sensor_ids if of_camera else layout.store_ids
    return frames.build(
        counts_of(DAILY_ANALYTICS if of_camera else STORE_DAILY),
        {
            "sensor_id" if of_camera else "store_id": ids[scope_id[written]],
            "date": day.astype("datetime64[D]").astype(object),
            "total_visitors": hour.visitors[written],
            "total_entries": hour.entries[written],
            "total_exits": hour.exits[written],
            "net_flow": (hour.entries - hour.exits)[written],
            "passersby": hour.passersby[written],
            "traffic": hour.traffic[written],
            "capture_rate_percent": rate[written],
            "peak_hour": peaks.highest_time[written],
            "peak_hour_traffic": peaks.highest[written],
            "off_peak_hour": peaks.lowest_time[written],
            "off_peak_traffic": peaks.lowest[written],
            "hourly_distribution": distribution,
            "busiest_regions": regions,
            "line_usage_distribution": lines,
            "avg_occupancy": average[written],
            "peak_occupancy": peak[written],
            "utilization": utilization[written],
            "avg_dwell_time_minutes": dwell[written],
            "in_out_residual": residual[written],
            **{name: change.percent.reshape(-1)[written] for name, change in compared.items()},
            "data_quality_score": score[written],
            "data_completeness": completeness[written],
            "imputed_share": share[written],
            "is_provisional": (hour.provisional | window_open)[written],
            "quality": quality_texts(words, len(written), [(names, code[written]) for names, code in notes]),
        },
    )


def _cells(
    of_camera: bool, rows: HourRows, wall: Array, scope: ScopeHours, layout: Layout, first: int, days: int
) -> _Cells:
    midnights = calendar(layout.zones, layout.zone, np.zeros(len(layout.store_ids), dtype=np.int64), first, days)
    store_of_scope = layout.store if of_camera else np.arange(len(layout.store_ids))

    def placed(stores: Array, seconds: Array, walls: Array) -> tuple[Array, Array, Array]:
        near = np.flatnonzero((walls >= first * DAY) & (walls < (first + days) * DAY))
        if not len(near):
            return near, near, near
        day, slot = midnights.locate(stores[near], seconds[near], walls[near])
        return near, np.clip(day, 0, days - 1), slot

    camera_rows, camera_day, slot = placed(layout.store[rows.camera], rows.second, wall)
    if of_camera:
        scope_rows, scope_day = camera_rows, camera_day
    else:
        scope_rows, scope_day, slot = placed(scope.scope, scope.second, layout.wall(scope.scope, scope.second))
    return _Cells(
        of_camera=of_camera,
        scopes=len(store_of_scope),
        calendar=midnights,
        store_of_scope=store_of_scope,
        camera_rows=camera_rows,
        camera_cell=rows.camera[camera_rows] * days + camera_day,
        scope_rows=scope_rows,
        scope_cell=scope.scope[scope_rows] * days + scope_day,
        scope_slot=slot,
    )


def _per_scope(cells: _Cells, values: Array, layout: Layout) -> Array:
    """Values of (cameras, days) summed over each scope's cameras, flat over (scopes, days)."""
    if cells.of_camera:
        return values.reshape(-1)
    result = np.zeros((cells.scopes, cells.calendar.count), dtype=np.int64)
    np.add.at(result, layout.store, values)
    return result.reshape(-1)


def _expectations(cells: _Cells, rows: HourRows, layout: Layout) -> tuple[Array, Array, Array]:
    """Expected and final camera-hours of each cell, and whether any camera of the scope is expected at all."""
    days = cells.calendar.count
    shape = (len(layout.store), days)
    size = shape[0] * days
    asked = np.bincount(cells.camera_cell, minlength=size).reshape(shape) > 0
    day = cells.calendar.first + np.arange(days)
    declared = layout.active[:, None] & (layout.installed[:, None] <= day)
    expected_cameras = asked | declared
    final = frames.tally(cells.camera_cell, rows.complete[cells.camera_rows], size).reshape(shape)
    weight = np.ones(shape[0], dtype=np.int64) if cells.of_camera else layout.in_scope.astype(np.int64)
    lengths = cells.calendar.lengths[layout.store]
    return (
        _per_scope(cells, expected_cameras * lengths * weight[:, None], layout),
        _per_scope(cells, final * weight[:, None], layout),
        _per_scope(cells, expected_cameras.astype(np.int64), layout) > 0,
    )


class _Sums:
    """Sums over each cell's hours, flat over (scopes, days); NaN where nothing was measured or estimated."""

    def __init__(self, cells: _Cells, scope: ScopeHours) -> None:
        cell, chosen, count = cells.scope_cell, cells.scope_rows, cells.count
        capture = scope.can_capture[chosen]
        is_open = scope.is_open[chosen]
        known = ~np.isnan(scope.visitors[chosen])
        self.rows = np.bincount(cell, minlength=count)
        self.open_rows = frames.tally(cell, is_open, count)
        self.entries = frames.summed(cell, scope.entries[chosen], count)
        self.exits = frames.summed(cell, scope.exits[chosen], count)
        self.passersby = frames.summed(cell, scope.passersby[chosen], count)
        self.traffic = frames.summed(cell, scope.traffic[chosen], count)
        # closed hours alone say nothing about visitors on a day on which the store was open
        blind = (self.open_rows > 0) & (frames.tally(cell, is_open & known, count) == 0)
        self.visitors = np.where(blind, np.nan, frames.summed(cell, scope.visitors[chosen], count))
        self.capture_hours = frames.tally(cell, capture, count)
        self.capture_entries = frames.summed(cell, np.where(capture, scope.entries[chosen], np.nan), count)
        self.capture_passersby = frames.summed(cell, np.where(capture, scope.passersby[chosen], np.nan), count)
        self.counted, self.imputed, self.substituted, self.estimated, self.passerby_counted, self.passerby_imputed = (
            np.bincount(cell, weights=values[chosen], minlength=count)
            for values in (
                scope.counted,
                scope.imputed,
                scope.substituted,
                scope.estimated,
                scope.passerby_counted,
                scope.passerby_imputed,
            )
        )
        self.provisional = frames.tally(cell, (scope.counted > scope.final)[chosen], count) > 0


def _inside(cells: _Cells, rows: HourRows, wall: Array, layout: Layout, now: int) -> occupancy.Occupancy:
    windows = occupancy.reset_calendar(layout, cells.calendar.first, cells.calendar.count)
    by_camera = occupancy.camera_windows(rows, wall, windows, layout, now)
    if cells.of_camera:
        return occupancy.solve(by_camera)
    return occupancy.solve(occupancy.store_windows(by_camera, windows, layout, now))


@dataclass(frozen=True, slots=True, eq=False)
class _Peaks:
    """The open hours with most and least traffic of each cell; `found` where there is one."""

    found: Array
    highest: Array
    highest_time: Array
    lowest: Array
    lowest_time: Array


def _peaks(cells: _Cells, scope: ScopeHours, layout: Layout) -> _Peaks:
    """Only hours that every camera of the scope counted to their end: an hour with a silent door or counted in part would pass for a
    quiet one, and an estimate is too smooth to name the busiest."""
    usable = scope.is_open[cells.scope_rows] & scope.is_final[cells.scope_rows]
    usable &= ~np.isnan(scope.traffic[cells.scope_rows])
    chosen, cell = cells.scope_rows[usable], cells.scope_cell[usable]
    traffic, second = scope.traffic[chosen], scope.second[chosen]
    found = np.bincount(cell, minlength=cells.count) > 0

    def extreme(sign: float) -> tuple[Array, Array]:
        order = np.lexsort((second, sign * traffic, cell))
        first = np.flatnonzero(np.diff(cell[order], prepend=-1) != 0)
        value = np.full(cells.count, np.nan)
        clock = np.full(cells.count, None, dtype=object)
        rows = order[first]
        value[cell[rows]] = traffic[rows]
        stores = cells.store_of_scope[cell[rows] // max(cells.calendar.count, 1)]
        minute, distinct = pd.factorize(layout.wall(stores, second[rows]) % DAY // 60)
        times = np.array([time(int(value) // 60, int(value) % 60) for value in distinct], dtype=object)
        clock[cell[rows]] = times[minute]
        return value, clock

    highest, highest_time = extreme(-1.0)
    lowest, lowest_time = extreme(1.0)
    return _Peaks(found, highest, highest_time, lowest, lowest_time)


def _hourly_distribution(cells: _Cells, scope: ScopeHours, written: Array) -> Array:
    """Traffic by UTC hour start of each written cell as JSON text, null for an hour without a measurement or an estimate."""
    place = cells.scope_cell * SLOTS + cells.scope_slot
    traffic = frames.summed(place, scope.traffic[cells.scope_rows], cells.count * SLOTS).reshape(cells.count, SLOTS)
    days = max(cells.calendar.count, 1)
    store = cells.store_of_scope[written // days]
    start = cells.calendar.starts[store, written % days]
    length = cells.calendar.lengths[store, written % days]
    row, slot = np.nonzero(np.arange(SLOTS) < length[:, None])
    code, distinct = pd.factorize(start[row] + slot * HOUR)
    stamps = np.datetime_as_string(np.asarray(distinct, dtype=np.int64).astype("datetime64[s]"), unit="s")
    keys = np.array([jsontext.key_text(f"{stamp}Z") for stamp in stamps.tolist()], dtype=object)
    return jsontext.objects(row, keys[code], traffic[written[row], slot], len(written))


def _shares(cells: _Cells, hours: pd.DataFrame, rows: HourRows, layout: Layout, written: Array) -> tuple[Array, Array]:
    """JSON texts of each written cell: shares of the entrance lines, and regions ranked by detections."""
    days = max(cells.calendar.count, 1)
    size = len(layout.store) * cells.calendar.count
    chosen, cell = cells.camera_rows, cells.camera_cell
    position, camera = rows.position[chosen], rows.camera[chosen]
    shares = jsontext.parsed(frames.texts(hours, "line_distribution", "hourly_analytics")[position], LINES)
    crossed = rows.entries[chosen] + rows.exits[chosen]
    crossings = np.rint(np.nan_to_num(shares) * crossed[:, None])  # shares of whole crossings: rint gives them back
    crossings = np.where(layout.entrance[camera] & ~rows.imputed[chosen, None], crossings, np.nan)
    detections = jsontext.parsed(frames.texts(hours, "region_counts", "hourly_analytics")[position], LINES)

    output = np.full(cells.count, -1, dtype=np.int64)
    output[written] = np.arange(len(written))

    def items(values: Array) -> tuple[Array, Array, Array]:
        """Written row, camera x 4 + line and daily sum of every item, by row, camera and line."""
        total = np.stack([frames.summed(cell, values[:, line], size) for line in range(4)], axis=1)
        where, line = np.nonzero(~np.isnan(total))
        owner, day = where // days, where % days
        scope = owner if cells.of_camera else layout.store[owner]
        row = output[scope * days + day]
        kept = np.flatnonzero(row >= 0)
        kept = kept[np.argsort(row[kept], kind="stable")]
        return row[kept], (owner * 4 + line)[kept], total[where, line][kept]

    if cells.of_camera:
        names = np.array([*LINES] * len(layout.names), dtype=object)
        labels = names
    else:
        names = np.array([f"{name}:{line}" for name in layout.names for line in LINES], dtype=object)
        labels = np.array([f'"{name}"' for name in names], dtype=object)

    row, item, value = items(crossings)
    total = np.bincount(row, weights=value, minlength=len(written))
    some = total[row] > 0
    row, item, value = row[some], item[some], value[some]
    keys = np.array([jsontext.key_text(name) for name in names], dtype=object)
    lines = jsontext.objects(row, keys[item], value / total[row], len(written))

    row, item, value = items(detections)
    order = np.lexsort((item, -value, row))
    row, item, value = row[order], item[order], value[order]
    prefixes = np.array([f'{{"region": {label}, "detections": ' for label in labels], dtype=object)
    fragments = prefixes[item] + jsontext.number_texts(value) + "}" if len(row) else np.empty(0, dtype=object)
    return lines, jsontext.joined(row, fragments, len(written), "[", "]")


def _comparisons(
    cells: _Cells,
    visitors: Array,
    completeness: Array,
    written: Array,
    history: pd.DataFrame,
    holidays: pd.DataFrame | None,
    layout: Layout,
    first: int,
) -> dict[str, comparisons.Change]:
    days = cells.calendar.count
    shape = (cells.scopes, comparisons.LOOK_BACK + days)
    value, whole = np.full(shape, np.nan), np.zeros(shape)
    table = DAILY_ANALYTICS if cells.of_camera else STORE_DAILY
    ids = layout.sensor_ids if cells.of_camera else layout.store_ids
    scope = frames.codes(ids, frames.texts(history, table.key[0], table.name))
    column = frames.days(history, "date", table.name) - (first - comparisons.LOOK_BACK)
    stored, stored_whole = (
        frames.numbers(history, name, table.name) for name in ("total_visitors", "data_completeness")
    )
    known = np.flatnonzero((scope >= 0) & (column >= 0) & (column < shape[1]))
    known = known[np.lexsort((np.nan_to_num(stored[known], nan=-1.0), stored_whole[known]))]
    place = (scope[known], column[known].astype(np.int64))
    value[place], whole[place] = stored[known], stored_whole[known]
    if len(written):
        place = (written // days, comparisons.LOOK_BACK + written % days)
        value[place], whole[place] = visitors[written], completeness[written]
    is_holiday, same = (
        np.zeros((len(layout.store_ids), shape[1]), dtype=bool),
        np.zeros((len(layout.store_ids), days), np.int64),
    )
    if holidays is not None and len(holidays):
        what = "holidays"
        store = frames.codes(layout.store_ids, frames.texts(holidays, "store_id", what))
        day = frames.days(holidays, "date", what)
        column = day - (first - comparisons.LOOK_BACK)
        known = np.flatnonzero((store >= 0) & (column >= 0) & (column < shape[1]))
        is_holiday[store[known], column[known].astype(np.int64)] = True
        back = np.nan_to_num(day - frames.days(holidays, "reference_date", what)).astype(np.int64)
        known = known[column[known] >= comparisons.LOOK_BACK]
        same[store[known], column[known].astype(np.int64) - comparisons.LOOK_BACK] = back[known]
    return comparisons.changes(value, whole, is_holiday[cells.store_of_scope], same[cells.store_of_scope])
