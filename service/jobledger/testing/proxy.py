"""A proxy in front of Postgres that holds statements and answers back and cuts connections: the network's faults.

    with Proxy(dsn) as proxy:
        trap = proxy.trap("jobledger.claim(")
        ...                       # the code under test connects to proxy.dsn
        trap.wait()               # a claim was carried out and committed; its answer lies here
        trap.let_go()             # or trap.cut(), trap.mute(), trap.orphan()

With `before=True` the statement itself is held back, and the server has not seen it. It runs in a thread of its own, so
it works whatever the loop under test does. TCP on 127.0.0.1, without TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from jobledger.errors import InvalidArgument
from jobledger.testing.line import Line

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


@dataclass(slots=True, eq=False)
class Trap:
    """Catches one statement whose text holds `needle`, or its answer. Its methods may be called from any thread."""

    needle: bytes
    proxy: Proxy
    before: bool = False
    caught: threading.Event = field(default_factory=threading.Event)
    line: Line | None = None

    def wait(self, timeout_s: float = 30.0) -> None:
        """Wait until it is held back: the statement, or the whole answer. Raises `TimeoutError`."""
        if not self.caught.wait(timeout_s):
            raise TimeoutError

    def let_go(self) -> None:
        """Let it through, and everything after it; a statement also when its client has given up meanwhile."""
        self._do("let_go")

    def cut(self) -> None:
        """Throw it away and close the connection on both sides."""
        self._do("cut")

    def mute(self) -> None:
        """Half-open: the server's side is closed, and the client is never told; its side stays open and silent."""
        self._do("mute")

    def orphan(self) -> None:
        """Half-open: the client's side is closed, and the server is never told; its session stays until `Proxy.cut`."""
        self._do("orphan")

    def _do(self, act: Literal["let_go", "cut", "mute", "orphan"]) -> None:
        self.proxy.call(lambda: self.line and getattr(self.line, act)())


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
        self._lines: set[Line] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._traps: list[Trap] = []
        self._refusing = False
        self._port = 0
        self.flowing: asyncio.Event

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

    def trap(self, needle: str, *, before: bool = False) -> Trap:
        """Hold back the answer to the next statement whose text contains `needle`, on any connection.

        `before` holds back the statement, so that the server has not seen it.
        """
        made = Trap(needle.encode(), self, before)
        self._traps.append(made)
        return made

    def cut(self) -> None:
        """Close every connection; new ones are served."""
        self.call(lambda: self._each(Line.cut))

    def stall(self, stalling: bool = True) -> None:
        """Let nothing pass either way on any connection, old or new, until `stall(False)`; nothing is lost."""
        self.call(self.flowing.clear if stalling else self.flowing.set)

    def mute(self) -> None:
        """Half-open every connection: closed at the server, open and silent at the client. New ones are served."""
        self.call(lambda: self._each(Line.mute))

    def orphan(self) -> None:
        """Half-open every connection: closed at the client, open at the server until `cut`. New ones are served."""
        self.call(lambda: self._each(Line.orphan))

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

    def _each(self, act: Callable[[Line], None]) -> None:
        for line in tuple(self._lines):
            act(line)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._down = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._down.wait()
        server.close()
        self.flowing.set()
        self._each(Line.cut)
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
        line = Line(self, (reader, writer), upstream)
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)
