"""Seats: the consumers of subscriptions that this process holds for those who ask over HTTP.

A seat is a consumer as in any process, and whoever took it tells it by numbered requests what became of the last batch,
and gets the next. The number is the request's identity: asked for again it gives the same batch, and settles nothing
twice. What a seat knows is memory only: after the process its slices are others' once the lease is over, and events
that were out come again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from jobledger.errors import Busy, Conflict, NotFound, Unavailable
from jobledger.observations import LimitMet, emit
from jobledger.order.cursor import cursors_for
from jobledger.order.desk import DatabaseDesk
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from aiohttp import web

    from jobledger.http.access import Access
    from jobledger.order.consumer import Consumer, Delivery
    from jobledger.order.cursor import Cursors
    from jobledger.store.pool import Store

_log = logging.getLogger("jobledger.http")

SEATS_MOST: Final = 200
"""Consumers that a process holds: each asks the database every two seconds whether its slices are still its own."""
SEATS_OF_KEY: Final = 50
"""As many of them may be one key's."""
AHEAD: Final = 200
"""Events that each of them reads ahead: they stay in the service's memory."""
_HEARD: Final = 0.5
"""The part of the lease for which a request keeps it; then it runs out as that of a consumer which died."""

Whose = tuple[object, ...]


class Settled(NamedTuple):
    """What became of the batch that a call gave: `said` of a failure, `wait_s` of what is to come again later."""

    call: int
    outcome: Literal["done", "failed", "postponed"]
    said: str | None = None
    wait_s: float = 0.0


