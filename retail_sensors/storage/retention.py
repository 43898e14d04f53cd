"""How long rows are kept: the policies, applying them, and bringing a month back.

A row is deleted only when it lies in an archive that has been read back, or when its policy says `drop`. Months of a partitioned
table go as a whole. The files belong in `storage.archive`; when policies are applied belongs in `jobs` and the command line.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection

from retail_sensors.errors import ConfigurationError, RetailSensorsError
from retail_sensors.storage import migrations
from retail_sensors.storage.archive import Archive, ArchiveFolder
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import identifiers, qualified
from retail_sensors.storage.merge import PARTITIONED, lock_writers
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import TABLES, Kind, Table

Action = Literal["archive", "drop", "keep"]

RESTORED_DAYS = 30
"""For so long nothing of a table goes after a month of it was restored."""

MOST_KEPT_DAYS = 36_500

_DAY = timedelta(days=1)
_PARTITION = re.compile(r"(?P<table>\w+)_y(?P<year>\d{4})m(?P<month>\d{2})")

_TRIES, _PAUSE_SECONDS = 10, 1.0
_LOCK_TIMEOUT = "900ms"
"""Shorter than Postgres' deadlock timeout of a second: where two wait for each other it is maintenance that gives way, and while it
waits for a table, readers wait behind it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be said of one table: the column that its rows age by, the fewest days that the pipeline needs them, and what for.

    `condition` holds for rows that may go besides their age; `{before}` in it stands for the instant.
    """

    column: str
    least_days: int
    reason: str
    condition: str = "true"


_COMPUTED = "the figures of the last weeks are computed anew from it"
_ESTIMATES = "anomalies are looked for beside the 26 weeks before them, for the last month anew each night"
_FORECASTS = "forecasts read 70 weeks of it"
_YEAR = "days are compared with those of the year before"
_JUDGED = "how good they were is judged anew for the last 10 days"
_FORECAST_IS_OVER = "target_time < {before}"
_INPUTS = "forecasts read 70 weeks, and figures are computed anew from it"
_HAS_ENDED = "resolved_at < {before} AND NOT EXISTS (SELECT FROM retail.notifications AS n WHERE n.alert_id = alerts_generated.id)"
_IS_NOT_IN_USE = "trained_to < (SELECT max(m.trained_to) FROM retail.prediction_model AS m)"

RULES: Mapping[str, Rule] = {
    "people_counting_raw": Rule("timestamp", 245, _ESTIMATES),
    "regional_counting_raw": Rule("timestamp", 245, _ESTIMATES),
    "heatmap_temporal_raw": Rule("timestamp", 245, _ESTIMATES),
    "region_stays": Rule("date", 45, _COMPUTED),
    "heatmap_spatial_raw": Rule("date", 45, _COMPUTED),
    "vca_alarm_status": Rule("timestamp", 10, "minute rows go on from the readings of the last week"),
    "collection_log": Rule(
        "hour_start", 45, "missing hours are asked for 31 days back, and estimates look 9 days around"
    ),
    "raw_revisions": Rule("recorded_at", 31, "cameras are asked again for the last 31 days"),
    "rejected_payloads": Rule("received_at", 31, "cameras are asked again for the last 31 days"),
    "realtime_analytics": Rule("period_end", 2, "the sums of a store's day go on from it"),
    "predictions": Rule("prediction_time", 12, _JUDGED, _FORECAST_IS_OVER),
    "store_predictions": Rule("prediction_time", 12, _JUDGED, _FORECAST_IS_OVER),
    "staffing_plan": Rule("plan_time", 2, "the plan of the day is read from it"),
    "notifications": Rule(
        "event_at",
        31,
        "what was told in the last 30 days is not told again",
        "state NOT IN ('pending', 'held')",
    ),
    "hourly_analytics": Rule("hour_start", 510, _FORECASTS),
    "store_hourly": Rule("hour_start", 510, _FORECASTS),
    "daily_analytics": Rule("date", 435, _YEAR),
    "store_daily": Rule("date", 435, _YEAR),
    "kpi_metrics": Rule("date", 45, _COMPUTED),
    "imputed_hours": Rule("hour_start", 245, _ESTIMATES),
    "regional_analytics": Rule("date", 45, _COMPUTED),
    "pathway_analytics": Rule("date", 45, _COMPUTED),
    "camera_flow_matrix": Rule("date", 45, _COMPUTED),
    "queue_analytics": Rule("hour_start", 225, "the queue model learns from 27 weeks of it"),
    "queue_performance_daily": Rule("date", 45, _COMPUTED),
    "anomalies_detected": Rule("date", 45, "anomalies of the last month are looked for anew each night"),
    "prediction_accuracy": Rule("date", 45, _COMPUTED),
    "alerts_generated": Rule(
        "timestamp", 60, "what a person has resolved is not raised again by the evidence of the last weeks", _HAS_ENDED
    ),
    "pos_transactions": Rule("hour_start", 510, _INPUTS),
    "staff_hours": Rule("hour_start", 510, _INPUTS),
    "weather_hourly": Rule("hour_start", 510, _INPUTS),
    "queue_ground_truth": Rule("hour_start", 510, _INPUTS),
    "prediction_model": Rule("trained_to", 45, "forecasts of the last weeks are made anew with it", _IS_NOT_IN_USE),
    "fleet_changes": Rule("changed_at", 31, "who changed what is asked of the last weeks"),
}
"""The tables that may have a policy: those that grow with time. An alert on which a message hangs goes after the message."""


class RetentionBusyError(RetailSensorsError):
    """Another process applies policies or restores at this moment."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One row of `retention_policies`, with the fewest days that it may say and what for."""

    table: str
    action: Action
    days: int | None
    restored_until: datetime | None
    description: str
    least_days: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one table: a sentence, the rows that went, the archives they went into, and whether something failed."""

    table: str
    sentence: str
    rows: int = 0
    archives: tuple[str, ...] = ()
    is_failure: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """What one archive brought back: rows that were missing, rows that were there, rows whose owner is not registered any more."""

    archive: Archive
    inserted: int
    present: int
    ownerless: int
    columns_gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Month:
    """A calendar month in UTC, the end exclusive."""

    start: datetime

    @property
    def end(self) -> datetime:
        return (self.start + 31 * _DAY).replace(day=1)

    @property
    def label(self) -> str:
        return f"{self.start:%Y-%m}"


# -- policies ---------------------------------------------------------------------------------------------------------


def policies(database: Database) -> list[Policy]:
    """All policies, by table."""
    rows = database.fetch(queries("retention")["policies"])
    return [_policy(*row) for row in rows]


def _policy(table: str, action: Action, days: int | None, restored: datetime | None, description: str) -> Policy:
    rule = RULES.get(table)
    least, reason = (rule.least_days, rule.reason) if rule else (0, "")
    return Policy(table, action, days, restored, description, least, reason)


def set_policy(database: Database, table: str, action: Action, days: int | None) -> None:
    """Sets what becomes of a table's old rows.

    Raises ConfigurationError for a table that has no policy, and for fewer days than the pipeline itself needs.
    """
    chosen = {policy.table: policy for policy in policies(database)}.get(table)
    if chosen is None or table not in RULES:
        raise ConfigurationError(_no_policy(table))
    if (days is None) != (action == "keep"):
        raise ConfigurationError("Say a number of days, or that the table is kept: one of the two.")
    if fault := _fault(table, days):
        raise ConfigurationError(fault)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(queries("retention")["set_policy"], {"table": table, "action": action, "days": days})


def _no_policy(table: str) -> str:
    if table in TABLES:
        return f"Table {table} is always kept; policies are for {', '.join(sorted(RULES))}."
    return f"There is no table {table}; policies are for {', '.join(sorted(RULES))}."


def _fault(table: str, days: int | None) -> str | None:
    """Why a policy of so many days cannot be meant; None: it can."""
    rule = RULES[table]
    if days is None or rule.least_days <= days <= MOST_KEPT_DAYS:
        return None
    if days > MOST_KEPT_DAYS:
        return f"Table {table} cannot be kept for {days} days, {MOST_KEPT_DAYS} at most; --keep keeps it. Nothing was changed."
    return f"Table {table} must be kept for {rule.least_days} days at least, not {days}: {rule.reason}. Nothing was changed."


# -- applying them ----------------------------------------------------------------------------------------------------


def apply_policies(
    database: Database, folder: ArchiveFolder, now: datetime, tables: Sequence[str] = (), *, is_trial: bool = False
) -> list[Outcome]:
    """Archives and drops what is older than the policies say, of the named tables or all; one outcome for each table.

    A failure in one table is its outcome and leaves the others alone. `is_trial`: says what would go, and changes nothing. Raises
    ConfigurationError for a table without a policy, RetentionBusyError, DatabaseUnavailableError.
    """
    with _alone(database):
        known = {policy.table: policy for policy in policies(database)}
        if unknown := [name for name in tables if name not in known]:
            raise ConfigurationError(_no_policy(unknown[0]))
        if not is_trial:
            folder.forget_partial()
        chosen = [known[name] for name in tables] or [one for one in known.values() if one.action != "keep"]
        return [_apply(database, folder, policy, now, is_trial=is_trial) for policy in chosen]


def _apply(database: Database, folder: ArchiveFolder, policy: Policy, now: datetime, *, is_trial: bool) -> Outcome:
    name = policy.table
    if policy.days is None:
        return Outcome(name, f"{name}: kept for ever.")
    if policy.restored_until is not None and policy.restored_until > now:
        return Outcome(name, f"{name}: left alone until {policy.restored_until:%Y-%m-%d}, a month of it was restored.")
    if name not in RULES or name not in TABLES:
        return Outcome(name, f"{name}: its policy was not applied. {_no_policy(name)}", is_failure=True)
    if fault := _fault(name, policy.days):
        return Outcome(name, f"{name}: its policy was not applied. {fault}", is_failure=True)
    table = TABLES[name]
    before = now - policy.days * _DAY
    work = _Work(database, folder, table, RULES[name], before, now)
    try:
        if is_trial:
            return Outcome(name, f"{name}: {work.due(policy.action)}")
        if name in PARTITIONED:
            work.partitions(is_archived=policy.action == "archive")
        elif policy.action == "archive":
            work.months()
        else:
            work.days()
    except (RetailSensorsError, psycopg2.Error) as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(error.__cause__, psycopg2.errors.InsufficientPrivilege):
            words = "only the table's owner may go on; let him run `retail-sensors retention run`."
        return Outcome(name, f"{name}: {work.done} Then: {words}", work.rows, tuple(work.archives), is_failure=True)
    return Outcome(name, f"{name}: {work.done}", work.rows, tuple(work.archives))


class _Work:
    """Applying one policy to its table, and what has been done so far."""

    def __init__(
        self, database: Database, folder: ArchiveFolder, table: Table, rule: Rule, before: datetime, now: datetime
    ) -> None:
        self._database, self._folder, self._table, self._rule = database, folder, table, rule
        self._before, self._now = before, now
        self._is_date = table.column(rule.column).kind is Kind.DATE
        self.rows = 0
        self.archives: list[str] = []

    @property
    def done(self) -> str:
        """What went, as a sentence."""
        limit = f"{self._before:%Y-%m-%d}"
        if not self.rows and not self.archives:
            return f"nothing is to go that is from before {limit}."
        rows = f"{self.rows:,} row{'' if self.rows == 1 else 's'} from before {limit}"
        return f"archived {rows} as {', '.join(self.archives)}." if self.archives else f"dropped {rows}."

    def due(self, action: Action) -> str:
        """What would go, as a sentence."""
        verb = "archived" if action == "archive" else "dropped"
        if self._table.name in PARTITIONED:
            found = [month.label for _, month in self._due_partitions()]
            return f"{', '.join(found)} would be {verb}." if found else "nothing would go."
        first = self._oldest()
        until = _month_start(self._before) if action == "archive" else self._before
        if first is None or first >= until:
            return "nothing would go."
        return f"rows from {first:%Y-%m-%d} to before {until:%Y-%m-%d} would be {verb}."

    # A partitioned table ----------------------------------------------------------------------------------------------

    def partitions(self, *, is_archived: bool) -> None:
        """Archives, where it is to be, and drops each month that has become too old."""
        for partition, month in self._due_partitions():
            archive, horizon = self._export_partition(partition, month) if is_archived else (None, None)
            rows = self._drop_partition(partition, month, horizon)
            self.rows += archive.rows if archive else rows
            self.archives += [archive.name] if archive else []

    def _due_partitions(self) -> list[tuple[str, _Month]]:
        rows = self._database.fetch(queries("retention")["partitions"], {"table": self._table.name})
        found = []
        for (partition,) in rows:
            named = _PARTITION.fullmatch(partition)
            if named is not None and named["table"] == self._table.name:
                month = _Month(datetime(int(named["year"]), int(named["month"]), 1, tzinfo=UTC))
                found += [(partition, month)] if month.end <= self._before else []
        return found

    def _export_partition(self, partition: str, month: _Month) -> tuple[Archive | None, int]:
        """Archives a month while everybody reads and writes; with the oldest transaction whose rows may be lacking."""
        with self._snapshot() as connection:
            with connection.cursor() as cursor:
                cursor.execute(queries("retention")["oldest_writer"])
                (horizon,) = cursor.fetchone() or (0,)
            source = sql.SQL("ONLY {}").format(sql.Identifier("retail", partition))
            return self._write(connection, source, sql.SQL("true"), month), int(horizon)

    def _drop_partition(self, partition: str, month: _Month, horizon: int | None) -> int:
        """Takes a month out of its table in one short transaction, unless it has been written to since its export.

        DETACH takes the whole table for itself, and DETACH CONCURRENTLY, which does not, cannot be taken back: a crash would leave
        a month that is neither in the table nor dropped. So the long part, the export, comes before and locks nothing.
        """
        name = sql.Identifier("retail", partition)
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            with self._database.transaction() as connection, connection.cursor() as cursor:
                try:
                    cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
                    # First the writers' lock, as every writer does; those who do not know it are kept out by the second.
                    lock_writers(connection, self._table)
                    cursor.execute(sql.SQL("LOCK TABLE ONLY {} IN SHARE MODE").format(name))
                    rows = 0
                    if horizon is None:
                        cursor.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(name))
                        (rows,) = cursor.fetchone() or (0,)
                    elif _is_written_since(connection, name, horizon):
                        raise ConfigurationError(
                            f"{month.label} was written to while it was archived and stays; the next run archives it anew."
                        )
                    cursor.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(qualified(self._table), name))
                    cursor.execute(sql.SQL("DROP TABLE {}").format(name))
                except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected):
                    connection.rollback()
                else:
                    return int(rows)
        raise ConfigurationError(
            f"{month.label} stays: the table was in use all the time ({_TRIES} tries); the next run tries again."
        )

    # Other tables -----------------------------------------------------------------------------------------------------

    def months(self) -> None:
        """Archives and deletes each calendar month that has become too old, one in a transaction."""
        while (first := self._oldest()) is not None:
            month = _Month(_month_start(first))
            if month.end > self._before:
                return
            with self._snapshot() as connection, connection.cursor() as cursor:
                chosen = self._old(month.start, month.end)
                archive = self._write(connection, qualified(self._table), chosen, month)
                # The same snapshot: a row that came in meanwhile is not seen, one that was altered ends the transaction.
                cursor.execute(sql.SQL("DELETE FROM {} WHERE {}").format(qualified(self._table), chosen))
                if archive is None or cursor.rowcount != archive.rows:
                    raise ConfigurationError(
                        f"{month.label} stays: {0 if archive is None else archive.rows:,} rows were archived, and {cursor.rowcount:,} "
                        "would be deleted; try again."
                    )
            self.rows += archive.rows
            self.archives.append(archive.name)

    def days(self) -> None:
        """Deletes what has become too old, a day in a transaction: millions of rows at once would hold up whoever reads."""
        first = self._oldest()
        while first is not None and first < self._before:
            end = min(first + _DAY, self._before)
            with self._database.transaction() as connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL("DELETE FROM {} WHERE {}").format(qualified(self._table), self._old(first, end)))
                self.rows += cursor.rowcount
            first = end

    def _oldest(self) -> datetime | None:
        """Midnight before the oldest row that may go; None: there is none."""
        column = sql.Identifier(self._rule.column)
        statement = sql.SQL("SELECT min({}) FROM {} WHERE {} AND {} < {}").format(
            column, qualified(self._table), self._condition, column, self._bound(self._before)
        )
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            (oldest,) = cursor.fetchone() or (None,)
        return None if oldest is None else datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC)

    def _old(self, start: datetime, end: datetime) -> sql.Composed:
        column = sql.Identifier(self._rule.column)
        return sql.SQL("{} >= {} AND {} < {} AND {}").format(
            column, self._bound(start), column, self._bound(end), self._condition
        )

    @property
    def _condition(self) -> sql.Composed:
        return sql.SQL(self._rule.condition).format(before=sql.Literal(self._before))

    def _bound(self, at: datetime) -> sql.Literal:
        # A date stands against a date: against an instant the session's zone would decide.
        return sql.Literal(at.date() if self._is_date else at)

    # Both -------------------------------------------------------------------------------------------------------------

    def _write(
        self, connection: PgConnection, source: sql.Composable, chosen: sql.Composable, month: _Month
    ) -> Archive | None:
        with connection.cursor() as cursor:
            cursor.execute(queries("retention")["stored_columns"], {"table": self._table.name})
            columns = [name for (name,) in cursor.fetchall()]
            cursor.execute(queries("retention")["revision"])
            (revision,) = cursor.fetchone() or ("",)
        query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
            identifiers(columns), source, chosen, identifiers(self._table.key)
        )
        span: tuple[date, date] = (month.start.date(), month.end.date())
        return self._folder.write(connection, query, columns, self._table.name, span, revision=revision, now=self._now)

    @contextmanager
    def _snapshot(self) -> Iterator[PgConnection]:
        """A transaction that sees the rows as of its beginning to its end."""
        with self._database.transaction() as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield connection


def _is_written_since(connection: PgConnection, name: sql.Identifier, horizon: int) -> bool:
    """Whether a row of the table may come from the transaction `horizon` or a later one.

    A row knows the lower 32 bits of its transaction: those in the stretch from the horizon to now are taken for new, be they of an
    earlier turn of the counter or not.
    """
    statement = sql.SQL(
        "SELECT EXISTS (SELECT FROM ONLY {0} WHERE mod(xmin::text::bigint - mod({1}, {2}) + {2}, {2})"
        " < pg_snapshot_xmax(pg_current_snapshot())::text::bigint - {1})"
    ).format(name, sql.Literal(horizon), sql.Literal(2**32))
    with connection.cursor() as cursor:
        cursor.execute(statement)
        (is_written,) = cursor.fetchone() or (True,)
    return bool(is_written)


def _month_start(at: datetime) -> datetime:
    return datetime(at.year, at.month, 1, tzinfo=UTC)


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Nobody else applies policies or restores meanwhile; raises RetentionBusyError when somebody does."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(queries("retention")["try_lock"])
        (is_ours,) = cursor.fetchone() or (False,)
        if not is_ours:
            raise RetentionBusyError(
                "Another process applies the retention policies or restores an archive; try again when it has ended."
            )
        # The lock is the session's: no transaction stays open over the minutes that this takes.
        connection.commit()
        try:
            yield
        finally:
            if not connection.closed:
                cursor.execute(queries("retention")["unlock"])


# -- bringing a month back ----------------------------------------------------------------------------------------------


def require_raw_rows(database: Database, start: datetime, end: datetime) -> None:
    """Raises ConfigurationError where figures of the window's hours would be computed from counts that are archived, and so lost."""
    gone = [
        month
        for (month,) in database.fetch(queries("retention")["months_without_raw_rows"], {"start": start, "end": end})
    ]
    if gone:
        raise ConfigurationError(
            f"The counts of {', '.join(gone)} are archived, and the figures made of them would be lost; restore the raw tables and "
            f"collection_log first, as in `retail-sensors retention restore --table people_counting_raw --month {gone[0]}`."
        )


