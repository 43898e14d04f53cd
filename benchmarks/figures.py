"""What a benchmark prints: figures, and ratios with their bars, as a table or as JSON.

How something is measured belongs in the benchmarks themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `unit` is empty for a ratio. `at_least` and `at_most` are the bar that a ratio or figure should keep."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def keeps_bar(self) -> bool | None:
        """Whether the bar is kept; None where there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value <= self.at_most
        return None

    def as_json(self) -> dict[str, object]:
        """The figure for programs."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "keeps_bar": self.keeps_bar,
        }

    def as_line(self) -> str:
        """The figure for readers."""
        shown = f"{self.value:,.2f}" if self.value < 100 else f"{self.value:,.0f}"
        line = f"  {self.name:<58}{shown:>10} {self.unit:<8}"
        if self.keeps_bar is None:
            return line.rstrip()
        bar = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{line}{bar:<14}{'kept' if self.keeps_bar else 'MISSED'}"


Option = tuple[str, dict[str, object]]
"""A command-line option: its flag, and what `add_argument` takes."""


def run(
    name: str, title: str, measure: Callable[[argparse.Namespace], list[Figure]], options: Sequence[Option] = ()
) -> None:
    """Parses the command line, measures and prints."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=title)
    for flag, settings in options:
        parser.add_argument(flag, **settings)  # type: ignore[arg-type]
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    # Unwinds the stack, so that servers are stopped and folders removed.
    signal.signal(signal.SIGTERM, _leave)
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps({"benchmark": name, "title": title, "figures": [figure.as_json() for figure in figures]}))
        return
    print(f"{name}: {title} ({os.cpu_count()} cores)")
    for figure in figures:
        print(figure.as_line())


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
