"""Regions, tills, queues and the past beside the counts: figures worked by hand, and why a figure is NULL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from math import exp
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.analytics.beside import days_beside, sensor_hours_beside, store_hours_beside
from retail_sensors.analytics.daily import sensor_days, store_days
from retail_sensors.analytics.hourly import sensor_hours, store_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables import DAILY_ANALYTICS, HOURLY_ANALYTICS, STORE_DAILY, STORE_HOURLY
from retail_sensors.tables.inputs import POS_TRANSACTIONS
from retail_sensors.tables.queues import QUEUE_ANALYTICS, QUEUE_PERFORMANCE_DAILY
from retail_sensors.tables.regions import REGION_STAYS
from retail_sensors_tests.unit.analytics_estate import (
    asked,
    assert_contract,
    camera,
    counted,
    heat,
    hours_from,
    identity,
    one,
    people,
    regional,
    roster,
    seen,
    store,
    typed,
    utc,
    warm,
)

MONDAY = date(2026, 2, 2)
MIDNIGHT = utc("2026-02-02T00:00")
TEN = utc("2026-02-02T10:00")
WEEK = timedelta(days=7)
NOW = MIDNIGHT + timedelta(days=2)
NONE = pd.DataFrame()


def _estate(**changes: Any) -> Roster:
    """One camera with a door, an entrance region, a shelf and a checkout."""
    return roster(
        [store("s", **changes)],
        [camera("a", "s")],
        {"a": ["entrance"]},
        {"a": {1: "entrance", 2: "zone", 3: "checkout"}},
    )


def _two() -> Roster:
    """The door on one camera, the checkout on another."""
    return roster(
        [store("s")],
        [camera("a", "s"), camera("b", "s")],
        {"a": ["entrance"], "b": ["internal"]},
        {"a": {1: "entrance"}, "b": {1: "checkout"}},
    )


def _stay(name: str, region: int, detections: float, day: date = MONDAY, **shares: float | None) -> dict[str, Any]:
    return {
        "sensor_id": identity(name),
        "region_number": region,
        "date": day,
        "detections": detections,
        "quality": "{}",
        **shares,
    }


def _stays(*rows: Mapping[str, Any]) -> pd.DataFrame:
    return typed(REGION_STAYS, rows)


def _tills(*rows: tuple[datetime, float | None]) -> pd.DataFrame:
    return typed(
        POS_TRANSACTIONS,
        [{"store_id": identity("s"), "hour_start": hour, "transactions": count} for hour, count in rows],
    )


def _hours(
    estate: Roster,
    rows: Iterable[Mapping[str, Any]],
    regions: Iterable[Mapping[str, Any]] = (),
    heats: Iterable[Mapping[str, Any]] = (),
    *,
    past: pd.DataFrame | None = None,
    stays: pd.DataFrame | None = None,
    tills: pd.DataFrame | None = None,
    queue: pd.DataFrame | None = None,
    log: Iterable[tuple[str, datetime, str]] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `hourly_analytics` and of `store_hourly` of MONDAY."""
    span = (MIDNIGHT, MIDNIGHT + timedelta(days=1), NOW)
    stays = _stays() if stays is None else stays
    tills = _tills() if tills is None else tills
    counts = sensor_hours(people(rows), regional(regions), heat(heats), asked(log), estate, *span)
    before = typed(HOURLY_ANALYTICS, ()) if past is None else past
    by_camera = sensor_hours_beside(counts, estate, before, stays, tills)
    of_stores = before.rename(columns={"sensor_id": "store_id"}).assign(
        store_id=pd.array([identity("s")] * len(before), dtype="string")
    )
    by_store = store_hours_beside(
        store_hours(by_camera, estate, *span),
        by_camera,
        estate,
        of_stores,
        stays,
        tills,
        typed(QUEUE_ANALYTICS, ()) if queue is None else queue,
    )
    assert_contract(by_camera, HOURLY_ANALYTICS)
    assert_contract(by_store, STORE_HOURLY)
    return by_camera, by_store


