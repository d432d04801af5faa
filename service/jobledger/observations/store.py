"""What the store does: projections, sealing, subscriptions, recovery, retention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobledger.observations.record import Observation

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class StoreOpened(Observation):
    """The live tables are fit for work; `rebuilt` says whether they had to be made anew from the log."""

    rebuilt: bool
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class SealingStalled(Observation):
    """Nothing could be sealed for `for_s` seconds, so no reader gets anything new; `error` is the error's type."""

    for_s: float
    error: str


@dataclass(frozen=True, slots=True)
class SubscriptionReset(Observation):
    """The log did not have what a consumer was to read next: it goes on from where the log says.

    `reason` is `below_horizon` or `beyond_end`; `slices` checkpoints were moved, none where only what was read ahead is
    gone.
    """

    name: str
    tenant: str | None
    reason: str
    slices: int


@dataclass(frozen=True, slots=True)
class SubscriptionSetAside(Observation):
    """An event of `stream` was set aside after so many failures; none: it waits behind an earlier one of its job."""

    name: str
    tenant: str | None
    stream: UUID
    type: str
    failures: int
    error: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionSlicesLost(Observation):
    """A consumer found that slices are another's now, or were moved: its lease was over, or an operator reset them."""

    name: str
    tenant: str | None
    slices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProjectionRebuilt(Observation):
    """A projection was dropped and made anew from the log."""

    name: str
    rows: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class ProjectionSwapped(Observation):
    """A projection that was made anew from the log beside the old one has taken its place."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class ProjectionStopped(Observation):
    """A projection's fold failed (or its `shadow`'s): it stands until it is resumed; `error` is what it raised."""

    name: str
    shadow: bool
    error: str


@dataclass(frozen=True, slots=True)
class ProjectionReset(Observation):
    """A projection cannot go on where it stood: `beyond_end`, `below_horizon`, `merged`, or `tables_missing`."""

    name: str
    shadow: bool
    reason: str


@dataclass(frozen=True, slots=True)
class MismatchRepaired(Observation):
    """Rows of these jobs contradicted the log, and were made anew from it."""

    jobs: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class PartitionsShort(Observation):
    """Fewer than two partitions of the log lie ahead of now; without one, nothing can be enqueued."""

    ahead: int


@dataclass(frozen=True, slots=True)
class PartitionDropped(Observation):
    """Retention dropped a partition of the log, and `rows` of finished jobs, keys and workers with it."""

    name: str
    rows: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class MigrationApplied(Observation):
    """A migration was applied and recorded."""

    name: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class ProjectionApplied(Observation):
    """A projection's files had changed and were applied anew."""

    name: str


@dataclass(frozen=True, slots=True)
class ConnectionLost(Observation):
    """A connection to the database, or to a service, broke; `where` names its part, `error` the type of the error."""

    where: str
    error: str


@dataclass(frozen=True, slots=True)
class LimitMet(Observation):
    """Something was refused or held back by a limit; both numbers are in the limit's own unit."""

    limit: str
    value: float
    allowed: float
