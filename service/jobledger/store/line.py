"""A kept line: the connection of a pool that calls which follow each other closely need not borrow anew each time.

Borrowing and giving back costs the caller twice as much time as a short statement does. So it is kept for some
milliseconds between two calls; and given back now and then also where they never pause, for others may wait for it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from jobledger.store.pool import is_lost

if TYPE_CHECKING:
    from jobledger.store.pool import Connection, Store

_REST_S: Final = 0.005
"""Seconds for which it is kept while nobody uses it."""
HELD_S: Final = 0.1
"""Seconds for which a busy one is kept from others of the pool."""
_LEAST: Final = 6
"""Of a smaller pool nothing is kept: there somebody is soon waiting for it."""


class Lent(NamedTuple):
    """A borrowed connection, and since when (`time.monotonic`)."""

    connection: Connection
    since: float


class KeptLine:
    """Lends connections of a store's pool, for the package's own statements only, and keeps one between two calls.

    Whoever has taken one, kept or borrowed, ends with `settle` or `fail`. Of one event loop.
    """

    def __init__(self, store: Store) -> None:
        """Borrow nothing yet."""
        self._store = store
        self._keeps = may_keep(store)
        self._spare: Lent | None = None
        self._used = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._returns: set[asyncio.Task[None]] = set()

    def kept(self) -> Lent | None:
        """Take the one that is kept, if there is one."""
        lent, self._spare = self._spare, None
        if lent is not None and is_lost(lent.connection):
            self._give_back(lent)
            return None
        return lent

    async def borrowed(self) -> Lent:
        """Take one from the pool."""
        connection = await self._store.borrow()
        return Lent(connection, time.monotonic())

    async def settle(self, lent: Lent) -> None:
        """Keep one that has answered for the next call, or give it back."""
        now = time.monotonic()
        if not self._keeps or self._spare is not None or now - lent.since > HELD_S:
            await self._store.give_back(lent.connection, ours=True)
            return
        self._spare, self._used = lent, now
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_REST_S, self._look)

    async def fail(self, lent: Lent, error: BaseException) -> None:
        """Give back one that met an error."""
        await self._store.give_back(lent.connection, ours=True, error=error)

    async def close(self) -> None:
        """Give back what is kept."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lent = self.kept()
        if lent is not None:
            await self._store.give_back(lent.connection, ours=True)
        if self._returns:
            await asyncio.wait(self._returns)

    def _look(self) -> None:
        """Give it back once nobody has used it for a while; who is using it sets the timer anew."""
        self._timer = None
        if self._spare is None:
            return
        left_s = self._used + _REST_S - time.monotonic()
        if left_s > 0:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._look)
            return
        lent, self._spare = self._spare, None
        self._give_back(lent)

    def _give_back(self, lent: Lent) -> None:
        returned = self._store.give_back(lent.connection, ours=True)
        task = asyncio.get_running_loop().create_task(returned, name="jobledger-line")
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)


def may_keep(store: Store) -> bool:
    """Say whether a connection of this store may be kept from the others of its pool."""
    return store.pooled and store.pool.get_max_size() >= _LEAST
