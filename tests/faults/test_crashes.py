"""Crashes under load of every kind: enqueuers in autocommit, in long transactions, and in two phases across the crash.

SIGKILL of Postgres, or of a single backend, which makes the postmaster end all others and recover. Each time one
transaction is prepared before the crash and one between crash and recovery; both are committed after it, and a claim of
the second is held open while it is repaired.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Literal

import asyncpg
import pytest
from tests.conftest import PG_BIN, migrated
from tests.faults.conftest import Load, until

from jobledger.embedded import Server
from jobledger.errors import JobledgerError
from jobledger.jobs import Client
from jobledger.store.recovery import is_open, open_store, persist
from jobledger.store.reports import Report, report
from jobledger.store.tick import tick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from tests.faults.conftest import Crew, Ledger

    from jobledger.store.pool import Store

LOST = (JobledgerError, OSError, asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError)
ENQUEUE = "select jobledger.enqueue('short', '{\"ms\": 5}', max_attempts => 100)"
BEGIN = "begin; set local jobledger.notify = 'off'"
"""What is to be prepared must not tell workers that wait: Postgres prepares no transaction with a NOTIFY."""
WORKER = "select worker from jobledger.worker_start(0::smallint, null, null, array['short'], null, 30)"
CLAIM = "select claim from jobledger.claim_job(0::smallint, $1, 1, $2, array['short'])"
BACKEND = """
select pid from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
  and application_name = 'jobledger worker'
order by random() limit 1
"""
LATE = "select count(*) from jobledger.late"
NONE_LATE = "select where not exists (select from jobledger.late)"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Run a server of the test's own, safe on disk, that allows prepared transactions."""
    async with migrated(Server(tmp_path / "pg", settings={"max_prepared_transactions": "16"}, pg_bin=PG_BIN)) as made:
        yield made


@contextlib.asynccontextmanager
async def long_transactions(store: Store, acknowledged: dict[str, UUID], seconds: float) -> AsyncIterator[None]:
    """Enqueue inside the block in transactions of seconds, each begun again by the same keys until it is committed."""
    stopping = asyncio.Event()
    client = Client(store, strict=False)

    async def once(number: int) -> None:
        async with store.transaction() as conn:
            keys = [f"long-{number}-{place}" for place in range(3)]
            handles = [
                await client.enqueue("short", {"ms": 5}, key=key, max_attempts=100, tenant="long", conn=conn)
                for key in keys
            ]
            await conn.execute("select pg_sleep($1)", seconds)
        acknowledged.update(zip(keys, (handle.id for handle in handles), strict=True))

    async def enqueue_on() -> None:
        number = 0
        while not stopping.is_set():
            try:
                await once(number)
                number += 1
            except LOST:
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        group.create_task(enqueue_on())
        try:
            yield
        finally:
            stopping.set()


async def prepared(server: Server, name: str) -> UUID:
    """Enqueue a job in a transaction that is prepared under this name and not committed."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute(BEGIN)
    job: UUID = await connection.fetchval(ENQUEUE)
    await connection.execute(f"prepare transaction '{name}'")
    await connection.close()
    return job


async def crash(server: Server, of: Literal["server", "backend"]) -> None:
    """Kill the server, or one backend of it; return when it takes connections again."""
    witness = await asyncpg.connect(server.dsn)
    if of == "server":
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.astart()
        witness.terminate()
        return
    os.kill(await witness.fetchval(BACKEND), signal.SIGKILL)
    await until(witness.is_closed)

    async def answers() -> bool:
        with contextlib.suppress(*LOST):
            await (await asyncpg.connect(server.dsn)).close()
            return True
        return False

    await until(answers)


async def claim_held_open(server: Server, store: Store, name: str, job: UUID) -> None:
    """Commit what was prepared and claim its job; repair it while the claim is open; then give the job back."""
    claimer = await asyncpg.connect(server.dsn)
    worker = await claimer.fetchval(WORKER)
    async with store.connection() as connection:
        claim = claimer.transaction()
        await connection.execute(f"commit prepared '{name}'")
        await claim.start()
        version = await claimer.fetchval(CLAIM, worker, job)
        assert version is not None
        # One late transaction a tick; those of other rounds have been repaired.
        for _ in range(2):
            await tick(connection, 0)
        await claim.commit()
        verdicts = await report(claimer, 0, worker, [Report(job, version, "interrupted")])
        assert [one.verdict for one in verdicts] == ["accepted"]
    await claimer.close()


@pytest.mark.slow
@pytest.mark.parametrize("unlogged", [False, True], ids=["logged", "unlogged"])
@pytest.mark.parametrize("of", ["server", "backend"])
async def test_crashes_under_every_kind_of_load_lose_and_double_nothing(
    server: Server,
    over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]],
    of: Literal["server", "backend"],
    unlogged: bool,
) -> None:
    """Five crashes: what was acknowledged ends once, what was prepared ends once it is committed, the books agree."""
    crew, ledger, load, store = await over_server(server.dsn)
    async with store:
        await open_store(store)
        await persist(store, unlogged=unlogged)
        hands = [crew.hire(), crew.hire()]
        async with load.going_on(enqueuers=3, ms=50), long_transactions(store, load.acknowledged, 2.0):
            for number in range(5):
                await asyncio.gather(*(hand.ends_more(10) for hand in hands))
                # Ticks have seen to those of the round before, one after the other.
                await until(lambda: ledger.fetch(NONE_LATE))
                names = [f"before-{number}", f"between-{number}"]
                load.acknowledged[names[0]] = await prepared(server, names[0])
                # Nobody opens the database before the second one is prepared.
                for hand in hands:
                    hand.freeze()
                await crash(server, of)
                load.acknowledged[names[1]] = await prepared(server, names[1])
                await open_store(store)
                assert await ledger.value(LATE) == (2 if unlogged else 0)
                await ledger.fetch(f"commit prepared '{names[0]}'")
                await claim_held_open(server, store, names[1], load.acknowledged[names[1]])
                for hand in hands:
                    hand.thaw()
        await ledger.all_over(90)
        await until(lambda: ledger.fetch(NONE_LATE))
        assert [hand.process.poll() for hand in hands] == [None, None]
        await crew.dismiss()
        await ledger.agrees(load.acknowledged.values(), crew.notes())


@pytest.mark.slow
@pytest.mark.parametrize("unlogged", [False, True], ids=["logged", "unlogged"])
async def test_a_killed_backend_is_a_crash_that_everybody_survives(
    server: Server,
    over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]],
    unlogged: bool,
) -> None:
    """The postmaster starts everything anew; the worker and the enqueuers go on, and open what was emptied."""
    crew, ledger, load, store = await over_server(server.dsn)
    async with store:
        await open_store(store)
        await persist(store, unlogged=unlogged)
        hand = crew.hire()
        async with load.going_on(enqueuers=2, ms=5):
            await hand.noted("ended")
            await crash(server, "backend")
            await hand.ends_more(5)
        await ledger.all_over()
        await crew.dismiss()
        await ledger.agrees(load.acknowledged.values(), crew.notes())
        async with store.connection() as connection:
            assert await is_open(connection, 0)
