"""Breakers in the database, so that runs and processes know of each other's failures.

A sweep asks which cameras it leaves alone, and takes their short questions upon itself, in one transaction before it begins; what
became of asking is written with the log. When a breaker opens and closes belongs in `connectors.breaker`.
"""

from __future__ import annotations

from collections.abc import Collection as Sized
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import pandas as pd
from psycopg2.extensions import connection as PgConnection

from retail_sensors.connectors.base import Outcome
from retail_sensors.connectors.breaker import DEAD, Breaker, LeftAlone, State, claimed, failed, left_alone
from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import queries

_BETWEEN = ","
"""Between the runs of `camera_breakers.run_id`, the one of the newest question first."""


def cameras_left_alone(
    database: Database, sensors: Iterable[UUID], now: datetime, run_id: str | None
) -> dict[UUID, LeftAlone]:
    """Those of the cameras that a sweep at `now` leaves alone; a short question that is due is this sweep's from now on.

    Raises DatabaseUnavailableError.
    """
    with database.transaction() as connection:
        breakers = _locked(connection, "lock_open", [str(sensor) for sensor in sensors])
        due = {sensor: after for sensor, breaker in breakers.items() if (after := claimed(breaker, now, run_id))}
        if due:
            # One sweep leaves all of them in the same state, until the same instant.
            after = next(iter(due.values()))
            parameters = {"sensors": list(due), "state": after.state.value, "next_probe_at": after.next_probe_at}
            _execute(connection, "claim", parameters)
    return {
        UUID(sensor): left_alone(breaker, now, run_id, is_probed=sensor in due) for sensor, breaker in breakers.items()
    }


def remember_answers(connection: PgConnection, log: pd.DataFrame, run_id: str | None) -> None:
    """Moves the breakers of the cameras of a sweep's log, within the caller's transaction.

    A camera of which any question was answered, however badly, has none; one of which each question that was sent found nobody
    has failed once more. What was not sent says nothing. The caller keeps other writers of the log away.
    """
    sent = log[log["attempts"] > 0]
    if sent.empty:
        return
    is_dead = sent["outcome"].isin([outcome.value for outcome in DEAD])
    answered = sent[~is_dead].groupby("sensor_id")["asked_at"].max()
    if len(answered):
        instants = [at.to_pydatetime() for at in answered]
        _execute(connection, "forget", {"sensors": list(answered.index), "answered": instants})
    lost = sent[is_dead & ~sent["sensor_id"].isin(answered.index)]
    if lost.empty:
        return
    newest = lost.sort_values("asked_at", kind="stable").drop_duplicates("sensor_id", keep="last")
    before = _locked(connection, "lock_all", list(newest["sensor_id"]))
    after: dict[str, Breaker] = {}
    for sensor, outcome, at in zip(newest["sensor_id"], newest["outcome"], newest["asked_at"], strict=True):
        breaker = failed(before.get(sensor), Outcome(outcome), at.to_pydatetime(), run_id)
        if breaker is not None:
            after[sensor] = breaker
    _execute(
        connection,
        "remember",
        {
            "sensors": list(after),
            "states": [breaker.state.value for breaker in after.values()],
            "failures": [breaker.failures for breaker in after.values()],
            "error_classes": [breaker.last_error_class.value for breaker in after.values()],
            "failed": [breaker.last_failed_at for breaker in after.values()],
            "runs": [_BETWEEN.join(breaker.runs) for breaker in after.values()],
            "opened": [breaker.opened_at for breaker in after.values()],
            "next_probes": [breaker.next_probe_at for breaker in after.values()],
        },
    )


def _locked(connection: PgConnection, query: str, sensors: Sized[str]) -> dict[str, Breaker]:
    with connection.cursor() as cursor:
        cursor.execute(queries("breakers")[query], {"sensors": list(sensors)})
        return {
            sensor: Breaker(
                State(state),
                failures,
                Outcome(outcome),
                failed_at,
                tuple(runs.split(_BETWEEN)),
                opened_at,
                next_probe_at,
            )
            for sensor, state, failures, outcome, failed_at, runs, opened_at, next_probe_at in cursor.fetchall()
        }


def _execute(connection: PgConnection, query: str, parameters: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(queries("breakers")[query], parameters)
