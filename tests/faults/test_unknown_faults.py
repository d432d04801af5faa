"""Faults that nobody foresaw."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

from jobledger.errors import JobledgerError
from jobledger.store.claim import ClaimedJob
from jobledger.store.reports import Report, Verdict
from jobledger.worker.held import HeldJobs
from jobledger.worker.report import Reporter


def claimed() -> ClaimedJob:
    """Return a job as a claim gives it."""
    now = datetime.now(UTC)
    return ClaimedJob(
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


async def test_a_report_outlives_a_fault_that_nobody_foresaw() -> None:
    """Whatever sending raises, the batch is sent anew, and its jobs are held until the answer."""
    held, job = HeldJobs(), claimed()
    tries: list[int] = []
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


async def test_an_outcome_that_cannot_be_written_fails_its_job_alone() -> None:
    """It nests deeper than JSON is written here, as an endpoint may answer: the others of its batch are reported."""
    held, jobs = HeldJobs(), [claimed(), claimed()]
    sent: dict[UUID, str] = {}
    held.take_in(held.begin_call(), jobs)

    async def send(_: object, reports: list[Report]) -> list[Verdict]:
        sent.update({report.id: report.outcome for report in reports})
        return []

    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    reporter = Reporter(uuid4(), held, send, reopen=asyncio.Event().wait, answered=lambda: None)
    reporter.add(jobs[0], "succeeded", {"result": deep})
    reporter.add(jobs[1], "succeeded", None)
    await reporter.drained()
    assert sent == {jobs[0].id: "failed", jobs[1].id: "succeeded"}
    assert len(held) == 0


async def test_a_fault_of_the_service_that_passes_changes_no_outcome() -> None:
    """It says that something went wrong, not that the report is at fault: the same outcome is sent again."""
    held, job = HeldJobs(), claimed()
    held.take_in(held.begin_call(), [job])
    sent: list[str] = []

    async def send(_: object, reports: list[Report]) -> list[Verdict]:
        sent.extend(report.outcome for report in reports)
        if len(sent) == 1:
            raise JobledgerError("Something went wrong in the service.")
        return []

    reporter = Reporter(uuid4(), held, send, reopen=asyncio.Event().wait, answered=lambda: None)
    reporter.add(job, "succeeded", None)
    await reporter.drained()
    assert sent == ["succeeded", "succeeded"]
