"""Which jobs are meant: one filter for lists, for acts on many jobs, and for their preview."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from jobledger.errors import InvalidArgument

OPEN_STATES: Final = ("scheduled", "blocked", "ready", "running", "suspended", "parked")
FINISHED_STATES: Final = ("succeeded", "failed", "killed", "cancelled")
STATES: Final = (*OPEN_STATES, *FINISHED_STATES)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Jobs of a tenant (None: of all) that fit everything that is given; `states` None means every state."""

    tenant: str | None = None
    states: Collection[str] | None = None
    queue: str | None = None
    kind: str | None = None
    owner: str | None = None
    tag: str | None = None

    def __post_init__(self) -> None:
        """Refuse states that do not exist.

        Raises:
            InvalidArgument: a state is none of `STATES`.
        """
        states = self.states
        listed = isinstance(states, Collection) and not isinstance(states, str)
        if states is not None and not (listed and all(state in STATES for state in states)):
            raise InvalidArgument("There is no such state.", hint=f"States are: {', '.join(STATES)}.")

    @property
    def open(self) -> list[str]:
        """The open states that are asked for."""
        return [state for state in OPEN_STATES if self.states is None or state in self.states]

    @property
    def finished(self) -> list[str]:
        """The final states that are asked for."""
        return [state for state in FINISHED_STATES if self.states is None or state in self.states]

    @property
    def narrow(self) -> bool:
        """Whether more is asked than tenant and state, for which there is no index over finished jobs."""
        return any(value is not None for value in (self.queue, self.kind, self.owner, self.tag))

    def within(self, states: Collection[str]) -> JobFilter:
        """Return the filter with only those of its states that are in `states`."""
        return replace(self, states=[state for state in (self.states or STATES) if state in states])
