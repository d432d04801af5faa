"""Opening, the deliberate rebuild and repair: the tables become what the log says, under other people's work."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobledger.embedded import find_binaries
from jobledger.errors import InvalidArgument, NotOpen, SchemaMissing, Unavailable
from jobledger.observations import BlockedByPrepared, MismatchRepaired, ProjectionRebuilt, StoreOpened, observing
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.operate import act
from jobledger.store.pool import Store
from jobledger.store.recovery import compare, is_open, open_store, rebuild, repair
from jobledger.store.tick import tick

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Databases


async def some_jobs(store: Store, count: int = 20) -> list[UUID]:
    """Enqueue jobs, kill a few, and return all ids."""
    async with store.connection() as connection:
        ids = [one.id for one in await enqueue_many(connection, [NewJob("a", tenant="acme") for _ in range(count)])]
        await act(connection, 0, "kill", ids[:5], actor=None, reason=None)
    return ids


async def rows(store: Store) -> list[tuple[object, ...]]:
    """Return the view of all jobs."""
    async with store.connection() as connection:
        found = await connection.fetch("select id, state::text, head, attempt from jobledger.jobs order by id")
    return [tuple(row) for row in found]


async def test_opening_twice_rebuilds_once(store: Store) -> None:
    """A closed database is rebuilt from the log; an open one is left alone."""
    await some_jobs(store)
    before = await rows(store)
    async with store.connection() as connection:
        await connection.execute("select jobledger.close(0::smallint)")
        assert not await is_open(connection, 0)
        with pytest.raises(NotOpen):
            await act(connection, 0, "kill", [before[0][0]], actor=None, reason=None)  # type: ignore[list-item]
        await enqueue(connection, NewJob("a"))
    with observing(StoreOpened) as seen:
        opened = await open_store(store)
        again = await open_store(store)
    assert (opened.rebuilt, again.rebuilt) == (True, False)
    assert [one.rebuilt for one in seen] == [True, False]
    assert (await rows(store))[:-1] == before


async def test_two_openers_meet_and_one_rebuilds(store: Store) -> None:
    """The second waits and finds it done."""
    await some_jobs(store)
    async with store.connection() as connection:
        await connection.execute("select jobledger.close(0::smallint)")
    opened = await asyncio.gather(*(open_store(store) for _ in range(3)))
    assert sorted(one.rebuilt for one in opened) == [False, False, True]


async def test_opening_a_database_that_was_never_migrated_says_what_to_do(empty_database: str) -> None:
    """Not a driver's error about a function."""
    async with await Store.connect(empty_database) as store:
        with pytest.raises(SchemaMissing):
            await open_store(store)


@pytest.mark.parametrize("projection", ["queue", "status"])
async def test_a_rebuild_gives_the_same_rows(store: Store, projection: str) -> None:
    """And leaves the database open, and says what it did."""
    await some_jobs(store)
    before = await rows(store)
    with observing(ProjectionRebuilt) as seen:
        count = await rebuild(store, projection)  # type: ignore[arg-type]
    assert [(one.name, one.rows) for one in seen] == [(projection, count)]
    assert await rows(store) == before
    async with store.connection() as connection:
        assert await is_open(connection, 0)
        assert await compare(connection, 0) == []


async def test_a_rebuild_gives_up_while_a_table_is_held_and_leaves_the_database_open(store: Store) -> None:
    """Nobody queues behind it; afterwards all work as before."""
    await some_jobs(store)
    async with store.connection() as holder, holder.transaction():
        await holder.execute("select from jobledger.ready")
        with pytest.raises(Unavailable, match="2 attempts"):
            await rebuild(store, "queue", attempts=2)
    async with store.connection() as connection:
        assert await is_open(connection, 0)
        assert await compare(connection, 0) == []


async def test_an_unknown_projection_is_refused(store: Store) -> None:
    """And the database stays open."""
    with pytest.raises(InvalidArgument):
        await rebuild(store, "kinds")  # type: ignore[arg-type]
    async with store.connection() as connection:
        assert await is_open(connection, 0)


async def test_repair_makes_rows_what_their_streams_say(store: Store) -> None:
    """A lost row, a row too many, a wrong value and a wrong place are each found, told and mended."""
    ids = await some_jobs(store)
    before = await rows(store)
    async with store.connection() as connection:
        await connection.execute("delete from jobledger.ready where id = $1", ids[10])
        await connection.execute("delete from jobledger.finished where id = $1", ids[0])
        await connection.execute("update jobledger.ready set priority = 99 where id = $1", ids[11])
        await connection.execute("update jobledger.ready set head = 7 where id = $1", ids[12])
        wrong = await compare(connection, 0)
        assert {one.job for one in wrong} == {ids[0], ids[10], ids[11], ids[12]}
    with observing(MismatchRepaired) as seen:
        repaired = await repair(store, ids)
    assert {one.job for one in repaired} == {one.job for one in wrong}
    assert {job for one in seen for job in one.jobs} == {one.job for one in wrong}
    assert await rows(store) == before
    assert await repair(store, ids) == []


