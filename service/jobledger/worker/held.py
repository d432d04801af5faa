"""The ledger of what a worker holds: each job from the answer of its claim until the answer to its report.

Three parties touch it: the loop that takes claims in, the slots that take jobs out to run, and the heartbeat's thread,
which must be able to say at any moment, whatever the loop does, what this worker holds. A heartbeat that left out a job
which the worker is going to run would have it released and run twice; one that named a job it never got would keep it
from everybody. So:

- `lock` is held while an answer is taken in, while a heartbeat reads, and while it takes jobs away.
- Claim calls are numbered. `settled` is the last call such that it and all before it were answered and taken in, or
  given up; an answer that comes for a call which was given up is thrown away, because a heartbeat may already have said
  that nothing of it is held.
- A job leaves `waiting` by one atomic `popleft` or `pop`: whoever gets it owns it, the slot that runs it or the
  heartbeat that gives it back. The slots therefore need no lock.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from jobledger.store.claim import ClaimedJob

_ID: Final = attrgetter("id")
_TENANT: Final = attrgetter("tenant")


class Beat(NamedTuple):
    """What one heartbeat says: its own number, the last settled claim call, and every job held under which claim.

    The claim is for reading the answer: by then the same job may have been reported and claimed again.
    """

    number: int
    settled: int
    held: dict[UUID, ClaimedJob]


class HeldJobs:
    """What one incarnation of a worker holds. Safe for use from the loop's thread and the heartbeat's."""

    __slots__ = ("_calls", "_held", "_last_beat", "_last_call", "_settled", "by_tenant", "late", "lock", "waiting")

    def __init__(self) -> None:
        """Begin with nothing held and no call made."""
        self.lock = threading.Lock()
        self.waiting: deque[ClaimedJob] = deque()
        self.by_tenant: Counter[str] = Counter()
        self.late = 0
        self._held: dict[UUID, ClaimedJob] = {}
        self._calls: dict[int, bool] = {}
        self._last_call = 0
        self._settled = 0
        self._last_beat = 0

    def __len__(self) -> int:
        """Count the jobs held: waiting in the process, running, or being reported."""
        return len(self._held)

    def __contains__(self, job: object) -> bool:
        """Say whether the job of this id is held."""
        return job in self._held

    @property
    def settled(self) -> int:
        """The last claim call up to which nothing is outstanding."""
        return self._settled

    def begin_call(self) -> int:
        """Number a claim call. It is outstanding until `take_in` or `give_up`."""
        with self.lock:
            self._last_call += 1
            self._calls[self._last_call] = True
            return self._last_call

    def take_in(self, call: int, jobs: Sequence[ClaimedJob]) -> bool:
        """Take in the answer of a claim call; False if the call had been given up, and the answer is thrown away.

        Jobs of a late answer are counted in `late`; the next heartbeat releases them.
        """
        with self.lock:
            if call not in self._calls:
                self.late += len(jobs)
                return False
            self._held.update(zip(map(_ID, jobs), jobs, strict=True))
            self.by_tenant.update(map(_TENANT, jobs))
            self.waiting.extend(jobs)
            self._settle(call)
            return True

    def give_up(self, call: int) -> None:
        """Say that no answer to this call will be taken in any more. Does nothing for a settled call."""
        with self.lock:
            if call in self._calls:
                self._settle(call)

    def answered(self, reports: Iterable[tuple[UUID, int]]) -> None:
        """Let go of jobs, given as (id, claim), whose report was answered, whatever the answer.

        A job that was snoozed may have been claimed again, and that answer taken in, before its report's: what is held
        under another claim stays.
        """
        with self.lock:
            for job, claim in reports:
                entry = self._held.get(job)
                if entry is not None and entry.claim == claim:
                    del self._held[job]

    def ended(self, tenants: Mapping[str, int]) -> None:
        """Count down the jobs of each tenant that occupy this process no more (they may still be in a report)."""
        with self.lock:
            for tenant, count in tenants.items():
                left = self.by_tenant[tenant] - count
                if left > 0:
                    self.by_tenant[tenant] = left
                else:
                    del self.by_tenant[tenant]

    def shares(self) -> dict[str, int]:
        """Return how many jobs of each tenant occupy this process: what a claim subtracts from its share."""
        with self.lock:
            return dict(self.by_tenant)

    def beat(self, *, withdraw: bool = False) -> tuple[Beat, list[ClaimedJob]]:
        """Number a heartbeat and read, in one moment, what it has to say.

        With `withdraw` (the loop stands still) the jobs that no slot has begun are let go first, and the calls whose
        answers the loop has not read are given up; the jobs let go are returned beside the heartbeat that releases
        them.
        """
        with self.lock:
            withdrawn = self._withdraw() if withdraw else []
            self._last_beat += 1
            return Beat(self._last_beat, self._settled, self._held.copy()), withdrawn

    def withdraw(self) -> list[ClaimedJob]:
        """Let go of the jobs that no slot has begun, without giving any call up; the next heartbeat releases them."""
        with self.lock:
            return self._take_waiting()

    def hand_over(self) -> list[ClaimedJob]:
        """Take the jobs that no slot has begun out of `waiting`, still held: whoever asked reports them."""
        taken = []
        while self.waiting:
            try:
                taken.append(self.waiting.popleft())
            except IndexError:  # the heartbeat's thread was first
                break
        return taken

    def keep(self, job: ClaimedJob) -> None:
        """Hold a job again that was taken away: it is going to be reported without having run."""
        with self.lock:
            self._held[job.id] = job
            self.by_tenant[job.tenant] += 1

    def lose(self, lost: Mapping[UUID, ClaimedJob]) -> list[ClaimedJob]:
        """Take away jobs that no slot has begun, where they are still held under the given claim; return them.

        Begun ones stay held until their report is answered: a slot still runs them. The jobs that remain may have left
        `waiting` for a moment, so the slots are to be offered work again.
        """
        with self.lock:
            waiting = self._take_waiting()
            gone = [job for job in waiting if job.id in lost and lost[job.id].claim == job.claim]
            stay = [job for job in waiting if not (job.id in lost and lost[job.id].claim == job.claim)]
            for job in stay:
                self._held[job.id] = job
                self.by_tenant[job.tenant] += 1
            self.waiting.extend(stay)
            return gone

    def _withdraw(self) -> list[ClaimedJob]:
        self._calls.clear()
        self._settled = self._last_call
        return self._take_waiting()

    def _take_waiting(self) -> list[ClaimedJob]:
        taken = []
        while True:
            try:
                job = self.waiting.popleft()
            except IndexError:
                break
            taken.append(job)
            if self._held.get(job.id) is job:
                del self._held[job.id]
            left = self.by_tenant[job.tenant] - 1
            if left > 0:
                self.by_tenant[job.tenant] = left
            else:
                del self.by_tenant[job.tenant]
        return taken

    def _settle(self, call: int) -> None:
        del self._calls[call]
        self._settled = min(self._calls) - 1 if self._calls else self._last_call
