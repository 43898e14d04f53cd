"""What users are granted in the database: an organization, a store or a camera, to read or also to write.

Which rows follow from it is decided by the policies of `sql/functions/guard_tables.sql`; a login for psql is made by its
administrator, with the statements of `reader_login`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg2 import sql

from retail_sensors.errors import ConfigurationError
from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import queries

Scope = Literal["organization", "store", "camera"]

_NAMED: dict[Scope, str] = {"organization": "organizations_named", "store": "stores_named", "camera": "sensors_named"}


@dataclass(frozen=True, slots=True)
class Granted:
    """One grant: to whom, what, and by whom."""

    user_id: str
    scope: Scope
    name: str
    can_write: bool
    granted_by: str
    granted_at: datetime


class AccessStore:
    """The grants of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def grant(self, user: str, scope: Scope, name: str, *, can_write: bool, by: str) -> bool:
        """Lets the user see, and with `can_write` write, what is named; False: that stood already.

        Raises ConfigurationError for an empty user, and where the name is unknown or not that of one thing only.
        """
        _require_name(user)
        of = self._identities(scope, name)
        return bool(self._written("grant", {"user": user, "can_write": can_write, "by": by, **of}))

    def revoke(self, user: str, scope: Scope | None = None, name: str = "") -> int:
        """Takes back one grant of the user, or without a scope all of them; how many there were.

        A grant to the organization of a store is not touched by taking back the store. Raises ConfigurationError like `grant`.
        """
        of = _of_nothing() if scope is None else self._identities(scope, name)
        return self._written("revoke", {"user": user, **of})

    def listing(self, user: str | None = None) -> list[Granted]:
        """All grants, or those of one user."""
        return [Granted(*row) for row in self._database.fetch(queries("access")["listed"], {"user": user})]

    def guard(self) -> list[str]:
        """Makes roles, grants and policies as this version wants them; the roles that the server did not let us make."""
        return list(self._database.fetch(queries("access")["guard"])[0][0])

    def reader_login(self, user: str, *, is_for_everything: bool = False) -> str:
        """The statements that make a login for psql; `is_for_everything`: past the policies, for who may see all tenants.

        Raises ConfigurationError for an empty user.
        """
        _require_name(user)
        statements = [
            "CREATE ROLE {user} LOGIN;",
            "GRANT CONNECT ON DATABASE {database} TO {user};",
            "GRANT retail_reader TO {user};",
            "ALTER ROLE {user} IN DATABASE {database} SET search_path = retail, public;",
        ]
        if is_for_everything:
            statements.append("ALTER ROLE {user} BYPASSRLS;")
        with self._database.transaction() as connection:
            names = {
                "user": sql.Identifier(user),
                "database": sql.Identifier(connection.info.dbname),
            }
            return "\n".join(sql.SQL(statement).format(**names).as_string(connection) for statement in statements)

    def _identities(self, scope: Scope, name: str) -> dict[str, Any]:
        found = self._database.fetch(queries("access")[_NAMED[scope]], {"name": name})
        if not found:
            where = "`retail-sensors cameras list` shows all" if scope == "camera" else "the fleet file names all"
            raise ConfigurationError(f"No {scope} is called {name!r}; {where}.")
        if len(found) > 1:
            raise ConfigurationError(
                f"{len(found)} stores are called {name!r}; say which: {', '.join(row[1] for row in found)}."
            )
        return {**_of_nothing(), scope: found[0][0]}

    def _written(self, query: str, parameters: dict[str, Any]) -> int:
        return len(self._database.fetch(queries("access")[query], parameters))


def _require_name(user: str) -> None:
    if not user.strip():
        raise ConfigurationError("The user has no name; give the login's, or what `sub` says in its tokens.")


def _of_nothing() -> dict[str, Any]:
    return dict.fromkeys(_NAMED)
