"""Readers and consumers that are interrupted, or overtaken by others, at the worst moment lose nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.errors import FeedReset, JobledgerError
from jobledger.order import checkpoints, filters
from jobledger.order import consumer as consumers
from jobledger.order import hub as hubs
from jobledger.order.cursor import Place
from jobledger.order.filters import Origins
from jobledger.order.inlet import Inlet
from jobledger.order.log import read_page
from jobledger.order.reader import Feed
from jobledger.store.pool import Store

from .stress import seal_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.store.pool import Connection


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    """Give a client on the test's own database."""
    async with Client(store, strict=False) as made:
        yield made


async def _sealed_job(client: Client) -> UUID:
    job = await client.enqueue("noop")
    async with client.store.connection() as connection:
        await seal_all(connection)
    return job.id


class Meanwhile(Store):
    """A store on which somebody else asks for the origin of other jobs just before each connection is had."""

    def __init__(self, store: Store, origins: Origins, others: list[UUID]) -> None:
        """Wrap a store's pool."""
        super().__init__(store.pool)
        self._others = others
        self._origins = origins
        self._plain = store

    @asynccontextmanager
    async def connection(
        self, *, ours: bool = False, prompt: bool = False, answer_s: float | None = None
    ) -> AsyncIterator[Connection]:
        """Lend a connection after the other was answered."""
        await self._origins.of(self._plain, self._others)
        async with super().connection(ours=ours, prompt=prompt, answer_s=answer_s) as connection:
            yield connection


