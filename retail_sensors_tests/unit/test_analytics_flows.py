"""Modelled flows: shares worked by hand and recovered from exact counts, what cannot be told, and bad input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from retail_sensors.analytics import flows
from retail_sensors.analytics.flows import camera_flows, fit, pathways, ways_of
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.flows_summary import busiest_cameras
from retail_sensors.errors import ContractError
from retail_sensors.tables import HOURLY_ANALYTICS, Table
from retail_sensors.tables.regions import CAMERA_FLOW_MATRIX, PATHWAY_ANALYTICS, REGION_ADJACENCY
from retail_sensors_tests.unit.analytics_estate import camera, hours_from, identity, one, roster, store, typed, utc

DAY = date(2026, 2, 20)
LATER = utc("2027-01-01T00:00")
DAYS = 14
FIRST = utc("2026-02-07T00:00")  # the first hour of the 14 days that end with DAY

Pairs = Sequence[tuple[str, int, str, int]]


def _adjacency(*pairs: tuple[str, int, str, int]) -> pd.DataFrame:
    return typed(
        REGION_ADJACENCY,
        [
            {"sensor_id": identity(a), "from_region": i, "to_sensor_id": identity(b), "to_region": j}
            for a, i, b, j in pairs
        ],
    )


def _estate(regions: Mapping[str, Sequence[int]], zone: str = "UTC") -> Roster:
    return roster([store("s", zone)], [camera(name, "s") for name in regions], {}, regions)


def _hours(counts: Mapping[str, Mapping[int, Sequence[float | None]]], first: datetime = FIRST) -> pd.DataFrame:
    """Rows of `hourly_analytics` from the counts of each camera's regions, hour by hour; an hour of None has no counts."""
    rows = []
    for name, regions in counts.items():
        length = len(next(iter(regions.values())))
        for n, hour in enumerate(hours_from(first, length)):
            cells = {str(region): values[n] for region, values in regions.items()}
            known = all(value is not None for value in cells.values())
            rows.append(
                {
                    "sensor_id": identity(name),
                    "hour_start": hour,
                    "is_open": True,
                    "region_counts": json.dumps(cells) if known else None,
                    "data_completeness": 1.0 if known else 0.0,
                    "is_provisional": False,
                    "quality": "{}",
                }
            )
    return typed(HOURLY_ANALYTICS, rows)


def _counts(seed: int, days: int = DAYS) -> list[float]:
    return np.random.default_rng(seed).poisson(40, 24 * days).astype(float).tolist()


