"""The way to the client of a stream: little is kept for who takes in nothing, and not for long."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from jobledger.observations import StreamDropped, emit

if TYPE_CHECKING:
    from jobledger.http.route import Call

PIECE_BYTES: Final = 32 * 1024
SOCKET_BYTES: Final = 128 * 1024
_DEAD_MS: Final = 60_000
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}


class Outlet:
    """The way to one client: what it does not take in waits here, at most some 200 KB, and not for ever."""

    def __init__(self, call: Call[Any, Any], media: str, patience_s: float) -> None:
        """Prepare."""
        self._request = call.request
        self._route = call.request.path
        self._patience_s = patience_s
        self.response = web.StreamResponse(headers={**_HEADERS, "Content-Type": media})
        self.sent_at = time.monotonic()

    async def open(self) -> None:
        """Send the head, and bound what the system keeps for this client."""
        await self.response.prepare(self._request)
        transport = self._request.transport
        if transport is None:
            return
        transport.set_write_buffer_limits(high=PIECE_BYTES)
        raw = transport.get_extra_info("socket")
        with suppress(OSError, AttributeError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            # Who is gone without a word is found out by the next sign of life that is not acknowledged.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_MS)

    async def send(self, data: bytes) -> None:
        """Send it, as soon as enough of what came before was taken in. Raises `TooSlow`."""
        self.sent_at = time.monotonic()
        try:
            if len(data) <= PIECE_BYTES // 2 and self._took_in_all():
                await self.response.write(data)
                return
            async with asyncio.timeout(self._patience_s):
                await self.response.write(data)
        except TimeoutError:
            emit(StreamDropped(self._patience_s))
            self.cut()
            raise TooSlow from None

    def _took_in_all(self) -> bool:
        """Say whether nothing waits for this client: writing little is not held up then, and needs no clock."""
        transport = self._request.transport
        return transport is None or transport.get_write_buffer_size() == 0

    def cut(self) -> None:
        """Cut the client off at once: it sees that the stream is not whole."""
        if self._request.transport is not None:
            self._request.transport.abort()


class TooSlow(Exception):  # noqa: N818 - no error: the client goes on by its cursor
    """The client took in nothing for too long, and was cut off."""
