"""What is said of forecasts, plans and their model, of cameras' states, of alerts, and of what runs need beside counts.

Frames in, a verdict out, as in `checks`, which judges counts and figures. How good a forecast is belongs in `forecast_backtest`
and `prediction_rows`; here is only whether it is as good as it should be.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from retail_sensors.analytics.checks import ROUNDING, Verdict, first_of, judged, local, many
from retail_sensors.analytics.health import REASONS

APART = 0.3
"""Share by which a store's forecast of a week may differ from those of its doors: each is learnt by itself."""
LATE_PLAN = timedelta(hours=2)
"""Plans are made every hour."""
OLD_FORECAST = timedelta(hours=24)
"""A plan looks at no forecast that is so old."""
LATE_MODEL, DEAD_MODEL = timedelta(days=14), timedelta(days=28)
"""The model is trained every week."""
JUDGED_DAYS, WORSE_DAYS = 7, 5
"""A store's forecasts are worse than a plain rule when they are so on so many of the last days."""
DRIFT = 1.5
"""Errors of so many times the back-test's are drift."""
OLD_STATE = timedelta(minutes=10)
"""States are made every five minutes."""
UNTENDED, FORGOTTEN = timedelta(hours=4), timedelta(hours=24)
"""How long a critical alert may stand with nobody looking."""
HOLIDAY_DAYS, CALENDAR_DAYS = 180, 365
"""Days ahead that holidays and the retail calendar reach; forecasts need eight, plans a season."""

_HOUR = timedelta(hours=1)


def agreement(rows: pd.DataFrame) -> Verdict:
    """Whether each store has a forecast beside those of its doors that comes near to their sum; with one door it is that door's.

    `rows`: store, prediction_time, has_forecast (the store), of_cameras and of_store (people of the hours in which both are known;
    NULL: there is none), doors, is_alike (they have been counted for as long as each other: else sums are not compared). Severe where
    the store has none, or differs from its only door.
    """
    own, together = rows["of_store"].to_numpy(dtype=float), rows["of_cameras"].to_numpy(dtype=float)
    single, lacks = rows["doors"].to_numpy() == 1, ~rows["has_forecast"].to_numpy(dtype=bool)
    compared = rows["is_alike"].to_numpy(dtype=bool) & ~np.isnan(own) & ~np.isnan(together)
    allowed = np.where(single, ROUNDING, APART * np.fmax(own, together) + ROUNDING)
    apart = lacks | compared & (np.abs(own - together) > allowed)
    found = rows.loc[apart, ["store", "prediction_time", "has_forecast", "of_store", "of_cameras", "doors"]]
    return judged(
        found,
        lambda row: (
            f"{row[0]} from {row[1]:%Y-%m-%d %H:%M} UTC: "
            + (f"{row[3]:.0f} people expected, {row[4]:.0f} at its doors" if row[2] else "no forecast")
        ),
        "Forecasts of stores agree with those of their doors.",
        {"forecasts": len(rows), "sums compared": int(compared.sum()), "forecasts apart": len(found)},
        is_severe=bool((apart & (single | lacks)).any()),
    )


def fresh_plans(rows: pd.DataFrame, now: datetime) -> Verdict:
    """Whether each store has a plan of the last LATE_PLAN made from a forecast of less than OLD_FORECAST before; severe where no store
    has a plan of then.

    `rows`: store, plan_time, forecast_time (the newest forecast that the plan could use); NULL: none. A store of which nothing was
    ever forecast is new: what is late there is the forecast, not the plan.
    """
    found, late = [], 0
    for store, at, forecast in rows[["store", "plan_time", "forecast_time"]].itertuples(index=False):
        is_late = bool(pd.isna(at) or now - at > LATE_PLAN)
        late += is_late
        if is_late:
            found.append((store, "has no plan" if pd.isna(at) else f"was last planned {at:%Y-%m-%d %H:%M} UTC"))
        elif not pd.isna(forecast) and at - forecast >= OLD_FORECAST:
            found.append((store, f"is planned without a forecast: the newest is of {forecast:%Y-%m-%d %H:%M} UTC"))
    return judged(
        pd.DataFrame(found, columns=["store", "told"]),
        lambda row: f"{row[0]} {row[1]}",
        "Every store has a plan of now.",
        {
            "stores": len(rows),
            "stores without a plan of now": late,
            "stores planned without a forecast": len(found) - late,
        },
        is_severe=late == len(rows),
    )


def fresh_model(rows: pd.DataFrame, now: datetime) -> Verdict:
    """Whether the newest model is of the last LATE_MODEL, and errs less than the same hour of last week where it has learnt.

    `rows`: none or one: model_version, trained_to, has_learner, mase. A model learns nothing of a history that is too short for it:
    the simple rule answers then, and nothing is wrong. Severe from DEAD_MODEL on.
    """
    if not len(rows):
        return Verdict(False, "No model has been trained: the simple rule answers.")
    (model,) = rows.to_dict("records")
    age = now - model["trained_to"]
    wrong = []
    if age > LATE_MODEL:
        wrong.append(f"{model['model_version']} is {age.days} days old")
    if model["has_learner"] and not pd.isna(model["mase"]) and model["mase"] > 1:
        wrong.append(f"its back-test errs {model['mase']:.2f} times as much as the same hour of last week")
    passed = (
        "beats a plain rule" if model["has_learner"] else "has too little history to learn: the simple rule answers"
    )
    told = "; ".join(wrong) or f"{model['model_version']} is of this week or the last, and {passed}."
    numbers = {"days old": age.days} | ({} if pd.isna(model["mase"]) else {"MASE of the back-test": model["mase"]})
    return Verdict(not wrong, told, numbers, is_severe=age > DEAD_MODEL)


