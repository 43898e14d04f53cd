"""How long detections stay in a region, and what follows: one region of a camera on a day, and in an hour.

Frames in, frames out: a camera's answers on how many detections stayed longer than 5 to 1800 s to `region_stays`, and those
with the hours of `hourly_analytics` to `regional_analytics`. A detection is not a person: who is lost and found again counts
twice, and each stay is that much shorter, so that the product, people present, is right.

    S(k) = detections staying longer than k / detections, S(0) = 1, log-linear between the thresholds (a constant hazard there)
    mean stay = integral of S = sum (S_k - S_k+1) dt / ln(S_k / S_k+1), trapezoid (S_k + 0) dt / 2 where a point is 0
    L = detections a second x mean stay                                   Little's law: mean number present
    share of time occupied <= 1 - exp(-L / g), groups of g arriving at random: M/G/infinity is empty with probability exp(-L / g)

A camera that is not asked for regions gets one virtual region, told apart by its source: the place around its entrance lines, which
everybody enters who crosses one. How long they stay there nobody saw.

The integral ends at 1800 s. With S(1800) over LONG the mean stay, and L, are lower bounds, and the bound above does not hold. Dwell
of a whole store belongs in `occupancy`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames, jsontext
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.localtime import Calendar, calendar
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.readings import day_keys, hour_rows, last_of_each
from retail_sensors.analytics.roster import LINES, Layout, Roster
from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.tables.regions import REGION_STAYS, REGIONAL_ANALYTICS, STAY_SECONDS

LONG = 0.02
"""Largest share of stays over 1800 s with which the rest of them is neglected."""

HEAT_MARGIN = 1.2
"""Most people present in regions that do not overlap, per person in view by the heat value."""

MEASURED, VIRTUAL = "measured", "virtual"
"""Where the entries of a region come from: its own detections, or crossings of the entrance lines in place of a region."""

METRICS = ("entries", "mean_stay_s", "short_stay_share", "avg_occupancy", "share_occupied_upper", "utilisation")
"""Figures of a region in an hour or on a day."""

REASONS: dict[str, str] = {
    "not_collected": "there is no reading of this region, or no answer about stays, for this time",
    "nobody_detected": "no detection entered the region",
    "inconsistent_answers": "more detections stayed longer than a threshold than entered at all",
    "stay_is_lower_bound": "more than 2 % stay longer than 1800 s: the time occupied has no upper bound",
    "no_capacity": "the region has no capacity",
    "virtual_region": "the region is virtual: crossings of lines tell nothing of a stay",
}
"""Reasons for NULL in `quality` of the stays and of the metrics, and what they mean."""


_SECONDS = np.array((0, *STAY_SECONDS), dtype=np.float64)
_SHARES = tuple(f"stay_over_{seconds}_s" for seconds in STAY_SECONDS)
_SHORT = STAY_SECONDS.index(10)
_LOWER, _MONOTONE, _HEAT = "lower_bound", "made_monotone", "above_heat"


def survival(detections: Array, longer: Array) -> tuple[Array, Array]:
    """S at STAY_SECONDS, shape (rows, 8), and whether it had to be made monotone; NaN where an input is NaN or nobody came.

    `longer` has shape (rows, 8). A share over 1 is no share: NaN over the whole row. A share over that of a shorter threshold
    becomes that one: the same stays were asked for twice, and a stay is not overstated.
    """
    share = frames.ratio(longer, detections[:, None])
    share[(share > 1).any(axis=1)] = np.nan
    falling = np.fmin.accumulate(share, axis=1)
    falling = np.where(np.isnan(share), np.nan, falling)
    return falling, np.asarray((falling < share).any(axis=1))


def mean_stay(shares: Array) -> Array:
    """Mean stay in seconds from S at STAY_SECONDS, shape (rows, 8), that does not rise; NaN where a share is NaN."""
    curve = np.concatenate([np.ones((len(shares), 1)), shares], axis=1)
    high, low = curve[:, :-1], curve[:, 1:]
    # near 1 the quotient of two vanishing differences loses its digits; the mean of both ends differs by (ln ratio)^2 / 12
    steep = (low > 0) & (low < high * (1 - 1e-6))
    fall = np.log(np.where(steep, high, 2.0)) - np.log(np.where(steep, low, 1.0))
    height = np.where(steep, (high - low) / fall, (high + low) / 2)
    return np.asarray((height * np.diff(_SECONDS)).sum(axis=1))


def share_occupied_upper(present: Array, group_size: float = 1.0) -> Array:
    """Largest share of time with anybody present, from the mean number present and the mean size of a group."""
    return -np.expm1(-present / group_size)


def _keys(sensor: Array, region: Array, day: Array) -> Array:
    """One integer per camera, region and day that sorts by them."""
    return day_keys((sensor << 3) | region, day)


def region_stays(answers: pd.DataFrame, roster: Roster) -> pd.DataFrame:
    """One row of REGION_STAYS per camera, region and day of the input, ordered by them.

    `answers`: sensor_id, region_number, date, detections, and over_5_s to over_1800_s, the detections of that day that stayed
    longer; NULL: not answered. Of two rows for one region and day the one with more detections holds. Cameras and regions
    that are not in the roster are left out.
    """
    what, ids = "answers about stays", roster.layout.sensor_ids
    sensor = frames.codes(ids, frames.texts(answers, "sensor_id", what))
    region = frames.numbers(answers, "region_number", what).astype(np.int64)
    day = frames.days(answers, "date", what).astype(np.int64)
    detections = frames.numbers(answers, "detections", what)
    longer = np.empty((len(answers), len(STAY_SECONDS)))
    for position, seconds in enumerate(STAY_SECONDS):
        longer[:, position] = frames.numbers(answers, f"over_{seconds}_s", what)
    kept = np.flatnonzero(sensor >= 0)
    kept = kept[roster.layout.regions[sensor[kept], region[kept] - 1]]
    keys = _keys(sensor[kept], region[kept], day[kept])
    order = kept[last_of_each(keys, [detections[kept], *longer[kept].T])]
    detections, longer = detections[order], longer[order]
    count = len(order)

    shares, mended = survival(detections, longer)
    mean = mean_stay(shares)
    excess = np.asarray((longer > detections[:, None]).any(axis=1))
    words = Vocabulary()
    why = words.first(
        count, (detections == 0, "nobody_detected"), (excess, "inconsistent_answers"), (True, "not_collected")
    )
    label = words.first(count, (np.isnan(mean), ""), (shares[:, -1] > LONG, _LOWER), (mended, _MONOTONE), (True, ""))
    uncounted = words.first(count, (np.isnan(detections), "not_collected"), (True, ""))
    notes = [((name,), np.where(np.isnan(shares[:, n]), why, 0)) for n, name in enumerate(_SHARES)]
    notes += [
        (("detections",), uncounted),
        (("mean_stay_seconds",), np.where(np.isnan(mean), why, 0)),
        (("short_stay_share",), np.where(np.isnan(shares[:, _SHORT]), why, 0)),
        (("stay",), label),
    ]
    return frames.build(
        REGION_STAYS,
        {
            "sensor_id": ids[sensor[order]],
            "region_number": region[order].astype(np.float64),
            "date": day[order].astype("datetime64[D]").astype(object),
            "detections": detections,
            **{name: shares[:, position] for position, name in enumerate(_SHARES)},
            "mean_stay_seconds": mean,
            "short_stay_share": 1 - shares[:, _SHORT],
            "quality": quality_texts(words, count, notes),
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Figures of regions, one value per row; NaN is NULL. `second`: start of the hour, or of the local day.

    `known`: share of the hours that were counted to their end. `crowded`: whether the regions of the camera hold more people than
    its heat value allows. `reason`, `label`: positions in `reasons` and `labels`, why the stay is NULL and what is to be said of
    it; label 0 says nothing.
    """

    camera: Array
    region: Array
    second: Array
    day: Array
    known: Array
    entries: Array
    stay: Array
    short: Array
    present: Array
    occupied: Array
    used: Array
    together: Array
    in_view: Array
    crowded: Array
    reason: Array
    reasons: list[str]
    label: Array
    labels: list[str]

    def figures(self) -> dict[str, Array]:
        """Each of METRICS."""
        values = (self.entries, self.stay, self.short, self.present, self.occupied, self.used)
        return dict(zip(METRICS, values, strict=True))

    def notes(self, words: Vocabulary) -> list[tuple[tuple[str, ...], Array]]:
        """What `quality` says of each row."""
        count = len(self.camera)
        why = words.translate(self.reasons, self.reason)
        label = words.translate(self.labels, self.label)
        no_entries = words.first(count, (np.isnan(self.entries), "not_collected"), (True, ""))
        no_stay = np.where(np.isnan(self.stay), why, 0)
        no_present = words.first(
            count,
            (self.crowded, _HEAT),
            (~np.isnan(self.present), ""),
            (no_entries > 0, no_entries),
            (True, why),
        )
        no_share = words.first(
            count,
            (~np.isnan(self.occupied), ""),
            (~np.isnan(self.present), "stay_is_lower_bound"),
            (True, no_present),
        )
        no_use = words.first(
            count, (~np.isnan(self.used), ""), (~np.isnan(self.present), "no_capacity"), (True, no_present)
        )
        return [
            (("entries",), no_entries),
            (("mean_stay_s",), no_stay),
            (("short_stay_share",), np.where(np.isnan(self.short), why, 0)),
            (("avg_occupancy",), no_present),
            (("share_occupied_upper",), no_share),
            (("utilisation",), no_use),
            (("stay",), label),
        ]

    def metrics(self, source: str) -> Array:
        """The figures of each row as JSON text."""
        words = Vocabulary()
        text = np.full(len(self.camera), f'{{"source": "{source}"', dtype=object)
        for name, values in self.figures().items():
            text = text + f', "{name}": ' + jsontext.number_texts(values)
        return np.asarray(text + ', "quality": ' + quality_texts(words, len(text), self.notes(words)) + "}")


