"""A network that cuts, stalls and half-opens the line at every statement of a job's life, before and after the server.

The worker and the enqueuer each go through a proxy. One statement is caught on its way there, or its answer on its way
back; then the line is cut, or stalled until everything else is over, or closed on one side only. What must follow is
always the same: the job is done, the books agree, and the worker stops as it should. So it is with a heartbeat that
fails while jobs run, whether or not the lease lasts, and with a tick that has something to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import until
from tests.worker.conftest import quick

from jobledger.errors import JobledgerError
from jobledger.jobs import App, Client, Context
from jobledger.lifecycle.backoff import Fixed
from jobledger.store.claim import Claimer
from jobledger.store.pool import Store
from jobledger.store.statements import statement
from jobledger.store.tick import tick
from jobledger.store.workers import start_worker
from jobledger.testing.proxy import Proxy
from jobledger.worker.life import Manner
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.faults.conftest import Ledger

    from jobledger.testing.clock import Clock
    from jobledger.testing.proxy import Trap

PATIENCE_S = 1.0
BRISK = Manner(ignore_s=0.5, poll_s=0.05, tick_s=0.1, patience_s=PATIENCE_S)
STATEMENTS = {
    "enqueue": "jobledger.enqueue",
    "claim": "jobledger.claim(",
    "report": "jobledger.report(",
    "heartbeat": "jobledger.heartbeat(",
    "tick": "jobledger.tick(",
    "give back": "RESET ALL",
    "open": "jobledger.open(",
    "worker start": "jobledger.worker_start(",
    "worker stop": "jobledger.worker_stop(",
    "idle": "jobledger.worker_idle(",
    "listen": "LISTEN",
    "begin": "BEGIN",
    "commit": "COMMIT",
}
BLOCKED = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
RUNNING = "select count(*) from jobledger.running"
SCHEDULED = "select count(*) from jobledger.waiting"
EXPIRED = "select count(distinct stream_id) from jobledger.events where type = 'job.lease_expired'"
LEASE_S = 2
FAULTS = ("cut", "stall", "mute", "orphan")
# The transaction holds the row of the job, until its commit arrives, or the server looks whether anybody is there.
HOLDS = {("commit", "orphan", "before"), ("commit", "stall", "before")}


class Hand:
    """A worker in a thread, started again by its supervisor whenever it ends with an error."""

    def __init__(self, dsn: str) -> None:
        """Start it."""
        self.notes: list[tuple[str, UUID, int]] = []
        self.worker: Worker | None = None
        self.errors: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self._stopping = False
        self._dsn = dsn
        self._thread = threading.Thread(target=lambda: asyncio.run(self._supervise()), daemon=True)
        self._thread.start()

    @property
    def app(self) -> App:
        """An app whose handlers note when they begin and end; the short ones wait for the gate in between."""
        app = App("lines")

        @app.job(max_attempts=100, backoff=Fixed(0, jitter=0))
        async def short(context: Context) -> None:
            self.notes.append(("begun", context.id, context.attempt))
            await until(self.gate.is_set)
            self.notes.append(("ended", context.id, context.attempt))

        @app.job(transaction=True, max_attempts=100, backoff=Fixed(0, jitter=0))
        async def entry(context: Context) -> None:
            self.notes.append(("begun", context.id, context.attempt))
            sql = "insert into public.effects values ($1, $2)"
            await context.connection.execute(sql, context.id, context.attempt)
            self.notes.append(("ended", context.id, context.attempt))

        return app

    async def ready(self) -> None:
        """Wait until it claims."""
        await until(lambda: self.worker is not None and self.worker.ready.is_set())

    def begun(self, job: UUID) -> int:
        """Count how often a handler has begun this job."""
        return sum(note[:2] == ("begun", job) for note in self.notes)

    @property
    def beats(self) -> int:
        """Count the heartbeats that were answered."""
        life = self.worker and self.worker.life
        return life.heartbeat.beats if life else 0

    @property
    def stopped(self) -> bool:
        """Say whether its thread has ended."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to stop."""

        def ask() -> None:
            if self.worker is not None:
                self.worker.stop()

        self._stopping = True
        # Whichever worker there is when its loop comes to it: one may just be taking the place of another.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(ask)

    async def _supervise(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Each trap is for a statement of the worker itself: who folds commits, too.
        settings = quick(lease_s=LEASE_S, heartbeat_s=0.2, stop_grace_s=1, connect_timeout_s=2, projections=False)
        while not self._stopping:
            self.worker = Worker(self.app, self._dsn, concurrency=4, settings=settings, manner=BRISK)
            try:
                await self.worker.run(signals=False)
            except JobledgerError as error:
                self.errors.append(type(error).__name__)
                await asyncio.sleep(0.05)


@pytest.fixture
def proxies(database: str) -> Iterator[tuple[Proxy, Proxy]]:
    """Give a proxy for the enqueuer, and one for the worker."""
    with Proxy(database) as ours, Proxy(database) as theirs:
        yield ours, theirs


@pytest.fixture
def hand(proxies: tuple[Proxy, Proxy]) -> Iterator[Hand]:
    """Give a worker behind its proxy."""
    made = Hand(proxies[1].dsn)
    yield made
    made.stop()


async def _enqueued(dsn: str, key: str, kind: str) -> UUID:
    """Enqueue by a connection of its own until it is acknowledged, as a caller with patience does."""
    while True:
        with contextlib.suppress(JobledgerError, OSError, TimeoutError):
            settings = quick(connect_timeout_s=1)
            async with asyncio.timeout(1.0), await Store.connect(dsn, settings=settings, pool_min=0) as store:
                return (await Client(store, strict=False).enqueue(kind, key=key, max_attempts=100)).id


async def _spring(trap: Trap, fault: str) -> None:
    await asyncio.to_thread(trap.wait)
    _break(trap, fault)


def _break(trap: Trap, fault: str) -> None:
    if fault != "stall":
        getattr(trap, fault)()


async def _ends_well(hand: Hand, ledger: Ledger, trap: Trap, dsn: str, jobs: list[UUID], *, more: bool = True) -> None:
    """See that the jobs are done, one more is when the line holds again, the worker stops, and the books agree."""
    await ledger.all_over(timeout_s=40)
    trap.let_go()
    last = [await _enqueued(dsn, "last", "short")] if more else []
    await ledger.all_over(timeout_s=40)
    hand.stop()
    await until(lambda: hand.stopped, 40)
    # A start that finds no answer in time says so, and is begun again; nothing else ends a worker.
    assert set(hand.errors) <= {"Unreachable"}
    await ledger.agrees([*jobs, *last], hand.notes)


# The fast suite takes the one fault that nobody is told of; all of them are slow for their number.
QUICK = {(what, "mute", "after") for what in ("enqueue", "claim", "report", "commit")}
CASES = [
    pytest.param(what, fault, side, marks=() if (what, fault, side) in QUICK else pytest.mark.slow)
    for what in STATEMENTS
    for fault in FAULTS
    for side in ("before", "after")
]
each_fault = pytest.mark.parametrize(
    ("fault", "side"),
    [pytest.param(fault, side, marks=pytest.mark.slow) for fault in FAULTS for side in ("before", "after")],
)


@pytest.mark.parametrize(("what", "fault", "side"), CASES)
@pytest.mark.usefixtures("effects")
async def test_a_line_that_fails_at_a_statement_costs_nothing(
    proxies: tuple[Proxy, Proxy], hand: Hand, ledger: Ledger, what: str, fault: str, side: str
) -> None:
    """Whatever the network does to one statement, every job is done, once, and nobody stands still."""
    ours, theirs = proxies
    await hand.ready()
    trap = (ours if what == "enqueue" else theirs).trap(STATEMENTS[what], before=side == "before")
    if what == "open":
        await ledger.fetch(statement("close"), 0)
    elif what == "worker start":
        await ledger.fetch("select jobledger.worker_stop(0::smallint, id, 'by hand') from jobledger.workers")
    elif what == "worker stop":
        jobs = [await _enqueued(ours.dsn, "before", "short")]
        await ledger.all_over()
        hand.stop()
    springing = asyncio.create_task(_spring(trap, fault))
    kind = "entry" if what in ("begin", "commit", "give back") else "short"
    if what != "worker stop":
        jobs = [await _enqueued(ours.dsn, str(number), kind) for number in range(3)]
    await springing
    if (what, fault, side) in HOLDS:
        await until(lambda: ledger.fetch(BLOCKED))
        (theirs.cut if fault == "orphan" else trap.let_go)()
    await _ends_well(hand, ledger, trap, ours.dsn, jobs, more=what != "worker stop")


async def _with_jobs_in_hand(
    proxies: tuple[Proxy, Proxy], clock: Clock, hand: Hand, ledger: Ledger, side: str
) -> tuple[list[UUID], Trap]:
    """Begin three jobs that do not end, under a lease that does not run out, and catch a heartbeat that names them."""
    ours, theirs = proxies
    await clock.stand()
    await hand.ready()
    hand.gate.clear()
    jobs = [await _enqueued(ours.dsn, str(number), "short") for number in range(3)]
    await until(lambda: all(hand.begun(job) for job in jobs))
    # One that was made up before the jobs came may still be on its way, and is let pass.
    beats = hand.beats
    await until(lambda: hand.beats > beats)
    trap = theirs.trap(STATEMENTS["heartbeat"], before=side == "before")
    await asyncio.to_thread(trap.wait)
    assert await ledger.value(RUNNING) == len(jobs)
    return jobs, trap


@each_fault
async def test_a_heartbeat_that_fails_while_jobs_run_takes_none_of_them_away(
    proxies: tuple[Proxy, Proxy], clock: Clock, hand: Hand, ledger: Ledger, fault: str, side: str
) -> None:
    """While the lease lasts another heartbeat comes through, and each job goes on in the handler that had begun it."""
    jobs, trap = await _with_jobs_in_hand(proxies, clock, hand, ledger, side)
    beats = hand.beats
    _break(trap, fault)
    await until(lambda: hand.beats > beats)
    assert await ledger.value(RUNNING) == len(jobs)
    hand.gate.set()
    await _ends_well(hand, ledger, trap, proxies[0].dsn, jobs)
    assert [hand.begun(job) for job in jobs] == [1] * len(jobs)


@each_fault
async def test_a_heartbeat_that_fails_until_the_lease_is_over_costs_an_attempt_and_no_job(
    proxies: tuple[Proxy, Proxy], clock: Clock, hand: Hand, ledger: Ledger, fault: str, side: str
) -> None:
    """The jobs are rescued under running handlers; these are told, and what counts is what the next attempt does."""
    jobs, trap = await _with_jobs_in_hand(proxies, clock, hand, ledger, side)

    async def rescued() -> bool:
        await clock.advance(seconds=LEASE_S + 1)
        async with ledger.store.connection() as connection:
            await tick(connection, 0)
        return bool(await ledger.value(EXPIRED) >= len(jobs))

    await until(rescued)
    _break(trap, fault)
    # There is one place more than jobs: unless the first handlers are told, the others have none.
    await until(lambda: all(hand.begun(job) > 1 for job in jobs))
    hand.gate.set()
    await _ends_well(hand, ledger, trap, proxies[0].dsn, jobs)


@each_fault
async def test_a_tick_that_fails_with_a_job_to_promote_and_one_to_rescue_loses_neither(
    proxies: tuple[Proxy, Proxy], client: Client, clock: Clock, ledger: Ledger, fault: str, side: str
) -> None:
    """Time has made a scheduled job due and ended a lease before any worker ticks; its first tick is the one caught."""
    ours, theirs = proxies
    held = (await client.enqueue("short", max_attempts=100)).id
    async with ledger.store.connection() as connection:
        silent = (await start_worker(connection, 0, kinds=["short"], lease_s=LEASE_S)).worker
        assert [job.id for job in await Claimer(ledger.store, silent, None, ["short"]).claim(1, {}, 1)] == [held]
    later = await clock.now() + timedelta(seconds=LEASE_S)
    jobs = [held, (await client.enqueue("short", run_at=later, max_attempts=100)).id]
    await clock.advance(seconds=2 * LEASE_S)
    trap = theirs.trap(STATEMENTS["tick"], before=side == "before")
    hand = Hand(theirs.dsn)
    try:
        await asyncio.to_thread(trap.wait)
        if side == "after":
            assert await ledger.value(EXPIRED) == 1
            assert await ledger.value(SCHEDULED) == 0
        _break(trap, fault)
        await _ends_well(hand, ledger, trap, ours.dsn, jobs)
    finally:
        hand.stop()


async def test_the_server_looks_soon_whether_a_client_is_still_there(ledger: Ledger) -> None:
    """A machine that vanished inside a transaction keeps its locks for seconds, not for two hours."""
    sql = "select setting::int from pg_settings where name like 'tcp_keepalives%' and source = 'client'"
    assert len(await ledger.fetch(sql)) == 3
