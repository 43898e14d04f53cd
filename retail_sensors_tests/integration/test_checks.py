"""Checks in real runs: in the run of their asset, over its window, and about today whatever the window is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.checks import ASSET_CHECKS
from retail_sensors.checks.ahead import AHEAD_CHECKS
from retail_sensors.checks.counts import COUNT_CHECKS
from retail_sensors.definitions import build_defs
from retail_sensors.partitions import day_key, hour_key, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors.simulator.switches import Fault, FaultKind
from retail_sensors.storage.database import Database
from retail_sensors.tables import HOURLY_ANALYTICS, PEOPLE_COUNTING_RAW
from retail_sensors_tests.installations import RecordedInMemory, Site, small_fleet
from retail_sensors_tests.integration.stored import hour, reading, register, store

START = datetime(2025, 6, 23, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


class At(ClockResource):
    """A clock that stands."""

    instant: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.instant)


Said = dict[tuple[str, str], dg.AssetCheckEvaluation]


def run(site: Site, job: str, *keys: str, now: datetime | None = None, **choice: Any) -> Said:
    """What the checks of one run of a job said, by asset and check; of one partition, a range or none."""
    with site.entered(RecordedInMemory) as installation:
        defs = build_defs(clock=At(instant=now.isoformat())) if now else build_defs()
        result = defs.resolve_job_def(job).execute_in_process(
            instance=installation.dagster_instance(),
            tags=range_tags(*keys) if len(keys) == 2 else None,
            partition_key=keys[0] if len(keys) == 1 else None,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
            **choice,
        )
    return of(result.get_asset_check_evaluations())


def alone(site: Site, now: datetime, checks: Sequence[dg.AssetChecksDefinition] = ASSET_CHECKS) -> Said:
    """What checks say that are run by themselves, without partitions, at an instant."""
    job = dg.define_asset_job("checks_alone", selection=dg.AssetSelection.checks(*checks))
    defs = dg.Definitions.merge(build_defs(clock=At(instant=now.isoformat())), dg.Definitions(jobs=[job]))
    with site.entered(RecordedInMemory) as installation:
        result = defs.resolve_job_def("checks_alone").execute_in_process(instance=installation.dagster_instance())
    return of(result.get_asset_check_evaluations())


def of(evaluations: Any) -> Said:
    """Evaluations by asset and check, of which there is one each."""
    found = {(one.asset_key.to_user_string(), one.check_name): one for one in evaluations}
    assert len(found) == len(list(evaluations))
    return found


def hours(first: datetime, count: int) -> tuple[str, str]:
    return hour_key(first), hour_key(first + (count - 1) * HOUR)


@pytest.fixture
def fleet() -> Any:
    with running(small_fleet()) as fleet:
        yield fleet


@pytest.fixture
def site(database_url: str, tmp_path: Path, fleet: SimulatedFleet) -> Site:
    site = Site(database_url, tmp_path / "home")
    site.register(fleet)
    return site


def test_a_run_says_which_camera_is_silent_since_when(site: Site, fleet: SimulatedFleet) -> None:
    said = run(site, "collect_hours", *hours(START, 12))
    raw = ("people_counting_raw", "regional_counting_raw", "heatmap_temporal_raw")
    for asset in raw:
        assert said[asset, "complete"].passed
        assert said[asset, "complete"].partition is None
    assert said["people_counting_raw", "not_lowered"].passed
    assert said["people_counting_raw", "complete"].description == "3 of 3 cameras complete"
    assert said["people_counting_raw", "plausible"].passed
    assert "nothing to ask" in (said["vca_alarm_status", "complete"].description or "")
    assert said["store_hourly", "adds_up"].passed
    assert said["store_hourly", "adds_up"].metadata["rows compared"].value == 24
    assert said["store_hourly", "mostly_measured"].passed
    # The run was about last June.
    assert not said["store_hourly", "fresh"].passed
    assert said["store_hourly", "fresh"].severity is ERROR

    fleet.set_faults("mumbai-west", [Fault(FaultKind.REFUSED)])
    said = run(site, "collect_hours", *hours(START + 8 * HOUR, 6))
    # The last hour that is in starts at 11:30 UTC, that is 17:00 in Mumbai; the windows overlap by four hours.
    complete = said["people_counting_raw", "complete"]
    assert (complete.passed, complete.severity) == (False, WARN)
    assert complete.description == "2 of 3 cameras complete; mumbai-west refused since 2025-06-23 18:00"
    assert complete.metadata["hours missing"].value == 2
    assert "mumbai-west" in str(complete.metadata["rows"].value)
    assert said["store_hourly", "adds_up"].passed

    # every camera silent: the step fails and says so itself
    for camera in ("lisbon", "mumbai-east"):
        fleet.set_faults(camera, [Fault(FaultKind.REFUSED)])
    said = run(site, "collect_hours", *hours(START + 14 * HOUR, 1))
    assert ("people_counting_raw", "complete") not in said


def test_one_partition_none_and_a_choice_of_assets(site: Site) -> None:
    said = run(site, "collect_hours", hour_key(START))
    assert said["people_counting_raw", "complete"].metadata["hours asked"].value == 3
    assert {asset for asset, _ in said} == {
        "people_counting_raw",
        "regional_counting_raw",
        "heatmap_temporal_raw",
        "vca_alarm_status",
        "imputed_hours",
        "hourly_analytics",
        "queue_analytics",
        "store_hourly",
    }
    chosen = run(site, "collect_hours", *hours(START, 2), asset_selection=[dg.AssetKey("heatmap_temporal_raw")])
    assert {asset for asset, _ in chosen} == {"heatmap_temporal_raw"}
    # Checks that share a step are run for the assets that a run makes.
    chosen = run(site, "hourly_figures", *hours(START, 2), asset_selection=[dg.AssetKey("hourly_analytics")])
    assert {asset for asset, _ in chosen} == {"hourly_analytics"}
    said = alone(site, START + HOUR)
    assert said["people_counting_raw", "complete"].metadata["hours asked"].value == 3


def test_today_does_not_look_fresh_for_a_back_filled_march(site: Site) -> None:
    march = START - 100 * DAY
    run(site, "collect_hours", *hours(march, 4))
    now = START + 10 * HOUR
    # The store's own last ended day and hours are there ...
    said = run(site, "collect_hours", *hours(START - 30 * HOUR, 40), now=now)
    assert said["store_hourly", "fresh"].passed
    said = run(site, "daily_figures", day_key((START - DAY).date()), day_key(START.date()), now=now)
    assert said["store_daily", "fresh"].passed
    assert said["store_daily", "adds_up"].passed
    assert said["store_daily", "doors_agree"].passed
    # ... and a day later a run about March says that they are old.
    said = run(site, "hourly_figures", *hours(march, 4), now=now + DAY)
    assert not said["store_hourly", "fresh"].passed
    said = run(site, "daily_figures", day_key(march.date()), day_key(march.date()), now=now + 2 * DAY)
    late = said["store_daily", "fresh"]
    assert (late.passed, late.metadata["most days late"].value) == (False, 2)


def test_forecasts_and_searches_are_as_fresh_as_the_newest_of_them(site: Site) -> None:
    now = START + 10 * HOUR
    run(site, "collect_hours", *hours(START, 10), now=now)
    assert run(site, "forecasts", hour_key(now), now=now)["predictions", "fresh"].passed
    said = run(site, "forecasts", hour_key(now - 90 * DAY), now=now + DAY)["predictions", "fresh"]
    assert (said.passed, said.severity) == (False, WARN)
    with site.entered(RecordedInMemory) as installation:
        instance = installation.dagster_instance()

        def search(day: datetime) -> dg.AssetCheckEvaluation:
            result = (
                build_defs(clock=At(instant=now.isoformat()))
                .resolve_job_def("anomalies")
                .execute_in_process(instance=instance, partition_key=day_key(day.date()))
            )
            return of(result.get_asset_check_evaluations())["anomalies_detected", "fresh"]

        assert search(START - 90 * DAY).description == "Today was never searched."
        assert search(now).passed


def test_a_reset_camera_and_hours_that_cannot_be_are_told(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    (camera,) = register(database, "door", zone="Europe/Berlin")
    # Four weeks with the change to winter time between; by the camera's clock each is at ten in the morning.
    at = [datetime(2025, 10, 10 + 7 * week, 8 if week < 3 else 9, tzinfo=UTC) for week in range(4)]
    at.append(datetime(2025, 11, 7, 9, tzinfo=UTC))
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, one) for one in at[:-1]))
    store(database, PEOPLE_COUNTING_RAW, reading(camera, at[-1], line1_in=400, line1_out=0))
    store(database, PEOPLE_COUNTING_RAW, reading(camera, at[-1], line1_in=0, line1_out=0), run_id="another")
    site = Site(database_url, tmp_path / "home")
    said = alone(site, datetime(2025, 11, 7, 23, 30, tzinfo=UTC), ASSET_CHECKS[:1])
    assert said["people_counting_raw", "not_lowered"].description == "lower readings were set aside: door in 1 hour"
    assert said["people_counting_raw", "plausible"].description == (
        "door 2025-11-07 10:00: 400 people, 15 are usual; door 2025-11-07: 400 people in and nobody out all day"
    )
    # The camera was registered long after these hours: nobody owes them.
    assert said["people_counting_raw", "complete"].passed
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE retail.sensor_metadata SET created_at = '2025-01-01'")
    said = alone(site, datetime(2025, 11, 7, 23, 30, tzinfo=UTC), ASSET_CHECKS[:1])
    assert said["people_counting_raw", "complete"].description == "0 of 1 cameras complete; door was not asked"


def test_figures_that_do_not_agree_with_what_they_are_made_of_are_named(site: Site, database: Database) -> None:
    now = START + 26 * HOUR
    run(site, "collect_hours", *hours(START - 8 * HOUR, 33), now=now)
    day = day_key(START.date())
    said = run(site, "daily_figures", day, day, now=now)
    compared = {
        asset: said[asset, "adds_up"].metadata["rows compared"].value
        for asset in ("daily_analytics", "store_daily", "regional_analytics", "kpi_metrics")
    }
    for asset in compared:
        assert said[asset, "adds_up"].passed, said[asset, "adds_up"].description
    assert compared == {"daily_analytics": 3, "store_daily": 2, "regional_analytics": 12, "kpi_metrics": 2}

    noon = {"noon": START + 10 * HOUR}
    with database.transaction() as connection, connection.cursor() as cursor:
        lisbon = "(SELECT id FROM retail.sensor_metadata WHERE sensor_name = 'lisbon')"
        cursor.execute(
            "UPDATE retail.hourly_analytics SET total_entries = total_entries + 1, region_counts = region_counts || '{\"1\": 9999}'"
            f" WHERE hour_start = %(noon)s AND sensor_id = {lisbon}",
            noon,
        )
        cursor.execute(
            "DELETE FROM retail.kpi_metrics WHERE metric_name = 'entries' AND scope_id IN"
            f" (SELECT store_id FROM retail.sensor_metadata WHERE id = {lisbon})"
        )
        cursor.execute(
            "INSERT INTO retail.imputed_hours (sensor_id, hour_start, entries, exits, quality, method, donors)"
            f" VALUES ({lisbon}, %(noon)s, 9999, 0, 'estimated', 'like_days', '{{}}')",
            noon,
        )
    said = alone(site, now, COUNT_CHECKS)
    wrong = {key: one.description for key, one in said.items() if key[1] in ("adds_up", "plausible") and not one.passed}
    assert wrong == {
        ("hourly_analytics", "adds_up"): "does not agree with its lines: lisbon in 1 row",
        ("store_hourly", "adds_up"): "does not agree with its cameras: Lisbon in 1 row",
        ("daily_analytics", "adds_up"): "does not agree with its hours: lisbon in 1 row",
        ("regional_analytics", "adds_up"): "does not agree with its hours: lisbon region 1 in 1 row",
        ("kpi_metrics", "adds_up"): "does not agree with its day: Lisbon in 1 row",
        ("imputed_hours", "plausible"): wrong["imputed_hours", "plausible"],
    }
    assert "9999 people estimated" in str(wrong["imputed_hours", "plausible"])
    assert all(said[key].severity is ERROR for key in wrong if key[1] == "adds_up")


def test_what_is_known_now_is_asked_of_the_data(site: Site) -> None:
    now = START + 10 * HOUR
    nothing = alone(site, now, AHEAD_CHECKS)
    assert not any(one.passed for key, one in nothing.items() if key not in _QUIET)
    assert all(nothing[key].passed for key in _QUIET)
    run(site, "public_holidays", now=now)
    run(site, "watch_cameras", now=now)
    run(site, "collect_hours", *hours(START, 10), now=now)
    said = run(site, "forecasts", hour_key(now), now=now)
    assert said["store_predictions", "agrees"].metadata["forecasts"].value == 2
    assert said["store_predictions", "agrees"].passed
    # Ten hours are no history to forecast open hours from, and a first day is no fault.
    assert said["staffing_plan", "fresh"].passed
    # A day later nothing has been looked at for a day.
    said = alone(site, now + DAY, AHEAD_CHECKS)
    assert said["staffing_plan", "fresh"].description == (
        "Lisbon was last planned 2025-06-23 10:00 UTC; Mumbai was last planned 2025-06-23 10:00 UTC"
    )
    assert said["camera_health", "healthy"].description == (
        "0 of 3 cameras healthy; lisbon not looked at since 2025-06-23 11:00; "
        "mumbai-east not looked at since 2025-06-23 15:30; mumbai-west not looked at since 2025-06-23 15:30"
    )
    assert said["holidays", "reaches"].passed
    assert said["retail_calendar", "reaches"].passed


def test_tills_flows_forecasts_and_alerts_that_are_not_as_they_should_be_are_named(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    north, south = register(database, "north", "south")
    now = datetime(2025, 11, 7, 12, tzinfo=UTC)
    yesterday = (now - DAY).date()
    site = Site(database_url, tmp_path / "home")
    quiet = alone(site, now)
    asked = {
        ("queue_performance_daily", "complete"),
        ("pathway_analytics", "fits"),
        ("camera_flow_matrix", "fits"),
        ("prediction_accuracy", "holds"),
        ("alerts_generated", "tended"),
        ("store_predictions", "agrees"),
        ("staffing_plan", "fresh"),
    }
    # Nothing is known, and a store without an entrance line is neither forecast nor planned.
    assert all(quiet[key].passed for key in asked)
    store_id = "(SELECT store_id FROM retail.sensor_metadata WHERE id = %(north)s)"
    origin = {"origin": now - 2 * HOUR, "old": now - 27 * HOUR, "target": now + HOUR}
    known = {"north": north, "south": south, "now": now, "yesterday": yesterday, **origin}
    forecast = (
        "(%s, prediction_type, prediction_time, target_time, model_version, time_horizon_minutes, predicted_value,"
        " confidence_interval_lower, confidence_interval_upper, lower_95, upper_95, model_name, method, features_used, quality)"
    )
    told = "'traffic', {at}, %(target)s, 'simple_rule', 180, {people}, 0, 300, 0, 400, 'simple_rule', 'median_4', '[]', '{{}}'"
    statements = [
        "INSERT INTO retail.store_daily (store_id, date, data_completeness, is_provisional, hourly_distribution, quality)"
        f" VALUES ({store_id}, %(yesterday)s, 1, false, '{{}}', '{{}}')",
        "INSERT INTO retail.queue_performance_daily (store_id, date, data_completeness, recommendations_generated,"
        f" overloaded_hours, quality) VALUES ({store_id}, %(yesterday)s, 0.5, 0, 0, '{{}}')",
        "INSERT INTO retail.pathway_analytics (sensor_id, date, from_region, to_region, residual, data_completeness, quality)"
        " VALUES (%(north)s, %(yesterday)s, 1, 2, 0.7, 1, '{}'), (%(north)s, %(yesterday)s, 2, 1, 0.2, 1, '{}')",
        "INSERT INTO retail.camera_flow_matrix (store_id, date, from_camera, to_camera, residual, data_completeness, quality)"
        f" VALUES ({store_id}, %(yesterday)s, %(north)s, %(south)s, 0.6, 1, '{{}}')",
        "INSERT INTO retail.prediction_accuracy (scope, subject, store_id, date, horizons, n, coverage_n, wape, skill, quality)"
        f" SELECT 'store', ({store_id})::text, {store_id}, %(yesterday)s::date - day, '7-24', 18, 0, 0.4, -0.1, '{{}}'"
        " FROM generate_series(0, 4) AS day",
        "INSERT INTO retail.alerts_generated (id, rule_name, scope, store_id, alert_type, metric, severity, timestamp, title,"
        " message, metrics, threshold_value, first_seen_at, last_seen_at, occurrences, acknowledged, resolved, actions_taken,"
        f" escalated) SELECT gen_random_uuid(), 'rule', 'store', {store_id}, 'capacity', 'utilization', 'critical',"
        " %(now)s::timestamptz - interval '30 hours', 'Too many people', 'm', '{}', 1, %(now)s::timestamptz - interval '30 hours',"
        " %(now)s, 1, false, false, '[]', false",
        "INSERT INTO retail.counting_lines (sensor_id, line_number, role)"
        " VALUES (%(north)s, 1, 'entrance'), (%(south)s, 1, 'entrance')",
        f"INSERT INTO retail.predictions {forecast % 'sensor_id'} VALUES (%(north)s, {told.format(at='%(origin)s', people=50)}),"
        f" (%(south)s, {told.format(at='%(origin)s', people=50)})",
        f"INSERT INTO retail.store_predictions {forecast % 'store_id'} VALUES ({store_id}, {told.format(at='%(old)s', people=50)}),"
        f" ({store_id}, {told.format(at='%(origin)s', people=50)})",
        "INSERT INTO retail.staffing_plan (store_id, plan_time, horizon, target_start, star_target, target_source, actions, quality)"
        f" VALUES ({store_id}, %(origin)s, 'immediate', %(origin)s, 12, 'store', '[]', '{{}}')",
    ]
    with database.transaction() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, known)
    store(database, HOURLY_ANALYTICS, *(hour(door, now - DAY) for door in (north, south)))
    said = alone(site, now)
    assert {key: said[key].description for key in asked if not said[key].passed} == {
        ("queue_performance_daily", "complete"): "north store 2025-11-06: tills known in 50% of the open hours",
        ("pathway_analytics", "fits"): "north region 1 to 2: 70% of the entries are unexplained on 2025-11-06",
        ("camera_flow_matrix", "fits"): "north to south: 60% of the entries are unexplained on 2025-11-06",
        ("prediction_accuracy", "holds"): "north store: worse than the same hours of last week on 5 of 5 days",
        ("alerts_generated", "tended"): (
            "north store: Too many people, since 2025-11-06 06:00, acknowledged by nobody"
        ),
        ("store_predictions", "agrees"): "north store from 2025-11-07 10:00 UTC: 50 people expected, 100 at its doors",
    }
    assert said["alerts_generated", "tended"].severity is ERROR
    assert all(said[key].severity is WARN for key in asked if key[0] != "alerts_generated")

    # One door has been counted for a month longer: what the store expects was learnt of that one.
    store(database, HOURLY_ANALYTICS, hour(north, now - 30 * DAY))
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM retail.store_predictions WHERE prediction_time = %(origin)s", known)
    said = alone(site, now, AHEAD_CHECKS)
    lacking = said["store_predictions", "agrees"]
    assert (lacking.passed, lacking.severity) == (False, ERROR)
    assert lacking.description == "north store from 2025-11-07 10:00 UTC: no forecast"
    assert said["staffing_plan", "fresh"].description == (
        "north store is planned without a forecast: the newest is of 2025-11-06 09:00 UTC"
    )
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE retail.store_predictions SET prediction_time = %(origin)s", known)
    said = alone(site, now, AHEAD_CHECKS)
    assert said["store_predictions", "agrees"].passed
    assert said["staffing_plan", "fresh"].passed


def test_a_camera_that_has_just_been_registered_owes_a_store_that_is_old_no_days(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    register(database, "door")
    now = datetime(2025, 11, 7, 12, tzinfo=UTC)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE retail.stores SET created_at = %s", (now - 30 * DAY,))
        cursor.execute("UPDATE retail.sensor_metadata SET created_at = %s", (now - HOUR,))
    site = Site(database_url, tmp_path / "home")
    said = alone(site, now)
    late = {("store_hourly", "fresh"), ("store_daily", "fresh"), ("people_counting_raw", "complete")}
    assert [said[key].description for key in sorted(late) if not said[key].passed] == []
    assert said["anomalies_detected", "fresh"].metadata["stores late"].value == 0
    said = alone(site, now + 4 * DAY, COUNT_CHECKS)
    assert [said[key].description for key in sorted(late)] == [
        "0 of 1 cameras complete; door was not asked",
        "door store is 4 days late, newest day never",
        "door store has been open for 5820 minutes without a count and has never counted",
    ]


_QUIET = {("alerts_generated", "tended"), ("store_predictions", "agrees"), ("prediction_accuracy", "holds")}
"""What is not wrong of an installation that has nothing yet."""
