"""What a stretch of work costs: wall time, WAL apart from full-page images, CPU of server, backends and workers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from jobledger.bench.processes import backends_cpu_s, server_cpu_s
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobledger.bench.measurement import Bench
    from jobledger.bench.workers import Process

WORKERS: Final = "jobledger-bench-worker"
CLIENTS: Final = "jobledger-bench-client"
"""How the connections of measured workers, and of measured enqueuers, are named at the server."""
COSTS: Final = ("wal_bytes_per_job", "postgres_cpu_us_per_job", "worker_cpu_us_per_job", "claim_ms", "report_ms")
"""What every measurement of workers says of a job, by these names."""
READ: Final = "pg_walinspect"
ESTIMATED: Final = "estimate"
"""How the full-page images were told apart: read from the WAL, or each taken for a whole page."""
_PAGE_BYTES: Final = 8192


@dataclass(slots=True)
class Meter:
    """Measures a stretch; `jobs` is what it was for, `workers` the processes that did it (none: this one).

    Without `jobs` it was for those that the workers ran meanwhile.
    """

    bench: Bench
    jobs: int | None
    workers: Sequence[Process] = ()
    backends: str = WORKERS
    _began: float = 0.0
    _wal: str = "0/0"
    _images: int = 0
    _server: float | None = None
    _backends: dict[int, float] | None = None
    _own: float = 0.0
    _handled: int = 0

    async def start(self) -> None:
        """Begin the stretch."""
        await self.begin_wal()
        self._server = await server_cpu_s(self.bench.connection)
        self._backends = await backends_cpu_s(self.bench.connection, self.backends)
        self._own, self._handled = self._processes_cpu_s(), self._handled_by_now()
        self._began = time.perf_counter()

    async def begin_wal(self) -> None:
        """Begin the stretch for WAL only."""
        self._wal, self._images = await self._wal_by_now()

    def stop(self) -> float:
        """End the stretch and return its seconds; note what it cost by `cost`."""
        return time.perf_counter() - self._began

    async def cost(self, prefix: str = "") -> dict[str, Any]:
        """Return what each job cost since the start: bytes of WAL, microseconds of CPU; None where it is not known.

        `wal_bytes_per_job` is without full-page images, which are apart: how many there are depends on checkpoints, not
        on the work. `postgres_cpu_us_per_job` is that of the workers' (or clients') own backends,
        `server_cpu_us_per_job` that of all processes of the server.
        """
        server = await server_cpu_s(self.bench.connection)
        backends = await backends_cpu_s(self.bench.connection, self.backends)
        wal = await self._wal_by_now()
        for worker in self.workers:
            await worker.fresh()
        own = self._processes_cpu_s()
        if self.jobs is None:
            self.jobs = max(1, self._handled_by_now() - self._handled)
        # Only now, as it takes a while: workers that go on meanwhile are not counted twice.
        figures = {f"{prefix}{name}": value for name, value in (await self._wal_since(*wal)).items()}
        who = "worker" if self.workers else "client"
        figures[f"{prefix}postgres_cpu_us_per_job"] = self._backends_cost(backends)
        figures[f"{prefix}{who}_cpu_us_per_job"] = self._us(own - self._own)
        known = server is not None and self._server is not None
        figures[f"{prefix}server_cpu_us_per_job"] = self._us(server - self._server) if known else None  # type: ignore[operator]  # both known
        return figures

    async def wal(self) -> dict[str, Any]:
        """Return the bytes of WAL a job, and how the full-page images were told apart: read, or counted as pages."""
        return await self._wal_since(*await self._wal_by_now())

    async def _wal_by_now(self) -> tuple[str, int]:
        """Return where the WAL stands and how many images it holds; all that was written by now is part of it."""
        await self.bench.connection.fetchval(statement("bench/wal_flush"))
        row = await self.bench.connection.fetchrow(statement("bench/wal"))
        assert row is not None  # noqa: S101 - one row always
        return row["at"], row["images"]

    async def _wal_since(self, until: str, counted: int) -> dict[str, Any]:
        whole = await self.bench.connection.fetchval(statement("bench/wal_between"), self._wal, until)
        images, told_by = await self._image_bytes(until), READ
        if images is None:
            # The page's hole is left out of an image: so many pages are more than it was.
            images, told_by = min(whole, (counted - self._images) * _PAGE_BYTES), ESTIMATED
        jobs = self.jobs or 1
        return {
            "wal_bytes_per_job": round((whole - images) / jobs, 1),
            "wal_images_bytes_per_job": round(images / jobs, 1),
            "wal_images_by": told_by,
        }

    async def _image_bytes(self, until: str) -> int | None:
        try:
            return int(await self.bench.connection.fetchval(statement("bench/wal_images"), self._wal, until))
        except asyncpg.PostgresError:
            return None  # the extension is not there, the role may not, or the segments have been recycled

    def _backends_cost(self, backends: dict[int, float] | None) -> float | None:
        if backends is None or self._backends is None:
            return None
        return self._us(sum(spent - self._backends.get(pid, 0.0) for pid, spent in backends.items()))

    def _processes_cpu_s(self) -> float:
        return sum(worker.cpu_s for worker in self.workers) if self.workers else time.process_time()

    def _handled_by_now(self) -> int:
        return sum(worker.handled for worker in self.workers)

    def _us(self, seconds: float) -> float:
        return round(seconds / (self.jobs or 1) * 1e6, 1)


def whole_life(enqueued: Mapping[str, Any], since: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a job costs from its enqueue to its end: the WAL of both, the CPU of what worked `since`."""
    costs = {name.replace("client_", "worker_"): value for name, value in since.items()}
    for name in ("wal_bytes_per_job", "wal_images_bytes_per_job"):
        costs[name] = round(enqueued[name] + since[name], 1)
    costs["wal_images_by"] = ESTIMATED if ESTIMATED in (enqueued["wal_images_by"], since["wal_images_by"]) else READ
    return costs
