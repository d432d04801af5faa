"""What lies beside the measured jobs: partitions, paused tenants, jobs that wait for a day far ahead; and bulk filling.

Jobs are made by the public functions, many in a statement on the server, so that they are what they are anywhere.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from jobledger.bench.noop import KIND
from jobledger.store import pool
from jobledger.store.statements import statement
from jobledger.store.tick import tick
from jobledger.store.workers import start_worker

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
_MEANWHILE_SHARE: Final = 20
"""While so many jobs wait, one has come, run and ended."""


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

    Where nothing but enqueues was written, each page of the log ends with room that is too little for one more. The
    smaller events that come next go there, one to a page, all over the table, until it is used up: each reads a page
    and, after a checkpoint, writes it whole to the WAL.
    """
    worker = (await start_worker(bench.connection, 0, kinds=[KIND])).worker
    meanwhile = waiting // _MEANWHILE_SHARE
    for first in range(0, meanwhile, BATCH):
        count = min(BATCH, meanwhile - first)
        await bench.connection.execute(
            *(statement("bench/make_finished"), first, count, _WAITING_TENANTS, KIND, worker, timedelta(0)),
            _WAITING_TENANT,
            timeout=600,
        )
        bench.progress("what ran meanwhile", first + count, meanwhile)
    await bench.connection.execute(statement("bench/vacuum"), timeout=_VACUUM_S)


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
