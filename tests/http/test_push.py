"""Queues whose jobs are delivered to endpoints, and what becomes of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from jobledger import App
from jobledger.http.push import pushing
from jobledger.lifecycle.backoff import Fixed
from jobledger.testing import FakeEndpoint
from jobledger.worker.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from jobledger.store.pool import Store

ENDS = "select stream_id::text as id, count(*) as n from jobledger.events where type = 'job.succeeded' group by 1"
OPEN = "select (select count(*) from jobledger.ready) + (select count(*) from jobledger.waiting) + (select count(*) from jobledger.running)"


async def register(store: Store, *, timeout: int = 1, attempts: int = 5, queue: str = "calls") -> None:
    """Register a kind of the pushed queue, as its application would have."""
    app = App()

    @app.job(queue=queue, timeout=timeout, max_attempts=attempts, backoff=Fixed(0, jitter=0))
    async def call(n: int) -> None:
        """Whatever the endpoint does."""

    await app.register(store)


async def put(session: aiohttp.ClientSession, queue: str = "calls", **fields: Any) -> tuple[int, dict[str, Any]]:
    """Set the push of a queue; return status and answer."""
    async with session.put(f"/v1/queues/{queue}/push", json=fields) as answer:
        return answer.status, await answer.json(content_type=None)


async def enqueue(store: Store, count: int, **stated: Any) -> None:
    """Enqueue jobs of the pushed kind."""
    jobs = [{"kind": "call", "args": {"n": n}, **stated} for n in range(count)]
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue_many($1::jsonb)", orjson.dumps(jobs).decode())


async def empty(store: Store) -> None:
    """Wait until no job is open."""
    async with store.connection() as connection:
        while await connection.fetchval(OPEN):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def pushed(serving: Any, store: Store) -> AsyncIterator[tuple[aiohttp.ClientSession, Any]]:
    """Serve and deliver, as `serve` does."""
    async with serving(store, send_private=True, stop_grace_s=0.1) as (session, service):
        async with Keeper(store, service.settings), pushing(service, str(session._base_url)) as pusher:
            yield session, pusher


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_all_end_and_none_twice_though_some_are_refused_and_some_are_lost(
    store: Store, serving: Any, count: int
) -> None:
    """10 % of requests refused, 5 % of jobs accepted and lost, 10 % reported later: each job succeeds exactly once."""
    await register(store, attempts=20)
    async with (
        FakeEndpoint(refuse=0.1, lose=0.05, later=0.1, seed=7) as endpoint,
        pushed(serving, store) as (session, _),
    ):
        status, answer = await put(session, url=endpoint.url, batch=max(5, count // 200), concurrency=1000, max_run=1)
        assert status == 200, answer
        endpoint.secret = answer["secret"]
        await enqueue(store, count)
        async with asyncio.timeout(60):
            await empty(store)
        async with store.connection() as connection:
            ends = {row["id"]: row["n"] for row in await connection.fetch(ENDS)}
        print(
            endpoint.requests, endpoint.refused, sum(endpoint.lost.values()), endpoint.largest, len(endpoint.verdicts)
        )
        assert len(ends) == count
        assert set(ends.values()) == {1}
        assert endpoint.refused > 0
        assert endpoint.lost
        assert endpoint.unsigned == 0
