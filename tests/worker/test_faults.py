"""What a worker holds is released when, and only when, it will never run it: answers lost or late, loops that stand."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING

import pytest
from tests.worker.conftest import BRISK, quick, until

from jobledger.jobs import App
from jobledger.observations import JobFinished, LeaseLost, ReportRejected, WorkerStalled, observing
from jobledger.store.pool import Store
from jobledger.testing.proxy import Proxy
from jobledger.worker.life import Manner
from jobledger.worker.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.worker.conftest import Apart, Bench

CLAIM = "jobledger.claim("
REPORT = "jobledger.report("
BEAT = "jobledger.heartbeat("


REFUSE = """
create function public.refuse() returns trigger language plpgsql as $$ begin raise 'refused by the test'; end $$
"""
REFUSED = """
create trigger refused before update on jobledger.workers
  for each row when (old.id = '{}') execute function public.refuse()
"""


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """Give a proxy in front of the test's database."""
    with Proxy(database) as made:
        yield made


def counting() -> tuple[App, list[int]]:
    """Return an app whose one kind notes each run."""
    app = App()
    ran: list[int] = []

    @app.job()
    async def note(n: int) -> None:
        ran.append(n)

    return app, ran


async def test_an_answer_held_back_over_five_heartbeats_releases_nothing(
    bench: Bench, proxy: Proxy, apart: Callable[..., Apart]
) -> None:
    """While a claim's answer is on its way its jobs stay the worker's; they run when it arrives."""
    app, ran = counting()
    async with bench.client(app) as client:
        trap = proxy.trap(CLAIM)
        handles = await client.enqueue_many([app.kind("note").call(n) for n in range(20)])
        worker = await apart(app, proxy.dsn, concurrency=20).start()
        await asyncio.to_thread(trap.wait)
        await worker.beats_more(5)
        assert await bench.count("job.released") == 0
        assert await bench.value("select count(*) from jobledger.running") == 20
        trap.let_go()
        await until(lambda: len(ran) == 20)
        await worker.stop()
    assert sorted(ran) == list(range(20))
    assert {tuple(await bench.history(handle.id)) for handle in handles} == {("enqueued", "claimed", "succeeded")}


async def test_an_answer_cut_off_is_released_by_the_second_heartbeat(
    bench: Bench, proxy: Proxy, apart: Callable[..., Apart]
) -> None:
    """Jobs whose claim's answer was lost come back at no cost, and run."""
    app, ran = counting()
    async with bench.client(app) as client:
        trap = proxy.trap(CLAIM)
        handles = await client.enqueue_many([app.kind("note").call(n) for n in range(5)])
        worker = await apart(app, proxy.dsn, concurrency=5).start()
        await asyncio.to_thread(trap.wait)
        trap.cut()
        # Once the worker's loop has heard of it, the heartbeat under way may not know of it yet, and the next one does.
        await until(lambda: worker.worker.life is not None and worker.worker.life.home.held.settled > 0)
        await worker.beats_more(2)
        assert await bench.count("job.released") == 5
        await until(lambda: len(ran) == 5)
        await worker.stop()
    assert {tuple(await bench.history(handle.id)) for handle in handles} == {
        ("enqueued", "claimed", "released", "claimed", "succeeded")
    }
    assert {row["attempt"] for row in await bench.fetch("select attempt from jobledger.finished")} == {1}


async def test_a_claim_given_up_is_released_and_its_late_answer_thrown_away(
    bench: Bench, proxy: Proxy, apart: Callable[..., Apart]
) -> None:
    """An answer that does not come within the worker's patience counts no more, whenever it comes."""
    app, ran = counting()
    async with bench.client(app) as client:
        trap = proxy.trap(CLAIM)
        handles = await client.enqueue_many([app.kind("note").call(n) for n in range(5)])
        worker = await apart(app, proxy.dsn, concurrency=5, manner=Manner(patience_s=1.0, poll_s=0.05)).start()
        await asyncio.to_thread(trap.wait)
        await until(lambda: len(ran) == 5)
        trap.let_go()
        await worker.beats_more(2)
        await worker.stop()
    assert sorted(ran) == list(range(5))
    for handle in handles:
        # Where the machine stands still for as long as the patience lasts, it is given up again.
        assert re.fullmatch(r"enqueued( claimed released)+ claimed succeeded", " ".join(await bench.history(handle.id)))


