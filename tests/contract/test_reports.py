"""Reports that meet at a row: one waits for the other, and both leave what the log says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.plans.recorder import Recorder

if TYPE_CHECKING:
    from tests.contract.conftest import Desk

    from jobledger.store.claim import ClaimedJob

WAITS = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())"
REPORT = "select * from jobledger.report(0::smallint, $1, $2, $3, $4, $5)"


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "interrupted", "progressed"])
async def test_a_report_that_waits_for_progress_takes_the_row_as_it_is_then(
    desk: Desk, database: str, outcome: str
) -> None:
    """The row that it waited for has a new version; it is that one which goes, or is counted on."""
    for _ in range(3):
        await desk.enqueue()
    jobs: list[ClaimedJob] = sorted(await desk.claim(3), key=lambda job: job.id.bytes)
    other, eye = await asyncpg.connect(database), await asyncpg.connect(database)
    progress = other.transaction()
    await progress.start()
    # Of the three one has progress under way; the others are not in the way of anything.
    await other.fetch(REPORT, desk.worker, [jobs[1].id], [jobs[1].claim], ["progressed"], [None])
    reporting = asyncio.create_task(desk.report(jobs, outcome))
    async with asyncio.timeout(10):
        while not await eye.fetchval(WAITS):  # noqa: ASYNC110 - looks into the database, which sets no event
            await asyncio.sleep(0.01)
    await progress.commit()
    assert {verdict for verdict, _, _ in await reporting} == {"accepted"}
    await other.close()
    await eye.close()
    assert await desk.history(jobs[1].id) == ["enqueued", "claimed", "progressed", outcome]
    assert await desk.differences() == []
    if outcome == "progressed":
        assert {verdict for verdict, _, _ in await desk.report(jobs)} == {"accepted"}
    # Nothing of it is left in the way of a heartbeat.
    await desk.beat(1, desk.call, [])


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "progressed"])
async def test_a_report_that_is_not_accepted_reads_no_more_than_its_batch(
    desk: Desk, database: str, outcome: str
) -> None:
    """However many jobs run: the look at who has the job now, and that at rows that changed meanwhile, go by its id."""
    await desk.sql.execute("analyze jobledger.running")
    await desk.fill(4020)
    jobs: list[ClaimedJob] = sorted(await desk.claim(4020), key=lambda job: job.id.bytes)
    other, eye = await asyncpg.connect(database), await asyncpg.connect(database)
    progress = other.transaction()
    await progress.start()
    await other.fetch(REPORT, desk.worker, [jobs[1].id], [jobs[1].claim], ["progressed"], [None])
    recorder = Recorder(desk.sql)
    await recorder.install()
    async with recorder.recorded() as call:
        batch = [*jobs[:9], jobs[9]._replace(claim=7)]
        claims = [job.claim for job in batch]
        reporting = asyncio.create_task(
            desk.sql.fetch(REPORT, desk.worker, [job.id for job in batch], claims, [outcome] * 10, [None] * 10)
        )
        async with asyncio.timeout(10):
            while not await eye.fetchval(WAITS):  # noqa: ASYNC110 - looks into the database, which sets no event
                await asyncio.sleep(0.01)
        await progress.commit()
        assert sorted(row["verdict"] for row in await reporting) == ["accepted"] * 9 + ["rejected"]
    await other.close()
    await eye.close()
    most, where = call.busiest()
    # The driver looks at the types of the answer, too.
    assert most < 1500, where
