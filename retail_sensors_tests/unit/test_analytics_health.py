"""Camera health: states and numbers against hand-worked logs, and what no order of the log changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.analytics.health import ANSWERS, NOT_SENT, REASONS, camera_health
from retail_sensors.connectors.base import Outcome
from retail_sensors.errors import ContractError
from retail_sensors.tables import COLLECTION_LOG, SENSOR_METADATA
from retail_sensors.tables.health import CAMERA_HEALTH

NOW = datetime(2025, 10, 7, 13, 31, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_LOG = ("sensor_id", "endpoint", "hour_start", "outcome", "error", "latency_ms", "asked_at", "last_success_at")
_SENSORS = ("id", "is_active", "last_seen_at", "clock_offset_seconds", "created_at")


def typed(table: Any, names: tuple[str, ...], rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        {n: pd.Series([r.get(n) for r in rows], dtype="object").astype(table.column(n).kind.pandas) for n in names}
    )


def asked(at: datetime, outcome: str = "ok", endpoint: str = "vca_alarm_status", **changes: Any) -> dict[str, Any]:
    """One row of the log; an answer takes 100 ms unless said otherwise."""
    is_answer = outcome in ANSWERS
    return {
        "sensor_id": "a",
        "endpoint": endpoint,
        "hour_start": at.replace(minute=0),
        "outcome": outcome,
        "error": None if is_answer else f"it ended as {outcome}",
        "latency_ms": 100.0 if is_answer else None,
        "asked_at": at,
        "last_success_at": at if is_answer else None,
        **changes,
    }


def health(*log: dict[str, Any], now: datetime = NOW, **sensor: Any) -> dict[str, Any]:
    """The health of camera a, registered a month ago, with `quality` as an object."""
    camera = {"id": "a", "is_active": True, "clock_offset_seconds": 1.5, "created_at": NOW - 30 * DAY, **sensor}
    frame = camera_health(typed(COLLECTION_LOG, _LOG, list(log)), typed(SENSOR_METADATA, _SENSORS, [camera]), now)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        column.name: column.kind.pandas for column in CAMERA_HEALTH.written
    }
    assert len(frame) == 1
    row = {name: None if pd.isna(frame[name].iloc[0]) else frame[name].iloc[0] for name in frame.columns}
    return {**row, "quality": json.loads(str(row["quality"]))}


def test_a_camera_that_answers_is_healthy_with_its_numbers() -> None:
    row = health(
        asked(NOW - MINUTE, latency_ms=300.0),
        asked(NOW - HOUR, latency_ms=100.0),
        asked(NOW - 2 * HOUR, latency_ms=140.0),
        # Older than a day: no part of latency and error rate, but of the uptime.
        asked(NOW - 30 * HOUR, "timeout", latency_ms=60_000.0),
        asked(NOW - 8 * DAY, "refused"),
    )
    assert (row["state"], row["quality"]) == ("healthy", {})
    assert (row["latency_ms"], row["error_rate"]) == (140.0, 0.0)
    assert (row["uptime_share"], row["uptime_hours"]) == (0.75, 4)
    assert (row["last_asked_at"], row["last_seen_at"], row["checked_at"]) == (NOW - MINUTE, NOW - MINUTE, NOW)
    assert (row["last_error"], row["last_error_class"]) == ("it ended as timeout", "timeout")
    assert row["last_error_at"] == NOW - 30 * HOUR
    assert row["clock_offset_seconds"] == 1.5


@pytest.mark.parametrize(
    ("minutes", "state", "reason"),
    [(7, "degraded", "last_question_failed"), (8, "offline", "asked_in_vain"), (600, "offline", "asked_in_vain")],
)
def test_offline_is_asked_in_vain_for_eight_minutes(minutes: int, state: str, reason: str) -> None:
    at = NOW - MINUTE
    row = health(asked(at, "refused", last_success_at=at - minutes * MINUTE))
    assert (row["state"], row["quality"]["state"]) == (state, reason)
    assert row["last_seen_at"] == at - minutes * MINUTE


def test_a_camera_that_has_never_answered_counts_from_its_registration() -> None:
    new = health(asked(NOW, "timeout"), created_at=NOW - 7 * MINUTE)
    assert (new["state"], new["quality"]["state"], new["last_seen_at"]) == ("unknown", "never_answered", None)
    old = health(asked(NOW, "timeout"), created_at=NOW - 8 * MINUTE, clock_offset_seconds=None)
    assert (old["state"], old["error_rate"], old["uptime_share"], old["latency_ms"]) == ("offline", 1.0, 0.0, None)
    assert old["quality"] == {
        "state": "asked_in_vain",
        "latency_ms": "no_answer",
        "clock_offset_seconds": "told_no_time",
    }


def test_what_is_not_asked_is_unknown_and_never_offline() -> None:
    dead = asked(NOW - MINUTE, "refused")
    off = health(dead, is_active=False, last_seen_at=NOW - 3 * DAY)
    assert (off["state"], off["quality"]["state"]) == ("unknown", "switched_off")
    idle = health(asked(NOW - 61 * MINUTE, "refused"))
    assert (idle["state"], idle["quality"]["state"]) == ("unknown", "not_asked_lately")
    never = health(last_seen_at=NOW - 9 * DAY)
    assert (never["state"], never["last_seen_at"], never["uptime_hours"]) == ("unknown", NOW - 9 * DAY, 0)
    assert never["quality"] == {
        "state": "not_asked",
        "latency_ms": "no_answer",
        "error_rate": "not_asked",
        "uptime_share": "not_asked",
    }


@pytest.mark.parametrize("word", sorted(NOT_SENT))
def test_what_our_own_settings_kept_back_says_nothing_of_the_camera(word: str) -> None:
    row = health(asked(NOW - HOUR), asked(NOW - MINUTE, word))
    assert (row["state"], row["quality"]["state"]) == ("unknown", word)
    assert (row["error_rate"], row["last_error_class"], row["last_asked_at"]) == (0.0, word, NOW - HOUR)
    assert health(asked(NOW - MINUTE, word), asked(NOW))["state"] == "healthy"


def test_a_busy_camera_and_questions_about_whole_days_count_for_nothing() -> None:
    row = health(asked(NOW - MINUTE), asked(NOW, "busy"), asked(NOW, "not_found", "region_stays"))
    assert (row["state"], row["error_rate"], row["last_error"]) == ("healthy", 0.0, None)


def test_more_than_a_tenth_of_errors_degrades() -> None:
    good = [asked(NOW - n * MINUTE) for n in range(1, 10)]
    lost = asked(NOW - 20 * MINUTE, "server_error")
    assert health(*good, lost)["error_rate"] == 0.1
    assert health(*good, lost)["state"] == "healthy"
    row = health(*good[1:], lost)
    assert (row["state"], row["quality"]) == ("degraded", {"state": "errors"})
    assert row["error_rate"] == pytest.approx(1 / 9)


def test_a_clock_that_is_off_and_slow_answers_degrade() -> None:
    assert health(asked(NOW), clock_offset_seconds=-120.0)["state"] == "healthy"
    assert health(asked(NOW), clock_offset_seconds=-120.5)["quality"] == {"state": "clock_off"}
    assert health(asked(NOW, latency_ms=5000.0))["state"] == "healthy"
    assert health(asked(NOW, latency_ms=5000.5))["quality"] == {"state": "slow"}


def test_a_question_counts_once_whatever_hours_it_is_about() -> None:
    hours = [asked(NOW - MINUTE, endpoint="people_counting", hour_start=NOW - n * HOUR) for n in range(8)]
    row = health(*hours, asked(NOW, "timeout", last_success_at=NOW - 5 * MINUTE))
    # The eight hours of one question, the answer five minutes ago, and the failure: one of three.
    assert row["error_rate"] == pytest.approx(1 / 3)
    # All in the hour from 13:00.
    assert (row["uptime_share"], row["uptime_hours"]) == (1.0, 1)


def test_a_cut_answer_is_an_error_of_a_camera_that_is_there() -> None:
    at = NOW - MINUTE
    kept = asked(at, "ok_with_rejects", "people_counting", hour_start=NOW - 2 * HOUR)
    cut = asked(at, "truncated", "people_counting", hour_start=NOW - HOUR)
    row = health(kept, cut)
    assert (row["state"], row["error_rate"], row["uptime_share"], row["last_seen_at"]) == ("degraded", 1.0, 1.0, at)


def test_without_readings_of_now_the_uptime_is_noted() -> None:
    assert health(asked(NOW, endpoint="people_counting"))["quality"] == {"uptime_share": "history_only"}


def test_what_lies_after_now_is_left_out() -> None:
    row = health(asked(NOW - MINUTE), asked(NOW + MINUTE, "refused"), last_seen_at=NOW + MINUTE)
    assert (row["state"], row["last_seen_at"]) == ("healthy", NOW - MINUTE)
    with pytest.raises(ContractError, match="has no time zone"):
        health(asked(NOW), now=NOW.replace(tzinfo=None))


def test_no_camera_no_row_and_unknown_cameras_are_left_out() -> None:
    log = typed(COLLECTION_LOG, _LOG, [asked(NOW)])
    assert camera_health(log, typed(SENSOR_METADATA, _SENSORS, []), NOW).empty


def test_the_words_are_those_of_the_connectors() -> None:
    assert {outcome.value for outcome in Outcome if outcome.is_answer} == ANSWERS
    assert NOT_SENT | {"busy"} <= {outcome.value for outcome in Outcome}
    assert set(REASONS) >= NOT_SENT


_ROWS = st.lists(
    st.builds(
        asked,
        st.integers(0, 10_000).map(lambda minutes: NOW - minutes * MINUTE),
        st.sampled_from(["ok", "no_rows", "timeout", "refused", "missing_secret", "busy"]),
        st.sampled_from(["people_counting", "vca_alarm_status"]),
        sensor_id=st.sampled_from(["a", "b", "c"]),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(rows=_ROWS, data=st.data())
def test_order_and_doubling_of_the_log_change_nothing_and_shares_are_shares(
    rows: list[Any], data: st.DataObject
) -> None:
    # One hour of one endpoint has one row; two questions at one instant would have no newest.
    rows = list({(row["sensor_id"], row["asked_at"]): row for row in rows}.values())
    cameras = [{"id": name, "is_active": True, "created_at": NOW - 30 * DAY} for name in ("a", "b")]
    sensors = typed(SENSOR_METADATA, _SENSORS, cameras)
    once = camera_health(typed(COLLECTION_LOG, _LOG, rows), sensors, NOW)
    shuffled = data.draw(st.permutations(rows + rows[:5]))
    pd.testing.assert_frame_equal(camera_health(typed(COLLECTION_LOG, _LOG, shuffled), sensors, NOW), once)
    assert list(once["sensor_id"]) == ["a", "b"]
    for share in ("error_rate", "uptime_share"):
        assert once[share].dropna().between(0, 1).all()
    assert (once["uptime_share"].isna() == (once["uptime_hours"] == 0)).all()
