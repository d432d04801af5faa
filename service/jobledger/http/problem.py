"""Errors as RFC 9457 problems: the same codes as in Python, SQL and on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from jobledger.errors import JobledgerError, Unauthenticated, Unavailable, Unreachable, problem_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2


def outward(error: JobledgerError) -> JobledgerError:
    """Return the error as those may hear it who ask: not where the database is, nor what it said."""
    if isinstance(error, Unreachable):
        return Unreachable("The service has no connection to its database.", hint="Try again later.")
    return error


def problem(error: JobledgerError, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the answer that tells of an error, with when to try again where that may help."""
    given = dict(headers or {})
    if isinstance(error, Unavailable) and error.http_status in (429, 503):
        given.setdefault("Retry-After", str(error.detail.get("retry_after_s", RETRY_AFTER_S)))
    if isinstance(error, Unauthenticated):
        given["WWW-Authenticate"] = 'Bearer realm="jobledger"'
    body = orjson.dumps(problem_of(error), default=str)
    return web.Response(body=body, status=error.http_status, content_type=MEDIA, headers=given)
