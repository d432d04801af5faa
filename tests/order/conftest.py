"""Servers that can prepare transactions, and that archive and can be followed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from tests.conftest import FAST, PG_BIN, in_thread
from tests.order.clusters import primary_in

from jobledger.embedded import Server
from jobledger.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def preparing() -> Iterator[Server]:
    """Give one Postgres for these tests that prepares transactions, in memory where there is any."""
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    root = Path(tempfile.mkdtemp(prefix="jobledger-", dir=memory if os.access(memory, os.W_OK) else None))
    settings = {**FAST, "max_prepared_transactions": "50"}
    server = Server(root / "pg", settings=settings, pg_bin=PG_BIN)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Give a folder for servers, in memory where there is any."""
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    root = Path(tempfile.mkdtemp(prefix="jobledger-", dir=memory if os.access(memory, os.W_OK) else None))
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def primary(folder: Path) -> Iterator[Server]:
    """Give a server that archives and that others may follow."""
    servers: list[Server] = []

    async def start() -> None:
        servers.append(await primary_in(folder))

    in_thread(start)
    yield servers[0]
    servers[0].stop()


@pytest.fixture
def two_phase(preparing: Server) -> str:
    """Give the address of a migrated, open database on it."""
    name = f"t_{uuid4().hex[:12]}"

    async def prepare() -> None:
        admin = await asyncpg.connect(preparing.dsn_for("postgres"))
        await admin.execute(f"create database {name}")
        await admin.close()
        connection = await asyncpg.connect(preparing.dsn_for(name))
        await migrate(connection)
        await connection.fetchval("select jobledger.open()")
        await connection.close()

    in_thread(prepare)
    return preparing.dsn_for(name)
