"""What the bytes of a spatial heat map mean, and how nine reports on one day become stays."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.connectors.base import Endpoint, LocalRow, Outcome
from retail_sensors.connectors.localtime import PlacedRow
from retail_sensors.connectors.milesight import (
    MAX_CELL_PER_DAY,
    STAY_LENGTHS,
    parse_spatial,
    request_target,
    stay_target,
)
from retail_sensors.connectors.stays import QUESTIONS, StayDay
from retail_sensors.tables.regions import STAY_SECONDS

DAY = date(2025, 7, 22)


def body(*points: Any, **more: Any) -> bytes:
    return json.dumps({"max": 25, "min": 0, "map_w": 4, "map_h": 3, "data": list(points), **more}).encode()


def point(x: int, y: int, value: int) -> dict[str, int]:
    return {"x": x, "y": y, "value": value}


def test_the_questions_ask_one_local_day() -> None:
    assert request_target(Endpoint.SPATIAL_HEATMAP, DAY) == (
        "/dataloader.cgi?dw=spaceheatmap&sub_type=0&time_start=2025-07-22-00:00:00&time_end=2025-07-22-23:59:59"
    )
    assert stay_target(3, DAY) == (
        "/dataloader.cgi?dw=regionalcountlogcsv&report_type=0&lengthtype=1&length=3&region1=1&region2=1&region3=1&region4=1"
        "&time_start=2025-07-22-00:00:00&time_end=2025-07-22-23:59:59"
    )
    assert STAY_LENGTHS == STAY_SECONDS


# Spatial heat maps ----------------------------------------------------------------------------------------------------


def test_sparse_points_become_a_map() -> None:
    found = parse_spatial(body(point(3, 0, 15), point(0, 2, 25)))
    assert found.outcome is Outcome.OK
    assert found.maximum == 25
    assert found.cells is not None
    assert found.cells.tolist() == [[0, 0, 0, 15], [0, 0, 0, 0], [25, 0, 0, 0]]


def test_a_map_without_sizes_has_192_by_192_cells() -> None:
    found = parse_spatial(b'{"max":9,"min":0,"data":[{"x":191,"y":0,"value":9}]}')
    assert found.cells is not None
    assert found.cells.shape == (192, 192)
    assert (found.cells[0, 191], found.cells.sum()) == (9, 9)


def test_an_empty_map_is_a_day_without_presence() -> None:
    found = parse_spatial(body())
    assert (found.outcome, found.cells is not None and int(found.cells.sum())) == (Outcome.OK, 0)


def test_the_same_point_twice_is_one_and_two_values_for_a_cell_are_none() -> None:
    found = parse_spatial(body(point(1, 1, 7), point(2, 1, 3), point(1, 1, 7), point(2, 1, 4)))
    assert found.outcome is Outcome.OK_WITH_REJECTS
    assert found.cells is not None
    assert (found.cells[1, 1], found.cells[1, 2], found.cells.sum()) == (7, 0, 7)
    assert [refused.reason for refused in found.rejected] == ["the cell x 2, y 1 is given twice, with 3 and 4"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (point(4, 0, 1), "the point x 4, y 0 lies outside of the map of 4 by 3 cells"),
        (point(0, 3, 1), "lies outside"),
        (point(-1, 0, 1), "lies outside"),
        (point(0, 0, -1), "the value -1 of a cell is outside of 0 to"),
        (point(0, 0, MAX_CELL_PER_DAY + 1), "is outside of 0 to"),
        ({"x": 0, "y": 0}, "no whole numbers"),
        ({"x": 0.5, "y": 0, "value": 1}, "no whole numbers"),
        ({"x": True, "y": 0, "value": 1}, "no whole numbers"),
        ({"x": "0", "y": 0, "value": 1}, "no whole numbers"),
        ([0, 0, 1], "not of the form"),
        (None, "not of the form"),
    ],
)
def test_a_bad_point_is_refused_and_the_good_ones_go_on(bad: Any, reason: str) -> None:
    found = parse_spatial(body(bad, point(2, 2, 8)))
    assert found.outcome is Outcome.OK_WITH_REJECTS
    assert found.cells is not None
    assert (found.cells[2, 2], found.cells.sum()) == (8, 8)
    (refused,) = found.rejected
    assert reason in refused.reason
    assert json.loads(refused.raw) == bad


@pytest.mark.parametrize(
    ("wrong", "outcome", "reason"),
    [
        (b"", Outcome.EMPTY_BODY, None),
        (b" \r\n", Outcome.EMPTY_BODY, None),
        (b"<html>login</html>", Outcome.NOT_DATA, "HTML"),
        (b"garbage", Outcome.NOT_DATA, "not JSON"),
        (b"\xff\xfe\x00", Outcome.NOT_DATA, "not JSON"),
        (b"[" * 100_000, Outcome.NOT_DATA, "not JSON"),
        (b'{"max": NaN, "data": []}', Outcome.NOT_DATA, "not JSON"),
        (b"[]", Outcome.NOT_DATA, "no points"),
        (b'{"data": {}}', Outcome.NOT_DATA, "no points"),
        (body(point(0, 0, 1))[:-9], Outcome.TRUNCATED, "cut off"),
        (body(map_w=0), Outcome.NOT_DATA, "map_w is 0"),
        (body(map_h=5000), Outcome.NOT_DATA, "map_h is 5000"),
        (body(map_w="wide"), Outcome.NOT_DATA, "map_w is wide"),
        (body(point(9, 9, 1), point(8, 8, 1)), Outcome.NOT_DATA, "not one of its 2 points can be meant: the point x 9"),
    ],
)
def test_a_body_that_is_no_map(wrong: bytes, outcome: Outcome, reason: str | None) -> None:
    found = parse_spatial(wrong)
    assert found.cells is None
    assert found.outcome is outcome
    assert reason is None or reason in found.rejected[-1].reason


def test_a_maximum_that_is_no_number_is_not_said() -> None:
    assert [parse_spatial(body(max=said)).maximum for said in (None, "many", -1, 9538, 12.0)] == [
        None,
        None,
        None,
        9538,
        12,
    ]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_parsing_never_raises(wrong: bytes) -> None:
    found = parse_spatial(wrong)
    assert found.cells is not None or found.rejected or found.outcome is Outcome.EMPTY_BODY


@settings(max_examples=40)
@given(
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 2)), st.integers(0, 10_000), max_size=12),
    st.randoms(use_true_random=False),
)
def test_a_map_adds_up_in_any_order_and_with_any_repetition(cells: dict[tuple[int, int], int], rng: Any) -> None:
    points = [point(x, y, value) for (x, y), value in cells.items()]
    points += rng.sample(points, len(points) // 2)
    rng.shuffle(points)
    found = parse_spatial(body(*points))
    assert found.cells is not None
    assert int(found.cells.sum()) == sum(cells.values())
    assert all(found.cells[y, x] == value for (x, y), value in cells.items())


# Stays ----------------------------------------------------------------------------------------------------------------


def placed(*hours: tuple[int | None, ...]) -> list[PlacedRow]:
    midnight = datetime(2025, 7, 22, tzinfo=UTC)
    rows = []
    for hour, values in enumerate(hours):
        if values:
            start = midnight + timedelta(hours=hour)
            local = start.replace(tzinfo=None)
            rows.append(PlacedRow(start, LocalRow(local, local, values, "", ""), None))
    return rows


def told(*answers: list[PlacedRow]) -> StayDay:
    day = StayDay(DAY)
    for answer in answers:
        day.take(answer)
    return day


def test_a_day_is_the_sum_of_its_hours_by_region() -> None:
    everyone = placed((10, 4, 0, None), (20, 6, 0, None))
    day = told(everyone, *[placed((5, 1, 0, None), (8, 2, 0, None))] * 8)
    assert day.is_complete
    assert dict(day.regions()) == {1: (30, *[13] * 8), 2: (10, *[3] * 8), 3: (0,) * 9}  # region 4 is not reported
    assert not day.heeds_no_length


def test_an_hour_that_one_answer_lacks_is_left_out_of_all() -> None:
    answers = [placed((10, 1, 1, 1), (20, 1, 1, 1))] * (QUESTIONS - 2)
    day = told(*answers, placed((), (9, 1, 1, 1)), placed((10, 1, 1, 1), (9, None, 1, 1)))
    assert dict(day.regions()) == {1: (20, *[20] * 6, 9, 9), 3: (1,) * 9, 4: (1,) * 9}


def test_questions_follow_one_another_and_nobody_needs_no_second() -> None:
    day = StayDay(DAY)
    assert day.target == request_target(Endpoint.REGIONAL_COUNTING, DAY)
    day.take(placed((1, 0, 0, 0)))
    assert (day.target, day.subject) == (stay_target(0, DAY), "region_stays over 5 s of 2025-07-22")
    assert not day.is_complete
    nobody = told(placed((0, 0, 0, None)))
    assert nobody.is_complete
    assert dict(nobody.regions()) == dict.fromkeys((1, 2, 3), (0,) * 9)


def test_a_camera_that_heeds_no_length_shows_by_its_many_long_stays() -> None:
    assert told(*[placed((15, 5, 0, 0))] * QUESTIONS).heeds_no_length
    assert not told(*[placed((14, 5, 0, 0))] * QUESTIONS).heeds_no_length  # 19 may all have stayed for half an hour
    assert not told(*[placed((15, 500, 0, 0))] * (QUESTIONS - 1), placed((14, 500, 0, 0))).heeds_no_length


def test_an_answer_without_rows_gives_no_region() -> None:
    assert list(told([]).regions()) == []
