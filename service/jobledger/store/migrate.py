"""Migrations: bring a database to what the SQL files say, one runner at a time.

Each numbered migration is a transaction of its own, recorded in it. Then every changed projection file is applied, all
of them in one transaction, so nobody ever sees half of the functions. A runner that finds another at work waits for it
and then finds nothing left to do. Every function takes a connection that is the caller's, direct (not through a
transaction pooler) and not inside a transaction.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg

from jobledger import __version__
from jobledger.errors import Forbidden, SchemaError, SchemaMissing, SchemaNewer, Unavailable
from jobledger.observations import MigrationApplied, ProjectionApplied, ProjectionRebuilt, emit, listeners
from jobledger.store.failures import translated
from jobledger.store.migration_files import MigrationFile, SqlFiles, read_sql_files, split_statements
from jobledger.store.migration_plan import Applied, Plan, plan
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jobledger.store.pool import Connection

    Say = Callable[[str], None]

CONTRACT: Final = 1
"""The number of the contract that this package calls; `jobledger.serves` tells which ones a database serves."""

_log = logging.getLogger("jobledger.migrate")
_POLL_S = 0.1
_SAY_EVERY_S = 10.0
LOCK_TIMEOUT = "2s"
_LOCK_ATTEMPTS = 30
# Workers and enqueuers go on meanwhile, and lock the tables in an order of their own.
_HELD_UP = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


async def applied(connection: Connection) -> Applied:
    """Read what the database says it has had; a database that was never migrated has had nothing."""
    there = await connection.fetchrow(statement("migration_tables_exist"))
    migrations = await connection.fetch(statement("migrations_applied")) if there and there["migrations"] else []
    projections = await connection.fetch(statement("projections_applied")) if there and there["projections"] else []
    return Applied(
        {row["number"]: (row["name"], row["checksum"]) for row in migrations},
        {row["path"]: (row["checksum"], row["version"]) for row in projections},
    )


async def pending(connection: Connection, *, files: SqlFiles | None = None, version: str = __version__) -> Plan:
    """Return what `migrate` would do, and change nothing (the dry run): false when there is nothing to do.

    Raises:
        SchemaNewer: the database was migrated by a newer version.
        SchemaChanged: an applied migration's text was changed since.
    """
    with translated():
        return plan(files or read_sql_files(), await applied(connection), version)


async def must_be_migrated(
    connection: Connection, *, files: SqlFiles | None = None, version: str = __version__, contract: int = CONTRACT
) -> None:
    """Refuse to work on a database that does not serve this code; a role that may not look goes on.

    A database that a newer version has migrated is worked on as long as it serves the contract that this code calls,
    so that old workers and new ones can run side by side, and old ones start again, while a service is brought up.

    Raises:
        SchemaMissing: something is to be applied first.
        SchemaNewer: a newer version migrated it, and no longer serves this one.
        SchemaChanged: the text of an applied migration is not this code's.
    """
    try:
        missing = await pending(connection, files=files, version=version)
    except Forbidden:
        return
    except SchemaNewer:
        if await _serves(connection, contract):
            return
        raise
    if missing:
        raise SchemaMissing(
            "The database is older than this code: migrations or projections are to be applied.",
            hint="Run `jobledger migrate`.",
        )


async def _serves(connection: Connection, contract: int) -> bool:
    with translated():
        there = await connection.fetchval(statement("serves_exists"))
        return bool(there and await connection.fetchval(statement("serves"), contract))


async def migrate(
    connection: Connection,
    *,
    files: SqlFiles | None = None,
    say: Say | None = None,
    version: str = __version__,
    lock_timeout: str = LOCK_TIMEOUT,
) -> Plan:
    """Apply what is missing, and return what was done; false when nothing was missing.

    `say` gets one line for each step and for each wait (default: the log `jobledger.migrate`, level info).
    `lock_timeout` bounds how long a step waits for a table, and so how long others wait behind it; a step that does
    not get its locks is tried again, 30 times in all.

    Raises:
        SchemaNewer, SchemaChanged: as `pending`; nothing was changed.
        SchemaError: a file failed; what came before it is applied, it and what follows are not.
    """
    say = say or _log.info
    files = files or read_sql_files()
    if not await pending(connection, files=files, version=version):
        return Plan()
    if connection.is_in_transaction():
        raise SchemaError("Migrations run in transactions of their own, not inside the caller's.")
    with translated():
        async with _alone(connection, say):
            # Read again: whoever held the lock may have done it all.
            todo = await pending(connection, files=files, version=version)
            if todo:
                for name in ("migration_schema", "migration_table", "projection_table"):
                    await connection.execute(statement(name))
            for migration in todo.migrations:
                await _apply_migration(connection, migration, say, version, lock_timeout)
            if todo.drops and await connection.fetchval(statement("close_exists")):
                # Workers then stand back at once instead of queueing for the tables; `rebuild` opens again.
                await connection.execute(statement("close"), 0)
            if todo.projections or todo.forgotten:
                await _insist(lambda: _apply_projections(connection, todo, say, version, lock_timeout), say)
            if todo and await connection.fetchval(statement("partitions_exist_function")):
                await connection.fetchval(statement("partitions_ensure"), 0)
            return todo


@asynccontextmanager
async def _alone(connection: Connection, say: Say) -> AsyncIterator[None]:
    """Hold the runners' lock on this session."""
    waited = 0.0
    told = -_SAY_EVERY_S
    while not await connection.fetchval(statement("migration_lock")):
        if waited - told >= _SAY_EVERY_S:
            say("another process is migrating this database; waiting for it")
            told = waited
        await asyncio.sleep(_POLL_S)
        waited += _POLL_S
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.fetchval(statement("migration_unlock"))


