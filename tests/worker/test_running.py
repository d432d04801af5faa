"""Jobs run end to end: outcomes, retries, aliases, arguments that do not fit, contexts, isolation of variables."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BeforeValidator

from jobledger.errors import InvalidArgument, JobCancelled, JobFailed
from jobledger.jobs import App, Cancel, Context, Park, PermanentFailure, Retry, Snooze
from jobledger.jobs.context import current
from jobledger.lifecycle.backoff import Fixed
from jobledger.lifecycle.retry import RetryPolicy
from jobledger.observations import JobFinished, JobStarted, WorkerStarted, observing

if TYPE_CHECKING:
    from tests.worker.conftest import Bench


async def test_async_and_sync_handlers_return_results_of_their_type(bench: Bench) -> None:
    """Each handler's result comes back by its handle."""
    app = App()

    @app.job()
    async def add(a: int, b: int) -> int:
        return a + b

    @app.job()
    def join(words: list[str]) -> str:
        return " ".join(words)

    async with bench.client(app), bench.worker(app):
        assert await (await add.enqueue(1, b=2)).result(timeout=10) == 3
        assert await (await join.enqueue(["a", "b"])).result(timeout=10) == "a b"
    assert await bench.mismatches() == []


async def test_a_thousand_jobs_of_many_tenants_run_once_each(bench: Bench) -> None:
    """Every job of a backlog runs exactly once, some of them waiting, and the log agrees with the tables."""
    app = App()
    seen: list[int] = []

    @app.job()
    async def note(n: int) -> None:
        if n % 7 == 0:
            await asyncio.sleep(0)
        seen.append(n)

    async with bench.client(app) as client:
        await client.enqueue_many([note.using(tenant=f"t{n % 5}").call(n) for n in range(1000)])
        assert await bench.worker(app, concurrency=50, until_empty=True).run(signals=False) == "empty"
    assert sorted(seen) == list(range(1000))
    assert await bench.count("job.succeeded") == 1000
    assert await bench.mismatches() == []


async def test_run_inside_the_block_waits_for_the_worker_that_runs_there(bench: Bench) -> None:
    """`async with worker: await worker.run()` is one worker, not two; it ends with the reason of that one."""
    app = App()

    @app.job()
    async def noop() -> None:
        """Do nothing."""

    with observing(WorkerStarted) as started:
        async with bench.worker(app, until_empty=True) as worker:
            assert await worker.run() == "empty"
    assert len(started) == 1


@pytest.mark.parametrize("raised", [False, True], ids=["returned", "raised"])
async def test_outcomes_count_returned_or_raised(bench: Bench, raised: bool) -> None:
    """Snooze, Retry, Park and Cancel do the same whichever way they leave the handler."""
    app = App()

    @app.job(max_attempts=2)
    async def end(how: str) -> Any:
        outcomes: dict[str, Any] = {
            "snooze": Snooze(3600, "later"),
            "retry": Retry(after=3600, reason="again"),
            "park": Park("no key", needs="a key"),
            "cancel": Cancel("not wanted"),
        }
        if raised:
            raise outcomes[how]
        return outcomes[how]

    async with bench.client(app):
        jobs = {how: (await end.enqueue(how)).id for how in ("snooze", "retry", "park", "cancel")}
        await bench.worker(app, until_empty=True).run(signals=False)
    assert {how: await bench.state(job) for how, job in jobs.items()} == {
        "snooze": "scheduled",
        "retry": "scheduled",
        "park": "parked",
        "cancel": "cancelled",
    }
    assert (await bench.last(jobs["snooze"]))["reason"] == "later"
    assert (await bench.last(jobs["park"]))["needs"] == "a key"
    assert await bench.value("select attempt from jobledger.jobs where id = $1", jobs["snooze"]) == 0
    assert await bench.value("select attempt from jobledger.jobs where id = $1", jobs["retry"]) == 1


async def test_a_failing_handler_is_retried_by_its_policy_and_then_dead(bench: Bench) -> None:
    """Attempts follow the kind's back-off; permanent errors and those the policy names end at once."""
    app = App()
    policy = RetryPolicy(backoff=Fixed(0.01), by_type={KeyError: None})

    @app.job(max_attempts=3, retry=policy)
    async def fail(how: str) -> None:
        raise {"value": ValueError("no"), "key": KeyError("k"), "permanent": PermanentFailure("never")}[how]

    async with bench.client(app), bench.worker(app):
        handles = {how: await fail.enqueue(how) for how in ("value", "key", "permanent")}
        for handle in handles.values():
            with pytest.raises(JobFailed):
                await handle.result(timeout=15)
    assert await bench.history(handles["value"].id) == ["enqueued", *["claimed", "failed"] * 3]
    assert await bench.history(handles["key"].id) == ["enqueued", "claimed", "failed"]
    error = (await bench.last(handles["permanent"].id))["error"]
    assert (error["type"], error["class"], error["message"]) == ("PermanentFailure", "permanent", "never")
    assert "raise" in error["traceback"]


