"""The events of a worker: one stream for each incarnation of a process."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations at run time

from jobledger.events.data import Count, EventData, WholeSeconds


class WorkerStarted(EventData):
    """A worker registered: what it takes (null = all), where it runs, and its lease in seconds."""

    TYPE: ClassVar[str] = "worker.started"

    queues: dict[str, int | None] | None = None
    kinds: tuple[str, ...] = ()
    tenants: tuple[str, ...] | None = None
    host: str | None = None
    pid: int | None = None
    version: str | None = None
    lease: WholeSeconds


class WorkerHeartbeat(EventData):
    """A worker renewed its lease. `held` lists only the jobs it has held since before the heartbeat before this one."""

    TYPE: ClassVar[str] = "worker.heartbeat"

    beat: Count
    held: tuple[UUID, ...] = ()


class WorkerReportRejected(EventData):
    """A report came for a claim that was over; it changed nothing, and is on record once for each job and claim."""

    TYPE: ClassVar[str] = "worker.report_rejected"

    job: UUID
    claim: Count
    outcome: str
    reason: str


class WorkerStopped(EventData):
    """A worker ended its lease by itself, or was found dead."""

    TYPE: ClassVar[str] = "worker.stopped"

    reason: str | None = None
