"""What forecasts show their reader in the Dagster UI: numbers on every event, a picture or table on the run's last partition.

Nothing is computed here that a table would not hold; how a picture is drawn belongs in `charts`.
"""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.analytics.forecast_backtest import HORIZONS, Backtest
from retail_sensors.analytics.prediction_rows import LEAST_TESTED, SIMPLE_RULE, TEST_WEEKS, Subjects, backtest_figures
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.charts import Band, line_chart
from retail_sensors.assets.metadata import markdown_table, numbers, text
from retail_sensors.tables import Table
from retail_sensors.tables.predictions import STORE_PREDICTIONS

_WEEK = pd.Timedelta(days=7)


def model_summary(row: pd.DataFrame, tested: Backtest | None) -> dict[str, Any]:
    """Numbers of a trained model, and its back-test beside the simple rules where it has one."""
    one = row.iloc[0]
    summary: dict[str, Any] = {
        "model version": one["model_version"],
        "series": int(one["series_count"]),
        "series answered by the learner": int(one["learnt_series_count"]),
        "series by reason for the simple rule": dg.MetadataValue.json(json.loads(one["series_reasons"])),
        "size": _size(len(one["model"])),
    }
    if tested is not None:
        figures = backtest_figures(tested)
        summary["back-test, day ahead over 4 weeks"] = markdown_table(_backtest_table(figures))
        summary["back-test of the model by hours ahead"] = markdown_table(_horizon_table(figures))
    elif "backtest" in json.loads(one["quality"]):
        summary["back-test"] = _untested(one)
    return summary


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 999_500 else f"{count / 1e3:.0f} kB"


def _untested(one: pd.Series[Any]) -> str:
    """Why a model has no back-test."""
    weeks = (one["trained_to"] - one["trained_from"]) / _WEEK
    return (
        f"None: {weeks:.1f} weeks of history up to {one['trained_to']:%Y-%m-%d}; a test over {TEST_WEEKS} weeks needs "
        f"{LEAST_TESTED / _WEEK:.1f}."
    )


def _backtest_table(figures: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "over": over,
                "way": way,
                "MAE": text(told["mae"], ",.2f"),
                "WAPE": text(told["wape"], ".1%"),
                "MASE": text(told["mase"], ".2f"),
                "bias": text(told["bias"], "+.2f"),
                "within 80 %": text(told.get("coverage_80"), ".1%"),
                "within 95 %": text(told.get("coverage_95"), ".1%"),
            }
            for over, ways in figures.items()
            for way, told in ways.items()
        ]
    )


def _horizon_table(figures: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "hours ahead": horizon,
                "WAPE pooled": text(figures["pooled"]["model"][f"wape_{horizon}"], ".1%"),
                "WAPE median": text(figures["median"]["model"][f"wape_{horizon}"], ".1%"),
                "within 80 % pooled": text(figures["pooled"]["model"][f"held_{horizon}"], ".1%"),
            }
            for horizon in HORIZONS
        ]
    )


def forecast_summary(
    context: dg.AssetExecutionContext,
    table: Table,
    rows: pd.DataFrame,
    history: pd.DataFrame,
    subjects: Subjects,
    roster: Roster,
) -> dict[str, Any]:
    """Numbers of the run's forecasts; stores also get the biggest one's week before and week ahead, on the last partition."""
    key = table.key[0]
    newest = rows[rows["prediction_time"] == rows["prediction_time"].max()]
    if table is STORE_PREDICTIONS and len(newest):
        biggest = str(newest.groupby(key)["predicted_value"].sum().idxmax())
        name = str(roster.stores.set_index("id")["store_name"][biggest])
        camera = subjects.same_as.get(biggest)
        counted = history[history["series"] == (f"store:{biggest}" if camera is None else f"sensor:{camera}")]
        context.add_asset_metadata(
            {f"forecast for {name}": _picture(name, newest[newest[key] == biggest], counted)},
            asset_key=table.name,
            partition_key=context.partition_keys[-1],
        )
    asked = len(subjects.sensors) if key == "sensor_id" else len(subjects.stores) + len(subjects.same_as)
    return {
        "forecasts": len(rows),
        "without a forecast": asked - int(newest[key].nunique()),
        "by the learner": int((rows["method"] == "boosted_median").sum()),
        "by the simple rule": int((rows["method"] == "median_4").sum()),
        "model versions": ", ".join(sorted(set(rows["model_version"]))) or SIMPLE_RULE,
    }


