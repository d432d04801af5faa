"""How tenants do: what is open, what it waits for, how long things took, each with as of when it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from tests.contract.conftest import Desk
from tests.order.stress import seal_all
from tests.order.test_epochs import moved_elsewhere

from jobledger.errors import InvalidArgument, InvalidTenant
from jobledger.jobs.client import Client
from jobledger.order import projections as register
from jobledger.order.counts import counts_as_of
from jobledger.order.projections import built_in
from jobledger.order.runner import Runner
from jobledger.store.pool import Store
from jobledger.store.recovery import open_store
from jobledger.store.tenants import tenant_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.store.tenants import TenantStatus
    from jobledger.testing.clock import Clock

MANY = """
select * from jobledger.enqueue_many((select jsonb_agg(jsonb_build_object('kind', 'noop', 'tenant', $2::text,
  'priority', n % 3, 'run_at', jobledger.now() + case when n % 10 = 0 then n else 0 end * interval '1 second'))
  from generate_series(1, $1) as n))
"""
EXACT = """
select state::text as state, queue, kind, count(*) as jobs from jobledger.jobs where tenant = $1 and finished_at is null
group by 1, 2, 3
"""
KEPT = """
select (select max(minute) - min(minute) from jobledger_tenants.minutes) as minutes,
  (select count(*) from jobledger_tenants.hours) as hours, (select count(*) from jobledger_tenants.slices) as slices
"""
ALL = "select tenant, state::text as state, count(*) as jobs from jobledger.jobs group by 1, 2"
SAME = """
select
  (select jsonb_agg(x order by x) from (select tenant, queue, kind, state, count from {0}.levels where count <> 0) as x)
  ::text as levels,
  (select jsonb_agg(x order by x) from (select * from {0}.minutes) as x)::text as minutes,
  (select jsonb_agg(x order by x) from (select tenant, run_at, sum(delta) as n from {0}.delayed group by 1, 2) as x)
    ::text as delayed
"""


@pytest.fixture
async def desk(store: Store, clock: Clock) -> AsyncIterator[Desk]:
    """Give a worker's desk, under a clock that stands."""
    await clock.stand((await clock.now()).replace(second=0, microsecond=0))
    async with store.connection() as connection:
        yield await Desk(store, connection).start(["noop", "send"], lease_s=3000)  # type: ignore[arg-type]


async def counted(store: Store) -> None:
    """Seal what there is, and let the projection count it."""
    async with store.connection() as connection:
        await seal_all(connection)
    await Runner(store, built_in()).settle()


async def status(store: Store, tenant: str, **period: Any) -> TenantStatus:
    """Return how a tenant does."""
    return await Client(store).tenant(tenant, token=True, **period)


def of(found: TenantStatus) -> dict[tuple[str, str, str], int]:
    """Return the counts of open jobs."""
    return {(one.state, one.queue, one.kind): one.jobs for one in found.open.counts}


