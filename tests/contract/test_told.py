"""What a tick did to single jobs and workers is observed, one record each."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from jobledger.observations import JobKilled, JobTimedOut, LeaseExpired, Observation, observing
from jobledger.store.tick import tick

if TYPE_CHECKING:
    from tests.contract.conftest import Desk

    from jobledger.testing.clock import Clock


async def _observed(desk: Desk) -> list[Observation]:
    with observing(Observation) as seen:
        await tick(desk.sql, 0)
    return seen


async def test_an_expired_lease_is_observed_with_its_worker(desk: Desk, clock: Clock) -> None:
    """One record a worker, with the number of jobs that were taken from it; the next tick says nothing more."""
    for _ in range(3):
        await desk.enqueue()
    await desk.claim(3)
    await clock.advance(seconds=31)
    assert await _observed(desk) == [LeaseExpired(worker=UUID(str(desk.worker)), jobs=3)]
    assert await _observed(desk) == []


async def test_an_attempt_ended_by_the_tick_is_observed(desk: Desk, clock: Clock) -> None:
    """The record says that the tick did it, not the worker."""
    job = await desk.enqueue(timeout=5)
    await desk.claim()
    await clock.advance(seconds=20)
    await desk.beat(1, 1, [job])
    await clock.advance(seconds=20)
    assert await _observed(desk) == [JobTimedOut(job=job, where="tick")]


async def test_every_kill_is_observed_with_its_rule(desk: Desk, clock: Clock) -> None:
    """Whose job it was and who had set the date: the job itself, or the service's default."""
    default = await desk.enqueue(tenant="acme")
    own = await desk.enqueue(tenant="blue", kill_at=await clock.now() + timedelta(hours=1))
    await clock.advance(days=8)
    seen = await _observed(desk)
    assert {(kill.job, kill.tenant, kill.rule) for kill in seen if isinstance(kill, JobKilled)} == {
        (default, "acme", "service"),
        (own, "blue", "own"),
    }
