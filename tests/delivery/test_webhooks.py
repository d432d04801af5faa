"""Webhooks: every event of whom they are for arrives signed, in order per job, at least once, whatever goes wrong."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from standardwebhooks import Webhook
from tests.delivery.endpoint import Endpoint, endpoint
from tests.faults.conftest import until
from tests.order.stress import seal_all

from jobledger import Client
from jobledger.delivery import signature
from jobledger.delivery import webhook as deliverers
from jobledger.delivery.webhook import Deliverer
from jobledger.delivery.webhooks import Webhooks, label_of, signing
from jobledger.errors import AddressRefused, BadCursor, BadInput, InvalidArgument, NotFound, SubscriptionDiffers
from jobledger.ids import new_id
from jobledger.observations import WebhookDisabled, observing
from jobledger.order import consumer as consumers
from jobledger.order.checkpoints import slice_of
from jobledger.store.pool import Store
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from aiohttp import web

    from jobledger.testing.clock import Clock


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    """Give a client on the test's own database."""
    async with Client(store, strict=False, actor="ada") as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let consumers look every 20 ms what they have."""
    monkeypatch.setattr(consumers, "CHECKPOINT_S", 0.02)
    monkeypatch.setattr(deliverers, "RENEW_S", 0.05)
    monkeypatch.setattr(deliverers, "_AGAIN_S", 0.05)


@pytest.fixture
async def hook() -> AsyncIterator[Endpoint]:
    """Give an endpoint."""
    async with endpoint() as made:
        yield made


def delivering(store: Store, **options: Any) -> Deliverer:
    """Return a deliverer that is quick, and may send to the loopback."""
    return Deliverer(store, private=True, **{"look_s": 0.02, "backoff_s": 0.01, **options})


async def sealed(store: Store) -> None:
    """Seal what was committed."""
    async with store.connection() as connection:
        await seal_all(connection)


async def test_a_tenants_webhook_gets_that_tenants_events_signed(client: Client, hook: Endpoint) -> None:
    """One request an event, each a CloudEvent that the reference package verifies, without the position of the log."""
    store = client.store
    acme = Webhooks(store, tenant="acme", private=True)
    made = await acme.create("audit", hook.url)
    for tenant in ("acme", "other", "acme"):
        await client.enqueue("mail", tenant=tenant)
    await sealed(store)
    async with delivering(store):
        await hook.until(lambda: len(hook.taken) >= 3)
    assert [one["type"] for one in hook.taken] == [
        "dev.jobledger.webhook.created",
        "dev.jobledger.job.enqueued",
        "dev.jobledger.job.enqueued",
    ]
    for headers, body in hook.requests:
        document = Webhook(made.secret).verify(body, headers)
        assert document["tenant"] == "acme"
        assert headers["webhook-id"] == document["id"]
        assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert "position" not in document
        assert "cursor" not in document
    assert len({headers["webhook-id"] for headers, _ in hook.requests}) == 3


async def test_a_filter_and_a_batch_are_as_they_were_made(client: Client, hook: Endpoint) -> None:
    """An owner's webhook gets that owner's jobs only, by type and queue; with a batch a request has a list."""
    store = client.store
    made = await Webhooks(store, tenant="acme", owner="ada", private=True).create(
        "hers", hook.url, types=["job.enqueued", "job.cancelled"], queue="mail", batch=10
    )
    jobs = [
        await client.enqueue("mail", tenant=tenant, owner=owner, queue=queue)
        for tenant, owner, queue in (
            *(("acme", "ada", "mail"), ("acme", "bob", "mail"), ("other", "ada", "mail")),
            *(("acme", "ada", "default"), ("acme", "ada", "mail")),
        )
    ]
    await client.cancel(jobs[0].id, tenant="acme", reason="test")
    await sealed(store)
    async with delivering(store):
        await hook.until(lambda: len(hook.taken) >= 3)
    assert [(one["subject"], one["type"]) for one in hook.taken] == [
        (f"job/{jobs[0].id}", "dev.jobledger.job.enqueued"),
        (f"job/{jobs[4].id}", "dev.jobledger.job.enqueued"),
        (f"job/{jobs[0].id}", "dev.jobledger.job.cancelled"),
    ]
    for headers, body in hook.requests:
        assert isinstance(Webhook(made.secret).verify(body, headers), list)
        assert headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert len(hook.requests) < 3


@pytest.mark.slow
async def test_an_endpoint_that_fails_gets_everything_in_the_order_of_each_job(client: Client, hook: Endpoint) -> None:
    """Every second request fails, some hang, one event is refused five times: none is lost, none overtakes its job."""
    store = client.store
    await Webhooks(store, private=True).create("all", hook.url, types=["job.enqueued", "job.cancelled"], batch=3)
    jobs = [(await client.enqueue("noop", tenant=f"t{n % 3}")).id for n in range(20)]
    for place, job in enumerate(jobs):
        await client.cancel(job, tenant=f"t{place % 3}", reason="test")
    await sealed(store)
    refused = {f"{jobs[7]}/1": 5, f"{jobs[11]}/2": 3}
    chance = random.Random(6)  # noqa: S311

    async def answer(_: web.Request, events: list[dict[str, Any]]) -> int:
        for event in events:
            if refused.get(event["id"], 0) > 0:
                refused[event["id"]] -= 1
                return 422
        choice = chance.random()
        if choice < 0.1:
            await asyncio.sleep(5)
        return 500 if choice < 0.4 else 204

    hook.answer = answer
    async with delivering(store, timeout_s=0.1):
        wanted = {f"{job}/{n}" for job in jobs for n in (1, 2)}
        await hook.until(lambda: {(one["id"]) for one in hook.taken} >= wanted, 90)
    assert not any(refused.values())
    first: dict[str, list[str]] = {}
    for one in hook.taken:
        order = first.setdefault(one["subject"], [])
        if one["id"] not in order:
            order.append(one["id"])
    assert all(ids == [f"{ids[0][:36]}/1", f"{ids[0][:36]}/2"] for ids in first.values())


@pytest.mark.parametrize("status", [422, 500])
async def test_what_waits_for_one_job_does_not_hold_up_others(
    client: Client, hook: Endpoint, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """While an event is not taken the jobs of other slices go on; the webhook is failing, and well again after it."""
    # So that a slice that is well again is told of for that, and not because it is time.
    monkeypatch.setattr(deliverers, "_TELL_S", 1e9)
    store = client.store
    webhooks = Webhooks(store, private=True)
    made = await webhooks.create("all", hook.url, types=["job.enqueued"])
    await webhooks.create("lists", hook.url, types=["job.enqueued"], batch=12)
    jobs = [(await client.enqueue("noop")).id for _ in range(12)]
    await sealed(store)
    bad = jobs[0]
    others = {f"{job}/1" for job in jobs if slice_of(job, 8) != slice_of(bad, 8)}
    taking = False
    single: set[str] = set()
    listed: set[str] = set()

    async def answer(request: web.Request, events: list[dict[str, Any]]) -> int:
        if not taking and any(one["id"] == f"{bad}/1" for one in events):
            # What is wrong with one event of a list is no reason for the others to wait.
            return status
        (listed if "batch" in request.content_type else single).update(one["id"] for one in events)
        return 204

    hook.answer = answer
    async with delivering(store):
        await hook.until(lambda: single >= others and listed >= others)
        await hook.until(lambda: sum(f"{bad}/1".encode() in body for _, body in hook.requests) > 5)
        await _state(webhooks, made.id, "failing")
        row = await webhooks.get(made.id)
        assert row.failing_since is not None
        assert row.failures > 0
        taking = True
        await hook.until(lambda: len(single) == len(listed) == 12)
        await _state(webhooks, made.id, "active")
    row = await webhooks.get(made.id)
    assert (row.failing_since, row.failures, row.last_status) == (None, 0, 204)


async def test_an_endpoint_that_is_gone_or_failed_too_long_is_sent_nothing_more(
    client: Client, clock: Clock, hook: Endpoint
) -> None:
    """410 disables at once, failures after their time; both say so, and a reset goes on without a gap."""
    store = client.store
    webhooks = Webhooks(store, tenant="acme", private=True)
    made = await webhooks.create("all", hook.url, types=["job.enqueued"])
    jobs = [(await client.enqueue("noop", tenant="acme")).id]
    await sealed(store)
    status = 410

    async def answer(_: web.Request, __: Any) -> int:
        return status

    hook.answer = answer
    with observing(WebhookDisabled) as told:
        async with delivering(store, disable_s=3 * 86_400):
            await _state(webhooks, made.id, "disabled")
            assert len(hook.requests) == 1
            status = 503
            await webhooks.reset(made.id, reason="mended")
            await _state(webhooks, made.id, "failing")
            await clock.set(await clock.now() + timedelta(days=3, minutes=1))
            await _state(webhooks, made.id, "disabled")
            sent = len(hook.requests)
            jobs.append((await client.enqueue("noop", tenant="acme")).id)
            await sealed(store)
            status = 204
            assert "gone" not in ((await webhooks.get(made.id)).disabled_reason or "")
            assert len(hook.requests) == sent
            await webhooks.reset(made.id)
            await hook.until(lambda: len(hook.taken) == 2)
            await webhooks.rotate(made.id, reason="leaked")
            await webhooks.remove(made.id)
    assert [one.reason for one in told] == ["gone", "failed_too_long"]
    assert [one["id"] for one in hook.taken] == [f"{job}/1" for job in jobs]
    await sealed(store)
    told_of = [one async for one in client.events(tenant="acme", live=False) if one.type.startswith("webhook.")]
    acts = ("created", "disabled", "reset", "disabled", "reset", "rotated", "removed")
    assert [one.type.removeprefix("webhook.") for one in told_of] == list(acts)
    assert [one.version for one in told_of] == list(range(1, 8))
    assert all((one.data or {})["name"] == "all" for one in told_of)
    assert "whsec" not in str(told_of)


async def test_a_webhook_is_replayed_from_where_it_is_said(client: Client, hook: Endpoint) -> None:
    """From the start, a time, a cursor of its tenant; it begins at the end; other tenants' cursors are none."""
    store = client.store
    webhooks = Webhooks(store, tenant="acme", private=True)
    old = [(await client.enqueue("noop", tenant="acme")).id for _ in range(3)]
    await sealed(store)
    feed = client.events(tenant="acme", live=False)
    cursors = [feed.cursor async for _ in feed]
    other = client.events(tenant="other", live=False)
    await client.enqueue("noop", tenant="other")
    await sealed(store)
    [strange] = [other.cursor async for _ in other]
    made = await webhooks.create("all", hook.url, types=["job.enqueued"])
    new = (await client.enqueue("noop", tenant="acme")).id
    await sealed(store)
    ids = [f"{job}/1" for job in (*old, new)]
    resets: list[tuple[dict[str, Any] | None, list[str]]] = [
        (None, ids[3:]),
        ({"from_start": True}, ids),
        ({"after": cursors[1]}, ids[2:]),
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, ids),
        ({"from_end": True}, []),
    ]
    async with delivering(store):
        for place, expected in resets:
            began = len(hook.taken)
            if place is not None:
                await webhooks.reset(made.id, **place)

            async def has_come(began: int = began, expected: list[str] = expected) -> bool:
                # Once all is checkpointed nothing comes again; what was under way at a reset may have come twice.
                [row] = await Webhooks(store).all()
                return set(_taken(hook)[began:]) >= set(expected) and row.behind == 0

            await until(has_come)
            assert list(dict.fromkeys(_taken(hook)[began:])) == expected
    for wrong in (strange, f"p{str(cursors[0])[1:]}", "x"):
        with pytest.raises(BadCursor):
            await webhooks.reset(made.id, after=wrong)
    with pytest.raises(NotFound):
        await Webhooks(store, tenant="other").reset(made.id, from_start=True)