async def test_a_tenant_is_told_what_is_open_what_it_waits_for_and_how_long_things_took(
    store: Store, desk: Desk, clock: Clock
) -> None:
    """Live figures of every state, reasons and pauses; outcomes and times of the period within the stated error."""
    since = await clock.now()
    empty = await status(store, "acme")
    assert (empty.open.jobs, empty.open.source, empty.open.oldest_ready, empty.history) == (0, "live", None, None)
    for _ in range(20):
        await desk.enqueue("noop", tenant="acme")
    first = await clock.now()
    await clock.advance(seconds=10)
    jobs = await desk.claim(20)
    await clock.advance(seconds=3)
    assert {verdict for verdict, _, _ in await desk.report(jobs[:17])} == {"accepted"}
    await clock.advance(seconds=7)
    await desk.report(jobs[17:18], "failed", {"error": {"type": "E", "message": "m"}, "final": True})
    await desk.report(jobs[18:19], "parked", {"reason": "a key is missing"})
    for options in ({"queue": "mail"}, {"run_at": await clock.now() + timedelta(hours=1)}, {"kind": "send"}):
        await desk.enqueue(**{"kind": "noop", "tenant": "acme", **options})  # type: ignore[arg-type]
    await desk.enqueue("noop", tenant="other")
    await desk.sql.fetch("select jobledger.pause(0::smallint, 'queue', 'mail', 'ada', 'mail server is down')")
    await desk.tick()
    await counted(store)
    await clock.advance(seconds=1)
    found = await status(store, "acme", since=since)
    assert of(found) == {
        ("scheduled", "default", "noop"): 1,
        ("ready", "default", "send"): 1,
        ("ready", "mail", "noop"): 1,
        ("running", "default", "noop"): 1,
        ("parked", "default", "noop"): 1,
    }
    assert found.open.by_state == {"scheduled": 1, "ready": 2, "running": 1, "parked": 1}
    assert found.open.oldest_ready == first + timedelta(seconds=20)
    assert found.open.as_of == found.at == await clock.now()
    assert {(w.state, w.reason, w.jobs) for w in found.open.waits} == {
        ("ready", "queue_paused", 1),
        ("parked", "a key is missing", 1),
    }
    assert [(p.scope, p.name, p.reason) for p in found.open.paused] == [("queue", "mail", "mail server is down")]
    history = found.history
    assert history is not None
    assert history.outcomes == {"succeeded": 17, "failed": 1}
    events = {(e.event, e.state): e.count for e in history.events if (e.queue, e.kind) == ("default", "noop")}
    assert events == {
        ("enqueued", "ready"): 21,
        ("claimed", "running"): 20,
        ("succeeded", "succeeded"): 17,
        ("failed", "failed"): 1,
        ("parked", "parked"): 1,
    }
    for measure, count, half, most in (("wait", 20, 10.0, 10.0), ("run", 19, 3.0, 10.0), ("age", 18, 13.0, 20.0)):
        took = history.took(measure)  # type: ignore[arg-type]
        assert took is not None
        assert took.count == count
        assert took.p50 == pytest.approx(half, rel=0.092)
        assert took.p95 == took.p99 == pytest.approx(most, rel=0.092)
    assert history.as_of <= found.at
    assert (await status(store, "acme", since=since - timedelta(hours=2), until=since)).history.outcomes == {}  # type: ignore[union-attr]
    nobody = await status(store, "nobody")
    assert (nobody.open.jobs, nobody.history.events, nobody.history.times) == (0, (), ())  # type: ignore[union-attr]
    assert [(t.tenant, t.ready, t.succeeded) for t in await Client(store).tenants()] == [
        ("acme", 3, 17),
        ("other", 1, 0),
    ]
    assert [t.tenant for t in await Client(store).tenants(after="acme", limit=1)] == ["other"]


async def test_counts_by_token_are_what_the_live_answer_said(store: Store, desk: Desk, clock: Clock) -> None:
    """Asked again by token after the jobs have gone on, before and after they were counted, it is the same."""
    answers = []
    for _ in range(3):
        for n in range(4):
            await desk.enqueue("noop", tenant="acme", run_at=await clock.now() + timedelta(seconds=n * 20))
        answers.append(await status(store, "acme"))
        await clock.advance(seconds=35)
        await desk.tick()
        await desk.report((await desk.claim(3))[:2])
        answers.append(await status(store, "acme"))
        await counted(store)
    for found in answers:
        assert found.token is not None
        past = await Client(store).counts(found.token, tenant="acme")
        assert {(c.state, c.queue, c.kind): c.jobs for c in past.counts if c.state != "succeeded"} == of(found)
        assert past.as_of.at == found.at
    with pytest.raises(InvalidArgument):
        await Client(store).counts(str(answers[0].token), tenant="other")
    by_time = await Client(store).counts(await clock.now())
    assert {c.tenant for c in by_time.counts} == {"acme"}
    assert sum(c.jobs for c in by_time.counts) == 12


async def test_a_tenant_with_very_many_open_jobs_is_told_what_was_counted(
    store: Store, desk: Desk, clock: Clock
) -> None:
    """Beyond 5,000 the counts are those of the projection, as of its own moment, equal to the live ones here."""
    oldest = await clock.now()
    await desk.enqueue("noop", tenant="acme", priority=2)
    await clock.advance(seconds=1)
    await desk.sql.fetch(MANY, 5_100, "acme")
    await counted(store)
    assert (await status(store, "acme")).open.oldest_ready == oldest
    await clock.advance(seconds=95)
    await desk.sql.fetch("select jobledger.pause(0::smallint, 'tenant', 'acme', 'ada', 'why')")
    await desk.tick()
    found = await status(store, "acme")
    assert (found.open.source, found.open.oldest_ready, found.token) == ("counted", oldest, None)
    assert found.open.as_of < found.at
    assert of(found) == {(r["state"], r["queue"], r["kind"]): r["jobs"] for r in await desk.sql.fetch(EXACT, "acme")}
    assert found.open.by_state == {"ready": 4_600, "scheduled": 501}
    assert [p.scope for p in found.open.paused] == ["tenant"]
    assert [(w.state, w.reason) for w in found.open.waits] == [("ready", "tenant_paused")]


