"""A worker's desk: each call of the SQL contract in one line, for tests that are about the functions themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest

from jobledger.store.claim import ClaimedJob, Claimer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from jobledger.store.pool import Store


class Desk:
    """One worker at the SQL functions, on one connection of its own."""

    def __init__(self, store: Store, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Use the store's pool to claim, and the connection for everything else."""
        self.store = store
        self.sql = connection
        self.worker: UUID
        self.claimer: Claimer
        self.call = 0

    async def start(
        self, kinds: Sequence[str] = ("noop",), *, lease_s: int = 30, queues: dict[str, int | None] | None = None
    ) -> Desk:
        """Register a worker, with a lease."""
        row = await self.sql.fetchrow(
            "select * from jobledger.worker_start(0::smallint, null, $1, $2, null, $3)",
            None if queues is None else orjson.dumps(queues).decode(),
            list(kinds),
            lease_s,
        )
        assert row is not None
        self.worker = row["worker"]
        self.claimer = Claimer(self.store, self.worker, queues, kinds)
        return self

    async def enqueue(self, kind: str = "noop", **options: Any) -> UUID:
        """Enqueue one job by the SQL function, with any of its options."""
        names = ["kind", *options]
        values = [kind, *(orjson.dumps(v).decode() if isinstance(v, dict) else v for v in options.values())]
        call = ", ".join(f"{name} => ${at}" for at, name in enumerate(names, 1))
        id: UUID = await self.sql.fetchval(f"select jobledger.enqueue({call})", *values)  # noqa: A001 - the domain's word
        return id

    async def fill(self, count: int, tenant: str = "default", kind: str = "noop") -> None:
        """Enqueue many jobs at once."""
        for low in range(0, count, 5000):
            jobs = [{"kind": kind, "tenant": tenant}] * min(5000, count - low)
            await self.sql.fetch("select * from jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())

    async def claim(self, n: int = 10, held: dict[str, int] | None = None) -> list[ClaimedJob]:
        """Claim up to `n` jobs."""
        self.call += 1
        return await self.claimer.claim(n, held or {}, self.call)

    async def report(
        self, jobs: Sequence[ClaimedJob], outcome: str = "succeeded", data: dict[str, Any] | None = None
    ) -> list[tuple[str, str, str | None]]:
        """Report one outcome for all of the jobs; returns (verdict, state, reason) of each."""
        ordered = sorted(jobs, key=lambda job: job.id.bytes)
        rows = await self.sql.fetch(
            "select * from jobledger.report(0::smallint, $1, $2, $3, $4, $5)",
            self.worker,
            [job.id for job in ordered],
            [job.claim for job in ordered],
            [outcome] * len(ordered),
            [None if data is None else orjson.dumps(data).decode()] * len(ordered),
        )
        return [(row["verdict"], row["state"], row["reason"]) for row in rows]

    async def beat(self, number: int, settled: int, held: Sequence[UUID]) -> list[tuple[str, UUID | None]]:
        """Send a heartbeat; returns what it said."""
        rows = await self.sql.fetch(
            "select * from jobledger.heartbeat(0::smallint, $1, $2, $3, $4)", self.worker, number, settled, list(held)
        )
        return [(row["kind"], row["job"]) for row in rows]

    async def tick(self, after: UUID | None = None) -> dict[str, Any]:
        """Run the clockwork once."""
        answer: dict[str, Any] = orjson.loads(await self.sql.fetchval("select jobledger.tick(0::smallint, $1)", after))
        return answer

    async def act(self, act: str, ids: Sequence[UUID], reason: str = "because", **data: Any) -> list[str]:
        """Act on jobs as the operator `ada`; returns the verdicts."""
        rows = await self.sql.fetch(
            "select * from jobledger.act(0::smallint, $1, null, $2, 'ada', $3, $4)",
            act,
            list(ids),
            reason,
            orjson.dumps(data).decode(),
        )
        return [row["verdict"] for row in rows]

    async def state(self, id: UUID) -> str | None:  # noqa: A002 - the domain's word
        """Return the state of a job as the view has it."""
        state: str | None = await self.sql.fetchval("select state::text from jobledger.jobs where id = $1", id)
        return state

    async def history(self, id: UUID) -> list[str]:  # noqa: A002 - the domain's word
        """Return the types of a job's events, in order."""
        rows = await self.sql.fetch("select type::text from jobledger.events where stream_id = $1 order by version", id)
        return [row["type"].removeprefix("job.") for row in rows]

    async def differences(self) -> list[asyncpg.Record]:
        """Return where the tables differ from the log: none, whenever a test ends."""
        return await self.sql.fetch("select * from jobledger.compare()")


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Give a bare connection to the test's own database."""
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


@pytest.fixture
async def desk(store: Store, connection: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[Desk]:
    """Give a started worker that knows the kind `noop`; what the test leaves is compared with the log."""
    made = await Desk(store, connection).start()
    yield made
    assert await made.differences() == []
