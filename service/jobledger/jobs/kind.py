"""A kind of job: the handler, what it declares, and the typed ways to enqueue it."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, TypeVar, Unpack

from jobledger.errors import InvalidArgument
from jobledger.jobs.arguments import Arguments, ResultType
from jobledger.jobs.options import META_KEYS, EnqueueOptions, checked
from jobledger.jobs.statement import Statement, enqueue_statement
from jobledger.lifecycle.backoff import Exponential, to_data
from jobledger.lifecycle.retry import RetryPolicy
from jobledger.store.enqueue import NewJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobledger.jobs.app import App
    from jobledger.jobs.context import Context
    from jobledger.jobs.handle import Handle

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Isolation = Literal["thread", "process"]

KIND_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:/-]{0,127}\Z")
DEFAULT_MAX_ATTEMPTS: Final = 5
DEFAULT_TIMEOUT_S: Final = 1800


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `@app.job(…)` states about a kind. Times in whole seconds."""

    name: str
    queue: str = "default"
    version: int = 1
    aliases: tuple[str, ...] = ()
    priority: int = 0
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    timeout_s: int = DEFAULT_TIMEOUT_S
    kill_after_s: int | None = None
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    transaction: bool = False
    isolation: Isolation = "thread"

    def __post_init__(self) -> None:
        """Refuse what the database would refuse later, while the line to mend is still in sight."""
        for name in (self.name, *self.aliases):
            if not isinstance(name, str) or not KIND_NAME.match(name):
                raise InvalidArgument(
                    "A kind's name has 1 to 128 of the characters A-Z a-z 0-9 . _ : / - and begins with a letter,"
                    " digit or _."
                )
        if not isinstance(self.queue, str) or not KIND_NAME.match(self.queue):
            raise InvalidArgument(f"{self.name}: the queue's name is out of rule.")
        ranges: tuple[tuple[str, int | None, int, int], ...] = (
            ("version", self.version, 1, 2**31 - 1),
            ("priority", self.priority, -1000, 1000),
            ("max_attempts", self.max_attempts, 1, 1000),
            ("timeout", self.timeout_s, 1, 604_800),
            ("kill_after", self.kill_after_s, 1, 200 * 366 * 86_400),
        )
        for name, value, least, most in ranges:
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and least <= value <= most):
                raise InvalidArgument(f"{self.name}: {name} is a whole number from {least} to {most}.")
        if self.isolation not in ("thread", "process"):
            raise InvalidArgument(f"{self.name}: isolation is thread or process.")
        if self.transaction and self.isolation == "process":
            raise InvalidArgument(f"{self.name}: a transaction cannot be handed to another process.")

    @property
    def own_max_attempts(self) -> int | None:
        """The attempts of a job; None where it is the service's own default, which an operator may set otherwise."""
        return self.max_attempts if self.max_attempts != DEFAULT_MAX_ATTEMPTS else None

    @property
    def own_timeout_s(self) -> int | None:
        """The seconds of an attempt; None as with `own_max_attempts`."""
        return self.timeout_s if self.timeout_s != DEFAULT_TIMEOUT_S else None

    def defaults(self) -> dict[str, Any]:
        """Return what `kind.registered` states as defaults; what equals the service's own is left out."""
        stated = {
            "queue": self.queue if self.queue != "default" else None,
            "max_attempts": self.own_max_attempts,
            "timeout": self.own_timeout_s,
            "kill_after": self.kill_after_s,
            "backoff": self._stated_backoff(),
            "on_timeout": self.policy.on_timeout if self.policy.on_timeout != "retry" else None,
        }
        return {name: value for name, value in stated.items() if value is not None}

    def _stated_backoff(self) -> dict[str, Any] | None:
        """Return what holds where an attempt ends without its worker; a function of one's own has no such form."""
        try:
            return to_data(self.policy.backoff) if self.policy.backoff != Exponential() else None
        except InvalidArgument:
            return None


@dataclass(frozen=True, slots=True, repr=False)
class Call(Generic[R_co]):
    """One job to be enqueued, checked: what `Client.enqueue_many` takes. Its arguments are never shown."""

    job: Job[..., R_co] | None
    new: NewJob
    options: EnqueueOptions

    def __repr__(self) -> str:
        """Name kind and tenant."""
        return f"Call({self.new.kind}, tenant {self.new.tenant})"


