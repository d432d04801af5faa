"""One tenant's or one job's catch-up by its own streams gives what a walk over everybody's blocks gives."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import asyncpg
import pytest
from tests.order.test_epochs import moved_elsewhere

from jobledger import Client
from jobledger.errors import FeedReset
from jobledger.order import own
from jobledger.order.cursor import Place, cursors_for
from jobledger.order.filters import EventFilter
from jobledger.store.recovery import open_store
from jobledger.store.workers import heartbeat, start_worker

from .stress import Writers, nothing_amiss, seal_all, sealing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.jobs.door import EventFeed as Feed
    from jobledger.store.pool import Connection, Store

# One stream of a tenant's own, long enough for a difference in parts; no job, so that opening has nothing to fold.
BULK = """
insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant)
select nextval('jobledger.position'), pg_current_xact_id(), jobledger.now(), jobledger.control_id('bulk', '', ''),
  n, 'tenant.paused', 0, 'bulk' from generate_series(1, 11000) as n
"""
REPORT = (
    "select * from jobledger.report(0::smallint, $1, array[$2::uuid], array[$3::int], array['succeeded'], '{null}')"
)
CLAIM = "select * from jobledger.claim_job(0::smallint, $1, $2, $3, array['noop'])"
Seen = list[tuple[str | None, dict[str, Any]]]


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    """Give a client on the test's own database."""
    async with Client(store, strict=False) as made:
        yield made


async def _all(feed: Feed) -> Seen:
    return [(feed.cursor, event.model_dump()) async for event in feed]


