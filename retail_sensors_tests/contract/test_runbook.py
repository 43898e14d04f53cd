"""The runbook knows every alert: whoever is told of one finds its row in docs/operations.md, with the thresholds of docs/alerts.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retail_sensors.storage.database import Database

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
ALERTS = (ROOT / "docs" / "alerts.md").read_text()


def rows(page: str, first_heading: str) -> dict[str, list[str]]:
    """The table whose first heading is that: the other cells of each row by the first one, backticks taken off."""
    lines = page.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for name in re.findall(r"`([a-z_]+)`", first) or [first]:
            assert name not in found, f"{name} stands twice"
            found[name] = cells
    return found


@pytest.fixture
def rules(database: Database) -> dict[str, tuple[str, float | None, float | None]]:
    """Metric, warning and critical threshold of each rule of a new installation."""
    found = database.fetch("SELECT rule_name, metric, warning_threshold, critical_threshold FROM retail.alert_rules")
    return {name: (metric, warning, critical) for name, metric, warning, critical in found}


def test_each_rule_has_its_row_in_the_runbook(rules: dict[str, tuple[str, float | None, float | None]]) -> None:
    runbook = rows(OPERATIONS, "rule")
    assert set(runbook) == {*rules, "a run failed"}
    for name, cells in runbook.items():
        means, look, act, who = cells
        assert all((means, look, act, who)), name


def test_the_thresholds_on_the_page_are_those_of_a_new_installation(
    rules: dict[str, tuple[str, float | None, float | None]],
) -> None:
    told = rows(ALERTS, "rule")
    assert set(told) == set(rules)
    for name, (_, limits) in told.items():
        # Rules that share a row share its cell, in their order.
        sharing = [other for other, cells in told.items() if cells is told[name]]
        limit = limits.split(";")[sharing.index(name)]
        metric, *thresholds = rules[name]
        factor = 60 if metric.endswith("_seconds") and "minutes" in limit else 1
        numbers = [factor * float(number) for number in re.findall(r"[\d.]+", limit)]
        assert numbers == [threshold for threshold in thresholds if threshold is not None], name


def test_each_state_of_a_camera_is_explained(database: Database) -> None:
    ((allowed,),) = database.fetch(
        "SELECT string_agg(pg_get_constraintdef(oid), ' ') FROM pg_constraint"
        " WHERE conrelid = 'retail.camera_health'::regclass AND contype = 'c'"
    )
    states = re.search(r"\(state = ANY \(ARRAY\[(.*?)\]\)", allowed)
    assert states is not None, allowed
    assert set(rows(OPERATIONS, "state")) == set(re.findall(r"'(\w+)'", states[1]))
