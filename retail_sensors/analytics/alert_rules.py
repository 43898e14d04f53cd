"""The rules of alerts: which of them holds for a camera or store, and how bad a value is by it.

Rows of `alert_rules` become a `Rule` each. When a value becomes an alert belongs in `alerts`, what it is called in
`alert_texts`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd

SEVERITIES = ("warning", "critical")
"""From mild to severe."""

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a limit on one metric. `store_id` None: for all stores; a threshold None: it has not that severity."""

    name: str
    store_id: str | None
    alert_type: str
    scope: str
    metric: str
    comparison: str
    warning: float | None
    critical: float | None
    hold: timedelta
    cool_down: timedelta
    escalate_after: timedelta | None
    recency: timedelta
    is_enabled: bool

    def threshold(self, severity: str) -> float | None:
        """The value from which it is of that severity."""
        return self.critical if severity == "critical" else self.warning

    def severity(self, value: float) -> str | None:
        """`critical`, `warning`, or None where the value is within the limits."""
        compare = _COMPARISONS[self.comparison]
        for severity in reversed(SEVERITIES):
            threshold = self.threshold(severity)
            if threshold is not None and compare(value, threshold):
                return severity
        return None

    def worst(self, values: list[float]) -> int:
        """Position of the worst of the values, the last of equal ones."""
        best = max(values) if self.comparison in (">", ">=") else min(values)
        return max(position for position, value in enumerate(values) if value == best)


class Rules:
    """The rules of an installation; a store's own row stands in place of the rule of that name for all."""

    def __init__(self, rows: pd.DataFrame) -> None:
        """From the rows of `alert_rules`, at most one for a name and store."""
        self._rules = {(rule.name, rule.store_id): rule for rule in map(_rule, rows.to_dict("records"))}
        self.names = sorted({name for name, _ in self._rules})

    def of(self, name: str, store_id: str) -> Rule | None:
        """The rule of that name for that store, switched off or not; None: there is none."""
        return self._rules.get((name, store_id)) or self._rules.get((name, None))


def _rule(row: Mapping[Any, Any]) -> Rule:
    def number(name: str) -> float | None:
        return None if pd.isna(row[name]) else float(row[name])

    def minutes(name: str) -> timedelta:
        return timedelta(minutes=float(row[name]))

    return Rule(
        name=row["rule_name"],
        store_id=None if pd.isna(row["store_id"]) else row["store_id"],
        alert_type=row["alert_type"],
        scope=row["scope"],
        metric=row["metric"],
        comparison=row["comparison"],
        warning=number("warning_threshold"),
        critical=number("critical_threshold"),
        hold=minutes("hold_minutes"),
        cool_down=minutes("cool_down_minutes"),
        escalate_after=None if pd.isna(row["escalate_after_minutes"]) else minutes("escalate_after_minutes"),
        recency=minutes("recency_minutes"),
        is_enabled=bool(row["is_enabled"]),
    )
