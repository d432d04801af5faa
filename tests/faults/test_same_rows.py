"""Claims, reports, heartbeats, ticks and operators over the same few rows at full speed.

Beside the workers that do their work there are some that fall silent with jobs in hand, so that they are rescued, and
some that hold theirs past the time-out while their heart beats; operators set kill dates a second ahead. Both report
too late, now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.conftest import ENDS, until
from tests.faults.workplace import Workplace

from jobledger.errors import InvalidArgument, LeaseOver
from jobledger.jobs import Client
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

    from jobledger.store.claim import ClaimedJob
    from jobledger.testing.clock import Clock

DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"
LEASE_S = 2
SHORT_S = 1
# What time has brought about; a kill by an act has a rule of its own, and no date.
BY_TIME = """
select distinct case type when 'job.lease_expired' then 'rescued' when 'job.killed' then 'killed by date'
  else 'timed out' end
from jobledger.events
where type = 'job.lease_expired' or type = 'job.killed' and data ->> 'rule' = 'own' and data ? 'kill_at'
  or type = 'job.failed' and data -> 'error' ->> 'type' = 'TimedOut'
"""
OF_TIME = {"rescued", "killed by date", "timed out"}
SEEN = {"operate", "tick", "beat", "done", "report accepted", "report rejected", *OF_TIME}
PATIENCE_S = 30.0
BATCHES = 3
JOBS = 60
SHARE_OF_DATES = SHARE_OF_LATE = 0.5
ACTS: tuple[Act, ...] = ("cancel", "kill", "retry", "reprioritise", "reschedule", "unpark", "move")
# Else most jobs would be over most of the time, and there would be nothing to fight for.
OFTEN = [7 if one == "retry" else 1 for one in ACTS]
OUTCOMES = ("succeeded", "failed", "interrupted", "progressed", "parked")
SUCCEEDED = "select stream_id, attempt::int from jobledger.events where type = 'job.succeeded'"


@dataclass
class Held:
    """What a worker has in hand."""

    ids: list[UUID] = field(default_factory=list)


class Melee:
    """Everybody at once, until the time is over and each has done something; on a slow machine that may take longer."""

    def __init__(self, store: Store, clock: Clock, seconds: float) -> None:
        """Begin without jobs."""
        self.store = store
        self.clock = clock
        self.client = Client(store, strict=False)
        self.jobs: list[UUID] = []
        self.succeeded: list[UUID] = []
        self.until = time.monotonic() + seconds
        self.accepted: set[tuple[UUID, int]] = set()
        self.collisions: list[str] = []
        self.done: Counter[str] = Counter()
        self.answered = 0
        self.rescues = 0
        self.notes: list[tuple[str, UUID, int]] = []
        self.chance = random.Random(7)  # noqa: S311 - a seed, so that a run can be repeated

    async def go(self) -> None:
        """Enqueue, and let all of them work."""
        for _ in range(JOBS):
            await self.enqueue()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(self.work())
            for one in (self.operate, self.fall_silent):
                for _ in range(2):
                    group.create_task(self.keep_on(one))
            group.create_task(self.keep_on(self.dawdle))
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

    async def enqueue(self) -> None:
        """Enqueue a job, now and then one of a short time-out."""
        number = len(self.jobs) + len(self.succeeded)
        options: dict[str, Any] = {"timeout": SHORT_S} if number % 4 == 0 else {}
        handle = await self.client.enqueue("short", {"ms": 0}, tenant=f"t{number % 3}", max_attempts=1000, **options)
        self.jobs.append(handle.id)

    async def operate(self) -> None:
        """One act on some of the jobs, in no order."""
        what = self.chance.choices(ACTS, OFTEN)[0]
        now = await self.clock.now()
        dates = {"run_at": now.isoformat()}
        if self.chance.random() < SHARE_OF_DATES:
            dates["kill_at"] = (now + timedelta(seconds=SHORT_S)).isoformat()
        data: dict[str, dict[str, Any]] = {
            "reprioritise": {"priority": self.chance.randint(-5, 5)},
            "move": {"queue": "default"},
            "reschedule": dates,
            "retry": dates,
        }
        picked = self.chance.sample(self.jobs, 8)
        try:
            async with self.store.connection() as connection:
                for answer in await act(connection, 0, what, picked, actor="op", reason="melee", data=data.get(what)):
                    self.done[answer.verdict] += 1
        except InvalidArgument:
            assert "kill_at" in dates  # the time passed it on the way

    async def tick(self) -> None:
        """Promote, rescue, time out and kill."""
        async with self.store.connection() as connection:
            said = await tick(connection, 0)
        self.rescues += said.rescued

    async def pass_time(self) -> None:
        """Let leases run out now and then: of workers that stand still, not of all on a slow machine."""
        await self.clock.advance(seconds=LEASE_S / 2)
        answered, beats = self.answered, self.done["beat held"]
        await self.happens(lambda: self.answered >= answered + BATCHES and self.done["beat held"] > beats)
        if not self.done.keys() >= OF_TIME:
            async with self.store.connection() as connection:
                self.done.update(row[0] for row in await connection.fetch(BY_TIME))

    async def happens(self, holds: Callable[[], object]) -> None:
        """Wait for it, a second at most: whom it hangs on may be gone."""
        with contextlib.suppress(TimeoutError):
            await until(lambda: self.over or holds(), 1.0)

    async def take(self, lease_s: int, timeout_s: int | None = None) -> tuple[UUID, list[ClaimedJob]]:
        """Claim a few jobs as a new worker; none where its lease is over by then."""
        async with self.store.connection() as connection:
            worker = (await start_worker(connection, 0, kinds=["short"], lease_s=lease_s)).worker
        try:
            return worker, await Claimer(self.store, worker, None, ["short"]).claim(3, {}, 1, timeout_s=timeout_s)
        except LeaseOver:
            return worker, []

    async def fall_silent(self) -> None:
        """Claim, and never beat; report when others have been rescued, or never."""
        worker, jobs = await self.take(SHORT_S)
        rescues = self.rescues
        if jobs:
            await self.happens(lambda: self.rescues > rescues)
        if self.chance.random() < SHARE_OF_LATE:
            await self.report(worker, jobs)

    async def dawdle(self) -> None:
        """Claim what has a short time-out, and hold it in every heartbeat until it is lost; report it then or never."""
        worker, jobs = await self.take(LEASE_S, SHORT_S)
        held = {job.id for job in jobs}
        for beat in range(1, 1_000_000):
            async with self.store.connection() as connection:
                answer = await heartbeat(connection, 0, worker, beat=beat, settled=1, held=held)
            held -= {told.job for told in answer.told if told.what != "cancel"}
            self.done["beat held"] += 1
            if not held or self.over:
                break
        if self.chance.random() < SHARE_OF_LATE:
            await self.report(worker, jobs)

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
                # No operator begins it anew, so that another comes in its place.
                self.jobs.remove(verdict.id)
                self.succeeded.append(verdict.id)
                await self.enqueue()


@pytest.mark.parametrize("seconds", [0.5, pytest.param(20, marks=pytest.mark.slow)])
async def test_no_deadlock_and_no_lost_outcome_among_all_that_touch_a_job(
    store: Store, database: str, clock: Clock, ledger: Ledger, seconds: float
) -> None:
    """Every accepted outcome is in the log, nobody was chosen as the victim of a deadlock, all agrees, also rebuilt."""
    before = await ledger.value(DEADLOCKS)
    async with await Store.connect(database, pool_min=1, pool_max=15) as own:
        melee = Melee(own, clock, seconds)
        await melee.go()
    jobs = melee.jobs + melee.succeeded
    assert melee.done.keys() >= SEEN
    assert melee.collisions == []
    async with store.connection() as connection:
        await act(connection, 0, "unpark", melee.jobs, actor="op", reason="over")
        await connection.execute("select pg_stat_clear_snapshot()")
    assert await ledger.value(DEADLOCKS) == before
    await clock.advance(hours=1)  # what waits to be tried again is due, and no lease of before holds anything
    work = Workplace()
    async with work.manned(database):
        await ledger.all_over()
    assert melee.accepted <= {tuple(row) for row in await ledger.fetch(SUCCEEDED)}
    await ledger.agrees(jobs, [*melee.notes, *work.notes], ends=ENDS)
