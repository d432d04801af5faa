"""Reading jobs: lists by keyset, one job, its history.

Tenant and state are found by index at any size. Whatever else is asked of finished jobs looks at the newest 10,000 and
says when it stopped there; the open jobs of one owner are always exact. An id that exists under another tenant answers
like one that does not.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - part of the answers' types, which are read at run time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import orjson

from jobledger.errors import InvalidArgument, JobGone, NotFound
from jobledger.events import Event
from jobledger.store.failures import translated
from jobledger.store.filters import OPEN_STATES, JobFilter
from jobledger.store.seen import AsOf, Seen, seen_in
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import asyncpg

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
    `next`. `as_of` is the moment that it is of, where that was asked for. `horizon`, in a page of the past: jobs from
    before it went with their partition of the log; None where none did.
    """

    jobs: list[JobRow]
    next: str | None
    looked_at: int
    stopped: bool
    as_of: AsOf | None = None
    horizon: datetime | None = None


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
    as_of: AsOf | None = None


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
    connection: Connection,
    shard: int,
    wanted: JobFilter,
    *,
    limit: int = 50,
    cursor: str | None = None,
    told: Callable[[Seen | None], AsOf | None] | None = None,
) -> JobPage:
    """Return a page of the jobs that fit, newest first; `limit` 1 to 1000, `cursor` from the page before.

    With an owner and a tenant the open jobs are exact; without `states` only the open ones are meant then. `told` makes
    the page's token of what its statement saw.

    Raises:
        InvalidArgument: the limit or the cursor is not one.
    """
    below = below_of(limit, cursor)
    if wanted.owner is None or wanted.tenant is None:
        return await _looked_at(connection, shard, wanted, limit, below, told)
    return await _of_owner(connection, shard, as_listed(wanted), limit, below, told)


def below_of(limit: int, cursor: str | None) -> UUID:
    """Return the id below which a page begins.

    Raises:
        InvalidArgument: the limit or the cursor is not one.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= PAGE_MAX:
        raise InvalidArgument(f"A page has 1 to {PAGE_MAX} jobs.")
    return _read_cursor(cursor)


def as_listed(wanted: JobFilter) -> JobFilter:
    """Return the filter as lists take it: of one owner's jobs only the open ones, where no states are asked for."""
    if wanted.owner is not None and wanted.tenant is not None and wanted.states is None:
        return wanted.within(OPEN_STATES)
    return wanted


async def show_job(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002 - the domain's word
    *,
    tenant: str | None = None,
    told: Callable[[Seen | None], AsOf | None] | None = None,
) -> JobDetail:
    """Return one job whole; `tenant` None looks at all. `told` makes the token of what the statement saw.

    Raises:
        NotFound: no such job, or it is another tenant's.
        JobGone: retention dropped the jobs of that time.
    """
    with translated():
        row = await connection.fetchrow(statement("job_show"), shard, id, tenant, told is not None)
        if row is None:
            raise await missing_job(connection, shard, id)
    return detail_in(dict(row), told(seen_in(dict(row))) if told is not None else None)


def detail_in(row: Mapping[str, Any], as_of: AsOf | None) -> JobDetail:
    """Return one job whole from the columns of `job_show`."""
    return JobDetail(
        job_in(row),
        _json(row["enqueued"]) or {},
        row["enqueued_by"],
        _json(row["progress"]),
        row["last_type"],
        _json(row["last_data"]),
        row["last_at"],
        row["last_actor"],
        as_of,
    )


async def job_history(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002 - the domain's word
    *,
    tenant: str | None = None,
    owner: str | None = None,
    heartbeats: bool = True,
    after: int = 0,
    limit: int = HISTORY_MAX,
) -> list[Event]:
    """Return the events of a job in their order, after version `after`, at most `limit` (10,000).

    With `heartbeats` those of its workers that name it are among them, and late reports; each shows this job only.

    Raises:
        NotFound: no such job, or it is another tenant's, or not of `owner`, where one is given.
        JobGone: retention dropped the jobs of that time.
    """
    limit = min(limit, HISTORY_MAX)
    with translated():
        rows = await connection.fetch(statement("job_history"), shard, id, tenant, after, limit, owner)
        events = [Event.from_row(dict(row)) for row in rows]
        if not events and after == 0:
            raise await missing_job(connection, shard, id)
        if heartbeats:
            for claimed, ended_at in _claims(events):
                beat = (claimed.data or {}).get("beat", 0)
                said = await connection.fetch(
                    statement("job_heartbeats"), shard, claimed.worker, id, beat, ended_at, HISTORY_MAX
                )
                events += [Event.from_row(dict(row)) for row in said]
            events.sort(key=_by_position)
    return events


async def ended_among(connection: Connection, shard: int, ids: Sequence[UUID]) -> set[UUID]:
    """Return which of these jobs, of any tenant, have ended; for who asks for many at a time and again and again."""
    with translated():
        return {row["id"] for row in await connection.fetch(statement("jobs_ended"), shard, ids)}


