"""When alerts are raised, kept, escalated and resolved; what is observed; and what they say."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.analytics.alert_observations import (
    BACK_TO_USUAL,
    CLOSED,
    GAP_RECOVERS,
    NONE_SWITCHED_ON,
    NOTHING_LOWER,
    SWITCHED_OFF,
    Observation,
    Sources,
    observations,
)
from retail_sensors.analytics.alert_texts import alert_text, duration
from retail_sensors.analytics.alerts import evaluate
from retail_sensors.analytics.roster import Roster
from retail_sensors.storage.frames import check_frame
from retail_sensors.tables import COLLECTION_LOG, KPI_METRICS, RAW_REVISIONS, STORE_HOURLY
from retail_sensors.tables.alerts import ALERT_RULES, ALERTS_GENERATED
from retail_sensors.tables.anomalies import ANOMALIES_DETECTED
from retail_sensors.tables.queues import QUEUE_ANALYTICS
from retail_sensors_tests.unit.analytics_estate import camera, identity, roster, store, typed, utc

NOW = utc("2026-02-03T14:30")  # a Tuesday
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def rule(name: str = "overcrowding", **changes: Any) -> dict[str, Any]:
    """A rule with thresholds 90 and 100, no hold, 15 minutes of cool-down, 20 to escalation and 60 of recency."""
    return {
        "id": identity(name + str(changes.get("store_id"))),
        "rule_name": name,
        "alert_type": "capacity",
        "scope": "store",
        "metric": "utilization_percent",
        "comparison": ">=",
        "warning_threshold": 90.0,
        "critical_threshold": 100.0,
        "hold_minutes": 0,
        "cool_down_minutes": 15,
        "escalate_after_minutes": 20,
        "recency_minutes": 60,
        "is_enabled": True,
        "description": "-",
        **changes,
    }


def rules(*rows: dict[str, Any]) -> pd.DataFrame:
    return typed(ALERT_RULES, rows or [rule()])


def crowd(value: float | None, until: datetime = NOW, minutes: float = 30, **changes: Any) -> Observation:
    """So many percent of the 200 people that fit into the store Lisbon."""
    given: dict[str, Any] = {
        "metric": "utilization_percent",
        "sensor_id": None,
        "store_id": identity("Lisbon"),
        "subject": "Lisbon",
        "zone": "Europe/Lisbon",
        "value": value,
        "seen_from": until - minutes * MINUTE,
        "seen_until": until,
        "details": {"avg_occupancy": 2 * (value or 0), "capacity": 200.0},
        **changes,
    }
    return Observation(**given)


NOTHING = typed(ALERTS_GENERATED, [])


class Book:
    """The table of alerts through time: each step evaluates and stores what changed."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rules = rules(*rows)
        self.stored = NOTHING

    def at(self, now: datetime, *seen: Observation) -> pd.DataFrame:
        changed = evaluate(self.rules, seen, self.stored, now)
        check_frame(changed, ALERTS_GENERATED, "alerts_generated")
        self.stored = pd.concat([self.stored[~self.stored["id"].isin(changed["id"])], changed], ignore_index=True)
        assert evaluate(self.rules, seen, self.stored, now).empty, "the same again changes something"
        return changed

    def change(self, **values: Any) -> None:
        """What a person writes into the only open alert."""
        for name, value in values.items():
            self.stored.loc[~self.stored["resolved"], name] = value

    @property
    def open(self) -> list[dict[str, Any]]:
        return _plain(self.stored[~self.stored["resolved"]])

    @property
    def only(self) -> dict[str, Any]:
        assert len(self.stored) == 1
        return _plain(self.stored)[0]


