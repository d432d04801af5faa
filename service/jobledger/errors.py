"""Every error that jobledger raises, one tree, each with a stable code.

    JobledgerError
    ├── BadInput                     nothing was written; mend the call
    │   ├── InvalidArgument          an option is out of its range or of the wrong form
    │   ├── InvalidTenant            a tenant's name is out of rule
    │   ├── UnknownKind              no such kind is registered, and the call was strict
    │   ├── InvalidArgs              the arguments do not fit the kind's signature
    │   ├── TooLarge                 a payload is over its limit
    │   ├── RunAtTooOld              run_at lies more than 24 hours back
    │   ├── IdOutOfWindow            an id made by a client carries a time too far from the database's
    │   ├── NoPartition              no partition of the log holds this id
    │   ├── SecretInPlain            a secret was given in plain form
    │   ├── InvalidFile              a file to read is not of its format
    │   └── BadCursor                a cursor is none that this service gave for that purpose
    ├── Conflict                     the call is sound, the state of things forbids it
    │   ├── IdTaken                  a job of this id exists
    │   ├── IdempotencyMismatch      the same key was used with other content
    │   ├── UniqueTaken              another open job holds the unique key
    │   ├── WrongState               the job's state does not allow the act
    │   ├── NotWaiting               a job claimed by its id is not waiting
    │   ├── LeaseLost                the job is no longer this worker's
    │   ├── FeedReset                the log no longer has, or never had, what comes after a cursor
    │   ├── MomentLost               the log cannot answer for a moment of the past
    │   ├── SliceLost                a slice of a subscription is no longer this consumer's
    │   ├── SubscriptionDiffers      a subscription of this name exists, with another filter
    │   └── PartitionInUse           a partition of the log holds what is still needed
    ├── NotFound                     nothing of this id that the caller may see
    │   └── JobGone                  the job's history was dropped by retention
    ├── Forbidden                    the role may not do this
    ├── Unavailable                  try again later, or look after the server
    │   ├── NotOpen                  the live tables are not rebuilt yet
    │   ├── Unreachable              no connection to the database
    │   ├── LeaseOver                the worker's lease has run out
    │   ├── UnknownWorker            no such worker is registered
    │   ├── PostgresNotFound         no Postgres binaries on this machine
    │   ├── PostgresFailed           the embedded Postgres did not start
    │   ├── DataDirectoryUnusable    the data directory cannot be used
    │   └── PreparedInTheWay         prepared transactions keep a new epoch from being opened
    ├── SchemaError                  database and code do not fit
    │   ├── SchemaMissing            the database was not migrated
    │   ├── SchemaNewer              the database is newer than the code
    │   ├── SchemaChanged            a released migration's text was changed
    │   ├── SchemaDrift              the database differs from a freshly migrated one
    │   ├── UnknownEvent             the log holds an event that this version does not know
    │   └── MalformedEvent           an event's data does not fit its type
    ├── AppendOnly                   something tried to change the log
    ├── CheckFailed                  a check that was asked for found a difference
    └── ResultFailed                 the awaited job ended without a result
        ├── JobFailed                it failed for good
        ├── JobCancelled             it was cancelled
        ├── JobKilled                it was killed
        └── ResultTimeout            it has not ended within the time given

The class's docstring is its default message. `code` is the same in SQL (`sqlstate`), HTTP (problem type, `http_status`)
and on the command line (`exit_status`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class JobledgerError(Exception):
    """Something went wrong in jobledger.

    `detail` holds machine-readable facts (never a value that the caller gave), `hint` the way out.
    """

    code: ClassVar[str] = "internal"
    sqlstate: ClassVar[str] = "JL000"
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Keep the sentence, the way out and the facts."""
        self.message = message or (self.__doc__ or self.code).strip().splitlines()[0]
        self.hint = hint
        self.detail: dict[str, Any] = dict(detail or {})
        super().__init__(self.message)

    def __str__(self) -> str:
        """Say the facts, then the way out."""
        return f"{self.message} {self.hint}" if self.hint else self.message


class BadInput(JobledgerError):
    """The input is not acceptable; nothing was written."""

    code = "bad_input"
    sqlstate = "JL100"
    http_status = 400
    exit_status = 2


class InvalidArgument(BadInput):
    """An option is out of its range or of the wrong form."""

    code = "invalid_argument"
    sqlstate = "JL101"


class InvalidTenant(BadInput):
    """A tenant's name has 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / - and begins with a letter or digit."""

    code = "invalid_tenant"
    sqlstate = "JL102"


class UnknownKind(BadInput):
    """No such kind is registered."""

    code = "unknown_kind"
    sqlstate = "JL103"


