"""A worker process of a measurement: run as `python -m jobledger.bench.drainer`, spoken to over its standard streams.

In: one line of JSON, its `Orders`; `go`; `times`. Out, in lines of JSON: once it is ready and then 100 times a second
what it has `Done`; after `times` once more, with how long its claims and reports took, and then nothing.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from jobledger.bench.child import end_with_parent
from jobledger.bench.noop import KIND, Noop
from jobledger.bench.processes import resident_bytes
from jobledger.bench.watch import Watch
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.worker import loops
from jobledger.worker.worker import Worker

_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker process is to do: `kind` is the one it knows, `queues` bind it, each job sleeps `sleep_s`.

    With a `url` it works through a service, by the key.
    """

    dsn: str
    concurrency: int
    kind: str = KIND
    queues: dict[str, int | None] | None = None
    sleep_s: float = 0.0
    url: str | None = None
    key: str | None = None

    def line(self) -> str:
        """Return the orders as they are sent."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Done:
    """What a process has done: jobs handled and reported, CPU seconds, resident size, when it last claimed any.

    The moment is by the machine's monotonic clock, which all processes share.
    """

    handled: int = 0
    reported: int = 0
    cpu_s: float = 0.0
    resident_bytes: int = 0
    claimed_at: float = 0.0
    times: dict[str, list[float]] = field(default_factory=dict)


async def _run(orders: Orders) -> None:
    noop = Noop(kind=orders.kind, sleep_s=orders.sleep_s)
    watch = Watch()
    async with AsyncExitStack() as stack:
        how: dict[str, Any] = {"url": orders.url, "key": orders.key}
        if orders.url is None:
            connecting = Store.connect(orders.dsn, application_name="jobledger-bench-worker", pool_min=5)
            how = {"database": await stack.enter_async_context(await connecting)}
        bounds: dict[str, Any] = {"concurrency": orders.concurrency, "queues": orders.queues}
        worker = Worker(noop.app, **how, **bounds, settings=Settings())
        _tell(Done(cpu_s=time.process_time(), resident_bytes=resident_bytes()))
        await asyncio.to_thread(sys.stdin.readline)
        counting = asyncio.create_task(_count(noop, watch))
        asking = asyncio.create_task(_answer(watch, counting))
        try:
            await worker.run()
        finally:
            counting.cancel()
            asking.cancel()


async def _count(noop: Noop, watch: Watch) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        _tell(Done(noop.handled, watch.reported, time.process_time(), resident_bytes(), watch.claimed_at))


async def _answer(watch: Watch, counting: asyncio.Task[None]) -> None:
    await asyncio.to_thread(sys.stdin.readline)
    counting.cancel()
    _tell(Done(times=dict(watch.document())))


def _tell(done: Done) -> None:
    print(json.dumps(asdict(done)), flush=True)


def main() -> None:
    """Read the orders, connect, wait for `go`, work until killed."""
    end_with_parent()
    orders = Orders(**json.loads(sys.stdin.readline()))
    gc.freeze()
    loops.run(_run(orders))


if __name__ == "__main__":
    main()
