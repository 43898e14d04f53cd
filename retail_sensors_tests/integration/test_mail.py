"""Mail from the alert to the mailbox: real runs of the job, a real SMTP server that takes, refuses, puts off and wants TLS."""

from __future__ import annotations

import email
import email.policy
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from retail_sensors.definitions import build_defs
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.resources.notifier import NotifierResource
from retail_sensors_tests.installations import Site, free_ports, site_of_october
from retail_sensors_tests.integration.test_alerts import MINUTE, NOW, Standing, asked

PASSWORD = "pass/word-of-nobody:else"
IN_ADDRESS = quote(PASSWORD, safe="")
PATIENT = 300.0
"""Seconds for a message: the start of its process alone takes seconds on a busy machine."""
FLEET = {
    "stores": [{"name": "São João", "timezone": "Europe/Lisbon", "capacity": 200}],
    "cameras": [{"name": "entrada", "host": "192.0.2.10", "timezone": "Europe/Lisbon", "store": "São João"}],
}


class Mailboxes:
    """A mail server's behaviour: it takes all mail, but answers to a recipient first what `refusals` holds for him, once each."""

    def __init__(self) -> None:
        self.refusals: dict[str, list[str]] = {}
        self.got: list[tuple[str, list[str], EmailMessage]] = []

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: object, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if refusals := self.refusals.get(address):
            return refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: object, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert envelope.mail_from is not None
        content = envelope.content
        assert isinstance(content, bytes)
        assert content.isascii()
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.got.append((envelope.mail_from, list(envelope.rcpt_tos), message))
        return "250 2.0.0 queued"


@pytest.fixture
def mailboxes() -> Mailboxes:
    return Mailboxes()


@pytest.fixture
def server(mailboxes: Mailboxes) -> Iterator[str]:
    """The host and port of a mail server that knows neither TLS nor passwords."""
    controller = Controller(mailboxes, hostname="127.0.0.1", port=free_ports(1), ready_timeout=PATIENT)
    controller.start()
    yield f"127.0.0.1:{controller.port}"
    controller.stop()


@pytest.fixture
def strict_server(mailboxes: Mailboxes, tmp_path: Path) -> Iterator[str]:
    """The host and port of one that takes mail only after STARTTLS, with a certificate of its own, and the right password."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def is_right(
        _server: object, _session: object, _envelope: object, _mechanism: str, said: LoginPassword
    ) -> AuthResult:
        is_known = (said.login, said.password) == (b"alerts@example.com", PASSWORD.encode())
        # Not handled: the server is to say so.
        return AuthResult(success=is_known, handled=False)

    controller = Controller(
        mailboxes,
        hostname="127.0.0.1",
        port=free_ports(1),
        ready_timeout=PATIENT,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=is_right,
    )
    controller.start()
    yield f"127.0.0.1:{controller.port}"
    controller.stop()


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    return site_of_october(
        Site(database_url, tmp_path / "home", {"RETAIL_SENSORS_NOTIFY_NETWORKS": "127.0.0.0/8"}), FLEET
    )


def add(site: Site, name: str, address: str, *options: str) -> None:
    """A route to an address that is kept in a variable, as a person writes one."""
    site.environment[f"TO_{name.upper()}"] = address
    said = site.run("alerts", "routes", "add", name, "--target", f"env:TO_{name.upper()}", *options)
    assert said.code == 0, said


def run(site: Site, now: datetime) -> str:
    """One run of the job `alerts` at that instant; what its check of the routes says."""
    with site.entered():
        clock: ClockResource = Standing(at=now.isoformat())
        notifier = NotifierResource(database=DatabaseResource(), clock=clock, apprise_seconds=PATIENT)
        job = build_defs(clock=clock, notifier=notifier).resolve_job_def("alerts")
        result = job.execute_in_process()
    assert result.success
    [check] = [one for one in result.get_asset_check_evaluations() if one.check_name == "routes_take_messages"]
    assert check.passed == (check.description == "All do.")
    return check.description or ""


def crowd(site: Site, utilization: float, start: datetime, until: datetime) -> None:
    """The store's hour, as it was known at `until`."""
    site.execute(
        "INSERT INTO retail.store_hourly (store_id, hour_start, is_open, avg_occupancy, utilization, data_completeness,"
        f" is_provisional, quality, updated_at) SELECT id, '{start}', true, {200 * utilization}, {utilization}, 0, true,"
        f" '{{\"counts\": \"provisional\"}}', '{until}' FROM retail.stores"
    )
    asked(site, "entrada", "ok", until)


