"""What a worker does on the side: ticks, its own limits, a new incarnation a day, and showing that its loop turns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING

import asyncpg

from jobledger.errors import JobledgerError, NotOpen
from jobledger.observations import ConnectionLost, emit
from jobledger.store.claim import Ticking
from jobledger.store.pool import COLLISIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from jobledger.store.tick import TickResult

_log = logging.getLogger("jobledger.worker")

TICK_S = 0.25
_BUSY_TICK_S = 0.02
_ALONE_S = 10.0
_LOST_MOST_S = 2.0
"""The longest pause while the database is away: each try is an observation, and a line of the log."""
_TURN_S = 1.0
COPY_S = 300.0
"""When a copy of the live tables is given up: the line may be dead. A million open jobs take a second or two."""


class Ticker:
    """Calls `tick` four times a second, again at once while it finds work that presses, less often while it is refused.

    The polls of a worker that waits do it in the same exchange (`riding`): then there is no call of its own.
    """

    def __init__(
        self,
        tick: Callable[[UUID | None], Awaitable[TickResult]],
        *,
        reopen: Callable[[], Awaitable[object]],
        ticked: Callable[[TickResult], None],
        every_s: float = TICK_S,
    ) -> None:
        """Prepare; `ticked` gets each answer."""
        self._tick = tick
        self._reopen = reopen
        self._ticked = ticked
        self._every_s = every_s
        self._after: UUID | None = None
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._last = self._alone_until = 0.0
        self._lost_s = 0.0

    def riding(self) -> Ticking | None:
        """Return what a poll needs to tick as well; None while a tick is under way or was only just."""
        now = time.monotonic()
        if self._lock.locked() or now < self._last + self._every_s / 2 or now < self._alone_until:
            return None
        return Ticking(self._after, self._said)

    def alone(self) -> None:
        """A poll that ticked as well has failed: for some seconds each goes alone, so that no tick stops the claims."""
        self._alone_until = time.monotonic() + _ALONE_S

    def hint(self) -> None:
        """Tick now."""
        self._wake.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            result = await self.once()
            pause_s = _BUSY_TICK_S if result is not None and result.presses else max(self._every_s, self._lost_s)
            self._wake.clear()
            ended = self._last = time.monotonic()
            # Many workers that started together must not tick together.
            while (left := self._last + pause_s * random.uniform(0.8, 1.2) - time.monotonic()) > 0:  # noqa: S311 - jitter
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._wake.wait()
                        break
                if self._last != ended:
                    pause_s = 1.5 * self._every_s  # the next poll will do it

    async def once(self) -> TickResult | None:
        """Tick once; None where the store could not."""
        async with self._lock:
            lost_s, self._lost_s = self._lost_s, 0.0
            try:
                result = await self._tick(self._after)
            except NotOpen:
                await self._reopen()
            except COLLISIONS:
                return None
            except (JobledgerError, OSError, asyncpg.InterfaceError) as error:
                emit(ConnectionLost(where="tick", error=type(error).__name__))
                self._lost_s = min(2 * max(self._every_s, lost_s), _LOST_MOST_S)
            except Exception:  # noqa: BLE001 - a worker goes on without ticks: others do them, too
                _log.exception("a tick failed")
            else:
                self._took(result)
                return result
            return None

    def _said(self, result: TickResult) -> None:
        self._last = time.monotonic()
        self._took(result)
        if result.presses:
            self.hint()

    def _took(self, result: TickResult) -> None:
        self._after = result.next
        self._ticked(result)


async def copy_when(due: asyncio.Event, copy: Callable[[], Awaitable[object]]) -> None:
    """Copy the live tables whenever a tick has said that it is due, until cancelled; no tick waits for it."""
    while True:
        await due.wait()
        try:
            async with asyncio.timeout(COPY_S):
                await copy()
        except (JobledgerError, OSError, asyncpg.InterfaceError, *COLLISIONS) as error:
            emit(ConnectionLost(where="snapshot", error=type(error).__name__))
        except Exception:  # noqa: BLE001 - without a copy the next recovery only takes longer
            _log.exception("the queue snapshot failed")
        due.clear()
        await asyncio.sleep(_TURN_S)


async def show_turning(turned: Callable[[], None], stall_after_s: float) -> None:
    """Tell the heartbeat's thread that this loop turns, at least four times in `stall_after_s`, until cancelled."""
    while True:
        turned()
        await asyncio.sleep(min(_TURN_S, stall_after_s / 4))


async def watch(look: Callable[[], None], every_s: float = 0.25) -> None:
    """Call `look` four times a second until cancelled."""
    while True:
        look()
        await asyncio.sleep(every_s)


class Renewal:
    """When a worker is due for a new incarnation: a day after the last, spread over an hour."""

    def __init__(self, after_s: float = 86_400.0) -> None:
        """Begin counting now."""
        self._after_s = after_s
        self.begin()

    def begin(self) -> None:
        """Count from now."""
        self._due = time.monotonic() + self._after_s * random.uniform(0.96, 1.0)  # noqa: S311 - spread, no secret

    @property
    def due(self) -> bool:
        """Say whether it is time."""
        return time.monotonic() >= self._due
