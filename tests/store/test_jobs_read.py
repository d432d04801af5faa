"""Lists page by key and say where they stopped; one job is shown whole; its history has its own heartbeats only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from jobledger.errors import InvalidArgument, NotFound
from jobledger.store import jobs_read
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.filters import STATES, JobFilter
from jobledger.store.jobs_read import JobPage, job_history, list_jobs, show_job, silent_jobs
from jobledger.store.operate import act
from jobledger.store.reports import Report, report
from jobledger.store.workers import heartbeat, start_worker

if TYPE_CHECKING:
    from jobledger.store.pool import Connection, Store
    from jobledger.testing.clock import Clock


async def every_page(connection: Connection, wanted: JobFilter, limit: int) -> list[JobPage]:
    """Return all pages of a list."""
    pages = [await list_jobs(connection, 0, wanted, limit=limit)]
    while pages[-1].next is not None:
        pages.append(await list_jobs(connection, 0, wanted, limit=limit, cursor=pages[-1].next))
    return pages


async def claim(connection: Connection, worker: UUID, job: UUID, call: int = 1) -> int:
    """Claim a job by its id and return the claim."""
    row = await connection.fetchrow(
        "select * from jobledger.claim_job(0::smallint, $1, $2, $3, array['a', 'b'])", worker, call, job
    )
    assert row is not None
    return int(row["claim"])


async def worker_of(connection: Connection) -> UUID:
    """Start a worker and return its id."""
    return (await start_worker(connection, 0, kinds=["a", "b"])).worker


async def in_all_states(store: Store) -> dict[str, UUID]:
    """Make one job in each state that can be reached, and return them by state."""
    made: dict[str, UUID] = {}
    async with store.connection() as connection:
        worker = await worker_of(connection)
        names = ["ready", "running", "parked", "succeeded", "failed", "killed", "cancelled"]
        for name in names:
            made[name] = await enqueue(connection, NewJob("a", tenant="acme", owner="ada", queue=f"q-{name}"))
        made["scheduled"] = await connection.fetchval(
            "select jobledger.enqueue('a', tenant => 'acme', owner => 'ada', run_at => now() + interval '1 day')"
        )
        outcomes = {
            "succeeded": ("succeeded", b'{"result": 7}'),
            "failed": ("failed", b'{"error": {"type": "E", "message": "m", "class": "permanent"}, "final": true}'),
            "parked": ("parked", b'{"reason": "who?"}'),
        }
        for name in ("running", *outcomes):
            fence = await claim(connection, worker, made[name])
            if name in outcomes:
                (verdict,) = await report(connection, 0, worker, [Report(made[name], fence, *outcomes[name])])
                assert verdict.verdict == "accepted"
        await act(connection, 0, "kill", [made["killed"]], actor="op", reason="test")
        await act(connection, 0, "cancel", [made["cancelled"]], actor="op", reason="test")
    return made


async def test_each_state_lists_its_own_jobs(store: Store) -> None:
    """For one tenant, and for all."""
    made = await in_all_states(store)
    async with store.connection() as connection:
        for tenant in ("acme", None):
            for state in STATES:
                page = await list_jobs(connection, 0, JobFilter(tenant, states=[state]))
                assert [job.id for job in page.jobs] == ([made[state]] if state in made else [])
                assert {job.state for job in page.jobs} <= {state}
            page = await list_jobs(connection, 0, JobFilter(tenant))
            assert [job.id for job in page.jobs] == sorted(made.values(), reverse=True)
            assert (page.next, page.stopped) == (None, False)


@pytest.mark.parametrize("tenant", ["acme", None])
@pytest.mark.parametrize(
    ("filters", "expected"), [({}, 40), ({"queue": "q1"}, 20), ({"kind": "b"}, 10), ({"tag": "t"}, 8)]
)
async def test_pages_follow_each_other_without_gap_or_repeat(
    store: Store, tenant: str | None, filters: dict[str, Any], expected: int
) -> None:
    """Newest first, whatever the filter, also when jobs are added between two pages."""
    jobs = [
        NewJob("b" if n % 4 == 0 else "a", tenant="acme", queue=f"q{n % 2}", tags=["t"] if n % 5 == 0 else None)
        for n in range(40)
    ]
    async with store.connection() as connection:
        made = {one.id for one in await enqueue_many(connection, jobs)}
        first = await list_jobs(connection, 0, JobFilter(tenant, **filters), limit=7)
        await enqueue_many(connection, jobs)
        seen = list(first.jobs)
        cursor = first.next
        while cursor is not None:
            page = await list_jobs(connection, 0, JobFilter(tenant, **filters), limit=7, cursor=cursor)
            assert len(page.jobs) <= 7
            seen += page.jobs
            cursor = page.next
    ids = [job.id for job in seen]
    assert len(ids) == expected
    assert ids == sorted(set(ids), reverse=True)
    assert set(ids) <= made


async def test_a_search_stops_after_the_newest_rows_and_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rare among finished jobs may lie deeper; the cursor goes on from where it stopped."""
    monkeypatch.setattr(jobs_read, "LOOKED_AT_MAX", 10)
    async with store.connection() as connection:
        rare = await enqueue(connection, NewJob("rare", tenant="acme"))
        await enqueue_many(connection, [NewJob("a", tenant="acme") for _ in range(25)])
        pages = await every_page(connection, JobFilter("acme", kind="rare"), 5)
    assert [len(page.jobs) for page in pages] == [0, 0, 1]
    assert [(page.looked_at, page.stopped) for page in pages] == [(10, True), (10, True), (6, False)]
    assert pages[-1].jobs[0].id == rare


