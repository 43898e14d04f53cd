"""Every asset has a check, every check says what it holds, and each has a step of its own name."""

from __future__ import annotations

from collections import Counter

import dagster as dg
import pytest

from retail_sensors.definitions import build_defs

UNCHECKED = {
    "realtime_analytics": "no run makes it; a tick of alarm_polling tells itself which cameras did not answer",
}
"""Assets without a check, and why."""


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs()


def test_every_asset_has_a_check_but_those_that_say_why_not(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}
    assets = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert assets - checked == set(UNCHECKED)
    assert checked <= assets


def test_every_check_says_what_it_holds_and_stops_nothing(defs: dg.Definitions) -> None:
    specs = [spec for checks in defs.asset_checks or [] for spec in checks.check_specs]
    assert len(specs) >= 25
    for spec in specs:
        assert spec.description, spec.key
        assert spec.description.endswith("."), spec.key
        assert not spec.blocking, spec.key
        # There is one evaluation of a range: a check with partitions would have a state for each of them that stays "planned".
        assert spec.partitions_def is None, spec.key


def test_checks_of_several_assets_can_be_run_for_some_of_them(defs: dg.Definitions) -> None:
    listed = list(defs.asset_checks or [])
    assert all(checks.can_subset for checks in listed)
    assert set(Counter(checks.node_def.name for checks in listed).values()) == {1}
