"""The worker protocol over HTTP, as a worker of any language speaks it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import web

from jobledger import App, Client
from jobledger.http import waiting as waiting_room
from jobledger.http.access import Access
from jobledger.remote.link import ServiceCalls
from jobledger.store.roles import Role
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from uuid import UUID

    import aiohttp

    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

JSON = {"Content-Type": "application/json"}
WORK = frozenset({Role.WORK})
ACME = Access("key:acme", WORK, frozenset({"acme"}))


class Hand:
    """A simple worker: a number for each claim, and what came of it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Begin unregistered."""
        self.session = session
        self.id = ""
        self.call = 0

    async def post(self, path: str, body: Any, method: str = "POST") -> tuple[int, Any]:
        """Send a body; return status and answer."""
        async with self.session.request(method, path, data=orjson.dumps(body), headers=JSON) as response:
            return response.status, await response.json(content_type=None)

    async def register(self, **body: Any) -> Hand:
        """Register for the kind `noop`."""
        status, made = await self.post("/v1/workers", {"kinds": ["noop"], **body})
        assert status == 201, made
        self.id = made["worker"]
        return self

    async def does(self, what: str, **body: Any) -> tuple[int, Any]:
        """Do something as the worker."""
        return await self.post(f"/v1/workers/{self.id}/{what}", body)

    async def claim(self, **body: Any) -> list[Any]:
        """Claim under the next number, unless one is given."""
        self.call = body.setdefault("call", self.call + 1)
        status, answer = await self.does("claim", **body)
        assert status == 200, answer
        found: list[Any] = answer["jobs"]
        return found


def ids(jobs: list[Any]) -> list[str]:
    """Return the ids of jobs."""
    return sorted(job["id"] for job in jobs)


def reports(jobs: list[Any], outcome: str = "succeeded", **data: Any) -> list[Any]:
    """Return a report of each job."""
    return [
        {"id": job["id"], "claim": job["claim"], "outcome": outcome, **({"data": data} if data else {})} for job in jobs
    ]


async def fill(store: Store, count: int = 1, tenant: str = "default") -> None:
    """Enqueue jobs."""
    jobs = orjson.dumps([{"kind": "noop", "tenant": tenant, "args": {"n": n}} for n in range(count)]).decode()
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue_many($1)", jobs)


async def test_a_claim_is_its_number_and_reports_are_fenced(store: Store, serving: Any) -> None:
    """Asked for again, here or by another process, a number gives the same jobs and never others.

    Reports get a verdict each; a heartbeat without a number releases nothing, one with what was settled does.
    """
    await fill(store, 5)
    async with serving(store) as (session, _), serving(store) as (elsewhere, _):
        hand, other = await Hand(session).register(), Hand(elsewhere)
        other.id = hand.id
        first = await hand.claim(n=2)
        assert [job["data"]["args"]["n"] for job in first] == [0, 1]
        assert ids(await hand.claim(n=2, call=1)) == ids(await other.claim(n=5, call=1)) == ids(first)
        (third,) = await other.claim(n=1, call=2)
        assert third["id"] not in ids(first)

        said = reports(first)
        status, answer = await hand.does("report", reports=[*said, *reports([{**third, "claim": 9}])])
        assert status == 200
        assert [one["verdict"] for one in answer["verdicts"]] == ["accepted", "accepted", "rejected"]
        assert [one["verdict"] for one in (await hand.does("report", reports=said))[1]["verdicts"]] == ["repeated"] * 2
        assert (await hand.does("report", reports=said, terse=True))[1]["verdicts"][0]["verdict"] == "repeated"
        # What the number had brought has ended: it brings nothing else.
        assert await hand.claim(n=2, call=1) == []

        status, answer = await hand.does("heartbeat", held=[])
        assert (status, answer["released"]) == (200, [])
        status, answer = await hand.does("heartbeat", held=[third["id"], ids(first)[0]], beat=10**9)
        assert (answer["lost"], answer["released"], answer["cancel"], answer["killed"]) == ([ids(first)[0]], [], [], [])
        status, answer = await hand.does("heartbeat", held=[], beat=10**9 + 1, settled=2)
        assert answer["released"] == [third["id"]]

        status, answer = await hand.does("claim", call=3, n=1)
        status, answer = await hand.does(
            "claim", call=4, n=9, reports=reports(answer["jobs"], "failed", error={"type": "No", "message": "no"})
        )
        assert [one["state"] for one in answer["verdicts"]] == ["ready"]
        assert len(answer["jobs"]) == 2
        assert (await hand.does("stop", reason="done"))[0] == 204
        status, problem = await hand.does("claim", call=5)
        assert (status, problem["code"]) == (409, "lease_over")


async def test_one_job_is_claimed_by_its_id(store: Store, serving: Any) -> None:
    """Under the same number it is the same claim; under another it waits no more; one that is none does not exist."""
    async with serving(store) as (session, _):
        hand = await Hand(session).register()
        async with store.connection() as connection:
            job = await connection.fetchval("select jobledger.enqueue('noop')")
        path = f"jobs/{job}/claim"
        first, again = [await hand.does(path, call=7) for _ in range(2)]
        assert first[0] == 200
        assert {**first[1], "at": None} == {**again[1], "at": None}
        assert ((await hand.does(path, call=8))[1]["code"], (await hand.does(f"jobs/{uuid4()}/claim", call=9))[0]) == (
            "not_waiting",
            404,
        )
        assert ids(await hand.claim(call=7)) == [str(job)]


async def test_waiting_claims_hear_of_jobs_and_share_their_looks(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job wakes one of them; a request that comes again joins the first; a shorter wait ends both; none is lost."""
    monkeypatch.setattr(waiting_room, "_TOLD_POLL_S", 600.0)  # what is found, they were told of
    async with serving(store) as (session, service):
        hands = [await Hand(session).register() for _ in range(3)]
        waiting = [asyncio.ensure_future(hand.claim(n=5, wait_s=30)) for hand in hands]
        again = asyncio.ensure_future(hands[0].claim(n=5, wait_s=30, call=1))
        async with asyncio.timeout(10), store.connection() as connection:
            while not await connection.fetchval("select count(*) from jobledger.idle"):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)
        await fill(store)
        async with asyncio.timeout(10):
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (job,) = done.pop().result()
        left = [at for at, one in enumerate(waiting) if not one.done()]
        assert len(left) == 2
        if not again.done():
            # The same request without its wait: both are answered at once, and alike.
            assert await hands[0].claim(n=5, wait_s=0, call=1) == await again == []
        else:
            assert ids(again.result()) == [job["id"]]
        began, before = time.monotonic(), service.work.lobby.looks
        for at in left:
            waiting[at].cancel()
        async with asyncio.timeout(10):
            # Who has left takes nothing, once that was noticed.
            while any(desk.under_way for desk in service.work.desks):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)
        answered = asyncio.ensure_future(hands[left[1]].claim(n=1, wait_s=30, call=2))
        await fill(store)
        assert len(await answered) == 1
        assert time.monotonic() - began < 20
        assert service.work.lobby.looks - before < 10


