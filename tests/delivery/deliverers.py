"""A process that delivers for every webhook until it is killed: `python -m tests.delivery.deliverers DSN`."""

from __future__ import annotations

import asyncio
import sys

from jobledger.delivery import webhook
from jobledger.delivery.webhook import Deliverer
from jobledger.store.pool import Store


async def deliver(dsn: str) -> None:
    """Deliver until killed, to the loopback."""
    setattr(webhook, "RENEW_S", 0.3)  # noqa: B010 - a constant to all others
    async with await Store.connect(dsn) as store, Deliverer(store, private=True, look_s=0.1, backoff_s=0.05):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(deliver(sys.argv[1]))
