"""Migrations: once, in order, by one runner at a time; changed projections again; refusals before any change."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import create_engine
from tests.conftest import PG_BIN

from jobledger.embedded import find_binaries
from jobledger.errors import Forbidden, SchemaChanged, SchemaError, SchemaNewer
from jobledger.observations import MigrationApplied, ProjectionApplied, observing
from jobledger.store.migrate import applied, migrate, pending
from jobledger.store.migration_files import read_sql_files
from jobledger.store.migration_script import script
from jobledger.store.pool import connect
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from jobledger.store.migration_files import SqlFiles
    from jobledger.store.pool import Connection


DEADLOCK = """
do $$
begin
  if nextval('jobledger.tries') % 2 = 1 then
    raise exception using errcode = 'deadlock_detected', message = 'deadlock detected';
  end if;
end
$$;
"""


class Folders:
    """Two SQL folders of a test's own, rewritten at will."""

    def __init__(self, root: Path) -> None:
        """Begin with one migration and one projection of a table, a view and a function."""
        self.migrations = root / "migrations"
        self.projections = root / "projections"
        self.migrations.mkdir()
        self.write(
            "migrations/0001_first.sql", "create table jobledger.log (x int);\ncreate index on jobledger.log (x);"
        )
        self.write("projections/queue/10_table.sql", "create table jobledger.copy as select x from jobledger.log;")
        self.write(
            "projections/queue/20_view.sql", "create or replace view jobledger.seen as select x from jobledger.copy;"
        )
        self.write("projections/other/10_function.sql", FUNCTION.format("1"))
        self.write("projections/other/20_rebuild.sql", REBUILD)

    def write(self, name: str, text: str) -> None:
        """Write one file."""
        place = self.migrations.parent / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def files(self) -> SqlFiles:
        """Read both."""
        return read_sql_files(self.migrations, self.projections)


FUNCTION = "create or replace function jobledger.answer() returns int language sql as $$ select {} $$;"
REBUILD = """create or replace function jobledger.rebuild(shard smallint, name text) returns bigint language sql as $$
  insert into jobledger.copy select x from jobledger.log; select count(*) from jobledger.copy $$;"""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Give two SQL folders of the test's own."""
    return Folders(tmp_path)


@pytest.fixture
async def connection(empty_database: str) -> AsyncIterator[Connection]:
    """Give a connection to an empty database."""
    opened = await connect(empty_database)
    yield opened
    await opened.close()


async def test_an_empty_database_gets_everything_and_the_second_run_finds_nothing(connection: Connection) -> None:
    """Each migration and projection is told, recorded, and not done again."""
    said: list[str] = []
    with observing(MigrationApplied, ProjectionApplied) as seen:
        done = await migrate(connection, say=said.append)
    files = read_sql_files()
    assert done.migrations == files.migrations
    assert f"applying {files.migrations[0].name}" in said
    assert [one.name for one in seen if isinstance(one, MigrationApplied)] == [file.name for file in files.migrations]
    assert [one.name for one in seen if isinstance(one, ProjectionApplied)] == ["queue", "status", "contract"]
    said.clear()
    assert not await migrate(connection, say=said.append)
    assert said == []
    state = await applied(connection)
    assert state.migrations[1] == (files.migrations[0].name, files.migrations[0].checksum)
    assert set(state.projections) == {file.path for file in files.projections}


async def test_a_fresh_database_has_partitions_so_that_jobs_can_be_enqueued(connection: Connection) -> None:
    """Nothing else is to be run before plain SQL enqueues."""
    await migrate(connection)
    assert await connection.fetchval("select jobledger.enqueue('a') is not null")


async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(connection: Connection, folders: Folders) -> None:
    """Also against a database in which nothing is there to be asked."""
    plan = await pending(connection, files=folders.files())
    assert plan.lines() == [
        "migration   0001_first.sql",
        "projection  queue/10_table.sql",
        "projection  queue/20_view.sql",
        "projection  other/10_function.sql",
        "projection  other/20_rebuild.sql",
    ]
    assert await connection.fetchval("select to_regnamespace('jobledger')") is None


