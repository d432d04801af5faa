"""Ids outside the log's partitions, and a partition that is added while readers and enqueuers are at work."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from tests.faults.lines import BLOCKED
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
ADD = "select jobledger.partitions_ensure(0::smallint, 6)"
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
async def test_a_partition_is_added_under_an_open_reader_and_nobody_waits_for_it(
    store: Store, database: str, ledger: Ledger, client: Client, isolation: str
) -> None:
    """A reader in an open transaction has the log; months are added, and not committed yet: jobs come, run and end."""
    work = Workplace()
    jobs: list[UUID] = []

    async def enqueue_some() -> None:
        jobs.extend([(await client.enqueue("short", {"ms": 0}, max_attempts=100)).id for _ in range(10)])

    reader = await asyncpg.connect(database)
    held = reader.transaction(isolation=isolation)  # type: ignore[arg-type]
    await held.start()
    counted = await reader.fetchval("select count(*) from jobledger.events")
    async with work.manned(database), asyncio.timeout(60):
        await enqueue_some()
        await ledger.all_over()
        async with store.transaction() as other:
            made = 0
            while made < 3:  # what no lock could be had for in time is left to the next call
                made += await other.fetchval(ADD)
            # Whoever had to stand behind one of its locks would stand here for ever.
            await enqueue_some()
            await ledger.all_over()
            assert await reader.fetchval("select count(*) from jobledger.events") >= counted
        assert await ledger.value("select jobledger.partitions_ahead()") == 6
        await enqueue_some()
        await ledger.all_over()
    await held.rollback()
    await reader.close()
    await ledger.agrees(jobs, work.notes)


async def test_enqueuers_pass_a_partition_that_waits_for_its_lock(
    store: Store, database: str, ledger: Ledger, client: Client
) -> None:
    """A vacuum has the log, say, and the new month waits for it: nobody waits behind the one that waits."""
    await ledger.fetch("alter function jobledger.partition_add set lock_timeout = '1min'")
    vacuum = await asyncpg.connect(database)
    held = vacuum.transaction()
    await held.start()
    await vacuum.execute("lock table jobledger.events in share update exclusive mode")
    async with store.connection() as other, asyncio.timeout(60):
        adding = asyncio.ensure_future(other.fetchval(ADD))
        await ledger.until(lambda: ledger.fetch(BLOCKED))
        await client.enqueue("short", {"ms": 0})
        assert len(await ledger.fetch("select from jobledger.ready")) == 1
        assert await ledger.fetch(BLOCKED)
        await held.rollback()
        assert await adding == 3
    await vacuum.close()


async def test_a_reader_that_holds_the_log_exclusively_is_not_waited_for_either(store: Store, database: str) -> None:
    """What no lock can be had for in time is left to the next tick."""
    reader = await asyncpg.connect(database)
    async with reader.transaction(), asyncio.timeout(20):
        await reader.execute("lock table jobledger.events in share mode")
        async with store.connection() as connection:
            assert await connection.fetchval(ADD) == 0
            assert await connection.fetchval("select jobledger.partitions_ahead()") == 3
    async with store.connection() as connection:
        assert await connection.fetchval(ADD) == 3
    await reader.close()
