"""When a camera at whose address nobody answers is left alone, and when it is asked again: pure rules.

Here belong the states of one camera and what moves it from one to the next. Keeping them belongs in `storage.breakers`, sending the
short question and recording what is not asked in `collector`.

Only an address is judged: an error page, a wrong password and garbage are answers of somebody who is there.

    closed     it is asked in full; runs in which nobody answered are counted
    open       it is left alone: a run sends it one short question, what it was to be asked for is recorded at once
    half_open  that question of a run is on its way

An answer to anything forgets the state whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from retail_sensors.connectors.base import Outcome

DEAD = frozenset({Outcome.REFUSED, Outcome.TIMEOUT})
"""Outcomes of a question that found nobody."""

OPENS_AFTER = 3
"""Runs in a row in which nobody answered."""

REMEMBERED_RUNS = 8
"""Runs that are known to have been counted: more than go on beside each other, each with several sweeps."""

PROBE_EVERY = timedelta(seconds=45)
"""Between two short questions: one in each tick of what runs by the minute, however many runs go on beside each other."""

FULL_EVERY = timedelta(hours=1)
"""Of the questions of runs one an hour is given the ordinary time: who is slow is found again."""

PROBE_CONNECT_SECONDS = 2.0
PROBE_SECONDS = 3.0
"""Time of a short question to reach the camera, and all in all."""


class State(StrEnum):
    """The value is the name in `camera_breakers.state`."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """In how many runs a camera was asked in vain, how the newest question ended and when, and which runs these were.

    `runs`: the newest REMEMBERED_RUNS of them, the one of the newest question first. `opened_at` and `next_probe_at` are None as long
    as it is closed.
    """

    state: State
    failures: int
    last_error_class: Outcome
    last_failed_at: datetime
    runs: tuple[str, ...]
    opened_at: datetime | None = None
    next_probe_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Why one sweep leaves a camera alone. `is_probed`: but for one question, a short one unless `is_full`."""

    since: datetime
    failures: int
    outcome: Outcome
    is_probed: bool
    is_full: bool = False

    @property
    def why(self) -> str:
        """The sentence for what is not asked, without its subject."""
        return (
            f"left alone since {self.since:%Y-%m-%d %H:%M} UTC, as nobody has answered there in {self.failures} runs in a row; "
            "one short question a minute tells when somebody does"
        )


def failed(before: Breaker | None, outcome: Outcome, at: datetime, run_id: str | None) -> Breaker | None:
    """The state after a sweep in which each question that was sent found nobody, the newest of them `at`; None: nothing changes.

    A run counts once, also where others go on beside it. A sweep without a run is a glance that gives a camera little time: it opens
    nothing, or slow cameras would be left alone for it.
    """
    if run_id is None:
        return None
    if before is None:
        return _judged(Breaker(State.CLOSED, 1, outcome, at, (run_id,)))
    if at < before.last_failed_at:
        # A slow run that is stored after a later one knows nothing new.
        return before
    failures = before.failures + (run_id not in before.runs)
    runs = (run_id, *(run for run in before.runs if run != run_id))[:REMEMBERED_RUNS]
    return _judged(replace(before, failures=failures, last_error_class=outcome, last_failed_at=at, runs=runs))


def _judged(breaker: Breaker) -> Breaker:
    if breaker.failures < OPENS_AFTER:
        return breaker
    at = breaker.last_failed_at
    return replace(
        breaker,
        state=State.OPEN,
        opened_at=breaker.opened_at or at,
        next_probe_at=breaker.next_probe_at or at + PROBE_EVERY,
    )


def claimed(breaker: Breaker, now: datetime, run_id: str | None) -> Breaker | None:
    """The state with the question of a sweep that is sent now; None: none is due, or the run has asked in vain already."""
    if breaker.next_probe_at is None or run_id in breaker.runs:
        return None
    # A later question than the next could be is of a clock that was set back.
    is_too_early = now < breaker.next_probe_at <= now + PROBE_EVERY
    # Glances come each minute, and must not keep a run from the question that has more time.
    is_full = breaker.state is State.OPEN and _is_full_due(breaker, now, run_id)
    if is_too_early and not is_full:
        return None
    state = State.OPEN if run_id is None else State.HALF_OPEN
    return replace(breaker, state=state, next_probe_at=now + PROBE_EVERY)


def left_alone(breaker: Breaker, now: datetime, run_id: str | None, *, is_probed: bool) -> LeftAlone:
    """What a sweep at `now` is to know of a camera whose breaker is not closed."""
    since = breaker.opened_at or breaker.last_failed_at
    is_full = is_probed and _is_full_due(breaker, now, run_id)
    return LeftAlone(since, breaker.failures, breaker.last_error_class, is_probed, is_full)


def _is_full_due(breaker: Breaker, now: datetime, run_id: str | None) -> bool:
    """Whether an hour, counted since it opened, has begun after the newest question of a run; only a run has the time."""
    since = breaker.opened_at or breaker.last_failed_at
    return run_id is not None and (now - since) // FULL_EVERY > (breaker.last_failed_at - since) // FULL_EVERY
