"""Subscriptions consumed over HTTP: numbered requests, whose consumer it is, silence, drains and kills."""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import pytest
from tests.faults.conftest import until
from tests.http.test_killed_service import process
from tests.order.stress import seal_all

from jobledger import App, Client
from jobledger.http import seats
from jobledger.http.access import Access
from jobledger.jobs import Masked
from jobledger.store.keys import create_key, new_key
from jobledger.store.roles import Role
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import aiohttp

    from jobledger.events import Event
    from jobledger.store.pool import Store

HOME = "/v1/subscriptions/s/consumers"
ADA = Access("key:ada", frozenset({Role.OPERATE}), key=uuid4())


async def _jobs(store: Store, count: int, **options: Any) -> list[UUID]:
    """Enqueue so many jobs, one block each."""
    jobs = []
    async with Client(store, strict=False) as client, store.connection() as connection:
        for _ in range(count):
            jobs.append((await client.enqueue("noop", **options)).id)
            await seal_all(connection)
    return jobs


async def _made(store: Store, **options: Any) -> None:
    async with Client(store) as client:
        await client.subscription("s").create(**{"types": ["job.enqueued"], "slices": 1, **options})


async def _joined(session: aiohttp.ClientSession) -> str:
    async with session.post(HOME, json={"about": "ada's"}) as response:
        assert response.status == 201
        return f"{HOME}/{(await response.json())['consumer']}"


async def _asked(session: aiohttp.ClientSession, seat: str, call: int, limit: int = 1, **more: Any) -> Any:
    """Return the status, and the jobs of the events that came."""
    body = {"call": call, "limit": limit, "wait_s": 20, **more}
    async with session.post(f"{seat}/next", json=body) as response:
        found = await response.json()
        return response.status, [one["id"].partition("/")[0] for one in found.get("events", ())]


def _done(call: int) -> dict[str, Any]:
    return {"settle": {"call": call, "outcome": "done"}}


def _words(jobs: list[UUID]) -> list[str]:
    return [str(job) for job in jobs]


async def test_a_request_is_its_number_whose_repetition_gives_the_same_and_settles_once(
    store: Store, serving: Any
) -> None:
    """Done, failed, postponed, or no word: each counts once, however often the answer was lost."""
    jobs = _words(await _jobs(store, 5))
    await _made(store, max_failures=3, backoff_s=0)
    async with serving(store) as (session, service):
        seat, one = await _joined(session), service.client.subscription("s")
        assert await _asked(session, seat, 1, 2) == (200, jobs[:2])
        assert await _asked(session, seat, 1, 2) == (200, jobs[:2])
        failed = {"settle": {"call": 1, "outcome": "failed", "error": "ValueError: no\0"}}
        # Of two nobody knows which failed: they come again alone.
        assert await _asked(session, seat, 2, 2, **failed) == (200, jobs[:1])
        failed["settle"]["call"] = 2
        for _ in range(3):
            assert await _asked(session, seat, 3, 5, **failed) == (200, jobs[:1])
        assert [part.failures for part in await one.slices()] == [1]
        assert (await _asked(session, seat, 2, 2))[0] == 409
        # Without a word it was not handled, and of what is not out a word says nothing.
        assert await _asked(session, seat, 4, 5) == (200, jobs[:1])
        assert await _asked(session, seat, 5, 1, **_done(1)) == (200, jobs[:1])
        for _ in range(2):
            assert await _asked(session, seat, 6, 1, **_done(5)) == (200, jobs[1:2])
        later = {"settle": {"call": 6, "outcome": "postponed", "wait_s": 0}}
        assert await _asked(session, seat, 7, 3, **later) == (200, jobs[1:2])
        assert await _asked(session, seat, 8, 3, **_done(7)) == (200, jobs[2:])
        # Without events: kept what is out, then stored what is done.
        assert await _asked(session, seat, 9, 0) == (200, [])
        assert await _asked(session, seat, 10, 0, **_done(8)) == (200, [])
        assert [part.place.block for part in await one.slices()] == [5]
        async with session.delete(seat) as response:
            assert response.status == 204
        assert (await _asked(session, seat, 11))[0] == 404
        assert [(part.place.block, part.consumer) for part in await one.slices()] == [(5, None)]


