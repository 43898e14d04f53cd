"""Messages from the alert to the receiver: real runs, real sockets, receivers that refuse, hang, redirect and kill."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.assets.notifications import notifications
from retail_sensors.connectors.messages import Message, Messenger, signature
from retail_sensors.connectors.networks import AllowedNetworks
from retail_sensors.definitions import build_defs
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.resources.notifier import NotifierResource
from retail_sensors.secrets import Secrets
from retail_sensors.sensors.failure import run_failure
from retail_sensors_tests.installations import ROOT, Site, site_of_october
from retail_sensors_tests.integration.test_alerts import FLEET, MINUTE, NOW, Standing, asked, stored_hour

SECRET = "whsec_" + base64.b64encode(b"a key of two dozen bytes").decode()
TOKEN = "token-of-nobody-else"


class Receiver:
    """A server on loopback. `paths` says how each path answers: a status, seconds to wait, or the process to kill."""

    def __init__(self) -> None:
        self.paths: dict[str, int] = {}
        self.victim: subprocess.Popen[bytes] | None = None
        self.got: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                if "webhook-id" in headers:
                    expected = signature(
                        headers["webhook-id"], int(headers["webhook-timestamp"]), body, b"a key of two dozen bytes"
                    )
                    assert headers["webhook-signature"] == expected
                name = self.path.split("/")[1].split("?")[0]
                receiver.got.append((name, headers, json.loads(body)))
                if name == "kill" and receiver.victim is not None:
                    os.kill(receiver.victim.pid, signal.SIGKILL)
                    receiver.victim = None
                    return
                if name == "hang":
                    receiver.released.wait(600)
                    return
                self.send_response(receiver.paths.get(name, 204))
                self.send_header("location", "/ok")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.released = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def events(self, name: str) -> list[str]:
        """The kinds of webhooks that came to a path, in order."""
        return [body["type"] for path, _, body in self.got if path == name]

    def identities(self, name: str) -> list[str]:
        return [headers["webhook-id"] for path, headers, _ in self.got if path == name]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def site(database_url: str, tmp_path: Path, receiver: Receiver) -> Site:
    targets = {
        f"TO_{name.upper()}": f"webhook+http://{receiver.address}/{name}/{TOKEN}"
        for name in ("ok", "night", "broken", "hang", "moved", "kill")
    }
    environment = {
        **targets,
        "TO_JSON": f"json://{receiver.address}/json/{TOKEN}",
        "TO_MOVED_JSON": f"json://{receiver.address}/moved/{TOKEN}?redirect=yes",
        "TO_METADATA": f"webhook+http://169.254.169.254/latest/{TOKEN}",
        "TO_METADATA_JSON": f"json://169.254.169.254/latest/{TOKEN}",
        "TO_NOTHING": f"nothing-of-the-kind://{TOKEN}",
        "SIGNING": SECRET,
        "RETAIL_SENSORS_NOTIFY_NETWORKS": "127.0.0.0/8",
    }
    return site_of_october(Site(database_url, tmp_path / "home", environment), FLEET)


def add(site: Site, name: str, target: str, *options: str) -> None:
    said = site.run("alerts", "routes", "add", name, "--target", f"env:{target}", "--secret", "env:SIGNING", *options)
    assert said.code == 0, said


def raise_alert(site: Site, title: str, at: datetime) -> None:
    """An alert about Lisbon, as a rule would have raised it."""
    site.execute(
        "INSERT INTO retail.alerts_generated (id, rule_name, scope, store_id, alert_type, metric, severity, timestamp, title,"
        " message, metrics, threshold_value, first_seen_at, last_seen_at, occurrences, acknowledged, resolved, actions_taken,"
        f" escalated) SELECT gen_random_uuid(), '{title}', 'store', id, 'system', 'minutes_without_counts', 'warning', '{at}',"
        f" '{title}', 'No counts.', '{{}}', 120, '{at}', '{at}', 1, false, false, '[]', false FROM retail.stores"
        " WHERE store_name = 'Lisbon'"
    )


def tell(site: Site, now: datetime, seconds: float = 60.0) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    """One run of the asset at that instant, with so many seconds for a webhook: its metadata and its check."""
    with site.entered():
        clock, database = Standing(at=now.isoformat()), DatabaseResource()
        result = dg.materialize(
            [notifications],
            resources={
                "notifier": NotifierResource(
                    database=database, clock=clock, webhook_seconds=seconds, apprise_seconds=300.0
                )
            },
        )
    [event] = result.get_asset_materialization_events()
    [check] = result.get_asset_check_evaluations()
    return {name: entry.value for name, entry in event.materialization.metadata.items()}, check


def states(site: Site) -> list[tuple[str, str, str]]:
    return site.fetch(
        "SELECT r.route_name, n.event, n.state FROM retail.notifications AS n JOIN retail.alert_routes AS r ON r.id = n.route_id"
        " ORDER BY 1, n.event_at, 2"
    )  # type: ignore[return-value]


def test_a_run_of_the_job_tells_each_route_what_it_asks_for_and_nothing_twice(site: Site, receiver: Receiver) -> None:
    add(site, "all", "TO_OK", "--quiet", "22:00-07:00")
    # It is half past two in Lisbon.
    add(site, "night", "TO_NIGHT", "--quiet", "13:00-16:00", "--rule", "overcrowding", "--store", "Lisbon")

    def run(now: datetime) -> None:
        with site.entered():
            job = build_defs(clock=Standing(at=now.isoformat())).resolve_job_def("alerts")
            assert job.execute_in_process().success

    stored_hour(site, 0.95, NOW - 30 * MINUTE, NOW)
    asked(site, "door", "ok", NOW)
    asked(site, "back", "ok", NOW)
    run(NOW)
    run(NOW)
    assert receiver.events("ok") == ["alert.raised"]
    assert receiver.events("night") == []
    [alert] = json.loads(site.run("alerts", "--json").out)
    escalated = site.run("alerts", "escalate", alert["id"], "--to", "Rui", "--by", "Ana")
    assert escalated.code == 0
    # A person acts by the real clock, which is far from the simulated one.
    site.execute(
        "UPDATE retail.alerts_generated SET actions_taken = jsonb_set(actions_taken, '{0,timestamp}',"
        f" to_jsonb('{(NOW + 4 * MINUTE).isoformat()}'::text))"
    )
    stored_hour(site, 1.05, NOW - 30 * MINUTE, NOW + 5 * MINUTE)
    run(NOW + 5 * MINUTE)
    # The newest of two events is told.
    assert receiver.events("ok") == ["alert.raised", "alert.severity_raised"]
    assert receiver.events("night") == ["alert.severity_raised"]
    stored_hour(site, 0.5, NOW + 30 * MINUTE, NOW + 60 * MINUTE)
    asked(site, "door", "ok", NOW + 60 * MINUTE)
    asked(site, "back", "ok", NOW + 60 * MINUTE)
    run(NOW + 60 * MINUTE)
    run(NOW + 65 * MINUTE)
    assert receiver.events("ok") == ["alert.raised", "alert.severity_raised", "alert.resolved"]
    assert receiver.events("night") == ["alert.severity_raised", "alert.resolved"]
    assert len(set(receiver.identities("ok"))) == 3
    [body] = [body for path, _, body in receiver.got if path == "night" and body["type"] == "alert.resolved"]
    assert (body["data"]["store"], body["data"]["note"]) == ("Lisbon", "Within the limits again: 50 %.")


def test_what_quiet_hours_held_back_comes_as_one_message(site: Site, receiver: Receiver) -> None:
    add(site, "night", "TO_NIGHT", "--quiet", "13:00-16:00", "--cool-down", "30")
    raise_alert(site, "one", NOW)
    raise_alert(site, "two", NOW)
    metadata, check = tell(site, NOW)
    assert (metadata["sent"], metadata["held"], check.passed) == (0, 2, True)
    assert tell(site, NOW + 89 * MINUTE)[0]["sent"] == 0
    assert tell(site, NOW + 90 * MINUTE)[0]["sent"] == 1
    assert tell(site, NOW + 95 * MINUTE)[0]["sent"] == 0
    [(_, _, body)] = receiver.got
    assert (body["type"], len(body["data"]["messages"])) == ("alerts.summary", 2)
    assert [state for _, _, state in states(site)] == ["held", "held", "sent"]


def test_one_dead_route_delays_no_other_and_gets_its_message_when_it_lives(
    site: Site, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.paths = {"broken": 500, "moved": 302}
    bad = {
        "broken": ("TO_BROKEN", "it answered with status 500"),
        "hanging": ("TO_HANG", "it did not answer within 6 s"),
        "moved": ("TO_MOVED", "it answered with status 302, a redirect, and none is followed"),
        "moved-json": ("TO_MOVED_JSON", "it answered with status 302"),
        "metadata": ("TO_METADATA", "its address is not one that messages may go to"),
        "metadata-json": ("TO_METADATA_JSON", "its address is not one that messages may go to"),
        "unknown": ("TO_NOTHING", "its address is none that Apprise understands"),
        "unset": ("TO_UNSET", "The variable TO_UNSET is not set"),
    }
    for name, (target, _) in bad.items():
        add(site, name, target)
    add(site, "zz-good", "TO_OK")
    add(site, "zz-json", "TO_JSON")
    raise_alert(site, "one", NOW)
    began = time.monotonic()
    metadata, check = tell(site, NOW, seconds=6.0)
    # Against the minutes for which one of them hangs.
    assert time.monotonic() - began < 120
    assert metadata["sent"] == 2
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    for name, (_, words) in bad.items():
        assert f"{name}: {words}" in (check.description or "")
    assert receiver.events("ok") == ["alert.raised"]
    [of_apprise] = [body for path, _, body in receiver.got if path == "json"]
    assert (of_apprise["title"], of_apprise["type"]) == ("Warning: one", "warning")

    # Not before its wait is over, then once more, then never again.
    receiver.paths = {}
    assert tell(site, NOW + 3 * MINUTE)[0]["sent"] == 0
    site.execute("DELETE FROM retail.alert_routes WHERE route_name NOT IN ('broken', 'zz-good')")
    assert tell(site, NOW + 5 * MINUTE)[0]["sent"] == 1
    metadata, check = tell(site, NOW + 10 * MINUTE)
    assert (metadata["sent"], check.passed) == (0, True)
    first, second = receiver.identities("broken")
    assert first == second
    assert receiver.events("ok") == ["alert.raised"]

    # What is secret stands in no table and in no log.
    said = "".join(capfd.readouterr())
    stored = str(site.fetch("SELECT * FROM retail.notifications")) + str(
        site.fetch("SELECT * FROM retail.alert_routes")
    )
    assert "Route unset: The variable TO_UNSET is not set" in said
    for secret in (TOKEN, SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in said + stored + site.run("alerts", "routes", "log").out + str(metadata)


def test_a_sender_killed_between_sending_and_noting_sends_again_with_the_same_identity(
    site: Site, receiver: Receiver
) -> None:
    add(site, "kill", "TO_KILL")
    raise_alert(site, "one", NOW)
    program = (
        "import sys\n"
        "import dagster as dg\n"
        "from retail_sensors_tests.integration.test_alerts import Standing\n"
        "from retail_sensors.resources.database import DatabaseResource\n"
        "from retail_sensors.resources.notifier import NotifierResource\n"
        f"clock = Standing(at='{NOW.isoformat()}')\n"
        "sys.stdin.read()\n"
        "NotifierResource(database=DatabaseResource(), clock=clock).tell_alerts()\n"
    )
    sender = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=site.variables, stdin=subprocess.PIPE)
    receiver.victim = sender
    sender.communicate(timeout=240)
    assert sender.returncode == -signal.SIGKILL
    assert states(site) == [("kill", "raised", "pending")]
    assert tell(site, NOW + 1 * MINUTE)[0]["sent"] == 0
    assert tell(site, NOW + 5 * MINUTE)[0]["sent"] == 1
    assert tell(site, NOW + 30 * MINUTE)[0]["sent"] == 0
    first, second = receiver.identities("kill")
    assert first == second


def test_two_senders_at_once_send_each_message_once(site: Site, receiver: Receiver) -> None:
    add(site, "ok", "TO_OK")
    for number in range(8):
        raise_alert(site, f"alert {number}", NOW + number * timedelta(seconds=1))
    with site.entered():
        notifiers = [
            NotifierResource(database=DatabaseResource(), clock=Standing(at=(NOW + MINUTE).isoformat()))
            for _ in range(2)
        ]
        threads = [threading.Thread(target=notifier.tell_alerts) for notifier in notifiers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
    assert len(receiver.got) == len(set(receiver.identities("ok"))) == 8
    assert {state for _, _, state in states(site)} == {"sent"}


def test_the_end_of_a_removed_cameras_alert_is_told_after_it_is_gone(site: Site, receiver: Receiver) -> None:
    add(site, "all", "TO_OK")
    raise_alert(site, "one", NOW)
    site.execute(
        "UPDATE retail.alerts_generated AS a SET scope = 'sensor', sensor_id = s.id FROM retail.sensor_metadata AS s"
        " WHERE s.sensor_name = 'door'"
    )
    tell(site, NOW)
    assert receiver.events("ok") == ["alert.raised"]
    said = site.run("cameras", "remove", "door")
    assert (said.code, "--with-data" in said.sentence) == (2, True)
    assert site.run("cameras", "remove", "door", "--with-data").out == "Removed: door\n"
    assert site.fetch("SELECT count(*) FROM retail.alerts_generated") == [(0,)]
    assert states(site) == [("all", "summary", "pending")]
    # A person acts by the real clock, which is far from the simulated one.
    site.execute(f"UPDATE retail.notifications SET event_at = '{NOW}', next_try_at = '{NOW}'")
    assert tell(site, NOW + MINUTE)[0]["sent"] == 1
    assert tell(site, NOW + 2 * MINUTE)[0]["sent"] == 0
    [(_, _, _), (_, _, body)] = receiver.got
    [part] = body["data"]["messages"]
    assert (body["type"], part["type"], part["data"]["note"]) == (
        "alerts.summary",
        "alert.resolved",
        "The camera was removed.",
    )
    assert part["data"]["camera"] == "door"


def test_a_failed_run_is_told_to_who_asks(site: Site, receiver: Receiver) -> None:
    add(site, "engineers", "TO_OK", "--event", "run_failed", "--cool-down", "60")
    add(site, "shop", "TO_NIGHT")

    @dg.op
    def breaks() -> None:
        raise RuntimeError("the disk is full")

    @dg.job
    def breaking() -> None:
        breaks()

    with dg.DagsterInstance.ephemeral() as instance, site.entered():
        for minutes in (0, 10, 70):
            result = breaking.execute_in_process(instance=instance, raise_on_error=False)
            now = NOW + minutes * MINUTE
            notifier = NotifierResource(database=DatabaseResource(), clock=Standing(at=now.isoformat()))
            for _ in range(2):
                context = dg.build_run_status_sensor_context(
                    sensor_name="run_failure",
                    dagster_instance=instance,
                    dagster_run=result.dagster_run,
                    dagster_event=result.get_run_failure_event(),
                    resources={"notifier": notifier},
                ).for_run_failure()
                with context:
                    run_failure(context)
    assert receiver.events("ok") == ["run.failed"] * 2
    assert receiver.events("night") == []
    assert [state for _, _, state in states(site)] == ["sent", "dropped", "sent"]
    assert receiver.got[0][2]["data"]["why"].endswith("of breaking failed: RuntimeError: the disk is full")


def test_a_stored_route_that_shuts_out_what_it_asks_for_says_so(site: Site, receiver: Receiver) -> None:
    add(site, "shop", "TO_OK", "--store", "Lisbon")
    assert [route["problem"] for route in json.loads(site.run("alerts", "routes", "--json").out)] == [None]
    # As it could be made before such routes were refused.
    site.execute("UPDATE retail.alert_routes SET events = events || '[\"run_failed\"]'")
    [route] = json.loads(site.run("alerts", "routes", "--json").out)
    assert route["problem"].endswith("and it is bound by --store; make a route of its own for run_failed.")
    shown = site.run("alerts", "routes").out
    assert all(word in shown for word in ("Trouble", "--store;", "run_failed."))
    raise_alert(site, "one", NOW)
    metadata, check = tell(site, NOW)
    assert (metadata["sent"], check.passed, check.description) == (1, False, f"shop: {route['problem']}")
    assert receiver.events("ok") == ["alert.raised"]
    # Beside what is wrong with it, what went wrong.
    receiver.paths = {"ok": 500}
    raise_alert(site, "two", NOW + MINUTE)
    _, check = tell(site, NOW + MINUTE)
    assert check.description == f"shop: it answered with status 500; {route['problem']}"


def test_routes_at_the_command_line(site: Site, receiver: Receiver) -> None:
    assert site.run("alerts", "routes").out.startswith("There is no route")
    assert site.run("alerts", "routes", "log").out == "There has been no message.\n"
    add(site, "ops", "TO_OK", "--severity", "critical", "--store", "Lisbon", "--rule", "camera_offline", "--camera", "door",
        "--quiet", "22:00-07:00", "--cool-down", "30", "--escalations-only")  # fmt: skip
    shown = site.run("alerts", "routes").out
    for words in ("ops", "env:TO_OK", "Lisbon, critical, camera_offline, door", "escalated", "22:00-07:00", "30 min"):
        assert words in shown
    said = site.run("alerts", "routes", "test", "ops")
    assert (said.code, said.out) == (0, "Route ops took the message: it answered with status 204.\n")
    [listed] = json.loads(site.run("alerts", "routes", "log", "ops", "--json").out)
    assert (listed["event"], listed["state"], listed["attempts"]) == ("test", "sent", 1)
    receiver.paths = {"ok": 503}
    failed = site.run("alerts", "routes", "test", "ops")
    assert (failed.code, failed.sentence) == (1, "Route ops did not take the message: it answered with status 503")
    assert "it answered with status 503" in site.run("alerts", "routes", "log").out
    assert site.run("alerts", "routes", "switch", "ops", "--off").out == "Route ops is switched off.\n"
    [route] = json.loads(site.run("alerts", "routes", "--json").out)
    assert (route["is_enabled"], route["quiet_from"], route["cameras"]) == (False, "22:00:00", ["door"])

    for arguments, words in (
        (("add", "ops", "--target", "env:TO_OK"), "There is a route 'ops' already"),
        (("add", "new", "--target", f"webhook+https://example.com/{TOKEN}"), "--target is not a reference"),
        (("add", "new", "--target", "env:TO_OK", "--secret", SECRET), "--secret is not a reference"),
        (("add", "a b", "--target", "env:TO_OK"), "'a b' is no name for a route"),
        (("add", "new", "--target", "env:TO_OK", "--rule", "crowding"), "There is no alert rule 'crowding'; there are"),
        (("add", "new", "--target", "env:TO_OK", "--store", "Faro"), "There is no store 'Faro'"),
        (("add", "new", "--target", "env:TO_OK", "--camera", "dor"), "No camera is registered as 'dor'"),
        (("add", "new", "--target", "env:TO_OK", "--quiet", "22-7"), "--quiet 22-7 is no span of a day"),
        (("add", "new", "--target", "env:TO_OK", "--hold-critical"), "--hold-critical is about quiet hours"),
        (("add", "new", "--target", "env:TO_OK", "--event", "resolved"), "--event resolved alone tells nothing"),
        (
            (
                "add",
                "new",
                "--target",
                "env:TO_OK",
                "--event",
                "run_failed",
                "--store",
                "Lisbon",
                "--severity",
                "critical",
            ),
            "and it is bound by --severity, --store; make a route of its own for run_failed",
        ),
        (("test", "new"), "There is no route 'new'; there are ops."),
    ):
        said = site.run("alerts", "routes", *arguments)
        assert (said.code, words in said.sentence) == (2, True), said
        assert TOKEN not in said.err + said.out
        assert SECRET not in said.err + said.out
    assert site.run("alerts", "routes", "remove", "ops").code == 0
    assert site.fetch("SELECT count(*) FROM retail.notifications") == [(0,)]


def test_a_webhook_without_a_usable_secret_is_not_sent(receiver: Receiver) -> None:
    message = Message(id="1", title="t", body="b", payload="{}", event="test", severity="warning")
    environ = {"TO": f"webhook+http://{receiver.address}/ok", "PLAIN": "plain", "SHORT": "whsec_YWJj", "GOOD": SECRET}
    messenger = Messenger(Secrets(environ), AllowedNetworks(("127.0.0.0/8",)), lambda: NOW)
    for secret, words in (
        (None, "A webhook needs a secret to sign with"),
        ("env:PLAIN", "is not of the form whsec_"),
        ("env:SHORT", "less than 16 bytes"),
        ("env:UNSET", "The variable UNSET is not set"),
    ):
        delivery = messenger.send(message, "env:TO", secret)
        assert (delivery.is_taken, words in delivery.said) == (False, True), delivery
    assert receiver.got == []
    assert messenger.send(message, "env:TO", "env:GOOD").is_taken
    assert messenger.send(message, "env:TO", "env:GOOD").is_taken
    assert receiver.identities("ok") == ["1", "1"]
    elsewhere = Messenger(Secrets(environ), AllowedNetworks(("192.168.0.0/16",), with_public=True), lambda: NOW)
    assert "its address is not one that messages may go to" in elsewhere.send(message, "env:TO", "env:GOOD").said
    assert len(receiver.got) == 2
