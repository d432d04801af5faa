"""The log verifies while workers and their connections die, and afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobledger.order.audit import verify
from jobledger.order.log import seal

if TYPE_CHECKING:
    from tests.faults.conftest import Crew, Ledger, Load

    from jobledger.store.pool import Store

CUT = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name like 'jobledger-worker%'
"""


@pytest.mark.slow
async def test_the_log_verifies_while_workers_are_killed_and_after(
    crew: Crew, load: Load, ledger: Ledger, store: Store
) -> None:
    """Whatever is under way, no look finds what is not so; in the end each event lies in a block, each row is right."""
    hands = [crew.hire() for _ in range(2)]
    async with load.going_on():
        for number in range(2):
            await hands[number % 2].kill_in_the_middle()
            assert (await verify(store)).faults == []
            hands[number % 2] = crew.hire()
            await ledger.value(CUT)
            assert (await verify(store)).faults == []
    await ledger.all_over()
    await crew.dismiss()
    async with store.connection() as connection:
        while (await seal(connection, store.shard)).block is not None:
            pass
    last = await verify(store)
    assert last.faults == []
    assert (last.unsealed, last.sealed) == (0, last.events)
    assert last.jobs >= len(load.acknowledged)
