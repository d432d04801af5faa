"""Enqueuers whose own transactions are REPEATABLE READ or SERIALIZABLE, with workers draining beside them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.faults.workplace import Workplace

from jobledger.errors import Conflict, JobledgerError, UniqueTaken
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from uuid import UUID

    from tests.faults.conftest import Ledger

    from jobledger.store.pool import Connection, Isolation

LEVELS = ["repeatable_read", "serializable"]
ENQUEUERS = 5


class Enqueuer:
    """Enqueues in transactions of one isolation level, and repeats those that Postgres refuses with 40001."""

    def __init__(self, store: Store, isolation: Isolation) -> None:
        """Begin with nothing acknowledged."""
        self.store = store
        self.isolation = isolation
        self.acknowledged: set[UUID] = set()
        self.repeated = 0
        self.taken = 0
        self._together = asyncio.Barrier(ENQUEUERS)

    async def many(self, number: int, count: int) -> None:
        """One transaction after the other: a plain job, one with a contested key, one with a contested unique key."""
        for turn in range(count):
            contested = NewJob("short", {"ms": turn}, tenant="all", key=f"key{turn}", max_attempts=100)
            plain = NewJob("short", {"ms": 1}, tenant=f"t{number}", max_attempts=100)
            only = NewJob("short", {"ms": 1}, tenant="all", unique_key=f"only{turn % 3}", max_attempts=100)
            # All of them begin together, so that they meet, however busy the machine is.
            await self._together.wait()
            while True:
                try:
                    async with self.store.transaction(isolation=self.isolation) as connection:
                        made = [await enqueue(connection, contested)]
                        made += [one.id for one in await enqueue_many(connection, [plain, contested])]
                    async with self.store.transaction(isolation=self.isolation) as connection:
                        made.append(await enqueue(connection, only))
                except UniqueTaken:
                    self.taken += 1
                except asyncpg.SerializationError:
                    self.repeated += 1
                    continue
                self.acknowledged.update(made)
                break


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("count", [15, pytest.param(300, marks=pytest.mark.slow)])
async def test_enqueuers_of_any_isolation_lose_and_double_nothing(
    database: str, ledger: Ledger, isolation: Isolation, count: int
) -> None:
    """A key names one job whoever won, a unique key one open job; only 40001 is to be repeated, and that helps."""
    work = Workplace()
    async with await Store.connect(database, pool_min=1, pool_max=6) as own:
        enqueuer = Enqueuer(own, isolation)
        async with work.manned(database, workers=2):
            await asyncio.gather(*(enqueuer.many(number, count) for number in range(ENQUEUERS)))
            await ledger.all_over()
    assert await ledger.value("select count(*) from jobledger.idempotency") == count
    known = {row[0] for row in await ledger.fetch("select id from jobledger.jobs")}
    assert enqueuer.acknowledged <= known
    await ledger.agrees(known, work.notes)
    assert enqueuer.repeated > 0


@pytest.mark.parametrize("isolation", LEVELS)
async def test_a_key_taken_since_the_snapshot_is_40001_and_the_repeated_call_gets_the_first_ones_job(
    store: Store, ledger: Ledger, isolation: Isolation
) -> None:
    """What the page says of such callers: repeat the transaction."""
    job = NewJob("short", {"ms": 1}, key="k")
    async with store.connection() as late:
        transaction = late.transaction(isolation=isolation)
        await transaction.start()
        await late.fetchval("select count(*) from jobledger.jobs")
        async with store.connection() as early:
            first = await enqueue(early, job)
        with pytest.raises(asyncpg.SerializationError):
            await enqueue(late, job)
        await transaction.rollback()
    async with store.transaction(isolation=isolation) as again:
        assert await enqueue(again, job) == first
    assert (
        Counter([row["type"] for row in await ledger.fetch("select type::text from jobledger.events")])["job.enqueued"]
        == 1
    )


@pytest.mark.parametrize("isolation", ["read_committed", *LEVELS])
@pytest.mark.parametrize("many", [False, True], ids=["one", "batch"])
async def test_two_that_enqueue_the_same_id_at_once_make_one_job_and_one_named_error(
    store: Store, ledger: Ledger, isolation: Isolation, many: bool
) -> None:
    """The loser is told that the id is taken (or 40001, where its isolation asks for it), never a raw violation."""
    async with store.connection() as connection:
        wanted = await connection.fetchval("select jobledger.new_id(jobledger.now())")
    job = NewJob("short", {"ms": 1}, id=wanted)

    async def one(connection: Connection) -> None:
        if many:
            await enqueue_many(connection, [NewJob("short"), job])
        else:
            await enqueue(connection, job)

    async with store.connection() as first, store.connection() as second:
        outer, inner = first.transaction(), second.transaction(isolation=isolation)
        await outer.start()
        await inner.start()
        await one(first)
        losing = asyncio.ensure_future(one(second))
        waiting = "select wait_event_type = 'Lock' from pg_stat_activity where pid = $1"
        await ledger.until(lambda: ledger.value(waiting, second.get_server_pid()))
        await outer.commit()
        with pytest.raises((Conflict, asyncpg.SerializationError)) as told:
            await losing
        await inner.rollback()
    if isolation == "read_committed":
        assert isinstance(told.value, JobledgerError)
        assert told.value.code == "id_taken"
        assert told.value.detail == ({"items": [1]} if many else {})
    assert await ledger.value("select count(*) from jobledger.jobs where id = $1", wanted) == 1
    assert await ledger.value("select count(*) from jobledger.jobs") == (2 if many else 1)
