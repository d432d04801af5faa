"""A small disk that can be full: a file system in memory, of which a database may have its log on a part."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
_TRIES = 20
_MOVE = """
select format('alter table jobledger.%I set tablespace {0}', c.relname) from pg_class as c
where c.oid in (select relid from pg_partition_tree('jobledger.events') where isleaf)
"""


class CannotMountError(Exception):
    """No file system can be mounted here; the words say why."""


class Disk:
    """A small file system in memory."""

    def __init__(self, place: Path, size: int) -> None:
        """Mount it. Raises `CannotMountError` where that is not allowed."""
        if os.geteuid() != 0:
            raise CannotMountError("only root can mount a small file system")
        self.place = place
        place.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs")

    def grow(self, size: int) -> None:
        """Give it another size, in bytes."""
        self._mount("-o", f"remount,size={size}")

    def fill(self) -> None:
        """Leave nothing free: its size becomes what is used. Others may write meanwhile."""
        for _ in range(_TRIES):
            found = os.statvfs(self.place)
            try:
                # A size of 0 would be none at all.
                return self.grow(max(found.f_blocks - found.f_bfree, 1) * found.f_frsize)
            except CannotMountError:
                continue
        raise OSError("it was written to faster than it could be filled")

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", self.place], check=False)  # noqa: S603, S607 - the system's own

    def _mount(self, *words: str) -> None:
        done = subprocess.run(["mount", *words, self.place], capture_output=True, text=True, check=False)  # noqa: S603, S607
        if done.returncode:
            raise CannotMountError(f"no small file system can be mounted here: {done.stderr.strip()}")


@contextlib.contextmanager
def mounted_disk(size: int) -> Iterator[Disk]:
    """Give a disk of so many bytes for a block. Raises `CannotMountError`."""
    folder = Path(tempfile.mkdtemp(prefix="jobledger-disk-"))
    # The account that Postgres runs as passes through.
    folder.chmod(0o755)
    try:
        disk = Disk(folder / "disk", size)
        try:
            yield disk
        finally:
            disk.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owned(disk: Disk, like: str) -> Path:
    """Return a folder on the disk that belongs to whom another one belongs to: the account that Postgres runs as."""
    folder = disk.place / "space"
    folder.mkdir()
    account = Path(like).stat()
    os.chown(folder, account.st_uid, account.st_gid)
    return folder


async def log_moved_to(disk: Disk, dsn: str, space: str) -> None:
    """Make a tablespace of this name on the disk, and move the log of a database to it, as far as it has partitions."""
    database: asyncpg.Connection[Any] = await asyncpg.connect(dsn)
    try:
        folder = _owned(disk, (await database.fetchval("show unix_socket_directories")).strip('"'))
        await database.execute(f"create tablespace {space} location '{folder}'")
        for (command,) in await database.fetch(_MOVE.format(space)):
            await database.execute(command)
    finally:
        await database.close()
