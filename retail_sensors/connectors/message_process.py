"""A process that hands one message to Apprise and ends: `python -m retail_sensors.connectors.message_process`.

Apprise opens its connections by a dozen libraries, some of which wait for ever. In a process of its own each of them can be ended,
and each connection is judged as it is made, whatever a name or a redirect led to. It reads one JSON object from standard input and
writes one to standard output; `messages` starts it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import apprise

from retail_sensors.connectors.networks import AddressBlockedError, AllowedNetworks

_STATUS = re.compile(r"error[=: ]+(\d{3})\b")
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.startfile")
"""What no message needs: some of Apprise's targets start programs of this machine."""


class Guard:
    """Judges every connection of this process, for good; `is_blocked` says whether one was refused."""

    def __init__(self, networks: AllowedNetworks) -> None:
        self._networks = networks
        self.is_blocked = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: what it raises takes the place of what was about to be done."""
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            to = arguments[1]
            if to is None:
                # On a socket whose connection has been judged.
                return
            # A local socket has a path for an address.
            if not isinstance(to, tuple) or not self._networks.allows(str(to[0])):
                self.is_blocked = True
                raise AddressBlockedError("not an address that messages may go to")
        elif event in _FORBIDDEN:
            self.is_blocked = True
            raise PermissionError(event)


class Heard(logging.Handler):
    """Keeps the HTTP status that Apprise tells of, and nothing else of its words: they may hold the address."""

    status: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Looks at one line of its log."""
        if found := _STATUS.search(record.getMessage()):
            self.status = found[1]


def deliver(asked: dict[str, Any]) -> dict[str, Any]:
    """Sends what is asked; whether it was taken, whether the guard refused, and what is to be said of it."""
    heard = Heard()
    logging.getLogger("apprise").addHandler(heard)
    logging.getLogger("apprise").propagate = False
    sender = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False, async_mode=False))
    if not sender.add(asked["address"]):
        return {"is_taken": False, "is_blocked": False, "said": "its address is none that Apprise understands"}
    for server in sender:
        # An address may ask for them.
        server.redirects = False
    guard = Guard(AllowedNetworks(asked["networks"], with_public=True))
    sys.addaudithook(guard)
    is_taken = bool(
        sender.notify(
            asked["body"], title=asked["title"], notify_type=asked["kind"], body_format=apprise.NotifyFormat.TEXT
        )
    )
    if is_taken:
        said = "Apprise says that it was taken"
    elif heard.status is not None:
        said = f"it answered with status {heard.status}"
    else:
        said = "it could not be reached, or did not take it"
    return {"is_taken": is_taken, "is_blocked": guard.is_blocked and not is_taken, "said": said}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(deliver(json.load(sys.stdin))))
