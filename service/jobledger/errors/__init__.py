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
    │   ├── BadCursor                a cursor is none that this service gave for that purpose
    │   ├── InvalidFields            fields of a request do not fit
    │   ├── MethodNotAllowed         the path does not take this method
    │   ├── UnsupportedMedia         the path does not take this media type or encoding
    │   └── AddressRefused           an address leads where requests are not sent
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
    │   └── Unauthenticated          no valid key or token was given
    ├── Unavailable                  try again later, or look after the server
    │   ├── NotOpen                  the live tables are not rebuilt yet
    │   ├── Unreachable              no connection to the database, or to the service
    │   ├── LeaseOver                the worker's lease has run out
    │   ├── UnknownWorker            no such worker is registered
    │   ├── PostgresNotFound         no Postgres binaries on this machine
    │   ├── PostgresFailed           the embedded Postgres did not start
    │   ├── DataDirectoryUnusable    the data directory cannot be used
    │   ├── PreparedInTheWay         prepared transactions keep a new epoch from being opened
    │   ├── RateLimited              the key has made all requests, or its tenant opened all streams, that it may
    │   └── Busy                     as many streams or waiting requests as there may be are open
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

from jobledger.errors.input import (
    AddressRefused,
    BadCursor,
    BadInput,
    IdOutOfWindow,
    InvalidArgs,
    InvalidArgument,
    InvalidFields,
    InvalidFile,
    InvalidTenant,
    MethodNotAllowed,
    NoPartition,
    RunAtTooOld,
    SecretInPlain,
    TooLarge,
    UnknownKind,
    UnsupportedMedia,
)
from jobledger.errors.root import PROBLEM_TYPES, JobledgerError, problem_of
from jobledger.errors.service import (
    Busy,
    DataDirectoryUnusable,
    Forbidden,
    LeaseOver,
    MalformedEvent,
    NotOpen,
    PostgresFailed,
    PostgresNotFound,
    PreparedInTheWay,
    RateLimited,
    SchemaChanged,
    SchemaDrift,
    SchemaError,
    SchemaMissing,
    SchemaNewer,
    Unauthenticated,
    Unavailable,
    UnknownEvent,
    UnknownWorker,
    Unreachable,
)
from jobledger.errors.state import (
    AppendOnly,
    CheckFailed,
    Conflict,
    FeedReset,
    IdempotencyMismatch,
    IdTaken,
    JobCancelled,
    JobFailed,
    JobGone,
    JobKilled,
    LeaseLost,
    MomentLost,
    NotFound,
    NotWaiting,
    PartitionInUse,
    ResultFailed,
    ResultTimeout,
    SliceLost,
    SubscriptionDiffers,
    UniqueTaken,
    WrongState,
)

__all__ = [
    "BY_CODE",
    "BY_SQLSTATE",
    "PROBLEM_TYPES",
    "AddressRefused",
    "AppendOnly",
    "BadCursor",
    "BadInput",
    "Busy",
    "CheckFailed",
    "Conflict",
    "DataDirectoryUnusable",
    "FeedReset",
    "Forbidden",
    "IdOutOfWindow",
    "IdTaken",
    "IdempotencyMismatch",
    "InvalidArgs",
    "InvalidArgument",
    "InvalidFields",
    "InvalidFile",
    "InvalidTenant",
    "JobCancelled",
    "JobFailed",
    "JobGone",
    "JobKilled",
    "JobledgerError",
    "LeaseLost",
    "LeaseOver",
    "MalformedEvent",
    "MethodNotAllowed",
    "MomentLost",
    "NoPartition",
    "NotFound",
    "NotOpen",
    "NotWaiting",
    "PartitionInUse",
    "PostgresFailed",
    "PostgresNotFound",
    "PreparedInTheWay",
    "RateLimited",
    "ResultFailed",
    "ResultTimeout",
    "RunAtTooOld",
    "SchemaChanged",
    "SchemaDrift",
    "SchemaError",
    "SchemaMissing",
    "SchemaNewer",
    "SecretInPlain",
    "SliceLost",
    "SubscriptionDiffers",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UniqueTaken",
    "UnknownEvent",
    "UnknownKind",
    "UnknownWorker",
    "Unreachable",
    "UnsupportedMedia",
    "WrongState",
    "problem_of",
]


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
