"""What an alert says to a shop manager: a title, a message with the numbers and what to do. Words only, no rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from retail_sensors.analytics.alert_observations import Observation

_AFTER_DETECTION = {
    "traffic_spike": "far more people than usual",
    "traffic_drop": "far fewer people than usual",
    "unusual_pattern": "a day of an unusual shape",
    "sensor_issue": "the camera itself seems faulty",
    "data_gap": "counts are missing",
}
_WAYS_OUT = {
    "unauthorized": "It refuses our password: correct the user name and password that it is registered with.",
    "missing_secret": "Its password is not set on this machine: set what its password reference names.",
    "address_blocked": "Its address is not in the allowed networks: correct the address or RETAIL_SENSORS_ALLOWED_NETWORKS.",
    "not_found": "It does not know the question: check its model and firmware with `retail-sensors cameras probe`.",
    "busy": "Another process has kept it busy: see whether a long collection is running.",
}
_LONG_SECONDS = 300
_CHECK_POWER = "Check its power and network cable; what it holds in memory is collected when it is back."


def value_text(metric: str, value: float) -> str:
    """The value as a text shows it, with its unit."""
    if math.isinf(value):
        return "more than can be served"
    if metric.endswith("_percent"):
        return f"{value:.0f} %"
    if metric.startswith("minutes_") or metric.endswith("_minutes"):
        return duration(value)
    if metric.endswith("_seconds"):
        return f"{value:.0f} seconds" if value < _LONG_SECONDS else duration(value / 60)
    return f"{value:.2f}" if metric == "anomaly_severity" else f"{value:.0f}"


def duration(minutes: float) -> str:
    """A time in words: minutes up to an hour and a half, then hours, then days."""
    for unit, name, most in ((1.0, "minute", 90), (60.0, "hour", 2880), (1440.0, "day", math.inf)):
        if minutes < most:
            count = f"{minutes / unit:.0f}" if unit == 1 else f"{minutes / unit:.1f}".removesuffix(".0")
            return f"{count} {name}{'' if count == '1' else 's'}"
    raise AssertionError("a time has an end")


def alert_text(seen: Observation, threshold: float) -> tuple[str, str]:
    """Title and message of an alert with that threshold; its value is not None."""
    return TEXTS[seen.metric](seen, 0.0 if seen.value is None else seen.value, value_text(seen.metric, threshold))


def local_time(at: datetime, zone: str, beside: datetime) -> str:
    """The store's wall clock; with the day where it is not that of `beside`."""
    local, other = at.astimezone(ZoneInfo(zone)), beside.astimezone(ZoneInfo(zone))
    return f"{local:%H:%M}" if local.date() == other.date() else f"{local:%a} {local.day} {local:%b %H:%M}"


def _span(seen: Observation, word: str = "between") -> str:
    """The time that it is about, with a word before it that may begin a sentence."""
    start = local_time(seen.seen_from, seen.zone, seen.seen_until)
    return f"{word} {start} and {local_time(seen.seen_until, seen.zone, seen.seen_until)}"


