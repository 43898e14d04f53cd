"""Stays by the log-linear curve and what follows for regions: worked by hand, against simulation, and bad input."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from retail_sensors.analytics import dwell
from retail_sensors.analytics.dwell import (
    REGION_DAYS,
    REGION_HOURS,
    REGION_STAYS,
    THRESHOLDS,
    region_days,
    region_hours,
    region_stays,
)
from retail_sensors.analytics.roster import Roster
from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.tables import HOURLY_ANALYTICS, REGION_CONFIGURATIONS, Table
from retail_sensors_tests.unit.analytics_estate import camera, hours_from, identity, one, roster, store, typed, utc

CAMERA = roster([store("s")], [camera("a", "s")], {})
DAY = date(2026, 2, 2)
MIDNIGHT = utc("2026-02-02T00:00")
LABELS = {"stay"}
EXPONENTIAL = tuple(math.exp(-k / 100) for k in THRESHOLDS)  # exponential stays of 100 s on average


def _assert_table(frame: pd.DataFrame, table: Table) -> None:
    """Declared columns and dtypes, finite numbers, unique keys, and a reason in `quality` for every NULL."""
    assert list(frame.columns) == list(table.names)
    assert not frame.duplicated(list(table.key)).any()
    for column in table.columns:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
        if column.kind.pandas == "Float64":
            assert np.isfinite(frame[column.name].dropna().to_numpy(dtype=float)).all(), column.name
    for row in frame.to_dict("records"):
        quality = json.loads(row["quality"])
        empty = {name for name, value in row.items() if value is None or value is pd.NA}
        assert {quality[name] for name in empty} <= set(dwell.REASONS)
        said = {name for name in set(quality) - LABELS if quality[name] != "above_heat"}
        assert empty == said, row


def _answers(*rows: tuple[str, int, date, float | None, Sequence[float | None]]) -> pd.DataFrame:
    """Rows (camera, region, day, detections, detections over each threshold)."""
    frame = pd.DataFrame(
        {
            "sensor_id": pd.array([identity(row[0]) for row in rows], dtype="string"),
            "region_number": pd.array([row[1] for row in rows], dtype="Int64"),
            "date": pd.Series([row[2] for row in rows], dtype=object),
            "detections": pd.array([row[3] for row in rows], dtype="Float64"),
        }
    )
    for position, seconds in enumerate(THRESHOLDS):
        frame[f"over_{seconds}_s"] = pd.array([row[4][position] for row in rows], dtype="Float64")
    return frame


def _stay(detections: float | None, longer: Sequence[float | None]) -> dict[str, Any]:
    frame = region_stays(_answers(("a", 1, DAY, detections, longer)), CAMERA)
    _assert_table(frame, REGION_STAYS)
    return one(frame)


def _estate(regions: Mapping[int, int | None], zone: str = "UTC") -> Roster:
    estate = roster([store("s", zone)], [camera("a", "s")], {})
    rows = [
        {"sensor_id": identity("a"), "region_number": n, "region_name": f"r{n}", "role": "zone", "capacity": capacity}
        for n, capacity in regions.items()
    ]
    return Roster(estate.stores, estate.sensors, estate.lines, typed(REGION_CONFIGURATIONS, rows))


def _hours(rows: Sequence[tuple[datetime, Mapping[str, float] | None, float | None]]) -> pd.DataFrame:
    """Rows (hour, detections by region, heat seconds) of `hourly_analytics` of camera `a`."""
    return typed(
        HOURLY_ANALYTICS,
        [
            {
                "sensor_id": identity("a"),
                "hour_start": hour,
                "is_open": True,
                "region_counts": None if counts is None else json.dumps(counts),
                "avg_heat_value": heat,
                "data_completeness": 1.0,
                "is_provisional": False,
                "quality": "{}",
            }
            for hour, counts, heat in rows
        ],
    )


def test_the_mean_stay_of_an_exponential_curve_is_its_mean() -> None:
    mean = dwell.mean_stay(np.array([EXPONENTIAL]))[0]
    assert mean == pytest.approx(100 * (1 - math.exp(-18)))  # the integral ends at 1800 s


def test_the_mean_stay_by_hand() -> None:
    # all stay 5 s, half of them 10 s, nobody 30 s: 5 + 0.5 x 5 / ln 2 + (0.5 + 0) / 2 x 20
    row = _stay(80, [80, 40, 0, 0, 0, 0, 0, 0])
    assert row["mean_stay_seconds"] == pytest.approx(5 + 2.5 / math.log(2) + 5)
    assert row["short_stay_share"] == pytest.approx(0.5)
    assert (row["stay_over_5_s"], row["stay_over_10_s"], row["stay_over_30_s"]) == (1, 0.5, 0)
    assert row["quality"] == {}


def test_stays_beyond_half_an_hour_are_a_lower_bound() -> None:
    assert _stay(100, [100, 90, 80, 70, 60, 50, 40, 3])["quality"] == {"stay": "lower_bound"}
    assert _stay(100, [100, 90, 80, 70, 60, 50, 40, 2])["quality"] == {}
    forever = _stay(10, [10] * 8)
    assert forever["mean_stay_seconds"] == pytest.approx(1800)


def test_a_share_that_rises_is_made_to_fall_and_labelled() -> None:
    row = _stay(100, [80, 40, 41, 20, 10, 5, 2, 0])
    assert row["stay_over_30_s"] == pytest.approx(0.4)
    assert row["quality"] == {"stay": "made_monotone"}
    assert row["mean_stay_seconds"] == _stay(100, [80, 40, 40, 20, 10, 5, 2, 0])["mean_stay_seconds"]


def test_more_long_stays_than_detections_are_no_answer() -> None:
    row = _stay(10, [11, 5, 4, 3, 2, 1, 0, 0])
    assert row["mean_stay_seconds"] is row["stay_over_60_s"] is None
    assert set(row["quality"].values()) == {"inconsistent_answers"}


def test_an_unanswered_question_leaves_the_mean_unknown_and_the_others_known() -> None:
    row = _stay(10, [9, 8, None, 6, 5, 4, 3, 0])
    assert row["mean_stay_seconds"] is row["stay_over_30_s"] is None
    assert (row["stay_over_60_s"], row["short_stay_share"]) == (pytest.approx(0.6), pytest.approx(0.2))
    assert row["quality"] == {"stay_over_30_s": "not_collected", "mean_stay_seconds": "not_collected"}
    assert set(_stay(None, [1] * 8)["quality"].values()) == {"not_collected"}
    assert set(_stay(0, [0] * 8)["quality"].values()) == {"nobody_detected"}


curves = st.lists(st.floats(0, 1), min_size=8, max_size=8).map(lambda shares: sorted(shares, reverse=True))


@settings(deadline=None)
@given(curves)
def test_the_mean_stay_lies_between_the_staircases_under_and_over_the_curve(shares: list[float]) -> None:
    mean = dwell.mean_stay(np.array([shares]))[0]
    width = np.diff((0, *THRESHOLDS))
    low, high = (width * shares).sum(), (width * [1, *shares[:-1]]).sum()
    assert low - 1e-9 <= mean <= high + 1e-9
    # the logarithmic mean lies between the geometric and the arithmetic one
    assert mean <= (low + high) / 2 + 1e-6


@settings(deadline=None)
@given(curves, st.integers(0, 7), st.floats(0, 1))
def test_longer_stays_never_shorten_the_mean(shares: list[float], where: int, raised: float) -> None:
    # the rule changes at a share of 0: the straight line to nothing lies over every curve that bends towards it
    shares = [max(share, 0.001) for share in shares]
    ceiling = shares[where - 1] if where else 1.0
    longer = [*shares]
    longer[where] = shares[where] + raised * (ceiling - shares[where])
    assert dwell.mean_stay(np.array([longer]))[0] >= dwell.mean_stay(np.array([shares]))[0] - 1e-6


@settings(deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(0, 60), min_size=8, max_size=8))
def test_any_answers_give_a_falling_curve_or_none(detections: int, longer: list[int]) -> None:
    row = _stay(detections, longer)
    shares = [row[f"stay_over_{seconds}_s"] for seconds in THRESHOLDS]
    if row["mean_stay_seconds"] is None:
        assert detections == 0 or max(longer) > detections
        assert shares == [None] * 8
    else:
        assert all(1 >= a >= b >= 0 for a, b in pairwise(shares))
        assert 0 <= row["mean_stay_seconds"] <= 1800


def test_time_occupied_at_most_against_a_simulated_region() -> None:
    # groups of two arrive at random and stay 60 s together: L = 1, occupied 1 - exp(-1 / 2)
    rng = np.random.default_rng(3)
    came = np.sort(rng.uniform(0, 2_000_000, rng.poisson(2_000_000 / 120)))
    occupied = np.minimum(np.diff(came, append=2_000_000), 60).sum() / 2_000_000
    bound = dwell.share_occupied_upper(np.array([1.0]), 2.0)[0]
    assert bound == pytest.approx(1 - math.exp(-0.5))
    assert occupied == pytest.approx(bound, abs=0.01)


def test_minutes_in_view_per_visitor_only_without_passers_by() -> None:
    found = dwell.heat_minutes_per_visitor(
        np.array([600.0, 600.0, 600.0, np.nan]), np.array([5.0, 5.0, 0.0, 5.0]), np.array([False, True, False, False])
    )
    assert found[0] == pytest.approx(2)
    assert np.isnan(found[1:]).all()


def test_people_present_in_a_region_by_hand() -> None:
    stays = region_stays(_answers(("a", 1, DAY, 1000, [1000 * share for share in EXPONENTIAL])), CAMERA)
    hours = _hours([(MIDNIGHT, {"1": 72, "2": 5}, 3600.0)])
    estate = _estate({1: 10, 2: None})
    frame = region_hours(hours, stays, estate, group_size=2.0)
    _assert_table(frame, REGION_HOURS)
    row = one(frame, region_number=1)
    assert (row["entries"], row["mean_stay_seconds"]) == (72, pytest.approx(100, rel=1e-6))
    assert row["avg_occupancy"] == pytest.approx(2)  # 72 / 3600 x 100
    assert row["utilization"] == pytest.approx(0.2)
    assert row["share_occupied_upper"] == pytest.approx(1 - math.exp(-1))
    assert row["short_stay_share"] == pytest.approx(1 - math.exp(-0.1))
    assert row["quality"] == {"avg_occupancy": "above_heat"}  # 2 present in regions, 1 in view
    other = one(frame, region_number=2)
    assert other["entries"] == 5
    assert set(other["quality"].values()) == {"not_collected"}


def test_heat_is_a_check_only_where_regions_do_not_overlap() -> None:
    stays = region_stays(_answers(*(("a", n, DAY, 1000, [1000 * s for s in EXPONENTIAL]) for n in (1, 2))), CAMERA)
    estate = _estate({1: 10, 2: 10})
    for heat, flagged in ((3600.0 * 1.7, False), (3600.0 * 1.6, True), (None, False)):
        frame = region_hours(_hours([(MIDNIGHT, {"1": 36, "2": 36}, heat)]), stays, estate)
        assert [("avg_occupancy" in json.loads(text)) for text in frame["quality"]] == [flagged] * 2
    frame = region_hours(_hours([(MIDNIGHT, {"1": 36, "2": 36}, 0.0)]), stays, estate, overlapping=[identity("a")])
    assert frame["quality"].tolist() == ["{}", "{}"]


def test_what_a_region_without_stays_capacity_or_people_says() -> None:
    none = region_stays(_answers(), CAMERA)
    frame = region_hours(_hours([(MIDNIGHT, {"1": 36}, None)]), none, _estate({1: 10}))
    _assert_table(frame, REGION_HOURS)
    assert one(frame)["quality"]["avg_occupancy"] == "not_collected"
    empty = region_stays(_answers(("a", 1, DAY, 0, [0] * 8)), CAMERA)
    quiet = one(region_hours(_hours([(MIDNIGHT, {"1": 0}, None)]), empty, _estate({1: None})))
    assert (quiet["avg_occupancy"], quiet["share_occupied_upper"]) == (0, 0)
    assert quiet["quality"] == {
        "mean_stay_seconds": "nobody_detected",
        "short_stay_share": "nobody_detected",
        "utilization": "no_capacity",
    }
    long = region_stays(_answers(("a", 1, DAY, 10, [10] * 8)), CAMERA)
    queue = one(region_hours(_hours([(MIDNIGHT, {"1": 2}, None)]), long, _estate({1: 4})))
    assert queue["avg_occupancy"] == pytest.approx(1)
    assert queue["quality"] == {"stay": "lower_bound", "share_occupied_upper": "stay_is_lower_bound"}
    missing = region_hours(_hours([(MIDNIGHT, None, None)]), long, _estate({1: 4}))
    _assert_table(missing, REGION_HOURS)
    assert one(missing)["quality"]["entries"] == "not_collected"


@pytest.mark.parametrize(("zone", "day", "length"), [("UTC", DAY, 24), ("Europe/Berlin", date(2026, 3, 29), 23)])
def test_a_day_is_the_mean_of_its_known_hours(zone: str, day: date, length: int) -> None:
    first = utc(f"{day}T00:00") - (timedelta(hours=1) if length == 23 else timedelta())
    rows: list[tuple[datetime, dict[str, float] | None, float | None]]
    rows = [(hour, {"1": 36.0} if n % 2 else {"1": 108.0}, None) for n, hour in enumerate(hours_from(first, length))]
    rows[4] = (rows[4][0], None, None)
    before = (first - timedelta(hours=1), {"1": 999.0}, None)
    stays = region_stays(_answers(("a", 1, day, 1000, [1000 * share for share in EXPONENTIAL])), CAMERA)
    frame = region_days(_hours([before, *rows]), stays, _estate({1: 10}, zone))
    _assert_table(frame, REGION_DAYS)
    row = one(frame, date=day)
    known = [3.0 if n % 2 == 0 else 1.0 for n in range(length) if n != 4]
    assert row["entries"] == 36 * sum(known)
    assert row["avg_occupancy"] == pytest.approx(np.mean(known), rel=1e-6)
    assert row["utilization"] == pytest.approx(np.mean(known) / 10, rel=1e-6)
    assert row["share_occupied_upper"] == pytest.approx(np.mean(1 - np.exp(-np.array(known))), rel=1e-6)
    assert row["data_completeness"] == pytest.approx((length - 1) / length)


def test_a_day_holds_more_than_is_in_view_only_over_the_hours_with_heat() -> None:
    stays = region_stays(_answers(("a", 1, DAY, 1000, [1000 * share for share in EXPONENTIAL])), CAMERA)
    rows = [(MIDNIGHT, {"1": 36.0}, 3600.0), (MIDNIGHT + timedelta(hours=1), {"1": 360.0}, None)]
    assert one(region_days(_hours(rows), stays, _estate({1: 10})))["quality"] == {}
    rows.append((MIDNIGHT + timedelta(hours=2), {"1": 36.0}, 0.0))
    found = one(region_days(_hours(rows), stays, _estate({1: 10})))["quality"]
    assert found == {"avg_occupancy": "above_heat"}


def test_order_and_doubled_rows_do_not_matter() -> None:
    answers = _answers(
        *(("a", n, DAY + timedelta(days=d), 100 + n, [100 * s for s in EXPONENTIAL]) for n in (1, 2) for d in (0, 1))
    )
    again = pd.concat([answers.iloc[::-1], answers]).reset_index(drop=True)
    stays = region_stays(answers, CAMERA)
    assert_frame_equal(stays, region_stays(again, CAMERA))
    hours = _hours([(hour, {"1": 5, "2": n % 3}, 100.0 * n) for n, hour in enumerate(hours_from(MIDNIGHT, 48))])
    doubled = pd.concat([hours.iloc[::-1], hours]).reset_index(drop=True)
    estate = _estate({1: 10, 2: None})
    for figures in (region_hours, region_days):
        frame = figures(hours, stays, estate)
        assert_frame_equal(frame, figures(doubled, stays.iloc[::-1], estate))
        assert len(frame) == (96 if figures is region_hours else 4)


def test_nothing_in_nothing_out() -> None:
    stays = region_stays(_answers(), CAMERA)
    _assert_table(stays, REGION_STAYS)
    for frame, table in (
        (region_hours(_hours([]), stays, _estate({1: 1})), REGION_HOURS),
        (region_days(_hours([]), stays, _estate({1: 1})), REGION_DAYS),
    ):
        _assert_table(frame, table)
        assert len(frame) == 0


def test_what_cannot_be_meant_is_refused() -> None:
    stays = region_stays(_answers(), CAMERA)
    with pytest.raises(ConfigurationError, match="group of 0"):
        region_hours(_hours([]), stays, _estate({1: 1}), group_size=0)
    with pytest.raises(ContractError, match="over_300_s"):
        region_stays(_answers(("a", 1, DAY, 1, [1] * 8)).drop(columns="over_300_s"), CAMERA)
