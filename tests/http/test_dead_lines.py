"""Lines to the database that are dead without a word: a request is given up in time, and the next ones are served."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
from tests.faults.conftest import through, until

from jobledger.http import key_book
from jobledger.jobs.client import Client
from jobledger.observations import ConnectionLost, observing
from jobledger.settings import Settings
from jobledger.store import gather, keys, listen, pool
from jobledger.store.failures import place_of
from jobledger.store.pool import Store
from jobledger.store.recovery import take_snapshot
from jobledger.testing.proxy import Proxy
from jobledger.worker import housekeeping
from jobledger.worker.keeper import Keeper

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import ClientSession

PAUSE_S = 1.0
SLACK_S = 8.0
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
JOB = {"kind": "report", "strict": False}


async def _told(request: aiohttp.client._RequestContextManager) -> tuple[int, dict[str, Any], str | None]:
    async with asyncio.timeout(SLACK_S + PAUSE_S), request as answer:
        return answer.status, await answer.json(), answer.headers.get("Retry-After")


async def _is_served(session: ClientSession) -> None:
    """Wait until a job is enqueued, and all is as it was."""

    async def served() -> bool:
        async with session.post("/v1/jobs", json=JOB) as answer:
            return answer.status == 201

    await until(served)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stall", "mute"])
async def test_a_request_on_a_dead_line_is_given_up_in_time(
    database: str, serving: Any, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads, acts and enqueues answer 503 with when to try again; the dead lines are dropped; then all is as before."""
    monkeypatch.setattr(gather, "STATEMENT_S", PAUSE_S)
    with Proxy(database) as proxy:
        async with through(proxy) as store, serving(store, http_request_s=PAUSE_S) as (session, _):
            await _is_served(session)
            getattr(proxy, fault)()
            asked = [
                session.get("/v1/jobs"),
                session.post("/v1/jobs/acts/preview", json={"act": "cancel"}),
                session.post("/v1/jobs/acts", json={"act": "cancel", "filter": {}, "reason": "none is wanted"}),
                *(session.post("/v1/jobs", json=JOB) for _ in range(20)),
                session.post("/v1/jobs", json={**JOB, "key": "once"}),
            ]
            began = time.monotonic()
            answers = await asyncio.gather(*map(_told, asked))
            assert time.monotonic() - began < SLACK_S
            if fault == "stall":
                assert {status for status, _, _ in answers} == {503}
                proxy.stall(False)
            else:
                # Those for whom there was no line got a new one; that is well.
                assert {status for status, _, _ in answers} <= {200, 201, 503}
            for status, told, retry in answers:
                if status == 503:
                    assert (told["code"] in ("unavailable", "unreachable"), retry) == (True, "2")
            assert any(told.get("code") == "unavailable" for _, told, _ in answers)
            await _is_served(session)
            assert {status for status, _, _ in await asyncio.gather(*map(_told, [session.get("/v1/jobs")] * 1))} == {
                200
            }


async def test_where_the_database_is_is_told_to_nobody_who_asks(database: str, serving: Any) -> None:
    """While it is away neither a bearer of some tenant nor who has no key learns host, port, name or settings of it."""
    with Proxy(database) as proxy:
        place = place_of(proxy.dsn)
        assert place
        async with through(proxy) as store, serving(store) as (session, _):
            proxy.refuse()
            for asked in (session.get("/readyz"), session.get("/v1/jobs"), session.post("/v1/jobs", json=JOB)):
                status, told, _ = await _told(asked)
                assert (status, told["code"]) == (503, "unreachable")
                for part in (place, *place.split("/"), "JOBLEDGER_", "DATABASE_URL"):
                    assert part not in str(told)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stall", "mute"])
async def test_who_asks_whether_the_service_is_ready_hears_soon_that_it_is_not(
    database: str, serving: Any, fault: str
) -> None:
    """Whoever spreads requests asks every few seconds; as soon as there is a line again the answer is another one."""
    with Proxy(database) as proxy:
        async with through(proxy) as store, serving(store) as (session, _):
            assert (await _told(session.get("/readyz")))[0] == 200
            getattr(proxy, fault)()
            began = time.monotonic()
            status, told, _ = await _told(session.get("/readyz"))
            assert (status, told["code"]) in ((503, "unavailable"), (503, "unreachable"))
            assert time.monotonic() - began < 5
            proxy.stall(False)

            async def ready() -> bool:
                return (await _told(session.get("/readyz")))[0] == 200

            await until(ready, 20)


@pytest.mark.slow
async def test_who_asks_whether_the_service_is_ready_hears_soon_that_all_its_lines_are_taken(
    database: str, serving: Any
) -> None:
    """Nobody else would be served either."""
    async with await Store.connect(database, pool_min=1, pool_max=1) as store, serving(store) as (session, _):
        async with store.connection():
            began = time.monotonic()
            assert (await _told(session.get("/readyz")))[:2] == (503, ANY)
            assert time.monotonic() - began < 5
        assert (await _told(session.get("/readyz")))[0] == 200


