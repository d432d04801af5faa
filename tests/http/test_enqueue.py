"""Enqueuing over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from jobledger.store.pool import Store


async def test_a_job_is_enqueued_and_is_in_the_database(store: Store, serving: Any) -> None:
    """201 with the id; the job waits."""
    async with serving(store) as (session, service):
        service.client.strict = False
        async with session.post("/v1/jobs", json={"kind": "mail", "args": {"to": "ada"}, "tenant": "acme"}) as response:
            assert response.status == 201
            made = await response.json()
        found = await service.client.job(UUID(made["id"]), tenant="acme")
        assert found.job.state == "ready"


async def test_faults_are_problems_without_values(store: Store, serving: Any) -> None:
    """Unknown fields, no JSON, no such path, a wrong method: each is a problem with its code."""
    async with serving(store) as (session, _):
        for path, method, body, status, code in (
            ("/v1/jobs", "POST", b'{"kind": 7, "hush": 1}', 422, "invalid_fields"),
            ("/v1/jobs", "POST", b"{", 400, "invalid_argument"),
            ("/v1/nothing", "GET", None, 404, "not_found"),
            ("/v1/jobs", "PATCH", None, 405, "method_not_allowed"),
        ):
            headers = {"Content-Type": "application/json"}
            async with session.request(method, path, data=body, headers=headers) as response:
                assert (response.status, (await response.json(content_type=None))["code"]) == (status, code)
                assert response.content_type == "application/problem+json"
