"""Which deviates belong together: a Markov-modulated filter, and the alarms that a weekly budget allows.

The filter follows a hidden state: normal, raised or lowered by one of STRENGTHS standard deviations. Its score is the log odds of
being raised or lowered given all deviates so far, so that three odd hours in a row outweigh a single odder one. With two
directions an event may show in one or both: people come in first and leave later. After Ihler, Hutchins and Smyth,
"Adaptive event detection with time-varying Poisson processes" (2006), with deviates in place of Poisson rates, so that small
and large counts have the same settings. Where neighbouring deviates go together anyway they are scaled down first: the filter
takes them for independent witnesses.

The threshold is the score that is expected to be exceeded by `budget` separate runs a week, learnt from scores of earlier days
only. Alarms of one run of scores over FLOOR are one, and so are alarms at most an hour apart. What a deviate is belongs in `tails`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics.baseline import settled
from retail_sensors.analytics.frames import Array

STRENGTHS = (1.5, 3.0, 6.0)
EVENT_HOURS = 6.0
"""Mean length of an event, in hours."""
EVENTS_A_WEEK = 1.0
BOTH_WAYS = 0.5
"""Share of events that shows in a given direction, where a series has two."""
FLOOR = -4.0
"""Log odds up to which nothing has happened; runs of higher scores are peaks."""

BLOCK_HOURS = 4.0
"""Length of the sums by which the company of deviates is measured."""
_BLOCK_QUANTILE, _BLOCK_DEVIATE = 0.9, 1.6449
_LEAST_BLOCKS = 20
_SCALE, _SCALE_WEIGHT = 1.0, 4.0  # odds of a false hypothesis exceed e^s with probability e^-s at most
_PEAKS, _LEAST_PEAKS = 5.0, 12
_STORM_WEEKS = (1.0, 2.0, 4.0)
_STORM_LEVEL = 0.1


def calmed(deviates: Array, is_counted: Array, slots_an_hour: float, warm: Array) -> Array:
    """Deviates over how much further their sums over BLOCK_HOURS scatter than those of independent ones, at least 1.

    Arrays have shape (rows, slots); `is_counted` chooses the slots with enough people to learn from. The factor of a week is
    learnt from the blocks of the weeks before, and is 1 until there are 20; slots before `warm`, from which no alarm comes,
    have the factor of that slot of their row.
    """
    rows, length = deviates.shape
    size = max(1, round(BLOCK_HOURS * slots_an_hour))
    blocks = length // size
    parts = np.where(is_counted, deviates, np.nan)[:, : blocks * size].reshape(rows, blocks, size)
    known = (~np.isnan(parts)).sum(axis=2)
    sums = np.where(known * 2 >= size, np.nansum(parts, axis=2) / np.sqrt(np.maximum(known, 1)), np.nan)
    factor = np.ones(deviates.shape)
    week = max(1, round(168 * slots_an_hour))
    for start in range(week, length, week):
        past = np.sort(np.abs(sums[:, : start // size]), axis=1)
        number = (~np.isnan(past)).sum(axis=1)
        place = np.minimum((number * _BLOCK_QUANTILE).astype(np.int64), np.maximum(number - 1, 0))
        spread = np.take_along_axis(past, place[:, None], axis=1)[:, 0] / _BLOCK_DEVIATE
        learnt = np.where(number >= _LEAST_BLOCKS, np.maximum(spread, 1.0), 1.0)
        factor[:, start : start + week] = learnt[:, None]
    return deviates / settled(factor, warm)


def scores(deviates: Array, slots_an_hour: float) -> tuple[Array, Array]:
    """Log odds of a raised and of a lowered state in each slot, shape (series, slots), without NaN.

    `deviates` has shape (series, directions, slots): a NaN is no evidence, a direction that is NaN throughout does not exist.
    """
    series, _, length = deviates.shape
    exists = (~np.isnan(deviates)).any(axis=2)
    share = np.where(exists.sum(axis=1) > 1, BOTH_WAYS, 1.0)[:, None, None]
    side = len(STRENGTHS)
    shift = np.array([*STRENGTHS, *(-strength for strength in STRENGTHS)])
    begin = EVENTS_A_WEEK / (168 * slots_an_hour)
    stay = 1 - 1 / max(1.5, EVENT_HOURS * slots_an_hour)
    move = np.zeros((2 * side + 1, 2 * side + 1))
    move[0, 0], move[0, 1:] = 1 - begin, begin / (2 * side)
    move[1:, 0] = 1 - stay
    for first in (1, 1 + side):
        move[first : first + side, first : first + side] = stay * (0.8 * np.eye(side) + 0.2 / side)
    state = np.zeros((series, 2 * side + 1))
    state[:, 0] = 1.0
    raised, lowered = np.empty((series, length)), np.empty((series, length))
    for slot in range(length):
        seen = np.nan_to_num(deviates[:, :, slot])[:, :, None]
        known = ~np.isnan(deviates[:, :, slot])[:, :, None]
        ratio = np.where(known, (1 - share) + share * np.exp(shift * seen - shift**2 / 2), 1.0).prod(axis=1)
        state = state @ move
        state[:, 1:] *= ratio
        state = np.maximum(state / state.sum(axis=1, keepdims=True), 1e-30)
        up, down = state[:, 1 : 1 + side].sum(axis=1), state[:, 1 + side :].sum(axis=1)
        raised[:, slot] = np.log(up) - np.log(state[:, 0] + down)
        lowered[:, slot] = np.log(down) - np.log(state[:, 0] + up)
    return raised, lowered


def _most_by_chance(mean: float) -> int:
    """Largest number that a Poisson variable of that mean exceeds with at least _STORM_LEVEL."""
    number, mass, below = 0, float(np.exp(-mean)), float(np.exp(-mean))
    while 1 - below >= _STORM_LEVEL:
        number += 1
        mass *= mean / number
        below += mass
    return number


def threshold(peaks: Array, age: Array, weeks: float, budget: float) -> float:
    """Score that `budget` peaks a week are expected to exceed; from the peaks of the last `weeks` weeks and their age in weeks.

    With m peaks of mean excess e over the next lower one, a further excess has a Lomax tail (1 + x / (m e)) ^ -m, the exponential
    with its scale unknown; their rate is taken as (m + 1) / weeks, so that a short past is not mistaken for a quiet one. Where
    more peaks of the last weeks would have been alarms than the budget explains at 10 %, the threshold rises over the surplus: a
    storm of alarms is one lasting change, not many events.
    """
    ordered = np.sort(peaks)[::-1]
    count = min(int(max(_LEAST_PEAKS, np.ceil(_PEAKS * budget * weeks))), len(ordered) - 1)
    if count < 1:
        base, typical, count = FLOOR, 0.0, 1
    else:
        base = float(ordered[count])
        # Past events are no false alarms: the lower third of an exponential does not know how high they rose.
        typical = float(np.quantile(ordered[:count] - base, 1 / 3)) / np.log(1.5)
    weight = count + _SCALE_WEIGHT
    scale = (count * typical + _SCALE_WEIGHT * _SCALE) / weight
    result = base + weight * scale * (max((count + 1) / weeks / budget, 1.0) ** (1 / weight) - 1)
    for span in _STORM_WEEKS:
        recent = np.sort(peaks[age <= span])[::-1]
        most = _most_by_chance(budget * span)
        if len(recent) > most:
            result = max(result, float(recent[most]))
    return result


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of one series: positions of its first and last slot over the threshold, and the threshold at its onset."""

    first: int
    last: int
    threshold: float


