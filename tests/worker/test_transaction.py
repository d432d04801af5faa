"""Every ending of `transaction=True` after a write: what was written and what was enqueued is kept or gone, whole."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from tests.worker.conftest import quick, until

from jobledger.jobs import App, Cancel, Context, Park, PermanentFailure, Retry, Snooze
from jobledger.observations import ReportRejected, observing
from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.worker.conftest import Apart, Bench

app = App()
begun = threading.Event()


@app.job()
async def child() -> None:
    """Only be enqueued."""


@app.job(transaction=True, max_attempts=2)
async def write(context: Context, how: str) -> Any:
    """Write, enqueue, then end in the way asked for."""
    await context.connection.execute("insert into effect values ($1)", str(context.id))
    await child.using(conn=context.connection).enqueue()
    begun.set()
    ways: dict[str, Callable[[Context], Awaitable[Any]]] = {
        "value": lambda _: asyncio.sleep(0, 7),
        "deferred": violate_later,
        "error": violate_now,
        "caught": violate_and_go_on,
        "commit": commit_itself,
        "hang": lambda _: asyncio.Event().wait(),
        "swallow": swallow,
        "terminate": lose_connection,
    }
    outcomes: dict[str, Any] = {
        "snooze": Snooze(3600),
        "retry": Retry(after=3600),
        "park": Park("a person"),
        "cancel": Cancel("no"),
        "raise": PermanentFailure("no"),
    }
    what, _, returned = how.partition(" ")
    if what in outcomes:
        if returned:
            return outcomes[what]
        raise outcomes[what]
    return await ways[what](context)


async def violate_later(context: Context) -> None:
    """Break a rule that is checked at the commit."""
    await context.connection.execute("insert into deferred values (1), (1)")


async def violate_now(context: Context) -> None:
    """Break a rule at once."""
    await context.connection.execute("insert into effect values (null)")


async def violate_and_go_on(context: Context) -> None:
    """Break a rule, and return as if nothing had been."""
    try:
        await context.connection.execute("insert into effect values (null)")
    except asyncpg.PostgresError:
        return


async def commit_itself(context: Context) -> None:
    """End the transaction behind the worker's back."""
    await context.connection.execute("rollback")


async def lose_connection(context: Context) -> None:
    """Lose the connection."""
    context.connection.terminate()


async def swallow(_: Context) -> str:
    """Ignore the cancellation, and return a result."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "swallowed"
    return "never"


@pytest.fixture
async def written(bench: Bench) -> AsyncIterator[Bench]:
    """Give a database with the handler's own tables."""
    begun.clear()
    await bench.fetch("create table effect (job text not null)")
    await bench.fetch("create table deferred (n int unique deferrable initially deferred)")
    async with bench.client(app):
        yield bench


async def effects(bench: Bench) -> tuple[int, int]:
    """Count what the handler wrote and what it enqueued."""
    return (
        await bench.value("select count(*) from effect"),
        await bench.value(
            "select count(*) from jobledger.events where type = 'job.enqueued' and data ->> 'kind' = 'child'"
        ),
    )


@pytest.mark.parametrize(
    ("how", "events", "kept"),
    [
        ("value", ["succeeded"], 1),
        ("snooze returned", ["snoozed"], 1),
        ("retry returned", ["failed"], 1),
        ("park returned", ["parked"], 1),
        ("cancel returned", ["cancelled"], 1),
        ("snooze", ["snoozed"], 0),
        ("retry", ["failed"], 0),
        ("park", ["parked"], 0),
        ("cancel", ["cancelled"], 0),
        ("raise", ["failed"], 0),
        ("commit", ["failed"], 0),
    ],
)
async def test_what_is_returned_commits_and_what_is_raised_rolls_back(
    written: Bench, how: str, events: list[str], kept: int
) -> None:
    """Outcome and effect agree for every way in which a handler can end by itself."""
    job = (await write.enqueue(how)).id
    await written.worker(app, kinds=["write"], until_empty=True).run(signals=False)
    assert await written.history(job) == ["enqueued", "claimed", *events]
    assert await effects(written) == (kept, kept)
    assert await written.mismatches() == []


