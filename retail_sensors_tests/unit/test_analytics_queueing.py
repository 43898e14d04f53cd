"""Queueing: published values, hours worked by hand, a simulated till, days as mixtures of their hours, bad input."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from retail_sensors.analytics import queueing
from retail_sensors.analytics.queueing import HYBRID, Service, queue_days, queue_hours
from retail_sensors.analytics.roster import Roster
from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.tables import Table
from retail_sensors.tables.inputs import QUEUE_GROUND_TRUTH
from retail_sensors.tables.queues import QUEUE_ANALYTICS, QUEUE_PERFORMANCE_DAILY, STORE_SERVICE
from retail_sensors_tests.unit.analytics_estate import identity, one, roster, store, typed, utc

STORE = roster([store("s")], [], {})
NOON = utc("2026-02-02T12:00")
COLUMNS = ("transactions", "detections", "stay_over_60_s", "entries", "open_lanes", "lanes")
COUNTED = ("actual_queue_length", "actual_wait_minutes")
LABELS = {"served"}
DATES = (date(2026, 1, 1), date(2026, 12, 31))
LATER = utc("2027-01-01T00:00")
NOBODY_COUNTED = typed(QUEUE_GROUND_TRUTH, [])


def _input(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Queue input; what a row does not give is NULL, the store `s`, the hour NOON."""
    return pd.DataFrame(
        {
            "store_id": pd.array([identity(row.get("store", "s")) for row in rows], dtype="string"),
            "hour_start": pd.Series([row.get("hour", NOON) for row in rows], dtype="datetime64[us, UTC]"),
            "stay_is_earlier": pd.array([row.get("stay_is_earlier", False) for row in rows], dtype="boolean"),
            **{
                name: pd.array([row.get(name) for row in rows], dtype="Float64")
                for name in (*COLUMNS, *COUNTED, *HYBRID)
            },
        }
    )


def _hour(**given: Any) -> dict[str, Any]:
    frame = queue_hours(_input([given]), STORE)
    _assert_table(frame, QUEUE_ANALYTICS)
    return one(frame)


def _till(hour: datetime, transactions: float | None, lanes: float | None, **more: Any) -> dict[str, Any]:
    return {"hour": hour, "transactions": transactions, "entries": 1000, "open_lanes": lanes, **more}


def _day(*rows: Mapping[str, Any], estate: Roster | None = None) -> dict[str, Any]:
    frame = queue_days(queue_hours(_input(rows), STORE), NOBODY_COUNTED, estate or STORE, DATES, LATER)
    _assert_table(frame, QUEUE_PERFORMANCE_DAILY)
    return one(frame)


def _assert_table(frame: pd.DataFrame, table: Table) -> None:
    """Declared columns and dtypes, finite numbers, unique keys, and a reason in `quality` for every NULL and no other."""
    assert list(frame.columns) == [column.name for column in table.written]
    assert not frame.duplicated(list(table.key)).any()
    for column in table.written:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
        if column.kind.pandas == "Float64":
            assert np.isfinite(frame[column.name].dropna().to_numpy(dtype=float)).all(), column.name
    for row in frame.to_dict("records"):
        quality = json.loads(row["quality"])
        empty = {name for name, value in row.items() if value is None or value is pd.NA}
        flagged = {name for name, word in quality.items() if word == "stay_from_earlier_day"}
        assert empty == set(quality) - LABELS - flagged, row
        assert {quality[name] for name in empty} <= set(queueing.REASONS)


def _exact(lanes: int, load: Fraction) -> Fraction:
    """Erlang C by its definition, in whole numbers."""
    waiting = load**lanes / math.factorial(lanes) * lanes / (lanes - load)
    return waiting / (sum((load**k / Fraction(math.factorial(k)) for k in range(lanes)), Fraction(0)) + waiting)


@pytest.mark.parametrize(
    ("load", "lanes", "expected"),
    [
        (0.5, 1, 0.5),  # M/M/1: the share of time that the lane is busy
        (1.0, 2, 1 / 3),  # (1/2 x 2) / (1 + 1 + 1)
        (2.0, 3, 4 / 9),  # Gross et al., the eye clinic with three doctors: 4 of 9 patients wait
        (10.0, 14, 0.1741),  # call centres' usual example: 200 calls an hour of 3 minutes, 14 agents
        (48.0, 55, 0.239),  # Mitan's example: 360 calls in half an hour of 4 minutes, 55 agents
        (0.0, 4, 0.0),
    ],
)
def test_erlang_c_gives_the_published_values(load: float, lanes: float, expected: float) -> None:
    assert queueing.erlang_c(np.array([load]), np.array([lanes]))[0] == pytest.approx(expected, abs=5e-4)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 999))