async def test_what_changes_is_noticed_while_it_is_delivered(client: Client, hook: Endpoint) -> None:
    """A webhook that is new, has another secret or is removed: the deliverer needs no other word."""
    store = client.store
    webhooks = Webhooks(store, private=True)
    async with delivering(store) as deliverer, endpoint() as second:
        made = await webhooks.create("one", hook.url, types=["job.enqueued"])
        await _deliver(client, hook)
        assert len(hook.requests[-1][0]["webhook-signature"].split()) == 1
        rotated = await webhooks.rotate(made.id)

        async def changed() -> bool:
            await _deliver(client, hook)
            return len(hook.requests[-1][0]["webhook-signature"].split()) == 2

        await until(changed)
        headers, body = hook.requests[-1]
        for secret in (rotated, made.secret):
            Webhook(secret).verify(body, headers)
        await webhooks.create("two", second.url, types=["job.enqueued"])
        await webhooks.remove(made.id)
        await until(lambda: made.id not in deliverer._tasks)
        before = len(hook.requests)
        await _deliver(client, second)
        assert len(hook.requests) == before
        again = await webhooks.create("one", hook.url, types=["job.enqueued"])
        assert again.id != made.id
        assert again.secret not in (made.secret, rotated)


async def test_two_deliverers_share_and_repeat_nothing(client: Client, hook: Endpoint) -> None:
    """Each has slices and each event is sent by one of them; when one leaves the other goes on with all."""
    store = client.store
    made = await Webhooks(store, private=True).create("all", hook.url, types=["job.enqueued"])

    async def shared() -> bool:
        return len({one.consumer for one in await client.subscription(f"webhook:{made.id}").slices()} - {None}) == 2

    async with delivering(store):
        async with delivering(store):
            await until(shared)
            jobs = [(await client.enqueue("noop")).id for _ in range(30)]
            await sealed(store)
            await hook.until(lambda: len(hook.taken) >= 30)
            await _is_done(store)
        jobs += [(await client.enqueue("noop")).id for _ in range(10)]
        await sealed(store)
        await hook.until(lambda: len(hook.taken) >= 40)
    assert sorted(_taken(hook)) == sorted(f"{job}/1" for job in jobs)


END = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and application_name not in ('', 'jobledger')
"""
"""All but the test's own: also those that its pool has opened meanwhile are spared."""


@pytest.mark.slow
async def test_lost_connections_to_the_database_lose_no_event(client: Client, hook: Endpoint, database: str) -> None:
    """A deliverer's connections are all ended under way, three times: it goes on by itself, each job in order."""
    store = client.store
    await Webhooks(store, private=True).create("all", hook.url, types=["job.enqueued", "job.cancelled"])
    jobs: list[UUID] = []
    sql = await asyncpg.connect(database)
    async with await Store.connect(database, application_name="deliverer") as other, delivering(other):
        for turn in range(3):
            for _ in range(10):
                jobs.append((await client.enqueue("noop", tenant="t")).id)
                await client.cancel(jobs[-1], tenant="t", reason="test")
            await sealed(store)
            wanted = turn * 20 + 5
            await hook.until(lambda wanted=wanted: len(hook.taken) >= wanted)  # type: ignore[misc]
            assert await sql.fetchval(END) > 0
            ids = {f"{job}/{version}" for job in jobs for version in (1, 2)}
            await hook.until(lambda ids=ids: set(_taken(hook)) >= ids)  # type: ignore[misc]
    await sql.close()
    for job in jobs:
        places = [_taken(hook).index(f"{job}/{version}") for version in (1, 2)]
        assert places == sorted(places)


