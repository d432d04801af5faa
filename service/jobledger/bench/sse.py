"""`bench sse`: many clients of one service's stream of events, and slow ones among them."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from jobledger.bench.follow import ahead_of
from jobledger.bench.plot import Bars
from jobledger.bench.quantiles import spread
from jobledger.bench.sse_client import SseClient
from jobledger.bench.workers import started
from jobledger.errors import CheckFailed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobledger.bench.measurement import Bench
    from jobledger.bench.workers import Process

_PATIENCE_S: Final = 30.0
_AT_ONCE: Final = 50
_MB: Final = 1_000_000
_APPENDERS: Final = 64
_STRIDE_S: Final = 0.02
_SETTLE_S: Final = 1.5


async def sse(bench: Bench, *, clients: int, rate: float, slow: int, write_s: float) -> None:
    """Append at a rate from a process of its own, which seals too, and time each event at each client.

    The service is a process of its own. From the moment that the event carries (before its transaction is committed)
    until the client has read it; what is due within 20 ms is appended together. Each client follows one tenant, in
    turns. A slow one follows everybody, takes in nothing while events are appended, is cut off, and goes on by its last
    id.

    Raises:
        CheckFailed: a client got an event twice, or not all of its own.
    """
    setup = bench.setup
    bench.options |= {"sse_clients": clients, "rate": rate, "slow": slow, "write_s": write_s, "stride_s": _STRIDE_S}
    ahead_s = await ahead_of(bench)
    serving = {"dsn": bench.dsn, "write_s": write_s, "streams": clients + 2 * slow + 10}
    writing = {"dsn": bench.dsn, "jobs": setup.jobs, "tenants": setup.tenants, "rate": rate}
    writing |= {"clients": _APPENDERS, "stride_s": _STRIDE_S}
    async with (
        started("streamer", [json.dumps(serving)]) as (server,),
        started("appender", [json.dumps(writing)]) as (appender,),
    ):
        url = urlsplit(json.loads(server.first)["url"])
        address = (str(url.hostname), int(url.port or 0))
        idle = await _asked(server)
        quick = [SseClient(address, f"tenant-{number % setup.tenants}", ahead_s) for number in range(clients)]
        late = [SseClient(address, None, ahead_s) for _ in range(slow)]
        await _connected([*quick, *late], late)
        await asyncio.sleep(_SETTLE_S)  # they are live then
        gc.collect()
        before = await _asked(server)
        appender.say("go")
        took = json.loads(await appender.line())
        due = [len(range(number % setup.tenants, setup.jobs, setup.tenants)) for number in range(clients)]
        await _all_in(bench, quick, due)
        after = await _asked(server)
        resumed = await _go_on(late, setup.jobs)
        _report(bench, quick, due, took["elapsed_s"], (idle, before, after))
        bench.figures |= {"slow_dropped": after["dropped"], "slow_resumed": resumed}
        for client in (*quick, *late):
            if client.transport is not None:
                client.transport.abort()
    if not bench.figures["complete"] or resumed < slow:
        raise CheckFailed("A client did not get all of its own, once each.", detail=dict(bench.figures))


async def _connected(clients: Sequence[SseClient], slow: Sequence[SseClient]) -> None:
    """Open all streams, some at a time; the slow ones read no more from then on."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(client: SseClient) -> None:
        async with places, asyncio.timeout(_PATIENCE_S):
            await client.connect(small=client in slow)
            await client.begun.wait()
        if client in slow and client.transport is not None:
            client.transport.pause_reading()

    await asyncio.gather(*(one(client) for client in clients))


async def _all_in(bench: Bench, clients: Sequence[SseClient], due: Sequence[int]) -> None:
    """Wait until every client has what is due, and a little longer: nothing more may come."""
    total, seen, seen_at = sum(due), -1, time.monotonic()
    while (came := sum(len(client.waits_s) for client in clients)) < total:
        bench.progress("streaming", came, total)
        if came != seen:
            seen, seen_at = came, time.monotonic()
        elif time.monotonic() - seen_at > _PATIENCE_S:
            raise Unavailable(f"Nothing came for {_PATIENCE_S:.0f} s; {came:,} of {total:,} had.")
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)


async def _go_on(clients: Sequence[SseClient], due: int) -> int:
    """Let the slow clients read what is left to them and go on by their last ids; return how many then have it all."""

    async def one(client: SseClient) -> None:
        if client.transport is not None:
            client.transport.resume_reading()
        while len(client.seen) < due:
            if client.transport is None:
                await client.connect()
            await asyncio.sleep(0.02)

    done = await asyncio.gather(
        *(asyncio.wait_for(one(client), _PATIENCE_S * 2) for client in clients), return_exceptions=True
    )
    return sum(fault is None and not client.repeated for fault, client in zip(done, clients, strict=True))


def _report(
    bench: Bench, clients: Sequence[SseClient], due: Sequence[int], elapsed_s: float, marks: Sequence[dict[str, Any]]
) -> None:
    idle, before, after = marks
    waits = [wait * 1000 for client in clients for wait in client.waits_s]
    late = spread(waits) or {}
    exact = [
        len(client.waits_s) == wanted and not client.repeated and not client.losses
        for client, wanted in zip(clients, due, strict=True)
    ]
    bench.figures |= {
        "complete": all(exact),
        "clients_complete": sum(exact),
        "append_to_client_ms": late,
        "events_appended": bench.setup.jobs,
        "events_per_s": round(bench.setup.jobs / elapsed_s, 1),
        "deliveries": len(waits),
        "server_cpu_us_per_delivery": round((after["cpu_s"] - before["cpu_s"]) / max(1, len(waits)) * 1e6, 1),
        "server_cpu_share": round((after["cpu_s"] - before["cpu_s"]) / elapsed_s, 3),
        "server_idle_mb": round(idle["resident"] / _MB, 1),
        "server_connected_mb": round(before["resident"] / _MB, 1),
        "server_growth_mb": round((after["resident"] - before["resident"]) / _MB, 1),
        "elapsed_s": round(elapsed_s, 3),
    }
    bench.panels.append(Bars("From append to client", "ms", late))


async def _asked(server: Process) -> dict[str, Any]:
    server.say("how")
    found: dict[str, Any] = json.loads(await server.line())
    return found