def _said(texts: Array, name: str, otherwise: str) -> tuple[list[str], Array]:
    """What each JSON text says under a name: words, first of them `otherwise`, and the position of each row's word."""
    position, distinct = pd.factorize(texts)
    found = [str(json.loads(text).get(name, otherwise)) for text in distinct]
    listed = [otherwise, *dict.fromkeys(word for word in found if word != otherwise)]
    return listed, np.array([*(listed.index(word) for word in found), 0], dtype=np.int64)[position]


def _capacities(roster: Roster) -> Array:
    """Capacity of each camera's regions, shape (cameras, 4), NaN if not said."""
    result = np.full((len(roster.layout.sensor_ids), len(LINES)), np.nan)
    what = "region_configurations"
    camera = frames.codes(roster.layout.sensor_ids, frames.texts(roster.regions, "sensor_id", what))
    known = camera >= 0
    region = frames.numbers(roster.regions, "region_number", what)[known].astype(np.int64) - 1
    capacity = frames.numbers(roster.regions, "capacity", what)[known]
    result[camera[known], region] = np.where(capacity > 0, capacity, np.nan)
    return result


def _hours_of_regions(
    hours: pd.DataFrame, stays: pd.DataFrame, roster: Roster, group_size: float, overlapping: Collection[str]
) -> _Rows:
    if not group_size >= 1:
        raise ConfigurationError(f"A group of {group_size} people cannot be meant; give a mean size of 1 or more.")
    layout = roster.layout
    rows = hour_rows(hours, layout)
    counts = jsontext.parsed(frames.texts(hours, "region_counts", "hourly_analytics")[rows.position], LINES)
    heat = frames.numbers(hours, "avg_heat_value", "hourly_analytics")[rows.position]
    heat = np.where(np.isin(layout.sensor_ids[rows.camera], list(overlapping)), np.nan, heat)
    hour, column = np.nonzero(layout.regions[rows.camera])
    order = np.lexsort((rows.second[hour], column, rows.camera[hour]))
    hour, column = hour[order], column[order]
    camera, second = rows.camera[hour], rows.second[hour]
    day = layout.wall(layout.store[camera], second) // DAY

    what = "region_stays"
    of_stay = frames.codes(layout.sensor_ids, frames.texts(stays, "sensor_id", what))
    kept = np.flatnonzero(of_stay >= 0)
    region = frames.numbers(stays, "region_number", what)[kept].astype(np.int64)
    known = _keys(of_stay[kept], region, frames.days(stays, "date", what)[kept].astype(np.int64))
    by_key = np.argsort(known)
    wanted = _keys(camera, column + 1, day)
    near = np.append(known[by_key], -1)[np.searchsorted(known[by_key], wanted)]
    place = np.append(by_key, len(kept))[np.searchsorted(known[by_key], wanted)]
    place = np.where(near == wanted, place, len(kept))  # one past the last: the day without an answer

    def asked(values: Array, otherwise: float) -> Array:
        return np.append(values[kept], otherwise)[place]

    stay, short = (
        asked(frames.numbers(stays, name, what), np.nan) for name in ("mean_stay_seconds", "short_stay_share")
    )
    is_lower = asked(frames.numbers(stays, _SHARES[-1], what), np.nan) > LONG
    texts = frames.texts(stays, "quality", what)
    reasons, reason = _said(texts, "mean_stay_seconds", "not_collected")
    labels, label = _said(texts, "stay", "")
    reason, label = asked(reason, 0), asked(label, 0)

    entries = counts[hour, column]
    nobody = np.array([word == "nobody_detected" for word in reasons])[reason]
    present = np.where(nobody & (entries == 0), 0.0, entries / HOUR * stay)
    occupied = np.where(is_lower, np.nan, share_occupied_upper(present, group_size))
    together = frames.summed(hour, present, len(rows.camera))
    in_view = heat / HOUR
    return _Rows(
        camera=camera,
        region=column + 1,
        second=second,
        day=day,
        known=(~np.isnan(entries) & ~(rows.counted & ~rows.complete)[hour]).astype(np.float64),
        entries=entries,
        stay=stay,
        short=short,
        present=present,
        occupied=occupied,
        used=present / _capacities(roster)[camera, column],
        together=together[hour],
        in_view=in_view[hour],
        crowded=(together > HEAT_MARGIN * in_view)[hour] & ~np.isnan(present),
        reason=reason,
        reasons=reasons,
        label=label,
        labels=labels,
    )


