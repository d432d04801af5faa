"""`bench follow`: how long an event takes from its append to live subscribers, and whether each gets all of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from jobledger.bench.plot import Bars
from jobledger.bench.processes import resident_bytes
from jobledger.bench.quantiles import spread
from jobledger.bench.workers import started
from jobledger.errors import CheckFailed, Unavailable
from jobledger.jobs.client import Client
from jobledger.store.pool import Store, connect
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.bench.measurement import Bench
    from jobledger.jobs.door import EventFeed as Feed

_PATIENCE_S: Final = 30.0
_LOOKS: Final = 20
_MB: Final = 1_000_000
_CLIENTS_MOST: Final = 16


class _Reader:
    """One subscriber: what it is to get, and when each event came."""

    def __init__(self, feed: Feed, due: int) -> None:
        """Keep the feed, and how many events are due to it."""
        self.feed = feed
        self.due = due
        self.waits_s: list[float] = []
        self.wrong = 0

    async def read(self, ahead_s: float) -> None:
        """Take in events until all have come; `ahead_s` is the database's clock less this machine's."""
        seen = set()
        while len(self.waits_s) < self.due:
            event = await anext(self.feed)
            self.waits_s.append(time.time() + ahead_s - event.at.timestamp())
            self.wrong += event.stream_id in seen
            seen.add(event.stream_id)


async def follow(bench: Bench, *, readers: int, rate: float, held: bool) -> None:
    """Append at a rate from a process of its own, which seals too, and time each event at each reader.

    From the moment that the event carries (before its transaction is committed) until the reader's loop has it. With
    one reader it gets everything; more of them read one tenant each, in turns. `held`: another session keeps a
    transaction with an id open all the while.

    Raises:
        CheckFailed: a reader got an event twice, or another number than were appended for it.
    """
    setup = bench.setup
    bench.options |= {"readers": readers, "rate": rate, "held": held}
    orders = {
        "dsn": bench.dsn,
        "jobs": setup.jobs,
        "tenants": setup.tenants,
        "rate": rate,
        "clients": min(_CLIENTS_MOST, setup.clients),
    }
    async with (
        await Store.connect(bench.dsn, application_name="jobledger-bench-reader") as store,
        Client(store) as client,
        started("appender", [json.dumps(orders)]) as (appender,),
        _held(bench, held),
    ):
        ahead_s = await ahead_of(bench)
        made = [_reader(client, setup.jobs, setup.tenants, number, readers) for number in range(readers)]
        tasks = [asyncio.create_task(reader.read(ahead_s)) for reader in made]
        await asyncio.sleep(1.0 + readers / 1000)  # they are live then; one that is not catches up, and is slower
        gc.collect()
        before = resident_bytes()
        cpu_s = time.process_time()
        appender.say("go")
        took = json.loads(await appender.line())
        await _all_in(bench, made, tasks)
        cpu_s = time.process_time() - cpu_s
        growth = resident_bytes() - before
        for reader in made:
            await reader.feed.aclose()
    waits = [wait * 1000 for reader in made for wait in reader.waits_s]
    late = spread(waits) or {}
    bench.figures |= {
        "append_to_reader_ms": late,
        "events_appended": setup.jobs,
        "events_per_s": round(setup.jobs / took["elapsed_s"], 1),
        "deliveries": len(waits),
        "reader_cpu_us_per_delivery": round(cpu_s / max(1, len(waits)) * 1e6, 1),
        "growth_mb": round(growth / _MB, 1),
        "elapsed_s": round(took["elapsed_s"], 3),
    }
    bench.panels.append(Bars("From append to reader", "ms", late))


def _reader(client: Client, jobs: int, tenants: int, number: int, readers: int) -> _Reader:
    if readers == 1:
        return _Reader(client.events(from_end=True, types=["job.enqueued"]), jobs)
    tenant = number % tenants
    due = len(range(tenant, jobs, tenants))
    return _Reader(client.events(from_end=True, tenant=f"tenant-{tenant}"), due)


async def _all_in(bench: Bench, readers: list[_Reader], tasks: list[asyncio.Task[None]]) -> None:
    """Wait until every reader has everything, and a little longer: nothing more may come."""
    due = sum(reader.due for reader in readers)
    seen, seen_at = -1, time.monotonic()
    while not all(task.done() for task in tasks):
        came = sum(len(reader.waits_s) for reader in readers)
        bench.progress("following", came, due)
        if came != seen:
            seen, seen_at = came, time.monotonic()
        elif time.monotonic() - seen_at > _PATIENCE_S:
            raise Unavailable(f"Nothing came for {_PATIENCE_S:.0f} s; {came:,} of {due:,} had.")
        await asyncio.wait(tasks, timeout=0.1)
    for task in tasks:
        task.result()
    wrong = sum(reader.wrong for reader in readers)
    if wrong:
        raise CheckFailed("A reader got an event twice.", detail={"events": wrong})


async def ahead_of(bench: Bench) -> float:
    """Return how many seconds the database's clock is ahead of this machine's, by the quickest of some looks."""
    best = (float("inf"), 0.0)
    for _ in range(_LOOKS):
        began = time.time()
        clock = await bench.connection.fetchval(statement("bench/clock"))
        ended = time.time()
        best = min(best, (ended - began, clock.timestamp() - (began + ended) / 2))
    return best[1]


@asynccontextmanager
async def _held(bench: Bench, held: bool) -> AsyncIterator[None]:
    """Keep a transaction open meanwhile, if asked to."""
    if not held:
        yield
        return
    session = await connect(bench.dsn, application_name="jobledger-bench-held")
    try:
        async with session.transaction():
            await session.fetchval(statement("bench/hold_transaction"))
            yield
    finally:
        await session.close()
