"""Hints that name a job: none of them hides another job, whatever else is due and however many come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.worker.conftest import until
from tests.worker.test_wakeup import PATIENT, Ran, drawn_to_its_limit, enqueued, idle, other

from jobledger.worker import fetch
from jobledger.worker.idle import IdleFlag
from jobledger.worker.life import Manner

if TYPE_CHECKING:
    from uuid import UUID

    from tests.worker.conftest import Bench


@pytest.fixture
def ran() -> Ran:
    """Give an app of one kind, and what it has run."""
    return Ran()


async def test_a_stream_of_named_jobs_hides_no_other(bench: Bench, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that ends is followed by the next, which is named alone: one nobody was told of is found all the same."""
    monkeypatch.setattr(fetch, "_FIRST_WAIT_S", 0.1)
    async with other(bench) as sql, bench.worker(ran.app) as worker:
        await idle(worker)
        async with sql.transaction():
            await sql.execute("set local jobledger.notify = 'off'")
            await enqueued(sql, -1)
        for number in range(1000):
            await enqueued(sql, number)
            await until(lambda number=number: number in ran.jobs)  # type: ignore[misc]  # the loop's own
            if -1 in ran.jobs:
                break
        assert -1 in ran.jobs


async def test_hints_of_jobs_that_are_gone_do_not_put_off_the_timer(bench: Bench, ran: Ran) -> None:
    """Others are told of theirs whenever this worker looks: its own timer looks at everything, and finds one."""
    async with other(bench) as sql, bench.worker(ran.app, manner=Manner(poll_s=0.1, tick_s=0.1)) as worker:
        await idle(worker)
        assert worker.life is not None
        fetcher = worker.life.fetcher
        plain = fetcher._answer

        async def answered(*asked: Any) -> Any:
            fetcher.notified(uuid4())
            return await plain(*asked)

        async with sql.transaction():
            await sql.execute("set local jobledger.notify = 'off'")
            await enqueued(sql, 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fetcher, "_answer", answered)
            fetcher.notified(uuid4())
            await ran.has(1)


@pytest.mark.parametrize("words", ["", "gone"])
async def test_the_poll_owed_after_the_flag_was_raised_looks_at_everything(
    bench: Bench, ran: Ran, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """Meanwhile a hint of another's job came: it does not take the place of that poll."""
    monkeypatch.setattr(fetch, "_FIRST_WAIT_S", 600.0)
    plain = IdleFlag.put_up
    async with other(bench) as sql:

        async def put_up(flag: IdleFlag, worker: UUID) -> bool:
            stands = await plain(flag, worker)
            if stands and not ran.jobs:
                async with sql.transaction():
                    await sql.execute("set local jobledger.notify = 'off'")
                    await enqueued(sql, 1)
                if words:
                    fetchers[0].notified(uuid4())
            return stands

        fetchers: list[Any] = []
        made = fetch.Fetcher.__init__

        def noted(fetcher: Any, *rest: Any, **named: Any) -> None:
            fetchers.append(fetcher)
            made(fetcher, *rest, **named)

        monkeypatch.setattr(fetch.Fetcher, "__init__", noted)
        monkeypatch.setattr(IdleFlag, "put_up", put_up)
        async with bench.worker(ran.app, manner=PATIENT):
            await ran.has(1)


async def test_a_hint_with_other_words_is_one_that_names_nothing(bench: Bench, ran: Ran) -> None:
    """Whoever may connect may notify: it asks for a poll, and harms nobody."""
    async with other(bench) as sql, bench.worker(ran.app, manner=PATIENT) as worker:
        await idle(worker)
        async with sql.transaction():
            await sql.execute("set local jobledger.notify = 'off'")
            await enqueued(sql, 1)
        await sql.execute("select pg_notify(jobledger.channel(), 'words')")
        await ran.has(1)


async def test_a_place_in_a_full_queue_ends_the_wait_of_hints_in_vain(
    bench: Bench, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was told in vain too often hears later: of jobs, and not that it has a place for one it knows of."""
    async with drawn_to_its_limit(bench, ran) as worker:
        assert worker.life is not None
        fetcher = worker.life.fetcher
        monkeypatch.setattr(fetch, "_FIRST_WAIT_S", 600.0)
        while fetcher._heard_from < time.monotonic():
            completed = fetcher.completed
            fetcher.notified(uuid4())
            await until(lambda before=completed: fetcher.completed > before)  # type: ignore[misc]  # the loop's own
        fetcher.notified(uuid4())
        ran.gate.set()
        await ran.has(3)
