"""What is said of data that has just been written: complete, lower than before, plausible, adding up, estimated, fresh.

Frames in, a verdict out. Which rows are asked for belongs in `sql/queries/checks.sql`, when in `retail_sensors.checks`; a check
stops nothing. Forecasts, plans, alerts and what runs need beside counts are judged in `checks_ahead`. What breaks a table's contract
is refused before it is written, by `storage.frames`.
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

ROUNDING = 0.001
"""People, or the figure's unit, by which a sum may differ."""
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

RECORD_FACTOR = 1.5
"""A day may be busier than any of half a year; an hour of so many times the busiest one is no estimate."""
LONGEST_WAIT = 60.0
"""Minutes of waiting that nobody stands: lanes or service rate of the store must be wrong."""
KNOWN_TILLS = 0.9
"""Share of a day that is known when it counts as whole."""
SHUT = 0.1
"""Share of the usual entries below which a store was shut: a holiday stands in no opening hours."""
LOOSE = 0.5
"""A fit that leaves more of the entries than this unexplained says little about the flow."""

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


def completeness(hours: pd.DataFrame, *, has_past: bool = True, unit: str = "hour") -> Verdict:
    """Whether every camera gave every hour that it was asked for; severe when not one camera did.

    `hours`: camera, timezone, last_seen_at, hour_start, outcome, is_in; a camera that was not asked has one row without an hour.
    `has_past` False: the endpoint is a reading of now, and where nobody was asked there was nothing to ask. `unit` "day": each row
    is of the local day that begins with its hour.
    """
    if not has_past and (not len(hours) or hours["hour_start"].isna().all()):
        return Verdict(True, "A reading of now: for past hours there is nothing to ask.")
    if not len(hours):
        return Verdict(True, "No active camera that was there by then has this endpoint, or was due to be asked.")
    was_asked = hours["hour_start"].notna()
    rows = []
    for camera, of_camera in hours.sort_values("hour_start").groupby("camera", sort=True):
        asked = of_camera[of_camera["hour_start"].notna()]
        inside = int(asked["is_in"].sum())
        if inside < len(asked) or not len(asked):
            rows.append((str(camera), len(asked), inside, _missing(asked, of_camera.iloc[0], unit)))
    table = pd.DataFrame(rows, columns=["camera", f"{unit}s asked", f"{unit}s in", "told"])
    cameras = hours["camera"].nunique()
    complete = cameras - len(table)
    told = f"{complete} of {cameras} cameras complete"
    if len(table):
        told += "; " + first_of(f"{camera} {what}" for camera, what in zip(table["camera"], table["told"], strict=True))
    numbers = {
        "cameras": cameras,
        "cameras complete": complete,
        "cameras not asked": int((table[f"{unit}s asked"] == 0).sum()),
        f"{unit}s asked": int(was_asked.sum()),
        f"{unit}s missing": int((was_asked & ~hours["is_in"].astype(bool)).sum()),
    }
    return Verdict(not len(table), told, numbers, table, is_severe=complete == 0)


