"""The server ends connections of a worker, again and again: of its heartbeat, of its claims, of its reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from jobledger.errors import Unreachable
from jobledger.store.failures import translation

if TYPE_CHECKING:
    from tests.faults.conftest import Crew, Ledger, Load

    from jobledger.store.pool import Store

END = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and application_name = $1 and query like $2 and (state = 'active' or not $3)
"""
# By name, statement, and whether it is to be ended while the statement runs; a heartbeat is over too soon to be met.
TARGETS = {
    "heartbeat": ("jobledger heartbeat", "%", False),
    "claim": ("jobledger worker", "%jobledger.claim(%", True),
    "report": ("jobledger worker", "%jobledger.report(%", True),
}


@pytest.mark.parametrize("rounds", [pytest.param(40, marks=pytest.mark.slow)])
async def test_a_worker_whose_connections_are_ended_goes_on(
    crew: Crew, load: Load, ledger: Ledger, rounds: int
) -> None:
    """The same process finishes everything, each job once, however often its connections are taken away."""
    hand = crew.hire()
    async with load.going_on(ms=20):
        await hand.noted("ended")
        for _ in range(rounds):
            for target in TARGETS.values():

                async def ended(target: tuple[str, str, bool] = target) -> bool:
                    return int(await ledger.value(END, *target)) > 0

                await ledger.until(ended)
            await hand.ends_more(10)
    await ledger.all_over()
    assert hand.process.poll() is None
    await crew.dismiss()
    await ledger.agrees(load.acknowledged.values(), crew.notes())


async def test_what_was_done_on_a_connection_that_breaks_while_given_back_is_done(store: Store, ledger: Ledger) -> None:
    """The end of a connection after the last statement is no error of that statement, and the pool goes on."""
    async with store.connection() as connection:
        pid = await connection.fetchval("select pg_backend_pid()")
        await ledger.fetch("select pg_terminate_backend($1)", pid)

        async def gone() -> bool:
            return await ledger.fetch("select from pg_stat_activity where pid = $1", pid) == []

        await ledger.until(gone)
    assert await ledger.value("select 1") == 1


async def test_a_connection_that_failed_is_one_that_is_lost() -> None:
    """What asyncpg says of a connection between the server's last word and the end of the stream is `Unreachable`."""
    said = translation(asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"))
    assert isinstance(said, Unreachable)
