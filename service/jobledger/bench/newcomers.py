"""How many claims pass until a new tenant's job is taken, while many tenants wait and one holds nearly all jobs."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.backlog import clients
from jobledger.bench.beside import fill
from jobledger.bench.claimer import HandClaimer
from jobledger.bench.database import settle
from jobledger.bench.meter import CLIENTS, Meter
from jobledger.bench.noop import KIND
from jobledger.bench.quantiles import spread
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.lanes import WINDOW

if TYPE_CHECKING:
    from jobledger.bench.measurement import Bench
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pool import Connection

_HEAVY: Final = "tenant-0"
_SHARE: Final = 99
_GIVE_UP: Final = 10


async def newcomers(bench: Bench, *, claim: int, trials: int) -> dict[str, Any]:
    """Return how many claims of `claim` jobs pass until each of `trials` new tenants' jobs is taken.

    One tenant holds 99 % of the backlog, and each claimed job is followed by another of its tenant, so all go on
    waiting. The bound is ceil(T / min(n, k)) + 1 for T tenants, claims of n and k tenants a claim.
    """
    tenants = bench.setup.tenants
    # Each of the others has more than a claim can take of it at once.
    each = 2 * max(1, claim // min(tenants, WINDOW))
    others = each * (tenants - 1)
    for prefix, count, spread_over in (("tenant-", others * _SHARE, 1), ("tenant-1", others, tenants - 1)):
        if count and spread_over:
            await fill(bench, count, tenants=spread_over, prefix=prefix)
    await settle(bench.connection)
    allowed = math.ceil(tenants / min(claim, WINDOW)) + 1
    chance = random.Random(tenants)  # noqa: S311 - where a newcomer's name falls is no secret
    counted: list[int] = []
    async with clients(bench, 1) as (connection,):
        hands = await HandClaimer.start(connection, claim)
        for _ in range(2 * allowed):
            await _go_on(connection, await hands.claim())
        meter = Meter(bench, 1, backends=CLIENTS)
        await meter.start()
        before = hands.finished
        for trial in range(trials):
            name = f"tenant-{chance.randrange(16**6):06x}-new"
            await enqueue(connection, NewJob(KIND, tenant=name))
            counted.append(await _claims_until(connection, hands, name, _GIVE_UP * allowed))
            bench.progress(f"newcomers among {tenants:,} tenants", trial + 1, trials)
        meter.jobs = max(1, hands.finished - before)
        costs = await meter.cost()
        await hands.finish()
    return {
        "claims_allowed": allowed,
        "claims_most": max(counted),
        "claims": spread(counted),
        "within": max(counted) <= allowed,
        "claim_ms": spread(hands.claims_ms),
        "report_ms": spread(hands.reports_ms),
        "backlog": others * (_SHARE + 1),
        **{name.replace("client_", "worker_"): value for name, value in costs.items()},
    }


async def _claims_until(connection: Connection, hands: HandClaimer, tenant: str, most: int) -> int:
    for claims in range(1, most + 1):
        jobs = await hands.claim()
        await _go_on(connection, [job for job in jobs if not job.tenant.endswith("-new")])
        if any(job.tenant == tenant for job in jobs):
            return claims
    return most + 1


async def _go_on(connection: Connection, jobs: list[ClaimedJob]) -> None:
    """Enqueue another job of the tenant of each job that was taken."""
    await enqueue_many(connection, [NewJob(KIND, tenant=job.tenant) for job in jobs])
