"""The worker's ways to the database: the heartbeat's own connection, reports, claims, ticks, starts and ends."""

from __future__ import annotations

import asyncio
import math
import os
import platform
from typing import TYPE_CHECKING, Any, TypeVar

from jobledger import __version__
from jobledger.errors import BadInput, InvalidArgument
from jobledger.store.claim import Claimer
from jobledger.store.lanes import WINDOW
from jobledger.store.mending import claim_mending, mend
from jobledger.store.migrate import must_be_migrated
from jobledger.store.pool import Store, connect
from jobledger.store.recovery import open_store, take_snapshot
from jobledger.store.reports import report
from jobledger.store.tick import TickResult, tick
from jobledger.store.workers import heartbeat, set_idle, start_worker, stop_worker
from jobledger.worker.fetch import AHEAD_S
from jobledger.worker.lines import Lines, patiently
from jobledger.worker.sides import DatabaseSides

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from uuid import UUID

    import asyncpg

    from jobledger.jobs.app import App
    from jobledger.store.claim import ClaimedJob, Ticking
    from jobledger.store.pool import Connection
    from jobledger.store.reports import Report, Verdict
    from jobledger.store.workers import Told
    from jobledger.worker.held import Beat
    from jobledger.worker.listen import Hint
    from jobledger.worker.sides import Around

T = TypeVar("T")


