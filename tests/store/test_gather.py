"""Enqueues of the same moment share statements; each caller has its own job, and its own error."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from jobledger.errors import Conflict, InvalidArgument, TooLarge, Unreachable
from jobledger.ids import new_id
from jobledger.jobs.client import Client
from jobledger.jobs.handle import Handle
from jobledger.store import gather
from jobledger.store.enqueue import Enqueued, NewJob
from jobledger.store.pool import Store, is_lost
from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.store.pool import Connection

BLOCKED = "select count(*) from pg_locks where not granted"
WROTE = "select stream_id, tenant, (data -> 'args' ->> 'n')::int as n from jobledger.events where type = 'job.enqueued'"
TERMINATE = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
)
SIZES = "select count(*) as n from jobledger.events where type = 'job.enqueued' group by xid order by n"


SLOW = """
create function public.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
create trigger slow before insert on jobledger.ready
  for each row when (new.tenant = 'slow') execute function public.slow()
"""


@pytest.fixture
async def client(database: str) -> AsyncIterator[Client]:
    """A client with a pool of its own."""
    async with await Store.connect(database, pool_max=4) as store:
        yield Client(store, strict=False)


@pytest.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection beside it."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def blocked(sql: asyncpg.Connection[asyncpg.Record], count: int) -> None:
    """Wait until so many others wait for a lock."""
    async with asyncio.timeout(10):
        while await sql.fetchval(BLOCKED) < count:  # noqa: ASYNC110 - looks into the database, which sets no event
            await asyncio.sleep(0.01)


async def free(sql: asyncpg.Connection[asyncpg.Record]) -> None:
    """Wait until nobody waits for a lock."""
    while await sql.fetchval(BLOCKED):  # noqa: ASYNC110 - looks into the database, which sets no event
        await asyncio.sleep(0.01)


async def test_callers_of_one_moment_share_transactions_and_each_gets_its_own_job(
    client: Client, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred callers at once: a hundred jobs, each as its caller gave it, in a few transactions, half at a time."""
    # However slow the machine is: beside a statement that takes long others go, and make more of them.
    monkeypatch.setattr(gather, "_SLOW_S", 3600.0)
    handles = await asyncio.gather(*[client.enqueue("noop", {"n": n}, tenant=f"t{n % 7}") for n in range(100)])
    sizes = [row["n"] for row in await sql.fetch(SIZES)]
    assert len(sizes) <= 10
    assert max(sizes) <= 50
    rows = await sql.fetch(WROTE)
    wrote = {row["stream_id"]: (row["tenant"], row["n"]) for row in rows}
    assert wrote == {handle.id: (f"t{n % 7}", n) for n, handle in enumerate(handles)}


