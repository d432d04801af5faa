"""Wake-up: who enqueues tells idle workers, busy ones are left alone, and what the hint misses the timer finds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from tests.worker.conftest import BRISK, quick, until

from jobledger.jobs import App
from jobledger.observations import ConnectionLost, observing
from jobledger.store import listen as listening
from jobledger.store.pool import Store
from jobledger.testing.proxy import Proxy
from jobledger.worker import listen
from jobledger.worker.idle import IdleFlag
from jobledger.worker.life import Manner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from tests.worker.conftest import Bench

    from jobledger.worker.worker import Worker

PATIENT = Manner(ignore_s=0.5, poll_s=600, tick_s=0.1)
"""A worker whose timer never comes: what it finds, it was told of."""
LISTENER = "from pg_stat_activity where application_name = 'jobledger listener' and datname = current_database()"
LISTENERS = f"select count(*) {LISTENER}"
FLAGS = "select count(*) from jobledger.idle"


class Ran:
    """Which jobs ran; with a gate, none ends before it is opened."""

    def __init__(self) -> None:
        """Nothing yet; the gate is open."""
        self.jobs: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.app = App("wakeup")

        @self.app.job(name="note")
        async def note(number: int) -> None:
            self.jobs.append(number)
            await self.gate.wait()

        self.note = note

    async def has(self, count: int) -> None:
        """Wait until so many have begun."""
        await until(lambda: len(self.jobs) >= count)


@pytest.fixture
def ran() -> Ran:
    """Give an app of one kind, and what it has run."""
    return Ran()


async def enqueued(sql: asyncpg.Connection[Any], number: int, **more: str) -> UUID:
    """Enqueue as a program without this package would."""
    names = "".join(f", {name} => '{value}'" for name, value in more.items())
    id_: UUID = await sql.fetchval(
        f"select jobledger.enqueue('note', jsonb_build_object('number', $1::int){names})", number
    )
    return id_


@contextlib.asynccontextmanager
async def other(bench: Bench) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Give a connection that is not the worker's."""
    connection = await asyncpg.connect(bench.dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def idle(worker: Worker) -> None:
    """Wait until the worker's flag is up and the poll that it owes is done."""
    assert worker.life is not None
    fetcher, flag = worker.life.fetcher, worker.life.idle
    await until(lambda: flag.up(worker.life.home.id) and not fetcher.under_way and not fetcher.owes)  # type: ignore[union-attr]  # asserted above


@contextlib.asynccontextmanager
async def drawn_to_its_limit(bench: Bench, ran: Ran) -> AsyncIterator[Worker]:
    """Give a worker that waits idle: of three jobs it runs one, since their queue has one place; another is empty."""
    ran.gate.clear()
    async with other(bench) as sql:
        for number in range(3):
            await enqueued(sql, number)
        bound = bench.worker(ran.app, manner=PATIENT, queues={"default": 1, "empty": 5}, concurrency=6)
        async with bound as worker:
            await ran.has(1)
            await idle(worker)
            yield worker


async def becomes(sql: asyncpg.Connection[Any], value: int, question: str, *values: str) -> None:
    """Wait until the database gives this answer."""
    async with asyncio.timeout(20):
        while await sql.fetchval(question, *values) != value:  # noqa: ASYNC110 - the database sets no event
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def hearing(sql: asyncpg.Connection[Any]) -> AsyncIterator[list[str]]:
    """Collect the notifications that are sent inside the block."""
    heard: list[str] = []

    def hear(*said: object) -> None:
        heard.append(str(said[-1]))

    name = await sql.fetchval("select jobledger.channel()")
    await sql.add_listener(name, hear)
    yield heard
    await sql.fetchval("select 1")  # what was sent before has come by now
    await sql.remove_listener(name, hear)


async def test_an_enqueue_wakes_an_idle_worker(bench: Bench, ran: Ran) -> None:
    """Singly, in a batch, and again and again: each is found by the hint, for the timer never comes."""
    async with other(bench) as sql, bench.worker(ran.app, manner=PATIENT) as worker:
        for number in range(10):
            await idle(worker)
            await enqueued(sql, number)
            await ran.has(number + 1)
        await idle(worker)
        await sql.execute("""select jobledger.enqueue_many('[{"kind": "note", "args": {"number": 1}}]')""")
        await ran.has(11)
        assert worker.life is not None
        assert worker.life.fetcher.found["timer"] == 0
        assert (
            worker.life.fetcher.found["hint"] >= 5
        )  # one that came within 5 ms of the last is found by the poll after that


async def test_a_trickle_of_jobs_does_not_move_the_flag(bench: Bench, ran: Ran) -> None:
    """It stays up while jobs come one by one: one worker of one slot or of many, no write more a job."""
    for concurrency in (1, 20):
        async with other(bench) as sql, bench.worker(ran.app, manner=PATIENT, concurrency=concurrency) as worker:
            await idle(worker)
            before, slow = len(ran.jobs), 0
            for number in range(20):
                began = time.monotonic()
                await enqueued(sql, number)
                await ran.has(before + number + 1)
                slow += time.monotonic() - began > 0.05
            assert worker.life is not None
            assert worker.life.idle is not None
            # So quick a trickle may look like a drain for a moment, and so may a claim that takes long.
            assert worker.life.idle.raised <= 4 + 2 * slow


async def test_what_came_before_the_flag_is_found_by_one_more_poll(bench: Bench, ran: Ran) -> None:
    """Committed after the empty poll and before the flag is: no hint was sent, and the timer never comes."""
    async with other(bench) as holder, other(bench) as sql:
        await holder.execute("begin")
        await holder.execute("lock table jobledger.idle in exclusive mode")
        async with bench.worker(ran.app, manner=PATIENT) as worker:
            waits = "select count(*) from pg_locks where relation = 'jobledger.idle'::regclass and not granted"
            await becomes(sql, 1, waits)
            async with hearing(sql) as heard:
                await enqueued(sql, 1)
            assert heard == []
            await holder.execute("commit")
            await ran.has(1)
            assert worker.life is not None
            assert worker.life.fetcher.found == Counter(again=1)


async def test_an_enqueue_that_looked_before_the_flag_is_found_by_the_timer(bench: Bench, ran: Ran) -> None:
    """The guarantee: its transaction ends after the last poll, and sends no hint."""
    manner = Manner(ignore_s=0.5, poll_s=0.25, tick_s=0.1)
    async with other(bench) as sql:
        await sql.execute("begin")
        await enqueued(sql, 1)
        async with bench.worker(ran.app, manner=manner) as worker:
            await idle(worker)
            await sql.execute("commit")
            await ran.has(1)
            assert worker.life is not None
            assert worker.life.fetcher.found == Counter(timer=1)


async def test_a_full_worker_is_not_told(bench: Bench, ran: Ran) -> None:
    """With every slot taken its flag comes down, and nobody sends; once slots are free it finds what came meanwhile."""
    ran.gate.clear()
    async with other(bench) as sql, bench.worker(ran.app, manner=PATIENT, concurrency=2) as worker:
        await idle(worker)
        for number in range(2):
            await enqueued(sql, number)
        await ran.has(2)
        await becomes(sql, 0, FLAGS)
        async with hearing(sql) as heard:
            for number in range(2, 12):
                await enqueued(sql, number)
        assert heard == []
        ran.gate.set()
        await ran.has(12)
        await idle(worker)


async def test_a_drain_sends_no_notification(bench: Bench, ran: Ran) -> None:
    """While jobs keep coming the flag is down: enqueues beside a backlog that is worked off are silent."""
    async with bench.client(ran.app) as client, other(bench) as sql:
        for _ in range(4):
            await client.enqueue_many([ran.note.call(number) for number in range(1000)])
        async with hearing(sql) as heard, bench.worker(ran.app, manner=PATIENT, concurrency=20):
            number = 0
            while len(ran.jobs) < 1000:  # what is left keeps the worker busy for as long as one enqueue may take
                await enqueued(sql, number)
                number += 1
            assert heard == []
            await ran.has(4000 + number)


@pytest.mark.parametrize(("notify", "lowered"), [("idle", True), ("always", False)])
async def test_a_burst_lowers_the_flag_of_a_worker_that_waited(
    bench: Bench, ran: Ran, notify: str, lowered: bool
) -> None:
    """It is raised again when the jobs are done; with `always` it never came down."""
    worker = bench.worker(ran.app, manner=PATIENT, concurrency=20, settings=quick(notify=notify))
    async with bench.client(ran.app) as client, worker:
        await idle(worker)
        assert worker.life is not None
        assert worker.life.idle is not None
        raised = worker.life.idle.raised
        await client.enqueue_many([ran.note.call(number) for number in range(1000)])
        await ran.has(1000)
        await idle(worker)
        assert (worker.life.idle.raised > raised) is lowered


async def test_hints_for_nothing_are_followed_ever_less_often_and_then_not_asked_for(bench: Bench, ran: Ran) -> None:
    """Others are always quicker: after some of them the polls keep apart, then the flag comes down."""
    async with other(bench) as sql, bench.worker(ran.app, manner=PATIENT) as worker:
        await idle(worker)
        assert worker.life is not None
        fetcher, began = worker.life.fetcher, time.monotonic()
        for _ in range(10):
            polls = fetcher.completed
            await sql.execute("select pg_notify(jobledger.channel(), '')")
            await until(lambda polls=polls: fetcher.completed > polls)  # type: ignore[misc]  # bound at once
        assert time.monotonic() - began >= 0.3
        await becomes(sql, 0, FLAGS)
        assert fetcher.found == Counter()


async def test_always_tells_a_busy_worker_too(bench: Bench, ran: Ran) -> None:
    """The flag is up for as long as the worker listens, full or not."""
    ran.gate.clear()
    async with (
        other(bench) as sql,
        bench.worker(
            ran.app, manner=PATIENT, concurrency=1, queues=["told"], settings=quick(notify="always")
        ) as worker,
        bench.worker(ran.app, manner=PATIENT, concurrency=1, queues=["default"]) as usual,
    ):
        await idle(worker)
        await enqueued(sql, 1, queue="told")
        await ran.has(1)
        await idle(usual)
        await enqueued(sql, 2)
        await ran.has(2)
        # Of the two that are full the one whose flag comes down filled up last.
        await becomes(sql, 1, FLAGS)
        assert worker.life is not None
        assert worker.life.idle is not None
        await worker.life.idle.settled()
        async with hearing(sql) as heard:
            job = await enqueued(sql, 3, queue="told")
        assert heard == [f"{job} default told note"]
        ran.gate.set()
        await ran.has(3)


async def test_off_polls(bench: Bench, ran: Ran) -> None:
    """No listener, no flag, no notification; the timer finds the job."""
    async with other(bench) as sql, bench.worker(ran.app, settings=quick(notify="off")) as worker:
        assert worker.life is not None
        await until(lambda: worker.life and worker.life.fetcher.empty_polls >= 5)
        assert await bench.value(FLAGS) == 0
        assert await bench.value(LISTENERS) == 0
        async with hearing(sql) as heard:
            await enqueued(sql, 1)
        assert heard == []
        await ran.has(1)


async def test_the_workers_of_a_process_share_one_listener(bench: Bench, ran: Ran) -> None:
    """One connection however many workers; it goes with the last of them, and so do their flags."""
    async with other(bench) as sql:
        async with (
            bench.worker(ran.app, manner=PATIENT) as first,
            bench.worker(ran.app, manner=PATIENT) as second,
        ):
            await idle(first)
            await idle(second)
            assert await sql.fetchval(LISTENERS) == 1
            assert await sql.fetchval(FLAGS) == 2
            await enqueued(sql, 1)
            await ran.has(1)
        assert await sql.fetchval(FLAGS) == 0
        await becomes(sql, 0, LISTENERS)


async def test_a_lost_listener_costs_only_the_hint(bench: Bench, ran: Ran) -> None:
    """It is told, the worker polls meanwhile, the connection comes back by itself, and hints with it."""
    manner = Manner(ignore_s=0.5, poll_s=0.25, tick_s=0.1)
    async with other(bench) as sql, bench.worker(ran.app, manner=manner) as worker:
        assert worker.life is not None
        await idle(worker)
        with observing(ConnectionLost) as lost:
            assert await sql.fetchval(f"select count(pg_terminate_backend(pid)) {LISTENER}") == 1
            await enqueued(sql, 1)
            await ran.has(1)
            await until(lambda: [one.where for one in lost] == ["listen"])
        hinted = worker.life.fetcher.found["hint"]
        async with asyncio.timeout(20):
            # The timer may come to one of them first.
            while worker.life.fetcher.found["hint"] == hinted:
                await idle(worker)
                before = len(ran.jobs)
                await enqueued(sql, 2)
                await ran.has(before + 1)


async def test_a_listener_whose_channel_is_another_by_now_listens_anew(
    bench: Bench, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that was put back has another channel: it asks now and then, and is told again."""
    monkeypatch.setattr(listening, "_CHECK_S", 0.05)
    async with other(bench) as sql, bench.worker(ran.app, manner=PATIENT) as worker:
        await idle(worker)
        with observing(ConnectionLost) as lost:
            await sql.execute("update jobledger.channels set name = name || '_anew'")
            await until(lambda: lost)
        await idle(worker)
        await enqueued(sql, 1)
        await ran.has(1)


@pytest.mark.parametrize("direct", [False, True], ids=["without listen_dsn", "with listen_dsn"])
async def test_behind_a_pooler_it_listens_only_at_an_address_past_it(bench: Bench, ran: Ran, direct: bool) -> None:
    """A session behind a transaction pooler hears nothing: without an address of the server itself it polls."""
    settings = quick(pooler="transaction", **({"listen_dsn": bench.dsn} if direct else {}))
    async with (
        await Store.connect(bench.dsn, pooler="transaction") as store,
        other(bench) as sql,
        bench.worker(ran.app, store, settings=settings, manner=PATIENT if direct else BRISK) as worker,
    ):
        assert worker.life is not None
        if direct:
            await idle(worker)
        else:
            await until(lambda: worker.life and worker.life.fetcher.empty_polls >= 5)
        assert await sql.fetchval(LISTENERS) == direct
        await enqueued(sql, 1)
        await ran.has(1)
        assert (worker.life.fetcher.found["hint"] == 1) is direct


async def test_a_place_in_a_full_queue_ends_the_wait_for_an_empty_one(bench: Bench, ran: Ran) -> None:
    """A queue that gave all its own limit allowed was not short: the next job is taken though no timer comes."""
    async with drawn_to_its_limit(bench, ran):
        ran.gate.set()
        await ran.has(3)


async def test_a_hint_that_names_a_job_asks_for_it_alone_and_leaves_the_timer_as_it_was(bench: Bench, ran: Ran) -> None:
    """The job it names is run; one that is gone costs one look; where several are named at once all are looked for."""
    async with other(bench) as sql, bench.worker(ran.app, manner=PATIENT) as worker:
        await idle(worker)
        assert worker.life is not None
        fetcher = worker.life.fetcher
        async with sql.transaction():
            await sql.execute("set local jobledger.notify = 'off'")
            silent = [await enqueued(sql, number) for number in range(4)]
        fetcher.notified(silent[2])
        await ran.has(1)
        # The poll that follows soon finds the others, which nobody was told of.
        await ran.has(4)
        assert ran.jobs[0] == 2
        await idle(worker)
        await until(lambda: fetcher.empty_polls > 0 and not fetcher.under_way)
        due, completed = fetcher._not_before, fetcher.completed
        fetcher.notified(silent[2])
        await until(lambda: fetcher.completed > completed and not fetcher.under_way)
        assert fetcher._not_before == due
        async with sql.transaction():
            await sql.execute("set local jobledger.notify = 'off'")
            silent = [await enqueued(sql, number) for number in range(4, 6)]
        for job in silent:
            fetcher.notified(job)
        await ran.has(6)
        assert fetcher.found["hint"] == 2


@pytest.mark.parametrize(
    "bound", [{"queues": ["mine"]}, {"kinds": ["mine"]}, {"tenants": ["mine"]}], ids=["queue", "kind", "tenant"]
)
async def test_a_worker_that_waits_is_not_disturbed_by_what_comes_for_others(
    bench: Bench, ran: Ran, bound: dict[str, Any]
) -> None:
    """Twenty jobs for another one, each of which all are told of: not one look, and its flag stays up."""

    @ran.app.job(name="mine")
    async def mine() -> None:
        """Do nothing."""

    async with (
        other(bench) as sql,
        bench.worker(ran.app, manner=PATIENT, **bound) as worker,
        bench.worker(ran.app, kinds=["note"]),
    ):
        await idle(worker)
        assert worker.life is not None
        completed = worker.life.fetcher.completed
        for number in range(20):
            await enqueued(sql, number)
            await ran.has(number + 1)
        await sql.fetchval("select 1")
        assert worker.life.fetcher.completed == completed
        await idle(worker)


async def test_workers_that_are_told_of_the_same_jobs_run_each_once(bench: Bench, ran: Ran) -> None:
    """Three wait idle, and all hear of each job: one takes it, and who was too late too often waits for its timer."""
    async with contextlib.AsyncExitStack() as stack:
        sql = await stack.enter_async_context(other(bench))
        workers = [await stack.enter_async_context(bench.worker(ran.app)) for _ in range(3)]
        for worker in workers:
            await idle(worker)
        for number in range(60):
            await enqueued(sql, number)
            await ran.has(number + 1)
        await becomes(sql, 60, "select count(*) from jobledger.finished")
    assert ran.jobs == list(range(60))


@pytest.mark.parametrize("statement", ["jobledger.channel", "LISTEN"])
async def test_a_listener_whose_line_dies_as_it_begins_begins_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """The answer to its first statements never comes: it hangs up and connects anew."""
    monkeypatch.setattr(listening, "_PATIENCE_S", 0.2)
    stands = asyncio.Event()
    ears = listen.Ears(lambda _: None, lambda stand: stands.set() if stand else stands.clear())
    with Proxy(bench.dsn) as proxy:
        trap = proxy.trap(statement)
        listener = listen.Listener(proxy.dsn, 0)
        listener.join(ears)
        await asyncio.to_thread(trap.wait)
        trap.mute()
        async with asyncio.timeout(20):
            await stands.wait()
        await listener.leave(ears)


@pytest.mark.parametrize("lost", [True, False])
async def test_a_flag_whose_writing_was_not_answered_is_lowered_when_jobs_come(lost: bool) -> None:
    """Raised or lowered on a line that died, it may stand: every enqueue would go on telling a busy worker."""
    flags: set[UUID] = set()
    dying = asyncio.Event()

    async def send(worker: UUID, up: bool) -> bool:
        if up or not dying.is_set():
            flags.symmetric_difference_update([worker] if up != (worker in flags) else [])
        if dying.is_set():
            dying.clear()
            raise ConnectionError
        return up

    flag = IdleFlag(send)
    flag.listening = True
    worker = uuid4()
    if lost:
        dying.set()
    assert await flag.put_up(worker) is not lost
    if not lost:
        dying.set()
        flag.take_down()
        await flag.settled()
    assert flags == {worker}
    assert not flag.up(worker)
    flag.take_down()
    await flag.settled()
    assert flags == set()


@pytest.mark.parametrize("times", [1, 2])
async def test_a_flag_that_is_lowered_while_it_is_being_raised_is_down_and_not_believed_in(times: int) -> None:
    """Two calls find nothing, a third much: who believed the first two would wait, and nobody would tell it."""
    worker, written = uuid4(), [False]
    answered = asyncio.Event()

    async def send(_: UUID, up: bool) -> bool:
        if up and len(written) == times:
            await answered.wait()
        written.append(up)
        return up

    flag = IdleFlag(send)
    flag.listening = True
    for _ in range(times - 1):
        assert await flag.put_up(worker)
    raising = asyncio.create_task(flag.put_up(worker))
    await until(lambda: bool(flag._raising))
    flag.take_down()
    answered.set()
    assert not await raising
    await flag.settled()
    assert written[-1] is flag.up(worker) is False
    assert flag.wanted(worker)
    assert await flag.put_up(worker)
    assert written[-1] is flag.up(worker) is True


async def test_a_flag_that_is_lowered_while_an_earlier_lowering_is_written_is_not_raised() -> None:
    """Who raises it waits for what is under way, and what was asked for meanwhile holds: jobs came."""
    worker, written = uuid4(), [False]
    answered = asyncio.Event()

    async def send(_: UUID, up: bool) -> bool:
        if not up:
            await answered.wait()
        written.append(up)
        return up

    flag = IdleFlag(send)
    flag.listening = True
    assert await flag.put_up(worker)
    flag.take_down()
    raising = asyncio.create_task(flag.put_up(worker))
    await asyncio.sleep(0)
    flag.take_down()
    answered.set()
    assert not await raising
    await flag.settled()
    assert written == [False, True, False]


async def test_a_flag_that_is_raised_right_after_it_was_lowered_stands() -> None:
    """A call brings much and the next nothing, in one turn: what was asked for last is written last."""
    worker, written = uuid4(), [False]

    async def send(_: UUID, up: bool) -> bool:
        written.append(up)
        return up

    flag = IdleFlag(send)
    flag.listening = True
    assert await flag.put_up(worker)
    flag.take_down()
    assert await flag.put_up(worker)
    await flag.settled()
    assert written == [False, True, False, True]
    assert flag.up(worker)