def test_erlang_c_agrees_with_its_definition(lanes: int, thousandths: int) -> None:
    load = Fraction(lanes * thousandths, 1000)
    found = queueing.erlang_c(np.array([float(load)]), np.array([float(lanes)]))[0]
    assert found == pytest.approx(float(_exact(lanes, load)), rel=1e-9)


def test_the_waits_of_published_examples() -> None:
    clinic = queueing.waits(np.array([6.0]), np.array([3.0]), Service(rate=3 / 60))
    assert clinic.length[0] == pytest.approx(8 / 9)  # Gross et al.: 0.889 patients wait,
    assert clinic.mean[0] + 20 == pytest.approx(
        28.9, abs=0.05
    )  # and one spends 28.9 minutes there, 20 of them in the test
    calls = queueing.waits(np.array([720.0]), np.array([55.0]), Service(rate=1 / 4, target_minutes=15 / 60))
    assert calls.mean[0] * 60 == pytest.approx(8.2, abs=0.05)
    assert calls.within[0] == pytest.approx(0.846, abs=5e-4)
    centre = queueing.waits(np.array([200.0]), np.array([14.0]), Service(rate=1 / 3, target_minutes=20 / 60))
    assert centre.within[0] == pytest.approx(0.888, abs=5e-4)
    assert centre.mean[0] * 60 == pytest.approx(7.8, abs=0.05)


def test_an_hour_of_one_lane_by_hand() -> None:
    # 24 an hour = 0.4 a minute, one lane serves 0.8: rho = C = 1/2, theta = 0.4
    row = _hour(transactions=24, entries=100, open_lanes=1, lanes=4)
    assert (row["offered_load"], row["wait_probability"]) == (pytest.approx(0.5), pytest.approx(0.5))
    assert row["estimated_wait_time_minutes"] == pytest.approx(1.25)
    assert row["wait_p90_minutes"] == pytest.approx(math.log(5) / 0.4)
    assert row["share_within_target"] == pytest.approx(1 - 0.5 * math.exp(-2))
    assert row["predicted_queue_length"] == pytest.approx(0.5)
    assert row["queue_velocity"] == pytest.approx(0.4)
    assert row["queue_performance_score"] == pytest.approx(100 - 50 * math.exp(-2))
    assert (row["congestion_level"], row["abandonment_risk_score"]) == ("low", 0.05)
    assert (row["recommended_open_lanes"], row["recommended_staff"], row["suggested_actions"]) == (1, 1, "[]")
    assert (row["arrivals_source"], row["lanes_source"]) == ("transactions", "roster")
    told = ("not_learnt", "no_ground_truth", "no_video")
    assert set(row["quality"].values()) == set(told)
    assert [name for name, word in row["quality"].items() if word == "no_video"] == [
        "queue_density",
        "organization_score",
        "movement_detected",
        "people_detected",
        "detection_confidence",
    ]
    assert (row["analysis_type"], row["frame_analyzed"]) == ("model", False)


def test_nine_of_ten_do_not_wait_where_fewer_than_a_tenth_wait_at_all() -> None:
    row = _hour(transactions=24, entries=100, open_lanes=4)
    assert row["wait_probability"] < 0.1
    assert row["wait_p90_minutes"] == 0


def test_lanes_without_a_roster_are_the_best_case() -> None:
    row = _hour(transactions=24, entries=100, lanes=2)
    assert (row["lanes"], row["lanes_source"]) == (2, "best_case")
    assert _hour(transactions=24, entries=100, open_lanes=1, lanes=2)["lanes"] == 1


