"""How good day-ahead forecasts are over the 4 weeks before the end of a file, against three simple rules on the same hours.

FILE is wide (`local_time` and a column of counts per series) or long (`local_time`, `site`, `in_count`, `out_count`: in_count is
forecast), `.gz` too, by the wall clock. `retail_sensors.analytics.forecast_backtest` says how: the learner is trained once, a
week before the 4 weeks; intervals and the choice of the simple rule are made anew each day; no origin sees its future.

`ratio` is the model's pooled MAE over that of the best simple rule, chosen in hindsight; `ratio_median_of_series` and
`ratio_worst_series` compare each series with its own best rule, chosen in hindsight too. Series without a counted hour in
the 4 weeks have n 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retail_sensors.analytics.forecast_backtest import HORIZONS, POOLED, RULES, Backtest, backtest
from retail_sensors.errors import ContractError

WEEKS = 4
SEED = 0


def read(path: Path, series: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per series and hour: `series`, `hour_start`, `value`; the wall clock is taken as UTC, which keeps its hours.

    ValueError names an unknown series.
    """
    table = pd.read_csv(path)
    table["hour_start"] = pd.to_datetime(table.pop("local_time")).dt.tz_localize("UTC")
    if {"site", "in_count"} <= set(table.columns):
        table = table.rename(columns={"site": "series", "in_count": "value"})[["series", "hour_start", "value"]]
    else:
        table = table.melt(id_vars="hour_start", var_name="series", value_name="value")
    if series:
        unknown = sorted(set(series) - set(table["series"]))
        if unknown:
            raise ValueError(f"{path} has no series {', '.join(unknown)}.")
        table = table[table["series"].isin(series)]
    return table


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and np.isnan(value) else value

    figures = {name: plain(row[name]) for name in ("n", "mae", "wape", "mase", "bias")}
    if row["way"] == "model":
        figures |= {name: plain(row[name]) for name in ("coverage_80", "coverage_95", "width_80")}
        figures["coverage_n"] = int(row["coverage_n"])
        figures["wape_by_horizon"] = {str(horizon): plain(row[f"wape_{horizon}"]) for horizon in HORIZONS}
    return figures


def result(tested: Backtest) -> dict[str, Any]:
    """What `--json` prints: figures of all series together and of each, ratios and worst coverages."""
    by_series: dict[str, dict[str, Any]] = {}
    for row in tested.metrics.to_dict("records"):
        by_series.setdefault(str(row["series"]), {})[str(row["way"])] = _figures(row)
    total = by_series.pop(POOLED)
    ratios = {name: _ratio(ways) for name, ways in by_series.items()}
    known = [ratio for ratio in ratios.values() if ratio is not None]
    for name, reason in zip(tested.reasons["series"], tested.reasons["reason"], strict=True):
        by_series[name]["ratio"] = ratios[name]
        by_series[name]["simple_rule_because"] = reason or None
    return {
        "total": total,
        "series": by_series,
        "ratio": _ratio(total),
        "ratio_median_of_series": float(np.median(known)) if known else None,
        "ratio_worst_series": max(known, default=None),
        "coverage_80_farthest": _farthest(by_series, "coverage_80", 0.80),
        "coverage_95_farthest": _farthest(by_series, "coverage_95", 0.95),
    }


def _ratio(ways: dict[str, Any]) -> float | None:
    best = min((ways[rule]["mae"] for rule in RULES if ways[rule]["mae"] is not None), default=None)
    return ways["model"]["mae"] / best if best else None


def _farthest(by_series: dict[str, dict[str, Any]], figure: str, promised: float) -> float | None:
    found = [ways["model"][figure] for ways in by_series.values() if ways["model"][figure] is not None]
    return max(found, key=lambda value: abs(value - promised), default=None)


def _text(figures: dict[str, Any]) -> str:
    lines = [f"{'':<44}{'n':>7}{'MAE':>9}{'ratio':>7}{'80 %':>7}{'95 %':>7}  simple rule because"]
    for name, ways in (("all", figures["total"]), *figures["series"].items()):
        model = ways["model"]
        ratio = ways.get("ratio", figures["ratio"])
        cells = [model["mae"], ratio, model["coverage_80"], model["coverage_95"]]
        widths = (9.1, 7.3, 7.3, 7.3)
        shown = "".join(
            f"{'-':>{int(width)}}" if cell is None else f"{cell:>{width}f}"
            for cell, width in zip(cells, widths, strict=True)
        )
        lines.append(f"{name[:43]:<44}{model['n']:>7}{shown}  {ways.get('simple_rule_because') or ''}")
    lines.append(
        "ratio: MAE over the best simple rule's, chosen in hindsight; "
        f"median over series {figures['ratio_median_of_series']:.3f}, worst {figures['ratio_worst_series']:.3f}"
    )
    by_horizon = figures["total"]["model"]["wape_by_horizon"]
    lines.append("WAPE " + ", ".join(f"{hours} h ahead {value:.3f}" for hours, value in by_horizon.items()))
    return "\n".join(lines)


def main() -> None:
    """Prints the figures as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--series", action="append", help="only this series (repeatable)")
    parser.add_argument("--end", type=date.fromisoformat, help="last day that is predicted (default: the file's last)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    try:
        history = read(options.file, options.series)
        last_day = options.end or history["hour_start"].max().date()
        figures = result(backtest(history, None, last_day, WEEKS, SEED))
    except (OSError, ValueError, ContractError) as error:
        sys.exit(str(error))
    print(json.dumps(figures) if options.json else _text(figures))


if __name__ == "__main__":
    main()
