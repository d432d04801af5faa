"""The hub: one in a process, it reads each new block once and keeps the last of them for however many readers.

A reader that falls behind what the hub keeps reads the database again until it has caught up; so memory is bounded
whatever the readers do, and nobody waits for a slow one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from bisect import bisect_left
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

import asyncpg

from jobledger.errors import FeedReset, JobledgerError
from jobledger.observations import ConnectionLost, emit
from jobledger.order.filters import SHARED, Origins, named_jobs
from jobledger.order.listen import listen_dsn, sealed_ear
from jobledger.order.log import log_end, read_page
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobledger.order.cursor import Place
    from jobledger.order.log import Page, Sealed
    from jobledger.store.listen import Listening
    from jobledger.store.pool import Store

_log = logging.getLogger("jobledger.order")

KEPT_EVENTS: Final = 20_000
KEPT_BYTES: Final = 64 * 1024 * 1024
_QUICK_S: Final = 0.01
_SLOW_S: Final = 0.1
_HEARING_S: Final = 0.5
_BACKOFF_S: Final = 1.0
_PATIENCE: Final = 4
"""While more waits than is kept, those that read along are waited for so many times as long as reading a page took: the
same pages, read again for each of them, would take everybody longer."""
PATIENCE_S: Final = 1.0
"""The longest such wait: where one reader stands still, it holds up all others."""


class Batch:
    """What came after one place up to another, in order; by tenant where only one's are wanted."""

    def __init__(self, after: Place, page: Page) -> None:
        """Keep a page."""
        self.after = after
        self.upto = page.reached
        self.events = page.events
        self.size = page.size
        self._shared: list[Sealed] = []
        self._by_tenant: dict[str, list[Sealed]] | None = None

    @property
    def tenants(self) -> Iterable[str]:
        """The tenants that events are of."""
        return self._sorted().keys()

    def of(self, tenant: str | None, *, after: Place) -> list[Sealed]:
        """Return the events after a place; with a tenant its own, and those that name jobs of many."""
        if tenant is None:
            chosen = self.events
        else:
            mine = self._sorted().get(tenant, [])
            chosen = sorted([*mine, *self._shared], key=_in_order) if self._shared else mine
        if chosen and chosen[0].place <= after:
            return [one for one in chosen if one.place > after]
        return chosen

    def goes_on_from(self, place: Place) -> bool:
        """Say whether this is what came after a place of the same log: before its first event, or at one of them."""
        if place == self.after:
            return True
        at = bisect_left(self.events, place, key=_in_order)
        return at < len(self.events) and self.events[at].place == place

    def _sorted(self) -> dict[str, list[Sealed]]:
        if self._by_tenant is None:
            found: dict[str, list[Sealed]] = defaultdict(list)
            for one in self.events:
                (self._shared if one.event.type in SHARED else found[one.event.tenant]).append(one)
            self._by_tenant = dict(found)
        return self._by_tenant