async def test_a_row_that_stays_locked_is_left_alone_and_told(store: Store) -> None:
    """The rest of its batch is repaired."""
    ids = await some_jobs(store, 8)
    async with store.connection() as holder, holder.transaction():
        await holder.execute("select from jobledger.ready where id = $1 for update", ids[6])
        async with store.connection() as connection:
            await connection.execute("update jobledger.ready set head = 7 where id <> $1", ids[6])
        with observing(BlockedByPrepared) as seen:
            repaired = await repair(store, ids)
    assert [one.job for one in seen] == [ids[6]]
    assert {one.job for one in repaired} == {ids[5], ids[7]}


async def test_a_restored_dump_is_rebuilt_from_its_log(store: Store, database: str, databases: Databases) -> None:
    """A dump carries unlogged rows and the queue snapshot along; in the new database neither is believed."""
    ids = await some_jobs(store)
    async with store.connection() as connection:
        assert await connection.fetchval("select jobledger.copy_queue(0::smallint)")
        await connection.execute("update jobledger.ready set priority = 9 where id = $1", ids[10])
        await connection.execute("delete from jobledger.ready where id = $1", ids[11])
    programs = find_binaries().folder
    dump = subprocess.run([programs / "pg_dump", database], capture_output=True, check=True)  # noqa: S603, ASYNC221 - our own programs
    name = databases.create()
    try:
        restored = databases.server.dsn_for(name)
        subprocess.run([programs / "psql", "-q", restored], input=dump.stdout, capture_output=True, check=True)  # noqa: S603, ASYNC221 - our own programs
        async with await Store.connect(restored) as other:
            # As on another server: only there do the carried rows have to be doubted.
            async with other.connection() as connection:
                await connection.execute("update jobledger.live set system_identifier = 1")
            opened = await open_store(other)
            assert (opened.rebuilt, opened.copied, opened.rows) == (True, 0, 15)
            async with other.connection() as connection:
                assert await compare(connection, 0) == []
    finally:
        databases.drop(name)


async def test_what_was_noted_of_another_cluster_does_not_stop_the_clockwork(store: Store) -> None:
    """A transaction that this server has not given yet, as a restored dump may note it, has ended elsewhere."""
    async with store.connection() as connection:
        job = await enqueue(connection, NewJob("a", run_at=datetime.now(UTC) + timedelta(hours=1)))
        await connection.execute("update jobledger.waiting set wake_at = now(), run_at = now()")
        await connection.execute("insert into jobledger.late (shard, xid, noted_at) values (0, '99999999999', now())")
        assert (await tick(connection, 0)).promoted == 1
        assert await connection.fetchval("select count(*) from jobledger.late") == 0
        assert await connection.fetchval("select id from jobledger.ready") == job


async def test_late_transactions_wait_for_read_committed_and_nothing_else_does(store: Store) -> None:
    """Where each transaction has one snapshot, what they left is not repaired; the rest of a tick is done."""
    async with store.connection() as connection:
        async with connection.transaction():
            job = await enqueue(connection, NewJob("a"))
            xid = await connection.fetchval("select pg_current_xact_id()::text")
        await connection.execute("delete from jobledger.ready")
        await connection.execute(
            "insert into jobledger.late (shard, xid, noted_at) values (0, $1::text::xid8, now())", xid
        )
        async with connection.transaction(isolation="repeatable_read"):
            assert (await tick(connection, 0)).repaired == 0
        assert await connection.fetchval("select count(*) from jobledger.late") == 1
        assert (await tick(connection, 0)).repaired == 1
        assert await connection.fetchval("select id from jobledger.ready") == job


async def test_a_late_transaction_whose_job_is_locked_does_not_hold_up_the_others(store: Store, database: str) -> None:
    """It goes behind those that were not tried yet; nothing says when the lock will end."""
    async with store.connection() as connection, await Store.connect(database, pool_max=1) as beside:
        ids, xids = [], []
        for _ in range(2):
            async with connection.transaction():
                ids.append(await enqueue(connection, NewJob("a")))
                xids.append(await connection.fetchval("select pg_current_xact_id()::text"))
        await connection.execute("delete from jobledger.ready where id = $1", ids[1])
        await connection.execute(
            "insert into jobledger.late (shard, xid, noted_at) select 0, x::xid8, now() from unnest($1::text[]) as x",
            xids,
        )
        async with beside.transaction() as holder:
            await holder.execute("select from jobledger.ready where id = $1 for update", ids[0])
            assert [(await tick(connection, 0)).repaired for _ in range(2)] == [0, 1]
        await tick(connection, 0)
        assert await connection.fetchval("select count(*) from jobledger.late") == 0
        assert await compare(connection, 0) == []
