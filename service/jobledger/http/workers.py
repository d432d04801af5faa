"""Workers over HTTP: who is alive, and what each holds. A tenant's key sees those that are bound to it alone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field

from jobledger.errors import InvalidArgument, NotFound
from jobledger.http.jobs import Cursor  # noqa: TC001 - pydantic reads the annotations
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.wire import document_of, json_of
from jobledger.store import registers
from jobledger.store.jobs_read import PAGE_MAX
from jobledger.store.registers import WorkerDetail, WorkerRow
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.access import Access
    from jobledger.http.route import Call

routes = Routes("Workers")


class Started(Document):
    """A page of workers, the last started first."""

    limit: int = Field(100, ge=1, le=PAGE_MAX)
    cursor: Cursor | None = Field(None, description="`next` of the page before.")


class Workers(Document):
    """Workers, the last started first; `next` is the cursor of the following page, null at the end."""

    workers: list[document_of(WorkerRow)]  # type: ignore[valid-type]
    next: str | None


@routes.get("/v1/workers", needs=(Role.READ, Role.OPERATE), query=Started, answer=Workers, cached=True)
async def list_workers(call: Call[Started, None]) -> Answer:
    """List the workers that have not stopped."""
    call.access.must_see_tenant()
    asked, store = call.query, call.service.store
    before = _place(asked.cursor)
    async with store.connection(ours=True) as connection:
        found = await registers.list_workers(
            connection, store.shard, among=call.access.tenants, before=before, limit=asked.limit + 1
        )
    page = [_shown(call.access, one) for one in found[: asked.limit]]
    more = f"{page[-1].started_at.isoformat()}~{page[-1].id}" if len(found) > asked.limit else None
    return Answer(json_of({"workers": page, "next": more}))


@routes.get("/v1/workers/{worker}", needs=(Role.READ, Role.OPERATE), answer=document_of(WorkerDetail), cached=True)
async def show_worker(call: Call[Any, None]) -> Answer:
    """Show a worker, also one that has stopped, with the jobs that it holds, 1,000 at most."""
    call.access.must_see_tenant()
    store, worker = call.service.store, call.id("worker")
    async with store.connection(ours=True) as connection:
        found = await registers.show_worker(connection, store.shard, worker, among=call.access.tenants)
    if found is None:
        raise NotFound("There is no such worker.")
    return Answer(json_of(found._replace(worker=_shown(call.access, found.worker))))


def _shown(access: Access, worker: WorkerRow) -> WorkerRow:
    """Return a worker as this key may see it: on which machine it runs is for operators of the service."""
    if access.tenants is None:
        return worker
    return worker._replace(about={name: value for name, value in worker.about.items() if name not in ("host", "pid")})


def _place(cursor: str | None) -> tuple[datetime, UUID] | None:
    if cursor is None:
        return None
    at, _, worker = cursor.partition("~")
    try:
        started = datetime.fromisoformat(at)
        if started.tzinfo is None:
            raise ValueError
        return started, UUID(worker)
    except (ValueError, OverflowError):
        raise InvalidArgument("The cursor is not one of a list of workers.") from None
