"""Transactions prepared across a crash: what they append is found, though the live tables were made without it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.conftest import PG_BIN

from jobledger.embedded import Server
from jobledger.store.migrate import migrate
from jobledger.store.pool import Store
from jobledger.store.recovery import compare, is_unlogged, open_store, persist
from jobledger.store.tick import tick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID


CANCEL = "select * from jobledger.act(0::smallint, 'cancel', null, $1, 'ada', 'no', '{}')"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Run a server that allows prepared transactions, safe on disk, with unlogged live tables."""
    made = Server(tmp_path / "pg", settings={"max_prepared_transactions": "8"}, pg_bin=PG_BIN)
    try:
        connection = await asyncpg.connect(await made.astart())
        await migrate(connection)
        await connection.close()
        async with await Store.connect(made.dsn) as store:
            await open_store(store)
            async with store.connection() as live:
                assert await is_unlogged(live)
        yield made
    finally:
        await made.astop()


async def prepared(server: Server, name: str) -> UUID:
    """Enqueue a job in a transaction that is prepared under this name and not committed."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("begin")
    job: UUID = await connection.fetchval("select jobledger.enqueue('noop')")
    await connection.execute(f"prepare transaction '{name}'")
    await connection.close()
    return job


async def test_jobs_of_prepared_transactions_survive_a_crash(server: Server) -> None:
    """Prepared before the crash, or between crash and rebuild: what commits is claimable, what rolls back is not."""
    plain = await asyncpg.connect(server.dsn)
    kept = await plain.fetchval("select jobledger.enqueue('noop')")
    await plain.close()
    before = await prepared(server, "before")
    lost = await prepared(server, "lost")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.astart()
    between = await prepared(server, "between")
    async with await Store.connect(server.dsn) as store:
        async with store.connection() as connection:
            assert await connection.fetchval("select count(*) from jobledger.ready") == 0
            assert not await connection.fetchval("select jobledger.is_open()")
        assert (await open_store(store)).rows == 1
        async with store.connection() as connection:
            assert await connection.fetchval("select count(*) from jobledger.late") == 3
            await tick(connection, 0)
            assert await connection.fetchval("select count(*) from jobledger.late") == 3
            await connection.execute("commit prepared 'before'")
            await connection.execute("commit prepared 'between'")
            await connection.execute("rollback prepared 'lost'")
            for _ in range(3):
                await tick(connection, 0)
            assert await connection.fetchval("select count(*) from jobledger.late") == 0
            rows = await connection.fetch("select id from jobledger.ready")
            assert {row["id"] for row in rows} == {kept, before, between}
            assert lost not in {row["id"] for row in rows}
            assert await compare(connection, 0) == []


async def test_prepared_transactions_and_a_crash_after_the_live_tables_were_copied(server: Server) -> None:
    """What was prepared before the copy and ends after the crash, or before the opening, is found beside the copy."""
    async with await Store.connect(server.dsn) as store, store.connection() as plain:
        cancelled, dropped, kept = [await plain.fetchval("select jobledger.enqueue('noop')") for _ in range(3)]
        enqueued, lost, early = [await prepared(server, name) for name in ("enqueued", "lost", "early")]
        for name, job in (("cancel", cancelled), ("forget", dropped)):
            async with await Store.connect(server.dsn) as other, other.connection() as acting:
                await acting.execute("begin")
                await acting.fetch(CANCEL, [job])
                await acting.execute(f"prepare transaction '{name}'")
        assert await plain.fetchval("select jobledger.copy_queue(0::smallint)")
        after = await plain.fetchval("select jobledger.enqueue('noop')")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.astart()
    async with await Store.connect(server.dsn) as store, store.connection() as connection:
        await connection.execute("commit prepared 'early'")
        between = await prepared(server, "between")
        opened = await open_store(store)
        assert (opened.copied, opened.rows) == (3, 5)
        for name in ("enqueued", "cancel", "between"):
            await connection.execute(f"commit prepared '{name}'")
        for name in ("lost", "forget"):
            await connection.execute(f"rollback prepared '{name}'")
        while await connection.fetchval("select count(*) from jobledger.late"):
            await tick(connection, 0)
        assert await compare(connection, 0) == []
        rows = await connection.fetch("select id from jobledger.ready")
        assert {row["id"] for row in rows} == {dropped, kept, enqueued, early, after, between}
        assert lost not in {row["id"] for row in rows}
        assert (
            await connection.fetchval("select state::text from jobledger.jobs where id = $1", cancelled) == "cancelled"
        )


async def test_a_job_that_is_being_claimed_is_not_brought_back(server: Server) -> None:
    """The claim of a late job is held open while it is repaired: it does not come back into `ready`."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.astart()
    job = await prepared(server, "between")
    async with await Store.connect(server.dsn) as store:
        await open_store(store)
        claimer = await asyncpg.connect(server.dsn)
        worker = await claimer.fetchval(
            "select worker from jobledger.worker_start(0::smallint, null, null, array['noop'], null, 30)"
        )
        async with store.connection() as connection:
            await connection.execute("commit prepared 'between'")
            claim = claimer.transaction()
            await claim.start()
            await claimer.fetch("select * from jobledger.claim_job(0::smallint, $1, 1, $2, array['noop'])", worker, job)
            await tick(connection, 0)
            await claim.commit()
            for _ in range(3):
                await tick(connection, 0)
            assert await connection.fetchval("select count(*) from jobledger.ready") == 0
            assert await connection.fetchval("select count(*) from jobledger.running") == 1
            assert await compare(connection, 0) == []
        await claimer.close()


async def test_the_live_tables_go_to_unlogged_and_back_with_what_they_hold(server: Server) -> None:
    """Neither way loses a row, and asking for what is so already changes nothing."""
    async with await Store.connect(server.dsn) as store, store.connection() as connection:
        await connection.fetchval("select jobledger.enqueue('noop')")
        for unlogged in (False, True, False):
            assert await persist(store, unlogged=unlogged)
            assert not await persist(store, unlogged=unlogged)
            assert await is_unlogged(connection) == unlogged
            assert await connection.fetchval("select count(*) from jobledger.ready") == 1
            assert await connection.fetchval("select jobledger.is_open()")
