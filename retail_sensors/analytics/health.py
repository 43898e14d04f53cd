"""How cameras answer: from what became of asking them to a state and a few numbers each.

The log keeps what became of the last question about each hour, and when the camera last answered for it: a failure that was made
good later is no longer known, but the alarm status is a reading of now, and its hours are never asked again. Questions about
whole days are left out, many cameras lack them. What was not asked of a camera that is left alone is logged as asked in vain, and
counts as that. What is done about an offline camera belongs in `alert_rules`, when it is left alone in `connectors.breaker`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.tables.health import CAMERA_HEALTH

ANSWERS = frozenset({"ok", "ok_with_rejects", "no_rows", "beyond_retention"})
"""Outcomes of a question that the camera answered."""
NOT_SENT = frozenset({"address_blocked", "missing_secret"})
"""Outcomes of a question that our own settings kept from being sent: they say nothing of the camera."""

MEMORY = timedelta(days=7)
"""What uptime and errors look back on."""
LATELY = timedelta(hours=24)
"""What latency and error rate look back on."""
OFFLINE_AFTER = timedelta(minutes=8)
"""Asked in vain for so long, as of the newest question, a camera is offline: more than one run of the running hour, so that one
lost answer is none; and with the five minutes between two looks a dead camera is known within a quarter of an hour."""
ASKED_WITHIN = timedelta(minutes=60)
"""A camera that was last asked longer ago is neither well nor ill: nobody knows."""
MOST_ERRORS = 0.1
"""Highest error rate of a healthy camera."""
SLOWEST_MS = 5000.0
"""Highest median duration of a healthy camera's answers."""
CLOCK_SECONDS = 120.0
"""Largest clock offset of a healthy camera; further off, its hours are not those of its neighbours."""

REASONS: dict[str, str] = {
    "switched_off": "the camera is switched off",
    "missing_secret": "its password reference points nowhere, so it is not asked",
    "address_blocked": "its address is outside the allowed networks, so it is not asked",
    "not_asked": "it was not asked in that time",
    "not_asked_lately": "it has not been asked for an hour",
    "never_answered": "it is new and has not answered yet",
    "asked_in_vain": "it has not answered for 8 minutes",
    "last_question_failed": "its newest question got no answer",
    "errors": "more than a tenth of the questions of the last 24 hours got no answer",
    "clock_off": "its clock is off by more than two minutes",
    "slow": "its median answer takes more than 5 seconds",
    "no_answer": "it has not answered in that time",
    "told_no_time": "its newest answer told no time, or it has never answered",
    "history_only": "without the alarm status, hours that were asked again later hide that the camera was away",
}
"""Why a camera is not healthy, and why a number is NULL or noted."""

_DAY_QUESTIONS = frozenset({"region_stays", "spatial_heatmap"})
_READING_OF_NOW = "vca_alarm_status"
_QUESTION = ["sensor_id", "endpoint", "at"]


