"""A feed of a service's events: opened again by its cursor when the connection is lost, without gap or repeat."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

import pydantic_core

from jobledger.errors import Busy, FeedReset, MalformedEvent, RateLimited, Unavailable, Unreachable
from jobledger.events.cloudevent import read_event
from jobledger.observations import ConnectionLost, emit
from jobledger.order.filters import shown_by
from jobledger.order.reader import check_beginning
from jobledger.remote.connection import path_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from jobledger.events import Event
    from jobledger.order.filters import EventFilter, Shown
    from jobledger.remote.connection import ServiceConnection

PATIENCE_S: Final = 60.0
"""Seconds for which a lost connection is tried anew before the loop is told; the next call tries again."""
SILENCE_S: Final = 45.0
"""Seconds without a sign of life after which a connection is taken as lost: three of the service's own."""
REPLAY_SILENCE_S: Final = 600.0
"""The same of a replay, which shows no signs of life: the next event that is wanted may lie far behind."""
_BACKOFF_S: Final = (0.1, 5.0)
_PASSES: Final = (Unavailable, Unreachable, Busy, RateLimited)
_LINES: Final = {"Accept": "application/x-ndjson"}


class Lines:
    """The lines of one stream, opened when first asked for, and anew after a loss; of one reader."""

    def __init__(self, connection: ServiceConnection, path: str, *, silence_s: float | None = None) -> None:
        """Prepare; nothing is sent yet. After `silence_s` (default 45) without anything it is lost."""
        self._connection = connection
        self._path = path
        self._silence_s = SILENCE_S if silence_s is None else silence_s
        self._stack: AsyncExitStack | None = None
        self._lines: AsyncGenerator[bytes] | None = None
        self._lost_at: float | None = None
        self._tries = 0

    async def next(self, query: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the next document; None at the end of the stream. `query` is for a stream that is to be opened.

        After a loss it is a document of control, `lost`: the query of the next call may be another.

        Raises:
            JobledgerError: the service refused.
            Unreachable: the stream was lost, and could not be opened anew for a minute.
        """
        while True:
            try:
                if self._lines is None:
                    await self._open(query)
                assert self._lines is not None  # noqa: S101 - it was just opened
                line = await anext(self._lines, None)
            except Unavailable as error:
                await self.close()
                if type(error) not in _PASSES:
                    raise
                await self._pause(error)
                return {"control": "lost"}
            except BaseException:
                await self.close()
                raise
            if line is None:
                await self.close()
                return None
            # Also by a sign of life: where little happens there is nothing else for hours.
            self._lost_at, self._tries = None, 0
            if not line:
                continue
            try:
                # Data may hold numbers longer than the faster parser keeps.
                found: dict[str, Any] = pydantic_core.from_json(line)
            except ValueError:
                await self.close()
                raise MalformedEvent("A line of the service's stream is no JSON.") from None
            return found

    async def rest(self, facts: Mapping[str, Any]) -> None:
        """Leave a stream whose service ends, and wait for as long as it said."""
        await self.close()
        await asyncio.sleep(min(float(facts.get("retry_ms", 1000)) / 1000, _BACKOFF_S[1]))

    async def close(self) -> None:
        """Close the stream, if one is open."""
        stack, self._stack, self._lines = self._stack, None, None
        if stack is not None:
            await stack.aclose()

    async def _open(self, query: Mapping[str, Any]) -> None:
        stack = AsyncExitStack()
        stream = self._connection.stream(self._path, query=query, headers=_LINES, silence_s=self._silence_s)
        self._lines = await stack.enter_async_context(stream)
        self._stack = stack

    async def _pause(self, error: Unavailable) -> None:
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        if error.detail.get("lasting") or now - self._lost_at > PATIENCE_S:
            self._lost_at, self._tries = None, 0
            raise error
        wait_s = min(_BACKOFF_S[1], _BACKOFF_S[0] * 2 ** min(self._tries, 10))
        self._tries += 1
        if isinstance(error, Unreachable):
            emit(ConnectionLost(where="service", error=type(error).__name__))
        asked_s = min(float(error.detail.get("retry_after_s", 0)), self._lost_at + PATIENCE_S - now)
        await asyncio.sleep(max(random.uniform(wait_s / 2, wait_s), asked_s))  # noqa: S311 - no secret


class ServiceFeed:
    """The events after a cursor, as a service gives them: `async for event in feed`, as of a database.

    A connection that is lost is opened anew behind the last event that was given; only after a minute without success
    `Unreachable` is raised, and the next call tries again. Nothing is read ahead but some 100 KB.
    """

    def __init__(
        self,
        connection: ServiceConnection,
        wanted: EventFilter,
        *,
        after: str | None = None,
        from_end: bool = False,
        live: bool = True,
        shown: Shown | None = None,
    ) -> None:
        """Prepare; nothing is sent yet."""
        check_beginning(after, from_end)
        self._wanted = query_of(wanted) | {"live": live}
        self._live = live
        self._from_end = from_end
        self._shown = shown
        self._cursor = after
        self._lines = Lines(connection, path_of("events"))
        self._over = False

    @property
    def cursor(self) -> str | None:
        """Where to go on: behind the last event that was given."""
        return self._cursor

    def __aiter__(self) -> AsyncIterator[Event]:
        """Give the events from here on; every loop goes on where the last one was left."""
        return self

    async def __anext__(self) -> Event:
        """Give the next event.

        Raises:
            BadCursor: the cursor is none that such a feed gave.
            FeedReset: the log no longer has what comes after the cursor; `detail["cursor"]` is where to go on.
            Unreachable: the service could not be reached for a minute.
        """
        try:
            return await self._next()
        except StopAsyncIteration:
            raise
        except BaseException:
            # The line that was read is not given; the next call gets it again, by the cursor.
            await self._lines.close()
            raise

    async def aclose(self) -> None:
        """End it."""
        self._over = True
        await self._lines.close()

    async def __aenter__(self) -> Self:
        """Return the feed."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def _next(self) -> Event:
        while not self._over:
            found = await self._lines.next(self._query())
            control = None if found is None else found.get("control")
            if found is None:
                self._over = not self._live
                if self._live:
                    # A proxy between may end what has been open for long; where it does so at once, that is no storm.
                    await self._lines.rest({"retry_ms": 500})
            elif control is None:
                event = await shown_by(self._shown, read_event(found).event())
                self._cursor = found.get("cursor", self._cursor)
                return event
            elif control == "begin":
                self._cursor = found.get("cursor", self._cursor)
            elif control == "reset":
                raise FeedReset(detail={name: found.get(name) for name in ("reason", "cursor")})
            elif control == "bye":
                await self._lines.rest(found)
        raise StopAsyncIteration

    def _query(self) -> dict[str, Any]:
        return self._wanted | {"after": self._cursor, "from_end": self._from_end and self._cursor is None}


def query_of(wanted: EventFilter) -> dict[str, Any]:
    """Return a filter as a request says it."""
    facts = {name: getattr(wanted, name) for name in ("tenant", "job", "queue", "owner")}
    return facts | {"type": None if wanted.types is None else list(wanted.types)}
