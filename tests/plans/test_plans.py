"""Plans of the hot path: few buffers a job, no table read as a whole, nothing quadratic, in every state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from tests.contract.conftest import Desk
from tests.plans.bounds import CLAIM_AND_REPORT, WAL_BYTES, faults
from tests.plans.states import LEASE_S, STATES, Filler

from jobledger.jobs.resource import public_jobs
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from tests.plans.conftest import InState
    from tests.plans.hot import HotPath

BATCH = 500


def together(path: HotPath) -> float:
    """Return the shared buffers a job, of the dearest claim and the dearest report."""
    return sum(max(run.per_job for run in path.of(name)) for name in ("claim", "report"))


def wal_of_a_life(path: HotPath) -> float:
    """Return the bytes of WAL a job, from enqueued to finished."""
    life = 0.0
    for name in ("enqueue_many", "claim", "report"):
        runs = [run for run in path.of(name) if run.call.statements[-1].full_pages == 0]
        life += min(run.call.wal_bytes / run.batch for run in runs)
    return life


@pytest.mark.parametrize(
    ("state", "partitions"), [("new", 1), ("full", 64), ("emptied", 1), ("analysed when full", 64)], ids=str
)
async def test_a_claim_and_its_report_read_few_buffers_a_job(in_state: InState, state: str, partitions: int) -> None:
    """At most 50 a job together in batches of 500, planning included; and 1.5 KB of WAL from enqueued to finished."""
    async with in_state(state, partitions=partitions) as path:
        await path.run_drain(BATCH)
        assert together(path) <= CLAIM_AND_REPORT
        assert faults(path.runs, 0) == []
        # Unlogged live tables; full-page images apart.
        assert 500 < wal_of_a_life(path) <= WAL_BYTES


async def test_a_claim_reads_the_same_however_many_jobs_wait_in_its_lanes(in_state: InState) -> None:
    """The search for new lanes stops where a known one begins, in every version of Postgres."""
    async with in_state("new") as path:
        filler = Filler(path.sql, 0, 0)
        least = []
        for jobs in (1000, 20_000):
            await filler.fill(jobs, tenants=2)
            for _ in range(3):
                await path.claim_and_report(10)
            least.append(min(run.call.buffers for run in path.of("claim")[-2:]))
        few, many = least
        assert many < few + 80


async def test_a_report_reads_its_own_jobs_however_many_run_between_them(in_state: InState) -> None:
    """The first and the last of 3,000 running jobs are found by themselves, in every version of Postgres."""
    async with in_state("new") as path:
        await Filler(path.sql, 0, 0).fill(3000)
        first = await path.desk.claim(20)
        beside = await Desk(path.store, path.sql).start(queues={"default": None}, lease_s=LEASE_S)
        assert len(await beside.claim(2960)) == 2960
        jobs = [*first, *await path.desk.claim(20)]
        await path.report(jobs)
        (run,) = path.of("report")
        assert len(jobs) == 40
        assert run.call.busiest()[0] <= 200


FAR_APART = {
    "a claim's texts": "select jobledger.enqueued_texts(0::smallint, $1)",
    "a recovery": "select jobledger.place_streams(0::smallint, $1)",
    "an unknown worker's reports": (
        "select jobledger.report_rejected(0::smallint, gen_random_uuid(), $1, '{1,1}', '{failed,failed}',"
        " jobledger.now())"
    ),
}


async def test_jobs_that_are_named_are_found_by_themselves_however_much_lies_between_them(in_state: InState) -> None:
    """The first and the last of 3,000 jobs, in every version of Postgres; half of them were claimed."""
    async with in_state("new", warm=False) as path:
        await Filler(path.sql, 0, 0).fill(3000)
        assert len(await path.desk.claim(1500)) == 1500
        ends = await path.sql.fetchval(
            "select array[min(id::text), max(id::text)]::uuid[] from jobledger.jobs where state in ('ready', 'running')"
        )
        most = {}
        for name, asked in FAR_APART.items():
            async with path.recorder.recorded() as call:
                await path.sql.fetch(asked, ends)
            most[name] = call.busiest()[0]
        async with path.recorder.recorded() as call:
            assert len(await public_jobs(path.sql, 0, ends)) == 2
        most["a page of a resource"] = call.busiest()[0]
        assert max(most.values()) <= 200, most


async def test_keys_are_verified_by_what_their_own_jobs_say(in_state: InState) -> None:
    """No page reads the log, or what waits, in a database that was never analysed."""
    async with in_state("new", warm=False) as path:
        await Filler(path.sql, 0, 0).fill(2000)
        jobs = [{"kind": "noop", "unique_key": f"u{at}", "key": f"k{at}"} for at in range(2000)]
        await path.sql.fetch("select from jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())
        for what in ("unique", "idempotency"):
            async with path.recorder.recorded() as call:
                found = await path.sql.fetch(statement("order/verify_keys"), 0, what, "", "", 100)
            assert [row["fault"] for row in found] == [None]
            assert call.busiest()[0] <= 200


@pytest.mark.parametrize(("state", "warm"), [("new", True), ("analysed when full", False)], ids=str)
async def test_every_statement_of_the_hot_path_reads_what_it_needs(in_state: InState, state: str, warm: bool) -> None:
    """No table that grows is read from end to end, and no node sees the square of the batch."""
    async with in_state(state, warm=warm) as path:
        await path.run_all(200)
        assert faults(path.runs, 12_000) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("state", "partitions"), [*((state, 64) for state in STATES), ("full", 1), ("analysed when full", 1)], ids=str
)
async def test_plans_hold_in_every_state_of_larger_tables(in_state: InState, state: str, partitions: int) -> None:
    """With 20,000 jobs ready and 10,000 finished, in a session that has its plans from the empty tables."""
    async with in_state(state, partitions=partitions, ready=20_000, finished=10_000) as path:
        await path.run_all(BATCH)
        assert faults(path.runs, 150_000) == []
        assert together(path) <= CLAIM_AND_REPORT
        assert wal_of_a_life(path) <= WAL_BYTES


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_plans_hold_with_200_000_jobs_ready(in_state: InState) -> None:
    """And 100,000 finished: a session that begins when the queue is long plans well too."""
    async with in_state("analysed", partitions=64, ready=200_000, finished=100_000, warm=False) as path:
        await path.run_all(BATCH)
        assert faults(path.runs, 1_000_000) == []
        assert together(path) <= CLAIM_AND_REPORT