@pytest.mark.slow
async def test_a_key_is_looked_up_again_once_the_line_is_back(
    database: str, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look that requests share ends, too: nobody with this key waits for ever for an answer that never comes."""
    monkeypatch.setattr(key_book, "SHARED_S", PAUSE_S)
    with Proxy(database) as proxy:
        async with through(proxy) as store, serving(store, None, http_request_s=PAUSE_S) as (session, service):
            key = keys.new_key(await service.book.service_key())
            async with store.transaction() as connection:
                await keys.create_key(connection, 0, key, "one", roles=["admin"])
            headers = {"Authorization": f"Bearer {key}"}
            proxy.mute()
            assert (await _told(session.get("/v1/me", headers=headers)))[0] == 503

            async def known() -> bool:
                return (await _told(session.get("/v1/me", headers=headers)))[0] == 200

            await until(known)


@pytest.mark.slow
async def test_a_transaction_on_a_dead_line_is_given_up_in_time(database: str, serving: Any) -> None:
    """Its roll-back is not waited for either: nobody would answer it."""
    with Proxy(database) as proxy:
        async with through(proxy) as store, serving(store, http_request_s=PAUSE_S) as (session, _):
            made = await Client(store, strict=False).enqueue("report")
            trap = proxy.trap("jobledger.act")
            began = time.monotonic()
            status, told, _ = await _told(session.post(f"/v1/jobs/{made.id}/cancel", json={"reason": "not wanted"}))
            assert trap.caught.is_set()
            assert (status, told["code"]) == (503, "unavailable")
            assert time.monotonic() - began < SLACK_S
            trap.mute()
            await _is_served(session)


@pytest.mark.slow
async def test_an_open_stream_goes_on_after_a_dead_line(
    database: str, store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who seals the log, and who reads it for the streams, find out by themselves: nobody asks them."""
    monkeypatch.setattr(pool, "ANSWER_S", PAUSE_S)
    monkeypatch.setattr(listen, "_CHECK_S", PAUSE_S)
    monkeypatch.setattr(listen, "_PATIENCE_S", PAUSE_S)
    client, found = Client(store, strict=False), list[bytes]()

    async def follow(session: ClientSession) -> None:
        async with session.get("/v1/events", headers={"Accept": "application/x-ndjson"}) as answer:
            async for line in answer.content:
                found.append(line.strip())

    with Proxy(database) as proxy:
        async with through(proxy) as far, serving(far) as (session, _), Keeper(far, Settings(dsn=proxy.dsn)):
            following = asyncio.create_task(follow(session))
            await _followed(client, found)
            proxy.mute()
            await _followed(client, found)
            following.cancel()


@pytest.mark.slow
async def test_a_copy_for_recovery_on_a_dead_line_is_given_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is made by another line: without copies a recovery would take ever longer."""
    monkeypatch.setattr(housekeeping, "COPY_S", PAUSE_S)
    due, made = asyncio.Event(), asyncio.Event()
    with Proxy(database) as proxy, observing(ConnectionLost) as lost:
        async with through(proxy) as store:

            async def copy() -> None:
                async with store.connection() as connection:
                    await take_snapshot(connection, store.shard)
                made.set()

            trap = proxy.trap("queue_snapshot")
            copying = asyncio.create_task(housekeeping.copy_when(due, copy))
            due.set()
            await asyncio.to_thread(trap.wait)
            trap.mute()
            await until(lambda: [one.where for one in lost] == ["snapshot"])
            await until(lambda: not due.is_set())
            due.set()
            await until(made.is_set)
            copying.cancel()


async def _followed(client: Client, found: list[bytes]) -> None:
    made = await client.enqueue("report")
    await until(lambda: any(str(made.id).encode() in line for line in found))


async def test_what_takes_too_long_is_cancelled_in_the_database_too(store: Store, serving: Any) -> None:
    """A request beyond its limit answers 503, and what it waited for there is over; what agreed on longer, goes on."""
    made = await Client(store, strict=False).enqueue("report")
    async with serving(store) as (session, service):
        polling = asyncio.create_task(_told(session.get(f"/v1/jobs/{made.id}/result?wait_s=50")))
        await until(lambda: len(service.endings))
        service.running.look()
        assert service.running.limit_s + 40 < min(service.running.until.values()) - time.perf_counter()
        (waits,) = service.running.until

        async def locked() -> int:
            async with store.connection() as other:
                return int(await other.fetchval(WAITING))

        async with store.transaction() as connection:
            await connection.execute("lock table jobledger.limits in access exclusive mode")
            asked = asyncio.create_task(_told(session.get("/v1/limits")))
            await until(locked)
            service.running.until |= {task: 0.0 for task in service.running.until if task is not waits}
            service.running.look()
            status, told, retry = await asked
            assert (status, told["code"], retry, told["facts"]) == (503, "unavailable", "2", {"limit_s": 30.0})
            assert not await locked()
        assert not polling.done()
        polling.cancel()
