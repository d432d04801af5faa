"""Execute: one runner for each kind, made once, which takes a claimed job to its outcome.

A kind whose handler is async and takes nothing from the worker gets the shortest path: read the arguments, await the
handler, done. Everything else (context, secrets, middleware, threads, a transaction, a trace) is on the longer one.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from jobledger import tracing
from jobledger.errors import BadInput
from jobledger.jobs.cancellation import CancellationToken, Stopped
from jobledger.jobs.context import Context, entered, promise, withdraw
from jobledger.jobs.middleware import around_run
from jobledger.jobs.outcomes import Outcome as Told
from jobledger.jobs.secret import Concealer
from jobledger.worker.conclude import DONE, ended_early, failed_with, invalid_args, succeeded, told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobledger.jobs.kind import Job
    from jobledger.jobs.middleware import RunMiddleware
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pool import Connection
    from jobledger.worker.slots import Outcome, Runner, Slot
    from jobledger.worker.threads import Threads


class Host(Protocol):
    """What a runner needs of the worker that it runs in."""

    threads: Threads
    tracing: bool

    @property
    def middleware(self) -> Sequence[RunMiddleware]:
        """The app's layers around each run."""

    async def progress(self, slot: Slot, job: ClaimedJob, data: dict[str, Any]) -> None:
        """Put progress on record."""

    def slot_lost(self, job: ClaimedJob) -> None:
        """Count a thread whose handler ignores its end."""


