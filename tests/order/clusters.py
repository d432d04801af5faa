"""Servers that are lost and restored: a primary that archives, and what is made of its copies."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg
from tests.conftest import FAST, PG_BIN
from tests.faults.conftest import until

from jobledger.embedded import Server, find_binaries
from jobledger.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SEGMENT = "select pg_walfile_name(pg_switch_wal())"
ARCHIVED = "select last_archived_wal >= $1 from pg_stat_archiver"


def program(name: str) -> str:
    """Return one of Postgres's own programs."""
    return find_binaries(PG_BIN).program(name)


def address(server: Server) -> dict[str, str]:
    """Return host and port of a server, as its own programs and other servers take them."""
    return {name: values[0] for name, values in parse_qs(urlsplit(server.dsn).query).items()}


def server_in(folder: Path, **settings: str) -> Server:
    """Return a server of a test's own, not started yet: quick, since nothing there outlives a lost machine."""
    return Server(folder, settings={**FAST, "shared_buffers": "64MB", **settings}, pg_bin=PG_BIN)


def _open_to_all(archive: Path) -> None:
    archive.mkdir(parents=True)
    archive.parent.chmod(0o755)
    archive.chmod(0o777)


async def primary_in(folder: Path) -> Server:
    """Start a migrated server that archives its log and that others may follow."""
    archive = folder / "archive"
    await asyncio.to_thread(_open_to_all, archive)
    server = server_in(
        folder / "primary",
        wal_level="logical",
        wal_keep_size="1GB",
        archive_mode="on",
        archive_command=f"cp %p {archive}/%f",
        max_prepared_transactions="20",
    )
    connection = await asyncpg.connect(await server.astart())
    await migrate(connection)
    await connection.close()
    return server


def _given(copy: Path, like: os.stat_result) -> None:
    """Give a copy to the account that Postgres runs as."""
    if os.geteuid() == 0:
        for path in (copy, *copy.rglob("*")):
            os.chown(path, like.st_uid, like.st_gid, follow_symlinks=False)


def backed_up(server: Server, folder: Path) -> None:
    """Make a base backup of a running server where another server finds its data."""
    at = address(server)
    folder.mkdir(mode=0o711, parents=True)
    (folder / "lock").touch()
    words = ["-h", at["host"], "-p", at["port"], "-U", "postgres", "-D", str(folder / "cluster"), "-X", "stream"]
    done = subprocess.run(  # noqa: S603 - Postgres's own program
        [program("pg_basebackup"), *words, "-c", "fast"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    _given(folder / "cluster", (server.data / "cluster").stat())


def told(folder: Path, signal_file: str, settings: Mapping[str, str]) -> None:
    """Write into a copy how it is to begin."""
    cluster = folder / "cluster"
    with (cluster / "postgresql.auto.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (cluster / signal_file).touch()
    _given(cluster, cluster.stat())


async def archived(server: Server) -> None:
    """Wait until all that was written so far lies in the archive."""
    connection = await asyncpg.connect(server.dsn)
    segment = await connection.fetchval(SEGMENT)
    await until(lambda: connection.fetchval(ARCHIVED, segment))
    await connection.close()


async def ended(server: Server, how: int = signal.SIGQUIT) -> None:
    """End a server without a checkpoint, and wait until nobody writes its data any more."""
    pid = server.pid
    assert pid is not None
    os.kill(pid, how)
    await until(lambda: not server.running)


def storage_copied(server: Server, folder: Path) -> None:
    """Copy the data of a server that has ended, as a snapshot of its storage has it."""
    shutil.copytree(server.data / "cluster", folder, symlinks=True)


def rolled_back(server: Server, folder: Path) -> None:
    """Put such a copy in the place of what came after it."""
    cluster = server.data / "cluster"
    owner = cluster.stat()
    shutil.rmtree(cluster)
    shutil.copytree(folder, cluster, symlinks=True)
    cluster.chmod(0o700)
    _given(cluster, owner)
