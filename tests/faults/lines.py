"""What the tests of failing lines have in common: the faults, a worker in a thread, callers with patience, the end.

A fault strikes one statement that a trap of the proxy has caught, on its way there or its answer on its way back.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

import pytest
from tests.faults.conftest import until
from tests.worker.conftest import quick

from jobledger.errors import JobledgerError, Unavailable
from jobledger.jobs import App, Cancel, Client, Context, Park, PermanentFailure, Snooze, TransientFailure
from jobledger.lifecycle.backoff import Fixed
from jobledger.store.pool import Store
from jobledger.worker.life import Manner
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
    from typing import Any
    from uuid import UUID

    from _pytest.mark.structures import ParameterSet
    from tests.faults.conftest import Ledger

    from jobledger.testing.proxy import Trap

T = TypeVar("T")

ENDINGS: Mapping[str, Exception] = {
    "failed": TransientFailure("not yet"),
    "failed for good": PermanentFailure("never"),
    "parked": Park("somebody has to look"),
    "snoozed": Snooze(0),
    "cancelled": Cancel("not wanted"),
}

PATIENCE_S = 1.0
BRISK = Manner(ignore_s=0.5, poll_s=0.05, tick_s=0.1, patience_s=PATIENCE_S)
LEASE_S = 2
FAULTS = ("cut", "stall", "mute", "orphan")
CALLER = "a caller with patience"
BLOCKED = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
CALLING = f"select from pg_stat_activity where datname = current_database() and application_name = '{CALLER}'"
each_fault = pytest.mark.parametrize(
    ("fault", "side"),
    [pytest.param(fault, side, marks=pytest.mark.slow) for fault in FAULTS for side in ("before", "after")],
)


def in_turn(names: Iterable[str], quick: tuple[str, str, str]) -> list[ParameterSet]:
    """Return cases in which each meets every fault, on its way there or back, the next one the other way round.

    Both ways for each would take the suite beyond its time. The `quick` one is the fast suite's.
    """
    found = [
        (name, fault, ("before", "after")[(number + place) % 2])
        for number, name in enumerate(names)
        for place, fault in enumerate(FAULTS)
    ]
    slow = [pytest.param(*case, marks=pytest.mark.slow) for case in found if case != quick]
    return [pytest.param(*quick), *slow]


class Hand:
    """A worker in a thread, started again by its supervisor whenever it ends with an error."""

    def __init__(self, dsn: str) -> None:
        """Start it."""
        self.notes: list[tuple[str, UUID, int]] = []
        self.worker: Worker | None = None
        self.errors: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.mended = threading.Event()
        self._stopping = False
        self._dsn = dsn
        self._thread = threading.Thread(target=lambda: asyncio.run(self._supervise()), daemon=True)
        self._thread.start()

    @property
    def app(self) -> App:
        """An app whose handlers note when they begin and end; the short ones wait for the gate in between.

        The various end each attempt as they are told to, until the cause is mended.
        """
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

        @app.job(max_attempts=1000, backoff=Fixed(0, jitter=0))
        async def various(context: Context, ends: str) -> None:
            self.notes.append(("begun", context.id, context.attempt))
            if ends == "progressed":
                await context.progress(0.5)
            elif not self.mended.is_set():
                raise ENDINGS[ends]
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


async def insisted(dsn: str, ask: Callable[[Client], Awaitable[T]]) -> T:
    """Ask by a connection of its own until there is an answer, as a caller with patience does."""
    while True:
        with contextlib.suppress(Unavailable, OSError, TimeoutError):
            settings = quick(connect_timeout_s=1)
            connecting = Store.connect(dsn, settings=settings, pool_min=0, application_name=CALLER)
            async with asyncio.timeout(PATIENCE_S), await connecting as store:
                return await ask(Client(store, strict=False))


async def enqueued(dsn: str, key: str, kind: str, args: Mapping[str, str] | None = None) -> UUID:
    """Enqueue until it is acknowledged."""

    async def ask(client: Client) -> UUID:
        return (await client.enqueue(kind, args, key=key, max_attempts=100)).id

    return await insisted(dsn, ask)


async def spring(trap: Trap, fault: str) -> None:
    """Wait until a statement is caught, and let the fault strike it."""
    await asyncio.to_thread(trap.wait)
    strike(trap, fault)


def strike(trap: Trap, fault: str) -> None:
    """Let the fault strike what is caught; what is stalled stays where it is."""
    if fault != "stall":
        getattr(trap, fault)()


async def ends_well(
    hand: Hand, ledger: Ledger, trap: Trap, dsn: str, jobs: Collection[UUID], *, more: bool = True, **options: Any
) -> None:
    """See that the jobs are done, one more is when the line holds again, the worker stops, and the books agree."""
    await ledger.all_over(timeout_s=40)
    trap.let_go()
    last = [await enqueued(dsn, "last", "short")] if more else []
    await ledger.all_over(timeout_s=40)
    hand.stop()
    await until(lambda: hand.stopped, 40)
    # A start that finds no answer in time says so, and is begun again; nothing else ends a worker.
    assert set(hand.errors) <= {"Unreachable"}
    await ledger.agrees([*jobs, *last], hand.notes, **options)
