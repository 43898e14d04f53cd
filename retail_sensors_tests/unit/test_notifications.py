"""Which messages are due, hand-worked: routes, alerts and the messages so far to those of now; signatures; addresses."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pandas as pd
import pytest

from retail_sensors.analytics.frames import records
from retail_sensors.analytics.notifications import (
    REMOVED,
    WAITS,
    alerts_due,
    failed_run_due,
    quiet_until,
    removal_due,
    routes_of,
)
from retail_sensors.analytics.roster import Roster
from retail_sensors.connectors.message_process import Guard
from retail_sensors.connectors.messages import signature
from retail_sensors.connectors.networks import AddressBlockedError, AllowedNetworks
from retail_sensors.tables.alerts import ALERTS_GENERATED
from retail_sensors.tables.contract import Table
from retail_sensors.tables.notifications import ALERT_ROUTES, NOTIFICATIONS

NOW = datetime(2025, 10, 7, 12, 0, tzinfo=UTC)  # a Tuesday, 13:00 in Lisbon
MINUTE = timedelta(minutes=1)
LISBON, PORTO = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
DOOR, BACK = "00000000-0000-4000-8000-0000000000d0", "00000000-0000-4000-8000-0000000000b0"
ROSTER = Roster(
    stores=pd.DataFrame(
        {
            "id": [LISBON, PORTO],
            "organization_id": ["one", "two"],
            "store_name": ["Lisbon", "Porto"],
            "timezone": ["Europe/Lisbon", "Europe/Lisbon"],
        }
    ),
    sensors=pd.DataFrame({"id": [DOOR, BACK], "sensor_name": ["door", "back"], "store_id": [LISBON, PORTO]}),
    lines=pd.DataFrame(),
    regions=pd.DataFrame(),
    places=pd.DataFrame(
        {
            "sensor_name": ["door", "back"],
            "store_name": ["Lisbon", "Porto"],
            "organization_name": ["One", "Two"],
            "groups": [["doors"], []],
            "tags": [[], ["outdoor"]],
            "building": None,
            "floor": None,
        }
    ),
)


def _frame(table: Table, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            column.name: pd.Series([row.get(column.name) for row in rows], dtype="object").astype(column.kind.pandas)
            for column in table.columns
        }
    )


def route(name: str = "ops", **said: Any) -> dict[str, Any]:
    """A row of alert_routes that takes all that happens to alerts."""
    lists = {
        "rules": [],
        "alert_types": [],
        "cameras": [],
        "events": ["raised", "severity_raised", "escalated", "resolved"],
    }
    row = {
        "id": f"route {name}",
        "route_name": name,
        "min_severity": "warning",
        "is_critical_held": False,
        "cool_down_minutes": 0,
        "is_enabled": True,
        **said,
    }
    return {**row, **{key: json.dumps(said.get(key, value)) for key, value in lists.items()}}


def alert(
    name: str = "first", at: datetime = NOW, severity: str = "warning", *actions: tuple[str, datetime], **said: Any
) -> dict[str, Any]:
    """A row of alerts_generated about camera door, raised at `at`, with what happened to it since."""
    resolved = any(action == "resolved" for action, _ in actions)
    return {
        "id": f"alert {name}",
        "rule_name": "camera_offline",
        "scope": "sensor",
        "sensor_id": DOOR,
        "store_id": LISBON,
        "alert_type": "system",
        "metric": "minutes_since_answer",
        "severity": severity,
        "timestamp": at,
        "title": "Camera door does not answer",
        "message": "It has been silent.",
        "metrics": "{}",
        "threshold_value": 30.0,
        "actual_value": None,
        "first_seen_at": at - 30 * MINUTE,
        "last_seen_at": at,
        "occurrences": 1,
        "acknowledged": False,
        "resolved": resolved,
        "resolved_at": next((when for action, when in actions if action == "resolved"), None),
        "escalated": False,
        "actions_taken": json.dumps(
            [
                {"action": action, "timestamp": when.isoformat(), "by": "rule", "result": f"{action} it was."}
                for action, when in actions
            ]
        ),
        **said,
    }


class Outbox:
    """The table of messages, and rounds that send whatever is pending."""

    def __init__(self, *routes: dict[str, Any]) -> None:
        self.routes, problems = routes_of(_frame(ALERT_ROUTES, list(routes)), ROSTER)
        assert problems == {}
        self.rows: dict[str, dict[str, Any]] = {}

    def round(self, now: datetime, *alerts: dict[str, Any], is_sending: bool = True) -> list[str]:
        """The titles that a round at `now` sends; a second one must find nothing to do."""
        frame = _frame(ALERTS_GENERATED, list(alerts))
        before = self._frame()
        for row in records(alerts_due(self.routes, frame, before, ROSTER, now)):
            self.rows[row["id"]] = row
        assert alerts_due(self.routes, frame, self._frame(), ROSTER, now).empty
        titles = []
        for row in self.rows.values():
            if is_sending and row["state"] == "pending":
                titles.append(row["title"])
                row |= {"state": "sent", "sent_at": now, "next_try_at": None, "attempts": 1}
        return titles

    def _frame(self) -> pd.DataFrame:
        return _frame(NOTIFICATIONS, list(self.rows.values()))

    def states(self) -> list[tuple[str, str]]:
        return sorted((row["event"], row["state"]) for row in self.rows.values())


def test_what_happens_to_an_alert_is_told_once_each() -> None:
    box = Outbox(route())
    assert box.round(NOW, alert()) == ["Warning: Camera door does not answer"]
    raised = ("severity_raised", NOW + 5 * MINUTE)
    assert box.round(NOW + 5 * MINUTE, alert("first", NOW, "critical", raised)) == [
        "Now critical: Camera door does not answer"
    ]
    later = (raised, ("escalated", NOW + 9 * MINUTE))
    assert box.round(NOW + 10 * MINUTE, alert("first", NOW, "critical", *later)) == [
        "Escalated, critical: Camera door does not answer"
    ]
    # A person hands it on again: that is news, too.
    again = (*later, ("escalated", NOW + 12 * MINUTE))
    assert len(box.round(NOW + 15 * MINUTE, alert("first", NOW, "critical", *again))) == 1
    ended = (*again, ("resolved", NOW + 20 * MINUTE))
    assert box.round(NOW + 20 * MINUTE, alert("first", NOW, "critical", *ended)) == [
        "Ended: Camera door does not answer"
    ]
    assert box.round(NOW + 25 * MINUTE, alert("first", NOW, "critical", *ended)) == []
    [body] = [row["body"] for row in box.rows.values() if row["event"] == "resolved"]
    assert body.splitlines() == [
        "resolved it was.",
        "It lasted 50 minutes, since 12:30.",
        "Where: Lisbon, camera door. Times are those of Europe/Lisbon.",
    ]
    payload = json.loads(next(row["payload"] for row in box.rows.values() if row["event"] == "raised"))
    assert (payload["type"], payload["timestamp"]) == ("alert.raised", "2025-10-07T12:00:00+00:00")
    assert (payload["data"]["severity"], payload["data"]["camera"], payload["data"]["value"]) == (
        "warning",
        "door",
        None,
    )


def test_what_is_old_or_over_is_told_to_nobody() -> None:
    assert Outbox(route()).round(NOW, alert("old", NOW - 25 * 60 * MINUTE)) == []
    assert Outbox(route()).round(NOW, alert("new", NOW - 23 * 60 * MINUTE)) != []
    box = Outbox(route())
    # It came and went while nothing ran, and is no news to a new route either.
    assert box.round(NOW, alert("gone", NOW - 60 * MINUTE, "critical", ("resolved", NOW - 5 * MINUTE))) == []
    assert box.rows == {}
    # Only the newest of several is told.
    assert box.round(NOW, alert("on", NOW - 60 * MINUTE, "warning", ("escalated", NOW - 5 * MINUTE))) == [
        "Escalated, warning: Camera door does not answer"
    ]
    assert box.states() == [("escalated", "sent"), ("raised", "dropped")]


@pytest.mark.parametrize(
    ("said", "is_told"),
    [
        ({}, True),
        ({"store_id": LISBON, "organization_id": "one"}, True),
        ({"store_id": PORTO}, False),
        ({"organization_id": "two"}, False),
        ({"rules": ["camera_offline"]}, True),
        ({"rules": ["overcrowding"]}, False),
        ({"alert_types": ["system", "queue"]}, True),
        ({"alert_types": ["queue"]}, False),
        ({"cameras": ["d*"]}, True),
        ({"cameras": ["group:doors"]}, True),
        ({"cameras": ["store:Porto", "tag:outdoor"]}, False),
        ({"min_severity": "critical"}, False),
        ({"events": ["escalated"]}, False),
        ({"is_enabled": False}, False),
    ],
)
def test_a_route_takes_what_it_asks_for(said: dict[str, Any], is_told: bool) -> None:
    assert bool(Outbox(route(**said)).round(NOW, alert())) == is_told


def test_an_alert_of_a_store_is_none_of_a_camera() -> None:
    of_store = alert(sensor_id=None, scope="store")
    assert Outbox(route(cameras=["door"])).round(NOW, of_store) == []
    assert Outbox(route()).round(NOW, of_store) != []


def test_a_route_for_critical_alerts_hears_of_one_that_becomes_critical() -> None:
    box = Outbox(route(min_severity="critical", events=["raised", "resolved"]))
    assert box.round(NOW, alert()) == []
    risen = ("severity_raised", NOW + 5 * MINUTE)
    assert box.round(NOW + 5 * MINUTE, alert("first", NOW, "critical", risen)) == [
        "Now critical: Camera door does not answer"
    ]
    ended = alert("first", NOW, "critical", risen, ("resolved", NOW + 9 * MINUTE))
    assert box.round(NOW + 10 * MINUTE, ended) == ["Ended: Camera door does not answer"]


def test_words_that_name_no_camera_are_a_problem_of_one_route() -> None:
    rows = _frame(ALERT_ROUTES, [route("a", cameras=["dor"]), route("b")])
    routes, problems = routes_of(rows, ROSTER)
    assert [one.name for one in routes] == ["b"]
    assert "'dor'" in problems["a"]


# Quiet hours and cool-down --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "now", "until"),
    [
        ("Europe/Lisbon", "2025-10-07T20:59Z", None),
        ("Europe/Lisbon", "2025-10-07T21:00Z", "2025-10-08T06:00Z"),
        ("Europe/Lisbon", "2025-10-08T05:59Z", "2025-10-08T06:00Z"),
        ("Europe/Lisbon", "2025-10-08T06:00Z", None),
        # The night of the clock change in autumn has an hour more, that in spring an hour less.
        ("Europe/Lisbon", "2025-10-25T21:00Z", "2025-10-26T07:00Z"),
        ("Europe/Lisbon", "2025-10-26T06:30Z", "2025-10-26T07:00Z"),
        ("Europe/Lisbon", "2026-03-28T22:00Z", "2026-03-29T06:00Z"),
        ("Europe/Lisbon", "2026-03-28T21:30Z", None),
        ("Pacific/Auckland", "2025-10-07T09:30Z", "2025-10-07T18:00Z"),
    ],
)
def test_quiet_hours_follow_the_clock_of_the_store(zone: str, now: str, until: str | None) -> None:
    end = quiet_until(time(22, 0), time(7, 0), zone, datetime.fromisoformat(now))
    assert end == (None if until is None else datetime.fromisoformat(until))


def test_a_quiet_time_within_a_day_may_end_in_an_hour_that_the_clock_skips() -> None:
    # 02:30 does not exist on that night in New York: it is 03:00 that comes.
    now = datetime(2026, 3, 8, 6, 30, tzinfo=UTC)
    assert quiet_until(time(1, 0), time(2, 30), "America/New_York", now) == datetime(2026, 3, 8, 7, 0, tzinfo=UTC)
    assert quiet_until(time(1, 0), time(2, 30), "America/New_York", now + 30 * MINUTE) is None


def test_quiet_hours_end_with_one_message_of_what_is_still_open() -> None:
    box = Outbox(route(quiet_from=time(22, 0), quiet_until=time(7, 0)))
    told = alert("told", datetime(2025, 10, 25, 20, 0, tzinfo=UTC), rule_name="overcrowding", title="Crowded")
    assert len(box.round(datetime(2025, 10, 25, 20, 0, tzinfo=UTC), told)) == 1
    night = datetime(2025, 10, 25, 23, 0, tzinfo=UTC)
    passing = alert("passing", night, title="Passing", rule_name="anomaly")
    lasting = alert("lasting", night, title="Lasting", rule_name="data_stale")
    urgent = alert("urgent", night, "critical", title="Urgent")
    told = {
        **told,
        "resolved": True,
        "resolved_at": night,
        "actions_taken": alert("x", night, "warning", ("resolved", night))["actions_taken"],
    }
    assert box.round(night, told, passing, lasting, urgent) == ["Critical: Urgent"]
    ended = alert("passing", night, "warning", ("resolved", night + 60 * MINUTE), title="Passing", rule_name="anomaly")
    for minutes in (60, 300, 479):
        assert box.round(night + minutes * MINUTE, told, ended, lasting, urgent) == []
    # 07:00 in Lisbon is an hour later that morning: the clocks were set back at night.
    morning = datetime(2025, 10, 26, 7, 0, tzinfo=UTC)
    assert box.round(morning, told, ended, lasting, urgent) == ["2 messages from the quiet hours"]
    [body] = [row["body"] for row in box.rows.values() if row["event"] == "summary"]
    assert sorted(body.splitlines()) == ["- Ended: Crowded", "- Warning: Lasting"]
    assert box.round(morning + 5 * MINUTE, told, ended, lasting, urgent) == []
    over = alert(
        "lasting", night, "warning", ("resolved", morning + 9 * MINUTE), title="Lasting", rule_name="data_stale"
    )
    assert box.round(morning + 10 * MINUTE, over) == ["Ended: Lasting"]


def test_what_a_route_held_back_and_could_not_tell_for_a_day_is_told_no_more() -> None:
    box = Outbox(route(quiet_from=time(22, 0), quiet_until=time(7, 0)))
    night = datetime(2025, 10, 7, 23, 0, tzinfo=UTC)
    assert box.round(night, alert("one", night)) == []
    # At the end of the quiet hours, 06:00 UTC, the route was switched off.
    box.round(datetime(2025, 10, 9, 6, 1, tzinfo=UTC), alert("one", night))
    assert box.states() == [("raised", "dropped")]


def test_critical_alerts_wait_where_the_route_says_so() -> None:
    box = Outbox(route(quiet_from=time(22, 0), quiet_until=time(7, 0), is_critical_held=True))
    night = datetime(2025, 10, 7, 23, 0, tzinfo=UTC)
    assert box.round(night, alert("one", night, "critical")) == []
    assert box.states() == [("raised", "held")]


def test_the_same_again_waits_for_the_end_of_the_cool_down_and_is_told_if_it_lasts() -> None:
    box = Outbox(route(cool_down_minutes=30))
    ended = alert("first", NOW, "warning", ("resolved", NOW + 5 * MINUTE))
    assert len(box.round(NOW, alert())) == 1
    assert len(box.round(NOW + 5 * MINUTE, ended)) == 1
    second, gone = alert("second", NOW + 10 * MINUTE), ("resolved", NOW + 12 * MINUTE)
    other = alert("other", NOW + 10 * MINUTE, sensor_id=BACK, store_id=PORTO, title="Camera back does not answer")
    assert box.round(NOW + 10 * MINUTE, ended, second, other) == ["Warning: Camera back does not answer"]
    third = alert("third", NOW + 20 * MINUTE)
    over = alert("second", NOW + 10 * MINUTE, "warning", gone)
    assert box.round(NOW + 20 * MINUTE, ended, over, third, other) == []
    # The last message was that of the end, at five past.
    assert box.round(NOW + 34 * MINUTE, over, third, other) == []
    assert box.round(NOW + 35 * MINUTE, over, third, other) == ["Warning: Camera door does not answer"]
    assert ("raised", "dropped") in box.states()
    # What makes it worse does not wait.
    worse = alert("third", NOW + 20 * MINUTE, "critical", ("severity_raised", NOW + 40 * MINUTE))
    assert len(box.round(NOW + 40 * MINUTE, worse)) == 1


def test_what_cannot_be_sent_ends() -> None:
    box = Outbox(route())
    box.round(NOW, alert(), is_sending=False)
    [row] = box.rows.values()
    row |= {"attempts": len(WAITS), "next_try_at": NOW + 240 * MINUTE}
    box.round(NOW + 239 * MINUTE, alert(), is_sending=False)
    assert box.states() == [("raised", "pending")]
    box.round(NOW + 240 * MINUTE, alert(), is_sending=False)
    assert box.states() == [("raised", "failed")]
    # Nobody was told that it began: its end is no news.
    ended = alert("first", NOW, "warning", ("resolved", NOW + 250 * MINUTE))
    assert box.round(NOW + 250 * MINUTE, ended) == []
    assert timedelta(hours=16) < sum(WAITS, timedelta()) < timedelta(days=1)


def test_a_failed_run_is_told_to_who_asks_once_within_the_cool_down() -> None:
    box = Outbox(route("all", events=["run_failed"], cool_down_minutes=60), route("alerts"))
    told: list[tuple[str, str]] = []
    for minutes, run, job in ((0, "r1", "collect"), (0, "r1", "collect"), (10, "r2", "collect"), (10, "r3", "train")):
        now = NOW + minutes * MINUTE
        for row in records(failed_run_due(box.routes, box._frame(), run, job, "It broke.", now)):
            box.rows[row["id"]] = row
            told.append((row["run_id"], row["state"]))
    assert told == [("r1", "pending"), ("r2", "dropped"), ("r3", "pending")]


def test_a_route_that_shuts_out_the_failed_runs_it_asks_for_is_named_and_told_of_alerts() -> None:
    bound: dict[str, dict[str, Any]] = {
        "--severity": {"min_severity": "critical"},
        "--organization": {"organization_id": "one"},
        "--store": {"store_id": LISBON},
        "--rule": {"rules": ["camera_offline"]},
        "--type": {"alert_types": ["queue"]},
        "--camera": {"cameras": ["door"]},
        "--severity, --store": {"min_severity": "critical", "store_id": LISBON},
    }
    asks = {"events": ["raised", "run_failed"]}
    free: dict[str, dict[str, Any]] = {"all": asks, "of the system": {**asks, "alert_types": ["queue", "system"]}}
    rows = [route(name, **asks, **options) for name, options in bound.items()]
    rows += [route(name, **options) for name, options in free.items()]
    # Of alerts alone: its filters are what they should be.
    rows.append(route("shop", store_id=LISBON))
    routes, problems = routes_of(_frame(ALERT_ROUTES, rows), ROSTER)
    assert {one.name for one in routes} == {*bound, *free, "shop"}
    assert problems.keys() == bound.keys()
    for filters, problem in problems.items():
        assert problem.startswith("It asks for failed runs and is told of none: ")
        assert problem.endswith(f", and it is bound by {filters}; make a route of its own for run_failed.")
    names = {one.id: one.name for one in routes}
    told = records(failed_run_due(routes, _frame(NOTIFICATIONS, []), "r1", "collect", "It broke.", NOW))
    assert sorted(names[row["route_id"]] for row in told) == ["all", "of the system"]


def test_the_end_of_a_removed_cameras_alerts_goes_to_who_was_told_of_them() -> None:
    box = Outbox(
        route("all"),
        route("asleep", quiet_from=time(12, 30), quiet_until=time(16, 0)),
        route("critical", min_severity="critical"),
        route("begins", events=["raised"]),
    )
    began = NOW - 120 * MINUTE
    one, two = alert("one", began), alert("two", began, rule_name="camera_clock", title="The clock of door is wrong")
    unheard = alert("three", NOW, rule_name="anomaly", title="Nobody heard of it")
    box.round(began, one, two)
    box.round(NOW, one, two, unheard, is_sending=False)
    now = NOW + MINUTE
    alerts = _frame(ALERTS_GENERATED, [one, two, unheard])
    due = removal_due(box.routes, alerts, box._frame(), ROSTER, now)
    names = {each.id: each.name for each in box.routes}
    rows = {names[row["route_id"]]: row for row in records(due)}
    assert {name: row["next_try_at"] for name, row in rows.items()} == {
        "all": now,
        "asleep": datetime(2025, 10, 7, 15, 0, tzinfo=UTC),
    }
    told = rows["all"]
    assert (told["event"], told["alert_id"], told["state"], told["severity"]) == ("summary", None, "pending", "warning")
    assert told["title"] == "Ended: 2 alerts of cameras that were removed"
    assert told["body"] == "- Ended: Camera door does not answer\n- Ended: The clock of door is wrong"
    parts = json.loads(told["payload"])["data"]["messages"]
    assert [(part["type"], part["data"]["note"]) for part in parts] == [("alert.resolved", REMOVED)] * 2
    (single,) = records(removal_due(box.routes[:1], alerts[:1], box._frame(), ROSTER, now))
    assert single["title"] == "Ended: Camera door does not answer"
    assert single["body"].startswith("The camera was removed.\nIt lasted 2.5 hours, since 10:30.")
    assert removal_due(box.routes, alerts, box._frame()[:0], ROSTER, now).empty


# Signatures and addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto", "socket.sendmsg"])
def test_the_guard_of_a_message_process_judges_each_way_to_an_address(event: str) -> None:
    guard = Guard(AllowedNetworks(["127.0.0.0/8"]))
    guard(event, (None, ("127.0.0.1", 25)))
    guard(event, (None, None))
    assert not guard.is_blocked
    for refused in (("169.254.169.254", 80), "/run/docker.sock"):
        with pytest.raises(AddressBlockedError):
            guard(event, (None, refused))
    assert guard.is_blocked


def test_the_guard_of_a_message_process_starts_no_program() -> None:
    guard = Guard(AllowedNetworks())
    with pytest.raises(PermissionError):
        guard("subprocess.Popen", ("sh",))
    assert guard.is_blocked


def test_a_signature_is_that_of_the_specification() -> None:
    # The example of the reference libraries.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    said = signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', key)
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("203.0.114.1", True),
        ("2a00:1450:4001::1", True),
        ("127.0.0.1", True),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("169.254.0.9", False),
        ("fe80::1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a9fe:a9fe::1", False),
        ("100.100.100.200", False),
        ("0.0.0.0", False),  # noqa: S104 -- judged, not bound
        ("224.0.0.1", False),
        ("example.com", False),
    ],
)
def test_messages_go_to_public_addresses_and_to_networks_that_are_named(address: str, is_allowed: bool) -> None:
    networks = AllowedNetworks(("127.0.0.0/8", "169.254.0.0/16"), with_public=True)
    assert networks.allows(address) == is_allowed
    assert not AllowedNetworks(("127.0.0.0/8",)).allows("203.0.114.1")
