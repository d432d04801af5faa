"""Events that were set aside, and whose month retention has dropped since."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobledger import Client
from jobledger.order import checkpoints
from jobledger.order.consumer import Consumer

from .stress import seal_all

if TYPE_CHECKING:
    from jobledger.store.pool import Store

BEFORE = """
insert into jobledger.subscription_set_aside
  (subscription, stream_id, first_at, changed_at, block, position, epoch, version, failures, shard, slice, state)
select subscription, jobledger.new_id(now() - interval '400 days'), first_at, changed_at, block, position - n, epoch,
  version, failures, shard, slice, state
from jobledger.subscription_set_aside, generate_series(1, $1) as n
"""
RETIRED = """
insert into jobledger.retired (name, begun_at, lower, upper, shard, dropped_at)
values ('events_old', now(), jobledger.first_id_at(now() - interval '500 days'),
  jobledger.first_id_at(now() - interval '300 days'), 0, $1::timestamptz)
"""


@pytest.mark.parametrize("strict", [True, False])
async def test_what_is_gone_holds_up_nothing_that_is_tried_again(store: Store, strict: bool) -> None:
    """However many there are: it is told in the list, and what is behind them is tried."""
    client = Client(store, strict=False)
    mails = client.subscription("mails")
    await mails.create(slices=1, max_failures=1, strict=strict, types=["job.enqueued"])
    async with store.connection() as connection:
        await connection.execute("select setval('jobledger.position', 1000)")
        job = await client.enqueue("noop")
        await seal_all(connection)
        (one,) = await checkpoints.listed(connection, store.shard)
        async with asyncio.timeout(30), Consumer(store, one) as consumer:
            (out,) = await consumer.next()
            await consumer.failed(out, ValueError())
            await connection.execute(BEFORE, 150)
            assert await mails.retry() == 151
            await consumer._holding.renew()
            (out,) = await consumer.next()
            assert out.event.stream_id == job.id
            await consumer.done([out])
        # While a partition is being given up it may still come back.
        assert {one.state for one in await mails.set_aside(limit=1000)} == {"retry"}
        await connection.execute(RETIRED, None)
        await checkpoints.take(connection, store.shard, one.id, consumer.id, None)
        assert await checkpoints.again(connection, store.shard, one.id, consumer.id, 100) == []
        assert (await mails.status()).aside == 150
        await connection.execute("update jobledger.retired set dropped_at = now()")
        assert await checkpoints.again(connection, store.shard, one.id, consumer.id, 100) == []
    told = await mails.set_aside(limit=1000)
    assert {(one.state, one.changed_by) for one in told} == {("dropped", "jobledger")}
    assert "partition" in str(told[0].reason)
    assert (await mails.status()).aside == 0