def test_arrivals_are_transactions_then_long_stays_then_unknown() -> None:
    both = _hour(transactions=24, detections=400, stay_over_60_s=0.1, entries=100, lanes=2)
    assert (both["arrivals"], both["arrivals_source"]) == (24, "transactions")
    proxy = _hour(detections=400, stay_over_60_s=0.1, entries=100, lanes=2)
    assert (proxy["arrivals"], proxy["arrivals_source"]) == (pytest.approx(40), "detections_over_60_s")
    assert proxy["quality"]["transactions"] == "no_till_feed"
    assert "arrivals" not in proxy["quality"]
    older = _hour(detections=400, stay_over_60_s=0.1, stay_is_earlier=True, entries=100, lanes=2)
    assert (older["arrivals"], older["quality"]["arrivals"]) == (pytest.approx(40), "stay_from_earlier_day")
    assert "arrivals" not in _hour(transactions=9, stay_is_earlier=True, lanes=2)["quality"]
    for given_ in ({}, {"detections": 400}, {"stay_over_60_s": 0.1}, {"transactions": -1}):
        row = _hour(entries=100, lanes=2, **given_)
        assert row["arrivals"] is row["congestion_level"] is row["recommended_open_lanes"] is None
        assert row["quality"]["estimated_wait_time_minutes"] == "no_queue_input"


def test_more_arrivals_than_doors_explain_are_no_input() -> None:
    assert _hour(transactions=150, entries=100, lanes=9)["arrivals"] == 150
    assert _hour(transactions=151, entries=100, lanes=9)["arrivals"] is None
    # raw region counts, which Erlang C would answer with dozens of lanes
    assert _hour(detections=1137, stay_over_60_s=1.0, entries=250, lanes=4)["recommended_open_lanes"] is None


def test_without_entries_a_till_stands_and_detections_do_not() -> None:
    assert _hour(transactions=24, lanes=2)["arrivals"] == 24
    assert _hour(detections=240, stay_over_60_s=0.1, lanes=2)["arrivals"] is None


@pytest.mark.parametrize(("transactions", "lanes"), [(48, 1), (144, 3), (336, 7), (60, 1), (1, 0)])
def test_at_full_load_there_is_no_number(transactions: float, lanes: float) -> None:
    row = _hour(transactions=transactions, entries=400, open_lanes=lanes)
    for name in (
        "wait_probability",
        "estimated_wait_time_minutes",
        "wait_p90_minutes",
        "share_within_target",
        "predicted_queue_length",
        "abandonment_risk_score",
    ):
        assert row[name] is None
        assert row["quality"][name] == "overloaded"
    assert row["is_overloaded"]
    assert (row["congestion_level"], row["queue_performance_score"]) == ("critical", 0)
    assert row["queue_velocity"] == pytest.approx(0.8 * lanes)  # the lanes work without a pause
    assert row["recommended_open_lanes"] > lanes


def test_unknown_lanes_still_say_how_many_are_needed() -> None:
    row = _hour(transactions=24, entries=100)
    assert row["recommended_open_lanes"] == 1
    assert row["quality"]["estimated_wait_time_minutes"] == row["quality"]["suggested_actions"] == "no_lanes"
    assert not row["is_overloaded"]


def test_a_closed_till_at_which_nobody_comes_has_no_wait() -> None:
    row = _hour(transactions=0, entries=0, open_lanes=0)
    assert row["quality"]["estimated_wait_time_minutes"] == "no_lanes_open"
    assert not row["is_overloaded"]
    assert _hour(transactions=0, entries=0, open_lanes=1)["estimated_wait_time_minutes"] == 0


def test_a_closed_hour_in_which_nobody_comes_needs_no_lane() -> None:
    shop = _open("09:00", "18:00")
    noon, night = NOON, NOON.replace(hour=22)
    for lanes in (0, 1, 3, None):
        rows = [
            {**_till(night, 0, lanes), "lanes": 4},
            {**_till(noon, 0, lanes), "lanes": 4},
            _till(night + timedelta(hours=1), 9, lanes),
        ]
        frame = queue_hours(_input(rows), shop)
        _assert_table(frame, QUEUE_ANALYTICS)
        at_noon, closed, late = frame.to_dict("records")
        assert closed["recommended_open_lanes"] == closed["recommended_staff"] == 0
        assert closed["suggested_actions"] == "[]"
        assert at_noon["recommended_open_lanes"] == at_noon["recommended_staff"] == 1
        assert late["recommended_open_lanes"] == 1  # who comes is served, open or not
    assert json.loads(at_noon["suggested_actions"]) == []
    unknown = one(queue_hours(_input([_till(night, 0, None)]), shop))
    assert (unknown["recommended_open_lanes"], unknown["suggested_actions"]) == (0, None)