def last(site: Site, route: str) -> dict[str, Any]:
    """The newest message of a route, as a person may see it."""
    [row, *_] = json.loads(site.run("alerts", "routes", "log", route, "--json").out)
    return row  # type: ignore[no-any-return]


def reached(mailboxes: Mailboxes) -> list[list[str]]:
    """The recipients of each mail, in the order of delivery."""
    return [recipients for _, recipients, _ in mailboxes.got]


def test_an_alert_and_its_end_are_mailed_in_words_for_the_shop(site: Site, server: str, mailboxes: Mailboxes) -> None:
    add(
        site,
        "shop",
        f"mailto://{server}?from=Retail%20sensors<alerts@example.com>&to=loja@example.com&cc=area@example.com",
    )
    crowd(site, 0.95, NOW - 30 * MINUTE, NOW)
    assert run(site, NOW) == "All do."
    assert run(site, NOW + MINUTE) == "All do."
    [(sender, recipients, mail)] = mailboxes.got
    assert (sender, recipients) == ("alerts@example.com", ["loja@example.com", "area@example.com"])
    assert mail["subject"] == "Warning: São João is crowded: 95 % of its capacity"
    assert mail["from"] == "Retail sensors <alerts@example.com>"
    assert (mail["to"], mail["cc"]) == ("loja@example.com", "area@example.com")
    assert (mail["auto-submitted"], mail["x-application"]) == ("auto-generated", "retail_sensors")
    assert mail["message-id"]
    assert abs((mail["date"].datetime - datetime.now(mail["date"].datetime.tzinfo)).total_seconds()) < PATIENT
    assert mail.get_content_type() == "text/plain"
    [alert] = json.loads(site.run("alerts", "--json").out)
    assert mail.get_content().strip().splitlines() == [
        "On average 190 people were in São João between 14:00 and 14:30, 95 % of the 200 that are allowed (limit 90 %). Let "
        "people in only as others leave, and open all tills and exits.",
        "Since 14:00.",
        "Where: São João. Times are those of Europe/Lisbon.",
        f"Take it up: retail-sensors alerts acknowledge {alert['id'][:8]}",
    ]

    crowd(site, 0.5, NOW + 30 * MINUTE, NOW + 60 * MINUTE)
    assert run(site, NOW + 60 * MINUTE) == "All do."
    [_, (_, recipients, mail)] = mailboxes.got
    assert recipients == ["loja@example.com", "area@example.com"]
    assert mail["subject"] == "Ended: São João is crowded: 95 % of its capacity"
    assert mail.get_content().strip().splitlines() == [
        "Within the limits again: 50 %.",
        "It lasted 1.5 hours, since 14:00.",
        "Where: São João. Times are those of Europe/Lisbon.",
    ]


