"""Databases made for tests: one server for the run, one migrated template, a copy of it for each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from jobledger.embedded import Server
from jobledger.store.migrate import migrate
from jobledger.store.pool import Store, connect
from jobledger.store.recovery import open_store
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

T = TypeVar("T")

FAST: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
}
"""Settings of a server whose data need not outlive it."""


class Databases:
    """Makes and drops databases on one server; every method blocks, so that plain fixtures can use it."""

    def __init__(self, dsn_for: Callable[[str], str], *, maintenance: str = "postgres") -> None:
        """`dsn_for` gives the address of a database of the server; `maintenance` is one that exists."""
        self._dsn_for = dsn_for
        self._maintenance = maintenance
        self._template: str | None = None

    def create(self) -> str:
        """Return the address of a new database, migrated and open."""
        if self._template is None:
            self._template = self._prepared()
        return self._dsn_for(self._made(self._template))

    def drop(self, dsn: str) -> None:
        """Drop a database that `create` made, with whoever is still connected."""
        name = urlsplit(dsn).path.lstrip("/")
        self._run(statement("testing/database_drop").format(name=name))

    def close(self) -> None:
        """Drop the template."""
        if self._template is not None:
            self._run(statement("testing/database_drop").format(name=self._template))
            self._template = None

    def _prepared(self) -> str:
        name = self._made("template0")

        async def prepare() -> None:
            connection = await connect(self._dsn_for(name))
            try:
                await migrate(connection)
                await open_store(Store(connection=connection))
            finally:
                await connection.close()

        in_thread(prepare)
        return name

    def _made(self, template: str) -> str:
        name = f"jobledger_test_{uuid4().hex[:16]}"
        self._run(statement("testing/database_create").format(name=name, template=template))
        return name

    def _run(self, sql: str) -> None:
        async def run() -> None:
            connection = await connect(self._dsn_for(self._maintenance))
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        in_thread(run)


@contextmanager
def embedded_postgres() -> Iterator[Databases]:
    """Run an embedded Postgres for a block, fast and forgetful, and give the maker of its databases.

    Its files lie in memory where the machine has such a folder. `JOBLEDGER_PG_BIN` names other Postgres programs.

    Raises:
        PostgresNotFound: there are no Postgres programs; says what to install.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    root = Path(tempfile.mkdtemp(prefix="jobledger-", dir=memory if os.access(memory, os.W_OK) else None))
    server = Server(root / "pg", settings=FAST, pg_bin=os.environ.get("JOBLEDGER_PG_BIN") or None)
    try:
        server.start()
        yield Databases(server.dsn_for)
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def run_databases() -> Iterator[Databases]:
    """Give databases on the server of `JOBLEDGER_TEST_DSN`, whose user creates databases, else on an embedded one."""
    dsn = os.environ.get("JOBLEDGER_TEST_DSN")
    if not dsn:
        with embedded_postgres() as made:
            yield made
        return
    parts = urlsplit(dsn)

    def dsn_for(database: str) -> str:
        return urlunsplit(parts._replace(path=f"/{database}"))

    made = Databases(dsn_for, maintenance=parts.path.lstrip("/") or "postgres")
    try:
        yield made
    finally:
        made.close()


def in_thread(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run async work from a plain fixture, in a loop of its own that the tests' loops know nothing of."""
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
