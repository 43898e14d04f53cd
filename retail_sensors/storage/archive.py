"""Archives: rows of one table and one month in a compressed file, with a manifest that says what must be in it.

A file appears under its name when it has been written to disk and read back; the manifest comes last, so that a file without one
is no archive. Nothing is deleted here, neither rows nor archives: what goes, and when, belongs in `storage.retention`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection

from retail_sensors.errors import ConfigurationError
from retail_sensors.storage.frames import identifiers

_FORMAT = 1
_LEVEL = 6
_CHUNK = 1024 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_]*-\d{4}-\d{2}(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive as its manifest describes it.

    The file holds the columns as CSV with a heading, instants in UTC, an empty unquoted cell for NULL; `sha256` is of that text.
    `until` is exclusive; `revision` is that of the database that the rows came from.
    """

    name: str
    table: str
    month: str
    start: str
    until: str
    columns: tuple[str, ...]
    rows: int
    sha256: str
    size_bytes: int
    revision: str
    archived_at: str


class ArchiveFolder:
    """The archives under one folder, a folder for each table."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listing(self, table: str | None = None, month: str | None = None) -> list[Archive]:
        """The archives, of one table or month where it is named, the newest of a month first.

        Raises ConfigurationError for a manifest that cannot be read.
        """
        try:
            paths = [path for path in sorted(self.path.glob("*/*.json")) if table in (None, path.parent.name)]
        except OSError as error:
            raise ConfigurationError(f"The archive folder {self.path} cannot be read: {error.strerror}.") from error
        found = [_manifest(path) for path in paths]
        chosen = [archive for archive in found if month in (None, archive.month)]
        return sorted(sorted(chosen, key=_number, reverse=True), key=lambda archive: (archive.table, archive.month))

    def named(self, name: str) -> Archive:
        """The archive of that name; raises ConfigurationError when there is none."""
        table = name.rsplit("-", 2)[0]
        path = self.path / table / f"{name}.json"
        if _NAME.fullmatch(name) is None or not path.is_file():
            raise ConfigurationError(f"There is no archive {name}; `retail-sensors retention archives` lists them.")
        return _manifest(path)

    def file(self, archive: Archive) -> Path:
        """Where its rows are."""
        return self.path / archive.table / f"{archive.name}.csv.gz"

    def verify(self, archive: Archive) -> None:
        """Reads the whole file; raises ConfigurationError when it is not what the manifest says."""
        rows, digest = _read_back(self.file(archive))
        if (rows, digest) != (archive.rows, archive.sha256):
            holds = "it cannot be read to its end" if rows < 0 else f"it holds {rows:,} and {digest[:12]}"
            raise ConfigurationError(
                f"The archive {self.file(archive)} is damaged: its manifest says {archive.rows:,} rows and checksum "
                f"{archive.sha256[:12]}, {holds}. Nothing was changed; bring the file back from a backup of the folder."
            )

    def write(
        self,
        connection: PgConnection,
        query: sql.Composable,
        columns: Sequence[str],
        table: str,
        span: tuple[date | datetime, date | datetime],
        *,
        revision: str,
        now: datetime,
    ) -> Archive | None:
        """Writes the rows of a query into a new archive of the month that the span is, and reads it back; None: there are none.

        Rows that an archive of that month already holds, to the byte, are left there. Raises ConfigurationError when the folder
        cannot be written; then there is no new archive.
        """
        folder, month = self.path / table, f"{span[0]:%Y-%m}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _partial(folder / f"{table}-{month}") as partial:
                rows, digest = _copy_out(connection, query, partial)
                if rows == 0:
                    return None
                if _read_back(partial) != (rows, digest):
                    raise ConfigurationError(
                        f"What was written into {folder} reads differently: its disk is faulty. No row was dropped."
                    )
                for known in self.listing(table, month):
                    if (known.rows, known.sha256) == (rows, digest):
                        self.verify(known)
                        return known
                archive = Archive(
                    name=self._free_name(table, month),
                    table=table,
                    month=month,
                    start=span[0].isoformat(),
                    until=span[1].isoformat(),
                    columns=tuple(columns),
                    rows=rows,
                    sha256=digest,
                    size_bytes=partial.stat().st_size,
                    revision=revision,
                    archived_at=now.isoformat(),
                )
                partial.replace(self.file(archive))
            with _partial(folder / archive.name) as partial:
                partial.write_text(json.dumps({"format": _FORMAT, **asdict(archive)}, indent=2) + "\n")
                _to_disk(partial)
                partial.replace(folder / f"{archive.name}.json")
            _to_disk(folder)
        except OSError as error:
            raise ConfigurationError(
                f"The archive folder {folder} cannot be written ({error.strerror or error}); no row was dropped. Make room, or name "
                "another folder in RETAIL_SENSORS_ARCHIVE_FOLDER."
            ) from error
        return archive

    def load(self, connection: PgConnection, archive: Archive, target: sql.Composable) -> None:
        """COPYs the archive's rows into a table that has its columns."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(target, identifiers(archive.columns))
        with gzip.open(self.file(archive), "rb") as file, connection.cursor() as cursor:
            cursor.copy_expert(statement, file, _CHUNK)

    def forget_partial(self) -> None:
        """Deletes what a run that was killed has left half written."""
        for path in self.path.glob("*/.*.partial"):
            path.unlink(missing_ok=True)

    def _free_name(self, table: str, month: str) -> str:
        name, number = f"{table}-{month}", 1
        while (self.path / table / f"{name}.json").exists():
            number += 1
            name = f"{table}-{month}.{number}"
        return name


