"""A fake endpoint for pushed jobs: it refuses some requests, loses some jobs, and counts what it was sent."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson
from aiohttp import web

from jobledger.delivery import signature
from jobledger.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class FakeEndpoint:
    """Takes pushed jobs on a port of this machine, inside `async with`; `url` is where.

    `handler` gets each job as it was delivered and returns its outcome, such as `{"outcome": "succeeded"}` (None: so);
    it is cancelled when the service gives the request up.
    Of all requests the share `refuse` is answered with 503. Of all jobs the share `lose` is accepted and never
    reported, each once; the share `later` is accepted and reported with its token. `secret`, once it is set, checks
    signatures. `seed` makes the dice fall the same.

    The service that delivers must be allowed to: `Settings(send_private=True)`.
    """

    def __init__(
        self,
        handler: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]] | None = None,
        *,
        refuse: float = 0.0,
        lose: float = 0.0,
        later: float = 0.0,
        secret: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Prepare; nothing listens yet."""
        self.refuse = refuse
        self.lose = lose
        self.later = later
        self.secret = secret
        self.requests = 0
        self.refused = 0
        self.unsigned = 0
        self.largest = 0
        """The most jobs that one request had."""
        self.delivered: Counter[str] = Counter()
        """How often each job was delivered, by its id; requests that were refused do not count."""
        self.lost: Counter[str] = Counter()
        self.jobs: list[dict[str, Any]] = []
        """Every job as it was delivered, in the order it came."""
        self.verdicts: list[dict[str, Any]] = []
        """What reports with a token were answered."""
        self._handler = handler
        self._dice = random.Random(seed)  # noqa: S311 - which of a test's jobs are lost is no secret
        self._reporting: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        application = web.Application(client_max_size=256 * 1024 * 1024)
        application.router.add_post("/jobs", self._take)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/jobs"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop; reports under way are given up."""
        for task in tuple(self._reporting):
            task.cancel()
        await asyncio.gather(*self._reporting, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def report(self, job: Mapping[str, Any], **outcome: Any) -> dict[str, Any]:
        """Report a job that was delivered, with its token, and return the answer, with its `status`."""
        assert self._session is not None  # noqa: S101 - inside the block
        async with self._session.post(job["report_url"], json=outcome) as answer:
            found: dict[str, Any] = {**await answer.json(content_type=None), "status": answer.status}
        self.verdicts.append(found)
        return found

    async def settled(self) -> None:
        """Wait until every report under way was answered."""
        while self._reporting:
            await asyncio.gather(*self._reporting, return_exceptions=True)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests += 1
        if self.secret is not None:
            try:
                signature.verify(self.secret, request.headers, body)
            except Unauthenticated:
                self.unsigned += 1
                return web.Response(status=401)
        if self._dice.random() < self.refuse:
            self.refused += 1
            return web.Response(status=503)
        jobs = orjson.loads(body)["jobs"]
        self.largest = max(self.largest, len(jobs))
        self.jobs += jobs
        told = [{"id": job["id"], **await self._outcome(job)} for job in jobs]
        return web.Response(body=orjson.dumps({"jobs": told}), content_type="application/json")

    async def _outcome(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        self.delivered[job["id"]] += 1
        fate = self._dice.random()
        if fate < self.lose and self.delivered[job["id"]] == 1:
            self.lost[job["id"]] += 1
            return {"outcome": "accepted"}
        outcome = await self._handler(job) if self._handler is not None else None
        outcome = outcome or {"outcome": "succeeded"}
        if fate < self.lose + self.later:
            task = asyncio.get_running_loop().create_task(self._report_later(job, outcome))
            self._reporting.add(task)
            task.add_done_callback(self._reporting.discard)
            return {"outcome": "accepted"}
        return outcome

    async def _report_later(self, job: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
        await asyncio.sleep(0)
        await self.report(job, **outcome)
