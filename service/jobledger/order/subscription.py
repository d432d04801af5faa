"""A durable subscription as an application uses it: create it once, consume it from any number of processes."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from jobledger.errors import InvalidArgument, NotFound
from jobledger.order import checkpoints
from jobledger.order.checkpoints import EVERYBODY, Lag, Options, Slice
from jobledger.order.consumer import Consumer
from jobledger.order.cursor import Cursors, Place, cursors_for
from jobledger.order.filters import EventFilter
from jobledger.order.kinds import Kinds
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
    from types import TracebackType
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.order.checkpoints import Registered, SetAside
    from jobledger.order.consumer import Delivery
    from jobledger.store.pool import Connection, Store

BATCH_MAX = 1_000
_AT_ONCE = 1_000


class Status(NamedTuple):
    """A subscription as it stands. `cursor` is where its slowest slice is, `lag` how far that is behind.

    For operators only: the lag counts everybody's events, and the cursor moves with them. That of a tenant's
    subscription is encrypted, and good for that tenant's feeds.
    """

    name: str
    tenant: str | None
    types: tuple[str, ...] | None
    queue: str | None
    kind: str | None
    owner: str | None
    options: Options
    disabled: bool
    created_at: datetime
    changed_at: datetime
    consumers: int
    aside: int
    cursor: str
    lag: Lag


class Subscription:
    """A named reader of the log that the database remembers; made by `client.subscription(name)`.

    Of one tenant, or of everybody. Nothing is sent before a method is awaited.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        tenant: str | None = None,
        actor: str | None = None,
        shown: Callable[[Event], Awaitable[Event]] | None = None,
    ) -> None:
        """Name it; `shown` is what becomes of each `job.enqueued` before it is given."""
        for word in (name, tenant):
            if not isinstance(word, str | None) or (word is not None and _no_text(word)):
                raise InvalidArgument("A subscription's name, and its tenant's, are names.")
        if name is None or tenant == EVERYBODY:
            raise InvalidArgument("A subscription has a name, and a tenant or none.", hint="None is everybody.")
        self.name = name
        self.tenant = tenant
        self._store = store
        self._actor = actor
        self._shown = shown

    async def create(
        self,
        *,
        types: Collection[str] | None = None,
        queue: str | None = None,
        kind: str | None = None,
        owner: str | None = None,
        after: str | None = None,
        from_end: bool = False,
        at: datetime | None = None,
        slices: int = 8,
        strict: bool = False,
        max_failures: int = 5,
        backoff_s: float = 1.0,
        lease_s: int = 30,
        actor: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Create it; false where it was there. It begins at the beginning, after a cursor, at a time or at the end.

        types, queue, kind, owner: which events; fixed, as are `slices` (1 to 256, so many consumers can work at once)
        and `strict` (later events of a job wait while one of it is set aside).
        max_failures (1 to 1,000) of one event until it is set aside, backoff_s (0 to 3,600) after the first of them,
        lease_s (2 to 3,600) of a consumer: taken over from the latest call.

        Raises:
            SubscriptionDiffers: it is there with another filter, other slices or strictness.
            BadCursor, FeedReset: the cursor is none, or the log does not have what comes after it.
            Forbidden: this role is bound to tenants.
        """
        if isinstance(types, str):
            raise InvalidArgument("types is a list of names of events.")
        try:
            names = None if types is None else tuple(types)
        except TypeError:
            raise InvalidArgument("types is a list of names of events.") from None
        wanted = EventFilter(self.tenant, names, None, queue, owner)
        Kinds(self._store, kind)
        options = _options(slices, strict, max_failures, backoff_s, lease_s)
        to, moment = _begin(after, from_end, at)
        async with self._store.connection() as connection:
            place = await self._place(connection, after)
            return await checkpoints.create(
                *(connection, self._store.shard, self.name, wanted, options),
                **_named(kind, to, place, moment, actor or self._actor, reason),
            )

    async def consume(
        self, handler: Callable[[Any], Awaitable[object]], *, batch: int | None = None, consumer: str | None = None
    ) -> None:
        """Hand each event to the handler, until cancelled: the next one of a slice only after it returned.

        With `batch` the handler gets lists of up to so many events (1 to 1,000). An event whose handler raises comes
        again after a back-off; after `max_failures` it is set aside, and the rest goes on. A batch that fails comes
        again event by event. The checkpoint follows within a second: after a crash the last events may come again.

        Raises:
            NotFound: there is no such subscription, or it was removed.
            Forbidden: this role is bound to tenants.
        """
        limit = _limit(1 if batch is None else batch)
        async with await self._consumer(consumer) as taking:
            while True:
                out = await taking.next(limit)
                try:
                    events = [await self._given(one) for one in out]
                    await handler(events if batch is not None else events[0])
                except Exception as error:  # noqa: BLE001 - it is told by the subscription's own record
                    if len(out) > 1:
                        taking.split(out)
                    else:
                        await taking.failed(out[0], error)
                else:
                    await taking.done(out)

    def events(self, *, consumer: str | None = None) -> Events:
        """Return the events one by one: `async with subscription.events() as events: async for event in events: …`."""
        return Events(self, consumer)

    async def reset(
        self,
        *,
        after: str | None = None,
        from_start: bool = False,
        from_end: bool = False,
        at: datetime | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Go on after a cursor, from a time, from the start or the end; with none of them from where it was.

        A disabled one goes on again. Consumers go on from there at once. What was set aside behind that place comes
        again in its turn, so it is no longer set aside.

        Raises:
            NotFound: there is no such subscription.
            BadCursor, FeedReset: the cursor is none, or the log does not have what comes after it.
        """
        if from_start and (from_end or after is not None or at is not None):
            raise InvalidArgument("A subscription goes on from one place.")
        to, moment = _begin(after, from_end, at)
        chosen = to if to != "beginning" or from_start else None
        async with self._store.connection() as connection:
            place = await self._place(connection, after)
            await self._act(connection, "reset", chosen, *_facts(place), moment, actor or self._actor, reason)

    async def disable(self, *, actor: str | None = None, reason: str | None = None) -> bool:
        """Give its consumers nothing until it is reset; false where that was so already. Raises `NotFound`."""
        async with self._store.connection() as connection:
            return bool(await self._act(connection, "disable", actor or self._actor, reason))

    async def remove(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Remove it, its checkpoints and what it had set aside; its consumers end with `NotFound`."""
        async with self._store.connection() as connection:
            await self._act(connection, "remove", actor or self._actor, reason)

    async def status(self) -> Status:
        """Return how it stands. Raises `NotFound`."""
        async with self._store.connection() as connection:
            return await shown_as(connection, await self._registered(connection))

    async def slices(self) -> list[Slice]:
        """Return its slices, their checkpoints and lag, and who consumes them: for operators. Raises `NotFound`."""
        async with self._store.connection() as connection:
            return await checkpoints.slices_of(connection, self._store.shard, self.tenant, self.name)

    async def set_aside(self, *, limit: int = 100) -> list[SetAside]:
        """Return the first events that it has set aside (1 to 10,000), in the order of the log. Raises `NotFound`."""
        if not _is_number(limit, 1, 10_000):
            raise InvalidArgument("A page has 1 to 10000 rows.")
        async with self._store.connection() as connection:
            return await checkpoints.set_aside(
                connection, self._store.shard, self.tenant, self.name, after=Place(), limit=limit
            )

    async def retry(
        self, jobs: Sequence[UUID] | None = None, *, actor: str | None = None, reason: str | None = None
    ) -> int:
        """Hand out again what was set aside, of these jobs (None: all); return how many events. Raises `NotFound`."""
        async with self._store.connection() as connection:
            return int(await self._act(connection, "retry", _ids(jobs), False, actor or self._actor, reason))

    async def drop(
        self, jobs: Sequence[UUID] | None = None, *, actor: str | None = None, reason: str | None = None
    ) -> int:
        """Give up what was set aside, of these jobs (None: all): it stays listed as dropped. Raises `NotFound`."""
        async with self._store.connection() as connection:
            return int(await self._act(connection, "retry", _ids(jobs), True, actor or self._actor, reason))

    async def _consumer(self, about: str | None) -> Consumer:
        if about is not None and (not isinstance(about, str) or _no_text(about)):
            raise InvalidArgument("A consumer's name is a text of at most 256 characters.")
        async with self._store.connection(ours=True) as connection:
            registered = await self._registered(connection)
        return Consumer(self._store, registered, about=about or f"{socket.gethostname()}:{os.getpid()}"[:256])

    async def _given(self, one: Delivery) -> Event:
        if self._shown is not None and one.event.type == "job.enqueued":
            return await self._shown(one.event)
        return one.event

    async def _registered(self, connection: Connection) -> Registered:
        found = await checkpoints.listed(connection, self._store.shard, tenant=self.tenant or EVERYBODY, name=self.name)
        if not found:
            raise NotFound("There is no such subscription.", hint="Create it, or look at the list.")
        return found[0]

    async def _place(self, connection: Connection, after: str | None) -> Place | None:
        return None if after is None else (await cursors_for(connection, self.tenant)).read(after)

    async def _act(self, connection: Connection, act: str, *arguments: object) -> Any:
        with translated():
            return await connection.fetchval(
                statement(f"order/subscription_{act}"), self._store.shard, self.tenant, self.name, *arguments
            )


class Events:
    """The events of a subscription, one by one: whoever asks for the next one has handled the one before.

    A loop that is left has not handled its last event, unless `ack` said so.
    """

    def __init__(self, subscription: Subscription, about: str | None) -> None:
        """Prepare; `async with` joins."""
        self._subscription = subscription
        self._about = about
        self._taking: Consumer | None = None
        self._out: Delivery | None = None

    async def __aenter__(self) -> Self:
        """Join. Raises `NotFound`, `Forbidden`."""
        self._taking = await (await self._subscription._consumer(self._about)).__aenter__()  # noqa: SLF001 - its own part
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; others take the slices from the last checkpoint on."""
        if self._taking is not None:
            await self._taking.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[Event]:
        """Give the events."""
        return self

    async def __anext__(self) -> Event:
        """Take the last event as handled, and give the next one.

        Raises:
            NotFound: the subscription was removed.
        """
        taking = self._joined()
        if self._out is not None:
            await taking.done([self._out])
        self._out = None
        (one,) = await taking.next(1)
        event = await self._subscription._given(one)  # noqa: SLF001 - its own part
        self._out = one
        return event

    async def ack(self, *, conn: Connection | None = None) -> None:
        """Store now that the last event was handled; on `conn`, in the transaction that your own writes are in.

        So an event takes effect exactly once: writes and checkpoint are one.

        Raises:
            SliceLost: only with `conn`: roll back, for another consumer has the slice now.
        """
        taking = self._joined()
        if self._out is None:
            return
        one, self._out = self._out, None
        await taking.done([one], conn=conn)
        if conn is None:
            await taking.checkpoint()

    async def fail(self, error: BaseException) -> None:
        """Say that the last event was not handled: it comes again after a back-off, or is set aside."""
        taking = self._joined()
        if self._out is not None:
            one, self._out = self._out, None
            await taking.failed(one, error)

    def _joined(self) -> Consumer:
        if self._taking is None:
            raise InvalidArgument("Events of a subscription are read inside `async with subscription.events()`.")
        return self._taking


async def all_of(connection: Connection, shard: int, tenant: str | None = None) -> list[Status]:
    """Return how every subscription stands, or those of one tenant."""
    return [await shown_as(connection, one) for one in await checkpoints.listed(connection, shard, tenant=tenant)]


async def shown_as(connection: Connection, one: Registered) -> Status:
    """Return a subscription with its cursor in the form that is good for its own feeds."""
    cursors = await cursors_for(connection, one.tenant) if one.tenant is not None else Cursors()
    wanted = one.wanted
    return Status(
        *(one.name, one.tenant, wanted.types, wanted.queue, one.kind, wanted.owner, one.options, one.disabled),
        *(one.created_at, one.changed_at, one.consumers, one.aside, cursors.write(one.place), one.lag),
    )


def _options(slices: int, strict: bool, max_failures: int, backoff_s: float, lease_s: int) -> Options:
    sound = _is_number(slices, 1, 256) and _is_number(max_failures, 1, 1000) and _is_number(lease_s, 2, 3600)
    timed = isinstance(backoff_s, int | float) and not isinstance(backoff_s, bool) and 0 <= backoff_s <= 3600
    if not sound or not timed or not isinstance(strict, bool):
        raise InvalidArgument(
            "A subscription has 1 to 256 slices, 1 to 1000 failures, a back-off of 0 to 3600 s, a lease of 2 to 3600 s."
        )
    return Options(slices, strict, max_failures, float(backoff_s), lease_s)


def _begin(after: str | None, from_end: bool, at: datetime | None) -> tuple[str, datetime | None]:
    if not (after is None or isinstance(after, str)) or not isinstance(from_end, bool):
        raise InvalidArgument("A subscription goes on after a cursor, at a time, or at the end.")
    if sum((after is not None, from_end, at is not None)) > 1:
        raise InvalidArgument("A subscription goes on from one place.")
    if at is not None and (not isinstance(at, datetime) or at.tzinfo is None):
        raise InvalidArgument("at is a datetime with a time zone.")
    return ("cursor" if after is not None else "end" if from_end else "time" if at is not None else "beginning"), at


def _named(
    kind: str | None, to: str, place: Place | None, at: datetime | None, actor: str | None, reason: str | None
) -> dict[str, Any]:
    return {"kind": kind, "to": to, "place": place, "at": at, "actor": actor, "reason": reason}


def _facts(place: Place | None) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if place is None else (place.epoch, place.block, place.position)


def _limit(batch: object) -> int:
    if not isinstance(batch, int) or not _is_number(batch, 1, BATCH_MAX):
        raise InvalidArgument(f"A batch has 1 to {BATCH_MAX} events.")
    return batch


def _is_number(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _no_text(word: str) -> bool:
    return not 0 < len(word) <= 256 or "\0" in word or any("\ud800" <= one <= "\udfff" for one in word)


def _ids(jobs: Sequence[UUID] | None) -> list[UUID] | None:
    try:
        return None if jobs is None else list(jobs)
    except TypeError:
        raise InvalidArgument("jobs is a list of ids.") from None