async def test_arguments_that_do_not_fit_end_in_the_dead_letter_at_once(bench: Bench) -> None:
    """A job enqueued by plain SQL with wrong arguments fails for good on its first attempt, without running."""
    app = App()
    ran: list[int] = []

    @app.job()
    async def strict(n: int) -> None:
        ran.append(n)

    async with bench.client(app):
        job = await bench.value("""select jobledger.enqueue('strict', '{"n": "canary-value"}'::jsonb)""")
        listed = await bench.value("select jobledger.enqueue('strict', '{}'::jsonb)")
        await bench.worker(app, until_empty=True).run(signals=False)
    for one in (job, listed):
        data = await bench.last(one)
        assert (data["error"]["type"], data["error"]["class"]) == ("invalid_args", "permanent")
        assert "canary-value" not in str(data)
        assert "retry_at" not in data
        assert await bench.state(one) == "failed"
    assert ran == []


@pytest.mark.parametrize("with_context", [False, True])
async def test_a_check_of_the_applications_own_that_breaks_is_a_failed_attempt(
    bench: Bench, with_context: bool
) -> None:
    """What it raises, whatever it is, is the attempt's error; the job is not held for ever, and the next one runs."""
    app = App()
    names: dict[str, int] = {}
    Named = Annotated[int, BeforeValidator(lambda name: names[name])]  # noqa: N806 - a type

    if with_context:

        @app.job(max_attempts=1)
        async def look(context: Context, n: Named) -> int:
            return n + context.attempt - 1
    else:

        @app.job(max_attempts=1)
        async def look(n: Named) -> int:
            return n

    async with bench.client(app):
        job = await bench.value("""select jobledger.enqueue('look', '{"n": "one"}'::jsonb, max_attempts => 1)""")
        async with asyncio.timeout(20):
            await bench.worker(app, concurrency=1, until_empty=True).run(signals=False)
        assert (await bench.last(job))["error"]["type"] == "KeyError"
        names["two"] = 2
        later = await bench.value("""select jobledger.enqueue('look', '{"n": "two"}'::jsonb)""")
        async with asyncio.timeout(20):
            await bench.worker(app, concurrency=1, until_empty=True).run(signals=False)
        assert await bench.state(later) == "succeeded"


async def test_unknown_kinds_are_left_alone_and_aliases_run(bench: Bench) -> None:
    """A worker claims what it knows, by its present name or an earlier one."""
    app = App()

    @app.job(name="greet", aliases=("hello",))
    async def greet() -> str:
        return "hi"

    async with bench.client(app):
        strange = await bench.value("select jobledger.enqueue('strange')")
        old = await bench.value("select jobledger.enqueue('hello')")
        await bench.worker(app, until_empty=True).run(signals=False)
    assert await bench.state(old) == "succeeded"
    assert await bench.history(strange) == ["enqueued"]


async def test_progress_and_context_reach_the_log(bench: Bench) -> None:
    """A handler knows its job, and what it says of its progress is an event of its history."""
    app = App()

    @app.job()
    async def walk(context: Context) -> list[Any]:
        await context.progress(0.5, "half way")
        return [context.tenant, context.attempt, list(context.tags), str(context.id)]

    @app.job()
    def stride(context: Context) -> int:
        context.wait_for(context.progress(0.25))
        return context.attempt

    async with bench.client(app), bench.worker(app):
        handle = await walk.using(tenant="acme", tags=["x"]).enqueue()
        assert await handle.result(timeout=10) == ["acme", 1, ["x"], str(handle.id)]
        sync = await stride.enqueue()
        assert await sync.result(timeout=10) == 1
    assert await bench.history(handle.id) == ["enqueued", "claimed", "progressed", "succeeded"]
    assert await bench.history(sync.id) == ["enqueued", "claimed", "progressed", "succeeded"]