async def test_rebuilt_from_the_log_the_counts_are_the_same(store: Store, desk: Desk, clock: Clock) -> None:
    """A shadow that is folded anew, in other batches, holds the same levels, minutes and delays."""
    for n in range(6):
        await desk.enqueue("noop", tenant="acme", run_at=await clock.now() + timedelta(seconds=30 * n))
        jobs = await desk.claim(1)
        await desk.report(jobs, "failed", {"error": {"type": "E", "message": "m"}})
        await clock.advance(seconds=20)
        await desk.tick()
        await counted(store)
    waiting = [id_ for id_ in await _ids(desk) if await desk.state(id_) in {"ready", "scheduled"}]
    await desk.act("move", waiting[:2], queue="mail")
    await desk.act("reschedule", waiting[2:3], run_at=(await clock.now() + timedelta(days=2)).isoformat())
    await desk.act("cancel", waiting[3:4])
    await counted(store)
    before = await desk.sql.fetchrow(SAME.format("jobledger_tenants"))
    async with store.connection() as connection:
        await register.begin(connection, 0, "tenants", None, shadow=True)
    await Runner(store, built_in()).settle()
    [standing] = [one for one in await register.standings(desk.sql, 0) if one.name == "tenants"]
    assert (standing.shadow, standing.state) == (False, "running")
    assert before == await desk.sql.fetchrow(SAME.format("jobledger_tenants"))
    live = {(r["state"], r["queue"]): r["jobs"] for r in await desk.sql.fetch(EXACT, "acme")}
    past = await counts_as_of(desk.sql, 0, await clock.now(), tenant="acme")
    assert {(c.state, c.queue): c.jobs for c in past.counts if c.state not in {"cancelled", "failed"}} == live


async def _ids(desk: Desk) -> list[Any]:
    return [row["id"] for row in await desk.sql.fetch("select id from jobledger.jobs order by id")]


async def test_where_a_job_was_moved_to_is_forgotten_with_its_partition(store: Store, desk: Desk, clock: Clock) -> None:
    """Not while retention may still give the partition back, nor that of a job whose partition is there."""
    old, young = await clock.now(), await clock.now() + timedelta(days=3)
    for at in (old, young):
        await clock.set(at)
        await desk.act("move", [await desk.enqueue("noop", tenant="acme")], queue="mail")
    retired = "insert into jobledger.retired (name, begun_at, lower, upper, shard) values ('p', $1, $2, $3, 0)"
    ids = [await desk.sql.fetchval("select jobledger.first_id_at($1)", at) for at in (old, young)]
    await desk.sql.execute(retired, young, *ids)
    left = []
    for sql in ("select", "update jobledger.retired set dropped_at = jobledger.now()"):
        await desk.sql.execute(sql)
        for _ in range(2):
            await clock.advance(hours=2)
            await desk.enqueue("noop", tenant="acme")
            await counted(store)
        left.append(await desk.sql.fetchval("select count(*) from jobledger_tenants.moved"))
    assert left == [2, 1]


async def test_minutes_become_hours_and_old_levels_go_without_changing_an_answer(
    store: Store, desk: Desk, clock: Clock, database: str
) -> None:
    """Folded into hours the outcomes are the same, and counts of any moment are, before the cut and after it."""
    name = await desk.sql.fetchval("select current_database()")
    await desk.sql.execute(f"alter database {name} set jobledger.minutes_kept = '1 hour'")
    await desk.sql.execute(f"alter database {name} set jobledger.levels_kept = '30 minutes'")
    began = await clock.now()
    expected = {}
    await desk.enqueue("noop", tenant="still", run_at=began + timedelta(days=1))
    async with await Store.connect(database) as other:
        for hour in range(9):
            await desk.start(lease_s=3000)
            await desk.tick()
            for _ in range(3):
                await desk.enqueue("noop", tenant="acme", run_at=await clock.now() + timedelta(minutes=50))
            jobs = await desk.claim(2)
            await desk.report(jobs[:1])
            await clock.advance(minutes=30)
            await counted(other)
            if hour in {1, 4, 7}:
                past = await counts_as_of(desk.sql, 0, await clock.now())
                assert sorted((c.tenant, c.state, c.jobs) for c in past.counts) == sorted(
                    tuple(row) for row in await desk.sql.fetch(ALL)
                )
                expected[await clock.now()] = past.counts
    history = (await status(store, "acme", since=began)).history
    assert history is not None
    assert sum(e.count for e in history.events if e.event == "enqueued") == 27
    done = await desk.sql.fetchval("select count(*) from jobledger.finished where state = 'succeeded'")
    assert (history.outcomes, done > 5) == ({"succeeded": done}, True)
    kept = await desk.sql.fetchrow(KEPT)
    assert kept is not None
    assert (kept["minutes"] < timedelta(hours=2, minutes=1), kept["hours"] > 0, kept["slices"]) == (True, True, 2)
    for at, counts in expected.items():
        assert (await counts_as_of(desk.sql, 0, at)).counts == counts


