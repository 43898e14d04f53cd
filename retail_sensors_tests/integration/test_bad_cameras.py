"""Cameras that misbehave in every way that the simulator knows, and every habit of those that work, from wire to tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import dagster as dg
import pytest

from retail_sensors.connectors.base import Endpoint, TimeWindow
from retail_sensors.simulator.camera import DEFAULT_REGIONS, SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors.simulator.switches import Fault, FaultKind, Switches
from retail_sensors.simulator.traffic import Generated
from retail_sensors_tests.installations import (
    COLLECTED,
    Collected,
    Counted,
    Site,
    fresh_database,
    simulated,
)

DAY = timedelta(days=1)
GOOD_DAY = datetime(2025, 10, 24, tzinfo=UTC)
BAD_DAY = GOOD_DAY + DAY
BOTH = TimeWindow(GOOD_DAY, BAD_DAY + DAY)
HEALTHY = ("healthy-1", "healthy-2")
SECONDS = 10
"""What a camera is given for an answer once one hangs: enough for the others on a machine that stands still for a while."""


class Expected(NamedTuple):
    """What the log has of the people counts of two days, what the run says why, and what is kept of bad payloads."""

    outcomes: dict[str, int]
    why: str
    reason: str | None = None
    raw: bytes = b""


FAILING = {
    FaultKind.REFUSED: Expected({"refused": 48}, "it refused the connection"),
    FaultKind.SLOW: Expected({"timeout": 48}, f"it did not answer completely within {SECONDS} s"),
    FaultKind.RESET_MID_BODY: Expected(
        {"ok_with_rejects": 22, "reset": 26},
        "it broke off the connection",
        "the last row is cut off",
        b"2025/10/25 11:00:00",
    ),
    FaultKind.TRUNCATED: Expected(
        {"ok_with_rejects": 22, "truncated": 26},
        "it closed the connection before the announced end",
        "the last row is cut off",
        b"2025/10/25 11:00:00",
    ),
    FaultKind.HTML_LOGIN: Expected({"not_data": 48}, "an HTML or XML page", "an HTML or XML page", b"<!DOCTYPE html>"),
    FaultKind.EMPTY: Expected({"empty_body": 48}, "it answered with an empty body"),
    FaultKind.GARBAGE: Expected({"not_data": 48}, "the body has no column starttime", "no column starttime"),
    FaultKind.ENDLESS: Expected(
        {"too_large": 48}, "longer than 200000 bytes", "longer than any report", b"StartTime, EndTime"
    ),
    FaultKind.NEGATIVE_NUMBERS: Expected(
        {"ok_with_rejects": 32, "no_rows": 16},
        "is not a count",
        "is not a count",
        b"2025/10/25 00:00:00,2025/10/25 00:59:59,-",
    ),
    FaultKind.HUGE_NUMBERS: Expected(
        {"ok_with_rejects": 32, "no_rows": 16},
        "beyond 100000, which no place has",
        "beyond 100000",
        b"99999999999999999999",
    ),
    FaultKind.UNAUTHORIZED: Expected({"unauthorized": 48}, "status 401; check its user name and password reference"),
    FaultKind.NOT_FOUND: Expected({"not_found": 48}, "status 404"),
    FaultKind.RATE_LIMITED: Expected({"rate_limited": 48}, "status 429; set a pause between calls"),
    FaultKind.SERVER_ERROR_500: Expected({"server_error": 48}, "status 500"),
    FaultKind.SERVER_ERROR_503: Expected({"server_error": 48}, "status 503"),
}
HARMLESS = {
    FaultKind.DUPLICATE_ROWS: Expected({"ok": 48}, ""),
    FaultKind.UNORDERED_ROWS: Expected({"ok": 48}, ""),
    FaultKind.OTHER_DAY: Expected(
        {"ok_with_rejects": 48},
        "the row is of 2025-10-23",
        "the row is of 2025-10-24, asked was 2025-10-25",
        b"2025/10/24 ",
    ),
    FaultKind.FACTORY_RESET: Expected({"ok": 48}, ""),
}
ALL = FAILING | HARMLESS


def name_of(kind: FaultKind) -> str:
    return kind.value.replace("_", "-")


class Bad(NamedTuple):
    """The fleet after a good day of all and a second run over both days in which all but the healthy ones misbehaved."""

    site: Site
    fleet: SimulatedFleet
    stored_before: dict[str, Counted]
    collected: Collected


@pytest.fixture(scope="module")
def bad(server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bad]:
    names = [*map(name_of, ALL), *HEALTHY]
    cameras = [SimulatedCamera(name, "UTC", Generated(seed=seed)) for seed, name in enumerate(names)]
    with (
        fresh_database(server_url, template_database) as url,
        running(SimulatedFleet(cameras, clock=lambda: datetime.now(UTC))) as fleet,
    ):
        site = Site(url, tmp_path_factory.mktemp("bad") / "home", {"RETAIL_SENSORS_MAX_BODY_BYTES": "200000"})
        # The one that hangs makes everybody wait: it is asked for one report, the one that is looked at.
        slow = {name_of(FaultKind.SLOW): {"endpoints": [Endpoint.PEOPLE_COUNTING.value]}}
        site.register(fleet, slow, by_the_hour=True)
        assert site.collect(TimeWindow(GOOD_DAY, BAD_DAY)).report.is_complete
        stored = {name: site.counted(name) for name in names}
        site.environment["RETAIL_SENSORS_REQUEST_TIMEOUT_SECONDS"] = f"{SECONDS}"
        for kind in ALL:
            start = BAD_DAY + DAY if kind is FaultKind.FACTORY_RESET else None
            fleet.set_faults(name_of(kind), [Fault(kind, start=start, delay_seconds=600)])
        yield Bad(site, fleet, stored, site.collect(BOTH))


def test_healthy_cameras_are_complete_and_exact(bad: Bad) -> None:
    for name in HEALTHY:
        assert bad.site.counted(name) == simulated(bad.fleet, name, BOTH)
        assert bad.site.outcomes(name) == {"ok": 48}
    # Without what some cameras did, the runs succeed.
    assert bad.collected.report.problems == []
    assert not bad.collected.report.is_complete


@pytest.mark.parametrize("kind", ALL, ids=name_of)
def test_nothing_stored_is_lost_and_all_good_rows_land(bad: Bad, kind: FaultKind) -> None:
    name, expected = name_of(kind), ALL[kind]
    truth = simulated(bad.fleet, name, BOTH)
    counted = bad.site.counted(name)
    assert {hour: values for hour, values in counted.items() if hour < BAD_DAY} == bad.stored_before[name]
    landed = {hour: values for hour, values in counted.items() if hour >= BAD_DAY}
    answered = sum(number for outcome, number in expected.outcomes.items() if outcome.startswith("ok"))
    assert len(landed) == answered / 2
    if kind is FaultKind.FACTORY_RESET:
        assert set(landed.values()) == {(0,) * 8}
        refused = (
            "SELECT count(*) FROM retail.raw_revisions JOIN retail.sensor_metadata AS s ON s.id = sensor_id WHERE "
        )
        ((lowered,),) = bad.site.fetch(refused + "sensor_name = 'factory-reset' AND table_name = 'people_counting_raw'")
        assert lowered == sum(any(values) for values in bad.stored_before[name].values())
    else:
        assert landed == {hour: truth[hour] for hour in landed}


@pytest.mark.parametrize("kind", ALL, ids=name_of)
def test_the_log_has_the_class_of_every_hour(bad: Bad, kind: FaultKind) -> None:
    assert bad.site.outcomes(name_of(kind)) == ALL[kind].outcomes


@pytest.mark.parametrize("kind", ALL, ids=name_of)
def test_bad_payloads_are_kept_with_reason_and_raw_text(bad: Bad, kind: FaultKind) -> None:
    rejected = bad.site.fetch(
        "SELECT reason, raw FROM retail.rejected_payloads JOIN retail.sensor_metadata AS s ON s.id = sensor_id"
        " WHERE sensor_name = %(name)s AND endpoint = 'people_counting'",
        {"name": name_of(kind)},
    )
    expected = ALL[kind]
    assert bool(rejected) == (expected.reason is not None)
    if expected.reason is not None:
        kept = [bytes(raw) for reason, raw in rejected if expected.reason in reason]
        assert any(expected.raw in raw for raw in kept)


@pytest.mark.parametrize("kind", FAILING, ids=name_of)
def test_the_run_says_which_camera_and_why(bad: Bad, kind: FaultKind) -> None:
    name, expected = name_of(kind), FAILING[kind]
    host, port = bad.fleet.address(name)
    told = [
        text
        for level, text in bad.collected.log()
        if level == "WARNING" and text.startswith(f"{name}: ") and "people_counting" in text
    ]
    [sentence] = told
    assert f"camera {name} ({host}:{port}), people_counting of 2025-10-24: " in sentence
    assert expected.why in sentence
    [outcome] = [outcome for outcome in bad.collected.report.cameras if outcome.camera == name]
    assert not outcome.is_complete
    missing = 24 - len([hour for hour in bad.site.counted(name) if hour >= BAD_DAY])
    assert any(
        problem.startswith(f"people_counting: {missing} of 48 hours missing") and expected.why in problem
        for problem in outcome.problems
    )


def test_figures_count_what_was_measured_and_estimated_and_say_what_is_missing(bad: Bad) -> None:
    estimated = dict(
        bad.site.fetch(
            "SELECT s.sensor_name, sum(i.entries) FROM retail.imputed_hours AS i"
            " JOIN retail.sensor_metadata AS s ON s.id = i.sensor_id GROUP BY s.sensor_name"
        )
    )
    assert estimated
    rows = bad.site.fetch(
        "SELECT s.store_name, d.total_entries, d.data_completeness FROM retail.store_daily AS d"
        " JOIN retail.stores AS s ON s.id = d.store_id WHERE d.date = '2025-10-25'"
    )
    days = {name: (entries, completeness) for name, entries, completeness in rows}
    for kind, expected in ALL.items():
        name = name_of(kind)
        landed = {hour: values for hour, values in bad.site.counted(name).items() if hour >= BAD_DAY}
        entries, completeness = days[name]
        assert completeness == pytest.approx(len(landed) / 24), name
        counted = sum(values[0] + values[2] + values[4] for values in landed.values())
        assert entries == (counted + estimated.get(name, 0) if landed else None), name
        assert (completeness == 1) == (kind in HARMLESS), expected


def test_a_fleet_that_is_down_fails_the_step_with_a_sentence_and_is_still_logged(
    database_url: str, tmp_path: Path
) -> None:
    site = Site(database_url, tmp_path / "home")
    cameras = [
        SimulatedCamera(name, "UTC", Generated(), faults=[Fault(FaultKind.REFUSED)]) for name in ("east", "west")
    ]
    window = TimeWindow(GOOD_DAY, GOOD_DAY + timedelta(hours=3))
    with running(SimulatedFleet(cameras, clock=lambda: datetime.now(UTC))) as fleet:
        # A camera that does not listen has no address of its own yet.
        for name in fleet.cameras:
            fleet.set_faults(name, ())
        site.register(fleet, by_the_hour=True)
        for name in fleet.cameras:
            fleet.set_faults(name, [Fault(FaultKind.REFUSED)])
        collected = site.collect(window)
        said = site.run("collect", "--from", "2025-10-24", "--to", "2025-10-24T03:00Z")
    report = collected.report
    assert len(report.problems) == len(COLLECTED)
    for problem in report.problems:
        assert "Not one of 2 cameras answered for " in problem
        assert "it refused the connection" in problem
        assert "retail.collection_log" in problem
        assert "Traceback" not in problem
    asking = next(run for run in report.runs if run["job"] == "collect_hours")
    run = collected.instance.get_run_by_id(asking["run_id"])
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert collected.instance.get_materialized_partitions(dg.AssetKey("people_counting_raw")) == set()
    for name in ("east", "west"):
        assert site.outcomes(name) == {"refused": 3}
    assert site.fetch("SELECT count(*), count(total_entries) FROM retail.hourly_analytics") == [(6, 0)]
    assert said.code == 1
    assert "Not one of 2 cameras answered for people_counting" in " ".join(said.out.split())
    assert "Traceback" not in said.out + said.err


# Habits of cameras that work -------------------------------------------------------------------------------------------

AUTUMN = TimeWindow(datetime(2025, 10, 25, 23, tzinfo=UTC), datetime(2025, 10, 27, tzinfo=UTC))
SPRING = TimeWindow(datetime(2025, 3, 30, tzinfo=UTC), datetime(2025, 3, 30, 23, tzinfo=UTC))
FIRST_TIME = datetime(2025, 10, 26, tzinfo=UTC)  # 01:00 in Lisbon for the first time
SECOND_TIME = FIRST_TIME + timedelta(hours=1)
FORGETFUL: tuple[Literal["zero", "missing"], ...] = ("zero", "missing")


class Habits(NamedTuple):
    """One camera for each value of each switch, all seeing the same people, over both changes of clocks."""

    site: Site
    fleet: SimulatedFleet


@pytest.fixture(scope="module")
def habits(server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Habits]:
    variants = dict(Switches.variants()) | {
        f"forgetful {rows}": Switches(retention_days=20, heat_retention_days=7, beyond_retention=rows)
        for rows in FORGETFUL
    }
    regions = {number: DEFAULT_REGIONS[number] for number in (1, 3)}
    cameras = [
        SimulatedCamera(name, "Europe/Lisbon", Generated(seed=5), regions=regions, switches=switches)
        for name, switches in variants.items()
    ]
    retention = {"people_counting": 20, "regional_counting": 20, "heatmap_temporal": 7}
    with (
        fresh_database(server_url, template_database) as url,
        running(SimulatedFleet(cameras, clock=lambda: datetime.now(UTC))) as fleet,
    ):
        site = Site(url, tmp_path_factory.mktemp("habits") / "home")
        site.register(fleet, {name: {"retention_days": retention} for name in variants if name.startswith("forgetful")})
        for window in (SPRING, AUTUMN):
            assert site.collect(window).report.problems == []
        yield Habits(site, fleet)


VARIANTS = [name for name, _ in Switches.variants()]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_habit_gives_exact_counts_through_both_changes_of_clocks(habits: Habits, name: str) -> None:
    truth = simulated(habits.fleet, name, SPRING) | simulated(habits.fleet, name, AUTUMN)
    assert len(truth) == 23 + 25
    if name.startswith("repeated_hour="):
        # One row for the hour that came twice: it is taken for the first time, and the second is not made up.
        second = truth.pop(SECOND_TIME)
        if name == "repeated_hour=merged":
            truth[FIRST_TIME] = tuple(a + b for a, b in zip(truth[FIRST_TIME], second, strict=True))
        else:
            truth[FIRST_TIME] = second
    assert habits.site.counted(name) == truth
    flags = habits.site.fetch(
        "SELECT timestamp, label_flag FROM retail.people_counting_raw AS r JOIN retail.sensor_metadata AS s"
        " ON s.id = r.sensor_id WHERE sensor_name = %(name)s AND label_flag IS NOT NULL",
        {"name": name},
    )
    if name.startswith("repeated_hour="):
        assert dict(flags) == {FIRST_TIME: "ambiguous_single"}
    else:
        assert dict(flags) == {FIRST_TIME: "ambiguous_first", SECOND_TIME: "ambiguous_second"}


@pytest.mark.parametrize(
    "name", [name for name in VARIANTS if not name.startswith(("repeated_hour=", "region_stays=", "stay_length="))]
)
def test_every_habit_gives_the_same_figures(habits: Habits, name: str) -> None:
    assert figures(habits.site, name) == figures(habits.site, "default")


@pytest.mark.parametrize("name", [name for name in VARIANTS if name.startswith(("region_stays=", "stay_length="))])
def test_a_camera_that_does_not_tell_of_stays_lacks_the_figures_of_stays_only(habits: Habits, name: str) -> None:
    of_stays = ["region_avg_occupancy", "region_utilization", "entry_to_checkout_rate", "bounce_rate"]
    lacking = [*of_stays, "overall_conversion_rate"]
    assert figures(habits.site, name, lacking) == figures(habits.site, "default", lacking)
    hours = habits.site.frame(
        "SELECT f.* FROM retail.hourly_analytics AS f JOIN retail.sensor_metadata AS s ON s.id = f.sensor_id"
        " WHERE s.sensor_name = %(camera)s",
        {"camera": name},
    )
    assert hours["region_avg_occupancy"].isna().all()
    assert {quality["region_avg_occupancy"] for quality in hours["quality"]} == {"no_stay_answers"}


def figures(site: Site, camera: str, without: Sequence[str] = ()) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for table, time_column in (("hourly_analytics", "hour_start"), ("daily_analytics", "date")):
        frame = site.frame(
            f"SELECT f.* FROM retail.{table} AS f JOIN retail.sensor_metadata AS s ON s.id = f.sensor_id"
            f" WHERE s.sensor_name = %(camera)s ORDER BY f.{time_column}",
            {"camera": camera},
        ).drop(columns=["sensor_id", "updated_at"])
        assert len(frame) > 0
        if without:
            frame = frame.drop(columns=without, errors="ignore")
            frame["quality"] = [
                {column: word for column, word in quality.items() if column not in without}
                for quality in frame["quality"]
            ]
        rows += frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    return rows


@pytest.mark.parametrize("rows", FORGETFUL)
def test_what_a_camera_no_longer_holds_is_missing_and_not_zero(habits: Habits, rows: str) -> None:
    name = f"forgetful {rows}"
    assert habits.site.counted(name) == {}
    assert habits.site.outcomes(name) == {"beyond_retention": 48}
