"""Claims: who gets what, in which order, and that nobody gets what another has."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from tests.plans.recorder import Recorder

from jobledger.errors import LeaseOver, NotFound, NotOpen, NotWaiting, UnknownWorker
from jobledger.store.claim import Claimer

if TYPE_CHECKING:
    from tests.contract.conftest import Desk

    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock


async def test_hundred_claimers_share_a_hundred_jobs_without_overlap(store: Store, desk: Desk) -> None:
    """A hundred claims at once for a hundred jobs give each job exactly once."""
    await desk.fill(100)
    claimers = [Claimer(store, desk.worker, None, ["noop"]) for _ in range(100)]
    first = await asyncio.gather(*(claimer.claim(1, {}, at) for at, claimer in enumerate(claimers, 1)))
    taken = [job.id for jobs in first for job in jobs]
    # What a claim passed by because another had it locked is found by the next ones.
    while more := [job.id for claimer in claimers for job in await claimer.claim(1, {}, 1000)]:
        taken += more
    assert len(taken) == len(set(taken)) == 100


async def test_two_workers_racing_for_one_job_give_it_to_one(store: Store, desk: Desk) -> None:
    """The second of two claimers of one job by its id is told that it is not waiting."""
    job = await desk.enqueue()
    outcomes = await asyncio.gather(
        *(Claimer(store, desk.worker, None, ["noop"]).claim_job(job, 1) for _ in range(2)), return_exceptions=True
    )
    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"ClaimedJob": 1, "NotWaiting": 1}


async def test_a_claim_by_id_names_what_forbids_it(desk: Desk) -> None:
    """Unknown ids and jobs that are not waiting get their own errors."""
    job = await desk.enqueue()
    await desk.claimer.claim_job(job, 1)
    with pytest.raises(NotWaiting):
        await desk.claimer.claim_job(job, 2)
    with pytest.raises(NotFound):
        await desk.claimer.claim_job(desk.worker, 3)


async def test_urgent_jobs_of_a_tenant_come_first(desk: Desk) -> None:
    """A tenant's lanes are read most urgent first, whatever was enqueued first."""
    late = await desk.enqueue(priority=5)
    soon = await desk.enqueue(priority=-5)
    middle = await desk.enqueue()
    order = [(await desk.claim(1))[0].id for _ in range(3)]
    assert order == [soon, middle, late]


async def test_an_urgent_job_that_comes_later_overtakes(desk: Desk) -> None:
    """A new lane before the known ones is found by the next claims, not after the backlog."""
    await desk.fill(50)
    await desk.claim(5)
    urgent = await desk.enqueue(priority=-10)
    assert (await desk.claim(1))[0].id == urgent


async def test_small_tenants_are_served_within_their_share(desk: Desk) -> None:
    """With 10,000, 100 and 1 jobs waiting and ten slots, each claim of ten gives the small ones their third."""
    await desk.fill(10_000, "big")
    await desk.fill(100, "mid")
    await desk.fill(1, "one")
    first = Counter(job.tenant for job in await desk.claim(10))
    assert first["one"] == 1
    assert first["mid"] >= 3
    served = Counter(first)
    for _ in range(25):
        served.update(job.tenant for job in await desk.claim(10))
    assert served["mid"] == 100


async def test_what_a_process_runs_for_a_tenant_counts_against_its_share(desk: Desk) -> None:
    """One slot comes free while the big tenant holds nine of ten: it goes to the other."""
    await desk.fill(100, "big")
    await desk.fill(100, "small")
    for _ in range(3):
        (job,) = await desk.claim(1, {"big": 9})
        assert job.tenant == "small"


async def test_a_lone_tenant_gets_every_slot(desk: Desk) -> None:
    """Fair shares are work-conserving: what nobody else can use goes to who waits."""
    await desk.fill(100, "a")
    await desk.fill(1, "b")
    assert Counter(job.tenant for job in await desk.claim(50)) == {"a": 49, "b": 1}
    assert len(await desk.claim(50)) == 50


async def test_kinds_a_worker_does_not_know_are_passed_over(desk: Desk) -> None:
    """A thousand jobs of a kind the worker does not know do not hide the one it does."""
    await desk.fill(1000, kind="strange")
    known = await desk.enqueue()
    found = []
    for _ in range(60):
        found += await desk.claim(10)
        if found:
            break
    assert [job.id for job in found] == [known]
    assert await desk.sql.fetchval("select count(*) from jobledger.ready") == 1000


async def test_a_row_that_commits_late_is_found_behind_the_key(desk: Desk, database: str) -> None:
    """A job whose transaction began before the others and commits after they were claimed is claimed all the same."""
    slow = await asyncpg.connect(database)
    late = slow.transaction()
    await late.start()
    id = await slow.fetchval("select jobledger.enqueue('noop')")  # noqa: A001 - the domain's word
    await desk.fill(30)
    taken = await desk.claim(20)
    taken += await desk.claim(20)
    await late.commit()
    await slow.close()
    for _ in range(10):
        taken += await desk.claim(20)
    assert id in {job.id for job in taken}
    assert len(taken) == 31


async def test_a_late_row_is_found_behind_many_that_the_worker_cannot_take(desk: Desk, database: str) -> None:
    """Jobs of an unknown kind, before and after the late one, do not hide it: the walk behind the key goes on."""
    slow = await asyncpg.connect(database)
    await desk.fill(150, kind="strange")
    late = slow.transaction()
    await late.start()
    id = await slow.fetchval("select jobledger.enqueue('noop')")  # noqa: A001 - the domain's word
    await desk.fill(150, kind="strange")
    taken = await desk.claim(300)
    taken += await desk.claim(300)
    await late.commit()
    await slow.close()
    for _ in range(60):
        taken += await desk.claim(20)
    assert id in {job.id for job in taken}


