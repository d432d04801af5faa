"""Writers that do whatever makes the order hard, and what must hold of the sealed log afterwards."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import asyncpg

from jobledger.order.cursor import Place
from jobledger.order.log import read_page, seal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jobledger.order.log import Sealed
    from jobledger.store.pool import Connection

ENQUEUE = "select jobledger.enqueue('noop', tenant => $1)"
ACT = (
    "select verdict from jobledger.act(0::smallint, 'reprioritise', null, array[$1::uuid], 'ada', 'why',"
    " jsonb_build_object('priority', $2::int))"
)
WRITTEN = "select stream_id, version from jobledger.events"
Fact = tuple["UUID", int]


class Writers:
    """Writers that share their jobs, so that a job's events come from many transactions."""

    def __init__(self, dsn: str, *, straggle_s: float, seed: int = 0) -> None:
        """Prepare; `straggle_s` is how long a straggler keeps its transaction open."""
        self._dsn = dsn
        self._straggle_s = straggle_s
        self._random = random.Random(seed)  # noqa: S311 - a test's choice
        self._jobs: list[UUID] = []
        self._names = 0
        self.transactions = 0
        self.enough = False

    async def run(self, count: int, for_s: float) -> None:
        """Write with so many connections for so long; every prepared transaction has ended then."""
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(self._write(for_s))

    async def _write(self, for_s: float) -> None:
        connection = await asyncpg.connect(self._dsn)
        clock = asyncio.get_running_loop()
        until = clock.time() + for_s
        ways = [self._plain, self._early, self._back, self._part, self._prepared, self._straggler]
        try:
            while clock.time() < until and not self.enough:
                way = self._random.choices(ways, [10, 6, 3, 3, 3, 0.3])[0]
                try:
                    await way(connection)
                except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.QueryCanceledError):
                    await connection.execute("rollback")
                self.transactions += 1
        finally:
            await connection.close()

    async def _some(self, connection: Connection) -> None:
        for _ in range(self._random.randint(1, 3)):
            if len(self._jobs) < 20 or self._random.random() < 0.2:
                tenant = f"t{self._random.randint(1, 5)}"
                self._jobs.append(await connection.fetchval(ENQUEUE, tenant))
            else:
                job = self._random.choice(self._jobs[-30:])
                await connection.fetch(ACT, job, self._random.randint(-5, 5))

    async def _plain(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '300ms'")
            await self._some(connection)

    async def _early(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '300ms'")
            await connection.execute("select pg_current_xact_id()")
            await asyncio.sleep(self._random.random() * 0.03)
            await self._some(connection)

    async def _back(self, connection: Connection) -> None:
        await connection.execute("begin")
        await connection.execute("set local lock_timeout = '300ms'")
        await self._some(connection)
        await connection.execute("rollback")

    async def _part(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '300ms'")
            await self._some(connection)
            await connection.execute("savepoint here")
            await self._some(connection)
            if self._random.random() < 0.5:
                await connection.execute("rollback to savepoint here")
            await self._some(connection)

    async def _prepared(self, connection: Connection) -> None:
        self._names += 1
        name = f"stress {self._names}"
        await connection.execute("begin")
        await connection.execute("set local lock_timeout = '300ms'; set local jobledger.notify = 'off'")
        await self._some(connection)
        await connection.execute(f"prepare transaction '{name}'")
        await asyncio.sleep(self._random.random() * 0.05)
        await connection.execute(f"{self._random.choice(['commit', 'commit', 'rollback'])} prepared '{name}'")

    async def _straggler(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(ENQUEUE.replace("$1", "'straggler'"))
            await asyncio.sleep(self._straggle_s)
            await connection.execute(ENQUEUE.replace("$1", "'straggler'"))


async def sealing(connection: Connection, stop: asyncio.Event, every_s: float = 0.01) -> None:
    """Seal until stopped, then whatever is left."""
    while not stop.is_set():
        done = await seal(connection, 0)
        if not done.more:
            await asyncio.sleep(every_s)
    await seal_all(connection)


async def seal_all(connection: Connection) -> None:
    """Seal until nothing is left."""
    while (await seal(connection, 0)).block is not None:
        pass


async def whole_log(
    connection: Connection, after: Place | None = None, limit: int = 1000, **filters: Any
) -> list[Sealed]:
    """Return everything after a place, page by page."""
    found: list[Sealed] = []
    place = after or Place()
    while True:
        page = await read_page(connection, 0, place, limit=limit, **filters)
        found += page.events
        if page.reached == place:
            return found
        place = page.reached


def facts(events: Sequence[Sealed]) -> list[Fact]:
    """Return which events these are."""
    return [(one.event.stream_id, one.event.version) for one in events]


def inversions(events: Sequence[Sealed]) -> int:
    """Count the events that come before an earlier one of their job."""
    last: dict[UUID, int] = defaultdict(int)
    wrong = 0
    for one in events:
        wrong += one.event.version <= last[one.event.stream_id]
        last[one.event.stream_id] = one.event.version
    return wrong


async def nothing_amiss(connection: Connection) -> list[Sealed]:
    """Check that what is sealed is what was written, each event once, a job's in their order; return it."""
    written = {(row["stream_id"], row["version"]) for row in await connection.fetch(WRITTEN)}
    order = await whole_log(connection)
    assert len(order) == len(written), f"{len(written)} written, {len(order)} sealed"
    assert set(facts(order)) == written
    assert inversions(order) == 0
    places = [one.place[:2] for one in order]
    assert places == sorted(places)
    return order