async def test_hours_go_when_their_time_is_over(desk: Desk, clock: Clock, database: str) -> None:
    """What happened longer ago than hours are kept is counted no more; the rest stays."""
    name = await desk.sql.fetchval("select current_database()")
    await desk.sql.execute(f"alter database {name} set jobledger.minutes_kept = '1 hour'")
    await desk.sql.execute(f"alter database {name} set jobledger.hours_kept = '4 hours'")
    async with await Store.connect(database) as other:
        for _ in range(8):
            await desk.enqueue("noop", tenant="acme")
            await clock.advance(hours=1)
            await counted(other)
    hours = [row["minute"] for row in await desk.sql.fetch("select distinct minute from jobledger_tenants.hours")]
    assert 1 < len(hours) < 7
    assert min(hours) >= await clock.now() - timedelta(hours=6)


async def test_counts_go_on_where_transaction_ids_begin_anew(store: Store, desk: Desk, clock: Clock) -> None:
    """Answers of an earlier epoch, and those of the new one before and after it was counted, are the same by token."""
    answers = []
    for epoch in (1, 2):
        for _ in range(3):
            await desk.enqueue("noop", tenant="acme", run_at=await clock.now() + timedelta(seconds=40))
            await desk.report(await desk.claim(1))
            answers.append(await status(store, "acme"))
            await clock.advance(seconds=45)
            await desk.tick()
            if len(answers) != 4:
                await counted(store)
        await desk.enqueue("noop", tenant="acme")
        if epoch == 1:
            await moved_elsewhere(desk.sql)
            await open_store(store)
            await desk.start(lease_s=3000)
    assert len({found.token for found in answers}) == 6
    for found in answers:
        past = await Client(store).counts(str(found.token), tenant="acme")
        assert {(c.state, c.queue, c.kind): c.jobs for c in past.counts if c.state != "succeeded"} == of(found)


async def test_a_tenants_status_tells_nothing_of_its_neighbours(
    store: Store, desk: Desk, clock: Clock, database: str
) -> None:
    """The answer to a role of one tenant is the same beside a silent and beside a busy neighbour, existing or not."""
    await desk.sql.execute(
        "do $$ begin if not exists (select from pg_roles where rolname = 'status_reader') then"
        " create role status_reader login; end if; end $$"
    )
    await desk.sql.execute("grant jobledger_reader to status_reader")
    await desk.sql.execute("insert into jobledger.grants (role, tenant) values ('status_reader', 'acme')")
    await desk.enqueue("noop", tenant="acme")
    await desk.report(await desk.claim(1))
    await desk.enqueue("noop", tenant="acme", run_at=await clock.now() + timedelta(days=1))
    await counted(store)
    await clock.advance(minutes=1)

    async def seen() -> list[str]:
        connection = await asyncpg.connect(database)
        try:
            await connection.execute("set role status_reader")
            told = [await tenant_status(connection, 0, name) for name in ("acme", "busy", "nobody")]
            views = [
                [tuple(row) for row in await connection.fetch(f"select * from jobledger_tenants.{name}")]  # noqa: S608
                for name in ("outcomes", "durations", "levels")
            ]
            listed = await connection.fetch("select * from jobledger.tenants(0::smallint)")
            with pytest.raises(asyncpg.PostgresError, match="is everybody's"):
                await connection.fetch("select * from jobledger.counts_as_of(0::smallint, 'acme', null)")
            return [repr(told[0]), repr(views), repr(listed), repr(told[1]), repr(told[2]).replace("nobody", "busy")]
        finally:
            await connection.close()

    silent = await seen()
    assert silent[3] == silent[4]
    await desk.sql.fetch(MANY, 50, "busy")
    await desk.report(await desk.claim(20))
    await counted(store)
    assert await seen() == silent


async def test_bad_questions_about_a_tenant_are_refused(store: Store) -> None:
    """A name that is none, a period that ends before it begins or is too long, a time without a zone."""
    client = Client(store)
    now = datetime.now(UTC)
    with pytest.raises(InvalidTenant):
        await client.tenant("no such name")
    for period in (
        {"since": now, "until": now},
        {"since": now - timedelta(days=400)},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is the point
        {"since": datetime(1, 1, 1, tzinfo=UTC)},
    ):
        with pytest.raises(InvalidArgument):
            await client.tenant("acme", **period)  # type: ignore[arg-type]
    for limit in (0, 1001, True):
        with pytest.raises(InvalidArgument):
            await client.tenants(limit=limit)
