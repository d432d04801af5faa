"""Tenants' and global jobs in queues of their own: what the jobs of the one do to the waits of the other."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.beside import fill
from jobledger.bench.database import settle
from jobledger.bench.meter import Meter, whole_life
from jobledger.bench.quantiles import ratio, spread
from jobledger.bench.workers import drainers, working
from jobledger.errors import Unavailable
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.bench.measurement import Bench

_SLOTS: Final = 20
_SLEEP_S: Final = 0.01
_PATIENCE_S: Final = 300.0
_GLOBAL: Final = "_global"
_SYSTEM: Final = "system"
_DEFAULT: Final = "default"


async def sides(bench: Bench, *, waiting: int, measured: int) -> dict[str, Any]:
    """Return the waits of either side's jobs with and without `waiting` jobs of the other, each on a fresh database.

    Each queue has a worker of its own with 20 slots; a job holds its slot for 10 ms. A wait is from the workers'
    beginning to the claim, by the log. `worst_ratio` is of the tenant whose p99 moved most; what
    a job costs is with the other side's jobs, of both workers.
    """
    found: dict[str, Any] = {}
    for name in ("tenants", "global"):
        waits: dict[bool, Mapping[str, list[float]]] = {}
        costs: dict[str, Any] = {}
        for beside in (False, True):
            bench.say(f"waits of {name} {'with' if beside else 'without'} the other side's jobs")
            async with bench.elsewhere() as own:
                waits[beside], costs = await _waits(own, name == "global", measured, waiting if beside else 0)
        found[name] = {**_compared(waits[False], waits[True]), **costs}
    return found


async def _waits(
    bench: Bench, of_global: bool, measured: int, beside: int
) -> tuple[Mapping[str, list[float]], dict[str, Any]]:
    """Return the waits of each tenant in milliseconds, and what a job of either side cost."""
    filling = Meter(bench, measured + beside)
    await filling.begin_wal()
    for is_global, jobs in ((not of_global, beside), (of_global, measured)):
        if jobs and is_global:
            await fill(bench, jobs, tenants=0, prefix=_GLOBAL, queue=_SYSTEM, what="enqueuing global jobs")
        elif jobs:
            await fill(bench, jobs, tenants=bench.setup.tenants, what="enqueuing tenants' jobs")
    enqueued = await filling.wal()
    await settle(bench.connection)
    queue = _SYSTEM if of_global else _DEFAULT
    async with (
        drainers(bench, 1, concurrency=_SLOTS, queues={_DEFAULT: None}, sleep_s=_SLEEP_S) as ones,
        drainers(bench, 1, concurrency=_SLOTS, queues={_SYSTEM: None}, sleep_s=_SLEEP_S) as others,
    ):
        workers = [*ones, *others]
        meter = Meter(bench, None, workers)
        await meter.start()
        began_at = await bench.connection.fetchval(statement("bench/clock"))
        began = time.monotonic()
        async with working(workers) as check:
            while (done := await bench.connection.fetchval(statement("bench/claimed_of_queue"), queue)) < measured:
                check()
                if time.monotonic() - began > _PATIENCE_S:
                    raise Unavailable(f"The jobs were not claimed within {_PATIENCE_S:.0f} s.")
                bench.progress("claiming", done, measured)
                await asyncio.sleep(0.1)
            costs = whole_life(enqueued, await meter.cost())
            times = [await worker.times() for worker in workers]
    for what in ("claim", "report"):
        costs[f"{what}_ms"] = spread([ms for one in times for ms in one.get(f"{what}s_ms", ())])
    rows = await bench.connection.fetch(statement("bench/waits"), queue, began_at)
    return {row["tenant"]: list(row["waits_ms"]) for row in rows}, costs


def _compared(without: Mapping[str, list[float]], beside: Mapping[str, list[float]]) -> dict[str, Any]:
    p99 = {
        tenant: ((spread(waits) or {})["p99"], (spread(beside[tenant]) or {})["p99"])
        for tenant, waits in without.items()
        if tenant in beside
    }
    ratios = [found for one, other in p99.values() if (found := ratio(other, one)) is not None]
    return {
        "without_ms": spread([ms for waits in without.values() for ms in waits]),
        "with_ms": spread([ms for waits in beside.values() for ms in waits]),
        "worst_ratio": max(ratios, default=None),
    }
