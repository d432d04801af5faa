"""The fold of one job's stream: what a job is, from its events alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from jobledger.errors import WrongState
from jobledger.events import parse
from jobledger.events.job import (
    Cancelled,
    CancelRequested,
    Claimed,
    Enqueued,
    Failed,
    Killed,
    LeaseExpired,
    Moved,
    Parked,
    Reprioritised,
    Rescheduled,
    Retried,
    Snoozed,
    Unparked,
)
from jobledger.ids import time_of
from jobledger.lifecycle.machine import Releases, Transition, transition
from jobledger.lifecycle.states import FINISHED, OPEN, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from jobledger.events import Event, EventData


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as its events tell it; the same facts as its row in the live tables or in `finished`."""

    shard: int
    id: UUID
    tenant: str
    state: State
    """Never `scheduled`: that is `ready` before its `run_at`; see `state_at`."""
    head: int
    """The version of its last event."""
    kind: str
    queue: str
    priority: int
    """Lower is sooner."""
    run_at: datetime
    """Not claimed before this moment."""
    max_attempts: int
    timeout: int
    """Seconds that one attempt may take."""
    enqueued_at: datetime
    """The time that the job's own id carries, to the millisecond."""
    attempt: int = 0
    """The attempts that have counted so far, one under way included."""
    releases: int = 0
    """The free releases in a row."""
    owner: str | None = None
    kill_at: datetime | None = None
    """Null = the service's default, counted from the id's own time; see `effective_kill_at`."""
    kill_rule: str | None = None
    key: str | None = None
    """The idempotency key."""
    unique_key: str | None = None
    tags: tuple[str | None, ...] = ()
    claim: int | None = None
    """The version of the current claim, while the job runs."""
    worker: UUID | None = None
    call: int | None = None
    """The number of the worker's claim call."""
    claimed_at: datetime | None = None
    cancel_requested: bool = False
    reason: str | None = None
    """Why it is parked, cancelled or killed; the error's type where it failed."""
    needs: Any = None
    """What a parked job waits for."""
    finished_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Tell whether the job is still to end."""
        return self.state in OPEN

    @property
    def finished(self) -> bool:
        """Tell whether the job is over (a retry may open it again, unless it succeeded)."""
        return self.state in FINISHED


def evolve(job: Job | None, event: Event) -> Job:
    """Return the job after one more event; `job` is null before the first.

    Raises `WrongState` for an event that the state machine forbids, one that is not the stream's next, or one of
    another stream; `UnknownEvent` and `MalformedEvent` as `parse` does.
    """
    _check_order(job, event)
    data = parse(event)
    again = isinstance(data, Failed | LeaseExpired) and data.retry_at is not None
    row = transition(event.type, job.state if job else None, again=again)
    if job is None:
        return _born(event, data)
    _check_numbers(job, event, data, row)
    state = row.leads_to(job.state)
    changes: dict[str, Any] = {"state": state, "head": event.version, "attempt": job.attempt + row.cost}
    if row.releases is not Releases.KEPT:
        changes["releases"] = job.releases + 1 if row.releases is Releases.COUNTED else 0
    if state is not job.state:
        changes |= _left_behind(job.state)
        changes |= {"reason": None, "needs": None, "finished_at": event.at if state in FINISHED else None}
    return _changed(job, changes | _said(event, data))


def fold(events: Iterable[Event], job: Job | None = None) -> Job | None:
    """Return the job after all these events of one stream, in order; null where there are none.

    `job` is where to go on from. Raises as `evolve` does.
    """
    for event in events:
        job = evolve(job, event)
    return job


def steps(events: Iterable[Event]) -> Iterator[tuple[Event, Job]]:
    """Yield each event with the job after it. Raises as `evolve` does, after the steps that were sound."""
    job: Job | None = None
    for event in events:
        job = evolve(job, event)
        yield event, job


def state_at(job: Job, now: datetime) -> State:
    """Name the job's state by the clock: a ready job whose time has not come is `scheduled`."""
    return State.SCHEDULED if job.state is State.READY and job.run_at > now else job.state


def effective_kill_at(job: Job, service_default: timedelta) -> datetime:
    """Return the job's kill date: its own, or the service's default counted from the id's own time."""
    return job.kill_at or time_of(job.id) + service_default


