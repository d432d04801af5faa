"""Enqueuing through SQL: defaults, limits, keys, ids and partitions, one by one and in bulk, alone and in a crowd."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from tests.conftest import PG_BIN

from jobledger.embedded import Server
from jobledger.observations import BlockedByPrepared, observing
from jobledger.store.migrate import migrate
from jobledger.store.pool import Store
from jobledger.store.tick import tick

from .conftest import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jobledger.testing.clock import Clock

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
TABLES = ("events", "ready", "waiting", "running", "finished", "idempotency", "unique_keys", "streams")


def text(value: object) -> str:
    """Return a value as JSON text."""
    return orjson.dumps(value, default=str).decode()


# (what is asked for, the error it gets)
OUT_OF_LIMIT: list[tuple[dict[str, Any], str]] = [
    ({"kind": ""}, "JL101"),
    ({"kind": "a b"}, "JL101"),
    ({"kind": "x" * 129}, "JL101"),
    ({"queue": "-"}, "JL101"),
    ({"tenant": ""}, "JL102"),
    ({"tenant": "_other"}, "JL102"),
    ({"tenant": "a b"}, "JL102"),
    ({"tenant": "x" * 129}, "JL102"),
    ({"kind": "unknown", "strict": True}, "JL103"),
    ({"args": {"x": "y" * 262144}}, "JL105"),
    ({"meta": {"x": "y" * 16384}}, "JL105"),
    ({"trace": {"x": "y" * 16384}}, "JL105"),
    ({"backoff": {"x": "y" * 16384}}, "JL105"),
    ({"priority": 1001}, "JL101"),
    ({"timeout": 0}, "JL101"),
    ({"timeout": 604801}, "JL101"),
    ({"max_attempts": 0}, "JL101"),
    ({"owner": ""}, "JL101"),
    ({"key": "x" * 257}, "JL101"),
    ({"unique_key": ""}, "JL101"),
    ({"tags": ["x"] * 33}, "JL101"),
    ({"id": uuid4()}, "JL107"),
    ({"id": UUID("ffffffff-0000-7000-8000-000000000000")}, "JL107"),
]


class Way:
    """One of the two ways to enqueue: a single call, or a batch of one."""

    def __init__(self, desk: Desk, name: str) -> None:
        """Use the desk's connection."""
        self.desk = desk
        self.name = name

    async def enqueue(self, kind: str = "noop", strict: bool = False, **options: Any) -> UUID:
        """Enqueue one job."""
        if self.name == "single":
            return await self.desk.enqueue(kind, strict=strict, **options)
        item = text([{"kind": kind, **{name: value for name, value in options.items() if value is not None}}])
        id: UUID = await self.desk.sql.fetchval(  # noqa: A001 - the domain's word
            "select id from jobledger.enqueue_many($1, strict => $2)", item, strict
        )
        return id

    async def refused(self, **options: Any) -> asyncpg.PostgresError:
        """Enqueue what is refused, and see that nothing was written."""
        before = await counts(self.desk)
        with pytest.raises(asyncpg.PostgresError) as refused:
            await self.enqueue(**options)
        assert await counts(self.desk) == before
        return refused.value


@pytest.fixture(params=["single", "many"])
def way(request: pytest.FixtureRequest, desk: Desk) -> Way:
    """Give each way in turn."""
    return Way(desk, request.param)


@pytest.fixture
async def two_phase() -> AsyncIterator[tuple[Desk, Session]]:
    """Give a desk, and a session beside it, on a server of its own that allows prepared transactions."""
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    root = Path(tempfile.mkdtemp(prefix="jobledger-", dir=memory if os.access(memory, os.W_OK) else None))
    settings = {"fsync": "off", "max_prepared_transactions": "4"}
    server = Server(root / "pg", settings=settings, pg_bin=PG_BIN)
    try:
        await server.astart()
        dsn = server.dsn_for("postgres")
        other, sql = [await asyncpg.connect(dsn) for _ in range(2)]
        await migrate(sql)
        await sql.fetchval("select jobledger.open()")
        async with await Store.connect(dsn) as store:
            yield await Desk(store, sql).start(), other
        await other.close()
        await sql.close()
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


