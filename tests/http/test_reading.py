"""Reading over HTTP: lists, one job, its history and result, and what there is beside jobs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

from jobledger.http import endings
from jobledger.http.access import Access
from jobledger.ids import new_id
from jobledger.jobs import App, Client, Masked
from jobledger.order.moment import moments_for
from jobledger.store.jobs_read import show_job
from jobledger.store.operate import Limit
from jobledger.store.roles import Role
from jobledger.store.seen import Seen
from jobledger.store.statements import statement
from jobledger.store.workers import start_worker
from jobledger.testing import drain

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from aiohttp import ClientSession, web

    from jobledger.http.service import Service
    from jobledger.store.pool import Store

app = App()

EVERYBODY = {
    "admin": Access("key:admin", frozenset({Role.ADMIN})),
    "acme": Access("key:acme", frozenset({Role.READ, Role.OPERATE}), frozenset({"acme"})),
    "both": Access("key:both", frozenset({Role.READ}), frozenset({"acme", "globex"})),
    "globex": Access("key:globex", frozenset({Role.READ, Role.OPERATE}), frozenset({"globex"})),
    "ann": Access("key:ann", frozenset({Role.READ, Role.OPERATE}), frozenset({"acme"}), owner="ann"),
    "bob": Access("key:bob", frozenset({Role.READ, Role.OPERATE}), frozenset({"acme"}), owner="bob"),
    "producer": Access("key:producer", frozenset({Role.ENQUEUE}), frozenset({"acme"})),
}


@app.job()
async def mail(to: Annotated[str, Masked] = "", size: int = 0) -> dict[str, int]:  # noqa: ARG001 - only its mark counts
    """Say how much was sent."""
    return {"sent": size}


@app.job(max_attempts=1, queue="slow/lane")
async def fail() -> None:
    """Fail."""
    raise ValueError("no")


def as_headers(service: Service) -> None:
    """Let the header `As` say who asks."""

    async def who(request: web.Request) -> Access:
        return EVERYBODY[request.headers.get("As", "admin")]

    service.authenticate = who


async def get(session: ClientSession, path: str, who: str = "admin", **query: Any) -> tuple[int, Any]:
    """Return the status and document of an answer."""
    async with session.get(path, params=query, headers={"As": who}) as answer:
        return answer.status, await answer.json(content_type=None)


async def post(session: ClientSession, path: str, who: str = "admin", **body: Any) -> tuple[int, Any]:
    """Send a document; return the status and document of the answer."""
    async with session.post(path, json=body, headers={"As": who}) as answer:
        return answer.status, await answer.json(content_type=None)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until something holds."""
    while not holds():  # noqa: ASYNC110 - nothing says when it does
        await asyncio.sleep(0)


