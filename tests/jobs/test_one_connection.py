"""A pool of one connection is enough for whatever a client asks: nothing waits for a second one while it has the first.

Where each call may need two, as many callers as the pool has connections wait for each other, and for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from tests.conftest import bound_to_acme
from tests.order.stress import seal_all

from jobledger.errors import NotFound
from jobledger.jobs import App, Client
from jobledger.order import kinds
from jobledger.store.filters import JobFilter
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Way = Callable[[Client, UUID], Awaitable[Any]]


async def _all(steps: Any) -> list[Any]:
    return [one async for one in steps]


async def _first(steps: Any) -> Any:
    try:
        return await anext(steps)
    finally:
        await steps.aclose()


def _ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


WAYS: dict[str, Way] = {
    "enqueue": lambda client, _: client.enqueue("greet", {"name": "x"}, tenant="acme"),
    "enqueue_many": lambda client, _: _many(client),
    "register": lambda client, _: client.register(),
    "job": lambda client, job: client.job(job, token=True),
    "jobs": lambda client, _: client.jobs(tenant="acme", token=True),
    "tenant": lambda client, _: client.tenant("acme", token=True),
    "tenants": lambda client, _: client.tenants(),
    "counts": lambda client, _: client.counts(datetime.now(UTC)),
    "history": lambda client, job: client.history(job, heartbeats=True),
    "events": lambda client, _: _all(client.events(live=False)),
    "a tenant's events": lambda client, _: _all(client.events(tenant="acme", queue="default", live=False)),
    "live events": lambda client, _: _first(client.events()),
    "replay": lambda client, _: _all(client.replay(kind="greet", queue="default")),
    "replay of a job": lambda client, job: _all(client.replay(job, queue="default")),
    "replay since": lambda client, _: _all(client.replay(after=_ago())),
    "cancel": lambda client, job: client.cancel(job, reason="not needed"),
    "preview": lambda client, _: client.preview("cancel", JobFilter(tenant="acme")),
    "act_on": lambda client, _: client.act_on("cancel", JobFilter(tenant="acme"), reason="not needed"),
    "pause": lambda client, _: client.pause("queue", "other", reason="quiet"),
    "limits": lambda client, _: client.limits(),
    "result": lambda client, job: client.handle(job, tenant="acme").state(),
    "subscriptions": lambda client, _: client.subscriptions(),
    "subscription": lambda client, _: _consumed(client),
}
# A role that is bound to tenants makes no tokens, and has no part in the order.
BOUND: dict[str, Way] = {
    **{name: WAYS[name] for name in ("enqueue", "history", "replay", "replay of a job", "replay since", "cancel")},
    "job": lambda client, job: client.job(job),
    "jobs": lambda client, _: client.jobs(tenant="acme"),
    "tenant": lambda client, _: client.tenant("acme"),
}


async def _many(client: Client) -> object:
    return await client.enqueue_many([await client.call("greet", {"name": "x"}, tenant="acme")])


async def _consumed(client: Client) -> object:
    subscription = client.subscription("one")
    await subscription.create(reason="test")
    async with subscription.events() as events:
        return await anext(events)


@pytest.fixture
async def job(store: Store) -> UUID:
    """Give a job of the tenant acme, of a kind that is known, sealed."""
    app = App()

    @app.job(name="greet")
    async def greet(name: str) -> None:
        """Greet."""

    async with Client(store, app=app) as client:
        await client.register()
        handle = await client.enqueue("greet", {"name": "x"}, tenant="acme")
    async with store.connection() as connection:
        await seal_all(connection)
    return handle.id


@pytest.fixture
async def bound(store: Store) -> AsyncIterator[str]:
    """Give a role that is bound to the tenant acme."""
    async with bound_to_acme(store, "jobledger_producer, jobledger_reader, jobledger_operator") as name:
        yield name


@pytest.mark.parametrize("way", WAYS)
async def test_whatever_is_asked_needs_one_connection(database: str, job: UUID, way: str) -> None:
    """Each gets its answer by the only connection of the pool."""
    async with await Store.connect(database, pool_min=1, pool_max=1) as own, Client(own, strict=False) as client:
        async with asyncio.timeout(20):
            await WAYS[way](client, job)


@pytest.mark.parametrize("way", BOUND)
async def test_whatever_a_bound_role_asks_needs_one_connection(database: str, job: UUID, bound: str, way: str) -> None:
    """Its replay holds a transaction, and asks what arguments of a kind are to be masked meanwhile."""
    address = f"{database}&role={bound}"
    async with await Store.connect(address, pool_min=1, pool_max=1) as own, Client(own, strict=False) as client:
        async with asyncio.timeout(20):
            await BOUND[way](client, job)


async def test_a_bound_role_replays_its_job_by_what_the_job_was_enqueued_with(
    database: str, store: Store, job: UUID, bound: str
) -> None:
    """It sees no order, in which others look this up; a job that is another tenant's, or does not fit, is not there."""
    async with Client(store, strict=False) as client:
        other = (await client.enqueue("greet", {"name": "y"}, tenant="other")).id
    async with await Store.connect(f"{database}&role={bound}", pool_max=1) as own, Client(own, strict=False) as client:
        assert [one.event.type for one in await _all(client.replay(job, queue="default"))] == ["job.enqueued"]
        assert await _all(client.replay(job, queue="default", kind="another")) == []
        assert await _all(client.replay(job, queue="default", types=["job.failed"])) == []
        for which, queue in ((job, "elsewhere"), (other, "default"), (uuid4(), "default")):
            with pytest.raises(NotFound):
                await _all(client.replay(which, queue=queue))


async def test_a_replay_asks_of_what_kind_a_job_is_once_however_few_are_remembered(
    database: str, store: Store, job: UUID, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds the only connection could not ask again, when others have pushed out what was known."""
    async with Client(store, strict=False) as client:
        for _ in range(3):
            other = (await client.enqueue("greet", {"name": "y"}, tenant="acme")).id
            await client.cancel(other, reason="not needed")
        await client.cancel(job, reason="not needed")
    monkeypatch.setattr(kinds, "_REMEMBERED", 1)
    async with await Store.connect(f"{database}&role={bound}", pool_max=1) as own, Client(own, strict=False) as client:
        async with asyncio.timeout(20):
            assert len(await _all(client.replay(kind="greet"))) == 8
