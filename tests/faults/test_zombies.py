"""Workers that stand still past their lease and come back when their jobs are another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import STEADY

if TYPE_CHECKING:
    from tests.faults.conftest import Crew, Ledger

    from jobledger.jobs import Client


@pytest.mark.slow
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "running elsewhere"])
async def test_a_zombie_is_rejected_on_record_and_works_on(
    crew: Crew, client: Client, ledger: Ledger, finished: bool
) -> None:
    """The report of a worker whose job was taken changes nothing, is recorded, and the worker runs further jobs."""
    zombie = crew.hire()
    job = (await client.enqueue("deaf", {"gate": "gate"}, max_attempts=10)).id
    await zombie.noted("begun", job)
    zombie.freeze()
    other = crew.hire(**STEADY)
    await other.noted("begun", job)
    if finished:
        crew.open("gate-2")
        await ledger.reaches(job, "succeeded")
    crew.open("gate-1")
    zombie.thaw()

    async def rejected() -> bool:
        return await ledger.rejected(job) == ["finished" if finished else "claimed_elsewhere"]

    await ledger.until(rejected)
    crew.open("gate-2")
    await ledger.reaches(job, "succeeded")
    await other.dismiss()
    more = [(await client.enqueue("short", {"ms": 1}, max_attempts=10)).id for _ in range(10)]
    await ledger.all_over()
    assert {note.job for note in zombie.notes("ended")} == {job, *more}
    await crew.dismiss()
    await ledger.agrees([job, *more], crew.notes())
    assert await ledger.history(job) == [
        "job.enqueued",
        "job.claimed",
        "job.lease_expired",
        "job.claimed",
        "job.succeeded",
    ]
