"""How well forecasts of the last weeks would have done: errors and coverage of the model and of the simple rules, per series.

Rolling: every midnight of the weeks predicts the next 24 hours (*day-ahead*), and every hour of the weeks is also predicted
exactly 1, 24, 72 and 168 hours ahead. The learner is trained once, a week before these weeks begin, since what is asked 168
hours ahead starts there; its intervals and choices are made anew each midnight from the weeks before it, as a daily run
would. All rules answer the same hours.

    mae  = mean |predicted - actual|, people an hour; bias the same without the bars
    wape = sum |predicted - actual| / sum actual
    mase = mae / mean |actual - same hour last week| over the year before (Hyndman, Koehler 2006)
    coverage = share of hours inside the interval, over hours in which anybody could be expected (`forecast.idle`)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pandas as pd

from retail_sensors.analytics import forecast, forecast_grid, frames
from retail_sensors.analytics.forecast import COVERAGES, ForecastModel
from retail_sensors.analytics.forecast_grid import NOTHING_KNOWN, WEEK, Grid, Regressors
from retail_sensors.analytics.forecast_learner import Rows
from retail_sensors.analytics.frames import Array
from retail_sensors.errors import ContractError

RULES = ("same_hour_last_week", "mean_4", "median_4")
HORIZONS = (1, 24, 72, 168)
POOLED = ""
"""Name of the row over all series."""

_LEAST_WEEKS = 2
_YEAR_WEEKS = 52


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """`metrics`: one row per series (and POOLED) and way: `series`, `way` (model or one of RULES), `n` hours, `mae`, `wape`,
    `mase`, `bias`; of the model also `coverage_n`, `coverage_80`, `coverage_95` (shares of coverage_n), `width_80` (people),
    and at each of HORIZONS `wape_1`, ..., `held_1` (share within the 80 % interval), ... NULL where n is 0, or where nothing
    was counted. `reasons`: one row per series: `series`, `reason` of the last day.
    """

    metrics: pd.DataFrame
    reasons: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    series: Array
    actual: Array
    ways: dict[str, Array]
    lower: Array
    upper: Array
    busy: Array


def backtest(
    history: pd.DataFrame,
    places: pd.DataFrame | None,
    last_day: date,
    weeks: int,
    seed: int,
    regressors: Regressors = NOTHING_KNOWN,
    rows: int = forecast.ROWS,
) -> Backtest:
    """Errors and coverage over the whole weeks that end with `last_day` by each series' own clock.

    `history` and `places` as in `forecast.train`; a forecast sees only hours before its origin. ContractError when the history
    holds less than 2 weeks before the weeks to test; with less than 10 everything is answered by the simple rule.
    """
    end = datetime.combine(last_day + timedelta(days=1), time(), UTC)
    # clocks differ from UTC by up to 14 hours: read enough, then cut at the same wall-clock midnight of every series
    grid = forecast_grid.read(history, places, end + timedelta(hours=14), forecast.TRAIN_WEEKS + weeks + 1, regressors)
    stop = frames.instant(end, "end") // frames.HOUR - grid.first
    start = stop - weeks * WEEK
    if start < _LEAST_WEEKS * WEEK:
        raise ContractError(
            f"A back-test of {weeks} weeks up to {last_day.isoformat()} needs {weeks + _LEAST_WEEKS} weeks of history."
        )
    model = forecast.fit(grid, start - WEEK, end - timedelta(weeks=weeks + 1), seed, rows)
    # hours of the trial after an origin are not looked at when the model is settled at that origin
    tried = forecast.trial(model, model.learner, grid, 0, stop) if model.learner is not None else None
    day_ahead: list[_Scored] = []
    ahead: dict[int, list[_Scored]] = {horizon: [] for horizon in HORIZONS}
    reasons = np.empty(0, dtype=np.int64)
    for origin in range(start - WEEK, stop, 24):
        if tried is not None:
            model = forecast.settle(model, grid, tried, origin, end - timedelta(hours=stop - origin))
        reasons = forecast.reasons_now(model, grid, origin)
        if origin >= start:
            day_ahead.append(_score(model, grid, _rows(grid, np.arange(origin, origin + 24), 24), reasons))
        for horizon in HORIZONS:
            target = np.arange(origin, origin + 24) + horizon - 1
            target = target[(target >= start) & (target < stop)]
            ahead[horizon].append(_score(model, grid, _rows(grid, target, 0, horizon), reasons))
    metrics = pd.DataFrame(
        list(_metrics(grid, start, _joined(day_ahead), {horizon: _joined(parts) for horizon, parts in ahead.items()}))
    )
    names = np.array(forecast.REASONS, dtype=object)[reasons]
    return Backtest(metrics, pd.DataFrame({"series": list(grid.clocks.names), "reason": names}))


def proven(model: ForecastModel, tested: Backtest) -> ForecastModel:
    """The model with the coverage that its back-test found at an hour of each group of horizons.

    A series with less than a week of hours in which anybody could be expected takes the coverage over all series.
    """
    own = tested.metrics[tested.metrics["way"] == "model"].set_index("series")
    held = [f"held_{horizon}" for horizon in HORIZONS]
    found = own.reindex(list(model.series))
    few = ~(found["coverage_n"].to_numpy(dtype=float) >= WEEK)
    coverage = np.where(few[:, None], np.nan, found[held].to_numpy(dtype=float))
    return replace(model, coverage=coverage, pooled_coverage=own.loc[POOLED, held].to_numpy(dtype=float))


def _rows(grid: Grid, target: Array, block: int, horizon: int = 0) -> Rows:
    """Every counted target of every series, asked at the start of its block of so many hours, or `horizon` hours before its end."""
    series = np.repeat(np.arange(len(grid.values)), len(target))
    target = np.tile(target, len(grid.values))
    origin = target - horizon + 1 if not block else target - target % block
    counted = ~np.isnan(grid.values[series, target])
    return Rows(series[counted], origin[counted], target[counted])


def _score(model: ForecastModel, grid: Grid, rows: Rows, reasons: Array) -> _Scored:
    answers = forecast.answer(model, grid, rows, reasons)
    rules = (forecast_grid.same_hour_last_week, forecast_grid.mean_4, forecast_grid.median_4)
    ways = {"model": answers.point}
    for name, rule in zip(RULES, rules, strict=True):
        ways[name] = rule(grid, rows.series, rows.origin, rows.target)
    known = np.logical_and.reduce([~np.isnan(values) for values in ways.values()])
    busy = ~forecast.idle(grid, rows)
    return _Scored(
        series=rows.series[known],
        actual=grid.values[rows.series, rows.target][known],
        ways={name: values[known] for name, values in ways.items()},
        lower=answers.lower[:, known],
        upper=answers.upper[:, known],
        busy=busy[known],
    )


def _joined(parts: list[_Scored]) -> _Scored:
    return _Scored(
        series=np.concatenate([part.series for part in parts]),
        actual=np.concatenate([part.actual for part in parts]),
        ways={way: np.concatenate([part.ways[way] for part in parts]) for way in ("model", *RULES)},
        lower=np.concatenate([part.lower for part in parts], axis=1),
        upper=np.concatenate([part.upper for part in parts], axis=1),
        busy=np.concatenate([part.busy for part in parts]),
    )


def _share(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


def _metrics(grid: Grid, start: int, day_ahead: _Scored, ahead: dict[int, _Scored]) -> Iterator[dict[str, object]]:
    before = np.arange(max(WEEK, start - _YEAR_WEEKS * WEEK), start)
    naive = np.abs(grid.values[:, before] - grid.values[:, before - WEEK])
    has_naive = ~np.isnan(naive).all(axis=1)
    naive_error = np.full(len(naive), np.nan)
    naive_error[has_naive] = np.nanmean(naive[has_naive], axis=1)
    for number, name in ((None, POOLED), *enumerate(grid.clocks.names)):
        chosen = np.ones(len(day_ahead.series), dtype=bool) if number is None else day_ahead.series == number
        actual = day_ahead.actual[chosen]
        scale = naive_error[day_ahead.series[chosen]]
        for way, values in day_ahead.ways.items():
            error = values[chosen] - actual
            figures: dict[str, object] = {
                "series": name,
                "way": way,
                "n": len(error),
                "mae": _share(float(np.abs(error).sum()), len(error)),
                "wape": _share(float(np.abs(error).sum()), float(actual.sum())),
                "mase": _share(float(np.abs(error).sum()), float(scale.sum())),
                "bias": _share(float(error.sum()), len(error)),
            }
            if way == "model":
                figures |= _coverage(day_ahead, chosen)
                for horizon, scored in ahead.items():
                    there = np.ones(len(scored.series), dtype=bool) if number is None else scored.series == number
                    miss = np.abs(scored.ways["model"] - scored.actual)[there]
                    figures[f"wape_{horizon}"] = _share(float(miss.sum()), float(scored.actual[there].sum()))
                    figures[f"held_{horizon}"] = _coverage(scored, there)["coverage_80"]
            yield figures


def _coverage(scored: _Scored, chosen: Array) -> dict[str, object]:
    there = chosen & scored.busy
    inside = (scored.actual >= scored.lower) & (scored.actual <= scored.upper)
    figures: dict[str, object] = {"coverage_n": int(there.sum())}
    for place, coverage in enumerate(COVERAGES):
        figures[f"coverage_{coverage:.0%}".rstrip("%")] = _share(float(inside[place, there].sum()), int(there.sum()))
    figures["width_80"] = _share(float((scored.upper - scored.lower)[0, there].sum()), int(there.sum()))
    return figures
