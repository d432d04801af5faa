"""Where requests may be sent: public web servers, unless the service is told that private networks are meant.

What a URL says is looked at when it is given; what it leads to is looked at when a connection is made, by the address
that is connected to. A name that resolves to one thing when it is checked and to another later gains nothing by that.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from jobledger.errors import AddressRefused

if TYPE_CHECKING:
    from collections.abc import Callable

URL_MOST: Final = 2048
PORTS_FROM: Final = 1024
"""Below, only 443 (and 80 where private addresses are allowed): what listens there is no endpoint of an application."""
_LOOKUPS: Final = 8

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?", re.A)
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.A)

_V6_PUBLIC: Final = ipaddress.IPv6Network("2000::/3")
_V6_NOT: Final = tuple(
    ipaddress.IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "3fff::/20", "2620:4f:8000::/48")
)
_V4_NOT: Final = tuple(
    ipaddress.IPv4Network(one)
    for one in ("192.0.0.0/24", "192.88.99.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
"""Clouds' own servers, which tell secrets, under addresses that are not link-local."""


class GateError(OSError):
    """Raised while connecting, where an address may not be connected to; carries nothing of the address."""


def checked(url: str, *, private: bool = False) -> URL:
    """Return the URL of an endpoint, as far as can be said without asking for its address.

    `private`: plain HTTP and addresses of one's own network are allowed.

    Raises:
        AddressRefused: it is no such URL, or it leads where requests are not sent.
    """
    if not isinstance(url, str) or len(url) > URL_MOST or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise AddressRefused(f"An endpoint's address is a URL of at most {URL_MOST} ASCII characters.")
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError:
        raise AddressRefused("An endpoint's address is a URL.") from None
    if parsed.scheme not in (("https", "http") if private else ("https",)) or not host:
        raise AddressRefused("An endpoint's address begins with https://.")
    if "@" in re.split(r"[/?#]", url, maxsplit=3)[2] or "#" in url:
        raise AddressRefused("An endpoint's address has no user, password or fragment.")
    if port is None or (port < PORTS_FROM and port not in (443, 80 if private else 443)):
        raise AddressRefused(f"An endpoint's port is 443, or {PORTS_FROM} to 65535.")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        labels = host.rstrip(".").split(".")
        if not _NAME.fullmatch(host) or _NUMBER.fullmatch(labels[-1]) or (len(labels) == 1 and not private):
            raise AddressRefused("An endpoint's host is a full name.") from None
    else:
        if not allowed(str(literal), private=private):
            raise AddressRefused
    return parsed


def allowed(address: str, *, private: bool = False) -> bool:
    """Say whether an address (IPv4 or IPv6, as text) may be connected to.

    Never where it is unspecified, multicast, broadcast, link-local (where clouds tell secrets) or with a zone; nor,
    unless `private`, where it is not a public one. What holds an IPv4 address in it is judged by that.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:
            return False
        inner = _inner(parsed)
        if inner is not None:
            return allowed(str(inner), private=private)
    if parsed.is_unspecified or parsed.is_multicast or parsed.is_link_local or parsed in _METADATA:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        if private:
            return not parsed.is_reserved
        return parsed.is_global and not any(parsed in one for one in _V4_NOT)
    if private:
        return not parsed.is_site_local
    return parsed in _V6_PUBLIC and parsed.is_global and not any(parsed in one for one in _V6_NOT)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a packet to this one ends at: mapped, 6to4, NAT64."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def gate(*, private: bool = False) -> Callable[[Any], socket.socket]:
    """Return what makes the sockets of a connector: the last that looks at an address, whoever gave it."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, target = info
        if family not in (socket.AF_INET, socket.AF_INET6) or not allowed(str(target[0]), private=private):
            raise GateError
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return make


class GuardedResolver(AbstractResolver):
    """Looks names up, in threads of its own: a server of names that does not answer holds nothing else up.

    Where one of a name's addresses may not be connected to, none is.
    """

    def __init__(self, *, private: bool = False) -> None:
        """Prepare; threads come as they are needed."""
        self._private = private
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="jobledger-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            GateError: one of them may not be connected to.
            OSError: there is no such name.
        """
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look, host, port, family)
        addresses: list[ResolveResult] = []
        for one, _, protocol, _, target in found:
            address = str(target[0])
            if (one == socket.AF_INET6 and len(target) > 3 and target[3]) or not allowed(
                address, private=self._private
            ):
                raise GateError
            addresses.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=int(target[1]),
                    family=one,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return addresses

    async def close(self) -> None:
        """Let the threads end, without waiting for lookups that are under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look(host: str, port: int, family: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG)
