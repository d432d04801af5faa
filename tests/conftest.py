"""One Postgres for the whole run, one migrated template, and a fresh database for each test that asks for one.

`JOBLEDGER_TEST_PG_BIN` names other Postgres programs (the folder with `initdb`), for instance those of version 15.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from jobledger.embedded import Server
from jobledger.store.migrate import migrate
from jobledger.store.pool import Store, connect
from jobledger.store.statements import statement
from jobledger.testing.clock import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

T = TypeVar("T")

PG_BIN = os.environ.get("JOBLEDGER_TEST_PG_BIN") or None
"""The Postgres programs of each server that a test starts; None: the embedded ones."""

# How long one example takes is the machine's affair: a busy one is no fault.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Nothing here outlives the run, so nothing need be safe on disk.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "4GB",
    # Blocks that a test counts are its own, and statistics are as it has made them.
    "autovacuum": "off",
}


def in_thread(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run async work from a sync fixture, in a loop of its own that the tests' loops know nothing of."""
    answers: list[T] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(asyncio.run(work()))
        except BaseException as fault:  # noqa: BLE001 - handed on to the thread that waits
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return answers[0]


class Databases:
    """Makes and drops databases on the run's server."""

    def __init__(self, server: Server) -> None:
        """Keep one connection for it; `create database` copies a template that nobody may be connected to."""
        self.server = server
        self._admin = psycopg.connect(server.dsn_for("postgres"), autocommit=True)
        self.template: str | None = None

    def create(self, template: str | None = None) -> str:
        """Return the name of a new database, empty or a copy of `template`."""
        name = f"t_{uuid4().hex[:12]}"
        self._admin.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template or "template0")
            )
        )
        return name

    def drop(self, name: str) -> None:
        """Drop it, with whoever is still connected."""
        self._admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()


@asynccontextmanager
async def bound_to_acme(store: Store, roles: str) -> AsyncIterator[str]:
    """Give a role, a member of those named, that is bound to the tenant acme."""
    name = f"bound_{uuid4().hex[:8]}"
    async with store.connection() as connection:
        await connection.execute(f"create role {name} in role {roles}")
        await connection.execute("insert into jobledger.grants (role, tenant) values ($1, 'acme')", name)
        yield name
        await connection.execute(f"drop role {name}")


@asynccontextmanager
async def migrated(server: Server) -> AsyncIterator[Server]:
    """Run a server of the test's own, migrated."""
    try:
        connection = await connect(await server.astart())
        await migrate(connection)
        await connection.close()
        yield server
    finally:
        await server.astop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Give one embedded Postgres for the whole run, in memory where there is any, without fsync."""
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    root = Path(tempfile.mkdtemp(prefix="jobledger-", dir=memory if os.access(memory, os.W_OK) else None))
    server = Server(root / "pg", settings=FAST, pg_bin=PG_BIN)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def databases(postgres: Server) -> Iterator[Databases]:
    """Give the maker of databases, with a migrated template."""
    made = Databases(postgres)
    yield made
    made.close()


@pytest.fixture(scope="session")
def template(databases: Databases) -> str:
    """Give the name of the database that was migrated and opened once, to be copied."""
    name = databases.create()

    async def prepare() -> None:
        connection = await asyncpg.connect(databases.server.dsn_for(name))
        try:
            await migrate(connection)
            await connection.fetchval(statement("open"), 0)
        finally:
            await connection.close()

    in_thread(prepare)
    return name


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[str]:
    """Give the address of a database with nothing in it."""
    name = databases.create()
    yield databases.server.dsn_for(name)
    databases.drop(name)


@pytest.fixture
def database(databases: Databases, template: str) -> Iterator[str]:
    """Give the address of a migrated, open database of this test's own."""
    name = databases.create(template)
    yield databases.server.dsn_for(name)
    databases.drop(name)


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """Give a store on the test's own database."""
    async with await Store.connect(database, pool_min=1, pool_max=10) as opened:
        yield opened


@pytest.fixture
async def clock(store: Store) -> Clock:
    """Give the settable clock of the test's own database."""
    made = Clock(store)
    await made.install()
    return made
