"""Claims, reports, heartbeats, ticks and operators over the same few rows at full speed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.conftest import ENDS
from tests.faults.workplace import Workplace

from jobledger.errors import LeaseOver
from jobledger.store.claim import Claimer
from jobledger.store.operate import Act, act
from jobledger.store.pool import COLLISIONS, Store
from jobledger.store.reports import Report, report
from jobledger.store.tick import tick
from jobledger.store.workers import heartbeat, start_worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from tests.faults.conftest import Ledger

    from jobledger.jobs import Client
    from jobledger.store.claim import ClaimedJob
    from jobledger.testing.clock import Clock

DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"
LEASE_S = 2
SEEN = {"operate", "tick", "beat", "done", "report accepted", "report rejected"}
PATIENCE_S = 30.0
BATCHES = 3
ACTS: tuple[Act, ...] = ("cancel", "kill", "retry", "reprioritise", "reschedule", "unpark", "move")
OUTCOMES = ("succeeded", "failed", "interrupted", "progressed", "parked")
SUCCEEDED = "select stream_id, attempt::int from jobledger.events where type = 'job.succeeded'"


@dataclass
class Held:
    """What a worker has in hand."""

    ids: list[UUID] = field(default_factory=list)


class Melee:
    """Everybody at once, until the time is over and each has done something; on a slow machine that may take longer."""

    def __init__(self, store: Store, clock: Clock, jobs: list[UUID], seconds: float) -> None:
        """Fight over these jobs."""
        self.store = store
        self.clock = clock
        self.jobs = jobs
        self.until = time.monotonic() + seconds
        self.accepted: set[tuple[UUID, int]] = set()
        self.collisions: list[str] = []
        self.done: Counter[str] = Counter()
        self.answered = 0
        self.notes: list[tuple[str, UUID, int]] = []
        self.chance = random.Random(7)  # noqa: S311 - a seed, so that a run can be repeated

    async def go(self) -> None:
        """Let all of them work."""
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(self.work())
            for _ in range(2):
                group.create_task(self.keep_on(self.operate))
            group.create_task(self.keep_on(self.tick))
            group.create_task(self.keep_on(self.pass_time))

    @property
    def over(self) -> bool:
        """Say whether it was enough."""
        late = time.monotonic() - self.until
        return late >= 0 and (self.done.keys() >= SEEN or late > PATIENCE_S)

    async def keep_on(self, one: Callable[[], Awaitable[object]]) -> None:
        """Do it again and again."""
        while not self.over:
            try:
                await one()
            except COLLISIONS as error:
                self.collisions.append(type(error).__name__)
            self.done[one.__name__] += 1

    async def operate(self) -> None:
        """One act on some of the jobs, in no order."""
        what = self.chance.choice(ACTS)
        data: dict[str, dict[str, Any]] = {
            "reprioritise": {"priority": self.chance.randint(-5, 5)},
            "move": {"queue": "default"},
            "reschedule": {"run_at": (await self.clock.now()).isoformat()},
        }
        async with self.store.connection() as connection:
            picked = self.chance.sample(self.jobs, 8)
            for answer in await act(connection, 0, what, picked, actor="op", reason="melee", data=data.get(what)):
                self.done[answer.verdict] += 1

    async def tick(self) -> None:
        """Promote, rescue, time out and kill."""
        async with self.store.connection() as connection:
            await tick(connection, 0)

    async def pass_time(self) -> None:
        """Let leases run out now and then: of workers that stand still, not of all on a slow machine."""
        await self.clock.advance(seconds=LEASE_S / 2)
        answered = self.answered
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while self.answered < answered + BATCHES:  # noqa: ASYNC110 - many workers count it up
                    await asyncio.sleep(0.005)

    async def work(self) -> None:
        """Claim and report under one incarnation after the other, while a second connection sends its heartbeats."""
        while not self.over:
            async with self.store.connection() as connection:
                worker = (await start_worker(connection, 0, kinds=["short"], lease_s=LEASE_S)).worker
            claimer, held = Claimer(self.store, worker, None, ["short"]), Held()
            beating = asyncio.ensure_future(self.beat(worker, held))
            try:
                for call in range(1, 1_000_000):
                    if self.over:
                        break
                    try:
                        jobs = await claimer.claim(8, {}, call)
                        held.ids = [job.id for job in jobs]
                        await self.report(worker, jobs)
                    except LeaseOver:
                        break
                    except COLLISIONS as error:
                        self.collisions.append(type(error).__name__)
            finally:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)

    async def beat(self, worker: UUID, held: Held) -> None:
        """Send heartbeats that name what is held, and now and then not all of it."""
        for number in range(1, 1_000_000):
            named = held.ids[self.chance.randint(0, 3) :]
            async with self.store.connection() as connection:
                try:
                    await heartbeat(connection, 0, worker, beat=number, settled=number, held=named)
                except LeaseOver:
                    return
            self.done["beat"] += 1

    async def report(self, worker: UUID, jobs: list[ClaimedJob]) -> None:
        """Report some outcome of each."""
        self.notes += [(word, job.id, job.attempt) for job in jobs for word in ("begun", "ended")]
        reports = [Report(job.id, job.claim, self.chance.choice(OUTCOMES), None) for job in jobs]
        if not reports:
            return
        attempts = {job.id: job.attempt for job in jobs}
        async with self.store.connection() as connection:
            verdicts = await report(connection, 0, worker, sorted(reports, key=lambda one: one.id.bytes))
        self.answered += 1
        outcomes = {one.id: one.outcome for one in reports}
        for verdict in verdicts:
            self.done[f"report {verdict.verdict}"] += 1
            if verdict.verdict == "accepted" and outcomes[verdict.id] == "succeeded":
                self.accepted.add((verdict.id, attempts[verdict.id]))


@pytest.mark.parametrize("seconds", [0.7, pytest.param(20, marks=pytest.mark.slow)])
async def test_no_deadlock_and_no_lost_outcome_among_all_that_touch_a_job(
    store: Store, database: str, client: Client, clock: Clock, ledger: Ledger, seconds: float
) -> None:
    """Every accepted outcome is in the log, nobody was chosen as the victim of a deadlock, all agrees, also rebuilt."""
    jobs = [(await client.enqueue("short", {"ms": 0}, tenant=f"t{n % 3}", max_attempts=1000)).id for n in range(60)]
    before = await ledger.value(DEADLOCKS)
    async with await Store.connect(database, pool_min=1, pool_max=12) as own:
        melee = Melee(own, clock, jobs, seconds)
        await melee.go()
    assert melee.done.keys() >= SEEN
    assert melee.collisions == []
    async with store.connection() as connection:
        await act(connection, 0, "unpark", jobs, actor="op", reason="over")
        await connection.execute("select pg_stat_clear_snapshot()")
    assert await ledger.value(DEADLOCKS) == before
    await clock.advance(hours=1)  # what waits to be tried again is due, and no lease of before holds anything
    work = Workplace()
    async with work.manned(database):
        await ledger.all_over()
    assert melee.accepted <= {tuple(row) for row in await ledger.fetch(SUCCEEDED)}
    await ledger.agrees(jobs, [*melee.notes, *work.notes], ends=ENDS)
