"""Sealing: what a block is, when it is refused, and sealers that come, stop and die."""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING

import asyncpg
import orjson
import pytest
from tests.faults.conftest import until

from jobledger.errors import InvalidArgument
from jobledger.observations import SealingStalled, observing
from jobledger.order import sealer as sealers
from jobledger.order.cursor import Place
from jobledger.order.log import log_end, seal
from jobledger.order.sealer import Sealer
from jobledger.store.tick import tick

from .stress import Writers, facts, nothing_amiss, seal_all, whole_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.store.pool import Connection, Store
    from jobledger.testing.clock import Clock

MANY = """
select * from jobledger.enqueue_many((select jsonb_agg(jsonb_build_object('kind', 'noop')) from generate_series(1, $1)))
"""
BLOCKS = "select first_position, last_position, part, parts, sealed_at from jobledger.blocks order by block"
READ_BY_KEY = """
select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relname like 'events%' and indexrelname like '%pkey'
"""
SEALER = """
import asyncio, sys
from jobledger.order.sealer import Sealer
from jobledger.store.pool import Store

async def main():
    async with await Store.connect(sys.argv[1], pool_min=1) as store:
        await Sealer(store, busy_s=0.001, idle_s=0.005).run()

asyncio.run(main())
"""


@pytest.fixture
async def sql(store: Store) -> AsyncIterator[Connection]:
    """Give one connection of the test's own database."""
    async with store.connection() as connection:
        yield connection


async def test_a_large_difference_is_cut_by_position(sql: Connection) -> None:
    """25,000 events of one transaction, among others, make blocks of at most 10,000, one a call."""
    await sql.fetch(MANY, 3)
    async with sql.transaction():
        for _ in range(5):
            await sql.fetch(MANY, 5000)
    await sql.fetch(MANY, 2)
    said = [tuple(await seal(sql, 0))[1:3] for _ in range(4)]
    assert said == [(10_000, True), (10_000, True), (5_005, False), (0, False)]
    rows = await sql.fetch(BLOCKS)
    assert [(row["part"], row["parts"]) for row in rows] == [(1, 3), (2, 3), (3, 3)]
    ends = [(row["first_position"], row["last_position"]) for row in rows]
    assert all(before[1] < after[0] for before, after in pairwise(ends))
    assert len(await nothing_amiss(sql)) == 25_005


async def test_events_that_come_in_between_a_cut_are_in_a_later_block(sql: Connection) -> None:
    """The parts of a difference were fixed with the first: what commits meanwhile is not among them."""
    for _ in range(3):
        await sql.fetch(MANY, 5000)
    assert (await seal(sql, 0)).more
    late = await sql.fetchval("select jobledger.enqueue('noop')")
    assert (await seal(sql, 0)).events == 5000
    assert (await seal(sql, 0)).events == 1
    assert facts(await nothing_amiss(sql))[-1] == (late, 1)


async def test_partitions_of_blocks_are_made_ahead(sql: Connection) -> None:
    """Every thousandth block looks: two partitions of a million lie ahead of the last block, fenced like the first."""
    await sql.execute(
        "alter table jobledger.blocks disable trigger user; alter table jobledger.blocks_0 disable trigger user"
    )
    await sql.fetch(MANY, 1)
    await seal(sql, 0)
    await sql.execute("update jobledger.blocks set block = 999999")
    await sql.fetch(MANY, 1)
    assert (await seal(sql, 0)).block == 1_000_000
    for part in range(4):
        assert await sql.fetchval("select to_regclass('jobledger.blocks_' || $1::int) is not null", part)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await sql.execute("truncate jobledger.blocks_3")
    assert refused.value.sqlstate == "JL700"
    assert len(await whole_log(sql, Place(999_998))) == 2


