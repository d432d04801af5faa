"""One client, two ways: every promise of `Client` holds by a database and by a service, word for word."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, SecretStr
from tests.order.stress import seal_all

from jobledger.errors import (
    Forbidden,
    IdempotencyMismatch,
    IdTaken,
    InvalidArgs,
    InvalidArgument,
    JobCancelled,
    JobFailed,
    JobledgerError,
    NotFound,
    ResultTimeout,
    SecretInPlain,
    UniqueTaken,
    UnknownKind,
    Unreachable,
    WrongState,
)
from jobledger.http.access import Access
from jobledger.http.server import listening
from jobledger.http.service import Service
from jobledger.jobs import App, Client, Masked, Park
from jobledger.jobs.database import DatabaseDoor
from jobledger.jobs.door import Door
from jobledger.lifecycle.backoff import Fixed
from jobledger.remote.door import ServiceDoor
from jobledger.settings import Settings
from jobledger.store.filters import JobFilter
from jobledger.store.roles import Role
from jobledger.testing import drain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import web

    from jobledger.store.pool import Store

ACTOR = "key:ada"
WAYS = ("database", "service")


class Sum(BaseModel):
    """A result that is a model."""

    total: int
    at: datetime


app = App()


@app.job(queue="math", max_attempts=3, priority=5)
async def add(left: int, right: int = 1) -> Sum:
    """Add two numbers."""
    return Sum(total=left + right, at=datetime(2026, 1, 2, tzinfo=UTC))


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


@app.job()
async def secretive(key: SecretStr) -> None:
    """Take a secret."""


@dataclass
class Both:
    """Two clients of one database: one of the database itself, one of a service in front of it."""

    store: Store
    url: str
    database: Client
    service: Client

    def by(self, way: str) -> Client:
        """Return one of them."""
        return self.database if way == "database" else self.service


@asynccontextmanager
async def serving(store: Store, access: Access) -> AsyncIterator[str]:
    """Serve as `access` for whoever asks; give the address."""

    async def fixed(_: web.Request) -> Access:
        return access

    async with listening(Service(store, settings=Settings(http_port=0), authenticate=fixed)) as url:
        yield url


@pytest.fixture
async def both(store: Store) -> AsyncIterator[Both]:
    """Give two clients of one database."""
    async with (
        serving(store, Access(ACTOR, frozenset({Role.ADMIN}))) as url,
        Client(store, app=app, actor=ACTOR) as database,
        Client(url=url, key="jl_key", app=app) as service,
    ):
        yield Both(store, url, database, service)


@pytest.fixture(params=WAYS)
def client(request: pytest.FixtureRequest, both: Both) -> Client:
    """Give a client, by each way."""
    return both.by(request.param)


def test_both_doors_have_what_a_client_asks_for() -> None:
    """The same methods, with the same parameters by name."""
    asked = [name for name, _ in inspect.getmembers(Door, callable) if not name.startswith("_")]
    assert len(asked) > 20
    for name in asked:
        wanted = [(one.name, one.kind) for one in inspect.signature(getattr(Door, name)).parameters.values()]
        for door in (DatabaseDoor, ServiceDoor):
            found = [(one.name, one.kind) for one in inspect.signature(getattr(door, name)).parameters.values()]
            assert found == wanted, (door.__name__, name)


async def test_a_job_is_enqueued_with_everything_that_can_be_stated(both: Both) -> None:
    """By kind or by name, one or many, what is written down is the same by both ways."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    stated: dict[str, Any] = {
        "tenant": "acme",
        "queue": "slow",
        "priority": -7,
        "run_at": soon,
        "kill_at": soon + timedelta(days=1),
        "timeout": timedelta(minutes=2),
        "max_attempts": 9,
        "backoff": Fixed(3),
        "owner": "bob",
        "tags": ["a", "ü"],
        "meta": {"n": [1, None, 2.5]},
    }
    written: list[Any] = []
    for client in (both.database, both.service):
        one = await add.using(client=client, unique_key=f"u{len(written)}", **stated).enqueue(2**40, right=-1)
        two = await client.enqueue("greet", {"email": "bob@example.org"}, tenant="acme")
        call = await client.call("greet")
        call = replace(call, new=replace(call.new, trace={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}))
        three, (four,) = await client.send(call), await client.enqueue_many([call])
        many = await client.enqueue_many([add.using(**stated).call(n) for n in range(3)])
        assert one.created
        assert len({one.id, two.id, three.id, four.id, *(handle.id for handle in many)}) == 7
        details = [await both.database.job(handle) for handle in (one, two, three, four, *many)]
        written.append([(_plain(detail.enqueued), detail.enqueued_by, _row(detail.job)) for detail in details])
    assert written[0] == written[1]
    assert all(written[1][place][0]["trace"]["traceparent"].startswith("00-abab") for place in (2, 3))
    assert await both.service.enqueue_many([]) == []


