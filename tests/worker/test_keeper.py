"""The keeper: what a service does for its database on the side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.worker.conftest import quick

from jobledger.store.pool import Store
from jobledger.testing.proxy import Proxy
from jobledger.worker import keeper
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
