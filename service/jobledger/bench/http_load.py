"""Requests over kept connections, each sent when the last was answered: a client that costs less than its server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from jobledger.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH: Final = b"content-length:"
_ANSWER_S: Final = 30.0


class _Line(asyncio.Protocol):
    """One connection: sends what `request` gives until `until`, one after the other."""

    def __init__(self, request: Callable[[], bytes], until: float, wanted: int) -> None:
        self._request = request
        self._until = until
        self._wanted = b" %d " % wanted
        self._read = b""
        self._began = 0.0
        self._transport: asyncio.Transport
        self.times: list[float] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, gap, body = self._read.partition(b"\r\n\r\n")
        if not gap:
            return
        lower = head.lower()
        at = lower.find(_LENGTH)
        if at < 0 or self._wanted not in head[:20]:
            self._fail(f"The service answered {head[9:12].decode(errors='replace')}.")
            return
        length = int(lower[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        self.times.append(now - self._began)
        self._read = b""
        if now < self._until:
            self._send()
        elif not self.over.done():
            self._transport.close()
            self.over.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        self._fail("The service closed a connection.")

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request())

    def _fail(self, sentence: str) -> None:
        if not self.over.done():
            self._transport.close()
            self.over.set_exception(Unavailable(sentence))


async def load(
    url: str, request: Callable[[], bytes], *, connections: int, seconds: float, wanted: int = 201
) -> tuple[float, list[float]]:
    """Send requests over so many connections for so long; return answers a second, and each one's milliseconds.

    Raises:
        Unavailable: an answer has another status than `wanted`, or a connection was closed.
    """
    where = urlsplit(url)
    address = (where.hostname or "127.0.0.1", where.port or 80)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    lines = [
        (await loop.create_connection(lambda: _Line(request, began + seconds, wanted), *address))[1]
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + _ANSWER_S):
        await asyncio.gather(*(line.over for line in lines))
    times = [one for line in lines for one in line.times]
    return len(times) / (time.perf_counter() - began), [one * 1000 for one in times]


def post(path: str, body: bytes, key: str | None) -> bytes:
    """Return a request, whole."""
    bearer = f"Authorization: Bearer {key}\r\n" if key is not None else ""
    head = f"POST {path} HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n{bearer}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
