"""All faults at random: workers, server, backends, network, operators, prepared transactions, rebuilds, together.

`JOBLEDGER_TEST_SECONDS` says for how long (600), `JOBLEDGER_TEST_SEED` which schedule of faults; without it a new one
is drawn. Both are printed with the timeline when the test fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.faults.conftest import ENDS, Ledger, Load
from tests.faults.schedule import schedule
from tests.faults.test_crashes import BACKEND, ENQUEUE, LOST, server

from jobledger.jobs import Client
from jobledger.store.recovery import is_unlogged, open_store, persist, rebuild
from jobledger.store.tick import tick
from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from tests.faults.conftest import Crew, Hand
    from tests.faults.schedule import Fault

    from jobledger.embedded import Server
    from jobledger.store.pool import Store

__all__ = ["server"]

SECONDS = float(os.environ.get("JOBLEDGER_TEST_SECONDS", "600"))
HANDS = 3
PREPARED = "select gid from pg_prepared_xacts where database = current_database()"
TENANTS = ("t0", "t1")
OVER_S = 240.0


class Chaos:
    """The world that the faults strike: a server, workers and enqueuers behind proxies, operators beside them."""

    def __init__(self, server: Server, crew: Crew, store: Store, load: Load, proxies: dict[str, Proxy]) -> None:
        """Hire the workers: the first reaches the server directly, the others through the proxy."""
        self.server = server
        self.crew = crew
        self.store = store
        self.load = load
        self.proxies = proxies
        self.client = Client(store, strict=False)
        self.hands = [self._hire(place) for place in range(HANDS)]
        self.prepared: dict[str, UUID] = {}

    def _hire(self, place: int) -> Hand:
        return self.crew.hire(dsn=None if place == 0 else self.proxies["workers"].dsn)

    async def run(self, faults: list[Fault]) -> None:
        """Strike as it is scheduled; what a fault keeps from being done is left out."""
        began = time.monotonic()
        for fault in faults:
            await asyncio.sleep(began + fault.at_s - time.monotonic())
            self._supervise()
            try:
                async with asyncio.timeout(20):
                    await getattr(self, "_" + fault.what.replace(" ", "_"))(fault)
                print(fault)
            except LOST as error:
                print(fault, "- not done:", type(error).__name__)

    async def settle(self) -> None:
        """End what lasts: everybody goes on from here by themselves."""
        for proxy in self.proxies.values():
            proxy.refuse(False)
            proxy.stall(False)
            # What the server was not told of, it finds out by looking.
            proxy.cut()
        for hand in self.hands:
            hand.thaw()
        await self._answering()
        for name in list(self.prepared):
            await self._commit(name)
        for tenant in TENANTS:
            await self.client.resume("tenant", tenant, reason="chaos is over", actor="chaos")
        self._supervise()

    async def _answering(self) -> None:
        """Wait until the server answers: one that was killed last of all is still reading its WAL."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(*LOST):
                    async with self.store.connection() as connection:
                        await connection.fetchval("select 1")
                        return
                await asyncio.sleep(0.1)

    def _supervise(self) -> None:
        for place, hand in enumerate(self.hands):
            if hand.process.poll() is not None:
                self.hands[place] = self._hire(place)

    def _proxy(self, fault: Fault) -> Proxy:
        return self.proxies[sorted(self.proxies)[fault.pick % len(self.proxies)]]

    def _job(self, fault: Fault) -> UUID:
        # Of the latest, so that it has a chance to be open.
        latest = list(self.load.acknowledged.values())[-200:]
        if not latest:
            raise OSError("nothing was acknowledged yet")
        return latest[fault.pick % len(latest)]

    # ---- processes

    async def _kill_worker(self, fault: Fault) -> None:
        self.hands[fault.pick % HANDS].kill()

    async def _freeze_worker(self, fault: Fault) -> None:
        self.hands[fault.pick % HANDS].process.send_signal(signal.SIGCONT if fault.ends else signal.SIGSTOP)

    async def _kill_server(self, _: Fault) -> None:
        if self.server.pid is not None:
            os.kill(self.server.pid, signal.SIGKILL)
        await self.server.astart()

    async def _kill_backend(self, _: Fault) -> None:
        async with self.store.connection() as connection:
            pid = await connection.fetchval(BACKEND)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    # ---- the network

    async def _cut(self, fault: Fault) -> None:
        self._proxy(fault).cut()

    async def _stall(self, fault: Fault) -> None:
        self._proxy(fault).stall(not fault.ends)

    async def _mute(self, fault: Fault) -> None:
        self._proxy(fault).mute()

    async def _orphan(self, fault: Fault) -> None:
        self._proxy(fault).orphan()

    async def _refuse(self, fault: Fault) -> None:
        self._proxy(fault).refuse(not fault.ends)

    # ---- operators

    async def _cancel(self, fault: Fault) -> None:
        await self.client.cancel(self._job(fault), reason="chaos", actor="chaos")

    async def _kill(self, fault: Fault) -> None:
        await self.client.kill(self._job(fault), reason="chaos", actor="chaos")

    async def _retry(self, fault: Fault) -> None:
        ended = await self.client.jobs(states=["killed" if fault.pick % 2 else "cancelled"], limit=20)
        if ended.jobs:
            job = ended.jobs[fault.pick % len(ended.jobs)].id
            await self.client.retry(job, reason="chaos", actor="chaos")

    async def _reprioritise(self, fault: Fault) -> None:
        await self.client.reprioritise(self._job(fault), priority=fault.pick % 5, reason="chaos", actor="chaos")

    async def _move(self, fault: Fault) -> None:
        queue = ("default", "other")[fault.pick % 2]
        await self.client.move(self._job(fault), queue=queue, reason="chaos", actor="chaos")

    async def _pause(self, fault: Fault) -> None:
        act = self.client.resume if fault.ends else self.client.pause
        await act("tenant", TENANTS[fault.pick % len(TENANTS)], reason="chaos", actor="chaos")

    # ---- the database

    async def _prepare(self, fault: Fault) -> None:
        name = f"chaos-{fault.pick}-{fault.at_s if not fault.ends else 0}"
        if fault.ends:
            for name in [one for one in self.prepared if one.startswith(f"chaos-{fault.pick}-")]:
                await self._commit(name)
            return
        connection = await asyncpg.connect(self.server.dsn)
        try:
            await connection.execute("begin")
            job = await connection.fetchval(ENQUEUE)
            self.prepared[name] = job
            await connection.execute(f"prepare transaction '{name}'")
        finally:
            connection.terminate()

    async def _commit(self, name: str) -> None:
        """Commit what was prepared; where the answer to its preparing was lost, see whether it was."""
        async with self.store.connection() as connection:
            if name in {row["gid"] for row in await connection.fetch(PREPARED)}:
                await connection.execute(f"commit prepared '{name}'")
            job = self.prepared[name]
            if await connection.fetch("select from jobledger.events where stream_id = $1", job):
                self.load.acknowledged[name] = job
        del self.prepared[name]

    async def _rebuild_queue(self, _: Fault) -> None:
        await rebuild(self.store, "queue", attempts=20)

    async def _rebuild_status(self, _: Fault) -> None:
        await rebuild(self.store, "status", attempts=20)

    async def _switch_persistence(self, _: Fault) -> None:
        async with self.store.connection() as connection:
            unlogged = await is_unlogged(connection)
        await persist(self.store, unlogged=not unlogged, attempts=20)

    async def _add_partition(self, fault: Fault) -> None:
        month = datetime.now(UTC) + timedelta(days=120 + 31 * (fault.pick % 24))
        async with self.store.connection() as connection:
            await connection.fetchval("select jobledger.partition_add($1)", month)

    async def _tick(self, _: Fault) -> None:
        async def once() -> None:
            async with self.store.connection() as connection:
                await tick(connection, 0)

        await asyncio.gather(*(once() for _ in range(3)))


