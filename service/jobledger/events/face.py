"""The events of what programs outside are given: keys, webhooks, and the push of a queue."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from jobledger.events.data import Count, EventData, Measured, Moment, Text


class KeyCreated(EventData):
    """A key of the service was made; neither it nor its hash is here, only the first characters (`prefix`).

    `tenants` absent: of every tenant; `owner`: bound to that owner's jobs inside them; `rate` is requests a second.
    """

    TYPE: ClassVar[str] = "key.created"

    name: str
    prefix: Text | None = None
    roles: tuple[Text, ...] = ()
    tenants: tuple[Text, ...] | None = None
    owner: Text | None = None
    rate: Count | None = None
    expires_at: Moment | None = None
    reason: Text | None = None


class KeyRevoked(EventData):
    """A key of the service was taken back: it opens nothing any more, nor do the tokens made with it."""

    TYPE: ClassVar[str] = "key.revoked"

    name: str
    reason: Text | None = None


class WebhookCreated(EventData):
    """Events are sent to an endpoint from here on; `filter` stays as it is for as long as the webhook lives.

    `begin` says where it began: beginning, end, cursor or time; `at` is that time.
    """

    TYPE: ClassVar[str] = "webhook.created"

    name: str
    url: Text | None = None
    filter: dict[str, Any] = Field(default_factory=dict)
    begin: Text | None = None
    at: Moment | None = None
    reason: Text | None = None


class WebhookReset(EventData):
    """A webhook goes on from another place, or (`to` is absent) from where it was after it had been disabled."""

    TYPE: ClassVar[str] = "webhook.reset"

    name: str
    to: Text | None = None
    at: Moment | None = None
    reason: Text | None = None


class WebhookDisabled(EventData):
    """Nothing is sent to a webhook's endpoint until it is reset: someone said so, or it failed for too long."""

    TYPE: ClassVar[str] = "webhook.disabled"

    name: str
    reason: Text | None = None


class WebhookRotated(EventData):
    """A webhook was given another secret, which is not here; the one before is good for a day more."""

    TYPE: ClassVar[str] = "webhook.rotated"

    name: str
    reason: Text | None = None


class WebhookRemoved(EventData):
    """A webhook was removed, with its checkpoint."""

    TYPE: ClassVar[str] = "webhook.removed"

    name: str
    reason: Text | None = None


class QueuePushSet(EventData):
    """The jobs of a queue are sent to an endpoint, up to `batch` in a request and `concurrency` under way at a time.

    `max_run` is how long the endpoint may work on one, in seconds; `start_failure` whether a delivery that could not
    start counts as an attempt (attempt or free).
    """

    TYPE: ClassVar[str] = "queue.push_set"

    name: str
    url: Text | None = None
    batch: Count | None = None
    concurrency: Count | None = None
    max_run: Measured = None
    start_failure: Text | None = None
    reason: Text | None = None


class QueuePushRemoved(EventData):
    """The jobs of a queue are sent nowhere any more; workers that ask for them still get them."""

    TYPE: ClassVar[str] = "queue.push_removed"

    name: str
    reason: Text | None = None
