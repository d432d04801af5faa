"""Slots: a pool of tasks that live on, each running one job after the other.

No task, timer or future is made for a job. A handler that never suspends lets its slot go straight on to the next job
without a turn of the loop; after `_TURN_S` the slot lets the loop turn, so that reports and claims go on. One slot is
woken at a time, and wakes the next one before it starts a job: so a thousand slots start only if handlers suspend.

Time-outs of all running jobs are found by one scan of the slots. Ending a job early is `stop`: it notes why, tells the
job's token, and cancels the slot's task, which throws into the handler.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import copy_context
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from jobledger.observations import JobFinished, JobStarted, JobTimedOut, SlotLost, emit, listeners

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from jobledger.jobs.cancellation import CancellationToken
    from jobledger.store.claim import ClaimedJob
    from jobledger.worker.incarnation import Incarnation

_TURN_S = 0.005
_SCAN_S = 0.05
_WAKE_AT_ONCE = 8

Outcome = tuple[str, "dict[str, Any] | None"]


class Ending(Enum):
    """Why a running job is ended early; the values are those of the cancellation token."""

    TIMED_OUT = "timeout"
    CANCELLED = "cancel"
    KILLED = "kill"
    LEASE_LOST = "lease_lost"
    INTERRUPTED = "shutdown"


class Runner(Protocol):
    """Runs one job to its outcome. It raises CancelledError when it was ended from outside; all else is a fault."""

    def __call__(self, job: ClaimedJob, slot: Slot, /) -> Awaitable[Outcome]:
        """Return the outcome and its data for the report."""


class Slot:
    """One place to run a job. `ending` is set once for a job, by whoever ends it early."""

    __slots__ = ("abandoned", "ending", "home", "job", "recorded", "started", "stopped_at", "task", "token", "wake")

    def __init__(self) -> None:
        """Begin with nothing to run."""
        self.task: asyncio.Task[None] | None = None
        self.job: ClaimedJob | None = None
        self.home: Incarnation | None = None
        self.started = 0.0
        self.ending: Ending | None = None
        self.stopped_at = 0.0
        self.token: CancellationToken | None = None
        self.recorded = False
        self.abandoned = False
        self.wake: asyncio.Future[None] | None = None


class SlotPool:
    """The slots of one worker.

    `runners` has a runner for each kind and alias; `concluded` takes each outcome; `wanted` is called when the jobs at
    hand run low; `early` gives the outcome of a job that was ended early, or whose runner raised.
    """

    def __init__(
        self,
        home: Incarnation,
        runners: Mapping[str, Runner],
        *,
        concurrency: int,
        concluded: Callable[[Incarnation, ClaimedJob, Outcome, Slot], None],
        early: Callable[[ClaimedJob, Slot, Exception | None], Outcome],
        wanted: Callable[[], None],
        ignore_s: float = 10.0,
    ) -> None:
        """Prepare a pool of at most `concurrency` slots; a handler that ignores its end for `ignore_s` is abandoned."""
        self.home = home
        self.concurrency = concurrency
        self.low_water = 0
        self.running = 0
        self.finished = 0
        self.lost = 0
        self.closed = False
        self._runners = runners
        self._concluded = concluded
        self._early = early
        self._wanted = wanted
        self._ignore_s = ignore_s
        self._slots: set[Slot] = set()
        self._idle: list[Slot] = []
        self._waking = 0
        self._turn_at = 0.0
        self._turn_noted = False
        self._scan: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._base = copy_context()
        self._all_rest: asyncio.Future[None] | None = None

    @property
    def free(self) -> int:
        """Count the slots that run nothing."""
        return self.concurrency - self.running

    def busy(self) -> Iterator[tuple[Slot, ClaimedJob]]:
        """Go through the slots that run a job now, with their jobs."""
        for slot in tuple(self._slots):
            if slot.job is not None:
                yield slot, slot.job

    def offer(self) -> None:
        """Say that jobs may be waiting: wake a few slots, which wake more as they need them."""
        waiting = len(self.home.held.waiting)
        while self._waking < min(waiting, _WAKE_AT_ONCE) and self._wake_one():
            pass

    def stop(self, slot: Slot, ending: Ending) -> None:
        """End the job that the slot runs. The first reason stays; does nothing for a slot without a job."""
        if slot.job is None or slot.ending is not None or slot.task is None:
            return
        slot.ending = ending
        slot.stopped_at = time.monotonic()
        if slot.token is not None:
            slot.token.set(ending.value)
        slot.task.cancel()
        self._watch()

    def close(self) -> None:
        """Let every idle slot end, and each busy one when its job has ended."""
        self.closed = True
        while self._idle:
            wake = self._idle.pop().wake
            if wake is not None and not wake.done():
                wake.set_result(None)

    async def rested(self) -> None:
        """Wait until no slot runs a job."""
        while self.running:
            self._all_rest = self._loop.create_future()
            await self._all_rest

    async def closing(self) -> None:
        """Close, and wait until every slot has ended that is not lost."""
        self.close()
        tasks = [slot.task for slot in self._slots if slot.task is not None and not slot.abandoned]
        if tasks:
            await asyncio.wait(tasks)

    # ---- waking

    def _wake_one(self) -> bool:
        if self._idle:
            wake = self._idle.pop().wake
            if wake is not None and not wake.done():
                wake.set_result(None)
        elif len(self._slots) < self.concurrency and not self.closed:
            slot = Slot()
            self._slots.add(slot)
            slot.task = self._loop.create_task(self._serve(slot), context=self._base.copy(), name="jobledger-slot")
        else:
            return False
        self._waking += 1
        return True

    def _note_turn(self) -> None:
        self._turn_noted = False
        if len(self.home.held.waiting) <= self.low_water:
            self._wanted()

    async def _let_turn(self, slot: Slot) -> None:
        """Give way once; what was cancelled in the meantime was meant for the job before."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._uncancel(slot)

    @staticmethod
    def _uncancel(slot: Slot) -> None:
        task = slot.task
        while task is not None and task.cancelling():
            task.uncancel()

    async def _rest(self, slot: Slot) -> None:
        slot.wake = self._loop.create_future()
        self._idle.append(slot)
        try:
            await slot.wake
        finally:
            slot.wake = None

    # ---- running

    async def _serve(self, slot: Slot) -> None:
        try:
            await self._serve_on(slot)
        finally:
            self._slots.discard(slot)
            if slot.job is not None and not slot.abandoned:
                self.running -= 1

    async def _serve_on(self, slot: Slot) -> None:  # noqa: C901 - the hot loop: a call for each part costs more than the part
        self._waking -= 1
        base = self._base
        clock = time.monotonic
        while not self.closed:
            home = self.home
            waiting = home.held.waiting
            try:
                job = waiting.popleft()
            except IndexError:
                self._wanted()
                await self._rest(slot)
                self._waking -= not self.closed
                continue
            slot.home = home
            slot.started = clock()
            slot.job = job
            self.running += 1
            if waiting and not self._waking:
                self._wake_one()
            if not self._turn_noted:
                self._begin_turn(slot.started)
            if listeners:
                _tell_started(job)
            try:
                outcome = await self._runners[job.kind](job, slot)
            except asyncio.CancelledError:
                if self.closed and slot.ending is None:
                    raise
                outcome = self._early(job, slot, None)
            except Exception as error:  # noqa: BLE001 - let out, it would leave the job held, unreported, for good
                outcome = self._early(job, slot, error)
            if slot.abandoned:
                return
            self._conclude(slot, home, job, outcome)
            if slot.task is not None and slot.task.cancelling():
                await self._let_turn(slot)
                self._uncancel(slot)
            elif clock() - self._turn_at > _TURN_S:
                await self._let_turn(slot)
            if copy_context() != base:
                # The handler left a context variable set; the next job, of another tenant perhaps, must not see it.
                self._slots.discard(slot)
                self.offer()
                return

    def _begin_turn(self, now: float) -> None:
        self._turn_noted = True
        self._turn_at = now
        self._loop.call_soon(self._note_turn)
        self._watch()

    def _conclude(self, slot: Slot, home: Incarnation, job: ClaimedJob, outcome: Outcome) -> None:
        if slot.ending is Ending.TIMED_OUT and outcome[0] == "succeeded" and not slot.recorded:
            # A time-out bounds the attempt: what came after it has not met it.
            outcome = self._early(job, slot, None)
        ran = time.monotonic() - slot.started
        if ran >= 0.001:
            outcome = (outcome[0], {**(outcome[1] or {}), "ran": round(ran, 6)})
        self.running -= 1
        self.finished += 1
        self._concluded(home, job, outcome, slot)
        slot.job = None
        slot.home = None
        slot.token = None
        slot.ending = None
        slot.recorded = False
        if self._all_rest is not None and not self.running and not self._all_rest.done():
            self._all_rest.set_result(None)
        if listeners:
            data = outcome[1] or {}
            emit(
                JobFinished(
                    job.id,
                    job.tenant,
                    job.queue,
                    job.kind,
                    job.attempt,
                    outcome[0],
                    ran,
                    data.get("error", {}).get("type"),
                )
            )

    # ---- time-outs

    def _watch(self) -> None:
        if self._scan is None:
            self._scan = self._loop.call_later(_SCAN_S, self._look)

    def _look(self) -> None:
        """Find the jobs over their time-out, and the handlers that ignored their end; one scan for all slots."""
        self._scan = None
        now = time.monotonic()
        for slot, job in self.busy():
            if slot.ending is None:
                if now - slot.started >= job.timeout:
                    if listeners:
                        emit(JobTimedOut(job.id, "worker"))
                    self.stop(slot, Ending.TIMED_OUT)
            elif now - slot.stopped_at >= self._ignore_s:
                self.abandon(slot)
        if self.running:
            self._watch()

    def abandon(self, slot: Slot) -> None:
        """Record the outcome of a job whose handler ignores its end, and give its place to a fresh slot."""
        job, home = slot.job, slot.home
        if job is None or home is None or slot.abandoned:
            return
        emit(SlotLost(job.id, job.kind))
        self.lost += 1
        slot.abandoned = True
        self._slots.discard(slot)
        self._conclude(slot, home, job, self._early(job, slot, None))
        self.offer()


def _tell_started(job: ClaimedJob) -> None:
    waited_s = max(0.0, time.time() - job.run_at.timestamp())
    emit(JobStarted(job.id, job.tenant, job.queue, job.kind, job.attempt, waited_s))