async def test_a_claim_whose_wait_ends_just_before_its_look_takes_nothing(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was answered with nothing: what it took would be nobody's, and be running for as long as its worker lives."""
    async with serving(store) as (session, service):
        hand = await Hand(session).register()

        async def show(_: UUID, idle: bool) -> bool:
            if idle:
                await fill(store)
                (desk,) = service.work.desks
                desk.under_way[1].expire()
            return idle

        monkeypatch.setattr(service.work.lobby, "say_idle", show)
        async with asyncio.timeout(10):
            assert await hand.claim(wait_s=30) == []
        assert len(await hand.claim()) == 1


async def test_a_place_that_comes_free_does_not_wait_for_other_queues(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim that waits at the service leaves out a queue that was full when it was sent: it is asked anew.

    A claim that is about to be sent when the worker stops is not: it would wait, and the worker for it.
    """
    monkeypatch.setattr(ServiceCalls, "ahead_s", 0.0)  # nothing is asked for ahead, as where jobs last for seconds
    app = App()
    begun: asyncio.Queue[int] = asyncio.Queue()
    go_on = asyncio.Event()

    @app.job(queue="narrow")
    async def one_at_a_time(n: int) -> None:
        begun.put_nowait(n)
        await go_on.wait()

    async with serving(store) as (session, service), Client(store, app=app) as client:
        await client.register()
        await client.enqueue_many([app.kind("one_at_a_time").call(n) for n in range(2)])
        url = str(session._base_url).rstrip("/")
        worker = Worker(app, url=url, queues={"narrow": 1, "wide": None}, concurrency=4)
        async with worker:
            async with asyncio.timeout(10):
                await begun.get()
                desks = service.work.desks
                while not any(one.waits for desk in desks for one in desk.under_way.values()):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.005)
            began = time.monotonic()
            go_on.set()
            await begun.get()
        assert time.monotonic() - began < 10


async def test_a_heartbeat_without_a_number_goes_by_the_databases_clock(
    store: Store, serving: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes whose own clocks are an hour apart renew the same lease."""
    async with serving(store) as (session, _), serving(store) as (elsewhere, _):
        hand, other = await Hand(session).register(), Hand(elsewhere)
        other.id = hand.id
        _, first = await hand.does("heartbeat")
        await clock.advance(seconds=5)
        monkeypatch.setattr(time, "time", lambda: 1_700_000_100.0)
        _, second = await other.does("heartbeat")
        assert second["lease_until"] > first["lease_until"]


async def test_a_claim_that_is_asked_again_does_not_wait_once_it_is_to_end() -> None:
    """A worker stops while a service that was away comes back: the claim under way is settled, and waits no more."""
    asked: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"jobs": []}, status=503 if len(asked) == 1 else 200)

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    calls = ServiceCalls(url, None, kinds=["noop"], queues=None, tenants=None, lease_s=30, patience_s=5)
    try:
        await calls.tell([])
        claim = asyncio.ensure_future(calls.claim(uuid4(), 1, 1, held={}, free=None, timeout_s=None))
        async with asyncio.timeout(5):
            while not asked or calls._waiting:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
            calls.hurry()
            assert await claim == []
        assert ["wait_s" in one for one in asked] == [True, False]
    finally:
        await calls.disconnect()
        await runner.cleanup()


