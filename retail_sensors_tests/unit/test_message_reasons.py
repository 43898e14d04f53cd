"""What is said of mail servers and networks that do not take a message, by the errors that Python raises for them."""

from __future__ import annotations

import smtplib
import socket
import ssl

import pytest

from retail_sensors.connectors.message_reasons import reason, refusal


def caused(error: BaseException, cause: BaseException) -> BaseException:
    """The error as one that was raised while the other was handled."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            smtplib.SMTPAuthenticationError(535, b"5.7.8 ops@example.com: no"),
            "the mail server refused user and password (535 5.7.8)",
        ),
        (
            smtplib.SMTPAuthenticationError(454, b"4.7.0 later"),
            "the mail server cannot check user and password for now (454 4.7.0)",
        ),
        (
            smtplib.SMTPAuthenticationError(530, b"5.7.0 Must issue a STARTTLS command first"),
            "the mail server wants encryption or a login first (530 5.7.0); write mailtos://USER:PASSWORD@HOST",
        ),
        (
            smtplib.SMTPSenderRefused(530, b"5.7.0 Must issue a STARTTLS command first", "a@example.com"),
            "the mail server wants encryption or a login first (530 5.7.0); write mailtos://USER:PASSWORD@HOST",
        ),
        (
            smtplib.SMTPSenderRefused(553, b"5.1.8 <a@example.com>: unknown", "a@example.com"),
            "the mail server refused the sender (553 5.1.8: there is no such sender); say from=NAME@DOMAIN in its address",
        ),
        (
            smtplib.SMTPSenderRefused(451, b"try again", "a@example.com"),
            "the mail server puts the message off (451)",
        ),
        (
            smtplib.SMTPRecipientsRefused({"a@example.com": (554, b"5.7.1 Relay access denied")}),
            "the mail server refused the recipient (554 5.7.1: we may not send there)",
        ),
        (
            smtplib.SMTPDataError(554, "5.6.0 looks like spam"),
            "the mail server refused the message (554 5.6.0)",
        ),
        (smtplib.SMTPConnectError(554, b"no"), "the mail server refused the connection (554)"),
        (smtplib.SMTPConnectError(421, b"busy"), "the mail server puts the message off (421)"),
        (
            smtplib.SMTPConnectError(-1, b"SSH-2.0-OpenSSH_9.2"),
            "it does not speak as a mail server does; check host and port",
        ),
        (
            smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."),
            "the mail server offers no encryption by STARTTLS; add mode=ssl to its address if it speaks TLS from the first byte",
        ),
        (
            smtplib.SMTPNotSupportedError("SMTP AUTH extension not supported by server."),
            "the mail server takes no password on such a connection; write mailtos:// for an encrypted one",
        ),
        (
            smtplib.SMTPException("No suitable authentication method found."),
            "the mail server offers no way to log in that we know",
        ),
        (
            smtplib.SMTPServerDisconnected("Connection unexpectedly closed"),
            "the mail server broke off the connection",
        ),
        (
            caused(smtplib.SMTPServerDisconnected("Connection unexpectedly closed: timed out"), TimeoutError()),
            "it did not answer in time",
        ),
        (
            ssl.SSLCertVerificationError(1, "self-signed certificate"),
            "its certificate is not to be trusted, or it does not speak TLS",
        ),
        (caused(ValueError("of some library"), socket.gaierror(-2, "unknown")), "its host name does not resolve"),
        (caused(OSError("of another"), ConnectionRefusedError()), "it did not accept a connection"),
        (ConnectionResetError(), "it broke off the connection"),
        (RuntimeError("a@example.com"), None),
    ],
)
def test_an_error_is_said_in_words_without_addresses(error: BaseException, said: str | None) -> None:
    assert reason(error) == said


def test_several_refusals_are_one_sentence() -> None:
    unknown, full, later = (550, b"5.1.1 x"), (452, b"4.2.2 x"), (451, b"x")
    assert refusal([unknown, unknown]) == "the mail server refused 2 recipients (550 5.1.1: there is no such mailbox)"
    assert refusal([full, later]) == "the mail server puts 2 recipients off (451, 452 4.2.2: the mailbox is full)"
    assert (
        refusal([unknown, later]) == "the mail server refused 2 recipients (451, 550 5.1.1: there is no such mailbox)"
    )
