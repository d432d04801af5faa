"""A server process of a measurement: the service, or a bare handler that only parses and validates the same body.

Reads one line of orders, prints its URL, and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import orjson
from aiohttp import web

from jobledger.bench.child import end_with_parent
from jobledger.http.enqueue import NewJob
from jobledger.http.server import listening
from jobledger.http.service import Service
from jobledger.ids import new_id
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.worker import loops
from jobledger.worker.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class Orders:
    """What the process serves: the service over a database, or (`dsn` None) the bare handler.

    `keeps`: it keeps the database going as well, as `jobledger serve` does.
    """

    dsn: str | None = None
    keeps: bool = False

    def line(self) -> str:
        """Return it as one line."""
        return json.dumps({"dsn": self.dsn, "keeps": self.keeps})

    @classmethod
    def read(cls, line: str) -> Self:
        """Return the orders of a line."""
        return cls(**json.loads(line))


async def _bare(request: web.Request) -> web.Response:
    """Parse, validate, answer: what nobody can do without."""
    job = NewJob.model_validate_json(await request.read())
    text = orjson.dumps({"id": str(new_id()), "tenant": job.tenant, "created": True})
    return web.Response(body=text, status=201, content_type="application/json")


@asynccontextmanager
async def _bare_url() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/v1/jobs", _bare)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _service_url(dsn: str, keeps: bool) -> AsyncIterator[str]:
    settings = Settings(http_port=0, http_drain_s=0)
    async with (
        await Store.connect(dsn, settings=settings, application_name="jobledger-bench-worker") as store,
        Keeper(store, settings) if keeps else nullcontext(),
        listening(Service(store, settings=settings)) as url,
    ):
        yield url


async def main() -> None:
    """Serve as ordered."""
    orders = Orders.read(await asyncio.to_thread(sys.stdin.readline))
    async with _bare_url() if orders.dsn is None else _service_url(orders.dsn, orders.keeps) as url:
        sys.stdout.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    end_with_parent()
    loops.run(main())
