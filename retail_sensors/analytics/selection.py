"""Which cameras some words mean: the one language wherever a camera can be named.

A word is one of

* `NAME`: the camera of that name;
* `store:NAME`, `org:NAME`: the cameras of a store, of an organization;
* `group:NAME`, `tag:WORD`: the cameras of a group, those that carry a tag;
* `building:NAME`, `floor:NUMBER`: the cameras that hang there;
* `not:` before any of them: without these.

In a name `*` stands for any characters and `?` for one; letters count as they are written. Several words are a union, and what `not:`
names is taken away from it, in whatever order they stand. Where only `not:` is said, or nothing, all cameras are meant at first. A
camera whose whole name is the word is meant by it, whatever else the word could say. A word that means no camera is refused: it is
more often a slip than a wish. Whether a disabled camera takes part is for the caller to say; who is where belongs in
`storage.places`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.words import did_you_mean

if TYPE_CHECKING:
    # A monitor asks `status` every minute, and waits for no library that it does not need.
    import pandas as pd

NOT = "not:"
KINDS = {
    "store": "store_name",
    "org": "organization_name",
    "group": "groups",
    "tag": "tags",
    "building": "building",
    "floor": "floor",
}
"""What a word may name besides a camera, and the column that it is looked for in; `groups` and `tags` hold lists."""
COLUMNS = ("sensor_name", *KINDS.values())

Member = Mapping[str, Any]
"""One camera with the values of COLUMNS; None or NaN where something is not said."""


def chosen(sensors: pd.DataFrame, words: Sequence[str]) -> list[str]:
    """Names of the cameras that the words mean, each once and in the order of the frame; no word: all of them.

    `sensors` has at least COLUMNS, as `Roster.places` has them: `sensor_name`, `store_name`, `organization_name` and `building`
    text, `groups` and `tags` a list of text in each cell, `floor` a whole number; what is not said is None, NaN or an empty
    list. Raises ConfigurationError that names every word that means no camera, with the near miss, and where the words leave
    none; ContractError for a frame without one of the columns.
    """
    if lacking := [column for column in COLUMNS if column not in sensors]:
        raise ContractError(f"The cameras to choose from have no column {', '.join(lacking)}; take `Roster.places`.")
    rows = sensors[list(COLUMNS)].itertuples(index=False, name=None)
    return chosen_of((dict(zip(COLUMNS, row, strict=True)) for row in rows), words)


def chosen_of(members: Iterable[Member], words: Sequence[str]) -> list[str]:
    """The same of cameras that are no frame."""
    known = list(members)
    wanted: set[str] = set()
    unwanted: set[str] = set()
    unknown: dict[str, str] = {}
    for word in dict.fromkeys(words):
        found = _named(known, word)
        if found:
            wanted |= found
        elif word.startswith(NOT) and (found := _named(known, word.removeprefix(NOT))):
            unwanted |= found
        else:
            unknown[word] = _near(known, word)
    if unknown:
        listed = "; nor as ".join(f"{word!r}{near}" for word, near in unknown.items())
        raise ConfigurationError(
            f"No camera is registered as {listed} (`retail-sensors cameras list` shows those that are)."
        )
    remaining = (wanted or {member["sensor_name"] for member in known}) - unwanted
    if words and not remaining:
        raise ConfigurationError(f"No camera remains of {' '.join(words)}; what `not:` names takes all of them away.")
    return [member["sensor_name"] for member in known if member["sensor_name"] in remaining]


def names_one(members: Iterable[Member], word: str) -> bool:
    """Whether the word is the whole name of one camera."""
    return any(member["sensor_name"] == word for member in members)


def _named(members: Sequence[Member], word: str) -> set[str]:
    """Names of the cameras that one word without `not:` means."""
    if names_one(members, word):
        return {word}
    kind, _, value = word.partition(":")
    pattern = _pattern(value if kind in KINDS else word)
    column = KINDS.get(kind, "sensor_name")
    return {
        member["sensor_name"] for member in members if any(pattern.fullmatch(text) for text in _texts(member[column]))
    }


def _pattern(text: str) -> re.Pattern[str]:
    """Only * and ? have a meaning: brackets are part of some names."""
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", text))
    return re.compile("".join(parts), re.DOTALL)


def _texts(value: object) -> Iterator[str]:
    """A cell as the texts that a word is compared with: none where nothing is said, 1 for a floor 1.0."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)):
        # NaN is what a frame makes of an unknown floor.
        if not math.isnan(value):
            yield str(int(value))
    elif isinstance(value, Iterable):
        yield from value


def _near(members: Sequence[Member], word: str) -> str:
    bare = word.removeprefix(NOT)
    kind = bare.partition(":")[0]
    near = [f"{name}:{text}" for name, column in KINDS.items() for member in members for text in _texts(member[column])]
    if kind in KINDS:
        near = [candidate for candidate in near if candidate.startswith(f"{kind}:")]
    else:
        near += [member["sensor_name"] for member in members]
    return did_you_mean(bare, near).replace(";", ",")
