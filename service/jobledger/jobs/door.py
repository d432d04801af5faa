"""The door: what a client stands on, a database (`jobs/database.py`) or a service (`remote/door.py`).

The client has looked at the arguments before it asks here. Each method raises the errors of `jobledger.errors` that the
client's method of that name tells of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from jobledger.errors import FeedReset
    from jobledger.events import Event
    from jobledger.order.counts import PastCounts
    from jobledger.order.desk import Desk, Status
    from jobledger.order.filters import EventFilter, Shown
    from jobledger.order.replay import Replayed
    from jobledger.store.enqueue import Enqueued, NewJob
    from jobledger.store.filters import JobFilter
    from jobledger.store.jobs_read import JobDetail, JobPage
    from jobledger.store.kinds import RegisteredKind, StatedKind
    from jobledger.store.operate import Act, Acted, Limit, Preview, Scope
    from jobledger.store.outcome import Outcome
    from jobledger.store.pool import Connection, Store
    from jobledger.store.tenants import TenantLevels, TenantStatus


class EventFeed(Protocol):
    """Events in their one order: `async for event in feed`. Close it where the loop is left early."""

    @property
    def cursor(self) -> str | None:
        """Where to go on: behind the last event that was given, and behind whatever was passed over after it."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Give the events from here on; every loop goes on where the last one was left."""

    async def __anext__(self) -> Event:
        """Give the next event. Raises `BadCursor`, `FeedReset`, `Forbidden`."""

    async def aclose(self) -> None:
        """End it."""

    async def __aenter__(self) -> Self:
        """Return the feed."""

    async def __aexit__(self, *_: object) -> None:
        """Close it."""


class ReplaySteps(Protocol):
    """What happened, in order, with the time between: `async for one in steps`; it ends by itself."""

    reset: FeedReset | None
    """What came first was dropped by retention: the replay began behind it. None where nothing is missing."""

    def __aiter__(self) -> AsyncIterator[Replayed]:
        """Give them from here on."""

    async def __anext__(self) -> Replayed:
        """Give the next one. Raises `NotFound`, `BadCursor`, `FeedReset`, `Forbidden`."""

    async def aclose(self) -> None:
        """End it."""

    async def __aenter__(self) -> Self:
        """Return the replay."""

    async def __aexit__(self, *_: object) -> None:
        """Close it."""


class Door(Protocol):
    """One way to the jobs. `masks`: what it shows is masked already, by whoever answers there."""

    masks: bool

    @property
    def store(self) -> Store:
        """The store. Raises `Unreachable` before `open`, `InvalidArgument` where there is none."""

    @property
    def waits(self) -> bool:
        """Whether a job's end can be waited for by it: not on a connection inside the caller's transaction."""

    @property
    def desk(self) -> Desk:
        """Where subscriptions are kept."""

    async def open(self) -> None:
        """Connect, where nobody has."""

    async def close(self) -> None:
        """Close what `open` opened."""

    async def registered(self, kind: str, conn: Connection | None) -> RegisteredKind | None:
        """Return what is registered under a name or alias; None also where that may not be read."""

    async def register(self, kinds: Sequence[StatedKind]) -> list[str]:
        """Register kinds; return the names of those that were new or had changed."""

    def enqueue(self, new: NewJob, *, actor: str | None, strict: bool, conn: Connection | None) -> Awaitable[Enqueued]:
        """Enqueue one job."""

    async def enqueue_many(
        self, batch: Sequence[NewJob], *, actor: str | None, strict: bool, conn: Connection | None
    ) -> list[Enqueued]:
        """Enqueue many jobs, all or nothing."""

    async def outcome(self, job: UUID, tenant: str, wait_s: float) -> Outcome:
        """Return how a job stands, once it has ended, or after so many seconds at the latest."""

    async def job(self, job: UUID, tenant: str | None, as_of: str | datetime | None, token: bool) -> JobDetail:
        """Return one job whole."""

    async def jobs(
        self, wanted: JobFilter, limit: int, cursor: str | None, as_of: str | datetime | None, token: bool
    ) -> JobPage:
        """Return a page of jobs."""

    async def history(self, job: UUID, tenant: str | None, heartbeats: bool) -> list[Event]:
        """Return every event of a job."""

    async def tenant(self, tenant: str, since: datetime | None, until: datetime | None, token: bool) -> TenantStatus:
        """Return how a tenant does."""

    async def tenants(self, after: str, limit: int) -> tuple[TenantLevels, ...]:
        """Return the tenants that had jobs."""

    async def counts(self, as_of: str | datetime, tenant: str | None) -> PastCounts:
        """Return how many jobs were in each state at a moment."""

    def events(self, wanted: EventFilter, *, after: str | None, from_end: bool, live: bool, shown: Shown) -> EventFeed:
        """Return a feed; nothing is sent yet."""

    def replay(
        self,
        wanted: EventFilter,
        *,
        after: str | datetime | None,
        until: str | datetime | None,
        kind: str | None,
        heartbeats: bool,
        shown: Shown,
    ) -> ReplaySteps:
        """Return a replay; nothing is sent yet."""

    async def subscriptions(self, tenant: str | None) -> list[Status]:
        """Return how the subscriptions stand."""

    async def act(
        self,
        act: Act,
        job: UUID,
        *,
        tenant: str | None,
        actor: str | None,
        reason: str,
        data: Mapping[str, Any],
    ) -> Acted:
        """Do one thing to one job. Raises what its verdict says."""

    async def act_on(
        self,
        act: Act,
        jobs: JobFilter | Sequence[UUID],
        *,
        tenant: str | None,
        actor: str | None,
        reason: str,
        data: Mapping[str, Any] | None,
    ) -> Mapping[str, int]:
        """Do one thing to many jobs; return counts by verdict."""

    async def preview(self, act: Act, jobs: JobFilter) -> Preview:
        """Count the jobs that an act would meet."""

    async def pause(self, scope: Scope, name: str, *, actor: str | None, reason: str) -> bool:
        """Stop claiming; false if that was so."""

    async def resume(self, scope: Scope, name: str, *, actor: str | None, reason: str) -> bool:
        """End a pause; false if there was none."""

    async def set_limit(
        self, scope: Scope, name: str, values: Mapping[str, int | None], *, actor: str | None, reason: str
    ) -> bool:
        """Set defaults; None clears one."""

    async def limits(self, scope: Scope | None, name: str | None) -> list[Limit]:
        """Return what was paused and set."""
