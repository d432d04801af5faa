"""Many hands for few jobs: each job goes to one of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import STEADY

from jobledger.store.claim import Claimer
from jobledger.store.pool import Store, connect
from jobledger.store.reports import Report, report
from jobledger.store.workers import start_worker

if TYPE_CHECKING:
    from uuid import UUID

    from tests.faults.conftest import Crew, Ledger

    from jobledger.jobs import Client
    from jobledger.store.claim import ClaimedJob

KINDS = ["short"]


class Rival:
    """One claimer on a connection of its own, under a worker id of its own."""

    def __init__(self, store: Store, worker: UUID) -> None:
        """Claim by this store, as this worker."""
        self.store = store
        self.worker = worker
        self._claimer = Claimer(store, worker, None, KINDS)
        self._call = 0

    async def claim(self, n: int = 1) -> list[ClaimedJob]:
        """Claim up to n jobs."""
        self._call += 1
        return list(await self._claimer.claim(n, {}, self._call))

    async def report(self, job: ClaimedJob) -> str:
        """Report success; return the verdict."""
        async with self.store.connection() as connection:
            verdicts = await report(connection, 0, self.worker, [Report(job.id, job.claim, "succeeded", None)])
        return verdicts[0].verdict

    async def work(self, left: set[UUID], notes: list[tuple[str, UUID, int]]) -> None:
        """Claim one job after the other until none is left, and report each."""
        while left:
            for job in await self.claim():
                notes.append(("begun", job.id, job.attempt))
                notes.append(("ended", job.id, job.attempt))
                left.discard(job.id)
                assert await self.report(job) == "accepted"


async def rivals(dsn: str, count: int) -> list[Rival]:
    """Return so many rivals, each with a connection of its own."""
    connections = await asyncio.gather(*(connect(dsn) for _ in range(count)))
    made = []
    for connection in connections:
        started = await start_worker(
            connection, 0, kinds=KINDS, queues=None, tenants=None, lease_s=600, about={"host": "here"}
        )
        made.append(Rival(Store(connection=connection), started.worker))
    return made


async def leave(made: list[Rival]) -> None:
    """Close their connections."""
    for rival in made:
        async with rival.store.connection() as connection:
            await connection.close()


async def test_two_claimers_racing_for_one_job_never_both_get_it(database: str, client: Client, ledger: Ledger) -> None:
    """One of two claims that begin together gets the job; the report of the other changes nothing."""
    first, second = await rivals(database, 2)
    jobs, notes = [], []
    for _ in range(100):
        jobs.append((await client.enqueue("short", {"ms": 0})).id)
        found: list[tuple[Rival, ClaimedJob]] = []
        while not found:
            answers = await asyncio.gather(first.claim(), second.claim())
            found = [(rival, job) for rival, answer in zip((first, second), answers, strict=True) for job in answer]
        ((winner, job),) = found
        assert job.id == jobs[-1]
        loser = second if winner is first else first
        verdicts = await asyncio.gather(winner.report(job), loser.report(job))
        assert list(verdicts) == ["accepted", "rejected"]
        notes += [("begun", job.id, job.attempt), ("ended", job.id, job.attempt)]
    await leave([first, second])
    await ledger.agrees(jobs, notes)


async def test_two_worker_processes_racing_for_single_jobs_run_each_once(
    crew: Crew, client: Client, ledger: Ledger
) -> None:
    """Two idle workers that both poll for the one job there is: one runs it, and no handler begins twice."""
    hands = [crew.hire(**STEADY), crew.hire(**STEADY)]

    async def both_there() -> bool:
        return int(await ledger.value("select count(*) from jobledger.workers")) == len(hands)

    await ledger.until(both_there)
    jobs = []
    for _ in range(15):
        jobs.append((await client.enqueue("short", {"ms": 0})).id)
        await ledger.reaches(jobs[-1], "succeeded")
    await crew.dismiss()
    assert Counter(note.job for note in crew.notes() if note.word == "begun") == Counter(jobs)
    await ledger.agrees(jobs, crew.notes())


@pytest.mark.slow
async def test_a_hundred_claimers_at_once_share_a_hundred_jobs(database: str, client: Client, ledger: Ledger) -> None:
    """A hundred connections that claim at the same moment get a hundred different jobs."""
    jobs = [(await client.enqueue("short", {"ms": 0}, tenant=f"t{number % 7}")).id for number in range(100)]
    made = await rivals(database, 100)
    left = set(jobs)
    notes: list[tuple[str, UUID, int]] = []
    await asyncio.gather(*(rival.work(left, notes) for rival in made))
    assert Counter(job for word, job, _ in notes if word == "begun") == Counter(jobs)
    await leave(made)
    await ledger.agrees(jobs, notes)
