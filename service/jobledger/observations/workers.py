"""What workers do, and what goes wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobledger.observations.record import Observation

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class WorkerStarted(Observation):
    """A worker began a lease under a new id."""

    worker: UUID
    queues: tuple[str, ...] | None
    kinds: tuple[str, ...]
    concurrency: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class WorkerStopped(Observation):
    """A worker ended; `reason` says why: a signal, a limit of its own, a fault."""

    worker: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerStalled(Observation):
    """A worker's event loop has not turned for so long; a handler blocks it."""

    worker: UUID
    for_s: float


@dataclass(frozen=True, slots=True)
class WorkerReplaced(Observation):
    """A worker process was replaced by a fresh one."""

    reason: str


@dataclass(frozen=True, slots=True)
class HeartbeatFailed(Observation):
    """A heartbeat got no answer; the worker tries again until its lease is over. `error` is the error's type."""

    worker: UUID
    error: str


@dataclass(frozen=True, slots=True)
class SlotLost(Observation):
    """A sync handler ignored its cancellation; its thread is counted as lost until the process is replaced."""

    job: UUID
    kind: str