async def silent_jobs(
    connection: Connection, shard: int, *, longer_than_s: float, tenant: str | None = None, limit: int = PAGE_MAX
) -> list[SilentJob]:
    """Return running jobs whose worker has been silent for longer than so many seconds, the longest first."""
    with translated():
        rows = await connection.fetch(statement("jobs_silent"), shard, longer_than_s, tenant, limit)
    return [SilentJob(**dict(row)) for row in rows]


async def _looked_at(
    connection: Connection,
    shard: int,
    wanted: JobFilter,
    limit: int,
    below: UUID,
    told: Callable[[Seen | None], AsOf | None] | None,
) -> JobPage:
    states = [*wanted.open, *wanted.finished]
    narrow = (wanted.queue, wanted.kind, wanted.owner, wanted.tag)
    # Where the index answers, no more is looked at than is shown; one row more tells whether there is a next page.
    by_index = not wanted.narrow and (wanted.tenant is not None or wanted.states is None)
    for window in [limit + 1] if by_index else _windows(limit):
        with translated():
            if wanted.tenant is not None:
                sql, first = statement("jobs_of_tenant"), (shard, wanted.tenant, states, below)
                more = (limit + 1, set(states) >= _WAITING, told is not None)
                rows = await connection.fetch(sql, *first, window, *narrow, *more)
            else:
                sql = statement("jobs_of_all")
                rows = await connection.fetch(sql, shard, states, below, window, *narrow, limit + 1, told is not None)
        if len(rows) > limit or rows[0]["looked_at"] < window:
            break
    as_of = told(seen_in(dict(rows[0]))) if told is not None else None
    return page_in(rows, limit, window)._replace(as_of=as_of)


async def _of_owner(
    connection: Connection,
    shard: int,
    wanted: JobFilter,
    limit: int,
    below: UUID,
    told: Callable[[Seen | None], AsOf | None] | None,
) -> JobPage:
    states = [*wanted.open, *wanted.finished]
    for window in _windows(limit):
        with translated():
            rows = await connection.fetch(
                statement("jobs_of_owner"),
                *(shard, wanted.tenant, wanted.owner, states, below, wanted.queue, wanted.kind, wanted.tag),
                *(limit + 1, window, told is not None),
            )
        if len(rows) > limit or rows[0]["looked_at"] < window:
            break
    page = page_in(rows, limit, window)
    open_ones = sum(job.state in OPEN_STATES for job in page.jobs)
    as_of = told(seen_in(dict(rows[0]))) if told is not None else None
    return page._replace(looked_at=page.looked_at + open_ones, as_of=as_of)


def _windows(limit: int) -> list[int]:
    """Return how many jobs are looked at: most filters fit many of them, so a few first, then all that may be."""
    return sorted({min(8 * (limit + 1), LOOKED_AT_MAX), LOOKED_AT_MAX})


def page_in(rows: Sequence[asyncpg.Record], limit: int, window: int) -> JobPage:
    """Return a page from rows that are one more than are shown, each with how many were looked at, and the last."""
    looked_at, last_id = rows[-1]["looked_at"], rows[-1]["last_id"]
    jobs = [job_in(dict(row)) for row in rows if row["id"] is not None]
    if len(jobs) > limit:
        return JobPage(jobs[:limit], str(jobs[limit - 1].id), looked_at, False)
    stopped = looked_at == window
    return JobPage(jobs, str(last_id) if stopped else None, looked_at, stopped)


def _claims(events: list[Event]) -> list[tuple[Event, datetime | None]]:
    """Return each claim with the moment at which it ended, None while it lasts."""
    claims: list[tuple[Event, datetime | None]] = []
    for event in events:
        if event.type == "job.claimed":
            claims.append((event, None))
        elif event.type in _CLAIM_ENDS and claims and claims[-1][1] is None:
            claims[-1] = (claims[-1][0], event.at)
    return claims


def job_in(row: Mapping[str, Any]) -> JobRow:
    """Return a job from columns named like those of the view."""
    return JobRow(*(row[name] for name in JobRow._fields))


def _json(text: str | None) -> dict[str, Any] | None:
    found: dict[str, Any] | None = orjson.loads(text) if text is not None else None
    return found


def _by_position(event: Event) -> int:
    return event.position


def _read_cursor(cursor: str | None) -> UUID:
    try:
        return _TOP if cursor is None else UUID(cursor)
    except (ValueError, AttributeError, TypeError):
        raise InvalidArgument("The cursor is not one of a list of jobs.") from None


async def missing_job(connection: Connection, shard: int, id: UUID) -> NotFound:  # noqa: A002 - the domain's word
    """Return what is raised for a job that is not there: by the time in its id it may have been dropped."""
    if await connection.fetchval(statement("is_gone"), shard, id):
        return JobGone(hint="Jobs of that time are no longer kept.")
    return unknown_job()


def unknown_job() -> NotFound:
    """Return what is raised for a job that is not there, and for another tenant's."""
    return NotFound("No such job.", hint="Look at its id, and at the tenant you ask for.")