def _past(*entries: float, hour: datetime = TEN, completeness: float = 1.0) -> pd.DataFrame:
    """Entries 1, 2, ... weeks before the hour."""
    return typed(
        HOURLY_ANALYTICS,
        [
            {
                "sensor_id": identity("a"),
                "hour_start": hour - week * WEEK,
                "total_entries": count,
                "data_completeness": completeness,
            }
            for week, count in enumerate(entries, start=1)
        ],
    )


def test_an_hour_beside_its_tills_and_regions_by_hand() -> None:
    # 20 in; 360 detections at the shelf, half of which stay over each threshold up to 100 s and none longer
    half = {f"stay_over_{seconds}_s": 0.5 for seconds in (5, 10, 30, 60, 100)}
    none = {f"stay_over_{seconds}_s": 0.0 for seconds in (300, 600, 1800)}
    stays = _stays(_stay("a", 2, 1000, mean_stay_seconds=40.0, short_stay_share=0.5, **half, **none))
    by_camera, by_store = _hours(
        _estate(), [counted("a", TEN, 20, 10)], [seen("a", TEN, 40, 360, 5)], stays=stays, tills=_tills((TEN, 5))
    )
    row = one(by_camera, hour_start=TEN)
    assert row["entry_to_checkout_rate"] == pytest.approx(25)
    assert json.loads(row["zone_conversion_rates"]) == {"1": 2, "2": 18, "3": 0.25}
    present = 360 / 3600 * 40
    assert json.loads(row["region_avg_occupancy"]) == {"2": pytest.approx(present)}
    assert json.loads(row["region_utilization"]) == {"2": pytest.approx(1 - exp(-present))}
    assert row["quality"]["region_utilization"] == "modelled_upper_bound"
    assert row["quality"]["queue_performance_score"] == "store_level_only"
    of_store = one(by_store, hour_start=TEN)
    assert json.loads(of_store["zone_conversion_rates"]) == {"a:1": 2, "a:2": 18, "a:3": 0.25}
    assert json.loads(of_store["region_avg_occupancy"]) == {"a:2": pytest.approx(present)}
    assert of_store["entry_to_checkout_rate"] == pytest.approx(25)
    assert of_store["quality"]["queue_performance_score"] == "no_queue_figures"


def test_regions_that_hold_more_than_is_in_view_are_flagged_not_hidden() -> None:
    # 4 people present in the region by Little's law, 1 in view by the heat value
    stays = _stays(_stay("a", 2, 1000, mean_stay_seconds=40.0, stay_over_1800_s=0.0))
    by_camera, by_store = _hours(
        _estate(), [counted("a", TEN, 20, 10)], [seen("a", TEN, 0, 360, 0)], [warm("a", TEN, 3600)], stays=stays
    )
    for frame, key in ((by_camera, "2"), (by_store, "a:2")):
        row = one(frame, hour_start=TEN)
        assert json.loads(row["region_avg_occupancy"])[key] == pytest.approx(4)
        assert row["quality"]["region_avg_occupancy"] == "above_heat"


def test_what_stood_in_quality_stays() -> None:
    by_camera, _ = _hours(_estate(), [counted("a", TEN, 20, 10)])
    quality = one(by_camera, hour_start=TEN)["quality"]
    assert quality["counts"] == "measured"
    assert quality["passersby"] == "no_passerby_line"
    assert quality["region_avg_occupancy"] == "no_region"
    assert quality["region_max_occupancy"] == "no_minute_data"
    assert quality["max_heat_value"] == "no_hourly_cells"


