"""Replay: what happened, in order, between two places or times, with the time that passed between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from contextlib import aclosing, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import asyncpg

from jobledger.errors import FeedReset, InvalidArgument, MomentLost, Unavailable
from jobledger.events import Event
from jobledger.lifecycle import FINISHED
from jobledger.order.cursor import Place, cursors_for
from jobledger.order.filters import SHARED, Origin, shown_by
from jobledger.order.kinds import Kinds
from jobledger.order.log import log_end
from jobledger.order.reader import Feed
from jobledger.store.failures import translated
from jobledger.store.jobs_read import HISTORY_MAX, job_history, unknown_job
from jobledger.store.pool import ANSWER_S
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
    from uuid import UUID

    from jobledger.order.cursor import Cursors
    from jobledger.order.filters import EventFilter, Shown
    from jobledger.store.pool import Connection, Store

    Moment = str | datetime

SORTED_S: Final = 300.0
"""Seconds that it may take to find and sort what a role that is bound to tenants may see; the server ends it then."""
_SILENCE_S: Final = SORTED_S + ANSWER_S
_OWN_PAGE: Final = 1_000
_REMEMBERED: Final = 100_000
_ENDINGS: Final = frozenset(f"job.{state}" for state in FINISHED)


@contextmanager
def _sorted_in_time() -> Iterator[None]:
    try:
        yield
    except asyncpg.QueryCanceledError:
        raise Unavailable(
            "The events of the replay were not found and sorted in the time allowed.", hint="Replay in parts, by time."
        ) from None


class Replayed(NamedTuple):
    """One event, and the time between: `after` the one before it of the same job, `since` the one before it of all.

    Both are None for the first. `cursor` is where to go on behind it; None where the order of the log was not asked.
    """

    event: Event
    after: timedelta | None
    since: timedelta | None
    cursor: str | None = None


class Pauses:
    """Tells the time between events, those of one job and all of them; of the last 100,000 open jobs."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last: OrderedDict[UUID, datetime] = OrderedDict()
        self._before: datetime | None = None

    def of(self, event: Event, cursor: str | None = None) -> Replayed:
        """Return the event with the time that has passed before it."""
        earlier = self._last.pop(event.stream_id, None)
        after = event.at - earlier if earlier is not None else None
        since = event.at - self._before if self._before is not None else None
        self._before = event.at
        if event.type not in _ENDINGS or event.type == "job.failed":
            self._last[event.stream_id] = event.at
            if len(self._last) > _REMEMBERED:
                self._last.popitem(last=False)
        return Replayed(event, after, since, cursor)


def replayed(events: Iterable[Event]) -> Iterator[Replayed]:
    """Yield events with the time between them."""
    pauses = Pauses()
    return (pauses.of(event) for event in events)


async def cursor_at(store: Store, at: datetime, tenant: str | None = None) -> str | None:
    """Return the cursor of a time: behind the last block sealed at or before it; None where the order begins later.

    With a tenant it is that tenant's, encrypted.

    Raises:
        InvalidArgument: the time is still to come.
        Forbidden: the role is bound to tenants.
    """
    async with store.connection(ours=True, prompt=True) as connection:
        cursors = await cursors_for(connection, tenant)
        try:
            return cursors.write(await _place(connection, store.shard, at))
        except MomentLost:
            return None


