"""Folds and replays over lines to the database that are dead without a word: they find out, tell it, and go on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from tests.conftest import bound_to_acme
from tests.faults.conftest import through, until

from jobledger import Client
from jobledger.errors import Unavailable, Unreachable
from jobledger.observations import ConnectionLost, Observation, ProjectionStopped, observing
from jobledger.order import audit, audit_blocks, audit_pages, folding, replay
from jobledger.order.filters import EventFilter
from jobledger.order.projections import Projection
from jobledger.order.replay import Replay
from jobledger.order.runner import Runner
from jobledger.store import pool
from jobledger.store.pool import Store
from jobledger.testing.proxy import Proxy

from .test_projections import FOLD, MISSING, TABLE, enqueue, standing, value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jobledger.events import Event
    from jobledger.store.pool import Connection

PAUSE_S = 0.5
FAULTS = ("stall", "mute")
MINE = "insert into seen (stream_id, version) values ($1, $2)"


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a line that does not answer be taken for dead soon."""
    monkeypatch.setattr(pool, "ANSWER_S", PAUSE_S)
    monkeypatch.setattr(folding, "_FOLD_S", 1)
    monkeypatch.setattr(folding, "_SILENCE_S", 1 + PAUSE_S)
    monkeypatch.setattr(replay, "_SILENCE_S", PAUSE_S)
    for part in (audit, audit_blocks, audit_pages):
        monkeypatch.setattr(part, "PAGE_S", PAUSE_S)


@asynccontextmanager
async def folding_by(store: Store, *projections: Projection) -> AsyncIterator[list[Observation]]:
    """Run a runner inside a block, and give what is observed."""
    with observing(Observation) as seen:
        task = asyncio.create_task(Runner(store, projections).run())
        try:
            yield seen
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _lost(seen: list[Observation]) -> Callable[[], bool]:
    return lambda: any(isinstance(one, ConnectionLost) and one.where == "projections" for one in seen)


def _folded(store: Store, blocks: int) -> Callable[[], object]:
    async def all_of_them() -> bool:
        return any(one.block == blocks for one in await standing(store))

    return all_of_them


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_runner_that_only_looks_finds_out_that_its_line_is_dead(
    store: Store, database: str, fault: str
) -> None:
    """It waits for something to fold; when the lines are well again what came meanwhile is folded."""
    await enqueue(store, 1)
    with Proxy(database) as proxy:
        async with through(proxy) as far, folding_by(far, Projection("seen", 1, (TABLE, FOLD))) as seen:
            await until(_folded(store, 1))
            getattr(proxy, fault)()
            await until(_lost(seen))
            proxy.stall(False)
            await enqueue(store, 2)
            await until(_folded(store, 3))
    assert await value(store, MISSING) == 0


async def _folds_again(store: Store, database: str, needle: str, projection: Projection) -> None:
    with Proxy(database) as proxy:
        async with through(proxy) as far:
            trap = proxy.trap(needle)
            async with folding_by(far, projection) as seen:
                await asyncio.to_thread(trap.wait)
                trap.mute()
                await until(_lost(seen))
                await until(_folded(store, 3))
                assert not any(isinstance(one, ProjectionStopped) for one in seen)
    assert await value(store, MISSING) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("needle", ["seen.fold(", "projection_take", "COMMIT", "create schema", "projection_make"])
async def test_a_fold_whose_answer_is_lost_is_folded_again(store: Store, database: str, needle: str) -> None:
    """Whichever statement it is, the batch is given up, told of, and done once."""
    await enqueue(store, 3)
    await _folds_again(store, database, needle, Projection("seen", 1, (TABLE, FOLD)))


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
async def test_a_fold_in_python_on_a_dead_line_is_folded_again(store: Store, database: str) -> None:
    """Also one that turns every error into its own: it is the line's fault, and no reason to stop."""
    await enqueue(store, 3)

    async def fold(events: list[Event], connection: Connection) -> None:
        try:
            for event in events:
                await connection.execute(MINE, event.stream_id, event.version)
        except Exception as error:
            raise RuntimeError("it did not work") from error

    await _folds_again(store, database, "insert into seen", Projection("seen", 1, (TABLE,), fold))


