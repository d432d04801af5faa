"""The listener: one connection of a process, shared by its workers, on which the database says that a job came."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from jobledger.store.listen import Listening
from jobledger.store.tasks import end
from jobledger.store.workers import channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jobledger.store.pool import Connection


class Hint(NamedTuple):
    """A job that came alone, as the notification names it."""

    job: UUID
    tenant: str
    queue: str
    kind: str

    @classmethod
    def read(cls, words: str) -> Hint | None:
        """Return the hint of a notification; None for one without words, which is about any number of jobs.

        Whoever may connect may notify, with other words, too: they are taken for none.
        """
        try:
            job, tenant, queue, kind = words.split()
            return cls(UUID(job), tenant, queue, kind)
        except ValueError:
            return None


class Ears(NamedTuple):
    """What one worker wants to be told: that a job came (which, where it is one alone), and whether the line stands."""

    heard: Callable[[Hint | None], None]
    stands: Callable[[bool], None]


class Listener:
    """Listens on the channel of one database and shard until nobody wants to hear any more."""

    def __init__(self, dsn: str, shard: int) -> None:
        """Prepare; `join` begins."""
        self._shard = shard
        self._ears: list[Ears] = []
        self._task: asyncio.Task[None] | None = None
        self._listening = Listening(
            dsn,
            application_name="jobledger listener",
            where="listen",
            channel=self._channel,
            still=self._still,
            heard=self._heard,
            stands=self._tell,
        )

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self._listening.connected

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to hear."""
        return bool(self._ears)

    def join(self, ears: Ears) -> None:
        """Tell one more worker; the first one opens the connection."""
        self._ears.append(ears)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listening.run(), name="jobledger-listen")
        elif self.connected:
            ears.stands(True)

    async def leave(self, ears: Ears) -> None:
        """Tell this worker no more; the last one closes the connection."""
        self._ears.remove(ears)
        if not self._ears and self._task is not None:
            task, self._task = self._task, None
            await end([task])

    async def _channel(self, connection: Connection) -> str | None:
        return await channel(connection, self._shard)

    async def _still(self, connection: Connection, name: str) -> bool:
        return await channel(connection, self._shard) == name

    def _heard(self, words: str) -> None:
        hint = Hint.read(words)
        for ears in tuple(self._ears):
            ears.heard(hint)

    def _tell(self, stands: bool) -> None:
        for ears in tuple(self._ears):
            ears.stands(stands)


_listeners: dict[tuple[asyncio.AbstractEventLoop, str, int], Listener] = {}


@contextlib.asynccontextmanager
async def listening(dsn: str | None, shard: int, ears: Ears) -> AsyncIterator[None]:
    """Be told of jobs inside the block, by the connection that all workers of this loop share; no address: polling."""
    if dsn is None:
        yield
        return
    key = (asyncio.get_running_loop(), dsn, shard)
    listener = _listeners.setdefault(key, Listener(dsn, shard))
    listener.join(ears)
    try:
        yield
    finally:
        await listener.leave(ears)
        if not listener.wanted and _listeners.get(key) is listener:
            del _listeners[key]