async def test_a_call_by_itself_waits_for_nobody_and_those_behind_it_go_together(
    client: Client, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a call stands still others wait, and go as one; a cancelled one does not; a unique key goes by itself."""
    monkeypatch.setattr(gather, "_SLOW_S", 3600.0)
    await sql.execute("begin; lock table jobledger.ready in exclusive mode")
    first = asyncio.create_task(client.enqueue("noop"))
    await blocked(sql, 1)
    behind = [asyncio.create_task(client.enqueue("noop")) for _ in range(5)]
    unique = asyncio.create_task(client.enqueue("noop", unique_key="k"))
    await blocked(sql, 2)
    behind[0].cancel()
    await sql.execute("commit")
    await asyncio.gather(first, *behind[1:], unique)
    assert [row["n"] for row in await sql.fetch(SIZES)] == [1, 1, 4]


async def test_jobs_with_keys_share_transactions_and_each_key_makes_one_job(
    client: Client, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty keys, each by two callers at once, and twenty jobs without: a few transactions, and a job for each key."""
    monkeypatch.setattr(gather, "_SLOW_S", 3600.0)
    keyed = [client.enqueue("noop", {"n": n}, key=f"k{n}") for n in range(50)]
    again = [client.enqueue("noop", {"n": n}, key=f"k{n}") for n in range(50)]
    plain = [client.enqueue("noop", {"n": n}) for n in range(50, 70)]
    handles = await asyncio.gather(*keyed, *again, *plain)
    assert [one.id for one in handles[:50]] == [one.id for one in handles[50:100]]
    assert sum(one.created for one in handles) == 70
    assert len(await sql.fetch(SIZES)) <= 10
    assert {row["stream_id"]: row["n"] for row in await sql.fetch(WROTE)} == {
        one.id: n for n, one in enumerate([*handles[:50], *handles[100:]])
    }


async def test_nobody_waits_for_a_key_that_another_transaction_holds(
    client: Client, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Its own caller does, and gets the job of the other; those beside it, keys or not, are through before."""
    await sql.execute("begin")
    made = await sql.fetchval("select jobledger.enqueue('noop', key => 'held', tenant => 'default')")
    others = [client.enqueue("noop", key=f"k{n}") for n in range(10)] + [client.enqueue("noop") for _ in range(5)]
    held = [asyncio.create_task(client.enqueue("noop", key="held")) for _ in range(2)]
    async with asyncio.timeout(30):
        assert all(one.created for one in await asyncio.gather(*others))
        # By now it is known that keys may not be free: they go by themselves, and hold up nobody either.
        assert (await client.enqueue("noop", key="later")).created
    assert not any(one.done() for one in held)
    await sql.execute("commit")
    for one in await asyncio.gather(*held):
        assert (one.id, one.created) == (made, False)


async def test_a_collision_over_one_key_is_nobody_elses(
    database: str, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where transactions are repeatable reads, a key that another has just taken fails the batch: all go once more."""
    monkeypatch.setattr(gather, "_PATIENCE_MS", 20_000)
    await sql.execute("begin")
    made = await sql.fetchval("select jobledger.enqueue('noop', key => 'held', tenant => 'default')")
    strict = {"default_transaction_isolation": "repeatable read"}
    async with asyncpg.create_pool(database, min_size=1, max_size=4, server_settings=strict) as pool:
        client = Client(pool, strict=False)
        keyed = [asyncio.create_task(client.enqueue("noop", key=key)) for key in ("held", "k1", "k2")]
        await blocked(sql, 1)
        await sql.execute("commit")
        done = await asyncio.gather(*keyed)
    assert [one.created for one in done] == [False, True, True]
    assert done[0].id == made


async def test_a_line_that_nobody_waits_for_any_more_holds_up_nobody_who_closes_the_pool(database: str) -> None:
    """The answer to what several asked for together never comes, and all of them give up."""
    with Proxy(database) as proxy:
        store = await Store.connect(proxy.dsn, pool_max=4)
        client = Client(store, strict=False)
        trap = proxy.trap("jobledger.enqueue_many(")
        calls = [asyncio.create_task(client.enqueue("noop", key=f"k{n}")) for n in range(3)]
        await asyncio.to_thread(trap.wait)
        trap.mute()
        for one in calls:
            one.cancel()
        await asyncio.wait(calls)
        async with asyncio.timeout(20):
            await store.close()


async def test_who_is_told_that_no_answer_came_gets_no_job_later(
    client: Client, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was only held up by a lock: it is asked to give the jobs up, and writes none when the lock is gone.

    That is so of a call by itself and of those that share a statement; of more than go at a time, nobody is forgotten.
    """
    monkeypatch.setattr(gather, "STATEMENT_S", 2.0)
    await sql.execute("begin; lock table jobledger.ready in exclusive mode")
    calls = [asyncio.create_task(client.enqueue("noop"))]
    await blocked(sql, 1)
    calls += [asyncio.create_task(client.enqueue("noop")) for _ in range(20)]
    # Half of those that wait go at a time, beside those that are slow, and nobody has to come who lets the others go.
    await blocked(sql, 4)
    async with asyncio.timeout(30):
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(answer, Unreachable)
        await free(sql)
        await sql.execute("commit")
        assert await sql.fetchval("select count(*) from jobledger.events where type = 'job.enqueued'") == 0
        assert (await client.enqueue("noop")).created


async def test_what_everybody_gave_up_is_not_made_later(
    client: Client, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Those that share a statement are cancelled while it waits for a lock: the server is told, and writes nothing."""
    await sql.execute("begin; lock table jobledger.ready in exclusive mode")
    calls = [asyncio.create_task(client.enqueue("noop"))]
    await blocked(sql, 1)
    calls += [asyncio.create_task(client.enqueue("noop")) for _ in range(4)]
    await blocked(sql, 2)
    for one in calls:
        one.cancel()
    await asyncio.wait(calls)
    async with asyncio.timeout(20):
        await free(sql)
        await sql.execute("commit")
        assert await sql.fetchval("select count(*) from jobledger.events where type = 'job.enqueued'") == 0


async def test_who_waits_for_a_lock_takes_nobody_along_who_goes_by_itself(
    client: Client, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a refusal each of a batch goes by itself; one that gets no answer is told, the others are made."""
    monkeypatch.setattr(gather, "STATEMENT_S", 1.0)
    monkeypatch.setattr(gather, "_FEW", 20)
    await sql.execute(SLOW)
    jobs = [client.enqueue("noop", {"n": n}, tenant="slow" if n == 3 else "t") for n in range(12)]
    jobs.append(client.enqueue("noop", {"text": "x" * 300_000}))
    async with asyncio.timeout(30):
        done = await asyncio.gather(*jobs, return_exceptions=True)
    assert isinstance(done[3], Unreachable)
    assert isinstance(done[12], TooLarge)
    assert all(isinstance(one, Handle) for n, one in enumerate(done) if n not in (3, 12))


async def test_a_key_used_for_something_else_is_told_to_its_caller_alone(client: Client) -> None:
    """Those that go with it are enqueued; each of them once."""
    before = await client.enqueue("noop", {"n": 1}, key="used")
    calls = [client.enqueue("noop", key=f"k{n}") for n in range(10)]
    calls[5:5] = [client.enqueue("noop", {"n": 2}, key="used"), client.enqueue("noop", {"n": 1}, key="used")]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(done[5], Conflict)
    assert isinstance(done[6], Handle)
    assert (done[6].id, done[6].created) == (before.id, False)
    assert all(isinstance(one, Handle) and one.created for one in [*done[:5], *done[7:]])


async def test_a_slow_call_holds_up_nobody(
    client: Client, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes while a call takes long goes beside it."""
    monkeypatch.setattr(gather, "_SLOW_S", 0.0)
    await sql.execute("begin; lock table jobledger.ready in exclusive mode")
    first = asyncio.create_task(client.enqueue("noop"))
    await blocked(sql, 1)
    second = asyncio.create_task(client.enqueue("noop"))
    await blocked(sql, 2)
    await sql.execute("commit")
    await asyncio.gather(first, second)


async def test_who_comes_while_a_connection_is_given_back_is_not_forgotten(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane has nothing more to do, and gives its connection back: who comes meanwhile still goes with it."""
    async with await Store.connect(database, pool_max=4) as store:
        lend, returning, go_on = store.connection, asyncio.Event(), asyncio.Event()

        @contextlib.asynccontextmanager
        async def slowly_returned(*, ours: bool = False) -> AsyncIterator[Connection]:
            async with lend(ours=ours) as connection:
                yield connection
            returning.set()
            await go_on.wait()

        monkeypatch.setattr(store, "connection", slowly_returned)
        door = gather.Gathering(store)

        def enqueue() -> asyncio.Task[Enqueued]:
            return asyncio.create_task(door.enqueue(NewJob("noop"), actor=None, strict=False))

        before = [enqueue() for _ in range(3)]
        await returning.wait()
        late = enqueue()
        await asyncio.sleep(0)
        go_on.set()
        async with asyncio.timeout(30):
            assert all(one.created for one in await asyncio.gather(*before, late))


async def test_callers_without_end_leave_the_connection_to_others_now_and_then(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of one connection, always somebody who enqueues: who needs it for something else is next all the same."""
    monkeypatch.setattr(gather, "HELD_S", 0.0)
    async with await Store.connect(database, pool_max=1) as store:
        client, others_came, made = Client(store, strict=False), asyncio.Event(), 0

        async def go_on() -> None:
            nonlocal made
            while not others_came.is_set():
                await client.enqueue("noop")
                made += 1

        tasks = [asyncio.create_task(go_on()) for _ in range(20)]
        for _ in range(5):
            await client.enqueue("noop")  # by then a lane has the connection
        before = made
        assert (await client.enqueue("noop", unique_key="k")).created
        assert made - before < 200
        others_came.set()
        await asyncio.gather(*tasks)


async def test_what_is_wrong_with_one_job_is_told_to_its_caller_alone(
    client: Client, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A batch with a bad job is all or nothing; its callers never learn of each other."""
    id = new_id()  # noqa: A001 - the domain's word
    await client.enqueue("noop", id=id)
    calls = [client.enqueue("noop", tenant=f"t{n}") for n in range(20)]
    calls[5:5] = [client.enqueue("noop", id=id), client.enqueue("noop", max_attempts=0), client.enqueue("no kind")]
    calls.append(client.enqueue("noop", {"text": "x" * 300_000}))
    done = await asyncio.gather(*calls, return_exceptions=True)
    wrong = [one for one in done if isinstance(one, BaseException)]
    assert len(wrong) == 4
    assert isinstance(wrong[0], Conflict)
    assert all(isinstance(one, InvalidArgument) for one in wrong[1:3])
    assert "limit" in str(wrong[3])
    assert await sql.fetchval("select count(*) from jobledger.events where type = 'job.enqueued'") == 21


async def test_callers_of_one_moment_learn_of_a_lost_connection(
    client: Client, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Who was on a connection that is gone is told, like anybody who gets such a one; then calls work again."""
    await sql.execute("begin; lock table jobledger.ready in exclusive mode")
    calls = [asyncio.create_task(client.enqueue("noop")) for _ in range(10)]
    await blocked(sql, 1)
    await sql.fetch(TERMINATE)
    await sql.execute("commit")
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, Unreachable) for one in done) >= 1
    assert all(isinstance(one, Unreachable | Handle) for one in done)
    # Each of the pool's dead connections is met once at most.
    for _ in range(4):
        with contextlib.suppress(Unreachable):
            await client.enqueue("noop")
    assert (await client.enqueue("noop")).created


async def test_who_goes_one_by_one_is_not_told_of_the_line_that_another_lost(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad job sends its batch one by one, and the line breaks: one caller is told, the others have another line."""
    plain, lost = gather.Gathering._one, 0

    async def broken(door: gather.Gathering, connection: Connection, job: NewJob, manner: gather._Manner) -> Enqueued:
        nonlocal lost
        if job.key is None and not lost:
            lost += 1
            connection.terminate()
            raise Unreachable
        return await plain(door, connection, job, manner)

    async with await Store.connect(database, pool_max=4) as store:
        door = gather.Gathering(store)
        monkeypatch.setattr(gather.Gathering, "_one", broken)
        large = NewJob("noop", {"text": "x" * 300_000}, key="large")
        jobs = [NewJob("noop"), NewJob("noop"), NewJob("noop", key="k"), large]
        calls = [door.enqueue(job, actor=None, strict=False) for job in jobs]
        async with asyncio.timeout(30):
            done = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in done] in [
        [Unreachable, Enqueued, Enqueued, TooLarge],
        [Enqueued, Unreachable, Enqueued, TooLarge],
    ]


async def test_a_lane_whose_line_was_lost_between_two_statements_takes_another(
    database: str, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends the connection after an answer: those that go next are enqueued, and nobody is told."""
    # However slow the machine is: a lane beside it may have a line that is lost, too.
    monkeypatch.setattr(gather, "_SLOW_S", 3600.0)
    plain, lost = gather.Gathering._together, 0

    async def together(door: gather.Gathering, connection: Connection, batch: list[Any]) -> None:
        nonlocal lost
        await plain(door, connection, batch)
        if not lost:
            lost += 1
            await sql.fetch(TERMINATE)
            async with asyncio.timeout(10):
                while not is_lost(connection):  # noqa: ASYNC110 - the driver sets no event
                    await asyncio.sleep(0.001)

    async with await Store.connect(database, pool_min=1, pool_max=4) as store:
        door = gather.Gathering(store)
        monkeypatch.setattr(gather.Gathering, "_together", together)
        calls = [door.enqueue(NewJob("noop"), actor=None, strict=False) for _ in range(100)]
        async with asyncio.timeout(30):
            assert all(one.created for one in await asyncio.gather(*calls))
    assert lost == 1
