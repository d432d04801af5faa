"""`bench memory`: the resident size of a worker that drains many jobs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from jobledger.bench.beside import attach_partitions, fill
from jobledger.bench.drain import check_history
from jobledger.bench.meter import Meter
from jobledger.bench.plot import Lines
from jobledger.bench.quantiles import spread
from jobledger.bench.workers import drainers, working
from jobledger.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobledger.bench.measurement import Bench
    from jobledger.bench.workers import Process

_AHEAD: Final = 50_000
_STEP: Final = 10_000
_MB: Final = 1_000_000
_SILENCE_S: Final = 120.0
_POINTS: Final = 200

Sizes = list[tuple[int, int]]
"""The resident bytes after so many jobs."""


async def memory(bench: Bench) -> None:
    """Let one worker drain the jobs, which are enqueued as it goes, at most 50,000 ahead.

    `growth_mb` is the resident size after all of them less that after a tenth; the worker collects garbage as it does
    anywhere.
    """
    setup = bench.setup
    if setup.partitions:
        await attach_partitions(bench.connection, setup.partitions)
    async with drainers(bench, 1) as workers:
        worker = workers[0]
        meter = Meter(bench, setup.jobs, workers)
        await meter.start()
        async with working(workers) as check:
            feeding = asyncio.create_task(_feed(bench, worker))
            try:
                sizes = await _sizes(bench, worker, check, feeding)
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
            elapsed_s = meter.stop()
            costs = await meter.cost()
            times = await worker.times()
    await check_history(bench)
    tenth, last = _at(sizes, setup.jobs // 10), sizes[-1][1]
    bench.figures |= {
        "jobs_per_s": round(setup.jobs / elapsed_s),
        "elapsed_s": round(elapsed_s, 3),
        "resident_mb_after_tenth": round(tenth / _MB, 1),
        "resident_mb_after_all": round(last / _MB, 1),
        "resident_mb_most": round(max(size for _, size in sizes) / _MB, 1),
        "growth_mb": round((last - tenth) / _MB, 1),
        "claim_ms": spread(times.get("claims_ms", [])),
        "report_ms": spread(times.get("reports_ms", [])),
        **costs,
    }
    every = max(1, len(sizes) // _POINTS)
    line = [(float(done), size / _MB) for done, size in sizes[::every]]
    bench.panels.append(Lines("Resident size of the worker", "jobs", "MB", {"resident": line}))


async def _feed(bench: Bench, worker: Process) -> None:
    setup = bench.setup
    given = 0
    while given < setup.jobs:
        if given - worker.done.reported > _AHEAD - _STEP:
            await asyncio.sleep(0.01)
            continue
        count = min(_STEP, setup.jobs - given)
        await fill(bench, count, tenants=setup.tenants, what=None)
        given += count


async def _sizes(bench: Bench, worker: Process, check: Callable[[], None], feeding: asyncio.Task[None]) -> Sizes:
    total = bench.setup.jobs
    sizes: Sizes = []
    seen_at = time.monotonic()
    while not sizes or sizes[-1][0] < total:
        check()
        if feeding.done():
            feeding.result()
        done = worker.done
        if not sizes or done.reported > sizes[-1][0]:
            sizes.append((done.reported, done.resident_bytes))
            seen_at = time.monotonic()
            bench.progress("draining", done.reported, total)
        elif time.monotonic() - seen_at > _SILENCE_S:
            raise Unavailable(f"No job was run for {_SILENCE_S:.0f} s; {done.reported:,} of {total:,} were.")
        await asyncio.sleep(0.01)
    return sizes


def _at(sizes: Sizes, jobs: int) -> int:
    """Return the size when so many jobs had been done."""
    return next(size for done, size in sizes if done >= jobs)
