"""A process that hands one message to Apprise and ends: `python -m retail_sensors.connectors.message_process`.

Apprise opens its connections by a dozen libraries, some of which wait for ever. In a process of its own each of them can be ended,
and each connection is judged as it is made, whatever a name or a redirect led to. It reads one JSON object from standard input and
writes one to standard output; `messages` starts it.
"""

from __future__ import annotations

import json
import logging
import re
import smtplib
import sys
from collections.abc import Mapping
from typing import Any

import apprise
from apprise.plugins.email import NotifyEmail

from retail_sensors.connectors.message_reasons import Answer, reason, refusal
from retail_sensors.connectors.networks import AddressBlockedError, AllowedNetworks

_STATUS = re.compile(r"error[=: ]+(\d{3})\b")
_NO_ADDRESS = "its address is none that Apprise understands"
_NO_MAIL_ADDRESS = (
    f"{_NO_ADDRESS}; one of a mail server is of the form mailtos://USER:PASSWORD@HOST?from=SENDER&to=RECIPIENT"
)
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
    """What is learned while Apprise works, and nothing of its words: they may hold the address.

    `status`: the HTTP status that it tells of. `said`: the first error that it met, in words of ours. `asked`: the recipients of all
    mails that a server was given, each once, however many he was to get. `taken`: those for whom one was taken.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.status: str | None = None
        self.said: str | None = None
        self.asked: set[str] = set()
        self.taken: set[str] = set()
        self._refused: dict[str, Answer] = {}

    @property
    def refused(self) -> list[Answer]:
        """What a server answered to each of those that it refused, and for whom no other mail was taken."""
        return [answer for recipient, answer in self._refused.items() if recipient not in self.taken]

    def emit(self, record: logging.LogRecord) -> None:
        """Looks at one line of its log, and at the error on whose account it was written."""
        # Apprise catches errors and only writes of them, while they are still being handled.
        if self.said is None and (error := sys.exc_info()[1]) is not None:
            self.said = reason(error)
        if record.levelno >= logging.WARNING and (found := _STATUS.search(record.getMessage())):
            self.status = found[1]

    def listen(self) -> None:
        """Hears of all that Apprise writes and of each mail that a server took, in this process, for good."""
        logger = logging.getLogger("apprise")
        logger.addHandler(self)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        send = smtplib.SMTP.sendmail

        def sendmail(
            smtp: smtplib.SMTP, sender: str, to: list[str], *rest: Any, **options: Any
        ) -> Mapping[str, Answer]:
            self.asked.update(to)
            try:
                refused: Mapping[str, Answer] = send(smtp, sender, to, *rest, **options)
            except smtplib.SMTPRecipientsRefused as error:
                self._refused.update(error.recipients)
                raise
            self._refused.update(refused)
            self.taken.update(set(to) - refused.keys())
            return refused

        smtplib.SMTP.sendmail = sendmail  # type: ignore[method-assign,assignment]

    def of_some(self) -> str:
        """What is to be said where a mail was taken, and something else was not."""
        if self.taken == self.asked:
            said = "its mail was taken, but not all else that its address asks for"
        else:
            said = f"only {len(self.taken)} of {len(self.asked)} recipients got it"
        why = refusal(self.refused) if self.refused else self.said
        return said if why is None else f"{said}; {why}"


def _refused(said: str) -> dict[str, Any]:
    return {"is_taken": False, "is_whole": False, "is_blocked": False, "said": said}


def deliver(asked: dict[str, Any]) -> dict[str, Any]:
    """Sends what is asked; whether it was taken, whether by all, whether the guard refused, and what is to be said of it."""
    heard = Heard()
    heard.listen()
    asset = apprise.AppriseAsset(
        http_redirects=False, async_mode=False, app_id="retail_sensors", app_desc="retail_sensors"
    )
    sender = apprise.Apprise(asset=asset)
    if not sender.add(asked["address"]):
        return _refused(_NO_MAIL_ADDRESS if asked["address"].startswith("mailto") else _NO_ADDRESS)
    for server in sender:
        # An address may ask for them.
        server.redirects = False
        if isinstance(server, NotifyEmail):
            if not server.targets:
                return _refused("its address names no recipient")
            # RFC 3834: nobody's holiday reply comes back.
            server.headers.setdefault("Auto-Submitted", "auto-generated")
    guard = Guard(AllowedNetworks(asked["networks"], with_public=True))
    sys.addaudithook(guard)
    is_taken = bool(
        sender.notify(
            asked["body"], title=asked["title"], notify_type=asked["kind"], body_format=apprise.NotifyFormat.TEXT
        )
    )
    if is_taken:
        said = "Apprise says that it was taken"
    elif heard.taken:
        said = heard.of_some()
    elif heard.refused:
        said = refusal(heard.refused)
    elif heard.status is not None:
        said = f"it answered with status {heard.status}"
    else:
        said = heard.said or "it could not be reached, or did not take it"
    return {
        # What one of several recipients has got is not sent to him again.
        "is_taken": is_taken or bool(heard.taken),
        "is_whole": is_taken,
        "is_blocked": guard.is_blocked and not is_taken and not heard.taken,
        "said": said,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(deliver(json.load(sys.stdin))))
