"""SIGKILL of the embedded Postgres under load; its owner starts it again, and everybody goes on by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
from tests.conftest import PG_BIN, migrated

from jobledger.embedded import Server
from jobledger.store.pool import connect
from jobledger.store.recovery import open_store, persist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.faults.conftest import Crew, Ledger, Load

    from jobledger.store.pool import Connection, Store


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Run a server of the test's own as users have it, safe on disk, migrated."""
    async with migrated(Server(tmp_path / "pg", pg_bin=PG_BIN)) as made:
        yield made


COPY = "select jobledger.copy_queue(0::smallint)"


async def copying(connection: Connection) -> None:
    """Copy the live tables, as soon as no worker is at it."""
    while not await connection.fetchval(COPY):
        pass


@pytest.mark.parametrize(
    ("crashes", "unlogged"),
    [
        pytest.param(1, True, id="once", marks=pytest.mark.slow),
        pytest.param(8, True, id="unlogged", marks=pytest.mark.slow),
        pytest.param(8, False, id="logged", marks=pytest.mark.slow),
    ],
)
async def test_a_killed_server_loses_nothing_acknowledged_and_doubles_nothing(
    server: Server,
    over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]],
    crashes: int,
    unlogged: bool,
) -> None:
    """Workers reconnect, live tables that were lost are made anew, enqueuers ask again, and every job ends once."""
    crew, ledger, load, store = await over_server(server.dsn)
    async with store:
        await open_store(store)
        assert await persist(store, unlogged=unlogged) != unlogged
        hands = [crew.hire(), crew.hire()]
        async with load.going_on():
            for _ in range(crashes):
                # Load from all sides in this run of the server: each hand finishes some in it.
                await asyncio.gather(*(hand.ends_more(20) for hand in hands))
                # Recovery goes on from a copy that was made under load, not from the next one, which lacks its commit.
                async with store.connection() as connection:
                    await copying(connection)
                await asyncio.gather(*(hand.ends_more(5) for hand in hands))
                cut_off = await connect(server.dsn)
                await cut_off.execute("begin")
                await copying(cut_off)
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                await server.astart()
                cut_off.terminate()
        await ledger.all_over()
        assert [hand.process.poll() for hand in hands] == [None, None]
        await crew.dismiss()
        await ledger.agrees(load.acknowledged.values(), crew.notes())
        # What was enqueued but not acknowledged was found again by its key.
        assert await ledger.value("select count(*) from jobledger.idempotency") == len(load.acknowledged)


@pytest.mark.slow
async def test_server_and_workers_killed_together_lose_and_double_nothing(
    server: Server, over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]]
) -> None:
    """With the server gone and every worker killed meanwhile, fresh workers finish what was acknowledged."""
    crew, ledger, load, store = await over_server(server.dsn)
    async with store:
        await open_store(store)
        async with load.going_on():
            for _ in range(3):
                hands = [crew.hire(), crew.hire()]
                await asyncio.gather(*(hand.noted("ended") for hand in hands))
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                for hand in hands:
                    hand.kill()
                await server.astart()
            crew.hire()
        await ledger.all_over()
        await crew.dismiss()
        await ledger.agrees(load.acknowledged.values(), crew.notes())
