"""`bench recovery`: Postgres is killed under a worker, starts again, and the time until the worker's next claim.

Only ever on a server of its own, in a folder of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.beside import fill
from jobledger.bench.database import settle
from jobledger.bench.drain import drain
from jobledger.bench.meter import COSTS
from jobledger.bench.noop import KIND
from jobledger.bench.plot import Bars
from jobledger.bench.workers import drainers, working
from jobledger.errors import CheckFailed, PostgresFailed, Unavailable
from jobledger.store import pool
from jobledger.store.recovery import take_snapshot
from jobledger.store.statements import statement
from jobledger.store.tick import tick
from jobledger.store.workers import start_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobledger.bench.measurement import Bench
    from jobledger.bench.workers import Process
    from jobledger.embedded import Server

_BATCH: Final = 20_000
_SLOTS: Final = 20
_SLEEP_S: Final = 0.1
_PATIENCE_S: Final = 600.0
_AFTER: Final = 20_000
_BACK: Final = timedelta(minutes=50)


async def recovery(bench: Bench, *, server: Server, open_jobs: int, finished_jobs: int, kills: int) -> None:
    """Make the jobs, then kill the server `kills` times under a worker that is busy; medians.

    `first_claim_s` counts from when the server takes connections until the worker, which lived through it, has claimed
    again; `start_s` is what Postgres itself took to be there. Afterwards a small drain gives the other figures.

    Raises:
        CheckFailed: jobs are missing, or too many, afterwards.
        Unavailable: the worker did not claim within ten minutes.
    """
    bench.options |= {"open": open_jobs, "finished": finished_jobs, "kills": kills}
    await make_finished(bench, finished_jobs)
    await fill(bench, open_jobs, tenants=bench.setup.tenants, what="enqueuing open jobs")
    await _keep_house(bench)
    await settle(bench.connection)
    found: list[dict[str, float]] = []
    async with drainers(bench, 1, concurrency=_SLOTS, sleep_s=_SLEEP_S) as workers, working(workers) as check:
        for number in range(kills):
            await _claims_again(workers[0], time.monotonic(), check)
            bench.say(f"killing the server, {number + 1} of {kills}")
            found.append(await _killed(server, workers[0], check))
            await _reconnect(bench)
            bench.say(f"first claim after {found[-1]['first_claim_s']} s")
    await _count(bench, open_jobs + finished_jobs)
    first = [one["first_claim_s"] for one in found]
    async with bench.elsewhere(jobs=min(_AFTER, bench.setup.jobs)) as own:
        await drain(own)
    bench.figures |= {
        "first_claim_s": round(statistics.median(first), 3),
        "start_s": round(statistics.median(one["start_s"] for one in found), 3),
        "kills": found,
        "drain_after_jobs_per_s": own.figures["jobs_per_s"],
        **{name: own.figures[name] for name in COSTS},
    }
    bench.panels.append(
        Bars("From taking connections to the first claim", "seconds", {f"kill {n}": s for n, s in enumerate(first, 1)})
    )


async def make_finished(bench: Bench, jobs: int) -> None:
    """Write finished jobs as enqueue, claim and report would have: three events and one row each, many at a time."""
    if not jobs:
        return
    worker = (await start_worker(bench.connection, 0, kinds=[KIND])).worker
    # Ids and events as of a little ago, apart from each other: a history has passed, no moment.
    for start in range(0, jobs, _BATCH):
        count = min(_BATCH, jobs - start)
        back = _BACK * (1 - start / jobs)
        await bench.connection.execute(
            statement("bench/make_finished"), start, count, bench.setup.tenants, KIND, worker, back, timeout=600
        )
        bench.progress("writing finished jobs", start + count, jobs)


async def _keep_house(bench: Bench) -> None:
    """Do what a worker would have done in the time that it takes to make so many jobs: tick, copy the queue."""
    if (await tick(bench.connection, 0)).snapshot_due:
        await take_snapshot(bench.connection, 0)


async def _killed(server: Server, worker: Process, check: Callable[[], None]) -> dict[str, float]:
    pid = server.pid
    if pid is None:
        raise PostgresFailed("The measurement's own server does not run.")
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)  # our own child, and its backends end with it
    # From this thread: Postgres ends with the thread that started it. The worker is another process.
    server.start()
    accepts_at = time.monotonic()
    claimed_at = await _claims_again(worker, accepts_at, check)
    return {"start_s": round(accepts_at - killed_at, 3), "first_claim_s": round(claimed_at - accepts_at, 3)}


async def _claims_again(worker: Process, since: float, check: Callable[[], None]) -> float:
    """Return the moment of a claim after `since`."""
    while worker.done.claimed_at <= since:
        check()
        if time.monotonic() - since > _PATIENCE_S:
            raise Unavailable(f"The worker did not claim within {_PATIENCE_S:.0f} s.")
        await asyncio.sleep(0.005)
    return worker.done.claimed_at


async def _reconnect(bench: Bench) -> None:
    bench.connection.terminate()
    bench.connection = await pool.connect(bench.dsn, application_name="jobledger-bench")


async def _count(bench: Bench, expected: int) -> None:
    row: Any = await bench.connection.fetchrow(statement("bench/count_jobs"))
    if row["jobs"] != expected or row["twice"]:
        raise CheckFailed(
            "The live tables do not hold each job once after the recovery.",
            detail={"expected": expected, "found": row["jobs"], "twice": row["twice"]},
        )
