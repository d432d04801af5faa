"""A worker's claims and reports by hand, one after the other, so that claims can be counted."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Self

from jobledger.bench.noop import KIND
from jobledger.store.claim import Claimer
from jobledger.store.pool import Store
from jobledger.store.reports import Report, report
from jobledger.store.workers import start_worker

if TYPE_CHECKING:
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pool import Connection

_LEASE_S = 3600


class HandClaimer:
    """Claims `n` jobs at a time and holds the last `held` batches, as a worker does whose slots are all busy."""

    def __init__(self, connection: Connection, claimer: Claimer, n: int, held: int) -> None:
        """Begin with free slots."""
        self._connection = connection
        self._claimer = claimer
        self._n = n
        self._most = held
        self._held: deque[list[ClaimedJob]] = deque()
        self._shares: Counter[str] = Counter()
        self.claims = 0
        self.finished = 0
        self.claims_ms: list[float] = []
        self.reports_ms: list[float] = []

    @classmethod
    async def start(cls, connection: Connection, n: int, held: int = 2) -> Self:
        """Register a worker with a long lease."""
        started = await start_worker(connection, 0, kinds=[KIND], lease_s=_LEASE_S)
        return cls(connection, Claimer(Store(connection=connection), started.worker, None, [KIND]), n, held)

    async def claim(self) -> list[ClaimedJob]:
        """Report the batch held longest if the slots are full, then claim the next and return it."""
        if len(self._held) >= self._most:
            await self._report(self._held.popleft())
        self.claims += 1
        began = time.perf_counter()
        jobs = await self._claimer.claim(self._n, self._shares, self.claims, self._connection)
        self.claims_ms.append((time.perf_counter() - began) * 1000)
        self._held.append(jobs)
        self._shares.update(job.tenant for job in jobs)
        return jobs

    async def finish(self) -> None:
        """Report everything held."""
        while self._held:
            await self._report(self._held.popleft())

    async def _report(self, jobs: list[ClaimedJob]) -> None:
        if not jobs:
            return
        reports = [Report(job.id, job.claim, "succeeded") for job in jobs]
        began = time.perf_counter()
        await report(self._connection, 0, self._claimer.worker, reports)
        self.reports_ms.append((time.perf_counter() - began) * 1000)
        self.finished += len(jobs)
        self._shares.subtract(job.tenant for job in jobs)
        self._shares += Counter()  # what is 0 is left out