def test_suggested_actions_know_the_roster_and_the_store() -> None:
    busy = {"transactions": 120, "entries": 200}  # 2.5 lanes of work
    assert _hour(**busy, open_lanes=4)["recommended_open_lanes"] == 3
    actions = {
        (1, 5): [{"action": "open_lanes", "lanes": 2}],
        (1, 2): [{"action": "open_lanes", "lanes": 1}, {"action": "add_lanes", "lanes": 1}],
        (5, 5): [{"action": "close_lanes", "lanes": 2}],
        (3, 5): [],
        (None, 2): [{"action": "add_lanes", "lanes": 1}],
        (None, 5): [],
        # the roster has more lanes than the fleet file names
        (4, 2): [{"action": "close_lanes", "lanes": 1}],
    }
    for (opened, lanes), expected in actions.items():
        assert json.loads(_hour(**busy, open_lanes=opened, lanes=lanes)["suggested_actions"]) == expected


@pytest.mark.parametrize(
    ("minutes", "level", "risk"),
    [
        (0.0, "low", 0.05),
        (1.99, "low", 0.05),
        (2.0, "medium", 0.05),
        (5.0, "high", 0.05),
        (5.01, "high", 0.15),
        (10.0, "critical", 0.15),
        (15.0, "critical", 0.35),
        (15.01, "critical", 0.60),
    ],
)
def test_levels_and_risk_steps(minutes: float, level: str, risk: float) -> None:
    wait = np.array([minutes, np.nan])
    assert queueing.congestion_levels(wait, np.array([False, False])).tolist() == [level, None]
    steps = queueing.abandonment_steps(wait)
    assert steps[0] == risk
    assert np.isnan(steps[1])


@settings(deadline=None)
@given(st.floats(0, 3000), st.floats(0.05, 3), st.floats(0, 15), st.floats(0.05, 0.99))
def test_the_needed_lanes_are_the_fewest(arrivals: float, rate: float, target: float, share: float) -> None:
    service = Service(rate, target, share)
    needed = queueing.lanes_needed(np.array([arrivals]), service)
    assert queueing.waits(np.array([arrivals]), needed, service).within[0] >= share
    if needed[0] > 1:
        assert not queueing.waits(np.array([arrivals]), needed - 1, service).within[0] >= share


@settings(deadline=None)
@given(st.floats(0, 0.999), st.floats(1, 60), st.floats(0.01, 5))
def test_more_lanes_never_lengthen_the_wait(rho: float, lanes: float, more: float) -> None:
    arrivals = np.array([rho * lanes * 0.8 * 60])
    few = queueing.waits(arrivals, np.array([lanes]), Service())
    many = queueing.waits(arrivals, np.array([lanes + more]), Service())
    assert 0 <= many.probability[0] <= few.probability[0] + 1e-12 <= 1 + 1e-12
    assert many.mean[0] <= few.mean[0] + 1e-12
    assert many.within[0] >= few.within[0] - 1e-12
    assert few.length[0] == pytest.approx(arrivals[0] / 60 * few.mean[0])  # Little's law


def test_a_simulated_till_waits_as_the_formulas_say() -> None:
    # three lanes at rho = 0.6, first come first served; the mean of 100 000 waits has a standard error of 2 %
    rng = np.random.default_rng(20260202)
    count, lanes, arrivals = 100_000, 3, 86.4
    arrived = np.cumsum(rng.exponential(60 / arrivals, count)).tolist()
    served = rng.exponential(1 / 0.8, count).tolist()
    free = [0.0] * lanes
    waited = np.empty(count)
    for customer, (came, lasts) in enumerate(zip(arrived, served, strict=True)):
        start = max(came, heapq.heappop(free))
        waited[customer] = start - came
        heapq.heappush(free, start + lasts)
    model = queueing.waits(np.array([arrivals]), np.array([float(lanes)]), Service())
    assert (waited > 0).mean() == pytest.approx(model.probability[0], abs=0.02)
    assert waited.mean() == pytest.approx(model.mean[0], rel=0.08)
    assert np.quantile(waited, 0.9) == pytest.approx(model.p90[0], rel=0.08)
    assert (waited <= 5).mean() == pytest.approx(model.within[0], abs=0.02)


@pytest.mark.parametrize("service", [{"rate": 0}, {"target_minutes": -1}, {"target_share": 1.0}, {"rate": math.nan}])
def test_a_service_that_cannot_be_meant_is_refused(service: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be meant"):
        Service(**service)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ContractError, match="lanes"):
        queue_hours(_input([{}]).drop(columns="lanes"), STORE)


