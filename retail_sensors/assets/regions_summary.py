"""What the assets of stays and spatial heat maps show in the Dagster UI: outcomes by camera, survival curves, heat maps.

Numbers stand on every event, pictures on the run's last partition only; each is drawn of the newest day that the run brought.
Pictures over time and labelled grids belong in `charts`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pandas as pd

from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.roster import Roster
from retail_sensors.analytics.spatial import unpack
from retail_sensors.assets.charts import COLOURS, drawn
from retail_sensors.assets.metadata import markdown_table
from retail_sensors.connectors.base import Collection
from retail_sensors.tables.regions import STAY_SECONDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVES = len(COLOURS)
_MAPS = 4
_SIDE = 48
_LENGTHS = ("0", "5 s", "10 s", "30 s", "1 min", "100 s", "5 min", "10 min", "30 min")


def outcomes_by_day(collection: Collection, sensors: pd.DataFrame) -> pd.DataFrame:
    """camera, days asked, days in, told: one row and one sentence for each camera that was asked."""
    names = sensors.set_index("id")["sensor_name"]
    rows = []
    for sensor_id, days in collection.log.groupby("sensor_id", sort=False):
        inside = int(days["row_count"].sum())
        missing = days[days["row_count"] == 0]
        why = [
            f"{len(group)} {outcome}{f': {errors.iloc[0]}' if len(errors := group['error'].dropna()) else ''}"
            for outcome, group in missing.groupby("outcome")
        ]
        if days["rejected_count"].any():
            why.append("see retail.rejected_payloads")
        told = "; ".join([f"{inside} of {len(days)} days", *why])
        rows.append((names.get(sensor_id, str(sensor_id)), len(days), inside, told))
    return pd.DataFrame(rows, columns=["camera", "days asked", "days in", "told"]).sort_values(
        "camera", ignore_index=True
    )


def outcome_metadata(outcomes: pd.DataFrame, incomplete: pd.DataFrame) -> dict[str, Any]:
    """How many cameras answered, and a table of those that something is missing of; `incomplete` are rows of `outcomes`."""
    metadata: dict[str, Any] = {"cameras complete": f"{len(outcomes) - len(incomplete)} of {len(outcomes)}"}
    if outcomes.empty:
        metadata["note"] = "No camera was asked: the days have not ended, are stored, or no camera has this capability."
    if len(incomplete):
        metadata["incomplete cameras"] = markdown_table(incomplete, limit=10)
    return metadata


def stays_summary(context: dg.AssetExecutionContext, stays: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's regions and days; the last partition also gets the newest day's survival curves."""
    known = stays[stays["mean_stay_seconds"].notna()]
    if len(known):
        newest = known[known["date"] == known["date"].max()]
        context.add_asset_metadata(
            {"share that stays longer": survival_chart(newest, roster)}, partition_key=context.partition_keys[-1]
        )
    return {
        "regions and days": len(stays),
        "without a curve": len(stays) - len(known),
        "lower bounds": sum(json.loads(text).get("stay") == "lower_bound" for text in stays["quality"]),
    }


def survival_chart(stays: pd.DataFrame, roster: Roster) -> dg.MarkdownMetadataValue:
    """Share of detections that stay longer than each length, a line for each of the regions with most detections."""
    shown = stays.sort_values("detections", ascending=False, kind="stable").head(_CURVES)
    title = f"Share of detections staying longer, {shown['date'].iloc[0]}"
    figure = _figure(2.8)
    axes = figure.subplots()
    axes.set_title(title, fontsize=9, fontweight="bold", loc="left")
    for colour, row in zip(COLOURS, shown.to_dict("records"), strict=False):
        shares = [1.0, *(float(row[f"stay_over_{seconds}_s"]) for seconds in STAY_SECONDS)]
        at_least = "at least " if json.loads(row["quality"]).get("stay") == "lower_bound" else ""
        name = _region_name(roster, str(row["sensor_id"]), int(row["region_number"]))
        label = f"{name}: mean {at_least}{row['mean_stay_seconds']:.0f} s"
        axes.plot(range(len(_LENGTHS)), shares, color=colour, lw=1.3, marker="o", ms=2.5, label=label)
    axes.set_xticks(range(len(_LENGTHS)), list(_LENGTHS))
    axes.set_ylim(0, 1.02)
    axes.tick_params(labelsize=7)
    axes.grid(axis="y", color="#e2e8f0", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn(figure, title)


def spatial_summary(context: dg.AssetExecutionContext, maps: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's maps; the last partition also gets pictures of the newest day's."""
    present = maps[maps["total_seconds"] > 0]
    if len(present):
        newest = present[present["date"] == present["date"].max()]
        context.add_asset_metadata(
            {"where people stand": map_picture(newest, roster)}, partition_key=context.partition_keys[-1]
        )
    return {
        "maps": len(maps),
        "hours of presence": float(maps["total_seconds"].sum()) / 3600,
        "points refused": int(maps["rejected_points"].sum()),
    }


def map_picture(maps: pd.DataFrame, roster: Roster) -> dg.MarkdownMetadataValue:
    """The picture of each of the cameras with most presence: the darker, the more minutes of presence in a block of cells.

    Colours go by the square root: one hot spot would hide everything else.
    """
    from matplotlib.colors import PowerNorm

    shown = maps.sort_values("total_seconds", ascending=False, kind="stable").head(_MAPS)
    names = roster.sensors.set_index("id")["sensor_name"]
    scales = roster.sensors.set_index("id")["heat_scale"]
    title = f"Where people stand, {shown['date'].iloc[0]} (minutes of presence)"
    figure = _figure(2.9)
    figure.suptitle(title, fontsize=9, fontweight="bold", x=0.01, ha="left")
    for axes, row in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.to_dict("records"), strict=True):
        cells = unpack(row["cells"], int(row["map_w"]), int(row["map_h"]))
        blocks, step = coarse(cells, _SIDE)
        minutes = blocks / (60 * float(scales[row["sensor_id"]]))
        # The axes count the camera's own cells.
        extent = (0, blocks.shape[1] * step, blocks.shape[0] * step, 0)
        picture = axes.imshow(
            minutes, cmap="YlOrRd", norm=PowerNorm(0.5, vmin=0), interpolation="nearest", extent=extent
        )
        axes.set_title(names[row["sensor_id"]], fontsize=8)
        axes.tick_params(labelsize=6)
        figure.colorbar(picture, ax=axes, pad=0.01, shrink=0.7).ax.tick_params(labelsize=6)
    return drawn(figure, title)


def coarse(cells: Array, side: int) -> tuple[Array, int]:
    """The map in square blocks, at most `side` in each direction, and the cells along a block; a block is the sum of its cells."""
    height, width = cells.shape
    step = max(1, -(-max(height, width) // side))
    padded = np.pad(cells, ((0, -height % step), (0, -width % step)))
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    return np.asarray(blocks.sum(axis=(1, 3))), step


def _region_name(roster: Roster, sensor_id: str, region: int) -> str:
    camera = roster.sensors.set_index("id")["sensor_name"].get(sensor_id, sensor_id)
    named = roster.regions[(roster.regions["sensor_id"] == sensor_id) & (roster.regions["region_number"] == region)]
    return f"{camera}, {named['region_name'].iloc[0] if len(named) else f'region {region}'}"


def _figure(height: float) -> Figure:
    # Imported here: the code location loads in a third of a second less, and most runs draw nothing.
    from matplotlib.figure import Figure

    return Figure(figsize=(7.6, height), layout="constrained")
