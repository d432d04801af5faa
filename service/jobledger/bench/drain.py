"""`bench drain`: how fast worker processes empty a backlog of no-op jobs, with the whole history written."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from jobledger.bench.backlog import enqueue_all
from jobledger.bench.database import settle
from jobledger.bench.measurement import Meter
from jobledger.errors import CheckFailed, Unavailable
from jobledger.store.pool import Store
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.bench.measurement import Bench

_SILENCE_S: Final = 120.0
_POLL_S: Final = 0.005
_EVENTS_PER_JOB: Final = 3


class Drainer:
    """One worker process, as the parent sees it: told to go, it reports how many jobs its handlers have run."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Watch a process that was just started."""
        self.process = process
        self.handled = 0

    async def ready(self) -> None:
        """Wait until it is connected. Raises `Unavailable` if it ended instead."""
        await self._line()

    async def follow(self) -> None:
        """Take in its counts until it ends. Raises `Unavailable` when it ends by itself."""
        while True:
            self.handled = int(await self._line())

    async def _line(self) -> bytes:
        assert self.process.stdout is not None  # noqa: S101 - made with a pipe
        line = await self.process.stdout.readline()
        if not line:
            raise Unavailable(f"A worker process ended with status {await self.process.wait()} before the jobs did.")
        return line

    def go(self) -> None:
        """Tell it to work."""
        assert self.process.stdin is not None  # noqa: S101 - made with a pipe
        self.process.stdin.write(b"go\n")


async def drain(bench: Bench) -> None:
    """Fill the backlog, start the processes, then measure from "go" until the database holds no open job.

    Raises:
        CheckFailed: the log does not hold the whole history of every job afterwards.
        Unavailable: a worker process ended, or nothing moved for two minutes.
    """
    setup = bench.setup
    store = await Store.connect(bench.dsn, pool_min=setup.clients, pool_max=setup.clients)
    async with store:
        filling = Meter(bench, setup.jobs)
        await filling.start()
        await enqueue_all(bench, store, batch=setup.batch, what="filling the backlog")
        costs = await filling.cost("enqueue_")
    await settle(bench.connection)
    async with _drainers(bench) as drainers:
        meter = Meter(bench, setup.jobs)
        await meter.start()
        for drainer in drainers:
            drainer.go()
        await _drained(bench, drainers)
        elapsed_s = meter.stop()
    costs |= await meter.cost("drain_")
    await _check(bench)
    bench.figures |= {
        "jobs_per_s": round(setup.jobs / elapsed_s),
        "elapsed_s": round(elapsed_s, 3),
        "wal_bytes_per_job": round(costs["enqueue_wal_bytes_per_job"] + costs["drain_wal_bytes_per_job"], 1),
        **costs,
        "events_per_job": _EVENTS_PER_JOB,
    }


@asynccontextmanager
async def _drainers(bench: Bench) -> AsyncIterator[list[Drainer]]:
    setup = bench.setup
    orders = json.dumps({"dsn": bench.dsn, "concurrency": setup.concurrency}).encode() + b"\n"
    drainers: list[Drainer] = []
    try:
        for _ in range(setup.processes):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "jobledger.bench.drainer",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            drainers.append(Drainer(process))
            assert process.stdin is not None  # noqa: S101 - made with a pipe
            process.stdin.write(orders)
        for drainer in drainers:
            await drainer.ready()
        yield drainers
    finally:
        for drainer in drainers:
            with suppress(ProcessLookupError):
                drainer.process.kill()  # its database is dropped with it: nothing is left to hand back
        for drainer in drainers:
            await drainer.process.wait()


async def _drained(bench: Bench, drainers: list[Drainer]) -> None:
    """Return as soon as no job is open. The database is asked only when the handlers are nearly through."""
    total = bench.setup.jobs
    following = [asyncio.create_task(drainer.follow()) for drainer in drainers]
    seen, seen_at, asked_at = -1, time.monotonic(), time.monotonic()
    try:
        while True:
            for task in following:
                if task.done():
                    task.result()
            handled = sum(drainer.handled for drainer in drainers)
            bench.progress("draining", handled, total)
            now = time.monotonic()
            if handled != seen:
                seen, seen_at = handled, now
            elif now - seen_at > _SILENCE_S:
                raise Unavailable(f"No job was run for {_SILENCE_S:.0f} s; {handled:,} of {total:,} were.")
            # Once a second in any case: a handler that ran twice would make the count a lie.
            if handled >= total - 2 * bench.setup.concurrency or now - asked_at > 1:
                asked_at = now
                if not await bench.connection.fetchval(statement("bench/open_jobs")):
                    return
            await asyncio.sleep(_POLL_S)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def _check(bench: Bench) -> None:
    """Compare the log with what was to happen: every job enqueued, claimed, succeeded, once each."""
    row = await bench.connection.fetchrow(statement("bench/history"))
    total = bench.setup.jobs
    if row is None or (row["jobs"], row["succeeded"], row["events"]) != (total, total, _EVENTS_PER_JOB * total):
        raise CheckFailed("The log does not hold exactly one whole history of each job.", detail=dict(row or {}))