def _missing(asked: pd.DataFrame, camera: pd.Series[Any], unit: str) -> str:
    """What a camera lacks, in words: since when where it is silent to the end of the window."""
    if not len(asked):
        return "was not asked"
    missing = ~asked["is_in"].to_numpy(dtype=bool)
    outcomes = asked["outcome"].to_numpy(dtype=object)
    outcome = outcomes[missing][-1]
    if missing.all():
        seen = camera["last_seen_at"]
        since = "never seen" if pd.isna(seen) else f"last seen {local(seen, camera['timezone'])}"
        return f"{outcome} in all of {many(len(asked), unit)} asked, {since}"
    begins = [local(at, camera["timezone"]) for at in asked["hour_start"]]
    if unit == "day":
        begins = [begin[: len("2026-02-02")] for begin in begins]
    if missing[-1]:
        return f"{outcome} since {begins[len(missing) - int(np.argmin(missing[::-1]))]}"
    first_missing = begins[int(np.argmax(missing))]
    return f"lacks {int(missing.sum())} of {many(len(asked), unit)}, the first {first_missing} ({outcome})"


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
    told = "lower readings were set aside: " + first_of(
        f"{camera} in {many(count, 'hour')}" for camera, count in hours.items()
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
        (camera, local(at, zone), f"{count:.0f} people, {usual:.0f} are usual")
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
    sentence = first_of(f"{camera} {when}: {what}" for camera, when, what in found)
    return Verdict(not found, sentence or "Counts are as they can be.", numbers, table)


# Figures ----------------------------------------------------------------------------------------------------------------


def sums(rows: pd.DataFrame, whole: str, parts: str) -> Verdict:
    """Whether figures agree with what they are made of; severe when not.

    `rows`: subject (a store, a camera), at, figure, whole and parts, its value and what the parts come to; NULL must stand on both
    sides. `whole` and `parts`: what the two are called.
    """
    own, together = _floats(rows, "whole"), _floats(rows, "parts")
    differs = (np.isnan(own) != np.isnan(together)) | (np.abs(own - together) > ROUNDING)
    table = rows.loc[differs].rename(
        columns={"subject": "where", "whole": f"of the {whole}", "parts": f"of its {parts}"}
    )
    compared = len(rows[["subject", "at"]].drop_duplicates())
    apart = rows.loc[differs, ["subject", "at"]].drop_duplicates()
    numbers = {"rows compared": compared, "rows that differ": len(apart)}
    if not len(apart):
        return Verdict(True, f"Each {whole} agrees with its {parts} in {many(compared, 'row')}.", numbers)
    told = f"does not agree with its {parts}: " + first_of(
        f"{subject} in {many(count, 'row')}" for subject, count in apart.groupby("subject", sort=True).size().items()
    )
    return Verdict(False, told, numbers, table, is_severe=True)


def estimates_within(rows: pd.DataFrame) -> Verdict:
    """Whether no estimate is of over RECORD_FACTOR times the people that its camera ever counted in an hour.

    `rows`: camera, timezone, hour_start, people, most (of the last half year; NULL: it counted nothing, and nothing can be said).
    """
    beyond = rows[_floats(rows, "people") > RECORD_FACTOR * _floats(rows, "most") + ROUNDING]
    found = pd.DataFrame(
        {
            "camera": beyond["camera"].array,
            "hour": _locals(beyond["hour_start"], beyond["timezone"]),
            "estimated people": beyond["people"].array,
            "most ever counted": beyond["most"].array,
        }
    )
    return judged(
        found,
        lambda row: f"{row[0]} {row[1]}: {row[2]:.0f} people estimated, {row[3]:.0f} are the most that it counted",
        "No estimate is far above what its camera has counted.",
        {"estimated hours": len(rows), "hours far above any count": len(found)},
    )


def waits(rows: pd.DataFrame) -> Verdict:
    """Whether nobody waits over LONGEST_WAIT, and no more people wait than the store holds.

    `rows`: store, timezone, hour_start, minutes, waiting, capacity (NULL: not said).
    """
    minutes, waiting, capacity = (_floats(rows, name) for name in ("minutes", "waiting", "capacity"))
    beyond = rows[(minutes > LONGEST_WAIT) | (waiting > capacity)]
    found = pd.DataFrame(
        {
            "store": beyond["store"].array,
            "hour": _locals(beyond["hour_start"], beyond["timezone"]),
            "minutes": beyond["minutes"].array,
            "people waiting": beyond["waiting"].array,
        }
    )
    return judged(
        found,
        lambda row: (
            f"{row[0]} {row[1]}: {_known(row[2], 'minutes')} of waiting, {_known(row[3], 'people')}; "
            "check lanes and service rate"
        ),
        "Waits are as they can be.",
        {"hours with a wait": len(rows), "hours that cannot be": len(found)},
    )


def tills(rows: pd.DataFrame) -> Verdict:
    """Whether the tills of each store are known over its open hours on each day: a feed that lacks hours spoils every rate.

    `rows`: store, date, known (share of the open hours), counted (share of the day that cameras counted), was_known (in the two
    weeks before), entries and usual_entries (of these weeks; NULL: not known). A store without any till feed or queue region is not
    looked at, nor a day that was itself not counted whole, or on which hardly anybody came.
    """
    known = _floats(rows, "known")
    was_shut = _floats(rows, "entries") < SHUT * _floats(rows, "usual_entries")
    has_tills = (
        ((known > 0) | rows["was_known"].to_numpy(dtype=bool)) & (_floats(rows, "counted") >= KNOWN_TILLS) & ~was_shut
    )
    found = rows.loc[has_tills & (known < KNOWN_TILLS), ["store", "date", "known"]]
    return judged(
        found,
        lambda row: f"{row[0]} {row[1]}: tills known in {row[2]:.0%} of the open hours",
        "Tills are known in the open hours.",
        {"store-days with tills": int(has_tills.sum()), "days that lack hours": len(found)},
    )


def fits(rows: pd.DataFrame) -> Verdict:
    """Whether the fit of each flow leaves at most LOOSE of the entries unexplained, on its worst day.

    `rows`: flow, date, residual.
    """
    worst = rows.loc[rows.groupby("flow")["residual"].idxmax()] if len(rows) else rows
    found = worst.loc[_floats(worst, "residual") > LOOSE, ["flow", "date", "residual"]]
    return judged(
        found,
        lambda row: f"{row[0]}: {row[2]:.0%} of the entries are unexplained on {row[1]}",
        "Flows explain most of the entries.",
        {"flows": len(worst), "flows that explain little": len(found)},
    )


def estimated(rows: pd.DataFrame) -> Verdict:
    """Whether at most MUCH_ESTIMATED of each store's people are estimates; severe when more than MOSTLY_ESTIMATED are.

    `rows`: one row a store: store, people (entries, exits and passers-by), estimated (of them), hours_without_count.
    """
    share = (rows["estimated"] / rows["people"].where(rows["people"] > 0)).astype("float64")
    table = rows.assign(share=share.round(3))[share > MUCH_ESTIMATED]
    people, guessed = float(rows["people"].sum()), float(rows["estimated"].sum())
    overall = guessed / people if people else 0.0
    told = first_of(f"{row.store}: {row.share:.0%} of the people are estimates" for row in table.itertuples())
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
    told = first_of(
        f"{store}: {'entries' if residual > 0 else 'exits'} too many by {abs(residual):.0%} on {many(count, 'day')}, door {door}"
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
            local(one.seen_from, one.zone) if one.details["has_counted"] else "never",
        )
        for one in seen
        # A store without a camera that is switched on is not to count: it has no value.
        if one.metric == "minutes_without_counts" and one.value is not None
    ]
    table = pd.DataFrame(ages, columns=["store", "open minutes without counts", "counted up to"])
    return _aged(
        table[table["open minutes without counts"] >= LATE_MINUTES],
        len(table),
        lambda row: (
            f"{row[0]} has been open for {row[1]:.0f} minutes without a count"
            + (" and has never counted" if row[2] == "never" else f", counted up to {row[2]}")
        ),
        {"most open minutes without counts": round(max((minutes for _, minutes, _ in ages), default=0.0), 1)},
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
        lambda row: f"{row[0]} is {many(row[1], 'day')} late, newest day {row[2]}",
        {"most days late": max((late for _, late, _ in rows), default=0)},
        any(late >= DEAD_DAYS for _, late, _ in rows),
        "Every store has its last ended day.",
    )