async def test_a_draining_service_lets_waiting_claims_go(store: Store, serving: Any) -> None:
    """They are answered with nothing, at once, and no claim waits any more."""
    async with serving(store) as (session, service):
        hand = await Hand(session).register()
        waiting = asyncio.ensure_future(hand.claim(wait_s=60))
        async with asyncio.timeout(10):
            while not service.work.lobby.looks:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)
            service.work.lobby.drain()
            assert await waiting == []
            assert await hand.claim(wait_s=60) == []


async def test_a_worker_is_its_keys_own_and_takes_its_tenants_jobs(store: Store, serving: Any) -> None:
    """For another key, one whose tenants shrank, or one bound to an owner it is as if nobody had registered it."""
    await fill(store, 1, "acme")
    await fill(store, 1, "other")
    async with serving(store, ACME) as (session, _):
        hand = await Hand(session).register()
        assert [job["tenant"] for job in await hand.claim(n=9)] == ["acme"]
        status, problem = await hand.post("/v1/workers", {"kinds": ["noop"], "tenants": ["other"]})
        assert (status, problem["code"]) == (404, "not_found")
        calls: list[tuple[str, dict[str, Any]]] = [
            ("claim", {"call": 1}),
            ("report", {"reports": reports([{"id": str(uuid4()), "claim": 1}])}),
            ("heartbeat", {}),
            ("stop", {}),
            (f"jobs/{uuid4()}/claim", {"call": 1}),
        ]
        for access in (
            Access("key:acme-too", WORK, frozenset({"acme"})),
            Access("key:all", WORK),
            Access("key:acme", WORK, frozenset({"other"})),
            Access("key:acme", WORK, frozenset({"acme"}), owner="ada"),
        ):
            async with serving(store, access) as (strange, _):
                stranger, nobody = Hand(strange), Hand(strange)
                stranger.id, nobody.id = hand.id, str(uuid4())
                for what, body in calls:
                    told = await stranger.does(what, **body)
                    assert told == await nobody.does(what, **body)
                    assert (told[0], told[1]["code"]) == (404, "unknown_worker")
        assert (await hand.does("heartbeat"))[0] == 200


async def test_kinds_are_registered_by_keys_of_every_tenant(store: Store, serving: Any) -> None:
    """A key that is bound to tenants may only say what is registered already: kinds are shared by all."""
    kind = {"version": 2, "schema": {"type": "object"}, "aliases": ["nop"], "defaults": {"timeout": 60}}
    async with serving(store) as (session, _), serving(store, ACME) as (bound, _):
        hand, other = Hand(session), Hand(bound)
        assert (await other.post("/v1/kinds/noop", kind, "PUT"))[1]["code"] == "forbidden"
        assert await hand.post("/v1/kinds/noop", kind, "PUT") == (200, {"changed": True})
        assert await other.post("/v1/kinds/noop", kind, "PUT") == (200, {"changed": False})
        assert (await other.post("/v1/kinds/noop", {**kind, "version": 3}, "PUT"))[0] == 403
        async with store.connection() as connection:
            assert await connection.fetchval("select version from jobledger.kinds where name = 'noop'") == 2


def test_a_kind_with_a_transaction_needs_a_database() -> None:
    """A worker that works through a service refuses it before it begins, and says the way out."""
    app = App()

    @app.job(transaction=True)
    async def pay(context: Any) -> None:
        """Pay."""

    with pytest.raises(Exception, match="connected to the database"):
        Worker(app, url="http://localhost:1", key="k")


@pytest.mark.slow
async def test_a_hundred_that_wait_cost_what_one_does(store: Store, serving: Any) -> None:
    """Workers of the same bounds look one for all: a job a time wakes one of them, and the timer asks once."""
    async with serving(store) as (session, service):
        session.connector._limit = 0
        hands = [await Hand(session).register() for _ in range(100)]
        waiting = {asyncio.ensure_future(hand.claim(wait_s=60)) for hand in hands}
        lobby = service.work.lobby
        async with asyncio.timeout(30):
            while lobby.looks < 101:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        before, began = lobby.looks, time.monotonic()
        for _ in range(50):
            await fill(store)
            async with asyncio.timeout(10):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert [len(one.result()) for one in done] == [1]
        passed_s = time.monotonic() - began
        assert lobby.looks - before <= 2 * 50 + 5 * passed_s + 10
        lobby.drain()
        assert [one.result() for one in (await asyncio.wait(waiting))[0]] == [[]] * 50
