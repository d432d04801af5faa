"""A worker seals by itself: what it does is followed live, with nobody else at work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.faults.conftest import until

from jobledger import App, Client
from jobledger.settings import Settings
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from jobledger.store.pool import Store


async def test_a_worker_seals_what_it_does(store: Store) -> None:
    """A job's whole life comes live, in order; a worker that is told not to seal leaves it to others."""
    app = App()

    @app.job()
    async def nothing() -> None:
        return

    async with Client(store, app=app) as client, Worker(app, store):
        feed = client.events(types=["job.enqueued", "job.claimed", "job.succeeded"], from_end=True)
        began = asyncio.create_task(anext(feed))
        # Where the log ends is found by then: what comes now is behind it.
        await until(lambda: feed.cursor is not None)
        job = await nothing.using(client=client).enqueue()
        events = [await began, await anext(feed), await anext(feed)]
        assert [(event.type, event.stream_id) for event in events] == [
            ("job.enqueued", job.id),
            ("job.claimed", job.id),
            ("job.succeeded", job.id),
        ]
        await feed.aclose()
    async with store.connection() as connection:
        before = await connection.fetchval("select count(*) from jobledger.blocks")
    async with Client(store, app=app) as client, Worker(app, store, settings=Settings(seal=False)):
        await (await nothing.using(client=client).enqueue()).result()
    async with store.connection() as connection:
        assert await connection.fetchval("select count(*) from jobledger.blocks") == before
