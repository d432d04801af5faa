"""A worker process of `bench pickup`: run as `python -m jobledger.bench.noting`, spoken to over its standard streams.

In: one line of JSON with the DSN, the concurrency and `notify`. Out: `ready` once it claims, then for each job that
starts its id and the moment, by the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING

from jobledger.bench.child import end_with_parent
from jobledger.jobs.app import App
from jobledger.jobs.context import Context  # noqa: TC001 - the handler's signature is read at run time
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.worker import loops
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from jobledger.jobs.kind import AsyncContextJob


def noting(tell: Callable[[UUID, float], None]) -> tuple[App, AsyncContextJob[[], None]]:
    """Return an app and its one kind, whose handler tells which job it is and when it began."""
    app = App("bench")

    @app.job(name="bench.pickup")
    async def note(context: Context) -> None:
        tell(context.id, time.monotonic())

    return app, note


async def _run(dsn: str, concurrency: int, notify: str) -> None:
    app, _ = noting(lambda job, at: print(job, at, flush=True))
    async with (
        await Store.connect(dsn, application_name="jobledger-bench-worker") as store,
        Worker(app, store, concurrency=concurrency, settings=Settings(notify=notify)),
    ):
        print("ready", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Read the orders, work until killed."""
    end_with_parent()
    orders = json.loads(sys.stdin.readline())
    loops.run(_run(orders["dsn"], orders["concurrency"], orders["notify"]))


if __name__ == "__main__":
    main()