def region_figures(
    hours: pd.DataFrame,
    stays: pd.DataFrame,
    roster: Roster,
    dates: tuple[date, date],
    now: datetime,
    *,
    group_size: float = 1.0,
    overlapping: Collection[str] = (),
) -> pd.DataFrame:
    """Rows of `regional_analytics`: per region and ended local day, dates[0] <= date < dates[1], its hours and the day itself.

    A camera without any region, neither configured nor asked for nor counted on that day, has the virtual region 1 instead.
    `hours`: rows of `hourly_analytics` (region_counts, avg_heat_value); `stays`: rows of `region_stays` of these days, unique by
    key. A region has rows for the days of which its camera has hours; one that nobody configured, only for days with a count.
    `group_size`: people who come together, on average. `overlapping`: ids of cameras whose regions overlap, which the heat cannot
    check. Raises ConfigurationError for a group under 1, ContractError for dates that run backwards.
    """
    layout = roster.layout
    first, last = frames.day_number(dates[0]), frames.day_number(dates[1])
    if last < first:
        raise ContractError(
            f"The dates {dates[0]} to {dates[1]} run backwards; give the first, then the day after the last."
        )
    midnights = np.zeros(len(layout.store_ids), dtype=np.int64)
    days = calendar(layout.zones, layout.zone, midnights, first, last - first)
    ended = _in_ended_days(hours, layout, days, frames.instant(now, "now"))
    by_hour = _hours_of_regions(hours[ended], stays, roster, group_size, overlapping)
    by_day, day_of_hour = _days_of_regions(by_hour, layout, days)
    configured = _configured(roster)
    is_shown = configured[by_day.camera, by_day.region - 1] | (by_day.known > 0)
    without = ~(configured.any(axis=1) | _asked_for_regions(roster)) & layout.is_entrance
    crossings = _virtual_hours(hours[ended], layout, without, by_day)
    crossings_by_day, _ = _days_of_regions(crossings, layout, days)
    return pd.concat(
        [
            _frame(by_hour, "1h", MEASURED, layout)[is_shown[day_of_hour]],
            _frame(by_day, "1day", MEASURED, layout)[is_shown],
            _frame(crossings, "1h", VIRTUAL, layout),
            _frame(crossings_by_day, "1day", VIRTUAL, layout),
        ],
        ignore_index=True,
    )


