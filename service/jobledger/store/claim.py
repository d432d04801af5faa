"""Claiming: one round trip takes jobs for a worker, fairly over tenants, and remembers where it read.

A `Claimer` belongs to one incarnation of a worker in one process. Two calls may be under way at once: each reads from
the keys as they stood when it was planned, SKIP LOCKED lets them pass each other, and keys only move forward.
"""

from __future__ import annotations

import time
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from jobledger.errors import NotOpen
from jobledger.store.lanes import START, WINDOW, LaneRead, Lanes
from jobledger.store.statements import statement
from jobledger.store.tick import read_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from jobledger.store.pool import Connection, Store
    from jobledger.store.tick import TickResult

_PASSING_BY_S = 0.2


class ClaimedJob(NamedTuple):
    """A job as its claim gives it. `data` is the JSON text of its `job.enqueued` event; `timeout` is in seconds."""

    id: UUID
    tenant: str
    queue: str
    kind: str
    priority: int
    attempt: int
    max_attempts: int
    claim: int
    run_at: datetime
    kill_at: datetime | None
    timeout: int
    data: str
    owner: str | None
    at: datetime


class Ticking(NamedTuple):
    """What a claim needs to tick as well: the job after which it looks for kill dates, and who takes the answer."""

    after: UUID | None
    said: Callable[[TickResult], None]


class Claimer:
    """Claims for one worker from its queues (None: every one) and kinds; its tenants are registered with it."""

    def __init__(
        self,
        store: Store,
        worker: UUID,
        queues: Mapping[str, int | None] | None = None,
        kinds: Sequence[str] = (),
        *,
        window: int = WINDOW,
    ) -> None:
        """Know no lane yet."""
        self.store = store
        self.worker = worker
        self.kinds = list(kinds)
        self._any_queue = queues is None
        self._window = window
        self.lanes = Lanes(queues or (), window=window)

    async def claim(
        self,
        n: int,
        held: Mapping[str, int],
        call: int,
        conn: Connection | None = None,
        queues: Mapping[str, int] | None = None,
        *,
        timeout_s: int | None = None,
        ticking: Ticking | None = None,
    ) -> list[ClaimedJob]:
        """Take up to `n` jobs; `held` is how many of each tenant this process has, `queues` the free slots of each.

        `timeout_s` leaves jobs alone whose own time-out is longer.
        `call` is the number of this claim call, which the running rows keep: a heartbeat tells by it which answers
        were lost. `ticking` does a tick first, in the same exchange.

        Raises:
            NotOpen: the live tables are not rebuilt.
            LeaseOver: the worker's lease has run out.
            UnknownWorker: the worker is not registered.
        """
        if conn is None:
            async with self.store.connection() as own:
                return await self.claim(n, held, call, own, queues, timeout_s=timeout_s, ticking=ticking)
        began = time.monotonic()
        jobs = await self._once(n, held, call, conn, queues, timeout_s, ticking)
        # Nothing yet, but jobs that this worker cannot take lie before the rest of a lane: the wait that follows an
        # empty answer would let a million of them hide the others for minutes.
        while not jobs and self.lanes.unread and time.monotonic() - began < _PASSING_BY_S:
            jobs = await self._once(n, held, call, conn, queues, timeout_s, None)
        return jobs

    async def _once(
        self,
        n: int,
        held: Mapping[str, int],
        call: int,
        conn: Connection,
        queues: Mapping[str, int] | None,
        timeout_s: int | None,
        ticking: Ticking | None,
    ) -> list[ClaimedJob]:
        names = None if queues is None or self._any_queue else [queue for queue, room in queues.items() if room > 0]
        plan = self.lanes.plan(held, names, n=n)
        room_of = queues or {}
        known = names if names is not None else self.lanes.queues
        segments, gaps = plan.segments, plan.gaps
        try:
            row = await conn.fetchrow(
                statement("claim" if ticking is None else "poll"),
                self.store.shard,
                self.worker,
                call,
                n,
                self.kinds,
                known,
                [room_of.get(queue, n) for queue in known] if queues is not None else None,
                self._any_queue,
                [segment.lane.name[0] for segment in segments],
                [segment.lane.name[1] for segment in segments],
                [segment.lane.name[2] for segment in segments],
                [segment.after[0] for segment in segments],
                [segment.after[1] for segment in segments],
                [segment.upto[0] for segment in segments],
                [segment.upto[1] for segment in segments],
                [segment.most for segment in segments],
                [segment.held for segment in segments],
                [segment.lane.mixed for segment in segments],
                [gap.queue for gap in gaps],
                [gap.after[0] for gap in gaps],
                [gap.after[1] for gap in gaps],
                [gap.before[0] for gap in gaps],
                [gap.before[1] for gap in gaps],
                plan.new_lanes,
                list(held),
                list(held.values()),
                timeout_s,
                *(() if ticking is None else (ticking.after,)),
            )
        except NotOpen:
            self.lanes.forget_all()
            raise
        assert row is not None  # noqa: S101 - a function with out parameters always returns one row
        if ticking is not None:
            ticking.said(read_tick(row["said"]))
        jobs = _jobs(row)
        self.lanes.learn(plan, _reads(row), missing=n - len(jobs), asked=n)
        return jobs

    async def claim_hinted(
        self,
        job: UUID,
        call: int,
        conn: Connection,
        queues: Mapping[str, int] | None = None,
        *,
        timeout_s: int | None = None,
    ) -> list[ClaimedJob]:
        """Take the job that a hint named, if it is there and for this worker; look at nothing else.

        `queues` and `timeout_s` are as in `claim`, and so is what it raises.
        """
        names = None if queues is None or self._any_queue else [queue for queue, room in queues.items() if room > 0]
        facts = (self.store.shard, self.worker, call, job, self.kinds, names, timeout_s)
        return [ClaimedJob(**dict(row.items())) for row in await conn.fetch(statement("claim_hinted"), *facts)]

    async def claim_job(self, job: UUID, call: int, conn: Connection | None = None) -> ClaimedJob:
        """Take one waiting job by its id.

        Raises:
            NotFound: no such job, or it is another tenant's.
            NotWaiting: it is running, finished or parked.
            UnknownKind: the worker does not know its kind.
        """
        if conn is None:
            async with self.store.connection() as own:
                return await self.claim_job(job, call, own)
        row = await conn.fetchrow(statement("claim_job"), self.store.shard, self.worker, call, job, self.kinds)
        assert row is not None  # noqa: S101 - the function raises where it has no row
        return ClaimedJob(**dict(row.items()))

    async def claimed(self, call: int, conn: Connection) -> list[ClaimedJob]:
        """Return what the claim of this number took and the worker still runs; hold the number for the transaction.

        Raises what `claim` does.
        """
        rows = await conn.fetch(statement("claimed"), self.store.shard, self.worker, call)
        return [ClaimedJob(**dict(row.items())) for row in rows]