def test_without_a_till_feed_the_checkout_stands_in_and_says_so() -> None:
    stays = _stays(_stay("b", 1, 100, stay_over_30_s=0.25))
    rows, regions = [counted("a", TEN, 50, 0), counted("b", TEN)], [seen("b", TEN, 40)]
    by_camera, by_store = _hours(_two(), rows, regions, stays=stays)
    row = one(by_store, hour_start=TEN)
    assert row["entry_to_checkout_rate"] == pytest.approx(100 * 40 * 0.25 / 50)
    assert row["quality"]["entry_to_checkout_rate"] == "proxy"
    # The camera at the door does not see the checkout, the one at the checkout not the door.
    assert one(by_camera, sensor_id="a")["quality"]["entry_to_checkout_rate"] == "no_transactions"
    assert one(by_camera, sensor_id="b")["quality"]["entry_to_checkout_rate"] == "store_level_only"


@pytest.mark.parametrize(
    ("entries", "tills", "reason"),
    [
        (20, (), "no_transactions"),
        (20, ((TEN, None),), "no_transactions"),
        (0, ((TEN, 3),), "nobody_entered"),
        (None, ((TEN, 3),), "entries_not_measured"),
    ],
    ids=["no feed", "a gap in the feed", "nobody entered", "not measured"],
)
def test_an_hour_without_a_rate_says_why(entries: int | None, tills: Any, reason: str) -> None:
    by_camera, by_store = _hours(_estate(), [counted("a", TEN, entries, 0)], tills=_tills(*tills))
    for frame in (by_camera, by_store):
        row = one(frame, hour_start=TEN)
        assert row["entry_to_checkout_rate"] is None
        assert row["quality"]["entry_to_checkout_rate"] == reason


def test_the_entries_of_one_of_two_doors_make_no_rate_of_the_store() -> None:
    # 10 of the 20 who bought came in by the silent door: over the entries of the other it would be 200 %
    estate = roster([store("s")], [camera("a", "s"), camera("b", "s")], {"a": ["entrance"], "b": ["entrance"]})
    _, by_store = _hours(
        estate,
        [counted("a", TEN, 10, 0)],
        [seen("a", TEN, 40)],
        tills=_tills((TEN, 20)),
        log=[("b", TEN, "timeout")],
    )
    row = one(by_store, hour_start=TEN)
    assert row["total_entries"] == 10
    for name in ("entry_to_checkout_rate", "zone_conversion_rates"):
        assert (row[name], row["quality"][name]) == (None, "entries_not_measured")


@pytest.mark.parametrize(
    "of_c",
    [(), ({"detections": None},), ({"detections": 60, "stay_over_30_s": None},)],
    ids=["no answer", "no count", "no share"],
)
def test_half_a_checkout_makes_no_rate(of_c: tuple[dict[str, Any], ...]) -> None:
    # The tills are seen by two cameras, of which one does not tell how long people stay there.
    estate = roster(
        [store("s")],
        [camera("a", "s"), camera("b", "s"), camera("c", "s")],
        {"a": ["entrance"], "b": ["internal"], "c": ["internal"]},
        {"b": {1: "checkout"}, "c": {1: "checkout"}},
    )
    stays = _stays(_stay("b", 1, 100, stay_over_30_s=0.25), *({**_stay("c", 1, 0), **given_} for given_ in of_c))
    rows = [counted(name, hour, 50, 0) for name in "abc" for hour in hours_from(MIDNIGHT, 24)]
    _, by_store = _hours(estate, rows, [seen("b", TEN, 40), seen("c", TEN, 60)], stays=stays)
    row = one(by_store, hour_start=TEN)
    assert row["quality"]["entry_to_checkout_rate"] == "no_transactions"
    _, by_store = _days(estate, rows, stays=stays)
    assert one(by_store)["quality"]["overall_conversion_rate"] == "no_transactions"


def test_more_transactions_than_entries_are_not_clipped() -> None:
    by_camera, _ = _hours(_estate(), [counted("a", TEN, 10, 0)], tills=_tills((TEN, 15)))
    assert one(by_camera, hour_start=TEN)["entry_to_checkout_rate"] == pytest.approx(150)


