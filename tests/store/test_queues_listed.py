"""Queues are listed by what lies in them, in whatever state it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.conftest import Desk

from jobledger.store import registers

if TYPE_CHECKING:
    from jobledger.store.pool import Store


async def test_a_queue_whose_jobs_are_all_parked_is_listed(store: Store) -> None:
    """No time will wake them; behind the other tenants, and behind more of another queue than are looked at."""
    async with store.connection() as connection:
        desk = await Desk(store, connection).start(lease_s=3000)  # type: ignore[arg-type]
        await desk.fill(20, "acme")
        await desk.report(await desk.claim(100), "parked", {"reason": "r", "needs": "a person"})
        for tenant, queue in (("globex", "stuck"), ("zeta", "other")):
            await desk.enqueue(tenant=tenant, queue=queue)
        await desk.enqueue(tenant="later", queue="default")
        await desk.report(await desk.claim(100), "parked", {"reason": "r", "needs": "a person"})
        assert await desk.sql.fetchval("select count(*) from jobledger.waiting where state = 'parked'") == 23
        listed = await registers.list_queues(connection, store.shard)
        assert [(one.name, one.ready) for one in listed] == [("default", 0), ("other", 0), ("stuck", 0)]
        assert [one.name for one in await registers.list_queues(connection, store.shard, after="other")] == ["stuck"]
