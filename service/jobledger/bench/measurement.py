"""The frame of every measurement: own database, floor before and after, one result."""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from jobledger import __version__
from jobledger.bench.database import own_database
from jobledger.bench.floor import ROWS, rows_per_s
from jobledger.settings import Settings
from jobledger.store import pool
from jobledger.store.failures import place_of, translated
from jobledger.store.statements import statement
from jobledger.worker import loops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from jobledger.bench.plot import Panel
    from jobledger.bench.setup import Setup

_EVENTS_PER_JOB: Final = 3
_FLOOR_ROWS_LEAST: Final = 10_000

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Place:
    """A server to measure on: `server` is the DSN of any database of it, `dsn_of` gives that of another."""

    server: str
    dsn_of: Callable[[str], str]
    embedded: bool
    say: Say
    progress: Progress


@dataclass(slots=True)
class Bench:
    """What a measurement works with: its numbers, its database, a connection; and what it found, to be printed, drawn.

    `options` are those of this measurement alone; they stand beside the setup in the result.
    """

    setup: Setup
    place: Place
    dsn: str
    connection: asyncpg.Connection[asyncpg.Record]
    figures: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    panels: list[Panel] = field(default_factory=list)

    def progress(self, what: str, done: int, total: int) -> None:
        """Say how far it is."""
        self.place.progress(what, done, total)

    def say(self, sentence: str) -> None:
        """Say what happens."""
        self.place.say(sentence)

    @asynccontextmanager
    async def elsewhere(self, **changes: Any) -> AsyncIterator[Bench]:
        """Give the same measurement on a fresh database of the same server, with figures of its own.

        `changes` are to the setup.
        """
        setup = replace(self.setup, **changes)
        async with at_fresh_database(self.place, setup) as bench:
            yield bench


@asynccontextmanager
async def at_fresh_database(place: Place, setup: Setup) -> AsyncIterator[Bench]:
    """Make a database, give a measurement on it, and drop it at the end."""
    async with own_database(place.server, place.dsn_of, place.say, unlogged=setup.unlogged) as dsn:
        connection = await pool.connect(dsn, application_name="jobledger-bench")
        bench = Bench(setup, place, dsn, connection)
        try:
            yield bench
        finally:
            await bench.connection.close()


async def measured(
    name: str, work: Callable[[Bench], Awaitable[object]], setup: Setup, place: Place
) -> tuple[dict[str, Any], list[Panel]]:
    """Run one measurement and return its result (the bench's name, its figures, its settings), and what to draw of it.

    `floor_rows_per_s` is the mean of two measures, before and after; `ratio_to_floor` is jobs_per_s over it.
    """
    async with at_fresh_database(place, setup) as bench:
        with translated(place_of(bench.dsn)):
            facts = dict(await bench.connection.fetchrow(statement("bench/server")) or {})
            place.say("measuring the floor")
            before = await rows_per_s(bench.connection, _floor_rows(setup))
            # What the command has loaded is not the clients': as in the worker processes, it is not looked through
            # again and again while they work.
            gc.collect()
            gc.freeze()
            try:
                await work(bench)
            finally:
                gc.unfreeze()
            place.say("measuring the floor again")
            after = await rows_per_s(bench.connection, _floor_rows(setup))
    floor = (before + after) / 2
    figures = bench.figures
    if "jobs_per_s" in figures and "ratio_to_floor" not in figures:
        figures["ratio_to_floor"] = round(figures["jobs_per_s"] / floor, 4)
    if "catchup_s" in figures:
        figures["ratio_to_floor"] = round(figures["events_per_s"] / floor, 4)
        figures["projection_ratio_to_floor"] = round(figures["projection_per_s"] / floor, 4)
    result = {
        "bench": name,
        **figures,
        "floor_rows_per_s": round(floor),
        "floor_before_rows_per_s": round(before),
        "floor_after_rows_per_s": round(after),
        "settings": {
            **setup.document(),
            **bench.options,
            "embedded": place.embedded,
            "postgres": facts,
            **_machine(),
        },
    }
    return result, bench.panels


def _floor_rows(setup: Setup) -> int:
    """As many rows as the jobs have events, within bounds: a small measurement need not wait for a long floor."""
    return min(max(_EVENTS_PER_JOB * setup.jobs, _FLOOR_ROWS_LEAST), ROWS)


def _machine() -> dict[str, Any]:
    return {
        "jobledger": __version__,
        "loop": loops.name(),
        "python": platform.python_version(),
        "seal": Settings().seal,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
