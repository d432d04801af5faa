"""`bench http --work`: workers through the service, a hundred jobs a claim, beside workers with a database.

Three ways in turns, each on a database of its own: `direct`, the drain of `bench drain`; `worker`, the same worker
through a service, of a hundred slots; `exchange`, the bare protocol: a hundred outcomes and the next hundred jobs a
request.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson

from jobledger.bench.backlog import clients, enqueue_all
from jobledger.bench.database import settle
from jobledger.bench.drain import check_history, drain
from jobledger.bench.http import made_key, served
from jobledger.bench.noop import KIND
from jobledger.bench.plot import Bars
from jobledger.bench.quantiles import ratio, spread
from jobledger.remote.connection import ServiceConnection, path_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.bench.measurement import Bench

BATCH: Final = 100
_HANDS: Final = 4


async def work(bench: Bench, *, turns: int) -> None:
    """Drain the same backlog each way, `turns` times; figures are medians."""
    bench.options |= {"batch": BATCH, "hands": _HANDS, "turns": turns}
    rates: dict[str, list[float]] = {"direct": [], "worker": [], "exchange": []}
    claims_ms: list[float] = []
    for turn in range(turns):
        for name, found in rates.items():
            bench.say(f"{name}, turn {turn + 1} of {turns}")
            async with bench.elsewhere() as one:
                if name == "exchange":
                    found.append(await _exchanged(one, claims_ms))
                else:
                    await drain(one, door=_door if name == "worker" else None)
                    found.append(one.figures["jobs_per_s"])
    medians = {name: statistics.median(found) for name, found in rates.items()}
    bench.figures |= {
        "direct_jobs_per_s": round(medians["direct"]),
        "worker_jobs_per_s": round(medians["worker"]),
        "exchange_jobs_per_s": round(medians["exchange"]),
        "worker_ratio_to_direct": ratio(medians["worker"], medians["direct"]),
        "exchange_ratio_to_direct": ratio(medians["exchange"], medians["direct"]),
        "exchange_ms": spread(claims_ms),
    }
    bench.panels.append(Bars("Draining", "jobs/s", medians))


@asynccontextmanager
async def _door(bench: Bench) -> AsyncIterator[dict[str, Any]]:
    """Serve, and say what the worker processes need to work through it."""
    key = await made_key(bench, "work")
    async with served(bench.dsn, keeps=True) as (url, _):
        yield {"url": url, "key": key, "concurrency": BATCH}


async def _exchanged(bench: Bench, waits_ms: list[float]) -> float:
    """Return the jobs a second that bare loops claim and report, a hundred of both a request."""
    setup = bench.setup
    async with clients(bench, setup.clients) as connections:
        await enqueue_all(bench, connections, batch=setup.batch, what="filling the backlog")
    await settle(bench.connection)
    async with _door(bench) as door, ServiceConnection(door["url"], door["key"]) as service:
        began = time.perf_counter()
        await asyncio.gather(*(_hand(service, waits_ms) for _ in range(_HANDS)))
        elapsed_s = time.perf_counter() - began
    await check_history(bench)
    return setup.jobs / elapsed_s


async def _hand(service: ServiceConnection, waits_ms: list[float]) -> None:
    worker = (await service.ask("POST", path_of("workers"), body={"kinds": [KIND]})).json()["worker"]
    path = path_of("workers", worker, "claim")
    call, reports = 0, list[dict[str, Any]]()
    while True:
        call += 1
        body = orjson.dumps({"call": call, "n": BATCH, "reports": reports, "terse": True})
        asked = time.perf_counter()
        jobs = (await service.ask("POST", path, body=body, again=True)).json()["jobs"]
        waits_ms.append((time.perf_counter() - asked) * 1000)
        if not jobs and not reports:
            return
        reports = [{"id": job["id"], "claim": job["claim"], "outcome": "succeeded"} for job in jobs]
