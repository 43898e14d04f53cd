"""A day of the simulated week: the pipeline runs itself through faults of cameras and of Postgres, and all comes right.

It has a server of its own, which is restarted in the middle of a run. `make simulate-week` goes through all seven days.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

from retail_sensors.simulator.switches import FaultKind
from retail_sensors_tests.simulated_time.plan import Plan
from retail_sensors_tests.week import simulate, tell


def test_a_day_of_faults_is_seen_told_and_made_good(tmp_path: Path) -> None:
    told: list[str] = []
    plan = Plan(1)
    result = simulate(plan, tmp_path, quiet=timedelta(hours=3), say=told.append)
    tell(result, plan, told.append)
    assert result.wrong == [], "\n".join(told)
    # What the judgement rests on took place: each kind of fault, ticks of each schedule that is due within a day, and a repair.
    assert {one.episode.kind for one in result.found} >= {FaultKind.REFUSED, FaultKind.SLOW, FaultKind.GARBAGE}
    asked = Counter(run.asked_by for run in result.seen.runs)
    assert asked["gap_repair"] > 0
    assert asked["running_hour"] > 24
    assert any(not run.success for run in result.seen.runs if run.at in plan.restarts)
