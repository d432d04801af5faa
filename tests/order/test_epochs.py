"""Epochs: what becomes of the order where transaction ids begin to mean something else."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import orjson
import pytest
from tests.conftest import PG_BIN
from tests.faults.conftest import until

from jobledger import Client
from jobledger.embedded import find_binaries
from jobledger.errors import FeedReset, NotOpen, PreparedInTheWay
from jobledger.order.cursor import Place
from jobledger.order.log import log_end, seal
from jobledger.order.sealer import Sealer
from jobledger.store.pool import Store
from jobledger.store.recovery import compare, open_store

from .stress import ACT, Writers, facts, inversions, nothing_amiss, seal_all, whole_log

if TYPE_CHECKING:
    from jobledger.embedded import Server
    from jobledger.store.pool import Connection

EPOCHS = "select epoch from jobledger.epochs order by epoch"
WAITS = "select exists (select from pg_locks where relation = 'jobledger.events'::regclass and not granted)"
UNDONE = "begin; select jobledger.enqueue('noop'); rollback"
UNSEALED = "select jobledger.unsealed(0::smallint)"
MANY = """
select jobledger.enqueue_many((select jsonb_agg(jsonb_build_object('kind', 'noop')) from generate_series(1, 10000)))
"""
ELSEWHERE = """
alter table jobledger.epochs disable trigger user;
update jobledger.epochs set system_identifier = 1;
alter table jobledger.epochs enable trigger user;
update jobledger.live set system_identifier = 1
"""


async def restored(source: str, server: Server) -> str:
    """Dump a database and restore it on another server; returns its address there."""
    programs = find_binaries(PG_BIN)
    dump = await asyncio.to_thread(
        subprocess.run, [programs.program("pg_dump"), source], capture_output=True, check=True
    )
    name = f"t_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(server.dsn_for("postgres"))
    await admin.execute(f"create database {name}")
    await admin.close()
    words = [programs.program("psql"), "-q", "-v", "ON_ERROR_STOP=1", server.dsn_for(name)]
    done = await asyncio.to_thread(subprocess.run, words, input=dump.stdout, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return server.dsn_for(name)


async def elapsed_elsewhere(connection: Connection, transactions: int) -> None:
    """Let the events be of a cluster that had been so many transactions further, one for each of them."""
    await connection.execute("alter table jobledger.events disable trigger user")
    await connection.execute(
        "update jobledger.events set xid = (xid::text::bigint + $1 + position)::text::xid8", transactions
    )
    await connection.execute("alter table jobledger.events enable trigger user")


async def moved_elsewhere(connection: Connection) -> None:
    """Make the database believe that it was restored into this server."""
    await connection.execute(ELSEWHERE)


async def test_a_dump_restored_elsewhere_in_the_middle_of_a_run_goes_on(
    two_phase: str, postgres: Server, template: str
) -> None:
    """The ids of its transactions mean nothing there; a reader goes on by its cursor and gets each event once."""
    assert template, "whose migration made the roles on the other server"
    async with Client(two_phase, strict=False) as client:
        sealing = asyncio.create_task(Sealer(client.store).run())
        writers = Writers(two_phase, straggle_s=0.3)
        writing = asyncio.create_task(writers.run(6, 100.0))
        feed = client.events()
        before = [await anext(feed) for _ in range(100)]
        dsn = await restored(two_phase, postgres)
        writers.enough = True
        await writing
        sealing.cancel()
        await feed.aclose()
    async with Client(dsn, strict=False) as client, client.store.connection() as connection:
        # Enqueued before anybody has opened it: enqueuing never waits.
        early = await client.enqueue("noop")
        with pytest.raises(NotOpen):
            await seal(connection, 0)
        await open_store(client.store)
        late = await client.enqueue("noop")
        await seal_all(connection)
        order = await nothing_amiss(connection)
        assert facts(order)[-1] == (late.id, 1)
        assert (early.id, 1) in facts(order)
        assert [row["epoch"] for row in await connection.fetch(EPOCHS)] == [1, 2]
        seen = [(event.stream_id, event.version) for event in before]
        rest = [(e.stream_id, e.version) async for e in client.events(after=feed.cursor, live=False)]
        assert seen + rest == facts(order)
        assert await compare(connection, 0) == []


@pytest.mark.parametrize("parts", [1, 3])
async def test_what_was_not_sealed_is_carried_over(store: Store, parts: int) -> None:
    """Unsealed events, the rest of a cut, and what was in progress at the last look are in the new epoch, in order."""
    async with store.connection() as connection, store.connection() as straggler:
        first = await connection.fetchval("select jobledger.enqueue('noop')")
        await straggler.execute("begin")
        slow = await straggler.fetchval("select jobledger.enqueue('noop')")
        for _ in range(parts * 2):
            await connection.execute(
                'select * from jobledger.enqueue_many((select jsonb_agg(\'{"kind": "noop"}\'::jsonb)'
                " from generate_series(1, 4000)))"
            )
        await seal(connection, 0)
        place = await log_end(connection, 0)
        await straggler.execute("commit")
        late = await connection.fetchval("select jobledger.enqueue('noop')")
        await moved_elsewhere(connection)
        await open_store(store)
        await seal_all(connection)
        order = await nothing_amiss(connection)
        assert facts(order)[0] == (first, 1)
        after = facts(await whole_log(connection, place))
        assert {(slow, 1), (late, 1)} <= set(after)
        # After the floor: the opening itself, and the rebuild.
        assert [one.event.type for one in order[-2:]] == ["store.epoch_opened", "store.rebuilt"]
        data = order[-2].event.data
        assert data is not None
        assert data["epoch"] == 2
        assert data["carried"] == 2


async def test_prepared_transactions_that_appended_are_named_and_never_skipped(two_phase: str) -> None:
    """They would append below the floor: until they have ended there is no new epoch, and then nothing is missing."""
    async with await Store.connect(two_phase) as store, store.connection() as connection:
        await seal_all(connection)
        other = await asyncpg.connect(two_phase)
        await other.execute("begin")
        job = await other.fetchval("select jobledger.enqueue('noop')")
        await other.execute("prepare transaction 'in the way'")
        await other.execute("begin; create table public.harmless (); prepare transaction 'harmless'")
        await moved_elsewhere(connection)
        with pytest.raises(PreparedInTheWay) as refused:
            await open_store(store)
        assert refused.value.detail == {"prepared": ["in the way"]}
        await other.execute("commit prepared 'in the way'")
        await open_store(store)
        await other.execute("rollback prepared 'harmless'")
        await other.close()
        await seal_all(connection)
        assert (job, 1) in facts(await nothing_amiss(connection))


async def test_a_transaction_that_appends_is_waited_for(store: Store) -> None:
    """The new epoch begins when it has ended; it is not lost below the floor."""
    async with store.connection() as connection, store.connection() as other:
        await other.execute("begin")
        job = await other.fetchval("select jobledger.enqueue('noop')")
        await moved_elsewhere(connection)
        opening = asyncio.create_task(open_store(store))
        await until(lambda: connection.fetchval(WAITS))
        await other.execute("commit")
        assert (await opening).rebuilt
        await seal_all(connection)
        assert (job, 1) in facts(await nothing_amiss(connection))


async def test_a_position_is_drawn_behind_the_lock(store: Store) -> None:
    """Who waits for a new epoch to begin draws its position after it: below the floor it would never be sealed."""
    async with store.connection() as connection, store.connection() as other:
        job = await connection.fetchval("select jobledger.enqueue('noop')")
        await seal_all(connection)
        async with connection.transaction():
            await connection.execute("lock table jobledger.events in share mode")
            acting = asyncio.create_task(other.fetch(ACT, job, 3))
            async with store.connection() as third:
                await until(lambda: third.fetchval(WAITS))
            await connection.execute("select jobledger.enqueue('noop')")
            await moved_elsewhere(connection)
            assert await connection.fetchval("select jobledger.open_epoch()")
        assert [row["verdict"] for row in await acting] == ["done"]
        await open_store(store)
        await seal_all(connection)
        assert (job, 2) in facts(await nothing_amiss(connection))


@pytest.mark.parametrize("further", [20, 2_000_000_000])
async def test_a_tick_tells_of_what_came_behind_a_restore(store: Store, further: int) -> None:
    """What lies below the new epoch's floor is nothing to seal any more, whatever its transaction ids mean here."""
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue('noop')")
        await elapsed_elsewhere(connection, further)
        await moved_elsewhere(connection)
        await open_store(store)
        assert await connection.fetchval(UNSEALED)
        for _ in range(further if further < 100 else 1):
            await connection.execute("select jobledger.enqueue('noop')")
            assert await connection.fetchval(UNSEALED)
            await seal_all(connection)
            assert not await connection.fetchval(UNSEALED)
            await connection.execute(UNDONE)
            assert not await connection.fetchval(UNSEALED)


