"""Stays by the log-linear curve and what follows for regions: worked by hand, against simulation, and bad input."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from retail_sensors.analytics.dwell import METRICS, region_figures, region_hours, region_stays
from retail_sensors.analytics.roster import Roster
from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.tables import HOURLY_ANALYTICS, REGION_CONFIGURATIONS, Table
from retail_sensors.tables.regions import REGION_STAYS, REGIONAL_ANALYTICS, STAY_SECONDS
from retail_sensors_tests.unit.analytics_estate import camera, hours_from, identity, one, roster, store, typed, utc

CAMERA = roster([store("s")], [camera("a", "s")], {})
DAY = date(2026, 2, 2)
MIDNIGHT = utc("2026-02-02T00:00")
LABELS = {"stay"}
EXPONENTIAL = tuple(math.exp(-k / 100) for k in STAY_SECONDS)  # exponential stays of 100 s on average


def _assert_table(frame: pd.DataFrame, table: Table) -> None:
    """Declared columns and dtypes, finite numbers, unique keys, and a reason in `quality` for every NULL."""
    assert list(frame.columns) == [column.name for column in table.written]
    assert not frame.duplicated(list(table.key)).any()
    for column in table.written:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
        if column.kind.pandas == "Float64":
            assert np.isfinite(frame[column.name].dropna().to_numpy(dtype=float)).all(), column.name
    for row in frame.to_dict("records"):
        quality = json.loads(row["quality"])
        empty = {name for name, value in row.items() if value is None or value is pd.NA}
        assert {quality[name] for name in empty} <= set(dwell.REASONS)
        said = {name for name in set(quality) - LABELS if quality[name] != "above_heat"}
        assert empty == said, row


def _figures(
    hours: pd.DataFrame, stays: pd.DataFrame, estate: Roster, days: int = 1, first: date = DAY, **settings: Any
) -> pd.DataFrame:
    """Rows of `regional_analytics` with their metrics beside them as columns, checked against the contract."""
    now = settings.pop("now", utc("2027-01-01T00:00"))
    frame = region_figures(hours, stays, estate, (first, first + timedelta(days=days)), now, **settings)
    assert list(frame.columns) == [column.name for column in REGIONAL_ANALYTICS.written]
    for column in REGIONAL_ANALYTICS.written:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
    assert not frame.isna().any(axis=None)
    assert not frame.duplicated(list(REGIONAL_ANALYTICS.key)).any()
    found = [json.loads(text) for text in frame["metrics"]]
    for metrics in found:
        assert list(metrics) == ["source", *METRICS, "quality"]
        empty = {name for name in METRICS if metrics[name] is None}
        said = {name for name, word in metrics["quality"].items() if name not in LABELS and word != "above_heat"}
        assert empty == said, metrics
        assert {metrics["quality"][name] for name in empty} <= set(dwell.REASONS)
    beside = pd.DataFrame(found, columns=["source", *METRICS, "quality"], index=frame.index).astype(object)
    return pd.concat([frame, beside.where(beside.notna(), None)], axis=1)


def _row(frame: pd.DataFrame, **where: Any) -> dict[str, Any]:
    found = frame[np.logical_and.reduce([frame[name] == value for name, value in where.items()])]
    assert len(found) == 1, f"{len(found)} rows for {where}"
    return {str(name): value for name, value in found.iloc[0].items()}


def _hour(frame: pd.DataFrame, **where: Any) -> dict[str, Any]:
    return _row(frame, bucket_size="1h", **where)


def _day(frame: pd.DataFrame, **where: Any) -> dict[str, Any]:
    return _row(frame, bucket_size="1day", **where)


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
    for position, seconds in enumerate(STAY_SECONDS):
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


def test_a_row_says_of_how_many_detections_and_a_region_that_is_not_drawn_has_none() -> None:
    answers = _answers(*(("a", region, DAY, 80, [40] + [0] * 7) for region in (1, 2, 3)))
    frame = region_stays(answers, _estate({1: None, 3: 5}))
    assert frame["region_number"].tolist() == [1, 3]
    assert frame["detections"].tolist() == [80, 80]
    unknown = _stay(None, [None] * 8)
    assert (unknown["detections"], unknown["quality"]["detections"]) == (None, "not_collected")


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
    width = np.diff((0, *STAY_SECONDS))
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
    shares = [row[f"stay_over_{seconds}_s"] for seconds in STAY_SECONDS]
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


def test_people_present_in_a_region_by_hand() -> None:
    stays = region_stays(_answers(("a", 1, DAY, 1000, [1000 * share for share in EXPONENTIAL])), CAMERA)
    hours = _hours([(MIDNIGHT, {"1": 72, "2": 5}, 3600.0)])
    frame = _figures(hours, stays, _estate({1: 10, 2: None}), group_size=2.0)
    row = _hour(frame, region_number=1)
    assert (row["time_bucket"], row["date"], row["data_completeness"]) == (MIDNIGHT, DAY, 1)
    assert (row["entries"], row["mean_stay_s"]) == (72, pytest.approx(100, rel=1e-6))
    assert row["avg_occupancy"] == pytest.approx(2)  # 72 / 3600 x 100
    assert row["utilisation"] == pytest.approx(0.2)
    assert row["share_occupied_upper"] == pytest.approx(1 - math.exp(-1))
    assert row["short_stay_share"] == pytest.approx(1 - math.exp(-0.1))
    assert row["quality"] == {"avg_occupancy": "above_heat"}  # 2 present in regions, 1 in view
    other = _hour(frame, region_number=2)
    assert other["entries"] == 5
    assert set(other["quality"].values()) == {"not_collected"}


def test_the_figures_of_hours_are_also_given_as_columns() -> None:
    stays = region_stays(_answers(("a", 1, DAY, 1000, [1000 * share for share in EXPONENTIAL])), CAMERA)
    hours = _hours([(MIDNIGHT, {"1": 72}, None), (MIDNIGHT + timedelta(hours=1), None, None)])
    columns = region_hours(hours, stays, _estate({1: 10}))
    assert columns["hour_start"].tolist() == [MIDNIGHT, MIDNIGHT + timedelta(hours=1)]
    assert columns["avg_occupancy"].tolist() == [pytest.approx(2), pytest.approx(np.nan, nan_ok=True)]
    texts = _figures(hours, stays, _estate({1: 10}))
    for name in METRICS:
        assert columns[name][0] == _hour(texts, time_bucket=MIDNIGHT)[name]


def test_heat_is_a_check_only_where_regions_do_not_overlap() -> None:
    stays = region_stays(_answers(*(("a", n, DAY, 1000, [1000 * s for s in EXPONENTIAL]) for n in (1, 2))), CAMERA)
    estate = _estate({1: 10, 2: 10})
    for heat, flagged in ((3600.0 * 1.7, False), (3600.0 * 1.6, True), (None, False)):
        frame = _figures(_hours([(MIDNIGHT, {"1": 36, "2": 36}, heat)]), stays, estate)
        assert [("avg_occupancy" in said) for said in frame["quality"]] == [flagged] * 4
    frame = _figures(_hours([(MIDNIGHT, {"1": 36, "2": 36}, 0.0)]), stays, estate, overlapping=[identity("a")])
    assert frame["quality"].tolist() == [{}] * 4


def test_what_a_region_without_stays_capacity_or_people_says() -> None:
    none = region_stays(_answers(), CAMERA)
    frame = _figures(_hours([(MIDNIGHT, {"1": 36}, None)]), none, _estate({1: 10}))
    assert _hour(frame)["quality"]["avg_occupancy"] == "not_collected"
    empty = region_stays(_answers(("a", 1, DAY, 0, [0] * 8)), CAMERA)
    quiet = _hour(_figures(_hours([(MIDNIGHT, {"1": 0}, None)]), empty, _estate({1: None})))
    assert (quiet["avg_occupancy"], quiet["share_occupied_upper"]) == (0, 0)
    assert quiet["quality"] == {
        "mean_stay_s": "nobody_detected",
        "short_stay_share": "nobody_detected",
        "utilisation": "no_capacity",
    }
    long = region_stays(_answers(("a", 1, DAY, 10, [10] * 8)), CAMERA)
    queue = _hour(_figures(_hours([(MIDNIGHT, {"1": 2}, None)]), long, _estate({1: 4})))
    assert queue["avg_occupancy"] == pytest.approx(1)
    assert queue["quality"] == {"stay": "lower_bound", "share_occupied_upper": "stay_is_lower_bound"}
    missing = _figures(_hours([(MIDNIGHT, None, None)]), long, _estate({1: 4}))
    assert _hour(missing)["quality"]["entries"] == "not_collected"
    assert _hour(missing)["data_completeness"] == _day(missing)["data_completeness"] == 0


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [("UTC", DAY, 24), ("Europe/Berlin", date(2026, 3, 29), 23), ("Europe/Berlin", date(2025, 10, 26), 25)],
)
def test_a_day_is_the_mean_of_its_known_hours(zone: str, day: date, length: int) -> None:
    first = utc(f"{day}T00:00") - timedelta(hours={24: 0, 23: 1, 25: 2}[length])
    rows: list[tuple[datetime, dict[str, float] | None, float | None]]
    rows = [(hour, {"1": 36.0} if n % 2 else {"1": 108.0}, None) for n, hour in enumerate(hours_from(first, length))]
    rows[4] = (rows[4][0], None, None)
    around = [(at, {"1": 999.0}, None) for at in (first - timedelta(hours=1), first + timedelta(hours=length))]
    stays = region_stays(_answers(("a", 1, day, 1000, [1000 * share for share in EXPONENTIAL])), CAMERA)
    frame = _figures(_hours([around[0], *rows, around[1]]), stays, _estate({1: 10}, zone), first=day)
    assert len(frame) == length + 1
    row = _day(frame)
    known = [3.0 if n % 2 == 0 else 1.0 for n in range(length) if n != 4]
    assert (row["date"], row["time_bucket"]) == (day, first)
    assert row["entries"] == 36 * sum(known) == sum(frame[frame["bucket_size"] == "1h"]["entries"].dropna())
    assert row["avg_occupancy"] == pytest.approx(np.mean(known), rel=1e-6)
    assert row["utilisation"] == pytest.approx(np.mean(known) / 10, rel=1e-6)
    assert row["share_occupied_upper"] == pytest.approx(np.mean(1 - np.exp(-np.array(known))), rel=1e-6)
    assert row["data_completeness"] == pytest.approx((length - 1) / length)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.none() | st.integers(0, 500), min_size=48, max_size=48))
def test_known_hours_add_up_to_the_day(counts: list[int | None]) -> None:
    stays = region_stays(_answers(("a", 1, DAY, 1000, [1000 * share for share in EXPONENTIAL])), CAMERA)
    cells = [None if count is None else {"1": float(count)} for count in counts]
    hours = _hours([(at, cell, None) for at, cell in zip(hours_from(MIDNIGHT, 48), cells, strict=True)])
    frame = _figures(hours, stays, _estate({1: 10}), days=2)
    for number in (0, 1):
        known = [count for count in counts[24 * number :][:24] if count is not None]
        day = _day(frame, date=DAY + timedelta(days=number))
        assert day["entries"] == (sum(known) if known else None)
        assert day["data_completeness"] == pytest.approx(len(known) / 24)
    first = [count for count in counts[:24] if count is not None]
    present = _day(frame, date=DAY)["avg_occupancy"]
    # Little's law: detections a second over the known hours x mean stay
    assert present == (pytest.approx(sum(first) / len(first) / 3600 * 100, rel=1e-6) if first else None)


def test_an_hour_that_was_not_counted_to_its_end_is_not_complete() -> None:
    none = region_stays(_answers(), CAMERA)
    hours = _hours([(hour, {"1": 3}, None) for hour in hours_from(MIDNIGHT, 24)])
    hours["total_entries"] = hours["total_exits"] = pd.array([4] * 24, dtype="Float64")
    hours["data_completeness"] = pd.array([0.0, *[1.0] * 23], dtype="Float64")
    frame = _figures(hours, none, _estate({1: None}))
    assert (_day(frame)["entries"], _day(frame)["data_completeness"]) == (72, pytest.approx(23 / 24))
    assert _hour(frame, time_bucket=MIDNIGHT)["data_completeness"] == 0
    hours["region_counts"] = pd.array([None] * 24, dtype="string")
    virtual = _day(_figures(hours, none, CAMERA))
    assert (virtual["entries"], virtual["data_completeness"]) == (8 * 24, pytest.approx(23 / 24))


def test_only_days_that_have_ended_are_told() -> None:
    none = region_stays(_answers(), CAMERA)
    hours = _hours([(hour, {"1": 3}, None) for hour in hours_from(MIDNIGHT, 48)])
    frame = _figures(hours, none, _estate({1: 1}), days=2, now=utc("2026-02-03T23:59"))
    assert set(frame["date"]) == {DAY}
    assert len(_figures(hours, none, _estate({1: 1}), days=2, now=utc("2026-02-04T00:00"))) == 50


def test_a_region_is_told_from_its_cameras_first_day_on() -> None:
    none = region_stays(_answers(), CAMERA)
    hours = _hours([(hour, {"1": 3}, None) for hour in hours_from(MIDNIGHT, 48)])
    estate = _estate({1: 1})
    estate = replace(estate, sensors=estate.sensors.assign(installed_on=[DAY + timedelta(days=1)]))
    assert set(_figures(hours, none, estate, days=2)["date"]) == {DAY + timedelta(days=1)}


def test_a_region_that_nobody_configured_is_told_where_it_counted() -> None:
    none = region_stays(_answers(), CAMERA)
    frame = _figures(_hours([(MIDNIGHT, {"1": 3, "2": 0}, None)]), none, CAMERA)
    assert sorted(frame["region_number"]) == [1, 1, 2, 2]
    configured = _figures(_hours([(MIDNIGHT, {"1": 3}, None)]), none, _estate({4: None}))
    assert sorted(configured["region_number"]) == [4, 4]


def test_a_camera_without_regions_has_a_virtual_one_around_its_doors() -> None:
    hours = _hours([(hour, None, None) for hour in hours_from(MIDNIGHT, 24)])
    hours["total_entries"] = pd.array([7, 3, *[0] * 22], dtype="Float64")
    hours["total_exits"] = pd.array([1, None, *[0] * 22], dtype="Float64")
    none = region_stays(_answers(), CAMERA)
    frame = _figures(hours, none, CAMERA)
    assert set(frame["source"]) == {"virtual"}
    row = _hour(frame, time_bucket=MIDNIGHT)
    assert (row["region_number"], row["entries"], row["avg_occupancy"]) == (1, 8, None)
    assert {row["quality"][name] for name in METRICS[1:]} == {"virtual_region"}
    assert _hour(frame, time_bucket=MIDNIGHT + timedelta(hours=1))["quality"]["entries"] == "not_collected"
    day = _day(frame)
    assert (day["entries"], day["data_completeness"]) == (8, pytest.approx(23 / 24))
    # never beside a region that is configured, that the camera is asked for, or that counted on that day
    assert set(_figures(hours, none, _estate({2: None}))["source"]) == {"measured"}
    asked = roster([store("s")], [camera("a", "s", endpoints='["regional_counting"]')], {})
    assert len(_figures(hours, none, asked)) == 0
    corridor = roster([store("s")], [camera("a", "s")], {"a": ["passerby"]})
    assert len(_figures(hours, none, corridor)) == 0
    hours["region_counts"] = pd.array(['{"3": 5}', *[None] * 23], dtype="string")
    assert set(_figures(hours, none, CAMERA)["source"]) == {"measured"}


def test_a_day_holds_more_than_is_in_view_only_over_the_hours_with_heat() -> None:
    stays = region_stays(_answers(("a", 1, DAY, 1000, [1000 * share for share in EXPONENTIAL])), CAMERA)
    rows = [(MIDNIGHT, {"1": 36.0}, 3600.0), (MIDNIGHT + timedelta(hours=1), {"1": 360.0}, None)]
    assert _day(_figures(_hours(rows), stays, _estate({1: 10})))["quality"] == {}
    rows.append((MIDNIGHT + timedelta(hours=2), {"1": 36.0}, 0.0))
    found = _day(_figures(_hours(rows), stays, _estate({1: 10})))["quality"]
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
    frame = _figures(hours, stays, estate, days=2)
    assert_frame_equal(frame, _figures(doubled, stays.iloc[::-1], estate, days=2))
    assert len(frame) == 100


def test_nothing_in_nothing_out() -> None:
    stays = region_stays(_answers(), CAMERA)
    _assert_table(stays, REGION_STAYS)
    assert len(_figures(_hours([]), stays, _estate({1: 1}))) == 0
    assert len(region_hours(_hours([]), stays, _estate({1: 1}))) == 0


def test_what_cannot_be_meant_is_refused() -> None:
    stays = region_stays(_answers(), CAMERA)
    with pytest.raises(ConfigurationError, match="group of 0"):
        _figures(_hours([]), stays, _estate({1: 1}), group_size=0)
    with pytest.raises(ContractError, match="run backwards"):
        _figures(_hours([]), stays, _estate({1: 1}), days=-1)
    with pytest.raises(ContractError, match="over_300_s"):
        region_stays(_answers(("a", 1, DAY, 1, [1] * 8)).drop(columns="over_300_s"), CAMERA)
