"""A transaction of two million events among small ones."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.order.sealer import Sealer
from jobledger.store.pool import Store

from .stress import facts, seal_all, whole_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.order.log import Sealed

HUGE = 2_000_000
MEMORY_BYTES = 200 * 1024 * 1024
FILL = """
insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant)
select nextval('jobledger.position'), pg_current_xact_id(), now(), (n.start || lpad(to_hex(g), 12, '0'))::uuid,
  1, 'job.progressed', 0, 'huge'
from generate_series(1, $1::int) as g, (select left(jobledger.new_id(now())::text, 24) as start) as n
"""
BLOCKS = """
select sum(count) as events, max(count) as largest, max(parts) as parts, bool_and(count <= 10000) as bounded
from jobledger.blocks
"""
WRITTEN = "select count(*) from jobledger.events"
SMALL = "select stream_id, version from jobledger.events where tenant = 'small' order by position"
SEALED = "select exists (select from jobledger.blocks where parts > 1 and part = parts)"


@contextlib.asynccontextmanager
async def small_ones(client: Client) -> AsyncIterator[None]:
    """Enqueue one every 10 ms within the block."""

    async def enqueue() -> None:
        while True:
            await client.enqueue("noop", tenant="small")
            await asyncio.sleep(0.01)

    task = asyncio.create_task(enqueue())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def own_bytes(pid: int) -> int:
    """Return what a server process holds for itself, without the memory that all share."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def late_s(events: list[Sealed]) -> list[float]:
    """Return how long after their appending events were sealed, ascending."""
    return sorted((one.sealed_at - one.event.at).total_seconds() for one in events)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
async def test_two_million_events_of_one_transaction(store: Store) -> None:
    """Small ones are sealed at once while it is open; then it is cut by position, in bounded memory and time."""
    assert store.dsn is not None
    peak = 0
    async with Client(store, strict=False) as client, store.connection() as writer:
        async with await Store.connect(store.dsn, pool_min=1, pool_max=1) as own:
            async with own.connection() as connection:
                pid = connection.get_server_pid()
            sealing = asyncio.create_task(Sealer(own).run())
            async with small_ones(client):
                began = await writer.fetchval("select clock_timestamp()")
                async with writer.transaction():
                    await writer.execute(FILL, HUGE, timeout=300)
                    before = await writer.fetchval("select clock_timestamp()")

                async def sealed() -> object:
                    nonlocal peak
                    peak = max(peak, own_bytes(pid))
                    return await writer.fetchval(SEALED)

                await until(sealed, 240)
            sealing.cancel()
            await asyncio.wait([sealing])
        await seal_all(writer)
        blocks = await writer.fetchrow(BLOCKS)
        assert blocks is not None
        assert blocks["bounded"]
        assert blocks["parts"] in (HUGE // 10_000, HUGE // 10_000 + 1)
        assert blocks["events"] == await writer.fetchval(WRITTEN)
        small = await whole_log(writer, tenant="small", limit=10_000)
        assert facts(small) == [tuple(row) for row in await writer.fetch(SMALL)]
        during = late_s([one for one in small if one.event.at < before])
        # Had they waited for its end, it would be half of what filling took.
        assert during[len(during) // 2] < (before - began).total_seconds() / 10
        assert late_s(small)[-1] < 60
        assert peak < MEMORY_BYTES