def _virtual_hours(hours: pd.DataFrame, layout: Layout, without: Array, counted: _Rows) -> _Rows:
    """The virtual region 1 of the cameras `without` a region, on days on which none of their regions `counted` anything."""
    rows = hour_rows(hours, layout)
    day = layout.wall(layout.store[rows.camera], rows.second) // DAY
    taken = _keys(counted.camera, np.zeros_like(counted.camera), counted.day)[counted.known > 0]
    chosen = np.flatnonzero(without[rows.camera] & ~np.isin(_keys(rows.camera, np.zeros_like(day), day), taken))
    entries = np.where(rows.counted, rows.entries + rows.exits, np.nan)[chosen]
    count = len(chosen)
    nothing = np.full(count, np.nan)
    no_word = np.zeros(count, dtype=np.int64)
    return _Rows(
        camera=rows.camera[chosen],
        region=np.ones(count, dtype=np.int64),
        second=rows.second[chosen],
        day=day[chosen],
        known=(~np.isnan(entries) & rows.complete[chosen]).astype(np.float64),
        entries=entries,
        stay=nothing,
        short=nothing,
        present=nothing,
        occupied=nothing,
        used=nothing,
        together=nothing,
        in_view=nothing,
        crowded=np.zeros(count, dtype=bool),
        reason=no_word,
        reasons=["virtual_region"],
        label=no_word,
        labels=[""],
    )


