"""What the bytes of a Milesight camera mean: everything tolerable is taken, everything wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_sensors.connectors.base import Endpoint, Outcome, Parsed
from retail_sensors.connectors.milesight import (
    ALARM_VALUES,
    MAX_COUNT_PER_HOUR,
    MAX_HEAT_PER_HOUR,
    parse_alarm,
    parse_heatmap,
    parse_people,
    parse_regional,
    request_target,
)

PEOPLE_HEADER = "StartTime, EndTime, Tolal - In, Tolal - Out, Tolal - Sum, " + ", ".join(
    f"Line{line} - {what}" for line in (1, 2, 3, 4) for what in ("In", "Out", "Sum")
)
PEOPLE_10 = "2025/07/22 10:00:00,2025/07/22 10:59:59,282,79,361,0,0,0,0,0,0,0,0,0,282,79,361"
PEOPLE_11 = "2025/07/22 11:00:00,2025/07/22 11:59:59,306,96,402,3,3,6,0,0,0,0,0,0,303,93,396"
REGIONAL_HEADER = "StartTime, EndTime, region1, region2, region3, region4, Sum"
REGIONAL_15 = "2025/07/18 15:00:00,2025/07/18 15:59:59,201,635,703,3,1542"
HEAT_HEADER = "StartTime,EndTime,Value(s)"
HEAT_15 = "2025-07-18 15:00:00,2025-07-18 15:59:59,15420"
ALARM = (
    "var region_entrance_alarm_status='0';var region_exit_alarm_status='0';var counter_alarm_status='1';"
    "var current_in_count='2722';var current_out_count='1008';var current_sum_count='3730';"
    "var current_capacity_count='1714';var current_counter_alarm='4';"
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def body(*lines: str, end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


def only_reason(parsed: Parsed) -> str:
    assert len(parsed.rejected) == 1
    return parsed.rejected[0].reason


def test_targets_ask_one_local_day_from_midnight() -> None:
    assert request_target(Endpoint.PEOPLE_COUNTING, date(2025, 7, 22)) == (
        "/dataloader.cgi?dw=vcalogcsv&report_type=0&linetype=31&statistics_type=3"
        "&time_start=2025-07-22-00:00:00&time_end=2025-07-22-23:59:59"
    )
    assert "lengthtype=0&length=0&region1=1&region2=1&region3=1&region4=1" in request_target(
        Endpoint.REGIONAL_COUNTING, date(2025, 7, 22)
    )
    assert request_target(Endpoint.HEATMAP_TEMPORAL, date(2025, 7, 22)).startswith(
        "/dataloader.cgi?dw=heatmapcsv&sub_type=0&"
    )
    assert request_target(Endpoint.ALARM_STATUS, None) == "/cgi-bin/operator/operator.cgi?action=get.vca.alarmstatus"


def test_people_rows_as_the_camera_writes_them() -> None:
    parsed = parse_people(body(PEOPLE_HEADER, PEOPLE_10, PEOPLE_11))
    assert parsed.outcome is Outcome.OK
    assert parsed.rejected == []
    first, second = parsed.rows
    assert first.values == (0, 0, 0, 0, 0, 0, 282, 79)
    assert second.values == (3, 3, 0, 0, 0, 0, 303, 93)
    assert (first.local_start, first.local_end) == (at("2025-07-22 10:00:00"), at("2025-07-22 10:59:59"))
    assert first.raw == PEOPLE_10
    assert first.label == "2025/07/22 10:00:00"


@pytest.mark.parametrize(
    "written",
    [
        body(PEOPLE_HEADER, PEOPLE_10, PEOPLE_11, end="\r\n"),
        body(PEOPLE_HEADER.replace("Tolal", "Total"), PEOPLE_10, PEOPLE_11),
        body(PEOPLE_HEADER.replace(" ", ""), PEOPLE_10, PEOPLE_11),
        body(PEOPLE_HEADER.upper(), PEOPLE_10, PEOPLE_11),
        body(PEOPLE_HEADER, PEOPLE_10.replace("2025/07/22", "2025-07-22"), PEOPLE_11),
        body(PEOPLE_HEADER, PEOPLE_10, PEOPLE_11).rstrip(b"\n"),
        b"\xef\xbb\xbf" + body(PEOPLE_HEADER, PEOPLE_10, PEOPLE_11) + b"\n\n",
        body(PEOPLE_HEADER + ", Firmware", PEOPLE_10 + ",x", PEOPLE_11 + ",y"),
        body(PEOPLE_HEADER, PEOPLE_10.replace(",", ", "), PEOPLE_11),
    ],
    ids=["crlf", "total", "no-spaces", "upper", "dashes", "no-last-end", "bom-blank", "unknown-column", "cell-spaces"],
)
def test_people_tolerates_what_firmware_may_change(written: bytes) -> None:
    parsed = parse_people(written)
    assert parsed.outcome is Outcome.OK
    assert [row.values for row in parsed.rows] == [(0, 0, 0, 0, 0, 0, 282, 79), (3, 3, 0, 0, 0, 0, 303, 93)]


def test_people_columns_are_found_by_name() -> None:
    header = ",".join(reversed([cell.strip() for cell in PEOPLE_HEADER.split(",")]))
    row = ",".join(reversed(PEOPLE_11.split(",")))
    parsed = parse_people(body(header, row))
    assert parsed.rows[0].values == (3, 3, 0, 0, 0, 0, 303, 93)
    assert parsed.rows[0].label == "2025/07/22 11:00:00"


def test_an_empty_cell_is_missing_and_never_zero() -> None:
    row = "2025/07/22 10:00:00,2025/07/22 10:59:59,,79,,,0,,0,0,0,0,0,0,282,79,361"
    parsed = parse_people(body(PEOPLE_HEADER, row))
    assert parsed.outcome is Outcome.OK
    assert parsed.rows[0].values == (None, 0, 0, 0, 0, 0, 282, 79)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (PEOPLE_10 + ",0", "18 cells, the header 17"),
        (PEOPLE_10.rsplit(",", 1)[0], "16 cells"),
        (PEOPLE_10.replace("282,79,361,0", "282,79,361,-1"), "'-1' is not a count"),
        (PEOPLE_10.replace("282,79,361,0", "282,79,361,1.5"), "'1.5' is not a count"),
        (PEOPLE_10.replace("282,79,361,0", "282,79,361,1_0"), "'1_0' is not a count"),
        (PEOPLE_10.replace("282,79,361,0", "282,79,361,NaN"), "'NaN' is not a count"),
        (PEOPLE_10.replace("282,79,361,0", f"282,79,361,{MAX_COUNT_PER_HOUR + 1}"), "beyond 100000"),
        (PEOPLE_10.replace("282,79,361,0", "282,79,361," + "9" * 5000), "beyond 100000"),
        (PEOPLE_10[:-3] + "362", "says 362 where its parts add up to 361"),
        (PEOPLE_10.replace("59,282,79,361", "59,281,79,360"), "says 281 where its parts add up to 282"),
        (PEOPLE_10.replace("59,282,79,361", "59,282,79,360"), "says 360 where its parts add up to 361"),
        (PEOPLE_10.replace("10:00:00", "25:00:00"), "is not a time"),
        (PEOPLE_10.replace("2025/07/22 10:00:00", "2025/07-22 10:00:00"), "is not a time"),
        (PEOPLE_10.replace("10:59:59", "23:59:59"), "not to the last second of an hour"),
        (PEOPLE_10.replace("10:59:59", "11:00:00"), "not to the last second of an hour"),
        ("total,,282,79,361,0,0,0,0,0,0,0,0,0,282,79,361", "is not a time"),
    ],
)
def test_a_wrong_row_is_set_aside_and_the_good_one_stays(row: str, reason: str) -> None:
    parsed = parse_people(body(PEOPLE_HEADER, row, PEOPLE_11))
    assert parsed.outcome is Outcome.OK_WITH_REJECTS
    assert [good.values for good in parsed.rows] == [(3, 3, 0, 0, 0, 0, 303, 93)]
    assert reason in only_reason(parsed)
    assert parsed.rejected[0].raw == row.encode()


def test_the_cap_itself_is_a_count() -> None:
    row = f"2025/07/22 10:00:00,2025/07/22 10:59:59,,,,{MAX_COUNT_PER_HOUR},0,,0,0,0,0,0,0,0,0,0"
    assert parse_people(body(PEOPLE_HEADER, row)).rows[0].values[0] == MAX_COUNT_PER_HOUR


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (b"<html><body>Login</body></html>", "HTML"),
        (b"\n  <!DOCTYPE html>\n<form>", "HTML"),
        (bytes(range(14, 256)) * 20, "does not begin with a report's header"),
        (b"\x00\x01\x02garbage\n\xff\xfe", "no column starttime"),
        (b'{"error": "busy"}', "no column starttime"),
        (body(PEOPLE_HEADER.replace("Line3 - In, ", ""), PEOPLE_10), "no column line3-in"),
        (body(PEOPLE_HEADER.replace("EndTime", "Until"), PEOPLE_10), "no column endtime"),
        (body(PEOPLE_HEADER.replace("Line2 - In", "Line1 - In"), PEOPLE_10), "'line1-in' twice"),
        (body(REGIONAL_HEADER, REGIONAL_15), "no column line1-in"),
    ],
)
def test_a_body_that_is_no_report_is_kept_whole(written: bytes, reason: str) -> None:
    parsed = parse_people(written)
    assert parsed.outcome is Outcome.NOT_DATA
    assert parsed.rows == []
    assert reason in only_reason(parsed)
    assert parsed.rejected[0].raw == written


@pytest.mark.parametrize("parse", [parse_people, parse_regional, parse_heatmap])
def test_a_blank_body_says_nothing(parse: Callable[[bytes], Parsed]) -> None:
    assert parse(b" \r\n\n").outcome is Outcome.EMPTY_BODY


def test_a_report_without_rows_is_an_answer() -> None:
    parsed = parse_people(body(PEOPLE_HEADER))
    assert parsed == Parsed([], [], Outcome.OK)


@pytest.mark.parametrize("kept_characters", range(1, len(PEOPLE_11)))
def test_no_cut_of_the_last_row_gives_a_wrong_count(kept_characters: int) -> None:
    parsed = parse_people(body(PEOPLE_HEADER, PEOPLE_10) + PEOPLE_11[:kept_characters].encode())
    values = [row.values for row in parsed.rows]
    if len(values) == 2:
        # Only the sum at the end of the row is gone.
        assert values[1] == (3, 3, 0, 0, 0, 0, 303, 93)
    else:
        assert parsed.outcome is Outcome.TRUNCATED
        assert "cut off" in only_reason(parsed)


def test_a_cut_heat_value_is_not_believed() -> None:
    parsed = parse_heatmap(body(HEAT_HEADER, HEAT_15) + b"2025-07-18 16:00:00,2025-07-18 16:59:59,15")
    assert parsed.outcome is Outcome.TRUNCATED
    assert [row.values for row in parsed.rows] == [(15420.0,)]


def test_the_last_hour_of_a_day_needs_no_line_end_if_the_length_was_announced() -> None:
    written = body(HEAT_HEADER) + b"2025-07-18 23:00:00,2025-07-18 23:59:59,15"
    assert parse_heatmap(written).outcome is Outcome.OK
    assert parse_heatmap(written, is_framed=False).outcome is Outcome.TRUNCATED


def test_a_body_of_unknown_length_must_reach_the_end_of_the_day() -> None:
    assert parse_people(body(PEOPLE_HEADER, PEOPLE_10), is_framed=False).outcome is Outcome.TRUNCATED
    whole = body(PEOPLE_HEADER, PEOPLE_10.replace(" 10:", " 23:"))
    assert parse_people(whole, is_framed=False).outcome is Outcome.OK


def test_a_cut_header_is_not_an_empty_day() -> None:
    assert parse_regional(b"StartTime, EndTime, region1, reg").outcome is Outcome.TRUNCATED


def test_an_endless_list_of_rows_is_refused_in_one_piece() -> None:
    parsed = parse_people(body(PEOPLE_HEADER, *([PEOPLE_10] * 1_500)))
    assert len(parsed.rows) == 1_000
    assert "1500 rows" in only_reason(parsed)


def test_regional_rows() -> None:
    parsed = parse_regional(body(REGIONAL_HEADER, REGIONAL_15))
    assert parsed.rows[0].values == (201, 635, 703, 3)
    assert "add up to 1542" in only_reason(parse_regional(body(REGIONAL_HEADER, REGIONAL_15[:-4] + "1543")))


def test_a_region_without_a_column_is_missing() -> None:
    parsed = parse_regional(body("StartTime, EndTime, region2, Sum", "2025/07/18 15:00:00,2025/07/18 15:59:59,635,635"))
    assert parsed.rows[0].values == (None, 635, None, None)
    none = parse_regional(body("StartTime, EndTime, Sum", "2025/07/18 15:00:00,2025/07/18 15:59:59,0"))
    assert none.rows[0].values == (None, None, None, None)
    assert parse_regional(body("StartTime, EndTime", "a,b")).outcome is Outcome.NOT_DATA


def test_heat_rows_keep_the_value_as_said() -> None:
    assert parse_heatmap(body(HEAT_HEADER, HEAT_15)).rows[0].values == (15420.0,)
    assert parse_heatmap(body(HEAT_HEADER, HEAT_15 + ".5")).rows[0].values == (15420.5,)
    assert parse_heatmap(body(HEAT_HEADER, HEAT_15.replace("15420", ""))).rows[0].values == (None,)


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e5", "0x10", ".", "1,2", str(MAX_HEAT_PER_HOUR + 1)])
def test_wrong_heat_values_are_set_aside(value: str) -> None:
    parsed = parse_heatmap(body(HEAT_HEADER, HEAT_15.replace("15420", value)))
    assert parsed.rows == []
    assert parsed.outcome is Outcome.OK_WITH_REJECTS


@pytest.mark.parametrize(
    "written",
    [
        ALARM,
        ALARM.replace(";", ";\n"),
        ALARM.replace(";", ";\r\n"),
        ALARM.replace("'", '"'),
        ALARM.replace("var ", "").replace("'", "").replace(";", "\n"),
        ALARM.rstrip(";"),
    ],
    ids=["one-line", "lf", "crlf", "double-quotes", "plain-lines", "no-last-semicolon"],
)
def test_alarm_forms(written: str) -> None:
    alarm = parse_alarm(written.encode())
    assert alarm.outcome is Outcome.OK
    assert set(alarm.values) == set(ALARM_VALUES)
    assert alarm.values["counter_alarm_status"] == 1
    assert alarm.values["current_in_count"] == 2722
    assert alarm.values["current_capacity_count"] == 1714
    assert alarm.values["current_counter_alarm"] == 4
    assert alarm.values["region1_in_alarm"] is None
    assert alarm.extra == {}


def test_alarm_keeps_unknown_keys_as_they_are() -> None:
    alarm = parse_alarm((ALARM + "var region2_out_alarm='1';var new_key='a;b';").encode())
    assert alarm.values["region2_out_alarm"] == 1
    assert alarm.extra == {"new_key": "a;b"}


def test_a_counter_may_have_more_out_than_in() -> None:
    alarm = parse_alarm(b"var current_in_count='3';var current_out_count='5';var current_capacity_count='-2';")
    assert alarm.values["current_capacity_count"] == -2


@pytest.mark.parametrize(
    ("written", "outcome", "reason"),
    [
        ("<html>current_in_count='1';</html>", Outcome.NOT_DATA, "HTML"),
        ("hello", Outcome.NOT_DATA, "no known key"),
        ("var other='1';", Outcome.NOT_DATA, "no known key"),
        ("var current_in_count='1\0';", Outcome.NOT_DATA, "binary"),
        (ALARM[:-20], Outcome.TRUNCATED, "cut off"),
        (ALARM.replace("2722", "-5"), Outcome.OK_WITH_REJECTS, "current_in_count is -5"),
        (ALARM.replace("2722", "many"), Outcome.OK_WITH_REJECTS, "'many', not a number"),
        (ALARM.replace("2722", "9" * 11), Outcome.OK_WITH_REJECTS, "outside"),
        (ALARM.replace("3730", "3731"), Outcome.OK_WITH_REJECTS, "make 3730"),
        (ALARM.replace("1714", "1715"), Outcome.OK_WITH_REJECTS, "make 1714"),
    ],
)
def test_wrong_alarm_bodies_are_refused(written: str, outcome: Outcome, reason: str) -> None:
    alarm = parse_alarm(written.encode())
    assert alarm.outcome is outcome
    assert alarm.values == {}
    assert reason in alarm.rejected[0].reason


def test_an_alarm_number_of_unknown_length_is_not_believed() -> None:
    assert parse_alarm(b"current_in_count=27").outcome is Outcome.OK
    assert parse_alarm(b"current_in_count=27", is_framed=False).outcome is Outcome.TRUNCATED
    assert parse_alarm(b"current_in_count=27\n", is_framed=False).outcome is Outcome.OK


PIECES = st.sampled_from(
    [
        PEOPLE_HEADER,
        PEOPLE_10,
        REGIONAL_HEADER,
        REGIONAL_15,
        HEAT_HEADER,
        HEAT_15,
        ALARM,
        ",",
        "\n",
        "\r",
        "=",
        "'",
        ";",
    ]
)
BODIES = st.binary(max_size=400) | st.lists(
    PIECES.map(str.encode) | st.binary(max_size=12) | st.text(max_size=6).map(str.encode), max_size=12
).map(b"\n".join)


@settings(max_examples=300)
@given(written=BODIES, is_framed=st.booleans())
def test_no_bytes_break_a_parser(written: bytes, is_framed: bool) -> None:
    for parse in (parse_people, parse_regional, parse_heatmap):
        parsed = parse(written, is_framed=is_framed)
        for row in parsed.rows:
            assert all(value is None or value >= 0 for value in row.values)
            assert row.raw.encode("latin-1") in written
        assert all(refused.reason for refused in parsed.rejected)
        assert bool(parsed.rejected) or parsed.outcome is not Outcome.NOT_DATA
    alarm = parse_alarm(written, is_framed=is_framed)
    assert (alarm.outcome is Outcome.OK) == bool(alarm.values)


@settings(max_examples=100)
@given(
    counts=st.lists(st.lists(st.integers(0, 20_000), min_size=8, max_size=8), min_size=24, max_size=24),
    cut=st.floats(0, 1, exclude_max=True),
)
def test_a_cut_day_gives_only_counts_that_were_in_it(counts: list[list[int]], cut: float) -> None:
    lines = [PEOPLE_HEADER]
    for hour, row in enumerate(counts):
        came, left = sum(row[0::2]), sum(row[1::2])
        cells = [came, left, came + left]
        for line in range(4):
            cells += [row[2 * line], row[2 * line + 1], row[2 * line] + row[2 * line + 1]]
        span = f"2025/07/22 {hour:02}:00:00,2025/07/22 {hour:02}:59:59"
        lines.append(",".join([span, *map(str, cells)]))
    written = body(*lines)
    assert [list(row.values) for row in parse_people(written).rows] == counts
    for kept in parse_people(written[: int(len(written) * cut)], is_framed=False).rows:
        assert list(kept.values) == counts[kept.local_start.hour]
