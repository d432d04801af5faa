"""The idle flag: whether the database knows that this worker waits for jobs, so that who enqueues one sends a hint.

A worker raises it when a poll came back empty, and polls once more; it lowers it when jobs keep coming or all its slots
are full, so that a busy system sends no NOTIFY. Under a trickle of jobs it stays up: one write less a job.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import asyncpg

from jobledger.errors import JobledgerError, UnknownWorker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

_log = logging.getLogger("jobledger.worker")

_REST_S = 2.0


class IdleFlag:
    """The flag of one worker, whatever incarnation it is in. `always` keeps it up for as long as the worker listens."""

    def __init__(self, send: Callable[[UUID, bool], Awaitable[bool]], *, always: bool = False) -> None:
        """Prepare; `send` writes the flag of a worker and returns whether it stands."""
        self._send = send
        self._lock = asyncio.Lock()
        self._up_for: UUID | None = None
        # Whose flag may stand although nobody counts on it: its last writing was not answered, or nobody listens.
        self._astray: UUID | None = None
        # Whose flag is being raised, and how often it was lowered: two calls may find nothing, a third much.
        self._raising: list[UUID] = []
        self._lowered = 0
        self._not_before = 0.0
        self._tasks: set[asyncio.Task[bool]] = set()
        self.always = always
        self.listening = False
        """Whether the listener's connection stands: without it nobody would hear the hint."""
        self.raised = 0

    def up(self, worker: UUID) -> bool:
        """Say whether hints come for this worker."""
        return self.listening and self._up_for == worker

    def wanted(self, worker: UUID) -> bool:
        """Say whether the flag is to be raised now."""
        return self.listening and self._up_for != worker and time.monotonic() >= self._not_before

    async def put_up(self, worker: UUID) -> bool:
        """Raise the flag. True once it is committed; from then on who enqueues sees it.

        Races: lowered meanwhile, it is written down right after, and does not stand; lowered right before, that is
        written first. Who believes in a flag that does not stand waits for the timer: nobody tells it of jobs.
        """
        lowered = self._lowered
        await self.settled()
        if self._lowered != lowered:
            return False
        self._raising.append(worker)
        try:
            stands = await self._write(worker, True)
        finally:
            self._raising.remove(worker)
        if not stands or self._lowered != lowered:
            return False
        if not self.listening:
            self._astray = worker
            return False
        self._up_for = worker
        self.raised += 1
        return True

    def take_down(self, *, rest: bool = False) -> None:
        """Lower the flag, without waiting for it; `rest`: raise it no more for some seconds."""
        if rest:
            self._not_before = time.monotonic() + _REST_S
        worker = self._up_for or (self._raising[-1] if self._raising else self._astray)
        self._up_for = None
        self._lowered += 1
        if worker is not None:
            if worker == self._astray:
                self._astray = None
            task = asyncio.get_running_loop().create_task(self._write(worker, False), name="jobledger-idle")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _write(self, worker: UUID, up: bool) -> bool:
        # In the order in which they were asked for: the last one holds.
        async with self._lock:
            try:
                stands = await self._send(worker, up)
            except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                _log.debug("the idle flag could not be written (%s); the timer does", type(error).__name__)
                stands = False
                if not isinstance(error, UnknownWorker):
                    self._astray = worker
            if up and not stands:
                self._not_before = time.monotonic() + _REST_S
            return stands
