"""`bench enqueue`: how many jobs a second can be handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.bench.backlog import enqueue_all
from jobledger.bench.measurement import Meter
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from jobledger.bench.measurement import Bench


async def enqueue(bench: Bench) -> None:
    """Enqueue the jobs by `clients` connections, `batch` a transaction; nobody works on them meanwhile."""
    setup = bench.setup
    store = await Store.connect(bench.dsn, pool_min=setup.clients, pool_max=setup.clients)
    async with store:
        meter = Meter(bench, setup.jobs)
        await meter.start()
        await enqueue_all(bench, store, batch=setup.batch, what="enqueuing")
        elapsed_s = meter.stop()
    bench.figures |= {
        "jobs_per_s": round(setup.jobs / elapsed_s),
        "elapsed_s": round(elapsed_s, 3),
        **await meter.cost(),
    }