def test_the_secret_before_signs_for_a_day_and_no_longer() -> None:
    """After a rotation there are two signatures, a day later one, and never that of a third secret."""
    key, webhook = ServiceKey(b"k" * 32), new_id()
    for age, generation, count in ((None, 1, 1), (1, 2, 2), (1, 5, 2), (25, 5, 1)):
        rotated_at = None if age is None else datetime.now(UTC) - timedelta(hours=age)
        given = signing(key, webhook, generation, rotated_at)
        assert given == [signature.secret(key, label_of(webhook), generation - n) for n in range(count)]


def test_the_pause_doubles_up_to_an_hour_and_is_as_long_as_the_endpoint_asks() -> None:
    """Spread by a quarter; `Retry-After` makes it longer, not shorter."""
    deliverer = Deliverer(Any)  # type: ignore[arg-type]  # asked nothing
    for failures, middle in ((1, 1), (2, 2), (5, 16), (12, 2048), (13, 3600), (1000, 3600)):
        pauses = [deliverer._pause_s(failures, None) for _ in range(50)]
        assert middle * 0.75 <= min(pauses) < max(pauses) <= middle * 1.25
    assert deliverer._pause_s(1, 50.0) == 50
    assert deliverer._pause_s(13, 50.0) > 2000


async def test_what_cannot_be_a_webhook_is_refused(client: Client) -> None:
    """Addresses that requests are not sent to, other content under the same name, names and filters out of rule."""
    webhooks = Webhooks(client.store, tenant="acme")
    url = "https://hooks.example.com/"
    made = await webhooks.create("one", url)
    again = await webhooks.create("one", url)
    assert (again.id, again.secret, made.created, again.created) == (made.id, made.secret, True, False)
    others: list[dict[str, Any]] = [{"url": url + "x"}, {"batch": 2}, {"types": ["job.failed"]}]
    for other in others:
        with pytest.raises(SubscriptionDiffers):
            await webhooks.create("one", **{"url": url, **other})
    for refused in ("http://hooks.example.com/", "https://127.0.0.1/"):
        with pytest.raises(AddressRefused):
            await webhooks.create("two", refused)
    faults: list[dict[str, Any]] = [
        *({"types": []}, {"types": ["no.event"]}, {"batch": 0}, {"batch": 101}, {"name": " "}, {"after": "x"}),
    ]
    for wrong in faults:
        with pytest.raises(BadInput):
            await webhooks.create(**{"name": "two", "url": url, **wrong})
    for of in (Webhooks(client.store, tenant="other"), Webhooks(client.store, tenant="acme", owner="ada")):
        assert await of.all() == []
        for act in (of.get, of.reset, of.disable, of.rotate, of.test, of.remove):
            with pytest.raises(NotFound):
                await act(made.id)
    with pytest.raises(InvalidArgument, match="webhook"):
        await client.subscription(f"webhook:{made.id}", tenant="acme").reset(from_start=True)
    with pytest.raises(InvalidArgument, match="webhook"):
        await client.subscription("webhook:1", tenant="acme").create()
    assert await client.subscriptions() == []
    assert [one.behind for one in await webhooks.all()] == [None]


def _taken(hook: Endpoint) -> list[str]:
    return [one["id"] for one in hook.taken]


async def _deliver(client: Client, hook: Endpoint) -> None:
    """Enqueue a job, and wait until its event was taken."""
    job = (await client.enqueue("noop")).id
    await sealed(client.store)
    await hook.until(lambda: f"{job}/1" in _taken(hook))


async def _is_done(store: Store) -> None:
    """Wait until all that was sent is checkpointed: it does not come again."""

    async def nothing_behind() -> bool:
        return all(one.behind == 0 for one in await Webhooks(store).all())

    await until(nothing_behind)


async def _state(webhooks: Webhooks, webhook: UUID, state: str) -> None:
    async def is_so() -> bool:
        return (await webhooks.get(webhook)).state == state

    await until(is_so)
