"""Sealers and servers that are killed while they seal: nothing is sealed twice, left out or turned round."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.order.log import log_end

from .clusters import ended
from .readers import Reader, caught_up, following, service, works
from .stress import Writers, nothing_amiss, seal_all

if TYPE_CHECKING:
    from jobledger.embedded import Server
    from jobledger.order.cursor import Place
    from jobledger.store.pool import Connection

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

KILLS = 40
MANY = (
    "select jobledger.enqueue_many((select jsonb_agg(jsonb_build_object('kind', 'noop', 'tenant', 't1'))"
    " from generate_series(1, 5500)))"
)
STANDS = """
select pid from pg_stat_activity
where datname = current_database() and query like '%jobledger.seal(%' and wait_event = 'advisory' limit 1
"""
STANDING = """
create function public.stand() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(77);
  return new;
end
$$
"""


async def test_a_sealer_killed_between_any_two_of_its_steps(two_phase: str) -> None:
    """The next one goes on, also in the middle of a large difference; readers meanwhile get each event once."""
    readers = [Reader(), Reader("t1")]
    words = [sys.executable, "-m", "tests.order.mortal_sealer"]
    pipe = asyncio.subprocess.PIPE
    sealers = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2])
    assert sealers.stdin is not None
    assert sealers.stdout is not None
    connection = await asyncpg.connect(two_phase)
    writers = Writers(two_phase, straggle_s=0.2)
    writing = asyncio.create_task(writers.run(2, 60))
    deaths: set[bytes] = set()
    blocks: list[Place] = []
    async with Client(two_phase, strict=False) as client:
        async with following(readers, client):
            for kill in range(1, KILLS + 1):
                if kill % 13 == 0:
                    async with connection.transaction():
                        await connection.execute(MANY)
                        await connection.execute(MANY)
                sealers.stdin.write(f"{two_phase} {kill + 12}\n".encode())
                deaths.add(await asyncio.wait_for(sealers.stdout.readline(), 30))
                blocks.append(await log_end(connection, 0))
            writers.enough = True
            await writing
        sealers.stdin.close()
        assert await sealers.wait() == 0
        await seal_all(connection)
        await caught_up(readers, client, await nothing_amiss(connection))
    assert [reader.reasons for reader in readers] == [[], []]
    # They died in many places, and what they had done by then differs.
    assert len(deaths) >= KILLS // 2
    assert len(set(blocks)) > KILLS // 4
    await connection.close()


async def removed(connection: Connection) -> None:
    """Take the trigger away again, beside a service that is at it."""
    for attempt in range(20):
        try:
            await connection.execute("drop function if exists public.stand() cascade")
        except asyncpg.DeadlockDetectedError:
            assert attempt < 19
        else:
            return


@pytest.mark.parametrize(("at", "whole"), [("before", True), ("after", True), ("after", False)])
async def test_a_server_killed_while_it_seals(primary: Server, at: str, whole: bool) -> None:
    """Before the block's row is written, and between that and its commit: what was read by then stays as it was."""
    readers = [Reader(), Reader("t1")]
    async with service(primary.dsn) as client, following(readers, client):
        await until(lambda: all(reader.seen > 50 for reader in readers))
        connection = await asyncpg.connect(primary.dsn)
        await connection.execute(STANDING)
        await connection.execute(
            f"create trigger stand {at} insert on jobledger.blocks for each row execute function public.stand()"
        )
        await connection.execute("select pg_advisory_lock(77)")
        await until(lambda: connection.fetchval(STANDS))
        if whole:
            await ended(primary, signal.SIGKILL)
            connection.terminate()
            await primary.astart()
            connection = await asyncpg.connect(primary.dsn)
        else:
            assert await connection.fetchval("select pg_terminate_backend($1)", await connection.fetchval(STANDS))
            await connection.execute("select pg_advisory_unlock(77)")
        await removed(connection)
        await works(client)
    async with Client(primary.dsn, strict=False) as client:
        await seal_all(connection)
        await caught_up(readers, client, await nothing_amiss(connection))
    assert [reader.reasons for reader in readers] == [[], []]
    await connection.close()
