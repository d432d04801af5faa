"""What a handler knows and can say: context, cancellation, outcomes, resources."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from jobledger.errors import InvalidArgument
from jobledger.jobs import (
    App,
    Cancel,
    CancellationToken,
    Context,
    Park,
    PermanentFailure,
    QuotaFailure,
    Retry,
    Snooze,
    Stopped,
    current,
)
from jobledger.jobs.context import entered
from jobledger.jobs.middleware import around_run
from jobledger.jobs.outcomes import MESSAGE_LIMIT, TRACEBACK_LIMIT, error_record
from jobledger.lifecycle.retry import classify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def context(**more: Any) -> Context:
    """Return a context as a worker makes one."""
    return Context(
        **{"id": UUID(int=1), "tenant": "t", "queue": "q", "kind": "k", "attempt": 1, "max_attempts": 2, **more}
    )


async def test_progress_is_checked_and_limited() -> None:
    """A fraction of 1, a message of 1,000 characters."""
    told: list[dict[str, Any]] = []

    async def keep(data: dict[str, Any]) -> None:
        told.append(data)

    job = context(on_progress=keep)
    await job.progress(0.5, "x" * 2000, {"rows": 5})
    assert told == [{"progress": 0.5, "message": "x" * 1000, "detail": {"rows": 5}}]
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidArgument):
            await job.progress(wrong)


async def test_a_sync_handler_waits_for_the_loop_from_its_thread() -> None:
    """`wait_for` bridges a thread; on the loop itself it would wait for itself, and says so."""
    told: list[dict[str, Any]] = []

    async def keep(data: dict[str, Any]) -> None:
        told.append(data)

    job = context(on_progress=keep, loop=asyncio.get_running_loop())
    await asyncio.to_thread(lambda: job.wait_for(job.progress(1)))
    assert told == [{"progress": 1}]
    with pytest.raises(InvalidArgument):
        job.wait_for(job.progress(1))
    with pytest.raises(InvalidArgument):
        context().wait_for(job.progress(1))


def test_the_current_context_belongs_to_the_running_job() -> None:
    """`current()` works at any depth inside a handler, nowhere else."""
    with pytest.raises(InvalidArgument):
        current()
    job = context()
    with entered(job):
        assert current() is job
    with pytest.raises(InvalidArgument):
        current()


def test_a_connection_is_there_only_with_a_transaction() -> None:
    """The error says how to declare it."""
    with pytest.raises(InvalidArgument, match="transaction=True"):
        _ = context().connection


async def test_one_token_serves_loops_and_threads() -> None:
    """Set once, from any thread; every waiter hears of it; the first reason stands."""
    token = CancellationToken()
    token.raise_if_cancelled()
    heard: list[str] = []
    forget = token.on_set(lambda: heard.append("forgotten"))
    forget()
    token.on_set(lambda: heard.append("called"))
    async_waiters = [asyncio.create_task(token.wait()) for _ in range(2)]
    blocking = asyncio.create_task(asyncio.to_thread(token.wait_blocking, 30))
    setter = threading.Thread(target=lambda: token.set("kill"))
    await asyncio.sleep(0)
    setter.start()
    assert await asyncio.gather(*async_waiters) == ["kill", "kill"]
    assert await blocking
    setter.join()
    assert token.set("cancel") is False
    assert (token.why, token.is_set, heard) == ("kill", True, ["called"])
    assert await token.wait() == "kill"
    assert token.wait_blocking(0)
    with pytest.raises(Stopped) as caught:
        token.raise_if_cancelled()
    assert caught.value.why == "kill"
    token.on_set(lambda: heard.append("late"))
    assert heard == ["called", "late"]


def test_waiting_without_a_request_ends_by_its_time() -> None:
    """A sync handler may use the token as its pause."""
    assert CancellationToken().wait_blocking(0.001) is False


def test_stopping_is_not_swallowed_by_except_exception() -> None:
    """Like asyncio's own cancellation."""
    assert not issubclass(Stopped, Exception)


def test_outcomes_keep_what_they_are_told() -> None:
    """Delay in seconds, as a timedelta, or a moment; a reason of at most 1,000 characters."""
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert (Snooze(5).delay_s, Snooze(timedelta(minutes=1)).delay_s, Snooze(at).until) == (5.0, 60.0, at)
    assert (Retry(after=5).delay_s, Retry(after=at).until) == (5.0, at)
    assert (Cancel("x" * 2000).reason, Cancel().reason) == ("x" * 1000, None)
    assert (Park("why", needs="a key").reason, Park("why", needs="a key").needs) == ("why", "a key")


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), 400 * 86_400, datetime(2030, 1, 1)])  # noqa: DTZ001
def test_a_delay_out_of_range_is_refused(delay: Any) -> None:
    """0 seconds to 366 days, or a moment with a time zone."""
    with pytest.raises(InvalidArgument):
        Snooze(delay)
    with pytest.raises(InvalidArgument):
        Retry(after=delay)


def test_failures_state_their_class() -> None:
    """What is raised decides; the record holds it."""
    assert classify(PermanentFailure("x")) == "permanent"
    assert classify(QuotaFailure("x")) == "quota"
    assert error_record(PermissionError("x"))["class"] == "permission"
    assert error_record(ValueError("x"))["class"] == "transient"


def test_an_error_record_is_limited_and_can_be_stored() -> None:
    """The beginning of the message, the end of the traceback, no character that Postgres refuses."""

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def deep(level: int) -> None:
        if level:
            deep(level - 1)
        raise ValueError("\0\ud800" + "x" * 5000)

    with pytest.raises(ValueError, match="x") as caught:
        deep(200)
    record = error_record(caught.value)
    assert len(record["message"]) == MESSAGE_LIMIT
    assert len(record["traceback"]) <= TRACEBACK_LIMIT
    assert "\0" not in record["message"]
    assert record["message"].encode()
    assert "RuntimeError" in error_record(BrokenError())["message"]


async def test_resources_live_as_long_as_the_app_runs() -> None:
    """Made in the order declared, closed in the opposite one."""
    app = App()
    events: list[str] = []

    @app.lifespan
    async def first() -> AsyncIterator[int]:
        events.append("first up")
        yield 1
        events.append("first down")

    @app.lifespan
    async def second() -> AsyncIterator[int]:
        events.append(f"second up after {first.value}")
        yield 2
        events.append("second down")

    async with app.running():
        assert (first.value, second.value) == (1, 2)
    assert events == ["first up", "second up after 1", "second down", "first down"]
    with pytest.raises(InvalidArgument):
        _ = first.value


async def test_a_resource_that_fails_to_start_closes_those_before_it() -> None:
    """Nothing is left open."""
    app = App()
    events: list[str] = []

    @app.lifespan
    async def first() -> AsyncIterator[None]:
        try:
            yield
        finally:
            events.append("closed")

    @app.lifespan
    async def second() -> AsyncIterator[None]:
        raise ValueError("no")
        yield

    with pytest.raises(ValueError, match="no"):
        async with app.running():
            pytest.fail("it must not run")
    assert events == ["closed"]
    with pytest.raises(InvalidArgument):
        _ = first.value


async def test_run_middleware_surrounds_the_handler() -> None:
    """The first layer is the outermost, and may change the result."""
    app = App()

    @app.around_run
    async def outer(job: Context, run: Any) -> Any:
        return f"outer({await run(job)})"

    @app.around_run
    async def inner(job: Context, run: Any) -> Any:
        return f"inner({await run(job)})"

    async def handler(job: Context) -> str:
        return job.kind

    assert await around_run(app.run_layers, handler)(context()) == "outer(inner(k))"
