"""The states of a job, by their names in the log's schema."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What a job's events say it is; the values are those of the SQL type `job_state`, in its order.

    To the state machine `scheduled` is `ready` with a `run_at` to come; only views and `state_at` tell them apart.
    `blocked` and `suspended` are words of the schema that no event leads to yet.
    """

    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    READY = "ready"
    RUNNING = "running"
    SUSPENDED = "suspended"
    PARKED = "parked"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    CANCELLED = "cancelled"


FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.KILLED, State.CANCELLED})
"""The states in which a job is over; all but `succeeded` can be left again, by `job.retried` alone."""

OPEN = frozenset(State) - FINISHED
"""The states in which a job is still to end."""
