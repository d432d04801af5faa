"""Lines: calls of one kind go by the same few connections, and none is kept that somebody else may need."""

from __future__ import annotations

import asyncio

import pytest

from jobledger.errors import Unreachable
from jobledger.store.pool import Store, is_lost
from jobledger.worker.lines import Lines

PID = "select pg_backend_pid()"


async def test_calls_of_one_kind_keep_their_connections(database: str) -> None:
    """One after the other by the same one, two at once by two; a third is given back, and all at the end."""
    async with await Store.connect(database, pool_max=6) as store:
        lines = Lines(store)
        async with lines.line() as one, lines.line() as two, lines.line() as three:
            pids = {await line.fetchval(PID) for line in (one, two, three)}
        assert len(pids) == 3
        assert store.pool.get_idle_size() == 1
        kept = set()
        for _ in range(5):
            async with lines.line() as one, store.connection() as other:
                kept.add(await one.fetchval(PID))
                assert await other.fetchval(PID) not in kept
        assert len(kept) == 1
        await lines.close()
        assert store.pool.get_idle_size() == store.pool.get_size()
        async with lines.line():
            pass
        assert store.pool.get_idle_size() == store.pool.get_size()


async def test_many_that_keep_connections_of_one_pool_leave_others_half_of_it(database: str) -> None:
    """Workers may share a pool: three kinds of call that keep two each would else have all six for themselves."""
    async with await Store.connect(database, pool_max=6) as store:
        kinds = [Lines(store) for _ in range(3)]
        for lines in kinds:
            async with lines.line(), lines.line():
                pass
        async with asyncio.timeout(20), store.connection(), store.connection(), store.connection():
            pass
        for lines in kinds:
            await lines.close()
        assert store.pool.get_idle_size() == store.pool.get_size()
        again = Lines(store)
        async with again.line() as one:
            pid = await one.fetchval(PID)
        async with store.connection() as other, again.line() as one:
            assert (await one.fetchval(PID), await other.fetchval(PID) == pid) == (pid, False)
        await again.close()


async def test_a_connection_that_met_an_error_is_not_kept(database: str) -> None:
    """It goes back, open or lost, and the next call gets a sound one; the error is the store's own."""
    async with await Store.connect(database, pool_max=6) as store:
        lines = Lines(store)
        with pytest.raises(ZeroDivisionError):
            async with lines.line():
                raise ZeroDivisionError
        assert store.pool.get_idle_size() == store.pool.get_size()
        with pytest.raises(Unreachable):
            async with lines.line() as line:
                await line.execute("select pg_terminate_backend(pg_backend_pid())")
        async with lines.line() as line:
            pid = await line.fetchval(PID)
        async with store.connection() as other:
            await other.execute("select pg_terminate_backend($1)", pid)
        async with asyncio.timeout(10):
            while not is_lost(line):  # noqa: ASYNC110 - the driver sets no event
                await asyncio.sleep(0.01)
        async with lines.line() as line:
            assert await line.fetchval(PID) != pid
        await lines.close()


async def test_nothing_is_kept_of_a_small_pool(database: str) -> None:
    """The caller's pool of two stays free for its caller."""
    async with await Store.connect(database, pool_max=2) as store:
        lines = Lines(store)
        async with lines.line() as line:
            await line.fetchval(PID)
        assert store.pool.get_idle_size() == store.pool.get_size()
