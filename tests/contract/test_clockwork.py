"""The tick: promotion, rescue, time-outs, kill dates, pauses; and the heartbeat's releases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

if TYPE_CHECKING:
    from tests.contract.conftest import Desk

    from jobledger.testing.clock import Clock


async def test_a_scheduled_job_waits_for_its_time(desk: Desk, clock: Clock) -> None:
    """A job with a later run_at is scheduled, is promoted by the first tick after it, and is claimed then."""
    job = await desk.enqueue(run_at=await clock.now() + timedelta(minutes=5))
    assert await desk.state(job) == "scheduled"
    assert (await desk.tick())["promoted"] == 0
    await clock.advance(minutes=6)
    assert await desk.state(job) == "ready"
    assert (await desk.tick())["promoted"] == 1
    await desk.start()
    assert [claimed.id for claimed in await desk.claim()] == [job]


async def test_a_worker_that_falls_silent_loses_its_jobs(desk: Desk, clock: Clock) -> None:
    """One lease after the last heartbeat its jobs are rescued, which costs an attempt; its late report is refused."""
    job = await desk.enqueue()
    taken = await desk.claim()
    await clock.advance(seconds=31)
    assert (await desk.tick())["rescued"] == 1
    assert await desk.state(job) == "ready"
    assert await desk.report(taken) == [("rejected", "ready", "not_running")]
    assert await desk.report(taken) == [("rejected", "ready", "not_running")]
    recorded = await desk.sql.fetch(
        "select data from jobledger.events where type = 'worker.report_rejected' and stream_id = $1", desk.worker
    )
    assert len(recorded) == 1
    assert await desk.history(job) == ["enqueued", "claimed", "lease_expired"]


async def test_a_zombie_reports_after_its_job_was_taken_elsewhere(desk: Desk, clock: Clock) -> None:
    """A report of an old claim changes nothing, though the job runs again under the same id."""
    job = await desk.enqueue()
    old = await desk.claim()
    await clock.advance(seconds=31)
    await desk.tick()
    zombie, desk_worker = desk.worker, await type(desk)(desk.store, desk.sql).start()
    new = await desk_worker.claim()
    assert [claimed.id for claimed in new] == [job]
    assert desk.worker == zombie
    assert await desk.report(old) == [("rejected", "running", "claimed_elsewhere")]
    assert await desk_worker.report(new) == [("accepted", "succeeded", None)]


async def test_a_report_sent_twice_is_told_that_it_was_taken(desk: Desk) -> None:
    """When only the answer was lost, the same report is `repeated`, not rejected."""
    await desk.enqueue()
    taken = await desk.claim()
    assert await desk.report(taken) == [("accepted", "succeeded", None)]
    assert await desk.report(taken) == [("repeated", "succeeded", None)]


async def test_a_rescue_waits_one_lease_after_the_opening(desk: Desk) -> None:
    """After an outage the leases of all workers are over; none loses its jobs before it could say that it lives."""
    await desk.enqueue()
    await desk.claim()
    await desk.sql.execute("update jobledger.workers set lease_until = jobledger.now() - interval '1 second'")
    # The tests' databases are copies of one that was opened at the begin of the run, minutes ago.
    await desk.sql.execute("update jobledger.live set opened_at = jobledger.now()")
    assert (await desk.tick())["rescued"] == 0
    await desk.sql.execute("update jobledger.live set opened_at = opened_at - interval '31 seconds'")
    # The server's own start guards as well, so the rescue may only come once the server is up as long.
    up = "select extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8 >= 30"
    before, rescued, after = await desk.sql.fetchval(up), (await desk.tick())["rescued"], await desk.sql.fetchval(up)
    assert int(before) <= rescued <= int(after)


async def test_an_attempt_longer_than_its_time_out_is_ended_by_the_tick(desk: Desk, clock: Clock) -> None:
    """Whatever the heartbeats say: time-out plus one lease after the claim the attempt has failed."""
    job = await desk.enqueue(timeout=60, max_attempts=1)
    taken = await desk.claim()
    await clock.advance(seconds=80)
    await desk.beat(1, 1, [job])
    assert (await desk.tick())["timed_out"] == 0
    await clock.advance(seconds=11)
    assert (await desk.tick())["timed_out"] == 1
    assert await desk.state(job) == "failed"
    assert ("lost", job) in await desk.beat(2, 1, [job])
    assert await desk.report(taken) == [("rejected", "failed", "finished")]


async def test_every_job_is_killed_at_its_date(desk: Desk, clock: Clock) -> None:
    """Own date, a tenant's default, a later run_at and the service's seven days: each kill says which rule set it."""
    now = await clock.now()
    own = await desk.enqueue(kill_at=now + timedelta(hours=1))
    await desk.sql.fetchval("select jobledger.set_limit(0::smallint, 'tenant', 'strict', '{\"kill_after\": 7200}')")
    tenant = await desk.enqueue(tenant="strict")
    later = await desk.enqueue(run_at=now + timedelta(days=3))
    service = await desk.enqueue()
    expected = {own: "own", tenant: "tenant", later: "service", service: "service"}
    killed: list[UUID] = []
    for days in (1, 7, 3):
        await clock.advance(days=days)
        await desk.tick()
        rows = await desk.sql.fetch("select id from jobledger.jobs where state = 'killed'")
        killed = [row["id"] for row in rows]
        if days == 1:
            assert set(killed) == {own, tenant}
    assert set(killed) == set(expected)
    rules = await desk.sql.fetch(
        "select stream_id, data ->> 'rule' as rule from jobledger.events where type = 'job.killed'"
    )
    assert {row["stream_id"]: row["rule"] for row in rules} == expected


async def test_a_job_retried_after_eight_days_lives(desk: Desk, clock: Clock) -> None:
    """A retry sets a new kill date, so the seven days are not counted from the id's own time again."""
    job = await desk.enqueue(max_attempts=1)
    await desk.report(
        await desk.claim(), "failed", {"error": {"type": "Boom", "message": "boom", "class": "transient"}}
    )
    assert await desk.state(job) == "failed"
    await clock.advance(days=8)
    await desk.start()
    assert await desk.act("retry", [job]) == ["done"]
    assert (await desk.tick())["killed"] == 0
    assert [claimed.id for claimed in await desk.claim()] == [job]


