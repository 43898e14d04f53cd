"""The key figures: one value of one store on one local day, with what is usual beside it.

Frames in, frames out: rows of `store_daily`, and where they exist the till feed, staff hours, `queue_performance_daily` and the shares
of short stays, to rows of `kpi_metrics`. A figure whose inputs are absent or NULL has no row. Earlier rows of
`kpi_metrics` are the history for benchmark, score and trend, which are those of `scores` over comparable days: same weekday, complete
to 0.9, no holiday.

    capture rate = 100 entries / passers-by        peak-hour share = 100 traffic of the peak hour / visitors
    conversion rate = 100 transactions / visitors   ATV = sales / transactions    UPT = units / transactions
    SPV = sales / visitors = conversion x ATV       STAR = visitors / staff hours
    checkout reach (proxy) = 100 checkout detections x S(30 s) / entries, only where no transactions are known

Figures that set counts of cameras against something else need a complete day: the missing half of the visitors would double
the conversion. None is clipped: a conversion over 100 % says that visitors are missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames, scores
from retail_sensors.analytics.comparisons import COMPLETE
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.readings import day_keys, last_of_each, split_day_keys
from retail_sensors.analytics.roster import Roster
from retail_sensors.analytics.store_days import StoreDays
from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.tables import KPI_METRICS


@dataclass(frozen=True, slots=True)
class Metric:
    """What a figure is called and how it is read. `needs_complete_day`: it has no row on a day under 0.9 complete."""

    name: str
    unit: str
    category: str
    subcategory: str
    lower_is_better: bool = False
    needs_complete_day: bool = False


METRICS: tuple[Metric, ...] = (
    Metric("visitors", "people", "traffic", "volume"),
    Metric("entries", "people", "traffic", "volume"),
    Metric("peak_hour_share", "%", "traffic", "pattern", needs_complete_day=True),
    Metric("mean_stay", "min", "traffic", "dwell"),
    Metric("avg_occupancy", "people", "traffic", "occupancy"),
    Metric("short_stay_share", "ratio", "traffic", "dwell", lower_is_better=True),
    Metric("capture_rate", "%", "conversion", "capture"),
    Metric("conversion_rate", "%", "conversion", "transactions", needs_complete_day=True),
    Metric("entry_to_checkout_rate", "%", "conversion", "transactions", needs_complete_day=True),
    Metric("checkout_reach_proxy", "%", "conversion", "proxy", needs_complete_day=True),
    Metric("utilization", "ratio", "efficiency", "space"),
    Metric("data_completeness", "ratio", "efficiency", "data"),
    Metric("star", "people/h", "efficiency", "staffing", needs_complete_day=True),
    Metric("staff_efficiency", "%", "efficiency", "staffing"),
    Metric("queue_efficiency", "%", "queue", "service"),
    Metric("avg_wait", "min", "queue", "wait", lower_is_better=True),
    Metric("wait_p90", "min", "queue", "wait", lower_is_better=True),
    Metric("avg_queue_length", "people", "queue", "length", lower_is_better=True),
    Metric("transactions", "1", "revenue", "volume"),
    Metric("sales", "currency", "revenue", "volume"),
    Metric("avg_transaction_value", "currency", "revenue", "basket"),
    Metric("units_per_transaction", "1", "revenue", "basket"),
    Metric("sales_per_visitor", "currency", "revenue", "yield", needs_complete_day=True),
    Metric("sales_per_sqm", "currency/m2", "revenue", "space"),
)
"""Every figure of `kpi_metrics`."""

_STORE_DAILY = {
    "visitors": "total_visitors",
    "entries": "total_entries",
    "mean_stay": "avg_dwell_time_minutes",
    "avg_occupancy": "avg_occupancy",
    "capture_rate": "capture_rate_percent",
    "utilization": "utilization",
    "data_completeness": "data_completeness",
}
_QUEUE_DAILY = {
    "staff_efficiency": "staff_efficiency_score",
    "queue_efficiency": "queue_efficiency_score",
    "avg_wait": "avg_wait_time",
    "wait_p90": "wait_time_90th_percentile",
    "avg_queue_length": "avg_queue_length",
}
_POSITION = {metric.name: position for position, metric in enumerate(METRICS)}
_COMPLETENESS = _POSITION["data_completeness"]


def staff_needed(visitors: Array, star_target: float) -> Array:
    """Staff hours, a whole number, for the expected visitors of a span at a target of visitors per staff hour; NaN for NaN."""
    if not star_target > 0:
        raise ConfigurationError(
            f"A target of {star_target} visitors per staff hour cannot be meant; give a number over 0."
        )
    # 30 / 0.1 is 300.00000000000006 in binary; the least, 0, keeps nobody from being -0
    return np.ceil(np.maximum(visitors / star_target - 1e-9, 0.0))


def kpi_days(
    days: pd.DataFrame,
    roster: Roster,
    dates: tuple[date, date],
    history: pd.DataFrame,
    *,
    holidays: pd.DataFrame | None = None,
    pos: pd.DataFrame | None = None,
    staff: pd.DataFrame | None = None,
    queue: pd.DataFrame | None = None,
    stays: pd.DataFrame | None = None,
    checkout: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row of KPI_METRICS per store, day and figure with a value, dates[0] <= date < dates[1], ordered by them.

    `days`: rows of `store_daily`; a store and day without a row has no figure. `history`: rows of `kpi_metrics` of the 364 days
    before; days computed here stand before stored ones. `holidays`: store_id, date of the dates and the history. Each of the others
    may be missing. `pos`: store_id, hour_start, transactions, sales, units; NULL in an hour makes the day's NULL. `staff`: rows of
    `staff_hours`. `queue`: rows of `queue_performance_daily`. `stays`: store_id, date, short_stay_share of the entrance region.
    `checkout`: store_id, date, detections, stay_over_30_s of the checkout region. Of two rows for the same day or hour the more
    complete, then the greater holds. ContractError for a missing column or dates that run backwards.
    """
    first, last = frames.day_number(dates[0]), frames.day_number(dates[1])
    if last < first:
        raise ContractError(
            f"The dates {dates[0]} to {dates[1]} run backwards; give the first, then the day after the last."
        )
    layout = roster.layout
    grid = StoreDays(layout, first, last - first)
    value = _values(grid, days, roster, pos, staff, queue, stays, checkout)
    complete = value[_COMPLETENESS] >= COMPLETE
    partial = np.array([metric.needs_complete_day for metric in METRICS])[:, None, None] & ~complete
    value[partial] = np.nan
    value[:, np.isnan(value[_COMPLETENESS])] = np.nan

    # by store, then day, then figure
    store, offset, metric = np.nonzero(np.isfinite(value).transpose(1, 2, 0))
    rows = (metric, store, offset)
    benchmark, source, score, slope = _beside(grid, value, complete, rows, history, holidays, roster)
    lower = np.array([entry.lower_is_better for entry in METRICS])[metric]

    def word(attribute: str) -> Array:
        return np.array([getattr(entry, attribute) for entry in METRICS], dtype=object)[metric]

    return frames.build(
        KPI_METRICS,
        {
            "scope": np.full(len(metric), "store", dtype=object),
            "scope_id": layout.store_ids[store],
            "date": (first + offset).astype("datetime64[D]").astype(object),
            "metric_name": word("name"),
            "metric_value": value[rows],
            "metric_unit": word("unit"),
            "category": word("category"),
            "subcategory": word("subcategory"),
            "benchmark_value": benchmark,
            "benchmark_source": source,
            "performance_score": np.where(lower, 100 - score, score),
            "trend": scores.trends(slope, lower),
        },
    )


