"""The hybrid queue model: it learns from the past only, answers where it helps and nowhere else, and its intervals hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.queue_model import COVERAGE, LEAST_HOURS, with_corrections
from retail_sensors.analytics.queueing import HYBRID, Service, queue_hours, waits
from retail_sensors.tables.inputs import QUEUE_GROUND_TRUTH
from retail_sensors.tables.queues import QUEUE_ANALYTICS
from retail_sensors_tests.unit.analytics_estate import identity, roster, store, utc

SHOP = roster([store("s"), store("t")], [], {})
MONDAY = utc("2026-03-30T00:00")
HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)

Truth = Callable[[Array, np.random.Generator], Array]


def halved(formula: Array, random: np.random.Generator) -> Array:
    """Lines half as long as the formulas say, and half a person more, with noise."""
    return np.maximum(0.5 * formula + 0.5 + random.normal(0, 0.1 * np.sqrt(1 + formula)), 0)


def exact(formula: Array, random: np.random.Generator) -> Array:
    return formula


class World:
    """Trading hours of store `s` from `weeks` before MONDAY to two weeks after: arrivals, lanes, and what somebody counted."""

    def __init__(self, weeks: int = 6, length: Truth | None = halved, wait: Truth | None = halved) -> None:
        random = np.random.default_rng(20260202)
        first = MONDAY - weeks * WEEK
        self.hours = [first + n * HOUR for n in range((weeks + 2) * 168) if 9 <= n % 24 < 19]
        self.arrivals = random.uniform(10, 90, len(self.hours)).round()
        self.lanes = random.integers(1, 4, len(self.hours)).astype(float)
        self.formula = waits(self.arrivals, self.lanes, Service())
        self.length = length(self.formula.length, random) if length else np.full(len(self.hours), np.nan)
        self.wait = wait(self.formula.mean, random) if wait else np.full(len(self.hours), np.nan)

    def between(self, start: datetime, end: datetime) -> Array:
        return np.array([start <= hour < end for hour in self.hours])

    def _keys(self, rows: Array) -> dict[str, object]:
        chosen = [hour for hour, is_in in zip(self.hours, rows, strict=True) if is_in]
        return {
            "store_id": pd.array([identity("s")] * len(chosen), dtype="string"),
            "hour_start": pd.Series(chosen, dtype="datetime64[us, UTC]"),
        }

    def counted(self, rows: Array) -> pd.DataFrame:
        names = ("minutes_counted", "served", "abandoned")
        columns = {"actual_queue_length": self.length[rows], "actual_wait_minutes": self.wait[rows]}
        frame = pd.DataFrame({**self._keys(rows), **columns, **dict.fromkeys(names, 60), "counted_by": "Ana"})
        assert set(frame.columns) <= set(QUEUE_GROUND_TRUTH.names)
        return frame

    def history(self, rows: Array) -> pd.DataFrame:
        frame = pd.DataFrame({**self._keys(rows), "arrivals": self.arrivals[rows], "lanes": self.lanes[rows]})
        assert set(frame.columns) <= set(QUEUE_ANALYTICS.names)
        return frame

    def inputs(self, rows: Array) -> pd.DataFrame:
        frame = pd.DataFrame({**self._keys(rows), "transactions": self.arrivals[rows], "open_lanes": self.lanes[rows]})
        unknown = ("detections", "stay_over_60_s", "entries", "lanes", "actual_queue_length", "actual_wait_minutes")
        return frame.assign(stay_is_earlier=False, **dict.fromkeys((*unknown, *HYBRID), np.nan))

    def answers(self, start: datetime, end: datetime, counted_before: datetime = MONDAY, seed: int = 1) -> pd.DataFrame:
        """The run's hours, with everything before them at hand and what was counted before an instant."""
        before = self.between(self.hours[0], start)
        counted = self.counted(self.between(self.hours[0], counted_before))
        return with_corrections(self.inputs(self.between(start, end)), self.history(before), counted, SHOP, seed)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_it_beats_the_formulas_on_the_next_week_and_its_interval_holds(world: World) -> None:
    found = world.answers(MONDAY, MONDAY + WEEK)
    rows = world.between(MONDAY, MONDAY + WEEK)
    calm = ~np.isnan(world.formula.mean[rows])
    length, wait = (found[name].to_numpy() for name in ("learnt_length", "learnt_wait"))
    assert (np.isnan(length) == ~calm).all()  # where the formulas have no number it has none
    assert (np.isnan(wait) == ~calm).all()
    for value, actual, formula in (
        (length, world.length[rows], world.formula.length[rows]),
        (wait, world.wait[rows], world.formula.mean[rows]),
    ):
        error = np.abs(value - actual)[calm].mean()
        assert error < 0.6 * np.abs(formula - actual)[calm].mean()
    lower, upper = (found[name].to_numpy()[calm] for name in ("learnt_lower", "learnt_upper"))
    assert (lower >= 0).all()
    assert (lower <= length[calm]).all()
    assert (length[calm] <= upper).all()
    inside = (lower <= world.length[rows][calm]) & (world.length[rows][calm] <= upper)
    assert abs(inside.mean() - COVERAGE) < 0.15
    assert abs(found["length_coverage"].dropna().iloc[0] - COVERAGE) < 0.15
    assert found["wait_coverage"].dropna().between(0, 1).all()


