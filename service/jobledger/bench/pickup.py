"""`bench pickup`: how long idle workers take from a job's commit to the handler's first line."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg

from jobledger.bench.meter import WORKERS, Meter
from jobledger.bench.noting import noting
from jobledger.bench.plot import Bars
from jobledger.bench.quantiles import spread
from jobledger.bench.workers import started
from jobledger.errors import Unavailable
from jobledger.jobs.client import Client
from jobledger.settings import Settings
from jobledger.store.pool import Store
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from jobledger.bench.measurement import Bench
    from jobledger.bench.workers import Process
    from jobledger.jobs.kind import AsyncContextJob

_PAUSE_S: Final = (0.005, 0.040)
_PATIENCE_S: Final = 30.0
_WORKERS_CONNECTIONS: Final = 10
_IDLE_S: Final = 6.0
_CALM_S: Final = 3.0
_JOBS_TO_WAIT: Final = 100
"""For fewer nobody waits until the worker is calm, and before that its queries tell nothing of an idle one."""


class _Starts:
    """When each job began, told by whichever process ran it, perhaps before its enqueuer has its id."""

    def __init__(self) -> None:
        self._of: dict[UUID, asyncio.Future[float]] = {}

    def of(self, job: UUID) -> asyncio.Future[float]:
        """Return what will hold the moment of this job."""
        return self._of.setdefault(job, asyncio.get_running_loop().create_future())

    def note(self, job: UUID, at: float) -> None:
        """Keep a moment; of a job that was started twice the first."""
        start = self.of(job)
        if not start.done():
            start.set_result(at)

    async def listen(self, process: Process) -> None:
        """Take in what a process tells until it ends, which raises `Unavailable`."""
        while True:
            job, at = (await process.line()).split()
            self.note(UUID(job), float(at))


async def pickup(bench: Bench) -> None:
    """Enqueue on an idle system, at random moments, and time each job; every client waits for its own to start.

    Figures in milliseconds, from the answer to the enqueue (the commit) until the handler starts; a handler that starts
    before the answer is read counts as 0. `pace_jobs_per_s` is the pace at which this was done, not a limit. The first
    worker is in this process, the others are processes of their own. `queries_per_s_idle` is of the first.
    """
    setup = bench.setup
    starts = _Starts()
    app, note = noting(starts.note)
    waits: list[float] = []
    most = _WORKERS_CONNECTIONS + setup.clients
    async with await Store.connect(bench.dsn, pool_max=most, application_name=WORKERS) as store:
        client = Client(store, app=app)
        worker = Worker(app, store, concurrency=setup.concurrency, settings=Settings(notify=setup.notify))
        async with worker, _listening(bench, starts):
            await _picked_up(client, note, starts, ["default"])  # the first waits for the worker's own start
            queries_per_s = await _queries_per_s() if setup.jobs >= _JOBS_TO_WAIT else None
            meter = Meter(bench, setup.jobs)
            await meter.start()
            firsts = iter(range(0, setup.jobs, setup.batch))

            async def one_client(number: int) -> None:
                chance = random.Random(number)  # noqa: S311 - spreads the moments, no secret
                for first in firsts:
                    await asyncio.sleep(chance.uniform(*_PAUSE_S))
                    tenants = [setup.tenant(job) for job in range(first, min(first + setup.batch, setup.jobs))]
                    waits.extend(await _picked_up(client, note, starts, tenants))
                    bench.progress("picking up", len(waits), setup.jobs)

            async with asyncio.TaskGroup() as clients:
                for number in range(setup.clients):
                    clients.create_task(one_client(number))
            elapsed_s = meter.stop()
            costs = await meter.cost()
    waited = spread([wait * 1000 for wait in waits]) or {}
    bench.figures |= {
        "pace_jobs_per_s": round(setup.jobs / elapsed_s, 1),
        "pickup_ms": waited,
        "queries_per_s_idle": None if queries_per_s is None else round(queries_per_s, 2),
        "elapsed_s": round(elapsed_s, 3),
        **costs,
    }
    bench.panels.append(Bars("From commit to the handler's start", "ms", waited))


@asynccontextmanager
async def _listening(bench: Bench, starts: _Starts) -> AsyncIterator[None]:
    """Run the workers of the other processes."""
    orders = json.dumps({"dsn": bench.dsn, "concurrency": bench.setup.concurrency, "notify": bench.setup.notify})
    async with started("noting", [orders] * (bench.setup.processes - 1)) as others:
        listening = [asyncio.create_task(starts.listen(other)) for other in others]
        try:
            yield
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)


async def _queries_per_s() -> float:
    """Return how many queries a second the worker of this process sends while it waits.

    They are counted where they leave: the server's count of transactions also holds what its own housekeeping does.
    Before, what the last job brings about (its seal, the fold of its events) has time to end.
    """
    await asyncio.sleep(_CALM_S)
    with _counted() as sent:
        began = time.monotonic()
        await asyncio.sleep(_IDLE_S)
        return len(sent) / (time.monotonic() - began)


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Note each query that any connection of this process sends meanwhile."""
    sent: list[str] = []
    names = ("execute", "fetch", "fetchrow", "fetchval")
    plain = {name: getattr(asyncpg.Connection, name) for name in names}
    for name, method in plain.items():

        def counted(connection: object, query: str, *rest: Any, _method: Any = method, **named: Any) -> Any:
            sent.append(query)
            return _method(connection, query, *rest, **named)

        setattr(asyncpg.Connection, name, counted)
    try:
        yield sent
    finally:
        for name, method in plain.items():
            setattr(asyncpg.Connection, name, method)


async def _picked_up(
    client: Client, note: AsyncContextJob[[], None], starts: _Starts, tenants: Sequence[str]
) -> list[float]:
    """Enqueue a job of each tenant in one transaction, and return how long after it each began."""
    if len(tenants) == 1:
        jobs = [(await note.using(tenant=tenants[0], client=client).enqueue()).id]
    else:
        jobs = [job.id for job in await client.enqueue_many([note.using(tenant=tenant).call() for tenant in tenants])]
    committed = time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return [max(0.0, await starts.of(job) - committed) for job in jobs]
    except TimeoutError:
        raise Unavailable(f"The workers did not take a job within {_PATIENCE_S:.0f} s.") from None
