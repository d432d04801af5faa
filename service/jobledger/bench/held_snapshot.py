"""`bench held-snapshot`: a drain while another session holds an old snapshot, beside the same without."""

from __future__ import annotations

import statistics
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from jobledger.bench.drain import drain, rate_panel
from jobledger.bench.meter import COSTS
from jobledger.bench.plot import Bars
from jobledger.bench.quantiles import medians, ratio
from jobledger.store import pool
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.bench.drain import Series
    from jobledger.bench.measurement import Bench


async def held_snapshot(bench: Bench, *, turns: int) -> None:
    """Drain without and with such a session in turns, each on a fresh database; medians of `turns`.

    The snapshot is taken when the backlog is there, and held until it is drained. `last_to_first_third` below 1 is a
    rate that decays.
    """
    bench.options |= {"turns": turns}
    runs: dict[str, list[dict[str, Any]]] = {"without": [], "held": []}
    series: dict[str, Series] = {}
    for turn in range(turns):
        for name, found in runs.items():
            bench.say(f"turn {turn + 1} of {turns}: {name}")
            async with bench.elsewhere() as own:
                series[name] = await drain(own, holding if name == "held" else None)
            thirds = own.figures["thirds_jobs_per_s"]
            found.append({**own.figures, "last_to_first_third": ratio(thirds[-1], thirds[0]) if thirds else None})
    rates = {name: statistics.median(one["jobs_per_s"] for one in found) for name, found in runs.items()}
    decays = {
        name: _median([one["last_to_first_third"] for one in found if one["last_to_first_third"] is not None])
        for name, found in runs.items()
    }
    bench.figures |= {
        "jobs_per_s": rates["held"],
        "without_jobs_per_s": rates["without"],
        "ratio_to_without": ratio(rates["held"], rates["without"]),
        "last_to_first_third": decays["held"],
        "without_last_to_first_third": decays["without"],
        **medians(runs["held"], COSTS),
        "runs": runs,
    }
    bench.panels += [Bars("Drain", "jobs/s", rates), rate_panel("The last runs over time", series)]


@asynccontextmanager
async def holding(bench: Bench) -> AsyncIterator[None]:
    """Hold a repeatable-read snapshot in the measurement's database."""
    connection = await pool.connect(bench.dsn, application_name="jobledger-bench-holder")
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.fetchval(statement("bench/take_snapshot"))
            yield
    finally:
        await connection.close()


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
