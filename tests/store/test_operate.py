"""Operators' acts: on one job or by filter in batches, each with actor and reason; pauses and limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from jobledger.errors import InvalidArgument
from jobledger.store import operate
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.filters import JobFilter
from jobledger.store.jobs_read import job_history, list_jobs, show_job
from jobledger.store.operate import Acted, Preview, act, act_on_all, limits, pause, preview, resume, set_limit
from jobledger.store.tick import TickResult, tick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock


async def test_an_act_is_an_event_with_actor_and_reason(store: Store) -> None:
    """Who did it and why can be read from the history."""
    async with store.connection() as connection:
        job = await enqueue(connection, NewJob("a", tenant="acme"))
        assert await act(connection, 0, "cancel", [job], actor="ada", reason="asked by phone") == [
            Acted(job, "done", "cancelled")
        ]
        *_, last = await job_history(connection, 0, job)
    assert (last.type, last.actor, last.data) == ("job.cancelled", "ada", {"reason": "asked by phone"})


async def test_each_job_gets_its_own_verdict(store: Store) -> None:
    """Unknown, foreign and finished ones are told apart from done ones; foreign as unknown."""
    async with store.connection() as connection:
        mine = await enqueue(connection, NewJob("a", tenant="acme"))
        foreign = await enqueue(connection, NewJob("a", tenant="other"))
        unknown = uuid4()
        await act(connection, 0, "kill", [mine], actor=None, reason=None)
        answers = await act(connection, 0, "kill", [mine, foreign, unknown], actor=None, reason=None, tenant="acme")
    verdicts = {one.id: (one.verdict, one.state) for one in answers}
    assert verdicts == {
        mine: ("wrong_state", "killed"),
        foreign: ("not_found", None),
        unknown: ("not_found", None),
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("reprioritise", {}),
        ("reprioritise", {"priority": 9999}),
        ("move", {"queue": "no good"}),
        ("reschedule", {}),
        ("reschedule", {"run_at": "soon"}),
        ("retry", {"attempts": 0}),
        ("retry", {"attempts": object()}),
        ("explode", {}),
    ],
)
async def test_an_act_that_is_not_well_formed_changes_nothing(store: Store, name: Any, data: dict[str, Any]) -> None:
    """It is refused before any job is looked at."""
    async with store.connection() as connection:
        job = await enqueue(connection, NewJob("a"))
        with pytest.raises(InvalidArgument):
            await act(connection, 0, name, [job], actor=None, reason=None, data=data)
        assert (await show_job(connection, 0, job)).job.head == 1


async def test_a_preview_counts_what_an_act_would_meet(store: Store) -> None:
    """Only jobs in a state in which the act is possible count; a cap is told."""
    async with store.connection() as connection:
        await enqueue_many(connection, [NewJob("a", tenant="acme", queue=f"q{n % 2}") for n in range(30)])
        await enqueue_many(connection, [NewJob("a", tenant="other")])
        assert await preview(connection, 0, "cancel", JobFilter("acme")) == Preview(30, False)
        assert await preview(connection, 0, "cancel", JobFilter("acme", queue="q1")) == Preview(15, False)
        assert await preview(connection, 0, "retry", JobFilter("acme")) == Preview(0, False)
        assert await preview(connection, 0, "cancel", JobFilter(), limit=10) == Preview(10, True)
        with pytest.raises(InvalidArgument, match="retry"):
            await preview(connection, 0, "retry", JobFilter("acme", states=["ready"]))


async def test_an_act_by_filter_meets_each_job_once_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are transactions of their own; who is outside the filter is left alone."""
    monkeypatch.setattr(operate, "BATCH", 7)
    async with store.connection() as connection:
        await enqueue_many(connection, [NewJob("a", tenant="acme", queue=f"q{n % 2}") for n in range(40)])
    seen: list[Mapping[str, int]] = []
    done = await act_on_all(
        store,
        "reprioritise",
        JobFilter("acme", queue="q1"),
        actor="ada",
        reason="first",
        data={"priority": -7},
        after_batch=lambda verdicts: seen.append(dict(verdicts)),
    )
    assert done == {"done": 20}
    assert [one["done"] for one in seen] == [7, 14, 20]
    async with store.connection() as connection:
        page = await list_jobs(connection, 0, JobFilter("acme"), limit=100)
    assert {(job.queue, job.priority, job.head) for job in page.jobs} == {("q1", -7, 2), ("q0", 0, 1)}


