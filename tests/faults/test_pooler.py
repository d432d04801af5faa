"""Everybody behind PgBouncer in transaction mode: no session outlives a transaction."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from tests.faults.pooler import PROGRAM, Pooler, pooled
from tests.faults.workplace import BRISK, QUICK, Workplace
from tests.worker.isolated import app as isolated

from jobledger.errors import Unavailable
from jobledger.jobs import Client
from jobledger.observations import ConnectionLost, observing
from jobledger.settings import Settings
from jobledger.store.pool import Store, connect
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.conftest import Crew, Ledger


@pytest.fixture
async def pooler(database: str) -> AsyncIterator[Pooler]:
    """Run a pooler in front of the test's own database; without the program the test is skipped."""
    if PROGRAM is None:
        pytest.skip("there is no pgbouncer on this machine (looked in PATH and /usr/sbin)")
    async with pooled(database, PROGRAM) as made:
        yield made


async def spread(dsn: str) -> None:
    """See that two transactions of one connection may run on two sessions: that the pooler is one."""
    connection = await connect(dsn, pooler="transaction")
    other = await connect(dsn, pooler="transaction")
    first = await connection.fetchval("select pg_backend_pid()")
    async with other.transaction():
        assert await other.fetchval("select pg_backend_pid()") == first
        assert await connection.fetchval("select pg_backend_pid()") != first
    await connection.close()
    await other.close()


@pytest.mark.parametrize("direct", [False, True], ids=["polling", "with a direct listen_dsn"])
async def test_client_and_workers_behind_a_transaction_pooler(
    pooler: Pooler, database: str, ledger: Ledger, direct: bool
) -> None:
    """Jobs enqueued in all ways are worked off, over fewer server connections than there are clients."""
    await spread(pooler.dsn)
    work = Workplace()
    behind: dict[str, Any] = {"pooler": "transaction"}
    if direct:
        behind["listen_dsn"] = database
    async with await Store.connect(pooler.dsn, pooler="transaction", pool_min=1, pool_max=8) as own:
        client = Client(own, strict=False)
        async with work.manned(pooler.dsn, workers=2, settings=behind):
            made = await asyncio.gather(
                *(client.enqueue("short", {"ms": 1}, tenant=f"t{n // 2 % 3}", key=f"k{n // 2}") for n in range(60))
            )
            jobs = {handle.id for handle in made}
            assert len(jobs) == 30
            async with own.transaction() as connection:
                jobs.add((await client.enqueue("short", {"ms": 1}, conn=connection)).id)
            await ledger.until(lambda: work.ended() == jobs)
            await ledger.all_over()
    await ledger.agrees(jobs, work.notes)


async def test_who_has_not_said_that_a_pooler_answers_is_told_to(pooler: Pooler) -> None:
    """What the pooler refuses at the start of a connection comes with the setting to make."""
    with pytest.raises(Unavailable) as told:
        await connect(pooler.dsn)
    assert "JOBLEDGER_POOLER" in (told.value.hint or "")


async def test_a_pooler_that_dies_is_waited_for(pooler: Pooler, ledger: Ledger) -> None:
    """Its end is a lost connection to everybody; when it is back the same worker and client go on."""
    work = Workplace()
    async with await Store.connect(pooler.dsn, pooler="transaction", pool_min=1, pool_max=4) as own:
        client = Client(own, strict=False)
        with observing(ConnectionLost) as seen:
            async with work.manned(pooler.dsn, settings={"pooler": "transaction"}):
                work.gate.clear()
                jobs = {(await client.enqueue("short", {"ms": 1}, max_attempts=100)).id for _ in range(5)}
                await ledger.until(lambda: len(work.notes) == 5)
                pooler.kill()
                work.gate.set()
                await ledger.until(lambda: {"claim", "report"} <= {one.where for one in seen})
                with pytest.raises(Unavailable):
                    await client.enqueue("short", {"ms": 1})
                await pooler.start()
                jobs.add((await client.enqueue("short", {"ms": 1}, max_attempts=100)).id)
                await ledger.all_over()
    await ledger.agrees(jobs, work.notes)


@pytest.mark.slow
async def test_what_a_child_process_enqueues_goes_through_the_pooler_too(pooler: Pooler, ledger: Ledger) -> None:
    """A handler of its own process is told what its worker was told, not what the environment says."""
    settings = Settings(**QUICK, pooler="transaction")
    async with (
        await Store.connect(pooler.dsn, settings=settings, pool_min=0, pool_max=2) as own,
        Worker(isolated, pooler.dsn, settings=settings, manner=BRISK),
    ):
        follow = await Client(own).enqueue("follow")
        await ledger.reaches(follow.id, "succeeded")
        await ledger.all_over()
    assert await ledger.value("select count(*) from jobledger.jobs where kind = 'add' and state = 'succeeded'") == 1


@pytest.mark.slow
async def test_worker_processes_and_the_command_line_behind_a_transaction_pooler(
    pooler: Pooler, crew: Crew, ledger: Ledger
) -> None:
    """The commands take the pooler's address and the setting, and do what they do without it."""
    behind = {"JOBLEDGER_POOLER": "transaction"}

    async def run(*words: str, status: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jobledger", *words, "--dsn", pooler.dsn),
            env={**os.environ, **behind},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told = (await process.communicate())[0].decode()
        assert process.returncode == status, told
        return told

    hands = [crew.hire(dsn=pooler.dsn, **behind) for _ in range(2)]
    for number in range(3):
        await run("enqueue", "short", "--lax", "--args", '{"ms": 5}', "--key", f"k{number}")
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(enqueue_by_itself(pooler.dsn, number))
    jobs = [row[0] for row in await ledger.fetch("select id from jobledger.jobs")]
    assert len(jobs) == 43
    await ledger.all_over()
    assert str(jobs[0]) in await run("jobs")
    assert "succeeded" in await run("history", str(jobs[0]))
    await run("tick")
    await run("open")
    await run("migrate")
    await run("rebuild", "queue")
    await run("live", "--logged")
    await run("live", "--unlogged")
    # The test's server is set for speed, which the doctor tells; what else it looks at is well.
    told = (await run("doctor", status=8)).splitlines()
    assert {line.split()[1] for line in told if line.startswith("alarm")} == {"settings"}
    assert [hand.process.poll() for hand in hands] == [None, None]
    await crew.dismiss()
    await ledger.agrees(jobs, crew.notes())


async def enqueue_by_itself(dsn: str, number: int) -> None:
    """Enqueue by plain SQL, on a connection of its own, as any driver would."""
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    call = "select jobledger.enqueue('short', jsonb_build_object('ms', $1::int), max_attempts => 100)"
    await connection.fetchval(call, number % 7)
    await connection.close()