class DatabasePulse:
    """One connection of the heartbeat's thread."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], shard: int) -> None:
        """Keep the connection."""
        self._connection = connection
        self._shard = shard

    async def beat(self, worker: UUID, beat: Beat, stalled_s: float) -> Sequence[Told]:
        """Send one heartbeat and return what its answer tells of jobs."""
        renewed = await heartbeat(
            self._connection,
            self._shard,
            worker,
            beat=beat.number,
            settled=beat.settled,
            held=beat.held,
            stalled_s=stalled_s,
        )
        return renewed.told

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close(timeout=1.0)


class Link:
    """What one worker is bound to (queues, kinds, tenants), and its calls under whichever incarnation."""

    service = None
    ahead_s = AHEAD_S

    def __init__(
        self,
        store: Store,
        *,
        kinds: Sequence[str],
        queues: Mapping[str, int | None] | None,
        tenants: Sequence[str] | None,
        lease_s: float,
        patience_s: float,
        window: int = WINDOW,
    ) -> None:
        """Keep what every incarnation states. A call not answered within `patience_s` is given up."""
        if store.dsn is None:
            raise InvalidArgument(
                "A worker's heartbeat needs a connection of its own, and the store has no address.",
                hint="Give the store its dsn beside the pool.",
            )
        self.store = store
        self.kinds = list(kinds)
        self.queues = queues
        self.tenants = tenants
        self.lease_s = lease_s
        self.patience_s = patience_s
        self.window = window
        self._dsn = store.dsn
        self._claimers: dict[UUID, Claimer] = {}
        self._claims = Lines(store)
        self._sends = Lines(store)

    async def close(self) -> None:
        """Give back the connections that claims and reports have kept."""
        await asyncio.gather(self._claims.close(), self._sends.close())

    def serves(self, hint: Hint) -> bool:
        """Say whether a job that a hint names is for this worker, as far as the hint tells."""
        return (
            hint.kind in self.kinds
            and (self.queues is None or hint.queue in self.queues)
            and (self.tenants is None or hint.tenant in self.tenants)
        )

    def sides(self, around: Around) -> DatabaseSides:
        """Make what a worker with a database does beside its jobs."""
        return DatabaseSides(self, around)

    def hurry(self) -> None:
        """End the claims that wait; none does, the worker's own timer and hints say when to claim."""

    async def pulse(self) -> DatabasePulse:
        """Open the heartbeat's connection, in whichever loop runs it."""
        connection = await connect(self._dsn, pooler=self.store.pooler, application_name="jobledger heartbeat")
        return DatabasePulse(connection, self.store.shard)

    async def begin(self, app: App) -> None:
        """See that the database serves this code, open it, and tell it the app's kinds."""
        async with self.store.connection() as connection:
            await self._patiently(connection, must_be_migrated(connection))
        await self.open()
        async with self.store.connection() as connection:
            await self._patiently(connection, app.register(self._on(connection)))

    async def open(self) -> None:
        """Open the store. When it is given up the server goes on with it, and the next call waits for its end."""
        async with self.store.connection() as connection:
            await self._patiently(connection, open_store(self._on(connection)))

    async def start(self) -> UUID:
        """Register a new incarnation, and return its id."""
        about = {"host": platform.node(), "pid": os.getpid(), "version": __version__}
        async with self.store.connection() as connection:
            starting = start_worker(
                connection,
                self.store.shard,
                kinds=self.kinds,
                queues=self.queues,
                tenants=self.tenants,
                lease_s=math.ceil(self.lease_s),
                about=about,
            )
            started = await self._patiently(connection, starting)
        self._claimers[started.worker] = Claimer(
            self.store, started.worker, self.queues, self.kinds, window=self.window
        )
        return started.worker

    async def end(self, worker: UUID, reason: str) -> None:
        """Say that an incarnation has ended."""
        self._claimers.pop(worker, None)
        async with self.store.connection() as connection:
            await self._patiently(connection, stop_worker(connection, self.store.shard, worker, reason))

    async def say_idle(self, worker: UUID, idle: bool) -> bool:
        """Say that an incarnation waits for jobs, or no longer does; return whether its flag stands."""
        async with self.store.connection(ours=True) as connection:
            return await self._patiently(connection, set_idle(connection, self.store.shard, worker, idle))

    async def send(self, worker: UUID, reports: list[Report]) -> Sequence[Verdict]:
        """Send reports on a connection of their own."""
        async with self._sends.line() as connection:
            return await self._patiently(connection, report(connection, self.store.shard, worker, reports, terse=True))

    async def claim(
        self,
        worker: UUID,
        n: int,
        call: int,
        *,
        held: Mapping[str, int],
        free: Mapping[str, int] | None,
        timeout_s: int | None,
        ticking: Ticking | None,
        named: UUID | None,
    ) -> Sequence[ClaimedJob]:
        """Claim up to n jobs of a time-out up to `timeout_s`, or the `named` one; mend what the claim meets."""

        claimer = self._claimers[worker]

        async def claim(n: int, ticking: Ticking | None) -> Sequence[ClaimedJob]:
            async with self._claims.line() as connection:
                if named is not None:
                    claiming = claimer.claim_hinted(named, call, connection, free, timeout_s=timeout_s)
                else:
                    claiming = claimer.claim(n, held, call, connection, free, timeout_s=timeout_s, ticking=ticking)
                return await self._patiently(connection, claiming)

        return await claim_mending(self.store, n, ticking, claim)

    async def tick(self, after: UUID | None) -> TickResult:
        """Do once what time brings about."""
        try:
            # By a line of the claims, which tick as well while the worker waits: these sessions have the plans.
            async with self._claims.line() as connection:
                return await self._patiently(connection, tick(connection, self.store.shard, after))
        except BadInput as error:
            await mend(self.store, error, set())
            return TickResult(next=after)

    async def snapshot(self) -> bool:
        """Copy the live tables for the next recovery, if that is due."""
        async with self.store.connection() as connection:
            return await take_snapshot(connection, self.store.shard)

    def _on(self, connection: Connection) -> Store:
        return Store(connection=connection, shard=self.store.shard, pooler=self.store.pooler, dsn=self._dsn)

    async def _patiently(self, connection: Connection, call: Coroutine[Any, Any, T]) -> T:
        return await patiently(connection, call, self.patience_s)


async def no_longer_than(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event for so long at most; say whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
