"""Jobs over HTTP: lists with every filter, one job whole, its history, how it ended; as they are and as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

import orjson
from pydantic import Field

from jobledger.errors import JobGone, MomentLost
from jobledger.events.cloudevent import CloudEvent
from jobledger.http.bookmark import closed, marks_for, opened
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.wire import document_of, json_of
from jobledger.http.words import Name  # noqa: TC001 - pydantic reads the annotations
from jobledger.order.filters import shown_by
from jobledger.store.failures import translated
from jobledger.store.filters import FINISHED_STATES
from jobledger.store.jobs_read import HISTORY_MAX, PAGE_MAX, JobDetail, JobPage, missing_job, unknown_job
from jobledger.store.jobs_read import job_history as read_history
from jobledger.store.roles import Role
from jobledger.store.statements import statement

if TYPE_CHECKING:
    import asyncpg

    from jobledger.http.route import Call

routes = Routes("Jobs")

WAIT_MOST_S: Final = 60
"""Seconds that one request for a result may wait."""

State = Literal[
    "scheduled", "blocked", "ready", "running", "suspended", "parked", "succeeded", "failed", "killed", "cancelled"
]
Cursor = Annotated[str, Field(min_length=1, max_length=256)]


class Whose(Document):
    """Which tenant is looked at."""

    tenant: Name | None = Field(None, description="The tenant; without it a key's only one, or all that there are.")


class Then(Whose):
    """Of which moment the answer is to be."""

    as_of: Annotated[str, Field(min_length=1, max_length=100_000)] | None = Field(
        None, description="A moment of the past: an answer's token, a cursor of the feed, or a time with its zone."
    )
    token: bool = Field(False, description="Whether the answer carries a token, by which it can be asked for again.")


class Listed(Then):
    """A page of the jobs that fit everything that is given."""

    state: list[State] | None = Field(None, description="One or several; every state where none is given.")
    queue: Name | None = None
    kind: Name | None = None
    owner: Name | None = Field(None, description="With a tenant and no state: the owner's open jobs.")
    tag: Name | None = None
    limit: int = Field(50, ge=1, le=PAGE_MAX)
    cursor: Cursor | None = Field(None, description="`next` of the page before.")


class Recounted(Whose):
    """Which events of a job are told."""

    heartbeats: bool = Field(False, description="With those of its workers that name it, and late reports.")
    after: int = Field(0, ge=0, le=2**31 - 1, description="Only events with a higher `streamversion`.")
    limit: int = Field(1_000, ge=1, le=HISTORY_MAX)


class Awaited(Whose):
    """How long a request waits for a job's end."""

    wait_s: float = Field(0, ge=0, le=WAIT_MOST_S, description="Seconds to wait for its end; 0 answers at once.")


class History(Document):
    """A job's events in order; `next` is the `after` of the following page, null at the end."""

    events: list[CloudEvent]
    next: int | None


class Outcome(Document):
    """How a job stands; `result` once it has succeeded, and why it ended where it did not.

    `type` is the event that ended it, `rule` what killed it; `reason` and `actor` are those of who cancelled it.
    """

    id: UUID
    tenant: str
    state: State
    attempt: int
    result: Any = None
    type: str | None = None
    error_type: str | None = None
    error_class: str | None = None
    rule: str | None = None
    reason: str | None = None
    actor: str | None = None


@routes.get(
    "/v1/jobs", needs=(Role.READ,), query=Listed, answer=document_of(JobPage), cached=True, errors=(MomentLost,)
)
async def list_jobs(call: Call[Listed, None]) -> Answer:
    """List jobs, newest first, as they are or as they were.

    All of a tenant's jobs in a state are found by index. Other filters look at the newest 10,000 finished jobs, and
    `stopped` says where they ended there: go on by `next`. The open jobs of one owner are always exact.
    """
    asked, tenant = call.query, call.access.tenant(call.query.tenant)
    marks = await marks_for(call, "jobs", tenant)
    page = await call.service.client.jobs(
        tenant=tenant,
        states=asked.state,
        queue=asked.queue,
        kind=asked.kind,
        owner=call.access.owner_of(asked.owner),
        tag=asked.tag,
        limit=asked.limit,
        cursor=opened(marks, asked.cursor),
        as_of=asked.as_of,
        token=asked.token,
    )
    if marks is not None:
        # How many jobs were looked at, and at which that ended, tells of other owners' jobs.
        page = page._replace(looked_at=len(page.jobs), next=closed(marks, page.next))
    return Answer(json_of(page))


