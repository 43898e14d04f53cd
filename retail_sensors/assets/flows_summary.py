"""Summaries of regions and flows for the Dagster UI: numbers on every event, tables and heat maps on the run's last partition.

What is modelled is called so in every title and heading. Pictures are drawn by `charts`.
"""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.analytics.dwell import MEASURED, METRICS
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.charts import heat_map
from retail_sensors.assets.metadata import markdown_table, text

_MOST_CAMERAS = 12  # of one picture: more names are not legible


def regions_summary(context: dg.AssetExecutionContext, figures: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's days of regions; the last partition also gets a table of those of the newest day."""
    days = figures[figures["bucket_size"] == "1day"]
    told = pd.DataFrame([json.loads(text) for text in days["metrics"]], index=days.index, columns=["source", *METRICS])
    metrics = told[list(METRICS)].astype("Float64")
    if len(days):
        newest = days[days["date"] == days["date"].max()]
        shown = metrics.loc[newest.index]
        table = pd.DataFrame(
            {
                "camera": _cameras(newest["sensor_id"], roster),
                "region": _regions(newest["sensor_id"], newest["region_number"], roster),
                "source": told.loc[newest.index, "source"].array,
                "detections": [text(value, ",.0f") for value in shown["entries"]],
                "mean stay s": [text(value, ",.1f") for value in shown["mean_stay_s"]],
                "short-stay share": [text(value, ".0%") for value in shown["short_stay_share"]],
                "present (modelled)": [text(value, ",.2f") for value in shown["avg_occupancy"]],
                "time occupied at most (modelled)": [text(value, ".0%") for value in shown["share_occupied_upper"]],
                "utilisation (modelled)": [text(value, ".0%") for value in shown["utilisation"]],
                "complete": [f"{value:.0%}" for value in newest["data_completeness"]],
            }
        )
        title = f"regions of {newest['date'].iloc[0]}"
        context.add_asset_metadata({title: markdown_table(table, limit=40)}, partition_key=context.partition_keys[-1])
    return {
        "region-days": len(days),
        "virtual region-days": int((told["source"] != MEASURED).sum()),
        "detections": float(metrics.loc[told["source"] == MEASURED, "entries"].sum()),
        "region-days with a stay": int(metrics["mean_stay_s"].notna().sum()),
    }


def pathways_summary(context: dg.AssetExecutionContext, flows: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's ways; the last partition also gets a heat map of the camera with most flow on the newest day."""
    newest = flows[flows["date"] == flows["date"].max()] if len(flows) else flows
    known = newest.dropna(subset=["transition_count"])
    if len(known):
        busiest = known.groupby("sensor_id")["transition_count"].sum().idxmax()
        shown = newest[newest["sensor_id"] == busiest]
        numbers = sorted({*shown["from_region"], *shown["to_region"]})
        names = _regions(pd.Series([busiest] * len(numbers)), pd.Series(numbers), roster)
        camera = _cameras(pd.Series([busiest]), roster)[0]
        title = f"modelled flows at {camera}, {shown['date'].iloc[0]}, from (down) to (across)"
        picture = _flow_map(shown, ("from_region", "to_region"), numbers, names, title)
        context.add_asset_metadata({"modelled flows": picture}, partition_key=context.partition_keys[-1])
    return _numbers(flows)


def matrix_summary(context: dg.AssetExecutionContext, flows: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's pairs of cameras; the last partition also gets a heat map of the store with most flow on the newest day."""
    newest = flows[flows["date"] == flows["date"].max()] if len(flows) else flows
    known = newest.dropna(subset=["transition_count"])
    if len(known):
        busiest = known.groupby("store_id")["transition_count"].sum().idxmax()
        shown = newest[newest["store_id"] == busiest]
        cameras = busiest_cameras(shown)
        names = _cameras(pd.Series(cameras), roster)
        title = f"modelled flows between cameras, {shown['date'].iloc[0]}, from (down) to (across)"
        picture = _flow_map(shown, ("from_camera", "to_camera"), cameras, names, title)
        context.add_asset_metadata({"modelled flows": picture}, partition_key=context.partition_keys[-1])
    return _numbers(flows)


def busiest_cameras(flows: pd.DataFrame) -> list[str]:
    """The cameras at both ends of the largest flows, as many as one picture names; all flows between them belong in it."""
    ordered = flows.sort_values("transition_count", ascending=False, kind="stable")
    pairs = ordered[["from_camera", "to_camera"]].itertuples(index=False, name=None)
    return list(dict.fromkeys(str(camera) for pair in pairs for camera in pair))[:_MOST_CAMERAS]


def _numbers(flows: pd.DataFrame) -> dict[str, Any]:
    known = flows["transition_count"].notna()
    numbers: dict[str, Any] = {
        "ways": len(flows),
        "ways without a flow": int((~known).sum()),
        "modelled transitions": int(flows["transition_count"].sum()),
    }
    if known.any():
        numbers["median residual"] = float(flows["residual"].median())
    return numbers


def _flow_map(
    flows: pd.DataFrame, ends: tuple[str, str], places: list[Any], names: list[str], title: str
) -> dg.MarkdownMetadataValue:
    cells = {
        (start, end): None if pd.isna(count) else float(count)
        for start, end, count in zip(flows[ends[0]], flows[ends[1]], flows["transition_count"], strict=True)
    }
    values = [[cells.get((start, end)) for end in places] for start in places]
    return heat_map(names, names, values, title=title, unit="detections a day")


def _cameras(ids: pd.Series[Any], roster: Roster) -> list[str]:
    names = dict(zip(roster.sensors["id"], roster.sensors["sensor_name"], strict=True))
    return [str(names[camera]) for camera in ids]


def _regions(ids: pd.Series[Any], numbers: pd.Series[Any], roster: Roster) -> list[str]:
    rows = roster.regions[["sensor_id", "region_number", "region_name"]].itertuples(index=False, name=None)
    names = {(camera, int(number)): name for camera, number, name in rows}
    return [
        str(names.get((camera, int(number)), f"Region {number}")) for camera, number in zip(ids, numbers, strict=True)
    ]