def restore(
    database: Database, folder: ArchiveFolder, archives: Sequence[Archive], now: datetime, days: int = RESTORED_DAYS
) -> list[Restored]:
    """Loads archives back, in the order given: a row that is there stays as it is. For `days` nothing of their tables goes again.

    All files are read to their ends first. Raises ConfigurationError for a damaged file, one of a newer revision, a table that is
    gone, and rows that the database refuses; RetentionBusyError, DatabaseUnavailableError.
    """
    with _alone(database):
        for archive in archives:
            if archive.table not in RULES or archive.table not in TABLES:
                raise ConfigurationError(f"The archive {archive.name} is of {archive.table}, which is no table here.")
            if archive.revision not in migrations.known():
                raise ConfigurationError(
                    f"The archive {archive.name} is of revision {archive.revision}, which this version does not know (its newest is "
                    f"{migrations.head()}); restore it with the version that has made it, or a newer one."
                )
            folder.verify(archive)
        return [_restore(database, folder, archive, now + days * _DAY) for archive in archives]


def _restore(database: Database, folder: ArchiveFolder, archive: Archive, until: datetime) -> Restored:
    table = TABLES[archive.table]
    restored = sql.Identifier("pg_temp", "restored")
    with database.transaction() as connection, connection.cursor() as cursor:
        lock_writers(connection, table)
        if table.name in PARTITIONED:
            cursor.execute(
                "SELECT retail.ensure_month_partitions(%s, %s::timestamptz, %s::timestamptz)",
                (table.name, archive.start, archive.until),
            )
        cursor.execute(queries("retention")["stored_columns"], {"table": table.name})
        kept = [name for (name,) in cursor.fetchall() if name in archive.columns]
        _make_restored(connection, table, archive)
        folder.load(connection, archive, restored)
        cursor.execute(queries("retention")["owners"], {"table": table.name})
        owned = sql.SQL(" AND ").join(
            sql.SQL("(r.{0} IS NULL OR EXISTS (SELECT FROM {1} AS o WHERE o.id = r.{0}))").format(
                sql.Identifier(column), sql.Identifier("retail", owner)
            )
            for column, owner in cursor.fetchall()
        )
        condition = owned if owned.seq else sql.SQL("true")
        cursor.execute(sql.SQL("SELECT count(*) FROM {} AS r WHERE NOT ({})").format(restored, condition))
        (ownerless,) = cursor.fetchone() or (0,)
        try:
            cursor.execute(
                sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} AS r WHERE {} ON CONFLICT DO NOTHING").format(
                    qualified(table), identifiers(kept), identifiers(kept), restored, condition
                )
            )
        except (psycopg2.IntegrityError, psycopg2.DataError) as error:
            raise ConfigurationError(
                f"The archive {archive.name} holds rows that the database refuses today ({error.diag.message_primary}); "
                "nothing of it was restored."
            ) from error
        inserted = cursor.rowcount
        cursor.execute(sql.SQL("DROP TABLE {}").format(restored))
        cursor.execute(queries("retention")["pin"], {"table": table.name, "until": until})
    gone = tuple(name for name in archive.columns if name not in kept)
    return Restored(archive, inserted, archive.rows - inserted - ownerless, ownerless, gone)


def _make_restored(connection: PgConnection, table: Table, archive: Archive) -> None:
    """A temporary table of the archive's columns: of today's types, and text for a column that is gone."""
    known = {column.name: column.kind.postgres for column in table.columns}
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(known.get(name, "text"))) for name in archive.columns
    )
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE TEMPORARY TABLE restored ({}) ON COMMIT DROP").format(columns))
