"""The floor: event rows a second of a bare batch insert, the machine's own speed at this moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from jobledger.ids import new_id
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.store.pool import Connection

BATCH: Final = 500
ROWS: Final = 200_000
_DATA: Final = '{"args": {}, "kind": "bench.noop"}'


async def rows_per_s(connection: Connection, rows: int = ROWS) -> float:
    """Insert `rows` event rows by `unnest`, each batch of 500 its own commit, into a fresh plain table; return rows/s.

    The table has the log's columns and a key of (stream_id, version). It is dropped again.
    """
    await connection.execute(statement("bench/floor_drop"))
    await connection.execute(statement("bench/floor_create"))
    insert = await connection.prepare(statement("bench/floor_insert"))
    data = [_DATA] * BATCH
    batches = max(1, rows // BATCH)
    # Built beforehand: the floor is the database's, not that of making ids in Python.
    ids: list[list[UUID]] = [[new_id() for _ in range(BATCH)] for _ in range(batches)]
    began = time.perf_counter()
    for number, batch in enumerate(ids):
        await insert.fetch(batch, data, number * BATCH, f"tenant-{number % 20}")
    elapsed_s = time.perf_counter() - began
    await connection.execute(statement("bench/floor_drop"))
    return batches * BATCH / elapsed_s
