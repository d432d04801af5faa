"""The live tables are made anew from the log while everybody works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import STEADY

from jobledger.store.recovery import rebuild

if TYPE_CHECKING:
    from tests.faults.conftest import Crew, Ledger, Load

ROUNDS = 15


@pytest.mark.slow
async def test_a_rebuild_under_load_loses_and_doubles_nothing(crew: Crew, load: Load, ledger: Ledger) -> None:
    """Workers stand back while the store is closed, go on by themselves, and keep the jobs that they run."""
    hands = [crew.hire(**STEADY), crew.hire(**STEADY)]
    async with load.going_on():
        for number in range(ROUNDS):
            for hand in hands:
                await hand.ends_more(10)
            await rebuild(ledger.store, "status" if number % 3 == 2 else "queue")
    await ledger.all_over()
    assert [hand.process.poll() for hand in hands] == [None, None]
    await crew.dismiss()
    await ledger.agrees(load.acknowledged.values(), crew.notes())
    assert await ledger.value("select count(*) from jobledger.events where type = 'job.lease_expired'") == 0
