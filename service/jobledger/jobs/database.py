"""The door to a database: a client's calls as the functions of the store and of the order of the log."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from jobledger.errors import InvalidArgument, Unreachable
from jobledger.order.counts import counts_as_of
from jobledger.order.desk import DatabaseDesk, all_of
from jobledger.order.moment import moments_for
from jobledger.order.past import job_as_of, jobs_as_of
from jobledger.order.reader import Feed
from jobledger.order.replay import Replay
from jobledger.store import enqueue, jobs_read, operate
from jobledger.store.filters import FINISHED_STATES, JobFilter
from jobledger.store.gather import Gathering
from jobledger.store.kinds import register_kinds, registered_kind
from jobledger.store.outcome import outcome_of
from jobledger.store.pool import Store
from jobledger.store.tenants import list_tenants, tenant_status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.order.counts import PastCounts
    from jobledger.order.desk import Desk, Status
    from jobledger.order.filters import EventFilter, Shown
    from jobledger.store.enqueue import Enqueued, NewJob
    from jobledger.store.jobs_read import JobDetail, JobPage
    from jobledger.store.kinds import RegisteredKind, StatedKind
    from jobledger.store.operate import Act, Acted, Limit, Preview, Scope
    from jobledger.store.outcome import Outcome
    from jobledger.store.pool import Connection, Pool
    from jobledger.store.tenants import TenantLevels, TenantStatus

_FIRST_LOOK_S: Final = 0.005
_LONGEST_LOOK_S: Final = 0.25


class DatabaseDoor:
    """A client's way to a database, through a pool of its own or the caller's."""

    masks = False

    def __init__(self, source: str | Store | Pool | Connection | None) -> None:
        """Keep where to connect; a store, pool or connection is used as it is and never closed."""
        self._dsn = source if isinstance(source, str) else None
        self._store = _store_of(source)
        self._owned = False
        self._gathering: Gathering | None = None
        self.waits = not isinstance(source, (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy))

    @property
    def store(self) -> Store:
        """The store. Raises `Unreachable` before `open`."""
        if self._store is None:
            raise Unreachable("The client is not connected.", hint="Use `async with Client(dsn) as client:`.")
        return self._store

    @property
    def desk(self) -> Desk:
        """Where subscriptions are kept."""
        return DatabaseDesk(self.store)

    async def open(self) -> None:
        """Connect, where the caller gave no pool."""
        if self._store is None:
            self._store = await Store.connect(self._dsn)
            self._owned = True

    async def close(self) -> None:
        """Close what was opened here; give back what was kept of the caller's pool."""
        if self._gathering is not None:
            gathering, self._gathering = self._gathering, None
            await gathering.close()
        if self._owned and self._store is not None:
            store, self._store, self._owned = self._store, None, False
            await store.close()

    async def registered(self, kind: str, conn: Connection | None) -> RegisteredKind | None:
        """Return what is registered under a name or alias; None also where this role may not read it."""
        async with self._lent(conn) as lent:
            return await registered_kind(lent, self.store.shard, kind)

    async def register(self, kinds: Sequence[StatedKind]) -> list[str]:
        """Register kinds; return the names of those that were new or had changed."""
        async with self.store.connection(ours=True) as connection:
            return await register_kinds(connection, self.store.shard, kinds)

    def enqueue(self, new: NewJob, *, actor: str | None, strict: bool, conn: Connection | None) -> Awaitable[Enqueued]:
        """Enqueue one job: together with those of the same moment where the pool is the client's own affair."""
        store = self.store
        if conn is None and store.pooled:
            self._gathering = self._gathering or Gathering(store)
            return self._gathering.enqueue(new, actor=actor, strict=strict)
        # Not lent: a caller's own connection has nothing to be given back, and every call would pay for it.
        lent = store.lone if conn is None else conn
        assert lent is not None  # noqa: S101 - a store with a pool gathers what comes without a connection
        return enqueue.enqueue_job(lent, new, actor=actor, strict=strict, shard=store.shard)

    async def enqueue_many(
        self, batch: Sequence[NewJob], *, actor: str | None, strict: bool, conn: Connection | None
    ) -> list[Enqueued]:
        """Enqueue many jobs, all or nothing."""
        async with self._lent(conn) as lent:
            return await enqueue.enqueue_many(lent, batch, actor=actor, strict=strict, shard=self.store.shard)

    async def outcome(self, job: UUID, tenant: str, wait_s: float) -> Outcome:
        """Return how a job stands, once it has ended: asked after 5 ms, then in growing steps of up to 250 ms."""
        until = time.monotonic() + wait_s
        step = _FIRST_LOOK_S
        while True:
            async with self.store.connection(ours=True) as connection:
                found = await outcome_of(connection, self.store.shard, job, tenant)
            left = until - time.monotonic()
            if found.state in FINISHED_STATES or left <= 0:
                return found
            await asyncio.sleep(min(step, left))
            step = min(step * 1.5, _LONGEST_LOOK_S)

    async def job(self, job: UUID, tenant: str | None, as_of: str | datetime | None, token: bool) -> JobDetail:
        """Return one job whole."""
        shard = self.store.shard
        async with self.store.connection(ours=True) as connection:
            if as_of is not None:
                return await job_as_of(connection, shard, job, as_of, tenant=tenant)
            told = (await moments_for(connection, tenant)).token if token else None
            return await jobs_read.show_job(connection, shard, job, tenant=tenant, told=told)

    async def jobs(
        self, wanted: JobFilter, limit: int, cursor: str | None, as_of: str | datetime | None, token: bool
    ) -> JobPage:
        """Return a page of jobs."""
        shard = self.store.shard
        async with self.store.connection(ours=True) as connection:
            if as_of is not None:
                return await jobs_as_of(connection, shard, wanted, as_of, limit=limit, cursor=cursor)
            told = (await moments_for(connection, wanted.tenant)).token if token else None
            return await jobs_read.list_jobs(connection, shard, wanted, limit=limit, cursor=cursor, told=told)

    async def history(self, job: UUID, tenant: str | None, heartbeats: bool) -> list[Event]:
        """Return every event of a job."""
        async with self.store.connection(ours=True) as connection:
            return await jobs_read.job_history(connection, self.store.shard, job, tenant=tenant, heartbeats=heartbeats)

    async def tenant(self, tenant: str, since: datetime | None, until: datetime | None, token: bool) -> TenantStatus:
        """Return how a tenant does."""
        async with self.store.connection(ours=True) as connection:
            told = (await moments_for(connection, tenant)).token if token else None
            return await tenant_status(connection, self.store.shard, tenant, since=since, until=until, told=told)

    async def tenants(self, after: str, limit: int) -> tuple[TenantLevels, ...]:
        """Return the tenants that had jobs."""
        async with self.store.connection(ours=True) as connection:
            return await list_tenants(connection, self.store.shard, after=after, limit=limit)

    async def counts(self, as_of: str | datetime, tenant: str | None) -> PastCounts:
        """Return how many jobs were in each state at a moment."""
        async with self.store.connection(ours=True) as connection:
            return await counts_as_of(connection, self.store.shard, as_of, tenant=tenant)

    def events(self, wanted: EventFilter, *, after: str | None, from_end: bool, live: bool, shown: Shown) -> Feed:
        """Return a feed; nothing is sent yet."""
        return Feed(self.store, wanted, after=after, from_end=from_end, live=live, shown=shown)

    def replay(
        self,
        wanted: EventFilter,
        *,
        after: str | datetime | None,
        until: str | datetime | None,
        kind: str | None,
        heartbeats: bool,
        shown: Shown,
    ) -> Replay:
        """Return a replay; nothing is sent yet."""
        return Replay(self.store, wanted, after=after, until=until, kind=kind, heartbeats=heartbeats, shown=shown)

    async def subscriptions(self, tenant: str | None) -> list[Status]:
        """Return how the subscriptions stand."""
        async with self.store.connection(ours=True) as connection:
            return await all_of(connection, self.store.shard, tenant)

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
        async with self.store.connection(ours=True) as connection:
            (done,) = await operate.act(
                connection, self.store.shard, act, [job], actor=actor, reason=reason, tenant=tenant, data=data
            )
        refused = operate.refusal(act, done)
        if refused is not None:
            raise refused
        return done

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
        if isinstance(jobs, JobFilter):
            return await operate.act_on_all(self.store, act, jobs, actor=actor, reason=reason, data=data)
        counts: dict[str, int] = {}
        async with self.store.connection(ours=True) as connection:
            done = await operate.act(
                connection, self.store.shard, act, jobs, actor=actor, reason=reason, tenant=tenant, data=data
            )
        for one in done:
            counts[one.verdict] = counts.get(one.verdict, 0) + 1
        return counts

    async def preview(self, act: Act, jobs: JobFilter) -> Preview:
        """Count the jobs that an act would meet."""
        async with self.store.connection(ours=True) as connection:
            return await operate.preview(connection, self.store.shard, act, jobs)

    async def pause(self, scope: Scope, name: str, *, actor: str | None, reason: str) -> bool:
        """Stop claiming; false if that was so."""
        async with self.store.connection(ours=True) as connection:
            return await operate.pause(connection, self.store.shard, scope, name, actor=actor, reason=reason)

    async def resume(self, scope: Scope, name: str, *, actor: str | None, reason: str) -> bool:
        """End a pause; false if there was none."""
        async with self.store.connection(ours=True) as connection:
            return await operate.resume(connection, self.store.shard, scope, name, actor=actor, reason=reason)

    async def set_limit(
        self, scope: Scope, name: str, values: Mapping[str, int | None], *, actor: str | None, reason: str
    ) -> bool:
        """Set defaults; None clears one."""
        async with self.store.connection(ours=True) as connection:
            return await operate.set_limit(
                connection, self.store.shard, scope, name, values, actor=actor, reason=reason
            )

    async def limits(self, scope: Scope | None, name: str | None) -> list[Limit]:
        """Return what was paused and set."""
        async with self.store.connection(ours=True) as connection:
            return await operate.limits(connection, self.store.shard, scope=scope, name=name)

    @asynccontextmanager
    async def _lent(self, conn: Connection | None) -> AsyncGenerator[Connection]:
        if conn is not None:
            yield conn
            return
        # Nothing but the enqueue and the look-up of its kind is sent: neither leaves anything behind in the session.
        async with self.store.connection(ours=True) as own:
            yield own


def _store_of(source: object) -> Store | None:
    if source is None or isinstance(source, str):
        return None
    if isinstance(source, Store):
        return source
    if isinstance(source, asyncpg.Pool):
        return Store(source)
    if isinstance(source, (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy)):
        return Store(connection=source)
    raise InvalidArgument("A client takes an address, a Store, an asyncpg pool or an asyncpg connection.")
