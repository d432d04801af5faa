"""Errors of the caller: the input is not acceptable, and nothing was written."""

from __future__ import annotations

from jobledger.errors.root import JobledgerError


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


class InvalidFields(BadInput):
    """Fields of the request do not fit; `detail["fields"]` names each with its rule."""

    code = "invalid_fields"
    sqlstate = "JL112"
    http_status = 422


class MethodNotAllowed(BadInput):
    """The path does not take this method."""

    code = "method_not_allowed"
    sqlstate = "JL113"
    http_status = 405


class UnsupportedMedia(BadInput):
    """The body is of a media type, or in an encoding, that this path does not take."""

    code = "unsupported_media"
    sqlstate = "JL114"
    http_status = 415


class AddressRefused(BadInput):
    """The address leads into a private network, or to what is no web server; requests are not sent there."""

    code = "address_refused"
    sqlstate = "JL115"
