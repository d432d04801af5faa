"""A network that cuts, stalls and half-opens the line at every statement of a job's life, before and after the server.

The worker and the enqueuer each go through a proxy. One statement is caught on its way there, or its answer on its way
back; then the line is cut, or stalled until everything else is over, or closed on one side only. What must follow is
always the same: the job is done, the books agree, and the worker stops as it should.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import until
from tests.worker.conftest import quick

from jobledger.errors import JobledgerError
from jobledger.jobs import App, Client, Context
from jobledger.lifecycle.backoff import Fixed
from jobledger.store.pool import Store
from jobledger.store.statements import statement
from jobledger.testing.proxy import Proxy
from jobledger.worker.life import Manner
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.faults.conftest import Ledger

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
        self._stopping = False
        self._dsn = dsn
        self._thread = threading.Thread(target=lambda: asyncio.run(self._supervise()), daemon=True)
        self._thread.start()

    @property
    def app(self) -> App:
        """An app whose handlers note when they begin and end."""
        app = App("lines")

        @app.job(max_attempts=100, backoff=Fixed(0, jitter=0))
        async def short(context: Context) -> None:
            self.notes.append(("begun", context.id, context.attempt))
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
        settings = quick(lease_s=2, heartbeat_s=0.2, stop_grace_s=1, connect_timeout_s=2, projections=False)
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
    if fault != "stall":
        getattr(trap, fault)()


# The fast suite takes the one fault that nobody is told of; all of them are slow for their number.
QUICK = {(what, "mute", "after") for what in ("enqueue", "claim", "report", "commit")}
CASES = [
    pytest.param(what, fault, side, marks=() if (what, fault, side) in QUICK else pytest.mark.slow)
    for what in STATEMENTS
    for fault in FAULTS
    for side in ("before", "after")
]


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
    await ledger.all_over(timeout_s=40)
    trap.let_go()
    jobs += [] if what == "worker stop" else [await _enqueued(ours.dsn, "last", "short")]
    await ledger.all_over(timeout_s=40)
    hand.stop()
    await until(lambda: hand.stopped, 40)
    # A start that finds no answer in time says so, and is begun again; nothing else ends a worker.
    assert set(hand.errors) <= {"Unreachable"}
    await ledger.agrees(jobs, hand.notes)


async def test_the_server_looks_soon_whether_a_client_is_still_there(ledger: Ledger) -> None:
    """A machine that vanished inside a transaction keeps its locks for seconds, not for two hours."""
    sql = "select setting::int from pg_settings where name like 'tcp_keepalives%' and source = 'client'"
    assert len(await ledger.fetch(sql)) == 3
