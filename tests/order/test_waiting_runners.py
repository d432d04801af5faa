"""When a runner looks for something to fold: as it is hinted at blocks, and what it does while no hint comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.faults.conftest import until

from jobledger.order.projections import Projection
from jobledger.order.runner import Runner

from .test_projections import TABLE, enqueue, in_sql, standing

if TYPE_CHECKING:
    import pytest

    from jobledger.events import Event
    from jobledger.store.pool import Connection, Store


async def test_a_runner_that_waits_is_woken_by_a_hint(store: Store) -> None:
    """One that is told of blocks need not look often: it folds what it is hinted at."""
    await enqueue(store, 1)
    runner = Runner(store, [in_sql()], busy_s=0.005, idle_s=600.0)
    running = asyncio.create_task(runner.run())
    await until(lambda: _folded(store, 1))
    # Once more for the look at which nothing was left to do: a hint that came before it would only be its own.
    await until(lambda: not runner._tasks)
    await enqueue(store, 2)
    runner.hint()
    await until(lambda: _folded(store, 3))
    running.cancel()
    await asyncio.wait([running])


async def test_a_fold_that_was_put_off_is_tried_again_in_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a runner that is hinted at blocks, and then looks seldom: where nothing is sealed, no hint comes."""
    monkeypatch.setattr("jobledger.order.runner._BACKOFF_S", 0.2)
    calls: list[int] = []

    async def fold(events: list[Event], connection: Connection) -> None:
        calls.append(len(events))
        if len(calls) == 1:
            await connection.execute("do $$ begin raise exception using errcode = '40P01'; end $$")

    await enqueue(store, 1)
    runner = Runner(store, [Projection("seen", 1, (TABLE,), fold)], busy_s=0.005, idle_s=600.0)
    running = asyncio.create_task(runner.run())
    try:
        await until(lambda: _folded(store, 1))
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert calls == [1, 1]


async def test_hints_at_what_is_not_folded_here_make_no_runner_look_all_the_time(store: Store) -> None:
    """Blocks are sealed fifty times a second; where there is nothing to do for this runner, it looks four times."""
    await enqueue(store, 1)
    looks: list[float] = []

    class Counting(Runner):
        async def look(self) -> bool:
            looks.append(asyncio.get_running_loop().time())
            return await super().look()

    def has_looked() -> bool:
        runner.hint()
        return len(looks) >= 3

    runner = Counting(store, [in_sql()], busy_s=0.005, idle_s=600.0)
    running = asyncio.create_task(runner.run())
    try:
        await until(lambda: _folded(store, 1))
        await until(lambda: not runner._tasks)
        del looks[:]
        await until(has_looked)
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert looks[2] - looks[1] >= 0.2


async def _folded(store: Store, events: int) -> bool:
    return [one.events for one in await standing(store)] == [events]
