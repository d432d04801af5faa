"""Workers ended by a CPU limit or a wall clock, where it hurts: between claim and start, between outcome and report."""

from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import STEADY

from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from tests.faults.conftest import Crew, Hand, Ledger

    from jobledger.jobs import Client

PLACES = ["claimed", "concluded"]


def limit_cpu(hand: Hand, *, soft: bool) -> None:
    """Give the process less CPU than it has used: SIGXCPU at the soft limit, SIGKILL at the hard one."""
    hard = resource.RLIM_INFINITY if soft else 1
    resource.prlimit(hand.process.pid, resource.RLIMIT_CPU, (1, hard))


async def end_at_place(hand: Hand, end: str) -> None:
    """End the worker while it stands at its place, and see that this ended it."""
    await hand.noted("stands")
    if end == "clock":
        hand.process.kill()
    else:
        limit_cpu(hand, soft=end == "soft limit")
    assert -await hand.ended() == (signal.SIGXCPU if end == "soft limit" else signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "end",
    ["soft limit", "hard limit", "clock"],
)
async def test_a_worker_ended_at_its_worst_moment_costs_an_attempt(
    crew: Crew, client: Client, ledger: Ledger, place: str, end: str
) -> None:
    """Between claim and start nothing ran, between outcome and report it ran: either way it runs again, elsewhere."""
    jobs = [(await client.enqueue("short", {"ms": 1}, max_attempts=10)).id for _ in range(8)]
    doomed = crew.hire(FAULTS_PLACE=place, FAULTS_SPIN="yes")
    await end_at_place(doomed, end)
    crew.hire()
    await ledger.all_over()
    await crew.dismiss()
    assert len(doomed.notes("ended")) == (0 if place == "claimed" else 1)
    await ledger.agrees(jobs, crew.notes())
    claimed = "select count(*) from jobledger.events where type = 'job.claimed'"
    expired = "select count(*) from jobledger.events where type = 'job.lease_expired'"
    assert await ledger.value(claimed) - await ledger.value(expired) == len(jobs)
    assert await ledger.value(expired) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_a_worker_that_knows_its_end_leaves_nothing_running(
    crew: Crew, client: Client, ledger: Ledger, place: str
) -> None:
    """With `--max-seconds` a job that stands is timed out before the end, and none is claimed that would pass it."""
    jobs = [(await client.enqueue("brief", max_attempts=10, timeout=1)).id for _ in range(8)]
    doomed = crew.hire("--max-seconds", "4", FAULTS_PLACE=place, **STEADY)
    await doomed.noted("stands")
    assert await doomed.ended() == 0
    assert await ledger.value("select count(*) from jobledger.running") == 0
    crew.hire(**STEADY)
    await ledger.all_over()
    await crew.dismiss()
    await ledger.agrees(jobs, crew.notes())
    assert await ledger.value("select count(*) from jobledger.events where type = 'job.lease_expired'") == 0


@pytest.mark.slow
async def test_a_worker_killed_before_the_answer_to_its_report_has_reported(
    crew: Crew, client: Client, ledger: Ledger, database: str
) -> None:
    """A report that was committed counts, though nobody lived to hear so: the job runs once."""
    with Proxy(database) as proxy:
        trap = proxy.trap("jobledger.report(")
        doomed = crew.hire(dsn=proxy.dsn, **STEADY)
        job = (await client.enqueue("short", {"ms": 1}, max_attempts=10)).id
        await ledger.until(trap.caught.is_set)
        doomed.kill()
    await ledger.reaches(job, "succeeded")
    crew.hire()
    more = (await client.enqueue("short", {"ms": 1}, max_attempts=10)).id
    await ledger.all_over()
    await crew.dismiss()
    await ledger.agrees([job, more], crew.notes())
    assert await ledger.history(job) == ["job.enqueued", "job.claimed", "job.succeeded"]


@pytest.mark.slow
async def test_a_worker_killed_before_the_answer_to_its_claim_began_nothing(
    crew: Crew, client: Client, ledger: Ledger, database: str
) -> None:
    """Jobs claimed by a worker that never heard of it cost an attempt, and run elsewhere."""
    jobs = [(await client.enqueue("short", {"ms": 1}, max_attempts=10)).id for _ in range(4)]
    with Proxy(database) as proxy:
        trap = proxy.trap("jobledger.claim(")
        doomed = crew.hire(dsn=proxy.dsn)
        await ledger.until(trap.caught.is_set)
        doomed.kill()
    crew.hire(**STEADY)
    await ledger.all_over()
    await crew.dismiss()
    assert doomed.notes("begun") == []
    await ledger.agrees(jobs, crew.notes())
    assert await ledger.history(jobs[0]) == [
        "job.enqueued",
        "job.claimed",
        "job.lease_expired",
        "job.claimed",
        "job.succeeded",
    ]