def _assert_table(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    assert list(frame.columns) == [column.name for column in table.written]
    assert not frame.duplicated(list(table.key)).any()
    for column in table.written:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
    for row in frame.to_dict("records"):
        said = json.loads(row["quality"])
        assert said.pop("counts") == "modelled"
        assert said.keys() == {name for name, value in row.items() if value is None or value is pd.NA}, row
        assert set(said.values()) <= set(flows.REASONS)
    return frame


def _pathways(
    hours: pd.DataFrame, estate: Roster, *pairs: tuple[str, int, str, int], first: date = DAY, days: int = 1
) -> pd.DataFrame:
    dates = (first, first + timedelta(days=days))
    frame = pathways(hours, ways_of(_adjacency(*pairs), estate), estate, dates, LATER)
    assert (frame["from_region"] != frame["to_region"]).all()
    return _assert_table(frame, PATHWAY_ANALYTICS)


def _matrix(hours: pd.DataFrame, estate: Roster, *pairs: tuple[str, int, str, int]) -> pd.DataFrame:
    dates = (DAY, DAY + timedelta(days=1))
    frame = camera_flows(hours, ways_of(_adjacency(*pairs), estate), estate, dates, LATER)
    return _assert_table(frame, CAMERA_FLOW_MATRIX)


def _listed(adjacency: pd.DataFrame, estate: Roster) -> list[tuple[int, int]]:
    """The ways as (camera and region, camera and region), such as 12 for the second camera's third region."""
    ways = ways_of(adjacency, estate)
    return [
        (int(a // 4 * 10 + a % 4 + 1), int(b // 4 * 10 + b % 4 + 1))
        for a, b in zip(ways.source, ways.target, strict=True)
    ]


def test_regions_lead_to_all_others_of_their_camera_unless_it_is_declared() -> None:
    estate = _estate({"a": [1, 2, 4], "b": [1, 2], "c": []})
    assert _listed(_adjacency(), estate) == [(1, 2), (1, 4), (2, 1), (2, 4), (4, 1), (4, 2), (11, 12), (12, 11)]
    declared = _adjacency(("a", 1, "a", 2), ("a", 1, "b", 1), ("b", 1, "b", 2))
    assert _listed(declared, estate) == [(1, 2), (1, 11), (2, 1), (2, 4), (4, 1), (4, 2), (11, 12), (12, 11)]


def test_ways_that_lead_nowhere_are_left_out() -> None:
    elsewhere = roster([store("s"), store("t")], [camera("a", "s"), camera("b", "t")], {}, {"a": [1, 2], "b": [1]})
    pairs = (("a", 1, "b", 1), ("a", 1, "a", 3), ("a", 2, "a", 2), ("gone", 1, "a", 1), ("a", 3, "a", 1))
    # what is left of region 1's is nothing that could be meant: it leads to the others as if nothing were declared
    assert _listed(_adjacency(*pairs), elsewhere) == [(1, 2), (2, 1)]
    assert _listed(_adjacency(*pairs), _estate({})) == []


def test_a_fit_by_hand() -> None:
    # two regions that take turns: 10 and then 20 a visit; the third sees half of the first and a tenth of the second
    sources = np.tile([[10.0, 0.0], [0.0, 20.0]], (100, 1))
    found = fit(sources, np.tile([5.0, 2.0], 100))
    assert found.shares == pytest.approx([0.5, 0.1])
    assert (found.rest, found.total) == (pytest.approx(0, abs=1e-9), pytest.approx(np.sqrt(100 * 29)))
    # a target that is 1 too high in every other hour of the second: sqrt(50 x 2 x 0.5^2) is left over
    noisy = fit(sources, np.tile([5.0, 2.0, 5.0, 3.0], 50))
    assert noisy.shares == pytest.approx([0.5, 0.125])
    assert noisy.rest == pytest.approx(np.sqrt(50 * 2 * 0.25))


def test_no_share_is_negative() -> None:
    rng = np.random.default_rng(1)
    source = rng.poisson(30, 300).astype(float)
    found = fit(source[:, None], -source)
    assert found.shares.tolist() == [0]
    assert found.rest == found.total


def test_what_rises_and_falls_together_is_not_told_apart() -> None:
    source = np.random.default_rng(1).poisson(30, 300).astype(float)
    nearly = source + np.tile([0, 0.1], 150)
    assert fit(np.stack([source, nearly], axis=1), source).reason == "not_separable"
    assert fit(np.stack([source, 1000 * source[::-1]], axis=1), source).reason == ""  # busy and quiet alone do no harm


def test_a_region_that_sees_nobody_gives_nothing() -> None:
    source = np.random.default_rng(1).poisson(30, 300).astype(float)
    found = fit(np.stack([source, 0 * source], axis=1), 0.25 * source)
    assert found.shares == pytest.approx([0.25, 0])
    nobody = fit(0 * source[:, None], source)
    assert (nobody.shares.tolist(), nobody.rest) == ([0], nobody.total)
    assert fit(source[:, None], 0 * source).shares.tolist() == [0]


def test_too_few_hours_tell_nothing() -> None:
    source = np.random.default_rng(1).poisson(30, 300).astype(float)
    holes = source.copy()
    holes[: 300 - flows.MIN_HOURS + 1] = np.nan
    assert fit(source[:, None], holes).reason == "too_few_hours"
    holes[300 - flows.MIN_HOURS] = 7
    assert fit(source[:, None], holes).reason == ""


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 2), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_exact_flows_are_recovered(shares: list[float], seed: int) -> None:
    sources = np.random.default_rng(seed).poisson(50, (250, len(shares))).astype(float)
    found = fit(sources, sources @ shares)
    assert found.shares == pytest.approx(shares, abs=1e-6)
    assert found.rest <= 1e-6 * max(found.total, 1)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_any_counts_give_shares_that_are_not_negative_and_explain_something(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = fit(rng.poisson(3, (210, count)).astype(float), rng.poisson(5, 210).astype(float))
    assert (found.shares >= 0).all()
    assert 0 <= found.rest <= found.total


def test_pathways_of_a_day_by_hand() -> None:
    first, second = _counts(1), _counts(2)
    third = [0.5 * a + 0.25 * b for a, b in zip(first, second, strict=True)]
    estate = _estate({"a": [1, 2, 3, 4]})
    hours = _hours({"a": {1: first, 2: second, 3: third, 4: [0.25 * a for a in first]}})
    back = (("a", 3, "a", 2), ("a", 4, "a", 2))
    frame = _pathways(hours, estate, ("a", 1, "a", 3), ("a", 1, "a", 4), ("a", 2, "a", 3), *back)
    today = first[-24:]
    row = one(frame, from_region=1, to_region=3)
    assert row["transition_count"] == round(0.5 * sum(today))
    assert row["peak_transition_hour"] == time(int(np.argmax(today)))
    assert row["pathway_efficiency_score"] == pytest.approx(100 * 2 / 3)
    assert (row["is_primary_path"], row["residual"], row["data_completeness"]) == (True, pytest.approx(0, abs=1e-6), 1)
    assert row["quality"] == {"counts": "modelled", "avg_transition_time_seconds": "no_minute_data"}
    side = one(frame, from_region=1, to_region=4)
    assert side["transition_count"] == round(0.25 * sum(today))
    assert (side["pathway_efficiency_score"], side["is_primary_path"]) == (pytest.approx(100 / 3), False)
    other = one(frame, from_region=2, to_region=3)
    assert (other["pathway_efficiency_score"], other["is_primary_path"]) == (pytest.approx(100), True)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_what_leaves_a_region_is_shared_out_among_its_ways(seed: int) -> None:
    counts = np.random.default_rng(seed).poisson((5, 20, 60), (24 * DAYS, 3)).astype(float)
    frame = _pathways(_hours({"a": {n + 1: counts[:, n].tolist() for n in range(3)}}), _estate({"a": [1, 2, 3]}))
    assert len(frame) == 6
    for _, ways in frame.groupby("from_region"):
        assert (ways["transition_count"] >= 0).all()
        shares = ways["pathway_efficiency_score"].dropna()
        assert len(shares) == 0 or shares.sum() == pytest.approx(100)
        assert ways["is_primary_path"].sum() == (len(shares) > 0)


def test_flows_between_cameras_are_the_sum_of_their_ways() -> None:
    first, second = _counts(1), _counts(2)
    estate = _estate({"door": [1, 2], "tills": [1, 2]})
    hours = _hours(
        {
            "door": {1: first, 2: second},
            "tills": {1: [0.5 * a for a in first], 2: [0.125 * b for b in second]},
        }
    )
    pairs = (("door", 1, "tills", 1), ("door", 2, "tills", 2), ("tills", 1, "tills", 2))
    frame = _matrix(hours, estate, *pairs)
    assert len(frame) == 1
    row = one(frame, store_id="s", from_camera=identity("door"), to_camera=identity("tills"))
    going = [0.5 * a + 0.125 * b for a, b in zip(first[-24:], second[-24:], strict=True)]
    assert row["transition_count"] == round(sum(going))
    assert row["peak_flow_hour"] == time(int(np.argmax(going)))
    assert (row["residual"], row["data_completeness"]) == (pytest.approx(0, abs=1e-6), 1)
    assert row["quality"]["flow_type"] == row["quality"]["conversion_impact"] == "no_tracks"
    # the way that leaves the camera is the only one out of region 1 and counts in its shares
    assert len(_pathways(hours, estate, *pairs)) == 2
    both = _pathways(hours, estate, *pairs, ("tills", 1, "door", 1))
    row = one(both, sensor_id="tills", from_region=1, to_region=2)
    assert row["pathway_efficiency_score"] == pytest.approx(0, abs=1e-6)
    assert not row["is_primary_path"]


def test_what_a_day_cannot_tell_says_why() -> None:
    first, second = _counts(1), _counts(2)
    estate = _estate({"a": [1, 2]})
    few = one(
        _pathways(_hours({"a": {1: first[-190:], 2: second[-190:]}}, FIRST + timedelta(hours=146)), estate),
        from_region=1,
    )
    assert few["quality"]["transition_count"] == few["quality"]["is_primary_path"] == "too_few_hours"
    assert few["residual"] is few["transition_count"] is few["peak_transition_hour"] is None
    dark = [*first[:-24], *[None] * 24]
    blind = one(_pathways(_hours({"a": {1: dark, 2: dark}}), estate), from_region=1)
    assert set(blind["quality"].values()) == {"modelled", "not_collected", "no_minute_data"}
    assert blind["data_completeness"] == 0
    closed = one(_pathways(_hours({"a": {1: [*first[:-24], *[0.0] * 24], 2: second}}), estate), from_region=1)
    assert (closed["transition_count"], closed["is_primary_path"]) == (0, False)
    assert closed["quality"]["peak_transition_hour"] == closed["quality"]["pathway_efficiency_score"] == "no_flow"
    part = one(_pathways(_hours({"a": {1: [*first[:-6], *[None] * 6], 2: second}}), estate), from_region=1)
    assert part["data_completeness"] == 0.75


def test_what_a_camera_saw_before_its_first_day_tells_nothing() -> None:
    estate = _estate({"a": [1, 2]})
    hours = _hours({"a": {1: _counts(1), 2: _counts(2)}})
    assert one(_pathways(hours, estate), from_region=1)["transition_count"] is not None
    new = replace(estate, sensors=estate.sensors.assign(installed_on=[DAY - timedelta(days=6)]))
    assert one(_pathways(hours, new), from_region=1)["quality"]["transition_count"] == "too_few_hours"


def test_one_unknown_way_out_leaves_the_shares_of_the_others_unknown() -> None:
    first, second = _counts(1), _counts(2)
    estate = _estate({"a": [1, 2], "b": [1]})
    hours = _hours({"a": {1: first, 2: second}, "b": {1: [*[None] * 300, *first[300:]]}})
    row = one(_pathways(hours, estate, ("a", 1, "a", 2), ("a", 1, "b", 1)), sensor_id="a", from_region=1)
    assert row["transition_count"] is not None
    assert row["pathway_efficiency_score"] is row["is_primary_path"] is None
    assert row["quality"]["is_primary_path"] == "another_way_unknown"
    pair = one(_matrix(hours, estate, ("a", 1, "a", 2), ("a", 1, "b", 1)))
    assert pair["quality"]["transition_count"] == pair["quality"]["residual"] == "too_few_hours"


def test_the_fit_knows_56_days_and_nothing_of_later_ones() -> None:
    length = 24 * 60
    rng = np.random.default_rng(5)
    source = rng.poisson(40, length).astype(float)
    target = 0.5 * source
    target[: 24 * 3] = 400  # 57 days and more before the last day but one
    target[-24:] = 0  # the last day
    estate = _estate({"a": [1, 2]})
    first = datetime.combine(DAY, time(), utc("2026-01-01T00:00").tzinfo) - timedelta(days=58)
    hours = _hours({"a": {1: source.tolist(), 2: target.tolist()}}, first)
    frame = _pathways(hours, estate, ("a", 1, "a", 2), days=2)
    exact = one(frame, from_region=1, date=DAY)
    assert exact["transition_count"] == round(0.5 * source[-48:-24].sum())
    assert exact["residual"] == pytest.approx(0, abs=1e-6)
    assert one(frame, from_region=1, date=DAY + timedelta(days=1))["residual"] > 0.05


def test_days_are_the_stores_and_only_those_that_have_ended() -> None:
    estate = _estate({"a": [1, 2]}, "Asia/Kolkata")
    first, second = _counts(1), _counts(2)
    hours = _hours({"a": {1: first, 2: second}}, FIRST - timedelta(minutes=330))
    ways = ways_of(_adjacency(), estate)
    dates = (DAY - timedelta(days=1), DAY + timedelta(days=3))
    frame = pathways(hours, ways, estate, dates, utc("2026-02-20T18:29"))
    assert set(frame["date"]) == {DAY - timedelta(days=1)}
    whole = pathways(hours, ways, estate, dates, utc("2026-02-20T18:30"))
    assert set(whole["date"]) == {DAY - timedelta(days=1), DAY}
    assert one(whole, from_region=1, date=DAY)["peak_transition_hour"] == time(int(np.argmax(first[-24:])))
    assert set(whole["data_completeness"]) == {1.0}


def test_order_and_doubled_rows_do_not_matter() -> None:
    estate = _estate({"a": [1, 2, 3], "b": [1]})
    hours = _hours({"a": {n: _counts(n) for n in (1, 2, 3)}, "b": {1: _counts(9)}})
    doubled = pd.concat([hours.iloc[::-1], hours]).reset_index(drop=True)
    pair = ("a", 1, "b", 1)
    assert_frame_equal(_pathways(hours, estate, pair), _pathways(doubled, estate, pair))
    assert_frame_equal(_matrix(hours, estate, pair), _matrix(doubled, estate, pair))


def test_a_picture_shows_the_cameras_of_the_largest_flows_and_no_more_than_are_legible() -> None:
    doors = [f"door {n}" for n in range(3)]
    pairs = [(a, b) for a in doors for b in doors if a != b] + [("hall", f"room {n}") for n in range(20)]
    counts = [*range(100, 106), *range(50, 70)]
    flows = pd.DataFrame(pairs, columns=["from_camera", "to_camera"])
    flows["transition_count"] = pd.array([*counts[:-1], None], dtype="Int64")
    cameras = busiest_cameras(flows)
    assert set(cameras[:3]) == set(doors)
    assert cameras[3:] == ["hall", *(f"room {n}" for n in range(18, 10, -1))]


def test_nothing_in_nothing_out_and_dates_run_forwards() -> None:
    estate = _estate({"a": [1, 2], "b": [1]})
    for pairs in ((), (("a", 1, "b", 1),)):
        assert len(_pathways(_hours({}), estate, *pairs)) == 0
        assert len(_matrix(_hours({}), estate, *pairs)) == 0
    hours = _hours({"a": {1: _counts(1), 2: _counts(2)}})
    assert len(_matrix(hours, estate)) == 0
    assert len(_pathways(hours, _estate({"a": [1]}))) == 0
    with pytest.raises(ContractError, match="run backwards"):
        _pathways(hours, estate, days=-1)
