"""Enqueuing over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson

from jobledger import App
from jobledger.http.access import Access
from jobledger.http.enqueue import NewJob, NewJobs
from jobledger.store.roles import Role

if TYPE_CHECKING:
    import aiohttp

    from jobledger.store.pool import Store

JSON = {"Content-Type": "application/json"}
PRODUCER = Access("key:shop", frozenset({Role.ENQUEUE}), frozenset({"acme"}))


async def registered(store: Store) -> None:
    """Register a kind, as a worker of the application would have."""
    app = App()

    @app.job()
    async def mail(to: str, copies: int = 1) -> None:
        """Send a mail."""

    await app.register(store)


async def post(session: aiohttp.ClientSession, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Post a body; return status and answer."""
    async with session.post(path, data=orjson.dumps(body), headers={**JSON, **headers}) as response:
        return response.status, await response.json(content_type=None)


async def test_a_job_is_enqueued_for_the_keys_tenant_by_its_actor(store: Store, serving: Any) -> None:
    """201 with the id and where it is; the job waits, and its history says which key enqueued it."""
    await registered(store)
    async with serving(store, PRODUCER) as (session, service):
        status, made = await post(session, "/v1/jobs", {"kind": "mail", "args": {"to": "ada"}, "priority": -3})
        assert (status, made["tenant"], made["created"]) == (201, "acme", True)
        found = await service.client.job(UUID(made["id"]), tenant="acme")
        assert (found.job.state, found.job.priority, found.enqueued_by) == ("ready", -3, "key:shop")
        status, problem = await post(session, "/v1/jobs", {"kind": "mail", "args": {"to": "ada"}, "tenant": "other"})
        assert (status, problem["code"]) == (404, "not_found")


async def test_a_repeated_request_makes_no_second_job(store: Store, serving: Any) -> None:
    """The same idempotency key answers 200 with the first id; with other content it is a conflict; in batches, too."""
    await registered(store)
    body, key = {"kind": "mail", "args": {"to": "ada"}}, {"Idempotency-Key": "order-7"}
    async with serving(store, PRODUCER) as (session, _):
        first, again = [await post(session, "/v1/jobs", body, **key) for _ in range(2)]
        assert (first[0], again[0]) == (201, 200)
        assert again[1] == {**first[1], "created": False}
        status, problem = await post(session, "/v1/jobs", {"kind": "mail", "args": {"to": "bob"}}, **key)
        assert (status, problem["code"]) == (409, "idempotency_mismatch")
        many = {"jobs": [body] * 3}
        first, again = [await post(session, "/v1/jobs/batch", many, **key) for _ in range(2)]
        assert [one["id"] for one in first[1]["jobs"]] == [one["id"] for one in again[1]["jobs"]]
        assert [one["created"] for one in (*first[1]["jobs"], *again[1]["jobs"])] == [True] * 3 + [False] * 3


async def test_arguments_that_do_not_fit_name_each_field_and_never_the_value(store: Store, serving: Any) -> None:
    """422 by the registered schema, nothing is written; a batch says which job."""
    await registered(store)
    hidden = f"hush-{uuid4()}"
    async with serving(store, PRODUCER) as (session, service):
        wrong = {"kind": "mail", "args": {"to": 7, "copies": hidden, "more": hidden}}
        status, problem = await post(session, "/v1/jobs", wrong)
        assert (status, problem["code"]) == (422, "invalid_args")
        assert {one["field"] for one in problem["facts"]["fields"]} >= {"args.to", "args.copies"}
        assert hidden not in str(problem)
        status, problem = await post(
            session, "/v1/jobs/batch", {"jobs": [{"kind": "mail", "args": {"to": "ada"}}, wrong]}
        )
        assert (status, problem["facts"]["items"]) == (422, [1])
        assert not (await service.client.jobs()).jobs


async def test_faults_are_problems_without_values(store: Store, serving: Any) -> None:
    """Unknown fields, no JSON, no such path, a wrong method or media type: each is a problem with its code."""
    async with serving(store) as (session, _):
        for path, method, body, kind, status, code in (
            ("/v1/jobs", "POST", b'{"kind": 7, "hush": 1}', "application/json", 422, "invalid_fields"),
            (
                "/v1/jobs",
                "POST",
                b'{"kind": "a", "strict": false, "args": {"n": 1e400}}',
                "application/json",
                422,
                "invalid_fields",
            ),
            (
                "/v1/jobs",
                "POST",
                b'{"kind": "a", "strict": false, "args": {"n": NaN}}',
                "application/json",
                422,
                "invalid_fields",
            ),
            ("/v1/jobs", "POST", b"{", "application/json", 400, "invalid_argument"),
            ("/v1/jobs", "POST", b'{"kind": "nobody"}', "application/json", 400, "unknown_kind"),
            ("/v1/jobs", "POST", b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media"),
            ("/v1/nothing", "GET", None, "text/plain", 404, "not_found"),
            ("/v1/jobs", "PATCH", None, "text/plain", 405, "method_not_allowed"),
        ):
            async with session.request(method, path, data=body, headers={"Content-Type": kind}) as response:
                assert (response.status, (await response.json(content_type=None))["code"]) == (status, code)
                assert response.content_type == "application/problem+json"


def test_the_body_of_a_batch_holds_no_more_than_the_core_takes() -> None:
    """The limit of the wire is that of the statement."""
    assert NewJobs.model_json_schema()["properties"]["jobs"]["maxItems"] == 10_000
    assert set(NewJob.model_fields) >= {"kind", "args", "tenant", "owner", "key", "unique_key", "id"}
