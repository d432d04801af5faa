"""What happens to reports and leases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobledger.observations.record import Observation

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class ReportAccepted(Observation):
    """Outcomes are durable in the log."""

    count: int


@dataclass(frozen=True, slots=True)
class ReportRejected(Observation):
    """An outcome came too late or twice: the job was no longer this worker's. Its work is thrown away, on record."""

    job: UUID
    claim: int
    worker: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseLost(Observation):
    """A worker was told that a job which it still held is not its own any more."""

    job: UUID
    worker: UUID


@dataclass(frozen=True, slots=True)
class LeaseExpired(Observation):
    """A worker was silent for longer than its lease; its jobs were taken from it."""

    worker: UUID
    jobs: int


@dataclass(frozen=True, slots=True)
class JobsReleased(Observation):
    """A worker gave back jobs that it had been given and will not run; it cost no attempt."""

    worker: UUID
    count: int


@dataclass(frozen=True, slots=True)
class ClaimRetried(Observation):
    """A claim failed on a row and was repeated in halves; the offender is set aside and repaired."""

    reason: str