async def test_a_loop_blocked_over_five_heartbeats_loses_nothing(bench: Bench, apart: Callable[..., Apart]) -> None:
    """A handler that blocks the loop for less than the stall limit keeps its job and those behind it."""
    app = App()
    ran: list[int] = []
    blocked, go_on = threading.Event(), threading.Event()

    @app.job()
    async def block(n: int) -> None:
        ran.append(n)
        if n == 0:
            blocked.set()
            go_on.wait(30)

    async with bench.client(app) as client:
        await client.enqueue_many([block.call(n) for n in range(20)])
        worker = await apart(app, concurrency=20, settings=quick(stall_after_s=60)).start()
        await until(blocked.is_set)
        await worker.beats_more(5)
        assert await bench.count("job.released") == 0
        go_on.set()
        await until(lambda: len(ran) == 20)
        await worker.stop()
    assert sorted(ran) == list(range(20))
    assert await bench.count("job.claimed") == 20


async def test_a_report_held_back_over_five_heartbeats_releases_nothing(
    bench: Bench, proxy: Proxy, apart: Callable[..., Apart]
) -> None:
    """Jobs stay held until the answer to their report, and are not run again."""
    app, ran = counting()
    async with bench.client(app) as client:
        trap = proxy.trap(REPORT)
        handles = await client.enqueue_many([app.kind("note").call(n) for n in range(5)])
        worker = await apart(app, proxy.dsn, concurrency=5).start()
        await asyncio.to_thread(trap.wait)
        await worker.beats_more(5)
        assert await bench.count("job.released") == 0
        trap.let_go()
        await worker.beats_more(1)
        await worker.stop()
    assert sorted(ran) == list(range(5))
    assert {tuple(await bench.history(handle.id)) for handle in handles} == {("enqueued", "claimed", "succeeded")}


async def test_a_report_whose_answer_is_lost_is_sent_again_and_counts_once(
    bench: Bench, proxy: Proxy, apart: Callable[..., Apart]
) -> None:
    """The second arrival of a report changes nothing and is rejected by nobody."""
    app, ran = counting()
    with observing(ReportRejected) as rejected:
        async with bench.client(app) as client:
            trap = proxy.trap(REPORT)
            handles = await client.enqueue_many([app.kind("note").call(n) for n in range(5)])
            worker = await apart(app, proxy.dsn, concurrency=5).start()
            await asyncio.to_thread(trap.wait)
            trap.cut()
            await until(lambda: worker.worker.life is not None and len(worker.worker.life.home.held) == 0)
            await worker.stop()
    assert sorted(ran) == list(range(5))
    assert {tuple(await bench.history(handle.id)) for handle in handles} == {("enqueued", "claimed", "succeeded")}
    assert rejected == []


async def test_a_reordered_heartbeat_releases_nothing(bench: Bench, proxy: Proxy, apart: Callable[..., Apart]) -> None:
    """A heartbeat that says less than a later one, and arrives after it, changes nothing."""
    app = App()
    running, go_on = threading.Event(), threading.Event()

    @app.job()
    def hold() -> None:
        running.set()
        go_on.wait(30)

    async with bench.client(app) as client:
        worker = await apart(app, proxy.dsn, concurrency=1).start()
        handle = await client.enqueue("hold")
        await until(running.is_set)
        await worker.beats_more(2)
        assert worker.worker.life is not None
        home = worker.worker.life.home.id
        number = await bench.value("select beat from jobledger.workers where id = $1", home)
        told = await bench.fetch("select * from jobledger.heartbeat(0::smallint, $1, $2, 1000, '{}')", home, number)
        assert [row["kind"] for row in told] == ["lease"]
        assert await bench.history(handle.id) == ["enqueued", "claimed"]
        go_on.set()
        await bench.reaches(handle.id, "succeeded")
        await worker.stop()


