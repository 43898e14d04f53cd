"""Alerts from the tables to the table, at simulated instants; and what persons do with them at the command line."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import psycopg2
import pytest

from retail_sensors.analytics.alert_texts import TEXTS
from retail_sensors.analytics.alerts import evaluate
from retail_sensors.assets.alerts import alerts_generated
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.alerts import AlertStore
from retail_sensors.storage.database import Database
from retail_sensors_tests.installations import Site, site_of_october
from retail_sensors_tests.unit.test_alerts import crowd

NOW = datetime(2025, 10, 7, 13, 30, tzinfo=UTC)  # a Tuesday, 14:30 in Lisbon
MINUTE = timedelta(minutes=1)
FLEET = {
    "stores": [
        {"name": "Lisbon", "timezone": "Europe/Lisbon", "capacity": 200},
        {"name": "Porto", "timezone": "Europe/Lisbon", "capacity": 100},
    ],
    "cameras": [
        {"name": "door", "host": "192.0.2.10", "timezone": "Europe/Lisbon", "store": "Lisbon"},
        {"name": "back", "host": "192.0.2.11", "timezone": "Europe/Lisbon", "store": "Porto"},
    ],
}


class Standing(ClockResource):
    """A clock that stands."""

    at: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.at)


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    return site_of_october(Site(database_url, tmp_path / "home"), FLEET)


def stored_hour(site: Site, utilization: float, start: datetime, until: datetime) -> None:
    """Lisbon's hour, as it was known at `until`."""
    site.execute(
        "INSERT INTO retail.store_hourly (store_id, hour_start, is_open, avg_occupancy, utilization, data_completeness,"
        f" is_provisional, quality, updated_at) SELECT id, '{start}', true, {200 * utilization}, {utilization}, 0, true,"
        f" '{{\"counts\": \"provisional\"}}', '{until}' FROM retail.stores WHERE store_name = 'Lisbon'"
        " ON CONFLICT (store_id, hour_start) DO UPDATE SET avg_occupancy = excluded.avg_occupancy,"
        " utilization = excluded.utilization, updated_at = excluded.updated_at"
    )


def asked(site: Site, camera: str, outcome: str, at: datetime) -> None:
    """What became of the newest question to a camera."""
    site.execute(
        "INSERT INTO retail.collection_log (sensor_id, endpoint, hour_start, outcome, row_count, rejected_count, attempts,"
        f" asked_at) SELECT id, 'people_counting', date_trunc('hour', timestamptz '{at}'), '{outcome}', 0, 0, 1, '{at}'"
        f" FROM retail.sensor_metadata WHERE sensor_name = '{camera}' ON CONFLICT (sensor_id, endpoint, hour_start)"
        " DO UPDATE SET outcome = excluded.outcome, asked_at = excluded.asked_at"
    )


def run(site: Site, now: datetime) -> dict[str, Any]:
    """One run at that instant; its metadata."""
    with site.entered():
        resources = {"database": DatabaseResource(), "clock": Standing(at=now.isoformat())}
        result = dg.materialize([alerts_generated], resources=resources)
    [event] = result.get_asset_materialization_events()
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def alerts(site: Site) -> list[dict[str, Any]]:
    rows = site.frame("SELECT * FROM retail.alerts_generated ORDER BY timestamp, rule_name")
    return rows.astype(object).where(rows.notna(), None).to_dict("records")  # type: ignore[return-value]


