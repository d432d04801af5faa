"""Webhooks over HTTP: what a key may make and see, and what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from standardwebhooks import Webhook
from tests.delivery.endpoint import endpoint

from jobledger.http.access import Access
from jobledger.http.webhooks import delivering
from jobledger.order.log import seal
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.store.pool import Store

OPERATOR = frozenset({Role.OPERATE})


async def test_a_webhook_is_made_tried_changed_and_removed(store: Store, serving: Any) -> None:
    """The secret is in the answers of making and rotating only; what was tried is told by its status."""
    async with serving(store, send_private=True) as (session, _), endpoint() as hook:
        body = {"name": "audit", "url": hook.url, "types": ["job.failed"], "tenant": "acme"}
        async with session.post("/v1/webhooks", json=body) as answer:
            assert answer.status == 201
            made = await answer.json()
            where = answer.headers["Location"]
        async with session.post("/v1/webhooks", json=body) as answer:
            assert (answer.status, (await answer.json())["id"]) == (200, made["id"])
        async with session.post("/v1/webhooks", json=body | {"batch": 7}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (409, "subscription_differs")
        async with session.post(f"{where}/test") as answer:
            assert await answer.json() | {"elapsed_s": 0} == {"ok": True, "status": 204, "outcome": "status 204"} | {
                "elapsed_s": 0
            }
        headers, sent = hook.requests[-1]
        assert Webhook(made["secret"]).verify(sent, headers)["type"] == "dev.jobledger.webhook.test"
        async with session.post(f"{where}/rotate", json={}) as answer:
            rotated = (await answer.json())["secret"]
        assert rotated != made["secret"]
        async with session.post(f"{where}/test") as answer:
            assert (await answer.json())["ok"]
        headers, sent = hook.requests[-1]
        for secret in (rotated, made["secret"]):
            Webhook(secret).verify(sent, headers)
        async with session.post(f"{where}/disable", json={"reason": "moved"}) as answer:
            assert await answer.json() == {"changed": True}
        async with session.get(where) as answer:
            shown = await answer.json()
            assert (shown["state"], shown["disabled_reason"], shown["types"]) == ("disabled", "moved", ["job.failed"])
            assert "secret" not in shown
        async with session.post(f"{where}/reset", json={"from_start": True, "from_end": True}) as answer:
            assert answer.status == 422
        async with session.post(f"{where}/reset", json={"from_start": True}) as answer:
            assert answer.status == 204
        async with session.get("/v1/webhooks") as answer:
            assert [one["state"] for one in (await answer.json())["webhooks"]] == ["active"]
        async with session.delete(where, json={"reason": "over"}) as answer:
            assert answer.status == 204
        async with session.get(where) as answer:
            assert answer.status == 404


async def test_a_key_sees_the_webhooks_of_its_tenant_or_owner_only(store: Store, serving: Any) -> None:
    """What is another's is answered as what does not exist; an owner's webhook is bound to that owner."""
    url = "https://hooks.example.com/a"
    async with serving(store, Access("a", OPERATOR, frozenset({"acme"}))) as (session, service):
        async with session.post("/v1/webhooks", json={"name": "all", "url": url}) as answer:
            whole = (await answer.json())["id"]
        service.authenticate = _as(Access("b", OPERATOR, frozenset({"acme"}), owner="ada"))
        async with session.post("/v1/webhooks", json={"name": "hers", "url": url}) as answer:
            hers = (await answer.json())["id"]
        async with session.post("/v1/webhooks", json={"name": "his", "url": url, "owner": "bob"}) as answer:
            assert answer.status == 404
        async with session.get("/v1/webhooks") as answer:
            [row] = (await answer.json())["webhooks"]
            assert (row["name"], row["owner"], row["behind"]) == ("hers", "ada", None)
        nothing = "00000000-0000-7000-8000-000000000000"
        for access, foreign in (
            (Access("b", OPERATOR, frozenset({"acme"}), owner="ada"), whole),
            (Access("c", OPERATOR, frozenset({"acme"}), owner="bob"), hers),
            (Access("d", OPERATOR, frozenset({"other"})), whole),
        ):
            service.authenticate = _as(access)
            for method, part in (
                *(("GET", ""), ("DELETE", ""), ("POST", "/reset")),
                *(("POST", "/disable"), ("POST", "/rotate"), ("POST", "/test")),
            ):
                answers = []
                for one in (foreign, nothing, "no-id"):
                    async with session.request(method, f"/v1/webhooks/{one}{part}") as answer:
                        answers.append((answer.status, await answer.json(content_type=None)))
                assert answers[0] == answers[1]
                assert [status for status, _ in answers] == [404, 404, 404]
        service.authenticate = _as(Access("e", frozenset({Role.READ}), frozenset({"acme"})))
        async with session.get("/v1/webhooks") as answer:
            assert [one["name"] for one in (await answer.json())["webhooks"]] == ["all", "hers"]
        async with session.post("/v1/webhooks", json={"name": "x", "url": url}) as answer:
            assert answer.status == 403


async def test_where_requests_are_not_sent_is_refused_when_a_webhook_is_made(store: Store, serving: Any) -> None:
    """Plain HTTP, private addresses and users in the URL: 400, without the URL."""
    async with serving(store) as (session, _):
        for url in ("http://example.com/", "https://10.0.0.1/", "https://a:b@example.com/", "https://[::1]:9000/"):
            async with session.post("/v1/webhooks", json={"name": "x", "url": url}) as answer:
                said = await answer.text()
                assert (answer.status, url in said) == (400, False)
        async with session.get("/v1/webhooks") as answer:
            assert (await answer.json())["webhooks"] == []


async def test_a_service_delivers(store: Store, serving: Any) -> None:
    """What runs in `serve` finds a webhook by itself and sends what is sealed; who sees everything sees positions."""
    async with serving(store, send_private=True) as (session, service), endpoint() as hook:
        service.client.strict = False
        async with session.post("/v1/webhooks", json={"name": "all", "url": hook.url}) as answer:
            assert answer.status == 201
        async with delivering(service):
            await service.client.enqueue("mail", tenant="acme")
            async with store.connection() as connection:
                await seal(connection, store.shard)
            await hook.until(lambda: any(one["type"].endswith("enqueued") for one in hook.taken))
        assert hook.taken[-1]["position"]


def _as(access: Access) -> Any:
    async def fixed(_: Any) -> Access:
        return access

    return fixed
