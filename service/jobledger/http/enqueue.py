"""Enqueuing over HTTP: one job a request, or up to 10,000."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import Field

from jobledger.errors import Conflict, IdempotencyMismatch, InvalidArgs, TooLarge, UnknownKind
from jobledger.http.route import Answer, Document, Routes
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.route import Call

routes = Routes("Jobs")


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
    unique_key: str | None = Field(None, description="No other open job of the tenant may hold it.")
    id: UUID | None = Field(None, description="A version 7 uuid made by the caller.")


class Enqueued(Document):
    """The job's id; `created` is false where the idempotency key had made it before."""

    id: UUID
    tenant: str
    created: bool


@routes.post(
    "/v1/jobs",
    needs=(Role.ENQUEUE,),
    body=NewJob,
    answer=Enqueued,
    status=201,
    errors=(InvalidArgs, UnknownKind, TooLarge, Conflict, IdempotencyMismatch),
)
async def enqueue_job(call: Call[None, NewJob]) -> Answer:
    """Enqueue one job.

    With the header `Idempotency-Key` a repeated request makes no second job: it answers 200 with the first one's id.
    """
    stated = call.body.model_dump(exclude={"kind", "args"}, exclude_none=True)
    tenant = stated["tenant"] = call.access.one_tenant(call.body.tenant)
    owner = call.access.owner_of(call.body.owner)
    if owner is not None:
        stated["owner"] = owner
    key = call.request.headers.get("Idempotency-Key")
    if key is not None:
        stated["key"] = key
    client = call.service.client
    sent = await client.send(await client.call(call.body.kind, call.body.args, actor=call.access.name, **stated))
    done = Enqueued(id=sent.id, tenant=tenant, created=bool(sent.created))
    return Answer(done, status=201 if done.created else 200, headers={"Location": f"/v1/jobs/{sent.id}"})
