"""What lies beside the measured jobs: partitions, paused tenants, jobs that wait for a day far ahead; and bulk filling.

Jobs are made by the public functions, many in a statement on the server, so that they are what they are anywhere.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.noop import KIND, Noop
from jobledger.settings import Settings
from jobledger.store import pool
from jobledger.store.pool import Store
from jobledger.store.statements import statement
from jobledger.store.tick import tick
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from jobledger.bench.measurement import Bench
    from jobledger.store.pool import Connection

BATCH: Final = 5_000
_PAUSES: Final = 2_000
_FAR_S: Final = 30 * 86_400
_TICKS: Final = 500
_VACUUM_S: Final = 600
_PAUSED_TENANT: Final = "beside-paused-"
_WAITING_TENANT: Final = "beside-waiting-"
_WAITING_TENANTS: Final = 1_000
_RAN_SHARE: Final = 50
"""While so many jobs waited, one has come, run and ended."""
_RAN_AT_ONCE: Final = 1_000
_LOOK_S: Final = 0.1


async def prepare(bench: Bench) -> None:
    """Put beside the measurement what its setup asks for."""
    setup = bench.setup
    if setup.partitions:
        await attach_partitions(bench.connection, setup.partitions)
    if setup.waiting:
        await fill(
            bench,
            setup.waiting,
            tenants=_WAITING_TENANTS,
            prefix=_WAITING_TENANT,
            delay_s=_FAR_S,
            what="scheduling jobs beside",
        )
        await _wait_long(bench, setup.waiting)
    if setup.paused:
        await _pause(bench)


async def _wait_long(bench: Bench, waiting: int) -> None:
    """Let what happens while jobs wait have happened, so that it is not paid for here: others ran, vacuum was there.

    Where nothing but enqueues was written, each page of the log ends with room that is too little for one more. Once
    vacuum has told inserts of it, the smaller events that come next go there, one to a page, all over the table, until
    it is used up: each reads a page and, after a checkpoint, writes it whole to the WAL.
    """
    await bench.connection.execute(statement("bench/vacuum"), timeout=_VACUUM_S)
    ran = waiting // _RAN_SHARE
    names: dict[str, Any] = {"tenants": _WAITING_TENANTS, "prefix": _WAITING_TENANT}
    await fill(bench, ran, **names, what="enqueueing what runs meanwhile")
    noop = Noop()
    async with (
        await Store.connect(bench.dsn, application_name="jobledger-bench", pool_min=5) as store,
        Worker(noop.app, store, concurrency=_RAN_AT_ONCE, settings=Settings()),
    ):
        while noop.handled < ran:
            bench.progress("running it", noop.handled, ran)
            await asyncio.sleep(_LOOK_S)


async def attach_partitions(connection: Connection, wanted: int) -> None:
    """Attach monthly partitions of the log, older and older, until there are `wanted` of them with the control's."""
    now = datetime.now(UTC)
    month = now.year * 12 + now.month - 1
    while await connection.fetchval(statement("bench/partitions")) < wanted:
        month -= 1
        await connection.fetchval(
            statement("bench/partition_add"), datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        )


async def fill(
    bench: Bench,
    jobs: int,
    *,
    tenants: int,
    prefix: str = "tenant-",
    kind: str = KIND,
    queue: str | None = None,
    delay_s: float | None = None,
    what: str | None = "filling the backlog",
) -> None:
    """Enqueue so many jobs by two connections, due after `delay_s`, if any.

    The tenants take turns, their names are the prefix and a number; with `tenants` of 0 the prefix is the one tenant.
    """
    done = 0
    starts = iter(range(0, jobs, BATCH))

    async def one_client() -> None:
        nonlocal done
        connection = await pool.connect(bench.dsn, application_name="jobledger-bench")
        try:
            for start in starts:
                count = min(BATCH, jobs - start)
                await connection.fetchval(
                    statement("bench/fill"), start, count, tenants, prefix, kind, queue, delay_s, timeout=600
                )
                done += count
                if what is not None:
                    bench.progress(what, done, jobs)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as clients:
        for _ in range(2):
            clients.create_task(one_client())


async def _pause(bench: Bench) -> None:
    """Give each tenant a job, pause it, and let ticks and vacuum move the jobs away, as it would have been long ago."""
    tenants = bench.setup.paused
    await fill(bench, tenants, tenants=tenants, prefix=_PAUSED_TENANT, what="filling paused tenants")
    for start in range(0, tenants, _PAUSES):
        upto = min(start + _PAUSES, tenants)
        await bench.connection.fetchval(statement("bench/pause"), _PAUSED_TENANT, start, upto - 1)
        bench.progress("pausing tenants", upto, tenants)
    held = 0
    for _ in range(_TICKS):
        held += (await tick(bench.connection, 0)).held
        bench.progress("holding back what is paused", held, tenants)
        if held >= tenants:
            break
    bench.figures["paused_jobs_held"] = held
    await bench.connection.execute(statement("bench/vacuum_ready"))