def test_an_alert_lives_from_the_figures_to_its_end_with_what_people_do_between(site: Site) -> None:
    stored_hour(site, 0.95, NOW - 30 * MINUTE, NOW)
    asked(site, "door", "ok", NOW)
    asked(site, "back", "timeout", NOW)
    # Seen a day later, the same rows are history: nobody is warned, and nothing is known to be wrong now but missing counts.
    later = run(site, NOW + timedelta(days=1))
    assert [alert["rule_name"] for alert in alerts(site)] == ["data_stale"]
    assert later["raised"] == 1
    site.execute("DELETE FROM retail.alerts_generated")

    first = run(site, NOW)
    assert (first["open alerts"], first["raised"], first["critical"], first["dagster/row_count"]) == (2, 2, 1, 2)
    assert "| critical | back | Camera back does not answer |" in first["now"]
    assert "| warning | Lisbon | Lisbon is crowded: 95 % of its capacity | 14:00 | 95 % | 90 % | open |" in first["now"]
    before = site.fetch("SELECT * FROM retail.alerts_generated ORDER BY id")
    again = run(site, NOW)
    assert (again["raised"], again["changed"]) == (0, 0)
    assert site.fetch("SELECT * FROM retail.alerts_generated ORDER BY id") == before

    crowded = next(alert for alert in alerts(site) if alert["rule_name"] == "overcrowding")
    said = site.run("alerts", "acknowledge", crowded["id"][:8], "--by", "Ana", "--note", "On my way.")
    assert (said.code, said.out) == (0, "Acknowledged: Lisbon is crowded: 95 % of its capacity\n")
    stored_hour(site, 1.05, NOW - 30 * MINUTE, NOW + 20 * MINUTE)
    asked(site, "back", "ok", NOW + 20 * MINUTE)
    second = run(site, NOW + 20 * MINUTE)
    assert (second["open alerts"], second["changed"], second["resolved"]) == (1, 2, 1)
    crowded = next(alert for alert in alerts(site) if alert["rule_name"] == "overcrowding")
    assert (crowded["severity"], crowded["occurrences"], crowded["state"]) == ("critical", 2, "acknowledged")
    assert crowded["acknowledged_by"] == "Ana"
    assert [action["action"] for action in crowded["actions_taken"]] == ["acknowledged", "severity_raised"]
    assert not crowded["escalated"]

    stored_hour(site, 0.5, NOW + 30 * MINUTE, NOW + 40 * MINUTE)
    assert run(site, NOW + 40 * MINUTE)["now"] == "Nothing is open."
    crowded = next(alert for alert in alerts(site) if alert["rule_name"] == "overcrowding")
    assert (crowded["state"], crowded["resolution_notes"]) == ("resolved", "Within the limits again: 50 %.")
    assert [alert["state"] for alert in alerts(site)] == ["resolved", "resolved"]


