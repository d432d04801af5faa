"""What operators do: acts on one job or many, pauses, defaults. Each is an event with actor and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime  # noqa: TC003 - part of the answers' types, which are read at run time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from uuid import UUID  # noqa: TC003 - part of the answers' types

import orjson

from jobledger.errors import InvalidArgument, JobGone, NotFound, UniqueTaken, WrongState
from jobledger.store.failures import translated
from jobledger.store.filters import FINISHED_STATES, OPEN_STATES, JobFilter
from jobledger.store.jobs_read import PAGE_MAX, list_jobs
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from jobledger.errors import JobledgerError
    from jobledger.store.pool import Connection, Store

Act = Literal["cancel", "kill", "retry", "unpark", "reschedule", "reprioritise", "move"]
Scope = Literal["tenant", "queue", "kind", "service"]

ACTS_ON: Final[Mapping[str, tuple[str, ...]]] = {
    "cancel": OPEN_STATES,
    "kill": OPEN_STATES,
    "retry": tuple(state for state in FINISHED_STATES if state != "succeeded"),
    "unpark": ("parked",),
    "reschedule": ("ready", "scheduled"),
    "reprioritise": ("ready", "scheduled", "parked"),
    "move": ("ready", "scheduled", "parked"),
}
"""The states in which each act is possible."""
PREVIEW_MAX: Final = 100_000
BATCH: Final = 500


class Acted(NamedTuple):
    """The answer for one job.

    `verdict` is done, requested (a running job was asked to cancel), not_found, job_gone (retention dropped what there
    may have been), wrong_state or unique_taken; `state` is the job's state now, None where it is not found.
    """

    id: UUID
    verdict: str
    state: str | None


class Preview(NamedTuple):
    """How many jobs an act would meet; with `more` there are more than were counted."""

    jobs: int
    more: bool


class Limit(NamedTuple):
    """What was set for a tenant, queue, kind or the service; times in seconds, sizes in bytes, None where unset."""

    scope: str
    name: str
    paused: bool
    max_attempts: int | None
    timeout: int | None
    kill_after: int | None
    args_limit: int | None
    result_limit: int | None
    changed_at: datetime
    changed_by: str | None
    reason: str | None


async def act(
    connection: Connection,
    shard: int,
    act: Act,
    ids: Sequence[UUID],
    *,
    actor: str | None,
    reason: str | None,
    tenant: str | None = None,
    data: Mapping[str, Any] | None = None,
    owner: str | None = None,
) -> list[Acted]:
    """Do one thing to up to 10,000 jobs in one transaction; `tenant` None acts on any tenant's, `owner` None on any's.

    `data`: retry {attempts?, run_at?, kill_at?}, reschedule {run_at, kill_at?}, reprioritise {priority}, move {queue}.

    Raises:
        InvalidArgument: the act or its data is not well formed; nothing was changed.
        NotOpen: the live tables are not rebuilt yet.
    """
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        raise InvalidArgument("The jobs of an act are a list of ids.")
    with translated():
        rows = await connection.fetch(
            statement("act"), shard, act, tenant, list(ids), actor, reason, _text(data or {}), owner
        )
    return [Acted(row["id"], row["verdict"], row["state"]) for row in rows]


def refusal(act: str, done: Acted) -> JobledgerError | None:
    """Return the error that a job's verdict is for who asked for that job alone; None where the act took place."""
    facts = {"job": str(done.id), "state": done.state, "act": act}
    if done.verdict == "not_found":
        return NotFound("There is no such job.", detail={"job": str(done.id)})
    if done.verdict == "job_gone":
        return JobGone(detail={"job": str(done.id)})
    if done.verdict == "wrong_state":
        return WrongState(f"The job is {done.state}; {act} is not possible then.", detail=facts)
    return UniqueTaken(detail=facts) if done.verdict == "unique_taken" else None


async def preview(
    connection: Connection, shard: int, act: Act, wanted: JobFilter, *, limit: int = PREVIEW_MAX
) -> Preview:
    """Count the jobs that `act_on_all` would meet now, at most `limit` of them."""
    found = _met_by(act, wanted)
    count = 0
    cursor: str | None = None
    while count <= limit:
        page = await list_jobs(connection, shard, found, limit=PAGE_MAX, cursor=cursor)
        count += len(page.jobs)
        cursor = page.next
        if cursor is None:
            break
    return Preview(min(count, limit), count > limit)