async def test_a_claim_that_was_rolled_back_gives_its_jobs_to_the_next(desk: Desk, database: str) -> None:
    """Rows that another claim had locked are passed over, and found again once it has let them go."""
    await desk.fill(20)
    other = await asyncpg.connect(database)
    held = other.transaction()
    await held.start()
    await other.fetch("select from jobledger.ready order by id limit 15 for update")
    taken = await desk.claim(20)
    assert len(taken) == 5
    await held.rollback()
    await other.close()
    for _ in range(10):
        taken += await desk.claim(20)
    assert len(taken) == len({job.id for job in taken}) == 20


async def test_queues_have_room_of_their_own(store: Store, desk: Desk) -> None:
    """A worker bound to two queues takes no more of each than that queue's free slots."""
    for queue in ("fast", "slow", "other"):
        for _ in range(10):
            await desk.enqueue(queue=queue)
    bound = await type(desk)(store, desk.sql).start(queues={"fast": 6, "slow": 2})
    jobs = await bound.claimer.claim(20, {}, 1, queues={"fast": 6, "slow": 2})
    assert Counter(job.queue for job in jobs) == {"fast": 6, "slow": 2}


async def test_what_is_paused_is_skipped_at_once(desk: Desk) -> None:
    """A pause of a tenant, a queue or a kind holds from the next claim on, and its end lets the jobs go."""
    await desk.enqueue(tenant="t")
    await desk.enqueue(tenant="u", queue="q")
    await desk.enqueue(tenant="v")
    for scope, name in (("tenant", "t"), ("queue", "q"), ("kind", "noop")):
        assert await desk.sql.fetchval("select jobledger.pause(0::smallint, $1, $2)", scope, name)
    assert await desk.claim() == []
    await desk.sql.fetchval("select jobledger.resume(0::smallint, 'kind', 'noop')")
    assert {job.tenant for job in await desk.claim()} == {"v"}
    await desk.tick()
    for scope, name in (("tenant", "t"), ("queue", "q")):
        assert await desk.sql.fetchval("select jobledger.resume(0::smallint, $1, $2)", scope, name)
    await desk.tick()
    found = [job.tenant for _ in range(3) for job in await desk.claim()]
    assert set(found) == {"t", "u"}


async def test_a_claim_needs_a_living_lease(desk: Desk, clock: Clock) -> None:
    """A worker whose lease has run out, or that nobody registered, claims nothing."""
    await desk.enqueue()
    await clock.advance(seconds=31)
    with pytest.raises(LeaseOver):
        await desk.claim()
    with pytest.raises(UnknownWorker):
        await Claimer(desk.store, UUID(int=7), None, ["noop"]).claim(1, {}, 1)


async def test_nothing_is_claimed_while_the_database_is_not_open(desk: Desk) -> None:
    """Everything but enqueue is refused until the live tables are rebuilt; then nothing was lost."""
    await desk.enqueue()
    await desk.sql.execute("select jobledger.close()")
    await desk.enqueue()
    with pytest.raises(NotOpen):
        await desk.claim()
    await desk.sql.fetchval("select jobledger.open()")
    assert len(await desk.claim()) == 2


async def test_a_job_past_its_kill_date_is_never_claimed(desk: Desk, clock: Clock) -> None:
    """Claims pass over what is past its kill date, given or by the service's default, though no tick has run."""
    now = await clock.now()
    await desk.enqueue(kill_at=now + timedelta(hours=1))
    old = await desk.enqueue()
    await clock.advance(hours=2)
    await desk.start()
    assert [job.id for job in await desk.claim()] == [old]
    await desk.enqueue()
    await clock.advance(days=8)
    await desk.start()
    assert await desk.claim() == []


async def test_a_claim_leaves_alone_what_would_outlast_the_worker(desk: Desk) -> None:
    """A claim bounded by the worker's own end passes over longer jobs, and others still get them."""
    long = await desk.enqueue(timeout=600)
    short = await desk.enqueue(timeout=5)
    assert [job.id for job in await desk.claimer.claim(10, {}, 1, timeout_s=60)] == [short]
    other = await type(desk)(desk.store, desk.sql).start()
    assert [job.id for job in await other.claim()] == [long]


async def test_a_worker_of_any_queue_reads_nothing_of_what_was_taken_from_a_queue_it_knows(
    desk: Desk, database: str
) -> None:
    """Under a snapshot held open elsewhere the dead entries stay: looking for further queues it passes round them."""
    await desk.fill(6000)
    holder = await asyncpg.connect(database)
    await holder.execute("begin isolation level repeatable read")
    await holder.fetchval("select count(*) from jobledger.ready")
    taken = [len(await desk.claim(1000)) for _ in range(6)]
    assert taken == [1000] * 6
    await desk.sql.fetch("select jobledger.enqueue('noop', queue => q) from unnest('{a,zz}'::text[]) as q")
    recorder = Recorder(desk.sql)
    await recorder.install()
    async with recorder.recorded() as call:
        found = await desk.claimer.claim(10, {}, 7, desk.sql)
    assert {job.queue for job in found} == {"a", "zz"}
    looks = [run.buffers for run in call.statements if "r.queue > v_queue" in run.text]
    assert looks
    assert max(looks) < 20
    await holder.close()
