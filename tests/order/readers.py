"""Readers that go on by their cursor whatever becomes of the server, and a live service beside them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import asyncpg
from tests.faults.conftest import until

from jobledger import App, Client
from jobledger.errors import FeedReset, JobledgerError
from jobledger.order.cursor import Cursors, Place
from jobledger.settings import Settings
from jobledger.worker.worker import Worker

from .stress import facts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from jobledger.order.log import Sealed

    from .stress import Fact

BROKEN = (JobledgerError, OSError, asyncpg.InterfaceError, asyncpg.PostgresError)
KEY = "select jobledger.cursor_key()"
BY_WORKERS = ("worker.heartbeat", "worker.report_rejected")
TENANTS = ("t1", "t2", "t3")


class Stretch(NamedTuple):
    """What was read since a cursor (None: the beginning)."""

    after: str | None
    seen: list[Fact]


class Reader:
    """Follows everybody's events or a tenant's by a cursor, and keeps what it saw between one reset and the next."""

    def __init__(self, tenant: str | None = None) -> None:
        """Begin at the beginning."""
        self.tenant = tenant
        self.cursor: str | None = None
        self.stretches = [Stretch(None, [])]
        self.reasons: list[object] = []

    @property
    def seen(self) -> int:
        """How much it has read since it began, or was reset."""
        return len(self.stretches[-1].seen)

    def again(self) -> Reader:
        """Return another that has read as much and goes on by itself."""
        other = Reader(self.tenant)
        other.cursor = self.cursor
        other.stretches = [Stretch(one.after, list(one.seen)) for one in self.stretches]
        return other

    async def follow(self, client: Client, *, live: bool = True) -> None:
        """Read on, live until cancelled, and through whatever happens to the server; else to the end."""
        while True:
            feed = client.events(after=self.cursor, tenant=self.tenant, live=live)
            try:
                async with feed:
                    async for event in feed:
                        self.stretches[-1].seen.append((event.stream_id, event.version))
                        self.cursor = feed.cursor
                    self.cursor = feed.cursor
                    return
            except FeedReset as reset:
                self.reasons.append(reset.detail["reason"])
                self.cursor = str(reset.detail["cursor"])
                self.stretches.append(Stretch(self.cursor, []))
            except BROKEN:
                if not live:
                    raise
                await asyncio.sleep(0.02)

    def agrees(self, order: Sequence[Sealed], key: bytes) -> None:
        """See that it got each event of this log once, in its order, or was told from where on it did."""
        cursors = Cursors(key if self.tenant is not None else None, self.tenant)
        mine = self._of(order)
        last = self.stretches[-1]
        begins = Place() if last.after is None else cursors.read(last.after)
        assert last.seen == facts([one for one in mine if one.place[:2] > begins[:2]])
        # What it had read up to there is what this log has up to there.
        common = facts([one for one in mine if one.place[:2] <= begins[:2]])
        for stretch in self.stretches[:-1]:
            if stretch.after is None:
                assert stretch.seen[: len(common)] == common

    def _of(self, order: Sequence[Sealed]) -> list[Sealed]:
        """Return what of a log is this reader's: a worker's events are also the tenants' whose jobs they name."""
        if self.tenant is None:
            return list(order)
        streams = {one.event.stream_id for one in order if one.event.tenant == self.tenant}

        def named(data: Mapping[str, Any]) -> set[UUID]:
            return {UUID(job) for job in (*data.get("held", ()), *filter(None, [data.get("job")]))}

        return [
            one
            for one in order
            if one.event.stream_id in streams
            or (one.event.type in BY_WORKERS and streams & named(one.event.data or {}))
        ]


@contextlib.asynccontextmanager
async def following(readers: Sequence[Reader], client: Client) -> AsyncIterator[None]:
    """Let them follow within the block."""
    tasks = [asyncio.create_task(reader.follow(client)) for reader in readers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()


async def caught_up(readers: Sequence[Reader], client: Client, order: Sequence[Sealed]) -> None:
    """Let them read to the end, and see that each got every event once or was told."""
    async with client.store.connection() as connection:
        key = await connection.fetchval(KEY)
    for reader in readers:
        await reader.follow(client, live=False)
        reader.agrees(order, key)


@contextlib.asynccontextmanager
async def service(dsn: str, *, enqueuers: int = 2) -> AsyncIterator[Client]:
    """Run a worker, which seals and opens by itself, and enqueuers; they try again whatever they meet."""
    app = App("service")

    @app.job(name="noop")
    async def noop() -> None:
        return

    async def enqueue_on(client: Client, number: int) -> None:
        while True:
            with contextlib.suppress(*BROKEN):
                await client.enqueue("noop", tenant=TENANTS[number % len(TENANTS)])
            await asyncio.sleep(0.002)

    # Its server may be gone when it stops: what it has to report then is for nobody.
    brief = Settings(stop_grace_s=1)
    async with Client(dsn, app=app, strict=False) as client, Worker(app, dsn, concurrency=20, settings=brief):
        tasks = [asyncio.create_task(enqueue_on(client, number)) for number in range(enqueuers)]
        try:
            yield client
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def works(client: Client) -> None:
    """See that the service works: a job is enqueued, run, and told of."""
    async with asyncio.timeout(90):
        feed = client.events(tenant="probe", from_end=True)
        first = asyncio.create_task(anext(feed))
        # Once it has found where the log ends: an end found later may lie behind all that the job did.
        await until(lambda: first.done() or feed.cursor is not None)
        handle = None
        while handle is None:
            with contextlib.suppress(*BROKEN):
                handle = await client.enqueue("noop", tenant="probe")
        event = await first
        while (event.stream_id, event.type) != (handle.id, "job.succeeded"):
            event = await anext(feed)
        await feed.aclose()