async def act_on_all(
    store: Store,
    act_: Act,
    wanted: JobFilter,
    *,
    actor: str | None,
    reason: str | None,
    data: Mapping[str, Any] | None = None,
    after_batch: Callable[[Mapping[str, int]], None] | None = None,
) -> Mapping[str, int]:
    """Do one thing to every job that fits, newest first, in batches of 500, each a transaction of its own.

    Jobs enqueued meanwhile are not met. Returns how many jobs got which verdict; `after_batch` sees the sums so far.
    Interrupted, it has done whole batches; run again, it does the rest.

    Raises:
        InvalidArgument: the act, its data or the filter is not well formed.
    """
    verdicts: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        done, cursor = await act_on_some(store, act_, wanted, cursor, actor=actor, reason=reason, data=data)
        verdicts.update(one.verdict for one in done)
        if done and after_batch is not None:
            after_batch(verdicts)
        if cursor is None:
            return verdicts


async def act_on_some(
    store: Store,
    act_: Act,
    wanted: JobFilter,
    cursor: str | None = None,
    *,
    actor: str | None,
    reason: str | None,
    data: Mapping[str, Any] | None = None,
) -> tuple[list[Acted], str | None]:
    """Do one thing to the next 500 jobs that fit, in one transaction; return the answers, and where to go on.

    Raises:
        InvalidArgument: the act, its data, the filter or the cursor is not well formed.
    """
    found = _met_by(act_, wanted)
    async with store.connection(ours=True) as connection:
        page = await list_jobs(connection, store.shard, found, limit=BATCH, cursor=cursor)
    ids = [job.id for job in page.jobs]

    async def work(connection: Connection) -> list[Acted]:
        return await act(
            *(connection, store.shard, act_, ids),
            actor=actor,
            reason=reason,
            tenant=wanted.tenant,
            data=data,
            owner=wanted.owner,
        )

    return await store.repeated(work) if ids else [], page.next


async def pause(
    connection: Connection, shard: int, scope: Scope, name: str, *, actor: str | None, reason: str | None
) -> bool:
    """Stop the claiming of a tenant's, queue's or kind's jobs; false if it was paused already."""
    with translated():
        return bool(await connection.fetchval(statement("pause"), shard, scope, name, actor, reason))


async def resume(
    connection: Connection, shard: int, scope: Scope, name: str, *, actor: str | None, reason: str | None
) -> bool:
    """End a pause; false if there was none."""
    with translated():
        return bool(await connection.fetchval(statement("resume"), shard, scope, name, actor, reason))


async def set_limit(
    connection: Connection,
    shard: int,
    scope: Scope,
    name: str,
    values: Mapping[str, int | None],
    *,
    actor: str | None,
    reason: str | None,
) -> bool:
    """Set defaults for jobs enqueued from now on; None clears one. The service's name is the empty text.

    `max_attempts` 1 to 1000, `timeout` 1 to 604800 s, `kill_after` seconds; the service's `args_limit` and
    `result_limit` 1024 bytes to 64 MiB.

    Raises:
        InvalidArgument: a limit is unknown or out of its range; nothing was changed.
    """
    with translated():
        return bool(await connection.fetchval(statement("set_limit"), shard, scope, name, _text(values), actor, reason))


async def limits(
    connection: Connection, shard: int, *, scope: Scope | None = None, name: str | None = None
) -> list[Limit]:
    """Return what was paused and set, by scope and name."""
    with translated():
        rows = await connection.fetch(statement("limits"), shard, scope, name)
    return [Limit(**dict(row)) for row in rows]


async def limits_page(
    connection: Connection,
    shard: int,
    *,
    scope: Scope | None = None,
    name: str | None = None,
    tenants: Collection[str] | None = None,
    after: tuple[str, str] = ("", ""),
    limit: int = PAGE_MAX,
) -> list[Limit]:
    """Return what was paused and set behind a scope and name; with `tenants` only what is theirs."""
    among = None if tenants is None else list(tenants)
    with translated():
        rows = await connection.fetch(statement("limits_page"), shard, scope, name, among, *after, limit)
    return [Limit(**dict(row)) for row in rows]


def _met_by(act: str, wanted: JobFilter) -> JobFilter:
    if not isinstance(act, str) or act not in ACTS_ON:
        raise InvalidArgument("There is no such act.", hint=f"Acts are: {', '.join(ACTS_ON)}.")
    if not isinstance(wanted, JobFilter):
        raise InvalidArgument("Which jobs are meant is said by a JobFilter.")
    found = wanted.within(ACTS_ON[act])
    if not found.states:
        raise InvalidArgument(
            f"{act} is not possible in any of the states asked for.",
            hint=f"It is possible in: {', '.join(ACTS_ON[act])}.",
        )
    return found


def _text(data: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(dict(data)).decode()
    except (TypeError, ValueError):
        raise InvalidArgument("The data of an act is plain JSON.") from None