def test_what_a_mail_server_refuses_is_told_and_what_it_puts_off_comes_later(
    site: Site, server: str, mailboxes: Mailboxes, capfd: pytest.CaptureFixture[str]
) -> None:
    gone, busy = "550 5.1.1 <gone@example.com>: user unknown", "451 4.7.1 <busy@example.com>: come back later"
    mailboxes.refusals = {"gone@example.com": [gone] * 9, "busy@example.com": [busy]}
    sender = f"mailto://{server}?from=alerts@example.com"
    add(site, "busy", f"{sender}&to=busy@example.com")
    add(site, "gone", f"{sender}&to=gone@example.com")
    add(site, "some", f"{sender}&to=loja@example.com,gone@example.com&cc=area@example.com")
    crowd(site, 0.95, NOW - 30 * MINUTE, NOW)
    reasons = {
        "busy": "the mail server puts the recipient off (451 4.7.1)",
        "gone": "the mail server refused the recipient (550 5.1.1: there is no such mailbox)",
        "some": "only 2 of 3 recipients got it; the mail server refused the recipient (550 5.1.1: there is no such mailbox)",
    }
    said = run(site, NOW)
    assert said == "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    # Who is under cc gets the mail to each of the others, and counts once.
    some = [["loja@example.com", "area@example.com"], ["area@example.com"]]
    assert reached(mailboxes) == some
    stored = {name: last(site, name) for name in reasons}
    assert {name: row["last_error"] for name, row in stored.items()} == reasons
    assert {name: row["state"] for name, row in stored.items()} == {
        "busy": "pending",
        "gone": "pending",
        "some": "sent",
    }

    # The next try reaches who was put off, and nobody twice.
    assert run(site, NOW + 5 * MINUTE) == "; ".join(f"{name}: {reasons[name]}" for name in ("gone", "some"))
    assert reached(mailboxes) == [*some, ["busy@example.com"]]
    assert [last(site, "busy")[name] for name in ("state", "attempts", "last_error")] == ["sent", 2, None]
    assert [last(site, "gone")[name] for name in ("state", "attempts")] == ["pending", 2]

    tried = site.run("alerts", "routes", "test", "some")
    assert tried.code == 1
    assert tried.sentence == f"Route some took the message, but not for everybody: {reasons['some']}"
    kept = str(site.fetch("SELECT * FROM retail.notifications"))
    assert "gone@example.com" not in said + kept + "".join(capfd.readouterr())


def test_a_mail_is_not_sent_again_for_the_sake_of_another_address_beside_it(
    site: Site, server: str, mailboxes: Mailboxes
) -> None:
    nobody = f"json://127.0.0.1:{free_ports(1)}/"
    add(site, "both", f"{nobody} mailto://{server}?from=alerts@example.com&to=loja@example.com")
    crowd(site, 0.95, NOW - 30 * MINUTE, NOW)
    reason = "its mail was taken, but not all else that its address asks for; it did not accept a connection"
    assert run(site, NOW) == run(site, NOW + 5 * MINUTE) == f"both: {reason}"
    assert reached(mailboxes) == [["loja@example.com"]]
    assert [last(site, "both")[name] for name in ("state", "last_error")] == ["sent", reason]


def test_a_mail_server_that_wants_tls_and_a_password(
    site: Site, strict_server: str, mailboxes: Mailboxes, capfd: pytest.CaptureFixture[str]
) -> None:
    def address(schema: str, password: str) -> str:
        return f"{schema}://alerts%40example.com:{password}@{strict_server}?from=alerts@example.com&to=loja@example.com&verify=no"

    add(site, "clear", address("mailto", IN_ADDRESS))
    add(site, "right", address("mailtos", IN_ADDRESS))
    add(site, "senderless", f"mailto://{strict_server}?to=loja@example.com")
    add(site, "wrong", address("mailtos", "guess"))
    crowd(site, 0.95, NOW - 30 * MINUTE, NOW)
    said = run(site, NOW)
    assert said.split("; ") == [
        "clear: the mail server takes no password on such a connection",
        "write mailtos:// for an encrypted one",
        "senderless: its address is none that Apprise understands",
        "one of a mail server is of the form mailtos://USER:PASSWORD@HOST?from=SENDER&to=RECIPIENT",
        "wrong: the mail server refused user and password (535 5.7.8)",
    ]
    assert reached(mailboxes) == [["loja@example.com"]]
    said += "".join(capfd.readouterr())
    assert not [word for word in (PASSWORD, IN_ADDRESS, "loja@example.com") if word in said]