def test_order_and_doubled_rows_do_not_matter() -> None:
    rows = [_till(NOON + timedelta(hours=n), 10 * n, 1 + n % 3, store=s) for n in range(6) for s in ("s", "t")]
    frame = _input(rows)
    again = pd.concat([frame.iloc[::-1], frame]).reset_index(drop=True)
    estate = roster([store("s"), store("t")], [], {})
    assert_frame_equal(queue_hours(frame, estate), queue_hours(again, estate))
    assert len(queue_hours(frame, STORE)) == len(frame) / 2  # a store that nobody knows is left out


def test_nothing_in_nothing_out() -> None:
    hours = queue_hours(_input([]), STORE)
    _assert_table(hours, QUEUE_ANALYTICS)
    days = queue_days(hours, NOBODY_COUNTED, STORE, DATES, LATER)
    _assert_table(days, QUEUE_PERFORMANCE_DAILY)
    assert len(hours) == len(days) == 0


def test_a_day_of_two_hours_by_hand() -> None:
    # 24 at one lane: C = 1/2, theta = 0.4, wait 1.25; 48 at two lanes: C = 1/3, theta = 0.8, wait 5/12
    row = _day(_till(NOON, 24, 1), _till(NOON + timedelta(hours=1), 48, 2), estate=_open("12:00", "14:00"))
    assert row["total_queue_time_minutes"] == pytest.approx(24 * 1.25 + 48 * 5 / 12)
    assert row["avg_wait_time"] == pytest.approx(50 / 72)
    assert row["max_wait_time"] == pytest.approx(1.25)
    assert row["avg_queue_length"] == pytest.approx((0.5 + 0.8 * 5 / 12) / 2)
    assert (row["max_queue_length"], row["queue_peak_time"]) == (pytest.approx(0.5), time(12))
    assert row["avg_service_rate"] == pytest.approx(0.6)
    assert row["total_customers_served"] == 72
    # x = exp(-0.4 t): (12 x + 16 x^2) / 72 = 0.1
    x = (-12 + math.sqrt(144 + 4 * 16 * 7.2)) / 32
    assert row["wait_time_90th_percentile"] == pytest.approx(-math.log(x) / 0.4)
    within = 24 * (1 - math.exp(-2) / 2) + 48 * (1 - math.exp(-4) / 3)
    assert row["queue_efficiency_score"] == pytest.approx(100 * within / 72)
    assert row["staff_efficiency_score"] == pytest.approx(50)  # 1.5 lanes of work over 3 lane hours
    assert (row["data_completeness"], row["overloaded_hours"], row["recommendations_generated"]) == (1, 0, 0)
    assert row["quality"]["served"] == "transactions"
    assert row["quality"]["abandonment_rate"] == "no_ground_truth"


def _open(start: str, end: str, zone: str = "UTC") -> Roster:
    return roster([store("s", zone, opening={"mon": [[start, end]]})], [], {})


def test_the_p90_of_a_day_is_no_mean_of_p90s() -> None:
    quiet, busy = _till(NOON, 240, 9), _till(NOON + timedelta(hours=1), 47, 1)
    hours = queue_hours(_input([quiet, busy]), STORE)
    p90 = hours["wait_p90_minutes"].to_numpy(dtype=float)
    day = _day(quiet, busy)["wait_time_90th_percentile"]
    assert p90[0] == 0
    assert day > 1.2 * (240 * p90[0] + 47 * p90[1]) / 287


