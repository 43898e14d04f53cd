"""The embedded PostgreSQL server: started, found again, watched and stopped.

Here belongs everything about the server as a process: whether one lives, which processes are ours, the locks between those who
start and stop it, and its log. Its folder and what is made in it belong in `embedded_cluster`. Schemas, migrations, pools
and the choice between this server and one named by a URL belong elsewhere.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from itertools import pairwise
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import errors, sql

from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.storage.embedded_cluster import (
    FREE_USER_IDS,
    PORT,
    PROGRAMS,
    RESCUE,
    SUPERUSER,
    Cluster,
    cause_in,
    installed_package,
    one_line,
    socket_files,
)
from retail_sensors.storage.embedded_users import User, open_private, private_folder_fault, run_as

logger = logging.getLogger(__name__)

_START_TIMEOUT_SECONDS = 120.0
_LEFTOVER_GRACE_SECONDS = 2.0
_LOG_LIMIT_BYTES = 10 * 1024 * 1024


class EmbeddedPostgres:
    """One PostgreSQL server and its data, identified by the home folder; any number of processes may share it.

    Every method may be called from any process and thread. Failures are `DatabaseUnavailableError`.
    """

    def __init__(
        self, home: Path, *, _package: Path | None = None, _patience_seconds: float = _START_TIMEOUT_SECONDS
    ) -> None:
        self.cluster = Cluster(home, _package)
        self._patience_seconds = _patience_seconds

    # -- where things are ---------------------------------------------------------------------------------------------

    @property
    def data_directory(self) -> Path:
        """The cluster's folder; before the first start, where it will be."""
        return self.cluster.data_directory

    @property
    def socket_directory(self) -> Path:
        """The private folder of the unix socket."""
        return self.cluster.socket_directory

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self.cluster.log_path

    @property
    def bin_directory(self) -> Path:
        """The folder of psql, pg_dump and pg_restore, of the same version as the server."""
        return self.cluster.bin_directory

    def url(self, database: str = "retail_sensors", *, driver: str = "postgresql+psycopg2") -> str:
        """The URL of a database on this server: for SQLAlchemy, or with `driver="postgresql"` for psql and libpq."""
        return self.cluster.url(database, driver=driver)

    # -- starting -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the cluster if there is none, and start the server if it is not alive; returns when it answers."""
        with self._reported("started"):
            self.cluster.refuse_foreign_owner()
            if self.is_alive() and self.cluster.is_noted():
                self._bound_log()
                return
            self.cluster.refuse_nameless_user()
            self.cluster.make_home()
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
                if self.cluster.stopped_mark.exists() or self.is_alive():
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
                f"The database {name} could not be made in the embedded Postgres in {self.cluster.home}: "
                f"{one_line(error)}. Run `retail-sensors up` to start the server; its log is {self.log_path}."
            ) from error

    def _start_locked(self) -> None:
        self.cluster.stopped_mark.unlink(missing_ok=True)
        if self.cluster.base.exists() and not self.cluster.is_noted():
            self.cluster.note_location()
        if self.is_alive():
            return
        deadline = time.monotonic() + self._patience_seconds
        self._end_misplaced()
        # Started by hand, ending, or still recovering after an earlier start gave up: it only needs time.
        if self._recorded_postmaster() is not None and self._await_answer(deadline):
            return
        user = self.cluster.make()
        with self._all_processes_ended(deadline) as server_lock:
            # With no process left, these can only mislead: Postgres takes any living process of its user for the
            # server that they name, a zombie too, and refuses an empty file.
            for leftover in (self.cluster.pid_file, *socket_files(self.socket_directory)):
                leftover.unlink(missing_ok=True)
            self._rotate_log()
            offset = self._log_size()
            self._spawn(user, server_lock)
        if not self._await_answer(deadline):
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self.cluster.home} could not be started: {self._cause(offset)}. "
                f"{RESCUE} The log is {self.log_path}."
            )

    def _spawn(self, user: User, server_lock: int) -> None:
        binaries = self.cluster.binaries_for(user, self.cluster.base)
        for outdated in self.cluster.base.glob("install-*"):
            if not binaries.is_relative_to(outdated):
                shutil.rmtree(outdated)
        self.cluster.make_socket_directory(user)
        self.cluster.write_access_rules(user)
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            # A list of folders: the value is quoted as an identifier of that list, not for a shell.
            "unix_socket_directories": '"' + str(self.socket_directory).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "hba_file": str(self.cluster.base / "pg_hba.conf"),
            "ident_file": str(self.cluster.base / "pg_ident.conf"),
            "logging_collector": "off",
            "log_destination": "stderr",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        command = [str(binaries / "postgres"), "-D", str(self.data_directory)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with os.fdopen(open_private(self.log_path, os.O_WRONLY | os.O_APPEND), "ab") as log:
            # The shell in between ends at once, so that the server is a child of init and never a zombie of the
            # process that started it.
            run_as(user, ["/bin/sh", "-c", '"$@" &', "sh", *command], output=log.fileno(), pass_fds=(server_lock,))

    def _await_answer(self, deadline: float) -> bool:
        """Wait until the server answers; False when all its processes ended instead."""
        pause = 0.02
        while (silence := self._why_silent()) is not None:
            if self._is_free() and self._recorded_postmaster() is None:
                return False
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"The embedded Postgres in {self.cluster.home} runs, but did not answer within "
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
        recorded = self.cluster.pid_file_lines()[:3]
        if not recorded:
            return f"there is no {self.cluster.pid_file}"
        try:
            folder_fault = private_folder_fault(self.socket_directory, self.cluster.base.stat().st_uid)
        except OSError as error:
            return one_line(error)
        if folder_fault is not None:
            return folder_fault
        try:
            with closing(self._connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('data_directory'), pg_read_binary_file('postmaster.pid')")
                directory, pid_file = cursor.fetchone() or ("", b"")
        except psycopg2.Error as error:
            # A server that is fully taken answers too; here its process has to vouch for it.
            is_full = re.search("too many clients|connection slots are reserved", str(error)) is not None
            return None if is_full and self._recorded_postmaster() is not None else one_line(error)
        # The path alone is not enough: a server whose folder was removed and made again still reports the path.
        if directory != str(self.data_directory) or bytes(pid_file).splitlines()[:3] != recorded:
            return f"the server on the socket serves other data, in {directory}"
        return None

    # -- stopping -----------------------------------------------------------------------------------------------------

    def stop(self) -> bool:
        """Shut the server down, with more force when it does not obey; returns whether one was running."""
        with self._reported("stopped"):
            self.cluster.refuse_foreign_owner()
            with self._locked_if_there():
                return self._stop_locked()

    def destroy(self) -> None:
        """Stop the server and delete the cluster with all its data, wherever it lies."""
        with self._reported("deleted"):
            self.cluster.refuse_foreign_owner()
            with self._locked_if_there():
                self._stop_locked()
                for folder in (self.socket_directory, self.cluster.base):
                    if folder.exists():
                        shutil.rmtree(folder)
                self.cluster.location_note.unlink(missing_ok=True)

    def _stop_locked(self) -> bool:
        if self.cluster.base.exists():
            os.close(open_private(self.cluster.stopped_mark, os.O_WRONLY))
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
            f"The embedded Postgres in {self.cluster.home} (process {postmaster.pid}) does not end, even when killed: it "
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
            noted = self.cluster.pid_file_lines()[4:5]
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
            process = psutil.Process(int(b"".join(self.cluster.pid_file_lines()[:1])))
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
            return process.uids().effective == self.cluster.base.stat().st_uid
        except (FileNotFoundError, psutil.NoSuchProcess):
            return False

    def _leftovers(self) -> list[psutil.Process]:
        """Processes of a server that work in our data directory, whether or not their postmaster still lives."""
        owner = self.cluster.base.stat().st_uid
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
                        owner in FREE_USER_IDS
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
        lock = open_private(self.cluster.base / "server.lock", os.O_RDWR)
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
        lock = open_private(self.cluster.base / "server.lock", os.O_RDWR)
        try:
            return _try_lock(lock)
        finally:
            os.close(lock)

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
            os.fdopen(open_private(self.log_path, os.O_RDWR), "r+b") as log,
            os.fdopen(open_private(older, os.O_WRONLY | os.O_EXCL), "wb") as copy,
        ):
            # A log that had nobody to bound it for long keeps its end.
            log.seek(max(0, self._log_size() - _LOG_LIMIT_BYTES))
            shutil.copyfileobj(log, copy)
            log.truncate(0)

    def _cause(self, log_offset: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(log_offset)
            return cause_in(log.read(1024 * 1024).decode("utf-8", "replace"))

    # -- between processes --------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Held by the one process that makes, starts or stops the server; given back by the kernel if it dies."""
        patience_seconds = 2 * self._patience_seconds
        deadline = time.monotonic() + patience_seconds
        lock = open_private(self.cluster.home / "postgres.lock", os.O_RDWR)
        try:
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise DatabaseUnavailableError(
                        f"Another process has been starting or stopping the embedded Postgres in {self.cluster.home} for "
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
        with self._locked() if self.cluster.home.exists() else nullcontext():
            yield

    @contextmanager
    def _reported(self, done: str) -> Iterator[None]:
        try:
            yield
        except (OSError, psutil.Error, subprocess.SubprocessError) as error:
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self.cluster.home} could not be {done}: {one_line(error)}. {RESCUE}"
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
    return installed_package() / PROGRAMS


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
