"""How many known events the anomaly detection finds, with how many alarms: on labelled counts, or on counts without events.

`python -m benchmarks.anomalies COUNTS EVENTS --alarms-per-week N [--warmup-weeks 4] [--json]`
`python -m benchmarks.anomalies --quiet [--json]`

COUNTS is a csv with the columns slot, in_count, out_count, or timestamp, value, all in local time. EVENTS is a csv with the columns
start and end, or a json {file name: {"windows": [[start, end], ...]}}, of which the windows of the COUNTS file are taken. The
rows of COUNTS go through `retail_sensors.analytics.anomalies.detect`, whose thresholds are learnt from past scores only. Every
event of any type is an alarm, but data gaps are not.

An event is found when an alarm overlaps it within one slot. `precision` is the share of alarms that touch an event: a lower bound
where the list of events is incomplete. `chance` is how many events the same alarms find when each is put at a random time, mean
of 1 000 seeded draws. Events that start before the end of the warm-up are not counted.

`--quiet` makes series of negative-binomial counts about a weekly profile that never changes, from a few people a day to
thousands, some on the local profile of a shop and some of a street: every alarm is false.
"""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from retail_sensors.analytics import anomalies

_DRAWS, _SEED = 1000, 20_050_724


def read_counts(path: Path) -> pd.DataFrame:
    """The history of one series from a csv of either form; local time stands as if it were UTC."""
    frame = pd.read_csv(path)
    name = "slot" if "slot" in frame else "timestamp"
    start = pd.to_datetime(frame[name]).dt.tz_localize("UTC")
    metrics = [metric for metric in ("value", "in_count", "out_count") if metric in frame]
    return pd.DataFrame({"series": path.name, "slot_start": start, **{metric: frame[metric] for metric in metrics}})


def read_events(path: Path, counts: Path) -> pd.DataFrame:
    """Start and end of each event, as instants like those of the counts."""
    if path.suffix == ".json":
        windows = json.loads(path.read_text())[counts.name]["windows"]
        frame = pd.DataFrame(windows, columns=["start", "end"])
    else:
        frame = pd.read_csv(path)
    return pd.DataFrame({side: pd.to_datetime(frame[side]).dt.tz_localize("UTC") for side in ("start", "end")})


