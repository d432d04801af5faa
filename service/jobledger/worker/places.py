"""Places: how many jobs each queue of a worker may still give, by the concurrency of its own.

A claim that came back short because a queue had given all that its limit allowed says nothing of what still lies there.
So such a queue is remembered as drawn to its limit, and a place that comes free in it is worth a poll at once, whatever
wait the other queues' emptiness has brought about.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jobledger.store.claim import ClaimedJob

    Asked: TypeAlias = Mapping[str, int] | None
    """What one claim asks of each queue; None: of every queue there is."""


class Drawn(NamedTuple):
    """What an answer says of the queues that still had places: how many jobs those were asked for, and gave."""

    asked: int
    got: int


class Places:
    """The places of one worker's queues.

    `limits` has the limit of each queue the worker is bound to, None where it has none of its own; None in its place:
    every queue, without limits. `occupying` gives the queues of the jobs in the process that have not ended.
    """

    def __init__(self, limits: Mapping[str, int | None] | None, occupying: Callable[[], Iterable[str]]) -> None:
        """Begin with nothing asked for."""
        self._limits = limits
        self._limited = limits is not None and any(limit is not None for limit in limits.values())
        self._occupying = occupying
        self._asked: Counter[str] = Counter()
        self._at_limit: frozenset[str] = frozenset()

    def room(self, n: int) -> int:
        """Return how many of `n` jobs all queues together may give."""
        if not self._limited or n <= 0:
            return n
        return min(n, sum(self._free(n).values()))

    def ask(self, n: int) -> Asked:
        """Return how many of `n` jobs each queue may give, and keep those places until the claim is answered.

        Two claims under way at once would else both be given the same places.
        """
        if self._limits is None:
            return None
        free = self._free(n)
        if self._limited:
            self._asked.update(free)
        return free

    def answered(self, asked: Asked, n: int, jobs: Sequence[ClaimedJob]) -> Drawn:
        """Take in the answer to a claim of `n` jobs: which queues gave all they might, and what the others gave."""
        if asked is None or not self._limited:
            return Drawn(n, len(jobs))
        self._asked.subtract(asked)
        gave = Counter([job.queue for job in jobs])
        # A queue that was not asked, for want of a place, stays as it was.
        self._at_limit = frozenset(
            queue
            for queue, limit in (self._limits or {}).items()
            if limit is not None and gave[queue] >= asked[queue] and (asked[queue] or queue in self._at_limit)
        )
        beside = sum(gave[queue] for queue in self._at_limit)
        return Drawn(n - beside, len(jobs) - beside)

    def returned(self, asked: Asked) -> None:
        """Take back what a claim asked for that looked at one job only, and so says nothing of what a queue holds."""
        if asked is not None and self._limited:
            self._asked.subtract(asked)

    def given_up(self, asked: Asked) -> None:
        """Take back what a claim asked for that failed; the wait that follows a fault holds for every queue."""
        if asked is not None and self._limited:
            self._asked.subtract(asked)
        self._at_limit = frozenset()

    @property
    def freed(self) -> bool:
        """Whether a queue that was drawn to its limit has places again."""
        return bool(self._at_limit) and any(
            free > 0 for queue, free in self._free(1).items() if queue in self._at_limit
        )

    def _free(self, n: int) -> dict[str, int]:
        limits = self._limits or {}
        if not self._limited:
            return dict.fromkeys(limits, n)
        taken = Counter(self._occupying())
        taken.update(self._asked)
        return {queue: n if limit is None else max(0, min(n, limit - taken[queue])) for queue, limit in limits.items()}