async def test_the_open_jobs_of_one_owner_are_exact(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many newer jobs others have; finished ones come along only when asked for."""
    monkeypatch.setattr(jobs_read, "LOOKED_AT_MAX", 10)
    made = await in_all_states(store)
    async with store.connection() as connection:
        await enqueue_many(connection, [NewJob("a", tenant="acme", owner="bob") for _ in range(30)])
        mine = await list_jobs(connection, 0, JobFilter("acme", owner="ada"))
        assert {job.state for job in mine.jobs} == {"scheduled", "ready", "running", "parked"}
        assert not mine.stopped
        running = await list_jobs(connection, 0, JobFilter("acme", owner="ada", states=["running"]))
        assert [job.id for job in running.jobs] == [made["running"]]
        everything = await every_page(connection, JobFilter("acme", owner="ada", states=STATES), 3)
        assert [job.id for page in everything for job in page.jobs] == sorted(made.values(), reverse=True)
        other = await list_jobs(connection, 0, JobFilter("other", owner="ada"))
        assert other.jobs == []


async def test_a_list_of_another_tenant_is_empty(store: Store) -> None:
    """The filter is a wall: no count, no cursor."""
    await in_all_states(store)
    async with store.connection() as connection:
        assert await list_jobs(connection, 0, JobFilter("other")) == JobPage([], None, 0, False)


async def test_a_job_is_shown_with_what_it_was_given_and_how_it_ended(store: Store) -> None:
    """Arguments and outcome come from the log."""
    made = await in_all_states(store)
    async with store.connection() as connection:
        done = await show_job(connection, 0, made["succeeded"], tenant="acme")
        assert (done.job.state, done.last_type, done.last_data) == ("succeeded", "job.succeeded", {"result": 7})
        killed = await show_job(connection, 0, made["killed"])
        assert (killed.last_type, killed.last_actor) == ("job.killed", "op")
        parked = await show_job(connection, 0, made["parked"])
        assert parked.job.reason == "who?"
        assert (await show_job(connection, 0, made["ready"])).last_type is None


async def test_an_id_of_another_tenant_answers_like_an_unknown_one(store: Store) -> None:
    """Neither text nor facts differ."""
    made = await in_all_states(store)
    async with store.connection() as connection:
        for look in (show_job, job_history):
            with pytest.raises(NotFound) as foreign:
                await look(connection, 0, made["ready"], tenant="other")
            with pytest.raises(NotFound) as unknown:
                await look(connection, 0, uuid4(), tenant="other")
            assert (str(foreign.value), foreign.value.detail) == (str(unknown.value), unknown.value.detail)


async def test_a_history_has_the_heartbeats_between_claim_and_its_end_with_its_own_entry(
    store: Store, clock: Clock
) -> None:
    """One heartbeat names jobs of many tenants; another's id never shows. Late reports are there too."""
    async with store.connection() as connection:
        mine = await enqueue(connection, NewJob("a", tenant="acme"))
        foreign = await enqueue(connection, NewJob("a", tenant="other"))
        worker = await worker_of(connection)
        fences = {job: await claim(connection, worker, job) for job in (foreign, mine)}
        for beat in (1, 2, 3):
            await clock.advance(seconds=5)
            renewed = await heartbeat(connection, 0, worker, beat=beat, settled=1, held=[mine, foreign])
            assert renewed.lease_until is not None
        await report(connection, 0, worker, [Report(mine, fences[mine], "succeeded")])
        await clock.advance(seconds=5)
        await heartbeat(connection, 0, worker, beat=4, settled=1, held=[mine, foreign])
        await report(connection, 0, worker, [Report(mine, fences[mine], "failed", b'{"final": true}')])
        history = await job_history(connection, 0, mine, tenant="acme")
        own = await job_history(connection, 0, mine, tenant="acme", heartbeats=False)
    types = [event.type for event in history]
    assert types[:2] == ["job.enqueued", "job.claimed"]
    assert types[-2:] == ["job.succeeded", "worker.report_rejected"]
    assert set(types[2:-2]) == {"worker.heartbeat"}
    for event in history:
        if event.type == "worker.heartbeat":
            assert event.data is not None
            assert event.data["held"] == [str(mine)]
    assert str(foreign) not in repr(history)
    assert [event.type for event in own] == ["job.enqueued", "job.claimed", "job.succeeded"]
    assert [event.version for event in own] == [1, 2, 3]


async def test_a_long_history_is_read_in_parts(store: Store) -> None:
    """After a version, and at most so many."""
    async with store.connection() as connection:
        job = await enqueue(connection, NewJob("a"))
        for priority in range(5):
            await act(connection, 0, "reprioritise", [job], actor=None, reason=None, data={"priority": priority})
        part = await job_history(connection, 0, job, after=2, limit=2)
        assert [event.version for event in part] == [3, 4]
        assert await job_history(connection, 0, job, after=6) == []


async def test_jobs_of_a_silent_worker_are_listed(store: Store, clock: Clock) -> None:
    """By the worker's last heartbeat, the longest silence first; a tenant sees its own only."""
    async with store.connection() as connection:
        worker = await worker_of(connection)
        job = await enqueue(connection, NewJob("a", tenant="acme"))
        await claim(connection, worker, job)
        assert await silent_jobs(connection, 0, longer_than_s=10) == []
        await clock.advance(seconds=20)
        (found,) = await silent_jobs(connection, 0, longer_than_s=10)
        assert (found.id, found.worker) == (job, worker)
        assert await silent_jobs(connection, 0, longer_than_s=10, tenant="other") == []


async def test_what_is_no_page_state_or_cursor_is_refused(store: Store) -> None:
    """By name, without the value."""
    with pytest.raises(InvalidArgument):
        JobFilter(states=["done"])
    with pytest.raises(InvalidArgument):
        JobFilter(states="ready")
    async with store.connection() as connection:
        for limit in (0, 1001):
            with pytest.raises(InvalidArgument):
                await list_jobs(connection, 0, JobFilter(), limit=limit)
        with pytest.raises(InvalidArgument):
            await list_jobs(connection, 0, JobFilter(), cursor="canary")
