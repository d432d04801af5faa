"""How jobs are ended early and workers stop: time-outs, threads that ignore them, child processes, signals, limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from tests.worker import isolated
from tests.worker.conftest import BRISK, quick, until

from jobledger.ids import new_id
from jobledger.jobs import App, Context
from jobledger.jobs.cancellation import CancellationToken
from jobledger.observations import JobTimedOut, SlotLost, observing
from jobledger.store.claim import ClaimedJob
from jobledger.store.workers import Told
from jobledger.worker.incarnation import Incarnation
from jobledger.worker.life import Life, Manner
from jobledger.worker.limits import Limits
from jobledger.worker.processes import REPLACE, Supervisor
from jobledger.worker.slots import Slot
from jobledger.worker.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.worker.conftest import Apart, Bench


async def test_an_async_handler_is_ended_at_its_time_out(bench: Bench) -> None:
    """The attempt fails as timed out and is tried again while attempts are left."""
    app = App()

    @app.job(timeout=1, max_attempts=1)
    async def hang() -> None:
        await asyncio.Event().wait()

    async with bench.client(app):
        handle = await hang.enqueue()
        with observing(JobTimedOut) as seen:
            await bench.worker(app, until_empty=True).run(signals=False)
    assert [one.where for one in seen] == ["worker"]
    assert (await bench.last(handle.id))["error"]["type"] == "TimedOut"


async def test_a_sync_handler_hears_of_its_time_out_by_the_token(bench: Bench) -> None:
    """A sync handler that looks at its token ends in time, and its thread is used again."""
    app = App()

    @app.job(timeout=1, max_attempts=1)
    def patient(context: Context) -> None:
        context.cancellation.wait_blocking(30)
        context.cancellation.raise_if_cancelled()

    async with bench.client(app):
        handle = await patient.enqueue()
        with observing(SlotLost) as lost:
            await bench.worker(app, until_empty=True, manner=replace(BRISK, ignore_s=30)).run(signals=False)
    assert (await bench.last(handle.id))["error"]["type"] == "TimedOut"
    assert lost == []


@pytest.mark.slow
async def test_handlers_that_ignore_their_time_out_are_recorded_and_the_worker_is_replaced(bench: Bench) -> None:
    """Their attempts fail, their slots count as lost, and after so many of them the worker asks to be replaced."""
    app = App()
    go_on = threading.Event()

    @app.job(timeout=1, max_attempts=1)
    def deaf() -> None:
        go_on.wait(60)

    @app.job(timeout=1, max_attempts=1)
    async def stubborn() -> None:
        while not go_on.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    async with bench.client(app):
        jobs = [(await deaf.enqueue()).id, (await stubborn.enqueue()).id]
        with observing(SlotLost) as lost:
            reason = await bench.worker(app, limits=Limits(max_lost=2)).run(signals=False)
        go_on.set()
    assert reason == "max_lost"
    assert sorted(one.kind for one in lost) == ["deaf", "stubborn"]
    for job in jobs:
        assert (await bench.last(job))["error"]["type"] == "TimedOut"
    assert await bench.mismatches() == []


async def test_what_a_handler_returns_after_its_time_out_does_not_count(bench: Bench) -> None:
    """Async or sync, the attempt has failed although the handler listened and returned; a cancelled one has its say."""
    app = App()

    @app.job(timeout=1, max_attempts=1)
    def late(context: Context) -> str:
        context.cancellation.wait_blocking(30)
        return "late"

    @app.job(timeout=1, max_attempts=1)
    async def late_too() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return "late"

    async with bench.client(app), bench.worker(app):
        for job in [(await late.enqueue()).id, (await late_too.enqueue()).id]:
            assert await bench.reaches(job, "failed") == "failed"
            assert (await bench.last(job))["error"]["type"] == "TimedOut"


async def test_a_lost_thread_takes_no_slot_with_it(bench: Bench) -> None:
    """With one slot and a handler that ignores its end, the next job still runs."""
    app = App()
    go_on = threading.Event()

    @app.job(timeout=1, max_attempts=1)
    def deaf() -> None:
        go_on.wait(60)

    @app.job()
    async def noop() -> None:
        """Do nothing."""

    async with bench.client(app), bench.worker(app, concurrency=1):
        await deaf.using(priority=-1).enqueue()
        await (await noop.enqueue()).result(timeout=15)
        go_on.set()


@pytest.mark.slow
async def test_an_isolated_handler_is_killed_at_its_time_out(bench: Bench) -> None:
    """A child process is ended whatever it does; the next job gets a fresh one; results and failures cross the pipe."""
    async with bench.client(isolated.app):
        spin = await isolated.spin.using(max_attempts=1, timeout=1).enqueue()
        die = await isolated.die.using(max_attempts=1).enqueue()
        fail = await isolated.fail.using(max_attempts=1).enqueue()
        add = await isolated.add.enqueue(1, 2)
        follow = await isolated.follow.enqueue()
        async with bench.worker(isolated.app, concurrency=4):
            assert await bench.reaches(UUID(await follow.result(timeout=30)), "succeeded") == "succeeded"
            assert await add.result(timeout=30) == [3, "half"]
            for handle in (spin, die, fail):
                await bench.reaches(handle.id, "failed", timeout_s=40)
    assert (await bench.last(spin.id))["error"]["type"] == "TimedOut"
    assert (await bench.last(die.id))["error"]["type"] == "ChildEnded"
    assert (await bench.last(fail.id))["error"]["message"] == "no luck"
    assert await bench.history(add.id) == ["enqueued", "claimed", "progressed", "succeeded"]


async def test_a_child_that_ended_when_told_to_is_not_killed(bench: Bench) -> None:
    """It has answered, so it is at rest; the next job is not handed to a process that is about to die."""
    async with bench.client(isolated.app), bench.worker(isolated.app, concurrency=1):
        before = await (await isolated.number.enqueue()).result(timeout=30)
        obey = await isolated.obey.using(max_attempts=1, timeout=1).enqueue()
        await bench.reaches(obey.id, "failed", timeout_s=30)
        after = await (await isolated.number.enqueue()).result(timeout=30)
    assert after == before
    assert (await bench.last(obey.id))["error"]["type"] == "TimedOut"


async def test_a_stop_lets_jobs_finish_within_the_grace(bench: Bench) -> None:
    """What runs finishes; what no slot has begun is handed back at no cost."""
    app = App()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @app.job()
    async def work() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async with bench.client(app):
        handle = await work.enqueue()
        worker = bench.worker(app, concurrency=1)
        running = asyncio.ensure_future(worker.run(signals=False))
        await begun.wait()
        later = await work.enqueue()
        worker.stop()
        await until(lambda: worker.life is not None and worker.life.fetcher.stopping)
        go_on.set()
        await running
    assert await bench.history(handle.id) == ["enqueued", "claimed", "succeeded"]
    assert await bench.history(later.id) in (["enqueued"], ["enqueued", "claimed", "interrupted"])
    assert await bench.value("select stopped_at is not null from jobledger.workers")


async def test_a_stop_hands_back_what_does_not_finish(bench: Bench, apart: Callable[..., Apart]) -> None:
    """After the grace running jobs come back as interrupted, which costs no attempt; sync handlers are told."""
    app = App()
    begun = threading.Semaphore(0)
    told: list[str | None] = []

    @app.job()
    async def hang() -> None:
        begun.release()
        await asyncio.Event().wait()

    @app.job()
    def block(context: Context) -> None:
        begun.release()
        context.cancellation.wait_blocking(30)
        told.append(context.cancellation.why)
        context.cancellation.raise_if_cancelled()

    async with bench.client(app) as client:
        worker = await apart(app, concurrency=2, settings=quick(stop_grace_s=0.1)).start()
        jobs = [(await client.enqueue(kind)).id for kind in ("hang", "block")]
        for _ in jobs:
            await asyncio.to_thread(begun.acquire)
        await worker.stop()
    assert told == ["shutdown"]
    for job in jobs:
        assert await bench.history(job) == ["enqueued", "claimed", "interrupted"]
        assert await bench.value("select attempt from jobledger.jobs where id = $1", job) == 0


async def test_signals_stop_a_worker_and_a_second_one_hurries(bench: Bench) -> None:
    """SIGTERM begins the grace, a second one ends it."""
    app = App()
    begun = asyncio.Event()

    @app.job()
    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with bench.client(app):
        handle = await hang.enqueue()
        worker = bench.worker(app, settings=quick(stop_grace_s=600))
        running = asyncio.ensure_future(worker.run(signals=True))
        await begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await until(worker.stopping.asked.is_set)
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == "signal SIGTERM"
    assert await bench.history(handle.id) == ["enqueued", "claimed", "interrupted"]


@pytest.mark.parametrize(("concurrency", "most"), [(8, 12), (400, 300)], ids=["few", "by two calls at once"])
async def test_a_worker_ends_after_so_many_jobs(bench: Bench, concurrency: int, most: int) -> None:
    """It claims no more than it may run."""
    app = App()

    @app.job()
    async def noop() -> None:
        """Do nothing."""

    async with bench.client(app) as client:
        await client.enqueue_many([noop.call() for _ in range(2 * most)])
        limits = Limits(max_jobs=most)
        reason = await bench.worker(app, concurrency=concurrency, limits=limits).run(signals=False)
    assert reason == "max_jobs"
    assert await bench.count("job.claimed") == most
    assert await bench.count("job.succeeded") == most


@pytest.mark.slow
async def test_a_worker_that_knows_its_end_claims_nothing_that_could_outlast_it(bench: Bench) -> None:
    """Jobs whose time-out passes the end stay for others; those that fit run."""
    app = App()

    @app.job(timeout=3600)
    async def long() -> None:
        """Do nothing, with much time for it."""

    @app.job(timeout=2)
    async def short() -> None:
        """Do nothing."""

    async with bench.client(app):
        left = [await long.enqueue(), await short.using(timeout=3600).enqueue()]
        done = [await short.enqueue() for _ in range(3)]
        began = time.monotonic()
        reason = await bench.worker(app, concurrency=1, limits=Limits(max_seconds=10)).run(signals=False)
    assert reason == "max_seconds"
    assert time.monotonic() - began < 30
    assert await bench.history(left[0].id) == ["enqueued"]
    assert await bench.state(left[1].id) == "ready"
    assert await bench.value("select attempt from jobledger.jobs where id = $1", left[1].id) == 0
    assert {await bench.state(handle.id) for handle in done} == {"succeeded"}


async def test_a_worker_over_its_memory_asks_to_be_replaced(bench: Bench) -> None:
    """The limit is looked at while it works."""
    app = App()

    @app.job()
    async def noop() -> None:
        """Do nothing."""

    reason = await bench.worker(app, limits=Limits(max_memory=1)).run(signals=False)
    assert reason == "max_memory"


@pytest.mark.slow
async def test_jobs_claimed_ahead_do_not_wait_behind_long_ones(bench: Bench) -> None:
    """What was fetched while jobs were quick is handed back when the slots fill up with slow ones, at no cost."""
    app = App()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @app.job()
    async def work(n: int) -> None:
        if n == 2000:
            begun.set()
            await go_on.wait()

    async with bench.client(app) as client:
        await client.enqueue_many([work.call(n) for n in range(2000)])
        slow = await work.using(priority=1).enqueue(2000)
        behind = await client.enqueue_many([work.using(priority=2).call(n) for n in range(3000, 3020)])
        async with bench.worker(app, concurrency=1):
            await begun.wait()
            async with bench.worker(app, concurrency=1):
                for handle in behind:
                    await bench.reaches(handle.id, "succeeded")
            assert await bench.state(slow.id) == "running"
            go_on.set()
    assert {row["attempt"] for row in await bench.fetch("select attempt from jobledger.finished")} == {1}


async def test_queues_have_a_concurrency_of_their_own(bench: Bench) -> None:
    """Never more of a queue's jobs run at a time than the worker was given for it; other queues are not touched."""
    app = App()
    now: list[int] = [0, 0]

    @app.job(queue="narrow")
    async def narrow() -> None:
        now[0] += 1
        now[1] = max(now)
        for _ in range(5):
            await asyncio.sleep(0)
        now[0] -= 1

    async with bench.client(app) as client:
        await client.enqueue_many([narrow.call() for _ in range(40)])
        other = await narrow.using(queue="elsewhere").enqueue()
        worker = bench.worker(app, queues={"narrow": 3}, concurrency=20, until_empty=True)
        await worker.run(signals=False)
    assert now[1] <= 3
    assert await bench.count("job.succeeded") == 40
    assert await bench.history(other.id) == ["enqueued"]


