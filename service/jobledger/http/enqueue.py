"""Enqueuing over HTTP: one job a request, or up to 10,000. Single ones of the same moment share a statement."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

import orjson
from pydantic import Field

from jobledger.errors import BadInput, Conflict, InvalidArgs, InvalidArgument, TooLarge, UnknownKind
from jobledger.http.route import Answer, Document, Routes
from jobledger.store.enqueue import BATCH_MAX
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.route import Call
    from jobledger.jobs.kind import Call as JobCall

routes = Routes("Jobs")

KEY: Final = "Idempotency-Key"
_KEY_CHARACTERS: Final = 256


class NewJob(Document):
    """A job to be enqueued; what is left out is as its kind, queue, tenant or the service has it."""

    kind: str = Field(description="The kind's name, as its application registered it.")
    args: dict[str, Any] = Field(default_factory=dict, description="The arguments by name, as the kind's schema says.")
    tenant: str | None = Field(None, description="Whose job it is; the key's own tenant where it has one.")
    owner: str | None = Field(None, description="The person that it runs for.")
    queue: str | None = None
    priority: int | None = Field(None, description="-1000 (first) to 1000 (last), within its tenant.")
    run_at: datetime | None = Field(None, description="Not before this moment.")
    kill_at: datetime | None = Field(None, description="Killed if it has not ended by then.")
    timeout: int | None = Field(None, description="Seconds of one attempt, 1 to 604800.")
    max_attempts: int | None = None
    tags: list[str] | None = None
    meta: dict[str, Any] | None = None
    key: str | None = Field(None, description="Idempotency key, kept for 24 hours: the same key enqueues once.")
    unique_key: str | None = Field(None, description="No other open job of the tenant may hold it.")
    id: UUID | None = Field(None, description="A version 7 uuid made by the caller.")


class Enqueued(Document):
    """The job's id; `created` is false where the idempotency key had made it before."""

    id: UUID
    tenant: str
    created: bool


class NewJobs(Document):
    """Jobs to be enqueued together, all or nothing."""

    jobs: Annotated[list[NewJob], Field(max_length=BATCH_MAX)]


class EnqueuedJobs(Document):
    """The jobs in the order given."""

    jobs: list[Enqueued]


_STATED: Final = tuple(name for name in NewJob.model_fields if name not in ("kind", "args", "tenant", "owner"))
_ERRORS: Final = (InvalidArgs, InvalidArgument, UnknownKind, TooLarge, Conflict)


@routes.post("/v1/jobs", needs=(Role.ENQUEUE,), body=NewJob, answer=Enqueued, status=201, errors=_ERRORS)
async def enqueue_job(call: Call[None, NewJob]) -> Answer:
    """Enqueue one job.

    With the header `Idempotency-Key` (or `key`) a repeated request makes no second job: it answers 200 with the first
    one's id, for 24 hours; the same key with other content is refused. The answer is durable.
    """
    key = call.request.headers.get(KEY)
    service = call.service
    made = await service.client.send(await _checked(call, call.body, key))
    text = f'{{"id":"{made.id}","tenant":"{made.tenant}","created":{"true" if made.created else "false"}}}'
    return Answer(text.encode(), status=201 if made.created else 200, headers={"Location": f"/v1/jobs/{made.id}"})


@routes.post("/v1/jobs/batch", needs=(Role.ENQUEUE,), body=NewJobs, answer=EnqueuedJobs, status=201, errors=_ERRORS)
async def enqueue_jobs(call: Call[None, NewJobs]) -> Answer:
    """Enqueue up to 10,000 jobs in one statement, all or nothing.

    With the header `Idempotency-Key` each job's own key is that and its place, so that the request may be repeated as
    it is. Errors name the places (from 0) of the offending jobs in `facts.items`.
    """
    key = call.request.headers.get(KEY)
    calls = []
    for place, job in enumerate(call.body.jobs):
        try:
            calls.append(await _checked(call, job, None if key is None else f"{key}/{place}", together=True))
        except BadInput as fault:
            raise type(fault)(
                f"Item {place}: {fault.message}", hint=fault.hint, detail={**fault.detail, "items": [place]}
            ) from None
    done = await call.service.client.enqueue_many(calls, actor=call.access.name)
    jobs = [{"id": one.id, "tenant": one.tenant, "created": one.created} for one in done]
    return Answer(orjson.dumps({"jobs": jobs}, default=str), status=201)


async def _checked(call: Call[None, Any], job: NewJob, key: str | None, *, together: bool = False) -> JobCall[Any]:
    """Return the job as the client takes it: within the wall, its arguments fit for what is registered."""
    stated: dict[str, Any] = {name: value for name in _STATED if (value := getattr(job, name)) is not None}
    stated["tenant"] = call.access.one_tenant(job.tenant)
    owner = call.access.owner_of(job.owner)
    if owner is not None:
        stated["owner"] = owner
    if key is not None:
        if not 1 <= len(key) <= _KEY_CHARACTERS or not key.isprintable():
            raise InvalidArgument(f"{KEY} has 1 to {_KEY_CHARACTERS} printable characters.", detail={"field": KEY})
        stated["key"] = key
    if not together:
        stated["actor"] = call.access.name
    made = await call.service.client.call(job.kind, job.args, **stated)
    schema = await call.service.schema_of(job.kind) if made.job is None else None
    if schema is not None:
        call.service.fitting.check(schema, job.args)
    return made