async def test_the_dead_letters_of_a_tenant_are_retried_by_filter(store: Store) -> None:
    """With a new run date; what others have stays dead."""
    async with store.connection() as connection:
        mine = await enqueue_many(connection, [NewJob("a", tenant="acme") for _ in range(5)])
        other = await enqueue(connection, NewJob("a", tenant="other"))
        ids = [one.id for one in mine] + [other]
        await act(connection, 0, "kill", ids, actor=None, reason=None)
    later = datetime.now(UTC) + timedelta(hours=2)
    done = await act_on_all(
        store, "retry", JobFilter("acme", states=["killed"]), actor="ada", reason="bug mended", data={"run_at": later}
    )
    assert done == {"done": 5}
    async with store.connection() as connection:
        page = await list_jobs(connection, 0, JobFilter("acme"))
        assert {(job.state, job.run_at) for job in page.jobs} == {("scheduled", later)}
        assert (await show_job(connection, 0, other)).job.state == "killed"


async def test_pauses_are_told_and_ended(store: Store) -> None:
    """Twice is once; the row says who and why."""
    async with store.connection() as connection:
        assert await pause(connection, 0, "queue", "mail", actor="ada", reason="provider down")
        assert not await pause(connection, 0, "queue", "mail", actor="ada", reason="again")
        (found,) = await limits(connection, 0, scope="queue")
        assert (found.name, found.paused, found.changed_by, found.reason) == ("mail", True, "ada", "provider down")
        assert await resume(connection, 0, "queue", "mail", actor="bob", reason=None)
        assert not await resume(connection, 0, "queue", "mail", actor="bob", reason=None)
        with pytest.raises(InvalidArgument):
            await pause(connection, 0, "service", "", actor=None, reason=None)


async def test_limits_bind_jobs_from_then_on(store: Store) -> None:
    """A default of the tenant holds for a new job, until it is cleared."""
    async with store.connection() as connection:
        await set_limit(
            connection, 0, "tenant", "acme", {"max_attempts": 2, "timeout": 60}, actor="ada", reason="cheap"
        )
        first = await enqueue(connection, NewJob("a", tenant="acme"))
        assert (await show_job(connection, 0, first)).job.max_attempts == 2
        await set_limit(connection, 0, "tenant", "acme", {"max_attempts": None}, actor="ada", reason=None)
        second = await enqueue(connection, NewJob("a", tenant="acme"))
        assert (await show_job(connection, 0, second)).job.max_attempts == 5
        (found,) = await limits(connection, 0)
        assert (found.max_attempts, found.timeout) == (None, 60)
        for wrong in ({"max_attempts": 0}, {"args_limit": 5000}, {"unknown": 1}, {}):
            with pytest.raises(InvalidArgument):
                await set_limit(connection, 0, "tenant", "acme", wrong, actor=None, reason=None)


async def test_a_tick_promotes_what_is_due_and_says_what_it_did(store: Store, clock: Clock) -> None:
    """The counts are of this call; a second call finds nothing."""
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue('a', run_at => jobledger.now() + interval '1 minute')")
        assert not (await tick(connection, 0)).found_work
        await clock.advance(minutes=2)
        done = await tick(connection, 0)
        assert (done.promoted, done.found_work, done.skipped) == (1, True, False)
        assert not (await tick(connection, 0, done.next)).found_work


async def test_a_second_tick_at_the_same_time_passes_by(store: Store) -> None:
    """One at a time does the work; the other says that it did nothing."""
    async with store.connection() as one, store.connection() as two, one.transaction():
        await tick(one, 0)
        assert (await tick(two, 0)).skipped


def test_a_few_rows_of_what_is_paused_hurry_nobody() -> None:
    """Claims pass them by anyway: fifty ticks a second for the last of 50,000 pauses cost most of a core."""
    assert not TickResult(held=99).presses
    assert TickResult(held=99).found_work
    assert all(one.presses for one in (TickResult(promoted=1), TickResult(rescued=1), TickResult(released_holds=1)))
    assert all(one.presses for one in (TickResult(killed=1), TickResult(timed_out=1)))
    assert TickResult(held=100).presses
    # A tick drops a thousand keys: with four ticks a second, and more keys than that, they would pile up.
    assert not TickResult(keys_expired=999).presses
    assert TickResult(keys_expired=1000).presses
