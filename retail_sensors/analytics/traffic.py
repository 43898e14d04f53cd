"""Who came, went and passed by: counts by the roles of lines, of one camera and summed over a store's cameras.

    entries   = In over entrance lines, Out where the line is inverted; exits the other way round
    passersby = In + Out over passer-by lines
    traffic   = entries, exits or their mean, by the store's basis
    capture   = 100 x entries / passersby, entries added below where entrants do not cross the passer-by line

A sum is NaN when a line that belongs to it has an empty cell. Numbers of people inside belong in `occupancy`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.readings import HourRows, hour_keys, people_of, split_keys
from retail_sensors.analytics.roster import Layout


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What cameras counted, one value per row; NaN is NULL.

    `by_line`: In + Out of each entrance line (rows, 4), NaN on other lines. `crossings`: In + Out over all lines with a value.
    """

    entries: Array
    exits: Array
    passersby: Array
    crossings: Array
    by_line: Array


def line_counts(values: Array, camera: Array, layout: Layout) -> Counts:
    """Counts by role from the eight cells line1_in, line1_out, ... line4_out of each row."""
    rows = len(values)
    entries, exits, passersby, crossings = (np.zeros(rows) for _ in range(4))
    by_line = np.full((rows, 4), np.nan)
    for line in range(4):
        way_in, way_out = values[:, 2 * line], values[:, 2 * line + 1]
        both = way_in + way_out
        entrance = layout.entrance[camera, line]
        inverted = layout.inverted[camera, line]
        entries += np.where(entrance, np.where(inverted, way_out, way_in), 0.0)
        exits += np.where(entrance, np.where(inverted, way_in, way_out), 0.0)
        passersby += np.where(layout.passerby[camera, line], both, 0.0)
        crossings += np.nan_to_num(both)
        by_line[:, line] = np.where(entrance, both, np.nan)
    has_entrance = layout.is_entrance[camera]
    answered = ~np.isnan(values).all(axis=1)
    return Counts(
        entries=np.where(has_entrance, entries, np.nan),
        exits=np.where(has_entrance, exits, np.nan),
        passersby=np.where(layout.is_passerby[camera], passersby, np.nan),
        crossings=np.where(answered, crossings, np.nan),
        by_line=by_line,
    )


def has_wanted(counts: Counts, camera: Array, layout: Layout) -> Array:
    """Whether each row holds the counts that its camera is for: those of its entrance or passer-by lines, without either any."""
    wanted = np.where(layout.is_entrance[camera], counts.entries + counts.exits, counts.passersby)
    any_role = layout.is_entrance[camera] | layout.is_passerby[camera]
    return np.where(any_role, ~np.isnan(wanted), ~np.isnan(counts.crossings))


def traffic_by_basis(entries: Array, exits: Array, basis: Array) -> Array:
    """Entries, exits or their mean by the position of the basis in `roster.BASES`; NaN when an input is."""
    return np.where(basis == 0, entries, np.where(basis == 1, exits, (entries + exits) / 2))