@routes.get(
    "/v1/jobs/{job}",
    needs=(Role.READ,),
    query=Then,
    answer=document_of(JobDetail),
    cached=True,
    errors=(JobGone, MomentLost),
)
async def show_job(call: Call[Then, None]) -> Answer:
    """Show one job whole: its state, what it was enqueued with, its progress, how its last attempt ended.

    Arguments that their kind marks as masked are not told. With `as_of` it is as it was at that moment.
    """
    asked = call.query
    detail = await call.service.client.job(
        call.id("job"), tenant=call.access.tenant(asked.tenant), as_of=asked.as_of, token=asked.token
    )
    _must_be_own(call, detail.job.owner)
    return Answer(json_of(detail))


@routes.get(
    "/v1/jobs/{job}/history", needs=(Role.READ,), query=Recounted, answer=History, cached=True, errors=(JobGone,)
)
async def job_history(call: Call[Recounted, None]) -> Answer:
    """Tell every event of a job, in order, as CloudEvents."""
    asked, job, store = call.query, call.id("job"), call.service.store
    mine: dict[str, Any] = {"tenant": call.access.tenant(asked.tenant), "owner": call.access.owner}
    async with store.connection(ours=True) as connection:
        events = await read_history(
            connection,
            store.shard,
            job,
            heartbeats=asked.heartbeats,
            after=asked.after,
            limit=asked.limit,
            **mine,
        )
        if not events:
            # Behind its last event a job has none, but it is there.
            await read_history(connection, store.shard, job, heartbeats=False, limit=1, **mine)
    own = [event.version for event in events if event.stream_id == job]
    whole = call.access.tenants is None and call.access.owner is None
    mask = call.service.client._shown  # noqa: SLF001 - as the client itself masks what it tells
    shown = [await shown_by(mask, event) for event in events]
    told = [orjson.Fragment(CloudEvent.of(event, whole=whole).json_text()) for event in shown]
    return Answer(json_of({"events": told, "next": own[-1] if len(own) == asked.limit else None}))


@routes.get(
    "/v1/jobs/{job}/result",
    needs=(Role.READ,),
    query=Awaited,
    answer=Outcome,
    also=(202,),
    errors=(JobGone,),
)
async def job_result(call: Call[Awaited, None]) -> Answer:
    """Tell how a job ended, and wait for it if asked to.

    200 with `state` and `result` once it has ended, whichever way; 202 while it has not, after at most `wait_s`.
    """
    row = await _outcome(call)
    if row["state"] not in FINISHED_STATES and call.query.wait_s > 0:
        with call.service.hold(call.query.wait_s):
            await call.service.endings.wait(call.id("job"), call.query.wait_s)
        row = await _outcome(call)
    told = {name: row[name] for name in Outcome.model_fields if name not in ("id", "result")}
    result = orjson.Fragment(row["result"]) if row["has_result"] else None
    return Answer(
        json_of({"id": call.id("job"), **told, "result": result}),
        status=200 if row["state"] in FINISHED_STATES else 202,
    )


async def _outcome(call: Call[Awaited, None]) -> asyncpg.Record:
    store, job = call.service.store, call.id("job")
    tenant = call.access.tenant(call.query.tenant)
    async with store.connection(ours=True) as connection:
        with translated():
            row = await connection.fetchrow(statement("outcome"), store.shard, job, tenant)
        if row is None:
            raise await missing_job(connection, store.shard, job)
    _must_be_own(call, row["owner"])
    return row


def _must_be_own(call: Call[Any, Any], owner: str | None) -> None:
    """Raise what is raised for a job that is not there, where it is another owner's: a job keeps its owner for life."""
    if call.access.owner is not None and owner != call.access.owner:
        raise unknown_job()
