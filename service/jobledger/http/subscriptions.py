"""Durable subscriptions over HTTP: made, looked at and acted on. How they are consumed stands in `consumers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import AwareDatetime, Field

from jobledger.errors import BadCursor, FeedReset, InvalidArgument, NotFound, SubscriptionDiffers
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.wire import document_of, json_of
from jobledger.http.words import Changed, Name, Reason, Reset, Why
from jobledger.order.checkpoints import SetAside, Slice
from jobledger.order.desk import Status
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.route import Call
    from jobledger.order.subscription import Subscription

routes = Routes("Subscriptions")


class Whose(Document):
    """Whose subscription is meant: a tenant's, or everybody's where none is said."""

    tenant: Name | None = None


class Looking(Whose):
    """Whose, and how much of what it has set aside."""

    limit: int = Field(100, ge=1, le=10_000, description="Events that were set aside, at most.")


class Listing(Document):
    """Whose subscriptions: a tenant's; `_global`: everybody's; none: all there are."""

    tenant: Name | None = None
    cursor: str | None = Field(None, max_length=0, description="There is one page.")


class Removing(Whose):
    """Whose subscription is to go, and why."""

    reason: Reason = None


class NewSubscription(Document):
    """A subscription to be made; without a place it begins at the beginning of the log.

    What it wants stays as it is, and so do `slices` and `strict`; the other numbers are those of the latest call.
    """

    name: Name
    tenant: Name | None = Field(None, description="Only this tenant's events.")
    types: list[Name] | None = Field(None, min_length=1, max_length=100, description="Only events of these types.")
    queue: Name | None = Field(None, description="Only events of jobs that were enqueued into this queue.")
    kind: Name | None = Field(None, description="Only events of jobs of this kind.")
    owner: Name | None = Field(None, description="Only events of jobs that were enqueued for this owner.")
    after: Name | None = Field(None, description="Begin behind this cursor.")
    from_end: bool = Field(False, description="Begin at the end.")
    at: AwareDatetime | None = Field(None, description="Begin at this time.")
    slices: int = Field(8, ge=1, le=256, description="So many consumers can work at once.")
    strict: bool = Field(False, description="Later events of a job wait while one of it is set aside.")
    max_failures: int = Field(5, ge=1, le=1_000, description="Failures of one event until it is set aside.")
    backoff_s: float = Field(1.0, ge=0, le=3_600, description="Seconds after the first of them.")
    lease_s: int = Field(30, ge=2, le=3_600, description="Seconds for which a consumer may be silent.")
    reason: Reason = None


class MadeSubscription(Document):
    """Whether it was made; false where it was there, the same."""

    created: bool


class SubscriptionList(Document):
    """Subscriptions by tenant and name; there is one page."""

    subscriptions: list[document_of(Status)]  # type: ignore[valid-type]
    next: str | None


class ShownSubscription(Document):
    """How a subscription stands, its slices, and the first events that it has set aside."""

    status: document_of(Status)  # type: ignore[valid-type]
    slices: list[document_of(Slice)]  # type: ignore[valid-type]
    set_aside: list[document_of(SetAside)]  # type: ignore[valid-type]


class Again(Document):
    """Which events that were set aside come again, or are given up."""

    jobs: list[UUID] | None = Field(None, max_length=10_000, description="Only those of these jobs; else all.")
    drop: bool = Field(False, description="Give them up: they stay listed as dropped.")
    reason: Reason = None


class Handed(Document):
    """How many events."""

    events: int


def named(call: Call[Any, Any]) -> Subscription:
    """Return the subscription that is meant, for who may see every tenant."""
    # Slices, checkpoints and lags tell how much everybody does; a tenant follows its events, or has a webhook.
    call.access.must_see_all()
    return call.service.client.subscription(call.name("name"), tenant=call.query.tenant)


@routes.get("/v1/subscriptions", needs=(Role.READ,), query=Listing, answer=SubscriptionList, errors=(InvalidArgument,))
async def list_subscriptions(call: Call[Listing, None]) -> Answer:
    """List durable subscriptions, where each is, and how far behind. For keys of every tenant, as are all of these."""
    call.access.must_see_all()
    found = await call.service.client.subscriptions(tenant=call.query.tenant)
    return Answer(json_of({"subscriptions": found, "next": None}))


@routes.post(
    "/v1/subscriptions",
    needs=(Role.OPERATE,),
    body=NewSubscription,
    answer=MadeSubscription,
    status=201,
    also=(200,),
    errors=(SubscriptionDiffers, BadCursor, FeedReset, InvalidArgument),
)
async def create_subscription(call: Call[None, NewSubscription]) -> Answer:
    """Make a durable subscription: a named reader of the log that the database remembers.

    Any number of programs consume its events (`…/consumers`), each with its share of the slices, until they are done
    with each. One that is there, the same, is answered with 200.
    """
    call.access.must_see_all()
    new = call.body
    subscription = call.service.client.subscription(new.name, tenant=new.tenant)
    created = await subscription.create(**new.model_dump(exclude={"name", "tenant"}), actor=call.access.name)
    return Answer(MadeSubscription(created=created), status=201 if created else 200)


@routes.get(
    "/v1/subscriptions/{name}",
    needs=(Role.READ,),
    query=Looking,
    answer=ShownSubscription,
    errors=(NotFound, InvalidArgument),
)
async def show_subscription(call: Call[Looking, None]) -> Answer:
    """Show a subscription: how it stands, who consumes which slice, and what it has set aside."""
    one = named(call)
    shown = {
        "status": await one.status(),
        "slices": await one.slices(),
        "set_aside": await one.set_aside(limit=call.query.limit),
    }
    return Answer(json_of(shown))


@routes.delete(
    "/v1/subscriptions/{name}",
    needs=(Role.OPERATE,),
    query=Removing,
    status=204,
    errors=(NotFound, InvalidArgument),
)
async def remove_subscription(call: Call[Removing, None]) -> None:
    """Remove a subscription, its place in the log, and what it had set aside; its consumers end."""
    await named(call).remove(actor=call.access.name, reason=call.query.reason)


@routes.post(
    "/v1/subscriptions/{name}/reset",
    needs=(Role.OPERATE,),
    query=Whose,
    body=Reset,
    status=204,
    errors=(NotFound, BadCursor, FeedReset, InvalidArgument),
)
async def reset_subscription(call: Call[Whose, Reset]) -> None:
    """Let a subscription go on from another place; a disabled one goes on again."""
    await named(call).reset(**call.body.model_dump(), actor=call.access.name)


@routes.post(
    "/v1/subscriptions/{name}/disable",
    needs=(Role.OPERATE,),
    query=Whose,
    body=Why,
    answer=Changed,
    errors=(NotFound, InvalidArgument),
)
async def disable_subscription(call: Call[Whose, Why]) -> Changed:
    """Give the consumers of a subscription nothing until it is reset."""
    changed = await named(call).disable(actor=call.access.name, reason=call.body.reason)
    return Changed(changed=changed)


@routes.post(
    "/v1/subscriptions/{name}/retry",
    needs=(Role.OPERATE,),
    query=Whose,
    body=Again,
    answer=Handed,
    errors=(NotFound, InvalidArgument),
)
async def retry_subscription(call: Call[Whose, Again]) -> Handed:
    """Hand out again what a subscription has set aside, or give it up."""
    one = named(call)
    act = one.drop if call.body.drop else one.retry
    return Handed(events=await act(call.body.jobs, actor=call.access.name, reason=call.body.reason))