async def test_a_request_that_waits_gives_way_to_the_next_and_ends_with_the_service(store: Store, serving: Any) -> None:
    """Repeated meanwhile both get the events; a later one ends it; a drain stores what is done."""
    await _made(store, slices=2)
    async with serving(store) as (session, service):
        seat = await _joined(session)

        (held, _), *_ = service.seats._seats.values()

        async def waiting(count: int, call: int, **more: Any) -> asyncio.Task[Any]:
            task = asyncio.create_task(_asked(session, seat, call, **more))
            await until(lambda: held._requests == count)
            return task

        one, two = await waiting(1, 1), await waiting(2, 1)
        jobs = _words(await _jobs(store, 1))
        assert await one == await two == (200, jobs)
        one = await waiting(1, 2, **_done(1))
        two = asyncio.create_task(_asked(session, seat, 3))
        assert (await one)[0] == 409
        assert {part.about for part in await service.client.subscription("s").slices()} == {"ada's"}
        await until(lambda: held._requests == 1)
        service.draining.set()
        async with asyncio.timeout(15):
            await service.application.shutdown()
            assert await two == (200, [])
        assert (await _asked(session, seat, 4))[0] == 503
    async with Client(store) as client:
        shares = await client.subscription("s").slices()
        assert [part.consumer for part in shares] == [None, None]
        assert (await client.subscription("s").status()).lag.events <= 1
        assert not await _deaths(store)


async def _deaths(store: Store) -> int:
    async with store.connection() as connection:
        found = await connection.fetchval("select sum(deaths)::int from jobledger.subscription_slices")
        return int(found)


