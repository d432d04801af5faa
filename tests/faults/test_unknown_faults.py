"""Faults that nobody foresaw."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from jobledger.store.claim import ClaimedJob
from jobledger.store.reports import Report, Verdict
from jobledger.worker.held import HeldJobs
from jobledger.worker.report import Reporter


async def test_a_report_outlives_a_fault_that_nobody_foresaw() -> None:
    """Whatever sending raises, the batch is sent anew, and its jobs are held until the answer."""
    held, now, tries = HeldJobs(), datetime.now(UTC), []
    job = ClaimedJob(
        id=uuid4(),
        tenant="default",
        queue="default",
        kind="short",
        priority=0,
        attempt=1,
        max_attempts=5,
        claim=2,
        run_at=now,
        kill_at=None,
        timeout=60,
        data="{}",
        owner=None,
        at=now,
    )
    held.take_in(held.begin_call(), [job])

    async def send(_: object, reports: list[Report]) -> list[Verdict]:
        tries.append(len(held))
        if len(tries) == 1:
            raise RuntimeError("nobody foresaw it")
        return [Verdict(report.id, "accepted", "succeeded", None) for report in reports]

    reporter = Reporter(uuid4(), held, send, reopen=asyncio.Event().wait, answered=lambda: None)
    reporter.add(job, "succeeded", None)
    await reporter.drained()
    assert tries == [1, 1]
    assert len(held) == 0
