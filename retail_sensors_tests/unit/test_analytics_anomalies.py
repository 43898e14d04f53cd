"""Anomalies: tails and thresholds worked by hand, planted events of every type, and what holds for any counts.

The planted events stand in a shop that counts the same every week: 40 people an hour from nine to nine, in and out, with a
little seeded chance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from benchmarks.anomalies import quiet, read_counts, read_events, score
from retail_sensors.analytics import anomaly_texts, baseline, faults, persistence, tails
from retail_sensors.analytics.anomalies import detect
from retail_sensors.analytics.frames import Array
from retail_sensors.errors import ContractError
from retail_sensors.tables.anomalies import EVENTS

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
WEEKS = 7
HOURS = WEEKS * 168
HOUR = timedelta(hours=1)
END = BEGIN + HOURS * HOUR


def _array(*values: float) -> Array:
    return np.array(values, dtype=float)


# Tails. With k = 1 the negative binomial is geometric: P(X >= x) = (mu / (1 + mu)) ^ x, halves for mu = 1.


def test_tails_of_the_geometric_distribution() -> None:
    one = _array(1.0)
    assert tails.at_least(_array(3), one, one)[0] == pytest.approx(1 / 8)
    assert tails.at_most(_array(1), one, one)[0] == pytest.approx(3 / 4)
    assert tails.two_sided(_array(3), one, one)[0] == pytest.approx(1 / 4)
    assert tails.two_sided(_array(0), one, one)[0] == 1.0
    assert tails.log_mass(_array(2), one, one)[0] == pytest.approx(math.log(1 / 8))


def test_deviate_is_the_normal_quantile_of_the_mid_tail() -> None:
    # P(X > 1) + P(X = 1) / 2 = 1/4 + 1/8
    found = tails.deviate(_array(1), _array(1), _array(1))[0]
    assert 0.5 * math.erfc(found / math.sqrt(2)) == pytest.approx(3 / 8)
    assert abs(tails.deviate(_array(0), _array(0.02), _array(50))[0]) < 0.05
    assert tails.deviate(_array(9000, 0), _array(10, 9000), _array(50, 50)).tolist() == pytest.approx([8, -8])
    assert np.isnan(tails.deviate(_array(np.nan), _array(1), _array(1))[0])


@given(x=st.integers(0, 3000), mu=st.floats(0.01, 2000), k=st.floats(0.3, 1e4), more=st.integers(1, 50))
def test_tails_are_probabilities_that_meet_and_deviates_rise(x: int, mu: float, k: float, more: int) -> None:
    count, mean, shape = _array(x), _array(mu), _array(k)
    above, below = tails.at_least(count, mean, shape)[0], tails.at_most(count, mean, shape)[0]
    assert 0 <= above <= 1
    assert above + below == pytest.approx(1 + math.exp(tails.log_mass(count, mean, shape)[0]), rel=1e-6)
    assert tails.deviate(count + more, mean, shape)[0] >= tails.deviate(count, mean, shape)[0] - 1e-9


# Baseline


def _noise(shape: tuple[int, ...], seed: int, mean: float = 40.0, k: float = 100.0) -> Array:
    return np.random.default_rng(seed).negative_binomial(k, k / (k + mean), shape).astype(float)


def test_expected_count_of_a_steady_slot_is_its_count() -> None:
    expected = baseline.expect(np.full((1, 42, 24), 20.0), 0, np.array([28]))
    assert np.isnan(expected.mean[0, :7]).all()
    # Half a person over 5 own weeks and the pool's share is what the rare count costs.
    assert expected.mean[0, 41].tolist() == pytest.approx([20.0] * 24, abs=0.15)


def test_one_wild_day_moves_the_baseline_by_less_than_a_standard_deviation() -> None:
    counts = _noise((1, 56, 24), 1)
    wild = counts.copy()
    wild[0, 42] *= 20
    warm = np.array([28])
    apart = baseline.expect(wild, 0, warm).mean[0, 49] - baseline.expect(counts, 0, warm).mean[0, 49]
    assert np.abs(apart).max() < np.sqrt(40 + 40**2 / 100)


def test_a_lasting_change_becomes_the_baseline() -> None:
    counts = _noise((1, 84, 24), 2)
    counts[0, 42:] *= 2
    assert baseline.expect(counts, 0, np.array([28])).mean[0, 80].mean() == pytest.approx(80, rel=0.15)


def test_the_only_weekday_that_is_open_in_an_hour_is_expected_after_three_weeks() -> None:
    counts = np.zeros((1, 84, 24))
    counts[0, :, 10:20] = 50.0
    counts[0, 4::7, 20] = counts[0, 5::7, 20] = 50.0  # Friday and Saturday close an hour later
    mean = baseline.expect(counts, 0, np.array([28])).mean[0, :, 20]
    assert mean[25::7].tolist() == pytest.approx([50.0] * 9, rel=0.15)
    assert mean[26::7].tolist() == pytest.approx([50.0] * 9, rel=0.15)
    assert np.delete(mean[28:], np.r_[4:56:7, 5:56:7]).max() < 1.5


@pytest.mark.parametrize("weeks", [3, 5, 7])
def test_after_weeks_without_counts_the_last_known_weeks_are_expected(weeks: int) -> None:
    counts = np.full((1, 120, 24), 100.0)
    counts[0, 56 : 56 + 7 * weeks] = np.nan
    expected = baseline.expect(counts, 0, np.array([28])).mean[0, 56 + 7 * weeks]
    # Half a person is what the rare count costs; one own day is left after 7 weeks.
    assert expected.tolist() == pytest.approx([100.0] * 24, abs=0.6)


def test_dispersion_is_learnt_from_the_counts() -> None:
    learnt = [
        float(np.median(baseline.expect(_noise((20, 84, 24), 3, k=k), 0, np.full(20, 28)).dispersion[:, -1]))
        for k in (5.0, 50.0)
    ]
    assert learnt[0] == pytest.approx(1 / 5, rel=0.35)
    assert learnt[1] == pytest.approx(1 / 50, rel=0.6)


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(29, 48), seed=st.integers(0, 1000))
def test_expected_counts_know_nothing_of_their_own_day_or_later(cut: int, seed: int) -> None:
    counts = _noise((2, 49, 24), seed)
    changed = counts.copy()
    changed[:, cut:] = _noise((2, 49 - cut, 24), seed + 1, mean=300)
    warm = np.array([28, 28])
    before, after = baseline.expect(counts, 3, warm), baseline.expect(changed, 3, warm)
    np.testing.assert_array_equal(before.mean[:, : cut + 1], after.mean[:, : cut + 1])
    np.testing.assert_array_equal(before.k[:, : cut + 1], after.k[:, : cut + 1])


# Persistence


def test_three_odd_slots_in_a_row_outweigh_three_apart() -> None:
    row, apart = np.zeros((1, 1, 40)), np.zeros((1, 1, 40))
    row[0, 0, 20:23] = 2.5
    apart[0, 0, [10, 20, 30]] = 2.5
    together, scattered = (persistence.scores(values, 1.0)[0].max() for values in (row, apart))
    assert together > scattered + 3


def test_drops_mirror_spikes_and_a_missing_slot_is_no_evidence() -> None:
    deviates = np.random.default_rng(1).normal(size=(3, 2, 200))
    up, down = persistence.scores(deviates, 2.0)
    mirrored_up, mirrored_down = persistence.scores(-deviates, 2.0)
    np.testing.assert_allclose(up, mirrored_down)
    np.testing.assert_allclose(down, mirrored_up)
    silent = persistence.scores(np.full((1, 1, 300), np.nan), 1.0)[0]
    assert silent[0, -1] == pytest.approx(silent[0, -2])
    assert (silent < persistence.FLOOR + 1).all()


def test_threshold_by_hand() -> None:
    """24 peaks in 12 weeks, 0 to 23: m = 15 at a quarter a week, over a base of 8; the lower third of the excesses 1 .. 15 ends at
    1 + 14 / 3, so the scale is (15 x 5.667 / ln 1.5 + 4) / 19 and the rate to come down from 16 / 12 a week."""
    peaks = np.arange(24.0)
    scale = (15 * (1 + 14 / 3) / math.log(1.5) + 4) / 19
    expected = 8 + 19 * scale * ((16 / 12 / 0.25) ** (1 / 19) - 1)
    assert persistence.threshold(peaks, np.full(24, 6.0), 12.0, 0.25) == pytest.approx(expected)


def test_a_storm_raises_the_threshold_over_its_surplus() -> None:
    # At 0.5 a week a second peak within one week has a probability of 9 %: more than one is a storm, the second highest the limit.
    peaks = np.concatenate([np.zeros(20), [50.0, 40.0, 30.0]])
    calm = persistence.threshold(peaks, np.full(23, 8.0), 20.0, 0.5)
    stormy = persistence.threshold(peaks, np.concatenate([np.full(20, 8.0), [0.1, 0.2, 0.3]]), 20.0, 0.5)
    assert calm < 40
    assert stormy == 40


@settings(max_examples=50)
@given(st.lists(st.floats(-4, 20), max_size=60), st.floats(0.1, 5), st.floats(3, 30))
def test_a_larger_budget_never_raises_the_threshold(peaks: list[float], budget: float, weeks: float) -> None:
    values, age = np.array(peaks), np.full(len(peaks), 5.0)
    low, high = (persistence.threshold(values, age, weeks, size) for size in (budget, budget * 4))
    assert np.isfinite([low, high]).all()
    assert low >= persistence.FLOOR


def test_alarms_an_hour_apart_are_one() -> None:
    score = np.full(400, -6.0)
    score[[300, 302, 305]] = 30.0
    found = persistence.alarms(score, np.arange(400) // 24, begun=0, warm=7, budget=1.0, apart=1)
    assert [(alarm.first, alarm.last) for alarm in found] == [(300, 302), (305, 305)]


# Faults


def test_stuck_needs_expectation_and_others_that_count() -> None:
    # P(0) = (1 + 8 / 2) ^ -2 = 1 / 25 a slot; six of them are 25 ^ -6, that is e^-19.3.
    counts, mean, k = np.array([5.0] + [0.0] * 6 + [4.0]), np.full(8, 8.0), np.full(8, 2.0)
    (span,) = faults.stuck_at_zero(counts, mean, k, np.ones(8, dtype=bool), 15.0)
    assert (span.first, span.last, span.decided) == (1, 6, 5)
    assert span.evidence == pytest.approx(6 * math.log(25))
    assert faults.stuck_at_zero(counts, mean, k, np.zeros(8, dtype=bool), 15.0) == []
    assert faults.stuck_at_zero(counts, np.full(8, 0.01), k, np.ones(8, dtype=bool), 15.0) == []


def test_frozen_counts_are_those_that_chance_does_not_repeat() -> None:
    k = np.full(9, 20.0)
    assert faults.frozen(np.full(9, 1.0), k, 17.0) == []
    assert faults.frozen(np.zeros(9), k, 17.0) == []
    (span,) = faults.frozen(np.array([300.0, 412, 412, 412, 412, 412, 300, 310, 305]), k, 17.0)
    assert (span.first, span.last) == (1, 5)


def test_residual_by_hand_and_three_days_make_an_imbalance() -> None:
    entries, exits = np.full(25, 100.0), np.full(25, 90.0)
    assert faults.residuals(entries[:1], exits[:1])[0] == pytest.approx(0.1)
    exits[20:22] = 20.0
    assert faults.imbalance(entries, exits).spans == []
    exits[22] = 20.0
    (span,) = faults.imbalance(entries, exits).spans
    assert (span.first, span.last, span.decided) == (20, 22, 22)
    # On a closed day nobody comes: it neither makes a day of three nor parts them.
    exits[21], entries[21] = 0.0, 0.0
    assert faults.imbalance(entries, exits).spans == []
    exits[23] = 20.0
    (span,) = faults.imbalance(entries, exits).spans
    assert (span.first, span.last, span.decided) == (20, 23, 23)


def test_what_a_residual_was_expected_to_be_is_the_median_of_four_weeks() -> None:
    """Residuals 0, 0.01, 0.02, ...: 14 days before the 15th, then the last 28."""
    entries = np.full(40, 1000.0)
    expected = faults.imbalance(entries, entries - 10 * np.arange(40)).expected
    assert np.isnan(expected[:14]).all()
    assert expected[14] == pytest.approx(0.065)
    assert expected[39] == pytest.approx((11 + 38) / 2 / 100)


# Events


def _shop(seed: int = 5, series: str = "door") -> pd.DataFrame:
    hour = np.arange(HOURS) % 24
    is_open = (hour >= 9) & (hour < 21)
    counts = _noise((2, HOURS), seed) * is_open
    # The morning comes in, the evening goes out.
    tilt = np.where(is_open, (hour - 14.5) / 12, 0)
    return pd.DataFrame(
        {
            "series": series,
            "slot_start": pd.date_range(BEGIN, periods=HOURS, freq="h"),
            "in_count": np.round(counts[0] * (1 - tilt)),
            "out_count": np.round(counts[1] * (1 + tilt)),
        }
    )


def _assert_contract(frame: pd.DataFrame) -> None:
    """Columns, dtypes, keys and NULLs as EVENTS declares them; every JSON text is JSON."""
    assert list(frame.columns) == list(EVENTS.names)
    for column in EVENTS.columns:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
        assert column.nullable or not frame[column.name].isna().any(), column.name
        if column.kind.pandas == "Float64":
            assert np.isfinite(frame[column.name].dropna().to_numpy(dtype=float)).all(), column.name
    assert not frame.duplicated(list(EVENTS.key)).any()
    for name in ("context", "potential_causes", "recommended_actions"):
        assert all(json.loads(text) for text in frame[name])


def _found(history: pd.DataFrame, now: datetime = END, **changes: Any) -> pd.DataFrame:
    frame = detect(history, step=HOUR, now=now, **{"zones": "UTC", **changes})
    _assert_contract(frame)
    return frame


def _only(frame: pd.DataFrame, kind: str) -> dict[str, Any]:
    rows = frame[frame["anomaly_type"] == kind]
    assert len(rows) == 1, rows
    return {str(name): value for name, value in rows.iloc[0].items()}


def _planted(hours: slice, metric: list[str], factor: float) -> pd.DataFrame:
    history = _shop()
    history.loc[history.index[hours], metric] = np.round(history.loc[history.index[hours], metric] * factor)
    return history


NOON = 40 * 24 + 12  # of a Saturday
BOTH = ["in_count", "out_count"]


def test_an_undisturbed_shop_has_no_fault_and_keeps_its_budget() -> None:
    frame = _found(_shop())
    assert set(frame["anomaly_type"]) <= {"traffic_spike", "traffic_drop", "unusual_pattern"}
    assert len(frame) <= 3


def test_a_spike_has_its_figures_by_the_formulas() -> None:
    row = _only(_found(_planted(slice(NOON, NOON + 3), BOTH, 3.0), since=BEGIN + NOON * HOUR), "traffic_spike")
    assert row["started_at"] == BEGIN + NOON * HOUR
    assert row["detected_at"] == BEGIN + (NOON + 1) * HOUR
    assert row["ended_at"] == BEGIN + (NOON + 3) * HOUR
    assert row["expected_value"] == pytest.approx(120, rel=0.25)
    assert row["deviation_percent"] == pytest.approx(100 * (row["actual_value"] / row["expected_value"] - 1))
    assert row["deviation_stddev"] > 5
    assert row["affected_metric"] in BOTH
    assert 0.2 < row["severity"] <= 1
    assert row["confidence"] > 0.999
    assert row["auto_resolved"]
    assert not row["manual_review_required"]
    assert json.loads(row["potential_causes"]) == list(anomaly_texts.CAUSES["traffic_spike"])
    assert json.loads(row["context"])["slots"] == 3


def test_an_event_of_one_direction_is_found_and_named() -> None:
    row = _only(_found(_planted(slice(NOON, NOON + 3), ["out_count"], 3.0), since=BEGIN + NOON * HOUR), "traffic_spike")
    assert row["affected_metric"] == "out_count"


def test_a_holiday_is_named_as_the_likely_cause_of_a_drop() -> None:
    day = slice(40 * 24, 41 * 24)
    holidays = pd.DataFrame({"date": [date(2026, 2, 14)], "name": ["Founders' Day"]})
    frame = _found(_planted(day, BOTH, 0.0), holidays=holidays, since=BEGIN + 40 * 24 * HOUR)
    row = _only(frame, "traffic_drop")
    assert json.loads(row["potential_causes"])[0] == "holiday: Founders' Day"
    assert json.loads(row["context"])["holiday"] == "Founders' Day"
    assert row["deviation_percent"] == pytest.approx(-100)
    # Nobody else counted: an empty shop is no fault of its sensor.
    assert "sensor_issue" not in set(frame["anomaly_type"])


def test_an_event_resolves_itself_after_three_normal_slots() -> None:
    history = _planted(slice(NOON, NOON + 3), BOTH, 3.0)
    resolved = [
        bool(
            _only(_found(history, now=BEGIN + (NOON + 3 + after) * HOUR, since=BEGIN + NOON * HOUR), "traffic_spike")[
                "auto_resolved"
            ]
        )
        for after in (0, 2, 3)
    ]
    assert resolved == [False, False, True]


def test_people_at_other_hours_are_an_unusual_pattern() -> None:
    history = _shop()
    for metric in BOTH:
        values = history[metric].to_numpy(copy=True)
        day = values[NOON - 12 : NOON + 12]
        # The same people, three hours later: the shop opens at noon and closes at midnight.
        values[NOON - 12 : NOON + 12] = np.roll(day, 3)
        history[metric] = values
    strict = _found(history, since=BEGIN + (NOON - 12) * HOUR)
    assert {"unusual_pattern", "traffic_spike", "traffic_drop"} & set(strict["anomaly_type"])
    shape = faults.shapes(
        history["in_count"].to_numpy().reshape(-1, 24),
        baseline.expect(_shop()["in_count"].to_numpy().reshape(1, -1, 24), 0, np.array([28])).mean[0],
        1.0,
    )
    assert shape.moved[40] == pytest.approx(3, abs=0.5)
    assert shape.deviate[40] == np.nanmax(shape.deviate)
    assert shape.deviate[40] > 6


def test_a_line_stuck_at_zero_while_its_neighbour_counts() -> None:
    first, second = _shop(5).assign(component="line1"), _shop(6).assign(component="line2")
    first.loc[NOON : NOON + 30, BOTH] = 0
    row = _only(_found(pd.concat([first, second]), since=BEGIN + NOON * HOUR), "sensor_issue")
    assert json.loads(row["context"])["fault"] == "stuck_at_zero"
    assert row["affected_component"] == "line1"
    assert row["affected_metric"] == "all"
    assert row["actual_value"] == 0
    assert row["manual_review_required"]
    assert row["started_at"] == BEGIN + NOON * HOUR


def test_one_direction_stuck_names_that_direction() -> None:
    history = _shop()
    history.loc[NOON : NOON + 8, "out_count"] = 0
    row = _only(_found(history, since=BEGIN + NOON * HOUR), "sensor_issue")
    assert json.loads(row["context"])["fault"] == "stuck_at_zero"
    assert row["affected_metric"] == "out_count"


def test_a_direction_that_nobody_has_ever_taken_is_not_stuck() -> None:
    hour = np.arange(26 * 168) % 24
    door = pd.DataFrame(
        {
            "series": "way in",
            "slot_start": pd.date_range(BEGIN, periods=len(hour), freq="h"),
            "in_count": _noise(hour.shape, 8) * ((hour >= 9) & (hour < 21)),
            "out_count": 0.0,
        }
    )
    found = _found(door, now=BEGIN + len(hour) * HOUR)
    assert "sensor_issue" not in set(found["anomaly_type"])


def test_frozen_values_are_a_sensor_issue() -> None:
    history = _shop()
    history.loc[NOON : NOON + 20, "in_count"] = 37
    row = _only(_found(history, since=BEGIN + NOON * HOUR).query("affected_metric == 'in_count'"), "sensor_issue")
    assert json.loads(row["context"])["fault"] == "frozen"


def test_swapped_directions_are_told_from_an_imbalance() -> None:
    history = _shop()
    late = history.index >= 40 * 24
    history.loc[late, BOTH] = history.loc[late, BOTH[::-1]].to_numpy()
    row = _only(_found(history, since=BEGIN + 40 * 24 * HOUR), "sensor_issue")
    assert json.loads(row["context"])["fault"] == "direction_swapped"
    assert row["detected_at"] == BEGIN + 42 * 24 * HOUR
    assert row["affected_metric"] == "all"
    assert pd.isna(row["expected_value"])


def test_a_door_that_miscounts_one_way_is_an_imbalance_on_the_third_day() -> None:
    history = _shop()
    late = history.index >= 40 * 24
    history.loc[late, "out_count"] = np.round(history.loc[late, "out_count"] * 0.5)
    row = _only(_found(history, since=BEGIN + 40 * 24 * HOUR), "sensor_issue")
    assert json.loads(row["context"])["fault"] == "in_out_imbalance"
    assert row["detected_at"] == BEGIN + 43 * 24 * HOUR
    assert row["actual_value"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("fault", ["in_out_imbalance", "direction_swapped"])
def test_a_fault_that_is_judged_by_the_day_lasts_until_a_whole_day_is_normal(fault: str) -> None:
    history = _shop()
    days = (history.index >= 38 * 24) & (history.index < 42 * 24)
    if fault == "direction_swapped":
        history.loc[days, BOTH] = history.loc[days, BOTH[::-1]].to_numpy()
    else:
        history.loc[days, "out_count"] = np.round(history.loc[days, "out_count"] * 0.5)
    closed = (history.index >= 42 * 24) & (history.index < 43 * 24)
    history.loc[closed, BOTH] = 0

    def is_over(day: int, hour: int) -> bool:
        now = BEGIN + (day * 24 + hour) * HOUR
        row = _only(_found(history, now=now, since=BEGIN + 38 * 24 * HOUR), "sensor_issue")
        assert json.loads(row["context"])["fault"] == fault
        return bool(row["auto_resolved"])

    assert not is_over(41, 6)  # three quiet hours of a night say nothing of the day
    assert not is_over(43, 12)  # nor does a day on which nobody came
    assert is_over(44, 0)


def test_missing_slots_are_one_gap_and_an_open_gap_is_not_resolved() -> None:
    history = _shop().drop(index=range(NOON, NOON + 30))
    row = _only(_found(history, since=BEGIN + NOON * HOUR), "data_gap")
    assert (row["started_at"], row["ended_at"]) == (BEGIN + NOON * HOUR, BEGIN + (NOON + 30) * HOUR)
    assert row["severity"] == 1
    assert row["confidence"] == 1
    assert row["auto_resolved"]
    assert row["manual_review_required"]
    assert pd.isna(row["actual_value"])
    still = _only(_found(history.loc[: NOON - 1], now=BEGIN + (NOON + 6) * HOUR, since=BEGIN + NOON * HOUR), "data_gap")
    assert still["severity"] == pytest.approx(6 / 24)
    assert not still["auto_resolved"]
    assert not still["manual_review_required"]


def test_a_new_series_has_no_alarm_in_its_warm_up() -> None:
    late = _shop().iloc[-20 * 24 :].copy()
    late.loc[late.index[-5:], BOTH] = np.array([[900, 850], [950, 870], [930, 880], [910, 890], [940, 860]])
    frame = _found(pd.concat([_shop(6, "old"), late]))
    assert "door" not in set(frame["series"])


def test_nothing_counted_gives_an_empty_typed_frame() -> None:
    assert len(_found(_shop().iloc[:0])) == 0
    nobody = _shop()
    nobody[BOTH] = 0
    assert len(_found(nobody)) == 0
    unknown = _shop()
    unknown[BOTH] = np.nan
    assert len(_found(unknown)) == 0


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "America/New_York"])
def test_days_of_23_and_25_hours_are_no_gap_and_no_anomaly(zone: str) -> None:
    for start in ("2026-02-02", "2026-09-07"):
        stamp = pd.date_range(start, periods=10 * 168, freq="h", tz=zone).tz_convert("UTC")
        hour = stamp.tz_convert(zone).hour
        values = np.where((hour >= 9) & (hour < 21), 60 + np.random.default_rng(3).integers(-9, 10, len(stamp)), 0)
        history = pd.DataFrame({"series": "a", "slot_start": stamp, "value": values})
        frame = _found(history, now=(stamp[-1] + HOUR).to_pydatetime(), zones={"a": zone})
        assert len(frame) <= 4
        assert not {"data_gap", "sensor_issue"} & set(frame["anomaly_type"])


@pytest.mark.parametrize("start", ["2026-06-01", "2026-09-28"])  # without and with a change of clocks
def test_an_hour_that_is_open_on_two_days_of_the_week_is_no_spike(start: str) -> None:
    zone = "America/New_York"
    stamp = pd.date_range(start, periods=8 * 168, freq="h", tz=zone)
    close = np.array([20, 20, 20, 20, 21, 21, 19])[stamp.day_of_week]
    is_open = (stamp.hour >= np.where(stamp.day_of_week == 6, 11, 10)) & (stamp.hour < close)
    parts = []
    for seed in range(6):
        counts = _noise((2, len(stamp)), seed, 55.0, 30.0) * is_open
        name = f"door{seed}"
        parts.append(pd.DataFrame({"series": name, "slot_start": stamp, "in_count": counts[0], "out_count": counts[1]}))
    frame = _found(pd.concat(parts), now=(stamp[-1] + HOUR).to_pydatetime(), zones=zone)
    spikes = frame.loc[frame["anomaly_type"] == "traffic_spike", "started_at"].dt.tz_convert(zone)
    assert not (spikes.dt.hour == 20).any()


def test_directions_stand_before_a_sum_and_a_missing_direction_is_none() -> None:
    history = _planted(slice(NOON, NOON + 3), BOTH, 3.0)
    assert_frame_equal(_found(history.assign(value=1.0)), _found(history))
    one_way = _found(history.assign(out_count=np.nan), since=BEGIN + NOON * HOUR)
    assert _only(one_way, "traffic_spike")["affected_metric"] == "in_count"


def test_errors_name_the_column_and_the_remedy() -> None:
    history = _shop()
    with pytest.raises(ContractError, match="in_count and out_count"):
        _found(history.drop(columns=BOTH))
    with pytest.raises(ContractError, match="negative"):
        _found(history.assign(in_count=-1))
    with pytest.raises(ContractError, match="zones has no zone for door"):
        _found(history, zones={"other": "UTC"})
    with pytest.raises(ContractError, match="grid"):
        _found(history.assign(slot_start=history["slot_start"] + pd.to_timedelta(history.index % 2, unit="min")))
    with pytest.raises(ContractError, match="alarms_per_week"):
        _found(history, alarms_per_week=0)
    with pytest.raises(ContractError, match="warmup_weeks"):
        _found(history, warmup_weeks=2)
    with pytest.raises(ContractError, match="step"):
        detect(history, step=timedelta(minutes=7), now=END, zones="UTC")


FIXED = ["series", "detected_at", "started_at", "anomaly_type"]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(5 * 168, HOURS - 1), factor=st.sampled_from([0.2, 1.0, 2.5]))
def test_what_was_raised_by_an_instant_does_not_depend_on_what_came_later(seed: int, cut: int, factor: float) -> None:
    history = _shop(seed)
    history.loc[NOON - 100 : NOON - 95, BOTH] = np.round(history.loc[NOON - 100 : NOON - 95, BOTH] * factor)
    changed = history.copy()
    changed.loc[cut:, BOTH] = 500
    now = BEGIN + cut * HOUR
    live, later = _found(history, now=now, alarms_per_week=3), _found(changed, alarms_per_week=3)
    known = later[later["detected_at"] <= now]
    assert_frame_equal(live[FIXED].reset_index(drop=True), known[FIXED].reset_index(drop=True))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000))
def test_order_doubling_and_company_change_nothing(seed: int) -> None:
    history = _planted(slice(NOON, NOON + 3), BOTH, 3.0)
    alone = _found(history)
    other = _shop(seed, "other")
    mixed = pd.concat([history, other, history.sample(50, random_state=seed)]).sample(frac=1, random_state=seed)
    together = _found(mixed)
    assert_frame_equal(together[together["series"] == "door"].reset_index(drop=True), alone)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), mean=st.floats(0.05, 3000))
def test_every_figure_stays_in_its_range_for_small_and_large_counts(seed: int, mean: float) -> None:
    counts = _noise((HOURS,), seed, mean=mean, k=4.0)
    history = pd.DataFrame(
        {"series": "a", "slot_start": pd.date_range(BEGIN, periods=HOURS, freq="h"), "value": counts}
    )
    frame = _found(history, alarms_per_week=3)
    assert frame["severity"].between(0, 1).all()
    assert frame["confidence"].between(0, 1).all()
    assert (frame["detected_at"] > frame["started_at"]).all()
    assert (frame["ended_at"] > frame["started_at"]).all()
    assert frame["expected_value"].notna().all()


# The bars


def test_quiet_series_stay_quiet() -> None:
    found = quiet(series=40, weeks=12, alarms_per_week=0.35, warmup_weeks=4, seed=9)
    assert found["mean"] <= 0.5
    assert found["percentile_95"] <= 1


def test_events_of_a_door_are_found_within_the_budget(real_counts: Callable[[str], Path]) -> None:
    counts, events = real_counts("calit2/calit2_counts.csv"), real_counts("calit2/calit2_events.csv")
    found = score(read_counts(counts), read_events(events, counts), alarms_per_week=3, warmup_weeks=3)
    assert found["events"] == 9
    assert found["found"] >= 5
    assert found["alarms"] <= 18


def test_events_of_a_city_are_found_with_the_same_settings(real_counts: Callable[[str], Path]) -> None:
    counts, events = real_counts("nab/nyc_taxi.csv"), real_counts("nab/labels.json")
    found = score(read_counts(counts), read_events(events, counts), alarms_per_week=0.5, warmup_weeks=4)
    assert (found["events"], found["found"]) == (5, 5)
    assert found["false"] <= 10
    assert found["chance"] < 3