def test_an_overloaded_hour_leaves_no_mean_and_counts_as_not_served_in_time() -> None:
    calm = [_till(NOON + timedelta(hours=n), 24, 1) for n in range(9)]
    late = NOON + timedelta(hours=9)
    row = _day(*calm, _till(late, 20, 0.3), estate=_open("12:00", "22:00"))
    for name in ("avg_wait_time", "max_wait_time", "avg_queue_length", "max_queue_length", "total_queue_time_minutes"):
        assert row[name] is None
        assert row["quality"][name] == "overloaded"
    assert (row["overloaded_hours"], row["queue_peak_time"], row["data_completeness"]) == (1, time(21), 1)
    assert row["recommendations_generated"] == 1
    # 236 customers, 20 of them without a wait that exists: a tenth of all, 3.6 more may wait longer
    assert row["wait_time_90th_percentile"] == pytest.approx(-math.log(3.6 / 108) / 0.4)
    assert row["queue_efficiency_score"] == pytest.approx(100 * 216 * (1 - math.exp(-2) / 2) / 236)
    assert row["staff_efficiency_score"] == pytest.approx(100 * (9 * 0.5 + 20 / 48) / 9.3)
    worse = _day(*calm, _till(late, 30, 0.3))
    assert worse["quality"]["wait_time_90th_percentile"] == "overloaded"  # more than a tenth of 246
    assert _day(_till(NOON, 60, 1))["staff_efficiency_score"] == pytest.approx(125)
    unstaffed = _day(_till(NOON, 60, 0))
    assert (unstaffed["overloaded_hours"], unstaffed["avg_service_rate"], unstaffed["queue_efficiency_score"]) == (
        1,
        0,
        0,
    )
    assert unstaffed["quality"]["staff_efficiency_score"] == "no_lanes_open"


def test_the_day_is_that_of_the_store_and_of_its_open_hours() -> None:
    # 04:00 in UTC is 23:00 of the day before in New York, closed; what was sold then was still served that day
    estate = _open("09:00", "22:00", "America/New_York")
    rows = [
        _till(utc("2026-02-02T17:00"), 24, 1),
        _till(utc("2026-02-03T02:00"), 12, 1),
        _till(utc("2026-02-03T04:00"), 6, 0),
    ]
    row = _day(*rows, estate=estate)
    assert (row["date"], row["queue_peak_time"]) == (date(2026, 2, 2), time(12))
    assert row["total_customers_served"] == 42
    assert row["overloaded_hours"] == 0
    assert row["data_completeness"] == pytest.approx(2 / 13)
    assert row["avg_wait_time"] == pytest.approx((24 * 1.25 + 12 * 0.25 / 0.6) / 36)


def test_what_a_day_without_figures_says() -> None:
    closed = roster([store("s", opening={"tue": [["10:00", "20:00"]]})], [], {})
    assert _day(_till(NOON, 5, 1), estate=closed)["quality"]["avg_wait_time"] == "closed"
    assert _day({"entries": 5, "lanes": 2})["quality"]["avg_wait_time"] == "no_queue_input"
    assert _day(_till(NOON, 5, None))["quality"]["avg_wait_time"] == "no_lanes"
    assert _day(_till(NOON, 0, 0))["quality"]["avg_wait_time"] == "no_lanes_open"
    idle = _day(_till(NOON, 0, 1))
    assert (idle["max_wait_time"], idle["avg_queue_length"], idle["staff_efficiency_score"]) == (0, 0, 0)
    for name in ("avg_wait_time", "wait_time_90th_percentile", "queue_peak_time", "queue_efficiency_score"):
        assert idle["quality"][name] == "nobody_queued"


def test_served_is_a_proxy_without_a_till() -> None:
    row = _day({"detections": 100, "stay_over_60_s": 0.3, "entries": 200, "lanes": 3})
    assert row["total_customers_served"] == pytest.approx(30)
    assert row["quality"]["served"] == "proxy"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 200), st.integers(1, 6)), min_size=1, max_size=12),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_the_mixture_quantile_is_where_the_mixture_reaches_its_level(
    hours: list[tuple[float, int]], level: float
) -> None:
    arrivals = np.array([a for a, _ in hours])
    waits = queueing.waits(arrivals, np.array([float(c) for _, c in hours]), Service())
    good = ~np.isnan(waits.mean)
    endless = arrivals[~good].sum()
    group = np.zeros(good.sum(), dtype=np.int64)
    found = queueing.mixture_quantile(
        group, arrivals[good], waits.probability[good], waits.theta[good], 1, np.array([endless]), level
    )[0]
    total = arrivals.sum()
    if total == 0 or endless >= (1 - level) * total:
        assert np.isnan(found)
        return
    tail = (arrivals[good] * waits.probability[good] * np.exp(-waits.theta[good] * found)).sum() + endless
    assert tail <= (1 - level) * total * (1 + 1e-9)
    if found > 0:
        assert tail == pytest.approx((1 - level) * total)
        assert np.nanmin(waits.p90) <= found or level != 0.9


