"""A durable subscription as an application uses it: create it once, consume it from any number of processes."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from jobledger.errors import InvalidArgument
from jobledger.order.checkpoints import EVERYBODY, Options
from jobledger.order.desk import Begin, By
from jobledger.order.filters import EventFilter, shown_by
from jobledger.order.kinds import check_kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
    from types import TracebackType
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.order.checkpoints import SetAside, Slice
    from jobledger.order.desk import Desk, Given, Status, Taking
    from jobledger.order.filters import Shown
    from jobledger.store.pool import Connection

BATCH_MAX = 1_000
_AT_ONCE = 1_000


class Subscription:
    """A named reader of the log that the database remembers; made by `client.subscription(name)`.

    Of one tenant, or of everybody. Nothing is sent before a method is awaited.
    """

    def __init__(
        self,
        desk: Desk,
        name: str,
        *,
        tenant: str | None = None,
        actor: str | None = None,
        shown: Shown | None = None,
    ) -> None:
        """Name it, and where it is kept; `shown` is what becomes of each `job.enqueued` before it is given."""
        for word in (name, tenant):
            if not isinstance(word, str | None) or (word is not None and _no_text(word)):
                raise InvalidArgument("A subscription's name, and its tenant's, are names.")
        if name is None or tenant == EVERYBODY:
            raise InvalidArgument("A subscription has a name, and a tenant or none.", hint="None is everybody.")
        self.name = name
        self.tenant = tenant
        self._desk = desk
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
        check_kind(kind)
        options = _options(slices, strict, max_failures, backoff_s, lease_s)
        begin = _begin(after, from_end, at)
        return await self._desk.create(self.name, wanted, kind, options, begin, By(actor or self._actor, reason))

    async def consume(
        self, handler: Callable[[Any], Awaitable[object]], *, batch: int | None = None, consumer: str | None = None
    ) -> None:
        """Hand each event to the handler, until cancelled: the next one of a slice only after it returned.

        With `batch` the handler gets lists of up to so many events (1 to 1,000). An event whose handler raises comes
        again after a back-off; after `max_failures` it is set aside, and the rest goes on. A batch that fails comes
        again event by event. The checkpoint follows within a second: after a crash the last events may come again.

        Raises:
            NotFound: there is no such subscription, or it was removed.
            Forbidden: this role is bound to tenants, or has been since.
            BadInput: what it wants can never be read.
        """
        limit = _limit(1 if batch is None else batch)
        async with await self._consumer(consumer) as taking:
            while True:
                out = await taking.next(limit)
                try:
                    events = [await shown_by(self._shown, one.event) for one in out]
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
        begin = _begin(after, from_end, at)
        if begin.to == "beginning" and not from_start:
            begin = Begin(None)
        await self._desk.reset(self.tenant, self.name, begin, By(actor or self._actor, reason))

    async def disable(self, *, actor: str | None = None, reason: str | None = None) -> bool:
        """Give its consumers nothing until it is reset; false where that was so already. Raises `NotFound`."""
        return await self._desk.disable(self.tenant, self.name, By(actor or self._actor, reason))

    async def remove(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Remove it, its checkpoints and what it had set aside; its consumers end with `NotFound`."""
        await self._desk.remove(self.tenant, self.name, By(actor or self._actor, reason))

    async def status(self) -> Status:
        """Return how it stands. Raises `NotFound`."""
        return await self._desk.status(self.tenant, self.name)

    async def slices(self) -> list[Slice]:
        """Return its slices, their checkpoints and lag, and who consumes them: for operators. Raises `NotFound`."""
        return await self._desk.slices(self.tenant, self.name)

    async def set_aside(self, *, limit: int = 100) -> list[SetAside]:
        """Return the first events that it has set aside (1 to 10,000), in the order of the log. Raises `NotFound`."""
        if not _is_number(limit, 1, 10_000):
            raise InvalidArgument("A page has 1 to 10000 rows.")
        return await self._desk.set_aside(self.tenant, self.name, limit)

    async def retry(
        self, jobs: Sequence[UUID] | None = None, *, actor: str | None = None, reason: str | None = None
    ) -> int:
        """Hand out again what was set aside, of these jobs (None: all); return how many events. Raises `NotFound`."""
        by = By(actor or self._actor, reason)
        return await self._desk.again(self.tenant, self.name, _ids(jobs), by, drop=False)

    async def drop(
        self, jobs: Sequence[UUID] | None = None, *, actor: str | None = None, reason: str | None = None
    ) -> int:
        """Give up what was set aside, of these jobs (None: all): it stays listed as dropped. Raises `NotFound`."""
        by = By(actor or self._actor, reason)
        return await self._desk.again(self.tenant, self.name, _ids(jobs), by, drop=True)

    async def _consumer(self, about: str | None) -> Taking[Any]:
        if about is not None and (not isinstance(about, str) or _no_text(about)):
            raise InvalidArgument("A consumer's name is a text of at most 256 characters.")
        about = about or f"{socket.gethostname()}:{os.getpid()}"[:256]
        return await self._desk.consumer(self.tenant, self.name, about)


