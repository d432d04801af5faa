"""Hints: who is told that a job came, and who is left alone. One channel, and a flag for each worker that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from tests.contract.conftest import Desk

    from jobledger.testing.clock import Clock

START = "select worker from jobledger.worker_start(0::smallint, null, $1, $2, $3, 30)"


class Ear:
    """A connection that listens, and what it has heard since it was last asked."""

    def __init__(self, sql: asyncpg.Connection[Any]) -> None:
        """Hear nothing yet."""
        self.sql = sql
        self._heard: list[str] = []
        self.words: list[str] = []

    async def begin(self) -> Ear:
        """Listen on the channel."""
        await self.sql.add_listener(await self.sql.fetchval("select jobledger.channel()"), self._hear)
        return self

    def _hear(self, *said: object) -> None:
        self._heard.append(str(said[-1]))

    async def heard(self) -> int:
        """Return how many notifications came, and keep their words; they are read before the answer to a question."""
        await self.sql.fetchval("select 1")
        self.words, self._heard = self._heard, []
        return len(self.words)


@pytest.fixture
async def ear(database: str) -> AsyncIterator[Ear]:
    """Give somebody who listens."""
    connection = await asyncpg.connect(database)
    yield await Ear(connection).begin()
    await connection.close()


async def flag(desk: Desk, worker: UUID, waits: bool = True) -> bool:
    """Raise or lower a worker's flag; return whether it stands."""
    stands: bool = await desk.sql.fetchval("select jobledger.worker_idle(0::smallint, $1, $2)", worker, waits)
    return stands