def _jobs(row: asyncpg.Record) -> list[ClaimedJob]:
    ids: list[UUID] | None = row["ids"]
    if not ids:
        return []
    at: datetime = row["at"]
    data: dict[UUID, str] = dict(zip(row["data_ids"], row["datas"], strict=True))
    # Whole columns at a time, without a line of Python for each job.
    columns: tuple[Any, ...] = (
        ids,
        row["tenants"],
        row["queues"],
        row["kinds"],
        row["priorities"],
        row["attempts"],
        row["max_attempts"],
        row["claims"],
        row["run_ats"],
        row["kill_ats"],
        row["timeouts"],
        map(data.__getitem__, ids),
        row["owners"],
        repeat(at, len(ids)),
    )
    return list(map(tuple.__new__, repeat(ClaimedJob), zip(*columns, strict=True)))


def _reads(row: asyncpg.Record) -> list[LaneRead]:
    # A lane that was found but not read has no key yet: minus infinity, which the driver gives without a zone.
    keys = [START if at.tzinfo is None else (at, last) for at, last in zip(row["l_at"], row["l_id"], strict=True)]
    return [
        LaneRead(*read)
        for read in zip(
            row["l_queue"],
            row["l_tenant"],
            row["l_priority"],
            keys,
            row["l_asked"],
            row["l_got"],
            row["l_strange"],
            row["l_looked"],
            row["l_more"],
            strict=True,
        )
    ]
