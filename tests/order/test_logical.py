"""A logical subscriber: rows come, sequences do not. Nobody appends there before it was opened."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.errors import NotOpen
from jobledger.store.recovery import compare

from .clusters import address, program
from .readers import Reader, caught_up, following, service, works
from .stress import nothing_amiss, seal_all

if TYPE_CHECKING:
    from jobledger.embedded import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

SYNCED = "select count(*) > 0 and bool_and(srsubstate = 'r') from pg_subscription_rel"
RECEIVED = "select pg_current_wal_lsn() <= confirmed_flush_lsn from pg_replication_slots where slot_name = 'copy'"


async def schema_of(source: Server, server: Server) -> str:
    """Make an empty database of the same schema on another server; returns its address."""
    dump = await asyncio.to_thread(
        subprocess.run, [program("pg_dump"), "--schema-only", source.dsn], capture_output=True, check=True
    )
    name = f"t_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(server.dsn_for("postgres"))
    await admin.execute(f"create database {name}")
    await admin.close()
    words = [program("psql"), "-q", "-v", "ON_ERROR_STOP=1", server.dsn_for(name)]
    done = await asyncio.to_thread(subprocess.run, words, input=dump.stdout, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return server.dsn_for(name)


async def test_a_logical_subscriber_takes_over(primary: Server, postgres: Server, template: str) -> None:
    """Until it is opened enqueuing answers not open and nothing else; then nothing is missing, and readers go on."""
    assert template, "whose migration made the roles on the other server"
    readers = [Reader(), Reader("t1")]
    publisher = await asyncpg.connect(primary.dsn)
    dsn = await schema_of(primary, postgres)
    subscriber = await asyncpg.connect(dsn)
    at = address(primary)
    async with service(primary.dsn) as client, following(readers, client):
        await publisher.execute("create publication log for tables in schema jobledger")
        await subscriber.execute(
            f"create subscription copy connection 'host={at['host']} port={at['port']} user=postgres dbname=jobledger'"
            " publication log"
        )
        await until(lambda: subscriber.fetchval(SYNCED))
        goal = [reader.seen + 50 for reader in readers]
        await until(lambda: all(one.seen > least for one, least in zip(readers, goal, strict=True)))
    await until(lambda: publisher.fetchval(RECEIVED))
    async with Client(dsn, strict=False) as client:
        with pytest.raises(NotOpen):
            await client.enqueue("noop")
        with pytest.raises(NotOpen):
            async with client.store.connection() as connection:
                await client.enqueue("noop", conn=connection)
    await subscriber.execute("drop subscription copy")
    await publisher.execute("drop publication log")
    async with service(dsn) as client, following(readers, client):
        await works(client)
    async with Client(dsn, strict=False) as client:
        await seal_all(subscriber)
        await caught_up(readers, client, await nothing_amiss(subscriber))
        assert [reader.reasons for reader in readers] == [[], []]
        assert await compare(subscriber, 0) == []
    await subscriber.close()
    await publisher.close()
