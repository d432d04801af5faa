"""The way to a service: requests over HTTP, answers as they come, and problems as the errors of `jobledger.errors`.

What the service refuses is raised as the class that the core would have raised here, with its sentence, way out and
facts. A request is sent again only where that cannot do a thing twice.
"""

from __future__ import annotations

import asyncio
import copy
import io
import random
import re
import time
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import quote, urlsplit
from uuid import UUID

import aiohttp
import orjson
import pydantic_core
from yarl import URL

from jobledger import __version__
from jobledger.errors import Busy, InvalidArgument, JobledgerError, RateLimited, TooLarge, Unavailable, Unreachable
from jobledger.observations import ConnectionLost, emit
from jobledger.remote.problem import error_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

TIMEOUT_S: Final = 30.0
"""Seconds for one request, from its first byte to the answer's last; a long poll adds what it waits."""
CONNECT_S: Final = 10.0
PATIENCE_S: Final = 20.0
"""Seconds within which a request is sent again, the waiting between included."""
CONNECTIONS_MOST: Final = 100
"""Requests under way; the others wait for their turn."""
WAITING_MOST: Final = 1_000
"""Beside them those that wait on purpose, for a job's result."""
ANSWER_MOST: Final = 256 * 1024 * 1024
"""Bytes of an answer that is not a stream, decompressed."""
_PIECE: Final = 512 * 1024
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0
_SAFE: Final = frozenset({"GET", "PUT"})
_KEY: Final = re.compile(r"[\x21-\x7e]{1,8192}\Z")
_AHEAD: Final = 64 * 1024
"""Bytes of a stream that are read ahead of whoever reads it, twice that at most."""
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{1,9})?\Z", re.ASCII)
_TRIED_AGAIN: Final = (Busy, RateLimited)


class Reply(NamedTuple):
    """What the service answered: the status (2xx) and the body."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the document. Raises `Unavailable` where it is none: something else answered."""
        try:
            return orjson.loads(self.body) if self.body else None
        except orjson.JSONDecodeError:
            raise Unavailable("What answered there is not a service of jobledger: its answer is no JSON.") from None

    def exact(self) -> Any:
        """Return the same with whole numbers of any length, which the faster parser does not keep."""
        try:
            return pydantic_core.from_json(self.body)
        except ValueError:
            return self.json()


