"""Repair, rebuild and opening: what was done to the tables behind the store's back is found and mended."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest

from jobledger.errors import NotOpen
from jobledger.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tests.contract.conftest import Desk

    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

LOCKED = "select exists (select from pg_locks where not granted)"
ROWS = (
    "select to_jsonb(r) from jobledger.ready as r union all select to_jsonb(w) from jobledger.waiting as w"
    " union all select to_jsonb(r) from jobledger.running as r"
    " union all select to_jsonb(f) from jobledger.finished as f"
)
# What is done behind the store's back, to one row $1, and where the row lies.
DAMAGE = {
    "ready deleted": "delete from jobledger.ready where id = $1",
    "ready doubled in waiting": (
        "insert into jobledger.waiting select r.*, 'scheduled', null, r.run_at from jobledger.ready as r where id = $1"
    ),
    "ready doubled in finished": (
        "insert into jobledger.finished select id, now(), head, 'succeeded', shard, priority, attempt, max_attempts,"
        " tenant, queue, kind, owner from jobledger.ready where id = $1"
    ),
    "ready of another tenant": "update jobledger.ready set tenant = 'thief' where id = $1",
    "ready with another priority": "update jobledger.ready set priority = -9 where id = $1",
    "ready with another head": "update jobledger.ready set head = 7 where id = $1",
    "ready with another date": "update jobledger.ready set run_at = run_at - interval '1 day' where id = $1",
    "ready with another owner": "update jobledger.ready set owner = null, unique_key = owner where id = $1",
    "waiting deleted": "delete from jobledger.waiting where id = $1",
    "waiting that never wakes": "update jobledger.waiting set wake_at = null where id = $1",
    "waiting held by nothing": "update jobledger.waiting set state = 'ready', wake_at = null where id = $1",
    "waiting that was parked": "update jobledger.waiting set state = 'parked', wake_at = null where id = $1",
    "running deleted": "delete from jobledger.running where id = $1",
    "running doubled in ready": (
        "insert into jobledger.ready select id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts,"
        " releases, tenant, queue, kind, owner, unique_key from jobledger.running where id = $1"
    ),
    "running under another claim": "update jobledger.running set claim = 1 where id = $1",
    "running by another worker": "update jobledger.running set worker = gen_random_uuid() where id = $1",
    "running for ever": "update jobledger.running set timeout_at = 'infinity' where id = $1",
    "finished deleted": "delete from jobledger.finished where id = $1",
    "finished otherwise": "update jobledger.finished set state = 'killed' where id = $1",
    "finished at another time": "update jobledger.finished set finished_at = now() + interval '1 day' where id = $1",
}


async def damaged(desk: Desk) -> dict[str, UUID]:
    """Make a job for each table."""
    jobs: dict[str, UUID] = {}
    for place in ("finished", "running"):
        jobs[place] = await desk.enqueue()
        taken = await desk.claim()
        if place == "finished":
            await desk.report(taken)
    later = await desk.sql.fetchval("select jobledger.now() + interval '1 hour'")
    jobs["waiting"] = await desk.enqueue(run_at=later)
    jobs["ready"] = await desk.enqueue(owner="ada", max_attempts=3)
    return jobs


async def repair(desk: Desk, ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """Repair these jobs."""
    return await desk.sql.fetch("select * from jobledger.repair(0::smallint, $1)", list(ids))


async def rows(desk: Desk) -> list[dict[str, Any]]:
    """Return every row of the live tables and of `finished`."""
    found = [orjson.loads(row[0]) for row in await desk.sql.fetch(ROWS)]
    return sorted(found, key=lambda row: str(row["id"]))


async def test_every_damage_is_found_and_mended(desk: Desk) -> None:
    """Rows deleted, doubled or altered in each table: compare names the job, and repair makes the row what it was."""
    jobs = await damaged(desk)
    whole = await rows(desk)
    for name, damage in DAMAGE.items():
        job = jobs[name.split()[0]]
        assert await desk.sql.execute(damage, job) != "UPDATE 0", name
        assert {row["job"] for row in await desk.differences()} == {job}, name
        assert {row["job"] for row in await repair(desk, list(jobs.values()))} == {job}, name
        assert await rows(desk) == whole, name
        assert await repair(desk, list(jobs.values())) == [], name
    told = await desk.sql.fetchval(
        "select count(distinct data ->> 'job') from jobledger.events where type = 'store.mismatch_repaired'"
    )
    assert told == len(jobs)


async def test_unique_keys_are_compared_and_mended(desk: Desk) -> None:
    """A key that a finished job still holds is freed; one that an open job has lost is its own again."""
    finished = await desk.enqueue(unique_key="one")
    await desk.report(await desk.claim())
    jobs = [await desk.enqueue(unique_key="two"), await desk.enqueue(unique_key="three")]
    held = "insert into jobledger.unique_keys (id, shard, tenant, key) values ($1, 0, 'default', 'one')"
    for damage, wrong in (
        ([(held, finished)], {(finished, "unique key of a finished job", None)}),
        ([("delete from jobledger.unique_keys where id = $1", jobs[0])], {(jobs[0], None, "unique key")}),
    ):
        for statement, job in damage:
            await desk.sql.execute(statement, job)
        assert {tuple(row) for row in await desk.differences()} == wrong
        assert {tuple(row) for row in await repair(desk, [finished, *jobs])} == wrong
        assert await desk.differences() == []
        found = await desk.sql.fetch("select id, key from jobledger.unique_keys order by key")
        assert [tuple(row) for row in found] == [(jobs[1], "three"), (jobs[0], "two")]
        assert await repair(desk, [finished, *jobs]) == []


async def test_unique_keys_that_no_job_ever_had_are_taken_away(desk: Desk) -> None:
    """Of a stream that says another key, of another tenant's, of no stream at all; the key is then free."""
    job, nobody = await desk.enqueue(unique_key="own"), new_id()
    for id_, tenant, key in ((job, "default", "other"), (job, "else", "own"), (nobody, "default", "lost")):
        await desk.sql.execute("insert into jobledger.unique_keys values ($1, 0, $2, $3)", id_, tenant, key)
    stray = [(id_, "unique key that is not its own", None) for id_ in (job, job, nobody)]
    assert sorted(map(tuple, await desk.differences()), key=str) == sorted(stray, key=str)
    assert sorted(map(tuple, await repair(desk, [job, nobody])), key=str) == sorted(stray, key=str)
    assert await desk.differences() == []
    await desk.enqueue(unique_key="lost")


