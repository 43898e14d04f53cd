"""Stays and spatial heat maps, from simulated cameras over real sockets into their tables: every day once, refusals recorded."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.analytics.spatial import unpack
from retail_sensors.assets.regions import STAY_ASSETS
from retail_sensors.connectors.base import Camera, Collection, Endpoint, Outcome, TimeWindow
from retail_sensors.connectors.collector import Collector, CollectorSettings
from retail_sensors.connectors.http import HttpSettings
from retail_sensors.connectors.leases import LocalLeases
from retail_sensors.connectors.stays import QUESTIONS, STAY_COLUMNS
from retail_sensors.io_managers.postgres import PostgresIOManager
from retail_sensors.partitions import range_tags
from retail_sensors.resources.cameras import CamerasResource
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.simulator.camera import DEFAULT_REGIONS, SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, SimulatedStore, running
from retail_sensors.simulator.switches import Fault, FaultKind, Switches
from retail_sensors.simulator.traffic import Generated, OpeningHours
from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import sql_directory
from retail_sensors_tests.installations import RecordedInMemory, Site
from retail_sensors_tests.integration.stored import register
from retail_sensors_tests.integration.test_collector import registered

# A Wednesday; the Sunday before had 25 hours in New York.
NOW = datetime(2025, 11, 5, 17, 20, tzinfo=UTC)
ZONE = "America/New_York"
HOUR = timedelta(hours=1)
SATURDAY, SUNDAY, MONDAY, TUESDAY = (date(2025, 11, day) for day in (1, 2, 3, 4))
SETTINGS = CollectorSettings(
    http=HttpSettings(connect_seconds=30.0, total_seconds=30.0, tries=1, backoff_seconds=0.01), lease_seconds=0.05
)
STAYS, SPATIAL = Endpoint.REGION_STAYS, Endpoint.SPATIAL_HEATMAP


class Standing(ClockResource):
    """A clock that stands at NOW."""

    def now(self) -> datetime:
        return NOW


def simulated(name: str = "door", timezone: str = ZONE, **options: Any) -> SimulatedCamera:
    return SimulatedCamera(name, timezone, Generated(seed=7, visitors_per_day=300.0), **options)


@contextmanager
def fleet(*cameras: SimulatedCamera, now: datetime = NOW) -> Iterator[SimulatedFleet]:
    stores = [SimulatedStore("Shop", ZONE, "US", OpeningHours.daily("10:00-22:00"), 180, 620.0)]
    for camera in cameras:
        camera.store = "Shop"
    with running(SimulatedFleet(cameras, clock=lambda: now, stores=stores)) as served:
        yield served


def days(first: date, last: date) -> TimeWindow:
    """The partitions of the dates, both included."""
    return TimeWindow(
        datetime(first.year, first.month, first.day, tzinfo=UTC),
        datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1),
    )


def collect(cameras: list[Camera], endpoint: Endpoint, span: TimeWindow, now: datetime = NOW) -> Collection:
    return Collector(SETTINGS, clock=lambda: now).collect_sync(
        cameras, endpoint, span, lease=LocalLeases(), run_id="run"
    )


def told(collection: Collection) -> list[tuple[datetime, str, int]]:
    log = collection.log
    return list(zip(log.hour_start.dt.to_pydatetime(), log.outcome, log.row_count, strict=True))


def regions_of(served: SimulatedFleet, day: date) -> list[int]:
    """Detections by region of the camera's local day, as they were simulated."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 -- the camera's wall clock
    counts = served.cameras["door"].truth(midnight, midnight + timedelta(days=1))
    return [sum(hour.counts.regions[region] for hour in counts if hour.counts) for region in range(4)]


def midnight(day: date, offset: int) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + offset * HOUR


# What a sweep brings home -----------------------------------------------------------------------------------------------


