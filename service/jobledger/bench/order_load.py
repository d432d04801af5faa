"""Writers that do whatever makes an order hard: the load of `bench order`."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import asyncpg

from jobledger.store import pool
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from jobledger.store.pool import Connection

TENANTS: Final = 5
_SHARED_JOBS: Final = 30
_BROKEN: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.QueryCanceledError)


class Writers:
    """Writers that share their jobs, so that the events of one job come from many transactions."""

    def __init__(self, dsn: str, *, straggle_s: float, prepares: bool) -> None:
        """Prepare; a straggler keeps its transaction open for `straggle_s`; `prepares`: the server can."""
        self._dsn = dsn
        self._straggle_s = straggle_s
        self._random = random.Random(0)  # noqa: S311 - a load, no secret
        self._jobs: list[UUID] = []
        self._named = 0
        self.transactions = 0
        self.plain: set[UUID] = set()
        """The jobs of transactions of one call, whose lag is that of the sealer alone."""
        ways: list[tuple[Callable[[Connection], Awaitable[None]], float]] = [
            (self._plain, 10),
            (self._early, 6),
            (self._back, 3),
            (self._part, 3),
            (self._straggler, 0.3),
        ]
        if prepares:
            ways.append((self._prepared, 3))
        self._ways = [way for way, _ in ways]
        self._weights = [weight for _, weight in ways]

    async def run(self, count: int, seconds: float) -> None:
        """Write with so many connections for so long; no transaction is left open or prepared then."""
        until = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(self._write(until))
        # What drew the last position may have been rolled back. Then it is never sealed, and who waits for all that was
        # drawn would wait for ever.
        connection = await pool.connect(self._dsn, application_name="jobledger-bench-writer")
        await self._plain(connection)
        await connection.close()

    async def _write(self, until: float) -> None:
        connection = await pool.connect(self._dsn, application_name="jobledger-bench-writer")
        try:
            while asyncio.get_running_loop().time() < until:
                (way,) = self._random.choices(self._ways, self._weights)
                with suppress(*_BROKEN):
                    await way(connection)
                self.transactions += 1
        finally:
            await connection.close()

    async def _enqueue(self, connection: Connection) -> UUID:
        job: UUID = await connection.fetchval(
            statement("bench/order_enqueue"), f"tenant-{self._random.randrange(TENANTS)}"
        )
        self._jobs.append(job)
        del self._jobs[:-_SHARED_JOBS]
        return job

    async def _some(self, connection: Connection) -> None:
        for _ in range(self._random.randint(1, 3)):
            if len(self._jobs) < _SHARED_JOBS or self._random.random() < 0.2:
                await self._enqueue(connection)
            else:
                job = self._random.choice(self._jobs)
                await connection.fetch(statement("bench/order_act"), job, self._random.randint(-5, 5))

    async def _plain(self, connection: Connection) -> None:
        self.plain.add(await self._enqueue(connection))

    async def _early(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(statement("bench/order_patience"))
            await connection.execute(statement("bench/order_early_id"))
            await asyncio.sleep(self._random.random() * 0.03)
            await self._some(connection)

    async def _back(self, connection: Connection) -> None:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(statement("bench/order_patience"))
            await self._some(connection)
        finally:
            await transaction.rollback()

    async def _part(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(statement("bench/order_patience"))
            await self._some(connection)
            savepoint = connection.transaction()
            await savepoint.start()
            await self._some(connection)
            await (savepoint.rollback() if self._random.random() < 0.5 else savepoint.commit())
            await self._some(connection)

    async def _straggler(self, connection: Connection) -> None:
        async with connection.transaction():
            await self._enqueue(connection)
            await asyncio.sleep(self._straggle_s)
            await self._enqueue(connection)

    async def _prepared(self, connection: Connection) -> None:
        self._named += 1
        name = f"jobledger bench order {self._named}"
        await connection.execute("begin")
        try:
            await connection.execute(statement("bench/order_patience"))
            await self._some(connection)
        except _BROKEN:
            await connection.execute("rollback")
            raise
        await self._command(connection, "prepare", name)
        await asyncio.sleep(self._random.random() * 0.05)
        await self._command(connection, self._random.choice(["commit", "commit", "rollback"]), name)

    async def _command(self, connection: Connection, what: str, name: str) -> None:
        await connection.execute(await connection.fetchval(statement("bench/order_command"), what, name))
