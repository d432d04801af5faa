"""Streams of events: each frame encoded once in a process, little kept for each client, and an end that loses nothing.

A stream reads no further than its client has taken in. A client that takes in nothing for a while is cut off, and goes
on by the last cursor that it got, as after any other lost connection.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg
import orjson
from aiohttp import web

from jobledger.errors import FeedReset, JobledgerError, Unauthenticated, Unavailable
from jobledger.http.route import NDJSON, SSE
from jobledger.observations import StreamDropped, emit

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from jobledger.http.route import Call
    from jobledger.http.service import Service
    from jobledger.order.log import Sealed
    from jobledger.order.reader import Feed

KEEP_ALIVE_S: Final = 15.0
FRAMES_BYTES: Final = 16 * 1024 * 1024
PIECE_BYTES: Final = 32 * 1024
SOCKET_BYTES: Final = 128 * 1024
_DEAD_MS: Final = 60_000
_RETRY_MS: Final = (500, 3000)
_BACKOFF_S: Final = (0.2, 5.0)
_AWAY: Final = (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}


class View(Protocol):
    """What the clients of some streams are shown of an event."""

    def key(self, feed: Feed, one: Sealed) -> Hashable:
        """Return what else than the event the frame depends on."""

    async def text(self, feed: Feed, one: Sealed, cursor: str | None) -> bytes | None:
        """Return the event as one line of JSON, with its cursor in it where one is given; None: it is not shown."""


class Form(Protocol):
    """How a stream is written."""

    media: str
    alive: bytes

    def begin(self, cursor: str | None) -> bytes:
        """Return what comes first, with where the stream begins where no event tells it."""

    async def event(self, view: View, feed: Feed, one: Sealed) -> bytes:
        """Return an event; nothing where it is not shown."""

    def reset(self, facts: dict[str, Any]) -> bytes:
        """Return that the log does not have what came next, and where the stream goes on."""

    def bye(self, retry_ms: int) -> bytes:
        """Return that the service ends, and when to come again."""


class ServerSentEvents:
    """`text/event-stream`: an `id` comes with events only, so that what controls the stream moves no client on."""

    media = SSE
    alive = b":\n\n"

    def begin(self, cursor: str | None) -> bytes:
        """Return how soon to come again; a block without data sets the last id and is no event."""
        return b"retry: %d\n\n" % _retry_ms() + (b"" if cursor is None else b"id: %s\n\n" % cursor.encode())

    async def event(self, view: View, feed: Feed, one: Sealed) -> bytes:
        """Return it without a name of its own: it is a `message`."""
        text = await view.text(feed, one, None)
        return b"" if text is None else b"id: %s\ndata: %s\n\n" % (feed.cursor_of(one.place).encode(), text)

    def reset(self, facts: dict[str, Any]) -> bytes:
        """Return the event `reset`."""
        return b"event: reset\ndata: %s\n\n" % orjson.dumps(facts)

    def bye(self, retry_ms: int) -> bytes:
        """Return the event `bye`."""
        return b'event: bye\nretry: %d\ndata: {"retry_ms":%d}\n\n' % (retry_ms, retry_ms)


class Lines:
    """NDJSON: an event a line, with its cursor; lines with `control` in them are the stream's own, empty ones none."""

    media = NDJSON
    alive = b"\n"

    def begin(self, cursor: str | None) -> bytes:
        """Return where the stream begins."""
        return b"" if cursor is None else _control("begin", cursor=cursor)

    async def event(self, view: View, feed: Feed, one: Sealed) -> bytes:
        """Return its line."""
        text = await view.text(feed, one, feed.cursor_of(one.place))
        return b"" if text is None else text + b"\n"

    def reset(self, facts: dict[str, Any]) -> bytes:
        """Return a line of control."""
        return _control("reset", **facts)

    def bye(self, retry_ms: int) -> bytes:
        """Return a line of control."""
        return _control("bye", retry_ms=retry_ms)


SERVER_SENT: Final = ServerSentEvents()
LINES: Final = Lines()


def form_for(request: web.Request) -> Form:
    """Return the form that a request asks for: lines where it accepts those and no event stream."""
    accepted = request.headers.get("Accept", "")
    return LINES if NDJSON in accepted and SSE not in accepted else SERVER_SENT


