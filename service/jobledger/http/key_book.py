"""The keys as one process knows them: looked up at most once a second each, and when they were used, written down.

What was revoked is let in for `FRESH_S` longer at most, and its open streams end within `LOOK_S` and a round trip.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from aiohttp.web import RequestKey

from jobledger.errors import JobledgerError
from jobledger.http.access import Access
from jobledger.http.running import SHARED_S
from jobledger.store import keys
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from jobledger.store.pool import Store

FRESH_S: Final = 1.0
"""Seconds for which a key is taken for what it was when it was looked up."""
LOOK_S: Final = 1.0
"""Seconds between two looks at the keys of what is open."""
NOTE_S: Final = 60.0
"""Seconds between two notes of when keys were used."""
KNOWN_MOST: Final = 10_000
"""Keys that a process remembers, those that are none among them; the one longest not looked up goes first."""
_CLOCK_S: Final = 10.0
_DAY_S: Final = 86_400.0
_log = logging.getLogger("jobledger.http")

asking: ContextVar[Access | None] = ContextVar("asking", default=None)
"""Who asks in the request that is being answered."""
ASKS: Final = RequestKey("asks", Access)
"""The same, by the request."""


class KeyBook:
    """What one process knows of the keys, of the database's clock, and of who has a stream or long poll open."""

    def __init__(self, store: Store) -> None:
        """Know nothing yet."""
        self._store = store
        self._service_key: ServiceKey | None = None
        self._known: OrderedDict[bytes | UUID, tuple[float, keys.FoundKey | None]] = OrderedDict()
        self._under_way: dict[bytes | UUID, asyncio.Task[keys.FoundKey | None]] = {}
        self._used: dict[UUID, float] = {}
        self._open: dict[int, tuple[asyncio.Task[object], Access]] = {}
        self._clock: tuple[datetime, float] | None = None

    async def service_key(self) -> ServiceKey:
        """Return the service's own key; read once."""
        if self._service_key is None:
            async with self._store.connection(ours=True) as connection:
                self._service_key = await ServiceKey.load(connection)
        return self._service_key

    async def now(self) -> datetime:
        """Return the database's clock, read at most every ten seconds."""
        if self._clock is None or time.monotonic() - self._clock[1] > _CLOCK_S:
            async with self._store.connection(ours=True) as connection:
                self._told(await keys.clock(connection))
        assert self._clock is not None  # noqa: S101 - it was just read
        at, since = self._clock
        return at + timedelta(seconds=time.monotonic() - since)

    async def find(self, text: str) -> keys.FoundKey | None:
        """Return the key of a text; None where it is none, or counts no more. Only what may be one is looked up."""
        which = keys.hashed(text)
        known = self._known.get(which)
        if known is not None and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        if not keys.is_key(await self.service_key(), text):
            return None
        return await self._look_up(which)

    async def find_id(self, id_: UUID) -> keys.FoundKey | None:
        """Return the key of an id, with which a token was made."""
        return await self._look_up(id_)

    def forget(self, id_: UUID) -> None:
        """Look a key up again when it comes next: it was revoked here."""
        for which, (_, key) in list(self._known.items()):
            if which == id_ or (key is not None and key.id == id_):
                del self._known[which]

    def used(self, id_: UUID) -> None:
        """Note that a key was used, in memory."""
        if id_ in self._used or len(self._used) < KNOWN_MOST:
            self._used[id_] = time.monotonic()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """End this request's handler, for a block, once who asks may no longer: its key was revoked, or is over."""
        access, task = asking.get(), asyncio.current_task()
        if access is None or task is None or (access.key is None and access.expires_at is None):
            yield
            return
        self._open[id(task)] = (task, access)
        try:
            yield
        finally:
            self._open.pop(id(task), None)

    async def keep(self) -> None:
        """Look after what is open, and write down what was used, until cancelled."""
        noted = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
                if time.monotonic() - noted >= NOTE_S:
                    noted = time.monotonic()
                    await self.note()
            except (JobledgerError, OSError):
                # A database that does not answer: what is open has nothing to tell either, and the next look is soon.
                continue
            except Exception:  # noqa: BLE001 - a task that nobody waits for
                # Whatever it was: what is open must go on being looked at.
                _log.exception("looking after the keys failed")

    async def look(self) -> None:
        """Cancel the handlers of those who may no longer."""
        held = {access.key for _, access in self._open.values() if access.key is not None}
        if not self._open:
            return
        async with self._store.connection(ours=True, answer_s=SHARED_S) as connection:
            counting = await keys.standing(connection, self._store.shard, held) if held else frozenset()
            self._told(await keys.clock(connection))
        now = await self.now()
        for task, access in list(self._open.values()):
            revoked = access.key in held and access.key not in counting
            if revoked or (access.expires_at is not None and access.expires_at <= now):
                task.cancel()

    async def note(self) -> None:
        """Write down when keys were used since the last note."""
        used, self._used = self._used, {}
        if not used:
            return
        now = time.monotonic()
        ago = {id_: min(now - at, _DAY_S) for id_, at in used.items()}
        try:
            async with self._store.connection(ours=True, answer_s=SHARED_S) as connection:
                await keys.note_used(connection, self._store.shard, ago)
        except (JobledgerError, OSError):
            # The latest of them, as many as one note takes: more would be refused for ever.
            both = used | self._used
            self._used = dict(sorted(both.items(), key=lambda one: one[1])[-KNOWN_MOST:])
            raise

    async def _look_up(self, which: bytes | UUID) -> keys.FoundKey | None:
        known = self._known.get(which)
        if known is not None and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        # Requests of the same moment share one look; one that goes away takes it from nobody.
        task = self._under_way.get(which)
        if task is None:
            task = self._under_way[which] = asyncio.create_task(self._ask(which))
            task.add_done_callback(lambda done: self._asked(which, done))
        return await asyncio.shield(task)

    async def _ask(self, which: bytes | UUID) -> keys.FoundKey | None:
        # From before the question on: what is revoked while it is under way is let in no longer than said.
        since = time.monotonic()
        shard = self._store.shard
        # On a dead line nobody would ever ask again.
        async with self._store.connection(ours=True, answer_s=SHARED_S) as connection:
            if isinstance(which, bytes):
                found = await keys.find_key(connection, shard, hash_=which)
            else:
                found = await keys.find_key(connection, shard, id_=which)
        self._told(found.at)
        self._known[which] = (since, found.key)
        self._known.move_to_end(which)
        if len(self._known) > KNOWN_MOST:
            self._known.popitem(last=False)
        return found.key

    def _asked(self, which: bytes | UUID, done: asyncio.Task[keys.FoundKey | None]) -> None:
        del self._under_way[which]
        if not done.cancelled():
            done.exception()

    def _told(self, at: datetime) -> None:
        self._clock = (at, time.monotonic())
