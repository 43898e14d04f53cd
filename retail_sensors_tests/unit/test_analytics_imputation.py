"""Missing hours against estimates worked by hand, what holds for every frame, and masked hours of real counts."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from benchmarks.imputation import BLOCKS, measure, read
from retail_sensors.analytics.imputation import CONTEXT_DAYS, METHODS, QUALITIES, REASONS, impute
from retail_sensors.errors import ContractError

ROOT = Path(__file__).resolve().parents[2]
MONDAY = pd.Timestamp("2026-01-05")
DAYS = 7 * 12
AT = MONDAY + pd.Timedelta(days=7 * 6, hours=12)  # noon of a Monday with six weeks on both sides
ADDED = ["quality", "method", "donors", "imputed_share", "missing_reason"]


def usual(moment: pd.Timestamp) -> float:
    """40 people at night, 100 in the day, 20 more at noon: the same in every week."""
    return 40.0 + (60.0 if 8 <= moment.hour < 20 else 0.0) + (20.0 if moment.hour == 12 else 0.0)


def door(name: str = "a", days: int = DAYS, start: pd.Timestamp = MONDAY, **columns: Any) -> pd.DataFrame:
    """Hours of one series that counts what is usual in column `entries`."""
    hours = pd.date_range(start, periods=days * 24, freq="h")
    return pd.DataFrame({"series": name, "local_time": hours, "entries": [usual(hour) for hour in hours], **columns})


def hour(frame: pd.DataFrame, moment: pd.Timestamp, name: str = "a") -> int:
    """The label of the row of that hour."""
    return int(frame.index[(frame["local_time"] == moment) & (frame["series"] == name)][0])


def after(hours: int, moment: pd.Timestamp = AT) -> pd.Timestamp:
    """AT, or another moment, and some hours."""
    return moment + pd.Timedelta(hours=hours)


def setting(frame: pd.DataFrame, first: int, count: int, value: Any, column: str = "entries", name: str = "a") -> None:
    """Sets `count` hours from AT + `first` on."""
    inside = (frame["local_time"] >= after(first)) & (frame["local_time"] < after(first + count))
    frame.loc[inside & (frame["series"] == name), column] = value


def at(filled: pd.DataFrame, hours: int = 0, name: str = "a") -> Any:
    """The row `hours` from AT on."""
    return filled.loc[hour(filled, after(hours), name)]


def test_one_missing_hour_takes_the_ratio_between_its_ends() -> None:
    frame = door()
    setting(frame, -1, 1, 124.0)  # (124 + 20) / (100 + 20) = 1.2
    setting(frame, 0, 1, None)
    setting(frame, 1, 1, 148.0)  # 1.4
    row = at(impute(frame, ["entries"]))
    assert row["entries"] == pytest.approx(1.3 * 140 - 20)
    assert (row["quality"], row["method"], row["imputed_share"]) == ("estimated", "ratio_interpolation", 1.0)
    assert json.loads(row["donors"]) == {"ends_hours": [-1, 1], "weeks": [-4, -3, -2, -1, 1, 2, 3, 4]}
    assert row["missing_reason"] is pd.NA


def test_the_ratio_moves_by_the_clock_over_the_hours_of_a_gap() -> None:
    frame = door()
    setting(frame, 1, 1, 160.0)  # ratio 1.5 at 13:00, then 1 at 16:00
    setting(frame, 2, 2, None)
    filled = impute(frame, ["entries"])
    assert at(filled, 2)["entries"] == pytest.approx((1.5 - 0.5 / 3) * 120 - 20)
    assert at(filled, 3)["entries"] == pytest.approx((1.5 - 1.0 / 3) * 120 - 20)


def test_a_ratio_beyond_its_bounds_is_cut() -> None:
    frame = door()
    setting(frame, -1, 3, 5000.0)
    setting(frame, 0, 1, None)
    assert at(impute(frame, ["entries"]))["entries"] == pytest.approx(3 * 140 - 20)


def test_usual_is_the_median_of_the_nearest_same_hours_and_not_their_mean() -> None:
    frame = door()
    for week, count in ((-1, 900.0), (-2, 130.0), (1, 0.0), (2, 140.0)):
        setting(frame, 168 * week, 1, count)
    setting(frame, 0, 1, None)
    assert at(impute(frame, ["entries"]))["entries"] == pytest.approx(120.0)  # of 0 120 120 120 120 130 140 900


def test_a_new_sensor_gets_the_straight_line() -> None:
    frame = door(days=3, start=MONDAY + pd.Timedelta(days=41))
    setting(frame, -1, 1, 100.0)
    setting(frame, 0, 3, None)
    setting(frame, 3, 1, 60.0)
    filled = impute(frame, ["entries"])
    assert [at(filled, n)["entries"] for n in range(3)] == pytest.approx([90.0, 80.0, 70.0])
    assert at(filled)["method"] == "linear_interpolation"
    assert json.loads(at(filled)["donors"]) == {"ends_hours": [-1, 3]}


def test_a_sensor_that_knows_no_week_prefers_the_straight_line() -> None:
    frame = door()
    turn = np.arange(len(frame)) / 50  # hours of a wave that 168 is no multiple of
    frame["entries"] = 500 + 400 * np.sin(2 * np.pi * turn)
    setting(frame, 0, 2, None)
    assert at(impute(frame, ["entries"]))["method"] == "linear_interpolation"


def test_half_a_day_takes_the_level_of_the_rest_of_its_day() -> None:
    frame = door()
    setting(frame, -12, 24, 80.0)
    setting(frame, -4, 8, None)
    row = at(impute(frame, ["entries"]))
    # 8 night hours and 4 day hours and 4 night hours counted, 16 x 80, where 12 x 40 + 4 x 100 is usual
    assert row["entries"] == pytest.approx(120 * (16 * 80 + 20) / (12 * 40 + 4 * 100 + 20))
    assert (row["quality"], row["method"]) == ("estimated", "day_level")
    assert json.loads(row["donors"])["day_hours"] == 16


def test_a_day_takes_the_root_of_the_level_of_like_days() -> None:
    frame = door()
    for day in (-3, -2, -1, 1, 2, 3):
        setting(frame, 24 * day - 12, 24, (frame["entries"] * 1.44))
    setting(frame, -12, 24, None)
    row = at(impute(frame, ["entries"]))
    day = 12 * 40 + 12 * 100 + 20
    level = (6 * 1.44 * day + day + 20) / (7 * day + 20)  # the seventh day, 4 days before, is as usual
    assert row["entries"] == pytest.approx(120 * math.sqrt(level))
    assert (row["quality"], row["method"]) == ("substituted", "like_days")
    assert json.loads(row["donors"])["days"] == [-4, -3, -2, -1, 1, 2, 3]


def test_seven_days_are_filled_and_an_hour_more_is_not() -> None:
    frame = door()
    setting(frame, 0, 168, None)
    filled = impute(frame, ["entries"])
    assert (at(filled, 0)["method"], at(filled, 167)["method"]) == ("like_days", "like_days")
    setting(frame, 168, 1, None)
    filled = impute(frame, ["entries"])
    row = at(filled, 100)
    assert (row["quality"], row["missing_reason"]) == ("missing", "gap_over_7_days")
    assert row[["entries", "method", "donors", "imputed_share"]].isna().all()


def test_a_gap_at_the_end_is_not_interpolated() -> None:
    frame = door()
    frame = frame[frame["local_time"] < after(2)].copy()
    setting(frame, 0, 2, None)
    row = at(impute(frame, ["entries"]))
    assert row["method"] == "day_level"
    assert row["entries"] == pytest.approx(120.0)
    assert json.loads(row["donors"]) == {"weeks": [-4, -3, -2, -1], "day_hours": 12}


def test_too_little_history_stays_missing() -> None:
    frame = door(days=2, start=MONDAY + pd.Timedelta(days=42))
    setting(frame, 0, 8, None)
    row = at(impute(frame, ["entries"]))
    assert (row["quality"], row["missing_reason"]) == ("missing", "too_few_donors")


def test_holidays_are_no_donors() -> None:
    frame = door(is_holiday=False)
    for week in (-1, -2, -3, 1, 2):
        setting(frame, 168 * week - 12, 24, 3.0)
        setting(frame, 168 * week - 12, 24, True, "is_holiday")
    setting(frame, 0, 1, None)
    row = at(impute(frame, ["entries"]))
    assert row["entries"] == pytest.approx(120.0)
    assert json.loads(row["donors"])["weeks"] == [-6, -5, -4, 3, 4, 5]


def test_a_holiday_is_estimated_from_itself_or_not_at_all() -> None:
    frame = door(is_holiday=False)
    setting(frame, -12, 24, 8.0)
    setting(frame, -12, 24, True, "is_holiday")
    setting(frame, 0, 1, None)
    row = at(impute(frame, ["entries"]))
    assert (row["entries"], row["method"]) == (pytest.approx(8.0), "linear_interpolation")
    setting(frame, -12, 24, None)
    row = at(impute(frame, ["entries"]))
    assert (row["quality"], row["missing_reason"]) == ("missing", "holiday")


def test_an_ordinary_hour_is_not_interpolated_from_a_holiday() -> None:
    frame = door(is_holiday=False)
    setting(frame, 12, 24, 1.0)
    setting(frame, 12, 24, True, "is_holiday")
    setting(frame, 11, 1, None)
    row = at(impute(frame, ["entries"]), 11)
    assert (row["entries"], row["method"]) == (pytest.approx(40.0), "day_level")


def test_a_store_stands_in_with_its_other_doors() -> None:
    frame = pd.concat(
        [
            door(name, store_id=store, is_holiday=False)
            for name, store in (("a", "x"), ("b", "x"), ("c", "x"), ("d", "y"))
        ],
        ignore_index=True,
    )
    for name, count in (("a", None), ("b", 20.0), ("c", None), ("d", 999.0)):
        setting(frame, -12, 24, count, name=name)
        setting(frame, -12, 24, True, "is_holiday", name=name)
    row = at(impute(frame, ["entries"]))
    assert row["entries"] == pytest.approx(120 * (20 + 20) / (120 + 20))
    assert (row["quality"], row["method"]) == ("substituted", "sister_doors")
    assert json.loads(row["donors"])["sisters"] == ["b"]


def test_a_camera_that_counts_something_else_is_no_sister() -> None:
    frame = pd.concat([door("a"), door("b")], ignore_index=True).assign(
        store_id="x", is_holiday=False, passersby=np.nan
    )
    other = frame["series"] == "b"
    frame.loc[other, "passersby"], frame.loc[other, "entries"] = frame.loc[other, "entries"], np.nan
    setting(frame, -12, 24, None)
    setting(frame, -12, 24, True, "is_holiday")
    assert at(impute(frame, ["entries", "passersby"]))["missing_reason"] == "holiday"


def test_the_doors_win_where_the_sensor_was_closer_to_them() -> None:
    random = Random(4)
    frame = pd.concat([door("a"), door("b")], ignore_index=True).assign(store_id="x")
    days = {day: random.choice([0.6, 1.0, 1.6]) for day in frame["local_time"].dt.date.unique()}
    frame["entries"] *= frame["local_time"].dt.date.map(days)
    setting(frame, -12, 24, None)
    row = at(impute(frame, ["entries"]))
    assert row["method"] == "sister_doors"
    assert row["entries"] == pytest.approx(at(frame, 0, "b")["entries"], rel=0.15)


def test_closed_hours_are_neither_filled_nor_donors_nor_part_of_a_gap() -> None:
    frame = door()
    frame["is_open"] = frame["local_time"].dt.hour.between(9, 19)
    frame.loc[~frame["is_open"], "entries"] = 7777.0
    setting(frame, 7, 15, None)  # from 19:00 to 09:00, both open
    setting(frame, 6, 1, 160.0)  # ratio 1.5 at 18:00; 1 at 10:00
    filled = impute(frame, ["entries"])
    first, last, night = at(filled, 7), at(filled, 21), at(filled, 15)
    assert (first["method"], last["method"]) == ("ratio_interpolation", "ratio_interpolation")
    assert json.loads(first["donors"])["ends_hours"] == [-1, 15]
    assert first["entries"] == pytest.approx((1.5 - 0.5 / 16) * 120 - 20)
    assert last["entries"] == pytest.approx((1.0 + 0.5 / 16) * 120 - 20)
    assert (night["quality"], night["missing_reason"]) == ("missing", "closed")


def test_a_measured_count_stays_beside_a_missing_one() -> None:
    frame = door(exits=door()["entries"] / 2)
    setting(frame, 0, 1, 300.0)
    setting(frame, 0, 1, None, "exits")
    row = at(impute(frame, ["entries", "exits"]))
    assert (row["entries"], row["exits"]) == (300.0, pytest.approx(60.0))
    assert row["quality"] == "estimated"
    assert row["imputed_share"] == pytest.approx(60 / 360)


def test_what_a_series_never_counts_stays_null_and_harms_nothing() -> None:
    frame = door(passersby=np.nan)
    setting(frame, 0, 1, None)
    filled = impute(frame, ["entries", "passersby"])
    assert filled["passersby"].isna().all()
    assert at(filled)["entries"] == pytest.approx(120.0)
    assert at(filled, 1)["quality"] == "measured"


def test_an_estimate_never_falls_below_what_was_counted_in_part_of_the_hour() -> None:
    frame = door(is_partial=False)
    setting(frame, 0, 2, True, "is_partial")
    setting(frame, 0, 1, 500.0)
    setting(frame, 1, 1, 30.0)
    filled = impute(frame, ["entries"])
    assert (at(filled)["entries"], at(filled)["imputed_share"]) == (500.0, 0.0)
    assert at(filled, 1)["entries"] == pytest.approx(100.0)
    assert at(filled, 1)["imputed_share"] == pytest.approx(0.7)


def test_recovered_hours_say_so_and_count_as_measured() -> None:
    frame = door(is_recovered=False)
    setting(frame, -1, 1, True, "is_recovered")
    setting(frame, 0, 1, None)
    filled = impute(frame, ["entries"])
    assert at(filled, -1)["quality"] == "recovered"
    assert json.loads(at(filled)["donors"])["ends_hours"] == [-1, 1]


def test_same_hours_are_those_of_the_local_clock_on_both_sides_of_its_change() -> None:
    start = pd.Timestamp("2026-03-02T00:00Z")
    stamps = pd.date_range(start, periods=24 * 56, freq="h")
    wall = stamps.tz_convert("Europe/Berlin")
    frame = pd.DataFrame(
        {"series": "a", "hour_start": stamps, "timezone": "Europe/Berlin", "entries": wall.hour * 10.0}
    )
    gone = frame.index[wall.tz_localize(None) == pd.Timestamp("2026-03-31T15:00")]
    frame.loc[gone, "entries"] = None
    row = impute(frame, ["entries"]).loc[gone[0]]
    assert row["entries"] == pytest.approx(150.0)


def test_an_hour_that_the_clock_shows_twice_is_two_rows() -> None:
    stamps = pd.date_range(pd.Timestamp("2026-10-01T00:00Z"), periods=24 * 40, freq="h")
    frame = pd.DataFrame({"series": "a", "hour_start": stamps, "timezone": "Europe/Berlin", "entries": 50.0})
    twice = frame["hour_start"].isin([pd.Timestamp("2026-10-25T00:00Z"), pd.Timestamp("2026-10-25T01:00Z")])
    frame.loc[twice, "entries"] = None
    filled = impute(frame, ["entries"])
    assert filled.loc[twice, "entries"].tolist() == pytest.approx([50.0, 50.0])


def test_an_hour_without_a_row_is_missing_too() -> None:
    frame = door()
    setting(frame, 0, 1, None)
    frame = frame.drop([hour(frame, after(n)) for n in range(1, 5)])
    filled = impute(frame, ["entries"])
    assert at(filled)["method"] == "day_level"  # a gap of 5 hours
    assert len(filled) == len(frame)


def test_dead_counters_and_nothing_at_all_give_no_nan() -> None:
    frame = pd.concat([door("dead"), door("never")], ignore_index=True)
    frame["entries"] = np.where(frame["series"] == "dead", 0.0, np.nan)
    setting(frame, 0, 24, None, name="dead")
    filled = impute(frame, ["entries"])
    row = at(filled, 0, "dead")
    assert (row["entries"], row["imputed_share"] is pd.NA) == (0.0, True)
    assert set(filled.loc[filled["series"] == "never", "missing_reason"]) == {"gap_over_7_days"}
    assert not np.isnan(filled["entries"].dropna().to_numpy(dtype=float)).any()


def test_doors_that_begin_and_end_in_the_same_hour_are_computed_without_a_warning() -> None:
    late = door("b", days=DAYS - 42, start=MONDAY + pd.Timedelta(days=42, hours=-2))
    early = door("a", days=42)
    early.loc[len(early) // 2, "entries"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = impute(pd.concat([early, late], ignore_index=True), ["entries"])
    assert filled["method"].dropna().tolist() == ["ratio_interpolation"]


def test_no_rows_give_no_rows() -> None:
    filled = impute(door().iloc[:0], ["entries"])
    assert filled.empty
    assert list(filled.columns) == ["series", "local_time", "entries", *ADDED]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: pd.concat([frame, frame.tail(1)]), "two rows for"),
        (lambda frame: frame.drop(columns="series"), "no column series"),
        (lambda frame: frame.drop(columns="entries"), "no column entries"),
        (lambda frame: frame.assign(series=None), "series has a NULL"),
        (lambda frame: frame.assign(local_time=pd.NaT), "local_time has a NULL"),
        (lambda frame: frame.assign(local_time=frame["local_time"].dt.tz_localize("UTC")), "has a zone"),
        (lambda frame: frame.assign(entries=-1.0), "negative entries"),
        (lambda frame: frame.assign(store_id=np.arange(len(frame)).astype(str)), "more than one store_id"),
        (
            lambda frame: frame.assign(local_time=frame["local_time"] + pd.to_timedelta(np.arange(len(frame)), "min")),
            "not whole hours apart",
        ),
        (
            lambda frame: frame.assign(hour_start=frame["local_time"].dt.tz_localize("UTC"), timezone=None).drop(
                columns="local_time"
            ),
            "no timezone",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(change: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        impute(change(door(days=2)), ["entries"])


@st.composite
def worlds(draw: st.DrawFn) -> pd.DataFrame:
    """Up to four series in two stores over some weeks, with gaps of every length, closed hours, holidays and partial hours."""
    random = Random(draw(st.integers(0, 2**32 - 1)))  # one seed, not thousands of drawn cells
    days = draw(st.integers(1, 75))
    closing = draw(st.booleans())
    parts = []
    for number in range(draw(st.integers(1, 4))):
        frame = door(f"c{number}", days=days).assign(
            store_id=random.choice(["x", "x", "y", None]), is_holiday=False, is_partial=False, is_recovered=False
        )
        level = random.choice([0.02, 1.0, 30.0])
        frame["entries"] = [float(round(value * level * random.uniform(0.5, 1.5))) for value in frame["entries"]]
        frame["exits"] = frame["entries"] // 2 if random.random() < 0.8 else np.nan
        frame["is_open"] = ~closing | frame["local_time"].dt.hour.between(9, 19)
        for _ in range(random.randrange(6)):
            begin = random.randrange(len(frame))
            gap = slice(begin, begin + random.choice([1, 2, 4, 6, 12, 30, 168, 200]))
            columns = random.choice([["entries"], ["exits"], ["entries", "exits"]])
            frame.loc[frame.index[gap], columns] = np.nan
        for flag in ("is_partial", "is_recovered"):
            frame.loc[random.sample(range(len(frame)), 2), flag] = True
        holidays = {random.randrange(days) for _ in range(2)}
        frame.loc[((frame["local_time"] - MONDAY).dt.days).isin(holidays), "is_holiday"] = True
        parts.append(frame.drop(frame.index[random.sample(range(len(frame)), 3)]))
    return pd.concat(parts, ignore_index=True)


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_what_holds_for_every_frame(frame: pd.DataFrame, random: Random) -> None:
    values = ["entries", "exits"]
    before = frame.copy(deep=True)
    filled = impute(frame, values)
    assert_frame_equal(frame, before)

    shuffled = frame.sample(frac=1, random_state=random.randrange(1000))
    assert_frame_equal(impute(shuffled, values).sort_index(), filled)

    for value in values:
        given_value, used = frame[value], filled[value].astype("float64")
        sure = given_value.notna() & ~frame["is_partial"]
        assert (used[sure] == given_value[sure]).all()
        assert (used[given_value.notna()] >= given_value[given_value.notna()]).all()
        assert (used.dropna() >= 0).all()
        assert np.isfinite(used.dropna()).all()
    assert set(filled["quality"]) <= set(QUALITIES)
    assert set(filled["method"].dropna()) <= set(METHODS[1:])
    assert set(filled["missing_reason"].dropna()) <= set(REASONS)
    estimated = filled["quality"].isin(["estimated", "substituted"])
    assert (filled["method"].notna() == estimated).all()
    assert (filled["donors"].notna() == estimated).all()
    assert (filled["missing_reason"].notna() == (filled["quality"] == "missing")).all()
    share = filled["imputed_share"].dropna()
    assert share.between(0, 1).all()
    assert (filled.loc[filled["quality"].isin(["measured", "recovered"]), "imputed_share"].dropna() == 0).all()

    for _, store in frame.groupby(frame["store_id"].fillna(frame["series"])):
        assert_frame_equal(impute(store, values), filled.loc[store.index])


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 4, 9, 24, 100, 168]), st.booleans())
@settings(max_examples=10, deadline=None)
def test_a_wider_context_changes_nothing(seed: int, length: int, together: bool) -> None:
    random = np.random.default_rng(seed)
    frame = pd.concat([door(name, days=400) for name in "ab"], ignore_index=True)
    frame["store_id"] = "x" if together else frame["series"]
    frame["entries"] = random.poisson(frame["entries"] * random.gamma(20, 1 / 20, len(frame)))
    frame["entries"] = frame["entries"].astype(float).mask(random.random(len(frame)) < 0.01)
    begin = MONDAY + pd.Timedelta(days=200, hours=int(random.integers(0, 24)))
    gap = (frame["series"] == "a") & frame["local_time"].between(begin, begin + pd.Timedelta(hours=length - 1))
    frame.loc[gap, "entries"] = None
    near = (frame["local_time"] - begin).abs() <= pd.Timedelta(days=CONTEXT_DAYS)
    whole, part = impute(frame, ["entries"]), impute(frame[near], ["entries"])
    assert_frame_equal(whole[gap], part[gap[near]])


def test_the_benchmark_reads_wide_and_long_files_alike(tmp_path: Path) -> None:
    frame = pd.concat([door("a", days=140), door("b", days=140)], ignore_index=True)
    frame.loc[5, "entries"] = None
    wide = frame.pivot_table(index="local_time", columns="series", values="entries").assign(empty=None)
    with gzip.open(tmp_path / "wide.csv.gz", "wt") as file:
        wide.to_csv(file)
    long = frame.rename(columns={"series": "site", "entries": "in_count"}).assign(out_count=1)
    pd.concat([long, long.tail(1).assign(in_count=0)]).to_csv(tmp_path / "long.csv", index=False)
    names, values, hours, counts = read(tmp_path / "wide.csv.gz")
    assert (names, values, counts.shape) == (["a", "b"], ["count"], (1, len(hours), 2))
    names, values, hours, counts = read(tmp_path / "long.csv", ["b"])
    assert (names, values, counts.shape) == (["b"], ["in_count", "out_count"], (2, len(hours), 1))
    assert counts[0, -1, 0] == usual(hours[-1]) / 2  # two rows for one hour: their mean
    with pytest.raises(ValueError, match="no series c"):
        read(tmp_path / "long.csv", ["c"])


def test_the_benchmark_prints_every_rung(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    frame = door(days=140)
    frame["a"] = random.poisson(frame["entries"])
    frame[["local_time", "a"]].to_csv(tmp_path / "counts.csv", index=False)
    command = [
        sys.executable,
        "-m",
        "benchmarks.imputation",
        str(tmp_path / "counts.csv"),
        "--weeks",
        "8",
        "--rounds",
        "1",
    ]
    ran = subprocess.run(
        [*command, "--end", "2026-05-20", "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    result = json.loads(ran.stdout)
    assert result["end"] == "2026-05-19 23:00:00"
    assert list(result["blocks"]) == [str(length) for length in BLOCKS]
    for block in result["blocks"].values():
        assert block["ratio"] == pytest.approx(block["wape"] / block["hour_of_week_mean"])
        assert block["hours"] == sum(part["hours"] for part in block["methods"].values())
        assert block["series"]["a"]["wape"] == block["wape"]


@pytest.mark.parametrize("name", ["leeds/leeds_2009_2014_wide.csv.gz", "dublin/dublin_2023_in_out.csv.gz"])
def test_masked_hours_of_real_streets_keep_the_bars(real_counts: Callable[[str], Path], name: str) -> None:
    result = measure(*read(real_counts(name)), weeks=26, rounds=1, seed=7)
    for length, block in result["blocks"].items():
        assert block["hours"] > 500
        assert block["answered"] > 0.99
        assert block["ratio"] <= BLOCKS[int(length)]
        assert block["wape"] < block["straight_line"]
