"""Fetch: when to claim, and how many.

A claim asks for what the slots can take, and for as many more as they are seen to finish while a claim is on its way:
nothing ahead where jobs run for seconds, up to some hundred where they run for microseconds. Full answers are followed
by the next claim at once; short ones by a wait that grows from `_FIRST_WAIT_S` to `_POLL_S`. Whatever makes a poll
worth while calls `hint`; any number of hints are one poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING

import asyncpg

from jobledger.errors import JobledgerError, LeaseOver, NotOpen, UnknownWorker
from jobledger.observations import ClaimRetried, ConnectionLost, JobsClaimed, JobsReleased, emit, listeners
from jobledger.store.pool import COLLISIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from jobledger.store.claim import ClaimedJob
    from jobledger.worker.incarnation import Incarnation
    from jobledger.worker.slots import SlotPool

_log = logging.getLogger("jobledger.worker")

_POLL_S = 0.25
_FIRST_WAIT_S = 0.005
_AHEAD_S = 0.03
_AHEAD_LIMIT = 1000
_CLAIM_LIMIT = 500
_LANES = 2
_BACKOFF_S = (0.1, 5.0)


class Fetcher:
    """Claims jobs for the slots until `stop`.

    `claim` sends one call; `lease_over` gets the incarnation that has none any more and puts a new one in the pool;
    `room` lowers the number asked for to what the worker's own limits still allow; `taken` looks at each answer before
    any slot can.
    """

    def __init__(
        self,
        pool: SlotPool,
        claim: Callable[[Incarnation, int, int], Awaitable[Sequence[ClaimedJob]]],
        *,
        lease_over: Callable[[Incarnation], Awaitable[None]],
        reopen: Callable[[], Awaitable[object]],
        room: Callable[[int], int],
        taken: Callable[[Incarnation, Sequence[ClaimedJob]], None],
        poll_s: float = _POLL_S,
    ) -> None:
        """Prepare. A call that ends in an error is given up; a late answer to it is thrown away."""
        self._pool = pool
        self._claim = claim
        self._lease_over = lease_over
        self._reopen = reopen
        self._room = room
        self._taken = taken
        self._poll_s = poll_s
        self._wake = asyncio.Event()
        self._asked = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._not_before = 0.0
        self._backoff_s = _BACKOFF_S[0]
        self._rate = 0.0
        self._rate_at = time.monotonic()
        self._rate_finished = 0
        self.stopping = False
        self.empty_polls = 0
        self.late = 0
        self.completed = 0

    def hint(self) -> None:
        """Say that a poll is worth while: slots are free, jobs were promoted, or a notification came."""
        self._wake.set()

    def worth(self) -> None:
        """Say that new jobs are likely there, so the wait after a short answer is over too."""
        self._not_before = 0.0
        self._wake.set()

    def stop(self) -> None:
        """Claim no more. A call that is under way is still taken in."""
        self.stopping = True
        self._wake.set()

    def give_up(self) -> None:
        """Give up the calls under way: their answers are thrown away."""
        for task in tuple(self._calls):
            task.cancel()

    @property
    def asked(self) -> int:
        """Count the jobs asked for by the calls under way."""
        return self._asked

    @property
    def under_way(self) -> int:
        """Count the calls under way."""
        return len(self._calls)

    async def run(self) -> None:
        """Claim until `stop`, then wait for the calls under way."""
        while not self.stopping:
            self._wake.clear()
            timer = None
            room = self.room()
            # A second call beside one under way pays only when it brings much.
            worth = len(self._calls) < _LANES and room >= (
                min(_CLAIM_LIMIT, self._pool.concurrency) if self._calls else 1
            )
            if worth:
                timer = self._not_before - time.monotonic()
                if timer <= 0:
                    self._call(min(room, _CLAIM_LIMIT))
                    continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timer):
                    await self._wake.wait()
        if self._calls:
            await asyncio.wait(self._calls)

    def room(self) -> int:
        """Return how many jobs to ask for: free slots, and jobs to have at hand, less what is there or asked for."""
        pool = self._pool
        ahead = self._ahead()
        pool.low_water = ahead // 2
        room = pool.concurrency - pool.running + ahead - len(pool.home.held.waiting) - self._asked
        # Outcomes that cannot leave must not pile up: what is held has a limit too.
        room = min(room, 2 * (pool.concurrency + ahead) - len(pool.home.held) - self._asked)
        return self._room(room) if room > 0 else 0

    def _ahead(self) -> int:
        now = time.monotonic()
        passed = now - self._rate_at
        if passed >= 0.01:
            fresh = (self._pool.finished - self._rate_finished) / passed
            # Up at once, down slowly: one slow job among fast ones must not empty the slots.
            self._rate = fresh if fresh > self._rate else self._rate * 0.7 + fresh * 0.3
            self._rate_at, self._rate_finished = now, self._pool.finished
        return min(int(self._rate * _AHEAD_S), _AHEAD_LIMIT)

    def _call(self, n: int) -> None:
        self._asked += n
        task = asyncio.get_running_loop().create_task(self._fetch(n), name="jobledger-claim")
        self._calls.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self.completed += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a claim failed", exc_info=error)
        self._wake.set()

    async def _fetch(self, n: int) -> None:
        home = self._pool.home
        call = home.held.begin_call()
        began = time.monotonic()
        answered = False
        try:
            jobs = await self._answer(home, n, call)
            answered = jobs is not None
            if jobs is None:
                return
            if not home.held.take_in(call, jobs):
                self._thrown_away(home, jobs)
            else:
                self._taken(home, jobs)
                if listeners:
                    emit(JobsClaimed(len(jobs), home.id, call, time.monotonic() - began))
            self._after(n, len(jobs))
            self._pool.offer()
        finally:
            self._asked -= n
            if not answered:
                home.held.give_up(call)

    async def _answer(self, home: Incarnation, n: int, call: int) -> Sequence[ClaimedJob] | None:
        """Return the jobs of one claim call, None where it gave no answer that counts."""
        try:
            jobs = await self._claim(home, n, call)
        except (LeaseOver, UnknownWorker):
            await self._lease_over(home)
        except NotOpen:
            await self._reopen()
        except COLLISIONS as error:
            emit(ClaimRetried(type(error).__name__))
        except (JobledgerError, OSError, TimeoutError, asyncpg.InterfaceError) as error:
            emit(ConnectionLost(where="claim", error=type(error).__name__))
            self._pause()
        except Exception:  # noqa: BLE001 - an unknown fault must not end the worker: what it runs has to be reported
            _log.exception("a claim failed")
            self._pause()
        else:
            self._backoff_s = _BACKOFF_S[0]
            return jobs
        return None

    def _after(self, asked: int, got: int) -> None:
        if got:
            self.empty_polls = 0
            self._not_before = 0.0 if got * 2 >= asked else time.monotonic() + _FIRST_WAIT_S
        else:
            self.empty_polls += 1
            self._not_before = time.monotonic() + min(_FIRST_WAIT_S * 2 ** min(self.empty_polls, 10), self._poll_s)

    def _thrown_away(self, home: Incarnation, jobs: Sequence[ClaimedJob]) -> None:
        self.late += len(jobs)
        if jobs:
            _log.warning("%d jobs came for a claim that had been given up; the next heartbeat releases them", len(jobs))
            emit(JobsReleased(home.id, len(jobs)))

    def _pause(self) -> None:
        pause_s = self._backoff_s * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
        self._backoff_s = min(self._backoff_s * 2, _BACKOFF_S[1])
        self._not_before = time.monotonic() + pause_s


def places(limits: Mapping[str, int | None], occupied: Mapping[str, int], n: int) -> dict[str, int]:
    """Return how many of `n` jobs each queue may give, by its own limit and what of it occupies this process."""
    return {queue: n if limit is None else max(0, limit - occupied.get(queue, 0)) for queue, limit in limits.items()}
