"""Webhooks over HTTP: made, listed, changed, tried and removed; a key sees those of its tenant, or of its owner."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import AwareDatetime, Field, model_validator

from jobledger.delivery.webhook import Deliverer
from jobledger.delivery.webhooks import BATCH_MOST, WebhookRow, Webhooks
from jobledger.errors import AddressRefused, BadCursor, FeedReset, InvalidArgument, NotFound, SubscriptionDiffers
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.wire import document_of, json_of
from jobledger.http.words import Changed, Name, Reason, Reset, Why
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

    from jobledger.http.route import Call
    from jobledger.http.service import Service

routes = Routes("Webhooks")


class Whose(Document):
    """Whose webhooks are meant; a key of one tenant need not say it."""

    tenant: Name | None = None


class NewWebhook(Document):
    """A webhook to be made; what it wants stays as it is. It begins at the end of the log, or where it is said."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._:@/-]{0,127}$", description="One of its tenant has it.")
    url: str = Field(min_length=1, max_length=2_048, description="Where requests go: https, and a public address.")
    tenant: Name | None = Field(None, description="Whose events; a key of every tenant that says none means all.")
    owner: Name | None = Field(None, description="Only events of this person's jobs.")
    types: list[Name] | None = Field(None, min_length=1, max_length=100, description="Only events of these types.")
    queue: Name | None = Field(None, description="Only events of jobs of this queue.")
    kind: Name | None = Field(None, description="Only events of jobs of this kind.")
    batch: int = Field(1, ge=1, le=BATCH_MOST, description="1: one event a request; more: a list of up to so many.")
    after: Name | None = Field(None, description="Begin behind this cursor.")
    at: AwareDatetime | None = Field(None, description="Begin at this time.")
    from_start: bool = Field(False, description="Begin at the start of the log.")
    reason: Reason = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.after is not None) + (self.at is not None) + self.from_start > 1:
            raise ValueError("one of after, at and from_start")
        return self


class MadeWebhook(Document):
    """A webhook's id and its secret (`whsec_…`), which only this answer and that of `rotate` have."""

    id: UUID
    secret: str
    created: bool = Field(description="False where it was there, the same.")


class WebhookList(Document):
    """Webhooks by tenant and name; there is one page."""

    webhooks: list[document_of(WebhookRow)]  # type: ignore[valid-type]
    next: str | None


class Rotated(Document):
    """The new secret; for a day requests are signed with the one before, too."""

    secret: str


class Tried(Document):
    """What became of one request. `outcome` is a status, or a word for what went wrong."""

    ok: bool
    status: int | None
    outcome: str
    elapsed_s: float


def _theirs(call: Call[Whose, Any]) -> Webhooks:
    """Return the webhooks that the key may see."""
    access, service = call.access, call.service
    return Webhooks(
        service.store,
        tenant=access.tenant(call.query.tenant),
        owner=access.owner,
        actor=access.name,
        private=service.settings.send_private,
    )


@routes.get("/v1/webhooks", needs=(Role.READ, Role.OPERATE), query=Whose, answer=WebhookList, errors=(NotFound,))
async def list_webhooks(call: Call[Whose, None]) -> Answer:
    """List webhooks, and how their deliveries go."""
    return Answer(json_of({"webhooks": await _theirs(call).all(), "next": None}))


@routes.post(
    "/v1/webhooks",
    needs=(Role.OPERATE,),
    body=NewWebhook,
    answer=MadeWebhook,
    status=201,
    also=(200,),
    errors=(AddressRefused, SubscriptionDiffers, BadCursor, FeedReset, InvalidArgument, NotFound),
)
async def create_webhook(call: Call[None, NewWebhook]) -> Answer:
    """Make a webhook.

    Its endpoint is sent each event as a CloudEvent, signed as Standard Webhooks says, at least once and those of a job
    in order. One that is there, the same, is answered with 200.
    """
    access, new, service = call.access, call.body, call.service
    owner = access.owner_of(new.owner)
    mine = Webhooks(
        service.store,
        tenant=access.tenant(new.tenant),
        owner=access.owner,
        actor=access.name,
        private=service.settings.send_private,
    )
    made = await mine.create(
        new.name,
        new.url,
        types=new.types,
        queue=new.queue,
        kind=new.kind,
        owner=owner,
        batch=new.batch,
        after=new.after,
        at=new.at,
        from_start=new.from_start,
        reason=new.reason,
    )
    return Answer(
        MadeWebhook(id=made.id, secret=made.secret, created=made.created),
        status=201 if made.created else 200,
        headers={"Location": f"/v1/webhooks/{made.id}"},
    )