async def test_lists_find_what_fits_page_by_page_and_are_not_sent_again(store: Store, serving: Any) -> None:
    """Filters, cursors, states; an ETag that stays while nothing changes; compression of what is long."""
    client = Client(store, app=app)
    jobs = [await mail.using(client=client, tenant="acme", owner="ann").enqueue("a", number) for number in range(5)]
    await mail.using(client=client, tenant="globex", tags=["x"]).enqueue("b")
    await drain(app, store)
    waiting = await mail.using(client=client, tenant="acme", owner="ann", priority=3).enqueue("c")
    async with serving(store) as (session, service):
        as_headers(service)
        status, page = await get(session, "/v1/jobs", tenant="acme", state="succeeded", limit=3)
        assert status == 200
        assert [job["id"] for job in page["jobs"]] == [str(job.id) for job in reversed(jobs[2:])]
        _, rest = await get(session, "/v1/jobs", tenant="acme", state="succeeded", limit=3, cursor=page["next"])
        assert [job["id"] for job in rest["jobs"]] == [str(job.id) for job in reversed(jobs[:2])]
        assert rest["next"] is None
        for query, count in (
            ([("tenant", "acme"), ("state", "succeeded"), ("state", "ready")], 6),
            ([("tenant", "acme"), ("owner", "ann")], 1),
            ([("tag", "x")], 1),
            ([("kind", mail.name), ("queue", "default"), ("state", "ready")], 1),
            ([("owner", "nobody")], 0),
        ):
            async with session.get("/v1/jobs", params=query) as answer:
                assert len((await answer.json())["jobs"]) == count, query
        path = f"/v1/jobs?tenant=acme&limit={len(jobs)}"
        async with session.get(path, headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            tag = answer.headers["ETag"]
        async with session.get(path, headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with session.get("/v1/tenants/acme") as answer:
            tag = answer.headers["ETag"]
        async with session.get("/v1/tenants/acme", headers={"If-None-Match": f'"x", {tag}'}) as answer:
            assert answer.status == 304
        await client.cancel(waiting, reason="changed")
        for changed in (path, "/v1/tenants/acme"):
            async with session.get(changed, headers={"If-None-Match": tag}) as answer:
                assert answer.status == 200
        for wrong in ("limit=0", "limit=1001", "state=asleep", "cursor=x", "as_of=never", "colour=red"):
            async with session.get(f"/v1/jobs?{wrong}") as answer:
                assert answer.status in (400, 422), wrong
                assert "asleep" not in await answer.text()


async def test_a_job_is_shown_masked_with_its_history_and_as_it_was(store: Store, serving: Any) -> None:
    """What a signature marks is told nowhere; a token asks again for what was; no place in the log is told."""
    client = Client(store, app=app)
    async with serving(store, app=app) as (session, service):
        as_headers(service)
        job = await mail.using(client=client, tenant="acme").enqueue("secret@ada", 7)
        _, before = await get(session, f"/v1/jobs/{job.id}", "acme", token=1)
        assert before["enqueued"]["args"] == {"to": "•••", "size": 7}
        assert before["as_of"].keys() >= {"moment", "at"}
        assert before["as_of"]["block"] is None
        await drain(app, store)
        _, after = await get(session, f"/v1/jobs/{job.id}", "acme")
        assert (after["job"]["state"], after["last_data"]["result"]) == ("succeeded", {"sent": 7})
        status, told = await get(session, f"/v1/jobs/{job.id}", "acme", as_of=before["as_of"]["moment"])
        assert (status, told["job"]["state"]) == (200, "ready")
        _, history = await get(session, f"/v1/jobs/{job.id}/history", "acme", heartbeats="true")
        types = [event["type"] for event in history["events"]]
        assert types[0] == "dev.jobledger.job.enqueued"
        assert types[-1] == "dev.jobledger.job.succeeded"
        assert not any("position" in event for event in history["events"])
        assert "secret@ada" not in str(history)
        _, whole = await get(session, f"/v1/jobs/{job.id}/history")
        assert all("position" in event for event in whole["events"])
        _, first = await get(session, f"/v1/jobs/{job.id}/history", limit=1)
        assert first["next"] == 1
        _, second = await get(session, f"/v1/jobs/{job.id}/history", after=1)
        assert [event["streamversion"] for event in second["events"]] == [2, 3]
        detail = await show_job_of(store, job.id)
        assert after["job"]["head"] == detail.job.head


async def show_job_of(store: Store, job: UUID) -> Any:
    """Return a job as the core shows it."""
    async with store.connection() as connection:
        return await show_job(connection, store.shard, job)


async def test_nobody_sees_or_acts_on_what_is_not_his(store: Store, serving: Any) -> None:
    """Another tenant's, another owner's, and what is not there at all answer alike; what was refused did not happen."""
    client = Client(store, app=app)
    anns = await mail.using(client=client, tenant="acme", owner="ann").enqueue("a")
    bobs = await mail.using(client=client, tenant="acme", owner="bob").enqueue("b")
    loose = await mail.using(client=client, tenant="acme").enqueue("c")
    theirs = await mail.using(client=client, tenant="globex", owner="ann").enqueue("d")
    async with serving(store, app=app) as (session, service):
        as_headers(service)
        for who, foreign in (("ann", (bobs, loose, theirs)), ("acme", (theirs,)), ("globex", (anns, bobs, loose))):
            for way in ("", "/history", "/history?after=1", "/result", "/result?wait_s=1", "?token=true"):
                nothing = await get(session, f"/v1/jobs/{uuid4()}{way}", who)
                assert nothing[0] in (404, 410), way
                for job in foreign:
                    async with session.get(f"/v1/jobs/{job.id}{way}", headers={"As": who}) as answer:
                        assert answer.status == 404, (who, way)
            for job in foreign:
                assert (await post(session, f"/v1/jobs/{job.id}/kill", who, reason="mine"))[0] == 404
            ids = [str(job.id) for job in foreign]
            done = await post(session, "/v1/jobs/acts", who, act="kill", ids=ids, reason="mine")
            assert done == (200, {"verdicts": {"not_found": len(ids)}, "next": None})
        for who, count in (("ann", 1), ("bob", 1), ("acme", 3), ("globex", 1), ("admin", 4)):
            assert len((await get(session, "/v1/jobs", who))[1]["jobs"]) == count, who
            found = await post(session, "/v1/jobs/acts/preview", who, act="kill")
            assert found == (200, {"jobs": count, "more": False}), who
        for who, path in (
            ("ann", "/v1/jobs?owner=bob"),
            ("ann", "/v1/jobs?owner=nobody"),
            ("acme", "/v1/jobs?tenant=globex"),
            ("acme", "/v1/jobs?tenant=nobody"),
            ("acme", "/v1/tenants/globex"),
            ("acme", "/v1/tenants/nobody"),
            ("acme", "/v1/queues?tenant=globex"),
            ("acme", "/v1/counts?tenant=globex&as_of=2050-01-01T00:00:00Z"),
        ):
            assert (await get(session, path, who))[0] == 404, path
        for path in ("/v1/tenants", "/v1/tenants/acme", "/v1/queues", "/v1/workers", "/v1/limits"):
            assert (await get(session, path, "ann"))[0] == 403, path
        assert (await get(session, "/v1/jobs", "producer"))[0] == 403
        assert (await get(session, "/v1/jobs", "both"))[0] == 422
        assert (await get(session, "/v1/jobs?tenant=globex", "both"))[0] == 200
        killed = await post(session, "/v1/jobs/acts", "ann", act="kill", filter={}, reason="all of mine")
        assert killed == (200, {"verdicts": {"done": 1}, "next": None})
        states = {job["id"]: job["state"] for job in (await get(session, "/v1/jobs"))[1]["jobs"]}
        assert states == {str(job.id): "killed" if job is anns else "ready" for job in (anns, bobs, loose, theirs)}


async def test_operators_act_on_one_job_and_on_many(store: Store, serving: Any) -> None:
    """Every act on one job, by ids and by filter; what is not possible says so, and nothing is done."""
    client = Client(store, app=app)
    broken = await fail.using(client=client, tenant="acme").enqueue()
    await drain(app, store)
    jobs = [await mail.using(client=client, tenant="acme").enqueue("a") for _ in range(4)]
    async with serving(store, app=app) as (session, service):
        as_headers(service)
        path = f"/v1/jobs/{broken.id}"
        assert (await post(session, f"{path}/cancel", reason="late"))[1]["code"] == "wrong_state"
        assert (await post(session, f"{path}/retry", reason="mended", attempts=2))[1]["state"] == "ready"
        assert (await post(session, f"{path}/move", reason="there", queue="other"))[1]["verdict"] == "done"
        assert (await post(session, f"{path}/reprioritise", reason="first", priority=-5))[0] == 200
        later = {"reason": "later", "run_at": "2050-01-01T00:00:00Z"}
        assert (await post(session, f"{path}/reschedule", **later))[1]["verdict"] == "done"
        assert (await post(session, f"{path}/unpark", reason="no"))[0] == 409
        assert (await post(session, f"{path}/cancel", "acme", reason="enough"))[1]["verdict"] == "done"
        _, history = await get(session, f"{path}/history")
        last = history["events"][-1]
        assert (last["actor"], last["data"]["reason"]) == ("key:acme", "enough")
        body: Any
        for body in ({}, {"reason": ""}, {"reason": "x", "colour": "red"}):
            assert (await post(session, f"{path}/kill", **body))[0] == 422
        for body in ({"act": "kill"}, {"act": "sing", "filter": {}}, {"act": "kill", "ids": [], "reason": "x"}):
            assert (await post(session, "/v1/jobs/acts", **{"reason": "x", **body}))[0] == 422
        ids = [str(jobs[0].id), str(broken.id)]
        done = await post(session, "/v1/jobs/acts", act="kill", ids=ids, reason="x")
        assert done[1]["verdicts"] == {"done": 1, "wrong_state": 1}
        filtered: Any = {"act": "reprioritise", "filter": {"kind": mail.name}, "reason": "x", "data": {"priority": 9}}
        assert (await post(session, "/v1/jobs/acts", **filtered))[1] == {"verdicts": {"done": 3}, "next": None}
        _, page = await get(session, "/v1/jobs", tenant="acme", state="ready")
        assert [job["priority"] for job in page["jobs"]] == [9, 9, 9]


async def test_an_act_on_all_that_fit_goes_on_by_its_cursor(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its time is over it says where to go on, and the whole is done once."""
    monkeypatch.setattr("jobledger.http.acts.WORKS_S", 0)
    monkeypatch.setattr("jobledger.store.operate.BATCH", 2)
    client = Client(store, app=app)
    await client.enqueue_many([mail.call("a") for _ in range(5)])
    async with serving(store, app=app) as (session, _):
        cursor, done = None, 0
        for _ in range(4):
            body: Any = {"act": "kill", "filter": {"kind": mail.name}, "reason": "x", "cursor": cursor}
            status, said = await post(session, "/v1/jobs/acts", **body)
            assert status == 200
            done += said["verdicts"].get("done", 0)
            cursor = said["next"]
            if cursor is None:
                break
        assert (done, cursor) == (5, None)


async def test_a_result_is_waited_for_by_few_statements_for_many(store: Store, serving: Any) -> None:
    """Each waiting request hears of its job's end; they share the looks at the database, and leave nothing behind."""
    client = Client(store, app=app)
    made = await client.enqueue_many([mail.call("a", number) for number in range(50)])
    async with serving(store, app=app) as (session, service):
        assert (await get(session, f"/v1/jobs/{made[0].id}/result"))[0] == 202
        assert (await get(session, f"/v1/jobs/{made[0].id}/result?wait_s=0.05"))[1]["state"] == "ready"
        assert len(service.endings) == 0
        asked = service.endings.asked
        waits = [asyncio.ensure_future(get(session, f"/v1/jobs/{job.id}/result?wait_s=30")) for job in made[1:]]
        await until(lambda: len(service.endings) > 40)
        gone = waits.pop()
        gone.cancel()
        await drain(app, store)
        answers = await asyncio.gather(*waits)
        assert {status for status, _ in answers} == {200}
        assert [said["result"]["sent"] for _, said in answers] == list(range(1, 49))
        assert service.endings.asked - asked < len(waits)
        assert len(service.endings) == 0
        broken = await fail.using(client=client).enqueue()
        await drain(app, store)
        _, said = await get(session, f"/v1/jobs/{broken.id}/result")
        assert (said["state"], said["error_type"], said["result"]) == ("failed", "ValueError", None)
        await mail.using(client=client).enqueue("a")
        last = await mail.using(client=client).enqueue("a")
        waiting = asyncio.ensure_future(get(session, f"/v1/jobs/{last.id}/result?wait_s=30"))
        await until(lambda: len(service.endings) == 1)
        service.draining.set()
        async with asyncio.timeout(10):
            assert (await waiting)[0] == 202


async def test_tenants_queues_kinds_workers_and_limits_are_listed(store: Store, serving: Any) -> None:
    """Each page by page, of the service or of one tenant; pauses and limits are set, and seen."""
    client = Client(store, app=app)
    await app.register(store)
    for tenant in ("acme", "globex"):
        await mail.using(client=client, tenant=tenant).enqueue("a")
        await fail.using(client=client, tenant=tenant).enqueue()
    async with store.connection() as connection:
        own = await start_worker(
            connection, 0, kinds=["mail"], tenants=["acme"], lease_s=30, about={"host": "engine-7", "version": "1"}
        )
        every = await start_worker(connection, 0, kinds=["mail"], lease_s=30, about={"host": "engine-8"})
    async with serving(store, app=app) as (session, service):
        as_headers(service)
        _, found = await get(session, "/v1/queues", limit=1)
        assert ([one["name"] for one in found["queues"]], found["next"]) == (["default"], "default")
        _, found = await get(session, "/v1/queues", cursor="default")
        assert [(one["name"], one["ready"]) for one in found["queues"]] == [("slow/lane", 2)]
        # A queue whose only job is not due yet, and one whose only job runs.
        later = await mail.using(client=client, queue="later", run_at=datetime.now(UTC) + timedelta(hours=1)).enqueue(
            "a"
        )
        now = await mail.using(client=client, queue="now").enqueue("a")
        async with store.connection() as connection:
            await connection.fetch(statement("claim_job"), 0, every.worker, 1, now.id, ["mail"])
        _, found = await get(session, "/v1/queues")
        assert [(one["name"], one["ready"]) for one in found["queues"]] == [
            ("default", 2),
            ("later", 0),
            ("now", 0),
            ("slow/lane", 2),
        ]
        assert (await post(session, f"/v1/jobs/{later.id}/kill", reason="x"))[0] == 200
        _, found = await get(session, "/v1/queues", cursor="default")
        assert [one["name"] for one in found["queues"]] == ["now", "slow/lane"]
        _, found = await get(session, "/v1/queues")
        assert (await post(session, "/v1/queues/slow%2Flane/pause", reason="full"))[1] == {"changed": True}
        assert (await post(session, "/v1/queues/slow%2Flane/pause", reason="full"))[1] == {"changed": False}
        _, found = await get(session, "/v1/queues", "acme")
        assert [(one["name"], one["ready"], one["paused"]) for one in found["queues"]] == [
            ("default", 1, False),
            ("slow/lane", 1, True),
        ]
        assert (await post(session, "/v1/queues/slow%2Flane/resume", "acme", reason="x"))[0] == 403
        _, kinds = await get(session, "/v1/kinds", "producer")
        assert [one["name"] for one in kinds["kinds"]] == ["fail", "mail"]
        _, kind = await get(session, "/v1/kinds/mail", "acme")
        assert kind["schema"]["properties"]["size"]["type"] == "integer"
        assert (await get(session, "/v1/kinds/none"))[0] == 404
        _, found = await get(session, "/v1/workers", limit=1)
        assert [one["id"] for one in found["workers"]] == [str(every.worker)]
        _, found = await get(session, "/v1/workers", cursor=found["next"])
        assert [one["about"]["host"] for one in found["workers"]] == ["engine-7"]
        _, found = await get(session, "/v1/workers", "acme")
        assert [one["id"] for one in found["workers"]] == [str(own.worker)]
        assert "engine" not in str(found)
        assert (await get(session, f"/v1/workers/{own.worker}", "acme"))[1]["worker"]["state"] == "alive"
        assert (await get(session, f"/v1/workers/{every.worker}", "acme"))[0] == 404
        assert (await get(session, f"/v1/workers/{own.worker}", "globex"))[0] == 404
        # What the service's operator has set for a tenant, no key of the tenant takes back.
        assert (await post(session, "/v1/tenants/acme/pause", reason="x"))[1] == {"changed": True}
        for who in ("acme", "globex", "ann"):
            for act in ("pause", "resume"):
                assert (await post(session, f"/v1/tenants/acme/{act}", who, reason="x"))[0] == 403
        for path, who, status in (
            ("/v1/limits/tenant/acme", "admin", 200),
            ("/v1/limits/tenant/acme", "acme", 403),
            ("/v1/limits/tenant/globex", "acme", 403),
            ("/v1/limits/kind/mail", "acme", 403),
            ("/v1/limits/service", "admin", 200),
            ("/v1/limits/colour/red", "admin", 400),
            ("/v1/limits/service", "acme", 403),
        ):
            async with session.put(path, json={"timeout": 60, "reason": "x"}, headers={"As": who}) as answer:
                assert answer.status == status, (path, who)
        _, found = await get(session, "/v1/limits")
        assert [(one["scope"], one["name"]) for one in found["limits"]] == [
            ("queue", "slow/lane"),
            ("service", ""),
            ("tenant", "acme"),
        ]
        assert found["limits"][0].keys() == set(Limit._fields)
        _, found = await get(session, "/v1/limits", limit=1)
        _, found = await get(session, "/v1/limits", limit=1, cursor=found["next"])
        assert (found["limits"][0]["scope"], found["next"]) == ("service", "service:")
        _, found = await get(session, "/v1/limits", "globex")
        assert found["limits"] == []
        _, found = await get(session, "/v1/limits", "acme")
        assert [(one["name"], one["paused"], one["timeout"]) for one in found["limits"]] == [("acme", True, 60)]


async def test_a_moment_of_many_transactions_fits_into_a_request(store: Store, serving: Any) -> None:
    """Its token names each that was in progress; a service of thousands at a time is answered by it as others are."""
    async with store.connection() as connection:
        moments = await moments_for(connection, "acme")
        high = int((await connection.fetchval("select pg_current_snapshot()::text")).split(":")[1])
    snapshot = f"{high}:{high + 20_000 * 5_000}:{','.join(str(high + 20_000 * n) for n in range(5_000))}"
    token = moments.token(Seen(1, 0, 0, 0, snapshot, datetime.now(UTC)))
    assert token is not None
    assert len(token.moment) > 20_000
    async with serving(store) as (session, service):
        as_headers(service)
        status, told = await get(session, "/v1/jobs", "acme", as_of=token.moment)
        # It was made up, of a log that is none: it is read, and refused for that.
        assert (status, told["code"]) == (409, "moment_lost")
        status, told = await get(session, "/v1/jobs", "acme", as_of="u" * 50_000)
        assert (status, told["code"], "32768 bytes" in told["detail"]) == (400, "bad_input", True)


async def test_a_job_that_is_waited_for_again_is_looked_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that come again and again for the same job leave no looks behind."""
    looked: list[list[UUID]] = []

    async def none_of(_: object, __: int, due: list[UUID]) -> set[UUID]:
        looked.append(list(due))
        return set()

    monkeypatch.setattr(endings, "ended_among", none_of)
    waiting, job = endings.Endings(store, asyncio.Event()), new_id()
    for _ in range(8):
        await waiting.wait(job, 0.013)
    assert looked
    assert all(len(due) == 1 for due in looked)
