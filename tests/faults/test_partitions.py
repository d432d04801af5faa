"""Ids outside the log's partitions, and a partition that is added while readers and enqueuers are at work."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from tests.faults.workplace import Workplace

from jobledger.errors import IdOutOfWindow, NoPartition
from jobledger.ids import first_id_at, new_id
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many

if TYPE_CHECKING:
    from tests.faults.conftest import Ledger

    from jobledger.jobs import Client
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

WRITTEN = """
select (select count(*) from jobledger.events) + (select count(*) from jobledger.ready)
  + (select count(*) from jobledger.waiting) + (select count(*) from jobledger.idempotency)
"""
FAR_OFF = {
    "before the first partition": first_id_at(datetime(2001, 1, 1, tzinfo=UTC)),
    "after the last partition": first_id_at(datetime(2200, 1, 1, tzinfo=UTC)),
    "the least": UUID(int=0),
    "the greatest": UUID(int=2**128 - 1),
    "in the range of control streams": UUID("ffffffff-0000-7000-8000-000000000000"),
    "no version 7": UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2"),
}


@pytest.mark.parametrize("id_", FAR_OFF.values(), ids=FAR_OFF.keys())
async def test_an_id_outside_the_partitions_is_a_named_error_and_changes_nothing(
    store: Store, ledger: Ledger, id_: UUID
) -> None:
    """One by one and in a batch, with and without a key; what comes after it works."""
    before = await ledger.value(WRITTEN)
    far = NewJob("short", {"ms": 1}, id=id_, key="k")
    async with store.connection() as connection:
        with pytest.raises((IdOutOfWindow, NoPartition)) as told:
            await enqueue(connection, far)
        assert told.value.hint
        with pytest.raises((IdOutOfWindow, NoPartition)) as told:
            await enqueue_many(connection, [NewJob("short", {"ms": 1}), far])
        assert told.value.detail["items"] == [1]
        assert await ledger.value(WRITTEN) == before
        await enqueue(connection, NewJob("short", {"ms": 1}, key="k"))


async def test_without_a_partition_for_the_hour_enqueue_says_so_until_a_tick_makes_one(
    store: Store, database: str, clock: Clock, ledger: Ledger, client: Client
) -> None:
    """A service that stood still for a year: the error names the way out, changes nothing, and workers mend it."""
    await clock.advance(timedelta(days=370))
    before = await ledger.value(WRITTEN)
    made = new_id(await clock.now())
    async with store.connection() as connection:
        for job in (NewJob("short", {"ms": 1}, key="k"), NewJob("short", {"ms": 1}, id=made)):
            with pytest.raises(NoPartition, match="tick"):
                await enqueue(connection, job)
            with pytest.raises(NoPartition, match="tick"):
                await enqueue_many(connection, [job])
    assert await ledger.value(WRITTEN) == before
    work = Workplace()
    async with work.manned(database):
        handle = await client.enqueue("short", {"ms": 1})
        await ledger.reaches(handle.id, "succeeded")
    await ledger.agrees([handle.id], work.notes)


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
async def test_a_partition_is_added_under_an_open_reader_and_enqueuers_do_not_wait(
    store: Store, database: str, ledger: Ledger, client: Client, isolation: str
) -> None:
    """A reader in an open transaction holds the log; months are added all the same, and enqueues go on beside."""
    work = Workplace()
    jobs: list[UUID] = []
    stopped = asyncio.Event()
    longest = 0.0

    async def enqueue_on() -> None:
        nonlocal longest
        while not stopped.is_set():
            began = asyncio.get_running_loop().time()
            jobs.append((await client.enqueue("short", {"ms": 0}, max_attempts=100)).id)
            longest = max(longest, asyncio.get_running_loop().time() - began)

    reader = await asyncpg.connect(database)
    held = reader.transaction(isolation=isolation)  # type: ignore[arg-type]
    await held.start()
    counted = await reader.fetchval("select count(*) from jobledger.events")
    async with work.manned(database):
        going = asyncio.create_task(enqueue_on())
        async with asyncio.timeout(20), store.connection() as other:
            made = 0
            while made < 3:  # what no lock could be had for in time is left to the next call
                made += await other.fetchval("select jobledger.partitions_ensure(0::smallint, 6)")
        assert made == 3
        assert await reader.fetchval("select count(*) from jobledger.events") >= counted
        await ledger.until(lambda: len(jobs) >= 20)
        stopped.set()
        await going
        await ledger.all_over()
    await held.rollback()
    await reader.close()
    # The lock is asked for within 200 ms at a time: nobody stands behind it for longer, but for the machine's own part.
    assert longest < 10.0
    await ledger.agrees(jobs, work.notes)


async def test_a_reader_that_holds_the_log_exclusively_is_not_waited_for_either(store: Store, database: str) -> None:
    """What no lock can be had for in time is left to the next tick."""
    reader = await asyncpg.connect(database)
    async with reader.transaction(), asyncio.timeout(20):
        await reader.execute("lock table jobledger.events in share mode")
        async with store.connection() as connection:
            assert await connection.fetchval("select jobledger.partitions_ensure(0::smallint, 6)") == 0
            assert await connection.fetchval("select jobledger.partitions_ahead()") == 3
    async with store.connection() as connection:
        assert await connection.fetchval("select jobledger.partitions_ensure(0::smallint, 6)") == 3
    await reader.close()
