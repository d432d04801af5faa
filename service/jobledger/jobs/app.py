"""The application: its kinds of jobs, their surroundings, and the client they are enqueued by."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from jobledger.errors import InvalidArgument, UnknownKind, Unreachable
from jobledger.jobs.kind import Declaration, Job
from jobledger.jobs.lifespan import Lifespan, lifespans
from jobledger.jobs.options import whole_seconds
from jobledger.jobs.resource import PUBLIC_STATES, Resource
from jobledger.jobs.secret import Resolvers
from jobledger.lifecycle.retry import RetryPolicy
from jobledger.order.projections import Projection, from_folder, table_texts
from jobledger.store.kinds import StatedKind, register_kinds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path
    from typing import Concatenate

    from pydantic import BaseModel

    from jobledger.jobs.client import Client
    from jobledger.jobs.context import Context
    from jobledger.jobs.handle import Handle
    from jobledger.jobs.kind import AsyncContextJob, AsyncJob, Call, Isolation, SyncContextJob, SyncJob
    from jobledger.jobs.middleware import EnqueueMiddleware, RunMiddleware
    from jobledger.jobs.outcomes import Cancel, Park, Retry, Snooze
    from jobledger.jobs.resource import PublicJob
    from jobledger.jobs.secret import Resolver
    from jobledger.lifecycle.backoff import Backoff
    from jobledger.store.pool import Store

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
J = TypeVar("J", bound="Job[..., Any]")
F = TypeVar("F", bound="Callable[..., Coroutine[Any, Any, None]]")


class App:
    """What an application declares. One a program is enough; several may share a database.

    With `strict` (the default) a job of a kind that nobody has registered is refused when it is enqueued by name.
    """

    def __init__(self, name: str = "app", *, strict: bool = True) -> None:
        """Begin without kinds."""
        self.name = name
        self.strict = strict
        self.resolvers = Resolvers()
        self.enqueue_layers: list[EnqueueMiddleware] = []
        self.run_layers: list[RunMiddleware] = []
        self._jobs: dict[str, Job[..., Any]] = {}
        self._by_alias: dict[str, Job[..., Any]] = {}
        self.projections: list[Projection] = []
        self.resources: dict[str, Resource] = {}
        self._lifespans: list[Lifespan[Any]] = []
        self._clients: list[Client] = []

    def job(
        self,
        name: str | None = None,
        *,
        queue: str = "default",
        version: int = 1,
        aliases: Sequence[str] = (),
        priority: int = 0,
        max_attempts: int = 5,
        timeout: int | timedelta = 1800,
        kill_after: int | timedelta | None = None,
        backoff: Backoff | None = None,
        retry: RetryPolicy | None = None,
        transaction: bool = False,
        isolation: Isolation = "thread",
    ) -> KindOf:
        """Make a kind of job out of an async or sync function: `@app.job()`.

        name: the kind's name in the log (default: the function's); aliases: its earlier names
        version: of the arguments; raise it when their meaning changes
        queue, priority, max_attempts, timeout (of one attempt), kill_after (from when it is due): the kind's defaults
        backoff: of any error; retry: a whole policy, by type of error and on time-out (states its own back-off)
        transaction: the handler has `context.connection`, committed when it returns, rolled back in every other case
        isolation: where a sync handler runs; only a process can be stopped against its will

        Raises:
            InvalidArgument: the signature or an option cannot be a kind's; says which and why.
        """
        if name is not None and not isinstance(name, str):
            raise InvalidArgument("Write @app.job(), with its brackets.")
        if backoff is not None and retry is not None:
            raise InvalidArgument("Give either a back-off or a whole retry policy.")
        if not (backoff is None or callable(backoff)) or not (retry is None or isinstance(retry, RetryPolicy)):
            raise InvalidArgument("backoff is Exponential, Linear, Fixed, Table or a function; retry is a RetryPolicy.")
        if isinstance(aliases, str) or not isinstance(aliases, Iterable):
            raise InvalidArgument("aliases is a list of names.")
        policy = retry or (RetryPolicy(backoff=backoff) if backoff is not None else RetryPolicy())
        frame = inspect.currentframe()
        # Annotations written as text may name what is local to the function in which the kind is declared.
        namespace = dict(frame.f_back.f_locals) if frame is not None and frame.f_back is not None else {}
        stated: dict[str, Any] = {
            "queue": queue,
            "version": version,
            "aliases": tuple(aliases),
            "priority": priority,
            "max_attempts": max_attempts,
            "timeout_s": whole_seconds("timeout", timeout),
            "kill_after_s": None if kill_after is None else whole_seconds("kill_after", kill_after),
            "policy": policy,
            "transaction": transaction,
            "isolation": isolation,
        }
        return KindOf(self, name, stated, namespace)

    def add(self, job: Job[..., Any]) -> None:
        """Take in a kind. Raises `InvalidArgument` if its name or an alias is taken."""
        for name in (job.name, *job.declaration.aliases):
            if name in self._jobs or name in self._by_alias:
                raise InvalidArgument(f"The app has a kind named {name}.")
        self._jobs[job.name] = job
        self._by_alias.update(dict.fromkeys(job.declaration.aliases, job))

    @property
    def jobs(self) -> Mapping[str, Job[..., Any]]:
        """The kinds by name, without aliases."""
        return self._jobs

    @property
    def names(self) -> list[str]:
        """All names and aliases: what a worker of this app can run."""
        return [*self._jobs, *self._by_alias]

    def kind(self, name: str) -> Job[..., Any]:
        """Return the kind of this name or alias. Raises `UnknownKind`."""
        job = (self._jobs.get(name) or self._by_alias.get(name)) if isinstance(name, str) else None
        if job is None:
            raise UnknownKind("The app has no such kind.", hint=f"It has: {', '.join(sorted(self._jobs)) or 'none'}.")
        return job

    def resource(
        self,
        name: str,
        *,
        public: type[BaseModel],
        view: Callable[[PublicJob[Any]], BaseModel] | None = None,
        states: Mapping[str, str] | None = None,
        errors: Mapping[str, str] | None = None,
        error: str = "It failed.",
    ) -> Callable[[J], J]:
        """Serve a kind as a resource of its own name: `@app.resource("launches", public=LaunchView)` over `@app.job()`.

        The service then makes, shows, lists, cancels and streams them under `/v1/launches`, for keys that read no jobs.

        public: the model of what is shown; its fields are those of `PublicJob`, unless `view` makes it
        view: a function of a `PublicJob` that returns it
        states: public words for states, beside or in the place of waiting, running, done, failed, cancelled
        errors: sentences by an error's type, its class, or `killed`; error: the sentence of all others

        Raises:
            InvalidArgument: the name is taken, or the model, the function or a word cannot be a resource's.
        """

        def add(job: J) -> J:
            if not isinstance(job, Job) or self._jobs.get(job.name) is not job:
                raise InvalidArgument(f"{name} is to be a kind of this app.", hint="Write it above @app.job().")
            if name in self.resources:
                raise InvalidArgument(f"The app has a resource {name}.")
            words = PUBLIC_STATES | dict(states or {})
            self.resources[name] = Resource(name, job, public, view, words, dict(errors or {}), error)
            return job

        return add

    def projection(
        self,
        name: str,
        *,
        version: int = 1,
        tables: str | Path | Sequence[str] | None = None,
        effects: bool = False,
    ) -> Callable[[F], F]:
        """Fold the sealed log with an async function: `@app.projection("name", version=1, tables=…)`.

        The function gets events, at most 2,000 in the order of the log, and the connection that its tables and the
        checkpoint are committed by: each event is taken in exactly once. With a third argument, `rebuilding`, it is
        told whether it has yet to reach the log's end. At most 60 s a batch; what it raises stops it.

        version: raise it when the tables are to hold something else; they are then made anew beside the old ones, which
        are folded on while a function of the lower version is declared, too
        tables: SQL that makes them, unqualified, or the Path of a file or folder of it
        effects: it does more than write its tables: it begins at the log's end and is never run over what it has seen

        Raises:
            InvalidArgument: the name, the version or the function cannot be a projection's, or the two are taken.
        """

        def add(function: F) -> F:
            if not callable(function):
                raise InvalidArgument("A fold is an async function of events and connection.")
            self._add_projection(Projection(name, version, table_texts(tables), function, effects))
            return function

        return add

    def sql_projection(self, folder: str | Path, *, name: str | None = None) -> None:
        """Fold the sealed log with SQL: a folder with `version.txt`, `fold.sql`, and the files that make its tables.

        The projection is named as its folder, unless `name` says otherwise.

        Raises:
            InvalidArgument: the folder lacks one of them, or name and version are taken.
        """
        self._add_projection(from_folder(folder, name))

    def _add_projection(self, made: Projection) -> None:
        if any((one.name, one.version) == (made.name, made.version) for one in self.projections):
            raise InvalidArgument(f"The app has a projection {made.name} of version {made.version}.")
        self.projections.append(made)

    def lifespan(self, function: Callable[[], AsyncIterator[T]]) -> Lifespan[T]:
        """Make a resource out of an async generator that yields once; `.value` is the resource while the app runs."""
        made = Lifespan(function)
        self._lifespans.append(made)
        return made

    def around_enqueue(self, layer: EnqueueMiddleware) -> EnqueueMiddleware:
        """Add a middleware around every enqueuing: `async def layer(new, send): return await send(new)`."""
        self.enqueue_layers.append(layer)
        return layer

    def around_run(self, layer: RunMiddleware) -> RunMiddleware:
        """Add a middleware around every run: `async def layer(context, run): return await run(context)`."""
        self.run_layers.append(layer)
        return layer

    def secret_resolver(self, scheme: str) -> Callable[[Resolver], Resolver]:
        """Resolve secrets of a scheme, `@app.secret_resolver("vault")`: a sync or async function of what follows it."""

        def add(resolver: Resolver) -> Resolver:
            self.resolvers.add(scheme, resolver)
            return resolver

        return add

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Make the resources for a block: the worker's, around its whole life."""
        async with lifespans(self._lifespans):
            yield

    async def register(self, store: Store) -> list[str]:
        """Tell the database what each kind is; return the names of those that were new or had changed."""
        async with store.connection() as connection:
            return await register_kinds(connection, store.shard, self.stated_kinds())

    def stated_kinds(self) -> list[StatedKind]:
        """Return what the app states of its kinds, by name: what is registered."""
        jobs = sorted(self._jobs.values(), key=lambda job: job.name)
        return [
            StatedKind(
                job.name, job.declaration.version, job.schema, job.declaration.aliases, job.declaration.defaults()
            )
            for job in jobs
        ]

    @asynccontextmanager
    async def connect(
        self, dsn: str | None = None, *, url: str | None = None, key: str | None = None
    ) -> AsyncGenerator[Client]:
        """Open a client for a block, by which the app's jobs are enqueued; `dsn` defaults to the settings' one.

        With `url` and `key` it is a client of the service at that address. The kinds are registered, where this role or
        key may.
        """
        from jobledger.jobs.client import Client  # noqa: PLC0415 - the client knows the app, too

        async with Client(dsn, url=url, key=key, app=self) as client, self.bound(client):
            await client.register()
            yield client

    @asynccontextmanager
    async def bound(self, client: Client) -> AsyncGenerator[None]:
        """Enqueue by `client` within a block, from every task of the program; the innermost block counts."""
        self._clients.append(client)
        try:
            yield
        finally:
            self._clients.remove(client)

    @property
    def client(self) -> Client:
        """The client the app's jobs are enqueued by. Raises `Unreachable` when there is none."""
        if not self._clients:
            raise Unreachable(
                "The app is not connected to a database.",
                hint="Enqueue inside `async with app.connect(dsn):`, or give conn= or client= to `using`.",
            )
        return self._clients[-1]

    async def send(self, call: Call[R]) -> Handle[R]:
        """Enqueue a checked call by its own client or connection, else the app's."""
        from jobledger.jobs.client import Client  # noqa: PLC0415 - the client knows the app, too

        client = call.options.get("client")
        if client is None:
            conn = call.options.get("conn")
            client = self._clients[-1] if self._clients or (conn is None and self.client) else Client(conn, app=self)
        return await client.send(call)


