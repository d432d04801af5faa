"""The process of `bench follow` that appends and seals: run as `python -m jobledger.bench.appender`.

In: one line of JSON with the DSN, the jobs, the tenants, the rate (jobs a second) and the clients; then `go`. Out:
`ready` once it is connected, at the end a line of JSON with the seconds that it took. Jobs are enqueued singly, at even
intervals, whatever the last one took: a slow database is not measured by fewer events. With `stride_s` those of so many
seconds at once, so that the client sends them together.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from typing import Any

from jobledger.bench.child import end_with_parent
from jobledger.jobs.client import Client
from jobledger.order.sealer import Sealer
from jobledger.store.pool import Store
from jobledger.worker import loops

_CONNECTIONS = 16


async def _run(orders: dict[str, Any]) -> None:
    clients, stride_s = int(orders["clients"]), float(orders.get("stride_s", 0))
    lent = min(clients, _CONNECTIONS)
    async with await Store.connect(
        orders["dsn"], pool_min=lent, pool_max=lent + 2, application_name="jobledger-bench-appender"
    ) as store:
        client = Client(store, strict=False)
        sealing = asyncio.create_task(Sealer(store).run())
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.monotonic()
        numbers = iter(range(orders["jobs"]))

        async def one_client() -> None:
            for number in numbers:
                due = number / orders["rate"]
                due = due if stride_s == 0 else math.ceil(due / stride_s) * stride_s
                await asyncio.sleep(max(0.0, began + due - time.monotonic()))
                await client.enqueue("bench.noop", tenant=f"tenant-{number % orders['tenants']}")

        await asyncio.gather(*(one_client() for _ in range(clients)))
        print(json.dumps({"elapsed_s": time.monotonic() - began}), flush=True)
        # Seals what is left until it is ended.
        await sealing


def main() -> None:
    """Read the orders, work until killed."""
    end_with_parent()
    loops.run(_run(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    main()
