"""`bench drain`: how fast worker processes empty a backlog of no-op jobs, with the whole history written."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.backlog import clients, enqueue_all
from jobledger.bench.beside import prepare
from jobledger.bench.database import settle
from jobledger.bench.lag import watching
from jobledger.bench.meter import CLIENTS, Meter
from jobledger.bench.plot import Lines
from jobledger.bench.quantiles import spread
from jobledger.bench.workers import drainers, working
from jobledger.errors import CheckFailed, Unavailable
from jobledger.settings import Settings
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from jobledger.bench.lag import Lag
    from jobledger.bench.measurement import Bench
    from jobledger.bench.workers import Process

_SILENCE_S: Final = 60.0
_POLL_S: Final = 0.005
_LOOK_S: Final = 5.0
_EVENTS_PER_JOB: Final = 3
_POINTS: Final = 30

Series = list[tuple[float, int]]
"""How many jobs were reported so many seconds after the beginning."""


async def drain(
    bench: Bench,
    meanwhile: Callable[[Bench], AbstractAsyncContextManager[None]] | None = None,
    door: Callable[[Bench], AbstractAsyncContextManager[dict[str, Any]]] | None = None,
) -> Series:
    """Fill the backlog, start the processes, then measure from "go" until the database holds no open job.

    `meanwhile` is entered once the backlog is there, and left when it is drained; `door` gives what else the worker
    processes are told, such as the service that they work through. Returns how it went.

    Raises:
        CheckFailed: the log does not hold the whole history of every job afterwards.
        Unavailable: a worker process ended, or nothing moved for a minute.
    """
    setup = bench.setup
    await prepare(bench)
    await settle(bench.connection)
    filling = Meter(bench, setup.jobs, backends=CLIENTS)
    async with clients(bench, setup.clients) as connections:
        await filling.start()
        await enqueue_all(bench, connections, batch=setup.batch, what="filling the backlog")
        costs = await filling.cost("enqueue_")
    await settle(bench.connection)
    async with (
        nullcontext() if meanwhile is None else meanwhile(bench),
        nullcontext(dict[str, Any]()) if door is None else door(bench) as orders,
    ):
        return await _emptied(bench, costs, orders)


async def _emptied(bench: Bench, costs: dict[str, Any], orders: dict[str, Any]) -> Series:
    """Drain what was filled in, and note the figures; `costs` are those of the filling."""
    setup = bench.setup
    async with drainers(bench, setup.processes, **orders) as workers:
        meter = Meter(bench, setup.jobs, workers)
        await meter.start()
        async with working(workers) as check, _sealing(bench) as lag:
            series = await _drained(bench, workers, check)
            elapsed_s = meter.stop()
            costs |= await meter.cost("drain_")
            sealed = await _sealed(lag)
            times = [await worker.times() for worker in workers]
    await check_history(bench)
    bench.figures |= {
        "jobs_per_s": round(setup.jobs / elapsed_s),
        "elapsed_s": round(elapsed_s, 3),
        "thirds_jobs_per_s": thirds(series),
        "wal_bytes_per_job": round(costs["enqueue_wal_bytes_per_job"] + costs["drain_wal_bytes_per_job"], 1),
        "postgres_cpu_us_per_job": costs["drain_postgres_cpu_us_per_job"],
        "worker_cpu_us_per_job": costs["drain_worker_cpu_us_per_job"],
        "claim_ms": spread([ms for one in times for ms in one.get("claims_ms", ())]),
        "report_ms": spread([ms for one in times for ms in one.get("reports_ms", ())]),
        **sealed,
        **costs,
        "events_per_job": _EVENTS_PER_JOB,
    }
    bench.panels.append(rate_panel(f"Draining {setup.jobs:,} jobs", {"jobs": series}))
    return series


async def _drained(bench: Bench, workers: Sequence[Process], check: Callable[[], None]) -> Series:
    """Return as soon as no job is open, with how it went. The database is asked only when all are said to be reported.

    Under an old snapshot it would read past everything that was deleted: asking often would be measured with the rest.
    """
    total = bench.setup.jobs
    began = time.monotonic()
    series: Series = [(0.0, 0)]
    seen_at = asked_at = began
    while True:
        check()
        reported = sum(worker.done.reported for worker in workers)
        bench.progress("draining", reported, total)
        now = time.monotonic()
        if reported != series[-1][1]:
            series.append((now - began, reported))
            seen_at = now
        elif now - seen_at > _SILENCE_S:
            where = dict(await bench.connection.fetchrow(statement("bench/open_counts")) or {})
            raise Unavailable(f"No job was run for {_SILENCE_S:.0f} s; {reported:,} of {total:,} were.", detail=where)
        # Now and then in any case: a report whose answer was lost is not counted.
        if reported >= total or now - asked_at > _LOOK_S:
            asked_at = now
            if not await bench.connection.fetchval(statement("bench/open_jobs")):
                return series
        await asyncio.sleep(_POLL_S)


def _sealing(bench: Bench) -> AbstractAsyncContextManager[Lag | None]:
    """Watch how far the workers' sealers are behind, unless they are told to leave sealing (`JOBLEDGER_SEAL`)."""
    return watching(bench) if Settings().seal else nullcontext()


async def _sealed(lag: Lag | None) -> dict[str, Any]:
    if lag is None:
        return {"sealer_behind_s": None, "sealed_after_s": None}
    after_s = await lag.caught_up()
    return {**lag.figures(), "sealed_after_s": round(after_s, 3)}


async def check_history(bench: Bench) -> None:
    """Compare the log with what was to happen: every job enqueued, claimed, succeeded, once each.

    Raises:
        CheckFailed: it differs.
    """
    row = await bench.connection.fetchrow(statement("bench/history"))
    total = bench.setup.jobs
    if row is None or (row["jobs"], row["succeeded"], row["events"]) != (total, total, _EVENTS_PER_JOB * total):
        raise CheckFailed("The log does not hold exactly one whole history of each job.", detail=dict(row or {}))


def thirds(series: Series) -> list[int]:
    """Return the jobs a second of each third of the jobs; nothing where there were too few to tell."""
    total = series[-1][1]
    marks = [next((at for at, done in series if done * 3 >= total * part), 0.0) for part in (0, 1, 2, 3)]
    spans = [until - since for since, until in pairwise(marks)]
    return [round(total / 3 / span) for span in spans] if all(span > 0 for span in spans) else []


def rate_panel(title: str, all_series: dict[str, Series]) -> Lines:
    """Return a picture of jobs a second over time."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, series in all_series.items():
        step = max(series[-1][0] / _POINTS, 0.001)
        points: list[tuple[float, float]] = []
        since, before = 0.0, 0
        for at, done in series:
            if at - since >= step:
                points.append((at, (done - before) / (at - since)))
                since, before = at, done
        lines[name] = points
    return Lines(title, "seconds", "jobs/s", lines)
