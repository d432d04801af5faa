"""Reports: outcomes collect for as long as the statement before them takes, and go out in batches.

The first outcome after a pause leaves at the loop's next turn, so one job alone is reported at once; under load a batch
is what came in while the last one was on its way. A job stays held until its report is answered, through lost
connections, restarts of the server and stores that have to be opened first: the fence in the database, not a clock
here, decides whether the outcome still counts.

Nothing in here raises for what happened to a job elsewhere: a rejected report is an observation.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import orjson

from jobledger.errors import BadInput, JobledgerError, NotOpen, Unavailable
from jobledger.observations import ConnectionLost, LimitMet, ReportAccepted, ReportRejected, emit, listeners
from jobledger.store.pool import COLLISIONS
from jobledger.store.reports import Report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from jobledger.store.claim import ClaimedJob
    from jobledger.store.reports import Verdict
    from jobledger.worker.held import HeldJobs

_log = logging.getLogger("jobledger.worker")
_BACKOFF_S = (0.05, 2.0)
_FAULTS_BY_ANYTHING = 5
_FAULTS_BY_CHANCE = 3

BATCH = 2000
LANES = 2


class Send(Protocol):
    """Sends one batch on a connection of its own."""

    def __call__(self, worker: UUID, reports: list[Report], /) -> Awaitable[Sequence[Verdict]]:
        """Return a verdict for each report."""


class Reporter:
    """Reports the outcomes of one incarnation. `add` is called from the loop only."""

    def __init__(
        self,
        worker: UUID,
        held: HeldJobs,
        send: Send,
        *,
        reopen: Callable[[], Awaitable[object]],
        answered: Callable[[], None],
        batch: int = BATCH,
        lanes: int = LANES,
    ) -> None:
        """Prepare; at most `lanes` statements of at most `batch` reports are on their way at a time.

        A statement that was not answered is sent anew; its second arrival changes nothing.
        `reopen` is awaited when the store says that it is not open, `answered` is called after each batch.
        """
        self._worker = worker
        self._held = held
        self._send = send
        self._reopen = reopen
        self._answered = answered
        self._batch = batch
        self._lanes = lanes
        self._loop = asyncio.get_running_loop()
        self._pending: list[tuple[ClaimedJob, str, dict[str, Any] | None]] = []
        self._armed = False
        self._sending: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.given_up = False

    @property
    def outstanding(self) -> int:
        """Estimate the outcomes that are not known to be durable; statements under way count as full batches."""
        return len(self._pending) + len(self._sending) * self._batch

    @property
    def backlog(self) -> int:
        """Count the outcomes that wait for a statement to leave in."""
        return len(self._pending)

    def add(self, job: ClaimedJob, outcome: str, data: dict[str, Any] | None) -> None:
        """Take an outcome; it leaves at the loop's next turn, or when a statement under way is answered."""
        self._pending.append((job, outcome, data))
        if not self._armed:
            self._armed = True
            self._idle.clear()
            self._loop.call_soon(self._depart)

    async def drained(self) -> None:
        """Wait until every outcome taken so far, and since, was answered."""
        await self._idle.wait()

    async def give_up(self) -> None:
        """Stop trying: what has not been answered is left to the lease."""
        self.given_up = True
        for task in tuple(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._pending.clear()
        self._idle.set()

    def _depart(self) -> None:
        """Send what there is, unless a statement is under way and the batch is not full yet."""
        self._armed = False
        while self._pending and (
            not self._sending or (len(self._sending) < self._lanes and len(self._pending) >= self._batch)
        ):
            batch, self._pending = self._pending[: self._batch], self._pending[self._batch :]
            self._held.ended(Counter([job.tenant for job, _, _ in batch]))
            task = self._loop.create_task(self._deliver(batch), name="jobledger-report")
            self._sending.add(task)
            task.add_done_callback(self._arrived)
        if not self._pending and not self._sending:
            self._idle.set()

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a batch of reports was lost", exc_info=error)
        if not self.given_up:
            self._depart()
            self._answered()

    async def _deliver(self, batch: list[tuple[ClaimedJob, str, dict[str, Any] | None]]) -> None:
        try:
            reports = [
                Report(job.id, job.claim, outcome, orjson.dumps(data) if data else None) for job, outcome, data in batch
            ]
        except (TypeError, ValueError, RecursionError):
            # One of them has no JSON form; the others must not suffer for it.
            reports = [_written(*one) for one in batch]
        await self._deliver_all(reports)
        self._held.answered([report[:2] for report in reports])

    async def _deliver_all(self, reports: list[Report]) -> None:
        pause_s, last_pause_s = _BACKOFF_S
        faults = by_chance = 0
        while True:
            try:
                verdicts = await self._send(self._worker, reports)
            except NotOpen:
                await self._reopen()
            except (
                Unavailable,
                OSError,
                asyncpg.InterfaceError,
                asyncpg.PostgresConnectionError,
                *COLLISIONS,
            ) as error:
                emit(ConnectionLost(where="report", error=type(error).__name__))
            except (JobledgerError, asyncpg.PostgresError, asyncpg.DataError, ValueError) as error:
                if type(error) is JobledgerError and by_chance < _FAULTS_BY_CHANCE:
                    # The service says that something went wrong in it, not that a report is at fault.
                    by_chance += 1
                # One of them is not acceptable to the database; the others must not suffer for it.
                elif len(reports) > 1:
                    half = len(reports) // 2
                    await self._deliver_all(reports[:half])
                    reports = reports[half:]
                    continue
                else:
                    faults += 1
                    if faults >= _FAULTS_BY_ANYTHING:
                        _log.error("the outcome of job %s cannot be recorded", reports[0].id, exc_info=error)
                        return
                    reports = [_unstorable(reports[0], error)]
                    continue
            except Exception:  # noqa: BLE001 - whatever it is, the outcomes are not known to be recorded
                # Let go unreported, its jobs would be held, and running, for as long as this worker lives.
                _log.exception("a batch of reports failed; it is sent anew")
            else:
                self._read(verdicts, reports)
                return
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            pause_s = min(pause_s * 2, last_pause_s)

    def _read(self, verdicts: Sequence[Verdict], reports: Sequence[Report]) -> None:
        """Tell what was rejected; what no verdict names was accepted."""
        rejected = {verdict.id: verdict for verdict in verdicts if verdict.verdict == "rejected"}
        for one in reports if rejected else ():
            if one.id in rejected:
                verdict = rejected[one.id]
                emit(ReportRejected(one.id, one.claim, self._worker, verdict.reason or verdict.state or "unknown"))
        if len(reports) > len(rejected) and listeners:
            emit(ReportAccepted(len(reports) - len(rejected)))


def _written(job: ClaimedJob, outcome: str, data: dict[str, Any] | None) -> Report:
    """Return a report, of failure where its data have no JSON form: what nests too deep is not written."""
    try:
        return Report(job.id, job.claim, outcome, orjson.dumps(data) if data else None)
    except (TypeError, ValueError, RecursionError) as error:
        return _unstorable(Report(job.id, job.claim, outcome, None), error)


def _unstorable(report: Report, error: Exception) -> Report:
    """Return a report of failure in place of one whose data the database refuses: too large, or not storable."""
    emit(LimitMet("report", len(report.data or b""), 0))
    told = error.message if isinstance(error, BadInput) else "The outcome cannot be stored."
    kind = type(error).__name__ if isinstance(error, JobledgerError) else "OutcomeNotStorable"
    data = {"error": {"type": kind, "message": told, "class": "permanent"}, "final": True}
    return Report(report.id, report.claim, "failed", orjson.dumps(data))
