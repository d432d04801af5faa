"""Listening: one connection on which the database says, on one channel, that something came.

It is a hint and no more: while the connection is lost (or none can be had, behind a transaction pooler) whoever waits
polls. What was said meanwhile is lost too, so each return of the connection is a reason to look.
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
from jobledger.store.pool import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobledger.store.pool import Connection

_log = logging.getLogger("jobledger.store")

_BACKOFF_S: Final = (0.1, 10.0)
_CHECK_S: Final = 30.0
_PATIENCE_S: Final = 10.0


class Listening:
    """Listens until cancelled; `connected` says whether the connection stands: without it nobody would hear.

    `channel` asks a connection for the channel's name, None for a role that may not listen; `still` is asked every half
    minute whether it is the right one (a line that is dead says nothing). `heard` gets the words of each hint, `stands`
    when the connection comes or goes; `where` names it in observations.
    """

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str,
        where: str,
        channel: Callable[[Connection], Awaitable[str | None]],
        still: Callable[[Connection, str], Awaitable[bool]],
        heard: Callable[[str], None],
        stands: Callable[[bool], None],
    ) -> None:
        """Prepare."""
        self._dsn = dsn
        self._application_name = application_name
        self._where = where
        self._channel = channel
        self._still = still
        self._heard = heard
        self._stands = stands
        self.connected = False

    async def run(self) -> None:
        """Listen until cancelled; ends at once for a role that may not."""
        backoff_s = _BACKOFF_S[0]
        while True:
            try:
                if not await self._listen():
                    _log.info("this role is bound to tenants and may not listen; it polls")
                    return
            except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                lost = type(error).__name__
            except Exception as error:  # noqa: BLE001 - a hint less must not end who waits for it
                _log.exception("listening failed")
                lost = type(error).__name__
            else:
                lost = "ConnectionDoesNotExistError"
            if self.connected:
                backoff_s = _BACKOFF_S[0]
            self._tell(False)
            emit(ConnectionLost(where=self._where, error=lost))
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            backoff_s = min(backoff_s * 2, _BACKOFF_S[1])

    async def _listen(self) -> bool:
        """Listen until the connection is lost; False if this role may not."""
        connection = await connect(self._dsn, application_name=self._application_name)
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            async with asyncio.timeout(_PATIENCE_S):
                name = await self._channel(connection)
                if name is None:
                    return False
                await connection.add_listener(name, lambda *said: self._heard(str(said[-1])))
            self._tell(True)
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_S):
                        await lost.wait()
                        return True
                async with asyncio.timeout(_PATIENCE_S):
                    if not await self._still(connection, name):
                        return True
            return True
        finally:
            connection.terminate()

    def _tell(self, stands: bool) -> None:
        self.connected = stands
        self._stands(stands)
