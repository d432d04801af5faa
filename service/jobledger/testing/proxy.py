"""A proxy in front of Postgres that holds answers back and cuts connections: the network's faults, on demand.

    with Proxy(dsn) as proxy:
        trap = proxy.trap("jobledger.claim(")
        ...                       # the code under test connects to proxy.dsn
        trap.wait()               # a claim was carried out and committed; its answer lies here
        trap.let_go()             # or trap.cut()

It runs in a thread of its own, so it works whatever the loop under test does. TCP on 127.0.0.1, without TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from jobledger.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_READY = b"Z\x00\x00\x00\x05"
_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_CHUNK = 65_536


@dataclass(slots=True, eq=False)
class Trap:
    """Catches the answer to one statement whose text holds `needle`. Its methods may be called from any thread."""

    needle: bytes
    proxy: Proxy
    caught: threading.Event = field(default_factory=threading.Event)
    _line: _Line | None = None

    def wait(self, timeout_s: float = 30.0) -> None:
        """Wait until the statement was carried out and its whole answer is held back. Raises `TimeoutError`."""
        if not self.caught.wait(timeout_s):
            raise TimeoutError

    def let_go(self) -> None:
        """Let the answer through, and everything after it."""
        self.proxy.call(self._let_go)

    def cut(self) -> None:
        """Throw the answer away and close the connection on both sides."""
        self.proxy.call(self._cut)

    def _let_go(self) -> None:
        if self._line is not None:
            self._line.let_go()

    def _cut(self) -> None:
        if self._line is not None:
            self._line.cut()


class Proxy:
    """A proxy to the server of `dsn`; `self.dsn` is the address to use instead. A context manager."""

    def __init__(self, dsn: str) -> None:
        """Prepare; it listens from `start` on."""
        parts = urlsplit(dsn)
        query = dict(parse_qsl(parts.query))
        host = query.pop("host", None) or parts.hostname or "localhost"
        port = int(query.pop("port", None) or parts.port or 5432)
        self._target = (host, port)
        self._parts = parts
        self._query = query
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()
        self._down: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True, name="jobledger-proxy")
        self._lines: set[_Line] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._traps: list[Trap] = []
        self._refusing = False
        self._port = 0

    @property
    def dsn(self) -> str:
        """The address of the proxy, with the user and database of the server's."""
        user, mark, _ = self._parts.netloc.rpartition("@")
        query = urlencode({**self._query, "sslmode": "disable"})
        return urlunsplit(("postgresql", f"{user}{mark}127.0.0.1:{self._port}", self._parts.path, query, ""))

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        if not self._up.wait(10.0):
            raise InvalidArgument("The proxy did not start.")

    def stop(self) -> None:
        """Close every connection and stop listening."""
        self.call(self._down.set)
        self._thread.join(10.0)

    def trap(self, needle: str) -> Trap:
        """Hold back the answer to the next statement whose text contains `needle`, on any connection."""
        made = Trap(needle.encode(), self)
        self._traps.append(made)
        return made

    def cut(self) -> None:
        """Close every connection; new ones are served."""
        self.call(self._cut_all)

    def refuse(self, refusing: bool = True) -> None:
        """Close every connection and refuse new ones, until `refuse(False)`."""
        self._refusing = refusing
        if refusing:
            self.cut()

    def call(self, work: Callable[[], object]) -> None:
        """Run `work` in the proxy's own loop, and wait until it has run."""
        assert self._loop is not None  # noqa: S101 - it was started
        done = threading.Event()

        def run() -> None:
            try:
                work()
            finally:
                done.set()

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(run)
            done.wait(10.0)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def springs(self, sql: bytes) -> Trap | None:
        """Return the trap that this statement falls into; each catches once."""
        for trap in self._traps:
            if trap.needle in sql:
                self._traps.remove(trap)
                return trap
        return None

    def _cut_all(self) -> None:
        for line in tuple(self._lines):
            line.cut()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._down = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._down.wait()
        server.close()
        self._cut_all()
        while self._serving:
            await asyncio.wait(self._serving)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server makes one for each connection
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        if self._refusing:
            writer.close()
            return
        host, port = self._target
        try:
            if host.startswith("/"):
                upstream = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            else:
                upstream = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        line = _Line(self, (reader, writer), upstream)
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)


class _Line:
    """One connection through the proxy. Follows the client's messages to know which statement an answer belongs to."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._statements: dict[bytes, bytes] = {}
        self._buffer = b""
        self._begun = False
        self._trap: Trap | None = None
        self._held = b""

    async def run(self) -> None:
        """Carry both ways until either side closes."""
        ways = [asyncio.ensure_future(self._up()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cut()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def let_go(self) -> None:
        self._trap = None
        self._client[1].write(self._held)
        self._held = b""

    def cut(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def _up(self) -> None:
        while data := await self._client[0].read(_CHUNK):
            self._follow(data)
            self._server[1].write(data)
            await self._server[1].drain()

    async def _answers(self) -> None:
        while data := await self._server[0].read(_CHUNK):
            if self._trap is None:
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
            trap._line = self  # noqa: SLF001 - the two are one thing
