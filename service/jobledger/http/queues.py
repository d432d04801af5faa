"""Queues over HTTP: which there are, how many jobs can be claimed in each, whether it is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.http.jobs import Whose
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.tenants import Named
from jobledger.http.wire import document_of, json_of
from jobledger.store import registers
from jobledger.store.registers import QueueRow
from jobledger.store.roles import Role
from jobledger.store.tenants import tenant_status as read_status

if TYPE_CHECKING:
    from jobledger.http.route import Call
    from jobledger.store.tenants import OpenJobs

routes = Routes("Queues")


class OfTenant(Named, Whose):
    """A page of things, of one tenant where one is meant."""


class Queues(Document):
    """Queues by name; `next` is the cursor of the following page, null at the end."""

    queues: list[document_of(QueueRow)]  # type: ignore[valid-type]
    next: str | None


@routes.get("/v1/queues", needs=(Role.READ,), query=OfTenant, answer=Queues, cached=True)
async def list_queues(call: Call[OfTenant, None]) -> Answer:
    """List queues by name.

    Of a tenant: those with open jobs of its own, with how many of them are ready. Of the service: those with claimable
    jobs (1,000 are counted) or held ones, those of the 1,000 jobs that are due next, of 1,000 that run and of the 10
    oldest parked ones of each of 1,000 tenants, and those that a kind, a limit or a live worker names.
    """
    call.access.must_see_tenant()
    asked, store = call.query, call.service.store
    tenant = call.access.tenant(asked.tenant)
    async with store.connection(ours=True) as connection:
        if tenant is None:
            found = await registers.list_queues(connection, store.shard, after=asked.cursor, limit=asked.limit + 1)
        else:
            status = await read_status(connection, store.shard, tenant)
            found = [one for one in _of_tenant(status.open) if one.name > asked.cursor]
    page = found[: asked.limit]
    return Answer(json_of({"queues": page, "next": page[-1].name if len(found) > asked.limit else None}))


def _of_tenant(open_jobs: OpenJobs) -> list[QueueRow]:
    ready = {one.queue: 0 for one in open_jobs.counts}
    for one in open_jobs.counts:
        if one.state == "ready":
            ready[one.queue] += one.jobs
    pauses = {one.name: one for one in open_jobs.paused if one.scope == "queue"}
    found = []
    for name in sorted(ready):
        pause = pauses.get(name)
        why = (True, pause.reason, pause.since) if pause is not None else (False, None, None)
        found.append(QueueRow(name, ready[name], False, *why))
    return found
