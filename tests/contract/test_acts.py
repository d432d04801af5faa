"""Operator acts: each act in each state, budgets, dates and keys, and acts at full speed against claims and reports."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from jobledger.errors import InvalidArgument
from jobledger.store.failures import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tests.contract.conftest import Desk

    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

OPEN = ("ready", "scheduled", "held", "parked", "running", "asked")
FINISHED = ("succeeded", "failed", "killed", "cancelled")
DATA: dict[str, dict[str, Any]] = {
    "reschedule": {"run_at": "2050-01-01T00:00:00Z"},
    "reprioritise": {"priority": -3},
    "move": {"queue": "other"},
}
# (act, states in which it is done, the state after it, the event it writes)
ACTS = [
    ("cancel", ("ready", "scheduled", "held", "parked"), "cancelled", "job.cancelled"),
    ("kill", OPEN, "killed", "job.killed"),
    ("retry", ("failed", "killed", "cancelled"), "ready", "job.retried"),
    ("unpark", ("parked",), "ready", "job.unparked"),
    ("reschedule", ("ready", "scheduled", "held"), "scheduled", "job.rescheduled"),
    ("reprioritise", ("ready", "scheduled", "held", "parked"), None, "job.reprioritised"),
    ("move", ("ready", "scheduled", "held", "parked"), None, "job.moved"),
]
LOCKED = "select exists (select from pg_locks where not granted)"


async def running(desk: Desk, **options: Any) -> ClaimedJob:
    """Enqueue a job and claim it by its id."""
    desk.call += 1
    return await desk.claimer.claim_job(await desk.enqueue(**options), desk.call)


async def in_state(desk: Desk, state: str) -> UUID:
    """Bring a new job into a state."""
    if state == "scheduled":
        return await desk.enqueue(run_at=await desk.sql.fetchval("select jobledger.now() + interval '1 hour'"))
    if state in ("ready", "held"):
        return await desk.enqueue(tenant="held" if state == "held" else "default")
    job = await running(desk)
    if state in ("killed", "cancelled"):
        await desk.act("kill" if state == "killed" else "cancel", [job.id])
        if state == "cancelled":
            await desk.report([job], "cancelled")
    elif state == "asked":
        await desk.act("cancel", [job.id])
    elif state != "running":
        await desk.report([job], state, {"final": True} if state == "failed" else None)
    return job.id


async def said(desk: Desk, id: UUID) -> tuple[str, str | None, str | None]:  # noqa: A002 - the domain's word
    """Return type, actor and reason of a job's last event."""
    row = await desk.sql.fetchrow(
        "select type::text, actor, data ->> 'reason' as reason from jobledger.events"
        " where stream_id = $1 order by version desc limit 1",
        id,
    )
    assert row is not None
    return (row["type"], row["actor"], row["reason"])


@pytest.mark.parametrize(("act", "allowed", "after", "event"), ACTS, ids=[act[0] for act in ACTS])
async def test_each_act_in_each_state(
    desk: Desk, act: str, allowed: tuple[str, ...], after: str | None, event: str
) -> None:
    """Where the state allows it the act is an event with actor and reason; elsewhere it changes nothing."""
    jobs = {state: await in_state(desk, state) for state in (*OPEN, *FINISHED)}
    await desk.sql.execute("select jobledger.pause(0::smallint, 'tenant', 'held')")
    await desk.tick()
    for state, job in jobs.items():
        before, history = await desk.state(job), await desk.history(job)
        (verdict,) = await desk.act(act, [job], f"why {state}", **DATA.get(act, {}))
        if state in allowed:
            assert (state, verdict) == (state, "done")
            assert await said(desk, job) == (event, "ada", f"why {state}")
            assert (state, await desk.state(job)) == (state, after or before)
        elif act == "cancel" and state in ("running", "asked"):
            assert (state, verdict) == (state, "requested")
            assert await desk.state(job) == "running"
            assert (await desk.history(job))[-1] == "cancel_requested"
            assert len(await desk.history(job)) == (len(history) + 1 if state == "running" else len(history))
        else:
            assert (state, verdict) == (state, "wrong_state")
            assert (await desk.state(job), await desk.history(job)) == (before, history)
    assert await desk.act(act, [uuid4()], **DATA.get(act, {})) == ["not_found"]


