"""Reading jobs: lists by keyset, one job, its history.

Tenant and state are found by index at any size. Whatever else is asked of finished jobs looks at the newest 10,000 and
says when it stopped there; the open jobs of one owner are always exact. An id that exists under another tenant answers
like one that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import orjson

from jobledger.errors import InvalidArgument, NotFound
from jobledger.events import Event
from jobledger.store.failures import translated
from jobledger.store.filters import OPEN_STATES, JobFilter
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jobledger.store.pool import Connection

LOOKED_AT_MAX: Final = 10_000
PAGE_MAX: Final = 1_000
HISTORY_MAX: Final = 10_000
_TOP = UUID(int=2**128 - 1)
_WAITING = frozenset(OPEN_STATES) - {"running"}
_CLAIM_ENDS = frozenset(
    {
        *("job.succeeded", "job.failed", "job.lease_expired", "job.snoozed", "job.interrupted", "job.released"),
        *("job.parked", "job.cancelled", "job.killed"),
    }
)


class JobRow(NamedTuple):
    """One job as the view `jobledger.jobs` shows it."""

    id: UUID
    tenant: str
    queue: str
    kind: str
    state: str
    priority: int
    attempt: int
    max_attempts: int
    owner: str | None
    head: int
    run_at: datetime | None
    kill_at: datetime | None
    worker: UUID | None
    claim: int | None
    claimed_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    enqueued_at: datetime


class JobPage(NamedTuple):
    """Jobs, newest first. `next` is the cursor of the following page, None at the end.

    `looked_at` rows were read for it; with `stopped` the search ended there although older jobs may fit: go on by
    `next`.
    """

    jobs: list[JobRow]
    next: str | None
    looked_at: int
    stopped: bool


class JobDetail(NamedTuple):
    """One job whole: its row, what it was enqueued with, its last progress and how its last attempt ended."""

    job: JobRow
    enqueued: dict[str, Any]
    enqueued_by: str | None
    progress: dict[str, Any] | None
    last_type: str | None
    last_data: dict[str, Any] | None
    last_at: datetime | None
    last_actor: str | None


class SilentJob(NamedTuple):
    """A running job whose worker has not been heard of since `seen_at`."""

    id: UUID
    tenant: str
    queue: str
    kind: str
    attempt: int
    claimed_at: datetime
    worker: UUID
    seen_at: datetime
    lease_until: datetime


async def list_jobs(
    connection: Connection, shard: int, wanted: JobFilter, *, limit: int = 50, cursor: str | None = None
) -> JobPage:
    """Return a page of the jobs that fit, newest first; `limit` 1 to 1000, `cursor` from the page before.

    With an owner and a tenant the open jobs are exact; without `states` only the open ones are meant then.

    Raises:
        InvalidArgument: the limit or the cursor is not one.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= PAGE_MAX:
        raise InvalidArgument(f"A page has 1 to {PAGE_MAX} jobs.")
    below = _read_cursor(cursor)
    if wanted.owner is None or wanted.tenant is None:
        return await _looked_at(connection, shard, wanted, limit, below)
    if wanted.states is None:
        wanted = wanted.within(OPEN_STATES)
    page = JobPage([], None, 0, False)
    if wanted.finished:
        page = await _looked_at(connection, shard, wanted.within(wanted.finished), limit, below)
    if not wanted.open:
        return page
    return _merged(page, await _of_owner(connection, shard, wanted, limit, below), limit)


async def show_job(connection: Connection, shard: int, id: UUID, *, tenant: str | None = None) -> JobDetail:  # noqa: A002
    """Return one job whole; `tenant` None looks at all.

    Raises:
        NotFound: no such job, or it is another tenant's.
    """
    with translated():
        row = await connection.fetchrow(statement("job_show"), shard, id, tenant)
    if row is None:
        raise _unknown()
    return JobDetail(
        _job(dict(row)),
        _json(row["enqueued"]) or {},
        row["enqueued_by"],
        _json(row["progress"]),
        row["last_type"],
        _json(row["last_data"]),
        row["last_at"],
        row["last_actor"],
    )


