"""Sending: one request to somebody else's endpoint, with an end to its time and to the length of its answer.

Nothing of an answer gets into logs, events or errors but its status and one word for what went wrong: whoever may name
an endpoint could otherwise read with the service's eyes.
"""

from __future__ import annotations

import math
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import aiohttp

from jobledger import __version__
from jobledger.delivery.address import GateError, GuardedResolver, checked, gate
from jobledger.errors import AddressRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_S: Final = 10.0
TIMEOUT_S: Final = 30.0
ANSWER_BYTES: Final = 16 * 1024
RETRY_AFTER_MOST_S: Final = 86_400.0
HOST_CONNECTIONS: Final = 32
"""Connections to one host at a time: one endpoint that is slow does not take all that there may be."""

_LEAST_STATUS: Final = 100
_LEAST_S: Final = 0.001
KEEP_ALIVE_S: Final = 4.0
"""Shorter than servers keep theirs (Node 5 s): a connection that ends as a request goes out costs that one."""

_BEFORE: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, AddressRefused, GateError)
"""What goes wrong before anything of a request is sent."""


class Sent(NamedTuple):
    """What became of a request: its status (None: there was no answer) and, where it failed, one word for why.

    fault: `address` (refused), `name` (no such name), `connection`, `tls`, `timeout`, `answer` (too long, or no HTTP),
    `redirect` (not followed), `status` (4xx, 5xx). `body` has at most so many bytes as were asked for. `retry_after_s`
    as the endpoint says, at most a day. `reached`: the endpoint may have had the request, or some of it.
    """

    status: int | None
    fault: str | None
    body: bytes
    retry_after_s: float | None
    elapsed_s: float
    reached: bool = True

    @property
    def ok(self) -> bool:
        """Whether it was answered with 2xx."""
        return self.fault is None

    @property
    def told(self) -> str:
        """The outcome in a word or two, such as `status 503` or `timeout`."""
        return f"status {self.status}" if self.fault in (None, "status", "redirect") else str(self.fault)


class Sender:
    """One session for every endpoint: no cookies, no proxies, no redirects. Use it inside `async with`."""

    def __init__(
        self,
        *,
        private: bool = False,
        connections: int = 256,
        host_connections: int = HOST_CONNECTIONS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare. `private`: see `address.checked`. `tls`: whom to trust (default: as the machine does)."""
        self._private = private
        self._connections = connections
        self._host_connections = host_connections
        self._tls = tls
        self._resolver = GuardedResolver(private=private)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            limit_per_host=self._host_connections,
            keepalive_timeout=KEEP_ALIVE_S,
            use_dns_cache=False,
            resolver=self._resolver,
            socket_factory=gate(private=self._private),
            ssl=self._tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"User-Agent": f"jobledger/{__version__}", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it; requests under way end."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()
        await self._resolver.close()

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float = TIMEOUT_S,
        answer_bytes: int = ANSWER_BYTES,
    ) -> Sent:
        """Send one request and return what became of it; only a cancellation is raised.

        `timeout_s` is for all of it, from the name to the answer's last byte. An answer that is longer than
        `answer_bytes` is a fault where it would have been a success.
        """
        if self._session is None:
            raise RuntimeError("A Sender is used inside `async with`.")
        began = time.perf_counter()
        # To aiohttp 0 is no limit.
        timeout_s = max(timeout_s, _LEAST_S)
        status: int | None = None
        retry_after_s: float | None = None
        content = b""
        reached = True
        try:
            target = checked(url, private=self._private)
            limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S, timeout_s))
            async with self._session.post(
                target, data=body, headers=dict(headers), allow_redirects=False, timeout=limits
            ) as answer:
                status = answer.status
                retry_after_s = _retry_after_s(answer.headers.get("Retry-After"))
                content, complete = await _read(answer, answer_bytes)
                fault = _fault_of(status, complete=complete)
                if status < _LEAST_STATUS:
                    status, fault = None, "answer"
                if not complete:
                    answer.close()
        except (aiohttp.ClientError, AddressRefused, GateError, TimeoutError, OSError, ValueError) as error:
            fault = _word(error)
            reached = not isinstance(error, _BEFORE)
        return Sent(status, fault, content, retry_after_s, time.perf_counter() - began, reached)


async def _read(answer: aiohttp.ClientResponse, most: int) -> tuple[bytes, bool]:
    """Return the first bytes of an answer, and whether those are all."""
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            return b"".join(parts)[:most], False
    return b"".join(parts), True


def _fault_of(status: int, *, complete: bool) -> str | None:
    if 200 <= status < 300:
        return None if complete else "answer"
    return "redirect" if 300 <= status < 400 else "status"


def _word(error: BaseException) -> str:
    """Return one word for what went wrong; the error's own text may hold what the endpoint said."""
    if isinstance(error, AddressRefused | GateError) or isinstance(getattr(error, "os_error", None), GateError):
        return "address"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls"
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError | ValueError):
        return "answer"
    return "connection"


def _retry_after_s(said: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, a number or a date; None where it says nothing usable."""
    if said is None:
        return None
    if said.isascii() and said.strip().isdigit():
        return min(RETRY_AFTER_MOST_S, float(said.strip()[:12]))
    try:
        at = parsedate_to_datetime(said)
        wait_s = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(RETRY_AFTER_MOST_S, max(0.0, wait_s)) if math.isfinite(wait_s) else None