class ServiceConnection:
    """Requests to one service, over kept connections: `async with ServiceConnection(url, key) as service`.

    `url` is http://host:port, https://host (both with a path in front where a proxy adds one) or unix:/path/of/socket.
    Proxies of the environment are not used, redirects not followed, cookies not kept. Of one event loop.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        connections: int = CONNECTIONS_MOST,
    ) -> None:
        """Keep where the service is, and the key; nothing is sent yet.

        Raises:
            InvalidArgument: the address, the key or a number is none.
        """
        self._base, self._socket = _address(url)
        if key is not None and (not isinstance(key, str) or not _KEY.match(key)):
            raise InvalidArgument("A key is a text of visible ASCII characters without spaces.")
        if not (timeout_s > 0 and patience_s >= 0 and connections > 0):
            raise InvalidArgument("A connection to a service has times and a number of connections above 0.")
        self._headers = {"User-Agent": f"jobledger/{__version__}", "Accept": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._places = asyncio.Semaphore(connections)
        self._waiting = asyncio.Semaphore(WAITING_MOST)
        self._session: aiohttp.ClientSession | None = None

    def another(self) -> ServiceConnection:
        """Return another one to the same service with the same key, of one connection at a time; not opened yet.

        Requests one after the other go to the same process, also where several listen at one address.

        Raises:
            Unreachable: this one is not open.
        """
        self._opened()
        made = copy.copy(self)
        made._session = None  # noqa: SLF001 - its own kind
        made._places, made._waiting = asyncio.Semaphore(1), asyncio.Semaphore(1)  # noqa: SLF001
        return made

    async def __aenter__(self) -> Self:
        """Be ready to send; the first request connects."""
        if self._session is None:
            # Requests take a place of ours before they take a connection: who waits for one is not out of time yet.
            how: dict[str, Any] = {"limit": 0}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self._socket, **how) if self._socket else aiohttp.TCPConnector(**how),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                read_bufsize=_AHEAD,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what is open."""
        await self.close()

    async def close(self) -> None:
        """Close every connection; requests that are under way fail."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
        wait_s: float = 0.0,
        patience_s: float | None = None,
    ) -> Reply:
        """Send a request and return its answer.

        `path` is already quoted (`path_of`); what is None in the query is left out; a body is bytes of JSON, or what
        has a JSON form. `again`: it does nothing twice (it carries an idempotency key or a request's id), so it may be
        sent again like GET and PUT, while `patience_s` lasts. Any request is sent again that surely did not
        arrive. `wait_s`: the service may take so long on purpose.

        Raises:
            JobledgerError: the service refused; of the class that its problem names.
            Unreachable: it cannot be reached, or was lost; `detail["sent"]` says whether the request may have arrived.
        """
        self._opened()
        content = body if body is None or isinstance(body, bytes) else _json(body)
        repeatable = again or method in _SAFE
        until = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        tries = 0
        while True:
            try:
                return await self._once(method, path, query, content, headers, wait_s)
            except Unavailable as error:
                wait = _wait_before_next(error, tries, repeatable)
                if wait is None or time.monotonic() + wait >= until:
                    raise
                if isinstance(error, Unreachable):
                    emit(ConnectionLost(where="service", error=type(error).__name__))
            tries += 1
            await asyncio.sleep(wait)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float = 60.0,
    ) -> AsyncGenerator[AsyncGenerator[bytes]]:
        """Open a stream for a block and give its lines as they come. It is not opened again by itself.

        Raises, also from reading:
            JobledgerError: the service refused.
            Unreachable: it cannot be reached, was lost, or has sent nothing for `silence_s`.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        self._opened()
        with _told():
            response = await self._request("GET", path, query, None, headers, timeout)
        try:
            if response.status != 200:
                with _told():
                    raise await _refusal(response)
            async with aclosing(_lines(response)) as lines:
                yield lines
        finally:
            # Not released: what is still to come of a stream that was left is nobody's answer.
            response.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise Unreachable(
                "The client is not connected.",
                hint="Use `async with Client(url=…, key=…) as client:`.",
                detail={"sent": False, "lasting": True},
            )
        return self._session

    async def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        content: bytes | None,
        headers: Mapping[str, str] | None,
        wait_s: float,
    ) -> Reply:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s + wait_s, sock_connect=CONNECT_S) if wait_s else None
        place = self._waiting if wait_s else self._places
        with _told():
            async with place, self._request(method, path, query, content, headers, timeout) as response:
                if not 200 <= response.status < 300:
                    raise await _refusal(response)
                return Reply(response.status, await _whole(response))

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        content: bytes | None,
        headers: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout | None,
    ) -> Any:
        url = URL(self._base + path, encoded=True)
        given = dict(headers or {})
        if content is not None:
            given["Content-Type"] = "application/json"
        if query:
            url = url.with_query(_pairs(query))
        more: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        # A large body goes out piece by piece, so that it does not hold up the loop.
        data = io.BytesIO(content) if content is not None and len(content) > _PIECE else content
        return self._opened().request(
            method, url, data=data, headers=given, allow_redirects=False, skip_auto_headers=("Content-Type",), **more
        )


def path_of(*parts: object) -> str:
    """Return the path below `/v1`, each part quoted: names may hold what a path gives a meaning to.

    Raises:
        InvalidArgument: a part is neither a name nor an id.
    """
    if not all(isinstance(part, UUID) or (part and is_text(part)) for part in parts):
        raise InvalidArgument("A name is a text, an id a UUID.")
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)


def is_text(value: object) -> bool:
    """Say whether it is a text that can be sent."""
    return isinstance(value, str) and not any("\ud800" <= one <= "\udfff" for one in value)


