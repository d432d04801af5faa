"""What keeps a database going where no worker runs: ticks, queue snapshots, sealing, projections."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Self

from jobledger.errors import BadInput
from jobledger.order.upkeep import Upkeep
from jobledger.store.mending import mend
from jobledger.store.recovery import open_store, take_snapshot
from jobledger.store.tasks import end
from jobledger.store.tick import TickResult, tick
from jobledger.worker.housekeeping import Ticker, copy_when
from jobledger.worker.lines import patiently

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jobledger.order.projections import Projection
    from jobledger.settings import Settings
    from jobledger.store.pool import Store

_log = logging.getLogger("jobledger.worker")

PATIENCE_S: Final = 60.0
"""When a tick that was not answered is given up: the line may be dead, and nothing else would become due."""


class Keeper:
    """Does, inside `async with`, what a worker does on the side. Any number may: most calls find it done."""

    def __init__(self, store: Store, settings: Settings, projections: Sequence[Projection] = ()) -> None:
        """Prepare; `projections` are the application's own."""
        self._store = store
        self._copy_due = asyncio.Event()
        self._opening = asyncio.Lock()
        self._upkeep = Upkeep(store, settings, projections, reopen=self.reopen)
        self._sides: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin."""
        ticker = Ticker(self._tick, reopen=self.reopen, ticked=self._ticked)
        works = [ticker.run(), copy_when(self._copy_due, self._copy), *self._upkeep.works().values()]
        loop = asyncio.get_running_loop()
        self._sides = [loop.create_task(work, name="jobledger-keeper") for work in works]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        await end(self._sides)

    def hint(self) -> None:
        """Something was appended: seal now."""
        self._upkeep.hint()

    async def reopen(self) -> None:
        """Open the store; whoever asks for it goes on, and asks again."""
        try:
            async with self._opening:
                await open_store(self._store)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next tick tries again
            _log.warning("the store could not be opened (%s); tried again", type(error).__name__)
            await asyncio.sleep(0.5)

    async def _tick(self, after: UUID | None) -> TickResult:
        try:
            async with self._store.connection(ours=True) as connection:
                return await patiently(connection, tick(connection, self._store.shard, after), PATIENCE_S)
        except BadInput as error:
            await mend(self._store, error, set())
            return TickResult(next=after)

    async def _copy(self) -> bool:
        async with self._store.connection() as connection:
            return await take_snapshot(connection, self._store.shard)

    def _ticked(self, result: TickResult) -> None:
        self._upkeep.ticked(result)
        if result.snapshot_due:
            self._copy_due.set()