async def test_a_supervisor_replaces_and_restarts_its_children(tmp_path: Path) -> None:
    """A child that asks for it is replaced at once, a crash is restarted, an end for good stays one."""
    count = tmp_path / "runs"
    script = tmp_path / "child.py"
    script.write_text(
        "import pathlib, sys\n"
        f"path = pathlib.Path({str(count)!r})\n"
        "runs = len(path.read_text()) if path.exists() else 0\n"
        "path.write_text('x' * (runs + 1))\n"
        f"sys.exit([{REPLACE}, 3, 0][runs])\n"
    )
    supervisor = Supervisor([sys.executable, str(script)], 1)
    assert await supervisor.run() == 0
    assert (supervisor.replaced, supervisor.crashed) == (1, 1)
    assert count.read_text() == "xxx"


async def test_a_supervisor_passes_signals_on_and_ends_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One SIGTERM to the supervisor ends every child, and none is started again."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "child.py"
    script.write_text(
        "import os, pathlib, signal, sys, threading\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "pathlib.Path(f'up-{os.getpid()}').touch()\n"
        "threading.Event().wait()\n"
    )
    supervisor = Supervisor([sys.executable, str(script)], 2)
    running = asyncio.ensure_future(supervisor.run())
    await until(lambda: len(list(tmp_path.glob("up-*"))) == 2)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert supervisor.pids == []