def test_the_score_is_the_rank_among_the_last_eight_like_hours() -> None:
    # 8 newest: 10 20 30 40 50 60 70 80; of them 4 below 45; the ninth would change the rank
    past = _past(10, 20, 30, 40, 50, 60, 70, 80, 1)
    by_camera, by_store = _hours(_estate(), [counted("a", TEN, 45, 0)], past=past)
    assert one(by_camera, hour_start=TEN)["traffic_efficiency_score"] == 50
    assert one(by_store, hour_start=TEN)["traffic_efficiency_score"] == 50


def test_the_score_needs_four_complete_like_hours() -> None:
    for past in (_past(1, 2, 3), _past(1, 2, 3, 4, completeness=0.0), _past(1, 2, 3, 4, hour=TEN + timedelta(hours=1))):
        by_camera, _ = _hours(_estate(), [counted("a", TEN, 45, 0)], past=past)
        row = one(by_camera, hour_start=TEN)
        assert row["traffic_efficiency_score"] is None
        assert row["quality"]["traffic_efficiency_score"] == "too_few_hours"


def test_like_hours_are_those_of_the_wall_clock() -> None:
    # Berlin, Monday 10:00 after the change to winter time: the Mondays before were an hour earlier in UTC.
    estate = _estate(zone="Europe/Berlin")
    hour = utc("2025-10-27T09:00")
    past = _past(1, 2, 3, 4, hour=hour - timedelta(hours=1))
    counts = sensor_hours(
        people([counted("a", hour, 9, 0)]), regional(), heat(), asked(), estate, hour, hour + WEEK, NOW
    )
    frame = sensor_hours_beside(counts, estate, past, _stays(), _tills())
    assert one(frame, hour_start=hour)["traffic_efficiency_score"] == 100


def test_an_hour_that_the_clock_shows_twice_is_one_like_hour() -> None:
    # Berlin, Sunday 2025-11-02 at 02:00; a week before the clock showed it at 00:00 and at 01:00 in UTC.
    estate = _estate(zone="Europe/Berlin")
    hour = utc("2025-11-02T01:00")
    past = pd.concat([_past(9, hour=hour), _past(9, 9, 9, hour=hour - timedelta(hours=1))])
    counts = sensor_hours(
        people([counted("a", hour, 9, 0)]), regional(), heat(), asked(), estate, hour, hour + WEEK, NOW
    )
    frame = sensor_hours_beside(counts, estate, past, _stays(), _tills())
    assert one(frame, hour_start=hour)["quality"]["traffic_efficiency_score"] == "too_few_hours"


def test_the_store_takes_the_score_of_its_tills() -> None:
    queue = typed(
        QUEUE_ANALYTICS,
        [{"store_id": identity("s"), "hour_start": TEN, "queue_performance_score": 87.5, "quality": "{}"}],
    )
    _, by_store = _hours(_estate(), [counted("a", TEN, 45, 0)], queue=queue)
    assert one(by_store, hour_start=TEN)["queue_performance_score"] == 87.5


def _day_rows(counts: int = 5, hours: int = 24) -> list[dict[str, Any]]:
    return [counted("a", hour, counts, 0) for hour in hours_from(MIDNIGHT, hours)]


def _history(rows: Mapping[int, tuple[float, float | None]], *, quality: str = "{}") -> pd.DataFrame:
    """Entries and conversion rate so many weeks before MONDAY."""
    return typed(
        STORE_DAILY,
        [
            {
                "store_id": identity("s"),
                "date": MONDAY - week * WEEK,
                "total_entries": entries,
                "overall_conversion_rate": rate,
                "data_completeness": 1.0,
                "quality": quality,
            }
            for week, (entries, rate) in rows.items()
        ],
    )


def _off(*days: date) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "store_id": pd.array([identity("s")] * len(days), dtype="string"),
            "date": pd.Series(days, dtype=object),
            "reference_date": pd.Series([None] * len(days), dtype=object),
        }
    )


