"""Why a target did not take a message, as the end of a sentence: what a person can mend it by, and no address and no secret.

Here belong the words; sending and catching belong in `messages` (webhooks) and `message_process` (all else). Of what a mail server
answers only the codes are told: its words repeat addresses.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Collection, Iterator

UNRESOLVED = "its host name does not resolve"
UNTRUSTED = "its certificate is not to be trusted, or it does not speak TLS"
UNREACHED = "it did not accept a connection"

Answer = tuple[int, bytes | str]
"""What a mail server said: the code of its reply and its words."""

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b", re.ASCII)
_DETAILS = {
    "5.1.1": "there is no such mailbox",
    "5.1.2": "there is no such domain",
    "5.1.3": "it is no mail address",
    "5.1.8": "there is no such sender",
    "5.2.1": "the mailbox is switched off",
    "4.2.2": "the mailbox is full",
    "5.2.2": "the mailbox is full",
    "5.3.4": "the message is too big",
    "5.7.1": "we may not send there",
}
"""What the codes of RFC 3463 say that a person can do something about."""
_LOGIN_FIRST = 530
_RETRIES_BELOW = 500


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, outermost first."""
    while error is not None:
        yield error
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__


def reason(error: BaseException) -> str | None:
    """What an error of a mail server or of the network means; None for one that is of neither."""
    for cause in causes(error):
        if (said := _of_mail(cause) or _of_network(cause)) is not None:
            return said
    return None


def refusal(refused: Collection[Answer]) -> str:
    """What it means that a mail server refused these recipients."""
    codes = ", ".join(sorted({_code(answer) for answer in refused}))
    who = "the recipient" if len(refused) == 1 else f"{len(refused)} recipients"
    if any(code == _LOGIN_FIRST for code, _ in refused):
        return _login_first(codes)
    if all(code < _RETRIES_BELOW for code, _ in refused):
        return f"the mail server puts {who} off ({codes})"
    return f"the mail server refused {who} ({codes})"


def _of_mail(error: BaseException) -> str | None:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return refusal(list(error.recipients.values()))
    if isinstance(error, smtplib.SMTPResponseException):
        return _of_answer(error, (error.smtp_code, error.smtp_error))
    if isinstance(error, smtplib.SMTPNotSupportedError):
        # The words are those of Python: of the server's own there are none.
        if "STARTTLS" in str(error):
            return "the mail server offers no encryption by STARTTLS; add mode=ssl to its address if it speaks TLS from the first byte"
        if "AUTH" in str(error):
            return "the mail server takes no password on such a connection; write mailtos:// for an encrypted one"
        return "the mail server takes no address with letters beyond ASCII"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        # Not when the connection failed for a reason of its own, which comes next.
        return None if error.__context__ is not None else "the mail server broke off the connection"
    if isinstance(error, smtplib.SMTPException):
        return "the mail server offers no way to log in that we know"
    return None


def _of_answer(error: smtplib.SMTPResponseException, answer: Answer) -> str:
    if answer[0] < 0:
        # What smtplib has for a reply that does not begin with a code.
        return "it does not speak as a mail server does; check host and port"
    code = _code(answer)
    if answer[0] == _LOGIN_FIRST:
        return _login_first(code)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        if answer[0] < _RETRIES_BELOW:
            return f"the mail server cannot check user and password for now ({code})"
        return f"the mail server refused user and password ({code})"
    if answer[0] < _RETRIES_BELOW:
        return f"the mail server puts the message off ({code})"
    if isinstance(error, smtplib.SMTPSenderRefused):
        return f"the mail server refused the sender ({code}); say from=NAME@DOMAIN in its address"
    if isinstance(error, smtplib.SMTPDataError):
        return f"the mail server refused the message ({code})"
    return f"the mail server refused the connection ({code})"


def _of_network(error: BaseException) -> str | None:
    if isinstance(error, socket.gaierror):
        return UNRESOLVED
    if isinstance(error, ssl.SSLError):
        return UNTRUSTED
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return UNREACHED
    if isinstance(error, ConnectionError):
        return "it broke off the connection"
    return None


def _login_first(code: str) -> str:
    return f"the mail server wants encryption or a login first ({code}); write mailtos://USER:PASSWORD@HOST"


def _code(answer: Answer) -> str:
    """The reply's code, the enhanced one where there is one, and what that means."""
    code, words = answer
    text = words.decode("ascii", "replace") if isinstance(words, bytes) else words
    enhanced = _ENHANCED.match(text)
    if enhanced is None:
        return str(code)
    said = f"{code} {enhanced[0]}"
    detail = _DETAILS.get(enhanced[0])
    return said if detail is None else f"{said}: {detail}"