def test_nine_questions_give_the_stays_of_each_ended_day() -> None:
    with fleet(simulated()) as served:
        collection = collect(registered(served), STAYS, days(SATURDAY, date(2025, 11, 5)))
        # The fifth runs still; a day is logged at its first hour, whose offset changes on Sunday.
        assert told(collection) == [
            (midnight(SATURDAY, 4), "ok", 1),
            (midnight(SUNDAY, 4), "ok", 1),
            (midnight(MONDAY, 5), "ok", 1),
            (midnight(TUESDAY, 5), "ok", 1),
        ]
        assert served.served("door").requests == 4 * QUESTIONS
        assert served.served("door").max_in_flight == 1
        rows = collection.rows
        for day in (SATURDAY, SUNDAY, MONDAY, TUESDAY):
            of_day = rows[rows.date == day].set_index("region_number")
            assert of_day.detections.tolist() == regions_of(served, day)
            for number, region in DEFAULT_REGIONS.items():
                share = of_day.over_30_s[number] / of_day.detections[number]
                assert share == pytest.approx(region.longer_share(30), abs=0.06)


@pytest.mark.parametrize("status", [401, 404, 502])
def test_a_camera_that_refuses_is_recorded_and_asked_no_further(status: int) -> None:
    switches = Switches().with_text(f"region_stays={status}").with_text(f"spatial_heat_map={max(status, 404)}")
    outcome = {401: "unauthorized", 404: "not_found", 502: "server_error"}[status]
    with fleet(simulated(switches=switches)) as served:
        collection = collect(registered(served), STAYS, days(MONDAY, TUESDAY))
        assert [row[1:] for row in told(collection)] == [(outcome, 0)] * 2
        assert collection.rows.empty
        # The plain question is a report of its own, which it answers; the first length it refuses.
        assert served.served("door").requests == 2 * 2
        assert "region_stays over 5 s of 2025-11-03" in collection.log.error.iloc[0]
        assert collect(registered(served), SPATIAL, days(MONDAY, MONDAY)).rows.empty


def test_a_firmware_without_lengths_gives_no_stays() -> None:
    with fleet(simulated(switches=Switches().with_text("stay_length=ignored"))) as served:
        collection = collect(registered(served), STAYS, days(MONDAY, MONDAY))
        assert collection.rows.empty
        assert told(collection) == [(midnight(MONDAY, 5), "no_rows", 0)]
        assert "as if no length were asked for" in collection.log.error.iloc[0]


def test_a_failure_in_the_middle_leaves_no_half_day() -> None:
    with fleet(simulated(faults=[Fault(FaultKind.TRUNCATED, 0.3, endpoint=STAYS)])) as served:
        collection = collect(registered(served), STAYS, days(SATURDAY, TUESDAY))
        answered = {start.date() for start, _, rows in told(collection) if rows}
        assert set(collection.rows.date) == answered
        assert len(collection.log) == 4 > len(answered)
        assert served.served("door").requests < 4 * QUESTIONS


@pytest.mark.parametrize("kind", [FaultKind.NEGATIVE_NUMBERS, FaultKind.DUPLICATE_ROWS, FaultKind.UNORDERED_ROWS])
def test_hours_that_an_answer_spoils_are_left_out_of_all_of_them(kind: FaultKind) -> None:
    with fleet(simulated(faults=[Fault(kind, endpoint=STAYS)])) as served:
        collection = collect(registered(served), STAYS, days(MONDAY, MONDAY))
        spoilt = kind is FaultKind.NEGATIVE_NUMBERS
        assert [row[1:] for row in told(collection)] == [("ok_with_rejects" if spoilt else "ok", 1)]
        assert (collection.log.rejected_count.iloc[0] > 0) == spoilt
        for found, simulated_count in zip(collection.rows.detections, regions_of(served, MONDAY), strict=True):
            assert 0 < found < simulated_count if spoilt else found == simulated_count


