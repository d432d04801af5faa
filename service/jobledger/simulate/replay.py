"""Replays a plan through the real service: an enqueuer that keeps the plan's times, a worker, an operator."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobledger.errors import Unavailable
from jobledger.ids import new_id
from jobledger.jobs.client import Client
from jobledger.observations import JobFinished, JobStarted, Observation, subscribe
from jobledger.simulate import log
from jobledger.simulate.holdups import HELD_UP_S, Holdups
from jobledger.simulate.results import Result
from jobledger.simulate.tally import Tally
from jobledger.simulate.workload import Workload
from jobledger.store.operate import act
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jobledger.settings import Settings
    from jobledger.simulate.check import Recorded
    from jobledger.simulate.display import Display
    from jobledger.simulate.plan import Plan, PlannedJob
    from jobledger.store.pool import Store

# Checking and sending a batch holds up the loop that the jobs run on: a millisecond for a few dozen.
_BATCH_MAX: Final = 100
# What becomes due within this time goes in one statement: a statement a job would cost more than the jobs themselves.
_BATCH_S: Final = 0.01
_DISPLAY_S: Final = 0.25
_QUIET_S: Final = 2.0
_TIMEOUT_MAX_S: Final = 604_800
OPERATOR: Final = "simulated operator"
REASON: Final = "The record says: cancelled."


class Replay:
    """One replay of a plan on an open store."""

    def __init__(self, plan: Plan, store: Store, settings: Settings, display: Display) -> None:
        """Prepare; nothing happens before `run`."""
        self.tally = Tally(len(plan.jobs), settings.concurrency)
        self.ids: list[UUID] = []
        self._plan = plan
        self._store = store
        self._settings = settings
        self._display = display
        self._workload = Workload()
        self._known: set[UUID] = set()
        self._turned_at: dict[UUID, tuple[float, float]] = {}
        self._late: set[UUID] = set()
        self._holdups = Holdups()
        self._changed_at = time.monotonic()
        self._changed = asyncio.Event()

    async def run(self) -> Result:
        """Enqueue and run every job of the plan, and return what it came to, read from the log.

        Raises:
            Unavailable: the worker ended before the jobs did.
        """
        client = Client(self._store, app=self._workload.app)
        worker = Worker(
            self._workload.app, self._store, concurrency=self._settings.concurrency, settings=self._settings
        )
        unsubscribe = subscribe(self._observe)
        running = asyncio.create_task(worker.run(signals=False), name="simulate-worker")
        helpers = [
            asyncio.create_task(self._show(), name="simulate-display"),
            asyncio.create_task(self._operate(), name="simulate-operator"),
            asyncio.create_task(self._holdups.probe(), name="simulate-probe"),
        ]
        replaying = asyncio.create_task(self._replay(client, worker), name="simulate-replay")
        try:
            await asyncio.wait([running, replaying, *helpers], return_when=asyncio.FIRST_COMPLETED)
            for task in (running, replaying, *helpers):
                if task.done():
                    task.result()
            if not replaying.done():
                raise Unavailable("The worker ended before the jobs did.", hint="Run the simulation again.")
            found = replaying.result()
            load = replace(self.tally.load(), longest_holdup_s=self._holdups.longest_s)
            return Result(self.tally, found, load, self.tally.elapsed_s)
        finally:
            for task in (replaying, *helpers):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            worker.stop()
            await asyncio.wait([running])
            unsubscribe()

    async def _replay(self, client: Client, worker: Worker) -> dict[UUID, Recorded]:
        await worker.ready.wait()
        self.tally.begin()
        await self._enqueue(client)
        found: dict[UUID, Recorded] = {}
        pending = set(self.ids)
        while pending:
            await self._something_to_read(len(pending))
            for job, recorded in (await log.read(self._store, sorted(pending))).items():
                if recorded.outcome is not None:
                    held_up = job in self._late or any(map(self._holdups.met, self._turned_at.get(job, ())))
                    found[job] = replace(recorded, held_up=held_up)
                    pending.discard(job)
        self.tally.sample()
        self._display.update(self.tally)
        return found

    async def _something_to_read(self, pending: int) -> None:
        """Wait until all jobs were seen to end, or nothing was seen for a while: what counts is in the log."""
        while not self.tally.is_complete and time.monotonic() - self._changed_at < _QUIET_S:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET_S):
                    await self._changed.wait()
        # The last reports are on their way; and a job that runs for minutes is not asked for all the time.
        await asyncio.sleep(0.05 if self.tally.is_complete else min(2.0, pending / 100))

    async def _enqueue(self, client: Client) -> None:
        jobs = self._plan.jobs
        began = time.monotonic()
        start = 0
        while start < len(jobs):
            now_s = time.monotonic() - began
            end = start
            while end < len(jobs) and end - start < _BATCH_MAX and jobs[end].due_s <= now_s:
                end += 1
            if end > start:
                await self._enqueue_some(client, jobs[start:end])
                start = end
            if end < len(jobs):
                await asyncio.sleep(max(jobs[end].due_s - (time.monotonic() - began), _BATCH_S))

    async def _enqueue_some(self, client: Client, jobs: Sequence[PlannedJob]) -> None:
        # The ids are made here, ascending, so that a job that starts before the answer comes is known as ours.
        ids = [new_id() for _ in jobs]
        self._known.update(ids)
        self.ids += ids
        calls = [
            self._workload.run.using(tenant=job.tenant, id=own, timeout=_timeout_s(job)).call(
                line=job.line, record=job.record, run_s=job.run_s, outcome=job.outcome
            )
            for job, own in zip(jobs, ids, strict=True)
        ]
        await client.enqueue_many(calls)
        self.tally.enqueue(jobs)

    async def _operate(self) -> None:
        """Cancel, as a person would, running jobs whose record says so; all whose time has come in one statement."""
        wanted_away = self._workload.wanted_away
        while True:
            asked = [await wanted_away.get()]
            while not wanted_away.empty() and len(asked) < _BATCH_MAX:
                asked.append(wanted_away.get_nowait())
            jobs = [job for job, _ in asked]
            async with self._store.connection() as connection:
                await act(connection, self._store.shard, "cancel", jobs, actor=OPERATOR, reason=REASON)
            # The operator was too late for the record's time, because the act before or the database took so long.
            now = time.monotonic()
            self._late.update(job for job, since in asked if now - since > HELD_UP_S)

    async def _show(self) -> None:
        while True:
            self.tally.sample()
            self._display.update(self.tally)
            await asyncio.sleep(_DISPLAY_S)

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, JobStarted) and observation.job in self._known:
            self.tally.start(observation.tenant)
        elif isinstance(observation, JobFinished) and observation.job in self._known:
            self.tally.finish(observation.tenant, observation.outcome)
            ended = time.monotonic()
            self._turned_at[observation.job] = (ended - observation.run_s, ended)
        else:
            return
        self._changed_at = time.monotonic()
        self._changed.set()


def _timeout_s(job: PlannedJob) -> int:
    """Return a time-out that the job's run time does not meet."""
    return min(_TIMEOUT_MAX_S, max(1_800, math.ceil(job.run_s * 2) + 60))
