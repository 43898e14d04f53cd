"""Staffing plans: worked examples of need, shift and sentences, and what holds for every plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.analytics.roster import Roster
from retail_sensors.analytics.staffing import DEFAULT_STAR_TARGET, REASONS, Hour, actions, staffing_plan
from retail_sensors.storage.frames import check_frame
from retail_sensors.tables.inputs import STAFF_HOURS
from retail_sensors.tables.predictions import STAFFING_PLAN
from retail_sensors.tables.queues import STORE_SERVICE
from retail_sensors_tests.unit.analytics_estate import camera, identity, roster, store, typed, utc

MONDAY = utc("2026-02-02T15:00")
OPENING = {day: [["10:00", "20:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat")}
UNKNOWN = float("nan")


def shop(zone: str = "UTC", target: float | None = None) -> Roster:
    estate = roster([store("shop", zone, opening=OPENING)], [camera("door", "shop")], {"door": ["entrance"]})
    if target is None:
        return estate
    row = {
        "store_id": identity("shop"),
        "service_rate_per_minute": 0.8,
        "target_minutes": 5.0,
        "target_share": 0.8,
        "star_target": target,
    }
    return replace(estate, service=typed(STORE_SERVICE, [row]))


def forecasts(values: Sequence[float], start: datetime = MONDAY) -> pd.DataFrame:
    """Expected visitors of the hours from a start on, each with an interval of 10 to both sides."""
    second = int(start.timestamp())
    return pd.DataFrame(
        {
            "store_id": identity("shop"),
            "prediction_second": int(MONDAY.timestamp()) - 3 * 3600,
            "target_second": [second + 3600 * number for number in range(len(values))],
            "predicted_value": np.array(values, dtype=float),
            "lower_80": np.maximum(np.array(values, dtype=float) - 10, 0),
            "upper_80": np.array(values, dtype=float) + 10,
        }
    )


def staff(values: Sequence[float], start: datetime = MONDAY) -> pd.DataFrame:
    rows = [
        {
            "store_id": identity("shop"),
            "hour_start": start + timedelta(hours=number),
            "staff": value,
            "updated_at": start,
        }
        for number, value in enumerate(values)
    ]
    return typed(STAFF_HOURS, rows)


NO_STAFF = typed(STAFF_HOURS, [])


def said(plan: pd.DataFrame, horizon: str = "shift") -> list[list[str]]:
    return [json.loads(text) for text in plan.loc[plan["horizon"] == horizon, "actions"]]


def test_a_plan_by_hand() -> None:
    # 15:00 to 20:00 are left of Monday; 12 visitors an hour of staff by default
    plan = staffing_plan(MONDAY, shop(), forecasts([24, 36, 37, 20, 12]), staff([3, 3, 3, 3, 3]))
    check_frame(plan, STAFFING_PLAN, "staffing_plan")
    shift = plan[plan["horizon"] == "shift"]
    assert shift["target_start"].dt.hour.tolist() == [15, 16, 17, 18, 19]
    assert shift["staff_needed"].tolist() == [2, 3, 4, 2, 1]  # 24 / 12, 36 / 12, 37 / 12 rounded up, ...
    assert shift["staff_needed_upper"].tolist() == [3, 4, 4, 3, 2]
    assert shift["staff_planned"].tolist() == [3, 3, 3, 3, 3]
    assert set(plan["target_source"]) == {"default_target"}
    assert set(plan["star_target"]) == {DEFAULT_STAR_TARGET}
    assert said(plan) == [
        [],
        [],
        [
            "Bring in 1 more from 17:00 to 18:00: up to 37 visitors an hour expected (80 % interval 27 to 47), 4 staff needed, "
            "3 planned."
        ],
        [],
        [
            "1 of 3 planned can do other work from 19:00 to 20:00: up to 12 visitors an hour expected (80 % interval 2 to "
            "22), 2 staff suffice up to the upper end."
        ],
    ]
    now = plan[plan["horizon"] == "immediate"].iloc[0]
    assert (now["target_start"], now["staff_needed"]) == (pd.Timestamp(MONDAY), 2)
    following = plan[plan["horizon"] == "next_hour"].iloc[0]
    assert (following["target_start"].hour, following["staff_needed"]) == (16, 3)
    assert now["prediction_time"] == pd.Timestamp(MONDAY) - pd.Timedelta(hours=3)


def test_equal_steps_of_neighbouring_hours_are_one_action() -> None:
    plan = staffing_plan(MONDAY, shop(), forecasts([36, 40, 45, 36, 30]), staff([3, 3, 3, 3, 3]))
    assert said(plan)[1] == [
        "Bring in 1 more from 16:00 to 18:00: up to 45 visitors an hour expected (80 % interval 35 to 55), 4 staff needed, 3 planned."
    ]
    assert said(plan)[2] == []


def test_where_the_plan_fits_nothing_is_needed() -> None:
    plan = staffing_plan(MONDAY, shop(), forecasts([30, 36, 30, 30, 30]), staff([3, 3, 3, 3, 3]))
    assert said(plan)[0] == [
        "Nothing needed from 15:00 to 20:00: up to 36 visitors an hour expected (80 % interval 26 to 46), 3 staff needed, 3 planned."
    ]
    assert said(plan)[1:] == [[]] * 4


def test_nothing_is_said_of_hours_without_a_forecast() -> None:
    told = forecasts([30, 36, 30, 30, 30]).drop(index=[2, 4])
    assert said(staffing_plan(MONDAY, shop(), told, staff([3, 3, 3, 3, 3]))) == [
        [
            "Nothing needed from 15:00 to 17:00: up to 36 visitors an hour expected (80 % interval 26 to 46), 3 staff needed, 3 "
            "planned."
        ],
        [],
        [],
        [
            "Nothing needed from 18:00 to 19:00: up to 30 visitors an hour expected (80 % interval 20 to 40), 3 staff needed, 3 "
            "planned."
        ],
        [],
    ]


def test_without_a_staff_plan_the_need_is_said() -> None:
    plan = staffing_plan(MONDAY, shop(target=20), forecasts([24, 36, 37, 20, 12]), NO_STAFF)
    assert plan.loc[plan["horizon"] == "shift", "staff_needed"].tolist() == [2, 2, 2, 1, 1]
    assert set(plan["target_source"]) == {"store"}
    assert said(plan)[0] == [
        "Have 2 on the floor from 15:00 to 18:00: up to 37 visitors an hour expected (80 % interval 27 to 47); no staff plan is "
        "loaded."
    ]
    assert [len(sentences) for sentences in said(plan)] == [1, 0, 0, 1, 0]
    assert json.loads(plan["quality"].iloc[0]) == {"staff_planned": "no_staff_plan"}


def test_where_nobody_is_needed_nothing_is_said() -> None:
    nobody = staffing_plan(MONDAY, shop(), forecasts([0, 0, 0, 0, 0]), NO_STAFF)
    assert not np.signbit(nobody[["staff_needed", "expected_visitors"]].to_numpy(dtype=float)).any()
    assert set(nobody["actions"]) == {"[]"}
    assert said(staffing_plan(MONDAY, shop(), forecasts([0, 0, 0, 0, 0]), staff([0, 0, 0, 0, 0]))) == [[]] * 5
    late = staffing_plan(MONDAY, shop(), forecasts([24, 24, 24, 0, 0]), NO_STAFF)
    assert [len(sentences) for sentences in said(late)] == [1, 0, 0, 0, 0]
    assert said(late)[0][0].startswith("Have 2 on the floor from 15:00 to 18:00: ")


def test_after_closing_the_shift_is_that_of_the_next_open_day() -> None:
    saturday = utc("2026-02-07T21:00")  # closed on Sunday
    plan = staffing_plan(saturday, shop(), forecasts([24.0] * 60, saturday), NO_STAFF)
    shift = plan[plan["horizon"] == "shift"]
    assert shift["target_start"].min() == pd.Timestamp(utc("2026-02-09T10:00"))
    assert len(shift) == 10
    assert said(plan)[0][0].startswith("Have 2 on the floor on Mon from 10:00 to 20:00: ")
    closed = plan[plan["horizon"] != "shift"]
    assert (closed[["expected_visitors", "staff_needed", "staff_needed_upper"]] == 0).all(axis=None)
    assert said(plan, "immediate") == [[]]


def test_hours_are_those_of_the_stores_own_clock() -> None:
    at = utc("2026-02-02T06:00")  # 11:30 in Kolkata
    plan = staffing_plan(at, shop("Asia/Kolkata"), forecasts([24.0] * 30, at - timedelta(minutes=30)), NO_STAFF)
    assert plan.loc[plan["horizon"] == "immediate", "target_start"].iloc[0] == pd.Timestamp(utc("2026-02-02T05:30"))
    assert (plan["horizon"] == "shift").sum() == 9
    assert said(plan)[0][0].startswith("Have 2 on the floor from 11:00 to 20:00: ")


def test_what_is_not_forecast_is_null_with_its_reason() -> None:
    plan = staffing_plan(MONDAY, shop(), forecasts([]), NO_STAFF)
    check_frame(plan, STAFFING_PLAN, "staffing_plan")
    assert plan[["expected_visitors", "visitors_lower", "staff_needed", "prediction_time"]].isna().all(axis=None)
    reasons = json.loads(plan["quality"].iloc[0])
    assert reasons["expected_visitors"] == reasons["staff_needed"] == reasons["prediction_time"] == "no_forecast"
    assert set(reasons.values()) <= set(REASONS)
    assert set(plan["actions"]) == {"[]"}


def test_a_store_without_an_entrance_line_or_that_never_opens() -> None:
    aside = roster([store("shop")], [camera("door", "shop")], {"door": ["internal"]})
    assert staffing_plan(MONDAY, aside, forecasts([1.0]), NO_STAFF).empty
    shut = roster([store("shop", opening={})], [camera("door", "shop")], {"door": ["entrance"]})
    plan = staffing_plan(MONDAY, shut, forecasts([]), NO_STAFF)
    assert plan["horizon"].tolist() == ["immediate", "next_hour"]
    assert json.loads(plan["quality"].iloc[0])["prediction_time"] == "closed"


def test_part_of_a_person_planned_counts() -> None:
    assert [action.extra for action in actions([_hour(0, 3, 3, 2.5)])] == [1]
    assert [action.extra for action in actions([_hour(0, 1, 1, 2.5)])] == [-1]
    assert list(actions([_hour(0, 1, 2, 2.5)])) == []


def _hour(number: int, needed: float, needed_upper: float, planned: float) -> Hour:
    return Hour(3600 * number, needed * 12, needed * 12, needed_upper * 12, needed, needed_upper, planned)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(UNKNOWN), st.integers(0, 9).map(float)),
            st.integers(0, 4),
            st.one_of(st.just(UNKNOWN), st.integers(0, 9).map(float)),
            st.integers(1, 2),
        ),
        max_size=24,
    )
)
def test_actions_add_up_to_what_is_short_and_what_is_spare(rows: list[tuple[float, int, float, int]]) -> None:
    number, hours = 0, []
    for needed, more, planned, step in rows:
        hours.append(_hour(number, needed, needed + more, planned))
        number += step
    found = list(actions(hours))
    total = sum(action.extra * (action.end - action.first) for action in found)
    known = [hour for hour in hours if not np.isnan(hour.needed) and not np.isnan(hour.planned)]
    short = sum(max(hour.needed - hour.planned, 0) for hour in known)
    spare = sum(max(hour.planned - hour.needed_upper, 0) for hour in known)
    assert total == pytest.approx(short - spare)
    covered = [at for action in found for at in range(action.first, action.end)]
    assert len(covered) == len(set(covered))
    assert not any(np.isnan(hours[at].needed) for at in covered)
    assert all(
        hours[at].wall == hours[at - 1].wall + 3600 for action in found for at in range(action.first + 1, action.end)
    )
