"""A database for one measurement: made on the server, migrated, opened, and dropped at the end, whatever happens."""

from __future__ import annotations

import contextlib
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from jobledger.errors import Forbidden, JobledgerError
from jobledger.store import pool, recovery
from jobledger.store.failures import place_of, translated
from jobledger.store.migrate import migrate
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@asynccontextmanager
async def own_database(
    server: str, dsn_of: Callable[[str], str], say: Callable[[str], None], *, unlogged: bool = True
) -> AsyncIterator[str]:
    """Make a database beside `server` (the DSN of any database of it), migrated and open; drop it at the end.

    `dsn_of` returns the DSN of another database of the same server; `unlogged` is how its live tables are to be.

    Raises:
        Forbidden: the role may not make databases.
    """
    async with bare_database(server, dsn_of, say) as dsn:
        await _prepare(dsn, unlogged)
        yield dsn


@asynccontextmanager
async def bare_database(server: str, dsn_of: Callable[[str], str], say: Callable[[str], None]) -> AsyncIterator[str]:
    """Make a database with nothing in it and drop it at the end, whatever happens. Errors as `own_database`."""
    name = f"jobledger_bench_{secrets.token_hex(4)}"
    await _command(server, "bench/create_database", name)
    try:
        say(f"made the database {name}")
        yield dsn_of(name)
    finally:
        with contextlib.suppress(JobledgerError):  # the server may be gone; the measurement's own error matters more
            await _command(server, "bench/drop_database", name)


async def settle(connection: pool.Connection) -> None:
    """Take statistics, copy the queue if that is due, and write what is dirty: the clock does not pay for filling."""
    await connection.execute(statement("bench/settle"))
    await recovery.take_snapshot(connection, 0)
    with contextlib.suppress(asyncpg.InsufficientPrivilegeError):  # only some roles may ask for a checkpoint
        await connection.execute(statement("bench/checkpoint"))


async def _command(server: str, name: str, database: str) -> None:
    connection = await pool.connect(server, application_name="jobledger-bench")
    try:
        with translated(place_of(server)):
            await connection.execute(await connection.fetchval(statement(name), database))
    except Forbidden:
        raise Forbidden(
            "This role may not make a database of its own for the measurement.",
            hint="Grant it CREATEDB, or leave out --dsn.",
        ) from None
    finally:
        await connection.close()


async def _prepare(dsn: str, unlogged: bool) -> None:
    connection = await pool.connect(dsn, application_name="jobledger-bench")
    try:
        await migrate(connection, say=_silent)
        store = pool.Store(connection=connection)
        await recovery.open_store(store)
        await recovery.persist(store, unlogged=unlogged)
        with contextlib.suppress(asyncpg.PostgresError):  # it may not be installed, or this role may not
            await connection.execute(statement("bench/wal_extension"))
    finally:
        await connection.close()


def _silent(_: str) -> None:
    """Say nothing of the migrations of a database that nobody keeps."""
