"""The listener: one connection of a process, shared by its workers, on which the database says that a job came.

It is a hint and no more: while the connection is lost (or none can be had, behind a transaction pooler) the workers
poll. What was said meanwhile is lost too, so each return of the connection is a reason to poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from jobledger.errors import JobledgerError
from jobledger.observations import ConnectionLost, emit
from jobledger.store.pool import connect
from jobledger.store.workers import channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_log = logging.getLogger("jobledger.worker")

_BACKOFF_S = (0.1, 10.0)
_CHECK_S = 30.0
_PATIENCE_S = 10.0


class Ears(NamedTuple):
    """What one worker wants to be told: that a job came, and whether the connection stands."""

    heard: Callable[[], None]
    stands: Callable[[bool], None]


class Listener:
    """Listens on the channel of one database and shard until nobody wants to hear any more."""

    def __init__(self, dsn: str, shard: int) -> None:
        """Prepare; `join` begins."""
        self._dsn = dsn
        self._shard = shard
        self._ears: list[Ears] = []
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to hear."""
        return bool(self._ears)

    def join(self, ears: Ears) -> None:
        """Tell one more worker; the first one opens the connection."""
        self._ears.append(ears)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_listening(), name="jobledger-listen")
        elif self.connected:
            ears.stands(True)

    async def leave(self, ears: Ears) -> None:
        """Tell this worker no more; the last one closes the connection."""
        self._ears.remove(ears)
        if not self._ears and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def _keep_listening(self) -> None:
        backoff_s = _BACKOFF_S[0]
        while True:
            try:
                if not await self._listen():
                    _log.info("this role is bound to tenants and may not listen; its workers poll")
                    return
            except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                lost = type(error).__name__
            except Exception as error:  # noqa: BLE001 - a hint less must not end the worker
                _log.exception("the listener failed")
                lost = type(error).__name__
            else:
                lost = "ConnectionDoesNotExistError"
            if self.connected:
                backoff_s = _BACKOFF_S[0]
            self._tell(False)
            emit(ConnectionLost(where="listen", error=lost))
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            backoff_s = min(backoff_s * 2, _BACKOFF_S[1])

    async def _listen(self) -> bool:
        """Listen until the connection is lost; False if this role may not."""
        connection = await connect(self._dsn, application_name="jobledger listener")
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            async with asyncio.timeout(_PATIENCE_S):
                name = await channel(connection, self._shard)
                if name is None:
                    return False
                await connection.add_listener(name, self._heard)
            self._tell(True)
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_S):
                        await lost.wait()
                        return True
                # A line that is dead says nothing: ask, now and then, whether anybody is there.
                async with asyncio.timeout(_PATIENCE_S):
                    if await channel(connection, self._shard) != name:
                        return True
            return True
        finally:
            connection.terminate()

    def _heard(self, *_: object) -> None:
        for ears in tuple(self._ears):
            ears.heard()

    def _tell(self, stands: bool) -> None:
        self.connected = stands
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
