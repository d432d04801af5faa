"""What the runners of one worker share: threads, child processes, the store, and the way to put progress on record."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import orjson

from jobledger import tracing
from jobledger.errors import InvalidArgument, NotOpen, Unavailable
from jobledger.observations import ConnectionLost, ReportRejected, SlotLost, emit
from jobledger.store.pool import COLLISIONS
from jobledger.store.reports import Report, report
from jobledger.worker.conclude import ended_early
from jobledger.worker.execute import runner_for
from jobledger.worker.isolation import Children, isolated_runner
from jobledger.worker.slots import Ending
from jobledger.worker.threads import Threads
from jobledger.worker.transaction import transaction_runner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobledger.jobs.app import App
    from jobledger.jobs.kind import Job
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pool import Connection, Store
    from jobledger.store.reports import Verdict
    from jobledger.worker.slots import Outcome, Runner, Slot, SlotPool
    from jobledger.worker.way import Way

_log = logging.getLogger("jobledger.worker")
_PROGRESS_TRIES = 4


class Shop(Protocol):
    """Where the jobs of one worker are done."""

    pool: SlotPool
    lost: int

    def runners(self, kinds: Sequence[str]) -> Mapping[str, Runner]:
        """Return a runner for each of these names or aliases."""

    def early(self, job: ClaimedJob, slot: Slot, error: Exception | None) -> Outcome:
        """Return what becomes of a job that was ended early, or whose runner raised `error`."""

    async def close(self) -> None:
        """Let go of what the runners had."""


class Workshop:
    """Makes the runners of an app's kinds, and serves them."""

    def __init__(self, app: App, link: Way, *, ignore_s: float) -> None:
        """Prepare; `ignore_s` is how long a sync handler may ignore its end."""
        self.threads = Threads(ignore_s=ignore_s)
        store = link.store
        dsn, pooler = (None, "none") if store is None else (store.dsn, store.pooler)
        self.children = Children(self.threads, dsn, pooler, link.service)
        self.middleware = tuple(app.run_layers)
        self.tracing = tracing.enabled()
        self._store = store
        self.patience_s = link.patience_s
        self.pool: SlotPool
        self.lost = 0
        self._app = app
        self._link = link

    @property
    def store(self) -> Store:
        """The database. Raises `InvalidArgument` for a worker that works through a service."""
        if self._store is None:
            raise InvalidArgument(
                "A kind with transaction=True needs a worker that is connected to the database.",
                hint="Run it by a worker with a DSN, or bind this one to other kinds.",
            )
        return self._store

    def runners(self, kinds: Sequence[str]) -> dict[str, Runner]:
        """Return a runner for each of these names or aliases."""
        made: dict[str, Runner] = {}
        for name in kinds:
            kind = self._app.kind(name)
            made[name] = self._runner(kind)
        return made

    def early(self, job: ClaimedJob, slot: Slot, error: Exception | None) -> Outcome:
        """Return what becomes of a job that was ended early, or whose runner raised, by its kind's policy."""
        return ended_early(job, self._app.kind(job.kind).declaration.policy, slot.ending, error)

    async def progress(self, slot: Slot, job: ClaimedJob, data: dict[str, Any]) -> None:
        """Put progress on record, or give up after a few tries: no handler fails because it could not say this."""
        home = slot.home
        if home is None or slot.job is not job:
            return
        reports = [Report(job.id, job.claim, "progressed", orjson.dumps(data))]
        for attempt in range(_PROGRESS_TRIES):
            try:
                verdicts = await self._link.send(home.id, reports)
            except (NotOpen, Unavailable, OSError, asyncpg.InterfaceError, *COLLISIONS) as error:
                emit(ConnectionLost(where="progress", error=type(error).__name__))
                await asyncio.sleep(0.05 * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
                continue
            for verdict in verdicts:
                if verdict.verdict == "rejected":
                    emit(ReportRejected(job.id, job.claim, home.id, verdict.reason or "unknown"))
                    if slot.job is job:
                        self.pool.stop(slot, Ending.KILLED if verdict.state == "killed" else Ending.LEASE_LOST)
            return

    def slot_lost(self, job: ClaimedJob) -> None:
        """Count a thread whose handler ignores its end."""
        self.lost += 1
        _log.warning("the handler of job %s (%s) ignores its end; its thread is lost", job.id, job.kind)
        emit(SlotLost(job.id, job.kind))

    async def report_on(self, connection: Connection, slot: Slot, reports: list[Report], /) -> Sequence[Verdict]:
        """Send reports on the given connection, inside its transaction."""
        assert slot.home is not None  # noqa: S101 - a slot that runs a job has a home
        return await report(connection, self.store.shard, slot.home.id, reports)

    async def close(self) -> None:
        """Let threads and children go."""
        await self.children.close()
        self.threads.close()

    def _runner(self, kind: Job[..., Any]) -> Runner:
        if kind.declaration.transaction:
            self.store  # noqa: B018 - refused at the start, where there is none
            return transaction_runner(kind, self)
        if kind.declaration.isolation == "process":
            return isolated_runner(kind, self)
        return runner_for(kind, self)
