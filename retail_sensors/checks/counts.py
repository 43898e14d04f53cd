"""Checks of what cameras said and of the figures made of it, by the hour and by the day. What is wrong belongs in `analytics.checks`.

Figures that are made one after the other share a step. What cameras are asked for does not: the step of an endpoint that no camera
answered fails, and would keep those of the others from being judged.
"""

from retail_sensors.analytics import checks
from retail_sensors.analytics.alert_observations import MEASURED
from retail_sensors.analytics.checks import Verdict
from retail_sensors.checks.step import DAY, Check, Run, step
from retail_sensors.connectors.base import Endpoint
from retail_sensors.storage.frames import empty_frame
from retail_sensors.tables import (
    DAILY_ANALYTICS,
    HEATMAP_TEMPORAL_RAW,
    HOURLY_ANALYTICS,
    KPI_METRICS,
    PEOPLE_COUNTING_RAW,
    REGIONAL_COUNTING_RAW,
    STORE_DAILY,
    STORE_HOURLY,
    VCA_ALARM_STATUS,
    Table,
)
from retail_sensors.tables.missing import IMPUTED_HOURS
from retail_sensors.tables.queues import QUEUE_ANALYTICS, QUEUE_PERFORMANCE_DAILY
from retail_sensors.tables.regions import (
    CAMERA_FLOW_MATRIX,
    HEATMAP_SPATIAL_RAW,
    PATHWAY_ANALYTICS,
    REGION_STAYS,
    REGIONAL_ANALYTICS,
)


def newest(run: Run, query: str) -> Verdict:
    """What is said of the age of counts; `query` knows each store's newest counted hour."""
    return checks.fresh_hours(run.ask(query, counted=sorted(MEASURED)), run.roster, run.now)


# Cameras --------------------------------------------------------------------------------------------------------------


def _complete(table: Table, endpoint: Endpoint) -> Check:
    return Check(
        table,
        "complete",
        "Every active camera that has the endpoint gave every hour that it was asked for, and each that was registered and installed "
        "before these hours was asked. Error: not one camera did. A step that fails because every camera failed says so itself, and "
        "its checks do not run.",
        lambda run: checks.completeness(
            run.ask("asked_hours", endpoint=endpoint.value), has_past=endpoint is not Endpoint.ALARM_STATUS
        ),
    )


def _complete_days(table: Table, endpoint: Endpoint) -> Check:
    return Check(
        table,
        "complete",
        "Every camera gave every local day of the run's dates that it was asked about. Error: not one camera did.",
        lambda run: checks.completeness(run.ask("asked_days", run.dates, endpoint=endpoint.value), unit="day"),
    )


_NOT_LOWERED = Check(
    PEOPLE_COUNTING_RAW,
    "not_lowered",
    "No camera gave lower counts for an hour of the run than it had given before. Such readings are set aside in raw_revisions: a "
    "camera that was reset answers zeros for hours that it once counted. They fail the check for as long as their hours are in a run.",
    lambda run: checks.lowered(run.ask("lowered_hours", table=PEOPLE_COUNTING_RAW.name), run.context.run.run_id),
)
_PLAUSIBLE = Check(
    PEOPLE_COUNTING_RAW,
    "plausible",
    f"No hour has over {checks.SPIKE_FACTOR} times the people that the camera usually counts in that hour of the week, and on no "
    "ended day everybody went in or everybody out at a door that has counted both.",
    lambda run: checks.plausibility(run.ask("counts_beside_usual")),
)

# Hours ----------------------------------------------------------------------------------------------------------------


def _sums(run: Run, table: Table, whole: str, parts: str) -> Verdict:
    window = run.window if table in (HOURLY_ANALYTICS, STORE_HOURLY) else run.dates
    return checks.sums(run.ask("figures_beside_parts", window, of=table.name), whole, parts)


_ESTIMATES_CAN_BE = Check(
    IMPUTED_HOURS,
    "plausible",
    f"No estimate is of over {checks.RECORD_FACTOR:g} times the people that the camera counted in any hour of half a year.",
    lambda run: checks.estimates_within(run.ask("estimates_beside_counts")),
)
_READINGS_ARE_IN = Check(
    HOURLY_ANALYTICS,
    "adds_up",
    "Each final reading of the run's hours has its figures: entries, exits and passers-by are those of its lines by their roles.",
    lambda run: _sums(run, HOURLY_ANALYTICS, "camera's hour", "lines"),
)
_WAITS_CAN_BE = Check(
    QUEUE_ANALYTICS,
    "plausible",
    f"Nobody waits over {checks.LONGEST_WAIT:.0f} minutes at the tills, and no more people wait than the store holds; else its lanes "
    "or their service rate are wrong.",
    lambda run: checks.waits(run.ask("waits")),
)
_HOURS_ADD_UP = Check(
    STORE_HOURLY,
    "adds_up",
    "Entries, exits and passers-by of a store's hour are the sums of its cameras' hours.",
    lambda run: _sums(run, STORE_HOURLY, "store", "cameras"),
)
_MEASURED = Check(
    STORE_HOURLY,
    "mostly_measured",
    f"At most {checks.MUCH_ESTIMATED:.0%} of each store's people in the run's hours are estimates. Error: over "
    f"{checks.MOSTLY_ESTIMATED:.0%}.",
    lambda run: checks.estimated(run.ask("shares_of_stores")),
)
_COUNTS_ARE_FRESH = Check(
    STORE_HOURLY,
    "fresh",
    f"Each store with an active camera counted within its last {checks.LATE_MINUTES} opening minutes before now, whatever hours the "
    f"run was about. Error: {checks.DEAD_MINUTES} minutes.",
    lambda run: newest(run, "newest_hours_of_stores"),
)

