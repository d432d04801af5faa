"""The way from a worker to its jobs: `Link` is the one over a database connection, `ServiceLink` that over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from jobledger.jobs.app import App
    from jobledger.store.claim import ClaimedJob, Ticking
    from jobledger.store.pool import Store
    from jobledger.store.reports import Report, Verdict
    from jobledger.worker.heartbeat import Pulse
    from jobledger.worker.sides import Around, Sides


class Way(Protocol):
    """What one worker is bound to, and its calls under whichever incarnation."""

    queues: Mapping[str, int | None] | None
    patience_s: float

    @property
    def ahead_s(self) -> float:
        """About what a claim and a report take: jobs that end within it are asked for ahead."""

    @property
    def store(self) -> Store | None:
        """The database, for what needs one; None where only a service can be reached."""

    @property
    def service(self) -> tuple[str, str | None] | None:
        """The service's address and key, where there is one."""

    def sides(self, around: Around) -> Sides:
        """Make what the worker does beside its jobs."""

    async def begin(self, app: App) -> None:
        """See that the other side serves this code, and tell it the app's kinds."""

    async def open(self) -> None:
        """Open the store, or wait until somebody has."""

    async def start(self) -> UUID:
        """Register a new incarnation, and return its id."""

    async def end(self, worker: UUID, reason: str) -> None:
        """Say that an incarnation has ended."""

    async def send(self, worker: UUID, reports: list[Report], /) -> Sequence[Verdict]:
        """Send reports; return the verdicts on what was not accepted."""

    async def claim(
        self,
        worker: UUID,
        n: int,
        call: int,
        *,
        held: Mapping[str, int],
        free: Mapping[str, int] | None,
        timeout_s: int | None,
        ticking: Ticking | None,
        named: UUID | None,
    ) -> Sequence[ClaimedJob]:
        """Claim up to n jobs of a time-out up to `timeout_s`, or the one that a hint `named`."""

    async def pulse(self) -> Pulse:
        """Open the heartbeat's own way, in whichever loop runs it."""

    def hurry(self) -> None:
        """End the claims that wait for jobs."""

    async def close(self) -> None:
        """Let go of what is kept open."""