def accuracy(rows: pd.DataFrame, tested_wape: float | None) -> Verdict:
    """Whether forecasts of the day before are as good as their back-test, and at no store worse than last week's same hours.

    `rows`: scope (`store`, `stores_pooled`), store, date, wape, skill, of JUDGED_DAYS days; `tested_wape`: the model's, None: not
    back-tested.
    """
    found = []
    of_stores = rows[(rows["scope"] == "store") & rows["skill"].notna()]
    for store, days in of_stores.groupby("store", sort=True):
        worse = int((days["skill"] < 0).sum())
        if worse >= WORSE_DAYS:
            told = f"worse than the same hours of last week on {worse} of {many(len(days), 'day')}"
            found.append((str(store), told))
    pooled = rows.loc[(rows["scope"] == "stores_pooled") & rows["wape"].notna(), "wape"]
    wape = float(pooled.median()) if len(pooled) else None
    if wape is not None and tested_wape is not None and wape > DRIFT * tested_wape:
        found.append(
            ("all stores", f"off by {wape:.0%} of the people, {tested_wape:.0%} in the back-test: train the model anew")
        )
    numbers = {
        "stores judged": int(of_stores["store"].nunique()),
        "stores worse than last week": sum(one != "all stores" for one, _ in found),
    }
    return judged(
        pd.DataFrame(found, columns=["store", "told"]),
        lambda row: f"{row[0]}: {row[1]}",
        "Forecasts are as good as they were tested." if len(rows) else "No forecast has been judged yet.",
        numbers | ({} if wape is None else {"off by percent": round(100 * wape, 1)}),
    )


def answering(states: pd.DataFrame, now: datetime) -> Verdict:
    """Whether every active camera answers, by a state that is younger than OLD_STATE; severe when none does.

    `states`: camera, timezone, state, last_seen_at, checked_at, why (NULL: nobody has looked).
    """
    rows = []
    names = ["camera", "timezone", "state", "last_seen_at", "checked_at", "why"]
    for camera, zone, state, seen, checked, why in states[names].itertuples(index=False):
        if pd.isna(checked):
            rows.append((camera, "unknown", "nobody has looked at it"))
        elif now - checked > OLD_STATE:
            rows.append((camera, "unknown", f"not looked at since {local(checked, zone)}"))
        elif state == "offline":
            rows.append(
                (camera, state, f"offline since {local(seen, zone)}" if not pd.isna(seen) else "offline, never seen")
            )
        elif state != "healthy":
            rows.append((camera, str(state), f"{state}: {REASONS.get(why, why)}"))
    table = pd.DataFrame(rows, columns=["camera", "state", "told"])
    silent = table["state"].isin(["offline", "unknown"])
    told = f"{len(states) - len(table)} of {len(states)} cameras healthy"
    if len(table):
        told += "; " + first_of(f"{camera} {what}" for camera, _, what in table.itertuples(index=False))
    counts = {state: int((table["state"] == state).sum()) for state in ("degraded", "offline", "unknown")}
    return Verdict(
        not len(table),
        told,
        {"cameras": len(states), **counts},
        table,
        bool(len(table)) and silent.sum() == len(states),
    )


def tended(alerts: pd.DataFrame, now: datetime) -> Verdict:
    """Whether somebody has taken up each critical alert within UNTENDED; severe from FORGOTTEN on.

    `alerts`: subject, timezone, title, severity, timestamp, acknowledged, of those that have not ended.
    """
    waiting = alerts[(alerts["severity"] == "critical") & ~alerts["acknowledged"].astype(bool)]
    ages = [now - at for at in waiting["timestamp"]]
    found = [
        (subject, title, f"since {local(at, zone)}")
        for (subject, zone, title, at), age in zip(
            waiting[["subject", "timezone", "title", "timestamp"]].itertuples(index=False), ages, strict=True
        )
        if age > UNTENDED
    ]
    return judged(
        pd.DataFrame(found, columns=["where", "alert", "since"]),
        lambda row: f"{row[0]}: {row[1]}, {row[2]}, acknowledged by nobody",
        "Every critical alert has been taken up, or is new.",
        {"open alerts": len(alerts), "critical ones that nobody has taken up": len(waiting)},
        is_severe=any(age > FORGOTTEN for age in ages),
    )


def reach(rows: pd.DataFrame, today: date, days: int) -> Verdict:
    """Whether what is known of coming days lasts for so many from today on; severe where it has ended.

    `rows`: subject, last (NULL: nothing is known), and, where days before may be missing, `missing`, their number.
    """
    missing = rows["missing"].fillna(0) if "missing" in rows else pd.Series(0, index=rows.index)
    found = [
        (
            subject,
            "nothing is known"
            if pd.isna(last)
            else f"ends on {last}" + (f", {gaps:.0f} days are missing" if gaps else ""),
        )
        for subject, last, gaps in zip(rows["subject"], rows["last"], missing, strict=True)
        if pd.isna(last) or last < today + timedelta(days=days) or gaps
    ]
    return judged(
        pd.DataFrame(found, columns=["what", "told"]),
        lambda row: f"{row[0]}: {row[1]}",
        f"Known for {days} days ahead and more.",
        {"looked at": len(rows), "too short": len(found)},
        is_severe=any(pd.isna(last) or last < today for last in rows["last"]),
    )
