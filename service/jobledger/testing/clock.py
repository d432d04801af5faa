"""A settable clock for databases made for tests: another body of `jobledger.now()` that reads one row.

Everything the database decides by time (due jobs, leases, time-outs, kill dates, partitions) follows it, so a test
waits for nothing. Never install it in a database that does real work: it cannot be taken out again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from jobledger.store.statements import statement

if TYPE_CHECKING:
    from jobledger.store.pool import Store


class Clock:
    """The clock of one test database. It runs like the server's own until it is moved or stopped."""

    def __init__(self, store: Store) -> None:
        """Use `store`; call `install` once."""
        self._store = store

    async def install(self) -> None:
        """Give the database the settable clock; doing it twice does nothing."""
        async with self._store.transaction() as connection:
            for name in ("clock_table", "clock_row", "clock_now"):
                await connection.execute(statement(f"testing/{name}"))

    async def now(self) -> datetime:
        """Return the time as jobledger sees it."""
        async with self._store.connection() as connection:
            return cast("datetime", await connection.fetchval(statement("testing/clock_read")))

    async def stand(self, at: datetime | None = None) -> datetime:
        """Stop the clock at `at` (default: now), and return that moment; only `advance` and `set` move it then."""
        moment = at or await self.now()
        await self._run("clock_stand", moment)
        return moment

    async def run(self) -> None:
        """Let a standing clock go on from where it stands."""
        await self._run("clock_stand", None)

    async def set(self, at: datetime) -> None:
        """Let the clock run on from `at`."""
        await self._run("clock_move", at)

    async def advance(self, by: timedelta | None = None, **parts: float) -> None:
        """Move the clock by a duration: `advance(hours=2)` or `advance(timedelta(days=8))`; also backwards."""
        await self._run("clock_advance", by if by is not None else timedelta(**parts))

    async def _run(self, name: str, value: object) -> None:
        async with self._store.connection() as connection:
            await connection.execute(statement(f"testing/{name}"), value)
