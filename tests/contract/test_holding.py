"""What is paused leaves the lanes and comes back, in batches whose cost does not grow with the pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from tests.contract.conftest import Desk

    from jobledger.store.pool import Connection

_HOLD = "select jobledger.hold(0::smallint, jobledger.now(), $1)"
_UNHOLD = "select jobledger.unhold(0::smallint, jobledger.now(), $1)"
PATIENT = """
do $$ begin
  execute replace(pg_get_functiondef('jobledger.hold'::regproc), '8 milliseconds', '10 minutes');
end $$
"""


async def fill_paused(desk: Desk, tenants: int, each: int) -> None:
    """Let each of so many paused tenants have so many jobs waiting."""
    jobs = [{"kind": "noop", "tenant": f"p{at % tenants:05}"} for at in range(tenants * each)]
    await desk.sql.fetch("select * from jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())
    await desk.sql.execute(
        "select jobledger.pause(0::smallint, 'tenant', tenant) from (select distinct tenant from jobledger.ready) as r"
    )


async def buffers(desk: Desk, statement: str) -> int:
    """Return how many buffers a statement read."""
    plan = orjson.loads(await desk.sql.fetchval(f"explain (analyze, buffers, format json) {statement}"))[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_the_jobs_of_many_paused_tenants_leave_in_full_batches(desk: Desk) -> None:
    """While there is much to hold each call moves about as many as it may, not those of a few tenants."""
    await fill_paused(desk, 2000, 1)
    # However slow the machine is: what a call does in its 8 ms is not looked at here.
    await desk.sql.execute(PATIENT)
    moved = [await desk.sql.fetchval(_HOLD, 400) for _ in range(8)]
    assert max(moved) <= 400
    # Where among the pauses each call begins is drawn: 1,500 to 1,900 of the 2,000, and 512 at a slice a call.
    assert sum(moved) >= 1100
    while await desk.sql.fetchval("select exists (select from jobledger.ready)"):
        await desk.sql.fetchval(_HOLD, 200)
    assert await desk.sql.fetchval("select count(*) from jobledger.waiting where reason = 'tenant_paused'") == 2000


async def test_pauses_with_nothing_to_hold_cost_little_however_many(desk: Desk) -> None:
    """A call over 3,000 pauses looks up three slices of them, not all."""
    await fill_paused(desk, 3000, 1)
    await desk.sql.execute("update jobledger.limits set changed_at = now() - interval '1 hour'")
    while await desk.sql.fetchval("select exists (select from jobledger.ready)"):
        await desk.sql.fetchval(_HOLD, 1000)
    await desk.sql.execute("vacuum jobledger.ready, jobledger.waiting, jobledger.limits")
    await desk.sql.execute("set enable_seqscan = off")
    for statement in (_HOLD, _UNHOLD):
        reads = [await buffers(desk, statement.replace("$1", "1000")) for _ in range(8)]
        assert sorted(reads)[4] < 1500


async def test_what_was_held_comes_back_the_most_urgent_first(desk: Desk) -> None:
    """After a resume each batch brings what goes before all that is still held, by priority and time."""
    jobs = [{"kind": "noop", "tenant": "t", "priority": at * 7 % 5 - 2} for at in range(300)]
    await desk.sql.fetch("select * from jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())
    await desk.sql.fetchval("select jobledger.pause(0::smallint, 'tenant', 't')")
    while await desk.sql.fetchval(_HOLD, 35):
        pass
    await desk.sql.fetchval("select jobledger.resume(0::smallint, 'tenant', 't')")
    for turn in range(1, 5):
        assert await desk.sql.fetchval(_UNHOLD, 75) == 75
        row = await desk.sql.fetchrow(
            "select (select count(*) from jobledger.ready) as back, count(*) as before from jobledger.waiting as w"
            " where (w.priority, w.run_at, w.id) < (select r.priority, r.run_at, r.id from jobledger.ready as r"
            " order by r.priority desc, r.run_at desc, r.id desc limit 1)"
        )
        assert row is not None
        assert tuple(row.values()) == (75 * turn, 0)


async def test_tenants_resumed_among_thousands_of_pauses_come_back_within_ticks(desk: Desk) -> None:
    """More limits than a call looks through each time: a hundred tenants let go at once are all back soon."""
    await fill_paused(desk, 1000, 2)
    while await desk.sql.fetchval("select exists (select from jobledger.ready)"):
        await desk.sql.fetchval(_HOLD, 1000)
    await desk.sql.execute(
        "select jobledger.resume(0::smallint, 'tenant', 'p' || lpad((g * 10)::text, 5, '0'))"
        " from generate_series(0, 99) g"
    )
    calls = 0
    while await desk.sql.fetchval("select count(*) from jobledger.ready") < 200:
        calls += 1
        assert calls < 200
        await desk.sql.fetchval(_UNHOLD, 400)
    held = "select count(*) from jobledger.waiting where reason = 'tenant_paused'"
    assert await desk.sql.fetchval(held) == 1800


async def test_what_something_else_holds_only_gets_another_reason(desk: Desk) -> None:
    """A tenant is resumed while its queue is paused: its jobs stay, for the queue's sake, until that is resumed too."""
    await desk.fill(20, "t")
    await desk.sql.fetchval("select jobledger.pause(0::smallint, 'tenant', 't')")
    assert await desk.sql.fetchval(_HOLD, 100) == 20
    await desk.sql.fetchval("select jobledger.pause(0::smallint, 'queue', 'default')")
    await desk.sql.fetchval("select jobledger.resume(0::smallint, 'tenant', 't')")
    assert await desk.sql.fetchval(_UNHOLD, 100) == 20
    reasons = "select array_agg(distinct reason) from jobledger.waiting"
    assert await desk.sql.fetchval(reasons) == ["queue_paused"]
    await desk.sql.fetchval("select jobledger.resume(0::smallint, 'queue', 'default')")
    assert await desk.sql.fetchval(_UNHOLD, 100) == 20
    assert len(await desk.claim(20)) == 20


async def test_a_claim_looks_at_a_window_of_paused_tenants_at_most(desk: Desk) -> None:
    """2,000 paused tenants lie before those that are served: full claims go on, and read few blocks for them."""
    await fill_paused(desk, 2000, 1)
    await desk.fill(3000, "t1")
    await desk.fill(3000, "t2")
    # A claim that a stall of the machine ends while it passes them by goes on with the next.
    while not await desk.claim(500):
        pass
    await desk.claim(500)
    async with desk.store.connection() as connection:
        for _ in range(4):
            before = await looked_up(desk, connection)
            desk.call += 1
            assert len(await desk.claimer.claim(500, {}, desk.call, connection)) == 500
            assert 64 <= await looked_up(desk, connection) - before < 3 * 64


async def looked_up(desk: Desk, connection: Connection) -> int:
    """Return how many times the limits' indexes were used so far, what this connection did included."""
    # Also what filled the tables: its session would tell of that whenever a second has passed.
    for session in (connection, desk.sql):
        await session.execute("select pg_stat_force_next_flush()")
        await session.fetchval("select 1")
    await desk.sql.execute("select pg_stat_clear_snapshot()")
    count: int = await desk.sql.fetchval(
        "select coalesce(sum(idx_scan), 0)::int from pg_stat_all_indexes where schemaname = 'jobledger'"
        " and relname = 'limits'"
    )
    return count
