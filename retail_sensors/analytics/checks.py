"""What is said of data that has just been written: complete, lower than before, plausible, adding up, estimated, fresh.

Frames in, a verdict out. Which rows are asked for belongs in `sql/queries/checks.sql`, when in `retail_sensors.checks`; a check
stops nothing. What breaks a table's contract is refused before it is written, by `storage.frames`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.alert_observations import Sources, observations
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.roster import Roster

SPIKE_FACTOR = 20
"""An hour with more than so many times what is usual is no traffic."""
SPIKE_FLOOR = 5
"""What is usual counts as so many people at least: a stock-taking at night is no fault."""
LEAST_WEEKS = 4
"""Earlier same hours that make something usual."""
ONE_WAY_PEOPLE = 20
"""People one way without anyone the other way that prove something in a day."""

FIGURES = ("total_entries", "total_exits", "passersby")
ROUNDING = 0.001
"""People by which a sum may differ."""
MUCH_ESTIMATED, MOSTLY_ESTIMATED = 0.1, 0.5

LASTING_DAYS, LASTING_LEAST = 7, 5
"""A residual lasts when it is of one sign and too large on so many of the last days."""
MEASURED_RESIDUAL, USABLE_RESIDUAL = 0.10, 0.30
"""Up to the first an occupancy is measured, up to the second estimated; beyond there is none."""
USUAL_DAYS = 28
"""Days before those by which a door is known."""

LATE_MINUTES, DEAD_MINUTES = 120, 480
"""Opening time without a count; as the rule `data_stale` has it for a start."""
DAY_SETTLES = timedelta(hours=2)
"""A day is there so long after its end."""
LATE_DAYS, DEAD_DAYS = 1, 3
LATE_FORECAST, DEAD_FORECAST = timedelta(hours=8), timedelta(hours=24)
"""Forecasts are made every six hours."""
LATE_SEARCH, DEAD_SEARCH = timedelta(hours=3), timedelta(hours=24)
"""Anomalies are looked for every hour."""

_NAMED = 3
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check found: a sentence, counts by name, and the rows that are to be looked at.

    `is_severe` makes a failure an error; else it is a warning.
    """

    passed: bool
    told: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    is_severe: bool = False


# Cameras ----------------------------------------------------------------------------------------------------------------


def completeness(hours: pd.DataFrame, *, has_past: bool = True) -> Verdict:
    """Whether every camera gave every hour that it was asked for; severe when not one camera did.

    `hours`: camera, timezone, last_seen_at, hour_start, outcome, is_in; a camera that was not asked has one row without an hour.
    `has_past` False: the endpoint is a reading of now, and where nobody was asked there was nothing to ask.
    """
    if not len(hours):
        return Verdict(True, "No active camera has this endpoint.")
    was_asked = hours["hour_start"].notna()
    if not has_past and not was_asked.any():
        return Verdict(True, "A reading of now: for past hours there is nothing to ask.")
    rows = []
    for camera, of_camera in hours.sort_values("hour_start").groupby("camera", sort=True):
        asked = of_camera[of_camera["hour_start"].notna()]
        inside = int(asked["is_in"].sum())
        if inside < len(asked) or not len(asked):
            rows.append((str(camera), len(asked), inside, _missing(asked, of_camera.iloc[0])))
    table = pd.DataFrame(rows, columns=["camera", "hours asked", "hours in", "told"])
    cameras = hours["camera"].nunique()
    complete = cameras - len(table)
    told = f"{complete} of {cameras} cameras complete"
    if len(table):
        told += "; " + _first(f"{camera} {what}" for camera, what in zip(table["camera"], table["told"], strict=True))
    numbers = {
        "cameras": cameras,
        "cameras complete": complete,
        "cameras not asked": int((table["hours asked"] == 0).sum()),
        "hours asked": int(was_asked.sum()),
        "hours missing": int((was_asked & ~hours["is_in"].astype(bool)).sum()),
    }
    return Verdict(not len(table), told, numbers, table, is_severe=complete == 0)


