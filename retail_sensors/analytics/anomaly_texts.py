"""What could be behind an anomaly and what to do about it, by its type and, for a sensor, by the fault. Words only, no rules."""

from __future__ import annotations

NAMES: dict[str, str] = {
    "traffic_spike": "more people than usual",
    "traffic_drop": "fewer people than usual",
    "unusual_pattern": "people at other hours than usual",
    "data_gap": "no counts",
    "stuck_at_zero": "stuck at zero while others count",
    "frozen": "repeats one count",
    "in_out_imbalance": "ins and outs no longer go together",
    "direction_swapped": "in and out exchanged",
}
"""What happened, in a few words."""

CAUSES: dict[str, tuple[str, ...]] = {
    "traffic_spike": ("event or promotion nearby", "tour group or school class", "weather driving people indoors"),
    "traffic_drop": (
        "shorter opening or early closing",
        "weather",
        "works or a blocked way in",
        "camera view obstructed",
    ),
    "unusual_pattern": ("changed opening hours", "event at an unusual time", "camera clock off by hours"),
    "data_gap": ("camera or network offline", "collection not running", "camera no longer holds the hours"),
    "stuck_at_zero": ("lens covered or camera moved", "counting line switched off or redrawn", "door closed"),
    "frozen": ("counter repeats its last value", "camera firmware hangs", "a gateway answers from its cache"),
    "in_out_imbalance": (
        "line drawn where people turn round",
        "one direction masked or obstructed",
        "another door opened",
    ),
    "direction_swapped": ("arrow of the line reversed", "camera turned or remounted"),
}
"""Possible causes, most common first."""

ACTIONS: dict[str, tuple[str, ...]] = {
    "traffic_spike": ("check staffing and queues for the hours ahead", "note the event in the calendar if it recurs"),
    "traffic_drop": ("check that the door was open and the view is free", "compare with the store's other doors"),
    "unusual_pattern": ("compare with the opening hours of that day", "check the camera's clock"),
    "data_gap": (
        "check power and network of the camera",
        "collect the missing hours again while the camera holds them",
    ),
    "stuck_at_zero": ("look at the camera's picture and its counting lines", "exclude the line until it counts"),
    "frozen": ("restart the camera", "exclude the hours from the figures"),
    "in_out_imbalance": ("count by hand for a quarter of an hour and compare", "redraw the counting line"),
    "direction_swapped": ("compare the line's arrow with the door", "set the line as inverted or turn its arrow"),
}
"""Recommended actions, the first to take first."""
