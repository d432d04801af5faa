"""Looking at jobs and acting on them, as the client's own methods; every act is on record with actor and reason."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from jobledger.errors import InvalidArgument
from jobledger.jobs.handle import Handle
from jobledger.jobs.masking import masked
from jobledger.jobs.options import whole_seconds
from jobledger.order.filters import EventFilter, shown_by
from jobledger.store.filters import JobFilter
from jobledger.store.jobs_read import below_of
from jobledger.store.tenants import must_be_page, must_have_zone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.jobs.app import App
    from jobledger.jobs.catalogue import Catalogue
    from jobledger.jobs.door import Door, EventFeed, ReplaySteps
    from jobledger.order.counts import PastCounts
    from jobledger.store.jobs_read import JobDetail, JobPage
    from jobledger.store.operate import Act, Acted, Limit, Preview, Scope
    from jobledger.store.pool import Connection, Store
    from jobledger.store.tenants import TenantLevels, TenantStatus

Pausable = Literal["tenant", "queue", "kind"]


class Operations(ABC):
    """The part of the client that operators use. `tenant` None means: of any tenant this role may see."""

    app: App | None
    actor: str | None
    _door: Door
    _catalogue: Catalogue

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store."""

    async def job(
        self,
        job: UUID | Handle[Any],
        *,
        tenant: str | None = None,
        as_of: str | datetime | None = None,
        token: bool = False,
    ) -> JobDetail:
        """Return one job whole, marked arguments masked; with `as_of` as it was at a moment of the past.

        A moment is the token of an answer, a cursor of a feed, or a time. With `token` the answer's `as_of` carries
        one, by which it can be asked for again; None where there is none to give (a role that is bound to tenants, a
        connection whose transaction has written, a database that is not open).

        Raises:
            NotFound: no such job then, also for another tenant's.
            JobGone: its partition of the log was dropped.
            MomentLost: the log cannot answer for the moment.
            Forbidden: `as_of` or `token`, and the role is bound to tenants.
        """
        id_, tenant = _which(job, tenant)
        detail = await self._door.job(id_, tenant, as_of, token)
        return detail._replace(enqueued=_masked_args(await self._schema_of(detail.job.kind), detail.enqueued))

    async def jobs(
        self,
        *,
        tenant: str | None = None,
        states: Collection[str] | None = None,
        queue: str | None = None,
        kind: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        as_of: str | datetime | None = None,
        token: bool = False,
    ) -> JobPage:
        """Return a page of the jobs that fit, newest first; `limit` 1 to 1,000, `cursor` from the page before.

        Other filters than tenant and state look at the newest 10,000 jobs, and the page says where they stopped; the
        open jobs of one owner are always exact. `as_of` and `token` are as in `job`; of the past every filter looks at
        the newest 10,000.
        """
        wanted = JobFilter(tenant=tenant, states=states, queue=queue, kind=kind, owner=owner, tag=tag)
        below_of(limit, cursor)
        return await self._door.jobs(wanted, limit, cursor, as_of, token)

    async def tenant(
        self,
        tenant: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        token: bool = False,
    ) -> TenantStatus:
        """Return how a tenant does: its open jobs, and what happened from `since` to `until` (the last hour).

        Each part says as of when it is. With `token` the answer carries one that asks `counts` for its open jobs
        again, where one can be given. A tenant without jobs, or that the role may not see, has none.

        Raises:
            InvalidTenant, InvalidArgument: the name, or the period (at most 366 days), is none.
            NotOpen: the live tables are not rebuilt yet.
        """
        must_have_zone(since, until)
        return await self._door.tenant(tenant, since, until, token)

    async def tenants(self, *, after: str = "", limit: int = 100) -> tuple[TenantLevels, ...]:
        """Return the tenants that had jobs, by name, with how many jobs each has in each state, as counted.

        `after` is a name to go on behind, `limit` 1 to 1,000; none while the projection `tenants` has counted nothing.
        """
        must_be_page(limit)
        return await self._door.tenants(after, limit)

    async def counts(self, as_of: str | datetime, *, tenant: str | None = None) -> PastCounts:
        """Return how many jobs of a tenant (None: of every one) were in each state at a moment of the past.

        `as_of` is an answer's token, by which it is exactly what that answer counted, a feed's cursor, or a time.

        Raises:
            InvalidArgument: the moment is none.
            MomentLost: the log, or the counts, do not reach back to it.
            Unavailable: it is not counted yet, and more than 1,000,000 events would have to be.
            Forbidden: the role is bound to tenants.
        """
        return await self._door.counts(as_of, tenant)

    async def history(
        self, job: UUID | Handle[Any], *, tenant: str | None = None, heartbeats: bool = True
    ) -> list[Event]:
        """Return every event of a job in order, marked arguments masked. Raises `NotFound`, `JobGone`.

        With `heartbeats` those of its workers that name it are among them, and late reports.
        """
        id_, tenant = _which(job, tenant)
        events = await self._door.history(id_, tenant, heartbeats)
        return [await shown_by(self._shown, event) for event in events]

    def events(
        self,
        *,
        after: str | None = None,
        tenant: str | None = None,
        types: Collection[str] | None = None,
        job: UUID | Handle[Any] | None = None,
        queue: str | None = None,
        owner: str | None = None,
        from_end: bool = False,
        live: bool = True,
    ) -> EventFeed:
        """Return the events in their one order: `async for event in client.events(...)`, marked arguments masked.

        It catches up from `after` (a feed's `cursor`; default: the beginning, or the end with `from_end`), then goes
        on live, or ends there with `live=False`. Nothing is lost, repeated, or in another order than a job's own. A
        tenant's feed has the tenant's events, and of those that name jobs of many its own entries; its cursors are
        encrypted and good for that tenant only. `queue` and `owner` are what the job was enqueued with.

        Raises, from the loop:
            BadCursor: `after` is none that such a feed gave.
            FeedReset: what comes after it is gone; `detail["cursor"]` is where to go on.
            Forbidden: this role is bound to tenants.
        """
        id_, tenant = _which(job, tenant) if job is not None else (None, tenant)
        if types is not None and isinstance(types, str):
            raise InvalidArgument("types is a list of names of events.")
        wanted = EventFilter(tenant, _names(types), id_, queue, owner)
        return self._door.events(wanted, after=after, from_end=from_end, live=live, shown=self._shown)

    def replay(
        self,
        job: UUID | Handle[Any] | None = None,
        *,
        tenant: str | None = None,
        after: str | datetime | None = None,
        until: str | datetime | None = None,
        types: Collection[str] | None = None,
        queue: str | None = None,
        kind: str | None = None,
        owner: str | None = None,
        heartbeats: bool = False,
    ) -> ReplaySteps:
        """Return what happened, in order, with the time between: `async for one in client.replay(tenant="acme")`.

        A job without bounds is its whole history, sealed or not. Else it is what was sealed behind `after` up to
        `until`, cursors or times; a time means the last block sealed at or before it, so that two replays that meet at
        a time have each event once. A role that is bound to tenants gets its own jobs' events as they were appended,
        and times are those of the events. `queue` and `owner` are what the job was enqueued with.

        Raises, from the loop:
            NotFound: there is no such job, or it is another tenant's.
            BadCursor: a cursor is none that such a feed gave.
            FeedReset: what comes after `after` is gone; `detail["cursor"]` is where to go on.
        """
        id_, tenant = _which(job, tenant) if job is not None else (None, tenant)
        if types is not None and isinstance(types, str):
            raise InvalidArgument("types is a list of names of events.")
        wanted = EventFilter(tenant, _names(types), id_, queue, owner)
        return self._door.replay(wanted, after=after, until=until, kind=kind, heartbeats=heartbeats, shown=self._shown)

    async def _shown(self, event: Event, conn: Connection | None = None) -> Event:
        """Return an event with marked arguments masked; a kind is asked for only where there are arguments."""
        data = event.data
        if data is None or "args" not in data:
            return event
        schema = await self._schema_of(str(data.get("kind")), conn)
        if not schema:
            return event
        return event.model_copy(update={"data": _masked_args(schema, data)})

    async def cancel(
        self, job: UUID | Handle[Any], *, reason: str, tenant: str | None = None, actor: str | None = None
    ) -> Acted:
        """Cancel a job: one that waits at once, one that runs by asking its handler (verdict `requested`)."""
        return await self._act("cancel", job, tenant, actor, reason)

    async def kill(
        self, job: UUID | Handle[Any], *, reason: str, tenant: str | None = None, actor: str | None = None
    ) -> Acted:
        """End a job at once, whatever its handler does; a report that comes later changes nothing."""
        return await self._act("kill", job, tenant, actor, reason)

    async def retry(
        self,
        job: UUID | Handle[Any],
        *,
        reason: str,
        attempts: int | None = None,
        run_at: datetime | None = None,
        kill_at: datetime | None = None,
        tenant: str | None = None,
        actor: str | None = None,
    ) -> Acted:
        """Let a failed, killed or cancelled job run again, with `attempts` new ones (default: as many as it had)."""
        return await self._act(
            "retry", job, tenant, actor, reason, {"attempts": attempts, "run_at": run_at, "kill_at": kill_at}
        )

    async def unpark(
        self, job: UUID | Handle[Any], *, reason: str, tenant: str | None = None, actor: str | None = None
    ) -> Acted:
        """Let a parked job go on."""
        return await self._act("unpark", job, tenant, actor, reason)

    async def reschedule(
        self,
        job: UUID | Handle[Any],
        *,
        run_at: datetime,
        reason: str,
        kill_at: datetime | None = None,
        tenant: str | None = None,
        actor: str | None = None,
    ) -> Acted:
        """Let a waiting job run at another time; its kill date moves with it."""
        return await self._act("reschedule", job, tenant, actor, reason, {"run_at": run_at, "kill_at": kill_at})

    async def reprioritise(
        self,
        job: UUID | Handle[Any],
        *,
        priority: int,
        reason: str,
        tenant: str | None = None,
        actor: str | None = None,
    ) -> Acted:
        """Give a waiting job another priority, -1000 (first) to 1000."""
        return await self._act("reprioritise", job, tenant, actor, reason, {"priority": priority})

    async def move(
        self, job: UUID | Handle[Any], *, queue: str, reason: str, tenant: str | None = None, actor: str | None = None
    ) -> Acted:
        """Move a waiting job to another queue."""
        return await self._act("move", job, tenant, actor, reason, {"queue": queue})

    async def act_on(
        self,
        act: Act,
        jobs: JobFilter | Sequence[UUID],
        *,
        reason: str,
        actor: str | None = None,
        tenant: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Mapping[str, int]:
        """Do one thing to many jobs, by filter in batches of 500 or by at most 10,000 ids; return counts by verdict."""
        return await self._door.act_on(act, jobs, tenant=tenant, actor=actor or self.actor, reason=reason, data=data)

    async def preview(self, act: Act, jobs: JobFilter) -> Preview:
        """Count the jobs that `act_on` would meet now."""
        return await self._door.preview(act, jobs)

    async def pause(self, scope: Pausable, name: str, *, reason: str, actor: str | None = None) -> bool:
        """Stop claiming the jobs of a tenant, queue or kind; false if that was so already. Running ones go on."""
        return await self._door.pause(scope, name, actor=actor or self.actor, reason=reason)

    async def resume(self, scope: Pausable, name: str, *, reason: str, actor: str | None = None) -> bool:
        """End a pause; false if there was none."""
        return await self._door.resume(scope, name, actor=actor or self.actor, reason=reason)

    async def set_limit(
        self,
        scope: Scope,
        name: str,
        *,
        reason: str,
        actor: str | None = None,
        **values: int | timedelta | None,
    ) -> bool:
        """Set defaults of a tenant, queue, kind, or (name "") the service, for jobs enqueued from now on.

        `max_attempts`, `timeout` and `kill_after` (seconds or a timedelta), and the service's `args_limit` and
        `result_limit` in bytes; None clears one.
        """
        found = {key: None if value is None else whole_seconds(key, value) for key, value in values.items()}
        return await self._door.set_limit(scope, name, found, actor=actor or self.actor, reason=reason)

    async def limits(self, *, scope: Scope | None = None, name: str | None = None) -> list[Limit]:
        """Return what was paused and set."""
        return await self._door.limits(scope, name)

    async def _act(
        self,
        act: Act,
        job: UUID | Handle[Any],
        tenant: str | None,
        actor: str | None,
        reason: str,
        data: Mapping[str, Any] | None = None,
    ) -> Acted:
        id_, tenant = _which(job, tenant)
        given = {key: value for key, value in (data or {}).items() if value is not None}
        for name in ("run_at", "kill_at"):
            moment = given.get(name)
            if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
                raise InvalidArgument(f"{name} is a datetime with a time zone.")
        for name in ("priority", "attempts"):
            number = given.get(name)
            if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
                raise InvalidArgument(f"{name} is a whole number.")
        return await self._door.act(act, id_, tenant=tenant, actor=actor or self.actor, reason=reason, data=given)

    async def _schema_of(self, kind: str, conn: Connection | None = None) -> Mapping[str, Any] | None:
        """Return by what arguments are masked; None where there is nothing to mask, or a service has done it."""
        if self.app is not None and kind in self.app.names:
            return self.app.kind(kind).schema
        found = None if self._door.masks else await self._catalogue.find(kind, conn)
        return found.schema if found is not None else None


def _which(job: UUID | Handle[Any], tenant: str | None) -> tuple[UUID, str | None]:
    if not isinstance(job, Handle):
        return job, tenant
    if tenant is not None and tenant != job.tenant:
        raise InvalidArgument("The handle is another tenant's.")
    return job.id, job.tenant


def _names(types: Collection[str] | None) -> tuple[str, ...] | None:
    try:
        return None if types is None else tuple(types)
    except TypeError:
        raise InvalidArgument("types is a list of names of events.") from None


def _masked_args(schema: Mapping[str, Any] | None, data: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(data)
    if "args" in found:
        found["args"] = masked(schema, found["args"])
    return found
