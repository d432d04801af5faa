"""Pauses and limits over HTTP: what was set for tenants, queues, kinds and the service.

They are set by keys of every tenant only: what the operator of the service sets for a tenant, no key of the tenant may
take back or raise. A tenant's keys see what was set for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from jobledger.errors import InvalidArgument
from jobledger.http.acts import Because, Reason
from jobledger.http.jobs import Cursor  # noqa: TC001 - pydantic reads the annotations
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.wire import document_of, json_of
from jobledger.http.words import Changed, Name
from jobledger.store import operate
from jobledger.store.jobs_read import PAGE_MAX
from jobledger.store.operate import Limit
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.route import Call
    from jobledger.store.pool import Connection

routes = Routes("Limits")


class Which(Document):
    """Which of what was set is listed."""

    scope: Literal["tenant", "queue", "kind", "service"] | None = None
    name: Name | None = None
    limit: int = Field(100, ge=1, le=PAGE_MAX)
    cursor: Cursor | None = Field(None, description="`next` of the page before.")


class Limits(Document):
    """What was paused and set, by scope and name; `next` is the cursor of the following page, null at the end."""

    limits: list[document_of(Limit)]  # type: ignore[valid-type]
    next: str | None


class NewLimits(Document):
    """Defaults for jobs enqueued from now on. What is left out stays, null clears it."""

    max_attempts: int | None = Field(None, ge=1, le=1_000)
    timeout: int | None = Field(None, ge=1, le=604_800, description="Seconds of one attempt.")
    kill_after: int | None = Field(None, ge=1, le=6_311_520_000, description="Seconds after which a job is killed.")
    args_limit: int | None = Field(None, ge=1_024, le=67_108_864, description="Bytes; of the service only.")
    result_limit: int | None = Field(None, ge=1_024, le=67_108_864, description="Bytes; of the service only.")
    reason: Reason


@routes.get("/v1/limits", needs=(Role.READ, Role.OPERATE), query=Which, answer=Limits, cached=True)
async def list_limits(call: Call[Which, None]) -> Answer:
    """List what was paused and set; a tenant's key sees what is its tenant's."""
    call.access.must_see_tenant()
    asked, store = call.query, call.service.store
    scope, _, name = (asked.cursor or "").partition(":")
    async with store.connection(ours=True) as connection:
        found = await operate.limits_page(
            *(connection, store.shard),
            scope=asked.scope,
            name=asked.name,
            tenants=call.access.tenants,
            after=(scope, name),
            limit=asked.limit + 1,
        )
    page = found[: asked.limit]
    more = f"{page[-1].scope}:{page[-1].name}" if len(found) > asked.limit else None
    return Answer(json_of({"limits": page, "next": more}))


@routes.put("/v1/limits/{scope}", needs=(Role.OPERATE,), body=NewLimits, answer=Changed)
async def set_service_limits(call: Call[None, NewLimits]) -> Changed:
    """Set the defaults of the whole service: the scope is `service`."""
    return await _set(call, call.name("scope"), "")


@routes.put("/v1/limits/{scope}/{name}", needs=(Role.OPERATE,), body=NewLimits, answer=Changed)
async def set_limits(call: Call[None, NewLimits]) -> Changed:
    """Set the defaults of a tenant, queue or kind: the scope is that word. For keys of every tenant."""
    return await _set(call, call.name("scope"), call.name("name"))


@routes.post("/v1/tenants/{name}/pause", needs=(Role.OPERATE,), body=Because, answer=Changed)
async def pause_tenant(call: Call[None, Because]) -> Changed:
    """Stop the claiming of a tenant's jobs; those that run go on. For keys of every tenant."""
    return await _paused(call, "tenant", True)


@routes.post("/v1/tenants/{name}/resume", needs=(Role.OPERATE,), body=Because, answer=Changed)
async def resume_tenant(call: Call[None, Because]) -> Changed:
    """End the pause of a tenant. For keys of every tenant."""
    return await _paused(call, "tenant", False)


@routes.post("/v1/queues/{name}/pause", needs=(Role.OPERATE,), body=Because, answer=Changed)
async def pause_queue(call: Call[None, Because]) -> Changed:
    """Stop the claiming of a queue's jobs; those that run go on."""
    return await _paused(call, "queue", True)


@routes.post("/v1/queues/{name}/resume", needs=(Role.OPERATE,), body=Because, answer=Changed)
async def resume_queue(call: Call[None, Because]) -> Changed:
    """End the pause of a queue."""
    return await _paused(call, "queue", False)


@routes.post("/v1/kinds/{name}/pause", needs=(Role.OPERATE,), body=Because, answer=Changed)
async def pause_kind(call: Call[None, Because]) -> Changed:
    """Stop the claiming of a kind's jobs; those that run go on."""
    return await _paused(call, "kind", True)


@routes.post("/v1/kinds/{name}/resume", needs=(Role.OPERATE,), body=Because, answer=Changed)
async def resume_kind(call: Call[None, Because]) -> Changed:
    """End the pause of a kind."""
    return await _paused(call, "kind", False)


async def _paused(call: Call[None, Because], scope: Literal["tenant", "queue", "kind"], paused: bool) -> Changed:
    name, store = call.name("name"), call.service.store
    call.access.must_see_all()
    change = operate.pause if paused else operate.resume

    async def work(connection: Connection) -> bool:
        return await change(connection, store.shard, scope, name, actor=call.access.name, reason=call.body.reason)

    return Changed(changed=await store.repeated(work))


async def _set(call: Call[None, NewLimits], scope: str, name: str) -> Changed:
    if scope not in ("tenant", "queue", "kind", "service"):
        raise InvalidArgument("A limit is of a tenant, queue, kind or the service.", hint="/v1/limits/queue/mail")
    call.access.must_see_all()
    store = call.service.store
    values = call.body.model_dump(exclude={"reason"}, exclude_unset=True)

    async def work(connection: Connection) -> bool:
        facts: dict[str, Any] = {"actor": call.access.name, "reason": call.body.reason}
        return await operate.set_limit(connection, store.shard, scope, name, values, **facts)  # type: ignore[arg-type]

    return Changed(changed=await store.repeated(work))
