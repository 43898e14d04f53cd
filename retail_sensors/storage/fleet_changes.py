"""The record of changes of the fleet: what was changed, from what to what, by whom and with which command.

Here belongs the record; the changes themselves are made in `storage.fleet` and `storage.places`, which write it in the same
transaction. What collection sees of a camera (that it answers, what it can do) is no change of the fleet.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import Json, RealDictCursor

from retail_sensors.storage.sqlfiles import queries


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `kind`: organization, store, camera, group or location; `field` None: the whole was added or removed.

    `old` and `new` None: nothing was or is said.
    """

    kind: str
    organization: str
    name: str
    field: str | None = None
    old: Any = None
    new: Any = None

    @property
    def change(self) -> str:
        """`added`, `changed` or `removed`."""
        return "changed" if self.field is not None else "removed" if self.new is None else "added"


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """One row of the record."""

    changed_at: datetime
    kind: str
    organization_name: str
    name: str
    change: str
    field: str | None
    old_value: Any
    new_value: Any
    changed_by: str
    command: str


def as_json(value: object) -> Json:
    """A value of the registry as a JSON parameter; decimals, dates and times as the text that Postgres reads."""
    return Json(value, dumps=lambda plain: json.dumps(plain, default=str))


def differences(
    kind: str, organization: str, name: str, present: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None
) -> list[Change]:
    """What becomes of one thing: added, removed, or a change for each field that differs."""
    if present is None or wanted is None:
        return [] if present == wanted else [Change(kind, organization, name, None, present, wanted)]
    return [
        Change(kind, organization, name, field, present[field], value)
        for field, value in wanted.items()
        if present[field] != value
    ]


def record(connection: PgConnection, changes: Iterable[Change], command: str) -> None:
    """Writes the changes within the caller's transaction."""
    rows = [
        {
            "kind": change.kind,
            "organization_name": change.organization,
            "name": change.name,
            "change": change.change,
            "field": change.field,
            "old_value": change.old,
            "new_value": change.new,
        }
        for change in changes
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(
                queries("places")["record_changes"],
                {"rows": as_json(rows), "changed_by": _user(), "command": command},
            )


def history(connection: PgConnection, name: str | None, limit: int) -> Sequence[RecordedChange]:
    """The newest changes, newest first; `name` None: of everything."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(queries("places")["history"], {"name": name, "limit": limit})
        return [RecordedChange(**row) for row in cursor.fetchall()]


def _user() -> str:
    """The name of the operating system's user; a container's user may have none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