def _missing(asked: pd.DataFrame, camera: pd.Series[Any]) -> str:
    """What a camera lacks, in words: since when where it is silent to the end of the window."""
    if not len(asked):
        return "was not asked"
    missing = ~asked["is_in"].to_numpy(dtype=bool)
    outcomes = asked["outcome"].to_numpy(dtype=object)
    outcome = outcomes[missing][-1]
    if missing.all():
        seen = camera["last_seen_at"]
        since = "never seen" if pd.isna(seen) else f"last seen {_local(seen, camera['timezone'])}"
        return f"{outcome} in all of {_many(len(asked), 'hour')} asked, {since}"
    if missing[-1]:
        first = len(missing) - int(np.argmin(missing[::-1]))
        return f"{outcome} since {_local(asked['hour_start'].iloc[first], camera['timezone'])}"
    first_missing = _local(asked["hour_start"].iloc[int(np.argmax(missing))], camera["timezone"])
    return f"lacks {int(missing.sum())} of {_many(len(asked), 'hour')}, the first {first_missing} ({outcome})"


def lowered(revisions: pd.DataFrame, run_id: str) -> Verdict:
    """Whether no camera gave less for an hour than it had given before. What a run was told to overwrite is no fault.

    `revisions`: camera, timezone, timestamp, action, run_id, kept, set_aside, of the window's hours.
    """
    refused = revisions[revisions["action"] == "refused"]
    numbers = {
        "readings set aside": len(refused),
        "of them new in this run": int((refused["run_id"] == run_id).sum()),
        "readings overwritten as asked": len(revisions) - len(refused),
    }
    if not len(refused):
        return Verdict(True, "No reading was lower than the stored one.", numbers)
    hours = refused.groupby("camera", sort=True)["timestamp"].nunique()
    told = "lower readings were set aside: " + _first(
        f"{camera} in {_many(count, 'hour')}" for camera, count in hours.items()
    )
    table = pd.DataFrame(
        {
            "camera": refused["camera"].array,
            "hour": _locals(refused["timestamp"], refused["timezone"]),
            "stored": refused["kept"].array,
            "now said": refused["set_aside"].array,
            "new": (refused["run_id"] == run_id).array,
        }
    )
    return Verdict(False, told, numbers, table)


def plausibility(counts: pd.DataFrame) -> Verdict:
    """Whether no hour has SPIKE_FACTOR times the people that are usual, and no ended day goes one way only.

    `counts`: camera, timezone, timestamp, local_day, has_ended (the day), is_inside (the window), total_in, total_out, and of the
    same hour in the 8 weeks before: weeks, usual (median), usual_in, usual_out (sums). A door that has always counted one way only
    is built so.
    """
    if not len(counts):
        return Verdict(True, "Nothing was counted in these hours.")
    frame = counts.astype(dict.fromkeys(("total_in", "total_out", "usual", "usual_in", "usual_out"), "float64"))
    people = frame["total_in"] + frame["total_out"]
    most = SPIKE_FACTOR * frame["usual"].clip(lower=SPIKE_FLOOR)
    is_spike = frame["is_inside"].astype(bool) & (frame["weeks"] >= LEAST_WEEKS) & (people > most)
    spikes = frame.assign(people=people)[is_spike][["camera", "timestamp", "timezone", "people", "usual"]]
    found = [
        (camera, _local(at, zone), f"{count:.0f} people, {usual:.0f} are usual")
        for camera, at, zone, count, usual in spikes.itertuples(index=False, name=None)
    ]
    ended = frame[frame["has_ended"].astype(bool)]
    totals = ["total_in", "total_out", "usual_in", "usual_out"]
    days = ended.groupby(["camera", "local_day"], sort=True)[totals].sum().reset_index()
    one_way = 0
    for total in days.to_dict("records"):
        for way, other in (("in", "out"), ("out", "in")):
            if total[f"total_{way}"] >= ONE_WAY_PEOPLE and total[f"total_{other}"] == 0 and total[f"usual_{other}"] > 0:
                one_way += 1
                told = f"{total[f'total_{way}']:.0f} people {way} and nobody {other} all day"
                found.append((total["camera"], f"{total['local_day']}", told))
    table = pd.DataFrame(found, columns=["camera", "when", "told"])
    numbers = {
        "hours looked at": int(frame["is_inside"].sum()),
        "hours without a usual count": int((frame["is_inside"].astype(bool) & (frame["weeks"] < LEAST_WEEKS)).sum()),
        "hours far above usual": int(is_spike.sum()),
        "days one way only": one_way,
    }
    sentence = _first(f"{camera} {when}: {what}" for camera, when, what in found)
    return Verdict(not found, sentence or "Counts are as they can be.", numbers, table)


