"""How far the sealer is behind while something else is measured."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.quantiles import spread
from jobledger.errors import Unavailable
from jobledger.store import pool
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.bench.measurement import Bench
    from jobledger.store.pool import Connection

_EVERY_S: Final = 0.1
_PATIENCE_S: Final = 60.0


class Lag:
    """Looks ten times a second: sealed is behind by the time since there was more than is sealed now."""

    def __init__(self, connection: Connection) -> None:
        """Look by this connection."""
        self._connection = connection
        self._looking = asyncio.Lock()
        self._drawn: deque[tuple[float, int]] = deque()
        self._behind_s: list[float] = []

    async def look(self) -> tuple[int, int]:
        """Look once, and return how many positions are drawn, and up to which is sealed."""
        # `watch` goes on beside who waits to catch up, and a connection takes one statement at a time.
        async with self._looking:
            row = await self._connection.fetchrow(statement("bench/sealed_upto"))
        assert row is not None  # noqa: S101 - one row always
        now, drawn, sealed = time.monotonic(), row["drawn"], row["sealed"]
        while self._drawn and self._drawn[0][1] <= sealed:
            self._drawn.popleft()
        self._behind_s.append(now - self._drawn[0][0] if self._drawn else 0.0)
        if drawn > sealed:
            self._drawn.append((now, drawn))
        return drawn, sealed

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def caught_up(self) -> float:
        """Wait until what was drawn by now is sealed; return the seconds that took.

        Raises:
            Unavailable: nobody seals.
        """
        began = time.monotonic()
        goal, sealed = await self.look()
        while sealed < goal:
            if time.monotonic() - began > _PATIENCE_S:
                raise Unavailable(f"What was written is not sealed {_PATIENCE_S:.0f} s later.")
            await asyncio.sleep(_EVERY_S / 10)
            _, sealed = await self.look()
        return time.monotonic() - began

    def figures(self) -> dict[str, Any]:
        """Return how far it was behind, in seconds."""
        return {"sealer_behind_s": spread(self._behind_s)}


@asynccontextmanager
async def watching(bench: Bench) -> AsyncIterator[Lag]:
    """Look by a connection of its own within the block."""
    connection = await pool.connect(bench.dsn, application_name="jobledger-bench")
    lag = Lag(connection)
    task = asyncio.create_task(lag.watch())
    try:
        yield lag
    finally:
        task.cancel()
        await asyncio.wait([task])
        await connection.close()
