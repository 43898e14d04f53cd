"""What the Dagster UI shows of queues at the tills: numbers on every event, a picture and a table on the run's last partition.

Nothing is computed here that a table would not hold.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.charts import Mark, line_chart
from retail_sensors.assets.metadata import markdown_table, numbers, text

SHOWN = timedelta(hours=48)
"""How long the picture reaches back from the end of the run."""

DRAWN = ["store_id", "hour_start", "arrivals", "recommended_open_lanes", "predicted_queue_length", "is_overloaded"]
"""Columns of `queue_analytics` that it needs."""

_HOUR = timedelta(hours=1)


LONG_RUN = 3
"""Partitions from which on a run draws: the run of every five minutes would store 15 MB of pictures a day."""


def queue_summary(
    context: dg.AssetExecutionContext, figures: pd.DataFrame, before: pd.DataFrame, roster: Roster
) -> dict[str, Any]:
    """Numbers of the run's hours; the last partition of LONG_RUN or more also gets the last 48 hours of the store with most customers.

    `before`: stored hours of these 48 that lie before the run's.
    """
    recent = pd.concat([before, figures[DRAWN]], ignore_index=True)
    if len(context.partition_keys) >= LONG_RUN and recent["arrivals"].notna().any():
        busiest = recent.groupby("store_id")["arrivals"].sum().idxmax()
        names = dict(zip(roster.stores["id"], roster.stores["store_name"], strict=True))
        shown = recent[recent["store_id"] == busiest].sort_values("hour_start")
        shown = shown[shown["hour_start"] > shown["hour_start"].iloc[-1] - SHOWN]
        picture = line_chart(
            [hour.to_pydatetime() for hour in shown["hour_start"]],
            {
                # by the minute, so that all three lines can be read on one axis
                "customers a minute": numbers(shown["arrivals"] / 60),
                "lanes needed": numbers(shown["recommended_open_lanes"]),
                "people waiting": numbers(shown["predicted_queue_length"]),
            },
            title=f"Tills of {names[str(busiest)]} (UTC)",
            marks=_overloads(shown),
        )
        context.add_asset_metadata({"tills of the busiest store": picture}, partition_key=context.partition_keys[-1])
    return {
        "hours": len(figures),
        "hours without input": int(figures["arrivals"].isna().sum()),
        "overloaded hours": int(figures["is_overloaded"].sum()),
        "hours by hybrid model": int((figures["analysis_type"] == "hybrid").sum()),
        "customers": float(figures["arrivals"].sum()),
    }


def queue_day_summary(context: dg.AssetExecutionContext, figures: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's days; the last partition also gets a table of the latest."""
    if len(figures):
        names = roster.stores.set_index("id")["store_name"]
        shown = figures.assign(store=figures["store_id"].map(names)).sort_values(
            ["date", "store"], ascending=[False, True]
        )
        table = pd.DataFrame(
            {
                "day": [f"{day:%a %Y-%m-%d}" for day in shown["date"]],
                "store": shown["store"].array,
                "served": [text(value, ",.0f") for value in shown["total_customers_served"]],
                "mean wait min": [text(value, ".1f") for value in shown["avg_wait_time"]],
                "9 of 10 wait at most": [text(value, ".1f") for value in shown["wait_time_90th_percentile"]],
                "within target %": [text(value, ".0f") for value in shown["queue_efficiency_score"]],
                "overloaded hours": shown["overloaded_hours"].array,
                "complete": [text(value, ".0%") for value in shown["data_completeness"]],
            }
        )
        context.add_asset_metadata(
            {"latest days at the tills": markdown_table(table, limit=15)}, partition_key=context.partition_keys[-1]
        )
    return {
        "days": len(figures),
        "overloaded hours": int(figures["overloaded_hours"].sum()),
        "days without a wait": int(figures["avg_wait_time"].isna().sum()),
    }


def _overloads(hours: pd.DataFrame) -> list[Mark]:
    """Each span of overloaded hours that follow each other; the hours are of one store, in order."""
    over = hours.loc[hours["is_overloaded"].astype(bool), "hour_start"]
    spans = over.groupby((over.diff() != _HOUR).cumsum()).agg(["min", "max"])
    return [Mark(first, last + _HOUR, "overloaded") for first, last in spans.itertuples(index=False, name=None)]
