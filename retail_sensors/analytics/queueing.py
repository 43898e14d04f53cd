"""Queues at the tills by queueing theory: one hour of a store, and one local day of a store.

Frames in, frames out: arrivals, doors and lanes of each store and hour to `queue_analytics`, and those rows to
`queue_performance_daily`. Below them stand the formulas on arrays. Units: arrivals an hour, lanes open at once, minutes.
What the input is made of belongs in `queue_inputs`, what is learnt from counted queues in `queue_model`.

M/M/c (Poisson arrivals lambda a minute, c lanes that each serve mu customers a minute, one line, nobody leaves), stationary:

    a = lambda / mu offered load, rho = a / c, theta = c mu - lambda
    B(c, a) = (a^c / c!) / sum_k<=c a^k / k!          probability that all lanes are busy were nobody to wait (Erlang 1917)
    C = P(wait) = B / (1 - rho (1 - B))                Erlang C
    P(W > t) = C exp(-theta t);  E W = C / theta;  E L = lambda E W;  90th percentile = max(0, ln(10 C) / theta)
    (Gross, Shortle, Thompson, Harris: Fundamentals of Queueing Theory, chapter on M/M/c)

B is written with the incomplete gamma function, which also takes lanes that are a mean over the hour, such as 2.5 (Jagers and van
Doorn 1986). At rho >= 1 there is no stationary wait: the hour is `overloaded` and has no number. Where counted queues have taught a
correction, it gives mean wait W and queue length. The lanes still drain the line as fast as theta says, so that the share who wait
becomes C = min(1, W theta), and from then on theta = C / W. What only video knows is NULL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time

import numpy as np
import pandas as pd
from scipy import special  # type: ignore[import-untyped]

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, Array
from retail_sensors.analytics.localtime import SLOTS, calendar
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.readings import Readings, hour_keys, last_of_each
from retail_sensors.analytics.roster import Layout, Roster
from retail_sensors.errors import ConfigurationError
from retail_sensors.tables.queues import (
    QUEUE_ANALYTICS,
    QUEUE_PERFORMANCE_DAILY,
    SERVICE_RATE_PER_MINUTE,
    TARGET_MINUTES,
    TARGET_SHARE,
)

PLAUSIBLE = 1.5
"""Most arrivals at the tills per entry of the same hour: beyond it the input is not a count of customers."""

REASONS: dict[str, str] = {
    "no_queue_input": "there is neither a till feed nor the detections of the whole hour with a share of stays over 60 s, or there "
    "are more arrivals than the doors can explain",
    "no_till_feed": "no till feed has a row for this hour",
    "overloaded": "more customers came than the open lanes can serve: no stationary wait exists",
    "no_lanes": "neither the roster nor the store says how many lanes there are",
    "no_lanes_open": "no lane was open",
    "closed": "the store was closed all day",
    "nobody_queued": "nobody came to the tills in the open hours",
    "no_ground_truth": "nobody counted the queue, who left it, or what was done",
    "not_all_counted": "somebody counted in some of the open hours only, or did not watch them whole",
    "no_video": "only a picture could tell",
    "not_learnt": "the formulas give no interval; too few hours were counted to learn one, or it did not beat the formulas",
    "stay_from_earlier_day": "not NULL: reckoned with the share of stays over 60 s of an earlier day, at most 7 days before",
}
"""Reasons for NULL in `quality` of both tables, and notes on what is not, and what they mean."""

HYBRID = ("learnt_length", "learnt_lower", "learnt_upper", "length_coverage", "learnt_wait", "wait_coverage")
"""Columns of the input that `queue_model` adds: NULL where the formulas stand."""

_FULL = 1 - 1e-9  # a load that equals the lanes in decimals falls short of them in binary, and would wait for ever
_GIVEN = (
    "transactions",
    "detections",
    "stay_over_60_s",
    "entries",
    "open_lanes",
    "lanes",
    "actual_queue_length",
    "actual_wait_minutes",
)
_OF_VIDEO = ("queue_density", "organization_score", "movement_detected", "people_detected", "detection_confidence")
_WAITS = ("estimated_wait_time_minutes", "wait_p90_minutes", "wait_probability", "share_within_target")
_MINUTES = 60
_STEPS = 100  # Newton needs fewer than 10; the bound only keeps a defect from running for ever


@dataclass(frozen=True, slots=True)
class Service:
    """How fast a lane is and what is promised: customers a minute and lane, minutes, share of customers."""

    rate: float = SERVICE_RATE_PER_MINUTE
    target_minutes: float = TARGET_MINUTES
    target_share: float = TARGET_SHARE

    def __post_init__(self) -> None:
        if not (self.rate > 0 and self.target_minutes >= 0 and 0 < self.target_share < 1):
            raise ConfigurationError(
                f"Lanes with {self.rate} customers a minute and {self.target_share} of them within {self.target_minutes} minutes "
                "cannot be meant; give a rate over 0, minutes of 0 or more and a share between 0 and 1."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Waits:
    """Waiting by hour, NaN where it is unknown or `overloaded`: probability, minutes, share, people; `theta` a minute."""

    load: Array
    overloaded: Array
    probability: Array
    mean: Array
    p90: Array
    within: Array
    length: Array
    theta: Array


def _known(mask: Array, values: Array) -> Array:
    """The values where the mask holds, None elsewhere."""
    result = np.full(len(mask), None, dtype=object)
    result[mask] = values[mask]
    return result


def erlang_c(load: Array, lanes: Array) -> Array:
    """Probability that a customer waits; NaN unless 0 <= load < lanes. Lanes may be a mean over the hour."""
    stable = (load >= 0) & (load < _FULL * lanes)
    a, c = np.where(stable, load, 0.0), np.where(stable, lanes, 1.0)
    blocked = np.exp(special.xlogy(c, a) - a - special.gammaln(c + 1)) / special.gammaincc(c + 1, a)
    # at nearly full load the quotient passes 1 by its last digit
    return np.where(stable, np.minimum(blocked / (1 - a / c * (1 - blocked)), 1.0), np.nan)


def waits(arrivals: Array, lanes: Array, service: Service) -> Waits:
    """Waiting of each hour from arrivals an hour and open lanes."""
    load = arrivals / 60 / service.rate
    overloaded = (load > 0) & (load >= _FULL * lanes)
    probability = erlang_c(load, lanes)
    theta = np.where(np.isnan(probability), np.nan, service.rate * (lanes - load))
    mean = probability / theta
    return Waits(
        load=load,
        overloaded=overloaded,
        probability=probability,
        mean=mean,
        p90=_tail_p90(probability, theta),
        within=_within(probability, theta, service),
        length=arrivals / 60 * mean,
        theta=theta,
    )


def corrected(found: Waits, length: Array, mean: Array, service: Service) -> Waits:
    """The waits with a learnt queue length, and a learnt mean wait, where they are known and the formulas have numbers."""
    computed = ~np.isnan(found.mean)
    learnt = ~np.isnan(mean) & computed
    share = np.minimum(mean * found.theta, 1.0)
    # where nobody waits the drain of the line does not matter
    theta = np.where(learnt & (share > 0), share / np.where(share > 0, mean, 1.0), found.theta)
    probability = np.where(learnt, share, found.probability)
    return replace(
        found,
        probability=probability,
        mean=np.where(learnt, mean, found.mean),
        p90=_tail_p90(probability, theta),
        within=_within(probability, theta, service),
        length=np.where(~np.isnan(length) & computed, length, found.length),
        theta=theta,
    )


def _tail_p90(probability: Array, theta: Array) -> Array:
    return np.asarray(np.log(np.maximum(10 * probability, 1.0)) / theta)


def _within(probability: Array, theta: Array, service: Service) -> Array:
    return np.asarray(1 - probability * np.exp(-theta * service.target_minutes))


def lanes_needed(arrivals: Array, service: Service) -> Array:
    """Fewest lanes, at least 1, with which the target share of customers waits at most the target; NaN without arrivals."""
    position, distinct = pd.factorize(arrivals)
    needed = np.maximum(np.floor(distinct / 60 / service.rate), 1.0)
    while True:
        short = ~(waits(distinct, needed, service).within >= service.target_share)
        if not short.any():
            break
        needed += short
    return np.append(needed, np.nan)[position]  # the sentinel -1 is the last: no arrivals


def arrivals_of(transactions: Array, detections: Array, stay_over_60_s: Array, entries: Array) -> tuple[Array, Array]:
    """Customers who came to the tills in each hour, and whether they are transactions; NaN where that is not known.

    Transactions, else detections in the queue region x the share of them that stays over 60 s. More than PLAUSIBLE x the store's
    entries is no count of customers. Detections are believed only beside entries; a till feed stands without them.
    """
    from_till = ~np.isnan(transactions)
    found = np.where(from_till, transactions, detections * stay_over_60_s)
    believed = (found <= PLAUSIBLE * entries) | (from_till & np.isnan(entries))
    return np.where(believed & (found >= 0), found, np.nan), from_till


def congestion_levels(mean_wait: Array, overloaded: Array) -> Array:
    """`low`, `medium`, `high`, `critical` by mean wait in minutes; None where it is unknown."""
    level = np.array(["low", "medium", "high", "critical"], dtype=object)[
        np.searchsorted((2.0, 5.0, 10.0), mean_wait, "right")
    ]
    return np.where(overloaded, "critical", _known(~np.isnan(mean_wait), level))


def abandonment_steps(mean_wait: Array) -> Array:
    """Risk step by mean wait in minutes: 0.05 up to 5, 0.15 up to 10, 0.35 up to 15, else 0.60; NaN where it is unknown."""
    return np.select(
        [np.isnan(mean_wait), mean_wait <= 5, mean_wait <= 10, mean_wait <= 15], [np.nan, 0.05, 0.15, 0.35], 0.6
    )


def mixture_quantile(
    group: Array, weight: Array, probability: Array, theta: Array, count: int, endless: Array, level: float = 0.9
) -> Array:
    """Quantile, in minutes, of the wait of all customers of each group 0..count-1: the hours weighted by their arrivals.

    P(W > t) = sum weight x probability x exp(-theta t) / sum weight. `endless`: arrivals of the group for which no wait exists;
    with 1 - level of all or more of them, or without arrivals, the quantile is NaN.
    """
    total = np.bincount(group, weights=weight, minlength=count) + endless
    target = (1 - level) * total - endless
    at = np.zeros(count)
    waiting = weight * probability
    found = (total > 0) & (target > 1e-12 * total)
    # the logarithm of the tail is convex and falls: Newton from 0 stays on the left of the quantile and closes in
    active = found & (np.bincount(group, weights=waiting, minlength=count) > target)
    for _ in range(_STEPS):
        if not active.any():
            break
        rows = active[group]
        where = group[rows]
        tail = waiting[rows] * np.exp(-theta[rows] * at[where])
        left = np.bincount(where, weights=tail, minlength=count)[active]
        slope = np.bincount(where, weights=tail * theta[rows], minlength=count)[active]
        step = left / slope * np.log(left / target[active])
        at[active] += step
        active[active] = step > 1e-12 + 1e-12 * at[active]
    return np.where(found, at, np.nan)


def _actions(needed: Array, lanes: Array, of_store: Array, rostered: Array) -> Array:
    """Suggested actions of each hour as JSON text; None where lanes or what is needed are unknown."""
    # a roster that opens more lanes than the fleet file names knows better
    reach = np.where(np.isnan(of_store), np.inf, np.fmax(of_store, lanes))
    opened = np.where(rostered, np.ceil(np.minimum(needed, reach) - lanes), 0.0)
    closed = np.where(rostered, np.floor(lanes - needed), 0.0)
    added = np.ceil(needed - reach)
    pieces = np.nan_to_num(np.stack([opened, closed, added]), neginf=0.0).clip(0, 2**20 - 1).astype(np.int64)
    position, distinct = pd.factorize((pieces[0] << 40) | (pieces[1] << 20) | pieces[2])
    names = {"open_lanes": 40, "close_lanes": 20, "add_lanes": 0}
    spelled = [
        json.dumps(
            [
                {"action": name, "lanes": number >> shift & (2**20 - 1)}
                for name, shift in names.items()
                if number >> shift & (2**20 - 1)
            ]
        )
        for number in distinct.tolist()
    ]
    texts = np.array([*spelled, None], dtype=object)[position]
    texts[np.isnan(needed) | np.isnan(lanes)] = None
    return np.asarray(texts)


def by_store_hour(frame: pd.DataFrame, what: str, names: tuple[str, ...], layout: Layout) -> Readings:
    """Number columns of a frame with store_id and hour_start, one row per known store and hour, ordered by both."""
    store = frames.codes(layout.store_ids, frames.texts(frame, "store_id", what))
    second = frames.seconds(frame, "hour_start", what)
    values = np.stack([frames.numbers(frame, name, what) for name in names], axis=1)
    known = np.flatnonzero(store >= 0)
    keys = hour_keys(store[known], second[known])
    order = last_of_each(keys, list(values[known].T))
    return Readings(keys[order], values[known[order]], np.ones(len(order), dtype=bool))


def services(store: Array, layout: Layout) -> Iterator[tuple[Array, Service]]:
    """Each distinct service of the stores, with the positions of the rows of `store` that it holds for."""
    said = np.stack([layout.service_rate, layout.target_minutes, layout.target_share], axis=1)[store]
    distinct, which = np.unique(said, axis=0, return_inverse=True)
    for code, values in enumerate(distinct.tolist()):
        yield np.flatnonzero(which.reshape(-1) == code), Service(*values)


def open_lanes(by_roster: Array, of_store: Array) -> Array:
    """Lanes reckoned with: those of the roster, else all that the store has."""
    return np.where(np.isnan(by_roster), of_store, by_roster)


def _reckoned(given: dict[str, Array], arrivals: Array, lanes: Array, store: Array, layout: Layout) -> Waits:
    """The waits of rows of several stores, with what was learnt."""
    result = {field.name: np.full(len(store), np.nan) for field in fields(Waits)}
    for rows, service in services(store, layout):
        found = waits(arrivals[rows], lanes[rows], service)
        found = corrected(found, given["learnt_length"][rows], given["learnt_wait"][rows], service)
        for name, values in result.items():
            values[rows] = getattr(found, name)
    return Waits(**{**result, "overloaded": result["overloaded"] == 1})


def queue_hours(hours: pd.DataFrame, roster: Roster) -> pd.DataFrame:
    """One row of QUEUE_ANALYTICS per store and hour of the input, ordered by both.

    `hours`: store_id, hour_start; transactions (NULL: no till feed), detections in the regions of role `queue`, stay_over_60_s (the
    share of them that stays longer; stay_is_earlier: of an earlier day), entries of the store, open_lanes by roster (NULL: none),
    lanes of the store, actual_queue_length and actual_wait_minutes as counted, and HYBRID. Of two rows for one store and hour the
    one with more transactions, then detections, holds. Stores that are not in the roster are left out. Raises ContractError
    for a missing column.
    """
    what, layout = "queue input", roster.layout
    store = frames.codes(layout.store_ids, frames.texts(hours, "store_id", what))
    second = frames.seconds(hours, "hour_start", what)
    names = (*_GIVEN, *HYBRID)
    given = {name: frames.numbers(hours, name, what) for name in names}
    earlier = frames.flags(hours, "stay_is_earlier", what)
    kept = np.flatnonzero(store >= 0)
    order = kept[last_of_each(hour_keys(store[kept], second[kept]), [given[name][kept] for name in names])]
    store, second, earlier = store[order], second[order], earlier[order]
    given = {name: values[order] for name, values in given.items()}
    count = len(order)

    arrivals, from_till = arrivals_of(*(given[name] for name in _GIVEN[:4]))
    known = ~np.isnan(arrivals)
    rostered = ~np.isnan(given["open_lanes"])
    lanes = open_lanes(given["open_lanes"], given["lanes"])
    result = _reckoned(given, arrivals, lanes, store, layout)
    is_hybrid = ~(np.isnan(given["learnt_length"]) & np.isnan(given["learnt_wait"])) & ~np.isnan(result.mean)
    needed, through = np.full(count, np.nan), np.full(count, np.nan)
    for rows, service in services(store, layout):
        needed[rows] = lanes_needed(arrivals[rows], service)
        through[rows] = np.minimum(arrivals[rows] / 60, lanes[rows] * service.rate)
    idle = (arrivals == 0) & ~layout.is_open(store, layout.wall(store, second))
    needed[idle] = 0.0
    interval = {name: np.where(is_hybrid, given[name], np.nan) for name in HYBRID}
    actual_wait = given["actual_wait_minutes"]
    accuracy = np.maximum(1 - np.abs(result.mean - actual_wait) / np.maximum(actual_wait, 1.0), 0.0)

    words = Vocabulary()
    source = words.first(count, (known, ""), (True, "no_queue_input"))
    no_lanes = words.first(count, (np.isnan(lanes), "no_lanes"), (True, ""))
    no_flow = np.where(source > 0, source, no_lanes)
    no_wait = words.first(
        count,
        (no_flow > 0, no_flow),
        (result.overloaded, "overloaded"),
        (np.isnan(result.mean), "no_lanes_open"),
        (True, ""),
    )
    level = congestion_levels(result.mean, result.overloaded)
    no_level = np.where(result.overloaded, 0, no_wait)
    no_feed = words.first(count, (from_till, ""), (True, "no_till_feed"))
    no_actual_wait = words.first(count, (np.isnan(actual_wait), "no_ground_truth"), (True, ""))

    def unless_learnt(values: Array) -> Array:
        return words.first(count, (np.isnan(values), "not_learnt"), (True, ""))

    noted = words.first(count, (source > 0, source), (earlier & ~from_till, "stay_from_earlier_day"), (True, ""))
    notes = [
        (("arrivals",), noted),
        (("arrivals_source", "offered_load"), source),
        (("recommended_open_lanes", "recommended_staff"), source),
        (("transactions",), no_feed),
        (("lanes", "lanes_source"), no_lanes),
        (("queue_velocity", "suggested_actions"), no_flow),
        ((*_WAITS, "predicted_queue_length", "abandonment_risk_score"), no_wait),
        (("congestion_level", "queue_performance_score"), no_level),
        (("confidence_lower", "confidence_upper", "prediction_confidence"), unless_learnt(interval["learnt_lower"])),
        (("wait_time_confidence",), unless_learnt(interval["wait_coverage"])),
        (
            ("measured_queue_length",),
            words.first(count, (np.isnan(given["actual_queue_length"]), "no_ground_truth"), (True, "")),
        ),
        (("actual_wait_time",), no_actual_wait),
        (("prediction_accuracy",), np.where(no_actual_wait > 0, no_actual_wait, no_wait)),
        (_OF_VIDEO, words.first(count, (True, "no_video"))),
    ]
    till = np.where(from_till, "transactions", "detections_over_60_s").astype(object)
    lane_words = np.where(rostered, "roster", "best_case").astype(object)
    nothing = np.full(count, np.nan)
    return frames.build(
        QUEUE_ANALYTICS,
        {
            "store_id": layout.store_ids[store],
            "hour_start": second,
            "analysis_type": np.where(is_hybrid, "hybrid", "model").astype(object),
            "arrivals": arrivals,
            "arrivals_source": _known(known, till),
            "transactions": given["transactions"],
            "lanes": lanes,
            "lanes_source": _known(~np.isnan(lanes), lane_words),
            "offered_load": result.load,
            "is_overloaded": result.overloaded,
            "measured_queue_length": given["actual_queue_length"],
            "predicted_queue_length": result.length,
            "confidence_lower": interval["learnt_lower"],
            "confidence_upper": interval["learnt_upper"],
            "prediction_confidence": interval["length_coverage"],
            "queue_density": nothing,
            "organization_score": nothing,
            "movement_detected": np.full(count, None, dtype=object),
            "queue_velocity": through,
            "wait_probability": result.probability,
            "estimated_wait_time_minutes": result.mean,
            "wait_p90_minutes": result.p90,
            "share_within_target": result.within,
            "wait_time_confidence": interval["wait_coverage"],
            "abandonment_risk_score": abandonment_steps(result.mean),
            "congestion_level": level,
            "recommended_open_lanes": needed,
            "recommended_staff": needed,
            "suggested_actions": _actions(needed, lanes, given["lanes"], rostered & ~idle),
            "queue_performance_score": np.where(result.overloaded, 0.0, 100 * result.within),
            "frame_analyzed": np.zeros(count, dtype=bool),
            "people_detected": nothing,
            "detection_confidence": nothing,
            "actual_wait_time": actual_wait,
            "prediction_accuracy": accuracy,
            "quality": quality_texts(words, count, notes),
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Days:
    """Store-days of the rows, `cell` of each row, and of each day the number of open hours and the instant of its end."""

    store: Array
    day: Array
    cell: Array
    open_hours: Array
    end: Array

    @property
    def count(self) -> int:
        return len(self.day)


def _days_of(store: Array, second: Array, layout: Layout) -> _Days:
    """The store-days of rows that are ordered by store and time."""
    day = layout.wall(store, second) // DAY
    begins = (np.diff(store, prepend=-1) != 0) | (np.diff(day, prepend=-1) != 0)
    cell = np.cumsum(begins) - 1
    store, day = store[begins], day[begins]
    if not len(day):
        return _Days(store, day, cell, np.empty(0), np.empty(0))
    first = int(day.min())
    midnights = np.zeros(len(layout.store_ids), dtype=np.int64)
    days = calendar(layout.zones, layout.zone, midnights, first, int(day.max()) - first + 1)
    row, slot = np.nonzero(np.arange(SLOTS) < days.lengths[store, day - first][:, None])
    instants = days.starts[store[row], day[row] - first] + slot * frames.HOUR
    is_open = layout.is_open(store[row], layout.wall(store[row], instants))
    return _Days(store, day, cell, frames.tally(row, is_open, len(day)), days.starts[store, day - first + 1])


def queue_days(
    hours: pd.DataFrame, counted: pd.DataFrame, roster: Roster, dates: tuple[date, date], now: datetime
) -> pd.DataFrame:
    """One row of QUEUE_PERFORMANCE_DAILY per store and local day in the half-open `dates` that has ended at `now` and of which the
    input has an hour, ordered by both.

    `hours`: rows of QUEUE_ANALYTICS, unique by store and hour, whole local days; rows of other days are left out. `counted`: rows
    of QUEUE_GROUND_TRUTH. An hour without arrivals or lanes is left out and shows in `data_completeness`. Of a day with an
    overloaded hour no mean or maximum exists; its p90 does while the overloaded arrivals are less than a tenth. Stores
    that are not in the roster are left out.
    """
    what, layout, words = "queue_analytics", roster.layout, Vocabulary()
    store = frames.codes(layout.store_ids, frames.texts(hours, "store_id", what))
    kept = np.flatnonzero(store >= 0)
    second = frames.seconds(hours, "hour_start", what)
    day = layout.wall(store[kept], second[kept]) // DAY
    kept = kept[(day >= frames.day_number(dates[0])) & (day < frames.day_number(dates[1]))]
    kept = kept[np.lexsort((second[kept], store[kept]))]
    days = _days_of(store[kept], second[kept], layout)
    kept = kept[(days.end <= frames.instant(now, "now"))[days.cell]]
    store, second = store[kept], second[kept]
    days = _days_of(store, second, layout)
    count = days.count

    def column(name: str) -> Array:
        return frames.numbers(hours, name, what)[kept]

    is_open = layout.is_open(store, layout.wall(store, second))
    arrivals, lanes, load = column("arrivals"), column("lanes"), column("offered_load")
    wait, length = column("estimated_wait_time_minutes"), column("predicted_queue_length")
    over = is_open & frames.flags(hours, "is_overloaded", what)[kept]
    known = is_open & ~np.isnan(wait)
    figured = known | over

    known_hours = frames.tally(days.cell, known, count)
    over_hours = frames.tally(days.cell, over, count)
    counted_hours = known_hours + over_hours

    def total(values: Array, rows: Array) -> Array:
        return np.bincount(days.cell[rows], weights=values[rows], minlength=count)

    def highest(values: Array) -> Array:
        result = np.full(count, -np.inf)
        np.maximum.at(result, days.cell[known], values[known])
        return np.where(known_hours > 0, result, np.nan)

    customers = total(arrivals, figured)
    queue_time = total(arrivals * wait, known)
    served_hour = np.where(np.isnan(column("transactions")), arrivals, column("transactions"))
    served = frames.summed(days.cell, served_hour, count)
    proxy = frames.tally(days.cell, np.isnan(column("transactions")) & ~np.isnan(arrivals), count) > 0
    within = np.where(over, 0.0, column("share_within_target"))
    # a mean of shares of 1 passes 1 by its last digit
    in_time = frames.ratio(total(arrivals * within, figured), customers)
    leavers = by_store_hour(counted, "queue_ground_truth", ("abandoned", "served", "minutes_counted"), layout)
    left, helped, minutes = leavers.at(hour_keys(store, second))[1].T
    left_rows = is_open & ~np.isnan(left) & ~np.isnan(helped)
    any_counted = frames.tally(days.cell, left_rows, count) > 0
    all_counted = any_counted & (frames.tally(days.cell, left_rows & (minutes >= _MINUTES), count) == days.open_hours)

    probability = column("wait_probability")
    # nobody waits at a probability of 0: its decay, which C / E W would give, does not matter
    theta = np.where(probability > 1e-12, frames.ratio(probability, wait), 1.0)
    p90 = mixture_quantile(
        days.cell[known], arrivals[known], probability[known], theta[known], count, total(arrivals, over)
    )

    # nobody waits in an hour without arrivals: it is the peak of no day
    rank = np.where(over, 1e12 + load - lanes, np.where(known & (arrivals > 0), length, -1.0))
    order = np.lexsort((second, -rank, days.cell))
    top = order[np.flatnonzero(np.diff(days.cell[order], prepend=-1) != 0)]
    has_peak = rank[top] >= 0
    minute = layout.wall(store[top], second[top]) % DAY // 60
    clock = np.full(count, None, dtype=object)
    clock[:] = [time(int(value) // 60, int(value) % 60) for value in minute]

    actions = frames.texts(hours, "suggested_actions", what)[kept]
    advised = np.array([text is not None and text != "[]" for text in actions], dtype=bool) & is_open

    has_arrivals = frames.tally(days.cell, is_open & ~np.isnan(arrivals), count) > 0
    has_lanes = frames.tally(days.cell, is_open & ~np.isnan(arrivals) & ~np.isnan(lanes), count) > 0
    blind = words.first(
        count,
        (counted_hours > 0, ""),
        (days.open_hours == 0, "closed"),
        (has_lanes, "no_lanes_open"),
        (has_arrivals, "no_lanes"),
        (True, "no_queue_input"),
    )
    any_over = over_hours > 0
    open_lane_hours = total(lanes, figured)
    no_staff = words.first(count, (blind > 0, blind), (open_lane_hours == 0, "no_lanes_open"), (True, ""))
    no_mean = words.first(count, (blind > 0, blind), (any_over, "overloaded"), (True, ""))
    no_share = words.first(count, (blind > 0, blind), (customers == 0, "nobody_queued"), (True, ""))
    no_wait = np.where(no_mean > 0, no_mean, no_share)
    p90 = np.where((no_share == 0), p90, np.nan)
    no_p90 = words.first(count, (no_share > 0, no_share), (np.isnan(p90), "overloaded"), (True, ""))
    no_peak = words.first(count, (blind > 0, blind), (~has_peak, "nobody_queued"), (True, ""))
    no_served = words.first(count, (np.isnan(served), "no_queue_input"), (True, ""))
    always = words.first(count, (True, "no_ground_truth"))
    abandonment = frames.ratio(total(left, left_rows), total(left + helped, left_rows))
    no_leavers = words.first(
        count, (all_counted, ""), (any_counted, "not_all_counted"), (days.open_hours == 0, "closed"), (True, always)
    )
    no_rate = words.first(
        count,
        (~np.isnan(abandonment), ""),
        (any_counted, "nobody_queued"),
        (days.open_hours == 0, "closed"),
        (True, always),
    )
    notes = [
        (("avg_queue_length", "max_queue_length", "total_queue_time_minutes", "max_wait_time"), no_mean),
        (("avg_wait_time",), no_wait),
        (("wait_time_90th_percentile",), no_p90),
        (("queue_peak_time",), no_peak),
        (("avg_service_rate",), blind),
        (("staff_efficiency_score",), no_staff),
        (("queue_efficiency_score",), no_share),
        (("total_customers_served",), no_served),
        (("recommendations_followed",), always),
        (("abandonment_count",), no_leavers),
        (("abandonment_rate",), no_rate),
        (("data_completeness",), words.first(count, (days.open_hours == 0, "closed"), (True, ""))),
        (("served",), words.first(count, (np.isnan(served), ""), (proxy, "proxy"), (True, "transactions"))),
    ]

    def unless(reason: Array, values: Array) -> Array:
        return np.where(reason == 0, values, np.nan)

    hours_known = counted_hours.astype(np.float64)
    nothing = np.full(count, np.nan)
    return frames.build(
        QUEUE_PERFORMANCE_DAILY,
        {
            "store_id": layout.store_ids[days.store],
            "date": days.day.astype("datetime64[D]").astype(object),
            "avg_queue_length": unless(no_mean, frames.ratio(total(length, known), hours_known)),
            "max_queue_length": unless(no_mean, highest(length)),
            "queue_peak_time": _known(has_peak, clock),
            "total_queue_time_minutes": unless(no_mean, queue_time),
            "avg_wait_time": unless(no_wait, frames.ratio(queue_time, customers)),
            "max_wait_time": unless(no_mean, highest(wait)),
            "wait_time_90th_percentile": p90,
            "avg_service_rate": unless(blind, frames.ratio(total(column("queue_velocity"), figured), hours_known)),
            "total_customers_served": served,
            "abandonment_count": unless(no_leavers, total(left, left_rows)),
            "abandonment_rate": abandonment,
            "queue_efficiency_score": unless(no_share, 100 * np.minimum(in_time, 1.0)),
            "staff_efficiency_score": unless(no_staff, 100 * frames.ratio(total(load, figured), open_lane_hours)),
            "recommendations_generated": frames.tally(days.cell, advised, count).astype(np.float64),
            "recommendations_followed": nothing,
            "overloaded_hours": over_hours.astype(np.float64),
            "data_completeness": frames.ratio(hours_known, np.asarray(days.open_hours, dtype=np.float64)),
            "quality": quality_texts(words, count, notes),
        },
    )