# Days -----------------------------------------------------------------------------------------------------------------

_DAYS_OF_CAMERAS_ADD_UP = Check(
    DAILY_ANALYTICS,
    "adds_up",
    "Entries, exits and passers-by of a camera's day are the sums of the hours of that local day.",
    lambda run: _sums(run, DAILY_ANALYTICS, "camera's day", "hours"),
)
_DAYS_ADD_UP = Check(
    STORE_DAILY,
    "adds_up",
    "Entries, exits and passers-by of a store's day are the sums of its cameras' days.",
    lambda run: _sums(run, STORE_DAILY, "store", "cameras"),
)


def _doors(run: Run) -> Verdict:
    first = run.dates.end - checks.LASTING_DAYS * DAY
    days = run.database.read(STORE_DAILY, first, run.dates.end, ["store_id", "date", "in_out_residual"])
    columns = ["sensor_id", "date", "total_entries", "total_exits"]
    doors = empty_frame(DAILY_ANALYTICS)[columns]
    # Most days agree, and the doors' five weeks are not read.
    if (days["in_out_residual"].abs() > checks.MEASURED_RESIDUAL).any():
        doors = run.database.read(DAILY_ANALYTICS, first - checks.USUAL_DAYS * DAY, run.dates.end, columns)
    return checks.drift(days, doors, run.roster, run.last_date)


_DOORS_AGREE = Check(
    STORE_DAILY,
    "doors_agree",
    f"Entries and exits of no store differ by over {checks.MEASURED_RESIDUAL:.0%} the same way on {checks.LASTING_LEAST} of the last "
    f"{checks.LASTING_DAYS} days up to the run's last one; else the door that has moved most is named. Error: over "
    f"{checks.USABLE_RESIDUAL:.0%}, where occupancy is unknown.",
    _doors,
)
_DAYS_ARE_FRESH = Check(
    STORE_DAILY,
    "fresh",
    "Each store with an active camera has its last ended local day, with a measured hour, two hours after that day's end, whatever "
    f"days the run was about. Error: {checks.DEAD_DAYS} days late.",
    lambda run: checks.fresh_days(run.ask("newest_days_of_stores"), run.now),
)
_REGIONS_ADD_UP = Check(
    REGIONAL_ANALYTICS,
    "adds_up",
    "The detections of a region's day are the sum of those of its hours.",
    lambda run: _sums(run, REGIONAL_ANALYTICS, "region's day", "hours"),
)


def _fits(table: Table) -> Check:
    return Check(
        table,
        "fits",
        f"The fit of no flow leaves over {checks.LOOSE:.0%} of the entries unexplained: such a flow says little.",
        lambda run: checks.fits(run.ask("residuals", run.dates, of=table.name)),
    )


_TILLS_ARE_KNOWN = Check(
    QUEUE_PERFORMANCE_DAILY,
    "complete",
    f"The tills of a store that has known them within two weeks are known in {checks.KNOWN_TILLS:.0%} of its open hours on each day "
    f"that was counted and had over {checks.SHUT:.0%} of the usual entries: a feed that lacks hours is to be loaded again.",
    lambda run: checks.tills(run.ask("tills_of_days", run.dates)),
)
_KEY_FIGURES_AGREE = Check(
    KPI_METRICS,
    "adds_up",
    "Each key figure that is a column of the store's day is there, and the same.",
    lambda run: checks.sums(run.ask("key_figures_beside_days", run.dates), "key figure", "day"),
)

COUNT_CHECKS = (
    step(
        "people_counting_raw_checks",
        "What a run says of the people counts that it has asked for.",
        _complete(PEOPLE_COUNTING_RAW, Endpoint.PEOPLE_COUNTING),
        _NOT_LOWERED,
        _PLAUSIBLE,
    ),
    *(
        step(
            f"{table.name}_checks",
            "What a run says of the hours that it has asked for.",
            _complete(table, endpoint),
        )
        for table, endpoint in (
            (REGIONAL_COUNTING_RAW, Endpoint.REGIONAL_COUNTING),
            (HEATMAP_TEMPORAL_RAW, Endpoint.HEATMAP_TEMPORAL),
            (VCA_ALARM_STATUS, Endpoint.ALARM_STATUS),
        )
    ),
    *(
        step(
            f"{table.name}_checks",
            "What a run says of the days that it has asked about.",
            _complete_days(table, endpoint),
        )
        for table, endpoint in (
            (REGION_STAYS, Endpoint.REGION_STAYS),
            (HEATMAP_SPATIAL_RAW, Endpoint.SPATIAL_HEATMAP),
        )
    ),
    step(
        "hourly_figures_checks",
        "What a run says of the hours that it has computed.",
        _ESTIMATES_CAN_BE,
        _READINGS_ARE_IN,
        _WAITS_CAN_BE,
        _HOURS_ADD_UP,
        _MEASURED,
        _COUNTS_ARE_FRESH,
    ),
    step(
        "daily_figures_checks",
        "What a run says of the days that it has computed.",
        _DAYS_OF_CAMERAS_ADD_UP,
        _DAYS_ADD_UP,
        _DOORS_AGREE,
        _DAYS_ARE_FRESH,
        _REGIONS_ADD_UP,
        _fits(PATHWAY_ANALYTICS),
        _fits(CAMERA_FLOW_MATRIX),
        _TILLS_ARE_KNOWN,
        _KEY_FIGURES_AGREE,
    ),
)
"""Checks of counts and of figures made of them."""
