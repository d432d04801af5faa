"""The client: enqueue by kind or by name, and wait for results."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import orjson

from jobledger import tracing
from jobledger.errors import Forbidden, InvalidArgs, InvalidArgument
from jobledger.jobs.catalogue import Catalogue
from jobledger.jobs.database import DatabaseDoor
from jobledger.jobs.handle import Handle
from jobledger.jobs.kind import Call, new_job
from jobledger.jobs.middleware import around_enqueue, send_together
from jobledger.jobs.operations import Operations
from jobledger.jobs.options import checked
from jobledger.jobs.secret import Secret, refuse_plain
from jobledger.order.subscription import Subscription
from jobledger.store.enqueue import has_no_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from uuid import UUID

    from jobledger.jobs.app import App
    from jobledger.jobs.door import Door
    from jobledger.jobs.kind import Job
    from jobledger.jobs.middleware import EnqueueMiddleware
    from jobledger.jobs.options import EnqueueOptions
    from jobledger.order.desk import Status as SubscriptionStatus
    from jobledger.remote.connection import ServiceConnection
    from jobledger.store.enqueue import Enqueued, NewJob
    from jobledger.store.pool import Connection, Pool, Store

R = TypeVar("R")


class Client(Operations):
    """Enqueues jobs, and looks at them and acts on them: in a database, or by a service over HTTP.

    `Client(dsn)` opens a pool in `async with` (without a dsn: the settings' address); a `Store`, an asyncpg pool or
    connection of the caller's is used as it is and never closed. `Client(url=…, key=…)` asks the service at that
    address (http://host:port, https://host or unix:/path/of/socket) with an API key or a token; what the key may do
    and see, the service decides. The methods are the same. By a service there is no `conn=` (a transaction does not
    reach that far), the actor in the log is the key's own name, and subscriptions are managed, not consumed.

    With an `app` the arguments of its kinds are checked here, and its middleware runs; without one only the database
    checks, or the service.
    """

    def __init__(
        self,
        source: str | Store | Pool | Connection | ServiceConnection | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        app: App | None = None,
        strict: bool | None = None,
        actor: str | None = None,
    ) -> None:
        """Keep where to connect. `strict` (default: the app's, else yes): refuse names of kinds nobody registered.

        Raises:
            InvalidArgument: an argument is of the wrong form, or two of them do not go together.
        """
        if not (app is None or hasattr(app, "enqueue_layers")) or not (actor is None or isinstance(actor, str)):
            raise InvalidArgument("A client's app is an App, its actor a text.")
        self.app = app
        self.actor = actor
        self.strict = strict if strict is not None else (app.strict if app is not None else True)
        self._door = _door_to(source, url, key, actor)
        self._catalogue = Catalogue(self._door)

    @property
    def store(self) -> Store:
        """The store. Raises `Unreachable` before `async with`, `InvalidArgument` where a service is asked."""
        return self._door.store

    async def __aenter__(self) -> Self:
        """Connect, where the caller gave no pool."""
        await self._door.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what was opened here."""
        await self._door.close()

    async def register(self) -> list[str]:
        """Register the app's kinds where this role may, and return those that were new or changed."""
        if self.app is None:
            return []
        try:
            return await self._door.register(self.app.stated_kinds())
        except Forbidden:
            # A producer need not: the first worker does. Until then each job states what its kind declares.
            return []
        finally:
            self._catalogue.forget()

    async def enqueue(
        self, kind: str, args: Mapping[str, Any] | None = None, **options: Unpack[EnqueueOptions]
    ) -> Handle[Any]:
        """Enqueue a job by its kind's name; `args` by name, anything that has a JSON form.

        Raises:
            UnknownKind: the client is strict and nobody has registered the kind.
            InvalidArgs, SecretInPlain, BadInput, Conflict: nothing was written; names the field, never the value.
        """
        call = await self.call(kind, args, **options)
        return await self.send(call)

    async def call(
        self, kind: str, args: Mapping[str, Any] | None = None, **options: Unpack[EnqueueOptions]
    ) -> Call[Any]:
        """Return a checked job by its kind's name without enqueuing it: for `enqueue_many`."""
        stated = checked(options)
        document = _json(args)
        job = self._own(kind)
        if job is not None:
            document = job.arguments.dump_json(document, job.app.resolvers)
            return Call(job, replace(job.new(document, stated), kind=kind), stated)
        registered = await self._catalogue.find(kind, stated.get("conn")) if isinstance(kind, str) else None
        if registered is not None and registered.schema is not None:
            refuse_plain(registered.schema, orjson.loads(document))
        return Call(None, new_job(kind, document, stated), stated)

    async def send(self, call: Call[R]) -> Handle[R]:
        """Enqueue one checked job.

        Without a connection of the caller's, calls of the same moment share a transaction of the client's pool: each
        is durable when it returns, and fails for itself.
        """
        if not isinstance(call, Call):
            raise InvalidArgument("What is sent is made by `job.call(…)` or `client.call(…)`.")
        layers = self._layers()
        if layers:
            done = await around_enqueue(layers, lambda new: self._sent(call, new))(call.new)
        else:
            done = await self._sent(call, call.new)
        return self._handle(done, call)

    async def enqueue_many(
        self, calls: Sequence[Call[R]], *, conn: Connection | None = None, actor: str | None = None
    ) -> list[Handle[R]]:
        """Enqueue up to 10,000 jobs (`job.call(…)`, `client.call(…)`) in one statement, all or nothing.

        Raises:
            The same as `enqueue`; `detail["items"]` has the places (from 0) of the offending jobs.
        """
        for place, call in enumerate(calls):
            if not isinstance(call, Call):
                raise InvalidArgument(f"Item {place} is not made by `job.call(…)` or `client.call(…)`.")
            if "conn" in call.options or "client" in call.options or "actor" in call.options:
                raise InvalidArgument(
                    f"Item {place} has a connection, client or actor of its own.",
                    hint="Give them to enqueue_many.",
                    detail={"items": [place]},
                )
        jobs = [call.job for call in calls]

        async def send_all(batch: list[NewJob]) -> list[Enqueued]:
            by_name = {call.new.kind: call.job for call in calls if call.job}
            prepared = await self._prepared(conn, by_name, batch)
            return await self._door.enqueue_many(
                prepared, actor=actor or self.actor, strict=any(map(self._strict_for, jobs)), conn=conn
            )

        done = await send_together(self._layers(), [call.new for call in calls], send_all)
        return [self._handle(one, call) for one, call in zip(done, calls, strict=True)]

    def handle(self, id: UUID, *, tenant: str = "default", job: Job[..., R] | None = None) -> Handle[R]:  # noqa: A002 - the domain's word
        """Return the handle of a job enqueued elsewhere; with its kind the result is of the declared type."""
        return Handle(id, tenant, client=self, job=job)

    def subscription(self, name: str, *, tenant: str | None = None) -> Subscription:
        """Return a durable subscription, of one tenant or of everybody; `create` it once, then consume its events.

        Nothing is sent yet. The service's own roles only: a role that is bound to tenants reads no order.
        """
        return Subscription(self._door.desk, name, tenant=tenant, actor=self.actor, shown=self._shown)

    async def subscriptions(self, *, tenant: str | None = None) -> list[SubscriptionStatus]:
        """Return how every durable subscription stands, or those of one tenant (`_global`: everybody's)."""
        return await self._door.subscriptions(tenant)

    def _own(self, kind: str) -> Job[..., Any] | None:
        if self.app is None or not isinstance(kind, str) or kind not in self.app.names:
            return None
        return self.app.kind(kind)

    def _strict_for(self, job: Job[..., Any] | None) -> bool:
        # A kind of the app is known by its declaration, whether or not a worker has started yet.
        return self.strict and job is None

    async def _prepared(
        self, conn: Connection | None, kinds: Mapping[str, Job[..., Any] | None], batch: Sequence[NewJob]
    ) -> list[NewJob]:
        """Let each job state what its kind declares, where the database does not know it, and the current span."""
        declaring = {name: job for name, job in kinds.items() if job and job.declares}
        silent = {name: job for name, job in declaring.items() if not await self._catalogue.find(name, conn)}
        prepared = list(batch)
        if silent:
            prepared = [silent[new.kind].declared(new) if new.kind in silent else new for new in batch]
        trace = tracing.capture()
        if not trace:
            return prepared
        return [_traced(new, trace) for new in prepared]

    async def _sent(self, call: Call[Any], new: NewJob) -> Enqueued:
        """Send one job: as `_prepared`, without the lists."""
        actor, conn = call.options.get("actor", self.actor), call.options.get("conn")
        job = call.job
        if job is not None and job.declares and not await self._catalogue.find(new.kind, conn):
            new = job.declared(new)
        trace = tracing.capture()
        if trace:
            new = _traced(new, trace)
        return await self._door.enqueue(new, actor=actor, strict=self._strict_for(job), conn=conn)

    def _layers(self) -> Sequence[EnqueueMiddleware]:
        return self.app.enqueue_layers if self.app is not None else ()

    def _handle(self, done: Enqueued, call: Call[R]) -> Handle[R]:
        # On a caller's single connection waiting would mean waiting inside its transaction.
        client = self if self._door.waits else None
        return Handle(done.id, call.new.tenant, client=client, job=call.job, created=done.created)


def _door_to(source: Any, url: str | None, key: str | None, actor: str | None) -> Door:
    if url is None and not hasattr(source, "ask"):
        if key is not None:
            raise InvalidArgument("A key is for a service.", hint="Give its address, too: Client(url=…, key=…).")
        return DatabaseDoor(source)
    # A program that has its own database need not load what speaks HTTP.
    from jobledger.remote.connection import ServiceConnection  # noqa: PLC0415
    from jobledger.remote.door import ServiceDoor  # noqa: PLC0415

    if (url is None) == (source is None):
        raise InvalidArgument("A client has a database or a service, not both.")
    if actor is not None:
        raise InvalidArgument("By a service the actor in the log is the key's own name.", hint="Leave actor out.")
    return ServiceDoor(ServiceConnection(url, key) if url is not None else source, ours=url is not None)


def _traced(new: NewJob, trace: Mapping[str, str]) -> NewJob:
    return replace(new, trace=dict(trace)) if new.trace is None else new


def _json(args: Mapping[str, Any] | None) -> bytes:
    try:
        document: bytes = orjson.dumps(dict(args or {}), default=_reference)
        if b"null" in document and has_no_number(args):
            raise ValueError
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgs("The arguments have no JSON form.") from None
    return document


def _reference(value: object) -> str:
    if isinstance(value, Secret):
        return value.reference
    raise TypeError
