"""Which addresses the collector may connect to, and which the messages about alerts.

A camera's address comes from a file or a form, so that it could name any machine that this host can reach: the guard
keeps requests inside the networks that the settings allow; messages may also go to public addresses. It judges the
address that is connected to, never a name: names are resolved once, the forbidden answers are dropped, and the
connection uses what is left, so that a name which resolves differently a moment later gains nothing. HTTP itself belongs in `http`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from retail_sensors.errors import ConfigurationError

DEFAULT_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128")
"""Private and loopback ranges. Link-local ones (169.254.0.0/16, fe80::/10) are left out: clouds serve secrets there."""

METADATA_ADDRESSES = frozenset(
    ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
)
"""Where clouds hand out a machine's credentials; never connected to, whatever networks are allowed."""

_EMBEDDING = ip_network("64:ff9b::/96")
"""Addresses that a translator turns into the IPv4 address in their last 32 bits."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# The last label is no number: 127.1 and 0x7f000001 are old spellings of an address, which this guard cannot read.
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?!(?:\d+|0[xX][0-9A-Fa-f]*)\.?\Z){_LABEL}\.?", re.ASCII)


class AddressBlockedError(OSError):
    """An address outside the allowed networks; an OSError because that is what a resolver may raise."""


class AllowedNetworks:
    """A set of networks, and with `with_public` the public internet; `allows` says whether an address lies in one of them.

    Raises ConfigurationError for a text that is no network in CIDR form.
    """

    def __init__(self, networks: Iterable[str] = DEFAULT_NETWORKS, *, with_public: bool = False) -> None:
        self._with_public = with_public
        parsed: list[IPv4Network | IPv6Network] = []
        for text in networks:
            try:
                parsed.append(ip_network(text))
            except ValueError as error:
                raise ConfigurationError(
                    f"allowed networks: {text!r} is not a network ({error}); write it like 192.168.0.0/16"
                ) from error
        self._networks = tuple(parsed)
        self._verdicts: dict[str, bool] = {}

    def __str__(self) -> str:
        return ", ".join([*self.texts, *(["public addresses"] if self._with_public else [])])

    @property
    def texts(self) -> list[str]:
        """The networks in CIDR form."""
        return [str(network) for network in self._networks]

    def allows(self, address: str) -> bool:
        """Whether a numeric address may be connected to; False for anything that is not one."""
        verdict = self._verdicts.get(address)
        if verdict is None:
            verdict = self._judge(address)
            if len(self._verdicts) < 100_000:
                self._verdicts[address] = verdict
        return verdict

    def refuses_host(self, host: str) -> str | None:
        """Why a camera's host cannot be asked, or None; a name passes here and is judged when it is resolved."""
        try:
            ip_address(host)
        except ValueError:
            # Not only tidiness: a host such as "10.0.0.1@198.51.100.7" would move the request elsewhere.
            return None if _HOST_NAME.fullmatch(host) else f"{host!r} is neither an address nor a host name"
        return None if self.allows(host) else f"{host} is outside the allowed networks ({self})"

    def _judge(self, address: str) -> bool:
        try:
            parsed: IPv4Address | IPv6Address = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address):
            if parsed.ipv4_mapped is not None:
                parsed = parsed.ipv4_mapped
            elif parsed.scope_id is not None:
                parsed = IPv6Address(int(parsed))
        if parsed in METADATA_ADDRESSES:
            return False
        if self._with_public:
            if isinstance(parsed, IPv6Address):
                within = IPv4Address(int(parsed) & 0xFFFF_FFFF) if parsed in _EMBEDDING else parsed.sixtofour
                if within is not None:
                    return self._judge(str(within))
            if parsed.is_link_local:
                return False
            if parsed.is_global and not parsed.is_multicast and not parsed.is_reserved:
                return True
        return any(parsed.version == network.version and parsed in network for network in self._networks)


class GuardedResolver(AbstractResolver):
    """Resolves names to addresses inside the allowed networks only.

    Raises AddressBlockedError when a name has no such address. aiohttp connects to exactly what this returns.
    """

    def __init__(self, networks: AllowedNetworks) -> None:
        self._networks = networks
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        allowed = [result for result in found if self._networks.allows(result["host"])]
        if found and not allowed:
            addresses = ", ".join(sorted({result["host"] for result in found}))
            raise AddressBlockedError(
                f"{host} resolves to {addresses}, outside the allowed networks ({self._networks})"
            )
        return allowed

    async def close(self) -> None:
        await self._resolver.close()
