"""Every ending of `transaction=True` after a write: the write is kept if and only if the log says succeeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import STEADY

from jobledger.store.operate import act
from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from uuid import UUID

    from tests.faults.conftest import Crew, Ledger

    from jobledger.jobs import Client

pytestmark = pytest.mark.usefixtures("effects")


async def entry(client: Client, ending: str, **options: int) -> UUID:
    """Enqueue a job whose handler writes a row, then ends so on its first attempt."""
    return (await client.enqueue("entry", {"ending": ending}, max_attempts=10, **options)).id  # type: ignore[arg-type]


@pytest.mark.slow
async def test_the_write_and_the_record_agree_after_every_ending(crew: Crew, client: Client, ledger: Ledger) -> None:
    """Return, raise, time out, be cancelled or killed, break a constraint at commit: only what returned is kept."""
    hand = crew.hire("--concurrency", "8", **STEADY)
    jobs = {
        "returns": await entry(client, "returns"),
        "raises": await entry(client, "raises"),
        "constraint": await entry(client, "breaks a constraint"),
        "times out": await entry(client, "waits", timeout=1),
        "cancelled": await entry(client, "waits"),
        "killed": await entry(client, "waits"),
    }
    for job in (jobs["cancelled"], jobs["killed"]):
        await hand.noted("wrote", job)
    async with ledger.store.connection() as connection:
        await act(connection, 0, "cancel", [jobs["cancelled"]], actor="ada", reason="wrong month")
        await act(connection, 0, "kill", [jobs["killed"]], actor="ada", reason="wrong year")
    await ledger.all_over()
    await crew.dismiss()
    await ledger.agrees(jobs.values(), crew.notes(), ends=("job.succeeded", "job.cancelled", "job.killed"))
    kept = {row["job"]: row["attempt"] for row in await ledger.fetch("select job, attempt from public.effects")}
    # Its second attempt has a second, too, which a busy machine may use up.
    assert kept.pop(jobs["times out"]) >= 2
    assert kept == {jobs["returns"]: 1, jobs["raises"]: 2, jobs["constraint"]: 2}
    errors = await ledger.fetch(
        "select stream_id, data -> 'error' ->> 'type' as error from jobledger.events where type = 'job.failed'"
    )
    assert {row["stream_id"]: row["error"] for row in errors} == {
        jobs["raises"]: "RuntimeError",
        jobs["constraint"]: "UniqueViolationError",
        jobs["times out"]: "TimedOut",
    }


@pytest.mark.slow
async def test_a_transaction_whose_worker_is_killed_before_the_commit_leaves_nothing(
    crew: Crew, client: Client, ledger: Ledger
) -> None:
    """The write of the killed attempt is gone, that of the next one is there."""
    doomed = crew.hire()
    job = await entry(client, "waits")
    await doomed.noted("wrote", job)
    doomed.kill()
    crew.hire(**STEADY)
    await ledger.all_over()
    await crew.dismiss()
    await ledger.agrees([job], crew.notes())
    assert await ledger.value("select array_agg(attempt) from public.effects") == [2]


@pytest.mark.slow
async def test_a_transaction_whose_worker_is_killed_before_the_answer_to_its_commit_is_kept(
    crew: Crew, client: Client, ledger: Ledger, database: str
) -> None:
    """Once committed the job has succeeded and does not run again, whatever becomes of the worker."""
    with Proxy(database) as proxy:
        doomed = crew.hire(dsn=proxy.dsn, JOBLEDGER_PROJECTIONS="false", **STEADY)
        job = await entry(client, "waits deaf")
        await doomed.noted("wrote", job)
        trap = proxy.trap("COMMIT")
        crew.open("entry-1")
        await ledger.until(trap.caught.is_set)
        doomed.kill()
    await ledger.reaches(job, "succeeded")
    crew.hire()
    more = await entry(client, "returns")
    await ledger.all_over()
    await crew.dismiss()
    await ledger.agrees([job, more], crew.notes())
    assert await ledger.history(job) == ["job.enqueued", "job.claimed", "job.succeeded"]


@pytest.mark.slow
async def test_a_commit_whose_answer_is_lost_is_kept_and_the_worker_goes_on(
    crew: Crew, client: Client, ledger: Ledger, database: str
) -> None:
    """The worker cannot know how its commit ended and reports a failure: the fence rejects it, on record."""
    with Proxy(database) as proxy:
        hand = crew.hire(dsn=proxy.dsn, JOBLEDGER_PROJECTIONS="false", **STEADY)
        job = await entry(client, "waits deaf")
        await hand.noted("wrote", job)
        trap = proxy.trap("COMMIT")
        crew.open("entry-1")
        await ledger.until(trap.caught.is_set)
        trap.cut()

        async def rejected() -> bool:
            return await ledger.rejected(job) == ["finished"]

        await ledger.until(rejected)
        more = await entry(client, "returns")
        await ledger.all_over()
        await hand.dismiss()
    await ledger.agrees([job, more], crew.notes())


async def test_a_transaction_whose_connection_is_cut_before_the_commit_fails_on_record(
    crew: Crew, client: Client, ledger: Ledger
) -> None:
    """The server ends the handler's connection: what it wrote is gone, the failure is on record, and it runs again."""
    hand = crew.hire(**STEADY)
    job = await entry(client, "waits deaf")
    await hand.noted("wrote", job)
    ended = await ledger.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and query like 'insert into public.effects%'"
    )
    assert len(ended) == 1
    crew.open("entry-1")
    await ledger.all_over()
    await crew.dismiss()
    await ledger.agrees([job], crew.notes())
    assert await ledger.history(job) == [
        "job.enqueued",
        "job.claimed",
        "job.failed",
        "job.claimed",
        "job.succeeded",
    ]


@pytest.mark.slow
async def test_a_transaction_that_ends_after_its_lease_leaves_nothing_and_is_rejected(
    crew: Crew, client: Client, ledger: Ledger
) -> None:
    """A zombie's transaction is rolled back though its handler returned, and its report is rejected on record."""
    zombie = crew.hire()
    job = await entry(client, "waits deaf")
    await zombie.noted("wrote", job)
    zombie.freeze()
    other = crew.hire(**STEADY)
    await ledger.reaches(job, "succeeded")
    crew.open("entry-1")
    zombie.thaw()

    async def rejected() -> bool:
        return await ledger.rejected(job) == ["finished"]

    await ledger.until(rejected)
    assert len(other.notes("ended")) == 1
    await crew.dismiss()
    await ledger.agrees([job], crew.notes())
    assert await ledger.value("select array_agg(attempt) from public.effects") == [2]
