"""What happens to jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jobledger.observations.record import Observation

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class JobsEnqueued(Observation):
    """Jobs were handed in; `tenant` is None when they are of several. Their transaction may still roll back."""

    count: int
    tenant: str | None


@dataclass(frozen=True, slots=True)
class JobsClaimed(Observation):
    """A claim call brought jobs (or none) to a worker."""

    count: int
    worker: UUID
    call: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class JobStarted(Observation):
    """A handler begins; `wait_s` is the time since the job was due."""

    job: UUID
    tenant: str
    queue: str
    kind: str
    attempt: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class JobFinished(Observation):
    """An attempt ended in the worker, with the outcome that it goes on to report; `run_s` is the handler's own time."""

    job: UUID
    tenant: str
    queue: str
    kind: str
    attempt: int
    outcome: str
    run_s: float
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class JobKilled(Observation):
    """A job's kill date passed; `rule` says whose default had set it: own, kind, tenant, queue or service."""

    job: UUID
    tenant: str
    rule: str


@dataclass(frozen=True, slots=True)
class JobTimedOut(Observation):
    """An attempt was over its time-out; seen by the worker that ran it, or by a tick when that one said nothing."""

    job: UUID
    where: Literal["worker", "tick"]


@dataclass(frozen=True, slots=True)
class BlockedByPrepared(Observation):
    """A job's row is locked, most likely by a prepared transaction; the job was left as it is."""

    job: UUID