async def test_two_open_jobs_of_one_unique_key_are_told(desk: Desk) -> None:
    """Which is to go is a person's to say: nothing is changed, and when one is gone the other gets the key."""
    first = await desk.enqueue(unique_key="one")
    await desk.sql.execute("delete from jobledger.unique_keys where id = $1", first)
    second = await desk.enqueue(unique_key="one")
    told = [(first, "unique key that another job holds", "unique key")]
    for _ in range(2):
        assert list(map(tuple, await desk.differences())) == told
        assert await repair(desk, [first, second]) == []
    assert await desk.act("cancel", [second]) == ["done"]
    assert list(map(tuple, await repair(desk, [first]))) == [(first, None, "unique key")]
    assert await desk.differences() == []


async def test_the_holder_of_a_key_that_ended_gives_it_to_the_open_job(desk: Desk) -> None:
    """Both in one repair, whichever is named first."""
    finished = await desk.enqueue(unique_key="one")
    await desk.report(await desk.claim())
    job = await desk.enqueue(unique_key="one")
    await desk.sql.execute("update jobledger.unique_keys set id = $1", finished)
    wrong = {
        (finished, "unique key of a finished job", None),
        (job, "unique key that another job holds", "unique key"),
    }
    assert set(map(tuple, await desk.differences())) == wrong
    assert set(map(tuple, await repair(desk, [job, finished]))) == wrong
    assert await desk.differences() == []


async def test_a_row_without_any_event_is_taken_away(desk: Desk) -> None:
    """What the log knows nothing of is no job."""
    job = await desk.enqueue()
    stray = await desk.sql.fetchval("update jobledger.ready set id = jobledger.new_id() returning id")
    assert {row["job"] for row in await desk.differences()} == {job, stray}
    await repair(desk, [job, stray])
    assert [row["id"] for row in await rows(desk)] == [str(job)]


