"""The order of the log, checked: each block begins where the last one ended, and no event lies in two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobledger.order.audit_pages import PAGE_S
from jobledger.order.fault import Fault
from jobledger.order.positions import Positions
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from jobledger.order.fault import Faults
    from jobledger.store.pool import Connection, Store

BLOCKS_PAGE: Final = 50
UNSEALED_MOST: Final = 1_000_000
_AT_ONCE: Final = 10_000


class Blocks:
    """The blocks as far as they were read, and which positions they take in."""

    def __init__(self, store: Store, faults: Faults) -> None:
        """Begin before the first block."""
        self._store = store
        self._faults = faults
        self._sealed = Positions()
        self.last = 0
        self.count = 0
        self.events = 0
        self._unsealed: list[tuple[int, UUID, int]] = []
        self.unsealed = 0

    async def read(self, progress: Callable[[int], None] | None = None) -> None:
        """Read the blocks that have come since the last time, to the end."""
        while True:
            async with self._store.connection(ours=True, answer_s=PAGE_S) as connection:
                with translated():
                    rows = await connection.fetch(
                        statement("order/verify_blocks"), self._store.shard, self.last, BLOCKS_PAGE
                    )
            for row in rows:
                self._take(row["block"], row["count"], row["positions"], row["thinned"], row["fault"])
            if len(rows) < BLOCKS_PAGE:
                return
            if progress is not None:
                progress(self.last)

    def _take(self, block: int, count: int, positions: list[int], thinned: bool, fault: str | None) -> None:
        self.last = block
        self.count += 1
        self.events += len(positions)
        if fault is not None:
            self._faults.add(Fault("block_out_of_order", None, f"block {block}: {fault}"))
        # Retention takes events of blocks before the horizon, and leaves their counts.
        if len(positions) > count or (len(positions) < count and not thinned):
            self._faults.add(Fault("block_count", None, f"block {block} takes in {len(positions)} events", str(count)))
        twice = self._sealed.add_all(positions)
        if twice:
            said = f"block {block} takes in {len(twice)} events of other blocks, the first at position {min(twice)}"
            self._faults.add(Fault("sealed_twice", None, said))

    def met(self, position: int, stream: UUID, version: int) -> None:
        """Note an event of the log; one that lies in no block yet is looked for again at the end."""
        if position not in self._sealed:
            self.unsealed += 1
            if len(self._unsealed) < UNSEALED_MOST:
                self._unsealed.append((position, stream, version))

    async def settle(self) -> None:
        """Read what was sealed meanwhile, and name the events that should lie in a block and lie in none."""
        await self.read()
        self._unsealed = [one for one in self._unsealed if one[0] not in self._sealed]
        self.unsealed = len(self._unsealed)
        for start in range(0, len(self._unsealed), _AT_ONCE):
            part = self._unsealed[start : start + _AT_ONCE]
            async with self._store.connection(ours=True, answer_s=PAGE_S) as connection:
                for stream, version, position in await self._forgotten(connection, part):
                    said = f"version {version}, at position {position}, lies in no block"
                    self._faults.add(Fault("never_sealed", stream, said))

    async def _forgotten(
        self, connection: Connection, part: list[tuple[int, UUID, int]]
    ) -> list[tuple[UUID, int, int]]:
        with translated():
            rows = await connection.fetch(
                statement("order/verify_unsealed"),
                self._store.shard,
                self.last,
                [stream for _, stream, _ in part],
                [version for _, _, version in part],
            )
        return [(row["stream_id"], row["version"], row["position"]) for row in rows]