async def test_a_fold_that_is_merely_long_is_not_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take its time, however soon a line that says nothing is taken for dead elsewhere."""
    monkeypatch.setattr(pool, "ANSWER_S", 0.1)
    await enqueue(store, 1)
    waits = FOLD.replace("$$\n", "$$ select pg_sleep(0.3); ", 1)
    with observing(ConnectionLost) as lost:
        await Runner(store, [Projection("seen", 1, (TABLE, waits))]).settle()
    assert await value(store, MISSING) == 0
    assert not lost


@pytest.fixture
async def bound(store: Store) -> AsyncIterator[str]:
    """Give a role that is bound to the tenant acme."""
    async with bound_to_acme(store, "jobledger_reader") as name:
        yield name


async def test_what_a_bound_role_replays_comes_in_pages_that_it_takes_its_time_with(
    store: Store, database: str, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is slow is no line that is dead, and each event comes once."""
    monkeypatch.setattr(replay, "_SILENCE_S", 0.2)
    monkeypatch.setattr(replay, "_OWN_PAGE", 2)
    await enqueue(store, 5)
    async with await Store.connect(f"{database}&role={bound}", pool_min=1, pool_max=2) as own, Client(own) as client:
        seen = []
        async for one in client.replay():
            seen.append(one.event.stream_id)
            if len(seen) == 1:
                await asyncio.sleep(0.3)
        assert len(set(seen)) == len(seen) == 5


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("needle", "whose"),
    [
        ("every_tenant", "all"),
        ("read_log", "all"),
        ("log_end", "all"),
        ("e.version > $4", "job"),
        ("statement_timeout", "own"),
        ("order by e.position", "own"),
        ("verify_events", "audit"),
        ("verify_blocks", "audit"),
        ("verify_rows", "audit"),
    ],
)
async def test_a_replay_or_an_audit_on_a_dead_line_ends_with_an_error(
    store: Store, database: str, bound: str, needle: str, whose: str, fault: str
) -> None:
    """Whoever asked is told, and may ask again: what it has is in order up to there."""
    await enqueue(store, 2)
    async with store.connection() as connection:
        job = await connection.fetchval("select id from jobledger.jobs limit 1")
    with Proxy(database) as proxy:
        async with through(proxy, role=bound if whose == "own" else None) as far, Client(far) as client:

            async def ask() -> object:
                if whose == "audit":
                    return await audit.verify(far)
                return [one async for one in client.replay(job=job if whose == "job" else None)]

            trap = proxy.trap(needle)
            asked = asyncio.create_task(ask())
            await asyncio.to_thread(trap.wait)
            getattr(proxy if fault == "stall" else trap, fault)()
            with pytest.raises(Unreachable):
                async with asyncio.timeout(20):
                    await asked
            proxy.stall(False)
            assert await ask()


async def test_who_asks_for_too_long_a_replay_is_told_to_ask_for_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To find and sort what a bound role may see has a limit; a caller's own transaction keeps the one that it has."""
    limits = "select pg_catalog.current_setting('statement_timeout')"
    await enqueue(store, 1)
    async with store.connection() as connection, connection.transaction(isolation="repeatable_read"):
        before = await connection.fetchval(limits)
        own = Replay(Store(connection=connection), EventFilter(tenant="acme"))
        types = [event.type async for event, _ in own._own()]
        assert types == ["job.enqueued"]
        assert await connection.fetchval(limits) == before
    monkeypatch.setattr(replay, "SORTED_S", 0.001)
    async with store.connection() as locking, locking.transaction():
        await locking.execute("lock table jobledger.finished in access exclusive mode")
        with pytest.raises(Unavailable) as told:
            await anext(Replay(store, EventFilter(tenant="acme"))._own())
    assert told.value.hint == "Replay in parts, by time."
