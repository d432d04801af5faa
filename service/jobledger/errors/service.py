"""Errors of who may, and of what serves: roles and keys, the server, the schema."""

from __future__ import annotations

from jobledger.errors.root import JobledgerError


class Forbidden(JobledgerError):
    """This role may not do that."""

    code = "forbidden"
    sqlstate = "JL400"
    http_status = 403
    exit_status = 5


class Unauthenticated(Forbidden):
    """No key or token was given, or it is not, or no longer, valid."""

    code = "unauthenticated"
    sqlstate = "JL401"
    http_status = 401


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
    """No connection to the database, or to the service."""

    code = "unreachable"
    sqlstate = "JL502"


class LeaseOver(Unavailable):
    """The worker's lease has run out; it must start again under a new id."""

    code = "lease_over"
    sqlstate = "JL503"
    http_status = 409


class UnknownWorker(Unavailable):
    """No worker of this id is registered."""

    code = "unknown_worker"
    sqlstate = "JL504"
    http_status = 404


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


class RateLimited(Unavailable):
    """The key has made all the requests, or its tenant opened all the streams, that it may for now."""

    code = "rate_limited"
    sqlstate = "JL509"
    http_status = 429


class Busy(Unavailable):
    """The service has as many open streams or waiting requests as it may have."""

    code = "busy"
    sqlstate = "JL510"


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
