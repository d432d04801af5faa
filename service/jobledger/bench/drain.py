"""`bench drain`: how fast worker processes empty a backlog of no-op jobs, with the whole history written."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from jobledger.bench.backlog import enqueue_all
from jobledger.bench.database import settle
from jobledger.bench.measurement import Meter
from jobledger.bench.workers import processes, working
from jobledger.errors import CheckFailed, Unavailable
from jobledger.store.pool import Store
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobledger.bench.measurement import Bench
    from jobledger.bench.workers import Process

_SILENCE_S: Final = 120.0
_POLL_S: Final = 0.005
_EVENTS_PER_JOB: Final = 3


async def drain(bench: Bench) -> None:
    """Fill the backlog, start the processes, then measure from "go" until the database holds no open job.

    Raises:
        CheckFailed: the log does not hold the whole history of every job afterwards.
        Unavailable: a worker process ended, or nothing moved for two minutes.
    """
    setup = bench.setup
    store = await Store.connect(bench.dsn, pool_min=setup.clients, pool_max=setup.clients)
    async with store:
        filling = Meter(bench, setup.jobs)
        await filling.start()
        await enqueue_all(bench, store, batch=setup.batch, what="filling the backlog")
        costs = await filling.cost("enqueue_")
    await settle(bench.connection)
    async with processes(bench, "drainer", setup.processes) as drainers:
        meter = Meter(bench, setup.jobs)
        await meter.start()
        async with working(drainers) as check:
            await _drained(bench, drainers, check)
            elapsed_s = meter.stop()
    costs |= await meter.cost("drain_")
    await _check(bench)
    bench.figures |= {
        "jobs_per_s": round(setup.jobs / elapsed_s),
        "elapsed_s": round(elapsed_s, 3),
        "wal_bytes_per_job": round(costs["enqueue_wal_bytes_per_job"] + costs["drain_wal_bytes_per_job"], 1),
        **costs,
        "events_per_job": _EVENTS_PER_JOB,
    }


async def _drained(bench: Bench, drainers: list[Process], check: Callable[[], None]) -> None:
    """Return as soon as no job is open. The database is asked only when the handlers are nearly through."""
    total = bench.setup.jobs
    seen, seen_at, asked_at = -1, time.monotonic(), time.monotonic()
    while True:
        check()
        handled = sum(drainer.handled for drainer in drainers)
        bench.progress("draining", handled, total)
        now = time.monotonic()
        if handled != seen:
            seen, seen_at = handled, now
        elif now - seen_at > _SILENCE_S:
            raise Unavailable(f"No job was run for {_SILENCE_S:.0f} s; {handled:,} of {total:,} were.")
        # Once a second in any case: a handler that ran twice would make the count a lie.
        if handled >= total - 2 * bench.setup.concurrency or now - asked_at > 1:
            asked_at = now
            if not await bench.connection.fetchval(statement("bench/open_jobs")):
                return
        await asyncio.sleep(_POLL_S)


async def _check(bench: Bench) -> None:
    """Compare the log with what was to happen: every job enqueued, claimed, succeeded, once each."""
    row = await bench.connection.fetchrow(statement("bench/history"))
    total = bench.setup.jobs
    if row is None or (row["jobs"], row["succeeded"], row["events"]) != (total, total, _EVENTS_PER_JOB * total):
        raise CheckFailed("The log does not hold exactly one whole history of each job.", detail=dict(row or {}))
