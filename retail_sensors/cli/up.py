"""`retail-sensors up` and `down`: Dagster's UI and daemon, the embedded Postgres and the demo's cameras, together.

`up` starts `dagster dev` and whatever else is needed in one process group of their own and watches them; `down` ends
that group, waits and escalates: `dagster dev` was seen alive long after SIGTERM, so nothing is left to its good will.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from retail_sensors.errors import ConfigurationError, RetailSensorsError
from retail_sensors.installation import Installation
from retail_sensors.settings import load_settings
from retail_sensors.storage.dagster_storage import begun_runs
from retail_sensors.storage.database import Database
from retail_sensors.storage.embedded import keep_alive

_START_SECONDS = 300
_GRACE_SECONDS = 15

LOG_BYTES = 20 * 1024 * 1024
"""Dagster writes 1 to 2 MB an hour, every event of every run; one older log is kept beside the newest."""


def up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Loopback port of the UI.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the UI answers; `down` stops it.")] = False,
) -> None:
    """Keep everything running: Postgres, Dagster's UI and daemon with schedules on, the demo's cameras if there are any."""
    installation = Installation()
    port = port or installation.settings.webserver_port
    if is_up(installation):
        raise _already_up(installation)
    _refuse_taken(port)
    # A database that does not answer is told here, not in the log of a process that has left the terminal.
    installation.environment()
    if detach:
        _detach(installation, port)
        return
    _Supervisor(installation, port).run()


def down() -> None:
    """Stop what `up` keeps running, and the embedded Postgres; all data stays."""
    settings = load_settings()
    state_path = settings.home / "up.json"
    stopped = []
    if state_path.is_file():
        state = json.loads(state_path.read_text())
        if _end_session(state):
            stopped.append("Dagster")
        state_path.unlink(missing_ok=True)
    database = Database(settings)
    if database.is_embedded and (settings.home.exists() and database.server.stop()):
        stopped.append("Postgres")
    typer.echo(f"Stopped: {', '.join(stopped)}" if stopped else "Nothing was running.")


def is_up(installation: Installation) -> bool:
    """Whether a supervisor of this installation runs."""
    return _supervisor_process(_state(installation)) is not None


def served_port(installation: Installation) -> int | None:
    """First port of the demo's cameras where a running supervisor serves them; None where none does."""
    port = _state(installation).get("cameras_port")
    return int(port) if port is not None and is_up(installation) else None


def _already_up(installation: Installation) -> ConfigurationError:
    url = _state(installation).get("url", "it is just starting")
    return ConfigurationError(f"It is already up: {url}. `retail-sensors down` stops it.")


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        # As the web server binds: a port that was left a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                f"The UI cannot listen on 127.0.0.1:{port} ({error.strerror}); choose another with --port."
            ) from None


def _state(installation: Installation) -> dict[str, Any]:
    path = installation.settings.home / "up.json"
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _supervisor_process(state: dict[str, Any]) -> psutil.Process | None:
    try:
        process = psutil.Process(state["pid"])
        # A pid is given again: only the same start time is the same process.
        same = abs(process.create_time() - state["started_at"]) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (KeyError, psutil.NoSuchProcess):
        return None


def _end_session(state: dict[str, Any]) -> bool:
    """Ends the supervisor and every process that carries its mark; returns whether there was one."""
    processes = _marked_processes(state.get("mark", ""))
    supervisor = _supervisor_process(state)
    if supervisor is not None and supervisor not in processes:
        processes.append(supervisor)
    _end(processes)
    # What was started while the others were being ended.
    _end(_marked_processes(state.get("mark", "")))
    return bool(processes)


