"""What the cameras said: one asset for each endpoint, hour-partitioned, the camera a column.

An asset asks the whole fleet for its run's window and hands what came to the IO manager. A camera that fails is
recorded and the run goes on; a step fails only when the whole fleet was asked and every camera did. Figures belong in `assets.hourly`.
"""

from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from retail_sensors.assets.metadata import OWNERS, markdown_table, table_metadata
from retail_sensors.connectors.base import Collection, Endpoint, Outcome
from retail_sensors.partitions import HOURLY, HOURS_POLICY, run_window
from retail_sensors.resources.cameras import CamerasResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.collections import CollectedWindow
from retail_sensors.tables import (
    HEATMAP_TEMPORAL_RAW,
    PEOPLE_COUNTING_RAW,
    REGIONAL_COUNTING_RAW,
    VCA_ALARM_STATUS,
    Table,
)

HISTORY_TABLES = {
    Endpoint.PEOPLE_COUNTING: PEOPLE_COUNTING_RAW,
    Endpoint.REGIONAL_COUNTING: REGIONAL_COUNTING_RAW,
    Endpoint.HEATMAP_TEMPORAL: HEATMAP_TEMPORAL_RAW,
}
"""The assets of past hours, for which a camera can be asked again, by endpoint."""

_LOGGED_CAMERAS = 50
_ANSWERS = [outcome.value for outcome in Outcome if outcome.is_answer]
_WITHOUT_ERROR = {
    Outcome.NO_ROWS.value: "it answered, but not for these hours",
    Outcome.BEYOND_RETENTION.value: "it no longer holds these hours",
}


class CollectConfig(dg.Config):
    """How one run asks the cameras."""

    cameras: list[str] = Field(
        default=[],
        description="The cameras to ask: names (* and ? stand for others), store:NAME, org:NAME, group:NAME, tag:WORD, "
        "building:NAME, floor:NUMBER; not: before one takes its cameras away. Empty: all active ones.",
    )
    in_full: bool = Field(
        default=False,
        description="Ask every question also of cameras at whose address nobody has answered lately. Without it they get one "
        "short question, and all of them when they answer it.",
    )
    overwrite: bool = Field(
        default=False,
        description="Let lower counts replace the stored ones, which are then kept in raw_revisions. Without it a "
        "camera that was reset cannot erase what it once counted.",
    )


def _raw_asset(table: Table, endpoint: Endpoint, what: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        description=f"{table.row} {what}",
        partitions_def=HOURLY,
        backfill_policy=HOURS_POLICY,
        metadata=table_metadata(table, "merge"),
        group_name="cameras",
        owners=OWNERS,
        kinds={"http", "postgres"},
        tags={"domain": "collection"},
    )
    def raw(
        context: dg.AssetExecutionContext, config: CollectConfig, cameras: CamerasResource, database: DatabaseResource
    ) -> dg.MaterializeResult[CollectedWindow]:
        collection = cameras.collect(
            endpoint, run_window(context), config.cameras, context.run.run_id, in_full=config.in_full
        )
        collected = CollectedWindow(collection, config.overwrite)
        outcomes = outcomes_by_camera(collection, database.roster().sensors)
        _log(context, outcomes)
        log_left_out(context, collection)
        # A few cameras that were chosen may all be down: that is in the log and in the checks, and no fault of the pipeline.
        if not config.cameras and every_camera_failed(collection):
            database.record(table, collected, context.run.run_id)
            raise nobody_answered(endpoint, outcomes)
        return dg.MaterializeResult(value=collected, metadata=_outcome_metadata(collection, outcomes))

    return raw


def _log(context: dg.AssetExecutionContext, outcomes: pd.DataFrame) -> None:
    """A line for each camera that something is missing of, and one that names the complete ones: Dagster stores each line
    as an event, which takes 6 ms."""
    is_complete = outcomes["hours in"] == outcomes["hours asked"]
    for camera, told in outcomes.loc[~is_complete, ["camera", "told"]].head(_LOGGED_CAMERAS).itertuples(index=False):
        context.log.warning(f"{camera}: {told}")
    if (more := int((~is_complete).sum()) - _LOGGED_CAMERAS) > 0:
        context.log.warning(f"{more} more cameras are incomplete; see retail.collection_log.")
    complete = [
        f"{camera}: {told}" for camera, told in outcomes.loc[is_complete, ["camera", "told"]].itertuples(index=False)
    ]
    context.log.info(f"{len(complete)} of {len(outcomes)} cameras complete. {' | '.join(complete)}")


def log_left_out(context: dg.AssetExecutionContext, collection: Collection) -> None:
    """A line for each camera that was meant and is not asked, and one where none is left."""
    for camera, why in sorted(collection.left_out.items()):
        context.log.warning(f"{camera}: left out, {why}")
    if collection.is_nobody_left:
        context.log.warning(nobody_left(collection))


def nobody_left(collection: Collection) -> str:
    """The sentence for a run whose cameras have all been disabled or removed since it was asked for, or lack the endpoint."""
    return (
        f"No camera is left to ask for {collection.endpoint.value}; left out: {', '.join(sorted(collection.left_out))}."
    )