def test_each_store_has_the_service_that_it_says() -> None:
    estate = roster([store("s"), store("fast")], [], {})
    service = {"store_id": identity("fast"), "service_rate_per_minute": 1.6, "target_minutes": 1.0, "target_share": 0.9}
    estate = replace(estate, service=typed(STORE_SERVICE, [service]))
    frame = queue_hours(_input([{**_till(NOON, 48, 1), "store": name} for name in ("s", "fast")]), estate)
    assert one(frame, store_id="s")["is_overloaded"]
    fast = one(frame, store_id="fast")
    # M/M/1 at rho = 0.5 and mu = 1.6: theta 0.8, wait 0.625; P(W > 1) = e^-0.8 / 2 = 0.22, so that one lane is too few
    assert fast["estimated_wait_time_minutes"] == pytest.approx(0.625)
    assert fast["share_within_target"] == pytest.approx(1 - math.exp(-0.8) / 2)
    assert (fast["recommended_open_lanes"], fast["queue_velocity"]) == (2, pytest.approx(0.8))


def test_what_was_counted_stands_beside_what_is_reckoned() -> None:
    row = _hour(transactions=24, entries=100, open_lanes=1, actual_queue_length=0.75, actual_wait_minutes=2.5)
    assert (row["measured_queue_length"], row["actual_wait_time"]) == (0.75, 2.5)
    assert row["prediction_accuracy"] == pytest.approx(0.5)  # 1.25 minutes for 2.5
    far = _hour(transactions=24, entries=100, open_lanes=1, actual_wait_minutes=0.1)
    assert far["prediction_accuracy"] == 0  # 1.15 minutes off, of at least one
    assert far["quality"]["measured_queue_length"] == "no_ground_truth"
    over = _hour(transactions=60, entries=100, open_lanes=1, actual_wait_minutes=9)
    assert (over["actual_wait_time"], over["quality"]["prediction_accuracy"]) == (9, "overloaded")


def test_a_learnt_wait_moves_what_follows_from_it() -> None:
    learnt = {"learnt_wait": 2.0, "wait_coverage": 0.8, "learnt_length": 1.0, "learnt_lower": 0.5, "learnt_upper": 2.0}
    row = _hour(transactions=24, entries=100, open_lanes=1, length_coverage=0.75, **learnt)
    assert row["analysis_type"] == "hybrid"
    assert (row["estimated_wait_time_minutes"], row["predicted_queue_length"]) == (2, 1)
    assert (row["confidence_lower"], row["confidence_upper"], row["prediction_confidence"]) == (0.5, 2, 0.75)
    assert row["wait_time_confidence"] == 0.8
    # the formula's theta is 0.4: C = 2 x 0.4, and still P(W > t) = C e^(-0.4 t)
    assert row["wait_probability"] == pytest.approx(0.8)
    assert row["wait_p90_minutes"] == pytest.approx(math.log(8) / 0.4)
    assert row["share_within_target"] == pytest.approx(1 - 0.8 * math.exp(-2))
    assert row["congestion_level"] == "medium"
    # beyond 1 / theta everybody waits, and the line drains more slowly
    slow = _hour(transactions=24, entries=100, open_lanes=1, learnt_wait=5.0)
    assert (slow["wait_probability"], slow["wait_p90_minutes"]) == (1, pytest.approx(5 * math.log(10)))
    assert slow["quality"]["confidence_lower"] == "not_learnt"
    nobody = _hour(transactions=24, entries=100, open_lanes=1, learnt_wait=0.0)
    assert (nobody["wait_probability"], nobody["wait_p90_minutes"], nobody["share_within_target"]) == (0, 0, 1)


def test_nothing_learnt_is_believed_of_an_overload() -> None:
    row = _hour(transactions=60, entries=100, open_lanes=1, learnt_wait=2.0, learnt_length=2.0, wait_coverage=0.8)
    assert (row["analysis_type"], row["estimated_wait_time_minutes"]) == ("model", None)
    assert row["quality"]["wait_time_confidence"] == "not_learnt"


def _counted(*rows: Mapping[str, Any]) -> pd.DataFrame:
    given = [{"store_id": identity("s"), "minutes_counted": 60, "counted_by": "Ana", **row} for row in rows]
    return typed(QUEUE_GROUND_TRUTH, given)


