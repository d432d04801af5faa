"""Turns a workload log into what is to happen: when each job is enqueued, how long it runs and how it ends.

Outcomes come from the records' statuses; where a record has none (-1), the rates draw one. The drawing is seeded and
depends on nothing but the seed, the rates and the record's place, so a run can be repeated and checked.
"""

from __future__ import annotations

import enum
import math
import random
from collections import Counter
from dataclasses import dataclass

from jobledger.errors import InvalidArgument
from jobledger.simulate.swf import Log, Record, Status


class Outcome(enum.StrEnum):
    """How a job is to end; the value is the job's final state."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OF_STATUS = {
    Status.COMPLETED: Outcome.SUCCEEDED,
    Status.FAILED: Outcome.FAILED,
    Status.CANCELLED: Outcome.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job to come: `due_s` after the start of the replay it is enqueued, then runs `run_s`; both scaled."""

    record: int
    line: int
    tenant: str
    due_s: float
    run_s: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of a replay in the order of their submission, and what was left out of the log and why."""

    jobs: tuple[PlannedJob, ...]
    speed: float
    seed: int
    parts: int
    runs_unknown: int
    drawn: int

    def lasts_s(self) -> float:
        """Return the time, in seconds from the start, at which the last job ends if nothing waits."""
        return max((job.due_s + job.run_s for job in self.jobs), default=0.0)

    def counts(self) -> dict[str, Counter[Outcome]]:
        """Return how many jobs of each tenant are to end in each outcome; the tenants in their natural order."""
        counts: dict[str, Counter[Outcome]] = {}
        for job in self.jobs:
            counts.setdefault(job.tenant, Counter())[job.outcome] += 1
        return dict(sorted(counts.items(), key=lambda item: (len(item[0]), item[0])))


def draw(log: Log, *, speed: float = 1.0, fail_rate: float = 0.0, cancel_rate: float = 0.0, seed: int = 0) -> Plan:
    """Plan the replay of `log`, `speed` times as fast as it happened.

    `fail_rate` and `cancel_rate` are the shares (0 to 1, together at most 1) of the records without a status that are
    to fail and to be cancelled. Raises `InvalidArgument`: the speed is no positive number, or a rate is out of range.
    """
    if not (math.isfinite(speed) and speed > 0):
        raise InvalidArgument("The speed must be a number above 0.", detail={"option": "speed"})
    for name, rate in (("fail_rate", fail_rate), ("cancel_rate", cancel_rate)):
        if not 0 <= rate <= 1:
            raise InvalidArgument(f"{name} must lie between 0 and 1.", detail={"option": name})
    if fail_rate + cancel_rate > 1:
        raise InvalidArgument("fail_rate and cancel_rate together must not exceed 1.", detail={"option": "fail_rate"})
    chance = random.Random(seed)  # noqa: S311 - a repeatable drawing, not a secret
    whole = [record for record in log.records if not record.status.is_part]
    first_s = whole[0].submit_s if whole else 0.0
    jobs = tuple(
        PlannedJob(
            record=record.number,
            line=record.line,
            tenant=tenant_of(record),
            due_s=(record.submit_s - first_s) / speed,
            run_s=record.run_s / speed,
            outcome=_outcome(record.status, chance.random(), fail_rate, cancel_rate),
        )
        for record in whole
    )
    return Plan(
        jobs=jobs,
        speed=speed,
        seed=seed,
        parts=len(log.records) - len(whole),
        runs_unknown=sum(not record.run_known for record in whole),
        drawn=sum(record.status is Status.UNKNOWN for record in whole),
    )


def tenant_of(record: Record) -> str:
    """Return the tenant's name for a record's user; records without a user share one tenant."""
    return f"user-{record.user}" if record.user >= 0 else "user-unknown"


def _outcome(status: Status, chance: float, fail_rate: float, cancel_rate: float) -> Outcome:
    if status in _OF_STATUS:
        return _OF_STATUS[status]
    if chance < fail_rate:
        return Outcome.FAILED
    return Outcome.CANCELLED if chance < fail_rate + cancel_rate else Outcome.SUCCEEDED
