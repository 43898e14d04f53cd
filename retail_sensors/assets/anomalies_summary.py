"""What the asset of anomalies shows its reader: the newest events in words, and a week of the camera that stands out most.

Numbers stand on every event, table and picture on the run's last partition only. Dagster copies metadata onto every partition.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd

from retail_sensors.analytics.anomalies import usual
from retail_sensors.analytics.anomaly_cameras import counts_of
from retail_sensors.analytics.anomaly_texts import NAMES
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.charts import Band, Mark, line_chart
from retail_sensors.assets.metadata import markdown_table, numbers
from retail_sensors.partitions import run_window

_WEEK = timedelta(days=7)
_HOUR = timedelta(hours=1)
_COUNTED_AS = {"total_entries": "in_count", "total_exits": "out_count", "passersby": "value"}
_LABELS = {"in_count": "entries", "out_count": "exits", "value": "passers-by"}


def anomalies_summary(
    context: dg.AssetExecutionContext, events: pd.DataFrame, hours: pd.DataFrame, roster: Roster, now: datetime
) -> dict[str, Any]:
    """Numbers of the run's events; the last partition also gets the newest in words and a week of the most severe one's camera.

    `hours`: rows of `hourly_analytics` that the events were found in.
    """
    end = min(now, run_window(context).end)
    shown: dict[str, Any] = {}
    if len(events):
        newest = events.sort_values(["detected_at", "severity"], ascending=False, kind="stable")
        shown["newest events"] = markdown_table(_in_words(newest.head(25), roster), limit=25)
    recent = events[(events["ended_at"] > end - _WEEK) & (events["started_at"] < end)]
    if len(recent):
        worst = recent.sort_values(["severity", "started_at"], ascending=False, kind="stable").iloc[0]
        mine = recent[recent["sensor_id"] == worst["sensor_id"]]
        picture = _week(worst, mine, hours, roster, end)
        if picture is not None:
            shown["the week of the most severe event"] = picture
    if shown:
        context.add_asset_metadata(shown, partition_key=context.partition_keys[-1])
    return {
        "events": len(events),
        "events going on": int((~events["auto_resolved"]).sum()),
        "to be looked at": int(events["manual_review_required"].sum()),
        "by type": json.dumps(events["anomaly_type"].value_counts().sort_index().to_dict()),
    }


def _in_words(events: pd.DataFrame, roster: Roster) -> pd.DataFrame:
    """A row per event: camera, what, when by the store's clock, expected, counted, likely cause, what to do."""
    return pd.DataFrame([_words(event, roster) for _, event in events.iterrows()])


def _words(event: pd.Series[Any], roster: Roster) -> dict[str, str]:
    name, zone = _camera(event["sensor_id"], roster)
    start, end = (event[side].tz_convert(zone) for side in ("started_at", "ended_at"))
    what = NAMES[json.loads(event["context"]).get("fault", event["anomaly_type"])]
    return {
        "camera": name if pd.isna(event["affected_component"]) else f"{name}, {event['affected_component']}",
        "what": f"{what} ({_plain(event['affected_metric'])})",
        "when": f"{start:%a %d %b %H:%M} to {end:{'%H:%M' if start.date() == end.date() else '%a %d %b %H:%M'}}",
        "expected": _number(event["expected_value"], event["affected_metric"]),
        "counted": _number(event["actual_value"], event["affected_metric"]),
        "likely cause": json.loads(event["potential_causes"])[0],
        "what to do": json.loads(event["recommended_actions"])[0],
        "still going on": "" if event["auto_resolved"] else "yes",
    }


def _week(
    worst: pd.Series[Any], events: pd.DataFrame, hours: pd.DataFrame, roster: Roster, end: datetime
) -> dg.MarkdownMetadataValue | None:
    """Counts of the last 7 days with what was usual for each hour, the camera's events shaded; None: no hour of it was measured."""
    sensor = str(worst["sensor_id"])
    name, zone = _camera(sensor, roster)
    expected = usual(counts_of(hours, roster, sensor), step=_HOUR, now=end, zone=zone)
    counted = expected["metric"].unique().tolist()
    if not counted:
        return None
    named = _COUNTED_AS.get(worst["affected_metric"], "")
    metric = named if named in counted else counted[0]
    week = expected[(expected["metric"] == metric) & (expected["slot_start"] >= end - _WEEK)]
    times = week["slot_start"].dt.tz_convert(zone).dt.tz_localize(None)
    marks = [
        Mark(
            max(event["started_at"], pd.Timestamp(end - _WEEK)).tz_convert(zone).tz_localize(None).to_pydatetime(),
            event["ended_at"].tz_convert(zone).tz_localize(None).to_pydatetime(),
            NAMES[json.loads(event["context"]).get("fault", event["anomaly_type"])],
        )
        for _, event in events.iterrows()
    ]
    return line_chart(
        times.dt.to_pydatetime().tolist(),
        {"counted": numbers(week["counted"]), "expected": numbers(week["expected"])},
        title=f"{name}: {_LABELS[metric]} by hour, last 7 days (local time)",
        unit="people",
        bands=[Band("usual (90 %)", numbers(week["lower"]), numbers(week["upper"]))],
        marks=marks,
    )


def _camera(sensor_id: str, roster: Roster) -> tuple[str, str]:
    layout = roster.layout
    position = layout.sensor_ids.tolist().index(sensor_id)
    return str(layout.names[position]), layout.zones[layout.zone[layout.store[position]]]


def _plain(metric: str) -> str:
    return {"all": "in and out", "day_shape_hours": "hours moved", "in_out_residual": "in minus out"}.get(
        metric, metric.removeprefix("total_").replace("_", " ")
    )


def _number(value: float, metric: str) -> str:
    if pd.isna(value):
        return ""
    match metric:
        case "day_shape_hours":
            return f"{value:.1f} h"
        case "in_out_residual":
            return f"{value:+.0%}"
        case _:
            return f"{value:,.0f}"
