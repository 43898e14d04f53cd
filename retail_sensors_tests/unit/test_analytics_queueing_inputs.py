"""What a queue figure is made of: which stores and hours get rows, doors and regions summed, stays of which day, tills and lanes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from retail_sensors.analytics.queue_inputs import queue_inputs
from retail_sensors.analytics.queueing import queue_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables import HOURLY_ANALYTICS, REGION_CONFIGURATIONS, SENSOR_METADATA
from retail_sensors.tables.inputs import POS_TRANSACTIONS, QUEUE_GROUND_TRUTH, STAFF_HOURS
from retail_sensors.tables.queues import STORE_SERVICE
from retail_sensors.tables.regions import REGION_STAYS
from retail_sensors_tests.unit.analytics_estate import camera, identity, one, roster, store, typed, utc

NOON = utc("2026-02-02T12:00")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WINDOW = (NOON, NOON + 2 * HOUR)
LATER = NOON + 7 * DAY


def estate(
    *cameras: str,
    queues: Mapping[str, Sequence[int]] | None = None,
    passing: Sequence[str] = (),
    lanes: int | None = None,
    zone: str = "UTC",
) -> Roster:
    """A store `s` with these cameras, each with one entrance line, the passing ones with a passer-by line; queue regions by camera."""
    roles = {name: ["passerby" if name in passing else "entrance"] for name in cameras}
    found = roster([store("s", zone)], [camera(name, "s") for name in cameras], roles)
    regions = [
        {"sensor_id": identity(name), "region_number": number, "region_name": "tills", "role": "queue"}
        for name, numbers in (queues or {}).items()
        for number in numbers
    ]
    service = [{"store_id": identity("s"), "lanes": lanes, "service_rate_per_minute": 0.8, "target_minutes": 5.0}]
    return replace(
        found,
        regions=typed(REGION_CONFIGURATIONS, regions),
        service=typed(STORE_SERVICE, [{**row, "target_share": 0.8} for row in service] if lanes else []),
    )


def hour(
    name: str, at: datetime, entries: float | None, regions: Mapping[str, int | None] | None = None
) -> dict[str, Any]:
    return {
        "sensor_id": identity(name),
        "hour_start": at,
        "total_entries": entries,
        "total_exits": entries,
        "passersby": 0.0,
        "is_open": True,
        "data_completeness": 1.0,
        "is_provisional": False,
        "region_counts": None if regions is None else json.dumps(regions),
        "quality": "{}",
    }


def stay(name: str, region: int, day: date, share: float | None) -> dict[str, Any]:
    return {"sensor_id": identity(name), "region_number": region, "date": day, "stay_over_60_s": share}


def sold(at: datetime, transactions: int) -> dict[str, Any]:
    return {"store_id": identity("s"), "hour_start": at, "transactions": transactions}


def staffed(at: datetime, lanes: float | None) -> dict[str, Any]:
    return {"store_id": identity("s"), "hour_start": at, "staff": 3.0, "lanes_open": lanes}


def inputs(
    of: Roster,
    hours: Sequence[Mapping[str, Any]] = (),
    feed: Sequence[Mapping[str, Any]] = (),
    staff: Sequence[Mapping[str, Any]] = (),
    stays: Sequence[Mapping[str, Any]] = (),
    counted: Sequence[Mapping[str, Any]] = (),
    window: tuple[datetime, datetime] = WINDOW,
    now: datetime = LATER,
) -> pd.DataFrame:
    return queue_inputs(
        typed(HOURLY_ANALYTICS, hours),
        typed(POS_TRANSACTIONS, feed),
        typed(STAFF_HOURS, staff),
        typed(REGION_STAYS, stays),
        typed(QUEUE_GROUND_TRUTH, counted),
        of,
        window,
        now,
    )


def only(frame: pd.DataFrame) -> dict[str, Any]:
    assert len(frame) == 1
    return {str(name): (None if pd.isna(value) else value) for name, value in frame.iloc[0].items()}


def test_doors_and_queue_regions_of_a_store_are_summed() -> None:
    shop = estate("a", "b", "till", queues={"till": [1, 3]}, passing=["till"], lanes=4)
    row = only(
        inputs(
            shop,
            [hour("a", NOON, 30), hour("b", NOON, 50), hour("till", NOON, None, {"1": 40, "2": 900, "3": 60})],
            stays=[
                stay("till", 1, NOON.date(), 0.5),
                stay("till", 3, NOON.date(), 0.25),
                stay("till", 2, NOON.date(), 1),
            ],
        )
    )
    assert (row["entries"], row["detections"], row["lanes"]) == (80, 100, 4)
    assert row["stay_over_60_s"] == pytest.approx((40 * 0.5 + 60 * 0.25) / 100)
    assert not row["stay_is_earlier"]
    assert row["transactions"] is row["open_lanes"] is row["learnt_wait"] is None


@pytest.mark.parametrize(
    ("hours", "entries", "detections"),
    [
        ([hour("a", NOON, 30, {"1": 4}), hour("b", NOON, None)], None, 4),
        ([hour("a", NOON, 30), hour("b", NOON, 5)], 35, None),
        ([hour("a", NOON, 30, {"1": None}), hour("b", NOON, 5)], 35, None),
        ([hour("b", NOON, 5)], 5, None),
    ],
)
def test_what_one_camera_did_not_count_the_store_does_not_know(
    hours: list[dict[str, Any]], entries: float | None, detections: float | None
) -> None:
    row = only(inputs(estate("a", "b", queues={"a": [1]}), hours))
    assert (row["entries"], row["detections"]) == (entries, detections)


def test_a_region_in_which_nobody_was_needs_no_stays() -> None:
    shop = estate("a", queues={"a": [1, 2]})
    empty = only(inputs(shop, [hour("a", NOON, 9, {"1": 0, "2": 0})]))
    assert (empty["detections"], empty["stay_over_60_s"]) == (0, 0)
    half = only(inputs(shop, [hour("a", NOON, 9, {"1": 0, "2": 8})], stays=[stay("a", 2, NOON.date(), 0.5)]))
    assert (half["detections"], half["stay_over_60_s"]) == (8, 0.5)
    unknown = only(inputs(shop, [hour("a", NOON, 9, {"1": 3, "2": 8})], stays=[stay("a", 2, NOON.date(), 0.5)]))
    assert unknown["stay_over_60_s"] is None


@pytest.mark.parametrize(
    ("answered", "share", "earlier"),
    [
        ({0: 0.4, 1: 0.3}, 0.4, False),
        ({1: 0.3, 2: 0.2}, 0.3, True),
        ({0: None, 7: 0.1}, 0.1, True),
        ({8: 0.1}, None, False),
        ({-1: 0.9}, None, False),
        ({}, None, False),
    ],
)
def test_the_running_day_takes_the_newest_answer_of_a_week(
    answered: Mapping[int, float | None], share: float | None, earlier: bool
) -> None:
    shop = estate("a", queues={"a": [1]})
    stays = [stay("a", 1, NOON.date() - age * DAY, value) for age, value in answered.items()]
    row = only(inputs(shop, [hour("a", NOON, 99, {"1": 10})], stays=[*stays, stay("a", 2, NOON.date(), 0.7)]))
    assert (row["stay_over_60_s"], row["stay_is_earlier"]) == (share, earlier)


def test_the_day_of_a_stay_is_the_stores_own() -> None:
    # 20:00 in UTC is 09:00 of the third in Auckland
    shop = estate("a", queues={"a": [1]}, zone="Pacific/Auckland")
    at = utc("2026-02-02T20:00")
    stays = [stay("a", 1, date(2026, 2, 2), 0.2), stay("a", 1, date(2026, 2, 3), 0.6)]
    row = only(inputs(shop, [hour("a", at, 9, {"1": 10})], stays=stays, window=(at, at + HOUR)))
    assert (row["stay_over_60_s"], row["stay_is_earlier"]) == (0.6, False)


def test_only_stores_with_a_queue_a_feed_or_lanes_get_rows() -> None:
    seen = [hour("a", NOON, 9, {"1": 10})]
    assert len(inputs(estate("a"), seen)) == 0
    assert len(inputs(estate("a", queues={"a": [1]}), seen)) == 1
    assert len(inputs(estate("a", lanes=3), seen)) == 1
    assert len(inputs(estate("a"), seen, staff=[staffed(NOON, 2)])) == 1
    assert len(inputs(estate("a"), seen, staff=[staffed(NOON, None)])) == 0
    assert len(inputs(estate("a"), seen, [sold(NOON - 7 * DAY, 5)])) == 1
    assert len(inputs(estate("a"), seen, [sold(NOON - 7 * DAY - HOUR, 5)])) == 0
    assert len(inputs(estate("a"), seen, [sold(NOON + HOUR, 5)])) == 1  # the hour of the sale, not the one before


def test_an_hour_that_only_the_till_knows_has_a_row_and_no_entries() -> None:
    row = only(inputs(estate("a"), [], [sold(NOON, 12), sold(NOON - HOUR, 3), sold(NOON + 2 * HOUR, 4)]))
    assert (row["hour_start"], row["transactions"], row["entries"]) == (NOON, 12, None)
    silent = inputs(estate("a"), [hour("a", NOON, 9)], [sold(NOON - HOUR, 3)])
    assert only(silent)["transactions"] is None  # an hour without a row is not known


def test_a_camera_belongs_to_its_store_from_its_first_day_on() -> None:
    shop = estate("a", "b", lanes=2)
    sensors = [camera("a", "s"), camera("b", "s", installed_on=NOON.date() + DAY)]
    shop = replace(shop, sensors=typed(SENSOR_METADATA, sensors))
    before = [hour("a", NOON, 30), hour("b", NOON, None)]
    assert only(inputs(shop, before))["entries"] == 30
    later = [{**row, "hour_start": NOON + DAY} for row in before]
    assert only(inputs(shop, later, window=(NOON, NOON + 2 * DAY)))["entries"] is None


def test_counts_from_before_the_end_of_their_hour_are_no_input() -> None:
    shop = estate("a", "b", queues={"b": [1]}, lanes=2)
    stays = [stay("b", 1, NOON.date(), 0.5)]
    broken = {"data_completeness": 0.0, "is_provisional": True, "quality": '{"counts": "provisional"}'}
    whole = [hour("a", NOON, 60), hour("b", NOON, 20, {"1": 96})]
    row = only(inputs(shop, whole, stays=stays))
    assert (row["entries"], row["detections"]) == (80, 96)
    row = only(inputs(shop, [whole[0], whole[1] | broken], [sold(NOON, 24)], stays=stays))
    assert row["entries"] is row["detections"] is None
    assert row["transactions"] == 24
    # an estimate is one of the whole hour
    guessed = broken | {"is_provisional": False, "imputed_share": 1.0, "quality": '{"counts": "estimated"}'}
    assert only(inputs(shop, [whole[0] | guessed, whole[1]], stays=stays))["entries"] == 80


def test_an_hour_that_runs_has_no_row_since_not_all_have_arrived() -> None:
    shop = estate("a", queues={"a": [1]})
    seen = [hour("a", NOON, 60, {"1": 96}), hour("a", NOON + HOUR, 5, {"1": 8})]
    sales = [sold(NOON, 24), sold(NOON + HOUR, 2)]

    def told(now: datetime) -> list[datetime]:
        return inputs(shop, seen, sales, now=now)["hour_start"].tolist()

    assert told(NOON + HOUR - timedelta(seconds=1)) == []
    assert told(NOON + HOUR) == [NOON]
    assert told(NOON + 2 * HOUR) == [NOON, NOON + HOUR]


def test_staff_and_counted_queues_stand_at_their_hour() -> None:
    counted = {"store_id": identity("s"), "hour_start": NOON, "minutes_counted": 60, "actual_queue_length": 2.5}
    frame = inputs(
        estate("a", lanes=5),
        [hour("a", NOON, 9), hour("a", NOON + HOUR, 9)],
        staff=[staffed(NOON, 2.5)],
        counted=[{**counted, "actual_wait_minutes": 4.0, "counted_by": "Ana"}],
    )
    first, second = (only(frame.iloc[[row]]) for row in (0, 1))
    assert (first["open_lanes"], first["actual_queue_length"], first["actual_wait_minutes"]) == (2.5, 2.5, 4)
    assert second["open_lanes"] is second["actual_queue_length"] is None
    assert first["lanes"] == second["lanes"] == 5


def test_from_cameras_to_the_figure() -> None:
    shop = estate("a", queues={"a": [1]}, lanes=2)
    days_before = [stay("a", 1, NOON.date() - DAY, 0.5)]
    row = one(queue_hours(inputs(shop, [hour("a", NOON, 60, {"1": 96})], stays=days_before), shop))
    # 48 an hour over two lanes: a load of 1, C = 1/3, wait C / 0.8
    assert (row["arrivals"], row["arrivals_source"]) == (48, "detections_over_60_s")
    assert row["estimated_wait_time_minutes"] == pytest.approx(5 / 12)
    assert (row["lanes_source"], row["quality"]["arrivals"]) == ("best_case", "stay_from_earlier_day")
    crowd = one(queue_hours(inputs(shop, [hour("a", NOON, 31, {"1": 96})], stays=days_before), shop))
    assert (crowd["arrivals"], crowd["quality"]["arrivals"]) == (None, "no_queue_input")


def test_a_till_feed_above_what_the_doors_explain_is_no_input() -> None:
    shop = estate("a", lanes=9)
    for transactions, arrivals in ((90, 90), (91, None)):
        row = one(queue_hours(inputs(shop, [hour("a", NOON, 60)], [sold(NOON, transactions)]), shop))
        assert (row["transactions"], row["arrivals"]) == (transactions, arrivals)


def test_nothing_in_nothing_out() -> None:
    nobody = Roster(*[pd.DataFrame()] * 4)
    assert len(inputs(nobody)) == len(queue_hours(inputs(nobody), nobody)) == 0


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_order_and_doubled_rows_do_not_matter_and_nobody_is_lost(data: st.DataObject) -> None:
    counts = st.integers(0, 50)
    shop = estate("a", "b", queues={"a": [1], "b": [2, 4]})
    hours = [
        hour(name, NOON + n * HOUR, data.draw(counts), {str(region): data.draw(counts) for region in (1, 2, 3, 4)})
        for n in range(2)
        for name in ("a", "b")
    ]
    stays = [stay(name, region, NOON.date(), 0.5) for name, region in (("a", 1), ("b", 2), ("b", 4))]
    frame = inputs(shop, hours, stays=stays)
    shuffled = data.draw(st.permutations([*hours, *hours]))
    assert_frame_equal(frame, inputs(shop, shuffled, stays=stays[::-1]))
    assert frame["entries"].sum() == sum(row["total_entries"] for row in hours)
    regions = {identity("a"): ("1",), identity("b"): ("2", "4")}
    seen = sum(json.loads(row["region_counts"])[key] for row in hours for key in regions[row["sensor_id"]])
    assert frame["detections"].sum() == seen
    assert np.nansum(frame["detections"] * frame["stay_over_60_s"]) == pytest.approx(seen / 2)