def left_out_metadata(collection: Collection) -> dict[str, Any]:
    """A table of the cameras that were meant and are not asked; nothing where there is none."""
    if not collection.left_out:
        return {}
    left_out = pd.DataFrame(sorted(collection.left_out.items()), columns=["camera", "why"])
    metadata: dict[str, Any] = {"cameras left out": markdown_table(left_out, limit=10)}
    if collection.is_nobody_left:
        metadata["note"] = nobody_left(collection)
    return metadata


def nobody_answered(endpoint: Endpoint, outcomes: pd.DataFrame) -> dg.Failure:
    """The failure of a step whose cameras all failed; `outcomes` has what is `told` of each."""
    return dg.Failure(
        description=f"Not one of {len(outcomes)} cameras answered for {endpoint.value}: {outcomes['told'].iloc[0]} "
        "(first of them). What was asked is in retail.collection_log; `retail-sensors cameras probe` tries each camera.",
        metadata={"outcomes": markdown_table(outcomes)},
        allow_retries=False,
    )


def every_camera_failed(collection: Collection) -> bool:
    """Whether cameras were asked and none answered.

    A camera without the endpoint (404) has answered in its way. Of the endpoints beside people counts, many cameras refuse one
    for good (401, 5xx): that is in the log, and must not keep the figures of people from being computed.
    """
    harmless = {Outcome.NOT_FOUND}
    if collection.endpoint is not Endpoint.PEOPLE_COUNTING:
        harmless |= {Outcome.UNAUTHORIZED, Outcome.SERVER_ERROR, Outcome.HTTP_ERROR}
    outcomes = set(collection.log["outcome"])
    return bool(outcomes) and not outcomes & {*_ANSWERS, *(outcome.value for outcome in harmless)}


def outcomes_by_camera(collection: Collection, sensors: pd.DataFrame) -> pd.DataFrame:
    """camera, hours asked, hours in, told: one row and one sentence for each camera that was asked."""
    log = collection.log
    names = sensors.set_index("id")["sensor_name"]
    rows = []
    for sensor_id, hours in log.groupby("sensor_id", sort=False):
        inside = int(hours["row_count"].sum())
        told = [f"{inside} of {len(hours)} hours"]
        sentences: set[str] = set()
        for outcome, missing in hours[hours["row_count"] == 0].groupby("outcome"):
            errors = missing["error"].dropna()
            why = errors.iloc[0] if len(errors) else _WITHOUT_ERROR.get(str(outcome), str(outcome))
            sentences.add(why)
            told.append(f"{len(missing)} {outcome}: {why}")
        # Where good rows came with bad ones, the sentence about the bad ones stands beside the good ones.
        beside = hours.loc[hours["row_count"] > 0, "error"].dropna()
        told += [sentence for sentence in dict.fromkeys(beside) if sentence not in sentences][:1]
        if hours["rejected_count"].any():
            told.append("see retail.rejected_payloads")
        rows.append((names.get(sensor_id, str(sensor_id)), len(hours), inside, "; ".join(told)))
    return pd.DataFrame(rows, columns=["camera", "hours asked", "hours in", "told"]).sort_values(
        "camera", ignore_index=True
    )


def _outcome_metadata(collection: Collection, outcomes: pd.DataFrame) -> dict[str, Any]:
    # Metadata is copied onto every partition's event: numbers only, and the table where something went wrong.
    complete = int((outcomes["hours in"] == outcomes["hours asked"]).sum())
    metadata: dict[str, Any] = {"cameras complete": f"{complete} of {len(outcomes)}"}
    if collection.endpoint is Endpoint.ALARM_STATUS and collection.log.empty:
        metadata["note"] = "The alarm status is a reading of now; for past hours there is nothing to ask."
    if len(collection.rejected):
        metadata["payloads rejected"] = len(collection.rejected)
    incomplete = outcomes[outcomes["hours in"] < outcomes["hours asked"]]
    if len(incomplete):
        metadata["incomplete cameras"] = markdown_table(incomplete, limit=10)
    return metadata | left_out_metadata(collection)


people_counting_raw = _raw_asset(
    PEOPLE_COUNTING_RAW,
    Endpoint.PEOPLE_COUNTING,
    "Which line is a door and which the corridor outside is the store's configuration, so its totals are not visitors.",
)
regional_counting_raw = _raw_asset(
    REGIONAL_COUNTING_RAW, Endpoint.REGIONAL_COUNTING, "Detections, 4 to 5 times the people who pass: never visitors."
)
heatmap_temporal_raw = _raw_asset(
    HEATMAP_TEMPORAL_RAW,
    Endpoint.HEATMAP_TEMPORAL,
    "Cameras hold about a week of it: what is not asked in time is lost.",
)
vca_alarm_status = _raw_asset(
    VCA_ALARM_STATUS, Endpoint.ALARM_STATUS, "For a past hour there is nothing to ask, and no row is made up."
)

RAW_ASSETS = (people_counting_raw, regional_counting_raw, heatmap_temporal_raw, vca_alarm_status)
