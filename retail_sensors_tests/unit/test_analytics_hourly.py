"""Hourly figures of cameras and stores against examples worked by hand, and what bad input becomes."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from retail_sensors.analytics.hourly import sensor_hours, store_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.tables import HOURLY_ANALYTICS, STORE_HOURLY
from retail_sensors.tables.figures import counts_of
from retail_sensors_tests.unit.analytics_estate import (
    asked,
    assert_contract,
    camera,
    counted,
    heat,
    one,
    people,
    regional,
    roster,
    seen,
    store,
    utc,
    warm,
)

NINE = utc("2026-02-02T09:00")  # a Monday
LATER = NINE + timedelta(days=3)


def _hours(estate: Roster, counts: Any = (), **others: Any) -> pd.DataFrame:
    start = others.pop("start", NINE)
    frame = sensor_hours(
        people(counts),
        regional(others.get("regions", ())),
        heat(others.get("heat", ())),
        asked(others.get("asked", ())),
        estate,
        start,
        others.get("end", start + timedelta(hours=1)),
        others.get("now", LATER),
    )
    assert_contract(frame, counts_of(HOURLY_ANALYTICS))
    return frame


def _store_hours(estate: Roster, hours: pd.DataFrame, now: Any = LATER) -> pd.DataFrame:
    frame = store_hours(hours, estate, NINE, NINE + timedelta(hours=1), now)
    assert_contract(frame, counts_of(STORE_HOURLY))
    return frame


def _estate(*roles: str, **changes: Any) -> Roster:
    return roster([store("s", **changes)], [camera("a", "s")], {"a": roles})


def test_entries_exits_and_passersby_follow_the_roles_of_lines() -> None:
    estate = _estate("entrance", "-entrance", "internal", "passerby")
    row = one(_hours(estate, [counted("a", NINE, 10, 4, 3, 5, 99, 98, 40, 20)]))
    assert row["total_entries"] == 10 + 5  # line 2 is inverted: its Out comes in
    assert row["total_exits"] == 4 + 3
    assert row["net_flow"] == 8
    assert row["passersby"] == 60
    assert row["traffic"] == row["visitors"] == 15
    assert row["capture_rate_percent"] == pytest.approx(25.0)
    assert row["busiest_line"] == 1
    assert json.loads(row["line_distribution"]) == {"1": 14 / 22, "2": 8 / 22}
    assert row["quality"]["counts"] == "measured"
    assert row["quality"]["capture_rate_basis"] == "passersby"
    assert row["data_completeness"] == 1.0


@pytest.mark.parametrize(("basis", "traffic"), [("entries", 10), ("exits", 5), ("mean", 7.5)])
def test_traffic_goes_by_the_basis_of_the_store(basis: str, traffic: float) -> None:
    row = one(_hours(_estate("entrance", traffic_basis=basis), [counted("a", NINE, 10, 5)]))
    assert row["traffic"] == traffic


def test_entrants_are_added_below_the_capture_rate_where_they_do_not_pass_by() -> None:
    estate = _estate("entrance", "passerby", passerby_excludes_entrants=True)
    row = one(_hours(estate, [counted("a", NINE, 20, 0, 50, 30)]))
    assert row["capture_rate_percent"] == pytest.approx(20.0)
    assert row["quality"]["capture_rate_basis"] == "passersby_and_entries"


def test_a_capture_rate_above_100_is_flagged_and_not_clipped() -> None:
    row = one(_hours(_estate("entrance", "passerby"), [counted("a", NINE, 30, 0, 10, 10)]))
    assert row["capture_rate_percent"] == pytest.approx(150.0)
    assert row["quality"]["capture_rate_percent"] == "above_100"


def test_nobody_passing_by_leaves_no_capture_rate() -> None:
    row = one(_hours(_estate("entrance", "passerby"), [counted("a", NINE, 3, 0)]))
    assert row["capture_rate_percent"] is None
    assert row["quality"]["capture_rate_percent"] == "no_passersby"


def test_a_closed_hour_has_traffic_and_no_visitors() -> None:
    estate = _estate("entrance", "passerby", opening={"mon": [["10:00", "20:00"]]})
    row = one(_hours(estate, [counted("a", NINE, 3, 1, 5, 5)]))
    assert not row["is_open"]
    assert (row["traffic"], row["visitors"]) == (3, 0)
    assert row["quality"]["capture_rate_percent"] == "closed"


def test_the_zone_of_the_store_decides_whether_it_is_open() -> None:
    estate = _estate("entrance", zone="Asia/Kolkata", opening={"mon": [["14:00", "15:00"]]})
    half_past = utc("2026-02-02T08:30")
    rows = _hours(
        estate,
        [counted("a", half_past + timedelta(hours=offset), 1, 1) for offset in (-1, 0, 1)],
        start=half_past - timedelta(hours=1),
        end=half_past + timedelta(hours=2),
    )
    assert rows["is_open"].tolist() == [False, True, False]


def test_an_hour_that_was_asked_for_and_not_answered_is_a_row_with_the_reason() -> None:
    row = one(_hours(_estate("entrance", "passerby"), asked=[("a", NINE, "timeout")]))
    assert row["total_entries"] is None
    assert row["data_completeness"] == 0.0
    assert not row["is_provisional"]
    assert row["quality"]["counts"] == "missing"
    assert row["quality"]["total_entries"] == row["quality"]["passersby"] == row["quality"]["visitors"] == "timeout"


def test_an_answer_without_the_hour_is_no_rows() -> None:
    row = one(_hours(_estate("entrance"), asked=[("a", NINE, "ok")]))
    assert row["quality"]["total_entries"] == "no_rows"


def test_an_hour_that_nobody_asked_for_is_no_row() -> None:
    assert not len(_hours(_estate("entrance"), [counted("a", NINE - timedelta(hours=1), 1, 1)]))


def test_hours_before_the_installation_and_after_now_are_no_rows() -> None:
    estate = roster(
        [store("s", "Asia/Kolkata")], [camera("a", "s", installed_on=date(2026, 2, 3))], {"a": ["entrance"]}
    )
    midnight = utc("2026-02-02T18:30")  # the third of February begins in India
    rows = _hours(
        estate,
        [counted("a", midnight + timedelta(hours=offset), 1, 1) for offset in range(-2, 3)],
        start=midnight - timedelta(hours=5),
        end=midnight + timedelta(hours=5),
        now=midnight + timedelta(hours=2),
    )
    assert rows["hour_start"].tolist() == [midnight, midnight + timedelta(hours=1)]


def test_an_empty_cell_is_missing_and_not_zero() -> None:
    row = one(_hours(_estate("entrance", "entrance", "passerby"), [counted("a", NINE, 5, 2, None, 1, 7, 7)]))
    assert row["total_entries"] is None
    assert row["total_exits"] == 3
    assert row["net_flow"] is None
    assert row["passersby"] == 14
    assert row["quality"]["counts"] == "partial"
    assert row["quality"]["total_entries"] == "empty_cell"
    assert row["data_completeness"] == 0.0


def test_an_empty_cell_of_a_line_without_a_role_harms_nothing() -> None:
    row = one(_hours(_estate("entrance"), [counted("a", NINE, 5, 2, None, None)]))
    assert row["total_entries"] == 5
    assert row["quality"]["counts"] == "measured"


def test_a_row_of_empty_cells_is_a_missing_hour() -> None:
    row = one(_hours(_estate("entrance"), [counted("a", NINE, *[None] * 8)]))
    assert row["quality"]["counts"] == "missing"
    assert row["quality"]["total_entries"] == "empty_cell"


def test_of_two_rows_for_one_hour_the_last_collected_holds() -> None:
    first = counted("a", NINE, 10, 1, collected=NINE + timedelta(minutes=90))
    later = counted("a", NINE, 7, 1, collected=NINE + timedelta(minutes=95))
    for rows in ([first, later], [later, first], [later, first, later]):
        assert one(_hours(_estate("entrance"), rows))["total_entries"] == 7


def test_a_running_hour_is_provisional() -> None:
    row = one(_hours(_estate("entrance"), [counted("a", NINE, 4, 1, final=False)], now=NINE + timedelta(minutes=30)))
    assert row["is_provisional"]
    assert row["quality"]["counts"] == "provisional"
    assert row["data_completeness"] == 0.0
    assert row["total_entries"] == 4


def test_a_camera_that_is_not_in_the_roster_is_left_out() -> None:
    rows = _hours(_estate("entrance"), [counted("a", NINE, 4, 1), counted("stranger", NINE, 9, 9)])
    assert len(rows) == 1


def test_a_dead_counter_at_zero_is_measured_and_has_no_busiest_line() -> None:
    row = one(_hours(_estate("entrance", "passerby"), [counted("a", NINE, 0, 0, 10, 10)]))
    assert row["total_entries"] == 0
    assert row["capture_rate_percent"] == 0
    assert row["busiest_line"] is None
    assert row["quality"]["busiest_line"] == row["quality"]["line_distribution"] == "nobody_crossed"


def test_the_first_of_equally_busy_lines_is_the_busiest() -> None:
    row = one(_hours(_estate("passerby", "entrance", "entrance"), [counted("a", NINE, 90, 90, 3, 2, 4, 1)]))
    assert row["busiest_line"] == 2


def test_a_camera_of_passersby_alone_has_no_entries() -> None:
    row = one(_hours(_estate("passerby"), [counted("a", NINE, 8, 4)]))
    assert row["passersby"] == 12
    assert row["data_completeness"] == 1.0
    assert row["quality"]["total_entries"] == row["quality"]["avg_occupancy"] == "no_entrance_line"


def test_heat_is_divided_by_the_scale_of_the_camera() -> None:
    estate = roster([store("s")], [camera("a", "s", heat_scale=10.0)], {"a": ["entrance", "internal"]})
    row = one(_hours(estate, [counted("a", NINE, 10, 10, 15, 5)], heat=[warm("a", NINE, 18000.0)]))
    assert row["avg_heat_value"] == 1800
    assert row["heat_seconds_per_passage"] == 45  # over all 40 crossings, the internal line included


@pytest.mark.parametrize(("crossings", "value", "reason"), [(5, 0.0, None), (6, None, "heat_not_held")])
def test_no_heat_beside_crossings_is_an_hour_that_the_camera_forgot(
    crossings: int, value: float | None, reason: str | None
) -> None:
    row = one(_hours(_estate("entrance"), [counted("a", NINE, crossings, 0)], heat=[warm("a", NINE, 0.0)]))
    assert row["avg_heat_value"] == value
    assert row["quality"].get("avg_heat_value") == reason


def test_heat_that_did_not_come_and_heat_without_a_value_are_told_apart() -> None:
    counts = [counted("a", NINE, 1, 1)]
    assert one(_hours(_estate("entrance"), counts))["quality"]["avg_heat_value"] == "not_collected"
    empty = one(_hours(_estate("entrance"), counts, heat=[warm("a", NINE, None)]))
    assert empty["quality"]["avg_heat_value"] == "empty_cell"
    quiet = one(_hours(_estate("entrance"), [counted("a", NINE)], heat=[warm("a", NINE, 60.0)]))
    assert quiet["quality"]["heat_seconds_per_passage"] == "nobody_crossed"


def test_only_configured_regions_are_shown() -> None:
    estate = roster([store("s")], [camera("a", "s"), camera("b", "s")], {}, {"a": [1, 3]})
    rows = _hours(
        estate,
        [counted("a", NINE), counted("b", NINE)],
        regions=[seen("a", NINE, 5, 6, 7, 8), seen("b", NINE, 5, 6, None, 8)],
    )
    assert json.loads(one(rows, sensor_id="a")["region_counts"]) == {"1": 5, "3": 7}
    assert json.loads(one(rows, sensor_id="b")["region_counts"]) == {"1": 5, "2": 6, "4": 8}


def _two_doors(**changes: Any) -> Roster:
    return roster(
        [store("s", **changes)],
        [camera("a", "s"), camera("b", "s"), camera("mall", "s")],
        {"a": ["entrance", "entrance"], "b": ["entrance", "internal"], "mall": ["passerby"]},
    )


def test_a_store_is_the_sum_of_its_cameras() -> None:
    estate = _two_doors()
    hours = _hours(
        estate,
        [counted("a", NINE, 6, 2, 4, 4), counted("b", NINE, 10, 6, 20, 20), counted("mall", NINE, 60, 20)],
        heat=[warm("a", NINE, 320.0), warm("b", NINE, 560.0)],
        regions=[seen("b", NINE, 9, 1, 0, 0)],
    )
    row = one(_store_hours(estate, hours))
    assert (row["total_entries"], row["total_exits"], row["passersby"]) == (20, 12, 80)
    assert row["capture_rate_percent"] == pytest.approx(25.0)
    assert row["data_completeness"] == 1.0
    assert row["busiest_line"] == "b:1"
    assert json.loads(row["line_distribution"]) == {"a:1": 8 / 32, "a:2": 8 / 32, "b:1": 16 / 32}
    assert json.loads(row["region_counts"]) == {"b:1": 9, "b:2": 1, "b:3": 0, "b:4": 0}
    assert row["avg_heat_value"] == 880
    assert row["heat_seconds_per_passage"] == pytest.approx(880 / (16 + 56))
    assert row["quality"]["counts"] == "measured"


def test_single_doors_do_not_carry_figures_of_the_store() -> None:
    rows = _hours(_two_doors(), [counted("a", NINE, 6, 2), counted("b", NINE, 10, 6)])
    for name in ("a", "b"):
        quality = one(rows, sensor_id=name)["quality"]
        assert quality["avg_occupancy"] == quality["capture_rate_percent"] == "store_level_only"


def test_a_store_with_a_silent_door_is_partial() -> None:
    estate = _two_doors()
    hours = _hours(estate, [counted("a", NINE, 6, 2), counted("mall", NINE, 60, 20)], asked=[("b", NINE, "refused")])
    row = one(_store_hours(estate, hours))
    assert row["total_entries"] == 6
    assert row["data_completeness"] == 0.5
    assert row["quality"]["counts"] == "partial"
    assert row["quality"]["capture_rate_percent"] == "partial_counts"
    # the shares of the door that counted would pass for those of the store
    assert row["quality"]["busiest_line"] == row["quality"]["line_distribution"] == "partial_counts"


def test_a_store_with_a_silent_passerby_camera_says_so() -> None:
    estate = roster(
        [store("s")],
        [camera("a", "s"), camera("m", "s"), camera("n", "s")],
        {"a": ["entrance"], "m": ["passerby"], "n": ["passerby"]},
    )
    hours = _hours(estate, [counted("a", NINE, 5, 5), counted("m", NINE, 10, 10)], asked=[("n", NINE, "reset")])
    row = one(_store_hours(estate, hours))
    assert row["data_completeness"] == 1.0  # completeness speaks of the doors
    assert row["passersby"] == 20
    assert row["quality"]["passersby"] == "partial"
    assert row["quality"]["capture_rate_percent"] == "partial_counts"


def test_a_store_in_which_no_door_answered_is_missing() -> None:
    estate = _two_doors()
    hours = _hours(estate, asked=[("a", NINE, "refused"), ("b", NINE, "timeout")])
    row = one(_store_hours(estate, hours))
    assert row["total_entries"] is None
    assert row["data_completeness"] == 0.0
    assert row["quality"]["total_entries"] == "no_camera_measured"


def test_a_store_whose_doors_were_not_asked_says_so() -> None:
    estate = _two_doors()
    row = one(_store_hours(estate, _hours(estate, [counted("mall", NINE, 5, 5)])))
    assert row["quality"]["total_entries"] == "not_asked"
    assert row["data_completeness"] == 0.0
    assert row["passersby"] == 10


def test_what_an_inactive_camera_counted_still_counts() -> None:
    estate = roster(
        [store("s")], [camera("a", "s", is_active=False), camera("b", "s")], {"a": ["entrance"], "b": ["entrance"]}
    )
    hours = _hours(estate, [counted("a", NINE, 3, 3), counted("b", NINE, 4, 4)])
    assert one(_store_hours(estate, hours))["total_entries"] == 7


def test_of_two_busiest_lines_the_first_camera_by_name_leads() -> None:
    estate = _two_doors()
    hours = _hours(estate, [counted("b", NINE, 4, 4), counted("a", NINE, 1, 1, 4, 4)])
    assert one(_store_hours(estate, hours))["busiest_line"] == "a:2"


@pytest.mark.parametrize("nothing", [pd.DataFrame(), people()], ids=["no columns", "no rows"])
def test_empty_frames_give_an_empty_frame(nothing: pd.DataFrame) -> None:
    estate = _two_doors()
    hours = sensor_hours(nothing, nothing, nothing, nothing.copy(), estate, NINE, LATER, LATER)
    assert_contract(hours, counts_of(HOURLY_ANALYTICS))
    assert_contract(store_hours(hours, estate, NINE, LATER, LATER), counts_of(STORE_HOURLY))
    assert len(hours) == 0


def test_an_empty_roster_gives_an_empty_frame() -> None:
    nobody = Roster(*[pd.DataFrame()] * 4)
    hours = sensor_hours(people([counted("a", NINE, 1)]), regional(), heat(), asked(), nobody, NINE, LATER, LATER)
    assert_contract(hours, counts_of(HOURLY_ANALYTICS))
    assert_contract(store_hours(hours, nobody, NINE, LATER, LATER), counts_of(STORE_HOURLY))
