"""Workers with quick hearts, in the test's own loop or in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from jobledger.jobs import Client
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.worker.life import Manner
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from jobledger.jobs import App

QUICK: dict[str, Any] = {"heartbeat_s": 0.2, "lease_s": 6, "stall_after_s": 2.0, "stop_grace_s": 5}
BRISK = Manner(ignore_s=0.5, poll_s=0.05, tick_s=0.1)


async def until(held: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Return once `held()` is true; the time is only a limit."""
    async with asyncio.timeout(timeout_s):
        while not held():  # noqa: ASYNC110 - looks into other threads and the database, which set no event
            await asyncio.sleep(0.005)


def quick(**changed: Any) -> Settings:
    """Return settings with short times."""
    return Settings(**{**QUICK, **changed})


@dataclass
class Bench:
    """A test's database, its store, and questions to its log."""

    store: Store
    dsn: str

    def worker(self, app: App, database: Store | str | None = None, **options: Any) -> Worker:
        """Return a worker with short times."""
        settings = options.pop("settings", None) or quick()
        manner = options.pop("manner", BRISK)
        return Worker(app, database or self.store, settings=settings, manner=manner, **options)

    @contextlib.asynccontextmanager
    async def client(self, app: App) -> AsyncIterator[Client]:
        """Give a client of the app, registered and bound."""
        async with Client(self.store, app=app) as client, app.bound(client):
            await client.register()
            yield client

    async def history(self, job: UUID) -> list[str]:
        """Return the types of a job's events, without their prefix."""
        rows = await self.fetch("select type::text from jobledger.events where stream_id = $1 order by version", job)
        return [row["type"].removeprefix("job.") for row in rows]

    async def last(self, job: UUID) -> dict[str, Any]:
        """Return the data of a job's last event."""
        rows = await self.fetch(
            "select data from jobledger.events where stream_id = $1 order by version desc limit 1", job
        )
        found: dict[str, Any] = orjson.loads(rows[0]["data"] or "{}")
        return found

    async def state(self, job: UUID) -> str:
        """Return a job's state."""
        return str(await self.value("select state::text from jobledger.jobs where id = $1", job))

    async def count(self, type_: str) -> int:
        """Count the events of a type in the whole log."""
        return int(
            await self.value("select count(*) from jobledger.events where type = $1::text::jobledger.event_type", type_)
        )

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Ask the database."""
        async with self.store.connection() as connection:
            return await connection.fetch(sql, *values)

    async def value(self, sql: str, *values: Any) -> Any:
        """Ask the database for one value."""
        return (await self.fetch(sql, *values))[0][0]

    async def reaches(self, job: UUID, *states: str, timeout_s: float = 20.0) -> str:
        """Wait until a job is in one of these states; return it."""
        async with asyncio.timeout(timeout_s):
            while (state := await self.state(job)) not in states:  # noqa: ASYNC110 - the database sets no event
                await asyncio.sleep(0.01)
        return state

    async def mismatches(self) -> list[Any]:
        """Return the jobs whose live row is not what the log says."""
        return await self.fetch("select * from jobledger.compare(0::smallint)")


@pytest.fixture
async def bench(store: Store, database: str) -> Bench:
    """Give the test's own database."""
    return Bench(store, database)


class Apart:
    """A worker in a thread with a loop of its own, which a test may block without blocking itself."""

    def __init__(self, app: App, dsn: str, **options: Any) -> None:
        """Prepare it."""
        self.worker: Worker
        self.reason = ""
        self._app = app
        self._dsn = dsn
        self._options = options
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), daemon=True)

    async def start(self) -> Apart:
        """Start, and wait until it claims."""
        self._thread.start()
        await until(self._ready.is_set)
        return self

    async def stop(self) -> None:
        """Stop it, and wait for its end."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.worker.stop)
        await until(lambda: not self._thread.is_alive())

    @property
    def beats(self) -> int:
        """Count the heartbeats that were answered."""
        assert self.worker.life is not None
        return self.worker.life.heartbeat.beats

    async def beats_more(self, count: int) -> None:
        """Wait for so many more heartbeats to be answered."""
        goal = self.beats + count
        await until(lambda: self.beats >= goal)

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with await Store.connect(self._dsn, pool_min=1, pool_max=8) as store:
            settings = self._options.pop("settings", None) or quick()
            manner = self._options.pop("manner", BRISK)
            self.worker = Worker(self._app, store, settings=settings, manner=manner, **self._options)
            running = asyncio.ensure_future(self.worker.run(signals=False))
            await self.worker.ready.wait()
            self._ready.set()
            self.reason = await running


@pytest.fixture
def apart(database: str) -> Callable[..., Apart]:
    """Give a maker of workers in threads of their own."""

    def make(app: App, dsn: str | None = None, **options: Any) -> Apart:
        return Apart(app, dsn or database, **options)

    return make