async def test_an_origin_that_another_reader_pushes_out_is_still_told(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers share what they know of jobs: what one knew when it began to ask is not lost by another's asking."""
    monkeypatch.setattr(filters, "_REMEMBERED", 2)
    first, second, third, fourth = [await _sealed_job(client) for _ in range(4)]
    origins = Origins()
    await origins.of(client.store, [first])
    found = await origins.of(Meanwhile(client.store, origins, [third, fourth]), [first, second])
    assert {job for job, origin in found.items() if origin is not None} == {first, second}


async def test_a_slow_live_reader_is_told_of_a_log_that_fell_back(client: Client) -> None:
    """Its place is of a log that is gone: that the hub has gone on beyond it in the new one does not hide it."""
    feed = client.events(from_end=True)
    waiting = asyncio.create_task(anext(feed))
    await until(lambda: any(hub._place is not None for hub in hubs._hubs.values()))
    (hub,) = hubs._hubs.values()
    jobs = [await _sealed_job(client) for _ in range(3)]
    assert [(await waiting).stream_id, *[(await anext(feed)).stream_id for _ in range(2)]] == jobs
    async with client.store.transaction() as connection:
        await connection.execute("alter table jobledger.blocks disable trigger all")
        await connection.execute("delete from jobledger.blocks where block > 1")
    async with client.store.connection() as connection:
        await seal_all(connection)
    await until(lambda: hub._place is not None and hub._place.block == 2)
    for _ in range(2):
        await _sealed_job(client)
    await until(lambda: hub._place is not None and hub._place.block == 4)
    with pytest.raises(FeedReset) as reset:
        await anext(feed)
    assert reset.value.detail["reason"] == "beyond_end"
    await feed.aclose()


async def test_a_feed_whose_client_was_closed_ends_and_holds_up_no_other(database: str) -> None:
    """It raises instead of waiting for ever, and the hub reads on through those whose pools are open."""
    async with Client(database, strict=False) as open_one:
        async with Client(database, strict=False) as closed_one:
            left, other = closed_one.events(from_end=True), open_one.events(from_end=True)
            waiting = asyncio.create_task(anext(left))
            await until(lambda: any(hub._place is not None for hub in hubs._hubs.values()))
            hearing = asyncio.create_task(anext(other))
            await until(lambda: any(len(hub._ears[None]) == 2 for hub in hubs._hubs.values()))
        async with asyncio.timeout(60):
            job = await _sealed_job(open_one)
            assert (await hearing).stream_id == job
            with pytest.raises(JobledgerError):
                await waiting
        await left.aclose()
        await other.aclose()


async def test_a_feed_that_was_interrupted_goes_on(client: Client) -> None:
    """A call that was given up, or one whose event could not be shown, ends nothing: the next call gives that event."""
    feed = client.events(from_end=True)
    given_up = asyncio.create_task(anext(feed))
    # Where the log ends is found by then: what comes now is behind it.
    await until(lambda: feed.cursor is not None)
    given_up.cancel()
    await asyncio.wait([given_up])
    assert given_up.cancelled()
    job = await _sealed_job(client)
    async with asyncio.timeout(60):
        assert (await anext(feed)).stream_id == job
    await feed.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(feed)
    failures = [ZeroDivisionError()]

    async def shown(event: Event, _: object) -> Event:
        if failures:
            raise failures.pop()
        return event

    feed = Feed(client.store, shown=shown)
    with pytest.raises(ZeroDivisionError):
        await anext(feed)
    assert (await anext(feed)).stream_id == job
    await feed.aclose()
    assert not hubs._hubs


async def test_a_consumer_that_was_interrupted_while_it_began_to_read_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was given up while its reader was being made leaves it to the next one."""
    job = await _sealed_job(client)
    subscription = client.subscription("s")
    await subscription.create(types=["job.enqueued"], slices=1)
    began = asyncio.Event()

    async def stuck(*_: Any, **__: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    async with subscription.events() as events:
        with monkeypatch.context() as held:
            held.setattr(Inlet, "at", stuck)
            asking = asyncio.create_task(events.__anext__())
            await began.wait()
            asking.cancel()
            await asyncio.wait([asking])
        async with asyncio.timeout(60):
            assert (await anext(events)).stream_id == job


async def test_an_event_tried_again_is_settled_with_the_consumers_own_writes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledged in a transaction that is rolled back it is still to be tried again, and comes again."""
    monkeypatch.setattr(consumers, "CHECKPOINT_S", 0.02)
    monkeypatch.setattr(consumers, "RENEW_S", 0.02)
    job = await _sealed_job(client)
    subscription = client.subscription("s")
    await subscription.create(types=["job.enqueued"], slices=1, max_failures=1, backoff_s=0)
    async with asyncio.timeout(60), subscription.events() as events:
        await anext(events)
        await events.fail(ValueError("no"))
        assert await subscription.retry() == 1
        with pytest.raises(ZeroDivisionError):
            await _taken(client, events, fails=True)
        assert [(one.stream_id, one.state) for one in await subscription.set_aside()] == [(job, "retry")]
        await _taken(client, events, fails=False)
        assert await subscription.set_aside() == []


async def _taken(client: Client, events: Any, *, fails: bool) -> None:
    await anext(events)
    async with client.store.transaction() as connection:
        await events.ack(conn=connection)
        if fails:
            raise ZeroDivisionError


async def test_an_event_whose_transaction_failed_at_its_end_comes_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it was acknowledged in it, and though nothing else happens; several of one transaction stand or fall."""
    monkeypatch.setattr(consumers, "CHECKPOINT_S", 0.02)
    monkeypatch.setattr(consumers, "RENEW_S", 0.02)
    jobs = [await _sealed_job(client) for _ in range(3)]
    subscription = client.subscription("s")
    await subscription.create(types=["job.enqueued"], slices=1)
    async with asyncio.timeout(60), subscription.events() as events:
        for fails in (True, False):
            with suppress(ZeroDivisionError):
                async with client.store.transaction() as connection:
                    taken = []
                    for _ in jobs:
                        taken.append((await anext(events)).stream_id)
                        await events.ack(conn=connection)
                        # Several renewals come while it is open.
                        renewed = _ends(events)
                        await until(lambda at=renewed: _ends(events) > at)  # type: ignore[misc]
                    assert taken == jobs
                    if fails:
                        raise ZeroDivisionError
        await until(lambda: _lag(subscription))


def _ends(events: Any) -> float:
    ends: float = events._taking._holding.lease_ends
    return ends


async def _lag(subscription: Any) -> bool:
    return bool((await subscription.slices())[0].place.block == 3)


async def test_what_comes_while_its_job_is_tried_again_is_not_left_behind(client: Client) -> None:
    """In a strict subscription it waits for what is tried again, then comes by itself; where that fails it is held."""
    job = await _sealed_job(client)
    for priority in (1, 2):
        await client.reprioritise(job, priority=priority, reason="r")
    async with client.store.connection() as connection:
        await seal_all(connection)
        page = (await read_page(connection, 0, Place())).events
        first, second, third = (one for one in page if one.event.stream_id == job)
        strict = client.subscription("strict")
        await strict.create(slices=1, strict=True, max_failures=1)
        (registered,) = await checkpoints.listed(connection, 0)
        of = (connection, 0, registered.id, registered.id)
        (taken,) = await checkpoints.take(*of, "me")
        assert await checkpoints.failed(*of, taken, "failed", first, "no") == (1, True)
        assert await strict.retry() == 1
        await checkpoints.failed(*of, taken, "held", second)
        assert [one for _, one in await checkpoints.again(*of, 10)] == [
            one._replace(sealed_at=ANY) for one in (first, second)
        ]
        # In vain: what comes now waits for an operator.
        await checkpoints.settled(*of, first.place.position, "no")
        await checkpoints.failed(*of, taken, "held", third)
        assert [one.state for one in await strict.set_aside()] == ["aside", "held", "held"]
