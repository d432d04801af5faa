"""Two workers of different kinds on one queue: how soon few jobs of one are claimed behind many of the other."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.beside import fill
from jobledger.bench.database import settle
from jobledger.bench.quantiles import spread
from jobledger.bench.workers import drainers, working
from jobledger.errors import Unavailable

if TYPE_CHECKING:
    from jobledger.bench.measurement import Bench

_MANY: Final = "bench.many"
_FEW: Final = "bench.few"
_PATIENCE_S: Final = 300.0


async def kinds(bench: Bench, *, many: int, few: int) -> dict[str, Any]:
    """Return the seconds from both workers' beginning until the few have run; one tenant, one queue, the many first.

    Raises:
        Unavailable: it took longer than five minutes.
    """
    await fill(bench, many, tenants=1, kind=_MANY, what="enqueuing the many")
    await fill(bench, few, tenants=1, kind=_FEW, what="enqueuing the few")
    await settle(bench.connection)
    async with drainers(bench, 1, kind=_MANY) as (busy,), drainers(bench, 1, kind=_FEW) as (other,):
        began = time.monotonic()
        async with working([busy, other]) as check:
            while other.done.handled < few:
                check()
                if time.monotonic() - began > _PATIENCE_S:
                    raise Unavailable(f"The few jobs were not claimed within {_PATIENCE_S:.0f} s.")
                bench.progress("claiming the few", other.done.handled, few)
                await asyncio.sleep(0.005)
            elapsed_s = time.monotonic() - began
            meanwhile = busy.done.handled
            times = await other.times()
    return {
        "few_s": round(elapsed_s, 3),
        "many_run_meanwhile": meanwhile,
        "claim_ms": spread(times.get("claims_ms", [])),
    }
