"""The frame of every measurement: own database, floor before and after, what the server cost, one result."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobledger import __version__
from jobledger.bench.database import own_database
from jobledger.bench.floor import rows_per_s
from jobledger.bench.processes import server_cpu_s
from jobledger.store import pool
from jobledger.store.failures import place_of, translated
from jobledger.store.statements import statement
from jobledger.worker import loops

if TYPE_CHECKING:
    import asyncpg

    from jobledger.bench.setup import Setup

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Bench:
    """What a measurement works with: its numbers, its database, a connection, and where progress goes."""

    setup: Setup
    dsn: str
    connection: asyncpg.Connection[asyncpg.Record]
    progress: Progress
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Meter:
    """Measures a stretch: wall time, WAL, CPU of the server; `jobs` is what it was for."""

    bench: Bench
    jobs: int
    _began: float = 0.0
    _wal: int = 0
    _cpu: float | None = None

    async def start(self) -> None:
        """Begin the stretch."""
        self._wal = await self.bench.connection.fetchval(statement("bench/wal_position"))
        self._cpu = await server_cpu_s(self.bench.connection)
        self._began = time.perf_counter()

    def stop(self) -> float:
        """End the stretch and return its seconds; note what it cost by `cost`."""
        return time.perf_counter() - self._began

    async def cost(self, prefix: str = "") -> dict[str, Any]:
        """Return WAL bytes and server CPU microseconds a job since the start; CPU is None where it cannot be known."""
        wal = await self.bench.connection.fetchval(statement("bench/wal_position")) - self._wal
        cpu = await server_cpu_s(self.bench.connection)
        known = cpu is not None and self._cpu is not None
        return {
            f"{prefix}wal_bytes_per_job": round(wal / self.jobs, 1),
            f"{prefix}postgres_cpu_us_per_job": round((cpu - self._cpu) / self.jobs * 1e6, 1) if known else None,  # type: ignore[operator]  # both known
        }


async def measured(
    name: str,
    work: Callable[[Bench], Awaitable[None]],
    setup: Setup,
    *,
    server: str,
    dsn_of: Callable[[str], str],
    embedded: bool,
    say: Say,
    progress: Progress,
) -> dict[str, Any]:
    """Run one measurement and return its result: the bench's name, its settings, its figures.

    `floor_rows_per_s` is the mean of two measures, before and after; `ratio` is jobs_per_s over it.
    """
    async with own_database(server, dsn_of, say, unlogged=setup.unlogged) as dsn:
        connection = await pool.connect(dsn, application_name="jobledger-bench")
        try:
            with translated(place_of(dsn)):
                facts = dict(await connection.fetchrow(statement("bench/server")) or {})
                bench = Bench(setup, dsn, connection, progress)
                say("measuring the floor")
                before = await rows_per_s(connection)
                await work(bench)
                say("measuring the floor again")
                after = await rows_per_s(connection)
        finally:
            await connection.close()
    floor = (before + after) / 2
    figures = bench.figures
    if "jobs_per_s" in figures:
        figures["ratio"] = round(figures["jobs_per_s"] / floor, 4)
    return {
        "bench": name,
        **figures,
        "floor_rows_per_s": round(floor),
        "floor_before_rows_per_s": round(before),
        "floor_after_rows_per_s": round(after),
        "settings": {**setup.document(), "embedded": embedded, "postgres": facts, **_machine()},
    }


def _machine() -> dict[str, Any]:
    return {
        "jobledger": __version__,
        "loop": loops.name(),
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
