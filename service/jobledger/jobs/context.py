"""What a handler knows of the job it runs, and what it can say while it runs."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jobledger.errors import InvalidArgument
from jobledger.jobs.cancellation import CancellationToken
from jobledger.jobs.secret import Concealer

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.store.pool import Connection

T = TypeVar("T")
Progress = Callable[[dict[str, Any]], Awaitable[None]]

MESSAGE_LIMIT: Final = 1_000
_handlers = logging.getLogger("jobledger.handler")
_running: ContextVar[Context | Callable[[], Context]] = ContextVar("jobledger_context")


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger each of whose records carries `tenant`, `kind`, `job` and `attempt`, and none of the job's secrets."""

    def __init__(self, logger: logging.Logger, facts: Mapping[str, object], conceal: Concealer) -> None:
        """Write to `logger`."""
        super().__init__(logger, facts)
        self._conceal = conceal

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the job's facts to what the caller gave as `extra`."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write a record; when the job has secrets the text is made here, so that they can be taken out."""
        if not self.isEnabledFor(level):
            return
        if self._conceal:
            text = str(msg) % args if args else str(msg)
            if kwargs.pop("exc_info", None):
                text = f"{text}\n{traceback.format_exc()}"
            msg, args = self._conceal.text(text), ()
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        super().log(level, msg, *args, **kwargs)


@dataclass(slots=True, eq=False, repr=False)
class Context:
    """The job that runs, for its handler: declare it as the first parameter, or ask `current()`.

    Made by the worker. `attempt` counts from 1; `app` is the app whose handler this is.
    """

    id: UUID
    tenant: str
    queue: str
    kind: str
    attempt: int
    max_attempts: int
    owner: str | None = None
    tags: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    on_progress: Progress | None = None
    transaction: Connection | None = None
    loop: asyncio.AbstractEventLoop | None = None
    conceal: Concealer = field(default_factory=Concealer)
    _logger: JobLogger | None = None

    @property
    def connection(self) -> Connection:
        """The connection of `transaction=True`: what is written on it is kept if and only if the handler succeeds.

        Raises:
            InvalidArgument: the kind is not declared with `transaction=True`.
        """
        if self.transaction is None:
            raise InvalidArgument(f"{self.kind} has no connection.", hint="Declare it with transaction=True.")
        return self.transaction

    @property
    def logger(self) -> JobLogger:
        """A logger whose records carry tenant, kind, job and attempt."""
        if self._logger is None:
            facts = {"tenant": self.tenant, "kind": self.kind, "job": str(self.id), "attempt": self.attempt}
            self._logger = JobLogger(_handlers, facts, self.conceal)
        return self._logger

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure of this attempt is final."""
        return self.attempt >= self.max_attempts

    async def progress(
        self, fraction: float | None = None, message: str | None = None, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Put on record how far the job is: `fraction` of 1, a message of at most 1,000 characters, any detail.

        Each call is one event of the job's history: say it now and then, not in every turn of a loop.
        """
        if fraction is not None and not 0 <= fraction <= 1:
            raise InvalidArgument("Progress is a fraction from 0 to 1.")
        data: dict[str, Any] = {"progress": fraction}
        if message is not None:
            data["message"] = self.conceal.text(message)[:MESSAGE_LIMIT]
        if detail is not None:
            data["detail"] = self.conceal.value(dict(detail))
        if self.on_progress is not None:
            await self.on_progress(data)

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's event loop and wait for it: for sync handlers, in their own thread.

        `context.wait_for(context.progress(0.5))`. In an async handler use `await`.
        """
        if self.loop is None:
            work.close()
            raise InvalidArgument("There is no event loop to wait for.")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self.loop:
            work.close()
            raise InvalidArgument("Inside the event loop, use await.")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def __repr__(self) -> str:
        """Name the job and the attempt."""
        return f"Context({self.kind} {self.id}, attempt {self.attempt} of {self.max_attempts})"


def current() -> Context:
    """Return the context of the job that runs here. Raises `InvalidArgument` outside a handler."""
    try:
        found = _running.get()
    except LookupError:
        raise InvalidArgument("No job runs here.") from None
    return found if isinstance(found, Context) else found()


def promise(make: Callable[[], Context]) -> Token[Context | Callable[[], Context]]:
    """Have `current()` call `make` from now on: for the many handlers that never ask. Ends with `withdraw`."""
    return _running.set(make)


def withdraw(token: Token[Context | Callable[[], Context]]) -> None:
    """End a promise."""
    _running.reset(token)


class entered:  # noqa: N801 - read as a word: `with entered(context):`
    """Make a context the current one for a block; the worker's, around a handler."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        """Keep the context."""
        self._context = context

    def __enter__(self) -> Context:
        """Set it."""
        self._token = _running.set(self._context)
        return self._context

    def __exit__(self, *_: object) -> None:
        """Set the one before."""
        _running.reset(self._token)
