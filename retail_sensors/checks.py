"""Asset checks: what a run says of the data that it has just written. What is wrong belongs in `analytics.checks`.

A check stops nothing and costs one query of the run's window, whose rows it judges; the checks of one asset share a step. Of a
range of partitions there is one evaluation. Executed alone, without partitions, a check looks at the newest ones. What breaks a
table's contract never gets so far: the IO manager refuses it.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import dagster as dg
import pandas as pd

from retail_sensors.analytics import checks
from retail_sensors.analytics.alert_observations import MEASURED
from retail_sensors.analytics.checks import Verdict
from retail_sensors.assets.metadata import markdown_table
from retail_sensors.connectors.base import Endpoint, TimeWindow
from retail_sensors.partitions import DAILY, HOURLY, day_key
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import (
    DAILY_ANALYTICS,
    HEATMAP_TEMPORAL_RAW,
    PEOPLE_COUNTING_RAW,
    REGIONAL_COUNTING_RAW,
    STORE_DAILY,
    STORE_HOURLY,
    VCA_ALARM_STATUS,
    Table,
)
from retail_sensors.tables.anomalies import ANOMALIES_DETECTED
from retail_sensors.tables.predictions import PREDICTIONS

# Checks name their partitions although Dagster calls that a preview: without them it lists every hour since 2023 for each step to
# find the one that a check is about, which costs a fifth of a second of CPU.
warnings.filterwarnings("ignore", message="Specifying a partitions_def", category=dg.PreviewWarning)

_DAY = timedelta(days=1)
_ALONE = _DAY
"""What a check looks at that runs without partitions: so long until now."""
_ROWS_SHOWN = 20


class _Run:
    """What the checks of one asset in one run have at hand."""

    def __init__(
        self, context: dg.AssetCheckExecutionContext, database: DatabaseResource, clock: ClockResource
    ) -> None:
        self.context, self.database, self.now = context, database, clock.now()
        self.window = self._window()

    def _window(self) -> TimeWindow:
        if self.context.has_partition_key or self.context.has_partition_key_range:
            window = self.context.partition_time_window
            return TimeWindow(window.start.astimezone(UTC), window.end.astimezone(UTC))
        return TimeWindow(self.now - _ALONE, self.now)

    @property
    def dates(self) -> TimeWindow:
        """The run's dates as instants in UTC, half-open: without partitions the newest ones."""
        start, end = (datetime.combine(at.date(), time(), UTC) for at in (self.window.start, self.window.end))
        return TimeWindow(start, max(end, start + _DAY))

    def ask(self, query: str, **parameters: object) -> pd.DataFrame:
        """Rows of a statement of `sql/queries/checks.sql` about the window."""
        window = {"start": self.window.start, "end": self.window.end}
        with self.database.database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(queries("checks")[query], {**window, **parameters})
            return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])

    def asked(self, endpoint: Endpoint) -> Verdict:
        """What is said of the answers of all cameras that have the endpoint."""
        hours = self.ask("asked_hours", endpoint=endpoint.value)
        return checks.completeness(hours, has_past=endpoint is not Endpoint.ALARM_STATUS)

    def newest(self, query: str) -> Verdict:
        """What is said of the age of counts; `query` knows each store's newest counted hour."""
        newest = self.ask(query, now=self.now, counted=sorted(MEASURED))
        return checks.fresh_hours(newest, self.database.roster(), self.now)


@dataclass(frozen=True, slots=True)
class _Check:
    """One check of one asset: its name, what it says, and how it is judged."""

    name: str
    description: str
    judge: Callable[[_Run], Verdict]


def _complete(endpoint: Endpoint) -> _Check:
    return _Check(
        "complete",
        "Every active camera that has the endpoint gave every hour that it was asked for. Error: not one camera did. A step "
        "that fails because every camera failed says so itself, and its checks do not run.",
        lambda run: run.asked(endpoint),
    )


_NOT_LOWERED = _Check(
    "not_lowered",
    "No camera gave lower counts for an hour of the run than it had given before. Such readings are set aside in raw_revisions: a "
    "camera that was reset answers zeros for hours that it once counted. They fail the check for as long as their hours are in a run.",
    lambda run: checks.lowered(run.ask("lowered_hours", table=PEOPLE_COUNTING_RAW.name), run.context.run.run_id),
)
_PLAUSIBLE = _Check(
    "plausible",
    f"No hour has over {checks.SPIKE_FACTOR} times the people that the camera usually counts in that hour of the week, and on no "
    "ended day everybody went in or everybody out at a door that has counted both.",
    lambda run: checks.plausibility(run.ask("counts_beside_usual")),
)
_HOURS_ADD_UP = _Check(
    "adds_up",
    "Entries, exits and passers-by of a store's hour are the sums of its cameras' hours.",
    lambda run: checks.sums(run.ask("hours_beside_cameras")),
)
_MEASURED = _Check(
    "mostly_measured",
    f"At most {checks.MUCH_ESTIMATED:.0%} of each store's people in the run's hours are estimates. Error: over "
    f"{checks.MOSTLY_ESTIMATED:.0%}.",
    lambda run: checks.estimated(run.ask("shares_of_stores")),
)
_COUNTS_ARE_FRESH = _Check(
    "fresh",
    f"Each store with an active camera counted within its last {checks.LATE_MINUTES} opening minutes before now, whatever hours the "
    f"run was about. Error: {checks.DEAD_MINUTES} minutes.",
    lambda run: run.newest("newest_hours_of_stores"),
)
_DAYS_ADD_UP = _Check(
    "adds_up",
    "Entries, exits and passers-by of a store's day are the sums of its cameras' days.",
    lambda run: checks.sums(
        run.ask("days_beside_cameras", start=run.dates.start.date(), end=run.dates.end.date()),
    ),
)


