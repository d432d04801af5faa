"""Waiting for jobs to end: one statement asks for all that are due, however many requests wait."""

from __future__ import annotations

import asyncio
import heapq
import logging
from typing import TYPE_CHECKING, Final

import asyncpg

from jobledger.errors import JobledgerError
from jobledger.http.running import SHARED_S
from jobledger.observations import ConnectionLost, emit
from jobledger.store.jobs_read import ended_among

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.store.pool import Store

_log = logging.getLogger("jobledger.http")

ASKED_MOST: Final = 1_000
"""Jobs that one statement asks for."""
_FIRST_S: Final = 0.005
_LONGEST_S: Final = 0.25
_LEAST_S: Final = 0.01
"""Between two statements, so that waiting requests cost at most a hundred a second."""
_EACH_S: Final = 0.0002
"""Added to the longest pause for each job that is waited for: 5,000 looks at one row a second, whatever waits."""


class _Awaited:
    """A job, and the requests that wait for its end."""

    __slots__ = ("due_at", "pause_s", "requests")

    def __init__(self) -> None:
        """Ask soon at first; many jobs are short."""
        self.due_at = 0.0
        self.pause_s = _FIRST_S
        self.requests: set[asyncio.Future[None]] = set()


class Endings:
    """The jobs of one process whose ends are waited for. It looks while there are any, and else does nothing."""

    def __init__(self, store: Store, draining: asyncio.Event) -> None:
        """Prepare; `draining` ends all waiting."""
        self._store = store
        self._draining = draining
        self._awaited: dict[UUID, _Awaited] = {}
        self._due: list[tuple[float, UUID]] = []
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.asked = 0
        """Statements that were sent so far."""

    def __len__(self) -> int:
        """Return how many jobs are waited for."""
        return len(self._awaited)

    async def wait(self, job: UUID, timeout_s: float) -> None:
        """Return when a job has ended, the service is ending, nobody can tell, or so many seconds have passed.

        Which of them it was, the caller looks up: a job that ended may have been retried since.
        """
        loop = asyncio.get_running_loop()
        request: asyncio.Future[None] = loop.create_future()
        awaited = self._awaited.get(job)
        if awaited is None:
            awaited = self._awaited[job] = _Awaited()
            self._ask_at(loop.time() + awaited.pause_s, job, awaited)
            self._changed.set()
        awaited.requests.add(request)
        if self._task is None:
            self._task = loop.create_task(self._follow(), name="jobledger-endings")
        try:
            await asyncio.wait([request], timeout=timeout_s)
        finally:
            awaited.requests.discard(request)
            if not awaited.requests and self._awaited.get(job) is awaited:
                del self._awaited[job]
                self._changed.set()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._awaited and not self._draining.is_set():
                due = self._taken(loop.time())
                if due:
                    await self._look(due)
                pause_s = min(self._due[0][0] - loop.time(), _LONGEST_S) if self._due else _LONGEST_S
                await self._paused(max(pause_s, _LEAST_S))
        finally:
            self._task = None
            for job in list(self._awaited):
                self._tell(job)

    async def _paused(self, pause_s: float) -> None:
        """Wait for so long; what changes meanwhile is seen after the least pause."""
        self._changed.clear()
        await asyncio.sleep(_LEAST_S)
        if pause_s > _LEAST_S:
            try:
                async with asyncio.timeout(pause_s - _LEAST_S):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _taken(self, now: float) -> list[UUID]:
        """Take the jobs that are due; those that nobody waits for any more are forgotten."""
        found: list[UUID] = []
        while self._due and self._due[0][0] <= now and len(found) < ASKED_MOST:
            at, job = heapq.heappop(self._due)
            awaited = self._awaited.get(job)
            # Whoever asks again for a job that was given up meanwhile has a place of its own here.
            if awaited is not None and awaited.due_at == at:
                found.append(job)
        return found

    async def _look(self, due: list[UUID]) -> None:
        self.asked += 1
        try:
            async with self._store.connection(ours=True, answer_s=SHARED_S) as connection:
                ended = await ended_among(connection, self._store.shard, due)
        except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            emit(ConnectionLost(where="endings", error=type(error).__name__))
            # Each request looks for itself, and tells its client what is wrong.
            ended = set(due)
        except Exception:  # noqa: BLE001 - the requests would wait to their end for nothing
            _log.exception("looking for jobs that have ended failed")
            ended = set(due)
        now = asyncio.get_running_loop().time()
        longest_s = _LONGEST_S + len(self._awaited) * _EACH_S
        for job in due:
            awaited = self._awaited.get(job)
            if awaited is None:
                continue
            if job in ended:
                self._tell(job)
            else:
                awaited.pause_s = min(awaited.pause_s * 1.5, longest_s)
                self._ask_at(now + awaited.pause_s, job, awaited)

    def _ask_at(self, at: float, job: UUID, awaited: _Awaited) -> None:
        awaited.due_at = at
        heapq.heappush(self._due, (at, job))

    def _tell(self, job: UUID) -> None:
        for request in self._awaited.pop(job).requests:
            if not request.done():
                request.set_result(None)
