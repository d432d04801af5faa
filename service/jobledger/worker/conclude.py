"""From how a handler ended to what the log is told: outcome and data of the report.

Every way out of a handler comes through here: its result, the outcomes it returned or raised, its exceptions, and the
reasons for which the worker ended it early.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from jobledger.errors import InvalidArgument, JobledgerError
from jobledger.events import ErrorClass
from jobledger.ids import time_of
from jobledger.jobs.outcomes import Cancel, Park, Retry, Snooze, error_record
from jobledger.jobs.outcomes import Outcome as Told
from jobledger.lifecycle.backoff import from_data
from jobledger.lifecycle.retry import Decision, RetryPolicy
from jobledger.worker.slots import Ending

if TYPE_CHECKING:
    from jobledger.jobs.kind import Job
    from jobledger.jobs.secret import Concealer
    from jobledger.store.claim import ClaimedJob
    from jobledger.worker.slots import Outcome, Slot

_log = logging.getLogger("jobledger.worker")

DONE: Outcome = ("succeeded", None)
DROPPED: Outcome = ("dropped", None)
"""The job is not this worker's any more and the worker knows it: nothing is reported."""


def succeeded(kind: Job[..., Any], result: object, conceal: Concealer | None = None) -> Outcome:
    """Return the outcome of a handler that returned `result`. Raises `InvalidArgs` for one of another type."""
    if result is None:
        return DONE
    document = kind.returns.dump(result)
    if document is None:
        return DONE
    if conceal:
        document = conceal.json(document)
    return ("succeeded", {"result": orjson.Fragment(document)})


def told(job: ClaimedJob, slot: Slot, outcome: Told, conceal: Concealer | None = None) -> Outcome:
    """Return the outcome that a handler asked for by Snooze, Cancel, Retry or Park."""
    reason = conceal.text(outcome.reason) if conceal and outcome.reason else outcome.reason
    said: dict[str, Any] = {"reason": reason} if reason else {}
    if isinstance(outcome, Snooze):
        # The moment is one of the database's clock, as seen when the job was claimed.
        now = datetime.now(UTC) if slot.home is None else slot.home.now()
        until = outcome.until or now + timedelta(seconds=outcome.delay_s or 0)
        return ("snoozed", {**said, "run_at": until.isoformat()})
    if isinstance(outcome, Cancel):
        return ("cancelled", said or None)
    if isinstance(outcome, Park):
        needs = conceal.text(outcome.needs) if conceal and outcome.needs else outcome.needs
        return ("parked", {"reason": reason or "parked", **({"needs": needs} if needs else {})})
    if isinstance(outcome, Retry):
        error = error_record(outcome, conceal)
        error.pop("traceback", None)
        if outcome.error_class is ErrorClass.PERMANENT:
            return ("failed", {"error": error, "final": True})
        if outcome.until is not None:
            return ("failed", {"error": error, "retry_at": outcome.until.isoformat()})
        return ("failed", {"error": error, "retry_in": outcome.delay_s or 0.0})
    return failed_with(job, RetryPolicy(), outcome, conceal)


def failed_with(
    job: ClaimedJob, policy: RetryPolicy, error: BaseException, conceal: Concealer | None = None
) -> Outcome:
    """Return the outcome of an attempt that ended with an exception, by the kind's policy."""
    decision = policy_for(job, policy).decide(job.attempt, job.max_attempts, error, elapsed_s(job))
    return _failed(job, error_record(error, conceal, decision.error_class), decision)


def timed_out(job: ClaimedJob, policy: RetryPolicy) -> Outcome:
    """Return the outcome of an attempt that was ended at its time-out."""
    decision = policy_for(job, policy).decide_timeout(job.attempt, job.max_attempts, elapsed_s(job))
    record = {"type": "TimedOut", "message": f"The attempt ran longer than {job.timeout} s.", "class": "transient"}
    return _failed(job, record, decision)


def invalid_args(error: JobledgerError) -> Outcome:
    """Return the outcome of a job whose arguments do not fit the handler: final at once, whatever the policy."""
    record: dict[str, Any] = {"type": "invalid_args", "message": error.message, "class": "permanent"}
    if error.detail:
        record["message"] = f"{error.message} {orjson.dumps(error.detail, default=str).decode()}"[:2000]
    return ("failed", {"error": record, "final": True})


def ended_early(job: ClaimedJob, policy: RetryPolicy, ending: Ending | None, error: BaseException | None) -> Outcome:
    """Return the outcome of a job that the worker ended, or whose runner raised.

    `error` is what the handler raised on its way out, if any.
    """
    if ending is Ending.TIMED_OUT:
        return timed_out(job, policy)
    if ending is Ending.CANCELLED:
        return ("cancelled", {"error": error_record(error)} if error is not None else None)
    if ending is Ending.INTERRUPTED:
        return ("interrupted", {"reason": "the worker is stopping"})
    if ending is None and error is not None:
        return failed_with(job, policy, error)
    if ending is None:
        # The handler cancelled itself, or awaited something that was cancelled.
        record = {
            "type": "CancelledError",
            "message": "The handler was cancelled by its own code.",
            "class": "transient",
        }
        decision = policy_for(job, policy).decide(
            job.attempt, job.max_attempts, RuntimeError("cancelled"), elapsed_s(job)
        )
        return _failed(job, record, decision)
    return DROPPED


def policy_for(job: ClaimedJob, policy: RetryPolicy) -> RetryPolicy:
    """Return the kind's policy with the job's own back-off, where it has one."""
    if '"backoff"' not in job.data:
        return policy
    stated = orjson.loads(job.data).get("backoff")
    if stated is None:
        return policy
    try:
        return policy.with_backoff(from_data(stated))
    except InvalidArgument:
        _log.warning("job %s states a back-off that this version does not know; its kind's holds", job.id)
        return policy


def elapsed_s(job: ClaimedJob) -> float:
    """Return the seconds since the job was enqueued, by the time in its id and this machine's clock."""
    return max(0.0, time.time() - time_of(job.id).timestamp())


def _failed(job: ClaimedJob, record: dict[str, Any], decision: Decision) -> Outcome:
    if decision.fault is not None:
        _log.error("the retry policy of %s raised %s; the default stood in for it", job.kind, decision.fault)
    if decision.retry_in is None:
        return ("failed", {"error": record, "final": True})
    return ("failed", {"error": record, "retry_in": decision.retry_in})
