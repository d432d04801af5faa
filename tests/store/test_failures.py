"""What the database refuses comes out as this package's own errors, and never quotes a value or a password."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from jobledger.errors import (
    Forbidden,
    InvalidArgument,
    JobledgerError,
    SchemaMissing,
    TooLarge,
    Unavailable,
    Unreachable,
)
from jobledger.store.failures import place_of, translated
from jobledger.store.pool import Store, connect

REFUSE = "select jobledger.refuse($1, $2, $3, $4::text::jsonb)"
CANARY = "canary-8f1e"


async def test_a_sqlstate_of_ours_becomes_its_error_with_hint_and_facts(store: Store) -> None:
    """HINT is the way out, DETAIL the facts as a mapping."""
    async with store.connection() as connection:
        with pytest.raises(TooLarge) as caught, translated():
            await connection.execute(REFUSE, "JL105", "Too much.", "Send less.", '{"limit": 10}')
    assert (caught.value.message, caught.value.hint, caught.value.detail) == ("Too much.", "Send less.", {"limit": 10})


async def test_the_store_translates_by_itself_inside_its_connection(store: Store) -> None:
    """Who runs SQL on a lent connection gets jobledger's own errors too."""
    with pytest.raises(TooLarge):
        async with store.connection() as connection:
            await connection.execute(REFUSE, "JL105", "Too much.", None, None)


async def test_a_callers_own_sql_errors_pass_unchanged_through_a_lent_connection(store: Store) -> None:
    """A lent connection does not disguise the caller's own faults."""
    with pytest.raises(asyncpg.UndefinedTableError):
        async with store.connection() as connection:
            await connection.execute("select from nowhere")
    with pytest.raises(TimeoutError):
        async with store.connection():
            raise TimeoutError


async def test_an_unknown_sqlstate_of_ours_is_still_a_jobledger_error(store: Store) -> None:
    """A newer database may know errors that this code does not."""
    with pytest.raises(JobledgerError, match="From the future"):
        async with store.connection() as connection:
            await connection.execute(REFUSE, "JL999", "From the future.", None, None)


@pytest.mark.parametrize(
    ("sql", "args"),
    [
        ("select $1::text::uuid", [CANARY]),
        ("select $1::text::jsonb", ['{"' + CANARY]),
        ("select $1::text::int", [CANARY]),
        ("select $1::text::timestamptz", [CANARY]),
        ("select $1::int", [CANARY]),
        ("select $1::text::jsonb", ['"' + CANARY + '\\u0000"']),
        ("select $1::text", ["\0" + CANARY]),
        ("select $1::smallint", [70_000]),
    ],
)
async def test_a_value_that_does_not_fit_is_never_echoed(store: Store, sql: str, args: list[object]) -> None:
    """The driver's and the server's sentences quote the value; ours do not, nor does the chain that is shown."""
    async with store.connection() as connection:
        with pytest.raises(InvalidArgument) as caught, translated():
            await connection.execute(sql, *args)
    assert CANARY not in f"{caught.value} {caught.value.detail}"
    assert caught.value.__suppress_context__


async def test_a_database_that_was_never_migrated_says_so(empty_database: str) -> None:
    """A missing schema, table or function is SchemaMissing, with the command to run."""
    connection = await connect(empty_database)
    try:
        for sql in ("select jobledger.now()", "select from jobledger.events", "select null::jobledger.job_state"):
            with pytest.raises(SchemaMissing, match="jobledger migrate"), translated():
                await connection.execute(sql)
        # Somebody else's table that is missing is no reason to migrate.
        with pytest.raises(asyncpg.UndefinedTableError), translated():
            await connection.execute("select from nowhere")
    finally:
        await connection.close()


async def test_a_role_without_rights_is_forbidden(store: Store) -> None:
    """A permission error is Forbidden, whatever object it is about."""
    async with store.connection() as connection:
        await connection.execute("create role nobody_here nologin; set role nobody_here")
        try:
            with pytest.raises(Forbidden), translated():
                await connection.execute("select from jobledger.events")
        finally:
            await connection.execute("reset role; drop role nobody_here")


