"""When it is the sensor and not the street: stuck, frozen, one-sided and swapped counts, and days of an unusual shape.

Each test takes arrays of one series in order of time and returns spans: positions of the first and last slot (or day) concerned,
the position at which the evidence sufficed, and how strong it is as a natural logarithm of odds. All but the shape of a day are
judged on absolute evidence, an innocent explanation less probable than e^-limit, and not on the weekly budget: a sound sensor
gives no such alarm in years. NaN is a missing count: it neither proves nor refutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from retail_sensors.analytics import tails
from retail_sensors.analytics.frames import Array

LEAST_SLOTS = 3
LEAST_EXPECTED = 0.25
"""People a slot under which a zero proves nothing: so many the baseline grants to any slot, even to the way out of a door that only
lets in."""
LEAST_DAYS = 14
RESIDUAL_DAYS, RESIDUAL_SPREAD, RESIDUAL_FLOOR, RESIDUAL_PEOPLE = 3, 4.0, 0.03, 20
SWAP_DAYS, SWAP_LIMIT, SWAP_CLIP, SWAP_RMS = 2, 15.0, 3.0, 1.75
SWAP_APART = 7
"""Days between two swaps that are one: a baseline that half knows the exchange proves nothing for a while."""
_HISTORY_DAYS = 28
_SHAPE_PEOPLE, _SHAPE_KNOWN = 30, 0.75


@dataclass(frozen=True, slots=True)
class Span:
    """Positions of the first, last and deciding slot or day, and the evidence as natural logarithm of odds."""

    first: int
    last: int
    decided: int
    evidence: float


def _spans(evidence: Array, belongs: Array, limit: float, least: int) -> list[Span]:
    """Runs of positions that belong, with the sum of their evidence over the limit and at least `least` positions."""
    result: list[Span] = []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], belongs, [False]])))
    pairs = edges.reshape(-1, 2)
    for first, end in pairs[pairs[:, 1] - pairs[:, 0] >= least]:
        running = np.cumsum(evidence[first:end])
        enough = np.flatnonzero(running[least - 1 :] > limit)
        if len(enough):
            decided = int(first + least - 1 + enough[0])
            result.append(Span(int(first), int(end - 1), decided, float(running[-1])))
    return result


def joined(spans: list[Span], apart: int) -> list[Span]:
    """Spans in order of time, those at most `apart` positions apart as one: first decision, sum of the evidence."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.first, one.last)):
        if result and span.first - result[-1].last <= apart + 1:
            before = result.pop()
            span = Span(
                before.first,
                max(before.last, span.last),
                min(before.decided, span.decided),
                before.evidence + span.evidence,
            )
        result.append(span)
    return result


def stuck_at_zero(counts: Array, mean: Array, k: Array, others_count: Array, limit: float) -> list[Span]:
    """Runs of zeros whose probability, over the slots in which others count, is less than e^-limit.

    `others_count`: whether the neighbours of the series counted at least half of what they should. A night, a closed store or a
    direction that nobody takes proves nothing: nothing is expected then, or nobody else counts.
    """
    proof = np.where(others_count & (mean >= LEAST_EXPECTED), k * np.log1p(mean / k), 0.0)
    return [
        Span(span.first + int(np.argmax(proof[span.first : span.last + 1] > 0)), span.last, span.decided, span.evidence)
        for span in _spans(np.nan_to_num(proof), counts == 0, limit, LEAST_SLOTS)
    ]


def frozen(counts: Array, k: Array, limit: float) -> list[Span]:
    """Runs of one repeated value above zero that chance repeats with a probability less than e^-limit.

    A repetition of x is taken as probable as the commonest value of a count with mean x, which no count beats.
    """
    same = np.concatenate([[False], (counts[1:] == counts[:-1]) & (counts[1:] > 0)])
    usable = same & ~np.isnan(k)
    x = np.where(usable, counts, 1.0)
    shape = np.where(usable, k, 1.0)
    mode = np.floor(x * np.maximum(shape - 1, 0) / shape)
    proof = np.where(usable, -tails.log_mass(mode, x, shape), 0.0)
    return [
        Span(span.first - 1, span.last, span.decided, span.evidence) for span in _spans(proof, same, limit, LEAST_SLOTS)
    ]


def residuals(entries: Array, exits: Array) -> Array:
    """(in - out) / max(in, out) of each day, -1 to 1; NaN under 20 people or where a sum is NaN."""
    larger = np.fmax(entries, exits)
    usable = ~np.isnan(entries + exits) & (larger >= RESIDUAL_PEOPLE)
    return np.where(usable, (entries - exits) / np.where(usable, larger, 1.0), np.nan)


def _recent(values: Array) -> tuple[Array, Array]:
    """Median, and 1.4826 x median absolute deviation, of the 28 days before each day; NaN with fewer than 14 known among them."""
    past = sliding_window_view(np.concatenate([np.full(_HISTORY_DAYS, np.nan), values]), _HISTORY_DAYS)[:-1]
    known = (~np.isnan(past)).sum(axis=1)
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, _HISTORY_DAYS - 1)

    def middle(windows: Array) -> Array:
        ordered = np.sort(windows, axis=1)
        days = np.arange(len(windows))
        return (ordered[days, low] + ordered[days, high]) / 2

    centre = np.where(known >= LEAST_DAYS, middle(past), np.nan)
    return centre, 1.4826 * middle(np.abs(past - centre[:, None]))


