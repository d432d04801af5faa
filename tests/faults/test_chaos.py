"""Faults at random: workers, server, backends, network, operators, transactions, rebuilds, migrators, disk, clock.

`JOBLEDGER_TEST_SECONDS` says for how long (600), `JOBLEDGER_TEST_SEED` which schedule of faults; without it a new one
is drawn. Both are printed with the timeline when the test fails.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.faults.conftest import ENDS, Ledger, Load
from tests.faults.following import Following
from tests.faults.schedule import WEIGHTS, Fault, schedule
from tests.faults.surroundings import Ground, Surroundings, ground
from tests.faults.test_crashes import BACKEND, BEGIN, ENQUEUE, LOST, server
from tests.faults.test_partitions import FAR_OFF
from tests.faults.transacting import Transacting

from jobledger.errors import IdOutOfWindow, NoPartition, SchemaError, Unavailable
from jobledger.jobs import Client
from jobledger.store.enqueue import NewJob, enqueue_many
from jobledger.store.migrate import migrate, pending
from jobledger.store.pool import connect
from jobledger.store.recovery import is_unlogged, open_store, persist, rebuild
from jobledger.store.tick import tick
from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from tests.faults.conftest import Crew, Hand

    from jobledger.embedded import Server
    from jobledger.store.pool import Store

__all__ = ["server"]

SECONDS = float(os.environ.get("JOBLEDGER_TEST_SECONDS", "600"))
PREPARED = "select gid from pg_prepared_xacts where database = current_database()"
TENANTS = ("t0", "t1")
OVER_S = 240.0
UNDO_S = 120.0
EACH_DONE_AFTER_S = 600.0
"""A run of so many seconds has each kind of fault about ten times: then none of them may have failed always."""
BEHIND_S = 120.0
"""A machine so far behind the schedule leaves out its rest; as long it is tried to make up for what was never done."""
LIMITED = "limited"
MAKE = f"""
create role {LIMITED} login
  in role jobledger_producer, jobledger_worker, jobledger_operator, jobledger_reader, jobledger_every_tenant