def _values(
    grid: StoreDays,
    days: pd.DataFrame,
    roster: Roster,
    pos: pd.DataFrame | None,
    staff: pd.DataFrame | None,
    queue: pd.DataFrame | None,
    stays: pd.DataFrame | None,
    checkout: pd.DataFrame | None,
) -> Array:
    """Every figure by METRICS, store and day, NaN where it is not known."""
    value = np.full((len(METRICS), *grid.shape), np.nan)

    def put(name: str, values: Array) -> None:
        value[_POSITION[name]] = values

    names = ("data_completeness", *(name for name in _STORE_DAILY.values() if name != "data_completeness"))
    found = dict(
        zip((*names, "peak_hour_traffic"), grid.daily(days, (*names, "peak_hour_traffic"), "store_daily"), strict=True)
    )
    for name, column in _STORE_DAILY.items():
        put(name, found[column])
    visitors, entries = found["total_visitors"], found["total_entries"]
    put("peak_hour_share", 100 * frames.ratio(found["peak_hour_traffic"], visitors))

    transactions = np.full(grid.shape, np.nan)
    if pos is not None:
        transactions, sales, units = grid.summed_hours(pos, ("transactions", "sales", "units"), "pos_transactions")
        put("transactions", transactions)
        put("sales", sales)
        put("conversion_rate", 100 * frames.ratio(transactions, visitors))
        put("entry_to_checkout_rate", 100 * frames.ratio(transactions, entries))
        put("avg_transaction_value", frames.ratio(sales, transactions))
        put("units_per_transaction", frames.ratio(units, transactions))
        put("sales_per_visitor", frames.ratio(sales, visitors))
        put("sales_per_sqm", frames.ratio(sales, np.broadcast_to(_areas(roster)[:, None], grid.shape)))
    if staff is not None:
        put("star", frames.ratio(visitors, grid.summed_hours(staff, ("staff",), "staff_hours")[0]))
    if queue is not None:
        columns = grid.daily(queue, tuple(_QUEUE_DAILY.values()), "queue_performance_daily")
        for name, values in zip(_QUEUE_DAILY, columns, strict=True):
            put(name, values)
    if stays is not None:
        put("short_stay_share", grid.daily(stays, ("short_stay_share",), "short stays")[0])
    if checkout is not None:
        detections, share = grid.daily(checkout, ("detections", "stay_over_30_s"), "checkout")
        reach = 100 * frames.ratio(detections * share, entries)
        put("checkout_reach_proxy", np.where(np.isnan(transactions), reach, np.nan))
    return value