def test_the_rows_that_it_makes_say_so(world: World) -> None:
    figures = queue_hours(world.answers(MONDAY, MONDAY + WEEK), SHOP)
    over = figures["is_overloaded"].to_numpy(dtype=bool)
    assert over.any()
    assert set(figures["analysis_type"][over]) == {"model"}
    assert set(figures["analysis_type"][~over]) == {"hybrid"}
    between = figures["predicted_queue_length"].between(figures["confidence_lower"], figures["confidence_upper"])
    assert between[~over].all()
    assert figures["confidence_upper"][over].isna().all()
    assert figures["share_within_target"][~over].between(0, 1).all()


def test_it_knows_nothing_of_the_week_that_it_answers(world: World) -> None:
    before = world.answers(MONDAY, MONDAY + WEEK)
    assert_frame_equal(before, world.answers(MONDAY, MONDAY + WEEK, counted_before=MONDAY + 2 * WEEK))
    later = world.answers(MONDAY + WEEK, MONDAY + 2 * WEEK, counted_before=MONDAY + WEEK)
    earlier = world.answers(MONDAY + WEEK, MONDAY + 2 * WEEK, counted_before=MONDAY)
    assert not later["learnt_length"].equals(earlier["learnt_length"])  # but the next week does


def test_an_hour_gets_the_same_answer_however_runs_are_cut(world: World) -> None:
    start, end = MONDAY + 6 * timedelta(days=1), MONDAY + 8 * timedelta(days=1)
    counted = MONDAY + 2 * WEEK
    whole = world.answers(start, end, counted)
    parts = [world.answers(start, start + timedelta(days=1), counted), world.answers(MONDAY + WEEK, end, counted)]
    assert whole["learnt_length"].notna().any()
    assert_frame_equal(whole, pd.concat(parts, ignore_index=True))
    long = world.answers(MONDAY - WEEK, end, counted)
    assert_frame_equal(whole, long.iloc[-len(whole) :].reset_index(drop=True))


def test_the_same_seed_and_rows_give_the_same_model(world: World) -> None:
    rows = world.between(MONDAY, MONDAY + WEEK)
    known = world.between(world.hours[0], MONDAY)
    turned = with_corrections(
        world.inputs(rows), world.history(known).iloc[::-1], world.counted(known).iloc[::-1], SHOP, 1
    )
    assert_frame_equal(world.answers(MONDAY, MONDAY + WEEK), turned)


def test_a_store_that_nobody_counted_keeps_the_formulas(world: World) -> None:
    rows = world.between(MONDAY, MONDAY + WEEK)
    inputs = world.inputs(rows).assign(store_id=pd.array([identity("t")] * rows.sum(), dtype="string"))
    known = world.between(world.hours[0], MONDAY)
    assert_frame_equal(with_corrections(inputs, world.history(known), world.counted(known), SHOP, 1), inputs)


def test_too_few_hours_or_weeks_teach_nothing(world: World) -> None:
    usable = np.flatnonzero(world.between(world.hours[0], MONDAY) & ~np.isnan(world.formula.mean))
    rows = world.between(MONDAY, MONDAY + WEEK)

    def learnt(chosen: Array) -> bool:
        mask = np.isin(np.arange(len(world.hours)), chosen)
        found = with_corrections(world.inputs(rows), world.history(mask), world.counted(mask), SHOP, 1)
        return bool(found["learnt_length"].notna().any())

    spread = usable[np.linspace(0, len(usable) - 1, LEAST_HOURS).astype(int)]
    assert learnt(spread)
    assert not learnt(spread[1:])
    last_weeks = usable[[world.hours[row] > MONDAY - 4 * WEEK for row in usable]]
    assert len(last_weeks) >= LEAST_HOURS
    assert not learnt(last_weeks)  # from Monday 9:00 to Sunday 18:00: less than four weeks


def test_where_the_formulas_are_right_they_stand() -> None:
    found = World(length=exact, wait=exact).answers(MONDAY, MONDAY + WEEK)
    assert found[list(HYBRID)].isna().all().all()


def test_of_a_learnt_wait_the_length_follows_by_little() -> None:
    world = World(length=None)
    found = world.answers(MONDAY, MONDAY + WEEK).dropna(subset="learnt_wait")
    assert len(found)
    assert found["learnt_length"].to_numpy() == pytest.approx(
        found["transactions"].to_numpy() / 60 * found["learnt_wait"].to_numpy()
    )
    assert found[["learnt_lower", "learnt_upper", "length_coverage"]].isna().all().all()


def test_of_a_learnt_length_no_wait_is_made() -> None:
    found = World(wait=None).answers(MONDAY, MONDAY + WEEK)
    assert found["learnt_length"].notna().any()
    assert found[["learnt_wait", "wait_coverage"]].isna().all().all()
    figures = queue_hours(found, SHOP)
    assert set(figures["analysis_type"]) == {"hybrid", "model"}
    assert figures["wait_time_confidence"].isna().all()