async def test_a_key_enqueues_once(client: Client) -> None:
    """The second call gives the first one's job; with other content it is refused, as are taken ids and unique keys."""
    first = await add.using(client=client, key="k").enqueue(1)
    again = await add.using(client=client, key="k").enqueue(1)
    assert (again.id, again.created) == (first.id, False)
    with pytest.raises(IdempotencyMismatch):
        await add.using(client=client, key="k").enqueue(2)
    with pytest.raises(IdTaken):
        await add.using(client=client, id=first.id).enqueue(1)
    await greet.using(client=client, unique_key="u").enqueue()
    with pytest.raises(UniqueTaken):
        await greet.using(client=client, unique_key="u").enqueue()


async def test_what_cannot_be_enqueued_is_refused_in_the_same_words(both: Both) -> None:
    """Class, sentence and facts of each error are the same, whichever way the job was to go."""
    old = datetime.now(UTC) - timedelta(days=3)
    await both.database.register()
    faults: list[Callable[[Client], Awaitable[object]]] = [
        lambda client: client.enqueue("nobody.knows"),
        lambda client: client.enqueue("add", {"left": "x"}),
        lambda client: client.enqueue("secretive", {"key": "sk_live"}),
        lambda client: client.enqueue("greet", tenant="no tenant"),
        lambda client: client.enqueue("greet", queue=" "),
        lambda client: client.enqueue("greet", priority=5000),
        lambda client: client.enqueue("greet", run_at=old),
        lambda client: client.enqueue("greet", id=uuid4()),
        lambda client: client.enqueue("greet", timeout=0),
        lambda client: client.enqueue("greet", tags=["x"] * 40),
        lambda client: client.enqueue("greet", meta={"x": "y" * 20_000}),
        lambda client: client.enqueue("greet", {"email": "x" * 300_000}),
        lambda client: client.enqueue("greet", {"email": "\0"}),
        lambda client: client.enqueue("greet", key=""),
        lambda client: client.enqueue_many([add.call(1), add.using(run_at=old).call(2)]),
        lambda client: client.enqueue_many([add.call(1), add.using(priority=5000).call(2)]),
    ]
    for place, fault in enumerate(faults):
        assert await _told(fault, both.database) == await _told(fault, both.service), place
    for client in (both.database, both.service):
        with pytest.raises(UnknownKind):
            await client.enqueue("nobody.knows")
        with pytest.raises(InvalidArgs):
            await client.enqueue("add", {"left": "x"})
        with pytest.raises(SecretInPlain):
            await client.enqueue("secretive", {"key": "sk_live"})
    page = await both.database.jobs()
    assert not page.jobs


