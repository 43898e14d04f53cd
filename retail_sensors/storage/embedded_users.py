"""Users of the machine and the rights of files, for a server that root starts and never runs.

Only root can give files away or act as somebody else: for every other user these functions do what they say with its own
files and as itself. What is given to whom belongs in `embedded_cluster`.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

from retail_sensors.errors import DatabaseUnavailableError


class User(NamedTuple):
    """The user and group that the server runs as."""

    uid: int
    gid: int


def account_of(uid: int) -> pwd.struct_passwd | None:
    """The entry in /etc/passwd; None: there is none."""
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def account_name(uid: int) -> str:
    """What a user is called in a sentence."""
    account = account_of(uid)
    return account.pw_name if account is not None else f"user number {uid}"


def nobody() -> User:
    """The user `nobody`, or else any that is not root."""
    accounts = sorted(pwd.getpwall(), key=lambda account: account.pw_name != "nobody")
    for account in accounts:
        if account.pw_uid != 0:
            return User(account.pw_uid, account.pw_gid)
    raise DatabaseUnavailableError(
        "The embedded Postgres cannot be made by root where /etc/passwd knows no other user. Add the user nobody, or "
        "set RETAIL_SENSORS_DATABASE_URL to a server of your own."
    )


def is_reachable(path: Path, user: User) -> bool:
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


def private_folder_fault(folder: Path, owner: int) -> str | None:
    """What is wrong with a folder that must belong to `owner` and be closed to everybody else; None: nothing."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return f"the folder {folder} does not exist"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is not a folder"
    if found.st_uid != owner:
        return f"the folder {folder} belongs to {account_name(found.st_uid)}, not to {account_name(owner)}"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"the folder {folder} is open to other users (mode {stat.S_IMODE(found.st_mode):o}, not 700)"
    return None


def give(path: Path, user: User) -> None:
    """Make the user the owner of a file or folder, never of what a link leads to."""
    if os.geteuid() == 0:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def give_tree(top: Path, user: User) -> None:
    """The same for a folder and all below it."""
    for folder, _, files in os.walk(top):
        give(Path(folder), user)
        for name in files:
            give(Path(folder, name), user)


def open_tree(top: Path) -> None:
    """Let everybody read what lies below, and run what its owner may run; an installation under umask 077 is closed."""
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def open_private(path: Path, flags: int) -> int:
    """A descriptor of a file that belongs to the folder's owner with mode 0600, made if it is missing.

    As root in a folder of another user, a link planted under the name is not followed.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        found, owner = os.fstat(descriptor), path.parent.stat()
        if found.st_uid != owner.st_uid and found.st_uid == 0 and found.st_nlink == 1:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def write_private(path: Path, content: str) -> None:
    """Replace such a file whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(open_private(fresh, os.O_WRONLY | os.O_EXCL), "w", encoding="utf-8") as file:
        file.write(content)
    fresh.replace(path)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def run_as(
    user: User, command: list[str], *, output: int, pass_fds: tuple[int, ...] = ()
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
