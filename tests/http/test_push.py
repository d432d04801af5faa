"""Queues whose jobs are delivered to endpoints, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest
from aiohttp import web

from jobledger import App
from jobledger.delivery.push_token import PushToken
from jobledger.errors import Conflict
from jobledger.http.access import Access
from jobledger.http.push import pushing
from jobledger.lifecycle.backoff import Fixed
from jobledger.observations import PushHeld, subscribe
from jobledger.store.operate import act
from jobledger.store.pushes import set_push
from jobledger.store.roles import Role
from jobledger.testing import FakeEndpoint
from jobledger.worker.keeper import Keeper
from jobledger.worker.link import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

ENDS = "select stream_id::text as id, count(*) as n from jobledger.events where type = 'job.succeeded' group by 1"
OPEN = """
select (select count(*) from jobledger.ready) + (select count(*) from jobledger.running)
  + (select count(*) from jobledger.waiting)
"""
STORY = """
select e.type::text as type, e.attempt, e.data #>> '{error,type}' as error, e.data #>> '{error,class}' as class,
  e.data ->> 'reason' as reason, e.stream_id::text as job
from jobledger.events as e where e.stream_id = any (
  select x.stream_id from jobledger.events as x where x.version = 1 and x.data -> 'args' ->> 'n' = $1)
order by e.stream_id, e.version
"""


async def register(
    store: Store, *, limit_s: int = 60, attempts: int = 5, queue: str = "calls", name: str = "call"
) -> None:
    """Register a kind of the pushed queue, as its application would have."""
    app = App()

    @app.job(name, queue=queue, timeout=limit_s, max_attempts=attempts, backoff=Fixed(0))
    async def call(n: int) -> None:
        """Whatever the endpoint does."""

    await app.register(store)


async def put(session: aiohttp.ClientSession, queue: str = "calls", **fields: Any) -> tuple[int, dict[str, Any]]:
    """Set the push of a queue; return status and answer."""
    async with session.put(f"/v1/queues/{queue}/push", json=fields) as answer:
        return answer.status, await answer.json(content_type=None)


async def enqueue(store: Store, *numbers: int, **stated: Any) -> None:
    """Enqueue jobs of the pushed kind."""
    jobs = [{"kind": "call", "args": {"n": n}, **stated} for n in numbers]
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue_many($1::jsonb)", orjson.dumps(jobs).decode())


async def reaches(store: Store, query: str, wanted: object, *given: Any) -> None:
    """Wait until a query's value is the one wanted."""
    async with asyncio.timeout(90), store.connection() as connection:
        while await connection.fetchval(query, *given) != wanted:  # noqa: ASYNC110 - it changes in the database
            await asyncio.sleep(0.02)


async def story(store: Store, n: int) -> list[tuple[Any, ...]]:
    """Return what happened to the job of a number: type, attempt, and the error or reason."""
    async with store.connection() as connection:
        rows = await connection.fetch(STORY, str(n))
    return [(row["type"].removeprefix("job."), row["attempt"], row["error"] or row["reason"]) for row in rows]


