"""Verifying finds whatever was changed past the functions, names it, and finds nothing in a log that nobody touched."""
# ruff: noqa: S608 - the statements are put together from what stands here

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from tests.contract.conftest import Desk

from jobledger import Client
from jobledger.errors import Forbidden, NotOpen
from jobledger.order import audit, audit_pages
from jobledger.order.audit import verify
from jobledger.order.log import seal
from jobledger.order.retention import drop_partitions
from jobledger.store.pool import Store

from .stress import seal_all
from .test_retention import KEEP, finished_jobs, later

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.testing.clock import Clock

    Sql = asyncpg.Connection[asyncpg.Record]

TABLES = (
    *("events", "blocks", "ready", "waiting", "running", "finished"),
    *("unique_keys", "idempotency", "streams", "workers", "kinds", "limits"),
)
OF = "stream_id = (select id from jobledger.finished where state = 'succeeded')"
CORRUPTIONS = {
    "a row of a finished job is changed": (
        "update jobledger.finished set attempt = attempt + 1 where state = 'failed'",
        {"row_differs"},
    ),
    "a row of an open job is changed": ("update jobledger.ready set head = head + 1", {"row_differs"}),
    "a running job's claim is another": ("update jobledger.running set claim = 1", {"row_differs"}),
    "a kill date is moved": ("update jobledger.waiting set kill_at = now() where state = 'parked'", {"row_differs"}),
    "a scheduled job would never be woken": (
        "update jobledger.waiting set wake_at = null where state = 'scheduled'",
        {"row_differs"},
    ),
    "a row is gone": ("delete from jobledger.running", {"row_missing"}),
    "a job lies in two tables": (
        (
            "insert into jobledger.finished select id, now(), head, 'failed', shard, priority, attempt, max_attempts,"
            " tenant, queue, kind, owner from jobledger.ready"
        ),
        {"row_doubled"},
    ),
    "an event in the middle is gone": (
        f"delete from jobledger.events where {OF} and version = 2",
        {"stream_broken", "block_count"},
    ),
    "the last event is gone": (
        f"delete from jobledger.events where {OF} and version = 3",
        {"row_differs", "block_count"},
    ),
    "a whole stream is gone": (f"delete from jobledger.events where {OF}", {"row_without_stream", "block_count"}),
    "an event is changed": (
        f"update jobledger.events set attempt = 7 where {OF} and version = 2",
        {"stream_broken"},
    ),
    "an event's data are no more what they were": (
        f"update jobledger.events set data = '[]' where {OF} and version = 1",
        {"stream_broken"},
    ),
    "two events change places": (
        (
            f"update jobledger.events set position = case version when 2 then (select position from jobledger.events"
            f" where {OF} and version = 3) else (select position from jobledger.events where {OF} and version = 2) end"
            f" where {OF} and version in (2, 3)"
        ),
        {"position_inverted"},
    ),
    "two events have one position": (
        (
            f"update jobledger.events set position = (select position from jobledger.events where {OF} and version = 2)"
            " where type = 'worker.started'"
        ),
        {"position_repeated", "sealed_twice"},
    ),
    "a block is there twice": (
        (
            "insert into jobledger.blocks select (jsonb_populate_record(b, jsonb_build_object('block', b.block + 1))).*"
            " from jobledger.blocks as b order by b.block desc limit 1"
        ),
        {"block_out_of_order", "sealed_twice"},
    ),
    "a block is gone": (
        "delete from jobledger.blocks where block = 2",
        {"block_out_of_order", "never_sealed"},
    ),
    "a block takes in less": (
        "update jobledger.blocks set last_position = last_position - 1 where block = 1",
        {"block_count", "never_sealed"},
    ),
    "an open job's unique key is free": ("delete from jobledger.unique_keys", {"key_differs"}),
    "a unique key is another's": (
        "update jobledger.unique_keys set id = (select id from jobledger.finished limit 1)",
        {"key_differs"},
    ),
    "an idempotency key is another's": (
        "update jobledger.idempotency set id = (select id from jobledger.finished limit 1)",
        {"key_differs"},
    ),
    "a control stream's head is another": ("update jobledger.streams set head = head + 1", {"head_differs"}),
    "a limit's head is another": ("update jobledger.limits set head = head + 1", {"head_differs"}),
    "a control stream is nobody's": ("delete from jobledger.limits", {"stream_unknown"}),
    "a worker's head is another": ("update jobledger.workers set head = head + 1", {"head_differs"}),
    "a view hides what it should show": (
        (
            "create or replace view jobledger.dead_letter as select f.shard, f.id, f.tenant, f.queue, f.kind,"
            " f.attempt, f.max_attempts, f.owner, f.finished_at, f.head, null::text as event, null::text as error_type,"
            " null::text as error_message, null::text as error_class from jobledger.finished as f where false"
        ),
        {"view_differs"},
    ),
}


