"""Operators' acts over HTTP: on one job, on many by their ids, or on all that fit a filter, with a preview."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import AwareDatetime, Field, model_validator

from jobledger.errors import JobGone, UniqueTaken, WrongState
from jobledger.http.bookmark import closed, marks_for, opened
from jobledger.http.jobs import Cursor, State, Whose
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.wire import document_of, json_of
from jobledger.http.words import Name  # noqa: TC001 - pydantic reads the annotations
from jobledger.store import operate
from jobledger.store.filters import JobFilter
from jobledger.store.operate import Acted, Preview
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.route import Call
    from jobledger.store.pool import Connection

routes = Routes("Acts")

WORKS_S: Final = 10.0
"""Seconds after which an act on all that fit a filter answers, and says where to go on."""
IDS_MOST: Final = 10_000
_ONE: Final[dict[str, Any]] = {
    "needs": (Role.OPERATE,),
    "query": Whose,
    "answer": document_of(Acted),
    "errors": (JobGone, WrongState, UniqueTaken),
}
"""What the acts on one job have in common."""

Reason = Annotated[str, Field(min_length=1, max_length=2_000, description="Why, for the record.")]


class Because(Document):
    """Why an operator acts."""

    reason: Reason


class Retried(Because):
    """How a job is to run again: with `attempts` new ones (as many as it had), not before `run_at`."""

    attempts: int | None = Field(None, ge=1, le=1_000)
    run_at: AwareDatetime | None = None
    kill_at: AwareDatetime | None = None


class Rescheduled(Because):
    """When a waiting job is to run; its kill date moves with it where it is not given."""

    run_at: AwareDatetime
    kill_at: AwareDatetime | None = None


class Reprioritised(Because):
    """Which priority a waiting job is to have."""

    priority: int = Field(ge=-1_000, le=1_000, description="-1000 (first) to 1000 (last).")


class Moved(Because):
    """To which queue a waiting job goes."""

    queue: Name


class Data(Document):
    """What an act needs to know: that of the act on a single job, without the reason."""

    attempts: int | None = Field(None, ge=1, le=1_000, description="Of retry.")
    run_at: AwareDatetime | None = Field(None, description="Of retry and reschedule.")
    kill_at: AwareDatetime | None = Field(None, description="Of retry and reschedule.")
    priority: int | None = Field(None, ge=-1_000, le=1_000, description="Of reprioritise.")
    queue: Name | None = Field(None, description="Of move.")


class Filter(Document):
    """Which jobs are meant: those that fit everything that is given, in states in which the act is possible."""

    states: list[State] | None = None
    queue: Name | None = None
    kind: Name | None = None
    owner: Name | None = None
    tag: Name | None = None


class Which(Document):
    """An act on jobs of one tenant, or (by a key of all) of every one."""

    act: Literal["cancel", "kill", "retry", "unpark", "reschedule", "reprioritise", "move"]
    tenant: Name | None = None


class Meant(Which):
    """An act, and the jobs that a filter means."""

    filter: Filter = Field(default_factory=Filter)


class ManyActs(Which):
    """An act on many jobs: on those of `ids`, or on all that fit `filter`, from `cursor` on."""

    filter: Filter | None = None
    ids: list[UUID] | None = Field(None, min_length=1, max_length=IDS_MOST)
    cursor: Cursor | None = Field(None, description="`next` of the answer before.")
    reason: Reason
    data: Data = Field(default_factory=Data)

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if (self.filter is None) == (self.ids is None) or (self.cursor is not None and self.ids is not None):
            raise ValueError("either ids or a filter says which jobs are meant; a cursor goes with a filter")
        return self


class Verdicts(Document):
    """How many jobs got which verdict: done, requested, not_found, job_gone, wrong_state, unique_taken.

    `next`: there may be more that fit; ask again with it as the `cursor`.
    """

    verdicts: dict[str, int]
    next: str | None = None


@routes.post("/v1/jobs/acts/preview", needs=(Role.OPERATE,), body=Meant, answer=document_of(Preview))
async def preview_acts(call: Call[None, Meant]) -> Answer:
    """Count the jobs that an act on a filter would meet now, up to 100,000 of them."""
    store = call.service.store
    async with store.connection(ours=True) as connection:
        found = await operate.preview(connection, store.shard, call.body.act, _wanted(call, call.body.filter))
    return Answer(json_of(found))


@routes.post("/v1/jobs/acts", needs=(Role.OPERATE,), body=ManyActs, answer=Verdicts)
async def act_on_jobs(call: Call[None, ManyActs]) -> Verdicts:
    """Do one thing to many jobs.

    By `ids`, at most 10,000, it is one transaction. By `filter` it is done newest first in transactions of 500 jobs
    each; after about 10 s it answers, and `next` is the cursor by which to go on. Jobs enqueued meanwhile are not met.
    Each act is an event with your name and the reason.
    """
    body, service = call.body, call.service
    data = body.data.model_dump(mode="json", exclude_none=True)
    how: dict[str, Any] = {"actor": call.access.name, "reason": body.reason, "data": data}
    if body.ids is not None:
        done = await _acted(call, body.act, body.ids, body.tenant, how)
        return Verdicts(verdicts=Counter(one.verdict for one in done))
    wanted = _wanted(call, body.filter or Filter())
    marks = await marks_for(call, "acts", wanted.tenant)
    verdicts: Counter[str] = Counter()
    cursor, until = opened(marks, body.cursor), time.monotonic() + WORKS_S
    while True:
        some, cursor = await operate.act_on_some(service.store, body.act, wanted, cursor, **how)
        verdicts.update(one.verdict for one in some)
        if cursor is None or time.monotonic() > until or service.draining.is_set():
            return Verdicts(verdicts=verdicts, next=closed(marks, cursor))


@routes.post("/v1/jobs/{job}/cancel", body=Because, **_ONE)
async def cancel_job(call: Call[Whose, Because]) -> Answer:
    """Cancel a job: one that waits at once, one that runs by asking its handler (verdict `requested`)."""
    return await _act(call, "cancel", call.body)


@routes.post("/v1/jobs/{job}/kill", body=Because, **_ONE)
async def kill_job(call: Call[Whose, Because]) -> Answer:
    """End a job at once, whatever its handler does; a report that comes later changes nothing."""
    return await _act(call, "kill", call.body)


@routes.post("/v1/jobs/{job}/retry", body=Retried, **_ONE)
async def retry_job(call: Call[Whose, Retried]) -> Answer:
    """Let a failed, killed or cancelled job run again."""
    return await _act(call, "retry", call.body)


@routes.post("/v1/jobs/{job}/unpark", body=Because, **_ONE)
async def unpark_job(call: Call[Whose, Because]) -> Answer:
    """Let a parked job go on."""
    return await _act(call, "unpark", call.body)


@routes.post("/v1/jobs/{job}/reschedule", body=Rescheduled, **_ONE)
async def reschedule_job(call: Call[Whose, Rescheduled]) -> Answer:
    """Let a waiting job run at another time."""
    return await _act(call, "reschedule", call.body)


@routes.post("/v1/jobs/{job}/reprioritise", body=Reprioritised, **_ONE)
async def reprioritise_job(call: Call[Whose, Reprioritised]) -> Answer:
    """Give a waiting job another priority."""
    return await _act(call, "reprioritise", call.body)


@routes.post("/v1/jobs/{job}/move", body=Moved, **_ONE)
async def move_job(call: Call[Whose, Moved]) -> Answer:
    """Move a waiting job to another queue."""
    return await _act(call, "move", call.body)


async def _act(call: Call[Whose, Any], act: operate.Act, body: Because) -> Answer:
    data = body.model_dump(mode="json", exclude={"reason"}, exclude_none=True)
    how: dict[str, Any] = {"actor": call.access.name, "reason": body.reason, "data": data}
    (done,) = await _acted(call, act, [call.id("job")], call.query.tenant, how)
    refused = operate.refusal(act, done)
    if refused is not None:
        raise refused
    return Answer(json_of(done))


async def _acted(
    call: Call[Any, Any], act: operate.Act, ids: list[UUID], tenant: str | None, how: dict[str, Any]
) -> list[Acted]:
    """Act in one transaction, on the bearer's own jobs only: the statement itself looks at tenant and owner."""
    store, access = call.service.store, call.access
    mine, owner = access.tenant(tenant), access.owner

    async def work(connection: Connection) -> list[Acted]:
        return await operate.act(connection, store.shard, act, ids, tenant=mine, owner=owner, **how)

    return await store.repeated(work)


def _wanted(call: Call[Any, Meant] | Call[Any, ManyActs], given: Filter) -> JobFilter:
    owner = call.access.owner_of(given.owner)
    facts = given.model_dump(exclude={"owner"})
    return JobFilter(tenant=call.access.tenant(call.body.tenant), owner=owner, **facts)
