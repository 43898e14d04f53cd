"""JSON texts of many rows: the spelling, and what comes back from it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.analytics import frames, jsontext
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.errors import ContractError
from retail_sensors.tables import HOURLY_ANALYTICS


def test_numbers_are_spelled_as_json() -> None:
    assert jsontext.number_texts(np.array([3.0, 0.5, np.nan, -2.0])).tolist() == ["3", "0.5", "null", "-2"]


def test_rows_without_items_have_no_text() -> None:
    keys = np.array([jsontext.key_text("a"), jsontext.key_text('q"'), jsontext.key_text("a")], dtype=object)
    texts = jsontext.objects(np.array([0, 0, 2]), keys, np.array([1.0, 2.5, np.nan]), 4)
    assert texts.tolist() == ['{"a": 1, "q\\"": 2.5}', None, '{"a": null}', None]


@given(st.lists(st.dictionaries(st.sampled_from(["1", "2", "3", "4"]), st.integers(0, 10**6)), max_size=8))
def test_objects_come_back_as_they_were_written(rows: list[dict[str, int]]) -> None:
    items = [(row, key, value) for row, found in enumerate(rows) for key, value in sorted(found.items())]
    texts = jsontext.objects(
        np.array([row for row, _, _ in items], dtype=np.int64),
        np.array([jsontext.key_text(key) for _, key, _ in items], dtype=object),
        np.array([value for _, _, value in items], dtype=float),
        len(rows),
    )
    values = jsontext.parsed(texts, ("1", "2", "3", "4"))
    back = [{str(n + 1): int(v) for n, v in enumerate(row) if not np.isnan(v)} for row in values]
    assert back == rows


def test_quality_says_only_what_applies() -> None:
    words = Vocabulary()
    counts = words.first(3, (np.array([True, False, False]), "measured"), (True, "missing"))
    reason = words.first(3, (np.array([False, True, False]), "timeout"))
    texts = quality_texts(words, 3, [(("counts",), counts), (("a", "b"), reason)])
    assert [json.loads(text) for text in texts] == [
        {"counts": "measured"},
        {"counts": "missing", "a": "timeout", "b": "timeout"},
        {"counts": "missing"},
    ]


def test_quality_holds_with_more_combinations_than_an_integer() -> None:
    words = Vocabulary()
    code = words.translate([f"word {number}" for number in range(200)], np.arange(200))
    texts = quality_texts(words, 200, [((f"column {number}",), code) for number in range(12)])
    assert [set(json.loads(text).values()) for text in texts] == [{f"word {number}"} for number in range(200)]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ContractError, match=r"people_counting_raw has no column line1_in"):
        frames.numbers(pd.DataFrame({"x": [1]}), "line1_in", "people_counting_raw")


def test_instants_without_zone_are_refused() -> None:
    frame = pd.DataFrame({"timestamp": pd.to_datetime(["2026-02-02"])})
    with pytest.raises(ContractError, match="timestamptz"):
        frames.seconds(frame, "timestamp", "people_counting_raw")


def test_a_column_that_was_not_computed_is_an_error() -> None:
    with pytest.raises(KeyError, match="sensor_id"):
        frames.build(HOURLY_ANALYTICS, {})