@asynccontextmanager
async def pushed(serving: Any, store: Store) -> AsyncIterator[tuple[aiohttp.ClientSession, Any]]:
    """Serve and deliver, as `serve` does."""
    async with (
        serving(store, send_private=True, stop_grace_s=0.1, heartbeat_s=0.2) as (session, service),
        Keeper(store, service.settings),
        pushing(service, str(session._base_url)),
    ):
        yield session, service


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_all_end_and_none_twice_though_some_are_refused_and_some_are_lost(
    store: Store, serving: Any, count: int
) -> None:
    """10 % of requests refused, 5 % of jobs accepted and lost, some reported later: each job succeeds exactly once."""
    # On a busy machine a second is not enough for a large batch.
    max_run = 1 if count == 100 else 3
    await register(store, attempts=20, limit_s=max_run)
    async with (
        FakeEndpoint(refuse=0.1, lose=0.05, later=min(0.1, 200 / count), seed=7) as endpoint,
        pushed(serving, store) as (session, _),
    ):
        batch = max(5, count // 200)
        status, answer = await put(session, url=endpoint.url, batch=batch, concurrency=1000, max_run=max_run)
        assert status == 200, answer
        endpoint.secret = answer["secret"]
        await enqueue(store, *range(count))
        await reaches(store, OPEN, 0)
        async with store.connection() as connection:
            ends = {row["id"]: row["n"] for row in await connection.fetch(ENDS)}
        assert len(ends) == count
        assert set(ends.values()) == {1}
        assert endpoint.refused > 0
        assert endpoint.lost
        assert endpoint.unsigned == 0
        assert endpoint.largest > 1
        verdicts = Counter(verdict["verdict"] for verdict in endpoint.verdicts)
        # Where the machine stood still a report may come when its job has been delivered again.
        assert verdicts["accepted"] > 0
        assert verdicts.total() - verdicts["accepted"] <= endpoint.delivered.total() - count - endpoint.lost.total()


async def test_an_endpoint_is_told_all_of_a_job_and_tells_how_it_ended(store: Store, serving: Any) -> None:
    """Outcomes of every kind, by the answer and by the token; a status is a failure of its class."""

    async def handler(job: Mapping[str, Any]) -> Mapping[str, Any] | None:
        match job["args"]["n"]:
            case 1:
                return {"outcome": "succeeded", "result": {"sum": 7}}
            case 2:
                error = {"type": "NoSuchUser", "message": "nobody", "class": "permanent"}
                return {"outcome": "failed", "error": error}
            case 3:
                return {"outcome": "parked", "reason": "a person is to look", "needs": "a permission"}
            case 4:
                raise web.HTTPForbidden
            case 5:
                raise web.HTTPBadRequest
            case 6:
                return {"outcome": "done"}
            case 7 if job["attempt"] == 1:
                return {"outcome": "failed", "retry_in": 0}
            case _:
                return None

    await register(store, attempts=2)
    async with FakeEndpoint(handler) as endpoint, pushed(serving, store) as (session, service):
        await put(session, url=endpoint.url, max_run=60, concurrency=20)
        await enqueue(store, *range(1, 8), owner="ada", tags=["t"], meta={"m": 1})
        await reaches(store, "select count(*)::int from jobledger.finished", 6)
        told = {job["args"]["n"]: job for job in endpoint.jobs}
        assert told[1]["report_url"] == f"{str(session._base_url).rstrip('/')}/v1/pushed/{told[1]['token']}"
        assert [told[1][name] for name in ("kind", "attempt", "max_attempts", "tenant", "owner", "queue")] == [
            *("call", 1, 2, "default", "ada", "calls")
        ]
        assert (told[1]["tags"], told[1]["meta"]) == (["t"], {"m": 1})
        found = [(await story(store, n))[-1] for n in range(1, 8)]
        assert [one[0] for one in found] == ["succeeded", "failed", "parked", "failed", "failed", "failed", "succeeded"]
        assert [one[2] for one in found[1:6]] == [
            *("NoSuchUser", "a person is to look", "EndpointFailed", "EndpointFailed", "AnswerNotUnderstood")
        ]
        # 400 is permanent, 403 is not, an answer that is no outcome neither.
        assert [one[1] for one in found] == [1, 1, 1, 2, 1, 2, 2]
        async with store.connection() as connection:
            classes = {row["class"] for row in await connection.fetch(STORY, "4")} - {None}
            result = await connection.fetchval("select data -> 'result' from jobledger.events where data ? 'result'")
        assert classes == {"permission"}
        assert orjson.loads(result) == {"sum": 7}
        assert service.pusher is not None


async def test_a_token_is_good_for_its_attempt_only(store: Store, serving: Any) -> None:
    """Progress and the outcome are taken, the same again is repeated; after the next delivery an old one is refused."""

    async def handler(job: Mapping[str, Any]) -> Mapping[str, Any]:
        if job["attempt"] == 1:
            # The next attempt has time, whatever the machine does.
            await put(session, url=endpoint.url, max_run=60)
        return {"outcome": "accepted"}

    await register(store, limit_s=1)
    async with FakeEndpoint(handler) as endpoint, pushed(serving, store) as (session, _):
        await put(session, url=endpoint.url, max_run=1)
        await enqueue(store, 1, timeout=60)
        await reaches(store, "select count(*)::int from jobledger.events where type = 'job.claimed'", 2)
        async with asyncio.timeout(10):
            while len(endpoint.jobs) < 2:  # noqa: ASYNC110 - the second delivery comes when the first is given up
                await asyncio.sleep(0.01)
        old, new = endpoint.jobs
        late = await endpoint.report(old, outcome="succeeded")
        assert (late["status"], late["verdict"], late["reason"]) == (200, "rejected", "claimed_elsewhere")
        assert (await endpoint.report(new, outcome="progressed", progress=0.5))["verdict"] == "accepted"
        done = await endpoint.report(new, outcome="succeeded", result=3)
        again = await endpoint.report(new, outcome="succeeded", result=3)
        assert [done["verdict"], done["state"], again["verdict"]] == ["accepted", "succeeded", "repeated"]
        assert (await endpoint.report(new, outcome="failed"))["verdict"] == "rejected"
        kinds = [one[0] for one in await story(store, 1)]
        assert kinds == ["enqueued", "claimed", "failed", "claimed", "progressed", "succeeded"]
        assert (await story(store, 1))[2][2] == "NeverReported"
        forged = new["token"][:-1] + ("A" if new["token"][-1] != "A" else "B")
        for token, body in ((forged, {"outcome": "succeeded"}), ("x", {"outcome": "failed"})):
            async with session.post(f"/v1/pushed/{token}", json=body) as answer:
                assert (answer.status, (await answer.json(content_type=None))["code"]) == (401, "unauthenticated")
        assert (await endpoint.report(new, outcome="accepted"))["status"] == 422


async def test_a_delivery_that_cannot_start_costs_an_attempt_or_nothing_as_the_push_says(
    store: Store, serving: Any
) -> None:
    """Nobody listens there: `attempt` fails the job as `DeliveryNotStarted`; `free` puts it off, and goes on later."""
    await register(store, attempts=2)
    await register(store, queue="free", name="other")
    async with FakeEndpoint() as endpoint, pushed(serving, store) as (session, _):
        nowhere = "http://127.0.0.1:9999/jobs"
        await put(session, url=nowhere, max_run=60)
        await put(session, "free", url=nowhere, max_run=60, start_failure="free")
        await enqueue(store, 1)
        await enqueue(store, 2, kind="other", queue="free")
        await reaches(store, "select count(*) > 0 from jobledger.events where type = 'job.snoozed'", True)
        await reaches(store, "select count(*)::int from jobledger.finished", 1)
        told = await story(store, 1)
        assert [one[:2] for one in told] == [
            *(("enqueued", None), ("claimed", 1), ("failed", 1), ("claimed", 2), ("failed", 2))
        ]
        assert {one[2] for one in told if one[0] == "failed"} == {"DeliveryNotStarted"}
        await put(session, "free", url=endpoint.url, max_run=60, start_failure="free")
        await reaches(store, "select count(*)::int from jobledger.finished", 2)
        told = await story(store, 2)
        assert (told[2][0], told[2][2]) == ("snoozed", "The delivery could not start: connection.")
        assert told[-1][:2] == ("succeeded", 1)


async def test_a_kind_that_may_run_longer_than_its_endpoint_is_refused(store: Store, serving: Any) -> None:
    """At the setting of the push, and at the registration of the kind; a tenant's push binds nobody else's kinds."""
    await register(store, limit_s=60)
    endpoint: dict[str, Any] = {"url": "https://a.example/jobs", "max_run": 59}
    async with serving(store) as (session, _):
        status, problem = await put(session, **endpoint)
        assert (status, problem["code"], problem["facts"]) == (409, "conflict", {"max_run": 59, "kinds": ["call"]})
        status, answer = await put(session, **(endpoint | {"max_run": 60}))
        assert (status, answer["changed"], answer["push"]["generation"]) == (200, True, 1)
        with pytest.raises(Conflict, match="works 60 s on a job at most"):
            await register(store, limit_s=61)
        status, again = await put(session, **(endpoint | {"max_run": 60}))
        assert (again["changed"], again["secret"]) == (False, answer["secret"])
        status, rotated = await put(session, **(endpoint | {"max_run": 60, "rotate": True}))
        assert rotated["push"]["generation"] == 2
        assert rotated["secret"] != answer["secret"]
        status, problem = await put(session, **endpoint, tenant="acme")
        assert status == 409
        async with session.delete("/v1/queues/calls/push", params={"reason": "moved"}) as gone:
            assert gone.status == 204
        await register(store, limit_s=61)
        await put(session, "mine", url="https://a.example/jobs", max_run=1, tenant="acme")
        await register(store, limit_s=62, queue="mine", name="mine")
        for url in ("http://a.example/", "https://127.0.0.1/", "https://u:p@a.example/", "nothing"):
            status, problem = await put(session, url=url, max_run=100)
            assert problem["code"] == "address_refused", url
    async with store.connection() as connection:
        kinds = await connection.fetch(
            "select type::text as type, tenant from jobledger.events where type::text like 'queue.push%'"
            " order by position"
        )
    assert [tuple(row) for row in kinds] == [
        *(("queue.push_set", "_global"), ("queue.push_set", "_global"), ("queue.push_removed", "_global")),
        ("queue.push_set", "acme"),
    ]


async def test_a_push_of_another_tenant_is_as_if_it_did_not_exist(store: Store, serving: Any) -> None:
    """Its key sets, shows and removes its own only; a key that is bound to one owner none; jobs go by tenant."""
    await register(store)
    mine = Access("key:acme", frozenset({Role.ADMIN}), frozenset({"acme"}))
    other = Access("key:other", frozenset({Role.ADMIN}), frozenset({"other"}))
    bound = Access("key:ada", frozenset({Role.ADMIN}), frozenset({"acme"}), owner="ada")
    async with FakeEndpoint() as endpoint:
        async with serving(store, mine, send_private=True) as (session, _):
            status, _ = await put(session, url=endpoint.url, max_run=60)
            assert status == 200
        for access, path, wanted in ((other, "", 404), (other, "?tenant=acme", 404), (bound, "", 403)):
            async with serving(store, access) as (session, _):
                for ask in (session.get, session.delete):
                    async with ask(f"/v1/queues/calls/push{path}") as answer:
                        assert answer.status == wanted
        async with pushed(serving, store) as (session, _):
            await enqueue(store, 1, tenant="other")
            await enqueue(store, 2, tenant="acme")
            await reaches(store, "select count(*)::int from jobledger.finished", 1)
            assert [job["tenant"] for job in endpoint.jobs] == ["acme"]
            async with session.get("/v1/queues/calls/push", params={"tenant": "acme"}) as answer:
                shown = await answer.json()
            assert (shown["tenant"], shown["url"]) == ("acme", endpoint.url)
            assert "secret" not in shown


@pytest.mark.slow
async def test_an_endpoint_gets_no_more_than_it_may_and_no_secret_and_no_more_time(store: Store, serving: Any) -> None:
    """At most `concurrency` jobs at once; references stay references; what takes too long, or is cancelled, is cut."""
    at_once, most, broken = 0, 0, 0

    async def handler(job: Mapping[str, Any]) -> None:
        nonlocal at_once, most, broken
        at_once += 1
        most = max(most, at_once)
        try:
            await asyncio.sleep(60 if job["args"]["n"] >= 100 else 0.02)
        except asyncio.CancelledError:
            broken += 1
            raise
        finally:
            at_once -= 1

    await register(store, attempts=1)
    async with FakeEndpoint(handler) as endpoint, pushed(serving, store) as (session, _):
        first = (await put(session, url=endpoint.url, max_run=60, concurrency=3))[1]["secret"]
        second = (await put(session, url=endpoint.url, max_run=60, concurrency=3, rotate=True))[1]["secret"]
        endpoint.secret = first
        await enqueue(store, *range(40))
        await reaches(store, "select count(*)::int from jobledger.finished where state = 'succeeded'", 40)
        assert most == 3
        endpoint.secret = second
        reference = {"$secret": "env:HOME"}
        async with store.connection() as connection:
            args = orjson.dumps({"n": 100, "key": reference}).decode()
            await connection.execute("select jobledger.enqueue('call', $1::jsonb, timeout => 1)", args)
        await reaches(store, "select count(*)::int from jobledger.finished where state = 'failed'", 1)
        assert endpoint.jobs[-1]["args"]["key"] == reference
        assert (await story(store, 100))[-1][2] == "TimedOut"
        assert endpoint.unsigned == 0
        endpoint.secret = None
        await register(store, limit_s=60, queue="long", name="longer")
        await put(session, "long", url=endpoint.url, max_run=60)
        await enqueue(store, 101, kind="longer", queue="long")
        async with asyncio.timeout(10):
            while at_once < 1:  # noqa: ASYNC110 - it is to be with the endpoint when it is cancelled
                await asyncio.sleep(0.01)
        async with store.connection() as connection:
            running = await connection.fetch("select id from jobledger.running")
            await act(connection, store.shard, "cancel", [row["id"] for row in running], actor="ada", reason="enough")
        await reaches(store, "select count(*)::int from jobledger.finished where state = 'cancelled'", 1)
        async with asyncio.timeout(30):
            while broken < 2:  # noqa: ASYNC110 - by what the server sees of its connection
                await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_an_endpoint_that_takes_nothing_is_left_alone(store: Store, serving: Any) -> None:
    """After five refusals in a row its jobs wait at no cost, and one request shows that it is back."""
    seen: list[PushHeld] = []
    stop = subscribe(lambda one: seen.append(one) if isinstance(one, PushHeld) else None)
    await register(store, attempts=20)
    try:
        async with FakeEndpoint(refuse=1.0) as endpoint, pushed(serving, store) as (session, _):
            await put(session, url=endpoint.url, max_run=60, concurrency=1)
            await enqueue(store, *range(50))
            async with asyncio.timeout(60):
                while len(seen) < 2:  # noqa: ASYNC110 - told by the service's own loop
                    await asyncio.sleep(0.01)
            # Five in a row, and the one that was to show whether it is back.
            assert endpoint.requests <= 7
            assert seen[1].for_s > seen[0].for_s
            endpoint.refuse = 0.0
            await reaches(store, "select count(*)::int from jobledger.finished where state = 'succeeded'", 50)
        async with store.connection() as connection:
            failed = await connection.fetchval("select count(*) from jobledger.events where type = 'job.failed'")
        assert failed == endpoint.refused
    finally:
        stop()


@pytest.mark.slow
async def test_a_report_may_come_to_another_process_than_the_one_that_delivered(store: Store, serving: Any) -> None:
    """It is recorded all the same, and the place of the job is free again."""

    async def handler(_: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"outcome": "accepted"}

    await register(store, limit_s=60)
    async with (
        FakeEndpoint(handler) as endpoint,
        serving(store) as (other, _),
        pushed(serving, store) as (session, _),
    ):
        await put(session, url=endpoint.url, max_run=60, concurrency=1)
        await enqueue(store, 1, 2)
        for n in range(2):
            async with asyncio.timeout(10):
                while len(endpoint.jobs) <= n:  # noqa: ASYNC110 - the next comes when there is a place
                    await asyncio.sleep(0.01)
            url = f"{str(other._base_url).rstrip('/')}/v1/pushed/{endpoint.jobs[n]['token']}"
            assert (await endpoint.report({"report_url": url}, outcome="succeeded"))["verdict"] == "accepted"
        await reaches(store, "select count(*)::int from jobledger.finished where state = 'succeeded'", 2)


@asynccontextmanager
async def serve(database: str, lease_s: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run `jobledger serve` in a process of its own; give it and its address."""
    environment = {
        **os.environ,
        "JOBLEDGER_SEND_PRIVATE": "1",
        "JOBLEDGER_LEASE_S": str(lease_s),
        "JOBLEDGER_HEARTBEAT_S": "0.5",
    }
    words = ("-m", "jobledger", "serve", "--port", "0", "--dsn", database)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, env={**environment, "JOBLEDGER_STOP_GRACE_S": "0"}
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.slow
async def test_jobs_survive_the_death_of_the_service_that_delivered_them(store: Store, database: str) -> None:
    """After SIGKILL the lease expires, another service delivers them again, and the tokens of before are refused."""

    async def handler(_: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"outcome": "accepted"}

    await register(store, limit_s=60)
    async with FakeEndpoint(handler) as endpoint:
        async with store.connection() as connection:
            facts: dict[str, Any] = {"tenant": None, "actor": "test", "reason": None}
            await set_push(connection, store.shard, "calls", url=endpoint.url, max_run=60, batch=10, **facts)
        await enqueue(store, *range(10))
        async with serve(database, lease_s=3) as (first, _):
            await reaches(store, "select count(*)::int from jobledger.running", 10)
            async with asyncio.timeout(10):
                while len(endpoint.jobs) < 10:  # noqa: ASYNC110 - they come from another process
                    await asyncio.sleep(0.01)
            first.kill()
        async with serve(database, lease_s=30) as (_, url):
            async with asyncio.timeout(30):
                while len(endpoint.jobs) < 20:  # noqa: ASYNC110 - they come from another process
                    await asyncio.sleep(0.01)
            before, after = endpoint.jobs[:10], endpoint.jobs[10:]
            assert {job["attempt"] for job in after} == {2}
            assert {job["report_url"].startswith(url) for job in after} == {True}
            for job in before:
                late = await endpoint.report({"report_url": f"{url}/v1/pushed/{job['token']}"}, outcome="succeeded")
                assert (late["verdict"], late["reason"]) == ("rejected", "claimed_elsewhere")
            for job in after:
                assert (await endpoint.report(job, outcome="succeeded"))["verdict"] == "accepted"
        async with store.connection() as connection:
            types = await connection.fetch("select type::text as type, count(*) as n from jobledger.events group by 1")
        counted = {row["type"]: row["n"] for row in types}
        assert (counted["job.lease_expired"], counted["job.claimed"], counted["job.succeeded"]) == (10, 20, 10)


async def test_a_snooze_by_a_token_goes_by_the_databases_clock(store: Store, serving: Any, clock: Clock) -> None:
    """The service's own clock is a day behind: the job waits for an hour all the same."""
    await clock.advance(days=1)
    await register(store)
    await enqueue(store, 1)
    async with serving(store) as (session, service):
        async with session.post("/v1/workers", json={"kinds": ["call"]}) as answer:
            worker = (await answer.json())["worker"]
        async with session.post(f"/v1/workers/{worker}/claim", json={"call": 1}) as answer:
            (job,) = (await answer.json())["jobs"]
        token = PushToken(UUID(worker), UUID(job["id"]), job["claim"], int(time.time()) + 60, None)
        path = f"/v1/pushed/{token.sign(await service.book.service_key())}"
        async with session.post(path, json={"outcome": "snoozed", "delay": 3600}) as answer:
            assert (await answer.json())["verdict"] == "accepted"
        async with store.connection() as connection:
            waits = await connection.fetchval("select run_at - jobledger.now() from jobledger.waiting")
        assert waits is not None
        assert 3500 < waits.total_seconds() < 3700


@pytest.mark.slow
async def test_what_changes_while_its_worker_begins_counts_too(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that is set twice in a row has the places of the second time."""
    may_begin, together = asyncio.Event(), asyncio.Barrier(5)
    begin = Link.begin

    async def begun(link: Link, app: App) -> None:
        await may_begin.wait()
        await begin(link, app)

    async def handler(_: Mapping[str, Any]) -> None:
        await together.wait()

    monkeypatch.setattr(Link, "begin", begun)
    await register(store, limit_s=60)
    async with FakeEndpoint(handler) as endpoint, pushed(serving, store) as (session, service):
        await put(session, url=endpoint.url, max_run=60, concurrency=1)
        async with asyncio.timeout(10):
            while not service.pusher._crews:  # noqa: ASYNC110 - made by its own loop
                await asyncio.sleep(0.005)
            await put(session, url=endpoint.url, max_run=60, concurrency=5)
            endpoints = service.pusher._endpoints
            while [one.push.concurrency for one in endpoints.values()] != [5]:  # noqa: ASYNC110 - changed by it, too
                await asyncio.sleep(0.005)
        may_begin.set()
        await enqueue(store, *range(5))
        async with asyncio.timeout(60):
            await reaches(store, "select count(*)::int from jobledger.finished", 5)