async def test_what_was_restored_costs_a_tick_nothing(store: Store) -> None:
    """Ids above all that were given here: to look whether something is to be sealed does not go through them."""
    async with store.connection() as connection:
        for _ in range(2):
            await connection.execute(MANY)
        await elapsed_elsewhere(connection, 2_000_000_000)
        await moved_elsewhere(connection)
        await open_store(store)
        await seal_all(connection)
        await connection.execute(UNDONE)
        assert not await connection.fetchval(UNSEALED)  # the session has its plans now
        (explained,) = orjson.loads(await connection.fetchval(f"explain (analyze, buffers, format json) {UNSEALED}"))
        assert explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"] < 40


async def test_the_first_position_behind_a_restore_is_a_new_one(store: Store) -> None:
    """A sequence that was not copied begins anew: opening sets it behind the last event, also behind a single one."""
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue('noop')")
        await connection.execute("alter sequence jobledger.position restart")
        await moved_elsewhere(connection)
        await open_store(store)
        await seal_all(connection)
        assert len(await nothing_amiss(connection)) == 3


async def test_old_ids_never_match_again(store: Store) -> None:
    """Events whose ids are younger than the new server's are sealed once, in the carry-over, and never again."""
    async with store.connection() as connection:
        for _ in range(5):
            await connection.execute("select jobledger.enqueue('noop')")
        await elapsed_elsewhere(connection, 20)
        await moved_elsewhere(connection)
        await open_store(store)
        for _ in range(60):
            await connection.execute("select jobledger.enqueue('noop')")
            await seal(connection, 0)
        assert len(await nothing_amiss(connection)) == 67


