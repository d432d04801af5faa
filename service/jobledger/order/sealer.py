"""The sealer: seals what was committed, often under load and seldom when nothing happens.

Any number of them may run; the one that is at it goes on, the others look only now and then whether it still is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Final

import asyncpg

from jobledger.errors import Forbidden, JobledgerError, NotOpen
from jobledger.observations import SealingStalled, emit
from jobledger.order.log import followed, log_end, seal
from jobledger.store.pool import COLLISIONS
from jobledger.store.recovery import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobledger.order.log import Sealing
    from jobledger.store.pool import Connection, Store

_log = logging.getLogger("jobledger.order")

BUSY_S: Final = 0.02
IDLE_S: Final = 0.25
TOLD_S: Final = 5.0
FOLLOWED_S: Final = 0.05
_ASK_S: Final = 5.0
_STANDBY_S: Final = 1.0
_STALLED_S: Final = 5.0
_NEWS_S: Final = 1.0


class Sealer:
    """Seals until cancelled: every 20 ms (`busy_s`) while there is something, four times a second (`idle_s`) else.

    While somebody follows the log live it looks every 50 ms: the first event after a pause is not to wait. Where ticks
    tell it four times a second whether there is something, it seldom looks by itself.
    """

    def __init__(
        self,
        store: Store,
        *,
        reopen: Callable[[], Awaitable[object]] | None = None,
        sealed: Callable[[], None] | None = None,
        busy_s: float = BUSY_S,
        idle_s: float = IDLE_S,
        stalled_s: float = _STALLED_S,
    ) -> None:
        """Prepare; `reopen` makes a restored or promoted database fit again (default: opening it).

        `sealed` is called when this sealer, or as far as it saw another one, has sealed something.
        """
        self._store = store
        self._reopen = reopen
        self._sealed = sealed
        self._busy_s = busy_s
        self._idle_s = idle_s
        self._stalled_s = stalled_s
        self._wake = asyncio.Event()
        self._last: int | None = None
        self._well_at = self._told_at = time.monotonic()
        self._asked_at = 0.0
        self._followed = self._at_once = False
        self._news_at = -_NEWS_S
        self.standing_by = False
        self.pause_s = busy_s

    def hint(self) -> None:
        """Something was, or is about to be, committed: look soon, unless another sealer is at it."""
        self._at_once = True
        self._wake.set()

    def told(self, *, unsealed: bool) -> None:
        """A tick has seen whether there is something to seal."""
        self._news_at = time.monotonic()
        if unsealed:
            self._wake.set()

    async def run(self) -> None:
        """Seal until cancelled. Ends at once for a role that is bound to tenants: it may not know what there was."""
        while True:
            began = time.monotonic()
            try:
                done = await self._well(self._look if self.standing_by else self._seal)
            except Forbidden:
                _log.info("this role is bound to tenants; sealing is left to others")
                return
            if done is None or self.standing_by:
                await asyncio.sleep(_STANDBY_S * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, no secret
                self.pause_s = self._busy_s
            elif not done.more:
                # Never more than half of the time, however long one takes.
                least = max(self._busy_s, time.monotonic() - began)
                self.pause_s = least if done.block is not None else min(max(self.pause_s, least) * 2, self._most())
                if await self._pause(self.pause_s, least):
                    self.pause_s = least / 2
                # A pause may be as long as a stall, and is none.
                self._well_at = time.monotonic()

    def _most(self) -> float:
        """Return how long a pause may be."""
        if self._followed:
            return min(self._idle_s, FOLLOWED_S)
        return TOLD_S if time.monotonic() - self._news_at < _NEWS_S else self._idle_s

    async def _seal(self, connection: Connection) -> Sealing:
        if self._last is None:
            self._last = (await log_end(connection, self._store.shard)).block
        done = await seal(connection, self._store.shard)
        if done.block is not None:
            # A block between was another's: two that seal at once would only halve each other's blocks.
            self.standing_by = done.block > self._last + 1
            self._last = done.block
            self._tell()
            self._followed, self._asked_at = done.followed, time.monotonic()
        elif time.monotonic() - self._asked_at > _ASK_S:
            self._followed, self._asked_at = await followed(connection, self._store.shard), time.monotonic()
        self.standing_by |= done.busy
        return done

    async def _look(self, connection: Connection) -> Sealing | None:
        """See whether the other is still at it, and take its place where nothing was sealed since the last look."""
        last, self._last = self._last, (await log_end(connection, self._store.shard)).block
        if last == self._last:
            return await self._seal(connection)
        self._tell()
        return None

    def _tell(self) -> None:
        if self._sealed is not None:
            self._sealed()

    async def _pause(self, pause_s: float, least: float) -> bool:
        """Wait so long, or to be woken where nothing happens; true for a hint."""
        if pause_s <= least:
            await asyncio.sleep(pause_s)
            return False
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        else:
            return self._at_once
        finally:
            self._at_once = False
            self._wake.clear()

    async def _well(self, work: Callable[[Connection], Awaitable[Sealing | None]]) -> Sealing | None:
        """Do it on a connection; what goes wrong is told when it lasts, and a database that must be opened is."""
        try:
            async with self._store.connection(ours=True, prompt=True) as connection:
                done = await work(connection)
        except Forbidden:
            raise
        except NotOpen as error:
            self._ill(error)
            await self._open()
        except (JobledgerError, OSError, asyncpg.InterfaceError, *COLLISIONS) as error:
            self._ill(error)
        except Exception as error:  # noqa: BLE001 - the readers wait for it
            _log.exception("sealing failed")
            self._ill(error)
        else:
            self._well_at = time.monotonic()
            return done
        return None

    async def _open(self) -> None:
        with contextlib.suppress(JobledgerError, OSError, asyncpg.InterfaceError, *COLLISIONS):
            await (self._reopen() if self._reopen is not None else open_store(self._store))

    def _ill(self, error: Exception) -> None:
        now = time.monotonic()
        for_s = now - self._well_at
        if for_s >= self._stalled_s and now - self._told_at >= self._stalled_s:
            self._told_at = now
            emit(SealingStalled(for_s, type(error).__name__))
