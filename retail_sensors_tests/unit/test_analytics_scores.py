"""Ranks, medians and trends worked by hand, against scipy, and on years of real counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from retail_sensors.analytics import frames, scores
from retail_sensors.analytics.scores import Like

NAN = np.nan

values = st.one_of(st.just(NAN), st.floats(0.001, 1e6), st.integers(0, 5).map(float))
eights = st.lists(values, min_size=8, max_size=8)


def _like(series: list[float], step: int = 7) -> Like:
    """One row of comparable values, `step` days apart."""
    padded = [NAN] * (scores.MOST - len(series)) + series
    days = np.where(np.isnan(padded), NAN, np.arange(scores.MOST) * float(step))
    return Like(np.array([padded]), days[None, :])


@pytest.mark.parametrize(
    ("value", "like", "expected"),
    [
        (5, [1, 2, 3, 4], 100),
        (0, [1, 2, 3, 4], 0),
        (3, [1, 2, 3, 4], 62.5),  # two less, one equal: 2.5 of 4
        (3, [3, 3, 3, 3, 3], 50),
        (2.5, [1, 2, 3, 4, 5, 6, 7, 8], 25),
        (5, [1, 2, 3], NAN),
        (NAN, [1, 2, 3, 4], NAN),
    ],
)
def test_a_score_is_the_percentile_rank(value: float, like: list[float], expected: float) -> None:
    found = scores.percentile_rank(np.array([value]), _like([float(x) for x in like]).values)[0]
    assert found == expected or (np.isnan(found) and np.isnan(expected))


@settings(deadline=None)
@given(st.floats(0, 1e6), eights)
def test_a_score_agrees_with_scipy_and_turns_with_the_sign(value: float, like: list[float]) -> None:
    known = [x for x in like if not np.isnan(x)]
    found = scores.percentile_rank(np.array([value]), np.array([like]))[0]
    if len(known) < 4:
        assert np.isnan(found)
        return
    assert found == pytest.approx(stats.percentileofscore(known, value, kind="mean"))
    assert scores.percentile_rank(np.array([-value]), -np.array([like]))[0] == pytest.approx(100 - found)


@settings(deadline=None)
@given(eights, st.integers(1, 8))
def test_the_median_is_that_of_the_known_values(like: list[float], least: int) -> None:
    known = [x for x in like if not np.isnan(x)]
    found = scores.known_median(np.array([like]), least)[0]
    assert np.isnan(found) if len(known) < least else found == pytest.approx(np.median(known))


def test_a_trend_by_hand() -> None:
    # 100, 107, 114, 121 a week apart: slope 1 a day, median 110.5
    assert scores.relative_slope(_like([100.0, 107.0, 114.0, 121.0]))[0] == pytest.approx(1 / 110.5)
    # one wild week does not bend it: 6 of the 10 slopes are 1, and so is their median; that of the values is 114
    assert scores.relative_slope(_like([100.0, 107.0, 114.0, 121.0, 900.0]))[0] == pytest.approx(1 / 114)
    assert np.isnan(scores.relative_slope(_like([100.0, 107.0, 114.0]))[0])
    assert np.isnan(scores.relative_slope(_like([0.0, 0.0, 0.0, 0.0]))[0])


@settings(deadline=None)
@given(eights, st.integers(1, 7))
def test_a_slope_agrees_with_scipy(like: list[float], step: int) -> None:
    row = np.array(like)
    days = np.where(np.isnan(row), NAN, np.arange(8.0) * step)
    known = ~np.isnan(row)
    found = scores.relative_slope(Like(row[None, :], days[None, :]))[0]
    if known.sum() < 4 or np.median(row[known]) <= 0:
        assert np.isnan(found)
        return
    expected = stats.theilslopes(row[known], days[known])[0] / np.median(row[known])
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_trend_words_turn_where_less_is_better() -> None:
    slope = np.array([0.02, 0.01, -0.01, -0.02, NAN])
    more, less = (scores.trends(slope, np.full(5, turned)).tolist() for turned in (False, True))
    assert more == ["improving", "stable", "stable", "declining", None]
    assert less == ["declining", "stable", "stable", "improving", None]


def test_the_last_comparable_values_are_those_of_the_group_and_the_year() -> None:
    day = np.array([400, 407, 414, 428, 400, 36, 35])
    value = np.array([1.0, 2.0, NAN, 4.0, 50.0, 6.0, 7.0])
    group = np.array([0, 0, 0, 0, 1, 0, 0])
    asked = (np.array([0, 0, 1, 2]), np.array([428, 400, 401, 428]))
    before = scores.last_comparable(asked, group, day, value)
    assert [row[~np.isnan(row)].tolist() for row in before.values] == [[1, 2], [6], [50], []]
    assert before.days[0][~np.isnan(before.days[0])].tolist() == [400, 407]
    assert before.count.tolist() == [2, 1, 1, 0]
    until = scores.last_comparable(asked, group, day, value, including=True)
    assert [row[~np.isnan(row)].tolist() for row in until.values] == [[1, 2, 4], [6, 1], [50], []]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), unique=True, max_size=60), st.integers(0, 999))
def test_at_most_eight_and_only_earlier_ones(places: list[tuple[int, int]], seed: int) -> None:
    group = np.array([g for g, _ in places], dtype=np.int64)
    day = np.array([d for _, d in places], dtype=np.int64)
    value = day + 1000.0 * group
    order = np.random.default_rng(seed).permutation(len(places))
    like = scores.last_comparable((group, day), group[order], day[order], value[order])
    for row, (own_group, own_day) in enumerate(places):
        expected = sorted(d for g, d in places if g == own_group and d < own_day)[-8:]
        assert like.days[row][~np.isnan(like.days[row])].tolist() == expected
        assert like.values[row][~np.isnan(like.values[row])].tolist() == [d + 1000.0 * own_group for d in expected]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), values), max_size=40))
def test_peers_are_at_least_five(rows: list[tuple[int, float]]) -> None:
    group = np.array([g for g, _ in rows], dtype=np.int64)
    value = np.array([v for _, v in rows], dtype=float)
    found = scores.peer_medians(group, value, 4)
    for number in range(4):
        known = [v for g, v in rows if g == number and not np.isnan(v)]
        assert np.isnan(found[number]) if len(known) < 5 else found[number] == pytest.approx(np.median(known))


def test_overall_needs_two_of_three() -> None:
    parts = [np.array(part) for part in ([80.0, 80, NAN, 10], [NAN, 40, NAN, 20], [NAN, NAN, 50, 60])]
    found = scores.overall_performance(*parts)
    assert found[1] == 60
    assert found[3] == 30
    assert np.isnan(found[[0, 2]]).all()


def test_on_real_years_scores_are_centred_and_most_trends_are_stable(real_counts: Callable[[str], Path]) -> None:
    wide = pd.read_csv(
        real_counts("leeds/leeds_2009_2014_wide.csv.gz"), parse_dates=["local_time"], index_col="local_time"
    )
    daily = wide.loc["2010":"2012"].resample("D").sum(min_count=24)
    first = frames.day_number(date(2010, 1, 1))
    day = np.tile(first + np.arange(len(daily)), daily.shape[1])
    camera = np.repeat(np.arange(daily.shape[1]), len(daily))
    value = daily.to_numpy(dtype=float).T.reshape(-1)
    group = camera * 7 + day % 7
    before = scores.last_comparable((group, day), group, day, value)
    score = scores.percentile_rank(value, before.values)
    until = scores.last_comparable((group, day), group, day, value, including=True)
    words = pd.Series(scores.trends(scores.relative_slope(until), np.zeros(len(day), dtype=bool)))
    share = words.value_counts(normalize=True)
    known = ~np.isnan(score)
    assert known.sum() > 7000
    assert 40 <= score[known].mean() <= 60
    assert score[known].min() == 0
    assert score[known].max() == 100
    # a change of 1 % a day, half as many or many again in 8 weeks, is no chance of the weather
    assert share["stable"] > 0.9
    assert {"improving", "declining"} <= set(share.index)