"""
LIMIT = f"alter role {LIMITED} connection limit {{}}"
END = "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1"
OUTDATE = "update jobledger.projection_files set checksum = 'older' where path = 'contract/50_report.sql'"
DISTURBS = {"kill server", "kill backend", "cut", "stall", "mute", "orphan", "refuse", "limit connections"} | {
    "full disk",
    "kill pooler",
}
"""What may keep a worker from starting."""
ATTEMPTS = 12
"""Longer than a transaction of seconds; a prepared one does not end while a fault waits for it."""
LASTS_S = 20.0
"""How long after it began a fault may be felt."""


class Chaos(Surroundings):
    """The world that the faults strike: a server, workers and enqueuers behind proxies, operators beside them."""

    def __init__(
        self, server: Server, crew: Crew, store: Store, beneath: Ground, load: Load, proxies: dict[str, Proxy]
    ) -> None:
        """Hire the workers: one reaches the server directly, two through the proxy, one through the pooler."""
        super().__init__(server, crew, store, beneath)
        self.load = load
        self.proxies = proxies
        self.client = Client(store, strict=False)
        self.hired: dict[Hand, float] = {}
        through = proxies["workers"].dsn
        self._ways: list[tuple[str | None, dict[str, str]]] = [(None, {}), (through, {})]
        self._ways.append((through.replace("postgres@", f"{LIMITED}@", 1), {}))
        if self.pooler is not None:
            self._ways.append((self.pooler.dsn, {"JOBLEDGER_POOLER": "transaction"}))
        self.hands = [self._hire(place) for place in range(len(self._ways))]
        self.prepared: dict[str, UUID] = {}
        self.killed: set[Hand] = set()
        self.done: set[str] = set()
        self.struck: dict[str, float] = {}
        self.unexplained: list[str] = []

    def _hire(self, place: int) -> Hand:
        dsn, extra = self._ways[place]
        hand = self.crew.hire(dsn=dsn, **extra)
        self.hired[hand] = time.monotonic()
        return hand

    @property
    def undone(self) -> set[str]:
        """The faults that can be done on this machine, and have not been."""
        return set(WEIGHTS) - self.done - self.missing

    async def run(self, faults: list[Fault]) -> None:
        """Strike as it is scheduled; what a fault keeps from being done is left out."""
        began = time.monotonic()
        for fault in faults:
            ahead_s = began + fault.at_s - time.monotonic()
            if ahead_s < -BEHIND_S:
                print("too far behind: the rest is left out")
                return
            await asyncio.sleep(ahead_s)
            await self._strike(fault)

    async def make_up(self) -> None:
        """Strike what was kept from being done each time, until it is done: by chance no fault is left out for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEHIND_S):
                for again in itertools.count():
                    for what in sorted(self.undone):
                        await self._strike(Fault(SECONDS, what, False, again))
                        if WEIGHTS[what][1]:
                            await self._strike(Fault(SECONDS, what, True, again))
                    if not self.undone:
                        return
                    # What they wait for may be over by then: a recovery, a transaction of seconds.
                    await asyncio.sleep(1)

    async def _strike(self, fault: Fault) -> None:
        if fault.what in self.missing:
            return
        self._supervise()
        self.struck[fault.what] = time.monotonic()
        try:
            async with asyncio.timeout(20):
                await getattr(self, "_" + fault.what.replace(" ", "_"))(fault)
            print(fault)
            if not fault.ends:
                self.done.add(fault.what)
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
        self.struck["cut"] = time.monotonic()
        await self._undo()
        self._supervise()

    async def _undo(self) -> None:
        """Undo what the database keeps; a server that was killed last of all is still reading its WAL."""
        async with asyncio.timeout(UNDO_S):
            while True:
                try:
                    await self.put_right()
                    for name in list(self.prepared):
                        await self._commit(name)
                    async with self.store.connection() as connection:
                        await connection.execute(LIMIT.format(-1))
                        await migrate(connection)
                    for tenant in TENANTS:
                        await self.client.resume("tenant", tenant, reason="chaos is over", actor="chaos")
                except LOST as error:
                    print("not undone yet:", repr(error))
                    await asyncio.sleep(0.5)
                else:
                    return

    def _supervise(self) -> None:
        """Hire anew in the place of those that ended."""
        for place, hand in enumerate(self.hands):
            if hand.process.poll() is not None:
                self._explain(hand)
                self.hands[place] = self._hire(place)

    def _explain(self, hand: Hand) -> None:
        """Note an end that no fault explains: one that was not killed ends only where it could not start."""
        status = hand.process.poll()
        if hand in self.killed or status is None:
            return
        since = self.hired[hand] - LASTS_S
        struck = {what for what, at_s in self.struck.items() if at_s > since}
        explained = (status == Unavailable.exit_status and struck & DISTURBS) or (
            status == SchemaError.exit_status and "migrate" in struck
        )
        said = f"worker {hand.process.pid} ended by itself, with status {status}"
        if explained and not hand.notes("begun"):
            print(" " * 11, said, "as it could not start")
            return
        print(" " * 11, said, "and nothing explains it:", (self.crew.folder / "workers.log").read_text()[-4000:])
        self.unexplained.append(said)

    def explain_all(self) -> list[str]:
        """Return the ends that nothing explains, also of those that ended last."""
        for hand in self.hands:
            self._explain(hand)
        return self.unexplained

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
        hand = self.hands[fault.pick % len(self.hands)]
        self.killed.add(hand)
        hand.kill()

    async def _freeze_worker(self, fault: Fault) -> None:
        self.hands[fault.pick % len(self.hands)].process.send_signal(signal.SIGCONT if fault.ends else signal.SIGSTOP)

    async def _kill_server(self, _: Fault) -> None:
        if self.server.pid is not None:
            os.kill(self.server.pid, signal.SIGKILL)
        # On a full disk no server comes back.
        await self.make_room()

    async def _kill_backend(self, _: Fault) -> None:
        async with self.store.connection() as connection:
            pid = await connection.fetchval(BACKEND)
        if pid is None:
            raise OSError("no worker is connected")
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
        ended = await self.client.jobs(states=["killed", "cancelled"], limit=20)
        if not ended.jobs:
            raise OSError("none to retry")
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
            await connection.execute(BEGIN)
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
        await rebuild(self.store, "queue", attempts=ATTEMPTS)

    async def _rebuild_status(self, _: Fault) -> None:
        await rebuild(self.store, "status", attempts=ATTEMPTS)

    async def _switch_persistence(self, _: Fault) -> None:
        async with self.store.connection() as connection:
            unlogged = await is_unlogged(connection)
        await persist(self.store, unlogged=not unlogged, attempts=ATTEMPTS)

    async def _add_partition(self, fault: Fault) -> None:
        month = datetime.now(UTC) + timedelta(days=120 + 31 * (fault.pick % 24))
        async with self.store.connection() as connection:
            await connection.fetchval("select jobledger.partition_add($1)", month)

    async def _tick(self, _: Fault) -> None:
        async def once() -> None:
            async with self.store.connection() as connection:
                await tick(connection, 0)

        await asyncio.gather(*(once() for _ in range(3)))

    async def _migrate(self, _: Fault) -> None:
        """Two migrators at once apply every function again, as for a newer version; workers that start may be told."""
        first, second = [await connect(self.server.dsn) for _ in range(2)]
        try:
            await first.execute(OUTDATE)
            await asyncio.gather(migrate(first), migrate(second))
            assert not await pending(first)
        finally:
            first.terminate()
            second.terminate()

    async def _limit_connections(self, fault: Fault) -> None:
        """No connection is free for the role of one worker, also none that it had."""
        async with self.store.connection() as connection:
            await connection.execute(LIMIT.format(-1 if fault.ends else 0))
            if not fault.ends:
                await connection.fetch(END, LIMITED)

    async def _enqueue_far_off(self, fault: Fault) -> None:
        """Enqueue an id that no partition holds beside a sound job: neither is there, or the books do not agree."""
        far = list(FAR_OFF.values())[fault.pick % len(FAR_OFF)]
        async with self.store.connection() as connection:
            with pytest.raises((IdOutOfWindow, NoPartition)):
                await enqueue_many(connection, [NewJob("short", {"ms": 1}), NewJob("short", {"ms": 1}, id=far)])