class InvalidArgs(BadInput):
    """The arguments do not fit the kind's signature."""

    code = "invalid_args"
    sqlstate = "JL104"
    http_status = 422


class TooLarge(BadInput):
    """A payload is over its limit."""

    code = "too_large"
    sqlstate = "JL105"
    http_status = 413


class RunAtTooOld(BadInput):
    """run_at lies more than 24 hours in the past."""

    code = "run_at_too_old"
    sqlstate = "JL106"


class IdOutOfWindow(BadInput):
    """The id's own time is not within one hour before and five minutes after the database's clock."""

    code = "id_out_of_window"
    sqlstate = "JL107"


class NoPartition(BadInput):
    """No partition of the log holds this id."""

    code = "no_partition"
    sqlstate = "JL108"


class SecretInPlain(BadInput):
    """A secret was given in plain form; give a reference (env:NAME, file:PATH) instead."""

    code = "secret_in_plain"
    sqlstate = "JL109"


class InvalidFile(BadInput):
    """The file is not of the expected format."""

    code = "invalid_file"
    sqlstate = "JL110"


class BadCursor(BadInput):
    """The cursor is none that was given for this feed."""

    code = "bad_cursor"
    sqlstate = "JL111"


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


class Forbidden(JobledgerError):
    """This role may not do that."""

    code = "forbidden"
    sqlstate = "JL400"
    http_status = 403
    exit_status = 5


class Unavailable(JobledgerError):
    """The service cannot answer now."""

    code = "unavailable"
    sqlstate = "JL500"
    http_status = 503
    exit_status = 6


class NotOpen(Unavailable):
    """The live tables are not rebuilt yet; run `jobledger open`, or wait until a worker has."""

    code = "not_open"
    sqlstate = "JL501"


class Unreachable(Unavailable):
    """No connection to the database."""

    code = "unreachable"
    sqlstate = "JL502"


class LeaseOver(Unavailable):
    """The worker's lease has run out; it must start again under a new id."""

    code = "lease_over"
    sqlstate = "JL503"


class UnknownWorker(Unavailable):
    """No worker of this id is registered."""

    code = "unknown_worker"
    sqlstate = "JL504"


class PostgresNotFound(Unavailable):
    """No Postgres binaries were found on this machine."""

    code = "postgres_not_found"
    sqlstate = "JL505"


class PostgresFailed(Unavailable):
    """The embedded Postgres did not start."""

    code = "postgres_failed"
    sqlstate = "JL506"


class DataDirectoryUnusable(Unavailable):
    """The data directory cannot be used."""

    code = "data_directory_unusable"
    sqlstate = "JL507"


class PreparedInTheWay(Unavailable):
    """Prepared transactions that appended to the log keep a new epoch from being opened."""

    code = "prepared_in_the_way"
    sqlstate = "JL508"


class SchemaError(JobledgerError):
    """The database and the code do not fit."""

    code = "schema"
    sqlstate = "JL600"
    http_status = 503
    exit_status = 7


class SchemaMissing(SchemaError):
    """The database was not migrated; run `jobledger migrate`."""

    code = "schema_missing"
    sqlstate = "JL601"


class SchemaNewer(SchemaError):
    """The database was migrated by a newer version of jobledger."""

    code = "schema_newer"
    sqlstate = "JL602"


class SchemaChanged(SchemaError):
    """The text of a released migration differs from the one that was applied."""

    code = "schema_changed"
    sqlstate = "JL603"


class SchemaDrift(SchemaError):
    """The database differs from a freshly migrated one."""

    code = "schema_drift"
    sqlstate = "JL604"


class UnknownEvent(SchemaError):
    """The log holds an event of a type or shape that this version of jobledger does not know."""

    code = "unknown_event"
    sqlstate = "JL605"


class MalformedEvent(SchemaError):
    """An event's data does not fit its type."""

    code = "malformed_event"
    sqlstate = "JL606"
    http_status = 500


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


def _tree(root: type[JobledgerError]) -> dict[str, type[JobledgerError]]:
    found = {root.sqlstate: root}
    for child in root.__subclasses__():
        for sqlstate, kind in _tree(child).items():
            if sqlstate in found:
                raise TypeError(f"{kind.__name__} and {found[sqlstate].__name__} share {sqlstate}")
            found[sqlstate] = kind
    return found


BY_SQLSTATE: Mapping[str, type[JobledgerError]] = _tree(JobledgerError)
BY_CODE: Mapping[str, type[JobledgerError]] = {kind.code: kind for kind in BY_SQLSTATE.values()}
