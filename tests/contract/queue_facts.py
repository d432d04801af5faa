"""What the model keeps of a job and of a worker, and the rules that are one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.lifecycle import Job

WEEK: Final = timedelta(days=7)
DEFAULTS: Final = {"max_attempts": 5, "timeout": 1800, "kill_after": None}
# Of every kind that is registered: without jitter, so that a retry can be predicted.
BACKOFF: Final = {"type": "fixed", "delay": 7}
ENDINGS: Final = {
    f"job.{outcome}" for outcome in ("succeeded", "failed", "snoozed", "interrupted", "cancelled", "parked")
}
ACTS_ON: Final[Mapping[str, set[str]]] = {
    "cancel": {"ready", "scheduled", "running", "parked"},
    "kill": {"ready", "scheduled", "running", "parked"},
    "retry": {"failed", "killed", "cancelled"},
    "unpark": {"parked"},
    "reschedule": {"ready", "scheduled"},
    "reprioritise": {"ready", "scheduled", "parked"},
    "move": {"ready", "scheduled", "parked"},
}


@dataclass
class Told:
    """One job: the events predicted so far, their fold, and the place its row should lie in."""

    job: Job
    log: list[Event]
    place: str
    budget: int


@dataclass
class Incarnation:
    """One worker, as its row should be."""

    id: UUID
    kinds: tuple[str, ...]
    tenants: tuple[str, ...] | None
    queues: tuple[str, ...] | None
    lease: timedelta
    lease_until: datetime
    seen_at: datetime
    head: int = 1
    beat: int = 0
    calls: int = 0
    stopped: bool = False
    rejected: set[tuple[UUID, int]] = field(default_factory=set)
