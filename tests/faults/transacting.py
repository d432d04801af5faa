"""Enqueuers in transactions of their own: some of seconds, some under REPEATABLE READ and SERIALIZABLE.

The two of the higher isolations also enqueue by keys that both use, so that one of them is refused with 40001 at times.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import asyncpg
from tests.faults.conftest import PATIENCE_S
from tests.faults.test_crashes import LOST

from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.pool import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from jobledger.store.pool import Connection, Isolation

LONG_S = 2.0
SNAPSHOT_S = 0.5
SLEEP = "select pg_sleep($1)"


def job(key: str, tenant: str) -> NewJob:
    """Return a short job with a key."""
    return NewJob("short", {"ms": 5}, key=key, tenant=tenant, max_attempts=100)


class Transacting:
    """Enqueues in transactions, each begun again by the same keys until its commit is answered."""

    def __init__(self, dsn: str, acknowledged: dict[str, UUID]) -> None:
        """Connect anew for each transaction: what hangs on a line that nobody answers is closed with it."""
        self._dsn = dsn
        self._acknowledged = acknowledged
        self._stopped = asyncio.Event()
        self.repeated = 0

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Enqueue within the block; leaving it, each brings its last transaction to its end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._enqueue_on("long", "read_committed"))
            group.create_task(self._enqueue_on("repeatable", "repeatable_read"))
            group.create_task(self._enqueue_on("serial", "serializable"))
            try:
                yield
            finally:
                self._stopped.set()

    async def _enqueue_on(self, name: str, isolation: Isolation) -> None:
        number = 0
        while not self._stopped.is_set():
            made: dict[str, UUID] = {}
            # The same through all repetitions, and mostly that of the other one too.
            second = int(time.monotonic())
            while not made:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        made = await self._once(name, number, second, isolation)
                except LOST as error:
                    self.repeated += isinstance(error, asyncpg.SerializationError)
                    await asyncio.sleep(0.05)
            for key, one in made.items():
                # Whoever came first: the key names the same job to everybody.
                assert self._acknowledged.setdefault(key, one) == one
            number += 1
            # Between two of them the tables are free for who needs them alone.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), LONG_S if name == "long" else SNAPSHOT_S)

    async def _once(self, name: str, number: int, second: int, isolation: Isolation) -> dict[str, UUID]:
        connection = await connect(self._dsn)
        try:
            transaction = connection.transaction(isolation=isolation)
            await transaction.start()
            if name == "long":
                made = await self._long(connection, number)
            else:
                made = await self._late(connection, [f"{name}-{number}", f"both-{second}"])
            await transaction.commit()
            return made
        finally:
            connection.terminate()

    async def _long(self, connection: Connection, number: int) -> dict[str, UUID]:
        """Enqueue, and hold it back from everybody for seconds."""
        wanted = [job(f"long-{number}-{place}", "long") for place in range(3)]
        made = {str(one.key): await enqueue(connection, one) for one in wanted}
        await connection.execute(SLEEP, LONG_S)
        return made

    async def _late(self, connection: Connection, keys: list[str]) -> dict[str, UUID]:
        """Enqueue by a snapshot that is old."""
        await connection.execute(SLEEP, SNAPSHOT_S)
        wanted = [job(key, "late") for key in keys]
        made = await enqueue_many(connection, wanted)
        return {str(one.key): got.id for one, got in zip(wanted, made, strict=True)}
