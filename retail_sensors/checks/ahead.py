"""Checks of forecasts and plans, of what stands out, of cameras' states, alerts and inputs.

They ask what is known now, whatever a run was about. What is wrong belongs in `analytics.checks_ahead`.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from retail_sensors.analytics import checks, checks_ahead
from retail_sensors.analytics.checks import Verdict
from retail_sensors.checks.counts import newest
from retail_sensors.checks.step import DAY, Check, Run, step
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.partitions import day_key
from retail_sensors.tables.alerts import ALERTS_GENERATED
from retail_sensors.tables.anomalies import ANOMALIES_DETECTED
from retail_sensors.tables.health import CAMERA_HEALTH
from retail_sensors.tables.inputs import HOLIDAYS, RETAIL_CALENDAR
from retail_sensors.tables.predictions import (
    PREDICTION_ACCURACY,
    PREDICTION_MODEL,
    PREDICTIONS,
    STAFFING_PLAN,
    STORE_PREDICTIONS,
)

_HOUR = timedelta(hours=1)

_FORECASTS_ARE_FRESH = Check(
    PREDICTIONS,
    "fresh",
    f"Each active camera with forecasts has one made in the {checks.LATE_FORECAST // _HOUR} hours before now, whatever "
    "origins the run was about. Error: no entrance camera has one of the last day.",
    lambda run: checks.fresh_forecasts(run.ask("newest_origins"), run.now),
)
_FORECASTS_AGREE = Check(
    STORE_PREDICTIONS,
    "agrees",
    "Each store whose doors have forecasts has one: with one door that door's, else one within "
    f"{checks_ahead.APART:.0%} of their sum, where they have been counted for as long as each other. Error: it has none, or not "
    "that of its only door.",
    lambda run: checks_ahead.agreement(run.ask("forecasts_beside_cameras")),
)
_PLANS_ARE_FRESH = Check(
    STAFFING_PLAN,
    "fresh",
    f"Each store with an active entrance camera has a plan of the {checks_ahead.LATE_PLAN // _HOUR} hours before now with a forecast "
    "behind it, whatever hours the run was about. Error: no store has a plan of then.",
    lambda run: checks_ahead.fresh_plans(run.ask("newest_plans"), run.now),
)
_MODEL_IS_FRESH = Check(
    PREDICTION_MODEL,
    "fresh",
    f"The newest model is at most {checks_ahead.LATE_MODEL.days} days old and, where the history is long enough to learn from, its "
    f"back-test errs less than the same hour of last week. Error: {checks_ahead.DEAD_MODEL.days} days old.",
    lambda run: checks_ahead.fresh_model(run.ask("newest_model"), run.now),
)


def _accuracy(run: Run) -> Verdict:
    end = run.dates.end
    days = run.ask("accuracy_of_days", TimeWindow(end - checks_ahead.JUDGED_DAYS * DAY, end))
    tested = run.ask("newest_model")["wape"].dropna()
    return checks_ahead.accuracy(days, float(tested.iloc[0]) if len(tested) else None)


_FORECASTS_HOLD = Check(
    PREDICTION_ACCURACY,
    "holds",
    f"At no store were forecasts of the day before worse than last week's same hours on {checks_ahead.WORSE_DAYS} of the "
    f"{checks_ahead.JUDGED_DAYS} days up to the run's last one, and over all stores they were off by at most "
    f"{checks_ahead.DRIFT:g} times what the model's back-test was.",
    _accuracy,
)


def _search(run: Run) -> Verdict:
    running = [day_key((run.now - DAY).date()), day_key(run.now.date())]
    searched = run.context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(ANOMALIES_DETECTED.name), asset_partitions=running), limit=1
    ).records
    looked_at = datetime.fromtimestamp(searched[0].timestamp, UTC) if searched else None
    return checks.fresh_search(newest(run, "newest_hours_of_cameras"), looked_at, run.now)


_SEARCHED_NOW = Check(
    ANOMALIES_DETECTED,
    "fresh",
    f"Today or yesterday was searched within {checks.LATE_SEARCH // _HOUR} hours before now, whatever dates the run was "
    "about, and the cameras' counts are as fresh as those of store_hourly must be.",
    _search,
)
_CAMERAS_ANSWER = Check(
    CAMERA_HEALTH,
    "healthy",
    f"Every active camera is healthy, by a state that is at most {checks_ahead.OLD_STATE // timedelta(minutes=1)} minutes old. Error: "
    "every one is offline or unknown.",
    lambda run: checks_ahead.answering(run.ask("states_of_cameras"), run.now),
)
_ALERTS_ARE_TENDED = Check(
    ALERTS_GENERATED,
    "tended",
    f"No critical alert has been open for {checks_ahead.UNTENDED // _HOUR} hours with nobody having acknowledged it. Error: "
    f"{checks_ahead.FORGOTTEN // _HOUR} hours.",
    lambda run: checks_ahead.tended(run.ask("open_alerts"), run.now),
)


def _holidays(run: Run) -> Verdict:
    stores = run.ask("holidays_of_stores")
    placed = stores[stores["country"].notna()]
    verdict = checks_ahead.reach(placed, run.now.date(), checks_ahead.HOLIDAY_DAYS)
    return Verdict(
        verdict.passed,
        verdict.told,
        {**verdict.numbers, "stores without a country": len(stores) - len(placed)},
        verdict.rows,
        verdict.is_severe,
    )


_HOLIDAYS_REACH = Check(
    HOLIDAYS,
    "reaches",
    f"The holidays of each store's country are known for {checks_ahead.HOLIDAY_DAYS} days and more. Error: for none to come.",
    _holidays,
)
_CALENDAR_REACHES = Check(
    RETAIL_CALENDAR,
    "reaches",
    f"The calendar has every date up to {checks_ahead.CALENDAR_DAYS} days ahead and more. Error: it has ended.",
    lambda run: checks_ahead.reach(run.ask("days_of_calendar"), run.now.date(), checks_ahead.CALENDAR_DAYS),
)

AHEAD_CHECKS = (
    step(
        "predictions_checks",
        "What a run says of forecasts and plans.",
        _FORECASTS_ARE_FRESH,
        _FORECASTS_AGREE,
        _PLANS_ARE_FRESH,
    ),
    step("prediction_model_checks", "What a run says of the model that it has trained.", _MODEL_IS_FRESH),
    step("prediction_accuracy_checks", "What a run says of how good forecasts were.", _FORECASTS_HOLD),
    step("anomalies_detected_checks", "What a run says of its search.", _SEARCHED_NOW),
    step("camera_health_checks", "What a run says of the cameras' states.", _CAMERAS_ANSWER),
    step("alerts_generated_checks", "What a run says of open alerts.", _ALERTS_ARE_TENDED),
    step("inputs_checks", "What a run says of holidays and calendar.", _HOLIDAYS_REACH, _CALENDAR_REACHES),
)
"""Checks of what comes, and of what is now."""
