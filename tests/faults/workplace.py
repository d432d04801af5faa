"""Workers in the test's own loop, with quick hearts, and handlers that keep their record in a list."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from jobledger.jobs import App, Context
from jobledger.lifecycle.backoff import Fixed
from jobledger.settings import Settings
from jobledger.worker.life import Manner
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from jobledger.store.pool import Store

QUICK: dict[str, Any] = {"heartbeat_s": 0.1, "lease_s": 6, "stop_grace_s": 5, "connect_timeout_s": 2}
BRISK = Manner(ignore_s=0.5, poll_s=0.05, tick_s=0.05)


class Workplace:
    """An application of one kind, `short`, and workers for it."""

    def __init__(self) -> None:
        """Begin with an empty record."""
        self.app = App("works", strict=False)
        self.notes: list[tuple[str, UUID, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

        @self.app.job(max_attempts=100, backoff=Fixed(0.01, jitter=0))
        async def short(context: Context, ms: int) -> None:
            """Take some milliseconds, and wait for the gate."""
            self.notes.append(("begun", context.id, context.attempt))
            await asyncio.sleep(ms / 1000)
            await self.gate.wait()
            self.notes.append(("ended", context.id, context.attempt))

    def worker(self, database: str | Store, **options: Any) -> Worker:
        """Return a worker with short times."""
        settings = Settings(**{**QUICK, **options.pop("settings", {})})
        options.setdefault("concurrency", 20)
        return Worker(self.app, database, settings=settings, manner=BRISK, **options)

    @contextlib.asynccontextmanager
    async def manned(self, database: str | Store, workers: int = 1, **options: Any) -> AsyncIterator[list[Worker]]:
        """Work within the block."""
        async with contextlib.AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self.worker(database, **options)) for _ in range(workers)]

    def ended(self) -> set[UUID]:
        """Return the jobs whose handlers have ended."""
        return {job for word, job, _ in self.notes if word == "ended"}
