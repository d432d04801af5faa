"""`bench catchup`: from the beginning to the end, by a reader of everything or of one tenant's, and in a projection."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from jobledger.bench.plot import Bars
from jobledger.bench.processes import resident_bytes
from jobledger.errors import CheckFailed
from jobledger.jobs.client import Client
from jobledger.order.log import seal
from jobledger.order.projections import built_in, drop, standings
from jobledger.order.runner import Runner
from jobledger.store.pool import Store
from jobledger.store.statements import statement
from jobledger.store.workers import start_worker

if TYPE_CHECKING:
    from jobledger.bench.measurement import Bench

_EVENTS_A_JOB: Final = 3
_MB: Final = 1_000_000
_KIND: Final = "bench.noop"
_PROJECTION: Final = "tenants"


async def catchup(bench: Bench, *, turns: int) -> None:
    """Write finished jobs with their events, sealed as they come, then read the log from its beginning, `turns` times.

    Everything by one reader (`events_per_s`), what one of the tenants has (`tenant_s`), and everything in SQL by the
    projection `tenants` (`projection_per_s`); figures are medians. Each must get each event once.

    Raises:
        CheckFailed: a reader got another number of events than were written.
    """
    setup = bench.setup
    await _fill(bench)
    of_tenant = _EVENTS_A_JOB * len(range(0, setup.jobs, setup.tenants))
    async with (
        await Store.connect(bench.dsn, application_name="jobledger-bench-reader") as store,
        Client(store) as client,
    ):
        before = resident_bytes()
        tenants_s = [
            await _read(client, f"tenant-{number % setup.tenants}", of_tenant if number == 0 else None)
            for number in range(turns)
        ]
        growth_tenant = resident_bytes() - before
        all_s = []
        for turn in range(turns):
            bench.progress("catching up", turn, turns)
            all_s.append(await _read(client, None, _EVENTS_A_JOB * setup.jobs))
        growth = resident_bytes() - before
        folds_s = [await _fold(store, _EVENTS_A_JOB * setup.jobs) for _ in range(turns)]
    took_s = statistics.median(all_s)
    bench.options |= {"turns": turns, "tenant_share": round(1 / setup.tenants, 6)}
    bench.figures |= {
        "events": _EVENTS_A_JOB * setup.jobs,
        "catchup_s": round(took_s, 3),
        "events_per_s": round(_EVENTS_A_JOB * setup.jobs / took_s),
        "projection_per_s": round(_EVENTS_A_JOB * setup.jobs / statistics.median(folds_s)),
        "tenant_events": of_tenant,
        "tenant_s": round(statistics.median(tenants_s), 3),
        "tenant_slowest_s": round(max(tenants_s), 3),
        "growth_mb": round(growth / _MB, 1),
        "growth_tenant_mb": round(growth_tenant / _MB, 1),
        "blocks": await bench.connection.fetchval(statement("bench/last_block")),
    }
    bench.panels.append(
        Bars(
            "Catching up",
            "s",
            {
                "everything": took_s,
                "projection": statistics.median(folds_s),
                "one tenant": statistics.median(tenants_s),
            },
        )
    )


async def _fill(bench: Bench) -> None:
    setup = bench.setup
    worker = (await start_worker(bench.connection, 0, kinds=[_KIND])).worker
    for first in range(0, setup.jobs, setup.batch):
        count = min(setup.batch, setup.jobs - first)
        await bench.connection.execute(
            statement("bench/make_finished"), first, count, setup.tenants, _KIND, worker, timedelta(0)
        )
        while (await seal(bench.connection, 0)).block is not None:
            pass
        bench.progress("writing the log", first + count, setup.jobs)


async def _fold(store: Store, due: int) -> float:
    """Make the projection `tenants` anew; return the seconds."""
    async with store.connection() as connection:
        await drop(connection, store.shard, _PROJECTION)
    began = time.monotonic()
    await Runner(store, [one for one in built_in() if one.name == _PROJECTION]).settle()
    took_s = time.monotonic() - began
    async with store.connection() as connection:
        found = [one for one in await standings(connection, store.shard) if one.name == _PROJECTION]
    if not found or found[0].state != "running" or found[0].events < due:
        raise CheckFailed("The projection has not taken in all events that were written.")
    return took_s


async def _read(client: Client, tenant: str | None, due: int | None) -> float:
    """Read to the end; return the seconds."""
    began = time.monotonic()
    count = 0
    async with client.events(tenant=tenant, live=False) as feed:
        async for event in feed:
            count += event.type.startswith("job.")
    if due is not None and count != due:
        raise CheckFailed("A reader got another number of events than were written.", detail={"events": count})
    return time.monotonic() - began
