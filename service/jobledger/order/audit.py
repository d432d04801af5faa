"""Verifying: the whole log through the pure fold beside the tables, and the blocks beside the log.

The log is read once by its primary key, stream after stream, in pages; each page and what the tables say of its streams
are read in one snapshot of their own. So it needs the memory of some pages, holds nothing up, and the system goes on.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from jobledger.errors import NotOpen
from jobledger.order.audit_blocks import Blocks
from jobledger.order.audit_pages import PAGE_S, chunks, read_ahead
from jobledger.order.audit_streams import Stream, judged, orphans, rows_by_id
from jobledger.order.fault import Fault, Faults
from jobledger.order.log import log_end
from jobledger.order.positions import Positions
from jobledger.store.failures import translated
from jobledger.store.recovery import is_open
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobledger.order.audit_pages import Chunk
    from jobledger.store.pool import Store

    Progress = Callable[[str, int, int], None]

KEYS_PAGE: Final = 5_000
_WHOLE: Final = 1_000
_LOOKS: Final = 3
BETWEEN_LOOKS_S: Final = 1.0
_TURN: Final = 200


class Verified(NamedTuple):
    """What verifying found: sound where `faults_total` is 0. `faults` lists the first 1,000.

    `unsealed` events are committed and wait for their block.
    """

    events: int
    streams: int
    jobs: int
    blocks: int
    sealed: int
    unsealed: int
    elapsed_s: float
    faults_total: int
    faults: list[Fault]

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return self.faults_total == 0


async def verify(store: Store, *, fold: bool = True, order: bool = True, progress: Progress | None = None) -> Verified:
    """Compare the whole log with the tables (`fold`), and the blocks with the log (`order`), while the system goes on.

    Every stream is folded by the state machine, and its state, head, claim, attempts, dates and keys are compared with
    its row and with the views; the events of other streams are read. Blocks must follow each other, and take in each
    event once. What differs is looked at again before it is told. `progress(what, done, total)` is called per thousand.

    Raises:
        NotOpen: the live tables are not rebuilt on this server; there is nothing to compare the log with.
        Forbidden: the role is bound to tenants.
    """
    return await _Audit(store, fold, order, progress or _silent).run()


class _Audit:
    """One run."""

    def __init__(self, store: Store, fold: bool, order: bool, progress: Progress) -> None:
        self._store = store
        self._fold = fold
        self._order = order
        self._progress = progress
        self._faults = Faults()
        self._blocks = Blocks(store, self._faults)
        self._met = Positions()
        self._events = self._streams = self._jobs = 0

    async def run(self) -> Verified:
        began = time.perf_counter()
        if self._fold:
            async with self._store.connection(ours=True, prompt=True) as connection:
                if not await is_open(connection, self._store.shard):
                    raise NotOpen(hint="Run `jobledger open`, then verify.")
        async with self._store.connection(ours=True, prompt=True) as connection:
            end = await log_end(connection, self._store.shard)
        if self._order:
            await self._blocks.read(lambda last: self._tell("blocks", last, end.block))
        await self._whole_log(self._blocks.events or end.position)
        if self._fold:
            await self._keys("unique")
            await self._keys("idempotency")
            await self._look_again()
        if self._order:
            await self._blocks.settle()
        return Verified(
            *(self._events, self._streams, self._jobs, self._blocks.count, self._blocks.events),
            self._blocks.unsealed,
            time.perf_counter() - began,
            self._faults.total,
            self._faults.listed,
        )

    async def _whole_log(self, expected: int) -> None:
        stream: Stream | None = None
        async with aclosing(read_ahead(chunks(self._store, lean=not self._fold))) as source:
            async for chunk in source:
                stream = await self._take(chunk, stream)
                self._tell("events", self._events, expected)
        self._progress("events", _WHOLE, _WHOLE)

    def _tell(self, what: str, done: int, expected: int) -> None:
        # What was appended meanwhile comes on top, so the end is told apart.
        self._progress(what, min(done * _WHOLE // max(expected, done, 1), _WHOLE - 1), _WHOLE)

    async def _take(self, chunk: Chunk, stream: Stream | None, *, count: bool = True) -> Stream | None:
        """Fold a chunk, of which the first events may go on a stream; return the stream that goes on in the next."""
        streams = [stream] if stream is not None else []
        for at, row in enumerate(chunk.events):
            id = row["stream_id"]  # noqa: A001 - the domain's word
            if stream is None or stream.id != id:
                stream = Stream(id)
                streams.append(stream)
            if self._fold:
                stream.add(row)
            if count:
                self._meet(row["position"], id, row["version"])
            if at % _TURN == 0:
                await asyncio.sleep(0)
        if chunk.rows is None:
            return stream
        if self._fold:
            self._compare(chunk, streams)
        if count:
            self._streams += len(streams)
            self._jobs += sum(one.job is not None for one in streams)
        return None

    def _meet(self, position: int, stream: UUID, version: int) -> None:
        self._events += 1
        if not self._met.add(position):
            self._faults.add(Fault("position_repeated", stream, f"version {version} has the position of another event"))
        if self._order:
            self._blocks.met(position, stream, version)

    def _compare(self, chunk: Chunk, streams: Sequence[Stream]) -> None:
        rows = rows_by_id(chunk.rows or ())
        for stream in streams:
            for fault in judged(stream, rows.pop(stream.id, ()), gone=stream.id in chunk.gone):
                self._faults.add(fault)
        for fault in orphans(rows):
            self._faults.add(fault)
        for row in chunk.views:
            self._faults.add(Fault("view_differs", row["id"], f"{row['view']}: {row['found']}", row["expected"]))

    async def _keys(self, what: str) -> None:
        tenant = key = ""
        while True:
            async with self._store.connection(ours=True, answer_s=PAGE_S) as connection:
                with translated():
                    rows = await connection.fetch(
                        statement("order/verify_keys"), self._store.shard, what, tenant, key, KEYS_PAGE
                    )
            if not rows:
                return
            for row in rows[:-1]:
                self._faults.add(Fault("key_differs", row["id"], f"{what}: {row['fault']}"))
            tenant, key = rows[-1]["tenant"], rows[-1]["key"]

    async def _look_again(self) -> None:
        """Look at the streams that differ once more: a transaction prepared before a rebuild is repaired by tick."""
        for look in range(_LOOKS):
            again = self._faults.take_streams()
            if not again:
                return
            if look:
                await asyncio.sleep(BETWEEN_LOOKS_S)
            for stream in again:
                going_on: Stream | None = None
                async with aclosing(chunks(self._store, UUID(int=max(stream.int - 1, 0)), stream)) as source:
                    async for chunk in source:
                        going_on = await self._take(chunk, going_on, count=False)


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""
