"""Lines: connections that one kind of call keeps to itself while a worker lives.

A session makes the plans of a function at its first call, and a claim has a hundred: 20 ms. From a pool each call would
get whichever connection is free, and in the end every connection would have made every plan. Workers may share a pool:
of all its connections half at most wait for one kind of call, so that nobody else waits for them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jobledger.errors import Unreachable
from jobledger.store.failures import translated
from jobledger.store.line import may_keep
from jobledger.store.pool import is_lost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from jobledger.store.pool import Connection, Store

T = TypeVar("T")

_spare: Final[Counter[int]] = Counter()
"""How many connections of each pool (by its `id`) are kept and not in use; a pool without any has no entry."""


class Lines:
    """Lends connections of a store's pool to one kind of call, and keeps `most` of them between two calls."""

    def __init__(self, store: Store, most: int = 2) -> None:
        """Open nothing yet."""
        self._store = store
        self._most = most if may_keep(store) else 0
        self._spare: list[Connection] = []
        self._kept = 0
        self._over = False

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Connection]:
        """Lend a connection, for the package's own statements only. One that met an error goes back to the pool."""
        connection = await self._taken()
        fault: BaseException | None = None
        try:
            with translated(self._store.where, own=False):
                yield connection
        except BaseException as error:
            fault = error
            raise
        finally:
            if fault is None and not is_lost(connection) and self._may_keep():
                self._spare.append(connection)
                _spare[id(self._store.pool)] += 1
            else:
                await self._given_back(connection, fault)

    async def close(self) -> None:
        """Give back what is kept; what is lent follows when its call has ended."""
        self._over = True
        # All at once: whoever is given up while they go back leaves none of them counted.
        spare = [self._take_spare() for _ in range(len(self._spare))]
        await asyncio.gather(*map(self._given_back, spare))

    def _may_keep(self) -> bool:
        if self._over or self._kept > self._most:
            return False
        pool = self._store.pool
        return _spare[id(pool)] < pool.get_max_size() // 2

    def _take_spare(self) -> Connection:
        pool = id(self._store.pool)
        _spare[pool] -= 1
        if not _spare[pool]:
            del _spare[pool]
        return self._spare.pop()

    async def _taken(self) -> Connection:
        while self._spare:
            connection = self._take_spare()
            if not is_lost(connection):
                return connection
            # The server has gone since, or was restarted.
            await self._given_back(connection)
        self._kept += 1
        try:
            return await self._store.borrow()
        except BaseException:
            self._kept -= 1
            raise

    async def _given_back(self, connection: Connection, fault: BaseException | None = None) -> None:
        self._kept -= 1
        await self._store.give_back(connection, ours=True, error=fault)


async def patiently(connection: Connection, call: Coroutine[Any, Any, T], patience_s: float) -> T:
    """Await a call on a connection; when it is given up the connection is closed, for its answer may never come.

    Only cancelling it would wait for the server's answer to the cancellation, on a line that may be dead.
    """
    work = asyncio.ensure_future(call)
    try:
        await asyncio.wait([work], timeout=patience_s)
    finally:
        if not work.done():
            connection.terminate()
            await asyncio.wait([work])
            work.exception()
    if work.exception() is not None and is_lost(connection):
        raise Unreachable("The database did not answer in time.", hint="Check the network between them.") from None
    return work.result()