# Figures ----------------------------------------------------------------------------------------------------------------


def sums(rows: pd.DataFrame) -> Verdict:
    """Whether a store's figures are the sums of its cameras' figures; severe when not.

    `rows`: store, at, and for each of FIGURES the store's value and `..._of_cameras`; NULL must stand on both sides.
    """
    differs = np.zeros(len(rows), dtype=bool)
    parts = []
    for name in FIGURES:
        own = _floats(rows, name)
        together = _floats(rows, f"{name}_of_cameras")
        apart = (np.isnan(own) != np.isnan(together)) | (np.abs(own - together) > ROUNDING)
        differs |= apart
        parts.append(
            pd.DataFrame({"store": rows["store"], "at": rows["at"], "of the store": own, "of its cameras": together})
            .assign(figure=name)
            .loc[apart]
        )
    table = pd.concat(parts, ignore_index=True)[["store", "at", "figure", "of the store", "of its cameras"]]
    numbers = {"rows compared": len(rows), "rows that differ": int(differs.sum())}
    if not len(table):
        return Verdict(True, f"Stores are the sums of their cameras in {_many(len(rows), 'row')}.", numbers)
    of_stores = rows.loc[differs].groupby("store", sort=True).size()
    told = "not the sum of the cameras: " + _first(
        f"{store} in {_many(count, 'row')}" for store, count in of_stores.items()
    )
    return Verdict(False, told, numbers, table, is_severe=True)


def estimated(rows: pd.DataFrame) -> Verdict:
    """Whether at most MUCH_ESTIMATED of each store's people are estimates; severe when more than MOSTLY_ESTIMATED are.

    `rows`: one row a store: store, people (entries, exits and passers-by), estimated (of them), hours_without_count.
    """
    share = (rows["estimated"] / rows["people"].where(rows["people"] > 0)).astype("float64")
    table = rows.assign(share=share.round(3))[share > MUCH_ESTIMATED]
    people, guessed = float(rows["people"].sum()), float(rows["estimated"].sum())
    overall = guessed / people if people else 0.0
    told = _first(f"{row.store}: {row.share:.0%} of the people are estimates" for row in table.itertuples())
    return Verdict(
        not len(table),
        told or f"{overall:.0%} of the people are estimates.",
        {
            "estimated percent": round(100 * overall, 1),
            "hours without a count": int(rows["hours_without_count"].sum()),
        },
        table,
        is_severe=bool((share > MOSTLY_ESTIMATED).any()),
    )


def drift(days: pd.DataFrame, doors: pd.DataFrame, roster: Roster, last: date) -> Verdict:
    """Whether entries and exits of each store agree in the long run; where not, which door drifts most.

    `days`: store_id, date, in_out_residual of the last LASTING_DAYS dates up to `last`; `doors`: sensor_id, date, total_entries,
    total_exits of USUAL_DAYS more. A door is judged against itself: where people come in here and leave there, single doors never
    agree. Severe when the residual leaves no occupancy.
    """
    first = last - timedelta(days=LASTING_DAYS - 1)
    known = days[(days["date"] >= first) & (days["date"] <= last) & days["in_out_residual"].notna()]
    layout = roster.layout
    cameras = pd.DataFrame(
        {"sensor_id": layout.sensor_ids, "store_id": layout.store_ids[layout.store], "camera": layout.names}
    )
    counted = doors.merge(cameras[layout.is_entrance], on="sensor_id")
    names = dict(zip(roster.stores["id"], roster.stores["store_name"], strict=True))
    found = []
    for store, of_store in known.groupby("store_id", sort=True):
        residuals = of_store["in_out_residual"].to_numpy(dtype=np.float64)
        for sign in (1.0, -1.0):
            beyond = int((sign * residuals > MEASURED_RESIDUAL).sum())
            if beyond >= LASTING_LEAST:
                door, now, before = _door(counted[counted["store_id"] == store], first, last, sign)
                found.append((names[str(store)], float(np.median(residuals)), beyond, door, now, before))
    columns = ["store", "residual", "days", "door", "residual of the door", "of the door before"]
    table = pd.DataFrame(found, columns=columns)
    told = _first(
        f"{store}: {'entries' if residual > 0 else 'exits'} too many by {abs(residual):.0%} on {_many(count, 'day')}, door {door}"
        for store, residual, count, door, _, _ in found
    )
    numbers = {"stores judged": int(known["store_id"].nunique()), "stores that drift": len(table)}
    is_severe = bool((table["residual"].abs() > USABLE_RESIDUAL).any())
    return Verdict(not found, told or "No lasting difference of entries and exits.", numbers, table, is_severe)


