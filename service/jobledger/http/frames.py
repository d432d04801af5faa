"""How a stream is written: as server-sent events or as lines, each frame encoded once for all that are shown it."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from jobledger.http.route import NDJSON, SSE

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from aiohttp import web

    from jobledger.order.log import Sealed
    from jobledger.order.reader import Feed

FRAMES_BYTES: Final = 16 * 1024 * 1024
_BESIDE_BYTES: Final = 400
"""What a frame takes beside itself, also one of an event that is not shown: its key, and its place among them."""
_RETRY_MS: Final = (500, 3000)


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
        return b"retry: %d\n\n" % retry_ms() + (b"" if cursor is None else b"id: %s\n\n" % cursor.encode())

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
        self._making: dict[Hashable, asyncio.Event] = {}
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
        # The place has the epoch in it: after a restore another event may have the same number in its stream.
        key = (form.media, view.key(feed, one), one.place, one.event.stream_id, one.event.version)
        while (found := self._frames.get(key)) is None and (making := self._making.get(key)) is not None:
            await making.wait()
        if found is not None:
            return found
        # Whoever comes meanwhile waits; if this client leaves before it is made, another one of them makes it.
        made = self._making[key] = asyncio.Event()
        try:
            found = await form.event(view, feed, one)
            self._keep(key, found)
        finally:
            del self._making[key]
            made.set()
        return found

    def _keep(self, key: Hashable, found: bytes) -> None:
        self._frames[key] = found
        self._held += len(found) + _BESIDE_BYTES
        while self._held > FRAMES_BYTES:
            self._held -= len(self._frames.popitem(last=False)[1]) + _BESIDE_BYTES


def _control(what: str, **facts: Any) -> bytes:
    return orjson.dumps({"control": what, **facts}) + b"\n"


def retry_ms() -> int:
    """Return how soon a client is to come again, in milliseconds."""
    # Not all at once: a thousand clients of a process that ended come again to another.
    return random.randint(*_RETRY_MS)  # noqa: S311 - no secret