@pytest.mark.parametrize(
    ("outcome", "data", "end"),
    [
        ("succeeded", None, "succeeded"),
        ("failed", {"retry_in": 0}, "cancelled"),
        ("snoozed", {"run_at": "2050-01-01T00:00:00Z"}, "cancelled"),
        ("interrupted", None, "cancelled"),
        ("parked", {"reason": "r"}, "cancelled"),
        ("cancelled", None, "cancelled"),
    ],
)
async def test_a_running_job_is_cancelled_by_whatever_ends_it_but_success(
    desk: Desk, outcome: str, data: dict[str, Any] | None, end: str
) -> None:
    """Its worker hears of the request by the next heartbeat, and a success that came first counts."""
    job = await running(desk)
    assert await desk.act("cancel", [job.id]) == ["requested"]
    assert ("cancel", job.id) in await desk.beat(1, 0, [job.id])
    assert await desk.report([job], "progressed") == [("accepted", "running", None)]
    assert await desk.report([job], outcome, data) == [("accepted", end, None)]
    assert (await desk.history(job.id))[-1] == end


async def test_a_killed_job_is_told_to_its_worker(desk: Desk) -> None:
    """The heartbeat names it as killed, and its report is rejected."""
    job = await running(desk)
    assert await desk.act("kill", [job.id]) == ["done"]
    assert ("killed", job.id) in await desk.beat(1, 0, [job.id])
    assert await desk.report([job]) == [("rejected", "killed", "finished")]
    data = await desk.sql.fetchval("select data from jobledger.events where type = 'job.killed'")
    assert orjson.loads(data) == {"rule": "operator", "reason": "because"}


async def test_a_retry_gives_a_new_budget(desk: Desk) -> None:
    """A retry grants as many attempts as the job first had, or as many as are asked for."""
    job = await running(desk, max_attempts=2)
    await desk.report([job], "failed", {"final": True})
    cases: list[tuple[dict[str, Any], int]] = [({}, 3), ({"attempts": 5}, 7)]
    for asked, expected in cases:
        assert await desk.act("retry", [job.id], **asked) == ["done"]
        again = await desk.claimer.claim_job(job.id, 50)
        assert again.max_attempts == expected
        await desk.report([again], "failed", {"final": True})


async def test_a_retry_whose_unique_key_another_job_holds_changes_nothing(desk: Desk) -> None:
    """`unique_taken`, and the job stays failed with its history; once the key is free the retry takes it again."""
    job = await running(desk, unique_key="one")
    await desk.report([job], "failed", {"final": True})
    other = await desk.enqueue(unique_key="one")
    history = await desk.history(job.id)
    assert await desk.act("retry", [job.id]) == ["unique_taken"]
    assert (await desk.state(job.id), await desk.history(job.id)) == ("failed", history)
    await desk.act("cancel", [other])
    assert await desk.act("retry", [job.id]) == ["done"]
    holders = await desk.sql.fetch("select id from jobledger.unique_keys")
    assert [row["id"] for row in holders] == [job.id]


async def test_a_reschedule_states_a_new_kill_date(desk: Desk, clock: Clock) -> None:
    """Counted anew by the rule that holds, or the date asked for; the job is not killed by its old one."""
    now = await clock.stand()
    first, second = await desk.enqueue(kill_at=now + timedelta(hours=1)), await desk.enqueue()
    later = now + timedelta(days=20)
    assert await desk.act("reschedule", [first], run_at=later.isoformat()) == ["done"]
    own = later + timedelta(hours=2)
    assert await desk.act("reschedule", [second], run_at=later.isoformat(), kill_at=own.isoformat()) == ["done"]
    rows = await desk.sql.fetch("select id, kill_at from jobledger.jobs")
    assert {row["id"]: row["kill_at"] for row in rows} == {first: later + timedelta(days=7), second: own}
    await clock.advance(days=19)
    assert (await desk.tick())["killed"] == 0
    await clock.advance(days=1, hours=3)
    assert (await desk.tick())["killed"] == 1
    assert (await desk.state(first), await desk.state(second)) == ("ready", "killed")


async def test_moved_and_reprioritised_jobs_are_claimed_where_they_now_are(desk: Desk) -> None:
    """A job's new queue and priority decide who claims it and when."""
    jobs = [await desk.enqueue() for _ in range(3)]
    assert await desk.act("reprioritise", [jobs[2]], priority=-1) == ["done"]
    assert await desk.act("move", [jobs[0]], queue="elsewhere") == ["done"]
    bound = await type(desk)(desk.store, desk.sql).start(queues={"default": None})
    assert [job.id for job in await bound.claim()] == [jobs[2], jobs[1]]