@pytest.fixture
async def chaos(
    server: Server, over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]]
) -> AsyncIterator[Chaos]:
    """Give a world to strike; the enqueuers are behind a proxy of their own."""
    crew, _, _, store = await over_server(server.dsn)
    async with store:
        await open_store(store)
        with Proxy(server.dsn) as workers, Proxy(server.dsn) as enqueuers:
            async with await type(store).connect(enqueuers.dsn, pool_min=0, pool_max=6) as through:
                yield Chaos(server, crew, store, Load(through), {"workers": workers, "enqueuers": enqueuers})


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 600)
async def test_everything_at_random_loses_and_doubles_nothing(chaos: Chaos) -> None:
    """After all of it each acknowledged job is over, once for every time it was begun anew, and the books agree."""
    seed = int(os.environ.get("JOBLEDGER_TEST_SEED") or secrets.randbelow(1_000_000))
    print(f"repeat it by JOBLEDGER_TEST_SEED={seed} JOBLEDGER_TEST_SECONDS={SECONDS:g}")
    ledger = Ledger(chaos.store)
    async with chaos.load.going_on(enqueuers=len(TENANTS), ms=600):
        await chaos.run(schedule(seed, SECONDS))
        await chaos.settle()
    await ledger.all_over(OVER_S)
    await chaos.crew.dismiss()
    await ledger.agrees(set(chaos.load.acknowledged.values()), chaos.crew.notes(), ends=ENDS)


def test_a_seed_is_a_schedule() -> None:
    """The same seed strikes the same faults at the same moments, and each that lasts has its end."""
    drawn = schedule(7, 60)
    assert drawn == schedule(7, 60)
    assert drawn != schedule(8, 60)
    lasting = [fault for fault in drawn if fault.ends]
    assert {(f.what, f.pick) for f in lasting} <= {(f.what, f.pick) for f in drawn if not f.ends}
    assert drawn[-1].at_s <= 60
