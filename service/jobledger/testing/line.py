"""One connection through the proxy: follows the client's messages to know which statement an answer belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobledger.testing.proxy import Proxy, Trap

_READY = b"Z\x00\x00\x00\x05"
_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_CHUNK = 65_536


class Line:
    """One connection through the proxy. Lives in the proxy's loop, where all its methods are called."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Take both ends; nothing is carried before `run`."""
        self._proxy = proxy
        self._client = client
        self._server = server
        self._statements: dict[bytes, bytes] = {}
        self._buffer = b""
        self._begun = False
        self._trap: Trap | None = None
        self._held_up = b""
        self._held = b""
        self._half_open = False
        self._let = asyncio.Event()

    async def run(self) -> None:
        """Carry both ways until either side closes; of a half-open one, the side that is left."""
        ways = [asyncio.ensure_future(self._up()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if self._held_up:
                # The client gave up; its statement is still under way, and arrives late or is cut off.
                await self._let.wait()
            if self._half_open:
                await asyncio.wait(ways)
        finally:
            self.cut()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def let_go(self) -> None:
        """Carry what is held back, and everything after it; a statement also when its client has gone."""
        self._trap = None
        gone = self._client[1].transport.is_closing()
        self._server[1].write(self._held_up)
        if not gone:
            self._client[1].write(self._held)
        elif self._held_up:
            self._half_open = True
            self._server[1].write_eof()
        self._held_up = self._held = b""
        self._let.set()

    def cut(self) -> None:
        """Close both sides."""
        self._let.set()
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    def mute(self) -> None:
        """Close the server's side only; what is held back, and what the client sends from now on, is thrown away."""
        self._half_open = True
        self._held_up = self._held = b""
        self._let.set()
        self._server[1].transport.abort()

    def orphan(self) -> None:
        """Close the client's side only; what the server still says is thrown away."""
        self._half_open = True
        self._let.set()
        self._client[1].transport.abort()

    async def _up(self) -> None:
        while data := await self._client[0].read(_CHUNK):
            if self._half_open:
                continue
            self._follow(data)
            if self._trap is not None and self._trap.before:
                self._held_up += data
                self._trap.caught.set()
                continue
            await self._proxy.flowing.wait()
            self._server[1].write(data)
            await self._server[1].drain()

    async def _answers(self) -> None:
        while data := await self._server[0].read(_CHUNK):
            if self._half_open:
                continue
            if self._trap is None or self._trap.before:
                await self._proxy.flowing.wait()
                self._client[1].write(data)
                await self._client[1].drain()
                continue
            self._held += data
            # The server says that it is ready only after the commit.
            if self._held[-6:-1] == _READY and not self._trap.caught.is_set() and len(self._held) > 6:
                self._trap.caught.set()

    def _follow(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head = 5 if self._begun else 4
            if len(self._buffer) < head:
                return
            length = int.from_bytes(self._buffer[head - 4 : head], "big") + (1 if self._begun else 0)
            if len(self._buffer) < length:
                return
            message, self._buffer = self._buffer[:length], self._buffer[length:]
            if self._begun:
                self._read(message[:1], message[5:])
            else:
                self._begun = int.from_bytes(message[4:8], "big") not in (_SSL_REQUEST, _GSS_REQUEST)

    def _read(self, kind: bytes, body: bytes) -> None:
        if kind == b"P":
            name, sql, *_ = body.split(b"\0")
            self._statements[name] = sql
        elif kind == b"Q":
            self._spring(body.rstrip(b"\0"))
        elif kind == b"B":
            _, name, *_ = body.split(b"\0", 2)
            self._spring(self._statements.get(name, b""))

    def _spring(self, sql: bytes) -> None:
        if self._trap is None and (trap := self._proxy.springs(sql)) is not None:
            self._trap = trap
            trap.line = self
