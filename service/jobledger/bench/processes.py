"""CPU time of the Postgres server, where it runs on this machine and its processes can be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from jobledger.store.statements import statement

if TYPE_CHECKING:
    from jobledger.store.pool import Connection

_CHILDREN_TOO = (11, 12, 13, 14)  # utime, stime, cutime, cstime after the command's name in /proc/PID/stat


async def server_cpu_s(connection: Connection) -> float | None:
    """Return the CPU seconds that the server and its backends have used, or None where that cannot be known."""
    folder = await connection.fetchval(statement("bench/postmaster"))
    if folder is None:
        return None
    try:
        postmaster = int((Path(folder) / "postmaster.pid").read_text().split("\n", 1)[0])
        times = [_cpu_s(postmaster), *(_cpu_s(pid) for pid in _children(postmaster))]
    except (OSError, ValueError):
        return None
    return sum(times)


def _children(parent: int) -> list[int]:
    return [
        int(pid) for task in Path(f"/proc/{parent}/task").iterdir() for pid in (task / "children").read_text().split()
    ]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[place]) for place in _CHILDREN_TOO) / os.sysconf("SC_CLK_TCK")