async def test_what_waits_behind_a_loop_that_stands_still_runs_elsewhere(
    bench: Bench, apart: Callable[..., Apart]
) -> None:
    """A handler that blocks the loop past the limit keeps its own job; the five hundred behind it run elsewhere."""
    app = App()
    blocked, go_on = threading.Event(), threading.Event()
    ran: list[int] = []

    @app.job()
    async def block(n: int) -> None:
        if n == 0:
            blocked.set()
            go_on.wait(60)
        ran.append(n)

    async with bench.client(app) as client:
        first = await block.using(priority=-10).enqueue(0)
        await client.enqueue_many([block.call(n) for n in range(1, 501)])
        with observing(WorkerStalled) as stalled:
            worker = await apart(app, concurrency=501, settings=quick(stall_after_s=1.0)).start()
            await until(blocked.is_set)
            async with bench.worker(app, concurrency=100):
                await until(lambda: len(ran) == 500)
            assert await bench.state(first.id) == "running"
            assert await bench.value("select attempt from jobledger.jobs where id = $1", first.id) == 1
            go_on.set()
            await bench.reaches(first.id, "succeeded")
            await worker.stop()
    assert sorted(ran) == list(range(501))
    assert len(stalled) >= 1
    assert {row["attempt"] for row in await bench.fetch("select attempt from jobledger.finished")} == {1}
    assert await bench.mismatches() == []


@pytest.mark.slow
async def test_a_zombie_reports_in_vain_and_is_told(bench: Bench, proxy: Proxy, apart: Callable[..., Apart]) -> None:
    """A worker cut off for longer than its lease: its job runs elsewhere, and its late report is rejected on record."""
    app = App()
    begun = threading.Semaphore(0)
    go_on = threading.Event()
    runs: list[int] = []

    @app.job()
    def hold() -> int:
        runs.append(len(runs))
        begun.release()
        if len(runs) == 1:
            go_on.wait(60)
        return len(runs)

    with observing(ReportRejected, LeaseLost, JobFinished) as seen:
        async with bench.client(app) as client:
            settings = quick(lease_s=2)
            zombie = await apart(app, proxy.dsn, concurrency=1, settings=settings).start()
            handle = await client.enqueue("hold")
            await asyncio.to_thread(begun.acquire)
            proxy.refuse()
            async with bench.worker(app, concurrency=1):
                assert await handle.result(timeout=20) == 2
                go_on.set()
                await until(lambda: sum(isinstance(one, JobFinished) for one in seen) == 2)
                proxy.refuse(False)
                await until(lambda: any(isinstance(one, ReportRejected | LeaseLost) for one in seen))
                await until(lambda: zombie.worker.life is not None and len(zombie.worker.life.home.held) == 0)
            await zombie.stop()
    assert await bench.history(handle.id) == ["enqueued", "claimed", "lease_expired", "claimed", "succeeded"]
    assert await bench.count("worker.report_rejected") <= 1
    assert await bench.mismatches() == []


async def test_a_lost_database_is_waited_for(bench: Bench, proxy: Proxy, apart: Callable[..., Apart]) -> None:
    """With every connection cut and new ones refused for a while, the outcomes arrive once it is back, each once."""
    app, ran = counting()
    async with bench.client(app) as client:
        worker = await apart(app, proxy.dsn, concurrency=10).start()
        trap = proxy.trap(REPORT)
        await client.enqueue_many([app.kind("note").call(n) for n in range(30)])
        await asyncio.to_thread(trap.wait)
        proxy.refuse()
        await until(lambda: len(ran) >= 10)
        proxy.refuse(False)
        await until(lambda: len(ran) >= 30)
        await until(lambda: worker.worker.life is not None and len(worker.worker.life.home.held) == 0)
        await worker.stop()
    assert sorted(ran) == list(range(30))
    assert await bench.count("job.succeeded") == 30
    assert await bench.mismatches() == []


async def test_a_worker_takes_a_new_incarnation_when_due(bench: Bench) -> None:
    """Claims go on under the new id only; the old one is heartbeaten until its last job is reported, then ends."""
    app = App()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @app.job()
    async def hold() -> None:
        begun.set()
        await go_on.wait()

    @app.job()
    async def noop() -> None:
        """Do nothing."""

    manner = Manner(ignore_s=0.5, poll_s=0.05, tick_s=0.1, renew_after_s=0.5)
    async with bench.client(app), bench.worker(app, manner=manner) as worker:
        handle = await hold.enqueue()
        await begun.wait()
        assert worker.life is not None
        first = worker.life.home.id
        await until(lambda: worker.life is not None and worker.life.home.id != first)
        await (await noop.enqueue()).result(timeout=10)
        assert await bench.value("select stopped_at is null from jobledger.workers where id = $1", first)
        go_on.set()
        await handle.result(timeout=10)
        async with asyncio.timeout(10):
            while await bench.value(  # noqa: ASYNC110 - the database sets no event
                "select stopped_at is null from jobledger.workers where id = $1", first
            ):
                await asyncio.sleep(0.01)
    assert await bench.history(handle.id) == ["enqueued", "claimed", "succeeded"]


