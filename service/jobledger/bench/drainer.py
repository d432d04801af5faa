"""A worker process of `bench drain` and `bench enqueue`: run as `python -m jobledger.bench.drainer`.

It is spoken to over its standard streams.
In: one line of JSON with the DSN and the concurrency, later `go`. Out: `ready`, then the number of jobs handled so far.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

from jobledger.bench.noop import Noop
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.worker import loops
from jobledger.worker.worker import Worker

_EVERY_S = 0.05


async def _run(dsn: str, concurrency: int) -> None:
    noop = Noop()
    async with await Store.connect(dsn, application_name="jobledger-bench-worker") as store:
        worker = Worker(noop.app, store, concurrency=concurrency, settings=Settings())
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        counting = asyncio.create_task(_count(noop))
        try:
            await worker.run()
        finally:
            counting.cancel()


async def _count(noop: Noop) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        print(noop.handled, flush=True)


def main() -> None:
    """Read the orders, connect, wait for `go`, work until killed."""
    orders = json.loads(sys.stdin.readline())
    gc.freeze()
    loops.run(_run(orders["dsn"], orders["concurrency"]))


if __name__ == "__main__":
    main()
