"""A kept line: calls that follow each other closely go by one connection, which is there for others soon after."""

from __future__ import annotations

import subprocess
import sys

import asyncpg
import pytest
from tests.worker.conftest import until

from jobledger.jobs.client import Client
from jobledger.store import line as line_module
from jobledger.store.line import KeptLine
from jobledger.store.pool import Store, is_lost

PID = "select pg_backend_pid()"
PROGRAM = """
import asyncio, sys, asyncpg
from jobledger import Client

async def main():
    pool = await asyncpg.create_pool(sys.argv[1])
    client = Client(pool, strict=False)
    for _ in range(3):
        await client.enqueue("noop")
    if sys.argv[2] == "closed":
        await pool.close()
    print("done")

asyncio.run(main())
"""


async def pid_of_a_call(line: KeptLine) -> int:
    """Take the line for one call; return which connection it was."""
    lent = line.kept() or await line.borrowed()
    pid: int = await lent.connection.fetchval(PID)
    await line.settle(lent)
    return pid


async def test_calls_that_follow_each_other_keep_one_connection_for_a_while(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept as long as it is used, others go beside it, and soon after the last call the pool has it again."""
    monkeypatch.setattr(line_module, "_REST_S", 3600.0)
    async with await Store.connect(database, pool_max=6) as store:
        line = KeptLine(store)
        first = line.kept() or await line.borrowed()
        second = line.kept() or await line.borrowed()
        assert first.connection is not second.connection
        await line.settle(first)
        await line.settle(second)
        assert store.pool.get_size() - store.pool.get_idle_size() == 1
        assert len({await pid_of_a_call(line) for _ in range(5)}) == 1
        await line.close()
        assert store.pool.get_idle_size() == store.pool.get_size()
        monkeypatch.setattr(line_module, "_REST_S", 0.001)
        await pid_of_a_call(line)
        await until(lambda: store.pool.get_idle_size() == store.pool.get_size())


async def test_a_busy_line_is_given_back_now_and_then(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody waits for a connection while there is always a next call: it is next once the line was kept so long."""
    monkeypatch.setattr(line_module, "HELD_S", 0.0)
    monkeypatch.setattr(line_module, "_REST_S", 3600.0)
    async with await Store.connect(database, pool_max=6) as store:
        line = KeptLine(store)
        await pid_of_a_call(line)
        assert store.pool.get_idle_size() == store.pool.get_size()


async def test_what_met_an_error_is_not_kept_and_what_was_lost_is_not_lent(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call gets a sound connection, whether the last one failed or the server has ended it since."""
    monkeypatch.setattr(line_module, "_REST_S", 3600.0)
    async with await Store.connect(database, pool_max=6) as store:
        line = KeptLine(store)
        lent = await line.borrowed()
        await line.fail(lent, ZeroDivisionError())
        assert store.pool.get_idle_size() == store.pool.get_size()
        lent = await line.borrowed()
        pid = await lent.connection.fetchval(PID)
        await line.settle(lent)
        async with store.connection() as other:
            await other.execute("select pg_terminate_backend($1)", pid)
        await until(lambda: is_lost(lent.connection))
        assert await pid_of_a_call(line) != pid
        await line.close()


async def test_nothing_is_kept_of_a_small_pool(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There somebody may wait for it."""
    monkeypatch.setattr(line_module, "_REST_S", 3600.0)
    async with await Store.connect(database, pool_max=5) as store:
        await pid_of_a_call(KeptLine(store))
        assert store.pool.get_idle_size() == store.pool.get_size()


async def test_a_client_that_ends_gives_back_what_it_kept(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's pool can be closed at once, though the client is not the one to close it."""
    monkeypatch.setattr(line_module, "_REST_S", 3600.0)
    async with asyncpg.create_pool(database, min_size=1, max_size=6) as pool:
        async with Client(pool, strict=False) as client:
            await client.enqueue("noop")
            await client.enqueue("noop")
            assert pool.get_idle_size() == pool.get_size() - 1
        assert pool.get_idle_size() == pool.get_size()


@pytest.mark.parametrize("end", ["closed", "left"])
def test_a_program_that_forgets_its_client_ends_without_a_word(database: str, end: str) -> None:
    """Whether or not it closes its pool: no warning, no waiting."""
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, database, end],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
