"""Workers with quick hearts, in the test's own loop or in a thread with a loop of its own, over either transport.

The tests of the modules in `BOTH` run against a worker with a database and against one that works through a service
over HTTP, but for those in `DIRECT`, which are about the database's own way; those in `BRIEF` over HTTP with every run,
the others as slow ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from tests.http.conftest import served

from jobledger.jobs import Client
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.worker.keeper import Keeper
from jobledger.worker.life import Manner
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from jobledger.jobs import App

# Quick, but for what a machine that stands still for seconds would lose: leases, and what waits behind a loop.
QUICK: dict[str, Any] = {"heartbeat_s": 0.2, "lease_s": 20, "stall_after_s": 60, "stop_grace_s": 5}
BRISK = Manner(ignore_s=0.5, poll_s=0.05, tick_s=0.1)

BOTH = {"test_running", "test_endings", "test_faults"}
DIRECT = {
    # An answer that is lost or late on the way from the database is asked for again, under the number of its claim.
    "test_an_answer_cut_off_is_released_by_the_second_heartbeat",
    "test_an_answer_held_back_over_five_heartbeats_releases_nothing",
    "test_a_claim_given_up_is_released_and_its_late_answer_thrown_away",
    "test_jobs_that_come_for_an_older_incarnation_are_handed_back",
    "test_a_lease_that_is_lost_while_the_worker_renews_itself_stops_no_claims",
    "test_a_worker_that_stops_while_an_older_incarnation_says_its_end_lets_it_finish",
    "test_an_incarnation_whose_heartbeats_fail_takes_no_lease_from_the_next",
    "test_many_poisoned_rows_in_one_claim_pass_promptly",
}
BRIEF = {
    "test_async_and_sync_handlers_return_results_of_their_type",
    "test_progress_and_context_reach_the_log",
    "test_a_cancelled_running_job_is_told_and_recorded",
    "test_a_stop_lets_jobs_finish_within_the_grace",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test against both transports, where it is about what they have in common."""
    name = metafunc.function.__name__
    if "bench" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in BOTH and name not in DIRECT:
        http = pytest.param("http", marks=() if name in BRIEF else pytest.mark.slow)
        metafunc.parametrize("transport", ["direct", http], indirect=True)


async def until(held: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Return once `held()` is true; the time is only a limit."""
    async with asyncio.timeout(timeout_s):
        while not held():  # noqa: ASYNC110 - looks into other threads and the database, which set no event
            await asyncio.sleep(0.005)


def quick(**changed: Any) -> Settings:
    """Return settings with short times."""
    return Settings(**{**QUICK, **changed})


class Services:
    """The services of a test, one for each address of its database: nobody is asked for a key."""

    def __init__(self, store: Store) -> None:
        """Begin without any."""
        self._store = store
        self._stack = contextlib.AsyncExitStack()
        self._urls: dict[str, str] = {}

    async def url(self, dsn: str) -> str:
        """Return the address of the service of a database, which keeps it going as well."""
        if dsn not in self._urls:
            store = self._store
            if dsn != store.dsn:
                store = await self._stack.enter_async_context(await Store.connect(dsn, pool_min=1, pool_max=10))
            session, _ = await self._stack.enter_async_context(served(store))
            await self._stack.enter_async_context(Keeper(store, quick(seal=False, projections=False)))
            self._urls[dsn] = str(session._base_url).rstrip("/")
        return self._urls[dsn]

    async def close(self) -> None:
        """End them."""
        await self._stack.aclose()


@dataclass
class Bench:
    """A test's database, its store, and questions to its log; `url` is that of its service, where workers use one."""

    store: Store
    dsn: str
    url: str | None = None

    def worker(self, app: App, database: Store | str | None = None, **options: Any) -> Worker:
        """Return a worker with short times."""
        settings = options.pop("settings", None) or quick()
        manner = options.pop("manner", BRISK)
        if self.url is not None:
            return Worker(app, url=self.url, settings=settings, manner=manner, **options)
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
def transport(request: pytest.FixtureRequest) -> str:
    """Say how the test's workers reach their jobs: `direct` or `http`."""
    return str(getattr(request, "param", "direct"))


@pytest.fixture
async def services(store: Store) -> AsyncIterator[Services]:
    """Give the maker of the test's services."""
    made = Services(store)
    yield made
    await made.close()


@pytest.fixture
async def bench(store: Store, database: str, transport: str, services: Services) -> Bench:
    """Give the test's own database."""
    return Bench(store, database, await services.url(database) if transport == "http" else None)


class Apart:
    """A worker in a thread with a loop of its own, which a test may block without blocking itself."""

    def __init__(self, app: App, dsn: str, services: Services | None, **options: Any) -> None:
        """Prepare it."""
        self.worker: Worker
        self._services = services
        self._url = ""
        self.reason = ""
        self._app = app
        self._dsn = dsn
        self._options = options
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), daemon=True)

    async def start(self) -> Apart:
        """Start, and wait until it claims."""
        if self._services is not None:
            self._url = await self._services.url(self._dsn)
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
        how: dict[str, Any] = {"settings": quick(), "manner": BRISK, **self._options}
        if self._services is not None:
            await self._run(Worker(self._app, url=self._url, **how))
            return
        async with await Store.connect(self._dsn, pool_min=1, pool_max=8) as store:
            await self._run(Worker(self._app, store, **how))

    async def _run(self, worker: Worker) -> None:
        self.worker = worker
        running = asyncio.ensure_future(worker.run(signals=False))
        await worker.ready.wait()
        self._ready.set()
        self.reason = await running


@pytest.fixture
def apart(database: str, transport: str, services: Services) -> Callable[..., Apart]:
    """Give a maker of workers in threads of their own."""

    def make(app: App, dsn: str | None = None, **options: Any) -> Apart:
        return Apart(app, dsn or database, services if transport == "http" else None, **options)

    return make