def _number(archive: Archive) -> int:
    return int(archive.name.rpartition(".")[2]) if "." in archive.name else 1


def _manifest(path: Path) -> Archive:
    try:
        said: dict[str, Any] = json.loads(path.read_text())
        if said.pop("format") != _FORMAT:
            raise ConfigurationError(
                f"The archive {path} is of a newer version of this project; restore it with that one."
            )
        archive = Archive(**{field.name: said[field.name] for field in fields(Archive)})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"The manifest {path} cannot be read ({error}); bring it back from a backup of the folder."
        ) from error
    if (archive.name, archive.table) != (path.stem, path.parent.name) or _NAME.fullmatch(archive.name) is None:
        raise ConfigurationError(f"The manifest {path} is that of {archive.name}; give the file its own name again.")
    return Archive(**{**asdict(archive), "columns": tuple(archive.columns)})


class _Sink(io.RawIOBase):
    """Where COPY writes: compressed, counted, and hashed.

    A full disk is remembered and told at the end: an error inside of the driver's callback would look like a lost connection.
    """

    def __init__(self, target: gzip.GzipFile) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self._target.write(data)
                self._digest.update(data)
            except OSError as error:
                self.error = error
        return len(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _copy_out(connection: PgConnection, query: sql.Composable, path: Path) -> tuple[int, str]:
    """Writes the query's rows into the file and to disk; their number and the checksum of the text."""
    with path.open("wb") as file:
        # Neither name nor time within: the same rows make the same file.
        with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as compressed, connection.cursor() as cursor:
            sink = _Sink(compressed)
            cursor.execute("SET LOCAL datestyle = 'ISO, YMD'")
            cursor.copy_expert(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER)").format(query), sink)
            rows = int(cursor.rowcount)
        if sink.error is not None:
            raise sink.error
        file.flush()
        os.fsync(file.fileno())
    return rows, sink.sha256


def _read_back(path: Path) -> tuple[int, str]:
    """Rows and checksum of a file; a file that cannot be decompressed to its end has -1 rows."""
    digest, lines, is_quoted = hashlib.sha256(), 0, False
    try:
        with gzip.open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                # A line ends outside of quotes; a quote within a text is written twice, which leaves and enters at once.
                for part in chunk.split(b'"'):
                    lines += 0 if is_quoted else part.count(b"\n")
                    is_quoted = not is_quoted
                # There is one part more than there are quotes.
                is_quoted = not is_quoted
    except (OSError, EOFError, zlib.error):
        return -1, digest.hexdigest()
    return lines - 1, digest.hexdigest()


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """A name beside the path to write under; whatever is left there at the end is deleted."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