def test_an_acknowledgement_waits_for_the_run_and_is_not_lost(site: Site, database: Database) -> None:
    [[lisbon]] = site.fetch("SELECT id::text FROM retail.stores WHERE store_name = 'Lisbon'")
    store = AlertStore(database)
    seen = crowd(95.0, NOW, store_id=lisbon)
    raised = store.update(lambda rules, known: evaluate(rules, [seen], known, NOW), NOW).changed
    person = threading.Thread(target=lambda: store.acknowledge(raised["id"].iloc[0], "Ana", None, NOW))

    def count_while_a_person_acts(rules: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
        person.start()
        person.join(0.5)
        assert person.is_alive(), "the acknowledgement did not wait"
        newer = crowd(97.0, NOW + 5 * MINUTE, store_id=lisbon)
        return evaluate(rules, [newer], known, NOW + 5 * MINUTE)

    store.update(count_while_a_person_acts, NOW + 5 * MINUTE)
    person.join(120)
    [alert] = alerts(site)
    assert (alert["occurrences"], alert["acknowledged_by"], alert["state"]) == (2, "Ana", "acknowledged")


def test_the_command_line_shows_hands_on_and_ends_alerts(site: Site) -> None:
    assert site.run("alerts").out == "No alert is open.\n"
    stored_hour(site, 0.95, NOW - 30 * MINUTE, NOW)
    run(site, NOW)
    [alert] = alerts(site)
    shown = site.run("alerts")
    assert "1 open alert" in shown.out
    assert "Lisbon is crowded: 95 % of its capacity" in shown.out
    assert alert["id"][:8] in shown.out
    [listed] = json.loads(site.run("alerts", "--json").out)
    assert (listed["id"], listed["actual_value"], listed["state"]) == (alert["id"], 95.0, "open")

    assert site.run("alerts", "escalate", alert["id"], "--to", "Rui", "--by", "Ana").code == 0
    assert "escalated (Rui)" in site.run("alerts").out
    ended = site.run("alerts", "resolve", alert["id"], "--note", "A school class.", "--by", "Rui")
    assert ended.out == "Resolved: Lisbon is crowded: 95 % of its capacity\n"
    [done] = alerts(site)
    assert [(action["action"], action["by"], action["result"]) for action in done["actions_taken"]] == [
        ("escalated", "Ana", "Escalated to Rui."),
        ("resolved", "Rui", "A school class."),
    ]
    assert site.run("alerts").out == "No alert is open.\n"
    assert "resolved" in site.run("alerts", "--all").out

    for arguments, words in (
        (("acknowledge", alert["id"]), "was resolved at"),
        (("resolve", alert["id"], "--note", "-"), "was resolved at"),
        (("escalate", "00000000", "--to", "Rui"), "There is no alert '00000000'"),
        (("acknowledge", "%"), "There is no alert '%'"),
        (("escalate", alert["id"], "--to", " "), "--to names nobody"),
        (("resolve", alert["id"], "--note", ""), "--note says nothing"),
    ):
        said = site.run("alerts", *arguments)
        assert (said.code, words in said.sentence) == (2, True), said


def test_rules_are_set_for_all_stores_or_for_one(site: Site) -> None:
    assert "queue_wait_minutes" in site.run("alerts", "rules").out
    assert site.run("alerts", "set", "overcrowding", "--warning", "85", "--critical", "95").code == 0
    assert site.run("alerts", "set", "overcrowding", "--off", "--store", "Porto").out == (
        "Rule overcrowding is set for Porto.\n"
    )
    found = [
        rule for rule in json.loads(site.run("alerts", "rules", "--json").out) if rule["rule_name"] == "overcrowding"
    ]
    assert [
        (rule["store_name"], rule["warning_threshold"], rule["critical_threshold"], rule["is_enabled"])
        for rule in found
    ] == [(None, 85.0, 95.0, True), ("Porto", 85.0, 95.0, False)]
    for arguments, words in (
        (("overcrowding", "--warning", "99"), "critical must be the worse of both"),
        (("overcrowding", "--warning", "nan"), "cannot be meant"),
        (("overcrowding", "--warning", "-5"), "--warning -5 is below 0"),
        (("overcrowding", "--on", "--store", "Faro"), "There is no store 'Faro'"),
        (("crowding", "--on"), "There is no alert rule 'crowding'; there are abandonment_risk, anomaly,"),
        (("overcrowding",), "Say what to change"),
    ):
        said = site.run("alerts", "set", *arguments)
        assert (said.code, words in said.sentence) == (2, True), said


def test_a_wrong_clock_and_a_reset_raise_an_alert_each_that_ends_when_they_are_put_right(site: Site) -> None:
    def lowered(action: str, at: datetime) -> None:
        site.execute(
            "INSERT INTO retail.raw_revisions (table_name, sensor_id, timestamp, reading_hash, action, kept, set_aside, recorded_at)"
            f" SELECT 'people_counting_raw', id, '{NOW - 150 * MINUTE}', '{action}', '{action}', '{{}}', '{{}}', '{at}'"
            " FROM retail.sensor_metadata WHERE sensor_name = 'door'"
        )

    def clock(camera: str, seconds: float, at: datetime) -> None:
        site.execute(
            f"UPDATE retail.sensor_metadata SET last_seen_at = '{at}', clock_offset_seconds = {seconds}"
            f" WHERE sensor_name = '{camera}'"
        )

    lowered("refused", NOW - 5 * MINUTE)
    clock("door", 119, NOW)
    clock("back", -1800, NOW)
    assert run(site, NOW)["raised"] == 2
    assert [(alert["rule_name"], alert["severity"], alert["title"]) for alert in alerts(site)] == [
        ("camera_clock", "critical", "Camera back: its clock is 30 minutes slow"),
        ("counts_lowered", "warning", "Camera door told fewer people for 1 hour than before"),
    ]
    lowered("overwritten", NOW + MINUTE)
    clock("back", -3, NOW + 5 * MINUTE)
    assert run(site, NOW + 5 * MINUTE)["open alerts"] == 0
    assert {alert["resolution_notes"] for alert in alerts(site)} == {
        "Within the limits again: 3 seconds.",
        "No count of the last day is set aside any more.",
    }


def test_every_metric_of_a_rule_has_words_and_the_database_keeps_one_open_alert(site: Site, database: Database) -> None:
    metrics = site.fetch("SELECT DISTINCT metric FROM retail.alert_rules WHERE is_enabled")
    assert {metric for (metric,) in metrics} == set(TEXTS)
    [[lisbon]] = site.fetch("SELECT id::text FROM retail.stores WHERE store_name = 'Lisbon'")
    seen = crowd(95.0, NOW, store_id=lisbon)
    AlertStore(database).update(lambda rules, known: evaluate(rules, [seen], known, NOW), NOW)
    names = ", ".join(
        name
        for (name,) in site.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'retail.alerts_generated'::regclass AND attnum > 0"
            " AND attgenerated = '' AND attname <> 'id'"
        )
    ).replace("timestamp", '"timestamp"')
    with pytest.raises(psycopg2.errors.UniqueViolation, match="one_open_alert_of_a_rule"):
        site.execute(
            f"INSERT INTO retail.alerts_generated (id, {names}) SELECT gen_random_uuid(), {names}"
            " FROM retail.alerts_generated"
        )


def test_an_argument_that_is_no_text_is_one_sentence(site: Site) -> None:
    said = site.run("alerts", "set", "overcrowding", "--off", "--store", "Lisbon \udcff")
    assert (said.code, said.out) == (2, "")
    assert said.err == "retail-sensors: The argument 'Lisbon \\udcff' is not UTF-8; type it anew.\n"
