"""Anomalies in counts: one row per event, from the counts of many series and nothing that happened later.

`detect` is the way in. Types: `traffic_spike` and `traffic_drop` (more or fewer people than the hour of week explains, by the
filter of `persistence` over the deviates of `tails` from the expected counts of `baseline`), `unusual_pattern` (people at other
hours than usual), `sensor_issue` (the tests of `faults`) and `data_gap`. The first three share a budget of alarms a week; the
others are facts about a sensor and have none.

    p                 two-sided tail of the event: its total X under a negative binomial with the summed mean M and variance V
    severity          min(1, -log10 p / 20); of a sensor issue likewise from its evidence; of a gap its length over 24 h
    confidence        1 - p x slots per week, floor 0
    deviation_stddev  (X - M) / sqrt(V), V = sum of mu + mu^2 / k
    deviation_percent 100 (X - M) / M, NULL for M < 1
    detected_at       end of the onset slot: the first slot (or day) whose evidence sufficed; of a gap an hour later, the newest
                      counts may still be on their way

Where an event lasts one slot, X, M and V are those of that slot. Which series a camera has belongs in `anomaly_cameras`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from scipy import special  # type: ignore[import-untyped]

from retail_sensors.analytics import baseline, faults, frames, persistence, tails
from retail_sensors.analytics.anomaly_texts import ACTIONS, CAUSES
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.localtime import wall_seconds
from retail_sensors.errors import ContractError
from retail_sensors.tables import Kind
from retail_sensors.tables.anomalies import EVENTS

ALARMS_A_WEEK = 0.35
"""Default budget of false alarms, per series and week."""
PATTERN_SHARE = 0.1
"""Share of the budget that days of an unusual shape may use; spikes and drops have the rest."""
WARMUP_WEEKS = 4
LEAST_WARMUP_WEEKS = 3
NORMAL_SLOTS = 3
"""Measured slots without an alarm after which an event counts as over; of what is judged by the day, slots of judged days."""
FALSE_FAULTS_A_WEEK = 1e-5

USUAL_DEVIATE = 1.6449
"""Half the width of what is usual, in standard deviations: the dispersion is learnt so that 90 % of counts lie within."""

METRICS = (("in_count", "out_count"), ("value",))
"""What a series may count; the first of them that it has."""


@dataclass(frozen=True, slots=True, eq=False)
class _Slots:
    """Consecutive slots of one zone: instants, wall-clock day since the first and slot of the day; `step` in seconds."""

    start: Array
    day: Array
    slot: Array
    first_day: int
    step: int

    @property
    def an_hour(self) -> float:
        return HOUR / self.step

    @property
    def a_day(self) -> int:
        return DAY // self.step

    @property
    def days(self) -> int:
        return int(self.day[-1]) + 1

    @property
    def ended_days(self) -> int:
        return self.days - (0 if self.slot[-1] == self.a_day - 1 else 1)

    def day_of(self, instant: float) -> int:
        """Day of the first slot that ends after the instant, the last day when none does."""
        position = np.searchsorted(self.start + self.step, instant, side="right")
        return int(self.day[min(int(position), len(self.day) - 1)])

    def daily(self, values: Array) -> Array:
        """Values (rows, slots) on the wall clock, (rows, days, slots); of an hour that comes twice the second."""
        result = np.full((len(values), self.days, self.a_day), np.nan)
        result[:, self.day, self.slot] = values
        return result

    def along(self, values: Array) -> Array:
        """Values on the wall clock, (rows, days, slots), at each slot."""
        return np.asarray(values[:, self.day, self.slot])


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """One series on its slots: counts, means, k (directions, slots), scores, and who else its group has."""

    name: str
    component: str | None
    metrics: tuple[str, ...]
    begin: int
    counts: Array
    mean: Array
    k: Array
    raised: Array
    lowered: Array
    others_count: Array


@dataclass(frozen=True, slots=True)
class _Event:
    """One event by its slots; `extra` is context, `fault` the kind of a sensor issue.

    `judged`: where it is judged by the day, whether each ended day could be.
    """

    kind: str
    metric: str
    first: int
    last: int
    decided: int
    expected: float
    actual: float
    stddev: float
    severity: float
    confidence: float
    fault: str | None
    extra: Mapping[str, Any]
    judged: Array | None = None


def detect(
    history: pd.DataFrame,
    *,
    step: timedelta,
    now: datetime,
    zones: str | Mapping[str, str],
    alarms_per_week: float = ALARMS_A_WEEK,
    warmup_weeks: int = WARMUP_WEEKS,
    holidays: pd.DataFrame | None = None,
    since: datetime | None = None,
    only_faults: bool = False,
) -> pd.DataFrame:
    """The events of every series up to `now`, rows of EVENTS ordered by series and start.

    `history`: one row per series and slot: `series`, `slot_start` (an instant), and `value` or `in_count` and `out_count`
    (people; NULL or no row: missing); optional `component` (`line1`, ...: a series of its own) and `group` (those who share a
    fate, such as a store; without it the components of one series). Of rows with the same key the last holds. `step`: length of
    a slot, a divisor of a day of at most 1 h. Slots that end after `now` are left out. `zones`: IANA zone of all series or by
    series. `holidays`: `date`, `name` and optionally `series`. `since`: only events that last beyond that instant; what is
    learnt is the same. `only_faults`: only sensor issues.

    Spikes, drops and unusual patterns start `warmup_weeks` (at least 3) after the first count of a series, sensor issues after a
    week, gaps with the first count. Raises ContractError for columns that are missing,
    instants off the grid of steps, a negative count or a budget that is not positive.
    """
    if not alarms_per_week > 0:
        raise ContractError(f"alarms_per_week is {alarms_per_week}; give a number over 0, such as {ALARMS_A_WEEK}.")
    if warmup_weeks < LEAST_WARMUP_WEEKS:
        raise ContractError(f"warmup_weeks is {warmup_weeks}; a baseline needs at least {LEAST_WARMUP_WEEKS}.")
    seconds = int(step.total_seconds())
    if seconds <= 0 or seconds > HOUR or DAY % seconds:
        raise ContractError(f"step is {step}; give a divisor of a day of at most 1 h.")
    current = frames.instant(now, "now")
    rows = _rows(history, zones)
    known = _holidays(holidays)
    events: dict[str, list[Any]] = {column.name: [] for column in EVENTS.columns}
    earliest = -np.inf if since is None else frames.instant(since, "since")
    for zone, part in rows.groupby("zone", sort=True):
        part = part[part["second"] + seconds <= current]
        if not len(part):
            continue
        slots = _slots(part["second"].to_numpy(), seconds, current, str(zone))
        since_day = slots.day_of(earliest)
        for series in _series(part, slots, warmup_weeks):
            found = list(_faults(series, slots))
            if not only_faults:
                found.extend(_gaps(series, slots))
                found.extend(_traffic(series, slots, alarms_per_week, warmup_weeks, found, since_day))
                found.extend(_patterns(series, slots, alarms_per_week, warmup_weeks, found, since_day))
            for event in sorted(found, key=lambda one: (one.first, one.kind, one.metric)):
                if slots.start[event.last] + seconds > earliest:
                    _write(events, series, slots, event, known)
    table = frames.build(EVENTS, {name: _array(name, values) for name, values in events.items()})
    return table.sort_values(["series", "started_at", "anomaly_type"], kind="stable", ignore_index=True)


def usual(history: pd.DataFrame, *, step: timedelta, now: datetime, zone: str) -> pd.DataFrame:
    """What each slot of each series was expected to count, and between what 90 % of counts lie: the baseline of `detect`.

    `history`, `step` and `now` as there. Columns: series, slot_start, metric, counted, expected, lower, upper (people, float, NaN:
    not known); a row per series, metric and slot, in the order of time.
    """
    rows = _rows(history, zone)
    seconds = int(step.total_seconds())
    current = frames.instant(now, "now")
    rows = rows[rows["second"] + seconds <= current]
    pieces: list[pd.DataFrame] = []
    if len(rows):
        slots = _slots(rows["second"].to_numpy(), seconds, current, zone)
        start = pd.DatetimeIndex(slots.start.astype("datetime64[s]")).tz_localize("UTC")
        for series in _series(rows, slots, WARMUP_WEEKS):
            reach = USUAL_DEVIATE * np.sqrt(series.mean + series.mean**2 / series.k)
            pieces.extend(
                pd.DataFrame(
                    {
                        "series": series.name,
                        "slot_start": start,
                        "metric": metric,
                        "counted": series.counts[row],
                        "expected": series.mean[row],
                        "lower": np.maximum(series.mean[row] - reach[row], 0.0),
                        "upper": series.mean[row] + reach[row],
                    }
                )
                for row, metric in enumerate(series.metrics)
            )
    names = ["series", "slot_start", "metric", "counted", "expected", "lower", "upper"]
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=names)


def _array(name: str, values: list[Any]) -> Array:
    kind = EVENTS.column(name).kind
    if kind is Kind.TIMESTAMP:
        return np.array(values, dtype=np.int64)
    if kind is Kind.DOUBLE:
        return np.array(values, dtype=np.float64)
    return np.array(values, dtype=bool if kind is Kind.BOOLEAN else object)


def _rows(history: pd.DataFrame, zones: str | Mapping[str, str]) -> pd.DataFrame:
    """The history with `second`, `zone`, `component` and `group` in every row, one row per key."""
    metrics = [metric for metrics in METRICS for metric in metrics if metric in history.columns]
    if not metrics or ("in_count" in metrics) != ("out_count" in metrics):
        raise ContractError("history has no counts; give the column value, or in_count and out_count.")
    names = frames.texts(history, "series", "history")
    size = len(names)
    component = frames.texts(history, "component", "history") if "component" in history else np.full(size, None)
    group = frames.texts(history, "group", "history") if "group" in history else np.array(names)
    zone = np.array([zones if isinstance(zones, str) else zones.get(name) for name in names], dtype=object)
    if any(value is None for value in zone):
        unknown = sorted({str(name) for name, value in zip(names, zone, strict=True) if value is None})
        raise ContractError(f"zones has no zone for {', '.join(unknown[:5])}; give the IANA zone of every series.")
    rows = pd.DataFrame(
        {
            "series": names,
            "component": ["" if value is None else str(value) for value in component],
            "group": [name if value is None else value for name, value in zip(names, group, strict=True)],
            "zone": zone,
            "second": frames.seconds(history, "slot_start", "history"),
            **{metric: frames.numbers(history, metric, "history") for metric in metrics},
        }
    )
    if (rows[metrics] < 0).to_numpy().any():
        raise ContractError("history has negative counts; leave a count that is not known NULL.")
    return rows.drop_duplicates(["series", "component", "second"], keep="last")


def _slots(instants: Array, step: int, now: int, zone: str) -> _Slots:
    first = int(instants.min())
    if np.any((instants - first) % step):
        raise ContractError(f"history.slot_start is not on a grid of {step} s in zone {zone}; give starts of slots.")
    start = np.arange(first, now - step + 1, step, dtype=np.int64)
    wall = wall_seconds(start, zone)
    day, first_day = wall // DAY, int(wall[0]) // DAY
    return _Slots(start, day - first_day, wall % DAY // step, first_day, step)


def _series(rows: pd.DataFrame, slots: _Slots, warmup_weeks: int) -> Iterator[_Series]:
    """Every series of one zone with its expected counts and scores."""
    length = len(slots.start)
    grouped = list(rows.groupby(["series", "component"], sort=True))
    of_row: list[tuple[int, str]] = []
    counts: list[Array] = []
    for number, (_, part) in enumerate(grouped):
        place = (part["second"].to_numpy() - slots.start[0]) // slots.step
        counted = [[name for name in names if name in part and part[name].notna().any()] for names in METRICS]
        for metric in next((names for names in counted if names), []):
            values = np.full(length, np.nan)
            values[place] = part[metric].to_numpy()
            counts.append(values)
            of_row.append((number, metric))
    if not counts:
        return
    grid = np.stack(counts)
    owner = np.array([number for number, _ in of_row])
    begin = np.full(len(grouped), length)
    np.minimum.at(begin, owner, np.argmax(~np.isnan(grid), axis=1))
    warm_day = slots.day[np.minimum(begin, length - 1)] + 7 * warmup_weeks
    # 1970-01-01 was a Thursday.
    expected = baseline.expect(slots.daily(grid), (slots.first_day + 3) % 7, warm_day[owner])
    mean, k = slots.along(expected.mean), slots.along(expected.k)
    # A series that begins later than its company has no baseline in its first week either.
    mean[slots.day < (slots.day[np.minimum(begin, length - 1)] + 7)[owner][:, None]] = np.nan
    warm_slot = np.searchsorted(slots.day, warm_day)
    deviates = persistence.calmed(tails.deviate(grid, mean, k), mean >= 1, slots.an_hour, warm_slot[owner])
    stacked = np.full((len(grouped), 2, length), np.nan)
    seat = np.zeros(len(owner), dtype=np.int64)
    seat[1:] = owner[1:] == owner[:-1]
    stacked[owner, seat] = deviates
    raised, lowered = persistence.scores(stacked, slots.an_hour)
    came = np.nan_to_num(grid)
    due = np.where(np.isnan(grid), 0.0, np.nan_to_num(mean))
    group = np.array([part["group"].iloc[-1] for _, part in grouped], dtype=object)[owner]
    for number, (name, part) in enumerate(grouped):
        mine = np.flatnonzero(owner == number)
        if not len(mine):
            continue
        fellows = group == part["group"].iloc[-1]
        company = _others_count(came, due, fellows & (owner != number))
        opposite = [_others_count(came, due, (owner == number) & (np.arange(len(owner)) != row)) for row in mine]
        yield _Series(
            name=str(name[0]),
            component=str(name[1]) or None,
            metrics=tuple(of_row[row][1] for row in mine),
            begin=int(begin[number]),
            counts=grid[mine],
            mean=mean[mine],
            k=k[mine],
            raised=raised[number],
            lowered=lowered[number],
            others_count=company | np.stack(opposite),
        )


def _others_count(came: Array, due: Array, others: Array) -> Array:
    """Whether the chosen rows together counted somebody, and at least half of what they should; false where none is chosen."""
    total, hoped = came[others].sum(axis=0), due[others].sum(axis=0)
    return (total >= 1) & (hoped >= 1) & (2 * total >= hoped)


def _confidence(p: float, slots: _Slots) -> float:
    return max(0.0, 1 - p * 168 * slots.an_hour)


def _severity(p: float) -> float:
    return 1.0 if p <= 1e-20 else min(1.0, -float(np.log10(p)) / 20)


def _surprise(series: _Series, row: int, first: int, last: int) -> tuple[float, float, float, float]:
    """Expected and counted total of one direction from slot to slot, standard deviations between them, and p."""
    part = slice(first, last + 1)
    counts, mean, k = series.counts[row, part], series.mean[row, part], series.k[row, part]
    known = ~np.isnan(counts) & ~np.isnan(mean)
    total, hoped = float(counts[known].sum()), float(mean[known].sum())
    if not known.any():
        return np.nan, np.nan, np.nan, 1.0
    extra = float((mean[known] ** 2 / k[known]).sum())
    p = tails.two_sided(np.array([total]), np.array([hoped]), np.array([hoped**2 / extra]))
    return hoped, total, (total - hoped) / float(np.sqrt(hoped + extra)), float(p[0])


def _last_odd(series: _Series, first: int, last: int, up: bool) -> int:
    """The last slot of an alarm that departs by a standard deviation itself: the filter goes on believing for a while."""
    part = slice(first, last + 1)
    mean, k = series.mean[:, part], series.k[:, part]
    apart = (series.counts[:, part] - mean) / np.sqrt(mean + mean**2 / k)
    odd = np.flatnonzero(((apart if up else -apart) >= 1).any(axis=0))
    return first + int(odd[-1]) if len(odd) else first


def _traffic(
    series: _Series, slots: _Slots, budget: float, warmup_weeks: int, others: list[_Event], since: int
) -> Iterator[_Event]:
    """Spikes and drops, but no drop while a sensor is known to be at fault, and neither while its directions are swapped."""
    begun = int(slots.day[series.begin])
    score = np.maximum(series.raised, series.lowered)
    found = persistence.alarms(
        score,
        slots.day,
        begun=begun + 7,
        warm=begun + 7 * warmup_weeks,
        budget=budget * (1 - PATTERN_SHARE),
        apart=int(slots.an_hour),
        since=since,
    )
    for alarm in found:
        up = bool(series.raised[alarm.first] >= series.lowered[alarm.first])
        known = (event for event in others if event.kind == "sensor_issue" and event.decided <= alarm.first)
        if any(event.last >= alarm.first and (not up or event.fault == "direction_swapped") for event in known):
            continue
        last = _last_odd(series, alarm.first, alarm.last, up)
        by_row = [_surprise(series, row, alarm.first, last) for row in range(len(series.metrics))]
        signed = [one for one in by_row if (one[2] > 0) == up] or by_row
        strongest = min(signed, key=lambda one: one[3])
        hoped, total, stddev, p = strongest
        yield _Event(
            kind="traffic_spike" if up else "traffic_drop",
            metric=series.metrics[by_row.index(strongest)],
            first=alarm.first,
            last=last,
            decided=alarm.first,
            expected=hoped,
            actual=total,
            stddev=stddev,
            severity=_severity(p),
            confidence=_confidence(p, slots),
            fault=None,
            extra={
                "score": round(float(score[alarm.first : last + 1].max()), 3),
                "threshold": round(alarm.threshold, 3),
            },
        )


def _patterns(
    series: _Series, slots: _Slots, budget: float, warmup_weeks: int, others: list[_Event], since: int
) -> Iterator[_Event]:
    """Days of an unusual shape that no other event of the series touches: it would say the same again."""
    counts, mean = (slots.daily(values)[:, : slots.ended_days].sum(axis=0) for values in (series.counts, series.mean))
    shape = faults.shapes(counts, mean, 1 / slots.an_hour)
    score = -special.log_ndtr(-shape.deviate)
    scored = np.flatnonzero(~np.isnan(score))
    warm = int(slots.day[series.begin]) + 7 * warmup_weeks
    spans = [(slots.day[event.first], slots.day[event.last], slots.day[event.decided]) for event in others]
    for day in scored[scored >= max(warm, since)]:
        past = scored[scored < day]
        touched = any(first <= day <= last and decided <= day for first, last, decided in spans)
        if len(past) < faults.LEAST_DAYS or touched:
            continue
        limit = persistence.threshold(score[past], (day - past) / 7, len(past) / 7, budget * PATTERN_SHARE)
        if score[day] <= limit:
            continue
        of_day = np.flatnonzero(slots.day == day)
        within = of_day[(slots.slot[of_day] >= shape.first[day]) & (slots.slot[of_day] <= shape.last[day])]
        p = float(np.exp(-score[day]))
        yield _Event(
            kind="unusual_pattern",
            metric="day_shape_hours",
            first=int(within[0]),
            last=int(within[-1]),
            decided=int(of_day[-1]),
            expected=float(shape.usual[day]),
            actual=float(shape.moved[day]),
            stddev=float(shape.deviate[day]),
            severity=_severity(p),
            confidence=max(0.0, 1 - 7 * p),
            fault=None,
            extra={"threshold": round(limit, 3)},
        )


def _faults(series: _Series, slots: _Slots) -> Iterator[_Event]:
    limit = float(np.log(168 * slots.an_hour / FALSE_FAULTS_A_WEEK))

    def issue(
        fault: str, metric: str, span: faults.Span, values: tuple[float, float, float], judged: Array | None = None
    ) -> _Event:
        p = float(np.exp(-min(span.evidence, 700.0)))
        return _Event(
            kind="sensor_issue",
            metric=metric,
            first=span.first,
            last=span.last,
            decided=span.decided,
            expected=values[0],
            actual=values[1],
            stddev=values[2],
            severity=_severity(p),
            confidence=_confidence(p, slots),
            fault=fault,
            extra={"evidence": round(span.evidence, 2)},
            judged=judged,
        )

    stuck, hung = [], []
    for row in range(len(series.metrics)):
        counts, mean, k = series.counts[row], series.mean[row], series.k[row]
        stuck.append(faults.stuck_at_zero(counts, mean, k, series.others_count[row], limit))
        hung.append(faults.frozen(counts, k, limit))
    for fault, by_row in (("stuck_at_zero", stuck), ("frozen", hung)):
        for span in faults.joined([one for spans in by_row for one in spans], int(slots.an_hour)):
            rows = [
                row
                for row, spans in enumerate(by_row)
                if any(one.first <= span.last and one.last >= span.first for one in spans)
            ]
            metric = series.metrics[rows[0]] if len(rows) == 1 else "all"
            together = np.array([_surprise(series, row, span.first, span.last)[:3] for row in rows])
            values = together[0] if len(rows) == 1 else np.array([*together[:, :2].sum(axis=0), np.nan])
            yield issue(fault, metric, span, (float(values[0]), float(values[1]), float(values[2])))
    if len(series.metrics) < 2:
        return
    daily = slots.daily(series.counts)
    whole = slots.ended_days
    entries, exits = np.nansum(daily[:, :whole], axis=2)
    complete = (~np.isnan(daily[:, :whole])).mean(axis=2).min(axis=0) >= 0.9
    one_sided = faults.imbalance(np.where(complete, entries, np.nan), exits)
    residual = faults.residuals(entries, exits)
    day_mean, day_k = (slots.daily(values)[:, :whole] for values in (series.mean, series.k))
    exchanged = faults.joined(faults.swapped(daily[:, :whole], day_mean, day_k), faults.SWAP_APART)
    swaps = {day for span in exchanged for day in range(span.first, span.last + 1)}
    for span in exchanged:
        judged = faults.is_peopled(daily[:, :whole])
        yield issue("direction_swapped", "all", _in_slots(span, slots), (np.nan, np.nan, np.nan), judged)
    for span in one_sided.spans:
        if swaps.isdisjoint(range(span.first, span.last + 1)):
            # The evidence of a span is a sum of deviates: the odds are those of its mildest day, thrice in a row.
            mildest = float(np.nanmin(np.abs(one_sided.deviate[span.first : span.last + 1])))
            odds = -float(special.log_ndtr(-mildest)) * faults.RESIDUAL_DAYS
            spread = faults.Span(span.first, span.last, span.decided, odds)
            day = span.decided
            values = (float(one_sided.expected[day]), float(residual[day]), float(one_sided.deviate[day]))
            judged = ~np.isnan(one_sided.deviate)
            yield issue("in_out_imbalance", "in_out_residual", _in_slots(spread, slots), values, judged)


def _in_slots(span: faults.Span, slots: _Slots) -> faults.Span:
    """A span of days as a span of slots."""
    first = int(np.searchsorted(slots.day, span.first))
    last, decided = (int(np.searchsorted(slots.day, day, side="right")) - 1 for day in (span.last, span.decided))
    return faults.Span(first, last, decided, span.evidence)


def _gaps(series: _Series, slots: _Slots) -> Iterator[_Event]:
    settled = int(slots.an_hour)
    missing = np.isnan(series.counts).any(axis=0) & (np.arange(len(slots.start)) >= series.begin)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]])))
    for first, end in edges.reshape(-1, 2):
        if first + settled >= len(slots.start):
            continue
        hoped = series.mean[:, first:end].sum()
        yield _Event(
            kind="data_gap",
            metric="all",
            first=int(first),
            last=int(end) - 1,
            decided=int(first) + settled,
            expected=float(hoped),
            actual=np.nan,
            stddev=np.nan,
            severity=min(1.0, float(end - first) / (24 * slots.an_hour)),
            confidence=1.0,
            fault=None,
            extra={"slots_missing": int(end - first)},
        )


def _holidays(holidays: pd.DataFrame | None) -> dict[tuple[str | None, int], str]:
    """Names of holidays by series (None: all) and day since 1970."""
    if holidays is None or not len(holidays):
        return {}
    day, name = frames.days(holidays, "date", "holidays"), frames.texts(holidays, "name", "holidays")
    series = frames.texts(holidays, "series", "holidays") if "series" in holidays else [None] * len(name)
    return {(one, int(at)): str(what) for one, at, what in zip(series, day, name, strict=True) if not np.isnan(at)}


def _write(
    events: dict[str, list[Any]],
    series: _Series,
    slots: _Slots,
    event: _Event,
    holidays: Mapping[tuple[str | None, int], str],
) -> None:
    on = [int(day) + slots.first_day for day in np.unique(slots.day[event.first : event.last + 1])]
    named = list(
        dict.fromkeys(holidays[who, day] for day in on for who in (series.name, None) if (who, day) in holidays)
    )
    after = ~np.isnan(series.counts[:, event.last + 1 :]).any(axis=0)
    if event.judged is not None:
        # Of a day that goes on nobody knows yet whether it is normal.
        day = slots.day[event.last + 1 :]
        after &= (day < slots.ended_days) & event.judged[np.minimum(day, slots.ended_days - 1)]
    cause = event.fault or event.kind
    context: dict[str, Any] = {"slots": event.last - event.first + 1, **event.extra}
    if event.fault:
        context["fault"] = event.fault
    if named and event.kind != "sensor_issue":
        context["holiday"] = named[0] if len(named) == 1 else named
    causes = [f"holiday: {name}" for name in named] if event.kind not in ("sensor_issue", "data_gap") else []
    percent = 100 * (event.actual - event.expected) / event.expected if event.expected >= 1 else np.nan
    long_gap = event.kind == "data_gap" and event.last - event.first + 1 > 24 * slots.an_hour
    values: dict[str, Any] = {
        "series": series.name,
        "detected_at": int(slots.start[event.decided]) + slots.step,
        "started_at": int(slots.start[event.first]),
        "ended_at": int(slots.start[event.last]) + slots.step,
        "anomaly_type": event.kind,
        "severity": event.severity,
        "confidence": event.confidence,
        "affected_metric": event.metric,
        "affected_component": series.component,
        "expected_value": event.expected,
        "actual_value": event.actual,
        "deviation_percent": percent,
        "deviation_stddev": event.stddev,
        "context": json.dumps(context, ensure_ascii=False),
        "potential_causes": json.dumps([*causes, *CAUSES[cause]], ensure_ascii=False),
        "recommended_actions": json.dumps(ACTIONS[cause], ensure_ascii=False),
        "auto_resolved": int(after.sum()) >= NORMAL_SLOTS,
        "manual_review_required": event.kind == "sensor_issue" or long_gap or event.confidence < 0.5,
    }
    for name, value in values.items():
        events[name].append(value)
