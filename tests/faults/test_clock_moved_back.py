"""The database's clock is moved back by an hour, and put right again, while everybody works."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.faults.workplace import Workplace

from jobledger.errors import IdOutOfWindow
from jobledger.ids import new_id
from jobledger.store.claim import Claimer
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.tick import tick
from jobledger.store.workers import start_worker

if TYPE_CHECKING:
    from uuid import UUID

    from tests.faults.conftest import Ledger

    from jobledger.jobs import Client
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

HOUR = timedelta(hours=1)


async def some(client: Client, word: str, count: int = 12) -> list[UUID]:
    """Enqueue jobs for three tenants, each under a key that the word is part of."""
    return [
        (await client.enqueue("short", {"ms": 1}, tenant=f"t{n % 3}", key=f"{word}{n}", max_attempts=100)).id
        for n in range(count)
    ]


@pytest.mark.parametrize("at_month_start", [False, True], ids=["any day", "over the start of a month"])
async def test_a_clock_moved_back_stops_nobody_and_loses_nothing(
    database: str, client: Client, clock: Clock, ledger: Ledger, at_month_start: bool
) -> None:
    """Jobs enqueued, running and waiting when the clock goes back, and later ones, each end once; keys still hold."""
    if at_month_start:
        now = await clock.now()
        await clock.set((now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=10))
    work = Workplace()
    async with work.manned(database, workers=2):
        before = await some(client, "before")
        await ledger.until(lambda: work.ended() == set(before))
        work.gate.clear()
        running = await some(client, "running", 6)
        await ledger.until(lambda: set(running) <= {job for word, job, _ in work.notes if word == "begun"})
        soon = (await client.enqueue("short", {"ms": 1}, run_at=await clock.now() + timedelta(minutes=5))).id
        await clock.advance(-HOUR)
        work.gate.set()
        # New jobs sort before all that was ever claimed: no worker's memory of a lane may hide them.
        after = await some(client, "after")
        await ledger.until(lambda: set(before + running + after) <= work.ended())
        assert await some(client, "before") == before
        assert soon not in work.ended()
        await clock.advance(HOUR)
        again = await some(client, "again")
        await clock.advance(timedelta(minutes=6))
        jobs = [*before, *running, soon, *after, *again]
        await ledger.until(lambda: set(jobs) <= work.ended())
        await ledger.all_over()
    await ledger.agrees(jobs, work.notes)


async def test_a_worker_that_died_before_the_clock_went_back_is_not_waited_for_an_hour(
    store: Store, clock: Clock, client: Client, database: str, ledger: Ledger
) -> None:
    """A lease never lies further ahead than its own length: the jobs of the dead worker are free after one."""
    work = Workplace()
    await clock.stand()
    jobs = await some(client, "held", 3)
    async with store.connection() as connection:
        dead = await start_worker(connection, 0, kinds=["short"], lease_s=30)
        assert len(await Claimer(store, dead.worker, None, ["short"]).claim(3, {}, 1)) == 3
        await clock.advance(-HOUR)
        assert (await tick(connection, 0)).rescued == 0
        await clock.advance(seconds=29)
        assert (await tick(connection, 0)).rescued == 0
        await clock.advance(seconds=1)
        assert (await tick(connection, 0)).rescued == 3
    async with work.manned(database):
        await ledger.until(lambda: work.ended() == set(jobs))
        await ledger.all_over()
    await ledger.agrees(jobs, work.notes)


async def test_an_id_made_before_the_clock_went_back_is_refused_by_name(store: Store, clock: Clock) -> None:
    """It lies an hour ahead of the database's clock, one by one and in a batch; nothing is written."""
    made = new_id((await clock.now()).astimezone(UTC))
    await clock.advance(-HOUR)
    async with store.connection() as connection:
        with pytest.raises(IdOutOfWindow, match="clock"):
            await enqueue(connection, NewJob("short", id=made))
        with pytest.raises(IdOutOfWindow, match="clock"):
            await enqueue_many(connection, [NewJob("short"), NewJob("short", id=made)])
        assert await connection.fetchval("select count(*) from jobledger.events where type = 'job.enqueued'") == 0