async def test_a_lock_that_is_not_free_in_time_is_unavailable(store: Store) -> None:
    """lock_timeout is a reason to try again, not a fault of the caller."""
    async with store.connection() as one, store.connection() as other, one.transaction():
        await one.execute("lock table jobledger.kinds")
        with pytest.raises(Unavailable) as caught, translated():
            await other.execute("set lock_timeout = '1ms'; select from jobledger.kinds")
    assert caught.value.detail == {"sqlstate": "55P03"}


async def test_a_migration_that_comes_between_is_unavailable(store: Store) -> None:
    """Else a worker would hold the outcome that it reports for one that cannot be stored, and fail the job."""
    anew = "do $$ begin raise 'cache lookup failed for function 16952' using errcode = 'XX000'; end $$"
    async with store.connection() as connection:
        with pytest.raises(Unavailable), translated():
            await connection.execute(anew)


async def test_no_server_is_unreachable_and_the_password_is_not_told() -> None:
    """The host is named, the password is nowhere."""
    with pytest.raises(Unreachable) as caught:
        await Store.connect(f"postgresql://me:{CANARY}@127.0.0.1:1/jobs")
    assert "127.0.0.1:1/jobs" in str(caught.value)
    assert CANARY not in f"{caught.value} {caught.value.detail}"


async def test_a_database_that_does_not_exist_is_unreachable_with_a_way_out(empty_database: str) -> None:
    """The hint says to create it."""
    with pytest.raises(Unreachable, match="Create the database"):
        await connect(empty_database.replace("/t_", "/none_"))


async def test_an_address_that_cannot_be_read_is_not_repeated() -> None:
    """A malformed DSN may well hold a password."""
    with pytest.raises(InvalidArgument) as caught:
        await connect(f"postgresql://me:{CANARY}@host:port:port/x")
    assert CANARY not in str(caught.value)


async def test_a_lost_connection_is_unreachable(store: Store) -> None:
    """A server process that is ended in the middle of a statement is Unreachable, and the pool goes on."""
    async with store.connection() as watcher:
        async with store.connection() as victim:
            pid = victim.get_server_pid()

        async def asleep() -> None:
            async with store.connection() as same:
                assert same.get_server_pid() == pid
                await same.execute("select pg_sleep(60)")

        waiting = asyncio.ensure_future(asleep())
        while not await watcher.fetchval(
            "select true from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'", pid
        ):
            pass
        await watcher.execute("select pg_terminate_backend($1)", pid)
        with pytest.raises(Unreachable):
            await waiting
        assert await watcher.fetchval("select 1") == 1
    async with store.connection() as next_one:
        assert await next_one.fetchval("select 1") == 1


async def test_a_collision_is_repeated_in_a_transaction_of_its_own(store: Store) -> None:
    """A serialization failure or deadlock is run again, and the work of the failed attempt is gone."""
    async with store.connection() as connection:
        await connection.execute("create table tries (n int)")
    calls = 0

    async def work(connection: object) -> int:
        nonlocal calls
        calls += 1
        await connection.execute("insert into tries values ($1)", calls)  # type: ignore[attr-defined]
        if calls < 3:
            raise asyncpg.DeadlockDetectedError("deadlock")
        return calls

    assert await store.repeated(work) == 3
    async with store.connection() as connection:
        assert await connection.fetchval("select array_agg(n) from tries") == [3]


async def test_endless_collisions_end_as_unavailable(store: Store) -> None:
    """Repeating has a limit."""

    async def work(_: object) -> None:
        raise asyncpg.SerializationError("again")

    with pytest.raises(Unavailable, match="2 times"):
        await store.repeated(work, attempts=2)


async def test_the_decorator_translates_an_async_function() -> None:
    """The same translation as a decorator; it refuses what is not async."""

    @translated()
    async def fails() -> None:
        raise asyncpg.exceptions.DataError("no")

    with pytest.raises(InvalidArgument):
        await fails()
    with pytest.raises(TypeError):
        translated()(lambda: None)


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgresql://me:secret@db.example:5433/jobs", "db.example:5433/jobs"),
        ("postgresql://me@/jobs?host=/var/run/x", "/var/run/x/jobs"),
        ("postgresql:///jobs", "the local socket/jobs"),
        ("postgresql://me:se@cret@db/jobs", "db/jobs"),
        ("postgresql://[oops", "an address that cannot be read"),
    ],
)
def test_the_place_of_an_address_never_holds_its_password(dsn: str, place: str) -> None:
    """Host, port and database may be shown."""
    assert place_of(dsn) == place
