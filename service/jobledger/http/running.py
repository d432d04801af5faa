"""What is being answered, and since when: a request that comes to no end is given up, and its work with it.

A line to the database may be dead without a word, and a statement may take for ever. One look a second at all that run
costs a request less than a clock of its own would.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from jobledger.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_S: Final = 1.0
"""Seconds between two looks."""
SHARED_S: Final = 10.0
"""Seconds after which a line that does not answer what several requests share is closed: each may then ask for itself,
within its own time."""
AGAIN_S: Final = 3.0
"""Seconds after which what was given up is cancelled once more: it may wait for its transaction to be rolled back, on
the same dead line."""


class Running:
    """The requests of one process that are to end within a time; each is known by its task."""

    __slots__ = ("_given_up", "limit_s", "until")

    def __init__(self, limit_s: float) -> None:
        """Bound every request by so many seconds."""
        self.limit_s = limit_s
        self.until: dict[asyncio.Task[Any] | None, float] = {}
        """By when, on `time.perf_counter`, each has to end. Who begins and ends a request writes here."""
        self._given_up: set[asyncio.Task[Any] | None] = set()

    def longer(self, seconds: float) -> None:
        """Give this request so many seconds more."""
        task = asyncio.current_task()
        if task in self.until:
            self.until[task] += seconds

    @contextmanager
    def held(self, seconds: float | None) -> Iterator[None]:
        """Let this request wait for a block, at most so many seconds more than others (None: as long as it likes)."""
        task = asyncio.current_task()
        if self.until.pop(task, None) is None:
            yield
            return
        if seconds is not None:
            self.until[task] = time.perf_counter() + self.limit_s + seconds
        try:
            yield
        finally:
            self.until[task] = time.perf_counter() + self.limit_s

    def end(self, task: asyncio.Task[Any] | None, cancelled: asyncio.CancelledError) -> Unavailable:
        """Return what is told to whoever sent the request; raise `cancelled` where somebody else cancelled it."""
        if task is None or task not in self._given_up:
            raise cancelled
        self._given_up.discard(task)
        while task.uncancel():
            pass
        return Unavailable(
            f"There was no answer within {self.limit_s:g} seconds.",
            hint="Try again. What was asked for may have been done all the same: an Idempotency-Key makes a job once.",
            detail={"limit_s": self.limit_s},
        )

    async def watch(self) -> None:
        """Give up what takes too long, until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_S, self.limit_s / 2))
            self.look()

    def look(self) -> None:
        """Cancel what has taken too long by now."""
        now = time.perf_counter()
        # One that was cancelled and answered all the same.
        self._given_up.intersection_update(self.until)
        for task, until in list(self.until.items()):
            if until <= now and task is not None:
                self._given_up.add(task)
                self.until[task] = now + AGAIN_S
                task.cancel()
