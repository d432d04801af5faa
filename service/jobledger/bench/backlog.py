"""Enqueues many jobs from several clients at once, each on a connection of its own, each batch a transaction."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from jobledger.bench.meter import CLIENTS
from jobledger.bench.noop import Noop
from jobledger.jobs.client import Client
from jobledger.store import pool
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from jobledger.bench.measurement import Bench
    from jobledger.store.pool import Connection


@asynccontextmanager
async def clients(bench: Bench, count: int) -> AsyncIterator[list[Connection]]:
    """Open so many connections to the measurement's database, each for one client, and close them at the end."""
    async with AsyncExitStack() as stack:
        connections: list[Connection] = []
        for _ in range(count):
            connection = await pool.connect(bench.dsn, application_name=CLIENTS)
            stack.push_async_callback(connection.close)
            connections.append(connection)
        yield connections


async def enqueue_all(bench: Bench, connections: Sequence[Connection], *, batch: int, what: str) -> None:
    """Enqueue the setup's jobs by these connections, `batch` a transaction (1: the call for a single job)."""
    setup = bench.setup
    noop = Noop()
    done = 0
    starts = iter(range(0, setup.jobs, batch))

    async def one_client(connection: Connection) -> None:
        nonlocal done
        client = Client(Store(connection=connection), app=noop.app)
        for start in starts:
            end = min(start + batch, setup.jobs)
            if batch == 1:
                await noop.job.using(tenant=setup.tenant(start), client=client).enqueue()
            else:
                await client.enqueue_many([noop.job.using(tenant=setup.tenant(n)).call() for n in range(start, end)])
            done += end - start
            bench.progress(what, done, setup.jobs)

    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(one_client(connection))
