"""Enqueuing over HTTP: one job a request, or up to 10,000. Single ones of the same moment share a statement."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

import orjson
from pydantic import Field

from jobledger.errors import BadInput, Conflict, InvalidArgs, InvalidArgument, TooLarge, UnknownKind
from jobledger.http.intake import json_text
from jobledger.http.route import Answer, Document, Routes
from jobledger.jobs.middleware import around_enqueue, send_together
from jobledger.lifecycle.backoff import from_data
from jobledger.store import enqueue as core
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from jobledger.http.route import Call

routes = Routes("Jobs")

KEY: Final = "Idempotency-Key"
_KEY_CHARACTERS: Final = 256
_STRICT: Final = "Whether a kind is refused that nobody has registered yet."
_TRACE: Final = ("traceparent", "tracestate")
_HEADERS: Final = {
    KEY: "The same key makes the same only once, for 24 hours.",
    "traceparent": "The span that enqueues (W3C Trace Context): the run is linked to it.",
}


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
    backoff: dict[str, Any] | None = Field(
        None, description="In place of the kind's: `type` (exponential, linear, fixed or table) and its parameters."
    )


class OneNewJob(NewJob):
    """A job to be enqueued by itself."""

    strict: bool = Field(True, description=_STRICT)


class Enqueued(Document):
    """The job's id; `created` is false where the idempotency key had made it before."""

    id: UUID
    tenant: str
    created: bool


class NewJobs(Document):
    """Jobs to be enqueued together, all or nothing."""

    jobs: Annotated[list[NewJob], Field(max_length=core.BATCH_MAX)]
    strict: bool = Field(True, description=_STRICT)


class EnqueuedJobs(Document):
    """The jobs in the order given."""

    jobs: list[Enqueued]


_STATED: Final = frozenset(NewJob.model_fields) - {"kind", "args", "tenant", "owner"}
_ERRORS: Final = (InvalidArgs, InvalidArgument, UnknownKind, TooLarge, Conflict)


@routes.post(
    "/v1/jobs",
    needs=(Role.ENQUEUE,),
    body=OneNewJob,
    answer=Enqueued,
    status=201,
    also=(200,),
    errors=_ERRORS,
    headers=_HEADERS,
)
async def enqueue_job(call: Call[None, OneNewJob]) -> Answer:
    """Enqueue one job.

    With the header `Idempotency-Key` (or `key`) a repeated request makes no second job: it answers 200 with the first
    one's id, for 24 hours; the same key with other content is refused. The answer is durable.
    """
    service, job = call.service, await _job(call, call.body, call.request.headers.get(KEY))
    strict = service.strict and call.body.strict

    def send(new: core.NewJob) -> Awaitable[core.Enqueued]:
        return service.door.enqueue(new, actor=call.access.name, strict=strict, conn=None)

    made = await around_enqueue(service.layers, send)(job)
    name, created = str(made.id), "true" if made.created else "false"
    text = f'{{"id":"{name}","tenant":"{job.tenant}","created":{created}}}'
    return Answer(text.encode(), status=201 if made.created else 200, headers={"Location": f"/v1/jobs/{name}"})


@routes.post(
    "/v1/jobs/batch",
    needs=(Role.ENQUEUE,),
    body=NewJobs,
    answer=EnqueuedJobs,
    status=201,
    errors=_ERRORS,
    headers=_HEADERS,
)
async def enqueue_jobs(call: Call[None, NewJobs]) -> Answer:
    """Enqueue up to 10,000 jobs in one statement, all or nothing.

    With the header `Idempotency-Key` each job's own key is that and its place, so that the request may be repeated as
    it is. Errors name the places (from 0) of the offending jobs in `facts.items`.
    """
    key = call.request.headers.get(KEY)
    service, items = call.service, []
    strict = service.strict and call.body.strict
    for place, job in enumerate(call.body.jobs):
        try:
            items.append(await _job(call, job, None if key is None else f"{key}/{place}"))
        except BadInput as fault:
            raise type(fault)(
                f"Item {place}: {fault.message}", hint=fault.hint, detail={**fault.detail, "items": [place]}
            ) from None

    async def send_all(batch: list[core.NewJob]) -> list[core.Enqueued]:
        return await service.door.enqueue_many(batch, actor=call.access.name, strict=strict, conn=None)

    done = await send_together(service.layers, items, send_all)
    jobs = [
        {"id": str(one.id), "tenant": job.tenant, "created": one.created} for one, job in zip(done, items, strict=True)
    ]
    return Answer(orjson.dumps({"jobs": jobs}), status=201)


async def _job(call: Call[None, Any], job: NewJob, key: str | None) -> core.NewJob:
    """Return the job as it is enqueued: within the wall, its arguments fit for what is registered."""
    service = call.service
    stated: dict[str, Any] = {
        name: value for name in job.model_fields_set & _STATED if (value := getattr(job, name)) is not None
    }
    if job.backoff is not None:
        from_data(job.backoff)
    if key is not None:
        if not 1 <= len(key) <= _KEY_CHARACTERS or not key.isprintable():
            raise InvalidArgument(f"{KEY} has 1 to {_KEY_CHARACTERS} printable characters.", detail={"field": KEY})
        stated["key"] = key
    owner = call.access.owner_of(job.owner)
    if owner is not None:
        stated["owner"] = owner
    if call.access.owner is not None:
        stated |= {name: call.access.own(stated[name]) for name in ("key", "unique_key") if name in stated}
    trace = {name: text for name in _TRACE if (text := call.request.headers.get(name)) is not None}
    if trace:
        stated["trace"] = trace
    schema = await service.schema_of(job.kind)
    if schema is not None:
        service.fitting.check(schema, job.args)
    return core.NewJob(job.kind, json_text(job.args, "args"), call.access.one_tenant(job.tenant), **stated)
