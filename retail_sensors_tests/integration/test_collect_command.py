"""`retail-sensors collect` as a user types it: simulated cameras, real Dagster runs, real Postgres."""

from __future__ import annotations

import json
import os
import pty
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy.engine import make_url

from retail_sensors import backfill
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.simulator.camera import DEFAULT_PASSWORD
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors.simulator.switches import Fault, FaultKind
from retail_sensors_tests.installations import (
    COLLECTED,
    FIGURES,
    PASSWORD_VARIABLE,
    Site,
    drop_database,
    free_ports,
    fresh_database,
    simulated,
    small_fleet,
    within_an_hour,
)

# Around the hour that came twice in Lisbon; Mumbai's hours start at half past.
START = datetime(2025, 10, 25, 22, tzinfo=UTC)
END = datetime(2025, 10, 27, 6, tzinfo=UTC)
RANGE = ("--from", "2025-10-26T00:00+02:00", "--to", "2025-10-27T06:00Z")
ASSETS = (*COLLECTED, "vca_alarm_status", *FIGURES)


@pytest.fixture(scope="module")
def fleet() -> Iterator[SimulatedFleet]:
    with running(small_fleet()) as served:
        yield served


@pytest.fixture
def site(database_url: str, tmp_path: Path, fleet: SimulatedFleet) -> Iterator[Site]:
    """An installation with the cameras registered and nothing collected."""
    made = Site(database_url, tmp_path / "home")
    made.register(fleet)
    yield made
    for name in fleet.cameras:
        fleet.set_faults(name, ())


@pytest.fixture(scope="module")
def registered(
    server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory, fleet: SimulatedFleet
) -> Iterator[Site]:
    """One that several tests share, which collect nothing."""
    with fresh_database(server_url, template_database) as url:
        made = Site(url, tmp_path_factory.mktemp("site") / "home")
        made.register(fleet)
        yield made


def hours(start: datetime, end: datetime) -> list[datetime]:
    return [start + timedelta(hours=hour) for hour in range(int((end - start) / timedelta(hours=1)))]


