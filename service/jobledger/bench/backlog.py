"""Enqueues many jobs from several clients at once, each batch a transaction of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobledger.bench.noop import Noop
from jobledger.jobs.client import Client

if TYPE_CHECKING:
    from jobledger.bench.measurement import Bench
    from jobledger.store.pool import Store


async def enqueue_all(bench: Bench, store: Store, *, batch: int, what: str) -> None:
    """Enqueue the setup's jobs by its clients, `batch` a transaction (1: the call for a single job)."""
    setup = bench.setup
    noop = Noop()
    client = Client(store, app=noop.app)
    done = 0
    starts = iter(range(0, setup.jobs, batch))

    async def one_client() -> None:
        nonlocal done
        for start in starts:
            end = min(start + batch, setup.jobs)
            if batch == 1:
                await noop.job.using(tenant=setup.tenant(start), client=client).enqueue()
            else:
                await client.enqueue_many([noop.job.using(tenant=setup.tenant(n)).call() for n in range(start, end)])
            done += end - start
            bench.progress(what, done, setup.jobs)

    async with asyncio.TaskGroup() as clients:
        for _ in range(setup.clients):
            clients.create_task(one_client())