class Ended(Exception):  # noqa: N818 - carries an outcome out of a block, is no error
    """A handler raised, or was ended early, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        super().__init__(outcome[0])
        self.outcome = outcome


def runner_for(kind: Job[..., Any], host: Host) -> Runner:
    """Return the runner of a kind whose handler runs in this process, outside a transaction."""
    needs_more = (
        not kind.is_async or kind.arguments.takes_context or kind.arguments.secrets or host.middleware or host.tracing
    )
    return _full(kind, host) if needs_more else _plain(kind, host)


def arguments_of(kind: Job[..., Any], job: ClaimedJob) -> dict[str, Any]:
    """Return the checked arguments of a job. Raises `BadInput` when they do not fit the handler."""
    args = orjson.loads(job.data).get("args")
    if args is None or args == {}:
        if not kind.arguments.schema.get("required"):
            return {}
        args = {}
    return kind.arguments.load(orjson.dumps(args))


def _plain(kind: Job[..., Any], host: Host) -> Runner:
    function = kind.function
    policy = kind.declaration.policy

    async def run(job: ClaimedJob, slot: Slot, /) -> Outcome:
        try:
            values = arguments_of(kind, job)
        except BadInput as error:
            return invalid_args(error)
        promised = promise(_Promised(kind, host, job, slot))
        try:
            result = await function(**values)
            if result is None:
                return DONE
            return told(job, slot, result) if isinstance(result, Told) else succeeded(kind, result)
        except Told as outcome:
            return told(job, slot, outcome)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the outcome of its job
            if slot.ending is not None:
                return ended_early(job, policy, slot.ending, error)
            return failed_with(job, policy, error)
        except (Stopped, SystemExit) as error:
            return ended_early(job, policy, slot.ending, None) if slot.ending else failed_with(job, policy, error)
        finally:
            withdraw(promised)

    return run


class _Promised:
    """The context of a handler that does not take it, made when something in it asks."""

    __slots__ = ("_context", "_host", "_job", "_kind", "_slot")

    def __init__(self, kind: Job[..., Any], host: Host, job: ClaimedJob, slot: Slot) -> None:
        self._kind = kind
        self._host = host
        self._job = job
        self._slot = slot
        self._context: Context | None = None

    def __call__(self) -> Context:
        if self._context is None:
            self._context = context_of(self._kind, self._host, self._job, self._slot)
        return self._context


def _full(kind: Job[..., Any], host: Host) -> Runner:
    async def run(job: ClaimedJob, slot: Slot, /) -> Outcome:
        try:
            return await handled(kind, host, job, slot)
        except Ended as ended:
            return ended.outcome

    return traced(run) if host.tracing else run


def traced(runner: Runner) -> Runner:
    """Return the runner inside a span of its own, linked to the one that the job was enqueued in."""

    async def run(job: ClaimedJob, slot: Slot, /) -> Outcome:
        with tracing.running(
            job=job.id,
            tenant=job.tenant,
            queue=job.queue,
            kind=job.kind,
            attempt=job.attempt,
            enqueued=orjson.loads(job.data).get("trace"),
        ) as span:
            try:
                outcome = await runner(job, slot)
            except asyncio.CancelledError:
                tracing.ended(span, slot.ending.value if slot.ending else "cancelled")
                raise
            error = (outcome[1] or {}).get("error") or {}
            tracing.ended(span, outcome[0], error.get("type"))
            return outcome

    return run


async def handled(
    kind: Job[..., Any], host: Host, job: ClaimedJob, slot: Slot, connection: Connection | None = None
) -> Outcome:
    """Run a job's handler with all that the worker gives it, and return the outcome of what it returned.

    Raises:
        Ended: the handler raised, with the outcome of that; what it wrote is not to be kept.
        asyncio.CancelledError: it was ended early.
    """
    policy = kind.declaration.policy
    conceal: Concealer | None = None
    try:
        values = arguments_of(kind, job)
    except BadInput as error:
        raise Ended(invalid_args(error)) from None
    try:
        if kind.arguments.secrets:
            conceal = await kind.arguments.resolve(values, kind.app.resolvers)
        context = context_of(kind, host, job, slot, conceal, connection)
        result = await _called(kind, host, job, context, values)
        return told(job, slot, result, conceal) if isinstance(result, Told) else succeeded(kind, result, conceal)
    except Told as outcome:
        raise Ended(told(job, slot, outcome, conceal)) from None
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is the outcome of its job
        if slot.ending is not None:
            raise Ended(ended_early(job, policy, slot.ending, error)) from None
        raise Ended(failed_with(job, policy, error, conceal)) from None
    except (Stopped, SystemExit) as error:
        if slot.ending is not None:
            raise Ended(ended_early(job, policy, slot.ending, None)) from None
        raise Ended(failed_with(job, policy, error, conceal)) from None


def context_of(
    kind: Job[..., Any],
    host: Host,
    job: ClaimedJob,
    slot: Slot,
    conceal: Concealer | None = None,
    connection: Connection | None = None,
) -> Context:
    """Return the context of a job for its handler, and give the slot its token."""
    stated = orjson.loads(job.data)
    token = CancellationToken()
    context = Context(
        id=job.id,
        tenant=job.tenant,
        queue=job.queue,
        kind=kind.name,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        owner=job.owner,
        tags=tuple(stated.get("tags") or ()),
        meta=stated.get("meta") or {},
        cancellation=token,
        on_progress=functools.partial(host.progress, slot, job),
        transaction=connection,
        loop=asyncio.get_running_loop(),
        conceal=conceal or Concealer(),
    )
    if slot.job is job:
        slot.token = token
        if slot.ending is not None:
            token.set(slot.ending.value)
    return context


async def _called(kind: Job[..., Any], host: Host, job: ClaimedJob, context: Context, values: dict[str, Any]) -> Any:
    call = _call(kind, host, job, values)
    if host.middleware:
        call = around_run(host.middleware, call)
    with entered(context):
        return await call(context)


def _call(
    kind: Job[..., Any], host: Host, job: ClaimedJob, values: dict[str, Any]
) -> Callable[[Context], Awaitable[Any]]:
    function = kind.function
    if kind.arguments.takes_context:
        bound = functools.partial(lambda context: function(context, **values))
    else:
        bound = functools.partial(lambda _: function(**values))
    if kind.is_async:
        return bound
    return lambda context: host.threads.run(functools.partial(bound, context), lambda: host.slot_lost(job))
