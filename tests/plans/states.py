"""The states of the tables in which an estimate can be wrong: new, emptied, full, and analysed at the wrong moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
from tests.contract.conftest import Desk

from jobledger.store.pool import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg

    from jobledger.store.pool import Connection

TENANTS = 20
LEASE_S = 3600
"""So long that no worker loses its jobs on a slow machine."""
BATCH = 10_000
TABLES = ("ready", "waiting", "running", "finished", "idempotency", "unique_keys", "workers", "limits")


class Filler:
    """Fills and drains a database beside the session that is measured, so that nothing tells that session of it."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], ready: int, finished: int) -> None:
        """Use a connection of its own; `ready` and `finished` are what "full" means."""
        self.sql = connection
        self.ready = ready
        self.finished = finished

    async def fill(self, jobs: int, tenants: int = TENANTS) -> None:
        """Enqueue jobs of so many tenants, who take turns."""
        for low in range(0, jobs, BATCH):
            batch = [{"kind": "noop", "tenant": f"t{at % tenants:02}"} for at in range(min(BATCH, jobs - low))]
            await self.sql.fetch("select from jobledger.enqueue_many($1)", orjson.dumps(batch).decode())

    async def drain(self, jobs: int) -> None:
        """Claim and report jobs, at most that many, by a worker of its own, which then ends."""
        desk = await Desk(Store(connection=self.sql), self.sql).start(lease_s=LEASE_S)
        while jobs > 0 and (taken := await desk.claim(min(1000, jobs))):
            await desk.report(taken)
            jobs -= len(taken)
        await self.sql.execute("select jobledger.worker_stop(0::smallint, $1, 'drained')", desk.worker)

    async def full(self) -> None:
        """Fill, and drain the part that is to be finished."""
        await self.fill(self.ready + self.finished)
        await self.drain(self.finished)

    async def empty(self) -> None:
        """Drain everything."""
        await self.drain(2**30)

    async def tend(self, what: str) -> None:
        """Vacuum or analyse what holds jobs."""
        tables = [f"jobledger.{name}" for name in (*TABLES, *await partitions(self.sql))]
        if what == "analyze":
            tables.append("jobledger.events")
        await self.sql.execute(f"{what} {', '.join(tables)}")


async def partitions(connection: Connection) -> list[str]:
    """Return the names of the log's partitions."""
    rows = await connection.fetch(
        "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'jobledger.events'::regclass"
    )
    return [row["name"].removeprefix("jobledger.") for row in rows]


async def left_alone(connection: Connection) -> None:
    """Keep autovacuum away: when the tables are vacuumed and analysed is what a state is about."""
    for name in (*TABLES, *await partitions(connection)):
        await connection.execute(f"alter table jobledger.{name} set (autovacuum_enabled = false)")


async def attach(connection: Connection, wanted: int) -> None:
    """Attach partitions, month after month from now on and then before, until that many are there."""
    month = datetime.now(UTC).year * 12 + datetime.now(UTC).month - 1
    ahead = [*range(2, wanted // 2), *range(-2, -wanted, -1)]
    for step in ahead:
        if len(await partitions(connection)) >= wanted:
            break
        year, at = divmod(month + step, 12)
        await connection.execute("select jobledger.partition_add($1)", datetime(year, at + 1, 1, tzinfo=UTC))


async def _new(_: Filler) -> None:
    """Nothing ever was in the tables."""


async def _emptied(filler: Filler) -> None:
    """Filled and drained; the dead rows lie where they died."""
    await filler.full()
    await filler.empty()


async def _vacuumed(filler: Filler) -> None:
    """Filled and drained, and the dead rows gone."""
    await _emptied(filler)
    await filler.tend("vacuum")


async def _full(filler: Filler) -> None:
    """Full, and never analysed."""
    await filler.full()


async def _analysed(filler: Filler) -> None:
    """Full, with statistics that say so."""
    await filler.full()
    await filler.tend("analyze")


async def _analysed_empty(filler: Filler) -> None:
    """Full, with statistics of the moment before."""
    await filler.tend("analyze")
    await filler.full()


async def _analysed_small(filler: Filler) -> None:
    """Full, with statistics of the moment when few rows were left: any index seemed as good as the right one."""
    await filler.fill(10_000, tenants=10_000)
    await filler.drain(9_800)
    await filler.tend("vacuum analyze")
    await filler.full()


async def _analysed_full(filler: Filler) -> None:
    """Empty, with statistics of the moment when it was full."""
    await filler.full()
    await filler.tend("analyze")
    await filler.empty()


STATES: dict[str, Callable[[Filler], Awaitable[None]]] = {
    "new": _new,
    "emptied": _emptied,
    "vacuumed": _vacuumed,
    "full": _full,
    "analysed": _analysed,
    "analysed when empty": _analysed_empty,
    "analysed when small": _analysed_small,
    "analysed when full": _analysed_full,
}
