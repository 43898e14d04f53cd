"""How far estimates of missing hours are off, by masking hours that were counted: WAPE of each rung and of two simple rules.

FILE is wide (`local_time` and a column of counts per series) or long (`local_time`, `site`, `in_count`, `out_count`), `.gz`
too, by the wall clock. In the weeks before the end, blocks of 1, 2, 4 and 8 hours and of a day are taken out at random
places, at most one in 12 of its own lengths (two days for the shortest), and estimated by
`retail_sensors.analytics.imputation` from what is left. Sites are doors of their own, no holidays are known, later hours
are. Beside it stand the mean of the hour of the week over the known hours of the 52 weeks before the end, on both sides of
the block, and a straight line between the block's ends.

WAPE = sum of absolute errors / sum of true counts, over all masked hours that got an estimate; `answered` is their share.
The ratio that has a bar is WAPE / WAPE of that mean; `median ratio` is over series.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from retail_sensors.analytics.imputation import impute

Array = npt.NDArray[Any]

BLOCKS = {1: 0.85, 2: 0.85, 4: 0.85, 8: 0.95, 24: 0.95}
"""Hours of a block, and the most that its WAPE may be of the hour-of-week mean's."""

_YEAR = 52 * 7 * 24
_CONTEXT = 17 * 7 * 24


def read(path: Path, series: Sequence[str] | None = None) -> tuple[list[str], list[str], pd.DatetimeIndex, Array]:
    """Names of the series that have a count, value columns, hours without holes, counts (values, hours, series).

    An hour that the file has twice, as wall clocks do in autumn, is the mean of both. ValueError names an unknown series.
    """
    table = pd.read_csv(path)
    table["local_time"] = pd.to_datetime(table["local_time"])
    if {"site", "in_count", "out_count"} <= set(table.columns):
        values = ["in_count", "out_count"]
        parts = [table.pivot_table(index="local_time", columns="site", values=value, dropna=False) for value in values]
    else:
        values = ["count"]
        parts = [table.groupby("local_time").mean(numeric_only=True)]
    hours = pd.date_range(parts[0].index.min(), parts[0].index.max(), freq="h")
    names = [str(name) for name in parts[0].columns]
    counts = np.stack([part.reindex(hours).to_numpy(dtype=np.float64) for part in parts])
    kept = ~np.isnan(counts).all(axis=(0, 1))
    if series:
        unknown = sorted(set(series) - set(names))
        if unknown:
            raise ValueError(f"{path} has no series {', '.join(unknown)}; it has {', '.join(names)}.")
        kept &= np.isin(names, list(series))
    return [name for name, keep in zip(names, kept, strict=True) if keep], values, hours, counts[:, :, kept]


def _masked(known: Array, length: int, first: int, generator: np.random.Generator) -> Array:
    """Blocks (hours, series) of `length` known hours, one at a random place of each stretch from `first` on."""
    stretch = max(48, 12 * length)
    mask = np.zeros(known.shape, dtype=bool)
    for series in range(known.shape[1]):
        for start in range(first, known.shape[0] - stretch + 1, stretch):
            begin = start + int(generator.integers(0, stretch - length + 1))
            if known[begin : begin + length, series].all():
                mask[begin : begin + length, series] = True
    return mask


def _ladder(names: list[str], values: list[str], hours: pd.DatetimeIndex, counts: Array) -> tuple[Array, Array]:
    """Values used (values, hours, series) and method (hours, series), "" without one."""
    frame = pd.DataFrame({"series": np.repeat(names, len(hours)), "local_time": np.tile(hours.to_numpy(), len(names))})
    for value, table in zip(values, counts, strict=True):
        frame[value] = table.T.reshape(-1)
    filled = impute(frame, values)
    shape = (len(names), len(hours))
    used = np.stack([filled[value].to_numpy(dtype=np.float64, na_value=np.nan).reshape(shape).T for value in values])
    return used, filled["method"].to_numpy(dtype=object, na_value="").reshape(shape).T


def _hour_of_week_mean(hours: pd.DatetimeIndex, counts: Array) -> Array:
    slot = hours.day_of_week.to_numpy() * 24 + hours.hour.to_numpy()
    year = np.arange(len(hours)) >= len(hours) - _YEAR
    result = np.full(counts.shape, np.nan)
    for place in range(7 * 24):
        rows = counts[:, (slot == place) & year]
        known = (~np.isnan(rows)).sum(axis=1)
        mean = np.where(known > 0, np.nansum(rows, axis=1) / np.maximum(known, 1), np.nan)
        result[:, slot == place] = mean[:, None]
    return result


def _straight_line(counts: Array) -> Array:
    return np.stack([pd.DataFrame(table).interpolate(limit_area="inside").to_numpy() for table in counts])