def _door(doors: pd.DataFrame, first: date, last: date, sign: float) -> tuple[str, float, float]:
    """The door with most people too many in the direction, its residual in these days and in those before (NaN: not known)."""
    chosen, most = ("", np.nan, np.nan), -np.inf
    for camera, of_door in doors.groupby("camera", sort=True):
        now, people = _residual(of_door[(of_door["date"] >= first) & (of_door["date"] <= last)])
        before, _ = _residual(of_door[of_door["date"] < first])
        too_many = sign * (now - (0.0 if np.isnan(before) else before)) * people
        if too_many > most:
            chosen, most = (str(camera), now, before), too_many
    return chosen


def _residual(days: pd.DataFrame) -> tuple[float, float]:
    """(entries - exits) / the larger of both over all days, and the larger; NaN without anybody."""
    both = days.dropna(subset=["total_entries", "total_exits"])
    entries, exits = float(both["total_entries"].sum()), float(both["total_exits"].sum())
    larger = max(entries, exits)
    return ((entries - exits) / larger if larger else np.nan), larger


# Freshness --------------------------------------------------------------------------------------------------------------


def fresh_hours(newest: pd.DataFrame, roster: Roster, now: datetime) -> Verdict:
    """Whether each store counted within LATE_MINUTES of its opening hours before `now`; severe from DEAD_MINUTES on.

    `newest`: store_id, created_at, hour_start, updated_at; a store that has never counted is as late as it is old.
    """
    has_counted = newest["hour_start"].notna()
    hours = pd.DataFrame(
        {
            "store_id": newest["store_id"],
            "hour_start": newest["hour_start"].where(has_counted, newest["created_at"]),
            "updated_at": newest["updated_at"].where(has_counted, newest["created_at"]),
            "is_open": True,
            "avg_occupancy": np.nan,
            "utilization": np.nan,
            "quality": np.where(has_counted, '{"counts": "measured"}', '{"counts": "missing"}'),
        }
    )
    nothing = pd.DataFrame()
    seen = observations(Sources(hours, nothing, nothing, nothing, nothing), roster, now)
    ages = [
        (
            one.subject,
            float(one.value),
            _local(one.seen_from, one.zone) if one.details["has_counted"] else "never",
        )
        for one in seen
        # A store without a camera that is switched on is not to count: it has no value.
        if one.metric == "minutes_without_counts" and one.value is not None
    ]
    table = pd.DataFrame(ages, columns=["store", "open minutes without counts", "counted up to"])
    return _aged(
        table[table["open minutes without counts"] >= LATE_MINUTES],
        len(table),
        lambda row: f"{row[0]} has been open for {row[1]:.0f} minutes without a count, counted up to {row[2]}",
        {"most open minutes without counts": max((minutes for _, minutes, _ in ages), default=0.0)},
        any(minutes >= DEAD_MINUTES for _, minutes, _ in ages),
        "Every store has counted within its last two opening hours.",
    )