async def job_history(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002 - the domain's word
    *,
    tenant: str | None = None,
    heartbeats: bool = True,
    after: int = 0,
    limit: int = HISTORY_MAX,
) -> list[Event]:
    """Return the events of a job in their order, after version `after`, at most `limit` (10,000).

    With `heartbeats` those of its workers that name it are among them, and late reports; each shows this job only.

    Raises:
        NotFound: no such job, or it is another tenant's.
    """
    limit = min(limit, HISTORY_MAX)
    with translated():
        rows = await connection.fetch(statement("job_history"), shard, id, tenant, after, limit)
        events = [Event.from_row(dict(row)) for row in rows]
        if not events and after == 0:
            raise _unknown()
        if heartbeats:
            for claimed, ended_at in _claims(events):
                beat = (claimed.data or {}).get("beat", 0)
                said = await connection.fetch(
                    statement("job_heartbeats"), shard, claimed.worker, id, beat, ended_at, HISTORY_MAX
                )
                events += [Event.from_row(dict(row)) for row in said]
            events.sort(key=_by_position)
    return events


async def silent_jobs(
    connection: Connection, shard: int, *, longer_than_s: float, tenant: str | None = None, limit: int = PAGE_MAX
) -> list[SilentJob]:
    """Return running jobs whose worker has been silent for longer than so many seconds, the longest first."""
    with translated():
        rows = await connection.fetch(statement("jobs_silent"), shard, longer_than_s, tenant, limit)
    return [SilentJob(**dict(row)) for row in rows]


async def _looked_at(connection: Connection, shard: int, wanted: JobFilter, limit: int, below: UUID) -> JobPage:
    states = [*wanted.open, *wanted.finished]
    narrow = (wanted.queue, wanted.kind, wanted.owner, wanted.tag)
    # Where the index answers, no more is looked at than is shown; one row more tells whether there is a next page.
    by_index = not wanted.narrow and wanted.tenant is not None
    window = limit + 1 if by_index else LOOKED_AT_MAX
    with translated():
        if wanted.tenant is not None:
            sql, first = statement("jobs_of_tenant"), (shard, wanted.tenant, states, below)
            rows = await connection.fetch(sql, *first, window, *narrow, limit + 1, set(states) >= _WAITING)
        else:
            rows = await connection.fetch(statement("jobs_of_all"), shard, states, below, window, *narrow, limit + 1)
    looked_at, last_id = rows[0]["looked_at"], rows[0]["last_id"]
    jobs = [_job(dict(row)) for row in rows if row["id"] is not None]
    if len(jobs) > limit:
        return JobPage(jobs[:limit], str(jobs[limit - 1].id), looked_at, False)
    stopped = looked_at == window
    return JobPage(jobs, str(last_id) if stopped else None, looked_at, stopped)


async def _of_owner(connection: Connection, shard: int, wanted: JobFilter, limit: int, below: UUID) -> list[JobRow]:
    with translated():
        rows = await connection.fetch(
            statement("jobs_of_owner"),
            *(shard, wanted.tenant, wanted.owner, wanted.open, below, wanted.queue, wanted.kind, wanted.tag),
            limit + 1,
        )
    return [_job(dict(row)) for row in rows]


def _merged(finished: JobPage, owned: list[JobRow], limit: int) -> JobPage:
    """Merge exact open jobs into a page of finished ones; what lies beyond that page's end waits for the next one."""
    floor = UUID(finished.next) if finished.next is not None else UUID(int=0)
    jobs = sorted([*finished.jobs, *(job for job in owned if job.id > floor)], key=_newest_first, reverse=True)
    looked_at = finished.looked_at + len(owned)
    if len(jobs) > limit:
        return JobPage(jobs[:limit], str(jobs[limit - 1].id), looked_at, False)
    return JobPage(jobs, finished.next, looked_at, finished.stopped)


def _claims(events: list[Event]) -> list[tuple[Event, datetime | None]]:
    """Return each claim with the moment at which it ended, None while it lasts."""
    claims: list[tuple[Event, datetime | None]] = []
    for event in events:
        if event.type == "job.claimed":
            claims.append((event, None))
        elif event.type in _CLAIM_ENDS and claims and claims[-1][1] is None:
            claims[-1] = (claims[-1][0], event.at)
    return claims


def _job(row: Mapping[str, Any]) -> JobRow:
    return JobRow(*(row[name] for name in JobRow._fields))


def _json(text: str | None) -> dict[str, Any] | None:
    found: dict[str, Any] | None = orjson.loads(text) if text is not None else None
    return found


def _by_position(event: Event) -> int:
    return event.position


def _newest_first(job: JobRow) -> bytes:
    return job.id.bytes


def _read_cursor(cursor: str | None) -> UUID:
    try:
        return _TOP if cursor is None else UUID(cursor)
    except (ValueError, AttributeError, TypeError):
        raise InvalidArgument("The cursor is not one of a list of jobs.") from None


def _unknown() -> NotFound:
    return NotFound("No such job.", hint="Look at its id, and at the tenant you ask for.")
