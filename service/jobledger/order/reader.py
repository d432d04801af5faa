"""A feed: follows the log from any cursor, first catching up, then live, without gap or repeat at the joint."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from jobledger.errors import FeedReset, InvalidArgument
from jobledger.order.cursor import Cursors, Place, cursors_for
from jobledger.order.filters import EventFilter, Origins, select, shown_by
from jobledger.order.hub import Batch, Ear, join
from jobledger.order.log import PAGE, log_end, place_in, read_page
from jobledger.order.own import OwnStreams

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from datetime import datetime

    from jobledger.events import Event
    from jobledger.order.filters import Shown
    from jobledger.order.hub import Hub
    from jobledger.order.log import Page, Sealed
    from jobledger.store.pool import Store

_ADVANCE_S: Final = 1.0
_TOGETHER: Final = 50_000
_PAGE_LEAST: Final = 50
_STRETCH_LEAST: Final = 1_000


class Feed:
    """The events after a cursor, as they are sealed: `async for event in feed`.

    Nothing is read ahead of the loop's body but one page, and pages of many readers that catch up together are small
    (50,000 events in all): a slow reader costs no memory. Close it (`aclose`, or `async with`) where the loop is left
    early. With `live` false it ends where the log ended when it got there. A call that was cancelled or failed ends
    nothing: the next one gives the event that it would have given.
    """

    def __init__(
        self,
        store: Store,
        wanted: EventFilter | None = None,
        *,
        after: str | None = None,
        from_end: bool = False,
        live: bool = True,
        shown: Shown | None = None,
    ) -> None:
        """Prepare; nothing is sent yet. Without `after` it begins at the beginning, or at the end with `from_end`.

        `shown` is what becomes of each `job.enqueued` before it is given: arguments that are to be masked.
        """
        check_beginning(after, from_end)
        self._store = store
        self._wanted = wanted or EventFilter()
        self._after = after
        self._from_end = from_end
        self._live = live
        self._shown = shown
        self._place: Place | None = None
        self._sealed_at: datetime | None = None
        self._cursors: Cursors | None = None
        self._own = OwnStreams(self._wanted, store.shard)
        self._ear = Ear(store, self._wanted.tenant)
        self._held: deque[Sealed] = deque()
        self._batches = self._follow()

    @property
    def wanted(self) -> EventFilter:
        """Which events it gives."""
        return self._wanted

    @property
    def cursor(self) -> str | None:
        """Where to go on: behind the last event that was given, and behind whatever was passed over after it.

        Encrypted where the feed is one tenant's. None before the first event was asked for. Hand a tenant only those
        that come with its events: one that moved on without any tells that others were busy.
        """
        if self._place is None or self._cursors is None:
            return self._after
        return self._cursors.write(self._place)

    @property
    def place(self) -> Place | None:
        """The place that `cursor` stands for, for the service's own checkpoints."""
        return self._place

    @property
    def sealed_at(self) -> datetime | None:
        """When the last event that was given was sealed."""
        return self._sealed_at

    def __aiter__(self) -> AsyncIterator[Event]:
        """Give the events from here on; every loop goes on where the last one was left."""
        return self

    async def __anext__(self) -> Event:
        """Give the next event.

        Raises:
            BadCursor: the cursor is none that this feed gave.
            FeedReset: the log no longer has what comes after the cursor; `detail["cursor"]` is where to go on.
            Forbidden: the role is bound to tenants.
        """
        while not self._held:
            more = await self._more()
            if more is None:
                raise StopAsyncIteration
            self._held.extend(more)
        sealed = self._held[0]
        event = await self.show(sealed.event)
        self._held.popleft()
        self._place = sealed.place
        self._sealed_at = sealed.sealed_at
        return event

    async def several(self) -> Sequence[Sealed] | None:
        """Give the next events as they were sealed, at most a page; None where the feed has ended.

        None of them (an empty list) where nothing came for a second, and after `wake`: for who has something else to
        do, and must not cancel it. They are not masked: `show` does that. Raises as the loop does.
        """
        more = [*self._held] or await self._more()
        self._held.clear()
        if more:
            self._place, self._sealed_at = more[-1].place, more[-1].sealed_at
        return more

    async def show(self, event: Event) -> Event:
        """Return an event as it may be shown: marked arguments masked."""
        return await shown_by(self._shown, event)

    def cursor_of(self, place: Place, *, blind: bool = False) -> str:
        """Return this feed's cursor for a place; a `blind` one differs each time, so two of them tell nothing."""
        return (self._cursors or Cursors()).write(place, blind=blind)

    def wake(self) -> None:
        """Let a call that waits for events return without any."""
        self._ear.wake()

    async def begin(self) -> None:
        """Find where it begins, before anything is read. Raises `BadCursor`, `Forbidden`."""
        if self._place is not None and self._cursors is not None:
            return
        async with self._store.connection(ours=True, prompt=True) as connection:
            self._cursors = await cursors_for(connection, self._wanted.tenant)
            if self._place is not None:
                return
            if self._after is not None:
                self._place = self._cursors.read(self._after)
            else:
                self._place = await log_end(connection, self._store.shard) if self._from_end else Place()

    async def aclose(self) -> None:
        """End it; the hub goes with its last reader."""
        self._held.clear()
        await self._batches.aclose()

    async def __aenter__(self) -> Self:
        """Return the feed."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def _more(self) -> Sequence[Sealed] | None:
        try:
            return await anext(self._batches, None)
        except FeedReset as reset:
            await self._interrupted()
            detail = {"reason": reset.detail.get("reason"), "cursor": self.cursor_of(place_in(reset))}
            raise FeedReset(reset.message, hint=reset.hint, detail=detail) from None
        except BaseException:
            await self._interrupted()
            raise

    async def _interrupted(self) -> None:
        """Let the next call begin at the place where this one did: a generator that raised would end there."""
        over, self._batches = self._batches, self._follow()
        await over.aclose()

    async def _follow(self) -> AsyncGenerator[Sequence[Sealed]]:
        await self.begin()
        assert self._place is not None  # noqa: S101 - beginning finds it, or raises
        place = self._place
        ear = self._ear
        hub: Hub | None = None
        origins = Origins()
        waited, told_at = False, time.monotonic()
        try:
            while True:
                ear.place = place
                chosen, upto = await self._next(place, hub, origins)
                # Passing over what others did may take minutes: who shows a sign of life is to hear meanwhile.
                if chosen or waited or time.monotonic() - told_at >= _ADVANCE_S:
                    yield chosen
                    told_at = time.monotonic()
                waited = False
                if upto != place:
                    # What was passed over is read, too: a filtered reader's cursor moves on.
                    self._place = place = upto
                    continue
                if not self._live:
                    return
                if hub is None:
                    hub = join(self._store, ear)
                    origins = hub.origins
                else:
                    if not await ear.wait(_ADVANCE_S):
                        # What others did meanwhile may be more than the hub keeps: it is not to be read for each again.
                        self._place = place = hub.passed(place)
                    waited = True
        finally:
            _behind.discard(self)
            if hub is not None:
                await hub.leave(ear)

    async def _next(self, place: Place, hub: Hub | None, origins: Origins) -> tuple[Sequence[Sealed], Place]:
        """Return what is wanted of what comes next, and how far that goes: of what the hub keeps, or from the database.

        A batch at a time, and of that no more than is wanted: what a slow reader holds is not kept from going by it.
        """
        batch = hub.first_after(place) if hub is not None else None
        if batch is not None:
            _behind.discard(self)
        elif hub is not None and hub.is_at(place) and not self._store.closed:
            _behind.discard(self)
            return [], place
        else:
            _behind.add(self)
            batch = Batch(place, await self._page(place))
        came = batch.of(self._wanted.tenant, after=place)
        return await select(self._wanted, came, origins, self._store), batch.upto

    async def _page(self, place: Place) -> Page:
        wanted = self._wanted
        async with self._store.connection(ours=True, prompt=True) as connection:
            limit = max(_PAGE_LEAST, min(PAGE, _TOGETHER // len(_behind)))
            own = await self._own.page(connection, place, limit, stretch=max(_STRETCH_LEAST, limit * 10))
            if own is not None:
                return own
            return await read_page(
                connection,
                self._store.shard,
                place,
                limit=limit,
                tenant=wanted.tenant,
                types=wanted.types,
                stream=wanted.job,
            )


def check_beginning(after: str | None, from_end: bool) -> None:
    """Refuse what is no place to begin at."""
    if not (after is None or isinstance(after, str)) or (after is not None and from_end):
        raise InvalidArgument("A feed begins after a cursor, at the end, or at the beginning.")


_behind: set[Feed] = set()
"""The feeds of this process that read the database by themselves: those that catch up."""
