# ruff: noqa: F841, TC001, TC003
"""What a type checker must say about the public interface; read by `test_typing.py`, never run.

A line with `type: ignore[code]` must give exactly that error (strict mypy reports an ignore that nothing needs), and
every other line must give none.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import assert_type
from uuid import UUID

from pydantic import BaseModel, SecretStr

from jobledger import App, Client, Context, Handle, Park, Retry, Secret, Snooze
from jobledger.events import Event
from jobledger.jobs.kind import AsyncContextJob, AsyncJob, SyncContextJob, SyncJob
from jobledger.order.replay import Replayed

app = App("typing")


@app.job()
async def plain(number: int, *, text: str = "") -> str:
    """Take a number and a text."""
    return text * number


@app.job(queue="mail", timeout=timedelta(minutes=5))
async def with_context(context: Context, address: str) -> int | Snooze | Park:
    """Take the context first."""
    await context.progress(0.5, f"writing to {address}")
    return Snooze(60) if context.attempt == 1 else 1


@app.job("sync.plain")
def sync_plain(items: list[int]) -> dict[str, int]:
    """Be synchronous."""
    return {str(item): item for item in items}


@app.job()
def sync_with_context(context: Context, number: int) -> str | Retry | None:
    """Be synchronous with a context."""
    context.cancellation.raise_if_cancelled()
    return None if number else "zero"


@app.job()
async def nothing() -> None:
    """Take and return nothing."""


@app.job()
async def secretive(key: SecretStr) -> None:
    """Take a secret."""


class Seen(BaseModel):
    """A kind as a resource."""

    id: UUID


@app.resource("served", public=Seen, states={"succeeded": "done"})
@app.job()
async def served(number: int) -> str:
    """Be a resource, too: the kind stays what it is."""
    return str(number)


@app.resource("unserved", public=Seen)  # type: ignore[type-var]
def unserved(number: int) -> str:
    """Be no kind."""
    return str(number)


@app.projection("waits", version=2, tables="create table waits (n int)")
async def waits(events: list[Event], connection: object, rebuilding: bool) -> None:
    """Fold in Python."""


@app.projection("sync")  # type: ignore[type-var]
def sync_fold(events: list[Event], connection: object) -> None:
    """A fold that is not async."""


app.sql_projection("waits", name="others")


@app.job(quue="mail")  # type: ignore[call-arg]
async def misspelt() -> None:
    """Have a misspelt option."""


@app.lifespan
async def numbers():  # type: ignore[no-untyped-def]
    """Lack annotations."""
    yield 1


async def kinds_keep_the_form_of_their_handler() -> None:
    """The plain function, the arguments and the result."""
    assert_type(await plain(1, text="x"), str)
    assert_type(sync_plain([1]), dict[str, int])
    a: AsyncJob[[int], int]
    b: AsyncContextJob[[str], int] = with_context
    c: SyncJob[[list[int]], dict[str, int]] = sync_plain
    d: SyncContextJob[[int], str | None] = sync_with_context
    a = plain  # type: ignore[assignment]


async def enqueuing_takes_what_the_handler_takes() -> None:
    """The handler's own arguments, its context apart."""
    await plain.enqueue(1, text="x")
    await plain.enqueue(number=1)
    await with_context.enqueue("ada@example.org")
    await sync_plain.enqueue([1, 2])
    await sync_with_context.enqueue(5)
    await nothing.enqueue()
    await secretive.enqueue(Secret("env:KEY"))
    await served.enqueue(1)
    await served.enqueue("1")  # type: ignore[arg-type]
    await plain.enqueue("1")  # type: ignore[arg-type]
    await plain.enqueue()  # type: ignore[call-arg]
    await plain.enqueue(1, txt="x")  # type: ignore[call-arg]
    await with_context.enqueue()  # type: ignore[call-arg]
    await with_context.enqueue(5)  # type: ignore[arg-type]
    await sync_with_context.enqueue("five")  # type: ignore[arg-type]
    await nothing.enqueue(1)  # type: ignore[call-arg]
    await secretive.enqueue("sk_live")  # type: ignore[arg-type]


async def options_have_a_call_of_their_own() -> None:
    """They are typed too, and what follows still has the handler's arguments."""
    await plain.using(tenant="acme", priority=-5, tags=["a"]).enqueue(1)
    await plain.using(tenant="acme").using(owner="ada").enqueue(1)
    await plain.using(tennant="acme").enqueue(1)  # type: ignore[call-arg]
    await plain.using(priority="high").enqueue(1)  # type: ignore[arg-type]
    await plain.using(tenant="acme").enqueue("1")  # type: ignore[arg-type]
    plain.using(tenant="acme").statement(1, text="x")
    plain.statement("1")  # type: ignore[arg-type]


async def results_are_of_the_declared_type(client: Client) -> None:
    """Outcomes are no results."""
    assert_type(await plain.enqueue(1), Handle[str])
    assert_type(await (await plain.enqueue(1)).result(timeout=5), str)
    assert_type(await (await with_context.using(tenant="acme").enqueue("x")).result(), int)
    assert_type(await (await sync_plain.enqueue([1])).result(), dict[str, int])
    assert_type(await (await sync_with_context.enqueue(1)).result(), str | None)
    assert_type(await client.enqueue_many([plain.call(1), plain.call(2)]), list[Handle[str]])
    await client.enqueue("by.name", {"a": 1}, tenant="acme")
    await client.enqueue("by.name", {"a": 1}, tennant="acme")  # type: ignore[call-arg]


async def a_service_is_asked_by_the_same_methods() -> None:
    """Only where the client stands differs."""
    async with Client(url="http://127.0.0.1:8470", key="jl_key") as client, app.connect(url="unix:/run/jobledger"):
        assert_type(await plain.using(client=client).enqueue(1), Handle[str])
        async for event in client.events(tenant="acme"):
            assert_type(event, Event)
        Client(url=5)  # type: ignore[arg-type]


async def what_happened_is_typed(client: Client) -> None:
    """Each step has its event and the time between."""
    async for one in client.replay(tenant="acme", after="p", until=datetime(2026, 1, 1, tzinfo=UTC)):
        assert_type(one, Replayed)
        assert_type((one.event, one.after, one.cursor), tuple[Event, timedelta | None, str | None])
    client.replay(since="p")  # type: ignore[call-arg]