def _areas(roster: Roster) -> Array:
    """Sales area of each store in m2, NaN if not said."""
    store = frames.codes(roster.layout.store_ids, frames.texts(roster.stores, "id", "stores"))
    areas = np.full(len(roster.layout.store_ids), np.nan)
    areas[store] = frames.numbers(roster.stores, "area_sqm", "stores")
    return np.where(areas > 0, areas, np.nan)


def _organizations(roster: Roster) -> Array:
    """Position of each store's organization."""
    store = frames.codes(roster.layout.store_ids, frames.texts(roster.stores, "id", "stores"))
    names = np.full(len(store), "", dtype=object)
    names[store] = frames.texts(roster.stores, "organization_id", "stores")
    return np.asarray(np.unique(names.astype(str), return_inverse=True)[1], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """Comparable earlier values, one per store, day and figure; `key` is store and day as one number."""

    metric: Array
    key: Array
    value: Array


def _weekly(key: Array) -> tuple[Array, Array]:
    """Group of comparable values (a store and weekday) and day of each store and day."""
    store, day = split_day_keys(key)
    return store * 7 + (day + 3) % 7, day


def _past(grid: StoreDays, history: pd.DataFrame, off: Array, computed: Array) -> _Past:
    """The comparable values of `kpi_metrics` on other stores and days than the computed ones."""
    what = "kpi_metrics"
    store = frames.codes(grid.layout.store_ids, frames.texts(history, "scope_id", what))
    names = np.array([metric.name for metric in METRICS], dtype=object)
    metric = frames.codes(names, frames.texts(history, "metric_name", what))
    known = (store >= 0) & (metric >= 0) & (frames.texts(history, "scope", what) == "store")
    key = day_keys(store, np.nan_to_num(frames.days(history, "date", what)))
    value = frames.numbers(history, "metric_value", what)
    rows = np.flatnonzero(known & ~np.isin(key, off) & ~np.isin(key, computed))
    rows = rows[last_of_each(key[rows] * len(METRICS) + metric[rows], [value[rows]])]
    metric, key, value = metric[rows], key[rows], value[rows]
    whole = np.isin(key, key[(metric == _COMPLETENESS) & (value >= COMPLETE)]) | (metric == _COMPLETENESS)
    return _Past(metric[whole], key[whole], value[whole])


def _beside(
    grid: StoreDays,
    value: Array,
    complete: Array,
    rows: tuple[Array, Array, Array],
    history: pd.DataFrame,
    holidays: pd.DataFrame | None,
    roster: Roster,
) -> tuple[Array, Array, Array, Array]:
    """Benchmark, its source, score and slope of each row (metric, store, day of the grid)."""
    metrics, stores, offsets = rows
    off = np.empty(0, dtype=np.int64)
    if holidays is not None:
        store = frames.codes(grid.layout.store_ids, frames.texts(holidays, "store_id", "holidays"))
        off = day_keys(store, frames.days(holidays, "date", "holidays"))
    keys = day_keys(stores, grid.first + offsets)
    past = _past(grid, history, off, keys)
    working = ~np.isin(keys, off)
    organization = _organizations(roster)
    peers = organization[stores] * grid.shape[1] + offsets
    crowds = (int(organization.max(initial=0)) + 1) * grid.shape[1]

    benchmark, score, slope = (np.full(len(metrics), np.nan) for _ in range(3))
    own = np.zeros(len(metrics), dtype=bool)
    for metric in range(len(METRICS)):
        here = np.flatnonzero(metrics == metric)
        key, taken = keys[here], value[metric, stores[here], offsets[here]]
        whole = complete[stores[here], offsets[here]] | (metric == _COMPLETENESS)
        comparable = whole & working[here]
        earlier = past.metric == metric
        group, day = _weekly(np.concatenate([past.key[earlier], key]))
        like = np.concatenate([past.value[earlier], np.where(comparable, taken, np.nan)])
        asked = _weekly(key)
        before = scores.last_comparable(asked, group, day, like).values
        usual = np.where(comparable, scores.known_median(before, scores.LEAST), np.nan)
        peer = scores.peer_medians(peers[here], np.where(whole, taken, np.nan), crowds)[peers[here]]
        own[here] = ~np.isnan(usual)
        benchmark[here] = np.where(own[here], usual, np.where(whole, peer, np.nan))
        score[here] = np.where(comparable, scores.percentile_rank(taken, before), np.nan)
        slope[here] = scores.relative_slope(scores.last_comparable(asked, group, day, like, including=True))
    source = np.where(own, "own_history", "peer_stores").astype(object)
    source[np.isnan(benchmark)] = None
    return benchmark, source, score, slope