async def test_a_consumer_is_the_key_s_that_joined_and_there_are_only_so_many(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any other it is not there; who may only read, or see one tenant, has none; no key takes all seats."""
    monkeypatch.setattr(seats, "SEATS_OF_KEY", 2)
    monkeypatch.setattr(seats, "SEATS_MOST", 3)
    app = App()

    @app.job(name="noop")
    async def noop(email: Annotated[str, Masked] = "") -> None:
        """Do nothing."""

    async with Client(store, app=app) as client:
        await client.enqueue("noop", {"email": "ada@example.org"}, tenant="acme")
    await _jobs(store, 1)
    await _made(store)
    bearers = [ADA]
    async with serving(store, ADA, app=app) as (session, service):

        async def authenticate(_: Any) -> Access:
            return bearers[0]

        service.authenticate = authenticate
        seat = await _joined(session)
        async with session.post(f"{seat}/next", json={"call": 1, "wait_s": 20}) as response:
            (event,) = (await response.json())["events"]
        assert event["data"]["args"] == {"email": "•••"}
        assert (event["slice"], event["again"], event["tenant"]) == (0, False, "acme")
        assert {"cursor", "position"} <= event.keys()
        for bearer, status in (
            (replace(ADA, key=uuid4()), 404),
            (replace(ADA, name="key:bob"), 404),
            (replace(ADA, roles=frozenset({Role.READ, Role.ENQUEUE, Role.WORK})), 403),
            (replace(ADA, tenants=frozenset({"acme"})), 403),
        ):
            bearers[0] = bearer
            assert (await _asked(session, seat, 1))[0] == status
            async with session.delete(seat) as response:
                assert response.status == status
        bearers[0] = ADA
        async with session.delete(f"{seat}?tenant=acme") as response:
            assert response.status == 404
        assert (await _asked(session, seat.replace("/s/", "/other/"), 1))[0] == 404
        await _joined(session)
        async with session.post(HOME, json={}) as response:
            assert (response.status, (await response.json())["code"]) == (503, "busy")
        bearers[0] = replace(ADA, name="key:bob", key=uuid4())
        await _joined(session)
        bearers[0] = replace(ADA, name="key:eve", key=uuid4())
        async with session.post(HOME, json={}) as response:
            assert response.status == 503
        async with session.post(HOME.replace("/s/", "/other/"), json={}) as response:
            assert response.status == 503
        assert len(service.seats) == 3
        bearers[0] = ADA
        async with session.delete(seat) as response:
            assert response.status == 204
        async with session.post(HOME.replace("/s/", "/other/"), json={}) as response:
            assert response.status == 404


@pytest.mark.slow
async def test_a_silent_consumer_is_ended_and_what_it_died_over_is_counted(store: Store, serving: Any) -> None:
    """Its slices are others' once the lease is over; with events out that is a death; a long handler is none."""
    jobs = _words(await _jobs(store, 2))
    await _made(store, lease_s=2, max_failures=1)
    given: list[str] = []
    over = asyncio.Event()

    async def handler(event: Event) -> None:
        given.append(str(event.stream_id))
        await over.wait()

    async with serving(store) as (session, service), Client(url=str(session._base_url), key="jl_key") as client:
        slow = client.subscription("slow")
        await slow.create(types=["job.enqueued"], slices=1, lease_s=2)
        working = asyncio.create_task(slow.consume(handler))
        idle = await _joined(session)
        await until(lambda: bool(given))

        async def silent() -> bool:
            return len(service.seats) == 1

        await until(silent)
        assert (await _asked(session, idle, 1))[0] == 404
        assert not await _deaths(store)
        dies = await _joined(session)
        assert await _asked(session, dies, 1, 5) == (200, jobs)
        await until(silent)
        # The next one is given them one at a time, counted before; over the first it dies, too.
        after = await _joined(session)
        assert await _asked(session, after, 1, 5) == (200, jobs[:1])
        await until(silent)
        assert await _asked(session, await _joined(session), 1, 5) == (200, jobs[1:])
        (aside,) = await service.client.subscription("s").set_aside()
        # Meanwhile this handler took three times the lease.
        over.set()
        await until(lambda: len(given) > 1)
        working.cancel()
        await asyncio.wait([working])
    assert str(aside.stream_id) == jobs[0]
    assert given == jobs


@asynccontextmanager
async def _consuming(url: str, key: str, count: int, given: list[tuple[UUID, int]]) -> AsyncIterator[None]:
    """Consume by so many clients for a block; what their handlers get is written down as it comes."""

    async def handler(event: Event) -> None:
        given.append((event.stream_id, event.version))
        await asyncio.sleep(0.002)

    async def consume() -> None:
        async with Client(url=url, key=key) as client:
            await client.subscription("s").consume(handler)

    tasks = [asyncio.create_task(consume()) for _ in range(count)]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_consumers_of_a_killed_service_lose_and_invert_nothing(store: Store, database: str, port: int) -> None:
    """Killed, and restarted, in the middle: each joins the next process by itself; each job's events come in order."""
    async with store.connection() as connection:
        key = new_key(await ServiceKey.load(connection))
        await create_key(connection, store.shard, key, "mails", roles=["operate"])
    given: list[tuple[UUID, int]] = []
    async with Client(store, strict=False) as direct:
        await direct.subscription("s").create(slices=4, lease_s=2)
        jobs = [one.id for one in await direct.enqueue_many([await direct.call("noop") for _ in range(20)])]

        async def write() -> None:
            for priority in range(1, 11):
                for job in jobs:
                    await direct.reprioritise(job, priority=priority, reason="r")

        async with _consuming(f"http://127.0.0.1:{port}", key, 2, given):
            writing = asyncio.create_task(write())
            for end in (signal.SIGKILL, signal.SIGTERM):
                async with process(database, port) as service:
                    before = len(given)
                    await until(lambda before=before: len(given) > before + 50)  # type: ignore[misc]
                    service.send_signal(end)
                    await service.wait()
            async with process(database, port):
                await writing
                wanted = {(job, version) for job in jobs for version in range(1, 12)}
                await until(lambda: wanted <= set(given))
    reached: dict[UUID, int] = defaultdict(int)
    for job, version in given:
        # What comes again begins anew at an earlier one; nothing is passed over on the way.
        assert version <= reached[job] + 1
        reached[job] = max(version, reached[job])