def camera_health(
    log: pd.DataFrame, sensors: pd.DataFrame, now: datetime, breakers: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row of `camera_health` per camera of `sensors` (id, is_active, last_seen_at, clock_offset_seconds, created_at).

    `log`: sensor_id, endpoint, outcome, error, latency_ms, asked_at, last_success_at of `collection_log`, of at least the last 7
    days; what was asked after `now` is left out. `breakers`: sensor_id, state, opened_at of `camera_breakers`; None: no camera
    has one. Raises ContractError where `now` has no zone.
    """
    frames.instant(now, "now")
    log = log[(log["asked_at"] <= now) & (log["asked_at"] > now - MEMORY)]
    log = log[~log["endpoint"].isin(_DAY_QUESTIONS) & (log["outcome"] != "busy") & log["sensor_id"].isin(sensors["id"])]
    log = log.assign(is_answer=log["outcome"].isin(ANSWERS), is_sent=~log["outcome"].isin(NOT_SENT))
    questions = _questions(log[log["is_sent"]], now)
    ids = pd.Index(sensors["id"].astype(object), name="sensor_id")

    def per_camera(found: pd.Series) -> pd.Series:
        return found.reindex(ids).reset_index(drop=True)

    by_camera = questions.groupby("sensor_id")
    newest = questions.sort_values("at", kind="stable").groupby("sensor_id").tail(1).set_index("sensor_id")
    last_asked = per_camera(newest["at"])
    lost = per_camera(newest["failed"]).fillna(value=False).astype(bool)
    registered = sensors[["last_seen_at", "created_at", "clock_offset_seconds"]].reset_index(drop=True)
    seen = registered["last_seen_at"].where(registered["last_seen_at"] <= now)
    answered = per_camera(questions[questions["answered"]].groupby("sensor_id")["at"].max())
    last_seen = pd.concat([seen, answered], axis=1).max(axis=1)
    first = pd.concat([registered["created_at"], per_camera(by_camera["at"].min())], axis=1).min(axis=1)
    in_vain = lost & (last_asked - last_seen.fillna(first) >= OFFLINE_AFTER)

    lately = questions[questions["at"] > now - LATELY]
    error_rate = per_camera(lately.groupby("sensor_id")["failed"].mean())
    latency = per_camera(lately[lately["answered"]].groupby("sensor_id")["latency_ms"].median())
    hours = questions.assign(hour=questions["at"].dt.floor("h")).groupby(["sensor_id", "hour"])["answered"].any()
    by_hour = hours.groupby("sensor_id")
    uptime, uptime_hours = per_camera(by_hour.mean()), per_camera(by_hour.size()).fillna(0)
    has_now = per_camera(questions[questions["endpoint"] == _READING_OF_NOW].groupby("sensor_id").size()).notna()
    offset = registered["clock_offset_seconds"]

    failures = log[~log["is_answer"]].sort_values("asked_at", kind="stable").groupby("sensor_id").tail(1)
    failures = failures.set_index("sensor_id")
    last_word = (
        log.sort_values("asked_at", kind="stable").groupby("sensor_id").tail(1).set_index("sensor_id")["outcome"]
    )
    unsent = per_camera(last_word.where(last_word.isin(NOT_SENT)))

    known = (
        pd.DataFrame({"state": [], "opened_at": []}, dtype="object")
        if breakers is None
        else breakers.set_index("sensor_id")
    )

    words = Vocabulary()
    count = len(sensors)
    why = words.first(
        count,
        (~frames.flags(sensors, "is_active", "sensor_metadata"), "switched_off"),
        *((_mask(unsent == word), word) for word in sorted(NOT_SENT)),
        (_mask(last_asked.isna()), "not_asked"),
        (_mask(last_asked < now - ASKED_WITHIN), "not_asked_lately"),
        (_mask(in_vain), "asked_in_vain"),
        (_mask(last_seen.isna()), "never_answered"),
        (_mask(lost), "last_question_failed"),
        (_mask(error_rate > MOST_ERRORS), "errors"),
        (_mask(offset.abs() > CLOCK_SECONDS), "clock_off"),
        (_mask(latency > SLOWEST_MS), "slow"),
    )
    state = np.array([_STATES.get(words.word(int(code)), "degraded") for code in why], dtype=object)
    notes = [
        (("state",), why),
        (("latency_ms",), words.first(count, (_mask(latency.isna()), "no_answer"))),
        (("error_rate",), words.first(count, (_mask(error_rate.isna()), "not_asked"))),
        (("uptime_share",), words.first(count, (_mask(uptime.isna()), "not_asked"), (_mask(~has_now), "history_only"))),
        (("clock_offset_seconds",), words.first(count, (_mask(offset.isna()), "told_no_time"))),
    ]
    rows = pd.DataFrame(
        {
            "sensor_id": ids,
            "state": state,
            "last_asked_at": last_asked,
            "last_seen_at": last_seen,
            "last_error": per_camera(failures["error"]),
            "last_error_class": per_camera(failures["outcome"]),
            "last_error_at": per_camera(failures["asked_at"]),
            "latency_ms": latency,
            "error_rate": error_rate,
            "uptime_share": uptime,
            "uptime_hours": uptime_hours,
            "clock_offset_seconds": offset,
            "breaker_state": per_camera(known["state"]),
            "left_alone_since": per_camera(known["opened_at"]),
            "checked_at": pd.Timestamp(now),
            "quality": quality_texts(words, count, notes),
        }
    )
    return rows.astype({column.name: column.kind.pandas for column in CAMERA_HEALTH.written})


_STATES = {
    "": "healthy",
    "asked_in_vain": "offline",
    **dict.fromkeys(
        ("switched_off", *NOT_SENT, "not_asked", "not_asked_lately", "never_answered"),
        "unknown",
    ),
}
"""State by its reason; a camera that answers, but not as it should, is degraded."""


def _questions(log: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """sensor_id, endpoint, at, failed, answered, latency_ms: each question that the log still knows.

    One question is logged with each of its hours. It failed when one of them went without an answer, and was answered when one of
    them has one: a cut answer is both.
    """
    asked = log.assign(at=log["asked_at"], failed=~log["is_answer"], answered=log["is_answer"])
    before = log[(log["last_success_at"] < log["asked_at"]) & (log["last_success_at"] > now - MEMORY)]
    unknown = pd.Series(pd.NA, index=before.index, dtype="Float64")
    before = before.assign(at=before["last_success_at"], failed=False, answered=True, latency_ms=unknown)
    columns = [*_QUESTION, "failed", "answered", "latency_ms"]
    each = pd.concat([part[columns].drop_duplicates() for part in (asked, before) if len(part)] or [asked[columns]])
    return each.groupby(_QUESTION, as_index=False).agg(
        failed=("failed", "max"), answered=("answered", "max"), latency_ms=("latency_ms", "max")
    )


def _mask(values: pd.Series) -> frames.Array:
    """A comparison as an array; what cannot be compared is false."""
    return values.to_numpy(dtype=bool, na_value=False)
