"""The queue snapshot: recovery that goes on from a copy of the live tables ends where the whole log does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest

from .machine_cases import CRASH

if TYPE_CHECKING:
    from uuid import UUID

    from tests.contract.conftest import Desk

ROWS = (
    "select 'ready' as place, to_jsonb(r) as row from jobledger.ready as r"
    " union all select 'waiting', to_jsonb(w) from jobledger.waiting as w"
    " union all select 'running', to_jsonb(r) from jobledger.running as r order by 2"
)
COPY = "select jobledger.copy_queue(0::smallint)"
# As if so many events had come.
EVENTS = "select setval('jobledger.position', (select last_value from jobledger.position) + $1)"


async def rows(desk: Desk) -> list[tuple[str, str]]:
    """Return every live row and the table where it lies."""
    return [(row["place"], row["row"]) for row in await desk.sql.fetch(ROWS)]


async def crash(desk: Desk) -> dict[str, Any]:
    """Lose what a crash of the server takes from unlogged tables, and open; returns what opening did."""
    await desk.sql.execute(CRASH)
    opened: dict[str, Any] = orjson.loads(await desk.sql.fetchval("select jobledger.open()"))
    assert opened["opened"]
    assert await desk.differences() == []
    return opened


async def in_every_place(desk: Desk) -> None:
    """Leave jobs in every place there is."""
    later = await desk.sql.fetchval("select jobledger.now() + interval '1 hour'")
    await desk.enqueue(owner="ada", unique_key="one", priority=7, meta={"a": 1})
    for _ in range(2):
        await desk.enqueue()
    jobs = await desk.claim(3)
    await desk.report(jobs[:1], "parked", {"reason": "rights", "needs": {}})
    await desk.report(jobs[1:2])
    await desk.enqueue(run_at=later, kill_at=later + timedelta(hours=1))
    await desk.enqueue(queue="held")
    await desk.enqueue(queue="late", tenant="acme")
    await desk.sql.fetch("select jobledger.pause(0::smallint, 'queue', 'held', null, null)")
    await desk.tick()


async def test_what_was_copied_comes_back_as_it_lay(desk: Desk) -> None:
    """Every place, with what is not in the log: a job that a pause holds back stays held."""
    await in_every_place(desk)
    before = await rows(desk)
    assert {place for place, _ in before} == {"ready", "waiting", "running"}
    assert any('"held"' in row and '"ready"' in row for _, row in before)
    assert await desk.sql.fetchval(COPY)
    opened = await crash(desk)
    assert (opened["copied"], opened["rows"]) == (len(before), len(before))
    assert await rows(desk) == before


async def test_what_came_after_the_copy_is_folded(desk: Desk) -> None:
    """Finished since, claimed since, retried out of `finished` since, enqueued since: each is what its stream says."""
    finished, retried, claimed, untouched = [await desk.enqueue(priority=n) for n in range(4)]
    await desk.act("kill", [retried])
    assert await desk.sql.fetchval(COPY)
    job = (await desk.claim(1))[0]
    assert job.id == finished
    await desk.report([job])
    job = (await desk.claim(1))[0]
    assert job.id == claimed
    await desk.act("retry", [retried])
    enqueued = await desk.enqueue()
    opened = await crash(desk)
    assert (opened["copied"], opened["rows"]) == (1, 4)
    assert [await desk.state(one) for one in (finished, retried, claimed, untouched, enqueued)] == [
        *("succeeded", "ready", "running", "ready", "ready"),
    ]


async def test_a_transaction_that_was_open_while_it_copied_is_in_the_tail(desk: Desk, database: str) -> None:
    """Its events have positions below the copy's, and are not in it: enqueued and cancelled, committed after it."""
    cancelled = await desk.enqueue()
    other = await asyncpg.connect(database)
    slow = other.transaction()
    await slow.start()
    enqueued = await other.fetchval("select jobledger.enqueue('noop')")
    await other.fetch("select * from jobledger.act(0::smallint, 'cancel', null, $1, 'ada', 'no', '{}')", [cancelled])
    for _ in range(3):
        await desk.enqueue()
    assert await desk.sql.fetchval(COPY)
    await slow.commit()
    await other.close()
    opened = await crash(desk)
    assert (opened["copied"], opened["rows"]) == (3, 4)
    assert [await desk.state(one) for one in (enqueued, cancelled)] == ["ready", "cancelled"]


async def test_what_the_copying_transaction_appends_later_is_in_the_tail(desk: Desk, database: str) -> None:
    """Its own id may lie below the end of the snapshot, as if it were seen."""
    other = await asyncpg.connect(database)
    async with other.transaction():
        await other.execute("select pg_current_xact_id()")
        await desk.enqueue()
        assert await other.fetchval(COPY)
        await other.fetchval("select jobledger.enqueue('noop')")
    await other.close()
    opened = await crash(desk)
    assert (opened["copied"], opened["rows"]) == (1, 2)