@pytest.mark.parametrize("how", ["error", "caught", "deferred", "terminate"])
async def test_a_commit_that_fails_leaves_nothing_but_the_record_of_it(written: Bench, how: str) -> None:
    """The failure is recorded although the transaction that was to hold the record is gone."""
    job = (await write.using(max_attempts=1).enqueue(how)).id
    await written.worker(app, kinds=["write"], until_empty=True).run(signals=False)
    assert await written.history(job) == ["enqueued", "claimed", "failed"]
    assert await effects(written) == (0, 0)
    assert await written.mismatches() == []


@pytest.mark.parametrize("how", ["hang", "swallow"])
async def test_a_time_out_rolls_back(written: Bench, how: str) -> None:
    """An attempt that runs out of time leaves nothing, whatever it does about it."""
    job = (await write.using(max_attempts=1, timeout=1).enqueue(how)).id
    await written.worker(app, kinds=["write"], until_empty=True).run(signals=False)
    assert await written.history(job) == ["enqueued", "claimed", "failed"]
    assert (await written.last(job))["error"]["type"] == "TimedOut"
    assert await effects(written) == (0, 0)


@pytest.mark.parametrize(("act", "events"), [("cancel", ["cancel_requested", "cancelled"]), ("kill", ["killed"])])
@pytest.mark.parametrize("how", ["hang", "swallow"])
async def test_cancel_and_kill_roll_back(written: Bench, act: str, events: list[str], how: str) -> None:
    """An operator's act on a running transactional job leaves nothing of it."""
    async with written.worker(app, kinds=["write"]):
        handle = await write.using(timeout=60).enqueue(how)
        await until(begun.is_set)
        await written.fetch(
            "select * from jobledger.act(0::smallint, $2, 'default', $1, 'ann', 'no')", [handle.id], act
        )
        await written.reaches(handle.id, "cancelled", "killed")
    assert await written.history(handle.id) == ["enqueued", "claimed", *events]
    assert await effects(written) == (0, 0)


async def test_a_stop_rolls_back_and_costs_no_attempt(written: Bench) -> None:
    """A worker that stops hands the job back, and nothing of it was written."""
    async with written.worker(app, kinds=["write"], settings=quick(stop_grace_s=0)):
        handle = await write.using(timeout=60).enqueue("hang")
        await until(begun.is_set)
    assert await written.history(handle.id) == ["enqueued", "claimed", "interrupted"]
    assert await effects(written) == (0, 0)
    assert await written.value("select attempt from jobledger.jobs where id = $1", handle.id) == 0


async def test_a_job_that_was_taken_away_meanwhile_rolls_back(written: Bench) -> None:
    """A lease lost without the worker's knowing: its own report, inside the transaction, is refused and undoes all."""
    other = App()
    go_on = asyncio.Event()

    @other.job(transaction=True)
    async def slow(context: Context) -> None:
        await context.connection.execute("insert into effect values ('slow')")
        begun.set()
        await go_on.wait()

    async with written.client(other) as client:
        # A long heartbeat: the worker does not hear of it before the handler returns.
        settings = quick(lease_s=60, heartbeat_s=30)
        with observing(ReportRejected) as rejected:
            async with written.worker(other, settings=settings) as worker:
                handle = await client.enqueue("slow")
                await until(begun.is_set)
                assert worker.life is not None
                await written.fetch(
                    "select * from jobledger.act(0::smallint, 'kill', 'default', $1, 'ann', 'no')", [handle.id]
                )
                go_on.set()
            assert [one.job for one in rejected] == [handle.id]
    assert await written.history(handle.id) == ["enqueued", "claimed", "killed"]
    assert await written.value("select count(*) from effect") == 0
    assert await written.count("worker.report_rejected") == 1


async def test_a_commit_whose_answer_is_lost_counts_once(
    written: Bench, database: str, apart: Callable[..., Apart]
) -> None:
    """The handler's effect and the record agree, although the worker cannot know how its commit ended."""
    with Proxy(database) as proxy:
        settings = quick(projections=False)  # who folds commits, too
        worker = await apart(app, proxy.dsn, kinds=["write"], concurrency=1, settings=settings).start()
        trap = proxy.trap("COMMIT")
        async with written.client(app) as client:
            handle = await client.enqueue("write", {"how": "value"})
        await asyncio.to_thread(trap.wait)
        trap.cut()
        await written.reaches(handle.id, "succeeded")
        await worker.stop()
    assert await written.history(handle.id) == ["enqueued", "claimed", "succeeded"]
    assert await effects(written) == (1, 1)
    assert await written.mismatches() == []
