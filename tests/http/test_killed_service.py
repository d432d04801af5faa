"""SIGKILL of the service, and of the database beneath it, under load: nothing is lost, doubled, or left unsaid."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from tests.conftest import PG_BIN, migrated
from tests.http.conftest import ADMIN
from tests.http.eventsource import EventSource

from jobledger import App
from jobledger.embedded import Server
from jobledger.http.problem import MEDIA
from jobledger.http.server import listening
from jobledger.http.service import Service
from jobledger.settings import Settings
from jobledger.store.keys import create_key, new_key
from jobledger.store.pool import Store
from jobledger.store.recovery import open_store
from jobledger.store.service_key import ServiceKey
from jobledger.worker.keeper import Keeper
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    from jobledger.http.access import Access

PRODUCERS, EACH, KILLS = 8, 40, 3
COUNTS = """
select count(*)::int as jobs, count(distinct stream_id)::int as ids from jobledger.events where type = 'job.enqueued'
"""
ANSWERS = frozenset({200, 201, 503})


async def registered(store: Store) -> None:
    """Register the kind, and return."""
    app = App()

    @app.job()
    async def mail(number: int) -> None:
        """Send a mail."""

    await app.register(store)


@asynccontextmanager
async def process(database: str, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Serve in a process of its own for a block, which may kill it before."""
    words = ("-m", "jobledger", "serve", "--port", str(port), "--dsn", database)
    made = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, env={**os.environ, "JOBLEDGER_HTTP_DRAIN_S": "0"}
    )
    try:
        assert made.stdout is not None
        async with asyncio.timeout(30):
            await made.stdout.readline()
        yield made
    finally:
        if made.returncode is None:
            made.terminate()
        await made.wait()


class Producers:
    """Enqueue jobs, each under a key of its own, and ask again until it is said that it is there."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Begin with nothing answered."""
        self._session = session
        self.done = 0
        self.statuses: list[tuple[int, str | None, str]] = []
        self.lost = 0

    async def run(self) -> None:
        """Enqueue all of them."""
        await asyncio.gather(*(self._one(number) for number in range(PRODUCERS)))

    async def _one(self, producer: int) -> None:
        for number in range(EACH):
            body = orjson.dumps({"kind": "mail", "args": {"number": number}, "tenant": "acme"})
            headers = {"Idempotency-Key": f"{producer}/{number}", "Content-Type": "application/json"}
            while not await self._answered(body, headers):  # noqa: ASYNC110 - as a producer would
                await asyncio.sleep(0.02)
            self.done += 1

    async def _answered(self, body: bytes, headers: dict[str, str]) -> bool:
        try:
            async with self._session.post("/v1/jobs", data=body, headers=headers) as response:
                await response.read()
        except (aiohttp.ClientError, OSError):
            self.lost += 1
            return False
        self.statuses.append((response.status, response.headers.get("Retry-After"), response.content_type))
        return response.status in (200, 201)

    async def reaches(self, count: int) -> None:
        """Wait until so many were answered."""
        async with asyncio.timeout(60):
            while self.done < count:  # noqa: ASYNC110 - they come from many
                await asyncio.sleep(0.005)


