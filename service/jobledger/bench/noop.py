"""The application that is measured: one kind that does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobledger.jobs.app import App

if TYPE_CHECKING:
    from jobledger.jobs.kind import AsyncJob

KIND: Final = "bench.noop"


class Noop:
    """The app and its kind; `handled` counts the runs of this process."""

    def __init__(self) -> None:
        """Declare the kind."""
        self.app = App("bench")
        self.handled = 0

        @self.app.job(name=KIND)
        async def noop() -> None:
            """Do nothing."""
            self.handled += 1

        self.job: AsyncJob[[], None] = noop