async def test_a_client_without_an_app_is_told_by_what_was_registered(both: Both) -> None:
    """Registering says what is new; then arguments that do not fit, and plain secrets, are refused; or all is taken."""
    assert sorted(await both.service.register()) == ["add", "fail", "greet", "secretive", "wait"]
    assert await both.database.register() == await both.service.register() == []
    for source in ({"source": both.store}, {"url": both.url, "key": "jl_key"}):
        async with Client(**source) as bare, Client(**source, strict=False) as lenient:
            with pytest.raises(SecretInPlain):
                await bare.enqueue("secretive", {"key": "sk_live"})
            handle = await bare.enqueue("add", {"left": 1})
            detail = await bare.job(handle)
            assert (detail.job.queue, detail.job.max_attempts) == ("math", 3)
            assert (await lenient.enqueue("nobody.knows")).created


async def test_a_producers_key_enqueues_what_nobody_has_registered_yet(both: Both) -> None:
    """The app's kinds need no worker first: each job states what its kind declares. The rest is refused to the key."""
    access = Access("key:shop", frozenset({Role.ENQUEUE}), frozenset({"acme"}))
    async with serving(both.store, access) as url, app.connect(url=url, key="jl_key") as producer:
        assert await producer.register() == []
        handle = await add.using(tenant="acme").enqueue(1)
        with pytest.raises(NotFound):
            await add.using(tenant="other").enqueue(1)
        for refused in (handle.result(), producer.cancel(handle, reason="x"), anext(producer.events(tenant="acme"))):
            with pytest.raises(Forbidden):
                await refused
    detail = await both.database.job(handle)
    assert (detail.enqueued_by, detail.job.max_attempts, detail.job.queue) == ("key:shop", 3, "math")
    assert not (await both.database.jobs(tenant="other")).jobs


@pytest.mark.slow
async def test_a_result_is_waited_for(both: Both, client: Client) -> None:
    """Of the declared type, or the named error of how the job ended, or that it has not."""
    done, broken = await add.using(client=client).enqueue(2**62, 3), await fail.using(client=client).enqueue()
    assert await done.state() == "ready"
    with pytest.raises(ResultTimeout):
        await done.result(timeout=0.01)
    await drain(app, both.store)
    parked = await wait.using(client=client, tenant="acme").enqueue()
    assert await done.result() == Sum(total=2**62 + 3, at=datetime(2026, 1, 2, tzinfo=UTC))
    assert await client.handle(done.id).result(timeout=5) == {"total": 2**62 + 3, "at": "2026-01-02T00:00:00Z"}
    with pytest.raises(JobFailed, match="after 1 attempts: ValueError") as raised:
        await broken.result()
    assert raised.value.detail["error_type"] == "ValueError"
    await client.cancel(parked, reason="no more")
    with pytest.raises(JobCancelled) as cancelled:
        await parked.result()
    assert cancelled.value.detail["actor"] == ACTOR
    for id_ in (uuid4(), parked.id):
        with pytest.raises(NotFound):
            await client.handle(id_, job=add).result(timeout=1)