# What is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from", "2026-11-31", "--to", "2026-12-02"), r"--from '2026-11-31' is neither a date .* nor an instant"),
        (("--from", "2026-11-01", "--to", "tomorrow"), r"--to 'tomorrow' is neither a date"),
        (
            ("--from", "2026-11-01T08:00", "--to", "2026-11-02"),
            r"--from '2026-11-01T08:00' has no zone; write for example 2026-11-01T08:00Z",
        ),
        (("--from", "0001-01-01T00:00+14:00", "--to", "2026-11-02"), r"is no time that a camera can know"),
        (("--from", "2026-11-01", "--to", "9999-12-31T23:30Z"), r"is no time that a camera can know"),
        (
            ("--from", "2026-11-02", "--to", "2026-11-01"),
            r"The range ends \(2026-11-01T00:00:00\+00:00\) before it starts",
        ),
        (("--from", "2026-11-02", "--to", "2026-11-02"), r"--to is exclusive"),
        (("--from", "2022-12-31", "--to", "2023-01-02"), r"the first hour that can be collected is 2023-01-01"),
        (("--from", "2190-01-01", "--to", "2190-01-02"), r"in the future"),
        (
            ("--from", "2025-10-26", "--to", "2025-10-27", "--camera", "mumbai-eats"),
            r"No camera is registered as 'mumbai-eats', did you mean 'mumbai-east'\?",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(
    registered: Site, arguments: tuple[str, ...], sentence: str
) -> None:
    said = registered.run("collect", *arguments)
    assert (said.code, said.out) == (2, "")
    assert re.search(sentence, said.sentence)
    assert registered.fetch("SELECT count(*) FROM retail.collection_log") == [(0,)]


def test_a_missing_option_is_the_users_fault(registered: Site) -> None:
    said = registered.run("collect", "--from", "2025-10-26")
    assert said.code == 2
    assert "Missing option '--to'" in said.err


def test_nobody_to_ask_is_refused_in_one_sentence(database_url: str, tmp_path: Path) -> None:
    said = Site(database_url, tmp_path).run("collect", *RANGE)
    assert said.code == 2
    assert said.sentence.startswith("No active camera is registered; `retail-sensors cameras add FILE`")


def test_a_process_ends_with_the_code_and_without_a_traceback(registered: Site) -> None:
    said = registered.process("collect", *RANGE, "--camera", "lisbo")
    assert (said.code, said.out) == (2, "")
    assert "did you mean 'lisbon'?" in said.sentence


def test_a_database_that_is_down_is_one_sentence(tmp_path: Path) -> None:
    port = free_ports(1)
    nowhere = Site(f"postgresql://somebody:s3cret@127.0.0.1:{port}/retail", tmp_path / "home")
    said = nowhere.process("collect", *RANGE)
    assert (said.code, said.out) == (3, "")
    assert said.sentence.startswith(f"The database at 127.0.0.1:{port}/retail does not answer")
    assert "RETAIL_SENSORS_DATABASE_URL" in said.sentence
    assert "s3cret" not in said.err


def test_a_storage_of_dagster_that_is_down_is_one_sentence(registered: Site) -> None:
    port = free_ports(1)
    down = Site(
        registered.url,
        registered.home,
        {"RETAIL_SENSORS_DAGSTER_DATABASE_URL": f"postgresql://somebody:s3cret@127.0.0.1:{port}/dagster"},
    )
    said = down.run("collect", *RANGE)
    assert (said.code, said.out) == (3, "")
    assert said.sentence.startswith(f"Dagster's storage at 127.0.0.1:{port}/dagster does not answer")
    assert "s3cret" not in said.err


def test_a_database_that_goes_down_meanwhile_is_one_sentence(
    server_url: str, template_database: str, tmp_path: Path, fleet: SimulatedFleet
) -> None:
    with fresh_database(server_url, template_database) as url:
        site = Site(url, tmp_path / "home")
        site.register(fleet)
        window = TimeWindow(START, START + timedelta(hours=2))

        def go_down(done: int, total: int, what: str) -> None:
            if done == 1:
                drop_database(server_url, url)

        with (
            site.entered() as installation,
            pytest.raises(
                DatabaseUnavailableError, match=r"^Dagster's storage at .* does not answer \(.*\); check that"
            ),
        ):
            backfill.collect_range(installation, window, [], on_progress=go_down)


# What is collected -----------------------------------------------------------------------------------------------------


def test_a_range_is_collected_recorded_and_changes_nothing_the_second_time(site: Site, fleet: SimulatedFleet) -> None:
    said = site.process("collect", *RANGE, "--json")
    assert (said.code, said.err) == (0, "")
    report = json.loads(said.out)
    assert (report["from"], report["to"]) == ("2025-10-25T22:00:00+00:00", "2025-10-27T06:00:00+00:00")
    assert report["complete"] is True
    assert report["problems"] == []
    assert [camera["camera"] for camera in report["cameras"]] == ["lisbon", "mumbai-east", "mumbai-west"]
    for camera in report["cameras"]:
        assert camera["complete"] is True
        assert camera["problems"] == []
        assert camera["hours_asked"] == camera["hours_in"] == 3 * 32
        assert set(camera["endpoints"]) == {"people_counting", "regional_counting", "heatmap_temporal"}
        assert camera["endpoints"]["people_counting"] == {"asked": 32, "in": 32, "why": None}
        assert site.counted(camera["camera"]) == simulated(fleet, camera["camera"], TimeWindow(START, END))
    check_records(site, report)

    before = site.contents()
    assert {len(before[name]) for name in COLLECTED} == {3 * 32}
    assert len(before["store_daily"]) == 5, "26 and 27 October of two stores, and an hour of Lisbon's 25th"
    again = site.run("collect", *RANGE)
    assert (again.code, again.err) == (0, "")
    assert "All that was asked for is in." in again.out
    assert site.contents() == before


def check_records(site: Site, report: dict[str, object]) -> None:
    """The runs are in the instance, in the data's own database, and their partitions are materialized."""
    keys = {f"{hour:%Y-%m-%d-%H:00}" for hour in hours(START, END)}
    with site.entered() as installation:
        instance = installation.dagster_instance()
        for name in (*COLLECTED, "vca_alarm_status", "hourly_analytics", "store_hourly"):
            assert instance.get_materialized_partitions(dg.AssetKey(name)) == keys
        for name in ("daily_analytics", "store_daily"):
            dates = instance.get_materialized_partitions(dg.AssetKey(name))
            assert dates == {"2025-10-25", "2025-10-26", "2025-10-27"}
        runs = instance.get_runs()
        instance.dispose()
    assert {run.run_id for run in runs} == {run["run_id"] for run in report["runs"]}  # type: ignore[attr-defined]
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert all(run.tags.items() >= backfill.OF_THE_LOCATION.items() for run in runs)
    assert {run.job_name for run in runs} == {
        "public_holidays",
        "collect_hours",
        "ended_day_questions",
        "daily_figures",
    }
    assert site.fetch("SELECT count(*) FROM dagster.runs") == [(len(runs),)]


def test_only_the_named_cameras_are_asked(site: Site, fleet: SimulatedFleet) -> None:
    asked_before = fleet.served("mumbai-west").requests
    said = site.run(
        "collect", "--from", "2025-10-26", "--to", "2025-10-26T02:00Z", "--camera", "lisbon", "--camera", "mumbai-east"
    )
    assert (said.code, said.err) == (0, "")
    assert fleet.served("mumbai-west").requests == asked_before
    assert list(site.counted("lisbon")) == hours(
        datetime(2025, 10, 26, tzinfo=UTC), datetime(2025, 10, 26, 2, tzinfo=UTC)
    )
    assert len(site.counted("mumbai-east")) == 2
    assert site.counted("mumbai-west") == {}


def test_a_camera_that_is_down_is_told_and_made_good_later(site: Site, fleet: SimulatedFleet) -> None:
    asked = ("collect", "--from", "2025-10-26T10:00Z", "--to", "2025-10-26T12:00Z")
    fleet.set_faults("lisbon", [Fault(FaultKind.REFUSED)])
    said = site.run(*asked, "--json")
    assert (said.code, said.err) == (1, "")
    report = json.loads(said.out)
    assert report["complete"] is False
    assert [camera["complete"] for camera in report["cameras"]] == [False, True, True]
    lisbon = report["cameras"][0]
    assert (lisbon["hours_asked"], lisbon["hours_in"]) == (6, 0)
    assert lisbon["endpoints"]["people_counting"]["why"].startswith("camera lisbon (127.0.0.1:")
    table = site.run(*asked)
    assert table.code == 1
    # A reason is one line, which a search by the camera's name shows whole.
    [told] = [line for line in table.out.splitlines() if line.startswith("lisbon: people_counting")]
    assert "refused the connection" in told
    assert "6 hours of cameras' reports are not in" in table.out

    fleet.set_faults("lisbon", ())
    assert site.run(*asked).code == 0
    # What is in is in, although the camera cannot give it once more.
    fleet.set_faults("lisbon", [Fault(FaultKind.REFUSED)])
    assert site.run(*asked).code == 0


def test_an_hour_collected_while_it_ran_is_not_in_when_it_is_over(site: Site, fleet: SimulatedFleet) -> None:
    window = TimeWindow(datetime(2025, 10, 26, 10, tzinfo=UTC), datetime(2025, 10, 26, 11, tzinfo=UTC))
    assert site.collect(window, "lisbon").report.is_complete
    site.execute("UPDATE retail.people_counting_raw SET is_final = false")
    fleet.set_faults("lisbon", [Fault(FaultKind.SERVER_ERROR_500)])
    report = site.collect(window, "lisbon").report
    assert not report.is_complete
    assert report.cameras[0].endpoints["people_counting"]["in"] == 0
    assert report.cameras[0].endpoints["regional_counting"]["in"] == 1
    fleet.set_faults("lisbon", ())
    assert site.collect(window, "lisbon").report.is_complete


def test_the_running_hour_is_collected_as_it_stands(site: Site) -> None:
    now = within_an_hour()
    said = site.run("collect", "--from", f"{now - timedelta(hours=1):%Y-%m-%dT%H:00Z}", "--to", "2150-01-01", "--json")
    assert said.code == 0
    assert json.loads(said.out)["to"] == f"{now + timedelta(hours=1):%Y-%m-%dT%H:00:00+00:00}"
    finals = site.fetch("SELECT timestamp, is_final FROM retail.people_counting_raw ORDER BY timestamp")
    assert finals[-1][1] is False
    assert all(not is_final or start + timedelta(hours=1) <= now for start, is_final in finals)
    assert site.fetch("SELECT count(*) FROM retail.vca_alarm_status") == [(3,)]


def test_overwriting_is_asked_for(site: Site, fleet: SimulatedFleet) -> None:
    asked = ("collect", "--from", "2025-10-24T10:00Z", "--to", "2025-10-24T14:00Z", "--camera", "lisbon")
    assert site.run(*asked).code == 0
    counted = site.counted("lisbon")
    assert any(any(values) for values in counted.values())
    fleet.set_faults("lisbon", [Fault(FaultKind.FACTORY_RESET, start=datetime(2025, 10, 25, tzinfo=UTC))])
    assert site.run(*asked).code == 0
    assert site.counted("lisbon") == counted
    assert site.fetch("SELECT DISTINCT action FROM retail.raw_revisions") == [("refused",)]
    visitors = "SELECT sum(total_entries) FROM retail.store_hourly"
    assert site.fetch(visitors) == [(sum(values[0] for values in counted.values()),)]

    assert site.run(*asked, "--overwrite").code == 0
    assert site.counted("lisbon") == dict.fromkeys(counted, (0,) * 8)
    assert site.fetch(visitors) == [(0,)]
    set_aside = site.fetch(
        "SELECT timestamp, (set_aside ->> 'line1_in')::int FROM retail.raw_revisions"
        " WHERE action = 'overwritten' AND table_name = 'people_counting_raw'"
    )
    assert dict(set_aside) == {hour: values[0] for hour, values in counted.items() if any(values)}


def test_the_progress_bar_goes_to_the_terminal_and_json_to_the_pipe(site: Site) -> None:
    terminal, of_command = pty.openpty()
    with ThreadPoolExecutor(1) as reader:
        shown = reader.submit(_read_to_end, terminal)
        asked = ("--from", "2025-10-26", "--to", "2025-10-26T01:00Z", "--camera", "lisbon")
        try:
            said = site.process("collect", *asked, "--json", stderr=of_command)
        finally:
            os.close(of_command)
        bar = shown.result(120)
    os.close(terminal)
    assert json.loads(said.out)["complete"] is True
    for words in ("asking cameras from 2025-10-26-00:00", "hourly figures", "daily figures", "6/6", "runs"):
        assert words in bar


def _read_to_end(terminal: int) -> str:
    read = b""
    with suppress(OSError):  # how a terminal says that nobody is left to write to it
        while part := os.read(terminal, 4096):
            read += part
    return read.decode()


# In whichever pieces ---------------------------------------------------------------------------------------------------


def test_a_range_in_pieces_and_in_any_order_gives_the_same_figures(
    site: Site,
    server_url: str,
    template_database: str,
    tmp_path: Path,
    fleet: SimulatedFleet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = TimeWindow(datetime(2025, 10, 24, tzinfo=UTC), datetime(2025, 10, 27, tzinfo=UTC))
    cut = datetime(2025, 10, 25, 13, tzinfo=UTC)
    assert site.collect(whole).report.is_complete
    at_once = site.figures()
    assert any(row["avg_occupancy"] is not None for row in at_once["store_hourly"])
    assert any(row["avg_dwell_time_minutes"] is not None for row in at_once["store_daily"])
    with fresh_database(server_url, template_database) as url:
        other = Site(url, tmp_path / "other")
        other.register(fleet)
        monkeypatch.setattr(backfill, "HOURS_PER_RUN", 17)
        monkeypatch.setattr(backfill, "FIGURE_HOURS_PER_RUN", 23)
        for start, end in ((cut, whole.end), (whole.start, cut)):
            assert other.collect(TimeWindow(start, end)).report.is_complete
        assert other.figures() == at_once


def test_the_password_of_the_cameras_is_never_said(site: Site) -> None:
    wrong = Site(site.url, site.home, {PASSWORD_VARIABLE: "wr0ng"})
    said = wrong.run("collect", "--from", "2025-10-26", "--to", "2025-10-26T01:00Z", "--camera", "lisbon")
    assert said.code == 1
    for secret in ("wr0ng", DEFAULT_PASSWORD, str(make_url(site.url).password)):
        assert secret not in said.out + said.err