def _plain(alerts: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows with None for NULL."""
    return [
        {str(name): None if pd.isna(cell) else cell for name, cell in row.items()} for row in alerts.to_dict("records")
    ]


# Raising ----------------------------------------------------------------------------------------------------------------


def test_a_value_over_the_threshold_raises_one_alert_with_its_numbers() -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    alert = book.only
    assert (alert["rule_name"], alert["severity"], alert["scope"]) == ("overcrowding", "warning", "store")
    assert (alert["store_id"], alert["sensor_id"]) == (identity("Lisbon"), None)
    assert (alert["threshold_value"], alert["actual_value"], alert["occurrences"]) == (90.0, 95.0, 1)
    assert (alert["timestamp"], alert["first_seen_at"], alert["last_seen_at"]) == (NOW, NOW - 30 * MINUTE, NOW)
    assert json.loads(alert["metrics"]) == {"utilization_percent": 95.0, "avg_occupancy": 190.0, "capacity": 200.0}
    assert alert["title"] == "Lisbon is crowded: 95 % of its capacity"
    assert alert["message"] == (
        "On average 190 people were in Lisbon between 14:00 and 14:30, 95 % of the 200 that are allowed (limit 90 %). Let people "
        "in only as others leave, and open all tills and exits."
    )


@pytest.mark.parametrize(
    ("value", "severity"), [(89.9, None), (90.0, "warning"), (99.9, "warning"), (100.0, "critical")]
)
def test_thresholds_are_reached_not_passed(value: float, severity: str | None) -> None:
    changed = evaluate(rules(), [crowd(value)], NOTHING, NOW)
    assert list(changed["severity"]) == ([severity] if severity else [])


def test_a_rule_may_watch_for_too_little_and_have_one_severity_only() -> None:
    low = rules(rule(comparison="<", warning_threshold=None, critical_threshold=10.0))
    assert evaluate(low, [crowd(10.0)], NOTHING, NOW).empty
    assert list(evaluate(low, [crowd(9.9)], NOTHING, NOW)["severity"]) == ["critical"]


def test_back_filled_history_raises_nothing() -> None:
    assert len(evaluate(rules(), [crowd(120.0, NOW - 60 * MINUTE)], NOTHING, NOW)) == 1
    assert evaluate(rules(), [crowd(120.0, NOW - 61 * MINUTE)], NOTHING, NOW).empty


def test_the_newest_value_decides_and_not_the_worst() -> None:
    assert evaluate(rules(), [crowd(120.0, NOW - 30 * MINUTE), crowd(50.0)], NOTHING, NOW).empty


def test_the_condition_must_have_held_without_a_gap() -> None:
    held = rules(rule(hold_minutes=45))
    before = crowd(95.0, NOW - 30 * MINUTE)
    assert evaluate(held, [crowd(95.0)], NOTHING, NOW).empty
    assert list(evaluate(held, [before, crowd(95.0)], NOTHING, NOW)["first_seen_at"]) == [NOW - HOUR]
    assert evaluate(held, [crowd(80.0, NOW - 30 * MINUTE), crowd(95.0)], NOTHING, NOW).empty
    assert evaluate(held, [crowd(95.0, NOW - 31 * MINUTE), crowd(95.0)], NOTHING, NOW).empty


def test_a_store_of_its_own_rule_is_judged_by_that_alone() -> None:
    own = rule(store_id=identity("Lisbon"), warning_threshold=50.0)
    assert len(evaluate(rules(rule(), own), [crowd(60.0)], NOTHING, NOW)) == 1
    elsewhere = crowd(60.0, store_id=identity("Porto"), subject="Porto")
    assert evaluate(rules(rule(), own), [elsewhere], NOTHING, NOW).empty
    off = rule(store_id=identity("Lisbon"), is_enabled=False)
    assert evaluate(rules(rule(), off), [crowd(99.0)], NOTHING, NOW).empty


def test_stores_and_rules_have_alerts_of_their_own() -> None:
    book = Book(rule(), rule("half_full", warning_threshold=50.0))
    book.at(NOW, crowd(95.0), crowd(60.0, store_id=identity("Porto"), subject="Porto"))
    assert sorted((alert["rule_name"], alert["store_id"] == identity("Lisbon")) for alert in book.open) == [
        ("half_full", False),
        ("half_full", True),
        ("overcrowding", True),
    ]


# Keeping ----------------------------------------------------------------------------------------------------------------


def test_what_lasts_is_one_alert_that_is_counted() -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    book.at(NOW + 5 * MINUTE, crowd(97.0, NOW + 5 * MINUTE))
    assert (book.only["occurrences"], book.only["actual_value"]) == (2, 97.0)
    assert (book.only["timestamp"], book.only["last_seen_at"]) == (NOW, NOW + 5 * MINUTE)
    # The same figure again, looked at later: nothing was seen anew.
    assert book.at(NOW + 10 * MINUTE, crowd(97.0, NOW + 5 * MINUTE)).empty


def test_a_run_that_comes_late_does_not_turn_the_alert_back() -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    assert book.at(NOW + MINUTE, crowd(50.0, NOW - MINUTE)).empty
    assert book.at(NOW - MINUTE, crowd(104.0, NOW - MINUTE)).empty


def test_severity_rises_and_does_not_fall() -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    book.at(NOW + 5 * MINUTE, crowd(104.0, NOW + 5 * MINUTE))
    assert (book.only["severity"], book.only["threshold_value"]) == ("critical", 100.0)
    book.at(NOW + 10 * MINUTE, crowd(92.0, NOW + 10 * MINUTE))
    assert (book.only["severity"], book.only["actual_value"]) == ("critical", 92.0)
    assert json.loads(book.only["actions_taken"]) == [
        {
            "action": "severity_raised",
            "timestamp": (NOW + 5 * MINUTE).isoformat(),
            "by": "rule overcrowding",
            "result": "critical: Lisbon is crowded: 104 % of its capacity",
        }
    ]


def test_it_is_escalated_once_when_nobody_takes_it_up() -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    book.at(NOW + 19 * MINUTE, crowd(95.0, NOW + 19 * MINUTE))
    assert not book.only["escalated"]
    book.at(NOW + 20 * MINUTE, crowd(95.0, NOW + 20 * MINUTE))
    book.at(NOW + 40 * MINUTE, crowd(95.0, NOW + 40 * MINUTE))
    assert (book.only["escalated"], book.only["escalated_to"]) == (True, None)
    assert [(each["action"], each["result"]) for each in json.loads(book.only["actions_taken"])] == [
        ("escalated", "Not acknowledged for 20 minutes.")
    ]


def test_an_acknowledged_alert_is_not_escalated_and_stays_acknowledged() -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    acknowledged_at = pd.Timestamp(NOW + timedelta(seconds=1, microseconds=5))
    book.change(acknowledged=True, acknowledged_by="Ana", acknowledged_at=acknowledged_at)
    book.at(NOW + HOUR, crowd(104.0, NOW + HOUR))
    assert (book.only["acknowledged_by"], book.only["acknowledged_at"]) == ("Ana", acknowledged_at)
    assert not book.only["escalated"]


# Ending -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "note"),
    [
        (crowd(80.0, NOW + HOUR), "Within the limits again: 80 %."),
        (crowd(None, NOW + HOUR, ended=CLOSED), "The store is closed."),
    ],
)
def test_it_ends_with_its_condition(seen: Observation, note: str) -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    book.at(NOW + HOUR, seen)
    alert = book.only
    assert (alert["resolved"], alert["resolved_at"], alert["resolution_notes"]) == (True, NOW + HOUR, note)
    assert alert["last_seen_at"] == NOW
    assert json.loads(alert["actions_taken"])[-1]["result"] == note


def test_without_a_fresh_figure_it_waits_for_the_recency_and_ends() -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    book.change(escalated=True)
    assert book.at(NOW + HOUR, crowd(95.0)).empty
    assert book.at(NOW + HOUR).empty
    book.at(NOW + HOUR + MINUTE, crowd(95.0))
    assert book.only["resolution_notes"] == "No fresh figure since 14:30: it is not known whether this lasts."


def test_it_ends_when_its_rule_is_switched_off_or_removed() -> None:
    for left, note in ((rules(rule(is_enabled=False)), "off"), (rules(rule("other")), "removed")):
        changed = evaluate(left, [crowd(95.0)], evaluate(rules(), [crowd(95.0)], NOTHING, NOW), NOW + MINUTE)
        assert note in changed[changed["rule_name"] == "overcrowding"]["resolution_notes"].iloc[0]


def test_after_its_end_it_cools_down() -> None:
    book = Book()
    book.at(NOW, crowd(95.0))
    book.at(NOW + 5 * MINUTE, crowd(80.0, NOW + 5 * MINUTE))
    assert book.at(NOW + 10 * MINUTE, crowd(95.0, NOW + 10 * MINUTE)).empty
    book.at(NOW + 20 * MINUTE, crowd(95.0, NOW + 20 * MINUTE))
    assert len(book.stored) == 2
    assert len(book.open) == 1


def test_what_a_person_has_ended_is_not_raised_by_the_same_evidence() -> None:
    book = Book(rule(cool_down_minutes=0))
    book.at(NOW, crowd(95.0))
    book.change(resolution_notes="A school class.", resolved_at=pd.Timestamp(NOW + MINUTE))
    book.stored["resolved"] = True
    assert book.at(NOW + 5 * MINUTE, crowd(95.0)).empty
    assert len(book.at(NOW + 5 * MINUTE, crowd(95.0, NOW + 5 * MINUTE))) == 1


def test_a_lasting_event_that_a_person_has_ended_is_not_raised_while_it_goes_on() -> None:
    book = Book(rule(cool_down_minutes=0))
    book.at(NOW, crowd(95.0, is_lasting=True))
    book.change(resolution_notes="Known.", resolved_at=pd.Timestamp(NOW + MINUTE))
    book.stored["resolved"] = True
    assert book.at(NOW + HOUR, crowd(95.0, NOW + HOUR, minutes=90, is_lasting=True)).empty
    assert len(book.at(NOW + HOUR, crowd(95.0, NOW + HOUR, minutes=30, is_lasting=True))) == 1


def test_of_lasting_events_the_worst_counts_and_none_grows_too_old_to_keep() -> None:
    book = Book()
    lasting = crowd(120.0, NOW, is_lasting=True)
    book.at(NOW, lasting, crowd(95.0, NOW, minutes=5, is_lasting=True))
    assert book.only["actual_value"] == 120.0
    book.change(acknowledged=True, acknowledged_by="Ana", acknowledged_at=pd.Timestamp(NOW))
    assert book.at(NOW + 48 * HOUR, lasting).empty
    assert book.at(NOW + 48 * HOUR, lasting, crowd(None, NOW + 47 * HOUR, ended=BACK_TO_USUAL)).empty
    book.at(NOW + 49 * HOUR, crowd(None, NOW + HOUR, ended=BACK_TO_USUAL))
    # The end itself is old news: nothing fresh says that it lasts.
    assert book.only["resolved"]


@settings(deadline=None, max_examples=40)
@given(
    steps=st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(0, 150), st.just(math.inf)), st.integers(1, 90), st.booleans(), st.booleans()
        ),
        max_size=12,
    )
)
def test_at_most_one_is_open_and_the_past_stays_as_it_is(
    steps: list[tuple[float | None, int, bool, bool]],
) -> None:
    """Whatever is seen in whatever order of values: one open alert, no change by the same again, closed ones untouched."""
    book = Book(rule(hold_minutes=10))
    now = NOW
    for value, minutes, is_seen, is_lasting in steps:
        now += minutes * MINUTE
        closed = book.stored[book.stored["resolved"]].set_index("id")
        details = {"avg_occupancy": 1.0, "capacity": 1.0}
        ended = CLOSED if value is None else None
        seen = crowd(value, now, 15, details=details, ended=ended, is_lasting=is_lasting and value is not None)
        changed = book.at(now, *([seen] if is_seen else []))
        assert len(book.open) <= 1
        assert not set(changed["id"]) & set(closed.index)
        for alert in book.open:
            assert alert["first_seen_at"] <= alert["last_seen_at"] <= now
            assert alert["occurrences"] <= len(steps)


# Observing --------------------------------------------------------------------------------------------------------------

WEEKDAYS = {day: [["10:00", "20:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat")}


def estate(**changes: Any) -> Roster:
    """Lisbon, open 10 to 20 on weekdays, with a camera `door`."""
    return roster(
        [store("Lisbon", "Europe/Lisbon", capacity=200, opening=WEEKDAYS)],
        [camera("door", "Lisbon", created_at=utc("2026-01-01T00:00"), **changes)],
        {"door": ["entrance"]},
    )


def sources(**frames: pd.DataFrame) -> Sources:
    empty = {
        "store_hours": typed(STORE_HOURLY, []),
        "queue_hours": typed(QUEUE_ANALYTICS, []),
        "key_figures": typed(KPI_METRICS, []),
        "anomalies": typed(ANOMALIES_DETECTED, []),
        "log": typed(COLLECTION_LOG, []),
    }
    return Sources(**{**empty, **frames})


def seen_of(metric: str, now: datetime = NOW, places: Roster | None = None, **given: pd.DataFrame) -> list[Observation]:
    found = observations(sources(**given), places or estate(), now)
    return [one for one in found if one.metric == metric]


def hour(start: str, utilization: float | None = None, counts: str = "measured", **changes: Any) -> dict[str, Any]:
    return {
        "store_id": identity("Lisbon"),
        "hour_start": utc(start),
        "is_open": True,
        "avg_occupancy": None if utilization is None else 200 * utilization,
        "utilization": utilization,
        "quality": json.dumps({"counts": counts}),
        "updated_at": utc(start) + 65 * MINUTE,
        **changes,
    }


def test_the_running_hour_is_seen_as_far_as_it_has_come() -> None:
    running = hour("2026-02-03T14:00", 0.95, updated_at=utc("2026-02-03T14:25"))
    hours = typed(STORE_HOURLY, [hour("2026-02-03T13:00", 0.5), running, hour("2026-02-03T15:00", 1.0)])
    found = seen_of("utilization_percent", store_hours=hours)
    assert [(one.value, one.seen_from, one.seen_until) for one in found] == [
        (50.0, utc("2026-02-03T13:00"), utc("2026-02-03T14:00")),
        (95.0, utc("2026-02-03T14:00"), utc("2026-02-03T14:25")),
    ]
    assert found[1].details == {"avg_occupancy": 190.0, "capacity": 200.0}
    assert found[1].zone == "Europe/Lisbon"


def minutes(*rows: tuple[str, str, int]) -> pd.DataFrame:
    """(start, end, people) of Lisbon on the day of these tests, as `storage.realtime` reads them."""
    return pd.DataFrame(
        [
            {
                "store_id": identity("Lisbon"),
                "period_start": pd.Timestamp(utc(f"2026-02-03T{start}")),
                "period_end": pd.Timestamp(utc(f"2026-02-03T{end}")),
                "current_count": people,
                "current_occupancy_percent": people / 2,
            }
            for start, end, people in rows
        ]
    )


def test_a_store_is_looked_at_by_the_minute_where_minutes_are_as_fresh_as_the_hour() -> None:
    running = hour("2026-02-03T14:00", 0.5, updated_at=utc("2026-02-03T14:26"))
    hours = typed(STORE_HOURLY, [hour("2026-02-03T13:00", 0.95), running])
    crowded = minutes(("14:10", "14:20", 190), ("14:20", "14:29", 196))
    found = seen_of("utilization_percent", store_hours=hours, minutes=crowded)
    assert [(one.value, one.seen_from, one.seen_until) for one in found] == [
        (95.0, utc("2026-02-03T13:00"), utc("2026-02-03T14:00")),
        # The running hour counts up to the first of the minutes: its mean would hide what is now.
        (50.0, utc("2026-02-03T14:00"), utc("2026-02-03T14:10")),
        (95.0, utc("2026-02-03T14:10"), utc("2026-02-03T14:20")),
        (98.0, utc("2026-02-03T14:20"), utc("2026-02-03T14:29")),
    ]
    assert found[-1].details == {"avg_occupancy": 196.0, "capacity": 200.0}
    # By the hour alone there is no alert, and after ten minutes over the limit there is one.
    book = Book(rule(hold_minutes=10))
    assert book.at(NOW, *seen_of("utilization_percent", store_hours=hours)).empty
    assert list(book.at(NOW, *found)["first_seen_at"]) == [utc("2026-02-03T14:10")]


def test_old_minutes_and_those_of_a_closed_store_are_left_aside() -> None:
    running = hour("2026-02-03T14:00", 0.5, updated_at=utc("2026-02-03T14:26"))
    hours = typed(STORE_HOURLY, [running])
    (by_hour,) = seen_of("utilization_percent", store_hours=hours, minutes=minutes(("14:10", "14:24", 196)))
    assert by_hour.value == 50.0
    closed = typed(STORE_HOURLY, [{**running, "is_open": False}])
    (ended,) = seen_of("utilization_percent", store_hours=closed, minutes=minutes(("14:28", "14:29", 196)))
    assert ended.ended == CLOSED


def test_a_closed_store_is_crowded_by_nobody_and_an_unknown_occupancy_says_nothing() -> None:
    hours = typed(STORE_HOURLY, [hour("2026-02-03T12:00"), hour("2026-02-03T13:00", 2.0, is_open=False)])
    [closed] = seen_of("utilization_percent", store_hours=hours)
    assert (closed.value, closed.ended) == (None, CLOSED)


def queue(start: str, wait: float | None, length: float | None, risk: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "store_id": identity("Lisbon"),
        "hour_start": utc(start),
        "estimated_wait_time_minutes": wait,
        "predicted_queue_length": length,
        "abandonment_risk_score": risk,
        "is_overloaded": False,
        "recommended_open_lanes": 4,
        **changes,
    }


def test_queues_are_seen_by_ended_hours() -> None:
    hours = typed(
        QUEUE_ANALYTICS, [queue("2026-02-03T13:00", 7.0, 9.0, 0.15), queue("2026-02-03T14:00", 0.1, 0.1, 0.05)]
    )
    [wait] = seen_of("queue_wait_minutes", queue_hours=hours)
    assert (wait.value, wait.seen_until) == (7.0, utc("2026-02-03T14:00"))
    assert alert_text(wait, 5.0) == (
        "Long wait in Lisbon: 7 minutes on average",
        "Between 13:00 and 14:00 customers waited about 7 minutes at the tills of Lisbon on average (limit 5 minutes). Have 4 tills "
        "open.",
    )
    [length] = seen_of("queue_length", queue_hours=hours)
    assert alert_text(length, 8.0)[0] == "Long queue in Lisbon: 9 people waiting"
    [risk] = seen_of("abandonment_risk_percent", queue_hours=hours)
    assert risk.value == pytest.approx(15.0)
    assert "who waited about 7 minutes, were at a risk step of 15 %" in alert_text(risk, 35.0)[1]


def test_an_overloaded_hour_is_critical_without_a_number() -> None:
    over = queue("2026-02-03T13:00", None, None, None, is_overloaded=True)
    seen = observations(sources(queue_hours=typed(QUEUE_ANALYTICS, [over])), estate(), NOW)
    book = Book(rule("queue_wait", metric="queue_wait_minutes", alert_type="queue", warning_threshold=5.0))
    book.at(NOW, *seen)
    assert (book.only["severity"], book.only["actual_value"]) == ("critical", None)
    assert json.loads(book.only["metrics"]) == {
        "queue_wait_minutes": None,
        "recommended_open_lanes": 4,
        "reason": "overloaded",
    }
    assert book.only["title"] == "The tills of Lisbon cannot serve all who come"


def test_nobody_waits_in_a_closed_store() -> None:
    late = queue("2026-02-02T22:00", 7.0, 9.0, 0.15)
    found = seen_of("queue_length", now=utc("2026-02-02T23:30"), queue_hours=typed(QUEUE_ANALYTICS, [late]))
    assert [(one.value, one.ended) for one in found] == [(None, CLOSED)]


def figure(name: str, value: float, usual: float | None, day: date = date(2026, 2, 2)) -> dict[str, Any]:
    return {
        "scope": "store",
        "scope_id": identity("Lisbon"),
        "date": day,
        "metric_name": name,
        "metric_value": value,
        "benchmark_value": usual,
    }


def test_a_conversion_is_set_against_what_is_usual_and_the_capture_rate_stands_in_for_it() -> None:
    both = typed(KPI_METRICS, [figure("capture_rate", 5.0, 10.0), figure("conversion_rate", 18.0, 24.0)])
    [drop] = seen_of("conversion_drop_percent", key_figures=both)
    assert (drop.value, drop.seen_until) == (25.0, utc("2026-02-03T00:00"))
    assert alert_text(drop, 20.0) == (
        "Conversion of Lisbon 25 % below what is usual",
        "On Mon 2 Feb 18.0 % of the visitors bought in Lisbon, where 24.0 % is usual: 25 % less (limit 20 %). Compare staff, queues "
        "and stock of that day with a usual one.",
    )
    capture = typed(KPI_METRICS, [figure("capture_rate", 5.0, 10.0), figure("conversion_rate", 18.0, None)])
    [drop] = seen_of("conversion_drop_percent", key_figures=capture)
    assert drop.value == 50.0
    assert alert_text(drop, 20.0)[0] == "Capture rate of Lisbon 50 % below what is usual"
    unknown = typed(KPI_METRICS, [figure("conversion_rate", 18.0, 0.0), figure("visitors", 3.0, 9.0)])
    assert seen_of("conversion_drop_percent", key_figures=unknown) == []
    today = typed(KPI_METRICS, [figure("conversion_rate", 18.0, 24.0, date(2026, 2, 3))])
    assert seen_of("conversion_drop_percent", key_figures=today) == []


def event(kind: str, start: str, end: str, severity: float = 0.5, **changes: Any) -> dict[str, Any]:
    return {
        "sensor_id": identity("door"),
        "anomaly_type": kind,
        "started_at": utc(start),
        "detected_at": utc(start) + HOUR,
        "ended_at": utc(end),
        "severity": severity,
        "expected_value": 40.0,
        "actual_value": 3.0,
        "potential_causes": '["door closed", "weather"]',
        "recommended_actions": '["look at the door"]',
        "auto_resolved": False,
        **changes,
    }


def test_an_anomaly_lasts_until_it_is_resolved() -> None:
    events = typed(ANOMALIES_DETECTED, [event("traffic_drop", "2026-02-03T12:00", "2026-02-03T14:00")])
    [drop] = seen_of("anomaly_severity", anomalies=events)
    assert (drop.value, drop.is_lasting, drop.sensor_id, drop.key) == (0.5, True, identity("door"), identity("door"))
    assert alert_text(drop, 0.2) == (
        "Camera door: far fewer people than usual",
        "Camera door since 12:00: far fewer people than usual, 3 counted where about 40 were expected (severity 0.50 of 1, limit "
        "0.20). Likely cause: door closed. What to do: look at the door.",
    )
    over = typed(
        ANOMALIES_DETECTED, [event("traffic_drop", "2026-02-03T12:00", "2026-02-03T14:00", auto_resolved=True)]
    )
    [ended] = seen_of("anomaly_severity", anomalies=over)
    assert (ended.value, ended.ended) == (None, BACK_TO_USUAL)


def test_nobody_coming_to_a_closed_store_is_no_drop_and_a_camera_switched_off_has_none() -> None:
    night = ("2026-02-03T01:00", "2026-02-03T04:00")
    assert seen_of("anomaly_severity", anomalies=typed(ANOMALIES_DETECTED, [event("traffic_drop", *night)])) == []
    assert len(seen_of("anomaly_severity", anomalies=typed(ANOMALIES_DETECTED, [event("traffic_spike", *night)]))) == 1
    before_opening = ("2026-02-03T09:00", "2026-02-03T10:00")
    assert (
        seen_of("anomaly_severity", anomalies=typed(ANOMALIES_DETECTED, [event("traffic_drop", *before_opening)])) == []
    )
    whole_day = ("2026-02-02T07:00", "2026-02-02T23:00")
    assert (
        len(seen_of("anomaly_severity", anomalies=typed(ANOMALIES_DETECTED, [event("traffic_drop", *whole_day)]))) == 1
    )
    day = typed(ANOMALIES_DETECTED, [event("sensor_issue", "2026-02-03T12:00", "2026-02-03T14:00")])
    assert len(seen_of("anomaly_severity", anomalies=day)) == 1
    [off] = seen_of("anomaly_severity", anomalies=day, places=estate(is_active=False))
    assert (off.value, off.ended) == (None, SWITCHED_OFF)
    later = event("traffic_drop", "2026-02-03T14:00", "2026-02-03T15:00")  # detected after now
    assert seen_of("anomaly_severity", anomalies=typed(ANOMALIES_DETECTED, [later])) == []


def test_a_gap_is_no_alert_while_it_grows_or_may_yet_be_made_good() -> None:
    def gap_until(end: datetime) -> list[Observation]:
        gap = {**event("data_gap", "2026-02-03T00:00", "2026-02-03T01:00"), "ended_at": end}
        return seen_of("anomaly_severity", anomalies=typed(ANOMALIES_DETECTED, [gap]))

    assert gap_until(NOW - GAP_RECOVERS + timedelta(seconds=1)) == []
    [gone] = gap_until(NOW - GAP_RECOVERS)
    assert gone.value == 0.5


def test_a_clock_is_off_by_as_much_as_at_its_last_answer() -> None:
    def clock(**changes: Any) -> list[Observation]:
        return seen_of("clock_offset_seconds", places=estate(last_seen_at=NOW - 4 * MINUTE, **changes))

    [slow] = clock(clock_offset_seconds=-1200.0)
    assert (slow.value, slow.details, slow.seen_until) == (1200.0, {"offset_seconds": -1200.0}, NOW - 4 * MINUTE)
    title, message = alert_text(slow, 120.0)
    assert title == "Camera door: its clock is 20 minutes slow"
    assert "at 14:26 (limit 120 seconds)" in message
    assert clock() == []
    [off] = clock(clock_offset_seconds=-1200.0, is_active=False)
    assert (off.value, off.ended) == (None, SWITCHED_OFF)


def test_lower_counts_of_the_last_day_are_counted_by_hours() -> None:
    def revision(
        hour: datetime, action: str = "refused", table: str = "people_counting_raw", at: datetime = NOW
    ) -> dict[str, Any]:
        return {
            "table_name": table,
            "sensor_id": identity("door"),
            "timestamp": hour,
            "action": action,
            "reading_hash": f"{hour}{action}",
            "kept": "{}",
            "set_aside": "{}",
            "recorded_at": at,
        }

    def lower(*rows: dict[str, Any]) -> Observation:
        [one] = seen_of("hours_set_aside", revisions=typed(RAW_REVISIONS, list(rows)))
        return one

    noon = utc("2026-02-03T12:00")
    seen = lower(
        revision(noon), revision(noon), revision(noon - HOUR), revision(noon - 2 * HOUR, "overwritten"),
        revision(noon - 3 * HOUR, table="regional_counting_raw"), revision(NOW - 25 * HOUR),
    )  # fmt: skip
    assert (seen.value, seen.seen_from, seen.seen_until) == (2.0, noon - HOUR, noon + HOUR)
    title, message = alert_text(seen, 1.0)
    assert title == "Camera door told fewer people for 2 hours than before"
    assert message.startswith("For 2 hours between 11:00 and 13:00 camera door told fewer people")
    past = lower(revision(NOW - 25 * HOUR))
    assert (past.value, past.ended) == (None, NOTHING_LOWER)
    # Somebody has believed the camera since; what it takes back after that is news again.
    stored = revision(noon, "overwritten", at=NOW + MINUTE)
    assert lower(stored, revision(noon)).ended == NOTHING_LOWER
    assert lower(stored, revision(noon, at=NOW + 2 * MINUTE)).value == 1.0


def test_a_sentence_that_begins_with_a_day_keeps_its_capitals() -> None:
    midnight = utc("2026-02-03T00:00")
    _, message = alert_text(
        crowd(12.0, midnight, 60, metric="queue_length", details={"recommended_open_lanes": 1}), 8.0
    )
    assert message.startswith("Between Mon 2 Feb 23:00 and 00:00 about 12 people waited")


def asked(at: str, outcome: str = "timeout", success: str | None = None) -> dict[str, Any]:
    return {
        "sensor_id": identity("door"),
        "outcome": outcome,
        "asked_at": utc(at),
        "last_success_at": None if success is None else utc(success),
    }


def test_a_camera_is_offline_from_its_last_answer_to_the_newest_question() -> None:
    log = typed(COLLECTION_LOG, [asked("2026-02-03T14:05", success="2026-02-03T12:55"), asked("2026-02-03T14:25")])
    [silent] = seen_of("minutes_since_answer", log=log)
    assert (silent.value, silent.seen_from, silent.seen_until) == (
        90.0,
        utc("2026-02-03T12:55"),
        utc("2026-02-03T14:25"),
    )
    assert alert_text(silent, 30.0) == (
        "Camera door does not answer",
        "Camera door has not answered since 12:55, for 1.5 hours (limit 30 minutes); the last question ended as `timeout`. Check its "
        "power and network cable; what it holds in memory is collected when it is back.",
    )
    [seen] = seen_of("minutes_since_answer", log=log, places=estate(last_seen_at=utc("2026-02-03T14:20")))
    assert seen.value == 5.0


def test_a_camera_that_has_never_answered_counts_from_its_registration() -> None:
    log = typed(COLLECTION_LOG, [asked("2026-02-03T14:25", "unauthorized")])
    [silent] = seen_of("minutes_since_answer", log=log)
    assert (silent.value, silent.seen_from) == (33 * 1440 + 14 * 60 + 25, utc("2026-01-01T00:00"))
    message = alert_text(silent, 30.0)[1]
    assert "has never answered, for 33.6 days now" in message
    assert "correct the user name and password" in message


def test_a_camera_that_is_not_asked_or_switched_off_is_not_offline() -> None:
    log = typed(COLLECTION_LOG, [asked("2026-02-03T14:25")])
    assert seen_of("minutes_since_answer") == []
    [off] = seen_of("minutes_since_answer", log=log, places=estate(is_active=False))
    assert (off.value, off.ended) == (None, SWITCHED_OFF)
    # The newest question is old: nothing is raised from it.
    book = Book(rule("camera_offline", metric="minutes_since_answer", scope="sensor", recency_minutes=30))
    assert book.at(NOW + HOUR, *seen_of("minutes_since_answer", now=NOW + HOUR, log=log)).empty
    assert len(book.at(NOW, *seen_of("minutes_since_answer", log=log))) == 1


def test_counts_grow_old_by_the_minutes_of_the_opening_hours() -> None:
    evening = hour("2026-02-02T18:00")
    later = [hour(f"2026-02-02T{at}:00", counts="missing") for at in (19, 20)]
    hours = typed(STORE_HOURLY, [evening, *later, hour("2026-02-03T10:00", counts="estimated")])
    # 19 to 20 on Monday, and 10 to 14:30 on Tuesday: 60 + 270 minutes.
    [stale] = seen_of("minutes_without_counts", store_hours=hours)
    assert (stale.value, stale.seen_from, stale.seen_until) == (330.0, utc("2026-02-02T19:00"), NOW)
    assert alert_text(stale, 120.0)[1].startswith(
        "Lisbon has been without counts since Mon 2 Feb 19:00, 5.5 hours of its opening hours (limit 2 hours)."
    )
    [night] = seen_of("minutes_without_counts", now=utc("2026-02-03T05:00"), store_hours=hours)
    assert night.value == 60.0


def test_a_store_that_has_not_counted_at_all_says_at_least() -> None:
    hours = typed(STORE_HOURLY, [hour(f"2026-02-03T{at}:00", counts="missing") for at in (11, 12, 13)])
    [stale] = seen_of("minutes_without_counts", store_hours=hours)
    assert stale.value == 210.0
    assert "at least 3.5 hours" in alert_text(stale, 120.0)[1]
    [fresh] = seen_of(
        "minutes_without_counts",
        store_hours=typed(STORE_HOURLY, [hour("2026-02-03T14:00", counts="provisional", updated_at=NOW)]),
    )
    assert fresh.value == 0.0
    [off] = seen_of("minutes_without_counts", store_hours=hours, places=estate(is_active=False))
    assert (off.value, off.ended) == (None, NONE_SWITCHED_ON)


def test_a_new_store_is_without_counts_from_its_registration_on() -> None:
    hours = typed(STORE_HOURLY, [hour(f"2026-02-03T{at}:00", counts="missing") for at in (10, 11, 12, 13, 14)])
    first, second = (
        camera(name, "Lisbon", created_at=utc(f"2026-02-03T{at}"))
        for name, at in (("door", "14:10"), ("back", "14:20"))
    )
    for cameras in ([first], [first, second], [second, first]):
        places = roster(
            [store("Lisbon", "Europe/Lisbon", capacity=200, opening=WEEKDAYS)], cameras, {"door": ["entrance"]}
        )
        [new] = seen_of("minutes_without_counts", store_hours=hours, places=places)
        assert (new.value, new.seen_from) == (20.0, utc("2026-02-03T14:10"))


def test_no_source_tells_of_nothing_wrong() -> None:
    [nothing_lower] = observations(sources(), estate(), NOW)
    assert nothing_lower.value is None
    assert evaluate(rules(), [], NOTHING, NOW).empty


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(1, "1 minute"), (45, "45 minutes"), (90, "1.5 hours"), (120, "2 hours"), (2880, "2 days"), (5040, "3.5 days")],
)
def test_a_time_in_words(minutes: float, words: str) -> None:
    assert duration(minutes) == words
