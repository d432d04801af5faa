"""The state machine of a job: one table, event x state -> state and cost in attempts; all else is derived from it.

The table in docs/lifecycle.md is generated from this one. What SQL decides must agree with it: a stream that the table
does not allow is refused when it is folded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from jobledger.errors import WrongState
from jobledger.lifecycle.states import FINISHED, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FREE_RELEASES = 2
"""So many releases in a row cost nothing; the next one is a failed attempt."""


class Releases(Enum):
    """What an event does to the count of free releases in a row."""

    KEPT = "kept"
    RESET = "0"
    COUNTED = "+1"


@dataclass(frozen=True, slots=True)
class Condition:
    """A bound that the job's numbers must keep for the event to be possible."""

    words: str
    holds: Callable[[int, int, int], bool]
    """Of the attempts counted before the event, the attempts allowed after it, and the free releases in a row."""


ATTEMPTS_LEFT = Condition("attempts < max_attempts", lambda attempts, allowed, _: attempts < allowed)
RELEASES_LEFT = Condition(f"releases < {FREE_RELEASES}", lambda _attempts, _allowed, releases: releases < FREE_RELEASES)


@dataclass(frozen=True, slots=True)
class Transition:
    """One row: in a state of `sources`, `event` leads to `target` (null = the state stays) and costs `cost` attempts.

    `again` tells the two rows of a failure apart: with a time to try again, or final; null where there is one row.
    """

    event: str
    sources: frozenset[State | None]
    target: State | None
    cost: int = 0
    releases: Releases = Releases.KEPT
    again: bool | None = None
    condition: Condition | None = None

    def leads_to(self, source: State | None) -> State:
        """Return the state after the event, from one of its sources."""
        target = self.target or source
        if source not in self.sources or target is None:
            raise ValueError(f"{self.event} is not possible from {source or 'nothing'}")
        return target


def _from(*sources: State | None) -> frozenset[State | None]:
    return frozenset(sources)


_NOTHING = _from(None)
_RUNNING = _from(State.RUNNING)
_WAITING = _from(State.READY, State.PARKED)
_OPEN = _from(State.READY, State.RUNNING, State.PARKED)
_RETRIABLE = _from(State.FAILED, State.KILLED, State.CANCELLED)
_RESET, _COUNTED = Releases.RESET, Releases.COUNTED

TRANSITIONS: tuple[Transition, ...] = (
    Transition("job.enqueued", _NOTHING, State.READY, releases=_RESET),
    Transition("job.claimed", _from(State.READY), State.RUNNING, cost=1, condition=ATTEMPTS_LEFT),
    Transition("job.progressed", _RUNNING, None),
    Transition("job.succeeded", _RUNNING, State.SUCCEEDED),
    Transition("job.failed", _RUNNING, State.READY, releases=_RESET, again=True, condition=ATTEMPTS_LEFT),
    Transition("job.failed", _RUNNING, State.FAILED, releases=_RESET, again=False),
    Transition("job.lease_expired", _RUNNING, State.READY, releases=_RESET, again=True, condition=ATTEMPTS_LEFT),
    Transition("job.lease_expired", _RUNNING, State.FAILED, releases=_RESET, again=False),
    Transition("job.snoozed", _RUNNING, State.READY, cost=-1, releases=_RESET),
    Transition("job.interrupted", _RUNNING, State.READY, cost=-1, releases=_RESET),
    Transition("job.released", _RUNNING, State.READY, cost=-1, releases=_COUNTED, condition=RELEASES_LEFT),
    Transition("job.parked", _RUNNING, State.PARKED, cost=-1, releases=_RESET),
    Transition("job.unparked", _from(State.PARKED), State.READY),
    Transition("job.cancel_requested", _RUNNING, None),
    Transition("job.cancelled", _OPEN, State.CANCELLED),
    Transition("job.killed", _OPEN, State.KILLED),
    Transition("job.retried", _RETRIABLE, State.READY, releases=_RESET, condition=ATTEMPTS_LEFT),
    Transition("job.rescheduled", _from(State.READY), None),
    Transition("job.reprioritised", _WAITING, None),
    Transition("job.moved", _WAITING, None),
    Transition("job.redacted", frozenset(FINISHED), None),
)

STATES: tuple[State, ...] = tuple(
    state for state in State if any(state in row.sources or state is row.target for row in TRANSITIONS)
)
"""The states that some event enters or leaves, in the order of the schema."""


def _index() -> Mapping[tuple[str, State | None, bool | None], Transition]:
    rows: dict[tuple[str, State | None, bool | None], Transition] = {}
    for row in TRANSITIONS:
        for source in row.sources:
            if (row.event, source, row.again) in rows:
                raise TypeError(f"two rows for {row.event} from {source}")
            rows[row.event, source, row.again] = row
    return MappingProxyType(rows)


_ROWS = _index()
_ENDS_AN_ATTEMPT = frozenset(row.event for row in TRANSITIONS if row.again is not None)


def transition(event: str, source: State | None, *, again: bool = False) -> Transition:
    """Return the row for an event in a state (null = the job does not exist yet).

    `again` says whether a failure carries a time to try again; it matters to failures alone.
    Raises `WrongState` where the table has no such row.
    """
    row = _ROWS.get((event, source, again if event in _ENDS_AN_ATTEMPT else None))
    if row is None:
        raise WrongState(
            f"A job that is {source or 'not there'} cannot have a {event}.",
            detail={"type": event, "state": source and source.value},
        )
    return row


def is_possible(event: str, source: State | None) -> bool:
    """Tell whether the table has a row for the event in this state, whatever the job's numbers."""
    return any((event, source, again) in _ROWS for again in (None, True, False))


def possible(source: State | None) -> tuple[str, ...]:
    """Return the events that a job in this state can have, in the table's order."""
    return tuple(dict.fromkeys(row.event for row in TRANSITIONS if source in row.sources))
