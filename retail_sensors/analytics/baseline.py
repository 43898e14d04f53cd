"""What a slot of the week should count: a robust baseline that knows only earlier days, and how widely counts scatter about it.

Arrays have shape (rows, days, slots): a row is one counted direction of one series, a day one wall-clock day, a slot one step of
that day (24 or 48); NaN is a count that is missing. The expected counts of a day depend on earlier days only, those of the day
itself on nothing of that day.

    mean = profile(weekday, slot) x level(day)
    profile = (n own + w pooled) / (n + w)     own: the last 8 same weekdays, pooled: the last 4 weeks' days of its kind
    level   = level before x (winsorised counts / expected counts of the last day) ^ gain
    variance = mean (1 + 1 / (n + w)) + dispersion mean^2

Both means are winsorised about their median, so that a past anomaly is worth at most 2.5 standard deviations and needs no
list of anomalies, while a lasting change takes over when it holds half of the weeks. Counts are divided by the level of their day
first. w weighs sampling noise against the difference between weekdays: a small count borrows from other days, a large one
does not, nor does one of a weekday that evidently differs from its kind, such as the only one that is open in that slot. The
dispersion is learnt per row and slot of the day (nights scatter more): the least with which 90 % of past counts lie within 1.645
standard deviations.
How surprising a count is then belongs in `tails`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics.frames import Array

OWN_WEEKS, POOL_WEEKS = 8, 4
WINSOR = 2.5
WEEKDAY_SPREAD = 0.25
"""Standard deviation of weekdays of one kind about their mean, relative."""
GAIN = 0.25
"""Share of a day's departure from the expected level that the next day expects to last."""
_STEADY = 50.0  # people a day from which on a day's level is believed in full
_LEAST_OWN = 3  # same weekdays whose median is trusted
_SURE = 2.0  # standard deviations of a weekday's mean up to which its distance from the pool is chance
_LEAST_PEOPLE = 0.5  # added to a profile's sum: a slot never counted is rare, not impossible
_DISPERSIONS = (4e-4, 4.0)  # 2 % standard deviation is the best that a counter does
_FIRST_DISPERSION = 0.1
_QUANTILE, _DEVIATE = 0.9, 1.6449
_LEAST_SLOTS = 48
_LEVELS = (1 / 3, 3.0)


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """Mean and negative-binomial k of every slot, NaN until 7 days came before; shape (rows, days, slots).

    `dispersion`: what was learnt until each day, of the same shape.
    """

    mean: Array
    k: Array
    dispersion: Array


