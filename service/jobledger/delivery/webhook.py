"""The deliverer: sends each webhook its events, and goes on until each of them was taken.

Every enabled webhook is a durable subscription; each process that delivers takes part in all of them and gets its
slices. The events of a slice, and so those of a job, go out one after the other: the next one after the one before was
taken. What an endpoint does not take comes again after a back-off, while other slices go on. What was sent may come
again after a crash: an endpoint knows it by its `webhook-id`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from jobledger.delivery import signature
from jobledger.delivery.sender import RETRY_AFTER_MOST_S, TIMEOUT_S, Sender
from jobledger.delivery.webhooks import EVENT, EVENTS, signing, wanted_by
from jobledger.errors import Forbidden, NotFound
from jobledger.events.cloudevent import CloudEvent
from jobledger.observations import WebhookDelivered, WebhookDisabled, WebhookFailed, emit, listeners
from jobledger.order.checkpoints import Lag, Options, Registered
from jobledger.order.consumer import Consumer
from jobledger.order.cursor import Place
from jobledger.order.filters import shown_by
from jobledger.order.holding import LOST, told_of
from jobledger.store.failures import translated
from jobledger.store.service_key import ServiceKey
from jobledger.store.statements import statement
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from jobledger.delivery.sender import Sent
    from jobledger.events import Event
    from jobledger.order.consumer import Delivery
    from jobledger.order.filters import Shown
    from jobledger.store.pool import Store

_log = logging.getLogger("jobledger.delivery")

LOOK_S: Final = 1.0
"""How often webhooks are looked for that are new, changed, disabled or removed."""
RENEW_S: Final = 5.0
AHEAD: Final = 200
"""Events of one webhook that are read ahead: there may be a thousand webhooks, whose endpoints are all slow."""
REQUESTS: Final = 64
"""Requests of one process that may be under way at a time."""
DISABLE_S: Final = 3 * 86_400.0
BACKOFF_S: Final = 1.0
BACKOFF_MOST_S: Final = 3_600.0
SPLIT_AFTER: Final = 3
"""Times in a row that a list met a fault of the server or no answer; from then on its events go one by one."""
_AGAIN_S: Final = 2.0
_TELL_S: Final = 1.0
_GONE: Final = 410
_NOT_FOR_GOOD: Final = frozenset({401, 403, 404, 408, 410, 425, 429})
"""Answers of 4xx that say nothing about the events of a batch."""


class Due(NamedTuple):
    """A webhook that is delivered to."""

    id: UUID
    name: str
    tenant: str | None
    url: str
    batch: int
    generation: int
    rotated_at: datetime | None
    changed_at: datetime
    registered: Registered


class Refused(NamedTuple):
    """Events that were not taken: when they come again, how often it was so by now, and whether that is all."""

    pause_s: float
    failures: int
    over: bool


class Deliverer:
    """Delivers for every webhook while `async with` holds it."""

    def __init__(
        self,
        store: Store,
        *,
        private: bool = False,
        timeout_s: float = TIMEOUT_S,
        disable_s: float = DISABLE_S,
        requests: int = REQUESTS,
        backoff_s: float = BACKOFF_S,
        look_s: float = LOOK_S,
        shown: Shown | None = None,
    ) -> None:
        """Prepare.

        `timeout_s` of one request; `disable_s` until a webhook is disabled one of whose events was not taken; `shown`
        is what becomes of each `job.enqueued` before it is sent.
        """
        self._store = store
        self._timeout_s = timeout_s
        self._disable_s = disable_s
        self._backoff_s = backoff_s
        self.look_s = look_s
        self._shown = shown
        self._places = asyncio.Semaphore(requests)
        self._sender = Sender(private=private, connections=requests)
        self._key: ServiceKey | None = None
        self._tasks: dict[UUID, tuple[datetime, asyncio.Task[None]]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to deliver."""
        await self._sender.__aenter__()
        self._looking = asyncio.get_running_loop().create_task(self._look(), name="jobledger-webhooks")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End: requests under way are given up, and come again from whoever delivers next."""
        if self._looking is not None:
            await end([self._looking])
        await self._end(list(self._tasks))
        await self._sender.__aexit__()

    async def _look(self) -> None:
        """Look for webhooks until cancelled: begin with what is new or was changed, end what is gone."""
        while True:
            try:
                await self._compare(await self._due())
            except Forbidden:
                _log.warning("no webhooks are delivered from here: the role is bound to tenants")
                return
            except LOST as error:
                told_of(error)
            except Exception:  # noqa: BLE001 - nothing would be delivered any more without a word
                _log.exception("looking for webhooks failed")
            await asyncio.sleep(self.look_s)

    async def _due(self) -> dict[UUID, Due]:
        async with self._store.connection(ours=True, prompt=True) as connection:
            if self._key is None:
                self._key = await ServiceKey.load(connection)
            with translated():
                rows = await connection.fetch(statement("delivery/webhook_due"), self._store.shard)
        return {row["id"]: _due_of(row) for row in rows}

    async def _compare(self, due: dict[UUID, Due]) -> None:
        stale = [
            id_
            for id_, (changed_at, task) in self._tasks.items()
            if task.done() or id_ not in due or due[id_].changed_at != changed_at
        ]
        await self._end(stale)
        for id_, one in due.items():
            if id_ not in self._tasks:
                task = asyncio.get_running_loop().create_task(self._serve(one), name="jobledger-webhook")
                self._tasks[id_] = (one.changed_at, task)

    async def _end(self, ids: Sequence[UUID]) -> None:
        await end([self._tasks.pop(id_)[1] for id_ in ids])

    async def _serve(self, one: Due) -> None:
        """Deliver for one webhook until cancelled, or it is gone or disabled."""
        while True:
            try:
                consumer = Consumer(self._store, one.registered, about="webhooks", renew_s=RENEW_S, ahead=AHEAD)
                async with consumer as taking:
                    await _Delivering(self, one, taking).go_on()
                    return
            except NotFound:
                return
            except LOST as error:
                told_of(error)
            except Exception:  # noqa: BLE001 - the webhook would stand still without a word
                _log.exception("delivering for a webhook failed")
            await asyncio.sleep(_AGAIN_S)

    async def send(self, one: Due, events: Sequence[Event]) -> Sent:
        """Send events to a webhook's endpoint, once a place is free."""
        assert self._key is not None  # noqa: S101 - what is due was looked up with it
        whole = one.tenant is None and one.registered.wanted.owner is None
        texts = [CloudEvent.of(await shown_by(self._shown, event), whole=whole).json_text() for event in events]
        body = texts[0] if one.batch == 1 else b"[" + b",".join(texts) + b"]"
        async with self._places:
            headers = signature.sign(signing(self._key, one.id, one.generation, one.rotated_at), _message(events), body)
            headers["Content-Type"] = EVENT if one.batch == 1 else EVENTS
            return await self._sender.post(one.url, body, headers, timeout_s=self._timeout_s)

    async def took(self, one: Due, slices: Sequence[int], status: int) -> bool:
        """Note that events of these slices were taken; false where the database could not be told."""
        try:
            async with self._store.connection(ours=True, prompt=True) as connection:
                with translated():
                    await connection.execute(
                        statement("delivery/webhook_succeeded"), self._store.shard, one.id, slices, status
                    )
        except LOST as error:
            told_of(error)
            return False
        return True

    async def refused(self, one: Due, slices: Sequence[int], sent: Sent) -> Refused:
        """Count that events were not taken."""
        failures, disabled = 1, False
        try:
            async with self._store.connection(ours=True, prompt=True) as connection:
                with translated():
                    row = await connection.fetchrow(
                        statement("delivery/webhook_failed"),
                        *(self._store.shard, one.id, slices, sent.status, sent.fault, sent.status == _GONE),
                        *(self._disable_s, "jobledger"),
                    )
            if row is None:
                return Refused(0.0, 0, True)
            failures, disabled = row["failures"], row["disabled"]
        except LOST as error:
            told_of(error)
        emit(WebhookFailed(one.id, one.tenant, sent.told, failures))
        if disabled:
            why = "gone" if sent.status == _GONE else "failed_too_long"
            emit(WebhookDisabled(one.id, one.tenant, why))
        return Refused(self._pause_s(failures, sent.retry_after_s), failures, disabled)

    def _pause_s(self, failures: int, asked_s: float | None) -> float:
        """Return how long to wait: twice as long each time, up to an hour, spread; longer where it was asked for."""
        pause_s = min(BACKOFF_MOST_S, self._backoff_s * 2.0 ** min(30, failures - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
        return max(pause_s, min(asked_s or 0.0, RETRY_AFTER_MOST_S))


class _Delivering:
    """One consumer's deliveries for one webhook."""

    def __init__(self, deliverer: Deliverer, one: Due, taking: Consumer) -> None:
        """Prepare."""
        self._deliverer = deliverer
        self._one = one
        self._taking = taking
        self._well: set[tuple[int, int]] = set()
        self._told_at = 0.0

    async def go_on(self) -> None:
        """Deliver until the webhook is disabled, removed (`NotFound`) or the caller cancels."""
        while True:
            out = await self._taking.next(self._one.batch)
            began = time.perf_counter()
            sent = await self._deliverer.send(self._one, [one.event for one in out])
            slices = sorted({one.share.taken.slice for one in out})
            if sent.ok:
                await self._taking.done(out)
                await self._tell(out, slices, sent)
                if listeners:
                    emit(WebhookDelivered(self._one.id, self._one.tenant, len(out), time.perf_counter() - began))
                continue
            self._well -= {(one.share.taken.slice, one.share.taken.taken) for one in out}
            if (
                len(out) > 1
                and sent.status is not None
                and 400 <= sent.status < 500
                and sent.status not in _NOT_FOR_GOOD
            ):
                # It may be one of them only: each gets a request of its own.
                self._taking.split(out)
                continue
            refused = await self._deliverer.refused(self._one, slices, sent)
            self._taking.postpone(out, refused.pause_s)
            if len(out) > 1 and refused.failures >= SPLIT_AFTER and (sent.status is None or sent.status >= 500):
                # It may still be one of them that its endpoint stumbles over: the others are not to wait for it.
                self._taking.split(out)
            if refused.over:
                # Whoever looks for webhooks ends this: ended while it leaves by itself, its slices would stay leased.
                await asyncio.sleep(3 * self._deliverer.look_s)
                return

    async def _tell(self, out: Sequence[Delivery], slices: Sequence[int], sent: Sent) -> None:
        """Note a success: the first of each slice that may have failed before, and else once a second."""
        mine = {(one.share.taken.slice, one.share.taken.taken) for one in out}
        now = time.monotonic()
        is_due = mine - self._well or now >= self._told_at + _TELL_S
        if is_due and sent.status is not None and await self._deliverer.took(self._one, slices, sent.status):
            self._well |= mine
            self._told_at = now


def _message(events: Sequence[Event]) -> str:
    """Return the id of a request: the same for every try of the same events."""
    first = f"{events[0].stream_id}/{events[0].version}"
    return first if len(events) == 1 else f"{first}+{events[-1].stream_id}/{events[-1].version}"


def _due_of(row: asyncpg.Record) -> Due:
    wanted, kind = wanted_by(row)
    options = Options(row["slices"], False, 1000, 1.0, row["lease_s"])
    registered = Registered(
        *(row["id"], wanted.tenant, f"webhook:{row['id']}", wanted, kind, options, False),
        *(row["created_at"], row["changed_at"], 0, 0, Place(), Lag(0, 0.0, True)),
    )
    return Due(
        *(row["id"], row["name"], wanted.tenant, row["url"], row["batch"], row["generation"], row["rotated_at"]),
        *(row["changed_at"], registered),
    )