def _wape(error: Array, truth: Array) -> float | None:
    total = float(truth.sum())
    return float(error.sum()) / total if total > 0 else None


def _ratio(model: float | None, rule: float | None) -> float | None:
    return model / rule if model is not None and rule else None


def measure(
    names: list[str], values: list[str], hours: pd.DatetimeIndex, counts: Array, weeks: int, rounds: int, seed: int
) -> dict[str, Any]:
    """Figures of each block length: pooled, by series and by method."""
    kept = slice(max(0, len(hours) - _YEAR - _CONTEXT), None)
    hours, counts = hours[kept], counts[:, kept]
    known = np.asarray(~np.isnan(counts).any(axis=0))
    blocks: dict[str, Any] = {}
    for length, bar in BLOCKS.items():
        parts: list[pd.DataFrame] = []
        masked = 0
        for turn in range(rounds):
            mask = _masked(
                known, length, max(0, len(hours) - weeks * 7 * 24), np.random.default_rng((seed, length, turn))
            )
            masked += int(mask.sum())
            left = np.where(mask, np.nan, counts)
            used, method = _ladder(names, values, hours, left)
            mean, line = _hour_of_week_mean(hours, left), _straight_line(left)
            fair = mask & ~np.isnan(np.stack([used, mean, line])).any(axis=(0, 1))
            truth = counts[:, fair]
            parts.append(
                pd.DataFrame(
                    {
                        "series": np.broadcast_to(np.array(names, dtype=object), mask.shape)[fair],
                        "method": method[fair],
                        "truth": truth.sum(axis=0),
                        **{
                            name: np.abs(guess[:, fair] - truth).sum(axis=0)
                            for name, guess in (("ladder", used), ("mean", mean), ("line", line))
                        },
                    }
                )
            )
        errors = pd.concat(parts)
        figures = _figures(errors)
        by_series = {str(name): _figures(part) for name, part in errors.groupby("series")}
        ratios = [part["ratio"] for part in by_series.values() if part["ratio"] is not None]
        blocks[str(length)] = {
            **figures,
            "answered": len(errors) / masked if masked else None,
            "median_ratio": float(np.median(ratios)) if ratios else None,
            "bar": bar,
            "keeps_bar": None if figures["ratio"] is None else figures["ratio"] <= bar,
            "methods": {str(name): _figures(part) for name, part in errors.groupby("method")},
            "series": by_series,
        }
    return {"end": str(hours[-1]), "weeks": weeks, "rounds": rounds, "seed": seed, "blocks": blocks}


def _figures(errors: pd.DataFrame) -> dict[str, Any]:
    truth = errors["truth"].to_numpy()
    ladder, mean, line = (_wape(errors[name].to_numpy(), truth) for name in ("ladder", "mean", "line"))
    return {
        "hours": len(errors),
        "wape": ladder,
        "hour_of_week_mean": mean,
        "straight_line": line,
        "ratio": _ratio(ladder, mean),
    }


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> None:
    """Prints each rung's figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.imputation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--series", action="append", metavar="NAME", help="only this one; again for more (default: all)"
    )
    parser.add_argument("--end", metavar="DATE", help="first day that is left out (default: after the last hour)")
    parser.add_argument("--weeks", type=int, default=26, help="weeks before the end in which hours are masked")
    parser.add_argument("--rounds", type=int, default=3, help="times that other blocks are masked")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    try:
        names, values, hours, counts = read(options.file, options.series)
    except ValueError as error:
        parser.error(str(error))
    if options.end:
        before = hours < pd.Timestamp(options.end)
        hours, counts = hours[before], counts[:, before]
    if not len(hours):
        parser.error(f"{options.file} has no hour before {options.end}.")
    result = measure(names, values, hours, counts, options.weeks, options.rounds, options.seed)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.file.name}: {len(names)} series, masked in the {options.weeks} weeks up to {result['end']}")
    print(f"{'block':<26}{'hours':>8}{'WAPE':>8}{'mean':>8}{'line':>8}{'ratio':>8}{'median':>8}{'answered':>10}  bar")
    for length, block in result["blocks"].items():
        figures = "".join(
            f"{_shown(block[name]):>8}"
            for name in ("wape", "hour_of_week_mean", "straight_line", "ratio", "median_ratio")
        )
        verdict = {None: "no hours", True: "kept", False: "MISSED"}[block["keeps_bar"]]
        print(
            f"{length + ' h':<26}{block['hours']:>8}{figures}{_shown(block['answered']):>10}  {block['bar']} {verdict}"
        )
        for method, part in block["methods"].items():
            figures = "".join(
                f"{_shown(part[name]):>8}" for name in ("wape", "hour_of_week_mean", "straight_line", "ratio")
            )
            print(f"  {method:<24}{part['hours']:>8}{figures}")


if __name__ == "__main__":
    main()
