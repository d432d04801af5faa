"""As of a time that lies in blocks which were merged since: the same answer as before, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from tests.contract.conftest import Desk

from jobledger import Client
from jobledger.errors import MomentLost

from .record import said
from .stress import seal_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from jobledger.store.pool import Store

HORIZON = (
    "update jobledger.horizon as h set block = b.block, position = b.last_position, epoch = b.epoch, generation = 1"
    " from jobledger.blocks as b where b.block = 7"
)
MERGED = (
    HORIZON,
    "select jobledger.merge_blocks(0::smallint, 2, 1000)",
)


@pytest.fixture
async def desk(store: Store, database: str) -> AsyncIterator[Desk]:
    """Give a started worker that knows the kind `noop`."""
    connection = await asyncpg.connect(database)
    yield await Desk(store, connection).start(lease_s=3600)
    await connection.close()


async def test_a_time_within_merged_blocks_is_answered_as_before_or_refused(store: Store, desk: Desk) -> None:
    """What lies before them, and at or after their end, is the same; in between only they could tell."""
    client = Client(store, strict=False)
    job = await desk.enqueue(tenant="acme")
    times: list[datetime] = []
    for priority in range(8):
        await seal_all(desk.sql)
        times.append(await desk.sql.fetchval("select jobledger.now()"))
        await desk.act("reprioritise", [job], priority=priority)

    async def answers() -> list[Any]:
        found: list[Any] = []
        for at in times:
            try:
                found.append(said(await client.job(job, tenant="acme", as_of=at)))
            except MomentLost as lost:
                found.append(lost)
        return found

    before = await answers()
    assert len({str(one) for one in before}) == len(times)
    for statement in MERGED:
        await desk.sql.execute(statement)
    blocks = [row["block"] for row in await desk.sql.fetch("select block from jobledger.blocks order by block")]
    assert blocks == [1, 2, 6, 7, 8]
    after = await answers()
    assert after[:1] + after[5:] == before[:1] + before[5:]
    lost = after[1:5]
    assert all(isinstance(one, MomentLost) and "merged" in one.message for one in lost)
    with pytest.raises(MomentLost):
        await client.jobs(tenant="acme", as_of=times[3])
    # When a block was sealed can always be asked for.
    for block, sealed_at in await desk.sql.fetch("select block, sealed_at from jobledger.blocks"):
        answer = await client.job(job, as_of=sealed_at)
        assert answer.as_of is not None
        assert answer.as_of.block == block
    # Two replays that meet at such a time still have each event once: to both it is the end of what came before.
    replayed = [step.event.version async for step in client.replay(tenant="acme", until=times[3])]
    assert replayed == [1, 2]