async def test_a_handler_may_ask_for_its_context_and_so_may_its_tasks(bench: Bench) -> None:
    """`current()` is the job's own context also where the handler does not take one, and outlives no job."""
    app = App()
    left: list[asyncio.Task[Any]] = []
    go_on = asyncio.Event()

    async def ask() -> Any:
        await go_on.wait()
        return current().id

    @app.job()
    async def silent() -> str:
        left.append(asyncio.create_task(ask()))
        await current().progress(0.5)
        return str(current().id)

    async with bench.client(app), bench.worker(app, concurrency=1):
        handles = [await silent.enqueue() for _ in range(2)]
        assert [await handle.result(timeout=10) for handle in handles] == [str(handle.id) for handle in handles]
        go_on.set()
        assert sorted(await asyncio.gather(*left)) == sorted(handle.id for handle in handles)
    with pytest.raises(InvalidArgument):
        current()


async def test_a_context_variable_of_one_job_is_not_seen_by_the_next(bench: Bench) -> None:
    """Slots are used again, their variables are not."""
    app = App()
    variable: ContextVar[str] = ContextVar("variable", default="clean")
    seen: list[str] = []

    @app.job()
    async def soil(n: int) -> None:
        seen.append(variable.get())
        variable.set(f"soiled by {n}")

    async with bench.client(app) as client:
        await client.enqueue_many([soil.call(n) for n in range(20)])
        await bench.worker(app, concurrency=1, until_empty=True).run(signals=False)
    assert seen == ["clean"] * 20


async def test_a_handler_that_cancels_itself_fails_and_the_next_job_runs(bench: Bench) -> None:
    """A cancellation that nobody ordered is a failure of that job alone."""
    app = App()

    @app.job(max_attempts=1)
    async def odd(how: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        if how == "raise":
            raise asyncio.CancelledError
        if how == "late":
            task.cancel()

    async with bench.client(app):
        jobs = [(await odd.enqueue(how)).id for how in ("raise", "late", "fine", "fine")]
        await bench.worker(app, concurrency=1, until_empty=True).run(signals=False)
    assert [await bench.state(job) for job in jobs] == ["failed", "succeeded", "succeeded", "succeeded"]


async def test_a_handler_that_exits_the_program_is_a_failed_job(bench: Bench) -> None:
    """SystemExit in a handler ends its attempt, not the worker."""
    app = App()

    @app.job(max_attempts=1)
    async def leave() -> None:
        raise SystemExit(3)

    async with bench.client(app):
        handle = await leave.enqueue()
        await bench.worker(app, until_empty=True).run(signals=False)
    assert (await bench.last(handle.id))["error"]["type"] == "SystemExit"


async def test_an_outcome_that_cannot_be_stored_spoils_no_other_report(bench: Bench) -> None:
    """A result over its limit fails that job; the others of its batch are accepted."""
    app = App()

    @app.job(max_attempts=1)
    async def big(size: int) -> str:
        return "x" * size

    async with bench.client(app) as client:
        handles = await client.enqueue_many([big.call(400_000 if n == 3 else 1) for n in range(10)])
        await bench.worker(app, until_empty=True).run(signals=False)
    states = [await bench.state(handle.id) for handle in handles]
    assert states == ["failed" if n == 3 else "succeeded" for n in range(10)]
    assert (await bench.last(handles[3].id))["error"]["type"] == "TooLarge"


async def test_runs_are_observed_with_wait_and_outcome(bench: Bench) -> None:
    """Every run is observed at its start and its end."""
    app = App()

    @app.job(max_attempts=1)
    async def run(well: bool) -> None:
        if not well:
            raise ValueError("no")

    async with bench.client(app):
        await run.enqueue(well=True)
        await run.enqueue(well=False)
        with observing(JobStarted, JobFinished) as seen:
            await bench.worker(app, concurrency=1, until_empty=True).run(signals=False)
    finished = [one for one in seen if isinstance(one, JobFinished)]
    assert [(one.outcome, one.error_type) for one in finished] == [("succeeded", None), ("failed", "ValueError")]
    assert all(one.wait_s >= 0 for one in seen if isinstance(one, JobStarted))


async def test_a_cancelled_running_job_is_told_and_recorded(bench: Bench) -> None:
    """A cancel request reaches a running handler by the next heartbeat; its result is raised as cancelled."""
    app = App()
    begun = asyncio.Event()

    @app.job()
    async def hang(context: Context) -> None:
        begun.set()
        await context.cancellation.wait()
        await asyncio.Event().wait()

    async with bench.client(app), bench.worker(app):
        handle = await hang.enqueue()
        await begun.wait()
        await bench.fetch(
            "select * from jobledger.act(0::smallint, 'cancel', 'default', $1, 'ann', 'not wanted')", [handle.id]
        )
        with pytest.raises(JobCancelled):
            await handle.result(timeout=10)
    assert await bench.history(handle.id) == ["enqueued", "claimed", "cancel_requested", "cancelled"]