async def test_only_what_is_new_is_applied(connection: Connection, folders: Folders) -> None:
    """A second migration is added to a database that has had the first."""
    await migrate(connection, files=folders.files())
    folders.write("migrations/0002_second.sql", "alter table jobledger.log add column y int;")
    done = await migrate(connection, files=folders.files())
    assert [file.name for file in done.migrations] == ["0002_second.sql"]
    assert await connection.fetchval("select count(*) from jobledger.migrations") == 2


async def test_a_failing_migration_leaves_nothing_of_itself_and_is_named_with_its_line(
    connection: Connection, folders: Folders
) -> None:
    """What came before it stays; mended, it is applied."""
    folders.write("migrations/0002_bad.sql", "create table jobledger.half (x int);\n\nselect from jobledger.nowhere;")
    with pytest.raises(SchemaError, match=r"0002_bad\.sql, line 3") as caught:
        await migrate(connection, files=folders.files())
    assert caught.value.detail["sqlstate"] == "42P01"
    assert await connection.fetchval("select to_regclass('jobledger.half')") is None
    assert list((await applied(connection)).migrations) == [1]
    folders.write("migrations/0002_bad.sql", "create table jobledger.half (x int);")
    await migrate(connection, files=folders.files())
    assert list((await applied(connection)).migrations) == [1, 2]


async def test_a_marked_migration_runs_outside_a_transaction(connection: Connection, folders: Folders) -> None:
    """An index can be built concurrently; several statements are sent one by one."""
    folders.write(
        "migrations/0002_index.sql",
        "-- jobledger: no-transaction\ncreate index concurrently if not exists a on jobledger.log (x);\n"
        "create index concurrently if not exists b on jobledger.log (x, (';' || x));\n",
    )
    await migrate(connection, files=folders.files())
    assert await connection.fetchval("select to_regclass('jobledger.b') is not null")


async def test_a_changed_released_migration_is_refused(connection: Connection, folders: Folders) -> None:
    """History is not edited; line ends do not count as a change."""
    await migrate(connection, files=folders.files())
    text = (folders.migrations / "0001_first.sql").read_text()
    folders.write("migrations/0001_first.sql", text.replace("\n", "  \r\n"))
    assert not await pending(connection, files=folders.files())
    folders.write("migrations/0001_first.sql", text + "\ncreate table jobledger.later ();")
    with pytest.raises(SchemaChanged, match=r"0001_first\.sql"):
        await migrate(connection, files=folders.files())


async def test_a_renamed_released_migration_is_refused(connection: Connection, folders: Folders) -> None:
    """Two branches that released different files under one number are told apart."""
    await migrate(connection, files=folders.files())
    (folders.migrations / "0001_first.sql").rename(folders.migrations / "0001_other.sql")
    with pytest.raises(SchemaChanged, match=r"0001_other\.sql"):
        await pending(connection, files=folders.files())


async def test_a_database_newer_than_the_code_is_refused(connection: Connection, folders: Folders) -> None:
    """An older version neither migrates nor puts its own functions back."""
    folders.write("migrations/0002_second.sql", "select 1;")
    await migrate(connection, files=folders.files(), version="1.10.0")
    (folders.migrations / "0002_second.sql").unlink()
    with pytest.raises(SchemaNewer, match=r"0002_second\.sql"):
        await migrate(connection, files=folders.files(), version="1.9.0")
    folders.write("migrations/0002_second.sql", "select 1;")
    with pytest.raises(SchemaNewer, match=r"1\.10\.0"):
        await pending(connection, files=folders.files(), version="1.9.0")
    assert not await pending(connection, files=folders.files(), version="1.10.1")


async def test_a_changed_function_is_applied_again_with_what_may_hang_on_it(
    connection: Connection, folders: Folders
) -> None:
    """Tables are left alone, the log too."""
    await migrate(connection, files=folders.files())
    await connection.execute("insert into jobledger.copy values (7)")
    folders.write("projections/other/10_function.sql", FUNCTION.format("2"))
    done = await migrate(connection, files=folders.files())
    assert done.changed == {"other/10_function.sql"}
    assert [file.path for file in done.projections] == ["other/10_function.sql", "other/20_rebuild.sql"]
    assert await connection.fetchval("select jobledger.answer()") == 2
    assert await connection.fetchval("select x from jobledger.copy") == 7


