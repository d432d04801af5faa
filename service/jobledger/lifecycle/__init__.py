"""Pure: the state machine of a job, the fold of its stream, and when to try again."""

from jobledger.lifecycle.fold import Job, effective_kill_at, evolve, fold, state_at, steps
from jobledger.lifecycle.machine import TRANSITIONS, Transition, is_possible, possible, transition
from jobledger.lifecycle.states import FINISHED, OPEN, State

__all__ = [
    "FINISHED",
    "OPEN",
    "TRANSITIONS",
    "Job",
    "State",
    "Transition",
    "effective_kill_at",
    "evolve",
    "fold",
    "is_possible",
    "possible",
    "state_at",
    "steps",
    "transition",
]