def fresh_forecasts(newest: pd.DataFrame, now: datetime) -> Verdict:
    """Whether each camera's newest forecast was made within LATE_FORECAST; severe where none was within DEAD_FORECAST.

    `newest`: camera, prediction_time (NULL: none, as of a camera that has just been registered), of the cameras that are forecast;
    where none has any there is nothing to plan by.
    """
    if not len(newest):
        return Verdict(True, "No active camera has an entrance line: there is nothing to forecast.")
    made = newest[newest["prediction_time"].notna()]
    if not len(made):
        return Verdict(False, "No active camera has a forecast.", {"cameras": len(newest)}, is_severe=True)
    ages = [
        (camera, round((now - origin) / _HOUR, 1), f"{origin:%Y-%m-%d %H:%M} UTC")
        for camera, origin in made[["camera", "prediction_time"]].itertuples(index=False)
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
    return judged(late, sentence, passed, {what: count, f"{what} late": len(late), **numbers}, is_severe=is_severe)


# Words ------------------------------------------------------------------------------------------------------------------


def judged(
    found: pd.DataFrame,
    sentence: Callable[[tuple[Any, ...]], str],
    passed: str,
    numbers: Mapping[str, float],
    *,
    is_severe: bool = False,
) -> Verdict:
    """A verdict that fails with a sentence for each row that was found, and passes without any."""
    told = first_of(sentence(row) for row in found.itertuples(index=False, name=None))
    return Verdict(not len(found), told or passed, numbers, found, is_severe and len(found) > 0)


def first_of(sentences: Iterable[str]) -> str:
    """The first few of the sentences, and how many more there are."""
    listed = list(sentences)
    more = [f"and {len(listed) - _NAMED} more"] if len(listed) > _NAMED else []
    return "; ".join([*listed[:_NAMED], *more])


def many(count: int, what: str) -> str:
    """So many of what is named."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def local(instant: datetime, zone: str) -> str:
    """The instant by the clock of the zone, to the minute."""
    return f"{instant.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _known(value: float, what: str) -> str:
    return f"{what} unknown" if np.isnan(value) else f"{value:.0f} {what}"


def _locals(instants: pd.Series[Any], zones: pd.Series[Any]) -> list[str]:
    return [local(instant, zone) for instant, zone in zip(instants, zones, strict=True)]


def _floats(frame: pd.DataFrame, name: str) -> Array:
    return frames.numbers(frame, name, "The rows of a check")
