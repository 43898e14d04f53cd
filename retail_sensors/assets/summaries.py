"""Summaries of figures for the Dagster UI: numbers on every event, pictures on the run's last partition only.

Dagster copies metadata onto every partition's event; a chart on each of 24 hours would be stored 24 times.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.analytics.overlays import LAYERS
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.charts import bar_chart, heat_maps, line_chart
from retail_sensors.assets.metadata import markdown_table, numbers, text

_CHART_DAYS, _CHART_SCOPES = 28, 6
_TABLE_STORES = 6
_CHART_HOURS = 3
"""A run of the running hour has two: there is nothing to see in them, and it comes up to 288 times a day."""


def hourly_summary(context: dg.AssetExecutionContext, figures: pd.DataFrame) -> dict[str, Any]:
    """Numbers of the run's hours; the last partition also gets a chart of entries and exits by hour."""
    known = figures[figures["total_entries"].notna()]
    by_hour = figures.groupby("hour_start")[["total_entries", "total_exits"]].sum(min_count=1).tail(24)
    if len(by_hour) >= _CHART_HOURS:
        context.add_asset_metadata(
            {
                "entries and exits by hour": bar_chart(
                    [hour.strftime("%d %H:%M") for hour in by_hour.index],
                    {
                        "entries": numbers(by_hour["total_entries"]),
                        "exits": numbers(by_hour["total_exits"]),
                    },
                    title="Entries and exits by hour (UTC)",
                )
            },
            partition_key=context.partition_keys[-1],
        )
    return {
        "hours with counts": len(known),
        "of them estimated": int((known["imputed_share"] > 0).sum()),
        "hours missing": len(figures) - len(known),
        "entries": float(known["total_entries"].sum()),
        "provisional hours": int(figures["is_provisional"].sum()),
    }


def daily_summary(
    context: dg.AssetExecutionContext, figures: pd.DataFrame, history: pd.DataFrame, roster: Roster
) -> dict[str, Any]:
    """Numbers of the run's days; the last partition also gets a chart of four weeks up to them and a table of their figures.

    `history`: stored rows of the days before.
    """
    if "store_id" in figures.columns:
        names = roster.stores.set_index("id")["store_name"]
        scope = figures["store_id"].map(names)
    else:
        names = roster.sensors.set_index("id")["sensor_name"]
        scope = figures["sensor_id"].map(names)
    if len(figures):
        named = figures.assign(scope=scope.astype("string"))
        key = figures.columns[0]
        columns = [key, "date", "total_visitors"]
        shown_days = pd.concat([history[columns], figures[columns]], ignore_index=True)
        shown_days = shown_days.drop_duplicates([key, "date"], keep="last")
        shown_days = shown_days.assign(scope=shown_days[key].map(names))
        by_day = shown_days.pivot_table(
            index="date", columns="scope", values="total_visitors", aggfunc="sum", min_count=1
        ).tail(_CHART_DAYS)
        shown = named.sort_values(["date", "scope"], ascending=[False, True])
        context.add_asset_metadata(
            {
                "visitors by day": bar_chart(
                    [f"{day:%a %d}" for day in by_day.index],
                    {str(name): numbers(by_day[name]) for name in by_day.sum().nlargest(_CHART_SCOPES).index},
                    title="Visitors by day",
                    unit="people",
                ),
                "latest days": markdown_table(_days_table(shown), limit=15),
            },
            partition_key=context.partition_keys[-1],
        )
    return {
        "days": len(figures),
        "visitors": float(figures["total_visitors"].sum()),
        "incomplete days": int((figures["data_completeness"] < 1).sum()),
        "counts": json.dumps(
            figures["quality"].map(lambda text: json.loads(text).get("counts")).value_counts().to_dict()
        ),
    }


