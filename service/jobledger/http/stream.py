"""A stream of events to one client: from any cursor and then live, with an end that loses nothing.

A stream reads no further than its client has taken in. A client that takes in nothing for a while is cut off, and goes
on by the last cursor that it got, as after any other lost connection.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from jobledger.errors import FeedReset, Unavailable
from jobledger.http.frames import LINES, SERVER_SENT, Form, Streams, View, form_for, retry_ms
from jobledger.http.outlet import PIECE_BYTES, Outlet, TooSlow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import web

    from jobledger.http.route import Call
    from jobledger.http.service import Service
    from jobledger.order.log import Sealed
    from jobledger.order.reader import Feed

__all__ = ["LINES", "SERVER_SENT", "Form", "Stream", "Streams", "View", "form_for"]

KEEP_ALIVE_S: Final = 15.0
GATHER_S: Final = 0.05
_FEW: Final = 50
_BACKOFF_S: Final = (0.2, 5.0)
_AWAY: Final = (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Stream:
    """The events of one client, until it leaves, takes in nothing, may no longer follow, or the service ends."""

    def __init__(self, call: Call[Any, Any], view: View, follow: Callable[..., Feed], form: Form) -> None:
        """Prepare; `follow` makes the feed that begins after a cursor."""
        self._call = call
        self._service: Service = call.service
        self._view = view
        self._follow = follow
        self._form = form
        self._out = Outlet(call, form.media, self._service.settings.http_write_s)

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
            try:
                await self._out.send(self._form.begin(begun))
                while (on := await self._through(feed)) is not None:
                    if on == after:
                        await asyncio.sleep(_BACKOFF_S[1])  # told the same again: the log is being worked on
                    after, feed = on, self._follow(after=on)
            except (TooSlow, ConnectionError):
                pass
            except _AWAY:
                self._out.cut()
            except Exception:
                # The head was sent long ago: an answer that tells of the error would stand in the middle of the stream.
                self._out.cut()
                raise
        return self._out.response

    async def _through(self, feed: Feed) -> str | None:
        """Send a feed's events; return where to go on where the log does not have what comes next, None at the end."""
        wait_s, given_at = _BACKOFF_S[0], 0.0
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
                    await self._give(feed, batch)
                    if batch:
                        before, given_at = given_at, time.monotonic()
                        if len(batch) < _FEW and given_at - before < GATHER_S:
                            await asyncio.sleep(GATHER_S)  # what comes often is sent together
        await self._out.send(self._form.bye(retry_ms()))
        return None

    async def _give(self, feed: Feed, batch: Sequence[Sealed]) -> None:
        """Send a batch in pieces, and a sign of life where nothing else was sent for a while."""
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
        if time.monotonic() - self._out.sent_at >= KEEP_ALIVE_S:
            await self._out.send(self._form.alive)