async def test_repair_wants_to_look_anew_at_each_step(desk: Desk) -> None:
    """Under REPEATABLE READ it could not see what went on meanwhile: refused."""
    async with desk.sql.transaction(isolation="repeatable_read"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            async with desk.sql.transaction():
                await repair(desk, [])
    assert refused.value.sqlstate == "JL101"


async def test_a_job_being_claimed_is_not_brought_back(desk: Desk, database: str) -> None:
    """A repair that meets an open claim waits, and gives way after its lock time-out; the claim stands."""
    job = await desk.enqueue()
    other = await asyncpg.connect(database)
    claim = other.transaction()
    await claim.start()
    await other.fetch("select * from jobledger.claim_job(0::smallint, $1, 1, $2, array['noop'])", desk.worker, job)
    with pytest.raises(asyncpg.LockNotAvailableError):
        await repair(desk, [job])
    await claim.commit()
    await other.close()
    assert await repair(desk, [job]) == []
    assert await desk.state(job) == "running"


async def test_a_repair_that_comes_late_takes_back_what_it_put(desk: Desk, database: str) -> None:
    """A repair waits for a row that another transaction puts back; by the time it goes on the job runs.

    Step by step: the row is gone; a transaction puts it back, as an opening does, and stays open; the repair waits for
    that very row; the job is claimed, and all that commits. The repair finds the place free and the stream gone on.
    """
    job = await desk.enqueue()
    await desk.sql.execute("delete from jobledger.ready where id = $1", job)
    # Else it would give way after 200 ms, which may be over before all that is done.
    await desk.sql.execute("alter function jobledger.repair set lock_timeout = '1min'")
    first, second, watch = [await asyncpg.connect(database) for _ in range(3)]
    opening = first.transaction()
    await opening.start()
    await first.execute("select jobledger.place(jobledger.folded_job(0::smallint, $1))", job)
    late = asyncio.create_task(second.fetch("select * from jobledger.repair(0::smallint, array[$1::uuid])", job))
    async with asyncio.timeout(10):
        while not await watch.fetchval(LOCKED):
            pass
    await first.fetch("select * from jobledger.claim_job(0::smallint, $1, 1, $2, array['noop'])", desk.worker, job)
    await opening.commit()
    await late
    found = await rows(desk)
    for connection in (first, second, watch):
        await connection.close()
    assert [(row["id"], row["head"]) for row in found] == [(str(job), 2)]


async def test_repairs_under_full_load_bring_nothing_back(desk: Desk, store: Store, database: str) -> None:
    """Rows vanish and two repairers mend while workers claim and report: nothing runs twice, nothing is lost."""
    await desk.fill(300)
    ids = [row["id"] for row in await desk.sql.fetch("select id from jobledger.jobs")]
    accepted: list[UUID] = []
    over = asyncio.Event()

    async def work() -> None:
        connection = await asyncpg.connect(database)
        own = await type(desk)(store, connection).start(lease_s=3600)
        while len(accepted) < len(ids):
            for job in await own.claim(10):
                said = await own.report([job])
                accepted.extend([job.id] if said[0][0] == "accepted" else [])
        await connection.close()

    async def mend(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - which rows vanish
        connection = await asyncpg.connect(database)
        while not over.is_set():
            lost = chance.sample(ids, 20)
            if chance.random() < 0.5:
                await connection.execute(
                    "delete from jobledger.ready where ctid = any (array(select ctid from jobledger.ready"
                    " where id = any ($1) limit 3 for update skip locked))",
                    lost,
                )
            try:
                await connection.fetch("select * from jobledger.repair(0::smallint, $1)", lost)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                continue
        await connection.close()

    menders = [asyncio.create_task(mend(seed)) for seed in range(2)]
    await asyncio.gather(work(), work())
    over.set()
    await asyncio.gather(*menders)
    await repair(desk, ids)
    assert sorted(accepted) == sorted(ids)
    assert {row["state"] for row in await rows(desk)} == {"succeeded"}


@pytest.mark.parametrize("projection", ["queue", "status"])
async def test_a_rebuild_under_enqueues_gives_the_same_tables(desk: Desk, database: str, projection: str) -> None:
    """The deliberate rebuild while others enqueue: what lay there before lies there again, and nothing new is lost."""
    jobs = await damaged(desk)
    whole = {row["id"]: row for row in await rows(desk)}
    added: list[UUID] = []
    over = asyncio.Event()

    async def enqueue() -> None:
        connection = await asyncpg.connect(database)
        while not over.is_set():
            added.append(await connection.fetchval("select jobledger.enqueue('noop')"))
        await connection.close()

    busy = [asyncio.create_task(enqueue()) for _ in range(3)]
    rebuilt = 0
    while rebuilt < 5:
        await desk.sql.execute("select jobledger.close()")
        try:
            await desk.sql.fetchval("select jobledger.rebuild(0::smallint, $1)", projection)
            rebuilt += 1
        except asyncpg.LockNotAvailableError:
            continue
    over.set()
    await asyncio.gather(*busy)
    assert await desk.differences() == []
    now = {row["id"]: row for row in await rows(desk)}
    assert now.keys() == {str(job) for job in (*jobs.values(), *added)}
    assert {id: now[id] for id in whole} == whole  # noqa: A001 - the domain's word


async def test_open_after_close_brings_back_what_the_log_says(desk: Desk) -> None:
    """Rows lost, rows that a dump carried along, all is made anew; running jobs keep their claim."""
    jobs = await damaged(desk)
    whole = await rows(desk)
    await desk.sql.execute("select jobledger.close()")
    await desk.sql.execute("delete from jobledger.running")
    await desk.sql.execute("update jobledger.ready set id = jobledger.new_id()")
    opened = orjson.loads(await desk.sql.fetchval("select jobledger.open()"))
    assert opened == {"opened": True, "rows": 3, "copied": 0}
    assert await rows(desk) == whole
    assert await desk.state(jobs["running"]) == "running"
    again = orjson.loads(await desk.sql.fetchval("select jobledger.open()"))
    assert again == {"opened": False, "rows": 0, "copied": 0}


@pytest.mark.parametrize("change", ["system_identifier = system_identifier + 1", "timeline = '000000FF'"])
async def test_another_server_or_timeline_is_not_open(desk: Desk, change: str) -> None:
    """A restored or promoted database refuses everything but enqueue until it is opened."""
    await desk.enqueue()
    await desk.sql.execute(f"update jobledger.live set {change}")  # noqa: S608 - one of the two above
    assert not await desk.sql.fetchval("select jobledger.is_open()")
    with pytest.raises(NotOpen):
        await desk.claim()
    for call in (
        "jobledger.tick()",
        "jobledger.heartbeat(0::smallint, gen_random_uuid(), 1, 0, '{}')",
        (
            "jobledger.report(0::smallint, gen_random_uuid(), array[gen_random_uuid()], array[1], array['succeeded'],"
            " array[null::jsonb])"
        ),
        "jobledger.act(0::smallint, 'kill', null, array[gen_random_uuid()], null, null)",
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await desk.sql.fetch(f"select * from {call}")  # noqa: S608 - one of the four above
        assert refused.value.sqlstate == "JL501"
    await desk.enqueue()
    await desk.sql.fetchval("select jobledger.open()")
    assert len(await desk.claim()) == 2


async def test_of_two_openers_one_does_the_work(desk: Desk, database: str) -> None:
    """They meet at a lock, and the second finds it done."""
    await desk.fill(500)
    await desk.sql.execute("select jobledger.close()")
    openers = [await asyncpg.connect(database) for _ in range(4)]
    said = await asyncio.gather(*(opener.fetchval("select jobledger.open()") for opener in openers))
    for opener in openers:
        await opener.close()
    assert sorted(orjson.loads(answer)["opened"] for answer in said) == [False, False, False, True]
    assert await desk.sql.fetchval("select count(*) from jobledger.ready") == 500


async def test_enqueues_while_it_opens_are_neither_lost_nor_doubled(desk: Desk, database: str) -> None:
    """Enqueue never asks whether the database is open; what commits before, during and after an opening lies once."""
    over = asyncio.Event()
    added: list[UUID] = []

    async def enqueue() -> None:
        connection = await asyncpg.connect(database)
        while not over.is_set():
            added.append(await connection.fetchval("select jobledger.enqueue('noop')"))
        await connection.close()

    busy = [asyncio.create_task(enqueue()) for _ in range(3)]
    for _ in range(10):
        await desk.sql.execute("select jobledger.close()")
        await desk.sql.fetchval("select jobledger.open()")
    over.set()
    await asyncio.gather(*busy)
    assert {row["id"] for row in await rows(desk)} == {str(job) for job in added}


async def test_a_tick_under_way_while_it_opens_doubles_nothing(desk: Desk, database: str, clock: Clock) -> None:
    """A tick that had begun before the closing moves a due job to another table; the opening waits for it."""
    job = await desk.enqueue(run_at=await clock.now() + timedelta(minutes=1))
    await clock.advance(minutes=2)
    ticker, opener = await asyncpg.connect(database), await asyncpg.connect(database)
    ticking = ticker.transaction()
    await ticking.start()
    assert orjson.loads(await ticker.fetchval("select jobledger.tick()"))["promoted"] == 1
    await desk.sql.execute("select jobledger.close()")
    opening = asyncio.create_task(opener.fetchval("select jobledger.open()"))
    async with asyncio.timeout(10):
        while not await desk.sql.fetchval(LOCKED):  # noqa: ASYNC110 - looks into the database, which sets no event
            await asyncio.sleep(0.01)
    await ticking.commit()
    await opening
    await ticker.close()
    await opener.close()
    assert [row["id"] for row in await rows(desk)] == [str(job)]


async def test_a_rebuilt_status_does_not_open_over_empty_live_tables(desk: Desk) -> None:
    """After a crash the unlogged live tables are empty: who rebuilds `status` first has the queue made anew, too."""
    job = await desk.enqueue()
    await desk.sql.execute("select jobledger.close()")
    await desk.sql.execute("truncate jobledger.running, jobledger.ready, jobledger.waiting")
    await desk.sql.fetchval("select jobledger.rebuild(0::smallint, 'status')")
    assert [row["id"] for row in await rows(desk)] == [str(job)]
