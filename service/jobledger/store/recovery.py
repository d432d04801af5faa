"""Recovery: the live tables are made from the log when they are not fit, wholly or for single jobs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import asyncpg
import orjson

from jobledger.errors import Unavailable
from jobledger.observations import (
    BlockedByPrepared,
    MismatchRepaired,
    ProjectionRebuilt,
    StoreOpened,
    emit,
    listeners,
)
from jobledger.store.failures import translated
from jobledger.store.pool import COLLISIONS
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jobledger.store.pool import Connection, Store

Projection = Literal["queue", "status"]

_BATCH = 500
_PAUSE_S = 0.05
REBUILD_ATTEMPTS = 100


class Opened(NamedTuple):
    """What opening did: `rebuilt` is false when the database was open already; `rows` is what the live tables got.

    `copied` of them came from the queue snapshot, as they were; the others were folded from the log.
    """

    rebuilt: bool
    rows: int
    elapsed_s: float
    copied: int = 0


class Mismatch(NamedTuple):
    """A job whose row is not what its stream says: None for a row that is missing, or for one that should not be."""

    job: UUID
    found: str | None
    expected: str | None


async def open_store(store: Store) -> Opened:
    """Make the database fit for work, rebuilding the live tables if this server has not yet; harmless if it has.

    Raises:
        SchemaMissing: the database was not migrated.
        PreparedInTheWay: it was restored or promoted, and prepared transactions that appended to the log must end.
        Unavailable: it was, and transactions that append to the log did not end.
    """
    began = time.perf_counter()

    async def work(connection: Connection) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(await connection.fetchval(statement("open"), store.shard))
        return found

    with translated(store.where):
        await _open_epoch(store)
        facts = await store.repeated(work, alone=True)
    opened = Opened(
        bool(facts.get("opened")),
        int(facts.get("rows") or 0),
        time.perf_counter() - began,
        int(facts.get("copied") or 0),
    )
    if listeners:
        emit(StoreOpened(rebuilt=opened.rebuilt, elapsed_s=opened.elapsed_s))
    return opened


async def is_open(connection: Connection, shard: int) -> bool:
    """Say whether the live tables are rebuilt on this server."""
    with translated():
        return bool(await connection.fetchval(statement("is_open"), shard))


async def take_snapshot(connection: Connection, shard: int) -> bool:
    """Copy the unlogged live tables, so that the next recovery folds only what came after; False if it was not due.

    Due when more events have come since the last one than 200,000, and than twice the rows it copied. A million open
    jobs take a second or two, in a transaction of its own that nobody waits for.

    Raises:
        NotOpen: the live tables are not rebuilt yet.
    """
    with translated():
        return bool(await connection.fetchval(statement("queue_snapshot"), shard))


async def rebuild(store: Store, projection: Projection, *, attempts: int = REBUILD_ATTEMPTS) -> int:
    """Drop what a projection holds and make it anew from the log; returns its rows.

    The database is closed meanwhile: enqueueing goes on, workers stand back. The tables are asked for with a short
    lock time-out, `attempts` times, so nobody queues behind a long transaction.

    Raises:
        InvalidArgument: there is no such projection.
        Unavailable: the tables were never free; the database is open as it was before.
    """
    began = time.perf_counter()
    with translated(store.where):
        async with store.connection() as connection:
            await connection.execute(statement("close"), store.shard)
            try:
                rows = await _insist(connection, store.shard, projection, attempts)
            except BaseException:
                # Closed and not rebuilt, nobody could work; opening folds the log and is right in any case.
                await connection.fetchval(statement("open"), store.shard)
                raise
    if listeners:
        emit(ProjectionRebuilt(name=projection, rows=rows, elapsed_s=time.perf_counter() - began))
    return rows


async def is_unlogged(connection: Connection) -> bool:
    """Say whether the live tables are unlogged: empty after a crash, and rebuilt from the log by the next opening."""
    with translated():
        return bool(await connection.fetchval(statement("is_unlogged")))


async def persist(store: Store, *, unlogged: bool, actor: str | None = None, attempts: int = REBUILD_ATTEMPTS) -> bool:
    """Make the live tables unlogged, or logged again; False if they were so already.

    Unlogged they cost no WAL, and a hot standby cannot read them. They are rewritten under an exclusive lock that is
    asked for with a short lock time-out, `attempts` times, so nobody queues behind a long transaction.

    Raises:
        Unavailable: the tables were never free; nothing was changed.
        Forbidden: the role does not own the tables.
    """
    with translated(store.where):
        async with store.connection() as connection:
            for attempt in range(attempts):
                try:
                    return bool(await connection.fetchval(statement("persist"), store.shard, unlogged, actor))
                except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                    await asyncio.sleep(min(_PAUSE_S * (attempt + 1), 1.0))
    raise Unavailable(
        f"The live tables were not free in {attempts} attempts.",
        hint="End the long transactions that `jobledger doctor` lists, then try again.",
    )


async def compare(connection: Connection, shard: int, ids: Sequence[UUID] | None = None) -> list[Mismatch]:
    """Return every job, or those of `ids`, whose row is not what its stream says. Reads the whole log for all."""
    with translated():
        rows = await connection.fetch(statement("compare"), shard, None if ids is None else list(ids))
    return [Mismatch(row["job"], row["found"], row["expected"]) for row in rows]


async def repair(store: Store, ids: Sequence[UUID]) -> list[Mismatch]:
    """Make the rows of these jobs what their streams say, and return what was wrong.

    Batches of 500, each a transaction; one that waits for a lock is halved, and a single job whose row stays locked
    (most often by a prepared transaction) is left with the observation `BlockedByPrepared`.
    """
    repaired: list[Mismatch] = []
    waiting = [list(ids[start : start + _BATCH]) for start in range(0, len(ids), _BATCH)]
    with translated(store.where):
        while waiting:
            batch = waiting.pop()
            try:
                async with store.transaction(isolation="read_committed") as connection:
                    rows = await connection.fetch(statement("repair"), store.shard, batch)
            except (asyncpg.LockNotAvailableError, *COLLISIONS):
                if len(batch) == 1:
                    emit(BlockedByPrepared(job=batch[0]))
                else:
                    middle = len(batch) // 2
                    waiting += [batch[:middle], batch[middle:]]
            else:
                repaired += [Mismatch(row["job"], row["found"], row["expected"]) for row in rows]
    if repaired and listeners:
        emit(MismatchRepaired(jobs=tuple(one.job for one in repaired)))
    return repaired


async def _open_epoch(store: Store) -> None:
    # Its own transaction: it holds the log, and the rebuild that follows may take long.
    async with store.connection() as connection:
        for attempt in range(REBUILD_ATTEMPTS):
            try:
                await connection.fetchval(statement("open_epoch"), store.shard)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                if connection.is_in_transaction():
                    raise
                await asyncio.sleep(min(_PAUSE_S * (attempt + 1), 1.0))
            else:
                return
    raise Unavailable(
        f"The log was not free for a new epoch in {REBUILD_ATTEMPTS} attempts.",
        hint="End the long transactions that `jobledger doctor` lists, then try again.",
    )


async def _insist(connection: Connection, shard: int, projection: str, attempts: int) -> int:
    for attempt in range(attempts):
        try:
            return int(await connection.fetchval(statement("rebuild"), shard, projection))
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(min(_PAUSE_S * (attempt + 1), 1.0))
    raise Unavailable(
        f"The tables of {projection} were not free in {attempts} attempts.",
        hint="End the long transactions that `jobledger doctor` lists, then try again.",
    )
