"""Worker processes that can be ended in any way, load meanwhile, and the comparison that each of these tests ends by.

The workers run the application beside this file (`works.py`); its handlers keep their own record in files.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest

from jobledger.errors import JobledgerError
from jobledger.jobs import Client
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.store.recovery import compare, rebuild

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence

    from jobledger.testing.proxy import Proxy

LEASE_S = 2
HEARTBEAT_S = 0.3
STEADY = {"JOBLEDGER_LEASE_S": "30"}
"""For workers that are to lose no lease, also where the machine stands still for seconds."""
OPEN_JOBS_MAX = 200
JOBS_MAX = 12_000
PATIENCE_S = 10.0

EFFECTS = """
create table public.effects (job uuid, attempt int, unique (job, attempt) deferrable initially deferred)
"""
ENDS = ("job.succeeded", "job.failed", "job.cancelled", "job.killed")
GAPS = """
select stream_id from jobledger.events group by stream_id having count(*) <> max(version) or min(version) <> 1
"""
LOG = "select stream_id, type::text, attempt, worker, data from jobledger.events order by stream_id, version"
REJECTED = """
select data ->> 'reason' from jobledger.events where type = 'worker.report_rejected' and data ->> 'job' = $1
"""
LIVE = "select to_jsonb(j)::text from jobledger.jobs as j order by j.id"
LEFT = """
select j.*, w as worker_row, e.events
from jobledger.jobs as j
cross join lateral (
  select array_agg(type::text order by version) from jobledger.events where stream_id = j.id
) as e (events)
left join jobledger.running as r on r.id = j.id
left join jobledger.workers as w on w.id = r.worker
where j.state::text not in ('succeeded', 'failed', 'cancelled', 'killed')
limit 20
"""
OPEN = """
select (select count(*) from jobledger.ready) + (select count(*) from jobledger.waiting)
  + (select count(*) from jobledger.running)
"""


async def until(holds: Callable[[], Awaitable[object] | object], timeout_s: float = 60.0) -> None:
    """Return once it holds; the time is only a limit."""
    async with asyncio.timeout(timeout_s):
        while True:
            answer = holds()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def through(proxy: Proxy, most: int = 3, role: str | None = None) -> AsyncIterator[Store]:
    """Give a store that reaches the database through a proxy, as another role where one is named."""
    settings = Settings(pool_max=most, connect_timeout_s=1)
    dsn = proxy.dsn if role is None else f"{proxy.dsn}&role={role}"
    async with await Store.connect(dsn, settings=settings, pool_min=most) as store:
        yield store


class Note(NamedTuple):
    """One line of the handlers' record."""

    word: str
    job: UUID
    attempt: int


def notes_in(path: Path) -> list[Note]:
    """Read the record of one process."""
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text().splitlines()]
    return [Note(word, UUID(job), int(attempt)) for word, job, attempt in lines]


