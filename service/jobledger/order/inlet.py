"""What a consumer reads ahead: a bounded buffer that a feed fills."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from jobledger.order.cursor import cursors_for
from jobledger.order.kinds import Kinds
from jobledger.order.log import Sealed
from jobledger.order.reader import Feed
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from jobledger.order.cursor import Place
    from jobledger.order.filters import EventFilter
    from jobledger.store.pool import Store

AHEAD: Final = 1_000


class Inlet:
    """Follows the log from a place and holds at most `ahead` events (1,000) that nobody has taken yet."""

    def __init__(self, feed: Feed, kinds: Kinds | None, ahead: int = AHEAD) -> None:
        """Begin reading; `Inlet.at` makes one."""
        self._ahead = ahead
        self._feed = feed
        self._kinds = kinds
        self._judging = False
        self._held: deque[Sealed] = deque()
        self._room = asyncio.Event()
        self._wakes: asyncio.Event | None = None
        self._task = asyncio.get_running_loop().create_task(self._fill(), name="jobledger-inlet")

    @classmethod
    async def at(cls, store: Store, wanted: EventFilter, kind: str | None, place: Place, *, ahead: int = AHEAD) -> Self:
        """Read on after a place; with a kind events of its jobs only."""
        async with store.connection(ours=True, prompt=True) as connection:
            cursors = await cursors_for(connection, wanted.tenant)
        feed = Feed(store, wanted, after=cursors.write(place))
        return cls(feed, None if kind is None else Kinds(store, kind), ahead)

    @property
    def fault(self) -> BaseException | None:
        """What ended the reading, once all that came before it was taken."""
        if self._held or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    @property
    def passed(self) -> Place | None:
        """How far the reader has come, where nothing that it gave is still to be taken."""
        return None if self._held or self._judging else self._feed.place

    def peek(self) -> Sealed | None:
        """Return the next event, and leave it."""
        return self._held[0] if self._held else None

    def pop(self) -> None:
        """Take the next event."""
        self._held.popleft()
        if len(self._held) == self._ahead // 2:
            self._room.set()

    def arm(self, wakes: asyncio.Event) -> None:
        """Set this as soon as there is something to take, or reading has ended."""
        self._wakes = wakes
        if self._held or self._task.done():
            wakes.set()

    async def aclose(self) -> None:
        """End it."""
        await end([self._task])
        await self._feed.aclose()

    async def _fill(self) -> None:
        try:
            async for event in self._feed:
                # Nothing is awaited unless it is marked: what the feed's place is behind is in here, or was taken.
                if self._kinds is not None:
                    self._judging = True
                    fits = await self._kinds.fits(event)
                    self._judging = False
                    if not fits:
                        continue
                place, sealed_at = self._feed.place, self._feed.sealed_at
                assert place is not None and sealed_at is not None  # noqa: PT018, S101 - after an event both are there
                self._held.append(Sealed(place, event, sealed_at))
                if self._wakes is not None:
                    self._wakes.set()
                if len(self._held) >= self._ahead:
                    self._room.clear()
                    await self._room.wait()
        finally:
            if self._wakes is not None:
                self._wakes.set()
