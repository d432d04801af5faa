"""The application that is measured: one kind that does nothing, or sleeps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from jobledger.jobs.app import App

if TYPE_CHECKING:
    from jobledger.jobs.kind import AsyncJob

KIND: Final = "bench.noop"


class Noop:
    """The app and its kind; `handled` counts the runs of this process."""

    def __init__(self, *, kind: str = KIND, sleep_s: float = 0.0) -> None:
        """Declare the kind."""
        self.app = App("bench")
        self.handled = 0

        async def noop() -> None:
            """Do nothing."""
            self.handled += 1

        async def sleep() -> None:
            """Hold a slot for a while."""
            await asyncio.sleep(sleep_s)
            self.handled += 1

        self.job: AsyncJob[[], None] = self.app.job(name=kind)(sleep if sleep_s else noop)