async def test_a_thread_at_rest_keeps_nothing_of_its_last_job() -> None:
    """Arguments, secrets among them, and results are gone with the job, not with the next one in the same thread."""

    class Thing:
        """What a job was given, and what it gave."""

    threads = Threads()
    given = Thing()
    gave = await threads.run(lambda given=given: [given, Thing()])  # type: ignore[misc]  # a default holds what it is
    kept = [weakref.ref(thing) for thing in gave]
    del given, gave
    await until(lambda: not any(one() for one in kept))
    threads.close()


async def test_a_slot_that_has_gone_on_to_its_next_job_is_not_told_of_the_last_one() -> None:
    """The heartbeat's thread reads the slots while the loop turns: the end of one job stops no other."""
    now = datetime.now(UTC)
    job = ClaimedJob(new_id(), "acme", "default", "note", 0, 1, 5, 2, now, None, 60, "{}", None, now)
    slot, next_job = Slot(), job._replace(id=new_id())
    slot.job, slot.token = job, CancellationToken()
    last, following = slot.token, CancellationToken()

    class Held(dict[UUID, ClaimedJob]):
        def __getitem__(self, id_: UUID) -> ClaimedJob:
            # What the loop does at this moment: the job ends, and the slot begins the next one.
            slot.job, slot.token = next_job, following
            return super().__getitem__(id_)

    life: Any = SimpleNamespace(
        pool=SimpleNamespace(busy=lambda: iter([(slot, job)])), _loop=asyncio.get_running_loop()
    )
    life._told_in_loop = lambda *_: None
    told = Told("cancel", job.id, now)
    Life._told(life, Incarnation(new_id()), Held({job.id: job}), [told])
    assert not following.is_set
    slot.job, slot.token = job, last
    Life._told(life, Incarnation(new_id()), {job.id: job}, [told])
    assert last.why == "cancel"


def test_manner_has_the_defaults_of_the_design() -> None:
    """A worker is patient for longer than five heartbeats."""
    assert Manner().patience_s > 5 * quick(heartbeat_s=10, lease_s=30, stall_after_s=60).heartbeat_s
