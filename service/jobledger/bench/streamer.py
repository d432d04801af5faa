"""The process of `bench sse` that serves: run as `python -m jobledger.bench.streamer`.

In: a line of JSON with the DSN, the seconds that a slow client gets, and the streams that may be open. Out: a line of
JSON with its URL. Then for each line in a line of JSON out: its resident bytes, CPU seconds, and clients cut off.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from jobledger.bench.child import end_with_parent
from jobledger.bench.noop import Noop
from jobledger.bench.processes import resident_bytes
from jobledger.http.access import Access
from jobledger.http.server import listening
from jobledger.http.service import Service
from jobledger.observations import StreamDropped, listeners
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.store.roles import Role
from jobledger.worker import loops

if TYPE_CHECKING:
    from aiohttp import web

    from jobledger.observations import Observation


async def _anyone(_: web.Request) -> Access:
    return Access("bench", frozenset({Role.READ}))


async def _run(orders: dict[str, Any]) -> None:
    settings = Settings(http_port=0, http_write_s=orders["write_s"], http_streams=orders["streams"])
    dropped = 0

    def count(observation: Observation) -> None:
        nonlocal dropped
        dropped += isinstance(observation, StreamDropped)

    listeners.append(count)
    async with await Store.connect(orders["dsn"], application_name="jobledger-bench-streamer") as store:
        await Noop().app.register(store)
        service = Service(store, settings=settings, authenticate=_anyone)
        async with listening(service) as url:
            print(json.dumps({"url": url}), flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                facts = {"resident": resident_bytes(), "cpu_s": time.process_time(), "dropped": dropped}
                print(json.dumps(facts), flush=True)


def main() -> None:
    """Read the orders, serve until the input ends."""
    end_with_parent()
    loops.run(_run(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    main()
