"""One life of a worker under one id: its ledger, its lease, and what claims and reports for it.

A process takes a new incarnation every day, so that no old partition of the log is pinned by its stream, and whenever
its lease is over. It claims under the newest only; an older one is kept alive until its last job is reported.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jobledger.worker.held import HeldJobs

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.worker.report import Reporter


class Incarnation:
    """A worker id with what belongs to it. `retired` means that nothing is claimed under it any more."""

    __slots__ = ("_ahead", "began", "held", "id", "over", "reporter", "retired")

    def __init__(self, id: UUID) -> None:  # noqa: A002 - the domain's word
        """Begin a life under `id`, with nothing held."""
        self.id = id
        self.held = HeldJobs()
        self.reporter: Reporter
        self.began = time.monotonic()
        self.retired = False
        self.over = False
        self._ahead = timedelta(0)

    def saw(self, at: datetime) -> None:
        """Note the database's clock, as it was a moment ago."""
        self._ahead = at - datetime.now(UTC)

    def now(self) -> datetime:
        """Return the database's time, good to the delay of one answer."""
        return datetime.now(UTC) + self._ahead

    @property
    def done(self) -> bool:
        """Say whether it claims no more and its last job is reported."""
        return self.retired and len(self.held) == 0
