"""Durable subscriptions consumed over HTTP: join, say what became of a batch and take the next, leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import Field, model_validator

from jobledger.errors import Busy, Conflict, InvalidArgument, NotFound
from jobledger.events.cloudevent import CloudEvent
from jobledger.http.protocol import WAIT_MOST_S, Number
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.seats import Settled
from jobledger.http.subscriptions import Whose, named
from jobledger.order.filters import shown_by
from jobledger.order.subscription import BATCH_MAX
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.route import Call
    from jobledger.http.seats import Seat
    from jobledger.order.consumer import Delivery

routes = Routes("Subscriptions")

POSTPONED_MOST_S: Final = 3_600
"""Seconds after which a postponed batch comes again, at most."""
_ERROR_MOST: Final = 10_000


class NewConsumer(Document):
    """Who takes part."""

    about: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]+$")] | None = Field(
        None, description="What operators are shown in the list of consumers; else the key's name."
    )


class JoinedConsumer(Document):
    """The consumer's id, under which it asks for events, and for how many seconds it may ask nothing."""

    consumer: UUID
    lease_s: int


class Settlement(Document):
    """What became of a batch: `call` is the number of the request that it came with.

    `done`: it was handled. `failed`: one event comes again after a back-off, or is set aside; of several nobody knows
    which failed, so they come again one at a time, and no failure is counted. `postponed`: it comes again after
    `wait_s`, and no failure is counted.
    """

    call: Number
    outcome: Literal["done", "failed", "postponed"]
    error: str | None = Field(
        None, min_length=1, max_length=_ERROR_MOST, description="Of `failed`: type and message, kept with the event."
    )
    wait_s: float | None = Field(None, ge=0, le=POSTPONED_MOST_S, description="Of `postponed`: seconds.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.error is not None and self.outcome != "failed":
            raise ValueError("error is for what failed")
        if (self.wait_s is not None) != (self.outcome == "postponed"):
            raise ValueError("wait_s is for what is postponed")
        return self


class NextBatch(Document):
    """How many events are wanted, under which number, how long to wait for them, and what became of the last ones."""

    call: Number = Field(
        description="The number of this request, above the last. It is the request's identity: asked for again, it "
        "gives the same events, and settles nothing twice."
    )
    limit: int = Field(
        1,
        ge=0,
        le=BATCH_MAX,
        description="Events at most. 0: give none, store how far everything was handled, and keep the lease.",
    )
    wait_s: float = Field(0.0, ge=0, le=WAIT_MOST_S, description="Seconds to wait until there is an event. 0 to 60.")
    settle: Settlement | None = Field(None, description="Noted first. Of a batch that is not out it changes nothing.")


class GivenEvent(CloudEvent):
    """An event of the log in the form of CloudEvents 1.0, as it was given to a consumer."""

    slice: int = Field(description="The slice of the subscription that it is of.")
    again: bool = Field(description="Whether it had been set aside, and an operator has it tried again.")


class Batch(Document):
    """Events in the order of the log, those of one job one after the other; none where none came in time."""

    events: list[GivenEvent]


@routes.post(
    "/v1/subscriptions/{name}/consumers",
    needs=(Role.OPERATE,),
    query=Whose,
    body=NewConsumer,
    answer=JoinedConsumer,
    status=201,
    errors=(NotFound, InvalidArgument, Busy),
)
async def join_subscription(call: Call[Whose, NewConsumer]) -> JoinedConsumer:
    """Take part in a subscription, and get a fair share of its slices.

    The consumer is this key's: for any other it does not exist. One that asks nothing for `lease_s` seconds is ended,
    and others get its slices. It is held by the process that answered: where that has ended, or another one is asked,
    it is unknown (404), and who consumes joins anew; events that were out come again.

    A consumer moves the subscription's place for everybody, as a reset does: so it takes the role `operate`.
    """
    one = named(call)
    seat = await call.service.seats.join(call.access, one.tenant, one.name, call.body.about or call.access.name)
    return JoinedConsumer(consumer=seat.id, lease_s=seat.lease_s)


@routes.post(
    "/v1/subscriptions/{name}/consumers/{consumer}/next",
    needs=(Role.OPERATE,),
    query=Whose,
    body=NextBatch,
    answer=Batch,
    errors=(NotFound, InvalidArgument, Conflict, Busy),
)
async def next_events(call: Call[Whose, NextBatch]) -> Answer:
    """Say what became of the last events, and take the next ones, waiting up to `wait_s` seconds for the first.

    `call` is the request's identity: where the answer was lost, the same request gives the same events. More events
    are given once it is said what became of the last batch (`settle`); without a word they count as not handled, and
    come again. What is `done` is checkpointed within a second, with `limit` 0 before the answer.

    Each event is a CloudEvent with its `slice`. Events of one slice, and so those of one job, come in their order.
    """
    seat, asked = _seat(call), call.body
    with seat.asked():
        await seat.settle(asked.call, asked.limit, _settled(asked.settle))
        if not asked.limit:
            await seat.checkpoint()
            return Answer(b'{"events":[]}')
        call.service.seats.must_go_on()
        with call.service.hold(asked.wait_s):
            out = await seat.take(asked.call, asked.limit, asked.wait_s)
        texts = [await _wire(call, seat, one) for one in out]
    return Answer(b'{"events":[%s]}' % b",".join(texts))


@routes.delete(
    "/v1/subscriptions/{name}/consumers/{consumer}",
    needs=(Role.OPERATE,),
    query=Whose,
    status=204,
    errors=(NotFound, InvalidArgument),
)
async def leave_subscription(call: Call[Whose, None]) -> None:
    """Leave: what was done is checkpointed, what is out comes again, and others get the slices at once."""
    await call.service.seats.leave(_seat(call))


def _seat(call: Call[Whose, Any]) -> Seat:
    one = named(call)
    return call.service.seats.of(call.id("consumer"), call.access, one.tenant, one.name)


def _settled(said: Settlement | None) -> Settled | None:
    if said is None:
        return None
    return Settled(said.call, said.outcome, said.error, said.wait_s or 0.0)


async def _wire(call: Call[Any, Any], seat: Seat, one: Delivery) -> bytes:
    event = await shown_by(call.service.client._shown, one.event)  # noqa: SLF001 - the same arguments are masked as in a feed
    # Who consumes may see every tenant, so the position tells nothing new.
    found = GivenEvent.of(event, whole=True, cursor=seat.cursors.write(one.sealed.place))
    return found.model_copy(update={"slice": one.share.taken.slice, "again": one.again}).json_text()