async def test_sealing_is_refused_where_it_would_see_itself(sql: Connection) -> None:
    """In a transaction that has written, or of another level than READ COMMITTED; nothing is sealed then."""
    await sql.fetch(MANY, 1)
    for begin in (
        "begin; select pg_current_xact_id()",
        "begin isolation level repeatable read",
        "begin isolation level serializable",
    ):
        await sql.execute(begin)
        with pytest.raises(InvalidArgument):
            await seal(sql, 0)
        await sql.execute("rollback")
    await sql.execute("begin")
    assert (await seal(sql, 0)).block == 1
    await sql.execute("rollback")
    assert (await seal(sql, 0)).block == 1


async def test_a_block_waits_for_the_disk_where_its_writers_did_not(sql: Connection) -> None:
    """What a reader has seen outlives a crash: the seal's own commit is synchronous, whatever the session says."""
    await sql.fetch(MANY, 1)
    for session in ("off", "local"):
        await sql.execute(f"set synchronous_commit = {session}")
        await sql.fetch(MANY, 1)
        async with sql.transaction():
            assert (await seal(sql, 0)).block is not None
            assert await sql.fetchval("show synchronous_commit") == "on"
    await sql.execute("reset synchronous_commit")


async def test_sealed_at_never_goes_back(sql: Connection, clock: Clock) -> None:
    """Where the clock does, the time of the last block is kept."""
    await sql.fetch(MANY, 1)
    await seal(sql, 0)
    await clock.advance(minutes=-30)
    await sql.fetch(MANY, 1)
    await seal(sql, 0)
    first, second = (row["sealed_at"] for row in await sql.fetch(BLOCKS))
    assert first == second


async def test_two_at_once_do_not_wait_for_each_other(sql: Connection, store: Store) -> None:
    """The second says that it is busy, at once; what the first wrote is not written again."""
    await sql.fetch(MANY, 1)
    async with store.connection() as other:
        await sql.execute("begin")
        assert (await seal(sql, 0)).block == 1
        assert tuple(await seal(other, 0))[:4] == (None, 0, False, True)
        await sql.execute("commit")
        assert tuple(await seal(other, 0))[:4] == (None, 0, False, False)


@pytest.mark.parametrize("end", ["before", "after"])
async def test_a_sealer_that_dies_in_the_middle_leaves_nothing_half(
    sql: Connection, store: Store, database: str, end: str
) -> None:
    """Ended before its row is written, or before it is committed: the next one seals the same events, once."""
    await sql.fetch(MANY, 7)
    dying = await asyncpg.connect(database)
    pid = dying.get_server_pid()
    if end == "before":
        await sql.execute("begin; lock table jobledger.blocks in share mode")
        task = asyncio.create_task(seal(dying, 0))
        waits = "select exists (select from pg_locks where pid = $1 and not granted)"
        async with store.connection() as watch:
            await until(lambda: watch.fetchval(waits, pid))
            await watch.fetchval("select pg_terminate_backend($1, 5000)", pid)
        await sql.execute("rollback")
        await asyncio.wait([task])
        assert task.exception() is not None
    else:
        await dying.execute("begin")
        assert (await seal(dying, 0)).events == 7
        dying.terminate()
        await until(lambda: sql.fetchval("select not exists (select from pg_stat_activity where pid = $1)", pid))
    assert await sql.fetchval("select count(*) from jobledger.blocks") == 0
    assert (await seal(sql, 0)).events == 7
    await nothing_amiss(sql)


@pytest.mark.parametrize("kills", [pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(400)])])
async def test_sealers_killed_under_load_lose_and_repeat_nothing(two_phase: str, kills: int) -> None:
    """SIGKILL at any moment, and the next one takes over; a reader sees no seam."""
    connection = await asyncpg.connect(two_phase)
    writers = Writers(two_phase, straggle_s=0.2)
    writing = asyncio.create_task(writers.run(4, 300.0))
    for _ in range(kills):
        before = (await log_end(connection, 0)).block
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", SEALER, two_phase)
        await until(lambda before=before: _beyond(connection, before + 3))  # type: ignore[misc]
        process.kill()
        await process.wait()
    writers.enough = True
    await writing
    await seal_all(connection)
    await nothing_amiss(connection)
    await connection.close()


async def _beyond(connection: Connection, block: int) -> bool:
    return (await log_end(connection, 0)).block >= block


