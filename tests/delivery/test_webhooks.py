"""Webhooks: every event of whom they are for arrives signed, in order per job, at least once, whatever goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook
from tests.delivery.endpoint import Endpoint, endpoint
from tests.order.stress import seal_all

from jobledger import Client
from jobledger.delivery import webhook as deliverers
from jobledger.delivery.webhook import Deliverer
from jobledger.delivery.webhooks import Webhooks
from jobledger.order import consumer as consumers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.store.pool import Store


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
