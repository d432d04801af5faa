"""Replays and durable subscriptions over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from tests.order.stress import seal_all

from jobledger.http.access import Access
from jobledger.store.roles import Role

if TYPE_CHECKING:
    import aiohttp

    from jobledger.store.pool import Store


async def _replay(session: aiohttp.ClientSession, **params: str) -> list[dict[str, Any]]:
    async with session.get("/v1/replay", params=params) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson"), await response.text()
        return [orjson.loads(line) async for line in response.content]


async def test_a_replay_tells_what_happened_with_the_time_between(store: Store, serving: Any) -> None:
    """Of a job, a tenant or an owner, between cursors or times; of what is not the reader's own nothing."""
    access = Access("admin", frozenset({Role.ADMIN}))
    async with serving(store) as (session, service):

        async def who(_: object) -> Access:
            return access

        service.authenticate = who
        client = service.client
        client.strict = False
        jobs = [
            (await client.enqueue("noop", tenant=tenant, owner=owner)).id
            for tenant, owner in (("acme", "ada"), ("acme", "bob"), ("other", "ada"))
        ]
        await client.cancel(jobs[0], reason="enough", tenant="acme")
        (whole, cancelled) = await _replay(session, job=str(jobs[0]))
        assert (whole["type"], cancelled["type"]) == ("dev.jobledger.job.enqueued", "dev.jobledger.job.cancelled")
        assert float(cancelled["after"]) == float(cancelled["since"]) > 0
        assert "after" not in whole
        assert "cursor" not in whole
        async with store.connection() as connection:
            await seal_all(connection)
        every = await _replay(session)
        assert [one["subject"].removeprefix("job/") for one in every] == [str(job) for job in [*jobs, jobs[0]]]
        assert [one["position"] for one in every] == ["1", "2", "3", "4"]
        assert (await _replay(session, after=every[1]["cursor"], until=every[2]["cursor"]))[0]["id"] == every[2]["id"]
        assert await _replay(session, until="2020-01-01T00:00:00Z") == []
        access = Access("token:ada", frozenset({Role.READ}), frozenset({"acme"}), "ada")
        own = await _replay(session)
        assert [one["id"] for one in own] == [every[0]["id"], every[3]["id"]]
        assert own[0].keys().isdisjoint({"position", "block", "xid"})
        assert len(await _replay(session, job=str(jobs[0]))) == 2
        texts = set()
        for job in (jobs[1], jobs[2], "01a20069-f22b-79e7-8cec-e206cf4f5701"):
            async with session.get("/v1/replay", params={"job": str(job)}) as response:
                assert response.status == 404
                texts.add(await response.text())
        assert len(texts) == 1
        for params, status in (({"after": "soon"}, 400), ({"until": "sAAAA"}, 400), ({"job": "x"}, 422)):
            async with session.get("/v1/replay", params=params) as response:
                assert response.status == status


async def test_a_subscription_is_kept_by_requests(store: Store, serving: Any) -> None:
    """Made once, shown, disabled, reset, what it set aside handed out again, removed; each act with who and why."""
    path, named = "/v1/subscriptions", "/v1/subscriptions/mails"
    async with serving(store) as (session, service):

        async def ask(method: str, url: str, status: int, **options: Any) -> Any:
            async with session.request(method, url, **options) as response:
                assert response.status == status, await response.text()
                return await response.json(content_type=None) if response.status != 204 else None

        service.client.strict = False
        new = {"name": "mails", "tenant": "acme", "types": ["job.failed"], "slices": 2, "reason": "to send mails"}
        acme = {"tenant": "acme"}
        assert (await ask("POST", path, 201, json=new)) == {"created": True}
        assert (await ask("POST", path, 200, json=new)) == {"created": False}
        assert (await ask("POST", path, 409, json={**new, "slices": 3}))["code"] == "subscription_differs"
        shown = await ask("GET", named, 200, params=acme)
        assert (shown["status"]["name"], shown["status"]["options"]["slices"]) == ("mails", 2)
        assert ([one["slice"] for one in shown["slices"]], shown["set_aside"]) == ([0, 1], [])
        for params in ({}, acme):
            found = await ask("GET", path, 200, params=params)
            assert ([one["name"] for one in found["subscriptions"]], found["next"]) == (["mails"], None)
        assert (await ask("GET", path, 200, params={"tenant": "_global"}))["subscriptions"] == []
        assert (await ask("POST", f"{named}/disable", 200, params=acme, json={})) == {"changed": True}
        await ask("POST", f"{named}/reset", 204, params=acme, json={"from_end": True, "reason": "no old ones"})
        await ask("POST", f"{named}/reset", 422, params=acme, json={"from_end": True, "from_start": True})
        assert (await ask("POST", f"{named}/retry", 200, params=acme, json={})) == {"events": 0}
        assert (await ask("GET", named, 404))["code"] == "not_found"
        await ask("DELETE", named, 204, params={**acme, "reason": "done"})
        await ask("DELETE", named, 404, params=acme)
        async with store.connection() as connection:
            rows = await connection.fetch(
                "select type::text, actor, data ->> 'reason' as reason from jobledger.events order by position"
            )
        assert [tuple(row) for row in rows] == [
            ("subscription.created", "admin", "to send mails"),
            ("subscription.disabled", "admin", None),
            ("subscription.reset", "admin", "no old ones"),
            ("subscription.removed", "admin", "done"),
        ]


async def test_subscriptions_are_for_keys_of_every_tenant(store: Store, serving: Any) -> None:
    """Slices and lags tell how much everybody does."""
    async with serving(store, Access("key:acme", frozenset(Role), frozenset({"acme"}))) as (session, _):
        async with session.get("/v1/subscriptions") as response:
            assert response.status == 403
        async with session.post("/v1/subscriptions", json={"name": "n", "tenant": "acme"}) as response:
            assert response.status == 403
