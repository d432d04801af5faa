"""Queues that are delivered to endpoints, and the reports of what was delivered."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic import Field

from jobledger.delivery import signature
from jobledger.delivery.address import URL_MOST, checked
from jobledger.delivery.push import Pusher
from jobledger.delivery.push_answer import Told, report_of
from jobledger.delivery.push_endpoint import push_label
from jobledger.delivery.push_token import PushToken
from jobledger.errors import (
    AddressRefused,
    Conflict,
    InvalidFields,
    NotFound,
    NotOpen,
    TooLarge,
    Unauthenticated,
)
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.wire import document_of, json_of
from jobledger.http.words import Name, Reason  # noqa: TC001 - pydantic reads the annotations
from jobledger.store import pushes as registered
from jobledger.store.pushes import Push
from jobledger.store.reports import Report, Verdict, report
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from jobledger.http.route import Call
    from jobledger.http.service import Service
    from jobledger.store.pool import Connection

routes = Routes("Push")


class OfTenant(Document):
    """Whose push is meant; left out: the one of every tenant, or the key's own tenant."""

    tenant: Name | None = None


class Removal(OfTenant):
    """Whose push is removed, and why."""

    reason: Reason = None


class NewPush(Document):
    """Where a queue's jobs are sent, and how."""

    url: str = Field(max_length=URL_MOST, description="The endpoint, https://. No secret in it: it is on record.")
    tenant: Name | None = Field(None, description="Only this tenant's jobs; left out: as the key has it, or all.")
    batch: int = Field(1, ge=1, le=1_000, description="Jobs of one request at most.")
    concurrency: int = Field(10, ge=1, le=10_000, description="Jobs under way at a time, from each process.")
    max_run: int = Field(60, ge=1, le=86_400, description="Seconds that the endpoint may work on a job.")
    start_failure: Literal["attempt", "free"] = Field(
        "attempt", description="Whether a delivery that could not start costs an attempt."
    )
    rotate: bool = Field(False, description="Take the next secret; for a day requests are signed with both.")
    reason: Reason = None


class PushSet(Document):
    """How a queue is delivered now, and the secret by which the endpoint checks signatures."""

    push: document_of(Push)  # type: ignore[valid-type]
    secret: str
    changed: bool


@routes.put(
    "/v1/queues/{queue}/push",
    needs=(Role.ADMIN,),
    body=NewPush,
    answer=PushSet,
    errors=(AddressRefused, Conflict),
)
async def set_push(call: Call[None, NewPush]) -> Answer:
    """Deliver the jobs of a queue to an endpoint, or change how.

    Each request is signed as Standard Webhooks says, with the secret in the answer; asked again with the same fields
    it changes nothing and tells the secret again. A kind of the queue whose attempts may last longer than `max_run` is
    a conflict, and so is one that is registered later.
    """
    call.access.must_see_tenant()
    body, service = call.body, call.service
    tenant, queue = call.access.tenant(body.tenant), call.name("queue")
    checked(body.url, private=service.settings.send_private)
    stated = body.model_dump(exclude={"tenant"})

    async def work(connection: Connection) -> tuple[bool, list[Push]]:
        shard = service.store.shard
        changed = await registered.set_push(connection, shard, queue, tenant=tenant, actor=call.access.name, **stated)
        return changed, await registered.pushes(connection, shard, tenant=tenant or "_global", queue=queue)

    changed, (push,) = await service.store.repeated(work)
    if service.pusher is not None:
        service.pusher.hint()
    key = await service.book.service_key()
    secret = signature.secret(key, push_label(push.queue, push.tenant), push.generation)
    return Answer(json_of({"push": push, "secret": secret, "changed": changed}))


@routes.get(
    "/v1/queues/{queue}/push",
    needs=(Role.READ, Role.OPERATE),
    query=OfTenant,
    answer=document_of(Push),
    errors=(NotFound,),
)
async def show_push(call: Call[OfTenant, None]) -> Answer:
    """Say where a queue's jobs are sent, and how."""
    call.access.must_see_tenant()
    tenant, store = call.access.tenant(call.query.tenant), call.service.store
    async with store.connection(ours=True) as connection:
        found = await registered.pushes(connection, store.shard, tenant=tenant or "_global", queue=call.name("queue"))
    if not found:
        raise NotFound("This queue is not delivered to an endpoint.")
    return Answer(json_of(found[0]))


@routes.delete("/v1/queues/{queue}/push", needs=(Role.ADMIN,), query=Removal, status=204, errors=(NotFound,))
async def remove_push(call: Call[Removal, None]) -> Answer:
    """Deliver a queue's jobs no more; they wait for a worker. What is under way may still be reported."""
    call.access.must_see_tenant()
    tenant, store = call.access.tenant(call.query.tenant), call.service.store

    async def work(connection: Connection) -> None:
        said: dict[str, Any] = {"actor": call.access.name, "reason": call.query.reason}
        await registered.remove_push(connection, store.shard, call.name("queue"), tenant=tenant, **said)

    await store.repeated(work)
    if call.service.pusher is not None:
        call.service.pusher.hint()
    return Answer()


async def _must_have_token(service: Service, request: web.Request) -> None:
    """Refuse who has no token before the body is taken in: strangers are not to fill the memory."""
    PushToken.read(await service.book.service_key(), request.match_info["token"])


@routes.post(
    "/v1/pushed/{token}",
    public=True,
    first=_must_have_token,
    body=Told,
    answer=document_of(Verdict),
    errors=(Unauthenticated, TooLarge, NotOpen),
)
async def report_pushed(call: Call[None, Told]) -> Answer:
    """Report how a pushed job ended, or how far it is, by the token that came with it.

    The token is good for this attempt of this job. `verdict` is `accepted`; `repeated`: it was reported before, and
    the answer was lost; or `rejected`: the job is not this attempt's any more, and `reason` says why. A token is known
    for an hour after the attempt's time is over.
    """
    service = call.service
    token = PushToken.read(await service.book.service_key(), call.name("token"))
    if call.body.outcome == "accepted":
        raise InvalidFields(detail={"fields": [{"field": "outcome", "rule": "accepted is for answers to a delivery"}]})
    outcome = report_of(call.body, token.retry_in, await service.book.now())
    try:
        data = orjson.dumps(outcome[1]) if outcome[1] else None
    except (TypeError, ValueError):
        raise InvalidFields(detail={"fields": [{"field": "result", "rule": "no number over 64 bits in it"}]}) from None
    reports = [Report(token.job, token.claim, outcome[0], data)]

    async def work(connection: Connection) -> list[Verdict]:
        return await report(connection, service.store.shard, token.worker, reports)

    (verdict,) = await service.store.repeated(work, alone=True)
    if verdict.verdict == "accepted" and outcome[0] != "progressed" and service.pusher is not None:
        service.pusher.reported(token.job, token.claim, outcome)
    return Answer(json_of(verdict))


@asynccontextmanager
async def pushing(service: Service, url: str) -> AsyncIterator[Pusher]:
    """Deliver the jobs of pushed queues for a block; `url` is where the service listens.

    At its end the service must still listen: jobs that are under way report to it.
    """
    settings = service.settings
    async with Pusher(service.store, settings, url=settings.http_url or url, hurry=service.hurry) as pusher:
        service.pusher = pusher
        try:
            yield pusher
        finally:
            service.pusher = None
