"""Reads from the log what became of a replay's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobledger.simulate.check import Recorded
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from jobledger.store.pool import Store

_IDS_A_CALL: Final = 1_000


async def read(store: Store, ids: Sequence[UUID]) -> dict[UUID, Recorded]:
    """Return what the log says of these jobs; `outcome` is None while a job is open."""
    found: dict[UUID, Recorded] = {}
    async with store.connection() as connection:
        for start in range(0, len(ids), _IDS_A_CALL):
            some = ids[start : start + _IDS_A_CALL]
            rows = await connection.fetch(statement("simulate/read_log"), store.shard, some, min(some), max(some))
            found.update((row["id"], _recorded(row)) for row in rows)
    return found


def _recorded(row: asyncpg.Record) -> Recorded:
    outcome = row["outcome"]
    ran_s = None
    if outcome is not None:
        # The log leaves out a run time below a millisecond. A cancelled job's own time ends with the operator's act:
        # that it then waits for a heartbeat is not the record's.
        ran_s = max(0.0, (row["ran_s"] or 0.0) - (row["unwinding_s"] or 0.0))
    return Recorded(row["line"] or 0, row["tenant"], row["position"], outcome, ran_s)
