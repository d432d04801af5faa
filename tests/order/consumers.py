"""A consumer of a subscription as a process of its own, which writes down what it is given: `python -m … DSN NAME`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import asyncpg

from jobledger import Client
from jobledger.order import consumer

if TYPE_CHECKING:
    from jobledger.events import Event


async def consume(dsn: str, name: str) -> None:
    """Consume until killed; each event takes its time, and is written before its handler returns."""
    # So that a checkpoint which comes too soon is seen.
    setattr(consumer, "CHECKPOINT_S", 0.01)  # noqa: B010 - a constant to all others
    sql = await asyncpg.connect(dsn)

    async def handler(event: Event) -> None:
        await sql.execute("select pg_sleep(0.02)")
        await sql.execute("insert into consumed (stream, version) values ($1, $2)", event.stream_id, event.version)

    async with Client(dsn) as client:
        await client.subscription(name).consume(handler)


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1], sys.argv[2]))
