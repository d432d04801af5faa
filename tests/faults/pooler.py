"""PgBouncer in front of a test's server, in transaction mode."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from jobledger.errors import Unavailable
from jobledger.store.pool import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVER_CONNECTIONS = 4
CONFIG = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
server_reset_query =
server_reset_query_always = 0
logfile = {folder}/log
pidfile = {folder}/pid
"""


PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Pooler:
    """One PgBouncer in front of the test's server."""

    def __init__(self, database: str, folder: Path, program: str) -> None:
        """Write its configuration; it runs as whoever runs the server, for it refuses root."""
        parts = urlsplit(database)
        at = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._program = program
        self._folder = folder
        self._account = pwd.getpwuid(Path(at["host"]).stat().st_uid)
        user = parts.username or "postgres"
        config = CONFIG.format(**at, user=user, size=SERVER_CONNECTIONS, folder=folder)
        (folder / "pgbouncer.ini").write_text(config)
        folder.chmod(0o755)
        os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        self.dsn = f"postgresql://{user}@{parts.path}?host={folder}&port=6432"
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start it."""
        words: dict[str, Any] = {}
        if os.geteuid() == 0:
            words = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        command = [self._program, "-q", str(self._folder / "pgbouncer.ini")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **words)  # noqa: S603

    async def start(self) -> None:
        """Start it, and wait until it lets through."""
        self.spawn()
        assert self._process is not None
        async with asyncio.timeout(20):
            while True:
                try:
                    connection = await connect(self.dsn, pooler="transaction")
                except Unavailable:
                    assert self._process.poll() is None
                    await asyncio.sleep(0.02)
                else:
                    return await connection.close()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def pooled(database: str, program: str) -> AsyncIterator[Pooler]:
    """Run a pooler in front of a database for a block."""
    folder = Path(tempfile.mkdtemp(prefix="jobledger-pooler-"))
    made = Pooler(database, folder, program)
    try:
        await made.start()
        yield made
    finally:
        made.kill()
        shutil.rmtree(folder)
