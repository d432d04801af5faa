"""How many claims pass until rows are taken that committed behind the keys a worker had read up to."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.backlog import clients
from jobledger.bench.beside import fill
from jobledger.bench.claimer import HandClaimer
from jobledger.bench.meter import CLIENTS, Meter, whole_life
from jobledger.bench.noop import KIND
from jobledger.bench.quantiles import spread
from jobledger.store.enqueue import NewJob, enqueue_many

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.bench.measurement import Bench

_TRANSACTIONS: Final = 10
_EACH: Final = 20
_BEFORE: Final = 40
_MOST: Final = 2_000


async def behind(bench: Bench, *, claim: int) -> dict[str, Any]:
    """Return in which claim after their commit late rows were taken, while every claim comes back full.

    Ten transactions enqueue 200 jobs first and commit when the worker has read far past them.
    """
    tenants = bench.setup.tenants
    late: set[UUID] = set()
    async with clients(bench, 1) as (connection,), clients(bench, _TRANSACTIONS) as others:
        async with AsyncExitStack() as stack:
            for number, other in enumerate(others):
                await stack.enter_async_context(other.transaction())
                jobs = [NewJob(KIND, tenant=bench.setup.tenant(number * _EACH + n)) for n in range(_EACH)]
                late |= {job.id for job in await enqueue_many(other, jobs)}
            filled = (_BEFORE + 2) * claim
            filling = Meter(bench, filled)
            await filling.begin_wal()
            await fill(bench, filled, tenants=tenants)
            enqueued = await filling.wal()
            hands = await HandClaimer.start(connection, claim)
            meter = Meter(bench, 1, backends=CLIENTS)
            await meter.start()
            for _ in range(_BEFORE):
                await hands.claim()
            meter.jobs = max(1, hands.finished)
            costs = whole_life(enqueued, await meter.cost())
        found: list[int] = []
        size, after = len(late), hands.claims
        while late and hands.claims - after < _MOST:
            taken = [job for job in await hands.claim() if job.id in late]
            late.difference_update(job.id for job in taken)
            found += [hands.claims - after] * len(taken)
            bench.progress("claiming what came late", size - len(late), size)
            await enqueue_many(connection, [NewJob(KIND, tenant=bench.setup.tenant(n)) for n in range(claim)])
        await hands.finish()
    return {
        "late_rows": size,
        "never_taken": len(late),
        "claims_until_taken": spread(found),
        "claim_ms": spread(hands.claims_ms),
        "report_ms": spread(hands.reports_ms),
        **costs,
    }
