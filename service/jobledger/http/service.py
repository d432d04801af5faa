"""The service: its routes over one store, and what it keeps while it runs."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from aiohttp import web

from jobledger.errors import JobledgerError, RateLimited
from jobledger.http import (
    acts,
    consumers,
    enqueue,
    events,
    health,
    jobs,
    keys,
    kinds,
    limits,
    push,
    queues,
    reference,
    replay,
    resources,
    subscriptions,
    tenants,
    webhooks,
    work,
    workers,
)
from jobledger.http.access import Access
from jobledger.http.authentication import Authentication
from jobledger.http.crossing import Crossing, origins_of
from jobledger.http.dispatch import expecting, refusing, serving, shadowed, unmatched
from jobledger.http.endings import Endings
from jobledger.http.key_book import ASKS, KeyBook, asking
from jobledger.http.line import LINE_BYTES
from jobledger.http.openapi import describe
from jobledger.http.places import Places
from jobledger.http.rate import Rates
from jobledger.http.reference_page import page
from jobledger.http.route import NDJSON, SSE
from jobledger.http.running import Running
from jobledger.http.seats import Seats
from jobledger.http.stream import Streams
from jobledger.http.workroom import Workroom
from jobledger.jobs.catalogue import Catalogue
from jobledger.jobs.client import Client
from jobledger.jobs.database import DatabaseDoor
from jobledger.jobs.fitting import Fitting
from jobledger.observations import LimitMet, emit
from jobledger.settings import Settings
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from jobledger.delivery.push import Pusher
    from jobledger.http.route import Route
    from jobledger.jobs.app import App
    from jobledger.order.reader import Feed
    from jobledger.store.pool import Store

IDLE_S: Final = 75.0
"""Seconds that a connection may take for its next request, from the end of the last to the end of its head."""
LINGER_S: Final = 2.0
"""Seconds for which the rest of a refused body is taken in, so that its sender reads the answer."""
_STREAMS: Final = {SSE, NDJSON}
PARTS: Final = (
    enqueue.routes,
    acts.routes,
    jobs.routes,
    tenants.routes,
    queues.routes,
    kinds.routes,
    work.routes,
    workers.routes,
    limits.routes,
    push.routes,
    events.routes,
    replay.routes,
    subscriptions.routes,
    consumers.routes,
    webhooks.routes,
    keys.routes,
    reference.routes,
    health.routes,
)
"""The routes of every part, in the order of the reference."""


class Service:
    """One process's service. `application` is what aiohttp runs; its start and end are this service's."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Settings | None = None,
        app: App | None = None,
        authenticate: Callable[[web.Request], Awaitable[Access]] | None = None,
    ) -> None:
        """Put the routes together; nothing is sent yet. `authenticate` says who asks (default: keys, tokens, JWTs)."""
        self.store = store
        self.settings = settings or Settings()
        self.app = app
        self.client = Client(store, app=app)
        self.nobody = Access("nobody", frozenset(), frozenset())
        self.book = KeyBook(store)
        self.authenticate = authenticate or Authentication(self.book, self.settings)
        self.crossing = Crossing(origins_of(self.settings.http_origins))
        self.door = DatabaseDoor(store)
        self.catalogue = Catalogue(self.door)
        self.strict = app is None or app.strict
        self.layers = app.enqueue_layers if app is not None else []
        self.fitting = Fitting()
        self.rates = Rates(self.settings.http_rate)
        self.ending = False
        """Whether it was asked to end; it still serves while pushed jobs report."""
        self.draining = asyncio.Event()
        self.hurry = asyncio.Event()
        """Set when what is under way at the end is waited for no longer."""
        self.running = Running(self.settings.http_request_s)
        self.endings = Endings(store, self.draining)
        self.started = time.monotonic()
        self.work = Workroom(store, self.settings)
        self.seats = Seats(store)
        self.pusher: Pusher | None = None
        """What delivers pushed queues in this process, while it does."""
        self.places = Places(self.settings.http_streams)
        self.streams = Streams()
        self.application = web.Application(
            middlewares=[self.crossing.answer] if self.settings.http_origins else [],
            client_max_size=self.settings.http_body_bytes,
            handler_args={
                "access_log": None,
                "keepalive_timeout": IDLE_S,
                "lingering_time": LINGER_S,
                "max_line_size": LINE_BYTES,
            },
        )
        for route in self.routes:
            handler = serving(self, route)
            # HEAD is GET without the body; a stream is nothing else.
            also = ["HEAD"] if route.method == "GET" and _STREAMS.isdisjoint(route.media) else []
            for method in [route.method, *also]:
                self.application.router.add_route(method, route.path, handler, expect_handler=expecting)
        for path, methods in shadowed(self.routes).items():
            self.application.router.add_route("*", path, refusing(methods), expect_handler=expecting)
        # In the place of a middleware, which every request would pay for.
        self.application.router.add_route(
            "*", "/{path:.*}", unmatched(self.application.router), expect_handler=expecting
        )
        self.application.on_shutdown.append(self._drain)
        self.application.on_shutdown.append(self.work.drain)
        self.application.on_cleanup.append(self.work.close)
        self.application.on_shutdown.append(self.seats.drain)
        self.application.on_cleanup.append(self.seats.close)
        self.application.on_response_prepare.append(self._dress)
        self.application.cleanup_ctx.append(self._keep)

    @cached_property
    def routes(self) -> list[Route]:
        """Every route that this service serves, those of the application's resources last."""
        own = [route for part in PARTS for route in part.all]
        return own + resources.routes_of(self.app, own)

    @cached_property
    def description(self) -> bytes:
        """The OpenAPI document of these routes."""
        return orjson.dumps(describe(self.routes))

    def feed(self, **wanted: Any) -> Feed:
        """Return a feed as `client.events` does, marked arguments masked."""
        return cast("Feed", self.client.events(**wanted))

    async def schema_of(self, kind: str) -> Mapping[str, Any] | None:
        """Return the JSON Schema that a kind's arguments were registered with, as of a minute ago at most."""
        found = await self.catalogue.find(kind)
        return found.schema if found is not None else None

    @cached_property
    def reference(self) -> bytes:
        """The same as a page for people."""
        return page(orjson.loads(self.description)).encode()

    def count(self, access: Access) -> None:
        """Count a request of a key. Raises `RateLimited` where it has made all that it may for now."""
        if not self.rates.take(access):
            rate = access.rate or self.settings.http_rate
            emit(LimitMet("http_rate", 1, rate))
            raise RateLimited(detail={"rate": rate, "retry_after_s": 1})

    @contextmanager
    def hold(self, seconds: float | None = None) -> Iterator[None]:
        """Take a place for an open stream or a waiting request, for a block.

        Raises `Busy` where none is left, and `RateLimited` where a tenant's bearers have half of all.

        `seconds` is for how long it waits at most, beside the time that any request has (None: without end). The
        handler is cancelled once the key that it was asked with counts no more.
        """
        with self.places.held(asking.get()), self.book.watched(), self.running.held(seconds):
            yield

    async def _dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say in an answer's headers what is left of the key's rate, and which pages may read it."""
        access = request.get(ASKS)
        limited = self.rates.left(access) if access is not None else None
        if limited is not None:
            response.headers["RateLimit-Policy"] = f'"key";q={limited[0]};w=1'
            response.headers["RateLimit"] = f'"key";r={limited[1]};t=1'
        self.crossing.dress(request, response)

    async def _keep(self, _: web.Application) -> AsyncIterator[None]:
        """Look after the keys, and what takes too long, for as long as the service runs."""
        tasks = [asyncio.create_task(self.book.keep()), asyncio.create_task(self.running.watch())]
        yield
        await end(tasks)
        with suppress(JobledgerError, OSError):
            await self.book.note()

    async def _drain(self, _: web.Application) -> None:
        """Tell the open streams and waiting requests to end."""
        self.draining.set()
        self.streams.wake()
