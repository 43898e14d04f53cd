"""How checks are run: what is at hand in a run, and the steps that they share. What is checked belongs in the modules beside this.

Checks that are ready at the same time share a step, whatever assets they are about: Dagster takes longer for a step than the
database for a question. A run that makes some of the assets runs their checks alone. A check has no partitions of its own: its
newest evaluation is its state. Where the daemon starts a run of several partitions, Dagster still plans the check for each of them
and lists those plans as skipped beside the one evaluation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

import dagster as dg
import pandas as pd

from retail_sensors.analytics.checks import Verdict
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.metadata import markdown_table
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import Table

DAY = timedelta(days=1)
_ALONE = DAY
"""What a check looks at that runs without partitions: so long until now."""
_ROWS_SHOWN = 20


class Run:
    """What the checks of one step have at hand."""

    def __init__(
        self, context: dg.AssetCheckExecutionContext, database: DatabaseResource, clock: ClockResource
    ) -> None:
        self.context, self.database, self.now = context, database, clock.now()

    @cached_property
    def window(self) -> TimeWindow:
        """The run's partitions, one or a range."""
        if self.context.has_partition_key or self.context.has_partition_key_range:
            window = self.context.partition_time_window
            return TimeWindow(window.start.astimezone(UTC), window.end.astimezone(UTC))
        return TimeWindow(self.now - _ALONE, self.now)

    @property
    def dates(self) -> TimeWindow:
        """The run's dates as instants in UTC, half-open: without partitions the newest ones."""
        start, end = (datetime.combine(at.date(), time(), UTC) for at in (self.window.start, self.window.end))
        return TimeWindow(start, max(end, start + DAY))

    @property
    def last_date(self) -> date:
        """The last of them."""
        return (self.dates.end - DAY).date()

    @property
    def roster(self) -> Roster:
        """Stores and cameras."""
        return self.database.roster()

    def ask(self, query: str, window: TimeWindow | None = None, **parameters: object) -> pd.DataFrame:
        """Rows of a statement of `sql/queries/checks.sql` about the run's window, or another, as of now."""
        about = window or self.window
        known = {"start": about.start, "end": about.end, "now": self.now}
        with self.database.database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(queries("checks")[query], {**known, **parameters})
            return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one asset: its table and name, what it says, and how it is judged."""

    table: Table
    name: str
    description: str
    judge: Callable[[Run], Verdict]

    @property
    def spec(self) -> dg.AssetCheckSpec:
        """What Dagster knows of it before it runs."""
        return dg.AssetCheckSpec(self.name, asset=self.table.name, description=self.description)


def step(name: str, description: str, *listed: Check) -> dg.AssetChecksDefinition:
    """The checks as one step, which comes when all of their assets that the run makes are there."""

    specs = [one.spec for one in listed]

    @dg.multi_asset_check(name=name, description=description, specs=specs, can_subset=True)
    def judged(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource, clock: ClockResource
    ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
        run = Run(context, database, clock)
        for spec, one in zip(specs, listed, strict=True):
            if spec.key in context.selected_asset_check_keys:
                evaluation = _evaluation(spec, one.judge(run))
                yield dg.Output(None, output_name=spec.get_python_identifier())
                yield evaluation

    return judged


def _evaluation(spec: dg.AssetCheckSpec, verdict: Verdict) -> dg.AssetCheckEvaluation:
    shown = {"rows": markdown_table(verdict.rows, limit=_ROWS_SHOWN)} if len(verdict.rows) else {}
    # For an AssetCheckResult Dagster first reads the asset's newest materialization with all of its charts, and lists every hour since
    # 2023, to name what was checked: up to 0.2 s for each asset. The run that the evaluation belongs to says the same.
    return dg.AssetCheckEvaluation(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.is_severe else dg.AssetCheckSeverity.WARN,
        description=verdict.told,
        metadata={**verdict.numbers, **shown},
    )
