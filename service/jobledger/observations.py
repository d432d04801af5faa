"""What can be observed: one typed record for each thing that happens, in one vocabulary.

Code that does something says so with one line, and decides nothing about logs or metrics:

    if listeners:
        emit(JobsClaimed(count=12, worker=worker, call=7, elapsed_s=0.004))

`listeners` is one list that is never replaced, so with nobody listening the cost is one falsy check: no record is made.
Logs, metrics and tests are listeners (`jobledger.telemetry`, `observing`). A record never holds arguments, results,
DSNs or anything else that may be secret.

Times are seconds and carry the suffix `_s`; `worker` and `job` are ids.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

if TYPE_CHECKING:
    from uuid import UUID

_log = logging.getLogger("jobledger.observations")


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that happened. `topic` is the class's name in snake case, stable, for logs and metrics."""

    topic: ClassVar[str] = "observation"

    def __init_subclass__(cls) -> None:
        """Name the topic after the class."""
        cls.topic = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()


Listener = Callable[[Observation], None]
O = TypeVar("O", bound=Observation)  # noqa: E741 - a type variable of one letter, as the language's own

listeners: list[Listener] = []
_faulty: set[Listener] = set()


def emit(observation: Observation) -> None:
    """Hand the record to every listener, in the order in which they subscribed.

    What a listener raises never reaches the caller; the first fault of each listener is logged.
    """
    for listener in tuple(listeners):
        try:
            listener(observation)
        except Exception:  # noqa: BLE001 - a listener must not be able to stop the work it looks at
            if listener not in _faulty:
                _faulty.add(listener)
                _log.exception(
                    "a listener failed at %s; it stays subscribed, and is not reported again", observation.topic
                )


def subscribe(listener: Listener) -> Callable[[], None]:
    """Call `listener` with every record from now on, in the thread that emits it; return the way to stop.

    A listener must not block: it runs inside the worker's loop. Stopping twice does nothing.
    """
    listeners.append(listener)

    def unsubscribe() -> None:
        if listener in listeners:
            listeners.remove(listener)
        _faulty.discard(listener)

    return unsubscribe


@contextmanager
def observing(*kinds: type[O]) -> Iterator[list[O]]:
    """Collect the records of the given kinds (all of them when none is given) that are emitted inside the block."""
    wanted = kinds or (Observation,)
    seen: list[O] = []
    unsubscribe = subscribe(lambda observation: seen.append(observation) if isinstance(observation, wanted) else None)  # type: ignore[arg-type]
    try:
        yield seen
    finally:
        unsubscribe()


# ---- jobs


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


# ---- reports and leases


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


# ---- workers


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


# ---- the store


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
    """A connection to the database broke; `where` names the part that used it, `error` the error's type."""

    where: str
    error: str


@dataclass(frozen=True, slots=True)
class LimitMet(Observation):
    """Something was refused or held back by a limit; both numbers are in the limit's own unit."""

    limit: str
    value: float
    allowed: float


# ---- the service


@dataclass(frozen=True, slots=True)
class RequestServed(Observation):
    """A request to the service was answered; `route` is its pattern, None where no path fits. Streams: at their end."""

    method: str
    route: str | None
    status: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class RequestFailed(Observation):
    """A request met an error of the service's own, and was answered with 500; `error` is its type."""

    route: str | None
    error: str


@dataclass(frozen=True, slots=True)
class StreamDropped(Observation):
    """A client of a stream took in nothing for so long, and was cut off; it may go on by its last cursor."""

    waited_s: float


@dataclass(frozen=True, slots=True)
class WebhookDelivered(Observation):
    """An endpoint took so many events, in one request."""

    webhook: UUID
    tenant: str | None
    count: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class WebhookFailed(Observation):
    """An endpoint did not take what it was sent, so many times in a row; `error` is a status or one word."""

    webhook: UUID
    tenant: str | None
    error: str
    failures: int


@dataclass(frozen=True, slots=True)
class WebhookDisabled(Observation):
    """Nothing is sent to an endpoint any more until someone resets the webhook; why: `gone` or `failed_too_long`."""

    webhook: UUID
    tenant: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class PushDelivered(Observation):
    """A request with jobs was sent to a queue's endpoint; `fault` is one word for what went wrong, None for nothing."""

    queue: str
    tenant: str | None
    jobs: int
    status: int | None
    fault: str | None
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class PushHeld(Observation):
    """A queue's endpoint took nothing, so many times in a row: it is left alone for `for_s`, and its jobs wait."""

    queue: str
    tenant: str | None
    failures: int
    for_s: float


VOCABULARY: dict[str, type[Observation]] = {
    kind.topic: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Observation) and kind is not Observation
}
