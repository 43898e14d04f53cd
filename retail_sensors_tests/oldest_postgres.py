"""A server of the oldest PostgreSQL that is promised, for what must hold there too; the package postgresql-15 of Debian brings it.

The server that the other tests run on belongs in `conftest`.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retail_sensors.storage.embedded_users import User, give, nobody, run_as

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_USER = "owner"


def is_installed() -> bool:
    return (PROGRAMS / "postgres").exists()


@contextmanager
def oldest_postgres() -> Iterator[str]:
    """URL of the maintenance database of a server that lives until the block ends, with nothing kept for a crash."""
    with tempfile.TemporaryDirectory(prefix="retail_sensors-15-") as folder:
        # Postgres refuses to run as root.
        user = User(os.geteuid(), os.getegid()) if os.geteuid() else User(*nobody())
        give(Path(folder), user)
        made = run_as(
            user,
            [
                f"{PROGRAMS}/initdb",
                "-D",
                f"{folder}/data",
                "-U",
                _USER,
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
            ],
            output=subprocess.PIPE,
        )
        assert made.returncode == 0, made.stdout
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_locks_per_transaction": "256",
        }
        command = [f"{PROGRAMS}/pg_ctl", "-D", f"{folder}/data", "-w", "-t", "120"]
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        started = run_as(user, [*command, "-l", f"{folder}/log", "-o", options, "start"], output=subprocess.PIPE)
        assert started.returncode == 0, started.stdout
        try:
            yield f"postgresql+psycopg2://{_USER}@/postgres?host={folder}"
        finally:
            run_as(user, [*command, "-m", "immediate", "stop"], output=subprocess.DEVNULL)
