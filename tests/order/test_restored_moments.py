"""Tokens of answers that a lost server gave: what is restored answers the very same, or says that it cannot."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

import asyncpg
import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.errors import MomentLost

from .clusters import backed_up, ended, rolled_back, server_in, storage_copied, told
from .readers import service, works
from .record import Record, said
from .test_restores import REPLAYED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from jobledger.embedded import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

# What was seen is on disk, as it is on a server that is not a test's.
SAFE = "do $$ begin execute format('alter database %I set synchronous_commit = on', current_database()); end $$"
SEALED = "select exists (select from jobledger.blocks where sealed_at > $1::text::timestamptz)"


class Told(NamedTuple):
    """How many answers were the same, and how many could not be given."""

    same: int
    lost: int


@contextlib.asynccontextmanager
async def asking(record: Record) -> AsyncIterator[None]:
    """Ask for lists within the block."""

    async def ask_on() -> None:
        while True:
            await record.page(tenant="t1", limit=5)
            await record.page(tenant="t2", states=["ready", "running"])
            await record.page(limit=3)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(ask_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def some(record: Record, more: int = 30) -> None:
    """Wait until there are so many answers more."""
    goal = len(record.answers) + more
    await until(lambda: len(record.answers) >= goal)


async def again(dsn: str, record: Record) -> Told:
    """Ask for everything again after the service has worked there for a while: nothing is told otherwise."""
    async with service(dsn) as client:
        await works(client)
        await some(other := Record(client), 0)
        async with asking(other):
            await some(other)
        same, lost = 0, 0
        for question, then in record.answers:
            assert then.as_of is not None
            try:
                now = await client.jobs(**question, as_of=then.as_of.moment)
            except MomentLost:
                lost += 1
            else:
                assert said(now) == said(then)
                same += 1
        record.client = other.client = client
        assert await other.differing() == []
    return Told(same, lost)


async def _value(server: Server, sql: str, *values: str) -> str:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(sql, *values)  # type: ignore[no-any-return]
    finally:
        await connection.close()


async def test_tokens_after_a_promotion_that_missed_the_last_events(folder: Path, primary: Server) -> None:
    """Answers from before the gap are the same on the standby that took over; those that saw more are refused."""
    await _value(primary, SAFE)
    copy = folder / "standby of moments"
    await asyncio.to_thread(backed_up, primary, copy)
    host = (await _value(primary, "show unix_socket_directories")).strip('"')
    told(copy, "standby.signal", {"primary_conninfo": f"host={host} user=postgres", "hot_standby": "on"})
    standby = server_in(copy, max_prepared_transactions="20")
    try:
        await standby.astart()
        async with service(primary.dsn) as client:
            before, after = Record(client), Record(client)
            async with asking(before):
                await some(before)
            # Up to the block that came after the last answer.
            last = before.answers[-1][1].as_of
            assert last is not None
            await until(lambda: _value(primary, SEALED, str(last.at)))
            written = await _value(primary, "select pg_current_wal_insert_lsn()::text")
            await until(lambda: _value(standby, REPLAYED, written))
            await _value(standby, "alter system set primary_conninfo = ''")
            await _value(standby, "select pg_reload_conf()")
            await until(lambda: _value(standby, "select not exists (select from pg_stat_wal_receiver)"))
            # Behind the gap for sure.
            await works(client)
            async with asking(after):
                await some(after)
            await ended(primary)
        assert await _value(standby, "select pg_promote()")
        assert (await again(standby.dsn, before)).same >= len(before.answers) - 6
        assert await again(standby.dsn, after) == Told(0, len(after.answers))
    finally:
        await standby.astop()
        await primary.astart()


async def test_tokens_after_a_storage_was_rolled_back(folder: Path, primary: Server) -> None:
    """Nothing in the database tells it, and ids are given again: answers from what is lost are refused all the same."""
    await _value(primary, SAFE)
    async with service(primary.dsn) as client:
        before = Record(client)
        async with asking(before):
            await some(before)
    await ended(primary)
    await asyncio.to_thread(storage_copied, primary, folder / "storage of moments")
    await primary.astart()
    async with service(primary.dsn) as client:
        await works(client)
        after = Record(client)
        async with asking(after):
            await some(after)
    await ended(primary)
    await asyncio.to_thread(rolled_back, primary, folder / "storage of moments")
    await primary.astart()
    assert await again(primary.dsn, before) == Told(len(before.answers), 0)
    assert await again(primary.dsn, after) == Told(0, len(after.answers))
    async with Client(primary.dsn) as client:
        assert (await client.jobs(token=True)).as_of is not None
