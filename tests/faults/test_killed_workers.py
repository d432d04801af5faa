"""SIGKILL of worker processes in the middle of jobs, under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Crew, Ledger, Load


@pytest.mark.parametrize("kills", [pytest.param(20, marks=pytest.mark.slow)])
async def test_workers_killed_in_the_middle_of_jobs_lose_and_double_nothing(
    crew: Crew, load: Load, ledger: Ledger, kills: int
) -> None:
    """Every job ends once, however often its worker was killed while its handler ran."""
    hands = [crew.hire() for _ in range(min(kills, 3))]
    async with load.going_on():
        for number in range(kills):
            place = number % len(hands)
            await hands[place].kill_in_the_middle()
            hands[place] = crew.hire()
    await ledger.all_over()
    await crew.dismiss()
    await ledger.agrees(load.acknowledged.values(), crew.notes())
    # Each kill cost the jobs in hand one attempt, on record.
    expired = await ledger.value("select count(*) from jobledger.events where type = 'job.lease_expired'")
    assert expired >= kills
