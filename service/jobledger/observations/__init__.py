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

from jobledger.observations.jobs import (
    BlockedByPrepared,
    JobFinished,
    JobKilled,
    JobsClaimed,
    JobsEnqueued,
    JobStarted,
    JobTimedOut,
)
from jobledger.observations.leases import (
    ClaimRetried,
    JobsReleased,
    LeaseExpired,
    LeaseLost,
    ReportAccepted,
    ReportRejected,
)
from jobledger.observations.record import Listener, Observation, emit, listeners, observing, subscribe
from jobledger.observations.service import (
    PushDelivered,
    PushHeld,
    RequestFailed,
    RequestServed,
    StreamDropped,
    WebhookDelivered,
    WebhookDisabled,
    WebhookFailed,
)
from jobledger.observations.store import (
    ConnectionLost,
    LimitMet,
    MigrationApplied,
    MismatchRepaired,
    PartitionDropped,
    PartitionsShort,
    ProjectionApplied,
    ProjectionRebuilt,
    ProjectionReset,
    ProjectionStopped,
    ProjectionSwapped,
    SealingStalled,
    StoreOpened,
    SubscriptionReset,
    SubscriptionSetAside,
    SubscriptionSlicesLost,
)
from jobledger.observations.workers import (
    HeartbeatFailed,
    SlotLost,
    WorkerReplaced,
    WorkerStalled,
    WorkerStarted,
    WorkerStopped,
)

__all__ = [
    "VOCABULARY",
    "BlockedByPrepared",
    "ClaimRetried",
    "ConnectionLost",
    "HeartbeatFailed",
    "JobFinished",
    "JobKilled",
    "JobStarted",
    "JobTimedOut",
    "JobsClaimed",
    "JobsEnqueued",
    "JobsReleased",
    "LeaseExpired",
    "LeaseLost",
    "LimitMet",
    "Listener",
    "MigrationApplied",
    "MismatchRepaired",
    "Observation",
    "PartitionDropped",
    "PartitionsShort",
    "ProjectionApplied",
    "ProjectionRebuilt",
    "ProjectionReset",
    "ProjectionStopped",
    "ProjectionSwapped",
    "PushDelivered",
    "PushHeld",
    "ReportAccepted",
    "ReportRejected",
    "RequestFailed",
    "RequestServed",
    "SealingStalled",
    "SlotLost",
    "StoreOpened",
    "StreamDropped",
    "SubscriptionReset",
    "SubscriptionSetAside",
    "SubscriptionSlicesLost",
    "WebhookDelivered",
    "WebhookDisabled",
    "WebhookFailed",
    "WorkerReplaced",
    "WorkerStalled",
    "WorkerStarted",
    "WorkerStopped",
    "emit",
    "listeners",
    "observing",
    "subscribe",
]

VOCABULARY: dict[str, type[Observation]] = {
    kind.topic: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Observation) and kind is not Observation
}