@dataclass(frozen=True, slots=True, eq=False)
class Imbalance:
    """Days on which the residual left its own past: spans of days, and what the residual of each day was expected to be."""

    spans: list[Span]
    expected: Array
    deviate: Array


def imbalance(entries: Array, exits: Array) -> Imbalance:
    """At least 3 days in a row with the residual more than 4 standard deviations on one side of its last 28 days.

    The standard deviation is 1.4826 x the median absolute deviation, at least 0.03 and that of chance, sqrt(2 / people). A single day
    may be an event whose guests leave by another door; 3 days are a door that miscounts. A day without a residual, such as a closed
    Sunday, does not part those around it.
    """
    values = residuals(entries, exits)
    people = np.fmax(entries, exits)
    expected, spread = _recent(values)
    chance = np.sqrt(2 / np.maximum(people, 1.0))
    deviate = (values - expected) / np.maximum(np.maximum(spread, RESIDUAL_FLOOR), chance)
    known = np.flatnonzero(~np.isnan(deviate))
    found = [
        Span(int(known[span.first]), int(known[span.last]), int(known[span.decided]), span.evidence)
        for side in (1, -1)
        for span in _spans(np.abs(deviate[known]), side * deviate[known] > RESIDUAL_SPREAD, 0.0, RESIDUAL_DAYS)
    ]
    return Imbalance(sorted(found, key=lambda span: span.first), expected, deviate)


def swapped(counts: Array, mean: Array, k: Array) -> list[Span]:
    """Days in a row on which In fits what Out should be, and Out what In should be; arrays (2, days, slots).

    The evidence of a slot is the log likelihood ratio of exchanged means, within 3 so that no single slot decides. The exchange must
    also explain the day: at least 20 people each way, and a root mean square deviate of at most 1.75 from the exchanged means.
    """
    as_is = tails.log_mass(counts, mean, k)
    exchanged = tails.log_mass(counts, mean[::-1], k[::-1])
    proof = np.nansum(np.clip((exchanged - as_is).sum(axis=0), -SWAP_CLIP, SWAP_CLIP), axis=1)
    deviates = tails.deviate(counts, mean[::-1], k[::-1])
    known = ~np.isnan(deviates)
    square = np.where(known, deviates, 0.0) ** 2
    fits = square.sum(axis=(0, 2)) <= SWAP_RMS**2 * np.maximum(known.sum(axis=(0, 2)), 1)
    return _spans(proof, (proof > SWAP_LIMIT) & fits & is_peopled(counts), SWAP_LIMIT, SWAP_DAYS)


def is_peopled(counts: Array) -> Array:
    """Whether each day has at least 20 people each way, enough to tell its directions apart; counts (2, days, slots)."""
    return np.asarray(np.nansum(counts, axis=2).min(axis=0) >= RESIDUAL_PEOPLE)


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """How far each day's people are from their expected times, in hours, how far they usually are, and the day's deviate.

    NaN where too few were counted, or too few days came before. `first`, `last`: the slots between which at least half of the
    greatest departure is seen.
    """

    moved: Array
    usual: Array
    deviate: Array
    first: Array
    last: Array


def shapes(counts: Array, mean: Array, slot_hours: float) -> Shapes:
    """The shape of each day against the expected one; arrays (days, slots).

    moved = area between both cumulative distributions (Wasserstein distance), in hours. It is compared with what counting chance
    alone gives, E |F_n - F| = sqrt(2 F (1 - F) / (pi n)); the logarithm of their ratio with its median and 1.4826 x median absolute
    deviation (at least 0.2) over the last 28 days, at least 14.
    """
    known = ~np.isnan(counts) & ~np.isnan(mean)
    total = np.where(known, counts, 0.0).sum(axis=1)
    hoped = np.where(known, mean, 0.0).sum(axis=1)
    usable = (total >= _SHAPE_PEOPLE) & (known.mean(axis=1) >= _SHAPE_KNOWN) & (hoped > 0)
    seen = np.cumsum(np.where(known, counts, 0.0), axis=1) / np.where(usable, total, 1.0)[:, None]
    due = np.cumsum(np.where(known, mean, 0.0), axis=1) / np.where(usable, hoped, 1.0)[:, None]
    apart = np.abs(seen - due)
    moved = apart.sum(axis=1) * slot_hours
    chance = np.sqrt(2 * due * np.clip(1 - due, 0, 1) / np.pi / np.maximum(total, 1)[:, None]).sum(axis=1) * slot_hours
    ratio = np.log(np.maximum(moved, 1e-6) / np.maximum(chance, 1e-6))
    middle, spread = _recent(np.where(usable, ratio, np.nan))
    usual = np.where(usable, np.exp(middle) * chance, np.nan)
    deviate = np.where(usable, (ratio - middle) / np.maximum(spread, 0.2), np.nan)
    wide = apart * 2 >= apart.max(axis=1, keepdims=True)
    first = np.argmax(wide, axis=1)
    last = wide.shape[1] - 1 - np.argmax(wide[:, ::-1], axis=1)
    return Shapes(np.where(usable, moved, np.nan), usual, deviate, first, last)