def _crowded(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    people, capacity = seen.details["avg_occupancy"], seen.details["capacity"]
    return (
        f"{seen.subject} is crowded: {value:.0f} % of its capacity",
        f"On average {people:.0f} people were in {seen.subject} {_span(seen)}, {value:.0f} % of the {capacity:.0f} that are "
        f"allowed (limit {limit}). Let people in only as others leave, and open all tills and exits.",
    )


def _lanes(seen: Observation) -> str:
    lanes = seen.details.get("recommended_open_lanes")
    return "Open another till." if lanes is None else f"Have {lanes} till{'' if lanes == 1 else 's'} open."


def _overloaded(seen: Observation) -> tuple[str, str]:
    return (
        f"The tills of {seen.subject} cannot serve all who come",
        f"{_span(seen, 'Between')} more customers came to the tills of {seen.subject} than the open lanes can serve: queue and "
        f"wait only grow. {_lanes(seen)}",
    )


def _long_queue(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    if math.isinf(value):
        return _overloaded(seen)
    return (
        f"Long queue in {seen.subject}: {value:.0f} people waiting",
        f"{_span(seen, 'Between')} about {value:.0f} people waited at the tills of {seen.subject} on average (limit {limit}). "
        f"{_lanes(seen)}",
    )


def _long_wait(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    if math.isinf(value):
        return _overloaded(seen)
    return (
        f"Long wait in {seen.subject}: {duration(value)} on average",
        f"{_span(seen, 'Between')} customers waited about {duration(value)} at the tills of {seen.subject} on average (limit "
        f"{limit}). {_lanes(seen)}",
    )


def _giving_up(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    if math.isinf(value):
        return _overloaded(seen)
    wait = seen.details.get("estimated_wait_time_minutes")
    waiting = "" if wait is None else f", who waited about {duration(wait)},"
    return (
        f"Customers of {seen.subject} may give up waiting",
        f"{_span(seen, 'Between')} the customers at the tills of {seen.subject}{waiting} were at a risk step of {value:.0f} % to "
        f"leave without buying (limit {limit}). {_lanes(seen)}",
    )


def _lower_conversion(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    day = seen.seen_from.astimezone(ZoneInfo(seen.zone))
    share, usual = seen.details["metric_value"], seen.details["benchmark_value"]
    if seen.details["metric_name"] == "conversion_rate":
        name, what, advice = "Conversion", "of the visitors bought", "Compare staff, queues and stock of that day"
    else:
        name, what, advice = (
            "Capture rate",
            "of those who passed came in",
            "Compare window, entrance and door of that day",
        )
    return (
        f"{name} of {seen.subject} {value:.0f} % below what is usual",
        f"On {day:%a} {day.day} {day:%b} {share:.1f} % {what} in {seen.subject}, where {usual:.1f} % is usual: {value:.0f} % less "
        f"(limit {limit}). {advice} with a usual one.",
    )


def _unusual(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    kind = seen.details["anomaly_type"]
    expected, actual = seen.details["expected_value"], seen.details["actual_value"]
    numbers = ""
    if kind.startswith("traffic_") and expected is not None and actual is not None:
        numbers = f", {actual:.0f} counted where about {expected:.0f} were expected"
    causes, actions = seen.details["potential_causes"], seen.details["recommended_actions"]
    because = f" Likely cause: {causes[0]}." if causes else ""
    advice = f" What to do: {actions[0]}." if actions else ""
    return (
        f"Camera {seen.subject}: {_AFTER_DETECTION.get(kind, kind)}",
        f"Camera {seen.subject} since {local_time(seen.seen_from, seen.zone, seen.seen_until)}: "
        f"{_AFTER_DETECTION.get(kind, kind)}{numbers} (severity {value:.2f} of 1, limit {limit}).{because}{advice}",
    )


def _silent(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    since = local_time(seen.seen_from, seen.zone, seen.seen_until)
    outcome = seen.details["outcome"]
    told = (
        f"has not answered since {since}, for {duration(value)}"
        if seen.details["has_answered"]
        else f"has never answered, for {duration(value)} now"
    )
    return (
        f"Camera {seen.subject} does not answer",
        f"Camera {seen.subject} {told} (limit {limit}); the last question ended as `{outcome}`. "
        f"{_WAYS_OUT.get(outcome, _CHECK_POWER)}",
    )


def _wrong_clock(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    off, way = value_text(seen.metric, value), "fast" if seen.details["offset_seconds"] > 0 else "slow"
    return (
        f"Camera {seen.subject}: its clock is {off} {way}",
        f"The clock of camera {seen.subject} was {off} {way} at {local_time(seen.seen_until, seen.zone, seen.seen_until)} (limit "
        f"{limit}): people are counted in wrong hours. Set it by NTP, and its zone to the one that it is registered with.",
    )


def _lowered(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    hours = f"{value:.0f} hour{'' if value == 1 else 's'}"
    return (
        f"Camera {seen.subject} told fewer people for {hours} than before",
        f"For {hours} {_span(seen)} camera {seen.subject} told fewer people than it had before: it was reset, or its memory "
        "was cleared. The higher counts stay, the lower ones are in retail.raw_revisions. See whether its account, clock, lines and "
        "regions are still set; to believe it after all, collect these hours with `--overwrite`.",
    )


def _stale(seen: Observation, value: float, limit: str) -> tuple[str, str]:
    since = local_time(seen.seen_from, seen.zone, seen.seen_until)
    least = "" if seen.details["has_counted"] else "at least "
    return (
        f"No fresh counts from {seen.subject}",
        f"{seen.subject} has been without counts since {since}, {least}{duration(value)} of its opening hours (limit {limit}). See "
        "whether its cameras answer and whether the collection runs: `retail-sensors cameras probe`.",
    )


TEXTS: Mapping[str, Callable[[Observation, float, str], tuple[str, str]]] = {
    "utilization_percent": _crowded,
    "queue_length": _long_queue,
    "queue_wait_minutes": _long_wait,
    "abandonment_risk_percent": _giving_up,
    "conversion_drop_percent": _lower_conversion,
    "anomaly_severity": _unusual,
    "minutes_since_answer": _silent,
    "clock_offset_seconds": _wrong_clock,
    "hours_set_aside": _lowered,
    "minutes_without_counts": _stale,
}
"""Title and message by metric, from the observation, its value and the limit as text."""