def capture_rate(entries: Array, passersby: Array, excludes_entrants: Array) -> Array:
    """Percent of those who could have come in that did; NaN when nobody passed by or an input is NaN."""
    return 100 * frames.ratio(entries, passersby + np.where(excludes_entrants, entries, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class ScopeHours:
    """Figures of one scope (a camera or a store) and hour, ordered by both; NaN is NULL.

    `expected`, `counted`, `final`, `imputed`: how many cameras of the scope have a row, counted, counted finally, were
    estimated instead. `passerby_expected`, `passerby_counted`, `passerby_imputed`: the same of cameras with a passer-by line.
    `substituted`: how many of either were estimated from other doors or days; `estimated`: estimated people.
    """

    scope: Array
    second: Array
    entries: Array
    exits: Array
    passersby: Array
    traffic: Array
    visitors: Array
    is_open: Array
    expected: Array
    counted: Array
    final: Array
    imputed: Array
    passerby_expected: Array
    passerby_counted: Array
    passerby_imputed: Array
    substituted: Array
    estimated: Array

    @property
    def people(self) -> Array:
        """Entries, exits and passers-by together, NaN where none of them is known."""
        nothing = np.isnan(self.entries) & np.isnan(self.exits) & np.isnan(self.passersby)
        return np.where(nothing, np.nan, people_of(self.entries, self.exits, self.passersby))

    @property
    def is_whole(self) -> Array:
        """Whether every camera of the scope that has a row counted; an estimate is no count."""
        return (self.expected > 0) & (self.counted == self.expected)

    @property
    def is_final(self) -> Array:
        """Whether every camera of the scope that has a row counted, and finally."""
        return (self.expected > 0) & (self.final == self.expected)

    @property
    def can_capture(self) -> Array:
        """Whether the hour is open and every entrance and passer-by line counted."""
        passed = (self.passerby_expected > 0) & (self.passerby_counted == self.passerby_expected)
        return self.is_open & self.is_whole & passed & ~np.isnan(self.entries)


def camera_scope(rows: HourRows, layout: Layout) -> ScopeHours:
    """Each camera as a scope of its own."""
    ones = np.ones(len(rows.camera), dtype=np.int64)
    return ScopeHours(
        scope=rows.camera,
        second=rows.second,
        entries=rows.entries,
        exits=rows.exits,
        passersby=rows.passersby,
        traffic=rows.traffic,
        visitors=rows.visitors,
        is_open=rows.is_open,
        expected=ones,
        counted=rows.counted.astype(np.int64),
        final=rows.complete.astype(np.int64),
        imputed=rows.imputed.astype(np.int64),
        passerby_expected=layout.is_passerby[rows.camera].astype(np.int64),
        passerby_counted=(~np.isnan(rows.passersby) & ~rows.imputed).astype(np.int64),
        passerby_imputed=(layout.is_passerby[rows.camera] & rows.imputed).astype(np.int64),
        substituted=rows.substituted.astype(np.int64),
        estimated=rows.estimated,
    )


def store_scope(rows: HourRows, layout: Layout) -> tuple[ScopeHours, Array]:
    """Sums over the cameras of each store and hour, estimates included, and for each camera row its store's row."""
    keys, group = np.unique(hour_keys(layout.store[rows.camera], rows.second), return_inverse=True)
    count = len(keys)
    scope, second = split_keys(keys)
    in_scope = layout.in_scope[rows.camera]
    passerby = layout.is_passerby[rows.camera]
    hours = ScopeHours(
        scope=scope,
        second=second,
        entries=frames.summed(group, rows.entries, count),
        exits=frames.summed(group, rows.exits, count),
        passersby=frames.summed(group, rows.passersby, count),
        traffic=frames.summed(group, rows.traffic, count),
        visitors=frames.summed(group, rows.visitors, count),
        is_open=frames.tally(group, rows.is_open, count) > 0,
        expected=frames.tally(group, in_scope, count),
        counted=frames.tally(group, in_scope & rows.counted, count),
        final=frames.tally(group, in_scope & rows.complete, count),
        imputed=frames.tally(group, in_scope & rows.imputed, count),
        passerby_expected=frames.tally(group, passerby, count),
        passerby_counted=frames.tally(group, passerby & ~np.isnan(rows.passersby) & ~rows.imputed, count),
        passerby_imputed=frames.tally(group, passerby & rows.imputed, count),
        substituted=frames.tally(group, rows.substituted, count),
        estimated=np.bincount(group, weights=rows.estimated, minlength=count),
    )
    return hours, group


def imputed_share(estimated: Array, people: Array, imputed: Array, counted: Array) -> Array:
    """Estimated people over all people, NaN where `people` is; of nobody 1 where cameras were imputed and none counted, else 0."""
    nobody = np.where((imputed > 0) & (counted == 0), 1.0, 0.0)
    return np.where(people == 0, nobody, np.minimum(frames.ratio(estimated, people), 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """What lines the scope of each row has, and whether it may carry a capture rate and a number of people inside."""

    has_entrance: Array
    has_passerby: Array
    capture_applies: Array
    inside_applies: Array


def scope_roles(scope: Array, of_camera: bool, layout: Layout) -> Roles:
    """The roles of each row's camera or store: a camera carries figures of its store only when no other has such a line."""
    if not of_camera:
        applies = np.ones(len(scope), dtype=bool)
        return Roles(
            layout.per_store(layout.is_entrance)[scope] > 0,
            layout.per_store(layout.is_passerby)[scope] > 0,
            applies,
            applies,
        )
    holds = layout.holds_entrances[scope]
    return Roles(layout.is_entrance[scope], layout.is_passerby[scope], holds & layout.holds_passersby[scope], holds)