class KindOf:
    """What `@app.job()` is: takes the handler, returns the kind, typed by the handler's own signature."""

    def __init__(self, app: App, name: str | None, stated: dict[str, Any], namespace: Mapping[str, Any]) -> None:
        """Keep what was declared until the handler comes."""
        self._app = app
        self._name = name
        self._stated = stated
        self._namespace = namespace

    # The first overload that fits wins, and that is meant: a coroutine function would fit the sync forms as well, one
    # with a context the forms without.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R | Snooze | Retry | Cancel | Park]]
    ) -> AsyncContextJob[P, R]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], R | Snooze | Retry | Cancel | Park]
    ) -> SyncContextJob[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R | Snooze | Retry | Cancel | Park]]
    ) -> AsyncJob[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R | Snooze | Retry | Cancel | Park]) -> SyncJob[P, R]: ...
    def __call__(self, function: Callable[..., Any]) -> Any:
        """Make the kind and put it into the app."""
        if (
            not inspect.isroutine(function)
            or inspect.isasyncgenfunction(function)
            or inspect.isgeneratorfunction(function)
        ):
            raise InvalidArgument("A handler is an async or a sync function that returns its result.")
        declaration = Declaration(name=self._name or function.__name__, **self._stated)
        job: Job[..., Any] = Job(self._app, function, declaration, self._namespace)
        self._app.add(job)
        return job
