"""`bench http`: what the service costs beside a bare handler, and beside the core that it serves; in the same run."""

from __future__ import annotations

import asyncio
import json
import statistics
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import orjson

from jobledger.bench.database import settle
from jobledger.bench.http_load import load, post
from jobledger.bench.http_server import Orders
from jobledger.bench.noop import KIND, Noop
from jobledger.bench.plot import Bars
from jobledger.bench.quantiles import ratio, spread
from jobledger.bench.workers import started
from jobledger.jobs.client import Client
from jobledger.store.keys import create_key, new_key
from jobledger.store.pool import Store
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from jobledger.bench.measurement import Bench

_BULK: Final = 1_000
_BULK_CONNECTIONS: Final = 2
_WARM_S: Final = 1.5


@asynccontextmanager
async def served(dsn: str | None, *, keeps: bool = False) -> AsyncIterator[tuple[str, int]]:
    """Start a server process, the service or (None) the bare handler; give its URL and process id, and end it."""
    async with started("http_server", [Orders(dsn, keeps).line()]) as (server,):
        told = json.loads(server.first)
        yield told["url"], told["pid"]


async def made_key(bench: Bench, *roles: str) -> str:
    """Return a key of every tenant for a measurement."""
    key = new_key(await ServiceKey.load(bench.connection))
    await create_key(bench.connection, 0, key, f"bench-{'-'.join(roles)}", roles=roles, reason="measurement")
    return key


async def http(bench: Bench, *, parts: Sequence[str], connections: int, seconds: float, turns: int) -> None:
    """Measure the parts one after the other; `turns` stretches of each way in turns, figures are medians."""
    bench.options |= {"parts": list(parts), "connections": connections, "seconds": seconds, "turns": turns}
    async with await Store.connect(bench.dsn, application_name="jobledger-bench-client") as store:
        await Noop().app.register(store)
    await settle(bench.connection)
    for part in parts:
        await PARTS[part](bench, connections, seconds, turns)


async def _single(bench: Bench, connections: int, seconds: float, turns: int) -> None:
    """One job a request, by kept connections: the service and the bare handler in turns."""
    key = await made_key(bench, "enqueue")
    numbers = count()
    tenants = bench.setup.tenants

    def request() -> bytes:
        body = orjson.dumps({"kind": KIND, "args": {}, "tenant": f"tenant-{next(numbers) % tenants}"})
        return post("/v1/jobs", body, key)

    rates: dict[str, list[float]] = {"bare": [], "service": []}
    waits: dict[str, list[float]] = {"bare": [], "service": []}
    for turn in range(turns):
        for name, dsn in (("bare", None), ("service", bench.dsn)):
            bench.progress(f"one job a request: {name}", turn + 1, turns)
            async with served(dsn) as (url, _):
                await load(url, request, connections=connections, seconds=_WARM_S)
                rate, ms = await load(url, request, connections=connections, seconds=seconds)
            rates[name].append(rate)
            waits[name] += ms
    medians = {name: statistics.median(found) for name, found in rates.items()}
    bench.figures |= {
        "enqueue_requests_per_s": round(medians["service"]),
        "enqueue_bare_requests_per_s": round(medians["bare"]),
        "enqueue_ratio_to_bare": ratio(medians["service"], medians["bare"]),
        "enqueue_request_ms": spread(waits["service"]),
        "enqueue_bare_request_ms": spread(waits["bare"]),
    }
    bench.panels.append(Bars("One job a request", "requests/s", medians))


async def _bulk(bench: Bench, _: int, seconds: float, turns: int) -> None:
    """A thousand jobs a request, beside the Python client's own bulk enqueue over as many connections."""
    key = await made_key(bench, "enqueue")
    jobs = [{"kind": KIND, "args": {}, "tenant": bench.setup.tenant(place)} for place in range(_BULK)]
    whole = post("/v1/jobs/batch", orjson.dumps({"jobs": jobs}), key)
    rates: dict[str, list[float]] = {"client": [], "service": []}
    for turn in range(turns):
        bench.progress("a thousand jobs a request: client", turn + 1, turns)
        rates["client"].append(await _client_rate(bench, seconds))
        bench.progress("a thousand jobs a request: service", turn + 1, turns)
        async with served(bench.dsn) as (url, _):
            await load(url, lambda: whole, connections=_BULK_CONNECTIONS, seconds=_WARM_S)
            rate, waits = await load(url, lambda: whole, connections=_BULK_CONNECTIONS, seconds=seconds)
        rates["service"].append(rate * _BULK)
        bench.figures["bulk_request_ms"] = spread(waits)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    bench.figures |= {
        "bulk_jobs_per_s": round(medians["service"]),
        "bulk_client_jobs_per_s": round(medians["client"]),
        "bulk_ratio_to_client": ratio(medians["service"], medians["client"]),
    }
    bench.panels.append(Bars("A thousand jobs a request", "jobs/s", medians))


async def _client_rate(bench: Bench, seconds: float) -> float:
    """Return the jobs a second that the client enqueues by name, a thousand a call, by as many callers as requests."""
    async with await Store.connect(bench.dsn, application_name="jobledger-bench-client") as store:
        client = Client(store)
        loop = asyncio.get_running_loop()
        began = loop.time()
        done = 0

        async def one() -> None:
            nonlocal done
            while loop.time() - began < seconds:
                calls = [await client.call(KIND, {}, tenant=bench.setup.tenant(place)) for place in range(_BULK)]
                await client.enqueue_many(calls)
                done += _BULK

        await asyncio.gather(*(one() for _ in range(_BULK_CONNECTIONS)))
        return done / (loop.time() - began)


PARTS: Final[dict[str, Callable[[Bench, int, float, int], Awaitable[Any]]]] = {"enqueue": _single, "bulk": _bulk}
"""What can be measured, by name."""
