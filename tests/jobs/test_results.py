"""Results: waited for by polling, of the declared type, or the named error of how the job ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from jobledger.errors import JobCancelled, JobFailed, JobKilled, NotFound, ResultTimeout, Unreachable
from jobledger.jobs import App, Cancel, Client
from jobledger.testing import drain

if TYPE_CHECKING:
    from jobledger.jobs import Handle
    from jobledger.store.pool import Store

app = App()


class Invoice(BaseModel):
    """A result that is a model."""

    number: int
    at: datetime


@dataclass
class Pair:
    """A result that is a dataclass."""

    left: int
    right: list[str]


@app.job()
async def invoice(number: int) -> Invoice:
    """Return a model."""
    return Invoice(number=number, at=datetime(2026, 1, 2, tzinfo=UTC))


@app.job()
def pair() -> Pair:
    """Return a dataclass."""
    return Pair(1, ["x"])


@app.job()
async def nothing() -> None:
    """Return nothing."""


@app.job()
async def untyped():  # type: ignore[no-untyped-def]
    """Declare no result."""
    return {"any": [1, None]}


@app.job(max_attempts=1)
async def fail() -> None:
    """Fail."""
    raise ValueError("no")


@app.job()
async def give_up() -> Cancel | None:
    """Cancel itself."""
    return Cancel("not wanted")


@pytest.fixture
async def client(store: Store) -> Client:
    """Give a client of the app."""
    return Client(store, app=app)


async def test_results_come_back_as_the_declared_type(store: Store, client: Client) -> None:
    """Models, dataclasses, nothing, and any JSON where nothing is declared."""
    handles: list[Any] = [await job.using(client=client).enqueue() for job in (pair, nothing, untyped)]
    handles.append(await invoice.using(client=client).enqueue(7))
    (await drain(app, store)).check()
    assert [await handle.result(timeout=5) for handle in handles] == [
        Pair(1, ["x"]),
        None,
        {"any": [1, None]},
        Invoice(number=7, at=datetime(2026, 1, 2, tzinfo=UTC)),
    ]


async def test_a_handle_made_elsewhere_reads_with_and_without_the_kind(store: Store, client: Client) -> None:
    """With the kind the result is of its type, without it is JSON."""
    made = await invoice.using(client=client, tenant="acme").enqueue(7)
    await drain(app, store)
    assert (await client.handle(made.id, tenant="acme", job=invoice).result()).number == 7
    assert (await client.handle(made.id, tenant="acme").result())["number"] == 7


async def test_a_result_may_be_awaited_before_the_job_runs(store: Store, client: Client) -> None:
    """The waiter polls with growing steps until the end is on record."""
    handle = await invoice.using(client=client).enqueue(7)
    waiting = asyncio.create_task(handle.result(timeout=60))
    await drain(app, store)
    assert (await waiting).number == 7


async def test_every_other_ending_is_its_own_error(store: Store, client: Client) -> None:
    """Failed, cancelled by itself, cancelled and killed by a person: with the facts of the log."""
    failed = await fail.using(client=client).enqueue()
    gave_up = await give_up.using(client=client).enqueue()
    await drain(app, store)
    cancelled = await nothing.using(client=client).enqueue()
    await client.cancel(cancelled, actor="ada", reason="a mistake")
    killed = await nothing.using(client=client).enqueue()
    await client.kill(killed, actor="ada", reason="a mistake")
    with pytest.raises(JobFailed) as failure:
        await failed.result()
    assert (failure.value.detail["error_type"], failure.value.detail["attempt"]) == ("ValueError", 1)
    with pytest.raises(JobCancelled) as by_itself:
        await gave_up.result()
    assert by_itself.value.detail["reason"] == "not wanted"
    with pytest.raises(JobCancelled) as by_ada:
        await cancelled.result()
    assert (by_ada.value.detail["actor"], by_ada.value.detail["reason"]) == ("ada", "a mistake")
    with pytest.raises(JobKilled):
        await killed.result()


async def test_waiting_is_bounded_by_its_time(client: Client) -> None:
    """The error says in which state the job is; the job goes on."""
    handle = await nothing.using(client=client).enqueue()
    for timeout in (0, 0.01):
        with pytest.raises(ResultTimeout) as caught:
            await handle.result(timeout=timeout)
        assert caught.value.detail == {"state": "ready"}


async def test_another_tenants_job_answers_like_an_unknown_one(client: Client) -> None:
    """The tenant is part of the question."""
    handle = await nothing.using(client=client, tenant="acme").enqueue()
    others: list[Handle[Any]] = [client.handle(handle.id, tenant="other"), client.handle(uuid4())]
    for other in others:
        with pytest.raises(NotFound):
            await other.result()


async def test_a_handle_of_a_bare_connection_does_not_wait(store: Store) -> None:
    """It would wait for the very transaction that it is in."""
    async with store.connection() as conn, conn.transaction():
        handle = await nothing.using(conn=conn).enqueue()
    with pytest.raises(Unreachable):
        await handle.result()