def _picture(name: str, ahead: pd.DataFrame, counted: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """What a store counted in the 7 days before the origin, and what is expected in the 7 after it."""
    ahead = ahead.set_index("target_time")
    first = ahead.index.min()
    hours = pd.date_range(first - _WEEK, ahead.index.max(), freq="h")
    shown = counted[(counted["hour_start"] >= hours[0]) & (counted["hour_start"] < first)]
    values = ahead.drop(columns=[column for column in ahead if ahead[column].dtype != "Float64"]).reindex(hours)
    ends = {name: numbers(values[name]) for name in ("lower_95", "upper_95")}
    ends |= {name: numbers(values[f"confidence_interval_{name}"]) for name in ("lower", "upper")}
    return line_chart(
        list(hours.to_pydatetime()),
        {
            "expected": numbers(values["predicted_value"]),
            "counted": numbers(shown.set_index("hour_start")["value"].reindex(hours)),
        },
        title=f"{name}: entries an hour (UTC)",
        unit="people",
        bands=[Band("95 %", ends["lower_95"], ends["upper_95"]), Band("80 %", ends["lower"], ends["upper"])],
    )


def accuracy_summary(context: dg.AssetExecutionContext, rows: pd.DataFrame, filled: int) -> dict[str, Any]:
    """Numbers of the run's days; the last partition also gets a table of the newest day over all cameras and stores."""
    over_all = rows[rows["subject"] == "all"]
    newest = over_all[over_all["date"] == over_all["date"].max()] if len(over_all) else over_all
    if len(newest):
        table = pd.DataFrame(
            {
                "over": newest["scope"].array,
                "hours ahead": newest["horizons"].array,
                "n": newest["n"].array,
                "MAE": [text(value, ",.2f") for value in newest["mae"]],
                "WAPE": [text(value, ".1%") for value in newest["wape"]],
                "skill": [text(value, "+.2f") for value in newest["skill"]],
                "within 80 %": [text(value, ".1%") for value in newest["coverage_80"]],
                "within 95 %": [text(value, ".1%") for value in newest["coverage_95"]],
            }
        )
        title = f"accuracy of {newest['date'].iloc[0]}"
        context.add_asset_metadata({title: markdown_table(table, limit=40)}, partition_key=context.partition_keys[-1])
    return {"days": int(rows["date"].nunique()), "actual values written": filled}


def staffing_summary(context: dg.AssetExecutionContext, rows: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's plans; the last partition also gets the newest plan as a table.

    The running hour and the next one stand in the shift too: they are counted once.
    """
    newest = rows[rows["plan_time"] == rows["plan_time"].max()]
    said = [json.loads(text) for text in newest["actions"]]
    if len(newest):
        stores = roster.stores.set_index("id")
        zones = newest["store_id"].map(stores["timezone"])
        table = pd.DataFrame(
            {
                "store": newest["store_id"].map(stores["store_name"]).array,
                "for": newest["horizon"].array,
                "hour": [
                    f"{at.tz_convert(zone):%a %H:%M}" for at, zone in zip(newest["target_start"], zones, strict=True)
                ],
                "visitors": [text(value, ".0f") for value in newest["expected_visitors"]],
                "80 %": [
                    "" if pd.isna(low) else f"{low:.0f} to {high:.0f}"
                    for low, high in zip(newest["visitors_lower"], newest["visitors_upper"], strict=True)
                ],
                "needed": newest["staff_needed"].array,
                "planned": [text(value, "g") for value in newest["staff_planned"]],
                "action": [" ".join(sentences) for sentences in said],
            }
        )
        context.add_asset_metadata(
            {"staffing plan": markdown_table(table, limit=60)}, partition_key=context.partition_keys[-1]
        )
    of_shift = (newest["horizon"] == "shift").to_numpy(dtype=bool, na_value=False)
    short = sum(
        sentence.startswith("Bring in")
        for sentences, is_counted in zip(said, of_shift, strict=True)
        if is_counted
        for sentence in sentences
    )
    hours = rows.drop_duplicates(["store_id", "plan_time", "target_start"])
    return {
        "planned hours": len(hours),
        "hours without a forecast": int(hours["expected_visitors"].isna().sum()),
        "calls for more staff": short,
    }
