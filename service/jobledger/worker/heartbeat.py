"""The heartbeat: a thread with a loop and a connection of its own, which a blocked event loop cannot stop.

Each beat reads the ledger of every incarnation under the ledger's lock, renews the lease, and hands the answer on. It
also watches whether the worker's loop turns: past `stall_after_s` it takes the jobs which no slot has begun out of the
ledger, so that they are released and run elsewhere, although this process can do nothing for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from jobledger.errors import JobledgerError, LeaseOver, UnknownWorker
from jobledger.observations import HeartbeatFailed, JobsReleased, WorkerStalled, emit, listeners

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from uuid import UUID

    from jobledger.store.claim import ClaimedJob
    from jobledger.store.workers import Told
    from jobledger.worker.held import Beat
    from jobledger.worker.incarnation import Incarnation

_log = logging.getLogger("jobledger.worker")
_FIRST_RETRY_S = 0.1


class Pulse(Protocol):
    """The way to the database that the heartbeat uses: one connection, opened and closed in its own thread."""

    async def beat(self, worker: UUID, beat: Beat, stalled_s: float) -> Sequence[Told]:
        """Send one heartbeat and return what its answer tells."""

    async def close(self) -> None:
        """Give the connection back."""


class Heartbeat(threading.Thread):
    """Keeps the leases of a worker's incarnations alive until `stop`.

    `told` is called in this thread with each answer that names jobs; `over` with an incarnation whose lease is over.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Pulse]],
        *,
        every_s: float,
        patience_s: float,
        stall_after_s: float,
        told: Callable[[Incarnation, Mapping[UUID, ClaimedJob], Sequence[Told]], None],
        over: Callable[[Incarnation], None],
    ) -> None:
        """Prepare the thread. A beat that is not answered within `patience_s` is given up and sent anew."""
        super().__init__(name="jobledger-heartbeat", daemon=True)
        self._connect = connect
        self._every_s = every_s
        self._patience_s = patience_s
        self._stall_after_s = stall_after_s
        self._told = told
        self._over = over
        self._incarnations: list[Incarnation] = []
        self._turned_at = time.monotonic()
        self._stalled = False
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._pulse: Pulse | None = None
        self._failed_at: dict[UUID, float] = {}
        self._changing = threading.Lock()
        self.beats = 0

    def turned(self) -> None:
        """Note that the worker's loop has turned. Called by the loop, at least four times in `stall_after_s`."""
        self._turned_at = time.monotonic()

    def keep(self, incarnation: Incarnation) -> None:
        """Send heartbeats for this incarnation from now on, the next one at once."""
        with self._changing:
            self._incarnations = [*self._incarnations, incarnation]
        self.hurry()

    def drop(self, incarnation: Incarnation) -> None:
        """Send no more heartbeats for this incarnation."""
        with self._changing:
            self._incarnations = [kept for kept in self._incarnations if kept is not incarnation]
        self._failed_at.pop(incarnation.id, None)

    def hurry(self) -> None:
        """Send the next heartbeat now; also what a hint about a cancelled job would call."""
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            with contextlib.suppress(RuntimeError):  # the thread has ended
                loop.call_soon_threadsafe(wake.set)

    def stop(self) -> None:
        """Ask the thread to end; it does so after the beat that is under way."""
        self._stopping = True
        self.hurry()

    def run(self) -> None:
        """Beat until `stop`."""
        asyncio.run(self._beat_on())

    async def _beat_on(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        retry_s = _FIRST_RETRY_S
        pause_s = self._every_s
        try:
            while not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause_s)
                self._wake.clear()
                if self._stopping:
                    return
                began = time.monotonic()
                if await self._beat_all():
                    retry_s = _FIRST_RETRY_S
                    pause_s = max(0.0, self._every_s - (time.monotonic() - began))
                else:
                    # A beat that was waited for in vain has used up the time of those behind it.
                    pause_s = min(retry_s, max(0.0, self._every_s - (time.monotonic() - began)))
                    retry_s = min(retry_s * 2, self._every_s)
        finally:
            await self._disconnect()

    async def _beat_all(self) -> bool:
        """Send one heartbeat for every incarnation; False if one failed: the next round begins with those that did not.

        The first failure ends the round, for a lost database is lost to all; a fault of one must not starve the others.
        """
        stalled_s = time.monotonic() - self._turned_at
        for incarnation in sorted(self._incarnations, key=lambda one: self._failed_at.get(one.id, 0.0)):
            try:
                async with asyncio.timeout(self._patience_s):
                    if self._pulse is None:
                        self._pulse = await self._connect()
                    await self._beat(incarnation, stalled_s)
            except (LeaseOver, UnknownWorker):
                self.drop(incarnation)
                self._over(incarnation)
            except (JobledgerError, OSError, TimeoutError, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and self._stopping:
                    raise
                await self._failed(incarnation, error)
                return False
            except Exception as error:  # noqa: BLE001 - a worker without heartbeats loses all its jobs: say so, go on
                _log.exception("a heartbeat failed")
                await self._failed(incarnation, error)
                return False
        self.beats += 1
        return True

    async def _failed(self, incarnation: Incarnation, error: BaseException) -> None:
        self._failed_at[incarnation.id] = time.monotonic()
        emit(HeartbeatFailed(worker=incarnation.id, error=type(error).__name__))
        await self._disconnect()

    async def _beat(self, incarnation: Incarnation, stalled_s: float) -> None:
        assert self._pulse is not None  # noqa: S101 - the caller has just connected
        stalled = stalled_s >= self._stall_after_s
        beat, withdrawn = incarnation.held.beat(withdraw=stalled)
        if stalled and not self._stalled:
            _log.warning("the event loop has not turned for %.1f s; a handler blocks it", stalled_s)
            emit(WorkerStalled(worker=incarnation.id, for_s=stalled_s))
        self._stalled = stalled
        answer = await self._pulse.beat(incarnation.id, beat, stalled_s if stalled else 0.0)
        if withdrawn and listeners:
            emit(JobsReleased(worker=incarnation.id, count=len(withdrawn)))
        if answer:
            self._told(incarnation, beat.held, answer)

    async def _disconnect(self) -> None:
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1.0):
                    await pulse.close()
