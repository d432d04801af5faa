"""The worker: claims jobs, runs their handlers, reports how they ended, and says that it lives."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from jobledger.errors import InvalidArgument
from jobledger.jobs.client import Client
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.worker.life import Life, Manner
from jobledger.worker.limits import Limits
from jobledger.worker.link import Link
from jobledger.worker.stop import Stopping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    from jobledger.jobs.app import App
    from jobledger.worker.way import Way

REPLACEABLE = frozenset({"max_jobs", "max_memory", "max_lost"})
"""Reasons for which a supervisor puts a fresh process in the place of one that ended."""

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@/-]{0,127}\Z")
_CONNECTIONS = 8
_POLL_S: Final = 0.05
_COLLECT = (50_000, 20, 50)


class Worker:
    """Runs the jobs of an app: `await Worker(app, dsn).run()`, or `async with Worker(app, store): …`.

    `database` is a DSN (default: the settings' one) or a `Store`, which needs to know its dsn, because heartbeats have
    a connection of their own in a thread of their own. `Worker(app, url=…, key=…)` works through a service over HTTP in
    its place, with a key of the role `work`: the service ticks, seals and folds, and kinds with `transaction=True` have
    no place there. `queues` binds the worker to queues, each with a concurrency of
    its own or None; `kinds` and `tenants` bind it to some of the app's kinds, and to tenants. `concurrency` is how many
    jobs run at a time. `settings` give lease, heartbeat, stall and grace; `limits` say when the worker ends by itself.
    """

    def __init__(
        self,
        app: App,
        database: Store | str | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        queues: Mapping[str, int | None] | Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        tenants: Sequence[str] | None = None,
        concurrency: int | None = None,
        settings: Settings | None = None,
        limits: Limits | None = None,
        manner: Manner | None = None,
        until_empty: bool = False,
    ) -> None:
        """Prepare; nothing is opened before `run`. `until_empty` ends it when no job is due and none runs here.

        Raises:
            InvalidArgument, UnknownKind: nothing to run, a kind that the app does not have, a number out of range, a
                kind with `transaction=True` for a worker that has no database.
        """
        names = list(app.names) if kinds is None else with_aliases(app, kinds)
        if not names:
            raise InvalidArgument("The app has no kind of job to run.")
        self.app = app
        self.settings = settings or Settings()
        self.concurrency = self.settings.concurrency if concurrency is None else concurrency
        if not isinstance(self.concurrency, int) or isinstance(self.concurrency, bool):
            raise InvalidArgument("The concurrency of a worker is a whole number.")
        if not 1 <= self.concurrency <= 10_000:
            raise InvalidArgument("The concurrency of a worker lies between 1 and 10000.")
        if not isinstance(database, Store | str | None):
            raise InvalidArgument("The database of a worker is an address or a Store.")
        self._service = service_of(database, url, key, self.settings)
        if self._service is not None and any(app.kind(name).declaration.transaction for name in names):
            raise InvalidArgument(
                "A kind with transaction=True needs a worker that is connected to the database.",
                hint="Run it by a worker with a DSN, and bind this one to other kinds.",
            )
        self.stopping = Stopping()
        self.ready = asyncio.Event()
        self.life: Life | None = None
        self._database = database
        self._names = names
        self._queues = bound_queues(queues)
        self._tenants = None if tenants is None else named("tenants", tenants)
        self._limits = limits or Limits()
        self._manner = manner or Manner()
        if self._service is not None:
            # Claims wait at the service: an empty one is followed by the next.
            self._manner = replace(self._manner, poll_s=min(self._manner.poll_s, _POLL_S))
        self._until_empty = until_empty
        self._task: asyncio.Task[str] | None = None

    async def run(self, *, signals: bool | None = None) -> str:
        """Work until `stop`, a signal, a limit, or (`until_empty`) nothing is left; return the reason.

        SIGTERM and SIGINT are handled while it runs (default: when called in the main thread). Inside `async with` it
        waits for the worker that runs already.

        Raises:
            Unreachable, SchemaError: at start; once it runs, a lost database is waited for.
        """
        if signals is None and threading.current_thread() is threading.main_thread():
            # The process is the worker's: what is there now stays, and jobs leave few cycles behind.
            gc.freeze()
            gc.set_threshold(*_COLLECT)
        wanted = threading.current_thread() is threading.main_thread() if signals is None else signals
        with self.stopping.listening() if wanted else contextlib.nullcontext():
            if self._task is not None and self._task is not asyncio.current_task():
                return await asyncio.shield(self._task)
            async with self._way() as link:
                life = Life(
                    self.app,
                    link,
                    names=self._names,
                    concurrency=self.concurrency,
                    settings=self.settings,
                    limits=self._limits,
                    manner=self._manner,
                    stopping=self.stopping,
                )
                self.life = life
                async with self.app.running():
                    return await life.run(self.ready, until_empty=self._until_empty)

    def stop(self, reason: str = "asked", *, hurry: bool = False) -> None:
        """Ask the worker to stop: claim no more, finish within the grace (`hurry`: at once), hand back the rest."""
        self.stopping.ask(reason, hurry=hurry)

    async def __aenter__(self) -> Self:
        """Start working in the background; returns once the worker claims."""
        self._task = asyncio.create_task(self.run(signals=False), name="jobledger-worker")
        ready = asyncio.ensure_future(self.ready.wait())
        try:
            await asyncio.wait([self._task, ready], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._task.done():
            await self._task
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, within the grace; after an error at once."""
        self.stop("the block ended", hurry=error is not None)
        if self._task is not None:
            await self._task

    @contextlib.asynccontextmanager
    async def _way(self) -> AsyncIterator[Way]:
        """Give the way to the jobs, while handlers enqueue by the same one."""
        if self._service is not None:
            # A worker that has a database need not load what speaks HTTP.
            from jobledger.worker.service_link import ServiceLink  # noqa: PLC0415

            url, key = self._service
            link = ServiceLink(
                url,
                key,
                kinds=self._names,
                queues=self._queues,
                tenants=self._tenants,
                lease_s=self.settings.lease_s,
                patience_s=self._manner.patience_s,
                **({"waits_s": 0.0} if self._until_empty else {}),
            )
            async with Client(url=url, key=key, app=self.app) as client, self.app.bound(client):
                try:
                    yield link
                finally:
                    await link.disconnect()
            return
        async with self._store() as store, Client(store, app=self.app) as client, self.app.bound(client):
            yield Link(
                store,
                kinds=self._names,
                queues=self._queues,
                tenants=self._tenants,
                lease_s=self.settings.lease_s,
                patience_s=self._manner.patience_s,
                window=self.settings.claim_tenants,
            )

    @contextlib.asynccontextmanager
    async def _store(self) -> AsyncIterator[Store]:
        if isinstance(self._database, Store):
            yield self._database
            return
        most = max(self.settings.pool_max, _CONNECTIONS)
        settings = self.settings.model_copy(update={"pool_max": most})
        async with await Store.connect(self._database, settings=settings, application_name="jobledger worker") as store:
            yield store
            if self.life is not None and self.life.pool.lost:
                # A handler that ignores its end may keep its connection for ever.
                store.pool.terminate()


def service_of(
    database: Store | str | None, url: str | None, key: str | None, settings: Settings
) -> tuple[str, str | None] | None:
    """Return address and key of the service that a worker works through; None for one with a database.

    What is given counts before the settings, and there a service before a database.

    Raises:
        InvalidArgument: both a database and a service were given, or a key alone.
    """
    if database is not None and url is not None:
        raise InvalidArgument("A worker has either a database or the address of a service.")
    if database is not None or (url is None and settings.url is None):
        if key is not None:
            raise InvalidArgument("A key is for a service; its address is missing.", hint="Give url, or JOBLEDGER_URL.")
        return None
    known = settings.key.get_secret_value() if settings.key is not None else None
    return url or settings.url or "", key or known


def with_aliases(app: App, kinds: Sequence[str]) -> list[str]:
    """Return the given kinds with their aliases. Raises `UnknownKind` for one that the app does not have."""
    names: dict[str, None] = {}
    for kind in named("kinds", kinds):
        declared = app.kind(kind)
        names.update(dict.fromkeys([declared.name, *declared.declaration.aliases]))
    return list(names)


def bound_queues(queues: Mapping[str, int | None] | Sequence[str] | None) -> dict[str, int | None] | None:
    """Return the queues a worker is bound to with their concurrency. Raises `InvalidArgument` for one below 1."""
    if queues is None:
        return None
    bound: dict[str, int | None] = dict.fromkeys(named("queues", queues))
    if isinstance(queues, Mapping):
        bound = dict(queues)
    counts = [limit for limit in bound.values() if limit is not None]
    if not bound or not all(isinstance(limit, int) and limit >= 1 for limit in counts):
        raise InvalidArgument("A worker is bound to at least one queue, each with a concurrency of 1 or more, or none.")
    return bound


def named(what: str, names: Iterable[str]) -> list[str]:
    """Return the names as a list. Raises `InvalidArgument` for one that no tenant, queue or kind can have."""
    found: list[object] = list(names) if isinstance(names, Iterable) and not isinstance(names, str | bytes) else [None]
    if not all(isinstance(name, str) and NAME.match(name) for name in found):
        raise InvalidArgument(f"{what} are a list of names: 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / -.")
    return [str(name) for name in found]