@pytest.fixture
async def chaos(
    server: Server, over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]], tmp_path: Path
) -> AsyncIterator[Chaos]:
    """Give a world to strike; the enqueuers are behind a proxy of their own."""
    crew, _, _, store = await over_server(server.dsn)
    async with store, ground(server, store, tmp_path) as beneath:
        await open_store(store)
        async with store.connection() as connection:
            await connection.execute(MAKE)
        with Proxy(server.dsn) as workers, Proxy(server.dsn) as enqueuers, Proxy(server.dsn) as readers:
            proxies = {"workers": workers, "enqueuers": enqueuers, "readers": readers}
            async with await type(store).connect(enqueuers.dsn, pool_min=0, pool_max=6) as through:
                yield Chaos(server, crew, store, beneath, Load(through), proxies)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 900)
async def test_everything_at_random_loses_and_doubles_nothing(chaos: Chaos) -> None:
    """After all of it each acknowledged job is over, once for every time it was begun anew, and the books agree.

    Who read along has every event of every job, once.
    No worker has ended but those that were killed or could not start, and a long run has done every kind of fault.
    """
    seed = int(os.environ.get("JOBLEDGER_TEST_SEED") or secrets.randbelow(1_000_000))
    print(f"repeat it by JOBLEDGER_TEST_SEED={seed} JOBLEDGER_TEST_SECONDS={SECONDS:g}")
    ledger = Ledger(chaos.store)
    transacting = Transacting(chaos.proxies["enqueuers"].dsn, chaos.load.acknowledged)
    async with (
        await type(chaos.store).connect(chaos.proxies["readers"].dsn, pool_min=0, pool_max=4) as store,
        (following := Following(store)).going_on(),
    ):
        async with chaos.load.going_on(enqueuers=len(TENANTS), ms=600), transacting.going_on():
            await chaos.run(schedule(seed, SECONDS))
            if SECONDS >= EACH_DONE_AFTER_S:
                await chaos.make_up()
            await chaos.settle()
        print(f"refused with 40001 and repeated: {transacting.repeated}")
        assert chaos.unexplained == []
        await ledger.all_over(OVER_S)
        await following.agrees(ledger)
    assert chaos.explain_all() == []
    await chaos.crew.dismiss()
    await ledger.agrees(set(chaos.load.acknowledged.values()), chaos.crew.notes(), ends=ENDS)
    if SECONDS >= EACH_DONE_AFTER_S:
        assert chaos.undone == set()
        assert chaos.old_have_worked


def test_a_seed_is_a_schedule() -> None:
    """The same seed strikes the same faults at the same moments, and each that lasts has its end."""
    drawn = schedule(7, 60)
    assert drawn == schedule(7, 60)
    assert drawn != schedule(8, 60)
    lasting = [fault for fault in drawn if fault.ends]
    assert {(f.what, f.pick) for f in lasting} <= {(f.what, f.pick) for f in drawn if not f.ends}
    assert drawn[-1].at_s <= 60
