"""A client of `bench sse`: one connection that costs little, so that many of them are not what is measured."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import datetime
from typing import Final, cast

import orjson

_ID: Final = b"id: "
_DATA: Final = b"data: "
_SMALL_BYTES: Final = 4096


class SseClient(asyncio.Protocol):
    """Follows one tenant's events, or everybody's; counts what came, and how long each took.

    A frame comes in one chunk, alone or with others, never in two: what is no line of a frame is passed over.
    """

    def __init__(self, address: tuple[str, int], tenant: str | None, ahead_s: float) -> None:
        """Prepare; `ahead_s` is the database's clock less this machine's."""
        self._address = address
        self._ahead_s = ahead_s
        self._path = "/v1/events?from_end=true" + (f"&tenant={tenant}" if tenant is not None else "")
        self._rest = b""
        self._pending = b""
        self.last_id = b""
        self.waits_s: list[float] = []
        self.seen: set[str] = set()
        self.repeated = 0
        self.losses = 0
        self.begun = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    async def connect(self, *, small: bool = False) -> None:
        """Connect, and ask to go on behind the last id; `small`: let the system keep little for it."""
        self.begun.clear()
        loop = asyncio.get_running_loop()
        raw = socket.socket()
        raw.setblocking(False)
        if small:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
        await loop.sock_connect(raw, self._address)
        await loop.create_connection(lambda: self, sock=raw)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.Transport", transport)  # another loop's is of no such class
        self._rest = self._pending = b""
        resume = b"Last-Event-ID: %s\r\n" % self.last_id if self.last_id else b""
        self.transport.write(b"GET %s HTTP/1.1\r\nHost: bench\r\n%s\r\n" % (self._path.encode(), resume))

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        now = time.time() + self._ahead_s
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(_ID):
                self._pending = line[len(_ID) :]
            elif line.startswith(_DATA) and self._pending:
                self._event(line[len(_DATA) :], now)
            elif not line and self._pending:
                # That of the beginning, which comes without data.
                self.last_id, self._pending = self._pending, b""
        if self.last_id:
            self.begun.set()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the protocol's own signature
        """Note that it was cut off."""
        self.losses += 1
        self.transport = None

    def _event(self, text: bytes, now: float) -> None:
        self.last_id, self._pending = self._pending, b""
        found = orjson.loads(text)
        self.repeated += found["id"] in self.seen
        self.seen.add(found["id"])
        self.waits_s.append(now - datetime.fromisoformat(found["time"]).timestamp())
