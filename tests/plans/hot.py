"""Every statement of the hot path once, recorded: name, how many rows it was to handle, and what it did."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from tests.contract.conftest import Desk
from tests.plans.recorder import Call, Recorder
from tests.plans.states import LEASE_S, TENANTS

from jobledger.order.log import log_end, read_page
from jobledger.store.filters import JobFilter
from jobledger.store.jobs_read import job_history, list_jobs, show_job
from jobledger.store.pool import Store
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    import asyncpg

    from jobledger.store.claim import ClaimedJob


PARTS = {
    "promote": "select jobledger.promote(0::smallint, $1, $2)",
    "kill_due": "select jobledger.kill_due(0::smallint, $1, $2, null)",
    "time_out": "select jobledger.time_out(0::smallint, $1, $2)",
    "rescue": "select jobledger.rescue(0::smallint, $1, $2)",
    "hold_untakeable": "select jobledger.hold_untakeable(0::smallint, $1, $2)",
    "hold": "select jobledger.hold(0::smallint, $1, $2)",
    "unhold": "select jobledger.unhold(0::smallint, $1, $2)",
}
"""The parts of the tick, each by itself: at what time, and how many rows at most."""


class Run(NamedTuple):
    """One recorded call."""

    name: str
    batch: int
    call: Call

    @property
    def per_job(self) -> float:
        """Shared buffers for each row it was to handle."""
        return self.call.buffers / self.batch


class HotPath:
    """Runs the statements of the hot path on one connection, and keeps the records."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Use the connection for everything, claims too."""
        self.sql = connection
        self.store = Store(connection=connection)
        self.recorder = Recorder(connection)
        self.runs: list[Run] = []
        self.desk = Desk(self.store, connection)
        self._beats = 0

    async def start(self) -> HotPath:
        """Register the worker and begin to listen."""
        await self.recorder.install()
        # As a server has it that nobody set up for jobledger; behind a transaction pooler no pool turns it off.
        await self.sql.execute("set jit = on")
        await self.desk.start(queues={"default": None}, lease_s=LEASE_S)
        return self

    async def warm(self) -> None:
        """Run everything often enough, and small enough, that the session keeps the plans of the empty tables."""
        for _ in range(6):
            await self._many(2)
            jobs = await self.desk.claim(2)
            await self._beat([job.id for job in jobs])
            await self.desk.report(jobs)
            await self._many(2)
            jobs = await self.desk.claim(2)
            await self.desk.report(jobs, "failed")
            ids = [job.id for job in jobs]
            await self.desk.act("reprioritise", ids, priority=1)
            await self.desk.act("cancel", ids)
            await self._read(ids[0])
            await self.sql.fetch(statement("repair"), 0, ids)
            await self._hinted()
            await self._sealed()
            await self.desk.tick()
        self.runs.clear()

    async def run_drain(self, batch: int) -> list[Run]:
        """Enqueue, claim and report four times: the first claim finds the lanes, past the dead entries of each."""
        for _ in range(4):
            await self._many(2 * batch)
            await self.claim_and_report(batch)
        return self.runs

    async def run_all(self, batch: int) -> list[Run]:
        """Run everything with batches of that size."""
        await self.run_drain(batch)
        await self.claim_and_report(batch, "failed", {"error": {"type": "Gone", "message": "away"}, "retry_in": 3600})
        await self._hinted()
        await self._keyed(batch)
        await self._held(2 * batch)
        await self._acts(batch)
        await self._placed(batch)
        await self._ordered(2 * batch)
        await self._clockwork(batch)
        return self.runs

    def of(self, name: str) -> list[Run]:
        """Return the runs of one statement."""
        return [run for run in self.runs if run.name == name]

    async def _many(self, count: int, **options: Any) -> list[UUID]:
        jobs = [{"kind": "noop", "tenant": f"t{at % TENANTS:02}", **options} for at in range(count)]
        for at, job in enumerate(jobs):
            job.update({name: f"{value}{at}" for name, value in options.items() if name in ("key", "unique_key")})
        name = "enqueue_many" if not options else "enqueue_many, with keys"
        async with self._recorded(f"{name}, few" if count < 10 else name, count):
            rows = await self.sql.fetch(statement("enqueue_many"), orjson.dumps(jobs).decode(), None, False, 0)
        return [row["id"] for row in rows]

    async def claim_and_report(
        self, batch: int, outcome: str = "succeeded", data: dict[str, Any] | None = None
    ) -> None:
        """Claim so many jobs, all of which are there, and report them."""
        async with self._recorded("claim" if self.of("claim, the first") else "claim, the first", batch):
            jobs = await self.desk.claim(batch)
        assert len(jobs) == batch
        await self.report(jobs, outcome, data)

    async def report(
        self, jobs: Sequence[ClaimedJob], outcome: str = "succeeded", data: dict[str, Any] | None = None
    ) -> None:
        """Report jobs, each of which is accepted."""
        name = "report" if outcome == "succeeded" else f"report, {outcome}"
        async with self._recorded(name, len(jobs)):
            said = await self.desk.report(jobs, outcome, data)
        assert {verdict for verdict, _, _ in said} == {"accepted"}

    async def _keyed(self, batch: int) -> None:
        await self._many(4 * batch, key="k", unique_key="u", queue="keyed")
        other = await Desk(self.store, self.sql).start(queues={"keyed": None}, lease_s=LEASE_S)
        jobs = await other.claim(batch)
        assert len(jobs) == batch
        async with self._recorded("report, unique keys", batch):
            await other.report(jobs)
        async with self._recorded("report, repeated", batch):
            await other.report(jobs)
        async with self._recorded("enqueue", 1):
            await self.desk.enqueue(key="one", unique_key="one", queue="keyed")

    async def _hinted(self) -> None:
        job = await self.desk.enqueue(tenant="t01")
        self.desk.call += 1
        async with self._recorded("claim_hinted", 1):
            (taken,) = await self.desk.claimer.claim_hinted(job, self.desk.call, self.sql)
        await self.desk.report([taken])

    async def _held(self, count: int) -> None:
        await self._many(count)
        jobs: list[ClaimedJob] = await self.desk.claim(count)
        ids = [job.id for job in jobs]
        await self._beat(ids)
        async with self._recorded("heartbeat", count):
            await self._beat(ids)
        async with self._recorded("heartbeat, releasing", count // 2):
            await self._beat(ids[: count // 2])
        await self.desk.report(jobs[: count // 2])
        # Each looks through the worker's stream for its own record: few, or the square shows.
        async with self._recorded("report, of lost jobs", 20):
            await self.desk.report(jobs[count // 2 :][:20])
        await self._read(ids[0])
        async with self._recorded("repair", len(ids)):
            await self.sql.fetch(statement("repair"), 0, ids)

    async def _read(self, job: UUID) -> None:
        # Autovacuum, kept away here, would have had these planned anew within a minute of the tables' growth; what the
        # functions hold must do without.
        await self.sql.execute("discard plans")
        async with self._recorded("list", 50):
            await list_jobs(self.sql, 0, JobFilter(tenant="t01"), limit=50)
        async with self._recorded("show", 1):
            await show_job(self.sql, 0, job)
        async with self._recorded("history", 1):
            await job_history(self.sql, 0, job)

    async def _acts(self, batch: int) -> None:
        ids = await self._many(batch)
        for act in ("reprioritise", "cancel", "retry"):
            data: dict[str, Any] = {"priority": 5} if act == "reprioritise" else {}
            async with self._recorded(f"act, {act}", batch):
                said = await self.desk.act(act, ids, "because", **data)
            assert set(said) == {"done"}

    async def _placed(self, batch: int) -> None:
        ids = sorted(await self._many(batch))
        async with self.sql.transaction():
            await self.sql.execute("delete from jobledger.ready where id = any($1)", ids)
            async with self._recorded("place_streams", batch):
                assert await self.sql.fetchval("select jobledger.place_streams(0::smallint, $1)", ids) == batch

    async def _ordered(self, count: int) -> None:
        """Seal what is there, then a block with some before and behind it; and read it."""
        await self._sealed()
        await self._many(count)
        place = await log_end(self.sql, 0)
        async with self._recorded("seal", count):
            await self.sql.fetchrow(statement("order/seal"), 0)
        await self._many(2)
        async with self._recorded("seal, a little", 1):
            await self.sql.fetchrow(statement("order/seal"), 0)
        async with self._recorded("open_epoch", 1):
            assert not await self.sql.fetchval(statement("open_epoch"), 0)
        async with self._recorded("read_log", count):
            assert len((await read_page(self.sql, 0, place, limit=count)).events) == count
        async with self._recorded("read_log, filtered", count):
            assert (await read_page(self.sql, 0, place, limit=count, tenant="t01")).events

    async def _sealed(self) -> None:
        while (await self.sql.fetchrow(statement("order/seal"), 0))["block"] is not None:  # type: ignore[index]
            pass
        place = await log_end(self.sql, 0)
        for _ in range(2):
            place = (await read_page(self.sql, 0, place)).reached

    async def _clockwork(self, batch: int) -> None:
        """Run the parts of the tick with something to do for each: they are told a later time, the clock stays."""
        now = await self.sql.fetchval("select jobledger.now()")
        later = (now + timedelta(hours=1)).isoformat()
        await self._many(batch, run_at=later, kill_at=(now + timedelta(hours=5)).isoformat())
        await self._part("promote", batch, now + timedelta(hours=2), 4 * batch)
        await self._many(batch, kill_at=later)
        await self._part("kill_due", batch, now + timedelta(hours=2), batch)
        await self._many(2 * batch)
        await self.desk.claim(batch)
        await self._part("time_out", min(200, batch), now + timedelta(hours=2), 200)
        await self._part("rescue", batch, now + timedelta(hours=2), 2 * batch)
        await self._many(batch, kind="strange", run_at=(now - timedelta(hours=1)).isoformat())
        await self._part("hold_untakeable", batch, now, 2 * batch)
        await self.sql.fetch("select jobledger.pause(0::smallint, 'tenant', 't03', 'ada', 'plans')")
        await self._part("hold", batch, now, 2 * batch)
        await self.sql.fetch("select jobledger.resume(0::smallint, 'tenant', 't03', 'ada', 'plans')")
        await Desk(self.store, self.sql).start(["strange"], lease_s=LEASE_S)
        await self._part("unhold", batch, now, 2 * batch)
        await self.desk.start(queues={"default": None}, lease_s=LEASE_S)
        # Until nothing is left over: what a tick costs that has nothing to do.
        did = await self.desk.tick()
        while any(did[name] for name in ("promoted", "killed", "held", "released_holds")):
            did = await self.desk.tick()
        for _ in range(3):
            async with self._recorded("tick", batch):
                await self.desk.tick()

    async def _part(self, name: str, batch: int, *arguments: object) -> None:
        async with self.sql.transaction():
            # What `tick` sets for its parts.
            await self.sql.execute("set local enable_seqscan = off; set local jit = off")
            async with self._recorded(name, batch):
                await self.sql.fetch(PARTS[name], *arguments)

    async def _beat(self, ids: Sequence[UUID]) -> None:
        self._beats += 1
        await self.desk.beat(self._beats, self.desk.call, ids)

    @asynccontextmanager
    async def _recorded(self, name: str, batch: int) -> AsyncIterator[None]:
        async with self.recorder.recorded() as call:
            yield
        self.runs.append(Run(name, batch, call))
