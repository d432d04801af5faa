"""The pusher: a worker of the database whose jobs are done by endpoints.

In each process that serves it looks every two seconds which queues are pushed, and keeps a crew for those of every
tenant and one for each tenant with pushes of its own. A crew is one life of a worker (`worker/life.py`): it claims,
sends heartbeats, reports and stops as any other does; where that would call a handler, it delivers. So what is true of
a worker's jobs is true of these: a process that dies loses its lease, its jobs come back, and late reports are refused.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg

from jobledger.delivery.push_endpoint import Endpoint, Wire
from jobledger.delivery.sender import Sender
from jobledger.errors import JobledgerError
from jobledger.jobs.app import App
from jobledger.lifecycle.retry import RetryPolicy
from jobledger.store.pool import Store
from jobledger.store.pushes import kind_policies, pushes
from jobledger.store.service_key import ServiceKey
from jobledger.store.tasks import end
from jobledger.worker.conclude import ended_early
from jobledger.worker.life import Life, Manner
from jobledger.worker.limits import Limits
from jobledger.worker.link import Link
from jobledger.worker.stop import Stopping

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from jobledger.settings import Settings
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pushes import Push
    from jobledger.worker.slots import Outcome, Runner, Slot, SlotPool

_log = logging.getLogger("jobledger.delivery")

LOOK_S: Final = 2.0
CONNECTIONS: Final = 8
TENANTS_CONNECTIONS: Final = 5
"""Shared by the crews of all tenants with pushes of their own; so few that none keeps one (`worker/lines`)."""
REQUESTS: Final = 10_000
"""Requests that a process has open to endpoints; more wait for one of them to end."""

_NO_GRACE_S: Final = 86_400.0
_PLAIN: Final = RetryPolicy()


class Crew:
    """The worker of one tenant's pushes, or (None) of those of every tenant; it delivers what it claims."""

    lost = 0
    pool: SlotPool

    def __init__(
        self,
        store: Store,
        settings: Settings,
        manner: Manner,
        tenant: str | None,
        endpoints: Mapping[str, Endpoint],
        policies: Mapping[str, RetryPolicy],
    ) -> None:
        """Begin to work for these queues, and jobs of these kinds."""
        self.tenant = tenant
        self.kinds = frozenset(policies)
        self.queues = frozenset(endpoints)
        self._endpoints = dict(endpoints)
        self._policies = policies
        # What the fetcher may ask of each queue. It looks here before each claim, so a change counts at once.
        self._room: dict[str, int | None] = {queue: one.room for queue, one in endpoints.items()}
        self._stopping = Stopping()
        self._ready = asyncio.Event()
        # Jobs under way end by themselves, at the latest when their time is over: the grace is the pusher's.
        own = settings.model_copy(update={"seal": False, "projections": False, "stop_grace_s": _NO_GRACE_S})
        self._life = Life(
            App("push"),
            Link(
                store,
                kinds=sorted(policies),
                queues=self._room,
                tenants=None if tenant is None else [tenant],
                lease_s=own.lease_s,
                patience_s=manner.patience_s,
                window=own.claim_tenants,
            ),
            names=sorted(policies),
            concurrency=max(1, sum(one.push.concurrency for one in endpoints.values())),
            settings=own,
            limits=Limits(),
            manner=manner,
            stopping=self._stopping,
            shop=lambda _: self,
        )
        self.task = asyncio.get_running_loop().create_task(self._run(), name="jobledger-push-crew")

    def know(self, policies: Mapping[str, RetryPolicy]) -> None:
        """Go by these policies from now on; they are of the same kinds."""
        self._policies = policies
        # A push may have been changed while this worker began.
        self._fit()

    def opened(self, endpoint: Endpoint) -> None:
        """Ask for as many jobs of a queue as its endpoint has room for now."""
        queue = endpoint.push.queue
        if self._endpoints.get(queue) is endpoint:
            self._room[queue] = endpoint.room
            self._fit()
            if self._ready.is_set():
                self._life.fetcher.worth()

    def _fit(self) -> None:
        """Have a slot for each job that the endpoints may have under way."""
        most = max(1, sum(one.push.concurrency for one in self._endpoints.values()))
        if self._ready.is_set() and self.pool.concurrency != most:
            self.pool.concurrency = most
            self._life.fetcher.worth()

    def stop(self, reason: str, *, hurry: bool = False) -> None:
        """Claim no more, and end when nothing is under way; `hurry`: hand back what is."""
        self._stopping.ask(reason, hurry=hurry)

    async def _run(self) -> None:
        try:
            await self._life.run(self._ready, until_empty=False)
        except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            _log.warning("delivering stopped (%s); it is begun anew", type(error).__name__)
        except Exception:  # noqa: BLE001 - whatever it is, the next look begins anew
            _log.exception("delivering stopped; it is begun anew")

    # ---- what the life asks of its shop

    def runners(self, kinds: Sequence[str]) -> dict[str, Runner]:
        """Return what delivers jobs of these kinds."""
        return dict.fromkeys(kinds, self._deliver)

    def early(self, job: ClaimedJob, slot: Slot, error: Exception | None) -> Outcome:
        """Return what becomes of a job that was ended early, whatever its endpoint does, or met a fault."""
        return ended_early(job, self._policies.get(job.kind, _PLAIN), slot.ending, error)

    async def close(self) -> None:
        """Let nothing go: endpoints outlive their crews."""

    async def _deliver(self, job: ClaimedJob, slot: Slot, /) -> Outcome:
        return await self._endpoints[job.queue].deliver(job, slot, self._policies.get(job.kind, _PLAIN))