def _asked_for_regions(roster: Roster) -> Array:
    """Whether each camera is asked for the counts of its regions."""
    sensors = roster.sensors
    asked = frames.texts(sensors, "endpoints", "sensor_metadata")
    names = frames.texts(sensors, "id", "sensor_metadata")[["regional_counting" in json.loads(text) for text in asked]]
    return np.isin(roster.layout.sensor_ids, names)


def region_hours(
    hours: pd.DataFrame,
    stays: pd.DataFrame,
    roster: Roster,
    *,
    group_size: float = 1.0,
    overlapping: Collection[str] = (),
) -> pd.DataFrame:
    """sensor_id, region_number, hour_start, METRICS (NaN for NULL), is_above_heat: a region of the roster in each row of its camera.

    Ordered by camera, region and hour; arguments as for `region_figures`, hours that run and days that have not ended included.
    """
    rows = _hours_of_regions(hours, stays, roster, group_size, overlapping)
    return pd.DataFrame(
        {
            "sensor_id": pd.array(roster.layout.sensor_ids[rows.camera], dtype="string"),
            "region_number": rows.region,
            "hour_start": pd.DatetimeIndex(rows.second.astype("datetime64[s]").astype("datetime64[us]"), tz="UTC"),
            **rows.figures(),
            "is_above_heat": rows.crowded,
        }
    )


def _in_ended_days(hours: pd.DataFrame, layout: Layout, days: Calendar, now: int) -> Array:
    """Whether each row of `hourly_analytics` lies in one of the days, and that day of its store has ended."""
    what = "hourly_analytics"
    camera = frames.codes(layout.sensor_ids, frames.texts(hours, "sensor_id", what))
    second = frames.seconds(hours, "hour_start", what)
    result = camera >= 0
    store = layout.store[camera[result]]
    day = layout.wall(store, second[result]) // DAY - days.first
    inside = (day >= 0) & (day < days.count)
    result[result] = inside & (days.starts[store, np.where(inside, day, -1) + 1] <= now)
    return result


def _days_of_regions(rows: _Rows, layout: Layout, days: Calendar) -> tuple[_Rows, Array]:
    """The days of the hours, and the position among them of each hour's.

    Entries are the sum over the known hours, the other figures their mean. `above_heat` holds where it does over those hours together.
    """
    keys = _keys(rows.camera, rows.region, rows.day)
    _, first, cell = np.unique(keys, return_index=True, return_inverse=True)
    count = len(first)

    def mean(values: Array) -> Array:
        total = frames.summed(cell, values, count)
        return frames.ratio(total, np.bincount(cell[~np.isnan(values)], minlength=count).astype(np.float64))

    both = ~np.isnan(rows.together) & ~np.isnan(rows.in_view)
    crowded = frames.summed(cell[both], rows.together[both], count) > HEAT_MARGIN * frames.summed(
        cell[both], rows.in_view[both], count
    )
    present = mean(rows.present)
    camera, day = rows.camera[first], rows.day[first]
    store, column = layout.store[camera], day - days.first
    known = np.bincount(cell, weights=rows.known, minlength=count)
    whole = replace(
        rows,
        camera=camera,
        region=rows.region[first],
        second=days.starts[store, column],
        day=day,
        known=np.minimum(known / np.maximum(days.lengths[store, column], 1), 1.0),
        entries=frames.summed(cell, rows.entries, count),
        stay=rows.stay[first],
        short=rows.short[first],
        present=present,
        occupied=mean(rows.occupied),
        used=mean(rows.used),
        crowded=crowded & ~np.isnan(present),
        reason=rows.reason[first],
        label=rows.label[first],
    )
    return whole, np.asarray(cell)


def _configured(roster: Roster) -> Array:
    """Whether somebody configured each camera's regions, shape (cameras, 4)."""
    result = np.zeros((len(roster.layout.sensor_ids), len(LINES)), dtype=bool)
    what = "region_configurations"
    camera = frames.codes(roster.layout.sensor_ids, frames.texts(roster.regions, "sensor_id", what))
    known = camera >= 0
    result[camera[known], frames.numbers(roster.regions, "region_number", what)[known].astype(np.int64) - 1] = True
    return result


def _frame(rows: _Rows, bucket_size: str, source: str, layout: Layout) -> pd.DataFrame:
    return frames.build(
        REGIONAL_ANALYTICS,
        {
            "sensor_id": layout.sensor_ids[rows.camera],
            "region_number": rows.region.astype(np.float64),
            "date": rows.day.astype("datetime64[D]").astype(object),
            "bucket_size": np.full(len(rows.camera), bucket_size, dtype=object),
            "time_bucket": rows.second,
            "metrics": rows.metrics(source),
            "data_completeness": rows.known,
        },
    )
