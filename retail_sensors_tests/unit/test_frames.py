"""What a frame must look like to be written: each breach is refused in a sentence that says where and how to mend it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.errors import ContractError
from retail_sensors.storage.frames import check_frame, empty_frame
from retail_sensors.tables import TABLES, Column, Kind, Table

READINGS = Table(
    name="readings",
    row="A reading.",
    key=("sensor_id", "at"),
    time_column="at",
    columns=(
        Column("sensor_id", Kind.UUID, "Camera.", nullable=False),
        Column("at", Kind.TIMESTAMP, "Instant.", nullable=False),
        Column("entries", Kind.INTEGER, "Count."),
        Column("many", Kind.BIGINT, "Count."),
        Column("ratio", Kind.DOUBLE, "Ratio."),
        Column("amount", Kind.NUMERIC, "Amount."),
        Column("is_open", Kind.BOOLEAN, "Flag."),
        Column("label", Kind.TEXT, "Label."),
        Column("extra", Kind.JSONB, "Rest."),
        Column("day", Kind.DATE, "Date."),
        Column("opens", Kind.TIME, "Time."),
        Column("raw", Kind.BYTEA, "Bytes."),
        Column("total", Kind.INTEGER, "Computed.", is_generated=True),
    ),
)
CAMERA = "6f0e2c6e-0000-4000-8000-000000000001"
NINE = datetime(2026, 2, 2, 9, tzinfo=UTC)


def frame(**changes: Any) -> pd.DataFrame:
    """Two good rows; `changes` replace columns."""
    columns: dict[str, Any] = {
        "sensor_id": pd.Series([CAMERA, CAMERA], dtype="string"),
        "at": pd.Series([NINE, NINE + timedelta(hours=1)], dtype="datetime64[us, UTC]"),
        "entries": pd.Series([3, None], dtype="Int64"),
        "many": pd.Series([2**40, None], dtype="Int64"),
        "ratio": pd.Series([0.5, None], dtype="Float64"),
        "amount": pd.Series([1.5, None], dtype="Float64"),
        "is_open": pd.Series([True, None], dtype="boolean"),
        "label": pd.Series(["a", None], dtype="string"),
        "extra": pd.Series(["{}", None], dtype="string"),
        "day": pd.Series([date(2026, 2, 2), None], dtype="object"),
        "opens": pd.Series([time(9), None], dtype="object"),
        "raw": pd.Series([b"x", None], dtype="object"),
    }
    return pd.DataFrame({**columns, **changes})


def refusal(wrong: pd.DataFrame) -> str:
    with pytest.raises(ContractError) as caught:
        check_frame(wrong, READINGS, "some/asset")
    return str(caught.value)


def test_a_good_frame_passes_and_comes_in_the_order_of_the_table() -> None:
    good = frame()
    checked = check_frame(good[list(reversed(good.columns))], READINGS, "some/asset")
    pd.testing.assert_frame_equal(checked, good)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (frame().drop(columns=["ratio", "label"]), "lacks the column(s) ratio, label; add them, NULL where unknown"),
        (frame(weather="sunny"), "undeclared column(s) weather; drop them from the frame, or declare them"),
        (frame(total=1), "undeclared column(s) total; Postgres computes them, so drop them"),
        (frame(total=1, weather="sunny"), "undeclared column(s) total, weather; drop them from the frame, or declare"),
        (pd.concat([frame(), frame()[["label"]]], axis=1), "a column name stands twice in the frame; keep one"),
        (frame(sensor_id=pd.Series([CAMERA, None], dtype="string")), "column sensor_id: 1 value(s) are NULL"),
        (frame(at=pd.Series([NINE, None], dtype="datetime64[us, UTC]")), "column at: 1 value(s) are NULL"),
        (frame(at=pd.Series([NINE, NINE], dtype="datetime64[us, UTC]")), "2 rows share their key (sensor_id, at)"),
        (frame(ratio=[0.5, np.inf]), "column ratio: a value is infinite"),
        (frame(amount=pd.Series([-np.inf, 1], dtype="Float64")), "column amount: a value is infinite"),
        (frame(ratio=pd.Series([0.5, -np.inf], dtype="object")), "column ratio: a value is infinite"),
        (frame(entries=[3, 2**31]), "column entries: the values from 3 to 2147483648 do not fit integer"),
        (frame(entries=[3, -(2**31) - 1]), "do not fit integer; drop rows that cannot be meant"),
        (frame(many=pd.Series([3, 2**70], dtype="object")), "column many: the values from 3 to"),
        (frame(many=np.array([3, 2**63], dtype="uint64")), "column many: the values from 3 to 9223372036854775808"),
    ],
)
def test_a_breach_is_refused_with_its_place_and_its_remedy(wrong: pd.DataFrame, said: str) -> None:
    sentence = refusal(wrong)
    assert sentence.startswith("Asset some/asset, table retail.readings")
    assert said in sentence


@pytest.mark.parametrize(
    ("name", "values", "remedy"),
    [
        ("sensor_id", [1, 2], "convert it with .astype('string')"),
        ("at", pd.Series([NINE, NINE], dtype="datetime64[us, UTC]").dt.tz_localize(None), "give zone-aware instants"),
        ("at", pd.Series([NINE, NINE.replace(tzinfo=None)], dtype="object"), "give zone-aware instants"),
        ("at", ["2026-02-02T09:00Z", "2026-02-02T10:00Z"], "give zone-aware instants"),
        ("entries", [1.0, 2.0], "convert it with .astype('Int64')"),
        ("entries", [True, False], "convert it with .astype('Int64')"),
        ("entries", pd.Series([1, True], dtype="object"), "convert it with .astype('Int64')"),
        ("entries", ["1", "2"], "convert it with .astype('Int64')"),
        ("many", [1.5, 2.5], "convert it with .astype('Int64')"),
        ("ratio", ["0.5", "0.6"], "convert it with .astype('Float64')"),
        ("ratio", [True, False], "convert it with .astype('Float64')"),
        ("amount", pd.Series([1.5, "2"], dtype="object"), "convert it with .astype('Float64')"),
        ("is_open", [1, 0], "convert it with .astype('boolean')"),
        ("is_open", ["true", "false"], "convert it with .astype('boolean')"),
        ("label", [1, 2], "convert it with .astype('string')"),
        ("label", pd.Series(["a", b"b"], dtype="object"), "convert it with .astype('string')"),
        ("extra", pd.Series([{"a": 1}, None], dtype="object"), "convert it with .astype('string')"),
        ("day", ["2026-02-02", "2026-02-03"], "give datetime.date values"),
        ("day", pd.Series([NINE, NINE], dtype="object"), "give datetime.date values"),
        ("day", pd.to_datetime(["2026-02-02", "2026-02-03"]), "give datetime.date values"),
        ("opens", ["09:00", "10:00"], "give datetime.time values"),
        ("opens", pd.Series([time(9, tzinfo=UTC), None], dtype="object"), "without a zone"),
        ("raw", ["x", "y"], "give bytes"),
    ],
)
def test_a_wrong_type_is_refused_with_the_way_to_convert_it(name: str, values: Any, remedy: str) -> None:
    sentence = refusal(frame(**{name: values}))
    assert f"column {name}: the dtype" in sentence
    assert remedy in sentence


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sensor_id", pd.Series([UUID(CAMERA), UUID(CAMERA)], dtype="object")),
        (
            "at",
            pd.Series([NINE, NINE.astimezone(timezone(timedelta(hours=5, minutes=30))) + timedelta(1)], dtype="object"),
        ),
        ("at", pd.Series([NINE, NINE + timedelta(1)]).dt.tz_convert("Asia/Kolkata")),
        ("at", pd.Series([NINE, NINE + timedelta(1)], dtype="datetime64[ns, UTC]")),
        ("entries", np.array([1, 2], dtype="int16")),
        ("entries", pd.Series([1, None], dtype="object")),
        ("entries", [np.nan, np.nan]),
        ("ratio", [1, 2]),
        ("ratio", pd.Series([1, 0.5], dtype="object")),
        ("is_open", [True, False]),
        ("is_open", pd.Series([np.bool_(True), None], dtype="object")),
        ("label", ["a", "b"]),
        ("label", pd.Series(["a", np.nan], dtype="object")),
        ("day", pd.Series([pd.NaT, pd.NaT])),
    ],
)
def test_other_dtypes_that_can_be_written_without_a_guess_pass(name: str, values: Any) -> None:
    good = frame(**{name: values})
    pd.testing.assert_frame_equal(check_frame(good, READINGS, "some/asset"), good)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_empty_frame_of_every_table_fits_it(table: Table) -> None:
    empty = empty_frame(table)
    checked = check_frame(empty, table, "some/asset")
    assert checked.empty
    assert {name: str(dtype) for name, dtype in checked.dtypes.items()} == {
        column.name: column.kind.pandas for column in table.written
    }


def every_column() -> list[str]:
    return [column.name for column in READINGS.written]


@given(st.sets(st.sampled_from(every_column()), min_size=1), st.sets(st.text(min_size=1, max_size=8), max_size=3))
def test_no_set_of_missing_and_extra_columns_passes(missing: set[str], extra: set[str]) -> None:
    wrong = frame().drop(columns=sorted(missing)).assign(**dict.fromkeys(extra - set(every_column()), 1))
    sentence = refusal(wrong)
    assert all(name in sentence for name in missing)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 3)), min_size=1, max_size=12))
def test_a_key_is_refused_exactly_when_it_stands_twice(keys: list[tuple[str, int]]) -> None:
    table = Table("t", "r", ("name", "hour"), (Column("name", Kind.TEXT, ""), Column("hour", Kind.INTEGER, "")))
    rows = pd.DataFrame(keys, columns=["name", "hour"])
    if len(set(keys)) == len(keys):
        assert len(check_frame(rows, table, "a")) == len(keys)
    else:
        with pytest.raises(ContractError, match="share their key"):
            check_frame(rows, table, "a")
