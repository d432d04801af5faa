"""The application of a replay: one kind, `swf.run`, whose handler takes as long as its record, and ends as it did."""

from __future__ import annotations

import asyncio
import time
from typing import Final
from uuid import UUID  # noqa: TC003 - the queue's type is read at run time

from jobledger.jobs.app import App
from jobledger.jobs.context import Context  # noqa: TC001 - the handler's signature is read at run time
from jobledger.jobs.outcomes import PermanentFailure
from jobledger.simulate.plan import Outcome

KIND: Final = "swf.run"
QUEUE: Final = "swf"


class SimulatedFailure(PermanentFailure):
    """The record says that this job failed."""


class Workload:
    """The app and its one kind; `wanted_away` holds the jobs that the operator is to cancel, and since when."""

    def __init__(self) -> None:
        """Declare the kind."""
        self.app = App("simulate")
        self.wanted_away: asyncio.Queue[tuple[UUID, float]] = asyncio.Queue()
        wanted_away = self.wanted_away

        @self.app.job(name=KIND, queue=QUEUE, max_attempts=1)
        async def run(context: Context, line: int, record: int, run_s: float, outcome: Outcome) -> None:  # noqa: ARG001
            """Take the record's time, then end as it did; `line` and `record` say which it is."""
            await asyncio.sleep(run_s)
            if outcome is Outcome.FAILED:
                raise SimulatedFailure("The record says: failed.")
            if outcome is Outcome.CANCELLED:
                wanted_away.put_nowait((context.id, time.monotonic()))
                await context.cancellation.wait()

        self.run = run
