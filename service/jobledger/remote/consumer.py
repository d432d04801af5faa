"""A consumer of a durable subscription that a service holds: numbered requests, each safe to be sent again.

What became of a batch goes with the request for the next one. A service that ended, or another one that answers, does
not know the consumer: then it joins anew, and events that were out come again.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import orjson

from jobledger.errors import Busy, InvalidArgument, JobledgerError, NotFound, RateLimited, Unavailable, Unreachable
from jobledger.events.cloudevent import read_event
from jobledger.observations import ConnectionLost, emit
from jobledger.remote.connection import path_of
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobledger.events import Event
    from jobledger.remote.connection import ServiceConnection
    from jobledger.store.pool import Connection

WAIT_S: Final = 20.0
"""Seconds for which one request waits for events."""
ALIVE_S: Final = 10.0
"""Seconds without a request after which it says that it lives; a third of the lease, where that is shorter.

Also short enough that its one connection stays open, and so leads to the process that holds the consumer.
"""
_LEAVE_S: Final = 2.0
_SAID_MOST: Final = 10_000
_PAUSE_S: Final = (0.1, 5.0)
_PASSES: Final = (Unavailable, Unreachable, Busy, RateLimited)


class Received(NamedTuple):
    """One event, and the number of the request that it came with."""

    event: Event
    call: int


class ServiceConsumer:
    """Takes part in a subscription inside `async with`, by a service; as `order.consumer.Consumer` by a database.

    While a handler takes its time it says by itself that it lives. While the service is away it goes on trying.
    """

    def __init__(self, service: ServiceConnection, tenant: str | None, name: str, about: str) -> None:
        """Prepare. `service` is a connection of its own, to be opened and closed here."""
        self._service = service
        self._query = {"tenant": tenant}
        self._path = path_of("subscriptions", name, "consumers")
        self._about = about
        self._consumer: str | None = None
        self._lease_s = 0.0
        self._call = 0
        self._settle: dict[str, Any] | None = None
        self._turn = asyncio.Lock()
        self._asked_at = 0.0
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Join.

        Raises:
            NotFound: there is no such subscription.
            Forbidden: the key may not consume.
            Unreachable: the service does not answer.
        """
        await self._service.__aenter__()
        try:
            await self._join()
        except BaseException:
            await self._service.close()
            raise
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="jobledger-subscription")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave: what was handled is checkpointed, what is out is not."""
        if self._keeper is not None:
            await end([self._keeper])
        try:
            if self._consumer is not None and self._settle is not None:
                await self._exchange(0, patience_s=_LEAVE_S)
            if self._consumer is not None:
                path = f"{self._path}/{self._consumer}"
                await self._service.ask("DELETE", path, query=self._query, again=True, patience_s=_LEAVE_S)
        except JobledgerError as error:
            # Its lease runs out by itself.
            emit(ConnectionLost(where="subscription", error=type(error).__name__))
        finally:
            await self._service.close()

    async def next(self, limit: int = 1) -> list[Received]:
        """Return the next events in their order, at least one and at most `limit`; waits for them.

        Raises:
            NotFound: the subscription was removed.
            Forbidden: the key may no longer consume.
        """
        pause_s = _PAUSE_S[0]
        while True:
            try:
                if self._consumer is None:
                    await self._join()
                found = await self._exchange(limit, WAIT_S)
            except NotFound as error:
                if self._consumer is None:
                    raise
                self._lost(error)
            except Unavailable as error:
                if type(error) not in _PASSES or error.detail.get("lasting"):
                    raise
                emit(ConnectionLost(where="subscription", error=type(error).__name__))
            else:
                if found:
                    return found
                pause_s = _PAUSE_S[0]
                continue
            # Where requests are spread over processes, who joins anew may be unknown again at once.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            pause_s = min(pause_s * 2, _PAUSE_S[1])

    async def done(self, batch: Sequence[Received], *, conn: Connection | None = None) -> None:
        """Say that these were handled: with the next request, or `checkpoint`.

        Raises:
            InvalidArgument: with `conn`.
        """
        if conn is not None:
            raise InvalidArgument(
                "A service cannot store a checkpoint in your transaction.",
                hint="Use a client of the database (`Client(dsn)`), or keep the ids of the events that you handled.",
            )
        self._settled(batch, "done")

    async def failed(self, one: Received, error: BaseException) -> None:
        """Say that this event was not handled: it comes again after a back-off, or is set aside."""
        said = f"{type(error).__name__}: {error}"[:_SAID_MOST].encode(errors="replace").decode()
        self._settled([one], "failed", error=said)
        await self._tell()

    def split(self, batch: Sequence[Received]) -> None:
        """Let the events of a batch come again one at a time: nobody knows which of them failed."""
        self._settled(batch, "failed")

    async def checkpoint(self) -> None:
        """Store how far everything was handled. Raises `Unavailable`: the next request will have to tell it."""
        if self._consumer is None:
            return
        try:
            await self._exchange(0)
        except NotFound as error:
            self._lost(error)

    def _settled(self, batch: Sequence[Received], outcome: str, **more: Any) -> None:
        if batch:
            self._settle = {"call": batch[0].call, "outcome": outcome, **more}

    async def _tell(self) -> None:
        """Say now what became of the batch; where that cannot be, it goes with the next request."""
        try:
            await self.checkpoint()
        except Unavailable as error:
            emit(ConnectionLost(where="subscription", error=type(error).__name__))

    async def _exchange(self, limit: int, wait_s: float = 0.0, patience_s: float | None = None) -> list[Received]:
        """Say what became of the last batch and take the next one, under one number."""
        async with self._turn:
            self._call += 1
            settle = self._settle
            body = {"call": self._call, "limit": limit, "wait_s": wait_s, "settle": settle}
            path = f"{self._path}/{self._consumer}/next"
            how: dict[str, Any] = {"query": self._query, "body": orjson.dumps(body), "wait_s": wait_s}
            reply = await self._service.ask("POST", path, again=True, patience_s=patience_s, **how)
            self._asked_at = time.monotonic()
            if self._settle is settle:
                self._settle = None
            # Data may hold numbers longer than the faster parser keeps.
            return [Received(read_event(one).event(), self._call) for one in reply.exact()["events"]]

    async def _join(self) -> None:
        body = orjson.dumps({"about": self._about})
        # A consumer whose joining was answered to nobody asks for nothing, and is soon ended.
        reply = await self._service.ask("POST", self._path, query=self._query, body=body, again=True)
        told = reply.json()
        self._consumer, self._lease_s = str(told["consumer"]), float(told["lease_s"])
        self._call, self._settle, self._asked_at = 0, None, time.monotonic()

    def _lost(self, error: JobledgerError) -> None:
        """Take in that the service does not know this consumer: what is out comes again, from whoever is asked next."""
        self._consumer = self._settle = None
        emit(ConnectionLost(where="subscription", error=type(error).__name__))

    async def _keep(self) -> None:
        """Say that it lives where nothing was asked for a while, until cancelled."""
        while True:
            alive_s = min(ALIVE_S, self._lease_s / 3)
            left = self._asked_at + alive_s - time.monotonic()
            if left > 0 or self._consumer is None or self._turn.locked():
                await asyncio.sleep(max(left, alive_s / 4))
                continue
            try:
                await self._exchange(0, patience_s=0)
            except NotFound as error:
                self._lost(error)
            except JobledgerError as error:
                emit(ConnectionLost(where="subscription", error=type(error).__name__))
                await asyncio.sleep(alive_s / 4)
