"""What the service over HTTP does, and what it sends to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobledger.observations.record import Observation

if TYPE_CHECKING:
    from uuid import UUID


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