async def counts(desk: Desk) -> list[int]:
    """Return the number of rows in each table."""
    query = ", ".join(f"(select count(*) from jobledger.{table})" for table in TABLES)  # noqa: S608 - of the tables above
    row = await desk.sql.fetchrow(f"select {query}")
    assert row is not None
    return list(row.values())


async def job_of(desk: Desk, id: UUID) -> dict[str, Any]:  # noqa: A002 - the domain's word
    """Return what the row and the event of a new job say, without what differs from call to call."""
    row = await desk.sql.fetchrow(
        "select to_jsonb(j) - '{id,enqueued_at,run_at,kill_at}'::text[] as job,"
        " e.data - '{run_at,kill_at}'::text[] as data,"
        " extract(epoch from j.kill_at - j.run_at)::int as life, j.run_at - e.at as ahead"
        " from jobledger.jobs as j join jobledger.events as e on e.stream_id = j.id where j.id = $1",
        id,
    )
    assert row is not None
    ahead = row["ahead"].total_seconds()
    return {**orjson.loads(row["job"]), "data": orjson.loads(row["data"]), "life": row["life"], "ahead": round(ahead)}


@pytest.mark.parametrize("kind", ["unknown", "known", "own"])
async def test_a_usual_call_writes_what_one_that_states_the_defaults_writes(
    desk: Desk, clock: Clock, kind: str
) -> None:
    """Calls that state next to nothing are written without the steps that all others take: the rows are the same."""
    await clock.stand()
    run = desk.sql.fetchval
    await run("select jobledger.register_kind(0::smallint, 'known', 1, null, '{}', '{}')")
    defaults = '{"queue": "q", "max_attempts": 9, "timeout": 60, "kill_after": 600}'
    await run("select jobledger.register_kind(0::smallint, 'own', 1, null, '{}', $1)", defaults)
    own = {"queue": "q", "max_attempts": 9, "timeout": 60} if kind == "own" else {}
    stated = {"queue": "default", "max_attempts": 5, "timeout": 1800, "priority": 0, "actor": "somebody", **own}
    large = {"args": {"x": "y" * 40_000}}
    for content in ({}, {"args": {"n": 1}}, {"actor": "somebody"}, {"tenant": "_global"}, large):
        alone = await job_of(desk, await desk.enqueue(kind, **content))
        assert await job_of(desk, await desk.enqueue(kind, **{**stated, **content})) == alone
    before = await job_of(desk, await desk.enqueue(kind))
    await run("select jobledger.set_limit(0::smallint, 'tenant', 'somebody-else', '{\"timeout\": 7}')")
    assert await job_of(desk, await desk.enqueue(kind)) == before


async def test_defaults_come_from_the_kind_the_queue_the_tenant_and_the_service(desk: Desk, clock: Clock) -> None:
    """The nearest one that says something wins, and both ways write the very same rows and events."""
    # Both ways at one moment: how far ahead a date lies is compared.
    await clock.stand()
    run = desk.sql.fetchval
    defaults = '{"queue": "q", "max_attempts": 9, "kill_after": 600}'
    await run("select jobledger.register_kind(0::smallint, 'k', 1, null, '{alias}', $1)", defaults)
    for scope, name, limit in (
        ("service", "", {"timeout": 11, "max_attempts": 2}),
        ("tenant", "t", {"timeout": 22, "kill_after": 700}),
        ("queue", "q", {"timeout": 33}),
        ("kind", "k", {"max_attempts": 7}),
        ("kind", "loose", {"kill_after": 800}),
    ):
        await run("select jobledger.set_limit(0::smallint, $1, $2, $3)", scope, name, text(limit))
    later = await run("select jobledger.now() + interval '1 hour'")
    expected: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"kind": "noop"}, {"queue": "default", "max_attempts": 2, "life": None}),
        ({"kind": "noop", "tenant": "t"}, {"max_attempts": 2, "life": 700}),
        ({"kind": "k"}, {"queue": "q", "max_attempts": 7, "life": 600}),
        ({"kind": "k", "queue": "z", "max_attempts": 1, "timeout": 5}, {"queue": "z", "max_attempts": 1, "life": 600}),
        ({"kind": "loose", "tenant": "t"}, {"life": 800}),
        ({"kind": "noop", "run_at": later}, {"life": 604800, "state": "scheduled"}),
        ({"kind": "noop", "priority": -5, "owner": "ada", "tags": ["x"], "meta": {"m": None}, "trace": {"t": 1}}, {}),
    ]
    timeouts = [11, 22, 33, 5, 22, 11, 11]
    for (options, facts), timeout in zip(expected, timeouts, strict=True):
        made = [await job_of(desk, await Way(desk, name).enqueue(**options)) for name in ("single", "many")]
        assert made[0] == made[1]
        assert facts.items() <= made[0].items()
        assert made[0]["data"]["timeout"] == timeout