async def test_an_incarnation_whose_heartbeats_fail_takes_no_lease_from_the_next(bench: Bench) -> None:
    """The older one's row refuses every heartbeat: the newer one's lease is renewed all the same."""
    app = App()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @app.job()
    async def hold() -> None:
        begun.set()
        await go_on.wait()

    manner = Manner(ignore_s=0.5, poll_s=0.05, tick_s=0.1, renew_after_s=0.5)
    async with bench.client(app), bench.worker(app, manner=manner):
        handle = await hold.enqueue()
        await begun.wait()
        first = await bench.value("select worker from jobledger.running where id = $1", handle.id)
        await bench.fetch(REFUSE)
        await bench.fetch(REFUSED.format(first))
        before = [row["id"] for row in await bench.fetch("select id from jobledger.workers")]
        beats = "select coalesce(max(beat), 0) from jobledger.workers where id <> all ($1)"
        async with asyncio.timeout(20):
            while await bench.value(beats, before) == 0:  # noqa: ASYNC110 - the database sets no event
                await asyncio.sleep(0.01)
        await bench.fetch("drop trigger refused on jobledger.workers")
        go_on.set()
        await handle.result(timeout=10)


async def test_a_worker_that_stops_while_an_older_incarnation_says_its_end_lets_it_finish(
    bench: Bench, proxy: Proxy
) -> None:
    """The end of each is in the log, also of the one that was on its way when the worker was asked to stop."""
    app, _ = counting()
    live = "select count(*) from jobledger.workers where stopped_at is null"
    manner = Manner(ignore_s=0.5, poll_s=0.05, tick_s=0.1, renew_after_s=0.3)
    async with await Store.connect(proxy.dsn) as store:
        trap = proxy.trap("jobledger.worker_stop(", before=True)
        worker = bench.worker(app, store, manner=manner)
        running = asyncio.create_task(worker.run(signals=False))
        await asyncio.to_thread(trap.wait)
        worker.stop()
        # The newest says its end by a line of its own; that of the older one is still caught.
        async with asyncio.timeout(20):
            while await bench.value(live) > 1:  # noqa: ASYNC110 - the database sets no event
                await asyncio.sleep(0.01)
        ended, _ = await asyncio.wait([running], timeout=0.5)
        assert not ended
        trap.let_go()
        await running
        assert await bench.value(live) == 0


async def test_a_worker_whose_lease_is_over_goes_on_under_a_new_id(bench: Bench) -> None:
    """A claim that is told so begins a new incarnation, and jobs run."""
    app, ran = counting()
    async with bench.client(app) as client, bench.worker(app, manner=BRISK) as worker:
        assert worker.life is not None
        first = worker.life.home.id
        await bench.fetch("select jobledger.worker_stop(0::smallint, $1, 'by hand')", first)
        handle = await client.enqueue("note", {"n": 1})
        await handle.result(timeout=10)
        assert worker.life.home.id != first
    assert ran == [1]


async def test_jobs_that_come_for_an_older_incarnation_are_handed_back(bench: Bench, proxy: Proxy) -> None:
    """A claim's answer that arrives after the worker took a new id reaches no slot: its jobs run under the new one."""
    app, ran = counting()
    async with bench.client(app) as client:
        trap = proxy.trap(CLAIM)
        handles = await client.enqueue_many([app.kind("note").call(n) for n in range(5)])
        async with bench.worker(app, proxy.dsn, concurrency=5) as worker:
            await asyncio.to_thread(trap.wait)
            assert worker.life is not None
            first = worker.life.home
            # What another claim under way does when it is told, just before a heartbeat, that the lease is over.
            await worker.life._renew(first)
            assert worker.life.home is not first
            trap.let_go()
            for handle in handles:
                await handle.result(timeout=10)
            assert not len(first.held)
    assert sorted(ran) == list(range(5))
    assert await bench.value("select count(*) from jobledger.running") == 0