async def test_a_changed_table_is_made_anew_and_filled_from_the_log(connection: Connection, folders: Folders) -> None:
    """What hung on it is there again, and the rows are the log's."""
    await migrate(connection, files=folders.files())
    await connection.execute("insert into jobledger.log values (1), (2); insert into jobledger.copy values (99)")
    folders.write("projections/queue/10_table.sql", "create table jobledger.copy (x bigint);")
    plan = await pending(connection, files=folders.files())
    assert (plan.drops, plan.rebuilds) == (("copy",), ("queue",))
    await migrate(connection, files=folders.files())
    assert await connection.fetchval("select array_agg(x order by x) from jobledger.seen") == [1, 2]
    assert not await pending(connection, files=folders.files())


async def test_projections_fail_together_or_not_at_all(connection: Connection, folders: Folders) -> None:
    """Nobody ever sees half of the functions of a release."""
    await migrate(connection, files=folders.files())
    folders.write(
        "projections/queue/20_view.sql",
        "create or replace view jobledger.seen as select x, 1 as one from jobledger.copy;",
    )
    folders.write("projections/other/10_function.sql", "create function wrong")
    with pytest.raises(SchemaError, match=r"other/10_function\.sql"):
        await migrate(connection, files=folders.files())
    assert (
        await connection.fetchval("select count(*) from pg_attribute where attrelid = 'jobledger.seen'::regclass") == 1
    )


async def test_a_file_that_is_no_longer_there_is_forgotten(connection: Connection, folders: Folders) -> None:
    """The record goes; dropping the object is the work of a migration, and `check` tells of it until then."""
    await migrate(connection, files=folders.files())
    (folders.projections / "other" / "10_function.sql").unlink()
    done = await migrate(connection, files=folders.files())
    assert done.forgotten == ("other/10_function.sql",)
    assert "other/10_function.sql" not in (await applied(connection)).projections


async def test_a_second_runner_waits_says_so_and_finds_nothing_left(
    connection: Connection, empty_database: str, folders: Folders
) -> None:
    """The lock is held on the first one's session; the second reads anew once it has it."""
    first = await connect(empty_database)
    said: asyncio.Queue[str] = asyncio.Queue()
    try:
        assert await first.fetchval(statement("migration_lock"))
        second = asyncio.ensure_future(migrate(connection, files=folders.files(), say=said.put_nowait))
        assert "another process is migrating" in await said.get()
        # The first one's session holds the lock already, and may take it once more.
        await migrate(first, files=folders.files())
        assert not second.done()
        await first.fetchval(statement("migration_unlock"))
        assert not await second
    finally:
        await first.close()


async def test_a_runner_that_dies_lets_the_next_one_in(
    connection: Connection, empty_database: str, folders: Folders
) -> None:
    """The lock goes with the session, so nobody has to clean up."""
    first = await connect(empty_database)
    assert await first.fetchval(statement("migration_lock"))
    said: asyncio.Queue[str] = asyncio.Queue()
    second = asyncio.ensure_future(migrate(connection, files=folders.files(), say=said.put_nowait))
    await said.get()
    first.terminate()
    assert await second


RUN = """
import asyncio, sys
from jobledger.store.pool import connect
from jobledger.store.migrate import migrate

async def main():
    connection = await connect(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    done = await migrate(connection)
    print(len(done.migrations), flush=True)
    await connection.close()

asyncio.run(main())
"""