class Hand:
    """One worker process."""

    def __init__(self, folder: Path, dsn: str, words: tuple[str, ...], extra: dict[str, str]) -> None:
        """Start it; its log lies beside its record."""
        settings = {
            "FAULTS_FOLDER": str(folder),
            "JOBLEDGER_DSN": dsn,
            "JOBLEDGER_LEASE_S": str(LEASE_S),
            "JOBLEDGER_HEARTBEAT_S": str(HEARTBEAT_S),
            "JOBLEDGER_STOP_GRACE_S": "5",
        }
        command = [sys.executable, "-m", "jobledger", "worker", "works:app", "--concurrency", "4", *words]
        with (folder / "workers.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                cwd=Path(__file__).parent,
                env={**os.environ, **settings, **extra},
                stdout=log,
                stderr=log,
            )
        self.record = folder / f"record-{self.process.pid}"

    def notes(self, word: str) -> list[Note]:
        """Return what its handlers noted by this word."""
        return [note for note in notes_in(self.record) if note.word == word]

    def in_the_middle(self) -> bool:
        """Say whether a handler has begun and not ended."""
        return bool(Counter(n[1:] for n in self.notes("begun")) - Counter(n[1:] for n in self.notes("ended")))

    async def noted(self, word: str, job: UUID | None = None) -> None:
        """Wait until its handlers note this word, of this job."""
        await until(lambda: any(job in (None, note.job) for note in self.notes(word)))

    async def ends_more(self, count: int) -> None:
        """Wait until its handlers have ended so many more times."""
        goal = len(self.notes("ended")) + count
        await until(lambda: len(self.notes("ended")) >= goal)

    def freeze(self) -> None:
        """Stop it, and wait until it stands."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()

    async def kill_in_the_middle(self) -> None:
        """Kill it at a moment when a handler has begun and has not ended."""
        while True:
            await until(self.in_the_middle)
            self.freeze()
            if self.in_the_middle():
                return self.kill()
            self.thaw()

    async def ended(self, timeout_s: float = 60.0) -> int:
        """Wait for its end; return the exit status."""
        await until(lambda: self.process.poll() is not None, timeout_s)
        return self.process.wait()

    async def dismiss(self) -> None:
        """Ask it to stop as an operator would, and see that it does.

        One that has just been hired still loads its program, and would end as any program does: by the signal.
        """
        await until(self._hears)
        self.process.terminate()
        assert await self.ended() == 0

    def _hears(self) -> bool:
        """Say whether it has a handler for SIGTERM, or has ended by itself."""
        status = Path(f"/proc/{self.process.pid}/status")
        if self.process.poll() is not None or not status.exists():
            return True
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


class Crew:
    """The worker processes of one test."""

    def __init__(self, folder: Path, dsn: str) -> None:
        """Begin without any."""
        self.folder = folder
        self.dsn = dsn
        self.hands: list[Hand] = []

    def hire(self, *words: str, dsn: str | None = None, **extra: str) -> Hand:
        """Start one, with words for its command line and variables for its environment."""
        hand = Hand(self.folder, dsn or self.dsn, words, extra)
        self.hands.append(hand)
        return hand

    def open(self, gate: str) -> None:
        """Open a gate that handlers wait at."""
        (self.folder / gate).touch()

    async def dismiss(self) -> None:
        """Stop those that live; each ends well."""
        for hand in self.hands:
            if hand.process.poll() is None:
                await hand.dismiss()

    def kill(self) -> None:
        """End those that are left."""
        for hand in self.hands:
            if hand.process.poll() is None:
                hand.kill()

    def notes(self) -> list[Note]:
        """Return all that the handlers noted."""
        return [note for path in sorted(self.folder.glob("record-*")) for note in notes_in(path)]


class Ledger:
    """What the log and the tables say, and whether they agree with each other and with the handlers."""

    until = staticmethod(until)

    def __init__(self, store: Store) -> None:
        """Ask by this store."""
        self.store = store

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Ask."""
        async with self.store.connection() as connection:
            return await connection.fetch(sql, *values)

    async def value(self, sql: str, *values: Any) -> Any:
        """Ask for one value."""
        return (await self.fetch(sql, *values))[0][0]

    async def history(self, job: UUID) -> list[str]:
        """Return the types of a stream's events."""
        rows = await self.fetch("select type::text from jobledger.events where stream_id = $1 order by version", job)
        return [row["type"] for row in rows]

    async def all_over(self, timeout_s: float = 60.0) -> None:
        """Wait until no job is open, whether or not the server answers meanwhile."""

        async def none_open() -> bool:
            try:
                return int(await self.value(OPEN)) == 0
            except (JobledgerError, OSError, asyncpg.InterfaceError):
                return False

        try:
            await until(none_open, timeout_s)
        except TimeoutError:
            for row in await self.fetch(LEFT):
                print("still open:", dict(row))
            raise

    async def reaches(self, job: UUID, state: str) -> None:
        """Wait until a job is in this state."""

        async def there() -> bool:
            return bool(await self.fetch("select from jobledger.jobs where id = $1 and state::text = $2", job, state))

        await until(there)

    async def rejected(self, job: UUID) -> list[str]:
        """Return the reasons of the rejected reports of a job."""
        return [row[0] for row in await self.fetch(REJECTED, str(job))]

    async def agrees(
        self, jobs: Collection[UUID], notes: Sequence[tuple[str, UUID, int]], *, ends: Collection[str] = ENDS[:1]
    ) -> None:
        """See that log, tables and the handlers' record agree: the end of each of these tests.

        `jobs` are all that were acknowledged; each is in the log and ended once, by one of `ends`.
        """
        assert await self.fetch(GAPS) == []
        async with self.store.connection() as connection:
            assert await compare(connection, 0) == []
        await self._finished_once(jobs, notes, ends)
        await self._effects_are_recorded()
        live = await self.fetch(LIVE)
        assert len(live) == len(jobs)
        for projection in ("queue", "status"):
            await rebuild(self.store, projection)
            assert await self.fetch(LIVE) == live
        async with self.store.connection() as connection:
            assert await compare(connection, 0) == []

    async def _finished_once(
        self, jobs: Collection[UUID], notes: Sequence[tuple[str, UUID, int]], ends: Collection[str]
    ) -> None:
        events = [row for row in await self.fetch(LOG) if row["type"].startswith("job.")]
        assert {row["stream_id"] for row in events} == set(jobs)
        over = [row for row in events if row["type"] in ENDS and '"retry_at"' not in (row["data"] or "")]
        # Once, and once more for each time that an operator began it anew.
        begun_anew = Counter(row["stream_id"] for row in events if row["type"] == "job.retried")
        assert Counter(row["stream_id"] for row in over) == Counter(dict.fromkeys(jobs, 1)) + begun_anew
        assert {row["type"] for row in over} <= set(ends)
        assert {row["stream_id"]: row["type"] for row in events} == {row["stream_id"]: row["type"] for row in over}
        # A handler begins once for each claim at most, and what succeeded in the log is what ended in a handler.
        claims = Counter((row["stream_id"], row["attempt"]) for row in events if row["type"] == "job.claimed")
        begun = Counter((job, attempt) for word, job, attempt in notes if word == "begun")
        ended = Counter((job, attempt) for word, job, attempt in notes if word == "ended")
        assert begun <= claims
        assert ended <= begun
        assert {(row["stream_id"], row["attempt"]) for row in over if row["type"] == "job.succeeded"} <= set(ended)

    async def _effects_are_recorded(self) -> None:
        """See that what transactional handlers wrote is there for the attempts that succeeded, and for no others."""
        if await self.value("select to_regclass('public.effects') is null"):
            return
        succeeded = "select stream_id, attempt::int from jobledger.events where type = 'job.succeeded'"
        kept = {tuple(row) for row in await self.fetch("select job, attempt from public.effects")}
        transactional = {row[0] for row in await self.fetch("select id from jobledger.jobs where kind = 'entry'")}
        assert kept == {tuple(row) for row in await self.fetch(succeeded) if row[0] in transactional}