class Streams:
    """The open streams of a service, and the frames that they share: the last 16 MiB of them."""

    def __init__(self) -> None:
        """Begin without any."""
        self._frames: OrderedDict[Hashable, bytes] = OrderedDict()
        self._held = 0
        self._feeds: set[Feed] = set()

    def wake(self) -> None:
        """Let every stream look whether it is to end."""
        for feed in self._feeds:
            feed.wake()

    @contextmanager
    def following(self, feed: Feed) -> Iterator[None]:
        """Wake this feed's stream, too, for a block."""
        self._feeds.add(feed)
        try:
            yield
        finally:
            self._feeds.discard(feed)

    async def frame(self, form: Form, view: View, feed: Feed, one: Sealed) -> bytes:
        """Return the frame of an event, encoded for the first client that is shown it."""
        key = (form.media, view.key(feed, one), one.event.stream_id, one.event.version)
        found = self._frames.get(key)
        if found is None:
            found = await form.event(view, feed, one)
            if key not in self._frames:
                self._frames[key] = found
                self._held += len(found)
                while self._held > FRAMES_BYTES:
                    self._held -= len(self._frames.popitem(last=False)[1])
        return found


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
            async with asyncio.timeout(self._patience_s):
                await self.response.write(data)
        except TimeoutError:
            emit(StreamDropped(self._patience_s))
            self.cut()
            raise TooSlow from None

    def cut(self) -> None:
        """Cut the client off at once: it sees that the stream is not whole."""
        if self._request.transport is not None:
            self._request.transport.abort()


class TooSlow(Exception):  # noqa: N818 - no error: the client goes on by its cursor
    """The client took in nothing for too long, and was cut off."""


class Stream:
    """The events of one client, until it leaves, is too slow, may no longer, or the service ends."""

    def __init__(self, call: Call[Any, Any], view: View, follow: Callable[..., Feed], form: Form) -> None:
        """Prepare; `follow` makes the feed that begins after a cursor."""
        self._call = call
        self._service: Service = call.service
        self._view = view
        self._follow = follow
        self._form = form
        self._out = Outlet(call, form.media, self._service.settings.http_write_s)
        self._look_at = time.monotonic() + KEEP_ALIVE_S

    async def run(self, *, after: str | None, from_end: bool = False) -> web.StreamResponse:
        """Send what comes after a cursor (None: from the beginning, or the end).

        Raises:
            BadCursor: before anything is sent.
            Busy, Unavailable: there is no place for another stream, or the service ends.
        """
        if self._service.draining.is_set():
            raise Unavailable("The service is ending.")
        with self._service.hold():
            feed = self._follow(after=after, from_end=from_end and after is None)
            await feed.begin()
            begun = feed.cursor_of(feed.place, blind=True) if from_end and after is None and feed.place else None
            await self._out.open()
            with suppress(TooSlow, ConnectionError):
                await self._out.send(self._form.begin(begun))
                while (on := await self._through(feed)) is not None:
                    feed = self._follow(after=on)
        return self._out.response

    async def _through(self, feed: Feed) -> str | None:
        """Send a feed's events; return where to go on where the log does not have what comes next, None at the end."""
        wait_s = _BACKOFF_S[0]
        async with feed:
            with self._service.streams.following(feed):
                while not self._service.draining.is_set():
                    try:
                        batch = await feed.several()
                    except FeedReset as reset:
                        await self._out.send(self._form.reset(reset.detail))
                        return str(reset.detail["cursor"])
                    except _AWAY:
                        # Whoever is up to date hears of it from the hub, and waits; this one was catching up.
                        await asyncio.sleep(wait_s)
                        wait_s = min(wait_s * 2, _BACKOFF_S[1])
                        batch = ()
                    else:
                        wait_s = _BACKOFF_S[0]
                    if batch is None:
                        return None
                    if not await self._give(feed, batch):
                        return None
        await self._out.send(self._form.bye(_retry_ms()))
        return None

    async def _give(self, feed: Feed, batch: Any) -> bool:
        """Send a batch in pieces, and a sign of life where nothing else was sent; False where it may no longer."""
        pieces: list[bytes] = []
        size = 0
        for one in batch:
            frame = await self._service.streams.frame(self._form, self._view, feed, one)
            pieces.append(frame)
            size += len(frame)
            if size >= PIECE_BYTES:
                await self._out.send(b"".join(pieces))
                pieces, size = [], 0
        if size:
            await self._out.send(b"".join(pieces))
        now = time.monotonic()
        if now - self._out.sent_at >= KEEP_ALIVE_S:
            await self._out.send(self._form.alive)
        if now < self._look_at:
            return True
        self._look_at = now + KEEP_ALIVE_S
        return await self._may_still()

    async def _may_still(self) -> bool:
        """Say whether the key is still good for it: it may have been revoked, or a token's time may be over."""
        access = self._call.access
        try:
            found = await self._service.authenticate(self._call.request)
        except Unauthenticated:
            return False
        except (JobledgerError, *_AWAY):
            return True
        return (found.tenants, found.owner, found.roles) == (access.tenants, access.owner, access.roles)


def _control(what: str, **facts: Any) -> bytes:
    return orjson.dumps({"control": what, **facts}) + b"\n"


def _retry_ms() -> int:
    # Not all at once: a thousand clients of a process that ended come again to another.
    return random.randint(*_RETRY_MS)  # noqa: S311 - no secret