def test_processes_that_start_together_migrate_once(empty_database: str) -> None:
    """Three at the same moment: one applies everything, the others nothing, and all of them succeed."""
    runners = [
        subprocess.Popen(  # noqa: S603 - our own interpreter and script
            [sys.executable, "-c", RUN, empty_database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for runner in runners:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
    counts = [int(runner.communicate("\n", timeout=60)[0]) for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0, 0]
    assert sorted(counts) == [0, 0, len(read_sql_files().migrations)]


async def test_a_locked_table_is_tried_again_and_holds_up_nobody(
    connection: Connection, empty_database: str, folders: Folders
) -> None:
    """A step waits for its locks only shortly, gives up, and comes back."""
    await migrate(connection, files=folders.files())
    folders.write("migrations/0002_alter.sql", "alter table jobledger.log add column y int;")
    reader = await connect(empty_database)
    said: asyncio.Queue[str] = asyncio.Queue()
    try:
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("select from jobledger.log")
        work = asyncio.ensure_future(
            migrate(connection, files=folders.files(), say=said.put_nowait, lock_timeout="10ms")
        )
        while "locked by another transaction" not in await said.get():
            pass
        await transaction.commit()
        assert await work
    finally:
        await reader.close()


async def test_a_deadlock_with_who_works_meanwhile_is_tried_again(connection: Connection, folders: Folders) -> None:
    """The server ends one of the two that wait for each other; where that is the step, it comes back."""
    await migrate(connection, files=folders.files())
    await connection.execute("create sequence jobledger.tries")
    folders.write("migrations/0002_alter.sql", "alter table jobledger.log add column y int;" + DEADLOCK)
    folders.write("projections/other/10_function.sql", FUNCTION.format("2") + DEADLOCK)
    said: list[str] = []
    assert await migrate(connection, files=folders.files(), say=said.append)
    assert sum("locked by another transaction" in line for line in said) == 2
    assert await connection.fetchval("select last_value from jobledger.tries") == 4
    assert not await pending(connection, files=folders.files())


async def test_migrating_inside_the_callers_transaction_is_refused(connection: Connection, folders: Folders) -> None:
    """Its own transactions would be savepoints of one that may never commit."""
    async with connection.transaction():
        with pytest.raises(SchemaError, match="transactions of their own"):
            await migrate(connection, files=folders.files())


async def test_the_printed_script_is_the_same_migration(empty_database: str) -> None:
    """Run by psql it leaves nothing for `migrate` to do."""
    psql = find_binaries(PG_BIN).folder / "psql"
    done = subprocess.run(  # noqa: S603, ASYNC221 - psql of the server's own folder; nothing else runs in the loop
        [psql, "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", empty_database],
        input=script(),
        text=True,
        check=True,
        capture_output=True,
    )
    assert "NOTICE" not in done.stderr
    connection = await connect(empty_database)
    try:
        assert not await pending(connection)
        assert await connection.fetchval("select jobledger.enqueue('a') is not null")
    finally:
        await connection.close()


async def test_the_script_without_transactions_fits_into_a_tools_own(empty_database: str) -> None:
    """Alembic and Django run it inside their transaction, and roll it back whole."""
    text = script(transactions=False)
    assert "\nbegin;" not in text
    with psycopg.connect(empty_database) as other:
        other.execute(text.encode())
        other.rollback()
        assert other.execute("select to_regnamespace('jobledger')").fetchone() == (None,)
        other.execute(text.encode())
        other.commit()
    connection = await connect(empty_database)
    try:
        assert not await pending(connection)
    finally:
        await connection.close()


async def test_a_revision_of_alembic_runs_the_script_as_the_page_says(empty_database: str) -> None:
    """Through SQLAlchemy, whose drivers take per cent signs for placeholders unless told that there are none."""
    engine = create_engine(empty_database.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as bound:
        bound.exec_driver_sql(script(transactions=False), execution_options={"no_parameters": True})
    engine.dispose()
    connection = await connect(empty_database)
    try:
        assert not await pending(connection)
    finally:
        await connection.close()


async def test_the_script_of_what_is_pending_holds_only_that(connection: Connection, folders: Folders) -> None:
    """A tool that has run an earlier script gets the rest, a changed table's rebuild included."""
    await migrate(connection, files=folders.files())
    assert "Nothing is missing" in script(await applied(connection), files=folders.files())
    await connection.execute("insert into jobledger.log values (5)")
    folders.write("projections/queue/10_table.sql", "create table jobledger.copy (x bigint)\n-- the end")
    folders.write("projections/other/30_ensure.sql", ENSURE)
    text = script(await applied(connection), files=folders.files())
    assert "0001_first" not in text
    await connection.execute(text)
    assert not await pending(connection, files=folders.files())
    assert await connection.fetchval("select x from jobledger.copy") == 5


ENSURE = """create or replace function jobledger.partitions_ensure(shard smallint default 0, ahead int default 3)
returns int language sql as 'select 0';"""


async def test_a_script_inside_a_transaction_cannot_hold_what_must_run_outside(folders: Folders) -> None:
    """It says so instead of printing what would fail."""
    folders.write("migrations/0002_index.sql", "-- jobledger: no-transaction\nselect 1;")
    assert "0002_index" in script(files=folders.files())
    with pytest.raises(SchemaError, match="outside a transaction"):
        script(files=folders.files(), transactions=False)


async def test_the_projections_can_all_be_applied_again(connection: Connection) -> None:
    """Every file of the real projections bears being applied twice, whatever lies in the tables."""
    await migrate(connection)
    await connection.execute("select jobledger.open(0::smallint)")
    await connection.execute("select jobledger.enqueue('a')")
    await connection.execute("update jobledger.projection_files set checksum = 'other' where path not like '%table%'")
    assert await migrate(connection)
    assert await connection.fetchval("select count(*) from jobledger.jobs") == 1


async def test_a_changed_live_table_is_rebuilt_from_the_real_log(connection: Connection) -> None:
    """Waiting jobs survive a change of their table's shape, and the database is open afterwards."""
    await migrate(connection)
    await connection.execute("select jobledger.open(0::smallint)")
    await connection.execute("select jobledger.enqueue('a', tenant => 't' || n) from generate_series(1, 5) as n")
    await connection.execute("update jobledger.projection_files set checksum = 'other' where path like 'queue/%table%'")
    done = await migrate(connection)
    assert set(done.drops) == {"ready", "waiting", "running"}
    assert done.rebuilds == ("queue",)
    assert await connection.fetchval("select count(*) from jobledger.ready") == 5
    assert await connection.fetchval("select jobledger.is_open(0::smallint)")
    assert await connection.fetch("select * from jobledger.compare(0::smallint)") == []


async def persistences(connection: Connection) -> set[str]:
    """Return how the live tables and `live` are: u for unlogged, p for logged."""
    rows = await connection.fetch(
        "select relpersistence::text as how from pg_class"
        " where relname in ('ready', 'waiting', 'running', 'live') and relnamespace = 'jobledger'::regnamespace"
    )
    assert len(rows) == 4
    return {row["how"] for row in rows}


@pytest.mark.parametrize("chosen", [True, False, None], ids=["unlogged", "logged", "not said"])
async def test_a_change_of_the_live_tables_leaves_their_persistence(
    connection: Connection, chosen: bool | None
) -> None:
    """A new database begins unlogged; what an operator chose stays when the tables are made anew."""
    await migrate(connection)
    assert await persistences(connection) == {"u"}
    await connection.execute("select jobledger.open(0::smallint)")
    if chosen is not None:
        await connection.execute("select jobledger.persist(0::smallint, $1)", chosen)
    await connection.execute("select jobledger.enqueue('a')")
    await connection.execute("update jobledger.projection_files set checksum = 'other' where path like 'queue/%table%'")
    assert (await migrate(connection)).drops
    assert await persistences(connection) == {"p" if chosen is False else "u"}
    assert await connection.fetchval("select count(*) from jobledger.ready") == 1


async def test_a_database_from_before_stays_logged(connection: Connection) -> None:
    """One that was worked with, and says nowhere how it is to be, is not changed behind its operator's back."""
    await migrate(connection)
    for table in ("ready", "waiting", "running", "live"):
        await connection.execute(f"alter table jobledger.{table} set logged")
    await connection.execute("select jobledger.enqueue('a')")
    await connection.execute("update jobledger.projection_files set checksum = 'other'")
    assert await migrate(connection)
    assert await persistences(connection) == {"p"}


async def test_an_outsider_cannot_run_migrations(connection: Connection) -> None:
    """A role without rights changes nothing and is told so."""
    await connection.execute("create role outsider nologin")
    try:
        await connection.execute("set role outsider")
        with pytest.raises(Forbidden):
            await migrate(connection)
    finally:
        await connection.execute("reset role; drop role outsider")