class Events:
    """The events of a subscription, one by one: whoever asks for the next one has handled the one before.

    A loop that is left has not handled its last event, unless `ack` said so.
    """

    def __init__(self, subscription: Subscription, about: str | None) -> None:
        """Prepare; `async with` joins."""
        self._subscription = subscription
        self._about = about
        self._taking: Taking[Any] | None = None
        self._out: Given | None = None

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
            Forbidden: this role has been bound to tenants since.
            BadInput: what it wants can never be read.
        """
        taking = self._joined()
        if self._out is not None:
            await taking.done([self._out])
        self._out = None
        (one,) = await taking.next(1)
        event = await shown_by(self._subscription._shown, one.event)  # noqa: SLF001 - its own part
        self._out = one
        return event

    async def ack(self, *, conn: Connection | None = None) -> None:
        """Store now that the last event was handled; on `conn`, in the transaction that your own writes are in.

        So an event takes effect exactly once: writes and checkpoint are one.

        Raises:
            SliceLost: only with `conn`: roll back, for another consumer has the slice now.
            InvalidArgument: with `conn`, by a client of a service: a transaction does not reach that far.
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

    def _joined(self) -> Taking[Any]:
        if self._taking is None:
            raise InvalidArgument("Events of a subscription are read inside `async with subscription.events()`.")
        return self._taking


def _options(slices: int, strict: bool, max_failures: int, backoff_s: float, lease_s: int) -> Options:
    sound = _is_number(slices, 1, 256) and _is_number(max_failures, 1, 1000) and _is_number(lease_s, 2, 3600)
    timed = isinstance(backoff_s, int | float) and not isinstance(backoff_s, bool) and 0 <= backoff_s <= 3600
    if not sound or not timed or not isinstance(strict, bool):
        raise InvalidArgument(
            "A subscription has 1 to 256 slices, 1 to 1000 failures, a back-off of 0 to 3600 s, a lease of 2 to 3600 s."
        )
    return Options(slices, strict, max_failures, float(backoff_s), lease_s)


def _begin(after: str | None, from_end: bool, at: datetime | None) -> Begin:
    if not (after is None or isinstance(after, str)) or not isinstance(from_end, bool):
        raise InvalidArgument("A subscription goes on after a cursor, at a time, or at the end.")
    if sum((after is not None, from_end, at is not None)) > 1:
        raise InvalidArgument("A subscription goes on from one place.")
    if at is not None and (not isinstance(at, datetime) or at.tzinfo is None):
        raise InvalidArgument("at is a datetime with a time zone.")
    return Begin("cursor" if after is not None else "end" if from_end else "time" if at else "beginning", after, at)


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
