"""Forecasts: worked examples of rules, clocks and intervals, what holds for every history, and real counts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from retail_sensors.analytics import conformal, forecast, forecast_grid
from retail_sensors.analytics.forecast import predict, recalibrate, train
from retail_sensors.analytics.forecast_backtest import HORIZONS, POOLED, RULES, backtest
from retail_sensors.analytics.forecast_features import build
from retail_sensors.analytics.forecast_grid import NOTHING_KNOWN, WEEK, Grid, Regressors
from retail_sensors.analytics.forecast_store import from_bytes, to_bytes
from retail_sensors.errors import ContractError

ORIGIN = datetime(2025, 6, 2, tzinfo=UTC)  # a Monday
ROWS = 6_000  # enough to learn the shape of three made-up series
INTERVALS = ["lower_95", "lower_80", "predicted_value", "upper_80", "upper_95"]
Counts = npt.NDArray[np.float64]


def hourly(values: Counts, name: str = "door", end: datetime = ORIGIN) -> pd.DataFrame:
    """One series of hours that end at an instant."""
    start = pd.date_range(end=end - timedelta(hours=1), periods=len(values), freq="h")
    return pd.DataFrame({"series": name, "hour_start": start, "value": values})


def grid_of(history: pd.DataFrame, places: pd.DataFrame | None = None, known: Regressors = NOTHING_KNOWN) -> Grid:
    return forecast_grid.read(history, places, ORIGIN, 60, known)


def one_row(grid: Grid, horizon: int = 1) -> tuple[npt.NDArray[np.int64], ...]:
    return np.array([0]), np.array([grid.hours]), np.array([grid.hours + horizon - 1])


def street(weeks: int, size: float, seed: int, noise: float = 0.15) -> Counts:
    """Counts with an hour of the week and days that are busier or calmer than usual, up to ORIGIN."""
    random = np.random.default_rng(seed)
    hour = np.arange(weeks * WEEK)
    usual = size * np.clip(np.sin((hour % 24 - 7) / 15 * np.pi), 0.02, None) * (1 + 0.5 * (hour // 24 % 7 > 4))
    days = np.exp(np.cumsum(random.normal(0, noise, weeks * 7)) * 0.5)
    return random.poisson(usual * np.clip(days, 0.4, 2.5)[hour // 24]).astype(np.float64)


@cache
def estate() -> pd.DataFrame:
    """A year of two streets and a door, a camera of 10 days, one of 5 hours, and one that died 10 weeks ago."""
    dead = street(52, 40, 4)
    dead[-10 * WEEK :] = 0
    return pd.concat(
        [
            hourly(street(52, 900, 1), "street"),
            hourly(street(52, 300, 2), "square"),
            hourly(street(52, 12, 3), "door"),
            hourly(dead, "dead"),
            hourly(street(2, 100, 5)[-240:], "young"),
            hourly(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), "today"),
        ],
        ignore_index=True,
    )


@cache
def model() -> forecast.ForecastModel:
    return train(estate(), None, ORIGIN, 7, rows=ROWS)


@cache
def week_ahead() -> pd.DataFrame:
    return predict(model(), estate(), None, ORIGIN)


# --- simple rules ---------------------------------------------------------------------------------------------------------


def weekly(values: list[float]) -> Counts:
    """A count in the first hour of each week, the latest first; the other hours are unknown."""
    result = np.full(len(values) * WEEK, np.nan)
    result[::WEEK] = values[::-1]
    return result


def test_simple_rules_by_hand() -> None:
    grid = grid_of(hourly(weekly([10, 20, 60, 30, 500])))
    row = one_row(grid)
    assert forecast_grid.same_hour_last_week(grid, *row)[0] == 10
    assert forecast_grid.mean_4(grid, *row)[0] == 30
    assert forecast_grid.median_4(grid, *row)[0] == 25


def test_a_missing_same_hour_is_replaced_by_the_one_before_it() -> None:
    grid = grid_of(hourly(weekly([np.nan, 20, np.nan, 30, 50, 70, 900])))
    row = one_row(grid)
    assert forecast_grid.same_hour_last_week(grid, *row)[0] == 20
    assert forecast_grid.mean_4(grid, *row)[0] == 42.5
    assert forecast_grid.median_4(grid, *row)[0] == 40


def test_rules_know_nothing_after_half_a_year_of_silence() -> None:
    silent = [np.nan] * forecast_grid.LOOK_BACK
    grid = grid_of(hourly(weekly([*silent, 5.0])))
    row = one_row(grid)
    for rule in (forecast_grid.same_hour_last_week, forecast_grid.mean_4, forecast_grid.median_4):
        assert np.isnan(rule(grid, *row)[0])


def test_the_first_week_is_guessed_from_the_same_hour_of_earlier_days() -> None:
    values = np.arange(72, dtype=np.float64)  # three days; at 00:00 it counted 0, 24, 48
    grid = grid_of(hourly(values))
    assert forecast_grid.first_guess(grid, *one_row(grid))[0] == 24
    assert forecast_grid.first_guess(grid, *one_row(grid, 24))[0] == 47  # 23:00: 23, 47, 71


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], None), ([3.0], 3.0), ([3.0, 5.0], 4.0), ([np.nan, 9.0, 1.0, 4.0], 4.0), ([np.nan, np.nan], None)],
)
def test_median_of_what_is_known(values: list[float], expected: float | None) -> None:
    stack = np.array([*values, np.nan]).reshape(-1, 1)
    result = forecast_grid.median(stack)[0]
    assert np.isnan(result) if expected is None else result == expected


# --- clocks ---------------------------------------------------------------------------------------------------------------


BERLIN = pd.DataFrame({"series": ["door"], "timezone": ["Europe/Berlin"]})


def test_same_hour_last_week_is_that_of_the_wall_clock_across_both_changes() -> None:
    for change in (datetime(2025, 3, 30, tzinfo=UTC), datetime(2025, 10, 26, tzinfo=UTC)):
        origin = change + timedelta(days=2)
        start = pd.date_range(change - timedelta(days=20), origin - timedelta(hours=1), freq="h")
        wall_hour = start.tz_convert("Europe/Berlin").hour.to_numpy()
        history = pd.DataFrame({"series": "door", "hour_start": start, "value": wall_hour.astype(float)})
        frame = predict(train(history, BERLIN, origin, 0), history, BERLIN, origin)
        shown = frame["target_time"].dt.tz_convert("Europe/Berlin").dt.hour.to_numpy()
        np.testing.assert_array_equal(frame["predicted_value"], shown)
        assert len(frame) == 168


def test_an_hour_that_comes_twice_holds_the_mean_and_one_that_never_comes_is_unknown() -> None:
    start = pd.date_range("2025-10-25T22:00Z", periods=6, freq="h")  # local midnight of the day of 25 hours
    history = pd.DataFrame({"series": "door", "hour_start": start, "value": [1.0, 2.0, 10.0, 30.0, 5.0, 6.0]})
    grid = forecast_grid.read(history, BERLIN, datetime(2025, 10, 26, 4, tzinfo=UTC), 1, NOTHING_KNOWN)
    np.testing.assert_array_equal(grid.values, [[1, 2, 20, 5, 6]])
    start = pd.date_range("2025-03-29T23:00Z", periods=3, freq="h")
    history = pd.DataFrame({"series": "door", "hour_start": start, "value": [1.0, 2.0, 3.0]})
    grid = forecast_grid.read(history, BERLIN, datetime(2025, 3, 30, 2, tzinfo=UTC), 1, NOTHING_KNOWN)
    np.testing.assert_array_equal(grid.values, [[1, 2, np.nan, 3]])


def test_hours_of_a_half_hour_zone_start_on_the_half_hour() -> None:
    places = pd.DataFrame({"series": ["door"], "timezone": ["Asia/Kolkata"]})
    history = hourly(np.ones(WEEK * 2))
    history["hour_start"] -= pd.Timedelta(minutes=30)
    frame = predict(train(history, places, ORIGIN, 0), history, places, ORIGIN, [1, 2])
    assert frame["target_time"].dt.strftime("%d %H:%M").tolist() == ["01 23:30", "02 00:30"]


def test_closed_hours_are_predicted_zero_without_doubt() -> None:
    places = pd.DataFrame({"series": ["door"], "timezone": ["UTC"], "opening_hours": ['{"mon": [["10:00", "18:00"]]}']})
    history = hourly(np.full(WEEK * 5, 8.0))
    frame = predict(train(history, places, ORIGIN, 0), history, places, ORIGIN)
    is_open = (frame["target_time"].dt.day_of_week == 0) & frame["target_time"].dt.hour.between(10, 17)
    assert (frame.loc[is_open, "predicted_value"] == 8).all()
    assert (frame.loc[~is_open, INTERVALS] == 0).all(axis=None)
    assert set(frame.loc[~is_open, "method"]) == {"closed"}


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "UTC"])
def test_an_hour_that_overlaps_the_opening_hours_is_open_in_every_zone(zone: str) -> None:
    spans = json.dumps({day: [["10:30", "21:30"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")})
    places = pd.DataFrame({"series": ["door"], "timezone": [zone], "opening_hours": [spans]})
    history = hourly(np.full(WEEK * 5, 8.0))
    local = history["hour_start"].dt.tz_convert(zone)
    history["hour_start"] -= pd.to_timedelta(local.dt.minute, unit="min")
    frame = predict(train(history, places, ORIGIN, 0), history, places, ORIGIN)
    start = frame["target_time"].dt.tz_convert(zone)
    assert (start.dt.minute == 0).all()
    is_open = start.dt.hour.between(10, 21)
    assert (frame.loc[is_open, "predicted_value"] == 8).all()
    assert set(frame.loc[is_open, "method"]) == {"median_4"}
    assert set(frame.loc[~is_open, "method"]) == {"closed"}


# --- features -------------------------------------------------------------------------------------------------------------


def test_features_by_hand() -> None:
    values = np.full(WEEK * 9, 10.0)
    values[-WEEK:] = 20.0  # the last week was twice as busy
    grid = grid_of(hourly(values))
    seen = build(grid, *one_row(grid, 24))
    row = dict(zip(seen.names, seen.table[0], strict=True))
    assert seen.scale[0] == 12.5
    assert seen.base[0] == 10.0  # median of 20, 10, 10, 10
    assert row["horizon_hours"] == 24
    assert (row["hour"], row["weekday"], row["hour_of_week"]) == (23, 0, 23)
    assert row["week_1"] == 1.6
    assert row["week_2"] == 0.8
    assert row["mean_4_weeks"] == 1.0
    assert row["level_168"] == 2.0
    assert row["level_336"] == 1.5
    assert row["scale_growth"] == 1.6
    assert np.isnan(row["last_year_day_level"])


def test_a_day_a_year_ago_shows_how_unusual_it_was() -> None:
    values = np.full(WEEK * 60, 10.0)
    values[-52 * WEEK : -52 * WEEK + 24] = 30.0
    grid = forecast_grid.read(hourly(values), None, ORIGIN, 62, NOTHING_KNOWN)
    seen = build(grid, *one_row(grid, 5))
    assert dict(zip(seen.names, seen.table[0], strict=True))["last_year_day_level"] == 3.0


def test_holidays_and_weather_reach_the_features_and_holidays_are_no_donors() -> None:
    known = Regressors(
        holidays=pd.DataFrame({"date": [date(2025, 5, 26), date(2025, 6, 4)]}),
        school_holidays=pd.DataFrame({"date": [date(2025, 6, 2)], "series": ["door"]}),
        weather=pd.DataFrame({"hour_start": [ORIGIN], "rain_mm": [2.5]}),
    )
    grid = grid_of(hourly(weekly([1000, 20, 30, 40])), known=known)
    seen = build(grid, *one_row(grid))
    row = dict(zip(seen.names, seen.table[0], strict=True))
    assert seen.base[0] == 30
    assert (row["holiday"], row["holiday_last_week"], row["days_to_holiday"]) == (0, 1, 2)
    assert (row["school_holiday"], row["school_holiday_change"]) == (1, 1)
    assert row["weather_rain_mm"] == 2.5


def test_a_regressor_of_another_series_is_not_seen() -> None:
    known = Regressors(holidays=pd.DataFrame({"date": [date(2025, 6, 2)], "series": ["other"]}))
    grid = grid_of(hourly(weekly([10, 20, 30, 40])), known=known)
    seen = build(grid, *one_row(grid))
    assert dict(zip(seen.names, seen.table[0], strict=True))["holiday"] == 0


# --- intervals ------------------------------------------------------------------------------------------------------------


def test_offset_is_the_corrected_rank() -> None:
    outside, equal = np.arange(1.0, 20.0), np.ones(19)
    assert conformal.offset(outside[:9], equal[:9], 0.8) == 8  # rank ceil(10 x 0.8)
    assert np.isnan(conformal.offset(outside[:9], equal[:9], 0.95))  # rank 10 of 9 scores
    assert conformal.offset(outside[::-1], equal, 0.95) == 19


def test_offset_by_weight_by_hand() -> None:
    # 0.8 x (1 + 1 + 0.5 + 0.5 + 1) = 3.2: reached with the scores 1, 2, 3, 4 is 3, which does not do
    assert np.isnan(conformal.offset(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, 0.5, 0.5]), 0.8))
    # 0.5 x 4 = 2: the two oldest scores are the largest and weigh half
    assert conformal.offset(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, 0.5, 0.5]), 0.5) == 2


def test_scores_are_in_widths_and_widening_uses_them() -> None:
    low, high, least = np.array([10.0]), np.array([20.0]), np.array([1.0])
    assert conformal.scores(np.array([25.0]), low, high, least)[0] == 0.5
    assert conformal.scores(np.array([12.0]), low, high, least)[0] == -0.2
    below, above = conformal.widened(low, high, np.array([0.5]), least)
    assert (below[0], above[0]) == (5, 25)
    below, above = conformal.widened(low, high, np.array([-0.9]), least)
    assert (below[0], above[0]) == (15, 15)


@given(seed=st.integers(0, 2**31), coverage=st.sampled_from([0.8, 0.95]), count=st.integers(20, 200))
@settings(max_examples=40, deadline=None)
def test_an_interval_widened_by_the_offset_holds_its_share_of_the_scored_values(
    seed: int, coverage: float, count: int
) -> None:
    random = np.random.default_rng(seed)
    actual, middle = random.normal(0, 3, count), random.normal(0, 1, count)
    low, high, least = middle - 1, middle + 1, np.full(count, 0.1)
    by = conformal.offset(conformal.scores(actual, low, high, least), np.ones(count), coverage)
    below, above = conformal.widened(low, high, np.full(count, by), least)
    assert ((actual >= below - 1e-9) & (actual <= above + 1e-9)).mean() >= coverage


# --- model ----------------------------------------------------------------------------------------------------------------


def test_reasons_for_the_simple_rule() -> None:
    frame = week_ahead()
    reasons = frame.groupby("series")["reason"].agg(lambda found: found.iloc[0]).to_dict()
    assert reasons["dead"] == "dead"
    assert reasons["young"] == reasons["today"] == "new"
    assert reasons["street"] in {"", "own_backtest"}
    simple = frame[frame["reason"] != ""]
    assert set(simple["method"]) == {"median_4"}
    assert (frame.loc[frame["series"] == "dead", "predicted_value"] == 0).all()


def test_a_shop_that_is_closed_at_night_is_not_dead_and_one_that_stopped_counting_is() -> None:
    values = np.where(np.arange(WEEK * 20) % 24 // 9 == 1, 5.0, 0.0)  # 9 to 17 only
    quiet = values.copy()
    quiet[-5 * WEEK :] = np.nan
    history = pd.concat([hourly(values, "alive"), hourly(quiet, "stopped"), hourly(values * 0, "never")])
    grid = grid_of(history)
    dead = dict(zip(grid.clocks.names, forecast_grid.is_dead(grid, grid.hours), strict=True))
    assert dead == {"alive": False, "stopped": True, "never": True}


def test_a_series_that_the_model_does_not_know_is_new() -> None:
    history = pd.concat([estate(), hourly(street(20, 50, 9), "added")])
    frame = predict(model(), history, None, ORIGIN)
    added = frame[frame["series"] == "added"]
    assert set(added["reason"]) == {"new"}
    others = frame[frame["series"] != "added"].reset_index(drop=True)
    assert_frame_equal(others, week_ahead())


def test_a_series_whose_rule_errs_less_stays_on_the_rule() -> None:
    chosen = replace(model(), reasons=np.full(len(model().series), forecast.REASONS.index("own_backtest")))
    frame = predict(chosen, estate(), None, ORIGIN)
    street_rows = frame[frame["series"] == "street"]
    assert set(street_rows["method"]) == {"median_4"}
    assert (street_rows["upper_80"] > street_rows["lower_80"]).all()
    better = model().learnt_errors < model().rule_errors
    assert ((model().reasons == 0) <= better).all()


def test_what_happens_from_the_origin_on_changes_nothing() -> None:
    future = hourly(street(2, 5000, 6), "street", ORIGIN + timedelta(weeks=2))
    history = pd.concat([estate(), future]).sample(frac=1, random_state=0)
    assert_frame_equal(predict(model(), history, None, ORIGIN), week_ahead())
    first, second = (forecast_grid.read(frame, None, ORIGIN, 60, NOTHING_KNOWN) for frame in (estate(), history))
    np.testing.assert_array_equal(first.values, second.values)  # all that training sees


def test_features_read_nothing_from_the_origin_on() -> None:
    values = street(30, 100, 8)
    origin = 25 * WEEK
    changed = values.copy()
    changed[origin:] = 1e6
    rows = (np.zeros(168, dtype=int), np.full(168, origin), np.arange(origin, origin + 168))
    first, second = (grid_of(hourly(version)) for version in (values, changed))
    np.testing.assert_array_equal(build(first, *rows).table, build(second, *rows).table)
    np.testing.assert_array_equal(forecast_grid.same_hours(first, *rows, 8), forecast_grid.same_hours(second, *rows, 8))


def test_intervals_are_nested_and_not_negative_and_horizons_complete() -> None:
    frame = week_ahead()
    assert not frame.isna().any(axis=None)
    assert (frame["lower_95"] >= 0).all()
    for low, high in pairwise(INTERVALS):
        assert (frame[low] <= frame[high]).all()
    counts = frame.groupby("series")["horizon_hours"].nunique()
    assert (counts.drop("today") == 168).all()
    assert counts["today"] == 7 * 5  # five hours of the day are known
    ahead = (frame["target_time"] - pd.Timestamp(ORIGIN)) / pd.Timedelta(hours=1) + 1
    assert (ahead == frame["horizon_hours"]).all()


@given(
    values=st.lists(st.one_of(st.none(), st.integers(0, 10_000)), min_size=1, max_size=400),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    hours=st.integers(0, 24 * 370),
)
@settings(max_examples=30, deadline=None)
def test_any_history_gives_finite_nested_intervals(values: list[int | None], zone: str, hours: int) -> None:
    origin = ORIGIN + timedelta(hours=hours)
    history = hourly(np.array(values, dtype=np.float64), "door", origin)
    places = pd.DataFrame({"series": ["door"], "timezone": [zone]})
    frame = predict(replace(model(), series=("door",)), history, places, origin, range(1, 169, 7))
    assert np.isfinite(frame[INTERVALS].to_numpy(dtype=np.float64)).all()
    assert (np.diff(frame[INTERVALS].to_numpy(dtype=np.float64), axis=1) >= 0).all()
    assert (frame["lower_95"] >= 0).all()


def test_doors_and_streets_are_alike_up_to_size() -> None:
    """A series ten times as large gets forecasts ten times as large: the learner sees no sizes."""
    large = estate().assign(value=estate()["value"] * 10)
    frame = predict(model(), large, None, ORIGIN)
    learnt = frame["method"] == "boosted_median"
    np.testing.assert_allclose(
        frame.loc[learnt, "predicted_value"], week_ahead().loc[learnt, "predicted_value"] * 10, rtol=1e-6
    )


def test_bad_input_is_named() -> None:
    history = hourly(np.ones(48))
    with pytest.raises(ContractError, match="negative"):
        train(history.assign(value=-1.0), None, ORIGIN, 0)
    with pytest.raises(ContractError, match="not zone-aware"):
        train(history.assign(hour_start=history["hour_start"].dt.tz_localize(None)), None, ORIGIN, 0)
    with pytest.raises(ContractError, match="no row for series door"):
        train(history, pd.DataFrame({"series": ["other"], "timezone": ["UTC"]}), ORIGIN, 0)
    with pytest.raises(ContractError, match="1 to 168"):
        predict(model(), history, None, ORIGIN, [0])
    with pytest.raises(ContractError, match="after the origin"):
        predict(model(), estate(), None, ORIGIN - timedelta(hours=1))
    with pytest.raises(ContractError, match="later origin"):
        recalibrate(model(), estate(), None, ORIGIN - timedelta(days=1))


def test_nothing_in_nothing_out() -> None:
    empty = hourly(np.empty(0))
    empty["hour_start"] = pd.DatetimeIndex([], tz="UTC")
    assert predict(train(empty, None, ORIGIN, 0), empty, None, ORIGIN).empty


def test_recalibration_at_the_same_origin_changes_no_choice() -> None:
    again = recalibrate(model(), estate(), None, ORIGIN)
    np.testing.assert_array_equal(again.reasons, model().reasons)
    assert again.learner is model().learner


# --- stored form ----------------------------------------------------------------------------------------------------------


def test_a_stored_model_predicts_the_same() -> None:
    stored = from_bytes(to_bytes(model()))
    assert stored.trained_to == ORIGIN
    assert_frame_equal(predict(stored, estate(), None, ORIGIN), week_ahead())


def test_a_model_without_learner_can_be_stored() -> None:
    young = train(hourly(np.ones(WEEK)), None, ORIGIN, 0)
    assert from_bytes(to_bytes(young)).learner is None


def test_stored_bytes_that_are_no_sound_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no stored forecast model"):
        from_bytes(b"nothing")
    np.savez(tmp_path / "evil.npz", description=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ContractError, match="no stored forecast model"):
        from_bytes((tmp_path / "evil.npz").read_bytes())
    with np.load(io.BytesIO(to_bytes(model()))) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["description"] = np.array(json.dumps(json.loads(str(arrays["description"])) | {"scikit_learn": "0.24.2"}))
    np.savez(tmp_path / "old.npz", **arrays)
    with pytest.raises(ContractError, match=r"format 2 of scikit-learn 0\.24\.2.*train the model again"):
        from_bytes((tmp_path / "old.npz").read_bytes())
    learner = model().learner
    assert learner is not None
    looping = learner.tested.nodes.copy()
    looping["left"] = 0
    broken = replace(model(), learner=replace(learner, tested=replace(learner.tested, nodes=looping)))
    with pytest.raises(ContractError, match="does not hold trees"):
        from_bytes(to_bytes(broken))
    beyond = replace(model(), features=model().features[:3])
    with pytest.raises(ContractError, match="does not hold trees"):
        from_bytes(to_bytes(beyond))


# --- back-test ------------------------------------------------------------------------------------------------------------


def test_backtest_by_hand() -> None:
    """Eleven equal weeks, then one with 4 people more in every hour: every rule is 4 too low, on every hour."""
    values = np.tile(np.where(np.arange(WEEK) % 24 >= 8, 16.0, 8.0), 12)
    values[-WEEK:] += 4
    metrics = backtest(hourly(values), None, date(2025, 6, 1), 1, 0).metrics.set_index(["series", "way"])
    for name in (POOLED, "door"):
        for way in RULES:
            assert metrics.loc[(name, way), ["n", "mae", "bias"]].tolist() == [168, 4, -4]
            assert metrics.loc[(name, way), "wape"] == pytest.approx(4 / (40 / 3 + 4))
    assert metrics.loc[(POOLED, "model"), "n"] == 168
    assert metrics["mase"].isna().all()  # nothing changed in the year before


def test_a_backtest_says_what_it_needs() -> None:
    with pytest.raises(ContractError, match="needs 6 weeks"):
        backtest(hourly(np.ones(WEEK * 5)), None, date(2025, 6, 1), 4, 0)


def test_a_short_history_is_backtested_on_the_simple_rule() -> None:
    tested = backtest(hourly(street(8, 50, 1)), None, date(2025, 6, 1), 4, 0)
    assert tested.reasons["reason"].tolist() == ["new"]
    metrics = tested.metrics.set_index(["series", "way"])
    assert metrics.loc[(POOLED, "model"), "mae"] == metrics.loc[(POOLED, "median_4"), "mae"]


def test_real_streets_are_forecast_better_than_by_any_simple_rule(real_counts: Callable[[str], Path]) -> None:
    sites = [
        "Aston Quay/Fitzgeralds",
        "Capel st/Mary street",
        "Grafton Street/CompuB",
        "Phibsborough Rd/Enniskerry Road",
    ]
    table = pd.read_csv(real_counts("dublin/dublin_2023_in_out.csv.gz"), parse_dates=["local_time"])
    table = table[(table["local_time"] < "2023-11-20") & table["site"].isin(sites)]
    history = pd.DataFrame(
        {
            "series": table["site"],
            "hour_start": table["local_time"].dt.tz_localize("UTC"),
            "value": table["in_count"].astype(float),
        }
    )
    metrics = backtest(history, None, date(2023, 11, 19), 4, 0, rows=15_000).metrics.set_index(["series", "way"])
    model_error = metrics.loc[(POOLED, "model"), "mae"]
    assert model_error < 0.95 * min(metrics.loc[(POOLED, rule), "mae"] for rule in RULES)
    assert abs(metrics.loc[(POOLED, "model"), "coverage_80"] - 0.80) < 0.08
    assert abs(metrics.loc[(POOLED, "model"), "coverage_95"] - 0.95) < 0.04
    errors = [metrics.loc[(POOLED, "model"), f"wape_{horizon}"] for horizon in HORIZONS]
    assert errors[0] < errors[1] < errors[3]
