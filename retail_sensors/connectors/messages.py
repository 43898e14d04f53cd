"""Sending one message to one target: a webhook signed as Standard Webhooks says, or whatever Apprise knows.

A target is an address behind a secret reference: `webhook+https://...` and `webhook+http://...` are sent here, every other one by
Apprise in a process of its own (`message_process`). Nothing is ever raised for what the other side or the network does, no
redirect is followed, and what is said of a failure (`message_reasons`) holds neither the address nor a secret. Which messages are
due belongs in `analytics.notifications`, when one is tried again in `storage.notifications`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from yarl import URL

from retail_sensors.connectors.message_reasons import UNREACHED, UNRESOLVED, UNTRUSTED, causes
from retail_sensors.connectors.networks import AddressBlockedError, AllowedNetworks, GuardedResolver
from retail_sensors.errors import ConfigurationError
from retail_sensors.secrets import Secrets

WEBHOOK = "webhook+"
BLOCKED = (
    "its address is not one that messages may go to: neither a public one nor in RETAIL_SENSORS_NOTIFY_NETWORKS, or a cloud's "
    "metadata service"
)

_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. `id` stays the same however often it is sent; `payload` is the JSON text that a webhook gets."""

    id: str
    title: str
    body: str
    payload: str
    event: str
    severity: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """Whether the other side took it, and what it said, as the end of a sentence.

    `is_whole`: no recipient was left out. One with several recipients is taken when one of them was reached: to try again would
    send it to that one again.
    """

    is_taken: bool
    said: str
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a target may take for one message. An Apprise target includes the start of a process."""

    webhook_seconds: float = 10.0
    apprise_seconds: float = 20.0


class Messenger:
    """Sends messages to the targets behind references; may be used by several threads at once."""

    def __init__(
        self,
        secrets: Secrets,
        networks: AllowedNetworks,
        clock: Callable[[], datetime],
        limits: Limits | None = None,
    ) -> None:
        self._secrets = secrets
        self._networks = networks
        self._clock = clock
        self._limits = limits or Limits()

    def send(self, message: Message, target: str, secret: str | None) -> Delivery:
        """Sends a message to the target behind a reference; `secret` is the reference of a webhook's signing secret."""
        try:
            address = self._secrets.resolve(target).strip()
            if not address.startswith(WEBHOOK):
                return self._by_apprise(message, address)
            key = _key(None if secret is None else self._secrets.resolve(secret).strip())
        except ConfigurationError as error:
            return Delivery(False, str(error))
        return asyncio.run(self._by_webhook(message, address.removeprefix(WEBHOOK), key))

    async def _by_webhook(self, message: Message, address: str, key: bytes) -> Delivery:
        try:
            url = URL(address)
        except ValueError:
            return Delivery(False, "its address is not a URL")
        if url.scheme not in ("http", "https") or not url.host:
            return Delivery(False, f"its address is not of the form {WEBHOOK}https://HOST/PATH")
        if self._networks.refuses_host(url.host) is not None:
            return Delivery(False, BLOCKED)
        body = message.payload.encode()
        timestamp = int(self._clock().timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "retail_sensors",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(message.id, timestamp, body, key),
        }
        connector = aiohttp.TCPConnector(resolver=GuardedResolver(self._networks), force_close=True)
        try:
            async with (
                asyncio.timeout(self._limits.webhook_seconds),
                aiohttp.ClientSession(
                    connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
                ) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                status = response.status
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Delivery(False, self._why(error))
        if 300 <= status <= 399:
            return Delivery(False, f"it answered with status {status}, a redirect, and none is followed")
        return Delivery(200 <= status <= 299, f"it answered with status {status}")

    def _why(self, error: BaseException) -> str:
        chain = list(causes(error))

        def is_any(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in chain)

        if is_any(AddressBlockedError):
            return BLOCKED
        if is_any(aiohttp.ClientConnectorDNSError):
            return UNRESOLVED
        if is_any(aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError):
            return UNTRUSTED
        if isinstance(error, TimeoutError):
            return f"it did not answer within {self._limits.webhook_seconds:g} s"
        if is_any(aiohttp.ClientConnectorError):
            return UNREACHED
        return "it broke off the connection, or does not speak HTTP"

    def _by_apprise(self, message: Message, address: str) -> Delivery:
        asked = json.dumps(
            {
                "address": address,
                "title": message.title,
                "body": message.body,
                "kind": {"resolved": "success", "test": "info"}.get(
                    message.event, "failure" if message.severity == "critical" else "warning"
                ),
                "networks": self._networks.texts,
            }
        )
        seconds = self._limits.apprise_seconds
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "retail_sensors.connectors.message_process"],
                # By standard input: a command line can be seen by every user of the machine.
                input=asked.encode(),
                stdout=subprocess.PIPE,
                # What Apprise and its libraries say there may hold the address.
                stderr=subprocess.DEVNULL,
                # A proxy would hide from the guard where a message goes, and secrets of ours are none of its business.
                env={},
                timeout=seconds,
                check=False,
            )
            answer = json.loads(ended.stdout)
            said = BLOCKED if answer["is_blocked"] else str(answer["said"])
            return Delivery(bool(answer["is_taken"]), said, bool(answer["is_whole"]))
        except subprocess.TimeoutExpired:
            return Delivery(False, f"it did not answer within {seconds:g} s")
        except (ValueError, KeyError, TypeError):
            return Delivery(False, "Apprise failed without an answer; try the address with the command `apprise`")


def signature(message_id: str, timestamp: int, body: bytes, key: bytes) -> str:
    """The header `webhook-signature` of Standard Webhooks 1.0.0: HMAC-SHA256 over id, Unix seconds and body."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def _key(secret: str | None) -> bytes:
    """The key behind a secret as it is written; ConfigurationError, which does not repeat it, where it is none."""
    if secret is None:
        raise ConfigurationError(
            "A webhook needs a secret to sign with; make the route anew with --secret env:NAME, where that variable holds whsec_..."
        )
    try:
        if not secret.startswith(_PREFIX):
            raise ValueError
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        raise ConfigurationError(
            "The route's secret is not of the form whsec_ and base64; take it from the receiver."
        ) from None
    if len(key) < 16:
        raise ConfigurationError("The route's secret holds less than 16 bytes; make a longer one, 24 to 64 are usual.")
    return key