class Load:
    """Enqueuers at work, each job with a key of its own, tried again until the answer comes."""

    def __init__(self, store: Store) -> None:
        """Enqueue by a pool of its own."""
        self._store = store
        self._stopped = False
        self.acknowledged: dict[str, UUID] = {}

    @contextlib.asynccontextmanager
    async def going_on(self, *, enqueuers: int = 4, ms: int = 100) -> AsyncIterator[None]:
        """Enqueue within the block; leaving it, each enqueuer brings its last job to its acknowledgement."""
        async with asyncio.TaskGroup() as group:
            for number in range(enqueuers):
                group.create_task(self._enqueue_on(number, enqueuers, ms))
            try:
                yield
            finally:
                self._stopped = True

    async def _enqueue_on(self, number: int, enqueuers: int, ms: int) -> None:
        client = Client(self._store, strict=False)
        for count in range(JOBS_MAX // enqueuers):
            if self._stopped:
                return
            key = f"{number}-{count}"
            while key not in self.acknowledged:
                try:
                    await self._room()
                    # Lengths of run that differ, and are the same in every run of the test.
                    args = {"ms": ms * (1 + (number * 7 + count * 3) % 5) // 3}
                    async with asyncio.timeout(PATIENCE_S):
                        handle = await client.enqueue("short", args, tenant=f"t{number}", key=key, max_attempts=100)
                except (JobledgerError, OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
                    await asyncio.sleep(0.02)
                else:
                    self.acknowledged[key] = handle.id

    async def _room(self) -> None:
        """Wait while much is open: a bounded backlog, so that the test ends."""
        while not self._stopped and await self._open() > OPEN_JOBS_MAX:  # noqa: ASYNC110 - asks a database
            await asyncio.sleep(0.01)

    async def _open(self) -> int:
        async with asyncio.timeout(PATIENCE_S), self._store.connection() as connection:
            return int(await connection.fetchval(OPEN))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the slow ones of this folder the time they need."""
    for item in items:
        if "slow" in item.keywords and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture
def manned(tmp_path: Path) -> Iterator[Callable[[str], Crew]]:
    """Give a maker of crews for servers of the test's own; whoever is left is killed after the test."""
    with contextlib.ExitStack() as stack:

        def man(dsn: str) -> Crew:
            made = Crew(tmp_path, dsn)
            stack.callback(made.kill)
            return made

        yield man


@pytest.fixture
def crew(database: str, tmp_path: Path) -> Iterator[Crew]:
    """Give a crew for the test's own database, gone before the database is."""
    made = Crew(tmp_path, database)
    yield made
    made.kill()


@pytest.fixture
def ledger(store: Store) -> Ledger:
    """Give the log and tables of the test's own database."""
    return Ledger(store)


@pytest.fixture
async def load(database: str) -> AsyncIterator[Load]:
    """Give enqueuers on the test's own database."""
    async with await Store.connect(database, pool_min=1, pool_max=6) as store:
        yield Load(store)


@pytest.fixture
async def client(store: Store) -> Client:
    """Give a client that enqueues by name, also before a worker has registered its kinds."""
    return Client(store, strict=False)


@pytest.fixture
async def effects(ledger: Ledger) -> None:
    """Make the table that transactional handlers write to, one row a job and attempt, checked at commit."""
    await ledger.fetch(EFFECTS)


@pytest.fixture
def over_server(manned: Callable[[str], Crew]) -> Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]]:
    """Give a maker of crew, ledger and load for a server of the test's own."""

    async def make(dsn: str) -> tuple[Crew, Ledger, Load, Store]:
        store = await Store.connect(dsn, pool_min=1, pool_max=10)
        return manned(dsn), Ledger(store), Load(store), store

    return make