def _choose(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Have feeds read one way or the other, whatever it costs."""

    async def pays(*_: object) -> bool:
        return way == "the own streams"

    monkeypatch.setattr(own.OwnStreams, "_pays", pays)


async def _both(monkeypatch: pytest.MonkeyPatch, client: Client, **wanted: Any) -> Seen:
    """Read by the blocks and by the own streams, see that both are the same in everything, and return it."""
    _choose(monkeypatch, "the blocks")
    walked = await _all(client.events(live=False, **wanted))
    _choose(monkeypatch, "the own streams")
    feed = client.events(live=False, **wanted)
    found = await _all(feed)
    assert cast("Any", feed)._own._from is not None, "the own streams were read"
    assert found == walked
    return walked


@pytest.mark.slow
async def test_both_ways_give_the_same_order(two_phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Early ids, stragglers, two-phase commit, large differences in parts, and an epoch that carries events over."""
    async with Client(two_phase, strict=False) as client, client.store.connection() as connection:
        sealer, slow = await asyncpg.connect(two_phase), await asyncpg.connect(two_phase)
        for straggling in (True, False):
            written = asyncio.Event()
            task = asyncio.create_task(sealing(sealer, written))
            await Writers(two_phase, straggle_s=0.15).run(6, 0.5)
            written.set()
            await task
            if straggling:
                await _left_unsealed(connection, slow)
                await moved_elsewhere(connection)
                await open_store(client.store)
        await seal_all(connection)
        order = await nothing_amiss(connection)
        chance = random.Random(1)  # noqa: S311 - a test's choice
        for tenant in ("bulk", "t1", "straggler", "nobody"):
            monkeypatch.setattr(own, "STRETCH", 30 if tenant == "t1" else 5_000)
            mine = [one.place for one in order if one.event.tenant == tenant]
            cursors = await cursors_for(connection, tenant)
            if tenant != "bulk":
                assert len(await _both(monkeypatch, client, tenant=tenant)) == len(mine)
            for place in chance.sample(mine[-400:], min(2, len(mine))):
                rest = await _both(monkeypatch, client, tenant=tenant, after=cursors.write(place))
                assert len(rest) == sum(one > place for one in mine)
        await _both(monkeypatch, client, tenant="t2", types=["job.reprioritised"])
        for one in chance.sample(order, 5):
            await _both(monkeypatch, client, job=one.event.stream_id)
        await sealer.close()
        await slow.close()


async def _left_unsealed(connection: Connection, slow: Connection) -> None:
    """Leave a large difference half sealed, an event behind it, and one that the last look saw in progress."""
    await slow.execute("begin")
    await slow.execute("select jobledger.enqueue('noop', tenant => 't1')")
    await connection.execute(BULK)
    await connection.execute("select * from jobledger.seal()")
    await slow.execute("commit")
    await connection.execute("select jobledger.enqueue('noop', tenant => 't1')")


async def test_both_ways_show_the_same_of_workers(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats with the own jobs only, rejected reports of whichever worker, and the tenant's control events."""
    async with store.connection() as connection:
        workers = [(await start_worker(connection, 0, kinds=["noop"])).worker for _ in range(3)]
        beats = dict.fromkeys(workers, 0)

        async def beat(worker: Any, *jobs: Any) -> None:
            for _ in range(2):
                beats[worker] += 1
                await heartbeat(connection, 0, worker, beat=beats[worker], settled=100, held=list(jobs))
            await seal_all(connection)

        jobs = [(await client.enqueue("noop", tenant=tenant)).id for tenant in ("a", "b", "a", "b", "a")]
        await seal_all(connection)
        for at, job in enumerate(jobs):
            await connection.fetch(CLAIM, workers[at % 2], at + 1, job)
        await beat(workers[0], jobs[0], jobs[2], jobs[4])
        await beat(workers[1], jobs[1], jobs[3])
        await connection.fetch(REPORT, workers[0], jobs[0], 2)
        await beat(workers[0], jobs[2], jobs[4])
        await client.kill(jobs[2], reason="r")
        await connection.fetch(REPORT, workers[0], jobs[2], 2)
        await connection.fetch(REPORT, workers[2], jobs[4], 1)  # by one that never had it
        await connection.fetch(REPORT, uuid4(), jobs[4], 1)  # by one that nobody knows
        await client.pause("tenant", "a", reason="r")
        await beat(workers[0], jobs[4])
        # Given back, and taken again by the other worker.
        await beat(workers[0])
        await connection.fetch(CLAIM, workers[1], 50, jobs[4])
        await beat(workers[1], jobs[1], jobs[3], jobs[4])
        await connection.fetch(REPORT, workers[1], jobs[3], 2)
        await beat(workers[1], jobs[4])
    seen = [event for _, event in await _both(monkeypatch, client, tenant="a")]
    held = [event["data"]["held"] for event in seen if event["type"] == "worker.heartbeat"]
    texts = [str(job) for job in jobs]
    assert held == [[texts[at] for at in some] for some in ((0, 2, 4), (2, 4), (2, 4), (4,), (4,), (4,), (4,), (4,))]
    assert sum(event["type"] == "worker.report_rejected" for event in seen) == 3
    assert "tenant.paused" in {event["type"] for event in seen}
    for wanted in ({"tenant": "b"}, {"job": jobs[4]}, {"job": jobs[4], "tenant": "a"}, {"job": uuid4()}):
        await _both(monkeypatch, client, **wanted)
    shared = ["worker.heartbeat", "worker.report_rejected"]
    assert len(await _both(monkeypatch, client, tenant="a", types=shared)) == 11
    assert await _both(monkeypatch, client, job=jobs[4], tenant="b") == []


async def test_a_closed_database_is_read_by_its_blocks(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the live tables do not tell a tenant's jobs, nothing is missing from its feed."""
    _choose(monkeypatch, "the own streams")
    job = await client.enqueue("noop", tenant="a")
    async with store.connection() as connection:
        await seal_all(connection)
        await connection.execute("truncate jobledger.live, jobledger.ready")
        assert [event["stream_id"] for _, event in await _all(client.events(tenant="a", live=False))] == [job.id]
        # Opened, but a transaction that was prepared then may have made jobs that are in no live table yet.
        await open_store(store)
        await connection.execute("truncate jobledger.ready")
        await connection.execute("insert into jobledger.late (shard, xid, noted_at) values (0, '3', now())")
    assert [event["stream_id"] for _, event in await _all(client.events(tenant="a", live=False))] == [job.id]


@pytest.mark.parametrize(("jobs", "pays"), [(5, True), (6, False), (30, False)])
async def test_the_tenant_that_made_the_most_is_read_by_the_blocks(
    store: Store, monkeypatch: pytest.MonkeyPatch, jobs: int, pays: bool
) -> None:
    """Its jobs are counted only so far as looking them up pays; a count that stops there says that it does not."""
    monkeypatch.setattr(own, "WORTH", 10)
    monkeypatch.setattr(own, "_JOB_COSTS", 10)
    async with store.connection() as connection:
        for tenant, count in (("a", jobs), ("others", 55 - jobs)):
            for _ in range(count):
                await connection.fetchval("select jobledger.enqueue('noop', tenant => $1)", tenant)
        await seal_all(connection)
        assert await own.OwnStreams(EventFilter("a"), 0)._pays(connection, Place()) is pays


async def test_what_retention_took_meanwhile_is_told(client: Client, store: Store) -> None:
    """Events that went after their places were looked up are not passed over: the reader is told where to go on."""
    jobs = [(await client.enqueue("noop", tenant="a")).id for _ in range(3)]
    async with store.connection() as connection:
        await seal_all(connection)
        reading = own.OwnStreams(EventFilter("a"), 0)
        reading._walk_to, reading._from, reading._places = None, Place(), await reading._look(connection, Place(), 10)
        first = await reading.page(connection, Place(), 1)
        assert first is not None
        assert [one.event.stream_id for one in first.events] == jobs[:1]
        await connection.execute("alter table jobledger.events disable trigger user")
        await connection.execute("delete from jobledger.events where stream_id = $1", jobs[1])
        await connection.execute("update jobledger.horizon set block = 1, position = 3, epoch = 1, generation = 1")
        with pytest.raises(FeedReset):
            await reading.page(connection, first.reached, 1)
