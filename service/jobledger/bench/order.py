"""`bench order`: the order of the log under writers that make it hard, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.beside import attach_partitions
from jobledger.bench.lag import watching
from jobledger.bench.order_load import Writers
from jobledger.bench.plot import Bars
from jobledger.bench.processes import backends_cpu_s
from jobledger.bench.quantiles import spread
from jobledger.errors import CheckFailed
from jobledger.order.cursor import Place
from jobledger.order.log import PAGE, read_page
from jobledger.order.sealer import Sealer
from jobledger.store import pool
from jobledger.store.pool import Store
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.bench.measurement import Bench
    from jobledger.order.log import Sealed
    from jobledger.store.pool import Connection

SEALER: Final = "jobledger-bench-sealer"
_PAUSE_S: Final = 0.005

Fact = tuple["UUID", int]


async def order(bench: Bench, *, seconds: float, writers: int, readers: int, straggle_s: float) -> None:
    """Write for so long, seal and read meanwhile; then compare what each reader saw with what was written.

    Raises:
        CheckFailed: an event was lost, repeated or turned round within its job, or two readers had different orders.
    """
    bench.options |= {"seconds": seconds, "writers": writers, "readers": readers, "straggle_s": straggle_s}
    if bench.setup.partitions:
        await attach_partitions(bench.connection, bench.setup.partitions)
    prepares = bool(await bench.connection.fetchval(statement("bench/order_prepares")))
    load = Writers(bench.dsn, straggle_s=straggle_s, prepares=prepares)
    stop = asyncio.Event()
    async with (
        await Store.connect(bench.dsn, application_name=SEALER, pool_min=1, pool_max=1) as store,
        watching(bench) as lag,
    ):
        sealing = asyncio.create_task(Sealer(store).run())
        reading = [asyncio.create_task(_come_and_go(bench.dsn, stop)) for _ in range(readers)]
        try:
            cpu = await backends_cpu_s(bench.connection, SEALER)
            began = time.perf_counter()
            bench.say(f"writing for {seconds:g} s")
            await load.run(writers, seconds)
            sealed_after_s = await lag.caught_up()
            elapsed_s = time.perf_counter() - began
            spent = await backends_cpu_s(bench.connection, SEALER)
            stop.set()
            orders = [await reader for reader in reading]
        finally:
            for task in (sealing, *reading):
                task.cancel()
            await asyncio.gather(sealing, *reading, return_exceptions=True)
    blocks = dict(await bench.connection.fetchrow(statement("bench/order_blocks")) or {})
    faults = await _faults(bench.connection, orders)
    bench.figures |= {
        "events_written": faults.pop("written"),
        "events_sealed": blocks["events"],
        "events_read": sum(len(one) for one in orders),
        **faults,
        "two_phase": prepares,
        "transactions": load.transactions,
        "events_per_s": round(blocks["events"] / elapsed_s),
        "blocks": blocks["blocks"],
        "largest_block": blocks["largest"],
        "seals_per_s": round(blocks["blocks"] / elapsed_s, 1),
        "seal_cpu_us_per_event": _us_per_event(cpu, spent, blocks["events"]),
        "seal_lag_ms": _lags_ms(orders[0], load.plain),
        **lag.figures(),
        "sealed_after_s": round(sealed_after_s, 3),
    }
    bench.panels.append(Bars("From an event's appending to its sealing", "ms", bench.figures["seal_lag_ms"] or {}))
    wrong = {name: bench.figures[name] for name in ("lost", "repeated", "inverted", "readers_that_differ")}
    if any(wrong.values()):
        raise CheckFailed("The order of the log is not what it must be.", detail=wrong)


async def _come_and_go(dsn: str, stop: asyncio.Event) -> list[Sealed]:
    """Read from the beginning, each stretch of pages over a connection of its own; at the end to the end."""
    found: list[Sealed] = []
    place = Place()
    while True:
        last = stop.is_set()
        connection = await pool.connect(dsn, application_name="jobledger-bench-reader")
        try:
            for _ in range(50):
                page = await read_page(connection, 0, place, limit=PAGE)
                found += page.events
                if last and page.reached == place:
                    return found
                place = page.reached
                await asyncio.sleep(0 if last else _PAUSE_S)
        finally:
            await connection.close()


async def _faults(connection: Connection, orders: list[list[Sealed]]) -> dict[str, Any]:
    """Count what is missing, there twice, turned round, and the readers whose order is another than the first's."""
    written = {(row["stream_id"], row["version"]) for row in await connection.fetch(statement("bench/order_written"))}
    first = _facts(orders[0])
    last: dict[UUID, int] = defaultdict(int)
    inverted = 0
    for stream, version in first:
        inverted += version <= last[stream]
        last[stream] = version
    return {
        "written": len(written),
        "lost": len(written - set(first)),
        "repeated": len(first) - len(set(first)),
        "inverted": inverted,
        "readers_that_differ": sum(_facts(one) != first for one in orders[1:]),
    }


def _facts(events: list[Sealed]) -> list[Fact]:
    return [(one.event.stream_id, one.event.version) for one in events]


def _lags_ms(events: list[Sealed], plain: set[UUID]) -> Any:
    """From the appending of an event that was committed at once to its sealing."""
    return spread(
        [
            (one.sealed_at - one.event.at).total_seconds() * 1000
            for one in events
            if one.event.version == 1 and one.event.stream_id in plain
        ]
    )


def _us_per_event(before: dict[int, float] | None, after: dict[int, float] | None, events: int) -> float | None:
    if before is None or after is None or not events:
        return None
    return round(sum(spent - before.get(pid, 0.0) for pid, spent in after.items()) / events * 1e6, 2)
