"""Anomalies of cameras: one row of `anomalies_detected` per event, from hours, lines, stores and holidays.

Here belongs what is particular to cameras: which of their counts were measured, how much history is looked at, which series a
camera has, and what an event is called. How an event is found belongs in `anomalies`.

A camera is one series of entries and exits, without an entrance line one of passers-by; the cameras of a store are each other's
witnesses. Where it has several entrance lines,
each line is looked at for itself too, for a line that is stuck does not silence its camera. An event that another one of the camera
explains is not said again.

History is cut into blocks: dates of the same four weeks learn from the same 26 weeks before them, whichever dates a run is for, and
know nothing of what came after an event but how long it lasted, up to four weeks after the block. So a run for old dates gives what a
run of that time would have given, only `ended_at`, `auto_resolved` and the totals of the event going on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd

from retail_sensors.analytics import anomalies, frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.roster import LINES, Layout, Roster
from retail_sensors.tables.anomalies import ANOMALIES_DETECTED

HISTORY_WEEKS = 26
"""Weeks that a block learns from. The baseline forgets after 8, yet the threshold of 0.35 alarms a week needs more peaks than that:
the streets of one city gave a third more alarms after 9 to 17 weeks, and after 52 no fewer at twice the cost."""
LINE_WEEKS = 12
"""The same for single lines: a fault is judged by the baseline alone."""
BLOCK_WEEKS = 4
FOLLOW_WEEKS = 4

REASONS: dict[str, str] = {
    "no_baseline": "the camera had not counted for a week yet",
    "not_counted": "nothing was counted",
    "directions_swapped": "both directions were counted, each as the other",
    "under_one_expected": "less than 1 was expected",
    "sum_of_directions": "the event is in both directions at once",
}
"""Reasons for NULL and what they mean."""

HOUR_COLUMNS = [
    "sensor_id",
    "hour_start",
    "total_entries",
    "total_exits",
    "passersby",
    "data_completeness",
    "imputed_share",
]
LINE_COLUMNS = ["sensor_id", "timestamp", *(f"line{line}_{way}" for line in LINES for way in ("in", "out")), "is_final"]

_METRICS = {"in_count": "total_entries", "out_count": "total_exits", "value": "passersby"}
_LINE_FAULTS = ("stuck_at_zero", "frozen")
_STEP = timedelta(hours=1)
_MONDAY = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True, slots=True)
class Block:
    """Dates `first` to before `last` that learn from the days from `learns` on, and know nothing from `until` on; days since 1970."""

    first: int
    last: int
    learns: int
    until: int


def blocks(dates: tuple[date, date]) -> list[Block]:
    """The blocks of half-open dates, in order."""
    first, last = (frames.day_number(day) for day in dates)
    size = 7 * BLOCK_WEEKS
    result = []
    while first < last:
        begin = (first + _MONDAY) // size * size - _MONDAY
        end = begin + size
        result.append(Block(first, min(end, last), begin - 7 * HISTORY_WEEKS, end + 7 * FOLLOW_WEEKS))
        first = end
    return result


def hours_needed(dates: tuple[date, date], now: datetime) -> tuple[datetime, datetime]:
    """The half-open window of hours that `camera_anomalies` looks at for half-open dates."""
    listed = blocks(dates)
    return _midnight(listed[0].learns - 1), min(_midnight(listed[-1].until), now)


def lines_needed(dates: tuple[date, date], now: datetime, roster: Roster) -> tuple[datetime, datetime]:
    """The same for the counts of single lines; empty where no camera has several entrance lines."""
    start, end = hours_needed(dates, now)
    start += timedelta(weeks=HISTORY_WEEKS - LINE_WEEKS)
    return start, end if (roster.layout.entrance.sum(axis=1) > 1).any() else start


def camera_anomalies(
    hours: pd.DataFrame,
    lines: pd.DataFrame,
    roster: Roster,
    dates: tuple[date, date],
    now: datetime,
    holidays: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Rows of `anomalies_detected` whose local date lies in half-open `dates`, from what was counted until `now`.

    `hours`: HOUR_COLUMNS of `hourly_analytics` over `hours_needed`; `lines`: LINE_COLUMNS of `people_counting_raw` over
    `lines_needed`; `holidays`: rows of `holidays.store_holidays`. An hour that was not measured, or whose count is not final, is no
    evidence; when the next hour has ended as well it is a gap. Cameras that are not in the roster, and gaps of cameras that are no
    longer active, are left out. Hours off their zone's grid, as a change of clocks by half an hour makes them, move back to it.
    """
    layout = roster.layout
    whole = _cameras(hours, layout)
    single = _lines(lines, layout)
    named = _holidays(holidays, layout)
    zones = {
        str(sensor): layout.zones[layout.zone[store]]
        for sensor, store in zip(layout.sensor_ids, layout.store, strict=True)
    }
    pieces = []
    for block in blocks(dates):
        limits: dict[str, Any] = {
            "step": _STEP,
            "now": min(_midnight(block.until), now),
            "since": _midnight(block.first - 1),
            "zones": zones,
        }
        line_days = block.learns + 7 * (HISTORY_WEEKS - LINE_WEEKS)
        found = pd.concat(
            [
                _named(anomalies.detect(whole[whole["day"] >= block.learns], holidays=named, **limits)),
                _named(anomalies.detect(single[single["day"] >= line_days], only_faults=True, **limits)),
            ],
            ignore_index=True,
        )
        found = _without_echoes(found.assign(day=_local_days(found, layout)))
        pieces.append(found[(found["day"] >= block.first) & (found["day"] < block.last)])
    return _rows(pd.concat(pieces, ignore_index=True), layout)


