"""`bench pickup`: how long an idle worker takes from a job's commit to the handler's first line."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.measurement import Meter
from jobledger.errors import Unavailable
from jobledger.jobs.app import App
from jobledger.jobs.client import Client
from jobledger.store.pool import Store
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from jobledger.bench.measurement import Bench

_PAUSE_S: Final = (0.005, 0.040)
_PATIENCE_S: Final = 30.0


async def pickup(bench: Bench) -> None:
    """Enqueue one job after the other on an idle system, at random moments, and time each.

    Figures in milliseconds, from the answer to the enqueue (the commit) until the handler starts; a handler that starts
    before the answer is read counts as 0. `jobs_per_s` is the pace at which this was done, not a limit.
    """
    setup = bench.setup
    app = App("bench")
    started: asyncio.Queue[float] = asyncio.Queue()

    @app.job(name="bench.pickup")
    async def note() -> None:
        started.put_nowait(time.perf_counter())

    chance = random.Random(0)  # noqa: S311 - spreads the moments, no secret
    waits: list[float] = []
    async with await Store.connect(bench.dsn) as store:
        worker = Worker(app, store, concurrency=setup.concurrency)
        client = Client(store, app=app)
        async with worker:
            await _one(client, note, started)  # the first waits for the worker's own start
            meter = Meter(bench, setup.jobs)
            await meter.start()
            for number in range(setup.jobs):
                await asyncio.sleep(chance.uniform(*_PAUSE_S))
                waits.append(await _one(client, note, started, setup.tenant(number)))
                bench.progress("picking up", number + 1, setup.jobs)
            elapsed_s = meter.stop()
    cuts = statistics.quantiles(waits, n=100, method="inclusive") if len(waits) > 1 else waits * 99
    bench.figures |= {
        "jobs_per_s": round(setup.jobs / elapsed_s, 1),
        "pickup_ms": {
            "mean": _ms(statistics.fmean(waits)),
            "p50": _ms(cuts[49]),
            "p95": _ms(cuts[94]),
            "p99": _ms(cuts[98]),
            "max": _ms(max(waits)),
        },
        "elapsed_s": round(elapsed_s, 3),
        **await meter.cost(),
    }


async def _one(client: Client, note: Any, started: asyncio.Queue[float], tenant: str = "default") -> float:
    await note.using(tenant=tenant, client=client).enqueue()
    committed = time.perf_counter()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return max(0.0, await started.get() - committed)
    except TimeoutError:
        raise Unavailable(f"The worker did not take a job within {_PATIENCE_S:.0f} s.") from None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
