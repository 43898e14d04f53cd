"""Key figures of a day worked by hand, what stands beside them, and what bad input becomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from retail_sensors.analytics.kpi import METRICS, kpi_days, staff_needed
from retail_sensors.analytics.roster import Roster
from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.tables import KPI_METRICS, STORE_DAILY
from retail_sensors_tests.unit.analytics_estate import identity, roster, store, typed, utc, whole_days

MONDAY = date(2026, 2, 2)
WEEK = timedelta(days=7)
NONE = pd.DataFrame()
CATEGORIES = {"traffic", "conversion", "efficiency", "queue", "revenue"}


def _estate(*names: str, zone: str = "UTC", **changes: Any) -> Roster:
    return roster([store(name, zone, **changes) for name in names], [], {})


def _day(day: date = MONDAY, of: str = "s", **given_: Any) -> dict[str, Any]:
    """A row of `store_daily`; what is not given is NULL, the day complete."""
    return {
        "store_id": identity(of),
        "date": day,
        "hourly_distribution": "{}",
        "data_completeness": 1.0,
        "is_provisional": False,
        "quality": "{}",
        **given_,
    }


def _daily(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    return typed(STORE_DAILY, rows)


def _pos(*rows: tuple[Any, ...], of: str = "s") -> pd.DataFrame:
    """Rows (hour, transactions, sales, units) of the till feed."""
    frame = pd.DataFrame(
        {
            "store_id": pd.array([identity(of) for _ in rows], dtype="string"),
            "hour_start": pd.Series([row[0] for row in rows], dtype="datetime64[us, UTC]"),
        }
    )
    for position, name in enumerate(("transactions", "sales", "units"), start=1):
        frame[name] = pd.array([row[position] for row in rows], dtype="Float64")
    return frame


def _staff(hours: float) -> pd.DataFrame:
    """Staff hours of MONDAY, in two of its hours."""
    return pd.DataFrame(
        {
            "store_id": pd.array([identity("s")] * 2, dtype="string"),
            "hour_start": pd.Series([utc("2026-02-02T09:00"), utc("2026-02-02T10:00")], dtype="datetime64[us, UTC]"),
            "staff": pd.array([hours / 4, hours * 3 / 4], dtype="Float64"),
        }
    )


def _by_day(of: str = "s", day: date = MONDAY, **columns: float | None) -> pd.DataFrame:
    """One row (store_id, date) with the given columns."""
    return pd.DataFrame(
        {
            "store_id": pd.array([identity(of)], dtype="string"),
            "date": pd.Series([day], dtype=object),
            **{name: pd.array([value], dtype="Float64") for name, value in columns.items()},
        }
    )


def _days_off(*days: date) -> pd.DataFrame:
    return pd.DataFrame(
        {"store_id": pd.array([identity("s")] * len(days), dtype="string"), "date": pd.Series(days, dtype=object)}
    )


def _kpi(
    days: pd.DataFrame,
    estate: Roster | None = None,
    dates: tuple[date, date] | None = None,
    history: pd.DataFrame = NONE,
    **inputs: pd.DataFrame,
) -> pd.DataFrame:
    frame = kpi_days(days, estate or _estate("s"), dates or whole_days(MONDAY, 1), history, **inputs)
    _assert_table(frame)
    return frame


def _values(frame: pd.DataFrame) -> dict[str, float]:
    """Value of each figure of a frame of one store and day."""
    assert frame["metric_name"].is_unique
    return dict(zip(frame["metric_name"], frame["metric_value"], strict=True))


def _row(frame: pd.DataFrame, name: str, day: date = MONDAY, of: str = "s") -> dict[str, Any]:
    chosen = (frame["metric_name"] == name) & (frame["date"] == day) & (frame["scope_id"] == identity(of))
    found = frame[chosen]
    assert len(found) == 1
    return {str(key): (None if value is pd.NA else value) for key, value in found.iloc[0].items()}


def _assert_table(frame: pd.DataFrame) -> None:
    assert list(frame.columns) == [column.name for column in KPI_METRICS.written]
    assert not frame.duplicated(list(KPI_METRICS.key)).any()
    for column in KPI_METRICS.written:
        assert str(frame[column.name].dtype) == column.kind.pandas, column.name
        assert column.nullable or not frame[column.name].isna().any(), column.name
        if column.kind.pandas == "Float64":
            assert np.isfinite(frame[column.name].dropna().to_numpy(dtype=float)).all(), column.name
    assert set(frame["category"]) <= CATEGORIES
    assert set(frame["trend"].dropna()) <= {"improving", "stable", "declining"}
    assert frame["performance_score"].dropna().between(0, 100).all()
    assert (frame["benchmark_value"].isna() == frame["benchmark_source"].isna()).all()


def _weeks(values: Iterable[float | None], **more: Any) -> pd.DataFrame:
    """Days with these entries on Mondays, the last of them MONDAY; None: no row."""
    listed = list(values)
    return _daily(
        _day(MONDAY - WEEK * (len(listed) - 1 - n), total_entries=value, **more)
        for n, value in enumerate(listed)
        if value is not None
    )


def test_figures_of_a_day_by_hand() -> None:
    days = _daily(
        [
            _day(
                total_visitors=400,
                total_entries=500,
                capture_rate_percent=12.5,
                peak_hour_traffic=60,
                avg_dwell_time_minutes=18.0,
                avg_occupancy=9.0,
                utilization=0.09,
            )
        ]
    )
    assert _values(_kpi(days)) == pytest.approx(
        {
            "visitors": 400,
            "entries": 500,
            "peak_hour_share": 15,
            "mean_stay": 18,
            "avg_occupancy": 9,
            "capture_rate": 12.5,
            "utilization": 0.09,
            "data_completeness": 1,
        }
    )
    tills = _pos((utc("2026-02-02T10:00"), 30, 900, 60), (utc("2026-02-02T11:00"), 70, 1600, 190))
    found = _values(
        _kpi(
            days,
            _estate("s", area_sqm=250),
            pos=tills,
            staff=_staff(50),
            stays=_by_day(short_stay_share=0.4),
        )
    )
    assert {name: found[name] for name in found if name not in _values(_kpi(days))} == pytest.approx(
        {
            "transactions": 100,
            "sales": 2500,
            "conversion_rate": 25,
            "entry_to_checkout_rate": 20,
            "avg_transaction_value": 25,
            "units_per_transaction": 2.5,
            "sales_per_visitor": 6.25,
            "sales_per_sqm": 10,
            "star": 8,
            "short_stay_share": 0.4,
        }
    )
    assert found["sales_per_visitor"] == pytest.approx(found["conversion_rate"] / 100 * found["avg_transaction_value"])


def test_queue_figures_come_from_the_days_of_the_queue() -> None:
    queue = _by_day(
        avg_wait_time=3.5,
        wait_time_90th_percentile=9,
        avg_queue_length=2,
        queue_efficiency_score=80,
        staff_efficiency_score=None,
    )
    found = _values(_kpi(_daily([_day()]), queue=queue))
    assert found == {
        "data_completeness": 1,
        "avg_wait": 3.5,
        "wait_p90": 9,
        "avg_queue_length": 2,
        "queue_efficiency": 80,
    }


def test_units_and_categories_are_those_of_the_figure() -> None:
    row = _row(_kpi(_daily([_day(capture_rate_percent=12.5)])), "capture_rate")
    assert (row["metric_unit"], row["category"], row["subcategory"]) == ("%", "conversion", "capture")
    assert (row["scope"], row["scope_id"], row["date"]) == ("store", identity("s"), MONDAY)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_till_day_is_the_local_day_of_the_store() -> None:
    # New York's Monday runs from 05:00 to 05:00 in UTC
    tills = _pos(
        (utc("2026-02-02T04:00"), 1, 1, 1), (utc("2026-02-02T05:00"), 2, 2, 2), (utc("2026-02-03T04:00"), 4, 4, 4)
    )
    assert _values(_kpi(_daily([_day()]), _estate("s", zone="America/New_York"), pos=tills))["transactions"] == 6


def test_what_is_null_or_nothing_gives_no_row() -> None:
    hour = utc("2026-02-02T10:00")
    days = _daily([_day(total_visitors=0, total_entries=0, peak_hour_traffic=0)])
    found = _values(_kpi(days, pos=_pos((hour, 0, 0, 0)), staff=_staff(0)))
    assert found == {"visitors": 0, "entries": 0, "data_completeness": 1, "transactions": 0, "sales": 0}
    unknown = _pos((hour, 5, None, 5), (hour + timedelta(hours=1), None, 10, 5))
    assert set(_values(_kpi(days, pos=unknown))) == {"visitors", "entries", "data_completeness"}
    assert not len(_kpi(_daily([]), pos=_pos((hour, 5, 5, 5))))  # no day, no figure
    assert not len(_kpi(_daily([_day(of="elsewhere", total_entries=4)])))


def test_a_conversion_over_100_percent_is_shown() -> None:
    days = _daily([_day(total_visitors=10, total_entries=10)])
    assert _values(_kpi(days, pos=_pos((utc("2026-02-02T10:00"), 15, 1, 1))))["conversion_rate"] == 150


def test_an_incomplete_day_gives_counts_but_no_conversion_score_or_benchmark() -> None:
    days = _weeks([100] * 8, total_visitors=100)
    last = _daily([_day(total_visitors=50, total_entries=50, peak_hour_traffic=20, data_completeness=0.89)])
    history = _kpi(days, dates=whole_days(MONDAY - 7 * WEEK, 49))
    tills = _pos((utc("2026-02-02T10:00"), 20, 100, 30))
    frame = _kpi(last, history=history, pos=tills, staff=_staff(5))
    assert set(_values(frame)) == {
        "visitors",
        "entries",
        "data_completeness",
        "transactions",
        "sales",
        "avg_transaction_value",
        "units_per_transaction",
    }
    row = _row(frame, "entries")
    assert row["performance_score"] is row["benchmark_value"] is None
    assert row["trend"] == "stable"  # of the complete days before
    assert _row(frame, "data_completeness")["performance_score"] == 0


def test_checkout_reach_stands_in_only_where_no_transactions_are_known() -> None:
    days = _daily([_day(total_visitors=100, total_entries=120)])
    checkout = _by_day(detections=200, stay_over_30_s=0.3)
    assert _values(_kpi(days, checkout=checkout))["checkout_reach_proxy"] == pytest.approx(50)
    both = _values(_kpi(days, checkout=checkout, pos=_pos((utc("2026-02-02T10:00"), 25, 1, 1))))
    assert "checkout_reach_proxy" not in both
    assert both["conversion_rate"] == 25


def test_score_and_benchmark_are_those_of_the_last_eight_mondays() -> None:
    frame = _kpi(_weeks([1, 10, 20, 30, 40, 50, 60, 70, 80, 45]), dates=whole_days(MONDAY - 9 * WEEK, 64))
    row = _row(frame, "entries")
    assert row["performance_score"] == 50  # 10 to 40 are less; the first Monday is the ninth before
    assert (row["benchmark_value"], row["benchmark_source"]) == (45, "own_history")
    fourth, fifth = (_row(frame, "entries", MONDAY - n * WEEK) for n in (6, 5))
    assert fourth["performance_score"] is fourth["benchmark_value"] is None  # three before it
    assert (fifth["performance_score"], fifth["benchmark_value"]) == (100, 15)


def test_other_weekdays_are_not_comparable() -> None:
    rows = [_day(MONDAY - timedelta(days=n), total_entries=n) for n in range(7 * 4 + 1)]
    frame = _kpi(_daily(rows), dates=whole_days(MONDAY - timedelta(days=28), 29))
    assert _row(frame, "entries")["benchmark_value"] == (14 + 21) / 2


def test_what_is_stored_is_the_history_of_what_is_computed() -> None:
    days = _weeks([10, 20, 30, 40, 50, 60, 70, 80, 45], total_visitors=9)
    whole = _kpi(days, dates=whole_days(MONDAY - 8 * WEEK, 57))
    history = whole[whole["date"] < MONDAY]
    last = days[days["date"] == MONDAY]
    expected = whole[whole["date"] == MONDAY].reset_index(drop=True)
    assert_frame_equal(_kpi(last, history=history), expected)
    stale = whole.assign(metric_value=whole["metric_value"].where(whole["date"] < MONDAY, 9999.0))
    assert_frame_equal(_kpi(last, history=stale), expected)  # its own stored value is not its history
    assert_frame_equal(_kpi(days, dates=whole_days(MONDAY - 8 * WEEK, 57), history=stale), whole)


def test_holidays_and_incomplete_days_are_not_compared_with() -> None:
    days = _weeks([10, 20, 30, 40, 50, 60], total_visitors=1)
    days.loc[days["date"] == MONDAY - WEEK, "data_completeness"] = 0.5
    dates = whole_days(MONDAY - 5 * WEEK, 36)
    assert _row(_kpi(days, dates=dates), "entries")["benchmark_value"] == 25
    off = _days_off(MONDAY - 2 * WEEK)
    assert _row(_kpi(days, dates=dates, holidays=off), "entries")["benchmark_value"] is None  # three are left
    history = _kpi(days, dates=dates)
    last = days[days["date"] == MONDAY]
    assert _row(_kpi(last, history=history), "entries")["benchmark_value"] == 25
    assert _row(_kpi(last, history=history, holidays=off), "entries")["benchmark_value"] is None
    on_holiday = _row(_kpi(days, dates=dates, holidays=_days_off(MONDAY)), "entries")
    assert on_holiday["performance_score"] is on_holiday["benchmark_value"] is None


def test_peers_stand_in_where_the_own_history_is_short() -> None:
    names = ["a", "b", "c", "d", "e"]
    rows = [_day(of=name, total_entries=10 * n) for n, name in enumerate(names, start=1)]
    frame = _kpi(_daily(rows), _estate(*names))
    row = _row(frame, "entries", of="a")
    assert (row["benchmark_value"], row["benchmark_source"], row["performance_score"]) == (30, "peer_stores", None)
    assert _row(_kpi(_daily(rows[:4]), _estate(*names)), "entries", of="a")["benchmark_value"] is None
    rows[4]["data_completeness"] = 0.5
    assert _row(_kpi(_daily(rows), _estate(*names)), "entries", of="a")["benchmark_value"] is None
    rows[4]["data_completeness"] = 1.0
    estate = roster(
        [store(name, organization_id=identity("other" if name == "e" else "organization")) for name in names], [], {}
    )
    assert _row(_kpi(_daily(rows), estate), "entries", of="a")["benchmark_value"] is None


def test_less_is_better_for_waits_and_short_stays() -> None:
    rising = [10.0 * 1.12**n for n in range(9)]
    dates = whole_days(MONDAY - 8 * WEEK, 57)
    days = _weeks(rising)
    waits = pd.concat(
        [
            _by_day(day=MONDAY - (8 - n) * WEEK, avg_wait_time=value, short_stay_share=value / 100)
            for n, value in enumerate(rising)
        ]
    )
    for name in ("wait_time_90th_percentile", "avg_queue_length", "queue_efficiency_score", "staff_efficiency_score"):
        waits[name] = waits["avg_wait_time"]
    frame = _kpi(days, dates=dates, queue=waits, stays=waits)
    for name in ("entries", "queue_efficiency", "staff_efficiency"):
        assert (_row(frame, name)["trend"], _row(frame, name)["performance_score"]) == ("improving", 100)
    for name in ("avg_wait", "wait_p90", "avg_queue_length", "short_stay_share"):
        assert (_row(frame, name)["trend"], _row(frame, name)["performance_score"]) == ("declining", 0)
    slow = _kpi(_weeks([100.0 * 1.05**n for n in range(9)]), dates=dates)
    assert _row(slow, "entries")["trend"] == "stable"  # 5 % a week is under 1 % a day


def test_staff_for_the_expected_visitors() -> None:
    found = staff_needed(np.array([0.0, 1.0, 24.0, 25.0, 4.2, np.nan]), 12.0)
    assert found[:5].tolist() == [0, 1, 2, 3, 1]
    assert np.isnan(found[5])
    assert staff_needed(np.array([4.2]), 0.3)[0] == 14
    with pytest.raises(ConfigurationError, match="cannot be meant"):
        staff_needed(np.array([1.0]), 0)


def test_bad_requests_are_named() -> None:
    with pytest.raises(ContractError, match="backwards"):
        kpi_days(_daily([]), _estate("s"), (MONDAY, MONDAY - WEEK), NONE)
    with pytest.raises(ContractError, match="units"):
        _kpi(_daily([_day()]), pos=_pos((utc("2026-02-02T10:00"), 1, 1, 1)).drop(columns="units"))


def test_nothing_in_nothing_out() -> None:
    empty = _kpi(_daily([]), dates=(MONDAY, MONDAY), history=_kpi(_daily([])))
    assert len(empty) == 0


numbers = st.one_of(st.none(), st.integers(0, 5).map(float), st.floats(0.001, 1e5))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, numbers, st.floats(0, 1)), min_size=1, max_size=20),
    st.lists(st.tuples(numbers, numbers, numbers), max_size=20),
    st.integers(0, 999),
)
def test_any_days_give_a_valid_table_in_any_order(
    found: list[tuple[float | None, float | None, float | None, float]],
    sold: list[tuple[float | None, float | None, float | None]],
    seed: int,
) -> None:
    rows = [
        _day(
            MONDAY - WEEK * (n // 2),
            "st"[n % 2],
            total_visitors=visitors,
            total_entries=entries,
            avg_dwell_time_minutes=stay,
            data_completeness=complete,
        )
        for n, (visitors, entries, stay, complete) in enumerate(found)
    ]
    tills = _pos(*((utc("2026-02-02T09:00") - WEEK * n, *given_) for n, given_ in enumerate(sold)))
    days, dates, estate = _daily(rows), whole_days(MONDAY - 10 * WEEK, 71), _estate("s", "t")
    frame = _kpi(days, estate, dates, pos=tills)
    given_values = days[["total_visitors", "total_entries", "avg_dwell_time_minutes"]].notna().to_numpy().sum()
    direct = frame["metric_name"].isin(["visitors", "entries", "mean_stay"])
    assert direct.sum() == given_values
    again, more = (
        pd.concat([part, part]).sample(frac=1, random_state=seed).reset_index(drop=True) if len(part) else part
        for part in (days, tills)
    )
    assert_frame_equal(_kpi(again, estate, dates, pos=more), frame)
