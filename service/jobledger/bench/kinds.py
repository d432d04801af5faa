"""Two workers of different kinds on one queue: how soon few jobs of one are claimed behind many of the other."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.beside import fill
from jobledger.bench.database import settle
from jobledger.bench.meter import Meter, whole_life
from jobledger.bench.quantiles import spread
from jobledger.bench.workers import drainers, working
from jobledger.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobledger.bench.measurement import Bench

_MANY: Final = "bench.many"
_FEW: Final = "bench.few"
_ENOUGH: Final = 50_000
_PATIENCE_S: Final = 300.0


async def kinds(bench: Bench, *, many: int, few: int) -> dict[str, Any]:
    """Return the seconds from both workers' beginning until the few have run; one tenant, one queue, the many first.

    What a job costs is of both kinds, until 50,000 of the many have ended.

    Raises:
        Unavailable: it took longer than five minutes.
    """
    filling = Meter(bench, many + few)
    await filling.begin_wal()
    await fill(bench, many, tenants=1, kind=_MANY, what="enqueuing the many")
    await fill(bench, few, tenants=1, kind=_FEW, what="enqueuing the few")
    enqueued = await filling.wal()
    await settle(bench.connection)
    async with drainers(bench, 1, kind=_MANY) as (busy,), drainers(bench, 1, kind=_FEW) as (other,):
        meter = Meter(bench, None, [busy, other])
        await meter.start()
        began = time.monotonic()
        async with working([busy, other]) as check:

            async def until(what: Callable[[], int], least: int) -> None:
                while what() < least:
                    check()
                    if time.monotonic() - began > _PATIENCE_S:
                        raise Unavailable(f"The few jobs, or the first of the many, took over {_PATIENCE_S:.0f} s.")
                    bench.progress("claiming the few", other.done.handled, few)
                    await asyncio.sleep(0.005)

            await until(lambda: other.done.handled, few)
            elapsed_s = time.monotonic() - began
            meanwhile = busy.done.handled
            # What a job costs is not known before many have ended: the few are one claim.
            await until(lambda: other.done.reported, few)
            await until(lambda: busy.done.reported, min(many, _ENOUGH))
            costs = await meter.cost()
            times = await other.times()
    return {
        "few_s": round(elapsed_s, 3),
        "many_run_meanwhile": meanwhile,
        "claim_ms": spread(times.get("claims_ms", [])),
        "report_ms": spread(times.get("reports_ms", [])),
        **whole_life(enqueued, costs),
    }
