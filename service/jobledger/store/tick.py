"""The tick: what time brings about, done by whatever runs it. One call is one short transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson

from jobledger.observations import BlockedByPrepared, JobKilled, JobTimedOut, LeaseExpired, emit, listeners
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.store.pool import Connection


_MANY_HELD: Final = 100
_MANY_EXPIRED: Final = 1_000
"""Expired idempotency keys that one tick drops at most: where it dropped so many there are more."""
_BLOCKED_EVERY_S: Final = 60.0
"""A job whose row stays locked is told so often, not at each tick."""
_BLOCKED_MOST: Final = 1_000
_blocked: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class TickResult:
    """What one tick did: jobs by what happened to them, partitions made, and where to go on."""

    promoted: int = 0
    """Due jobs that became claimable."""
    rescued: int = 0
    """Jobs taken from workers whose lease is over."""
    timed_out: int = 0
    killed: int = 0
    held: int = 0
    """Jobs moved out of the way: paused, or of a kind that no live worker knows."""
    released_holds: int = 0
    repaired: int = 0
    keys_expired: int = 0
    """Idempotency keys that are free again."""
    partitions: int = 0
    """Partitions of the log made ahead."""
    snapshot_due: bool = False
    """Whether `recovery.take_snapshot` is to be called."""
    unsealed: bool | None = None
    """Whether something is to be sealed, or will be by what the tick itself appended; None: the tick did not look."""
    next: UUID | None = None
    """Where the next call goes on looking for kill dates."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The whole answer."""

    @property
    def skipped(self) -> bool:
        """Whether another process was at it, so that this call did nothing."""
        return bool(self.facts.get("busy"))

    @property
    def found_work(self) -> bool:
        """Whether it did something, so that another call may find more at once."""
        return bool(self.promoted or self.rescued or self.timed_out or self.killed or self.held or self.released_holds)

    @property
    def presses(self) -> bool:
        """Whether another call should follow at once. What is paused is passed by anyway: a few rows of it can wait."""
        others = self.promoted or self.rescued or self.timed_out or self.killed or self.released_holds
        return bool(others) or self.held >= _MANY_HELD or self.keys_expired >= _MANY_EXPIRED


_COUNTS = (
    *("promoted", "rescued", "timed_out", "killed", "held", "released_holds", "repaired"),
    *("keys_expired", "partitions"),
)


async def tick(connection: Connection, shard: int, after: UUID | None = None) -> TickResult:
    """Promote, rescue, time out, kill, hold back and release, and see to partitions; `after` from the call before.

    Raises:
        NotOpen: the live tables are not rebuilt yet.
    """
    with translated():
        return read_tick(await connection.fetchval(statement("tick"), shard, after))


def read_tick(text: str) -> TickResult:
    """Return what a tick has said; emit what it tells of single jobs."""
    facts: dict[str, Any] = orjson.loads(text)
    if listeners:
        _tell(facts.get("told") or [])
    counts = {name: _count(facts.get(name)) for name in _COUNTS}
    following = facts.get("next")
    return TickResult(
        **counts,
        snapshot_due=bool(facts.get("snapshot_due")),
        unsealed=facts.get("unsealed"),
        next=UUID(following) if following else None,
        facts=facts,
    )


def _count(value: object) -> int:
    """A tick tells some things as a number, others as the list of what it met."""
    if isinstance(value, list):
        return len(value)
    return value if isinstance(value, int) else 0


def _tell(told: list[dict[str, Any]]) -> None:
    for fact in told:
        match fact["topic"]:
            case LeaseExpired.topic:
                emit(LeaseExpired(worker=UUID(fact["worker"]), jobs=fact["jobs"]))
            case JobTimedOut.topic:
                emit(JobTimedOut(job=UUID(fact["job"]), where="tick"))
            case BlockedByPrepared.topic if _is_due(fact["job"]):
                emit(BlockedByPrepared(job=UUID(fact["job"])))
            case JobKilled.topic:
                emit(JobKilled(job=UUID(fact["job"]), tenant=fact["tenant"], rule=fact["rule"]))


def _is_due(job: str) -> bool:
    now = time.monotonic()
    if now < _blocked.get(job, 0.0):
        return False
    if len(_blocked) >= _BLOCKED_MOST:
        _blocked.clear()
    _blocked[job] = now + _BLOCKED_EVERY_S
    return True
