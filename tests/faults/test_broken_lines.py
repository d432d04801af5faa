"""A network that cuts, stalls and half-opens the line at every statement of a job's life, before and after the server.

The worker and the enqueuer each go through a proxy. One statement is caught on its way there, or its answer on its way
back; then the line is cut, or stalled until everything else is over, or closed on one side only. What must follow is
always the same: the job is done, the books agree, and the worker stops as it should. So it is with a heartbeat that
fails while jobs run, whether or not the lease lasts, with a tick that has something to do, with each way in which an
attempt may end, and with a kind that is new. What operators and others ask for is in `test_broken_acts`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import ENDS, until
from tests.faults.lines import (
    BLOCKED,
    ENDINGS,
    FAULTS,
    LEASE_S,
    Hand,
    each_fault,
    ends_well,
    enqueued,
    in_turn,
    spring,
    strike,
)

from jobledger.store.claim import Claimer
from jobledger.store.statements import statement
from jobledger.store.tick import tick
from jobledger.store.workers import start_worker
from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.faults.conftest import Ledger

    from jobledger.jobs import Client
    from jobledger.testing.clock import Clock
    from jobledger.testing.proxy import Trap

STATEMENTS = {
    "enqueue": "jobledger.enqueue",
    "claim": "jobledger.claim(",
    "hinted claim": "jobledger.claim_hinted(",
    "report": "jobledger.report(",
    "heartbeat": "jobledger.heartbeat(",
    "tick": "jobledger.tick(",
    "give back": "RESET ALL",
    "open": "jobledger.open(",
    "worker start": "jobledger.worker_start(",
    "worker stop": "jobledger.worker_stop(",
    "idle": "jobledger.worker_idle(",
    "listen": "LISTEN",
    "begin": "BEGIN",
    "commit": "COMMIT",
}
RUNNING = "select count(*) from jobledger.running"
SCHEDULED = "select count(*) from jobledger.waiting"
REGISTERED = "select count(distinct data ->> 'name') = count(*) from jobledger.events where type = 'kind.registered'"
# Of one claim there is one outcome, however often it was reported.
TWICE = """
select stream_id, claim from (
  select stream_id, type, count(*) filter (where type = 'job.claimed') over w as claim
  from jobledger.events window w as (partition by stream_id order by version)
) as e
where type in ('job.failed', 'job.parked', 'job.snoozed', 'job.cancelled', 'job.succeeded')
group by stream_id, claim having count(*) > 1
"""
EXPIRED = "select count(distinct stream_id) from jobledger.events where type = 'job.lease_expired'"
# The transaction holds the row of the job, until its commit arrives, or the server looks whether anybody is there.
HOLDS = {("commit", "orphan", "before"), ("commit", "stall", "before")}


@pytest.fixture
def proxies(database: str) -> Iterator[tuple[Proxy, Proxy]]:
    """Give a proxy for the enqueuer, and one for the worker."""
    with Proxy(database) as ours, Proxy(database) as theirs:
        yield ours, theirs


@pytest.fixture
def hand(proxies: tuple[Proxy, Proxy]) -> Iterator[Hand]:
    """Give a worker behind its proxy."""
    made = Hand(proxies[1].dsn)
    yield made
    made.stop()


# The fast suite takes the one fault that nobody is told of; all of them are slow for their number.
QUICK = {(what, "mute", "after") for what in ("enqueue", "claim", "report", "commit")}
CASES = [
    pytest.param(what, fault, side, marks=() if (what, fault, side) in QUICK else pytest.mark.slow)
    for what in STATEMENTS
    for fault in FAULTS
    for side in ("before", "after")
]
ENDED = in_turn((*ENDINGS, "progressed"), ("failed", "mute", "after"))


@pytest.mark.parametrize(("what", "fault", "side"), CASES)
@pytest.mark.usefixtures("effects")
async def test_a_line_that_fails_at_a_statement_costs_nothing(
    proxies: tuple[Proxy, Proxy], hand: Hand, ledger: Ledger, what: str, fault: str, side: str
) -> None:
    """Whatever the network does to one statement, every job is done, once, and nobody stands still."""
    ours, theirs = proxies
    await hand.ready()
    trap = (ours if what == "enqueue" else theirs).trap(STATEMENTS[what], before=side == "before")
    if what == "open":
        await ledger.fetch(statement("close"), 0)
    elif what == "worker start":
        await ledger.fetch("select jobledger.worker_stop(0::smallint, id, 'by hand') from jobledger.workers")
    elif what == "worker stop":
        jobs = [await enqueued(ours.dsn, "before", "short")]
        await ledger.all_over()
        hand.stop()
    elif what == "hinted claim":
        await until(lambda: ledger.fetch("select from jobledger.idle"))
    springing = asyncio.create_task(spring(trap, fault))
    kind = "entry" if what in ("begin", "commit", "give back") else "short"
    if what != "worker stop":
        jobs = [await enqueued(ours.dsn, str(number), kind) for number in range(3)]
    while what == "hinted claim" and not springing.done() and len(jobs) < 200:
        # The worker's own timer may have been quicker.
        jobs.append(await enqueued(ours.dsn, str(len(jobs)), kind))
    await springing
    if (what, fault, side) in HOLDS:
        await until(lambda: ledger.fetch(BLOCKED))
        (theirs.cut if fault == "orphan" else trap.let_go)()
    await ends_well(hand, ledger, trap, ours.dsn, jobs, more=what != "worker stop")


@pytest.mark.parametrize(("how", "fault", "side"), ENDED)
async def test_a_line_that_fails_at_the_report_of_another_end_than_success_costs_nothing(
    proxies: tuple[Proxy, Proxy], client: Client, hand: Hand, ledger: Ledger, how: str, fault: str, side: str
) -> None:
    """It is in the log, once for each claim; its cause mended, the job goes on, by itself or as a person says."""
    ours, theirs = proxies
    await hand.ready()
    trap = theirs.trap(STATEMENTS["report"], before=side == "before")
    springing = asyncio.create_task(spring(trap, fault))
    job = await enqueued(ours.dsn, "one", "various", {"ends": how})
    await springing
    event = f"job.{how.partition(' ')[0]}"

    async def told() -> bool:
        return event in await ledger.history(job)

    await until(told)
    hand.mended.set()
    if how == "failed for good":
        await client.retry(job, reason="mended")
    elif how == "parked":
        await client.unpark(job, reason="mended")
    await ends_well(hand, ledger, trap, ours.dsn, [job], ends=ENDS)
    assert await ledger.fetch(TWICE) == []
    assert (await ledger.history(job))[-1] == ("job.cancelled" if how == "cancelled" else "job.succeeded")


@each_fault
async def test_a_line_that_fails_at_the_registration_of_a_new_kind_keeps_no_worker_from_it(
    proxies: tuple[Proxy, Proxy], ledger: Ledger, fault: str, side: str
) -> None:
    """The worker begins anew until it knows that its kinds are registered: each is, once."""
    ours, theirs = proxies
    trap = theirs.trap("jobledger.register_kind(", before=side == "before")
    hand = Hand(theirs.dsn)
    try:
        await spring(trap, fault)
        job = await enqueued(ours.dsn, "one", "short")
        await ends_well(hand, ledger, trap, ours.dsn, [job])
        assert await ledger.value(REGISTERED)
    finally:
        hand.stop()


async def _with_jobs_in_hand(
    proxies: tuple[Proxy, Proxy], clock: Clock, hand: Hand, ledger: Ledger, side: str
) -> tuple[list[UUID], Trap]:
    """Begin three jobs that do not end, under a lease that does not run out, and catch a heartbeat that names them."""
    ours, theirs = proxies
    await clock.stand()
    await hand.ready()
    hand.gate.clear()
    jobs = [await enqueued(ours.dsn, str(number), "short") for number in range(3)]
    await until(lambda: all(hand.begun(job) for job in jobs))
    # One that was made up before the jobs came may still be on its way, and is let pass.
    beats = hand.beats
    await until(lambda: hand.beats > beats)
    trap = theirs.trap(STATEMENTS["heartbeat"], before=side == "before")
    await asyncio.to_thread(trap.wait)
    assert await ledger.value(RUNNING) == len(jobs)
    return jobs, trap


@each_fault
async def test_a_heartbeat_that_fails_while_jobs_run_takes_none_of_them_away(
    proxies: tuple[Proxy, Proxy], clock: Clock, hand: Hand, ledger: Ledger, fault: str, side: str
) -> None:
    """While the lease lasts another heartbeat comes through, and each job goes on in the handler that had begun it."""
    jobs, trap = await _with_jobs_in_hand(proxies, clock, hand, ledger, side)
    beats = hand.beats
    strike(trap, fault)
    await until(lambda: hand.beats > beats)
    assert await ledger.value(RUNNING) == len(jobs)
    hand.gate.set()
    await ends_well(hand, ledger, trap, proxies[0].dsn, jobs)
    assert [hand.begun(job) for job in jobs] == [1] * len(jobs)


@each_fault
async def test_a_heartbeat_that_fails_until_the_lease_is_over_costs_an_attempt_and_no_job(
    proxies: tuple[Proxy, Proxy], clock: Clock, hand: Hand, ledger: Ledger, fault: str, side: str
) -> None:
    """The jobs are rescued under running handlers; these are told, and what counts is what the next attempt does."""
    jobs, trap = await _with_jobs_in_hand(proxies, clock, hand, ledger, side)

    async def rescued() -> bool:
        await clock.advance(seconds=LEASE_S + 1)
        async with ledger.store.connection() as connection:
            await tick(connection, 0)
        return bool(await ledger.value(EXPIRED) >= len(jobs))

    await until(rescued)
    strike(trap, fault)
    # There is one place more than jobs: unless the first handlers are told, the others have none.
    await until(lambda: all(hand.begun(job) > 1 for job in jobs))
    hand.gate.set()
    await ends_well(hand, ledger, trap, proxies[0].dsn, jobs)


@each_fault
async def test_a_tick_that_fails_with_a_job_to_promote_and_one_to_rescue_loses_neither(
    proxies: tuple[Proxy, Proxy], client: Client, clock: Clock, ledger: Ledger, fault: str, side: str
) -> None:
    """Time has made a scheduled job due and ended a lease before any worker ticks; its first tick is the one caught."""
    ours, theirs = proxies
    held = (await client.enqueue("short", max_attempts=100)).id
    async with ledger.store.connection() as connection:
        silent = (await start_worker(connection, 0, kinds=["short"], lease_s=LEASE_S)).worker
        assert [job.id for job in await Claimer(ledger.store, silent, None, ["short"]).claim(1, {}, 1)] == [held]
    later = await clock.now() + timedelta(seconds=LEASE_S)
    jobs = [held, (await client.enqueue("short", run_at=later, max_attempts=100)).id]
    await clock.advance(seconds=2 * LEASE_S)
    trap = theirs.trap(STATEMENTS["tick"], before=side == "before")
    hand = Hand(theirs.dsn)
    try:
        await asyncio.to_thread(trap.wait)
        if side == "after":
            assert await ledger.value(EXPIRED) == 1
            assert await ledger.value(SCHEDULED) == 0
        strike(trap, fault)
        await ends_well(hand, ledger, trap, ours.dsn, jobs)
    finally:
        hand.stop()


async def test_the_server_looks_soon_whether_a_client_is_still_there(ledger: Ledger) -> None:
    """A machine that vanished inside a transaction keeps its locks for seconds, not for two hours."""
    sql = "select setting::int from pg_settings where name like 'tcp_keepalives%' and source = 'client'"
    assert len(await ledger.fetch(sql)) == 3