@routes.get(
    "/v1/webhooks/{webhook}",
    needs=(Role.READ, Role.OPERATE),
    query=Whose,
    answer=document_of(WebhookRow),
    errors=(NotFound,),
)
async def show_webhook(call: Call[Whose, None]) -> Answer:
    """Show a webhook, and how its deliveries go."""
    return Answer(json_of(await _theirs(call).get(call.id("webhook"))))


@routes.delete("/v1/webhooks/{webhook}", needs=(Role.OPERATE,), query=Whose, body=Why, status=204, errors=(NotFound,))
async def remove_webhook(call: Call[Whose, Why]) -> None:
    """Remove a webhook and its place in the log."""
    await _theirs(call).remove(call.id("webhook"), reason=call.body.reason)


@routes.post(
    "/v1/webhooks/{webhook}/reset",
    needs=(Role.OPERATE,),
    query=Whose,
    body=Reset,
    status=204,
    errors=(NotFound, BadCursor, FeedReset, InvalidArgument),
)
async def reset_webhook(call: Call[Whose, Reset]) -> None:
    """Let a webhook go on: from where it was, or behind a cursor, at a time, the start or the end.

    One that is disabled goes on again, and what waits for its back-off is tried at once.
    """
    asked = call.body
    await _theirs(call).reset(
        call.id("webhook"),
        after=asked.after,
        at=asked.at,
        from_start=asked.from_start,
        from_end=asked.from_end,
        reason=asked.reason,
    )


@routes.post(
    "/v1/webhooks/{webhook}/disable",
    needs=(Role.OPERATE,),
    query=Whose,
    body=Why,
    answer=Changed,
    errors=(NotFound,),
)
async def disable_webhook(call: Call[Whose, Why]) -> Changed:
    """Send a webhook's endpoint nothing until it is reset."""
    return Changed(changed=await _theirs(call).disable(call.id("webhook"), reason=call.body.reason))


@routes.post(
    "/v1/webhooks/{webhook}/rotate", needs=(Role.OPERATE,), query=Whose, body=Why, answer=Rotated, errors=(NotFound,)
)
async def rotate_webhook(call: Call[Whose, Why]) -> Rotated:
    """Give a webhook another secret; for a day requests are signed with the one before, too."""
    return Rotated(secret=await _theirs(call).rotate(call.id("webhook"), reason=call.body.reason))


@routes.post("/v1/webhooks/{webhook}/test", needs=(Role.OPERATE,), query=Whose, answer=Tried, errors=(NotFound,))
async def test_webhook(call: Call[Whose, None]) -> Tried:
    """Send a webhook's endpoint one signed event of the type `dev.jobledger.webhook.test`, and say what became of it.

    Also where it is disabled. Nothing of the answer is told but its status.
    """
    mine, webhook = _theirs(call), call.id("webhook")
    timeout_s = call.service.settings.webhook_timeout_s
    with call.service.hold(timeout_s):
        sent = await mine.test(webhook, timeout_s=timeout_s)
    return Tried(ok=sent.ok, status=sent.status, outcome=sent.told, elapsed_s=round(sent.elapsed_s, 3))


@asynccontextmanager
async def delivering(service: Service) -> AsyncIterator[None]:
    """Send webhooks their events for a block, unless the settings say that others do."""
    settings = service.settings
    if not settings.webhooks:
        yield
        return
    async with Deliverer(
        service.store,
        private=settings.send_private,
        timeout_s=settings.webhook_timeout_s,
        disable_s=settings.webhook_disable_s,
        requests=settings.webhook_requests,
        shown=service.client._shown,  # noqa: SLF001 - the same arguments are masked as in a feed
    ):
        yield
