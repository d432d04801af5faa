"""Operators through the client: looking, acting on one or many, pausing, setting defaults."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import pytest

from jobledger.errors import InvalidArgument, NotFound, UniqueTaken, WrongState
from jobledger.jobs import App, Client, Masked, Park
from jobledger.store.filters import JobFilter
from jobledger.testing import drain

if TYPE_CHECKING:
    from jobledger.jobs import Handle
    from jobledger.store.pool import Store
    from jobledger.testing import Clock

app = App()


@app.job()
async def greet(email: Annotated[str, Masked] = "") -> None:
    """Do nothing."""


@app.job(max_attempts=1)
async def fail() -> None:
    """Fail."""
    raise ValueError("no")


@app.job()
async def wait() -> Park | None:
    """Park."""
    return Park("permission", needs="a yes")


@pytest.fixture
async def client(store: Store) -> Client:
    """Give a client that says who acts."""
    return Client(store, app=app, actor="ada")


async def last(client: Client, handle: Handle[None]) -> tuple[str, str | None, object]:
    """Return type, actor and reason of a job's last event."""
    event = (await client.history(handle))[-1]
    return event.type, event.actor, (event.data or {}).get("reason")


async def test_every_act_is_on_record_with_actor_and_reason(store: Store, client: Client, clock: Clock) -> None:
    """Cancel, kill, retry, unpark, reschedule, reprioritise, move."""
    tomorrow = await clock.now() + timedelta(days=1)
    broken = await fail.using(client=client).enqueue()
    parked = await wait.using(client=client).enqueue()
    await drain(app, store)
    assert (await client.retry(broken, reason="mended")).state == "ready"
    assert await last(client, broken) == ("job.retried", "ada", "mended")
    await client.unpark(parked, reason="allowed", actor="bob")
    assert await last(client, parked) == ("job.unparked", "bob", "allowed")
    handle = await greet.using(client=client).enqueue()
    await client.reschedule(handle, run_at=tomorrow, reason="later")
    assert await last(client, handle) == ("job.rescheduled", "ada", "later")
    await client.reprioritise(handle, priority=-7, reason="urgent")
    await client.move(handle, queue="slow", reason="too many")
    detail = await client.job(handle)
    assert (detail.job.state, detail.job.priority, detail.job.queue) == ("scheduled", -7, "slow")
    assert (await client.cancel(handle, reason="no more")).verdict == "done"
    assert await last(client, handle) == ("job.cancelled", "ada", "no more")
    assert (await client.kill(parked, reason="stop")).state == "killed"


async def test_an_act_that_cannot_be_is_a_named_error(client: Client) -> None:
    """Unknown, another tenant's, in the wrong state, unique key taken."""
    first = await greet.using(client=client, unique_key="u").enqueue()
    await client.cancel(first, reason="x")
    await greet.using(client=client, unique_key="u").enqueue()
    with pytest.raises(UniqueTaken):
        await client.retry(first, reason="x")
    with pytest.raises(WrongState):
        await client.cancel(first, reason="x")
    with pytest.raises(NotFound):
        await client.cancel(first.id, tenant="other", reason="x")
    with pytest.raises(InvalidArgument):
        await client.cancel(first, tenant="other", reason="x")


async def test_many_jobs_are_met_by_filter_after_a_preview(client: Client) -> None:
    """The preview counts what the act then meets."""
    await client.enqueue_many([greet.using(tenant="acme").call() for _ in range(7)])
    handles = await client.enqueue_many([greet.using(tenant="other").call() for _ in range(3)])
    wanted = JobFilter(tenant="acme")
    assert (await client.preview("cancel", wanted)).jobs == 7
    assert await client.act_on("cancel", wanted, reason="all of them") == {"done": 7}
    assert (await client.preview("cancel", wanted)).jobs == 0
    assert await client.act_on("kill", [handle.id for handle in handles], reason="these") == {"done": 3}


async def test_a_paused_queue_waits_until_it_is_resumed(store: Store, client: Client) -> None:
    """Pauses are on record and listed."""
    await greet.using(client=client).enqueue()
    assert await client.pause("queue", "default", reason="maintenance")
    assert not await client.pause("queue", "default", reason="again")
    assert (await drain(app, store)).outcomes == []
    assert [(limit.name, limit.paused) for limit in await client.limits(scope="queue")] == [("default", True)]
    assert await client.resume("queue", "default", reason="done")
    assert (await drain(app, store)).outcomes == ["succeeded"]


async def test_a_default_may_be_set_and_cleared(client: Client) -> None:
    """Times as seconds or timedeltas."""
    await client.set_limit("kind", "greet", timeout=timedelta(minutes=1), max_attempts=2, reason="slow service")
    await client.register()
    (limit,) = await client.limits(scope="kind", name="greet")
    assert (limit.timeout, limit.max_attempts, limit.changed_by) == (60, 2, "ada")
    handle = await greet.using(client=client).enqueue()
    assert (await client.job(handle)).job.max_attempts == 2
    await client.set_limit("kind", "greet", timeout=None, max_attempts=None, reason="well again")
    handle = await greet.using(client=client).enqueue()
    assert (await client.job(handle)).job.max_attempts == 5


async def test_marked_arguments_are_masked_when_shown(store: Store, client: Client) -> None:
    """By the app's schema, and by the registered one where the client has no app."""
    await app.register(store)
    handle = await greet.using(client=client).enqueue("ada@example.org")
    for one in (client, Client(store)):
        detail = await one.job(handle.id)
        history = await one.history(handle.id)
        assert "example.org" not in f"{detail} {history}"
        assert detail.enqueued["args"] == {"email": "•••"}
        assert (history[0].data or {})["args"] == {"email": "•••"}


async def test_jobs_are_listed_by_page(client: Client) -> None:
    """Newest first, with a cursor."""
    handles = await client.enqueue_many([greet.call() for _ in range(3)])
    page = await client.jobs(tenant="default", limit=2)
    rest = await client.jobs(tenant="default", limit=2, cursor=page.next)
    assert [job.id for job in (*page.jobs, *rest.jobs)] == [handle.id for handle in reversed(handles)]
    assert rest.next is None
