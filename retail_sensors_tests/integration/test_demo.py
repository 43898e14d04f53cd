"""`retail-sensors demo`: a newcomer's first command, twice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    first = site.process("demo", "--days", "2", "--port", str(port), timeout=300)
    assert (first.code, first.err) == (0, "")
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

    before = final(site)
    second = site.process("demo", "--days", "2", "--port", str(port), timeout=300)
    assert (second.code, second.err) == (0, "")
    after = final(site)
    for table, rows in before.items():
        assert rows, table
        assert rows <= after[table], table
    assert site.fetch("SELECT count(*) FROM retail.raw_revisions") == [(0,)]


def test_taken_ports_are_refused_in_a_sentence(site: Site) -> None:
    port = free_ports(6)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + 2))
        other.listen()
        said = site.run("demo", "--days", "1", "--port", str(port))
    assert (said.code, said.out) == (2, "")
    assert said.sentence.startswith(f"The simulated cameras need 127.0.0.1 ports {port} to {port + 5}")
