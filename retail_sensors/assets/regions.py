"""What cameras say about local days that have ended: stays in regions, and where in the picture people stand.

One asset for each question, day-partitioned, the camera a column. A camera is asked when it has the endpoint, its last probe
did not find it lacking, and the day is not stored yet; one that refuses is recorded and has no rows. Hours belong in
`assets.raw`, figures of regions in `assets.flows`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from retail_sensors.analytics.dwell import region_stays as stays_of_answers
from retail_sensors.analytics.roster import Roster
from retail_sensors.analytics.spatial import spatial_days
from retail_sensors.assets.metadata import OWNERS, table_metadata
from retail_sensors.assets.raw import every_camera_failed, left_out_metadata, log_left_out, nobody_answered
from retail_sensors.assets.regions_summary import outcome_metadata, outcomes_by_day, spatial_summary, stays_summary
from retail_sensors.connectors.base import Endpoint, TimeWindow
from retail_sensors.connectors.harvest import together
from retail_sensors.partitions import DAILY, DAYS_POLICY, run_window
from retail_sensors.resources.cameras import CamerasResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.collections import CollectedWindow
from retail_sensors.tables import Table
from retail_sensors.tables.regions import HEATMAP_SPATIAL_RAW, REGION_STAYS

_DAY = timedelta(days=1)
_LOGGED_CAMERAS = 50
_LACKING = frozenset({"absent", "unauthorized", "broken"})
"""What a probe finds of a capability that a camera does not have; an unreachable camera may have it."""

_Figures = Callable[[pd.DataFrame, Roster], pd.DataFrame]
_Summary = Callable[[dg.AssetExecutionContext, pd.DataFrame, Roster], dict[str, Any]]


class DayConfig(dg.Config):
    """How one run asks the cameras about their days."""

    cameras: list[str] = Field(
        default=[],
        description="The cameras to ask, whatever their last probe found, in the words that the assets of hours take; empty: all "
        "active ones that have the capability.",
    )
    in_full: bool = Field(
        default=False, description="Ask also cameras at whose address nobody has answered lately in full."
    )
    overwrite: bool = Field(
        default=False,
        description="Ask again for days that are stored, and let the answer replace them. Without it a day is asked for once.",
    )


def due(window: TimeWindow, asked: Mapping[str, str], stored: pd.DataFrame) -> Iterator[tuple[TimeWindow, list[str]]]:
    """Spans of the window's dates with the cameras to ask for all of them: consecutive days on which the same are due.

    `asked`: ids of cameras by name. `stored`: sensor_id and date of what need not be asked for. Days that nobody is due on
    are left out.
    """
    done = set(stored.itertuples(index=False, name=None))
    day, names = window.start, list[str]()
    start = day
    while day < window.end:
        missing = [name for name, sensor_id in asked.items() if (sensor_id, day.date()) not in done]
        if missing != names:
            if names:
                yield TimeWindow(start, day), names
            start, names = day, missing
        day += _DAY
    if names:
        yield TimeWindow(start, day), names


def cameras_that_may(roster: Roster, endpoint: Endpoint) -> dict[str, str]:
    """Ids by name of the active cameras that may have the endpoint."""
    sensors = roster.sensors
    found = [json.loads(text) if isinstance(text, str) else {} for text in sensors["capabilities"]]
    return {
        name: sensor_id
        for name, sensor_id, is_active, probed in zip(
            sensors["sensor_name"], sensors["id"], sensors["is_active"], found, strict=True
        )
        if is_active and probed.get(endpoint.value, {}).get("status") not in _LACKING
    }


def _day_asset(
    table: Table, endpoint: Endpoint, what: str, figures: _Figures, summary: _Summary
) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        description=f"{table.row} {what}",
        partitions_def=DAILY,
        backfill_policy=DAYS_POLICY,
        metadata=table_metadata(table, "merge"),
        group_name="cameras",
        owners=OWNERS,
        kinds={"http", "postgres"},
        tags={"domain": "collection"},
    )
    def day(
        context: dg.AssetExecutionContext, config: DayConfig, cameras: CamerasResource, database: DatabaseResource
    ) -> dg.MaterializeResult[CollectedWindow]:
        window, roster, run_id = run_window(context), database.roster(), context.run.run_id
        stored = database.read(table, window.start, window.end, ["sensor_id", "date"])
        meant = cameras.to_ask(config.cameras)
        named = {camera.name: str(camera.sensor_id) for camera in meant.cameras}
        asked = named if config.cameras else cameras_that_may(roster, endpoint)
        spans = due(window, asked, stored[:0] if config.overwrite else stored)
        collection = together(
            endpoint,
            window,
            [cameras.collect(endpoint, span, names, run_id, in_full=config.in_full) for span, names in spans],
        )
        collection = replace(
            collection,
            left_out={**meant.left_out, **collection.left_out},
            is_nobody_left=bool(config.cameras) and not named,
        )
        log_left_out(context, collection)
        found = figures(collection.rows, roster)
        collected = CollectedWindow(replace(collection, rows=found), config.overwrite)
        outcomes = outcomes_by_day(collection, roster.sensors)
        incomplete = outcomes[outcomes["days in"] < outcomes["days asked"]]
        context.log.info(f"{len(outcomes) - len(incomplete)} of {len(outcomes)} cameras complete.")
        for camera, told in incomplete[["camera", "told"]].head(_LOGGED_CAMERAS).itertuples(index=False):
            context.log.warning(f"{camera}: {told}")
        # Who has answered for one of the days is not asked for it again: the rest may all be down.
        if not config.cameras and stored.empty and every_camera_failed(collection):
            database.record(table, collected, run_id)
            raise nobody_answered(endpoint, outcomes)
        return dg.MaterializeResult(
            value=collected,
            metadata={
                **summary(context, found, roster),
                **outcome_metadata(outcomes, incomplete),
                **left_out_metadata(collection),
            },
        )

    return day


region_stays = _day_asset(
    REGION_STAYS,
    Endpoint.REGION_STAYS,
    "Nine questions a camera and day, each day once. Of detections: who is lost and found again counts twice, with shorter stays.",
    stays_of_answers,
    stays_summary,
)
heatmap_spatial_raw = _day_asset(
    HEATMAP_SPATIAL_RAW,
    Endpoint.SPATIAL_HEATMAP,
    "Cameras hold about a week of it, and many have none.",
    spatial_days,
    spatial_summary,
)

STAY_ASSETS: tuple[dg.AssetsDefinition, ...] = (region_stays, heatmap_spatial_raw)