def test_who_left_the_line_is_known_where_somebody_counted() -> None:
    estate = _open("12:00", "14:00")
    one_o_clock = NOON + timedelta(hours=1)
    hours = queue_hours(_input([_till(NOON, 24, 1), _till(one_o_clock, 48, 2)]), STORE)
    first = {"hour_start": NOON, "served": 20, "abandoned": 5}
    second = {"hour_start": one_o_clock, "served": 46, "abandoned": 4}
    closed = {"hour_start": NOON + timedelta(hours=5), "served": 1, "abandoned": 99}

    def day(*rows: Mapping[str, Any]) -> dict[str, Any]:
        frame = queue_days(hours, _counted(*rows), estate, DATES, LATER)
        _assert_table(frame, QUEUE_PERFORMANCE_DAILY)
        return one(frame)

    whole = day(first, second, closed)
    assert (whole["abandonment_count"], whole["abandonment_rate"]) == (9, pytest.approx(9 / 75))
    for partly in (day(first), day(first, {**second, "minutes_counted": 30}), day(first, {**second, "served": None})):
        assert partly["abandonment_count"] is None
        assert partly["quality"]["abandonment_count"] == "not_all_counted"
    assert day(first)["abandonment_rate"] == pytest.approx(0.2)
    idle = day({**first, "served": 0, "abandoned": 0}, {**second, "served": 0, "abandoned": 0})
    assert (idle["abandonment_count"], idle["quality"]["abandonment_rate"]) == (0, "nobody_queued")


def test_only_days_of_the_run_that_have_ended_there_get_a_row() -> None:
    estate = roster([store("s", "Pacific/Auckland"), store("t", "America/New_York")], [], {})
    start = utc("2026-02-01T00:00")
    rows = [_till(start + timedelta(hours=n), 5, 1, store=name) for n in range(96) for name in ("s", "t")]
    hours = queue_hours(_input(rows), estate)
    dates = (date(2026, 2, 2), date(2026, 2, 4))

    def found(now: datetime) -> set[tuple[str, date]]:
        frame = queue_days(hours, NOBODY_COUNTED, estate, dates, now)
        return {(store_id, day) for store_id, day in zip(frame["store_id"], frame["date"], strict=True)}

    s, t = identity("s"), identity("t")
    # Auckland's second of February ends at 11:00 UTC, New York's at 05:00 of the third
    assert found(utc("2026-02-02T10:59")) == set()
    assert found(utc("2026-02-02T11:00")) == {(s, dates[0])}
    assert found(utc("2026-02-03T05:00")) == {(s, dates[0]), (t, dates[0])}
    assert found(LATER) == {(of, date(2026, 2, day)) for of in (s, t) for day in (2, 3)}


@pytest.mark.parametrize(
    ("zone", "start", "length"),
    [
        ("Europe/Lisbon", "2026-10-24T23:00", 25),
        ("Europe/Lisbon", "2026-03-29T00:00", 23),
        ("Asia/Kolkata", "2026-03-28T18:30", 24),
    ],
)
def test_a_day_has_the_hours_of_its_zone(zone: str, start: str, length: int) -> None:
    estate = roster([store("s", zone)], [], {})
    day = utc(start).astimezone(ZoneInfo(zone)).date()
    rows = [_till(utc(start) + timedelta(hours=n), 24, 1) for n in range(length)]
    row = one(queue_days(queue_hours(_input(rows), estate), NOBODY_COUNTED, estate, (day, day + timedelta(1)), LATER))
    assert (row["data_completeness"], row["total_customers_served"]) == (1, 24 * length)
    assert row["total_queue_time_minutes"] == pytest.approx(24 * length * 1.25)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 90), st.sampled_from([0, 1, 2, 3])), min_size=24, max_size=24))
def test_a_day_holds_the_customers_and_the_waiting_of_its_hours(given_hours: list[tuple[int, int]]) -> None:
    midnight = utc("2026-02-02T00:00")
    rows = [_till(midnight + timedelta(hours=n), customers, lanes) for n, (customers, lanes) in enumerate(given_hours)]
    hours = queue_hours(_input(rows), STORE)
    row = one(queue_days(hours, NOBODY_COUNTED, STORE, DATES, LATER))
    assert row["total_customers_served"] == sum(customers for customers, _ in given_hours)
    assert row["overloaded_hours"] == hours["is_overloaded"].sum()
    if row["total_queue_time_minutes"] is not None:
        # Little's law by the hour: the people who wait, for an hour each
        assert row["total_queue_time_minutes"] == pytest.approx(60 * hours["predicted_queue_length"].sum())
