"""The hub's ear: a connection on which the database says that a block was sealed.

It is a hint and no more: while the connection is lost (or none can be had, behind a transaction pooler) the hub polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Final

import asyncpg

from jobledger.errors import JobledgerError
from jobledger.observations import ConnectionLost, emit
from jobledger.settings import Settings
from jobledger.store.failures import translated
from jobledger.store.pool import connect
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobledger.store.pool import Store

_log = logging.getLogger("jobledger.order")

_BACKOFF_S: Final = (0.1, 10.0)
_CHECK_S: Final = 30.0
_PATIENCE_S: Final = 10.0


def listen_dsn(store: Store) -> str | None:
    """Return where to listen: behind a transaction pooler only at an address past it. None: poll."""
    settings = Settings()
    if settings.notify == "off" or store.dsn is None:
        return None
    if settings.listen_dsn is not None:
        return settings.listen_dsn.get_secret_value()
    return store.dsn if store.pooler == "none" else None


class SealedEar:
    """Listens until cancelled. `stands` says whether the connection does: without it nobody would hear."""

    def __init__(self, dsn: str, shard: int, heard: Callable[[], None]) -> None:
        """Prepare; `heard` is called for each hint, and when the connection comes or goes."""
        self._dsn = dsn
        self._shard = shard
        self._heard = heard
        self.stands = False

    async def run(self) -> None:
        """Listen until cancelled; ends at once for a role that is bound to tenants."""
        backoff_s = _BACKOFF_S[0]
        while True:
            try:
                if not await self._listen():
                    return
            except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                lost = type(error).__name__
            except Exception as error:  # noqa: BLE001 - a hint less must not end the readers
                _log.exception("the ear of the readers failed")
                lost = type(error).__name__
            else:
                lost = "ConnectionDoesNotExistError"
            if self.stands:
                backoff_s = _BACKOFF_S[0]
            self._tell(False)
            emit(ConnectionLost(where="hub_listen", error=lost))
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            backoff_s = min(backoff_s * 2, _BACKOFF_S[1])

    async def _listen(self) -> bool:
        """Listen until the connection is lost; False if this role may not."""
        connection = await connect(self._dsn, application_name="jobledger reader")
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            async with asyncio.timeout(_PATIENCE_S):
                with translated():
                    name = await connection.fetchval(statement("order/follow_channel"), self._shard)
                if name is None:
                    return False
                await connection.add_listener(name, lambda *_: self._heard())
            self._tell(True)
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_S):
                        await lost.wait()
                        return True
                # A line that is dead says nothing: ask, now and then, whether anybody is there.
                async with asyncio.timeout(_PATIENCE_S):
                    await connection.fetchval(statement("order/still_there"))
            return True
        finally:
            connection.terminate()

    def _tell(self, stands: bool) -> None:
        self.stands = stands
        self._heard()