async def many(desk: Desk, *jobs: dict[str, Any]) -> None:
    """Enqueue a batch."""
    await desk.sql.execute("select jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())


async def test_only_an_enqueue_for_a_worker_that_waits_is_told(desk: Desk, ear: Ear) -> None:
    """No flag, no notification; of many jobs of a transaction the first is named, the others share one."""
    await desk.enqueue()
    await many(desk, {"kind": "noop"})
    assert await ear.heard() == 0
    assert await flag(desk, desk.worker)
    job = await desk.enqueue(tenant="acme", queue="mail")
    await ear.heard()
    assert ear.words == [f"{job} acme mail noop"]
    await many(desk, {"kind": "noop"})
    newest = await desk.sql.fetchval("select max(id::text) from jobledger.ready")
    await ear.heard()
    assert ear.words == [f"{newest} default default noop"]
    async with desk.sql.transaction():
        jobs = [await desk.enqueue() for _ in range(5)]
        await many(desk, {"kind": "noop"}, {"kind": "noop", "queue": "other"})
    await ear.heard()
    assert sorted(ear.words) == ["", f"{jobs[0]} default default noop"]
    async with desk.sql.transaction():
        await many(desk, {"kind": "noop"}, {"kind": "noop"})
        await desk.enqueue()
    await ear.heard()
    assert ear.words == [""]
    await desk.sql.fetch("select jobledger.enqueue('noop') from generate_series(1, 100)")
    assert await ear.heard() == 2
    assert not await flag(desk, desk.worker, False)
    await desk.enqueue()
    assert await ear.heard() == 0


async def test_a_hint_is_for_workers_that_could_take_the_job(desk: Desk, ear: Ear) -> None:
    """By queue, tenant and kind, in a single enqueue and in a batch of one sort; a mixed batch is told in doubt."""
    worker = await desk.sql.fetchval(START, '{"mail": null}', ["send"], ["acme"])
    await flag(desk, worker)
    job = {"kind": "send", "queue": "mail", "tenant": "acme"}
    for other in ({"kind": "noop"}, {"queue": "default"}, {"tenant": "other"}):
        wrong = job | other
        await desk.enqueue(**wrong)
        await many(desk, wrong, wrong)
        assert await ear.heard() == 0, other
    await desk.enqueue(**job)
    assert await ear.heard() == 1
    await many(desk, job)
    assert await ear.heard() == 1
    await many(desk, {"kind": "noop"}, job)
    assert await ear.heard() == 1


async def test_a_job_that_is_not_due_is_no_reason_to_wake(desk: Desk, ear: Ear, clock: Clock) -> None:
    """It is told when a tick promotes it."""
    await flag(desk, desk.worker)
    due = await desk.sql.fetchval("select jobledger.now() + interval '20 seconds'")
    await desk.enqueue(run_at=due)
    await many(desk, {"kind": "noop", "run_at": due.isoformat()})
    await desk.tick()
    assert await ear.heard() == 0
    await clock.advance(seconds=21)
    await desk.tick()
    assert await ear.heard() == 1


async def test_an_act_that_makes_a_job_claimable_is_told(desk: Desk, ear: Ear) -> None:
    """A retry, an unparked job, one moved to a queue or to now; one put off, one refused, one ended are not."""
    failed = await desk.enqueue(max_attempts=1)
    assert await desk.report(await desk.claim(1), "failed") == [("accepted", "failed", None)]
    parked = await desk.enqueue()
    await desk.report(await desk.claim(1), "parked", {"needs": "a look"})
    later, now = await desk.sql.fetchrow("select jobledger.now() + interval '1 hour', jobledger.now()")  # type: ignore[misc]  # one row
    due = await desk.enqueue(run_at=later)
    await flag(desk, desk.worker)
    await ear.heard()
    for act, id_, data, verdict, told in (
        ("retry", failed, {}, "done", 1),
        ("retry", failed, {}, "wrong_state", 0),
        ("retry", uuid4(), {}, "not_found", 0),
        ("unpark", parked, {}, "done", 1),
        ("reschedule", due, {"run_at": (later - (later - now) / 2).isoformat()}, "done", 0),
        ("reschedule", due, {"run_at": now.isoformat()}, "done", 1),
        ("move", due, {"queue": "other"}, "done", 1),
        ("cancel", due, {}, "done", 0),
    ):
        assert await desk.act(act, [id_], **data) == [verdict], act
        assert await ear.heard() == told, (act, data)


async def test_the_end_of_a_pause_is_told(desk: Desk, ear: Ear) -> None:
    """What lies where it was is taken at once; of what was not paused nobody hears."""
    await flag(desk, desk.worker)
    for scope, name, told in (("queue", "default", 1), ("tenant", "default", 1), ("kind", "noop", 1), ("kind", "x", 0)):
        await desk.sql.fetchval("select jobledger.pause(0::smallint, $1, $2, 'ada', 'because')", scope, name)
        assert await ear.heard() == 0
        for again in (told, 0):
            await desk.sql.fetchval("select jobledger.resume(0::smallint, $1, $2, 'ada', 'because')", scope, name)
            assert await ear.heard() == again, (scope, name)


async def test_a_flag_ends_with_its_workers_lease(desk: Desk, ear: Ear, clock: Clock) -> None:
    """Nobody is told of jobs in the name of the dead; the next flag sweeps theirs away; a stop takes its own."""
    await flag(desk, desk.worker)
    await clock.advance(seconds=31)
    await desk.enqueue()
    assert await ear.heard() == 0
    assert not await flag(desk, desk.worker)
    other = await desk.sql.fetchval(START, None, ["noop"], None)
    assert await flag(desk, other)
    assert [row["worker"] for row in await desk.sql.fetch("select worker from jobledger.idle")] == [other]
    await desk.sql.execute("select jobledger.worker_stop(0::smallint, $1)", other)
    assert await desk.sql.fetch("select * from jobledger.idle") == []
    assert not await flag(desk, other)


async def test_flags_that_a_held_snapshot_keeps_are_not_read_for_ever(desk: Desk, database: str) -> None:
    """Every enqueue reads the dead rows, too: past 64 KiB of them no flag is raised, until they are gone."""
    holder = await asyncpg.connect(database)
    await holder.execute("begin transaction isolation level repeatable read")
    await holder.fetchval("select count(*) from jobledger.idle")
    for _ in range(5000):
        if not await flag(desk, desk.worker):
            break
        await flag(desk, desk.worker, False)
    else:
        pytest.fail("the flag is raised whatever it costs")
    assert await desk.sql.fetchval("select pg_relation_size('jobledger.idle')") < 100_000
    await holder.close()
    await desk.sql.execute("vacuum jobledger.idle")
    assert await flag(desk, desk.worker)


async def test_a_role_bound_to_tenants_does_not_hear_of_others(desk: Desk, database: str) -> None:
    """The channel is a secret that only who sees every tenant is told; its workers poll."""
    role = f"hints_{uuid4().hex[:12]}"
    await desk.sql.execute(f"create role {role} login in role jobledger_worker")
    own = await asyncpg.connect(database, user=role)
    try:
        await desk.sql.execute("insert into jobledger.grants (role, tenant) values ($1, 'other')", role)
        assert await own.fetchval("select jobledger.channel()") is None
        worker = await own.fetchval(START, None, ["noop"], None)
        assert await own.fetchval("select jobledger.worker_idle(0::smallint, $1, true)", worker) is False
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.fetch("select * from jobledger.channels")
        await own.execute("select jobledger.worker_stop(0::smallint, $1)", worker)
    finally:
        await own.close()
        await desk.sql.execute(f"drop role {role}")


async def test_each_shard_has_a_channel_of_its_own(desk: Desk) -> None:
    """Asked again it is the same one; nobody guesses it."""
    names = [await desk.sql.fetchval("select jobledger.channel($1)", shard) for shard in (0, 1, 0, 1)]
    assert names[:2] == names[2:]
    assert names[0] != names[1]
    assert all(len(name) == len("jobledger_") + 32 for name in names)
