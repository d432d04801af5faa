"""Partitions of the log: which there are, those to come, and old ones that are given up with everything in them.

Dropping goes by steps, each of which may be interrupted; the next run goes on. The horizon of feeds moves first, then
the finished jobs go, then the partition is detached while others read and write, and when it is sure that nobody needs
it any more it is dropped. What a transaction committed meanwhile keeps it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg

from jobledger.errors import Forbidden, InvalidArgument, Unavailable
from jobledger.observations import PartitionDropped, emit, listeners
from jobledger.order.log import seal
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from jobledger.store.pool import Connection

    Progress = Callable[[str, int, int], None]

AHEAD_MOST: Final = 24
AHEAD: Final = 3
PATIENCE_S: Final = 30.0
_BATCH: Final = 5_000
_PAUSE_S: Final = 0.1
_SEALS_MOST: Final = 10_000
BLOCKS_A_PARTITION: Final = 1_000_000
_WORTH_A_VACUUM: Final = 50_000


class Partition(NamedTuple):
    """One partition of the log (`of` is events) or of its blocks.

    `state` is attached, control (never dropped), detach pending or detached. A month has times as bounds, a partition
    of blocks their numbers. `live` and `finished` jobs of a month are counted up to 10,000; `retired_at` is when
    it began to be given up.
    """

    name: str
    of: str
    state: str
    lower: datetime | None
    upper: datetime | None
    first_block: int | None
    last_block: int | None
    rows_estimate: int | None
    bytes: int
    live: int | None
    finished: int | None
    retired_at: datetime | None


class Outcome(NamedTuple):
    """What became of one partition: dropped, or kept and why.

    `kept` is None, or what stands in the way: recent, live, workers, locked, writers, readers, unsealed; `facts` has
    the numbers, and the ids of the first jobs.
    """

    name: str
    kept: str | None
    facts: dict[str, Any]
    rows: int


class Maintenance(NamedTuple):
    """What one run did: an outcome for each partition, and how many rows of blocks were merged away."""

    partitions: list[Outcome]
    merged: int


async def list_partitions(connection: Connection, shard: int) -> list[Partition]:
    """Return every partition, those of the log first, the oldest first.

    Raises:
        Forbidden: the role is bound to tenants.
    """
    with translated():
        return [Partition(*row.values()) for row in await connection.fetch(statement("order/partitions"), shard)]


async def add_partitions(
    connection: Connection, shard: int, *, ahead: int = AHEAD, patience_s: float = PATIENCE_S
) -> int:
    """Make the partitions of this month and of so many to come (1 to 24), and return how many were made.

    Who reads and writes is not waited for, and does not wait; who holds the log alone is, for 200 ms at a time.

    Raises:
        Unavailable: within `patience_s` there was no moment in which nobody held the log exclusively.
        Forbidden: the role does not own the log.
    """
    if not 1 <= ahead <= AHEAD_MOST:
        raise InvalidArgument(f"Partitions are made for 1 to {AHEAD_MOST} months ahead.")
    made: int = 0
    until = time.monotonic() + patience_s
    async with _maintaining(connection):
        while True:
            made += await connection.fetchval(statement("order/partitions_ahead"), shard, ahead)
            there: int = await connection.fetchval(statement("order/partitions_there"))
            if there >= ahead:
                return made
            if time.monotonic() > until:
                raise Unavailable(
                    f"{made} partitions were made; the log was locked for the others.",
                    hint="End the long transactions that `jobledger doctor` lists, then try again.",
                )
            await asyncio.sleep(_PAUSE_S)


def candidates(partitions: Sequence[Partition], before: datetime) -> list[Partition]:
    """Return the partitions of the log whose jobs were all created before a time, the oldest first."""
    months = [one for one in partitions if one.of == "events" and one.upper is not None]
    return [one for one in months if one.upper is not None and one.upper <= before]


async def drop_partitions(
    connection: Connection,
    shard: int,
    before: datetime | timedelta,
    *,
    actor: str | None = None,
    patience_s: float = PATIENCE_S,
    progress: Progress | None = None,
) -> Maintenance:
    """Give up partitions whose jobs were all created before a time, or so long ago; merge the blocks they leave.

    The connection is the owner's, direct, and not inside a transaction. Partitions that are still needed are kept,
    with the reason. The running month and the one before are always kept. What was interrupted is brought to its end.

    Raises:
        Forbidden: the role does not own the log.
        Unavailable: another session is at it.
    """
    async with _maintaining(connection) as now:
        await connection.execute(statement("order/partition_actor"), shard, actor)
        await _finish_pending(connection, shard, patience_s)
        outcomes = []
        before = now - before if isinstance(before, timedelta) else before
        for one in candidates(await list_partitions(connection, shard), before):
            work = _Dropping(connection, shard, one, actor, patience_s, progress)
            outcomes.append(await work.run())
            if outcomes[-1].kept == "readers":
                # While one is being detached no other can be.
                break
        return Maintenance(outcomes, await _merge(connection, shard, progress))


async def intended(connection: Connection, shard: int, before: datetime | timedelta) -> Maintenance:
    """Say what `drop_partitions` would do as things are now, and change nothing.

    Raises:
        Forbidden: the role does not own the log.
    """
    outcomes = []
    async with _maintaining(connection) as now:
        before = now - before if isinstance(before, timedelta) else before
        for one in candidates(await list_partitions(connection, shard), before):
            row = await connection.fetchrow(statement("order/partition_holds"), shard, one.name)
            facts = _facts_of(row)
            kept = next((what for what in ("live", "workers") if facts.get(what)), None)
            recent = one.upper is not None and one.upper > _month_before(now)
            outcomes.append(Outcome(one.name, "recent" if recent else kept, facts, 0))
    return Maintenance(outcomes, 0)


def _month_before(now: datetime) -> datetime:
    """Return the beginning of the month before that of a time: from there on partitions are kept."""
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (month - timedelta(days=1)).replace(day=1)


@asynccontextmanager
async def _maintaining(connection: Connection) -> AsyncIterator[datetime]:
    """Be the only session that changes partitions; gives the time as jobledger sees it."""
    with translated():
        row = await connection.fetchrow(statement("order/partition_owner"))
        if row is None or not row["owned"]:
            raise Forbidden("Partitions belong to the owner of the log.", hint="Connect as the role that migrates.")
        if not await connection.fetchval(statement("order/partition_lock")):
            raise Unavailable("Another session sees to the partitions.", hint="Try again when it is done.")
        try:
            yield row["now"]
        finally:
            if not connection.is_closed():
                await connection.fetchval(statement("order/partition_patience"), "0")
                await connection.fetchval(statement("order/partition_unlock"))


async def _finish_pending(connection: Connection, shard: int, patience_s: float) -> None:
    """Bring a detaching to its end that was interrupted: until then no other partition can be detached."""
    for one in await list_partitions(connection, shard):
        if one.state == "detach pending":
            try:
                await connection.fetchval(statement("order/partition_patience"), _milliseconds(patience_s))
                await connection.execute(_written("order/partition_finalize", one.name, one.of))
            except asyncpg.LockNotAvailableError:
                raise Unavailable(
                    f"Transactions that are older than the detaching of {one.name} are still open.",
                    hint="End the long transactions that `jobledger doctor` lists, then drop again.",
                ) from None


class _Dropping:
    """The steps of giving up one partition."""

    def __init__(
        self,
        connection: Connection,
        shard: int,
        partition: Partition,
        actor: str | None,
        patience_s: float,
        progress: Progress | None,
    ) -> None:
        """Prepare; nothing is sent yet."""
        self._connection = connection
        self._of = shard, partition.name
        self._name = partition.name
        self._detached = partition.state == "detached"
        self._actor = actor
        self._patience_s = patience_s
        self._progress = progress
        self._rows = 0
        self._expected = max(partition.finished or 0, 1)
        self._facts: dict[str, Any] = {}

    async def run(self) -> Outcome:
        """Go on from wherever it stands, and say what came of it."""
        began = time.perf_counter()
        kept = None if self._detached else await self._retire()
        if kept is None and not self._detached:
            kept = await self._emptied() or await self._detach()
        if kept is None:
            await self._purge()
            kept = await self._drop()
        if kept is None and listeners:
            emit(PartitionDropped(name=self._name, rows=self._rows, elapsed_s=time.perf_counter() - began))
        return Outcome(self._name, kept, self._facts, self._rows)

    async def _retire(self) -> str | None:
        """Move the horizon behind its events; what is not sealed yet is sealed."""
        for _ in range(_SEALS_MOST):
            kept: str | None = await self._connection.fetchval(statement("order/retire"), *self._of, self._actor)
            if kept != "unsealed":
                break
            done = await seal(self._connection, self._of[0])
            if done.block is None:
                await asyncio.sleep(_PAUSE_S)
                if not done.busy:
                    break
        if kept is not None:
            await self._look()
        return kept

    async def _emptied(self) -> str | None:
        """Delete its rows until none is left, and nobody can bring one back; the last look is one snapshot."""
        until = time.monotonic() + self._patience_s
        writers = await self._writers()
        while writers & await self._writers():
            if time.monotonic() > until:
                self._facts = {"transactions": len(writers), "pids": sorted(pid for _, pid in writers if pid)}
                return "writers"
            await asyncio.sleep(_PAUSE_S)
        while True:
            await self._purge()
            kept = await self._retire()
            if kept is not None:
                return kept
            if not await self._look():
                return None
            if time.monotonic() > until:
                return "locked"
            await asyncio.sleep(_PAUSE_S)

    async def _purge(self) -> None:
        after: UUID | None = None
        while True:
            row = await self._connection.fetchrow(statement("order/retire_rows"), *self._of, after, _BATCH)
            if row is None or not row["gone"]:
                return
            after = row["next"]
            self._rows += row["gone"]
            self._expected = max(self._expected, self._rows)
            if self._progress is not None:
                self._progress(self._name, self._rows, self._expected)

    async def _look(self) -> bool:
        """Say whether anything needs it still."""
        row = await self._connection.fetchrow(statement("order/partition_holds"), *self._of)
        self._facts = _facts_of(row)
        return row is not None and bool(row["live"] or row["workers"] or row["finished"])

    async def _writers(self) -> set[tuple[str, int | None]]:
        rows = await self._connection.fetch(statement("order/partition_writers"))
        return {(row["transaction"], row["pid"]) for row in rows}

    async def _detach(self) -> str | None:
        """Detach it beside readers; who has the log open is waited for, and where that lasts the next run ends it."""
        await self._connection.fetchval(statement("order/partition_patience"), _milliseconds(self._patience_s))
        try:
            await self._connection.execute(_written("order/partition_detach", self._name, "events"))
        except asyncpg.LockNotAvailableError:
            return "readers"
        finally:
            if not self._connection.is_closed():
                await self._connection.fetchval(statement("order/partition_patience"), "0")
        return None

    async def _drop(self) -> str | None:
        kept: str | None = await self._connection.fetchval(statement("order/partition_drop"), *self._of, self._actor)
        if kept is not None:
            await self._look()
            await self._connection.fetchval(statement("order/partition_reattach"), *self._of)
        return kept


async def _merge(connection: Connection, shard: int, progress: Progress | None) -> int:
    """Merge the blocks before the horizon, and drop the partitions of blocks that an earlier run has left empty.

    Not those that this run empties: a reader whose snapshot is older than the merged blocks still reads the old rows.
    """
    for row in await connection.fetch(statement("order/empty_block_partitions"), shard):
        if row["attached"]:
            await connection.fetchval(statement("order/partition_patience"), _milliseconds(PATIENCE_S))
            await connection.execute(_written("order/partition_detach", row["name"], "blocks"))
        await connection.execute(_written("order/block_partition_drop", row["name"]))
    after: int | None = 0
    merged: Counter[int] = Counter()
    while after is not None:
        looked = await connection.fetchrow(statement("order/merge_blocks"), shard, after, 1000)
        after = looked["next"] if looked is not None else None
        if looked is not None and after is not None:
            merged[after // BLOCKS_A_PARTITION] += looked["gone"]
            if progress is not None:
                progress("blocks merged", merged.total(), merged.total())
    for part, gone in merged.items():
        if gone >= _WORTH_A_VACUUM:
            # Nobody waits behind it for long; where it cannot have the table at once, the space is left to a later run.
            await connection.fetchval(statement("order/partition_patience"), "200ms")
            with suppress(asyncpg.LockNotAvailableError):
                await connection.execute(_written("order/block_partition_vacuum", f"blocks_{part}"))
    return merged.total()


def _milliseconds(seconds: float) -> str:
    """Write a time-out as the server reads it; 0 would be none at all."""
    return f"{max(1, round(seconds * 1000))}ms"


def _written(name: str, partition: str, of: str = "") -> str:
    """Write names into a statement that takes none as parameters: names that this package made, never a caller's."""
    if not partition.replace("_", "").isalnum() or not partition.isascii():
        raise InvalidArgument("That is no name of a partition.")
    return statement(name).replace("$1", partition).replace("$2", of)


def _facts_of(row: asyncpg.Record | None) -> dict[str, Any]:
    return {} if row is None else {**row, "jobs": [str(job) for job in row["jobs"] or ()]}
