"""Tenants over HTTP: which there are, how one does, and how many jobs each had at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, Field

from jobledger.errors import MomentLost
from jobledger.http.jobs import Whose
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.wire import document_of, json_of
from jobledger.order.counts import PastCounts
from jobledger.store import tenants as door
from jobledger.store.roles import Role
from jobledger.store.tenants import TenantLevels, TenantStatus

if TYPE_CHECKING:
    from jobledger.http.route import Call

routes = Routes("Tenants")


class Named(Document):
    """A page of things, by name."""

    limit: int = Field(100, ge=1, le=door.PAGE_MAX)
    cursor: Annotated[str, Field(max_length=256)] = Field("", description="`next` of the page before: a name.")


class Tenants(Document):
    """Tenants by name; `next` is the cursor of the following page, null at the end."""

    tenants: list[TenantLevels]
    next: str | None


class Period(Document):
    """Of which time it is told what happened."""

    since: AwareDatetime | None = Field(None, description="Default: an hour before `until`.")
    until: AwareDatetime | None = Field(None, description="Default: now. At most 366 days after `since`.")
    token: bool = Field(False, description="Whether the answer carries a token, by which its counts can be asked for.")


class Moment(Whose):
    """Of which moment the counts are."""

    as_of: Annotated[str, Field(min_length=1, max_length=100_000)] = Field(
        description="An answer's token, a cursor of the feed, or a time with its zone."
    )


@routes.get("/v1/tenants", needs=(Role.READ,), query=Named, answer=Tenants, cached=True)
async def list_tenants(call: Call[Named, None]) -> Tenants:
    """List the tenants that had jobs, with how many of each are in each state, as counted a moment ago."""
    call.access.must_see_tenant()
    asked, store = call.query, call.service.store
    async with store.connection(ours=True) as connection:
        found = await door.list_tenants(
            connection, store.shard, after=asked.cursor, limit=asked.limit, among=call.access.tenants
        )
    return Tenants(tenants=list(found), next=found[-1].tenant if len(found) == asked.limit else None)


@routes.get("/v1/tenants/{tenant}", needs=(Role.READ,), query=Period, answer=TenantStatus, cached=True)
async def tenant_status(call: Call[Period, None]) -> Answer:
    """Tell how a tenant does: its open jobs now, and what happened over a time (the last hour).

    A tenant without jobs has none. Its ETag stays the same while nothing but the clock has changed.
    """
    call.access.must_see_tenant()
    tenant = call.access.tenant(call.name("tenant"))
    assert tenant is not None  # noqa: S101 - a name is never empty
    asked = call.query
    found = await call.service.client.tenant(tenant, since=asked.since, until=asked.until, token=asked.token)
    if asked.token:
        return Answer(found)
    clock: Any = {"at": True, "open": {"as_of"}, "history": {"as_of", "since", "until"}}
    return Answer(found, same=found.model_dump_json(exclude=clock).encode())


@routes.get("/v1/counts", needs=(Role.READ,), query=Moment, answer=document_of(PastCounts), errors=(MomentLost,))
async def past_counts(call: Call[Moment, None]) -> Answer:
    """Count the jobs of a tenant, or of every one, by queue, kind and state at a moment of the past."""
    call.access.must_see_tenant()
    tenant = call.access.tenant(call.query.tenant)
    return Answer(json_of(await call.service.client.counts(call.query.as_of, tenant=tenant)))