def fresh_days(newest: pd.DataFrame, now: datetime) -> Verdict:
    """Whether the newest measured day of each store is the last one that has ended there; severe from DEAD_DAYS late on.

    `newest`: store, timezone, created_at, date (NULL: none). The first day of a store is no day that could be missing.
    """
    rows = []
    for store, zone, created_at, day in newest[["store", "timezone", "created_at", "date"]].itertuples(index=False):
        ended = (now - DAY_SETTLES).astimezone(ZoneInfo(zone)).date() - timedelta(days=1)
        known = created_at.astimezone(ZoneInfo(zone)).date() - timedelta(days=1) if pd.isna(day) else day
        rows.append((store, max(0, (ended - known).days), "never" if pd.isna(day) else f"{day}"))
    table = pd.DataFrame(rows, columns=["store", "days late", "newest day"])
    return _aged(
        table[table["days late"] >= LATE_DAYS],
        len(table),
        lambda row: f"{row[0]} is {_many(row[1], 'day')} late, newest day {row[2]}",
        {"most days late": max((late for _, late, _ in rows), default=0)},
        any(late >= DEAD_DAYS for _, late, _ in rows),
        "Every store has its last ended day.",
    )


def fresh_forecasts(newest: pd.DataFrame, now: datetime) -> Verdict:
    """Whether each camera's newest forecast was made within LATE_FORECAST; severe where none was within DEAD_FORECAST.

    `newest`: camera, prediction_time, of cameras that have forecasts; without any there is nothing to plan by.
    """
    if not len(newest):
        return Verdict(False, "No active camera has a forecast.", {"cameras": 0}, is_severe=True)
    ages = [
        (camera, round((now - origin) / _HOUR, 1), f"{origin:%Y-%m-%d %H:%M} UTC")
        for camera, origin in newest[["camera", "prediction_time"]].itertuples(index=False)
    ]
    table = pd.DataFrame(ages, columns=["camera", "hours old", "newest forecast"])
    return _aged(
        table[table["hours old"] > LATE_FORECAST / _HOUR],
        len(table),
        lambda row: f"{row[0]} was last predicted {row[2]}",
        {"oldest hours": max(hours for _, hours, _ in ages)},
        min(hours for _, hours, _ in ages) > DEAD_FORECAST / _HOUR,
        "Every camera has a forecast of the last hours.",
        what="cameras",
    )


def fresh_search(evidence: Verdict, looked_at: datetime | None, now: datetime) -> Verdict:
    """Whether the days that run now were searched within LATE_SEARCH, on counts that are fresh themselves (`evidence`).

    A table of events cannot tell by itself: a quiet day leaves no row. `looked_at`: when a date of now was last searched; None: never.
    """
    age = None if looked_at is None else now - looked_at
    if age is not None and age <= LATE_SEARCH:
        return evidence
    searched = "never searched" if looked_at is None else f"last searched {looked_at:%Y-%m-%d %H:%M} UTC"
    told = f"Today was {searched}." + ("" if evidence.passed else f" {evidence.told}")
    is_severe = evidence.is_severe or age is None or age > DEAD_SEARCH
    return Verdict(False, told, evidence.numbers, evidence.rows, is_severe)


def _aged(
    late: pd.DataFrame,
    count: int,
    sentence: Callable[[tuple[Any, ...]], str],
    numbers: Mapping[str, float],
    is_severe: bool,
    passed: str,
    what: str = "stores",
) -> Verdict:
    told = _first(sentence(row) for row in late.itertuples(index=False, name=None))
    return Verdict(not len(late), told or passed, {what: count, f"{what} late": len(late), **numbers}, late, is_severe)


# Words ------------------------------------------------------------------------------------------------------------------


def _first(sentences: Iterable[str]) -> str:
    """The first few of the sentences, and how many more there are."""
    listed = list(sentences)
    more = [f"and {len(listed) - _NAMED} more"] if len(listed) > _NAMED else []
    return "; ".join([*listed[:_NAMED], *more])


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _local(instant: datetime, zone: str) -> str:
    return f"{instant.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _locals(instants: pd.Series[Any], zones: pd.Series[Any]) -> list[str]:
    return [_local(instant, zone) for instant, zone in zip(instants, zones, strict=True)]


def _floats(frame: pd.DataFrame, name: str) -> Array:
    return frames.numbers(frame, name, "The rows of a check")