async def test_a_kill_sweep_goes_round_in_pages(desk: Desk, clock: Clock) -> None:
    """More rows than one call looks at are all killed over the following calls, each going on where the last ended."""
    await desk.fill(2500)
    await clock.advance(days=8)
    after = None
    killed = 0
    for _ in range(12):
        answer = await desk.tick(after)
        killed += answer["killed"]
        after = None if answer["next"] is None else UUID(answer["next"])
    assert killed == 2500


async def test_what_is_not_held_is_released_and_what_is_stays(desk: Desk) -> None:
    """Jobs of settled calls that the worker does not hold go back at no cost; those of open calls and held stay."""
    await desk.fill(3)
    lost = (await desk.claim(1))[0]
    kept = (await desk.claim(1))[0]
    under_way = (await desk.claim(1))[0]
    said = await desk.beat(1, 2, [kept.id])
    assert ("released", lost.id) in said
    assert await desk.state(lost.id) == "ready"
    assert await desk.state(kept.id) == "running"
    assert await desk.state(under_way.id) == "running"
    again = [job for _ in range(4) for job in await desk.claim(1)]
    assert [(job.id, job.attempt) for job in again] == [(lost.id, 1)]


async def test_an_overtaken_heartbeat_changes_nothing(desk: Desk) -> None:
    """A heartbeat whose number is not above the last neither renews the lease nor releases anything."""
    await desk.fill(1)
    (job,) = await desk.claim(1)
    await desk.beat(5, 1, [job.id])
    lease = await desk.sql.fetchval("select lease_until from jobledger.workers where id = $1", desk.worker)
    assert await desk.beat(4, 1, []) == [("lease", None)]
    assert await desk.state(job.id) == "running"
    assert lease == await desk.sql.fetchval("select lease_until from jobledger.workers where id = $1", desk.worker)


async def test_the_third_free_release_in_a_row_costs_an_attempt(desk: Desk) -> None:
    """A job that its workers give up again and again does not go round for ever."""
    job = await desk.enqueue(max_attempts=1)
    for number in range(1, 4):
        assert len(await desk.claim(1)) == 1
        await desk.beat(number, number, [])
    assert await desk.state(job) == "failed"
    assert (await desk.history(job))[-1] == "failed"


async def test_pauses_move_waiting_jobs_out_of_the_lanes_and_back(desk: Desk) -> None:
    """The tick moves what is paused to `waiting` with the reason, and a due job of a paused tenant stays there."""
    await desk.fill(5, "t")
    await desk.sql.fetchval("select jobledger.pause(0::smallint, 'tenant', 't', 'ada', 'unpaid')")
    assert (await desk.tick())["held"] == 5
    rows = await desk.sql.fetch("select distinct state::text, reason from jobledger.jobs where tenant = 't'")
    assert [tuple(row.values()) for row in rows] == [("ready", "tenant_paused")]
    await desk.sql.fetchval("select jobledger.resume(0::smallint, 'tenant', 't', 'ada', 'paid')")
    assert (await desk.tick())["released_holds"] == 5
    assert len(await desk.claim()) == 5
    said = await desk.sql.fetch(
        "select type::text, actor, data ->> 'reason' as reason from jobledger.events"
        " where type in ('tenant.paused', 'tenant.resumed') order by version"
    )
    assert [tuple(row.values()) for row in said] == [
        ("tenant.paused", "ada", "unpaid"),
        ("tenant.resumed", "ada", "paid"),
    ]


async def test_a_tick_under_load_of_scheduled_jobs_looks_at_few(desk: Desk) -> None:
    """Jobs scheduled far ahead cost a tick nothing: it reads a handful of pages, however many there are."""
    run_at = (await desk.sql.fetchval("select jobledger.now() + interval '30 days'")).isoformat()
    jobs = orjson.dumps([{"kind": "noop", "run_at": run_at}] * 5000).decode()
    for _ in range(4):
        await desk.sql.fetch("select * from jobledger.enqueue_many($1)", jobs)
    await desk.tick()
    plan = await desk.sql.fetchval("explain (analyze, buffers, format json) select jobledger.tick()")
    read = orjson.loads(plan)[0]["Plan"]
    assert read["Shared Hit Blocks"] + read["Shared Read Blocks"] < 2000