def _doors(run: _Run) -> Verdict:
    last = run.dates.end - _DAY
    first = run.dates.end - checks.LASTING_DAYS * _DAY
    days = run.database.read(STORE_DAILY, first, run.dates.end, ["store_id", "date", "in_out_residual"])
    columns = ["sensor_id", "date", "total_entries", "total_exits"]
    doors = run.database.read(DAILY_ANALYTICS, first - checks.USUAL_DAYS * _DAY, run.dates.end, columns)
    return checks.drift(days, doors, run.database.roster(), last.date())


_DOORS_AGREE = _Check(
    "doors_agree",
    f"Entries and exits of no store differ by over {checks.MEASURED_RESIDUAL:.0%} the same way on {checks.LASTING_LEAST} of the last "
    f"{checks.LASTING_DAYS} days up to the run's last one; else the door that has moved most is named. Error: over "
    f"{checks.USABLE_RESIDUAL:.0%}, where occupancy is unknown.",
    _doors,
)
_DAYS_ARE_FRESH = _Check(
    "fresh",
    "Each store with an active camera has its last ended local day, with a measured hour, two hours after that day's end, whatever "
    f"days the run was about. Error: {checks.DEAD_DAYS} days late.",
    lambda run: checks.fresh_days(run.ask("newest_days_of_stores"), run.now),
)
_FORECASTS_ARE_FRESH = _Check(
    "fresh",
    f"Each active camera with forecasts has one made in the {checks.LATE_FORECAST // timedelta(hours=1)} hours before now, whatever "
    "origins the run was about. Error: no camera has one of the last day.",
    lambda run: checks.fresh_forecasts(run.ask("newest_origins", now=run.now), run.now),
)


def _search(run: _Run) -> Verdict:
    running = [day_key((run.now - _DAY).date()), day_key(run.now.date())]
    searched = run.context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(ANOMALIES_DETECTED.name), asset_partitions=running), limit=1
    ).records
    looked_at = datetime.fromtimestamp(searched[0].timestamp, UTC) if searched else None
    return checks.fresh_search(run.newest("newest_hours_of_cameras"), looked_at, run.now)


_SEARCHED_NOW = _Check(
    "fresh",
    f"Today or yesterday was searched within {checks.LATE_SEARCH // timedelta(hours=1)} hours before now, whatever dates the run was "
    "about, and the cameras' counts are as fresh as those of store_hourly must be.",
    _search,
)


def _checks_of(table: Table, partitions: dg.PartitionsDefinition[str], *listed: _Check) -> dg.AssetChecksDefinition:
    """The checks of one asset as one step."""

    @dg.multi_asset_check(
        name=f"{table.name}_checks",
        description=f"What a run says of the rows of {table.name} that it has written.",
        specs=[
            dg.AssetCheckSpec(one.name, asset=table.name, description=one.description, partitions_def=partitions)
            for one in listed
        ],
    )
    def judged(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource, clock: ClockResource
    ) -> Iterator[dg.AssetCheckResult]:
        run = _Run(context, database, clock)
        for one in listed:
            yield _result(table, one, one.judge(run))

    return judged


def _result(table: Table, one: _Check, verdict: Verdict) -> dg.AssetCheckResult:
    shown = {"rows": markdown_table(verdict.rows, limit=_ROWS_SHOWN)} if len(verdict.rows) else {}
    return dg.AssetCheckResult(
        asset_key=table.name,
        check_name=one.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.is_severe else dg.AssetCheckSeverity.WARN,
        description=verdict.told,
        metadata={**verdict.numbers, **shown},
    )


ASSET_CHECKS = (
    _checks_of(PEOPLE_COUNTING_RAW, HOURLY, _complete(Endpoint.PEOPLE_COUNTING), _NOT_LOWERED, _PLAUSIBLE),
    _checks_of(REGIONAL_COUNTING_RAW, HOURLY, _complete(Endpoint.REGIONAL_COUNTING)),
    _checks_of(HEATMAP_TEMPORAL_RAW, HOURLY, _complete(Endpoint.HEATMAP_TEMPORAL)),
    _checks_of(VCA_ALARM_STATUS, HOURLY, _complete(Endpoint.ALARM_STATUS)),
    _checks_of(STORE_HOURLY, HOURLY, _HOURS_ADD_UP, _MEASURED, _COUNTS_ARE_FRESH),
    _checks_of(STORE_DAILY, DAILY, _DAYS_ADD_UP, _DOORS_AGREE, _DAYS_ARE_FRESH),
    _checks_of(PREDICTIONS, HOURLY, _FORECASTS_ARE_FRESH),
    _checks_of(ANOMALIES_DETECTED, DAILY, _SEARCHED_NOW),
)
"""One step an asset: Dagster takes longer for a step than the database for the question."""
