"""Old partitions of the log are given up: what goes, what keeps them, what readers are told, and what is left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from jobledger.order.log import seal
from jobledger.order.retention import drop_partitions, list_partitions
from jobledger.store.recovery import compare, rebuild

from .stress import seal_all, whole_log

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.store.pool import Connection, Store
    from jobledger.testing.clock import Clock

ACTED = "select verdict from jobledger.act(0::smallint, $1, null, array[$2::uuid], 'ada', 'why')"
KEEP = timedelta(days=30)


async def finished_jobs(connection: Connection, count: int) -> list[UUID]:
    """Enqueue and cancel so many jobs, sealed one by one."""
    jobs = []
    for _ in range(count):
        jobs.append(await connection.fetchval("select jobledger.enqueue('noop', key => gen_random_uuid()::text)"))
        await connection.fetchval(ACTED, "cancel", jobs[-1])
        await seal(connection, 0)
    return jobs


async def later(connection: Connection, clock: Clock, days: int = 100) -> None:
    """Let time pass, with the clockwork seeing to the partitions to come."""
    await clock.advance(timedelta(days=days))
    await connection.fetchval("select jobledger.tick()")


async def test_an_old_partition_goes_with_everything_in_it(store: Store, clock: Clock) -> None:
    """Its finished jobs, keys and events; a retry is told `job_gone`; the tables stay what the log says, also rebuilt."""
    async with store.connection() as connection:
        old = await finished_jobs(connection, 3)
        await later(connection, clock)
        young = await finished_jobs(connection, 2)
        await seal_all(connection)
        names = [one.name for one in await list_partitions(connection, 0)]
        done = await drop_partitions(connection, 0, KEEP, actor="ada")
        assert done.partitions
        assert {one.kept for one in done.partitions} == {None}
        gone = {one.name for one in done.partitions}
        left = await list_partitions(connection, 0)
        assert {one.name for one in left} == set(names) - gone
        assert await connection.fetchval(ACTED, "retry", old[0]) == "job_gone"
        assert await connection.fetchval(ACTED, "cancel", young[0]) == "wrong_state"
        assert await connection.fetchval("select count(*) from jobledger.finished") == 2
        assert await connection.fetchval("select count(*) from jobledger.idempotency") == 2
        await seal_all(connection)
        order = await whole_log(connection)
        assert {one.event.stream_id for one in order} & set(old) == set()
        dropped = [one.event for one in order if one.event.type == "store.partition_dropped"]
        assert {(event.data or {})["name"] for event in dropped} == gone
        assert await compare(connection, 0) == []
    await rebuild(store, "status")
    await rebuild(store, "queue")
    async with store.connection() as connection:
        assert await compare(connection, 0) == []
