"""Rows of predictions, models and accuracy: who is forecast, worked examples of errors and coverage, and what always holds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from retail_sensors.analytics import forecast
from retail_sensors.analytics.forecast import confidence, predict, untaught
from retail_sensors.analytics.forecast_backtest import Backtest
from retail_sensors.analytics.forecast_features import BASE_FEATURES
from retail_sensors.analytics.forecast_store import from_bytes, to_bytes, version_of
from retail_sensors.analytics.prediction_rows import (
    CELLS,
    HORIZON_GROUPS,
    REASONS,
    SIMPLE_RULE,
    accuracy_rows,
    backtest_figures,
    features_used,
    forecast_rows,
    model_row,
    places_with,
    rows_of_single_doors,
    subjects_of,
    train_and_test,
    training_weeks,
)
from retail_sensors.storage.frames import check_frame
from retail_sensors.tables.predictions import PREDICTION_ACCURACY, PREDICTION_MODEL, PREDICTIONS, STORE_PREDICTIONS
from retail_sensors_tests.unit.analytics_estate import camera, identity, roster, store

ORIGIN = datetime(2025, 6, 2, tzinfo=UTC)  # a Monday
DAY = date(2025, 6, 2)
ROWS = 2_000
WEEK = 168


def series(name: str, weeks: float, size: float, seed: int = 0) -> pd.DataFrame:
    """Counts with the shape of a day that end at ORIGIN."""
    hour = np.arange(int(weeks * WEEK))[::-1]
    usual = size * np.clip(np.sin(((23 - hour % 24) - 7) / 15 * np.pi), 0.02, None)
    return pd.DataFrame(
        {
            "series": name,
            "hour_start": [ORIGIN - timedelta(hours=int(back) + 1) for back in hour],
            "value": np.random.default_rng(seed).poisson(usual).astype(float),
        }
    )


def name(short: str) -> str:
    return f"sensor:{identity(short)}"


@cache
def history() -> pd.DataFrame:
    """30 weeks of a street and of a store with two doors, a camera of last week, one that died 10 weeks ago."""
    dead = series(name("dead"), 30, 30, 3)
    dead.loc[len(dead) - 10 * WEEK :, "value"] = 0.0
    parts = [series(name("street"), 30, 200, 1), series(f"store:{identity('mall')}", 30, 80, 2), dead]
    return pd.concat([*parts, series(name("young"), 1, 50, 4)], ignore_index=True)


def places() -> pd.DataFrame:
    return pd.DataFrame({"series": history()["series"].unique(), "timezone": "UTC", "opening_hours": None})


@cache
def trained() -> tuple[forecast.ForecastModel, Backtest]:
    model, tested = train_and_test(history(), places(), ORIGIN, 7, rows=ROWS)
    assert tested is not None
    return model, tested


def rows_at(model: forecast.ForecastModel, version: str, counts: pd.DataFrame | None = None) -> pd.DataFrame:
    predicted = predict(model, history() if counts is None else counts, places(), ORIGIN)
    return forecast_rows(predicted, PREDICTIONS, ORIGIN, model, version)


# Who is forecast ------------------------------------------------------------------------------------------------------


def test_cameras_with_an_entrance_and_stores_with_several_are_forecast() -> None:
    estate = roster(
        [store("one", "Europe/Berlin"), store("two"), store("none")],
        [
            camera("single", "one"),
            camera("inner", "one"),
            camera("left", "two"),
            camera("right", "two", is_active=False),
            camera("corridor", "none"),
        ],
        {
            "single": ["entrance"],
            "inner": ["internal"],
            "left": ["entrance"],
            "right": ["entrance"],
            "corridor": ["passerby"],
        },
    )
    subjects = subjects_of(estate)
    assert set(subjects.sensors) == {identity("single"), identity("left")}
    assert subjects.stores == (identity("two"),)
    assert subjects.same_as == {identity("one"): identity("single")}
    zones = subjects.places.set_index("series")["timezone"].to_dict()
    assert zones == {name("single"): "Europe/Berlin", name("left"): "UTC", f"store:{identity('two')}": "UTC"}
    assert subjects.count == 3
    assert subjects_of(roster([], [], {})).count == 0


def test_a_camera_that_is_gone_still_has_a_place_in_its_model() -> None:
    extended = places_with(places(), ["sensor:gone", name("street")]).set_index("series")
    assert extended.loc["sensor:gone", "timezone"] == "UTC"
    assert len(extended) == len(places()) + 1


def test_memory_bounds_the_weeks_that_are_read() -> None:
    assert training_weeks(0) == training_weeks(10) == forecast.TRAIN_WEEKS
    assert training_weeks(300) == CELLS // (WEEK * 300) == 158
    assert training_weeks(100_000) == forecast.READ_WEEKS


# Forecasts ------------------------------------------------------------------------------------------------------------


def test_rows_by_the_model_are_those_of_its_forecast() -> None:
    model, _ = trained()
    rows = rows_at(model, "2025-06-02-abc")
    check_frame(rows, PREDICTIONS, "predictions")
    assert not rows.drop(columns="confidence_score").isna().any(axis=None)
    predicted = predict(model, history(), places(), ORIGIN)
    street = rows[rows["sensor_id"] == identity("street")]
    assert len(street) == 168
    own = predicted[predicted["series"] == name("street")]
    np.testing.assert_array_equal(street["predicted_value"], own["predicted_value"])
    np.testing.assert_array_equal(street["confidence_interval_upper"], own["upper_80"])
    np.testing.assert_array_equal(street["time_horizon_minutes"], 60 * own["horizon_hours"])
    assert street["target_time"].min() == pd.Timestamp(ORIGIN)
    assert identity("mall") not in set(rows["sensor_id"])
    assert set(rows["model_name"]) == {"global_boosted_median"}
    reasons = {
        short: {json.loads(text).get("method") for text in rows.loc[rows["sensor_id"] == identity(short), "quality"]}
        for short in ("dead", "young")
    }
    assert reasons == {"dead": {"dead"}, "young": {"new"}}
    simple = rows[rows["method"] == "median_4"]
    assert set(simple["features_used"]) == {'["same_hour_of_week"]'}
    learnt = rows.loc[rows["method"] == "boosted_median", "features_used"]
    assert all(json.loads(text)[:3] == ["distance", "calendar", "past_weeks"] for text in learnt.unique())

    of_stores = forecast_rows(predicted, STORE_PREDICTIONS, ORIGIN, model, "2025-06-02-abc")
    check_frame(of_stores, STORE_PREDICTIONS, "store_predictions")
    assert set(of_stores["store_id"]) == {identity("mall")}
    assert len(rows) + len(of_stores) == len(predicted)


def test_without_a_model_the_simple_rule_answers_with_its_reason() -> None:
    rows = rows_at(untaught(ORIGIN), SIMPLE_RULE)
    check_frame(rows, PREDICTIONS, "predictions")
    assert set(rows["model_version"]) == set(rows["model_name"]) == {SIMPLE_RULE}
    assert rows["confidence_score"].isna().all()
    assert (rows["upper_95"] >= rows["confidence_interval_upper"]).all()
    assert json.loads(rows.loc[rows["sensor_id"] == identity("street"), "quality"].iloc[0]) == {
        "method": "no_model",
        "confidence_score": "not_backtested",
    }


def test_a_changed_future_changes_no_row() -> None:
    later = history().assign(hour_start=history()["hour_start"] + timedelta(weeks=30), value=9e5)
    model, _ = trained()
    assert_frame_equal(rows_at(model, "v"), rows_at(model, "v", pd.concat([later, history()], ignore_index=True)))


def test_a_store_with_one_door_has_the_rows_of_its_camera() -> None:
    cameras = rows_at(untaught(ORIGIN), SIMPLE_RULE)
    rows = rows_of_single_doors(cameras, {identity("shop"): identity("street"), identity("closed"): identity("gone")})
    check_frame(rows, STORE_PREDICTIONS, "store_predictions")
    assert set(rows["store_id"]) == {identity("shop")}
    street = cameras[cameras["sensor_id"] == identity("street")]
    assert rows["predicted_value"].tolist() == street["predicted_value"].tolist()
    assert rows_of_single_doors(cameras, {}).empty


def test_every_feature_belongs_to_one_group() -> None:
    for feature in (*BASE_FEATURES, "weather_temperature_c"):
        assert len(features_used([feature])) == 1, feature
    assert features_used([]) == []


# Models ---------------------------------------------------------------------------------------------------------------


def test_a_model_keeps_the_coverage_of_its_backtest() -> None:
    model, tested = trained()
    own: Any = tested.metrics.set_index(["series", "way"])
    street, horizons = np.array([name("street")] * 4, dtype=object), np.array([1, 24, 30, 168])
    held = [own.loc[(name("street"), "model"), f"held_{horizon}"] for horizon in (1, 24, 72, 168)]
    assert confidence(model, street, horizons).tolist() == held
    assert all(0 <= share <= 1 for share in held)
    # a camera of last week was not tested for a week, and one that the model does not know never: both take that over all
    pooled = own.loc[("", "model"), "held_24"]
    others = np.array([name("young"), "sensor:other"], dtype=object)
    assert confidence(model, others, np.array([24, 24]))[1] == pooled
    stored = from_bytes(to_bytes(model))
    assert confidence(stored, street, horizons).tolist() == held


def test_the_same_content_has_the_same_version() -> None:
    model, _ = trained()
    assert version_of(from_bytes(to_bytes(model))) == version_of(model)
    assert version_of(model).startswith("2025-06-02-")
    assert version_of(replace(model, pooled_coverage=model.pooled_coverage / 2)) != version_of(model)


def test_the_row_of_a_model() -> None:
    model, tested = trained()
    row = model_row(model, "v", tested, ORIGIN + timedelta(hours=3), {"numpy": "2"})
    check_frame(row, PREDICTION_MODEL, "prediction_model")
    one = row.iloc[0]
    assert (one["series_count"], one["has_learner"], one["quality"]) == (4, True, "{}")
    assert one["learnt_series_count"] + sum(json.loads(one["series_reasons"]).values()) == 4
    figures = json.loads(one["backtest"])
    assert figures == backtest_figures(tested)
    assert {*figures["pooled"]} == {"model", "same_hour_last_week", "mean_4", "median_4"}
    assert figures["pooled"]["model"]["n"] == sum(
        tested.metrics.loc[(tested.metrics["way"] == "model") & (tested.metrics["series"] != ""), "n"]
    )
    assert "NaN" not in one["backtest"]


def test_too_little_history_is_said() -> None:
    short = series("sensor:a", 5, 20)
    model, tested = train_and_test(short, places_with(places(), ["sensor:a"]), ORIGIN, 0, rows=ROWS)
    assert tested is None
    row = model_row(model, "v", tested, ORIGIN, {})
    check_frame(row, PREDICTION_MODEL, "prediction_model")
    assert json.loads(row["quality"].iloc[0]) == {"has_learner": "too_little_history", "backtest": "not_backtested"}
    nothing = short.iloc[:0]
    assert train_and_test(nothing, places(), ORIGIN, 0)[1] is None


# Accuracy -------------------------------------------------------------------------------------------------------------


def judged(*rows: tuple[str, int, float, float | None, float | None]) -> pd.DataFrame:
    """Subject, hours ahead, predicted, actual, same hour last week; intervals of 5 and 10 to both sides, not below 0."""
    frame = pd.DataFrame(
        rows, columns=["subject", "horizon_hours", "predicted_value", "actual_value", "same_hour_last_week"]
    ).astype(dict.fromkeys(("predicted_value", "actual_value", "same_hour_last_week"), "float64"))
    predicted = frame["predicted_value"]
    ends = {
        "lower_80": predicted - 5,
        "lower_95": predicted - 10,
        "upper_80": predicted + 5,
        "upper_95": predicted + 10,
    }
    return frame.assign(**{end: np.where(predicted > 0, values.clip(lower=0), 0.0) for end, values in ends.items()})


def row(found: pd.DataFrame, scope: str, horizons: str, subject: str = "all") -> dict[str, Any]:
    chosen = found[(found["scope"] == scope) & (found["horizons"] == horizons) & (found["subject"] == subject)]
    assert len(chosen) == 1
    return {str(key): value for key, value in chosen.iloc[0].items()}


def test_accuracy_by_hand() -> None:
    a, b = identity("a"), identity("b")
    found = accuracy_rows(
        judged(
            (a, 2, 20, 24, 30),  # off by 4, last week by 6; inside both
            (a, 3, 30, 23, 23),  # off by 7, last week by 0; inside 95 % only
            (a, 6, 10, None, 8),  # not measured
            (b, 2, 100, 88, None),  # off by 12, outside of both; last week unknown
            (b, 4, 0, 0, 0),  # closed: no part in coverage
        ),
        "sensor",
        DAY,
    )
    check_frame(found, PREDICTION_ACCURACY, "prediction_accuracy")
    assert set(found["horizons"]) == {"1-6"}
    first = row(found, "sensor", "1-6", a)
    assert (first["n"], first["mae"], first["bias"]) == (2, 5.5, 1.5)
    assert first["wape"] == pytest.approx(11 / 47)
    assert first["skill"] == pytest.approx(1 - 11 / 6)
    assert (first["coverage_n"], first["coverage_80"], first["coverage_95"]) == (2, 0.5, 1.0)
    assert (first["sensor_id"], first["store_id"], first["quality"]) == (a, pd.NA, "{}")
    second = row(found, "sensor", "1-6", b)
    assert (second["n"], second["mae"], second["coverage_n"], second["coverage_95"]) == (2, 6, 1, 0)
    # of the two hours last week is known for the closed one only, and made no error there
    assert pd.isna(second["skill"])
    assert json.loads(second["quality"]) == {"skill": "last_week_exact"}
    pooled = row(found, "sensors_pooled", "1-6")
    assert (pooled["n"], pooled["mae"]) == (4, 23 / 4)
    assert pooled["wape"] == pytest.approx(23 / 135)
    assert pooled["skill"] == pytest.approx(1 - 11 / 6)
    assert pooled["coverage_80"] == pytest.approx(1 / 3)
    median = row(found, "sensors_median", "1-6")
    assert (median["n"], median["mae"]) == (4, 5.75)
    assert median["wape"] == pytest.approx((11 / 47 + 12 / 88) / 2)


def test_hours_that_were_not_measured_give_rows_without_figures() -> None:
    found = accuracy_rows(judged((identity("a"), 24, 5, None, 3)), "store", DAY)
    check_frame(found, PREDICTION_ACCURACY, "prediction_accuracy")
    assert set(found["scope"]) == {"store", "stores_pooled", "stores_median"}
    assert set(found["horizons"]) == {"24", "7-24"}
    assert (found["n"] == 0).all()
    assert found[["mae", "wape", "bias", "skill", "coverage_80", "coverage_95"]].isna().all(axis=None)
    assert {word for text in found["quality"] for word in json.loads(text).values()} == {"not_measured"}
    assert accuracy_rows(judged(), "store", DAY).empty


def test_nobody_came_is_no_error_without_bound() -> None:
    found = accuracy_rows(judged((identity("a"), 1, 3, 0, 0)), "sensor", DAY)
    told = row(found, "sensor", "1", identity("a"))
    assert (told["mae"], told["coverage_n"], told["coverage_80"]) == (3, 1, 1)
    assert json.loads(told["quality"]) == {"wape": "nobody_came", "skill": "last_week_exact"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([identity("a"), identity("b"), identity("c")]),
            st.integers(1, 168),
            st.integers(0, 50).map(float),
            st.one_of(st.none(), st.integers(0, 50).map(float)),
            st.one_of(st.none(), st.integers(0, 50).map(float)),
        ),
        max_size=40,
    )
)
def test_groups_add_up_to_all_and_subjects_to_the_pool(
    rows: list[tuple[str, int, float, float | None, float | None]],
) -> None:
    found = accuracy_rows(judged(*rows), "sensor", DAY)
    check_frame(found, PREDICTION_ACCURACY, "prediction_accuracy")
    assert {word for text in found["quality"] for word in json.loads(text).values()} <= set(REASONS)
    measured = [given for given in rows if given[3] is not None]
    groups = [label for label, (first, last) in HORIZON_GROUPS.items() if first != last]
    pooled = found[found["scope"] == "sensors_pooled"].set_index("horizons")
    assert pooled["n"].reindex(groups).sum() == len(measured)
    own = found[found["scope"] == "sensor"]
    for horizons, told in pooled.iterrows():
        parts = own[own["horizons"] == horizons]
        assert parts["n"].sum() == told["n"]
        assert parts["coverage_n"].sum() == told["coverage_n"]
        if told["n"]:
            assert (parts["mae"] * parts["n"]).sum() / told["n"] == pytest.approx(told["mae"])
