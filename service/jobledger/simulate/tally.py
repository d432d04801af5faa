"""Counts of a replay while it goes on: what the display shows, fed by observations and by the enqueuer."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jobledger.simulate.check import Load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobledger.simulate.plan import PlannedJob

_RATE_WINDOW_S: Final = 2.0


@dataclass(slots=True)
class TenantTally:
    """One tenant's counts."""

    enqueued: int = 0
    running: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def finished(self) -> int:
        """Return how many of the tenant's jobs have ended."""
        return self.outcomes.total()


class Tally:
    """The counts of one replay of `total` jobs, and the load of the process that runs them.

    `sample` is to be called a few times a second: rates and load are measured between its calls.
    """

    def __init__(self, total: int, slots: int) -> None:
        """Begin to count; `slots` is the worker's concurrency."""
        self.total = total
        self.tenants: dict[str, TenantTally] = {}
        self.enqueued = 0
        self.running = 0
        self.outcomes: Counter[str] = Counter()
        self._slots = slots
        self.begin()

    def begin(self) -> None:
        """Begin to measure, now: what went before was preparation."""
        self._began = self._sampled = time.monotonic()
        self._cpu_began = self._cpu = time.process_time()
        self._slot_seconds = 0.0
        self._busiest = 0.0
        self._window_began, self._window_cpu, self._window_slot_seconds = self._began, self._cpu, 0.0
        self._finishes: deque[tuple[float, int]] = deque([(self._began, 0)])

    @property
    def finished(self) -> int:
        """Return how many jobs have ended."""
        return self.outcomes.total()

    @property
    def is_complete(self) -> bool:
        """Say whether every job was seen to end."""
        return self.finished >= self.total

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the counting began."""
        return time.monotonic() - self._began

    def tenant(self, name: str) -> TenantTally:
        """Return the counts of one tenant."""
        return self.tenants.setdefault(name, TenantTally())

    def enqueue(self, jobs: Iterable[PlannedJob]) -> None:
        """Count jobs that were enqueued."""
        for job in jobs:
            self.tenant(job.tenant).enqueued += 1
            self.enqueued += 1

    def start(self, tenant: str) -> None:
        """Count a handler that began."""
        self.tenant(tenant).running += 1
        self.running += 1

    def finish(self, tenant: str, outcome: str) -> None:
        """Count a handler that ended."""
        counts = self.tenant(tenant)
        counts.running -= 1
        self.running -= 1
        counts.outcomes[outcome] += 1
        self.outcomes[outcome] += 1

    def sample(self) -> None:
        """Take the measures of the time since the last call into account."""
        now, cpu = time.monotonic(), time.process_time()
        self._slot_seconds += self.running * (now - self._sampled)
        self._sampled, self._cpu = now, cpu
        self._finishes.append((now, self.finished))
        while len(self._finishes) > 2 and self._finishes[1][0] < now - _RATE_WINDOW_S:
            self._finishes.popleft()
        if (span := now - self._window_began) >= 1:
            slots = (self._slot_seconds - self._window_slot_seconds) / span / self._slots
            self._busiest = max(self._busiest, slots, (cpu - self._window_cpu) / span)
            self._window_began, self._window_cpu, self._window_slot_seconds = now, cpu, self._slot_seconds

    def per_second(self) -> float:
        """Return the jobs finished a second over the last two seconds."""
        (then, before), (now, after) = self._finishes[0], self._finishes[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def load(self) -> Load:
        """Return the load so far."""
        span = max(self._sampled - self._began, 1e-9)
        mean = max(self._slot_seconds / span / self._slots, (self._cpu - self._cpu_began) / span)
        return Load(mean=mean, busiest=max(self._busiest, mean))

    def document(self) -> dict[str, Any]:
        """Return the counts for programs, tenants in their natural order."""
        return {
            "total": self.total,
            "enqueued": self.enqueued,
            "running": self.running,
            "finished": self.finished,
            "outcomes": dict(sorted(self.outcomes.items())),
            "elapsed_s": round(self.elapsed_s, 3),
        }
