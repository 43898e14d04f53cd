"""When a breaker opens, which run may send the short question, and when that is given more time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.connectors.base import Outcome
from retail_sensors.connectors.breaker import OPENS_AFTER, PROBE_EVERY, Breaker, State, claimed, failed, left_alone

AT = datetime(2026, 7, 18, 14, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def after(*failures: tuple[float, str], outcome: Outcome = Outcome.REFUSED) -> Breaker:
    """The state after sweeps that found nobody, each so many minutes after AT and by that run."""
    breaker: Breaker | None = None
    for minutes, run in failures:
        breaker = failed(breaker, outcome, AT + minutes * MINUTE, run)
    assert breaker is not None
    return breaker


def test_the_third_run_in_a_row_opens_it() -> None:
    assert after((0, "a"), (5, "b")) == Breaker(State.CLOSED, 2, Outcome.REFUSED, AT + 5 * MINUTE, ("b", "a"))
    assert after((0, "a"), (5, "b"), (10, "c")) == Breaker(
        State.OPEN,
        3,
        Outcome.REFUSED,
        AT + 10 * MINUTE,
        ("c", "b", "a"),
        AT + 10 * MINUTE,
        AT + 10 * MINUTE + PROBE_EVERY,
    )


def test_the_four_endpoints_of_one_run_count_once() -> None:
    once = after((0, "a"), (1, "a"), (2, "a"), (3, "a"))
    assert (once.state, once.failures, once.last_failed_at) == (State.CLOSED, 1, AT + 3 * MINUTE)


def test_runs_beside_each_other_count_once_each() -> None:
    two = after((0, "a"), (1, "b"), (2, "a"), (3, "b"), (4, "a"))
    assert (two.state, two.failures, two.last_failed_at) == (State.CLOSED, 2, AT + 4 * MINUTE)
    three = after((0, "a"), (1, "b"), (2, "a"), (3, "c"), (4, "b"))
    assert (three.state, three.failures, three.opened_at) == (State.OPEN, 3, AT + 3 * MINUTE)
    # None of them sends a short question besides.
    assert [claimed(three, AT + HOUR, run) is None for run in "abcd"] == [True, True, True, False]


def test_a_long_outage_remembers_the_newest_runs_only() -> None:
    long = after(*((5 * number, f"run {number}") for number in range(40)))
    assert long.failures == 40
    assert long.runs == tuple(f"run {number}" for number in range(39, 31, -1))


def test_a_glance_without_a_run_opens_nothing_and_takes_nothing_from_the_runs() -> None:
    assert failed(None, Outcome.TIMEOUT, AT, None) is None
    opened = after((0, "a"), (5, "b"), (10, "c"))
    assert failed(opened, Outcome.TIMEOUT, AT + 60 * MINUTE, None) is None
    # It has no time for a full question; the next run does, however soon after it, and only one.
    now = AT + 71 * MINUTE
    glance = claimed(opened, now, None)
    assert glance is not None
    assert glance.state is State.OPEN
    assert not left_alone(opened, now, None, is_probed=True).is_full
    assert claimed(glance, now, None) is None
    run = claimed(glance, now, "d")
    assert run is not None
    assert left_alone(glance, now, "d", is_probed=True).is_full
    assert claimed(run, now, "e") is None
    assert claimed(run, now, None) is None


def test_a_slow_run_that_is_stored_late_changes_nothing() -> None:
    before = after((0, "a"), (5, "b"))
    assert failed(before, Outcome.TIMEOUT, AT + 4 * MINUTE, "c") is before


def test_a_further_failure_keeps_since_when_it_is_left_alone() -> None:
    opened = after((0, "a"), (5, "b"), (10, "c"))
    probed = claimed(opened, AT + 15 * MINUTE, "d")
    assert probed is not None
    assert probed.state is State.HALF_OPEN
    again = failed(probed, Outcome.TIMEOUT, AT + 15 * MINUTE, "d")
    assert again is not None
    assert (again.state, again.failures, again.last_error_class) == (State.OPEN, 4, Outcome.TIMEOUT)
    assert again.opened_at == AT + 10 * MINUTE
    assert again.next_probe_at == AT + 15 * MINUTE + PROBE_EVERY


@pytest.mark.parametrize(
    ("seconds", "run", "is_due"),
    [
        (44, "d", False),
        (45, "d", True),
        (45, "c", False),  # the run that has asked in vain
        (45, None, True),
        (44, None, False),
        (-1, "d", True),  # a clock that was set back must not keep the camera waiting
    ],
)
def test_one_run_at_a_time_sends_the_short_question(seconds: int, run: str | None, is_due: bool) -> None:
    opened = after((0, "a"), (5, "b"), (10, "c"))
    now = AT + 10 * MINUTE + timedelta(seconds=seconds)
    probed = claimed(opened, now, run)
    assert (probed is not None) == is_due
    if probed is not None:
        assert claimed(probed, now, "another") is None
        # A run that died with the question leaves it to a later one.
        assert claimed(probed, now + PROBE_EVERY, "another") is not None


def test_a_closed_breaker_has_no_short_question() -> None:
    assert claimed(after((0, "a")), AT + HOUR, "b") is None


def test_once_an_hour_the_question_has_the_ordinary_time() -> None:
    breaker = after((-10, "a"), (-5, "b"), (0, "c"))
    full = []
    for minute in range(5, 185, 5):
        now = AT + minute * MINUTE
        run = f"run {minute}"
        if left_alone(breaker, now, run, is_probed=True).is_full:
            full.append(minute)
        assert not left_alone(breaker, now, run, is_probed=False).is_full
        asked_in_vain = failed(breaker, Outcome.TIMEOUT, now, run)
        assert asked_in_vain is not None
        breaker = asked_in_vain
    assert full == [60, 120, 180]


def test_the_sentence_says_since_when() -> None:
    why = left_alone(after((0, "a"), (5, "b"), (10, "c")), AT + HOUR, "d", is_probed=True).why
    assert why.startswith("left alone since 2026-07-18 14:40 UTC, as nobody has answered there in 3 runs in a row;")


@given(st.lists(st.tuples(st.integers(0, 600), st.sampled_from("abcdef")), min_size=1, max_size=12))
def test_it_is_open_exactly_from_the_third_failure_on(failures: list[tuple[float, str]]) -> None:
    breaker = after(*sorted(failures, key=lambda one: one[0]))
    assert (breaker.state is State.OPEN) == (breaker.failures >= OPENS_AFTER)
    assert (breaker.opened_at is None) == (breaker.next_probe_at is None) == (breaker.state is State.CLOSED)
    assert breaker.failures == len({run for _, run in failures})
