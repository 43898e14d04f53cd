"""What checks say of forecasts, plans, states, alerts and inputs: each sentence and number from a worked example."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from retail_sensors.analytics import checks_ahead as checks

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 2, 2, 12, tzinfo=UTC)


def forecast(store: str, of_store: float | None, of_cameras: float | None, doors: int, **more: bool) -> dict[str, Any]:
    row = {"store": store, "prediction_time": NOW, "of_store": of_store, "of_cameras": of_cameras, "doors": doors}
    return {**row, "has_forecast": True, "is_alike": True, **more}


def test_a_store_expects_what_its_only_door_does_and_about_what_all_its_doors_do() -> None:
    good = [forecast("one", 100.0, 100.0, 1), forecast("two", 100.0, 130.0, 2), forecast("two", 100.0, 70.0, 2)]
    assert checks.agreement(pd.DataFrame(good)).passed
    apart = checks.agreement(pd.DataFrame([*good, forecast("three", 100.0, 150.0, 2)]))
    assert (apart.passed, apart.is_severe) == (False, False)
    assert apart.told == "three from 2026-02-02 12:00 UTC: 100 people expected, 150 at its doors"
    assert apart.numbers == {"forecasts": 4, "sums compared": 4, "forecasts apart": 1}
    assert checks.agreement(pd.DataFrame([forecast("one", 100.0, 101.0, 1)])).is_severe
    without = checks.agreement(pd.DataFrame([forecast("two", None, 101.0, 2, has_forecast=False)]))
    assert (without.is_severe, without.told) == (True, "two from 2026-02-02 12:00 UTC: no forecast")


@pytest.mark.parametrize(
    ("of_store", "of_cameras", "is_alike"),
    [
        (100.0, 150.0, False),  # one of its doors was opened last month: what the store expects is learnt of the others
        (100.0, None, True),  # one of its doors is switched off
        (None, None, True),  # too little history for any number
    ],
)
def test_what_a_store_expects_is_not_held_against_doors_that_it_did_not_have(
    of_store: float | None, of_cameras: float | None, is_alike: bool
) -> None:
    verdict = checks.agreement(pd.DataFrame([forecast("two", of_store, of_cameras, 2, is_alike=is_alike)]))
    assert verdict.passed
    assert verdict.numbers["sums compared"] == 0


def plan(store: str, age: timedelta | None, forecast: timedelta | None = HOUR) -> dict[str, Any]:
    at = None if age is None else NOW - age
    return {"store": store, "plan_time": at, "forecast_time": at and forecast and at - forecast}


def test_a_plan_is_of_now_and_has_a_forecast_behind_it() -> None:
    def said(*plans: dict[str, Any]) -> Any:
        return checks.fresh_plans(pd.DataFrame(plans), NOW)

    assert said(plan("a", 2 * HOUR), plan("b", HOUR, 23 * HOUR)).passed
    verdict = said(plan("a", HOUR), plan("b", 3 * HOUR), plan("c", HOUR, DAY), plan("d", None))
    assert verdict.told == (
        "b was last planned 2026-02-02 09:00 UTC; c is planned without a forecast: the newest is of 2026-02-01 11:00 UTC; "
        "d has no plan"
    )
    assert verdict.numbers == {
        "stores": 4,
        "stores without a plan of now": 2,
        "stores planned without a forecast": 1,
    }
    assert (verdict.passed, verdict.is_severe) == (False, False)
    assert said(plan("a", None)).is_severe
    assert not said(plan("c", HOUR, DAY)).is_severe
    # A new store waits for its first forecast.
    assert said(plan("a", HOUR, None)).passed


def model(days: int, mase: float | None = 0.8, *, has_learner: bool = True) -> pd.DataFrame:
    return pd.DataFrame(
        [{"model_version": "m", "trained_to": NOW - days * DAY, "has_learner": has_learner, "mase": mase}]
    )


@pytest.mark.parametrize(
    ("days", "mase", "has_learner", "told", "is_severe"),
    [
        (14, 1.0, True, None, False),
        (14, None, True, None, False),
        (15, 0.8, True, "m is 15 days old", False),
        (29, 0.8, True, "m is 29 days old", True),
        (1, 1.25, True, "its back-test errs 1.25 times as much as the same hour of last week", False),
        (1, None, False, None, False),  # of the first weeks: nothing to learn from yet
        (15, None, False, "m is 15 days old", False),
    ],
)
def test_a_model_grows_old_and_must_beat_a_plain_rule(
    days: int, mase: float | None, has_learner: bool, told: str | None, is_severe: bool
) -> None:
    verdict = checks.fresh_model(model(days, mase, has_learner=has_learner), NOW)
    assert (verdict.passed, verdict.is_severe) == (told is None, is_severe)
    if told:
        assert verdict.told == told
    else:
        assert ("the simple rule answers" in verdict.told) == (not has_learner)


def test_without_any_model_the_simple_rule_is_named() -> None:
    verdict = checks.fresh_model(model(0).iloc[:0], NOW)
    assert (verdict.passed, verdict.is_severe) == (False, False)
    assert "simple rule" in verdict.told


def accuracy(worse: int, wape: float) -> pd.DataFrame:
    days = [date(2026, 2, 2) - n * DAY for n in range(7)]
    stores = [
        {"scope": "store", "store": "Lisbon", "date": day, "wape": wape, "skill": -0.1 if n < worse else 0.2}
        for n, day in enumerate(days)
    ]
    pooled = [{"scope": "stores_pooled", "store": "all", "date": day, "wape": wape, "skill": 0.1} for day in days]
    return pd.DataFrame([*stores, *pooled])


def test_forecasts_hold_while_they_beat_last_week_and_err_as_they_were_tested() -> None:
    assert checks.accuracy(accuracy(4, 0.30), 0.2).passed
    worse = checks.accuracy(accuracy(5, 0.2), 0.2)
    assert worse.told == "Lisbon: worse than the same hours of last week on 5 of 7 days"
    assert worse.numbers == {"stores judged": 1, "stores worse than last week": 1, "off by percent": 20.0}
    drifted = checks.accuracy(accuracy(0, 0.31), 0.2)
    assert drifted.told == "all stores: off by 31% of the people, 20% in the back-test: train the model anew"
    # what was never tested cannot have drifted, and nothing is judged before a day has ended
    assert checks.accuracy(accuracy(0, 0.9), None).passed
    assert checks.accuracy(accuracy(0, 0.9).iloc[:0], 0.2).passed


def state(camera: str, state: str | None, age: timedelta | None = 5 * MINUTE, **changes: Any) -> dict[str, Any]:
    row = {"camera": camera, "timezone": "Asia/Kolkata", "state": state, "last_seen_at": NOW - 5 * HOUR, "why": None}
    return {**row, "checked_at": None if age is None else NOW - age, **changes}


def test_cameras_that_do_not_answer_are_named_with_since_when_by_their_clock() -> None:
    def said(*states: dict[str, Any]) -> Any:
        return checks.answering(pd.DataFrame(states), NOW)

    assert said(state("a", "healthy", 10 * MINUTE)).told == "1 of 1 cameras healthy"
    verdict = said(state("a", "healthy"), state("b", "offline"), state("c", "degraded", why="clock_off"))
    assert (
        verdict.told
        == "1 of 3 cameras healthy; b offline since 2026-02-02 12:30; c degraded: its clock is off by more than two minutes"
    )
    assert verdict.numbers == {"cameras": 3, "degraded": 1, "offline": 1, "unknown": 0}
    assert (verdict.passed, verdict.is_severe) == (False, False)
    verdict = said(state("a", "healthy", 11 * MINUTE), state("b", None, None), state("c", "offline", last_seen_at=None))
    assert verdict.told == (
        "0 of 3 cameras healthy; a not looked at since 2026-02-02 17:19; b nobody has looked at it; c offline, never seen"
    )
    assert verdict.is_severe
    assert not said(state("a", "degraded")).is_severe


def alert(hours: int, severity: str = "critical", *, acknowledged: bool = False) -> dict[str, Any]:
    row = {"subject": "Lisbon", "timezone": "UTC", "title": "Too many people", "severity": severity}
    return {**row, "timestamp": NOW - hours * HOUR, "acknowledged": acknowledged}


def test_a_critical_alert_is_taken_up_within_hours() -> None:
    def said(*alerts: dict[str, Any]) -> Any:
        return checks.tended(pd.DataFrame(alerts), NOW)

    assert said(alert(4), alert(99, "warning"), alert(99, acknowledged=True)).passed
    verdict = said(alert(5), alert(1))
    assert verdict.told == "Lisbon: Too many people, since 2026-02-02 07:00, acknowledged by nobody"
    assert verdict.numbers == {"open alerts": 2, "critical ones that nobody has taken up": 2}
    assert not verdict.is_severe
    assert said(alert(25)).is_severe


def test_what_is_known_of_coming_days_must_last() -> None:
    today = NOW.date()

    def said(last: date | None, **more: int) -> Any:
        return checks.reach(pd.DataFrame([{"subject": "Lisbon", "last": last, **more}]), today, 180)

    assert said(today + 180 * DAY).passed
    assert said(today + 180 * DAY, missing=0).passed
    short = said(today + 179 * DAY)
    assert (short.passed, short.is_severe) == (False, False)
    assert short.told == "Lisbon: ends on 2026-07-31"
    assert said(today + 300 * DAY, missing=2).told == "Lisbon: ends on 2026-11-29, 2 days are missing"
    assert said(today - DAY).is_severe
    assert (said(None).is_severe, said(None).told) == (True, "Lisbon: nothing is known")
