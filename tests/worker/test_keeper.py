"""The keeper: what a service does for its database on the side."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.worker.conftest import quick, until

from jobledger.errors import Unreachable
from jobledger.observations import ConnectionLost, observing
from jobledger.store.pool import Store
from jobledger.store.tasks import end
from jobledger.store.tick import TickResult
from jobledger.testing.proxy import Proxy
from jobledger.worker import keeper
from jobledger.worker.housekeeping import Ticker
from jobledger.worker.keeper import Keeper

if TYPE_CHECKING:
    import pytest


async def test_a_tick_that_is_never_answered_is_given_up(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is dead and nobody says so: the next tick goes another way, and what is due becomes ready."""
    monkeypatch.setattr(keeper, "PATIENCE_S", 0.2, raising=False)
    with Proxy(database) as proxy:
        trap = proxy.trap("jobledger.tick(")
        settings = quick(seal=False, projections=False)
        async with await Store.connect(proxy.dsn, pool_min=1, pool_max=4) as through, Keeper(through, settings):
            await asyncio.to_thread(trap.wait)
            trap.mute()
            async with asyncio.timeout(60), store.connection() as connection:
                await connection.execute("select jobledger.enqueue('noop', run_at => jobledger.now() + '20 ms')")
                while not await connection.fetchval("select count(*) from jobledger.ready"):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)


async def test_ticks_that_reach_nobody_come_less_and_less_often() -> None:
    """Each is an observation, and a line of the log: an hour's outage is no flood. The first that arrives ends that."""
    away = True
    began: list[float] = []
    ticked: list[TickResult] = []

    async def tick(_: object) -> TickResult:
        began.append(time.monotonic())
        if away:
            raise Unreachable
        return TickResult()

    async def reopen() -> None:
        """Nothing is closed."""

    with observing(ConnectionLost) as lost:
        ticking = asyncio.create_task(Ticker(tick, reopen=reopen, ticked=ticked.append, every_s=0.001).run())
        await until(lambda: len(lost) >= 9)
        assert began[8] - began[7] > 0.2
        away = False
        await until(lambda: len(ticked) >= 20)
        await end([ticking])
