"""JSON text of many rows at once, in the spelling that Postgres gives a jsonb: a space after each colon and comma.

Numbers are spelled once per distinct value and objects are joined from fragments, so that a year of hours takes
seconds. What the objects mean belongs in the modules that ask for them.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from retail_sensors.analytics.frames import Array

_CHUNK = 100_000  # rows joined or parsed at a time: bounds the fragments and dictionaries alive at once


def number_texts(values: Array) -> Array:
    """Each number as JSON text; whole numbers without a point, NaN as null."""
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    spelled = [str(int(value)) if value == int(value) else repr(float(value)) for value in distinct]
    table = np.array([*spelled, "null"], dtype=object)
    return table[codes]  # the sentinel -1 is the last: null


def key_text(key: str) -> str:
    """A key with its colon, ready to stand before a value."""
    return f"{json.dumps(key, ensure_ascii=False)}: "


def joined(rows: Array, fragments: Array, count: int, opening: str, closing: str) -> Array:
    """The fragments of each row 0..count-1 between brackets; None for a row without any. `rows` is ascending."""
    result = np.full(count, None, dtype=object)
    ends = np.searchsorted(rows, np.arange(count + 1)).tolist()
    for base in range(0, count, _CHUNK):
        top = min(base + _CHUNK, count)
        offset = ends[base]
        part = fragments[offset : ends[top]].tolist()
        result[base:top] = [
            opening + ", ".join(part[start - offset : end - offset]) + closing if end > start else None
            for start, end in zip(ends[base:top], ends[base + 1 : top + 1], strict=True)
        ]
    return result


def objects(rows: Array, keys: Array, values: Array, count: int) -> Array:
    """One JSON object per row 0..count-1 from items (row, key text, number); None for a row without items.

    `rows` is ascending; within a row the items keep their order.
    """
    result = np.full(count, None, dtype=object)
    for base in range(0, count, _CHUNK):
        top = min(base + _CHUNK, count)
        start, end = np.searchsorted(rows, (base, top))
        if end > start:
            fragments = keys[start:end] + number_texts(values[start:end])
            result[base:top] = joined(rows[start:end] - base, fragments, top - base, "{", "}")
    return result


def parsed(texts: Array, keys: tuple[str, ...]) -> Array:
    """The numbers under `keys` of each JSON object, shape (rows, keys); NaN where the text or the key is missing."""
    result = np.full((len(texts), len(keys)), np.nan)
    present = np.flatnonzero(pd.notna(texts))
    for base in range(0, len(present), _CHUNK):
        where = present[base : base + _CHUNK]
        decoded = json.loads("[" + ",".join(texts[where].tolist()) + "]")
        for position, key in enumerate(keys):
            result[where, position] = [found.get(key, np.nan) for found in decoded]
    return result