async def test_a_lease_that_is_lost_while_the_worker_renews_itself_stops_no_claims(bench: Bench, proxy: Proxy) -> None:
    """A claim that is told so while the daily renewal waits for it does not wait for the renewal in turn."""
    app, ran = counting()
    async with bench.client(app) as client:
        trap = proxy.trap(CLAIM, before=True)
        async with bench.worker(app, proxy.dsn, settings=quick(heartbeat_s=10)) as worker:
            await asyncio.to_thread(trap.wait)
            assert worker.life is not None
            first = worker.life.home.id
            worker.life._change(abrupt=False)
            await until(lambda: worker.life is not None and worker.life._switching)
            await bench.fetch("select jobledger.worker_stop(0::smallint, $1, 'by hand')", first)
            trap.let_go()
            handle = await client.enqueue("note", {"n": 1})
            await handle.result(timeout=10)
            assert worker.life.home.id != first
    assert ran == [1]


POISON = {
    "claim": (
        "insert into jobledger.ready select id, run_at, kill_at, 1, timeout, shard, priority, attempt, max_attempts,"
        " releases, tenant, queue, kind, owner, unique_key from jobledger.running"
    ),
    "tick": "update jobledger.running set head = 1, claim = 1, timeout_at = '2000-01-01Z'",
}


@pytest.mark.parametrize("met_by", POISON)
async def test_a_poisoned_row_stops_no_queue(bench: Bench, met_by: str) -> None:
    """A row that contradicts its stream is repaired by whoever meets it; the others' jobs go on."""
    app, ran = counting()
    hold, go_on = asyncio.Event(), asyncio.Event()

    @app.job()
    async def wait() -> None:
        hold.set()
        await go_on.wait()

    async with bench.client(app), bench.worker(app, concurrency=5):
        handle = await wait.enqueue()
        await hold.wait()
        await bench.fetch(POISON[met_by])
        async with asyncio.timeout(10):
            while not await bench.count("store.mismatch_repaired"):  # noqa: ASYNC110 - the database sets no event
                await asyncio.sleep(0.01)
        await (await app.kind("note").enqueue(n=1)).result(timeout=10)
        go_on.set()
        await handle.result(timeout=10)
    assert ran == [1]
    assert await bench.fetch("select * from jobledger.compare()") == []


MANY_POISONED = {
    "a version that the log has": "update jobledger.ready set head = 0 where id = any($1)",
    "a job that runs already": (
        "insert into jobledger.running select id, run_at, kill_at, 1, timeout, shard, priority, attempt, max_attempts,"
        " releases, tenant, queue, kind, owner, unique_key, gen_random_uuid(), now(), now() + interval '1 hour', 1, 0,"
        " false from jobledger.ready where id = any($1)"
    ),
}


async def test_many_poisoned_rows_in_one_claim_pass_promptly(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Twenty rows of two sorts lie among 1,000 jobs: one claim mends what it meets and gives jobs; all run once."""
    app, ran = counting()
    async with bench.client(app) as client:
        handles = await client.enqueue_many([app.kind("note").call(n) for n in range(1000)])
        for at, damage in enumerate(MANY_POISONED.values()):
            await bench.fetch(damage, [handle.id for handle in handles[at * 25 :: 100]])
        link = Link(bench.store, kinds=["note"], queues=None, tenants=None, lease_s=30, patience_s=10)
        worker = await link.start()
        claimed = await link.claim(worker, 1000, 1, held={}, free=None, timeout_s=None, ticking=None, named=None)
        assert claimed
        await link.end(worker, "the test goes on with another")
        await link.close()
        async with bench.worker(app, concurrency=1000), asyncio.timeout(60):
            for handle in handles:
                await handle.result(timeout=60)
    assert sorted(ran) == list(range(1000))
    mended = "select count(distinct data ->> 'job') from jobledger.events where type = 'store.mismatch_repaired'"
    assert await bench.value(mended) == 20
    assert await bench.fetch("select * from jobledger.compare()") == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