def _median(values: Array) -> Array:
    """Median over axis 1 without NaN; NaN where there is nothing."""
    ordered = np.sort(values, axis=1)
    count = (~np.isnan(values)).sum(axis=1)
    low, high = np.maximum((count - 1) // 2, 0), np.maximum(count // 2, 0)
    pick = np.take_along_axis(ordered, np.stack([low, np.minimum(high, values.shape[1] - 1)], axis=1), axis=1)
    return np.asarray(pick.mean(axis=1))


def _robust_mean(values: Array, centre: Array, dispersion: Array) -> tuple[Array, Array]:
    """Mean over axis 1 of values winsorised about the centre, and how many there are; NaN where there is none."""
    reach = WINSOR * np.sqrt(centre + 0.5 + dispersion * centre**2)
    count = (~np.isnan(values)).sum(axis=1)
    held = np.clip(values, (centre - reach)[:, None], (centre + reach)[:, None])
    return np.where(count > 0, np.nansum(held, axis=1) / np.maximum(count, 1), np.nan), count


def _is_weekend(weekday: int) -> bool:
    return weekday >= 5


def _profile(levelled: Array, day: int, first_weekday: int, dispersion: Array) -> tuple[Array, Array]:
    """Expected counts of a day at level 1, and the number of days that they are worth, from the days before it."""
    weekday = (first_weekday + day) % 7
    own_days = [day - 7 * back for back in range(1, OWN_WEEKS + 1) if day >= 7 * back]
    pool_days = [
        past
        for past in range(max(0, day - 7 * POOL_WEEKS), day)
        if _is_weekend((first_weekday + past) % 7) == _is_weekend(weekday)
    ]
    pool = levelled[:, pool_days]
    pool_centre = _median(pool)
    pooled, pool_count = _robust_mean(pool, pool_centre, dispersion + WEEKDAY_SPREAD**2)
    own = levelled[:, own_days]
    count = (~np.isnan(own)).sum(axis=1)
    # After weeks without a count there is no pool, and the few own days are all that is known.
    seen = count >= _LEAST_OWN
    centre = np.where(seen | np.isnan(pool_centre), _median(own), pool_centre)
    loose = np.where(seen, 0.0, WEEKDAY_SPREAD**2)
    own_mean, _ = _robust_mean(own, centre, dispersion + loose)
    base = np.maximum(pooled, 0.1)
    # A weekday whose last weeks differ from the pool by more than chance, as one that closes later, borrows less of it.
    size = np.maximum(base, own_mean)
    chance = _SURE**2 * (size + dispersion * size**2) / np.maximum(count, 1)
    apart = (_median(own[:, :POOL_WEEKS]) - pooled) ** 2 - chance
    spread = np.maximum(WEEKDAY_SPREAD**2, np.where(seen & ~np.isnan(apart), apart, 0.0) / base**2)
    weight = (1 / base + dispersion) / spread
    weight = np.where(pool_count > 0, np.minimum(weight, pool_count), 0.0)
    days = count + weight
    total = np.where(count > 0, own_mean * count, 0.0) + np.where(weight > 0, pooled * weight, 0.0) + _LEAST_PEOPLE
    return np.where(days > 0, total / np.maximum(days, 1e-9), np.nan), days


def _dispersion(counts: Array, mean: Array, days: Array, before: Array) -> Array:
    """Dispersion of each row and slot of the day from past slots with a mean of at least 1, itself and its neighbours.

    A slot with too few of them has its row's; a row with too few keeps `before`.
    """
    mean = np.where(mean >= 1, mean, np.nan)
    needed = ((counts - mean) ** 2 / _DEVIATE**2 - mean * (1 + 1 / days)) / mean**2
    by_slot = needed.transpose(0, 2, 1)
    around = np.concatenate([np.roll(by_slot, 1, axis=1), by_slot, np.roll(by_slot, -1, axis=1)], axis=2)
    row, row_count = _quantile(needed.reshape(len(needed), -1))
    row = np.where(row_count >= _LEAST_SLOTS, row, before.mean(axis=1))
    slot, slot_count = _quantile(around)
    return np.where(slot_count >= _LEAST_SLOTS, np.clip(slot, *_DISPERSIONS), np.clip(row, *_DISPERSIONS)[:, None])


def _quantile(values: Array) -> tuple[Array, Array]:
    """The learning quantile over the last axis without NaN, and how many values there are."""
    number = (~np.isnan(values)).sum(axis=-1)
    place = np.minimum((number * _QUANTILE).astype(np.int64), np.maximum(number - 1, 0))
    return np.take_along_axis(np.sort(values, axis=-1), place[..., None], axis=-1)[..., 0], number


def settled(values: Array, warm: Array) -> Array:
    """Values of shape (rows, times, ...) with those of each row before time `warm` replaced by the one of that time."""
    place = np.maximum(np.arange(values.shape[1])[None], np.minimum(warm, values.shape[1] - 1)[:, None])
    return np.asarray(np.take_along_axis(values, place.reshape(place.shape + (1,) * (values.ndim - 2)), axis=1))


def expect(counts: Array, first_weekday: int, warm: Array) -> Expected:
    """What each slot should count, from the days before its own; `first_weekday` is 0 for a Monday.

    Days before day `warm` of their row, from which no alarm comes, have the dispersion learnt until that day: what a warm-up
    scores is then on the scale of what follows it.
    """
    rows, length, slots = counts.shape
    mean, days = np.full(counts.shape, np.nan), np.full(counts.shape, np.nan)
    levelled = np.array(counts)
    level, dispersion = np.ones(rows), np.full((rows, slots), _FIRST_DISPERSION)
    learnt = np.empty(counts.shape)
    for day in range(length):
        if day >= 14 and day % 7 == 0:
            recent = slice(max(7, day - 7 * OWN_WEEKS), day)
            dispersion = _dispersion(counts[:, recent], mean[:, recent], days[:, recent], dispersion)
        learnt[:, day] = dispersion
        if day < 7:
            continue
        profile, worth = _profile(levelled[:, :day], day, first_weekday, dispersion)
        days[:, day] = np.where(worth > 0, worth, np.nan)
        expected = profile * level[:, None]
        mean[:, day] = expected
        today = counts[:, day]
        reach = WINSOR * np.sqrt(expected + dispersion * expected**2)
        held = np.clip(today, expected - reach, expected + reach)
        known = ~np.isnan(held)
        asked = np.where(known, expected, 0.0).sum(axis=1)
        came = np.where(known, held, 0.0).sum(axis=1)
        levelled[:, day] = today / level[:, None]
        gain = GAIN * asked / (asked + _STEADY)
        change = np.clip((came + 1) / (asked + 1), *_LEVELS) ** gain
        level = np.clip(level * change, *_LEVELS)
    learnt = settled(learnt, warm)
    variance = mean * (1 + 1 / days) + learnt * mean**2
    return Expected(mean, mean**2 / (variance - mean), learnt)