class _told:  # noqa: N801 - used like a function
    """Around the transport: its errors as `Unreachable`, which says whether the request may have arrived."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Turn what aiohttp raises."""
        if isinstance(error, JobledgerError) or error is None:
            return
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
            raise Unreachable(
                "The service's certificate cannot be trusted.",
                hint="Put its authority's certificate into the file that SSL_CERT_FILE names.",
                detail={"sent": False, "lasting": True},
            ) from None
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            raise Unreachable(
                "The service cannot be reached.",
                hint="Is it running, and is that its address?",
                detail={"sent": False},
            ) from None
        if isinstance(error, TimeoutError):
            raise Unreachable("The service has not answered in time.", detail={"sent": True}) from None
        if isinstance(error, aiohttp.ClientError | OSError | ValueError):
            raise Unreachable(
                "The connection to the service was lost before its answer had come.", detail={"sent": True}
            ) from None


async def _refusal(response: aiohttp.ClientResponse) -> JobledgerError:
    if 300 <= response.status < 400:
        return Unreachable(
            "The service's address answers with a redirect, which is not followed.",
            hint="Give the address that it leads to.",
            detail={"sent": False, "lasting": True},
        )
    error = error_of(response.status, await _whole(response))
    after = _retry_after(response.headers.get("Retry-After"))
    if after is not None and isinstance(error, Unavailable):
        error.detail.setdefault("retry_after_s", after)
    return error


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Give the lines of a stream without their ends; what the stream was cut off in the middle of is no line."""
    rest = b""
    while True:
        with _told():
            part = await response.content.readany()
        if not part:
            return
        *whole, rest = (rest + part).split(b"\n") if b"\n" in part else (rest + part,)
        if len(rest) > ANSWER_MOST:
            raise TooLarge(f"A line of the service's stream has more than {ANSWER_MOST} bytes.")
        for line in whole:
            yield line.removesuffix(b"\r")


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for part in response.content.iter_any():
        found += part
        if len(found) > ANSWER_MOST:
            raise TooLarge(f"The service's answer has more than {ANSWER_MOST} bytes.", detail={"limit": ANSWER_MOST})
    return bytes(found)


def _wait_before_next(error: Unavailable, tries: int, repeatable: bool) -> float | None:
    """Return how long to wait before the request is sent again; None: not again."""
    if error.detail.get("lasting"):
        return None
    if isinstance(error, Unreachable):
        if error.detail.get("sent", True) and not repeatable:
            return None
    elif not isinstance(error, _TRIED_AGAIN) and (type(error) is not Unavailable or not repeatable):
        # What was turned away at the door did nothing. Others say what lasts (not open, another epoch): for the caller.
        return None
    backoff = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**tries)
    return max(random.uniform(backoff / 2, backoff), float(error.detail.get("retry_after_s", 0)))  # noqa: S311 - no secret


def _retry_after(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        if _SECONDS.match(header):
            return float(header)
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _address(url: object) -> tuple[str, str | None]:
    """Return the base that paths are put behind, and the path of the unix socket where it is one."""
    try:
        if not isinstance(url, str):
            raise ValueError
        parts = urlsplit(url)
        if parts.query or parts.fragment or "@" in parts.netloc or any(one.isspace() for one in url):
            raise ValueError
        if parts.scheme == "unix":
            if parts.netloc or not parts.path.startswith("/"):
                raise ValueError
            return "http://localhost", parts.path
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
        return str(URL(url.rstrip("/"))).rstrip("/"), None
    except ValueError:
        raise InvalidArgument(
            "A service's address is http://host:port, https://host or unix:/path/of/socket.",
            hint="The key is given by itself, never within the address.",
        ) from None


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in query.items():
        for one in value if isinstance(value, list | tuple | set | frozenset) else (value,):
            if one is None:
                continue
            word = one.isoformat() if isinstance(one, datetime) else str(one).lower() if isinstance(one, bool) else one
            if not is_text(str(word)):
                raise InvalidArgument(f"{name} is no text that can be sent.")
            found.append((name, str(word)))
    return found


def _json(body: object) -> bytes:
    try:
        return orjson.dumps(body)
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument("What is sent to the service has no JSON form.") from None