def _end(processes: list[psutil.Process]) -> None:
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            try:
                send(process)
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + _GRACE_SECONDS
        while processes := [process for process in processes if _is_running(process)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if not processes:
            return


def _is_running(process: psutil.Process) -> bool:
    # Where nothing collects orphans, as in a container without an init, an ended process stays as a zombie.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _marked_processes(mark: str) -> list[psutil.Process]:
    """Processes with the supervisor's mark in their environment: Dagster starts sessions of its own, groups do not hold them."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark and process.pid != os.getpid() and process.environ().get("RETAIL_SENSORS_UP") == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


class _Supervisor:
    """The foreground process of `up`."""

    def __init__(self, installation: Installation, port: int) -> None:
        self._installation = installation
        self._port = port
        self._stop = threading.Event()
        self._mark = f"{os.getpid()}-{time.time_ns()}"
        self._state_path = installation.settings.home / "up.json"
        self._url = f"http://127.0.0.1:{port}"
        self._cameras_port: int | None = None

    def run(self) -> None:
        """Starts everything and waits until a signal or until Dagster ends."""
        with self._alone():
            # A supervisor that was killed leaves its children behind.
            _end_session(_state(self._installation))
            self._run()

    def _run(self) -> None:
        environment = {**os.environ, **self._installation.environment(), "RETAIL_SENSORS_UP": self._mark}
        self._give_lost_runs_up()
        program = shutil.which("dagster", path=str(Path(sys.executable).parent)) or shutil.which("dagster")
        if program is None:
            raise ConfigurationError("The program `dagster` is not installed beside this one; run `make env`.")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop.set())
        if self._installation.database.is_embedded:
            home = self._installation.settings.home
            threading.Thread(target=keep_alive, args=(home, self._stop), daemon=True).start()
        self._write_state()
        cameras = self._simulator(environment)
        children = [] if cameras is None else [cameras]
        self._write_state()
        log_path = self._installation.files / "dagster-dev.log"
        with log_path.open("ab") as log:
            dagster = subprocess.Popen(  # noqa: S603 -- our own program
                [program, "dev", "-h", "127.0.0.1", "-p", str(self._port), "-w", "workspace.yaml"],
                cwd=self._installation.root,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        children.append(dagster)
        try:
            self._await_answer(dagster, log_path)
            if not self._stop.is_set():
                typer.echo(
                    f"The Dagster UI answers at {self._url} (schedules are on; Ctrl-C stops it, Postgres goes on)"
                )
            while not self._stop.wait(1):
                for path in (log_path, self._simulator_log):
                    bound_log(path, LOG_BYTES)
                if dagster.poll() is not None:
                    raise RetailSensorsError(f"Dagster ended by itself; its last words are in {log_path}.")
                if cameras is not None and cameras.poll() is not None:
                    cameras = None
                    typer.echo(
                        f"The demo's cameras are not served any more; the reason is in {self._simulator_log}.", err=True
                    )
                    self._cameras_port = None
                    self._write_state()
        finally:
            self._stop.set()
            _end([process for child in children if (process := _as_process(child.pid)) is not None])
            _end(_marked_processes(self._mark))
            self._state_path.unlink(missing_ok=True)

    def _give_lost_runs_up(self) -> None:
        """Fails the runs that broke off with the machine or with all of Dagster, so that the daemon starts them again.

        Dagster itself does not ask whether a worker of this launcher is alive: for two hours such a run would keep its place in
        the queue, and the sensor that awaits it waiting.
        """
        # Nothing of Dagster runs now: what had begun has no worker any more.
        lost = begun_runs(self._installation.database)
        if not lost:
            return
        instance = self._installation.dagster_instance()
        for run_id in lost:
            run = instance.get_run_by_id(run_id)
            if run is not None:
                instance.report_run_failed(run, "Its worker was lost: everything was started anew.")
        instance.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps a second supervisor of this installation out until the block ends."""
        with (self._installation.settings.home / "up.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _already_up(self._installation) from None
            yield

    @property
    def _simulator_log(self) -> Path:
        return self._installation.files / "simulator.log"

    def _simulator(self, environment: dict[str, str]) -> subprocess.Popen[bytes] | None:
        from retail_sensors.cli.demo import demo_port

        self._cameras_port = demo_port(self._installation)
        if self._cameras_port is None:
            return None
        with self._simulator_log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 -- our own program
                [sys.executable, "-m", "retail_sensors", "simulate", "--port", str(self._cameras_port)],
                cwd=self._installation.root,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _write_state(self) -> None:
        own = psutil.Process()
        state = {
            "pid": own.pid,
            "started_at": own.create_time(),
            "mark": self._mark,
            "url": self._url,
            "cameras_port": self._cameras_port,
        }
        temporary = self._state_path.with_suffix(".new")
        temporary.write_text(json.dumps(state))
        temporary.replace(self._state_path)

    def _await_answer(self, dagster: subprocess.Popen[bytes], log_path: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and not self._stop.is_set():
            if dagster.poll() is not None:
                raise RetailSensorsError(f"Dagster did not start; its words are in {log_path}.")
            if _answers(self._url):
                return
            time.sleep(0.5)
        if not self._stop.is_set():
            raise RetailSensorsError(f"The Dagster UI did not answer within {_START_SECONDS} s; see {log_path}.")


def bound_log(path: Path, most_bytes: int) -> None:
    """Begins a log anew that is larger, and keeps the former one as `.1`. Who writes has the file open for appending: it is
    emptied, not replaced."""
    if path.is_file() and path.stat().st_size > most_bytes:
        shutil.copy(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=2) as response:  # noqa: S310 -- our own loopback address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _as_process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _detach(installation: Installation, port: int) -> None:
    log_path = installation.settings.home / "up.log"
    with log_path.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, "-m", "retail_sensors", "up", "--port", str(port)],
            cwd=installation.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    url = f"http://127.0.0.1:{port}"
    while time.monotonic() < deadline:
        if child.poll() is not None:
            last = log_path.read_text().strip().splitlines()[-1:] or ["it said nothing"]
            raise RetailSensorsError(f"It did not come up: {last[0]} (log: {log_path})")
        if is_up(installation) and _answers(url):
            typer.echo(f"The Dagster UI answers at {url}; `retail-sensors down` stops it.")
            return
        time.sleep(0.5)
    raise RetailSensorsError(f"The Dagster UI did not answer within {_START_SECONDS} s; see {log_path}.")