def runs(score: Array, apart: int) -> list[tuple[int, int]]:
    """First and last slot of each run of slots over FLOOR; runs with at most `apart` slots between them are one."""
    over = np.flatnonzero(score > FLOOR)
    if not len(over):
        return []
    begin = np.concatenate([[0], np.flatnonzero(np.diff(over) > apart + 1) + 1])
    end = np.append(begin[1:], len(over)) - 1
    return [(int(over[first]), int(over[last])) for first, last in zip(begin, end, strict=True)]


def alarms(score: Array, day: Array, begun: int, warm: int, budget: float, apart: int, since: int = 0) -> list[Alarm]:
    """The alarms of one series in order of time.

    `score` and `day` (a count of days that never falls) have one value per slot. Scores count from day `begun`, alarms from day
    `warm`, those of runs that ended before day `since` left out. The threshold of a day is learnt from the runs that ended before it.
    """
    found = runs(score, apart)
    if not found:
        return []
    peaks = np.array([score[first : last + 1].max() for first, last in found])
    ended = day[np.array([last for _, last in found])]
    limits: dict[int, float] = {}
    result = []
    for first, last in found:
        if day[last] < since:
            continue
        hit: list[int] = []
        for today in range(max(int(day[first]), warm), int(day[last]) + 1):
            if today not in limits:
                past = ended < today
                weeks = max(today - begun, 1) / 7
                limits[today] = threshold(peaks[past], (today - ended[past]) / 7, weeks, budget)
            limit = max(limits[today], FLOOR)
            low, high = np.searchsorted(day, today), np.searchsorted(day, today, side="right")
            part = slice(max(first, int(low)), min(last + 1, int(high)))
            hit.extend((np.flatnonzero(score[part] > limit) + part.start).tolist())
        if hit:
            result.append(Alarm(hit[0], hit[-1], limits[int(day[hit[0]])]))
    return result
