"""The server is lost and its standby promoted: another timeline, without what was never written ahead."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.conftest import PG_BIN

from jobledger.embedded import Server, find_binaries
from jobledger.errors import NotOpen
from jobledger.jobs import Client
from jobledger.store.migrate import migrate
from jobledger.store.pool import connect
from jobledger.store.recovery import open_store, persist
from jobledger.store.tick import tick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.faults.conftest import Crew, Hand, Ledger, Load

    from jobledger.store.pool import Store

WRITTEN = "select pg_current_wal_insert_lsn()::text"
REPLAYED = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
TIMELINE = "select left(pg_walfile_name(pg_current_wal_lsn()), 8)"


def copied(primary: Server, folder: Path) -> Server:
    """Return a standby of a running server, not started yet: its base backup, in a data folder of its own."""
    standby = Server(folder, pg_bin=PG_BIN)
    standby.start()
    standby.stop()
    cluster = folder / "cluster"
    owner = cluster.stat()
    shutil.rmtree(cluster)
    at = {name: values[0] for name, values in parse_qs(urlsplit(primary.dsn).query).items()}
    words = ["-h", at["host"], "-p", at["port"], "-U", "postgres", "-D", str(cluster), "-R", "-X", "stream"]
    done = subprocess.run(  # noqa: S603 - Postgres's own program
        [find_binaries(PG_BIN).program("pg_basebackup"), *words, "-c", "fast"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if os.geteuid() == 0:
        for path in (cluster, *cluster.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    return standby


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Run a migrated server and its hot standby."""
    primary = Server(folder / "primary", pg_bin=PG_BIN)
    standby = None
    try:
        connection = await connect(await primary.astart())
        await migrate(connection)
        await connection.close()
        standby = await asyncio.to_thread(copied, primary, folder / "standby")
        await standby.astart()
        yield primary, standby
    finally:
        await primary.astop()
        if standby is not None:
            await standby.astop()


async def lost(primary: Server, standby: Server, ledger: Ledger, promoted: Ledger) -> None:
    """Wait until the standby has all that was written, end the server without a word, and promote the standby."""
    written = await ledger.value(WRITTEN)

    async def replayed() -> bool:
        return bool(await promoted.value(REPLAYED, written))

    await ledger.until(replayed)
    assert primary.pid is not None
    os.kill(primary.pid, signal.SIGKILL)
    assert await promoted.value("select pg_promote()")
    assert standby.running


async def killed_in_the_middle(crew: Crew) -> Hand:
    """Let a worker finish some jobs, and kill it while it runs others: they are running when the server is lost."""
    hand = crew.hire()
    await hand.ends_more(10)
    await hand.kill_in_the_middle()
    return hand


@pytest.mark.slow
@pytest.mark.parametrize("unlogged", [True, False], ids=["unlogged", "logged"])
async def test_a_promoted_standby_is_opened_anew_and_a_worker_goes_on(
    tmp_path: Path, over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]], unlogged: bool
) -> None:
    """Its timeline is another and its unlogged tables are empty: only enqueuing works until they are made anew."""
    async with pair(tmp_path) as (primary, standby):
        crew, ledger, load, store = await over_server(primary.dsn)
        after, promoted, _, second = await over_server(standby.dsn)
        async with store, second:
            await open_store(store)
            await persist(store, unlogged=unlogged)
            async with load.going_on(ms=30):
                await killed_in_the_middle(crew)
            jobs = set(load.acknowledged.values())
            jobs.add((await Client(store, strict=False).enqueue("short", {"ms": 1}, max_attempts=100)).id)
            first = await ledger.value(TIMELINE)
            await lost(primary, standby, ledger, promoted)

            assert await promoted.value(TIMELINE) != first
            jobs.add((await Client(second, strict=False).enqueue("short", {"ms": 1}, max_attempts=100)).id)
            with pytest.raises(NotOpen):
                async with second.connection() as connection:
                    await tick(connection, 0)
            running = "select count(*) from jobledger.running"
            assert (await promoted.value(running) == 0) is unlogged
            opened = await open_store(second)
            assert opened.rebuilt
            assert opened.rows >= 2
            assert await promoted.value(running) > 0
            assert not (await open_store(second)).rebuilt

            hand = after.hire()
            await promoted.all_over()
            assert hand.process.poll() is None
            await after.dismiss()
            await promoted.agrees(jobs, after.notes())