def counts_of(hours: pd.DataFrame, roster: Roster, sensor_id: str) -> pd.DataFrame:
    """The measured counts of one camera as `anomalies.detect` and `usual` take them."""
    return _cameras(hours[hours["sensor_id"] == sensor_id], roster.layout)


def with_reviewed(found: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """The events found, and those of the stored ones that a person has written about and that were not found again.

    Both are rows of `anomalies_detected`; what was found lacks the columns that Postgres or a person fills.
    """
    key = list(ANOMALIES_DETECTED.key)
    reviewed = stored[stored["review_notes"].notna()]
    again = pd.MultiIndex.from_frame(reviewed[key]).isin(pd.MultiIndex.from_frame(found[key]))
    lost = reviewed.loc[~again, list(found.columns)]
    return pd.concat([found, lost], ignore_index=True) if len(lost) else found


def _midnight(day: int) -> datetime:
    return datetime.combine(date(1970, 1, 1) + timedelta(days=day), time(), UTC)


def _measured(hours: pd.DataFrame) -> Array:
    """Whether each hour's counts are final, and the camera's own throughout."""
    complete = frames.numbers(hours, "data_completeness", "hourly_analytics") > 0
    return complete & ~(frames.numbers(hours, "imputed_share", "hourly_analytics") > 0)


def _history(
    layout: Layout, camera: Array, second: Array, component: str | None, counts: dict[str, Array]
) -> pd.DataFrame:
    """Rows of history as `anomalies.detect` takes them, and the local `day` of each."""
    second = np.array(second)
    zone = layout.zone[layout.store[camera]]
    for one in np.unique(zone):
        rows = zone == one
        second[rows] -= (second[rows] - second[rows].max()) % HOUR
    return pd.DataFrame(
        {
            "series": layout.sensor_ids[camera],
            "component": component,
            "group": layout.store_ids[layout.store[camera]],
            "slot_start": pd.DatetimeIndex(second.astype("datetime64[s]")).tz_localize("UTC"),
            "day": layout.wall(layout.store[camera], second) // DAY,
            **counts,
        }
    )


def _cameras(hours: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    camera = frames.codes(layout.sensor_ids, frames.texts(hours, "sensor_id", "hourly_analytics"))
    kept = np.flatnonzero((camera >= 0) & _measured(hours))
    second = frames.seconds(hours, "hour_start", "hourly_analytics")[kept]
    counts = {metric: frames.numbers(hours, column, "hourly_analytics")[kept] for metric, column in _METRICS.items()}
    counts["value"][layout.is_entrance[camera[kept]]] = np.nan
    return _history(layout, camera[kept], second, None, counts)


def _lines(lines: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    camera = frames.codes(layout.sensor_ids, frames.texts(lines, "sensor_id", "people_counting_raw"))
    second = frames.seconds(lines, "timestamp", "people_counting_raw")
    final = frames.flags(lines, "is_final", "people_counting_raw")
    several = layout.entrance.sum(axis=1) > 1
    pieces = []
    for number, line in enumerate(LINES):
        kept = np.flatnonzero((camera >= 0) & final)
        kept = kept[(several & layout.entrance[:, number])[camera[kept]]]
        counts = {
            f"{way}_count": frames.numbers(lines, f"line{line}_{way}", "people_counting_raw")[kept]
            for way in ("in", "out")
        }
        pieces.append(_history(layout, camera[kept], second[kept], f"line{line}", counts))
    return pd.concat(pieces, ignore_index=True)


def _holidays(holidays: pd.DataFrame | None, layout: Layout) -> pd.DataFrame | None:
    """The stores' holidays as those of their cameras."""
    if holidays is None or not len(holidays):
        return None
    cameras = pd.DataFrame({"series": layout.sensor_ids, "store_id": layout.store_ids[layout.store]})
    named = holidays.rename(columns={"holiday_name": "name"})
    return named[["store_id", "date", "name"]].merge(cameras, on="store_id")


def _named(events: pd.DataFrame) -> pd.DataFrame:
    """Events with the fault of each and the table's names of metrics; of single lines only what is a fault of the line."""
    fault = [json.loads(text).get("fault") for text in events["context"]]
    metric = [
        _METRICS.get(metric, metric) if pd.isna(component) else f"{component}{_suffix(metric)}"
        for metric, component in zip(events["affected_metric"], events["affected_component"], strict=True)
    ]
    found = events.assign(fault=pd.Series(fault, index=events.index, dtype=object), affected_metric=metric)
    return found[found["affected_component"].isna() | found["fault"].isin(_LINE_FAULTS)]


def _suffix(metric: str) -> str:
    return "" if metric == "all" else f"_{metric.removesuffix('_count')}"


def _local_days(events: pd.DataFrame, layout: Layout) -> Array:
    camera = frames.codes(layout.sensor_ids, frames.texts(events, "series", "events"))
    return layout.wall(layout.store[camera], frames.seconds(events, "started_at", "events")) // DAY


def _without_echoes(events: pd.DataFrame) -> pd.DataFrame:
    """Events without those that a fault of the same camera explains which was known by then and still lasted.

    A fault of a line explains that its camera counts less, a fault of the camera that its lines show it too. Of two faults with one
    key the first stays.
    """
    of_line = events["affected_component"].notna()
    faults = events[events["fault"].isin(_LINE_FAULTS)]
    doubtful = events[of_line | (events["anomaly_type"] == "traffic_drop")]
    pairs = doubtful.reset_index().merge(faults, on="series", suffixes=("", "_fault"))
    explained = pairs[
        (pairs["affected_component"].isna() != pairs["affected_component_fault"].isna())
        & (pairs["detected_at_fault"] <= pairs["detected_at"])
        & (pairs["ended_at_fault"] > pairs["started_at"])
    ]
    left = events[~events.index.isin(explained["index"])].sort_values("detected_at", kind="stable")
    return left.drop_duplicates(["series", "anomaly_type", "affected_metric", "started_at"])


def _rows(events: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Rows of the table, in the order of its key."""
    camera = frames.codes(layout.sensor_ids, frames.texts(events, "series", "events"))
    resolved = frames.flags(events, "auto_resolved", "events")
    gone = (frames.texts(events, "anomaly_type", "events") == "data_gap") & ~resolved
    kept = np.flatnonzero(~gone | layout.active[camera]) if len(events) else np.empty(0, dtype=np.int64)
    camera = camera[kept]
    events = events.iloc[kept]
    values: dict[str, Any] = {
        "sensor_id": layout.sensor_ids[camera],
        "date": np.array([date(1970, 1, 1) + timedelta(days=int(day)) for day in events["day"]], dtype=object),
        "affected_component": _components(events, camera, layout),
        "quality": _quality(events),
    }
    for column in ANOMALIES_DETECTED.written:
        if column.name not in values:
            values[column.name] = _READ[column.kind.name](events, column.name, "events")
    table = frames.build(ANOMALIES_DETECTED, values)
    return table.sort_values(list(ANOMALIES_DETECTED.key), kind="stable", ignore_index=True)


_READ = {
    "TIMESTAMP": frames.seconds,
    "DOUBLE": frames.numbers,
    "BOOLEAN": frames.flags,
    "TEXT": frames.texts,
    "JSONB": frames.texts,
}


def _components(events: pd.DataFrame, camera: Array, layout: Layout) -> Array:
    """The line of an event; of a camera with one entrance line that line."""
    said = frames.texts(events, "affected_component", "events")
    only = np.where(layout.entrance.sum(axis=1) == 1, np.argmax(layout.entrance, axis=1), -1)[camera]
    lines = np.array([None if line < 0 else f"line{LINES[line]}" for line in only], dtype=object)
    return np.where(pd.isna(said), lines, said)


def _quality(events: pd.DataFrame) -> Array:
    words = Vocabulary()
    size = len(events)
    names = ("expected_value", "actual_value", "deviation_percent", "deviation_stddev")
    null = {name: np.isnan(frames.numbers(events, name, "events")) for name in names}
    swapped = frames.texts(events, "fault", "events") == "direction_swapped"
    gap = frames.texts(events, "anomaly_type", "events") == "data_gap"
    no_expected = words.first(
        size, (~null["expected_value"], ""), (swapped, "directions_swapped"), (True, "no_baseline")
    )
    no_actual = words.first(
        size,
        (~null["actual_value"], ""),
        (gap, "not_counted"),
        (swapped, "directions_swapped"),
        (True, "no_baseline"),
    )
    either = words.first(size, (no_expected > 0, no_expected), (True, no_actual))
    derived = {
        name: words.first(size, (~null[name], ""), (either > 0, either), (True, otherwise))
        for name, otherwise in (("deviation_percent", "under_one_expected"), ("deviation_stddev", "sum_of_directions"))
    }
    notes = [(("expected_value",), no_expected), (("actual_value",), no_actual)]
    return quality_texts(words, size, [*notes, *(((name,), code) for name, code in derived.items())])
