"""The text of column `quality`: what the counts are worth, and for each NULL column the reason.

Reasons are small integers of a `Vocabulary` while figures are computed, and become JSON once per distinct combination.
The words themselves stand in `REASONS`; which reason holds is decided where the figure is computed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from retail_sensors.analytics.frames import Array

REASONS: dict[str, str] = {
    "not_asked": "the camera was not asked for this time",
    "empty_cell": "the camera left a cell empty that the figure needs",
    "no_camera_measured": "no camera of the store measured this time",
    "no_hour_measured": "no hour of the day was measured",
    "no_entrance_line": "no line has the role entrance",
    "no_passerby_line": "no line has the role passerby",
    "no_passersby": "nobody passed by",
    "partial_counts": "some camera of the store did not count",
    "closed": "the store was closed",
    "no_open_hour": "the store was closed all day",
    "no_open_hour_measured": "no open hour was measured on every camera",
    "nobody_crossed": "nobody crossed a line",
    "store_level_only": "the store's doors or passer-by lines hang on more than this camera",
    "incomplete_day": "an hour from reset to reset, or a tenth of the day's hours, is not final on every entrance line",
    "reset_window_open": "the day from reset to reset has not ended",
    "direction_imbalance": "entries and exits differ by more than 30 %",
    "one_direction_zero": "one direction counted nobody all day",
    "not_a_closed_space": "more people left than had come in",
    "no_capacity": "the store has no capacity",
    "not_collected": "there is no reading of this endpoint for this time",
    "heat_not_held": "the camera counted crossings but no longer held the heat of the hour",
    "no_comparable_day": "the other day is missing or less than 90 % complete",
    "reference_zero": "the other day had no visitors",
    "holiday": "one of the two days is a holiday",
    "too_few_days": "fewer than 4 complete same weekdays in the 52 weeks before",
}
"""Reasons for NULL and what they mean. A missing hour has the outcome of its question (`timeout`, ...) as reason."""


class Vocabulary:
    """Words of one frame as small integers; 0 is no word."""

    def __init__(self) -> None:
        self._words = [""]
        self._codes = {"": 0}

    def code(self, word: str) -> int:
        """The integer of a word, made on first use."""
        if word not in self._codes:
            self._codes[word] = len(self._words)
            self._words.append(word)
        return self._codes[word]

    def translate(self, words: Sequence[str], positions: Array) -> Array:
        """The integer of the word at each position of `words`."""
        return np.array([self.code(word) for word in words], dtype=np.int16)[positions]

    def word(self, code: int) -> str:
        """The word of an integer."""
        return self._words[code]

    def first(self, count: int, *cases: tuple[Array | bool, str | Array]) -> Array:
        """Code of the first case that holds for each row, 0 where none does; a case is (mask, word or codes)."""
        result = np.zeros(count, dtype=np.int16)
        for mask, word in reversed(cases):
            result = np.where(mask, self.code(word) if isinstance(word, str) else word, result).astype(np.int16)
        return result


def quality_texts(
    vocabulary: Vocabulary, count: int, notes: Iterable[tuple[tuple[str, ...], Array]], before: Array | None = None
) -> Array:
    """Each row's `quality` as JSON text from notes (columns, codes): {column: word} where the code is not 0.

    `before`: texts to which the notes are added; a column that they name already is said anew.
    """
    listed = list(notes)
    key = np.zeros(count, dtype=np.int64) if before is None else np.asarray(pd.factorize(before)[0], dtype=np.int64)
    bound = int(key.max(initial=0)) + 1
    for _, code in listed:
        radix = int(code.max(initial=0)) + 1
        if bound * radix > 2**62:
            key = np.asarray(pd.factorize(key)[0], dtype=np.int64)
            bound = int(key.max(initial=0)) + 1
        key = key * radix + code
        bound *= radix
    group, distinct = pd.factorize(key)
    example = np.empty(len(distinct), dtype=np.int64)
    example[group[::-1]] = np.arange(count)[::-1]
    first = [{} if before is None else json.loads(before[row]) for row in example]
    spelled = [
        json.dumps(
            known | {name: vocabulary.word(int(code[row])) for names, code in listed if code[row] for name in names},
            ensure_ascii=False,
        )
        for known, row in zip(first, example, strict=True)
    ]
    return np.array([*spelled, None], dtype=object)[group]