def _seconds(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    return values.to_numpy(dtype="datetime64[s]").astype(np.float64)


def _overlaps(alarms: npt.NDArray[np.float64], events: npt.NDArray[np.float64], within: float) -> npt.NDArray[np.bool_]:
    """Whether each alarm overlaps each event within so many seconds; shape (..., alarms, events)."""
    return (alarms[..., 0, None] <= events[:, 1] + within) & (alarms[..., 1, None] >= events[:, 0] - within)


def score(history: pd.DataFrame, events: pd.DataFrame, alarms_per_week: float, warmup_weeks: int) -> dict[str, Any]:
    """The figures of one labelled series."""
    begin = history["slot_start"].min()
    apart = history["slot_start"].diff()
    step = apart[apart > pd.Timedelta(0)].min()
    end = history["slot_start"].max() + step
    found = anomalies.detect(
        history,
        step=step.to_pytimedelta(),
        now=end.to_pydatetime(),
        zones="UTC",
        alarms_per_week=alarms_per_week,
        warmup_weeks=warmup_weeks,
    )
    warm = begin + pd.Timedelta(weeks=warmup_weeks)
    found = found[(found["anomaly_type"] != "data_gap") & (found["started_at"] >= warm)]
    events = events[(events["start"] >= warm) & (events["start"] < end)]
    alarms = np.stack([_seconds(found["started_at"]), _seconds(found["ended_at"])], axis=1)
    spans = np.stack([_seconds(events["start"]), _seconds(events["end"])], axis=1)
    within = step.total_seconds()
    hits = _overlaps(alarms, spans, within)
    random = np.random.default_rng(_SEED)
    length = alarms[:, 1] - alarms[:, 0]
    first, last = warm.timestamp(), end.timestamp()
    at = first + random.random((_DRAWS, len(alarms))) * np.maximum(last - length - first, 0)
    drawn = _overlaps(np.stack([at, at + length], axis=2), spans, within).any(axis=1).sum(axis=1)
    number, hit = len(spans), int(hits.any(axis=0).sum())
    touching = int(hits.any(axis=1).sum())
    return {
        "events": number,
        "found": hit,
        "alarms": len(alarms),
        "false": len(alarms) - touching,
        "weeks": round((last - first) / (7 * 86_400), 3),
        "recall": round(hit / number, 4) if number else None,
        "precision": round(touching / len(alarms), 4) if len(alarms) else None,
        "chance": round(float(drawn.mean()), 3),
        "types": {str(kind): int(count) for kind, count in found["anomaly_type"].value_counts().sort_index().items()},
    }


def quiet_history(series: int, weeks: int, seed: int) -> pd.DataFrame:
    """Hourly counts of series in which nothing ever happens: a weekly profile and negative-binomial chance."""
    random = np.random.default_rng(seed)
    hour, weekday = np.arange(weeks * 168) % 24, np.arange(weeks * 168) // 24 % 7
    peak = random.uniform(11, 17, (series, 1))
    day = np.exp(-(((hour - peak) / random.uniform(2.5, 5, (series, 1))) ** 2) / 2)
    day = np.where((hour < 9) | (hour >= 21), np.where(random.random((series, 1)) < 0.5, 0.0, day * 0.3), day)
    week = random.lognormal(0, 0.25, (series, 7))[:, weekday]
    mean = random.lognormal(3.5, 1.5, (series, 1)) * day * week + 1e-9
    k = random.lognormal(np.log(20), 0.7, (series, 1))
    counts = random.negative_binomial(np.broadcast_to(k, mean.shape), k / (k + mean))
    start = pd.date_range("2025-01-06", periods=weeks * 168, freq="h", tz="UTC")
    return pd.DataFrame(
        {
            "series": np.repeat([f"quiet {number}" for number in range(series)], weeks * 168),
            "slot_start": np.tile(start, series),
            "value": counts.reshape(-1).astype(float),
        }
    )


def quiet(series: int, weeks: int, alarms_per_week: float, warmup_weeks: int, seed: int) -> dict[str, Any]:
    """False alarms a week over series in which nothing happens, in the weeks after the warm-up."""
    history = quiet_history(series, weeks + warmup_weeks, seed)
    found = anomalies.detect(
        history,
        step=timedelta(hours=1),
        now=(history["slot_start"].max() + timedelta(hours=1)).to_pydatetime(),
        zones="UTC",
        alarms_per_week=alarms_per_week,
        warmup_weeks=warmup_weeks,
    )
    rate = found["series"].value_counts().reindex(history["series"].unique(), fill_value=0).to_numpy() / weeks
    return {
        "series": series,
        "weeks": weeks,
        "alarms_per_week": alarms_per_week,
        "mean": round(float(rate.mean()), 3),
        "percentile_95": round(float(np.percentile(rate, 95)), 3),
        "types": {str(kind): int(count) for kind, count in found["anomaly_type"].value_counts().sort_index().items()},
    }


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.anomalies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("counts", nargs="?", type=Path)
    parser.add_argument("events", nargs="?", type=Path)
    parser.add_argument("--alarms-per-week", type=float, default=anomalies.ALARMS_A_WEEK)
    parser.add_argument("--warmup-weeks", type=int, default=anomalies.WARMUP_WEEKS)
    parser.add_argument("--quiet", action="store_true", help="simulated series without events")
    parser.add_argument("--series", type=int, default=250, help="number of quiet series")
    parser.add_argument("--weeks", type=int, default=26, help="weeks of quiet series after the warm-up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.quiet:
        result = quiet(options.series, options.weeks, options.alarms_per_week, options.warmup_weeks, options.seed)
    elif options.counts is None or options.events is None:
        parser.error("give COUNTS and EVENTS, or --quiet")
    else:
        result = score(
            read_counts(options.counts),
            read_events(options.events, options.counts),
            options.alarms_per_week,
            options.warmup_weeks,
        )
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<16}{value}")


if __name__ == "__main__":
    main()
