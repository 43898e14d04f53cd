"""YAML or JSON text as plain values, with the line of every field.

Here belongs what is about the text: syntax, doubled keys, encodings, and where a field stands. What a field may say
belongs to the reader of the particular file. Scalars stay the text that was written: YAML's guesses turn the country NO
into false, 10:30 into 630 and 007 into 7, and the reader knows better which type it wants.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from retail_sensors.errors import ConfigurationError

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""libyaml where PyYAML was built with it: ten times as fast on a file of a thousand cameras."""

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 32

Location = tuple[str | int, ...]
"""The way to one value: keys of mappings and indices of lists, from the top."""

Value = str | list["Value"] | dict[str, "Value"] | None
"""One value of the file; None where nothing, `~` or `null` was written."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_SURROGATE_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")


@dataclass(frozen=True, order=True, slots=True)
class Fault:
    """One thing that is wrong in a file: its line, the field, and what to say about it."""

    line: int
    field: str
    sentence: str


@dataclass(frozen=True, slots=True)
class MarkedText:
    """The value of one file with the line of each of its fields, and what is wrong with the text itself."""

    source: str
    value: Value
    lines: Mapping[Location, int]
    faults: tuple[Fault, ...]

    def line(self, location: Location) -> int:
        """Line of the field, counted from 1; of the nearest field around it where it was not written."""
        while location not in self.lines and location:
            location = location[:-1]
        return self.lines.get(location, 1)

    def fault(self, location: Location, sentence: str) -> Fault:
        """The fault of one field."""
        return Fault(self.line(location), field_name(location), sentence)


def field_name(location: Location) -> str:
    """The field as people write it, such as `cameras[1].timezone`."""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def refusal(source: str, faults: Iterator[Fault] | list[Fault] | tuple[Fault, ...]) -> ConfigurationError:
    """The error that reports all faults of a file, one line for each, in the order of the file."""
    return ConfigurationError(
        "\n".join(
            f"{source}, line {fault.line}{', ' + fault.field if fault.field else ''}: {fault.sentence}"
            for fault in sorted(set(faults))
        )
    )


def read_text(path: Path) -> str:
    """The text of one file; ConfigurationError where there is none that could be read."""
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder; name a file.")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); check the path and its rights.") from None
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{path} is larger than {MAX_BYTES >> 20} MiB; split it into several files.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}, line {line}: is not UTF-8 text; save the file as UTF-8.") from None


def parse(text: str, source: str) -> MarkedText:
    """The values and lines of one YAML or JSON text; what is wrong with it is in `faults`."""
    builder = _Builder(yaml.parse(_json_as_yaml(text), Loader=_LOADER))
    try:
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        value = None
        mark = error.problem_mark or error.context_mark
        builder.fault(mark.line if mark else 0, (), f"is not YAML: {_problem(error)}")
    except yaml.YAMLError as error:
        value = None
        position = getattr(error, "position", 0) or 0
        builder.fault(text.count("\n", 0, position), (), "holds a character that YAML does not allow; remove it")
    except _UnreadableError as error:
        value = None
        builder.fault(error.line, error.location, str(error))
    return MarkedText(source, value, builder.lines, tuple(builder.faults))


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it cannot be understood"
    # PyYAML repeats the name of an alias or tag, and an unquoted password may begin with * or !.
    return "a value that begins with *, & or ! must be quoted" if re.search("alias|anchor|tag", problem) else problem


def _json_as_yaml(text: str) -> str:
    """The text, where it is JSON without the two things in which JSON is not YAML."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    # In valid JSON a bare tab stands between tokens only.
    return _SURROGATE_PAIR.sub(
        lambda found: found[1] + json.loads(f'"{found[2]}"'),
        text.replace("\t", " "),
    )


def _line(event: yaml.Event) -> int:
    return event.start_mark.line if event.start_mark else 0


class _UnreadableError(Exception):
    """The rest of the text has no meaning that could be guessed."""

    def __init__(self, line: int, location: Location, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line
        self.location = location


class _Builder:
    """Values out of YAML's events: nothing is constructed but text, lists and mappings."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._anchors: dict[str, Value] = {}
        self.lines: dict[Location, int] = {}
        self.faults: list[Fault] = []

    def fault(self, line: int, location: Location, sentence: str) -> None:
        """Notes one fault; `line` counts from 0 as YAML's marks do."""
        self.faults.append(Fault(line + 1, field_name(location), sentence))

    def document(self) -> Value:
        value: Value = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _UnreadableError(_line(event), (), "a second YAML document begins; write one file each")
                value = self._value(next(self._events), ())
        return value

    def _value(self, event: yaml.Event, location: Location) -> Value:
        line = _line(event)
        self.lines.setdefault(location, line + 1)
        if len(location) > MAX_DEPTH:
            raise _UnreadableError(line, location[:2], f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _UnreadableError(line, location, "a value that begins with * must be quoted")
            return self._anchors[event.anchor]
        if isinstance(event, yaml.NodeEvent) and (getattr(event, "tag", None) or "").startswith("!"):
            self.fault(line, location, "YAML tags have no meaning here; quote a value that begins with !")
        value: Value
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, location)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                value.append(self._value(item, (*location, len(value))))
        else:
            value = self._mapping(location)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _scalar(self, event: yaml.ScalarEvent, location: Location) -> str | None:
        text: str = event.value
        if event.implicit[0] and text in _NULLS:
            return None
        if _UNSTORABLE.search(text):
            self.fault(_line(event), location, "holds a control character; remove it")
        return text

    def _mapping(self, location: Location) -> Value:
        fields: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _UnreadableError(line, location, "a field's name must be plain text")
            key: str = event.value
            inner = (*location, key)
            if key == "<<" and event.implicit[0]:
                self.fault(line, inner, "merge keys are not read; write the fields out")
            if key in fields:
                self.fault(line, inner, f"is written twice, first in line {self.lines[inner]}; keep one")
                self._value(next(self._events), (*location, f"{key} (again)"))
                continue
            self.lines[inner] = line + 1
            fields[key] = self._value(next(self._events), inner)
        fields.pop("<<", None)
        return fields
