"""Fairness in claims, not in seconds: how many pass until who came last, late or urgent has its turn."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import asyncpg
import orjson
import pytest

if TYPE_CHECKING:
    from uuid import UUID

    from tests.contract.conftest import Desk

    from jobledger.store.pool import Connection


READ = "select heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read from pg_statio_all_tables"


async def fill_tenants(desk: Desk, tenants: int, each: int, kind: str = "noop") -> None:
    """Enqueue so many jobs for each of so many tenants."""
    for low in range(0, tenants * each, 5000):
        jobs = [{"kind": kind, "tenant": f"t{at % tenants:05}"} for at in range(low, min(low + 5000, tenants * each))]
        await desk.sql.fetch("select * from jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())


@pytest.mark.parametrize(
    ("tenants", "n"), [(50, 10), (50, 500), pytest.param(1000, 100, marks=pytest.mark.slow)], ids=str
)
async def test_a_new_tenant_is_served_within_one_round(desk: Desk, tenants: int, n: int) -> None:
    """T tenants wait, one with nearly all of the jobs: a new one is claimed within ceil(T / min(n, k)) + 1 claims."""
    await desk.start(lease_s=3600)
    await fill_tenants(desk, tenants, 12)
    await desk.fill(6000, "t00007")
    for _ in range(5):
        await desk.claim(n)
    waiting = await desk.sql.fetchval("select count(distinct tenant) from jobledger.ready")
    new = await desk.enqueue(tenant="t00031x")
    claims = 1
    while new not in {job.id for job in await desk.claim(n)}:
        claims += 1
    assert claims <= ceil(waiting / min(n, 64)) + 1


async def test_tenants_of_one_job_each_leave_no_claim_empty(desk: Desk) -> None:
    """A claim comes back empty only when every job is taken, though each lane is read once and then over."""
    await fill_tenants(desk, 2500, 1)
    taken: list[int] = []
    while sum(taken) < 2500:
        taken.append(len(await desk.claim(500)))
        assert taken[-1] > 0
    assert len(taken) <= 8


async def test_global_jobs_and_those_of_tenants_do_not_hold_up_each_other(desk: Desk) -> None:
    """However many jobs of the one wait, the other's is in the next round, both ways."""
    await desk.fill(3000, "_global")
    await desk.claim(50)
    job = await desk.enqueue(tenant="acme")
    assert job in {job.id for _ in range(2) for job in await desk.claim(50)}
    await desk.fill(3000, "acme")
    await desk.sql.execute("select jobledger.pause(0::smallint, 'tenant', '_global')")
    await desk.claim(50)
    await desk.sql.execute("select jobledger.resume(0::smallint, 'tenant', '_global')")
    taken = [job.tenant for _ in range(3) for job in await desk.claim(50)]
    assert taken.count("_global") >= 50


@pytest.mark.parametrize("jobs", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
async def test_jobs_of_a_kind_nobody_here_knows_are_passed_by_quickly(desk: Desk, jobs: int) -> None:
    """Many jobs of a kind the worker does not know lie before 100 that it does: one claim passes by 16,000 of them."""
    await desk.start(lease_s=3600)
    await desk.fill(jobs, kind="strange")
    await desk.fill(100)
    found = 0
    claims = 0
    while found < 100:
        claims += 1
        assert claims <= 2 + jobs // 10_000
        found += len(await desk.claim(500))


async def test_a_claim_reads_no_more_under_a_snapshot_held_elsewhere(desk: Desk, database: str) -> None:
    """Nothing that is taken can be vacuumed: the buffers of the last claims are those of the first ones."""
    await fill_tenants(desk, 20, 300)
    other = await asyncpg.connect(database)
    await other.execute("begin isolation level repeatable read")
    await other.fetchval("select count(*) from jobledger.limits")
    costs: list[int] = []
    for _ in range(12):
        async with desk.store.connection() as connection:
            before = await buffers(desk, connection)
            desk.call += 1
            assert len(await desk.claimer.claim(400, {}, desk.call, connection)) == 400
            costs.append(await buffers(desk, connection) - before)
    await other.close()
    early, late = sum(costs[2:5]), sum(costs[9:])
    assert late <= 1.3 * early


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_thousand_tenants_under_a_held_snapshot_with_late_and_urgent_jobs(
    desk: Desk, database: str
) -> None:
    """Each job comes once, late and urgent ones by the end of the round that was going on, and claims read no more."""
    await desk.start(lease_s=3600)
    late, held = await asyncpg.connect(database), await asyncpg.connect(database)
    await late.execute("begin")
    behind = {
        await late.fetchval("select jobledger.enqueue('noop', tenant => $1)", f"t{n:05}") for n in range(0, 5000, 50)
    }
    await fill_tenants(desk, 100_000, 1)
    await held.execute("begin isolation level repeatable read")
    await held.fetchval("select count(*) from jobledger.limits")
    urgent: set[UUID] = set()
    taken: dict[UUID, int] = {}
    costs: list[int] = []
    while len(taken) < 100_000 + len(behind) + len(urgent) or not urgent:
        if len(costs) == 30:
            await late.execute("commit")
            urgent = {await desk.enqueue(tenant=tenant, priority=-100) for tenant in ("t00007", "t99990", "a", "z")}
        async with desk.store.connection() as connection:
            before = await buffers(desk, connection)
            desk.call += 1
            jobs = await desk.claimer.claim(1000, {}, desk.call, connection)
            costs.append(await buffers(desk, connection) - before)
        assert not taken.keys() & {job.id for job in jobs}
        taken |= dict.fromkeys((job.id for job in jobs), len(costs))
        assert {verdict for verdict, _, _ in await desk.report(jobs)} <= {"accepted"}
        assert len(costs) <= 110
    await late.close()
    await held.close()
    assert sum(costs[85:95]) <= 1.5 * sum(costs[10:20])
    assert await desk.differences() == []


async def buffers(desk: Desk, connection: Connection) -> int:
    """Return how many blocks of `ready` and its indexes were read so far."""
    # Also what filled the tables: its session would tell of that whenever a second has passed.
    for session in (connection, desk.sql):
        await session.execute("select pg_stat_force_next_flush()")
        await session.fetchval("select 1")
    await desk.sql.execute("select pg_stat_clear_snapshot()")
    count: int = await desk.sql.fetchval(f"{READ} where schemaname = 'jobledger' and relname = 'ready'")
    return count
