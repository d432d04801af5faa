"""`bench http --read`: what readers of the service wait for, while it holds millions of jobs of many tenants."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from jobledger.bench.beside import fill
from jobledger.bench.database import settle
from jobledger.bench.http import made_key, served
from jobledger.bench.noop import KIND, Noop
from jobledger.bench.plot import Bars
from jobledger.bench.quantiles import spread
from jobledger.errors import Unavailable
from jobledger.order.log import seal
from jobledger.order.projections import built_in
from jobledger.order.runner import Runner
from jobledger.store import pool
from jobledger.store.pool import Store
from jobledger.store.statements import statement
from jobledger.store.workers import start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobledger.bench.measurement import Bench

_BATCH: Final = 5_000
_WRITERS: Final = 2
_OPEN_SHARE: Final = 50
"""One job in so many is open, the others have ended."""
_SEED: Final = 6
_KNOWN: Final = 2_000
_WARM: Final = 200
_PROJECTION: Final = "tenants"


async def read(bench: Bench, *, per_s: int, seconds: float, turns: int) -> None:
    """Fill the database, then ask the service `per_s` times a second, evenly, whether or not it has answered.

    The status and list endpoints take turns, tenants and jobs are drawn at random. A request's time runs from the
    moment at which it was due to the last byte of its answer.

    Raises:
        Unavailable: an answer was none, or an error.
    """
    bench.options |= {"per_s": per_s, "seconds": seconds, "turns": turns}
    began = time.monotonic()
    await _fill(bench)
    bench.figures["fill_s"] = round(time.monotonic() - began, 1)
    await _read(bench, per_s, seconds, turns)


async def _read(bench: Bench, per_s: int, seconds: float, turns: int) -> None:
    key = await made_key(bench, "read")
    jobs = [row["id"] for row in await bench.connection.fetch(statement("bench/some_jobs"), _KNOWN)]
    asked = _paths(bench.setup.tenants, jobs)
    times: dict[str, list[float]] = defaultdict(list)
    worst: list[float] = []
    async with served(bench.dsn) as (url, _), _session(url, key) as session:
        await _ask(session, asked, min(_WARM, round(per_s * seconds)), per_s, defaultdict(list))
        for turn in range(turns):
            bench.progress("reading", turn + 1, turns)
            found: dict[str, list[float]] = defaultdict(list)
            await _ask(session, asked, round(per_s * seconds), per_s, found)
            together = spread([one for each in found.values() for one in each])
            worst.append(together["p99"] if together is not None else 0.0)
            for name, each in found.items():
                times[name] += each
    every = [one for each in times.values() for one in each]
    bench.figures |= {
        "requests": len(every),
        "read_ms": spread(every),
        "read_p99_ms_of_each_turn": worst,
        "read_p99_ms": sorted(worst)[len(worst) // 2],
        "by_path_ms": {name: spread(each) for name, each in sorted(times.items())},
    }
    p99 = {name: (spread(each) or {})["p99"] for name, each in sorted(times.items())}
    bench.panels.append(Bars("p99 by path", "ms", p99))


async def _fill(bench: Bench) -> None:
    """Write jobs that have ended, sealed as they come, and some that wait; count them, and take statistics."""
    setup = bench.setup
    worker = (await start_worker(bench.connection, 0, kinds=[KIND])).worker
    waiting = setup.jobs // _OPEN_SHARE
    ended = setup.jobs - waiting
    starts = iter(range(0, ended, _BATCH))
    done = 0

    async def write() -> None:
        nonlocal done
        connection = await pool.connect(bench.dsn, application_name="jobledger-bench")
        try:
            for first in starts:
                count = min(_BATCH, ended - first)
                await connection.execute(
                    statement("bench/make_finished"), first, count, setup.tenants, KIND, worker, timedelta(0)
                )
                done += count
                bench.progress("writing jobs that have ended", done, ended)
        finally:
            await connection.close()

    writers = [asyncio.create_task(write()) for _ in range(_WRITERS)]
    while not all(one.done() for one in writers):
        await seal(bench.connection, 0)
        await asyncio.wait(writers, timeout=0.2)
    await asyncio.gather(*writers)
    await fill(bench, waiting, tenants=setup.tenants, what="writing jobs that wait")
    while (await seal(bench.connection, 0)).block is not None:
        pass
    async with await Store.connect(bench.dsn, application_name="jobledger-bench") as store:
        await Noop().app.register(store)
        bench.say("counting them")
        await Runner(store, [one for one in built_in() if one.name == _PROJECTION]).settle()
    bench.say("taking statistics")
    await settle(bench.connection)


def _session(url: str, key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        url, headers={"Authorization": f"Bearer {key}"}, timeout=aiohttp.ClientTimeout(total=30)
    )


def _paths(tenants: int, jobs: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Return the paths that are asked for, without end, each with the name under which its times are kept."""
    drawn = random.Random(_SEED)  # noqa: S311 - the same requests each time

    def tenant() -> str:
        return f"tenant-{drawn.randrange(tenants)}"

    while True:
        yield "jobs of a tenant", f"/v1/jobs?tenant={tenant()}"
        yield "a tenant", f"/v1/tenants/{tenant()}"
        yield "jobs of a tenant in a state", f"/v1/jobs?tenant={tenant()}&state=succeeded&limit=100"
        yield "a job", f"/v1/jobs/{drawn.choice(jobs)}"
        yield "jobs of all", "/v1/jobs?limit=100"
        yield "a job's history", f"/v1/jobs/{drawn.choice(jobs)}/history"
        yield "open jobs of a tenant", f"/v1/jobs?tenant={tenant()}&state=ready&state=running&state=scheduled"
        yield "a job's result", f"/v1/jobs/{drawn.choice(jobs)}/result"
        yield "tenants", f"/v1/tenants?cursor={tenant()}"
        yield "jobs of a tenant's kind", f"/v1/jobs?tenant={tenant()}&kind={KIND}"
        yield "queues", "/v1/queues"
        yield "jobs of an owner", f"/v1/jobs?tenant={tenant()}&owner=ada"
        yield "workers", "/v1/workers"
        yield "kinds", "/v1/kinds"


async def _ask(
    session: aiohttp.ClientSession,
    asked: Iterator[tuple[str, str]],
    count: int,
    per_s: int,
    found: dict[str, list[float]],
) -> None:
    """Ask so many times at this rate; each request begins when it is due, whatever the others do."""
    began = time.perf_counter()

    async def one(name: str, path: str, due: float) -> None:
        async with session.get(path) as answer:
            await answer.read()
            if answer.status != 200:
                raise Unavailable(f"The service answered {answer.status}.", detail={"what": name})
        found[name].append((time.perf_counter() - due) * 1000)

    async with asyncio.TaskGroup() as requests:
        for number in range(count):
            due = began + number / per_s
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            requests.create_task(one(*next(asked), due))
