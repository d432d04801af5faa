"""The doctor tells of subscriptions and webhooks that stand still, lag, or have set events aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.order.stress import seal_all
from tests.order.test_epochs import moved_elsewhere
from tests.store.test_doctor import of

from jobledger import Client
from jobledger.delivery.webhooks import Webhooks
from jobledger.order import checkpoints
from jobledger.order.consumer import Consumer
from jobledger.store import doctor_readers
from jobledger.store.doctor import examine
from jobledger.store.recovery import open_store

if TYPE_CHECKING:
    import pytest

    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock


async def enqueued(client: Client) -> None:
    """Enqueue a job and seal it."""
    await client.enqueue("noop")
    async with client.store.connection() as connection:
        await seal_all(connection)


async def test_a_subscription_that_lags_or_stands_still_is_told(store: Store, clock: Clock) -> None:
    """Not while it has a moment to catch up; then whether somebody consumes it, and the way out for its tenant."""
    client = Client(store, strict=False)
    mails, feed = client.subscription("mails"), client.subscription("feed", tenant="acme")
    await mails.create()
    await feed.create()
    await enqueued(client)
    assert of(await examine(store, compared=False), "subscriptions") == []
    await clock.advance(seconds=90)
    async with store.connection() as connection:
        one, *_ = await checkpoints.listed(connection, store.shard, name="mails")
        await checkpoints.take(connection, store.shard, one.id, one.id, None)
    told = {one.facts["name"]: one for one in of(await examine(store, compared=False), "subscriptions")}
    assert {one.severity for one in told.values()} == {"warning"}
    assert "consumers: 1" in told["mails"].sentence
    assert "nobody consumes" in told["feed"].sentence
    assert "feed --tenant acme" in str(told["feed"].way_out)
    assert "90 s and 3 events" in told["feed"].sentence
    await mails.disable(reason="flood")
    await feed.remove()
    (left,) = of(await examine(store, compared=False), "subscriptions")
    assert "mails is disabled" in left.sentence
    await mails.reset(from_end=True)
    assert of(await examine(store, compared=False), "subscriptions") == []


async def test_a_log_that_nobody_seals_is_told(store: Store, clock: Clock) -> None:
    """No reader lags then, for none of them gets anything: not before a block, nor after one, nor in a new epoch."""
    client = Client(store, strict=False)

    async def told() -> list[str]:
        return [one.sentence for one in of(await examine(store, compared=False), "sealing")]

    async with store.connection() as connection:
        for elsewhere in (False, False, True):
            if elsewhere:
                await moved_elsewhere(connection)
                await open_store(store)
            assert await told() == []
            await client.enqueue("noop")
            await clock.advance(seconds=50)
            assert await told() == []
            await clock.advance(seconds=50)
            assert ["100 s" in one for one in await told()] == [True]
            await seal_all(connection)
        # One who was writing when the last block was sealed may have committed only now.
        async with store.transaction() as other:
            await other.execute("select jobledger.enqueue('noop')")
            await enqueued(client)
            await clock.advance(seconds=100)
        assert await told() == []


async def test_events_that_were_set_aside_are_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until an operator has them tried again or drops them; as many as there may be are an alarm."""
    client = Client(store, strict=False)
    mails = client.subscription("mails")
    await mails.create(slices=1, max_failures=1)
    await enqueued(client)
    async with store.connection() as connection:
        (one,) = await checkpoints.listed(connection, store.shard)
    async with Consumer(store, one) as consumer:
        (out,) = await consumer.next()
        await consumer.failed(out, ValueError("canary"))
    (told,) = of(await examine(store, compared=False), "subscriptions")
    assert (told.severity, told.facts["aside"]) == ("warning", 1)
    assert "subscriptions set-aside mails" in str(told.way_out)
    monkeypatch.setattr(doctor_readers, "ASIDE_MOST", 1)
    assert [one.severity for one in of(await examine(store, compared=False), "subscriptions")] == ["alarm"]
    await mails.drop()
    assert of(await examine(store, compared=False), "subscriptions") == []


async def test_a_webhook_that_does_not_deliver_is_told(store: Store, clock: Clock) -> None:
    """Whether nobody delivers, its endpoint takes nothing, or it is disabled, and why."""
    client = Client(store, strict=False)
    webhooks = Webhooks(store, tenant="acme")
    made = await webhooks.create("audit", "https://hooks.example.com/jobs")
    await enqueued(client)
    assert of(await examine(store, compared=False), "webhooks") == []
    await clock.advance(seconds=90)
    (told,) = of(await examine(store, compared=False), "webhooks")
    assert "audit of acme lags" in told.sentence
    async with store.connection() as connection:
        await connection.execute(
            "select jobledger.webhook_failed(0::smallint, $1, '{1}', 503, 'status', false, 600)", made.id
        )
    (told,) = of(await examine(store, compared=False), "webhooks")
    assert "1 times in a row (status 503)" in told.sentence
    assert str(made.id) in str(told.way_out)
    await webhooks.disable(made.id, reason="moved")
    (told,) = of(await examine(store, compared=False), "webhooks")
    assert "is disabled" in told.sentence
    assert "moved" in told.sentence
