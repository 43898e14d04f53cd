"""What the simulator counts and says, without a socket: traffic, replayed recordings, and the camera's bodies."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.errors import ConfigurationError
from retail_sensors.simulator.camera import DEFAULT_REGIONS, SimulatedCamera, counts
from retail_sensors.simulator.damage import damage
from retail_sensors.simulator.replay import read_replay
from retail_sensors.simulator.switches import Fault, FaultKind, Switches
from retail_sensors.simulator.traffic import Counts, Generated, OpeningHours, RegionHabit, local_hours

LISBON = ZoneInfo("Europe/Lisbon")
NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")
ZONES = [LISBON, NEW_YORK, KOLKATA, ZoneInfo("Pacific/Auckland")]
# The clocks of Lisbon: 2026-03-29 has 23 hours, 2026-10-25 has 25.
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
ALARM = "/cgi-bin/operator/operator.cgi?action=get.vca.alarmstatus"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def ask(kind: str, day: str, **more: str) -> str:
    parameters = {"dw": kind, "time_start": f"{day}-00:00:00", "time_end": f"{day}-23:59:59", **more}
    return "/dataloader.cgi?" + "&".join(f"{name}={value}" for name, value in parameters.items())


def table(body: bytes) -> list[list[str]]:
    return [line.split(",") for line in body.decode().splitlines()[1:]]


@dataclass(frozen=True)
class Ramp:
    """Traffic whose hours can be told apart: hour n since 2026-01-01 has n people in and none out over line 1."""

    @property
    def lines(self) -> Mapping[int, str]:
        return {1: "entrance"}

    def day(self, day: date, zone: ZoneInfo) -> Mapping[datetime, Counts]:
        starts = [hour.starts_at for hour in local_hours(day, zone)]
        return {
            start: Counts(((self.number(start), 0), (0, 0), (0, 0), (0, 0)), (self.number(start), 0, 0, 0), 60)
            for start in starts
        }

    @staticmethod
    def number(start: datetime) -> int:
        return int((start - utc(2026, 1, 1)) / timedelta(hours=1))


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [(LISBON, SPRING, 23), (LISBON, AUTUMN, 25), (LISBON, date(2026, 7, 1), 24), (KOLKATA, date(2026, 7, 1), 24)],
)
def test_a_local_day_has_the_hours_that_truly_pass(zone: ZoneInfo, day: date, expected: int) -> None:
    hours = local_hours(day, zone)
    assert len(hours) == expected
    steps = {later.starts_at - earlier.starts_at for earlier, later in pairwise(hours)}
    assert steps == {timedelta(hours=1)}
    assert hours[-1].starts_at + timedelta(hours=1) == local_hours(day + timedelta(days=1), zone)[0].starts_at


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    day=st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    zone=st.sampled_from(ZONES),
    hours=st.sampled_from(["10:00-22:00", "00:00-24:00", "09:30-18:15", "00:30-03:00"]),
    roles=st.sampled_from([{1: "entrance", 4: "passerby"}, {1: "entrance", 2: "entrance", 3: "internal"}]),
)
def test_everybody_who_enters_leaves_by_closing(
    seed: int, day: date, zone: ZoneInfo, hours: str, roles: dict[int, str]
) -> None:
    source = Generated(seed=seed, opening_hours=OpeningHours.daily(hours), lines=roles)
    made = source.day(day, zone)
    assert made == source.day(day, zone)
    assert list(made) == [hour.starts_at for hour in local_hours(day, zone)]
    inside = 0
    for one in made.values():
        doors = [one.lines[line - 1] for line, role in roles.items() if role == "entrance"]
        moved = sum(map(sum, doors))
        inside += sum(entered - left for entered, left in doors)
        assert inside >= 0
        assert one.regions[0] >= moved
        if not any(map(sum, one.lines)) and inside == 0:
            assert one.regions == (0, 0, 0, 0)
            assert one.heat_seconds == 0
    assert inside == 0


def test_a_closed_day_is_empty_and_other_seeds_and_days_differ() -> None:
    weekdays = OpeningHours.from_mapping({"mon": "10:00-22:00", "tue": "10:00-22:00"})
    source = Generated(opening_hours=weekdays)
    monday = date(2026, 2, 2)
    assert set(source.day(monday + timedelta(days=2), LISBON).values()) == {Counts()}
    days = [tuple(source.day(monday, LISBON).values()), tuple(source.day(monday + timedelta(days=1), LISBON).values())]
    days.append(tuple(Generated(seed=1, opening_hours=weekdays).day(monday, LISBON).values()))
    assert len(set(days)) == 3
    assert weekdays.as_mapping() == {"mon": "10:00-22:00", "tue": "10:00-22:00"}


def test_the_default_store_is_calibrated_on_the_real_day() -> None:
    source = Generated(seed=3)
    days = [source.day(date(2025, 7, 14) + timedelta(days=index), LISBON) for index in range(56)]

    def mean(value: float) -> float:
        return value / len(days)

    corridor = [mean(sum(sum(list(day.values())[hour].lines[3]) for day in days)) for hour in range(24)]
    real = [0] * 10 + [341, 406, 351, 382, 522, 585, 610, 508, 490, 385, 425, 321, 242, 14]
    assert corridor == pytest.approx(real, rel=0.08, abs=4)
    everything = [one for day in days for one in day.values()]
    assert mean(sum(sum(one.lines[0]) for one in everything)) == pytest.approx(161, rel=0.08)
    assert mean(sum(one.total_in for one in everything)) == pytest.approx(4178, rel=0.05)
    assert mean(sum(one.total_out for one in everything)) == pytest.approx(1565, rel=0.05)
    regions = [mean(sum(one.regions[region] for one in everything)) for region in range(4)]
    assert regions == pytest.approx([2658, 10914, 11824, 289], rel=0.05)
    heat = [mean(sum(list(day.values())[hour].heat_seconds for day in days)) for hour in range(10, 21)]
    assert sum(heat) == pytest.approx(147196, rel=0.08)


@pytest.mark.parametrize("text", ["10-22", "22:00-10:00", "10:00-25:00", "", "10:00-22:00-23:00"])
def test_opening_hours_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mon .*10:00-22:00"):
        OpeningHours.from_mapping({"mon": text})


def test_people_counting_body_to_the_byte() -> None:
    camera = SimulatedCamera("door", "Europe/Lisbon", Ramp())
    body = camera.answer(ask("vcalogcsv", "2026-01-02", linetype="31"), utc(2026, 1, 5)).body.decode()
    lines = body.split("\n")
    assert lines[0] == (
        "StartTime, EndTime, Tolal - In, Tolal - Out, Tolal - Sum, Line1 - In, Line1 - Out, Line1 - Sum, "
        "Line2 - In, Line2 - Out, Line2 - Sum, Line3 - In, Line3 - Out, Line3 - Sum, Line4 - In, Line4 - Out, Line4 - Sum"
    )
    assert lines[2] == "2026/01/02 01:00:00,2026/01/02 01:59:59,25,0,25,25,0,25,0,0,0,0,0,0,0,0,0"
    assert len(lines) == 1 + 24 + 1
    assert lines[-1] == ""


def test_sums_hold_in_every_row_and_the_alarm_status_agrees_with_the_day() -> None:
    camera = SimulatedCamera("door", "America/New_York", Generated(seed=5, lines={1: "entrance", 4: "passerby"}))
    now = utc(2026, 2, 6, 22, 17, 31)
    rows = table(camera.answer(ask("vcalogcsv", "2026-02-06"), now).body)
    totals = [0, 0]
    for row in rows:
        values = [int(cell) for cell in row[2:]]
        triples = [values[at : at + 3] for at in range(0, 15, 3)]
        assert all(entered + left == total for entered, left, total in triples)
        assert triples[0] == [sum(column) for column in zip(*triples[1:], strict=True)]
        totals = [totals[0] + triples[0][0], totals[1] + triples[0][1]]
    entered, left = totals
    assert entered > 100
    assert camera.answer(ALARM, now).body.decode() == (
        "var region_entrance_alarm_status='0';var region_exit_alarm_status='0';var counter_alarm_status='0';"
        f"var current_in_count='{entered}';var current_out_count='{left}';var current_sum_count='{entered + left}';"
        f"var current_capacity_count='{entered - left}';var current_counter_alarm='0';"
    )
    # 17:17:31 in New York: hours from 18:00 on have not begun.
    assert all(set(row[2:]) == {"0"} for row in rows[18:])
    assert int(rows[17][4]) > 0


def test_the_running_hour_grows_and_a_finished_one_stands_still() -> None:
    camera = SimulatedCamera("door", "Europe/Lisbon", Ramp())
    question = ask("vcalogcsv", "2026-01-05")
    seen = [
        int(table(camera.answer(question, utc(2026, 1, 5, 10) + timedelta(minutes=minutes)).body)[10][2])
        for minutes in (0, 15, 30, 59, 60, 600, 6000)
    ]
    assert seen == [0, 26, 53, 104, 106, 106, 106]


def test_regional_and_heat_bodies_and_the_share_of_long_stays() -> None:
    camera = SimulatedCamera("door", "Europe/Lisbon", Generated(seed=2))
    now = utc(2026, 3, 3)
    regional = camera.answer(ask("regionalcountlogcsv", "2026-03-02"), now).body.decode()
    assert regional.startswith("StartTime, EndTime, region1, region2, region3, region4, Sum\n2026/03/02 00:00:00,")
    heat = camera.answer(ask("heatmapcsv", "2026-03-02", sub_type="0"), now).body.decode()
    assert heat.startswith("StartTime,EndTime,Value(s)\n2026-03-02 00:00:00,2026-03-02 00:59:59,0\n")
    truth = counts(camera, datetime(2026, 3, 2), datetime(2026, 3, 3))  # noqa: DTZ001 - the camera's wall clock
    assert [row.counts.heat_seconds for row in truth if row.counts] == [int(row[2]) for row in table(heat.encode())]
    asked = table(regional.encode())
    assert [list(row.counts.regions) for row in truth if row.counts] == [list(map(int, row[2:6])) for row in asked]
    assert all(sum(map(int, row[2:6])) == int(row[6]) for row in asked)
    longer, shorter = (
        table(camera.answer(ask("regionalcountlogcsv", "2026-03-02", lengthtype=which, length="3"), now).body)
        for which in ("1", "2")
    )
    for everyone, stayed, left in zip(asked, longer, shorter, strict=True):
        assert [int(a) + int(b) for a, b in zip(stayed[2:], left[2:], strict=True)] == list(map(int, everyone[2:]))
    assert 0 < sum(int(row[6]) for row in longer) < sum(int(row[6]) for row in shorter)


def test_fewer_stay_longer_and_the_mean_stay_is_the_regions() -> None:
    # Many detections, so that rounding does not show.
    crowd = Generated(seed=2, regions=(RegionHabit(0.0, 50.0),) * 4)
    camera = SimulatedCamera("door", "Europe/Lisbon", crowd)
    now = utc(2026, 3, 3)
    everyone = table(camera.answer(ask("regionalcountlogcsv", "2026-03-02"), now).body)
    before = [list(map(int, row[2:6])) for row in everyone]
    for length, seconds in enumerate((5, 10, 30, 60, 100, 300, 600, 1800)):
        question = ask("regionalcountlogcsv", "2026-03-02", lengthtype="1", length=str(length))
        stayed = [list(map(int, row[2:6])) for row in table(camera.answer(question, now).body)]
        assert all(a <= b for row, former in zip(stayed, before, strict=True) for a, b in zip(row, former, strict=True))
        for region in range(4):
            share = sum(row[region] for row in stayed) / sum(int(row[2 + region]) for row in everyone)
            assert share == pytest.approx(DEFAULT_REGIONS[region + 1].longer_share(seconds), abs=2e-4)
        before = stayed


def test_only_drawn_regions_count() -> None:
    drawn = {3: DEFAULT_REGIONS[3]}
    now = utc(2026, 3, 3)
    zeros = SimulatedCamera("a", "Europe/Lisbon", Generated(), regions=drawn)
    row = table(zeros.answer(ask("regionalcountlogcsv", "2026-03-02"), now).body)[15]
    assert row[2:4] + row[5:6] == ["0", "0", "0"]
    assert row[4] == row[6] != "0"
    fewer = SimulatedCamera(
        "a", "Europe/Lisbon", Generated(), regions=drawn, switches=Switches(region_columns="only_configured")
    )
    body = fewer.answer(ask("regionalcountlogcsv", "2026-03-02"), now).body
    assert body.startswith(b"StartTime, EndTime, region3, Sum\n")
    assert table(body)[15][2:] == [row[4], row[4]]


def test_the_spatial_map_adds_up_to_the_temporal_report() -> None:
    camera = SimulatedCamera("door", "Europe/Lisbon", Generated(seed=2))
    now = utc(2026, 3, 3)
    found = json.loads(camera.answer(ask("spaceheatmap", "2026-03-02", sub_type="0"), now).body)
    assert (found["map_w"], found["map_h"], found["min"]) == (192, 192, 0)
    values = [point["value"] for point in found["data"]]
    assert found["max"] == max(values)
    assert min(values) > 0
    assert all(0 <= point["x"] < 192 and 0 <= point["y"] < 192 for point in found["data"])
    heat = table(camera.answer(ask("heatmapcsv", "2026-03-02"), now).body)
    assert sum(values) == sum(int(row[2]) for row in heat)
    assert 10_000 < len(values) < 20_000


def test_every_switch_changes_what_it_names() -> None:
    now = utc(2026, 10, 28)
    default = SimulatedCamera("a", "Europe/Lisbon", Ramp())
    people, heat, spatial = (ask(kind, "2026-10-25") for kind in ("vcalogcsv", "heatmapcsv", "spaceheatmap"))
    stays = ask("regionalcountlogcsv", "2026-10-25", lengthtype="1", length="0")
    plain = default.answer(people, now)
    seen = {}
    for name, switches in Switches.variants():
        camera = SimulatedCamera("a", "Europe/Lisbon", Ramp(), switches=switches, regions={1: DEFAULT_REGIONS[1]})
        seen[name] = (
            [camera.answer(question, now) for question in (people, heat, spatial, ALARM, stays)],
            camera.answer(ask("regionalcountlogcsv", "2026-10-25"), now).body.split(b"\n", 1)[0],
            camera.answer(ask("vcalogcsv", "2026-10-26").replace("23:59:59", "09:30:00"), now).body.count(b"\n"),
        )
    # The way to log in does not show in an answer, nor what is done with days that nobody asked about.
    same = [name for name, value in seen.items() if value == seen["default"]]
    assert same == ["default", "auth=digest", "beyond_retention=missing"]
    assert seen["time_end=honoured"][2] == 1 + 10
    assert seen["line_end=crlf"][0][0].body == plain.body.replace(b"\n", b"\r\n")
    assert seen["header_spaces=no"][0][0].body.startswith(b"StartTime,EndTime,Tolal-In,Tolal-Out,Tolal-Sum,Line1-In,")
    assert seen["content_type=application/octet-stream"][0][0].content_type == "application/octet-stream"
    assert seen["total_spelling=Total"][0][0].body == plain.body.replace(b"Tolal", b"Total")
    assert table(seen["heat_scale=10"][0][1].body)[5][2] == "600"
    assert [seen[f"spatial_heat_map={status}"][0][2].status for status in (502, 404)] == [502, 404]
    assert "map_w" not in json.loads(seen["spatial_size=absent"][0][2].body)
    assert [seen[f"region_stays={status}"][0][4].status for status in (401, 404, 502)] == [401, 404, 502]
    plain_regions = default.answer(ask("regionalcountlogcsv", "2026-10-25"), now)
    assert table(seen["stay_length=ignored"][0][4].body)[9][2] == table(plain_regions.body)[9][2] != "0"
    assert seen["alarm_form=key_value"][0][3].body.startswith(b"region_entrance_alarm_status=0\n")
    assert b";\r\nvar current_in_count=" in seen["alarm_form=crlf_lines"][0][3].body


def test_the_repeated_hour_and_the_gap() -> None:
    first, second = (Ramp.number(utc(2026, 10, 25, hour)) for hour in (0, 1))
    now = utc(2026, 10, 28)

    def labelled_one(repeated_hour: str) -> list[int]:
        switches = Switches().with_text(f"repeated_hour={repeated_hour}")
        rows = table(
            SimulatedCamera("a", "Europe/Lisbon", Ramp(), switches=switches)
            .answer(ask("vcalogcsv", "2026-10-25"), now)
            .body
        )
        assert len(rows) == (25 if repeated_hour == "listed_twice" else 24)
        return [int(row[2]) for row in rows if row[0].endswith(" 01:00:00")]

    assert labelled_one("listed_twice") == [first, second]
    assert labelled_one("merged") == [first + second]
    assert labelled_one("second_only") == [second]
    spring = table(SimulatedCamera("a", "Europe/Lisbon", Ramp()).answer(ask("vcalogcsv", "2026-03-29"), now).body)
    assert [row[0][11:13] for row in spring] == ["00", *(f"{hour:02}" for hour in range(2, 24))]


def test_windows_follow_from_the_start_and_the_report_type() -> None:
    camera = SimulatedCamera("a", "Asia/Kolkata", Ramp())
    now = utc(2026, 3, 20)

    def starts(**more: str) -> list[str]:
        return [row[0] for row in table(camera.answer(ask("vcalogcsv", "2026-03-02", **more), now).body)]

    several_days = starts(time_end="2026-03-09-00:00:00")
    assert len(several_days) == 24
    floored = starts(time_start="2026-03-02-05%3A45%3A10")
    assert (floored[0], floored[-1], len(floored)) == ("2026/03/02 05:00:00", "2026/03/03 04:00:00", 24)
    assert starts(report_type="1") == [f"2026/03/{day:02} 00:00:00" for day in range(2, 9)]
    assert len(starts(report_type="2")) == 31
    assert starts(report_type="3")[1] == "2026/02/01 00:00:00"
    day = sum(int(row[2]) for row in table(camera.answer(ask("vcalogcsv", "2026-03-02"), now).body))
    week = table(camera.answer(ask("vcalogcsv", "2026-03-02", report_type="1"), now).body)
    assert (week[0][1], int(week[0][2])) == ("2026/03/02 23:59:59", day)
    only_in = camera.answer(ask("vcalogcsv", "2026-03-02", statistics_type="0"), now).body
    assert only_in.startswith(b"StartTime, EndTime, Tolal - In, Line1 - In, Line2 - In, Line3 - In, Line4 - In\n")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/dataloader.cgi?dw=somethingelse&time_start=2026-03-02-00:00:00", 404),
        ("/dataloader.cgi?dw=vcalogcsv", 400),
        ("/dataloader.cgi?dw=vcalogcsv&time_start=2026-02-30-00:00:00", 400),
        ("/snapshot.cgi", 404),
        ("/cgi-bin/operator/operator.cgi?action=get.system.information", 401),
        ("/", 404),
    ],
)
def test_what_is_not_there_says_so(target: str, status: int) -> None:
    assert SimulatedCamera("a", "UTC", Ramp()).answer(target, utc(2026, 3, 3)).status == status


def test_retention_forgets_whole_days() -> None:
    now = utc(2026, 3, 20, 12)
    for beyond, kept in (("zero", 24), ("missing", 0)):
        switches = Switches(retention_days=7, heat_retention_days=3).with_text(f"beyond_retention={beyond}")
        camera = SimulatedCamera("a", "UTC", Ramp(), switches=switches)
        assert len(table(camera.answer(ask("vcalogcsv", "2026-03-13"), now).body)) == 24
        assert table(camera.answer(ask("vcalogcsv", "2026-03-13"), now).body)[5][2] != "0"
        old = table(camera.answer(ask("vcalogcsv", "2026-03-12"), now).body)
        assert len(old) == kept
        assert all(set(row[2:]) == {"0"} for row in old)
        assert len(table(camera.answer(ask("heatmapcsv", "2026-03-16"), now).body)) == kept


def test_a_crooked_clock_moves_counts_to_other_labels_and_loses_nobody() -> None:
    straight = SimulatedCamera("a", "UTC", Ramp())
    crooked = SimulatedCamera("a", "UTC", Ramp(), clock_offset_seconds=900)
    now = utc(2026, 3, 20, 12)
    assert crooked.clock(now) == now + timedelta(minutes=15)
    right = [int(row[2]) for row in table(straight.answer(ask("vcalogcsv", "2026-03-19"), now).body)]
    wrong = [int(row[2]) for row in table(crooked.answer(ask("vcalogcsv", "2026-03-19"), now).body)]
    before = Ramp.number(utc(2026, 3, 18, 23))
    # The row of 00:00 holds the last quarter of the hour before and the first three quarters of its own.
    assert wrong[0] == before - before * 3 // 4 + right[0] * 3 // 4
    assert sum(wrong) == sum(right) + before - before * 3 // 4 - (right[-1] - right[-1] * 3 // 4)
    drifting = SimulatedCamera(
        "a", "UTC", Ramp(), faults=[Fault(FaultKind.CLOCK_DRIFT, start=utc(2026, 3, 10), drift_seconds_per_day=30)]
    )
    assert drifting.clock(utc(2026, 3, 20)) - utc(2026, 3, 20) == timedelta(seconds=300)
    assert drifting.clock(utc(2026, 3, 9)) == utc(2026, 3, 9)
    for_a_day = Fault(FaultKind.CLOCK_OFFSET, start=utc(2026, 3, 10), end=utc(2026, 3, 11), offset_seconds=-60)
    straight.faults = (for_a_day,)
    assert straight.clock(utc(2026, 3, 10, 5)) == utc(2026, 3, 10, 4, 59)
    assert straight.clock(utc(2026, 3, 11)) == utc(2026, 3, 11)


def test_resets_take_effect_at_their_instant() -> None:
    camera = SimulatedCamera("a", "UTC", Ramp())
    question, noon = ask("vcalogcsv", "2026-03-19"), utc(2026, 3, 19, 12)
    before = table(camera.answer(question, noon).body)
    camera.faults = (Fault(FaultKind.COUNTER_RESET, start=utc(2026, 3, 19, 9)),)
    assert table(camera.answer(question, noon).body) == before
    since_nine = sum(int(row[2]) for row in before[9:12])
    assert f"current_in_count='{since_nine}'" in camera.answer(ALARM, noon).body.decode()
    camera.faults = (Fault(FaultKind.FACTORY_RESET, start=utc(2026, 3, 19, 9)),)
    after = table(camera.answer(question, noon).body)
    assert {row[2] for row in after[:9]} == {"0"}
    assert after[9:] == before[9:]
    before_and_after = [
        [row[2] for row in table(camera.answer(ask("vcalogcsv", "2026-03-18"), now).body)]
        for now in (utc(2026, 3, 19, 8), noon)
    ]
    assert "0" not in before_and_after[0]
    assert before_and_after[1] == ["0"] * 24


def test_the_counter_alarm_rises_at_its_limits() -> None:
    camera = SimulatedCamera("a", "UTC", Ramp(), counter_limits={"in": 10_000, "capacity": 1_000_000, "sum": 1})
    body = camera.answer(ALARM, utc(2026, 3, 19, 12)).body.decode()
    assert "counter_alarm_status='1'" in body
    assert "current_counter_alarm='9'" in body


def test_damage_leaves_the_other_rows_good() -> None:
    body = SimulatedCamera("a", "UTC", Ramp()).answer(ask("heatmapcsv", "2026-03-19"), utc(2026, 3, 20)).body
    good = body.splitlines()

    def spoiled(kind: FaultKind) -> list[bytes]:
        return damage(kind, body, random.Random(1), day_before=body.replace(b"03-19", b"03-18")).splitlines()

    negative, huge = spoiled(FaultKind.NEGATIVE_NUMBERS), spoiled(FaultKind.HUGE_NUMBERS)
    assert [line for line in negative if b",-61" in line] == negative[1::3]
    assert [index for index, pair in enumerate(zip(good, huge, strict=True)) if pair[0] != pair[1]] == list(
        range(1, 25, 3)
    )
    doubled = spoiled(FaultKind.DUPLICATE_ROWS)
    assert (len(doubled), set(doubled)) == (33, set(good))
    shuffled = spoiled(FaultKind.UNORDERED_ROWS)
    assert shuffled != good
    assert sorted(shuffled) == sorted(good)
    both_days = spoiled(FaultKind.OTHER_DAY)
    assert both_days[0] == good[0]
    assert both_days[25:] == good[1:]
    assert both_days[1].startswith(b"2026-03-18 00:00:00")
    alarm = SimulatedCamera("a", "UTC", Ramp()).answer(ALARM, utc(2026, 3, 20, 9)).body
    assert b"current_out_count='-1'" in damage(FaultKind.NEGATIVE_NUMBERS, alarm, random.Random(1))


def test_switches_and_faults_say_what_they_cannot_be() -> None:
    assert Switches().with_text("heat_scale=10").with_text("retention_days=7") == Switches(
        heat_scale=10, retention_days=7
    )
    assert Fault.from_text("truncated:0.25") == Fault(FaultKind.TRUNCATED, 0.25)
    for text in ("heat_scale=3", "no_such=1", "heat_scale", "retention_days=-1", "retention_days=soon"):
        with pytest.raises(ConfigurationError, match="switch"):
            Switches().with_text(text)
    for text in ("smoke", "empty:2", "empty:often", "factory_reset:0.5"):
        with pytest.raises(ConfigurationError, match="fault"):
            Fault.from_text(text)
    with pytest.raises(ConfigurationError, match="zone"):
        Fault(FaultKind.EMPTY, start=datetime(2026, 1, 1))  # noqa: DTZ001 - refused for just that
    with pytest.raises(ConfigurationError, match="Europe/Lisbon"):
        SimulatedCamera("a", "Europe/Nowhere", Ramp())


def recording(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def hours_of(first: str, number: int) -> list[str]:
    start = datetime.fromisoformat(first)
    return [(start + timedelta(hours=index)).isoformat(timespec="minutes") for index in range(number)]


def replayed(path: Path, name: str, zone: str, until: datetime) -> dict[str, tuple[int, int]]:
    """Label -> (in, out) of line 1 as the wire gives it, over all that is played."""
    source = read_replay(path, zone, until)[name]
    camera = SimulatedCamera(name, zone, source, regions={})
    found = {}
    for ordinal in range(source.first.toordinal(), source.last.toordinal() + 1):
        day = date.fromordinal(ordinal).isoformat()
        for row in table(camera.answer(ask("vcalogcsv", day), until + timedelta(days=400)).body):
            assert row[2:5] == row[5:8]
            found[row[0]] = (int(row[5]), int(row[6]))
    return found


def test_replay_of_sites_keeps_weekdays_and_ends_its_last_full_week_in_time(tmp_path: Path) -> None:
    # Saturday 2023-01-07 to Tuesday 2023-01-24: the last full week ends with Sunday 2023-01-22.
    labels = hours_of("2023-01-07T00:00", 24 * 18)
    lines = ["local_time,site,in_count,out_count,total"]
    lines += [f"{label},North Gate/A,{index},{index + 1},{2 * index + 1}" for index, label in enumerate(labels)]
    lines += [f"{label},South,,4,4" if index == 30 else f"{label},South,7,4,11" for index, label in enumerate(labels)]
    path = recording(tmp_path, "streets.csv.gz", lines)
    until = utc(2026, 2, 10, 15)  # a Tuesday in Dublin: the week ends on Monday 2026-02-09 at 00:00
    source = read_replay(path, "Europe/Dublin", until)["North Gate/A"]
    assert source.last == datetime.fromisoformat("2026-02-10T23:00")
    assert source.shift % timedelta(days=7) == timedelta(0)
    found = replayed(path, "North Gate/A", "Europe/Dublin", until)
    expected = [(index, index + 1) for index in range(len(labels))]
    assert list(found.values()) == expected
    assert next(iter(found)) == "2026/01/24 00:00:00"
    south = replayed(path, "South", "Europe/Dublin", until)
    # An empty cell is a missing row, not a zero.
    assert len(south) == len(labels) - 1
    assert "2026/01/25 06:00:00" not in south
    assert set(south.values()) == {(7, 4)}
    assert list(read_replay(path, "Europe/Dublin", until, ["South"])) == ["South"]


def test_replay_of_a_wide_table_and_of_half_hours(tmp_path: Path) -> None:
    labels = hours_of("2014-03-03T00:00", 24 * 7)
    lines = [
        "local_time,Briggate,Headrow",
        *(f"{label},{index},{'' if index < 5 else 3}" for index, label in enumerate(labels)),
    ]
    path = recording(tmp_path, "wide.csv", lines)
    until = utc(2014, 3, 10)  # exactly the end of the recorded week: nothing moves
    assert replayed(path, "Briggate", "Europe/London", until) == {
        label.replace("-", "/").replace("T", " ") + ":00": (index, 0) for index, label in enumerate(labels)
    }
    assert len(replayed(path, "Headrow", "Europe/London", until)) == 24 * 7 - 5
    slots = recording(
        tmp_path,
        "door.csv",
        [
            "slot,in_count,out_count",
            "2005-07-25T00:00:00,1,10",
            "2005-07-25T00:30:00,2,20",
            "2005-07-25T01:00:00,4,40",
            "2005-07-25T02:00:00,5,50",
            "2005-07-25T02:30:00,,",
            "2005-07-25T03:00:00,6,60",
            "2005-07-25T03:30:00,7,70",
        ],
    )
    found = replayed(slots, "door", "America/Los_Angeles", utc(2026, 2, 11))
    # Monday again; hours with one half missing have no row.
    assert found == {"2026/02/09 00:00:00": (3, 30), "2026/02/09 03:00:00": (13, 130)}


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["time,people", "2026-01-01T00:00,1"], "line 1 is not a known header"),
        (["local_time,a", "2026-01-01T00:00,1", "yesterday,1"], "line 3: 'yesterday' is not a time"),
        (["local_time,a", "2026-01-01T00:00,-1"], "line 2: a is '-1', not a count"),
        (["local_time,a", "2026-01-01T00:00,nan"], "line 2: a is 'nan', not a count"),
        (["local_time,a", "2026-01-01T00:30,1"], "line 2: .* is not a full hour"),
        (["local_time,a", "2026-01-01T00:00,1", "2026-01-01T00:00,1"], "line 3: .* comes twice"),
        (["local_time,a,b", "2026-01-01T00:00,1"], "line 2: 2 cells, the header has 3"),
        (["local_time,a"], "holds no counts"),
    ],
)
def test_a_file_that_cannot_be_played_is_refused_with_its_line(tmp_path: Path, lines: list[str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read_replay(recording(tmp_path, "bad.csv", lines), "UTC", utc(2026, 2, 1))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_replay(tmp_path / "absent.csv", "UTC", utc(2026, 2, 1))
