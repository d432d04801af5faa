"""The events of a worker: one stream for each incarnation of a process."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations at run time

from jobledger.events.data import Count, EventData, Text, WholeSeconds


class WorkerStarted(EventData):
    """A worker registered: what it takes (null = all), where it runs, and its lease in seconds."""

    TYPE: ClassVar[str] = "worker.started"

    queues: dict[str, Any] | None = None
    kinds: tuple[str | None, ...] = ()
    tenants: tuple[str | None, ...] | None = None
    host: Text | None = None
    pid: Any = None
    version: Text | None = None
    lease: WholeSeconds


class WorkerHeartbeat(EventData):
    """A worker renewed its lease. `held` lists only the jobs it has held since before the heartbeat before this one."""

    TYPE: ClassVar[str] = "worker.heartbeat"

    beat: Count
    held: tuple[UUID, ...] = ()


class WorkerReportRejected(EventData):
    """A report came for a claim that was over; it changed nothing, and is on record once for each job and claim.

    `worker` is the sender, where it is none that is registered; the event then lies in a stream of the job's tenant.
    """

    TYPE: ClassVar[str] = "worker.report_rejected"

    job: UUID
    claim: int
    outcome: str
    reason: str
    worker: UUID | None = None


class WorkerStopped(EventData):
    """A worker ended its lease by itself, or was found dead."""

    TYPE: ClassVar[str] = "worker.stopped"

    reason: str | None = None