_NAMES: Final = tuple(field.name for field in fields(Job))
_PLACES: Final = {name: place for place, name in enumerate(_NAMES)}
_VALUES: Final = attrgetter(*_NAMES)
_SETTERS: Final = tuple(getattr(Job, name).__set__ for name in _NAMES)


def _changed(job: Job, changes: dict[str, Any]) -> Job:
    """Return a copy with these changes: what `dataclasses.replace` does, at a quarter of its cost."""
    values = list(_VALUES(job))
    for name, value in changes.items():
        values[_PLACES[name]] = value
    changed = object.__new__(Job)
    for put, value in zip(_SETTERS, values, strict=True):
        put(changed, value)
    return changed


def _check_order(job: Job | None, event: Event) -> None:
    head = job.head if job else 0
    if event.version != head + 1:
        raise WrongState(
            f"Version {event.version} of a stream cannot follow version {head}.",
            detail={"stream_id": str(event.stream_id), "version": event.version, "head": head},
        )
    if job and (event.stream_id, event.shard, event.tenant) != (job.id, job.shard, job.tenant):
        raise WrongState(
            "The event is not of this job's stream.",
            detail={"stream_id": str(event.stream_id), "job": str(job.id), "version": event.version},
        )


def _check_numbers(job: Job, event: Event, data: EventData, row: Transition) -> None:
    allowed = data.max_attempts if isinstance(data, Retried) else job.max_attempts
    facts = {"stream_id": str(job.id), "version": event.version, "type": event.type, "attempt": job.attempt}
    if row.condition and not row.condition.holds(job.attempt, allowed, job.releases):
        raise WrongState(
            f"A {event.type} needs {row.condition.words}; the job has {job.attempt} of {allowed} attempts "
            f"and {job.releases} releases.",
            detail={**facts, "max_attempts": allowed, "releases": job.releases},
        )
    if isinstance(data, Claimed) and event.attempt not in (None, job.attempt + 1):
        raise WrongState(f"The claim should be attempt {job.attempt + 1}, and says {event.attempt}.", detail=facts)


def _born(event: Event, data: EventData) -> Job:
    if not isinstance(data, Enqueued):  # the table has no other row for a job that is not there
        raise TypeError(f"{event.type} begins no job")
    return Job(
        shard=event.shard,
        id=event.stream_id,
        tenant=event.tenant,
        state=State.READY,
        head=event.version,
        kind=data.kind,
        queue=data.queue,
        priority=data.priority,
        run_at=data.run_at or event.at,
        max_attempts=data.max_attempts,
        timeout=data.timeout,
        enqueued_at=time_of(event.stream_id),
        owner=data.owner,
        kill_at=data.kill_at,
        kill_rule=data.kill_rule,
        key=data.key,
        unique_key=data.unique,
        tags=data.tags,
    )


def _left_behind(state: State) -> dict[str, Any]:
    if state is not State.RUNNING:
        return {}
    return {"claim": None, "worker": None, "call": None, "claimed_at": None, "cancel_requested": False}


def _said(event: Event, data: EventData) -> dict[str, Any]:  # noqa: C901 - one case an event, and nothing else
    """Return what the event's data themselves change, beside state, attempts and releases."""
    match data:
        case Claimed():
            return {"claim": event.version, "worker": event.worker, "call": data.call, "claimed_at": event.at}
        case Failed(retry_at=None):
            return {"reason": data.error.type}
        case LeaseExpired(retry_at=None):
            return {"reason": "LeaseExpired"}
        case Failed() | LeaseExpired():
            return {"run_at": data.retry_at}
        case Snoozed():
            return {"run_at": data.run_at}
        case Parked():
            return {"reason": data.reason, "needs": data.needs}
        case Unparked():
            return {"run_at": event.at}
        case CancelRequested():
            return {"cancel_requested": True}
        case Cancelled() | Killed():
            return {"reason": data.reason}
        case Retried():
            return {
                "run_at": data.run_at or event.at,
                "max_attempts": data.max_attempts,
                "kill_at": data.kill_at,
                "kill_rule": data.kill_rule,
            }
        case Rescheduled():
            return {"run_at": data.run_at, "kill_at": data.kill_at, "kill_rule": data.kill_rule}
        case Reprioritised():
            return {"priority": data.priority}
        case Moved():
            return {"queue": data.queue}
        case _:
            return {}