@pytest.mark.slow
async def test_every_act_is_on_record(both: Both, client: Client) -> None:
    """Cancel, kill, retry, unpark, reschedule, reprioritise, move; with the reason, and by whom."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    broken, parked = await fail.using(client=client).enqueue(), await wait.using(client=client).enqueue()
    await drain(app, both.store)
    assert (await client.retry(broken, attempts=2, reason="mended")).state == "ready"
    assert (await client.unpark(parked, reason="allowed")).verdict == "done"
    handle = await greet.using(client=client).enqueue()
    await client.reschedule(handle, run_at=tomorrow, reason="later")
    await client.reprioritise(handle, priority=-7, reason="urgent")
    await client.move(handle, queue="slow", reason="too many")
    row = (await client.job(handle)).job
    assert (row.priority, row.queue, row.run_at) == (-7, "slow", tomorrow)
    assert (await client.cancel(handle, reason="no more")).state == "cancelled"
    assert (await client.kill(parked, reason="stop")).state == "killed"
    told = [
        (event.type, event.actor, (event.data or {}).get("reason"))
        for one in (broken, parked, handle)
        for event in await client.history(one)
        if event.actor == ACTOR and event.type != "job.enqueued"
    ]
    assert told == [
        *(("job.retried", ACTOR, "mended"), ("job.unparked", ACTOR, "allowed"), ("job.killed", ACTOR, "stop")),
        *(
            ("job.rescheduled", ACTOR, "later"),
            ("job.reprioritised", ACTOR, "urgent"),
            ("job.moved", ACTOR, "too many"),
        ),
        ("job.cancelled", ACTOR, "no more"),
    ]


async def test_an_act_that_cannot_be_is_refused_in_the_same_words(both: Both) -> None:
    """Unknown, another tenant's, in the wrong state, without a reason, out of range."""
    done = await greet.using(client=both.database, unique_key="u").enqueue()
    await both.database.cancel(done, reason="x")
    await greet.using(client=both.database, unique_key="u").enqueue()
    live, unknown = await greet.using(client=both.database).enqueue(), uuid4()
    faults: list[Callable[[Client], Awaitable[object]]] = [
        lambda client: client.cancel(done.id, reason="x"),
        lambda client: client.retry(done.id, reason="x"),
        lambda client: client.cancel(done.id, tenant="other", reason="x"),
        lambda client: client.cancel(done, tenant="other", reason="x"),
        lambda client: client.kill(unknown, reason="x"),
        lambda client: client.reschedule(done, run_at=datetime(2026, 1, 1), reason="x"),  # noqa: DTZ001 - that is the fault
        lambda client: client.job(unknown),
        lambda client: client.job(done.id, tenant="other"),
        lambda client: client.job(done, as_of="nonsense"),
        lambda client: client.jobs(limit=0),
        lambda client: client.jobs(limit=5000),
        lambda client: client.jobs(cursor="x"),
        lambda client: client.jobs(states=["sleeping"]),
        lambda client: client.history(unknown),
        lambda client: client.counts("nonsense"),
        lambda client: client.counts(datetime.now(UTC) + timedelta(days=1)),
        lambda client: client.tenant("no tenant"),
        lambda client: client.tenant("acme", since=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the fault
        lambda client: client.tenants(limit=0),
        lambda client: client.act_on("jump", JobFilter(), reason="x"),  # type: ignore[arg-type]
        lambda client: client.preview("jump", JobFilter()),  # type: ignore[arg-type]
        lambda client: client.preview("cancel", JobFilter(states=["succeeded"])),
        lambda client: anext(client.events(after="nonsense")),
        lambda client: anext(client.events(types="job.failed")),
        lambda client: client.subscription("nobody's").status(),
        lambda client: client.subscription("s").create(slices=0),
        lambda client: client.subscription("s").create(after="nonsense"),
        lambda client: client.subscription("nobody's").reset(from_end=True, reason="x"),
    ]
    for place, fault in enumerate(faults):
        assert await _told(fault, both.database) == await _told(fault, both.service), place
    kinds_only: list[Callable[[Client], Awaitable[object]]] = [
        lambda client: client.act_on("kill", [], reason="x"),
        lambda client: client.reprioritise(live.id, priority=5000, reason="x"),
        lambda client: client.pause("queue", "", reason="x"),
        lambda client: client.set_limit("kind", "greet", timeout=0, reason="x"),
        lambda client: client.set_limit("kind", "greet", nonsense=1, reason="x"),
    ]
    for place, fault in enumerate(kinds_only):
        assert (await _told(fault, both.database))[0] == (await _told(fault, both.service))[0] == InvalidArgument, place
    with pytest.raises(WrongState):
        await both.service.cancel(done, reason="x")


async def test_many_jobs_are_met_and_defaults_set(client: Client) -> None:
    """By filter after a preview, by ids; pauses and limits are listed, and end."""
    await client.enqueue_many([greet.using(tenant="acme").call() for _ in range(7)])
    others = await client.enqueue_many([greet.using(tenant="other").call() for _ in range(3)])
    wanted = JobFilter(tenant="acme", states=["ready"])
    assert (await client.preview("cancel", wanted)) == (7, False)
    assert await client.act_on("cancel", wanted, reason="all of them") == {"done": 7}
    assert (await client.preview("cancel", wanted)).jobs == 0
    assert await client.act_on("kill", [one.id for one in others], reason="these") == {"done": 3}
    assert await client.pause("queue", "a/b", reason="maintenance")
    assert not await client.pause("queue", "a/b", reason="again")
    assert [(one.name, one.paused) for one in await client.limits(scope="queue")] == [("a/b", True)]
    assert await client.resume("queue", "a/b", reason="done")
    assert await client.set_limit("kind", "greet", timeout=timedelta(minutes=1), max_attempts=2, reason="slow")
    assert await client.set_limit("kind", "greet", max_attempts=None, reason="well again")
    assert await client.set_limit("service", "", args_limit=2048, reason="small")
    (limit,) = await client.limits(scope="kind", name="greet")
    assert (limit.timeout, limit.max_attempts, limit.changed_by) == (60, None, ACTOR)
    assert [one.args_limit for one in await client.limits(scope="service", name="")] == [2048]


@pytest.mark.slow
async def test_both_ways_show_the_same(both: Both) -> None:
    """Jobs, pages, the past, tenants, counts, histories, events, replays: one database, one answer, masked."""
    one = await greet.using(client=both.database, owner="bob", tags=["t"], tenant="acme").enqueue("bob@example.org")
    await both.database.enqueue_many([add.using(tenant="acme").call(n) for n in range(3)])
    await fail.using(client=both.service).enqueue()
    await drain(app, both.store)
    parked = await wait.using(client=both.service).enqueue()
    async with both.store.connection() as connection:
        await seal_all(connection)
    token = (await both.database.job(one, token=True)).as_of
    page = await both.database.jobs(limit=2, token=True)
    assert token is not None
    assert page.as_of is not None
    moment = page.as_of.moment
    asked: list[Callable[[Client], Awaitable[Any]]] = [
        lambda client: client.job(one),
        lambda client: client.job(one.id, as_of=token.moment, tenant="acme"),
        lambda client: client.job(parked),
        lambda client: client.jobs(),
        lambda client: client.jobs(tenant="acme", states=["succeeded"], kind="add", queue="math"),
        lambda client: client.jobs(tenant="acme", owner="bob", states=["succeeded"]),
        lambda client: client.jobs(tag="t"),
        lambda client: client.jobs(limit=2, cursor=page.next),
        lambda client: client.jobs(as_of=moment, states=["parked", "ready", "failed"]),
        lambda client: client.tenants(),
        lambda client: client.tenants(after="acme", limit=1),
        lambda client: client.counts(moment),
        lambda client: client.limits(),
        lambda client: client.history(one),
        lambda client: client.history(one, heartbeats=False),
    ]
    for place, ask in enumerate(asked):
        assert await ask(both.service) == await ask(both.database), place
    assert (await both.service.job(one, token=True)).as_of is not None
    moments = (await both.service.jobs(token=True)).as_of
    assert moments is not None
    assert await both.database.jobs(as_of=moments.moment) == await both.service.jobs(as_of=moments.moment)
    tenant = await both.service.tenant("acme", token=True)
    assert tenant.token is not None
    assert await both.service.counts(tenant.token, tenant="acme") == await both.database.counts(
        tenant.token, tenant="acme"
    )
    assert (await both.service.jobs(states=[])).jobs == (await both.database.jobs(states=[])).jobs == []
    for told in (await both.service.tenant("acme"), await both.service.tenant("nobody")):
        same = await both.database.tenant(told.tenant, since=told.history.since if told.history else None)
        assert (told.open.counts, told.open.by_state) == (same.open.counts, same.open.by_state)
    (answer,) = [one async for one in both.service.events(tenant="acme", job=one, types=["job.enqueued"], live=False)]
    assert (answer.data or {})["args"] == {"email": "•••"}
    for wanted in ({}, {"types": ["job.failed", "job.parked"]}, {"queue": "math"}, {"job": one}):
        assert await _events(both.service, **wanted) == await _events(both.database, **wanted)
        assert await _steps(both.service, **wanted) == await _steps(both.database, **wanted)
    feed = both.service.events(tenant="acme", live=False)
    first = await anext(feed)
    assert first.stream_id == one.id
    rest = [event async for event in both.database.events(tenant="acme", after=feed.cursor, live=False)]
    assert rest == [event async for event in feed] or len(rest) > 3


async def test_a_subscription_is_managed(both: Both, client: Client) -> None:
    """Created once, shown, disabled, reset, removed; how it is consumed by both ways stands with its own tests."""
    one = client.subscription("mail", tenant="acme")
    assert await one.create(types=["job.failed"], slices=2, reason="for mail")
    assert not await one.create(types=["job.failed"], slices=2, reason="for mail")
    status = await one.status()
    assert (status.types, status.options.slices, status.disabled) == (("job.failed",), 2, False)
    assert await both.database.subscription("mail", tenant="acme").status() == status
    assert await client.subscriptions() == await client.subscriptions(tenant="acme") == [status]
    assert await client.subscriptions(tenant="other") == []
    assert [part.slice for part in await one.slices()] == [0, 1]
    assert await one.set_aside() == []
    assert await one.disable(reason="broken")
    assert not await one.disable(reason="broken")
    await one.reset(from_end=True, reason="mended")
    assert not (await one.status()).disabled
    assert await one.retry() == await one.drop() == 0
    await one.remove(reason="no more")
    with pytest.raises(NotFound):
        await one.status()


async def test_what_a_service_cannot_do_it_says(both: Both) -> None:
    """No transaction, actor or store reaches through it; nor is anything asked before `async with`."""
    service = both.service
    async with both.store.connection() as connection:
        refused: list[Callable[[], Awaitable[object]]] = [
            lambda: greet.using(client=service, conn=connection).enqueue(),
            lambda: service.enqueue("greet", conn=connection),
            lambda: service.enqueue_many([greet.call()], conn=connection),
            lambda: service.enqueue("greet", actor="bob"),
            lambda: service.enqueue_many([greet.call()], actor="bob"),
            lambda: service.cancel(uuid4(), reason="x", actor="bob"),
            lambda: service.pause("queue", "q", reason="x", actor="bob"),
            lambda: service.subscription("s").create(actor="bob"),
        ]
        for refuse in refused:
            with pytest.raises(InvalidArgument):
                await refuse()
    with pytest.raises(InvalidArgument):
        _ = service.store
    for wrong in ({"url": both.url, "source": both.store}, {"key": "jl_x"}, {"url": both.url, "actor": "bob"}):
        with pytest.raises(InvalidArgument):
            Client(**wrong)
    closed = Client(url=both.url, key="jl_key")
    for asked in (closed.jobs(), closed.subscription("s").consume(asyncio.sleep)):
        with pytest.raises(Unreachable, match="async with"):
            await asked
    assert not (await both.database.jobs()).jobs


async def _told(fault: Callable[[Client], Awaitable[object]], client: Client) -> tuple[type, str, object]:
    with pytest.raises(JobledgerError) as raised:
        await fault(client)
    return type(raised.value), raised.value.message, raised.value.detail


async def _events(client: Client, **wanted: Any) -> list[tuple[Any, str | None]]:
    feed = client.events(live=False, **wanted)
    # Where events are one tenant's, a service tells no positions: they are everybody's.
    return [(event.model_copy(update={"position": 0}), feed.cursor) async for event in feed]


async def _steps(client: Client, **wanted: Any) -> list[Any]:
    return [one._replace(event=one.event.model_copy(update={"position": 0})) async for one in client.replay(**wanted)]


def _plain(enqueued: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in enqueued.items() if name != "unique"}


def _row(job: Any) -> Any:
    return job._replace(id=None, head=None, enqueued_at=None, run_at=None)
