"""Pure: the state machine of a job, the fold of its stream, and when to try again."""

from jobledger.lifecycle.backoff import Backoff, Exponential, Fixed, Linear, Table
from jobledger.lifecycle.fold import Job, effective_kill_at, evolve, fold, state_at, steps
from jobledger.lifecycle.machine import TRANSITIONS, Transition, is_possible, possible, transition
from jobledger.lifecycle.retry import Decision, RetryPolicy, classify
from jobledger.lifecycle.states import FINISHED, OPEN, State

__all__ = [
    "FINISHED",
    "OPEN",
    "TRANSITIONS",
    "Backoff",
    "Decision",
    "Exponential",
    "Fixed",
    "Job",
    "Linear",
    "RetryPolicy",
    "State",
    "Table",
    "Transition",
    "classify",
    "effective_kill_at",
    "evolve",
    "fold",
    "is_possible",
    "possible",
    "state_at",
    "steps",
    "transition",
]