@pytest.mark.slow
async def test_a_killed_service_enqueues_each_key_once_and_every_stream_goes_on(
    store: Store, database: str, port: int
) -> None:
    """Killed three times between requests and answers: each key is one job, and a page that follows misses none."""
    await registered(store)
    async with store.connection() as connection:
        key = new_key(await ServiceKey.load(connection))
        await create_key(connection, store.shard, key, "shop", roles=["enqueue", "read"], tenants=["acme"])
    total = PRODUCERS * EACH
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        producers = Producers(session)
        async with EventSource(session, "/v1/events", {"type": "job.enqueued"}) as page:
            work = asyncio.create_task(producers.run())
            for kill in range(KILLS):
                async with process(database, port) as service:
                    await producers.reaches((kill + 1) * total // (KILLS + 1))
                    service.send_signal(signal.SIGKILL)
                    await service.wait()
            async with process(database, port):
                await work
                async with asyncio.timeout(30):
                    while sum("id" in one.document for one in page.messages) < total:  # noqa: ASYNC110 - they come as they are sealed
                        await asyncio.sleep(0.01)
    assert producers.lost > 0
    async with store.connection() as connection:
        assert dict(await connection.fetchrow(COUNTS) or {}) == {"jobs": total, "ids": total}
    ids = [message.document["id"] for message in page.messages if "id" in message.document]
    assert len(ids) == len(set(ids)) == total
    assert "reset" not in {message.type for message in page.messages}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Run a server of the test's own as users have it, safe on disk, migrated."""
    async with migrated(Server(tmp_path / "pg", pg_bin=PG_BIN)) as made:
        yield made


@pytest.mark.slow
async def test_while_the_database_is_gone_requests_say_when_to_come_again_and_then_go_on(server: Server) -> None:
    """SIGKILL of Postgres: each answer is the job's, or a problem 503 with Retry-After; each key is one job."""

    async def fixed(_: web.Request) -> Access:
        return ADMIN

    settings = Settings(http_port=0, dsn=server.dsn)
    async with await Store.connect(server.dsn, settings=settings) as store:
        await open_store(store)
        await registered(store)
        service = Service(store, settings=settings, authenticate=fixed)
        async with Keeper(store, settings), listening(service) as url, aiohttp.ClientSession(url) as session:
            producers = Producers(session)
            work = asyncio.create_task(producers.run())
            await producers.reaches(PRODUCERS * EACH // 3)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            async with asyncio.timeout(30):
                while 503 not in {status for status, *_ in producers.statuses}:  # noqa: ASYNC110 - from many
                    await asyncio.sleep(0.005)
            with suppress(TimeoutError):
                await server.astart()
            await work
            async with asyncio.timeout(30):
                while (await session.get("/readyz")).status != 200:  # noqa: ASYNC110 - it says it to who asks
                    await asyncio.sleep(0.05)
        assert {status for status, *_ in producers.statuses} <= ANSWERS
        refused: list[Any] = [(after, media) for status, after, media in producers.statuses if status == 503]
        assert {media for _, media in refused} == {MEDIA}
        assert all(after is not None and after.isdigit() for after, _ in refused)
        async with store.connection() as connection:
            total = PRODUCERS * EACH
            assert dict(await connection.fetchrow(COUNTS) or {}) == {"jobs": total, "ids": total}


@pytest.mark.slow
async def test_a_killed_service_gives_each_job_once_to_workers_that_go_on(
    store: Store, database: str, port: int
) -> None:
    """Killed twice under a worker: each job runs once; what a number had claimed is there after the restart."""
    app = App()
    ran: list[int] = []

    @app.job()
    async def note(number: int) -> None:
        await asyncio.sleep(0.001)
        ran.append(number)

    await app.register(store)
    async with store.connection() as connection:
        key = new_key(await ServiceKey.load(connection))
        await create_key(connection, store.shard, key, "hands", roles=["work"], tenants=["acme"])
        jobs = [{"kind": "note", "tenant": "acme", "args": {"number": number}} for number in range(1200)]
        await connection.execute("select jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())
        await connection.execute("select jobledger.enqueue('other', tenant => 'acme', queue => 'other')")
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {key}"}
    worker = Worker(app, url=url, key=key, concurrency=20, settings=Settings(heartbeat_s=0.5))

    async def reaches(count: int) -> None:
        async with asyncio.timeout(60):
            while len(ran) < count:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)

    async with aiohttp.ClientSession(url, headers=headers) as session:
        async with process(database, port) as service:
            async with session.post("/v1/workers", json={"kinds": ["other"], "lease_s": 600}) as response:
                hand = f"/v1/workers/{(await response.json())['worker']}/claim"
            async with session.post(hand, json={"call": 1}) as response:
                (before,) = (await response.json())["jobs"]
            working = asyncio.create_task(worker.run(signals=False))
            await reaches(300)
            service.send_signal(signal.SIGKILL)
            await service.wait()
        async with process(database, port) as service:
            await reaches(800)
            service.send_signal(signal.SIGKILL)
            await service.wait()
        async with process(database, port):
            await reaches(1200)
            async with session.post(hand, json={"call": 1}) as response:
                (after,) = (await response.json())["jobs"]
            worker.stop()
            await working
    assert (after["id"], after["claim"]) == (before["id"], before["claim"])
    assert sorted(ran) == list(range(1200))
    async with store.connection() as connection:
        ended = "select count(*)::int from jobledger.events where type = 'job.succeeded'"
        assert await connection.fetchval(ended) == 1200
        assert await connection.fetch("select * from jobledger.compare()") == []
