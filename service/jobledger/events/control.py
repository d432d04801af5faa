"""The events of what lives for years: kinds, queues, tenants, subscriptions and the store itself."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations at run time

from pydantic import Field

from jobledger.events.data import Count, EventData, Moment, Text


class KindRegistered(EventData):
    """An application declared a kind of job, or changed its declaration: version, schema of the arguments, defaults.

    `timeout` and `kill_after` are seconds; `backoff` is in its JSON form, `on_timeout` retry or fail.
    """

    TYPE: ClassVar[str] = "kind.registered"

    name: str
    version: int
    args_schema: Any = Field(default=None, alias="schema")
    aliases: tuple[str | None, ...] = ()
    queue: Text | None = None
    max_attempts: int | None = None
    timeout: int | None = None
    kill_after: int | None = None
    backoff: dict[str, Any] | None = None
    on_timeout: Text | None = None


class _Act(EventData):
    name: str
    reason: str | None = None


class KindPaused(_Act):
    """No job of this kind is claimed until it is resumed."""

    TYPE: ClassVar[str] = "kind.paused"


class KindResumed(_Act):
    """Jobs of this kind are claimed again."""

    TYPE: ClassVar[str] = "kind.resumed"


class QueuePaused(_Act):
    """No job of this queue is claimed until it is resumed."""

    TYPE: ClassVar[str] = "queue.paused"


class QueueResumed(_Act):
    """Jobs of this queue are claimed again."""

    TYPE: ClassVar[str] = "queue.resumed"


class TenantPaused(_Act):
    """No job of this tenant is claimed until it is resumed."""

    TYPE: ClassVar[str] = "tenant.paused"


class TenantResumed(_Act):
    """Jobs of this tenant are claimed again."""

    TYPE: ClassVar[str] = "tenant.resumed"


class _Limited(_Act):
    # A plain mapping, not a model: null clears a limit and absent leaves it, and the difference must survive.
    set: dict[str, int | float | None]


class KindLimited(_Limited):
    """Defaults and limits of a kind were set (null clears one); they bind jobs enqueued from then on."""

    TYPE: ClassVar[str] = "kind.limited"


class QueueLimited(_Limited):
    """Defaults and limits of a queue were set (null clears one); they bind jobs enqueued from then on."""

    TYPE: ClassVar[str] = "queue.limited"


class TenantLimited(_Limited):
    """Defaults and limits of a tenant were set (null clears one); they bind jobs enqueued from then on."""

    TYPE: ClassVar[str] = "tenant.limited"


class StoreLimited(_Limited):
    """Defaults and limits of the whole service were set (null clears one); they bind jobs enqueued from then on."""

    TYPE: ClassVar[str] = "store.limited"

    name: str = ""


class StoreRebuilt(EventData):
    """A projection was rebuilt from the log; `rows` is what it then held."""

    TYPE: ClassVar[str] = "store.rebuilt"

    projection: str
    rows: Count


class StoreMismatchRepaired(EventData):
    """A job's live row contradicted its stream, and was replaced by what the stream says."""

    TYPE: ClassVar[str] = "store.mismatch_repaired"

    job: UUID
    found: Any = None
    expected: Any = None


class StorePartitionDropped(EventData):
    """Retention dropped a partition of the log, with every job in it."""

    TYPE: ClassVar[str] = "store.partition_dropped"

    name: str


class StoreEpochOpened(EventData):
    """Transaction ids began to mean something else (a restore, a failover): the order of the log goes on anew.

    `carried` events that were not sealed before are in the first blocks of the new epoch.
    """

    TYPE: ClassVar[str] = "store.epoch_opened"

    epoch: Count
    carried: Count


class SubscriptionCreated(EventData):
    """A durable subscription was created; `filter` and `slices` stay as they are for as long as it lives.

    `begin` says where it began: beginning, end, cursor or time; `at` is that time.
    """

    TYPE: ClassVar[str] = "subscription.created"

    name: str
    filter: dict[str, Any] = Field(default_factory=dict)
    slices: Count
    begin: Text | None = None
    at: Moment | None = None
    reason: str | None = None


class SubscriptionReset(EventData):
    """A subscription goes on from another place, or (`to` is absent) from where it was after it had been disabled.

    `to` is beginning, end, cursor or time (`at`), said by a person; or below_horizon or beyond_end where the log itself
    no longer had what came next, and `slices` of it were moved.
    """

    TYPE: ClassVar[str] = "subscription.reset"

    name: str
    to: Text | None = None
    at: Moment | None = None
    slices: Count | None = None
    reason: str | None = None


class SubscriptionDisabled(_Act):
    """Consumers of a subscription get nothing until it is reset."""

    TYPE: ClassVar[str] = "subscription.disabled"


class SubscriptionRemoved(_Act):
    """A subscription was removed, with its checkpoints and what it had set aside."""

    TYPE: ClassVar[str] = "subscription.removed"
