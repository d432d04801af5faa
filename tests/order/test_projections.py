"""Projections are folded from the sealed log: each event once, one runner at it, new versions beside the old ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from tests.faults.conftest import until

from jobledger import App
from jobledger.errors import Forbidden, InvalidArgument, NotFound
from jobledger.observations import ProjectionReset, ProjectionStopped, ProjectionSwapped, observing
from jobledger.order import projections as register
from jobledger.order.projections import Projection, from_folder
from jobledger.order.runner import Runner
from jobledger.settings import Settings
from jobledger.store.doctor import examine
from jobledger.store.pool import Store
from jobledger.worker.worker import Worker

from .stress import seal_all

if TYPE_CHECKING:
    from pathlib import Path

    from jobledger.events import Event
    from jobledger.order.projections import Standing
    from jobledger.store.pool import Connection

TABLE = "create table seen (stream_id uuid not null, version int not null, primary key (stream_id, version))"
LATER = "alter table seen add column late boolean not null default true"
FOLD = """
create function fold(p_shard smallint, p_after bigint, p_upto bigint) returns void language sql as $$
  insert into seen (stream_id, version)
  select e.stream_id, e.version from jobledger.sealed_between(p_shard, p_after, p_upto) as e
$$
"""
ENQUEUE = "select jobledger.enqueue('noop', tenant => $1)"
MISSING = (
    "select count(*) from (select stream_id, version from jobledger.events"
    " except select stream_id, version from jobledger_seen.seen) as x"
)
READ = (
    "select block, epoch, stream_id, version, data from jobledger.read_log(0::smallint, 0, 0, 0, 10000)"
    " where type is not null order by block, position"
)
BETWEEN = (
    "select block, epoch, stream_id, version, data::text as data from jobledger.sealed_between(0::smallint, $1, $2)"
    " order by block, position"
)
DROPPED = (
    "update jobledger.horizon as h set block = b.block, position = b.last_position, epoch = b.epoch, generation = 1"
    " from jobledger.blocks as b where b.block = $1"
)
MERGED = (
    "update jobledger.blocks as m set merged_from = 1, since = f.since, first_position = f.first_position,"
    " first_xid = f.first_xid, count = 3 from jobledger.blocks as f where f.block = 1 and m.block = 3"
)
WAITING = (
    "from pg_stat_activity where wait_event_type = 'Lock' and query like '%.fold(%' and datname = current_database()"
)


def in_sql(version: int = 1, *tables: str, fold: str = FOLD, name: str = "seen") -> Projection:
    """Return a projection that remembers which events it has seen, and fails on one that comes again."""
    return Projection(name, version, (TABLE, *tables, fold))


async def enqueue(store: Store, count: int, tenant: str = "acme") -> None:
    """Enqueue jobs, each in a block of its own."""
    async with store.connection() as connection:
        for _ in range(count):
            await connection.fetchval(ENQUEUE, tenant)
            await seal_all(connection)


async def value(store: Store, sql: str, *values: Any) -> Any:
    """Return one value."""
    async with store.connection() as connection:
        return await connection.fetchval(sql, *values)


async def standing(store: Store) -> list[Standing]:
    """Return where each projection stands."""
    async with store.connection() as connection:
        return await register.standings(connection, store.shard)


async def test_what_folds_read_is_what_readers_read(store: Store, database: str) -> None:
    """sealed_between gives the events of whole blocks as read_log does for the feeds, those of late writers, too."""
    late = await asyncpg.connect(database)
    await late.execute("begin")
    await late.fetchval(ENQUEUE, "late")
    await enqueue(store, 3)
    await late.fetchval(ENQUEUE, "late")
    await late.execute("commit")
    await enqueue(store, 2)
    read = await late.fetch(READ)
    between = [await late.fetch(BETWEEN, *bounds) for bounds in ((0, 2), (2, 9), (9, 20))]
    assert [*between[0], *between[1]] == read
    assert [len(rows) for rows in between] == [2, 5, 0]
    await late.close()


async def test_tables_and_checkpoint_are_one_transaction(store: Store, database: str) -> None:
    """A server process that dies while it folds leaves neither; the next runner folds each event once."""
    await enqueue(store, 3)
    runner = Runner(store, [in_sql()])
    await runner.settle()
    assert (await standing(store))[0][:4] == ("seen", False, 1, "running")
    await enqueue(store, 2)
    held = await asyncpg.connect(database)
    await held.execute("begin; lock table jobledger_seen.seen in exclusive mode")
    folding = asyncio.create_task(runner.look())
    # Not by the connection that holds the lock: within a transaction it sees one moment of the others.
    await until(lambda: value(store, f"select pid {WAITING}"))
    # A second runner does not wait for the first, and does nothing.
    async with asyncio.timeout(30):
        await Runner(store, [in_sql()]).settle()
    assert await held.fetchval("select block from jobledger.projections") == 3
    await held.execute(f"select pg_terminate_backend(pid) {WAITING}")
    await held.execute("rollback")
    await folding
    await runner.aclose()
    assert await held.fetchval("select block from jobledger.projections") == 3
    assert await held.fetchval("select count(*) from jobledger_seen.seen") == 3
    await Runner(store, [in_sql()]).settle()
    (now,) = await standing(store)
    assert (now.block, now.events, now.behind, now.behind_s) == (5, 5, 0, 0)
    assert await held.fetchval(MISSING) == 0
    await held.close()


async def test_a_new_version_is_made_beside_the_old_one_and_swapped_under_readers(store: Store, database: str) -> None:
    """Readers of the live tables never fail and never see less; the old version is folded on until the new one is."""
    await enqueue(store, 4)
    await Runner(store, [in_sql()]).settle()
    async with store.connection() as connection:
        await register.begin(connection, 0, "seen", 2, shadow=True)
    await Runner(store, [in_sql()]).settle()
    assert [(one.version, one.shadow, one.state) for one in await standing(store)] == [
        (1, False, "running"),
        (2, True, "rebuilding"),
    ]
    counts: list[int] = []
    reader = await asyncpg.connect(database)
    prepared = await reader.prepare("select count(*) from jobledger_seen.seen")
    enough = asyncio.Event()

    async def read() -> None:
        while not enough.is_set():
            counts.append(await prepared.fetchval())

    reading = asyncio.create_task(read())
    await enqueue(store, 1)
    holder = await asyncpg.connect(database)
    await holder.execute("begin; select from jobledger_seen.seen")
    runner = Runner(store, [in_sql(), in_sql(2, LATER)], busy_s=0.01)
    with observing(ProjectionSwapped) as seen:
        settled = asyncio.create_task(runner.settle())
        # Made and caught up, but a transaction that has read the old tables is still open.
        await until(lambda: value(store, "select block = 5 from jobledger.projections where shadow"))
        await enqueue(store, 1)
        assert await value(store, "select count(*) from jobledger.projections") == 2
        reads = len(counts)
        await until(lambda: len(counts) > reads + 20)
        await holder.execute("rollback")
        await settled
    enough.set()
    await reading
    assert [(one.name, one.version) for one in seen] == [("seen", 2)]
    assert counts == sorted(counts)
    assert await value(store, "select bool_and(late) from jobledger_seen.seen")
    assert [(one.version, one.shadow, one.block, one.events) for one in await standing(store)] == [(2, False, 6, 6)]
    assert await value(store, "select to_regnamespace('jobledger_seen_next') is null")
    await reader.close()
    await holder.close()


async def test_a_failing_fold_stops_itself_and_nobody_else_and_goes_on_when_resumed(store: Store) -> None:
    """It stops at the block that fails, with what was raised and not the row; others go on; nothing is lost by it."""
    await enqueue(store, 2)
    await enqueue(store, 1, tenant="poison")
    await enqueue(store, 1)
    picky = FOLD.replace("insert into seen", "insert into picked").replace(
        "stream_id, version)", "stream_id, version, tenant)", 1
    )
    picky = picky.replace("e.version from", "e.version, e.tenant from")
    table = "create table picked (like jobledger_seen.seen, tenant text check (tenant <> 'poison'))"
    projections = [in_sql(), Projection("picky", 1, (table, picky))]
    await Runner(store, projections[:1]).settle()
    with observing(ProjectionStopped) as seen:
        await Runner(store, projections).settle()
    stopped, fine = await standing(store)
    assert (stopped.name, stopped.state, stopped.block, stopped.events, stopped.behind) == ("picky", "stopped", 2, 2, 2)
    assert stopped.error is not None
    assert stopped.error.startswith("block 3: CheckViolationError 23514: new row")
    assert [(one.name, one.shadow, one.error) for one in seen] == [("picky", False, stopped.error)]
    assert stopped.behind_s > 0
    assert (fine.state, fine.block) == ("running", 4)
    (alarm,) = [one for one in await examine(store, compared=False) if one.topic == "projections"]
    assert (alarm.severity, stopped.error in alarm.sentence) == ("alarm", True)
    async with store.connection() as connection:
        await connection.execute("alter table jobledger_picky.picked drop constraint picked_tenant_check")
        await Runner(store, projections).settle()
        assert await connection.fetchval("select count(*) from jobledger_picky.picked") == 2
        assert await register.resume(connection, 0, "picky") == 1
        await Runner(store, projections).settle()
        assert await connection.fetchval("select count(*) from jobledger_picky.picked") == 4
        assert await register.stop(connection, 0, "picky") == 1
        assert await register.drop(connection, 0, "picky") == 1
    assert [one.name for one in await standing(store)] == ["seen"]
    assert await value(store, "select to_regnamespace('jobledger_picky') is null")


async def test_folds_in_python_are_told_whether_they_rebuild_and_those_with_effects_never_are(store: Store) -> None:
    """Each event comes once, in order; a fold with effects gets only what comes after it began, and no rebuild."""
    app = App()
    told: list[tuple[bool, int]] = []
    mails: list[str] = []

    @app.projection("waits", tables="create table waits (tenant text primary key, jobs int not null)")
    async def waits(events: list[Event], connection: Connection, rebuilding: bool) -> None:
        told.append((rebuilding, len(events)))
        for event in events:
            if event.tenant == "poison":
                raise ValueError("the poison\nand what it was")
            await connection.execute(
                "insert into waits values ($1, 1) on conflict (tenant) do update set jobs = waits.jobs + 1",
                event.tenant,
            )

    @app.projection("mails", effects=True)
    async def mail(events: list[Event], _connection: Connection) -> None:
        mails.extend(event.tenant for event in events)

    with pytest.raises(InvalidArgument):
        app.projection("mails")(mail)
    await enqueue(store, 3)
    await Runner(store, app.projections).settle()
    await enqueue(store, 2, tenant="bert")
    await Runner(store, app.projections).settle()
    assert told == [(True, 3), (False, 2)]
    assert mails == ["bert", "bert"]
    async with store.connection() as connection:
        found = await connection.fetch("select tenant, jobs from jobledger_waits.waits order by tenant")
        assert [tuple(row) for row in found] == [("acme", 3), ("bert", 2)]
        with pytest.raises(InvalidArgument):
            await register.begin(connection, 0, "mails", None, shadow=True)
        with pytest.raises(NotFound):
            await register.begin(connection, 0, "nothing", None, shadow=True)
        await register.begin(connection, 0, "waits", None, shadow=True)
    await Runner(store, app.projections).settle()
    assert told[2:] == [(True, 5)]
    higher = Projection("mails", 2, (), mail, effects=True)
    await enqueue(store, 1, tenant="poison")
    await Runner(store, [app.projections[0], higher]).settle()
    stopped = {one.name: one for one in await standing(store)}
    assert mails == ["bert", "bert", "poison"]
    assert (stopped["mails"].version, stopped["mails"].state) == (2, "running")
    assert stopped["waits"].error is not None
    assert stopped["waits"].error.startswith("block 6: ValueError: the poison (test_projections.py:")


async def test_a_checkpoint_that_the_log_does_not_have_is_told_and_mended(store: Store) -> None:
    """Lost with its server: it is made anew; dropped by retention: it stops, and goes on without that when told to."""
    await enqueue(store, 3)
    await Runner(store, [in_sql()]).settle()
    async with store.connection() as connection:
        # As behind logical replication: the register came over and the tables did not, or not all of the log.
        await connection.execute("drop schema jobledger_seen cascade")
    await enqueue(store, 9)
    with observing(ProjectionReset) as seen:
        await Runner(store, [in_sql()]).settle()
        assert await value(store, MISSING) == 0
        await value(store, "update jobledger.projections set epoch = 7 returning 1")
        await enqueue(store, 1)
        await Runner(store, [in_sql()]).settle()
        await value(store, "update jobledger.projections set block = 99 returning 1")
        await Runner(store, [in_sql()]).settle()
    assert [one.reason for one in seen] == ["tables_missing", "beyond_end", "beyond_end"]
    assert [(one.state, one.block, one.events) for one in await standing(store)] == [("running", 13, 13)]
    assert await value(store, MISSING) == 0
    async with store.connection() as connection:
        await connection.execute(DROPPED, 5)
        await register.begin(connection, 0, "seen", None, shadow=True)
        await Runner(store, [in_sql(), in_sql(name="later")]).settle()
        # What begins only now has nothing to lose.
        later, live, shadow = await standing(store)
        assert (later.name, later.state, later.events) == ("later", "running", 13)
        assert (live.state, shadow.state) == ("running", "stopped")
        assert shadow.error is not None
        assert "retention" in shadow.error
        await register.resume(connection, 0, "seen", skip=True)
        await Runner(store, [in_sql()]).settle()
        assert [(one.state, one.version, one.block) for one in await standing(store)][1:] == [("running", 1, 13)]
        # Merged behind the horizon: a rebuild that stood within a merged block begins again, and is told again.
        await register.begin(connection, 0, "seen", None, shadow=True)
        await connection.execute(
            "update jobledger.projections set block = 2, made = true, epoch = 1048577 where shadow"
        )
        await connection.execute("set session_replication_role = replica")
        await connection.execute(MERGED)
        await connection.execute("delete from jobledger.blocks where block < 3")
        await connection.execute("reset session_replication_role")
        with observing(ProjectionReset) as seen:
            await Runner(store, [in_sql()]).settle()
        assert [one.reason for one in seen] == ["merged", "below_horizon"]
        await register.resume(connection, 0, "seen", skip=True)
        await Runner(store, [in_sql()]).settle()
    assert [(one.state, one.block, one.events) for one in await standing(store)][1:] == [("running", 13, 13)]


async def test_a_worker_folds_what_its_app_declares(store: Store) -> None:
    """With nobody else at work: sealed and folded live; a worker that is told not to leaves it to others."""
    app = App()
    came = asyncio.Event()

    @app.job()
    async def nothing() -> None:
        return

    @app.projection("seen", effects=True)
    async def seen(_events: list[Event], _connection: Connection) -> None:
        came.set()

    async with Worker(app, store):
        await until(lambda: value(store, "select count(*) = 1 from jobledger.projections where name = 'seen' and made"))
        await value(store, ENQUEUE, "acme")
        async with asyncio.timeout(30):
            await came.wait()
        assert "jobledger-projections" in {task.get_name() for task in asyncio.all_tasks()}
    async with Worker(app, store, settings=Settings(projections=False)):
        assert "jobledger-projections" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_folder_is_a_projection_if_it_has_what_one_needs(tmp_path: Path, store: Store) -> None:
    """Version, tables in the order of their names, fold; what is missing is named. A higher version replaces it."""
    folder = tmp_path / "seen"
    folder.mkdir()
    with pytest.raises(InvalidArgument):
        from_folder(folder)
    (folder / "fold.sql").write_text(FOLD)
    (folder / "version.txt").write_text("one\n")
    with pytest.raises(InvalidArgument):
        from_folder(folder)
    (folder / "version.txt").write_text("3\n")
    (folder / "20_more.sql").write_text(LATER)
    (folder / "10_table.sql").write_text(TABLE)
    app = App()
    app.sql_projection(folder)
    assert app.projections == [in_sql(3, LATER)]
    await enqueue(store, 1)
    await Runner(store, [in_sql(2)]).settle()
    await Runner(store, app.projections).settle()
    assert [(one.version, one.shadow, one.events) for one in await standing(store)] == [(3, False, 1)]
    await Runner(store, [in_sql(2)]).settle()
    assert [(one.version, one.shadow) for one in await standing(store)] == [(3, False)]
    for name in ("", "Seen", "9seen", "seen_next", "a" * 41, 'a"b'):
        with pytest.raises(InvalidArgument):
            Projection(name, 1)


async def test_a_role_that_may_not_leaves_projections_to_others(store: Store, database: str) -> None:
    """One that is bound to tenants sees nothing of them; one that may not write the tables does not stop them."""
    await enqueue(store, 1)
    await Runner(store, [in_sql()]).settle()
    await enqueue(store, 1)
    lesser = f"lesser_{uuid4().hex[:8]}"
    await value(store, f"create role {lesser} in role jobledger_worker")
    pool = await asyncpg.create_pool(database, min_size=1, max_size=2, server_settings={"role": lesser})
    theirs = Store(pool)
    with pytest.raises(Forbidden):
        await Runner(theirs, [in_sql()]).settle()
    await value(store, f"grant jobledger_every_tenant to {lesser}")
    await Runner(theirs, [in_sql(), in_sql(name="other")]).settle()
    assert [(one.name, one.state, one.block) for one in await standing(store)] == [
        ("other", "rebuilding", 0),
        ("seen", "running", 1),
    ]
    await Runner(store, [in_sql(), in_sql(name="other")]).settle()
    assert {(one.state, one.block) for one in await standing(store)} == {("running", 2)}
    await pool.close()
    await value(store, f"drop role {lesser}")


async def test_the_package_s_own_projections_belong_to_the_owner_of_the_log_whoever_folds_them(
    store: Store, database: str
) -> None:
    """A role that may make schemas, but is no member of the owner, does not make tables that status could not read."""
    await enqueue(store, 2)
    lesser = f"lesser_{uuid4().hex[:8]}"
    await value(store, f"create role {lesser} in role jobledger_worker, jobledger_every_tenant")
    await value(store, f"grant create on database {await value(store, 'select current_database()')} to {lesser}")
    pool = await asyncpg.create_pool(database, min_size=1, max_size=2, server_settings={"role": lesser})
    theirs = Store(pool)
    await Runner(theirs, register.built_in()).settle()
    assert [(one.name, one.state, one.block) for one in await standing(store)] == [("tenants", "rebuilding", 0)]
    assert await value(store, "select to_regnamespace('jobledger_tenants')") is None
    await Runner(store, register.built_in()).settle()
    async with store.connection() as connection:
        await register.begin(connection, 0, "tenants", None, shadow=True)
    await value(store, f"grant {await value(store, 'select current_user')} to {lesser}")
    with observing(ProjectionSwapped) as seen:
        await Runner(theirs, register.built_in()).settle()
    assert len(seen) == 1
    foreign = (
        "from pg_class where relnamespace = 'jobledger_tenants'::regnamespace and relowner <> current_user::regrole"
    )
    assert await value(store, f"select count(*) {foreign}") == 0
    assert await value(store, "select jobledger.tenant_status(0::smallint, 'acme') ->> 'counted' is not null")
    await pool.close()
    await value(store, f"drop owned by {lesser}")
    await value(store, f"drop role {lesser}")


async def test_a_migration_under_a_batch_does_not_stop_its_projection(store: Store) -> None:
    """The server then says that a function which the batch had begun to call is not there; the next try finds it."""
    await enqueue(store, 1)
    faults = [asyncpg.InternalServerError("cache lookup failed for function 16952")]

    async def fold(events: list[Event], connection: Connection) -> None:
        if faults:
            raise faults.pop()
        await connection.executemany(
            "insert into seen values ($1, $2)", [(one.stream_id, one.version) for one in events]
        )

    for _ in range(2):
        await Runner(store, [Projection("seen", 1, (TABLE,), fold)]).settle()
    assert [(one.state, one.block, one.error) for one in await standing(store)] == [("running", 1, None)]
    assert await value(store, MISSING) == 0