async def test_a_row_that_was_repaired_since_does_not_come_back_wrong(desk: Desk) -> None:
    """A repair is no event of the job, so its stream has no tail: the store's own event tells."""
    job: UUID = await desk.enqueue()
    await desk.enqueue()
    await desk.sql.execute("update jobledger.ready set priority = -9 where id = $1", job)
    assert await desk.sql.fetchval(COPY)
    assert len(await desk.sql.fetch("select * from jobledger.repair(0::smallint, $1)", [job])) == 1
    assert (await crash(desk))["copied"] == 1


async def test_a_copy_that_is_not_finished_leaves_the_one_before(desk: Desk, database: str) -> None:
    """Its connection is ended in the middle; meanwhile nobody else copies, and nobody waits."""
    await desk.enqueue()
    assert await desk.sql.fetchval(COPY)
    await desk.enqueue()
    other = await asyncpg.connect(database)
    copying = other.transaction()
    await copying.start()
    assert await other.fetchval(COPY)
    assert not await desk.sql.fetchval(COPY)
    await desk.sql.fetchval("select pg_terminate_backend($1, 10000)", other.get_server_pid())
    opened = await crash(desk)
    assert (opened["copied"], opened["rows"]) == (1, 2)


@pytest.mark.parametrize(
    "spoilt",
    [
        "update jobledger.queue_snapshots set system_identifier = 1",
        "update jobledger.queue_snapshots set database = 1",
        "update jobledger.queue_snapshots set snapshot = '9223372036854775000:9223372036854775000:'",
        "delete from jobledger.queue_snapshot_rows where ctid = '(0,1)'",
        "select jobledger.close()",
    ],
    ids=["another cluster", "another database", "ids began anew", "a row is missing", "closed on purpose"],
)
async def test_a_copy_that_cannot_be_judged_is_not_used(desk: Desk, spoilt: str) -> None:
    """The whole log is folded, and the copy is thrown away."""
    for _ in range(3):
        await desk.enqueue()
    assert await desk.sql.fetchval(COPY)
    await desk.sql.execute(spoilt)
    opened = await crash(desk)
    assert (opened["copied"], opened["rows"]) == (0, 3)
    assert await desk.sql.fetchval("select count(*) from jobledger.queue_snapshots") == 0


async def test_nothing_is_copied_of_a_database_that_is_not_open(desk: Desk) -> None:
    """What lies in the live tables then is not the queue: the copy from before stays."""
    await desk.enqueue()
    assert await desk.sql.fetchval(COPY)
    await desk.sql.execute(CRASH)
    assert not await desk.sql.fetchval(COPY)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await desk.sql.fetchval("select jobledger.queue_snapshot()")
    assert refused.value.sqlstate == "JL501"
    assert (await crash(desk))["copied"] == 1


async def test_a_copy_is_due_after_so_many_events_and_only_of_unlogged_tables(desk: Desk) -> None:
    """200,000 events and more than twice the rows that were copied; a tick says so, and then no more."""
    await desk.sql.fetchval("select jobledger.persist(0::smallint, true)")
    await desk.enqueue()
    assert not (await desk.tick())["snapshot_due"]
    assert not await desk.sql.fetchval("select jobledger.queue_snapshot()")
    await desk.sql.fetchval(EVENTS, 200_000)
    assert (await desk.tick())["snapshot_due"]
    assert await desk.sql.fetchval("select jobledger.queue_snapshot()")
    assert not (await desk.tick())["snapshot_due"]
    await desk.sql.fetchval(EVENTS, 200_001)
    assert (await desk.tick())["snapshot_due"]
    await desk.sql.execute("update jobledger.queue_snapshots set rows = 100001")
    assert not (await desk.tick())["snapshot_due"]
    await desk.sql.fetchval("select jobledger.persist(0::smallint, false)")
    await desk.sql.fetchval(EVENTS, 900_000)
    assert not (await desk.tick())["snapshot_due"]
    assert await desk.sql.fetchval("select count(*) from jobledger.queue_snapshots") == 0


async def test_a_reader_of_the_copy_keeps_nobody_waiting(desk: Desk, database: str) -> None:
    """A dump under way holds the table: the copy is put off, and the old one stands."""
    await desk.enqueue()
    assert await desk.sql.fetchval(COPY)
    other = await asyncpg.connect(database)
    async with other.transaction():
        await other.execute("select from jobledger.queue_snapshot_rows")
        assert not await desk.sql.fetchval(COPY)
    await other.close()
    assert (await crash(desk))["copied"] == 1