@pytest.fixture
async def sql(database: str) -> AsyncIterator[Sql]:
    """Give one connection of the test's own database."""
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again without waiting: here nothing mends itself."""
    monkeypatch.setattr(audit, "BETWEEN_LOOKS_S", 0.0)


async def _jobs_in_every_state(store: Store, sql: Sql) -> None:
    """Make some, in blocks of their own, with keys, a late report, a pause and a default."""
    desk = await Desk(store, sql).start()
    for outcome in ("succeeded", "failed", "parked", None):
        await desk.enqueue(tenant="acme")
        held = await desk.claim()
        if outcome is not None:
            data = {"error": {"type": "E", "class": "permanent"}, "final": True} if outcome == "failed" else None
            await desk.report(held, outcome, data)
            await desk.report(held, outcome, data)
        await seal(sql, 0)
    await desk.act("cancel", [await desk.enqueue()])
    await desk.enqueue(key="k", unique_key="u")
    await sql.execute("select jobledger.enqueue('noop', run_at => now() + interval '1 day')")
    await sql.execute("select jobledger.pause(0::smallint, 'queue', 'q', 'ada', 'why')")
    await sql.execute(
        "select jobledger.append_control(0::smallint, '_global', 'store', 'x', 'store.rebuilt', now(), null,"
        ' \'{"projection": "status", "rows": 1}\')'
    )
    while (await seal(sql, 0)).block is not None:
        pass


async def _spoilt(sql: Sql, statement: str) -> None:
    """Change what no function would change: as a superuser, with the triggers off."""
    await sql.execute(f"set session_replication_role = replica; {statement}; reset session_replication_role")


async def test_whatever_is_changed_past_the_functions_is_found_and_named(store: Store, sql: Sql) -> None:
    """Rows, events, positions, blocks, keys, heads, views, each by itself; nothing where nothing was changed."""
    await _jobs_in_every_state(store, sql)
    kept = "".join(f"create table public.{name} as table jobledger.{name};" for name in TABLES)
    back = "".join(f"delete from jobledger.{t}; insert into jobledger.{t} table public.{t};" for t in TABLES)
    await sql.execute(kept)
    sound = await verify(store)
    assert sound.faults == []
    assert (sound.sealed, sound.unsealed, sound.jobs) == (sound.events, 0, 7)
    for name, (statement, codes) in CORRUPTIONS.items():
        await _spoilt(sql, statement)
        found = await verify(store)
        assert codes == {one.code for one in found.faults}, (name, [str(one) for one in found.faults])
        await _spoilt(sql, back)


async def test_only_what_is_asked_for_is_looked_at(store: Store, sql: Sql) -> None:
    """A changed row is none of the order's business; a doubled block is none of the fold's."""
    await _jobs_in_every_state(store, sql)
    await _spoilt(sql, CORRUPTIONS["a row of an open job is changed"][0])
    assert (await verify(store, fold=False)).sound
    assert not (await verify(store, order=False)).sound
    await sql.execute("update jobledger.ready set head = head - 1")
    await _spoilt(sql, CORRUPTIONS["a block is there twice"][0])
    assert (await verify(store, order=False)).sound
    assert not (await verify(store, fold=False)).sound


def _stopped_halfway(_what: str, done: int, _whole: int) -> None:
    if done > 500:
        raise ArithmeticError


async def test_pages_cut_no_stream(store: Store, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a page: streams longer than one, those that end with one, what lies beyond the last."""
    await _jobs_in_every_state(store, sql)
    whole = await verify(store)
    for page in (1, 2, 3, 5, whole.events - 1, whole.events):
        monkeypatch.setattr(audit_pages, "EVENTS_PAGE", page)
        monkeypatch.setattr(audit, "KEYS_PAGE", page)
        seen = await verify(store)
        assert (seen.events, seen.streams, seen.faults) == (whole.events, whole.streams, []), page
    await sql.execute("delete from jobledger.running")
    monkeypatch.setattr(audit_pages, "EVENTS_PAGE", 1)
    with pytest.raises(ArithmeticError):
        await asyncio.wait_for(verify(store, progress=_stopped_halfway), 20)
    assert [one.code for one in (await verify(store)).faults] == ["row_missing"]


async def test_who_may_not_see_all_may_not_verify_and_what_is_closed_is_not_verified(store: Store, sql: Sql) -> None:
    """The log as a whole is everybody's; without live tables there is nothing to compare it with, but its order."""
    await sql.execute("delete from jobledger.live")
    with pytest.raises(NotOpen):
        await verify(store)
    assert (await verify(store, fold=False)).sound
    await sql.execute("select jobledger.open()")
    name = f"bound_{uuid4().hex[:12]}"
    await sql.execute(f"create role {name} in role jobledger_operator")
    async with store.connection() as bound:
        await bound.execute(f"set role {name}")
        try:
            for fold, order in ((True, True), (True, False), (False, True)):
                with pytest.raises(Forbidden):
                    await verify(Store(connection=bound), fold=fold, order=order)
        finally:
            await bound.execute("reset role")
    await sql.execute(f"drop role {name}")


async def test_what_retention_took_is_no_fault(store: Store, sql: Sql, clock: Clock) -> None:
    """Blocks before the horizon have fewer events than they had, and are merged; what is left is whole."""
    old = await finished_jobs(sql, 3)
    await later(sql, clock)
    await finished_jobs(sql, 2)
    await seal_all(sql)
    before = await verify(store)
    done = await drop_partitions(sql, 0, KEEP, actor="ada")
    assert done.partitions
    await seal_all(sql)
    seen = await verify(store)
    assert seen.faults == []
    assert seen.jobs == before.jobs - len(old)
    async with Client(store).replay(after=datetime(2000, 1, 1, tzinfo=UTC), types=["job.enqueued"]) as steps:
        assert not {one.event.stream_id async for one in steps} & set(old)
    await _spoilt(sql, "delete from jobledger.events where type = 'job.cancelled'")
    assert {"block_count", "row_differs"} <= {one.code for one in (await verify(store)).faults}
