"""Fetch: when to claim, and how many.

A claim asks for what the slots can take, and for as many more as they are seen to finish while a claim is on its way:
nothing ahead where jobs run for seconds, up to some hundred where they run for microseconds. Full answers are followed
by the next claim at once; short ones by a wait that grows from `_FIRST_WAIT_S` to `_POLL_S`. A queue that gave all that
a limit of its own allowed was not short: a place that comes free in it ends the wait. Whatever makes a poll worth while
calls `hint`; any number of hints are one poll.

Going idle: a poll came back empty, so the flag is raised and committed, and one more poll is owed: a job whose enqueuer
looked before the flag could be seen sent no hint. Then a notification or the timer, `_POLL_S` at most, asks for the
next one. A notification that names its job, alone, asks for that job only, which costs less than half; the poll that
follows looks at the rest, and where the job was gone the timer goes on as if nothing had been said. What is due looks
at all.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import asyncpg

from jobledger.errors import JobledgerError, LeaseOver, NotOpen, UnknownWorker
from jobledger.observations import ClaimRetried, ConnectionLost, JobsClaimed, JobsReleased, emit, listeners
from jobledger.store.pool import COLLISIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from jobledger.store.claim import ClaimedJob
    from jobledger.worker.idle import IdleFlag
    from jobledger.worker.incarnation import Incarnation
    from jobledger.worker.places import Asked, Drawn, Places
    from jobledger.worker.slots import SlotPool

_log = logging.getLogger("jobledger.worker")

_POLL_S = 0.25
_FIRST_WAIT_S = 0.005
AHEAD_S = 0.03
_AHEAD_LIMIT = 1000
_CLAIM_LIMIT = 1000
_MUCH = 100
_LANES = 2
_BACKOFF_S = (0.1, 1.0)
"""Pauses while the database is away. The longest is waited for when it is back, too, before the first claim."""
_BUSY_S = 0.1
_BUSY_JOBS = 50
_VAIN = (3, 10)


class Fetcher:
    """Claims jobs for the slots until `stop`.

    `claim` sends one call, and is told what each queue may give and what asked for it; `lease_over` gets the
    incarnation that has none any more and puts a new one in the pool; `room` lowers the number asked for to what the
    worker's own limits still allow, `places` to what those of its queues do; `taken` looks at each answer before any
    slot can; `idle` is how the database knows that this worker waits.
    """

    def __init__(
        self,
        pool: SlotPool,
        claim: Callable[[Incarnation, int, int, Asked, str, UUID | None], Awaitable[Sequence[ClaimedJob]]],
        *,
        lease_over: Callable[[Incarnation], Awaitable[None]],
        reopen: Callable[[], Awaitable[object]],
        room: Callable[[int], int],
        places: Places,
        taken: Callable[[Incarnation, Sequence[ClaimedJob]], None],
        poll_s: float = _POLL_S,
        idle: IdleFlag | None = None,
        ahead_s: float = AHEAD_S,
        hurry: Callable[[], None] | None = None,
    ) -> None:
        """Prepare. A call that ends in an error is given up; a late answer to it is thrown away.

        `ahead_s` is about what a claim and a report take: jobs that end within it are asked for ahead. `hurry` ends the
        claims that wait for jobs on the other side.
        """
        self._pool = pool
        self._claim = claim
        self._lease_over = lease_over
        self._reopen = reopen
        self._room = room
        self._places = places
        self._taken = taken
        self._poll_s = poll_s
        self._idle = idle
        self._ahead_s = ahead_s
        self._hurry = hurry
        self._owed: str | None = None
        self._named: UUID | None = None
        self._rhythm = "timer"
        self._vain = 0
        self._heard_from = 0.0
        self._short_at = self._window_at = time.monotonic()
        self._window_jobs = 0
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
        self.found: Counter[str] = Counter()
        """Polls that brought jobs, by what asked for them: `more` and `soon` follow a full and a short answer, `timer`
        comes when the longest wait is over; `hint` is a notification, `again` the poll after the flag was raised."""

    def hint(self) -> None:
        """Say that a poll may be worth while: slots are free. The wait after a short answer goes on."""
        self._wake.set()

    def worth(self) -> None:
        """Say that new jobs are likely there, so the wait after a short answer is over too."""
        self._not_before = 0.0
        self._wake.set()

    def notified(self, job: UUID | None = None) -> None:
        """Say that a notification came, which may name its job. However many come before a poll has begun ask for one.

        Of several none is named any more: that poll looks at everything.
        """
        self._named = job if self._owed is None else None
        self._owed = self._owed or "hint"
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

    @property
    def owes(self) -> bool:
        """Whether a poll is to follow at once."""
        return self._owed is not None

    async def run(self) -> None:
        """Claim until `stop`, then wait for the calls under way."""
        while not self.stopping:
            self._wake.clear()
            timer = None
            room = self.room()
            # A second call beside one under way pays only when it brings much. A large worker's first two begin
            # together, each with half of the room: each makes a connection ready for all that follow.
            first = not self.completed and self._pool.concurrency >= 2 * _MUCH
            much = _MUCH if first else min(_CLAIM_LIMIT, self._pool.concurrency)
            worth = len(self._calls) < _LANES and room >= (much if self._calls else 1)
            full = room <= 0 and not self._calls and self._waits
            if worth:
                timer = self._due() - time.monotonic()
                if timer <= 0:
                    self._call(min(max(1, room // 2) if first and not self._calls else room, _CLAIM_LIMIT))
                    continue
            elif self._hurry is not None and self._calls and room > 0 and self._places.freed:
                # A claim that waits for other queues would leave this one's place empty for as long as it waits.
                self._hurry()
            try:
                async with asyncio.timeout(_BUSY_S if full else timer):
                    await self._wake.wait()
            except TimeoutError:
                if full and self._idle is not None and not self._idle.always:
                    self._idle.take_down()
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
        return self._places.room(self._room(room)) if room > 0 else 0

    @property
    def _waits(self) -> bool:
        """Whether the database knows that this worker waits for jobs."""
        return self._idle is not None and self._idle.up(self._pool.home.id)

    def _due(self) -> float:
        if self._owed == "again" or (self._not_before > time.monotonic() and self._places.freed):
            return 0.0
        return min(self._not_before, self._heard_from) if self._owed else self._not_before

    def _ahead(self) -> int:
        now = time.monotonic()
        passed = now - self._rate_at
        if passed >= 0.01:
            fresh = (self._pool.finished - self._rate_finished) / passed
            # Up at once, down slowly: one slow job among fast ones must not empty the slots.
            self._rate = fresh if fresh > self._rate else self._rate * 0.7 + fresh * 0.3
            self._rate_at, self._rate_finished = now, self._pool.finished
        return min(int(self._rate * self._ahead_s), _AHEAD_LIMIT)

    def _call(self, n: int) -> None:
        named, self._named = self._alone(), None
        n = 1 if named else n
        self._asked += n
        cause = self._owed or (self._rhythm if 0 < self._not_before <= time.monotonic() else "more")
        # From here on: a job that is committed now is seen by this poll; what is said later asks for another.
        self._owed = None
        if cause != "more":
            self._short_at = time.monotonic()
        fetching = self._fetch(n, self._places.ask(n), cause, named)
        task = asyncio.get_running_loop().create_task(fetching, name="jobledger-claim")
        self._calls.add(task)
        task.add_done_callback(self._ended)

    def _alone(self) -> UUID | None:
        """Return the job that alone is to be looked for; None where a poll is due whatever the hint says."""
        due = self._not_before <= time.monotonic() or self._owed != "hint" or self._places.freed
        return None if due else self._named

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self.completed += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a claim failed", exc_info=error)
        self._wake.set()

    async def _fetch(self, n: int, asked: Asked, cause: str, named: UUID | None) -> None:
        home = self._pool.home
        call = home.held.begin_call()
        began = time.monotonic()
        answered = False
        try:
            if self.stopping:
                # Sent now it might wait for jobs, and the worker's end for it.
                return
            jobs = await self._answer(home, n, call, asked, cause, named)
            answered = jobs is not None
            if jobs is None:
                return
            drawn = None if named else self._places.answered(asked, n, jobs)
            if drawn is None:
                self._places.returned(asked)
            if not home.held.take_in(call, jobs):
                self._thrown_away(home, jobs)
            else:
                self._taken(home, jobs)
                if listeners:
                    emit(JobsClaimed(len(jobs), home.id, call, time.monotonic() - began))
            self.found[cause] += bool(jobs)
            if drawn is None:
                self._after_named(bool(jobs))
            else:
                self._after(len(jobs), drawn, cause)
            self._pool.offer()
            if self._idle is not None:
                await self._show(self._idle, home, n, len(jobs))
        finally:
            self._asked -= n
            if not answered:
                self._places.given_up(asked)
                home.held.give_up(call)

    async def _answer(
        self, home: Incarnation, n: int, call: int, asked: Asked, cause: str, named: UUID | None
    ) -> Sequence[ClaimedJob] | None:
        """Return the jobs of one claim call, None where it gave no answer that counts."""
        try:
            jobs = await self._claim(home, n, call, asked, cause, named)
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

    def _after(self, got: int, drawn: Drawn, cause: str) -> None:
        now = time.monotonic()
        if got:
            self.empty_polls = self._vain = 0
            self._rhythm = "soon"
            self._not_before = 0.0 if drawn.got * 2 >= drawn.asked else now + _FIRST_WAIT_S
            return
        self.empty_polls += 1
        wait_s = min(_FIRST_WAIT_S * 2 ** min(self.empty_polls, 10), self._poll_s)
        if self._waits:
            wait_s = self._poll_s
        # While the flag is being raised the polls follow closely: they are part of going idle, not its timer.
        self._rhythm = "timer" if 2 * wait_s > self._poll_s else "soon"
        self._not_before = now + wait_s
        if cause == "hint":
            self._in_vain()

    def _after_named(self, got: bool) -> None:
        """Poll again soon where the named job was there; else leave the timer alone, for nothing else was looked at."""
        if not got:
            self._in_vain()
            return
        self.empty_polls = self._vain = 0
        self._rhythm = "soon"
        # Not later than it was: else hints that follow each other closely would hide the rest for as long as they come.
        self._not_before = min(self._not_before, time.monotonic() + _FIRST_WAIT_S)

    def _in_vain(self) -> None:
        """Count a hint for nothing: others were quicker, or it cannot be taken now. Hints may not become a loop."""
        self._vain += 1
        if self._vain > _VAIN[0]:
            wait_s = min(_FIRST_WAIT_S * 2 ** (self._vain - _VAIN[0] - 1), self._poll_s)
            self._heard_from = time.monotonic() + wait_s

    async def _show(self, idle: IdleFlag, home: Incarnation, asked: int, got: int) -> None:
        """Raise the idle flag, or lower it, by what the last claims brought."""
        now = time.monotonic()
        if got * 2 < asked:
            self._short_at = now
        if now - self._window_at > _BUSY_S:
            self._window_at, self._window_jobs = now, 0
        self._window_jobs += got
        if (not got or idle.always) and idle.wanted(home.id) and not self.stopping:
            if await idle.put_up(home.id):
                self._owed = "again"
                self._wake.set()
        elif idle.always:
            return
        elif got and (self._window_jobs >= _BUSY_JOBS or now - self._short_at > _BUSY_S):
            # Never after a poll that brought nothing: the worker would wait for its timer, and nobody would tell it.
            idle.take_down()
        elif self._vain >= _VAIN[1]:
            idle.take_down(rest=True)

    def _thrown_away(self, home: Incarnation, jobs: Sequence[ClaimedJob]) -> None:
        self.late += len(jobs)
        if jobs:
            _log.warning("%d jobs came for a claim that had been given up; the next heartbeat releases them", len(jobs))
            emit(JobsReleased(home.id, len(jobs)))

    def _pause(self) -> None:
        pause_s = self._backoff_s * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
        self._backoff_s = min(self._backoff_s * 2, _BACKOFF_S[1])
        self._not_before = time.monotonic() + pause_s