class Pusher:
    """Delivers the jobs of pushed queues, inside `async with`. `url` is where endpoints reach this service."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        url: str,
        tls: ssl.SSLContext | None = None,
        manner: Manner | None = None,
        look_s: float = LOOK_S,
        hurry: asyncio.Event | None = None,
    ) -> None:
        """Prepare. `tls`: which certificates of endpoints are trusted (default: as the machine does).

        `hurry` ends the grace that what is under way has at the end.
        """
        self._store = store
        self._settings = settings
        self._url = url.rstrip("/")
        self._manner = manner or Manner()
        self._look_s = look_s
        self._hurry = hurry or asyncio.Event()
        self._sender = Sender(private=settings.send_private, connections=REQUESTS, host_connections=REQUESTS, tls=tls)
        self._wire: Wire | None = None
        self._wake = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._endpoints: dict[tuple[str, str | None], Endpoint] = {}
        self._leaving: list[Endpoint] = []
        self._crews: dict[str | None, Crew] = {}
        self._ending: set[Crew] = set()
        self._stores: dict[bool, Store] = {}

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._sender.__aenter__()
        self._looking = asyncio.get_running_loop().create_task(self._look_on(), name="jobledger-push")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End: claim no more, give what is under way the grace of a worker, then hand it back."""
        if self._looking is not None:
            await end([self._looking])
        crews = {*self._crews.values(), *self._ending}
        for crew in crews:
            crew.stop("the service is stopping")
        if crews:
            tasks = [crew.task for crew in crews]
            hurried = asyncio.ensure_future(self._hurry.wait())
            either: list[asyncio.Future[Any]] = [asyncio.gather(*tasks, return_exceptions=True), hurried]
            await asyncio.wait(either, timeout=self._settings.stop_grace_s, return_when=asyncio.FIRST_COMPLETED)
            await end([hurried])
            for crew in crews:
                crew.stop("the service is stopping", hurry=True)
            await asyncio.wait(tasks)
        for endpoint in (*self._endpoints.values(), *self._leaving):
            await endpoint.close()
        await self._sender.__aexit__()
        for store in self._stores.values():
            await store.close()

    def hint(self) -> None:
        """Look at once which queues are pushed: something was changed."""
        self._wake.set()

    def reported(self, job: UUID, claim: int, outcome: Outcome) -> None:
        """A job's outcome was recorded by its token: its place here is free."""
        for endpoint in (*self._endpoints.values(), *self._leaving):
            if endpoint.reported(job, claim, outcome):
                return

    # ---- looking

    async def _look_on(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._look()
            except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                _log.warning("which queues are pushed is not known (%s); asked again", type(error).__name__)
            except Exception:  # noqa: BLE001 - whatever it is, what is delivered already goes on
                _log.exception("which queues are pushed could not be taken in; tried again")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._wake.wait()

    async def _look(self) -> None:
        async with self._store.connection(ours=True) as connection:
            there = await pushes(connection, self._store.shard)
            if there and self._wire is None:
                self._wire = Wire(self._sender, await ServiceKey.load(connection), self._url)
            policies = await kind_policies(connection, self._store.shard) if there else {}
        self._take_in(there)
        wanted: dict[str | None, dict[str, Endpoint]] = {}
        for (queue, tenant), endpoint in self._endpoints.items():
            wanted.setdefault(tenant, {})[queue] = endpoint
        for tenant in {*wanted, *self._crews}:
            await self._man(tenant, wanted.get(tenant, {}) if policies else {}, policies)

    def _take_in(self, there: Sequence[Push]) -> None:
        found = {(one.queue, one.tenant): one for one in there}
        for name in [name for name in self._endpoints if name not in found]:
            self._leaving.append(self._endpoints.pop(name))
        self._leaving = [one for one in self._leaving if one.busy]
        for name, push in found.items():
            endpoint = self._endpoints.get(name)
            if endpoint is None:
                assert self._wire is not None  # noqa: S101 - it was made when there was a push
                self._endpoints[name] = Endpoint(push, self._wire, self._changed)
            elif endpoint.push != push:
                endpoint.change(push)

    async def _man(self, tenant: str | None, endpoints: dict[str, Endpoint], policies: dict[str, RetryPolicy]) -> None:
        """Let the right crew work for a tenant: a new one where the queues or kinds are others than before."""
        crew = self._crews.get(tenant)
        if crew is not None and (crew.task.done() or crew.queues != set(endpoints) or crew.kinds != set(policies)):
            del self._crews[tenant]
            crew.stop("the pushes have changed")
            self._ending.add(crew)
            crew.task.add_done_callback(functools.partial(self._ended, crew))
            crew = None
        if crew is not None:
            crew.know(policies)
        elif endpoints:
            store = await self._store_for(tenant)
            self._crews[tenant] = Crew(store, self._settings, self._manner, tenant, endpoints, policies)

    def _ended(self, crew: Crew, _: asyncio.Task[None]) -> None:
        self._ending.discard(crew)

    def _changed(self, endpoint: Endpoint) -> None:
        crew = self._crews.get(endpoint.push.tenant)
        if crew is not None:
            crew.opened(endpoint)

    async def _store_for(self, tenant: str | None) -> Store:
        """Return the connections of a crew: claims and reports must not wait for what the service does besides."""
        store = self._stores.get(tenant is None)
        if store is None:
            most = CONNECTIONS if tenant is None else TENANTS_CONNECTIONS
            store = self._stores[tenant is None] = await Store.connect(
                self._store.dsn,
                settings=self._settings,
                shard=self._store.shard,
                pooler=self._store.pooler,
                pool_min=1,
                pool_max=most,
                application_name="jobledger push",
            )
        return store
