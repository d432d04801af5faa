"""Limits of a worker's own life: jobs, seconds, memory, lost slots. One that knows its end claims nothing past it."""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobledger.store.claim import ClaimedJob

_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Limits:
    """When a worker ends by itself; None means never.

    max_jobs: jobs begun; max_seconds: wall-clock seconds from its start, by which every job it takes must be over;
    max_memory: bytes of resident memory; max_lost: slots and threads lost to handlers that ignore their end.
    """

    max_jobs: int | None = None
    max_seconds: float | None = None
    max_memory: int | None = None
    max_lost: int | None = 10


class Budget:
    """What is left of a worker's limits."""

    def __init__(self, limits: Limits) -> None:
        """Begin counting now."""
        self._limits = limits
        self._began = time.monotonic()
        self.taken = 0

    @property
    def ends(self) -> bool:
        """Say whether the worker knows the moment of its end."""
        return self._limits.max_seconds is not None

    def left_s(self) -> float | None:
        """Return the seconds left, None where there is no end."""
        if self._limits.max_seconds is None:
            return None
        return max(0.0, self._limits.max_seconds - (time.monotonic() - self._began))

    def jobs(self, n: int, asked: int) -> int:
        """Return how many of `n` jobs may still be asked for, beside those asked for already."""
        if self._limits.max_jobs is None:
            return n
        return max(0, min(n, self._limits.max_jobs - self.taken - asked))

    def fits(self, job: ClaimedJob) -> bool:
        """Say whether the job's time-out lies before the worker's end."""
        left = self.left_s()
        return left is None or job.timeout <= left

    def met(self, lost: int, held: int) -> str | None:
        """Return the limit that ends the worker now, None while there is none."""
        limits = self._limits
        if limits.max_lost is not None and lost >= limits.max_lost:
            return "max_lost"
        if limits.max_memory is not None and resident_bytes() > limits.max_memory:
            return "max_memory"
        if limits.max_jobs is not None and self.taken >= limits.max_jobs and held == 0:
            return "max_jobs"
        left = self.left_s()
        if left is not None and left <= 0:
            return "max_seconds"
        return None


def resident_bytes() -> int:
    """Return this process's resident memory now; where that cannot be known, the most it ever was."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