class Ear:
    """What wakes one reader: events of its tenant, or any where it has none."""

    def __init__(self, store: Store, tenant: str | None) -> None:
        """Prepare."""
        self.store = store
        self.tenant = tenant
        self.place: Place | None = None
        """How far its reader is."""
        self._woken = False
        self._waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something came, or may have."""
        self._woken = True
        self._end()

    async def wait(self, timeout_s: float) -> bool:
        """Return when something came since the last time (true), or after so many seconds (false)."""
        # By hand: a thousand readers of one process wake thousands of times a second.
        if not self._woken:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(timeout_s, self._end)
            try:
                await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
        woken, self._woken = self._woken, False
        return woken

    def reads(self, batch: Batch) -> bool:
        """Say whether its reader is at this batch, and at work."""
        return self._waiting is None and self.place is not None and batch.after <= self.place < batch.upto

    def _end(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Hub:
    """Follows the log from its end for as long as somebody listens."""

    def __init__(self, key: _Key) -> None:
        """Prepare; the first ear begins."""
        self._key = key
        self.origins = Origins()
        self.reads = 0
        self._shard = key[2]
        self._ears: dict[str | None, set[Ear]] = defaultdict(set)
        self._batches: deque[Batch] = deque()
        self._held = [0, 0]
        self._place: Place | None = None
        self._task: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._hint = asyncio.Event()
        self._more = False
        self._ear: Listening | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return any(self._ears.values())

    def join(self, ear: Ear) -> None:
        """Wake this ear from now on; the first one begins reading."""
        self._ears[ear.tenant].add(ear)
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._follow(), name="jobledger-hub")
            dsn = listen_dsn(ear.store)
            if dsn is not None:
                self._ear = sealed_ear(dsn, self._shard, self._hint.set)
                self._listening = loop.create_task(self._ear.run(), name="jobledger-hub-listen")

    async def leave(self, ear: Ear) -> None:
        """Wake it no more; with the last one reading ends."""
        self._ears[ear.tenant].discard(ear)
        if not self._ears[ear.tenant]:
            del self._ears[ear.tenant]
        if self.wanted or self._task is None:
            return
        _hubs.pop(self._key, None)
        tasks = [task for task in (self._task, self._listening) if task is not None]
        self._task = self._listening = self._ear = None
        await end(tasks)

    def is_at(self, place: Place) -> bool:
        """Say whether this is how far was read."""
        return self._place == place

    def passed(self, place: Place) -> Place:
        """Return how far a reader is that has waited at a place and was not woken: nothing since then is for it."""
        return place if self._place is None else max(place, self._place)

    def first_after(self, place: Place) -> Batch | None:
        """Return what is kept right after a place; None where nothing is, or the hub does not reach back to it.

        Nor where its log does not have that place: the server fell back while the reader was busy, and only the
        database can tell it so.
        """
        if self._place is None or not self._batches or not self._batches[0].after <= place < self._place:
            return None
        found = self._batches[-1]
        for batch in reversed(self._batches):
            if batch.upto <= place:
                break
            found = batch
        return found if found.goes_on_from(place) else None

    async def _follow(self) -> None:
        pause_s = _QUICK_S
        while True:
            moved: bool | None
            try:
                moved = await self._read()
            except FeedReset:
                # The server is not the one it was; each reader finds out from its own place.
                self._forget()
                self._wake_all()
                moved = True
            except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                emit(ConnectionLost(where="hub", error=type(error).__name__))
                moved = None
            except Exception:  # noqa: BLE001 - the readers would wait for ever
                _log.exception("reading the log failed")
                moved = None
            pause_s = _QUICK_S if moved else min(pause_s * 1.3, _SLOW_S)
            if moved is None:
                await asyncio.sleep(_BACKOFF_S)
            elif self._ear is None or not self._ear.connected:
                await self._hinted(pause_s)
            elif not self._more:
                await self._hinted(_HEARING_S)

    async def _hinted(self, pause_s: float) -> None:
        """Wait until something was sealed, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._hint.wait()
        self._hint.clear()

    async def _read(self) -> bool:
        """Read what is new, and wake whoever it is for."""
        store = self._store()
        async with store.connection(ours=True, prompt=True) as connection:
            began = time.monotonic()
            if self._place is None:
                self._place = await log_end(connection, self._shard)
                self._wake_all()
            page = await read_page(connection, self._shard, self._place)
        self.reads += 1
        self._more = page.more
        if page.reached == self._place:
            return False
        await self._keep(Batch(self._place, page), store)
        await self._let_go(min((time.monotonic() - began) * _PATIENCE, PATIENCE_S) if page.more else 0.0)
        return True

    def _store(self) -> Store:
        """Return the store of any reader whose client was not closed; where all were, one of theirs, which says so."""
        ears = (ear for ears in self._ears.values() for ear in ears)
        first = next(ears)
        return (
            first.store
            if not first.store.closed
            else next((one.store for one in ears if not one.store.closed), first.store)
        )

    async def _keep(self, batch: Batch, store: Store) -> None:
        # Asked before anybody is woken, and once for all of them.
        jobs = [job for one in batch.events for job in named_jobs(one.event)]
        known = await self.origins.of(store, jobs) if jobs and len(self._ears) > (None in self._ears) else {}
        self._batches.append(batch)
        self._place = batch.upto
        self._held[0] += len(batch.events)
        self._held[1] += batch.size
        tenants = {*batch.tenants, *(origin.tenant for origin in known.values() if origin), None}
        for tenant in tenants & self._ears.keys():
            self._wake(self._ears[tenant])

    async def _let_go(self, patience_s: float) -> None:
        """Drop what is too much, the oldest first, and none that somebody still reads before so long a time."""
        until = time.monotonic() + patience_s
        while len(self._batches) > 1 and (self._held[0] > KEPT_EVENTS or self._held[1] > KEPT_BYTES):
            oldest = self._batches[0]
            if time.monotonic() < until and any(ear.reads(oldest) for ears in self._ears.values() for ear in ears):
                await asyncio.sleep(_QUICK_S)
                continue
            self._batches.popleft()
            self._held[0] -= len(oldest.events)
            self._held[1] -= oldest.size

    def _forget(self) -> None:
        self._batches.clear()
        self._held = [0, 0]
        self._place = None

    def _wake_all(self) -> None:
        for ears in self._ears.values():
            self._wake(ears)

    @staticmethod
    def _wake(ears: Iterable[Ear]) -> None:
        for ear in ears:
            ear.wake()


def _in_order(one: Sealed) -> Place:
    return one.place


_Key = tuple[asyncio.AbstractEventLoop, "str | int", int]
_hubs: dict[_Key, Hub] = {}


def join(store: Store, ear: Ear) -> Hub:
    """Return the hub that all readers of this database in this loop share; it wakes the ear until that leaves."""
    key = (asyncio.get_running_loop(), store.dsn or id(store), store.shard)
    hub = _hubs.get(key)
    if hub is None:
        hub = _hubs[key] = Hub(key)
    hub.join(ear)
    return hub
