"""What a measured worker does at its door to the database, counted and timed from outside.

The worker itself counts nothing while nobody listens, and a listener would be told of each job, which costs more than
what is to be measured. So the two calls that carry the load are wrapped, once a batch.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from jobledger.worker.link import Link
from jobledger.worker.service_link import ServiceLink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from jobledger.store.claim import ClaimedJob
    from jobledger.store.reports import Report, Verdict

_KEPT: Final = 20_000


class Watch:
    """What this process claimed and reported, and how long its reports took, and its claims that brought any."""

    def __init__(self) -> None:
        """Wrap the calls of every worker of this process."""
        self.claimed = 0
        self.reported = 0
        self.claimed_at = 0.0
        self.claims_s: list[float] = []
        self.reports_s: list[float] = []
        for way in (Link, ServiceLink):
            self._wrap(way)

    def _wrap(self, way: Any) -> None:
        claim, send = way.claim, way.send

        async def watched_claim(link: Any, worker: UUID, *rest: Any, **named: Any) -> Sequence[ClaimedJob]:
            began = time.perf_counter()
            jobs: Sequence[ClaimedJob] = await claim(link, worker, *rest, **named)
            if jobs:
                self._note(self.claims_s, began)
                self.claimed += len(jobs)
                self.claimed_at = time.monotonic()
            return jobs

        async def watched_send(link: Any, worker: UUID, reports: list[Report]) -> Sequence[Verdict]:
            began = time.perf_counter()
            verdicts: Sequence[Verdict] = await send(link, worker, reports)
            self._note(self.reports_s, began)
            self.reported += len(reports) - len(verdicts)
            return verdicts

        way.claim = watched_claim
        way.send = watched_send

    def document(self) -> Mapping[str, list[float]]:
        """Return the times in milliseconds."""
        return {
            "claims_ms": [round(s * 1000, 3) for s in self.claims_s],
            "reports_ms": [round(s * 1000, 3) for s in self.reports_s],
        }

    @staticmethod
    def _note(times: list[float], began: float) -> None:
        if len(times) < _KEPT:
            times.append(time.perf_counter() - began)