async def test_acts_are_for_the_tenant_that_is_named(desk: Desk) -> None:
    """With a tenant given, another tenant's ids are not found, whoever asks."""
    job = await desk.enqueue(tenant="a")
    row = await desk.sql.fetchrow(
        "select verdict, state from jobledger.act(0::smallint, 'kill', 'b', array[$1::uuid], 'ada', 'why')", job
    )
    assert row is not None
    assert tuple(row.values()) == ("not_found", None)
    assert await desk.state(job) == "ready"


@pytest.mark.parametrize(
    ("act", "data"),
    [
        ("dance", {}),
        ("retry", {"attempts": 0}),
        ("retry", {"run_at": "soon"}),
        ("reschedule", {}),
        ("reschedule", {"run_at": "2050-01-01T00:00:00Z", "kill_at": "2049-01-01T00:00:00Z"}),
        ("reprioritise", {"priority": 1001}),
        ("move", {"queue": "no such name!"}),
    ],
)
async def test_an_act_that_is_not_well_formed_changes_nothing(desk: Desk, act: str, data: dict[str, Any]) -> None:
    """It is refused with its name, before any of its jobs is looked at."""
    job = await desk.enqueue()
    with pytest.raises(InvalidArgument), translated():
        await desk.act(act, [job], **data)
    assert await desk.history(job) == ["enqueued"]


async def waiting_for_a_lock(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Return as soon as some transaction waits for a lock."""
    async with asyncio.timeout(10):
        while not await connection.fetchval(LOCKED):
            pass


async def test_a_report_that_meets_a_request_to_cancel_is_not_lost(desk: Desk, database: str) -> None:
    """The report waits for the act, sees the row again under its own claim, and is accepted."""
    jobs = [await running(desk) for _ in range(3)]
    operator, watch = await asyncpg.connect(database), await asyncpg.connect(database)
    act = operator.transaction()
    await act.start()
    await operator.fetch(
        "select * from jobledger.act(0::smallint, 'cancel', null, array[$1::uuid], 'ada', 'why')", jobs[1].id
    )
    report = asyncio.create_task(desk.report(jobs))
    await waiting_for_a_lock(watch)
    await act.commit()
    assert await report == [("accepted", "succeeded", None)] * 3
    await operator.close()
    await watch.close()


async def test_acts_claims_and_reports_at_full_speed(desk: Desk, store: Store, database: str) -> None:
    """Many connections over the same jobs: no deadlock, no job lost or doubled, tables and log in step throughout."""
    await desk.fill(120)
    ids = [row["id"] for row in await desk.sql.fetch("select id from jobledger.jobs")]
    verdicts: Counter[str] = Counter()
    accepted: Counter[UUID] = Counter()

    async def operate(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - which act comes when
        connection = await asyncpg.connect(database)
        own = type(desk)(store, connection)
        choices: list[Callable[[], tuple[str, dict[str, Any]]]] = [
            lambda: ("cancel", {}),
            lambda: ("kill", {}),
            lambda: ("retry", {}),
            lambda: ("retry", {}),
            lambda: ("unpark", {}),
            lambda: ("reprioritise", {"priority": chance.randint(-3, 3)}),
            lambda: ("move", {"queue": chance.choice(["default", "other"])}),
        ]
        for _ in range(60):
            act, data = chance.choice(choices)()
            verdicts.update(await own.act(act, chance.sample(ids, 12), **data))
        await connection.close()

    async def work(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - which outcome comes when
        connection = await asyncpg.connect(database)
        own = await type(desk)(store, connection).start()
        for number in range(1, 61):
            taken = await own.claim(20)
            for job in taken:
                outcome, data = chance.choice(
                    [("succeeded", None), ("failed", {"retry_in": 0}), ("parked", None), ("interrupted", None)]
                )
                for verdict, state, _ in await own.report([job], outcome, data):
                    accepted[job.id] += verdict == "accepted" and state == "succeeded"
            await own.beat(number, number, [])
            await own.tick()
        await connection.close()

    await asyncio.gather(*(operate(seed) for seed in range(4)), *(work(seed) for seed in range(2)))
    assert await desk.differences() == []
    assert await desk.sql.fetchval("select count(*) from jobledger.jobs") == len(ids)
    assert await desk.sql.fetchval("select count(distinct id) from jobledger.jobs") == len(ids)
    gaps = await desk.sql.fetch(
        "select stream_id from jobledger.events group by stream_id having max(version) <> count(*)"
    )
    assert gaps == []
    ends = await desk.sql.fetch(
        "select stream_id, count(*) as n from jobledger.events where type = 'job.succeeded' group by 1"
    )
    assert {row["stream_id"]: row["n"] for row in ends} == {job: n for job, n in accepted.items() if n}
    assert verdicts["done"] > 100
