"""A claim of the job that a hint names: it is had where a claim of everything would have it, and else not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from jobledger.errors import LeaseOver, NotOpen, UnknownWorker
from jobledger.store.claim import Claimer

if TYPE_CHECKING:
    from uuid import UUID

    from tests.contract.conftest import Desk

    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock


async def hinted(
    desk: Desk, job: UUID, claimer: Claimer | None = None, queues: dict[str, int] | None = None, **more: Any
) -> list[ClaimedJob]:
    """Claim the job as a worker does that was told of it."""
    desk.call += 1
    async with desk.store.connection() as connection:
        return await (claimer or desk.claimer).claim_hinted(job, desk.call, connection, queues, **more)


async def test_it_is_the_claim_of_that_job(desk: Desk) -> None:
    """What comes is what a claim gives; the log and the tables agree with it, and its report is accepted."""
    first, second = await desk.enqueue(tenant="acme", args={"n": 1}, priority=5), await desk.enqueue(tenant="acme")
    (named,) = await hinted(desk, first)
    (other,) = await desk.claim()
    assert (named.id, other.id) == (first, second)
    assert (named.tenant, named.queue, named.kind, named.priority) == ("acme", "default", "noop", 5)
    assert (named.attempt, named.claim, named.max_attempts, named.timeout) == (1, 2, 5, 1800)
    assert (named.run_at, named.kill_at, named.owner) == (named.run_at, None, None)
    assert '"n": 1' in named.data
    running = await desk.sql.fetch("select id, claim, call, attempt from jobledger.running order by call")
    assert [tuple(row) for row in running] == [(first, 2, desk.call - 1, 1), (second, 2, desk.call, 1)]
    assert await desk.sql.fetch("select * from jobledger.compare()") == []
    assert await desk.report([named]) == [("accepted", "succeeded", None)]
    types = await desk.sql.fetch("select type::text from jobledger.events where stream_id = $1 order by version", first)
    assert [row["type"] for row in types] == ["job.enqueued", "job.claimed", "job.succeeded"]


async def test_nothing_comes_where_a_claim_would_not_have_it(desk: Desk, clock: Clock) -> None:
    """Of another kind or queue, of a queue without a slot, of a longer time-out, not due, past its kill date, gone."""
    job = await desk.enqueue(queue="mail", timeout=100)
    assert await hinted(desk, job, Claimer(desk.store, desk.worker, {}, ["other"])) == []
    bound = Claimer(desk.store, desk.worker, {"mail": None, "default": None}, ["noop"])
    assert await hinted(desk, job, bound, {"default": 1}) == []
    assert await hinted(desk, job, bound, {"default": 1, "mail": 0}) == []
    assert await hinted(desk, job, timeout_s=99) == []
    assert len(await hinted(desk, job, bound, {"mail": 1}, timeout_s=100)) == 1
    assert await hinted(desk, job) == []
    assert await hinted(desk, uuid4()) == []
    now = await desk.sql.fetchval("select jobledger.now()")
    later = await desk.enqueue(run_at=await desk.sql.fetchval("select $1::timestamptz + interval '1 hour'", now))
    assert await hinted(desk, later) == []
    own = await desk.enqueue(kill_at=await desk.sql.fetchval("select $1::timestamptz + interval '9 seconds'", now))
    await clock.advance(seconds=10)
    assert await hinted(desk, own) == []


async def test_the_default_kill_date_holds(desk: Desk, clock: Clock) -> None:
    """A job without a date of its own is had until a week after it was made."""
    job = await desk.enqueue()
    await clock.advance(seconds=7 * 86_400 + 60)
    await desk.start()
    assert await hinted(desk, job) == []


@pytest.mark.parametrize(("scope", "name"), [("tenant", "acme"), ("queue", "mail"), ("kind", "noop")])
async def test_a_pause_holds_for_what_it_names_and_for_nothing_else(desk: Desk, scope: str, name: str) -> None:
    """By tenant, queue or kind: the job is not taken until the pause ends; others go on."""
    job, free = await desk.enqueue(tenant="acme", queue="mail"), await desk.enqueue("free", tenant="t", queue="q")
    claimer = Claimer(desk.store, desk.worker, None, ["noop", "free"])
    await desk.sql.fetchval("select jobledger.pause(0::smallint, $1, $2, 'ada', 'because')", scope, name)
    assert await hinted(desk, job, claimer) == []
    assert len(await hinted(desk, free, claimer)) == 1
    await desk.sql.fetchval("select jobledger.resume(0::smallint, $1, $2, 'ada', 'because')", scope, name)
    assert len(await hinted(desk, job, claimer)) == 1


async def test_one_of_many_that_were_told_takes_it_and_none_waits(store: Store, desk: Desk, database: str) -> None:
    """Thirty at once: one has it. While another transaction holds the row nobody waits, and nothing is taken."""
    job = await desk.enqueue()
    claimers = [Claimer(store, desk.worker, None, ["noop"]) for _ in range(30)]
    holder = await asyncpg.connect(database)
    try:
        async with holder.transaction():
            await holder.fetch("select from jobledger.ready where id = $1 for update", job)
            async with asyncio.timeout(20):
                assert await asyncio.gather(*(hinted(desk, job, claimer) for claimer in claimers)) == [[]] * 30
    finally:
        await holder.close()
    taken = await asyncio.gather(*(hinted(desk, job, claimer) for claimer in claimers))
    assert sum(map(len, taken)) == 1


async def test_it_refuses_whom_a_claim_refuses(desk: Desk, clock: Clock) -> None:
    """A worker nobody knows, one whose lease is over, a database that is not open: the errors of a claim."""
    job = await desk.enqueue()
    with pytest.raises(UnknownWorker):
        await hinted(desk, job, Claimer(desk.store, uuid4(), None, ["noop"]))
    await desk.sql.execute("delete from jobledger.live")
    with pytest.raises(NotOpen):
        await hinted(desk, job)
    await desk.sql.execute("select jobledger.open()")
    await clock.advance(seconds=31)
    with pytest.raises(LeaseOver):
        await hinted(desk, job)
    assert await desk.sql.fetchval("select count(*) from jobledger.ready") == 1
