"""`bench enqueue`: how many jobs a second can be handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.bench.backlog import enqueue_all
from jobledger.bench.measurement import Meter
from jobledger.bench.workers import processes, working
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from jobledger.bench.measurement import Bench


async def enqueue(bench: Bench) -> None:
    """Enqueue the jobs by `clients` connections, `batch` a transaction; `processes` workers run them meanwhile, if any.

    The server's cost a job is then that of both. Raises `Unavailable` when a worker process ended meanwhile.
    """
    setup = bench.setup
    store = await Store.connect(bench.dsn, pool_min=setup.clients, pool_max=setup.clients)
    async with store, processes(bench, "drainer", setup.processes) as workers:
        meter = Meter(bench, setup.jobs)
        await meter.start()
        async with working(workers) as check:
            await enqueue_all(bench, store, batch=setup.batch, what="enqueuing")
            elapsed_s = meter.stop()
            check()
    bench.figures |= {
        "jobs_per_s": round(setup.jobs / elapsed_s),
        "elapsed_s": round(elapsed_s, 3),
        "run_meanwhile": sum(worker.handled for worker in workers),
        **await meter.cost(),
    }
