"""`bench enqueue`: how many jobs a second can be handed in, beside a bare insert and the floor of the same run."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.backlog import clients as opened
from jobledger.bench.backlog import enqueue_all
from jobledger.bench.bare import ARGUMENTS, BareInserts, make_table
from jobledger.bench.beside import attach_partitions
from jobledger.bench.floor import rows_per_s
from jobledger.bench.meter import CLIENTS, WORKERS, Meter
from jobledger.bench.noop import KIND, Noop
from jobledger.bench.plot import Bars
from jobledger.bench.quantiles import ratio, spread
from jobledger.bench.workers import drainers, working
from jobledger.jobs.client import Client
from jobledger.store.pool import Store
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from jobledger.bench.measurement import Bench
    from jobledger.jobs.kind import Enqueuer
    from jobledger.store.pool import Connection

    Step = Callable[[int], Awaitable[int]]

_MANY: Final = 32
_YARDSTICK_BEFORE: Final = {"batch": 0, "single_1": 1, f"single_{_MANY}": _MANY}
_FLOOR_ROWS: Final = 100_000


async def enqueue(bench: Bench) -> None:
    """Enqueue the jobs by `clients` connections, `batch` a transaction; `processes` workers run them meanwhile, if any.

    The server's cost a job is then that of both. Raises `Unavailable` when a worker process ended meanwhile.
    """
    setup = bench.setup
    if setup.partitions:
        await attach_partitions(bench.connection, setup.partitions)
    async with drainers(bench, setup.processes) as workers, opened(bench, setup.clients) as connections:
        meter = Meter(bench, setup.jobs, workers, backends=WORKERS if workers else CLIENTS)
        await meter.start()
        async with working(workers) as check:
            await enqueue_all(bench, connections, batch=setup.batch, what="enqueuing")
            elapsed_s = meter.stop()
            check()
            costs = await meter.cost()
    bench.figures |= {
        "jobs_per_s": round(setup.jobs / elapsed_s),
        "elapsed_s": round(elapsed_s, 3),
        "run_meanwhile": sum(worker.handled for worker in workers),
        **costs,
    }
    bench.panels.append(Bars("Enqueue", "jobs/s", {"enqueued": bench.figures["jobs_per_s"]}))


async def enqueue_all_ways(bench: Bench, *, seconds: float, turns: int) -> None:
    """Hand in by every way in turns: batches, single by one connection, single by 32; without and with keys; bare.

    And by the SQL function alone, and by 32 callers of one client, whose calls of the same moment share a statement, on
    a pool of as many connections.
    Each stretch lasts `seconds`; the figures are medians of `turns`. Beside each batch stretch the floor is measured.
    """
    bench.options |= {"seconds": seconds, "turns": turns, "ways": "all"}
    if bench.setup.partitions:
        await attach_partitions(bench.connection, bench.setup.partitions)
    rates: dict[str, list[float]] = {}
    waits: dict[str, list[float]] = {}
    costs: dict[str, dict[str, Any]] = {}
    for turn in range(turns):
        for name, taking in _ways(bench):
            if name in _YARDSTICK_BEFORE:
                await _measure_yardstick(bench, _YARDSTICK_BEFORE[name], seconds, rates)
            bench.progress(f"enqueuing: {name}", turn + 1, turns)
            rate, ms, costs[name] = await _stretch(bench, taking, seconds)
            rates.setdefault(name, []).append(rate)
            waits.setdefault(name, []).extend(ms)
    _conclude(bench, {name: statistics.median(found) for name, found in rates.items()}, waits, costs)


def _ways(bench: Bench) -> Iterator[tuple[str, AbstractAsyncContextManager[list[Step]]]]:
    """Each way by its name, with what gives its callers; the last part is how many callers there are."""
    for keys in ("", "_keys"):
        yield f"batch{keys}", _by_clients(bench, bench.setup.clients, bench.setup.batch, keys=bool(keys))
    for count_ in (1, _MANY):
        yield f"single_{count_}", _by_clients(bench, count_, 1)
        yield f"sql_{count_}", _by_sql(bench, count_)
        yield f"single_{count_}_keys", _by_clients(bench, count_, 1, keys=True)
    for keys in ("", "_keys"):
        yield f"callers_{_MANY}{keys}", _by_clients(bench, _MANY, 1, keys=bool(keys), one_client=True)


def _conclude(
    bench: Bench, medians: dict[str, float], waits: dict[str, list[float]], costs: dict[str, dict[str, Any]]
) -> None:
    found: dict[str, dict[str, Any]] = {}
    for name, rate in medians.items():
        if name == "floor" or name.startswith("bare_"):
            continue
        plain = name.removesuffix("_keys")
        one = found[name] = {"jobs_per_s": round(rate), "call_ms": spread(waits[name]), **costs[name]}
        if plain == "batch":
            one["ratio_to_floor"] = ratio(rate, medians["floor"])
        else:
            bare = medians["bare_" + plain.rpartition("_")[2]]
            one |= {"bare_rows_per_s": round(bare), "ratio_to_bare": ratio(rate, bare)}
        if plain != name:
            one["ratio_to_without_keys"] = ratio(rate, medians[plain])
    batch = found["batch"]
    carried = ("wal_bytes_per_job", "postgres_cpu_us_per_job", "client_cpu_us_per_job", "jobs_per_s", "ratio_to_floor")
    bench.figures |= {name: batch[name] for name in carried}
    bench.figures |= {"ways": found, "floor_beside_rows_per_s": round(medians["floor"])}
    bench.panels += [
        Bars("Batches, of the floor", "ratio", {way: found[way]["ratio_to_floor"] for way in ("batch", "batch_keys")}),
        Bars(
            "Single enqueue, of a bare insert",
            "ratio",
            {name: one["ratio_to_bare"] for name, one in found.items() if "ratio_to_bare" in one},
        ),
        Bars("Enqueue", "jobs/s", {name: one["jobs_per_s"] for name, one in found.items()}),
    ]


async def _measure_yardstick(bench: Bench, clients: int, seconds: float, rates: dict[str, list[float]]) -> None:
    """Measure what the ways that follow are compared with: the bare insert by as many connections; 0: the floor."""
    if not clients:
        rates.setdefault("floor", []).append(await rows_per_s(bench.connection, _FLOOR_ROWS))
        return
    await make_table(bench.connection)
    async with opened(bench, clients) as connections:
        steps = [_bare(bench, BareInserts(connection)) for connection in connections]
        await _warm(steps)
        done, elapsed_s, _ = await _repeated(steps, seconds)
    rates.setdefault(f"bare_{clients}", []).append(done / elapsed_s)


async def _stretch(
    bench: Bench, taking: AbstractAsyncContextManager[list[Step]], seconds: float
) -> tuple[float, list[float], dict[str, Any]]:
    """Enqueue for so many seconds; return jobs a second, the milliseconds of each call, and what each job cost."""
    async with taking as steps:
        await _warm(steps)
        meter = Meter(bench, 1, backends=CLIENTS)
        await meter.start()
        done, elapsed_s, ms = await _repeated(steps, seconds)
        meter.jobs = done
        costs = await meter.cost()
    return done / elapsed_s, ms, costs


@asynccontextmanager
async def _by_clients(
    bench: Bench, count_: int, batch: int, *, keys: bool = False, one_client: bool = False
) -> AsyncIterator[list[Step]]:
    """Give a client to each caller: one on a connection of its own, or all the same, on a pool."""
    noop = Noop()
    if one_client:
        async with await Store.connect(bench.dsn, pool_max=count_, application_name=CLIENTS) as store:
            yield [_ours(bench, noop, Client(store, app=noop.app), batch, keys=keys)] * count_
        return
    async with opened(bench, count_) as connections:
        clients = [Client(Store(connection=connection), app=noop.app) for connection in connections]
        yield [_ours(bench, noop, client, batch, keys=keys) for client in clients]


@asynccontextmanager
async def _by_sql(bench: Bench, count_: int) -> AsyncIterator[list[Step]]:
    """Give each caller a connection, on which it calls the SQL function as a program in any language would."""
    async with opened(bench, count_) as connections:
        yield [_function(bench, connection) for connection in connections]


def _function(bench: Bench, connection: Connection) -> Step:
    call = statement("bench/enqueue_call")

    async def step(number: int) -> int:
        await connection.fetchval(call, KIND, ARGUMENTS, bench.setup.tenant(number))
        return 1

    return step


def _bare(bench: Bench, inserts: BareInserts) -> Step:
    async def step(number: int) -> int:
        await inserts.one(bench.setup.tenant(number))
        return 1

    return step


_keys = count()


def _ours(bench: Bench, noop: Noop, client: Client, batch: int, *, keys: bool) -> Step:
    setup = bench.setup

    def one(number: int) -> Enqueuer[[], None]:
        if keys:
            return noop.job.using(tenant=setup.tenant(number), key=f"key-{next(_keys)}")
        return noop.job.using(tenant=setup.tenant(number))

    async def single(number: int) -> int:
        await client.send(one(number).call())
        return 1

    async def many(number: int) -> int:
        await client.enqueue_many([one(n).call() for n in range(number * batch, (number + 1) * batch)])
        return batch

    return single if batch == 1 else many


async def _repeated(steps: Sequence[Step], seconds: float) -> tuple[int, float, list[float]]:
    """Take the steps of each client over and over for so many seconds, each awaited before the next of its client.

    Returns what was done, the seconds until the last answer, and the milliseconds of each step.
    """
    numbers = count()
    began = time.perf_counter()
    done = 0
    ms: list[float] = []

    async def one_client(step: Step) -> None:
        nonlocal done
        while (now := time.perf_counter()) - began < seconds:
            more = await step(next(numbers))
            ms.append((time.perf_counter() - now) * 1000)
            # Not `done += await …`, which reads it before it waits, and loses what the other clients did meanwhile.
            done += more

    async with asyncio.TaskGroup() as clients:
        for step in steps:
            clients.create_task(one_client(step))
    return done, time.perf_counter() - began, ms


async def _warm(steps: Sequence[Step]) -> None:
    """Let each connection prepare its statements before the clock starts."""
    for number, step in enumerate(steps):
        await step(number)