class Enqueuer(Generic[P, R]):
    """A kind together with options: `job.using(tenant="acme", conn=conn)`.

    The methods take exactly what the handler takes (its context apart), and type checkers hold the caller to it; that
    is why options have a call of their own.
    """

    def __init__(self, job: Job[P, R], options: EnqueueOptions) -> None:
        """Keep both."""
        self._job = job
        self._options = options

    def using(self, **options: Unpack[EnqueueOptions]) -> Enqueuer[P, R]:
        """Return an enqueuer with these options beside, or in place of, those it has; see `EnqueueOptions`."""
        return Enqueuer(self._job, {**self._options, **checked(options)})

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Check the arguments, enqueue the job and return its handle.

        Raises:
            InvalidArgs, SecretInPlain: nothing was written; names the fields, never their values.
            BadInput, Conflict: an option is out of its range, or a key is taken; nothing was written.
            Unreachable: the app is not connected and no client or connection was given.
        """
        call = self.call(*args, **kwargs)
        return await self._job.app.send(call)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Return the checked job without enqueuing it: for `Client.enqueue_many`."""
        job, options = self._job, self._options
        document = job.arguments.dump(job.arguments.bind(args, kwargs), job.app.resolvers)
        return Call(job, job.new(document, options), options)

    def statement(self, *args: P.args, **kwargs: P.kwargs) -> Statement:
        """Return SQL and parameters that enqueue the job inside a transaction of a synchronous driver.

        `sql, parameters = job.statement(…)` is for psycopg; see `Statement` for SQLAlchemy and others. What the kind
        declares goes into the statement, because nothing can be asked of the database here.
        """
        call = self.call(*args, **kwargs)
        call.new.check()
        return enqueue_statement(self._job.declared(call.new), call.options.get("actor"))


class Job(Enqueuer[P, R]):
    """A kind of job, made by `@app.job()` from a handler; calling it calls the handler, nothing is enqueued."""

    def __init__(
        self,
        app: App,
        function: Callable[..., Any],
        declaration: Declaration,
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        """Read the handler's signature."""
        super().__init__(self, {})
        self.__name__ = function.__name__
        self.app = app
        self.function = function
        self.declaration = declaration
        self.declares = bool(declaration.own_max_attempts or declaration.own_timeout_s)
        self.is_async = inspect.iscoroutinefunction(function)
        self.arguments = Arguments(declaration.name, function, namespace)
        self.returns = ResultType(declaration.name, function, namespace)
        if declaration.transaction and not self.is_async:
            raise InvalidArgument(f"{declaration.name}: transaction=True needs an async handler.")
        functools.update_wrapper(self, function)

    @property
    def name(self) -> str:
        """The kind's name, as it stands in the log."""
        return self.declaration.name

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.arguments.schema

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the handler as the plain function that it is."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Name the kind."""
        return f"Job({self.name!r}, version {self.declaration.version})"

    def new(self, args: bytes, options: EnqueueOptions) -> NewJob:
        """Return the job to be enqueued; the queue is always stated, so that it is right before any registration."""
        return new_job(self.name, args, options, queue=self.declaration.queue, priority=self.declaration.priority)

    def declared(self, new: NewJob) -> NewJob:
        """Return `new` with what the kind declares where it is silent: for a database that does not know the kind.

        Not what is the service's own default: a job enqueued before the registration is to be as one after it.
        """
        return new.stating(self.declaration.own_max_attempts, self.declaration.own_timeout_s)


if TYPE_CHECKING:
    # The four forms of a handler, told apart for type checkers only: how the kind is called as the plain function.

    class AsyncJob(Job[P, R]):
        """A kind with an async handler."""

        async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the handler."""

    class AsyncContextJob(Job[P, R]):
        """A kind with an async handler that takes the context first."""

        async def __call__(self, context: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the handler."""

    class SyncJob(Job[P, R]):
        """A kind with a sync handler."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the handler."""

    class SyncContextJob(Job[P, R]):
        """A kind with a sync handler that takes the context first."""

        def __call__(self, context: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the handler."""

else:
    AsyncJob = AsyncContextJob = SyncJob = SyncContextJob = Job


def new_job(
    kind: str, args: bytes, options: EnqueueOptions, *, queue: str | None = None, priority: int | None = None
) -> NewJob:
    """Return the job of a kind's name, checked arguments and options; `queue` and `priority` where these are silent."""
    stated: dict[str, Any] = {**options}
    for name in META_KEYS:
        stated.pop(name, None)
    if stated.get("queue") is None:
        stated["queue"] = queue
    if stated.get("priority") is None:
        stated["priority"] = priority
    backoff = stated.pop("backoff", None)
    if backoff is not None:
        stated["backoff"] = to_data(backoff)
    return NewJob(kind=kind, args=args, **stated)