def _days(
    estate: Roster,
    rows: Iterable[Mapping[str, Any]],
    *,
    history: pd.DataFrame = NONE,
    stays: pd.DataFrame | None = None,
    tills: pd.DataFrame | None = None,
    queue: pd.DataFrame | None = None,
    holidays: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `daily_analytics` and of `store_daily` of MONDAY; the history is the store's."""
    span = (MIDNIGHT - timedelta(days=1), MIDNIGHT + timedelta(days=2), NOW)
    hours = sensor_hours(people(rows), regional(), heat(), asked(), estate, *span)
    dates = (MONDAY, MONDAY + timedelta(days=1))
    inputs = (
        _stays() if stays is None else stays,
        _tills() if tills is None else tills,
        typed(QUEUE_PERFORMANCE_DAILY, ()) if queue is None else queue,
        _off() if holidays is None else holidays,
    )
    no_history = typed(DAILY_ANALYTICS, ())
    by_camera = days_beside(
        sensor_days(hours, estate, dates, no_history, NOW), DAILY_ANALYTICS, estate, no_history, *inputs
    )
    before = typed(STORE_DAILY, ()) if not len(history) else history
    by_store = days_beside(store_days(hours, estate, dates, before, NOW), STORE_DAILY, estate, before, *inputs)
    assert_contract(by_camera, DAILY_ANALYTICS)
    assert_contract(by_store, STORE_DAILY)
    return by_camera, by_store


def test_a_day_beside_its_tills_queue_and_stays_by_hand() -> None:
    queue = typed(
        QUEUE_PERFORMANCE_DAILY,
        [
            {
                "store_id": identity("s"),
                "date": MONDAY,
                "avg_queue_length": 1.5,
                "max_queue_length": 4.0,
                "queue_peak_time": time(17),
                "avg_wait_time": 2.25,
                "queue_efficiency_score": 90.0,
                "quality": "{}",
            }
        ],
    )
    stays = _stays(_stay("a", 1, 300, short_stay_share=0.2), _stay("a", 2, 50, short_stay_share=0.9))
    history = _history({week: (100 + week, 20.0 + week) for week in range(1, 9)})  # 120 entries: above all
    by_camera, by_store = _days(
        _estate(),
        _day_rows(),
        history=history,
        stays=stays,
        tills=_tills((TEN, 10), (TEN + timedelta(hours=1), 20)),
        queue=queue,
    )
    row = one(by_store)
    assert row["overall_conversion_rate"] == pytest.approx(25)  # 30 of 120; of 21 to 28 four are below, one is equal
    assert row["bounce_rate"] == pytest.approx(0.2)
    assert (row["avg_queue_length"], row["max_queue_length"], row["queue_peak_time"]) == (1.5, 4, time(17))
    assert row["estimated_avg_wait_minutes"] == 2.25
    assert row["overall_performance_score"] == pytest.approx((100 + 56.25 + 90) / 3)
    # The camera holds the only door, so that its row carries what the store has; it has no past of its own.
    alone = one(by_camera)
    assert alone["overall_conversion_rate"] == pytest.approx(25)
    assert alone["quality"]["overall_performance_score"] == "too_few_scores"


def test_a_day_without_tills_queue_and_stays_says_why() -> None:
    _, by_store = _days(_estate(), _day_rows())
    quality = one(by_store)["quality"]
    assert quality["overall_conversion_rate"] == "no_transactions"
    assert quality["bounce_rate"] == "no_stay_answers"
    assert quality["avg_queue_length"] == quality["queue_peak_time"] == "no_queue_figures"
    assert quality["overall_performance_score"] == "too_few_scores"


def test_entrances_at_which_nobody_was_detected_have_no_short_stays() -> None:
    _, by_store = _days(_estate(), _day_rows(), stays=_stays(_stay("a", 1, 0)))
    assert one(by_store)["quality"]["bounce_rate"] == "nobody_detected"


def test_a_day_whose_visitors_are_not_counted_says_so() -> None:
    estate = roster([store("s")], [camera("a", "s")], {"a": ["passerby"]})
    _, by_store = _days(estate, _day_rows(), tills=_tills((TEN, 10)))
    row = one(by_store)
    assert row["data_completeness"] == 1
    assert row["quality"]["overall_conversion_rate"] == "entries_not_measured"
    assert row["quality"]["wow_change_percent"] == row["quality"]["dow_avg_comparison"] == "no_entrance_line"


def test_a_day_that_is_given_twice_is_one_of_the_history() -> None:
    history = _history(dict.fromkeys((1, 2), (1.0, 1.0)))
    _, by_store = _days(_estate(), _day_rows(), history=pd.concat([history, history]), tills=_tills((TEN, 10)))
    assert one(by_store)["quality"]["overall_performance_score"] == "too_few_scores"


def test_a_queue_without_a_length_gives_its_own_reason() -> None:
    queue = typed(
        QUEUE_PERFORMANCE_DAILY,
        [{"store_id": identity("s"), "date": MONDAY, "quality": '{"avg_queue_length": "no_lanes"}'}],
    )
    _, by_store = _days(_estate(), _day_rows(), queue=queue)
    assert one(by_store)["quality"]["avg_queue_length"] == "no_lanes"


def test_the_conversion_of_half_a_day_is_not_known() -> None:
    _, by_store = _days(_estate(), _day_rows(hours=12), tills=_tills((TEN, 10)))
    assert one(by_store)["quality"]["overall_conversion_rate"] == "incomplete_day"


def test_rates_from_the_checkout_are_not_ranked_among_those_of_the_till() -> None:
    proxies = _history(dict.fromkeys(range(1, 9), (1.0, 1.0)), quality='{"overall_conversion_rate": "proxy"}')
    _, by_store = _days(_estate(), _day_rows(), history=proxies, tills=_tills((TEN, 10)))
    assert one(by_store)["quality"]["overall_performance_score"] == "too_few_scores"


def test_holidays_are_not_comparable() -> None:
    history = _history(dict.fromkeys(range(1, 5), (1.0, 1.0)))
    tills = _tills((TEN, 10))
    _, by_store = _days(_estate(), _day_rows(), history=history, tills=tills)
    assert one(by_store)["overall_performance_score"] == 100
    for off in (MONDAY, MONDAY - 2 * WEEK):
        _, by_store = _days(_estate(), _day_rows(), history=history, tills=tills, holidays=_off(off))
        assert one(by_store)["quality"]["overall_performance_score"] == "too_few_scores"


def test_doors_on_two_cameras_make_figures_of_the_store_only() -> None:
    estate = roster([store("s")], [camera("a", "s"), camera("b", "s")], {"a": ["entrance"], "b": ["entrance"]})
    rows = [*_day_rows(), *(counted("b", hour, 5, 0) for hour in hours_from(MIDNIGHT, 24))]
    by_camera, by_store = _days(estate, rows, tills=_tills((TEN, 24)))
    assert one(by_store)["overall_conversion_rate"] == pytest.approx(10)
    for name in ("a", "b"):
        quality = one(by_camera, sensor_id=name)["quality"]
        assert quality["overall_conversion_rate"] == quality["bounce_rate"] == "store_level_only"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=6), st.randoms())
def test_a_store_of_one_camera_has_its_rates_in_any_order(given_: list[tuple[int, int]], order: Any) -> None:
    rows = [counted("a", TEN + timedelta(hours=n), entries, 0) for n, (entries, _) in enumerate(given_)]
    tills = [(TEN + timedelta(hours=n), float(sold)) for n, (_, sold) in enumerate(given_)]
    order.shuffle(rows)
    order.shuffle(tills)
    by_camera, by_store = _hours(_estate(), rows, tills=_tills(*tills))
    for n, (entries, sold) in enumerate(given_):
        found = one(by_store, hour_start=TEN + timedelta(hours=n))["entry_to_checkout_rate"]
        assert found == one(by_camera, hour_start=TEN + timedelta(hours=n))["entry_to_checkout_rate"]
        if entries:
            assert found * entries == pytest.approx(100 * sold)
        else:
            assert found is None
