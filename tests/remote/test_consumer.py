"""A consumer over a service: whatever is cut or spread over processes, each event is handled, each job's in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.faults.conftest import until
from tests.order.stress import seal_all
from tests.remote.test_feed import Relay, serving

from jobledger import Client
from jobledger.observations import ConnectionLost, observing
from jobledger.remote import connection as connections
from jobledger.remote import consumer as consumers

if TYPE_CHECKING:
    from uuid import UUID

    import pytest

    from jobledger.events import Event
    from jobledger.store.pool import Store


async def _jobs(store: Store, count: int, **args: Any) -> list[UUID]:
    async with Client(store, strict=False) as direct, store.connection() as connection:
        await direct.subscription("s").create(types=["job.enqueued"], slices=1, max_failures=1)
        jobs = [(await direct.enqueue("noop", args)).id for _ in range(count)]
        await seal_all(connection)
        return jobs


async def test_answers_that_are_cut_are_asked_for_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the number of the request: so each event comes once, in order, and each word about it counts once."""
    monkeypatch.setattr(connections, "_FIRST_WAIT_S", 0.001)
    jobs = await _jobs(store, 12, text="x" * 300)
    given: list[UUID] = []

    async def handler(event: Event) -> None:
        given.append(event.stream_id)
        if len(given) % 3 == 0:
            raise ValueError("no")

    async with serving(store) as (service, port):
        relay = Relay(port)
        # Enough for an answer with an event, and not for two.
        relay.cut_after = 1_500
        async with relay.listening() as url, Client(url=url, key="jl_key") as client:
            one = client.subscription("s")
            task = asyncio.create_task(one.consume(handler))
            await until(lambda: len(given) == 12)
            task.cancel()
            await asyncio.wait([task])
        assert relay.connections > 10
        assert given == jobs
        aside = await service.client.subscription("s").set_aside()
        assert [(one.stream_id, one.failures) for one in aside[:3]] == [(job, 1) for job in jobs[2:9:3]]


async def test_who_leaves_says_first_what_it_has_done(store: Store) -> None:
    """Also where it asked for no more."""
    jobs = await _jobs(store, 2)
    async with serving(store) as (_, port), Client(url=f"http://127.0.0.1:{port}", key="jl_key") as client:
        one = client.subscription("s")
        async with await one._consumer(None) as taking:
            out = await taking.next(1)
            assert [given.event.stream_id for given in out] == jobs[:1]
            await taking.done(out)
        (part,) = await one.slices()
    assert part.consumer is None
    assert part.place.position >= 1


async def test_who_is_unknown_joins_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process answers, what was out comes again from there; found out also while a handler takes long."""
    monkeypatch.setattr(consumers, "ALIVE_S", 0.02)
    monkeypatch.setattr(consumers, "_PAUSE_S", (0.01, 0.02))
    jobs = await _jobs(store, 2)
    async with serving(store) as (one, first), serving(store) as (two, second):
        relay = Relay(first)
        async with relay.listening() as url, Client(url=url, key="jl_key") as client:
            async with client.subscription("s").events() as events:
                assert (await anext(events)).stream_id == jobs[0]
                with observing(ConnectionLost) as told:
                    # The first process gives its seats up and lets the line go; the next one leads to the second.
                    relay.port = second
                    await one.seats.close(one.application)
                    relay.cut()
                    await until(lambda: any(error.error == "NotFound" for error in told))
                # What was said of the event before is said to nobody.
                assert [(await anext(events)).stream_id for _ in range(2)] == jobs
                assert len(two.seats) == 1
                await events.ack()
                (part,) = await client.subscription("s").slices()
                assert part.place.position >= 3
            assert not len(two.seats)