async def test_what_is_out_of_its_limit_gets_its_name_and_writes_nothing(way: Way) -> None:
    """Singly and in bulk the same error; the value itself is never echoed."""
    for options, sqlstate in OUT_OF_LIMIT:
        error = await way.refused(**options)
        assert error.sqlstate == sqlstate, options
        said = f"{error} {getattr(error, 'detail', '')} {getattr(error, 'hint', '')}"
        values = [str(value) for value in options.values() if isinstance(value, str | UUID)]
        assert not [value for value in values if len(value) > 7 and value in said]
        assert "yyyy" not in said
        if way.name == "many":
            assert orjson.loads(getattr(error, "detail", "")) == {"items": [0]}


async def test_a_payload_that_lies_compressed_in_a_table_has_its_limit(desk: Desk) -> None:
    """A limit counts the bytes of the JSON, not those that the server has kept it in."""
    before = await counts(desk)
    await desk.sql.execute("create temporary table docs (doc jsonb)")
    await desk.sql.execute("insert into docs values ($1)", text({"x": "y" * 262144}))
    for call in ("'noop', doc", "'noop', doc, priority => 1", "'noop', meta => doc"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await desk.sql.execute(f"select jobledger.enqueue({call}) from docs")  # noqa: S608 - of the calls above
        assert refused.value.sqlstate == "JL105", call
    assert await counts(desk) == before


async def test_dates_have_their_limits(way: Way) -> None:
    """24 hours back and 100 years ahead for run_at; a kill date after both now and run_at."""
    now = await way.desk.sql.fetchval("select jobledger.now()")
    for options, sqlstate in (
        ({"run_at": now - timedelta(hours=25)}, "JL106"),
        ({"run_at": now + timedelta(days=36600)}, "JL101"),
        ({"kill_at": now - timedelta(seconds=1)}, "JL101"),
        ({"run_at": now + timedelta(hours=2), "kill_at": now + timedelta(hours=1)}, "JL101"),
        ({"kill_at": now + timedelta(days=73200)}, "JL101"),
    ):
        assert (await way.refused(**options)).sqlstate == sqlstate
    ready = await way.enqueue(run_at=now - timedelta(hours=23))
    assert await way.desk.state(ready) == "ready"


async def test_all_or_nothing_and_every_offender_is_named(desk: Desk) -> None:
    """One bad item refuses the batch; the detail names all of them by their ordinals."""
    before = await counts(desk)
    items = [{"kind": "noop", "key": "a"}, {"kind": ""}, {"kind": "noop"}, {"kind": "noop", "priority": 5000}]
    with pytest.raises(asyncpg.PostgresError) as refused:
        await desk.sql.fetch("select * from jobledger.enqueue_many($1)", text(items))
    assert orjson.loads(getattr(refused.value, "detail", "")) == {"items": [1, 3]}
    assert await counts(desk) == before


async def test_a_key_enqueues_once_and_not_with_other_content(way: Way) -> None:
    """The first one's id comes back; other content under the same key is an error; another tenant's key is another."""
    first = await way.enqueue(args={"x": 1}, key="k", owner="ada")
    assert await way.enqueue(args={"x": 1}, key="k", owner="ada") == first
    for other in (
        {"args": {"x": 2}, "owner": "ada"},
        {"args": {"x": 1}},
        {"args": {"x": 1}, "owner": "ada", "queue": "q"},
    ):
        assert (await way.refused(key="k", **other)).sqlstate == "JL202"
    assert await way.enqueue(args={"x": 1}, key="k", owner="ada", tenant="t") != first


async def test_a_key_and_an_id_of_the_callers_own_may_be_repeated_together(way: Way) -> None:
    """A call that is sent again with the same key and id gets the first answer, not `id taken`."""
    own = await way.desk.sql.fetchval("select jobledger.new_id()")
    assert await way.enqueue(id=own, key="k") == own
    assert await way.enqueue(id=own, key="k") == own
    assert (await way.refused(id=own)).sqlstate == "JL201"


async def test_an_expired_key_is_replaced(way: Way, clock: Clock) -> None:
    """A day later the key is free again, whether or not a tick has swept it."""
    first = await way.enqueue(key="k")
    await clock.advance(hours=23)
    assert await way.enqueue(key="k") == first
    await clock.advance(hours=2)
    second = await way.enqueue(key="k", args={"other": 1})
    assert second != first
    assert await way.enqueue(key="k", args={"other": 1}) == second


async def test_keys_repeated_within_a_batch_make_one_job(desk: Desk) -> None:
    """The first of them is created, the others point to it; with other content the batch is refused."""
    items: list[dict[str, Any]] = [{"kind": "noop", "key": "k"}, {"kind": "noop"}, {"kind": "noop", "key": "k"}]
    rows = await desk.sql.fetch("select * from jobledger.enqueue_many($1)", text(items))
    assert [row["created"] for row in rows] == [True, True, False]
    assert rows[0]["id"] == rows[2]["id"] != rows[1]["id"]
    before = await counts(desk)
    cases: list[tuple[list[dict[str, Any]], str, list[int]]] = [
        ([{"kind": "noop", "key": "n"}, {"kind": "noop", "key": "n", "args": {"x": 1}}], "JL202", [1]),
        ([{"kind": "noop", "unique_key": "u"}, {"kind": "noop", "unique_key": "u"}], "JL203", [1]),
        ([{"kind": "noop", "id": str(rows[0]["id"])}], "JL201", [0]),
    ]
    for batch, sqlstate, named in cases:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await desk.sql.fetch("select * from jobledger.enqueue_many($1)", text(batch))
        assert refused.value.sqlstate == sqlstate
        assert orjson.loads(getattr(refused.value, "detail", "")) == {"items": named}
        assert await counts(desk) == before
    same = str(await desk.sql.fetchval("select jobledger.new_id()"))
    with pytest.raises(asyncpg.PostgresError) as refused:
        await desk.sql.fetch("select * from jobledger.enqueue_many($1)", text([{"kind": "noop", "id": same}] * 2))
    assert (refused.value.sqlstate, getattr(refused.value, "detail", "")) == ("JL201", '{"items": [0, 1]}')


async def test_callers_racing_with_one_key_get_one_job(way: Way, database: str, store: Store) -> None:
    """The loser waits for the winner's commit and gets its id; when the winner rolls back it is the loser's job."""
    others = [await asyncpg.connect(database) for _ in range(6)]
    ways = [Way(Desk(store, other), way.name) for other in others]
    for round_ in range(5):
        ids = await asyncio.gather(*(each.enqueue(key=f"k{round_}") for each in ways))
        assert len(set(ids)) == 1
    winner = others[0].transaction()
    await winner.start()
    gone = await ways[0].enqueue(key="last")
    loser = asyncio.create_task(ways[1].enqueue(key="last"))
    async with asyncio.timeout(10):
        while not await others[2].fetchval("select exists (select from pg_locks where not granted)"):
            pass
    await winner.rollback()
    assert await loser != gone
    for other in others:
        await other.close()


async def test_a_unique_key_is_free_again_when_its_job_ends(way: Way) -> None:
    """One open job a key and tenant, in whatever state; its end by report or by act frees the key."""
    desk = way.desk
    for end in ("report", "cancel"):
        job = await way.enqueue(unique_key="u")
        error = await way.refused(unique_key="u")
        assert error.sqlstate == "JL203"
        taken = await desk.claim()
        assert (await way.refused(unique_key="u")).sqlstate == "JL203"
        if end == "report":
            await desk.report(taken, "failed", {"final": True})
        else:
            await desk.report(taken, "parked")
            await desk.act("cancel", [job])
    assert await desk.sql.fetchval("select count(*) from jobledger.unique_keys") == 0


async def test_an_id_must_be_near_the_clock_and_in_a_partition(way: Way, clock: Clock) -> None:
    """One hour back, five minutes ahead; outside the log's partitions it is a named error."""
    now = await clock.stand()
    make = "select jobledger.new_id($1::timestamptz)"
    for offset in (timedelta(minutes=-59), timedelta(minutes=4)):
        own = await way.desk.sql.fetchval(make, now + offset)
        assert await way.enqueue(id=own) == own
    for offset in (timedelta(minutes=-61), timedelta(minutes=6)):
        own = await way.desk.sql.fetchval(make, now + offset)
        assert (await way.refused(id=own)).sqlstate == "JL107"
    await clock.advance(days=400)
    assert (await way.refused()).sqlstate == "JL108"
    own = await way.desk.sql.fetchval(make, now + timedelta(days=400))
    assert (await way.refused(id=own)).sqlstate == "JL108"
    await way.desk.sql.fetchval("select jobledger.partitions_ensure()")
    assert await way.enqueue(id=own) == own


async def test_an_id_near_the_turn_of_a_month_finds_its_partition(desk: Desk, clock: Clock) -> None:
    """The first and the last millisecond of a month lie in its partition, whatever the session's time zone."""
    await desk.sql.execute("set timezone = 'Pacific/Kiritimati'")
    first = await desk.sql.fetchval("select date_trunc('month', now(), 'UTC') + interval '1 month'")
    for moment in (first - timedelta(milliseconds=1), first):
        await clock.stand(moment)
        await desk.start()
        id = await desk.enqueue()  # noqa: A001 - the domain's word
        name = await desk.sql.fetchval("select tableoid::regclass::text from jobledger.events where stream_id = $1", id)
        expected = await desk.sql.fetchval("select to_char($1::timestamptz at time zone 'UTC', 'YYYY_MM')", moment)
        assert name == f"jobledger.events_{expected}"


async def test_global_jobs_need_a_right_of_their_own(desk: Desk, database: str) -> None:
    """Who may enqueue for a tenant may not enqueue for `_global`, until that is granted too."""
    role = f"global_{uuid4().hex[:12]}"
    await desk.sql.execute(f"create role {role} login in role jobledger_producer")
    try:
        await desk.sql.execute("insert into jobledger.grants values ($1, 't')", role)
        own = await asyncpg.connect(database, user=role)
        await own.fetchval("select jobledger.enqueue('noop', tenant => 't')")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await own.fetchval("select jobledger.enqueue('noop', tenant => '_global')")
        assert refused.value.sqlstate == "JL400"
        await desk.sql.execute("insert into jobledger.grants values ($1, '_global')", role)
        await own.fetchval("select jobledger.enqueue('noop', tenant => '_global')")
        await own.close()
    finally:
        await desk.sql.execute(f"drop role {role}")


async def test_a_repeatable_read_caller_may_see_a_collision(way: Way, database: str) -> None:
    """A key that was taken after its snapshot is 40001 there, to be tried again; without one all is as ever."""
    other = await asyncpg.connect(database)
    async with way.desk.sql.transaction(isolation="repeatable_read"):
        await way.desk.sql.fetchval("select 1 from jobledger.kinds limit 1")
        await other.fetchval("select jobledger.enqueue('noop', key => 'k')")
        with pytest.raises(asyncpg.SerializationError):
            async with way.desk.sql.transaction():
                await way.enqueue(key="k")
        await way.enqueue()
    await other.close()
    assert await way.desk.sql.fetchval("select count(*) from jobledger.ready") == 2


async def test_a_prepared_transaction_holds_its_jobs_back(two_phase: tuple[Desk, Session]) -> None:
    """Two-phase commit: nothing is seen until COMMIT PREPARED, then the job is claimed behind the key, once."""
    desk, other = two_phase
    await other.execute("begin")
    job = await other.fetchval("select jobledger.enqueue('noop', key => 'k')")
    await other.execute("prepare transaction 'held'")
    await desk.fill(3)
    assert len(await desk.claim()) == 3
    await other.execute("commit prepared 'held'")
    assert [taken.id for _ in range(5) for taken in await desk.claim()] == [job]
    assert await desk.enqueue(key="k") == job
    assert await desk.differences() == []


OVERDUE = {
    "kill date": "update jobledger.running set kill_at = now() - interval '1 hour' where id = $1",
    "time-out": "update jobledger.running set timeout_at = now() - interval '1 hour' where id = $1",
    "lease": "update jobledger.workers as w set lease_until = now() - interval '1 hour', stopped_at = now()"
    " from jobledger.running as r where r.worker = w.id and r.id = $1",
}


async def test_a_tick_tells_of_jobs_that_a_prepared_transaction_holds(two_phase: tuple[Desk, Session]) -> None:
    """A report in a prepared transaction is wrong: the job can neither be killed nor ended nor rescued meanwhile."""
    desk, other = two_phase
    for overdue in OVERDUE.values():
        await desk.fill(1)
        [held] = await desk.claim()
        await desk.sql.execute(overdue, held.id)
        await other.execute("begin")
        await other.execute("select from jobledger.running where id = $1 for update", held.id)
        await other.execute("prepare transaction 'held'")
        with observing(BlockedByPrepared) as told:
            for _ in range(3):
                assert not (await tick(desk.sql, 0)).found_work
        assert [one.job for one in told] == [held.id]
        await other.execute("rollback prepared 'held'")
        assert await desk.sql.fetchval("select jobledger.blocked(0::smallint, now())") == "[]"
        done = await tick(desk.sql, 0)
        assert done.killed + done.timed_out + done.rescued == 1


async def test_sixty_four_partitions_are_no_hindrance(desk: Desk) -> None:
    """With years of partitions attached, jobs go in, run and end, and one of them reads one partition."""
    for month in range(1, 62):
        await desk.sql.fetchval("select jobledger.partition_add(now() - make_interval(months => $1))", month)
    count = await desk.sql.fetchval("select count(*) from pg_inherits where inhparent = 'jobledger.events'::regclass")
    assert count >= 64
    await desk.fill(50)
    taken = await desk.claim(50)
    assert len(taken) == 50
    assert {verdict for verdict, _, _ in await desk.report(taken)} == {"accepted"}
    plan = await desk.sql.fetch("explain select * from jobledger.events where stream_id = $1", taken[0].id)
    assert sum("Scan" in row[0] for row in plan) <= 2


async def test_versions_are_dense_under_concurrent_writers(desk: Desk, store: Store, database: str) -> None:
    """Control streams and jobs that many write to at once have the versions 1..n, each once."""
    jobs = [await desk.enqueue() for _ in range(5)]

    async def write(number: int) -> None:
        connection = await asyncpg.connect(database)
        own = Desk(store, connection)
        calls: list[Callable[[], Any]] = [
            lambda: own.act("reprioritise", jobs, priority=number),
            lambda: own.act("move", jobs, queue=f"q{number}"),
            lambda: connection.fetchval("select jobledger.pause(0::smallint, 'queue', 'shared')"),
            lambda: connection.fetchval("select jobledger.resume(0::smallint, 'queue', 'shared')"),
            lambda: connection.fetchval("select jobledger.set_limit(0::smallint, 'tenant', 't', '{\"timeout\": 5}')"),
            lambda: connection.fetchval("select jobledger.register_kind(0::smallint, 'k', $1, null)", number),
        ]
        for _ in range(5):
            for call in calls:
                await call()
        await connection.close()

    await asyncio.gather(*(write(number) for number in range(1, 7)))
    rows = await desk.sql.fetch(
        "select min(version) as low, max(version) as high, count(*) as n from jobledger.events group by stream_id"
    )
    assert all(row["low"] == 1 and row["high"] == row["n"] for row in rows)
    heads = await desk.sql.fetch("select id, head from jobledger.ready order by id")
    assert [(row["id"], row["head"]) for row in heads] == [(job, 61) for job in jobs]


async def test_who_prepares_a_transaction_says_that_it_sends_no_hint(two_phase: tuple[Desk, Session]) -> None:
    """NOTIFY cannot be prepared: refused while a worker waits for the job, unless the session says `off`."""
    desk, other = two_phase
    for number, (waits, setting) in enumerate([(False, None), (True, "off"), (True, None)]):
        assert await desk.sql.fetchval("select jobledger.worker_idle(0::smallint, $1, $2)", desk.worker, waits) is waits
        await other.execute("begin")
        if setting is not None:
            await other.execute(f"set local jobledger.notify = '{setting}'")
        await other.execute("select jobledger.enqueue('noop')")
        if setting is None and waits:
            with pytest.raises(asyncpg.FeatureNotSupportedError, match="PREPARE"):
                await other.execute(f"prepare transaction 'held {number}'")
        else:
            await other.execute(f"prepare transaction 'held {number}'")
            await other.execute(f"commit prepared 'held {number}'")
    assert len(await desk.claim()) == 2