def week_of_hours(
    context: dg.AssetExecutionContext, hours: pd.DataFrame, overlays: pd.DataFrame, roster: Roster
) -> None:
    """A week's traffic of the busiest stores, and maps of it by day and hour of the busiest one, on the last partition.

    `hours`: rows of `store_hourly` of a week; `overlays`: their layers, of which those are drawn that hold anything.
    """
    stores = roster.stores.set_index("id")
    busiest = hours.groupby("store_id")["total_entries"].sum().nlargest(_CHART_SCOPES).index
    if not len(busiest):
        return
    # An hour that starts at half past stands at the hour: else every other value of each line would be missing.
    at_hour = hours.assign(hour=hours["hour_start"].dt.floor("h"))
    by_hour = at_hour.pivot_table(index="hour", columns="store_id", values="total_entries", dropna=False)
    traffic = {str(stores["store_name"][store]): numbers(by_hour[store]) for store in busiest if store in by_hour}
    pictures = {
        "a week of entries": line_chart(list(by_hour.index), traffic, title="Entries by hour (UTC)", unit="people")
    }
    name, zone = stores.loc[busiest[0], ["store_name", "timezone"]]
    mine = overlays[overlays["store_id"] == busiest[0]]
    local = mine["hour_start"].dt.tz_convert(zone)
    # Of the hour that autumn repeats, the map shows the mean.
    cells = mine.assign(day=local.dt.date, hour=local.dt.hour)
    days, hours_of_day = sorted(cells["day"].unique()), range(24)
    layers = {
        label: [numbers(row) for _, row in grid.iterrows()]
        for column, label in LAYERS.items()
        if len(grid := _by_day_and_hour(cells, column, days, hours_of_day))
    }
    if layers:
        pictures["the week by hour"] = heat_maps(
            [f"{day:%a %d}" for day in days],
            [f"{hour:02}" for hour in hours_of_day],
            layers,
            title=f"{name}: a week by hour ({zone})",
        )
    context.add_asset_metadata(pictures, partition_key=context.partition_keys[-1])


def _by_day_and_hour(cells: pd.DataFrame, column: str, days: list[Any], hours: range) -> pd.DataFrame:
    """The column by day and hour; empty where nothing is known of it."""
    if cells[column].notna().any():
        return cells.pivot_table(index="day", columns="hour", values=column).reindex(index=days, columns=hours)
    return pd.DataFrame()


def kpi_summary(context: dg.AssetExecutionContext, figures: pd.DataFrame, roster: Roster) -> dict[str, Any]:
    """Numbers of the run's key figures; the last partition also gets those of the newest day, a column for each of the stores with
    most visitors.
    """
    newest = figures[figures["date"] == figures["date"].max()] if len(figures) else figures
    if len(newest):
        names = roster.stores.set_index("id")["store_name"]
        stores, count = _largest(newest), newest["scope_id"].nunique()
        of = f", {len(stores)} of {count} stores" if len(stores) < count else ""
        context.add_asset_metadata(
            {
                f"figures of {newest['date'].iloc[0]}{of}": markdown_table(
                    _figures_table(newest, stores, names), limit=60
                )
            },
            partition_key=context.partition_keys[-1],
        )
    return {"figures": len(figures), "with a benchmark": int(figures["benchmark_value"].notna().sum())}


def _largest(figures: pd.DataFrame) -> list[str]:
    """The stores of a day's key figures with most visitors, the largest first; those without a count last."""
    visitors = figures[figures["metric_name"] == "visitors"].set_index("scope_id")["metric_value"]
    counts = visitors.reindex(sorted(figures["scope_id"].unique()))
    return counts.sort_values(ascending=False, kind="stable").index[:_TABLE_STORES].tolist()


def _figures_table(figures: pd.DataFrame, stores: list[str], names: pd.Series[str]) -> pd.DataFrame:
    """A row per figure of one day, a column per store: value, then what is usual, score and trend where they are known."""
    cells = {(row["scope_id"], row["metric_name"]): _figure_text(row) for row in figures.to_dict("records")}
    shown = figures.loc[figures["scope_id"].isin(stores), ["metric_name", "metric_unit"]].drop_duplicates("metric_name")
    # Two stores of one name keep a column each.
    columns = [[cells.get((store, name), "") for name in shown["metric_name"]] for store in stores]
    table = pd.DataFrame([shown["metric_name"].tolist(), shown["metric_unit"].tolist(), *columns]).T
    return table.set_axis(["figure", "unit", *(str(names[store]) for store in stores)], axis=1)


def _figure_text(row: dict[Hashable, Any]) -> str:
    beside = [
        f"{label}{text}"
        for label, text in (
            ("usual ", text(row["benchmark_value"], ",.2f")),
            ("score ", text(row["performance_score"], ".0f")),
            ("", "" if pd.isna(row["trend"]) else str(row["trend"])),
        )
        if text
    ]
    return text(row["metric_value"], ",.2f") + (f" ({', '.join(beside)})" if beside else "")


def _days_table(days: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": [f"{day:%a %Y-%m-%d}" for day in days["date"]],
            "scope": days["scope"].array,
            "visitors": [text(value, ",.0f") for value in days["total_visitors"]],
            "peak hour": ["" if pd.isna(at) else f"{at:%H:%M}" for at in days["peak_hour"]],
            "vs last week %": [text(value, "+.1f") for value in days["wow_change_percent"]],
            "complete": [f"{value:.0%}" for value in days["data_completeness"]],
        }
    )