def test_a_day_is_asked_for_when_it_has_ended_by_the_cameras_clock() -> None:
    just_after = datetime(2025, 11, 5, 5, 3, tzinfo=UTC)  # New York's Tuesday ended three minutes ago
    with fleet(simulated(), now=just_after) as served:
        assert [row[1] for row in told(collect(registered(served), STAYS, days(TUESDAY, TUESDAY), just_after))] == [
            "ok"
        ]
        early = just_after - timedelta(minutes=2)  # within the settling time
        assert collect(registered(served), STAYS, days(TUESDAY, TUESDAY), early).log.empty
    with fleet(simulated(clock_offset_seconds=-600.0), now=just_after) as served:
        for endpoint in (STAYS, SPATIAL):
            slow = collect(registered(served), endpoint, days(TUESDAY, TUESDAY), just_after)
            assert [row[1:] for row in told(slow)] == [("no_rows", 0)]
            assert "by its own clock the day has not ended" in slow.log.error.iloc[0]
            assert slow.rows.empty


def test_a_day_ends_where_the_camera_hangs() -> None:
    with fleet(simulated(timezone="Pacific/Auckland")) as served:
        collection = collect(registered(served), STAYS, days(date(2025, 11, 5), date(2025, 11, 6)))
        # It is the morning of the 6th there, and the 5th began at 11:00 UTC of the 4th.
        assert told(collection) == [(datetime(2025, 11, 4, 11, tzinfo=UTC), "ok", 1)]


def test_a_region_without_a_column_has_no_stays() -> None:
    drawn = {number: DEFAULT_REGIONS[number] for number in (1, 3)}
    with fleet(simulated(regions=drawn, switches=Switches(region_columns="only_configured"))) as served:
        assert collect(registered(served), STAYS, days(MONDAY, MONDAY)).rows.region_number.tolist() == [1, 3]


def test_a_day_without_anybody_takes_one_question() -> None:
    nobody = SimulatedCamera("door", ZONE, Generated(visitors_per_day=0.0, passersby_per_day=0.0))
    with fleet(nobody) as served:
        rows = collect(registered(served), STAYS, days(MONDAY, MONDAY)).rows
        assert served.served("door").requests == 1
        assert rows[list(STAY_COLUMNS)].to_numpy().tolist() == [[0] * QUESTIONS] * 4


def test_zeros_beyond_what_a_camera_holds_are_no_day_without_people() -> None:
    forgetful = Switches(retention_days=1, heat_retention_days=1)
    with fleet(simulated(switches=forgetful)) as served:
        (camera,) = registered(served)
        declared = replace(camera, retention_days={Endpoint.REGIONAL_COUNTING: 1, Endpoint.HEATMAP_TEMPORAL: 1})
        for endpoint in (STAYS, SPATIAL):
            collection = collect([declared], endpoint, days(MONDAY, TUESDAY))
            assert [row[1:] for row in told(collection)] == [("beyond_retention", 0), ("ok", 1)]
            assert set(collection.rows.date) == {TUESDAY}
    with fleet(simulated()) as served:
        # It holds more than it was declared to; nobody stays for half an hour, which is no sign of forgetting.
        (camera,) = registered(served)
        declared = replace(camera, retention_days={Endpoint.REGIONAL_COUNTING: 1})
        collection = collect([declared], STAYS, days(MONDAY, MONDAY))
        assert [row[1:] for row in told(collection)] == [("ok", 1)]
        assert collection.rows.over_1800_s.sum() == 0 < collection.rows.detections.sum()


def test_a_busy_camera_is_one_line_of_the_log_for_each_day() -> None:
    with fleet(simulated()) as served:
        (camera,) = registered(served)
        leases = LocalLeases(wait_seconds=0.05)

        async def sweep() -> Collection:
            async with leases.hold(camera):
                return await Collector(SETTINGS, clock=lambda: NOW).collect(
                    [camera], STAYS, days(MONDAY, TUESDAY), lease=leases, run_id=None
                )

        collection = asyncio.run(sweep())
        assert [row[1:] for row in told(collection)] == [(Outcome.BUSY.value, 0)] * 2


