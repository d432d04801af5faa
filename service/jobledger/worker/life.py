"""One run of a worker: its parts put together, from the first lease to the last report."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobledger.errors import JobledgerError
from jobledger.observations import (
    JobsReleased,
    LeaseLost,
    ReportAccepted,
    WorkerStarted,
    WorkerStopped,
    emit,
    listeners,
)
from jobledger.store.tasks import end
from jobledger.worker.conclude import DROPPED
from jobledger.worker.fetch import Fetcher
from jobledger.worker.heartbeat import Heartbeat
from jobledger.worker.housekeeping import Renewal, show_turning, watch
from jobledger.worker.incarnation import Incarnation
from jobledger.worker.limits import Budget, Limits
from jobledger.worker.places import Places
from jobledger.worker.report import Reporter
from jobledger.worker.sides import Around
from jobledger.worker.slots import Ending, SlotPool
from jobledger.worker.stop import Stopping, wind_down
from jobledger.worker.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from jobledger.jobs.app import App
    from jobledger.settings import Settings
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.workers import Told
    from jobledger.worker.idle import IdleFlag
    from jobledger.worker.places import Asked
    from jobledger.worker.slots import Outcome, Slot
    from jobledger.worker.way import Way
    from jobledger.worker.workshop import Shop

_log = logging.getLogger("jobledger.worker")

_ENDINGS = {"lost": Ending.LEASE_LOST, "killed": Ending.KILLED, "cancel": Ending.CANCELLED}
_BEHIND = {"reason": "it waited in the worker behind long jobs"}
_STILL_S = 1.0
_UNFIT = {"reason": "its time-out passes the worker's end"}
_RENEWED = {"reason": "the worker had taken a new id before the claim was answered"}
_HEARTBEAT_PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class Manner:
    """How a worker goes about its work; the defaults are right, tests are quicker.

    ignore_s: how long a handler may ignore its end before it is recorded and its slot counted as lost;
    renew_after_s: age at which a worker takes a new incarnation; patience_s: when a claim or report that was not
    answered is given up; poll_s: longest wait between two looks for jobs; tick_s: between two ticks.
    """

    ignore_s: float = 10.0
    renew_after_s: float = 86_400.0
    patience_s: float = 60.0
    poll_s: float = 0.25
    tick_s: float = 0.25


class Life:
    """One run of a worker. Lives in one event loop, but for the heartbeat's thread."""

    def __init__(
        self,
        app: App,
        link: Way,
        *,
        names: Sequence[str],
        concurrency: int,
        settings: Settings,
        limits: Limits,
        manner: Manner,
        stopping: Stopping,
        shop: Callable[[Way], Shop] | None = None,
    ) -> None:
        """Put the parts together; nothing is sent yet. `shop`: where jobs are done, if not by the app's handlers."""
        self._app = app
        self._settings = settings
        self._manner = manner
        self._concurrency = concurrency
        self._names = list(names)
        self._stopping = stopping
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.Lock()
        self._changing: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._budget = Budget(limits)
        self._renewal = Renewal(manner.renew_after_s)
        self._switching = self._abrupt = False
        self._finished = 0
        self._still_since = 0.0
        self._incarnations: list[Incarnation] = []
        self._link = link
        self._workshop = Workshop(app, self._link, ignore_s=manner.ignore_s) if shop is None else shop(self._link)
        self._heartbeat = Heartbeat(
            self._link.pulse,
            every_s=settings.heartbeat_s,
            patience_s=max(settings.heartbeat_s, settings.lease_s * _HEARTBEAT_PATIENCE),
            stall_after_s=settings.stall_after_s,
            told=self._told,
            over=self._lease_ended,
        )
        self.sides = link.sides(
            Around(
                app=app,
                settings=settings,
                tick_s=manner.tick_s,
                reopen=self._reopen,
                worth=self._worth,
                notified=self._notified,
                hurry=self._heartbeat.hurry,
            )
        )
        self.pool: SlotPool
        self.fetcher: Fetcher

    @property
    def idle(self) -> IdleFlag | None:
        """How the database knows that this worker waits; None where nobody has to."""
        return self.sides.idle

    @property
    def home(self) -> Incarnation:
        """The incarnation that claims now."""
        return self.pool.home

    @property
    def heartbeat(self) -> Heartbeat:
        """The heartbeat's thread."""
        return self._heartbeat

    async def run(self, ready: asyncio.Event, *, until_empty: bool) -> str:
        """Work until asked to stop, then wind down; return the reason."""
        await self._link.begin(self._app)
        self._prepare(await self._incarnate())
        self._heartbeat.turned()
        self._heartbeat.start()
        fetching = self._loop.create_task(self.fetcher.run(), name="jobledger-fetch")
        sides = [
            self._loop.create_task(show_turning(self._heartbeat.turned, self._settings.stall_after_s)),
            self._loop.create_task(watch(self._look_after), name="jobledger-watch"),
            *self.sides.begin(),
        ]
        if until_empty:
            sides.append(self._loop.create_task(self._stop_when_empty(), name="jobledger-until-empty"))
        try:
            async with self.sides.listening():
                ready.set()
                await self._stopping.asked.wait()
        finally:
            await self._end(fetching, sides)
        return self._stopping.reason

    # ---- beginning and ending

    def _prepare(self, home: Incarnation) -> None:
        self.pool = SlotPool(
            home,
            self._workshop.runners(self._names),
            concurrency=self._concurrency,
            concluded=self._concluded,
            early=self._workshop.early,
            wanted=self._wanted,
            ignore_s=self._manner.ignore_s + 1.0,
        )
        self._workshop.pool = self.pool
        self.fetcher = Fetcher(
            self.pool,
            self._claim,
            lease_over=self._renew,
            reopen=self._reopen,
            room=self._room,
            places=Places(self._link.queues, self._occupying),
            taken=self._taken,
            poll_s=self._manner.poll_s,
            idle=self.sides.idle,
            ahead_s=self._link.ahead_s,
            hurry=self._link.hurry,
        )

    async def _end(self, fetching: asyncio.Task[None], sides: list[asyncio.Task[None]]) -> None:
        if not self._stopping.asked.is_set():  # this task was cancelled
            self._stopping.ask("cancelled", hurry=True)
        self.fetcher.stop()
        self._link.hurry()
        turning, *others = sides
        if self._changing is not None:
            others.append(self._changing)
        await end(others)
        try:
            await wind_down(
                self._stopping,
                self.fetcher,
                fetching,
                self.pool,
                self._incarnations,
                grace_s=self._settings.stop_grace_s,
                ignore_s=self._manner.ignore_s,
            )
            await self._workshop.close()
            self._heartbeat.stop()
            turning.cancel()
            await asyncio.to_thread(self._heartbeat.join, 5.0)
        finally:
            # What is kept must go back however this ends: closing the pool waits for it.
            await self._link.close()
        for incarnation in self._incarnations:
            await self._say_ended(incarnation, self._stopping.reason)
        if self._farewells:
            await asyncio.wait(self._farewells)

    async def _incarnate(self) -> Incarnation:
        home = Incarnation(await self._link.start())
        home.reporter = Reporter(
            home.id,
            home.held,
            self._link.send,
            reopen=self._reopen,
            answered=self._wanted,
        )
        self._incarnations.append(home)
        self._heartbeat.keep(home)
        queues = None if self._link.queues is None else tuple(self._link.queues)
        emit(WorkerStarted(home.id, queues, tuple(self._names), self._concurrency, self._settings.lease_s))
        return home

    async def _say_ended(self, incarnation: Incarnation, reason: str) -> None:
        emit(WorkerStopped(incarnation.id, reason))
        try:
            async with asyncio.timeout(5.0):
                await self._link.end(incarnation.id, reason)
        except (JobledgerError, OSError, TimeoutError) as error:
            _log.warning("the end of worker %s could not be recorded (%s); its lease runs out", incarnation.id, error)

    # ---- claiming

    async def _claim(
        self, home: Incarnation, n: int, call: int, asked: Asked, cause: str, named: UUID | None
    ) -> Sequence[ClaimedJob]:
        left = self._budget.left_s()
        ticking = self.sides.riding() if cause == "timer" else None
        timeout_s = None if left is None else int(left)
        try:
            jobs = await self._link.claim(
                *(home.id, n, call),
                held=home.held.shares(),
                free=asked,
                timeout_s=timeout_s,
                ticking=ticking,
                named=named,
            )
        except BaseException:
            if ticking is not None:
                self.sides.alone()
            raise
        if jobs:
            home.saw(jobs[0].at)
        return jobs

    def _occupying(self) -> Iterable[str]:
        """Return the queue of each job in the process that has not ended."""
        # A copy, made in one step: the heartbeat's thread may take from it.
        return [job.queue for job in (*self.pool.home.held.waiting, *(job for _, job in self.pool.busy()))]

    def _room(self, room: int) -> int:
        return 0 if self._switching else self._budget.jobs(room, self.fetcher.asked)

    def _taken(self, home: Incarnation, jobs: Sequence[ClaimedJob]) -> None:
        """Look at what was just taken in, before any slot can: hand back what would outlast the worker.

        The slots take from the newest incarnation only. What comes for an older one, whose claim was under way when the
        worker renewed itself, would be held, and heartbeaten, and never run.
        """
        if home is not self.pool.home:
            for job in home.held.hand_over():
                home.reporter.add(job, "interrupted", _RENEWED)
            return
        self._budget.taken += len(jobs)
        if self._budget.ends and not all(map(self._budget.fits, jobs)):
            for job in home.held.hand_over():
                if self._budget.fits(job):
                    home.held.waiting.append(job)
                    continue
                self._budget.taken -= 1
                home.reporter.add(job, "interrupted", _UNFIT)

    def _fitting(self) -> list[str]:
        """Return the kinds whose declared time-out lies before the worker's end."""
        left = self._budget.left_s() or 0.0
        return [kind for kind in self._names if self._app.kind(kind).declaration.timeout_s <= left]

    def _worth(self) -> None:
        self.fetcher.worth()

    def _notified(self, job: UUID | None) -> None:
        self.fetcher.notified(job)

    def _wanted(self) -> None:
        self.fetcher.hint()

    def _concluded(self, home: Incarnation, job: ClaimedJob, outcome: Outcome, slot: Slot) -> None:
        if not slot.recorded and outcome is not DROPPED:
            home.reporter.add(job, *outcome)
            return
        home.held.ended({job.tenant: 1})
        home.held.answered([(job.id, job.claim)])
        if slot.recorded and listeners:
            emit(ReportAccepted(1))
        self._wanted()

    # ---- what the heartbeat was told (in its thread, then in the loop)

    def _told(self, incarnation: Incarnation, held: Mapping[UUID, ClaimedJob], answer: Sequence[Told]) -> None:
        named = {told.job: told.what for told in answer if told.what in _ENDINGS and told.job in held}
        released = sum(told.what == "released" for told in answer)
        if released:
            emit(JobsReleased(incarnation.id, released))
        if not named:
            return
        for slot, job in self.pool.busy():
            # A sync handler hears it now, even if the loop stands still. Where it does not, the slot may have gone on
            # to its next job: the token is this one's if the slot runs it still, after the token was read.
            token = slot.token
            if job.id in named and held[job.id].claim == job.claim and token is not None and slot.job is job:
                token.set(_ENDINGS[named[job.id]].value)
        self._loop.call_soon_threadsafe(self._told_in_loop, incarnation, held, named)

    def _told_in_loop(self, incarnation: Incarnation, held: Mapping[UUID, ClaimedJob], named: dict[UUID, str]) -> None:
        begun = {job.id: (slot, job) for slot, job in self.pool.busy() if job.id in named}
        for id_, (slot, job) in begun.items():
            if held[id_].claim == job.claim:
                if named[id_] == "lost" and slot.ending is None:
                    emit(LeaseLost(id_, incarnation.id))
                self.pool.stop(slot, _ENDINGS[named[id_]])
        for job in incarnation.held.lose({id_: held[id_] for id_ in named if id_ not in begun}):
            if named[job.id] == "lost":
                emit(LeaseLost(job.id, incarnation.id))
            elif named[job.id] == "cancel":
                incarnation.held.keep(job)
                incarnation.reporter.add(job, "cancelled", None)
        self.pool.offer()
        self._wanted()

    def _lease_ended(self, incarnation: Incarnation) -> None:
        self._loop.call_soon_threadsafe(self._lose, incarnation)

    def _lose(self, incarnation: Incarnation) -> None:
        """The database says that this incarnation has ended: nothing it holds is ours any more."""
        incarnation.over = True
        for job in incarnation.held.withdraw():
            emit(LeaseLost(job.id, incarnation.id))
        for slot, job in self.pool.busy():
            if slot.home is incarnation:
                emit(LeaseLost(job.id, incarnation.id))
                self.pool.stop(slot, Ending.LEASE_LOST)
        if incarnation is self.pool.home and not self._stopping.asked.is_set():
            self._change(abrupt=True)

    # ---- incarnations

    async def _renew(self, home: Incarnation) -> None:
        """A claim was told that the lease is over: claim under a new id. The heartbeat hears what became of jobs."""
        if home is self.pool.home:
            await asyncio.wait([self._change(abrupt=True)])

    def _change(self, *, abrupt: bool) -> asyncio.Task[None]:
        if abrupt:
            # Also where a change is under way: it may wait for a claim that waits for it.
            self._abrupt = True
            self.pool.home.held.withdraw()
        if self._changing is None or self._changing.done():
            self._changing = self._loop.create_task(self._change_home(), name="jobledger-renewal")
        return self._changing

    async def _change_home(self) -> None:
        try:
            old = self.pool.home
            new = await self._incarnate()
            # Jobs at hand were claimed under the old id; the slots take from one incarnation only.
            self._switching = True
            self._link.hurry()
            while not self._abrupt and (old.held.waiting or self.fetcher.asked):  # noqa: ASYNC110 - neither sets an event
                await asyncio.sleep(0.02)
            if self._abrupt:
                old.held.withdraw()
            old.retired = True
            self.pool.home = new
            self._renewal.begin()
        except (JobledgerError, OSError) as error:
            _log.warning("no new incarnation (%s); tried again", type(error).__name__)
            await asyncio.sleep(0.5)
        finally:
            self._switching = self._abrupt = False
            self._changing = None
            self.fetcher.worth()

    def _look_after(self) -> None:
        """Four times a second: the worker's own limits, the daily renewal, old incarnations that are done."""
        held = sum(len(incarnation.held) for incarnation in self._incarnations)
        self._hand_back_what_waits_long()
        met = self._budget.met(self.pool.lost + self._workshop.lost, held)
        if met is None and self._budget.ends and not held and not self._fitting():
            met = "max_seconds"
        if met is not None:
            self._stopping.ask(met)
        if self._renewal.due:
            self._change(abrupt=False)
        for incarnation in [one for one in self._incarnations if one.done or one.over]:
            if incarnation is not self.pool.home and not len(incarnation.held):
                self._heartbeat.drop(incarnation)
                self._incarnations.remove(incarnation)
                farewell = self._loop.create_task(self._say_ended(incarnation, "renewed"))
                self._farewells.add(farewell)
                farewell.add_done_callback(self._farewells.discard)

    def _hand_back_what_waits_long(self) -> None:
        """Claimed ahead of fast jobs, now behind slow ones: another worker may have free slots for these."""
        now = self._loop.time()
        if self.pool.finished != self._finished or self.pool.free > 0 or not self.home.held.waiting:
            self._finished, self._still_since = self.pool.finished, now
        elif now - self._still_since >= _STILL_S:
            for job in self.home.held.hand_over():
                self.home.reporter.add(job, "interrupted", _BEHIND)

    # ---- the store

    async def _open(self) -> None:
        async with self._opening:
            await self._link.open()

    async def _reopen(self) -> None:
        try:
            await self._open()
        except Exception as error:  # noqa: BLE001 - whoever asks for it goes on, and asks again
            _log.warning("the store could not be opened (%s); tried again", type(error).__name__)
            await asyncio.sleep(0.5)

    async def _stop_when_empty(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            if self.fetcher.empty_polls == 0 or any(len(one.held) for one in self._incarnations):
                continue
            if not await self.sides.nothing_due():
                continue
            # Two polls that both began after the tick, and found nothing.
            self.fetcher.empty_polls = 0
            before = self.fetcher.completed + self.fetcher.under_way
            while self.fetcher.completed < before + 2 and not any(len(one.held) for one in self._incarnations):
                self.fetcher.worth()
                await asyncio.sleep(0.005)
            if self.fetcher.empty_polls >= 2 and not any(len(one.held) for one in self._incarnations):
                self._stopping.ask("empty")
                return
