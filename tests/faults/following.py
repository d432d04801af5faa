"""Two subscribers that read along while everything fails: each is to get every event of every job, once, in one order.

One asks the same feed on after an error; the other begins a new one behind the last event it had.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tests.faults.conftest import until
from tests.faults.test_crashes import LOST

from jobledger.errors import BadCursor, FeedReset
from jobledger.jobs import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from tests.faults.conftest import Ledger

    from jobledger.store.pool import Store

LOGGED = "select stream_id, version from jobledger.events where type::text like 'job.%'"
CAUGHT_UP_S = 120.0


class Following:
    """What the two have read: job and version, in the order in which they came."""

    def __init__(self, store: Store) -> None:
        """Read by this store."""
        self._client = Client(store)
        self._read: tuple[list[tuple[UUID, int]], list[tuple[UUID, int]]] = ([], [])
        self._met = ""

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Read within the block."""
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(self._follow(read, anew=bool(n))) for n, read in enumerate(self._read)]
            yield
            for one in reading:
                one.cancel()

    async def agrees(self, ledger: Ledger) -> None:
        """Wait until both have all that the log has, and see that nobody had anything twice or in another order."""
        logged = {tuple(row) for row in await ledger.fetch(LOGGED)}
        try:
            await until(lambda: all(len(read) >= len(logged) for read in self._read), CAUGHT_UP_S)
        except TimeoutError:
            print("the last that a reader met:", self._met)
        one, other = self._read
        assert set(one) == logged
        assert one == other
        seen: dict[UUID, int] = {}
        for job, version in one:
            assert version == seen.get(job, 0) + 1
            seen[job] = version

    async def _follow(self, read: list[tuple[UUID, int]], *, anew: bool) -> None:
        feed = self._client.events()
        while True:
            try:
                async for event in feed:
                    if event.type.startswith("job."):
                        read.append((event.stream_id, event.version))  # noqa: PERF401 - kept also where an error follows
            except (BadCursor, FeedReset):
                raise
            except LOST as error:
                self._met = repr(error)
                await asyncio.sleep(0.05)
                if anew:
                    cursor = feed.cursor
                    await feed.aclose()
                    feed = self._client.events(after=cursor)