async def test_opening_twice_begins_one_epoch(store: Store) -> None:
    """Two openers at once, and one more later: the second finds it done."""
    async with store.connection() as connection:
        await moved_elsewhere(connection)
        await asyncio.gather(open_store(store), open_store(store))
        await open_store(store)
        assert [row["epoch"] for row in await connection.fetch(EPOCHS)] == [1, 2]


async def test_a_cursor_beyond_the_end_is_told_where_to_go_on(store: Store) -> None:
    """Blocks that a lost server sealed are not here: the reader is told, with a cursor at the end that both have."""
    async with Client(store, strict=False) as client, store.connection() as connection:
        await client.enqueue("noop")
        await seal(connection, 0)
        end = await log_end(connection, 0)
        lost = Place(end.block + 7, end.position + 70, end.epoch)
        unknown = await client.enqueue("noop")
        await moved_elsewhere(connection)
        await open_store(store)
        await seal_all(connection)
        for place in (lost, Place(end.block + 1, end.position, end.epoch), Place(10**6, 1, 9)):
            with pytest.raises(FeedReset) as told:
                await anext(client.events(after=place.text(), live=False))
            assert told.value.detail["reason"] == "beyond_end"
        # The number of a block was given anew, and others are in it: all of that epoch comes again.
        with pytest.raises(FeedReset) as told:
            await anext(client.events(after=Place(1, end.position + 1, 1).text(), live=False))
        again = client.events(after=told.value.detail["cursor"], live=False)
        assert [event async for event in again] == [one.event for one in await whole_log(connection)]
        with pytest.raises(FeedReset) as told:
            await anext(client.events(after=lost.text(), live=False))
        rest = client.events(after=told.value.detail["cursor"], live=False)
        events = [event async for event in rest]
        assert events[0].stream_id == unknown.id
        assert inversions(await whole_log(connection)) == 0
