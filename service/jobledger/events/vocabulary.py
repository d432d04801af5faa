"""Every event type with the model of its data, and the one way to read them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from jobledger.errors import MalformedEvent, UnknownEvent
from jobledger.events import control, face, job, worker
from jobledger.events.data import EventData
from jobledger.events.upcasts import upcast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.events.envelope import Event

D = TypeVar("D", bound=EventData)

_JOB: tuple[type[EventData], ...] = (
    job.Enqueued,
    job.Claimed,
    job.Progressed,
    job.Succeeded,
    job.Failed,
    job.LeaseExpired,
    job.Snoozed,
    job.Interrupted,
    job.Released,
    job.Parked,
    job.Unparked,
    job.CancelRequested,
    job.Cancelled,
    job.Killed,
    job.Retried,
    job.Rescheduled,
    job.Reprioritised,
    job.Moved,
    job.Redacted,
)
_WORKER: tuple[type[EventData], ...] = (
    worker.WorkerStarted,
    worker.WorkerHeartbeat,
    worker.WorkerReportRejected,
    worker.WorkerStopped,
)
_CONTROL: tuple[type[EventData], ...] = (
    control.KindRegistered,
    control.KindPaused,
    control.KindResumed,
    control.KindLimited,
    control.QueuePaused,
    control.QueueResumed,
    control.QueueLimited,
    control.TenantPaused,
    control.TenantResumed,
    control.TenantLimited,
    control.StoreLimited,
    control.StoreRebuilt,
    control.StoreMismatchRepaired,
    control.StorePartitionDropped,
    control.StoreEpochOpened,
    control.SubscriptionCreated,
    control.SubscriptionReset,
    control.SubscriptionDisabled,
    control.SubscriptionRemoved,
)
_FACE: tuple[type[EventData], ...] = (
    face.KeyCreated,
    face.KeyRevoked,
    face.WebhookCreated,
    face.WebhookReset,
    face.WebhookDisabled,
    face.WebhookRemoved,
    face.QueuePushSet,
    face.QueuePushRemoved,
    face.WebhookRotated,
)

MODELS: Mapping[str, type[EventData]] = MappingProxyType(
    {model.TYPE: model for model in _JOB + _WORKER + _CONTROL + _FACE}
)
"""The model of each event type's data, in the order of the log's own enumeration."""

JOB_TYPES: frozenset[str] = frozenset(model.TYPE for model in _JOB)
"""The types that a job's stream may hold."""


def model_of(type_: str) -> type[EventData]:
    """Return the model of an event type's data. Raises `UnknownEvent`."""
    try:
        return MODELS[type_]
    except KeyError:
        raise UnknownEvent(
            "The log holds an event of a type that this program does not know.",
            hint="Use a newer jobledger to read it.",
        ) from None


def parse(event: Event) -> EventData:
    """Return the event's data in their typed form, old shapes upcast.

    Raises `UnknownEvent` for a type or shape that this version does not know, and `MalformedEvent` for data that do
    not fit; the latter names the fields at fault and never their values.
    """
    return _read(event, model_of(event.type))


def parse_as(event: Event, model: type[D]) -> D:
    """Return the event's data as `model`, which must be that of its type. Raises as `parse` does."""
    if event.type != model.TYPE:
        raise TypeError(f"{model.__name__} holds the data of {model.TYPE}, not of this event")
    return _read(event, model)


def _read(event: Event, model: type[D]) -> D:
    data = upcast(event.type, event.data or {}, model.VERSION)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # Only the outermost key is one of the model's own; those within may be the caller's.
        fields = sorted({str(fault["loc"][0]) for fault in error.errors(include_input=False) if fault["loc"]})
    raise MalformedEvent(
        f"The data of a {event.type} do not fit in {', '.join(fields)}.",
        detail={"type": event.type, "fields": fields, "stream_id": str(event.stream_id), "version": event.version},
    )
