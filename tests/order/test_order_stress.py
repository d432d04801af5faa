"""The order under stress: nothing lost, repeated or turned round, and the same for whoever reads it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import asyncpg
import pytest

from jobledger import Client
from jobledger.order.cursor import Place
from jobledger.order.log import read_page

from .readers import Reader, caught_up, following
from .stress import Writers, facts, nothing_amiss, sealing

if TYPE_CHECKING:
    from jobledger.order.log import Sealed

READERS = 4


async def _come_and_go(dsn: str, stop: asyncio.Event, seed: int) -> list[Sealed]:
    """Read from the beginning, a page at a time, each stretch over a connection of its own."""
    chance = random.Random(seed)  # noqa: S311 - a test's choice
    found: list[Sealed] = []
    place = Place()
    while True:
        last = stop.is_set()
        connection = await asyncpg.connect(dsn)
        for _ in range(10_000 if last else chance.randint(1, 20)):
            page = await read_page(connection, 0, place, limit=chance.randint(1, 300))
            found += page.events
            if last and page.reached == place:
                break
            place = page.reached
            await asyncio.sleep(0 if last else 0.005)
        await connection.close()
        if last:
            return found


async def _subscribe_again_and_again(client: Client, feeds: list[Reader], stop: asyncio.Event) -> None:
    """Let them follow live, everybody's events and one tenant's, each time from the cursor where they were cut off."""
    while not stop.is_set():
        async with following(feeds, client):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.7)


@pytest.mark.parametrize(
    ("for_s", "straggle_s"), [(1.0, 0.3), pytest.param(60.0, 3.0, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
async def test_the_order_holds_under_stress(two_phase: str, for_s: float, straggle_s: float) -> None:
    """16 writers with early ids, rollbacks, savepoints, two-phase commit and stragglers; readers that come and go."""
    connection = await asyncpg.connect(two_phase)
    sealer = await asyncpg.connect(two_phase)
    written, sealed = asyncio.Event(), asyncio.Event()
    writers = Writers(two_phase, straggle_s=straggle_s)
    seal_task = asyncio.create_task(sealing(sealer, written))
    readers = [asyncio.create_task(_come_and_go(two_phase, sealed, seed)) for seed in range(READERS)]
    feeds = [Reader(), Reader("t1"), Reader("t2")]
    async with Client(two_phase, strict=False) as client:
        subscribing = asyncio.create_task(_subscribe_again_and_again(client, feeds, written))
        await writers.run(16, for_s)
        written.set()
        await seal_task
        sealed.set()
        order = await nothing_amiss(connection)
        assert len(order) > for_s * 20
        for reader in readers:
            assert facts(await reader) == facts(order)
        await subscribing
        await caught_up(feeds, client, order)
        assert [feed.reasons for feed in feeds] == [[], [], []]
    await sealer.close()
    await connection.close()