async def test_jobs_that_no_worker_can_take_leave_the_lanes_and_come_back(desk: Desk, clock: Clock) -> None:
    """After a minute at the head of their lane they wait with the reason, until a worker that knows the kind starts."""
    await desk.fill(3, kind="strange")
    await desk.fill(2)
    assert (await desk.tick())["held"] == 0
    await clock.advance(seconds=61)
    await desk.start()
    # The tick does this now and then; here it is asked for.
    assert await desk.sql.fetchval("select jobledger.hold_untakeable(0::smallint, jobledger.now(), 1000)") == 3
    rows = await desk.sql.fetch("select distinct kind, reason from jobledger.waiting")
    assert [tuple(row.values()) for row in rows] == [("strange", "no_worker_for_kind")]
    assert await desk.sql.fetchval("select count(*) from jobledger.waiting") == 3
    assert {job.kind for _ in range(3) for job in await desk.claim()} == {"noop"}
    knowing = await type(desk)(desk.store, desk.sql).start(["strange"])
    for _ in range(3):
        await desk.tick()
    assert len([job for _ in range(3) for job in await knowing.claim()]) == 3


async def test_jobs_that_no_worker_can_take_are_found_among_many_lanes(desk: Desk, clock: Clock) -> None:
    """A call looks at 32 lanes; chance says where it begins and whether a tick calls: those behind have their turn."""
    for at in range(40):
        await desk.enqueue(tenant=f"a{at:02}")
        await desk.enqueue("strange", tenant=f"b{at:02}")
    await clock.advance(seconds=61)
    await desk.start()
    held = "select count(*) from jobledger.waiting where reason = 'no_worker_for_kind'"
    for _ in range(2000):
        if await desk.sql.fetchval(held) == 40:
            break
        await desk.tick()
    assert await desk.sql.fetchval(held) == 40


async def test_jobs_of_a_queue_that_nobody_serves_stay_where_they_are(desk: Desk, clock: Clock) -> None:
    """Where no worker is, nothing is in anybody's way: the backlog is not moved to and fro."""
    await desk.start(queues={"other": None})
    await desk.sql.execute("update jobledger.workers set stopped_at = now() where queues is null")
    await desk.fill(3, kind="strange")
    await clock.advance(seconds=61)
    await desk.sql.execute("update jobledger.workers set lease_until = jobledger.now() + interval '1 hour'")
    assert await desk.sql.fetchval("select jobledger.hold_untakeable(0::smallint, jobledger.now(), 1000)") == 0
    assert await desk.sql.fetchval("select count(*) from jobledger.ready") == 3


async def test_pauses_of_many_tenants_hold_and_let_go(desk: Desk) -> None:
    """More pauses than a call looks up: their jobs leave the lanes within a few calls, and one resumed comes back."""
    jobs = orjson.dumps([{"kind": "noop", "tenant": f"p{at % 200:03}"} for at in range(400)]).decode()
    await desk.sql.fetch("select * from jobledger.enqueue_many($1)", jobs)
    await desk.sql.execute(
        "select jobledger.pause(0::smallint, 'tenant', 'p' || lpad(g::text, 3, '0')) from generate_series(0, 199) as g"
    )
    held = 0
    for _ in range(40):
        held += await desk.sql.fetchval("select jobledger.hold(0::smallint, jobledger.now(), 1000)")
        if held == 400:
            break
    assert held == 400
    assert await desk.sql.fetchval("select jobledger.unhold(0::smallint, jobledger.now(), 1000)") == 0
    assert await desk.claim() == []
    await desk.sql.fetchval("select jobledger.resume(0::smallint, 'tenant', 'p150')")
    assert await desk.sql.fetchval("select jobledger.unhold(0::smallint, jobledger.now(), 1000)") == 2
    assert {job.tenant for _ in range(3) for job in await desk.claim()} == {"p150"}


async def test_a_paused_kind_leaves_long_lanes_in_batches(desk: Desk) -> None:
    """Of a paused kind each call moves as many as it may, wherever they lie, and leaves the other kinds alone."""
    for _ in range(3):
        await desk.fill(500, kind="strange")
        await desk.fill(500)
    await desk.sql.fetchval("select jobledger.pause(0::smallint, 'kind', 'strange')")
    moved: list[int] = []
    # A sample says from where on the lane is read, and may find the last of the three stretches alone: of that, too.
    while sum(moved) < 1500 and len(moved) < 200:
        moved.append(await desk.sql.fetchval("select jobledger.hold(0::smallint, jobledger.now(), 400)"))
    assert sum(moved) == 1500
    assert next(filter(None, moved)) == max(moved) == 400
    assert await desk.sql.fetchval("select count(*) from jobledger.ready where kind = 'noop'") == 1500
