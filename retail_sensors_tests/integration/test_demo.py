"""`retail-sensors demo`: a newcomer's first command, twice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from retail_sensors.cli.demo import DARK, DARK_HOURS
from retail_sensors.simulator.fleet import DEMO_MISBEHAVING
from retail_sensors_tests.installations import COLLECTED, FIGURES, Site, embedded_site, free_ports

STORES = ("Lisbon Baixa", "New York SoHo", "Mumbai Bandra")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with embedded_site(tmp_path / "home") as made:
        yield made


def final(site: Site) -> dict[str, set[str]]:
    """Everything that can no longer grow: between two runs an hour may end."""
    conditions = dict.fromkeys(COLLECTED, "is_final") | dict.fromkeys(FIGURES, "NOT is_provisional")
    return {
        table: {row for (row,) in site.fetch(f"SELECT t::text FROM retail.{table} AS t WHERE {condition}")}
        for table, condition in conditions.items()
    }


def test_the_demo_shows_days_of_stores_and_changes_nothing_the_second_time(site: Site) -> None:
    port = free_ports(6)
    first = site.process("demo", "--days", "2", "--port", str(port), timeout=900)
    assert (first.code, first.err) == (0, "Playing an outage of yesterday, hour by hour ...\n")
    # A day of which only a part was asked for is not among them.
    assert "100%" in first.out
    assert all(line.rstrip().endswith("100%") for line in first.out.splitlines() if line.strip().startswith(STORES[:2]))
    for words in ("Store days", "visitors", "complete", *STORES, "make up", "retail-sensors down"):
        assert words in first.out
    assert site.fetch("SELECT count(*) FROM retail.sensor_metadata") == [(6,)]
    ((healthy,),) = site.fetch(
        "SELECT count(*) FROM retail.people_counting_raw AS r JOIN retail.sensor_metadata AS s ON s.id = r.sensor_id"
        " WHERE s.sensor_name <> %(name)s",
        {"name": DEMO_MISBEHAVING},
    )
    assert healthy == 5 * 48
    days = site.fetch("SELECT total_entries FROM retail.store_daily WHERE data_completeness = 1")
    assert days
    assert all(entries > 50 for (entries,) in days)

    told = outage_is_told(site, first.out)

    before = final(site)
    second = site.process("demo", "--days", "2", "--port", str(port), timeout=900)
    # Played once, told each time.
    assert (second.code, second.err) == (0, "")
    assert told in second.out
    after = final(site)
    for table, rows in before.items():
        assert rows, table
        assert rows <= after[table], table
    assert site.fetch("SELECT count(*) FROM retail.raw_revisions") == [(0,)]


def outage_is_told(site: Site, out: str) -> str:
    """Checks the outage in the tables and in what was printed; returns its lines."""
    (alert,) = site.fetch(
        "SELECT a.first_seen_at, a.timestamp, a.severity, a.resolved_at FROM retail.alerts_generated AS a"
        " JOIN retail.sensor_metadata AS s ON s.id = a.sensor_id"
        " WHERE s.sensor_name = %(name)s AND a.rule_name = 'camera_offline'",
        {"name": DARK},
    )
    since, raised, severity, resolved = alert
    start = since.replace(minute=0)
    assert severity == "warning"
    # Last seen at five past, and a dead camera is told within a quarter of an hour.
    assert (since - start, raised - start) == (timedelta(minutes=5), timedelta(minutes=17))
    assert resolved - start == timedelta(hours=DARK_HOURS, minutes=12)
    came = site.fetch(
        "SELECT r.timestamp, r.collected_at, r.is_final FROM retail.people_counting_raw AS r"
        " JOIN retail.sensor_metadata AS s ON s.id = r.sensor_id WHERE s.sensor_name = %(name)s"
        " AND r.timestamp >= %(start)s AND r.timestamp < %(end)s ORDER BY 1",
        {"name": DARK, "start": start, "end": start + DARK_HOURS * timedelta(hours=1)},
    )
    # The repair had them at its own simulated instant, not what was collected afterwards.
    repaired = resolved + timedelta(minutes=8)
    assert came == [(start + hour * timedelta(hours=1), repaired, True) for hour in range(DARK_HOURS)]
    lines = out[out.index("An outage on ") : out.index("\n\n", out.index("An outage on "))]
    for words in ("12:17  alert raised, warning", "15:12  alert resolved", "15:20  sensor gap_repair", "3 hours"):
        assert words in lines
    return lines


def test_taken_ports_are_refused_in_a_sentence(site: Site) -> None:
    port = free_ports(6)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + 2))
        other.listen()
        said = site.run("demo", "--days", "1", "--port", str(port))
    assert (said.code, said.out) == (2, "")
    assert said.sentence.startswith(f"The simulated cameras need 127.0.0.1 ports {port} to {port + 5}")