class Seat:
    """One consumer, and what its holder was given last."""

    def __init__(self, consumer: Consumer, whose: Whose, of: tuple[str | None, str], cursors: Cursors) -> None:
        """Begin with nothing given; `live` joins."""
        self.id = consumer.id
        self.lease_s = consumer.lease_s
        self.cursors = cursors
        self.whose = whose
        self.of = of
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._consumer = consumer
        self._call = 0
        self._out: tuple[int, list[Delivery]] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._coming: tuple[int, asyncio.Task[list[Delivery]]] | None = None
        self._choosing = asyncio.Lock()
        self._turn = asyncio.Event()
        self._over = False
        self._requests = 0
        self._heard_at = asyncio.get_running_loop().time()
        consumer.lives = self._is_heard

    async def live(self) -> None:
        """Take part until nothing was asked for as long as the lease, or cancelled; leave with the last checkpoint.

        Who says nothing may have died over the events that are out. So then these slices are given back by the end of
        the lease only, which counts as a death.
        """
        loop = asyncio.get_running_loop()
        async with self._consumer:
            self.joined.set_result(None)
            try:
                while True:
                    left = self.lease_s if self._requests else self._heard_at + self.lease_s - loop.time()
                    if left <= 0:
                        if self._out is not None:
                            self._consumer.die()
                        return
                    await asyncio.sleep(left)
            finally:
                self._over = True
                self._turn.set()
                await end([task for task in (self._settling, self._coming and self._coming[1]) if task is not None])

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Answer a request for a block: the seat is not silent meanwhile."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self._heard_at = asyncio.get_running_loop().time()

    async def settle(self, call: int, limit: int, settled: Settled | None) -> None:
        """Begin the request of a number: what became of the last batch is noted, once for the number.

        Without a word about it, and where more is asked for, that batch counts as not handled: its events come again.

        Raises:
            Conflict: a later request was begun.
        """
        self._must_be(call)
        if call > self._call:
            self._call = call
            # Who waits under an earlier number waits for nothing any more.
            self._turn.set()
            self._turn = asyncio.Event()
            self._settling = asyncio.get_running_loop().create_task(
                self._settle(self._settling, limit, settled), name="jobledger-seat"
            )
        if self._settling is not None:
            await asyncio.shield(self._settling)
        self._must_be(call)

    async def take(self, call: int, limit: int, wait_s: float) -> Sequence[Delivery]:
        """Return the batch of a number, the same each time, waiting for it; without events none, and then it may come.

        Raises:
            NotFound: the subscription was removed.
            Conflict: a later request was begun meanwhile.
        """
        if self._out is None:
            task = await self._taken(limit)
            turn = asyncio.get_running_loop().create_task(self._turn.wait())
            try:
                await asyncio.wait({task, turn}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                turn.cancel()
            self._must_be(call)
            if self._out is None and self._coming is not None and self._coming[1] is task and task.done():
                self._coming = None
                self._out = call, task.result()
        # Taken in the order of the numbers: what is out was given under this one.
        return self._out[1] if self._out is not None else ()

    async def checkpoint(self) -> None:
        """Store how far everything was handled."""
        await self._consumer.checkpoint()

    def hurry(self) -> None:
        """Let whoever waits go, with nothing."""
        self._turn.set()

    def _is_heard(self) -> bool:
        return self._requests > 0 or asyncio.get_running_loop().time() < self._heard_at + self.lease_s * _HEARD

    def _must_be(self, call: int) -> None:
        if self._over:
            raise _unknown()
        if call < self._call:
            raise Conflict(
                "A later request of this consumer was begun.", hint="Each has a number of its own, above the last."
            )

    async def _settle(self, before: asyncio.Task[None] | None, limit: int, settled: Settled | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        if self._out is None:
            return
        number, out = self._out
        if settled is None or settled.call != number:
            if limit:
                self._out = None
            return
        self._out = None
        if settled.outcome == "done":
            await self._consumer.done(out)
        elif settled.outcome == "postponed":
            self._consumer.postpone(out, settled.wait_s)
        elif len(out) > 1:
            self._consumer.split(out)
        else:
            await self._consumer.failed(out[0], settled.said or "Failed")

    async def _taken(self, limit: int) -> asyncio.Task[list[Delivery]]:
        """Return the task that takes the next batch. It goes on when nobody waits: the next request finds what came."""
        async with self._choosing:
            if self._coming is not None and self._coming[0] > limit:
                await end([self._coming[1]])
                self._coming = None
            if self._coming is None:
                task = asyncio.get_running_loop().create_task(self._consumer.next(limit), name="jobledger-seat")
                self._coming = limit, task
            return self._coming[1]


class Seats:
    """The seats of one process."""

    def __init__(self, store: Store) -> None:
        """Have none yet."""
        self._store = store
        self._seats: dict[UUID, tuple[Seat, asyncio.Task[None]]] = {}
        self._joining: list[Whose] = []
        self._draining = False

    def __len__(self) -> int:
        """Return how many are taken."""
        return len(self._seats)

    async def join(self, access: Access, tenant: str | None, name: str, about: str) -> Seat:
        """Give a seat at a subscription to who asks.

        Raises:
            NotFound: there is no such subscription.
            Busy: all are taken, or as many as one key may have.
            Unavailable: the service ends.
        """
        self.must_go_on()
        whose = _whose(access)
        self._must_have_room(whose)
        self._joining.append(whose)
        try:
            consumer = await DatabaseDesk(self._store).consumer(tenant, name, about, ahead=AHEAD)
            async with self._store.connection(ours=True) as connection:
                cursors = await cursors_for(connection, tenant)
            seat = Seat(consumer, whose, (tenant, name), cursors)
            task = asyncio.get_running_loop().create_task(seat.live(), name="jobledger-seat")
            self._seats[seat.id] = seat, task
        finally:
            self._joining.remove(whose)
        task.add_done_callback(lambda task: self._ended(seat, task))
        try:
            await asyncio.wait({task, seat.joined}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            self.must_go_on()
            task.result()
            raise _unknown()
        return seat

    def of(self, id_: UUID, access: Access, tenant: str | None, name: str) -> Seat:
        """Return a seat that the bearer took. Raises `NotFound`: there is none, or it is somebody else's."""
        seat, _ = self._seats.get(id_, (None, None))
        if seat is None or seat.whose != _whose(access) or seat.of != (tenant, name):
            raise _unknown()
        return seat

    async def leave(self, seat: Seat) -> None:
        """End a seat: its last checkpoint is stored, its slices are given back."""
        await end([self._seats[seat.id][1]])

    def must_go_on(self) -> None:
        """Raise `Unavailable` where the service ends: nothing is given out any more."""
        if self._draining:
            raise Unavailable("The service is ending.")

    async def drain(self, _: web.Application) -> None:
        """Let whoever waits go, with nothing, and give nothing out any more."""
        self._draining = True
        for seat, _living in self._seats.values():
            seat.hurry()

    async def close(self, _: web.Application) -> None:
        """End all of them, each with its last checkpoint."""
        await end([living for _, living in self._seats.values()])

    def _must_have_room(self, whose: Whose) -> None:
        taken = [seat.whose for seat, _ in self._seats.values()] + self._joining
        mine = sum(one[0] == whose[0] for one in taken)
        for count, most in ((len(taken), SEATS_MOST), (mine, SEATS_OF_KEY)):
            if count >= most:
                emit(LimitMet("http_consumers", count, most))
                raise Busy("As many consumers as there may be are held.", detail={"limit": most})

    def _ended(self, seat: Seat, task: asyncio.Task[None]) -> None:
        del self._seats[seat.id]
        error = None if task.cancelled() else task.exception()
        if error is not None and seat.joined.done():
            _log.error("a consumer over HTTP ended", exc_info=error)


def _whose(access: Access) -> Whose:
    return access.key or access.name, access.name


def _unknown() -> NotFound:
    return NotFound("There is no such consumer.", hint="Join anew: events that were out come again.")
