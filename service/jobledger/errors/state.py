"""Errors of the moment: the call is sound, and the state of things does not allow it, or lacks what it names."""

from __future__ import annotations

from jobledger.errors.root import JobledgerError


class Conflict(JobledgerError):
    """The state of things forbids the call; nothing was changed."""

    code = "conflict"
    sqlstate = "JL200"
    http_status = 409
    exit_status = 4


class IdTaken(Conflict):
    """A job of this id exists."""

    code = "id_taken"
    sqlstate = "JL201"


class IdempotencyMismatch(Conflict):
    """The idempotency key was used before with other content."""

    code = "idempotency_mismatch"
    sqlstate = "JL202"


class UniqueTaken(Conflict):
    """Another open job holds the unique key."""

    code = "unique_taken"
    sqlstate = "JL203"


class WrongState(Conflict):
    """The job's state does not allow this."""

    code = "wrong_state"
    sqlstate = "JL204"


class NotWaiting(Conflict):
    """The job is not waiting to be claimed."""

    code = "not_waiting"
    sqlstate = "JL205"


class LeaseLost(Conflict):
    """The job is no longer this worker's."""

    code = "lease_lost"
    sqlstate = "JL206"


class FeedReset(Conflict):
    """The log no longer has, or never had, what comes after this cursor.

    `detail["reason"]` is `below_horizon` (retention dropped it) or `beyond_end` (it was lost with the server that had
    it); `detail["cursor"]` is where to go on.
    """

    code = "feed_reset"
    sqlstate = "JL207"


class MomentLost(Conflict):
    """The log cannot answer for this moment of the past; ask as of another one.

    It lies before the order of the log begins, its block was merged away, or what was seen then was lost with the
    server that had it.
    """

    code = "moment_lost"
    sqlstate = "JL208"


class SliceLost(Conflict):
    """The slice of the subscription is no longer this consumer's; others go on from its last checkpoint."""

    code = "slice_lost"
    sqlstate = "JL210"


class SubscriptionDiffers(Conflict):
    """A subscription of this name exists, with another filter, number of slices or strictness."""

    code = "subscription_differs"
    sqlstate = "JL211"


class PartitionInUse(Conflict):
    """A partition of the log holds what is still needed; it was kept."""

    code = "partition_in_use"
    sqlstate = "JL212"


class NotFound(JobledgerError):
    """Nothing of this id is known."""

    code = "not_found"
    sqlstate = "JL300"
    http_status = 404
    exit_status = 3


class JobGone(NotFound):
    """The job's history was dropped by retention."""

    code = "job_gone"
    sqlstate = "JL301"
    http_status = 410


class AppendOnly(JobledgerError):
    """The log only takes appends."""

    code = "append_only"
    sqlstate = "JL700"
    http_status = 409
    exit_status = 4


class CheckFailed(JobledgerError):
    """The check found a difference."""

    code = "check_failed"
    sqlstate = "JL800"
    exit_status = 8


class ResultFailed(JobledgerError):
    """The job ended without a result."""

    code = "result_failed"
    sqlstate = "JL900"
    http_status = 409
    exit_status = 9


class JobFailed(ResultFailed):
    """The job failed for good."""

    code = "job_failed"
    sqlstate = "JL901"


class JobCancelled(ResultFailed):
    """The job was cancelled."""

    code = "job_cancelled"
    sqlstate = "JL902"


class JobKilled(ResultFailed):
    """The job was killed."""

    code = "job_killed"
    sqlstate = "JL903"


class ResultTimeout(ResultFailed):
    """The job has not ended within the time given."""

    code = "result_timeout"
    sqlstate = "JL904"
    http_status = 504