async def test_one_sealer_is_at_it_and_another_takes_its_place(store: Store, sql: Connection) -> None:
    """Of three, one seals while the others stand by; when it ends, one of them goes on within seconds."""
    sealers = [Sealer(store, busy_s=0.005) for _ in range(3)]
    tasks = [asyncio.create_task(sealer.run()) for sealer in sealers]

    async def one_is_at_it() -> bool:
        await sql.fetch(MANY, 1)
        await asyncio.sleep(0.01)
        return sum(not sealer.standing_by for sealer in sealers) == 1

    await until(one_is_at_it)
    at_it = next(place for place, sealer in enumerate(sealers) if not sealer.standing_by)
    tasks[at_it].cancel()
    await asyncio.wait([tasks[at_it]])
    end = await log_end(sql, 0)
    await sql.fetch(MANY, 1)
    await until(lambda: _beyond(sql, end.block + 1), 30)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_an_idle_sealer_is_woken_by_a_hint(store: Store, sql: Connection) -> None:
    """It seldom looks while nothing happens; a hint makes it look at once."""
    sealer = Sealer(store, idle_s=60.0)
    # The pauses double up to that: as if it had found nothing for a long time.
    sealer.pause_s = 40.0
    task = asyncio.create_task(sealer.run())
    await until(lambda: sealer.pause_s == 60)
    await sql.fetch(MANY, 1)
    sealer.hint()
    await until(lambda: _beyond(sql, 1), 30)
    task.cancel()
    await asyncio.wait([task])


async def test_a_sealer_that_ticks_tell_looks_when_they_say_so(
    store: Store, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they find nothing it seldom looks by itself; once they find something it does, until it is sealed."""
    monkeypatch.setattr(sealers, "TOLD_S", 600.0)
    monkeypatch.setattr(sealers, "_NEWS_S", 600.0)
    sealed = asyncio.Event()
    sealer = Sealer(store, sealed=sealed.set)
    sealer.pause_s = 400.0
    sealer.told(unsealed=False)
    task = asyncio.create_task(sealer.run())
    try:
        await until(lambda: sealer.pause_s == 600.0)
        async with sql.transaction(), store.connection() as other:
            await sql.fetch(MANY, 1)
            assert (await tick(other, 0)).unsealed is False
        assert (await tick(sql, 0)).unsealed
        assert not sealed.is_set()
        sealer.told(unsealed=True)
        async with asyncio.timeout(60):
            await sealed.wait()
        assert (await tick(sql, 0)).unsealed is False
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_tick_tells_of_what_was_committed_late(store: Store, sql: Connection) -> None:
    """Its position lies below those that were sealed before; and who appends nothing is nothing to seal."""
    await seal_all(sql)
    async with store.connection() as other, store.connection() as third:
        async with sql.transaction(), third.transaction():
            await third.execute("create temporary table elsewhere ()")
            await sql.fetch(MANY, 1)
            await other.fetch(MANY, 1)
            await seal_all(other)
            assert (await tick(other, 0)).unsealed is False
        assert (await tick(other, 0)).unsealed
        await seal_all(other)
        assert (await tick(other, 0)).unsealed is False
        async with sql.transaction():
            await sql.execute("create temporary table elsewhere ()")
            await other.fetch(MANY, 1)
            await seal_all(other)
        assert (await tick(other, 0)).unsealed is False
        assert len(await nothing_amiss(sql)) == 3


async def test_positions_drawn_for_nothing_leave_nothing_to_seal(store: Store, sql: Connection) -> None:
    """An append that was rolled back, or goes on: sealing would find nothing, however often it was told to look."""
    await sql.fetch(MANY, 1)
    await seal_all(sql)
    await sql.execute("begin; select jobledger.enqueue('noop'); rollback")
    assert (await tick(sql, 0)).unsealed is False
    async with store.connection() as other, other.transaction():
        await other.fetch(MANY, 1)
        assert (await tick(sql, 0)).unsealed is False
        await sql.fetch(MANY, 1)
        assert (await tick(sql, 0)).unsealed
        await seal_all(sql)
        assert (await tick(sql, 0)).unsealed is False
    assert (await tick(sql, 0)).unsealed
    await seal_all(sql)
    assert len(await nothing_amiss(sql)) == 3


async def test_a_tick_tells_of_what_it_appends_itself(sql: Connection) -> None:
    """Its own id may be above all that its snapshot knows of; it is told before the commit."""
    await sql.fetch(MANY, 1)
    await seal_all(sql)
    async with sql.transaction():
        await sql.fetch(MANY, 1)
        assert (await tick(sql, 0)).unsealed


async def test_a_tick_tells_of_the_rest_of_a_large_difference(sql: Connection) -> None:
    """Its first part is sealed, and its snapshot says that all of it is."""
    for _ in range(3):
        await sql.fetch(MANY, 5000)
    assert (await seal(sql, 0)).more
    assert (await tick(sql, 0)).unsealed
    await seal_all(sql)
    assert (await tick(sql, 0)).unsealed is False


async def test_a_pause_is_no_stall(store: Store, sql: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails at first after a long pause, has failed only just."""
    late_s = 0.0
    monkeypatch.setattr(sealers, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + late_s))
    tried = asyncio.Event()

    async def reopen() -> None:
        tried.set()

    sealer = Sealer(store, reopen=reopen, idle_s=600.0, stalled_s=300.0)
    sealer.pause_s = 400.0
    task = asyncio.create_task(sealer.run())
    try:
        await until(lambda: sealer.pause_s == 600.0)
        await sql.execute("update jobledger.live set timeline = 'ffffffff'")
        late_s = 400.0
        with observing(SealingStalled) as seen:
            sealer.hint()
            async with asyncio.timeout(60):
                await tried.wait()
        assert not seen
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_stall_is_told(store: Store, sql: Connection) -> None:
    """Where nothing can be sealed for a while, that is an observation; when it can again, it is."""
    await sql.fetch(MANY, 1)
    await sql.execute("alter function jobledger.seal rename to seal_gone")
    sealer = Sealer(store, stalled_s=0.0)
    with observing(SealingStalled) as seen:
        task = asyncio.create_task(sealer.run())
        await until(lambda: bool(seen))
    assert seen[0].error == "SchemaMissing"
    await sql.execute("alter function jobledger.seal_gone rename to seal")
    await until(lambda: _beyond(sql, 1))
    task.cancel()
    await asyncio.wait([task])


