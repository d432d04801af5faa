"""CPU time of the Postgres server, where it runs on this machine and its processes can be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from jobledger.store.statements import statement

if TYPE_CHECKING:
    from jobledger.store.pool import Connection

_PARENT = 1
_OWN = (11, 12)  # utime, stime after the command's name in /proc/PID/stat
_CHILDREN_TOO = (11, 12, 13, 14)  # with cutime, cstime


async def server_cpu_s(connection: Connection) -> float | None:
    """Return the CPU seconds that the server and its backends have used, or None where that cannot be known."""
    try:
        postmaster = await _postmaster(connection)
        if postmaster is None:
            return None
        times = [_cpu_s(postmaster, _CHILDREN_TOO), *(_cpu_s(pid, _CHILDREN_TOO) for pid in _children(postmaster))]
    except (OSError, ValueError):
        return None
    return sum(times)


async def backends_cpu_s(connection: Connection, named: str) -> dict[int, float] | None:
    """Return the CPU seconds of each backend of connections with this name, or None where that cannot be known."""
    try:
        postmaster = await _postmaster(connection)
        if postmaster is None:
            return None
        # Only what is a child of that very server: elsewhere the same number is another process.
        ours = set(_children(postmaster))
        pids = [row["pid"] for row in await connection.fetch(statement("bench/backends"), named)]
        return {pid: _finer(pid) for pid in pids if pid in ours}
    except (OSError, ValueError):
        return None


async def _postmaster(connection: Connection) -> int | None:
    """Return the server's own process, the parent of the connection's backend; None where it is not of this machine."""
    backend = await connection.fetchval(statement("bench/postmaster"))
    if backend is None or not _is_postgres(backend):
        return None
    parent = _parent(backend)
    return parent if _is_postgres(parent) else None


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_PARENT])


def _is_postgres(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"


def resident_bytes() -> int:
    """Return the resident size of this process: now where the system says it, else the most it ever was."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource  # noqa: PLC0415 - only where there is no /proc

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _children(parent: int) -> list[int]:
    return [
        int(pid) for task in Path(f"/proc/{parent}/task").iterdir() for pid in (task / "children").read_text().split()
    ]


def _finer(pid: int) -> float:
    """CPU seconds by the scheduler's own count (a backend has one thread), else by clock ticks of 10 ms."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return _cpu_s(pid, _OWN)


def _cpu_s(pid: int, places: tuple[int, ...]) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[place]) for place in places) / os.sysconf("SC_CLK_TCK")
