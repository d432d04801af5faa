"""An endpoint for a test: it keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Answer = int | web.StreamResponse


class Endpoint:
    """What was sent: `requests` as (headers, body), `taken` the events that were answered with 2xx, in order."""

    def __init__(self) -> None:
        """Take everything, until `answer` says otherwise."""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[dict[str, Any]] = []
        self.answer: Callable[[web.Request, list[dict[str, Any]]], Awaitable[Answer]] | None = None
        self.changed = asyncio.Condition()
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Keep a request and answer it."""
        body = await request.read()
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, body))
        given = orjson.loads(body)
        events = given if isinstance(given, list) else [given]
        answer = 204 if self.answer is None else await self.answer(request, events)
        status = answer if isinstance(answer, int) else answer.status
        if status < 300:
            self.taken += events
        async with self.changed:
            self.changed.notify_all()
        return web.Response(status=answer) if isinstance(answer, int) else answer

    async def until(self, said: Callable[[], bool], timeout_s: float = 20) -> None:
        """Wait until something is so, looked at after each request."""
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(said)

    def by_job(self) -> dict[str, list[int]]:
        """Return the versions of each stream as they were taken."""
        found: dict[str, list[int]] = defaultdict(list)
        for event in self.taken:
            stream, _, version = event["id"].rpartition("/")
            found[stream].append(int(version))
        return found


@asynccontextmanager
async def endpoint(port: int = 0) -> AsyncIterator[Endpoint]:
    """Listen on a port of the loopback."""
    made = Endpoint()
    application = web.Application()
    application.router.add_post("/{path:.*}", made.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield made
    finally:
        await runner.cleanup()