async def test_a_reader_of_one_tenant_has_the_order_of_all(sql: Connection) -> None:
    """The order of a filtered feed is that of the whole log, with the others left out."""
    jobs = [{"kind": "noop", "tenant": f"t{at % 3}"} for at in range(30)]
    await sql.fetch("select * from jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())
    await seal_all(sql)
    whole = await whole_log(sql)
    one = await whole_log(sql, tenant="t1", limit=4)
    assert facts(one) == facts([event for event in whole if event.event.tenant == "t1"])


async def test_what_was_planned_on_an_empty_log_does_not_read_the_whole_one_later(sql: Connection) -> None:
    """A sealer's or a reader's plans are as old as its connection: each block is found by transaction ids then, too."""

    async def rows_read() -> int:
        await sql.execute("select pg_stat_force_next_flush()")
        return await sql.fetchval(READ_BY_KEY)  # type: ignore[no-any-return]

    for _ in range(2):
        await sql.fetch(MANY, 1)
        await seal_all(sql)
        await whole_log(sql)
        await sql.fetch("select from jobledger.sealed_between(0::smallint, 0, 10)")
    await sql.fetch(MANY, 3000)
    await seal_all(sql)
    before = await rows_read()
    place = await log_end(sql, 0)
    for _ in range(3):
        await sql.fetch(MANY, 1)
        await seal_all(sql)
        await sql.fetch("select from jobledger.sealed_between(0::smallint, $1, 1000)", place.block)
        assert len(await whole_log(sql, place)) == 1
        place = await log_end(sql, 0)
    assert await rows_read() - before < 1000