@pytest.mark.parametrize("text", ["heat_scale=1", "heat_scale=10", "spatial_size=absent"])
def test_a_spatial_map_adds_up_to_the_heat_of_the_day(text: str) -> None:
    switches = Switches().with_text(text)
    with fleet(simulated(switches=switches)) as served:
        collection = collect(registered(served), SPATIAL, days(SUNDAY, MONDAY))
        assert [row[1] for row in told(collection)] == ["ok", "ok"]
        for row in collection.rows.to_dict("records"):
            start = datetime(row["date"].year, row["date"].month, row["date"].day)  # noqa: DTZ001
            hours = served.cameras["door"].truth(start, start + timedelta(days=1))
            heat = sum(hour.counts.heat_seconds for hour in hours if hour.counts) * switches.heat_scale
            cells = unpack(row["cells"], row["map_w"], row["map_h"])
            assert (cells.shape, int(cells.sum()), row["rejected_points"]) == ((192, 192), heat, 0)
            assert row["max"] == cells.max()
            assert len(row["cells"]) < 40_000


# What the assets store --------------------------------------------------------------------------------------------------


def materialize(
    site: Site, first: date, last: date, config: Mapping[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    database, clock = DatabaseResource(), Standing()
    defs = dg.Definitions(
        assets=list(STAY_ASSETS),
        jobs=[dg.define_asset_job("days", selection=list(STAY_ASSETS), executor_def=dg.in_process_executor)],
        resources={
            "database": database,
            "cameras": CamerasResource(database=database, clock=clock),
            "io_manager": PostgresIOManager(database=database),
        },
    )
    with site.entered(RecordedInMemory) as installation:
        return defs.resolve_job_def("days").execute_in_process(
            instance=installation.dagster_instance(),
            tags=range_tags(first.isoformat(), last.isoformat()),
            run_config={
                "ops": {name: {"config": dict(config or {})} for name in ("region_stays", "heatmap_spatial_raw")}
            },
            raise_on_error=False,
        )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Metadata of the asset's last partition."""
    *_, event = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def contents(site: Site) -> list[list[tuple[Any, ...]]]:
    return [
        site.fetch("SELECT * FROM retail.region_stays ORDER BY 1, 2, 3"),
        site.fetch("SELECT sensor_id, date, total_seconds, updated_at FROM retail.heatmap_spatial_raw ORDER BY 1, 2"),
    ]


def test_days_are_stored_once_with_their_curve_and_their_map(database_url: str, tmp_path: Path) -> None:
    site = Site(database_url, tmp_path / "home")
    refusing = Switches().with_text("region_stays=404").with_text("spatial_heat_map=502")
    with fleet(simulated(switches=Switches(heat_scale=10)), simulated("old", switches=refusing)) as served:
        site.register(served)
        result = materialize(site, SUNDAY, MONDAY)
        assert result.success
        stays = site.fetch(
            "SELECT s.sensor_name, r.region_number, r.date, r.detections, r.stay_over_30_s, r.mean_stay_seconds, r.quality"
            " FROM retail.region_stays AS r JOIN retail.sensor_metadata AS s ON s.id = r.sensor_id ORDER BY 3, 2"
        )
        assert [row[:4] for row in stays] == [
            ("door", region, day, detections)
            for day in (SUNDAY, MONDAY)
            for region, detections in enumerate(regions_of(served, day), start=1)
        ]
        for _, region, _, _, share, mean, quality in stays:
            expected = DEFAULT_REGIONS[region]
            assert share == pytest.approx(expected.longer_share(30), abs=0.06)
            # Eight points of a curve that falls fast: the chords lie above it.
            assert mean == pytest.approx(expected.mean_stay_seconds, rel=0.25)
            assert set(quality) <= {"stay"}
        ((total, scaled),) = site.fetch(
            "SELECT sum(m.total_seconds), (SELECT count(*) FROM retail.collection_log WHERE endpoint = 'spatial_heatmap')"
            " FROM retail.heatmap_spatial_raw AS m"
        )
        sunday = datetime(2025, 11, 2)  # noqa: DTZ001
        hours = served.cameras["door"].truth(sunday, sunday + timedelta(days=2))
        assert total == pytest.approx(sum(hour.counts.heat_seconds for hour in hours if hour.counts))
        assert scaled == 4
        assert site.outcomes("old", STAYS) == {"not_found": 2}
        assert site.outcomes("old", SPATIAL) == {"server_error": 2}

        shown = metadata(result, "region_stays")
        assert shown["regions and days"] == 8
        assert shown["cameras complete"] == "1 of 2"
        assert "old" in shown["incomplete cameras"]
        assert is_svg(shown["share that stays longer"])
        spatial = metadata(result, "heatmap_spatial_raw")
        assert is_svg(spatial["where people stand"])
        first, *_ = result.asset_materializations_for_node("region_stays")
        assert "share that stays longer" not in first.metadata

        # Asked once: only the camera that gave nothing is asked again, and nothing changes.
        stored, requests = contents(site), served.served("door").requests
        assert materialize(site, SUNDAY, MONDAY).success
        assert (contents(site), served.served("door").requests) == (stored, requests)
        assert materialize(site, SUNDAY, TUESDAY).success
        assert served.served("door").requests == requests + QUESTIONS + 1
        known = contents(site)
        assert [len(rows) for rows in known] == [12, 3]

        # Probed: the camera that lacks both is left alone.
        assert site.run("cameras", "probe").code == 0
        before = [served.served(name).requests for name in ("door", "old")]
        assert materialize(site, SUNDAY, TUESDAY).success
        assert [served.served(name).requests for name in ("door", "old")] == before
        assert materialize(site, MONDAY, MONDAY, {"cameras": ["door"], "overwrite": True}).success
        assert served.served("door").requests == before[0] + QUESTIONS + 1
        assert contents(site) == known
        assert not materialize(site, MONDAY, MONDAY, {"cameras": ["nobody"]}).success


def is_svg(markdown: str) -> bool:
    encoded = markdown.partition("base64,")[2].removesuffix(")")
    assert len(encoded) < 120_000
    return base64.b64decode(encoded).startswith(b"<?xml")


def test_a_step_fails_only_when_nobody_can_be_reached(database_url: str, tmp_path: Path) -> None:
    site = Site(database_url, tmp_path / "home")
    with fleet(simulated()) as served:
        site.register(served)
        served.set_faults("door", [Fault(FaultKind.REFUSED)])
        result = materialize(site, MONDAY, MONDAY)
        assert not result.success
        assert site.outcomes("door", STAYS) == {"refused": 1}
        assert json.loads(json.dumps(site.contents(("region_stays",)))) == {"region_stays": []}


def test_cameras_that_are_asked_for_everything_are_asked_for_days_too_from_the_migration_on(database: Database) -> None:
    everything, door = register(database, "everything", "door")
    four = '["people_counting", "regional_counting", "heatmap_temporal", "vca_alarm_status"]'

    def endpoints() -> dict[str, list[str]]:
        return dict(database.fetch("SELECT id::text, endpoints FROM retail.sensor_metadata"))

    def run(file: str) -> None:
        statement = (sql_directory() / "migrations" / file).read_text().rpartition("UPDATE")[2].partition(";")[0]
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(f"UPDATE {statement}")

    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE retail.sensor_metadata SET endpoints = %s WHERE id = %s", (four, everything))
    before = endpoints()
    for _ in range(2):
        run("0004_region_stays.sql")
        assert endpoints() == {everything: [endpoint.value for endpoint in Endpoint], door: ["people_counting"]}
    run("0004_region_stays.down.sql")
    assert endpoints() == before