class Steps(ABC):
    """What a replay is to its reader: `async for one in replay`; it ends by itself."""

    def __init__(self, **moments: Moment | None) -> None:
        """Refuse what is no place or time; nothing is sent yet."""
        for name, moment in moments.items():
            if not (moment is None or isinstance(moment, str) or (isinstance(moment, datetime) and moment.tzinfo)):
                raise InvalidArgument(f"{name} is a cursor, or a datetime with a time zone.")
        self.reset: FeedReset | None = None
        """What came first was dropped by retention: the replay began behind it. None where nothing is missing."""
        self._steps = self._run()

    @abstractmethod
    def _run(self) -> AsyncGenerator[Replayed]:
        """Yield them; it begins with the first that is asked for."""

    def __aiter__(self) -> AsyncIterator[Replayed]:
        """Give them from here on."""
        return self

    async def __anext__(self) -> Replayed:
        """Give the next one.

        Raises:
            NotFound: a job was asked for that is not there, or is another tenant's.
            BadCursor: a cursor is none of this log's, or another tenant's.
            FeedReset: what comes after the cursor is gone; `detail["cursor"]` is where to go on.
            Forbidden: cursors were given by a role that is bound to tenants.
            Unreachable: the connection was lost, of a service where it cannot be gone on.
        """
        return await anext(self._steps)

    async def aclose(self) -> None:
        """End it."""
        await self._steps.aclose()

    async def __aenter__(self) -> Self:
        """Return the replay."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()


class Replay(Steps):
    """The events between two places or times, in order: `async for one in replay`; it ends by itself.

    Who sees every tenant gets what was sealed, in the one order of the log; a time there is the last block sealed at
    or before it. A whole job is read from its own history, sealed or not. Who is bound to tenants does not see the
    order: it gets its jobs' events as they were appended, and times are those of the events.
    """

    def __init__(
        self,
        store: Store,
        wanted: EventFilter,
        *,
        after: Moment | None = None,
        until: Moment | None = None,
        kind: str | None = None,
        heartbeats: bool = False,
        shown: Shown | None = None,
    ) -> None:
        """Prepare; nothing is sent yet. `after` and `until` are cursors or times with a zone."""
        super().__init__(after=after, until=until)
        self._store = store
        self._wanted = wanted
        self._after = after
        self._until = until
        self._kinds = Kinds(store, kind)
        self._heartbeats = heartbeats
        self._shown = shown

    async def _run(self) -> AsyncGenerator[Replayed]:
        pauses = Pauses()
        async with aclosing(await self._source()) as source:
            async for event, cursor in source:
                if event.type in SHARED and not self._heartbeats and self._wanted.types is None:
                    continue
                yield pauses.of(event, cursor)

    async def _source(self) -> AsyncGenerator[tuple[Event, str | None]]:
        if self._wanted.job is not None and self._after is None and self._until is None:
            return self._of_job(self._wanted.job)
        async with self._store.connection(ours=True, prompt=True) as connection:
            with translated():
                sees_all = await connection.fetchval(statement("order/sees_all"))
        # A bound role that gives a cursor is told by the feed that it may not.
        return self._own() if not sees_all and not self._cursors_given() else self._of_feed()

    def _cursors_given(self) -> bool:
        return isinstance(self._after, str) or isinstance(self._until, str)

    async def _of_job(self, job: UUID) -> AsyncGenerator[tuple[Event, str | None]]:
        read, more = 0, True
        while more:
            async with self._store.connection(prompt=True) as connection:
                events = await job_history(
                    *(connection, self._store.shard, job),
                    tenant=self._wanted.tenant,
                    heartbeats=self._heartbeats,
                    after=read,
                )
            # Its own first event tells what it was enqueued as; a role that is bound to tenants may ask nothing else.
            if not read and self._wanted.by_origin and not any(self._wanted.fits(Origin.of(event)) for event in events):
                raise unknown_job()
            versions = [event.version for event in events if event.stream_id == job]
            read, more = max(versions, default=read), len(versions) == HISTORY_MAX
            for event in events:
                if (self._wanted.types is None or event.type in self._wanted.types) and await self._kinds.fits(event):
                    yield await shown_by(self._shown, event), None

    async def _own(self) -> AsyncGenerator[tuple[Event, str | None]]:
        wanted = self._wanted
        async with self._store.attended(_SILENCE_S, isolation="repeatable_read") as (connection, silence):
            with translated(), _sorted_in_time():
                if self._store.pooled:
                    # A caller's own connection keeps the limit that its transaction has.
                    await connection.fetchval(statement("order/statement_patience"), timedelta(seconds=SORTED_S))
                cursor = await connection.cursor(
                    statement("order/own_transitions"),
                    *(self._store.shard, wanted.tenant, wanted.job, self._after, self._until, wanted.types),
                    *(wanted.queue, wanted.owner),
                )
                while rows := await cursor.fetch(_OWN_PAGE):
                    events = [Event.from_row(dict(row)) for row in rows]
                    # By this connection: were all readers of a pool to ask for a second one, none would get it.
                    events = [event for event in events if await self._kinds.fits(event, connection)]
                    page = [await shown_by(self._shown, event, connection) for event in events]
                    # What ends the transaction, if the reader goes, is bounded again.
                    with silence.resting():
                        for event in page:
                            yield event, None

    async def _of_feed(self) -> AsyncGenerator[tuple[Event, str | None]]:
        async with self._store.connection(ours=True, prompt=True) as connection:
            cursors = await cursors_for(connection, self._wanted.tenant)
            begin = await self._begin(connection, cursors)
            end = await self._end(connection, cursors)
        while True:
            feed = Feed(self._store, self._wanted, after=begin, live=False, shown=self._shown)
            try:
                async with feed:
                    async for event in feed:
                        cursor = feed.cursor
                        if cursor is not None and cursors.read(cursor)[:2] > end[:2]:
                            return
                        if await self._kinds.fits(event):
                            yield event, cursor
                return
            except FeedReset as reset:
                if isinstance(self._after, str) or self.reset is not None:
                    raise
                self.reset, begin = reset, str(reset.detail["cursor"])

    async def _begin(self, connection: Connection, cursors: Cursors) -> str | None:
        if not isinstance(self._after, datetime):
            return self._after
        try:
            return cursors.write(await _place(connection, self._store.shard, self._after))
        except MomentLost:  # the order begins later
            return None

    async def _end(self, connection: Connection, cursors: Cursors) -> Place:
        if isinstance(self._until, str):
            return cursors.read(self._until)
        try:
            if self._until is not None:
                return await _place(connection, self._store.shard, self._until)
        except MomentLost:
            return Place()
        except InvalidArgument:  # it is still to come
            pass
        return await log_end(connection, self._store.shard)


async def _place(connection: Connection, shard: int, at: datetime) -> Place:
    with translated():
        row = await connection.fetchrow(statement("order/place_of_time"), shard, at)
    assert row is not None  # noqa: S101 - it returns a moment, or raises
    return Place(row["block"], row["position"], row["epoch"])