async def _insist(step: Callable[[], object], say: Say) -> None:
    """Run a step again when it did not get its locks in time, or each waited for a lock of the other."""
    for attempt in range(1, _LOCK_ATTEMPTS + 1):
        try:
            await step()  # type: ignore[misc]
        except _HELD_UP as error:
            if attempt == _LOCK_ATTEMPTS:
                if isinstance(error, asyncpg.LockNotAvailableError):
                    raise
                raise Unavailable("Other transactions were in the way all the time.", hint="Try again.") from None
            say("a table is locked by another transaction; trying again")
            await asyncio.sleep(_POLL_S * attempt)
        else:
            return


async def _apply_migration(
    connection: Connection, migration: MigrationFile, say: Say, version: str, lock_timeout: str
) -> None:
    say(f"applying {migration.name}")
    began = time.perf_counter()
    record = (migration.number, migration.name, migration.checksum, version)

    async def inside() -> None:
        async with connection.transaction():
            await connection.fetch(statement("migration_settings"), lock_timeout)
            await _run(connection, migration.name, migration.text)
            await connection.execute(statement("migration_record"), *record)

    if migration.in_transaction:
        await _insist(inside, say)
    else:
        for one in split_statements(migration.text):
            await _run(connection, migration.name, one, again=(asyncpg.LockNotAvailableError,))
        await connection.execute(statement("migration_record"), *record)
    if listeners:
        emit(MigrationApplied(name=migration.name, elapsed_s=time.perf_counter() - began))


async def _apply_projections(connection: Connection, todo: Plan, say: Say, version: str, lock_timeout: str) -> None:
    rebuilt: list[ProjectionRebuilt] = []
    async with connection.transaction():
        await connection.fetch(statement("migration_settings"), lock_timeout)
        for table in todo.drops:
            await connection.execute(statement("projection_drop_table").replace("$1", table))
        for file in todo.projections:
            if file.path in todo.changed:
                say(f"applying projection {file.path}")
            await _run(connection, file.path, file.text)
            await connection.execute(statement("projection_record"), file.path, file.checksum, version)
        for path in todo.forgotten:
            await connection.execute(statement("projection_forget"), path)
        for name in todo.rebuilds:
            say(f"rebuilding {name} from the log")
            began = time.perf_counter()
            rows = await connection.fetchval(statement("projection_rebuild"), name)
            rebuilt.append(ProjectionRebuilt(name=name, rows=rows or 0, elapsed_s=time.perf_counter() - began))
    if listeners:
        for name in dict.fromkeys(file.projection for file in todo.projections):
            emit(ProjectionApplied(name=name))
        for observation in rebuilt:
            emit(observation)


async def _run(
    connection: Connection, name: str, text: str, *, again: tuple[type[asyncpg.PostgresError], ...] = _HELD_UP
) -> None:
    """Send one file, and name it when it fails, but for what has it sent `again`. Nothing of a caller's is quoted."""
    try:
        await connection.execute(text)
    except again:
        raise
    except asyncpg.PostgresError as error:
        facts = error.as_dict()
        line = text.count("\n", 0, int(facts.get("position") or 1) - 1) + 1
        where = f"{name}, line {line}" if facts.get("position") else name
        said = facts.get("message") or type(error).__name__
        raise SchemaError(
            f"{where}: {said}", hint=facts.get("hint"), detail={"file": name, "sqlstate": error.sqlstate}
        ) from error
